//! The description of the endpoint: whole, consistent, and true.

use serde_json::{Value, json};

use crate::house::{House, config, get, house, mixed, numbers, one_column, post, state, sum};

fn document(house: &House) -> Value {
    house.call(get("/openapi.json")).json()
}

/// Every value under a key anywhere.
fn all<'v>(value: &'v Value, key: &str, into: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get(key));
            map.values().for_each(|value| all(value, key, into));
        }
        Value::Array(list) => list.iter().for_each(|value| all(value, key, into)),
        _ => {}
    }
}

/// What a reference points at.
fn resolve<'v>(document: &'v Value, reference: &str) -> Option<&'v Value> {
    let mut decoded = String::new();
    let mut rest = reference.strip_prefix('#')?;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        decoded.push(char::from(u8::from_str_radix(after.get(..2)?, 16).ok()?));
        rest = after.get(2..)?;
    }
    document.pointer(&(decoded + rest))
}

#[test]
fn references_lead_somewhere_and_operations_have_names_of_their_own() {
    let odd = crate::house::Made {
        signature: crate::house::signature(
            athanor_protocol::signature::Task::Regression,
            &[("a/b ~%", athanor_protocol::table::DataType::Float, false)],
            &[],
        ),
        predict: sum,
    };
    let house = house(vec![numbers(2), numbers(1), mixed(), one_column(sum), crate::house::served("odd", 1, odd)]);
    let document = document(&house);
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = vec![];
    all(&document, "$ref", &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let reference = reference.as_str().unwrap();
        assert!(resolve(&document, reference).is_some(), "{reference}");
    }
    let mut ids = vec![];
    all(&document, "operationId", &mut ids);
    let mut names: Vec<&str> = ids.iter().map(|id| id.as_str().unwrap()).collect();
    names.sort_unstable();
    let n = names.len();
    names.dedup();
    assert_eq!(names.len(), n, "an operation's name is there twice");
}

#[test]
fn every_described_operation_is_there_and_answers_its_own_example() {
    let house = house(vec![numbers(2), numbers(1)]);
    let document = document(&house);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 30, "{}", paths.len());
    let mut n_examples = 0;
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = operation["security"] == json!([]);
            let mut ask = if method == "post" { post(path, "{}") } else { get(path) };
            if is_open {
                ask = ask.without("authorization");
            }
            if path == "/score" && method == "get" {
                ask.uri = "/score?a=1&b=1&c=true".to_owned();
            }
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            if !example.is_null() {
                ask.body = example.to_string().into_bytes();
                n_examples += 1;
            }
            let answer = house.call(ask.clone());
            let expect = if method == "get" || !example.is_null() { 200 } else { 400 };
            assert_eq!(answer.status, expect, "{method} {path}: {}", answer.text());
            if !is_open {
                assert_eq!(house.call(ask.without("authorization")).status, 401, "{method} {path}");
            }
        }
    }
    assert!(n_examples >= 10, "{n_examples}");
}

#[test]
fn columns_have_their_types_and_classes_are_listed() {
    let house = house(vec![numbers(1), mixed()]);
    let document = document(&house);
    let schemas = &document["components"]["schemas"];
    let row = &schemas["mixed.v1.Row"];
    assert_eq!(row["required"], json!(["height", "width", "legs", "tame", "colour", "seen"]));
    assert_eq!(row["additionalProperties"], false);
    let properties = &row["properties"];
    assert_eq!(properties["height"], json!({"type":"number","format":"double","examples":[0.5]}));
    assert_eq!(properties["width"]["type"], json!(["number", "null"]));
    assert_eq!(properties["legs"]["type"], json!(["integer", "null"]));
    assert_eq!(properties["tame"]["type"], "boolean");
    assert_eq!(
        (&properties["seen"]["type"], &properties["seen"]["format"]),
        (&json!(["string", "null"]), &json!("date"))
    );
    assert_eq!(schemas["numbers.v1.Prediction"]["properties"]["label"]["enum"], json!(["no", "yes"]));
    assert_eq!(schemas["mixed.v1.Prediction"]["properties"]["value"]["type"], "number");
    assert_eq!(
        schemas["numbers.v1.Explained"]["properties"]["explanations"]["items"]["$ref"],
        "#/components/schemas/Explanation"
    );
    let predict = &document["paths"]["/v1/models/numbers/predict"]["post"];
    for form in predict["requestBody"]["content"]["application/json"]["schema"]["oneOf"].as_array().unwrap() {
        assert_eq!(form["properties"]["explain"]["type"], "boolean", "{form}");
        assert_eq!(form["required"].as_array().unwrap().len(), 1, "nobody has to explain: {form}");
    }
    assert_eq!(document["security"], json!([{"key":[]}]));
    assert!(schemas["Error"]["properties"]["code"]["enum"].as_array().unwrap().contains(&json!("bad_data")));
}

#[test]
fn what_is_off_is_not_described() {
    let mut config = config();
    config.contracts = vec![];
    config.try_page = false;
    config.access = athanor_serve::Access::Platform;
    let document = document(&House { state: state(config, vec![numbers(1)]) });
    let paths = document["paths"].as_object().unwrap();
    for path in ["/invocations", "/score", "/ping", "/try", "/v1/models/numbers:predict", "/"] {
        assert!(!paths.contains_key(path), "{path}");
    }
    assert!(paths.contains_key("/v1/models/numbers/predict"));
    assert_eq!((&document["security"], &document["components"]["securitySchemes"]), (&json!([]), &Value::Null));
    let empty = house(vec![]);
    assert!(crate::openapi::document(&empty)["paths"].as_object().unwrap().contains_key("/invocations"));
}

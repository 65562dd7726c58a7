//! No request to any contract, however its body is twisted, is a fault of ours; every mistake has the contract's own shape.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::house::{Answer, Ask, House, ask, house, mixed, numbers};

const URIS: [&str; 12] = [
    "/invocations?model=numbers",
    "/invocations?model=mixed",
    "/invocations",
    "/score?model=numbers",
    "/score?model=mixed&probabilities=true",
    "/v1/endpoints/7/deployedModels/9:predict?model=numbers",
    "/v1/models/numbers:predict",
    "/v1/models/mixed:predict",
    "/v1/models/numbers:classify",
    "/v1/models/mixed:regress",
    "/v1/models/numbers/predict",
    "/v2/models/numbers/infer",
];
const OTHERS: [&str; 10] = [
    "/ping",
    "/health",
    "/version",
    "/",
    "/try",
    "/openapi.json",
    "/swagger.json?version=3&model=mixed",
    "/execution-parameters",
    "/v1/models/numbers/metadata",
    "/v1/endpoints/7/deployedModels/9",
];
const KINDS: [&str; 5] = [
    "application/json",
    "text/csv",
    "application/jsonlines",
    "text/csv; header=present",
    "application/x-www-form-urlencoded",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        proptest::sample::select(vec!["a", "b", "c", "height", "2024-02-30", "serving_default", "nan"])
            .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ]
}

fn word() -> impl Strategy<Value = String> {
    let known = [
        "instances",
        "inputs",
        "dataframe_split",
        "dataframe_records",
        "rows",
        "row",
        "columns",
        "data",
        "index",
        "input_data",
        "examples",
        "params",
        "parameters",
        "probabilities",
        "signature_name",
        "features",
        "a",
        "b",
        "c",
        "height",
        "width",
        "legs",
        "tame",
        "colour",
        "seen",
    ];
    prop_oneof![9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// A good body of each form.
fn good() -> impl Strategy<Value = String> {
    let row = json!({"a":0.25,"b":0,"c":false});
    let list = json!([0.25, 0, false]);
    proptest::sample::select(vec![
        json!({"instances":[row, list]}).to_string(),
        json!({"inputs":{"a":[1,null],"b":[1,2],"c":[true,false]},"signature_name":"serving_default"}).to_string(),
        json!({"dataframe_split":{"columns":["a","b","c"],"index":[0],"data":[list]},"params":{"probabilities":true}})
            .to_string(),
        json!({"dataframe_records":[row]}).to_string(),
        json!({"input_data":{"data":[list],"columns":["a","b","c"]}}).to_string(),
        json!({"examples":[row]}).to_string(),
        json!({"rows":[row]}).to_string(),
        "a,b,c\n0.25,0,false\n,1,\"true\"\n".to_owned(),
        "[0.25,0,false]\n{\"a\":1,\"b\":2,\"c\":true}\n".to_owned(),
    ])
}

/// Cuts, doubles, replaces and inserts at places that the numbers say.
fn mutated(text: &str, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for &(at, what, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match what % 5 {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            2 => bytes.insert(at, byte),
            3 => drop(bytes.remove(at)),
            _ => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
        }
    }
    bytes
}

/// The shape of an error by its address: every one says what is wrong, as JSON.
fn check(ask: &Ask, answer: &Answer) -> Result<(), TestCaseError> {
    let said = || {
        format!(
            "{} {} {:?}: {} {}",
            ask.method,
            ask.uri,
            String::from_utf8_lossy(&ask.body),
            answer.status,
            answer.text()
        )
    };
    prop_assert!(answer.status < 500, "{}", said());
    if answer.status < 400 || ask.method == "HEAD" {
        return Ok(());
    }
    let json: Value = serde_json::from_slice(&answer.body).map_err(|_| TestCaseError::fail(said()))?;
    let text = json["error"].as_str().unwrap_or_default();
    prop_assert!(!text.is_empty() && text.len() < 4_000, "{}", said());
    prop_assert_eq!(answer.header("content-type"), "application/json");
    let path = ask.uri.split('?').next().unwrap_or_default();
    let keys = json.as_object().map_or(0, Map::len);
    match path {
        "/invocations" | "/score" => {
            prop_assert!(json["message"] == json["error"] && json["error_code"].is_string(), "{}", said())
        }
        path if path.starts_with("/v2") || path.contains(":predict") && path.starts_with("/v1/models") => {
            prop_assert!(keys == 1, "{}", said());
        }
        _ => prop_assert!(keys == 1 || json["code"].is_string(), "{}", said()),
    }
    Ok(())
}

fn send(house: &House, method: &str, uri: &str, kind: &str, body: &[u8]) -> Result<(), TestCaseError> {
    let mut ask = ask(method, uri).with("content-type", kind);
    ask.body = body.to_vec();
    let answer = house.call(ask.clone());
    check(&ask, &answer)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn no_json_of_a_contract_is_a_fault_of_ours(value in value(), words in proptest::collection::vec((word(), value()), 0..4)) {
        let house = house(vec![numbers(1), mixed()]);
        let body: Value = words.into_iter().collect::<Map<_, _>>().into();
        for uri in URIS {
            send(&house, "POST", uri, "application/json", value.to_string().as_bytes())?;
            send(&house, "POST", uri, "application/json", body.to_string().as_bytes())?;
        }
        send(&house, "POST", URIS[0], "application/jsonlines", format!("{value}\n{body}\n").as_bytes())?;
    }

    #[test]
    fn no_twisted_body_is_a_fault_of_ours(
        good in good(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 0..4),
        kind in proptest::sample::select(KINDS.to_vec()),
        method in proptest::sample::select(vec!["GET", "HEAD", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]),
    ) {
        let house = house(vec![numbers(1), mixed()]);
        let body = mutated(&good, &changes);
        for uri in URIS.into_iter().chain(OTHERS) {
            send(&house, method, uri, kind, &body)?;
        }
    }

    #[test]
    fn no_query_is_a_fault_of_ours(query in "[a-d=&%0-9:./+]{0,40}", more in "[ -~]{0,20}") {
        let house = house(vec![numbers(1), mixed()]);
        let more: String = more.chars().filter(|c| !" \"#<>\\^`{|}".contains(*c)).collect();
        for path in ["/score", "/invocations", "/swagger.json", "/v1/models/numbers:predict", "/v1/endpoints/7/deployedModels/9"] {
            for uri in [format!("{path}?{query}"), format!("{path}?model=numbers&{query}&{more}")] {
                for method in ["GET", "POST"] {
                    send(&house, method, &uri, "application/json", br#"{"instances":[]}"#)?;
                }
            }
        }
    }
}

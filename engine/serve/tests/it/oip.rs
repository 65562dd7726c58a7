//! Open Inference Protocol v2 in JSON.

use serde_json::{Value, json};

use crate::house::{get, house, mixed, numbers, one_column, post, sum};

const INFER: &str = "/v2/models/numbers/infer";

fn tensor(name: &str, datatype: &str, shape: Value, data: Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "data": data})
}

fn columns() -> Vec<Value> {
    vec![
        tensor("a", "FP64", json!([2]), json!([0.25, null])),
        tensor("b", "INT64", json!([2, 1]), json!([[0], [1]])),
        tensor("c", "BOOL", json!([2]), json!([false, true])),
    ]
}

#[test]
fn health_and_metadata() {
    let house = house(vec![numbers(2), numbers(1), mixed()]);
    let check = |uri: &str, expect: Value| {
        let answer = house.call(get(uri));
        assert_eq!((answer.status, answer.json()), (200, expect), "{uri}");
    };
    check("/v2/health/live", json!({"live":true}));
    check("/v2/health/ready", json!({"ready":true}));
    check("/v2", json!({"name":"athanor","version":env!("CARGO_PKG_VERSION"),"extensions":["binary_tensor_data"]}));
    check("/v2/models/numbers/ready", json!({"name":"numbers","ready":true}));
    check("/v2/models/numbers/versions/1/ready", json!({"name":"numbers","ready":true}));
    let metadata = json!({
        "name":"numbers","versions":["2","1"],"platform":"athanor",
        "inputs":[{"name":"a","datatype":"FP64","shape":[-1]},{"name":"b","datatype":"INT64","shape":[-1]},{"name":"c","datatype":"BOOL","shape":[-1]}],
        "outputs":[{"name":"label","datatype":"BYTES","shape":[-1]},{"name":"probabilities","datatype":"FP64","shape":[-1,2]}]
    });
    check("/v2/models/numbers", metadata.clone());
    check("/v2/models/numbers/versions/1", metadata);
    let mixed = house.call(get("/v2/models/mixed")).json();
    assert_eq!(mixed["inputs"][5], json!({"name":"seen","datatype":"BYTES","shape":[-1]}));
    assert_eq!(mixed["outputs"], json!([{"name":"value","datatype":"FP64","shape":[-1]}]));
    house.refuses(get("/v2/models/nobody"), 404, "no model of that name");
    house.refuses(get("/v2/models/nobody/ready"), 404, "no model of that name");
    house.refuses(get("/v2/models/numbers/versions/9/ready"), 404, "that version");
}

#[test]
fn head_is_get_without_a_body() {
    let house = house(vec![numbers(1)]);
    for uri in ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/numbers", "/v1/models", "/v1/models/numbers"]
    {
        let answer = house.call(crate::house::ask("HEAD", uri));
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{uri}");
    }
    let answer = house.call(crate::house::ask("HEAD", "/v1/models/nobody"));
    assert_eq!((answer.status, answer.body.len()), (404, 0));
}

#[test]
fn not_ready_until_filled() {
    let table = std::sync::Arc::new(athanor_serve::ModelTable::new());
    let keys = std::sync::Arc::new(crate::house::TestKeys);
    let state = athanor_serve::State::new(crate::house::config(), keys, std::sync::Arc::clone(&table)).unwrap();
    let house = crate::house::House { state };
    assert_eq!(house.call(get("/v2/health/live")).status, 200);
    house.refuses(get("/v2/health/ready"), 503, "the endpoint is starting or stopping");
    table.replace(vec![]).unwrap();
    assert_eq!(house.call(get("/v2/health/ready")).status, 200);
}

#[test]
fn a_tensor_for_each_column() {
    let house = house(vec![numbers(1)]);
    let answer = house.call(post(INFER, json!({"id":"7 é","inputs":columns()}).to_string()));
    let expect = json!({
        "model_name":"numbers","model_version":"1","id":"7 é",
        "outputs":[
            {"name":"label","datatype":"BYTES","shape":[2],"data":["no","yes"]},
            {"name":"probabilities","datatype":"FP64","shape":[2,2],"data":[0.75,0.25,0.0,1.0]}
        ]
    });
    assert_eq!((answer.status, answer.json()), (200, expect));
    let mut reversed = columns();
    reversed.reverse();
    let answer = house.call(post("/v2/models/numbers/versions/1/infer", json!({"inputs":reversed}).to_string()));
    assert_eq!(answer.json()["outputs"][0]["data"], json!(["no", "yes"]));
    assert!(answer.json().get("id").is_none());
}

#[test]
fn one_tensor_for_all_columns() {
    let house = house(vec![numbers(1), mixed()]);
    for (name, datatype, data) in [
        ("input", "FP32", json!([[0.25, 0, 0], [0.0, 1, 1]])),
        ("inputs", "FP64", json!([0.25, 0.0, 0.0, null, 1.0, 1.0])),
        ("input", "INT8", json!([0, 0, 0, 0, 1, 1])),
        ("input", "BOOL", json!([false, false, false, true, true, true])),
    ] {
        let body = json!({"inputs":[tensor(name, datatype, json!([2, 3]), data)]});
        let answer = house.call(post(INFER, body.to_string()));
        assert_eq!(answer.json()["outputs"][0]["data"], json!(["no", "yes"]), "{datatype} {}", answer.text());
    }
    let bad = |data: Value| json!({"inputs":[data]}).to_string();
    house.refuses(
        post(INFER, bad(tensor("input", "FP32", json!([2, 2]), json!([1, 2, 3, 4])))),
        400,
        "input \"input\" has 2 columns, the model 3",
    );
    house.refuses(
        post(INFER, bad(tensor("input", "FP32", json!([3]), json!([1, 2, 3])))),
        400,
        "input \"input\" has 1 columns, the model 3",
    );
    house.refuses(
        post(INFER, bad(tensor("input", "BYTES", json!([1, 3]), json!(["1", "2", "3"])))),
        400,
        "input \"input\" holds all columns and must be of a number's datatype",
    );
    house.refuses(
        post(INFER, bad(tensor("input", "FP32", json!([1, 3]), json!([1, 0.5, 0])))),
        400,
        "input \"input\": column \"b\" in row 1 expects a whole number",
    );
    let uri = "/v2/models/mixed/infer";
    house.refuses(
        post(uri, bad(tensor("input", "FP32", json!([1, 6]), json!([1, 2, 3, 4, 5, 6])))),
        400,
        "one tensor can't hold column \"colour\", which is text",
    );
}

#[test]
fn every_datatype_reaches_a_column_of_numbers() {
    let house = house(vec![one_column(sum)]);
    for (datatype, value) in [
        ("BOOL", json!(true)),
        ("UINT8", json!(255)),
        ("UINT16", json!(65_535)),
        ("UINT32", json!(4_294_967_295_u32)),
        ("UINT64", json!(18_446_744_073_709_551_615_u64)),
        ("INT8", json!(-128)),
        ("INT16", json!(-32_768)),
        ("INT32", json!(-2_147_483_648)),
        ("INT64", json!(-9_007_199_254_740_993_i64)),
        ("FP32", json!(1.5)),
        ("FP64", json!(-0.0)),
    ] {
        let body = json!({"inputs":[tensor("x", datatype, json!([1]), json!([value]))]});
        let answer = house.call(post("/v2/models/x/infer", body.to_string()));
        let expect = value.as_f64().unwrap_or(1.0);
        assert_eq!(answer.json()["outputs"][0]["data"], json!([expect]), "{datatype} {}", answer.text());
    }
}

#[test]
fn outputs_are_chosen() {
    let house = house(vec![numbers(1)]);
    let call = |outputs: Value| house.call(post(INFER, json!({"inputs":columns(),"outputs":outputs}).to_string()));
    let names = |answer: &crate::house::Answer| {
        answer.json()["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&call(json!([{"name":"probabilities"}]))), ["probabilities"]);
    assert_eq!(
        names(&call(json!([{"name":"probabilities"},{"name":"label","parameters":{"binary_data":false}}]))),
        ["probabilities", "label"]
    );
    assert_eq!(names(&call(json!([]))), ["label", "probabilities"]);
    assert_eq!(names(&call(json!(null))), ["label", "probabilities"]);
    let refuses = |outputs: Value, error: &str| {
        house.refuses(post(INFER, json!({"inputs":columns(),"outputs":outputs}).to_string()), 400, error)
    };
    refuses(json!([{"name":"value"}]), "the model has no output \"value\"; its outputs are label and probabilities");
    refuses(json!([{"name":"label"},{"name":"label"}]), "output \"label\" is asked for twice");
    refuses(
        json!([{"name":"label","parameters":{"classification":3}}]),
        "the parameter 'classification' is not known here",
    );
    refuses(json!([{"name":"label","parameters":{"shared_memory_region":"r"}}]), "shared memory is not used here");
}

#[test]
fn parameters_that_mean_nothing_here_are_ignored() {
    let house = house(vec![numbers(1)]);
    let mut inputs = columns();
    inputs[0]["parameters"] = json!({"colour":"red"});
    let body = json!({"inputs":inputs,"parameters":{"priority":1,"sequence_id":2},"more":[1]});
    assert_eq!(house.call(post(INFER, body.to_string())).status, 200);
}

#[test]
fn hostile_shapes_and_values_are_400() {
    let house = house(vec![numbers(1)]);
    let good = columns();
    let with_a = |a: Value| json!({"inputs":[a, good[1], good[2]]}).to_string();
    let a = |shape: Value, data: Value| with_a(tensor("a", "FP32", shape, data));
    let too_many = "input \"a\": its shape has more than 2097152 values";
    for (body, error) in [
        (a(json!([16, 1_152_921_504_606_846_978_i64]), json!([1])), too_many),
        (a(json!([4, 1_152_921_504_606_846_978_i64]), json!([1])), too_many),
        (a(json!([i64::MAX]), json!([1])), too_many),
        (a(json!([0, i64::MAX]), json!([])), too_many),
        (
            a(json!([18_446_744_073_709_551_615_u64]), json!([1])),
            "the body can't be read: invalid value: integer `18446744073709551615`, expected i64",
        ),
        (a(json!([-2]), json!([1, 2])), "input \"a\": its shape has the negative dimension -2"),
        (a(json!([-1, -2]), json!([1, 2])), "input \"a\": its shape has the negative dimension -1"),
        (a(json!([2.0]), json!([1, 2])), "the body can't be read: invalid type: floating point `2.0`"),
        (a(json!([]), json!([1])), "input \"a\": its shape is empty"),
        (a(json!([2, 1, 1]), json!([1, 2])), "input \"a\": its shape has 3 dimensions"),
        (a(json!([2, 2]), json!([1, 2, 3, 4])), "input \"a\" has 2 values in a row"),
        (a(json!([2]), json!([1])), "input \"a\": its shape has 2 values, its data 1"),
        (a(json!([2]), json!([1, 2, 3])), "input \"a\": its shape has 2 values, its data 3"),
        (a(json!([2]), json!([[1], [2]])), "input \"a\": its data is nested as [2, 1], which is not its shape"),
        (a(json!([2, 1]), json!([[1, 2]])), "input \"a\": its data is nested as [1, 2], which is not its shape"),
        (a(json!([2, 1]), json!([[1], [2, 3]])), "the body can't be read: data holds lists of 1 and of 2 values"),
        (a(json!([2, 1]), json!([[[1]], [[2]]])), "the body can't be read: data is nested deeper than two levels"),
        (a(json!([2]), json!([1, "2"])), "input \"a\": value 2 is text, which is no FP32"),
        (a(json!([2]), json!([1, true])), "input \"a\": value 2 is true or false, which is no FP32"),
        (a(json!([2]), json!([1, 1e39])), "input \"a\": value 2 is 1"),
        (a(json!([2]), json!("12")), "the body can't be read: invalid type: string"),
        (with_a(tensor("a", "FP16", json!([2]), json!([1, 2]))), "input \"a\": datatype FP16 is not read"),
        (with_a(tensor("a", "fp32", json!([2]), json!([1, 2]))), "input \"a\": there is no datatype \"fp32\""),
        (
            with_a(tensor("a", "BYTES", json!([2]), json!(["x", "y"]))),
            "input \"a\": column \"a\" in row 1 expects a number, found text",
        ),
        (with_a(tensor("a", "INT8", json!([2]), json!([1, 300]))), "input \"a\": value 2 is 300, which is no INT8"),
        (with_a(tensor("a", "INT64", json!([2]), json!([1, 1.5]))), "input \"a\": value 2 is 1.5, which is no INT64"),
        (
            with_a(json!({"name":"a","shape":[2],"datatype":"FP32"})),
            "input \"a\": it has neither 'data' nor 'binary_data_size'",
        ),
        (
            with_a(json!({"name":"a","shape":[2],"datatype":"FP32","data":[1,2],"parameters":{"binary_data_size":8}})),
            "input \"a\": it has both",
        ),
        (
            with_a(
                json!({"name":"a","shape":[2],"datatype":"FP32","parameters":{"shared_memory_region":"/dev/shm/x"}}),
            ),
            "shared memory is not used here",
        ),
        (
            with_a(tensor("A", "FP32", json!([2]), json!([1, 2]))),
            "input \"A\" is not among the model's 3 columns; did you mean \"a\"",
        ),
        (with_a(tensor("zzz", "FP32", json!([2]), json!([1, 2]))), "input \"zzz\" is not among the model's 3 columns"),
        (with_a(good[1].clone()), "input \"b\" is there twice"),
        (with_a(tensor("a", "FP32", json!([1]), json!([1]))), "input \"b\" has 2 rows, \"a\" has 1"),
        (json!({"inputs":[good[0], good[1]]}).to_string(), "the request misses \"c\""),
        (json!({"inputs":[]}).to_string(), "'inputs' is empty"),
        (json!({}).to_string(), "the body can't be read: missing field `inputs`"),
        (
            json!({"inputs":[good[0], tensor("b", "INT64", json!([2]), json!([1, null])), good[2]]}).to_string(),
            "input \"b\": column \"b\" in row 2 must not be missing",
        ),
        (json!({"id":7,"inputs":good}).to_string(), "the body can't be read: invalid type: integer `7`"),
        (a(json!([2]), json!([1, 2])).replace("[1,2]", "[1,NaN]"), "the body can't be read: expected value"),
        (a(json!([2]), json!([1, 2])).replace("[1,2]", "[1,-Infinity]"), "the body can't be read: invalid number"),
        (a(json!([2]), json!([1, 2])).replace("[1,2]", "[1,1e400]"), "the body can't be read: number out of range"),
        (r#"{"inputs":[],"inputs":[]}"#.to_owned(), "the body can't be read: duplicate field `inputs`"),
        (
            with_a(json!(0)).replacen('0', r#"{"name":"a","name":"b"}"#, 1),
            "the body can't be read: duplicate field `name`",
        ),
    ] {
        house.refuses(post(INFER, body), 400, error);
    }
}

#[test]
fn no_rows_are_an_answer_too() {
    let house = house(vec![numbers(1)]);
    let empty = |name: &str, datatype: &str| tensor(name, datatype, json!([0]), json!([]));
    let body = json!({"inputs":[empty("a", "FP32"), empty("b", "INT8"), empty("c", "BOOL")]});
    let answer = house.call(post(INFER, body.to_string()));
    assert_eq!(
        answer.json()["outputs"][1],
        json!({"name":"probabilities","datatype":"FP64","shape":[0,2],"data":[]}),
        "{}",
        answer.text()
    );
}

#[test]
fn errors_of_this_protocol_are_one_text() {
    let house = house(vec![numbers(1)]);
    let error = house.call(post(INFER, "{")).json();
    assert_eq!(error.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
}

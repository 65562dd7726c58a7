//! Bodies over HTTP: the Open Inference Protocol as JSON and with binary tensors, and every other contract.

use std::{cell::RefCell, sync::LazyLock};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::house::{Answer, Ask, House, house, mixed, numbers, post};

static HOUSE: LazyLock<House> = LazyLock::new(|| house(vec![numbers(1), mixed()]));

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
}

/// Asks the endpoint, without a socket.
fn call(ask: Ask) -> Answer {
    RUNTIME.with_borrow(|runtime| runtime.block_on(HOUSE.call_async(ask)))
}

/// No answer is a fault of ours, and every mistake is said in words.
fn check(ask: Ask) {
    let said = format!("{} {}", ask.method, ask.uri);
    let answer = call(ask);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(answer.status < 500, "{said}: {} {text}", answer.status);
    if answer.status >= 400 {
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(json["error"].as_str().is_some_and(|error| !error.is_empty()), "{said}: {text}");
    }
}

/// A good value at the place that a byte says.
fn pick<T: Copy>(values: &[T], byte: u8) -> T {
    values[usize::from(byte) % values.len()]
}

const MODELS: [&str; 2] = ["/v2/models/numbers/infer", "/v2/models/mixed/infer"];

/// A request of the Open Inference Protocol as JSON. The first byte chooses the model.
///
/// # Panics
/// If the answer is a fault of ours.
pub fn oip_json(bytes: &[u8]) {
    let Some((&model, body)) = bytes.split_first() else { return };
    check(post(pick(&MODELS, model), body));
}

/// A request with binary tensors. The first byte chooses the model, the next two say how long the JSON in front is.
///
/// # Panics
/// If the answer is a fault of ours.
pub fn oip_binary(bytes: &[u8]) {
    let [model, low, high, body @ ..] = bytes else { return };
    let n_json = u16::from_le_bytes([*low, *high]);
    check(post(pick(&MODELS, *model), body).with("inference-header-content-length", n_json.to_string()));
}

const ADDRESSES: [&str; 12] = [
    "/v1/models/numbers/predict",
    "/v1/models/mixed/predict",
    "/invocations?model=numbers",
    "/invocations?model=mixed&probabilities=true",
    "/score?model=numbers",
    "/score?model=mixed",
    "/v1/endpoints/7/deployedModels/9:predict?model=numbers",
    "/v1/models/numbers:predict",
    "/v1/models/mixed:predict",
    "/v1/models/numbers:classify",
    "/v1/models/mixed:regress",
    "/v1/models/numbers/versions/1/predict",
];

const KINDS: [&str; 4] = ["application/json", "text/csv", "application/jsonlines", "text/csv; header=present"];

/// A request of another contract, or of ours. The first byte chooses the address, the second the content type.
///
/// # Panics
/// If the answer is a fault of ours.
pub fn contracts(bytes: &[u8]) {
    let [address, kind, body @ ..] = bytes else { return };
    check(post(pick(&ADDRESSES, *address), body).set("content-type", pick(&KINDS, *kind)));
}

fn tensors() -> [serde_json::Value; 2] {
    [
        json!({ "id": "1", "inputs": [
            { "name": "a", "shape": [2], "datatype": "FP64", "data": [0.5, null] },
            { "name": "b", "shape": [2, 1], "datatype": "INT64", "data": [[1], [2]] },
            { "name": "c", "shape": [2], "datatype": "BOOL", "data": [true, false] },
        ], "outputs": [{ "name": "label", "parameters": { "binary_data": false } }] }),
        json!({ "inputs": [
            { "name": "height", "shape": [1], "datatype": "FP32", "data": [1.5] },
            { "name": "width", "shape": [1], "datatype": "FP16", "data": [2] },
            { "name": "legs", "shape": [1], "datatype": "UINT8", "data": [4] },
            { "name": "tame", "shape": [1], "datatype": "BOOL", "data": [true] },
            { "name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"] },
            { "name": "seen", "shape": [1], "datatype": "BYTES", "data": ["2024-02-29"] },
        ], "parameters": { "binary_data_output": true } }),
    ]
}

pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    let seed = |(model, body): (u8, serde_json::Value)| [&[model][..], body.to_string().as_bytes()].concat();
    (0..).zip(tensors()).map(seed).collect()
}

pub(crate) fn binary_seeds() -> Vec<Vec<u8>> {
    let seed = |model: u8, body: serde_json::Value, raw: &[u8]| {
        let json = body.to_string();
        let n_json = u16::try_from(json.len()).unwrap().to_le_bytes();
        [&[model], &n_json[..], json.as_bytes(), raw].concat()
    };
    let binary = |name: &str, datatype: &str, n_rows: u32, n_bytes: usize| json!({ "name": name, "shape": [n_rows], "datatype": datatype, "parameters": { "binary_data_size": n_bytes } });
    let numbers = json!({ "inputs": [binary("a", "FP64", 2, 16), binary("b", "INT32", 2, 8), binary("c", "BOOL", 2, 2)],
        "outputs": [{ "name": "probabilities", "parameters": { "binary_data": true } }] });
    let raw = [&0.5f64.to_le_bytes()[..], &f64::NAN.to_le_bytes(), &1i32.to_le_bytes(), &2i32.to_le_bytes(), &[1, 0]];
    let mixed = json!({ "inputs": [binary("height", "FP32", 1, 4), binary("width", "FP16", 1, 2),
        binary("legs", "UINT8", 1, 1), binary("tame", "BOOL", 1, 1), binary("colour", "BYTES", 1, 7),
        binary("seen", "BYTES", 1, 14)] });
    let texts =
        [&1.5f32.to_le_bytes()[..], &[0, 0x3c, 4, 1], &3u32.to_le_bytes(), b"red", &10u32.to_le_bytes(), b"2024-02-29"];
    vec![seed(0, numbers, &raw.concat()), seed(1, mixed, &texts.concat())]
}

pub(crate) fn contract_seeds() -> Vec<Vec<u8>> {
    let row = json!({ "a": 0.25, "b": 0, "c": false });
    let mixed = json!({ "height": 1.5, "width": null, "legs": 4, "tame": true, "colour": "red", "seen": "2024-02-29" });
    let list = json!([0.25, 0, false]);
    let bodies: [(u8, u8, String); 14] = [
        (0, 0, json!({ "rows": [row] }).to_string()),
        (0, 0, json!({ "columns": { "a": [1, null], "b": [1, 2], "c": [true, false] } }).to_string()),
        (1, 0, json!({ "row": mixed }).to_string()),
        (2, 0, json!({ "dataframe_split": { "columns": ["a", "b", "c"], "index": [0], "data": [list] } }).to_string()),
        (3, 0, json!({ "dataframe_records": [mixed], "params": { "probabilities": true } }).to_string()),
        (2, 1, "0.25,0,false\n,1,\"true\"\n".to_owned()),
        (2, 2, format!("{list}\n{row}\n{{\"features\":{list}}}\n")),
        (3, 3, "height,width,legs,tame,colour,seen\n1.5,,4,true,\"a \"\"b\"\"\",2024-02-29\n".to_owned()),
        (4, 0, json!({ "input_data": { "data": [list], "columns": ["a", "b", "c"] } }).to_string()),
        (5, 0, json!({ "data": [mixed] }).to_string()),
        (6, 0, json!({ "instances": [row, list], "parameters": { "probabilities": true } }).to_string()),
        (
            7,
            0,
            json!({ "inputs": { "a": [1], "b": [2], "c": [true] }, "signature_name": "serving_default" }).to_string(),
        ),
        (9, 0, json!({ "examples": [row] }).to_string()),
        (10, 0, json!({ "context": mixed, "examples": [{}] }).to_string()),
    ];
    bodies.into_iter().map(|(address, kind, body)| [&[address, kind][..], body.as_bytes()].concat()).collect()
}

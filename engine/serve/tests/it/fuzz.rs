//! No body, whatever it holds, is answered with a fault of ours.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::house::{House, house, mixed, numbers, post};

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        prop_oneof![
            Just("FP32"),
            Just("INT64"),
            Just("BYTES"),
            Just("BOOL"),
            Just("a"),
            Just("b"),
            Just("c"),
            Just("input"),
            Just("2024-02-30")
        ]
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "rows",
        "row",
        "columns",
        "inputs",
        "outputs",
        "name",
        "shape",
        "datatype",
        "data",
        "parameters",
        "binary_data_size",
        "id",
        "a",
        "b",
        "c",
        "height",
        "width",
        "legs",
        "tame",
        "colour",
        "seen",
        "binary_data_output",
    ];
    prop_oneof![9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::vec((key(), inner), 0..8)
                .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Something like a tensor, nearly right in every way.
fn tensor() -> impl Strategy<Value = Value> {
    let datatype = proptest::sample::select(vec!["FP32", "FP64", "INT8", "UINT64", "BOOL", "BYTES", "FP16", "x"]);
    let name = proptest::sample::select(vec!["a", "b", "c", "input", "inputs", "d"]);
    let shape = proptest::collection::vec(prop_oneof![0..4_i64, any::<i64>()], 0..4);
    let data = prop_oneof![proptest::collection::vec(leaf(), 0..8).prop_map(Value::from), value()];
    (name, datatype, shape, data, prop::option::of(any::<i64>())).prop_map(|(name, datatype, shape, data, size)| {
        match size {
            Some(size) => json!({"name":name,"datatype":datatype,"shape":shape,"parameters":{"binary_data_size":size}}),
            None => json!({"name":name,"datatype":datatype,"shape":shape,"data":data}),
        }
    })
}

fn check(house: &House, uri: &str, body: &[u8], json_length: Option<String>) -> Result<(), TestCaseError> {
    let mut ask = post(uri, body);
    if let Some(length) = json_length {
        ask = ask.with("inference-header-content-length", length);
    }
    let answer = house.call(ask);
    prop_assert!(answer.status < 500, "{} for {:?}: {}", answer.status, String::from_utf8_lossy(body), answer.text());
    Ok(())
}

const URIS: [&str; 4] =
    ["/v1/models/numbers/predict", "/v1/models/mixed/predict", "/v2/models/numbers/infer", "/v2/models/mixed/infer"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_is_a_fault_of_ours(value in value(), form in key()) {
        let house = house(vec![numbers(1), mixed()]);
        for uri in URIS {
            check(&house, uri, value.to_string().as_bytes(), None)?;
            check(&house, uri, json!({form.as_str(): value}).to_string().as_bytes(), None)?;
        }
    }

    #[test]
    fn no_tensors_are_a_fault_of_ours(tensors in proptest::collection::vec(tensor(), 0..4), raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        let house = house(vec![numbers(1), mixed()]);
        let json = json!({"inputs":tensors}).to_string();
        check(&house, URIS[2], json.as_bytes(), None)?;
        let body = [json.as_bytes(), &raw].concat();
        check(&house, URIS[2], &body, Some(json.len().to_string()))?;
        check(&house, URIS[2], &body, Some((json.len() / 2).to_string()))?;
    }

    #[test]
    fn no_bytes_are_a_fault_of_ours(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in ".{0,5}") {
        let house = house(vec![numbers(1), mixed()]);
        let length: String = length.chars().filter(|c| ('!'..='~').contains(c)).collect();
        for uri in URIS {
            check(&house, uri, &bytes, None)?;
            check(&house, uri, &bytes, Some(length.clone()))?;
        }
    }
}

//! The binary tensor extension, as Triton's own clients speak it by default.

use serde_json::{Value, json};

use crate::house::{Answer, Ask, house, mixed, numbers, post};

const INFER: &str = "/v2/models/numbers/infer";

/// A body of JSON and raw tensors, the way `tritonclient.http` sends it: without a content type.
fn binary(uri: &str, json: &Value, raw: &[u8]) -> Ask {
    let json = json.to_string();
    let length = json.len().to_string();
    let mut body = json.into_bytes();
    body.extend_from_slice(raw);
    post(uri, body).without("content-type").with("Inference-Header-Content-Length", length)
}

/// Splits an answer into JSON and raw bytes.
fn split(answer: &Answer) -> (Value, Vec<u8>) {
    assert_eq!(
        answer.header("content-type"),
        "application/octet-stream",
        "{:?}",
        String::from_utf8_lossy(&answer.body)
    );
    let length: usize = answer.header("inference-header-content-length").parse().unwrap();
    (serde_json::from_slice(&answer.body[..length]).unwrap(), answer.body[length..].to_vec())
}

fn raw_tensor(name: &str, datatype: &str, shape: &[usize], n_bytes: usize) -> Value {
    json!({"name":name,"shape":shape,"datatype":datatype,"parameters":{"binary_data_size":n_bytes}})
}

/// Two rows for `numbers`, all raw.
fn two_rows() -> (Vec<Value>, Vec<u8>) {
    let inputs =
        vec![raw_tensor("a", "FP32", &[2], 8), raw_tensor("b", "INT64", &[2, 1], 16), raw_tensor("c", "BOOL", &[2], 2)];
    let mut raw = vec![];
    raw.extend(0.25_f32.to_le_bytes());
    raw.extend(f32::NAN.to_le_bytes());
    raw.extend(0_i64.to_le_bytes());
    raw.extend(1_i64.to_le_bytes());
    raw.extend([0, 1]);
    (inputs, raw)
}

#[test]
fn raw_in_and_raw_out_as_clients_do_by_default() {
    let house = house(vec![numbers(1)]);
    let (inputs, raw) = two_rows();
    let ask = binary(INFER, &json!({"id":"7","inputs":inputs,"parameters":{"binary_data_output":true}}), &raw);
    for ask in [ask.clone(), ask.with("content-type", "application/octet-stream")] {
        let answer = house.call(ask);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (head, raw) = split(&answer);
        let expect = json!({
            "model_name":"numbers","model_version":"1","id":"7","outputs":[
                {"name":"label","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":13}},
                {"name":"probabilities","datatype":"FP64","shape":[2,2],"parameters":{"binary_data_size":32}}]
        });
        assert_eq!(head, expect);
        assert_eq!(&raw[..13], b"\x02\0\0\0no\x03\0\0\0yes");
        let numbers: Vec<f64> =
            raw[13..].chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!(numbers, [0.75, 0.25, 0.0, 1.0]);
    }
}

#[test]
fn each_output_may_be_raw_or_not() {
    let house = house(vec![numbers(1)]);
    let (inputs, raw) = two_rows();
    let outputs = json!([{"name":"label"},{"name":"probabilities","parameters":{"binary_data":true}}]);
    let (head, raw) = split(&house.call(binary(INFER, &json!({"inputs":inputs,"outputs":outputs}), &raw)));
    assert_eq!(head["outputs"][0]["data"], json!(["no", "yes"]));
    assert_eq!(head["outputs"][1]["parameters"]["binary_data_size"], 32);
    assert_eq!(raw.len(), 32);
}

#[test]
fn raw_and_json_tensors_may_be_mixed() {
    let house = house(vec![numbers(1)]);
    let (mut inputs, raw) = two_rows();
    inputs[1] = json!({"name":"b","shape":[2],"datatype":"UINT8","data":[0, 1]});
    let raw = [&raw[..8], &raw[24..]].concat();
    let answer = house.call(binary(INFER, &json!({"inputs":inputs}), &raw));
    assert_eq!(answer.json()["outputs"][0]["data"], json!(["no", "yes"]), "{}", answer.text());
}

#[test]
fn texts_and_dates_travel_as_bytes() {
    let house = house(vec![mixed()]);
    let mut raw = vec![];
    let mut inputs = vec![];
    for (name, datatype, bytes) in [
        ("height", "FP64", 1.5_f64.to_le_bytes().to_vec()),
        ("width", "FP32", f32::NAN.to_le_bytes().to_vec()),
        ("legs", "INT32", 4_i32.to_le_bytes().to_vec()),
        ("tame", "BOOL", vec![1]),
        ("colour", "BYTES", b"\x03\0\0\0red".to_vec()),
        ("seen", "BYTES", b"\x0a\0\0\x001970-01-01".to_vec()),
    ] {
        inputs.push(raw_tensor(name, datatype, &[1, 1], bytes.len()));
        raw.extend(bytes);
    }
    let answer = house.call(binary("/v2/models/mixed/infer", &json!({"inputs":inputs}), &raw));
    assert_eq!(answer.json()["outputs"][0]["data"], json!([9.5]), "{}", answer.text());
}

#[test]
fn hostile_lengths_are_400() {
    let house = house(vec![numbers(1)]);
    let (inputs, raw) = two_rows();
    let good = json!({"inputs":inputs});
    let length = "the header 'Inference-Header-Content-Length' is no count of bytes";
    for value in ["-1", "+5", "0x10", "", "ten", "1e3", "18446744073709551616", "5 5"] {
        house.refuses(binary(INFER, &good, &raw).set("Inference-Header-Content-Length", value), 400, length);
    }
    house.refuses(binary(INFER, &good, &raw).with("Inference-Header-Content-Length", "5"), 400, length);
    let larger = "the header 'Inference-Header-Content-Length' is larger than the body";
    house.refuses(binary(INFER, &good, &raw).set("Inference-Header-Content-Length", "100000"), 400, larger);
    house.refuses(
        binary(INFER, &good, &raw).set("Inference-Header-Content-Length", usize::MAX.to_string()),
        400,
        larger,
    );
    house.refuses(
        binary(INFER, &good, &raw).set("Inference-Header-Content-Length", "0"),
        400,
        "the body can't be read: EOF",
    );
    house.refuses(
        binary(INFER, &good, &raw).set("Inference-Header-Content-Length", "20"),
        400,
        "the body can't be read: EOF",
    );

    house.refuses(
        binary(INFER, &good, &raw[..raw.len() - 1]),
        400,
        "input \"c\": 2 raw bytes are announced, 1 are there",
    );
    house.refuses(binary(INFER, &good, &[&raw[..], b"x"].concat()), 400, "1 bytes follow the last raw tensor");
    let mut lying = inputs.clone();
    lying[0] = raw_tensor("a", "FP32", &[2], 7);
    lying[1] = raw_tensor("b", "INT64", &[2], 17);
    house.refuses(binary(INFER, &json!({"inputs":lying}), &raw), 400, "input \"a\": 7 bytes are not 2 values of FP32");
    lying[0]["parameters"]["binary_data_size"] = json!(-8);
    house.refuses(
        binary(INFER, &json!({"inputs":lying}), &raw),
        400,
        "the body can't be read: invalid value: integer `-8`",
    );
    lying[0]["parameters"]["binary_data_size"] = json!(u64::MAX);
    house.refuses(
        binary(INFER, &json!({"inputs":lying}), &raw),
        400,
        "input \"a\": 18446744073709551615 raw bytes are announced, 26 are there",
    );
    for shape in [json!([16, 1_152_921_504_606_846_978_i64]), json!([4, 1_152_921_504_606_846_978_i64])] {
        lying[0] = json!({"name":"a","shape":shape,"datatype":"FP32","parameters":{"binary_data_size":8}});
        house.refuses(
            binary(INFER, &json!({"inputs":lying}), &raw),
            400,
            "input \"a\": its shape has more than 2097152 values",
        );
    }
}

#[test]
fn a_binary_body_needs_the_length_of_its_json() {
    let house = house(vec![numbers(1)]);
    let ask = post(INFER, "{}").set("content-type", "application/octet-stream");
    house.refuses(ask, 400, "a binary body needs the header 'Inference-Header-Content-Length'");
}

#[test]
fn infinities_and_missing_values_are_told_apart() {
    let house = house(vec![numbers(1)]);
    let (inputs, mut raw) = two_rows();
    raw[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    house.refuses(
        binary(INFER, &json!({"inputs":inputs}), &raw),
        400,
        "input \"a\": column \"a\" in row 1 must be finite",
    );
}

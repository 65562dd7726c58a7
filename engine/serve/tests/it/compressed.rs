//! Packed bodies on every route that takes one.

use std::io::Write;

use athanor_serve::ServeConfig;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde_json::json;

use crate::house::{Ask, House, config, house, numbers, post, state};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(vec![], Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request of each contract and its body.
fn requests() -> Vec<Ask> {
    let named = r#"{"row":{"a":0.25,"b":0,"c":false}}"#;
    let instances = r#"{"instances":[[0.25,0,false]]}"#;
    let tensors = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[0.25]},
        {"name":"b","shape":[1],"datatype":"INT64","data":[0]},{"name":"c","shape":[1],"datatype":"BOOL","data":[false]}]}"#;
    vec![
        post("/v1/models/numbers/predict", named),
        post("/v2/models/numbers/infer", tensors),
        post("/v1/models/numbers:predict", instances),
        post("/v1/endpoints/e/deployedModels/d:predict", instances),
        post("/invocations", instances),
        post("/invocations", "0.25,0,false\n").set("content-type", "text/csv"),
        post("/score", r#"{"data":[[0.25,0,false]]}"#),
    ]
}

fn packed(mut ask: Ask, pack: fn(&[u8]) -> Vec<u8>, encoding: &str) -> Ask {
    ask.body = pack(&ask.body);
    ask.with("content-encoding", encoding)
}

#[test]
fn packed_bodies_say_the_same() {
    let house = house(vec![numbers(1)]);
    for ask in requests() {
        let plain = house.call(ask.clone());
        assert_eq!(plain.status, 200, "{}: {}", ask.uri, plain.text());
        for (pack, encoding) in [(gzip as fn(&[u8]) -> Vec<u8>, "gzip"), (gzip, "X-GZIP"), (zlib, "deflate")] {
            let answer = house.call(packed(ask.clone(), pack, encoding));
            assert_eq!((answer.status, answer.text()), (200, plain.text()), "{} {encoding}", ask.uri);
        }
    }
}

#[test]
fn what_a_body_grows_to_is_bounded_on_every_route() {
    let mut small: ServeConfig = config();
    small.max_body_bytes = 1_000;
    let house = House { state: state(small, vec![numbers(1)]) };
    for mut ask in requests() {
        ask.body.extend(vec![b' '; 1_001 - ask.body.len()]);
        assert!(gzip(&ask.body).len() < 500);
        let refused = packed(ask.clone(), gzip, "gzip");
        house.refuses(refused, 413, "the body is larger than 1000 bytes when it is unpacked");
    }
    let bomb = packed(post("/invocations", vec![b' '; 10 << 20]), gzip, "gzip");
    assert!(bomb.body.len() < 20_000);
    let wide = crate::house::house(vec![numbers(1)]);
    wide.refuses(bomb, 413, "the body grows to more than 200 times its length when it is unpacked");
}

#[test]
fn broken_and_unknown_encodings_are_refused_on_every_route() {
    let house = house(vec![numbers(1)]);
    for ask in requests() {
        let mut torn = packed(ask.clone(), gzip, "gzip");
        torn.body.truncate(torn.body.len() / 2);
        house.refuses(torn, 400, "the compressed body is malformed or breaks off");
        house.refuses(ask.clone().with("content-encoding", "gzip"), 400, "the compressed body is malformed");
        for encoding in ["br", "zstd", "compress", "gzip, deflate", "<script>"] {
            let answer = house.call(ask.clone().with("content-encoding", encoding));
            assert_eq!(answer.status, 415, "{} {encoding}", ask.uri);
            assert!(!answer.text().contains("script"), "{}", answer.text());
        }
        let twice = ask.clone().with("content-encoding", "gzip").with("content-encoding", "gzip");
        assert_eq!(house.call(twice).status, 415);
    }
}

#[test]
fn the_length_of_json_before_tensors_is_that_of_the_unpacked_body() {
    let house = house(vec![numbers(1)]);
    let tensor = |name: &str, datatype: &str, size: usize| json!({"name":name,"shape":[1],"datatype":datatype,"parameters":{"binary_data_size":size}});
    let head = json!({"inputs":[tensor("a","FP64",8),tensor("b","INT64",8),tensor("c","BOOL",1)]}).to_string();
    let raw = [&0.25_f64.to_le_bytes()[..], &0_i64.to_le_bytes(), &[0]].concat();
    let ask = post("/v2/models/numbers/infer", [head.as_bytes(), &raw].concat())
        .set("content-type", "application/octet-stream")
        .with("inference-header-content-length", head.len().to_string());
    let plain = house.call(ask.clone());
    assert_eq!(plain.status, 200, "{}", plain.text());
    assert_eq!(house.call(packed(ask, gzip, "gzip")).text(), plain.text());
}

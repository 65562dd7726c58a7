#![allow(clippy::unwrap_used)]
//! Manifests that lie, and parts that are not what they should be.

use athanor_protocol::{Code, package::PartName};

use super::{
    super::{MAX_MANIFEST_BYTES, Package, build},
    fixture::*,
};
use crate::{
    LearnError,
    model::{ConstantModel, TrainedModel},
    predictor::Predictor,
    samples::Targets,
};

#[test]
fn lying_sizes_are_refused() {
    let file = unsigned();
    let entry = &Package::read(&file[..]).unwrap().manifest().parts[2].clone();
    let n_bytes = format!("\"n_bytes\":{},\"sha256\":\"{}\"", entry.n_bytes, entry.sha256);
    let with = |n: u64| forge(&file, &n_bytes, &format!("\"n_bytes\":{n},\"sha256\":\"{}\"", entry.sha256));
    check(with(u64::MAX), Code::Corrupt, "model: it should have 18446744073709551615 bytes, but the file ends after");
    check(with(1 << 40), Code::Corrupt, "model: it should have 1099511627776 bytes, but the file ends after");
    check(with(entry.n_bytes + 1), Code::Corrupt, "model: its bytes are not those that were packed");
    check(with(entry.n_bytes - 1), Code::Corrupt, "model: its bytes are not those that were packed");
    check(with(0), Code::Corrupt, "model: its bytes are not those that were packed");
    let negative = forge(&file, &n_bytes, &n_bytes.replace("\"n_bytes\":", "\"n_bytes\":-"));
    check(negative, Code::Corrupt, "manifest: invalid value: integer");
    let mut huge = file.clone();
    huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    check(huge, Code::TooLarge, "manifest is too large: 18446744073709551615 bytes are more than");
    let mut beyond = file.clone();
    beyond[16..24].copy_from_slice(&MAX_MANIFEST_BYTES.to_le_bytes());
    check(beyond, Code::Corrupt, "manifest: it should have 4194304 bytes, but the file ends after");
}

#[test]
fn parts_are_from_a_closed_list_each_once_in_order() {
    let file = unsigned();
    check(forge(&file, "\"part\":\"model\"", "\"part\":\"code\""), Code::Corrupt, "manifest: unknown variant `code`");
    check(
        forge(&file, "\"part\":\"encoder\"", "\"part\":\"recipe\""),
        Code::Corrupt,
        "manifest: the part \"recipe\" is there twice or not in its place",
    );
    check(forge(&file, "\"part\":\"model\"", "\"part\":\"weights\""), Code::Corrupt, "model: it is missing");
    let parts = vec![(PartName::Recipe, b"{}".to_vec()), (PartName::Recipe, b"{}".to_vec())];
    let err = build(Package::read(&file[..]).unwrap().manifest().clone(), parts).unwrap_err();
    assert_eq!(err.to_string(), "manifest: the part \"recipe\" is there twice or not in its place");
}

#[test]
fn a_manifest_that_is_not_written_as_we_write_it_is_refused() {
    let file = unsigned();
    let refuse = |from: &str, to: &str, expect: &str| check(forge(&file, from, to), Code::Corrupt, expect);
    let other = "manifest: it is not written as this program writes it";
    refuse("{\"version\":1,", "{\"version\":1,\"loader_module\":\"os\",", other);
    refuse("{\"version\":1,", "{\"version\":1,\"requirements\":[\"https://example.org/x.whl\"],", other);
    refuse("{\"version\":1,", "{ \"version\":1,", other);
    refuse("{\"version\":1,", "{\"version\":1,\"version\":1,", "manifest: duplicate field `version`");
    refuse("\"test/accuracy\"", "\"test/\\u0061ccuracy\"", other);
    refuse("\"value\":\"NaN\"", "\"value\":NaN", "manifest: ");
    refuse("\"value\":\"NaN\"", "\"value\":1e999", "manifest: ");
    refuse(
        "\"name\":\"table.csv\"",
        "\"name\":\"../table.csv\"",
        "manifest: the dataset name \"../table.csv\" is a path",
    );
    refuse(
        "\"name\":\"table.csv\"",
        "\"name\":\"C:\\\\t.csv\"",
        "manifest: the dataset name \"C:\\\\t.csv\" is a path",
    );
    refuse("\"workflow\":\"a test\"", "\"workflow\":\"a\\u0000\"", "manifest: workflow name ");
    refuse("\"classes\":[\"x\",\"y\"]", "\"classes\":[\"x\"]", "manifest: 1 classes do not go with the task binary");
    refuse("\"classes\":[\"x\",\"y\"]", "\"classes\":[\"x\",\"x\"]", "manifest: the class \"x\" is there twice");
    refuse("\"name\":\"b\",\"dtype\"", "\"name\":\"a\",\"dtype\"", "manifest: the input \"a\" is there twice");
}

#[test]
fn deep_and_huge_json_is_refused() {
    let file = unsigned();
    let deep = format!("{{\"version\":1,\"x\":{}{},", "[".repeat(100_000), "]".repeat(100_000));
    check(forge(&file, "{\"version\":1,", &deep), Code::Corrupt, "manifest: ");
    let long = "a".repeat(MAX_MANIFEST_BYTES as usize);
    check(forge(&file, "a test", &long), Code::TooLarge, "manifest is too large: ");
    for part in [PartName::Recipe, PartName::Encoder, PartName::Model, PartName::Statistics] {
        let bytes = format!("{{\"version\":1,\"kind\":\"trees\",\"body\":{}", "[".repeat(200_000));
        let err = with_part(part, bytes.as_bytes()).unwrap_err();
        assert_eq!((named(&err).as_str(), err.code()), (part.as_str(), Code::Corrupt));
    }
    // Whole, but deeper than any document of ours: refused where the model is built, without overflowing the stack.
    let closed = format!("{{\"version\":1,\"kind\":\"trees\",\"body\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    if let Ok(file) = with_part(PartName::Model, closed.as_bytes()) {
        let err = Predictor::from_package(&Package::read(file).unwrap(), "cpu").unwrap_err();
        assert_eq!((named(&err).as_str(), err.code()), ("model", Code::Corrupt));
    }
}

#[test]
fn a_newer_version_says_that_it_is_newer() {
    let mut file = unsigned();
    file[8] = 2;
    check(file, Code::Unsupported, "package has format version 2, this program reads up to 1");
    let mut file = unsigned();
    file[8] = 0;
    check(file, Code::Corrupt, "package: the format version is 0");
    let newer = forge(&unsigned(), "{\"version\":1,", "{\"version\":7,\"news\":{},");
    check(newer, Code::Unsupported, "manifest has format version 7, this program reads up to 1");
    for part in [PartName::Recipe, PartName::Encoder, PartName::Model, PartName::Statistics] {
        let result = with_part(part, b"{\"version\":9,\"kind\":\"from the future\"}");
        let err = match result {
            Ok(file) => Predictor::from_package(&Package::read(file).unwrap(), "cpu").unwrap_err(),
            Err(err) => err,
        };
        let expect = format!("{} has format version 9, this program reads up to 1", part.as_str());
        assert_eq!((err.to_string(), err.code()), (expect, Code::Unsupported));
    }
}

// ---- contents that are not what they should be ----

/// What `pickle.dumps(os.system)` and friends begin with, protocols 0 to 5, and archives that hold pickles.
const FOREIGN: [&[u8]; 9] = [
    b"cposix\nsystem\np0\n.",
    b"(lp0\nI1\na.",
    b"}q\x00X\x01\x00\x00\x00aq\x01K\x01s.",
    b"\x80\x02cposix\nsystem\nq\x00.",
    b"\x80\x04\x95\x17\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    b"\x80\x05K\x01.",
    b"PK\x03\x04\x14\x00data.pkl",
    b"\x1f\x8b\x08\x00model.joblib",
    b"\x89HDF\r\n\x1a\n",
];

#[test]
fn pickles_and_archives_are_refused_by_content() {
    for bytes in FOREIGN {
        let err = Package::read(bytes).map(|_| ()).unwrap_err();
        assert!(err.to_string().starts_with("header: this is no model package but "), "{err}");
        for part in [PartName::Recipe, PartName::Encoder, PartName::Model, PartName::Weights, PartName::Statistics] {
            let err = with_part(part, bytes).unwrap_err();
            assert!(err.to_string().starts_with(&format!("{}: it is ", part.as_str())), "{err}");
            assert_eq!(err.code(), Code::Corrupt);
        }
    }
    for bytes in [&b""[..], b"hello", b"{\"version\":1}", b"\x89PNG\r\n\x1a\n0000"] {
        assert_eq!(named(&Package::read(bytes).map(|_| ()).unwrap_err()), "header");
    }
}

#[test]
fn parts_that_are_not_what_their_name_says_are_refused() {
    let package = Package::read(unsigned()).unwrap();
    let parts = [PartName::Recipe, PartName::Encoder, PartName::Model, PartName::Statistics];
    for part in parts {
        for bytes in [&b""[..], b"{}", b"null", b"[]", b"\xff\xfe{", b"{\"version\":\"1\"}", b"{\"version\":1e0}"] {
            let err = with_part(part, bytes).unwrap_err();
            assert_eq!((named(&err).as_str(), err.code()), (part.as_str(), Code::Corrupt), "{err}");
        }
        // One part's bytes under another's name.
        for other in parts.into_iter().filter(|other| *other != part) {
            let err = match with_part(part, package.part(other).unwrap()) {
                Ok(file) => Predictor::from_package(&Package::read(file).unwrap(), "cpu").unwrap_err(),
                Err(err) => err,
            };
            assert_eq!(err.code(), Code::Corrupt, "{} as {}: {err}", other.as_str(), part.as_str());
        }
    }
}

#[test]
fn weights_that_are_not_whole_finite_32_bit_tensors_are_refused() {
    let f32s = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let header = |dtype: &str, shape: &str, end: u64| {
        format!("{{\"w\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    let good = tensors(&header("F32", "[2]", 8), &f32s(&[1.0, 2.0]));
    Package::read(with_part(PartName::Weights, &good).unwrap()).unwrap();
    let refuse = |bytes: &[u8], expect: &str| {
        let err = with_part(PartName::Weights, bytes).unwrap_err();
        assert_eq!(err.code(), Code::Corrupt);
        assert!(err.to_string().starts_with(expect), "{err} begins with {expect}");
    };
    let not_finite = "weights: the tensor \"w\" holds a number that is not finite";
    refuse(&tensors(&header("F32", "[2]", 8), &f32s(&[1.0, f32::NAN])), not_finite);
    refuse(&tensors(&header("F32", "[2]", 8), &f32s(&[f32::NEG_INFINITY, 0.0])), not_finite);
    refuse(&tensors(&header("F64", "[1]", 8), &[0; 8]), "weights: the tensor \"w\" holds F64 where F32 was expected");
    let not_tensors = "weights: it is not safetensors: ";
    refuse(&good[..good.len() - 1], not_tensors);
    refuse(&[&good[..], &[0]].concat(), not_tensors);
    refuse(&good[..20], not_tensors);
    refuse(&tensors(&header("F32", "[3]", 8), &[0; 8]), not_tensors);
    refuse(&tensors(&header("F32", "[4611686018427387904,4]", 8), &[0; 8]), not_tensors);
    refuse(&tensors(&header("F32", "[18446744073709551615,2]", 8), &[0; 8]), not_tensors);
    refuse(&tensors(&header("F32", "[-2]", 8), &[0; 8]), not_tensors);
    refuse(&tensors(&header("F32", "[2]", u64::MAX), &[0; 8]), not_tensors);
    refuse(&[u64::MAX.to_le_bytes().as_slice(), b"{}"].concat(), not_tensors);
    refuse(&tensors(&"[".repeat(10_000), &[]), not_tensors);
    let two = |first: &str, second: &str| {
        let tensor = |offsets: &str| format!("{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{offsets}}}");
        tensors(&format!("{{\"a\":{},\"b\":{}}}", tensor(first), tensor(second)), &[0; 8])
    };
    Package::read(with_part(PartName::Weights, &two("[0,4]", "[4,8]")).unwrap()).unwrap();
    refuse(&two("[0,4]", "[0,4]"), not_tensors);
    refuse(&two("[0,4]", "[2,6]"), not_tensors);
    refuse(&two("[0,4]", "[5,9]"), not_tensors);
}

#[test]
fn parts_that_do_not_fit_each_other_are_refused() {
    let load = |file: Result<Vec<u8>, LearnError>| {
        Predictor::from_package(&Package::read(file.unwrap()).unwrap(), "cpu").unwrap_err().to_string()
    };
    let targets = Targets::Class { labels: vec![0, 1], n_classes: 2 };
    let wide = TrainedModel::Constant(ConstantModel::fit(7, &targets).unwrap()).to_parts().unwrap().model_json;
    let n_features = encoder(&["a", "b"]).n_features();
    assert_eq!(
        load(with_part(PartName::Model, &wide)),
        format!("model: it takes 7 features, the encoder gives {n_features}")
    );
    let needs_id = encoder(&["a", "id"]).to_json().unwrap();
    let expect = "recipe: it does not give the column \"id\", which the encoder needs";
    assert_eq!(load(with_part(PartName::Encoder, &needs_id)), expect);
    let weights = tensors("{}", &[]);
    let err = load(with_part(PartName::Weights, &weights));
    assert_eq!(err, "model: a model of kind 'constant' has no weights, but some are there");
    let wants_more = serde_json::to_vec(&recipe(vec![])).unwrap();
    let err = load(with_part(PartName::Recipe, &wants_more));
    assert_eq!(err, "recipe: it needs the column \"id\", which the signature does not have");
    let swapped = forge(&unsigned(), "[\"x\",\"y\"]", "[\"y\",\"x\"]");
    assert_eq!(load(Ok(swapped)), "encoder: its task or classes are not those of the manifest's signature");
}

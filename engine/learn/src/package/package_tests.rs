#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, TrainSpec},
    metric::MetricValue,
    package::{DatasetUsed, FinalMetric, Lineage, PartName},
    recipe::{FillValue, FittedRecipe, FittedStep},
    signature::Task,
    table::{ColumnSchema, DataType, TableSchema},
};
use proptest::prelude::*;

use super::{
    BLOCK_BYTES, HEADER_BYTES, MAX_MANIFEST_BYTES, Package, RunPackage, SignatureStatus, SigningKey, build,
    keys::sha256, package_run, sign,
};
use crate::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    model::{ConstantModel, TrainedModel},
    predictor::{Outputs, Predictor},
    samples::Targets,
    statistics,
};

// ---- what the tests stand on ----

fn column(name: &str, values: &[f64]) -> Column {
    Column { name: name.into(), data: ColumnData::Float(values.to_vec()) }
}

fn raw() -> Frame {
    let kinds = ["x", "y", "x", "x"].map(|kind| Some(kind.into())).to_vec();
    Frame::new(vec![
        column("id", &[1.0, 2.0, 3.0, 4.0]),
        column("a", &[1.0, f64::NAN, 3.0, 5.0]),
        column("b", &[0.5, 1.0, 0.0, 2.0]),
        Column { name: "kind".into(), data: ColumnData::Text(kinds) },
    ])
    .unwrap()
}

fn encoder(features: &[&str]) -> FittedEncoder {
    let features: Vec<String> = features.iter().map(|&name| name.to_owned()).collect();
    FittedEncoder::fit(&raw(), "kind", &features, TaskChoice::Auto, EncodeOptions::default()).unwrap().0
}

fn recipe(steps: Vec<FittedStep>) -> FittedRecipe {
    let columns = [("id", DataType::Float), ("a", DataType::Float), ("b", DataType::Float), ("kind", DataType::Text)];
    let columns = columns.map(|(name, dtype)| ColumnSchema { name: name.to_owned(), dtype }).to_vec();
    let schema = TableSchema { columns };
    FittedRecipe { version: 1, input: schema.clone(), steps, output: schema }
}

fn lineage() -> Lineage {
    let digest = format!("blake3:{}", "0".repeat(64));
    Lineage {
        run_id: "r".repeat(26),
        workflow: "a test".to_owned(),
        workflow_digest: digest.clone(),
        datasets: vec![DatasetUsed { name: "/home/me/b\\table.csv".to_owned(), digest, n_rows: 4 }],
        versions: vec![("athanor".to_owned(), "0.1.0".to_owned())],
        train: TrainSpec {
            learner: LearnerSpec::Constant,
            target: "kind".to_owned(),
            features: vec![],
            seed: 1,
            device: "cpu".to_owned(),
            dtype: FloatType::F32,
            threads: 1,
        },
    }
}

fn run_of(recipe: &FittedRecipe, encoder: &FittedEncoder) -> Result<Vec<u8>, LearnError> {
    let labelled = encoder.encode_labelled(&raw())?;
    let constant = ConstantModel::fit(encoder.n_features(), &labelled.targets)?;
    let outputs = Outputs {
        n_rows: 1,
        classes: vec!["x".into(), "y".into()].into(),
        label: Some(vec!["x".into()]),
        probabilities: Some(vec![0.75, 0.25]),
        value: None,
    };
    package_run(RunPackage {
        model: &TrainedModel::Constant(constant),
        encoder,
        recipe,
        statistics: &statistics::collect(&raw(), &recipe.input, &outputs)?,
        lineage: lineage(),
        metrics: vec![FinalMetric { key: "test/accuracy".to_owned(), value: MetricValue::NaN }],
        created_at_millis: 1_700_000_000_000,
        athanor_version: "0.1.0",
    })
}

fn unsigned() -> Vec<u8> {
    let fill = FittedStep::Fill { values: vec![("a".to_owned(), FillValue::Number(2.5))] };
    run_of(&recipe(vec![fill]), &encoder(&["a", "b"])).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32])
}

fn signed() -> Vec<u8> {
    sign(unsigned(), &key(1)).unwrap()
}

/// A safetensors file of one tensor.
fn tensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// The package with one part replaced or added, put together again with right digests.
fn with_part(part: PartName, bytes: &[u8]) -> Result<Vec<u8>, LearnError> {
    let package = Package::read(unsigned()).unwrap();
    let names = [PartName::Recipe, PartName::Encoder, PartName::Model, PartName::Statistics];
    let mut parts: Vec<(PartName, Vec<u8>)> =
        names.into_iter().filter(|name| *name != part).map(|name| (name, package.part(name).unwrap().to_vec())).collect();
    parts.push((part, bytes.to_vec()));
    build(package.manifest().clone(), parts)
}

/// The file with its manifest's text changed and the header made to fit, as somebody who knows the format would do.
fn forge(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    let n_manifest = u64::from_le_bytes(file[16..24].try_into().unwrap()) as usize;
    let manifest = std::str::from_utf8(&file[HEADER_BYTES..HEADER_BYTES + n_manifest]).unwrap();
    assert!(manifest.contains(from), "{from} is in {manifest}");
    let manifest = manifest.replacen(from, to, 1);
    let mut forged = file[..16].to_vec();
    forged.extend_from_slice(&(manifest.len() as u64).to_le_bytes());
    forged.extend_from_slice(&sha256(manifest.as_bytes()));
    forged.extend_from_slice(manifest.as_bytes());
    forged.extend_from_slice(&file[HEADER_BYTES + n_manifest..]);
    forged
}

/// What every message begins with: the name of what is wrong.
fn named(err: &LearnError) -> String {
    err.to_string().split([':', ' ']).next().unwrap().to_owned()
}

fn check(bytes: Vec<u8>, code: Code, message: &str) {
    match Package::read(bytes) {
        Ok(_) => panic!("accepted where {message:?} was expected"),
        Err(err) => {
            assert!(err.to_string().starts_with(message), "{err} begins with {message}");
            assert_eq!(err.code(), code, "{err}");
        }
    }
}

/// Which part of a package a byte belongs to.
fn owners(file: &[u8]) -> Vec<String> {
    let package = Package::read(file).unwrap();
    let n_manifest = u64::from_le_bytes(file[16..24].try_into().unwrap()) as usize;
    let mut owners = vec!["header".to_owned(); HEADER_BYTES];
    owners.extend(vec!["manifest".to_owned(); n_manifest]);
    for entry in &package.manifest().parts {
        owners.extend(vec![entry.part.as_str().to_owned(); entry.n_bytes as usize]);
    }
    owners.extend(vec!["signature".to_owned(); BLOCK_BYTES]);
    assert_eq!(owners.len(), file.len());
    owners
}

// ---- what a good package is ----

#[test]
fn a_package_is_read_back_and_predicts() {
    let package = Package::read(signed()).unwrap();
    package.verify(&["0".repeat(64), key(1).public_hex().to_uppercase()]).unwrap();
    let signature = &package.manifest().signature;
    assert_eq!((signature.task, signature.target.as_str()), (Task::Binary, "kind"));
    assert_eq!(signature.classes, ["x", "y"]);
    // Neither the target nor the column that nobody needs has to be sent; the one that is filled may be missing.
    let inputs: Vec<_> = signature.inputs.iter().map(|input| (input.name.as_str(), input.nullable)).collect();
    assert_eq!(inputs, [("a", true), ("b", false)]);
    assert_eq!(package.manifest().lineage.datasets[0].name, "table.csv", "folders are cut off");
    let statistics = package.statistics().unwrap();
    assert_eq!(statistics.inputs.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);

    let predictor = Predictor::from_package(&package, "cpu").unwrap();
    assert_eq!(predictor.recipe(), &package.recipe().unwrap());
    let rows = Frame::new(vec![column("b", &[0.0, 1.0]), column("a", &[1.0, 2.0])]).unwrap();
    let outputs = predictor.predict(&rows).unwrap();
    assert_eq!(outputs.label.unwrap(), ["x".into(), "x".into()] as [std::sync::Arc<str>; 2]);
    assert_eq!(outputs.probabilities.unwrap(), [0.75, 0.25, 0.75, 0.25]);
    assert_eq!((outputs.n_rows, outputs.value), (2, None));
    let err = predictor.predict(&Frame::new(vec![column("a", &[1.0])]).unwrap()).unwrap_err();
    assert_eq!(err.to_string(), "column \"b\" is missing");
}

#[test]
fn equal_input_gives_equal_bytes() {
    assert!(unsigned() == unsigned() && signed() == signed());
    let again = sign(sign(unsigned(), &key(2)).unwrap(), &key(1)).unwrap();
    assert!(again == signed(), "signing again replaces the signature");
    let content = |file: Vec<u8>| Package::read(file).unwrap().content_sha256();
    assert_eq!(content(signed()), content(sign(unsigned(), &key(2)).unwrap()));
}

#[test]
fn a_feature_computed_from_the_target_is_refused() {
    let derive = FittedStep::Derive { column: "a".to_owned(), expression: "CASE WHEN Kind = 'x' THEN 1 END".to_owned() };
    let err = run_of(&recipe(vec![derive]), &encoder(&["a", "b"])).unwrap_err();
    assert_eq!(err.to_string(), "a feature is computed from the target \"kind\"");
    assert_eq!(err.code(), Code::BadData);
}

// ---- keys and signatures ----

#[test]
fn keys_are_32_bytes_and_are_not_printed() {
    let pair = key(7);
    assert_eq!(SigningKey::from_bytes(&pair.to_bytes()).unwrap().public_hex(), pair.public_hex());
    assert_eq!(pair.public_hex().len(), 64);
    assert!(!format!("{pair:?}").contains("0707"));
    let err = SigningKey::from_bytes(&[0; 31]).unwrap_err();
    assert_eq!(err.to_string(), "signing key: it has 31 bytes where 32 were expected");
    // RFC 8032, section 7.1, test 1.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap()).collect();
    let public = SigningKey::from_bytes(&bytes).unwrap().public_hex();
    assert_eq!(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

#[test]
fn only_a_trusted_key_is_trusted() {
    let untrusted = |file: Vec<u8>, trusted: &[String]| {
        let err = Package::read(file).unwrap().verify(trusted).unwrap_err();
        assert_eq!(err.code(), Code::Untrusted);
        err.to_string()
    };
    let trusted = [key(1).public_hex()];
    assert_eq!(untrusted(unsigned(), &trusted), "signature: the package is not signed");
    assert_eq!(Package::read(unsigned()).unwrap().signature(), &SignatureStatus::Unsigned);
    let other = sign(unsigned(), &key(2)).unwrap();
    let expect = format!("signature: the key {} is not one that is trusted here", key(2).public_hex());
    assert_eq!(untrusted(other, &trusted), expect);
    assert!(untrusted(signed(), &[]).ends_with("is not one that is trusted here"));
}

#[test]
fn wrong_signatures_are_refused() {
    let file = signed();
    let at = file.len() - BLOCK_BYTES;
    let refuse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file.clone();
        change(&mut file);
        check(file, Code::Untrusted, "signature: it does not fit the package's bytes");
    };
    // Another key with this signature, a signature of another package, zeros, a key of small order with any signature.
    let other = sign(unsigned(), &key(2)).unwrap();
    refuse(&|file| file[at..at + 32].copy_from_slice(&other[at..at + 32]));
    refuse(&|file| file[at + 32..].copy_from_slice(&other[at + 32..]));
    refuse(&|file| file[at..].fill(0));
    refuse(&|file| {
        file[at..].fill(0);
        file[at] = 1;
        file[at + 32] = 1;
    });
    // A change that makes every digest fit again does not make the signature fit.
    let changed = forge(&file, "\"test/accuracy\"", "\"test/Accuracy\"");
    check(changed, Code::Untrusted, "signature: it does not fit the package's bytes");
    // Taking the signature off is not the same as never having had one.
    let mut stripped = file.clone();
    stripped[12] = 0;
    check(stripped, Code::Corrupt, "signature: there is one, but the header says that there is none");
    // A signature of the same bytes for another purpose (without our domain) is none of a package.
    let mut foreign = file.clone();
    let bare = ed25519_dalek::Signer::sign(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]), &sha256(&file[..at]));
    foreign[at + 32..].copy_from_slice(&bare.to_bytes());
    check(foreign, Code::Untrusted, "signature: it does not fit the package's bytes");
}

// ---- every byte counts ----

#[test]
fn any_flipped_bit_is_refused_and_the_error_names_the_part() {
    for file in [unsigned(), signed()] {
        for (at, owner) in owners(&file).iter().enumerate() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                let err = Package::read(changed).map(|_| ()).unwrap_err();
                let allowed: &[&str] = match at {
                    8..12 => &["package"],
                    12..16 => &["header", "signature"],
                    16..HEADER_BYTES => &["manifest"],
                    _ => &[owner],
                };
                assert!(allowed.contains(&named(&err).as_str()), "byte {at} of {owner}, bit {bit}: {err}");
            }
        }
    }
}

#[test]
fn any_truncation_is_refused_and_the_error_names_the_part() {
    for file in [unsigned(), signed()] {
        for (length, owner) in owners(&file).iter().enumerate() {
            let err = Package::read(&file[..length]).map(|_| ()).unwrap_err();
            assert_eq!((named(&err), err.code()), (owner.clone(), Code::Corrupt), "cut to {length} bytes: {err}");
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for file in [unsigned(), signed()] {
        for tail in [&[0][..], &[0; BLOCK_BYTES], b"PK\x05\x06"] {
            let expect = format!("package: {} bytes follow its end", tail.len());
            check([&file, tail].concat(), Code::Corrupt, &expect);
        }
        check([&file[..], &file].concat(), Code::Corrupt, &format!("package: {} bytes follow its end", file.len()));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), n in 0_usize..60) {
        let mut file = unsigned()[..n].to_vec();
        file.extend_from_slice(&bytes);
        prop_assert!(Package::read(file).is_err());
    }

    #[test]
    fn any_replaced_run_of_bytes_is_refused(start in 0.0..1.0, bytes in prop::collection::vec(any::<u8>(), 1..40)) {
        let file = signed();
        let at = ((file.len() - bytes.len()) as f64 * start) as usize;
        let mut changed = file.clone();
        changed[at..at + bytes.len()].copy_from_slice(&bytes);
        prop_assume!(changed != file);
        prop_assert!(Package::read(changed).is_err());
    }
}

// ---- manifests that lie ----

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
    check(
        forge(&file, "\"part\":\"model\"", "\"part\":\"weights\""),
        Code::Corrupt,
        "model: it is missing",
    );
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
    refuse("\"name\":\"table.csv\"", "\"name\":\"../table.csv\"", "manifest: the dataset name \"../table.csv\" is a path");
    refuse("\"name\":\"table.csv\"", "\"name\":\"C:\\\\t.csv\"", "manifest: the dataset name \"C:\\\\t.csv\" is a path");
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

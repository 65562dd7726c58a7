#![allow(clippy::unwrap_used)]
//! What the tests of packages stand on: a small package, and ways to spoil it.

use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, TrainSpec},
    metric::MetricValue,
    package::{DatasetUsed, FinalMetric, Lineage, PartName},
    recipe::{FillValue, FittedRecipe, FittedStep},
    table::{ColumnSchema, DataType, TableSchema},
};

use super::super::{
    BLOCK_BYTES, HEADER_BYTES, Package, RunPackage, SigningKey, build, keys::sha256, package_run, sign,
};
use crate::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    model::{ConstantModel, TrainedModel},
    predictor::Outputs,
    statistics,
};

pub(super) fn column(name: &str, values: &[f64]) -> Column {
    Column { name: name.into(), data: ColumnData::Float(values.to_vec()) }
}

pub(super) fn raw() -> Frame {
    let kinds = ["x", "y", "x", "x"].map(|kind| Some(kind.into())).to_vec();
    Frame::new(vec![
        column("id", &[1.0, 2.0, 3.0, 4.0]),
        column("a", &[1.0, f64::NAN, 3.0, 5.0]),
        column("b", &[0.5, 1.0, 0.0, 2.0]),
        Column { name: "kind".into(), data: ColumnData::Text(kinds) },
    ])
    .unwrap()
}

pub(super) fn encoder(features: &[&str]) -> FittedEncoder {
    let features: Vec<String> = features.iter().map(|&name| name.to_owned()).collect();
    FittedEncoder::fit(&raw(), "kind", &features, TaskChoice::Auto, EncodeOptions::default()).unwrap().0
}

pub(super) fn recipe(steps: Vec<FittedStep>) -> FittedRecipe {
    let columns = [("id", DataType::Float), ("a", DataType::Float), ("b", DataType::Float), ("kind", DataType::Text)];
    let columns = columns.map(|(name, dtype)| ColumnSchema { name: name.to_owned(), dtype }).to_vec();
    let schema = TableSchema { columns };
    FittedRecipe { version: 1, input: schema.clone(), steps, output: schema }
}

pub(super) fn lineage() -> Lineage {
    let digest = format!("blake3:{}", "0".repeat(64));
    Lineage {
        run_id: "r".repeat(26),
        workflow: "a test".to_owned(),
        workflow_digest: digest.clone(),
        datasets: vec![DatasetUsed { name: "/home/me/b\\table.csv".to_owned(), digest, n_rows: 4 }],
        versions: vec![("athanor".to_owned(), "0.1.0".to_owned())],
        train: Some(TrainSpec {
            learner: LearnerSpec::Constant,
            target: "kind".to_owned(),
            features: vec![],
            seed: 1,
            device: "cpu".to_owned(),
            dtype: FloatType::F32,
            threads: 1,
        }),
    }
}

pub(super) fn run_of(recipe: &FittedRecipe, encoder: &FittedEncoder) -> Result<Vec<u8>, LearnError> {
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

pub(super) fn unsigned() -> Vec<u8> {
    let fill = FittedStep::Fill { values: vec![("a".to_owned(), FillValue::Number(2.5))] };
    run_of(&recipe(vec![fill]), &encoder(&["a", "b"])).unwrap()
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32])
}

pub(super) fn signed() -> Vec<u8> {
    sign(unsigned(), &key(1)).unwrap()
}

/// A safetensors file of one tensor.
pub(super) fn tensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// The package with one part replaced or added, put together again with right digests.
pub(super) fn with_part(part: PartName, bytes: &[u8]) -> Result<Vec<u8>, LearnError> {
    let package = Package::read(unsigned()).unwrap();
    let names = [PartName::Recipe, PartName::Encoder, PartName::Model, PartName::Statistics];
    let mut parts: Vec<(PartName, Vec<u8>)> = names
        .into_iter()
        .filter(|name| *name != part)
        .map(|name| (name, package.part(name).unwrap().to_vec()))
        .collect();
    parts.push((part, bytes.to_vec()));
    build(package.manifest().clone(), parts)
}

/// The file with its manifest's text changed and the header made to fit, as somebody who knows the format would do.
pub(super) fn forge(file: &[u8], from: &str, to: &str) -> Vec<u8> {
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
pub(super) fn named(err: &LearnError) -> String {
    err.to_string().split([':', ' ']).next().unwrap().to_owned()
}

pub(super) fn check(bytes: Vec<u8>, code: Code, message: &str) {
    match Package::read(bytes) {
        Ok(_) => panic!("accepted where {message:?} was expected"),
        Err(err) => {
            assert!(err.to_string().starts_with(message), "{err} begins with {message}");
            assert_eq!(err.code(), code, "{err}");
        }
    }
}

/// Which part of a package a byte belongs to.
pub(super) fn owners(file: &[u8]) -> Vec<String> {
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

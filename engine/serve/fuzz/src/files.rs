//! Files that somebody hands over: packages and ONNX.

use std::sync::Arc;

use athanor_datasets::Replay;
use athanor_learn::{
    onnx::{About, OnnxModel, export, inspect, package_onnx},
    package::{Package, build},
};
use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
    learner::{LearnerSpec, TreesConfig},
    network::ModelSpec,
    package::Manifest,
    signature::ModelSignature,
    table::DataType,
};
use athanor_serve::{Model, PackagedModel, Served};

use crate::trained::{self, optim};

/// Where a package's manifest begins: behind the magic bytes, version, flags, the manifest's length and its digest.
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 32;
/// The signature at the end.
const BLOCK_BYTES: usize = 96;

/// Reads a package, loads it and predicts with it.
///
/// Digests refuse nearly every change, so what they cover is also packed anew as it is: then everything behind them
/// meets the same bytes.
///
/// # Panics
/// If it is not refused in words.
pub fn package(bytes: &[u8]) {
    if let Ok(package) = Package::read(bytes) {
        use_package(&package);
    }
    if let Some(sealed) = sealed(bytes) {
        // What was written is what can be read.
        use_package(&Package::read(sealed).unwrap());
    }
}

/// The manifest and the parts of something like a package, packed with digests that fit.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let n_manifest = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    let end = HEADER_BYTES.checked_add(usize::try_from(n_manifest).ok()?)?;
    let manifest: Manifest = serde_json::from_slice(bytes.get(HEADER_BYTES..end)?).ok()?;
    let mut rest = bytes.get(end..bytes.len().checked_sub(BLOCK_BYTES)?)?;
    let mut parts = vec![];
    let n_parts = manifest.parts.len();
    for (at, entry) in manifest.parts.iter().enumerate() {
        let n_bytes = usize::try_from(entry.n_bytes).unwrap_or(usize::MAX).min(rest.len());
        // What was inserted or taken away shifts the others; the last part takes what is left.
        let (part, after) = rest.split_at(if at + 1 == n_parts { rest.len() } else { n_bytes });
        parts.push((entry.part, part.to_vec()));
        rest = after;
    }
    build(manifest, parts).ok()
}

fn use_package(package: &Package) {
    let Ok(model) = PackagedModel::new(package, "cpu").map(Arc::new) else { return };
    if Served::new("model", 1, Arc::clone(&model) as Arc<dyn Model>).is_err() {
        return;
    }
    if let Err(failure) = model.predict(&frame(model.signature())) {
        no_fault(&failure);
    }
}

fn no_fault(failure: &Failure) {
    assert_ne!(failure.code, Code::Internal, "{failure:?}");
}

/// Rows of every kind of value: something, something far away, nothing.
fn frame(signature: &ModelSignature) -> Frame {
    let column = |name: &str, dtype: DataType| {
        let data = match dtype {
            DataType::Int => ColumnData::Int(vec![Some(3), Some(i64::MAX), None]),
            DataType::Bool => ColumnData::Bool(vec![Some(true), Some(false), None]),
            DataType::Text => ColumnData::Text(vec![Some(Arc::from("red")), Some(Arc::from("\u{0}x")), None]),
            DataType::Date | DataType::Datetime => {
                ColumnData::Datetime(vec![Some(86_400_000_000), Some(i64::MAX), None])
            }
            _ => ColumnData::Float(vec![1.5, 1e300, f64::NAN]),
        };
        Column { name: name.into(), data }
    };
    // Names are told apart by whoever read the package.
    Frame::new(signature.inputs.iter().map(|input| column(&input.name, input.dtype)).collect()).unwrap()
}

/// Packages of the learners that are small.
pub(crate) fn packages() -> Vec<Vec<u8>> {
    learners().into_iter().map(|learner| trained::package(learner).0).chain(of_onnx()).collect()
}

fn learners() -> Vec<LearnerSpec> {
    let trees = TreesConfig {
        n_rounds: 2,
        learning_rate: 0.1,
        n_leaves: 4,
        min_rows_in_leaf: 5,
        feature_fraction: 1.0,
        bagging_fraction: 1.0,
        l2: 0.0,
        patience: None,
    };
    vec![
        LearnerSpec::Constant,
        LearnerSpec::Linear { optim: optim() },
        LearnerSpec::Network { model: ModelSpec::mlp(&[3], 0.0), optim: optim() },
        LearnerSpec::Trees { trees },
    ]
}

fn of_onnx() -> Vec<Vec<u8>> {
    onnx_files().into_iter().filter_map(|file| package_onnx(&file, 0, "0.1.0").ok()).collect()
}

/// Reads an ONNX file as an import does, and predicts with it.
///
/// # Panics
/// If it is not refused in words.
pub fn onnx(bytes: &[u8]) {
    let is_read = inspect(bytes).is_ok();
    let Ok(model) = OnnxModel::open(bytes) else { return };
    assert!(is_read, "what is opened can be looked at");
    if let Err(err) = model.predict(&frame(model.signature())) {
        no_fault(&err.into());
    }
}

/// What our own learners are exported as.
pub(crate) fn onnx_files() -> Vec<Vec<u8>> {
    let about = About { model: "model", version: 1, package_sha256: "", intended_use: "", athanor_version: "0.1.0" };
    let files = learners().into_iter().filter_map(|learner| {
        let package = Package::read(trained::package(learner).0).unwrap();
        let replay = Replay::new(&package.recipe().unwrap()).unwrap();
        let prepare = |rows: &Frame| Ok(replay.apply(rows)?);
        export(&package, &about, &prepare).ok().map(|exported| exported.bytes)
    });
    files.collect()
}

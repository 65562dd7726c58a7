//! What a manifest and each part must look like, beyond their digests.

use std::collections::BTreeSet;

use athanor_protocol::{
    names::check_text,
    package::{Manifest, PartName, Statistics},
    recipe::FittedRecipe,
    signature::Task,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{MAX_DOCUMENT_BYTES, PACKAGE_VERSION, corrupt, too_large};
use crate::error::LearnError;

/// The newest recipe that this program reads.
pub(super) const RECIPE_VERSION: u32 = 1;
/// The newest statistics that this program reads.
pub(super) const STATISTICS_VERSION: u32 = 1;
/// The most tensors of a weights part; the largest network of ours has a few thousand.
const MAX_TENSORS: usize = 100_000;

/// Refuses a version that is newer than ours, and 0, which nobody wrote.
pub(super) fn version(part: &str, found: u64, newest: u32) -> Result<(), LearnError> {
    match found {
        0 => Err(corrupt(part, "the format version is 0")),
        found if found > u64::from(newest) => {
            Err(LearnError::Version { part: part.to_owned(), found, newest: newest.into() })
        }
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

/// The version that a JSON document gives. Read on its own, so that a newer document says that it is newer and not that
/// a member is unknown.
fn document_version(part: &str, bytes: &[u8], newest: Option<u32>) -> Result<(), LearnError> {
    let head: Head = serde_json::from_slice(bytes).map_err(|err| not_json(part, bytes, &err))?;
    version(part, head.version, newest.unwrap_or(u32::MAX))
}

/// Reads a document that must be written exactly as we write it: compact, members in their order, none unknown, none
/// twice, numbers in their shortest form.
pub(super) fn read_canonical<T>(part: &str, bytes: &[u8], newest: u32) -> Result<T, LearnError>
where
    T: DeserializeOwned + Serialize,
{
    document_version(part, bytes, Some(newest))?;
    let value: T = serde_json::from_slice(bytes).map_err(|err| not_json(part, bytes, &err))?;
    match serde_json::to_vec(&value) {
        Ok(again) if again == bytes => Ok(value),
        _ => Err(corrupt(part, "it is not written as this program writes it")),
    }
}

fn not_json(part: &str, bytes: &[u8], err: &serde_json::Error) -> LearnError {
    match foreign(bytes) {
        Some(other) => corrupt(part, format!("it is {other}")),
        None => corrupt(part, err.to_string()),
    }
}

/// What a file of another kind is, told by its content. Pickles can run code when they are read, so they get a name.
pub(crate) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 7] = [
        (b"PK\x03\x04", "a zip archive (.zip, .pt, .keras, .mar, .npz), which may hold pickles or scripts"),
        (b"\x1f\x8b", "a gzip file (.tar.gz, .joblib), which may hold pickles or scripts"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5)"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x08\x03\x12", "an ONNX model"),
    ];
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(name);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    // Protocols 2 to 5 begin with PROTO and the version; 0 and 1 have no mark, but every pickle ends in STOP, and theirs
    // begin with a mark, a global, or an empty container.
    let is_marked = matches!(bytes, [0x80, 2..=5, ..]);
    let is_old = matches!(bytes, [b'(' | b'c' | b'}' | b']' | b')', .., b'.']);
    (is_marked || is_old).then_some("a Python pickle, which runs code when it is read")
}

/// Checks what the manifest says of itself.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<(), LearnError> {
    let refuse = |message: String| Err(corrupt("manifest", message));
    let text = |what: &'static str, text: &str| {
        check_text(what, text, 1 << 16).map_err(|err| corrupt("manifest", err.to_string()))
    };
    text("program version", &manifest.athanor_version)?;
    text("run id", &manifest.lineage.run_id)?;
    text("workflow name", &manifest.lineage.workflow)?;
    for dataset in &manifest.lineage.datasets {
        text("dataset name", &dataset.name)?;
        if dataset.name.contains(['/', '\\']) {
            return refuse(format!("the dataset name {:?} is a path", short(&dataset.name)));
        }
    }
    for pair in manifest.parts.windows(2) {
        if pair[0].part >= pair[1].part {
            return refuse(format!("the part {:?} is there twice or not in its place", pair[1].part.as_str()));
        }
    }
    let has = |part: PartName| manifest.parts.iter().any(|entry| entry.part == part);
    let ours = [PartName::Encoder, PartName::Model];
    let mut needed = vec![PartName::Recipe, PartName::Statistics];
    if has(PartName::Onnx) {
        if let Some(part) = ours.into_iter().chain([PartName::Weights]).find(|part| has(*part)) {
            return Err(corrupt(part.as_str(), "it is there beside an ONNX file"));
        }
    } else {
        needed.splice(1..1, ours);
    }
    if let Some(part) = needed.into_iter().find(|part| !has(*part)) {
        return Err(corrupt(part.as_str(), "it is missing"));
    }
    for entry in &manifest.parts {
        let is_document = !matches!(entry.part, PartName::Model | PartName::Weights | PartName::Onnx);
        if is_document && entry.n_bytes > MAX_DOCUMENT_BYTES {
            return Err(too_large(entry.part.as_str(), entry.n_bytes, MAX_DOCUMENT_BYTES));
        }
    }
    let signature = &manifest.signature;
    let fits = match signature.task {
        Task::Binary => signature.classes.len() == 2,
        Task::Multiclass => signature.classes.len() > 2,
        Task::Regression => signature.classes.is_empty(),
    };
    if !fits {
        return refuse(format!(
            "{} classes do not go with the task {}",
            signature.classes.len(),
            signature.task.as_str()
        ));
    }
    let mut classes = BTreeSet::new();
    if let Some(class) = signature.classes.iter().find(|class| !classes.insert(class.as_str())) {
        return refuse(format!("the class {:?} is there twice", short(class)));
    }
    let mut inputs = BTreeSet::new();
    if let Some(input) = signature.inputs.iter().find(|input| !inputs.insert(input.name.as_str())) {
        return refuse(format!("the input {:?} is there twice", short(&input.name)));
    }
    if manifest.version != PACKAGE_VERSION {
        return refuse(format!("its version {} is not the header's", manifest.version));
    }
    Ok(())
}

/// Checks that a part is what its name says: recipe and statistics in full, encoder and model as far as it goes without
/// building them, weights as safetensors of 32-bit floats whose offsets cover their bytes without gap or overlap.
pub(super) fn check_part(part: PartName, bytes: &[u8]) -> Result<(), LearnError> {
    let name = part.as_str();
    match part {
        PartName::Recipe => read_canonical::<FittedRecipe>(name, bytes, RECIPE_VERSION).map(|_| ()),
        PartName::Statistics => read_canonical::<Statistics>(name, bytes, STATISTICS_VERSION).map(|_| ()),
        PartName::Encoder | PartName::Model => document_version(name, bytes, None),
        PartName::Weights => check_weights(name, bytes),
        PartName::Onnx => crate::onnx::inspect(bytes).map(drop),
    }
}

fn check_weights(name: &str, bytes: &[u8]) -> Result<(), LearnError> {
    let tensors = safetensors::SafeTensors::deserialize(bytes).map_err(|err| match foreign(bytes) {
        Some(other) => corrupt(name, format!("it is {other}")),
        None => corrupt(name, format!("it is not safetensors: {err}")),
    })?;
    if tensors.len() > MAX_TENSORS {
        return Err(corrupt(name, format!("{} tensors are more than {MAX_TENSORS}", tensors.len())));
    }
    for (tensor, view) in tensors.iter() {
        if view.dtype() != safetensors::Dtype::F32 {
            let message = format!("the tensor {:?} holds {:?} where F32 was expected", short(tensor), view.dtype());
            return Err(corrupt(name, message));
        }
        let is_finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
        if !view.data().as_chunks::<4>().0.iter().all(is_finite) {
            return Err(corrupt(name, format!("the tensor {:?} holds a number that is not finite", short(tensor))));
        }
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

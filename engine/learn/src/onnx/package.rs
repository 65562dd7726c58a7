//! A package made of an ONNX file, so that it is registered, signed, verified and served as any other model.

use athanor_protocol::{
    package::{DatasetUsed, Lineage, Manifest, PartName, Statistics},
    recipe::FittedRecipe,
    table::{ColumnSchema, TableSchema},
};

use super::{OnnxModel, inspect};
use crate::{LearnError, package, statistics::STATISTICS_VERSION};

/// Makes an unsigned package of a file. The file is checked, prepared and tried first. Equal files give equal packages
/// but for the time.
///
/// # Errors
/// As [`OnnxModel::open`].
pub fn package_onnx(bytes: &[u8], created_at_millis: i64, athanor_version: &str) -> Result<Vec<u8>, LearnError> {
    OnnxModel::open(bytes)?;
    let found = inspect(bytes)?;
    let columns = found.signature.inputs.iter();
    let schema = TableSchema {
        columns: columns.map(|input| ColumnSchema { name: input.name.clone(), dtype: input.dtype }).collect(),
    };
    let recipe = FittedRecipe { version: 1, input: schema.clone(), steps: Vec::new(), output: schema };
    let statistics = Statistics { version: STATISTICS_VERSION, inputs: Vec::new(), predictions: Vec::new() };
    let mut versions =
        vec![("athanor".to_owned(), athanor_version.to_owned()), ("onnx opset".to_owned(), found.opset.to_string())];
    if !found.producer.is_empty() {
        versions.push(("onnx producer".to_owned(), found.producer));
    }
    let manifest = Manifest {
        version: package::PACKAGE_VERSION,
        athanor_version: athanor_version.to_owned(),
        created_at_millis,
        signature: found.signature,
        lineage: Lineage {
            run_id: String::new(),
            workflow: "an ONNX file".to_owned(),
            workflow_digest: format!("blake3:{}", blake3::hash(bytes)),
            datasets: Vec::<DatasetUsed>::new(),
            versions,
            train: None,
        },
        metrics: Vec::new(),
        parts: Vec::new(),
    };
    let json = |err: serde_json::Error| LearnError::Internal(format!("cannot write a part: {err}"));
    let parts = vec![
        (PartName::Recipe, serde_json::to_vec(&recipe).map_err(json)?),
        (PartName::Statistics, serde_json::to_vec(&statistics).map_err(json)?),
        (PartName::Onnx, bytes.to_vec()),
    ];
    package::build(manifest, parts)
}

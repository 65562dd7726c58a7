//! The model package's manifest: what a package says of itself.

use serde::{Deserialize, Serialize};

use crate::{learner::TrainSpec, metric::MetricValue, signature::ModelSignature, table::DataType};

/// A part of a package, from a closed list: a package holds these and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartName {
    /// The fitted recipe, JSON.
    Recipe,
    /// The fitted encoder, JSON.
    Encoder,
    /// The model's structure (layers, or trees), JSON.
    Model,
    /// The weights, safetensors. Missing for trees and constants.
    Weights,
    /// Training statistics for drift, JSON.
    Statistics,
    /// An ONNX file from elsewhere, in place of encoder, model and weights.
    Onnx,
}

impl PartName {
    /// The part as errors name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Encoder => "encoder",
            Self::Model => "model",
            Self::Weights => "weights",
            Self::Statistics => "statistics",
            Self::Onnx => "onnx",
        }
    }
}

/// Where a part lies in the file and the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Which part.
    pub part: PartName,
    /// Length in bytes; parts follow each other without gaps in the order of this list.
    pub n_bytes: u64,
    /// SHA-256 of the bytes, lower-case hex.
    pub sha256: String,
}

/// A table that went into the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetUsed {
    /// The file's name without folders (a package says nothing of the machine that made it).
    pub name: String,
    /// `blake3:<hex>` of the file's bytes.
    pub digest: String,
    /// Number of rows that were prepared from it, all splits together.
    pub n_rows: u64,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The run's id; empty where it was not made by a run.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// Digest of the workflow document, `blake3:<hex>`.
    pub workflow_digest: String,
    /// The tables.
    pub datasets: Vec<DatasetUsed>,
    /// Program and library versions: `athanor`, `burn`, `polars`, `lightgbm`.
    pub versions: Vec<(String, String)>,
    /// Everything that training depended on; `None` for a model that was trained elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainSpec>,
}

/// A metric's final value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinalMetric {
    /// Key with split, for example `test/accuracy`.
    pub key: String,
    /// The value.
    pub value: MetricValue,
}

/// The manifest of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version; 1.
    pub version: u32,
    /// Version of the program that wrote it.
    pub athanor_version: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// Where it comes from.
    pub lineage: Lineage,
    /// Metrics of the run at its end.
    pub metrics: Vec<FinalMetric>,
    /// The parts.
    pub parts: Vec<PartEntry>,
}

/// What is kept of one raw input column's training values, for drift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The column's name.
    pub name: String,
    /// Its type.
    pub dtype: DataType,
    /// Number of training rows.
    pub n_rows: u64,
    /// Number of missing values.
    pub n_missing: u64,
    /// For numbers: mean, sample standard deviation, least and greatest finite value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<[f64; 4]>,
    /// For numbers: edges of ten bins with equal counts (fewer where values repeat), and the count in each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<f64>,
    /// Counts, one fewer than the edges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<u64>,
    /// For text and truth values: the most frequent values and their counts, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<(String, u64)>,
    /// For numbers: sorted finite values; all of them where there are at most 1,000, else as many at even steps of their
    /// order. Missing in packages of earlier programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<f64>,
    /// For numbers: how many different finite values there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_different: Option<u64>,
}

/// Training statistics: inputs before the recipe, and the model's own predictions on the validation (or training) rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Format version; 1.
    pub version: u32,
    /// Each raw input column.
    pub inputs: Vec<ColumnStatistics>,
    /// The predictions, under the names of the outputs.
    pub predictions: Vec<ColumnStatistics>,
}

//! What is told of a version: its card, and its comparison with another one.

use serde::{Deserialize, Serialize};

use crate::{
    governance::{CardText, Stage},
    learner::TrainSpec,
    metric::MetricValue,
    names::RunId,
    package::DatasetUsed,
    signature::{ModelSignature, Task},
    table::DataType,
};

/// How an interval was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Percentiles of bootstrap resamples of the judged rows.
    Bootstrap,
    /// Wilson's score interval of a share, from the number of rows alone.
    Wilson,
    /// Nothing is kept from which an interval could be found.
    None,
}

/// A figure and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The metric, for example `accuracy`.
    pub key: String,
    /// The value.
    pub value: MetricValue,
    /// The 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// How the interval was found.
    pub method: IntervalMethod,
}

/// Figures on the rows in which a column has a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The column.
    pub column: String,
    /// The value; `None` for missing.
    pub value: Option<String>,
    /// Rows.
    pub n_rows: u64,
    /// The figures.
    pub metrics: Vec<Estimate>,
}

/// What training has seen of an input column: outside of it nothing is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRange {
    /// The column.
    pub name: String,
    /// Its type.
    pub dtype: DataType,
    /// Whether it may be missing in a request.
    pub nullable: bool,
    /// Share of training rows in which it was missing.
    pub missing: f64,
    /// For numbers: the least and the greatest.
    pub range: Option<[f64; 2]>,
    /// For text and truth values: the most frequent values, at most twenty.
    pub values: Vec<String>,
}

/// Everything that is told of a version. Version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Format version; 1.
    pub version: u32,
    /// The model and its version, `NAME:VERSION`.
    pub model: String,
    /// How far it has come.
    pub stage: Stage,
    /// Aliases that point to it.
    pub aliases: Vec<String>,
    /// When it was registered, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// The tables that it was made of.
    pub datasets: Vec<DatasetUsed>,
    /// How the rows were divided: parameters of the split; empty where the run is not known here.
    pub split: Vec<(String, String)>,
    /// The learner and its settings; `None` where another program made the model.
    pub train: Option<TrainSpec>,
    /// Rows that it was judged on; 0 where unknown.
    pub n_judged: u64,
    /// Figures on the test rows.
    pub metrics: Vec<Estimate>,
    /// The same on parts of them.
    pub slices: Vec<Slice>,
    /// What training has seen.
    pub limits: Vec<InputRange>,
    /// The run that made it.
    pub run: Option<RunId>,
    /// The workflow.
    pub workflow: String,
    /// Digest of the workflow document.
    pub workflow_digest: String,
    /// Programs and libraries.
    pub versions: Vec<(String, String)>,
    /// SHA-256 of the package.
    pub sha256: String,
    /// The key that signed it.
    pub signed_by: String,
    /// What people wrote.
    pub texts: Vec<CardText>,
    /// What is not known, and why.
    pub notes: Vec<String>,
}

/// What can be told of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second is better.
    Better,
    /// The second is worse.
    Worse,
    /// No difference can be told.
    Unclear,
}

/// One metric of two versions on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The metric.
    pub key: String,
    /// Of the first.
    pub first: f64,
    /// Of the second.
    pub second: f64,
    /// Second minus first.
    pub difference: f64,
    /// The 95 % interval of the difference, from a paired bootstrap.
    pub interval: [f64; 2],
    /// Whether the second is better by this metric.
    pub verdict: Verdict,
}

/// A test on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// Which, for example `mcnemar_exact`.
    pub name: String,
    /// What was counted, in words.
    pub counted: String,
    /// The p-value, two-sided.
    pub p_value: f64,
}

/// Two versions on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first, `NAME:VERSION`.
    pub first: String,
    /// The second.
    pub second: String,
    /// The rows: a file, or the test rows of which version.
    pub table: String,
    /// What is predicted.
    pub task: Task,
    /// Rows that both predicted.
    pub n_rows: u64,
    /// Bootstrap resamples.
    pub n_resamples: u32,
    /// Their seed.
    pub seed: u64,
    /// The metrics.
    pub metrics: Vec<Difference>,
    /// McNemar's test for classes, Wilcoxon's or the sign test for numbers.
    pub test: Option<PairedTest>,
    /// By the main metric: accuracy, or the root mean squared error.
    pub verdict: Verdict,
    /// The verdict in words.
    pub words: String,
    /// What a reader should know.
    pub notes: Vec<String>,
}

//! An evaluation as it is shown.

use serde::{Deserialize, Serialize};

use crate::{metric::MetricValue, signature::Task, table::Bin};

/// An evaluation as it is shown: the same JSON that an evaluation writes (version 1), with later parts optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportView {
    /// Format version.
    pub version: u32,
    /// The predicted column.
    pub target: String,
    /// What is predicted.
    pub task: Task,
    /// Class names in the order of the probabilities.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Rows that were judged.
    pub n_rows: u64,
    /// The judgement.
    pub evaluation: EvaluationView,
    /// How much worse the model gets when a column's values are shuffled, greatest first.
    #[serde(default)]
    pub importance: Vec<Importance>,
    /// The rows that the model gets most wrong, worst first.
    #[serde(default)]
    pub worst: Vec<WorstRow>,
    /// For regression: true and predicted value of some rows.
    #[serde(default)]
    pub pairs: Vec<[f64; 2]>,
}

/// The judgement of a model on some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationView {
    /// Rows.
    pub n_rows: u64,
    /// Name and value.
    pub metrics: Vec<(String, MetricValue)>,
    /// The classes in order.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Rows by true class (outer) and predicted class (inner).
    #[serde(default)]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Curves of the positive class, or of each class where there are more than two.
    #[serde(default)]
    pub curves: Vec<ClassCurvesView>,
    /// Calibration; empty bins are left out.
    #[serde(default)]
    pub calibration: Vec<CalibrationView>,
    /// Histogram of true minus predicted values.
    #[serde(default)]
    pub residuals: Vec<Bin>,
}

/// The curves of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassCurvesView {
    /// The class.
    pub class: String,
    /// False positive rate against true positive rate.
    pub roc: Vec<CurvePointView>,
    /// Recall against precision.
    pub precision_recall: Vec<CurvePointView>,
    /// Area under the ROC curve.
    pub roc_auc: f64,
    /// Average precision.
    pub average_precision: f64,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePointView {
    /// False positive rate or recall.
    pub x: f64,
    /// True positive rate or precision.
    pub y: f64,
    /// The score from which on rows are called positive.
    pub threshold: Option<f64>,
}

/// Rows whose predicted probability lies in a bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationView {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of rows that it was true of.
    pub observed: f64,
    /// Rows.
    pub count: u64,
}

/// Permutation importance of one raw column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The column.
    pub column: String,
    /// Mean loss of the score over the repeats: accuracy for classes, R² for numbers.
    pub mean: f64,
    /// Standard deviation over the repeats.
    pub std: f64,
}

/// A row that the model gets wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstRow {
    /// Its place among the test rows, from 0.
    pub row: u64,
    /// The true class or value.
    pub truth: String,
    /// The predicted class or value.
    pub predicted: String,
    /// Log loss of the row, or absolute error.
    pub loss: f64,
    /// Some of its columns: name and value.
    pub values: Vec<(String, Option<String>)>,
}

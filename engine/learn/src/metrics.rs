//! How good predictions are: metrics with the formulas of scikit-learn, curves, calibration, residuals.
//!
//! For two classes the second one is the positive one. For more, `precision`, `recall` and `f1` are plain means over the
//! classes (macro), `roc_auc` and `average_precision` means of one class against the rest. What is not defined is left
//! out: `roc_auc` where a class has no rows or all, `r2` for fewer than two rows or a target that never varies. A class
//! that is never predicted has precision 0, as has `f1` where precision and recall are 0.

mod classes;
mod numbers;
pub mod paired;
pub mod scorer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use athanor_protocol::{metric::MetricValue, table::Bin};
use serde::{Deserialize, Serialize};

use crate::{LearnError, encode::Task, model::Predictions, samples::Targets};

/// Most points of a curve; longer ones are thinned without losing their ends.
pub const MAX_CURVE_POINTS: usize = 200;
/// Most classes that get a confusion matrix and curves of their own.
pub const MAX_DETAILED_CLASSES: usize = 100;
/// Bins of the calibration and of the residuals' histogram.
pub const N_BINS: usize = 20;
/// Least probability that a logarithm is taken of: the spacing of 32-bit floats at 1, as probabilities are 32-bit.
pub(crate) const LEAST_PROBABILITY: f64 = f32::EPSILON as f64;

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// False positive rate (ROC) or recall.
    pub x: f64,
    /// True positive rate (ROC) or precision.
    pub y: f64,
    /// The score from which on rows are called positive; `None` where that is above every score.
    pub threshold: Option<f64>,
}

/// The curves of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassCurves {
    /// The class.
    pub class: Arc<str>,
    /// False positive rate against true positive rate, from (0, 0) to (1, 1).
    pub roc: Vec<CurvePoint>,
    /// Recall against precision, from recall 0 on.
    pub precision_recall: Vec<CurvePoint>,
    /// Area under the ROC curve, by trapezoids.
    pub roc_auc: f64,
    /// `Σ (recallₙ − recallₙ₋₁) · precisionₙ`.
    pub average_precision: f64,
}

/// Rows whose predicted probability lies in a bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of rows that it was true of.
    pub observed: f64,
    /// Number of rows.
    pub count: u64,
}

/// The judgement of a model on some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of rows.
    pub n_rows: u64,
    /// Name and value; names are those of `protocol::metric::METRICS`. Undefined ones are left out.
    pub metrics: Vec<(String, MetricValue)>,
    /// The classes in order, for classification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Arc<str>>,
    /// Rows by true class (outer) and predicted class (inner).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Curves of the positive class, or of each class where there are more than two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<ClassCurves>,
    /// Calibration of the positive class, or of the predicted class where there are more than two; empty bins are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<CalibrationBin>,
    /// Histogram of true minus predicted values, for regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residuals: Vec<Bin>,
}

impl Evaluation {
    /// A metric by name.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.iter().find(|(name, _)| name == key).map(|(_, value)| value.to_f64())
    }
}

/// Judges predictions by the targets. `classes` are the encoder's, empty for regression.
///
/// # Errors
/// If the task, the predictions and the targets do not belong together.
pub fn evaluate(
    task: Task,
    classes: &[Arc<str>],
    predictions: &Predictions,
    targets: &Targets,
) -> Result<Evaluation, LearnError> {
    let n_rows = targets.n_rows();
    let mismatch = |what: &str| Err(LearnError::Internal(format!("{what} do not belong to the targets")));
    if predictions.n_rows != n_rows {
        return mismatch("the predictions");
    }
    match (task, targets) {
        (Task::Classification, Targets::Class { labels, n_classes }) => {
            let n = *n_classes;
            if classes.len() != n || labels.iter().any(|&label| label as usize >= n) {
                return mismatch("the classes");
            }
            if predictions.probabilities.len() != n_rows.saturating_mul(n) {
                return mismatch("the probabilities");
            }
            Ok(classes::evaluate(classes, &predictions.probabilities, labels))
        }
        (Task::Regression, Targets::Number(values)) => {
            if predictions.values.len() != n_rows {
                return mismatch("the predicted values");
            }
            Ok(numbers::evaluate(&predictions.values, values))
        }
        _ => mismatch("the task and the predictions"),
    }
}

fn empty(n_rows: usize) -> Evaluation {
    Evaluation {
        n_rows: n_rows as u64,
        metrics: Vec::new(),
        classes: Vec::new(),
        confusion: None,
        curves: Vec::new(),
        calibration: Vec::new(),
        residuals: Vec::new(),
    }
}

/// The class with the greatest probability, the first of equals.
pub fn predicted_class(probabilities: &[f32]) -> usize {
    let mut best = 0;
    for (class, &probability) in probabilities.iter().enumerate() {
        if probability > probabilities[best] {
            best = class;
        }
    }
    best
}

/// Keeps at most `MAX_CURVE_POINTS`, evenly spread, with the first and the last.
fn thin<T: Copy>(points: Vec<T>) -> Vec<T> {
    let n = points.len();
    if n <= MAX_CURVE_POINTS {
        return points;
    }
    (0..MAX_CURVE_POINTS).map(|at| points[at * (n - 1) / (MAX_CURVE_POINTS - 1)]).collect()
}

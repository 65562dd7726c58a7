//! Why a model says what it says of one row: what `predict` answers when it is asked to explain.

use serde::{Deserialize, Serialize};

/// What one answer is made of: the answer to a baseline row, and what each column adds to it.
///
/// `base` and all contributions together are `value`, to rounding. Of a classifier the probability of the predicted class
/// is explained, of a regression the value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The class whose probability is explained; not there for a regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What the model says of the baseline.
    pub base: f64,
    /// What the model says of the row.
    pub value: f64,
    /// How the contributions were found.
    pub method: ExplanationMethod,
    /// Every column, in the order of the request.
    pub contributions: Vec<Contribution>,
}

/// How contributions were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplanationMethod {
    /// Every set of columns was asked for.
    Exact,
    /// Orders of the columns were drawn, the same ones each time.
    Sampled,
}

/// What one column adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The column.
    pub column: String,
    /// The row's value; null where it is missing. Dates and moments are text, UTC.
    pub value: serde_json::Value,
    /// The baseline's value.
    pub baseline: serde_json::Value,
    /// What the one in place of the other adds, in the unit of what is explained.
    pub contribution: f64,
    /// The contribution's standard error, where orders were drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

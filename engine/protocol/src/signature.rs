//! What a model takes and gives: the contract that serving checks before anything else.

use serde::{Deserialize, Serialize};

use crate::table::DataType;

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of two classes.
    Binary,
    /// One of three or more classes.
    Multiclass,
    /// A number.
    Regression,
}

impl Task {
    /// Whether classes are predicted.
    pub const fn is_classification(self) -> bool {
        matches!(self, Self::Binary | Self::Multiclass)
    }

    /// The task as it is written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
            Self::Regression => "regression",
        }
    }
}

/// One raw column that goes in (before the fitted recipe).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputColumn {
    /// The column's name.
    pub name: String,
    /// Its logical type.
    pub dtype: DataType,
    /// Whether a missing value was seen in training or is filled by the recipe or the encoder.
    pub nullable: bool,
}

/// The classes of a classifier, in the order of its probabilities, and what comes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSignature {
    /// What is predicted.
    pub task: Task,
    /// The predicted column's name.
    pub target: String,
    /// The raw columns that go in.
    pub inputs: Vec<InputColumn>,
    /// Class names in the order of the probabilities; empty for regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// The name of the output that holds the predicted class.
pub const OUTPUT_LABEL: &str = "label";
/// The name of the output that holds one probability for each class.
pub const OUTPUT_PROBABILITIES: &str = "probabilities";
/// The name of the output that holds the predicted number.
pub const OUTPUT_VALUE: &str = "value";

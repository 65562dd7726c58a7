//! Encoded rows: what every learner takes.

use crate::LearnError;

/// Encoded features of some rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    /// Number of rows.
    pub n_rows: usize,
    /// Number of features in each row.
    pub n_features: usize,
    /// The values, row-major, `[n_rows, n_features]`. NaN means missing, and only trees accept it.
    pub features: Vec<f32>,
}

impl Samples {
    /// Puts values together as rows.
    ///
    /// # Errors
    /// If the number of values is not `n_rows * n_features`.
    pub fn new(n_rows: usize, n_features: usize, features: Vec<f32>) -> Result<Self, LearnError> {
        if n_rows.checked_mul(n_features) != Some(features.len()) {
            let n = features.len();
            return Err(LearnError::Internal(format!("{n} values are not {n_rows} rows of {n_features} features")));
        }
        Ok(Self { n_rows, n_features, features })
    }

    /// The features of one row; empty where there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        let start = row.saturating_mul(self.n_features);
        self.features.get(start..start.saturating_add(self.n_features)).unwrap_or(&[])
    }
}

/// What is to be predicted, one for each row of some [`Samples`].
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// The class of each row, an index into the encoder's classes.
    Class {
        /// Class of each row, below `n_classes`.
        labels: Vec<u32>,
        /// Number of classes.
        n_classes: usize,
    },
    /// The number of each row, in the target's own unit.
    Number(Vec<f64>),
}

impl Targets {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Class { labels, .. } => labels.len(),
            Self::Number(values) => values.len(),
        }
    }
}

//! Metrics of rows that count several times: what a bootstrap asks for thousands of times.
//!
//! What does not depend on the weights (the order of the scores, each row's loss) is found once; a set of weights then
//! costs one pass over the rows and needs no sorting. With every weight at 1 the figures are those of
//! [`evaluate`](super::evaluate).

use std::sync::Arc;

use super::{LEAST_PROBABILITY, classes::Counts, predicted_class};
use crate::{LearnError, model::Predictions, samples::Targets};

/// Above so many classes the area under the curve is left out: it costs a pass over the rows for each class.
const MAX_CURVES: usize = 20;

const CLASS_KEYS: [&str; 9] =
    ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "roc_auc", "log_loss", "brier"];
const NUMBER_KEYS: [&str; 4] = ["r2", "rmse", "mae", "median_absolute_error"];

/// What one model said of some rows, ready to be scored under any weights.
#[derive(Debug, Clone)]
pub struct Scorer {
    kind: Kind,
    n_rows: usize,
}

#[derive(Debug, Clone)]
enum Kind {
    Classes {
        n_classes: usize,
        labels: Arc<[u32]>,
        predicted: Vec<usize>,
        log_loss: Vec<f64>,
        brier: Vec<f64>,
        /// For each class that has a curve: rows by falling score, and whether the next row has the same score.
        orders: Vec<(u32, Vec<(u32, bool)>)>,
    },
    Numbers {
        values: Vec<f64>,
        residuals: Vec<f64>,
        /// Rows by the size of their residual.
        order: Vec<u32>,
    },
}

impl Scorer {
    /// Predictions and the truth about the same rows.
    ///
    /// # Errors
    /// If they do not belong together, or there are more rows than can be counted.
    pub fn new(predictions: &Predictions, targets: &Targets) -> Result<Self, LearnError> {
        let mismatch = || LearnError::Internal("the predictions do not belong to the targets".to_owned());
        let n_rows = targets.n_rows();
        if u32::try_from(n_rows).is_err() || predictions.n_rows != n_rows {
            return Err(mismatch());
        }
        let kind = match targets {
            Targets::Class { labels, n_classes } => {
                let n = *n_classes;
                let fits = n > 0 && predictions.probabilities.len() == n_rows.saturating_mul(n);
                if !fits || labels.iter().any(|&label| label as usize >= n) {
                    return Err(mismatch());
                }
                classes(&predictions.probabilities, labels, n)
            }
            Targets::Number(values) => {
                if predictions.values.len() != n_rows {
                    return Err(mismatch());
                }
                let residuals: Vec<f64> = values.iter().zip(&predictions.values).map(|(v, p)| v - p).collect();
                let mut order: Vec<u32> = (0..n_rows as u32).collect();
                order.sort_by(|&a, &b| residuals[a as usize].abs().total_cmp(&residuals[b as usize].abs()));
                Kind::Numbers { values: values.clone(), residuals, order }
            }
        };
        Ok(Self { kind, n_rows })
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The metrics that [`Self::score`] gives, in its order.
    pub fn keys(&self) -> &'static [&'static str] {
        match &self.kind {
            Kind::Classes { .. } => &CLASS_KEYS,
            Kind::Numbers { .. } => &NUMBER_KEYS,
        }
    }

    /// The metrics where each row counts as often as its weight says; NaN where one is not defined.
    pub fn score(&self, weights: &[u32]) -> Vec<f64> {
        match &self.kind {
            Kind::Classes { n_classes, labels, predicted, log_loss, brier, orders } => {
                let counts = Counts::weighted(*n_classes, labels, predicted, weights);
                let mut scores: Vec<f64> =
                    counts.metrics().into_iter().map(|(_, value)| value.unwrap_or(f64::NAN)).collect();
                let all = if *n_classes == 2 { 1 } else { *n_classes };
                let areas: Option<Vec<f64>> =
                    orders.iter().map(|(class, order)| area(order, labels, *class, weights)).collect();
                scores.push(match areas {
                    Some(areas) if areas.len() == all => areas.iter().sum::<f64>() / all as f64,
                    _ => f64::NAN,
                });
                scores.push(mean(log_loss, weights));
                scores.push(mean(brier, weights));
                scores
            }
            Kind::Numbers { values, residuals, order } => {
                let squares: Vec<f64> = residuals.iter().map(|residual| residual * residual).collect();
                let absolute: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
                let mse = mean(&squares, weights);
                let center = mean(values, weights);
                let spread: Vec<f64> = values.iter().map(|value| (value - center).powi(2)).collect();
                let spread = mean(&spread, weights);
                let r2 = if spread > 0.0 { 1.0 - mse / spread } else { f64::NAN };
                vec![r2, mse.sqrt(), mean(&absolute, weights), median(&absolute, order, weights)]
            }
        }
    }

    /// For classes: whether each row was told right.
    pub fn right(&self) -> Option<Vec<bool>> {
        match &self.kind {
            Kind::Classes { labels, predicted, .. } => {
                Some(labels.iter().zip(predicted).map(|(&label, &said)| label as usize == said).collect())
            }
            Kind::Numbers { .. } => None,
        }
    }

    /// For numbers: how far off each row is.
    pub fn absolute_errors(&self) -> Option<Vec<f64>> {
        match &self.kind {
            Kind::Numbers { residuals, .. } => Some(residuals.iter().map(|residual| residual.abs()).collect()),
            Kind::Classes { .. } => None,
        }
    }

    /// Rows that are drawn among themselves: those of each class, so that no resample lacks one; all rows for numbers.
    pub(super) fn strata(&self) -> Vec<Vec<u32>> {
        let all = 0..self.n_rows as u32;
        match &self.kind {
            Kind::Numbers { .. } => vec![all.collect()],
            Kind::Classes { labels, n_classes, .. } => {
                let mut strata = vec![vec![]; *n_classes];
                all.zip(labels.iter()).for_each(|(row, &label)| strata[label as usize].push(row));
                strata.retain(|stratum| !stratum.is_empty());
                strata
            }
        }
    }
}

fn classes(probabilities: &[f32], labels: &[u32], n: usize) -> Kind {
    let rows = || probabilities.chunks_exact(n);
    let loss = |(row, &label): (&[f32], &u32)| {
        -f64::from(row[label as usize]).clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY).ln()
    };
    let brier = |(row, &label): (&[f32], &u32)| {
        let off = |(class, &p): (usize, &f32)| (f64::from(p) - f64::from(u8::from(class == label as usize))).powi(2);
        row.iter().enumerate().skip(usize::from(n == 2)).map(off).sum::<f64>()
    };
    let curves: Vec<u32> = match n {
        2 => vec![1],
        n if n <= MAX_CURVES => (0..n as u32).collect(),
        _ => vec![],
    };
    let order = |class: u32| {
        let score = |row: u32| probabilities[row as usize * n + class as usize];
        let mut rows: Vec<u32> = (0..labels.len() as u32).collect();
        rows.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let same = |at: usize| rows.get(at + 1).is_some_and(|&next| score(next).total_cmp(&score(rows[at])).is_eq());
        (class, rows.iter().enumerate().map(|(at, &row)| (row, same(at))).collect())
    };
    Kind::Classes {
        n_classes: n,
        predicted: rows().map(predicted_class).collect(),
        log_loss: rows().zip(labels).map(loss).collect(),
        brier: rows().zip(labels).map(brier).collect(),
        orders: curves.into_iter().map(order).collect(),
        labels: labels.into(),
    }
}

fn mean(values: &[f64], weights: &[u32]) -> f64 {
    let (sum, n) = values.iter().zip(weights).fold((0.0, 0.0), |(sum, n), (value, &weight)| {
        // A row that does not count must not spoil the rest, even where its value is no number.
        if weight == 0 { (sum, n) } else { (sum + value * f64::from(weight), n + f64::from(weight)) }
    });
    sum / n
}

/// The value in the middle, or the mean of the two there.
fn median(values: &[f64], order: &[u32], weights: &[u32]) -> f64 {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total == 0 {
        return f64::NAN;
    }
    let (low, high) = ((total - 1) / 2, total / 2);
    let (mut passed, mut at_low) = (0u64, f64::NAN);
    for &row in order {
        let before = passed;
        passed += u64::from(weights[row as usize]);
        let value = values[row as usize];
        if (before..passed).contains(&low) {
            at_low = value;
        }
        if (before..passed).contains(&high) {
            return (at_low + value) / 2.0;
        }
    }
    f64::NAN
}

/// Area under the ROC curve by trapezoids; `None` where the class or the rest has no rows.
fn area(order: &[(u32, bool)], labels: &[u32], class: u32, weights: &[u32]) -> Option<f64> {
    let (mut hits, mut misses, mut sum) = (0.0, 0.0, 0.0);
    let (mut hits_before, mut new_misses) = (0.0, 0.0);
    for &(row, same_as_next) in order {
        let weight = f64::from(weights[row as usize]);
        if labels[row as usize] == class {
            hits += weight;
        } else {
            new_misses += weight;
        }
        if !same_as_next {
            sum += new_misses * (hits + hits_before) / 2.0;
            misses += new_misses;
            (hits_before, new_misses) = (hits, 0.0);
        }
    }
    (hits > 0.0 && misses > 0.0).then(|| sum / (hits * misses))
}

//! Quality over time: predictions whose truth became known later.

use std::sync::Arc;

use athanor_protocol::{
    metric::Split,
    monitor::{QualityFigure, QualityReport},
    package::FinalMetric,
};

use crate::{
    encode::Task,
    error::LearnError,
    metrics::{Evaluation, evaluate},
    model::Predictions,
    rng::Rng,
    samples::Targets,
};

/// Below so many rows a deviation would say nothing.
const MIN_ROWS_FOR_DEVIATION: usize = 200;
/// Resamples that a deviation is taken over.
const N_RESAMPLES: u64 = 5;

/// Predictions with what turned out to be true.
#[derive(Debug, Clone, PartialEq)]
pub enum Truths {
    /// Of a classifier.
    Classes {
        /// The classes in the order of the probabilities.
        classes: Vec<Arc<str>>,
        /// Row-major `[n_rows, n_classes]`.
        probabilities: Vec<f32>,
        /// The true class of each row, by its place among the classes.
        truths: Vec<u32>,
    },
    /// Of a regression.
    Numbers {
        /// What was predicted.
        predicted: Vec<f64>,
        /// What was true.
        truths: Vec<f64>,
    },
}

impl Truths {
    fn len(&self) -> usize {
        match self {
            Self::Classes { truths, .. } => truths.len(),
            Self::Numbers { truths, .. } => truths.len(),
        }
    }

    fn judged(&self, rows: &[usize]) -> Result<Evaluation, LearnError> {
        match self {
            Self::Classes { classes, probabilities, truths } => {
                let width = classes.len();
                let part =
                    rows.iter().flat_map(|&row| probabilities.iter().skip(row * width).take(width).copied()).collect();
                let labels = rows.iter().filter_map(|&row| truths.get(row).copied()).collect();
                let predictions = Predictions { n_rows: rows.len(), probabilities: part, values: vec![] };
                let targets = Targets::Class { labels, n_classes: width };
                evaluate(Task::Classification, classes, &predictions, &targets)
            }
            Self::Numbers { predicted, truths } => {
                let pick = |values: &[f64]| rows.iter().filter_map(|&row| values.get(row).copied()).collect::<Vec<_>>();
                let predictions = Predictions { n_rows: rows.len(), probabilities: vec![], values: pick(predicted) };
                evaluate(Task::Regression, &[], &predictions, &Targets::Number(pick(truths)))
            }
        }
    }

    /// The best constant answer: the share of each class, or the mean.
    fn constant(&self) -> Self {
        match self {
            Self::Classes { classes, truths, .. } => {
                let mut shares = vec![0.0_f32; classes.len()];
                for &truth in truths {
                    if let Some(share) = shares.get_mut(truth as usize) {
                        *share += 1.0 / truths.len() as f32;
                    }
                }
                let probabilities = truths.iter().flat_map(|_| shares.iter().copied()).collect();
                Self::Classes { classes: classes.clone(), probabilities, truths: truths.clone() }
            }
            Self::Numbers { truths, .. } => {
                let mean = truths.iter().map(|truth| truth / truths.len().max(1) as f64).sum();
                Self::Numbers { predicted: vec![mean; truths.len()], truths: truths.clone() }
            }
        }
    }
}

/// Judges predictions by their truths, beside the figures of the model's making and the best constant answer.
///
/// A deviation is the sample standard deviation of a metric over five resamples, each of 80 % of the rows without
/// repetition; they depend on `seed` alone. Metrics that are not finite are left out.
///
/// # Errors
/// If the numbers of rows do not belong together.
pub fn quality(truths: &Truths, training: &[FinalMetric], seed: u64) -> Result<QualityReport, LearnError> {
    let n = truths.len();
    let all: Vec<usize> = (0..n).collect();
    let found = truths.judged(&all)?;
    let constant = truths.constant().judged(&all)?;
    let mut resampled = Vec::new();
    if n >= MIN_ROWS_FOR_DEVIATION {
        for round in 0..N_RESAMPLES {
            let mut order: Vec<u32> = (0..u32::try_from(n).unwrap_or(u32::MAX)).collect();
            Rng::new(&[seed, round]).shuffle(&mut order);
            let rows: Vec<usize> = order.into_iter().take(n * 4 / 5).map(|row| row as usize).collect();
            resampled.push(truths.judged(&rows)?);
        }
    }
    let of_training = |metric: &str| {
        [Split::Test, Split::Valid, Split::Train].iter().find_map(|split| {
            let key = format!("{}/{metric}", split.as_str());
            training.iter().find(|figure| figure.key == key)?.value.finite()
        })
    };
    let figure = |(metric, value): &(String, athanor_protocol::metric::MetricValue)| {
        let others: Vec<f64> = resampled.iter().filter_map(|one| one.metric(metric)).collect();
        Some(QualityFigure {
            metric: metric.clone(),
            value: value.finite()?,
            deviation: sample_deviation(&others),
            training: of_training(metric),
            constant: constant.metric(metric).filter(|value| value.is_finite()),
        })
    };
    Ok(QualityReport { n_rows: n as u64, n_unmatched: 0, figures: found.metrics.iter().filter_map(figure).collect() })
}

fn sample_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    deviation.is_finite().then_some(deviation)
}

//! Metrics of regression.

use athanor_protocol::table::Bin;

use super::{Evaluation, N_BINS, empty};

pub(super) fn evaluate(predicted: &[f64], values: &[f64]) -> Evaluation {
    let mut evaluation = empty(values.len());
    if values.is_empty() {
        return evaluation;
    }
    let n = values.len() as f64;
    let residuals: Vec<f64> = values.iter().zip(predicted).map(|(value, predicted)| value - predicted).collect();
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let mut absolute: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
    let mean = values.iter().sum::<f64>() / n;
    let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let r2 = (values.len() >= 2 && total > 0.0).then(|| 1.0 - squares / total);
    absolute.sort_unstable_by(f64::total_cmp);
    let middle = absolute.len() / 2;
    let median =
        if absolute.len() % 2 == 1 { absolute[middle] } else { (absolute[middle - 1] + absolute[middle]) / 2.0 };
    let metrics = [
        ("r2", r2),
        ("rmse", Some((squares / n).sqrt())),
        ("mae", Some(absolute.iter().sum::<f64>() / n)),
        ("median_absolute_error", Some(median)),
    ];
    evaluation.metrics = metrics.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect();
    evaluation.residuals = histogram(&residuals);
    evaluation
}

/// Equal-width bins between the least and the greatest finite value.
fn histogram(values: &[f64]) -> Vec<Bin> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return Vec::new();
    }
    let width = (high - low) / N_BINS as f64;
    if width == 0.0 || !width.is_finite() {
        return vec![Bin { low, high, count: finite().count() as u64 }];
    }
    let edge = |at: usize| if at == N_BINS { high } else { low + width * at as f64 };
    let mut bins: Vec<Bin> = (0..N_BINS).map(|at| Bin { low: edge(at), high: edge(at + 1), count: 0 }).collect();
    for value in finite() {
        bins[(((value - low) / width) as usize).min(N_BINS - 1)].count += 1;
    }
    bins
}

//! What a judgement does not say: which columns a model leans on, and which rows it gets most wrong.

use std::ops::Range;

use athanor_protocol::api::Importance;

use crate::{
    LearnError,
    encode::{FittedEncoder, Labelled},
    metrics::{LEAST_PROBABILITY, predicted_class},
    model::{Predictions, TrainedModel},
    rng::Rng,
    samples::{Samples, Targets},
};

/// Bounds the work of [`importance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportanceOptions {
    /// Seed of the shuffles.
    pub seed: u64,
    /// Shuffles of each column.
    pub n_repeats: u32,
    /// Most rows that are judged, evenly chosen.
    pub max_rows: usize,
    /// Most columns, the first ones.
    pub max_columns: usize,
}

/// Permutation importance (Breiman, "Random forests", 2001; as in scikit-learn): how much worse the score gets, in the
/// mean over the repeats, when a column's values change places between the rows. The score is the accuracy for classes and
/// R² for numbers, which must not be constant. The greatest comes first, ties in the order of the columns.
///
/// A column stands for all features that are made of it: they change places together, so that this is the same as
/// shuffling the table's column and encoding it again. What columns gave until `go_on` said no is returned; columns that
/// were begun are left out.
///
/// # Errors
/// If the rows do not fit the encoder and the model, or the device fails.
pub fn importance(
    encoder: &FittedEncoder,
    model: &TrainedModel,
    rows: &Labelled,
    options: &ImportanceOptions,
    go_on: &dyn Fn() -> bool,
) -> Result<Vec<Importance>, LearnError> {
    let (samples, targets) = evenly(&rows.samples, &rows.targets, options.max_rows)?;
    let base = model.predict(&samples)?;
    let Some(base_score) = score(&base, &targets) else { return Ok(vec![]) };
    let mut found = Vec::new();
    let mut order: Vec<u32> = Vec::with_capacity(samples.n_rows);
    for (at, (column, span)) in encoder.feature_spans().into_iter().enumerate().take(options.max_columns) {
        let mut drops = Vec::with_capacity(options.n_repeats as usize);
        for repeat in 0..options.n_repeats {
            if !go_on() {
                return Ok(sorted(found));
            }
            order.clear();
            order.extend(0..u32::try_from(samples.n_rows).unwrap_or(u32::MAX));
            Rng::new(&[options.seed, at as u64, u64::from(repeat)]).shuffle(&mut order);
            let said = predict_shuffled(model, &samples, &base, &order, span.clone())?;
            drops.extend(score(&said, &targets).map(|score| base_score - score));
        }
        // A shuffle without a score has made the model say something that is no number: nothing to put a figure on.
        if drops.len() == options.n_repeats as usize && !drops.is_empty() {
            let n = drops.len() as f64;
            let mean = drops.iter().sum::<f64>() / n;
            let std = (drops.iter().map(|drop| (drop - mean).powi(2)).sum::<f64>() / n).sqrt();
            found.push(Importance { column, mean, std });
        }
    }
    Ok(sorted(found))
}

/// What the model says where each row has the features of `span` from another row. A row that gets what it had is not
/// asked again, which spares half of the work where values are few: models answer for each row by itself.
fn predict_shuffled(
    model: &TrainedModel,
    samples: &Samples,
    base: &Predictions,
    order: &[u32],
    span: Range<usize>,
) -> Result<Predictions, LearnError> {
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
    let mut changed = Vec::new();
    let mut features = Vec::new();
    for (row, &from) in order.iter().enumerate() {
        let (own, other) = (samples.row(row), samples.row(from as usize));
        let (Some(had), Some(gets)) = (own.get(span.clone()), other.get(span.clone())) else { continue };
        if !same(had, gets) {
            changed.push(row);
            let begin = features.len();
            features.extend_from_slice(own);
            if let Some(place) = features.get_mut(begin + span.start..begin + span.end) {
                place.copy_from_slice(gets);
            }
        }
    }
    let mut said = base.clone();
    if changed.is_empty() {
        return Ok(said);
    }
    let again = model.predict(&Samples::new(changed.len(), samples.n_features, features)?)?;
    let n_classes = base.probabilities.len() / base.n_rows.max(1);
    for (at, row) in changed.into_iter().enumerate() {
        let (from, into) = (at * n_classes..(at + 1) * n_classes, row * n_classes..(row + 1) * n_classes);
        if let (Some(from), Some(into)) = (again.probabilities.get(from), said.probabilities.get_mut(into)) {
            into.copy_from_slice(from);
        }
        if let (Some(&from), Some(into)) = (again.values.get(at), said.values.get_mut(row)) {
            *into = from;
        }
    }
    Ok(said)
}

fn sorted(mut found: Vec<Importance>) -> Vec<Importance> {
    found.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    found
}

/// At most so many rows, evenly chosen, in order.
fn evenly(samples: &Samples, targets: &Targets, max_rows: usize) -> Result<(Samples, Targets), LearnError> {
    let rows = even_rows(samples.n_rows, max_rows);
    let features = rows.iter().flat_map(|&row| samples.row(row)).copied().collect();
    let targets = match targets {
        Targets::Class { labels, n_classes } => {
            let labels = rows.iter().filter_map(|&row| labels.get(row).copied()).collect();
            Targets::Class { labels, n_classes: *n_classes }
        }
        Targets::Number(values) => Targets::Number(rows.iter().filter_map(|&row| values.get(row).copied()).collect()),
    };
    Ok((Samples::new(rows.len(), samples.n_features, features)?, targets))
}

/// At most `most` of `n` rows, evenly spread, in order.
pub fn even_rows(n: usize, most: usize) -> Vec<usize> {
    let kept = n.min(most);
    // In 128 bits, as the product may be larger than a row number can be.
    (0..kept).map(|at| (at as u128 * n as u128 / kept.max(1) as u128) as usize).collect()
}

/// Accuracy or R²; `None` where that is not defined or not finite.
fn score(predictions: &Predictions, targets: &Targets) -> Option<f64> {
    let score = match targets {
        Targets::Class { labels, n_classes } => {
            let rows = predictions.probabilities.chunks_exact((*n_classes).max(1));
            let right = rows.zip(labels).filter(|(row, label)| predicted_class(row) == **label as usize).count();
            right as f64 / labels.len() as f64
        }
        Targets::Number(values) => {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let squares: f64 = values.iter().zip(&predictions.values).map(|(value, said)| (value - said).powi(2)).sum();
            if total > 0.0 { 1.0 - squares / total } else { f64::NAN }
        }
    };
    score.is_finite().then_some(score)
}

/// The rows with the greatest loss, worst first, ties by row: the row and its loss. The loss is `-ln p` of the true class,
/// or the absolute error of a number; of what is no number it is the largest that there is.
pub fn worst_rows(predictions: &Predictions, targets: &Targets, most: usize) -> Vec<(usize, f64)> {
    let mut losses: Vec<(usize, f64)> = match targets {
        Targets::Class { labels, n_classes } => {
            let rows = predictions.probabilities.chunks_exact((*n_classes).max(1));
            let of = |(row, label): (&[f32], &u32)| {
                let p = row.get(*label as usize).copied().map_or(f64::NAN, f64::from);
                -p.clamp(LEAST_PROBABILITY, 1.0).ln()
            };
            rows.zip(labels).map(of).enumerate().collect()
        }
        Targets::Number(values) => {
            values.iter().zip(&predictions.values).map(|(value, said)| (value - said).abs()).enumerate().collect()
        }
    };
    for (_, loss) in &mut losses {
        // Minus zero, of a probability of 1, would be written as such.
        *loss = if loss.is_finite() { *loss + 0.0 } else { f64::MAX };
    }
    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if losses.len() > most && most > 0 {
        losses.select_nth_unstable_by(most - 1, order);
    }
    losses.truncate(most);
    losses.sort_by(order);
    losses
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use athanor_protocol::columns::{Column, ColumnData, Frame};

    use super::*;
    use crate::{
        encode::{EncodeOptions, TaskChoice},
        model::ConstantModel,
        trees::{Forest, Link, Tree},
    };

    const OPTIONS: ImportanceOptions = ImportanceOptions { seed: 0, n_repeats: 3, max_rows: 2_000, max_columns: 200 };

    fn frame(columns: Vec<(&str, ColumnData)>) -> Frame {
        Frame::new(columns.into_iter().map(|(name, data)| Column { name: name.into(), data }).collect()).unwrap()
    }

    /// 200 rows: `a` decides, `b` and the text say nothing.
    fn rows() -> Frame {
        let n = 200;
        let text = |i: usize| Some(Arc::from(["x", "y", "z"][i % 3]));
        frame(vec![
            ("noise", ColumnData::Float((0..n).map(|i| f64::from((i * 37 % 101) as u32)).collect())),
            ("word", ColumnData::Text((0..n).map(text).collect())),
            ("a", ColumnData::Float((0..n).map(|i| f64::from(i as u32)).collect())),
            ("y", ColumnData::Text((0..n).map(|i| Some(Arc::from(if i < 100 { "no" } else { "yes" }))).collect())),
        ])
    }

    /// One cut: `a` at 99.5.
    fn stump(feature: usize, n_features: usize) -> TrainedModel {
        let tree = Tree {
            feature: vec![feature as u32],
            threshold: vec![99.5],
            missing: vec![0],
            left: vec![-1],
            right: vec![-2],
            leaves: vec![-2.0, 2.0],
        };
        TrainedModel::Trees(Forest::new(n_features as u32, Link::Logistic, vec![0.0], vec![tree]).unwrap())
    }

    fn fit(frame: &Frame) -> FittedEncoder {
        let options = EncodeOptions {
            scale: crate::encode::Scale::None,
            impute: false,
            max_categories: 100,
            ordinal_above: None,
        };
        FittedEncoder::fit(frame, "y", &[], TaskChoice::Auto, options).unwrap().0
    }

    #[test]
    fn the_column_that_decides_is_the_one_that_matters() {
        let frame = rows();
        let encoder = fit(&frame);
        let at = encoder.feature_names().iter().position(|name| name == "a").unwrap();
        let model = stump(at, encoder.n_features());
        let labelled = encoder.encode_labelled(&frame).unwrap();
        let found = importance(&encoder, &model, &labelled, &OPTIONS, &|| true).unwrap();
        let names: Vec<&str> = found.iter().map(|one| one.column.as_str()).collect();
        assert_eq!(names, ["a", "noise", "word"], "{found:?}");
        // Half of the rows get a value from the other side.
        assert!((found[0].mean - 0.5).abs() < 0.1 && found[0].std < 0.1, "{found:?}");
        assert_eq!((found[1].mean, found[2].mean, found[2].std), (0.0, 0.0, 0.0));
        assert_eq!(importance(&encoder, &model, &labelled, &OPTIONS, &|| true).unwrap(), found, "by the seed alone");
        let other = ImportanceOptions { seed: 1, ..OPTIONS };
        assert_ne!(importance(&encoder, &model, &labelled, &other, &|| true).unwrap(), found);
    }

    #[test]
    fn the_work_is_bounded() {
        let frame = rows();
        let encoder = fit(&frame);
        let labelled = encoder.encode_labelled(&frame).unwrap();
        let model = TrainedModel::Constant(ConstantModel::fit(encoder.n_features(), &labelled.targets).unwrap());
        let asked = std::cell::Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            asked.get() <= 4
        };
        let found = importance(&encoder, &model, &labelled, &OPTIONS, &go_on).unwrap();
        assert_eq!(found.len(), 1, "the second column was begun, but not finished");
        let few = ImportanceOptions { max_columns: 2, max_rows: 10, ..OPTIONS };
        assert_eq!(importance(&encoder, &model, &labelled, &few, &|| true).unwrap().len(), 2);
        let nothing = encoder.encode_labelled(&frame_of_none()).unwrap();
        assert_eq!(importance(&encoder, &model, &nothing, &OPTIONS, &|| true).unwrap(), []);
    }

    fn frame_of_none() -> Frame {
        frame(vec![
            ("noise", ColumnData::Float(vec![])),
            ("word", ColumnData::Text(vec![])),
            ("a", ColumnData::Float(vec![])),
            ("y", ColumnData::Text(vec![])),
        ])
    }

    #[test]
    fn even_rows_are_spread() {
        assert_eq!(even_rows(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(even_rows(3, 5), [0, 1, 2]);
        assert_eq!(even_rows(0, 5), [] as [usize; 0]);
        assert_eq!(even_rows(5, 0), [] as [usize; 0]);
    }

    #[test]
    fn the_worst_rows_come_first() {
        let classes = Predictions {
            n_rows: 4,
            probabilities: vec![0.9, 0.1, 0.2, 0.8, 1.0, 0.0, f32::NAN, f32::NAN],
            values: vec![],
        };
        let targets = Targets::Class { labels: vec![0, 0, 1, 1], n_classes: 2 };
        let found = worst_rows(&classes, &targets, 3);
        assert_eq!(found.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(found[0].1, f64::MAX);
        assert!((found[2].1 + f64::from(0.2f32).ln()).abs() < 1e-12, "{found:?}");
        let numbers = Predictions { n_rows: 3, probabilities: vec![], values: vec![1.0, 5.0, 2.0] };
        let found = worst_rows(&numbers, &Targets::Number(vec![1.5, 2.0, 5.0]), 9);
        assert_eq!(found, [(1, 3.0), (2, 3.0), (0, 0.5)]);
        assert_eq!(worst_rows(&numbers, &Targets::Number(vec![]), 9), []);
    }
}

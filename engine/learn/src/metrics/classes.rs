//! Metrics of classification.

use std::sync::Arc;

use super::{
    CalibrationBin, ClassCurves, CurvePoint, Evaluation, LEAST_PROBABILITY, MAX_DETAILED_CLASSES, N_BINS, empty,
    predicted_class, thin,
};

pub(super) fn evaluate(classes: &[Arc<str>], probabilities: &[f32], labels: &[u32]) -> Evaluation {
    let n_classes = classes.len();
    let mut evaluation = empty(labels.len());
    evaluation.classes = classes.to_vec();
    if labels.is_empty() || n_classes == 0 {
        return evaluation;
    }
    let rows = || probabilities.chunks_exact(n_classes);
    let predicted: Vec<usize> = rows().map(predicted_class).collect();
    let counts = Counts::new(n_classes, labels, &predicted);
    let mut metrics: Vec<(&str, Option<f64>)> = counts.metrics();
    let curves: Vec<ClassCurves> = match n_classes {
        2 => class_curves(classes, probabilities, labels, 1).into_iter().collect(),
        n if n <= MAX_DETAILED_CLASSES => {
            (0..n).filter_map(|class| class_curves(classes, probabilities, labels, class)).collect()
        }
        _ => Vec::new(),
    };
    // A mean over the classes stands only if each of them has rows and others.
    if curves.len() == if n_classes == 2 { 1 } else { n_classes } {
        let mean = |of: fn(&ClassCurves) -> f64| curves.iter().map(of).sum::<f64>() / curves.len() as f64;
        metrics.push(("roc_auc", Some(mean(|curve| curve.roc_auc))));
        metrics.push(("average_precision", Some(mean(|curve| curve.average_precision))));
    }
    metrics.push(("log_loss", Some(log_loss(rows(), labels))));
    metrics.push(("brier", Some(brier(rows(), labels))));
    evaluation.metrics = metrics.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect();
    evaluation.calibration = calibration(rows(), labels, &predicted);
    evaluation.curves = curves;
    evaluation.confusion = (n_classes <= MAX_DETAILED_CLASSES).then_some(counts.confusion);
    evaluation
}

pub(super) struct Counts {
    /// By true class, then predicted class.
    confusion: Vec<Vec<u64>>,
    n_true: Vec<f64>,
    n_predicted: Vec<f64>,
    n_right: Vec<f64>,
    n_rows: f64,
}

impl Counts {
    fn new(n_classes: usize, labels: &[u32], predicted: &[usize]) -> Self {
        // Above the limit only the sums are kept: a matrix of 10,000 by 10,000 is no use to anybody.
        let side = if n_classes <= MAX_DETAILED_CLASSES { n_classes } else { 0 };
        let mut counts = Self {
            confusion: vec![vec![0; side]; side],
            n_true: vec![0.0; n_classes],
            n_predicted: vec![0.0; n_classes],
            n_right: vec![0.0; n_classes],
            n_rows: labels.len() as f64,
        };
        for (&label, &predicted) in labels.iter().zip(predicted) {
            let label = label as usize;
            counts.n_true[label] += 1.0;
            counts.n_predicted[predicted] += 1.0;
            counts.n_right[label] += f64::from(u8::from(label == predicted));
            if side > 0 {
                counts.confusion[label][predicted] += 1;
            }
        }
        counts
    }

    /// The same of rows that count several times, without the matrix. Labels are below the number of classes.
    pub(super) fn weighted(n_classes: usize, labels: &[u32], predicted: &[usize], weights: &[u32]) -> Self {
        let none = || vec![0.0; n_classes];
        let mut counts = Self { confusion: vec![], n_true: none(), n_predicted: none(), n_right: none(), n_rows: 0.0 };
        for ((&label, &predicted), &weight) in labels.iter().zip(predicted).zip(weights) {
            let (label, weight) = (label as usize, f64::from(weight));
            counts.n_rows += weight;
            counts.n_true[label] += weight;
            counts.n_predicted[predicted] += weight;
            counts.n_right[label] += if label == predicted { weight } else { 0.0 };
        }
        counts
    }

    pub(super) fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        let n_classes = self.n_true.len();
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let precision = |class: usize| ratio(self.n_right[class], self.n_predicted[class]);
        let recall = |class: usize| ratio(self.n_right[class], self.n_true[class]);
        let f1 = |class: usize| ratio(2.0 * self.n_right[class], self.n_predicted[class] + self.n_true[class]);
        // Two classes: of the positive one. More: the mean over those that occur, truly or as predicted.
        let judged: Vec<usize> = match n_classes {
            2 => vec![1],
            _ => (0..n_classes).filter(|&class| self.n_true[class] + self.n_predicted[class] > 0.0).collect(),
        };
        let mean = |of: &dyn Fn(usize) -> f64| judged.iter().map(|&class| of(class)).sum::<f64>() / judged.len() as f64;
        let present: Vec<usize> = (0..n_classes).filter(|&class| self.n_true[class] > 0.0).collect();
        let balanced = present.iter().map(|&class| recall(class)).sum::<f64>() / present.len() as f64;
        let right: f64 = self.n_right.iter().sum();
        vec![
            ("accuracy", Some(right / self.n_rows)),
            ("balanced_accuracy", Some(balanced)),
            ("precision", Some(mean(&precision))),
            ("recall", Some(mean(&recall))),
            ("f1", Some(mean(&f1))),
            ("mcc", Some(self.mcc(right))),
        ]
    }

    /// Matthews' correlation for any number of classes (Gorodkin, 2004); 0 where everything is one class.
    fn mcc(&self, right: f64) -> f64 {
        let n = self.n_rows;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let covariance = right * n - dot(&self.n_true, &self.n_predicted);
        let spread = (n * n - dot(&self.n_predicted, &self.n_predicted)) * (n * n - dot(&self.n_true, &self.n_true));
        if spread > 0.0 { covariance / spread.sqrt() } else { 0.0 }
    }
}

/// Mean of `-ln p` of the true class.
fn log_loss<'a>(rows: impl Iterator<Item = &'a [f32]>, labels: &[u32]) -> f64 {
    let loss = |(row, &label): (&[f32], &u32)| {
        -f64::from(row[label as usize]).clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY).ln()
    };
    rows.zip(labels).map(loss).sum::<f64>() / labels.len() as f64
}

/// Two classes: mean squared difference of the positive class's probability and 0 or 1. More: the sum over the classes.
fn brier<'a>(rows: impl Iterator<Item = &'a [f32]>, labels: &[u32]) -> f64 {
    let mut sum = 0.0;
    for (row, &label) in rows.zip(labels) {
        let difference =
            |(class, &p): (usize, &f32)| (f64::from(p) - f64::from(u8::from(class == label as usize))).powi(2);
        let skipped = usize::from(row.len() == 2);
        sum += row.iter().enumerate().skip(skipped).map(difference).sum::<f64>();
    }
    sum / labels.len() as f64
}

/// `None` where the class has no rows or there are no others.
fn class_curves(classes: &[Arc<str>], probabilities: &[f32], labels: &[u32], class: usize) -> Option<ClassCurves> {
    let mut scored: Vec<(f32, bool)> = probabilities
        .chunks_exact(classes.len())
        .zip(labels)
        .map(|(row, &label)| (row[class], label as usize == class))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n_positive = scored.iter().filter(|(_, positive)| *positive).count() as f64;
    let n_negative = scored.len() as f64 - n_positive;
    if n_positive == 0.0 || n_negative == 0.0 {
        return None;
    }
    let mut roc = vec![CurvePoint { x: 0.0, y: 0.0, threshold: None }];
    let mut precision_recall = vec![CurvePoint { x: 0.0, y: 1.0, threshold: None }];
    let (mut hits, mut misses, mut roc_auc, mut average_precision) = (0.0, 0.0, 0.0, 0.0);
    let mut at = 0;
    while at < scored.len() {
        // Rows with equal scores come in together: no threshold tells them apart.
        let score = scored[at].0;
        let (hits_before, misses_before) = (hits, misses);
        while at < scored.len() && scored[at].0.total_cmp(&score).is_eq() {
            if scored[at].1 {
                hits += 1.0;
            } else {
                misses += 1.0;
            }
            at += 1;
        }
        roc_auc += (misses - misses_before) / n_negative * (hits + hits_before) / (2.0 * n_positive);
        average_precision += (hits - hits_before) / n_positive * hits / (hits + misses);
        let threshold = Some(f64::from(score));
        roc.push(CurvePoint { x: misses / n_negative, y: hits / n_positive, threshold });
        precision_recall.push(CurvePoint { x: hits / n_positive, y: hits / (hits + misses), threshold });
    }
    Some(ClassCurves {
        class: classes[class].clone(),
        roc: thin(roc),
        precision_recall: thin(precision_recall),
        roc_auc,
        average_precision,
    })
}

/// Equal-width bins of the probability: of the positive class, or of whatever class was predicted.
fn calibration<'a>(rows: impl Iterator<Item = &'a [f32]>, labels: &[u32], predicted: &[usize]) -> Vec<CalibrationBin> {
    let mut bins = vec![(0.0f64, 0.0f64, 0u64); N_BINS];
    for ((row, &label), &predicted) in rows.zip(labels).zip(predicted) {
        let class = if row.len() == 2 { 1 } else { predicted };
        let probability = f64::from(row[class]);
        // A NaN lands in the first bin; casts saturate.
        let bin = &mut bins[((probability * N_BINS as f64) as usize).min(N_BINS - 1)];
        bin.0 += probability;
        bin.1 += f64::from(u8::from(label as usize == class));
        bin.2 += 1;
    }
    let filled = bins.into_iter().filter(|bin| bin.2 > 0);
    filled
        .map(|(predicted, observed, count)| {
            let n = count as f64;
            CalibrationBin { predicted: predicted / n, observed: observed / n, count }
        })
        .collect()
}

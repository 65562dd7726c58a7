#![allow(clippy::unwrap_used)]

use super::*;

fn names(n: usize) -> Vec<Arc<str>> {
    (0..n).map(|class| Arc::from(format!("c{class}"))).collect()
}

fn judged(n_classes: usize, probabilities: &[f32], labels: &[u32]) -> Evaluation {
    let predictions = Predictions { n_rows: labels.len(), probabilities: probabilities.to_vec(), values: vec![] };
    let targets = Targets::Class { labels: labels.to_vec(), n_classes };
    evaluate(Task::Classification, &names(n_classes), &predictions, &targets).unwrap()
}

fn judged_numbers(predicted: &[f64], values: &[f64]) -> Evaluation {
    let predictions = Predictions { n_rows: values.len(), probabilities: vec![], values: predicted.to_vec() };
    evaluate(Task::Regression, &[], &predictions, &Targets::Number(values.to_vec())).unwrap()
}

fn check(evaluation: &Evaluation, expect: &[(&str, f64)]) {
    for &(key, expect) in expect {
        let found = evaluation.metric(key).unwrap_or_else(|| panic!("{key} is missing"));
        assert!((found - expect).abs() < 1e-6, "{key} is {found}, not {expect}");
    }
    let known = |key: &str| athanor_protocol::metric::metric_info(key).is_some();
    assert!(evaluation.metrics.iter().all(|(key, _)| known(key)));
}

/// The figures of these three tests: scikit-learn 1.9.1 on the same numbers (`accuracy_score`, `roc_auc_score` with
/// `multi_class="ovr"`, `brier_score_loss`, … with their defaults; the Brier score of three classes from its formula).
#[test]
fn two_classes_as_scikit_learn() {
    let positive = [0.1f32, 0.8, 0.4, 0.3, 0.9, 0.6, 0.55, 0.4, 0.4, 0.05];
    let probabilities: Vec<f32> = positive.iter().flat_map(|&p| [1.0 - p, p]).collect();
    let evaluation = judged(2, &probabilities, &[0, 1, 1, 0, 1, 0, 1, 1, 0, 0]);
    check(
        &evaluation,
        &[
            ("accuracy", 0.7),
            ("balanced_accuracy", 0.7),
            ("precision", 0.75),
            ("recall", 0.6),
            ("f1", 0.666_666_666),
            ("roc_auc", 0.84),
            ("average_precision", 0.835_714_285),
            ("log_loss", 0.469_936_764),
            ("brier", 0.1595),
            ("mcc", 0.408_248_290),
        ],
    );
    assert_eq!(evaluation.confusion, Some(vec![vec![4, 1], vec![2, 3]]));
    assert_eq!(evaluation.curves.len(), 1);
    let roc = &evaluation.curves[0].roc;
    assert_eq!((roc[0].x, roc[0].y), (0.0, 0.0));
    assert_eq!(roc.last().map(|point| (point.x, point.y)), Some((1.0, 1.0)));
    assert_eq!(evaluation.calibration.iter().map(|bin| bin.count).sum::<u64>(), 10);
}

#[test]
fn three_classes_as_scikit_learn() {
    let probabilities = [
        0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.1, 0.2, 0.7, 0.4, 0.3, 0.3, 0.3, 0.4, 0.3, 0.5, 0.3, 0.2, 0.2, 0.2, 0.6, 0.6,
        0.3, 0.1,
    ];
    let evaluation = judged(3, &probabilities, &[0, 1, 2, 2, 1, 0, 2, 1]);
    check(
        &evaluation,
        &[
            ("accuracy", 0.75),
            ("balanced_accuracy", 0.777_777_777),
            ("precision", 0.833_333_333),
            ("recall", 0.777_777_777),
            ("f1", 0.755_555_555),
            ("roc_auc", 0.927_777_777),
            ("average_precision", 0.855_555_555),
            ("log_loss", 0.741_838_276),
            ("brier", 0.4275),
            ("mcc", 0.683_130_051),
        ],
    );
}

#[test]
fn numbers_as_scikit_learn() {
    let evaluation = judged_numbers(&[2.5, 0.0, 2.0, 8.0, 5.25], &[3.0, -0.5, 2.0, 7.0, 4.25]);
    check(&evaluation, &[("r2", 0.918_566_775), ("rmse", 0.5f64.sqrt()), ("mae", 0.6), ("median_absolute_error", 0.5)]);
    assert_eq!(evaluation.residuals.iter().map(|bin| bin.count).sum::<u64>(), 5);
}

#[test]
fn what_is_not_defined_is_left_out() {
    let one_class = judged(2, &[0.4, 0.6, 0.7, 0.3], &[0, 0]);
    assert_eq!(one_class.metric("roc_auc"), None);
    assert_eq!(one_class.metric("accuracy"), Some(0.5));
    assert_eq!(one_class.metric("mcc"), Some(0.0));
    assert!(judged(2, &[], &[]).metrics.is_empty());
    assert!(judged_numbers(&[], &[]).metrics.is_empty());
    let flat = judged_numbers(&[1.0, 2.0], &[3.0, 3.0]);
    assert_eq!(flat.metric("r2"), None);
    assert_eq!(flat.metric("mae"), Some(1.5));
    assert_eq!(judged_numbers(&[1.0], &[1.0]).residuals.len(), 1);
    // A probability of nothing for what happened stays finite.
    assert!(judged(2, &[1.0, 0.0], &[1]).metric("log_loss").unwrap().is_finite());
}

#[test]
fn numbers_that_are_none_do_not_panic() {
    let evaluation = judged(2, &[f32::NAN, f32::NAN, 0.5, 0.5], &[0, 1]);
    assert!(evaluation.metric("accuracy").is_some());
    let evaluation = judged_numbers(&[f64::NAN, f64::INFINITY, 1.0], &[1.0, 2.0, 3.0]);
    assert!(evaluation.metric("rmse").unwrap().is_nan());
    let json = serde_json::to_string(&evaluation).unwrap();
    assert!(json.contains("\"NaN\""));
    assert!(serde_json::from_str::<Evaluation>(&json).is_ok());
}

#[test]
fn long_curves_are_thinned_with_their_ends() {
    let n = 5000u32;
    let probabilities: Vec<f32> = (0..n).flat_map(|i| [1.0 - i as f32 / n as f32, i as f32 / n as f32]).collect();
    let labels: Vec<u32> = (0..n).map(|i| u32::from(i % 3 == 0)).collect();
    let curves = &judged(2, &probabilities, &labels).curves[0];
    assert_eq!(curves.roc.len(), MAX_CURVE_POINTS);
    assert_eq!(curves.roc.last().map(|point| (point.x, point.y)), Some((1.0, 1.0)));
    assert_eq!(curves.precision_recall.len(), MAX_CURVE_POINTS);
}

#[test]
fn things_that_do_not_belong_together_are_an_error() {
    let predictions = Predictions { n_rows: 2, probabilities: vec![0.5; 4], values: vec![] };
    let labels = |labels: Vec<u32>| Targets::Class { labels, n_classes: 2 };
    assert!(evaluate(Task::Classification, &names(2), &predictions, &labels(vec![0])).is_err());
    assert!(evaluate(Task::Classification, &names(3), &predictions, &labels(vec![0, 1])).is_err());
    assert!(evaluate(Task::Classification, &names(2), &predictions, &labels(vec![0, 2])).is_err());
    assert!(evaluate(Task::Regression, &[], &predictions, &labels(vec![0, 1])).is_err());
    assert!(evaluate(Task::Regression, &[], &predictions, &Targets::Number(vec![0.0, 1.0])).is_err());
}

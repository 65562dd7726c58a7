//! Figures of NumPy 2.4.6 and SciPy 1.16.3, made by `tests/fixtures/paired_statistics.py`.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::{encode::Task, metrics::evaluate, model::Predictions, samples::Targets};

fn close(found: f64, expect: f64) {
    assert!((found - expect).abs() <= 1e-10 * expect.abs().max(1e-3), "{found} is not {expect}");
}

#[test]
fn tests_of_counts_as_scipy() {
    let exact = [(3, 9, 0.145_996_093_75), (0, 6, 0.031_25), (12, 12, 1.0), (5, 6, 1.0), (0, 0, 1.0)];
    for (first, second, expect) in exact {
        let found = mcnemar(first, second);
        assert_eq!((found.name, found.counts), ("mcnemar_exact", [first, second]));
        close(found.p_value, expect);
    }
    let large = [(10, 25, 0.017_960_477_526_078_79), (40, 43, 0.826_238_365_918_728_1)];
    for (first, second, expect) in large {
        assert_eq!(mcnemar(first, second).name, "mcnemar");
        close(mcnemar(first, second).p_value, expect);
    }
    let tiny = mcnemar(200, 80).p_value;
    assert!((tiny / 1.146_968_033_842_285_9e-12 - 1.0).abs() < 1e-9, "{tiny}");
    for (hits, n, expect) in [(2, 9, 0.179_687_5), (7, 8, 0.070_312_5), (4, 8, 1.0)] {
        close(binomial(std::cmp::min(hits, n - hits), n), expect);
    }
}

#[test]
fn wilsons_interval_as_scipy() {
    for (hits, n, low, high) in [
        (0, 10, 0.0, 0.277_532_799_862_889_26),
        (7, 10, 0.396_778_147_461_145_26, 0.892_208_732_593_699),
        (97, 100, 0.915_480_635_709_472_4, 0.989_745_475_975_996),
        (10, 10, 0.722_467_200_137_110_7, 1.0),
        (0, 0, 0.0, 1.0),
        (5, 0, 0.0, 1.0),
    ] {
        let found = wilson(hits, n);
        close(found[0], low);
        close(found[1], high);
    }
}

#[test]
fn signed_ranks_and_percentiles_as_scipy() {
    let differences: Vec<f64> = (0..40).map(|i| f64::from((i * 17) % 23 - 9) / 4.0).collect();
    let found = nearer(&differences);
    assert_eq!(found.name, "wilcoxon");
    close(found.p_value, 0.051_791_226_419_825_365);
    let few = nearer(&[1.0, -2.0, 0.0, 3.0, f64::NAN]);
    assert_eq!((few.name, few.counts), ("sign", [1, 2]));
    assert_eq!(nearer(&[]).p_value, 1.0);
    assert_eq!(percentiles(vec![3.0, 1.0, 4.0, 1.5, 9.0, 2.6]), Some([1.0625, 8.375]));
    assert_eq!(percentiles(vec![f64::NAN, f64::NAN, 1.0]), None);
    assert_eq!(percentiles(vec![]), None);
}

/// The rows of the script.
fn rows(n: usize) -> (Vec<u32>, Vec<f32>, Vec<f32>) {
    let (mut labels, mut first, mut second) = (vec![], vec![], vec![]);
    for i in 0..n {
        let label = ((i * 7 + i / 3) % 2) as u32;
        let side = |far: f64| if label == 1 { far } else { 1.0 - far };
        let noise = |a: usize, m: usize| (((i * a) % m) as f64 / m as f64 - 0.5) * 0.9;
        labels.push(label);
        for (into, far, a, m) in [(&mut first, 0.62, 37, 101), (&mut second, 0.72, 53, 97)] {
            let p = (side(far) + noise(a, m)).clamp(0.01, 0.99);
            into.extend([(1.0 - p) as f32, p as f32]);
        }
    }
    (labels, first, second)
}

fn of_classes(labels: &[u32], probabilities: &[f32], n_classes: usize) -> Scorer {
    let predictions = Predictions { n_rows: labels.len(), probabilities: probabilities.to_vec(), values: vec![] };
    Scorer::new(&predictions, &Targets::Class { labels: labels.to_vec(), n_classes }).unwrap()
}

fn of_numbers(predicted: &[f64], values: &[f64]) -> Scorer {
    let predictions = Predictions { n_rows: values.len(), probabilities: vec![], values: predicted.to_vec() };
    Scorer::new(&predictions, &Targets::Number(values.to_vec())).unwrap()
}

#[test]
fn a_paired_bootstrap_as_numpy() {
    let (labels, first, second) = rows(300);
    let (first, second) = (of_classes(&labels, &first, 2), of_classes(&labels, &second, 2));
    let found = paired_bootstrap(&first, &second, 7, N_RESAMPLES, &mut || true).unwrap().unwrap();
    let at = |key: &str| found[first.keys().iter().position(|known| *known == key).unwrap()];
    let accuracy = at("accuracy");
    close(accuracy.first, 0.636_666_666_666_666_7);
    close(accuracy.second, 0.753_333_333_333_333_3);
    // Percentiles of 40,000 resamples there and of 2,000 here: alike within what resamples differ by.
    let near = |found: Option<[f64; 2]>, expect: [f64; 2], within: f64| {
        let found = found.unwrap();
        let far = (found[0] - expect[0]).abs().max((found[1] - expect[1]).abs());
        assert!(far < within, "{found:?} is not near {expect:?}");
    };
    near(accuracy.difference.interval, [0.043_333, 0.19], 0.01);
    near(at("log_loss").difference.interval, [-0.235_053, -0.100_576], 0.01);
    let again = paired_bootstrap(&first, &second, 7, N_RESAMPLES, &mut || true).unwrap().unwrap();
    assert_eq!(found, again, "the seed decides");
    assert_eq!(paired_bootstrap(&first, &second, 7, 10, &mut || false).unwrap(), None);
    let same = paired_bootstrap(&first, &first, 7, 50, &mut || true).unwrap().unwrap();
    assert!(same.iter().all(|pair| pair.difference.interval == Some([0.0, 0.0])));
    assert!(paired_bootstrap(&first, &of_numbers(&[1.0], &[1.0]), 7, 1, &mut || true).is_err());
}

#[test]
fn rows_that_count_once_give_the_figures_of_an_evaluation() {
    let names = |n: usize| -> Vec<Arc<str>> { (0..n).map(|class| Arc::from(format!("c{class}"))).collect() };
    let check = |scorer: &Scorer, evaluation: &crate::metrics::Evaluation, weights: &[u32]| {
        for (key, found) in scorer.keys().iter().zip(scorer.score(weights)) {
            match evaluation.metric(key) {
                Some(expect) => assert!((found - expect).abs() < 1e-9, "{key}: {found} is not {expect}"),
                None => assert!(found.is_nan(), "{key}: {found}"),
            }
        }
    };
    // Thirds, so that scores repeat; the last row counts twice: the same as having it twice.
    for n_classes in [2usize, 3, 4] {
        let n = 40;
        let labels: Vec<u32> = (0..n).map(|i| (i * 5 % 7 % n_classes) as u32).collect();
        let probabilities: Vec<f32> = (0..n)
            .flat_map(|i| {
                let raw: Vec<f32> = (0..n_classes).map(|class| 1.0 + ((i * (class + 3)) % 4) as f32).collect();
                let sum: f32 = raw.iter().sum();
                raw.into_iter().map(move |value| value / sum).collect::<Vec<_>>()
            })
            .collect();
        let scorer = of_classes(&labels, &probabilities, n_classes);
        let twice = |mut all: Vec<f32>| {
            all.extend_from_slice(&probabilities[(n - 1) * n_classes..]);
            all
        };
        for (n_rows, probabilities) in [(n, probabilities.clone()), (n + 1, twice(probabilities.clone()))] {
            let mut labels = labels.clone();
            labels.resize(n_rows, labels[n - 1]);
            let predictions = Predictions { n_rows, probabilities, values: vec![] };
            let targets = Targets::Class { labels, n_classes };
            let judged = evaluate(Task::Classification, &names(n_classes), &predictions, &targets).unwrap();
            let mut weights = vec![1; n];
            weights[n - 1] = (n_rows - n + 1) as u32;
            check(&scorer, &judged, &weights);
        }
    }
    let (predicted, values) = ([2.5, 0.0, 2.0, 8.0, 5.25], [3.0, -0.5, 2.0, 7.0, 4.25]);
    let predictions = Predictions { n_rows: 5, probabilities: vec![], values: predicted.to_vec() };
    let judged = evaluate(Task::Regression, &[], &predictions, &Targets::Number(values.to_vec())).unwrap();
    check(&of_numbers(&predicted, &values), &judged, &[1; 5]);
    let even = evaluate(
        Task::Regression,
        &[],
        &Predictions { n_rows: 4, probabilities: vec![], values: predicted[1..].to_vec() },
        &Targets::Number(values[1..].to_vec()),
    );
    check(&of_numbers(&predicted, &values), &even.unwrap(), &[0, 1, 1, 1, 1]);
}

#[test]
fn nothing_odd_breaks_a_score() {
    let empty = of_classes(&[], &[], 2);
    assert!(empty.score(&[]).iter().all(|score| score.is_nan() || *score == 0.0));
    assert!(bootstrap(&empty, 1, 3, &mut || true).is_some());
    let one_class = of_classes(&[0, 0], &[0.9, 0.1, 0.4, 0.6], 2);
    let found = bootstrap(&one_class, 1, 20, &mut || true).unwrap();
    assert!(found[6].value.is_nan() && found[6].interval.is_none(), "no curve of one class");
    assert!(of_numbers(&[], &[]).score(&[]).iter().all(|score| score.is_nan()));
    let predictions = Predictions { n_rows: 1, probabilities: vec![0.5, 0.5], values: vec![] };
    assert!(Scorer::new(&predictions, &Targets::Class { labels: vec![2], n_classes: 2 }).is_err());
    assert!(Scorer::new(&predictions, &Targets::Number(vec![1.0])).is_err());
    close(erfc(0.0), 1.0);
    assert!((erfc(2.499_999_999) - erfc(2.500_000_001)).abs() < 1e-11, "both ways meet");
}

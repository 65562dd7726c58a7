#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use athanor_protocol::{
    columns::ColumnData,
    metric::MetricValue,
    monitor::{ColumnDrift, DriftMethod},
    package::{ColumnStatistics, FinalMetric},
    table::DataType,
};

use super::*;
use crate::statistics::of_column;

/// Numbers that every language computes alike, as in tests/fixtures/drift_figures.py.
fn sample(n: u32, a: u32, b: u32, scale: f64, shift: f64) -> Vec<f64> {
    (0..n).map(|i| f64::from((i * a + b) % 1009) / 1009.0 * scale + shift).collect()
}

#[track_caller]
fn near(found: f64, expect: f64) {
    assert!((found - expect).abs() <= 1e-6 * expect.abs().max(1.0), "{found}, not {expect}");
}

/// The figures of this and the next test: SciPy 1.16.3 and NumPy 2.4.6, made by tests/fixtures/drift_figures.py.
#[test]
fn samples_as_scipy() {
    #[track_caller]
    fn check(reference: Vec<f64>, current: Vec<f64>, ks: [f64; 2], area: [f64; 2], binned: [f64; 3]) {
        let test = kolmogorov_smirnov(&reference, &current).unwrap();
        near(test.statistic, ks[0]);
        near(test.p_value, ks[1]);
        let (reference, current) = (sorted(&reference), sorted(&current));
        let distance = wasserstein(&reference, &current).unwrap();
        near(distance, area[0]);
        near(distance / deviation(&reference).max(0.001), area[1]);
        let (r, c) = common_counts(&reference, &current);
        near(jensen_shannon(&r, &c, std::f64::consts::E).unwrap(), binned[0]);
        near(jensen_shannon(&r, &c, 2.0).unwrap(), binned[1]);
        near(psi(&r, &c).unwrap(), binned[2]);
    }
    check(
        sample(40, 7, 3, 1.0, 0.0),
        sample(30, 11, 5, 1.0, 0.1),
        [0.475, 0.000534784332478771],
        [0.124777006937562, 1.55809552861909],
        [0.487735481146547, 0.585830015965359, 4.45773123505069],
    );
    check(
        sample(200, 7, 3, 2.0, 0.0),
        sample(200, 11, 5, 2.2, 0.0),
        [0.155, 0.0162584592767596],
        [0.195846382556987, 0.34132625399665],
        [0.165790687582261, 0.199134910023167, 0.252691977044968],
    );
    check(
        sample(1000, 7, 3, 10.0, -5.0),
        sample(1700, 11, 5, 10.0, -4.7),
        [0.0366470588235294, 0.35629728382897],
        [0.272902116247886, 0.0952523350323581],
        [0.064083900063897, 0.0769726084091781, 0.0332370485811158],
    );
    check(
        sample(300, 7, 3, 1.0, 0.0),
        sample(200, 11, 5, 1.0, 2.0),
        [1.0, 3.95651798607954e-145],
        [1.98455401387512, 6.69130358926407],
        [0.832554611157698, 1.0, 15.7617564053792],
    );
    check(
        sample(12_000, 7, 3, 1.0, 0.0),
        sample(9_000, 11, 5, 1.02, 0.0),
        [0.0199444444444444, 0.0329780254112021],
        [0.0105816451932607, 0.0366150154112439],
        [0.0297075097838816, 0.0356823557106629, 0.00709458680735153],
    );
    check(
        sample(20_000, 7, 3, 1.0, 0.0),
        sample(150, 11, 5, 0.9, 0.05),
        [0.155783333333333, 0.00126586467272323],
        [0.071487224975223, 0.247807545630066],
        [0.175934900485154, 0.211319351460332, 0.26197308539533],
    );
    check(
        vec![1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0],
        vec![2.0, 3.0, 4.0, 4.0, 5.0],
        [0.457142857142857, 0.434343434343434],
        [1.02857142857143, 1.13841995766062],
        [0.419042095093548, 0.503320850641683, 3.0260045619952],
    );
    check(vec![4.0; 30], vec![4.0; 20], [0.0, 1.0], [0.0, 0.0], [0.0; 3]);
    check(
        vec![4.0; 30],
        vec![5.0; 20],
        [1.0, 4.24365251353489e-14],
        [1.0, 1000.0],
        [0.832554611157698, 1.0, 18.418838675878],
    );
}

#[test]
fn tables_as_scipy() {
    #[track_caller]
    fn check(reference: &[u64], current: &[u64], plain: [f64; 3], yates: [f64; 2], fit: [f64; 2], binned: [f64; 3]) {
        let test = chi_squared(reference, current, false).unwrap();
        near(test.statistic, plain[0]);
        assert_eq!(test.dof as f64, plain[1]);
        near(test.p_value, plain[2]);
        let test = chi_squared(reference, current, true).unwrap();
        near(test.statistic, yates[0]);
        near(test.p_value, yates[1]);
        let test = goodness_of_fit(current, reference).unwrap();
        if fit[0].is_finite() {
            near(test.statistic, fit[0]);
        } else {
            assert_eq!(test.statistic, fit[0]);
        }
        near(test.p_value, fit[1]);
        near(jensen_shannon(reference, current, std::f64::consts::E).unwrap(), binned[0]);
        near(jensen_shannon(reference, current, 2.0).unwrap(), binned[1]);
        near(psi(reference, current).unwrap(), binned[2]);
    }
    check(
        &[30, 50, 20],
        &[45, 30, 25],
        [8.55555555555556, 2.0, 0.0138734577625275],
        [8.55555555555556, 0.0138734577625275],
        [16.75, 0.000230559867592442],
        [0.146888241305707, 0.176430758219516, 0.174142068535133],
    );
    check(
        &[70, 30],
        &[25, 25],
        [5.74162679425837, 1.0, 0.0165674409041554],
        [4.91267942583732, 0.0266602537420557],
        [9.52380952380952, 0.00202823114845208],
        [0.144934211633544, 0.174083729392848, 0.169459572077441],
    );
    check(
        &[50, 50, 0],
        &[40, 40, 20],
        [22.2222222222222, 2.0, 1.49453385247814e-05],
        [22.2222222222222, 1.49453385247814e-05],
        [f64::INFINITY, 0.0],
        [0.273645320848638, 0.328681526930858, 1.5640491119253],
    );
    check(&[10, 20, 30], &[10, 20, 30], [0.0, 2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0; 3]);
    check(
        &[100_000, 3, 0, 7],
        &[90_000, 0, 2, 11],
        [6.28569421470562, 3.0, 0.0985083561495563],
        [6.28569421470562, 0.0985083561495563],
        [f64::INFINITY, 0.0],
        [0.00465701451762907, 0.00559364449516809, 0.000752824261842036],
    );
    let (z, p_value) = share_difference([70, 30], [25, 25]).unwrap();
    near(z, 2.39616919149261);
    near(p_value, 0.0165674409041554);
}

#[test]
fn sturges_as_numpy() {
    let both = sorted(&[sample(200, 7, 3, 2.0, 0.0), sample(200, 11, 5, 2.2, 0.0)].concat());
    let edges = sturges_edges(&both);
    assert_eq!(edges.len(), 11);
    near(edges[1], 0.219345887016848);
    near(edges[10], 2.19345887016848);
    assert_eq!(counts_in(&both, &edges).iter().sum::<u64>(), 400);
    assert_eq!(sturges_edges(&[4.0, 4.0]), [3.5, 4.5]);
    assert_eq!(sturges_edges(&[]), Vec::<f64>::new());
}

#[test]
fn nothing_to_compare_is_none_and_huge_values_have_numbers() {
    assert_eq!(wasserstein(&[], &[1.0]), None);
    assert_eq!((psi(&[0, 0], &[1, 1]), jensen_shannon(&[1], &[0], 2.0)), (None, None));
    assert_eq!((chi_squared(&[0], &[1], false), goodness_of_fit(&[], &[])), (None, None));
    assert_eq!(share_difference([0, 0], [1, 1]), None);
    assert_eq!(share_difference([5, 0], [7, 0]), Some((0.0, 1.0)));
    assert_eq!(chi_squared(&[5], &[7], true).map(|test| test.p_value), Some(1.0));
    assert_eq!(deviation(&[]), 0.0);
    assert_eq!(sorted(&[f64::NAN, 2.0, f64::INFINITY, -1.0]), [-1.0, 2.0]);
    let (a, b) = ([f64::MIN, 0.0, f64::MAX], [f64::MIN, f64::MAX, f64::MAX]);
    assert!(wasserstein(&a, &b).unwrap().is_finite() && deviation(&a).is_finite());
    let wide: Vec<f64> = (0..30).map(|at| if at % 2 == 0 { f64::MIN } else { f64::MAX / f64::from(at) }).collect();
    let edges = sturges_edges(&sorted(&wide));
    assert!(edges.iter().all(|edge| edge.is_finite()) && edges.is_sorted(), "{edges:?}");
    let (r, c) = common_counts(&[-0.0, 0.0], &[0.0]);
    assert_eq!((r, c), (vec![2], vec![1]), "there is one zero");
    let mut shares = [0.0, 0.00005, 0.99995];
    fill_empty(&mut shares);
    assert_eq!(shares[0], 0.00005 / 1e6);
}

fn numbers(values: Vec<f64>) -> ColumnStatistics {
    of_column("x", DataType::Float, &ColumnData::Float(values))
}

fn texts(values: &[(&str, usize)]) -> ColumnData {
    let repeated = values.iter().flat_map(|&(text, n)| std::iter::repeat_n(Some(Arc::from(text)), n));
    ColumnData::Text(repeated.collect())
}

fn verdict(drift: &ColumnDrift) -> (Option<DriftMethod>, bool) {
    (drift.judged_by, drift.drifted)
}

#[test]
fn the_method_follows_size_and_kind_of_the_reference() {
    use DriftMethod::{ChiSquared, JensenShannon, KolmogorovSmirnov, ShareDifference, WassersteinNormed};
    let current = |shift: f64| ColumnData::Float(sample(500, 11, 5, 1.0, shift));
    let small = numbers(sample(800, 7, 3, 1.0, 0.0));
    assert_eq!(verdict(&compare(&small, &current(0.0))), (Some(KolmogorovSmirnov), false));
    assert_eq!(verdict(&compare(&small, &current(0.5))), (Some(KolmogorovSmirnov), true));
    let large = numbers(sample(5_000, 7, 3, 1.0, 0.0));
    assert_eq!((large.sample.len(), large.n_different), (1_000, Some(1_009)));
    assert_eq!(verdict(&compare(&large, &current(0.0))), (Some(WassersteinNormed), false));
    let drift = compare(&large, &current(0.5));
    assert_eq!(verdict(&drift), (Some(WassersteinNormed), true));
    let ks = drift.figures.iter().find(|figure| figure.method == KolmogorovSmirnov).unwrap();
    assert_eq!(ks.p_value, None, "a thinned sample gives no p-value");
    let few = numbers((0..300).map(|n| f64::from(n % 3)).collect());
    assert_eq!(verdict(&compare(&few, &ColumnData::Float(vec![0.0; 50]))), (Some(ChiSquared), true));
    let two = of_column("b", DataType::Bool, &ColumnData::Bool((0..100).map(|n| Some(n % 2 == 0)).collect()));
    let same = ColumnData::Bool((0..60).map(|n| Some(n % 2 == 1)).collect());
    assert_eq!(verdict(&compare(&two, &same)), (Some(ShareDifference), false));
    let many = of_column("t", DataType::Text, &texts(&[("a", 1_500), ("b", 1_500)]));
    assert_eq!(verdict(&compare(&many, &texts(&[("a", 50), ("b", 48)]))), (Some(JensenShannon), false));
    assert_eq!(verdict(&compare(&many, &texts(&[("a", 50), ("new", 48)]))), (Some(JensenShannon), true));
}

#[test]
fn missing_empty_and_older_statistics_are_judged_without_a_fall() {
    let reference = numbers(sample(800, 7, 3, 1.0, 0.0));
    let nothing = compare(&reference, &ColumnData::Float(vec![f64::NAN; 4]));
    assert_eq!((verdict(&nothing), nothing.missing, nothing.n_current), ((None, false), [0.0, 1.0], 0));
    assert_eq!(verdict(&compare(&reference, &ColumnData::Float(vec![]))), (None, false));
    let empty = numbers(vec![]);
    assert_eq!(verdict(&compare(&empty, &ColumnData::Float(vec![1.0]))), (None, false));
    let older = ColumnStatistics { sample: vec![], n_different: None, ..reference.clone() };
    let like = ColumnData::Float(sample(1_000, 11, 5, 1.0, 0.0));
    assert_eq!(verdict(&compare(&older, &like)), (Some(DriftMethod::ChiSquared), false));
    let far = ColumnData::Float(vec![99.0; 100]);
    assert_eq!(verdict(&compare(&older, &far)), (Some(DriftMethod::ChiSquared), true), "outer bins are open");
    let broken = ColumnStatistics { edges: vec![1.0], ..older };
    assert_eq!(compare(&broken, &far).judged_by, None);
    // Every figure is a number that JSON can hold.
    let huge = numbers(vec![f64::MIN, -1.0, 0.0, 1.0, 2.0, 3.0, f64::MAX]);
    let drift = compare(&huge, &ColumnData::Float(vec![f64::MAX, f64::MIN, f64::INFINITY]));
    let json = serde_json::to_string(&drift).unwrap();
    assert_eq!(serde_json::from_str::<ColumnDrift>(&json).unwrap(), drift);
}

#[test]
fn quality_stands_beside_training_and_the_best_constant() {
    let classes: Vec<Arc<str>> = vec!["no".into(), "yes".into()];
    let truths: Vec<u32> = (0..250).map(|n| u32::from(n % 5 == 0)).collect();
    // Right for all but every tenth row.
    let said = |(n, &truth): (usize, &u32)| if n % 10 == 9 { 1 - truth } else { truth };
    let probabilities =
        truths.iter().enumerate().map(said).flat_map(|said| if said == 1 { [0.1, 0.9] } else { [0.9, 0.1] }).collect();
    let training = [FinalMetric { key: "test/accuracy".to_owned(), value: MetricValue::Finite(0.95) }];
    let report = quality(&Truths::Classes { classes, probabilities, truths }, &training, 7).unwrap();
    assert_eq!(report.n_rows, 250);
    let accuracy = report.figures.iter().find(|figure| figure.metric == "accuracy").unwrap();
    assert_eq!((accuracy.value, accuracy.training, accuracy.constant), (0.9, Some(0.95), Some(0.8)));
    assert!(accuracy.deviation.is_some_and(|deviation| deviation > 0.0 && deviation < 0.02));
    let few = Truths::Numbers { predicted: vec![1.0, 2.0, 4.0], truths: vec![1.0, 2.0, 3.0] };
    let report = quality(&few, &[], 7).unwrap();
    let mae = report.figures.iter().find(|figure| figure.metric == "mae").unwrap();
    near(mae.value, 1.0 / 3.0);
    near(mae.constant.unwrap(), 2.0 / 3.0);
    assert_eq!(mae.deviation, None, "three rows have no deviation");
    let none = Truths::Numbers { predicted: vec![], truths: vec![] };
    assert_eq!(quality(&none, &[], 7).unwrap().figures, []);
}

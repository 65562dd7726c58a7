//! The verdict on a column: which comparison decides, by the size and kind of the reference.

use std::collections::HashMap;

use athanor_protocol::{
    columns::ColumnData,
    monitor::{ColumnDrift, DriftFigure, DriftMethod},
    package::ColumnStatistics,
    table::DataType,
};

use super::{
    bins, ks,
    shares::{common_counts, deviation, jensen_shannon, n_different, psi, wasserstein},
    sorted,
    tables::{chi_squared, share_difference},
};

/// Up to so many reference rows tests decide; beyond, where every test finds something, distances do.
const MAX_TESTED_ROWS: u64 = 1_000;
/// Numbers with more different values than this are compared as numbers, fewer as categories.
const MAX_FEW_VALUES: u64 = 5;
/// The least deviation that a Wasserstein distance is divided by.
const LEAST_DEVIATION: f64 = 0.001;

/// Compares recent values of a column to what the package keeps of its training values.
///
/// The rules are Evidently's: up to 1,000 reference rows numbers with more than five different values by
/// Kolmogorov-Smirnov, others by chi-squared or, where there are two values, by the difference of shares, each with
/// p < 0.05; beyond 1,000 rows numbers by the normed Wasserstein distance, others by Jensen-Shannon, each from 0.1 on.
/// Chi-squared is that of two samples, so that a small reference is not taken for the truth.
///
/// Older packages keep bins and no sample: their numbers are compared as categories, with the outer bins open.
pub fn compare(reference: &ColumnStatistics, current: &ColumnData) -> ColumnDrift {
    let n_rows = current.len() as u64;
    let n_missing = (0..current.len()).filter(|&row| current.is_missing(row)).count() as u64;
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let mut drift = ColumnDrift {
        column: reference.name.clone(),
        dtype: reference.dtype,
        n_reference: reference.n_rows.saturating_sub(reference.n_missing),
        n_current: n_rows - n_missing,
        missing: [share(reference.n_missing, reference.n_rows), share(n_missing, n_rows)],
        judged_by: None,
        drifted: false,
        figures: Vec::new(),
        bins: Vec::new(),
    };
    let is_tested = reference.n_rows <= MAX_TESTED_ROWS;
    if matches!(reference.dtype, DataType::Text | DataType::Bool) {
        let names = &reference.categories;
        let (reference, current) = categories(reference, current);
        drift.bins = bins::of_categories(names, &reference, &current);
        as_categories(&mut drift, &reference, &current, is_tested);
    } else {
        let current: Vec<f64> = (0..current.len()).map(|row| current.number(row)).collect();
        let current = sorted(&current);
        drift.bins = bins::of_numbers(reference, &current);
        as_numbers(&mut drift, reference, &current, is_tested);
    }
    if let Some(score) = drift.score() {
        let by_p = drift.judged_by.is_some_and(DriftMethod::judges_by_p_value);
        let threshold = drift.judged_by.map_or(f64::INFINITY, DriftMethod::threshold);
        drift.drifted = if by_p { score < threshold } else { score >= threshold };
    }
    drift
}

fn as_numbers(drift: &mut ColumnDrift, reference: &ColumnStatistics, current: &[f64], is_tested: bool) {
    let sample = &reference.sample;
    if sample.is_empty() {
        let (reference, current) = binned(reference, current);
        return as_categories(drift, &reference, &current, is_tested);
    }
    let n_values = reference.n_different.unwrap_or_else(|| n_different(sample) as u64);
    let (r, c) = common_counts(sample, current);
    if n_values <= MAX_FEW_VALUES {
        return as_categories(drift, &r, &c, is_tested);
    }
    if current.is_empty() {
        return;
    }
    let test = ks::of_sorted(sample, current);
    // The p-value counts values; a thinned reference has more of them than its sample says.
    let is_whole = sample.len() as u64 == drift.n_reference;
    let p_value = is_whole.then_some(test.p_value);
    drift.figures.push(DriftFigure { method: DriftMethod::KolmogorovSmirnov, value: test.statistic, p_value });
    let norm = deviation(sample).max(LEAST_DEVIATION);
    let distance = wasserstein(sample, current).map(|distance| (distance / norm).min(f64::MAX));
    push(drift, DriftMethod::WassersteinNormed, distance);
    push(drift, DriftMethod::JensenShannon, jensen_shannon(&r, &c, std::f64::consts::E));
    push(drift, DriftMethod::Psi, psi(&r, &c));
    drift.judged_by =
        Some(if is_tested && is_whole { DriftMethod::KolmogorovSmirnov } else { DriftMethod::WassersteinNormed });
}

fn as_categories(drift: &mut ColumnDrift, reference: &[u64], current: &[u64], is_tested: bool) {
    let Some(test) = chi_squared(reference, current, false) else { return };
    let (value, p_value) = (test.statistic, Some(test.p_value));
    drift.figures.push(DriftFigure { method: DriftMethod::ChiSquared, value, p_value });
    let used: Vec<(u64, u64)> =
        reference.iter().copied().zip(current.iter().copied()).filter(|(r, c)| r + c > 0).collect();
    let mut method = DriftMethod::ChiSquared;
    if let [(r0, c0), (r1, c1)] = used[..]
        && let Some((z, p_value)) = share_difference([r0, r1], [c0, c1])
    {
        method = DriftMethod::ShareDifference;
        drift.figures.push(DriftFigure { method, value: z, p_value: Some(p_value) });
    }
    push(drift, DriftMethod::JensenShannon, jensen_shannon(reference, current, std::f64::consts::E));
    push(drift, DriftMethod::Psi, psi(reference, current));
    drift.judged_by = Some(if is_tested { method } else { DriftMethod::JensenShannon });
}

fn push(drift: &mut ColumnDrift, method: DriftMethod, value: Option<f64>) {
    drift.figures.extend(value.map(|value| DriftFigure { method, value, p_value: None }));
}

/// Counts by the categories that the package keeps; the last count is that of all others.
fn categories(reference: &ColumnStatistics, current: &ColumnData) -> (Vec<u64>, Vec<u64>) {
    let mut expected: Vec<u64> = reference.categories.iter().map(|(_, count)| *count).collect();
    let n_there = reference.n_rows.saturating_sub(reference.n_missing);
    expected.push(n_there.saturating_sub(expected.iter().sum()));
    let places: HashMap<&str, usize> =
        reference.categories.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
    let mut found = vec![0; expected.len()];
    let others = expected.len() - 1;
    for label in (0..current.len()).filter_map(|row| current.label(row)) {
        found[places.get(&*label).copied().unwrap_or(others)] += 1;
    }
    (expected, found)
}

/// Counts by the bins that the package keeps; the outer ones take everything beyond them.
fn binned(reference: &ColumnStatistics, current: &[f64]) -> (Vec<u64>, Vec<u64>) {
    let n_bins = reference.counts.len();
    let mut found = vec![0; n_bins];
    if n_bins > 0 && reference.edges.len() == n_bins + 1 {
        for value in current {
            let bin = reference.edges[1..n_bins].partition_point(|edge| edge <= value);
            found[bin] += 1;
        }
    }
    (reference.counts.clone(), found)
}

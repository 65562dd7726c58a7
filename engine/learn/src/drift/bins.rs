//! Distributions side by side, for people to look at: the same few bins for training and for recent values.

use std::collections::BTreeMap;

use athanor_protocol::{
    monitor::{BinOf, DriftBin, MAX_DRIFT_BINS},
    package::ColumnStatistics,
    table::DataType,
};

use super::shares::{counts_in, n_different, sturges_edges};

/// Numbers with at most so many different values in training stand one by one.
const MAX_SINGLE: usize = 10;

/// A share that is short to write: a millionth is finer than any screen.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1e6).round() / 1e6 }
}

fn bins(of: Vec<BinOf>, reference: &[u64], current: &[u64]) -> Vec<DriftBin> {
    let (n, m) = (reference.iter().sum(), current.iter().sum());
    if n == 0 || m == 0 {
        return vec![];
    }
    let counts = reference.iter().zip(current);
    of.into_iter()
        .zip(counts)
        .map(|(of, (r, c))| DriftBin { of, reference: share(*r, n), current: share(*c, m) })
        .collect()
}

/// The bins of a number column. `current` is sorted and finite. Moments are in seconds.
pub(super) fn of_numbers(reference: &ColumnStatistics, current: &[f64]) -> Vec<DriftBin> {
    let sample = &reference.sample;
    let ranges = |edges: &[f64]| edges.windows(2).map(|pair| BinOf::Range([pair[0], pair[1]])).collect::<Vec<_>>();
    if sample.is_empty() {
        // Older packages keep bins alone; the outer ones take everything beyond them.
        let n_bins = reference.counts.len();
        if n_bins == 0 || reference.edges.len() != n_bins + 1 {
            return vec![];
        }
        let mut found = vec![0; n_bins];
        for value in current {
            found[reference.edges[1..n_bins].partition_point(|edge| edge <= value)] += 1;
        }
        return bins(ranges(&reference.edges), &reference.counts, &found);
    }
    let is_moment = matches!(reference.dtype, DataType::Date | DataType::Datetime);
    if n_different(sample) <= MAX_SINGLE && !is_moment {
        let mut counts: BTreeMap<String, (f64, [u64; 2])> = BTreeMap::new();
        for (at, values) in [sample.as_slice(), current].into_iter().enumerate() {
            for value in values {
                // The two zeros are one value.
                counts.entry((value + 0.0).to_string()).or_insert((*value, [0, 0])).1[at] += 1;
            }
        }
        let mut list: Vec<(String, f64, [u64; 2])> =
            counts.into_iter().map(|(name, (value, counts))| (name, value, counts)).collect();
        list.sort_by(|a, b| a.1.total_cmp(&b.1));
        return named(list.into_iter().map(|(name, _, counts)| (name, counts)).collect());
    }
    let mut all = [sample.as_slice(), current].concat();
    all.sort_unstable_by(f64::total_cmp);
    let mut edges = sturges_edges(&all);
    if edges.len() > MAX_DRIFT_BINS + 1
        && let (Some(&low), Some(&high)) = (edges.first(), edges.last())
    {
        let n = MAX_DRIFT_BINS as f64;
        // Halves first: the range of huge values has no number of its own.
        let step = (high / n) - (low / n);
        edges = (0..MAX_DRIFT_BINS).map(|at| low + at as f64 * step).chain([high]).collect();
    }
    bins(ranges(&edges), &counts_in(sample, &edges), &counts_in(current, &edges))
}

/// The bins of a column of categories, by the counts of each.
pub(super) fn of_categories(names: &[(String, u64)], reference: &[u64], current: &[u64]) -> Vec<DriftBin> {
    let mut list: Vec<(String, [u64; 2])> =
        names.iter().zip(reference.iter().zip(current)).map(|((name, _), (r, c))| (name.clone(), [*r, *c])).collect();
    // What is in none of them was counted last.
    let n_named = list.len();
    let others = [reference.get(n_named).copied().unwrap_or(0), current.get(n_named).copied().unwrap_or(0)];
    list.sort_by(|a, b| b.1.iter().sum::<u64>().cmp(&a.1.iter().sum()).then_with(|| a.0.cmp(&b.0)));
    with_others(list, others)
}

fn named(list: Vec<(String, [u64; 2])>) -> Vec<DriftBin> {
    with_others(list, [0, 0])
}

fn with_others(mut list: Vec<(String, [u64; 2])>, mut others: [u64; 2]) -> Vec<DriftBin> {
    let has_others = others != [0, 0] || list.len() > MAX_DRIFT_BINS;
    let room = MAX_DRIFT_BINS - usize::from(has_others);
    let cut = list.split_off(room.min(list.len()));
    for (_, counts) in &cut {
        others = [others[0] + counts[0], others[1] + counts[1]];
    }
    let mut of: Vec<BinOf> = vec![];
    let (mut reference, mut current) = (vec![], vec![]);
    for (name, [r, c]) in list {
        of.push(BinOf::Value(name));
        reference.push(r);
        current.push(c);
    }
    if has_others {
        of.push(BinOf::Others(cut.len() as u64));
        reference.push(others[0]);
        current.push(others[1]);
    }
    bins(of, &reference, &current)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use athanor_protocol::columns::ColumnData;

    use super::*;
    use crate::drift::{compare, sorted};

    fn statistics(dtype: DataType, sample: &[f64]) -> ColumnStatistics {
        ColumnStatistics {
            name: "x".to_owned(),
            dtype,
            n_rows: sample.len() as u64,
            n_missing: 0,
            numbers: None,
            edges: vec![],
            counts: vec![],
            categories: vec![],
            sample: sorted(sample),
            n_different: None,
        }
    }

    fn check_shares(bins: &[DriftBin]) {
        assert!(bins.len() <= MAX_DRIFT_BINS, "{bins:?}");
        let sum = |of: fn(&DriftBin) -> f64| bins.iter().map(of).sum::<f64>();
        assert!(
            (sum(|bin| bin.reference) - 1.0).abs() < 1e-4 && (sum(|bin| bin.current) - 1.0).abs() < 1e-4,
            "{bins:?}"
        );
    }

    #[test]
    fn numbers_are_in_ranges_that_hold_all_values_of_both() {
        let sample: Vec<f64> = (0..1_000).map(f64::from).collect();
        for current in [vec![500.0], vec![-1e6, 5e6], (0..200_000).map(|n| f64::from(n % 977)).collect()] {
            let bins = of_numbers(&statistics(DataType::Float, &sample), &sorted(&current));
            check_shares(&bins);
            assert!(bins.iter().all(|bin| matches!(bin.of, BinOf::Range([low, high]) if low < high)), "{bins:?}");
        }
        let huge = of_numbers(
            &statistics(DataType::Float, &(0..100).map(|n| f64::from(n) * 1e306).collect::<Vec<_>>()),
            &[-1.7e308, 1.7e308],
        );
        check_shares(&huge);
    }

    #[test]
    fn few_numbers_stand_one_by_one_in_their_order() {
        let bins = of_numbers(&statistics(DataType::Int, &[3.0, 1.0, 1.0, 10.0]), &[-0.0, 1.0, 3.0, 10.0]);
        let names: Vec<_> = bins.iter().map(|bin| bin.of.clone()).collect();
        assert_eq!(names, ["0", "1", "3", "10"].map(|name| BinOf::Value(name.to_owned())));
        assert_eq!(
            bins.iter().map(|bin| (bin.reference, bin.current)).collect::<Vec<_>>(),
            [(0.0, 0.25), (0.5, 0.25), (0.25, 0.25), (0.25, 0.25)]
        );
        let many: Vec<f64> = (0..5_000).map(f64::from).collect();
        check_shares(&of_numbers(&statistics(DataType::Int, &[1.0, 2.0]), &many));
    }

    #[test]
    fn texts_are_the_most_frequent_ones_and_all_others() {
        let categories: Vec<(String, u64)> = (0..40).map(|n| (format!("c{n}"), 100 - n)).collect();
        let reference = ColumnStatistics {
            n_rows: categories.iter().map(|(_, n)| n).sum(),
            categories,
            ..statistics(DataType::Text, &[])
        };
        let current = ColumnData::Text(["c0", "c39", "new", "new"].map(|text| Some(text.into())).to_vec());
        let bins = compare(&reference, &current).bins;
        check_shares(&bins);
        assert_eq!((bins.len(), &bins[0].of), (MAX_DRIFT_BINS, &BinOf::Value("c0".to_owned())));
        let last = bins.last().unwrap();
        assert_eq!((&last.of, last.current), (&BinOf::Others(21), 0.75));
        let text = serde_json::to_string(&bins[0]).unwrap();
        assert!(text.starts_with(r#"{"value":"c0","reference":"#), "{text}");
        assert_eq!(serde_json::from_str::<DriftBin>(&text).unwrap(), bins[0]);
    }

    #[test]
    fn what_has_nothing_to_compare_has_no_bins() {
        assert_eq!(of_numbers(&statistics(DataType::Float, &[1.0]), &[]), []);
        assert_eq!(of_numbers(&statistics(DataType::Float, &[]), &[1.0]), []);
        let old =
            ColumnStatistics { edges: vec![0.0, 1.0, 2.0], counts: vec![3, 1], ..statistics(DataType::Float, &[]) };
        let bins = of_numbers(&old, &[-5.0, 9.0, 9.0, 9.0]);
        assert_eq!(
            bins.iter().map(|bin| (bin.reference, bin.current)).collect::<Vec<_>>(),
            [(0.75, 0.25), (0.25, 0.75)]
        );
        assert_eq!(of_categories(&[], &[0], &[3]), []);
    }
}

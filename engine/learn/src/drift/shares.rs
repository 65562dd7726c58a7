//! Distances of binned distributions: bins, the rule for empty ones, PSI and Jensen-Shannon.

use std::collections::BTreeMap;

/// A number column with more different values in the reference than this is binned; fewer are told apart one by one.
const MAX_SINGLE_VALUES: usize = 20;
/// Stands for an empty bin where a logarithm is taken, unless the least share is as small already.
const EMPTY_SHARE: f64 = 1e-4;

/// Sturges' bins between the least and the greatest of sorted finite values: `⌈log₂ n + 1⌉` of equal width, as NumPy's
/// `histogram_bin_edges(…, "sturges")`. One value, repeated or not, is in the middle of a bin of width 1.
pub fn sturges_edges(sorted: &[f64]) -> Vec<f64> {
    let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let range = high - low;
    if range == 0.0 {
        return vec![low - 0.5, high + 0.5];
    }
    if !range.is_finite() {
        // The range of huge values has no number of its own: halves, then back.
        let halves: Vec<f64> = sorted.iter().map(|value| value / 4.0).collect();
        return sturges_edges(&halves).into_iter().map(|edge| edge * 4.0).collect();
    }
    let width = range / ((sorted.len() as f64).log2() + 1.0);
    let n_bins = if width > 0.0 { (range / width).ceil() } else { 1.0 };
    let step = range / n_bins;
    let mut edges: Vec<f64> = (0..n_bins as usize).map(|at| low + at as f64 * step).collect();
    edges.push(high);
    edges
}

/// How many sorted values lie in each bin. A bin holds its lower edge and not its upper one, the last holds both; values
/// beyond the edges are in none.
pub fn counts_in(sorted: &[f64], edges: &[f64]) -> Vec<u64> {
    let below = |edge: f64| sorted.partition_point(|value| *value < edge);
    let n_bins = edges.len().saturating_sub(1);
    let mut starts: Vec<usize> = edges.iter().take(n_bins).map(|&edge| below(edge)).collect();
    starts.extend(edges.last().map(|last| sorted.partition_point(|value| value <= last)));
    starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as u64).collect()
}

/// Counts of both samples over common bins: by value where the reference has at most twenty different ones, by Sturges'
/// bins of both together otherwise. Both must be sorted and finite.
pub fn common_counts(reference: &[f64], current: &[f64]) -> (Vec<u64>, Vec<u64>) {
    if n_different(reference) > MAX_SINGLE_VALUES {
        let mut all = [reference, current].concat();
        all.sort_unstable_by(f64::total_cmp);
        let edges = sturges_edges(&all);
        return (counts_in(reference, &edges), counts_in(current, &edges));
    }
    let mut counts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    // The bits name a value; which order they have does not matter to a sum. The two zeros are one value.
    let bits = |value: f64| (value + 0.0).to_bits();
    reference.iter().for_each(|&value| counts.entry(bits(value)).or_default().0 += 1);
    current.iter().for_each(|&value| counts.entry(bits(value)).or_default().1 += 1);
    counts.into_values().unzip()
}

/// Number of different values among sorted ones.
pub(super) fn n_different(sorted: &[f64]) -> usize {
    let steps = sorted.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if sorted.is_empty() { 0 } else { steps + 1 }
}

/// Counts as shares of their sum; `None` where nothing was counted.
pub fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    let total: u64 = counts.iter().sum();
    (total > 0).then(|| counts.iter().map(|&count| count as f64 / total as f64).collect())
}

/// The rule for empty bins: they get 0.0001, or a millionth of the least share that is not 0 where that one is at most
/// 0.0001 already.
pub fn fill_empty(shares: &mut [f64]) {
    let least = shares.iter().copied().filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if least <= EMPTY_SHARE { least / 1e6 } else { EMPTY_SHARE };
    shares.iter_mut().filter(|share| **share == 0.0).for_each(|share| *share = fill);
}

/// Population stability index `Σ (r − c) ln(r / c)` of counts over common bins; `None` where one side is empty.
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (mut reference, mut current) = (shares(reference)?, shares(current)?);
    fill_empty(&mut reference);
    fill_empty(&mut current);
    Some(reference.iter().zip(&current).map(|(r, c)| (r - c) * (r / c).ln()).sum())
}

/// Jensen-Shannon distance of counts over common bins: the root of the mean of both divergences from their middle.
/// `base` is that of the logarithm: [`std::f64::consts::E`] as in SciPy, or 2, with which the distance is at most 1.
/// `None` where one side is empty.
pub fn jensen_shannon(reference: &[u64], current: &[u64], base: f64) -> Option<f64> {
    let (reference, current) = (shares(reference)?, shares(current)?);
    let entropy = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).ln() } else { 0.0 };
    let sum: f64 = reference
        .iter()
        .zip(&current)
        .map(|(&r, &c)| {
            let middle = (r + c) / 2.0;
            entropy(r, middle) + entropy(c, middle)
        })
        .sum();
    Some((sum / base.ln() / 2.0).max(0.0).sqrt())
}

/// Wasserstein-1 distance of two sorted samples of finite values: the area between their distribution functions, in the
/// values' unit. `None` where one is empty.
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Option<f64> {
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let (n, m) = (reference.len(), current.len());
    let (mut at_r, mut at_c, mut sum) = (0, 0, 0.0);
    let mut last: Option<f64> = None;
    while at_r < n || at_c < m {
        let value = match (reference.get(at_r), current.get(at_c)) {
            (Some(&r), Some(&c)) => r.min(c),
            (Some(&r), None) => r,
            (None, Some(&c)) => c,
            (None, None) => break,
        };
        if let Some(last) = last {
            let gap = (at_r as f64 / n as f64 - at_c as f64 / m as f64).abs();
            // The distance of two huge values may have no number of its own.
            let distance = value - last;
            sum += if distance.is_finite() { distance * gap } else { value * gap - last * gap };
        }
        while reference.get(at_r).is_some_and(|r| *r <= value) {
            at_r += 1;
        }
        while current.get(at_c).is_some_and(|c| *c <= value) {
            at_c += 1;
        }
        last = Some(value);
    }
    Some(sum.clamp(0.0, f64::MAX))
}

/// Population standard deviation of finite values (divided by `n`); 0 for none.
pub fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean: f64 = values.iter().map(|value| value / n).sum();
    values.iter().map(|value| (value - mean).powi(2) / n).sum::<f64>().sqrt().min(f64::MAX)
}

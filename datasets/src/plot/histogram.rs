//! Histograms with common edges.

use athanor_protocol::{api::PlotData, table::Bin};

use super::{Counts, Need, Scan, groups, with_group};
use crate::{dataset::Dataset, error::DatasetError};

struct Seen {
    range: Option<(f64, f64)>,
    n_left_out: u64,
    counts: Counts,
}

pub(super) fn histogram(
    dataset: &Dataset,
    column: &str,
    n_bins: u32,
    group: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> Result<PlotData, DatasetError> {
    if !(2..=200).contains(&n_bins) {
        let reason = format!("a histogram of {n_bins} bins can't be drawn");
        return Err(DatasetError::invalid_because(reason, "choose from 2 to 200 bins"));
    }
    let needs = with_group(&[(column, Need::Number("a histogram"))], group);
    let mut scan = Scan::new(dataset, &needs, stop)?;
    let begin = || Seen { range: None, n_left_out: 0, counts: Counts::default() };
    let seen = scan.pass(begin, |seen, batch| {
        for &value in batch.numbers(0) {
            if value.is_finite() {
                let (min, max) = seen.range.unwrap_or((value, value));
                seen.range = Some((min.min(value), max.max(value)));
            } else {
                seen.n_left_out += 1;
            }
        }
        batch.codes(1).iter().for_each(|&code| seen.counts.add(code));
        Ok(())
    })?;
    let groups = groups(&scan, &seen.counts, group, 1);
    let Some((min, max)) = seen.range else {
        let groups = groups.named(vec![vec![]; groups.len()]);
        return Ok(PlotData::Histogram { groups, n_left_out: seen.n_left_out });
    };
    let edges = Edges::new(min, max, n_bins as usize);
    let bins = scan.pass(
        || vec![edges.bins(); groups.len()],
        |bins, batch| {
            let codes = batch.codes(1);
            for (row, &value) in batch.numbers(0).iter().enumerate() {
                if value.is_finite()
                    && let Some(bins) = bins.get_mut(groups.at(codes, row))
                {
                    bins[edges.bin(value)].count += 1;
                }
            }
            Ok(())
        },
    )?;
    Ok(PlotData::Histogram { groups: groups.named(bins), n_left_out: seen.n_left_out })
}

/// Equal bins from the least to the greatest value; one where they are the same.
struct Edges(Vec<f64>);

impl Edges {
    fn new(min: f64, max: f64, n_bins: usize) -> Self {
        if min == max {
            return Self(vec![min, max]);
        }
        // Both ends weighted, so that the width may be larger than the largest float.
        let edge = |i: usize| min * (1.0 - i as f64 / n_bins as f64) + max * (i as f64 / n_bins as f64);
        Self((0..=n_bins).map(|i| if i == n_bins { max } else { edge(i) }).collect())
    }

    fn bins(&self) -> Vec<Bin> {
        self.0.windows(2).map(|edges| Bin { low: edges[0], high: edges[1], count: 0 }).collect()
    }

    /// The bin of a value between the ends: `[low, high)`, the last one closed.
    fn bin(&self, value: f64) -> usize {
        let n_bins = self.0.len() - 1;
        let (min, max) = (self.0[0], self.0[n_bins]);
        // A guess by division; the edges themselves have the last word, because rounding may be off by one.
        let share = (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0);
        let mut at = ((share * n_bins as f64) as usize).min(n_bins - 1);
        while at > 0 && value < self.0[at] {
            at -= 1;
        }
        while at + 1 < n_bins && value >= self.0[at + 1] {
            at += 1;
        }
        at
    }
}

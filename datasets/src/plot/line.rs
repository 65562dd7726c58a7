//! Lines: the mean of one column along another.

use std::collections::BTreeSet;

use athanor_protocol::api::PlotData;

use super::{Counts, Mean, Need, Scan, groups, with_group};
use crate::{dataset::Dataset, error::DatasetError};

/// Most points of a line.
const MAX_BUCKETS: usize = 1_000;

#[derive(Default)]
struct Seen {
    range: Option<(f64, f64)>,
    /// Different values along the line, as ordered bits; `None` once there are too many.
    distinct: BTreeSet<u64>,
    too_many: bool,
    counts: Counts,
}

/// Bits that are ordered as the finite floats are; both zeros are one.
fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

impl Seen {
    fn add(&mut self, x: f64) {
        let (min, max) = self.range.unwrap_or((x, x));
        self.range = Some((min.min(x), max.max(x)));
        if !self.too_many {
            self.distinct.insert(ordered(x));
            self.too_many = self.distinct.len() > MAX_BUCKETS;
        }
    }
}

/// Where a value along the line goes: a bucket for each where there are few, else equal stretches.
enum Buckets {
    Each(Vec<u64>),
    Equal { min: f64, max: f64 },
}

impl Buckets {
    fn len(&self) -> usize {
        match self {
            Self::Each(values) => values.len(),
            Self::Equal { .. } => MAX_BUCKETS,
        }
    }

    fn of(&self, x: f64) -> usize {
        match self {
            Self::Each(values) => values.partition_point(|&value| value < ordered(x)),
            Self::Equal { min, max } => {
                let share = (x / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0);
                ((share * MAX_BUCKETS as f64) as usize).min(MAX_BUCKETS - 1)
            }
        }
    }
}

pub(super) fn line(
    dataset: &Dataset,
    x: &str,
    y: &str,
    group: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> Result<PlotData, DatasetError> {
    let number = Need::Number("a line");
    let needs = with_group(&[(x, number), (y, number)], group);
    let mut scan = Scan::new(dataset, &needs, stop)?;
    let seen = scan.pass(Seen::default, |seen, batch| {
        for (&x, &y) in batch.numbers(0).iter().zip(batch.numbers(1)) {
            if x.is_finite() && y.is_finite() {
                seen.add(x);
            }
        }
        batch.codes(2).iter().for_each(|&code| seen.counts.add(code));
        Ok(())
    })?;
    let groups = groups(&scan, &seen.counts, group, 2);
    let Some((min, max)) = seen.range else {
        return Ok(PlotData::Line { groups: groups.named(vec![vec![]; groups.len()]) });
    };
    let buckets =
        if seen.too_many { Buckets::Equal { min, max } } else { Buckets::Each(seen.distinct.into_iter().collect()) };
    let lines = scan.pass(
        || vec![vec![(Mean::default(), Mean::default()); buckets.len()]; groups.len()],
        |lines, batch| {
            let codes = batch.codes(2);
            for (row, (&x, &y)) in batch.numbers(0).iter().zip(batch.numbers(1)).enumerate() {
                if x.is_finite()
                    && y.is_finite()
                    && let Some(line) = lines.get_mut(groups.at(codes, row))
                    && let Some((mean_x, mean_y)) = line.get_mut(buckets.of(x))
                {
                    mean_x.add(x);
                    mean_y.add(y);
                }
            }
            Ok(())
        },
    )?;
    let points = |line: Vec<(Mean, Mean)>| {
        let filled = line.into_iter().filter(|(x, _)| x.n > 0);
        filled.map(|(x, y)| [x.value, y.value]).collect::<Vec<[f64; 2]>>()
    };
    Ok(PlotData::Line { groups: groups.named(lines.into_iter().map(points).collect()) })
}

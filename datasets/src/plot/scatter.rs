//! Scatter plots: a sample in which every row with both values has the same chance.

use athanor_protocol::api::PlotData;
use rand_chacha::ChaCha8Rng;

use super::{Counts, MISSING, Need, Scan, groups, with_group};
use crate::{
    dataset::Dataset,
    error::DatasetError,
    split::{below, generator},
};

/// Most points.
const MAX_POINTS: usize = 5_000;
/// The same table gives the same points.
const SEED: u64 = 0;

/// Algorithm R (Vitter, "Random sampling with a reservoir", 1985).
struct Sample {
    rng: ChaCha8Rng,
    n_rows: u64,
    points: Vec<Point>,
    counts: Counts,
}

struct Point {
    row: u64,
    at: [f64; 2],
    code: u32,
}

impl Sample {
    fn add(&mut self, at: [f64; 2], code: u32) {
        let point = Point { row: self.n_rows, at, code };
        self.n_rows += 1;
        if self.points.len() < MAX_POINTS {
            self.points.push(point);
            return;
        }
        let place = below(&mut self.rng, self.n_rows);
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| self.points.get_mut(place)) {
            *slot = point;
        }
    }
}

pub(super) fn scatter(
    dataset: &Dataset,
    x: &str,
    y: &str,
    group: Option<&str>,
    stop: &dyn Fn() -> bool,
) -> Result<PlotData, DatasetError> {
    let number = Need::Number("a scatter plot");
    let needs = with_group(&[(x, number), (y, number)], group);
    let mut scan = Scan::new(dataset, &needs, stop)?;
    let begin =
        || Sample { rng: generator(SEED, "scatter plot"), n_rows: 0, points: vec![], counts: Counts::default() };
    let mut sample = scan.pass(begin, |sample, batch| {
        let codes = batch.codes(2);
        for (row, (&x, &y)) in batch.numbers(0).iter().zip(batch.numbers(1)).enumerate() {
            let code = codes.get(row).copied().unwrap_or(MISSING);
            sample.counts.add(code);
            if x.is_finite() && y.is_finite() {
                sample.add([x, y], code);
            }
        }
        Ok(())
    })?;
    let groups = groups(&scan, &sample.counts, group, 2);
    sample.points.sort_by_key(|point| point.row);
    let mut clouds: Vec<Vec<[f64; 2]>> = vec![vec![]; groups.len()];
    for point in &sample.points {
        if let Some(cloud) = clouds.get_mut(groups.at(&[point.code], 0)) {
            cloud.push(point.at);
        }
    }
    let clouds = groups.named(clouds).into_iter().filter(|(_, cloud)| !cloud.is_empty());
    Ok(PlotData::Scatter { groups: clouds.collect(), n_rows: sample.n_rows })
}

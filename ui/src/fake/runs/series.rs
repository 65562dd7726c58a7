//! Made-up metric histories, decimated as the store does it.

use athanor_protocol::{
    api::{RunSeries, Series, SeriesKey},
    metric::{MetricPoint, Split},
    run::SeriesBucket,
};

use super::{super::NOW_MILLIS, run_id, run_number};

/// Bits that look random and are always the same.
pub(super) fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn noise(seed: u64) -> f64 {
    (mixed(seed) % 20_001) as f64 / 10_000.0 - 1.0
}

/// The value of a metric of run `n` after a share `t` of its training.
pub fn run_value(n: usize, key: &str, split: Split, t: f64) -> f64 {
    let run = 0.5 + (mixed(n as u64) % 1000) as f64 / 1000.0;
    let split_gap = match split {
        Split::Valid => 1.0,
        Split::Test => 1.2,
        _ => 0.0,
    };
    let shake = noise(mixed(n as u64 * 977 + split as u64 * 31) ^ (t * 1e7) as u64 ^ mixed(key.len() as u64));
    let fall = (-t * (4.0 + 5.0 * run)).exp();
    match key {
        "loss" => 0.62 * fall + 0.05 + 0.02 * run + 0.015 * split_gap * (1.0 + t) + 0.012 * shake,
        "learning_rate" => 0.001 * (1.0 + (t * std::f64::consts::PI).cos()) / 2.0,
        "epoch" => (t * 40.0).floor(),
        "cpu_percent" => 78.0 + 16.0 * shake,
        "memory_bytes" => 4.1e8 + 1.2e8 * (1.0 - fall) + 4e6 * shake,
        _ => (0.99 - 0.43 * fall - 0.012 * run - 0.006 * split_gap + 0.006 * shake).min(1.0),
    }
}

/// A point of a metric of run `n`.
pub fn run_point(n: usize, key: &str, split: Split, step: u64) -> MetricPoint {
    let t = step as f64 / 400.0;
    MetricPoint {
        key: key.to_owned(),
        split,
        step,
        at_millis: NOW_MILLIS - 60_000 + step as i64 * 100,
        value: run_value(n, key, split, t).into(),
    }
}

/// A series of `n_points` points, decimated to the buckets that are asked for.
pub fn run_series(key: &SeriesKey, n_points: u64, ask: &RunSeries) -> Series {
    let n = run_number(&key.run);
    run_series_of(key, n_points, ask, |step| run_value(n, &key.key, key.split, step as f64 / n_points as f64))
}

/// A series of `n_points` points of a function of the step, decimated to the buckets that are asked for: the least and
/// greatest finite value of each.
pub fn run_series_of(key: &SeriesKey, n_points: u64, ask: &RunSeries, value: impl Fn(u64) -> f64) -> Series {
    let from = ask.from_step.unwrap_or(0);
    let to = ask.to_step.unwrap_or(u64::MAX).min(n_points.saturating_sub(1));
    let mut series = Series { key: key.clone(), buckets: vec![], times: vec![], epochs: vec![] };
    if n_points == 0 || from > to {
        return series;
    }
    let n = to - from + 1;
    let n_buckets = u64::from(ask.n_buckets.clamp(1, 4000)).min(n);
    let began = NOW_MILLIS - 60_000 - run_number(&key.run) as i64 * 1000;
    debug_assert_eq!(run_id(run_number(&key.run)), key.run);
    for at in 0..n_buckets {
        let (first, end) = (from + at * n / n_buckets, from + (at + 1) * n / n_buckets);
        let mut bucket = SeriesBucket {
            step_min: first,
            step_max: end - 1,
            min: None,
            max: None,
            last: None,
            n_points: end - first,
            n_non_finite: 0,
        };
        for step in first..end {
            let value = value(step);
            if value.is_finite() {
                bucket.min = Some(bucket.min.map_or(value, |min: f64| min.min(value)));
                bucket.max = Some(bucket.max.map_or(value, |max: f64| max.max(value)));
                bucket.last = Some(value);
            } else {
                bucket.n_non_finite += 1;
            }
        }
        let time = |step: u64| began + (step * 60_000 / n_points) as i64;
        series.times.push([time(first), time(end - 1)]);
        series.epochs.push(((end as f64 / n_points as f64) * 40.0).ceil());
        series.buckets.push(bucket);
    }
    series
}

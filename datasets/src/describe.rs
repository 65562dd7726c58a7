//! Describing a table: what is in each column, in bounded memory.

use athanor_protocol::{
    metric::MetricValue,
    table::{Bin, ColumnSummary, DataType, NumberSummary, TableProfile, TopValue},
};
use polars::prelude as pl;

use crate::{
    dataset::{Dataset, collect_columns},
    error::{DatasetError, cut, guard},
    frame::{data_from_column, logical_type},
    values::{format_date, format_datetime},
};

/// What a description holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescribeOptions {
    /// Most frequent values listed for each column.
    pub max_top: usize,
    /// Bins of each histogram, at least 1.
    pub n_bins: usize,
}

/// Longest shown value, in characters.
const MAX_VALUE_CHARS: usize = 80;
/// Memory for columns in one pass: this much, or twice the file where it is larger.
const PASS_BYTES: u64 = 64 << 20;

impl Dataset {
    /// Describes every column. Reads the file several times where it is wide, a group of columns in each pass, so that
    /// memory stays within a small multiple of the file's size (the exception is a table of very short texts: a text
    /// takes at least 32 bytes while its column is described).
    ///
    /// Distinct rows are told by a 64-bit hash of each.
    ///
    /// # Errors
    /// If the file can't be read, is malformed, or has changed since it was opened.
    pub fn describe(&self, options: &DescribeOptions) -> Result<TableProfile, DatasetError> {
        self.describe_watched(options, &mut |_, _| {}, &|| false)
    }

    /// [`Self::describe`], and tells after each column how many are done and how many there are; ends soon after `stop`
    /// says so.
    ///
    /// # Errors
    /// As [`Self::describe`], and [`DatasetError::Cancelled`].
    pub fn describe_watched(
        &self,
        options: &DescribeOptions,
        tell: &mut dyn FnMut(u64, u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<TableProfile, DatasetError> {
        let mut dataset = self.clone();
        let n_rows = dataset.n_rows()?;
        let budget = PASS_BYTES.max(2 * dataset.file.print.n_bytes);
        let n_columns = dataset.schema().columns.len();
        tell(0, n_columns as u64);
        // Sixteen bytes for a value: what a text takes beside its letters, and twice a number.
        let in_pass = (budget / (16 * n_rows.max(1))).clamp(1, n_columns.max(1) as u64) as usize;
        let mut hashes = vec![0u64; usize::try_from(n_rows).unwrap_or(usize::MAX)];
        let mut columns = Vec::with_capacity(n_columns);
        let mut digest = String::new();
        let all: Vec<usize> = (0..n_columns).collect();
        for wanted in all.chunks(in_pass) {
            let (df, found) = collect_columns(&mut dataset, wanted, stop)?;
            if df.height() != hashes.len() || (!digest.is_empty() && digest != found) {
                return Err(DatasetError::Changed { path: dataset.file.shown.clone() });
            }
            digest = found;
            for column in df.into_columns() {
                if stop() {
                    return Err(DatasetError::Cancelled);
                }
                guard("describing a column", || {
                    columns.push(describe_column(&column, options, &mut hashes)?);
                    Ok(())
                })?;
                tell(columns.len() as u64, n_columns as u64);
            }
        }
        hashes.sort_unstable();
        let n_distinct = hashes.chunk_by(|a, b| a == b).count();
        Ok(TableProfile { n_rows, columns, n_duplicate_rows: (hashes.len() - n_distinct) as u64, digest })
    }
}

/// The final mix of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn hash_text(text: &str) -> u64 {
    // FNV-1a, mixed once more by the caller.
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn add_hash(hashes: &mut [u64], values: impl Iterator<Item = Option<u64>>) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = mix(hash.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ value.map_or(0x5A5A, |value| mix(value ^ 0xA5A5_0001)));
    }
}

/// Values in order, with how often each occurs.
struct Counted {
    n_distinct: u64,
    top: Vec<TopValue>,
}

/// Counts runs of equal values in a sorted list; the most frequent come first, ties by value.
fn count<T: Clone>(
    sorted: &[T],
    same: impl Fn(&T, &T) -> bool,
    show: impl Fn(&T) -> String,
    max_top: usize,
) -> Counted {
    let mut top: Vec<(u64, usize)> = Vec::new();
    let (mut n_distinct, mut at) = (0, 0);
    for run in sorted.chunk_by(|a, b| same(a, b)) {
        n_distinct += 1;
        let n = run.len() as u64;
        // Runs come by value, so that a later one must be strictly longer to get ahead.
        if top.len() < max_top || top.last().is_some_and(|(least, _)| n > *least) {
            let place = top.partition_point(|(other, _)| *other >= n);
            top.insert(place, (n, at));
            top.truncate(max_top);
        }
        at += run.len();
    }
    let top = top.into_iter().map(|(count, at)| TopValue { value: cut(&show(&sorted[at]), MAX_VALUE_CHARS), count });
    Counted { n_distinct, top: top.collect() }
}

fn describe_column(
    column: &pl::Column,
    options: &DescribeOptions,
    hashes: &mut [u64],
) -> Result<ColumnSummary, DatasetError> {
    use athanor_protocol::columns::ColumnData;
    let dtype = logical_type(column.dtype());
    let n_rows = column.len();
    let n_missing = column.null_count() as u64;
    let mut numbers = None;
    let counted = if dtype == DataType::Text {
        // Straight from Polars' own buffers: a copy of each text would be the largest thing in memory.
        let series = column.as_materialized_series();
        let values = series.str()?;
        add_hash(hashes, values.iter().map(|value| value.map(hash_text)));
        let mut sorted: Vec<&str> = values.iter().flatten().collect();
        sorted.sort_unstable();
        count(&sorted, |a, b| a == b, |text| (*text).to_owned(), options.max_top)
    } else if column.dtype() == &pl::DataType::Float64 {
        let series = column.as_materialized_series();
        // One bit pattern for NaN and one for zero.
        let plain = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
        let values = series.f64()?;
        add_hash(hashes, values.iter().map(|value| value.map(|value| plain(value).to_bits())));
        let mut sorted: Vec<f64> = values.iter().flatten().map(plain).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        numbers = Some(summary(&sorted, options.n_bins));
        count(&sorted, |a, b| a.to_bits() == b.to_bits(), f64::to_string, options.max_top)
    } else {
        match data_from_column(column)? {
            ColumnData::Bool(values) => {
                add_hash(hashes, values.iter().map(|value| value.map(u64::from)));
                let mut sorted: Vec<bool> = values.into_iter().flatten().collect();
                sorted.sort_unstable();
                count(&sorted, |a, b| a == b, bool::to_string, options.max_top)
            }
            ColumnData::Int(values) | ColumnData::Datetime(values) => {
                add_hash(hashes, values.iter().map(|value| value.map(|value| value as u64)));
                let mut sorted: Vec<i64> = values.into_iter().flatten().collect();
                sorted.sort_unstable();
                let is_time = matches!(dtype, DataType::Date | DataType::Datetime);
                if is_time || dtype == DataType::Int {
                    let scale = if is_time { 1e6 } else { 1.0 };
                    let as_numbers: Vec<f64> = sorted.iter().map(|&value| value as f64 / scale).collect();
                    numbers = Some(summary(&as_numbers, options.n_bins));
                }
                let show = |value: &i64| match dtype {
                    DataType::Date => format_date(*value),
                    DataType::Datetime => format_datetime(*value),
                    DataType::Duration | DataType::Time => (*value as f64 / 1e6).to_string(),
                    _ => value.to_string(),
                };
                count(&sorted, |a, b| a == b, show, options.max_top)
            }
            // Both have been dealt with above.
            ColumnData::Float(_) | ColumnData::Text(_) => Counted { n_distinct: 0, top: Vec::new() },
        }
    };
    let n_present = n_rows as u64 - n_missing;
    let mut findings = Vec::new();
    if n_rows > 0 && n_present == 0 {
        findings.push("all values are missing".to_owned());
    } else if n_missing * 2 > n_rows as u64 {
        findings.push("more than half of the values are missing".to_owned());
    }
    if counted.n_distinct == 1 && n_present > 1 {
        findings.push("the same value in every row that has one".to_owned());
    }
    // Floats differ in every row as a matter of course; ids are whole numbers or texts.
    if n_rows > 1 && counted.n_distinct == n_rows as u64 && matches!(dtype, DataType::Int | DataType::Text) {
        findings.push("a different value in every row: perhaps an id".to_owned());
    }
    if let Some(NumberSummary { n_non_finite: n @ 1.., .. }) = numbers {
        findings.push(format!("{n} values are infinite or not a number"));
    }
    Ok(ColumnSummary {
        name: column.name().to_string(),
        dtype,
        n_missing,
        n_distinct: counted.n_distinct,
        top: counted.top,
        numbers,
        findings,
    })
}

/// Moments, quantiles and histogram of sorted values; infinite ones and NaN are only counted.
fn summary(sorted: &[f64], n_bins: usize) -> NumberSummary {
    // Sorted by total order: NaN and the infinities stand at the ends.
    let from =
        sorted.partition_point(|value| *value == f64::NEG_INFINITY || (value.is_nan() && value.is_sign_negative()));
    let until = sorted.partition_point(|value| value.is_finite() || *value == f64::NEG_INFINITY);
    let finite = &sorted[from.min(until)..until];
    let n_non_finite = (sorted.len() - finite.len()) as u64;
    let (Some(&min), Some(&max)) = (finite.first(), finite.last()) else {
        let none = MetricValue::NaN;
        return NumberSummary {
            mean: none,
            std: none,
            min: none,
            quantiles: [none; 5],
            max: none,
            n_non_finite,
            histogram: vec![],
        };
    };
    let n = finite.len() as f64;
    let mut mean = 0.0;
    for (i, value) in finite.iter().enumerate() {
        mean += value / (i + 1) as f64 - mean / (i + 1) as f64;
    }
    let squares: f64 = finite.iter().map(|value| (value - mean) * (value - mean)).sum();
    let std = if finite.len() > 1 { (squares / (n - 1.0)).sqrt() } else { f64::NAN };
    // Linear interpolation between the two nearest order statistics (type 7 of Hyndman and Fan, 1996).
    let quantile = |q: f64| {
        let place = q * (n - 1.0);
        let low = finite[place.floor() as usize];
        let high = finite[(place.ceil() as usize).min(finite.len() - 1)];
        low + (high / 2.0 - low / 2.0) * 2.0 * place.fract()
    };
    NumberSummary {
        mean: mean.into(),
        std: std.into(),
        min: min.into(),
        quantiles: [0.05, 0.25, 0.5, 0.75, 0.95].map(|q| quantile(q).into()),
        max: max.into(),
        n_non_finite,
        histogram: histogram(finite, min, max, n_bins),
    }
}

fn histogram(finite: &[f64], min: f64, max: f64, n_bins: usize) -> Vec<Bin> {
    if min == max {
        return vec![Bin { low: min, high: max, count: finite.len() as u64 }];
    }
    let n_bins = n_bins.clamp(1, 10_000);
    let edge = |i: usize| {
        let share = i as f64 / n_bins as f64;
        // Both ends weighted, so that the width may be larger than the largest float.
        if i == n_bins { max } else { min * (1.0 - share) + max * share }
    };
    let mut bins = Vec::with_capacity(n_bins);
    let mut begin = 0;
    for i in 0..n_bins {
        let high = edge(i + 1);
        let last = i + 1 == n_bins;
        let end = if last { finite.len() } else { finite.partition_point(|value| *value < high) };
        bins.push(Bin { low: edge(i), high, count: (end.max(begin) - begin) as u64 });
        begin = end.max(begin);
    }
    bins
}

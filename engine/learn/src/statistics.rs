//! Training statistics: what drift is later measured against.
//!
//! They are taken of the raw columns, before the recipe, because that is what requests look like, and of the model's own
//! predictions. Rules that compare distributions (PSI, Jensen-Shannon, chi-squared, Kolmogorov-Smirnov on bins) need the
//! counts of bins or of categories, and counts of missing values; those on samples need some values, which are kept sorted
//! by column, so that nothing here tells which of them were one row's.

use std::{collections::BTreeMap, sync::Arc};

use athanor_protocol::{
    columns::{ColumnData, Frame},
    package::{ColumnStatistics, Statistics},
    signature::{OUTPUT_LABEL, OUTPUT_PROBABILITIES, OUTPUT_VALUE},
    table::{DataType, TableSchema},
};

use crate::{error::LearnError, predictor::Outputs};

/// The version of the document that is written.
pub const STATISTICS_VERSION: u32 = 1;
/// Bins of a column of numbers.
const N_BINS: usize = 10;
/// The most categories that are kept of a column.
const MAX_CATEGORIES: usize = 100;
/// Longer texts are prose, not categories; keeping them would put people's words into every package.
const MAX_CATEGORY_BYTES: usize = 256;
/// The most classes whose probabilities get statistics of their own.
const MAX_CLASSES: usize = 100;
/// The most values of a column that are kept as its sample.
pub const MAX_SAMPLE: usize = 1_000;
/// The most such values of all columns of a table together: a wide table keeps fewer of each.
const MAX_SAMPLES: usize = 200_000;

/// Takes the statistics of the columns of `inputs` (raw training rows, before the recipe) and of the model's
/// predictions.
///
/// Predictions appear as `label`, as `probabilities.<class>` for each of the first 100 classes, or as `value`.
///
/// # Errors
/// [`LearnError::MissingColumn`] if a column of `inputs` is not in `raw`.
pub fn collect(raw: &Frame, inputs: &TableSchema, outputs: &Outputs) -> Result<Statistics, LearnError> {
    let most = (MAX_SAMPLES / inputs.columns.len().max(1)).clamp(1, MAX_SAMPLE);
    let of_input = |name: &str, dtype: DataType| match raw.column(name) {
        Some(column) => Ok(thinned(of_column(name, dtype, &column.data), most)),
        None => Err(LearnError::MissingColumn { column: name.to_owned() }),
    };
    let inputs = inputs.columns.iter().map(|column| of_input(&column.name, column.dtype)).collect::<Result<_, _>>()?;
    let mut predictions = Vec::new();
    if let Some(labels) = &outputs.label {
        let values = labels.iter().map(|label| Some(Arc::clone(label))).collect();
        predictions.push(of_column(OUTPUT_LABEL, DataType::Text, &ColumnData::Text(values)));
    }
    if let Some(probabilities) = &outputs.probabilities {
        let n_classes = outputs.classes.len().max(1);
        for (index, class) in outputs.classes.iter().enumerate().take(MAX_CLASSES) {
            let values = probabilities.iter().skip(index).step_by(n_classes).map(|&p| f64::from(p)).collect();
            let name = format!("{OUTPUT_PROBABILITIES}.{class}");
            predictions.push(of_column(&name, DataType::Float, &ColumnData::Float(values)));
        }
    }
    if let Some(values) = &outputs.value {
        predictions.push(of_column(OUTPUT_VALUE, DataType::Float, &ColumnData::Float(values.clone())));
    }
    Ok(Statistics { version: STATISTICS_VERSION, inputs, predictions })
}

/// The statistics of one column.
///
/// Numbers and times (times in seconds since the Unix epoch): mean, sample standard deviation (0 for one value), least
/// and greatest of the finite values, and bins. Infinite values are neither missing nor in a bin. Text and truth values:
/// the most frequent values, ties by value.
pub fn of_column(name: &str, dtype: DataType, data: &ColumnData) -> ColumnStatistics {
    let n_rows = data.len();
    let n_missing = (0..n_rows).filter(|&row| data.is_missing(row)).count();
    let mut statistics = ColumnStatistics {
        name: name.to_owned(),
        dtype,
        n_rows: n_rows as u64,
        n_missing: n_missing as u64,
        numbers: None,
        edges: Vec::new(),
        counts: Vec::new(),
        categories: Vec::new(),
        sample: Vec::new(),
        n_different: None,
    };
    match data {
        ColumnData::Text(_) | ColumnData::Bool(_) => statistics.categories = categories(data),
        ColumnData::Float(_) | ColumnData::Int(_) | ColumnData::Datetime(_) => {
            let mut values: Vec<f64> =
                (0..n_rows).map(|row| data.number(row)).filter(|value| value.is_finite()).collect();
            values.sort_unstable_by(f64::total_cmp);
            statistics.numbers = numbers(&values);
            (statistics.edges, statistics.counts) = bins(&values);
            let n_steps = values.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64;
            statistics.n_different = (!values.is_empty()).then_some(n_steps + 1);
            statistics.sample = spread(values, MAX_SAMPLE);
        }
    }
    statistics
}

/// At most `most` of sorted values, at even steps with the first and the last.
fn spread(sorted: Vec<f64>, most: usize) -> Vec<f64> {
    let n = sorted.len();
    if n <= most {
        return sorted;
    }
    (0..most).map(|at| sorted[at * (n - 1) / (most - 1).max(1)]).collect()
}

fn thinned(statistics: ColumnStatistics, most: usize) -> ColumnStatistics {
    ColumnStatistics { sample: spread(statistics.sample, most), ..statistics }
}

/// Mean, sample standard deviation, least and greatest of sorted finite values.
fn numbers(sorted: &[f64]) -> Option<[f64; 4]> {
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let n = sorted.len() as f64;
    // Divided before they are added: the sum of finite values may be infinite, their mean is not.
    let mean: f64 = sorted.iter().map(|value| value / n).sum::<f64>().clamp(min, max);
    let variance: f64 = sorted.iter().map(|value| (value - mean).powi(2) / (n - 1.0).max(1.0)).sum();
    // JSON has no infinity; a deviation that overflows is the greatest number instead.
    Some([mean, variance.sqrt().min(f64::MAX), min, max])
}

/// Edges and counts of at most ten bins of sorted finite values. A bin holds its lower edge and not its upper one; the
/// last holds both, and has both edges equal where the greatest value is a bin of its own. Up to ten different values
/// get a bin each; more are divided into bins of equal counts, fewer where values repeat.
fn bins(sorted: &[f64]) -> (Vec<f64>, Vec<u64>) {
    let Some(&max) = sorted.last() else { return (Vec::new(), Vec::new()) };
    let mut edges: Vec<f64> = Vec::with_capacity(N_BINS + 1);
    let mut start = 0;
    while start < sorted.len() && edges.len() <= N_BINS {
        edges.push(sorted[start]);
        start += sorted[start..].partition_point(|value| *value <= sorted[start]);
    }
    if edges.len() > N_BINS {
        edges = (0..N_BINS).map(|bin| sorted[sorted.len() * bin / N_BINS]).collect();
        edges.dedup();
    }
    edges.push(max);
    let below = |edge: f64| sorted.partition_point(|value| *value < edge);
    let starts: Vec<usize> = edges[..edges.len() - 1].iter().map(|&edge| below(edge)).chain([sorted.len()]).collect();
    let counts = starts.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect();
    (edges, counts)
}

fn categories(data: &ColumnData) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for label in (0..data.len()).filter_map(|row| data.label(row)) {
        if label.len() <= MAX_CATEGORY_BYTES {
            *counts.entry(label).or_default() += 1;
        }
    }
    let mut counts: Vec<(Arc<str>, u64)> = counts.into_iter().collect();
    // The map gave them by value and the sort is stable, so ties stay by value.
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(MAX_CATEGORIES);
    counts.into_iter().map(|(value, count)| (value.to_string(), count)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use athanor_protocol::{columns::Column, table::ColumnSchema};

    use super::*;

    fn check(values: &[f64], edges: &[f64], counts: &[u64]) {
        let statistics = of_column("x", DataType::Float, &ColumnData::Float(values.to_vec()));
        assert_eq!((statistics.edges.as_slice(), statistics.counts.as_slice()), (edges, counts), "of {values:?}");
        let n_finite = values.iter().filter(|value| value.is_finite()).count() as u64;
        assert_eq!(statistics.counts.iter().sum::<u64>(), n_finite, "every finite value is in one bin");
    }

    #[test]
    fn bins_hold_equal_counts_or_single_values() {
        check(&[], &[], &[]);
        check(&[f64::NAN, f64::INFINITY], &[], &[]);
        check(&[3.0], &[3.0, 3.0], &[1]);
        check(&[1.0, 0.0, 0.0, f64::NAN], &[0.0, 1.0, 1.0], &[2, 1]);
        check(&[-0.0, 0.0, 0.0], &[-0.0, 0.0], &[3]);
        let hundred: Vec<f64> = (0..100).rev().map(f64::from).collect();
        check(&hundred, &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0], &[10; 10]);
        let mut many_zeros = vec![0.0; 60];
        many_zeros.extend((1..41).map(f64::from));
        check(&many_zeros, &[0.0, 1.0, 11.0, 21.0, 31.0, 40.0], &[60, 10, 10, 10, 10]);
    }

    #[test]
    fn numbers_are_those_of_the_finite_values() {
        let data = ColumnData::Float(vec![2.0, f64::NAN, 4.0, 4.0, f64::NEG_INFINITY, 6.0]);
        let statistics = of_column("x", DataType::Float, &data);
        assert_eq!((statistics.n_rows, statistics.n_missing), (6, 1));
        // By hand: mean 16/4, variance (4+0+0+4)/3.
        let [mean, std, min, max] = statistics.numbers.unwrap();
        assert_eq!((mean, min, max), (4.0, 2.0, 6.0));
        assert!((std - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{std}");
    }

    #[test]
    fn huge_numbers_stay_json() {
        let statistics = of_column("x", DataType::Float, &ColumnData::Float(vec![f64::MAX, f64::MIN, f64::MAX]));
        assert!(statistics.numbers.unwrap().iter().all(|number| number.is_finite()));
        let json = serde_json::to_string(&statistics).unwrap();
        assert_eq!(serde_json::from_str::<ColumnStatistics>(&json).unwrap(), statistics);
    }

    #[test]
    fn the_hundred_most_frequent_categories_are_kept_and_prose_is_not() {
        let mut values: Vec<Option<Arc<str>>> = (0..150).map(|index| Some(format!("c{index:03}").into())).collect();
        values.extend([Some("c149".into()), None, Some("x".repeat(257).into())]);
        let statistics = of_column("x", DataType::Text, &ColumnData::Text(values));
        assert_eq!(statistics.categories.len(), 100);
        assert_eq!(statistics.categories[0], ("c149".to_owned(), 2));
        assert_eq!(statistics.categories[1], ("c000".to_owned(), 1));
        assert_eq!(statistics.n_missing, 1);
        assert!(statistics.numbers.is_none() && statistics.edges.is_empty());
    }

    #[test]
    fn predictions_are_named_after_outputs() {
        let raw =
            Frame::new(vec![Column { name: "a".into(), data: ColumnData::Bool(vec![Some(true), None]) }]).unwrap();
        let schema =
            |name: &str| TableSchema { columns: vec![ColumnSchema { name: name.into(), dtype: DataType::Bool }] };
        let outputs = Outputs {
            n_rows: 2,
            classes: vec!["no".into(), "yes".into()].into(),
            label: Some(vec!["yes".into(), "no".into()]),
            probabilities: Some(vec![0.25, 0.75, 0.5, 0.5]),
            value: None,
        };
        let statistics = collect(&raw, &schema("a"), &outputs).unwrap();
        assert_eq!(statistics.inputs[0].categories, [("true".to_owned(), 1)]);
        let names: Vec<&str> = statistics.predictions.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["label", "probabilities.no", "probabilities.yes"]);
        assert_eq!(statistics.predictions[2].numbers.unwrap()[0], 0.625);
        let err = collect(&raw, &schema("b"), &outputs).unwrap_err();
        assert_eq!(err.to_string(), "column \"b\" is missing");
    }
}

//! A plausible row of a model, by what training saw: what people try first.

use std::collections::BTreeMap;

use athanor_protocol::{
    package::{ColumnStatistics, Statistics},
    table::DataType,
};
use serde_json::{Value, json};

use crate::cli::output::time;

/// The middle of the values that training saw; older packages keep no more than their mean.
fn middle(column: &ColumnStatistics) -> Option<f64> {
    let of_sample = column.sample.get(column.sample.len() / 2).copied();
    let mean = || column.numbers.map(|[mean, ..]| mean);
    of_sample.or_else(mean).filter(|value| value.is_finite())
}

/// To four significant digits where it is a mean; a value of the sample is one that was really there.
fn float(column: &ColumnStatistics) -> Option<Value> {
    let value = middle(column)?;
    let short = if column.sample.is_empty() { format!("{value:.3e}").parse().unwrap_or(value) } else { value };
    Some(json!(short))
}

fn value(column: &ColumnStatistics) -> Option<Value> {
    let most = || column.categories.iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone());
    match column.dtype {
        DataType::Float => float(column),
        // Beyond 2^53 whole numbers are not exact in statistics: none is better than a wrong one.
        DataType::Int => {
            middle(column).map(f64::round).filter(|value| value.abs() < 9e15).map(|value| json!(value as i64))
        }
        DataType::Bool => most().map(|name| Value::Bool(name == "true")),
        // Moments are in seconds here.
        DataType::Date | DataType::Datetime => {
            let text = time((middle(column).filter(|secs| secs.abs() < 2e11)? * 1_000.0) as i64);
            let (day, clock) = text.split_once(' ')?;
            let is_date = column.dtype == DataType::Date;
            Some(Value::String(if is_date { day.to_owned() } else { format!("{day}T{clock}") }))
        }
        _ => most().map(Value::String),
    }
}

/// A value for each column of which something is known.
pub(super) fn row(statistics: &Statistics) -> BTreeMap<String, Value> {
    statistics.inputs.iter().filter_map(|column| Some((column.name.clone(), value(column)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(dtype: DataType, sample: &[f64], categories: &[(&str, u64)]) -> ColumnStatistics {
        ColumnStatistics {
            name: "x".to_owned(),
            dtype,
            n_rows: 9,
            n_missing: 0,
            numbers: None,
            edges: vec![],
            counts: vec![],
            categories: categories.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
            sample: sample.to_vec(),
            n_different: None,
        }
    }

    #[test]
    fn an_example_is_the_middle_or_the_most_frequent() {
        let moment = 1_795_608_000.0;
        for (dtype, sample, categories, expect) in [
            (DataType::Float, &[1.0, 13.37, 99.0][..], &[][..], Some(json!(13.37))),
            (DataType::Int, &[1.0, 2.0, 2.0, 50.0], &[], Some(json!(2))),
            (DataType::Int, &[9.1e15], &[], None),
            (DataType::Text, &[], &[("left", 3), ("right", 5)], Some(json!("right"))),
            (DataType::Bool, &[], &[("false", 7), ("true", 2)], Some(json!(false))),
            (DataType::Date, &[moment], &[], Some(json!("2026-11-25"))),
            (DataType::Datetime, &[moment], &[], Some(json!("2026-11-25T12:00:00"))),
            (DataType::Datetime, &[1e300], &[], None),
            (DataType::Float, &[], &[], None),
            (DataType::Text, &[], &[], None),
        ] {
            assert_eq!(value(&column(dtype, sample, categories)), expect, "{dtype:?} {sample:?}");
        }
        let old = ColumnStatistics { numbers: Some([13.372_91, 1.0, 0.0, 20.0]), ..column(DataType::Float, &[], &[]) };
        assert_eq!(value(&old), Some(json!(13.37)));
        let statistics = Statistics {
            version: 1,
            inputs: vec![column(DataType::Float, &[], &[]), ColumnStatistics { name: "y".to_owned(), ..old }],
            predictions: vec![],
        };
        assert_eq!(row(&statistics), BTreeMap::from([("y".to_owned(), json!(13.37))]));
    }
}

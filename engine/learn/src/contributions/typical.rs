//! The row that others are compared with.

use std::{collections::BTreeMap, sync::Arc};

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    package::{ColumnStatistics, Statistics},
    signature::{InputColumn, ModelSignature},
    table::DataType,
};

/// A typical training row, one value for each of the signature's columns in their order: the median of numbers and
/// moments (the upper of two, so that it is a value that was there), the most frequent text or truth value, missing where
/// that is the most frequent and the column may lack values. `None` where training's statistics lack a column, as those
/// of models from elsewhere do.
///
/// Medians, not means: a mean of a whole number or a day is none, and a few huge values would move it where no row is.
pub fn typical_row(signature: &ModelSignature, statistics: &Statistics) -> Option<Frame> {
    let by_name: BTreeMap<&str, &ColumnStatistics> =
        statistics.inputs.iter().map(|column| (column.name.as_str(), column)).collect();
    let column = |input: &InputColumn| {
        let data = typical(input, by_name.get(input.name.as_str())?);
        Some(Column { name: Arc::from(input.name.as_str()), data })
    };
    let columns: Option<Vec<Column>> = signature.inputs.iter().map(column).collect();
    Frame::new(columns?).ok()
}

fn typical(input: &InputColumn, known: &ColumnStatistics) -> ColumnData {
    let n_most = match known.categories.first() {
        Some((_, n)) => *n,
        // Half of the rows with a number are on each side of the median.
        None => known.n_rows.saturating_sub(known.n_missing),
    };
    let is_missing = input.nullable && known.n_missing > n_most;
    let number = || if is_missing { None } else { median(known) };
    // Where nothing is known, as of prose, the least that the type has: it stands for "nothing in particular".
    let or_missing = |number: Option<f64>| if input.nullable { number } else { Some(number.unwrap_or(0.0)) };
    let category = || known.categories.first().filter(|_| !is_missing).map(|(value, _)| value.as_str());
    match input.dtype {
        DataType::Float => ColumnData::Float(vec![or_missing(number()).unwrap_or(f64::NAN)]),
        DataType::Int => ColumnData::Int(vec![or_missing(number()).map(|number| number.round() as i64)]),
        DataType::Bool => {
            let value = category().map(|value| value == "true");
            ColumnData::Bool(vec![if input.nullable { value } else { Some(value.unwrap_or(false)) }])
        }
        // Statistics count seconds.
        DataType::Date | DataType::Datetime => {
            ColumnData::Datetime(vec![or_missing(number()).map(|secs| (secs * 1e6).round() as i64)])
        }
        DataType::Text | DataType::Duration | DataType::Time | DataType::Other => {
            let value = category().map(Arc::from);
            ColumnData::Text(vec![if input.nullable { value } else { Some(value.unwrap_or_else(|| Arc::from(""))) }])
        }
    }
}

/// The median of a column of numbers: of its sample, or by its bins, which have equal counts, where earlier programs kept
/// none.
fn median(known: &ColumnStatistics) -> Option<f64> {
    if let Some(value) = known.sample.get(known.sample.len() / 2) {
        return Some(*value);
    }
    let half = known.counts.iter().sum::<u64>() / 2;
    let mut n = 0;
    for (at, count) in known.counts.iter().enumerate() {
        n += count;
        if n > half {
            return known.edges.get(at).copied();
        }
    }
    known.numbers.map(|[mean, ..]| mean)
}

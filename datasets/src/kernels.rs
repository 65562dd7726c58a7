//! Casts and fills over plain columns: the same code prepares tables and answers requests.

use std::{collections::HashMap, sync::Arc};

use athanor_protocol::{
    columns::ColumnData,
    recipe::{FillValue, FillWith, OnCastError},
    table::DataType,
};

use crate::{
    error::{DatasetError, cut},
    values::{
        floor_to_day, format_date, format_datetime, parse_bool, parse_bool_loosely, parse_datetime, parse_float,
        parse_int, whole,
    },
};

/// Whether a cast between two types exists at all. Values may still not fit.
pub(crate) fn cast_exists(from: DataType, to: DataType) -> bool {
    use DataType::{Bool, Date, Datetime, Duration, Float, Int, Other, Text, Time};
    match (from, to) {
        (_, Other | Duration | Time) | (Other, _) => from == to,
        (Bool, Date | Datetime) | (Date | Datetime | Duration | Time, Bool) => false,
        (Duration | Time, Date | Datetime) => false,
        (
            Bool | Int | Float | Text | Date | Datetime | Duration | Time,
            Bool | Int | Float | Text | Date | Datetime,
        ) => true,
    }
}

/// Casts values. Times become seconds since the epoch (durations and times of day: seconds) as numbers and the other
/// way round; a number becomes a truth value or a whole number only where nothing is lost.
pub(crate) fn cast(
    column: &str,
    data: &ColumnData,
    from: DataType,
    to: DataType,
    on_error: OnCastError,
) -> Result<ColumnData, DatasetError> {
    if from == to {
        return Ok(data.clone());
    }
    if !cast_exists(from, to) {
        let reason = format!("a value of type {} can't become {}", from.as_str(), to.as_str());
        return Err(DatasetError::column(column, reason));
    }
    let n = data.len();
    let rows = 0..n;
    let result = match to {
        DataType::Text => ColumnData::Text(rows.map(|row| text_at(data, from, row)).collect()),
        DataType::Bool => ColumnData::Bool(rows.map(|row| bool_at(data, row)).collect()),
        DataType::Int => ColumnData::Int(rows.map(|row| int_at(data, from, row)).collect()),
        DataType::Float => ColumnData::Float(rows.map(|row| float_at(data, from, row)).collect()),
        // The types that are left after `cast_exists` are the two kinds of dates.
        to => ColumnData::Datetime(rows.map(|row| datetime_at(data, row, to == DataType::Date)).collect()),
    };
    if on_error == OnCastError::Fail {
        let mut misfits = (0..n).filter(|&row| result.is_missing(row) && !data.is_missing(row));
        if let Some(row) = misfits.next() {
            let value = text_at(data, from, row).unwrap_or_default();
            let more = match misfits.count() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            return Err(DatasetError::Column {
                column: column.to_owned(),
                reason: format!(
                    "the value {:?} in row {} can't become {}{more}",
                    cut(&value, 40),
                    row + 1,
                    to.as_str()
                ),
                hint: Some(
                    "let values that do not fit become missing, or list them as words that mean missing".to_owned(),
                ),
            });
        }
    }
    Ok(result)
}

fn text_at(data: &ColumnData, from: DataType, row: usize) -> Option<Arc<str>> {
    match (data, from) {
        (ColumnData::Datetime(values), DataType::Date) => values[row].map(|v| format_date(v).into()),
        (ColumnData::Datetime(values), _) => values[row].map(|v| format_datetime(v).into()),
        (ColumnData::Int(values), DataType::Duration | DataType::Time) => {
            values[row].map(|v| (v as f64 / 1e6).to_string().into())
        }
        _ => data.label(row),
    }
}

fn bool_at(data: &ColumnData, row: usize) -> Option<bool> {
    let from_number = |v: f64| match v {
        0.0 => Some(false),
        1.0 => Some(true),
        _ => None,
    };
    match data {
        ColumnData::Bool(values) => values[row],
        ColumnData::Text(values) => values[row].as_deref().and_then(parse_bool_loosely),
        ColumnData::Int(values) => values[row].and_then(|v| from_number(v as f64)),
        ColumnData::Float(values) => from_number(values[row]),
        ColumnData::Datetime(_) => None,
    }
}

fn int_at(data: &ColumnData, from: DataType, row: usize) -> Option<i64> {
    match data {
        ColumnData::Int(values) => match from {
            DataType::Duration | DataType::Time => values[row].map(|v| v.div_euclid(1_000_000)),
            _ => values[row],
        },
        ColumnData::Bool(values) => values[row].map(i64::from),
        ColumnData::Float(values) => whole(values[row]),
        ColumnData::Text(values) => {
            values[row].as_deref().and_then(|text| parse_int(text).or_else(|| parse_float(text).and_then(whole)))
        }
        ColumnData::Datetime(values) => values[row].map(|v| v.div_euclid(1_000_000)),
    }
}

fn float_at(data: &ColumnData, from: DataType, row: usize) -> f64 {
    match data {
        ColumnData::Text(values) => values[row].as_deref().and_then(parse_float).unwrap_or(f64::NAN),
        ColumnData::Int(_) if matches!(from, DataType::Duration | DataType::Time) => data.number(row) / 1e6,
        _ => data.number(row),
    }
}

fn datetime_at(data: &ColumnData, row: usize, to_day: bool) -> Option<i64> {
    let micros = match data {
        ColumnData::Datetime(values) => values[row],
        ColumnData::Text(values) => values[row].as_deref().and_then(parse_datetime),
        ColumnData::Int(values) => values[row].and_then(|secs| secs.checked_mul(1_000_000)),
        ColumnData::Float(values) => {
            let secs = values[row];
            (!secs.is_nan()).then(|| whole((secs * 1e6).round())).flatten()
        }
        ColumnData::Bool(_) => None,
    }?;
    Some(if to_day { floor_to_day(micros) } else { micros })
}

/// Whether `with` can fill a column of this type.
pub(crate) fn fill_fits(with: &FillWith, dtype: DataType) -> bool {
    match (with, dtype) {
        (FillWith::Mean | FillWith::Median, DataType::Int | DataType::Float) => true,
        (FillWith::Mode, DataType::Int | DataType::Float | DataType::Bool | DataType::Text) => true,
        (FillWith::Number(value), DataType::Float) => !value.is_nan(),
        (FillWith::Number(value), DataType::Int) => whole(*value).is_some(),
        (FillWith::Number(value), DataType::Bool) => matches!(*value, 0.0 | 1.0),
        (FillWith::Text(_), DataType::Text) => true,
        (FillWith::Text(text), DataType::Bool) => parse_bool(text).is_some(),
        _ => false,
    }
}

/// The value that fills a column: learned from `data`, or given. A column of whole numbers stays one: its mean and
/// median are rounded to the nearest whole number, halves away from zero.
pub(crate) fn fill_value(column: &str, data: &ColumnData, with: &FillWith) -> Result<FillValue, DatasetError> {
    let nothing = || DatasetError::Column {
        column: column.to_owned(),
        reason: "every value in the training rows is missing, so there is nothing to learn a filling from".to_owned(),
        hint: Some("fill it with a given value, or drop the column".to_owned()),
    };
    let number = |value: f64| match data {
        ColumnData::Int(_) => whole(value.round()).map(FillValue::Int),
        _ => Some(FillValue::Number(value)),
    };
    match with {
        FillWith::Mean => number(mean(&finite(data)).ok_or_else(nothing)?).ok_or_else(nothing),
        FillWith::Median => number(median(finite(data)).ok_or_else(nothing)?).ok_or_else(nothing),
        FillWith::Mode => mode(data).ok_or_else(nothing),
        FillWith::Number(value) => Ok(match data {
            ColumnData::Bool(_) => FillValue::Bool(*value != 0.0),
            _ => {
                number(*value).ok_or_else(|| DatasetError::column(column, format!("{value} is not a whole number")))?
            }
        }),
        FillWith::Text(text) => Ok(match data {
            ColumnData::Bool(_) => FillValue::Bool(parse_bool(text).ok_or_else(|| {
                DatasetError::column(column, format!("{:?} is neither true nor false", cut(text, 40)))
            })?),
            _ => FillValue::Text(text.clone()),
        }),
    }
}

fn finite(data: &ColumnData) -> Vec<f64> {
    (0..data.len()).map(|row| data.number(row)).filter(|v| v.is_finite()).collect()
}

/// The mean, computed in one order and so that large values do not overflow the sum.
fn mean(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    let mut mean = first;
    for (i, value) in values.iter().enumerate().skip(1) {
        mean += value / (i + 1) as f64 - mean / (i + 1) as f64;
    }
    Some(mean)
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    Some(if values.len() % 2 == 1 { values[half] } else { values[half - 1] / 2.0 + values[half] / 2.0 })
}

/// The most frequent value, the least of equally frequent ones.
fn mode(data: &ColumnData) -> Option<FillValue> {
    fn most_frequent<T: std::hash::Hash + Eq + Ord>(values: impl Iterator<Item = T>) -> Option<T> {
        let mut counts: HashMap<T, u64> = HashMap::new();
        values.for_each(|value| *counts.entry(value).or_default() += 1);
        counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0))).map(|(value, _)| value)
    }
    match data {
        ColumnData::Text(values) => {
            most_frequent(values.iter().flatten()).map(|text| FillValue::Text(text.as_ref().to_owned()))
        }
        ColumnData::Int(values) | ColumnData::Datetime(values) => {
            most_frequent(values.iter().flatten().copied()).map(FillValue::Int)
        }
        ColumnData::Bool(values) => most_frequent(values.iter().flatten().copied()).map(FillValue::Bool),
        ColumnData::Float(_) => {
            // Sorted runs, because floats have no hash; negative zero counts as zero.
            let mut values: Vec<f64> = finite(data).into_iter().map(|v| v + 0.0).collect();
            values.sort_unstable_by(f64::total_cmp);
            let mut best: Option<(usize, f64)> = None;
            for run in values.chunk_by(|a, b| a == b) {
                if best.is_none_or(|(n, _)| run.len() > n) {
                    best = Some((run.len(), run[0]));
                }
            }
            best.map(|(_, value)| FillValue::Number(value))
        }
    }
}

/// Puts `value` where values are missing.
pub(crate) fn fill(column: &str, data: &mut ColumnData, value: &FillValue) -> Result<(), DatasetError> {
    fn put<T: Clone>(values: &mut [Option<T>], value: &T) {
        values.iter_mut().filter(|v| v.is_none()).for_each(|v| *v = Some(value.clone()));
    }
    match (data, value) {
        (ColumnData::Float(values), FillValue::Number(value)) => {
            values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = *value);
        }
        (ColumnData::Float(values), FillValue::Int(value)) => {
            values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = *value as f64);
        }
        (ColumnData::Int(values), FillValue::Int(value)) => put(values, value),
        (ColumnData::Bool(values), FillValue::Bool(value)) => put(values, value),
        (ColumnData::Text(values), FillValue::Text(value)) => put(values, &Arc::<str>::from(value.as_str())),
        (data, value) => {
            return Err(DatasetError::column(column, format!("{value:?} can't fill {} values", data.dtype().as_str())));
        }
    }
    Ok(())
}

/// Brings request values to the type that a column had in training, where nothing is lost.
pub(crate) fn coerce(column: &str, data: &ColumnData, to: DataType) -> Result<ColumnData, DatasetError> {
    let stays = matches!(
        (data, to),
        (ColumnData::Bool(_), DataType::Bool)
            | (ColumnData::Int(_), DataType::Int | DataType::Duration | DataType::Time)
            | (ColumnData::Float(_), DataType::Float)
            | (ColumnData::Text(_), DataType::Text)
            | (ColumnData::Datetime(_), DataType::Datetime)
    );
    if stays {
        return Ok(data.clone());
    }
    let n = data.len();
    // A column without any value has no type of its own.
    if (0..n).all(|row| data.is_missing(row)) {
        return Ok(match to {
            DataType::Bool => ColumnData::Bool(vec![None; n]),
            DataType::Float => ColumnData::Float(vec![f64::NAN; n]),
            DataType::Text => ColumnData::Text(vec![None; n]),
            DataType::Date | DataType::Datetime => ColumnData::Datetime(vec![None; n]),
            _ => ColumnData::Int(vec![None; n]),
        });
    }
    let allowed = matches!(
        (data, to),
        (ColumnData::Int(_), DataType::Float | DataType::Bool)
            | (ColumnData::Float(_), DataType::Int | DataType::Bool | DataType::Duration | DataType::Time)
            | (ColumnData::Bool(_), DataType::Int | DataType::Float)
            | (ColumnData::Text(_) | ColumnData::Datetime(_), DataType::Date | DataType::Datetime)
    );
    if !allowed {
        let reason = format!("it holds {} values where {} was expected", data.dtype().as_str(), to.as_str());
        let hint = Some(format!("send {} values, or null where they are missing", to.as_str()));
        return Err(DatasetError::Column { column: column.to_owned(), reason, hint });
    }
    let target = if matches!(to, DataType::Duration | DataType::Time) { DataType::Int } else { to };
    cast(column, data, data.dtype(), target, OnCastError::Fail)
}

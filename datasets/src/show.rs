//! Cells as text that is ready to be shown.

use athanor_protocol::{
    columns::ColumnData,
    table::{ColumnSchema, DataType},
};
use polars::prelude as pl;

use crate::{
    error::{DatasetError, cut},
    frame::{data_from_column, logical_type},
    values::{format_date, format_datetime, parse_bool, parse_date, parse_datetime},
};

/// Longest shown cell, in characters.
pub(crate) const MAX_CELL_CHARS: usize = 500;

/// A value of a column as a person reads it: numbers so that they read back to the same bits, times in ISO form, text as
/// it is, cut to 500 characters. `None` where it is missing or there is no such row.
pub fn cell_text(data: &ColumnData, row: usize) -> Option<String> {
    match data {
        ColumnData::Float(values) => values.get(row).copied().and_then(float_text),
        ColumnData::Int(values) => values.get(row).copied().flatten().map(|value| value.to_string()),
        ColumnData::Bool(values) => values.get(row).copied().flatten().map(|value| value.to_string()),
        ColumnData::Text(values) => values.get(row)?.as_deref().map(|text| cut(text, MAX_CELL_CHARS)),
        ColumnData::Datetime(values) => values.get(row).copied().flatten().map(format_datetime),
    }
}

/// The shortest text that reads back to the same float; `None` for NaN, which means missing. Very large and very small
/// ones have an exponent, as nobody counts zeros.
pub(crate) fn float_text(value: f64) -> Option<String> {
    if value.is_nan() {
        None
    } else if value == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&value.abs()) {
        Some(value.to_string())
    } else {
        Some(format!("{value:e}"))
    }
}

/// The same for single precision, which has shorter texts.
fn single_text(value: f32) -> Option<String> {
    if value.is_nan() {
        None
    } else if value == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&value.abs()) {
        Some(value.to_string())
    } else {
        Some(format!("{value:e}"))
    }
}

/// `12:30:59`, with six decimals where there are microseconds; hours of a span may be more than 24.
fn span_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let all = micros.unsigned_abs();
    let (secs, fraction) = (all / 1_000_000, all % 1_000_000);
    let text = format!("{sign}{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
    if fraction == 0 { text } else { format!("{text}.{fraction:06}") }
}

/// All cells of a column.
pub(crate) fn column_texts(column: &pl::Column) -> Result<Vec<Option<String>>, DatasetError> {
    let series = column.as_materialized_series();
    match series.dtype() {
        pl::DataType::Float32 => return Ok(series.f32()?.iter().map(|value| value.and_then(single_text)).collect()),
        pl::DataType::String => {
            return Ok(series.str()?.iter().map(|value| value.map(|text| cut(text, MAX_CELL_CHARS))).collect());
        }
        _ => {}
    }
    let logical = logical_type(series.dtype());
    let data = data_from_column(column)?;
    Ok(match (&data, logical) {
        (ColumnData::Datetime(values), DataType::Date) => values.iter().map(|value| value.map(format_date)).collect(),
        (ColumnData::Int(values), DataType::Duration | DataType::Time) => {
            values.iter().map(|value| value.map(span_text)).collect()
        }
        (data, _) => (0..data.len()).map(|row| cell_text(data, row)).collect(),
    })
}

/// A field of a text table. A field that does not fit its column's type is shown as it stands in the file: types are told
/// from the file's first part, and the grid is where a person sees why a column is not what it seemed.
pub(crate) fn field_text(rules: &crate::csv::types::FieldRules, column: &ColumnSchema, field: &str) -> Option<String> {
    if rules.is_missing(field) {
        return None;
    }
    let typed = match column.dtype {
        DataType::Bool => parse_bool(field).map(|value| value.to_string()),
        DataType::Int => rules.int(field).map(|value| value.to_string()),
        DataType::Float => match rules.float(field) {
            Some(value) if value.is_nan() => return None,
            value => value.and_then(float_text),
        },
        DataType::Date => parse_date(field).map(format_date),
        DataType::Datetime => parse_datetime(field).map(format_datetime),
        _ => None,
    };
    Some(typed.unwrap_or_else(|| cut(field, MAX_CELL_CHARS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short_and_read_back() {
        for (value, expect) in [
            (0.1 + 0.2, Some("0.30000000000000004")),
            (1.0, Some("1")),
            (-0.0, Some("-0")),
            (1e300, Some("1e300")),
            (1.5e-7, Some("1.5e-7")),
            (f64::INFINITY, Some("inf")),
            (f64::NAN, None),
        ] {
            assert_eq!(float_text(value).as_deref(), expect, "{value}");
            if let Some(text) = expect {
                assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
            }
        }
        assert_eq!(single_text(0.1).as_deref(), Some("0.1"));
    }

    #[test]
    fn spans_are_read_as_clocks_are() {
        for (micros, expect) in [
            (0, "00:00:00"),
            (3_723_000_000, "01:02:03"),
            (90_000_000_000, "25:00:00"),
            (-1_500_000, "-00:00:01.500000"),
            (i64::MIN, "-2562047788:00:54.775808"),
        ] {
            assert_eq!(span_text(micros), expect);
        }
    }
}

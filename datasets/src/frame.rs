//! Plain columns to Polars and back, and the few Polars types that tables have inside this crate.

use std::sync::Arc;

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    table::{ColumnSchema, DataType, TableSchema},
};
use polars::prelude as pl;
use polars::prelude::{DataFrame, IntoColumn, NamedFrom};

use crate::{
    error::DatasetError,
    values::{days_from_micros, micros_from_days},
};

/// The one Polars type for each logical type; everything that enters is brought to it. `None` for nested and binary.
pub(crate) fn polars_type(dtype: DataType) -> Option<pl::DataType> {
    Some(match dtype {
        DataType::Bool => pl::DataType::Boolean,
        DataType::Int => pl::DataType::Int64,
        DataType::Float => pl::DataType::Float64,
        DataType::Text => pl::DataType::String,
        DataType::Date => pl::DataType::Date,
        DataType::Datetime => pl::DataType::Datetime(pl::TimeUnit::Microseconds, None),
        DataType::Duration => pl::DataType::Duration(pl::TimeUnit::Microseconds),
        DataType::Time => pl::DataType::Time,
        DataType::Other => return None,
    })
}

/// The logical type of a Polars type.
pub(crate) fn logical_type(dtype: &pl::DataType) -> DataType {
    match dtype {
        pl::DataType::Boolean => DataType::Bool,
        pl::DataType::String => DataType::Text,
        pl::DataType::Date => DataType::Date,
        pl::DataType::Datetime(_, _) => DataType::Datetime,
        pl::DataType::Duration(_) => DataType::Duration,
        pl::DataType::Time => DataType::Time,
        pl::DataType::Null => DataType::Text,
        dtype if dtype.is_integer() => DataType::Int,
        dtype if dtype.is_float() || dtype.is_decimal() => DataType::Float,
        dtype if dtype.is_categorical() || dtype.is_enum() => DataType::Text,
        _ => DataType::Other,
    }
}

/// An expression that brings `expr` to the one Polars type of its logical type; NaN becomes missing.
pub(crate) fn canonical_expr(expr: pl::Expr, found: &pl::DataType) -> pl::Expr {
    let logical = logical_type(found);
    let Some(wanted) = polars_type(logical) else { return expr };
    let expr = match found {
        // The instant counts, not the wall clock: a zone is dropped after going to UTC, which is how it is stored.
        pl::DataType::Datetime(_, Some(_)) => expr
            .cast(pl::DataType::Datetime(pl::TimeUnit::Microseconds, Some(pl::TimeZone::UTC)))
            .cast(pl::DataType::Int64)
            .cast(wanted),
        found if *found == wanted => expr,
        found if found.is_integer() => expr.strict_cast(wanted),
        _ => expr.cast(wanted),
    };
    if logical == DataType::Float { expr.fill_nan(pl::lit(pl::NULL)) } else { expr }
}

/// The logical schema of a frame.
pub(crate) fn schema_of(df: &DataFrame) -> TableSchema {
    let columns =
        df.columns().iter().map(|c| ColumnSchema { name: c.name().to_string(), dtype: logical_type(c.dtype()) });
    TableSchema { columns: columns.collect() }
}

/// The values of a column. Text is shared within the column: equal values one after another cost one allocation.
///
/// Dates become datetimes at midnight UTC; durations and times of day become whole microseconds.
pub(crate) fn data_from_column(column: &pl::Column) -> Result<ColumnData, DatasetError> {
    let series = column.as_materialized_series();
    Ok(match series.dtype() {
        pl::DataType::Boolean => ColumnData::Bool(series.bool()?.iter().collect()),
        pl::DataType::Int64 => ColumnData::Int(series.i64()?.iter().collect()),
        pl::DataType::Float64 => ColumnData::Float(series.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
        pl::DataType::String => {
            let mut last: Option<Arc<str>> = None;
            let share = |value: &str| match &last {
                Some(text) if &**text == value => Arc::clone(text),
                _ => {
                    let text: Arc<str> = value.into();
                    last = Some(Arc::clone(&text));
                    text
                }
            };
            let mut share = share;
            ColumnData::Text(series.str()?.iter().map(|value| value.map(&mut share)).collect())
        }
        pl::DataType::Date => {
            let days = series.cast(&pl::DataType::Int32)?;
            ColumnData::Datetime(days.i32()?.iter().map(|v| v.map(micros_from_days)).collect())
        }
        pl::DataType::Datetime(pl::TimeUnit::Microseconds, None) => {
            ColumnData::Datetime(series.cast(&pl::DataType::Int64)?.i64()?.iter().collect())
        }
        pl::DataType::Duration(pl::TimeUnit::Microseconds) => {
            ColumnData::Int(series.cast(&pl::DataType::Int64)?.i64()?.iter().collect())
        }
        // A time of day is stored in nanoseconds.
        pl::DataType::Time => {
            ColumnData::Int(series.cast(&pl::DataType::Int64)?.i64()?.iter().map(|v| v.map(|n| n / 1000)).collect())
        }
        other => {
            let name = column.name().to_string();
            return Err(DatasetError::column(name, format!("values of type {other} can't be taken out of the table")));
        }
    })
}

/// A Polars column of the logical type `dtype` from plain values; NaN becomes missing.
///
/// # Errors
/// If the values are of another kind than `dtype` needs.
pub(crate) fn column_from_data(name: &str, data: &ColumnData, dtype: DataType) -> Result<pl::Column, DatasetError> {
    let pl_name: pl::PlSmallStr = name.into();
    let series = match (data, dtype) {
        (ColumnData::Bool(values), DataType::Bool) => pl::Series::new(pl_name, values.as_slice()),
        (ColumnData::Int(values), DataType::Int) => pl::Series::new(pl_name, values.as_slice()),
        (ColumnData::Float(values), DataType::Float) => {
            let values: Vec<Option<f64>> = values.iter().map(|&v| (!v.is_nan()).then_some(v)).collect();
            pl::Series::new(pl_name, values)
        }
        (ColumnData::Text(values), DataType::Text) => {
            let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
            pl::Series::new(pl_name, values)
        }
        (ColumnData::Datetime(values), DataType::Date) => {
            let days: Vec<Option<i32>> = values.iter().map(|v| v.and_then(days_from_micros)).collect();
            pl::Series::new(pl_name, days).cast(&pl::DataType::Date)?
        }
        (ColumnData::Datetime(values), DataType::Datetime) | (ColumnData::Int(values), DataType::Duration) => {
            // Both types have a Polars type.
            let wanted = polars_type(dtype).unwrap_or(pl::DataType::Int64);
            pl::Series::new(pl_name, values.as_slice()).cast(&wanted)?
        }
        (ColumnData::Int(values), DataType::Time) => {
            let nanos: Vec<Option<i64>> =
                values.iter().map(|v| v.and_then(|micros| micros.checked_mul(1000))).collect();
            pl::Series::new(pl_name, nanos).cast(&pl::DataType::Time)?
        }
        (data, dtype) => {
            let reason = format!("{} values can't be used as {}", data.dtype().as_str(), dtype.as_str());
            return Err(DatasetError::column(name, reason));
        }
    };
    Ok(series.into_column())
}

/// Columns of a frame, all where `names` is empty. Columns of type `other` are left out unless they are named.
pub(crate) fn frame_from_polars(df: &DataFrame, names: &[&str]) -> Result<Frame, DatasetError> {
    let mut columns = Vec::new();
    if names.is_empty() {
        for column in df.columns().iter().filter(|column| logical_type(column.dtype()) != DataType::Other) {
            columns.push(Column { name: column.name().as_str().into(), data: data_from_column(column)? });
        }
    } else {
        let schema = schema_of(df);
        for &name in names {
            let column = df.column(name).map_err(|_| crate::steps::unknown_column(name, &schema))?;
            columns.push(Column { name: name.into(), data: data_from_column(column)? });
        }
    }
    Ok(Frame::new(columns)?)
}

/// A Polars frame from plain columns, each with the type of its values.
pub(crate) fn polars_from_frame(frame: &Frame) -> Result<DataFrame, DatasetError> {
    let columns: Result<Vec<_>, _> =
        frame.columns().iter().map(|c| column_from_data(&c.name, &c.data, c.data.dtype())).collect();
    Ok(DataFrame::new(frame.n_rows(), columns?)?)
}

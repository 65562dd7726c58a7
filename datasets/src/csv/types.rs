//! Types of text columns: which one fits all values, and columns built from fields.

use athanor_protocol::table::{CsvOptions, DataType};
use polars::prelude as pl;
use polars::prelude::{IntoColumn, NamedFrom};

use crate::values::{days_from_micros, parse_bool, parse_date, parse_datetime, parse_float, parse_int};

/// How fields become values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldRules {
    null_values: Vec<String>,
    decimal_comma: bool,
}

impl FieldRules {
    pub(crate) fn new(options: &CsvOptions) -> Self {
        Self { null_values: options.null_values.clone(), decimal_comma: options.decimal_comma }
    }

    pub(crate) fn is_missing(&self, field: &str) -> bool {
        field.is_empty() || (!self.null_values.is_empty() && self.null_values.iter().any(|word| word == field.trim()))
    }

    pub(crate) fn int(&self, field: &str) -> Option<i64> {
        // `007` is a code, not a number: its zeros would be lost.
        (!has_leading_zero(field)).then(|| parse_int(field)).flatten()
    }

    pub(crate) fn float(&self, field: &str) -> Option<f64> {
        // Most numbers begin so; what a number is does not change.
        if matches!(field.as_bytes(), [b'1'..=b'9', ..] | [b'0', b'.', ..])
            && !self.decimal_comma
            && let Ok(value) = field.parse()
        {
            return Some(value);
        }
        if has_leading_zero(field) {
            None
        } else if self.decimal_comma && field.contains(',') {
            // With a comma for the decimals a point would be a mark between thousands: such a field is left as text.
            (!field.contains('.')).then(|| parse_float(&field.replacen(',', ".", 1))).flatten()
        } else {
            parse_float(field)
        }
    }

    pub(crate) fn fits(&self, dtype: DataType, field: &str) -> bool {
        match dtype {
            DataType::Bool => parse_bool(field).is_some(),
            DataType::Int => self.int(field).is_some(),
            DataType::Float => self.float(field).is_some(),
            DataType::Date => parse_date(field).and_then(days_from_micros).is_some(),
            DataType::Datetime => parse_datetime(field).is_some(),
            _ => true,
        }
    }
}

fn has_leading_zero(field: &str) -> bool {
    let digits = field.trim().trim_start_matches(['-', '+']);
    digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit()
}

/// From the narrowest to the widest; `Text` fits everything and is not listed.
const LADDER: [DataType; 5] = [DataType::Bool, DataType::Int, DataType::Float, DataType::Date, DataType::Datetime];

/// The types that all values seen so far fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess {
    open: [bool; LADDER.len()],
    seen: bool,
}

impl Guess {
    pub(crate) const fn new() -> Self {
        Self { open: [true; LADDER.len()], seen: false }
    }

    pub(crate) fn see(&mut self, rules: &FieldRules, field: &str) {
        if rules.is_missing(field) {
            return;
        }
        self.seen = true;
        for (open, dtype) in self.open.iter_mut().zip(LADDER) {
            *open = *open && rules.fits(dtype, field);
        }
    }

    /// The narrowest type that fits; text where none does or no value was seen.
    pub(crate) fn dtype(&self) -> DataType {
        let narrowest = LADDER.into_iter().zip(self.open).find(|(_, open)| *open).map(|(dtype, _)| dtype);
        if self.seen { narrowest.unwrap_or(DataType::Text) } else { DataType::Text }
    }
}

/// Whether a field looks like a value rather than a column's name.
pub(crate) fn looks_like_a_value(rules: &FieldRules, field: &str) -> bool {
    [DataType::Int, DataType::Float, DataType::Date, DataType::Datetime].iter().any(|&dtype| rules.fits(dtype, field))
}

/// The type that a column of `dtype` must widen to so that `field` fits.
pub(crate) fn widened(dtype: DataType, rules: &FieldRules, field: &str) -> DataType {
    match dtype {
        DataType::Int if rules.fits(DataType::Float, field) => DataType::Float,
        DataType::Date if rules.fits(DataType::Datetime, field) => DataType::Datetime,
        _ => DataType::Text,
    }
}

/// Collects the fields of one column for one batch.
pub(crate) enum Builder {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Date(Vec<Option<i32>>),
    Datetime(Vec<Option<i64>>),
    Text(pl::StringChunkedBuilder),
}

impl Builder {
    pub(crate) fn new(name: &str, dtype: DataType, n_rows: usize) -> Self {
        match dtype {
            DataType::Bool => Self::Bool(Vec::with_capacity(n_rows)),
            DataType::Int => Self::Int(Vec::with_capacity(n_rows)),
            DataType::Float => Self::Float(Vec::with_capacity(n_rows)),
            DataType::Date => Self::Date(Vec::with_capacity(n_rows)),
            DataType::Datetime => Self::Datetime(Vec::with_capacity(n_rows)),
            _ => Self::Text(pl::StringChunkedBuilder::new(name.into(), n_rows)),
        }
    }

    /// Adds a field; `false` where it does not fit the type (nothing is added then).
    pub(crate) fn push(&mut self, rules: &FieldRules, field: &str) -> bool {
        fn add<T>(values: &mut Vec<Option<T>>, value: Option<T>) -> bool {
            let fits = value.is_some();
            if fits {
                values.push(value);
            }
            fits
        }
        if rules.is_missing(field) {
            match self {
                Self::Bool(values) => values.push(None),
                Self::Int(values) | Self::Datetime(values) => values.push(None),
                Self::Float(values) => values.push(None),
                Self::Date(values) => values.push(None),
                Self::Text(values) => values.append_null(),
            }
            return true;
        }
        match self {
            Self::Bool(values) => add(values, parse_bool(field)),
            Self::Int(values) => add(values, rules.int(field)),
            Self::Float(values) => add(values, rules.float(field)),
            Self::Date(values) => add(values, parse_date(field).and_then(days_from_micros)),
            Self::Datetime(values) => add(values, parse_datetime(field)),
            Self::Text(values) => {
                values.append_value(field);
                true
            }
        }
    }

    pub(crate) fn finish(self, name: &str) -> Result<pl::Column, pl::PolarsError> {
        let name: pl::PlSmallStr = name.into();
        let micros = pl::DataType::Datetime(pl::TimeUnit::Microseconds, None);
        Ok(match self {
            Self::Bool(values) => pl::Series::new(name, values).into_column(),
            Self::Int(values) => pl::Series::new(name, values).into_column(),
            Self::Float(values) => pl::Series::new(name, values).into_column(),
            Self::Date(values) => pl::Series::new(name, values).cast(&pl::DataType::Date)?.into_column(),
            Self::Datetime(values) => pl::Series::new(name, values).cast(&micros)?.into_column(),
            Self::Text(values) => {
                use polars::prelude::IntoSeries;
                values.finish().into_series().into_column()
            }
        })
    }
}

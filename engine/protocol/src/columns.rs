//! Plain columns in memory: how rows go from tables to encoders and from requests to models.
//!
//! Deliberately not serialisable: rows never travel in messages or saved documents.

use std::sync::Arc;

use crate::table::DataType;

/// The values of one column. Missing numbers are NaN in `Float` and `None` elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Floating point; NaN means missing, infinities are kept as they are.
    Float(Vec<f64>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// True and false.
    Bool(Vec<Option<bool>>),
    /// Text; also categories.
    Text(Vec<Option<Arc<str>>>),
    /// Microseconds since the Unix epoch (dates at midnight UTC).
    Datetime(Vec<Option<i64>>),
}

impl ColumnData {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) | Self::Datetime(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The logical type of these values.
    pub fn dtype(&self) -> DataType {
        match self {
            Self::Float(_) => DataType::Float,
            Self::Int(_) => DataType::Int,
            Self::Bool(_) => DataType::Bool,
            Self::Text(_) => DataType::Text,
            Self::Datetime(_) => DataType::Datetime,
        }
    }

    /// Whether the value at `row` is missing. Out of range counts as missing.
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Float(values) => values.get(row).is_none_or(|v| v.is_nan()),
            Self::Int(values) | Self::Datetime(values) => values.get(row).is_none_or(Option::is_none),
            Self::Bool(values) => values.get(row).is_none_or(Option::is_none),
            Self::Text(values) => values.get(row).is_none_or(Option::is_none),
        }
    }

    /// The value at `row` as a number (booleans 0 and 1, datetimes in seconds since the epoch), NaN where it is
    /// missing or text.
    pub fn number(&self, row: usize) -> f64 {
        match self {
            Self::Float(values) => values.get(row).copied().unwrap_or(f64::NAN),
            Self::Int(values) => values.get(row).copied().flatten().map_or(f64::NAN, |v| v as f64),
            Self::Datetime(values) => values.get(row).copied().flatten().map_or(f64::NAN, |v| v as f64 / 1e6),
            Self::Bool(values) => values.get(row).copied().flatten().map_or(f64::NAN, f64::from),
            Self::Text(_) => f64::NAN,
        }
    }

    /// The value at `row` as the text of a category, `None` where it is missing. A whole float prints without `.0`, so
    /// that a class column read as whole numbers and one read as floats name the same classes.
    pub fn label(&self, row: usize) -> Option<Arc<str>> {
        match self {
            Self::Text(values) => values.get(row).cloned().flatten(),
            Self::Bool(values) => {
                values.get(row).copied().flatten().map(|v| if v { "true".into() } else { "false".into() })
            }
            Self::Int(values) | Self::Datetime(values) => {
                values.get(row).copied().flatten().map(|v| v.to_string().into())
            }
            Self::Float(values) => values.get(row).filter(|v| !v.is_nan()).map(|v| v.to_string().into()),
        }
    }
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The column's name, unique in its frame.
    pub name: Arc<str>,
    /// Its values.
    pub data: ColumnData,
}

/// Columns of equal length, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    columns: Vec<Column>,
    n_rows: usize,
}

/// Why columns do not make a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Two columns have one name.
    #[error("column {0:?} is there twice")]
    Duplicate(String),
    /// Column lengths differ.
    #[error("column {name:?} has {found} rows where {expected} were expected")]
    Length {
        /// The column.
        name: String,
        /// Rows of the first column.
        expected: usize,
        /// Rows of this one.
        found: usize,
    },
}

impl Frame {
    /// Puts columns together.
    ///
    /// # Errors
    /// If two have one name or lengths differ.
    pub fn new(columns: Vec<Column>) -> Result<Self, FrameError> {
        let n_rows = columns.first().map_or(0, |column| column.data.len());
        let mut seen = std::collections::BTreeSet::new();
        for column in &columns {
            if column.data.len() != n_rows {
                let found = column.data.len();
                return Err(FrameError::Length { name: column.name.to_string(), expected: n_rows, found });
            }
            if !seen.insert(&column.name) {
                return Err(FrameError::Duplicate(column.name.to_string()));
            }
        }
        Ok(Self { columns, n_rows })
    }

    /// Number of rows; 0 when there are no columns.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns, taken out.
    pub fn into_columns(self) -> Vec<Column> {
        self.columns
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| &*column.name == name)
    }
}

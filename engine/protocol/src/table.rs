//! Tables as the rest of the program sees them: where they come from, their schema, their description.

use serde::{Deserialize, Serialize};

use crate::metric::MetricValue;

/// A column's logical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// True and false.
    Bool,
    /// Whole numbers up to 64 bits.
    Int,
    /// Floating point.
    Float,
    /// Text.
    Text,
    /// A calendar date.
    Date,
    /// A date with a time, in microseconds, without or with zone.
    Datetime,
    /// A span of time.
    Duration,
    /// A time of day.
    Time,
    /// Something that no step can use (nested or binary values); carried along, never learned from.
    Other,
}

impl DataType {
    /// Whether values can be used as numbers.
    pub const fn is_numeric(self) -> bool {
        matches!(self, Self::Bool | Self::Int | Self::Float | Self::Date | Self::Datetime)
    }

    /// The type as it is written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "text",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
            Self::Time => "time",
            Self::Other => "other",
        }
    }
}

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSchema {
    /// The name, unique in the table.
    pub name: String,
    /// The logical type.
    pub dtype: DataType,
}

/// The columns of a table in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableSchema {
    /// Name and type of each.
    pub columns: Vec<ColumnSchema>,
}

impl TableSchema {
    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The format of a table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Told from the first bytes and the name's ending.
    Auto,
    /// Text with separators.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// Where a table comes from and how to read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSource {
    /// A path on this machine, as the user gave it.
    pub path: String,
    /// The format.
    #[serde(default = "auto_format")]
    pub format: TableFormat,
    /// Options for text formats.
    #[serde(default)]
    pub csv: CsvOptions,
}

fn auto_format() -> TableFormat {
    TableFormat::Auto
}

impl DataSource {
    /// A local file whose format is told from its content.
    pub fn file(path: impl Into<String>) -> Self {
        Self { path: path.into(), format: TableFormat::Auto, csv: CsvOptions::default() }
    }
}

/// How to read separated text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CsvOptions {
    /// The separator, one ASCII character; told from the first lines where it is not given.
    pub separator: Option<char>,
    /// Whether the first line holds the names; told from the first lines where it is not given.
    pub has_header: Option<bool>,
    /// Whether numbers are written `1,5`.
    pub decimal_comma: bool,
    /// Words that mean "missing", besides the empty field.
    pub null_values: Vec<String>,
    /// Columns that are text whatever their values look like: codes with leading zeros, for example.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text_columns: Vec<String>,
}

/// One bin of a histogram, `[low, high)`, the last one closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Number of values.
    pub count: u64,
}

/// A value and how often it occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopValue {
    /// The value as text, cut to a readable length.
    pub value: String,
    /// Number of rows.
    pub count: u64,
}

/// What is known of a column's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberSummary {
    /// Mean of the finite values.
    pub mean: MetricValue,
    /// Sample standard deviation of the finite values.
    pub std: MetricValue,
    /// The least finite value.
    pub min: MetricValue,
    /// Quantiles at 5, 25, 50, 75 and 95 percent of the finite values, linearly interpolated.
    pub quantiles: [MetricValue; 5],
    /// The greatest finite value.
    pub max: MetricValue,
    /// Number of infinite or NaN values.
    pub n_non_finite: u64,
    /// Equal-width bins between `min` and `max`.
    pub histogram: Vec<Bin>,
}

/// The description of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// The column's name.
    pub name: String,
    /// Its type.
    pub dtype: DataType,
    /// Number of missing values.
    pub n_missing: u64,
    /// Number of distinct values that are not missing.
    pub n_distinct: u64,
    /// The most frequent values, most frequent first, ties by value.
    pub top: Vec<TopValue>,
    /// For numbers and times (times in seconds since the epoch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberSummary>,
    /// What to look at: constant, all missing, unique in every row, mostly missing, non-finite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// The description of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableProfile {
    /// Number of rows.
    pub n_rows: u64,
    /// Each column in order.
    pub columns: Vec<ColumnSummary>,
    /// Number of rows that occur more than once (beyond their first occurrence).
    pub n_duplicate_rows: u64,
    /// Digest of the file's bytes, `blake3:<hex>`.
    pub digest: String,
}

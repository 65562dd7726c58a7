//! The preparation of a table as data: steps as the user wrote them, and the fitted form that serving replays.

use serde::{Deserialize, Serialize};

use crate::table::{DataSource, DataType, TableSchema};

/// Most steps in one plan, joined tables included.
pub const MAX_STEPS: usize = 1_000;
/// Longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 10_000;

/// What happens to a value that can't be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCastError {
    /// The step fails and names the value.
    Fail,
    /// The value becomes missing.
    Missing,
}

/// What goes where a value is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillWith {
    /// The mean of the training rows.
    Mean,
    /// The median of the training rows.
    Median,
    /// The most frequent value of the training rows, ties by value.
    Mode,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl FillWith {
    /// Whether the value is learned from data.
    pub const fn learns(&self) -> bool {
        matches!(self, Self::Mean | Self::Median | Self::Mode)
    }
}

/// A column to sort by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKey {
    /// The column.
    pub column: String,
    /// Greatest first.
    #[serde(default)]
    pub descending: bool,
}

/// How rows of two tables are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinHow {
    /// Rows found in both.
    Inner,
    /// All rows of the left table.
    Left,
    /// Rows of the left table that have a partner; no columns are added.
    Semi,
    /// Rows of the left table that have none.
    Anti,
    /// All rows of both.
    Full,
}

/// What is computed for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFunction {
    /// Number of rows, missing values included.
    Count,
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Mean,
    /// Median.
    Median,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Sample standard deviation.
    Std,
    /// Number of distinct values.
    Distinct,
    /// First value in row order.
    First,
    /// Last value in row order.
    Last,
}

/// One computed column of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The column that is summed up.
    pub column: String,
    /// How.
    pub function: AggregateFunction,
    /// The new column's name.
    pub name: String,
}

/// One step. *Set-wise* steps shape the training table and end there; *row-wise* steps are replayed at serving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Keeps (or drops) columns. Row-wise.
    Select {
        /// The columns.
        columns: Vec<String>,
        /// Drop them instead of keeping them.
        #[serde(default)]
        drop: bool,
    },
    /// Changes a column's type. Row-wise.
    Cast {
        /// The columns.
        columns: Vec<String>,
        /// The new type.
        to: DataType,
        /// What to do with values that do not fit.
        on_error: OnCastError,
    },
    /// Keeps the rows for which a SQL condition holds. Set-wise.
    Filter {
        /// A SQL expression of type bool.
        predicate: String,
    },
    /// Adds or replaces a column by a SQL expression over one row. Row-wise.
    Derive {
        /// The column's name.
        column: String,
        /// A SQL expression; window and aggregate functions are refused.
        expression: String,
    },
    /// Fills missing values. Row-wise; learns where `with` does.
    Fill {
        /// The columns; empty means all that `with` fits.
        columns: Vec<String>,
        /// By what.
        with: FillWith,
    },
    /// Keeps one row of those that are equal in `columns` (all, where empty). Set-wise.
    Deduplicate {
        /// The columns that make rows equal.
        columns: Vec<String>,
    },
    /// Sorts rows; stable. Set-wise.
    Sort {
        /// The columns, first one first.
        by: Vec<SortKey>,
    },
    /// Keeps a random part of the rows, in their order. Set-wise.
    Sample {
        /// How many rows; or
        n_rows: Option<u64>,
        /// which share of them, 0 to 1.
        fraction: Option<f64>,
        /// The seed.
        seed: u64,
    },
    /// Adds columns of another table. Set-wise; reshapes.
    Join {
        /// The other table.
        right: Box<PreparePlan>,
        /// Column pairs: left name, right name.
        on: Vec<(String, String)>,
        /// Which rows stay.
        how: JoinHow,
    },
    /// One row for each group. Set-wise; reshapes.
    Group {
        /// The columns that make a group, kept in the result; groups come in order of first occurrence.
        by: Vec<String>,
        /// What is computed.
        aggregates: Vec<Aggregate>,
    },
}

impl Step {
    /// Whether the step is replayed on each row at serving.
    pub const fn is_row_wise(&self) -> bool {
        matches!(self, Self::Select { .. } | Self::Cast { .. } | Self::Derive { .. } | Self::Fill { .. })
    }

    /// Whether rows after the step are no longer rows of the table before it.
    pub const fn reshapes(&self) -> bool {
        matches!(self, Self::Join { .. } | Self::Group { .. })
    }

    /// Whether the step keeps something that it computed from the training rows.
    pub const fn learns(&self) -> bool {
        matches!(self, Self::Fill { with, .. } if with.learns())
    }

    /// The step's name in messages and in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Select { .. } => "select",
            Self::Cast { .. } => "cast",
            Self::Filter { .. } => "filter",
            Self::Derive { .. } => "derive",
            Self::Fill { .. } => "fill",
            Self::Deduplicate { .. } => "deduplicate",
            Self::Sort { .. } => "sort",
            Self::Sample { .. } => "sample",
            Self::Join { .. } => "join",
            Self::Group { .. } => "group",
        }
    }
}

/// A step and the node that it came from, so that errors can name the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// The workflow node's id, or any label.
    pub node: String,
    /// What to do.
    #[serde(flatten)]
    pub step: Step,
}

/// A table and what is done to it. Nothing is read until it is collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreparePlan {
    /// The table.
    pub source: DataSource,
    /// The steps in order.
    pub steps: Vec<PlanStep>,
}

/// How rows are divided. The same rows, specification and seed give the same division.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum SplitSpec {
    /// Shuffled, then cut; stratified by a column where one is named.
    Random {
        /// Share of validation rows, 0 to 1.
        valid: f64,
        /// Share of test rows, 0 to 1; the rest is for training.
        test: f64,
        /// The column whose shares are kept equal in each part.
        stratify: Option<String>,
        /// The seed.
        seed: u64,
    },
    /// Fold `fold` of `n_folds` is the test part; `valid` of the remaining rows are for validation.
    KFold {
        /// Number of folds, at least 2.
        n_folds: u32,
        /// Which fold, from 0.
        fold: u32,
        /// Share of validation rows among the rows that are not in the fold, 0 to 1.
        valid: f64,
        /// The column whose shares are kept equal in each part.
        stratify: Option<String>,
        /// The seed.
        seed: u64,
    },
}

/// What fills a column, learned or given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillValue {
    /// A number.
    Number(f64),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
}

/// A row-wise step with everything it learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum FittedStep {
    /// Keeps these columns.
    Select {
        /// In this order.
        columns: Vec<String>,
    },
    /// Changes types.
    Cast {
        /// The columns.
        columns: Vec<String>,
        /// The new type.
        to: DataType,
        /// What to do with values that do not fit.
        on_error: OnCastError,
    },
    /// Adds or replaces a column.
    Derive {
        /// The column's name.
        column: String,
        /// A SQL expression.
        expression: String,
    },
    /// Fills missing values.
    Fill {
        /// Column and value, in column order.
        values: Vec<(String, FillValue)>,
    },
}

/// The row-wise part of a preparation with what it learned: a pure function from raw rows to prepared rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedRecipe {
    /// Format version; 1.
    pub version: u32,
    /// The columns that go in.
    pub input: TableSchema,
    /// What is done.
    pub steps: Vec<FittedStep>,
    /// The columns that come out.
    pub output: TableSchema,
}

//! Tables: which there are, what is in them, how they look.

use serde::{Deserialize, Serialize};

use crate::table::{Bin, ColumnSchema, DataSource, TableProfile};

/// Asks for the tables that the workspace knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DataList {}

/// A table that the workspace knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataEntry {
    /// The file's name.
    pub name: String,
    /// Where it is; names the table in every other request.
    pub path: String,
    /// Its size; `None` where it has vanished.
    pub n_bytes: Option<u64>,
    /// When it was last changed, milliseconds since the Unix epoch.
    pub modified_at_millis: Option<i64>,
    /// When it was added.
    pub added_at_millis: i64,
    /// Whether it lies in the workspace's folder.
    pub in_workspace: bool,
}

/// The tables, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataEntries {
    /// Each.
    pub items: Vec<DataEntry>,
}

/// Adds a file. It is opened to see that it is a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataAdd {
    /// Where it is.
    pub path: String,
}

/// Takes a table off the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRemove {
    /// Where it is.
    pub path: String,
}

/// A piece of a file that a browser sends; pieces come in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataUpload {
    /// The file's name; only its last part counts, and only letters, digits and `.-_ `.
    pub name: String,
    /// Made up by the client, the same for all pieces of a file: letters and digits.
    pub token: String,
    /// Where the piece begins.
    pub offset: u64,
    /// The bytes in base64.
    pub base64: String,
    /// Whether it is the last one.
    pub last: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataUploaded {
    /// Bytes so far.
    pub n_bytes: u64,
    /// The table, after the last piece.
    pub entry: Option<DataEntry>,
}

/// Opens a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataOpen {
    /// Which.
    pub source: DataSource,
}

/// A table's columns and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableInfo {
    /// The file's name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ColumnSchema>,
    /// Its rows, where that is known without reading everything.
    pub n_rows: Option<u64>,
    /// The file's size.
    pub n_bytes: u64,
    /// What was noticed while opening, for example a guessed separator.
    pub notes: Vec<String>,
}

/// Asks for rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRows {
    /// Which table.
    pub source: DataSource,
    /// The first row, from 0.
    pub offset: u64,
    /// How many, at most [`MAX_PAGE_ROWS`](super::MAX_PAGE_ROWS).
    pub limit: u32,
    /// Only these columns, in this order; all where empty.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// A page of rows, as text that is ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsPage {
    /// The first row, from 0.
    pub offset: u64,
    /// The columns.
    pub columns: Vec<ColumnSchema>,
    /// One list for each column; `None` is missing.
    pub cells: Vec<Vec<Option<String>>>,
    /// All rows of the table, where that is known by now.
    pub n_rows: Option<u64>,
}

/// Asks for a profile. Long ones tell of their progress under the token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataProfile {
    /// Which table.
    pub source: DataSource,
    /// For the progress events.
    pub token: String,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileAnswer {
    /// The file's name.
    pub name: String,
    /// The profile.
    pub profile: TableProfile,
}

/// Asks for the numbers of a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataPlot {
    /// Which table.
    pub source: DataSource,
    /// What to draw.
    pub spec: PlotSpec,
    /// By which it can be stopped.
    #[serde(default)]
    pub token: String,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plot", rename_all = "snake_case")]
pub enum PlotSpec {
    /// How often values occur, in equal bins, perhaps by group.
    Histogram {
        /// A numeric column.
        column: String,
        /// Bins, from 2 to 200.
        n_bins: u32,
        /// A column with few values that splits the rows.
        group: Option<String>,
    },
    /// How often each of the most frequent values occurs.
    Bar {
        /// The column.
        column: String,
        /// A column with few values that splits the rows.
        group: Option<String>,
    },
    /// Quartiles and whiskers of a numeric column, by group.
    Box {
        /// A numeric column.
        column: String,
        /// A column with few values that splits the rows.
        group: Option<String>,
    },
    /// One numeric column against another, a sample of the rows.
    Scatter {
        /// Across.
        x: String,
        /// Up.
        y: String,
        /// A column with few values that colours the points.
        group: Option<String>,
    },
    /// Mean of one numeric column along another, sorted and bucketed.
    Line {
        /// Across.
        x: String,
        /// Up.
        y: String,
        /// A column with few values that splits the rows.
        group: Option<String>,
    },
    /// Pearson correlation of the numeric columns with each other.
    Correlation {
        /// Which; all (at most 60) where empty.
        columns: Vec<String>,
    },
}

/// Numbers for a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "plot", rename_all = "snake_case")]
pub enum PlotData {
    /// Histograms with common edges.
    Histogram {
        /// One for each group, in order; the group's name is empty where there is none.
        groups: Vec<(String, Vec<Bin>)>,
        /// Rows left out because the value is missing or not finite.
        n_left_out: u64,
    },
    /// Counts.
    Bar {
        /// The values.
        values: Vec<String>,
        /// One list of counts for each group.
        groups: Vec<(String, Vec<u64>)>,
        /// Rows whose value is none of these.
        n_other: u64,
        /// Rows without a value.
        n_missing: u64,
    },
    /// Boxes.
    Box {
        /// One for each group.
        groups: Vec<(String, BoxStats)>,
    },
    /// Points.
    Scatter {
        /// One cloud for each group.
        groups: Vec<(String, Vec<[f64; 2]>)>,
        /// Rows in the table that have both values.
        n_rows: u64,
    },
    /// Lines.
    Line {
        /// One for each group.
        groups: Vec<(String, Vec<[f64; 2]>)>,
    },
    /// A symmetric matrix; `None` where a column does not vary.
    Correlation {
        /// The columns.
        columns: Vec<String>,
        /// Row by row.
        values: Vec<Vec<Option<f64>>>,
        /// Rows used.
        n_rows: u64,
    },
}

/// A box of a box plot; whiskers by Tukey's rule (the last values within 1.5 interquartile ranges of the box).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoxStats {
    /// Lower whisker.
    pub low: f64,
    /// First quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// Upper whisker.
    pub high: f64,
    /// Values beyond the whiskers.
    pub n_outliers: u64,
    /// The least and greatest value.
    pub extremes: [f64; 2],
    /// Values in all.
    pub n: u64,
}

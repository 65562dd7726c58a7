//! What can go wrong with a table, in the user's words.

use athanor_protocol::{Code, Failure, columns::FrameError};

/// Why a table could not be opened, described, prepared or written. Names the file, line, column, step and node.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file does not exist (or a link leads nowhere).
    #[error("there is no file {path:?}")]
    Missing {
        /// The path as the user gave it.
        path: String,
    },
    /// The path is not a regular file.
    #[error("{path:?} is {what}, not a file")]
    NotAFile {
        /// The path as the user gave it.
        path: String,
        /// What it is, for example `a directory`.
        what: &'static str,
    },
    /// The file holds nothing.
    #[error("{path:?} is empty")]
    Empty {
        /// The path as the user gave it.
        path: String,
    },
    /// The operating system refused.
    #[error("{action} {path:?}: {source}")]
    Io {
        /// What was tried, for example `reading`.
        action: &'static str,
        /// The path as the user gave it.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not a table of the format that they should be.
    #[error("{path:?} can't be read: {reason}")]
    Unreadable {
        /// The path as the user gave it.
        path: String,
        /// Why.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A line of a text table is malformed.
    #[error("{path:?}, line {line}: {reason}")]
    Line {
        /// The path as the user gave it.
        path: String,
        /// The line, from 1, as an editor counts.
        line: u64,
        /// Why.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// The file changed between opening and the end of reading.
    #[error("{path:?} changed while it was read")]
    Changed {
        /// The path as the user gave it.
        path: String,
    },
    /// A step names a column that is not there.
    #[error("there is no column {column:?}{}", near_text(near))]
    UnknownColumn {
        /// The column.
        column: String,
        /// Columns with a name like it.
        near: Vec<String>,
    },
    /// An expression is refused or malformed.
    #[error("expression {text:?}: {reason}")]
    Expression {
        /// The expression, cut to a readable length.
        text: String,
        /// Why.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A column's values or type do not allow this.
    #[error("column {column:?}: {reason}")]
    Column {
        /// The column.
        column: String,
        /// Why.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A parameter, split or order of steps is not allowed.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A limit was exceeded.
    #[error("{reason}")]
    TooLarge {
        /// Which.
        reason: String,
    },
    /// A step failed.
    #[error("node {node:?} ({step}): {source}")]
    Step {
        /// The workflow node.
        node: String,
        /// The step's name.
        step: &'static str,
        /// Why.
        source: Box<DatasetError>,
    },
    /// Somebody asked for it to stop.
    #[error("the preparation was stopped")]
    Cancelled,
    /// The table engine refused; the message is its own.
    #[error("{0}")]
    Engine(String),
    /// The table engine broke down; caught at the border of this crate.
    #[error("{doing} broke down inside the table engine: {message}")]
    Panicked {
        /// What was being done.
        doing: String,
        /// The panic's message.
        message: String,
    },
}

fn near_text(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => {
            format!(" (did you mean {}?)", names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(" or "))
        }
    }
}

impl DatasetError {
    /// The kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::NotFound,
            Self::NotAFile { .. } | Self::UnknownColumn { .. } | Self::Expression { .. } | Self::Invalid { .. } => {
                Code::InvalidArgument
            }
            Self::Empty { .. }
            | Self::Unreadable { .. }
            | Self::Line { .. }
            | Self::Column { .. }
            | Self::Engine(_) => Code::BadData,
            Self::Io { source, .. } => Code::from_io(source),
            Self::Changed { .. } => Code::Conflict,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Step { source, .. } => source.code(),
            Self::Cancelled => Code::Cancelled,
            Self::Panicked { .. } => Code::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => {
                Some("check the path; relative paths start at the workflow's own folder".to_owned())
            }
            Self::NotAFile { .. } => Some("choose a CSV or Parquet file".to_owned()),
            Self::Empty { .. } => Some("the file was perhaps not written to its end; make it again".to_owned()),
            Self::Unreadable { hint, .. } | Self::Line { hint, .. } => Some(hint.clone()),
            Self::Changed { .. } => Some("wait until nothing writes to it any more, then open it again".to_owned()),
            Self::Expression { hint, .. } | Self::Column { hint, .. } | Self::Invalid { hint, .. } => hint.clone(),
            Self::UnknownColumn { .. } => {
                Some("names are case-sensitive; in expressions, put a name with blanks in double quotes".to_owned())
            }
            Self::Step { source, .. } => source.hint(),
            Self::Panicked { .. } => Some("this is a defect of the program; please report it".to_owned()),
            Self::Io { .. } | Self::TooLarge { .. } | Self::Cancelled | Self::Engine(_) => None,
        }
    }

    /// The workflow node at fault, where one is known: the innermost one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Step { node, source, .. } => source.node().or(Some(node)),
            _ => None,
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into(), hint: None }
    }

    pub(crate) fn invalid_because(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into(), hint: Some(hint.into()) }
    }

    pub(crate) fn column(column: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Column { column: column.into(), reason: reason.into(), hint: None }
    }

    pub(crate) fn at(self, node: &str, step: &'static str) -> Self {
        match self {
            Self::Cancelled => Self::Cancelled,
            source => Self::Step { node: node.to_owned(), step, source: Box::new(source) },
        }
    }
}

impl From<DatasetError> for Failure {
    fn from(err: DatasetError) -> Self {
        let subject = match &err {
            DatasetError::Missing { path }
            | DatasetError::NotAFile { path, .. }
            | DatasetError::Empty { path }
            | DatasetError::Io { path, .. }
            | DatasetError::Unreadable { path, .. }
            | DatasetError::Line { path, .. }
            | DatasetError::Changed { path } => Some(path.clone()),
            DatasetError::UnknownColumn { column, .. } | DatasetError::Column { column, .. } => Some(column.clone()),
            other => other.node().map(str::to_owned),
        };
        Failure { code: err.code(), message: err.to_string(), subject, hint: err.hint() }
    }
}

impl From<polars::error::PolarsError> for DatasetError {
    fn from(err: polars::error::PolarsError) -> Self {
        // Polars appends plans and advice about its own Python interface after the first line; users need the first.
        let text = err.to_string();
        let line = text.lines().next().unwrap_or_default();
        Self::Engine(format!("the table engine refused: {}", cut(line, 300)))
    }
}

impl From<FrameError> for DatasetError {
    fn from(err: FrameError) -> Self {
        Self::Engine(err.to_string())
    }
}

/// The first `n_chars` characters, with an ellipsis where something was cut off.
pub(crate) fn cut(text: &str, n_chars: usize) -> String {
    match text.char_indices().nth(n_chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Runs work that enters Polars and turns a panic in there into an error, so that no table can take the program down.
pub(crate) fn guard<T>(doing: &str, work: impl FnOnce() -> Result<T, DatasetError>) -> Result<T, DatasetError> {
    // The closure's captures are dropped or read-only after a panic: nothing half-changed is looked at again.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Err(DatasetError::Panicked { doing: doing.to_owned(), message: cut(&message, 300) })
        }
    }
}

/// Up to three names that are like `name`, closest first.
pub(crate) fn near_names<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(64).collect();
    let most = (wanted.len() / 3).max(1);
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|other| {
            let other_chars: Vec<char> = other.to_lowercase().chars().take(64).collect();
            let distance = edit_distance(&wanted, &other_chars);
            (distance <= most).then_some((distance, other))
        })
        .collect();
    found.sort();
    found.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}

/// Levenshtein distance: fewest insertions, deletions and replacements.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    if a.len().abs_diff(b.len()) > a.len().max(3) {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

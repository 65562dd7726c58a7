//! Reading the database of another program: MLflow's tracking store on SQLite.
//!
//! **Architecture Invariant:** the file is foreign and may be hostile. It is opened for reading alone, nothing is made
//! beside it, and of its schema only plain tables with plain columns are read: no view, trigger, virtual table or
//! computed column of it is ever evaluated.
//!
//! **Architecture Invariant:** what is read comes in slices of bounded size, each a statement of its own. Between them
//! the file is not locked, so that an MLflow that is at work goes on writing.

mod open;
mod read;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use athanor_protocol::Code;
use rusqlite::Connection;

use crate::error::{Result, StoreError};

/// Most rows of a slice.
pub const SLICE_ROWS: usize = 20_000;

/// Longest name or value that is read, in bytes; of a longer one only the length is known.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// Most bytes of text in a slice, beyond its last row.
const MAX_SLICE_BYTES: usize = 16 << 20;

/// Why a cell that should hold text does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It holds nothing.
    Missing,
    /// It is longer than [`MAX_TEXT_BYTES`].
    TooLong {
        /// Its length in bytes.
        n_bytes: u64,
    },
    /// It holds a number or bytes.
    NotText,
    /// It is not UTF-8.
    NotUtf8,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("there is nothing in its cell"),
            Self::TooLong { n_bytes } => write!(f, "it has {n_bytes} bytes, {MAX_TEXT_BYTES} are allowed"),
            Self::NotText => f.write_str("its cell holds no text"),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
        }
    }
}

/// The text of a cell, or why there is none.
pub type Text = std::result::Result<String, Unfit>;

/// A part of a table, in the order in which rows were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Asks for the next slice; `None` where this is the last one.
    pub next: Option<i64>,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Its name.
    pub name: Text,
    /// Whether it was deleted in MLflow.
    pub is_deleted: bool,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub uuid: Text,
    /// Its experiment's number; `None` where the cell holds no whole number.
    pub experiment: Option<i64>,
    /// Its name.
    pub name: Text,
    /// Its state in MLflow's words, for example `FINISHED`.
    pub status: Text,
    /// When it began, milliseconds since the Unix epoch.
    pub started_at_millis: Option<i64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_at_millis: Option<i64>,
    /// Whether it was deleted in MLflow.
    pub is_deleted: bool,
    /// Where MLflow keeps its files. Never to be opened: it is text of the database.
    pub artifact_uri: Text,
}

/// A parameter or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its name.
    pub key: Text,
    /// Its value.
    pub value: Text,
}

/// A metric point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The metric.
    pub key: Text,
    /// When, milliseconds since the Unix epoch; `None` where the cell holds no whole number.
    pub at_millis: Option<i64>,
    /// The step; `None` where the cell holds no whole number.
    pub step: Option<i64>,
    /// The value, which may be non-finite; `None` where the cell holds no number.
    pub value: Option<f64>,
}

/// A model that a run has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedModel {
    /// Its id.
    pub id: Text,
    /// Its experiment's number.
    pub experiment: Option<i64>,
    /// Its name.
    pub name: Text,
    /// The run that has logged it.
    pub run: Text,
    /// Whether it was deleted in MLflow.
    pub is_deleted: bool,
}

/// An MLflow database that is open for reading.
pub struct Database {
    path: PathBuf,
    connection: Connection,
    shape: open::Shape,
    /// Steps of SQLite's machine that the present statement has taken, in units of [`open::STEPS_PER_LOOK`].
    spent: Arc<AtomicU64>,
    /// Size and time of the file where SQLite was told that nobody changes it.
    still: Option<(u64, SystemTime)>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Whether a file begins as an SQLite database does. Links are followed; what is no file does not.
pub fn is_sqlite(path: &Path) -> bool {
    use std::io::Read;
    if !fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        return false;
    }
    let mut magic = [0; 16];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"SQLite format 3\0"
}

impl Database {
    /// Opens a database for reading. Nothing is written, neither to it nor beside it.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`]: there is no such file, it is no database, it is damaged or cut off, it belongs to another
    /// program, it lacks what every version of MLflow writes, or a write to it was broken off and has to be finished by
    /// MLflow first.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, open::MAX_LOOKS)
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the schema's version in MLflow (Alembic's); `None` in very old ones.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if it cannot be read.
    pub fn version(&self) -> Result<Option<String>> {
        self.ask(read::version)
    }

    /// Optional tables that are there, but cannot be read, and why.
    pub fn remarks(&self) -> &[String] {
        &self.shape.remarks
    }

    /// An experiment by its number; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if it cannot be read.
    pub fn experiment(&self, number: i64) -> Result<Option<Experiment>> {
        self.ask(|db| read::experiment(db, number))
    }

    /// Runs after a slice; from the first one on where `None`.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if they cannot be read.
    pub fn runs(&self, after: Option<i64>) -> Result<Slice<Run>> {
        self.ask(|db| read::runs(db, after))
    }

    /// Parameters of a run.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if they cannot be read.
    pub fn params(&self, run: &str, after: Option<i64>) -> Result<Slice<Pair>> {
        self.ask(|db| read::pairs(db, &db.shape.sql.params, run, after))
    }

    /// Tags of a run.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if they cannot be read.
    pub fn tags(&self, run: &str, after: Option<i64>) -> Result<Slice<Pair>> {
        self.ask(|db| read::pairs(db, &db.shape.sql.tags, run, after))
    }

    /// Metric points of a run, all metrics mixed.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if they cannot be read.
    pub fn points(&self, run: &str, after: Option<i64>) -> Result<Slice<Point>> {
        self.ask(|db| read::points(db, run, after))
    }

    /// Models that runs have logged; none where this version of MLflow does not know them.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if they cannot be read.
    pub fn logged_models(&self, after: Option<i64>) -> Result<Slice<LoggedModel>> {
        self.ask(|db| read::logged_models(db, after))
    }

    /// How many registered models there are, and how many versions of them.
    ///
    /// # Errors
    /// [`StoreError::Mlflow`] if they cannot be counted.
    pub fn registered(&self) -> Result<(u64, u64)> {
        self.ask(|db| Ok((read::count(db, &db.shape.sql.models)?, read::count(db, &db.shape.sql.versions)?)))
    }

    /// One statement or a few, after which it is certain that the file was not changed under SQLite's hands.
    fn ask<T>(&self, work: impl FnOnce(&Self) -> read::Inner<T>) -> Result<T> {
        self.spent.store(0, Ordering::Relaxed);
        let answer = work(self);
        if let Some(before) = self.still
            && open::stillness(&self.path) != Some(before)
        {
            let hint = "import again, best while nothing writes to it; runs that came in are not read twice";
            return Err(self.refuse(Code::Conflict, "it was changed while it was read", hint));
        }
        answer.map_err(|fault| match fault {
            read::Fault::Sql(err) => open::from_sql(&self.path, &err),
            read::Fault::Order => self.refuse(Code::Corrupt, "its rows are out of order", open::DAMAGED),
        })
    }

    fn refuse(&self, code: Code, reason: &str, hint: &'static str) -> StoreError {
        StoreError::Mlflow { path: self.path.clone(), code, reason: reason.to_owned(), hint }
    }
}

/// Makes a small database by statements: for tests of what reads one, in crates that know no SQL library.
///
/// # Errors
/// [`StoreError::Mlflow`] if the file cannot be made or a statement fails.
pub fn make(path: &Path, statements: &str) -> Result<()> {
    let made = Connection::open(path).and_then(|connection| connection.execute_batch(statements));
    made.map_err(|err| open::from_sql(path, &err))
}

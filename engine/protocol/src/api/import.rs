//! Runs of other programs that come into the workspace.

use serde::{Deserialize, Serialize};

/// Reads the runs of an MLflow store. How many have been read comes as progress events; [`crate::api::WorkCancel`] stops
/// it after a run, and what has been read stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunsImport {
    /// The database `mlflow.db`, the folder `mlruns`, or the folder that holds one of them: a whole path on the machine
    /// where the engine runs.
    pub path: String,
    /// Where MLflow keeps the files of a database's runs; `None` looks beside the database.
    pub artifacts: Option<String>,
    /// For the progress events.
    pub token: String,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunsImported {
    /// What was read.
    pub path: String,
    /// Whether it is a database, and not a folder of files.
    pub is_database: bool,
    /// Whether somebody stopped it before the end.
    pub stopped: bool,
    /// Runs that are new here.
    pub n_new: u64,
    /// Runs that had been imported before.
    pub n_known: u64,
    /// Metric points of the new runs.
    pub n_points: u64,
    /// Files that were kept.
    pub n_files: u64,
    /// What was not taken over, the first of it.
    pub left_out: Vec<NotImported>,
    /// How much there is of that in all.
    pub n_left_out: u64,
    /// What else is worth knowing, a sentence each.
    pub notes: Vec<String>,
}

/// Something that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NotImported {
    /// The run, by its id in MLflow; empty where it is none.
    pub run: String,
    /// Which file, parameter or metric.
    pub what: String,
    /// Why.
    pub why: String,
}

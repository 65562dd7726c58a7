//! Workflows: saved documents, drafts, and what only the engine knows of them.

use serde::{Deserialize, Serialize};

use super::{ReportView, RowsPage};
use crate::{check::Problem, signature::ModelSignature, table::ColumnSchema};

/// Asks for the saved workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkflowList {}

/// A saved workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowEntry {
    /// Its name, unique in the workspace.
    pub name: String,
    /// When it was last saved, milliseconds since the Unix epoch.
    pub saved_at_millis: i64,
    /// Number of nodes; `None` where the file cannot be read as a workflow.
    pub n_nodes: Option<u32>,
    /// Whether there are changes that were not saved.
    pub has_draft: bool,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// The saved workflows, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowEntries {
    /// Each.
    pub items: Vec<WorkflowEntry>,
}

/// Reads a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowLoad {
    /// Its name.
    pub name: String,
}

/// A workflow as it is opened for editing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowDoc {
    /// Its name.
    pub name: String,
    /// The document as it was saved; empty where it never was.
    pub json: String,
    /// Counts up with each save; 0 where it never was saved.
    pub revision: u64,
    /// A newer document that was not saved when the window last ended.
    pub draft: Option<String>,
}

/// Saves a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowSave {
    /// Its name.
    pub name: String,
    /// The document.
    pub json: String,
    /// The revision that was opened; `Conflict` where somebody saved since. `None` overwrites.
    pub expected: Option<u64>,
}

/// How it was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowSaved {
    /// The new revision.
    pub revision: u64,
    /// When, milliseconds since the Unix epoch.
    pub saved_at_millis: i64,
}

/// Keeps unsaved changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowDraft {
    /// The workflow's name.
    pub name: String,
    /// The document; it may be one that has problems.
    pub json: String,
}

/// Drops unsaved changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowDiscard {
    /// The workflow's name.
    pub name: String,
}

/// Gives a workflow another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRename {
    /// The name now.
    pub name: String,
    /// The new one.
    pub to: String,
}

/// Deletes a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowDelete {
    /// Its name.
    pub name: String,
}

/// Reads a workflow file from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowImport {
    /// The file.
    pub path: String,
}

/// Writes a workflow to a file anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowExport {
    /// The document.
    pub json: String,
    /// The file.
    pub path: String,
}

/// Asks what only the engine knows of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowInspect {
    /// The document.
    pub json: String,
    /// The seed that a run would have.
    pub seed: u64,
    /// The device that a run would have.
    pub device: String,
}

/// What only the engine knows of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// What is wrong beyond what the document itself tells: files that are not there, columns that do not exist, names
    /// that are not allowed.
    pub problems: Vec<Problem>,
    /// The columns at output ports, where they can be known without running.
    pub columns: Vec<PortColumns>,
    /// Nodes whose result is there already.
    pub cached: Vec<String>,
}

/// The columns at an output port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortColumns {
    /// The node.
    pub node: String,
    /// The port.
    pub port: String,
    /// The columns.
    pub columns: Vec<ColumnSchema>,
}

/// Asks what comes out of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowPreview {
    /// The document.
    pub json: String,
    /// The node.
    pub node: String,
    /// The port.
    pub port: String,
    /// The seed that a run would have.
    pub seed: u64,
    /// The device that a run would have.
    pub device: String,
    /// For tables: the first row.
    pub offset: u64,
    /// For tables: how many rows.
    pub limit: u32,
}

/// What comes out of a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "preview", rename_all = "snake_case")]
pub enum Preview {
    /// A table, made from the first rows of its sources where the result is not there.
    Table {
        /// The rows.
        rows: RowsPage,
        /// Whether only the first rows of the sources were looked at.
        sampled: bool,
    },
    /// Rows of a split.
    Splits {
        /// Training rows.
        train: RowsPage,
        /// How many rows each part has: train, valid, test.
        n_rows: [u64; 3],
    },
    /// A model.
    Model {
        /// What it takes and gives.
        signature: ModelSignature,
        /// Size of its package.
        n_bytes: u64,
        /// One line for each fact: learner, parameters, epochs.
        facts: Vec<(String, String)>,
    },
    /// A report.
    Report {
        /// The report.
        report: Box<ReportView>,
    },
    /// The node has not run yet.
    NotYet {},
}

/// Asks for a workflow that trains on a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowStarter {
    /// The table.
    pub path: String,
    /// The column to predict.
    pub target: String,
    /// The kind of training node, for example `train.trees`.
    pub learner: String,
    /// What the model is registered as; `None` registers nothing.
    pub register_as: Option<String>,
    /// Shares of the test and validation rows.
    pub test: f64,
    /// Share of the validation rows.
    pub valid: f64,
}

//! How models are watched, and alerts.

use serde::{Deserialize, Serialize};

use crate::{
    monitor::{Alert, MonitorConfig, MonitorReport},
    names::RunId,
};

/// Asks how a model is watched and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorGet {
    /// The model.
    pub model: String,
    /// Only reports of this version.
    pub version: Option<u32>,
    /// Most reports, newest first; 1 to 100.
    pub limit: u32,
}

/// How a model is watched and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorView {
    /// The settings.
    pub config: MonitorConfig,
    /// Reports, newest first.
    pub reports: Vec<MonitorReport>,
    /// Alerts that are open, newest first.
    pub alerts: Vec<Alert>,
}

/// Sets how a model is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorConfigure {
    /// The model.
    pub model: String,
    /// All settings.
    pub config: MonitorConfig,
}

/// Asks for a page of alerts, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AlertList {
    /// Only those of this model.
    pub model: Option<String>,
    /// Only those that are open.
    pub open: bool,
    /// The token of the page before.
    pub after: Option<String>,
}

/// A page of alerts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AlertPage {
    /// Newest first.
    pub items: Vec<Alert>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Says that somebody has seen an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertAcknowledge {
    /// The alert's number.
    pub id: u64,
}

/// Starts a run that makes a new version on newer data: the workflow that made the alert's version, with its one table
/// replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRetrain {
    /// The alert's number.
    pub id: u64,
    /// The newer table; a relative path starts at the workspace. `None` takes the captured rows whose truth is known.
    #[serde(default)]
    pub table: Option<String>,
    /// For the progress events: large tables are read once before a run can be planned.
    #[serde(default)]
    pub token: String,
}

/// A run that answers an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRetrained {
    /// The run.
    pub run: RunId,
    /// The workflow that it carries out, by its name in the workspace.
    pub workflow: String,
    /// The table that it opens.
    pub table: String,
    /// Rows of the table, where it was made of captured requests.
    pub n_rows: Option<u64>,
}

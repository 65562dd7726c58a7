//! How models are watched, and alerts.

use serde::{Deserialize, Serialize};

use crate::monitor::{Alert, MonitorConfig, MonitorReport};

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

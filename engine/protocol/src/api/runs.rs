//! Runs: start, stop, list, look into, compare.

use serde::{Deserialize, Serialize};

use super::ReportView;
use crate::{
    metric::{MetricPoint, Split},
    names::RunId,
    run::{RunDetail, RunStatus, RunSummary, SeriesBucket, StepState},
};

/// Starts a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    /// The workflow document.
    pub json: String,
    /// The device by name, or `auto`.
    pub device: String,
    /// The seed.
    pub seed: u64,
    /// Only this node and what it needs; everything where `None`.
    #[serde(default)]
    pub up_to: Option<String>,
    /// This node and what depends on it are done again even where their results are there.
    #[serde(default)]
    pub again_from: Option<String>,
    /// For the progress events: large tables are read once before a run can be planned. It can be stopped by the token
    /// until the run is made; from then on by the run's id.
    #[serde(default)]
    pub token: String,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run.
    pub run: RunId,
}

/// Stops a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancel {
    /// Which.
    pub run: RunId,
}

/// Goes on with a run that failed or was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResume {
    /// Which.
    pub run: RunId,
}

/// Marks runs as deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDelete {
    /// Which.
    pub runs: Vec<RunId>,
}

/// Takes the mark away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRestore {
    /// Which.
    pub runs: Vec<RunId>,
}

/// Sets or removes a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTag {
    /// Of which run.
    pub run: RunId,
    /// The tag.
    pub key: String,
    /// Its value; `None` removes it.
    pub value: Option<String>,
}

/// Sets the note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNote {
    /// Of which run.
    pub run: RunId,
    /// The note; empty removes it.
    pub note: String,
}

/// What runs are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum RunOrder {
    /// When they were created.
    #[default]
    Created,
    /// How long the last attempt took.
    Duration,
    /// The latest value of a metric.
    Metric {
        /// Its key.
        key: String,
        /// Its split.
        split: Split,
    },
}

/// Asks for a page of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunList {
    /// Only these states; all where empty.
    #[serde(default)]
    pub status: Vec<RunStatus>,
    /// Only runs of this workflow.
    #[serde(default)]
    pub workflow: Option<String>,
    /// Only runs whose workflow, id or tags hold this text.
    #[serde(default)]
    pub text: String,
    /// Deleted runs instead of the others.
    #[serde(default)]
    pub deleted: bool,
    /// The order.
    #[serde(default)]
    pub order: RunOrder,
    /// Greatest first.
    #[serde(default)]
    pub descending: bool,
    /// The token of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Most runs on the page, at most 1000.
    pub limit: u32,
}

impl Default for RunList {
    fn default() -> Self {
        Self {
            status: vec![],
            workflow: None,
            text: String::new(),
            deleted: false,
            order: RunOrder::Created,
            descending: true,
            after: None,
            limit: 100,
        }
    }
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// The run.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Its parameters, `node.param`, for columns of the list.
    pub params: Vec<(String, String)>,
    /// What it trained: titles of its training nodes.
    pub learners: Vec<String>,
}

/// A page of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPage {
    /// The runs.
    pub items: Vec<RunRow>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Asks for everything about a run but its metrics' history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunGet {
    /// Which.
    pub run: RunId,
}

/// A run with how far its steps are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// The run.
    pub detail: RunDetail,
    /// How far each step is.
    pub progress: Vec<NodeProgress>,
    /// Versions that were registered from it.
    pub versions: Vec<(String, u32)>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProgress {
    /// The workflow node.
    pub node: String,
    /// Its state.
    pub state: StepState,
    /// Units done.
    pub done: u64,
    /// Units in all; 0 where unknown.
    pub total: u64,
    /// What is being done, for example `epoch 3 of 40`.
    pub note: String,
    /// How long it took, once it is done.
    pub millis: Option<u64>,
}

/// Asks for a page of metric names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMetrics {
    /// Of which run.
    pub run: RunId,
    /// Only names that hold this text.
    pub text: String,
    /// How many to leave out.
    pub offset: u32,
    /// Most names, at most 1000.
    pub limit: u32,
}

/// A page of metric names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricPage {
    /// Each with its latest point.
    pub items: Vec<MetricPoint>,
    /// Names in all that match.
    pub total: u64,
}

/// Asks for series, each decimated to what a plot can show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSeries {
    /// Which, at most 200.
    pub series: Vec<SeriesKey>,
    /// From this step.
    pub from_step: Option<u64>,
    /// To this step.
    pub to_step: Option<u64>,
    /// Most buckets of each, at most 4000.
    pub n_buckets: u32,
}

/// Names a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The run.
    pub run: RunId,
    /// The metric.
    pub key: String,
    /// The split.
    pub split: Split,
}

/// Series for drawing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesAnswer {
    /// In the order in which they were asked for; empty where a run has no such metric.
    pub series: Vec<Series>,
}

/// A series for drawing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Which.
    pub key: SeriesKey,
    /// Its buckets by step.
    pub buckets: Vec<SeriesBucket>,
    /// Times of the first and last point of each bucket, milliseconds since the Unix epoch; as long as `buckets`.
    pub times: Vec<[i64; 2]>,
    /// The `epoch` at the end of each bucket, where the run has that metric; else empty.
    pub epochs: Vec<f64>,
}

/// Asks for lines of log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLogs {
    /// Of which run.
    pub run: RunId,
    /// Only lines after this number.
    pub after: u64,
    /// Most lines, at most 5000.
    pub limit: u32,
}

/// A line of log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its number in the run, from 1.
    pub no: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The line.
    pub text: String,
    /// The attempt that wrote it.
    pub attempt: u32,
}

/// Lines of log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The lines in order.
    pub items: Vec<LogEntry>,
}

/// Asks for the evaluations of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReports {
    /// Of which run.
    pub run: RunId,
}

/// The evaluations of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportsAnswer {
    /// Node and report.
    pub items: Vec<(String, ReportView)>,
}

/// Writes a run's file to a place of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSaveArtifact {
    /// Of which run.
    pub run: RunId,
    /// The artifact's name.
    pub name: String,
    /// Where to.
    pub path: String,
}

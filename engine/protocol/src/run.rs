//! Runs: one execution of a workflow, its states and what is kept of it.

use serde::{Deserialize, Serialize};

use crate::{error::Failure, learner::Reproducibility, metric::MetricPoint, names::RunId, package::DatasetUsed};

/// The state of a run: `queued → running → finished | failed | cancelled`; a failed or cancelled run that can be resumed
/// goes back to `queued` with the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted, not started.
    Queued,
    /// A worker is at it.
    Running,
    /// Done.
    Finished,
    /// Ended with an error.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

impl RunStatus {
    /// Whether the run has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }

    /// The status as it is written in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The other way round.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Finished, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// The state of one step in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not started.
    Pending,
    /// Its result was there already.
    Cached,
    /// At work.
    Running,
    /// Done.
    Done,
    /// Ended with an error.
    Failed,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The workflow node.
    pub node: String,
    /// The node's kind.
    pub kind: String,
    /// The content key of its result, lower-case hex.
    pub key: String,
    /// Its state.
    pub state: StepState,
    /// How long it took, in milliseconds, once it is done.
    pub millis: Option<u64>,
}

/// Who runs a run: enough to tell whether that process still lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The host's name.
    pub host: String,
    /// The supervising process.
    pub pid: u32,
    /// When that process started, in clock ticks or seconds since boot, as the system tells; guards against reused ids.
    pub started: u64,
}

/// A run as it is created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewRun {
    /// The id, made by the caller.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The whole workflow document as it ran, JSON.
    pub workflow_json: String,
    /// The seed of the run.
    pub seed: u64,
    /// The device by name.
    pub device: String,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
    /// Its steps.
    pub steps: Vec<StepRecord>,
    /// Names and values of the parameters that were set, `node.param`.
    pub params: Vec<(String, String)>,
    /// Program and library versions, machine, threads: what is needed to do it again.
    pub environment: Vec<(String, String)>,
}

/// A run as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The id.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The state.
    pub status: RunStatus,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it was created.
    pub created_at_millis: i64,
    /// When the current attempt started.
    pub started_at_millis: Option<i64>,
    /// When it ended.
    pub ended_at_millis: Option<i64>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
    /// Whether a checkpoint or finished steps are there to go on from.
    pub resumable: bool,
    /// The seed.
    pub seed: u64,
    /// The device by name.
    pub device: String,
    /// Whether the same run again gives the same bits; known once training has started.
    pub reproducibility: Option<Reproducibility>,
    /// The latest value of each metric, by `split/key`.
    pub latest: Vec<MetricPoint>,
    /// Tags, by key.
    pub tags: Vec<(String, String)>,
}

/// A file that a run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name within the run, for example `train.model`.
    pub name: String,
    /// What it is, for example `model_package`, `report`, `log`.
    pub kind: String,
    /// Digest of its bytes, `blake3:<hex>`.
    pub digest: String,
    /// Its size.
    pub n_bytes: u64,
}

/// Everything kept of a run besides its metric history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The whole workflow document as it ran, JSON.
    pub workflow_json: String,
    /// Its steps in order.
    pub steps: Vec<StepRecord>,
    /// Parameters.
    pub params: Vec<(String, String)>,
    /// Environment.
    pub environment: Vec<(String, String)>,
    /// Tables used.
    pub datasets: Vec<DatasetUsed>,
    /// Files made.
    pub artifacts: Vec<Artifact>,
    /// Who runs it, while it is running.
    pub owner: Option<Owner>,
    /// What people wrote about it.
    #[serde(default)]
    pub note: String,
}

/// One bucket of a decimated series: the least and greatest finite value in a range of steps, so that no peak is lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesBucket {
    /// First step in the bucket.
    pub step_min: u64,
    /// Last step in the bucket.
    pub step_max: u64,
    /// Least finite value; `None` where there is none.
    pub min: Option<f64>,
    /// Greatest finite value; `None` where there is none.
    pub max: Option<f64>,
    /// The last finite value.
    pub last: Option<f64>,
    /// Number of points.
    pub n_points: u64,
    /// Number of non-finite points among them; a plot shows a gap.
    pub n_non_finite: u64,
}

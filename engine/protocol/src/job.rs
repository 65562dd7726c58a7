//! Jobs and what workers say: the border between the engine and the process that does the work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::Failure, learner::Reproducibility, metric::MetricPoint, names::RunId, package::DatasetUsed, run::Artifact,
};

/// One step of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStep {
    /// The workflow node.
    pub node: String,
    /// The node's kind.
    pub kind: String,
    /// The content key of its result, lower-case hex; names the folder that the result goes to.
    pub key: String,
    /// The node's parameters, complete.
    pub params: BTreeMap<String, serde_json::Value>,
    /// For each input port, the node and output port that feed it.
    pub inputs: BTreeMap<String, (String, String)>,
}

/// What a worker is given, as `job.json` in the job's folder. Version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Format version; 1.
    pub version: u32,
    /// The run.
    pub run_id: RunId,
    /// Which attempt; events of another one are dropped.
    pub attempt: u32,
    /// The workflow's name.
    pub workflow: String,
    /// Digest of the workflow document.
    pub workflow_digest: String,
    /// The seed.
    pub seed: u64,
    /// The device by name, never `auto`.
    pub device: String,
    /// CPU threads.
    pub threads: u32,
    /// Most resident memory, in bytes; 0 means no limit.
    pub memory_limit_bytes: u64,
    /// When the run was created; the time that packages carry, so that a resumed run makes the same bytes.
    pub created_at_millis: i64,
    /// The steps in an order in which inputs come first.
    pub steps: Vec<JobStep>,
}

/// What a worker says, one JSON object on each line of its standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerEvent {
    /// The run.
    pub run_id: RunId,
    /// The attempt.
    pub attempt: u32,
    /// Counts up from 1 in each attempt.
    pub seq: u64,
    /// What.
    #[serde(flatten)]
    pub body: WorkerEventBody,
}

/// The body of a worker's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WorkerEventBody {
    /// The worker has read its job.
    Started {
        /// Its process id.
        pid: u32,
        /// Versions, device, threads.
        environment: Vec<(String, String)>,
    },
    /// It is alive.
    Heartbeat,
    /// A step begins.
    StepStarted {
        /// The node.
        node: String,
    },
    /// A step goes on.
    StepProgress {
        /// The node.
        node: String,
        /// Units done.
        done: u64,
        /// Units in all; 0 where unknown.
        total: u64,
        /// What is being done, for example `epoch 3 of 40`.
        note: String,
    },
    /// A step has ended well, or its result was there already.
    StepDone {
        /// The node.
        node: String,
        /// Whether nothing had to be done.
        cached: bool,
        /// How long it took.
        millis: u64,
    },
    /// Metric points.
    Metrics {
        /// The points.
        points: Vec<MetricPoint>,
    },
    /// A line of log.
    Log {
        /// `info`, `warn` or `error`.
        level: String,
        /// The line.
        text: String,
    },
    /// A checkpoint is complete on disk.
    Checkpoint {
        /// The node.
        node: String,
        /// The optimisation step that it holds.
        step: u64,
    },
    /// What training found out about itself.
    Training {
        /// The node.
        node: String,
        /// Whether the same run again gives the same bits.
        reproducibility: Reproducibility,
    },
    /// A table that was used.
    Dataset {
        /// Which.
        dataset: DatasetUsed,
    },
    /// A file that was made.
    Artifact {
        /// Which.
        artifact: Artifact,
    },
    /// The job is done.
    Finished,
    /// The job ended with an error.
    Failed {
        /// The node, where one is at fault.
        node: Option<String>,
        /// Why.
        failure: Failure,
    },
    /// The job ended because it was told to.
    Cancelled {
        /// Why.
        reason: String,
    },
}

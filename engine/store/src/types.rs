//! What goes into the store and comes out of it, beyond the protocol's own words.

use std::fmt;

use athanor_protocol::{
    learner::Reproducibility,
    metric::{MetricPoint, Split},
    monitor::AlertKind,
    names::RunId,
    package::{DatasetUsed, FinalMetric},
    registry::{ApiKeyInfo, Scope},
    rollout::{RolloutFigures, RolloutPhase},
    run::{Artifact, Owner, RunStatus, SeriesBucket, StepState},
    signature::ModelSignature,
};

/// Limits on what the store takes.
pub mod limits {
    /// Most metric points in one batch.
    pub const BATCH_POINTS: usize = 20_000;
    /// Most entries of every other kind in one batch.
    pub const BATCH_ENTRIES: usize = 20_000;
    /// Most different metrics (key and split) of one run.
    pub const SERIES_PER_RUN: usize = 50_000;
    /// Most lines of log that a run keeps; older ones go.
    pub const LOG_LINES: i64 = 10_000;
    /// Longest line of log in bytes; longer ones are cut.
    pub const LOG_LINE_BYTES: usize = 4096;
    /// Longest note in bytes.
    pub const NOTE_BYTES: usize = 64 << 10;
    /// Longest tag value in bytes.
    pub const TAG_BYTES: usize = 4096;
    /// Longest value of a parameter or of the environment in bytes.
    pub const VALUE_BYTES: usize = 1 << 20;
    /// Most items on one page.
    pub const PAGE_SIZE: u32 = 1000;
    /// Most metrics that a list shows of one run; the rest is asked for by run.
    pub const LATEST_IN_LIST: usize = 100;
    /// Longest value of a parameter that a list shows, in characters.
    pub const SHOWN_VALUE_CHARS: usize = 200;
    /// Most buckets of a decimated series.
    pub const BUCKETS: u32 = 10_000;
    /// Most bytes of a monitor report.
    pub const REPORT_BYTES: usize = 16 << 20;
    /// Most monitor reports of a version; older ones go.
    pub const REPORTS_PER_VERSION: i64 = 1000;
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Most items, from 1 to [`limits::PAGE_SIZE`].
    pub size: u32,
    /// Where to go on: the token of the page before; `None` for the first page.
    pub token: Option<String>,
}

impl PageRequest {
    /// The first page.
    pub fn first(size: u32) -> Self {
        Self { size, token: None }
    }

    /// The page after one that ended with this token.
    pub fn after(size: u32, token: impl Into<String>) -> Self {
        Self { size, token: Some(token.into()) }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items in the list's order.
    pub items: Vec<T>,
    /// Asks for the next page; `None` where this is the last one.
    pub next: Option<String>,
}

/// What a recorded batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is stored.
    Applied,
    /// It was stored before; nothing was changed now.
    Duplicate,
    /// It comes from an attempt that is no longer the current one, or has ended; nothing was stored.
    Stale,
}

/// A change of a step's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUpdate {
    /// The workflow node.
    pub node: String,
    /// Its new state.
    pub state: StepState,
    /// How long it took, in milliseconds, once it is done.
    pub millis: Option<u64>,
}

/// A line of log to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The line. Control characters are replaced and the end is cut off at [`limits::LOG_LINE_BYTES`]: a line is never
    /// refused, because a worker's output is not ours to judge.
    pub text: String,
}

/// A kept line of log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its number in the run, from 1; numbers stay when older lines go.
    pub no: u64,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// The line.
    pub line: LogLine,
}

/// Everything that is written at once about a run at work.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Metric points.
    pub metrics: Vec<MetricPoint>,
    /// Changes of steps.
    pub steps: Vec<StepUpdate>,
    /// Parameters; one that is set already must have the same value.
    pub params: Vec<(String, String)>,
    /// Tags; the last value counts.
    pub tags: Vec<(String, String)>,
    /// Tables used.
    pub datasets: Vec<DatasetUsed>,
    /// Files made; the last one of a name counts.
    pub artifacts: Vec<Artifact>,
    /// Lines of log.
    pub logs: Vec<LogLine>,
    /// Environment; the last value counts.
    pub environment: Vec<(String, String)>,
    /// What training found out; the weaker of two counts.
    pub reproducibility: Option<Reproducibility>,
}

/// A run that waits or is at work.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveRun {
    /// The run.
    pub id: RunId,
    /// Queued or running.
    pub status: RunStatus,
    /// The current attempt.
    pub attempt: u32,
    /// When the run was created.
    pub created_at_millis: i64,
    /// When the current attempt was queued.
    pub queued_at_millis: i64,
    /// Who runs it; `None` while it is queued.
    pub owner: Option<Owner>,
    /// The last sign of life; `None` while it is queued.
    pub heartbeat_at_millis: Option<i64>,
    /// Why somebody asked for it to stop.
    pub cancel_reason: Option<String>,
}

/// A step of a run with what it was set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSettings {
    /// The run.
    pub run: RunId,
    /// The workflow node.
    pub node: String,
    /// The node's kind.
    pub kind: String,
    /// Its parameters, `node.param`, sorted by name.
    pub params: Vec<(String, String)>,
}

/// A bucket of a decimated series with its place in time.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedBucket {
    /// The bucket.
    pub bucket: SeriesBucket,
    /// When its first and its last point were recorded, milliseconds since the Unix epoch.
    pub times: [i64; 2],
}

/// What a list of runs is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RunSort {
    /// When they were created.
    #[default]
    Created,
    /// How long the last attempt took; runs that have not ended come last.
    Duration,
    /// The latest value of a metric; non-finite values come after all numbers, runs without it last.
    Metric {
        /// Its key.
        key: String,
        /// Its split.
        split: Split,
    },
}

/// Which runs, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunQuery {
    /// Only runs in these states; all where empty.
    pub status: Vec<RunStatus>,
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// Only runs whose workflow name, id, tag names or tag values hold this text; ASCII letters match in both cases.
    pub text: Option<String>,
    /// Runs that were deleted instead of those that were not.
    pub deleted: bool,
    /// The order; ties by id.
    pub sort: RunSort,
    /// Greatest first.
    pub descending: bool,
    /// Which part.
    pub page: PageRequest,
}

impl Default for RunQuery {
    /// The first fifty runs, newest first.
    fn default() -> Self {
        Self {
            status: vec![],
            workflow: None,
            text: None,
            deleted: false,
            sort: RunSort::Created,
            descending: true,
            page: PageRequest::first(50),
        }
    }
}

/// A version to be registered. Its package must be complete on disk before.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVersion {
    /// The run that made it; `None` for an imported package.
    pub run_id: Option<RunId>,
    /// SHA-256 of the package file, 64 lower-case hex digits.
    pub sha256: String,
    /// Size of the package file.
    pub n_bytes: u64,
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// Metrics at the end of its run.
    pub metrics: Vec<FinalMetric>,
    /// The public key that signed it, 64 lower-case hex digits.
    pub signed_by: String,
    /// When it is registered, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
}

/// What an alias must point to for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Anything,
    /// The alias must not exist.
    Nothing,
    /// Exactly this version.
    Version(u32),
}

/// A key to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// The public part.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret part. The secret itself never comes here.
    pub secret_sha256: [u8; 32],
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
    /// When it ends by itself.
    pub expires_at_millis: Option<i64>,
}

/// A key with what is needed to check it.
#[derive(Clone, PartialEq)]
pub struct StoredApiKey {
    /// The key without its secret.
    pub info: ApiKeyInfo,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
}

/// The secret that a key had before its last rotation.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The key.
    pub key_id: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
    /// Until when it is valid, milliseconds since the Unix epoch.
    pub valid_until_millis: i64,
}

/// What a key has asked for on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key_id: String,
    /// Requests.
    pub n_requests: u64,
    /// Rows.
    pub n_rows: u64,
}

// By hand, so that a digest of a secret does not end up in a log.
impl fmt::Debug for PreviousSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreviousSecret").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredApiKey").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A public key whose packages are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSigner {
    /// The Ed25519 public key, 64 lower-case hex digits.
    pub public_key: String,
    /// What people call it.
    pub name: String,
    /// Since when, milliseconds since the Unix epoch.
    pub added_at_millis: i64,
}

/// A line for the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAudit {
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who: the operating-system user or a key's id.
    pub actor: String,
    /// What was done, for example `model.alias`.
    pub action: String,
    /// To which thing.
    pub subject: String,
    /// Details, never a secret.
    pub detail: serde_json::Value,
}

/// How a rollout ends.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutEnd {
    /// As what; not `Running`. `Promoted` moves the alias `production` to the candidate in the same transaction.
    pub phase: RolloutPhase,
    /// Why, for people.
    pub reason: String,
    /// Who ends it: the operating-system user, a key's id, or the guard.
    pub actor: String,
    /// What was counted; `None` keeps what was noted last.
    pub figures: Option<RolloutFigures>,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
}

/// An alert to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// The model.
    pub model: String,
    /// Its version.
    pub model_version: u32,
    /// What it is about.
    pub kind: AlertKind,
    /// The column; empty where it is about the model as a whole.
    pub column: String,
    /// One sentence for people.
    pub message: String,
    /// The report that raises it.
    pub report_id: u64,
    /// When, milliseconds since the Unix epoch.
    pub raised_at_millis: i64,
}

/// Which alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertQuery {
    /// Only those of this model; none where there is no such model.
    pub model: Option<String>,
    /// Only those that were not resolved.
    pub open: bool,
    /// Which part.
    pub page: PageRequest,
}

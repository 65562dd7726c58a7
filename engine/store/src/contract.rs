//! The contract: what every store promises, and what each operation refuses.

use std::ops::RangeInclusive;

use athanor_protocol::{
    Failure,
    metric::{MetricPoint, Split},
    monitor::{Alert, MonitorConfig, MonitorReport},
    names::{ModelRef, RunId},
    registry::{ApiKeyInfo, AuditEntry, KeyLimits, ModelSummary, ModelVersion},
    rollout::{Rollout, RolloutFigures, RolloutSpec},
    run::{Artifact, NewRun, Owner, RunDetail, RunStatus, RunSummary, SeriesBucket},
};

use crate::{
    error::Result,
    types::{
        ActiveRun, AlertQuery, Batch, Expected, KeyUsage, LogRecord, NewAlert, NewApiKey, NewAudit, NewVersion, Page,
        PageRequest, PreviousSecret, Recorded, RolloutEnd, RunQuery, StepSettings, StoredApiKey, TimedBucket,
        TrustedSigner,
    },
};

/// The memory of a workspace.
///
/// # Contract
/// - **Threads and processes.** Every operation may be called from any thread, and many stores, in one process or in
///   several, may be open on one workspace. Writes wait for each other; reads wait for nobody.
/// - **All or nothing.** Each operation is one transaction. An error means that nothing was changed. What an operation
///   has acknowledged by returning `Ok` is still there after the process is killed at any later moment; what the
///   registry, the keys and the audit log have acknowledged is still there after the power fails.
/// - **Snapshots.** What is returned is a copy of one moment and never changes afterwards.
/// - **Order.** Every list has a stated order with no ties left, and is paged where it can grow without limit. A page
///   token belongs to its list and order; one from elsewhere is refused.
/// - **Time and ids** come from the caller. A clock that goes backwards does no harm: a run never ends before it starts,
///   a heartbeat never moves back.
/// - **States.** `queued → running → finished | failed | cancelled`; a queued run may also fail or be cancelled without
///   ever running; a failed or cancelled run may be queued again with the next attempt. Nothing else. A run that has
///   ended takes tags, notes, files that are added to it, deletion and restoring, and nothing else.
/// - **Attempts.** What a worker says counts only while its attempt is the current one and running.
/// - **Names are data.** No path is ever built from one. Names of models and aliases follow the protocol's rules; other
///   texts may hold anything but control characters.
///
/// # Metric points
/// A series is a key and a split of a run. It has one point for each step: the point recorded last replaces an earlier
/// one of the same step. When a later attempt first speaks of a series, at step *s*, points of earlier attempts at *s*
/// and after it are dropped, so that a resumed run has the history of an unbroken one (not so for
/// [`Split::System`], whose samples were really taken). The *latest* value of a series is the point with the greatest
/// step of the newest attempt that spoke of it; among points of one step, the one recorded last. Non-finite values are
/// kept as what they are.
///
/// # Errors
/// Every operation may fail with [`StoreError::Busy`](crate::StoreError::Busy), `Disk`, `DiskFull`, `Corrupt`,
/// `ReadOnly` or `Sql`; each one's own errors are named with it.
pub trait Store: crate::Governance + Send + Sync {
    // --- Runs: life ---

    /// Writes down a new run, queued, at attempt 1.
    ///
    /// # Errors
    /// `AlreadyExists` for a known id; `Name`, `Invalid` or `TooLarge` for what cannot be kept.
    fn create_run(&self, run: &NewRun) -> Result<()>;

    /// A queued run begins its current attempt under this owner.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it is not queued or the attempt is not the current one.
    fn start_attempt(&self, run: &RunId, attempt: u32, owner: &Owner, at_millis: i64) -> Result<()>;

    /// Starts the run that has been queued for longest (ties by id) under this owner; `None` where none waits. Among all
    /// callers in all processes exactly one gets it.
    ///
    /// # Errors
    /// `Invalid` for an owner that cannot be kept.
    fn claim(&self, owner: &Owner, at_millis: i64) -> Result<Option<(RunId, u32)>>;

    /// A sign of life of a running attempt.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the attempt is not the current one or not running.
    fn heartbeat(&self, run: &RunId, attempt: u32, at_millis: i64) -> Result<()>;

    /// Writes a batch in one transaction, once: the same `(run, attempt, seq)` again changes nothing and reads nothing
    /// but one row. Sequence numbers may come in any order.
    ///
    /// # Errors
    /// `NotFound` for the run or a step's node; `Conflict` if the attempt has not started or a parameter has another
    /// value already; `Name`, `Invalid` or `TooLarge` for what cannot be kept.
    fn record(&self, run: &RunId, attempt: u32, seq: u64, batch: &Batch) -> Result<Recorded>;

    /// A run ends. A queued run may end as failed or cancelled. Steps still running become failed where the run failed,
    /// and pending where it was cancelled. The same call again (same attempt, status and time) is no error.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a status that is no end; `Conflict` if the attempt is not the current one or the run has
    /// ended already.
    fn finish(
        &self,
        run: &RunId,
        attempt: u32,
        status: RunStatus,
        failure: Option<&Failure>,
        resumable: bool,
        at_millis: i64,
    ) -> Result<()>;

    /// Asks a run to stop. A queued one is cancelled at once, a running one finds the reason in
    /// [`cancel_reason`](Store::cancel_reason); the first reason stays.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it has ended; `Name` for a reason that cannot be kept.
    fn request_cancel(&self, run: &RunId, reason: &str, at_millis: i64) -> Result<()>;

    /// Why somebody asked the current attempt to stop; `None` where nobody did.
    ///
    /// # Errors
    /// `NotFound`.
    fn cancel_reason(&self, run: &RunId) -> Result<Option<String>>;

    /// Queues a failed or cancelled run again and returns the number of the new attempt. Steps that failed are pending
    /// again. Whether there is something to go on from is the caller's to decide.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it has not failed and was not cancelled, or is deleted.
    fn resume(&self, run: &RunId, at_millis: i64) -> Result<u32>;

    /// All queued and running runs, sorted by id: what a start looks through for work that was left behind.
    ///
    /// # Errors
    /// None of its own.
    fn running(&self) -> Result<Vec<ActiveRun>>;

    // --- Runs: reading ---

    /// Everything about a run besides its metric history and log; also of a deleted one. Lists are sorted by name, steps
    /// by their place in the workflow.
    ///
    /// # Errors
    /// `NotFound`.
    fn run(&self, run: &RunId) -> Result<RunDetail>;

    /// Runs, filtered, sorted, paged. Each shows at most [`limits::LATEST_IN_LIST`](crate::limits::LATEST_IN_LIST)
    /// metrics.
    ///
    /// # Errors
    /// `Invalid` for a page size or token that is not allowed.
    fn list_runs(&self, query: &RunQuery) -> Result<Page<RunSummary>>;

    /// One run as a list shows it; also a deleted one.
    ///
    /// # Errors
    /// `NotFound`.
    fn summary(&self, run: &RunId) -> Result<RunSummary>;

    /// The steps of these runs whose kind begins so, with their parameters, sorted by run and place in the workflow;
    /// values are cut to [`limits::SHOWN_VALUE_CHARS`](crate::limits::SHOWN_VALUE_CHARS). Unknown runs have none.
    ///
    /// # Errors
    /// `TooLarge` for more than [`limits::PAGE_SIZE`](crate::limits::PAGE_SIZE) runs.
    fn step_settings(&self, runs: &[RunId], kind: &str) -> Result<Vec<StepSettings>>;

    /// Models and versions that were registered from a run, sorted by name and version; none for an unknown run.
    ///
    /// # Errors
    /// None of its own.
    fn versions_of(&self, run: &RunId) -> Result<Vec<(String, u32)>>;

    /// The run whose id begins with this text.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` if there is more than one; `Invalid` if no id can begin so.
    fn resolve_run(&self, prefix: &str) -> Result<RunId>;

    /// The latest point of each series, sorted by split, then key.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a page size or token that is not allowed.
    fn metric_keys(&self, run: &RunId, page: &PageRequest) -> Result<Page<MetricPoint>>;

    /// The latest points of the series whose `split/key` holds this text (ASCII letters match in both cases), sorted by
    /// split, then key, after leaving out `offset`; and how many there are in all.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a page size that is not allowed; `Name` for a text that cannot be looked for.
    fn find_metrics(&self, run: &RunId, text: &str, offset: u32, limit: u32) -> Result<(Vec<MetricPoint>, u64)>;

    /// The points of a series, sorted by step; none for a series that is not there.
    ///
    /// # Errors
    /// `NotFound` for the run; `Invalid` for a page size or token that is not allowed.
    fn points(&self, run: &RunId, key: &str, split: Split, page: &PageRequest) -> Result<Page<MetricPoint>>;

    /// A series for drawing: the range of steps (all where `None`) in `n_buckets` equal parts, those without points left
    /// out. A bucket with non-finite points says so: nobody may draw a line through it as if they were not there.
    ///
    /// # Errors
    /// `NotFound` for the run; `Invalid` if `n_buckets` is 0 or over [`limits::BUCKETS`](crate::limits::BUCKETS).
    fn series(
        &self,
        run: &RunId,
        key: &str,
        split: Split,
        steps: Option<RangeInclusive<u64>>,
        n_buckets: u32,
    ) -> Result<Vec<SeriesBucket>>;

    /// [`series`](Store::series) with the times of each bucket's first and last point.
    ///
    /// # Errors
    /// As `series`.
    fn timed_series(
        &self,
        run: &RunId,
        key: &str,
        split: Split,
        steps: Option<RangeInclusive<u64>>,
        n_buckets: u32,
    ) -> Result<Vec<TimedBucket>>;

    /// At most `limit` lines of log with numbers greater than `after`, in order. Only the last
    /// [`limits::LOG_LINES`](crate::limits::LOG_LINES) are kept.
    ///
    /// # Errors
    /// `NotFound`.
    fn logs(&self, run: &RunId, after: u64, limit: u32) -> Result<Vec<LogRecord>>;

    // --- Runs: marks ---

    /// Sets a tag, in any state.
    ///
    /// # Errors
    /// `NotFound`; `Name` for what cannot be kept.
    fn set_tag(&self, run: &RunId, key: &str, value: &str) -> Result<()>;

    /// Removes a tag; says whether it was there.
    ///
    /// # Errors
    /// `NotFound` for the run.
    fn remove_tag(&self, run: &RunId, key: &str) -> Result<bool>;

    /// Sets the note, in any state; the empty text removes it.
    ///
    /// # Errors
    /// `NotFound`; `Name` for what cannot be kept.
    fn set_note(&self, run: &RunId, note: &str) -> Result<()>;

    /// Adds files, in any state; the last one of a name counts. For those of another program's run that are found only
    /// after it was imported.
    ///
    /// # Errors
    /// `NotFound`; `Name`, `Invalid` or `TooLarge` for what cannot be kept.
    fn add_artifacts(&self, run: &RunId, artifacts: &[Artifact]) -> Result<()>;

    /// Marks a run as deleted: lists leave it out, everything stays. Marking it again is no error.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it has not ended.
    fn delete_run(&self, run: &RunId, at_millis: i64) -> Result<()>;

    /// Takes the mark away.
    ///
    /// # Errors
    /// `NotFound`.
    fn restore_run(&self, run: &RunId) -> Result<()>;

    // --- Registry ---

    /// Registers a version under the next number of its model, which is made if it is not there. The same package again
    /// under the same name is the same version: that one is returned.
    ///
    /// # Errors
    /// `Name` for the model's name; `Invalid` for malformed digests.
    fn register_version(&self, model: &str, version: &NewVersion) -> Result<ModelVersion>;

    /// Models, sorted by name.
    ///
    /// # Errors
    /// `Invalid` for a page size or token that is not allowed.
    fn models(&self, page: &PageRequest) -> Result<Page<ModelSummary>>;

    /// The versions of a model, newest first.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a page size or token that is not allowed.
    fn versions(&self, model: &str, page: &PageRequest) -> Result<Page<ModelVersion>>;

    /// The version that a reference means now.
    ///
    /// # Errors
    /// `NotFound` for the model, version or alias.
    fn resolve(&self, model: &ModelRef) -> Result<ModelVersion>;

    /// Moves an alias and returns the version that it pointed to before, with which the move can be undone. With an
    /// expectation that is not met nothing is moved, so that of two movers one learns of the other.
    ///
    /// # Errors
    /// `Name` for the alias; `NotFound` for model or version; `Conflict` if it points to something else than expected.
    fn set_alias(
        &self,
        model: &str,
        alias: &str,
        version: u32,
        expected: Expected,
        at_millis: i64,
    ) -> Result<Option<u32>>;

    /// Removes an alias and returns the version that it pointed to; `None` where there was none.
    ///
    /// # Errors
    /// `NotFound` for the model; `Conflict` if it points to something else than expected.
    fn remove_alias(&self, model: &str, alias: &str, expected: Expected) -> Result<Option<u32>>;

    /// The version of each model that has this alias, sorted by model: what an endpoint loads.
    ///
    /// # Errors
    /// `Name` for the alias.
    fn aliased(&self, alias: &str) -> Result<Vec<ModelVersion>>;

    /// Every alias of every model with the version that it points to, sorted by model, version and alias.
    ///
    /// # Errors
    /// None of its own.
    fn all_aliased(&self) -> Result<Vec<(String, ModelVersion)>>;

    /// Grows whenever an alias, a key or a trusted signer changes, in whatever process, and
    /// when a rollout begins, moves on or ends; cheap enough to ask for on every request. The last use of a key and the
    /// figures of a rollout do not count.
    ///
    /// # Errors
    /// None of its own.
    fn change_counter(&self) -> Result<u64>;

    // --- Rollouts ---

    /// Begins a rollout from the version that `production` points to, at its first step. At most one of a model runs.
    ///
    /// # Errors
    /// `NotFound` for the model or the candidate; `Conflict` if one runs already, or `production` points to nothing or to
    /// the candidate; `Invalid` for a rollout that cannot be done.
    fn start_rollout(&self, model: &str, spec: &RolloutSpec, at_millis: i64) -> Result<Rollout>;

    /// Rollouts that run, sorted by model.
    ///
    /// # Errors
    /// None of its own.
    fn running_rollouts(&self) -> Result<Vec<Rollout>>;

    /// A model's newest rollout, running or ended; `None` where there was never one.
    ///
    /// # Errors
    /// `NotFound` for the model.
    fn newest_rollout(&self, model: &str) -> Result<Option<Rollout>>;

    /// Moves a running rollout from one step to another. Of two who move it, one learns of the other.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it has ended, is not at `from`, or has no step `to`.
    fn step_rollout(&self, id: u64, from: u32, to: u32, at_millis: i64) -> Result<Rollout>;

    /// Notes what was counted; what has ended stays as it is.
    ///
    /// # Errors
    /// None of its own.
    fn note_rollout(&self, id: u64, figures: &RolloutFigures) -> Result<()>;

    /// Ends a running rollout; a promotion moves the alias in the same transaction.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it has ended already, or for a promotion if the alias no longer points to the stable
    /// version; `Invalid` for a phase that is no end; `Name` for a reason that cannot be kept.
    fn end_rollout(&self, id: u64, end: &RolloutEnd) -> Result<Rollout>;

    /// Takes a promotion back: the alias moves to the stable version in the same transaction.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it was not promoted or the alias points elsewhere by now; `Name` for a reason that cannot
    /// be kept.
    fn take_back_rollout(&self, id: u64, act: &crate::Act) -> Result<Rollout>;

    // --- Keys and signers ---

    /// Writes down a new key.
    ///
    /// # Errors
    /// `AlreadyExists`; `Name` or `Invalid` for what cannot be kept.
    fn create_key(&self, key: &NewApiKey) -> Result<ApiKeyInfo>;

    /// Keys, sorted by creation, then id; revoked ones too.
    ///
    /// # Errors
    /// `Invalid` for a page size or token that is not allowed.
    fn keys(&self, page: &PageRequest) -> Result<Page<ApiKeyInfo>>;

    /// A key by its public part, whether it is valid or not; `None` where there is none.
    ///
    /// # Errors
    /// None of its own.
    fn find_key(&self, id: &str) -> Result<Option<StoredApiKey>>;

    /// Revokes a key for good; the first time stays.
    ///
    /// # Errors
    /// `NotFound`.
    fn revoke_key(&self, id: &str, at_millis: i64) -> Result<ApiKeyInfo>;

    /// Sets when a key ends by itself; `None` is never. One that has ended is valid again where the time is to come.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a key that was revoked.
    fn set_key_expiry(&self, id: &str, expires_at_millis: Option<i64>) -> Result<ApiKeyInfo>;

    /// Notes that a key was used, to the minute: within one minute only the first call writes. An unknown key is no error.
    ///
    /// # Errors
    /// None of its own.
    fn touch_key(&self, id: &str, at_millis: i64) -> Result<()>;

    /// Limits what a key may ask for; limits without any end what was limited.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for what is out of range.
    fn set_key_limits(&self, id: &str, limits: &KeyLimits) -> Result<()>;

    /// The limits of all keys that have any, sorted by key.
    ///
    /// # Errors
    /// None of its own.
    fn key_limits(&self) -> Result<Vec<(String, KeyLimits)>>;

    /// Gives a key another secret; the one that it had stays valid until a moment, the one before that ends now.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a key that was revoked or has expired.
    fn rotate_key(
        &self,
        id: &str,
        secret_sha256: &[u8; 32],
        at_millis: i64,
        old_valid_until_millis: i64,
    ) -> Result<ApiKeyInfo>;

    /// The secrets that keys had before and that are valid after this moment, sorted by key.
    ///
    /// # Errors
    /// None of its own.
    fn previous_secrets(&self, at_millis: i64) -> Result<Vec<PreviousSecret>>;

    /// What keys have asked for on a day (days since the Unix epoch, by UTC), sorted by key.
    ///
    /// # Errors
    /// None of its own.
    fn key_usage(&self, day: u32) -> Result<Vec<KeyUsage>>;

    /// Adds to what keys have asked for on a day, all or nothing. What is older than 400 days goes.
    ///
    /// # Errors
    /// None of its own.
    fn add_key_usage(&self, day: u32, usage: &[KeyUsage]) -> Result<()>;

    /// Accepts packages signed by this public key (64 lower-case hex digits). A known key gets the new name.
    ///
    /// # Errors
    /// `Invalid` for what is no key; `Name` for the name.
    fn trust_signer(&self, public_key: &str, name: &str, at_millis: i64) -> Result<()>;

    /// Accepts them no longer; says whether it did.
    ///
    /// # Errors
    /// None of its own.
    fn distrust_signer(&self, public_key: &str) -> Result<bool>;

    /// All trusted signers, sorted by key.
    ///
    /// # Errors
    /// None of its own.
    fn trusted_signers(&self) -> Result<Vec<TrustedSigner>>;

    // --- Audit ---

    /// Appends a line and returns its number. Lines can never be changed or removed.
    ///
    /// # Errors
    /// `Name` or `TooLarge` for what cannot be kept.
    fn append_audit(&self, entry: &NewAudit) -> Result<u64>;

    /// The log, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page size or token that is not allowed.
    fn audit(&self, page: &PageRequest) -> Result<Page<AuditEntry>>;

    // --- Monitoring ---

    /// Sets how a model is watched.
    ///
    /// # Errors
    /// `NotFound` for the model; `Invalid` for a setting that is out of range.
    fn set_monitor_config(&self, model: &str, config: &MonitorConfig, at_millis: i64) -> Result<()>;

    /// The models for which it was set, sorted by name.
    ///
    /// # Errors
    /// None of its own.
    fn monitor_configs(&self) -> Result<Vec<(String, MonitorConfig)>>;

    /// How a model is watched; `None` where nobody has set it.
    ///
    /// # Errors
    /// `NotFound` for the model.
    fn monitor_config(&self, model: &str) -> Result<Option<MonitorConfig>>;

    /// Keeps a report and returns its number; the one in the document does not count. Of a version the last
    /// [`limits::REPORTS_PER_VERSION`](crate::limits::REPORTS_PER_VERSION) are kept.
    ///
    /// # Errors
    /// `NotFound` for the model or its version; `TooLarge`.
    fn add_monitor_report(&self, report: &MonitorReport) -> Result<u64>;

    /// Reports of a model, or of one of its versions, newest first.
    ///
    /// # Errors
    /// `NotFound` for the model; `Invalid` for a limit that is no page size.
    fn monitor_reports(&self, model: &str, version: Option<u32>, limit: u32) -> Result<Vec<MonitorReport>>;

    /// Raises an alert. Where one of the same version, kind and column is open already, nothing is written and that one
    /// comes back, with `false`.
    ///
    /// # Errors
    /// `NotFound` for the model or its version; `Name` for texts that cannot be kept.
    fn raise_alert(&self, alert: &NewAlert) -> Result<(Alert, bool)>;

    /// An alert is over; the first time stays.
    ///
    /// # Errors
    /// `NotFound`.
    fn resolve_alert(&self, id: u64, at_millis: i64) -> Result<Alert>;

    /// Somebody has seen an alert; the first one stays.
    ///
    /// # Errors
    /// `NotFound`; `Name` for who.
    fn acknowledge_alert(&self, id: u64, by: &str, at_millis: i64) -> Result<Alert>;

    /// An alert by its number.
    ///
    /// # Errors
    /// `NotFound`.
    fn alert(&self, id: u64) -> Result<Alert>;

    /// Alerts, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page size or token that is not allowed.
    fn alerts(&self, query: &AlertQuery) -> Result<Page<Alert>>;
}

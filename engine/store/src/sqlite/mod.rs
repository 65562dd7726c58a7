//! The store on SQLite: one connection that writes, a few that read.

mod aliases;
mod cards;
mod check;
mod convert;
mod govern;
mod governance;
mod key_limits;
mod keys;
mod list;
mod metrics;
mod monitor;
mod open;
mod page;
mod read;
mod record;
mod registry;
mod rollouts;
mod runs;
#[cfg(test)]
mod tests;

pub(crate) use open::{APPLICATION_ID, BUSY, beside, immutable_uri, look_at_header};

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use athanor_protocol::{
    Failure,
    metric::{MetricPoint, Split},
    monitor::{Alert, MonitorConfig, MonitorReport},
    names::{ModelRef, RunId},
    registry::{ApiKeyInfo, AuditEntry, KeyLimits, ModelSummary, ModelVersion},
    rollout::{Rollout, RolloutFigures, RolloutPhase, RolloutSpec},
    run::{Artifact, NewRun, Owner, RunDetail, RunStatus, RunSummary, SeriesBucket},
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::{
    contract::Store,
    error::{Result, StoreError},
    types::{
        ActiveRun, AlertQuery, Batch, Expected, KeyUsage, LogRecord, NewAlert, NewApiKey, NewAudit, NewVersion, Page,
        PageRequest, PreviousSecret, Recorded, RolloutEnd, RunQuery, StepSettings, StoredApiKey, TimedBucket,
        TrustedSigner,
    },
};

/// Most reading connections that are kept open between calls.
const MAX_IDLE_READERS: usize = 8;

/// Why something inside a transaction went wrong; the name of the file is added at the border.
#[derive(Debug)]
enum Fault {
    /// SQLite said so.
    Sql(rusqlite::Error),
    /// We said so.
    Store(StoreError),
    /// A stored value is not one that this program writes.
    Stored(&'static str),
}

impl From<rusqlite::Error> for Fault {
    fn from(err: rusqlite::Error) -> Self {
        Self::Sql(err)
    }
}

impl From<athanor_protocol::names::NameError> for Fault {
    fn from(err: athanor_protocol::names::NameError) -> Self {
        Self::Store(err.into())
    }
}

impl From<StoreError> for Fault {
    fn from(err: StoreError) -> Self {
        Self::Store(err)
    }
}

type Inner<T> = std::result::Result<T, Fault>;

/// How much an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// The end of the process. What a run reports: a thousand times a minute.
    Process,
    /// Also the loss of power. What people decided: registry, keys, audit.
    Power,
}

/// A store in one SQLite file (write-ahead log), or in memory.
///
/// The file has the folder's protection and, where it is made by us on Unix, is readable by its owner alone.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// `None` in memory, where there is nothing to open a second time, and where nothing can be written.
    readers: Option<Mutex<Vec<Connection>>>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a database, makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for what is no database or a damaged one (nothing is deleted), [`StoreError::Newer`] and
    /// [`StoreError::Foreign`] for databases of other programs, [`StoreError::ReadOnly`], [`StoreError::DiskFull`],
    /// [`StoreError::CannotOpen`], for example where the folder does not exist.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|err| StoreError::CannotOpen {
            path: path.to_owned(),
            code: athanor_protocol::Code::from_io(&err),
            reason: err.to_string(),
        })?;
        let writer = open::open_file(&path)?;
        Ok(Self { path, writer: Mutex::new(writer), readers: Some(Mutex::new(vec![])) })
    }

    /// Opens a database that cannot or shall not be written, for example on a read-only disk. Nothing beside it is made
    /// or changed; what lies in a log beside it, because the last program that wrote was killed, is not seen. Everything
    /// that would write fails with [`StoreError::ReadOnly`].
    ///
    /// # Errors
    /// As [`open`](Self::open); and [`StoreError::ReadOnly`] for one of an older version, which would have to be
    /// brought up to date.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|err| StoreError::CannotOpen {
            path: path.to_owned(),
            code: athanor_protocol::Code::from_io(&err),
            reason: err.to_string(),
        })?;
        let only = open::open_immutable(&path)?;
        Ok(Self { path, writer: Mutex::new(only), readers: None })
    }

    /// A store that ends with the value.
    ///
    /// # Errors
    /// Only if memory runs out.
    pub fn open_in_memory() -> Result<Self> {
        let path = PathBuf::from(":memory:");
        let writer = open::open_memory(&path)?;
        Ok(Self { path, writer: Mutex::new(writer), readers: None })
    }

    /// The file, absolute; `:memory:` for a store in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file and says what is wrong with it; an empty list means nothing. Takes about a second for each
    /// gigabyte.
    ///
    /// # Errors
    /// If it cannot be read at all.
    pub fn findings(&self) -> Result<Vec<String>> {
        self.read(open::findings)
    }

    fn sort_out(&self, fault: Fault) -> StoreError {
        match fault {
            Fault::Store(err) => err,
            Fault::Sql(err) => StoreError::from_sql(&self.path, err),
            Fault::Stored(what) => StoreError::Corrupt {
                path: self.path.clone(),
                reason: format!("a stored {what} is not one that this program writes"),
            },
        }
    }

    /// One writing transaction. It takes the write lock at its start, so that it never finds out half-way that another
    /// process wrote in between.
    fn write<T>(&self, durability: Durability, work: impl FnOnce(&Transaction<'_>) -> Inner<T>) -> Result<T> {
        let mut writer = lock(&self.writer);
        let durable = durability == Durability::Power;
        let result = (|| {
            if durable {
                writer.pragma_update(None, "synchronous", "FULL")?;
            }
            let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        })();
        if durable {
            // Should it fail, later writes are only safer than they need to be.
            let _ = writer.pragma_update(None, "synchronous", "NORMAL");
        }
        result.map_err(|fault| self.sort_out(fault))
    }

    /// One reading transaction: all statements see the same moment.
    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Inner<T>) -> Result<T> {
        let run = |connection: &mut Connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let value = work(&tx)?;
            tx.finish()?;
            Ok(value)
        };
        let result = match &self.readers {
            None => run(&mut lock(&self.writer)),
            Some(readers) => {
                let idle = lock(readers).pop();
                let mut reader = match idle {
                    Some(reader) => reader,
                    None => open::open_reader(&self.path)?,
                };
                let result = run(&mut reader);
                let mut readers = lock(readers);
                if readers.len() < MAX_IDLE_READERS && result.is_ok() {
                    readers.push(reader);
                }
                result
            }
        };
        result.map_err(|fault| self.sort_out(fault))
    }
}

/// A panic elsewhere leaves no half-done transaction behind (it is rolled back while unwinding), so a poisoned lock
/// guards nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who acts where the caller does not say: such an act has no line in the audit log, but its place in the history.
fn nobody(at_millis: i64) -> crate::governance::Act {
    crate::governance::Act { actor: String::new(), at_millis, reason: String::new() }
}

use Durability::{Power, Process};

impl Store for SqliteStore {
    fn create_run(&self, run: &NewRun) -> Result<()> {
        check::new_run(run)?;
        self.write(Process, |tx| runs::create(tx, run))
    }

    fn start_attempt(&self, run: &RunId, attempt: u32, owner: &Owner, at_millis: i64) -> Result<()> {
        check::owner(owner)?;
        self.write(Process, |tx| runs::start(tx, run, attempt, owner, at_millis))
    }

    fn claim(&self, owner: &Owner, at_millis: i64) -> Result<Option<(RunId, u32)>> {
        check::owner(owner)?;
        self.write(Process, |tx| runs::claim(tx, owner, at_millis))
    }

    fn heartbeat(&self, run: &RunId, attempt: u32, at_millis: i64) -> Result<()> {
        self.write(Process, |tx| runs::heartbeat(tx, run, attempt, at_millis))
    }

    fn record(&self, run: &RunId, attempt: u32, seq: u64, batch: &Batch) -> Result<Recorded> {
        check::batch(batch)?;
        let seq = check::whole("the batch number", seq)?;
        self.write(Process, |tx| record::record(tx, run, attempt, seq, batch))
    }

    fn finish(
        &self,
        run: &RunId,
        attempt: u32,
        status: RunStatus,
        failure: Option<&Failure>,
        resumable: bool,
        at_millis: i64,
    ) -> Result<()> {
        if !status.is_final() {
            return Err(StoreError::invalid("the status", format!("a run does not end {}", status.as_str())));
        }
        self.write(Process, |tx| runs::finish(tx, run, attempt, status, failure, resumable, at_millis))
    }

    fn request_cancel(&self, run: &RunId, reason: &str, at_millis: i64) -> Result<()> {
        check::text("reason", reason, 1024)?;
        self.write(Process, |tx| runs::request_cancel(tx, run, reason, at_millis))
    }

    fn cancel_reason(&self, run: &RunId) -> Result<Option<String>> {
        self.read(|tx| runs::cancel_reason(tx, run))
    }

    fn resume(&self, run: &RunId, at_millis: i64) -> Result<u32> {
        self.write(Process, |tx| runs::resume(tx, run, at_millis))
    }

    fn running(&self) -> Result<Vec<ActiveRun>> {
        self.read(read::running)
    }

    fn run(&self, run: &RunId) -> Result<RunDetail> {
        self.read(|tx| read::detail(tx, run))
    }

    fn list_runs(&self, query: &RunQuery) -> Result<Page<RunSummary>> {
        self.read(|tx| list::runs(tx, query))
    }

    fn summary(&self, run: &RunId) -> Result<RunSummary> {
        self.read(|tx| list::one(tx, run))
    }

    fn step_settings(&self, runs: &[RunId], kind: &str) -> Result<Vec<StepSettings>> {
        check::run_count(runs)?;
        self.read(|tx| list::step_settings(tx, runs, kind))
    }

    fn versions_of(&self, run: &RunId) -> Result<Vec<(String, u32)>> {
        self.read(|tx| registry::versions_of(tx, run))
    }

    fn resolve_run(&self, prefix: &str) -> Result<RunId> {
        self.read(|tx| read::resolve(tx, prefix))
    }

    fn metric_keys(&self, run: &RunId, page: &PageRequest) -> Result<Page<MetricPoint>> {
        self.read(|tx| metrics::keys(tx, run, page))
    }

    fn find_metrics(&self, run: &RunId, text: &str, offset: u32, limit: u32) -> Result<(Vec<MetricPoint>, u64)> {
        check::text("search text", text, 1024)?;
        let limit = check::page_size(&PageRequest::first(limit))?;
        self.read(|tx| metrics::find(tx, run, text, offset, limit))
    }

    fn points(&self, run: &RunId, key: &str, split: Split, page: &PageRequest) -> Result<Page<MetricPoint>> {
        self.read(|tx| metrics::points(tx, run, key, split, page))
    }

    fn series(
        &self,
        run: &RunId,
        key: &str,
        split: Split,
        steps: Option<RangeInclusive<u64>>,
        n_buckets: u32,
    ) -> Result<Vec<SeriesBucket>> {
        let timed = self.timed_series(run, key, split, steps, n_buckets)?;
        Ok(timed.into_iter().map(|timed| timed.bucket).collect())
    }

    fn timed_series(
        &self,
        run: &RunId,
        key: &str,
        split: Split,
        steps: Option<RangeInclusive<u64>>,
        n_buckets: u32,
    ) -> Result<Vec<TimedBucket>> {
        self.read(|tx| metrics::series(tx, run, key, split, steps, n_buckets))
    }

    fn logs(&self, run: &RunId, after: u64, limit: u32) -> Result<Vec<LogRecord>> {
        self.read(|tx| metrics::logs(tx, run, after, limit))
    }

    fn set_tag(&self, run: &RunId, key: &str, value: &str) -> Result<()> {
        check::tag(key, value)?;
        self.write(Process, |tx| runs::set_tag(tx, run, key, value))
    }

    fn remove_tag(&self, run: &RunId, key: &str) -> Result<bool> {
        self.write(Process, |tx| runs::remove_tag(tx, run, key))
    }

    fn set_note(&self, run: &RunId, note: &str) -> Result<()> {
        check::text("note", note, crate::types::limits::NOTE_BYTES)?;
        self.write(Process, |tx| runs::set_note(tx, run, note))
    }

    fn add_artifacts(&self, run: &RunId, artifacts: &[Artifact]) -> Result<()> {
        check::artifacts(artifacts)?;
        self.write(Process, |tx| record::add_artifacts(tx, run, artifacts))
    }

    fn delete_run(&self, run: &RunId, at_millis: i64) -> Result<()> {
        self.write(Process, |tx| runs::delete(tx, run, at_millis))
    }

    fn restore_run(&self, run: &RunId) -> Result<()> {
        self.write(Process, |tx| runs::restore(tx, run))
    }

    fn register_version(&self, model: &str, version: &NewVersion) -> Result<ModelVersion> {
        check::new_version(model, version)?;
        let act = nobody(version.created_at_millis);
        self.write(Power, |tx| Ok(governance::register(tx, model, version, &act)?.version))
    }

    fn models(&self, page: &PageRequest) -> Result<Page<ModelSummary>> {
        self.read(|tx| registry::models(tx, page))
    }

    fn versions(&self, model: &str, page: &PageRequest) -> Result<Page<ModelVersion>> {
        self.read(|tx| registry::versions(tx, model, page))
    }

    fn resolve(&self, model: &ModelRef) -> Result<ModelVersion> {
        self.read(|tx| registry::resolve(tx, model))
    }

    fn set_alias(
        &self,
        model: &str,
        alias: &str,
        version: u32,
        expected: Expected,
        at_millis: i64,
    ) -> Result<Option<u32>> {
        athanor_protocol::names::check_alias(alias)?;
        let act = nobody(at_millis);
        self.write(Power, |tx| Ok(aliases::move_alias(tx, model, alias, Some(version), expected, &act)?.from))
    }

    fn remove_alias(&self, model: &str, alias: &str, expected: Expected) -> Result<Option<u32>> {
        let act = nobody(0);
        self.write(Power, |tx| Ok(aliases::move_alias(tx, model, alias, None, expected, &act)?.from))
    }

    fn aliased(&self, alias: &str) -> Result<Vec<ModelVersion>> {
        athanor_protocol::names::check_alias(alias)?;
        self.read(|tx| registry::aliased(tx, alias))
    }

    fn all_aliased(&self) -> Result<Vec<(String, ModelVersion)>> {
        self.read(registry::all_aliased)
    }

    fn start_rollout(&self, model: &str, spec: &RolloutSpec, at_millis: i64) -> Result<Rollout> {
        spec.check().map_err(|failure| StoreError::invalid("the rollout", failure.message))?;
        self.write(Power, |tx| rollouts::start(tx, model, spec, at_millis))
    }

    fn running_rollouts(&self) -> Result<Vec<Rollout>> {
        self.read(rollouts::running)
    }

    fn newest_rollout(&self, model: &str) -> Result<Option<Rollout>> {
        self.read(|tx| rollouts::newest(tx, model))
    }

    fn step_rollout(&self, id: u64, from: u32, to: u32, at_millis: i64) -> Result<Rollout> {
        self.write(Power, |tx| rollouts::step(tx, id, from, to, at_millis))
    }

    fn note_rollout(&self, id: u64, figures: &RolloutFigures) -> Result<()> {
        self.write(Process, |tx| rollouts::note(tx, id, figures))
    }

    fn end_rollout(&self, id: u64, end: &RolloutEnd) -> Result<Rollout> {
        if end.phase == RolloutPhase::Running {
            return Err(StoreError::invalid("the phase", "a rollout does not end running"));
        }
        check::text("reason", &end.reason, 1024)?;
        self.write(Power, |tx| rollouts::end(tx, id, end))
    }

    fn take_back_rollout(&self, id: u64, act: &crate::Act) -> Result<Rollout> {
        check::text("reason", &act.reason, 1024)?;
        self.write(Power, |tx| rollouts::take_back(tx, id, act))
    }

    fn change_counter(&self) -> Result<u64> {
        self.read(keys::change_counter)
    }

    fn create_key(&self, key: &NewApiKey) -> Result<ApiKeyInfo> {
        check::new_key(key)?;
        self.write(Power, |tx| keys::create(tx, key))
    }

    fn keys(&self, page: &PageRequest) -> Result<Page<ApiKeyInfo>> {
        self.read(|tx| keys::list(tx, page))
    }

    fn find_key(&self, id: &str) -> Result<Option<StoredApiKey>> {
        self.read(|tx| keys::find(tx, id))
    }

    fn revoke_key(&self, id: &str, at_millis: i64) -> Result<ApiKeyInfo> {
        self.write(Power, |tx| keys::revoke(tx, id, at_millis))
    }

    fn set_key_expiry(&self, id: &str, expires_at_millis: Option<i64>) -> Result<ApiKeyInfo> {
        self.write(Power, |tx| key_limits::expire(tx, id, expires_at_millis))
    }

    fn touch_key(&self, id: &str, at_millis: i64) -> Result<()> {
        let minute = keys::minute(at_millis);
        // Asked with a read first: of the thousands of requests in a minute only one has to wait for the write lock.
        if !self.read(|tx| keys::is_untouched(tx, id, minute))? {
            return Ok(());
        }
        self.write(Process, |tx| keys::touch(tx, id, minute))
    }

    fn set_key_limits(&self, id: &str, limits: &KeyLimits) -> Result<()> {
        limits.check().map_err(|reason| StoreError::invalid("the key's limits", reason))?;
        self.write(Power, |tx| key_limits::set(tx, id, limits))
    }

    fn key_limits(&self) -> Result<Vec<(String, KeyLimits)>> {
        self.read(key_limits::all)
    }

    fn rotate_key(
        &self,
        id: &str,
        secret_sha256: &[u8; 32],
        at_millis: i64,
        old_valid_until_millis: i64,
    ) -> Result<ApiKeyInfo> {
        self.write(Power, |tx| key_limits::rotate(tx, id, secret_sha256, at_millis, old_valid_until_millis))
    }

    fn previous_secrets(&self, at_millis: i64) -> Result<Vec<PreviousSecret>> {
        self.read(|tx| key_limits::previous(tx, at_millis))
    }

    fn key_usage(&self, day: u32) -> Result<Vec<KeyUsage>> {
        self.read(|tx| key_limits::usage(tx, day))
    }

    fn add_key_usage(&self, day: u32, usage: &[KeyUsage]) -> Result<()> {
        self.write(Process, |tx| key_limits::add_usage(tx, day, usage))
    }

    fn trust_signer(&self, public_key: &str, name: &str, at_millis: i64) -> Result<()> {
        check::hex("the public key", public_key, 64)?;
        check::label("signer name", name)?;
        self.write(Power, |tx| keys::trust(tx, public_key, name, at_millis))
    }

    fn distrust_signer(&self, public_key: &str) -> Result<bool> {
        self.write(Power, |tx| keys::distrust(tx, public_key))
    }

    fn trusted_signers(&self) -> Result<Vec<TrustedSigner>> {
        self.read(keys::trusted)
    }

    fn append_audit(&self, entry: &NewAudit) -> Result<u64> {
        check::new_audit(entry)?;
        self.write(Power, |tx| keys::append_audit(tx, entry))
    }

    fn audit(&self, page: &PageRequest) -> Result<Page<AuditEntry>> {
        self.read(|tx| keys::audit(tx, page))
    }

    fn set_monitor_config(&self, model: &str, config: &MonitorConfig, at_millis: i64) -> Result<()> {
        check::monitor_config(config)?;
        self.write(Power, |tx| monitor::set_config(tx, model, config, at_millis))
    }

    fn monitor_configs(&self) -> Result<Vec<(String, MonitorConfig)>> {
        self.read(monitor::configs)
    }

    fn monitor_config(&self, model: &str) -> Result<Option<MonitorConfig>> {
        self.read(|tx| monitor::config(tx, model))
    }

    fn add_monitor_report(&self, report: &MonitorReport) -> Result<u64> {
        self.write(Process, |tx| monitor::add_report(tx, report))
    }

    fn monitor_reports(&self, model: &str, version: Option<u32>, limit: u32) -> Result<Vec<MonitorReport>> {
        let limit = check::page_size(&PageRequest::first(limit))?;
        self.read(|tx| monitor::reports(tx, model, version, limit))
    }

    fn raise_alert(&self, alert: &NewAlert) -> Result<(Alert, bool)> {
        check::new_alert(alert)?;
        self.write(Power, |tx| monitor::raise(tx, alert))
    }

    fn resolve_alert(&self, id: u64, at_millis: i64) -> Result<Alert> {
        self.write(Power, |tx| monitor::resolve(tx, id, at_millis))
    }

    fn acknowledge_alert(&self, id: u64, by: &str, at_millis: i64) -> Result<Alert> {
        check::label("actor", by)?;
        self.write(Power, |tx| monitor::acknowledge(tx, id, by, at_millis))
    }

    fn alert(&self, id: u64) -> Result<Alert> {
        self.read(|tx| monitor::find_alert(tx, id))
    }

    fn alerts(&self, query: &AlertQuery) -> Result<Page<Alert>> {
        self.read(|tx| monitor::alerts(tx, query))
    }
}

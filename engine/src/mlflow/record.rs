//! A run of MLflow becomes a run of the workspace, wherever it was read from.

use std::collections::{BTreeMap, HashMap, HashSet};

use athanor_protocol::{
    Code, Failure,
    metric::{MetricPoint, Split},
    names::{MAX_NAME_BYTES, RunId, check_text},
    run::{Artifact, NewRun, RunDetail, RunStatus},
};
use athanor_store::{Batch, StoreError, limits};

use super::{Imported, KIND, fits};
use crate::{
    error::{EngineError, Result},
    runs,
    workspace::Workspace,
};

/// Points that a run may have.
const MAX_POINTS: u64 = 5_000_000;
/// Different metrics that a run may have.
const MAX_METRICS: usize = 20_000;
/// Parameters that a run may have, and tags; a few tags are ours.
const MAX_TEXTS: usize = limits::BATCH_ENTRIES - 10;
/// Bytes of parameters and tags of a run.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// Metrics with names that cannot be kept that are told by name.
const MAX_TOLD: usize = 100;

/// What MLflow says of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described<'a> {
    /// The experiment's number, or its folder.
    pub experiment: &'a str,
    /// Its name.
    pub experiment_name: &'a str,
    /// The run's id.
    pub uuid: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its state: a word, or its number in MLflow's protocol.
    pub status: &'a str,
    /// When it began, milliseconds since the Unix epoch.
    pub started_at_millis: Option<i64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_at_millis: Option<i64>,
    /// Whether it was deleted.
    pub is_deleted: bool,
}

/// What the workspace knows of a run of MLflow.
pub(super) enum Place {
    /// Nothing.
    New(RunId),
    /// An import was broken off in it.
    Begun(Box<RunDetail>),
    /// All of it.
    Known(Box<RunDetail>),
}

/// The id that a run of MLflow has here: always the same, so that it is read once.
pub(super) fn run_id(experiment: &str, uuid: &str) -> Result<RunId> {
    let digest = blake3::hash(format!("mlflow\n{experiment}\n{uuid}").as_bytes()).to_hex();
    Ok(RunId::new(digest.as_str().chars().take(RunId::LEN).collect::<String>())?)
}

/// Looks whether a run was imported before. One that is whole is counted as known.
pub(super) fn place(workspace: &Workspace, experiment: &str, uuid: &str, found: &mut Imported) -> Result<Place> {
    let id = run_id(experiment, uuid)?;
    let detail = match workspace.store.run(&id) {
        Ok(detail) => Box::new(detail),
        Err(StoreError::NotFound { .. }) => return Ok(Place::New(id)),
        Err(err) => return Err(err.into()),
    };
    // An import ends every run as one that cannot go on, but for those that it could not read to their end, and those
    // in which its process died.
    if detail.summary.status == RunStatus::Failed && detail.summary.resumable {
        return Ok(Place::Begun(detail));
    }
    if !detail.summary.status.is_final() {
        // Somebody is at it, or could not even write down that it was given up.
        let why = "another import is at it, or one was broken off; import again later";
        found.left_out(uuid, "the run", why);
    }
    found.n_known += 1;
    Ok(Place::Known(detail))
}

/// Whether a run that is known has none of its files here: it may have been imported where they could not be found.
pub(super) fn is_without_files(detail: &RunDetail) -> bool {
    detail.summary.status.is_final() && !detail.artifacts.iter().any(|artifact| artifact.kind == KIND)
}

/// Adds files to a run that is known.
pub(super) fn add_files(workspace: &Workspace, run: &RunId, files: &[Artifact], found: &mut Imported) -> Result<()> {
    workspace.store.add_artifacts(run, files)?;
    found.n_files += files.len();
    Ok(())
}

/// Parameters and tags, those that can be kept.
#[derive(Default)]
pub(super) struct Texts {
    params: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    names: HashSet<(bool, String)>,
    n_bytes: usize,
    is_full: bool,
}

impl Texts {
    /// Takes a parameter, or says why not.
    pub(super) fn param(&mut self, uuid: &str, name: &str, value: Result<String, String>, found: &mut Imported) {
        self.take(true, uuid, name, value, found);
    }

    /// Takes a tag, or says why not.
    pub(super) fn tag(&mut self, uuid: &str, name: &str, value: Result<String, String>, found: &mut Imported) {
        self.take(false, uuid, name, value, found);
    }

    fn take(&mut self, is_param: bool, uuid: &str, name: &str, value: Result<String, String>, found: &mut Imported) {
        let (what, max_name, max_value, into) = if is_param {
            ("parameter", 2 * MAX_NAME_BYTES, limits::VALUE_BYTES, &mut self.params)
        } else {
            ("tag", MAX_NAME_BYTES, limits::TAG_BYTES, &mut self.tags)
        };
        let what = format!("{what} {name}");
        let value = match value {
            Ok(value) => value,
            Err(why) => return found.left_out(uuid, &what, &why),
        };
        if !fits(name, max_name) || check_text("value", &value, max_value).is_err() {
            return found.left_out(uuid, &what, "its name or value cannot be kept");
        }
        if into.len() >= MAX_TEXTS || self.n_bytes + value.len() > MAX_TEXT_BYTES {
            if !self.is_full {
                found.left_out(uuid, &what, "the run has too many parameters and tags: this one and further ones");
            }
            self.is_full = true;
            return;
        }
        if !self.names.insert((is_param, name.to_owned())) {
            return found.left_out(uuid, &what, "its name is there twice");
        }
        self.n_bytes += value.len();
        into.push((name.to_owned(), value));
    }
}

/// Begins an attempt. The run bears the time at which it began in MLflow, so somebody who looks for runs that nobody
/// started may have given it up since it was written down; then it is queued again.
fn start(workspace: &Workspace, id: &RunId, attempt: u32, started: i64) -> Result<u32> {
    let owner = runs::this_process();
    match workspace.store.start_attempt(id, attempt, &owner, started) {
        Err(StoreError::Conflict { .. }) => {
            let attempt = workspace.store.resume(id, workspace.clock.now_millis())?;
            workspace.store.start_attempt(id, attempt, &owner, started)?;
            Ok(attempt)
        }
        done => Ok(done.map(|()| attempt)?),
    }
}

/// A metric while its points come.
struct Series {
    split: Split,
    /// The step of the last point.
    last: u64,
    n_points: u64,
    /// Whether a step came that was not after the last one, so that a step may be there twice.
    may_repeat: bool,
    n_odd: u64,
}

/// A run that is being written. Its points come in any number and are never all in memory.
pub(super) struct Recording<'a> {
    workspace: &'a Workspace,
    id: RunId,
    attempt: u32,
    seq: u64,
    uuid: &'a str,
    described: Described<'a>,
    started: i64,
    waiting: Vec<MetricPoint>,
    metrics: HashMap<String, Series>,
    n_points: u64,
    n_over: u64,
    /// Metrics that cannot be kept, with the number of their points.
    odd: BTreeMap<String, u64>,
    n_odd: u64,
    n_files: usize,
}

impl<'a> Recording<'a> {
    /// Writes the run down with everything but its metrics. `None` where another process has just done so.
    pub(super) fn begin(
        workspace: &'a Workspace,
        place: Place,
        described: Described<'a>,
        mut texts: Texts,
        artifacts: Vec<Artifact>,
        found: &mut Imported,
    ) -> Result<Option<Self>> {
        let Described { experiment, uuid, name, .. } = described;
        let started = described.started_at_millis.unwrap_or(0).max(0);
        for (key, value) in [("mlflow.run_id", uuid), ("mlflow.runName", name), ("mlflow.experiment_id", experiment)] {
            if fits(value, limits::TAG_BYTES) && !texts.names.contains(&(false, key.to_owned())) {
                texts.tags.push((key.to_owned(), value.to_owned()));
            }
        }
        let (id, attempt) = match place {
            Place::New(id) => {
                let workflow =
                    if fits(described.experiment_name, MAX_NAME_BYTES) { described.experiment_name } else { "mlflow" };
                let created = workspace.store.create_run(&NewRun {
                    id: id.clone(),
                    workflow: workflow.to_owned(),
                    workflow_json: "{}".to_owned(),
                    seed: 0,
                    device: "unknown".to_owned(),
                    created_at_millis: started,
                    steps: vec![],
                    params: std::mem::take(&mut texts.params),
                    environment: vec![("imported from".to_owned(), "MLflow".to_owned())],
                });
                match created {
                    Ok(()) => {}
                    Err(StoreError::AlreadyExists { .. }) => {
                        found.n_known += 1;
                        return Ok(None);
                    }
                    Err(err) => return Err(err.into()),
                }
                (id, 1)
            }
            Place::Begun(detail) => {
                // What a parameter was set to is not rewritten.
                texts.params.retain(|(name, value)| match detail.params.iter().find(|(known, _)| known == name) {
                    Some((_, known)) if known != value => {
                        found.left_out(
                            uuid,
                            &format!("parameter {name}"),
                            "it had another value when it was read first",
                        );
                        false
                    }
                    _ => true,
                });
                let id = detail.summary.id;
                match workspace.store.resume(&id, workspace.clock.now_millis()) {
                    Ok(attempt) => (id, attempt),
                    Err(StoreError::Conflict { .. }) => {
                        found.n_known += 1;
                        return Ok(None);
                    }
                    Err(err) => return Err(err.into()),
                }
            }
            Place::Known(_) => return Ok(None),
        };
        let attempt = start(workspace, &id, attempt, started)?;
        let n_files = artifacts.len();
        let mut recording = Self {
            workspace,
            id,
            attempt,
            seq: 0,
            uuid,
            described,
            started,
            waiting: vec![],
            metrics: HashMap::new(),
            n_points: 0,
            n_over: 0,
            odd: BTreeMap::new(),
            n_odd: 0,
            n_files,
        };
        recording.record(Batch { params: texts.params, tags: texts.tags, artifacts, ..Batch::default() })?;
        Ok(Some(recording))
    }

    fn record(&mut self, batch: Batch) -> Result<()> {
        let Self { workspace, id, attempt, .. } = self;
        self.seq += 1;
        workspace.store.record(id, *attempt, self.seq, &batch)?;
        // A long import is alive, also for other machines that look.
        workspace.store.heartbeat(id, *attempt, workspace.clock.now_millis())?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let metrics = std::mem::take(&mut self.waiting);
        self.record(Batch { metrics, ..Batch::default() })
    }

    /// A metric whose name cannot be kept, or one too many.
    pub(super) fn odd_metric(&mut self, name: &str) {
        self.n_odd += 1;
        let name = super::shown(name);
        if self.odd.len() < MAX_TOLD || self.odd.contains_key(&name) {
            *self.odd.entry(name).or_default() += 1;
        }
    }

    /// Takes a point. What is `None` was no number; a step is from 0 on.
    pub(super) fn point(
        &mut self,
        key: &str,
        at_millis: Option<i64>,
        value: Option<f64>,
        step: Option<i64>,
    ) -> Result<()> {
        let n_metrics = self.metrics.len();
        let series = match self.metrics.get_mut(key) {
            Some(series) => series,
            None if n_metrics >= MAX_METRICS || !fits(key, MAX_NAME_BYTES) => {
                self.odd_metric(key);
                return Ok(());
            }
            None => {
                let split = split_of(key);
                let new = Series { split, last: 0, n_points: 0, may_repeat: false, n_odd: 0 };
                self.metrics.entry(key.to_owned()).or_insert(new)
            }
        };
        let step = step.and_then(|step| u64::try_from(step).ok());
        let (Some(at_millis), Some(value), Some(step)) = (at_millis, value, step) else {
            series.n_odd += 1;
            return Ok(());
        };
        if self.n_points >= MAX_POINTS {
            self.n_over += 1;
            return Ok(());
        }
        series.may_repeat |= series.n_points > 0 && step <= series.last;
        series.last = step;
        series.n_points += 1;
        self.n_points += 1;
        let (split, at_millis) = (series.split, at_millis.max(self.started));
        self.waiting.push(MetricPoint { key: key.to_owned(), split, step, at_millis, value: value.into() });
        if self.waiting.len() >= limits::BATCH_POINTS { self.flush() } else { Ok(()) }
    }

    /// Whether no further point is taken.
    pub(super) fn is_full(&self) -> bool {
        self.n_over > 0
    }

    /// The run is whole.
    pub(super) fn end(mut self, found: &mut Imported) -> Result<()> {
        self.flush()?;
        self.tell(found)?;
        let failed = |what: &str| Some(Failure::new(Code::Unavailable, what));
        // The numbers are those of MLflow's protocol: running, scheduled, finished, failed, killed.
        let (status, failure) = match self.described.status {
            "3" | "FINISHED" => (RunStatus::Finished, None),
            "4" | "FAILED" => (RunStatus::Failed, failed("it failed in MLflow")),
            "5" | "KILLED" => (RunStatus::Cancelled, failed("it was killed in MLflow")),
            _ => (RunStatus::Cancelled, failed("it had not ended when it was imported from MLflow")),
        };
        let ended = self.described.ended_at_millis.unwrap_or(self.started).max(self.started);
        let store = &self.workspace.store;
        store.finish(&self.id, self.attempt, status, failure.as_ref(), false, ended)?;
        if self.described.is_deleted {
            store.delete_run(&self.id, self.workspace.clock.now_millis())?;
        }
        found.n_files += self.n_files;
        found.runs.push(self.id);
        Ok(())
    }

    /// The rest of the run cannot be read: it is kept as one that failed, and the next import goes on with it.
    pub(super) fn broken_off(mut self, why: &str, found: &mut Imported) -> Result<()> {
        self.flush()?;
        self.tell(found)?;
        let failure = Failure::new(Code::BadData, format!("its metrics could not be read to their end: {why}"))
            .hint("import again when MLflow's database is whole");
        let now = self.workspace.clock.now_millis();
        self.workspace.store.finish(&self.id, self.attempt, RunStatus::Failed, Some(&failure), true, now)?;
        found.left_out(self.uuid, "the rest of its metrics", why);
        found.n_files += self.n_files;
        found.runs.push(self.id);
        Ok(())
    }

    /// The workspace does not take the rest: the run is one that failed, if that much can be written, and the next import
    /// goes on with it. Where it cannot be written either, it is found by nobody being at it.
    pub(super) fn given_up(self, err: &EngineError) {
        let failure = Failure::new(err.code(), format!("its import was broken off: {err}")).hint("import again");
        let now = self.workspace.clock.now_millis();
        let done = self.workspace.store.finish(&self.id, self.attempt, RunStatus::Failed, Some(&failure), true, now);
        if let Err(err) = done {
            tracing::warn!(run = %self.id, %err, "a run whose import was broken off cannot be marked");
        }
    }

    /// Counts the points that are kept, and says which are not.
    fn tell(&self, found: &mut Imported) -> Result<()> {
        let mut names: Vec<&String> = self.metrics.keys().collect();
        names.sort();
        for name in names {
            let Some(series) = self.metrics.get(name) else { continue };
            let what = format!("metric {name}");
            if series.n_odd > 0 {
                let why = format!("{} of its points are not 'time value step' with a step from 0", series.n_odd);
                found.left_out(self.uuid, &what, &why);
            }
            let mut n_kept = series.n_points;
            if series.may_repeat {
                let buckets = self.workspace.store.series(&self.id, name, series.split, None, 1)?;
                n_kept = buckets.iter().map(|bucket| bucket.n_points).sum();
                let n_repeated = series.n_points.saturating_sub(n_kept);
                if n_repeated > 0 {
                    let why = format!(
                        "{n_repeated} of its points are not kept: a later one of the same step took their place"
                    );
                    found.left_out(self.uuid, &what, &why);
                }
            }
            found.n_points += usize::try_from(n_kept).unwrap_or(usize::MAX);
        }
        if self.n_over > 0 {
            let why = format!("more than {MAX_POINTS} points of a run are not read");
            found.left_out(self.uuid, "further points of its metrics", &why);
        }
        for (name, n_points) in &self.odd {
            let why =
                format!("its name cannot be kept, or there are more than {MAX_METRICS} metrics ({n_points} points)");
            found.left_out(self.uuid, &format!("metric {name}"), &why);
        }
        let n_more = self.n_odd - self.odd.values().sum::<u64>();
        if n_more > 0 {
            found.left_out(self.uuid, "further metrics", &format!("their names cannot be kept ({n_more} points)"));
        }
        Ok(())
    }
}

pub(super) fn split_of(key: &str) -> Split {
    let key = key.to_ascii_lowercase();
    let begins = |words: &[&str]| {
        words.iter().any(|word| {
            key.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '/', '-', '.']))
        })
    };
    match () {
        () if begins(&["val", "valid", "validation", "eval"]) => Split::Valid,
        () if begins(&["test"]) => Split::Test,
        () if begins(&["system"]) => Split::System,
        () => Split::Train,
    }
}

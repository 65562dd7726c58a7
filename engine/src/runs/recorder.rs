//! Keeps what a worker says: gathered into batches, each one transaction, persisted before anybody else hears of it.

use std::sync::Arc;

use athanor_protocol::{
    job::{WorkerEvent, WorkerEventBody},
    learner::Reproducibility,
    names::RunId,
    run::StepState,
};
use athanor_store::{Batch, LogLine, StepUpdate, Store};

use crate::error::Result;

/// A batch is written when it holds this many points …
const MAX_POINTS: usize = 500;
/// … or is this old, in milliseconds.
const MAX_AGE_MILLIS: i64 = 250;
/// Between two looks at whether somebody asked for a stop, in milliseconds.
const CANCEL_EVERY_MILLIS: i64 = 100;
/// A sign of life is stored at least this often, in milliseconds.
const HEARTBEAT_EVERY_MILLIS: i64 = 1_000;

/// Records one attempt of one run.
pub struct Recorder {
    store: Arc<dyn Store>,
    run: RunId,
    attempt: u32,
    batch: Batch,
    /// Numbers the batches; a batch that is written again after an unclear error is recognised by it.
    seq: u64,
    since: Option<i64>,
    cancel_checked: i64,
    heartbeat: i64,
}

impl Recorder {
    /// A recorder for one attempt.
    pub fn new(store: Arc<dyn Store>, run: RunId, attempt: u32) -> Self {
        Self {
            store,
            run,
            attempt,
            batch: Batch::default(),
            seq: 0,
            since: None,
            cancel_checked: i64::MIN,
            heartbeat: i64::MIN,
        }
    }

    /// Takes a worker's message.
    ///
    /// # Errors
    /// If a batch became due and cannot be written.
    pub fn event(&mut self, event: &WorkerEvent, now: i64) -> Result<()> {
        self.own(&event.body, now)
    }

    /// Takes a message of the supervisor itself.
    ///
    /// # Errors
    /// If a batch became due and cannot be written.
    pub fn own(&mut self, body: &WorkerEventBody, now: i64) -> Result<()> {
        self.since.get_or_insert(now);
        let batch = &mut self.batch;
        match body {
            WorkerEventBody::Metrics { points } => {
                for points in points.chunks(MAX_POINTS) {
                    self.since.get_or_insert(now);
                    self.batch.metrics.extend_from_slice(points);
                    if self.batch.metrics.len() >= MAX_POINTS {
                        self.flush(now)?;
                    }
                }
                return Ok(());
            }
            WorkerEventBody::Log { level, text } => {
                batch.logs.push(LogLine { at_millis: now, level: level.clone(), text: text.clone() });
            }
            WorkerEventBody::Started { environment, .. } => batch.environment.extend_from_slice(environment),
            WorkerEventBody::StepStarted { node } => batch.steps.push(step(node, StepState::Running, None)),
            WorkerEventBody::StepDone { node, cached, millis } => {
                let state = if *cached { StepState::Cached } else { StepState::Done };
                batch.steps.push(step(node, state, Some(*millis)));
            }
            WorkerEventBody::Failed { node: Some(node), .. } => batch.steps.push(step(node, StepState::Failed, None)),
            WorkerEventBody::Training { reproducibility, .. } => {
                batch.reproducibility = Some(weaker(batch.reproducibility, *reproducibility));
            }
            WorkerEventBody::Dataset { dataset } => batch.datasets.push(dataset.clone()),
            WorkerEventBody::Artifact { artifact } => batch.artifacts.push(artifact.clone()),
            WorkerEventBody::Heartbeat
            | WorkerEventBody::StepProgress { .. }
            | WorkerEventBody::Checkpoint { .. }
            | WorkerEventBody::Failed { node: None, .. }
            | WorkerEventBody::Finished
            | WorkerEventBody::Cancelled { .. } => {}
        }
        if batch.metrics.len() >= MAX_POINTS || batch.logs.len() >= MAX_POINTS { self.flush(now) } else { Ok(()) }
    }

    /// Writes what is due and gives a sign of life.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn tick(&mut self, now: i64) -> Result<()> {
        if self.since.is_some_and(|since| now - since >= MAX_AGE_MILLIS || now < since) {
            self.flush(now)?;
        }
        if now.saturating_sub(self.heartbeat) >= HEARTBEAT_EVERY_MILLIS || now < self.heartbeat {
            self.heartbeat = now;
            self.store.heartbeat(&self.run, self.attempt, now)?;
        }
        Ok(())
    }

    /// Writes everything.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self, _now: i64) -> Result<()> {
        if self.since.is_some() && self.batch != Batch::default() {
            // The batch is let go only when it is written; until then the same number goes with it.
            self.store.record(&self.run, self.attempt, self.seq + 1, &self.batch)?;
            self.seq += 1;
            self.batch = Batch::default();
        }
        self.since = None;
        Ok(())
    }

    /// Whether everything that it was told is written.
    pub fn is_written(&self) -> bool {
        self.since.is_none()
    }

    /// Why somebody asked for a stop, if so. Asks the database a few times a second, however often it is called.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn cancel_reason(&mut self) -> Result<Option<String>> {
        let now = crate::ids::Clock::now_millis(&crate::ids::System);
        if now.saturating_sub(self.cancel_checked) < CANCEL_EVERY_MILLIS && now >= self.cancel_checked {
            return Ok(None);
        }
        self.cancel_checked = now;
        Ok(self.store.cancel_reason(&self.run)?)
    }
}

/// Of two findings the one that promises less.
pub(crate) fn weaker(known: Option<Reproducibility>, found: Reproducibility) -> Reproducibility {
    match (known, found) {
        (None | Some(Reproducibility::Bitwise), Reproducibility::Bitwise) => Reproducibility::Bitwise,
        _ => Reproducibility::WithinTolerance,
    }
}

fn step(node: &str, state: StepState, millis: Option<u64>) -> StepUpdate {
    StepUpdate { node: node.to_owned(), state, millis }
}

//! What a training run takes, says and gives.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use athanor_protocol::{
    learner::{Reproducibility, TrainSpec},
    metric::Split,
};

use crate::{
    LearnError,
    encode::FittedEncoder,
    model::TrainedModel,
    samples::{Samples, Targets},
};

/// One value of one metric: key, part of the data, step, value. Keys are those of `protocol::metric::METRICS`.
pub type Point = (&'static str, Split, u64, f64);

/// What training says while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainEvent {
    /// The first event.
    Started {
        /// Trainable numbers of the model; 0 where they are not known before (trees).
        n_parameters: u64,
        /// Steps of the whole run, if it does not stop early.
        steps_total: u64,
        /// Passes over the rows (rounds for trees).
        epochs: u32,
        /// How alike a second run would come out.
        reproducibility: Reproducibility,
        /// The step of the checkpoint that this run goes on from.
        resumed_from_step: Option<u64>,
    },
    /// New metric values, in order of steps.
    Metrics(Vec<Point>),
    /// How far it is.
    Progress {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        steps_total: u64,
        /// Whole epochs done.
        epoch: u32,
        /// Epochs of the whole run.
        epochs: u32,
    },
    /// A checkpoint is safely on the disk.
    Checkpoint {
        /// Steps done when it was taken.
        step: u64,
    },
    /// The model that is kept is that of this step, because a later one was no better. Said last.
    Kept {
        /// Steps done when it was the newest.
        step: u64,
    },
    /// Something that the user should know.
    Note(String),
}

/// Takes what training says. An error ends the run with that error.
///
/// Called between steps on the training thread: an implementation must not block for long.
pub trait TrainSink: Send {
    /// Takes one event.
    ///
    /// # Errors
    /// Whatever ends the run, for example a broken pipe.
    fn event(&mut self, event: TrainEvent) -> Result<(), LearnError>;
}

impl TrainSink for Vec<TrainEvent> {
    fn event(&mut self, event: TrainEvent) -> Result<(), LearnError> {
        self.push(event);
        Ok(())
    }
}

/// Asks a run to stop, with a reason. Clones share one flag; the first reason stays. Read at least once per batch.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    reason: Arc<OnceLock<String>>,
    /// 0 means no limit.
    max_steps: Arc<AtomicU64>,
}

impl StopFlag {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag.
    pub fn stop(&self, reason: impl Into<String>) {
        // A second reason is dropped on purpose: the first one is why the run stopped.
        let _ = self.reason.set(reason.into());
    }

    /// Lets linear models and networks take this many steps at most (counted over all attempts of the run; at least 1),
    /// and then stop as if the flag had been raised. Trees do not look at it.
    pub fn limit_steps(&self, max_steps: u64) {
        self.max_steps.store(max_steps.max(1), Ordering::Relaxed);
    }

    /// [`Self::reason`], or that the limit on steps is reached.
    pub(crate) fn reason_at(&self, step: u64) -> Option<String> {
        let max_steps = self.max_steps.load(Ordering::Relaxed);
        let at_limit =
            (max_steps > 0 && step >= max_steps).then(|| format!("the limit of {max_steps} steps is reached"));
        self.reason().map(str::to_owned).or(at_limit)
    }

    /// Why the run should stop; `None` while it should go on.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }
}

/// Everything that a training run takes.
pub struct TrainJob<'a> {
    /// The learner and its settings; the device is a name that [`crate::device::resolve`] gave.
    pub spec: &'a TrainSpec,
    /// The encoder that made the samples.
    pub encoder: &'a FittedEncoder,
    /// The rows to learn from.
    pub train: (&'a Samples, &'a Targets),
    /// The rows to watch and to stop by.
    pub valid: Option<(&'a Samples, &'a Targets)>,
    /// Where checkpoints are kept; without it there are none. The caller removes the folder when it is done with it.
    pub checkpoint_dir: Option<&'a Path>,
    /// Read at least once per batch.
    pub stop: &'a StopFlag,
    /// Hears of everything.
    pub sink: &'a mut dyn TrainSink,
}

/// How a training run ended.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "one value for each run, moved once")]
pub enum TrainOutcome {
    /// It is trained.
    Done(TrainedModel),
    /// The stop flag was raised. With a checkpoint folder, a checkpoint of this very step is there.
    Stopped {
        /// The flag's reason.
        reason: String,
        /// Steps done.
        step: u64,
    },
}

//! Training: one loop for linear models and networks, and the way to trees and the constant.
//!
//! **Architecture Invariant:** the state between two steps is what a checkpoint holds; order, dropout and step size are
//! pure functions of seed, epoch and step. So a run that was stopped anywhere and resumed ends with the same bits as one
//! that was not (on the processor, with the same number of threads).

mod checkpoint;
mod data;
mod gradient;
mod job;
mod optim;

pub use job::{Point, StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink};

use athanor_protocol::{
    learner::{LearnerSpec, Reproducibility},
    network::ModelSpec,
};

use crate::{
    LearnError,
    model::{ConstantModel, TrainedModel},
    samples::{Samples, Targets},
};

/// Trains what the job says, and returns when it is done, stopped or failed. Blocks; the stop flag is read at least
/// once per batch.
///
/// With a checkpoint folder, training goes on from its newest checkpoint of the same specification and data; one that is
/// damaged or of something else is passed over with a note. On the processor the result is the same, bit by bit.
///
/// # Errors
/// If settings, rows or layers do not fit together, the loss is no longer finite, a checkpoint cannot be written, the
/// device fails, or the sink refuses an event.
pub fn train(job: TrainJob<'_>) -> Result<TrainOutcome, LearnError> {
    check_rows("training", job.train, job.encoder.n_outputs())?;
    if let Some(valid) = job.valid {
        check_rows("validation", valid, job.encoder.n_outputs())?;
        if valid.0.n_features != job.train.0.n_features {
            return Err(LearnError::FeatureCount { expected: job.train.0.n_features, found: valid.0.n_features });
        }
    }
    match &job.spec.learner {
        LearnerSpec::Constant => constant(job),
        LearnerSpec::Trees { trees } => {
            let trees = trees.clone();
            crate::trees::train(job, &trees)
        }
        LearnerSpec::Linear { optim } => gradient::train(job, &ModelSpec::linear(), optim),
        LearnerSpec::Network { model, optim } => gradient::train(job, model, optim),
    }
}

fn check_rows(part: &str, (samples, targets): (&Samples, &Targets), n_outputs: usize) -> Result<(), LearnError> {
    let bad = |message: String, hint: &str| Err(LearnError::BadData { message, hint: Some(hint.to_owned()) });
    if samples.n_rows == 0 {
        return bad(format!("there are no {part} rows"), "check the filter and the shares of the split");
    }
    if samples.n_rows > i32::MAX as usize {
        let message = format!("{} rows, at most {} are allowed", samples.n_rows, i32::MAX);
        return Err(LearnError::TooLarge { what: format!("the {part} part"), message });
    }
    let consistent = samples.n_rows.checked_mul(samples.n_features) == Some(samples.features.len());
    if !consistent || targets.n_rows() != samples.n_rows {
        return Err(LearnError::Internal(format!("the {part} rows and their targets do not belong together")));
    }
    match targets {
        Targets::Class { labels, n_classes } => {
            if *n_classes != n_outputs || labels.iter().any(|&label| label as usize >= *n_classes) {
                return Err(LearnError::Internal(format!("the {part} targets are not the encoder's classes")));
            }
        }
        Targets::Number(values) => {
            if n_outputs != 1 || values.iter().any(|value| !value.is_finite()) {
                return Err(LearnError::Internal(format!("the {part} targets are not finite numbers")));
            }
        }
    }
    Ok(())
}

fn constant(job: TrainJob<'_>) -> Result<TrainOutcome, LearnError> {
    let (samples, targets) = job.train;
    job.sink.event(TrainEvent::Started {
        n_parameters: 0,
        steps_total: 1,
        epochs: 1,
        reproducibility: Reproducibility::Bitwise,
        resumed_from_step: None,
    })?;
    if let Some(reason) = job.stop.reason() {
        return Ok(TrainOutcome::Stopped { reason: reason.to_owned(), step: 0 });
    }
    let model = ConstantModel::fit(samples.n_features, targets)?;
    job.sink.event(TrainEvent::Progress { step: 1, steps_total: 1, epoch: 1, epochs: 1 })?;
    Ok(TrainOutcome::Done(TrainedModel::Constant(model)))
}

//! A rollout's verbs: start, promote, abort, one step back. Each is written down with who did it and why.

use athanor_learn::predictor::Predictor;
use athanor_protocol::{
    Code, Failure,
    names::check_model_name,
    rollout::{Rollout, RolloutFigures, RolloutPhase, RolloutSpec},
};
use athanor_store::{Act, RolloutEnd};
use serde_json::{Value, json};

use crate::{
    error::{EngineError, Result},
    registry,
    workspace::Workspace,
};

/// What the audit log says of a rollout.
fn detail(rollout: &Rollout) -> Value {
    let figures = &rollout.figures;
    json!({
        "rollout": rollout.id,
        "from": rollout.stable,
        "to": rollout.spec.candidate,
        "mode": rollout.spec.mode,
        "step": rollout.step + 1,
        "percent": rollout.spec.steps.get(rollout.step as usize).map(|step| step.percent),
        "reason": rollout.reason,
        "candidate": { "requests": figures.candidate.n_requests, "failed": figures.candidate.n_failed },
        "stable": { "requests": figures.stable.n_requests, "failed": figures.stable.n_failed },
        "retried": figures.n_retried,
    })
}

/// Writes down what became of a rollout. What is done is done: a log that cannot be written is said in the program's.
fn noted(workspace: &Workspace, action: &str, rollout: Rollout) -> Rollout {
    if let Err(err) = registry::audit(workspace, action, &rollout.model, detail(&rollout)) {
        tracing::error!(model = rollout.model, action, "the audit log cannot be written: {err}");
    }
    rollout
}

fn none(model: &str) -> EngineError {
    let failure = Failure::new(Code::NotFound, format!("no rollout of the model {model:?} goes on")).on(model);
    EngineError::Failure(failure.hint("start one with 'athanor rollout start'"))
}

/// A model's newest rollout, running or ended.
///
/// # Errors
/// If there is no such model.
pub fn newest(workspace: &Workspace, model: &str) -> Result<Option<Rollout>> {
    check_model_name(model)?;
    Ok(workspace.store.newest_rollout(model)?)
}

fn running(workspace: &Workspace, model: &str) -> Result<Rollout> {
    newest(workspace, model)?.filter(|newest| newest.phase == RolloutPhase::Running).ok_or_else(|| none(model))
}

/// Starts a rollout from the version that `production` points to. A candidate that cannot be loaded, or predicts something
/// else, is refused here and now.
///
/// # Errors
/// If the rollout cannot be done, one runs already, or a version is not there.
pub fn start(workspace: &Workspace, model: &str, spec: &RolloutSpec) -> Result<Rollout> {
    check_model_name(model)?;
    spec.check()?;
    let candidate = registry::resolve(workspace, &format!("{model}:{}", spec.candidate))?;
    let (_, package) = registry::load(workspace, &candidate)?;
    Predictor::from_package(&package, "cpu")?;
    let stable = registry::resolve(workspace, &format!("{model}@production")).map_err(|err| {
        let mut failure = err.into_failure();
        if failure.code == Code::NotFound {
            failure.hint = Some(format!(
                "a rollout goes from one version to the next; put the first one in production with \
                 'athanor models alias {model} production VERSION'"
            ));
        }
        EngineError::Failure(failure)
    })?;
    let (old, new) = (&stable.signature, &candidate.signature);
    if old.task != new.task {
        let message = format!(
            "{model}:{} is a model of {}, and {model}:{} is one of {}",
            candidate.version,
            new.task.as_str(),
            stable.version,
            old.task.as_str()
        );
        let hint = "clients could not read its answers; register it under another name";
        return Err(EngineError::Failure(Failure::new(Code::Conflict, message).on(model).hint(hint)));
    }
    let begun = workspace.store.start_rollout(model, spec, workspace.clock.now_millis())?;
    Ok(noted(workspace, "rollout.start", begun))
}

/// Ends a running rollout by its number, with what was counted. Of two who end it, the second one is told.
///
/// # Errors
/// If it has ended already, or a promotion finds the alias moved.
pub fn end(
    workspace: &Workspace,
    id: u64,
    phase: RolloutPhase,
    reason: &str,
    figures: Option<RolloutFigures>,
) -> Result<Rollout> {
    // What the store refuses for its length is cut here: a reason must not keep a rollback from being written down.
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let at_millis = workspace.clock.now_millis();
    let ended =
        workspace.store.end_rollout(id, &RolloutEnd { phase, reason, actor: registry::actor(), figures, at_millis })?;
    let action = match phase {
        RolloutPhase::Promoted => "rollout.promote",
        RolloutPhase::RolledBack => "rollout.rollback",
        RolloutPhase::Aborted | RolloutPhase::Running => "rollout.abort",
    };
    Ok(noted(workspace, action, ended))
}

/// Moves a running rollout to another step.
///
/// # Errors
/// If it has ended, or somebody else has moved it.
pub fn step(workspace: &Workspace, rollout: &Rollout, to: u32) -> Result<Rollout> {
    let moved = workspace.store.step_rollout(rollout.id, rollout.step, to, workspace.clock.now_millis())?;
    Ok(noted(workspace, "rollout.step", moved))
}

/// The candidate takes over now: `production` moves to it.
///
/// # Errors
/// If none runs, or the alias points elsewhere by now.
pub fn promote(workspace: &Workspace, model: &str) -> Result<Rollout> {
    let running = running(workspace, model)?;
    end(workspace, running.id, RolloutPhase::Promoted, "somebody promoted the candidate", None)
}

/// Ends the rollout that runs; the stable version answers everything.
///
/// # Errors
/// If none runs.
pub fn abort(workspace: &Workspace, model: &str) -> Result<Rollout> {
    let running = running(workspace, model)?;
    end(workspace, running.id, RolloutPhase::Aborted, "somebody ended it", None)
}

/// One step back: a running rollout goes to the share before, or ends at its first; a promoted one is taken back.
///
/// # Errors
/// If there is nothing to go back from.
pub fn back(workspace: &Workspace, model: &str) -> Result<Rollout> {
    let newest = newest(workspace, model)?.ok_or_else(|| none(model))?;
    match newest.phase {
        RolloutPhase::Running if newest.step > 0 => step(workspace, &newest, newest.step - 1),
        RolloutPhase::Running => {
            end(workspace, newest.id, RolloutPhase::Aborted, "somebody took its first step back", None)
        }
        RolloutPhase::Promoted => {
            let reason = "somebody took the promotion back".to_owned();
            let act = Act { actor: registry::actor(), at_millis: workspace.clock.now_millis(), reason };
            let back = workspace.store.take_back_rollout(newest.id, &act)?;
            Ok(noted(workspace, "rollout.rollback", back))
        }
        RolloutPhase::RolledBack | RolloutPhase::Aborted => Err(none(model)),
    }
}

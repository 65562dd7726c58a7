//! Stopping a prediction that is at work, in this process or another one.

use athanor_protocol::{Code, Failure};
use serde_json::json;

use super::{Execution, change, runner, unknown};
use crate::{
    error::{EngineError, Result},
    predict::kept_rows,
    registry,
    workspace::Workspace,
};

/// What became of the wish to stop a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// A process is at it, and ends it within a second.
    Asked,
    /// It is over; so many rows are kept, with which the next one goes on.
    Over(u64),
    /// It had not begun.
    NotBegun,
}

impl Execution {
    /// Marks it as stopped.
    pub(super) fn end_stopped(&mut self, now: i64, n_rows: u64) {
        (self.ended_millis, self.n_rows, self.stopped, self.failure) = (Some(now), n_rows, true, None);
    }
}

/// Stops a schedule's prediction: the one that is at work in whatever process, was broken off and would go on, or was
/// asked for and has not begun. Rows that are done are kept, and the next one goes on with them. What became due
/// meanwhile is not made up for.
///
/// # Errors
/// If there is no schedule of that id, or it has nothing to stop.
pub fn stop(workspace: &Workspace, id: &str) -> Result<Stopped> {
    let now = workspace.clock.now_millis();
    let begun = change(workspace, |schedules| {
        let schedule = schedules.iter_mut().find(|schedule| schedule.id == id).ok_or_else(|| unknown(id))?;
        let was_asked = schedule.asked_millis.take().is_some();
        match schedule.executions.first_mut().filter(|last| last.ended_millis.is_none()) {
            Some(last) => {
                last.stop_asked_millis.get_or_insert(now);
                Ok(true)
            }
            None if was_asked => Ok(false),
            None => {
                let failure = Failure::new(Code::Conflict, format!("the schedule {id} is not at work"));
                Err(EngineError::Failure(failure.on(id).hint("pause it to keep it from being carried out")))
            }
        }
    })?;
    registry::audit(workspace, "schedule.stop", id, json!({}))?;
    if !begun {
        return Ok(Stopped::NotBegun);
    }
    let mut held = None;
    if !runner::hold(workspace, &mut held)? {
        return Ok(Stopped::Asked);
    }
    // Nobody is at it, and nobody begins while this is held.
    let n_rows = end(workspace, id)?;
    Ok(Stopped::Over(n_rows))
}

/// Ends a prediction that was to be stopped, and at which nobody is any more. Returns how many rows are kept.
pub(super) fn end(workspace: &Workspace, id: &str) -> Result<u64> {
    let now = workspace.clock.now_millis();
    change(workspace, |schedules| {
        // Removed meanwhile: there is nothing to note.
        let Some(schedule) = schedules.iter_mut().find(|schedule| schedule.id == id) else { return Ok(0) };
        let n_rows = kept_rows(&schedule.predict.output);
        if let Some(last) = schedule.executions.first_mut().filter(|last| last.ended_millis.is_none()) {
            last.end_stopped(now, n_rows);
            // Else what became due while it was at work would begin at once.
            schedule.added_millis = now;
        }
        Ok(n_rows)
    })
}

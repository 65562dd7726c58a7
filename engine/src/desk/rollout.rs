//! Rollouts, as a window asks for them.

use std::sync::Arc;

use athanor_protocol::{
    Failure,
    api::{Event, RolloutAbort, RolloutAnswer, RolloutBack, RolloutGet, RolloutPromote, RolloutStart},
    rollout::{Rollout, RolloutPhase},
};

use super::{Desk, endpoint};
use crate::rollout;

pub(super) fn rollout_get(desk: &Arc<Desk>, ask: RolloutGet) -> Result<RolloutAnswer, Failure> {
    let kept = rollout::newest(&*desk.workspace()?, &ask.model)?;
    // Where it runs in this process, its figures are those of this moment.
    let live = endpoint::rollout(desk, &ask.model);
    let live = live.filter(|live| kept.as_ref().is_some_and(|kept| kept.id == live.id && kept.step == live.step));
    let is_running = kept.as_ref().is_some_and(|kept| kept.phase == RolloutPhase::Running);
    Ok(RolloutAnswer { rollout: live.filter(|_| is_running).or(kept) })
}

pub(super) fn rollout_start(desk: &Arc<Desk>, ask: RolloutStart) -> Result<Rollout, Failure> {
    let begun = rollout::start(&*desk.workspace()?, &ask.model, &ask.spec)?;
    Ok(done(desk, begun))
}

pub(super) fn rollout_promote(desk: &Arc<Desk>, ask: RolloutPromote) -> Result<Rollout, Failure> {
    let promoted = rollout::promote(&*desk.workspace()?, &ask.model)?;
    Ok(done(desk, promoted))
}

pub(super) fn rollout_abort(desk: &Arc<Desk>, ask: RolloutAbort) -> Result<Rollout, Failure> {
    let aborted = rollout::abort(&*desk.workspace()?, &ask.model)?;
    Ok(done(desk, aborted))
}

pub(super) fn rollout_back(desk: &Arc<Desk>, ask: RolloutBack) -> Result<Rollout, Failure> {
    let back = rollout::back(&*desk.workspace()?, &ask.model)?;
    Ok(done(desk, back))
}

/// It is written down: a running endpoint takes it up at once and tells; otherwise it is told here.
fn done(desk: &Arc<Desk>, rollout: Rollout) -> Rollout {
    if endpoint::is_running(desk) {
        endpoint::refresh(desk);
        // What ended before the endpoint took it up is no news to it.
        if rollout.phase != RolloutPhase::Running {
            tell(desk, &rollout);
        }
    } else {
        tell(desk, &rollout);
        if matches!(rollout.phase, RolloutPhase::Promoted | RolloutPhase::RolledBack) {
            endpoint::tell(desk);
        }
    }
    rollout
}

/// Tells all clients how a rollout is now, and that an alias may have moved with it.
pub(super) fn tell(desk: &Desk, rollout: &Rollout) {
    if matches!(rollout.phase, RolloutPhase::Promoted | RolloutPhase::RolledBack) {
        desk.publish(Event::ModelsChanged {});
    }
    desk.publish(Event::RolloutChanged { rollout: Box::new(rollout.clone()) });
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;

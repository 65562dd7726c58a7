//! A new version beside the one that answers: which requests go to it, what is counted, and when it is too much.
//!
//! A [`Trial`] is a rollout within this process. Who answers is a pure function of the trial, the model and the request
//! ([`choose`]); whether a guard has tripped is a pure function of the counts ([`guard`]). A tripped trial sends nothing
//! more to its candidate from that moment on; whoever keeps rollouts hears of it afterwards.
//!
//! **Architecture Invariant:** what the stable version would have answered is answered. A candidate that fails, is too
//! slow or has no room costs time, never an answer; a shadow costs not even that.

mod answer;
mod choose;
mod figures;
mod guard;
mod route;
mod shadow;
mod show;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use athanor_protocol::rollout::{Rollout, RolloutFigures, RolloutMode, RolloutPhase};

pub(crate) use self::{
    answer::answer,
    route::{Named, Routed, Side, named},
    shadow::MAX_WAITING as MAX_SHADOWS,
    show::show,
};
use self::{figures::Counts, shadow::Compared};

/// A rollout within this process.
#[derive(Debug, Clone)]
pub struct Trial {
    rollout: Rollout,
    live: Arc<Live>,
}

/// What stays when a rollout moves on to its next step.
#[derive(Debug)]
struct Live {
    counts: Mutex<Counts>,
    tripped: OnceLock<String>,
}

impl Trial {
    /// A rollout as it was kept: it goes on with what was counted until then, but for latencies, which are of a process.
    pub fn new(rollout: Rollout) -> Self {
        let counts = Mutex::new(Counts::from_figures(&rollout.figures));
        Self { rollout, live: Arc::new(Live { counts, tripped: OnceLock::new() }) }
    }

    /// The same trial where its rollout is now: what was counted and a tripped guard stay.
    #[must_use]
    pub fn at(&self, rollout: Rollout) -> Self {
        Self { rollout, live: Arc::clone(&self.live) }
    }

    /// The rollout as it was kept last.
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// Why a guard has tripped; `None` where none has. Nothing goes to the candidate any more.
    pub fn tripped(&self) -> Option<&str> {
        self.live.tripped.get().map(String::as_str)
    }

    /// What was counted until now.
    pub fn figures(&self) -> RolloutFigures {
        self.counts().figures()
    }

    /// The rollout as it is now, in this process.
    pub fn now(&self) -> Rollout {
        let mut now = Rollout { figures: self.figures(), ..self.rollout.clone() };
        if let Some(reason) = self.tripped() {
            (now.phase, now.reason) = (RolloutPhase::RolledBack, Some(reason.to_owned()));
        }
        now
    }

    /// Tells the guard how far the inputs have drifted, in the units of the rollout's limit.
    pub fn tell_drift(&self, drift: f64) {
        let mut counts = self.counts();
        counts.drift = Some(drift).filter(|drift| drift.is_finite());
        self.judge(&counts);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.live.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, counts: &Counts) {
        if self.live.tripped.get().is_some() {
            return;
        }
        let Some(reason) = guard::judge(&self.rollout.spec.guards, counts) else { return };
        let (model, candidate) = (&self.rollout.model, self.rollout.spec.candidate);
        tracing::warn!(model, candidate, "the rollout is taken back: {reason}");
        // Somebody else may have found it at the same moment: the first reason stays.
        let _ = self.live.tripped.set(reason);
    }

    /// The candidate's share of requests right now, in percent.
    pub(crate) fn percent(&self) -> u8 {
        if self.tripped().is_some() { 0 } else { self.rollout.percent() }
    }

    pub(crate) fn is_shadow(&self) -> bool {
        self.rollout.spec.mode == RolloutMode::Shadow
    }

    /// Whether the request with this key meets the candidate.
    fn chooses(&self, key: &[u8]) -> bool {
        choose::is_chosen(&self.rollout.model, self.rollout.spec.candidate, key, self.percent())
    }

    /// The stable version was asked: `Ok` if the answer, right or refused, was not its fault.
    pub(crate) fn stable_asked(&self, is_failed: bool, took: Duration) {
        self.counts().stable.add(is_failed, took);
    }

    /// The candidate answered.
    pub(crate) fn candidate_answered(&self, took: Duration) {
        let mut counts = self.counts();
        counts.candidate.add(false, took);
        self.judge(&counts);
    }

    /// The candidate failed; `is_retried` where the stable version answered.
    pub(crate) fn candidate_failed(&self, took: Duration, is_retried: bool) {
        let mut counts = self.counts();
        counts.candidate.add(true, took);
        counts.n_retried += u64::from(is_retried);
        self.judge(&counts);
    }

    /// There was no room for the candidate's answer.
    pub(crate) fn spilled(&self) {
        self.counts().n_spilled += 1;
    }

    /// A shadow answered the same request.
    fn compared(&self, compared: &Compared, took: Duration) {
        let mut counts = self.counts();
        counts.candidate.add(false, took);
        counts.compare(compared);
        self.judge(&counts);
    }

    /// A request was not given to the shadow.
    pub(crate) fn dropped(&self) {
        self.counts().n_dropped += 1;
    }
}

#[cfg(test)]
mod tests;

//! Rollouts of an endpoint: what was decided in this process is written down, what is due by the clock is done, and what
//! others wrote down is taken up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use athanor_protocol::{
    Code,
    monitor::MonitorReport,
    rollout::{Due, Rollout, RolloutFigures, RolloutPhase},
};
use athanor_serve::Trial;

use crate::{error::Result, rollout, workspace::Workspace};

/// How often figures are written down at most, in milliseconds.
const NOTE_MILLIS: i64 = 1_000;

/// Rollouts that run here.
#[derive(Default)]
pub(super) struct Rollouts(Mutex<BTreeMap<u64, Known>>);

struct Known {
    trial: Arc<Trial>,
    noted: RolloutFigures,
    noted_at_millis: i64,
}

impl Rollouts {
    /// Takes up what is written down: trials that go on keep what they counted. Returns those of a lineup.
    pub(super) fn take_up(&self, running: &[Rollout]) -> Vec<Arc<Trial>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| running.iter().any(|rollout| rollout.id == *id));
        let trials = running.iter().map(|rollout| match known.get_mut(&rollout.id) {
            Some(known) => {
                if known.trial.rollout().step != rollout.step {
                    known.trial = Arc::new(known.trial.at(rollout.clone()));
                }
                Arc::clone(&known.trial)
            }
            None => {
                let trial = Arc::new(Trial::new(rollout.clone()));
                let noted = rollout.figures.clone();
                let entry = Known { trial: Arc::clone(&trial), noted, noted_at_millis: i64::MIN };
                known.insert(rollout.id, entry);
                trial
            }
        });
        trials.collect()
    }

    /// Writes down tripped guards, does what is due, and notes figures. Returns the rollouts that changed.
    pub(super) fn tick(&self, workspace: &Workspace) -> Vec<Rollout> {
        let now = workspace.clock.now_millis();
        let trials = self.trials();
        let changed = trials.iter().filter_map(|trial| {
            let decided = decide(workspace, trial, now);
            match decided {
                Ok(changed) => changed,
                // Another process was first: what it wrote down is taken up at the next look.
                Err(err) if err.code() == Code::Conflict => None,
                Err(err) => {
                    tracing::warn!(model = trial.rollout().model, "a rollout cannot be written down: {err}");
                    None
                }
            }
        });
        let changed: Vec<Rollout> = changed.collect();
        self.note(workspace, now);
        changed
    }

    fn trials(&self) -> Vec<Arc<Trial>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|known| Arc::clone(&known.trial)).collect()
    }

    /// Tells guards how far the inputs of their candidate have drifted: the share of columns, by the newest report since
    /// the rollout began.
    pub(super) fn tell_drift(&self, workspace: &Workspace) -> Result<()> {
        for trial in self.trials() {
            let rollout = trial.rollout();
            if rollout.spec.guards.max_drift.is_none() {
                continue;
            }
            let reports = workspace.store.monitor_reports(&rollout.model, Some(rollout.spec.candidate), 1)?;
            let since = |report: &&MonitorReport| report.period_millis[1] >= rollout.started_at_millis;
            if let Some(report) = reports.first().filter(since) {
                trial.tell_drift(report.drifted_share);
            }
        }
        Ok(())
    }

    fn note(&self, workspace: &Workspace, now: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for known in known.values_mut() {
            // Also after a clock that was set back.
            let is_due = now.saturating_sub(known.noted_at_millis) >= NOTE_MILLIS || now < known.noted_at_millis;
            if !is_due {
                continue;
            }
            let figures = known.trial.figures();
            if figures == known.noted {
                continue;
            }
            let rollout = known.trial.rollout();
            match workspace.store.note_rollout(rollout.id, &figures) {
                Ok(()) => (known.noted, known.noted_at_millis) = (figures, now),
                Err(err) => tracing::warn!(model = rollout.model, "figures cannot be written down: {err}"),
            }
        }
    }
}

fn decide(workspace: &Workspace, trial: &Trial, now: i64) -> Result<Option<Rollout>> {
    let kept = trial.rollout();
    if let Some(reason) = trial.tripped() {
        let figures = Some(trial.figures());
        return rollout::end(workspace, kept.id, RolloutPhase::RolledBack, reason, figures).map(Some);
    }
    match kept.due(now) {
        Due::Nothing => Ok(None),
        Due::Step(to) => rollout::step(workspace, kept, to).map(Some),
        Due::Finish => {
            let reason = "its time was over and no guard had tripped";
            rollout::end(workspace, kept.id, RolloutPhase::Promoted, reason, Some(trial.figures())).map(Some)
        }
    }
}

/// Ends rollouts whose ground is gone: `production` points to another version than the one that they began from.
pub(super) fn end_stale(workspace: &Workspace, running: &mut Vec<Rollout>, production: &BTreeMap<String, u32>) {
    running.retain(|rollout| {
        let now = production.get(&rollout.model).copied();
        if now == Some(rollout.stable) {
            return true;
        }
        let where_to = now.map_or("nowhere".to_owned(), |version| format!("to version {version}"));
        let reason = format!("'production' was moved {where_to} meanwhile");
        if let Err(err) = rollout::end(workspace, rollout.id, RolloutPhase::Aborted, &reason, None)
            && err.code() != Code::Conflict
        {
            tracing::warn!(model = rollout.model, "a rollout cannot be ended: {err}");
        }
        false
    });
}

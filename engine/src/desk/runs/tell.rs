//! Tells clients what happens in a run: steps at once, points and lines of log a few times a second.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use athanor_protocol::{
    api::{Event, NodeProgress},
    job::WorkerEventBody,
    metric::MetricPoint,
    names::RunId,
    run::{StepRecord, StepState},
};

use super::{Desk, changed};
use crate::workspace::Workspace;

/// Between events of one kind.
const EVERY: Duration = Duration::from_millis(100);
/// Most points in one event; whoever wants the others asks for the series.
const MAX_POINTS: usize = 400;

/// Gathers what one run says.
pub(super) struct Teller<'a> {
    desk: &'a Desk,
    workspace: &'a Workspace,
    run: &'a RunId,
    points: Vec<MetricPoint>,
    /// The newest progress of steps that go on.
    moved: BTreeMap<String, NodeProgress>,
    has_logs: bool,
    last: Option<Instant>,
    started: bool,
    states: BTreeMap<String, StepState>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(desk: &'a Desk, workspace: &'a Workspace, run: &'a RunId) -> Self {
        Self {
            desk,
            workspace,
            run,
            points: vec![],
            moved: BTreeMap::new(),
            has_logs: false,
            last: None,
            started: false,
            states: BTreeMap::new(),
        }
    }

    /// Hears what has been persisted.
    pub(super) fn hear(&mut self, bodies: &[WorkerEventBody]) {
        if !std::mem::replace(&mut self.started, true) {
            changed(self.desk, self.workspace, self.run);
        }
        for body in bodies {
            match body {
                WorkerEventBody::Metrics { points } => {
                    self.points.extend_from_slice(points);
                    let over = self.points.len().saturating_sub(MAX_POINTS);
                    self.points.drain(..over);
                }
                WorkerEventBody::Log { .. } => self.has_logs = true,
                WorkerEventBody::StepStarted { node } => self.step(node, StepState::Running, None),
                WorkerEventBody::StepDone { node, cached, millis } => {
                    let state = if *cached { StepState::Cached } else { StepState::Done };
                    self.step(node, state, Some(*millis));
                }
                WorkerEventBody::Failed { node: Some(node), .. } => self.step(node, StepState::Failed, None),
                WorkerEventBody::StepProgress { node, done, total, note } => {
                    let (node, note) = (node.clone(), note.clone());
                    let state = StepState::Running;
                    let progress = NodeProgress { node, state, done: *done, total: *total, note, millis: None };
                    self.desk.runs.note(self.run, &progress);
                    self.moved.insert(progress.node.clone(), progress);
                }
                _ => {}
            }
        }
        if self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.flush();
        }
    }

    /// Tells everything that was held back.
    pub(super) fn flush(&mut self) {
        self.last = Some(Instant::now());
        let run = || self.run.clone();
        for (_, progress) in std::mem::take(&mut self.moved) {
            self.desk.publish(Event::RunStep { run: run(), progress });
        }
        if !self.points.is_empty() {
            self.desk.publish(Event::RunMetrics { run: run(), points: std::mem::take(&mut self.points) });
        }
        if std::mem::take(&mut self.has_logs) {
            self.desk.publish(Event::RunLog { run: run() });
        }
    }

    fn step(&mut self, node: &str, state: StepState, millis: Option<u64>) {
        self.moved.remove(node);
        self.states.insert(node.to_owned(), state);
        let done = u64::from(matches!(state, StepState::Done | StepState::Cached));
        let total = done;
        let progress = NodeProgress { node: node.to_owned(), state, done, total, note: String::new(), millis };
        self.desk.runs.note(self.run, &progress);
        self.desk.publish(Event::RunStep { run: self.run.clone(), progress });
    }

    /// Tells the final states that no worker spoke of: what the engine did after it, and what was not reached.
    pub(super) fn end(&mut self, steps: &[StepRecord]) {
        for step in steps {
            if self.states.get(&step.node) != Some(&step.state) && step.state != StepState::Pending {
                self.step(&step.node, step.state, step.millis);
            }
        }
    }
}

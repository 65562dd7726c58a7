//! What only the engine knows of the document: asked for a moment after each change.

use std::collections::HashSet;

use athanor_protocol::{
    api::{Inspection, WorkflowInspect},
    check::Problem,
    table::ColumnSchema,
    workflow::Workflow,
};

use super::doc::Document;
use crate::desk::{Desk, Remote};

/// So long after the last change the engine is asked.
const WAIT_SECS: f64 = 0.6;

/// What only the engine knows.
#[derive(Default)]
pub struct Engine {
    remote: Remote<WorkflowInspect>,
    request: Option<WorkflowInspect>,
    content: u64,
    due: Option<f64>,
    answers: u64,
    cached: HashSet<String>,
}

impl Engine {
    /// Asks where it is time to.
    pub fn keep(&mut self, desk: &mut Desk, doc: &Document) {
        // Whoever may only look is refused: an inspection opens any file that the document names.
        if !desk.may_ask() {
            return;
        }
        let settings = desk.settings();
        let (seed, device) = (settings.seed, settings.device.clone());
        if self.content != doc.content() {
            // A document that was just opened is looked into at once.
            let wait = if self.content == 0 { 0.0 } else { WAIT_SECS };
            self.content = doc.content();
            self.due = Some(desk.now_secs() + wait);
        }
        if self.due.is_some_and(|due| desk.now_secs() >= due) {
            self.due = None;
            self.request = Some(WorkflowInspect { json: doc.now().to_json(), seed, device: device.clone() });
        }
        if let Some(request) = &mut self.request {
            if request.seed != seed || request.device != device {
                (request.seed, request.device) = (seed, device);
            }
            if self.remote.keep(desk, request) {
                self.answers += 1;
                self.cached =
                    self.remote.value().map(|found| found.cached.iter().cloned().collect()).unwrap_or_default();
            }
        }
    }

    /// Seconds until it is time to ask.
    pub fn wait(&self, now: f64) -> Option<f64> {
        self.due.map(|due| (due - now).max(0.0))
    }

    /// What it knows may be old.
    pub fn invalidate(&mut self) {
        self.remote.invalidate();
    }

    /// The last answer.
    pub fn value(&self) -> Option<&Inspection> {
        self.remote.value()
    }

    /// The number of the last answer and its problems.
    pub fn problems(&self) -> (u64, &[Problem]) {
        (self.answers, self.remote.value().map_or(&[], |found| found.problems.as_slice()))
    }

    /// Why it could not be looked into.
    pub fn error(&self) -> Option<&athanor_protocol::Failure> {
        self.remote.error()
    }

    /// Whether a node's result is there already, and the document has not changed since that was said.
    pub fn is_cached(&self, id: &str) -> bool {
        self.due.is_none() && self.cached.contains(id)
    }

    /// The columns that come into a node at its first input that has any.
    pub fn columns_into(&self, workflow: &Workflow, id: &str) -> Option<&[ColumnSchema]> {
        let known = self.value()?;
        workflow.links.iter().filter(|link| link.to.node == id).find_map(|link| {
            let at = |columns: &&athanor_protocol::api::PortColumns| {
                columns.node == link.from.node && columns.port == link.from.port
            };
            known.columns.iter().find(at).map(|found| found.columns.as_slice())
        })
    }
}

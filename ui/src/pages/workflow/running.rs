//! The run of the open workflow: starts it, stops it, and says how each node stands.

use std::collections::{BTreeMap, HashMap};

use athanor_protocol::{
    Code, Failure,
    api::{Event, NodeProgress, RunCancel, RunGet, RunStart},
    names::RunId,
    run::{RunStatus, StepState},
};
use egui::{RichText, Ui};

use super::{canvas::NodeState, editor::Editor};
use crate::{
    desk::{Desk, Remote},
    format,
    icons::{self, ph},
    pages::{Cx, Go},
    theme::{Theme, font_size},
    widgets,
    work::Work,
};

/// The run of the open workflow.
#[derive(Default)]
pub struct Running {
    start: Option<Work<RunStart>>,
    run: Option<RunId>,
    status: Option<RunStatus>,
    failure: Option<Failure>,
    steps: BTreeMap<String, NodeProgress>,
    view: Remote<RunGet>,
    content: u64,
    stopping: bool,
    hidden: bool,
    /// How nodes stand now.
    pub states: HashMap<String, NodeState>,
}

impl Running {
    /// Whether it runs or is about to.
    pub fn is_on(&self) -> bool {
        self.start.is_some() || (self.run.is_some() && self.status.is_some_and(|status| !status.is_final()))
    }

    /// Asks the run to stop.
    pub fn stop(&mut self, desk: &mut Desk) {
        if let Some(work) = &mut self.start {
            work.stop(desk);
        } else if let Some(run) = self.run.clone().filter(|_| self.is_on() && !self.stopping) {
            self.stopping = true;
            desk.tell(RunCancel { run }.into());
        }
    }

    /// Takes in what has come, and takes over a run that was at work before.
    pub fn keep(&mut self, cx: &mut Cx<'_>, workflow: &str, content: u64) -> bool {
        let mut done = false;
        if let Some(work) = &self.start
            && let Some(result) = work.take(cx.desk)
        {
            self.start = None;
            match result {
                Ok(started) => {
                    self.follow(started.run);
                    self.content = content;
                }
                Err(failure) if failure.code == Code::Cancelled => cx.toasts.info("Stopped before the run began"),
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
        if self.run.is_none() && self.start.is_none() {
            let at_work = cx.desk.running().filter(|run| run.summary.workflow == workflow).last();
            if let Some(run) = at_work.map(|run| (run.summary.id.clone(), run.summary.status)) {
                self.follow(run.0);
                (self.status, self.content) = (Some(run.1), content);
            }
        }
        if let Some(run) = self.run.clone()
            && self.view.keep(cx.desk, &RunGet { run })
            && let Some(view) = self.view.value()
        {
            self.status = Some(view.detail.summary.status);
            self.failure.clone_from(&view.detail.summary.failure);
            // What events told since the question was asked is at least as new.
            for step in &view.progress {
                self.steps.entry(step.node.clone()).or_insert_with(|| step.clone());
            }
            done = self.status.is_some_and(RunStatus::is_final);
        }
        if !self.is_on() && self.run.is_some() && self.content != content {
            // The document is another one now: what the old run said of its nodes is no longer true.
            *self = Self::default();
            self.hidden = true;
            done = true;
        }
        done
    }

    fn follow(&mut self, run: RunId) {
        *self = Self { run: Some(run), status: Some(RunStatus::Queued), ..Self::default() };
    }

    /// Something happened. True where the run ended.
    pub fn event(&mut self, event: &Event) -> bool {
        match event {
            Event::RunStep { run, progress } if Some(run) == self.run.as_ref() => {
                if self.status == Some(RunStatus::Queued) {
                    self.status = Some(RunStatus::Running);
                }
                self.steps.insert(progress.node.clone(), progress.clone());
                false
            }
            Event::RunChanged { run } if Some(&run.id) == self.run.as_ref() => {
                let was_on = self.is_on();
                self.status = Some(run.status);
                self.failure.clone_from(&run.failure);
                was_on && run.status.is_final()
            }
            Event::Lagged {} => {
                self.steps.clear();
                self.view.invalidate();
                false
            }
            _ => false,
        }
    }

    /// Brings the nodes' states up to date; `cached` tells which results are there.
    pub fn keep_states<'a>(&mut self, nodes: impl Iterator<Item = &'a str>, cached: impl Fn(&str) -> bool) {
        let Self { states, steps, failure, run, status, .. } = self;
        states.clear();
        let over = status.is_some_and(RunStatus::is_final);
        for id in nodes {
            match steps.get(id) {
                Some(step) => {
                    // A run that ended leaves no step at work behind.
                    let state = match step.state {
                        StepState::Running | StepState::Pending if over => None,
                        state => Some(state),
                    };
                    let failed = step.state == StepState::Failed;
                    let why = failure.as_ref().map(|failure| failure.message.clone());
                    states.insert(
                        id.to_owned(),
                        NodeState {
                            state,
                            note: if over { String::new() } else { step.note.clone() },
                            share: (step.total > 0).then(|| step.done as f32 / step.total as f32),
                            failure: failed.then(|| why.unwrap_or_else(|| step.note.clone())),
                        },
                    );
                }
                None if cached(id) && run.is_none() => {
                    states.insert(id.to_owned(), NodeState { state: Some(StepState::Cached), ..NodeState::default() });
                }
                None => {}
            }
        }
    }

    /// A strip with the run's state and a way to its page.
    pub fn strip(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let theme = Theme::of(ui);
        let Some(run) = self.run.clone() else {
            if let Some(work) = &self.start {
                ui.horizontal_centered(|ui| work.told_ui(ui, cx.desk, "Starting the run"));
            }
            return;
        };
        let status = self.status.unwrap_or(RunStatus::Queued);
        let n_done =
            self.steps.values().filter(|step| matches!(step.state, StepState::Done | StepState::Cached)).count();
        ui.horizontal_centered(|ui| {
            widgets::status_pill(ui, status);
            ui.label(
                RichText::new(format!("Run {}", format::short_id(run.as_str())))
                    .font(crate::theme::mono(font_size::MONO)),
            );
            let note = self.steps.values().find(|step| step.state == StepState::Running).map(|step| step.note.clone());
            let text = match (&self.failure, note) {
                (Some(failure), _) if status != RunStatus::Finished => widgets::sentence(&failure.message),
                (_, Some(note)) if self.is_on() && !note.is_empty() => note,
                _ if self.steps.is_empty() => String::new(),
                _ => format!("{} of {}", n_done, format::plural(self.steps.len() as u64, "step")),
            };
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if !self.is_on() && widgets::icon_button(ui, ph::X, "Hide this strip").clicked() {
                    self.hidden = true;
                }
                if widgets::link(ui, "Show the run").clicked() {
                    cx.go.push(Go::Run(run.clone()));
                }
                ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                    if status == RunStatus::Failed {
                        ui.label(icons::text(ph::WARNING_CIRCLE, 15.0).color(theme.bad));
                    }
                    let ink = if status == RunStatus::Failed { theme.bad } else { theme.muted };
                    ui.add(egui::Label::new(RichText::new(text).color(ink)).truncate().selectable(true));
                });
            });
        });
    }

    /// Whether there is something to say in the strip.
    pub fn has_strip(&self) -> bool {
        (self.run.is_some() && !self.hidden) || self.start.is_some()
    }
}

impl Editor {
    /// Starts a run: all, up to a node, or again from a node.
    pub fn start(&mut self, cx: &mut Cx<'_>, up_to: Option<String>, again_from: Option<String>) {
        if self.running.is_on() {
            return;
        }
        if !cx.desk.may_change() {
            cx.toasts.info("This workspace can be looked at but not changed, so nothing can run in it");
            return;
        }
        if self.doc.now().nodes.is_empty() {
            cx.toasts.info("Add nodes first");
            return;
        }
        // What a part of the workflow needs is for the engine to say; the whole must be right.
        if up_to.is_none() && !self.scene.problems.is_empty() {
            self.problems_open = true;
            let n = format::plural(self.scene.problems.len() as u64, "problem");
            cx.toasts.info(format!("Solve {n} first; the list is at the bottom"));
            return;
        }
        let settings = cx.desk.settings();
        let (device, seed) = (settings.device.clone(), settings.seed);
        let json = self.doc.now().to_json();
        let work = Work::begin(cx.desk, |token| RunStart { json, device, seed, up_to, again_from, token });
        self.running = Running { start: Some(work), content: self.doc.content(), ..Running::default() };
    }
}

//! Rollouts: a card for each served model, a form that starts one, and what is told when one ends by itself.

mod bar;
mod card;
mod start;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use athanor_protocol::{
    Failure,
    api::{
        EndpointStatus, ModelAlias, Request, RolloutAbort, RolloutBack, RolloutGet, RolloutPromote, RolloutStart,
        ServedModel,
    },
    registry::PRODUCTION,
    rollout::{Rollout, RolloutPhase, RolloutSpec},
};
use egui::Ui;

use self::{card::Shown, start::Starting};
use crate::{
    desk::{Remote, Ticket},
    icons::ph,
    pages::{Cx, Go, Route},
    toasts::Tone,
    widgets,
};

/// How often the figures of a rollout that runs are asked for while they are seen, in seconds.
const EVERY_SECS: f64 = 2.0;

/// What a user asked for in this frame.
enum Act {
    /// The form of a new one.
    Ask {
        model: String,
        candidate: Option<u32>,
    },
    Promote(String),
    Back(String),
    End(String),
    Again(String),
}

/// What was asked of the engine, with how the rollout was before.
enum Sent {
    Promote(Ticket<RolloutPromote>),
    Back(Ticket<RolloutBack>),
    End(Ticket<RolloutAbort>),
}

struct Waiting {
    model: String,
    before: Rollout,
    sent: Sent,
}

/// The rollouts.
#[derive(Default)]
pub(super) struct Rollouts {
    by_model: BTreeMap<String, Remote<RolloutGet>>,
    asked_at: f64,
    starting: Option<Starting>,
    /// A form that was asked for before it was known what is served.
    wanted: Option<(String, Option<u32>)>,
    waiting: Vec<Waiting>,
    /// Ends that were told already.
    told: BTreeSet<(u64, &'static str)>,
}

fn move_alias(model: &str, version: u32) -> Request {
    ModelAlias { model: model.to_owned(), alias: PRODUCTION.to_owned(), version: Some(version) }.into()
}

/// What is left of a rollout's plan from the step on at which it was ended.
fn rest(rollout: &Rollout) -> RolloutSpec {
    let steps = rollout.spec.steps.get(rollout.step as usize..).unwrap_or_default().to_vec();
    RolloutSpec { steps, ..rollout.spec.clone() }
}

impl Rollouts {
    pub(super) fn invalidate(&mut self) {
        self.by_model.values_mut().for_each(Remote::invalidate);
    }

    /// Opens the form, at once or when it is known what is served.
    pub(super) fn ask_new(&mut self, model: &str, candidate: Option<u32>) {
        self.wanted = Some((model.to_owned(), candidate));
    }

    /// The rollout of a model that runs, as far as it is known.
    pub(super) fn running(&self, model: &str) -> Option<&Rollout> {
        let rollout = self.by_model.get(model)?.value()?.rollout.as_ref()?;
        (rollout.phase == RolloutPhase::Running).then_some(rollout)
    }

    fn known(&self, model: &str) -> Option<&Rollout> {
        self.by_model.get(model)?.value()?.rollout.as_ref()
    }

    /// Keeps what is known of the served models' rollouts; where it is `seen`, also the figures of those that run.
    pub(super) fn keep(&mut self, ui: &Ui, cx: &mut Cx<'_>, status: &EndpointStatus, seen: bool) {
        self.by_model.retain(|model, _| status.models.iter().any(|served| served.model == *model));
        let due = seen && cx.desk.now_secs() - self.asked_at >= EVERY_SECS;
        let mut any = false;
        for served in &status.models {
            let running = self.running(&served.model).is_some();
            let remote = self.by_model.entry(served.model.clone()).or_default();
            any |= running;
            if due && running && !remote.busy() && remote.error().is_none() {
                remote.invalidate();
            }
            remote.keep(cx.desk, &RolloutGet { model: served.model.clone() });
        }
        if due {
            self.asked_at = cx.desk.now_secs();
        }
        if any && seen {
            ui.ctx().request_repaint_after_secs(1.0);
        }
        if let Some((model, candidate)) = self.wanted.take() {
            let remote = self.by_model.get(&model);
            if remote.is_some_and(|remote| remote.value().is_none() && remote.error().is_none()) {
                // Whether one runs already will be known in a moment.
                self.wanted = Some((model, candidate));
            } else {
                self.open_form(cx, &status.models, model, candidate);
            }
        }
    }

    fn open_form(&mut self, cx: &mut Cx<'_>, served: &[ServedModel], model: String, candidate: Option<u32>) {
        match served.iter().find(|served| served.model == model) {
            Some(_) if !cx.desk.may_change() => cx.toasts.info("This workspace can only be looked at"),
            Some(_) if self.running(&model).is_some() => {
                cx.toasts.info(format!("A rollout of {model} runs already: promote or end it first"));
            }
            Some(served) => self.starting = Some(Starting::new(model, served.version, candidate)),
            None => cx.toasts.info(format!("{model} has no version in production: promote one first")),
        }
    }

    /// Draws the cards.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, status: &EndpointStatus) {
        if status.models.is_empty() {
            let text = "A rollout lets a new version take over from the one in production. Promote a first version.";
            let action = Some((ph::CUBE, "Open Models"));
            if widgets::empty_state(ui, ph::ARROWS_SPLIT, "Nothing is in production", text, action) {
                cx.go.push(Go::To(Route::Models));
            }
            return;
        }
        if status.url.is_none() && status.models.iter().any(|served| self.running(&served.model).is_some()) {
            widgets::note(ui, Tone::Warn, "the endpoint of this window does not run: here, its rollouts stand still");
        }
        let mut acts = vec![];
        for served in &status.models {
            let Some(remote) = self.by_model.get(&served.model) else { continue };
            widgets::card(ui, |ui| {
                if let Some(failure) = remote.error() {
                    widgets::heading(ui, &served.model, "");
                    if widgets::failure(ui, failure) {
                        acts.push(Act::Again(served.model.clone()));
                    }
                    return;
                }
                let Some(answer) = remote.value() else {
                    widgets::heading(ui, &served.model, "");
                    if remote.slow(cx.desk) {
                        widgets::loading(ui, "Looking for a rollout");
                    }
                    return;
                };
                let busy = self.waiting.iter().any(|waiting| waiting.model == served.model);
                let (may_change, now) = (cx.desk.may_change(), cx.desk.now_millis());
                Shown { served, rollout: answer.rollout.as_ref(), busy, may_change, now }.ui(ui, &mut acts);
            });
        }
        for act in acts {
            self.do_it(act, cx);
        }
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        if let Some(mut starting) = self.starting.take()
            && starting.ui(ui, cx)
        {
            self.starting = Some(starting);
        }
    }

    fn do_it(&mut self, act: Act, cx: &mut Cx<'_>) {
        let (model, kind) = match act {
            Act::Ask { model, candidate } => return self.ask_new(&model, candidate),
            Act::Again(model) => {
                if let Some(remote) = self.by_model.get_mut(&model) {
                    remote.invalidate();
                }
                return;
            }
            Act::Promote(model) => (model, 0),
            Act::Back(model) => (model, 1),
            Act::End(model) => (model, 2),
        };
        let Some(before) = self.known(&model).cloned() else { return };
        let named = model.clone();
        let sent = match kind {
            0 => Sent::Promote(cx.desk.ask(RolloutPromote { model: named })),
            1 => Sent::Back(cx.desk.ask(RolloutBack { model: named })),
            _ => Sent::End(cx.desk.ask(RolloutAbort { model: named })),
        };
        self.waiting.push(Waiting { model, before, sent });
    }

    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some(starting) = &mut self.starting
            && let Some(ticket) = starting.sent
            && let Some(result) = cx.desk.take(ticket)
        {
            starting.sent = None;
            match result {
                Ok(rollout) => {
                    self.starting = None;
                    self.started(cx, &rollout);
                    self.set(rollout);
                }
                Err(failure) => {
                    let hint = failure.hint.as_deref().map(widgets::sentence).unwrap_or_default();
                    starting.trouble =
                        Some(format!("{} {hint}", widgets::sentence(&failure.message)).trim().to_owned());
                }
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        for item in waiting {
            let result = match &item.sent {
                Sent::Promote(ticket) => cx.desk.take(*ticket),
                Sent::Back(ticket) => cx.desk.take(*ticket),
                Sent::End(ticket) => cx.desk.take(*ticket),
            };
            match result {
                None => self.waiting.push(item),
                Some(result) => self.done(cx, &item, result),
            }
        }
    }

    fn started(&self, cx: &mut Cx<'_>, rollout: &Rollout) {
        let label = format!("Version {} of {} is being rolled out", rollout.spec.candidate, rollout.model);
        let model = rollout.model.clone();
        let start = RolloutStart { model: model.clone(), spec: rollout.spec.clone() };
        cx.undo.push(label.clone(), vec![RolloutAbort { model }.into()], vec![start.into()]);
        cx.toasts.undoable(label);
    }

    fn done(&mut self, cx: &mut Cx<'_>, item: &Waiting, result: Result<Rollout, Failure>) {
        let Waiting { model, before, sent } = item;
        let after = match result {
            Ok(after) => after,
            Err(failure) => {
                cx.toasts.failure(&failure);
                if let Some(remote) = self.by_model.get_mut(model) {
                    remote.invalidate();
                }
                return;
            }
        };
        let candidate = before.spec.candidate;
        let begin_again = || vec![RolloutStart { model: model.clone(), spec: rest(before) }.into()];
        let step = match sent {
            Sent::Promote(_) => {
                let undo = vec![RolloutBack { model: model.clone() }.into()];
                let label = format!("Promoted {model} version {candidate} to production");
                Some((label, undo, vec![move_alias(model, candidate)]))
            }
            Sent::Back(_) if before.phase == RolloutPhase::Promoted => {
                let label = format!("{model} is answered by version {} again", before.stable);
                Some((label, vec![move_alias(model, candidate)], vec![move_alias(model, before.stable)]))
            }
            Sent::Back(_) if after.phase == RolloutPhase::Running => {
                cx.toasts.ok(format!("Version {candidate} of {model} answers {} % again", after.percent()));
                None
            }
            Sent::Back(_) | Sent::End(_) => {
                let label = format!("Ended the rollout of {model} version {candidate}");
                Some((label, begin_again(), vec![RolloutAbort { model: model.clone() }.into()]))
            }
        };
        if let Some((label, undo, redo)) = step {
            cx.undo.push(label.clone(), undo, redo);
            cx.toasts.undoable(label);
        }
        self.set(after);
    }

    /// Takes over how a rollout is now; one that is older than what is known says nothing.
    fn set(&mut self, rollout: Rollout) {
        if rollout.phase != RolloutPhase::Running {
            self.told.insert((rollout.id, rollout.phase.as_str()));
        }
        if let Some(remote) = self.by_model.get_mut(&rollout.model) {
            if let Some(answer) = remote.value_mut()
                && answer.rollout.as_ref().is_none_or(|known| known.id <= rollout.id)
            {
                answer.rollout = Some(rollout);
            }
            remote.invalidate();
        }
    }

    /// A rollout changed; what ended without being asked for here is told, whichever page is seen.
    pub(super) fn changed(&mut self, rollout: &Rollout, cx: &mut Cx<'_>) {
        let mine = self.waiting.iter().any(|waiting| waiting.model == rollout.model);
        let told = !self.told.insert((rollout.id, rollout.phase.as_str()));
        if !mine
            && !told
            && let Some((tone, what)) = card::told(rollout)
        {
            cx.toasts.news(tone, what, rollout.reason.clone());
        }
        self.set(rollout.clone());
    }
}

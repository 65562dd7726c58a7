//! What people say about versions and do with them: stages with a reason, the way back, deleting and restoring.

use athanor_protocol::{
    Failure,
    api::{
        Done, ModelAlias, ModelDelete, ModelHistory, ModelHistoryAnswer, ModelRestore, ModelRollback, ModelStage,
        StageSet,
    },
    governance::{AliasMove, Stage},
    registry::{ModelVersion, PRODUCTION},
};
use egui::Ui;

use super::{
    dialogs::{buttons, failure_note},
    stages::{said, stage_title, verb},
};
use crate::{
    desk::{Remote, Ticket},
    pages::Cx,
    theme::size,
    toasts::Tone,
    widgets::{self, Confirm, DialogAsk, Kind},
};

/// A stage that is about to be set.
struct Staging {
    version: u32,
    stage: Stage,
    reason: String,
    roll_back: bool,
    /// The alias that is moved to the version once it is approved, and what is said then.
    then: Option<(String, String)>,
    sent: Option<Ticket<ModelStage>>,
    failure: Option<Failure>,
}

/// A request whose answer is awaited.
enum Sent {
    RollBack(Ticket<ModelRollback>),
    Delete(Ticket<ModelDelete>, u32),
    Restore(Ticket<ModelRestore>, u32),
}

/// What people say about versions, and what waits for an answer.
#[derive(Default)]
pub(super) struct Govern {
    pub(super) history: Remote<ModelHistory>,
    staging: Option<Staging>,
    deleting: Confirm<u32>,
    /// A version that can't be deleted, and the aliases that point to it.
    in_use: Option<(u32, Vec<String>)>,
    sent: Vec<(String, Sent)>,
    /// Aliases to be moved now that their version is approved: alias, version, label.
    pub(super) promoted: Vec<(String, u32, String)>,
}

impl Govern {
    pub(super) fn keep(&mut self, cx: &mut Cx<'_>, model: &str) {
        self.history.keep(cx.desk, &ModelHistory { model: model.to_owned() });
    }

    /// What is known of this model.
    pub(super) fn of(&self, model: &str) -> Option<&ModelHistoryAnswer> {
        self.history.value().filter(|_| self.history.value_of().is_some_and(|ask| ask.model == model))
    }

    /// Whether an alias may not point to a version of this stage.
    pub(super) fn refuses(&self, model: &str, alias: &str, stage: Stage) -> bool {
        stage != Stage::Approved && self.of(model).is_some_and(|history| history.rules.protects(alias))
    }

    pub(super) fn ask_stage(&mut self, version: u32, stage: Stage, then: Option<(String, String)>) {
        let reason = String::new();
        self.staging = Some(Staging { version, stage, reason, roll_back: false, then, sent: None, failure: None });
    }

    pub(super) fn ask_delete(&mut self, item: &ModelVersion) {
        if item.aliases.is_empty() {
            self.deleting.ask(item.version, "");
        } else {
            self.in_use = Some((item.version, item.aliases.clone()));
        }
    }

    pub(super) fn roll_back(&mut self, cx: &mut Cx<'_>, model: &str) {
        if cx.desk.may_change() {
            let ticket = cx.desk.ask(rollback(model, false));
            self.sent.push((model.to_owned(), Sent::RollBack(ticket)));
        }
    }

    pub(super) fn restore(&mut self, cx: &mut Cx<'_>, model: &str, version: u32) {
        let ticket = cx.desk.ask(ModelRestore { model: model.to_owned(), version });
        self.sent.push((model.to_owned(), Sent::Restore(ticket, version)));
    }

    /// Takes in what has come; true when the lists may be old now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>, model: &str) -> bool {
        let mut changed = false;
        if let Some(staging) = &mut self.staging
            && let Some(ticket) = staging.sent
            && let Some(result) = cx.desk.take(ticket)
        {
            staging.sent = None;
            match result {
                Ok(set) => {
                    changed = true;
                    staged(cx, model, staging, &set);
                    if let Some((alias, label)) = staging.then.take() {
                        self.promoted.push((alias, staging.version, label));
                    }
                    self.staging = None;
                }
                Err(failure) => staging.failure = Some(failure),
            }
        }
        let sent = std::mem::take(&mut self.sent);
        for (model, item) in sent {
            let came = match &item {
                Sent::RollBack(ticket) => {
                    cx.desk.take(*ticket).map(|result| result.map(|moved| rolled_back(cx, &model, &moved)))
                }
                Sent::Delete(ticket, version) => {
                    cx.desk.take(*ticket).map(|result| result.map(|Done {}| deleted(cx, &model, *version)))
                }
                Sent::Restore(ticket, version) => {
                    cx.desk.take(*ticket).map(|result| result.map(|Done {}| restored(cx, &model, *version)))
                }
            };
            match came {
                None => self.sent.push((model, item)),
                Some(result) => {
                    changed = true;
                    if let Err(failure) = result {
                        cx.toasts.failure(&failure);
                    }
                }
            }
        }
        if changed {
            self.history.invalidate();
        }
        changed
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>, model: &str, items: &[ModelVersion]) {
        let text = "It is hidden and its package is removed with the next cleaning; until then it can be restored.";
        let title =
            self.deleting.thing().map(|version| format!("Delete {model} version {version}?")).unwrap_or_default();
        if let Some(version) = self.deleting.ui(ui, &title, text, "Delete") {
            let ask = ModelDelete { model: model.to_owned(), version, reason: String::new() };
            self.sent.push((model.to_owned(), Sent::Delete(cx.desk.ask(ask), version)));
        }
        if let Some((version, aliases)) = &self.in_use {
            let mut closed = false;
            let title = format!("Version {version} is in use");
            let (_, ask) = widgets::dialog_parts(ui, "delete-in-use", &title, 420.0, |parts| {
                let points = if aliases.len() == 1 { "points" } else { "point" };
                let text = format!(
                    "{} {points} to it, so it can't be deleted. Move or remove that alias first; what is live goes on \
                     meanwhile.",
                    aliases.join(", ")
                );
                parts.body(|ui| widgets::muted(ui, &text));
                closed = parts.footer(|ui| widgets::button(ui, Kind::Primary, None, "Close").clicked());
            });
            if closed || ask == DialogAsk::Close {
                self.in_use = None;
            }
        }
        let forbids_self = self.of(model).is_some_and(|history| history.rules.forbid_self_approval);
        if let Some(mut staging) = self.staging.take()
            && staging.ui(ui, cx, model, items, forbids_self)
        {
            self.staging = Some(staging);
        }
    }
}

fn rollback(model: &str, undo: bool) -> ModelRollback {
    ModelRollback { model: model.to_owned(), alias: PRODUCTION.to_owned(), undo, reason: String::new() }
}

fn rolled_back(cx: &mut Cx<'_>, model: &str, moved: &AliasMove) {
    let label = match moved.to {
        Some(to) => format!("Rolled back {model} to version {to}"),
        None => format!("{model} has no version in production now"),
    };
    cx.undo.push(label.clone(), vec![rollback(model, true).into()], vec![rollback(model, false).into()]);
    cx.toasts.undoable(label);
}

fn deleted(cx: &mut Cx<'_>, model: &str, version: u32) {
    let label = format!("Deleted {model} version {version}");
    let named = || model.to_owned();
    let undo = ModelRestore { model: named(), version };
    let redo = ModelDelete { model: named(), version, reason: String::new() };
    cx.undo.push(label.clone(), vec![undo.into()], vec![redo.into()]);
    cx.toasts.undoable(label);
}

fn restored(cx: &mut Cx<'_>, model: &str, version: u32) {
    let label = format!("Restored {model} version {version}");
    let named = || model.to_owned();
    let undo = ModelDelete { model: named(), version, reason: String::new() };
    let redo = ModelRestore { model: named(), version };
    cx.undo.push(label.clone(), vec![undo.into()], vec![redo.into()]);
    cx.toasts.undoable(label);
}

fn staged(cx: &mut Cx<'_>, model: &str, staging: &Staging, set: &StageSet) {
    let Staging { version, stage, reason, roll_back, .. } = staging;
    let Some(change) = &set.change else {
        cx.toasts.info(format!("{model} version {version} was {} already", stage_title(*stage)));
        return;
    };
    let mut label = format!("{} {model} version {version}", said(*stage));
    for moved in &set.moved {
        if let Some(to) = moved.to {
            label = format!("{label}; {} is version {to} now", moved.alias);
        }
    }
    let of = |stage, reason: &str, roll_back| {
        ModelStage { model: model.to_owned(), version: *version, stage, reason: reason.to_owned(), roll_back }.into()
    };
    let mut undo = vec![of(change.from, "taken back", false)];
    undo.extend(
        set.moved.iter().map(|moved| {
            ModelAlias { model: model.to_owned(), alias: moved.alias.clone(), version: moved.from }.into()
        }),
    );
    cx.undo.push(label.clone(), undo, vec![of(*stage, reason, *roll_back)]);
    cx.toasts.undoable(label);
}

impl Staging {
    /// Draws it; false once it is to be closed.
    fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>, model: &str, items: &[ModelVersion], forbids_self: bool) -> bool {
        let title = format!("{}: {model} version {}", verb(self.stage), self.version);
        let aliases = items.iter().find(|item| item.version == self.version).map(|item| item.aliases.join(", "));
        let goes = matches!(self.stage, Stage::Rejected | Stage::Archived);
        let mut answer = None;
        let (_, ask) = widgets::dialog_parts(ui, "stage", &title, 440.0, |parts| {
            parts.body(|ui| {
                ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                if let Some((alias, _)) = &self.then {
                    let text = format!(
                        "{alias} of {model} may only point to approved versions, and this one is not approved yet"
                    );
                    widgets::note(ui, Tone::Info, &text);
                }
                let field = widgets::field(ui, "Why", "It stays in the model's history", None, |ui| {
                    widgets::line_edit(
                        ui,
                        "Why",
                        &mut self.reason,
                        "fewer missed tumours than the version before",
                        false,
                    )
                });
                widgets::focus_first(&field);
                if let Some(aliases) = aliases.filter(|aliases| goes && !aliases.is_empty()) {
                    let text = format!("Move {aliases} back to the newest version that is still approved");
                    widgets::check_text(ui, &mut self.roll_back, &text);
                }
                if self.stage == Stage::Approved && forbids_self {
                    widgets::muted(ui, "Whoever registered the version may not approve it.");
                }
                if let Some(failure) = &self.failure {
                    failure_note(ui, failure);
                }
            });
            let verb = if self.then.is_some() { "Approve and promote" } else { verb(self.stage) };
            answer = parts.footer(|ui| buttons(ui, verb, true, self.sent.is_some()));
        });
        match (answer, ask) {
            (Some(true), _) => {
                self.failure = None;
                self.sent = Some(cx.desk.ask(ModelStage {
                    model: model.to_owned(),
                    version: self.version,
                    stage: self.stage,
                    reason: self.reason.trim().to_owned(),
                    roll_back: self.roll_back,
                }));
                true
            }
            (Some(false), _) => false,
            (None, DialogAsk::Close) => self.sent.is_some(),
            (None, DialogAsk::Nothing) => true,
        }
    }
}

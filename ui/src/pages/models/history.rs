//! What happened to a model: stages, moves of aliases, deleted versions; and the rules that hold for it.

use athanor_protocol::{
    api::{ModelHistoryAnswer, ModelRules},
    governance::{MoveKind, Rules, Stage},
    registry::PRODUCTION,
};
use egui::{RichText, Ui};

use super::{
    Act, ModelsPage,
    compare_view::{back_head, selectable},
    retention::Save,
    stages::{stage_color, stage_title},
};
use crate::{
    desk::Ticket,
    format,
    pages::Cx,
    theme::{Theme, size},
    widgets::{self, Col, Kind},
};

const fn move_title(kind: MoveKind) -> &'static str {
    match kind {
        MoveKind::Move => "moved",
        MoveKind::RollBack => "rolled back",
        MoveKind::UndoMove => "move undone",
        MoveKind::UndoRollBack => "roll back undone",
    }
}

/// Rules that are on their way, with what takes them back.
#[derive(Default)]
pub(super) struct RulesSent {
    sent: Vec<(Ticket<ModelRules>, ModelRules, ModelRules)>,
}

impl RulesSent {
    /// Takes in what has come; true when the history may be old now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut changed = false;
        let sent = std::mem::take(&mut self.sent);
        for (ticket, ask, back) in sent {
            match cx.desk.take(ticket) {
                None => self.sent.push((ticket, ask, back)),
                Some(Ok(_)) => {
                    changed = true;
                    let label = format!("Changed the rules of {}", ask.model.as_deref().unwrap_or("the workspace"));
                    cx.undo.push(label.clone(), vec![back.into()], vec![ask.into()]);
                    cx.toasts.undoable(label);
                }
                Some(Err(failure)) => {
                    changed = true;
                    cx.toasts.failure(&failure);
                }
            }
        }
        changed
    }

    fn send(&mut self, cx: &mut Cx<'_>, model: &str, rules: Option<Rules>, known: &ModelHistoryAnswer) {
        let model = Some(model.to_owned());
        let back = ModelRules { model: model.clone(), rules: known.own_rules.then(|| known.rules.clone()) };
        let ask = ModelRules { model, rules };
        self.sent.push((cx.desk.ask(ask.clone()), ask, back));
    }

    /// Rules of all models that have none of their own; what is known are the workspace's.
    fn send_workspace(&mut self, cx: &mut Cx<'_>, rules: Rules, known: &ModelHistoryAnswer) {
        let back = ModelRules { model: None, rules: Some(known.rules.clone()) };
        let ask = ModelRules { model: None, rules: Some(rules) };
        self.sent.push((cx.desk.ask(ask.clone()), ask, back));
    }
}

impl ModelsPage {
    pub(super) fn history_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>) {
        let model = self.model.clone().unwrap_or_default();
        back_head(ui, cx.theme, &format!("{model}: history"), acts);
        if let Some(failure) = self.govern.history.error() {
            if widgets::failure(ui, failure) {
                acts.push(Act::Again);
            }
            return;
        }
        let Some(history) = self.govern.of(&model) else {
            if self.govern.history.slow(cx.desk) {
                widgets::loading(ui, "Loading the history");
            }
            return;
        };
        let history = history.clone();
        widgets::titled_card(ui, "Rules", if history.own_rules { "of this model" } else { "of the workspace" }, |ui| {
            self.rules_ui(ui, cx, &model, &history);
        });
        let now = cx.desk.now_millis();
        widgets::titled_card(ui, "Stages", "", |ui| stages_ui(ui, &history, now));
        widgets::titled_card(ui, "Aliases", "", |ui| moves_ui(ui, &history, now));
        let may_change = cx.desk.may_change();
        widgets::titled_card(ui, "Deleted versions", "", |ui| deleted_ui(ui, &history, now, may_change, acts));
    }

    fn rules_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, model: &str, history: &ModelHistoryAnswer) {
        let mut rules = history.rules.clone();
        let others: Vec<&str> =
            rules.needs_approval.iter().map(String::as_str).filter(|alias| *alias != PRODUCTION).collect();
        let others = others.join(", ");
        let mut own = history.own_rules;
        ui.add_enabled_ui(cx.desk.may_change(), |ui| {
            let mut protected = rules.protects(PRODUCTION);
            widgets::switch(ui, &mut protected, "Production needs approval")
                .on_hover_text("It can only be moved to versions that somebody approved");
            if protected != rules.protects(PRODUCTION) {
                rules.needs_approval.retain(|alias| alias != PRODUCTION);
                if protected {
                    rules.needs_approval.push(PRODUCTION.to_owned());
                }
            }
            if !others.is_empty() {
                widgets::muted(ui, &format!("So do {others}."));
            }
            widgets::switch(ui, &mut rules.forbid_self_approval, "Somebody else approves than registered it");
            if own && widgets::button(ui, Kind::Quiet, None, "Use the workspace's rules").clicked() {
                own = false;
            }
        });
        ui.add_space(size::TINY_GAP);
        match self.retention.ui(ui, cx, model, history) {
            Some(Save::Model(wanted)) => return self.rules.send(cx, model, Some(wanted), history),
            Some(Save::Workspace(wanted)) => return self.rules.send_workspace(cx, wanted, history),
            None => {}
        }
        if rules != history.rules {
            self.rules.send(cx, model, Some(rules), history);
        } else if own != history.own_rules {
            self.rules.send(cx, model, None, history);
        }
    }
}

fn when(ui: &mut Ui, at_millis: i64, now: i64) {
    let full = format!("{} {} UTC", format::date(at_millis), format::clock(at_millis));
    widgets::muted(ui, &format::ago(at_millis, now)).on_hover_text(full);
}

fn why(ui: &mut Ui, reason: &str) {
    if reason.is_empty() {
        widgets::cell_none(ui);
    } else {
        let text = RichText::new(reason).color(Theme::of(ui).text);
        ui.add(egui::Label::new(text).truncate().selectable(true)).on_hover_text(reason);
    }
}

fn stages_ui(ui: &mut Ui, history: &ModelHistoryAnswer, now: i64) {
    if history.stages.is_empty() {
        widgets::muted(ui, "Nobody has approved or rejected a version yet.");
        return;
    }
    let columns = [
        Col::fixed("When", 88.0),
        Col::fixed("Version", 56.0),
        Col::fixed("Stage", 150.0),
        Col::fixed("By", 90.0),
        Col::wide("Why"),
    ];
    widgets::lines_header(ui, &columns);
    for change in &history.stages {
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => when(ui, change.at_millis, now),
            1 => widgets::cell_mono(ui, &change.version.to_string()),
            2 => {
                let color = stage_color(Theme::of(ui), change.to);
                let before = if change.from == Stage::None { "nothing" } else { stage_title(change.from) };
                widgets::small_pill(ui, color, stage_title(change.to)).on_hover_text(format!("Before: {before}"));
            }
            3 => widgets::cell_text(ui, &change.actor),
            _ => why(ui, &change.reason),
        });
    }
}

fn moves_ui(ui: &mut Ui, history: &ModelHistoryAnswer, now: i64) {
    if history.moves.is_empty() {
        widgets::muted(ui, "No alias has moved yet.");
        return;
    }
    let columns = [
        Col::fixed("When", 88.0),
        Col::wide("Alias"),
        Col::fixed("From", 48.0),
        Col::fixed("To", 48.0),
        Col::fixed("How", 120.0),
        Col::fixed("By", 90.0),
        Col::wide("Why"),
    ];
    widgets::lines_header(ui, &columns);
    for step in &history.moves {
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => when(ui, step.at_millis, now),
            1 => selectable(ui, &step.alias, Theme::of(ui).text),
            2 | 3 => match if at == 2 { step.from } else { step.to } {
                Some(version) => widgets::cell_mono(ui, &version.to_string()),
                None => widgets::cell_none(ui),
            },
            4 => {
                widgets::muted(ui, move_title(step.kind));
            }
            5 => widgets::cell_text(ui, &step.actor),
            _ => why(ui, &step.reason),
        });
    }
}

fn deleted_ui(ui: &mut Ui, history: &ModelHistoryAnswer, now: i64, may_change: bool, acts: &mut Vec<Act>) {
    if history.deleted.is_empty() {
        widgets::muted(ui, "None. A deleted version can be restored until the next cleaning.");
        return;
    }
    let columns = [
        Col::fixed("When", 88.0),
        Col::fixed("Version", 56.0),
        Col::number("Size", 70.0),
        Col::fixed("By", 90.0),
        Col::wide("Why"),
        Col { title: "", width: Some(130.0), right: true },
    ];
    widgets::lines_header(ui, &columns);
    for gone in &history.deleted {
        widgets::line_row(ui, &columns, 34.0, |ui, at| match at {
            0 => when(ui, gone.at_millis, now),
            1 => widgets::cell_mono(ui, &gone.version.to_string()),
            2 => widgets::cell_mono(ui, &format::bytes(gone.n_bytes)),
            3 => widgets::cell_text(ui, &gone.actor),
            4 => why(ui, &gone.reason),
            _ if gone.cleaned_at_millis.is_some() => {
                widgets::muted(ui, "package removed");
            }
            _ => {
                ui.add_enabled_ui(may_change, |ui| {
                    let said = format!("Restore version {}", gone.version);
                    if widgets::small_button(ui, Kind::Secondary, &said).clicked() {
                        acts.push(Act::Restore(gone.version));
                    }
                });
            }
        });
    }
}

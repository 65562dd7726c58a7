//! How a model is watched: what is kept of requests, when a report is made, whom an alert is sent to.

use athanor_protocol::{
    Failure,
    api::{MonitorConfigure, ServedModel},
    monitor::MonitorConfig,
};
use egui::Ui;

use crate::{
    desk::Ticket,
    format,
    pages::{Cx, models::failure_note},
    theme::size,
    toasts::Tone,
    widgets::{self, Kind},
};

const MIB: f64 = (1 << 20) as f64;

/// The form.
#[derive(Default)]
pub(super) struct Form {
    /// The model that is edited, its settings as the engine has them, and as they are typed.
    open: Option<(String, MonitorConfig, MonitorConfig)>,
    webhook: String,
    sent: Option<(Ticket<MonitorConfigure>, MonitorConfigure, MonitorConfig)>,
    failure: Option<Failure>,
}

impl Form {
    /// Takes in what has come; true when the settings may be others now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some((ticket, ask, before)) = &self.sent else { return false };
        let Some(result) = cx.desk.take(*ticket) else { return false };
        match result {
            Ok(_) => {
                let label = format!("Changed how {} is watched", ask.model);
                let back = MonitorConfigure { model: ask.model.clone(), config: before.clone() };
                cx.undo.push(label.clone(), vec![back.into()], vec![ask.clone().into()]);
                cx.toasts.undoable(label);
                (self.sent, self.open) = (None, None);
                true
            }
            Err(failure) => {
                (self.sent, self.failure) = (None, Some(failure));
                false
            }
        }
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, served: &ServedModel, known: &MonitorConfig) {
        let is_of = |open: &(String, MonitorConfig, MonitorConfig)| open.0 == served.model;
        // What was changed elsewhere is taken over while nothing was typed here.
        let untouched = self.open.as_ref().is_none_or(|(_, before, now)| before == now);
        if !self.open.as_ref().is_some_and(is_of)
            || (untouched && self.open.as_ref().is_some_and(|open| open.1 != *known))
        {
            self.open = Some((served.model.clone(), known.clone(), known.clone()));
            self.webhook = known.webhook.clone().unwrap_or_default();
            self.failure = None;
        }
        let kept = if known.capture > 0.0 {
            format!("keeps {} % of requests", format::number(known.capture * 100.0))
        } else {
            "keeps no requests".to_owned()
        };
        widgets::heading(ui, "How it is watched", &kept);
        let Some((_, _, config)) = &mut self.open else { return };
        let may = cx.desk.may_change() && self.sent.is_none();
        ui.add_enabled_ui(may, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            if ui.available_width() > 700.0 {
                widgets::columns(ui, 2, |ui, at| {
                    ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                    if at == 0 { kept_ui(ui, config, served) } else { told_ui(ui, config, &mut self.webhook) }
                });
            } else {
                kept_ui(ui, config, served);
                told_ui(ui, config, &mut self.webhook);
            }
        });
        let webhook = self.webhook.trim();
        config.webhook = (!webhook.is_empty()).then(|| webhook.to_owned());
        self.end_ui(ui, cx);
    }

    fn end_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some((model, before, config)) = &mut self.open else { return };
        let problems = config.problems();
        for (setting, rule) in &problems {
            widgets::note(ui, Tone::Warn, &format!("{}: {rule}", setting.replace('_', " ")));
        }
        if let Some(failure) = &self.failure {
            failure_note(ui, failure);
        }
        if config == before {
            return;
        }
        let (mut save, mut reset) = (false, false);
        ui.horizontal(|ui| {
            ui.add_enabled_ui(problems.is_empty() && self.sent.is_none(), |ui| {
                save = widgets::button(ui, Kind::Primary, None, "Save").clicked();
            });
            reset = widgets::button(ui, Kind::Secondary, None, "Reset").clicked();
            if self.sent.is_some() {
                widgets::loading(ui, "Saving");
            }
        });
        if save {
            let ask = MonitorConfigure { model: model.clone(), config: config.clone() };
            self.failure = None;
            self.sent = Some((cx.desk.ask(ask.clone()), ask, before.clone()));
        } else if reset {
            self.webhook = before.webhook.clone().unwrap_or_default();
            *config = before.clone();
        }
    }
}

/// A number between two words.
fn number(ui: &mut Ui, words: [&str; 2], name: &str, value: f64, most: f64, unit: &str) -> f64 {
    let mut value = value;
    ui.horizontal(|ui| {
        widgets::muted(ui, words[0]);
        widgets::number_field(ui, name, &mut value, 0.0..=most, unit);
        widgets::muted(ui, words[1]);
    });
    value
}

fn whole(value: f64) -> u64 {
    value.round().clamp(0.0, 1e15) as u64
}

/// What is kept of requests.
fn kept_ui(ui: &mut Ui, config: &mut MonitorConfig, served: &ServedModel) {
    widgets::label(ui, "Kept of requests, in this workspace");
    let percent =
        number(ui, ["Keep", "of requests with their answers"], "Share kept", config.capture * 100.0, 100.0, "%");
    config.capture = (percent * 1e6).round() / 1e8;
    if config.capture <= 0.0 {
        let text = "Drift is found without that; truths that arrive later need it.";
        widgets::muted(ui, text);
        return;
    }
    let days = number(ui, ["for", ""], "Days kept", config.retention_days.into(), 3_650.0, "days");
    config.retention_days = whole(days) as u32;
    let mib =
        number(ui, ["up to", ""], "Room for what is kept", config.retention_bytes as f64 / MIB, 16_777_216.0, "MiB");
    config.retention_bytes = (mib * MIB).round().clamp(0.0, 2e13) as u64;
    let title = match config.redact.len() {
        0 => "Columns that are never kept".to_owned(),
        n => format!("Columns that are never kept ({n})"),
    };
    widgets::fold(ui, "redacted", &title, false, |ui| {
        egui::ScrollArea::vertical().id_salt("redacted").max_height(180.0).show(ui, |ui| {
            for input in &served.signature.inputs {
                let mut on = config.redact.contains(&input.name);
                if widgets::check_text(ui, &mut on, &input.name).changed() {
                    config.redact.retain(|name| *name != input.name);
                    if on {
                        config.redact.push(input.name.clone());
                    }
                }
            }
        });
    });
}

/// When a report is made and whom it is told to.
fn told_ui(ui: &mut Ui, config: &mut MonitorConfig, webhook: &mut String) {
    widgets::label(ui, "Reports and alerts");
    let minutes =
        number(ui, ["A report after", "or"], "Minutes of a report", config.every_minutes.into(), 10_080.0, "min");
    config.every_minutes = whole(minutes) as u32;
    let rows = number(ui, ["after", "whichever is first,"], "Rows of a report", config.every_rows as f64, 1e9, "rows");
    config.every_rows = whole(rows);
    let least = number(ui, ["with at least", ""], "Least rows of a report", config.min_rows as f64, 1e6, "rows");
    config.min_rows = whole(least);
    let patience = number(ui, ["An alert after", "that agree"], "Patience", config.patience.into(), 100.0, "reports");
    config.patience = whole(patience) as u32;
    widgets::field(
        ui,
        "Send alerts to",
        "An https address, or http on this machine; alerts are sent there by POST",
        None,
        |ui| widgets::line_edit(ui, "Webhook", webhook, "https://example.org/hooks/athanor", false),
    );
    if !webhook.trim().is_empty() {
        widgets::check_text(ui, &mut config.webhook_private, "That address may be in a private network");
    }
}

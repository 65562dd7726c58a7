//! From an alert to a new version: a run on newer data, and where it went.

use std::collections::BTreeMap;

use athanor_protocol::{
    Code, Failure,
    api::{AlertRetrain, AlertRetrained},
    monitor::Alert,
};
use egui::Ui;

use crate::{
    format,
    pages::{Cx, Go, models::failure_note, paths::TableField},
    theme::size,
    widgets::{self, DialogAsk, Kind},
    work::Work,
};

/// A table to retrain on that is being named.
struct Form {
    alert: u64,
    model: String,
    table: TableField,
    /// Why the captured rows were not enough, or the table would not do.
    failure: Option<Failure>,
}

/// Runs that answer alerts.
#[derive(Default)]
pub(super) struct Retraining {
    asked: BTreeMap<u64, (String, Work<AlertRetrain>)>,
    /// The runs that were started while this page was there, by alert.
    started: BTreeMap<u64, AlertRetrained>,
    form: Option<Form>,
}

impl Retraining {
    fn begin(&mut self, cx: &mut Cx<'_>, id: u64, model: &str, table: Option<String>) {
        let work = Work::begin(cx.desk, |token| AlertRetrain { id, table, token });
        self.asked.insert(id, (model.to_owned(), work));
    }

    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        let asked = std::mem::take(&mut self.asked);
        for (alert, (model, work)) in asked {
            match work.take(cx.desk) {
                None => {
                    self.asked.insert(alert, (model, work));
                }
                Some(Ok(answer)) => {
                    cx.toasts.ok(format!("A run that retrains {model} has begun"));
                    self.started.insert(alert, answer);
                    self.form = self.form.take().filter(|form| form.alert != alert);
                }
                Some(Err(failure)) if failure.code == Code::Cancelled => cx.toasts.info("No run was started"),
                Some(Err(failure)) => {
                    // Another table may do.
                    let table = self.form.take().filter(|form| form.alert == alert).map(|form| form.table);
                    let table = table.unwrap_or_default();
                    self.form = Some(Form { alert, model, table, failure: Some(failure) });
                }
            }
        }
    }

    /// The buttons of an alert that is open, and what became of them.
    pub(super) fn buttons_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, alert: &Alert) {
        let under_way = self.asked.contains_key(&alert.id);
        ui.add_enabled_ui(cx.desk.may_change() && !under_way, |ui| {
            let help = "Starts the workflow that made this version on the rows that were kept with their truth; what it \
                        registers becomes the next version";
            if widgets::small_button(ui, Kind::Secondary, "Retrain on newer data").on_hover_text(help).clicked() {
                self.begin(cx, alert.id, &alert.model, None);
            }
            let help = "The same workflow on a table that you choose";
            if widgets::small_button(ui, Kind::Quiet, "On a table").on_hover_text(help).clicked() {
                let (model, table) = (alert.model.clone(), TableField::default());
                self.form = Some(Form { alert: alert.id, model, table, failure: None });
            }
        });
    }

    /// How far the start of a run is, and where it went.
    pub(super) fn state_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, alert: u64) {
        if let Some((_, work)) = self.asked.get_mut(&alert) {
            work.ui(ui, cx.desk, "Starting a run");
        }
        if let Some(started) = self.started.get(&alert) {
            let data = match started.n_rows {
                Some(n) => format!("on {} with their truth", format::plural(n, "captured row")),
                None => format!("on {}", file_name(&started.table)),
            };
            widgets::tight_wrapped(ui, |ui| {
                widgets::muted(ui, &format!("Run {} {data}", format::short_id(started.run.as_str())))
                    .on_hover_text(format!("The workflow {} on {}", started.workflow, started.table));
                if widgets::link(ui, "Show the run").clicked() {
                    cx.go.push(Go::Run(started.run.clone()));
                }
            });
        }
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let Some(mut form) = self.form.take() else { return };
        let under_way = self.asked.contains_key(&form.alert);
        let mut answer = None;
        let title = format!("Retrain {} on a table", form.model);
        let (_, ask) = widgets::dialog_parts(ui, "retrain", &title, 440.0, |parts| {
            parts.body(|ui| {
                ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
                if let Some(failure) = &form.failure {
                    failure_note(ui, failure);
                }
                let text = "The workflow that made this version runs on it. It needs the same columns, and the truth.";
                widgets::muted(ui, text);
                ui.add_enabled_ui(!under_way, |ui| form.table.ui(ui, cx, "Choose a newer table"));
            });
            parts.footer(|ui| {
                ui.horizontal(|ui| {
                    ui.add_enabled_ui(!under_way && !form.table.path.trim().is_empty(), |ui| {
                        if widgets::button(ui, Kind::Primary, None, "Retrain").clicked() {
                            answer = Some(true);
                        }
                    });
                    if widgets::button(ui, Kind::Secondary, None, "Cancel").clicked() {
                        answer = Some(false);
                    }
                    if let Some((_, work)) = self.asked.get_mut(&form.alert) {
                        work.told_ui(ui, cx.desk, "Starting a run");
                    }
                });
            });
        });
        match (answer, ask) {
            (Some(true), _) => {
                form.failure = None;
                let table = Some(form.table.path.trim().to_owned());
                self.begin(cx, form.alert, &form.model, table);
                self.form = Some(form);
            }
            (Some(false), _) | (None, DialogAsk::Close) => {
                if let Some((_, work)) = self.asked.get_mut(&form.alert) {
                    work.stop(cx.desk);
                }
            }
            (None, DialogAsk::Nothing) => self.form = Some(form),
        }
    }
}

/// The last part of a path, of any system.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

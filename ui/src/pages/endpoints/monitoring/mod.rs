//! Monitoring: how each served model does, what drifted, alerts, and what is kept of the requests.

mod alerts;
mod drift;
mod quality;
mod retrain;
mod settings;
mod spread;

use std::collections::BTreeMap;

use athanor_protocol::{
    api::{AlertList, EndpointStatus, MonitorGet, MonitorView, ServedModel},
    monitor::{Alert, MonitorReport},
};
use egui::Ui;

use self::{alerts::Acts, settings::Form};
use crate::{
    desk::Remote,
    format,
    icons::ph,
    pages::{Cx, Go, Route, paged::Paged},
    theme::{Theme, size},
    toasts::Tone,
    widgets::{self, Col},
};

/// How many reports of a model are at hand.
const REPORTS: u32 = 20;
/// How often new reports are looked for while they are seen, in seconds.
const EVERY_SECS: f64 = 30.0;

/// The monitoring of the served models.
#[derive(Default)]
pub(super) struct Monitoring {
    by_model: BTreeMap<String, Remote<MonitorGet>>,
    asked_at: f64,
    alerts: Paged<AlertList>,
    model: Option<String>,
    /// The number of the report that is shown; `None` is the newest.
    report: Option<u64>,
    /// The columns whose bars are shown.
    spread: Option<String>,
    spread_prediction: Option<String>,
    acts: Acts,
    form: Form,
}

/// How a model does: a word and its colour.
fn light(view: &MonitorView) -> (&'static str, Tone) {
    let Some(report) = view.reports.first() else { return ("no report yet", Tone::Info) };
    if view.alerts.iter().any(|alert| alert.acknowledged_at_millis.is_none()) {
        ("alert", Tone::Bad)
    } else if report.data_drifted || report.predictions_drifted || !view.alerts.is_empty() {
        ("drifts", Tone::Warn)
    } else if report.inputs.iter().chain(&report.predictions).any(|column| column.drifted) {
        ("a column drifts", Tone::Warn)
    } else {
        ("well", Tone::Ok)
    }
}

impl Monitoring {
    pub(super) fn invalidate(&mut self) {
        self.by_model.values_mut().for_each(Remote::invalidate);
        self.alerts.invalidate();
    }

    /// An alert was raised, resolved or acknowledged; a new one is told, whichever page is seen.
    pub(super) fn changed(&mut self, alert: &Alert, cx: &mut Cx<'_>) {
        if alert.resolved_at_millis.is_none() && alert.acknowledged_at_millis.is_none() {
            cx.toasts.news(
                Tone::Warn,
                widgets::sentence(&alert.message),
                Some("look at Endpoints, Monitoring".to_owned()),
            );
        }
        if let Some(remote) = self.by_model.get_mut(&alert.model) {
            remote.invalidate();
        }
        self.alerts.invalidate();
    }

    /// A period of a model was judged.
    pub(super) fn reported(&mut self, model: &str) {
        if let Some(remote) = self.by_model.get_mut(model) {
            remote.invalidate();
        }
    }

    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if self.acts.take(cx) | self.form.take(cx) {
            self.invalidate();
        }
    }

    /// What is open over the page.
    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        self.acts.retraining.dialogs_ui(ui, cx);
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, status: &EndpointStatus) {
        if status.models.is_empty() {
            let text = "What a served model is asked is compared with what it was trained on. Promote a first version.";
            let action = Some((ph::CUBE, "Open Models"));
            if widgets::empty_state(ui, ph::PULSE, "Nothing is in production", text, action) {
                cx.go.push(Go::To(Route::Models));
            }
            return;
        }
        if cx.desk.now_secs() - self.asked_at >= EVERY_SECS {
            self.asked_at = cx.desk.now_secs();
            // What failed waits for a person.
            self.by_model.values_mut().filter(|remote| remote.error().is_none()).for_each(Remote::invalidate);
        }
        ui.ctx().request_repaint_after_secs(EVERY_SECS as f32);
        self.by_model.retain(|model, _| status.models.iter().any(|served| served.model == *model));
        for served in &status.models {
            let ask = MonitorGet { model: served.model.clone(), version: None, limit: REPORTS };
            self.by_model.entry(served.model.clone()).or_default().keep(cx.desk, &ask);
        }
        if status.models.len() > 1 {
            widgets::titled_card(ui, "Models", "against what they were trained on", |ui| {
                self.models_ui(ui, cx, status)
            });
        }
        let Some(served) = self.chosen(status).cloned() else { return };
        self.model_ui(ui, cx, &served);
    }

    /// The model that is shown: the one that was chosen, else the first that needs a look, else the first.
    fn chosen<'a>(&self, status: &'a EndpointStatus) -> Option<&'a ServedModel> {
        let find = |name: &String| status.models.iter().find(|served| served.model == *name);
        let troubled = || {
            status.models.iter().find(|served| {
                let view = self.by_model.get(&served.model).and_then(Remote::value);
                view.is_some_and(|view| matches!(light(view).1, Tone::Bad | Tone::Warn))
            })
        };
        self.model.as_ref().and_then(find).or_else(troubled).or_else(|| status.models.first())
    }

    fn models_ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, status: &EndpointStatus) {
        let chosen = self.chosen(status).map(|served| served.model.clone());
        let columns = [
            Col::wide("Model"),
            Col::fixed("State", 130.0),
            Col::number("Columns drifted", 110.0),
            Col::number("Rows", 80.0),
            Col::number("Last report", 100.0),
        ];
        widgets::lines_header(ui, &columns);
        let now = cx.desk.now_millis();
        let mut choose = None;
        for served in &status.models {
            let remote = self.by_model.get(&served.model);
            let view = remote.and_then(Remote::value);
            let report = view.and_then(|view| view.reports.first());
            widgets::line_row(ui, &columns, 34.0, |ui, at| match (at, report) {
                (0, _) => {
                    if widgets::link(ui, &served.model).on_hover_text("Show how this model does").clicked() {
                        choose = Some(served.model.clone());
                    }
                    if chosen.as_ref() == Some(&served.model) && ui.available_width() > 84.0 {
                        widgets::muted(ui, "shown below");
                    }
                }
                (1, _) => match (view, remote.and_then(Remote::error)) {
                    (Some(view), _) => {
                        let (word, tone) = light(view);
                        let color = if view.reports.is_empty() { cx.theme.muted } else { tone.color(cx.theme) };
                        widgets::small_pill(ui, color, word);
                    }
                    (None, Some(failure)) => {
                        widgets::small_pill(ui, cx.theme.bad, "can't be read").on_hover_text(&failure.message);
                    }
                    (None, None) => {}
                },
                (_, None) => widgets::cell_none(ui),
                (2, Some(report)) => {
                    let n = report.inputs.iter().filter(|column| column.drifted).count();
                    widgets::cell_mono(ui, &format!("{n} of {}", report.inputs.len()));
                }
                (3, Some(report)) => widgets::cell_mono(ui, &format::count(report.n_rows)),
                (_, Some(report)) => {
                    widgets::muted(ui, &format::ago(report.period_millis[1], now));
                }
            });
        }
        if choose.is_some() {
            (self.model, self.report, self.spread, self.spread_prediction) = (choose, None, None, None);
        }
    }

    fn model_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, served: &ServedModel) {
        let Some(remote) = self.by_model.get_mut(&served.model) else { return };
        if let Some(failure) = remote.error() {
            if widgets::failure(ui, failure) {
                remote.invalidate();
            }
            return;
        }
        let Some(view) = remote.value() else {
            if remote.slow(cx.desk) {
                widgets::loading(ui, "Loading reports");
            }
            return;
        };
        let view = view.clone();
        let ask = AlertList { model: Some(served.model.clone()), open: false, after: None };
        self.alerts.keep(cx.desk, &ask);
        if self.alerts.error().is_some() || !self.alerts.items().is_empty() {
            widgets::card(ui, |ui| {
                widgets::heading(ui, "Alerts", &served.model);
                match self.alerts.error() {
                    Some(failure) => {
                        if widgets::failure(ui, failure) {
                            self.alerts.invalidate();
                        }
                    }
                    None => self.acts.ui(ui, cx, &mut self.alerts),
                }
            });
        }
        let shown = self.report.and_then(|id| view.reports.iter().find(|report| report.id == id));
        match shown.or_else(|| view.reports.first()) {
            Some(report) => self.report_ui(ui, cx, &view, report),
            None => {
                widgets::card(ui, |ui| {
                    widgets::heading(ui, &format!("{} version {}", served.model, served.version), "");
                    let text = format!(
                        "No report yet. One is made after {} or {}, once {} were answered.",
                        format::plural(view.config.every_minutes.into(), "minute"),
                        format::plural(view.config.every_rows, "row"),
                        format::plural(view.config.min_rows, "row"),
                    );
                    widgets::muted(ui, &text);
                });
            }
        }
        widgets::card(ui, |ui| self.form.ui(ui, cx, served, &view.config));
    }

    fn report_ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, view: &MonitorView, report: &MonitorReport) {
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            self.head_ui(ui, cx, view, report);
            ui.add_space(size::TINY_GAP);
            drift::table_ui(ui, "Column", &report.inputs, &mut self.spread);
        });
        if !report.predictions.is_empty() {
            widgets::titled_card(ui, "Predictions", "against those on the rows of training", |ui| {
                drift::table_ui(ui, "Prediction", &report.predictions, &mut self.spread_prediction);
            });
        }
        if !report.data_quality.is_empty() {
            let fact = "rows that break what training saw";
            widgets::titled_card(ui, "Data quality", fact, |ui| quality::data_ui(ui, &report.data_quality));
        }
        if let Some(found) = &report.quality {
            let fact = format!("on {} whose truth became known", format::plural(found.n_rows, "row"));
            widgets::titled_card(ui, "How good it is", &fact, |ui| quality::model_ui(ui, found));
        }
    }

    fn head_ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, view: &MonitorView, report: &MonitorReport) {
        let theme = Theme::of(ui);
        let now = cx.desk.now_millis();
        ui.horizontal(|ui| {
            ui.set_height(size::CONTROL);
            widgets::heading(ui, &format!("{} version {}", report.model, report.model_version), "");
            let n = report.inputs.iter().filter(|column| column.drifted).count();
            let (word, color) = match (report.data_drifted, report.predictions_drifted) {
                (true, _) => ("the data drifted", theme.bad),
                (false, true) => ("the predictions drifted", theme.warn),
                (false, false) if n > 0 => ("a part drifted", theme.warn),
                (false, false) => ("as in training", theme.ok),
            };
            widgets::small_pill(ui, color, word);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let options: Vec<(u64, String)> = view
                    .reports
                    .iter()
                    .map(|report| {
                        let [_, end] = report.period_millis;
                        (report.id, format!("{} {}", format::date(end), format::clock(end)))
                    })
                    .collect();
                let mut id = report.id;
                ui.scope(|ui| {
                    ui.set_max_width(190.0);
                    if options.len() > 1 && widgets::choice(ui, "monitor-report", "Report", &mut id, &options) {
                        self.report = Some(id);
                    }
                });
            });
        });
        let [from, to] = report.period_millis;
        let span = format::duration_millis(to - from);
        let sampled = if report.n_compared < report.n_rows {
            format!(", a sample of {} compared", format::count(report.n_compared))
        } else {
            String::new()
        };
        let text =
            format!("{} in {span}, up to {}{sampled}.", format::plural(report.n_rows, "row"), format::ago(to, now));
        widgets::muted(ui, &text).on_hover_text("Rows that were answered in the report's period");
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn a_light_is_red_until_somebody_has_seen_the_alert() {
        let mut view = fake::monitor_view("tumours");
        assert_eq!(light(&view), ("alert", Tone::Bad));
        view.alerts.iter_mut().for_each(|alert| alert.acknowledged_at_millis = Some(1));
        assert_eq!(light(&view), ("drifts", Tone::Warn));
        view.alerts.clear();
        for report in &mut view.reports {
            (report.data_drifted, report.predictions_drifted) = (false, false);
        }
        assert_eq!(light(&view), ("a column drifts", Tone::Warn));
        for report in &mut view.reports {
            report.inputs.iter_mut().chain(&mut report.predictions).for_each(|column| column.drifted = false);
        }
        assert_eq!(light(&view), ("well", Tone::Ok));
        view.reports.clear();
        assert_eq!(light(&view), ("no report yet", Tone::Info));
    }
}

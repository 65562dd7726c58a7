//! Draws two versions side by side.

use athanor_protocol::{api::RunGet, names::RunId, registry::ModelVersion, signature::InputColumn};
use egui::{Align, Layout, RichText, Ui};

use super::{
    Act, ModelsPage,
    compare::{self, SignatureChange, Verdict},
    detail::type_title,
    names::{metric_title, split_title, value as value_text},
    versions::alias_tag,
};
use crate::{
    icons::{self, ph},
    pages::Cx,
    theme::{self, Theme, font_size, size},
    widgets::{self, Col},
};

impl ModelsPage {
    /// The two marked versions, the older one first.
    fn pair(&self) -> Option<(&ModelVersion, &ModelVersion)> {
        let [a, b] = self.marked.as_slice() else { return None };
        let find = |version: u32| self.versions.items().iter().find(|item| item.version == version);
        Some((find(*a.min(b))?, find(*a.max(b))?))
    }

    pub(super) fn compare_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, acts: &mut Vec<Act>) {
        let Some((first, second)) = self.pair() else {
            acts.push(Act::Compare(false));
            return;
        };
        let runs = [first.run_id.clone(), second.run_id.clone()];
        for (remote, run) in self.pair.iter_mut().zip(&runs) {
            match run {
                Some(run) => {
                    remote.keep(cx.desk, &RunGet { run: run.clone() });
                }
                None => remote.clear(),
            }
        }
        let Some((first, second)) = self.pair() else { return };
        head(ui, cx.theme, first, second, acts);
        let (name, older, newer) = (first.model.clone(), first.version, second.version);
        widgets::card(ui, |ui| self.on_rows.ui(ui, cx, &name, older, newer));
        let Some((first, second)) = self.pair() else { return };
        widgets::titled_card(ui, "Metrics", "as each package holds them", |ui| metrics_ui(ui, cx.theme, first, second));
        widgets::titled_card(ui, "Signature", "", |ui| signature_ui(ui, cx.theme, first, second));
        let mut all = self.all_params;
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::heading(ui, "Parameters of the runs", "");
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    widgets::switch(ui, &mut all, "Show equal ones too");
                });
            });
            self.params_ui(ui, cx, first, second);
        });
        self.all_params = all;
    }

    fn params_ui(&self, ui: &mut Ui, cx: &Cx<'_>, first: &ModelVersion, second: &ModelVersion) {
        let (Some(run_a), Some(run_b)) = (&first.run_id, &second.run_id) else {
            widgets::muted(ui, "One of them was imported from a file: no run of this workspace made it.");
            return;
        };
        let [a, b] = &self.pair;
        let is_of = |at: usize, run: &RunId| {
            self.pair.get(at).and_then(|pair| pair.value_of()).is_some_and(|ask| ask.run == *run)
        };
        let (Some(a_view), Some(b_view), true, true) = (a.value(), b.value(), is_of(0, run_a), is_of(1, run_b)) else {
            if let Some(failure) = a.error().or(b.error()) {
                widgets::muted(ui, &widgets::sentence(&failure.message));
            } else if a.slow(cx.desk) || b.slow(cx.desk) {
                widgets::loading(ui, "Looking up the runs");
            }
            return;
        };
        let lines = compare::params(&a_view.detail.params, &b_view.detail.params);
        let shown: Vec<_> = lines.into_iter().filter(|(_, a, b)| self.all_params || a != b).collect();
        if shown.is_empty() {
            widgets::muted(ui, "Both runs were given the same parameters.");
            return;
        }
        let titles = [format!("Version {}", first.version), format!("Version {}", second.version)];
        let columns = [Col::wide("Parameter"), Col::wide(&titles[0]), Col::wide(&titles[1])];
        widgets::lines_header(ui, &columns);
        for (name, a, b) in shown {
            widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
                0 => selectable(ui, name, cx.theme.text),
                _ => match if at == 1 { a } else { b } {
                    Some(value) => selectable(ui, value, if a == b { cx.theme.muted } else { cx.theme.text }),
                    None => widgets::cell_none(ui),
                },
            });
        }
    }
}

pub(super) fn selectable(ui: &mut Ui, text: &str, color: egui::Color32) {
    ui.add(egui::Label::new(RichText::new(text).monospace().color(color)).truncate().selectable(true));
}

/// Whether Escape was pressed and nothing else waits for it.
fn escape(ui: &Ui) -> bool {
    let taken = ui.ctx().egui_wants_keyboard_input() || egui::Popup::is_any_open(ui.ctx());
    !taken && ui.input(|input| input.key_pressed(egui::Key::Escape))
}

/// The head of what stands in place of the versions: a way back and a title.
pub(super) fn back_head(ui: &mut Ui, theme: &Theme, title: &str, acts: &mut Vec<Act>) {
    ui.horizontal(|ui| {
        if widgets::icon_button(ui, ph::ARROW_LEFT, "Back to the versions").clicked() || escape(ui) {
            acts.push(Act::Aside(None));
        }
        let text = RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text);
        ui.add(egui::Label::new(text).truncate().selectable(true));
    });
}

fn head(ui: &mut Ui, theme: &Theme, first: &ModelVersion, second: &ModelVersion, acts: &mut Vec<Act>) {
    ui.horizontal(|ui| {
        if widgets::icon_button(ui, ph::ARROW_LEFT, "Back to the versions").clicked() || escape(ui) {
            acts.push(Act::Compare(false));
        }
        let title = |text: String| RichText::new(text).font(theme::semibold(font_size::TITLE)).color(theme.text);
        ui.label(title(format!("{}: version {}", first.model, first.version)));
        first.aliases.iter().for_each(|alias| alias_tag(ui, alias));
        ui.label(title(format!("and version {}", second.version)));
        second.aliases.iter().for_each(|alias| alias_tag(ui, alias));
    });
}

fn metrics_ui(ui: &mut Ui, theme: &Theme, first: &ModelVersion, second: &ModelVersion) {
    let lines = compare::metrics(first, second);
    if lines.is_empty() {
        widgets::muted(ui, "Neither package holds metrics.");
        return;
    }
    let titles = [format!("Version {}", first.version), format!("Version {}", second.version)];
    let columns = [
        Col::wide("Metric"),
        Col::fixed("On", 80.0),
        Col::number(&titles[0], 92.0),
        Col::number(&titles[1], 92.0),
        Col::number("Difference", 120.0),
    ];
    widgets::lines_header(ui, &columns);
    for line in &lines {
        let (color, icon, word) = match line.verdict {
            Verdict::Better => (theme.ok, ph::CHECK_CIRCLE, "better"),
            Verdict::Worse => (theme.bad, ph::WARNING_CIRCLE, "worse"),
            Verdict::Open => (theme.muted, ph::EQUALS, ""),
        };
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => widgets::cell_text(ui, &metric_title(&line.key)),
            1 => {
                widgets::muted(ui, split_title(&line.key));
            }
            2 | 3 => match if at == 2 { line.first } else { line.second } {
                Some(value) => selectable(ui, &value_text(value), theme.text),
                None => widgets::cell_none(ui),
            },
            _ => match line.difference() {
                Some(difference) => {
                    if word.is_empty() {
                        if difference != 0.0 {
                            selectable(ui, &signed(difference), theme.muted);
                        } else {
                            widgets::muted(ui, "equal");
                        }
                        return;
                    }
                    ui.label(icons::text(icon, 14.0).color(color))
                        .on_hover_text(format!("Version {} is {word}", second.version));
                    selectable(ui, &signed(difference), color);
                    ui.label(RichText::new(word).size(font_size::LABEL).color(color));
                }
                None => widgets::cell_none(ui),
            },
        });
    }
}

pub(super) fn signed(value: f64) -> String {
    let text = value_text(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

fn typed(input: &InputColumn) -> String {
    let may = if input.nullable { ", may be missing" } else { "" };
    format!("{}{may}", type_title(input.dtype))
}

fn signature_ui(ui: &mut Ui, theme: &Theme, first: &ModelVersion, second: &ModelVersion) {
    let changes = compare::signature(&first.signature, &second.signature);
    if changes.is_empty() {
        ui.horizontal(|ui| {
            ui.label(icons::text(ph::CHECK_CIRCLE, size::ICON).color(theme.ok));
            widgets::muted(ui, "Both take and give the same: clients need no change.");
        });
        return;
    }
    let columns = [Col::fixed("", 84.0), Col::wide("What"), Col::wide("Before"), Col::wide("After")];
    widgets::lines_header(ui, &columns);
    for change in &changes {
        let (word, color, what, before, after) = match change {
            SignatureChange::Added(input) => ("added", theme.ok, input.name.as_str(), None, Some(typed(input))),
            SignatureChange::Removed(input) => ("removed", theme.bad, input.name.as_str(), Some(typed(input)), None),
            SignatureChange::Changed(from, to) => {
                ("changed", theme.warn, from.name.as_str(), Some(typed(from)), Some(typed(to)))
            }
            SignatureChange::Other(what, from, to) => {
                ("changed", theme.warn, *what, Some(from.clone()), Some(to.clone()))
            }
        };
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => {
                widgets::small_pill(ui, color, word);
            }
            1 => selectable(ui, what, theme.text),
            _ => match if at == 2 { &before } else { &after } {
                Some(text) => widgets::cell_text(ui, text),
                None => widgets::cell_none(ui),
            },
        });
    }
}

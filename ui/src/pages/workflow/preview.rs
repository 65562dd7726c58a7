//! What comes out of a port of the chosen node, under the canvas.

use athanor_protocol::{
    api::{Preview as Answer, ReportView, RowsPage, WorkflowPreview},
    workflow::{Endpoint, Workflow},
};
use egui::{RichText, ScrollArea, Ui};

use super::{doc::Document, scene::NodeView};
use crate::{
    desk::{Desk, Remote},
    format,
    icons::ph,
    theme::{Theme, size},
    widgets::{self, Grid, GridColumn},
};

/// Rows that are asked for at once.
const ROWS: u32 = 200;
/// So long after the last change the engine is asked.
const WAIT_SECS: f64 = 0.5;

/// What comes out of a port.
#[derive(Default)]
pub struct Preview {
    /// Whether it is open.
    pub open: bool,
    remote: Remote<WorkflowPreview>,
    request: Option<WorkflowPreview>,
    of: Option<(Endpoint, u64, u64)>,
    port: String,
    offset: u64,
    due: Option<f64>,
}

/// What a user wants in the preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewAsk {
    /// Nothing.
    Nothing,
    /// To run up to this node.
    Run,
}

impl Preview {
    /// Forgets what it knew: a run has made new results.
    pub fn invalidate(&mut self) {
        self.remote.invalidate();
    }

    /// Seconds until it is time to ask.
    pub fn wait(&self, now: f64) -> Option<f64> {
        self.due.map(|due| (due - now).max(0.0))
    }

    fn keep(&mut self, desk: &mut Desk, doc: &Document, end: Endpoint) {
        let wanted = (end, doc.content(), self.offset);
        if self.of.as_ref() != Some(&wanted) {
            let same_content = self.of.as_ref().is_none_or(|of| of.1 == wanted.1);
            if self.of.as_ref().is_some_and(|of| of.0 != wanted.0) {
                self.remote.clear();
            }
            self.due = Some(desk.now_secs() + if same_content { 0.0 } else { WAIT_SECS });
            self.of = Some(wanted);
        }
        if self.due.is_some_and(|due| desk.now_secs() >= due)
            && let Some((end, ..)) = &self.of
        {
            self.due = None;
            let settings = desk.settings();
            self.request = Some(WorkflowPreview {
                json: doc.now().to_json(),
                node: end.node.clone(),
                port: end.port.clone(),
                seed: settings.seed,
                device: settings.device.clone(),
                offset: self.offset,
                limit: ROWS,
            });
        }
        if let Some(request) = &self.request {
            self.remote.keep(desk, request);
        }
    }

    /// Draws it for the chosen node.
    pub fn ui(&mut self, ui: &mut Ui, desk: &mut Desk, doc: &Document, node: Option<&NodeView>) -> PreviewAsk {
        let theme = Theme::of(ui);
        let mut ask = PreviewAsk::Nothing;
        let ports = node.map(|node| ports_of(doc.now(), node)).unwrap_or_default();
        ui.horizontal(|ui| {
            ui.label(RichText::new("Preview").font(crate::theme::semibold(14.5)));
            if let Some(node) = node {
                widgets::muted(ui, &node.title);
            }
            if ports.len() > 1 {
                let options: Vec<(String, &str)> =
                    ports.iter().map(|end| (end.to_string(), end.port.as_str())).collect();
                if !options.iter().any(|(name, _)| *name == self.port) {
                    self.port.clone_from(&options[0].0);
                }
                if widgets::segments(ui, &mut self.port, &options) {
                    self.offset = 0;
                }
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if widgets::icon_button(ui, ph::X, "Close the preview").clicked() {
                    self.open = false;
                }
                if self.remote.slow(desk) {
                    ui.add(egui::Spinner::new().size(16.0).color(theme.accent));
                }
            });
        });
        ui.add_space(size::TINY_GAP);
        let end = ports.iter().find(|end| end.to_string() == self.port).or(ports.first()).cloned();
        let Some(end) = end else {
            let text = if node.is_some() {
                "Nothing is linked to this node yet."
            } else {
                "Choose a node to see what comes out of it."
            };
            widgets::muted(ui, text);
            return ask;
        };
        if !desk.may_ask() {
            let text = "Tables are not opened for a preview where things can only be looked at. \
                        The pages Runs and Models show what came out.";
            widgets::muted(ui, text);
            return ask;
        }
        if self.of.as_ref().is_some_and(|of| of.0 != end) {
            self.offset = 0;
        }
        self.keep(desk, doc, end);
        if let Some(failure) = self.remote.error().cloned() {
            ScrollArea::vertical().id_salt("preview-failure").show(ui, |ui| {
                if widgets::failure(ui, &failure) {
                    self.remote.invalidate();
                }
            });
            return ask;
        }
        let Some(answer) = self.remote.value() else {
            if self.remote.slow(desk) {
                widgets::muted(ui, "Looking at the first rows.");
            }
            return ask;
        };
        let mut offset = self.offset;
        match answer {
            Answer::Table { rows, sampled } => {
                let note = if *sampled { "made from the first rows of the files" } else { "" };
                pages(ui, rows, note, &mut offset);
                rows_grid(ui, rows);
            }
            Answer::Splits { train, n_rows } => {
                let [n_train, n_valid, n_test] = n_rows.map(format::count);
                let note = format!("training rows of {n_train} training, {n_valid} validation and {n_test} test rows");
                pages(ui, train, &note, &mut offset);
                rows_grid(ui, train);
            }
            Answer::Model { signature, n_bytes, facts } => {
                let mut rows = vec![
                    ("Predicts".to_owned(), format!("{} ({})", signature.target, signature.task.as_str())),
                    (
                        "Takes".to_owned(),
                        signature.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", "),
                    ),
                    ("Package".to_owned(), format::bytes(*n_bytes)),
                ];
                if !signature.classes.is_empty() {
                    rows.insert(1, ("Classes".to_owned(), signature.classes.join(", ")));
                }
                rows.extend(facts.iter().cloned());
                ScrollArea::vertical().id_salt("preview-model").auto_shrink([false, false]).show(ui, |ui| {
                    widgets::facts(ui, &rows);
                });
            }
            Answer::Report { report } => report_ui(ui, report),
            Answer::NotYet {} => {
                ui.horizontal(|ui| {
                    widgets::muted(ui, "This node has not run yet. Run to see what comes out of it.");
                    if widgets::secondary(ui, ph::PLAY, "Run to here").clicked() {
                        ask = PreviewAsk::Run;
                    }
                });
            }
        }
        if offset != self.offset {
            self.offset = offset;
        }
        ask
    }
}

/// The ports that can be looked at: the node's outputs, or what feeds it where it has none.
fn ports_of(workflow: &Workflow, node: &NodeView) -> Vec<Endpoint> {
    if node.outputs.is_empty() {
        return workflow.links.iter().filter(|link| link.to.node == node.id).map(|link| link.from.clone()).collect();
    }
    node.outputs.iter().map(|port| Endpoint { node: node.id.clone(), port: port.name.clone() }).collect()
}

fn pages(ui: &mut Ui, rows: &RowsPage, note: &str, offset: &mut u64) {
    let n = rows.cells.first().map_or(0, Vec::len) as u64;
    ui.horizontal(|ui| {
        let of = rows.n_rows.map(|n| format!(" of {}", format::count(n))).unwrap_or_default();
        let text = if n == 0 {
            "No rows".to_owned()
        } else {
            format!(
                "Rows {} to {}{of}, {}",
                format::count(rows.offset + 1),
                format::count(rows.offset + n),
                format::plural(rows.columns.len() as u64, "column")
            )
        };
        let text = if note.is_empty() { text } else { format!("{text}; {note}") };
        widgets::muted(ui, &text);
        ui.add_enabled_ui(rows.offset > 0, |ui| {
            if widgets::icon_button(ui, ph::CARET_LEFT, "Rows before").clicked() {
                *offset = rows.offset.saturating_sub(u64::from(ROWS));
            }
        });
        let more = n == u64::from(ROWS) && rows.n_rows.is_none_or(|all| rows.offset + n < all);
        ui.add_enabled_ui(more, |ui| {
            if widgets::icon_button(ui, ph::CARET_RIGHT, "Rows after").clicked() {
                *offset = rows.offset + u64::from(ROWS);
            }
        });
    });
}

fn rows_grid(ui: &mut Ui, rows: &RowsPage) {
    let columns: Vec<GridColumn> = rows
        .columns
        .iter()
        .map(|column| {
            let width = (column.name.chars().count() as f32 * 7.5 + 36.0).clamp(84.0, 220.0);
            if column.dtype.is_numeric() {
                GridColumn::number(&column.name, width)
            } else {
                GridColumn::text(&column.name, width)
            }
        })
        .collect();
    let n = rows.cells.first().map_or(0, Vec::len);
    if columns.is_empty() {
        widgets::muted(ui, "The table has no columns.");
        return;
    }
    ScrollArea::horizontal().id_salt("preview-grid").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new("preview-rows", &columns, n).row_height(26.0).show(
            ui,
            |_, _| {},
            |ui, row, column| match rows.cells.get(column).and_then(|cells| cells.get(row)) {
                Some(Some(text)) if columns[column].numeric => widgets::cell_mono(ui, text),
                Some(Some(text)) => widgets::cell_text(ui, text),
                _ => widgets::cell_none(ui),
            },
        );
    });
}

fn report_ui(ui: &mut Ui, report: &ReportView) {
    ScrollArea::vertical().id_salt("preview-report").auto_shrink([false, false]).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 32.0;
            widgets::figure(ui, "target", &report.target, report.task.as_str());
            widgets::figure(ui, "rows judged", &format::count(report.n_rows), "");
            for (name, value) in report.evaluation.metrics.iter().take(12) {
                widgets::figure(ui, name, &format::metric(*value), "");
            }
        });
        let best: Vec<String> = report
            .importance
            .iter()
            .take(6)
            .map(|found| format!("{} ({})", found.column, format::number(found.mean)))
            .collect();
        if !best.is_empty() {
            widgets::muted(ui, &format!("The model leans most on {}.", best.join(", ")));
        }
    });
}

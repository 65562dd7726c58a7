//! The evaluations of a run: key figures, what was taken for what, curves, errors.

use athanor_protocol::{
    api::{ReportView, RunReports, WorstRow},
    metric::metric_info,
    names::RunId,
};
use egui::{Align, Layout, RichText, Ui, Vec2};

use super::{
    naming::metric_words,
    report_plots::{self, Prepared},
};
use crate::{
    desk::Remote,
    format,
    icons::ph,
    pages::Cx,
    theme::{self, Theme, font_size, size},
    widgets::{self, Grid, GridColumn},
};

/// Key figures in the first row; the others stand in the list below.
const FIGURES: usize = 6;
/// Columns of the table of worst rows.
const WORST_COLUMNS: usize = 12;

/// The tab.
pub(super) struct Evaluation {
    run: RunId,
    reports: Remote<RunReports>,
    node: usize,
    prepared: Option<(usize, Prepared)>,
}

impl Evaluation {
    /// The evaluations of a run.
    pub(super) fn new(run: RunId) -> Self {
        Self { run, reports: Remote::default(), node: 0, prepared: None }
    }

    /// There may be more.
    pub(super) fn invalidate(&mut self) {
        self.reports.invalidate();
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, live: bool, cx: &mut Cx<'_>) {
        if self.reports.keep(cx.desk, &RunReports { run: self.run.clone() }) {
            self.prepared = None;
        }
        if let Some(failure) = self.reports.error().cloned()
            && widgets::failure(ui, &failure)
        {
            self.reports.invalidate();
        }
        let Some(answer) = self.reports.value() else {
            if self.reports.slow(cx.desk) {
                widgets::loading(ui, "Reading the evaluation");
            }
            return;
        };
        if answer.items.is_empty() {
            let text = if live {
                "It comes when the step Evaluate is done."
            } else {
                "Put an Evaluate step after training, and its figures, curves and errors stand here."
            };
            widgets::empty_state(ui, ph::CHART_BAR, "No evaluation yet", text, None);
            return;
        }
        self.node = self.node.min(answer.items.len() - 1);
        if answer.items.len() > 1 {
            let options: Vec<(usize, &str)> =
                answer.items.iter().enumerate().map(|(at, (node, _))| (at, node.as_str())).collect();
            if options.len() <= 6 {
                widgets::segments(ui, &mut self.node, &options);
            } else {
                let options: Vec<_> = options.iter().map(|(at, node)| (*at, (*node).to_owned())).collect();
                widgets::choice(ui, "evaluation-node", "Evaluation", &mut self.node, &options);
            }
        }
        let Some((_, report)) = answer.items.get(self.node) else { return };
        if self.prepared.as_ref().is_none_or(|(node, _)| *node != self.node) {
            self.prepared = Some((self.node, Prepared::new(report)));
        }
        let Some((_, prepared)) = &mut self.prepared else { return };
        egui::ScrollArea::vertical().id_salt("evaluation").auto_shrink([false, false]).show(ui, |ui| {
            ui.set_width(ui.available_width() - 8.0);
            ui.spacing_mut().item_spacing.y = size::GAP;
            figures(ui, report);
            plots(ui, report, prepared);
            if !report.worst.is_empty() {
                worst(ui, &report.worst, cx);
            }
            ui.add_space(size::GAP);
        });
    }
}

fn figures(ui: &mut Ui, report: &ReportView) {
    let theme = Theme::of(ui);
    let fact = format!("{} of {}", format::plural(report.n_rows, "row"), report.target);
    widgets::titled_card(ui, "Key figures", &fact, |ui| {
        let metrics = &report.evaluation.metrics;
        let n = metrics.len().clamp(1, FIGURES);
        let width = ui.available_width() / n as f32 - 8.0;
        ui.horizontal_top(|ui| {
            for (key, value) in metrics.iter().take(FIGURES) {
                ui.allocate_ui_with_layout(Vec2::new(width, 0.0), Layout::top_down(Align::Min), |ui| {
                    ui.set_min_width(width);
                    let remark = match metric_info(key).and_then(|info| info.higher_is_better) {
                        Some(true) => "higher is better",
                        Some(false) => "lower is better",
                        None => "",
                    };
                    widgets::figure(ui, &metric_words(key), &format::metric(*value), remark);
                });
            }
        });
        if metrics.len() > FIGURES {
            ui.horizontal_wrapped(|ui| {
                for (key, value) in metrics.iter().skip(FIGURES) {
                    ui.label(RichText::new(metric_words(key)).color(theme.muted));
                    ui.label(RichText::new(format::metric(*value)).monospace().color(theme.text));
                    ui.add_space(size::SMALL_GAP);
                }
            });
        }
    });
}

type Piece<'a> = (&'static str, String, Box<dyn FnOnce(&mut Ui) + 'a>);

fn plots(ui: &mut Ui, report: &ReportView, prepared: &mut Prepared) {
    let evaluation = &report.evaluation;
    let mut pieces: Vec<Piece<'_>> = vec![];
    let Prepared { confusion, roc, precision_recall, calibration, residuals, pairs, hidden } = prepared;
    let hidden = std::cell::RefCell::new(hidden);
    let hidden = &hidden;
    if let Some(confusion) = confusion {
        let fact = "rows: true class, columns: predicted".to_owned();
        pieces.push(("Confusion matrix", fact, Box::new(|ui| report_plots::confusion(ui, confusion))));
    }
    if !roc.is_empty() {
        let fact = match &evaluation.curves[..] {
            [one] => format!("area {}", format::number(one.roc_auc)),
            _ => String::new(),
        };
        pieces.push((
            "ROC",
            fact,
            Box::new(move |ui| report_plots::rates(ui, "roc", roc, true, &mut hidden.borrow_mut())),
        ));
        let fact = match &evaluation.curves[..] {
            [one] => format!("average precision {}", format::number(one.average_precision)),
            _ => String::new(),
        };
        let piece = move |ui: &mut Ui| report_plots::rates(ui, "pr", precision_recall, false, &mut hidden.borrow_mut());
        pieces.push(("Precision and recall", fact, Box::new(piece)));
    }
    if !calibration.is_empty() {
        let fact = "predicted probability against what was true".to_owned();
        pieces.push((
            "Calibration",
            fact,
            Box::new(|ui| report_plots::calibration(ui, calibration, &evaluation.calibration)),
        ));
    }
    if !pairs.is_empty() {
        let fact = format::plural(pairs.len() as u64, "row");
        pieces.push(("Predicted against true", fact, Box::new(|ui| report_plots::pairs(ui, pairs))));
    }
    if !residuals.is_empty() {
        let fact = "true minus predicted".to_owned();
        pieces.push(("Residuals", fact, Box::new(|ui| report_plots::residuals(ui, residuals))));
    }
    if !report.importance.is_empty() {
        let fact = "loss of score when a column is shuffled".to_owned();
        pieces.push(("Feature importance", fact, Box::new(|ui| report_plots::importance(ui, &report.importance))));
    }
    let n_columns = if ui.available_width() > 820.0 { 2 } else { 1 };
    let width = (ui.available_width() - (n_columns - 1) as f32 * size::GAP) / n_columns as f32;
    let mut pieces = pieces.into_iter().peekable();
    while pieces.peek().is_some() {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = size::GAP;
            for (title, fact, draw) in pieces.by_ref().take(n_columns) {
                ui.allocate_ui_with_layout(Vec2::new(width, 0.0), Layout::top_down(Align::Min), |ui| {
                    widgets::titled_card(ui, title, &fact, |ui| {
                        ui.set_min_height(report_plots::HEIGHT + 8.0);
                        draw(ui);
                    });
                });
            }
        });
    }
}

fn worst(ui: &mut Ui, rows: &[WorstRow], cx: &Cx<'_>) {
    let fact = format!("the {} that it gets most wrong", format::plural(rows.len() as u64, "test row"));
    widgets::titled_card(ui, "Worst errors", &fact, |ui| {
        let mut columns = vec![
            GridColumn::number("Row", 64.0),
            GridColumn::text("True", 110.0),
            GridColumn::text("Predicted", 110.0),
            GridColumn::number("Loss", 80.0),
        ];
        let names = rows.first().map_or(&[][..], |row| &row.values[..row.values.len().min(WORST_COLUMNS)]);
        columns.extend(names.iter().map(|(name, _)| GridColumn::text(super::plots::shortened(name, 24), 130.0)));
        let wanted: f32 = columns.iter().map(|column| column.width + 1.0).sum();
        egui::ScrollArea::horizontal().id_salt("worst").show(ui, |ui| {
            ui.set_width(wanted.max(ui.available_width()));
            ui.set_height((rows.len() as f32 * size::ROW + 40.0).min(360.0));
            Grid::new("worst rows", &columns, rows.len()).show(
                ui,
                |_, _| {},
                |ui, at, column| {
                    let Some(row) = rows.get(at) else { return };
                    match column {
                        0 => widgets::cell_mono(ui, &format::count(row.row)),
                        1 => widgets::cell_text(ui, &row.truth),
                        2 => {
                            let text =
                                RichText::new(&row.predicted).font(theme::regular(font_size::BODY)).color(cx.theme.bad);
                            ui.add(egui::Label::new(text).truncate());
                        }
                        3 => widgets::cell_mono(ui, &format::number(row.loss)),
                        _ => match row.values.get(column - 4).and_then(|(_, value)| value.as_deref()) {
                            Some(value) => widgets::cell_mono(ui, value),
                            None => widgets::cell_none(ui),
                        },
                    }
                },
            );
        });
    });
}

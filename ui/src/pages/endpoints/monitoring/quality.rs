//! Violations of what training saw, and how good predictions were where the truth became known.

use athanor_protocol::monitor::{ColumnQuality, QualityReport};
use egui::Ui;

use crate::{
    format,
    pages::models::{metric_title, metric_value},
    theme::{Theme, size},
    widgets::{self, Col},
};

/// Most lines; columns without violations are left out first.
const MOST: usize = 40;

/// A count with its share of rows; nothing where there is none.
fn count(ui: &mut Ui, n: u64, n_rows: u64) {
    if n == 0 {
        widgets::cell_none(ui);
        return;
    }
    let share = if n_rows > 0 { n as f64 / n_rows as f64 } else { 0.0 };
    let text = egui::RichText::new(format::count(n)).monospace();
    // A tenth of the rows is what raises an alert.
    let color = if share > 0.1 { Theme::of(ui).bad } else { Theme::of(ui).text };
    ui.label(text.color(color))
        .on_hover_text(format!("{} % of rows", format::number((share * 1_000.0).round() / 10.0)));
}

pub(super) fn data_ui(ui: &mut Ui, list: &[ColumnQuality]) {
    let broken = |column: &&ColumnQuality| {
        column.n_missing + column.n_new_categories + column.n_out_of_range + column.n_refused > 0
    };
    let shown: Vec<&ColumnQuality> = list.iter().filter(broken).take(MOST).collect();
    if shown.is_empty() {
        widgets::muted(ui, "Every value was one that training could have seen.");
        return;
    }
    let columns = [
        Col::wide("Column"),
        Col::number("Missing", 90.0),
        Col::number("New value", 90.0),
        Col::number("Out of range", 96.0),
        Col::number("Refused", 90.0),
    ];
    widgets::lines_header(ui, &columns);
    for column in shown {
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => widgets::cell_mono(ui, &column.column),
            1 => count(ui, column.n_missing, column.n_rows),
            2 => count(ui, column.n_new_categories, column.n_rows),
            3 => count(ui, column.n_out_of_range, column.n_rows),
            _ => count(ui, column.n_refused, column.n_rows),
        });
    }
}

pub(super) fn model_ui(ui: &mut Ui, quality: &QualityReport) {
    if quality.figures.is_empty() {
        widgets::muted(ui, "No truth matches a prediction that was kept.");
    } else {
        let columns = [
            Col::wide("Metric"),
            Col::number("Now", 130.0),
            Col::number("When it was made", 120.0),
            Col::number("Best constant answer", 140.0),
        ];
        widgets::lines_header(ui, &columns);
        for figure in &quality.figures {
            let other = |ui: &mut Ui, value: Option<f64>| match value {
                Some(value) => widgets::cell_mono(ui, &metric_value(value)),
                None => widgets::cell_none(ui),
            };
            widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
                0 => widgets::cell_text(ui, &metric_title(&figure.metric)),
                1 => {
                    let around = figure.deviation.map(|by| format!(" ± {}", metric_value(by))).unwrap_or_default();
                    widgets::cell_mono(ui, &format!("{}{around}", metric_value(figure.value)));
                }
                2 => other(ui, figure.training),
                _ => other(ui, figure.constant),
            });
        }
    }
    if quality.n_unmatched > 0 {
        let text = format!(
            "{} arrived for predictions that were not kept: keep a larger share of requests.",
            format::plural(quality.n_unmatched, "truth")
        );
        widgets::muted(ui, &text);
    }
}

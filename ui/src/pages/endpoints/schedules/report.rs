//! What a schedule did: its executions, and what was found in the rows of the last one.

use std::collections::BTreeMap;

use athanor_protocol::api::{PredictAnswer, ScheduleInfo, ScheduleReport};
use egui::{RichText, Ui};

use super::{
    minute,
    row::{outcome, tone},
};
use crate::{
    desk::Remote,
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{Theme, size},
    toasts::Tone,
    widgets::{self, Col},
};

/// Columns that a list names at most.
const MOST_NAMED: usize = 12;

/// Draws it; true for "Close".
pub(super) fn ui(ui: &mut Ui, cx: &mut Cx<'_>, item: &ScheduleInfo, report: &mut Remote<ScheduleReport>) -> bool {
    if let Some(run) = item.runs.first().filter(|run| run.stopped) {
        let what = widgets::sentence(&format!("the last one was {}; the next one goes on behind these", outcome(run)));
        widgets::note(ui, Tone::Warn, &what);
    }
    if let Some(failure) = report.error() {
        if widgets::failure(ui, failure) {
            report.invalidate();
        }
    } else if let Some(answer) = report.value() {
        match &answer.report {
            Some(found) => found_ui(ui, found),
            None => {
                widgets::muted(ui, "No report lies beside the file yet.");
            }
        }
    } else if report.slow(cx.desk) {
        widgets::loading(ui, "Reading the report");
    }
    ui.scope(|ui| {
        ui.set_max_width(size::FORM);
        if widgets::copy_line(ui, "the file's path", &item.task.output) {
            cx.toasts.ok("Copied the file's path");
        }
    });
    runs_ui(ui, item);
    widgets::quiet(ui, ph::X, "Close").clicked()
}

fn runs_ui(ui: &mut Ui, item: &ScheduleInfo) {
    let theme = Theme::of(ui);
    let columns = [
        Col::fixed("Due (UTC)", 124.0),
        Col::number("Took", 70.0),
        Col::number("Version", 64.0),
        Col::wide("What came of it"),
    ];
    widgets::lines_header(ui, &columns);
    for run in &item.runs {
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => widgets::cell_mono(ui, &minute(run.due_millis)),
            1 => match run.ended_millis {
                Some(ended) => widgets::cell_mono(ui, &format::duration_millis(ended - run.began_millis)),
                None => widgets::cell_none(ui),
            },
            2 => match run.version {
                Some(version) => widgets::cell_mono(ui, &version.to_string()),
                None => widgets::cell_none(ui),
            },
            _ => {
                let tone = tone(run);
                ui.label(icons::text(tone.icon(), 14.0).color(tone.color(theme)));
                let text = egui::Label::new(RichText::new(outcome(run)).color(theme.text)).truncate().selectable(true);
                let response = ui.add(text);
                if let Some(hint) = run.failure.as_ref().and_then(|failure| failure.hint.as_ref()) {
                    response.on_hover_text(widgets::sentence(hint));
                }
            }
        });
    }
}

/// Columns with their counts, the most first.
fn named(counts: &BTreeMap<String, u64>) -> String {
    let mut list: Vec<(&String, &u64)> = counts.iter().collect();
    list.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let more = list.len().saturating_sub(MOST_NAMED);
    let mut words: Vec<String> =
        list.iter().take(MOST_NAMED).map(|(column, n)| format!("{column} ({})", format::count(**n))).collect();
    if more > 0 {
        words.push(format!("and {} more", format::plural(more as u64, "column")));
    }
    words.join(", ")
}

/// What a batch prediction found in its rows.
pub(in crate::pages) fn notes_ui(ui: &mut Ui, found: &PredictAnswer) {
    for (tone, counts, what) in [
        (Tone::Info, &found.missing, "missing values were filled as in training"),
        (Tone::Warn, &found.new_categories, "texts that training never saw"),
        (Tone::Warn, &found.out_of_range, "numbers outside of what training saw"),
    ] {
        if !counts.is_empty() {
            ui.add_space(size::TINY_GAP);
            widgets::note(ui, tone, &format!("{what}: {}", named(counts)));
        }
    }
}

fn found_ui(ui: &mut Ui, found: &PredictAnswer) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 32.0;
        widgets::figure(ui, "Rows predicted", &format::count(found.n_rows), "");
        widgets::figure(ui, "Took", &format::duration_millis((found.seconds * 1000.0) as i64), "");
        widgets::figure(ui, "Version", &found.version.to_string(), "");
        if found.n_resumed > 0 {
            widgets::figure(ui, "Were there already", &format::count(found.n_resumed), "");
        }
    });
    notes_ui(ui, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_by_how_much_they_have_and_not_without_end() {
        let counts: BTreeMap<String, u64> = (1..=14).map(|n| (format!("c{n:02}"), n)).collect();
        let text = named(&counts);
        assert!(
            text.starts_with("c14 (14), c13 (13)") && text.ends_with("c03 (3), and 2 columns more")
                || text.ends_with("and 2 columns more"),
            "{text}"
        );
        assert_eq!(named(&BTreeMap::from([("site".to_owned(), 1_200)])), "site (1,200)");
    }
}

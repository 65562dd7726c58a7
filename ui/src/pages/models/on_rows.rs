//! Two versions on the same rows: each metric's difference with its interval, and the verdict in words.

use athanor_protocol::{
    Code, Failure,
    api::{DataList, ModelCompare},
    card::{Comparison, Difference, Verdict},
};
use egui::{RichText, Ui, Vec2};

use super::{
    compare_view::{selectable, signed},
    dialogs::failure_note,
    names::{metric_title, value as value_text},
};
use crate::{
    desk::Remote,
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{Theme, font_size, size},
    toasts::Tone,
    widgets::{self, Col},
    work::Work,
};

/// The comparison of two versions on one table.
#[derive(Default)]
pub(super) struct OnRows {
    tables: Remote<DataList>,
    /// The table's path; empty is the test rows of the newer version's run.
    table: String,
    work: Option<Work<ModelCompare>>,
    /// What `result` is about.
    of: Option<(String, u32, u32)>,
    result: Option<Result<Comparison, Failure>>,
}

/// How a verdict is written and drawn.
fn verdict_look(theme: &Theme, verdict: Verdict) -> (egui::Color32, &'static str, &'static str) {
    match verdict {
        Verdict::Better => (theme.ok, ph::CHECK_CIRCLE, "better"),
        Verdict::Worse => (theme.bad, ph::WARNING_CIRCLE, "worse"),
        Verdict::Unclear => (theme.muted, ph::EQUALS, "can't be told"),
    }
}

/// A test's name as people write it.
fn test_title(name: &str) -> String {
    match name {
        "mcnemar_exact" => "McNemar's exact test".to_owned(),
        "mcnemar" => "McNemar's test".to_owned(),
        "wilcoxon" => "Wilcoxon's signed-rank test".to_owned(),
        other => other.replace('_', " "),
    }
}

impl OnRows {
    /// Takes in what has come, seen or not.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some(work) = &self.work
            && let Some(result) = work.take(cx.desk)
        {
            self.work = None;
            match result {
                Err(failure) if failure.code == Code::Cancelled => cx.toasts.info("The comparison was stopped"),
                result => self.result = Some(result),
            }
        }
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, model: &str, first: u32, second: u32) {
        self.tables.keep(cx.desk, &DataList {});
        let of = (model.to_owned(), first, second);
        if self.of.as_ref() != Some(&of) {
            if let Some(work) = &mut self.work {
                work.stop(cx.desk);
            }
            (self.of, self.result) = (Some(of), None);
        }
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        widgets::heading(ui, "On the same rows", "both predict them; differences with their 95 % intervals");
        let mut options = vec![(String::new(), "The test rows of the newer version".to_owned())];
        if let Some(list) = self.tables.value() {
            let there = list.items.iter().filter(|table| table.n_bytes.is_some());
            options.extend(there.map(|table| (table.path.clone(), table.name.clone())));
        }
        let mut ask = false;
        ui.horizontal_wrapped(|ui| {
            ui.add_enabled_ui(self.work.is_none(), |ui| {
                widgets::choice(ui, "compare-table", "Rows to compare on", &mut self.table, &options);
                ui.add_enabled_ui(cx.desk.may_ask(), |ui| {
                    ask = widgets::secondary(ui, ph::SCALES, "Compare on these rows").clicked();
                });
            });
        });
        if ask && self.work.is_none() {
            let named = |version| format!("{model}:{version}");
            let table = (!self.table.is_empty()).then(|| self.table.clone());
            self.result = None;
            self.work = Some(Work::begin(cx.desk, |token| ModelCompare {
                first: named(first),
                second: named(second),
                table,
                token,
            }));
        }
        if let Some(work) = &mut self.work {
            work.ui(ui, cx.desk, "Predicting with both versions");
        }
        match &self.result {
            None => {}
            Some(Err(failure)) => failure_note(ui, failure),
            Some(Ok(comparison)) => comparison_ui(ui, comparison, first, second),
        }
    }
}

fn comparison_ui(ui: &mut Ui, comparison: &Comparison, first: u32, second: u32) {
    let tone = match comparison.verdict {
        Verdict::Better => Tone::Ok,
        Verdict::Worse => Tone::Bad,
        Verdict::Unclear => Tone::Info,
    };
    widgets::note(ui, tone, &comparison.words);
    let wide = ui.available_width() > 640.0;
    let titles = [format!("Version {first}"), format!("Version {second}")];
    let mut columns = vec![
        Col::wide("Metric"),
        Col::number(&titles[0], 76.0),
        Col::number(&titles[1], 76.0),
        Col::number("Difference", 76.0),
    ];
    if wide {
        columns.push(Col::fixed("Worse or better by", 176.0));
    }
    columns.push(Col::fixed("", 100.0));
    widgets::lines_header(ui, &columns);
    for line in &comparison.metrics {
        difference_row(ui, &columns, line, wide);
    }
    let mut facts = format!(
        "{} of {}, {} bootstrap resamples, seed {}.",
        format::plural(comparison.n_rows, "row"),
        comparison.table,
        format::count(comparison.n_resamples.into()),
        comparison.seed
    );
    if let Some(test) = &comparison.test {
        facts = format!("{facts} {}: p = {} ({}).", test_title(&test.name), format::number(test.p_value), test.counted);
    }
    ui.add_space(size::TINY_GAP);
    let text = RichText::new(facts).color(Theme::of(ui).muted);
    ui.add(egui::Label::new(text).wrap().selectable(true));
    for note in &comparison.notes {
        widgets::note(ui, Tone::Warn, note);
    }
}

fn difference_row(ui: &mut Ui, columns: &[Col<'_>], line: &Difference, wide: bool) {
    let theme = Theme::of(ui);
    let (color, icon, word) = verdict_look(theme, line.verdict);
    let [low, high] = line.interval;
    let said = format!("{} to {}", signed(low), signed(high));
    widgets::line_row(ui, columns, size::ROW, |ui, at| match if at >= 4 && !wide { at + 1 } else { at } {
        0 => widgets::cell_text(ui, &metric_title(&line.key)),
        1 => selectable(ui, &value_text(line.first), theme.text),
        2 => selectable(ui, &value_text(line.second), theme.text),
        3 => selectable(ui, &signed(line.difference), color),
        4 => {
            let most = line.difference.abs().max(low.abs()).max(high.abs()) * 1.15;
            let wanted = Vec2::new(ui.available_width(), 22.0);
            let ink = if line.verdict == Verdict::Unclear { theme.info } else { color };
            let response = widgets::difference_bar(ui, wanted, most, line.difference, line.interval, ink);
            let name = format!("{}: {}, 95 % interval {said}", metric_title(&line.key), signed(line.difference));
            response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Image, true, &name));
            response.on_hover_text(name);
        }
        _ => {
            ui.label(icons::text(icon, 14.0).color(color));
            let text = RichText::new(word).size(font_size::LABEL + 0.5).color(color);
            ui.label(text).on_hover_text(format!("The 95 % interval goes from {said}"));
        }
    });
}

//! The grid's header: a column's name and type, how much is missing, how its values are spread.

use athanor_protocol::table::{ColumnSchema, ColumnSummary, DataType, TableProfile};
use egui::{Align2, CursorIcon, Pos2, Rect, Response, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use super::{
    grid::Asked,
    sheet::{At, Sheet, Span},
};
use crate::{
    format,
    icons::ph,
    theme::{self, Theme, font_size, mix},
};

/// Half the width of the place by which a column's width is changed.
const HANDLE: f32 = 4.0;

/// Least and greatest width of a column's chart.
const CHART: [f32; 2] = [40.0, 64.0];

/// A type's icon.
pub fn type_icon(dtype: DataType) -> &'static str {
    match dtype {
        DataType::Bool => ph::TOGGLE_LEFT,
        DataType::Int => ph::HASH_STRAIGHT,
        DataType::Float => ph::FUNCTION,
        DataType::Text => ph::TEXT_AA,
        DataType::Date | DataType::Datetime => ph::CALENDAR_BLANK,
        DataType::Duration => ph::TIMER,
        DataType::Time => ph::CLOCK,
        DataType::Other => ph::BRACKETS_CURLY,
    }
}

/// A type as people call it.
pub fn type_name(dtype: DataType) -> &'static str {
    match dtype {
        DataType::Bool => "yes or no",
        DataType::Int => "whole number",
        DataType::Float => "number",
        DataType::Text => "text",
        DataType::Date => "date",
        DataType::Datetime => "date and time",
        DataType::Duration => "duration",
        DataType::Time => "time of day",
        DataType::Other => "nested",
    }
}

/// A share as people read it: `0 %`, `< 0.1 %`, `4.2 %`, `37 %`.
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    match share {
        ..0.1 => "< 0.1 %".to_owned(),
        0.1..10.0 => format!("{share:.1} %"),
        _ if part < whole && share > 99.5 => "> 99 %".to_owned(),
        _ => format!("{share:.0} %"),
    }
}

/// The description of a column by its place, if it is that column's.
pub fn summary_of<'a>(
    profile: Option<&'a TableProfile>,
    at: usize,
    column: &ColumnSchema,
) -> Option<&'a ColumnSummary> {
    profile?.columns.get(at).filter(|summary| summary.name == column.name)
}

/// Draws the header of the columns in sight.
pub fn show(
    ui: &mut Ui,
    rect: Rect,
    columns: &[ColumnSchema],
    sheet: &mut Sheet,
    shown: std::ops::Range<usize>,
    profile: Option<&TableProfile>,
) -> Option<Asked> {
    let theme = Theme::of(ui);
    ui.painter().rect_filled(rect, 0, theme.panel);
    let mut asked = None;
    let clip = rect.intersect(ui.clip_rect());
    for place in shown {
        let Some(&at) = sheet.shown().get(place) else { continue };
        let Some(column) = columns.get(at) else { continue };
        let [from, to] = sheet.edges(place).map(|edge| rect.left() + edge - sheet.left);
        let cell = Rect::from_min_max(Pos2::new(from, rect.top()), Pos2::new(to, rect.bottom()));
        let seen = cell.intersect(rect);
        let summary = summary_of(profile, at, column);
        let response = ui.interact(seen, ui.id().with(("head", at)), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, &column.name));
        let on = sheet.span == Span::Columns && sheet.selection(1).is_some_and(|(_, columns)| columns.contains(&place));
        if on {
            ui.painter().with_clip_rect(clip).rect_filled(cell, 0, theme.soft);
        } else if response.hovered() {
            ui.painter().with_clip_rect(clip).rect_filled(cell, 0, mix(theme.panel, theme.text, 0.04));
        }
        paint(ui, clip, cell, column, summary, profile.map_or(0, |profile| profile.n_rows));
        if response.clicked() {
            let extend = ui.input(|input| input.modifiers.shift);
            sheet.span = Span::Columns;
            sheet.move_to(At { row: sheet.top as u64, column: place }, extend);
        }
        if response.double_clicked() {
            asked = Some(Asked::Describe(at));
        }
        response.context_menu(|ui| asked = menu(ui, at).or(asked));
        if let Some(width) = handle(ui, rect, at, cell) {
            sheet.set_width(place, width);
        }
        hover(response, column, summary, profile);
    }
    asked
}

fn menu(ui: &mut Ui, at: usize) -> Option<Asked> {
    let entries = [
        ("Describe", Asked::Describe(at)),
        ("Plot", Asked::Plot(at)),
        ("Predict this column", Asked::Target(at)),
        ("Copy name", Asked::CopyName(at)),
        ("Hide", Asked::Hide(at)),
    ];
    entries.into_iter().find(|(text, _)| ui.button(*text).clicked()).map(|(_, asked)| asked)
}

fn paint(ui: &mut Ui, clip: Rect, cell: Rect, column: &ColumnSchema, summary: Option<&ColumnSummary>, n_rows: u64) {
    let theme = Theme::of(ui);
    let painter = ui.painter().with_clip_rect(clip.intersect(cell));
    painter.vline(cell.right() - 0.5, cell.y_range(), egui::Stroke::new(1.0, mix(theme.panel, theme.line, 0.6)));
    let icon = egui::FontId::new(14.0, theme::icon_family());
    let first = cell.top() + 18.0;
    painter.text(
        Pos2::new(cell.left() + 17.0, first),
        Align2::CENTER_CENTER,
        type_icon(column.dtype),
        icon,
        theme.muted,
    );
    let inner = painter
        .with_clip_rect(Rect::from_min_max(cell.min, Pos2::new(cell.right() - 8.0, cell.bottom())).intersect(clip));
    inner.text(
        Pos2::new(cell.left() + 30.0, first),
        Align2::LEFT_CENTER,
        &column.name,
        theme::medium(12.5),
        theme.text,
    );
    let second = cell.top() + 41.0;
    let font = theme::regular(font_size::LABEL);
    match summary {
        None => {
            inner.text(
                Pos2::new(cell.left() + 10.0, second),
                Align2::LEFT_CENTER,
                type_name(column.dtype),
                font,
                theme.muted,
            );
        }
        Some(summary) => {
            let (long, short, ink) = if summary.n_missing > 0 {
                let share = percent(summary.n_missing, n_rows);
                (format!("{share} missing"), share, theme.warn)
            } else {
                let n = format::count(summary.n_distinct);
                (format!("{n} distinct"), n, theme.muted)
            };
            // The words give way to the chart: first to a shorter form, then altogether.
            let room = cell.width() - 2.0 * 10.0 - CHART[0] - 8.0;
            let words = [long, short]
                .into_iter()
                .map(|text| painter.layout_no_wrap(text, font.clone(), ink))
                .find(|galley| galley.size().x <= room);
            let used = words.as_ref().map_or(0.0, |galley| galley.size().x + 8.0);
            if let Some(galley) = words {
                let at = Pos2::new(cell.left() + 10.0, second - galley.size().y / 2.0);
                painter.galley(at, galley, ink);
            }
            let width = (cell.width() - 20.0 - used).clamp(CHART[0].min(cell.width() - 20.0), CHART[1]);
            let right = cell.right() - 10.0;
            let chart = Rect::from_min_max(Pos2::new(right - width, second - 11.0), Pos2::new(right, second + 10.0));
            bars(&painter, chart, &heights(summary), mix(theme.panel, theme.info, 0.75));
        }
    }
}

/// How high the bars of a tiny histogram are: bins, or the most frequent values.
pub(super) fn heights(summary: &ColumnSummary) -> Vec<u64> {
    match &summary.numbers {
        Some(numbers) if !numbers.histogram.is_empty() => {
            // Two of the bins make one bar where there is no room for all.
            let step = numbers.histogram.len().div_ceil(16);
            numbers.histogram.chunks(step).map(|bins| bins.iter().map(|bin| bin.count).sum()).collect()
        }
        _ => summary.top.iter().take(8).map(|top| top.count).collect(),
    }
}

pub(super) fn bars(painter: &egui::Painter, rect: Rect, counts: &[u64], color: egui::Color32) {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f32;
    let width = (rect.width() / counts.len().max(1) as f32).min(8.0);
    for (at, &count) in counts.iter().enumerate() {
        let height = (count as f32 / most * rect.height()).max(if count > 0 { 1.0 } else { 0.0 });
        let left = rect.left() + at as f32 * width;
        let bar =
            Rect::from_min_size(Pos2::new(left, rect.bottom() - height), Vec2::new((width - 1.0).max(1.0), height));
        painter.rect_filled(bar, 0, color);
    }
}

/// The edge by which a column's width is changed; its new width.
fn handle(ui: &Ui, rect: Rect, at: usize, cell: Rect) -> Option<f32> {
    if !rect.x_range().contains(cell.right()) {
        return None;
    }
    let edge = Rect::from_x_y_ranges(cell.right() - HANDLE..=cell.right() + HANDLE, cell.y_range());
    let response = ui.interact(edge, ui.id().with(("edge", at)), Sense::drag());
    if response.hovered() || response.dragged() {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
        let line = egui::Stroke::new(2.0, Theme::of(ui).accent);
        ui.painter().vline(cell.right() - 0.5, cell.y_range(), line);
    }
    let pointer = response.dragged().then(|| response.interact_pointer_pos()).flatten()?;
    Some(pointer.x - cell.left())
}

fn hover(response: Response, column: &ColumnSchema, summary: Option<&ColumnSummary>, profile: Option<&TableProfile>) {
    response.on_hover_ui(|ui| {
        ui.label(egui::RichText::new(&column.name).font(theme::medium(font_size::BODY)));
        let mut lines = vec![type_name(column.dtype).to_owned()];
        if let (Some(summary), Some(profile)) = (summary, profile) {
            lines.push(format!("{} missing", percent(summary.n_missing, profile.n_rows)));
            lines.push(format!("{} distinct", format::count(summary.n_distinct)));
            if let Some(numbers) = &summary.numbers {
                lines.push(format!("{} to {}", format::metric(numbers.min), format::metric(numbers.max)));
            }
            lines.extend(summary.findings.iter().cloned());
        }
        for line in lines {
            ui.label(egui::RichText::new(line).size(font_size::LABEL).color(Theme::of(ui).muted));
        }
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_never_say_none_or_all_where_it_is_not_so() {
        for (part, whole, expect) in [
            (0, 10, "0 %"),
            (0, 0, "0 %"),
            (1, 10_000, "< 0.1 %"),
            (4, 100, "4.0 %"),
            (37, 100, "37 %"),
            (9_999, 10_000, "> 99 %"),
            (10, 10, "100 %"),
        ] {
            assert_eq!(super::percent(part, whole), expect);
        }
    }
}

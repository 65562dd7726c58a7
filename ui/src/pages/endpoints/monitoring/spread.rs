//! How a column's values are spread, in training and recently: paired bars in the same bins.

use athanor_protocol::{
    monitor::{BinOf, ColumnDrift, DriftBin},
    table::DataType,
};
use egui::{Align2, Color32, Pos2, Rect, Response, RichText, Sense, Stroke, Ui, Vec2, WidgetInfo, WidgetType};

use super::drift::percent;
use crate::{
    format,
    icons::ph,
    theme::{self, Theme, font_size, mix, radius, size},
    widgets,
};

/// Height of the bars of numbers.
const HEIGHT: f32 = 150.0;
/// Room for the share at the left, and for the numbers under the bars.
const LEFT: f32 = 48.0;
const UNDER: f32 = 20.0;
/// Least distance of two numbers under the bars.
const LABEL_GAP: f32 = 64.0;
/// Height of a text's two bars.
const PAIR: f32 = 36.0;

fn colors(theme: &Theme) -> [Color32; 2] {
    [mix(theme.muted, theme.panel, 0.25), theme.accent]
}

/// A number of a bin as people read it; moments as days.
fn edge(value: f64, dtype: DataType) -> String {
    match dtype {
        DataType::Date | DataType::Datetime if value.abs() < 2e11 => format::date((value * 1_000.0) as i64),
        _ => format::number(value),
    }
}

fn name(of: &BinOf, dtype: DataType) -> String {
    match of {
        BinOf::Range([low, high]) => format!("{} to {}", edge(*low, dtype), edge(*high, dtype)),
        BinOf::Value(text) if text.is_empty() => "(empty)".to_owned(),
        BinOf::Value(text) => text.clone(),
        BinOf::Others(0) => "not seen in training".to_owned(),
        BinOf::Others(n) => format!("{} more and those not seen", format::count(*n)),
    }
}

fn said(bin: &DriftBin, dtype: DataType) -> String {
    format!("{}: {} in training, {} now", name(&bin.of, dtype), percent(bin.reference), percent(bin.current))
}

/// A share without what is no number.
fn part(share: f64, most: f64) -> f32 {
    if share.is_finite() && most > 0.0 { (share / most).clamp(0.0, 1.0) as f32 } else { 0.0 }
}

/// Draws the column; true for "Close".
pub(super) fn ui(ui: &mut Ui, column: &ColumnDrift) -> bool {
    let theme = Theme::of(ui);
    let [before, now] = colors(theme);
    let mut closed = false;
    ui.add_space(size::SMALL_GAP);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let title = RichText::new(&column.column).font(theme::semibold(font_size::BODY)).color(theme.text);
        ui.add(egui::Label::new(title).truncate());
        ui.add_space(size::SMALL_GAP);
        widgets::dot(ui, before);
        widgets::muted(ui, &format!("training, {}", format::plural(column.n_reference, "value")));
        ui.add_space(size::TINY_GAP);
        widgets::dot(ui, now);
        widgets::muted(ui, &format!("now, {}", format::plural(column.n_current, "value")));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            closed = widgets::icon_button(ui, ph::X, "Close the bars").clicked();
        });
    });
    if column.bins.is_empty() {
        let text = if column.n_current == 0 {
            "No value was there to compare."
        } else {
            "This report keeps no bins of the column: reports keep those of a hundred columns, and earlier versions kept none."
        };
        widgets::muted(ui, text);
    } else if column.bins.iter().all(|bin| matches!(bin.of, BinOf::Range(_))) {
        ranges_ui(ui, column);
    } else {
        column.bins.iter().for_each(|bin| pair_ui(ui, bin, column));
    }
    closed
}

fn most(column: &ColumnDrift) -> f64 {
    column
        .bins
        .iter()
        .flat_map(|bin| [bin.reference, bin.current])
        .filter(|share| share.is_finite())
        .fold(0.0, f64::max)
}

fn ranges_ui(ui: &mut Ui, column: &ColumnDrift) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), HEIGHT + UNDER), Sense::hover());
    let plot = Rect::from_min_max(
        Pos2::new(rect.left() + LEFT, rect.top() + 6.0),
        Pos2::new(rect.right(), rect.bottom() - UNDER),
    );
    let most = most(column);
    let font = theme::mono(font_size::LABEL);
    for (at, share) in [(1.0, most), (0.5, most / 2.0), (0.0, 0.0)] {
        let y = egui::lerp(plot.bottom()..=plot.top(), at);
        ui.painter().hline(plot.x_range(), y, Stroke::new(1.0, mix(theme.panel, theme.line, 0.7)));
        ui.painter().text(
            Pos2::new(plot.left() - 8.0, y),
            Align2::RIGHT_CENTER,
            percent(share),
            font.clone(),
            theme.muted,
        );
    }
    let n = column.bins.len().max(1) as f32;
    let width = plot.width() / n;
    let gap = (width * 0.12).clamp(1.0, 6.0);
    let mut labelled = f32::NEG_INFINITY;
    for (at, bin) in column.bins.iter().enumerate() {
        let left = plot.left() + at as f32 * width;
        let place = Rect::from_min_max(Pos2::new(left, plot.top()), Pos2::new(left + width, plot.bottom()));
        let response = ui.interact(place, ui.id().with(("bin", &column.column, at)), Sense::hover());
        let half = ((width - 2.0 * gap) / 2.0).max(1.0);
        for (side, (share, color)) in [bin.reference, bin.current].into_iter().zip(colors(theme)).enumerate() {
            let x = left + gap + side as f32 * half;
            let top = plot.bottom() - plot.height() * part(share, most);
            let bar = Rect::from_min_max(Pos2::new(x, top), Pos2::new(x + half - 1.0, plot.bottom()));
            if share > 0.0 {
                ui.painter().rect_filled(bar.with_min_y(top.min(plot.bottom() - 1.0)), 1, color);
            }
        }
        tell(&response, bin, column.dtype);
        if let BinOf::Range([low, high]) = bin.of {
            let is_last = at + 1 == column.bins.len();
            let y = plot.bottom() + 5.0;
            if left - labelled >= LABEL_GAP && (!is_last || plot.right() - left >= LABEL_GAP) {
                labelled = left;
                let anchor = if at == 0 { Align2::LEFT_TOP } else { Align2::CENTER_TOP };
                ui.painter().text(Pos2::new(left, y), anchor, edge(low, column.dtype), font.clone(), theme.muted);
            }
            if is_last && plot.right() - labelled >= LABEL_GAP {
                let text = edge(high, column.dtype);
                ui.painter().text(Pos2::new(plot.right(), y), Align2::RIGHT_TOP, text, font.clone(), theme.muted);
            }
        }
    }
}

fn tell(response: &Response, bin: &DriftBin, dtype: DataType) {
    let text = said(bin, dtype);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, &text));
    response.clone().on_hover_text(text);
}

fn pair_ui(ui: &mut Ui, bin: &DriftBin, column: &ColumnDrift) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), PAIR), Sense::hover());
    tell(&response, bin, column.dtype);
    let name_width = (rect.width() * 0.25).clamp(80.0, 220.0);
    let mut job = egui::text::LayoutJob::simple_singleline(
        name(&bin.of, column.dtype),
        theme::mono(font_size::LABEL),
        if matches!(bin.of, BinOf::Value(_)) { theme.text } else { theme.muted },
    );
    job.wrap = egui::text::TextWrapping::truncate_at_width(name_width - 8.0);
    let galley = ui.painter().layout_job(job);
    ui.painter().galley(Pos2::new(rect.left(), rect.center().y - galley.size().y / 2.0), galley, theme.text);
    let most = most(column);
    let (left, right) = (rect.left() + name_width, (rect.right() - 64.0).max(rect.left() + name_width));
    for (side, (share, color)) in [bin.reference, bin.current].into_iter().zip(colors(theme)).enumerate() {
        let y = rect.center().y - 11.0 + side as f32 * 12.0;
        let width = ((right - left) * part(share, most)).max(if share > 0.0 { 2.0 } else { 0.0 });
        let bar = Rect::from_min_size(Pos2::new(left, y), Vec2::new(width, 9.0));
        ui.painter().rect_filled(bar, radius::BAR, color);
        let font = theme::mono(font_size::LABEL - 0.5);
        let ink = if side == 0 { theme.muted } else { theme.text };
        ui.painter().text(Pos2::new(rect.right(), y + 4.5), Align2::RIGHT_CENTER, percent(share), font, ink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_said_in_words() {
        let bin = |of| DriftBin { of, reference: 0.125, current: 0.5 };
        for (of, dtype, expect) in [
            (BinOf::Range([1.5, 3.0]), DataType::Float, "1.5 to 3: 12.5 % in training, 50 % now"),
            (
                BinOf::Range([1_795_608_000.0, 1_795_694_400.0]),
                DataType::Date,
                "2026-11-25 to 2026-11-26: 12.5 % in training, 50 % now",
            ),
            (BinOf::Value("left".to_owned()), DataType::Text, "left: 12.5 % in training, 50 % now"),
            (BinOf::Value(String::new()), DataType::Text, "(empty): 12.5 % in training, 50 % now"),
            (BinOf::Others(0), DataType::Text, "not seen in training: 12.5 % in training, 50 % now"),
        ] {
            assert_eq!(said(&bin(of), dtype), expect);
        }
        for (share, most, expect) in [(0.5, 1.0, 0.5), (f64::NAN, 1.0, 0.0), (1.0, 0.0, 0.0), (2.0, 1.0, 1.0)] {
            assert_eq!(part(share, most), expect);
        }
    }
}

//! Small drawings in a line of text: sparklines and tiny histograms.

use athanor_protocol::table::Bin;
use egui::{Color32, Pos2, Rect, Response, Sense, Stroke, Ui, Vec2};

use crate::theme::Theme;

/// A line through values, scaled to its place; gaps where a value is not finite.
pub fn sparkline(ui: &mut Ui, values: &[f64], wanted: Vec2, color: Color32) -> Response {
    let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if values.len() < 2 || low > high {
        return response;
    }
    let place = |at: usize, value: f64| {
        let x = at as f32 / (values.len() - 1) as f32;
        let y = if high > low { ((value - low) / (high - low)) as f32 } else { 0.5 };
        Pos2::new(rect.left() + x * rect.width(), rect.bottom() - 1.0 - y * (rect.height() - 2.0))
    };
    let mut line = Vec::with_capacity(values.len());
    for (at, &value) in values.iter().enumerate() {
        if value.is_finite() {
            line.push(place(at, value));
        } else if line.len() > 1 {
            ui.painter().line(std::mem::take(&mut line), Stroke::new(1.5, color));
        } else {
            line.clear();
        }
    }
    ui.painter().line(line, Stroke::new(1.5, color));
    response
}

/// A histogram that fits into a table's header.
pub fn tiny_histogram(ui: &mut Ui, bins: &[Bin], wanted: Vec2) -> Response {
    let counts: Vec<u64> = bins.iter().map(|bin| bin.count).collect();
    let response = tiny_bars(ui, &counts, wanted);
    match (bins.first(), bins.last()) {
        (Some(first), Some(last)) => response.on_hover_text(format!(
            "{} to {}",
            crate::format::number(first.low),
            crate::format::number(last.high)
        )),
        _ => response,
    }
}

/// Bars of these heights.
pub fn tiny_bars(ui: &mut Ui, counts: &[u64], wanted: Vec2) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f32;
    let width = rect.width() / counts.len().max(1) as f32;
    for (at, &count) in counts.iter().enumerate() {
        let height = (count as f32 / most * rect.height()).max(if count > 0 { 1.0 } else { 0.0 });
        let left = rect.left() + at as f32 * width;
        let bar = Rect::from_min_max(
            Pos2::new(left, rect.bottom() - height),
            Pos2::new((left + width - 1.0).max(left + 0.5), rect.bottom()),
        );
        ui.painter().rect_filled(bar, 0, theme.info.gamma_multiply(0.75));
    }
    response
}

//! A figure and how sure it is: a bar with a whisker, and a difference with its interval against zero.

use egui::{Color32, Painter, Pos2, Rect, Response, Sense, Stroke, Ui, Vec2};

use crate::theme::{Theme, mix, radius};

/// Half of a whisker's cap.
const CAP: f32 = 4.0;

fn track(theme: &Theme) -> Color32 {
    if theme.dark { theme.sunken } else { mix(theme.sunken, theme.line, 0.4) }
}

/// A line with a cap at each end; an end outside of the place has none.
fn whisker(painter: &Painter, place: Rect, [low, high]: [f32; 2], color: Color32) {
    let y = place.center().y;
    let (from, to) = (low.max(place.left()), high.min(place.right()));
    let stroke = Stroke::new(1.5, color);
    painter.hline(from..=to.max(from), y, stroke);
    for (end, seen) in [(low, low >= place.left()), (high, high <= place.right())] {
        if seen {
            painter.vline(end, y - CAP..=y + CAP, stroke);
        }
    }
}

/// A value as a bar from zero up to `top`, its interval as a whisker over it. What is not finite is not drawn.
pub fn value_bar(
    ui: &mut Ui,
    wanted: Vec2,
    top: f64,
    value: f64,
    interval: Option<[f64; 2]>,
    color: Color32,
) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
    let bar = Rect::from_center_size(rect.center(), Vec2::new(rect.width(), 8.0));
    ui.painter().rect_filled(bar, radius::BAR, track(theme));
    if !(top.is_finite() && top > 0.0 && value.is_finite()) {
        return response;
    }
    let place = |value: f64| bar.left() + (value / top) as f32 * bar.width();
    let end = place(value).clamp(bar.left(), bar.right());
    if end > bar.left() {
        ui.painter().rect_filled(bar.with_max_x(end), radius::BAR, color);
    }
    if let Some([low, high]) = interval.filter(|ends| ends.iter().all(|end| end.is_finite())) {
        whisker(ui.painter(), bar, [place(low), place(high)], theme.text);
    }
    response
}

/// A difference as a dot with its interval, zero in the middle; the ends stand for `most` and its opposite.
pub fn difference_bar(
    ui: &mut Ui,
    wanted: Vec2,
    most: f64,
    value: f64,
    interval: [f64; 2],
    color: Color32,
) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
    let place = rect.shrink2(Vec2::new(4.0, 0.0));
    let painter = ui.painter();
    let middle = place.center();
    painter.hline(place.x_range(), middle.y, Stroke::new(1.0, mix(theme.panel, theme.line, 0.8)));
    painter.vline(middle.x, rect.y_range().shrink(2.0), Stroke::new(1.0, theme.muted));
    let all = [value, interval[0], interval[1]];
    if !(most.is_finite() && most > 0.0 && all.iter().all(|value| value.is_finite())) {
        return response;
    }
    let at = |value: f64| middle.x + (value / most) as f32 * place.width() / 2.0;
    whisker(painter, place, [at(interval[0]), at(interval[1])], color);
    painter.circle_filled(Pos2::new(at(value).clamp(place.left(), place.right()), middle.y), 4.0, color);
    response
}

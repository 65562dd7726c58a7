//! A small plot of the last minutes that moves with the time.

use egui::{Align2, Color32, CornerRadius, Pos2, Rect, Response, Sense, Stroke, Ui, Vec2, WidgetInfo, WidgetType};

use crate::theme::{self, Theme, font_size, mix, radius};

/// A line of a [`live_plot`].
pub struct LiveLine<'a> {
    /// Its name, for the label under the pointer.
    pub name: &'a str,
    /// Its colour.
    pub color: Color32,
    /// Time in seconds and value, oldest first; a value that is not finite makes a gap.
    pub points: &'a [[f64; 2]],
    /// Whether the ground under it is filled.
    pub filled: bool,
}

/// How a [`live_plot`] is drawn.
pub struct LivePlot<'a> {
    /// What assistive technology calls it.
    pub name: &'a str,
    /// Its height.
    pub height: f32,
    /// The right edge, in seconds.
    pub now: f64,
    /// How much time is seen, in seconds.
    pub span: f64,
    /// The top of the scale where it is known; else it follows the values, and is at least `least_top`.
    pub top: Option<f64>,
    /// The least top of a scale that follows the values.
    pub least_top: f64,
    /// How a value is written.
    pub write: fn(f64) -> String,
}

/// The next round number at or above a value: 1, 2 or 5 and zeros.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let unit = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * unit).find(|top| *top >= value * 0.999).unwrap_or(value)
}

/// Draws the lines; under the pointer it shows the values at that time.
pub fn live_plot(ui: &mut Ui, plot: &LivePlot<'_>, lines: &[LiveLine<'_>]) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), plot.height), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, plot.name));
    if !ui.is_rect_visible(rect) {
        return response;
    }
    let from = plot.now - plot.span;
    let seen = |points: &[[f64; 2]]| {
        // One point before the edge, so that the line enters from outside.
        let first = points.partition_point(|[at, _]| *at < from);
        first.saturating_sub(1)
    };
    let most = lines
        .iter()
        .flat_map(|line| &line.points[seen(line.points)..])
        .map(|[_, value]| *value)
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let top = plot.top.unwrap_or_else(|| round_up(most.max(plot.least_top)));
    let inner = Rect::from_min_max(rect.min + Vec2::new(0.0, 16.0), rect.max - Vec2::new(0.0, 16.0));
    let painter = ui.painter();
    let grid = Stroke::new(1.0, mix(theme.panel, theme.line, 0.7));
    for share in [0.0, 0.5, 1.0] {
        painter.hline(inner.x_range(), egui::lerp(inner.bottom()..=inner.top(), share), grid);
    }
    let small = theme::regular(font_size::LABEL - 0.5);
    let top_text = (plot.write)(top);
    painter.text(inner.left_top() - Vec2::new(0.0, 2.0), Align2::LEFT_BOTTOM, top_text, small.clone(), theme.muted);
    let spans =
        if plot.span >= 120.0 { format!("{:.0} min ago", plot.span / 60.0) } else { format!("{:.0} s ago", plot.span) };
    painter.text(inner.left_bottom() + Vec2::new(0.0, 3.0), Align2::LEFT_TOP, spans, small.clone(), theme.muted);
    painter.text(inner.right_bottom() + Vec2::new(0.0, 3.0), Align2::RIGHT_TOP, "now", small, theme.muted);
    let place = |[at, value]: [f64; 2]| {
        let x = inner.left() + ((at - from) / plot.span) as f32 * inner.width();
        let y = inner.bottom() - (value / top).clamp(0.0, 1.0) as f32 * inner.height();
        Pos2::new(x, y)
    };
    let clip = painter.with_clip_rect(inner.expand2(Vec2::new(0.0, 2.0)));
    for line in lines {
        let points = &line.points[seen(line.points)..];
        let stroke = Stroke::new(1.5, line.color);
        for piece in points.split(|[_, value]| !value.is_finite()) {
            let piece: Vec<Pos2> = piece.iter().copied().map(place).collect();
            if line.filled {
                fill(&clip, &piece, inner.bottom(), line.color.gamma_multiply(if theme.dark { 0.16 } else { 0.12 }));
            }
            match piece.as_slice() {
                [] => {}
                [alone] => {
                    clip.circle_filled(*alone, 1.5, line.color);
                }
                _ => {
                    clip.line(piece, stroke);
                }
            }
        }
    }
    if let Some(pointer) = response.hover_pos().filter(|at| inner.expand(8.0).contains(*at)) {
        let at = from + f64::from((pointer.x - inner.left()) / inner.width()) * plot.span;
        under_pointer(ui, theme, inner, plot, lines, at, &place);
    }
    response
}

/// The ground under a piece of a line, as one mesh.
fn fill(painter: &egui::Painter, piece: &[Pos2], bottom: f32, color: Color32) {
    if piece.len() < 2 {
        return;
    }
    let mut mesh = egui::Mesh::default();
    mesh.reserve_vertices(piece.len() * 2);
    for (at, point) in piece.iter().enumerate() {
        mesh.colored_vertex(*point, color);
        mesh.colored_vertex(Pos2::new(point.x, bottom), color);
        if at > 0 {
            let i = (at * 2) as u32;
            mesh.add_triangle(i - 2, i - 1, i);
            mesh.add_triangle(i - 1, i, i + 1);
        }
    }
    painter.add(mesh);
}

fn under_pointer(
    ui: &Ui,
    theme: &Theme,
    inner: Rect,
    plot: &LivePlot<'_>,
    lines: &[LiveLine<'_>],
    at: f64,
    place: &dyn Fn([f64; 2]) -> Pos2,
) {
    let painter = ui.painter();
    let nearest = |points: &[[f64; 2]]| {
        let after = points.partition_point(|[t, _]| *t < at);
        let candidates =
            [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|i| points.get(i).copied());
        candidates.min_by(|a, b| (a[0] - at).abs().total_cmp(&(b[0] - at).abs()))
    };
    let mut rows = vec![];
    for line in lines {
        if let Some(point) = nearest(line.points).filter(|[_, value]| value.is_finite()) {
            let spot = place(point);
            painter.circle_filled(spot, 3.0, line.color);
            rows.push((line.color, format!("{} {}", line.name, (plot.write)(point[1])), spot.x));
        }
    }
    let Some(x) = rows.first().map(|(_, _, x)| *x) else { return };
    painter.vline(x, inner.y_range(), Stroke::new(1.0, mix(theme.panel, theme.text, 0.3)));
    let font = theme::regular(font_size::LABEL);
    let galleys: Vec<_> = rows
        .into_iter()
        .map(|(color, text, _)| (color, painter.layout_no_wrap(text, font.clone(), theme.text)))
        .collect();
    let width = galleys.iter().map(|(_, galley)| galley.size().x).fold(0.0, f32::max) + 30.0;
    let height = galleys.len() as f32 * 17.0 + 8.0;
    let left = if x + width + 10.0 > inner.right() { x - width - 8.0 } else { x + 8.0 };
    let ground = Rect::from_min_size(Pos2::new(left.max(inner.left()), inner.top() + 2.0), Vec2::new(width, height));
    painter.rect(ground, CornerRadius::same(radius::CONTROL), theme.raised, theme.border(), egui::StrokeKind::Inside);
    for (row, (color, galley)) in galleys.into_iter().enumerate() {
        let y = ground.top() + 4.0 + row as f32 * 17.0 + 8.5;
        painter.circle_filled(Pos2::new(ground.left() + 12.0, y), 3.5, color);
        let at = Pos2::new(ground.left() + 22.0, y - galley.size().y / 2.0);
        painter.galley(at, galley, theme.text);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn scales_end_at_round_numbers() {
        for (value, expect) in
            [(0.0, 1.0), (0.7, 1.0), (1.0, 1.0), (1.2, 2.0), (37.0, 50.0), (51.0, 100.0), (f64::NAN, 1.0)]
        {
            assert!((super::round_up(value) - expect).abs() < 1e-9, "{value}");
        }
    }
}

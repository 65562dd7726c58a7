//! One plot of curves: the plot library gives axes, zoom and drag; the curves are drawn here, so that a frame costs what
//! its pixels cost.

use egui::{
    Align2, Color32, Id, Mesh, Pos2, Rect, RichText, Shape, Stroke, StrokeKind, Ui, Vec2, Vec2b, WidgetInfo, WidgetType,
};
use egui_plot::{AxisHints, GridInput, GridMark, Plot, PlotTransform};

use super::curve::{Drawn, Look, XAxis};
use crate::{
    format,
    theme::{self, Theme, font_size, mix, radius, size},
};

/// Up to so many curves have a band from their least to their greatest values; of more, the line goes through both.
const BANDS: usize = 6;
/// Dashes tell so many curves apart, as many again as there are colours. Among more they tell nothing, and each dash is
/// a shape of its own: ten thousands of them in a frame.
pub(super) const DASHES: usize = 16;
/// Most values that are read out beside the cursor.
const READ_OUT: usize = 14;

/// A curve with its name and colour.
pub(super) struct Trace<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its colour.
    pub(super) color: Color32,
    /// Dashed, where there are more curves than colours.
    pub(super) dashed: bool,
    /// What to draw.
    pub(super) drawn: &'a Drawn,
}

/// The cursor that all plots of a page share: where on the x axis the pointer is.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cursor {
    now: Option<f64>,
    next: Option<f64>,
}

impl Cursor {
    /// Begins a frame: what was found in the last one counts.
    pub(super) fn begin(&mut self, ui: &Ui) {
        if self.now != self.next {
            ui.ctx().request_repaint();
        }
        self.now = self.next.take();
    }
}

/// What a plot says after it was drawn.
pub(super) struct PlotDone {
    /// The x range that is seen, where somebody zoomed.
    pub(super) zoomed: Option<[f64; 2]>,
}

/// Colour and dash of a series by its place among others.
pub(super) fn series_look(theme: &Theme, at: usize) -> (Color32, bool) {
    (theme.series(at), (at / theme.series.len()) % 2 == 1)
}

fn x_text(x: f64, axis: XAxis) -> String {
    match axis {
        XAxis::Step if x >= 1e4 && x.fract() == 0.0 && x < 1e15 => format::count(x as u64),
        XAxis::Step | XAxis::Epoch => format::number(x),
        XAxis::Time => format::duration_millis((x * 1000.0) as i64),
    }
}

fn tick_text(x: f64, axis: XAxis) -> String {
    match axis {
        XAxis::Time if x >= 3600.0 => format!("{}:{:02}", x as u64 / 3600, x as u64 / 60 % 60),
        XAxis::Time if x >= 60.0 => format!("{}:{:02}", x as u64 / 60, x as u64 % 60),
        XAxis::Time => format!("{} s", format::number(x)),
        _ => short_number(x),
    }
}

/// A tick's number: `12k`, `0.05`.
pub(super) fn short_number(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if size >= 1e12 || (size > 1e-12 && size < 1e-4) => exponent(x),
        _ if size >= 1e9 => format!("{}G", format::number(x / 1e9)),
        _ if size >= 1e6 => format!("{}M", format::number(x / 1e6)),
        _ if size >= 1e4 => format!("{}k", format::number(x / 1e3)),
        // Steps of a grid gather rounding; what is next to nothing beside them is nothing.
        _ if size < 1e-12 => "0".to_owned(),
        _ => format::number((x * 1e10).round() / 1e10),
    }
}

fn exponent(x: f64) -> String {
    let text = format!("{x:.1e}");
    text.replace(".0e", "e")
}

/// Ticks of a logarithmic axis: decades, and between them 2 and 5 where there is room.
fn log_marks(input: &GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    let mut marks = vec![];
    let decades = high - low;
    if !decades.is_finite() || decades > 300.0 {
        return marks;
    }
    let step = (decades / 6.0).ceil().max(1.0) as i64;
    let mut decade = (low.floor() as i64).div_euclid(step) * step;
    while (decade as f64) <= high {
        marks.push(GridMark { value: decade as f64, step_size: step as f64 });
        if decades < 2.5 {
            for part in [2.0f64, 5.0] {
                marks.push(GridMark { value: decade as f64 + part.log10(), step_size: 0.3 });
            }
        }
        decade += step;
    }
    marks.retain(|mark| mark.value >= low && mark.value <= high);
    marks
}

/// Steps of 1, 2 or 5 with room between them, all of one strength. The library's least step is that of eight points.
fn even_marks(input: &GridInput, points: f64) -> Vec<GridMark> {
    let least = input.base_step_size * points / 8.0;
    let (low, high) = input.bounds;
    if !(least.is_finite() && least > 0.0 && low.is_finite() && high.is_finite()) {
        return vec![];
    }
    let unit = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * unit).find(|step| *step >= least).unwrap_or(least);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    if !(step > 0.0 && last - first < 200.0) {
        return vec![];
    }
    (0..=(last - first).max(-1.0) as i64)
        .map(|at| GridMark { value: (first + at as f64) * step, step_size: step })
        .collect()
}

/// A plot's ground: quiet axes in small figures, zoom by wheel with Ctrl and by a box with the right button.
pub(super) fn ground<'a>(ui: &Ui, id: impl egui::AsId, height: f32) -> Plot<'a> {
    let theme = Theme::of(ui);
    Plot::new(id)
        .height(height)
        .show_background(false)
        .show_crosshair(false)
        .allow_boxed_zoom(true)
        .allow_double_click_reset(true)
        .allow_scroll(false)
        .allow_zoom([true, true])
        .cursor_color(Color32::TRANSPARENT)
        .grid_color(mix(theme.panel, theme.line, 0.7))
        .grid_spacing(egui::Rangef::new(8.0, 20.0))
        .grid_fade(1.0)
        .x_grid_spacer(|input| even_marks(&input, 64.0))
        .y_grid_spacer(|input| even_marks(&input, 30.0))
        .set_margin_fraction(Vec2::new(0.01, 0.06))
        .label_formatter(|_| None)
}

/// Axes in the theme's small figures.
pub(super) fn axes<'a>(
    ui: &Ui,
    x: impl Fn(f64) -> String + 'a,
    y: impl Fn(f64) -> String + 'a,
) -> (AxisHints<'a>, AxisHints<'a>) {
    let theme = Theme::of(ui);
    let font = theme::regular(font_size::LABEL);
    let x = AxisHints::new_x()
        .formatter(move |mark, _| x(mark.value))
        .label_spacing(egui::Rangef::new(8.0, 16.0))
        .tick_label_font(font.clone())
        .tick_label_color(theme.muted);
    let y = AxisHints::new_y()
        .formatter(move |mark, _| y(mark.value))
        .label_spacing(egui::Rangef::new(8.0, 16.0))
        .min_thickness(34.0)
        .tick_label_font(font)
        .tick_label_color(theme.muted);
    (x, y)
}

/// The name of an axis.
pub(super) fn axis_name(ui: &Ui, name: &str) -> RichText {
    RichText::new(name).font(theme::regular(font_size::LABEL)).color(Theme::of(ui).muted)
}

/// Draws curves. `link` names the plots that are zoomed along the x axis together.
pub(super) fn curves(
    ui: &mut Ui,
    id: impl egui::AsId,
    height: f32,
    look: Look,
    link: Option<Id>,
    cursor: &mut Cursor,
    traces: &[Trace<'_>],
) -> PlotDone {
    let theme = Theme::of(ui);
    let once = |trace: &Trace<'_>| trace.drawn.n_points <= 1 && trace.drawn.holes.is_empty();
    if traces.iter().all(once) && traces.iter().any(|trace| !trace.drawn.dots.is_empty()) {
        figures(ui, height, look, traces);
        return PlotDone { zoomed: None };
    }
    let log = look.log;
    let (x_axis, y_axis) = axes(
        ui,
        move |x| tick_text(x, look.x),
        move |y| if log { short_number(10f64.powf(y)) } else { short_number(y) },
    );
    let mut plot = ground(ui, id, height).custom_x_axes(vec![x_axis]).custom_y_axes(vec![y_axis]);
    if log {
        plot = plot.y_grid_spacer(|input| log_marks(&input));
    }
    if let Some(link) = link {
        plot = plot.link_axis(link, Vec2b::new(true, false));
    }
    for (x, y) in traces.iter().filter_map(|trace| trace.drawn.bounds) {
        // One value alone lies in the middle of a range that can be read.
        let pad = if y[0] < y[1] {
            0.0
        } else if log {
            0.5
        } else {
            (y[0].abs() * 0.1).max(1e-9)
        };
        let beside = if x[0] < x[1] { 0.0 } else { 1.0 };
        plot = plot.include_x(x[0] - beside).include_x(x[1] + beside).include_y(y[0] - pad).include_y(y[1] + pad);
    }
    let auto = plot.show(ui, |plot| plot.auto_bounds());
    let (response, transform) = (auto.response, auto.transform);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, in_words(traces, look)));
    let rect = *transform.frame();
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    if traces.len() <= BANDS {
        for trace in traces {
            band(&painter, &transform, trace);
        }
    }
    for trace in traces {
        line(&painter, &transform, trace, look, traces.len());
    }
    holes(ui, &painter, &transform, traces);
    let any = traces.iter().any(|trace| !trace.drawn.dots.is_empty());
    if !any {
        painter.text(
            rect.center(),
            Align2::CENTER_CENTER,
            nothing(traces, look),
            theme::regular(font_size::BODY),
            theme.muted,
        );
    }
    let pointer = response.hover_pos().filter(|pos| rect.contains(*pos));
    if let Some(pos) = pointer {
        cursor.next = Some(transform.value_from_position(pos).x);
    }
    if any && let Some(x) = pointer.map(|pos| transform.value_from_position(pos).x).or(cursor.now) {
        read_out(ui, &painter, &transform, look, x, traces, pointer);
    }
    let bounds = transform.bounds();
    let zoomed = (!auto.inner.x && bounds.is_valid_x()).then(|| [bounds.min()[0], bounds.max()[0]]);
    PlotDone { zoomed }
}

/// What a plot shows, for those who do not see it: where each of the first curves has come to.
fn in_words(traces: &[Trace<'_>], look: Look) -> String {
    let at = match look.x {
        XAxis::Step => "step",
        XAxis::Epoch => "epoch",
        XAxis::Time => "after",
    };
    let of_one = |trace: &Trace<'_>| match trace.drawn.dots.last() {
        Some(dot) => {
            let y = if look.log { 10f64.powf(dot.y) } else { dot.y };
            let n = format::count(trace.drawn.n_points);
            format!("{} {} at {at} {}, {n} points", trace.name, format::number(y), x_text(dot.x, look.x))
        }
        None => format!("{} no points", trace.name),
    };
    let mut words: Vec<String> = traces.iter().take(BANDS).map(of_one).collect();
    if traces.len() > BANDS {
        words.push(format!("and {} more", traces.len() - BANDS));
    }
    format!("Curves: {}", words.join("; "))
}

/// Numbers that were reported once are figures and no curves: one stands large, several stand under each other.
fn figures(ui: &mut Ui, height: f32, look: Look, traces: &[Trace<'_>]) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), egui::Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, in_words(traces, look)));
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let value_of =
        |trace: &Trace<'_>| trace.drawn.dots.last().map(|dot| if look.log { 10f64.powf(dot.y) } else { dot.y });
    let values: Vec<(&Trace<'_>, f64)> = traces.iter().filter_map(|trace| Some((trace, value_of(trace)?))).collect();
    if let [(trace, value)] = values[..] {
        let middle = rect.center();
        let figure = theme::semibold(font_size::FIGURE + 4.0);
        painter.text(middle - Vec2::new(0.0, 8.0), Align2::CENTER_CENTER, format::number(value), figure, theme.text);
        let name = shortened(trace.name, 40);
        let at = middle + Vec2::new(0.0, 18.0);
        painter.text(at, Align2::CENTER_CENTER, name, theme::regular(font_size::LABEL), theme.muted);
        return;
    }
    let row = 22.0;
    let fit = (height / row).floor().max(1.0) as usize;
    let n = if values.len() > fit { fit - 1 } else { values.len() };
    let most = values.iter().map(|(_, value)| *value).fold(0.0f64, f64::max);
    let bars = most > 0.0 && values.iter().all(|(_, value)| *value >= 0.0);
    let name_width = (rect.width() * 0.42).min(190.0);
    let value_width = 64.0;
    let (small, mono) = (theme::regular(font_size::LABEL), theme::mono(font_size::LABEL));
    for (at, (trace, value)) in values.iter().take(n).enumerate() {
        let y = rect.top() + (at as f32 + 0.5) * row;
        painter.circle_filled(Pos2::new(rect.left() + 6.0, y), 3.5, trace.color);
        let name = shortened(trace.name, (name_width / 7.0) as usize);
        painter.text(Pos2::new(rect.left() + 16.0, y), Align2::LEFT_CENTER, name, small.clone(), theme.text);
        if bars {
            let left = rect.left() + 16.0 + name_width;
            let whole = (rect.right() - value_width - left).max(8.0);
            let share = (value / most) as f32;
            let bar = Rect::from_min_size(Pos2::new(left, y - 3.0), Vec2::new(whole * share, 6.0));
            painter.rect_filled(bar, radius::BAR, trace.color);
        }
        painter.text(
            Pos2::new(rect.right(), y),
            Align2::RIGHT_CENTER,
            format::number(*value),
            mono.clone(),
            theme.text,
        );
    }
    if values.len() > n {
        let at = Pos2::new(rect.left() + 16.0, rect.top() + (n as f32 + 0.5) * row);
        painter.text(at, Align2::LEFT_CENTER, format!("and {} more", values.len() - n), small, theme.muted);
    }
}

/// Why there is nothing to see.
fn nothing(traces: &[Trace<'_>], look: Look) -> String {
    if traces.iter().any(|trace| trace.drawn.lacks_x) {
        "This run does not count epochs: choose steps or time.".to_owned()
    } else if log_hides(traces, look) {
        "No value is above zero: a logarithmic axis cannot show them.".to_owned()
    } else {
        let n: u64 = traces.iter().map(|trace| trace.drawn.n_non_finite).sum();
        if n > 0 {
            format!("None of {} is a finite number.", format::plural(n, "value"))
        } else {
            "No points yet.".to_owned()
        }
    }
}

fn log_hides(traces: &[Trace<'_>], look: Look) -> bool {
    look.log && traces.iter().any(|trace| trace.drawn.n_not_positive > 0)
}

fn place(transform: &PlotTransform, x: f64, y: f64) -> Pos2 {
    Pos2::new(transform.position_from_point_x(x), transform.position_from_point_y(y))
}

/// The dots of a piece that are seen, and one on each side.
fn seen<'a>(
    transform: &PlotTransform,
    trace: &'a Trace<'_>,
    piece: &std::ops::Range<usize>,
) -> &'a [super::curve::Dot] {
    let Some(dots) = trace.drawn.dots.get(piece.clone()) else { return &[] };
    let (low, high) = (transform.bounds().min()[0], transform.bounds().max()[0]);
    let first = dots.partition_point(|dot| dot.x < low).saturating_sub(1);
    let end = (dots.partition_point(|dot| dot.x <= high) + 1).min(dots.len());
    dots.get(first..end).unwrap_or(&[])
}

fn band(painter: &egui::Painter, transform: &PlotTransform, trace: &Trace<'_>) {
    let color = trace.color.gamma_multiply(0.22);
    let mut mesh = Mesh::default();
    for piece in &trace.drawn.pieces {
        let dots = seen(transform, trace, piece);
        if dots.iter().all(|dot| dot.low == dot.high) {
            continue;
        }
        let mut first = true;
        for dot in dots {
            let at = mesh.vertices.len() as u32;
            mesh.colored_vertex(place(transform, dot.x, dot.low), color);
            mesh.colored_vertex(place(transform, dot.x, dot.high), color);
            if !first {
                mesh.add_triangle(at - 2, at - 1, at);
                mesh.add_triangle(at - 1, at, at + 1);
            }
            first = false;
        }
    }
    if !mesh.is_empty() {
        painter.add(mesh);
    }
}

fn line(painter: &egui::Painter, transform: &PlotTransform, trace: &Trace<'_>, look: Look, n_traces: usize) {
    let banded = n_traces <= BANDS;
    let dashed = trace.dashed && n_traces <= DASHES;
    let smoothed = look.smoothing > 0.0;
    // Many thin lines can be told apart better than many thick ones, and cost less.
    let strong = Stroke::new(if n_traces > DASHES { 1.0 } else { 1.5 }, trace.color);
    let weak = Stroke::new(1.0, trace.color.gamma_multiply(0.3));
    for piece in &trace.drawn.pieces {
        let dots = seen(transform, trace, piece);
        if let [dot] = dots
            && piece.len() == 1
        {
            painter.circle_filled(place(transform, dot.x, dot.y), 2.5, trace.color);
            continue;
        }
        if smoothed && !banded {
            // Faint lines of many runs would only be a fog.
        } else {
            let mut points = Vec::with_capacity(dots.len() * 2);
            for dot in dots {
                let (low, high) = (place(transform, dot.x, dot.low), place(transform, dot.x, dot.high));
                if n_traces > DASHES {
                    // Of many curves one end each, the one farther from where the curve goes on: no peak is lost, and
                    // a hundred of them cost a frame no more than a few do.
                    let y = place(transform, dot.x, dot.y).y;
                    points.push(if low.y - y > y - high.y { low } else { high });
                } else if !banded && low.y - high.y > 1.0 {
                    // Through both ends, the nearer one first: no peak is lost.
                    let from_above = points.last().is_some_and(|last: &Pos2| last.y < (low.y + high.y) / 2.0);
                    points.extend(if from_above { [high, low] } else { [low, high] });
                } else {
                    points.push(place(transform, dot.x, dot.y));
                }
            }
            stroke(painter, thinned(points), if smoothed { weak } else { strong }, dashed);
        }
        if smoothed {
            let points = dots.iter().map(|dot| place(transform, dot.x, dot.smooth)).collect();
            stroke(painter, thinned(points), strong, dashed);
        }
    }
}

/// Drops points that fall on the one before.
fn thinned(mut points: Vec<Pos2>) -> Vec<Pos2> {
    points.dedup_by(|next, kept| (next.x - kept.x).abs() < 0.3 && (next.y - kept.y).abs() < 0.3);
    points
}

fn stroke(painter: &egui::Painter, points: Vec<Pos2>, stroke: Stroke, dashed: bool) {
    if dashed {
        painter.extend(Shape::dashed_line(&points, stroke, 6.0, 3.0));
    } else if points.len() > 1 {
        painter.add(Shape::line(points, stroke));
    }
}

/// A mark at the foot for each place where values are not finite; the pointer on it says how many.
fn holes(ui: &Ui, painter: &egui::Painter, transform: &PlotTransform, traces: &[Trace<'_>]) {
    let theme = Theme::of(ui);
    let rect = *transform.frame();
    let pointer = ui.input(|input| input.pointer.hover_pos());
    let mut last = f32::NEG_INFINITY;
    let mut said = None;
    for trace in traces {
        for &(x, n) in &trace.drawn.holes {
            let at = Pos2::new(transform.position_from_point_x(x), rect.bottom() - 5.0);
            if !rect.x_range().contains(at.x) || (at.x - last).abs() < 3.0 {
                continue;
            }
            last = at.x;
            let tip = Pos2::new(at.x, at.y - 4.0);
            let foot = [Pos2::new(at.x - 4.0, at.y + 4.0), Pos2::new(at.x + 4.0, at.y + 4.0)];
            painter.add(Shape::convex_polygon(vec![tip, foot[1], foot[0]], theme.warn, Stroke::NONE));
            if pointer.is_some_and(|pos| (pos - at).length() < 8.0) {
                said = Some((at, format!("{}: {} not finite", trace.name, format::plural(n, "value"))));
            }
        }
    }
    if let Some((at, text)) = said {
        let font = theme::regular(font_size::LABEL);
        let galley = ui.painter().layout_no_wrap(text, font, theme.text);
        let size = galley.size() + Vec2::new(16.0, 8.0);
        let left = (at.x - size.x / 2.0).clamp(rect.left(), (rect.right() - size.x).max(rect.left()));
        let frame = Rect::from_min_size(Pos2::new(left, at.y - 14.0 - size.y), size);
        painter.rect(frame, radius::CONTROL, theme.raised, theme.border(), StrokeKind::Inside);
        painter.galley(frame.min + Vec2::new(8.0, 4.0), galley, theme.text);
    }
}

/// The cursor, and beside it the value of every series there.
fn read_out(
    ui: &Ui,
    painter: &egui::Painter,
    transform: &PlotTransform,
    look: Look,
    x: f64,
    traces: &[Trace<'_>],
    pointer: Option<Pos2>,
) {
    let theme = Theme::of(ui);
    let rect = *transform.frame();
    let at = transform.position_from_point_x(x);
    if !rect.x_range().contains(at) {
        return;
    }
    painter.vline(at, rect.y_range(), Stroke::new(1.0, mix(theme.panel, theme.text, 0.35)));
    let back = |y: f64| if look.log { 10f64.powf(y) } else { y };
    let mut values: Vec<(f32, &Trace<'_>, f64)> = vec![];
    for trace in traces {
        let Some(dot) = trace.drawn.at(x) else { continue };
        let y = if look.smoothing > 0.0 { dot.smooth } else { dot.y };
        let pos = place(transform, dot.x, y);
        if values.len() < 64 && rect.contains(pos) {
            painter.circle(pos, 3.0, trace.color, Stroke::new(1.5, theme.panel));
        }
        values.push((pos.y, trace, back(y)));
    }
    if values.is_empty() {
        return;
    }
    let Some(pointer) = pointer else {
        // In the plots beside the pointer's: the value alone, where there is one series.
        if let [(y, trace, value)] = values[..] {
            let text = format::number(value);
            let side = if at > rect.center().x { (Align2::RIGHT_BOTTOM, -6.0) } else { (Align2::LEFT_BOTTOM, 6.0) };
            let y = y.clamp(rect.top() + 16.0, rect.bottom());
            painter.text(Pos2::new(at + side.1, y - 2.0), side.0, text, theme::mono(font_size::LABEL), trace.color);
        }
        return;
    };
    // In the order in which the lines lie, those next to the pointer where there are too many.
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = values.len();
    let near = values.partition_point(|value| value.0 < pointer.y);
    let first = near.saturating_sub(READ_OUT / 2).min(n.saturating_sub(READ_OUT));
    let rows = &values[first..(first + READ_OUT).min(n)];
    let font = theme::regular(font_size::LABEL);
    let figures = theme::mono(font_size::LABEL);
    let head = match look.x {
        XAxis::Step => format!("step {}", x_text(x.round(), look.x)),
        XAxis::Epoch => format!("epoch {}", x_text(x.round(), look.x)),
        XAxis::Time => x_text(x, look.x),
    };
    let names: Vec<_> = rows
        .iter()
        .map(|(_, trace, value)| {
            let name = shortened(trace.name, 30);
            (
                painter.layout_no_wrap(name, font.clone(), theme.text),
                painter.layout_no_wrap(format::number(*value), figures.clone(), theme.text),
                trace.color,
            )
        })
        .collect();
    let name_width = names.iter().map(|row| row.0.size().x).fold(0.0, f32::max);
    let value_width = names.iter().map(|row| row.1.size().x).fold(0.0, f32::max);
    let row_height = 17.0;
    let more = if n > rows.len() { row_height } else { 0.0 };
    let wanted =
        Vec2::new(name_width + value_width + 16.0 + 16.0 + 20.0, (rows.len() + 1) as f32 * row_height + 12.0 + more);
    let screen = ui.ctx().content_rect();
    let left = if at + 12.0 + wanted.x < screen.right() { at + 12.0 } else { at - 12.0 - wanted.x };
    let top = (pointer.y - wanted.y / 2.0).clamp(screen.top() + 4.0, (screen.bottom() - wanted.y - 4.0).max(4.0));
    let frame = Rect::from_min_size(Pos2::new(left.max(4.0), top), wanted);
    // Above the cards and their edges.
    let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Tooltip, Id::new("read out")));
    painter.rect(frame, radius::CONTROL, theme.raised, theme.border(), StrokeKind::Inside);
    let mut y = frame.top() + 6.0;
    painter.text(Pos2::new(frame.left() + 10.0, y), Align2::LEFT_TOP, head, figures.clone(), theme.muted);
    for (name, value, color) in names {
        y += row_height;
        painter.circle_filled(Pos2::new(frame.left() + 14.0, y + 8.0), 3.5, color);
        painter.galley(Pos2::new(frame.left() + 24.0, y + 1.0), name, theme.text);
        painter.galley(Pos2::new(frame.right() - 10.0 - value.size().x, y + 1.0), value, theme.text);
    }
    if more > 0.0 {
        let text = format!("and {} more", n - rows.len());
        painter.text(Pos2::new(frame.left() + 24.0, y + row_height), Align2::LEFT_TOP, text, font, theme.muted);
    }
}

/// A name cut in its middle, where both ends say something.
pub(super) fn shortened(name: &str, most: usize) -> String {
    let n = name.chars().count();
    if n <= most {
        return name.to_owned();
    }
    let half = (most - 1) / 2;
    let head: String = name.chars().take(most - 1 - half).collect();
    let tail: String = name.chars().skip(n - half).collect();
    format!("{head}…{tail}")
}

/// The height of the plots in a grid.
pub(super) const PLOT_HEIGHT: f32 = 190.0;
/// The height of a card with a plot: title, plot, padding.
pub(super) const CARD_HEIGHT: f32 = PLOT_HEIGHT + 26.0 + 2.0 * size::CARD as f32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        for (value, expect) in [
            (0.0, "0"),
            (1e-17, "0"),
            (0.1 + 0.2, "0.3"),
            (12_000.0, "12k"),
            (2.5e6, "2.5M"),
            (-40.0, "-40"),
            (1e18, "1e18"),
            (2.5e-9, "2.5e-9"),
        ] {
            assert_eq!(short_number(value), expect);
        }
        assert_eq!(tick_text(90.0, XAxis::Time), "1:30");
        assert_eq!(x_text(12_345.0, XAxis::Step), "12,345");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("loss", 30), "loss");
        let long = shortened(&"ab".repeat(100), 11);
        assert_eq!((long.chars().count(), long.contains('…')), (11, true));
    }

    #[test]
    fn decades_are_marked_in_any_range() {
        for (low, high, n) in
            [(0.0, 1.0, 3), (0.0, 0.0, 0), (-1e300, 1e300, 3), (f64::NAN, 1.0, 0), (1e15, 1e15 + 1.0, 3)]
        {
            let base_step_size = (high - low) / 20.0;
            let marks = even_marks(&GridInput { bounds: (low, high), base_step_size }, 64.0);
            assert!(marks.len() >= n && marks.len() < 40, "{low} {high}: {}", marks.len());
        }
        for (low, high) in [(0.0, 1.0), (-12.0, 30.0), (2.0, 2.1), (f64::NEG_INFINITY, 1.0)] {
            let marks = log_marks(&GridInput { bounds: (low, high), base_step_size: 0.1 });
            assert!(marks.len() < 40, "{low} {high}: {}", marks.len());
        }
    }
}

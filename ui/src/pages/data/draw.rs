//! Plots of a table, drawn from the engine's numbers.

use athanor_protocol::{
    api::{BoxStats, PlotData},
    metric::MetricValue,
    table::{ColumnSchema, DataType},
};
use egui::{Align2, Color32, Pos2, Rect, RichText, Sense, Ui, Vec2};
use egui_plot::{Bar, BarChart, BoxElem, BoxPlot, BoxSpread, HoverPosition, Line, LineStyle, PlotPoints, Points};

use super::detail::value_text;
use crate::{
    format,
    theme::{self, Theme, contrast, font_size},
    widgets,
};

/// What the user has done to the picture.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    hidden: Vec<usize>,
}

/// What the axes show.
pub struct Names<'a> {
    /// Across.
    pub x: &'a str,
    /// Up.
    pub y: &'a str,
    /// Groups.
    pub group: &'a str,
    /// The table's columns.
    pub columns: &'a [ColumnSchema],
}

impl Names<'_> {
    fn dtype(&self, name: &str) -> DataType {
        self.columns.iter().find(|column| column.name == name).map_or(DataType::Float, |column| column.dtype)
    }
}

fn group_name(name: &str) -> String {
    if name.is_empty() { "no value".to_owned() } else { name.to_owned() }
}

/// Draws it, with the legend under it.
pub fn show(ui: &mut Ui, data: &PlotData, drawn: &mut Drawn, names: &Names<'_>, height: f32) {
    match data {
        PlotData::Histogram { groups, n_left_out } => {
            let remark = (*n_left_out > 0)
                .then(|| format!("{} without a finite value left out", format::plural(*n_left_out, "row")));
            histogram(ui, groups, drawn, names, height);
            foot(ui, groups.iter().map(|(name, _)| name.as_str()), drawn, remark);
        }
        PlotData::Bar { values, groups, n_other, n_missing } => {
            bars(ui, values, groups, drawn, names, height);
            let mut remarks = vec![];
            if *n_other > 0 {
                remarks.push(format!("{} with other values", format::plural(*n_other, "row")));
            }
            if *n_missing > 0 {
                remarks.push(format!("{} without a value", format::plural(*n_missing, "row")));
            }
            foot(
                ui,
                groups.iter().map(|(name, _)| name.as_str()),
                drawn,
                (!remarks.is_empty()).then(|| remarks.join(", ")),
            );
        }
        PlotData::Box { groups } => boxes(ui, groups, names, height),
        PlotData::Scatter { groups, n_rows } => {
            let n: usize = groups.iter().map(|(_, points)| points.len()).sum();
            let whole = n as u64 >= *n_rows;
            let remark = (!whole)
                .then(|| format!("a sample of {} of {}", format::count(n as u64), format::plural(*n_rows, "row")));
            clouds(ui, groups, drawn, names, height, true);
            foot(ui, groups.iter().map(|(name, _)| name.as_str()), drawn, remark);
        }
        PlotData::Line { groups } => {
            clouds(ui, groups, drawn, names, height, false);
            foot(ui, groups.iter().map(|(name, _)| name.as_str()), drawn, None);
        }
        PlotData::Correlation { columns, values, n_rows } => {
            heat_map(ui, columns, values, height);
            let theme = Theme::of(ui);
            let text = format!("Pearson's correlation over {}", format::plural(*n_rows, "row"));
            ui.label(RichText::new(text).size(font_size::LABEL).color(theme.muted));
        }
    }
}

fn foot<'a>(ui: &mut Ui, names: impl Iterator<Item = &'a str>, drawn: &mut Drawn, remark: Option<String>) {
    let theme = Theme::of(ui);
    let names: Vec<&str> = names.collect();
    if names.len() > 1 {
        let entries: Vec<(Color32, String, bool)> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (theme.series(at), group_name(name), !drawn.hidden.contains(&at)))
            .collect();
        if let Some(at) = widgets::legend(ui, &entries) {
            match drawn.hidden.iter().position(|&hidden| hidden == at) {
                Some(place) => drop(drawn.hidden.remove(place)),
                None => drawn.hidden.push(at),
            }
        }
    }
    if let Some(remark) = remark {
        ui.label(RichText::new(remark).size(font_size::LABEL).color(theme.muted));
    }
}

fn figures(dtype: DataType) -> impl Fn(f64) -> String {
    move |value| value_text(dtype, MetricValue::from(value))
}

/// Counts have no fractions.
fn counts(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 { format::number(value) } else { String::new() }
}

fn histogram(
    ui: &mut Ui,
    groups: &[(String, Vec<athanor_protocol::table::Bin>)],
    drawn: &Drawn,
    names: &Names<'_>,
    height: f32,
) {
    let theme = Theme::of(ui);
    let dtype = names.dtype(names.x);
    let many = groups.len() > 1;
    widgets::quiet_plot(ui, "data-histogram", height, (names.x, figures(dtype)), ("rows", counts)).include_y(0.0).show(
        ui,
        |plot| {
            for (at, (name, bins)) in groups.iter().enumerate().filter(|(at, _)| !drawn.hidden.contains(at)) {
                let bars: Vec<Bar> = bins
                    .iter()
                    .map(|bin| {
                        let ends = [bin.low, bin.high].map(|edge| value_text(dtype, MetricValue::from(edge)));
                        let width = (bin.high - bin.low).max(f64::EPSILON) * 0.96;
                        Bar::new((bin.low + bin.high) / 2.0, bin.count as f64)
                            .width(width)
                            .name(format!("{} to {}", ends[0], ends[1]))
                    })
                    .collect();
                // Groups lie over each other: what is behind shines through.
                let color = if many { theme.series(at).gamma_multiply(0.55) } else { theme.info.gamma_multiply(0.85) };
                let bars = bars.into_iter().map(|bar| bar.fill(color).stroke(egui::Stroke::NONE)).collect();
                let title = if many { format!("{}\n", group_name(name)) } else { String::new() };
                let formatter = move |bar: &Bar, _: &BarChart| {
                    format!("{title}{}\n{}", bar.name, format::plural(bar.value.max(0.0) as u64, "row"))
                };
                plot.bar_chart(BarChart::new(name, bars).color(color).element_formatter(Box::new(formatter)));
            }
        },
    );
}

fn bars(ui: &mut Ui, values: &[String], groups: &[(String, Vec<u64>)], drawn: &Drawn, names: &Names<'_>, height: f32) {
    let theme = Theme::of(ui);
    let many = groups.len() > 1;
    let n = groups.len().max(1) as f64;
    let labels: Vec<String> = values.iter().map(|value| short(value, 18)).collect();
    let name_at = move |value: f64| {
        let at = value.round();
        let whole = (value - at).abs() < 1e-6 && at >= 0.0;
        if whole { labels.get(at as usize).cloned().unwrap_or_default() } else { String::new() }
    };
    widgets::quiet_plot(ui, "data-bars", height, (names.x, name_at), ("rows", counts))
        .include_y(0.0)
        .show_grid([false, true])
        .x_grid_spacer(|input| {
            let (low, high) = input.bounds;
            let step = ((high - low) / 14.0).ceil().max(1.0);
            let mut marks = vec![];
            let mut at = low.ceil().max(0.0);
            while at <= high && marks.len() < 200 {
                marks.push(egui_plot::GridMark { value: at, step_size: step });
                at += step;
            }
            marks
        })
        .show(ui, |plot| {
            for (at, (name, counts)) in groups.iter().enumerate().filter(|(at, _)| !drawn.hidden.contains(at)) {
                let width = 0.8 / n;
                let bars: Vec<Bar> = counts
                    .iter()
                    .enumerate()
                    .map(|(place, &count)| {
                        let x = place as f64 - 0.4 + width * (at as f64 + 0.5);
                        let value = values.get(place).map_or("", String::as_str);
                        Bar::new(x, count as f64).width(width * 0.96).name(value)
                    })
                    .collect();
                let color = if many { theme.series(at) } else { theme.info }.gamma_multiply(0.85);
                let bars = bars.into_iter().map(|bar| bar.fill(color).stroke(egui::Stroke::NONE)).collect();
                let title = if many { format!("{}\n", group_name(name)) } else { String::new() };
                let formatter = move |bar: &Bar, _: &BarChart| {
                    format!("{title}{}\n{}", bar.name, format::plural(bar.value.max(0.0) as u64, "row"))
                };
                plot.bar_chart(BarChart::new(name, bars).color(color).element_formatter(Box::new(formatter)));
            }
        });
}

fn boxes(ui: &mut Ui, groups: &[(String, BoxStats)], names: &Names<'_>, height: f32) {
    let theme = Theme::of(ui);
    let dtype = names.dtype(names.x);
    let labels: Vec<String> = groups
        .iter()
        .map(
            |(name, _)| {
                if groups.len() == 1 && name.is_empty() { names.x.to_owned() } else { short(&group_name(name), 18) }
            },
        )
        .collect();
    let shown = labels.clone();
    let name_at = move |value: f64| {
        let at = value.round();
        if at >= 0.0 { labels.get(at as usize).cloned().unwrap_or_default() } else { String::new() }
    };
    widgets::quiet_plot(ui, "data-boxes", height, (names.group, name_at), (names.x, figures(dtype)))
        .include_x(-0.8)
        .include_x(groups.len() as f64 - 0.2)
        .show_grid([false, true])
        .x_grid_spacer(|input| {
            let (low, high) = input.bounds;
            let from = low.ceil().max(0.0) as usize;
            (from..from + 60)
                .map(|at| egui_plot::GridMark { value: at as f64, step_size: 1.0 })
                .take_while(|mark| mark.value <= high)
                .collect()
        })
        .show(ui, |plot| {
            for (at, (_, stats)) in groups.iter().enumerate() {
                let color = theme.series(at);
                let spread = BoxSpread::new(stats.low, stats.q1, stats.median, stats.q3, stats.high);
                let elem = BoxElem::new(at as f64, spread)
                    .name(shown.get(at).map_or("", String::as_str))
                    .box_width(0.5)
                    .whisker_width(0.25)
                    .fill(color.gamma_multiply(0.3))
                    .stroke(egui::Stroke::new(1.5, color));
                let stats = *stats;
                let formatter = move |elem: &BoxElem, _: &BoxPlot| {
                    let text = |value: f64| value_text(dtype, MetricValue::from(value));
                    format!(
                        "{}\nmaximum {}\nupper whisker {}\nupper quartile {}\nmedian {}\nlower quartile {}\nlower whisker {}\nminimum {}\n{}, {}",
                        elem.name,
                        text(stats.extremes[1]),
                        text(stats.high),
                        text(stats.q3),
                        text(stats.median),
                        text(stats.q1),
                        text(stats.low),
                        text(stats.extremes[0]),
                        format::plural(stats.n, "row"),
                        format::plural(stats.n_outliers, "outlier"),
                    )
                };
                plot.box_plot(BoxPlot::new("box", vec![elem]).element_formatter(Box::new(formatter)));
                // The extremes beyond the whiskers, as the only outliers that are known by value.
                let beyond: Vec<[f64; 2]> = [(stats.extremes[0], stats.low), (stats.extremes[1], stats.high)]
                    .into_iter()
                    .filter(|(extreme, whisker)| extreme != whisker)
                    .map(|(extreme, _)| [at as f64, extreme])
                    .collect();
                if !beyond.is_empty() {
                    plot.points(Points::new("extreme", beyond).radius(2.5).color(color).allow_hover(false));
                }
            }
        });
}

fn clouds(
    ui: &mut Ui,
    groups: &[(String, Vec<[f64; 2]>)],
    drawn: &Drawn,
    names: &Names<'_>,
    height: f32,
    as_points: bool,
) {
    let theme = Theme::of(ui);
    let many = groups.len() > 1;
    let (x_type, y_type) = (names.dtype(names.x), names.dtype(names.y));
    let (x_name, y_name) = (names.x.to_owned(), names.y.to_owned());
    let id = if as_points { "data-scatter" } else { "data-line" };
    widgets::quiet_plot(ui, id, height, (names.x, figures(x_type)), (names.y, figures(y_type)))
        .label_formatter(move |hover| match hover {
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                let title = if many { format!("{}\n", group_name(plot_name)) } else { String::new() };
                let x = value_text(x_type, MetricValue::from(position.x));
                let y = value_text(y_type, MetricValue::from(position.y));
                Some(format!("{title}{x_name} {x}\n{y_name} {y}"))
            }
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            for (at, (name, points)) in groups.iter().enumerate().filter(|(at, _)| !drawn.hidden.contains(at)) {
                let color = theme.series(at);
                if as_points {
                    let dense = points.len() > 2_000;
                    let (radius, color) =
                        if dense { (1.5, color.gamma_multiply(0.6)) } else { (2.5, color.gamma_multiply(0.8)) };
                    plot.points(
                        Points::new(name, PlotPoints::from(points.as_slice().to_vec())).radius(radius).color(color),
                    );
                } else {
                    let style = if at >= theme.series.len() { LineStyle::dashed_loose() } else { LineStyle::Solid };
                    let line = Line::new(name, PlotPoints::from(points.as_slice().to_vec()))
                        .width(1.8)
                        .color(color)
                        .style(style);
                    plot.line(line);
                }
            }
        });
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The matrix of correlations: a square of cells, names at the left and above, values where there is room.
fn heat_map(ui: &mut Ui, columns: &[String], values: &[Vec<Option<f64>>], height: f32) {
    let theme = Theme::of(ui);
    let n = columns.len().max(1);
    let font = theme::regular(font_size::LABEL);
    let measure = |name: &str| ui.painter().layout_no_wrap(short(name, 22), font.clone(), theme.muted).size().x;
    let left = columns.iter().map(|name| measure(name)).fold(40.0, f32::max) + 10.0;
    let top = left.min(120.0) * 0.72 + 12.0;
    let room = Vec2::new(ui.available_width() - left - 70.0, height - top);
    let side = (room.min_elem() / n as f32).clamp(9.0, 56.0);
    let wanted = Vec2::new(left + side * n as f32 + 60.0, top + side * n as f32);
    egui::ScrollArea::both().id_salt("correlation").max_height(height).auto_shrink([false, true]).show(ui, |ui| {
        let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Image, true, "Correlation of the columns"));
        let begin = rect.min + Vec2::new(left, top);
        let cell = |row: usize, column: usize| {
            Rect::from_min_size(begin + Vec2::new(column as f32, row as f32) * side, Vec2::splat(side))
        };
        let painter = ui.painter();
        let value_font = theme::mono((side * 0.26).clamp(8.0, font_size::LABEL));
        for (row, line) in values.iter().enumerate() {
            for (column, value) in line.iter().enumerate() {
                let place = cell(row, column);
                if !ui.is_rect_visible(place) {
                    continue;
                }
                let color = value.map_or(theme.sunken, |value| theme.diverging(value as f32));
                painter.rect_filled(place.shrink(0.5), 1, color);
                if side >= 30.0
                    && let Some(value) = value
                {
                    let ink = if contrast(theme.text, color) >= 4.5 { theme.text } else { theme.panel };
                    painter.text(place.center(), Align2::CENTER_CENTER, format!("{value:.2}"), value_font.clone(), ink);
                }
            }
        }
        if side >= 9.0 {
            for (at, name) in columns.iter().enumerate() {
                let place = cell(at, 0);
                let y = place.center().y;
                painter.text(
                    Pos2::new(begin.x - 6.0, y),
                    Align2::RIGHT_CENTER,
                    short(name, 22),
                    font.clone(),
                    theme.muted,
                );
                let galley = painter.layout_no_wrap(short(name, 16), font.clone(), theme.muted);
                let foot = Pos2::new(cell(0, at).center().x - 4.0, begin.y - 6.0);
                let shape =
                    egui::epaint::TextShape::new(foot, galley, theme.muted).with_angle(-std::f32::consts::FRAC_PI_4);
                painter.add(shape);
            }
        }
        scale(
            ui,
            Rect::from_min_size(
                Pos2::new(begin.x + side * n as f32 + 18.0, begin.y),
                Vec2::new(10.0, (side * n as f32).min(180.0)),
            ),
        );
        if let Some(pointer) = response.hover_pos() {
            let place = (pointer - begin) / side;
            let (row, column) = (place.y.floor(), place.x.floor());
            if row >= 0.0
                && column >= 0.0
                && let Some(value) = values.get(row as usize).and_then(|line| line.get(column as usize))
            {
                let (a, b) = (&columns[row as usize], &columns[column as usize]);
                let text = value.map_or("no value: a column does not vary".to_owned(), |value| format!("{value:.3}"));
                painter.rect_stroke(
                    cell(row as usize, column as usize),
                    1,
                    egui::Stroke::new(1.5, theme.text),
                    egui::StrokeKind::Inside,
                );
                response.on_hover_text_at_pointer(format!("{a}\n{b}\n{text}"));
            }
        }
    });
}

fn scale(ui: &Ui, rect: Rect) {
    let theme = Theme::of(ui);
    let n = 24;
    for at in 0..n {
        let t = 1.0 - 2.0 * at as f32 / (n - 1) as f32;
        let height = rect.height() / n as f32;
        let piece =
            Rect::from_min_size(rect.min + Vec2::new(0.0, at as f32 * height), Vec2::new(rect.width(), height + 0.5));
        ui.painter().rect_filled(piece, 0, theme.diverging(t));
    }
    for (t, text) in [(0.0, "1"), (0.5, "0"), (1.0, "-1")] {
        let at = Pos2::new(rect.right() + 6.0, rect.top() + t * rect.height());
        ui.painter().text(at, Align2::LEFT_CENTER, text, theme::regular(font_size::LABEL), theme.muted);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_names_are_cut_by_letters() {
        assert_eq!(super::short("abc", 4), "abc");
        assert_eq!(super::short("äöüßabc", 4), "äöü…");
    }
}

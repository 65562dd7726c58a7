//! The drawings of an evaluation.

use std::collections::BTreeSet;

use athanor_protocol::{
    api::{CalibrationView, CurvePointView, Importance, ReportView},
    table::Bin,
};
use egui::{Align2, Color32, Pos2, Rect, Sense, Stroke, Ui, Vec2};
use egui_plot::{Bar, BarChart, Line, LineStyle, PlotPoint, Points};

use super::plots::{axes, axis_name, ground, series_look, short_number, shortened};
use crate::{
    format,
    theme::{self, Theme, contrast, font_size, mix},
    widgets,
};

/// Height of a drawing.
pub(super) const HEIGHT: f32 = 260.0;
/// Most points of a curve: more than a plot has pixels.
const POINTS: usize = 800;
/// Most classes that a matrix can show.
const CLASSES: usize = 40;
/// Most curves at once.
const CURVES: usize = 24;
/// Most columns whose importance is shown.
const BARS: usize = 20;

/// A matrix of counts.
pub(super) struct Confusion {
    classes: Vec<String>,
    counts: Vec<Vec<u64>>,
    sums: Vec<u64>,
    /// Classes that are left out.
    left_out: usize,
}

/// A curve of a class.
pub(super) struct ClassCurve {
    name: String,
    points: Vec<PlotPoint>,
}

/// What can be drawn of a report, made once.
pub(super) struct Prepared {
    /// What was taken for what.
    pub(super) confusion: Option<Confusion>,
    /// ROC curves.
    pub(super) roc: Vec<ClassCurve>,
    /// Curves of precision and recall.
    pub(super) precision_recall: Vec<ClassCurve>,
    /// Predicted against observed.
    pub(super) calibration: Vec<PlotPoint>,
    /// Bars.
    pub(super) residuals: Vec<Bin>,
    /// True and predicted values.
    pub(super) pairs: Vec<PlotPoint>,
    /// Curves that are not shown.
    pub(super) hidden: BTreeSet<usize>,
}

fn thinned(points: &[CurvePointView]) -> Vec<PlotPoint> {
    let stride = points.len().div_ceil(POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.iter().enumerate().filter(|(at, _)| at % stride == 0 || *at == last);
    kept.map(|(_, point)| PlotPoint::new(point.x, point.y))
        .filter(|point| point.x.is_finite() && point.y.is_finite())
        .collect()
}

impl Prepared {
    /// Everything that this report has.
    pub(super) fn new(report: &ReportView) -> Self {
        let evaluation = &report.evaluation;
        let classes = if evaluation.classes.is_empty() { &report.classes } else { &evaluation.classes };
        let confusion = evaluation.confusion.as_ref().map(|counts| {
            let n = counts.len().min(CLASSES);
            Confusion {
                classes: (0..n).map(|at| classes.get(at).cloned().unwrap_or_else(|| at.to_string())).collect(),
                counts: counts.iter().take(n).map(|row| row.iter().take(n).copied().collect()).collect(),
                sums: counts.iter().take(n).map(|row| row.iter().sum()).collect(),
                left_out: counts.len() - n,
            }
        });
        let curves = |pick: fn(&athanor_protocol::api::ClassCurvesView) -> (&[CurvePointView], f64)| {
            let one = |curve: &athanor_protocol::api::ClassCurvesView| {
                let (points, score) = pick(curve);
                ClassCurve { name: format!("{} {}", curve.class, format::number(score)), points: thinned(points) }
            };
            evaluation.curves.iter().take(CURVES).map(one).collect()
        };
        let finite = |x: f64, y: f64| (x.is_finite() && y.is_finite()).then(|| PlotPoint::new(x, y));
        Self {
            confusion,
            roc: curves(|curve| (&curve.roc, curve.roc_auc)),
            precision_recall: curves(|curve| (&curve.precision_recall, curve.average_precision)),
            calibration: evaluation.calibration.iter().filter_map(|bin| finite(bin.predicted, bin.observed)).collect(),
            residuals: evaluation.residuals.clone(),
            pairs: report.pairs.iter().take(5_000).filter_map(|&[truth, predicted]| finite(truth, predicted)).collect(),
            hidden: BTreeSet::new(),
        }
    }
}

/// Counts with the share of their row: the more, the stronger.
pub(super) fn confusion(ui: &mut Ui, confusion: &Confusion) {
    let theme = Theme::of(ui);
    let n = confusion.classes.len();
    if n == 0 {
        return;
    }
    let label = theme::regular(font_size::LABEL);
    let longest = confusion.classes.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let side = (longest.min(16) as f32 * 6.4 + 12.0).max(30.0);
    let width = ui.available_width();
    let cell = Vec2::new(((width - side) / n as f32).min(240.0), ((HEIGHT - 24.0) / n as f32).clamp(9.0, 118.0));
    let (rect, response) = ui.allocate_exact_size(Vec2::new(width, cell.y * n as f32 + 24.0), Sense::hover());
    let origin = Pos2::new(rect.left() + side, rect.top());
    let painter = ui.painter_at(rect);
    let letters = ((cell.x - 6.0) / 6.4).max(1.0) as usize;
    for (row, counts) in confusion.counts.iter().enumerate() {
        let y = origin.y + row as f32 * cell.y;
        if cell.y >= 12.0 {
            let at = Pos2::new(origin.x - 8.0, y + cell.y / 2.0);
            painter.text(at, Align2::RIGHT_CENTER, shortened(&confusion.classes[row], 16), label.clone(), theme.muted);
        }
        for (column, &count) in counts.iter().enumerate() {
            let at = Rect::from_min_size(Pos2::new(origin.x + column as f32 * cell.x, y), cell).shrink(1.0);
            let share = count as f32 / confusion.sums[row].max(1) as f32;
            let ink = if row == column { theme.info } else { theme.bad };
            let fill = mix(theme.sunken, ink, if count == 0 { 0.0 } else { 0.14 + 0.7 * share });
            painter.rect_filled(at, 3, fill);
            if cell.x >= 34.0 && cell.y >= 16.0 {
                let text = if contrast(theme.text, fill) >= contrast(theme.bg, fill) { theme.text } else { theme.bg };
                let percent = format!("{:.1} %", share * 100.0);
                if cell.y >= 44.0 && cell.x >= 56.0 {
                    let up = at.center() - Vec2::new(0.0, 8.0);
                    painter.text(
                        up,
                        Align2::CENTER_CENTER,
                        format::count(count),
                        theme::semibold(font_size::TITLE),
                        text,
                    );
                    painter.text(
                        at.center() + Vec2::new(0.0, 11.0),
                        Align2::CENTER_CENTER,
                        percent,
                        label.clone(),
                        text,
                    );
                } else if count > 0 {
                    painter.text(at.center(), Align2::CENTER_CENTER, format::count(count), label.clone(), text);
                }
            }
        }
        if letters >= 3 {
            let at = Pos2::new(origin.x + (row as f32 + 0.5) * cell.x, origin.y + n as f32 * cell.y + 12.0);
            let name = shortened(&confusion.classes[row], letters.max(3));
            painter.text(at, Align2::CENTER_CENTER, name, label.clone(), theme.muted);
        }
    }
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Image, true, "Confusion matrix"));
    if let Some(pos) = response.hover_pos() {
        let (row, column) = ((pos.y - origin.y) / cell.y, (pos.x - origin.x) / cell.x);
        if row >= 0.0
            && column >= 0.0
            && let Some(&count) = confusion.counts.get(row as usize).and_then(|counts| counts.get(column as usize))
        {
            let (truth, taken) = (&confusion.classes[row as usize], &confusion.classes[column as usize]);
            let share = 100.0 * count as f64 / confusion.sums[row as usize].max(1) as f64;
            response.on_hover_text(format!("{truth} taken for {taken}: {} ({share:.1} %)", format::count(count)));
        }
    }
    if confusion.left_out > 0 {
        widgets::muted(ui, &format!("{} more classes are not shown.", format::count(confusion.left_out as u64)));
    }
}

fn unit_plot<'a>(ui: &Ui, id: &'a str, height: f32) -> egui_plot::Plot<'a> {
    let (x, y) = axes(ui, short_number, short_number);
    ground(ui, id, height)
        .custom_x_axes(vec![x])
        .custom_y_axes(vec![y])
        .include_x(0.0)
        .include_x(1.0)
        .include_y(0.0)
        .include_y(1.0)
        .label_formatter(|hover| match hover {
            egui_plot::HoverPosition::NearDataPoint { plot_name, position, .. } if !plot_name.is_empty() => {
                Some(format!("{plot_name}\n{}, {}", format::number(position.x), format::number(position.y)))
            }
            _ => None,
        })
}

fn diagonal<'a>(theme: &Theme, low: f64, high: f64) -> Line<'a> {
    Line::new("", vec![[low, low], [high, high]])
        .color(theme.faint)
        .width(1.0)
        .style(LineStyle::dashed_dense())
        .allow_hover(false)
}

/// Curves of rates from 0 to 1, with a legend where there are several.
pub(super) fn rates(ui: &mut Ui, id: &str, curves: &[ClassCurve], with_diagonal: bool, hidden: &mut BTreeSet<usize>) {
    let theme = Theme::of(ui);
    let height = HEIGHT - if curves.len() > 1 { 46.0 } else { 0.0 };
    unit_plot(ui, id, height).show(ui, |plot| {
        if with_diagonal {
            plot.line(diagonal(theme, 0.0, 1.0));
        }
        for (at, curve) in curves.iter().enumerate().filter(|(at, _)| !hidden.contains(at)) {
            let (color, dashed) = series_look(theme, at);
            let mut line = Line::new(curve.name.as_str(), &curve.points[..]).color(color).width(1.5);
            if dashed {
                line = line.style(LineStyle::dashed_loose());
            }
            plot.line(line);
        }
    });
    if curves.len() > 1 {
        egui::ScrollArea::vertical().id_salt((id, "legend")).max_height(42.0).show(ui, |ui| {
            let entry = |(at, curve): (usize, &ClassCurve)| {
                (series_look(theme, at).0, curve.name.clone(), !hidden.contains(&at))
            };
            let entries: Vec<(Color32, String, bool)> = curves.iter().enumerate().map(entry).collect();
            if let Some(at) = widgets::legend(ui, &entries)
                && !hidden.remove(&at)
            {
                hidden.insert(at);
            }
        });
    }
}

/// Predicted probabilities against what was true of them; a larger dot stands for more rows.
pub(super) fn calibration(ui: &mut Ui, points: &[PlotPoint], bins: &[CalibrationView]) {
    let theme = Theme::of(ui);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1).max(1) as f32;
    let (color, _) = series_look(theme, 0);
    unit_plot(ui, "calibration", HEIGHT).show(ui, |plot| {
        plot.line(diagonal(theme, 0.0, 1.0));
        plot.line(Line::new("", points).color(color).width(1.5).allow_hover(false));
        for (point, bin) in points.iter().zip(bins) {
            let name = format::plural(bin.count, "row");
            let radius = 2.5 + 4.0 * (bin.count as f32 / most).sqrt();
            plot.points(Points::new(name, vec![[point.x, point.y]]).color(color).radius(radius));
        }
    });
}

/// Predicted against true values.
pub(super) fn pairs(ui: &mut Ui, points: &[PlotPoint]) {
    let theme = Theme::of(ui);
    let all = || points.iter().flat_map(|point| [point.x, point.y]);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let (x, y) = axes(ui, short_number, short_number);
    let plot = ground(ui, "pairs", HEIGHT)
        .custom_x_axes(vec![x.label(axis_name(ui, "true"))])
        .custom_y_axes(vec![y.label(axis_name(ui, "predicted"))]);
    plot.show(ui, |plot| {
        plot.line(diagonal(theme, low, high));
        let color = series_look(theme, 0).0.gamma_multiply(0.7);
        plot.points(Points::new("", points).color(color).radius(2.2).allow_hover(false));
    });
}

/// A histogram of what is left over.
pub(super) fn residuals(ui: &mut Ui, bins: &[Bin]) {
    let theme = Theme::of(ui);
    let (x, y) = axes(ui, short_number, short_number);
    let bar = |bin: &Bin| {
        let name = format!("{} to {}", format::number(bin.low), format::number(bin.high));
        Bar::new((bin.low + bin.high) / 2.0, bin.count as f64).width((bin.high - bin.low) * 0.94).name(name)
    };
    let bars = bins.iter().filter(|bin| bin.low.is_finite() && bin.high.is_finite()).map(bar).collect();
    ground(ui, "residuals", HEIGHT).custom_x_axes(vec![x]).custom_y_axes(vec![y]).include_y(0.0).show(ui, |plot| {
        plot.bar_chart(BarChart::new("", bars).color(series_look(theme, 1).0).allow_hover(false));
        plot.vline(egui_plot::VLine::new("", 0.0).color(theme.faint).width(1.0).allow_hover(false));
    });
}

/// Bars with the spread over the repeats.
pub(super) fn importance(ui: &mut Ui, list: &[Importance]) {
    let theme = Theme::of(ui);
    let shown = &list[..list.len().min(BARS)];
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    let high = shown.iter().map(|one| finite(one.mean + one.std)).fold(0.0, f64::max);
    let low = shown.iter().map(|one| finite(one.mean - one.std)).fold(0.0, f64::min);
    let span = (high - low).max(1e-12);
    let width = ui.available_width();
    let names = (width * 0.34).min(200.0);
    let letters = ((names - 8.0) / 6.6) as usize;
    let figures = 64.0;
    let room = (width - names - figures - 8.0).max(20.0);
    let row = (HEIGHT / shown.len().max(1) as f32).clamp(18.0, 30.0);
    for one in shown {
        let (rect, response) =
            ui.allocate_exact_size(Vec2::new(width, row - ui.spacing().item_spacing.y.min(8.0)), Sense::hover());
        let y = rect.center().y;
        let place = |value: f64| rect.left() + names + ((finite(value) - low) / span) as f32 * room;
        let at = Pos2::new(rect.left() + names - 10.0, y);
        ui.painter().text(
            at,
            Align2::RIGHT_CENTER,
            shortened(&one.column, letters),
            theme::regular(font_size::BODY),
            theme.text,
        );
        let (from, to) = (place(0.0), place(one.mean));
        let bar = Rect::from_x_y_ranges(from.min(to)..=from.max(to).max(from.min(to) + 1.0), y - 5.0..=y + 5.0);
        let color = if one.mean < 0.0 { theme.faint } else { series_look(theme, 1).0 };
        ui.painter().rect_filled(bar, 2, color);
        let whisker = Stroke::new(1.5, mix(theme.panel, theme.text, 0.7));
        ui.painter().hline(place(one.mean - one.std)..=place(one.mean + one.std), y, whisker);
        let figure = format::number(one.mean);
        let at = Pos2::new(rect.right(), y);
        ui.painter().text(at, Align2::RIGHT_CENTER, figure, theme::mono(font_size::LABEL), theme.muted);
        let text = format!("{}: {} ± {}", one.column, format::number(one.mean), format::number(one.std));
        response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Label, true, &text));
        response.on_hover_text(text);
    }
    if list.len() > shown.len() {
        widgets::muted(
            ui,
            &format!("and {} of less importance", format::plural((list.len() - shown.len()) as u64, "column")),
        );
    }
}

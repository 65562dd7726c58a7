//! Parallel coordinates: an axis for each parameter and one for a metric, a line for each run; dragging along an axis
//! keeps only the runs that go through there.

use std::collections::{BTreeMap, BTreeSet};

use athanor_protocol::{metric::Split, names::RunId};
use egui::{Align2, Color32, CursorIcon, Pos2, Rect, Sense, Stroke, StrokeKind, Ui, Vec2};

use super::{
    compare::{Between, One},
    naming::{metric_path, metric_title},
    plots::{short_number, shortened},
};
use crate::{
    format,
    icons::ph,
    pages::Cx,
    theme::{self, Theme, font_size},
    widgets,
};

/// Most axes at first.
const FIRST_AXES: usize = 6;
/// Most values of an axis of words.
const WORDS: usize = 24;

/// How the values of an axis lie on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// From the least to the greatest; by their logarithm where they spread over decades.
    Number {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// Whether it is logarithmic.
        log: bool,
    },
    /// Words in order.
    Words(Vec<String>),
}

impl Scale {
    /// The scale of these values: of numbers where all are, of words otherwise.
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let numbers: Option<Vec<f64>> =
            values.clone().map(|text| text.trim().parse::<f64>().ok().filter(|value| value.is_finite())).collect();
        match numbers {
            Some(numbers) => Self::of_numbers(&numbers),
            None => {
                let words: BTreeSet<&str> = values.collect();
                Some(Self::Words(words.into_iter().map(str::to_owned).collect()))
            }
        }
    }

    /// The scale of these numbers.
    pub(super) fn of_numbers(numbers: &[f64]) -> Option<Self> {
        let low = numbers.iter().copied().reduce(f64::min)?;
        let high = numbers.iter().copied().reduce(f64::max)?;
        Some(Self::Number { low, high, log: low > 0.0 && high / low >= 50.0 })
    }

    /// Where a value lies, from 0 to 1.
    pub(super) fn place(&self, text: &str) -> Option<f32> {
        match self {
            Self::Number { .. } => self.place_number(text.trim().parse().ok()?),
            Self::Words(words) => {
                let at = words.iter().position(|word| word == text)?;
                Some(if words.len() < 2 { 0.5 } else { at as f32 / (words.len() - 1) as f32 })
            }
        }
    }

    /// Where a number lies, from 0 to 1.
    pub(super) fn place_number(&self, value: f64) -> Option<f32> {
        let Self::Number { low, high, log } = self else { return None };
        let share = if high <= low {
            0.5
        } else if *log {
            (value / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        share.is_finite().then(|| share.clamp(0.0, 1.0) as f32)
    }

    fn marks(&self) -> Vec<(f32, String)> {
        match self {
            Self::Number { low, high, .. } if low == high => vec![(0.5, short_number(*low))],
            Self::Number { low, high, log } => (0..5)
                .map(|at| {
                    let share = f64::from(at) / 4.0;
                    let value = if *log { low * (high / low).powf(share) } else { low + (high - low) * share };
                    (share as f32, short_number(rounded(value, high - low)))
                })
                .collect(),
            Self::Words(words) => {
                let step = words.len().div_ceil(WORDS).max(1);
                let kept = words.iter().step_by(step);
                kept.filter_map(|word| Some((self.place(word)?, shortened(word, 14)))).collect()
            }
        }
    }
}

fn rounded(value: f64, span: f64) -> f64 {
    let unit = 10f64.powf((span.abs().max(1e-300)).log10().floor() - 2.0);
    if unit.is_finite() && unit > 0.0 { (value / unit).round() * unit } else { value }
}

/// The view.
#[derive(Default)]
pub(super) struct Parallel {
    metric: Option<(Split, String)>,
    hidden: BTreeSet<String>,
    shown: BTreeSet<String>,
    /// What is brushed on each axis, from 0 to 1.
    brushes: BTreeMap<String, [f32; 2]>,
    drag: Option<(String, f32)>,
    /// The axes, and what they were made from.
    axes: Vec<Axis>,
    made_of: Option<MadeOf>,
}

/// Version of what the runs have between them, the metric, the axes that were hidden and shown.
type MadeOf = (u64, Option<(Split, String)>, BTreeSet<String>, BTreeSet<String>);

struct Axis {
    key: String,
    title: String,
    scale: Scale,
    /// Of each run.
    places: Vec<Option<f32>>,
}

impl Parallel {
    /// Draws it; gives back the runs that shall be compared alone.
    pub(super) fn ui(&mut self, ui: &mut Ui, runs: &[One], between: &Between, cx: &Cx<'_>) -> Option<Vec<RunId>> {
        if self.metric.as_ref().is_none_or(|metric| !between.metrics.contains(metric)) {
            self.metric = between.metrics.first().cloned();
        }
        let made_of = (between.version, self.metric.clone(), self.hidden.clone(), self.shown.clone());
        if self.made_of.as_ref() != Some(&made_of) {
            self.axes = self.axes(runs, between);
            self.made_of = Some(made_of);
        }
        let axes = std::mem::take(&mut self.axes);
        let only = self.with_axes(ui, runs, between, &axes, cx);
        self.axes = axes;
        only
    }

    fn with_axes(
        &mut self,
        ui: &mut Ui,
        runs: &[One],
        between: &Between,
        axes: &[Axis],
        cx: &Cx<'_>,
    ) -> Option<Vec<RunId>> {
        let theme = cx.theme;
        let passes: Vec<bool> = (0..runs.len())
            .map(|run| {
                axes.iter().all(|axis| match self.brushes.get(&axis.key) {
                    Some(&[low, high]) => {
                        axis.places.get(run).copied().flatten().is_some_and(|place| (low..=high).contains(&place))
                    }
                    None => true,
                })
            })
            .collect();
        let n_pass = passes.iter().filter(|pass| **pass).count();
        let mut only = None;
        ui.horizontal(|ui| {
            let options: Vec<_> = between
                .metrics
                .iter()
                .map(|(split, key)| (Some((*split, key.clone())), metric_title(*split, key)))
                .collect();
            ui.scope(|ui| {
                ui.set_max_width(200.0);
                widgets::choice(ui, "parallel-metric", "Metric", &mut self.metric, &options);
            });
            let button = widgets::icon_button(ui, ph::SLIDERS_HORIZONTAL, "Choose axes");
            egui::Popup::from_toggle_button_response(&button)
                .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
                .show(|ui| self.axis_menu(ui, between));
            widgets::muted(ui, &format!("{n_pass} of {}", format::plural(runs.len() as u64, "run")));
            if !self.brushes.is_empty() {
                if n_pass > 1
                    && widgets::button(ui, widgets::Kind::Secondary, Some(ph::FUNNEL), "Keep only these").clicked()
                {
                    only = Some(
                        runs.iter().zip(&passes).filter(|(_, pass)| **pass).map(|(run, _)| run.id.clone()).collect(),
                    );
                }
                if widgets::quiet(ui, ph::X, "Clear brushes").clicked() {
                    self.brushes.clear();
                }
            }
        });
        if axes.len() < 2 {
            let text = "The runs differ in no parameter, or have no metric yet. Choose axes above.";
            widgets::empty_state(ui, ph::SLIDERS_HORIZONTAL, "Nothing to set side by side", text, None);
            return None;
        }
        widgets::card(ui, |ui| {
            let wanted = Vec2::new(ui.available_width(), ui.available_height().max(220.0) - 4.0);
            let (rect, response) = ui.allocate_exact_size(wanted, Sense::hover());
            response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Image, true, "Parallel coordinates"));
            self.draw(ui, rect, runs, axes, &passes, theme);
        });
        only
    }

    fn chosen(&self, key: &str, at: usize, between: &Between) -> bool {
        let first = at < between.n_differ.min(FIRST_AXES);
        (first && !self.hidden.contains(key)) || self.shown.contains(key)
    }

    fn axis_menu(&mut self, ui: &mut Ui, between: &Between) {
        ui.set_width(260.0);
        widgets::label(ui, "Parameters that differ come first");
        let params = &between.params;
        egui::ScrollArea::vertical().max_height(300.0).show_rows(ui, 24.0, params.len(), |ui, range| {
            for at in range {
                let key = &params[at];
                let mut on = self.chosen(key, at, between);
                if ui.checkbox(&mut on, shortened(key, 34)).changed() {
                    if on {
                        self.hidden.remove(key);
                        self.shown.insert(key.clone());
                    } else {
                        self.shown.remove(key);
                        self.hidden.insert(key.clone());
                    }
                }
            }
        });
    }

    fn axes(&self, runs: &[One], between: &Between) -> Vec<Axis> {
        let mut axes = vec![];
        for (at, key) in between.params.iter().enumerate().filter(|(at, key)| self.chosen(key, *at, between)) {
            let _ = at;
            let values = runs.iter().filter_map(|run| run.param(key));
            let Some(scale) = Scale::of(values) else { continue };
            let places = runs.iter().map(|run| scale.place(run.param(key)?)).collect();
            axes.push(Axis { key: key.clone(), title: key.clone(), scale, places });
        }
        if let Some((split, key)) = &self.metric {
            let values: Vec<Option<f64>> = runs.iter().map(|run| run.metric(*split, key)?.finite()).collect();
            let numbers: Vec<f64> = values.iter().copied().flatten().collect();
            if let Some(scale) = Scale::of_numbers(&numbers) {
                let places = values.iter().map(|value| scale.place_number((*value)?)).collect();
                axes.push(Axis { key: metric_path(*split, key), title: metric_title(*split, key), scale, places });
            }
        }
        axes
    }

    fn draw(&mut self, ui: &Ui, rect: Rect, runs: &[One], axes: &[Axis], passes: &[bool], theme: &Theme) {
        let (top, bottom) = (rect.top() + 34.0, rect.bottom() - 10.0);
        let margin = 48.0f32.min(rect.width() / 6.0);
        let gap = (rect.width() - 2.0 * margin) / (axes.len() - 1) as f32;
        let x_of = |axis: usize| rect.left() + margin + axis as f32 * gap;
        let y_of = |place: f32| bottom - place * (bottom - top);
        let painter = ui.painter_at(rect.expand(8.0));
        let last = axes.len() - 1;
        let color_of = |run: usize| axes[last].places[run].map_or(theme.muted, |place| value_color(theme, place));
        let pointer = ui.input(|input| input.pointer.hover_pos()).filter(|pos| rect.contains(*pos));
        let mut near: Option<(f32, usize)> = None;
        for kept in [false, true] {
            for run in (0..runs.len()).filter(|&run| passes[run] == kept) {
                let place = |axis: usize| Some(Pos2::new(x_of(axis), y_of(axes[axis].places[run]?)));
                let stroke = if kept {
                    Stroke::new(1.5, color_of(run))
                } else {
                    Stroke::new(1.0, theme.line.gamma_multiply(0.7))
                };
                for axis in 0..last {
                    let (Some(from), Some(to)) = (place(axis), place(axis + 1)) else { continue };
                    painter.line_segment([from, to], stroke);
                    if let Some(pos) = pointer.filter(|pos| kept && (from.x..=to.x).contains(&pos.x)) {
                        let y = egui::lerp(from.y..=to.y, (pos.x - from.x) / (to.x - from.x).max(1.0));
                        let away = (y - pos.y).abs();
                        if away < 6.0 && near.is_none_or(|(other, _)| away < other) {
                            near = Some((away, run));
                        }
                    }
                }
            }
        }
        if let Some((_, run)) = near {
            let points: Vec<Pos2> =
                (0..=last).filter_map(|axis| Some(Pos2::new(x_of(axis), y_of(axes[axis].places[run]?)))).collect();
            painter.line(points, Stroke::new(3.0, theme.text));
        }
        for (at, axis) in axes.iter().enumerate() {
            self.axis(ui, &painter, axis, Rect::from_x_y_ranges(x_of(at)..=x_of(at), top..=bottom), gap, theme);
        }
        if let (Some((_, run)), Some(pos)) = (near, pointer) {
            let place = |axis: &Axis| axis.places[run].map(|_| axis.title.clone());
            let mut text = runs[run].name.clone();
            for axis in axes.iter().filter(|axis| place(axis).is_some()) {
                let value = match runs[run].param(&axis.key) {
                    Some(value) => value.to_owned(),
                    None => self
                        .metric
                        .as_ref()
                        .and_then(|(split, key)| runs[run].metric(*split, key))
                        .map_or_else(String::new, format::metric),
                };
                text = format!("{text}\n{}: {value}", axis.title);
            }
            tip(ui, pos, &text, theme);
        }
    }

    fn axis(&mut self, ui: &Ui, painter: &egui::Painter, axis: &Axis, line: Rect, gap: f32, theme: &Theme) {
        let (x, top, bottom) = (line.left(), line.top(), line.bottom());
        painter.vline(x, top..=bottom, Stroke::new(1.0, theme::mix(theme.line, theme.text, 0.3)));
        let title = shortened(&axis.title, ((gap / 6.6) as usize).clamp(8, 28));
        painter.text(
            Pos2::new(x, top - 22.0),
            Align2::CENTER_CENTER,
            title,
            theme::medium(font_size::LABEL),
            theme.text,
        );
        let font = theme::mono(font_size::LABEL - 0.5);
        for (share, text) in axis.scale.marks() {
            let y = bottom - share * (bottom - top);
            painter.hline(x - 3.0..=x + 3.0, y, Stroke::new(1.0, theme.muted));
            let galley = painter.layout_no_wrap(text, font.clone(), theme.muted);
            let at = Pos2::new(x + 6.0, y - galley.size().y / 2.0);
            // Lines pass behind the figures.
            let ground = Rect::from_min_size(at, galley.size()).expand2(Vec2::new(2.0, 0.0));
            painter.rect_filled(ground, 2, theme.panel.gamma_multiply(0.8));
            painter.galley(at, galley, theme.muted);
        }
        let reach = Rect::from_x_y_ranges(x - 14.0..=x + 14.0, top - 6.0..=bottom + 6.0);
        let response = ui.interact(reach, ui.id().with(("axis", axis.key.as_str())), Sense::click_and_drag());
        response
            .widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Slider, true, format!("Axis {}", axis.title)));
        let share = |pos: Pos2| ((bottom - pos.y) / (bottom - top)).clamp(0.0, 1.0);
        if response.drag_started()
            && let Some(pos) = ui.input(|input| input.pointer.press_origin())
        {
            self.drag = Some((axis.key.clone(), share(pos)));
        }
        if let (Some((key, from)), Some(pos)) = (&self.drag, response.interact_pointer_pos())
            && *key == axis.key
            && response.dragged()
        {
            let to = share(pos);
            self.brushes.insert(key.clone(), [from.min(to), from.max(to)]);
        }
        if response.drag_stopped() {
            self.drag = None;
        }
        if response.clicked() || response.double_clicked() {
            self.brushes.remove(&axis.key);
        }
        if let Some(&[low, high]) = self.brushes.get(&axis.key) {
            let y = |share: f32| bottom - share * (bottom - top);
            let brush = Rect::from_x_y_ranges(x - 7.0..=x + 7.0, y(high)..=y(low).max(y(high) + 2.0));
            painter.rect(
                brush,
                3,
                theme.accent.gamma_multiply(0.25),
                Stroke::new(1.0, theme.accent),
                StrokeKind::Inside,
            );
        }
        response
            .on_hover_cursor(CursorIcon::ResizeVertical)
            .on_hover_text(format!("{}\nDrag to keep a range, click to let go", axis.title));
    }
}

/// The colour of a value: viridis, held away from what cannot be seen on this ground.
pub(super) fn value_color(theme: &Theme, share: f32) -> Color32 {
    if theme.dark { Theme::sequential(0.3 + 0.7 * share) } else { Theme::sequential(0.78 * share) }
}

fn tip(ui: &Ui, pos: Pos2, text: &str, theme: &Theme) {
    let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Tooltip, egui::Id::new("parallel tip")));
    let galley = painter.layout_no_wrap(text.to_owned(), theme::regular(font_size::LABEL + 0.5), theme.text);
    let wanted = galley.size() + Vec2::new(20.0, 12.0);
    let screen = ui.ctx().content_rect();
    let left = if pos.x + 16.0 + wanted.x < screen.right() { pos.x + 16.0 } else { pos.x - 16.0 - wanted.x };
    let top = (pos.y - wanted.y / 2.0).clamp(4.0, (screen.bottom() - wanted.y - 4.0).max(4.0));
    let frame = Rect::from_min_size(Pos2::new(left, top), wanted);
    painter.rect(frame, theme::radius::CONTROL, theme.raised, theme.border(), StrokeKind::Inside);
    painter.galley(frame.min + Vec2::new(10.0, 6.0), galley, theme.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_spread_evenly_or_by_decades_and_words_in_order() {
        for (values, value, expect) in [
            (&["1", "2", "3"][..], "2", Some(0.5)),
            (&["0.0001", "0.01", "1"][..], "0.01", Some(0.5)),
            (&["adam", "sgd", "1"][..], "sgd", Some(1.0)),
            (&["7"][..], "7", Some(0.5)),
            (&["a"][..], "a", Some(0.5)),
            (&["1", "NaN"][..], "NaN", Some(1.0)),
            (&["1", "2"][..], "x", None),
        ] {
            let scale = Scale::of(values.iter().copied()).unwrap();
            let place = scale.place(value);
            assert!(
                place.is_some() == expect.is_some() && place.zip(expect).is_none_or(|(a, b)| (a - b).abs() < 1e-5),
                "{values:?} {value}: {place:?}"
            );
            assert!(!scale.marks().is_empty());
        }
        assert_eq!(Scale::of(std::iter::empty()), None);
    }
}

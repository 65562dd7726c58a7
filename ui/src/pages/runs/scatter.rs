//! A parameter against a metric: a dot for each run.

use athanor_protocol::{metric::Split, names::RunId};
use egui::{Sense, Ui, Vec2};
use egui_plot::PlotPoint;

use super::{
    compare::{Between, One},
    naming::metric_title,
    parallel::Scale,
    plots::{axes, axis_name, ground, series_look, short_number, shortened},
};
use crate::{format, icons::ph, pages::Cx, widgets};

/// The view.
#[derive(Default)]
pub(super) struct Scatter {
    param: Option<String>,
    metric: Option<(Split, String)>,
}

impl Scatter {
    /// Draws it; gives back the run that was clicked.
    pub(super) fn ui(&mut self, ui: &mut Ui, runs: &[One], between: &Between, cx: &Cx<'_>) -> Option<RunId> {
        if self.param.as_ref().is_none_or(|param| !between.params.contains(param)) {
            self.param = between.params.first().cloned();
        }
        if self.metric.as_ref().is_none_or(|metric| !between.metrics.contains(metric)) {
            self.metric = between.metrics.first().cloned();
        }
        ui.horizontal(|ui| {
            let params: Vec<_> = between.params.iter().map(|key| (Some(key.clone()), shortened(key, 30))).collect();
            ui.scope(|ui| {
                ui.set_max_width(210.0);
                widgets::choice(ui, "scatter-param", "Parameter", &mut self.param, &params);
            });
            widgets::muted(ui, "against");
            let metrics: Vec<_> = between
                .metrics
                .iter()
                .map(|(split, key)| (Some((*split, key.clone())), metric_title(*split, key)))
                .collect();
            ui.scope(|ui| {
                ui.set_max_width(210.0);
                widgets::choice(ui, "scatter-metric", "Metric", &mut self.metric, &metrics);
            });
        });
        let (Some(param), Some((split, key))) = (&self.param, &self.metric) else {
            let text = "The runs need a parameter and a metric to be set against each other.";
            widgets::empty_state(ui, ph::CHART_SCATTER, "Nothing to draw", text, None);
            return None;
        };
        let scale = Scale::of(runs.iter().filter_map(|run| run.param(param)))?;
        let (words, log) = match &scale {
            Scale::Words(words) => (Some(words.clone()), false),
            Scale::Number { log, .. } => (None, *log),
        };
        let place = |run: &One| -> Option<f64> {
            let text = run.param(param)?;
            match &words {
                Some(words) => words.iter().position(|word| word == text).map(|at| at as f64),
                None => text.trim().parse::<f64>().ok().map(|value| if log { value.log10() } else { value }),
            }
        };
        let mut clicked = None;
        widgets::card(ui, |ui| {
            let height = (ui.available_height() - 4.0).max(200.0);
            let names = words.clone();
            let x_text = move |x: f64| match &names {
                Some(words) if x.fract().abs() < 1e-6 && x >= 0.0 => {
                    words.get(x as usize).map_or_else(String::new, |word| shortened(word, 14))
                }
                Some(_) => String::new(),
                None if log => short_number(10f64.powf(x)),
                None => short_number(x),
            };
            let (x, y) = axes(ui, x_text, short_number);
            let mut dots: Vec<(PlotPoint, &One)> = vec![];
            for run in runs.iter().filter(|run| run.shown) {
                if let (Some(x), Some(y)) = (place(run), run.metric(*split, key).and_then(|value| value.finite())) {
                    dots.push((PlotPoint::new(x, y), run));
                }
            }
            let theme = cx.theme;
            let mut plot = ground(ui, ("scatter", param, key), height)
                .custom_x_axes(vec![x.label(axis_name(ui, param))])
                .custom_y_axes(vec![y.label(axis_name(ui, &metric_title(*split, key)))])
                .set_margin_fraction(Vec2::splat(0.08));
            for (point, _) in &dots {
                plot = plot.include_x(point.x).include_y(point.y);
            }
            let shown = plot.show(ui, |_| {});
            // Drawn here: a series of the library's for each run would cost more than its dot.
            let painter = ui.painter().with_clip_rect(*shown.transform.frame());
            for (point, run) in &dots {
                let color = series_look(theme, run.place).0;
                painter.circle_filled(shown.transform.position_from_point(point), 4.5, color);
            }
            if let Some(pos) = shown.response.hover_pos() {
                let away = |point: &PlotPoint| (shown.transform.position_from_point(point) - pos).length();
                let near =
                    dots.iter().map(|(point, run)| (away(point), point, *run)).min_by(|a, b| a.0.total_cmp(&b.0));
                if let Some((distance, point, run)) = near
                    && distance < 12.0
                {
                    let text = format!(
                        "{}\n{}: {}\n{}: {}",
                        run.name,
                        param,
                        run.param(param).unwrap_or(""),
                        metric_title(*split, key),
                        format::number(point.y)
                    );
                    let at = shown.transform.position_from_point(point);
                    let rect = egui::Rect::from_center_size(at, Vec2::splat(16.0));
                    let response = ui.interact(rect, ui.id().with("dot"), Sense::click());
                    if response.on_hover_cursor(egui::CursorIcon::PointingHand).on_hover_text(text).clicked() {
                        clicked = Some(run.id.clone());
                    }
                }
            }
        });
        clicked
    }
}

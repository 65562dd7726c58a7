//! Figures with how sure they are: bars with whiskers.

use athanor_protocol::card::{Estimate, IntervalMethod, Slice};
use egui::{Ui, Vec2, WidgetInfo, WidgetType};

use crate::{
    format,
    pages::models::names::{metric_title, value as value_text},
    theme::{Theme, size},
    widgets::{self, Col},
};

/// Most lines of groups; the Markdown has all.
const MOST_SLICES: usize = 60;

/// How an interval was found, in words.
const fn method_title(method: IntervalMethod) -> &'static str {
    match method {
        IntervalMethod::Bootstrap => "95 % interval from bootstrap resamples of the rows",
        IntervalMethod::Wilson => "95 % interval of a share by Wilson, from the number of rows alone",
        IntervalMethod::None => "nothing is kept from which an interval could be found",
    }
}

/// The end of a figure's scale: 1 for what is a share, else what holds the figure and its interval.
pub(super) fn top_of(value: f64, interval: Option<[f64; 2]>) -> f64 {
    let most = interval.map_or(value, |[_, high]| high.max(value));
    if !most.is_finite() || most <= 1.0 { 1.0 } else { most * 1.1 }
}

fn interval_text(interval: Option<[f64; 2]>) -> String {
    match interval {
        Some([low, high]) => format!("{} to {}", value_text(low), value_text(high)),
        None => "not known".to_owned(),
    }
}

fn bar(ui: &mut Ui, name: &str, estimate: &Estimate) {
    let color = Theme::of(ui).series(1);
    let value = estimate.value.to_f64();
    let wanted = Vec2::new(ui.available_width(), 22.0);
    let top = top_of(value, estimate.interval);
    let response = widgets::value_bar(ui, wanted, top, value, estimate.interval, color);
    let said = format!("{name}: {}, interval {}", value_text(value), interval_text(estimate.interval));
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, &said));
    response.on_hover_text(format!("{said}\n{}", widgets::sentence(method_title(estimate.method))));
}

pub(super) fn metrics_ui(ui: &mut Ui, metrics: &[Estimate]) {
    if metrics.is_empty() {
        widgets::muted(ui, "The package holds no figures.");
        return;
    }
    let columns =
        [Col::fixed("Metric", 130.0), Col::number("Value", 70.0), Col::wide(""), Col::fixed("95 % interval", 140.0)];
    widgets::lines_header(ui, &columns);
    for estimate in metrics {
        let name = metric_title(&estimate.key);
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 => widgets::cell_text(ui, &name),
            1 => widgets::cell_mono(ui, &value_text(estimate.value.to_f64())),
            2 => bar(ui, &name, estimate),
            _ => {
                widgets::muted(ui, &interval_text(estimate.interval)).on_hover_text(method_title(estimate.method));
            }
        });
    }
}

pub(super) fn slices_ui(ui: &mut Ui, slices: &[Slice]) {
    let columns = [
        Col::wide("Group"),
        Col::number("Rows", 60.0),
        Col::fixed("Metric", 100.0),
        Col::number("Value", 70.0),
        Col::wide(""),
    ];
    widgets::lines_header(ui, &columns);
    let lines = slices.iter().flat_map(|slice| slice.metrics.iter().enumerate().map(move |(at, one)| (slice, at, one)));
    let n_lines: usize = slices.iter().map(|slice| slice.metrics.len()).sum();
    for (slice, nth, estimate) in lines.take(MOST_SLICES) {
        let group = format!("{} = {}", slice.column, slice.value.as_deref().unwrap_or("(missing)"));
        let name = metric_title(&estimate.key);
        widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
            0 if nth == 0 => widgets::cell_mono(ui, &group),
            1 if nth == 0 => widgets::cell_mono(ui, &format::count(slice.n_rows)),
            0 | 1 => {}
            2 => widgets::cell_text(ui, &name),
            3 => widgets::cell_mono(ui, &value_text(estimate.value.to_f64())),
            _ => bar(ui, &format!("{group}, {name}"), estimate),
        });
    }
    if n_lines > MOST_SLICES {
        widgets::muted(
            ui,
            &format!("and {} more lines in the Markdown", format::count((n_lines - MOST_SLICES) as u64)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::top_of;

    #[test]
    fn shares_end_at_one_and_other_figures_where_they_fit() {
        assert!((top_of(0.2, Some([0.1, 0.3])) - 1.0).abs() < 1e-12);
        assert!((top_of(5.0, Some([4.0, 10.0])) - 11.0).abs() < 1e-12);
        assert!((top_of(f64::NAN, None) - 1.0).abs() < 1e-12);
        assert!((top_of(f64::INFINITY, None) - 1.0).abs() < 1e-12);
    }
}

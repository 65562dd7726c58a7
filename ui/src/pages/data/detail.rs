//! A column at the side of the profile: its histogram, quantiles, most frequent values.

use athanor_protocol::{
    metric::MetricValue,
    table::{ColumnSummary, DataType},
};
use egui::{Align2, Pos2, Rect, RichText, Sense, Ui, Vec2};
use egui_plot::{Bar, BarChart};

use super::head::{percent, type_name};
use crate::{
    format,
    icons::ph,
    theme::{self, Theme, font_size, mix, size},
    widgets,
};

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Close it.
    Close,
    /// Plot the column.
    Plot,
}

/// A value of a column as text: times as times.
pub fn value_text(dtype: DataType, value: MetricValue) -> String {
    match (dtype, value.finite()) {
        (DataType::Date | DataType::Datetime, Some(secs)) if secs.abs() < 1e12 => {
            let millis = (secs * 1000.0) as i64;
            if dtype == DataType::Date || millis.rem_euclid(86_400_000) == 0 {
                format::date(millis)
            } else {
                format!("{} {}", format::date(millis), format::clock(millis))
            }
        }
        _ => format::metric(value),
    }
}

/// Draws it.
pub fn show(ui: &mut Ui, column: &ColumnSummary, n_rows: u64) -> Option<Asked> {
    let mut asked = None;
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 40.0).max(60.0);
        ui.allocate_ui(Vec2::new(width, 24.0), |ui| {
            let title = RichText::new(&column.name).font(theme::semibold(font_size::TITLE)).color(Theme::of(ui).text);
            ui.add(egui::Label::new(title).truncate().selectable(true));
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if widgets::icon_button(ui, ph::X, "Close the details").clicked() {
                asked = Some(Asked::Close);
            }
        });
    });
    egui::ScrollArea::vertical().id_salt("detail").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        widgets::muted(ui, type_name(column.dtype));
        for finding in &column.findings {
            widgets::problems(ui, &[(String::new(), finding.clone())]);
        }
        histogram(ui, column);
        let mut facts = vec![
            (
                "Missing".to_owned(),
                format!("{} ({})", format::count(column.n_missing), percent(column.n_missing, n_rows)),
            ),
            ("Distinct".to_owned(), format::count(column.n_distinct)),
        ];
        if let Some(numbers) = &column.numbers {
            let [q05, q25, q50, q75, q95] = numbers.quantiles;
            let rows = [
                ("Minimum", numbers.min),
                ("5 %", q05),
                ("25 %", q25),
                ("Median", q50),
                ("75 %", q75),
                ("95 %", q95),
                ("Maximum", numbers.max),
                ("Mean", numbers.mean),
                ("Standard deviation", numbers.std),
            ];
            let is_time = matches!(column.dtype, DataType::Date | DataType::Datetime);
            for (name, value) in rows {
                if name == "Standard deviation" && is_time {
                    let days = value.finite().map(|secs| format!("{} days", format::number(secs / 86_400.0)));
                    facts.push((name.to_owned(), days.unwrap_or_else(|| format::metric(value))));
                } else {
                    facts.push((name.to_owned(), value_text(column.dtype, value)));
                }
            }
            if numbers.n_non_finite > 0 {
                facts.push(("Not finite".to_owned(), format::count(numbers.n_non_finite)));
            }
        }
        widgets::facts(ui, &facts);
        top_values(ui, column, n_rows);
        ui.add_space(size::TINY_GAP);
        if widgets::secondary(ui, ph::CHART_BAR, "Plot this column").clicked() {
            asked = Some(Asked::Plot);
        }
    });
    asked
}

fn histogram(ui: &mut Ui, column: &ColumnSummary) {
    let Some(numbers) = column.numbers.as_ref().filter(|numbers| !numbers.histogram.is_empty()) else { return };
    let theme = Theme::of(ui);
    let dtype = column.dtype;
    let bars: Vec<Bar> = numbers
        .histogram
        .iter()
        .map(|bin| {
            let name = format!(
                "{} to {}",
                value_text(dtype, MetricValue::from(bin.low)),
                value_text(dtype, MetricValue::from(bin.high))
            );
            Bar::new((bin.low + bin.high) / 2.0, bin.count as f64).width((bin.high - bin.low) * 0.94).name(name)
        })
        .collect();
    let figures = move |value: f64| value_text(dtype, MetricValue::from(value));
    let bars =
        bars.into_iter().map(|bar| bar.fill(theme.info.gamma_multiply(0.85)).stroke(egui::Stroke::NONE)).collect();
    widgets::quiet_plot(ui, "column-histogram", 160.0, ("", figures), ("", format::number))
        .include_y(0.0)
        .show_grid([false, true])
        .allow_drag(false)
        .allow_zoom(false)
        .allow_boxed_zoom(false)
        .show(ui, |plot| {
            let chart = BarChart::new(&column.name, bars).color(theme.info);
            let formatter =
                |bar: &Bar, _: &BarChart| format!("{}\n{}", bar.name, format::plural(bar.value as u64, "row"));
            plot.bar_chart(chart.element_formatter(Box::new(formatter)));
        });
}

fn top_values(ui: &mut Ui, column: &ColumnSummary, n_rows: u64) {
    if column.top.is_empty() || (column.numbers.is_some() && column.top.first().is_some_and(|top| top.count <= 1)) {
        return;
    }
    widgets::label(ui, "Most frequent values");
    let theme = Theme::of(ui);
    let most = column.top.first().map_or(1, |top| top.count.max(1)) as f32;
    for top in column.top.iter().take(10) {
        let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 24.0), Sense::hover());
        let share = top.count as f32 / most;
        let bar = Rect::from_min_size(rect.min, Vec2::new(rect.width() * share, rect.height()));
        ui.painter().rect_filled(bar.shrink2(Vec2::new(0.0, 1.0)), 3, mix(theme.panel, theme.info, 0.22));
        let count = format!("{}  {}", format::count(top.count), percent(top.count, n_rows));
        let galley = ui.painter().layout_no_wrap(count, theme::mono(font_size::LABEL), theme.muted);
        let edge = rect.right() - 6.0 - galley.size().x;
        let room = Rect::from_min_max(rect.min, Pos2::new(edge - 8.0, rect.bottom()));
        ui.painter().with_clip_rect(room.intersect(ui.clip_rect())).text(
            Pos2::new(rect.left() + 8.0, rect.center().y),
            Align2::LEFT_CENTER,
            &top.value,
            theme::regular(font_size::BODY - 0.5),
            theme.text,
        );
        ui.painter().galley(Pos2::new(edge, rect.center().y - galley.size().y / 2.0), galley, theme.muted);
        response.on_hover_text(&top.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_times() {
        for (dtype, value, expect) in [
            (DataType::Float, 1.5, "1.5"),
            (DataType::Date, 86_400.0, "1970-01-02"),
            (DataType::Datetime, 3_600.0, "1970-01-01 01:00:00"),
            (DataType::Datetime, f64::NAN, "NaN"),
        ] {
            assert_eq!(value_text(dtype, MetricValue::from(value)), expect);
        }
    }
}

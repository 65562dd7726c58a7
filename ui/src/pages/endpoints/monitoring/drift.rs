//! The table of drift: each column's figure, how near its threshold it is, and the verdict.

use athanor_protocol::monitor::{ColumnDrift, DriftMethod};
use egui::{Color32, CursorIcon, Rect, Response, Sense, Stroke, Ui, Vec2, WidgetInfo, WidgetType};

use super::spread;
use crate::{
    format,
    icons::{self, ph},
    theme::{Theme, mix, radius, size},
    widgets::{self, Col},
};

/// Rows that are drawn at once; more scroll.
const MOST_ROWS: usize = 14;

/// A method as people write it.
pub(super) const fn method_title(method: DriftMethod) -> &'static str {
    match method {
        DriftMethod::KolmogorovSmirnov => "Kolmogorov-Smirnov",
        DriftMethod::ChiSquared => "chi-squared",
        DriftMethod::ShareDifference => "difference of shares",
        DriftMethod::WassersteinNormed => "Wasserstein, normed",
        DriftMethod::JensenShannon => "Jensen-Shannon",
        DriftMethod::Psi => "stability index",
    }
}

/// How near a score is to its threshold: 0 is as in training, 0.5 is at the threshold, 1 is far beyond. For p-values by
/// their logarithm, since they fall by powers of ten.
pub(super) fn nearness(method: DriftMethod, score: f64) -> Option<f64> {
    if !score.is_finite() || score < 0.0 {
        return None;
    }
    let threshold = method.threshold();
    let share = if method.judges_by_p_value() {
        if score >= 1.0 { 0.0 } else { 0.5 * score.max(1e-300).ln() / threshold.ln() }
    } else {
        0.5 * score / threshold
    };
    Some(share.clamp(0.0, 1.0))
}

/// A bar with a mark at the threshold, in its middle.
fn near_bar(ui: &mut Ui, share: f64, color: Color32) -> Response {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 20.0), Sense::hover());
    let bar = Rect::from_center_size(rect.center(), Vec2::new(rect.width(), 6.0));
    let track = if theme.dark { theme.sunken } else { mix(theme.sunken, theme.line, 0.4) };
    ui.painter().rect_filled(bar, radius::BAR, track);
    if share > 0.0 {
        let part = Rect::from_min_size(bar.min, Vec2::new((bar.width() * share as f32).max(3.0), bar.height()));
        ui.painter().rect_filled(part, radius::BAR, color);
    }
    ui.painter().vline(bar.center().x, bar.y_range().expand(4.0), Stroke::new(1.0, theme.muted));
    response
}

pub(super) fn percent(share: f64) -> String {
    format!("{} %", format::number((share * 1_000.0).round() / 10.0))
}

/// A p-value as people read it.
fn p_text(p: f64) -> String {
    if p < 0.0001 {
        "p < 0.0001".to_owned()
    } else {
        format!("p = {}", format::number((p * 10_000.0).round() / 10_000.0))
    }
}

fn value_text(column: &ColumnDrift) -> Option<String> {
    let figure = column.deciding()?;
    match figure.p_value.filter(|_| figure.method.judges_by_p_value()) {
        Some(p) => Some(p_text(p)),
        None => Some(format::number(figure.value)),
    }
}

/// All figures of a column, a line each.
fn details(column: &ColumnDrift) -> String {
    let counts = format!(
        "{}: {} values in training, {} now",
        column.column,
        format::count(column.n_reference),
        format::count(column.n_current)
    );
    let figures = column.figures.iter().map(|figure| {
        let p = figure.p_value.map(|p| format!(", {}", p_text(p))).unwrap_or_default();
        format!("{}: {}{p}", method_title(figure.method), format::number(figure.value))
    });
    std::iter::once(counts).chain(figures).collect::<Vec<_>>().join("\n")
}

/// The columns, those that drifted first; a click opens one, whose name `open` holds then.
pub(super) fn table_ui(ui: &mut Ui, title: &str, list: &[ColumnDrift], open: &mut Option<String>) {
    let near = |column: &ColumnDrift| column.judged_by.zip(column.score()).and_then(|(by, score)| nearness(by, score));
    let mut order: Vec<&ColumnDrift> = list.iter().collect();
    order.sort_by(|a, b| {
        let key = |column: &ColumnDrift| (column.drifted, near(column).unwrap_or(-1.0));
        let ((a_drifted, a_near), (b_drifted, b_near)) = (key(a), key(b));
        b_drifted.cmp(&a_drifted).then(b_near.total_cmp(&a_near))
    });
    let wide = ui.available_width() > 760.0;
    let mut columns = vec![Col::wide(title)];
    if wide {
        columns.push(Col::fixed("By", 140.0));
    }
    columns.extend([Col::number("Found", 90.0), Col::fixed("Threshold at the mark", 130.0)]);
    if wide {
        columns.push(Col::number("Missing, before and now", 140.0));
    }
    columns.push(Col::fixed("Verdict", 96.0));
    widgets::lines_header(ui, &columns);
    if order.len() > MOST_ROWS {
        let height = MOST_ROWS as f32 * size::ROW;
        egui::ScrollArea::vertical().id_salt(("drift", title)).max_height(height).show_rows(
            ui,
            size::ROW,
            order.len(),
            |ui, rows| {
                order.get(rows).unwrap_or_default().iter().for_each(|column| row(ui, &columns, column, wide, open));
            },
        );
    } else {
        order.iter().for_each(|column| row(ui, &columns, column, wide, open));
    }
    if let Some(column) = list.iter().find(|column| open.as_ref() == Some(&column.column))
        && spread::ui(ui, column)
    {
        *open = None;
    }
}

fn row(ui: &mut Ui, columns: &[Col<'_>], column: &ColumnDrift, wide: bool, open: &mut Option<String>) {
    let theme = Theme::of(ui);
    let share = column.judged_by.zip(column.score()).and_then(|(by, score)| nearness(by, score));
    let (word, color) = match (column.judged_by, column.drifted) {
        (None, _) => ("not judged", theme.muted),
        (Some(_), true) => ("drifted", theme.bad),
        (Some(_), false) if share.is_some_and(|share| share > 0.35) => ("near", theme.warn),
        (Some(_), false) => ("as before", theme.ok),
    };
    let is_open = open.as_ref() == Some(&column.column);
    // The cells of a narrow table leave the second and the fifth out.
    let place = |at: usize| if wide { at } else { [0, 2, 3, 5].get(at).copied().unwrap_or(5) };
    let response = widgets::line_row(ui, columns, size::ROW, |ui, at| match place(at) {
        0 => {
            let icon = if is_open { ph::CARET_DOWN } else { ph::CARET_RIGHT };
            ui.label(icons::text(icon, 12.0).color(theme.muted));
            widgets::cell_mono(ui, &column.column);
        }
        1 => match column.judged_by {
            Some(method) => {
                widgets::muted(ui, method_title(method));
            }
            None => widgets::cell_none(ui),
        },
        2 => match value_text(column) {
            Some(text) => widgets::cell_mono(ui, &text),
            None => widgets::cell_none(ui),
        },
        3 => {
            if let Some(share) = share {
                let response = near_bar(ui, share, color);
                let said = format!("{}: {word}, {} of the way to the threshold", column.column, percent(share * 2.0));
                response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, &said));
            }
        }
        4 => {
            let [before, now] = column.missing;
            widgets::cell_mono(ui, &format!("{} → {}", percent(before), percent(now)));
        }
        _ => {
            widgets::small_pill(ui, color, word);
        }
    });
    let click = ui.interact(response.rect, ui.id().with(("spread", &column.column)), Sense::click());
    let said = format!("How {} is spread", column.column);
    click.widget_info(|| WidgetInfo::selected(WidgetType::CollapsingHeader, true, is_open, &said));
    widgets::focus_ring(ui, &click, response.rect);
    if click.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(details(column)).clicked() {
        *open = (!is_open).then(|| column.column.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_in_the_middle_of_every_scale() {
        for method in [DriftMethod::KolmogorovSmirnov, DriftMethod::Psi, DriftMethod::WassersteinNormed] {
            let at = nearness(method, method.threshold());
            assert!(at.is_some_and(|at| (at - 0.5).abs() < 1e-12), "{method:?} {at:?}");
        }
        for (method, score, expect) in [
            (DriftMethod::Psi, 0.0, Some(0.0)),
            (DriftMethod::Psi, 9.0, Some(1.0)),
            (DriftMethod::Psi, f64::NAN, None),
            (DriftMethod::ChiSquared, 1.0, Some(0.0)),
            (DriftMethod::ChiSquared, 0.0, Some(1.0)),
            (DriftMethod::ChiSquared, -1.0, None),
        ] {
            assert_eq!(nearness(method, score), expect, "{method:?} {score}");
        }
    }

    #[test]
    fn small_p_values_are_said_as_bounds() {
        for (p, expect) in [(0.5, "p = 0.5"), (0.0312, "p = 0.0312"), (1e-9, "p < 0.0001"), (0.0, "p < 0.0001")] {
            assert_eq!(p_text(p), expect);
        }
    }
}

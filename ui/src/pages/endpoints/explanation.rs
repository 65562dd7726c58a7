//! What an answer is made of: a bar for each column, from what the model says of a typical row to what it says of this one.

use athanor_protocol::{
    explanation::{Contribution, Explanation, ExplanationMethod},
    signature::ModelSignature,
};
use egui::{RichText, Ui};
use serde_json::Value;

use crate::{
    format,
    theme::{self, Theme, font_size, size},
    widgets::{self, Signed},
};

/// Most columns that get a bar; what the others add is one more.
const MOST_BARS: usize = 12;

/// Draws an explanation.
pub(super) fn explanation_ui(ui: &mut Ui, explanation: &Explanation, signature: &ModelSignature) {
    let theme = Theme::of(ui);
    let unit = Unit::of(explanation);
    ui.add_space(size::TINY_GAP);
    widgets::tight_wrapped(ui, |ui| {
        let title = match &explanation.class {
            Some(class) => format!("Why {class}"),
            None => format!("Why this {}", signature.target),
        };
        ui.label(RichText::new(title).font(theme::semibold(font_size::BODY)).color(theme.text));
        widgets::muted(ui, "what each column adds, compared with a typical row");
    });
    ui.scope(|ui| {
        // The line of zero goes through all rows.
        ui.spacing_mut().item_spacing.y = 0.0;
        widgets::amount(ui, "Typical row", &unit.plain(explanation.base), false);
        widgets::rule(ui);
        ui.add_space(size::TINY_GAP);
        let rows = rows(&explanation.contributions);
        let adds = rows.iter().map(|row| row.adds);
        let span = adds.fold((0.0, 0.0), |(least, most): (f64, f64), adds| (least.min(adds), most.max(adds)));
        for row in &rows {
            let (name, detail, value) = (row.name.as_str(), row.detail.as_str(), unit.signed(row.adds));
            widgets::signed_bar(ui, &Signed { name, detail, amount: row.adds, span, value: &value }).on_hover_ui(
                |ui| {
                    ui.set_max_width(size::FORM);
                    ui.label(&row.name);
                    widgets::muted(ui, &about(row, unit));
                },
            );
        }
        ui.add_space(size::TINY_GAP);
        widgets::rule(ui);
        widgets::amount(ui, "This row", &unit.plain(explanation.value), true);
    });
    if explanation.method == ExplanationMethod::Sampled {
        let errors = explanation.contributions.iter().filter_map(|one| one.standard_error);
        let error = errors.fold(0.0, f64::max);
        let text = format!("Estimated by sampling; the standard errors are at most {}.", unit.at_most(error));
        widgets::muted(ui, &text);
    }
}

/// How amounts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Of a probability.
    Percent,
    /// Of what is predicted.
    Own,
}

impl Unit {
    fn of(explanation: &Explanation) -> Self {
        if explanation.class.is_some() { Self::Percent } else { Self::Own }
    }

    fn plain(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{:.1} %", value * 100.0),
            Self::Own => format::number(value),
        }
    }

    /// As an upper bound.
    fn at_most(self, value: f64) -> String {
        match self {
            Self::Percent => self.plain((value * 1000.0).ceil() / 1000.0),
            Self::Own => self.plain(value),
        }
    }

    /// With its sign; nothing has none.
    fn signed(self, value: f64) -> String {
        let size = value.abs();
        let text = match self {
            Self::Percent => format!("{:.1} %", size * 100.0),
            Self::Own => format::number(size),
        };
        match value {
            _ if self == Self::Percent && text == "0.0 %" || value == 0.0 => text,
            value if value < 0.0 => format!("−{text}"),
            _ => format!("+{text}"),
        }
    }
}

/// A line of the picture.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    /// The row's value, for one column.
    detail: String,
    /// The typical value, for one column.
    typical: Option<String>,
    adds: f64,
    error: Option<f64>,
}

/// The columns that add most first, ties in their order; the rest as one line.
fn rows(contributions: &[Contribution]) -> Vec<Row> {
    let mut sorted: Vec<&Contribution> = contributions.iter().collect();
    sorted.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    let n_shown = if sorted.len() > MOST_BARS { MOST_BARS - 1 } else { sorted.len() };
    let (shown, rest) = sorted.split_at(n_shown);
    let of_column = |one: &&Contribution| Row {
        name: one.column.clone(),
        detail: value_text(&one.value),
        typical: Some(value_text(&one.baseline)),
        adds: one.contribution,
        error: one.standard_error,
    };
    let mut rows: Vec<Row> = shown.iter().map(of_column).collect();
    if !rest.is_empty() {
        let adds = rest.iter().map(|one| one.contribution).sum();
        let name = format!("{} more columns", format::count(rest.len() as u64));
        rows.push(Row { name, detail: String::new(), typical: None, adds, error: None });
    }
    rows
}

fn about(row: &Row, unit: Unit) -> String {
    let Some(typical) = &row.typical else { return format!("together {}", unit.signed(row.adds)) };
    let error = match row.error {
        Some(error) if error > 0.0 => format!(", with a standard error of at most {}", unit.at_most(error)),
        _ => String::new(),
    };
    format!("{} instead of {typical}: {}{error}", row.detail, unit.signed(row.adds))
}

/// A value as people read it.
fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => number.as_f64().map_or_else(|| number.to_string(), format::number),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contribution(column: &str, contribution: f64) -> Contribution {
        let column = column.to_owned();
        Contribution { column, value: json!(1), baseline: json!(2.5), contribution, standard_error: None }
    }

    #[test]
    fn the_greatest_come_first_and_the_rest_is_one_line() {
        let few = rows(&[contribution("a", 0.1), contribution("b", -0.3), contribution("c", 0.0)]);
        assert_eq!(few.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        let many: Vec<Contribution> = (0..30).map(|n| contribution(&format!("c{n}"), f64::from(n) / 10.0)).collect();
        let rows = rows(&many);
        assert_eq!((rows.len(), rows[0].name.as_str(), rows[11].name.as_str()), (12, "c29", "19 more columns"));
        let sum: f64 = rows.iter().map(|row| row.adds).sum();
        assert!((sum - many.iter().map(|one| one.contribution).sum::<f64>()).abs() < 1e-12, "nothing is left out");
    }

    #[test]
    fn amounts_have_their_sign_and_unit() {
        for (unit, value, expect) in [
            (Unit::Percent, 0.123, "+12.3 %"),
            (Unit::Percent, -0.123, "−12.3 %"),
            (Unit::Percent, 0.0, "0.0 %"),
            (Unit::Percent, -0.00001, "0.0 %"),
            (Unit::Own, 12.5, "+12.5"),
            (Unit::Own, -0.25, "−0.25"),
            (Unit::Own, 0.0, "0"),
        ] {
            assert_eq!(unit.signed(value), expect);
        }
        assert_eq!(
            (Unit::Percent.at_most(0.00001), Unit::Percent.plain(0.5)),
            ("0.1 %".to_owned(), "50.0 %".to_owned())
        );
    }

    #[test]
    fn values_are_read_by_people() {
        for (value, expect) in [
            (json!(null), "missing"),
            (json!(""), "empty"),
            (json!("red"), "red"),
            (json!(14.25), "14.25"),
            (json!(1_234_567_890_123_i64), "1234567890123"),
            (json!(true), "true"),
        ] {
            assert_eq!(value_text(&value), expect);
        }
    }
}

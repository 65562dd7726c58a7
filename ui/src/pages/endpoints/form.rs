//! The form that is made from what a model takes: a field for each column, checked as it will be when it is sent.

use std::collections::BTreeMap;

use athanor_protocol::{
    signature::{InputColumn, ModelSignature},
    table::DataType,
};
use egui::{RichText, Ui, Vec2};
use serde_json::Value;

use crate::{
    pages::models::type_title,
    theme::{Theme, font_size, size},
    widgets,
};

/// The height of a row of fields.
const ROW: f32 = 58.0;
/// More rows than these scroll.
const MOST_ROWS: usize = 8;

/// What was typed for each column of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Form {
    inputs: Vec<InputColumn>,
    texts: Vec<String>,
    /// Plausible values by column, from what training saw.
    examples: BTreeMap<String, String>,
    /// Whether the user has asked with it: only then what is missing is said.
    pub(super) tried: bool,
}

/// What is wrong with a value; `None` where it can be sent.
fn read(input: &InputColumn, text: &str) -> Result<Value, &'static str> {
    let text = if input.dtype == DataType::Text { text } else { text.trim() };
    if text.is_empty() {
        return if input.nullable { Ok(Value::Null) } else { Err("a value is needed") };
    }
    match input.dtype {
        DataType::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("true or false"),
        },
        DataType::Int => text.parse::<i64>().map(Value::from).map_err(|_| "a whole number is needed"),
        DataType::Float => {
            let number: f64 = text.parse().map_err(|_| "a number is needed")?;
            serde_json::Number::from_f64(number).map(Value::Number).ok_or("the number must be finite")
        }
        DataType::Date | DataType::Datetime => {
            if looks_like_moment(text) {
                Ok(Value::from(text))
            } else if input.dtype == DataType::Date {
                Err("a date such as 2026-11-25 is needed")
            } else {
                Err("a moment such as 2026-11-25T14:30 is needed")
            }
        }
        DataType::Text | DataType::Duration | DataType::Time | DataType::Other => Ok(Value::from(text)),
    }
}

/// Whether text begins with a day as the endpoint reads it; the endpoint looks closer.
fn looks_like_moment(text: &str) -> bool {
    let day = text.as_bytes().get(..10).unwrap_or_default();
    day.len() == 10
        && day.iter().enumerate().all(|(at, b)| if at == 4 || at == 7 { *b == b'-' } else { b.is_ascii_digit() })
        && matches!(text.as_bytes().get(10), None | Some(b'T' | b' '))
}

/// A value as it is typed.
fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A value that a model can do something with, where nothing is known of the column but its type.
fn example(input: &InputColumn, today: &str) -> String {
    match input.dtype {
        DataType::Bool => "false".to_owned(),
        DataType::Int | DataType::Float => "0".to_owned(),
        DataType::Date => today.to_owned(),
        DataType::Datetime => format!("{today}T12:00"),
        _ if input.nullable => String::new(),
        _ => "a".to_owned(),
    }
}

impl Form {
    /// Takes over what a model takes; what was typed for columns of the same name stays.
    pub(super) fn set(&mut self, signature: &ModelSignature, examples: &BTreeMap<String, Value>) {
        if self.examples.len() != examples.len() || examples.iter().any(|(name, _)| !self.examples.contains_key(name)) {
            self.examples = examples.iter().map(|(name, value)| (name.clone(), typed(value))).collect();
        }
        if self.inputs == signature.inputs {
            return;
        }
        let texts = signature.inputs.iter().map(|input| {
            let before = self.inputs.iter().position(|other| other.name == input.name);
            before.and_then(|at| self.texts.get(at).cloned()).unwrap_or_default()
        });
        self.texts = texts.collect();
        self.inputs.clone_from(&signature.inputs);
        self.tried = false;
    }

    /// A value for a column that can be sent: one that training saw where that is known.
    fn example(&self, input: &InputColumn, today: &str) -> String {
        let known = self.examples.get(&input.name).filter(|text| read(input, text).is_ok());
        known.cloned().unwrap_or_else(|| example(input, today))
    }

    /// Fills what is empty with a value that can be sent.
    pub(super) fn fill(&mut self, today: &str) {
        let filled = self
            .inputs
            .iter()
            .zip(&self.texts)
            .map(|(input, text)| if text.trim().is_empty() { self.example(input, today) } else { text.clone() });
        self.texts = filled.collect();
    }

    /// Empties all fields.
    pub(super) fn clear(&mut self) {
        self.texts.iter_mut().for_each(String::clear);
        self.tried = false;
    }

    /// Whether nothing was typed.
    pub(super) fn is_empty(&self) -> bool {
        self.texts.iter().all(String::is_empty)
    }

    /// The row as it is sent; `None` where a field is wrong.
    pub(super) fn row(&self) -> Option<Vec<(String, Value)>> {
        let pairs = self.inputs.iter().zip(&self.texts);
        pairs.map(|(input, text)| Some((input.name.clone(), read(input, text).ok()?))).collect()
    }

    /// The row for snippets: a wrong or missing value is an example.
    pub(super) fn sample(&self, today: &str) -> Vec<(String, Value)> {
        let pairs = self.inputs.iter().zip(&self.texts);
        pairs
            .map(|(input, text)| {
                let value = read(input, text).or_else(|_| read(input, &self.example(input, today)));
                (input.name.clone(), value.unwrap_or(Value::Null))
            })
            .collect()
    }

    /// How many fields are wrong.
    pub(super) fn n_wrong(&self) -> usize {
        self.inputs.iter().zip(&self.texts).filter(|(input, text)| read(input, text).is_err()).count()
    }

    /// Draws the fields; true when Enter was pressed in one.
    pub(super) fn ui(&mut self, ui: &mut Ui) -> bool {
        let n_columns = ((ui.available_width() / 190.0) as usize).clamp(1, 4);
        let n_rows = self.inputs.len().div_ceil(n_columns);
        let mut entered = false;
        if n_rows > MOST_ROWS {
            egui::ScrollArea::vertical()
                .id_salt("try-form")
                .max_height(MOST_ROWS as f32 * ROW)
                .auto_shrink([false, true])
                .show_rows(ui, ROW - ui.spacing().item_spacing.y, n_rows, |ui, rows| {
                    for row in rows {
                        entered |= self.row_ui(ui, row, n_columns);
                    }
                });
        } else {
            for row in 0..n_rows {
                entered |= self.row_ui(ui, row, n_columns);
            }
        }
        entered
    }

    fn row_ui(&mut self, ui: &mut Ui, row: usize, n_columns: usize) -> bool {
        let gap = 12.0;
        let width = (ui.available_width() - gap * (n_columns - 1) as f32) / n_columns as f32;
        let mut entered = false;
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap;
            ui.set_height(ROW - size::SMALL_GAP);
            for at in row * n_columns..((row + 1) * n_columns).min(self.inputs.len()) {
                ui.allocate_ui(Vec2::new(width, ROW - size::SMALL_GAP), |ui| {
                    ui.set_width(width);
                    entered |= self.field_ui(ui, at);
                });
            }
        });
        entered
    }

    fn field_ui(&mut self, ui: &mut Ui, at: usize) -> bool {
        let theme = Theme::of(ui);
        let (Some(input), Some(text)) = (self.inputs.get(at), self.texts.get_mut(at)) else { return false };
        let wrong = read(input, text).err().filter(|_| self.tried || !text.is_empty());
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 3.0;
            ui.horizontal(|ui| {
                ui.spacing_mut().interact_size.y = 15.0;
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.set_height(15.0);
                let name = RichText::new(&input.name).size(font_size::LABEL).color(theme.text);
                let about = match wrong {
                    Some(wrong) => RichText::new(wrong).color(theme.bad),
                    None => RichText::new(if input.nullable { "may be empty" } else { "" }).color(theme.muted),
                };
                let said = format!("{}: {}", input.name, type_title(input.dtype));
                ui.add(egui::Label::new(name).truncate()).on_hover_text(said);
                ui.add(egui::Label::new(about.size(font_size::LABEL)).truncate());
            });
            if input.dtype == DataType::Bool {
                bool_ui(ui, input, text);
                return false;
            }
            let hint = match input.dtype {
                DataType::Int => "0",
                DataType::Float => "0.0",
                DataType::Date => "2026-11-25",
                DataType::Datetime => "2026-11-25T14:30",
                _ => "text",
            };
            let response = widgets::line_edit(ui, &input.name, text, hint, false);
            response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter))
        })
        .inner
    }
}

fn bool_ui(ui: &mut Ui, input: &InputColumn, text: &mut String) {
    let mut options = vec![("true".to_owned(), "true".to_owned()), ("false".to_owned(), "false".to_owned())];
    if input.nullable || text.is_empty() {
        options.insert(0, (String::new(), "–".to_owned()));
    }
    widgets::choice(ui, &input.name, &input.name, text, &options);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(dtype: DataType, nullable: bool) -> InputColumn {
        InputColumn { name: "x".to_owned(), dtype, nullable }
    }

    #[test]
    fn values_are_read_by_the_columns_type() {
        for (dtype, text, expect) in [
            (DataType::Float, " 1.5 ", Ok(json!(1.5))),
            (DataType::Float, "1e3", Ok(json!(1000.0))),
            (DataType::Float, "1,5", Err("a number is needed")),
            (DataType::Float, "inf", Err("the number must be finite")),
            (DataType::Float, "", Err("a value is needed")),
            (DataType::Int, "-3", Ok(json!(-3))),
            (DataType::Int, "3.5", Err("a whole number is needed")),
            (DataType::Bool, "true", Ok(json!(true))),
            (DataType::Bool, "yes", Err("true or false")),
            (DataType::Text, " a ", Ok(json!(" a "))),
            (DataType::Date, "2026-11-25", Ok(json!("2026-11-25"))),
            (DataType::Date, "25.11.2026", Err("a date such as 2026-11-25 is needed")),
            (DataType::Datetime, "2026-11-25 14:30", Ok(json!("2026-11-25 14:30"))),
            (DataType::Datetime, "2026-11-25x", Err("a moment such as 2026-11-25T14:30 is needed")),
        ] {
            assert_eq!(read(&input(dtype, false), text), expect, "{dtype:?} {text:?}");
        }
        assert_eq!(read(&input(DataType::Float, true), "  "), Ok(Value::Null));
    }

    #[test]
    fn an_example_is_what_training_saw_where_it_can_be_sent() {
        let signature = ModelSignature {
            task: athanor_protocol::signature::Task::Binary,
            target: "y".to_owned(),
            inputs: vec![
                input(DataType::Float, false),
                InputColumn { name: "n".to_owned(), ..input(DataType::Int, false) },
            ],
            classes: vec![],
        };
        let mut form = Form::default();
        form.set(&signature, &BTreeMap::from([("x".to_owned(), json!(13.37)), ("n".to_owned(), json!("no number"))]));
        form.fill("2026-11-25");
        assert_eq!(form.row(), Some(vec![("x".to_owned(), json!(13.37)), ("n".to_owned(), json!(0))]));
        // Another version of the same columns has other values; what was typed stays.
        form.set(&signature, &BTreeMap::new());
        assert_eq!(form.row().map(|row| row.len()), Some(2));
        form.clear();
        form.fill("2026-11-25");
        assert_eq!(form.row(), Some(vec![("x".to_owned(), json!(0.0)), ("n".to_owned(), json!(0))]));
    }

    #[test]
    fn an_example_of_every_type_can_be_sent() {
        for dtype in
            [DataType::Bool, DataType::Int, DataType::Float, DataType::Text, DataType::Date, DataType::Datetime]
        {
            for nullable in [true, false] {
                let input = input(dtype, nullable);
                assert!(read(&input, &example(&input, "2026-11-25")).is_ok(), "{dtype:?}");
            }
        }
    }
}

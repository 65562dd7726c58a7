//! Editors of parameters, one for each kind of value.

use athanor_protocol::{
    api::DataEntry,
    catalogue::{Param, ParamKind},
    table::ColumnSchema,
    workflow::Node,
};
use egui::{Key, RichText, ScrollArea, TextEdit, Ui, WidgetInfo, WidgetType};
use serde_json::Value;

use super::summary::file_name;
use crate::{
    format,
    icons::{self, ph},
    palette::score,
    theme::{self, Theme, font_size, size},
    widgets,
};

/// What is at hand to choose from.
pub struct Offer<'a> {
    /// Columns that come in, where they are known.
    pub columns: Option<&'a [ColumnSchema]>,
    /// Tables that the workspace knows.
    pub tables: Option<&'a [DataEntry]>,
    /// Whether there is a dialog of the system's.
    pub desktop: bool,
    /// What is wrong, by parameter.
    pub errors: Vec<(Option<String>, String)>,
}

/// What a user wants.
pub enum ParamAsk {
    /// This value; `None` is the default.
    Set(Option<Value>),
    /// To choose a file.
    Pick,
    /// The model builder.
    Build,
}

/// What is typed but is no value yet.
#[derive(Default)]
pub struct ParamsState {
    typing: Option<(String, String)>,
    search: String,
}

/// `batch_size` as people read it.
pub fn title(name: &str) -> String {
    let text = match name {
        "n_rows" => "rows",
        "n_folds" => "folds",
        "n_rounds" => "rounds",
        "n_leaves" => "leaves",
        "l2" => "L2 penalty",
        "valid" => "validation share",
        "test" => "test share",
        "on_error" => "values that do not fit",
        other => return sentence_case(&other.replace('_', " ")),
    };
    sentence_case(text)
}

fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A value in few words.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(on) => if *on { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.as_f64().map(format::number).unwrap_or_default(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(_) => "set".to_owned(),
    }
}

/// Draws a parameter with its editor.
pub fn param_ui(
    ui: &mut Ui,
    state: &mut ParamsState,
    node: &Node,
    param: &Param,
    offer: &Offer<'_>,
    take_focus: bool,
) -> Option<ParamAsk> {
    let theme = Theme::of(ui);
    let set = node.params.get(&param.name);
    let value = set.unwrap_or(&param.default);
    let errors: Vec<&str> = offer
        .errors
        .iter()
        .filter(|(name, _)| name.as_deref() == Some(&param.name))
        .map(|(_, text)| text.as_str())
        .collect();
    let name = title(&param.name);
    let mut ask = None;
    ui.push_id(("param", &node.id, &param.name), |ui| {
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = size::TINY_GAP;
            if param.kind == ParamKind::Bool && !param.optional {
                let mut on = value.as_bool().unwrap_or(false);
                let response = widgets::switch(ui, &mut on, &name);
                if take_focus {
                    response.request_focus();
                }
                if response.on_hover_text(&param.help).changed() {
                    ask = Some(ParamAsk::Set(Some(Value::Bool(on))));
                }
            } else {
                ui.horizontal(|ui| {
                    ui.set_height(18.0);
                    widgets::label(ui, &name).on_hover_ui(|ui| {
                        ui.set_max_width(280.0);
                        ui.label(&param.help);
                        if !param.default.is_null() {
                            widgets::label(ui, &format!("Default: {}", shown(&param.default)));
                        }
                    });
                    if set.is_some() {
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            let tip =
                                format!("Reset {} to its default: {}", name.to_lowercase(), shown(&param.default));
                            if small_reset(ui, &tip) {
                                ask = Some(ParamAsk::Set(None));
                                state.typing = None;
                            }
                        });
                    } else if !param.default.is_null() {
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            ui.label(RichText::new("default").size(10.5).color(theme.faint));
                        });
                    } else if param.optional {
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            ui.label(RichText::new("optional").size(10.5).color(theme.faint));
                        });
                    }
                });
                let before = ui.cursor().min;
                ask = ask.take().or(editor(ui, state, node, param, value, offer, &name));
                if take_focus {
                    focus_first(ui, before);
                }
            }
            for error in errors {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    ui.label(icons::text(ph::WARNING_CIRCLE, 13.0).color(theme.bad));
                    ui.add(
                        egui::Label::new(RichText::new(widgets::sentence(error)).size(12.0).color(theme.bad))
                            .wrap()
                            .selectable(true),
                    );
                });
            }
        });
    });
    ask
}

/// Gives the editor that was drawn last the keyboard, through the place where it stands.
fn focus_first(ui: &Ui, at: egui::Pos2) {
    let id = ui.data(|data| data.get_temp::<egui::Id>(egui::Id::new("workflow-last-editor")));
    if let Some(id) = id {
        ui.memory_mut(|memory| memory.request_focus(id));
        ui.scroll_to_rect(egui::Rect::from_min_size(at, egui::Vec2::splat(32.0)), None);
    }
}

fn mark(ui: &Ui, response: &egui::Response) {
    ui.data_mut(|data| data.insert_temp(egui::Id::new("workflow-last-editor"), response.id));
}

fn small_reset(ui: &mut Ui, text: &str) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(18.0), egui::Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, text));
    let ink = if response.hovered() { theme.text } else { theme.muted };
    icons::paint(ui, rect.center(), ph::ARROW_COUNTER_CLOCKWISE, 13.0, ink);
    widgets::focus_ring(ui, &response, rect);
    response.on_hover_cursor(egui::CursorIcon::PointingHand).on_hover_text(text).clicked()
}

fn editor(
    ui: &mut Ui,
    state: &mut ParamsState,
    node: &Node,
    param: &Param,
    value: &Value,
    offer: &Offer<'_>,
    name: &str,
) -> Option<ParamAsk> {
    let key = format!("{}.{}", node.id, param.name);
    let set = |value: Value| Some(ParamAsk::Set(Some(value)));
    // Nothing typed is nothing set: what must be set then says so.
    let text = |text: String| Some(ParamAsk::Set(if text.is_empty() { None } else { Some(Value::String(text)) }));
    match &param.kind {
        ParamKind::Text => {
            let mut typed = value.as_str().unwrap_or_default().to_owned();
            let response = widgets::line_edit(ui, name, &mut typed, "", false);
            mark(ui, &response);
            if response.changed() { text(typed) } else { None }
        }
        ParamKind::Expression => expression(ui, name, value.as_str().unwrap_or_default(), offer.columns).and_then(text),
        ParamKind::Path => path(ui, name, value.as_str().unwrap_or_default(), offer),
        ParamKind::Column => {
            column(ui, state, &key, name, value.as_str().unwrap_or_default(), param.optional, offer.columns)
                .and_then(text)
        }
        ParamKind::Columns => columns(ui, state, &key, name, value, offer.columns).and_then(set),
        ParamKind::Number { min, max } => {
            number(ui, name, value, param.optional, (*min, *max), false).map(ParamAsk::Set)
        }
        ParamKind::Integer { min, max } => {
            number(ui, name, value, param.optional, (*min as f64, *max as f64), true).map(ParamAsk::Set)
        }
        ParamKind::Bool => {
            let mut now = value.as_bool();
            let options = [(None, "Auto"), (Some(true), "Yes"), (Some(false), "No")];
            widgets::segments(ui, &mut now, &options).then(|| ParamAsk::Set(now.map(Value::Bool)))
        }
        ParamKind::Choice { options } => {
            let mut now = value.as_str().unwrap_or_default().to_owned();
            let mut list: Vec<(String, String)> =
                options.iter().map(|option| (option.clone(), option.clone())).collect();
            if now.is_empty() {
                list.insert(0, (String::new(), "choose one".to_owned()));
            }
            if widgets::choice(ui, &key, name, &mut now, &list) && !now.is_empty() {
                set(Value::String(now))
            } else {
                None
            }
        }
        ParamKind::Integers { .. } => typed_list(ui, state, &key, name, value, "64, 32", false).and_then(set),
        ParamKind::Texts => typed_list(ui, state, &key, name, value, "one on each line", true).and_then(set),
        ParamKind::Network => {
            let text = if value.is_null() { "Build the model" } else { "Open model builder" };
            widgets::secondary(ui, ph::STACK, text).clicked().then_some(ParamAsk::Build)
        }
        ParamKind::Any => {
            let mut typed = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let response = widgets::line_edit(ui, name, &mut typed, "", false);
            mark(ui, &response);
            if !response.changed() {
                return None;
            }
            let parsed =
                serde_json::from_str::<Value>(&typed).ok().filter(|value| value.is_number() || value.is_boolean());
            match parsed {
                Some(value) => set(value),
                None => text(typed),
            }
        }
    }
}

fn expression(ui: &mut Ui, name: &str, value: &str, columns: Option<&[ColumnSchema]>) -> Option<String> {
    let theme = Theme::of(ui);
    let mut typed = value.to_owned();
    let edit = TextEdit::multiline(&mut typed)
        .font(egui::TextStyle::Monospace)
        .desired_rows(2)
        .desired_width(f32::INFINITY)
        .hint_text(RichText::new("age > 30 AND bmi IS NOT NULL").color(theme.faint))
        .margin(egui::Margin::symmetric(10, 7));
    let response = ui.add(edit);
    mark(ui, &response);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(WidgetType::TextEdit, true, name);
        info.current_text_value = Some(value.to_owned());
        info
    });
    let mut next = response.changed().then(|| typed.clone());
    // Columns that begin with the word at the end; a click writes the name out.
    let word: String = typed
        .chars()
        .rev()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    if let Some(columns) = columns {
        let found: Vec<&ColumnSchema> = columns
            .iter()
            .filter(|column| {
                column.name != word && (word.is_empty() || column.name.to_lowercase().contains(&word.to_lowercase()))
            })
            .take(6)
            .collect();
        if !found.is_empty() {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = egui::vec2(4.0, 4.0);
                for column in found {
                    let text = RichText::new(&column.name).font(theme::mono(font_size::LABEL)).color(theme.muted);
                    if ui.add(egui::Button::new(text).small()).on_hover_text(column.dtype.as_str()).clicked() {
                        let mut text = typed[..typed.len() - word.len()].to_owned();
                        let plain = column.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                            && !column.name.starts_with(|c: char| c.is_ascii_digit());
                        if plain {
                            text.push_str(&column.name);
                        } else {
                            text.push_str(&format!("\"{}\"", column.name.replace('"', "\"\"")));
                        }
                        next = Some(text);
                    }
                }
            });
        }
    }
    next
}

fn path(ui: &mut Ui, name: &str, value: &str, offer: &Offer<'_>) -> Option<ParamAsk> {
    let mut ask = None;
    let mut typed = value.to_owned();
    let response = widgets::line_edit(ui, name, &mut typed, "data/table.csv", false);
    mark(ui, &response);
    if response.changed() {
        ask = Some(ParamAsk::Set(if typed.is_empty() { None } else { Some(Value::String(typed)) }));
    }
    ui.horizontal_wrapped(|ui| {
        if let Some(tables) = offer.tables.filter(|tables| !tables.is_empty()) {
            let shown =
                tables.iter().find(|table| table.path == value).map_or("Known tables", |table| table.name.as_str());
            let response = egui::ComboBox::from_id_salt("tables")
                .selected_text(shown)
                .width(ui.available_width().min(150.0))
                .show_ui(ui, |ui| {
                    for table in tables.iter().take(300) {
                        if ui.selectable_label(table.path == value, &table.name).on_hover_text(&table.path).clicked() {
                            ask = Some(ParamAsk::Set(Some(Value::String(table.path.clone()))));
                        }
                    }
                });
            response.response.widget_info(|| WidgetInfo::labeled(WidgetType::ComboBox, true, "Known tables"));
        }
        if offer.desktop && widgets::secondary(ui, ph::FOLDER_OPEN, "Browse").clicked() {
            ask = Some(ParamAsk::Pick);
        }
    });
    if !value.is_empty() && file_name(value) != value {
        let theme = Theme::of(ui);
        let text = RichText::new(value).size(font_size::LABEL).color(theme.muted);
        ui.add(egui::Label::new(text).truncate().selectable(true)).on_hover_text(value);
    }
    ask
}

fn column(
    ui: &mut Ui,
    state: &mut ParamsState,
    key: &str,
    name: &str,
    value: &str,
    optional: bool,
    columns: Option<&[ColumnSchema]>,
) -> Option<String> {
    let Some(columns) = columns else {
        let mut typed = value.to_owned();
        let response = widgets::line_edit(ui, name, &mut typed, "column", false);
        mark(ui, &response);
        return response.changed().then_some(typed);
    };
    let theme = Theme::of(ui);
    let mut next = None;
    let shown = if value.is_empty() { "choose a column" } else { value };
    let combo = egui::ComboBox::from_id_salt(key).selected_text(shown).width(ui.available_width()).show_ui(ui, |ui| {
        if columns.len() > 12 {
            let width = ui.available_width().max(160.0);
            widgets::search_field(ui, "Find a column", &mut state.search, width);
        }
        if optional && ui.selectable_label(value.is_empty(), "none").clicked() {
            next = Some(String::new());
        }
        for column in columns.iter().filter(|column| score(&column.name, &state.search).is_some()).take(400) {
            let on = column.name == value;
            let button = egui::Button::selectable(on, &column.name)
                .right_text(RichText::new(column.dtype.as_str()).size(font_size::LABEL).color(theme.muted));
            if ui.add(button).clicked() {
                next = Some(column.name.clone());
            }
        }
    });
    if combo.inner.is_none() && next.is_none() && ui.input(|input| input.pointer.any_released()) {
        state.search.clear();
    }
    mark(ui, &combo.response);
    combo.response.widget_info(|| WidgetInfo::labeled(WidgetType::ComboBox, true, name));
    next
}

fn columns(
    ui: &mut Ui,
    state: &mut ParamsState,
    key: &str,
    name: &str,
    value: &Value,
    columns: Option<&[ColumnSchema]>,
) -> Option<Value> {
    let Some(columns) = columns else {
        return typed_list(ui, state, key, name, value, "column, other column", false);
    };
    let theme = Theme::of(ui);
    let chosen: Vec<&str> =
        value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    let gone: Vec<&str> =
        chosen.iter().copied().filter(|name| !columns.iter().any(|column| column.name == *name)).collect();
    let mut next: Option<Vec<String>> = None;
    let toggled = |name: &str| -> Vec<String> {
        if chosen.contains(&name) {
            chosen.iter().filter(|other| **other != name).map(|name| (*name).to_owned()).collect()
        } else {
            // In the table's order, so that the file does not depend on the order of clicks.
            let all = gone.iter().copied().chain(columns.iter().map(|column| column.name.as_str()));
            all.filter(|other| chosen.contains(other) || *other == name).map(str::to_owned).collect()
        }
    };
    let frame = egui::Frame::new()
        .fill(theme.sunken)
        .stroke(theme.border())
        .corner_radius(theme::radius::CONTROL)
        .inner_margin(8);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 4.0;
        ui.horizontal(|ui| {
            let text = match chosen.len() {
                0 => "none chosen".to_owned(),
                n => format!("{n} of {}", format::plural(columns.len() as u64, "column")),
            };
            ui.label(RichText::new(text).size(font_size::LABEL).color(theme.muted));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if !chosen.is_empty()
                    && ui.add(egui::Button::new(RichText::new("None").size(font_size::LABEL)).small()).clicked()
                {
                    next = Some(vec![]);
                }
                if chosen.len() < columns.len()
                    && ui.add(egui::Button::new(RichText::new("All").size(font_size::LABEL)).small()).clicked()
                {
                    next = Some(columns.iter().map(|column| column.name.clone()).collect());
                }
            });
        });
        if columns.len() > 8 {
            let width = ui.available_width();
            widgets::search_field(ui, "Find columns", &mut state.search, width);
        }
        let search = if columns.len() > 8 { state.search.as_str() } else { "" };
        let rows: Vec<(&str, &str)> = gone
            .iter()
            .map(|name| (*name, "not there"))
            .chain(columns.iter().map(|column| (column.name.as_str(), column.dtype.as_str())))
            .filter(|(name, _)| score(name, search).is_some())
            .collect();
        let area = ScrollArea::vertical().id_salt(key).max_height(168.0).auto_shrink([false, true]);
        area.show_rows(ui, 22.0, rows.len(), |ui, seen| {
            for (column, dtype) in &rows[seen] {
                ui.horizontal(|ui| {
                    ui.set_height(22.0);
                    let mut on = chosen.contains(column);
                    if ui.checkbox(&mut on, *column).changed() {
                        next = Some(toggled(column));
                    }
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        ui.add_space(8.0);
                        ui.label(RichText::new(*dtype).size(font_size::LABEL).color(if *dtype == "not there" {
                            theme.bad
                        } else {
                            theme.muted
                        }));
                    });
                });
            }
        });
    });
    next.map(Value::from)
}

/// The new value; the inner `None` is the default, which is nothing.
fn number(
    ui: &mut Ui,
    name: &str,
    value: &Value,
    optional: bool,
    range: (f64, f64),
    whole: bool,
) -> Option<Option<Value>> {
    let as_value = |number: f64| if whole { Value::from(number as i64) } else { Value::from(number) };
    if optional && value.is_null() {
        let set =
            widgets::secondary(ui, ph::PLUS, "Set").on_hover_text(format!("Set {}", name.to_lowercase())).clicked();
        let begin =
            if whole { range.0.max(1.0).min(range.1) } else { ((range.0 + range.1) / 2.0).clamp(range.0, range.1) };
        return set.then(|| Some(as_value(begin)));
    }
    let mut now = value.as_f64().unwrap_or(range.0);
    let before = now;
    let speed = if whole { (now.abs() * 0.01).max(0.2) } else { (now.abs() * 0.01).max(1e-6) };
    // A value that a file brought is shown as it is, right or wrong; only what the user sets is kept in the range.
    let mut drag = egui::DragValue::new(&mut now).range(range.0..=range.1).clamp_existing_to_range(false).speed(speed);
    drag = if whole { drag.max_decimals(0) } else { drag.max_decimals(12).custom_formatter(|value, _| decimal(value)) };
    let response = ui.add_sized([ui.available_width().min(140.0), size::CONTROL - 2.0], drag);
    mark(ui, &response);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(WidgetType::DragValue, true, name);
        info.value = Some(before);
        info
    });
    // Bit for bit: any other number is a change, the same one is none.
    (now.to_bits() != before.to_bits()).then(|| Some(as_value(now)))
}

/// A number without what rounding adds.
fn decimal(value: f64) -> String {
    let text = format!("{value:.12}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A list as text: what is typed is kept while it has the keyboard, whether it is a list or not.
fn typed_list(
    ui: &mut Ui,
    state: &mut ParamsState,
    key: &str,
    name: &str,
    value: &Value,
    hint: &str,
    lines: bool,
) -> Option<Value> {
    let theme = Theme::of(ui);
    let joined = || {
        let list = value.as_array().map(|list| {
            list.iter().map(|entry| entry.as_str().map_or_else(|| entry.to_string(), str::to_owned)).collect::<Vec<_>>()
        });
        list.unwrap_or_default().join(if lines { "\n" } else { ", " })
    };
    let mut typed = match &state.typing {
        Some((of, typed)) if of == key => typed.clone(),
        _ => joined(),
    };
    let edit = if lines { TextEdit::multiline(&mut typed).desired_rows(2) } else { TextEdit::singleline(&mut typed) };
    let edit = edit
        .hint_text(RichText::new(hint).color(theme.faint))
        .desired_width(f32::INFINITY)
        .margin(egui::Margin::symmetric(10, 7));
    let response = ui.add(edit);
    mark(ui, &response);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(WidgetType::TextEdit, true, name);
        info.current_text_value = Some(typed.clone());
        info
    });
    let done =
        response.lost_focus() || (!lines && response.has_focus() && ui.input(|input| input.key_pressed(Key::Enter)));
    if done && state.typing.as_ref().is_some_and(|(of, _)| of == key) {
        state.typing = None;
    }
    if !response.changed() {
        return None;
    }
    state.typing = Some((key.to_owned(), typed.clone()));
    let number = |text: &str| serde_json::from_str::<i64>(text).map_or_else(|_| Value::from(text), Value::from);
    let is_numbers = hint.starts_with(|c: char| c.is_ascii_digit());
    let parts = typed.split(if lines { '\n' } else { ',' }).map(str::trim).filter(|part| !part.is_empty());
    Some(parts.map(|part| if is_numbers { number(part) } else { Value::from(part) }).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_names_read_as_people_say_them() {
        for (name, expect) in [("batch_size", "Batch size"), ("l2", "L2 penalty"), ("n_rows", "Rows"), ("", "")] {
            assert_eq!(title(name), expect);
        }
        for (value, expect) in [
            (json!(null), "none"),
            (json!([64, 32]), "64, 32"),
            (json!(0.15), "0.15"),
            (json!(true), "yes"),
            (json!([]), "none"),
        ] {
            assert_eq!(shown(&value), expect);
        }
        for (value, expect) in [(0.003, "0.003"), (1e-12, "0.000000000001"), (20.0, "20"), (-0.0, "0"), (0.15, "0.15")]
        {
            assert_eq!(decimal(value), expect);
        }
    }
}

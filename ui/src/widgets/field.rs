//! Fields: a label above, help under it, an error in its place.

use egui::{Response, RichText, TextEdit, Ui, WidgetInfo, WidgetType};

use super::{label, sentence};
use crate::{
    icons::{self, ph},
    theme::{self, Theme, font_size, size},
};

/// A field's frame: label, the control, help or error.
pub fn field<R>(ui: &mut Ui, name: &str, help: &str, error: Option<&str>, add: impl FnOnce(&mut Ui) -> R) -> R {
    let theme = Theme::of(ui);
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = size::TINY_GAP;
        let response = label(ui, name);
        if !help.is_empty() {
            response.on_hover_text(help);
        }
        let inner = add(ui);
        if let Some(error) = error {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                ui.label(icons::text(ph::WARNING_CIRCLE, 13.0).color(theme.bad));
                ui.label(RichText::new(sentence(error)).size(12.0).color(theme.bad));
            });
        }
        inner
    })
    .inner
}

/// One line of text under a label.
pub fn text_field(ui: &mut Ui, name: &str, value: &mut String, hint: &str) -> Response {
    field(ui, name, "", None, |ui| line_edit(ui, name, value, hint, false))
}

/// One line of text; `name` is what assistive technology calls it.
pub fn line_edit(ui: &mut Ui, name: &str, value: &mut String, hint: &str, secret: bool) -> Response {
    let theme = Theme::of(ui);
    let edit = TextEdit::singleline(value)
        .hint_text(RichText::new(hint).color(theme.faint))
        .password(secret)
        .margin(egui::Margin::symmetric(10, 7))
        .desired_width(ui.available_width().min(size::FORM));
    let response = ui.add(edit);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(WidgetType::TextEdit, true, name);
        if !secret {
            info.current_text_value = Some(value.clone());
        }
        info
    });
    response
}

/// A search field; Escape empties it.
pub fn search_field(ui: &mut Ui, name: &str, value: &mut String, width: f32) -> Response {
    let theme = Theme::of(ui);
    let edit = TextEdit::singleline(value)
        .hint_text(RichText::new(name).color(theme.faint))
        .margin(egui::Margin { left: 32, right: 10, top: 7, bottom: 7 })
        .desired_width(width);
    let response = ui.add(edit);
    let at = egui::pos2(response.rect.left() + 18.0, response.rect.center().y);
    icons::paint(ui, at, ph::MAGNIFYING_GLASS, 15.0, theme.muted);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::TextEdit, true, name));
    if response.has_focus() && ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        value.clear();
    }
    response
}

/// A number as people type it: without zeros that say nothing.
fn typed(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-6 {
        return format!("{value:e}");
    }
    let text = format!("{value:.8}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A slider with its value beside it; `step` is what a key changes.
pub fn slider(
    ui: &mut Ui,
    name: &str,
    value: &mut f64,
    range: std::ops::RangeInclusive<f64>,
    step: f64,
    unit: &str,
) -> Response {
    let theme = Theme::of(ui);
    ui.scope(|ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - 84.0).max(60.0);
        ui.spacing_mut().slider_rail_height = 4.0;
        // The handle is four fifths of this wide.
        ui.spacing_mut().interact_size.y = 20.0;
        let visuals = ui.visuals_mut();
        visuals.selection.bg_fill = theme.accent;
        visuals.widgets.inactive.bg_fill = if theme.dark { theme.sunken } else { theme.line };
        for state in [&mut visuals.widgets.inactive, &mut visuals.widgets.hovered, &mut visuals.widgets.active] {
            state.fg_stroke = egui::Stroke::new(2.0, theme.accent);
        }
        let slider = egui::Slider::new(value, range)
            .step_by(step)
            .suffix(unit)
            .trailing_fill(true)
            .handle_shape(egui::style::HandleShape::Circle)
            .custom_formatter(|value, _| typed(value));
        let response = ui.add(slider);
        let now = *value;
        response.widget_info(|| WidgetInfo::slider(true, now, name));
        response
    })
    .inner
}

/// A number with its unit; dragging and typing change it within its limits.
pub fn number_field(
    ui: &mut Ui,
    name: &str,
    value: &mut f64,
    range: std::ops::RangeInclusive<f64>,
    unit: &str,
) -> Response {
    let whole = range.start().fract() == 0.0 && range.end().fract() == 0.0 && range.end() - range.start() >= 2.0;
    let speed = if whole { 0.2 } else { (value.abs() * 0.01).max(1e-6) };
    let mut drag = egui::DragValue::new(value)
        .range(range)
        .clamp_existing_to_range(false)
        .speed(speed)
        .max_decimals(8)
        .custom_formatter(|value, _| typed(value));
    if !unit.is_empty() {
        drag = drag.suffix(format!(" {unit}"));
    }
    let response = ui.add_sized([110.0, size::CONTROL - 2.0], drag);
    response.widget_info(|| WidgetInfo::labeled(WidgetType::DragValue, true, name));
    response
}

/// A key figure's title in the inspector.
pub fn inspector_title(ui: &mut Ui, title: &str, fact: &str) {
    let theme = Theme::of(ui);
    ui.label(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text));
    if !fact.is_empty() {
        ui.label(RichText::new(fact).color(theme.muted));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_written_as_people_type_them() {
        for (value, expect) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.001, "0.001"),
            (0.1 + 0.2, "0.3"),
            (65_535.0, "65535"),
            (1e-9, "1e-9"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(super::typed(value), expect);
        }
    }
}

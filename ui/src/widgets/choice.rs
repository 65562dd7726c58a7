//! Choosing one of a few: a list that opens, segments side by side, a switch.

use egui::{CursorIcon, Pos2, Rect, Response, Sense, StrokeKind, Ui, Vec2, WidgetInfo, WidgetType};

use crate::theme::{self, Theme, font_size, mix, radius, size};

/// A list that opens. `options` are pairs of value and what people read. True when another one was chosen.
pub fn choice<T: PartialEq + Clone>(ui: &mut Ui, id: &str, name: &str, value: &mut T, options: &[(T, String)]) -> bool {
    let shown = options.iter().find(|(option, _)| option == value).map_or("", |(_, text)| text.as_str());
    let mut changed = false;
    let response = egui::ComboBox::from_id_salt(id)
        .selected_text(shown)
        .width(ui.available_width().clamp(80.0, 240.0))
        .truncate()
        .show_ui(ui, |ui| {
            for (option, text) in options {
                if ui.selectable_label(option == value, text).clicked() && option != value {
                    *value = option.clone();
                    changed = true;
                }
            }
        })
        .response;
    response.widget_info(|| WidgetInfo::labeled(WidgetType::ComboBox, true, name));
    changed
}

/// Segments side by side. True when another one was chosen.
pub fn segments<T: PartialEq + Clone>(ui: &mut Ui, value: &mut T, options: &[(T, &str)]) -> bool {
    let theme = Theme::of(ui);
    let font = theme::medium(font_size::BODY);
    let galleys: Vec<_> = options
        .iter()
        .map(|(_, text)| ui.painter().layout_no_wrap((*text).to_owned(), font.clone(), theme.text))
        .collect();
    let width: f32 = galleys.iter().map(|galley| galley.size().x + 24.0).sum::<f32>() + 4.0;
    let (rect, _) = ui.allocate_exact_size(Vec2::new(width, size::CONTROL), Sense::hover());
    ui.painter().rect(rect, radius::CONTROL, theme.sunken, theme.border(), StrokeKind::Inside);
    let mut left = rect.left() + 2.0;
    let mut changed = false;
    for ((option, text), galley) in options.iter().zip(galleys) {
        let width = galley.size().x + 24.0;
        let part = Rect::from_min_size(Pos2::new(left, rect.top() + 2.0), Vec2::new(width, rect.height() - 4.0));
        left += width;
        let response =
            ui.interact(part, ui.id().with(("segment", *text, rect.left() as i32, rect.top() as i32)), Sense::click());
        let on = option == value;
        response.widget_info(|| WidgetInfo::selected(WidgetType::RadioButton, true, on, *text));
        if on {
            ui.painter().rect(part, radius::CONTROL - 1, theme.raised, theme.border(), StrokeKind::Inside);
        } else if response.hovered() {
            ui.painter().rect_filled(part, radius::CONTROL - 1, mix(theme.sunken, theme.text, 0.05));
        }
        let ink = if on { theme.text } else { theme.muted };
        ui.painter().galley_with_override_text_color(part.center() - galley.size() / 2.0, galley, ink);
        super::focus_ring(ui, &response, part);
        if response.on_hover_cursor(CursorIcon::PointingHand).clicked() && !on {
            *value = option.clone();
            changed = true;
        }
    }
    changed
}

/// A switch with its text at the right.
pub fn switch(ui: &mut Ui, on: &mut bool, text: &str) -> Response {
    let theme = Theme::of(ui);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::regular(font_size::BODY), theme.text);
    let wanted = Vec2::new(34.0 + 8.0 + galley.size().x, 24.0);
    let (rect, mut response) = ui.allocate_exact_size(wanted, Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::selected(WidgetType::Checkbox, true, *on, text));
    let track = Rect::from_center_size(Pos2::new(rect.left() + 17.0, rect.center().y), Vec2::new(32.0, 18.0));
    let t = ui.ctx().animate_bool_responsive(response.id, *on);
    ui.painter().rect(track, 9, mix(theme.sunken, theme.accent, t), theme.border(), StrokeKind::Inside);
    let knob = Pos2::new(egui::lerp(track.left() + 9.0..=track.right() - 9.0, t), track.center().y);
    ui.painter().circle_filled(knob, 6.0, if *on { theme.on_accent } else { theme.muted });
    let at = Pos2::new(track.right() + 9.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.text);
    super::focus_ring(ui, &response, track);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// A box that is ticked or not, without text beside it; `name` is its tooltip.
pub fn check(ui: &mut Ui, on: bool, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(size::ICON + 2.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::Checkbox, true, on, name));
    draw_check(ui, rect, on, response.hovered());
    super::focus_ring(ui, &response, rect);
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(name)
}

/// A box that is ticked or not, with its text at the right. True when it changed.
pub fn check_text(ui: &mut Ui, on: &mut bool, text: &str) -> Response {
    let theme = Theme::of(ui);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::regular(font_size::BODY), theme.text);
    let wanted = Vec2::new(size::ICON + 10.0 + galley.size().x, 24.0);
    let (rect, mut response) = ui.allocate_exact_size(wanted, Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::selected(WidgetType::Checkbox, true, *on, text));
    let place = Rect::from_center_size(Pos2::new(rect.left() + 9.0, rect.center().y), Vec2::splat(size::ICON + 2.0));
    draw_check(ui, place, *on, response.hovered());
    ui.painter().galley(Pos2::new(place.right() + 8.0, rect.center().y - galley.size().y / 2.0), galley, theme.text);
    super::focus_ring(ui, &response, place);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

fn draw_check(ui: &Ui, rect: Rect, on: bool, hovered: bool) {
    let theme = Theme::of(ui);
    let place = rect.shrink(1.0);
    if on {
        ui.painter().rect_filled(place, radius::CONTROL - 2, theme.accent);
        crate::icons::paint(ui, place.center(), crate::icons::ph::CHECK, 12.0, theme.on_accent);
    } else {
        let line = mix(theme.line, theme.text, if hovered { 0.45 } else { 0.18 });
        ui.painter().rect(place, radius::CONTROL - 2, theme.sunken, egui::Stroke::new(1.0, line), StrokeKind::Inside);
    }
}

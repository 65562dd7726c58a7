//! Menus: what can be done with a thing, behind one button.

use egui::{CursorIcon, Popup, Pos2, Response, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use crate::{
    icons,
    theme::{self, Theme, font_size, mix, radius, size},
};

/// A menu that opens under a button and closes with a click.
pub fn menu(button: &Response, width: f32, add: impl FnOnce(&mut Ui)) {
    Popup::menu(button).show(|ui| {
        ui.set_width(width);
        ui.spacing_mut().item_spacing.y = 1.0;
        add(ui);
    });
}

/// A line of a menu.
pub fn menu_item(ui: &mut Ui, icon: &str, text: &str) -> Response {
    let theme = Theme::of(ui);
    let enabled = ui.is_enabled();
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::regular(font_size::BODY), theme.text);
    let width = (galley.size().x + 46.0).max(ui.available_width());
    let (rect, response) = ui.allocate_exact_size(Vec2::new(width, size::ROW), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, enabled, text));
    if (response.hovered() || response.has_focus()) && enabled {
        ui.painter().rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.07));
    }
    icons::paint(ui, Pos2::new(rect.left() + 18.0, rect.center().y), icon, size::ICON, theme.muted);
    let at = Pos2::new(rect.left() + 34.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.text);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

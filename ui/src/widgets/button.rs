//! Buttons: one primary on a screen, secondary, quiet, danger; links; icon buttons.

use egui::{CursorIcon, FontId, Pos2, Rect, Response, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, WidgetType};

use crate::theme::{self, Theme, font_size, mix, radius, size};

/// How loud a button is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The one thing to do here.
    Primary,
    /// Other things.
    Secondary,
    /// Things at the edge: without a border.
    Quiet,
    /// What cannot be undone.
    Danger,
}

/// A button with text, perhaps with an icon in front.
pub fn button(ui: &mut Ui, kind: Kind, icon: Option<&str>, text: &str) -> Response {
    sized_button(ui, kind, icon, text, size::CONTROL, 12.0)
}

/// A button that fits into a row of a table.
pub fn small_button(ui: &mut Ui, kind: Kind, text: &str) -> Response {
    sized_button(ui, kind, None, text, 26.0, 9.0)
}

fn sized_button(ui: &mut Ui, kind: Kind, icon: Option<&str>, text: &str, height: f32, padding: f32) -> Response {
    let theme = Theme::of(ui);
    let enabled = ui.is_enabled();
    let font = theme::medium(font_size::BODY);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, theme.text);
    let icon_space = if icon.is_some() { size::ICON + 6.0 } else { 0.0 };
    let wanted = Vec2::new(galley.size().x + icon_space + 2.0 * padding, height);
    let (rect, response) = ui.allocate_exact_size(wanted, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, enabled, text));
    if ui.is_rect_visible(rect) {
        let held = response.is_pointer_button_down_on();
        let over = response.hovered() && enabled;
        let (fill, line, ink) = match kind {
            Kind::Primary => (theme.accent, theme.accent, theme.on_accent),
            Kind::Secondary => (theme.raised, theme.line, theme.text),
            Kind::Quiet => (egui::Color32::TRANSPARENT, egui::Color32::TRANSPARENT, theme.text),
            Kind::Danger => (theme.raised, theme.bad, theme.bad),
        };
        let fill = match (kind, held, over) {
            (Kind::Quiet, _, true) => mix(theme.panel, theme.text, 0.07),
            (Kind::Quiet, ..) => fill,
            (_, true, _) => mix(fill, theme.text, 0.16),
            (_, _, true) => mix(fill, theme.text, 0.07),
            _ => fill,
        };
        // What is off is quiet; everything in a place that is off is faded by egui besides.
        let (fill, line, ink) = match (enabled, kind) {
            (true, _) => (fill, line, ink),
            (false, Kind::Quiet) => (fill, line, theme.muted),
            (false, _) => (theme.raised, theme.line, theme.muted),
        };
        let painter = ui.painter();
        painter.rect(rect, radius::CONTROL, fill, Stroke::new(1.0, line), StrokeKind::Inside);
        let mut x = rect.center().x - (galley.size().x + icon_space) / 2.0;
        if let Some(icon) = icon {
            let center = Pos2::new(x + size::ICON / 2.0, rect.center().y);
            let font = FontId::new(size::ICON, theme::icon_family());
            painter.text(center, egui::Align2::CENTER_CENTER, icon, font, ink);
            x += icon_space;
        }
        painter.galley_with_override_text_color(Pos2::new(x, rect.center().y - galley.size().y / 2.0), galley, ink);
        focus_ring(ui, &response, rect);
    }
    if enabled { response.on_hover_cursor(CursorIcon::PointingHand) } else { response }
}

/// The one primary action.
pub fn primary(ui: &mut Ui, icon: &str, text: &str) -> Response {
    button(ui, Kind::Primary, Some(icon), text)
}

/// A secondary action.
pub fn secondary(ui: &mut Ui, icon: &str, text: &str) -> Response {
    button(ui, Kind::Secondary, Some(icon), text)
}

/// A quiet action.
pub fn quiet(ui: &mut Ui, icon: &str, text: &str) -> Response {
    button(ui, Kind::Quiet, Some(icon), text)
}

/// A button that is an icon; the text is its tooltip and its name.
pub fn icon_button(ui: &mut Ui, icon: &str, text: &str) -> Response {
    toggle_icon(ui, icon, text, false)
}

/// An icon button that can be on.
pub fn toggle_icon(ui: &mut Ui, icon: &str, text: &str, on: bool) -> Response {
    let theme = Theme::of(ui);
    let enabled = ui.is_enabled();
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(28.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::Button, enabled, on, text));
    if ui.is_rect_visible(rect) {
        let ground = if on {
            Some(theme.soft)
        } else if response.hovered() && enabled {
            Some(mix(theme.panel, theme.text, 0.08))
        } else {
            None
        };
        if let Some(ground) = ground {
            ui.painter().rect_filled(rect, radius::CONTROL, ground);
        }
        let ink = if on { theme.accent } else { theme.muted };
        crate::icons::paint(ui, rect.center(), icon, size::ICON, ink);
        focus_ring(ui, &response, rect);
    }
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(text)
}

/// An icon button that stands beside a tag.
pub fn small_icon(ui: &mut Ui, icon: &str, text: &str) -> Response {
    let theme = Theme::of(ui);
    let enabled = ui.is_enabled();
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, enabled, text));
    if response.hovered() && enabled {
        ui.painter().rect_filled(rect, radius::CONTROL, mix(theme.panel, theme.text, 0.08));
    }
    crate::icons::paint(ui, rect.center(), icon, 12.0, theme.muted);
    focus_ring(ui, &response, rect);
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(text)
}

/// Text that does something when it is clicked.
pub fn link(ui: &mut Ui, text: &str) -> Response {
    let theme = Theme::of(ui);
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::medium(font_size::BODY), theme.accent);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x, 22.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Link, true, text));
    let at = Pos2::new(rect.left(), rect.center().y - galley.size().y / 2.0);
    if response.hovered() {
        let y = rect.center().y + galley.size().y / 2.0;
        ui.painter().hline(rect.x_range(), y, Stroke::new(1.0, theme.accent));
    }
    ui.painter().galley(at, galley, theme.accent);
    focus_ring(ui, &response, rect);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// The ring around what has the keyboard; only there after the keyboard was used to come there.
pub fn focus_ring(ui: &Ui, response: &Response, rect: Rect) {
    if response.has_focus() {
        let theme = Theme::of(ui);
        ui.painter().rect_stroke(rect.expand(2.0), radius::CONTROL + 2, theme.focus(), StrokeKind::Inside);
    }
}

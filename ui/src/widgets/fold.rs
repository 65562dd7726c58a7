//! Things that fold away, and notes in place.

use egui::{CursorIcon, Frame, Margin, Pos2, RichText, Sense, Ui, Vec2, WidgetInfo, WidgetType};

use super::sentence;
use crate::{
    icons::{self, ph},
    theme::{self, Theme, font_size, radius, size},
    toasts::Tone,
};

/// A heading that shows and hides what is under it. Whether it is open is kept under `id`.
pub fn fold<R>(ui: &mut Ui, id: &str, title: &str, open_at_first: bool, add: impl FnOnce(&mut Ui) -> R) -> Option<R> {
    let theme = Theme::of(ui);
    let key = ui.id().with(("fold", id));
    let mut open = ui.data(|data| data.get_temp::<bool>(key)).unwrap_or(open_at_first);
    let galley = ui.painter().layout_no_wrap(title.to_owned(), theme::medium(font_size::BODY), theme.text);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x + 24.0, 26.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(WidgetType::CollapsingHeader, true, open, title));
    let icon = if open { ph::CARET_DOWN } else { ph::CARET_RIGHT };
    icons::paint(ui, Pos2::new(rect.left() + 8.0, rect.center().y), icon, 13.0, theme.muted);
    let ink = if response.hovered() { theme.text } else { theme.muted };
    let at = Pos2::new(rect.left() + 20.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley_with_override_text_color(at, galley, ink);
    super::focus_ring(ui, &response, rect);
    if response.on_hover_cursor(CursorIcon::PointingHand).clicked() {
        open = !open;
        ui.data_mut(|data| data.insert_temp(key, open));
    }
    open.then(|| add(ui))
}

/// A note in place: an icon and a sentence on a quiet ground of its colour; the text can be selected.
pub fn note(ui: &mut Ui, tone: Tone, text: &str) {
    let theme = Theme::of(ui);
    let color = tone.color(theme);
    Frame::new().fill(theme.tint(color)).corner_radius(radius::NODE).inner_margin(Margin::symmetric(12, 9)).show(
        ui,
        |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                ui.label(icons::text(tone.icon(), size::ICON).color(color));
                let text = RichText::new(sentence(text)).color(theme.text);
                ui.add(egui::Label::new(text).wrap().selectable(true));
            });
        },
    );
}

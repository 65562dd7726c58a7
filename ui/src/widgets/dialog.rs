//! Dialogs: a title, a form, buttons at the end. Only one is open at a time.

use egui::{Id, Key, Modal, RichText, Ui};

use crate::theme::{self, Theme, font_size, size};

/// What a user did with a dialog in this frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogAsk {
    /// Goes on with it.
    Nothing,
    /// Wants it away: Escape, or a click beside it.
    Close,
}

/// A dialog over everything else. It is as high as its content, and scrolls where the window is lower.
pub fn dialog<R>(ui: &Ui, id: &str, title: &str, width: f32, add: impl FnOnce(&mut Ui) -> R) -> (R, DialogAsk) {
    let theme = Theme::of(ui);
    let room = ui.ctx().content_rect().size();
    let frame = modal_frame(ui);
    let modal = Modal::new(Id::new(("dialog", id))).frame(frame).show(ui.ctx(), |ui| {
        ui.set_width(width.min(room.x - 4.0 * size::PAGE));
        ui.label(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text));
        ui.add_space(size::TINY_GAP);
        let height = (room.y - 160.0).max(160.0);
        egui::ScrollArea::vertical()
            .id_salt(("dialog-body", id))
            .max_height(height)
            // What comes into the dialog later makes it higher.
            .min_scrolled_height(height)
            .show(ui, |ui| {
                // Room for the rings of what has the keyboard.
                let ring = egui::Margin { left: 0, right: 0, top: 2, bottom: 2 };
                egui::Frame::new().inner_margin(ring).show(ui, add).inner
            })
            .inner
    });
    let ask = if modal.should_close() { DialogAsk::Close } else { DialogAsk::Nothing };
    (modal.inner, ask)
}

/// Gives a dialog's first field the keyboard while nothing else has it.
pub fn focus_first(field: &egui::Response) {
    if field.ctx.memory(|memory| memory.focused().is_none()) {
        field.request_focus();
    }
}

/// The ground of everything that stands over the page.
pub fn modal_frame(ui: &Ui) -> egui::Frame {
    egui::Frame::popup(ui.style()).inner_margin(20)
}

/// Whether Enter was pressed while a dialog with one main action is open and no other widget wants it.
pub fn enter_pressed(ui: &Ui) -> bool {
    ui.input(|input| input.key_pressed(Key::Enter) && !input.modifiers.any())
}

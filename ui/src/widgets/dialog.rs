//! Dialogs: a title, a form, buttons at the end that stay in view. Only one is open at a time.

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

/// The parts of an open dialog: a body that scrolls where the window is low, and a footer that is always in view.
pub struct Parts<'a> {
    ui: &'a mut Ui,
    id: Id,
    /// Whether the body is higher than there is room for it.
    scrolls: bool,
}

impl Parts<'_> {
    /// What the dialog is about. It is as high as its content, and scrolls where the window is lower.
    pub fn body<R>(&mut self, add: impl FnOnce(&mut Ui) -> R) -> R {
        let room = self.ui.ctx().content_rect().height();
        let footer: f32 = self.ui.data(|data| data.get_temp(self.id)).unwrap_or(0.0);
        let height = (room - 160.0 - footer).max(120.0);
        let shown = egui::ScrollArea::vertical()
            .id_salt(("dialog-body", self.id))
            .max_height(height)
            // What comes into the dialog later makes it higher.
            .min_scrolled_height(height)
            .show(self.ui, |ui| {
                // Room for the rings of what has the keyboard.
                let ring = egui::Margin { left: 0, right: 0, top: 2, bottom: 2 };
                egui::Frame::new().inner_margin(ring).show(ui, add).inner
            });
        self.scrolls = shown.content_size.y > shown.inner_rect.height() + 0.5;
        shown.inner
    }

    /// The buttons, after the body: they stay in view however low the window is.
    pub fn footer<R>(&mut self, add: impl FnOnce(&mut Ui) -> R) -> R {
        let before = self.ui.min_rect().bottom();
        if self.scrolls {
            super::rule(self.ui);
        }
        self.ui.add_space(if self.scrolls { size::TINY_GAP } else { size::SMALL_GAP });
        let inner = self.ui.scope(add).inner;
        let height = self.ui.min_rect().bottom() - before;
        let known: Option<f32> = self.ui.data(|data| data.get_temp(self.id));
        if known.is_none_or(|known| (known - height).abs() > 0.5) {
            self.ui.data_mut(|data| data.insert_temp(self.id, height));
            // The body was given room without knowing of this.
            self.ui.ctx().request_repaint();
        }
        inner
    }
}

/// A dialog over everything else, of a body and perhaps a footer with its buttons.
pub fn dialog_parts<R>(
    ui: &Ui,
    id: &str,
    title: &str,
    width: f32,
    add: impl FnOnce(&mut Parts<'_>) -> R,
) -> (R, DialogAsk) {
    let theme = Theme::of(ui);
    let room = ui.ctx().content_rect().size();
    let frame = modal_frame(ui);
    let id = Id::new(("dialog", id));
    let modal = Modal::new(id).frame(frame).show(ui.ctx(), |ui| {
        ui.set_width(width.min(room.x - 4.0 * size::PAGE));
        ui.label(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text));
        ui.add_space(size::TINY_GAP);
        add(&mut Parts { ui, id, scrolls: false })
    });
    let ask = if modal.should_close() { DialogAsk::Close } else { DialogAsk::Nothing };
    (modal.inner, ask)
}

/// A dialog that is one body.
pub fn dialog<R>(ui: &Ui, id: &str, title: &str, width: f32, add: impl FnOnce(&mut Ui) -> R) -> (R, DialogAsk) {
    dialog_parts(ui, id, title, width, |parts| parts.body(add))
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

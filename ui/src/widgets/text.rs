//! Text: sentences from messages, code that can be copied.

use egui::{RichText, Ui};

use super::{Kind, button};
use crate::{
    icons::ph,
    theme::{Theme, radius},
};

/// A message as a sentence: first letter large, a stop at the end.
pub fn sentence(message: &str) -> String {
    let mut chars = message.trim().chars();
    let Some(first) = chars.next() else { return String::new() };
    let mut out: String = first.to_uppercase().chain(chars).collect();
    if !out.ends_with(['.', '!', '?', ':', '…']) {
        out.push('.');
    }
    out
}

/// Code with a button that copies it.
pub fn code_block(ui: &mut Ui, code: &str) {
    let theme = Theme::of(ui);
    egui::Frame::new().fill(theme.sunken).stroke(theme.border()).corner_radius(radius::NODE).inner_margin(12).show(
        ui,
        |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let width = (ui.available_width() - 84.0).max(80.0);
                ui.allocate_ui(egui::vec2(width, 0.0), |ui| {
                    egui::ScrollArea::horizontal().id_salt(code).show(ui, |ui| {
                        let text = RichText::new(code).monospace().color(theme.text);
                        ui.add(egui::Label::new(text).extend().selectable(true));
                    });
                });
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
                    if button(ui, Kind::Quiet, Some(ph::COPY), "Copy").clicked() {
                        ui.ctx().copy_text(code.to_owned());
                    }
                });
            });
        },
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_become_sentences() {
        for (message, expect) in [("", ""), ("no such file", "No such file."), ("done.", "Done."), ("élan", "Élan.")] {
            assert_eq!(super::sentence(message), expect);
        }
    }
}

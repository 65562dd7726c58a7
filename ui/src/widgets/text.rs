//! Text: sentences from messages, code that can be copied.

use egui::{RichText, Ui};

use super::icon_button;
use crate::{
    icons::ph,
    theme::{Theme, radius},
};

/// Code that is higher than this scrolls.
const CODE_HEIGHT: f32 = 320.0;

/// A message as a sentence: first letter large, a stop at the end. A name (of a file, a column, a node) that begins it
/// stays as it is written.
pub fn sentence(message: &str) -> String {
    let message = message.trim();
    let mut chars = message.chars();
    let Some(first) = chars.next() else { return String::new() };
    let word = message.split_whitespace().next().unwrap_or_default();
    let is_name = word.contains(['_', '/', '\\']) || word.trim_end_matches('.').contains('.');
    let mut out: String = if is_name { message.to_owned() } else { first.to_uppercase().chain(chars).collect() };
    if !out.ends_with(['.', '!', '?', ':', '…']) {
        out.push('.');
    }
    out
}

/// Code with a button that copies it; true when it was copied.
pub fn code_block(ui: &mut Ui, code: &str) -> bool {
    let theme = Theme::of(ui);
    let mut copied = false;
    egui::Frame::new()
        .fill(theme.sunken)
        .stroke(theme.border())
        .corner_radius(radius::NODE)
        .inner_margin(egui::Margin { left: 12, right: 4, top: 10, bottom: 10 })
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let width = (ui.available_width() - 34.0).max(80.0);
                ui.allocate_ui(egui::vec2(width, 0.0), |ui| {
                    ui.set_width(width);
                    let area = egui::ScrollArea::both()
                        .id_salt("code")
                        .max_height(CODE_HEIGHT)
                        .min_scrolled_height(CODE_HEIGHT)
                        .auto_shrink([false, true]);
                    area.show(ui, |ui| {
                        let text = RichText::new(code).monospace().color(theme.text);
                        ui.add(egui::Label::new(text).extend().selectable(true));
                    });
                });
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
                    if icon_button(ui, ph::COPY, "Copy").clicked() {
                        ui.ctx().copy_text(code.to_owned());
                        copied = true;
                    }
                });
            });
        });
    copied
}

/// A line to be copied: an address, a key, a digest. True when it was copied.
pub fn copy_line(ui: &mut Ui, name: &str, text: &str) -> bool {
    let theme = Theme::of(ui);
    let mut copied = false;
    egui::Frame::new()
        .fill(theme.sunken)
        .stroke(theme.border())
        .corner_radius(radius::CONTROL)
        .inner_margin(egui::Margin { left: 10, right: 2, top: 1, bottom: 1 })
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.set_min_height(28.0);
                let width = (ui.available_width() - 36.0).max(40.0);
                let shown = RichText::new(text).monospace().color(theme.text);
                let label = egui::Label::new(shown).truncate().selectable(true);
                ui.allocate_ui_with_layout(
                    egui::vec2(width, 28.0),
                    egui::Layout::left_to_right(egui::Align::Center),
                    |ui| ui.add(label),
                );
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if icon_button(ui, ph::COPY, &format!("Copy {name}")).clicked() {
                        ui.ctx().copy_text(text.to_owned());
                        copied = true;
                    }
                });
            });
        });
    copied
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_become_sentences() {
        for (message, expect) in [
            ("", ""),
            ("no such file", "No such file."),
            ("done.", "Done."),
            ("élan", "Élan."),
            ("é", "É."),
            ("notes.txt: this is no table", "notes.txt: this is no table."),
            ("mean_radius has no values", "mean_radius has no values."),
        ] {
            assert_eq!(super::sentence(message), expect);
        }
    }
}

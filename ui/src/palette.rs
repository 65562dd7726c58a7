//! The command palette: everything that can be done, found by typing.

use egui::{Align2, Id, Key, Modal, Sense, Ui, Vec2};

use crate::{
    icons::{self, ph},
    pages::Command,
    theme::{self, Theme, font_size, radius, size},
    widgets,
};

/// The palette's state.
#[derive(Debug, Default)]
pub struct Palette {
    open: bool,
    typed: String,
    at: usize,
    fresh: bool,
}

impl Palette {
    /// Whether it is on the screen.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Opens or closes it.
    pub fn toggle(&mut self) {
        self.open = !self.open;
        self.fresh = true;
        self.typed.clear();
        self.at = 0;
    }

    /// Draws it; gives back the id of the command that was chosen.
    pub fn ui(&mut self, ui: &Ui, commands: &[Command]) -> Option<String> {
        let mut ranked: Vec<(i32, &Command)> =
            commands.iter().filter_map(|command| Some((score(&command.title, &self.typed)?, command))).collect();
        // Stable: equal matches stay in the order in which they were offered.
        ranked.sort_by_key(|(score, _)| -score);
        let mut chosen = None;
        let modal = Modal::new(Id::new("palette")).show(ui.ctx(), |ui| {
            let theme = Theme::of(ui);
            ui.set_width(520.0f32.min(ui.ctx().content_rect().width() - 48.0));
            let width = ui.available_width();
            let response = widgets::search_field(ui, "Type a command", &mut self.typed, width);
            if std::mem::take(&mut self.fresh) {
                response.request_focus();
            }
            if response.changed() {
                self.at = 0;
            }
            let n = ranked.len();
            ui.input_mut(|input| {
                if input.consume_key(egui::Modifiers::NONE, Key::ArrowDown) && n > 0 {
                    self.at = (self.at + 1).min(n - 1);
                }
                if input.consume_key(egui::Modifiers::NONE, Key::ArrowUp) {
                    self.at = self.at.saturating_sub(1);
                }
            });
            if ui.input(|input| input.key_pressed(Key::Enter)) {
                chosen = ranked.get(self.at).map(|(_, command)| command.id.clone());
            }
            ui.add_space(size::TINY_GAP);
            if ranked.is_empty() {
                widgets::muted(ui, "No command has this in its name.");
            }
            egui::ScrollArea::vertical().max_height(360.0).auto_shrink([false, true]).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 1.0;
                for (at, (_, command)) in ranked.iter().enumerate() {
                    let (rect, response) =
                        ui.allocate_exact_size(Vec2::new(ui.available_width(), size::ROW), Sense::click());
                    response.widget_info(|| {
                        egui::WidgetInfo::selected(egui::WidgetType::Button, true, at == self.at, &command.title)
                    });
                    if at == self.at {
                        ui.painter().rect_filled(rect, radius::CONTROL, theme.soft);
                        response.scroll_to_me(None);
                    } else if response.hovered() {
                        ui.painter().rect_filled(rect, radius::CONTROL, theme.sunken);
                    }
                    let y = rect.center().y;
                    icons::paint(ui, egui::pos2(rect.left() + 18.0, y), command.icon, 16.0, theme.muted);
                    let text = egui::pos2(rect.left() + 38.0, y);
                    let font = theme::regular(font_size::BODY);
                    ui.painter().text(text, Align2::LEFT_CENTER, &command.title, font, theme.text);
                    let keys = egui::pos2(rect.right() - 10.0, y);
                    ui.painter().text(
                        keys,
                        Align2::RIGHT_CENTER,
                        command.keys,
                        theme::mono(font_size::LABEL),
                        theme.muted,
                    );
                    if response.clicked() {
                        chosen = Some(command.id.clone());
                    }
                }
            });
            ui.add_space(size::TINY_GAP);
            ui.horizontal(|ui| {
                ui.label(icons::text(ph::ARROWS_DOWN_UP, 12.0).color(theme.muted));
                widgets::label(ui, "choose");
                ui.label(icons::text(ph::ARROW_ELBOW_DOWN_LEFT, 12.0).color(theme.muted));
                widgets::label(ui, "run");
                widgets::label(ui, "Esc  close");
            });
        });
        if chosen.is_some() || modal.should_close() {
            self.open = false;
        }
        chosen
    }
}

/// How well a title fits what was typed: every word of it must occur; `None` where one does not. Beginnings of words
/// count more than their middles.
pub fn score(title: &str, typed: &str) -> Option<i32> {
    let title = title.to_lowercase();
    let mut sum = 0;
    for word in typed.to_lowercase().split_whitespace() {
        let at = title.find(word)?;
        let begins = title.split_whitespace().any(|part| part.starts_with(word));
        sum += if at == 0 {
            4
        } else if begins {
            3
        } else {
            1
        };
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn beginnings_of_words_win() {
        assert_eq!(score("Go to Runs", "xyz"), None);
        assert!(score("Run the workflow", "run") > score("Go to Runs", "run"));
        assert!(score("Go to Runs", "run") > score("Prune the cache", "run"));
        assert_eq!(score("anything", ""), Some(0));
        assert!(score("Go to Runs", "to ru").is_some());
    }
}

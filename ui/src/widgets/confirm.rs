//! Asking before something that cannot be undone: the user types the thing's name.

use egui::{Id, Modal, RichText, Ui};

use super::{Kind, button, muted, text_field};
use crate::theme::{self, Theme, font_size, size};

/// An open question.
#[derive(Debug, Clone)]
pub struct Confirm<T> {
    open: Option<(T, String)>,
    typed: String,
}

impl<T> Default for Confirm<T> {
    fn default() -> Self {
        Self { open: None, typed: String::new() }
    }
}

impl<T: Clone> Confirm<T> {
    /// Nothing is asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks about a thing; `name` must be typed, an empty one asks for no more than a click.
    pub fn ask(&mut self, thing: T, name: &str) {
        self.open = Some((thing, name.to_owned()));
        self.typed.clear();
    }

    /// Whether something is asked.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What is asked about.
    pub fn thing(&self) -> Option<&T> {
        self.open.as_ref().map(|(thing, _)| thing)
    }

    /// Draws the question; gives the thing back when the answer was yes.
    pub fn ui(&mut self, ui: &Ui, title: &str, text: &str, verb: &str) -> Option<T> {
        let (thing, name) = self.open.clone()?;
        let theme = Theme::of(ui);
        let mut answer = None;
        let modal =
            Modal::new(Id::new(("confirm", title))).frame(super::dialog::modal_frame(ui)).show(ui.ctx(), |ui| {
                ui.set_width(400.0);
                ui.label(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text));
                ui.add_space(size::TINY_GAP);
                muted(ui, text);
                if !name.is_empty() {
                    ui.add_space(size::SMALL_GAP);
                    text_field(ui, &format!("Type {name} to go on"), &mut self.typed, "");
                }
                ui.add_space(size::GAP);
                ui.horizontal(|ui| {
                    let may = name.is_empty() || self.typed == name;
                    ui.add_enabled_ui(may, |ui| {
                        if button(ui, Kind::Danger, None, verb).clicked() {
                            answer = Some(true);
                        }
                    });
                    if button(ui, Kind::Secondary, None, "Keep").clicked() {
                        answer = Some(false);
                    }
                });
            });
        if modal.should_close() {
            answer = answer.or(Some(false));
        }
        match answer {
            Some(yes) => {
                self.open = None;
                yes.then_some(thing)
            }
            None => None,
        }
    }
}

//! What is shown where nothing is yet, and where something failed: both say what to do next.

use athanor_protocol::Failure;
use egui::{RichText, Ui};

use super::{Kind, button, sentence};
use crate::{
    icons::{self, ph},
    theme::{self, Theme, font_size, size},
};

/// An empty state: an icon, a title, one sentence, one action. True when the action was taken.
pub fn empty_state(ui: &mut Ui, icon: &str, title: &str, text: &str, action: Option<(&str, &str)>) -> bool {
    let theme = Theme::of(ui);
    let mut clicked = false;
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.22).clamp(16.0, 160.0));
        ui.label(icons::text(icon, 40.0).color(theme.faint));
        ui.add_space(size::SMALL_GAP);
        ui.label(RichText::new(title).font(theme::semibold(font_size::TITLE)).color(theme.text));
        ui.scope(|ui| {
            ui.set_max_width(440.0);
            ui.label(RichText::new(text).color(theme.muted));
        });
        if let Some((icon, verb)) = action {
            ui.add_space(size::SMALL_GAP);
            clicked = button(ui, Kind::Primary, Some(icon), verb).clicked();
        }
    });
    clicked
}

/// A failure in place: what happened, what to do, details that fold out and can be copied. True for "Try again".
pub fn failure(ui: &mut Ui, failure: &Failure) -> bool {
    let theme = Theme::of(ui);
    let mut again = false;
    egui::Frame::new()
        .fill(theme.tint(theme.bad))
        .stroke(egui::Stroke::new(1.0, theme::mix(theme.line, theme.bad, 0.4)))
        .corner_radius(theme::radius::CARD)
        .inner_margin(egui::Margin::same(14))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                ui.label(icons::text(ph::WARNING_CIRCLE, 18.0).color(theme.bad));
                ui.vertical(|ui| {
                    let what = RichText::new(sentence(&failure.message)).font(theme::medium(font_size::BODY));
                    ui.add(egui::Label::new(what.color(theme.text)).wrap().selectable(true));
                    if let Some(hint) = &failure.hint {
                        let hint = RichText::new(sentence(hint)).color(theme.muted);
                        ui.add(egui::Label::new(hint).wrap().selectable(true));
                    }
                    ui.horizontal(|ui| {
                        again = button(ui, Kind::Secondary, Some(ph::ARROW_CLOCKWISE), "Try again").clicked();
                        if button(ui, Kind::Quiet, Some(ph::COPY), "Copy details").clicked() {
                            let details = serde_json::to_string_pretty(failure).unwrap_or_default();
                            ui.ctx().copy_text(details);
                        }
                    });
                });
            });
        });
    again
}

/// A list of problems, each with the thing that it is about. Gives back the one that was clicked.
pub fn problems(ui: &mut Ui, list: &[(String, String)]) -> Option<usize> {
    let theme = Theme::of(ui);
    let mut clicked = None;
    for (at, (subject, text)) in list.iter().enumerate() {
        ui.horizontal_top(|ui| {
            ui.label(icons::text(ph::WARNING_CIRCLE, 15.0).color(theme.bad));
            ui.vertical(|ui| {
                if !subject.is_empty() && super::link(ui, subject).clicked() {
                    clicked = Some(at);
                }
                ui.add(egui::Label::new(RichText::new(sentence(text)).color(theme.muted)).wrap().selectable(true));
            });
        });
    }
    clicked
}

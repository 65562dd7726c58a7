//! The parts of a card that people write, edited in place.

use athanor_protocol::{
    Failure,
    api::ModelCardEdit,
    governance::{CARD_FIELDS, CardText, MAX_CARD_TEXT_BYTES},
};
use egui::{RichText, TextEdit, Ui, WidgetInfo, WidgetType};

use crate::{
    desk::Ticket,
    format,
    icons::ph,
    pages::{Cx, models::dialogs::failure_note},
    theme::{self, Theme, font_size, size},
    widgets::{self, Kind},
};

/// A part as people call it, and what belongs there.
fn field_title(field: &str) -> (&str, &'static str) {
    match field {
        "intended_use" => ("Intended use", "Who uses its answers, and for what"),
        "out_of_scope" => ("Not meant for", "What it must not be used for"),
        "limitations" => ("Limitations", "Where it is known to be wrong"),
        "ethics" => ("Ethics", "Whom its mistakes may harm"),
        "licence" => ("Licence", "Who may use and pass it on"),
        "owner" => ("Owner", "Who answers questions about it"),
        "notes" => ("Notes", "Anything else"),
        other => (other, ""),
    }
}

/// A text under way.
struct Editing {
    field: String,
    text: String,
    before: String,
    sent: Option<Ticket<ModelCardEdit>>,
    of: (String, u32),
    shown: bool,
    failure: Option<Failure>,
}

/// The texts.
#[derive(Default)]
pub(super) struct Texts {
    editing: Option<Editing>,
}

impl Texts {
    /// Takes in what has come; true when the card may be old now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(editing) = &mut self.editing else { return false };
        let Some(result) = editing.sent.and_then(|ticket| cx.desk.take(ticket)) else { return false };
        editing.sent = None;
        match result {
            Ok(_) => {
                let (model, version) = &editing.of;
                let of = |text: &str| {
                    let (model, field, text) = (model.clone(), editing.field.clone(), text.to_owned());
                    ModelCardEdit { model, version: *version, field, text }.into()
                };
                let title = field_title(&editing.field).0.to_lowercase();
                let label = format!("Saved the {title} of {model} version {version}");
                cx.undo.push(label.clone(), vec![of(&editing.before)], vec![of(&editing.text)]);
                cx.toasts.undoable(label);
                self.editing = None;
                true
            }
            Err(failure) => {
                editing.failure = Some(failure);
                false
            }
        }
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>, model: &str, version: u32, texts: &[CardText]) {
        if self.editing.as_ref().is_some_and(|editing| editing.of.0 != model || editing.of.1 != version) {
            self.editing = None;
        }
        let may_change = cx.desk.may_change();
        let now = cx.desk.now_millis();
        let mut empty = vec![];
        for field in CARD_FIELDS {
            if self.editing.as_ref().is_some_and(|editing| editing.field == field) {
                self.edit_ui(ui, cx);
                continue;
            }
            let Some(known) = texts.iter().find(|known| known.field == field && !known.text.is_empty()) else {
                empty.push(field);
                continue;
            };
            let (title, _) = field_title(field);
            widgets::tight(ui, |ui| {
                let heading = RichText::new(title).font(theme::medium(font_size::BODY)).color(cx.theme.text);
                let by = format!("{}, {}", known.actor, format::ago(known.at_millis, now));
                ui.label(heading).on_hover_text(format!("Written by {by}, revision {}", known.revision));
                if may_change
                    && widgets::small_icon(ui, ph::PENCIL_SIMPLE, &format!("Edit {}", title.to_lowercase())).clicked()
                {
                    self.begin(field, &known.text, model, version);
                }
            });
            let text = RichText::new(&known.text).color(cx.theme.text);
            ui.add(egui::Label::new(text).wrap().selectable(true));
            ui.add_space(size::TINY_GAP);
        }
        if empty.is_empty() || !may_change {
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            widgets::muted(ui, "Nothing written yet:");
            for field in empty {
                let (title, help) = field_title(field);
                if widgets::small_button(ui, Kind::Secondary, title).on_hover_text(help).clicked() {
                    self.begin(field, "", model, version);
                }
            }
        });
    }

    fn begin(&mut self, field: &str, text: &str, model: &str, version: u32) {
        // What is typed is not thrown away by a click on another part.
        if self.editing.as_ref().is_some_and(|editing| editing.text != editing.before) {
            return;
        }
        let (field, of) = (field.to_owned(), (model.to_owned(), version));
        let (text, before) = (text.to_owned(), text.to_owned());
        self.editing = Some(Editing { field, text, before, sent: None, of, shown: false, failure: None });
    }

    fn edit_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(editing) = &mut self.editing else { return };
        let theme = Theme::of(ui);
        let (title, help) = field_title(&editing.field);
        let too_long = editing.text.len() > MAX_CARD_TEXT_BYTES;
        let trouble = too_long.then(|| format!("it is longer than {}", format::bytes(MAX_CARD_TEXT_BYTES as u64)));
        let response = widgets::field(ui, title, help, trouble.as_deref(), |ui| {
            let edit = TextEdit::multiline(&mut editing.text)
                .hint_text(RichText::new(help).color(theme.faint))
                .margin(egui::Margin::symmetric(10, 7))
                .desired_rows(4)
                .desired_width(ui.available_width());
            ui.add(edit)
        });
        let shown = editing.text.clone();
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(WidgetType::TextEdit, true, title);
            info.current_text_value = Some(shown.clone());
            info
        });
        if !std::mem::replace(&mut editing.shown, true) {
            response.request_focus();
        }
        if let Some(failure) = &editing.failure {
            failure_note(ui, failure);
        }
        let (mut save, mut close) = (false, false);
        ui.horizontal(|ui| {
            let changed = editing.text != editing.before;
            ui.add_enabled_ui(changed && !too_long && editing.sent.is_none(), |ui| {
                save = widgets::button(ui, Kind::Primary, None, "Save").on_hover_text("Ctrl Enter").clicked();
                save |=
                    ui.is_enabled() && ui.input(|input| input.modifiers.command && input.key_pressed(egui::Key::Enter));
            });
            close = widgets::button(ui, Kind::Secondary, None, "Cancel").clicked();
            if editing.sent.is_some() {
                widgets::loading(ui, "Saving");
            }
        });
        if save {
            editing.failure = None;
            let (model, version) = editing.of.clone();
            let (field, text) = (editing.field.clone(), editing.text.clone());
            editing.sent = Some(cx.desk.ask(ModelCardEdit { model, version, field, text }));
        } else if close {
            self.editing = None;
        }
        ui.add_space(size::TINY_GAP);
    }
}

//! The page Settings: how it looks, what new runs get, storage, the audit log. Every control saves by itself.

mod general;
mod storage;

use athanor_protocol::api::{AuditList, DevicesList, Event};
use egui::{Align, Layout, RichText, Ui};

use self::{general::Typed, storage::Storage};
use super::{Command, Cx, Page, paged::Paged};
use crate::{
    desk::{Remote, SettingsState},
    format,
    icons::{self, ph},
    theme::{self, font_size, size},
    widgets::{self, Col},
};

/// How long "Saved" is seen, in seconds.
const SAVED_FOR: f64 = 2.5;

/// The page Settings.
#[derive(Default)]
pub struct SettingsPage {
    devices: Remote<DevicesList>,
    typed: Typed,
    storage: Storage,
    audit: Paged<AuditList>,
    was_saving: bool,
    saved_at: Option<f64>,
}

impl SettingsPage {
    /// "Saved", for a moment after something was.
    fn saved_ui(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        let state = cx.desk.settings_state();
        if self.was_saving && state == SettingsState::Saved {
            self.saved_at = Some(cx.desk.now_secs());
        }
        self.was_saving = state == SettingsState::Saving;
        let age = self.saved_at.map(|at| cx.desk.now_secs() - at);
        let (icon, color, word) = match (state, age) {
            (SettingsState::Saving, _) => (ph::CLOCK, cx.theme.muted, "Saving"),
            (SettingsState::Failed, _) => (ph::WARNING_CIRCLE, cx.theme.bad, "Not saved"),
            (SettingsState::Saved, Some(age)) if age < SAVED_FOR => (ph::CHECK, cx.theme.ok, "Saved"),
            (SettingsState::Saved, _) => return,
        };
        // Right to left: the word first.
        ui.label(RichText::new(word).color(cx.theme.muted));
        ui.label(icons::text(icon, size::ICON).color(color));
        ui.ctx().request_repaint_after_secs(if state == SettingsState::Saving { 0.25 } else { 1.0 });
    }

    fn content(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let open = cx.desk.workspace().is_some();
        if ui.available_width() > 800.0 {
            widgets::columns(ui, 2, |ui, at| {
                ui.spacing_mut().item_spacing.y = size::GAP;
                if at == 0 {
                    self.look_ui(ui, cx);
                    self.runs_ui(ui, cx);
                } else {
                    self.workspace_ui(ui, cx);
                    about_ui(ui, cx);
                }
            });
        } else {
            self.look_ui(ui, cx);
            self.runs_ui(ui, cx);
            self.workspace_ui(ui, cx);
            about_ui(ui, cx);
        }
        if open {
            widgets::titled_card(ui, "Audit log", "who changed what, newest first", |ui| self.audit_ui(ui, cx));
        }
    }

    fn workspace_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(open) = cx.desk.workspace().cloned() else {
            widgets::titled_card(ui, "Workspace", "", |ui| {
                widgets::muted(ui, "No workspace is open. Open one on the page Home.");
            });
            return;
        };
        widgets::titled_card(ui, "Workspace", &open.name, |ui| {
            ui.spacing_mut().item_spacing.y = size::TINY_GAP;
            widgets::label(ui, "Folder");
            if widgets::copy_line(ui, "the folder", &open.path) {
                cx.toasts.ok("Copied the folder");
            }
            if open.read_only {
                widgets::note(ui, crate::toasts::Tone::Info, "it can only be looked at: its folder cannot be written");
            }
        });
        widgets::card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
            self.storage.ui(ui, cx);
        });
    }

    fn audit_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.audit.keep(cx.desk, &AuditList::default());
        ui.spacing_mut().item_spacing.y = size::SMALL_GAP;
        if let Some(failure) = self.audit.error() {
            if widgets::failure(ui, failure) {
                self.audit.invalidate();
            }
            return;
        }
        if !self.audit.is_loaded() {
            if self.audit.slow(cx.desk) {
                widgets::loading(ui, "Loading the audit log");
            }
            return;
        }
        if self.audit.items().is_empty() {
            widgets::muted(ui, "Nothing has been changed yet.");
            return;
        }
        let mut columns = vec![
            Col::fixed("When (UTC)", 136.0),
            Col::fixed("Who", 80.0),
            Col::fixed("What", 124.0),
            Col::wide("Thing"),
        ];
        if ui.available_width() > 640.0 {
            columns.push(Col::wide("Details"));
        }
        widgets::lines_header(ui, &columns);
        let n = self.audit.items().len();
        ui.spacing_mut().item_spacing.y = 0.0;
        egui::ScrollArea::vertical()
            .id_salt("audit")
            .max_height(10.0 * size::ROW)
            .auto_shrink([false, true])
            .show_rows(ui, size::ROW, n, |ui, rows| {
                for entry in self.audit.items().get(rows).unwrap_or_default() {
                    widgets::line_row(ui, &columns, size::ROW, |ui, at| match at {
                        0 => {
                            let when = format!("{} {}", format::date(entry.at_millis), format::clock(entry.at_millis));
                            ui.label(RichText::new(when).font(theme::mono(font_size::LABEL)).color(cx.theme.muted));
                        }
                        1 => widgets::cell_text(ui, &entry.actor),
                        2 => widgets::cell_mono(ui, &entry.action),
                        3 => {
                            let text = RichText::new(&entry.subject).color(cx.theme.text);
                            ui.add(egui::Label::new(text).truncate().selectable(true));
                        }
                        _ => {
                            let empty = entry.detail.as_object().is_some_and(serde_json::Map::is_empty)
                                || entry.detail.is_null();
                            if !empty {
                                let text = RichText::new(entry.detail.to_string())
                                    .font(theme::mono(font_size::LABEL))
                                    .color(cx.theme.muted);
                                ui.add(egui::Label::new(text).truncate().selectable(true));
                            }
                        }
                    });
                }
            });
        ui.add_space(size::SMALL_GAP);
        ui.horizontal(|ui| {
            widgets::muted(ui, &format::plural(n as u64, "line"));
            if self.audit.has_more() && widgets::link(ui, "Show older lines").clicked() {
                self.audit.more(cx.desk);
            }
            if self.audit.slow(cx.desk) {
                widgets::loading(ui, "Loading");
            }
        });
    }
}

fn about_ui(ui: &mut Ui, cx: &mut Cx<'_>) {
    let Some(hello) = cx.desk.hello() else { return };
    let place = if cx.desk.is_desktop() { "a window on this machine" } else { "a browser" };
    let rows = [
        ("Version".to_owned(), hello.version.clone()),
        ("Seen in".to_owned(), place.to_owned()),
        ("Typefaces".to_owned(), "Inter, JetBrains Mono (SIL Open Font License)".to_owned()),
        ("Icons".to_owned(), "Phosphor (MIT)".to_owned()),
    ];
    let text = format!("Athanor {}, {place}", hello.version);
    let mut copied = false;
    widgets::card(ui, |ui| {
        ui.horizontal(|ui| {
            widgets::heading(ui, "About Athanor", "");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                copied = widgets::icon_button(ui, ph::COPY, "Copy the version").clicked();
            });
        });
        widgets::facts(ui, &rows);
    });
    if copied {
        ui.ctx().copy_text(text);
        cx.toasts.ok("Copied the version");
    }
}

impl Page for SettingsPage {
    fn title(&self) -> String {
        "Settings".to_owned()
    }

    fn actions(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.saved_ui(ui, cx);
    }

    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        self.devices.keep(cx.desk, &DevicesList::default());
        super::scrolled(ui, "settings", |ui| self.content(ui, cx));
        self.storage.dialogs_ui(ui, cx);
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        self.storage.take(cx);
    }

    fn event(&mut self, event: &Event, _: &mut Cx<'_>) {
        match event {
            Event::WorkspaceChanged { .. } => *self = Self::default(),
            Event::Lagged {} => {
                self.storage.invalidate();
                self.audit.invalidate();
            }
            // What these change is in the audit log.
            Event::ModelsChanged {}
            | Event::KeysChanged {}
            | Event::EndpointChanged { .. }
            | Event::RolloutChanged { .. } => self.audit.invalidate(),
            Event::RunChanged { run } if run.status.is_final() => self.storage.invalidate(),
            _ => {}
        }
    }

    fn commands(&self, cx: &Cx<'_>) -> Vec<Command> {
        let Some(open) = cx.desk.workspace() else { return vec![] };
        vec![
            Command::new("settings.folder", format!("Copy the folder of {}", open.name), ph::COPY, ""),
            Command::new("settings.storage", "Measure storage again", ph::HARD_DRIVES, ""),
        ]
    }

    fn run(&mut self, command: &str, cx: &mut Cx<'_>) {
        match command {
            "settings.folder" => self.typed.copy = cx.desk.workspace().map(|open| open.path.clone()),
            "settings.storage" => self.storage.invalidate(),
            _ => {}
        }
    }
}

//! How tables come in: chosen in a dialog, dropped on the window, sent by a browser, or by their path.

use std::collections::VecDeque;

use athanor_protocol::{
    Code, Failure,
    api::{DataAdd, DataUpload, Event, Pick, PickKind},
};
use egui::{DroppedFileHandle, RichText, Ui};

use crate::{
    desk::Ticket,
    format,
    icons::{self, ph},
    pages::Cx,
    theme::{Theme, font_size, size},
    uploads, widgets, wire,
};

/// Endings of tables' files.
const ENDINGS: [&str; 5] = ["csv", "tsv", "txt", "parquet", "pq"];

/// A file whose bytes are here, on its way to the engine.
struct Sending {
    name: String,
    token: String,
    bytes: Vec<u8>,
    sent: u64,
    ticket: Option<Ticket<DataUpload>>,
}

/// A file that a browser sends by itself; it only tells how far it is.
struct Elsewhere {
    token: String,
    name: String,
    done: u64,
    total: u64,
}

/// Tables on their way in.
#[derive(Default)]
pub struct Adding {
    picking: Option<Ticket<Pick>>,
    adding: Vec<(String, Ticket<DataAdd>)>,
    sending: VecDeque<Sending>,
    elsewhere: Vec<Elsewhere>,
    #[cfg(not(target_arch = "wasm32"))]
    next: u64,
    open_last: Option<String>,
    /// The field for a path is open, with what was typed.
    pub path: Option<String>,
    /// Why the typed path was refused.
    refused: Option<Failure>,
}

/// A path's last part.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

/// A failure that names the file.
fn named(path: &str, failure: Failure) -> Failure {
    let name = file_name(path);
    if failure.message.contains(name) {
        return failure;
    }
    Failure { message: format!("{name}: {}", failure.message), ..failure }
}

impl Adding {
    /// Lets the user choose files.
    pub fn pick(&mut self, cx: &mut Cx<'_>) {
        let ask = Pick {
            kind: PickKind::Open,
            title: "Open tables".to_owned(),
            filter_name: "Tables".to_owned(),
            extensions: ENDINGS.map(str::to_owned).to_vec(),
            file_name: String::new(),
            multiple: true,
        };
        self.picking = Some(cx.desk.ask(ask));
    }

    /// Adds files by their paths and opens the last.
    pub fn add(&mut self, cx: &mut Cx<'_>, paths: &[String]) {
        for path in paths {
            let ticket = cx.desk.ask(DataAdd { path: path.clone() });
            self.adding.push((path.clone(), ticket));
        }
    }

    /// Whether anything is on its way.
    pub fn busy(&self) -> bool {
        !self.adding.is_empty() || !self.sending.is_empty() || !self.elsewhere.is_empty()
    }

    /// Something happened.
    pub fn event(&mut self, event: &Event, cx: &mut Cx<'_>) {
        match event {
            Event::FilesDropped { paths } => self.add(cx, paths),
            Event::Progress { token, done, total, note } if uploads::is_upload(token) => {
                let at = self.elsewhere.iter().position(|file| file.token == *token);
                match at {
                    Some(at) if done >= total => drop(self.elsewhere.remove(at)),
                    Some(at) => (self.elsewhere[at].done, self.elsewhere[at].total) = (*done, *total),
                    None if done < total => self.elsewhere.push(Elsewhere {
                        token: token.clone(),
                        name: note.clone(),
                        done: *done,
                        total: *total,
                    }),
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Files that were dropped on the page, where the window does not tell of them itself.
    pub fn dropped(&mut self, cx: &mut Cx<'_>, files: Vec<DroppedFileHandle>) {
        for file in files {
            let path = file.path().display().to_string();
            if file.path().is_absolute() {
                self.add(cx, &[path]);
                continue;
            }
            #[cfg(not(target_arch = "wasm32"))]
            match file.bytes() {
                Ok(bytes) => self.send(&path, bytes),
                Err(why) => cx.toasts.failure(&Failure::new(Code::Unavailable, format!("cannot read {path}: {why}"))),
            }
            #[cfg(target_arch = "wasm32")]
            cx.toasts.failure(
                &Failure::new(Code::Unsupported, format!("{path} cannot be read from here"))
                    .hint("choose it with Open instead"),
            );
        }
    }

    /// Sends a file's bytes to the engine. A page in a browser reads its files piece by piece instead.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn send(&mut self, name: &str, bytes: Vec<u8>) {
        self.next += 1;
        let token = format!("page{}x{}", self.next, bytes.len());
        self.sending.push_back(Sending { name: file_name(name).to_owned(), token, bytes, sent: 0, ticket: None });
    }

    /// Goes on with what is on its way; the path of a table to open now.
    pub fn tick(&mut self, cx: &mut Cx<'_>) -> Option<String> {
        if let Some(ticket) = self.picking
            && let Some(result) = cx.desk.take(ticket)
        {
            self.picking = None;
            match result {
                Ok(picked) => self.add(cx, &picked.paths),
                // Where there is no dialog a path can still be typed.
                Err(failure) if failure.code == Code::Unsupported => self.path = Some(String::new()),
                Err(failure) => cx.toasts.failure(&failure),
            }
        }
        let mut came = vec![];
        self.adding.retain(|(path, ticket)| match cx.desk.take(*ticket) {
            None => true,
            Some(result) => {
                came.push((path.clone(), result));
                false
            }
        });
        for (path, result) in came {
            match result {
                Ok(entry) => {
                    self.open_last = Some(entry.path);
                    if self.path.as_deref().map(str::trim) == Some(path.as_str()) {
                        self.path = None;
                    }
                }
                Err(failure) if self.path.as_deref().map(str::trim) == Some(path.as_str()) => {
                    self.refused = Some(failure);
                }
                Err(failure) => cx.toasts.failure(&named(&path, failure)),
            }
        }
        self.send_on(cx);
        if self.adding.is_empty() { self.open_last.take() } else { None }
    }

    fn send_on(&mut self, cx: &mut Cx<'_>) {
        let Some(file) = self.sending.front_mut() else { return };
        if let Some(ticket) = file.ticket {
            let Some(result) = cx.desk.take(ticket) else { return };
            file.ticket = None;
            match result {
                Ok(uploaded) => {
                    if let Some(entry) = uploaded.entry {
                        self.open_last = Some(entry.path);
                        self.sending.pop_front();
                        return self.send_on(cx);
                    }
                }
                Err(failure) => {
                    cx.toasts.failure(&named(&file.name, failure));
                    self.sending.pop_front();
                    return self.send_on(cx);
                }
            }
        }
        let n_bytes = file.bytes.len() as u64;
        let to = (file.sent + wire::PIECE_BYTES as u64).min(n_bytes);
        let piece = file.bytes.get(file.sent as usize..to as usize).unwrap_or_default();
        file.ticket = Some(cx.desk.ask(wire::piece(&file.name, &file.token, file.sent, piece, to == n_bytes)));
        file.sent = to;
    }

    /// What is on its way, with how far it is and a way to stop it.
    pub fn ui(&mut self, ui: &mut Ui) {
        let mut rows: Vec<(String, u64, u64)> = vec![];
        rows.extend(self.sending.iter().map(|file| (file.name.clone(), file.sent, file.bytes.len() as u64)));
        rows.extend(self.elsewhere.iter().map(|file| (file.name.clone(), file.done, file.total)));
        let own = self.sending.len();
        let mut stop = None;
        for (at, (name, done, total)) in rows.iter().enumerate() {
            ui.horizontal(|ui| {
                let theme = Theme::of(ui);
                ui.label(icons::text(ph::UPLOAD_SIMPLE, 15.0).color(theme.accent));
                ui.add(egui::Label::new(RichText::new(format!("Sending {name}")).color(theme.text)).truncate());
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if widgets::icon_button(ui, ph::X, &format!("Stop sending {name}")).clicked() {
                        stop = Some(at);
                    }
                    let far = format!("{} of {}", format::bytes(*done), format::bytes(*total));
                    ui.label(RichText::new(far).size(font_size::LABEL).color(theme.muted));
                    let share = (*total > 0).then(|| *done as f32 / *total as f32);
                    widgets::progress(ui, share, 140.0);
                });
            });
        }
        match stop {
            Some(at) if at < own => drop(self.sending.remove(at)),
            Some(at) => {
                let file = self.elsewhere.remove(at - own);
                uploads::cancel(&file.token);
            }
            None => {}
        }
    }

    /// The field for a path, in its own small window.
    pub fn path_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let Some(mut typed) = self.path.take() else { return };
        let mut keep = true;
        let busy = self.adding.iter().any(|(path, _)| path == typed.trim());
        let modal = egui::Modal::new(egui::Id::new("data-path")).frame(widgets::modal_frame(ui)).show(ui.ctx(), |ui| {
            ui.set_width(size::FORM.min(ui.ctx().content_rect().width() - 64.0));
            widgets::inspector_title(
                ui,
                "Open a table by its path",
                "A CSV, TSV or Parquet file on the engine's machine.",
            );
            ui.add_space(size::SMALL_GAP);
            let refused = self.refused.as_ref().map(|failure| failure.message.clone());
            let response = widgets::field(ui, "Path", "", refused.as_deref(), |ui| {
                widgets::line_edit(ui, "Path", &mut typed, "/home/ada/tables/patients.csv", false)
            });
            // Asked before the keyboard is given back to the field that Enter has just left.
            let enter = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            if response.changed() {
                self.refused = None;
            }
            if !ui.memory(|memory| memory.focused().is_some()) {
                response.request_focus();
            }
            ui.add_space(size::SMALL_GAP);
            ui.horizontal(|ui| {
                let may = !typed.trim().is_empty() && !busy;
                let clicked =
                    ui.add_enabled_ui(may, |ui| widgets::primary(ui, ph::FOLDER_OPEN, "Open path")).inner.clicked();
                if may && (enter || clicked) {
                    self.refused = None;
                    self.add(cx, &[typed.trim().to_owned()]);
                }
                if widgets::button(ui, widgets::Kind::Secondary, None, "Cancel").clicked() {
                    keep = false;
                }
                if busy {
                    widgets::loading(ui, "Looking at it");
                }
            });
        });
        if keep && !modal.should_close() {
            self.path = Some(typed);
        } else {
            self.refused = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_file_once() {
        let plain = named("/a/b.csv", Failure::new(Code::BadData, "line 3 has 4 fields"));
        assert_eq!(plain.message, "b.csv: line 3 has 4 fields");
        let own = named("/a/b.csv", Failure::new(Code::BadData, "/a/b.csv is no table"));
        assert_eq!(own.message, "/a/b.csv is no table");
        assert_eq!((file_name("C:\\x\\y.csv"), file_name("/tmp/"), file_name("")), ("y.csv", "tmp", ""));
    }
}

//! The dialog that takes runs over from MLflow.

use athanor_protocol::{
    Failure,
    api::{Pick, PickKind, RunsImport, RunsImported},
};
use egui::Ui;

use crate::{
    desk::Ticket,
    format,
    pages::{
        Cx,
        models::{buttons, failure_note},
        paths::{path_field, take_pick},
    },
    theme::size,
    toasts::Tone,
    widgets::{self, DialogAsk, Kind},
    work::Work,
};

const WIDTH: f32 = 520.0;
/// Lines of what was left out that are shown.
const MAX_LINES: usize = 200;

/// Which path the system's dialog was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Store,
    Files,
}

/// An import.
#[derive(Default)]
pub(super) struct Importing {
    open: bool,
    path: String,
    files: String,
    pick: Option<(Place, Ticket<Pick>)>,
    work: Option<Work<RunsImport>>,
    outcome: Option<Result<RunsImported, Failure>>,
}

impl Importing {
    /// Opens the dialog, or brings an import that is at work back into sight.
    pub(super) fn ask(&mut self) {
        self.open = true;
    }

    /// The workspace is another one: what is at work is stopped, and nobody waits for it.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        if let Some(work) = self.work.take() {
            work.give_up(cx.desk);
        }
        *self = Self::default();
    }

    /// Takes in what has come; true when there may be new runs.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        if let Some((place, ticket)) = self.pick {
            let mut pick = Some(ticket);
            let path = take_pick(cx, &mut pick);
            self.pick = pick.map(|ticket| (place, ticket));
            match (path, place) {
                (Some(path), Place::Store) => self.path = path,
                (Some(path), Place::Files) => self.files = path,
                (None, _) => {}
            }
        }
        let Some(result) = self.work.as_ref().and_then(|work| work.take(cx.desk)) else { return false };
        self.work = None;
        if !self.open {
            match &result {
                Ok(done) => cx.toasts.ok(format!("Imported {} from MLflow", format::plural(done.n_new, "run"))),
                Err(failure) => cx.toasts.failure(failure),
            }
        }
        self.outcome = Some(result);
        true
    }

    pub(super) fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        if !self.open {
            return;
        }
        let mut closed = false;
        let (_, ask) = widgets::dialog_parts(ui, "import-runs", "Import runs from MLflow", WIDTH, |parts| {
            if let Some(Ok(done)) = &self.outcome {
                parts.body(|ui| result_ui(ui, done));
                closed = parts.footer(|ui| widgets::button(ui, Kind::Primary, None, "Done").clicked());
                return;
            }
            parts.body(|ui| {
                ui.add_enabled_ui(self.work.is_none(), |ui| self.form_ui(ui, cx));
                if let Some(Err(failure)) = &self.outcome {
                    ui.add_space(size::TINY_GAP);
                    failure_note(ui, failure);
                }
                if let Some(work) = &self.work {
                    ui.add_space(size::SMALL_GAP);
                    work.dialog_ui(ui, cx.desk, |far| format!("{} read", format::plural(far.done, "run")));
                }
            });
            if let Some(work) = &mut self.work {
                closed =
                    parts.footer(|ui| work.dialog_buttons(ui, cx.desk, "Ends after this run; what was read stays"));
                return;
            }
            match parts.footer(|ui| buttons(ui, "Import", !self.path.trim().is_empty(), false)) {
                Some(true) => self.send(cx),
                Some(false) => closed = true,
                None => {}
            }
        });
        if closed || ask == DialogAsk::Close {
            self.open = false;
            if self.work.is_none() {
                self.outcome = None;
            }
        }
    }

    fn form_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::muted(
            ui,
            "Parameters, metrics with their history, tags, times and files that are data alone. Nothing of it is run or \
             unpickled. Importing again adds what is new.",
        );
        ui.add_space(size::SMALL_GAP);
        let (pressed, _) = path_field(
            ui,
            cx.desk,
            "Folder with mlflow.db or mlruns",
            &mut self.path,
            "/home/ada/project, or /home/ada/project/mlflow.db",
        );
        if pressed {
            self.choose(cx, Place::Store, "The folder in which MLflow keeps its runs");
        }
        ui.add_space(size::TINY_GAP);
        widgets::fold(ui, "mlflow-files", "Files of runs lie elsewhere", false, |ui| {
            widgets::muted(
                ui,
                "Files of a database's runs are looked for in mlruns and mlartifacts beside it. Name another folder here.",
            );
            let (pressed, _) =
                path_field(ui, cx.desk, "Folder of MLflow's files", &mut self.files, "/srv/mlflow/artifacts");
            if pressed {
                self.choose(cx, Place::Files, "The folder in which MLflow keeps files");
            }
        });
    }

    fn choose(&mut self, cx: &mut Cx<'_>, place: Place, title: &str) {
        if self.pick.is_some() {
            return;
        }
        let ticket = cx.desk.ask(Pick {
            kind: PickKind::Folder,
            title: title.to_owned(),
            filter_name: String::new(),
            extensions: vec![],
            file_name: String::new(),
            multiple: false,
        });
        self.pick = Some((place, ticket));
    }

    fn send(&mut self, cx: &mut Cx<'_>) {
        self.outcome = None;
        let artifacts = Some(self.files.trim().to_owned()).filter(|files| !files.is_empty());
        let path = self.path.trim().to_owned();
        self.work = Some(Work::begin(cx.desk, |token| RunsImport { path, artifacts, token }));
    }
}

fn result_ui(ui: &mut Ui, done: &RunsImported) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 32.0;
        for (name, n) in [
            ("New runs", done.n_new),
            ("Here before", done.n_known),
            ("Metric points", done.n_points),
            ("Files", done.n_files),
        ] {
            widgets::figure(ui, name, &format::count(n), "");
        }
    });
    ui.add_space(size::SMALL_GAP);
    widgets::label(ui, if done.is_database { "Read the database" } else { "Read the folder" });
    widgets::copy_line(ui, "the path", &done.path);
    ui.add_space(size::TINY_GAP);
    if done.stopped {
        widgets::note(ui, Tone::Warn, "it was stopped; importing again goes on");
    }
    for note in &done.notes {
        widgets::note(ui, Tone::Info, note);
    }
    if done.n_left_out == 0 {
        return;
    }
    ui.add_space(size::TINY_GAP);
    let title = format!("{} left out", format::plural(done.n_left_out, "thing"));
    widgets::fold(ui, "left-out", &title, done.n_left_out <= 5, |ui| {
        for left in done.left_out.iter().take(MAX_LINES) {
            let of = if left.run.is_empty() { String::new() } else { format!("{}: ", format::short_id(&left.run)) };
            widgets::muted(ui, &format!("{of}{}: {}", left.what, left.why));
        }
        let n_more = done.n_left_out.saturating_sub(done.left_out.len().min(MAX_LINES) as u64);
        if n_more > 0 {
            widgets::muted(ui, &format!("and {} more; `athanor import mlflow` prints them", format::count(n_more)));
        }
    });
}

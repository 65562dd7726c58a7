//! Dialogs of the page: a new alias, import, export from a browser, predicting a table.

use athanor_protocol::{
    Code, Failure,
    api::{ModelImport, ModelPredict, Pick, PickKind, PredictAnswer},
    names::{check_alias, check_model_name},
    registry::ModelVersion,
};
use egui::Ui;

use super::work::{Work, file_name};
use crate::{
    desk::Ticket,
    format,
    pages::{
        Cx,
        endpoints::notes_ui,
        paths::{TableField, path_field, pick_table, take_pick},
    },
    theme::size,
    toasts::Tone,
    widgets::{self, DialogAsk, Kind},
    work::{Far, Work as UnderWay},
};

const WIDTH: f32 = 440.0;

/// What is open.
pub(super) enum Dialog {
    /// A new alias of a version.
    Alias { version: u32, name: String },
    /// A package file that becomes a version.
    Import(Importing),
}

/// An import.
#[derive(Default)]
pub(super) struct Importing {
    path: String,
    name: String,
    pick: Option<Ticket<Pick>>,
    /// Whether a key that this workspace does not know is trusted; asked only once such a package was refused.
    trust: bool,
    sent: Option<Ticket<ModelImport>>,
    failure: Option<Failure>,
}

/// A table that is predicted.
pub(super) struct Predicting {
    model: String,
    version: u32,
    open: bool,
    from: TableField,
    to: String,
    /// Whether the user named the file to write; else it follows the table.
    to_is_own: bool,
    keep_input: bool,
    pick: Option<Ticket<Pick>>,
    work: Option<UnderWay<ModelPredict>>,
    outcome: Option<Result<PredictAnswer, Failure>>,
}

impl Work {
    pub(super) fn ask_alias(&mut self, version: u32) {
        self.dialog = Some(Dialog::Alias { version, name: String::new() });
    }

    pub(super) fn ask_import(&mut self) {
        self.dialog = Some(Dialog::Import(Importing::default()));
    }

    pub(super) fn ask_predict(&mut self, model: &str, version: u32) {
        // One at a time: what is at work comes back into sight.
        if let Some(at_work) = self.predicting.as_mut().filter(|at_work| at_work.work.is_some()) {
            at_work.open = true;
            return;
        }
        self.predicting = Some(Predicting {
            model: model.to_owned(),
            version,
            open: true,
            from: TableField::default(),
            to: String::new(),
            to_is_own: false,
            keep_input: true,
            pick: None,
            work: None,
            outcome: None,
        });
    }

    /// The workspace is another one: what is at work is stopped, and nobody waits for it.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        if let Some(work) = self.predicting.take().and_then(|predicting| predicting.work) {
            work.give_up(cx.desk);
        }
        self.deploying.give_up(cx);
    }

    /// Takes in what has come; true when the lists may be old now.
    pub(super) fn take_dialogs(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut changed = false;
        if let Some(Dialog::Import(import)) = &mut self.dialog {
            if let Some(path) = take_pick(cx, &mut import.pick) {
                if import.name.is_empty() {
                    import.name = name_of(&path);
                }
                // Another file: nobody has said yet that its signer is trusted.
                (import.trust, import.failure) = (false, None);
                import.path = path;
            }
            if let Some(ticket) = import.sent
                && let Some(result) = cx.desk.take(ticket)
            {
                import.sent = None;
                match result {
                    Ok(registered) => {
                        let (name, version) = (&registered.version.model, registered.version.version);
                        cx.toasts.ok(if registered.existed {
                            format!("This package is {name} version {version} already")
                        } else {
                            format!("Registered {name} version {version}")
                        });
                        cx.go.push(crate::pages::Go::Model(name.clone()));
                        self.dialog = None;
                        changed = true;
                    }
                    Err(failure) => import.failure = Some(failure),
                }
            }
        }
        if let Some(predicting) = &mut self.predicting {
            predicting.take(cx);
            if !predicting.open && predicting.work.is_none() {
                self.predicting = None;
            }
        }
        changed
    }

    pub(super) fn dialogs_ui(&mut self, ui: &Ui, cx: &mut Cx<'_>, model: &str, items: &[ModelVersion]) {
        match self.dialog.take() {
            None => {}
            Some(Dialog::Alias { version, name }) => self.alias_ui(ui, cx, model, items, version, name),
            Some(Dialog::Import(mut import)) => {
                if import.ui(ui, cx) {
                    self.dialog = Some(Dialog::Import(import));
                }
            }
        }
        if let Some(predicting) = self.predicting.as_mut().filter(|predicting| predicting.open) {
            predicting.ui(ui, cx);
        }
    }

    fn alias_ui(
        &mut self,
        ui: &Ui,
        cx: &mut Cx<'_>,
        model: &str,
        items: &[ModelVersion],
        version: u32,
        mut name: String,
    ) {
        let title = format!("New alias for version {version}");
        let (answer, ask) = widgets::dialog_parts(ui, "alias", &title, WIDTH, |parts| {
            let may = parts.body(|ui| {
                widgets::muted(
                    ui,
                    "An alias is a name that points to one version and can be moved, such as candidate.",
                );
                ui.add_space(size::SMALL_GAP);
                let trouble = (!name.is_empty()).then(|| check_alias(&name).err()).flatten().map(|err| err.to_string());
                let field = widgets::field(ui, "Alias", "", trouble.as_deref(), |ui| {
                    widgets::line_edit(ui, "Alias", &mut name, "candidate", false)
                });
                widgets::focus_first(&field);
                let moves = items.iter().find(|item| item.aliases.contains(&name)).map(|item| item.version);
                if let Some(from) = moves.filter(|from| *from != version) {
                    widgets::muted(ui, &format!("{name} points to version {from} now; it will be moved."));
                }
                check_alias(&name).is_ok() && moves != Some(version)
            });
            parts.footer(|ui| buttons(ui, "Set alias", may, false))
        });
        match (answer, ask) {
            (Some(true), _) => {
                let label = format!("{name} of {model} is version {version} now");
                self.move_alias(cx, model, &name, Some(version), label);
            }
            (None, DialogAsk::Nothing) => self.dialog = Some(Dialog::Alias { version, name }),
            _ => {}
        }
    }
}

/// The buttons at the end of a dialog; `Some(false)` is "Cancel". Enter is the first one.
pub(crate) fn buttons(ui: &mut Ui, verb: &str, may: bool, busy: bool) -> Option<bool> {
    let mut answer = None;
    ui.horizontal(|ui| {
        ui.add_enabled_ui(may && !busy, |ui| {
            let clicked = widgets::button(ui, Kind::Primary, None, verb).clicked();
            if clicked || (may && !busy && widgets::enter_pressed(ui) && ui.memory(|memory| memory.focused().is_none()))
            {
                answer = Some(true);
            }
        });
        if widgets::button(ui, Kind::Secondary, None, "Cancel").clicked() {
            answer = Some(false);
        }
        if busy {
            widgets::loading(ui, "");
        }
    });
    answer
}

/// A model's name from a package's file name.
fn name_of(path: &str) -> String {
    let stem = file_name(path).rsplit_once('.').map_or(file_name(path), |(stem, _)| stem);
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' }).collect();
    name.trim_matches(['-', '_']).to_owned()
}

impl Importing {
    /// Draws it; false once it is to be closed.
    fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) -> bool {
        let (answer, ask) = widgets::dialog_parts(ui, "import", "Import a model", WIDTH, |parts| {
            parts.body(|ui| {
                widgets::muted(
                    ui,
                    "A package of Athanor, or an ONNX file from elsewhere. It is checked first, and becomes the newest \
                     version of the model of this name.",
                );
                ui.add_space(size::SMALL_GAP);
                let (pressed, _) = path_field(ui, cx.desk, "Model file", &mut self.path, "model.athanor");
                if pressed && self.pick.is_none() {
                    self.pick = Some(cx.desk.ask(Pick {
                        kind: PickKind::Open,
                        title: "Import a model".to_owned(),
                        filter_name: "Models".to_owned(),
                        extensions: vec!["athanor".to_owned(), "onnx".to_owned()],
                        file_name: String::new(),
                        multiple: false,
                    }));
                }
                ui.add_space(size::TINY_GAP);
                let trouble =
                    check_model_name(&self.name).err().filter(|_| !self.name.is_empty()).map(|err| err.to_string());
                widgets::field(ui, "Model name", "", trouble.as_deref(), |ui| {
                    widgets::line_edit(ui, "Model name", &mut self.name, "tumours", false)
                });
                if let Some(failure) = &self.failure {
                    ui.add_space(size::TINY_GAP);
                    failure_note(ui, failure);
                    if let Some(key) = failure.subject.as_deref().filter(|_| failure.code == Code::Untrusted) {
                        ui.add_space(size::TINY_GAP);
                        widgets::label(ui, "Signed by");
                        widgets::copy_line(ui, "the signer's key", key);
                        widgets::check_text(
                            ui,
                            &mut self.trust,
                            "I know where this file comes from: trust the key that signed it",
                        );
                    }
                }
            });
            let may = !self.path.trim().is_empty() && check_model_name(&self.name).is_ok();
            parts.footer(|ui| buttons(ui, "Import", may, self.sent.is_some()))
        });
        match (answer, ask) {
            (Some(true), _) => {
                let refused = self.failure.take().filter(|failure| failure.code == Code::Untrusted && self.trust);
                let trust = refused.and_then(|failure| failure.subject);
                let (path, name) = (self.path.trim().to_owned(), self.name.clone());
                self.sent = Some(cx.desk.ask(ModelImport { path, name, trust }));
                true
            }
            (Some(false), _) => false,
            // A click beside it must not lose an import that is under way.
            (None, DialogAsk::Close) => self.sent.is_some(),
            (None, DialogAsk::Nothing) => true,
        }
    }
}

/// A failure with its hint, in place.
pub(crate) fn failure_note(ui: &mut Ui, failure: &Failure) {
    let text = match &failure.hint {
        Some(hint) => format!("{} {}", widgets::sentence(&failure.message), widgets::sentence(hint)),
        None => failure.message.clone(),
    };
    widgets::note(ui, Tone::Bad, &text);
}

impl Predicting {
    fn take(&mut self, cx: &mut Cx<'_>) {
        if let Some(path) = take_pick(cx, &mut self.pick) {
            (self.to, self.to_is_own) = (path, true);
        }
        if let Some(result) = self.work.as_ref().and_then(|work| work.take(cx.desk)) {
            self.work = None;
            if let Err(failure) = &result
                && failure.code == Code::Cancelled
            {
                cx.toasts.info("The prediction was stopped; no file was written");
                return;
            }
            if !self.open {
                match &result {
                    Ok(done) => {
                        let rows = format::plural(done.n_rows, "row");
                        cx.toasts.ok(format!("Predicted {rows} into {}", file_name(&self.to)));
                    }
                    Err(failure) => cx.toasts.failure(failure),
                }
            }
            self.outcome = Some(result);
        }
    }

    /// Names the file to write after the table.
    fn follow_table(&mut self) {
        if self.to_is_own || self.from.path.is_empty() {
            return;
        }
        let name = file_name(&self.from.path);
        let folder = self.from.path.get(..self.from.path.len() - name.len()).unwrap_or_default();
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "csv"));
        let ending = if ending.eq_ignore_ascii_case("parquet") { "parquet" } else { "csv" };
        self.to = format!("{folder}{stem}-predicted.{ending}");
    }

    fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let title = format!("Predict a table with {} version {}", self.model, self.version);
        let mut closed = false;
        let (_, ask) = widgets::dialog_parts(ui, "predict", &title, WIDTH + 40.0, |parts| {
            if let Some(Ok(done)) = &self.outcome {
                parts.body(|ui| result_ui(ui, done, &self.to));
                closed = parts.footer(|ui| widgets::button(ui, Kind::Primary, None, "Done").clicked());
                return;
            }
            let ends = |ending: &str, to: &str| to.trim().to_lowercase().ends_with(ending);
            parts.body(|ui| {
                ui.add_enabled_ui(self.work.is_none(), |ui| self.form_ui(ui, cx));
                if let Some(Err(failure)) = &self.outcome {
                    ui.add_space(size::TINY_GAP);
                    failure_note(ui, failure);
                }
                if let Some(work) = &self.work {
                    ui.add_space(size::SMALL_GAP);
                    work.dialog_ui(ui, cx.desk, far_words);
                } else if !self.to.trim().is_empty() && !ends(".csv", &self.to) && !ends(".parquet", &self.to) {
                    widgets::muted(ui, "The file to write ends with .csv or .parquet.");
                } else if !self.to.trim().is_empty() && self.to.trim() == self.from.path.trim() {
                    widgets::muted(ui, "The file to write must not be the table itself.");
                }
            });
            if let Some(work) = &mut self.work {
                closed = parts.footer(|ui| work.dialog_buttons(ui, cx.desk, "No file is written then"));
                return;
            }
            let may_write = ends(".csv", &self.to) || ends(".parquet", &self.to);
            let may = !self.from.path.trim().is_empty() && may_write && self.to.trim() != self.from.path.trim();
            match parts.footer(|ui| buttons(ui, "Predict", may, false)) {
                Some(true) => self.send(cx),
                Some(false) => closed = true,
                None => {}
            }
        });
        if closed || ask == DialogAsk::Close {
            self.open = false;
        }
    }

    fn form_ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.from.ui(ui, cx, "Choose a table to predict") {
            self.follow_table();
        }
        ui.add_space(size::TINY_GAP);
        let (pressed, changed) = path_field(ui, cx.desk, "File to write", &mut self.to, "predicted.csv");
        self.to_is_own |= changed;
        if pressed && self.pick.is_none() {
            let name = if self.to.is_empty() { "predicted.csv" } else { file_name(&self.to) };
            let ask = pick_table(PickKind::Save, "Where to write the predictions", name.to_owned());
            self.pick = Some(cx.desk.ask(ask));
        }
        ui.add_space(size::TINY_GAP);
        widgets::switch(ui, &mut self.keep_input, "Put the table's columns in front");
    }

    fn send(&mut self, cx: &mut Cx<'_>) {
        self.outcome = None;
        let (model, version, keep_input) = (self.model.clone(), self.version, self.keep_input);
        let (from, to) = (self.from.path.trim().to_owned(), self.to.trim().to_owned());
        self.work =
            Some(UnderWay::begin(cx.desk, |token| ModelPredict { model, version, from, to, keep_input, token }));
    }
}

/// How far a prediction is, in words: the engine counts rows in its note, and the share in thousandths.
fn far_words(far: &Far) -> String {
    if far.note.is_empty() { "Reading the table".to_owned() } else { far.note.clone() }
}

/// What was done.
fn result_ui(ui: &mut Ui, done: &PredictAnswer, to: &str) {
    let speed = if done.seconds > 0.0 { done.n_rows as f64 / done.seconds } else { 0.0 };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 32.0;
        widgets::figure(ui, "Rows predicted", &format::count(done.n_rows), "");
        widgets::figure(ui, "Took", &format::duration_millis((done.seconds * 1000.0) as i64), "");
        if speed >= 1.0 {
            widgets::figure(ui, "Rows a second", &format::count(speed as u64), "");
        }
    });
    ui.add_space(size::SMALL_GAP);
    widgets::copy_line(ui, "the file's path", to);
    notes_ui(ui, done);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_made_from_file_names() {
        for (path, expect) in [
            ("/home/ada/tumours-7.athanor", "tumours-7"),
            ("C:\\models\\my model.v2.athanor", "my-model-v2"),
            ("plain", "plain"),
            ("", ""),
            ("/x/-é-.athanor", ""),
        ] {
            assert_eq!(name_of(path), expect, "{path}");
        }
    }
}

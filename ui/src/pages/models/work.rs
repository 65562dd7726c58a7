//! What the page asked of the engine and has no answer to yet: aliases that move, checks, files that are written.

use std::collections::BTreeMap;

use athanor_protocol::{
    Failure,
    api::{ModelAlias, ModelExport, ModelVerify, Pick, PickKind, VerifyAnswer},
    registry::ModelVersion,
};
use egui::Ui;

use super::{
    deploy::Deploying,
    dialogs::{Dialog, Predicting},
};
use crate::{
    desk::{Desk, Ticket},
    pages::Cx,
    wire,
};

/// A check of a version.
pub(super) enum Check {
    /// On its way since then.
    Busy(Ticket<ModelVerify>, f64),
    /// Done.
    Done(Result<VerifyAnswer, Failure>),
}

/// Exports a version: first the user says where to.
struct Export {
    model: String,
    version: u32,
    pick: Option<Ticket<Pick>>,
    sent: Option<(Ticket<ModelExport>, String)>,
}

/// What waits for an answer.
#[derive(Default)]
pub(super) struct Work {
    moves: Vec<(Ticket<ModelAlias>, ModelAlias, String)>,
    checks: BTreeMap<(String, u32), Check>,
    exports: Vec<Export>,
    pub(super) dialog: Option<Dialog>,
    pub(super) predicting: Option<Predicting>,
    pub(super) deploying: Deploying,
}

/// The last part of a path, of any system.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Asks for a place to write a package to.
pub(super) fn pick_package(desk: &mut Desk, file_name: String) -> Ticket<Pick> {
    desk.ask(Pick {
        kind: PickKind::Save,
        title: "Export the model package".to_owned(),
        filter_name: "Model packages".to_owned(),
        extensions: vec!["athanor".to_owned()],
        file_name,
        multiple: false,
    })
}

impl Work {
    /// Moves or removes an alias.
    pub(super) fn move_alias(
        &mut self,
        cx: &mut Cx<'_>,
        model: &str,
        alias: &str,
        version: Option<u32>,
        label: String,
    ) {
        if !cx.desk.may_change() {
            return;
        }
        let ask = ModelAlias { model: model.to_owned(), alias: alias.to_owned(), version };
        self.moves.push((cx.desk.ask(ask.clone()), ask, label));
    }

    /// Checks a version's bytes and signature.
    pub(super) fn verify(&mut self, cx: &mut Cx<'_>, model: &str, version: u32) {
        let ticket = cx.desk.ask(ModelVerify { model: model.to_owned(), version });
        self.checks.insert((model.to_owned(), version), Check::Busy(ticket, cx.desk.now_secs()));
    }

    /// What a check found.
    pub(super) fn check(&self, model: &str, version: u32) -> Option<&Check> {
        self.checks.get(&(model.to_owned(), version))
    }

    /// Writes a version's package to a file that the user names.
    pub(super) fn export(&mut self, cx: &mut Cx<'_>, model: &str, version: u32) {
        let pick = Some(pick_package(cx.desk, format!("{model}-{version}.athanor")));
        self.exports.push(Export { model: model.to_owned(), version, pick, sent: None });
    }

    /// Whether a package is being written.
    pub(super) fn exporting(&self) -> bool {
        self.exports.iter().any(|export| export.sent.is_some())
    }

    /// Takes in what has come; true when the lists may be old now.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut changed = false;
        let moves = std::mem::take(&mut self.moves);
        for (ticket, ask, label) in moves {
            match cx.desk.take(ticket) {
                None => self.moves.push((ticket, ask, label)),
                Some(Ok(moved)) => {
                    changed = true;
                    if moved.previous != ask.version {
                        let back = ModelAlias { version: moved.previous, ..ask.clone() };
                        cx.undo.push(label.clone(), vec![back.into()], vec![ask.into()]);
                        cx.toasts.undoable(label);
                    }
                }
                Some(Err(failure)) => {
                    changed = true;
                    cx.toasts.failure(&failure);
                }
            }
        }
        for check in self.checks.values_mut() {
            if let Check::Busy(ticket, _) = check
                && let Some(result) = cx.desk.take(*ticket)
            {
                *check = Check::Done(result);
            }
        }
        self.take_exports(cx);
        self.deploying.take(cx);
        changed |= self.take_dialogs(cx);
        changed
    }

    fn take_exports(&mut self, cx: &mut Cx<'_>) {
        self.exports.retain_mut(|export| {
            if let Some(pick) = export.pick
                && let Some(result) = cx.desk.take(pick)
            {
                export.pick = None;
                match result {
                    Ok(picked) => match picked.paths.first() {
                        Some(path) => export.send(cx, path),
                        None => return false,
                    },
                    Err(failure) => {
                        cx.toasts.failure(&failure);
                        return false;
                    }
                }
            }
            if let Some((ticket, path)) = &export.sent
                && let Some(result) = cx.desk.take(*ticket)
            {
                match result {
                    Ok(_) => {
                        let Export { model, version, .. } = export;
                        cx.toasts
                            .ok(format!("Exported {model} version {version} to {}", file_name(wire::shown_path(path))));
                    }
                    Err(failure) => cx.toasts.failure(&failure),
                }
                return false;
            }
            export.pick.is_some() || export.sent.is_some()
        });
    }

    /// Draws what is open over the page.
    pub(super) fn ui(&mut self, ui: &Ui, cx: &mut Cx<'_>, model: &str, items: &[ModelVersion]) {
        self.dialogs_ui(ui, cx, model, items);
        self.deploying.ui(ui, cx);
    }
}

impl Export {
    fn send(&mut self, cx: &mut Cx<'_>, path: &str) {
        let ask = ModelExport { model: self.model.clone(), version: self.version, path: path.to_owned() };
        self.sent = Some((cx.desk.ask(ask), path.to_owned()));
    }
}

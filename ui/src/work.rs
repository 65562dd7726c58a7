//! Requests that take the engine long: they tell how far they are and can be stopped, both under a token.

use athanor_protocol::{
    Failure,
    api::{Ask, WorkCancel},
};
use egui::Ui;

use crate::{
    desk::{Desk, Ticket},
    icons::ph,
    widgets,
};

/// From when on people should see that something is on its way.
const SLOW_SECS: f64 = 0.25;

/// How far the engine is with something.
#[derive(Debug, Clone, Default)]
pub struct Far {
    /// Units done.
    pub done: u64,
    /// Units in all, or 0.
    pub total: u64,
    /// What is being done.
    pub note: String,
}

impl Far {
    /// The share that is done, where it is known.
    pub fn share(&self) -> Option<f32> {
        (self.total > 0).then(|| self.done as f32 / self.total as f32)
    }
}

/// A request under way.
pub struct Work<R> {
    ticket: Ticket<R>,
    token: String,
    since: f64,
    stopping: bool,
}

impl<R: Ask> Work<R> {
    /// Sends what `request` makes of a new token.
    pub fn begin(desk: &mut Desk, request: impl FnOnce(String) -> R) -> Self {
        let token = desk.new_token();
        let ticket = desk.ask(request(token.clone()));
        Self { ticket, token, since: desk.now_secs(), stopping: false }
    }

    /// Takes the answer once it has come. An engine that was stopped answers with `Cancelled`.
    pub fn take(&self, desk: &mut Desk) -> Option<Result<R::Answer, Failure>> {
        let result = desk.take(self.ticket)?;
        desk.end_token(&self.token);
        Some(result)
    }

    /// Asks the engine to stop; the answer says whether it did in time.
    pub fn stop(&mut self, desk: &mut Desk) {
        if !std::mem::replace(&mut self.stopping, true) {
            desk.tell(WorkCancel { token: self.token.clone() }.into());
        }
    }

    /// Stops it; nobody waits for its answer.
    pub fn give_up(mut self, desk: &mut Desk) {
        self.stop(desk);
        desk.forget(self.ticket);
        desk.end_token(&self.token);
    }

    /// How far it is, in a dialog: a bar over its whole width, and a line. `line` makes the words of what is known.
    pub fn dialog_ui(&self, ui: &mut Ui, desk: &Desk, line: impl FnOnce(&Far) -> String) {
        let begun = Far::default();
        let far = desk.far(&self.token).unwrap_or(&begun);
        let width = ui.available_width();
        widgets::progress(ui, far.share(), width);
        widgets::muted(ui, &if self.stopping { "Stopping".to_owned() } else { line(far) });
    }

    /// The buttons of its dialog; true when the dialog is to be closed while the work goes on. `kept` tells what a stop
    /// leaves.
    pub fn dialog_buttons(&mut self, ui: &mut Ui, desk: &mut Desk, kept: &str) -> bool {
        ui.horizontal(|ui| {
            let button = widgets::button(ui, widgets::Kind::Secondary, None, "Go on in the background");
            let closed = button.on_hover_text("A message tells when it is done").clicked();
            ui.add_enabled_ui(!self.stopping, |ui| {
                if widgets::secondary(ui, ph::STOP, "Stop").on_hover_text(kept).clicked() {
                    self.stop(desk);
                }
            });
            closed
        })
        .inner
    }

    /// Shows how far it is, with a button that stops it, once it has taken so long that people should see it.
    pub fn ui(&mut self, ui: &mut Ui, desk: &mut Desk, what: &str) {
        if self.is_slow(ui, desk) && line(ui, what, desk.far(&self.token), self.stopping) {
            self.stop(desk);
        }
    }

    /// [`Work::ui`] where the button stands elsewhere.
    pub fn told_ui(&self, ui: &mut Ui, desk: &Desk, what: &str) {
        if self.is_slow(ui, desk) {
            told(ui, what, desk.far(&self.token), self.stopping);
        }
    }

    fn is_slow(&self, ui: &Ui, desk: &Desk) -> bool {
        let slow = desk.now_secs() - self.since >= SLOW_SECS;
        if !slow {
            ui.ctx().request_repaint_after_secs(0.1);
        }
        slow
    }
}

/// One line that tells how far something is, with a button that stops it; whether it was clicked.
pub fn line(ui: &mut Ui, what: &str, far: Option<&Far>, stopping: bool) -> bool {
    let mut clicked = false;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 10.0;
        told(ui, what, far, stopping);
        ui.add_enabled_ui(!stopping, |ui| clicked = widgets::secondary(ui, ph::STOP, "Stop").clicked());
    });
    clicked
}

fn told(ui: &mut Ui, what: &str, far: Option<&Far>, stopping: bool) {
    widgets::progress(ui, far.and_then(Far::share), 120.0);
    let note = far.map(|far| far.note.as_str()).filter(|note| !note.is_empty());
    let note = note.map_or_else(|| what.to_owned(), |note| format!("{what}: {note}"));
    widgets::muted(ui, if stopping { "Stopping" } else { &note });
}

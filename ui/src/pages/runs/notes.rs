//! Notes that are being written: kept until the engine has them, whatever happens meanwhile.

use std::collections::HashMap;

use athanor_protocol::{Failure, api::RunNote, names::RunId};

use crate::{desk::Ticket, pages::Cx};

/// Seconds after the last letter at which a note is saved.
const PAUSE: f64 = 0.7;

struct Draft {
    text: String,
    changed_at: f64,
    /// What is on its way.
    sent: Option<(Ticket<RunNote>, String)>,
    /// What the engine has, as far as is known.
    saved: Option<String>,
    error: Option<Failure>,
}

/// Notes that the engine may not have yet.
#[derive(Default)]
pub(super) struct Notes {
    drafts: HashMap<RunId, Draft>,
}

impl Notes {
    /// What is written about a run, if it is not what the engine has.
    pub(super) fn text(&self, run: &RunId) -> Option<&str> {
        self.drafts.get(run).map(|draft| draft.text.as_str())
    }

    /// Why it could not be saved.
    pub(super) fn error(&self, run: &RunId) -> Option<&Failure> {
        self.drafts.get(run).and_then(|draft| draft.error.as_ref())
    }

    /// Whether it is not saved yet.
    pub(super) fn unsaved(&self, run: &RunId) -> bool {
        self.drafts.get(run).is_some_and(|draft| draft.saved.as_deref() != Some(draft.text.as_str()))
    }

    /// Somebody has written.
    pub(super) fn write(&mut self, run: &RunId, text: String, now_secs: f64) {
        let draft = self.drafts.entry(run.clone()).or_insert_with(|| Draft {
            text: String::new(),
            changed_at: 0.0,
            sent: None,
            saved: None,
            error: None,
        });
        draft.text = text;
        draft.changed_at = now_secs;
        draft.error = None;
    }

    /// The engine has this note: a draft that says the same is no longer needed.
    pub(super) fn settle(&mut self, run: &RunId, note: &str) {
        if self.drafts.get(run).is_some_and(|draft| draft.sent.is_none() && draft.error.is_none() && draft.text == note)
        {
            self.drafts.remove(run);
        }
    }

    /// Saves it now.
    pub(super) fn save(&mut self, run: &RunId) {
        if let Some(draft) = self.drafts.get_mut(run) {
            draft.changed_at = f64::NEG_INFINITY;
            draft.error = None;
        }
    }

    /// Saves everything at once.
    pub(super) fn save_all(&mut self, cx: &mut Cx<'_>) {
        for draft in self.drafts.values_mut() {
            draft.changed_at = f64::NEG_INFINITY;
        }
        self.tick(cx);
    }

    /// Sends what is due and takes in what has come.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>) {
        let now = cx.desk.now_secs();
        for (run, draft) in &mut self.drafts {
            if let Some((ticket, text)) = &draft.sent
                && let Some(result) = cx.desk.take(*ticket)
            {
                match result {
                    Ok(_) => draft.saved = Some(text.clone()),
                    Err(failure) => draft.error = Some(failure),
                }
                draft.sent = None;
            }
            let due = now >= draft.changed_at + PAUSE && draft.error.is_none();
            if draft.sent.is_none() && due && draft.saved.as_deref() != Some(draft.text.as_str()) {
                let ask = RunNote { run: run.clone(), note: draft.text.clone() };
                draft.sent = Some((cx.desk.ask(ask), draft.text.clone()));
            }
        }
    }

    /// Seconds until something is due.
    pub(super) fn wait(&self, now_secs: f64) -> Option<f64> {
        let waiting = self.drafts.values().filter(|draft| {
            draft.sent.is_none() && draft.error.is_none() && draft.saved.as_deref() != Some(draft.text.as_str())
        });
        waiting.map(|draft| (draft.changed_at + PAUSE - now_secs).max(0.0)).reduce(f64::min)
    }
}

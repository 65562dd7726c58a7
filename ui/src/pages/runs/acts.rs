//! What is done to runs: stop, go on, delete, bring back, tag. Each says what came of it and can be undone where that
//! makes sense.

use athanor_protocol::{
    Failure,
    api::{RunCancel, RunDelete, RunRestore, RunResume, RunTag},
    names::RunId,
    run::RunSummary,
};

use super::naming::run_name;
use crate::{desk::Ticket, format, pages::Cx};

enum Waiting {
    Cancel(Ticket<RunCancel>, String),
    Resume(Ticket<RunResume>, String),
    Delete(Ticket<RunDelete>, Vec<RunId>),
    Restore(Ticket<RunRestore>, Vec<RunId>),
    Tag(Ticket<RunTag>, RunTag, Option<String>),
}

/// What is being done.
#[derive(Default)]
pub(super) struct Acts {
    waiting: Vec<Waiting>,
}

impl Acts {
    /// Stops a run.
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>, run: &RunSummary) {
        let ticket = cx.desk.ask(RunCancel { run: run.id.clone() });
        self.waiting.push(Waiting::Cancel(ticket, run_name(run)));
    }

    /// Goes on with a run.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, run: &RunSummary) {
        let ticket = cx.desk.ask(RunResume { run: run.id.clone() });
        self.waiting.push(Waiting::Resume(ticket, run_name(run)));
    }

    /// Deletes runs.
    pub(super) fn delete(&mut self, cx: &mut Cx<'_>, runs: Vec<RunId>) {
        if !runs.is_empty() {
            let ticket = cx.desk.ask(RunDelete { runs: runs.clone() });
            self.waiting.push(Waiting::Delete(ticket, runs));
        }
    }

    /// Brings runs back.
    pub(super) fn restore(&mut self, cx: &mut Cx<'_>, runs: Vec<RunId>) {
        if !runs.is_empty() {
            let ticket = cx.desk.ask(RunRestore { runs: runs.clone() });
            self.waiting.push(Waiting::Restore(ticket, runs));
        }
    }

    /// Sets or removes a tag; `before` is what it was.
    pub(super) fn tag(
        &mut self,
        cx: &mut Cx<'_>,
        run: &RunId,
        key: &str,
        value: Option<String>,
        before: Option<String>,
    ) {
        if value == before {
            return;
        }
        let ask = RunTag { run: run.clone(), key: key.to_owned(), value };
        self.waiting.push(Waiting::Tag(cx.desk.ask(ask.clone()), ask, before));
    }

    /// Whether a run is being stopped or gone on with.
    pub(super) fn busy(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting, Waiting::Cancel(..) | Waiting::Resume(..)))
    }

    /// Takes in what came of it. Gives back the runs that are no longer part of the list.
    pub(super) fn poll(&mut self, cx: &mut Cx<'_>) -> Vec<RunId> {
        let mut gone = vec![];
        let mut tagged: Vec<(RunTag, Option<String>)> = vec![];
        self.waiting.retain(|waiting| {
            let result: Option<Result<(), Failure>> = match waiting {
                Waiting::Cancel(ticket, name) => cx
                    .desk
                    .take(*ticket)
                    .map(|result| result.map(|_| cx.toasts.info(format!("{name} is being stopped")))),
                Waiting::Resume(ticket, name) => {
                    cx.desk.take(*ticket).map(|result| result.map(|_| cx.toasts.ok(format!("{name} goes on"))))
                }
                Waiting::Delete(ticket, runs) => cx.desk.take(*ticket).map(|result| {
                    result.map(|_| {
                        let what = format!("Deleted {}", format::plural(runs.len() as u64, "run"));
                        let undo = RunRestore { runs: runs.clone() }.into();
                        let redo = RunDelete { runs: runs.clone() }.into();
                        cx.undo.push(what.clone(), vec![undo], vec![redo]);
                        cx.toasts.undoable(what);
                        gone.extend(runs.iter().cloned());
                    })
                }),
                Waiting::Restore(ticket, runs) => cx.desk.take(*ticket).map(|result| {
                    result.map(|_| {
                        let what = format!("Brought back {}", format::plural(runs.len() as u64, "run"));
                        let undo = RunDelete { runs: runs.clone() }.into();
                        let redo = RunRestore { runs: runs.clone() }.into();
                        cx.undo.push(what.clone(), vec![undo], vec![redo]);
                        cx.toasts.undoable(what);
                        gone.extend(runs.iter().cloned());
                    })
                }),
                Waiting::Tag(ticket, ask, before) => {
                    cx.desk.take(*ticket).map(|result| result.map(|_| tagged.push((ask.clone(), before.clone()))))
                }
            };
            match result {
                None => true,
                Some(done) => {
                    if let Err(failure) = done {
                        cx.toasts.failure(&failure);
                    }
                    false
                }
            }
        });
        if let Some((first, _)) = tagged.first() {
            // Tags that came in one answer were set in one go.
            let verb = if first.value.is_some() { "Tagged" } else { "Removed the tag from" };
            let what = format!("{verb} {}", format::plural(tagged.len() as u64, "run"));
            let undo =
                |(ask, before): &(RunTag, Option<String>)| RunTag { value: before.clone(), ..ask.clone() }.into();
            let redo = tagged.iter().map(|(ask, _)| ask.clone().into()).collect();
            cx.undo.push(what.clone(), tagged.iter().map(undo).collect(), redo);
            cx.toasts.undoable(what);
        }
        gone
    }
}

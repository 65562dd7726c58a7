//! What people write on runs: tags, notes, the mark of deletion.

use std::sync::Arc;

use athanor_protocol::{
    Failure,
    api::{Done, RunDelete, RunNote, RunRestore, RunTag},
    names::RunId,
};
use athanor_store::Store;

use super::{Desk, changed};

fn mark(
    desk: &Arc<Desk>,
    runs: &[RunId],
    mark: impl Fn(&dyn Store, &RunId) -> athanor_store::Result<()>,
) -> Result<Done, Failure> {
    let workspace = desk.workspace()?;
    for run in runs {
        mark(&*workspace.store, run)?;
        changed(desk, &workspace, run);
    }
    Ok(Done {})
}

pub(in crate::desk) fn run_delete(desk: &Arc<Desk>, ask: RunDelete) -> Result<Done, Failure> {
    let now = desk.workspace()?.clock.now_millis();
    mark(desk, &ask.runs, |store, run| store.delete_run(run, now))
}

pub(in crate::desk) fn run_restore(desk: &Arc<Desk>, ask: RunRestore) -> Result<Done, Failure> {
    mark(desk, &ask.runs, |store, run| store.restore_run(run))
}

pub(in crate::desk) fn run_tag(desk: &Arc<Desk>, ask: RunTag) -> Result<Done, Failure> {
    mark(desk, std::slice::from_ref(&ask.run), |store, run| match &ask.value {
        Some(value) => store.set_tag(run, &ask.key, value),
        None => store.remove_tag(run, &ask.key).map(drop),
    })
}

pub(in crate::desk) fn run_note(desk: &Arc<Desk>, ask: RunNote) -> Result<Done, Failure> {
    mark(desk, std::slice::from_ref(&ask.run), |store, run| store.set_note(run, &ask.note))
}

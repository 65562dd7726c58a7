//! Workflows in the window: saved documents and drafts, what only the engine knows of them, and ones that are made for a
//! table.

mod documents;
mod inspect;
mod names;
mod preview;
mod starter;
mod tables;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use athanor_protocol::{Failure, table::TableSchema, workflow::Workflow};

pub(super) use self::{
    documents::{
        save_if_missing, workflow_delete, workflow_discard, workflow_draft, workflow_export, workflow_import,
        workflow_list, workflow_load, workflow_rename, workflow_save,
    },
    inspect::workflow_inspect,
    preview::workflow_preview,
    starter::workflow_starter,
};
use super::{Desk, host::lock};
use crate::{
    Result, files,
    flow::{plan::ResolvedSource, source},
    workspace::Workspace,
};

/// Most remembered schemas and digests; beyond that all are forgotten and found out again.
const MAX_REMEMBERED: usize = 2_000;

/// What is remembered of workflows between requests. Everything can be found out again.
#[derive(Default)]
pub(super) struct FlowState {
    /// Held while documents are written, so that of two who save at once one learns of the other.
    writing: Mutex<()>,
    /// Digests of files by path and state.
    digests: Mutex<HashMap<(PathBuf, FileState), String>>,
    /// Schemas of plans by what they are made of.
    schemas: Mutex<HashMap<String, Result<TableSchema, Failure>>>,
    /// The last prepared table that somebody looked at.
    prepared: Mutex<Option<(String, preview::Prepared)>>,
}

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileState {
    n_bytes: u64,
    modified_nanos: u128,
}

impl FileState {
    /// The state of a file now; `None` where it is not there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        let since = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok();
        Some(Self { n_bytes: meta.len(), modified_nanos: since.map_or(0, |since| since.as_nanos()) })
    }
}

impl FlowState {
    /// The digest of a file's bytes, read again only when the file changed. With `at_most`, a larger file that was not
    /// read before has none. `go_on` is as in [`files::digest_file_watched`].
    fn digest(&self, path: &Path, at_most: Option<u64>, go_on: &mut dyn FnMut(u64) -> bool) -> Result<Option<String>> {
        let state = FileState::of(path);
        let key = state.map(|state| (path.to_owned(), state));
        if let Some(digest) = key.as_ref().and_then(|key| lock(&self.digests).get(key).cloned()) {
            return Ok(Some(digest));
        }
        if at_most.is_some_and(|at_most| state.is_none_or(|state| state.n_bytes > at_most)) {
            return Ok(None);
        }
        let (digest, _) = files::digest_file_watched(path, go_on)?;
        if let Some(key) = key.filter(|(_, state)| FileState::of(path) == Some(*state)) {
            let mut digests = lock(&self.digests);
            if digests.len() >= MAX_REMEMBERED {
                digests.clear();
            }
            digests.insert(key, digest.clone());
        }
        Ok(Some(digest))
    }
}

/// Where relative paths in a workflow start: at the workspace's tables, or at the workspace.
pub(super) fn folders(workspace: &Workspace) -> [PathBuf; 2] {
    [workspace.root().join("data"), workspace.root().to_owned()]
}

/// The files that a workflow opens, with their digests. `go_on` hears of every file how many of its bytes are read, and
/// stops it all where it says `false`.
///
/// # Errors
/// If one is not there or cannot be read; names the node. `Cancelled` where it was stopped.
pub(super) fn sources(
    desk: &Desk,
    workspace: &Workspace,
    workflow: &Workflow,
    go_on: &mut dyn FnMut(&Path, u64) -> bool,
) -> Result<std::collections::BTreeMap<String, ResolvedSource>> {
    source::resolve_in(workflow, &folders(workspace), &mut |path| {
        let digest = desk.flow.digest(path, None, &mut |n_bytes| go_on(path, n_bytes))?;
        Ok(digest.unwrap_or_default())
    })
}

/// The nodes of a workflow that `keep` names, with the links between them.
pub(super) fn part_of(workflow: &Workflow, keep: &dyn Fn(&str) -> bool) -> Workflow {
    let mut part = workflow.clone();
    part.nodes.retain(|node| keep(&node.id));
    part.links.retain(|link| keep(&link.from.node) && keep(&link.to.node));
    part
}

/// A document as text, read.
///
/// # Errors
/// If it is no workflow.
pub(super) fn read(json: &str) -> Result<Workflow, Failure> {
    Workflow::from_json(json)
}

type Shared<'a> = &'a Arc<Desk>;

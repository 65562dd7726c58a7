//! Saved workflows and drafts: files of the workspace, `workflows/<name>.json` and `workflows/drafts/<name>.json`.
//!
//! A revision is a number beside the document, with the digest of the bytes that it means: a document that somebody else
//! changed, git for example, counts as saved once more.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, Event, WorkflowDelete, WorkflowDiscard, WorkflowDoc, WorkflowDraft, WorkflowEntries, WorkflowEntry,
        WorkflowExport, WorkflowImport, WorkflowList, WorkflowLoad, WorkflowRename, WorkflowSave, WorkflowSaved,
    },
    workflow::{MAX_WORKFLOW_BYTES, Workflow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Shared, lock, names};
use crate::{EngineError, error::IoContext, files, workspace::Workspace};

/// Most saved workflows that are looked at for a list.
const MAX_LISTED: usize = 5_000;
/// Larger documents are not opened for a list.
const MAX_LISTED_BYTES: u64 = 4 << 20;

/// The files of one workflow. Names are checked before.
struct Files {
    saved: PathBuf,
    draft: PathBuf,
    revision: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Revision {
    revision: u64,
    /// Digest of the document; empty where it was deleted.
    digest: String,
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("workflows")
}

fn files_of(workspace: &Workspace, name: &str) -> Result<Files, Failure> {
    names::check(name)?;
    let folder = folder(workspace);
    let file = format!("{name}.json");
    Ok(Files {
        saved: folder.join(&file),
        draft: folder.join("drafts").join(&file),
        revision: folder.join(".revisions").join(&file),
    })
}

/// A file's text; `None` where it is not there.
fn text(path: &Path) -> Result<Option<String>, Failure> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {}
        // A pipe would be waited for, for ever.
        Ok(_) => return Err(Failure::new(Code::BadData, format!("this is no file: {}", path.display()))),
        Err(_) => return Ok(None),
    }
    let bytes = files::read_limited(path, MAX_WORKFLOW_BYTES as u64)?;
    let not_text = || Failure::new(Code::BadData, format!("this is no workflow: {} is not text", path.display()));
    String::from_utf8(bytes).map(Some).map_err(|_| not_text())
}

fn remove(path: &Path) -> Result<bool, Failure> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(EngineError::Io { verb: "remove", path: path.to_owned(), source: err }.into()),
    }
}

fn modified(path: &Path) -> i64 {
    let since = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let since = since.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Files {
    fn known(&self) -> Revision {
        let bytes = files::read_limited(&self.revision, 4096).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn note(&self, revision: &Revision) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(revision).map_err(std::io::Error::from).at("write", &self.revision)?;
        Ok(files::write_atomic(&self.revision, &bytes)?)
    }

    /// The revision of a document that is there now.
    fn current(&self, document: Option<&str>) -> Revision {
        let known = self.known();
        match document.map(|document| files::digest_bytes(document.as_bytes())) {
            None => Revision { digest: String::new(), ..known },
            Some(digest) if digest == known.digest => known,
            Some(digest) => Revision { revision: known.revision + 1, digest },
        }
    }

    /// Puts a document in its place as the next revision.
    fn save(&self, document: &str, before: &Revision) -> Result<u64, Failure> {
        let digest = files::digest_bytes(document.as_bytes());
        files::write_atomic(&self.saved, document.as_bytes())?;
        // Should the number not be written, the changed digest counts it up all the same.
        let next = Revision { revision: before.revision + 1, digest };
        self.note(&next)?;
        Ok(next.revision)
    }
}

pub(in crate::desk) fn workflow_list(desk: Shared<'_>, _: WorkflowList) -> Result<WorkflowEntries, Failure> {
    let workspace = desk.workspace()?;
    let folder = folder(&workspace);
    let names_in = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned));
        names.filter(|name| names::check(name).is_ok()).take(MAX_LISTED).collect()
    };
    let drafts = names_in(&folder.join("drafts"));
    let mut all = names_in(&folder);
    all.extend(drafts.iter().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>());
    let mut items = vec![];
    for name in all {
        let files = files_of(&workspace, &name)?;
        let has_draft = drafts.contains(&name);
        let path = if files.saved.exists() { &files.saved } else { &files.draft };
        let read = match fs::metadata(path) {
            Ok(meta) if meta.len() > MAX_LISTED_BYTES => Ok(None),
            _ => text(path)
                .and_then(|json| Workflow::from_json(&json.unwrap_or_default()))
                .map(|workflow| u32::try_from(workflow.nodes.len()).ok()),
        };
        let saved_at_millis = modified(path);
        let (n_nodes, problem) = match read {
            Ok(n_nodes) => (n_nodes, None),
            Err(failure) => (None, Some(failure.message)),
        };
        items.push(WorkflowEntry { name, saved_at_millis, n_nodes, has_draft, problem });
    }
    items.sort_by(|a, b| b.saved_at_millis.cmp(&a.saved_at_millis).then_with(|| a.name.cmp(&b.name)));
    Ok(WorkflowEntries { items })
}

fn document(desk: Shared<'_>, name: &str) -> Result<WorkflowDoc, Failure> {
    let workspace = desk.workspace()?;
    let files = files_of(&workspace, name)?;
    let (saved, draft) = (text(&files.saved)?, text(&files.draft)?);
    if saved.is_none() && draft.is_none() {
        return Err(not_found(name));
    }
    let current = files.current(saved.as_deref());
    if saved.is_some() && current != files.known() {
        // Written down, so that a second change by somebody else counts as a second one. Not on a read-only disk.
        let _ = files.note(&current);
    }
    Ok(WorkflowDoc {
        name: name.to_owned(),
        revision: if saved.is_some() { current.revision } else { 0 },
        draft: draft.filter(|draft| Some(draft) != saved.as_ref()),
        json: saved.unwrap_or_default(),
    })
}

fn not_found(name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("there is no workflow {name:?}")).on(name)
}

pub(in crate::desk) fn workflow_load(desk: Shared<'_>, ask: WorkflowLoad) -> Result<WorkflowDoc, Failure> {
    let _writing = lock(&desk.flow.writing);
    document(desk, &ask.name)
}

pub(in crate::desk) fn workflow_save(desk: Shared<'_>, ask: WorkflowSave) -> Result<WorkflowSaved, Failure> {
    // Only what can be opened again is saved; a draft may be anything.
    Workflow::from_json(&ask.json)?;
    let _writing = lock(&desk.flow.writing);
    let workspace = desk.workspace()?;
    let files = files_of(&workspace, &ask.name)?;
    let saved = text(&files.saved)?;
    let current = files.current(saved.as_deref());
    let found = if saved.is_some() { current.revision } else { 0 };
    if ask.expected.is_some_and(|expected| expected != found) {
        let what = if saved.is_some() { "was saved by somebody else since you opened it" } else { "was deleted" };
        return Err(Failure::new(Code::Conflict, format!("workflow {:?} {what}", ask.name))
            .on(ask.name)
            .hint("open it again to see what changed, or save yours over it or under another name"));
    }
    let unchanged = saved.as_deref() == Some(ask.json.as_str());
    let revision = if unchanged { current.revision } else { files.save(&ask.json, &current)? };
    if unchanged && current != files.known() {
        files.note(&current)?;
    }
    remove(&files.draft)?;
    desk.publish(Event::WorkflowsChanged {});
    Ok(WorkflowSaved { revision, saved_at_millis: modified(&files.saved) })
}

/// Saves a document under a name that is not taken yet; does nothing where it is.
///
/// # Errors
/// If it cannot be written.
pub(in crate::desk) fn save_if_missing(desk: Shared<'_>, name: &str, json: &str) -> Result<(), Failure> {
    let files = files_of(&*desk.workspace()?, name)?;
    if files.saved.exists() {
        return Ok(());
    }
    let save = WorkflowSave { name: name.to_owned(), json: json.to_owned(), expected: None };
    workflow_save(desk, save).map(drop)
}

pub(in crate::desk) fn workflow_draft(desk: Shared<'_>, ask: WorkflowDraft) -> Result<Done, Failure> {
    if ask.json.len() > MAX_WORKFLOW_BYTES {
        let message = format!("a workflow has at most {MAX_WORKFLOW_BYTES} bytes");
        return Err(Failure::new(Code::TooLarge, message).on(ask.name));
    }
    let _writing = lock(&desk.flow.writing);
    let files = files_of(&*desk.workspace()?, &ask.name)?;
    let is_new = !files.draft.exists();
    let changed = if text(&files.saved)?.as_ref() == Some(&ask.json) {
        remove(&files.draft)?
    } else {
        files::write_atomic(&files.draft, ask.json.as_bytes())?;
        is_new
    };
    if changed {
        desk.publish(Event::WorkflowsChanged {});
    }
    Ok(Done {})
}

pub(in crate::desk) fn workflow_discard(desk: Shared<'_>, ask: WorkflowDiscard) -> Result<Done, Failure> {
    let _writing = lock(&desk.flow.writing);
    if remove(&files_of(&*desk.workspace()?, &ask.name)?.draft)? {
        desk.publish(Event::WorkflowsChanged {});
    }
    Ok(Done {})
}

pub(in crate::desk) fn workflow_rename(desk: Shared<'_>, ask: WorkflowRename) -> Result<Done, Failure> {
    let _writing = lock(&desk.flow.writing);
    let workspace = desk.workspace()?;
    let (from, to) = (files_of(&workspace, &ask.name)?, files_of(&workspace, &ask.to)?);
    if ask.name == ask.to {
        return Ok(Done {});
    }
    // On some disks `Wine` and `wine` are one file; renaming one to the other is then no clash.
    let same_file = ask.name.to_lowercase() == ask.to.to_lowercase()
        && fs::canonicalize(&from.saved).ok().zip(fs::canonicalize(&to.saved).ok()).is_some_and(|(a, b)| a == b);
    if (to.saved.exists() || to.draft.exists()) && !same_file {
        return Err(Failure::new(Code::AlreadyExists, format!("there is a workflow {:?} already", ask.to))
            .on(ask.to)
            .hint("choose another name"));
    }
    let (saved, draft) = (text(&from.saved)?, text(&from.draft)?);
    if saved.is_none() && draft.is_none() {
        return Err(not_found(&ask.name));
    }
    // The new files are there before the old ones go: a kill in between leaves two workflows and never none.
    if let Some(saved) = &saved {
        let revision = from.current(Some(saved)).revision.max(to.known().revision);
        let document = renamed(saved, &ask.name, &ask.to);
        files::write_atomic(&to.saved, document.as_bytes())?;
        to.note(&Revision { revision, digest: files::digest_bytes(document.as_bytes()) })?;
    }
    if let Some(draft) = &draft {
        files::write_atomic(&to.draft, renamed(draft, &ask.name, &ask.to).as_bytes())?;
    }
    if !same_file {
        remove(&from.saved)?;
        remove(&from.draft)?;
        remove(&from.revision)?;
    }
    desk.publish(Event::WorkflowsChanged {});
    Ok(Done {})
}

/// The document under its new name, where it had the old one.
fn renamed(json: &str, from: &str, to: &str) -> String {
    match Workflow::from_json(json) {
        Ok(mut workflow) if workflow.name == from => {
            to.clone_into(&mut workflow.name);
            workflow.to_json()
        }
        _ => json.to_owned(),
    }
}

pub(in crate::desk) fn workflow_delete(desk: Shared<'_>, ask: WorkflowDelete) -> Result<Done, Failure> {
    let _writing = lock(&desk.flow.writing);
    let files = files_of(&*desk.workspace()?, &ask.name)?;
    let current = files.current(text(&files.saved).ok().flatten().as_deref());
    let removed = [remove(&files.saved)?, remove(&files.draft)?];
    if removed == [false, false] {
        return Err(not_found(&ask.name));
    }
    // The number stays, so that whoever still has the deleted document open learns of it when he saves.
    files.note(&Revision { digest: String::new(), ..current })?;
    desk.publish(Event::WorkflowsChanged {});
    Ok(Done {})
}

/// A failure that names the file which could not be read as a workflow.
fn of_file(path: &Path, failure: Failure) -> Failure {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let message = format!("{name}: {}", failure.message);
    let hint = match failure.code {
        Code::TooLarge => Some("divide it into several workflows; the file is left as it is".to_owned()),
        _ => failure.hint,
    };
    Failure { message, hint, subject: Some(path.display().to_string()), ..failure }
}

pub(in crate::desk) fn workflow_import(desk: Shared<'_>, ask: WorkflowImport) -> Result<WorkflowDoc, Failure> {
    let path = Path::new(&ask.path);
    let shown = || path.display().to_string();
    let json = match text(path) {
        Ok(Some(json)) => json,
        Ok(None) => return Err(Failure::new(Code::NotFound, format!("there is no file {}", shown())).on(shown())),
        Err(failure) => return Err(failure.on(shown())),
    };
    let mut workflow = Workflow::from_json(&json).map_err(|failure| of_file(path, failure))?;
    // From here on a relative path would start elsewhere, so those that lead to a file are written out.
    let from = path.parent().unwrap_or(Path::new("."));
    for node in workflow.nodes.iter_mut().filter(|node| node.kind == "table.open") {
        let full = node.params.get("path").and_then(Value::as_str).map(|path| from.join(path));
        if let Some(full) = full.and_then(|full| fs::canonicalize(full).ok()) {
            node.params.insert("path".to_owned(), Value::from(full.display().to_string()));
        }
    }
    let _writing = lock(&desk.flow.writing);
    let workspace = desk.workspace()?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let wish = if workflow.name.trim().is_empty() { &stem } else { &workflow.name };
    let is_taken =
        |name: &str| files_of(&workspace, name).is_ok_and(|files| files.saved.exists() || files.draft.exists());
    let name = names::unused(wish, &is_taken);
    name.clone_into(&mut workflow.name);
    let files = files_of(&workspace, &name)?;
    files.save(&workflow.to_json(), &files.known())?;
    desk.publish(Event::WorkflowsChanged {});
    document(desk, &name)
}

pub(in crate::desk) fn workflow_export(_: Shared<'_>, ask: WorkflowExport) -> Result<Done, Failure> {
    let path = Path::new(&ask.path);
    if !path.is_absolute() {
        return Err(Failure::new(Code::InvalidArgument, format!("{:?} is not a whole path", ask.path))
            .hint("name a file with all its folders"));
    }
    Workflow::from_json(&ask.json)?;
    files::write_atomic(path, ask.json.as_bytes())?;
    Ok(Done {})
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;

//! Looks up the files that a workflow opens, before it is planned.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use athanor_protocol::{
    Code, Failure,
    workflow::{Node, Workflow},
};

use super::plan::ResolvedSource;
use crate::{
    error::{EngineError, Result},
    files,
};

/// The file of each `table.open` node, with its digest. A relative path is looked up from the workflow's own folder.
///
/// # Errors
/// If a file is not there, is no regular file, or cannot be read; names the node.
pub fn resolve(workflow: &Workflow, folder: &Path) -> Result<BTreeMap<String, ResolvedSource>> {
    let mut digests: BTreeMap<PathBuf, String> = BTreeMap::new();
    resolve_in(workflow, &[folder.to_owned()], &mut |path| match digests.get(path) {
        Some(digest) => Ok(digest.clone()),
        None => {
            let (digest, _) = files::digest_file(path)?;
            digests.insert(path.to_owned(), digest.clone());
            Ok(digest)
        }
    })
}

/// [`resolve`] with several folders from which a relative path may start, and with the caller's way to a digest.
///
/// # Errors
/// As [`resolve`]; and whatever `digest` returns.
pub fn resolve_in(
    workflow: &Workflow,
    folders: &[PathBuf],
    digest: &mut dyn FnMut(&Path) -> Result<String>,
) -> Result<BTreeMap<String, ResolvedSource>> {
    let mut sources = BTreeMap::new();
    for node in workflow.nodes.iter().filter(|node| node.kind == "table.open") {
        let Some(path) = node.params.get("path").and_then(|path| path.as_str()) else { continue };
        let full = find(node, path, folders)?;
        let digest = digest(&full)?;
        let name = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = std::path::absolute(&full).unwrap_or(full).to_string_lossy().into_owned();
        sources.insert(node.id.clone(), ResolvedSource { path, name, digest });
    }
    Ok(sources)
}

/// The regular file that a node's path means: from the first folder in which it is there.
///
/// # Errors
/// If there is none; names the node.
pub fn find(node: &Node, path: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    let places = || folders.iter().map(|folder| folder.join(path));
    let full = places().find(|full| full.exists()).or_else(|| places().next()).unwrap_or_else(|| PathBuf::from(path));
    let refuse = |code, what: &str| {
        let failure = Failure::new(code, format!("node {:?}: {what}: {}", node.id, full.display())).on(node.id.clone());
        let hint = match folders {
            [_] => "a relative path starts at the folder of the workflow file",
            _ => "choose the file again; a relative path starts at the workspace's folder or at 'data' in it",
        };
        EngineError::Failure(failure.hint(hint))
    };
    match std::fs::metadata(&full) {
        Ok(meta) if meta.is_file() => Ok(full),
        Ok(_) => Err(refuse(Code::BadData, "this is no regular file")),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Err(refuse(Code::NotFound, "there is no such file")),
        Err(err) => Err(refuse(Code::from_io(&err), &format!("the file cannot be opened ({err})"))),
    }
}

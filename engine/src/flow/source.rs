//! Looks up the files that a workflow opens, before it is planned.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure, workflow::Workflow};

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
    let mut sources = BTreeMap::new();
    let mut digests: BTreeMap<PathBuf, String> = BTreeMap::new();
    for node in workflow.nodes.iter().filter(|node| node.kind == "table.open") {
        let Some(path) = node.params.get("path").and_then(|path| path.as_str()) else { continue };
        let full = folder.join(path);
        let refuse = |code, what: &str| {
            let failure =
                Failure::new(code, format!("node {:?}: {what}: {}", node.id, full.display())).on(node.id.clone());
            EngineError::Failure(failure.hint("a relative path starts at the folder of the workflow file"))
        };
        let meta = match std::fs::metadata(&full) {
            Ok(meta) => meta,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                return Err(refuse(Code::NotFound, "there is no such file"));
            }
            Err(err) => return Err(refuse(Code::from_io(&err), &format!("the file cannot be opened ({err})"))),
        };
        if !meta.is_file() {
            return Err(refuse(Code::BadData, "this is no regular file"));
        }
        let digest = match digests.get(&full) {
            Some(digest) => digest.clone(),
            None => {
                let (digest, _) = files::digest_file(&full)?;
                digests.insert(full.clone(), digest.clone());
                digest
            }
        };
        let name = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = std::path::absolute(&full).unwrap_or(full).to_string_lossy().into_owned();
        sources.insert(node.id.clone(), ResolvedSource { path, name, digest });
    }
    Ok(sources)
}

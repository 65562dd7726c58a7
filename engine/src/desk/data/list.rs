//! The tables that a workspace knows: `tables.json`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use athanor_protocol::{Code, Failure, api::DataEntry};
use serde::{Deserialize, Serialize};

use crate::files;

const FILE: &str = "tables.json";
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The document. Version 1.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    version: u32,
    tables: Vec<Table>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    /// From the workspace's folder where it lies in there, so that a workspace can be moved.
    path: String,
    added_at_millis: i64,
}

fn load(root: &Path) -> Result<Vec<Table>, Failure> {
    let path = root.join(FILE);
    if !path.exists() {
        return Ok(vec![]);
    }
    let damaged = |err: serde_json::Error| {
        Failure::new(Code::Corrupt, format!("the list of tables is damaged ({err}): {}", path.display()))
            .hint("move the file away to begin a new list; the tables themselves are not touched")
    };
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let bytes = files::read_limited(&path, MAX_FILE_BYTES)?;
    let Head { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version != 1 {
        let message = format!("the list of tables has format version {version}, this program reads version 1");
        return Err(Failure::new(Code::Unsupported, message).hint("open the workspace with a newer version"));
    }
    let saved: Saved = serde_json::from_slice(&bytes).map_err(damaged)?;
    Ok(saved.tables)
}

fn save(root: &Path, tables: Vec<Table>) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(&Saved { version: 1, tables })
        .map_err(|err| Failure::new(Code::Internal, format!("the list of tables cannot be written: {err}")))?;
    Ok(files::write_atomic(&root.join(FILE), &bytes)?)
}

/// Where a file is: relative paths start at the workspace's folder.
pub(super) fn full_path(root: &Path, path: &str) -> PathBuf {
    let full = root.join(path);
    std::path::absolute(&full).unwrap_or(full)
}

/// Whether two paths name one file.
fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn entry(root: &Path, table: &Table) -> DataEntry {
    let full = full_path(root, &table.path);
    let meta = fs::metadata(&full).ok().filter(fs::Metadata::is_file);
    let modified = meta.as_ref().and_then(|meta| meta.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    DataEntry {
        name: full.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        path: full.to_string_lossy().into_owned(),
        n_bytes: meta.map(|meta| meta.len()),
        modified_at_millis: modified.and_then(|modified| i64::try_from(modified.as_millis()).ok()),
        added_at_millis: table.added_at_millis,
        in_workspace: full.starts_with(root),
    }
}

/// All tables, newest first.
pub(super) fn entries(root: &Path) -> Result<Vec<DataEntry>, Failure> {
    let mut tables = load(root)?;
    // Of those added in one millisecond the later one stands further down in the file.
    tables.reverse();
    tables.sort_by_key(|table| std::cmp::Reverse(table.added_at_millis));
    Ok(tables.iter().map(|table| entry(root, table)).collect())
}

/// Adds a file, unless it is there. Says whether it was new.
pub(super) fn add(root: &Path, path: &str, now_millis: i64) -> Result<(DataEntry, bool), Failure> {
    let full = full_path(root, path);
    let mut tables = load(root)?;
    if let Some(table) = tables.iter().find(|table| is_same(&full_path(root, &table.path), &full)) {
        return Ok((entry(root, table), false));
    }
    let kept = full.strip_prefix(root).unwrap_or(&full);
    let Some(kept) = kept.to_str() else {
        let failure = Failure::new(Code::InvalidArgument, format!("the path is no text: {}", full.display()));
        return Err(failure.hint("give the file a name in letters"));
    };
    let table = Table { path: kept.to_owned(), added_at_millis: now_millis };
    let added = entry(root, &table);
    tables.push(table);
    save(root, tables)?;
    Ok((added, true))
}

/// Takes a file off the list.
pub(super) fn remove(root: &Path, path: &str) -> Result<(), Failure> {
    let full = full_path(root, path);
    let mut tables = load(root)?;
    let n_before = tables.len();
    tables.retain(|table| !is_same(&full_path(root, &table.path), &full));
    if tables.len() == n_before {
        return Err(Failure::new(Code::NotFound, format!("the table is not on the list: {path}")).on(path));
    }
    save(root, tables)
}

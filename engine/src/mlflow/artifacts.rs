//! A run's files: found below folders that somebody named, read without following links, kept by their content.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{names::MAX_NAME_BYTES, run::Artifact};
use athanor_store::limits;

use super::{Imported, content, fits, name_of};
use crate::{error::Result, files, workspace::Workspace};

/// Most files in the folders of a run.
const MAX_FILES: usize = 20_000;
/// Most folders within each other.
const MAX_DEPTH: usize = 16;
/// Largest file that is kept.
const MAX_ARTIFACT_BYTES: u64 = 256 << 20;

/// A model that a run has logged: its files lie apart from the run's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    /// The model's id in MLflow.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The folder of its files.
    pub folder: PathBuf,
}

/// A file's bytes, where it is a file and no link, and not too large.
pub(super) fn plain_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let meta = fs::symlink_metadata(path).map_err(|err| err.to_string())?;
    if meta.file_type().is_symlink() {
        return Err("it is a link, and links are not followed".to_owned());
    }
    if !meta.is_file() {
        return Err("it is no file".to_owned());
    }
    if meta.len() > limit {
        return Err(format!("it has {} bytes, {limit} are allowed", meta.len()));
    }
    files::read_limited(path, limit).map_err(|err| err.to_string())
}

/// Whether a path is a folder and no link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// The folder below `root` with these names on the way, where each is a folder and no link. The names are the caller's
/// to have checked: digits, hex digits, or words of ours.
pub(super) fn folder_below(root: &Path, names: &[&str]) -> Option<PathBuf> {
    let mut folder = root.to_owned();
    for name in names {
        folder.push(name);
        if !is_folder(&folder) {
            return None;
        }
    }
    Some(folder)
}

/// Whether this is a run's id as MLflow makes it, so that it may be a folder's name.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Files below a folder with their names from there on, sorted; links and what lies too deep are told.
pub(super) fn files_below(folder: &Path, run: &str, found: &mut Imported) -> Vec<(String, PathBuf)> {
    let mut files = vec![];
    let mut waiting = vec![(String::new(), folder.to_owned(), 0)];
    while let Some((prefix, folder, depth)) = waiting.pop() {
        // The folder itself may be the link.
        if !is_folder(&folder) {
            if folder.exists() {
                found.left_out(run, &name_of(&folder), "it is a link or no folder");
            }
            continue;
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => found.left_out(run, &name, "it is a link, and links are not followed"),
                Ok(kind) if kind.is_dir() && depth >= MAX_DEPTH => found.left_out(run, &name, "it lies too deep"),
                Ok(kind) if kind.is_dir() => waiting.push((format!("{name}/"), entry.path(), depth + 1)),
                Ok(kind) if kind.is_file() && files.len() >= MAX_FILES => {
                    found.left_out(run, &name, "there are too many files");
                    return files;
                }
                Ok(kind) if kind.is_file() => files.push((name, entry.path())),
                _ => found.left_out(run, &name, "it is no file"),
            }
        }
    }
    files.sort();
    files
}

/// The files of a run and of the models that it has logged, those that are data alone, kept by their content.
pub(super) fn keep(
    workspace: &Workspace,
    folder: Option<&Path>,
    models: &[Logged],
    uuid: &str,
    found: &mut Imported,
) -> Result<Vec<Artifact>> {
    let mut kept = vec![];
    if let Some(folder) = folder {
        keep_below(workspace, folder, "", uuid, found, &mut kept)?;
    }
    let mut taken = HashSet::new();
    for model in models {
        let mut name = plain_name(&model.name).unwrap_or(&model.id).to_owned();
        // A run may log models of one name at several steps.
        if !taken.insert(name.clone()) {
            name = format!("{name} {}", model.id);
        }
        keep_below(workspace, &model.folder, &format!("model/{name}/"), uuid, found, &mut kept)?;
    }
    Ok(kept)
}

/// A model's name where it can be a part of a file's name.
fn plain_name(name: &str) -> Option<&str> {
    let plain = !matches!(name, "." | "..") && fits(name, MAX_NAME_BYTES / 2) && !name.contains(['/', '\\']);
    plain.then_some(name)
}

fn keep_below(
    workspace: &Workspace,
    folder: &Path,
    prefix: &str,
    uuid: &str,
    found: &mut Imported,
    kept: &mut Vec<Artifact>,
) -> Result<()> {
    for (name, path) in files_below(folder, uuid, found) {
        let shown = format!("{prefix}{name}");
        if kept.len() >= limits::BATCH_ENTRIES {
            found.left_out(uuid, &shown, "the run has too many files");
            return Ok(());
        }
        let bytes = match plain_file(&path, MAX_ARTIFACT_BYTES) {
            Ok(bytes) => bytes,
            Err(why) => {
                found.left_out(uuid, &shown, &why);
                continue;
            }
        };
        if let Some(why) = content::refusal(Path::new(&name), &bytes) {
            found.left_out(uuid, &shown, why);
            continue;
        }
        if !fits(&shown, MAX_NAME_BYTES) {
            found.left_out(uuid, &shown, "its name cannot be kept");
            continue;
        }
        let digest = files::digest_bytes(&bytes);
        workspace.artifacts.put(&digest, &bytes)?;
        let n_bytes = bytes.len() as u64;
        kept.push(Artifact { name: shown, kind: super::KIND.to_owned(), digest, n_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_as_mlflow_makes_them_may_name_folders() {
        assert!(is_uuid("0123456789abcdef0123456789abcdef"));
        for bad in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789ABCDEF0123456789abcdef",
            "../../../../../../../etc/passwd0",
            "0123456789abcdef0123456789abcde/",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_models_are_one_part_of_a_name() {
        for (name, expect) in [
            ("clf", Some("clf")),
            ("my model 2", Some("my model 2")),
            ("..", None),
            ("a/b", None),
            ("a\\b", None),
            ("", None),
            ("a\nb", None),
            ("a\0b", None),
        ] {
            assert_eq!(plain_name(name), expect, "{name:?}");
        }
    }
}

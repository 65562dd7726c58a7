//! A file store: a folder for each experiment, in it a folder for each run, in it files for everything.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    GoOn, Imported,
    artifacts::{self, Logged, files_below, folder_below, is_folder, plain_file},
    meta, name_of,
    record::{self, Described, Place, Recording, Texts},
};
use crate::{
    error::{IoContext, Result},
    workspace::Workspace,
};

/// Largest file of a metric.
const MAX_METRIC_BYTES: u64 = 256 << 20;
/// Folders that are looked at to find out whether this is a store.
const MAX_LOOKED_AT: usize = 10_000;

/// Whether there is at least one experiment: a folder with a description in it.
pub(super) fn has_experiments(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_LOOKED_AT);
    entries.into_iter().any(|entry| {
        let path = entry.path();
        is_folder(&path) && name_of(&path) != "models" && path.join("meta.yaml").exists()
    })
}

pub(super) fn import(workspace: &Workspace, root: &Path, found: &mut Imported, go_on: &mut GoOn<'_>) -> Result<()> {
    // MLflow moves a deleted experiment into this folder, with its runs.
    let trash = root.join(".trash");
    let deleted = if is_folder(&trash) { folders(&trash)? } else { vec![] };
    let experiments = folders(root)?.into_iter().map(|folder| (folder, false));
    for (folder, is_deleted) in experiments.chain(deleted.into_iter().map(|folder| (folder, true))) {
        let id = name_of(&folder);
        if id.starts_with('.') || id == "models" {
            continue;
        }
        let Some(meta) = read_meta(&folder, &id, found) else { continue };
        let name = meta.get("name").filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| id.clone());
        let models = logged_models(&folder, found)?;
        for run in folders(&folder)? {
            let uuid = name_of(&run);
            if uuid.starts_with('.') || !run.join("meta.yaml").exists() {
                continue;
            }
            if !found.goes_on(go_on) {
                return Ok(());
            }
            let Some(meta) = read_meta(&run, &uuid, found) else { continue };
            let number = |key: &str| meta.get(key).and_then(|text| text.parse::<i64>().ok());
            let word = |key: &str| meta.get(key).map_or("", String::as_str);
            let described = Described {
                experiment: &id,
                experiment_name: &name,
                uuid: &uuid,
                name: word("run_name"),
                status: word("status"),
                started_at_millis: number("start_time"),
                ended_at_millis: number("end_time"),
                is_deleted: is_deleted || word("lifecycle_stage") == "deleted",
            };
            let models = models.get(&uuid).map_or(&[][..], Vec::as_slice);
            if !one(workspace, &run, described, models, found)? {
                return Ok(());
            }
        }
    }
    let registered = folder_below(root, &["models"]).map_or(Ok(vec![]), |folder| folders(&folder))?;
    let registered: Vec<&PathBuf> = registered.iter().filter(|folder| folder.join("meta.yaml").exists()).collect();
    let mut n_versions = 0;
    for model in &registered {
        n_versions += folders(model)?.iter().filter(|folder| name_of(folder).starts_with("version-")).count();
    }
    found.registered(registered.len() as u64, n_versions as u64);
    Ok(())
}

/// Folders in a folder, sorted; links are none.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).at("read", folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn read_meta(folder: &Path, run: &str, found: &mut Imported) -> Option<BTreeMap<String, String>> {
    let path = folder.join("meta.yaml");
    if !path.exists() {
        return None;
    }
    let text = plain_file(&path, meta::MAX_BYTES)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
    match text.and_then(|text| meta::read(&text)) {
        Ok(meta) => Some(meta),
        Err(why) => {
            found.left_out(run, "meta.yaml", &why);
            None
        }
    }
}

/// Models that runs of an experiment have logged, by run.
fn logged_models(experiment: &Path, found: &mut Imported) -> Result<BTreeMap<String, Vec<Logged>>> {
    let mut models: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
    let Some(folder) = folder_below(experiment, &["models"]) else { return Ok(models) };
    for model in folders(&folder)? {
        let id = name_of(&model);
        let Some(meta) = read_meta(&model, &id, found) else { continue };
        let Some(files) = folder_below(&model, &["artifacts"]) else { continue };
        let word = |key: &str| meta.get(key).cloned().unwrap_or_default();
        models.entry(word("source_run_id")).or_default().push(Logged { id, name: word("name"), folder: files });
    }
    Ok(models)
}

/// Reads a run; `false` where there is no room for it.
fn one(
    workspace: &Workspace,
    folder: &Path,
    described: Described<'_>,
    models: &[Logged],
    found: &mut Imported,
) -> Result<bool> {
    let uuid = described.uuid;
    let place = record::place(workspace, described.experiment, uuid, found)?;
    let files = folder.join("artifacts");
    if let Place::Known(detail) = &place {
        if record::is_without_files(detail) {
            let files = artifacts::keep(workspace, Some(&files), models, uuid, found)?;
            record::add_files(workspace, &detail.summary.id, &files, found)?;
        }
        return Ok(true);
    }
    if !found.has_room(uuid) {
        return Ok(false);
    }
    let texts = texts(folder, uuid, found);
    let files = artifacts::keep(workspace, Some(&files), models, uuid, found)?;
    if let Some(mut recording) = Recording::begin(workspace, place, described, texts, files, found)? {
        match points(&folder.join("metrics"), uuid, &mut recording, found) {
            Ok(()) => recording.end(found)?,
            Err(err) => {
                recording.given_up(&err);
                return Err(err);
            }
        }
    }
    Ok(true)
}

/// Parameters and tags: a file for each, its content is the value.
fn texts(folder: &Path, uuid: &str, found: &mut Imported) -> Texts {
    let mut texts = Texts::default();
    for kind in ["params", "tags"] {
        for (name, path) in files_below(&folder.join(kind), uuid, found) {
            let value = plain_file(&path, athanor_store::limits::VALUE_BYTES as u64)
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()))
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
            if kind == "params" {
                texts.param(uuid, &name, value, found);
            } else {
                texts.tag(uuid, &name, value, found);
            }
        }
    }
    texts
}

/// The history of each metric: lines of time, value and step.
fn points(folder: &Path, uuid: &str, recording: &mut Recording<'_>, found: &mut Imported) -> Result<()> {
    for (key, path) in files_below(folder, uuid, found) {
        let bytes = match plain_file(&path, MAX_METRIC_BYTES) {
            Ok(bytes) => bytes,
            Err(why) => {
                found.left_out(uuid, &format!("metric {key}"), &why);
                continue;
            }
        };
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
            let mut parts = line.split_whitespace();
            let at_millis = parts.next().and_then(|text| text.parse().ok());
            let value = parts.next().and_then(|text| text.parse().ok());
            // Stores of old wrote no step.
            let step = parts.next().map_or(Some(0), |text| text.parse().ok());
            recording.point(&key, at_millis, value, step)?;
        }
    }
    Ok(())
}

//! Runs of an MLflow file store (`mlruns`), read into the workspace: parameters, metrics with their history, tags, times,
//! and files that are data alone.
//!
//! **Architecture Invariant:** nothing of a store is executed or unpickled, no link in it is followed, and no path is
//! made from its names: files are kept by the digest of their bytes.

mod content;
mod meta;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{
    Code, Failure,
    metric::{MetricPoint, Split},
    names::{MAX_NAME_BYTES, RunId, check_text},
    run::{Artifact, NewRun, RunStatus},
};
use athanor_store::{Batch, StoreError, limits};
use serde::Serialize;
use serde_json::json;

use crate::{
    error::{EngineError, IoContext, Result},
    files, registry, runs,
    workspace::Workspace,
};

/// Most runs of a store.
const MAX_RUNS: usize = 20_000;
/// Most files in the folders of a run.
const MAX_FILES: usize = 20_000;
/// Most folders within each other.
const MAX_DEPTH: usize = 16;
/// Largest file of a metric.
const MAX_METRIC_BYTES: u64 = 256 << 20;
/// Largest file that is kept.
const MAX_ARTIFACT_BYTES: u64 = 256 << 20;
/// Points that a run may have.
const MAX_POINTS: usize = 5_000_000;

/// Something that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The run in MLflow, or the experiment's folder.
    pub run: String,
    /// Which file, parameter or metric.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Imported {
    /// Runs that are new here.
    pub runs: Vec<RunId>,
    /// Runs that had been imported before.
    pub n_known: usize,
    /// Metric points.
    pub n_points: usize,
    /// Files that were kept.
    pub n_files: usize,
    /// What was not taken over.
    pub left_out: Vec<LeftOut>,
}

/// Reads every run of a store into the workspace. A run that was read before is left as it is.
///
/// # Errors
/// If the folder is no store, or the workspace cannot be written. What is wrong with single files is told in the report.
pub fn import(workspace: &Workspace, folder: &Path) -> Result<Imported> {
    let no_store = || {
        let failure =
            Failure::new(Code::InvalidArgument, format!("this is no file store of MLflow: {}", folder.display()));
        EngineError::Failure(failure.on(folder.display().to_string()).hint(
            "name the folder 'mlruns' that holds a folder for each experiment; a store in a database has to be exported \
             to files first",
        ))
    };
    if !fs::metadata(folder).at("open", folder)?.is_dir() {
        return Err(no_store());
    }
    let mut found = Imported::default();
    let mut any = false;
    for experiment in folders(folder)? {
        let id = name_of(&experiment);
        if id.starts_with('.') || id == "models" {
            continue;
        }
        let Some(meta) = read_meta(&experiment, &id, &mut found) else { continue };
        any = true;
        let name = meta.get("name").filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| id.clone());
        for run in folders(&experiment)? {
            let uuid = name_of(&run);
            if uuid.starts_with('.') || !run.join("meta.yaml").exists() {
                continue;
            }
            if found.runs.len() + found.n_known >= MAX_RUNS {
                found.left_out(&uuid, "the run", &format!("more than {MAX_RUNS} runs are not read at once"));
                return Ok(found);
            }
            let Some(meta) = read_meta(&run, &uuid, &mut found) else { continue };
            one(workspace, &run, (&id, &name), &uuid, &meta, &mut found)?;
        }
    }
    if !any {
        return Err(no_store());
    }
    if !found.runs.is_empty() {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        registry::audit(workspace, "import.mlflow", &shown(&name), json!({ "n_runs": found.runs.len() }))?;
    }
    Ok(found)
}

impl Imported {
    fn left_out(&mut self, run: &str, what: &str, why: &str) {
        self.left_out.push(LeftOut { run: shown(run), what: shown(what), why: why.to_owned() });
    }
}

/// Text from the store as it may be shown: cut, and without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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

/// A file's bytes, where it is a file and no link, and not too large.
fn plain_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
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

/// Files below a folder with their names from there on, sorted; links and what lies too deep are told.
fn files_below(folder: &Path, run: &str, found: &mut Imported) -> Vec<(String, PathBuf)> {
    let mut files = vec![];
    let mut waiting = vec![(String::new(), folder.to_owned(), 0)];
    while let Some((prefix, folder, depth)) = waiting.pop() {
        // The folder itself may be the link.
        if !fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir()) {
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

/// The id that a run of MLflow has here: always the same, so that it is read once.
fn run_id(experiment: &str, uuid: &str) -> Result<RunId> {
    let digest = blake3::hash(format!("mlflow\n{experiment}\n{uuid}").as_bytes()).to_hex();
    Ok(RunId::new(digest.as_str().chars().take(RunId::LEN).collect::<String>())?)
}

fn fits(text: &str, max_bytes: usize) -> bool {
    !text.trim().is_empty() && check_text("name", text, max_bytes).is_ok() && !text.contains(['\n', '\t'])
}

fn split_of(key: &str) -> Split {
    let key = key.to_ascii_lowercase();
    let begins = |words: &[&str]| {
        words.iter().any(|word| {
            key.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '/', '-', '.']))
        })
    };
    match () {
        () if begins(&["val", "valid", "validation", "eval"]) => Split::Valid,
        () if begins(&["test"]) => Split::Test,
        () if begins(&["system"]) => Split::System,
        () => Split::Train,
    }
}

fn one(
    workspace: &Workspace,
    folder: &Path,
    (experiment, name): (&str, &str),
    uuid: &str,
    meta: &BTreeMap<String, String>,
    found: &mut Imported,
) -> Result<()> {
    let id = run_id(experiment, uuid)?;
    match workspace.store.summary(&id) {
        Ok(_) => {
            found.n_known += 1;
            return Ok(());
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(err) => return Err(err.into()),
    }
    let number = |key: &str| meta.get(key).and_then(|text| text.parse::<i64>().ok());
    let started = number("start_time").unwrap_or(0).max(0);
    let workflow = if fits(name, MAX_NAME_BYTES) { name.to_owned() } else { "mlflow".to_owned() };
    let mut batch = Batch::default();
    texts(folder, uuid, found, &mut batch);
    kept_files(workspace, &folder.join("artifacts"), uuid, found, &mut batch)?;
    let run_name = meta.get("run_name").map_or("", String::as_str);
    for (key, value) in [("mlflow.run_id", uuid), ("mlflow.runName", run_name), ("mlflow.experiment_id", experiment)] {
        if fits(value, limits::TAG_BYTES) && !batch.tags.iter().any(|(known, _)| known == key) {
            batch.tags.push((key.to_owned(), value.to_owned()));
        }
    }
    let points = points(&folder.join("metrics"), uuid, started, found);
    workspace.store.create_run(&NewRun {
        id: id.clone(),
        workflow,
        workflow_json: "{}".to_owned(),
        seed: 0,
        device: "unknown".to_owned(),
        created_at_millis: started,
        steps: vec![],
        params: std::mem::take(&mut batch.params),
        environment: vec![("imported from".to_owned(), "MLflow".to_owned())],
    })?;
    workspace.store.start_attempt(&id, 1, &runs::this_process(), started)?;
    workspace.store.record(&id, 1, 1, &batch)?;
    for (seq, chunk) in (2..).zip(points.chunks(limits::BATCH_POINTS)) {
        workspace.store.record(&id, 1, seq, &Batch { metrics: chunk.to_vec(), ..Batch::default() })?;
    }
    let failed = |what: &str| Some(Failure::new(Code::Unavailable, what));
    // The numbers are those of MLflow's protocol: running, scheduled, finished, failed, killed.
    let (status, failure) = match meta.get("status").map(String::as_str) {
        Some("3" | "FINISHED") => (RunStatus::Finished, None),
        Some("4" | "FAILED") => (RunStatus::Failed, failed("it failed in MLflow")),
        Some("5" | "KILLED") => (RunStatus::Cancelled, failed("it was killed in MLflow")),
        _ => (RunStatus::Cancelled, failed("it had not ended when it was imported from MLflow")),
    };
    let ended = number("end_time").unwrap_or(started).max(started);
    workspace.store.finish(&id, 1, status, failure.as_ref(), false, ended)?;
    if meta.get("lifecycle_stage").is_some_and(|stage| stage == "deleted") {
        workspace.store.delete_run(&id, workspace.clock.now_millis())?;
    }
    found.n_points += points.len();
    found.runs.push(id);
    Ok(())
}

/// Parameters and tags: a file for each, its content is the value.
fn texts(folder: &Path, uuid: &str, found: &mut Imported, batch: &mut Batch) {
    for (kind, what, max_name, max_value) in [
        ("params", "parameter", 2 * MAX_NAME_BYTES, limits::VALUE_BYTES),
        ("tags", "tag", MAX_NAME_BYTES, limits::TAG_BYTES),
    ] {
        for (name, path) in files_below(&folder.join(kind), uuid, found) {
            let value = plain_file(&path, max_value as u64)
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
            let value = match value {
                Ok(value) => value.trim_end_matches(['\r', '\n']).to_owned(),
                Err(why) => {
                    found.left_out(uuid, &format!("{what} {name}"), &why);
                    continue;
                }
            };
            let is_fine = fits(&name, max_name) && check_text("value", &value, max_value).is_ok();
            match (is_fine, kind) {
                (false, _) => found.left_out(uuid, &format!("{what} {name}"), "its name or value cannot be kept"),
                (true, "params") => batch.params.push((name, value)),
                (true, _) => batch.tags.push((name, value)),
            }
        }
    }
}

/// The history of each metric: lines of time, value and step.
fn points(folder: &Path, uuid: &str, started: i64, found: &mut Imported) -> Vec<MetricPoint> {
    let mut points = vec![];
    for (key, path) in files_below(folder, uuid, found) {
        let what = format!("metric {key}");
        if !fits(&key, MAX_NAME_BYTES) {
            found.left_out(uuid, &what, "its name cannot be kept");
            continue;
        }
        let bytes = match plain_file(&path, MAX_METRIC_BYTES) {
            Ok(bytes) => bytes,
            Err(why) => {
                found.left_out(uuid, &what, &why);
                continue;
            }
        };
        let mut n_bad = 0usize;
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
            let mut parts = line.split_whitespace();
            let read = (|| {
                let at_millis: i64 = parts.next()?.parse().ok()?;
                let value: f64 = parts.next()?.parse().ok()?;
                // Stores of old wrote no step.
                let step: i64 = parts.next().map_or(Some(0), |step| step.parse().ok())?;
                Some((at_millis.max(started), value, u64::try_from(step).ok()?))
            })();
            match read {
                Some((at_millis, value, step)) if points.len() < MAX_POINTS => {
                    let split = split_of(&key);
                    points.push(MetricPoint { key: key.clone(), split, step, at_millis, value: value.into() });
                }
                _ => n_bad += 1,
            }
        }
        if n_bad > 0 {
            found.left_out(uuid, &what, &format!("{n_bad} lines are not 'time value step' with a step from 0"));
        }
    }
    points
}

/// Files that are data alone, kept by their content.
fn kept_files(workspace: &Workspace, folder: &Path, uuid: &str, found: &mut Imported, batch: &mut Batch) -> Result<()> {
    for (name, path) in files_below(folder, uuid, found) {
        let bytes = match plain_file(&path, MAX_ARTIFACT_BYTES) {
            Ok(bytes) => bytes,
            Err(why) => {
                found.left_out(uuid, &name, &why);
                continue;
            }
        };
        if let Some(why) = content::refusal(Path::new(&name), &bytes) {
            found.left_out(uuid, &name, why);
            continue;
        }
        if !fits(&name, MAX_NAME_BYTES) {
            found.left_out(uuid, &name, "its name cannot be kept");
            continue;
        }
        let digest = files::digest_bytes(&bytes);
        workspace.artifacts.put(&digest, &bytes)?;
        let n_bytes = bytes.len() as u64;
        batch.artifacts.push(Artifact { name, kind: "imported".to_owned(), digest, n_bytes });
        found.n_files += 1;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

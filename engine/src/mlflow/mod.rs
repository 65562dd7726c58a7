//! Runs of MLflow, read into the workspace: parameters, metrics with their history, tags, times, and files that are data
//! alone. They come from a file store (`mlruns`) or from a database (`mlflow.db`).
//!
//! **Architecture Invariant:** nothing of a store is executed or unpickled, no link in it is followed, and no path is
//! made from its names: files are kept by the digest of their bytes, and looked for only below folders that the user has
//! named, under numbers and ids that were checked.

mod artifacts;
mod content;
mod database;
mod folder;
mod meta;
mod record;

use std::{
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{
    Code, Failure,
    names::{RunId, check_text},
};
use athanor_store::foreign_mlflow;
use serde::Serialize;
use serde_json::json;

use self::artifacts::is_folder;
use crate::{
    error::{EngineError, IoContext, Result},
    registry, runs,
    workspace::Workspace,
};

/// Most new runs in one import.
const MAX_RUNS: usize = 20_000;
/// Most lines of what was left out; more are counted.
const MAX_LEFT_OUT: usize = 10_000;
/// The kind of files that are kept.
const KIND: &str = "imported";
/// The database's name, unless MLflow is told otherwise.
const DATABASE: &str = "mlflow.db";
/// The file store's name, and that of the folder of files beside a database.
const RUNS: &str = "mlruns";
/// The name of the folder of files where MLflow's server hands them out.
const SERVED: &str = "mlartifacts";

/// Something that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The run in MLflow, or the experiment's folder; empty where it is about the store as a whole.
    pub run: String,
    /// Which file, parameter or metric.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What a store of MLflow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder with a folder for each experiment.
    #[default]
    FileStore,
    /// An SQLite file.
    Database,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Imported {
    /// What was read.
    pub kind: Kind,
    /// Where it lies.
    pub path: String,
    /// The version of a database's schema, as MLflow numbers it.
    pub schema: Option<String>,
    /// The folders in which files were looked for; none for a file store, which has them in itself.
    pub artifact_folders: Vec<String>,
    /// Runs that are new here.
    pub runs: Vec<RunId>,
    /// Runs that had been imported before.
    pub n_known: usize,
    /// Metric points of the new runs.
    pub n_points: usize,
    /// Files that were kept.
    pub n_files: usize,
    /// What was not taken over, at most ten thousand entries.
    pub left_out: Vec<LeftOut>,
    /// How many entries there are in all.
    pub n_left_out: usize,
    /// What else is worth knowing, a sentence each.
    pub notes: Vec<String>,
    /// Whether it was stopped before the last run.
    pub stopped: bool,
}

/// Asked before each run, with how many have been read: whether to go on.
pub type GoOn<'a> = dyn FnMut(usize) -> bool + 'a;

impl Imported {
    /// Whether the next run is to be read.
    fn goes_on(&mut self, go_on: &mut GoOn<'_>) -> bool {
        self.stopped = !go_on(self.runs.len() + self.n_known);
        !self.stopped
    }

    fn left_out(&mut self, run: &str, what: &str, why: &str) {
        self.n_left_out += 1;
        if self.left_out.len() < MAX_LEFT_OUT {
            self.left_out.push(LeftOut { run: shown(run), what: shown(what), why: why.to_owned() });
        }
    }

    /// Whether there is room for one more new run; says so once where there is none.
    fn has_room(&mut self, uuid: &str) -> bool {
        if self.runs.len() < MAX_RUNS {
            return true;
        }
        let why = format!("more than {MAX_RUNS} new runs are not read at once; import again to go on");
        self.left_out(uuid, "this run and further ones", &why);
        false
    }

    /// Models of MLflow's registry, which are not taken over.
    fn registered(&mut self, n_models: u64, n_versions: u64) {
        if n_models > 0 {
            let what = format!("{n_models} registered models with {n_versions} versions");
            let why = "a registered model of MLflow is a pickle or another library's format; export it as ONNX and take it \
                       in with: athanor models import";
            self.left_out("", &what, why);
        }
    }
}

/// Reads every run of a store into the workspace. A run that was read before is left as it is, but for files that could
/// not be found then.
///
/// `path` is a database; or a folder with `mlflow.db` in it; or a file store; or a folder with `mlruns` in it; or the
/// address of one of them (`sqlite:///…`, `file:///…`). `files` is
/// the folder in which MLflow keeps the files of a database's runs; where it is not named, `mlruns` and `mlartifacts`
/// beside the database are taken. Once `go_on` says no, it ends after the run; what was read stays, and importing again
/// goes on.
///
/// # Errors
/// If it is none of these, or cannot be read; or the workspace cannot be written. What is wrong with single runs and
/// files is told in the report.
pub fn import(workspace: &Workspace, path: &Path, files: Option<&Path>, go_on: &mut GoOn<'_>) -> Result<Imported> {
    let (kind, path) = find(path)?;
    let mut found = Imported { kind, path: path.display().to_string(), ..Imported::default() };
    // An import whose process died left a run behind, which is gone on with.
    runs::reconcile::reconcile(workspace)?;
    let done = match kind {
        Kind::Database => database::import(workspace, &path, files, &mut found, go_on),
        Kind::FileStore if files.is_some() => {
            let failure = Failure::new(Code::InvalidArgument, "a file store has its files in itself");
            Err(EngineError::Failure(failure.hint("name no other folder for files, or name the database")))
        }
        Kind::FileStore => folder::import(workspace, &path, &mut found, go_on),
    };
    // What came in before it was broken off has come in.
    if !found.runs.is_empty() {
        let name = name_of(&path);
        registry::audit(workspace, "import.mlflow", &shown(&name), json!({ "n_runs": found.runs.len() }))?;
    }
    done?;
    Ok(found)
}

/// The path in an address as MLflow's settings have it, `sqlite:///mlflow.db` or `file:///home/ann/mlruns`; a path is
/// given back as it is.
pub(crate) fn path_from_address(path: &Path) -> Result<PathBuf> {
    let Some((scheme, rest)) = path.to_str().and_then(|text| text.split_once("://")) else {
        return Ok(path.to_owned());
    };
    match scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme) {
        // Behind the slash that ends the host's empty name a relative path begins.
        "sqlite" => Ok(PathBuf::from(rest.strip_prefix('/').unwrap_or(rest))),
        "file" => Ok(PathBuf::from(rest)),
        _ if path.exists() => Ok(path.to_owned()),
        _ => {
            let failure =
                Failure::new(Code::Unsupported, "only SQLite databases and folders of MLflow are read, no servers");
            let hint = "bring the runs into an SQLite database first, for example by the program mlflow-export-import";
            Err(EngineError::Failure(failure.on(shown(scheme)).hint(hint)))
        }
    }
}

/// What a path leads to, by content and not by name.
fn find(path: &Path) -> Result<(Kind, PathBuf)> {
    let path = &path_from_address(path)?;
    let meta = fs::metadata(path).at("open", path)?;
    if meta.is_file() {
        // What is no database is refused there, with the reason.
        return Ok((Kind::Database, path.to_owned()));
    }
    if !meta.is_dir() {
        return Err(no_store(path, "name the file 'mlflow.db' or the folder 'mlruns'"));
    }
    let database = path.join(DATABASE);
    match fs::symlink_metadata(&database) {
        Ok(meta) if meta.is_file() => return Ok((Kind::Database, database)),
        Ok(_) => return Err(no_store(&database, "it is a link or no file; name the database itself")),
        Err(_) => {}
    }
    if folder::has_experiments(path) {
        return Ok((Kind::FileStore, path.to_owned()));
    }
    let inside = path.join(RUNS);
    if is_folder(&inside) && folder::has_experiments(&inside) {
        return Ok((Kind::FileStore, inside));
    }
    // MLflow 3 keeps runs in a database and only their files in 'mlruns' beside it.
    let beside = path.canonicalize().ok().and_then(|path| Some(path.parent()?.join(DATABASE)));
    let hint = match beside {
        Some(beside) if foreign_mlflow::is_sqlite(&beside) => {
            format!("this folder holds files alone; the runs are in the database beside it: name {}", beside.display())
        }
        _ => "name the database 'mlflow.db', or the folder 'mlruns' that holds a folder for each experiment".to_owned(),
    };
    Err(no_store(path, &hint))
}

fn no_store(path: &Path, hint: &str) -> EngineError {
    let failure = Failure::new(Code::InvalidArgument, format!("this is no store of MLflow: {}", path.display()));
    EngineError::Failure(failure.on(path.display().to_string()).hint(hint))
}

/// Text from the store as it may be shown: cut, and without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether this can be kept as a name.
fn fits(text: &str, max_bytes: usize) -> bool {
    !text.trim().is_empty() && check_text("name", text, max_bytes).is_ok() && !text.contains(['\n', '\t'])
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod database_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! Predictions by the clock: which tables are predicted when, and what came of it.
//!
//! Schedules are a small document in the workspace, `schedules.json`, changed under a lock by whoever adds or carries out.
//! One process at a time carries them out: the desk that has the workspace open, or `athanor serve`. What was missed
//! while nobody was there is made up for once. A prediction that was broken off goes on where it was, since the next
//! process finds it marked as begun.

pub mod cron;
mod runner;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure, names::ModelRef, table::DataSource};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::{cron::Cron, runner::Scheduler};
use crate::{
    error::{EngineError, IoContext, Result},
    files, registry,
    workspace::Workspace,
};

const FILE: &str = "schedules.json";
const LOCK: &str = "schedules.lock";
const VERSION: u32 = 1;
const MAX_BYTES: u64 = 16 << 20;
/// Most schedules of a workspace.
const MAX_SCHEDULES: usize = 1_000;
/// Executions that are remembered of each.
const MAX_PAST: usize = 20;

/// A prediction that is made again and again. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictTask {
    /// `NAME`, `NAME@ALIAS` or `NAME:VERSION`, looked up each time.
    pub model: String,
    /// The table.
    pub source: DataSource,
    /// The file to write.
    pub output: PathBuf,
    /// Whether the input's columns stand in front of the predictions.
    pub keep_input: bool,
    /// The device by name.
    pub device: String,
}

/// One execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// When it was due, milliseconds since the Unix epoch.
    pub due_millis: i64,
    /// When it was begun.
    pub began_millis: i64,
    /// When it had ended; `None` while it is at work, or where it was broken off and will go on.
    pub ended_millis: Option<i64>,
    /// The version that predicted.
    #[serde(default)]
    pub version: Option<u32>,
    /// Rows that were predicted.
    #[serde(default)]
    pub n_rows: u64,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// Something that is done by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Letters and digits.
    pub id: String,
    /// When.
    pub cron: Cron,
    /// What.
    pub predict: PredictTask,
    /// When it was added: nothing before is due.
    pub added_millis: i64,
    /// What was done, newest first.
    #[serde(default)]
    pub executions: Vec<Execution>,
}

impl Schedule {
    /// When it is due next.
    pub fn next_millis(&self, now: i64) -> Option<i64> {
        self.due(now).or_else(|| self.cron.next_after(now))
    }

    /// The time at which it was due and has not been done: the last one where several were missed.
    fn due(&self, now: i64) -> Option<i64> {
        match self.executions.first() {
            // Broken off: it goes on.
            Some(last) if last.ended_millis.is_none() => Some(last.due_millis),
            Some(last) => self.cron.last_due(last.due_millis, now),
            None => self.cron.last_due(self.added_millis, now),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    schedules: Vec<Schedule>,
}

/// All schedules, in the order in which they were added.
///
/// # Errors
/// If they cannot be read.
pub fn list(workspace: &Workspace) -> Result<Vec<Schedule>> {
    read(&workspace.root().join(FILE))
}

fn read(path: &Path) -> Result<Vec<Schedule>> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let bytes = files::read_limited(path, MAX_BYTES)?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|err| {
        let failure = Failure::new(Code::Corrupt, format!("{} is not what it should be: {err}", path.display()));
        EngineError::Failure(failure.hint("mend it, or move it away and add the schedules again"))
    })?;
    if document.version != VERSION {
        let message = format!("{} has version {}, this program reads version 1", path.display(), document.version);
        return Err(EngineError::new(Code::Unsupported, message));
    }
    Ok(document.schedules)
}

/// Changes the schedules while nobody else does.
fn change<T>(workspace: &Workspace, change: impl FnOnce(&mut Vec<Schedule>) -> Result<T>) -> Result<T> {
    let lock = workspace.root().join(LOCK);
    let held = File::options().create(true).append(true).open(&lock).at("open", &lock)?;
    held.lock().at("lock", &lock)?;
    let path = workspace.root().join(FILE);
    let mut schedules = read(&path)?;
    let before = schedules.clone();
    let done = change(&mut schedules)?;
    if schedules != before {
        let document = Document { version: VERSION, schedules };
        let bytes = serde_json::to_vec_pretty(&document).map_err(std::io::Error::from).at("write", &path)?;
        files::write_atomic(&path, &bytes)?;
    }
    Ok(done)
}

/// Adds a schedule.
///
/// # Errors
/// If the model's name is none, the output is no table, or there are too many.
pub fn add(workspace: &Workspace, cron: Cron, predict: PredictTask) -> Result<Schedule> {
    predict.model.parse::<ModelRef>()?;
    let ending = predict.output.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if !matches!(ending.as_deref(), Some("csv" | "parquet")) {
        let message = format!("the output must end in .csv or .parquet: {}", predict.output.display());
        return Err(EngineError::Usage(message));
    }
    if !predict.output.is_absolute() || !Path::new(&predict.source.path).is_absolute() {
        let message = "a schedule needs absolute paths: it runs from another folder";
        return Err(EngineError::Usage(message.to_owned()));
    }
    // A model that is not there yet is no mistake: it may be registered before it is due. A wrong name is said now.
    let mut random = [0_u8; 4];
    workspace.ids.secret(&mut random).at("read", Path::new("the system's randomness"))?;
    let schedule = Schedule {
        id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
        cron,
        predict,
        added_millis: workspace.clock.now_millis(),
        executions: vec![],
    };
    let added = schedule.clone();
    change(workspace, |schedules| {
        if schedules.len() >= MAX_SCHEDULES {
            let message = format!("the workspace has {MAX_SCHEDULES} schedules, the most that it may");
            return Err(EngineError::new(Code::TooLarge, message));
        }
        if let Some(other) = schedules.iter().find(|other| other.predict.output == schedule.predict.output) {
            let message = format!("the schedule {} writes {} already", other.id, other.predict.output.display());
            return Err(EngineError::Failure(Failure::new(Code::Conflict, message).hint("name another output")));
        }
        schedules.push(schedule);
        Ok(())
    })?;
    registry::audit(workspace, "schedule.add", &added.id, json!({ "cron": added.cron, "model": added.predict.model }))?;
    Ok(added)
}

/// Removes a schedule. A prediction of it that is at work ends by itself.
///
/// # Errors
/// If there is none of that id.
pub fn remove(workspace: &Workspace, id: &str) -> Result<()> {
    change(workspace, |schedules| {
        let before = schedules.len();
        schedules.retain(|schedule| schedule.id != id);
        if schedules.len() == before {
            let shown: String = id.chars().take(40).collect();
            let failure = Failure::new(Code::NotFound, format!("there is no schedule {shown:?}"));
            return Err(EngineError::Failure(failure.hint("'athanor schedule list' shows them")));
        }
        Ok(())
    })?;
    registry::audit(workspace, "schedule.remove", id, json!({}))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn task(folder: &Path, output: &str) -> PredictTask {
        PredictTask {
            model: "wine@production".to_owned(),
            source: DataSource::file(folder.join("in.csv").to_str().unwrap()),
            output: folder.join(output),
            keep_input: true,
            device: "cpu".to_owned(),
        }
    }

    #[test]
    fn schedules_are_added_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("w")).unwrap();
        assert!(list(&workspace).unwrap().is_empty());
        let daily: Cron = "0 3 * * *".parse().unwrap();
        let one = add(&workspace, daily.clone(), task(folder.path(), "a.csv")).unwrap();
        let two = add(&workspace, daily.clone(), task(folder.path(), "b.parquet")).unwrap();
        let ids = |workspace| list(workspace).unwrap().into_iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(&workspace), [one.id.clone(), two.id.clone()]);
        let twice = add(&workspace, daily.clone(), task(folder.path(), "a.csv")).unwrap_err();
        assert_eq!(twice.code(), Code::Conflict);
        for bad in ["a.xls", "a"] {
            assert_eq!(
                add(&workspace, daily.clone(), task(folder.path(), bad)).unwrap_err().code(),
                Code::InvalidArgument
            );
        }
        let relative = PredictTask { output: "a.csv".into(), ..task(folder.path(), "c.csv") };
        assert!(add(&workspace, daily.clone(), relative).is_err());
        let nameless = PredictTask { model: "../x".to_owned(), ..task(folder.path(), "c.csv") };
        assert!(add(&workspace, daily, nameless).is_err());
        remove(&workspace, &one.id).unwrap();
        assert_eq!(remove(&workspace, &one.id).unwrap_err().code(), Code::NotFound);
        assert_eq!(ids(&workspace), [two.id]);
    }

    #[test]
    fn a_damaged_document_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("w")).unwrap();
        for (text, code) in [
            ("{", Code::Corrupt),
            (r#"{"version":1,"schedules":[{"id":"a","cron":"never"}]}"#, Code::Corrupt),
            (r#"{"version":2,"schedules":[]}"#, Code::Unsupported),
        ] {
            let path = workspace.root().join(FILE);
            std::fs::write(&path, text).unwrap();
            assert_eq!(list(&workspace).unwrap_err().code(), code, "{text}");
            let cron = "@daily".parse().unwrap();
            assert!(add(&workspace, cron, task(folder.path(), "a.csv")).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_was_missed_is_due_once() {
        let folder = tempfile::tempdir().unwrap();
        let hour = 3_600_000;
        let mut schedule = Schedule {
            id: "a".to_owned(),
            cron: "@hourly".parse().unwrap(),
            predict: task(folder.path(), "a.csv"),
            added_millis: hour / 2,
            executions: vec![],
        };
        assert_eq!(schedule.due(hour - 1), None);
        assert_eq!(schedule.next_millis(hour - 1), Some(hour));
        assert_eq!(schedule.due(10 * hour + 5), Some(10 * hour));
        let done = Execution {
            due_millis: 10 * hour,
            began_millis: 10 * hour + 5,
            ended_millis: None,
            version: None,
            n_rows: 0,
            failure: None,
        };
        schedule.executions.insert(0, done.clone());
        assert_eq!(schedule.due(20 * hour), Some(10 * hour), "it was broken off, and goes on");
        schedule.executions[0] = Execution { ended_millis: Some(11 * hour), ..done };
        assert_eq!(schedule.due(10 * hour + 5), None);
        assert_eq!(schedule.due(12 * hour), Some(12 * hour));
    }
}

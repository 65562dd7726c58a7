//! Predictions by the clock: which tables are predicted when, and what came of it.
//!
//! Schedules are a small document in the workspace, `schedules.json`, changed under a lock by whoever adds or carries out.
//! One process at a time carries them out: the desk that has the workspace open, or `athanor serve`. What was missed
//! while nobody was there is made up for once. A prediction that was broken off goes on where it was, since the next
//! process finds it marked as begun.

mod runner;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

pub use athanor_protocol::cron::Cron;
use athanor_protocol::{Code, Failure, names::ModelRef, table::DataSource};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::runner::{RowsDone, Scheduler, Watch};
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
    /// When it was added, or changed last: nothing before is due.
    pub added_millis: i64,
    /// Whether it rests: nothing is due by the clock until it goes on.
    #[serde(default)]
    pub paused: bool,
    /// When somebody asked for it to be carried out at once, and it was not yet.
    #[serde(default)]
    pub asked_millis: Option<i64>,
    /// What was done, newest first.
    #[serde(default)]
    pub executions: Vec<Execution>,
}

impl Schedule {
    /// When it is due next.
    pub fn next_millis(&self, now: i64) -> Option<i64> {
        self.due(now).or_else(|| self.cron.next_after(now).filter(|_| !self.paused))
    }

    /// The time at which it was due and has not been done: the last one where several were missed.
    fn due(&self, now: i64) -> Option<i64> {
        match self.executions.first() {
            // Broken off: it goes on, also where it rests by now.
            Some(last) if last.ended_millis.is_none() => Some(last.due_millis),
            _ if self.asked_millis.is_some() => self.asked_millis,
            _ if self.paused => None,
            Some(last) => self.cron.last_due(last.due_millis.max(self.added_millis), now),
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

fn check(predict: &PredictTask) -> Result<()> {
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
    Ok(())
}

/// Two that write one file would take turns in destroying what the other has made.
fn check_output<'a>(mut others: impl Iterator<Item = &'a Schedule>, output: &Path) -> Result<()> {
    match others.find(|other| other.predict.output == output) {
        None => Ok(()),
        Some(other) => {
            let message = format!("the schedule {} writes {} already", other.id, output.display());
            Err(EngineError::Failure(Failure::new(Code::Conflict, message).hint("name another output")))
        }
    }
}

fn unknown(id: &str) -> EngineError {
    let shown: String = id.chars().take(40).collect();
    let failure = Failure::new(Code::NotFound, format!("there is no schedule {shown:?}"));
    EngineError::Failure(failure.hint("'athanor schedule list' shows them"))
}

/// Changes one schedule.
fn change_one<T>(workspace: &Workspace, id: &str, with: impl FnOnce(&mut Schedule) -> T) -> Result<T> {
    change(workspace, |schedules| {
        let found = schedules.iter_mut().find(|schedule| schedule.id == id);
        found.map(with).ok_or_else(|| unknown(id))
    })
}

/// Adds a schedule.
///
/// # Errors
/// If the model's name is none, the output is no table, or there are too many.
pub fn add(workspace: &Workspace, cron: Cron, predict: PredictTask) -> Result<Schedule> {
    check(&predict)?;
    // A model that is not there yet is no mistake: it may be registered before it is due. A wrong name is said now.
    let mut random = [0_u8; 4];
    workspace.ids.secret(&mut random).at("read", Path::new("the system's randomness"))?;
    let schedule = Schedule {
        id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
        cron,
        predict,
        added_millis: workspace.clock.now_millis(),
        paused: false,
        asked_millis: None,
        executions: vec![],
    };
    let added = schedule.clone();
    change(workspace, |schedules| {
        if schedules.len() >= MAX_SCHEDULES {
            let message = format!("the workspace has {MAX_SCHEDULES} schedules, the most that it may");
            return Err(EngineError::new(Code::TooLarge, message));
        }
        check_output(schedules.iter(), &schedule.predict.output)?;
        schedules.push(schedule);
        Ok(())
    })?;
    registry::audit(workspace, "schedule.add", &added.id, json!({ "cron": added.cron, "model": added.predict.model }))?;
    Ok(added)
}

/// Changes what a schedule does and when. What it has done stays noted; nothing that was due before is made up for.
///
/// # Errors
/// As [`add`], and if there is none of that id.
pub fn edit(workspace: &Workspace, id: &str, cron: Cron, predict: PredictTask) -> Result<Schedule> {
    check(&predict)?;
    let now = workspace.clock.now_millis();
    let changed = change(workspace, |schedules| {
        check_output(schedules.iter().filter(|other| other.id != id), &predict.output)?;
        let schedule = schedules.iter_mut().find(|schedule| schedule.id == id).ok_or_else(|| unknown(id))?;
        (schedule.cron, schedule.predict, schedule.added_millis) = (cron, predict, now);
        Ok(schedule.clone())
    })?;
    let told = json!({ "cron": changed.cron, "model": changed.predict.model });
    registry::audit(workspace, "schedule.edit", id, told)?;
    Ok(changed)
}

/// Lets a schedule rest, or go on. What is missed while it rests is not made up for.
///
/// # Errors
/// If there is none of that id.
pub fn pause(workspace: &Workspace, id: &str, paused: bool) -> Result<()> {
    let now = workspace.clock.now_millis();
    change_one(workspace, id, |schedule| {
        if schedule.paused && !paused {
            schedule.added_millis = now;
        }
        schedule.paused = paused;
    })?;
    registry::audit(workspace, if paused { "schedule.pause" } else { "schedule.resume" }, id, json!({}))
}

/// Asks for a schedule to be carried out at once, by whichever process carries schedules out.
///
/// # Errors
/// If there is none of that id.
pub fn run_now(workspace: &Workspace, id: &str) -> Result<()> {
    let now = workspace.clock.now_millis();
    change_one(workspace, id, |schedule| schedule.asked_millis = Some(now))?;
    registry::audit(workspace, "schedule.run", id, json!({}))
}

/// Removes a schedule. A prediction of it that is at work ends by itself.
///
/// # Errors
/// If there is none of that id.
pub fn remove(workspace: &Workspace, id: &str) -> Result<()> {
    change(workspace, |schedules| {
        let before = schedules.len();
        schedules.retain(|schedule| schedule.id != id);
        if schedules.len() == before { Err(unknown(id)) } else { Ok(()) }
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
            paused: false,
            asked_millis: None,
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
        // While it rests nothing is due, but for what somebody asks for.
        schedule.paused = true;
        assert_eq!((schedule.due(12 * hour), schedule.next_millis(12 * hour)), (None, None));
        schedule.asked_millis = Some(13 * hour + 7);
        assert_eq!(schedule.due(14 * hour), Some(13 * hour + 7));
    }

    #[test]
    fn schedules_are_changed_rest_and_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("w")).unwrap();
        let daily: Cron = "0 3 * * *".parse().unwrap();
        let one = add(&workspace, daily.clone(), task(folder.path(), "a.csv")).unwrap();
        let two = add(&workspace, daily.clone(), task(folder.path(), "b.csv")).unwrap();
        let hourly: Cron = "@hourly".parse().unwrap();
        let changed = edit(&workspace, &one.id, hourly.clone(), task(folder.path(), "c.csv")).unwrap();
        assert_eq!((&changed.id, &changed.cron, changed.predict.output.ends_with("c.csv")), (&one.id, &hourly, true));
        edit(&workspace, &one.id, hourly.clone(), task(folder.path(), "c.csv")).unwrap();
        let taken = edit(&workspace, &two.id, daily.clone(), task(folder.path(), "c.csv")).unwrap_err();
        assert_eq!(taken.code(), Code::Conflict);
        pause(&workspace, &one.id, true).unwrap();
        run_now(&workspace, &two.id).unwrap();
        let [one_now, two_now] = list(&workspace).unwrap().try_into().unwrap();
        assert!(one_now.paused && !two_now.paused);
        assert!(one_now.asked_millis.is_none() && two_now.asked_millis.is_some());
        assert!(two_now.due(workspace.clock.now_millis()).is_some());
        pause(&workspace, &one.id, false).unwrap();
        assert!(list(&workspace).unwrap()[0].next_millis(workspace.clock.now_millis()).is_some());
        for refused in [
            pause(&workspace, "none", true),
            run_now(&workspace, "none"),
            edit(&workspace, "none", daily, task(folder.path(), "d.csv")).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().code(), Code::NotFound);
        }
    }

    #[test]
    fn documents_of_earlier_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("w")).unwrap();
        let text = r#"{"version":1,"schedules":[{"id":"a","cron":"0 3 * * *","predict":{"model":"wine","source":
            {"path":"/in.csv"},"output":"/out.csv","keep_input":true,"device":"cpu"},"added_millis":5}]}"#;
        std::fs::write(workspace.root().join(FILE), text).unwrap();
        let read = list(&workspace).unwrap().remove(0);
        assert_eq!((read.paused, read.asked_millis, read.added_millis), (false, None, 5));
    }
}

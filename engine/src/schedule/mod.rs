//! Predictions by the clock: which tables are predicted when, and what came of it.
//!
//! Schedules are a small document in the workspace, `schedules.json`, changed under a lock by whoever adds or carries out.
//! One process at a time carries them out: the desk that has the workspace open, or `athanor serve`. What was missed
//! while nobody was there is made up for once. A prediction that was broken off goes on where it was, since the next
//! process finds it marked as begun. Whoever wants one stopped notes that in the document; whoever is at it looks there.

mod far;
mod runner;
mod stop;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

pub use athanor_protocol::cron::Cron;
use athanor_protocol::{Code, Failure, names::ModelRef, table::DataSource};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::{
    far::{Far, at_work},
    runner::{Scheduler, Watch},
    stop::{Stopped, stop},
};
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
    /// Rows that were predicted; of one that was stopped, those with which the next one goes on.
    #[serde(default)]
    pub n_rows: u64,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// When somebody asked for it to be stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_asked_millis: Option<i64>,
    /// Whether it ended because of that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
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

    /// How far it is, where `far` is of the prediction that it is at.
    pub fn far<'a>(&self, far: Option<&'a Far>) -> Option<&'a Far> {
        let last = self.executions.first().filter(|last| last.ended_millis.is_none())?;
        far.filter(|far| far.id == self.id && far.due_millis == last.due_millis)
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

/// Removes a schedule. A prediction of it that is at work goes on to its end.
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
mod tests;

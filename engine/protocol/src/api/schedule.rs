//! Predictions by the clock.

use serde::{Deserialize, Serialize};

use super::PredictAnswer;
use crate::{cron::Cron, error::Failure};

/// A prediction that is made again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleTask {
    /// When, in UTC.
    pub cron: Cron,
    /// `NAME`, `NAME@ALIAS` or `NAME:VERSION`, looked up each time.
    pub model: String,
    /// The table, read anew each time; a relative path starts at the workspace.
    pub table: String,
    /// The file to write: its whole path; it ends in `.csv` or `.parquet`.
    pub output: String,
    /// Whether the table's columns stand in front of the predictions.
    pub keep_input: bool,
}

/// One execution of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRun {
    /// When it was due, milliseconds since the Unix epoch.
    pub due_millis: i64,
    /// When it was begun.
    pub began_millis: i64,
    /// When it had ended; `None` while it is at work, or where it was broken off and will go on.
    pub ended_millis: Option<i64>,
    /// The version that predicted.
    pub version: Option<u32>,
    /// Rows that were predicted; of one that was stopped, those with which the next one goes on.
    pub n_rows: u64,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Whether somebody has asked for it to be stopped.
    #[serde(default)]
    pub stopping: bool,
    /// Whether it ended because of that.
    #[serde(default)]
    pub stopped: bool,
}

/// How far a prediction by the clock is that is at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleFar {
    /// Since when it is at work without a break, milliseconds since the Unix epoch.
    pub since_millis: i64,
    /// Rows that are predicted, with those of a broken run.
    pub n_rows: u64,
    /// How much of the table that is, from 0 to 1, where it is known.
    pub share: Option<f64>,
    /// How long it will take from now on, in milliseconds, where that can be said.
    pub rest_millis: Option<i64>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleInfo {
    /// Letters and digits.
    pub id: String,
    /// What is done when.
    pub task: ScheduleTask,
    /// Whether it rests: nothing is due until it goes on.
    pub paused: bool,
    /// When it is due next, milliseconds since the Unix epoch; `None` while it rests.
    pub next_millis: Option<i64>,
    /// Whether somebody has asked for it to be carried out now.
    pub asked: bool,
    /// What was done, newest first, at most 20.
    pub runs: Vec<ScheduleRun>,
    /// How far the one is that is at work, in whatever process; `None` where none is, or nothing was told yet.
    #[serde(default)]
    pub far: Option<ScheduleFar>,
}

/// Asks for all schedules, in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScheduleList {}

/// All schedules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Schedules {
    /// In the order in which they were made.
    pub items: Vec<ScheduleInfo>,
}

/// Makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleAdd {
    /// What is done when.
    pub task: ScheduleTask,
}

/// Changes one. What it has done stays noted; nothing that was due before the change is made up for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEdit {
    /// Which.
    pub id: String,
    /// What is done when, from now on.
    pub task: ScheduleTask,
}

/// Lets one rest, or go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePause {
    /// Which.
    pub id: String,
    /// Whether it rests from now on.
    pub paused: bool,
}

/// Carries one out now, whether it rests or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRunNow {
    /// Which.
    pub id: String,
}

/// Stops the prediction that one is at, in whatever process. The next one goes on with the rows that are done. `Conflict`
/// where it is not at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleStop {
    /// Which.
    pub id: String,
}

/// Removes one. What it wrote stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRemove {
    /// Which.
    pub id: String,
}

/// Asks for the report of a schedule's last prediction that did not fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleReport {
    /// Which.
    pub id: String,
}

/// What lies beside a schedule's output.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScheduleReportAnswer {
    /// What the last prediction did; `None` where there is no report.
    pub report: Option<PredictAnswer>,
}

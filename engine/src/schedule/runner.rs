//! Carries schedules out while the workspace is open.

use std::{
    fs::File,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{Code, Failure};

use super::{Execution, FILE, MAX_PAST, PredictTask, change, list};
use crate::{
    error::{EngineError, IoContext, Result},
    predict::{Job, Predicted, predict_file, write_report},
    workspace::Workspace,
};

/// Held by the process that carries schedules out.
const HELD: &str = "schedules.runner";
/// How often it looks whether something is due.
const LOOK: Duration = Duration::from_secs(1);

/// Carries out a workspace's schedules for as long as it lives, one after another.
pub struct Scheduler {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

/// Who is told what becomes of schedules; on the thread that carries them out.
#[derive(Default)]
pub struct Watch {
    /// One was begun, or has ended.
    pub changed: Option<Box<dyn Fn() + Send>>,
    /// So many rows of one, by its id, are predicted.
    pub progress: Option<Box<RowsDone>>,
}

/// Takes a schedule's id and how many of its rows are predicted.
pub type RowsDone = dyn Fn(&str, u64) + Send;

impl Watch {
    fn changed(&self) {
        if let Some(tell) = &self.changed {
            tell();
        }
    }
}

#[derive(Default)]
struct Told {
    flag: StopFlag,
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Scheduler {
    /// Begins. Nothing is written into a workspace that has no schedules.
    pub fn start(workspace: Arc<Workspace>) -> Self {
        Self::start_with(workspace, Watch::default())
    }

    /// [`Self::start`] with somebody who is told what happens.
    pub fn start_with(workspace: Arc<Workspace>, watch: Watch) -> Self {
        let told = Arc::new(Told::default());
        let seen = Arc::clone(&told);
        let thread = std::thread::Builder::new().name("schedules".to_owned()).spawn(move || {
            let mut held = None;
            while !seen.wait() {
                // A panic in one prediction must not end the others.
                let look = std::panic::AssertUnwindSafe(|| look(&workspace, &mut held, &seen.flag, &watch));
                match std::panic::catch_unwind(look) {
                    Ok(Ok(())) => {}
                    Ok(Err(err)) => tracing::warn!("schedules cannot be carried out: {err}"),
                    Err(_) => tracing::error!("carrying out a schedule broke down"),
                }
            }
        });
        let thread = thread.map_err(|err| tracing::error!("cannot start a thread for schedules: {err}")).ok();
        Self { told, thread }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.told.flag.stop("the workspace is closed");
        *self.told.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.changed.notify_all();
        // What it is at is left for the next time.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of schedules broke down");
        }
    }
}

impl Told {
    /// Waits until the next look; whether it is over.
    fn wait(&self) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(is_over, LOOK, |is_over| !*is_over);
        *waited.map_or_else(|poisoned| poisoned.into_inner().0, |(is_over, _)| is_over)
    }
}

/// Does what is due, one thing after another.
fn look(workspace: &Workspace, held: &mut Option<File>, stop: &StopFlag, watch: &Watch) -> Result<()> {
    if !workspace.root().join(FILE).exists() || !hold(workspace, held)? {
        return Ok(());
    }
    while stop.reason().is_none() {
        let now = workspace.clock.now_millis();
        let due = list(workspace)?.into_iter().find_map(|schedule| Some((schedule.due(now)?, schedule)));
        let Some((due, schedule)) = due else { return Ok(()) };
        begin(workspace, &schedule.id, due, now)?;
        watch.changed();
        let mut progress = |n_rows: u64| {
            if let Some(tell) = &watch.progress {
                tell(&schedule.id, n_rows);
            }
        };
        let work = || predict(workspace, &schedule.predict, stop, &mut progress);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let done = done.unwrap_or_else(|_| Err(EngineError::new(Code::Internal, "the prediction broke down")));
        if stop.reason().is_some() && done.as_ref().is_err_and(|err| err.code() == Code::Cancelled) {
            // It stays marked as begun, and goes on the next time.
            return Ok(());
        }
        end(workspace, &schedule.id, due, done.map_err(EngineError::into_failure))?;
        watch.changed();
    }
    Ok(())
}

/// Whether this process is the one that carries out.
fn hold(workspace: &Workspace, held: &mut Option<File>) -> Result<bool> {
    if held.is_none() {
        let path = workspace.root().join(HELD);
        let file = File::options().create(true).append(true).open(&path).at("open", &path)?;
        match file.try_lock() {
            Ok(()) => *held = Some(file),
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(err)) => return Err(err).at("lock", &path),
        }
    }
    Ok(held.is_some())
}

fn predict(
    workspace: &Workspace,
    task: &PredictTask,
    stop: &StopFlag,
    progress: &mut dyn FnMut(u64),
) -> Result<Predicted> {
    let job = Job {
        reference: &task.model,
        source: &task.source,
        to: &task.output,
        keep_input: task.keep_input,
        device: &task.device,
    };
    let predicted = predict_file(workspace, &job, stop, progress)?;
    write_report(&predicted, &task.output)?;
    Ok(predicted)
}

/// Marks it as begun, before anything is done: what is broken off is known.
fn begin(workspace: &Workspace, id: &str, due: i64, now: i64) -> Result<()> {
    change(workspace, |schedules| {
        let Some(schedule) = schedules.iter_mut().find(|schedule| schedule.id == id) else { return Ok(()) };
        if schedule.executions.first().is_none_or(|last| last.ended_millis.is_some()) {
            let began = Execution {
                due_millis: due,
                began_millis: now,
                ended_millis: None,
                version: None,
                n_rows: 0,
                failure: None,
            };
            schedule.executions.insert(0, began);
            // Whatever was asked for is what begins now.
            schedule.asked_millis = None;
            schedule.executions.truncate(MAX_PAST);
        }
        Ok(())
    })
}

fn end(workspace: &Workspace, id: &str, due: i64, done: Result<Predicted, Failure>) -> Result<()> {
    let now = workspace.clock.now_millis();
    if let Err(failure) = &done {
        tracing::warn!(schedule = id, "a prediction by schedule failed: {failure}");
    }
    change(workspace, |schedules| {
        // Removed meanwhile: there is nothing to note.
        let schedule = schedules.iter_mut().find(|schedule| schedule.id == id);
        let last = schedule.and_then(|schedule| schedule.executions.first_mut()).filter(|last| last.due_millis == due);
        if let Some(last) = last {
            last.ended_millis = Some(now);
            match done {
                Ok(predicted) => {
                    last.version = Some(predicted.version);
                    last.n_rows = predicted.report.n_rows;
                }
                Err(failure) => last.failure = Some(failure),
            }
        }
        Ok(())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_protocol::table::DataSource;

    use super::*;
    use crate::schedule::add;

    #[test]
    fn a_failed_execution_is_noted_with_its_reason_and_done_once() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("w")).unwrap();
        let task = PredictTask {
            model: "wine".to_owned(),
            source: DataSource::file(folder.path().join("in.csv").to_str().unwrap()),
            output: folder.path().join("out.csv"),
            keep_input: true,
            device: "cpu".to_owned(),
        };
        let added = add(&workspace, "* * * * *".parse().unwrap(), task).unwrap();
        let mut held = None;
        let (began, seen) = std::sync::mpsc::sync_channel(8);
        let watch = Watch { changed: Some(Box::new(move || began.send(()).unwrap())), progress: None };
        look(&workspace, &mut held, &StopFlag::new(), &watch).unwrap();
        assert!(list(&workspace).unwrap()[0].executions.is_empty(), "it is not due yet");
        change(&workspace, |schedules| {
            schedules[0].added_millis -= 3_600_000;
            Ok(())
        })
        .unwrap();
        look(&workspace, &mut held, &StopFlag::new(), &watch).unwrap();
        assert_eq!(seen.try_iter().count(), 2, "its beginning and its end are told");
        let executions = list(&workspace).unwrap().remove(0).executions;
        let [one] = executions.as_slice() else { panic!("{executions:?}") };
        assert!(one.ended_millis.is_some());
        assert_eq!(one.failure.as_ref().map(|failure| failure.code), Some(Code::NotFound), "there is no such model");
        assert_eq!(list(&workspace).unwrap()[0].id, added.id);
        // Asked for, it is carried out though it rests, and once.
        crate::schedule::pause(&workspace, &added.id, true).unwrap();
        crate::schedule::run_now(&workspace, &added.id).unwrap();
        look(&workspace, &mut held, &StopFlag::new(), &watch).unwrap();
        look(&workspace, &mut held, &StopFlag::new(), &watch).unwrap();
        assert_eq!(list(&workspace).unwrap()[0].executions.len(), 2);
        // Another process does not carry out meanwhile.
        assert!(!hold(&workspace, &mut None).unwrap());
    }
}

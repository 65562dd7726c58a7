//! Carries schedules out while the workspace is open.

use std::{
    fs::File,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{Code, Failure};

use super::{
    Execution, FILE, Far, MAX_PAST, PredictTask, Schedule, at_work, change,
    far::{self, Pace},
    list, stop,
};
use crate::{
    error::{EngineError, IoContext, Result},
    predict::{BatchProgress, Job, Predicted, predict_file, write_report},
    workspace::Workspace,
};

/// Held by the process that carries schedules out.
const HELD: &str = "schedules.runner";
/// How often it looks whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks whether what is at work is to end.
const MIND: Duration = Duration::from_millis(200);

/// Carries out a workspace's schedules for as long as it lives, one after another.
pub struct Scheduler {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

/// Who is told what becomes of schedules; on the thread that carries them out, or would.
#[derive(Default)]
pub struct Watch {
    /// Schedules are not as they were, by this process or another one: changed, begun, ended.
    pub changed: Option<Box<dyn Fn() + Send>>,
    /// How far the one is that is at work, in this process or another one.
    pub progress: Option<Box<Progress>>,
}

/// Takes how far a schedule is.
pub type Progress = dyn Fn(&Far) + Send;

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
            let mut runner = Runner { workspace: &workspace, watch, held: None, seen: None, far: None };
            while !seen.wait() {
                // A panic in one prediction must not end the others.
                let look = std::panic::AssertUnwindSafe(|| runner.look(&seen.flag));
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

/// What carries out, and what it has seen.
struct Runner<'a> {
    workspace: &'a Workspace,
    watch: Watch,
    /// Held where this process is the one that carries out.
    held: Option<File>,
    /// The schedules as they were told last.
    seen: Option<Vec<Schedule>>,
    /// How far another process was.
    far: Option<Far>,
}

/// What of a prediction was told last.
type Reached = Mutex<Option<BatchProgress>>;

impl Runner<'_> {
    /// Reads the schedules, and tells where they are not as they were.
    fn list(&mut self) -> Result<Vec<Schedule>> {
        let now = list(self.workspace)?;
        if let Some(tell) = self.watch.changed.as_ref().filter(|_| self.seen.as_ref().is_some_and(|seen| *seen != now))
        {
            tell();
        }
        self.seen = Some(now.clone());
        Ok(now)
    }

    fn progress(&self, far: &Far) {
        if let Some(tell) = &self.watch.progress {
            tell(far);
        }
    }

    /// Does what is due, one thing after another; where another process does that, tells what it does.
    fn look(&mut self, stop: &StopFlag) -> Result<()> {
        if !self.workspace.root().join(FILE).exists() {
            return Ok(());
        }
        if !hold(self.workspace, &mut self.held)? {
            self.list()?;
            let far = at_work(self.workspace);
            if let Some(far) = far.as_ref().filter(|_| self.far != far) {
                self.progress(far);
            }
            self.far = far;
            return Ok(());
        }
        while stop.reason().is_none() {
            let now = self.workspace.clock.now_millis();
            let due = self.list()?.into_iter().find_map(|schedule| Some((schedule.due(now)?, schedule)));
            let Some((due, schedule)) = due else { return Ok(()) };
            let last = schedule.executions.first().filter(|last| last.ended_millis.is_none());
            if last.is_some_and(|last| last.stop_asked_millis.is_some()) {
                // Who was at it did not come to end it.
                stop::end(self.workspace, &schedule.id)?;
                continue;
            }
            if !begin(self.workspace, &schedule.id, due, now)? {
                continue;
            }
            let work = |flag: &StopFlag, progress: &mut dyn FnMut(BatchProgress)| {
                predict(self.workspace, &schedule.predict, flag, progress)
            };
            let done = self.mind(&schedule.id, due, stop, work);
            far::forget(self.workspace);
            match done {
                // It stays marked as begun, and goes on the next time.
                Err(err) if err.code() == Code::Cancelled && stop.reason().is_some() => return Ok(()),
                Err(err) if err.code() == Code::Cancelled => drop(stop::end(self.workspace, &schedule.id)?),
                done => end(self.workspace, &schedule.id, due, done.map_err(EngineError::into_failure))?,
            }
            self.list()?;
        }
        Ok(())
    }

    /// Lets a thread of its own do the work, and looks meanwhile whether it is to end.
    fn mind(
        &mut self,
        id: &str,
        due_millis: i64,
        stop: &StopFlag,
        work: impl FnOnce(&StopFlag, &mut dyn FnMut(BatchProgress)) -> Result<Predicted> + Send,
    ) -> Result<Predicted> {
        let (flag, reached) = (StopFlag::new(), Reached::default());
        let (workspace, since_millis) = (self.workspace, self.workspace.clock.now_millis());
        std::thread::scope(|scope| {
            let (ending, ended) = sync_channel::<()>(0);
            let (flag, reached) = (&flag, &reached);
            let run = move || {
                // Dropped when this thread ends, however that may be.
                let _ending = ending;
                let mut progress = |now| *reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                work(flag, &mut progress)
            };
            let thread = std::thread::Builder::new().name("schedule".to_owned()).spawn_scoped(scope, run);
            let thread = thread.map_err(|err| {
                EngineError::new(Code::from_io(&err), format!("cannot start a thread for a prediction: {err}"))
            })?;
            let (mut pace, mut told) = (Pace::default(), None);
            while ended.recv_timeout(MIND) == Err(RecvTimeoutError::Timeout) {
                if let Some(reason) = stop.reason() {
                    flag.stop(reason);
                } else if self.is_to_stop(id, due_millis) {
                    flag.stop("somebody stopped it");
                }
                let now = *reached.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(BatchProgress { n_rows, share }) = now.filter(|_| told != now) {
                    told = now;
                    let rest_millis = share.and_then(|share| pace.rest(share, workspace.clock.now_millis()));
                    let id = id.to_owned();
                    let far = Far { id, due_millis, since_millis, n_rows, share, rest_millis };
                    far::tell(workspace, &far);
                    self.progress(&far);
                }
            }
            thread.join().unwrap_or_else(|_| Err(EngineError::new(Code::Internal, "the prediction broke down")))
        })
    }

    /// Whether somebody wants the execution stopped. Where that cannot be read now, it can a moment later.
    fn is_to_stop(&mut self, id: &str, due: i64) -> bool {
        let schedules = match self.list() {
            Ok(schedules) => schedules,
            Err(err) => {
                tracing::warn!("schedules cannot be read: {err}");
                return false;
            }
        };
        let schedule = schedules.iter().find(|schedule| schedule.id == id);
        let last = schedule.and_then(|schedule| schedule.executions.first()).filter(|last| last.due_millis == due);
        last.is_some_and(|last| last.stop_asked_millis.is_some())
    }
}

/// Whether any process carries out now.
pub(super) fn is_held(workspace: &Workspace) -> bool {
    let Ok(file) = File::open(workspace.root().join(HELD)) else { return false };
    // Shared, so that those who look do not keep each other out; it is let go at once.
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

/// Whether this process is the one that carries out.
pub(super) fn hold(workspace: &Workspace, held: &mut Option<File>) -> Result<bool> {
    if held.is_none() {
        let path = workspace.root().join(HELD);
        let file = File::options().create(true).append(true).open(&path).at("open", &path)?;
        match file.try_lock() {
            Ok(()) => {
                // Of a process that was killed.
                far::forget(workspace);
                *held = Some(file);
            }
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
    progress: &mut dyn FnMut(BatchProgress),
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

/// Marks it as begun, before anything is done: what is broken off is known. False where it is not due any more.
fn begin(workspace: &Workspace, id: &str, due: i64, now: i64) -> Result<bool> {
    change(workspace, |schedules| {
        let schedule = schedules.iter_mut().find(|schedule| schedule.id == id);
        let Some(schedule) = schedule.filter(|schedule| schedule.due(now) == Some(due)) else { return Ok(false) };
        if schedule.executions.first().is_none_or(|last| last.ended_millis.is_some()) {
            let began = Execution {
                due_millis: due,
                began_millis: now,
                ended_millis: None,
                version: None,
                n_rows: 0,
                failure: None,
                stop_asked_millis: None,
                stopped: false,
            };
            schedule.executions.insert(0, began);
            // Whatever was asked for is what begins now.
            schedule.asked_millis = None;
            schedule.executions.truncate(MAX_PAST);
        }
        Ok(true)
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
#[path = "runner_tests.rs"]
mod tests;

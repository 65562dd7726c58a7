//! What was left behind: runs whose supervisor is gone become failed with the reason, and can be resumed.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use athanor_protocol::{Code, Failure, names::RunId, run::RunStatus};
use athanor_store::ActiveRun;

use super::system;
use crate::{
    error::{EngineError, IoContext, Result},
    files, worker,
    workspace::Workspace,
};

/// A run that was written down but never started is given up after this long, in milliseconds.
const UNSTARTED_MILLIS: i64 = 60_000;

/// A supervisor on another host that gave no sign of life for this long is gone, in milliseconds. Signs are stored every
/// second; a host that was renamed counts as another one.
const SILENT_MILLIS: i64 = 60_000;

/// The file in a job's folder that says which process will start it when there is room: host, process id, start time.
const WAITING_FILE: &str = "waiting.json";

/// Says that this process will start a queued run later.
///
/// # Errors
/// If the job's folder cannot be written.
pub fn mark_waiting(folder: &Path) -> Result<()> {
    let me = super::this_process();
    let text = serde_json::json!([me.host, me.pid, me.started]).to_string();
    files::write_atomic(&folder.join(WAITING_FILE), text.as_bytes())
}

/// Takes the mark of [`mark_waiting`] away.
pub fn unmark_waiting(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(WAITING_FILE));
}

/// Whether a process that lives means to start a queued run.
fn is_awaited(folder: &Path) -> bool {
    let bytes = files::read_limited(&folder.join(WAITING_FILE), 4096).unwrap_or_default();
    let Ok((host, pid, started)) = serde_json::from_slice::<(String, u32, u64)>(&bytes) else { return false };
    host == system::host_name() && system::process_start(pid) == Some(started)
}

/// Whether nobody is at a run any more.
fn is_gone(run: &ActiveRun, now: i64, folder: &Path) -> bool {
    match &run.owner {
        None => now - run.queued_at_millis > UNSTARTED_MILLIS && !is_awaited(folder),
        Some(owner) if owner.host == system::host_name() => system::process_start(owner.pid) != Some(owner.started),
        Some(_) => now - run.heartbeat_at_millis.unwrap_or(run.queued_at_millis) > SILENT_MILLIS,
    }
}

/// Marks runs whose supervisor is gone. Called by every command that shows or changes runs.
///
/// # Errors
/// If the database cannot be read or written.
pub fn reconcile(workspace: &Workspace) -> Result<Vec<RunId>> {
    let now = workspace.clock.now_millis();
    let mut marked = vec![];
    for run in workspace.store.running()? {
        if !is_gone(&run, now, &workspace.job_folder(&run.id)) {
            continue;
        }
        let failure = Failure::new(Code::Unavailable, "the process that supervised the run ended")
            .on(run.id.to_string())
            .hint(format!("go on from its checkpoint with: athanor runs resume {}", run.id));
        // Another process may have marked or resumed it a moment ago; then this attempt is no longer current.
        match workspace.store.finish(&run.id, run.attempt, RunStatus::Failed, Some(&failure), true, now) {
            Ok(()) => marked.push(run.id),
            Err(err) if err.code() == Code::Conflict => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(marked)
}

/// Waits until no worker is at a job any more; one that outlived its supervisor is told to stop and then killed.
///
/// # Errors
/// If a worker cannot be ended.
pub fn free_folder(folder: &Path) -> Result<()> {
    let path = folder.join(worker::LOCK_FILE);
    if !path.is_file() {
        return Ok(());
    }
    let file = File::options().read(true).write(true).open(&path).at("open", &path)?;
    let began = Instant::now();
    let mut told = false;
    let mut killed = false;
    while file.try_lock().is_err() {
        if !told {
            files::write_atomic(&folder.join(worker::stop::CANCEL_FILE), b"the run is taken over")?;
            told = true;
        }
        if began.elapsed() > Duration::from_millis(700) && !killed {
            kill_worker(folder);
            killed = true;
        }
        if began.elapsed() > Duration::from_secs(5) {
            return Err(EngineError::Failure(
                Failure::new(Code::Conflict, "another worker is still at this run and does not end")
                    .hint("end it and try again"),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = std::fs::remove_file(folder.join(worker::stop::CANCEL_FILE));
    Ok(())
}

/// Kills the worker that holds a job folder's lock, if the process with its id is still the one that wrote it.
fn kill_worker(folder: &Path) {
    let Ok(bytes) = files::read_limited(&folder.join(worker::PID_FILE), 256) else { return };
    let Ok((pid, started)) = serde_json::from_slice::<(u32, u64)>(&bytes) else { return };
    if system::process_start(pid) != Some(started) {
        return;
    }
    #[cfg(unix)]
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: `kill` takes two numbers and touches no memory of ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// Asks a run to stop and waits until it has; works also when its supervisor is gone, stopped or busy.
///
/// # Errors
/// If there is no such run, it is over already, or it cannot be ended.
pub fn cancel(workspace: &Workspace, run: &RunId, reason: &str) -> Result<()> {
    /// A supervisor obeys within this time; after that the worker is ended from here.
    const PATIENCE: Duration = Duration::from_secs(2);
    reconcile(workspace)?;
    let attempt = workspace.store.run(run)?.summary.attempt;
    workspace.store.request_cancel(run, reason, workspace.clock.now_millis())?;
    let folder = workspace.job_folder(run);
    let began = Instant::now();
    loop {
        let summary = workspace.store.run(run)?.summary;
        if summary.attempt != attempt {
            // It was over and somebody resumed it since: what was asked for has happened.
            return Ok(());
        }
        if summary.status.is_final() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            free_folder(&folder)?;
            let failure = Failure::new(Code::Cancelled, reason);
            let now = workspace.clock.now_millis();
            return match workspace.store.finish(run, attempt, RunStatus::Cancelled, Some(&failure), true, now) {
                Err(err) if err.code() != Code::Conflict => Err(err.into()),
                _ => Ok(()),
            };
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

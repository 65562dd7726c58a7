//! What was left behind: runs whose supervisor is gone become failed with the reason, and can be resumed.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use athanor_protocol::{
    Code, Failure,
    names::RunId,
    run::{Owner, RunStatus},
};

use super::system;
use crate::{
    error::{EngineError, IoContext, Result},
    files, worker,
    workspace::Workspace,
};

/// A run that was written down but never started is given up after this long, in milliseconds.
const UNSTARTED_MILLIS: i64 = 60_000;

/// Whether the process that owns a run still lives. Of another host nothing can be told, so it counts as living.
fn lives(owner: &Owner) -> bool {
    owner.host != system::host_name() || system::process_start(owner.pid) == Some(owner.started)
}

/// Marks runs whose supervisor is gone. Called by every command that shows or changes runs.
///
/// # Errors
/// If the database cannot be read or written.
pub fn reconcile(workspace: &Workspace) -> Result<Vec<RunId>> {
    let now = workspace.clock.now_millis();
    let mut marked = vec![];
    for run in workspace.store.running()? {
        let gone = match &run.owner {
            Some(owner) => !lives(owner),
            None => now - run.queued_at_millis > UNSTARTED_MILLIS,
        };
        if !gone {
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

/// Asks a run to stop and waits until it has; works also when its supervisor is gone.
///
/// # Errors
/// If there is no such run, it is over already, or it cannot be ended.
pub fn cancel(workspace: &Workspace, run: &RunId, reason: &str) -> Result<()> {
    reconcile(workspace)?;
    workspace.store.request_cancel(run, reason, workspace.clock.now_millis())?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let detail = workspace.store.run(run)?;
        if detail.summary.status.is_final() {
            return free_folder(&workspace.job_folder(run));
        }
        if detail.owner.as_ref().is_some_and(|owner| !lives(owner)) {
            free_folder(&workspace.job_folder(run))?;
            let failure = Failure::new(Code::Cancelled, reason);
            let now = workspace.clock.now_millis();
            workspace.store.finish(run, detail.summary.attempt, RunStatus::Cancelled, Some(&failure), true, now)?;
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(EngineError::Failure(
        Failure::new(Code::Timeout, format!("run {run} was asked to stop but did not within 5 seconds"))
            .on(run.to_string()),
    ))
}

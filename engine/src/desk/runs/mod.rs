//! Runs of the window: each is supervised on a thread of its own, a few at once, the others wait their turn.
//!
//! The database says what a run is; what is kept here besides is how far its steps are, which nobody needs later.

mod look;
mod marks;
mod tell;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{
    Code, Failure,
    api::{Done, Event, NodeProgress, RunCancel, RunResume, RunStart, RunStarted},
    catalogue::Catalogue,
    check::Problem,
    job::JobSpec,
    names::RunId,
    run::RunStatus,
    workflow::Workflow,
};

use self::tell::Teller;
pub(super) use self::{
    look::{artifact, damaged, run_get, run_list, run_logs, run_metrics, run_reports, run_save_artifact, run_series},
    marks::{run_delete, run_note, run_restore, run_tag},
};
use super::{
    Desk, flow,
    host::{device_of, lock},
};
use crate::{
    EngineError,
    flow::plan::{ResolvedSource, plan_part},
    runs::{self, RunOptions, reconcile},
    workspace::Workspace,
};

/// Runs at work at once; more only take memory and time from each other.
const MAX_AT_WORK: usize = 4;
/// Most runs that wait.
const MAX_WAITING: usize = 200;
/// A waiting run looks whether it was stopped at least this often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long closing the program waits for its runs: a worker has 700 ms to write its checkpoint.
const CLOSING: Duration = Duration::from_secs(3);
/// How often the reading of large tables tells how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Problems that a refusal tells of.
const TOLD_PROBLEMS: usize = 3;

/// The runs of this process that are not over.
#[derive(Default)]
pub(super) struct Running {
    runs: Mutex<HashMap<RunId, Active>>,
    changed: Condvar,
}

struct Active {
    stop: StopFlag,
    /// Those with smaller numbers go first.
    ticket: u64,
    waiting: bool,
    /// Content keys of its steps: their results must stay while it is at work.
    keys: BTreeSet<String>,
    progress: BTreeMap<String, NodeProgress>,
}

impl Running {
    /// How many runs wait or are at work.
    pub(super) fn n_active(&self) -> usize {
        lock(&self.runs).len()
    }

    /// Waits until no run waits or is at work, but no longer than this; whether it is so.
    pub(super) fn idle_within(&self, at_most: Duration) -> bool {
        let runs = lock(&self.runs);
        let waited = self.changed.wait_timeout_while(runs, at_most, |runs| !runs.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }

    fn enter(&self, job: &JobSpec, stop: &StopFlag) -> Result<(), Failure> {
        let mut runs = lock(&self.runs);
        if runs.len() >= MAX_AT_WORK + MAX_WAITING {
            return Err(Failure::new(Code::Overloaded, format!("{MAX_WAITING} runs are waiting already"))
                .hint("wait until some are done, or cancel some"));
        }
        let ticket = runs.values().map(|active| active.ticket + 1).max().unwrap_or(0);
        let keys = job.steps.iter().map(|step| step.key.clone()).collect();
        let active = Active { stop: stop.clone(), ticket, waiting: true, keys, progress: BTreeMap::new() };
        runs.insert(job.run_id.clone(), active);
        Ok(())
    }

    fn leave(&self, run: &RunId) {
        lock(&self.runs).remove(run);
        self.changed.notify_all();
    }

    /// Waits until there is room; false where the run was stopped before.
    fn wait_for_turn(&self, run: &RunId, stop: &StopFlag) -> bool {
        let mut runs = lock(&self.runs);
        loop {
            if stop.reason().is_some() {
                return false;
            }
            let Some(ticket) = runs.get(run).map(|active| active.ticket) else { return false };
            let before = |other: &&Active| !other.waiting || other.ticket < ticket;
            if runs.values().filter(before).count() < MAX_AT_WORK {
                if let Some(active) = runs.get_mut(run) {
                    active.waiting = false;
                }
                return true;
            }
            runs = self.changed.wait_timeout(runs, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Stops one; false where it is none of this process.
    fn stop(&self, run: &RunId, reason: &str) -> Option<bool> {
        let runs = lock(&self.runs);
        let active = runs.get(run)?;
        active.stop.stop(reason);
        self.changed.notify_all();
        Some(active.waiting)
    }

    /// The run at work that needs one of these results.
    fn user_of(&self, keys: &BTreeSet<String>) -> Option<RunId> {
        let runs = lock(&self.runs);
        runs.iter().find(|(_, active)| !active.keys.is_disjoint(keys)).map(|(run, _)| run.clone())
    }

    fn note(&self, run: &RunId, progress: &NodeProgress) {
        if let Some(active) = lock(&self.runs).get_mut(run) {
            active.progress.insert(progress.node.clone(), progress.clone());
        }
    }

    fn progress(&self, run: &RunId) -> BTreeMap<String, NodeProgress> {
        lock(&self.runs).get(run).map(|active| active.progress.clone()).unwrap_or_default()
    }
}

/// What the user has set for runs.
///
/// # Errors
/// None yet; a setting may become one that this machine cannot do.
pub(super) fn options(desk: &Desk, device: &str, seed: u64) -> Result<RunOptions, Failure> {
    let settings = desk.host.settings();
    Ok(RunOptions {
        set: vec![],
        device: device.to_owned(),
        seed,
        threads: settings.threads,
        memory_limit_bytes: settings.memory_limit_bytes,
        program: desk.options.program.clone(),
    })
}

/// A workflow that cannot run, as one failure that tells of the first problems.
fn refusal(problems: &[Problem]) -> Failure {
    let told: Vec<String> = problems.iter().take(TOLD_PROBLEMS).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(told.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let failure = Failure::new(Code::InvalidArgument, format!("the workflow cannot run: {}{more}", told.join("; ")));
    let failure = failure.hint("the nodes say what is wrong with them; mend them and run again");
    match problems.iter().find_map(|problem| problem.node.clone()) {
        Some(node) => failure.on(node),
        None => failure,
    }
}

fn as_refusal(err: EngineError) -> Failure {
    match err {
        EngineError::Workflow(problems) => refusal(&problems),
        err => err.into_failure(),
    }
}

/// A node with all that it needs (`back`), or with all that depends on it.
fn reach(workflow: &Workflow, node: &str, back: bool) -> Result<BTreeSet<String>, Failure> {
    if workflow.node(node).is_none() {
        return Err(Failure::new(Code::NotFound, format!("the workflow has no node {node:?}")).on(node));
    }
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for link in &workflow.links {
        let (from, to) = if back { (&link.to, &link.from) } else { (&link.from, &link.to) };
        next.entry(&from.node).or_default().push(&to.node);
    }
    let mut found = BTreeSet::from([node.to_owned()]);
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        for &other in next.get(node).into_iter().flatten() {
            if found.insert(other.to_owned()) {
                waiting.push(other);
            }
        }
    }
    Ok(found)
}

pub(super) fn run_start(desk: &Arc<Desk>, ask: RunStart) -> Result<RunStarted, Failure> {
    let workspace = desk.workspace()?;
    let catalogue = Catalogue::builtin();
    let whole = flow::read(&ask.json)?;
    let part = match &ask.up_to {
        Some(node) => {
            let keep = reach(&whole, node, true)?;
            flow::part_of(&whole, &|id| keep.contains(id))
        }
        None => whole.clone(),
    };
    runs::check(&part, &catalogue).map_err(as_refusal)?;
    let sources = read_sources(desk, &workspace, &part, &ask.token)?;
    let options = options(desk, &ask.device, ask.seed)?;
    let inputs = runs::plan_inputs(sources, &options, device_of(desk, &ask.device)?)?;
    let plan = plan_part(&part, &whole, &catalogue, &inputs).map_err(|problems| refusal(&problems))?;
    if let Some(node) = &ask.again_from {
        let again = reach(&part, node, false)?;
        let steps = plan.steps.iter().filter(|step| again.contains(&step.node));
        let keys: BTreeSet<String> = steps.map(|step| step.key.clone()).collect();
        if let Some(run) = desk.runs.user_of(&keys) {
            let message = format!("run {run} is at work with the results that are to be made again");
            return Err(Failure::new(Code::Conflict, message).on(run.to_string()).hint("wait for it, or cancel it"));
        }
        keys.iter().try_for_each(|key| workspace.cache.remove(key))?;
    }
    let job = runs::create(&workspace, &part, &plan, &inputs, &options)?;
    let run = job.run_id.clone();
    go(desk, &workspace, job, options)?;
    Ok(RunStarted { run })
}

/// The tables that a workflow opens. Large ones take a while: that is told, and stopped, under the token.
fn read_sources(
    desk: &Desk,
    workspace: &Workspace,
    workflow: &Workflow,
    token: &str,
) -> Result<BTreeMap<String, ResolvedSource>, Failure> {
    let working = desk.works.begin(token);
    let (began, mut told) = (Instant::now(), Duration::ZERO);
    let mut go_on = |path: &Path, done: u64| {
        let elapsed = began.elapsed();
        if elapsed >= told + PROGRESS_EVERY && !token.is_empty() {
            told = elapsed;
            let total = std::fs::metadata(path).map_or(0, |meta| meta.len()).max(done);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let note = format!("reading {name} to know whether it changed");
            desk.publish(Event::Progress { token: token.to_owned(), done, total, note });
        }
        !working.is_stopped()
    };
    Ok(flow::sources(desk, workspace, workflow, &mut go_on)?)
}

pub(super) fn run_resume(desk: &Arc<Desk>, ask: RunResume) -> Result<Done, Failure> {
    let workspace = desk.workspace()?;
    let options = options(desk, "auto", 0)?;
    let job = runs::take_up(&workspace, &ask.run, &options)?;
    go(desk, &workspace, job, options)?;
    Ok(Done {})
}

pub(super) fn run_cancel(desk: &Arc<Desk>, ask: RunCancel) -> Result<Done, Failure> {
    const REASON: &str = "cancelled by the user";
    let workspace = desk.workspace()?;
    match desk.runs.stop(&ask.run, REASON) {
        // Its supervisor in this process stops the worker.
        Some(false) => {}
        Some(true) => {
            workspace.store.request_cancel(&ask.run, REASON, workspace.clock.now_millis())?;
            changed(desk, &workspace, &ask.run);
        }
        None => {
            reconcile::cancel(&workspace, &ask.run, REASON)?;
            changed(desk, &workspace, &ask.run);
        }
    }
    Ok(Done {})
}

/// Tells how a run is listed now.
fn changed(desk: &Desk, workspace: &Workspace, run: &RunId) {
    match workspace.store.summary(run) {
        Ok(run) => desk.publish(Event::RunChanged { run: Box::new(run) }),
        Err(err) => tracing::warn!("run {run} cannot be read: {err}"),
    }
}

/// Supervises a queued run on a thread of its own.
fn go(desk: &Arc<Desk>, workspace: &Arc<Workspace>, job: JobSpec, options: RunOptions) -> Result<(), Failure> {
    let stop = StopFlag::default();
    let run = job.run_id.clone();
    let attempt = job.attempt;
    let folder = workspace.job_folder(&run);
    let started = desk.runs.enter(&job, &stop).and_then(|()| {
        // Before somebody takes a run that waits long for one that was left behind.
        reconcile::mark_waiting(&folder)?;
        let (theirs, at) = (Arc::clone(desk), Arc::clone(workspace));
        let work = move || supervise(&theirs, &at, job, &options, &stop);
        let name = format!("run-{run}");
        let spawned = std::thread::Builder::new().name(name).spawn(work);
        spawned.map(drop).map_err(|err| {
            Failure::new(Code::Unavailable, format!("no thread could be started for the run: {err}"))
                .on(run.to_string())
        })
    });
    if let Err(failure) = started {
        desk.runs.leave(&run);
        let now = workspace.clock.now_millis();
        workspace.store.finish(&run, attempt, RunStatus::Failed, Some(&failure), true, now)?;
        return Err(failure);
    }
    changed(desk, workspace, &run);
    Ok(())
}

fn supervise(desk: &Arc<Desk>, workspace: &Arc<Workspace>, job: JobSpec, options: &RunOptions, stop: &StopFlag) {
    let (run, attempt) = (job.run_id.clone(), job.attempt);
    let turn = desk.runs.wait_for_turn(&run, stop);
    reconcile::unmark_waiting(&workspace.job_folder(&run));
    if !turn {
        // Whoever stopped it has written that down, or does so now.
        desk.runs.leave(&run);
        changed(desk, workspace, &run);
        return;
    }
    let mut teller = Teller::new(desk, workspace, &run);
    let work = std::panic::AssertUnwindSafe(|| {
        runs::attempt(workspace, job, options, stop, &mut |_, bodies| teller.hear(bodies))
    });
    let outcome = std::panic::catch_unwind(work).unwrap_or_else(|_| {
        let failure = Failure::new(Code::Internal, "the supervisor of the run broke down");
        Err(EngineError::Failure(failure.hint("this is a defect of the program; go on from the run's checkpoint")))
    });
    teller.flush();
    match &outcome {
        Ok(outcome) => {
            teller.end(&outcome.detail.steps);
            if !outcome.registered.is_empty() {
                desk.publish(Event::ModelsChanged {});
            }
        }
        // Somebody cancelled it while it waited: it is over, as the database says.
        Err(err) if err.code() == Code::Conflict => {}
        Err(err) => {
            tracing::error!("run {run}: {err}");
            let failure = Failure::new(err.code(), err.to_string());
            let now = workspace.clock.now_millis();
            if let Err(err) = workspace.store.finish(&run, attempt, RunStatus::Failed, Some(&failure), true, now) {
                tracing::error!("the end of run {run} was not written: {err}");
            }
        }
    }
    desk.runs.leave(&run);
    changed(desk, workspace, &run);
}

/// Stops all runs of this process: their workers write checkpoints, and they end as cancelled and can be resumed.
pub(super) fn shut_down(desk: &Arc<Desk>) {
    const REASON: &str = "the program was closed";
    let Ok(workspace) = desk.workspace() else { return };
    let waiting: Vec<RunId> = {
        let runs = lock(&desk.runs.runs);
        runs.values().for_each(|active| active.stop.stop(REASON));
        runs.iter().filter(|(_, active)| active.waiting).map(|(run, _)| run.clone()).collect()
    };
    desk.runs.changed.notify_all();
    for run in waiting {
        if let Err(err) = workspace.store.request_cancel(&run, REASON, workspace.clock.now_millis()) {
            tracing::warn!("the waiting run {run} was not cancelled: {err}");
        }
    }
    let began = Instant::now();
    let mut runs = lock(&desk.runs.runs);
    while !runs.is_empty() && began.elapsed() < CLOSING {
        let left = CLOSING.saturating_sub(began.elapsed());
        runs = desk.runs.changed.wait_timeout(runs, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    if !runs.is_empty() {
        // Their workers notice that this process is gone, and the next start marks the runs.
        tracing::warn!("{} runs did not end in time", runs.len());
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;

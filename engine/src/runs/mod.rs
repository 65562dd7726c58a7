//! Runs: from a workflow file to recorded results, through one worker process for each attempt.

pub mod effects;
pub mod reconcile;
pub mod recorder;
pub mod supervise;
pub mod system;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{
    Code, Failure,
    catalogue::Catalogue,
    check::{Problem, set_param},
    job::{JobSpec, WorkerEventBody},
    metric::MetricPoint,
    names::RunId,
    run::{NewRun, Owner, RunDetail, RunStatus, StepRecord, StepState},
    workflow::Workflow,
};
use athanor_store::{Batch, StepUpdate};

use self::{
    recorder::Recorder,
    supervise::{AttemptEnd, Supervision, supervise},
};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    flow::{
        plan::{Need, Plan, PlanInputs, ResolvedSource, metric_prefix, needs, plan},
        source,
    },
    worker,
    workspace::Workspace,
};

/// How a workflow is to be run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Assignments `NODE.PARAM=VALUE`.
    pub set: Vec<String>,
    /// The device by name, or `auto`.
    pub device: String,
    /// The seed.
    pub seed: u64,
    /// CPU threads; 0 means all.
    pub threads: u32,
    /// Most resident memory of the worker in bytes; 0 means nine tenths of the machine's.
    pub memory_limit_bytes: u64,
    /// The program that is a worker when called with `worker`.
    pub program: PathBuf,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// Everything that is kept of it.
    pub detail: RunDetail,
    /// Versions that it registered.
    pub registered: Vec<effects::Registered>,
    /// How long this attempt took, in seconds.
    pub seconds: f64,
}

/// Sees what happened in a run, in order, once it has been persisted.
pub type Observe<'a> = &'a mut dyn FnMut(&RunId, &[WorkerEventBody]);

/// Reads a workflow file and applies assignments.
///
/// # Errors
/// If it cannot be read, is no workflow, or an assignment does not fit.
pub fn read_workflow(path: &Path, set: &[String], catalogue: &Catalogue) -> Result<Workflow> {
    let bytes = files::read_limited(path, athanor_protocol::workflow::MAX_WORKFLOW_BYTES as u64)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let failure =
            Failure::new(Code::BadData, format!("this is no workflow: the file is not UTF-8 text: {}", path.display()));
        EngineError::Failure(failure.hint("a workflow is a JSON object with version, name, nodes and links"))
    })?;
    let mut workflow = Workflow::from_json(&text).map_err(|failure| {
        let subject = path.display().to_string();
        Failure { message: format!("{}: {}", path.display(), failure.message), ..failure.on(subject) }
    })?;
    for assignment in set {
        set_param(&mut workflow, catalogue, assignment)
            .map_err(|problem: Problem| EngineError::Usage(problem.to_string()))?;
    }
    Ok(workflow)
}

/// Runs a workflow file to its end.
///
/// # Errors
/// If it cannot start: an unreadable file, problems of the workflow, an unknown device. A run that started and failed is
/// no error here; its status says so.
pub fn run_file(
    workspace: &Workspace,
    path: &Path,
    options: &RunOptions,
    stop: &StopFlag,
    observe: Observe<'_>,
) -> Result<RunOutcome> {
    let catalogue = Catalogue::builtin();
    let workflow = read_workflow(path, &options.set, &catalogue)?;
    check(&workflow, &catalogue)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sources = source::resolve(&workflow, folder)?;
    let device = crate::devices::resolve(&options.program, &options.device)?;
    let inputs = plan_inputs(sources, options, device)?;
    let plan = plan(&workflow, &catalogue, &inputs).map_err(EngineError::Workflow)?;
    let job = create(workspace, &workflow, &plan, &inputs, options)?;
    attempt(workspace, job, options, stop, observe)
}

/// Checks everything about a workflow that can be checked without its files.
///
/// # Errors
/// Its problems.
pub fn check(workflow: &Workflow, catalogue: &Catalogue) -> Result<()> {
    let problems = athanor_protocol::check::check(workflow, catalogue);
    if !problems.is_empty() {
        return Err(EngineError::Workflow(problems));
    }
    effects::check(workflow)
}

/// What a plan needs to know of the world, from a run's options and the device that they mean.
///
/// # Errors
/// If the threads are too many for this machine.
pub fn plan_inputs(
    sources: BTreeMap<String, ResolvedSource>,
    options: &RunOptions,
    device: String,
) -> Result<PlanInputs> {
    let n_processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    if options.threads > n_processors.saturating_mul(16) {
        let message = format!("{} threads are too many for {n_processors} processors", options.threads);
        return Err(EngineError::Usage(message));
    }
    let threads = match options.threads {
        0 => n_processors,
        threads => threads,
    };
    Ok(PlanInputs { sources, seed: options.seed, device, threads, program: env!("CARGO_PKG_VERSION").to_owned() })
}

/// Writes the run and its job down, queued.
///
/// # Errors
/// If they cannot be written.
pub fn create(
    workspace: &Workspace,
    workflow: &Workflow,
    plan: &Plan,
    inputs: &PlanInputs,
    options: &RunOptions,
) -> Result<JobSpec> {
    let now = workspace.clock.now_millis();
    let id = workspace.ids.run_id(now);
    let workflow_json = workflow.to_json();
    let memory_limit_bytes = match options.memory_limit_bytes {
        0 => system::memory_bytes().0 / 10 * 9,
        limit => limit,
    };
    let job = JobSpec {
        version: 1,
        run_id: id.clone(),
        attempt: 1,
        workflow: workflow.name.clone(),
        workflow_digest: files::digest_bytes(workflow_json.as_bytes()),
        seed: inputs.seed,
        device: inputs.device.clone(),
        threads: inputs.threads,
        memory_limit_bytes,
        created_at_millis: now,
        steps: plan.steps.clone(),
    };
    write_job(workspace, &job)?;
    let pending = |step: &athanor_protocol::job::JobStep| StepRecord {
        node: step.node.clone(),
        kind: step.kind.clone(),
        key: step.key.clone(),
        state: StepState::Pending,
        millis: None,
    };
    let new = NewRun {
        id,
        workflow: workflow.name.clone(),
        workflow_json,
        seed: inputs.seed,
        device: inputs.device.clone(),
        created_at_millis: now,
        steps: plan.steps.iter().map(pending).collect(),
        params: params(plan),
        environment: vec![("host".to_owned(), system::host_name())],
    };
    workspace.store.create_run(&new)?;
    Ok(job)
}

/// Parameters as a run lists them: `node.param`, values as compact JSON, texts without quotes.
fn params(plan: &Plan) -> Vec<(String, String)> {
    let flat = |node: &str, params: &BTreeMap<String, serde_json::Value>| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let set = params.iter().filter(|(_, value)| !value.is_null());
        set.map(|(name, value)| (format!("{node}.{name}"), text(value).chars().take(1000).collect())).collect()
    };
    plan.steps.iter().flat_map(|step| flat(&step.node, &step.params)).collect()
}

fn write_job(workspace: &Workspace, job: &JobSpec) -> Result<()> {
    let path = workspace.job_folder(&job.run_id).join(worker::JOB_FILE);
    let bytes = serde_json::to_vec(job).map_err(std::io::Error::from).at("write", &path)?;
    files::write_atomic(&path, &bytes)
}

/// Goes on with a run that failed or was cancelled, from its finished steps and its last checkpoint.
///
/// # Errors
/// If there is no such run, it is not over, has finished, or its job is gone.
pub fn resume(
    workspace: &Workspace,
    run: &RunId,
    options: &RunOptions,
    stop: &StopFlag,
    observe: Observe<'_>,
) -> Result<RunOutcome> {
    let job = take_up(workspace, run, options)?;
    attempt(workspace, job, options, stop, observe)
}

/// Queues a run that failed or was cancelled for its next attempt.
///
/// # Errors
/// As [`resume`].
pub fn take_up(workspace: &Workspace, run: &RunId, options: &RunOptions) -> Result<JobSpec> {
    reconcile::reconcile(workspace)?;
    let folder = workspace.job_folder(run);
    let mut job = worker::read_job(&folder).map_err(|err| {
        let failure = Failure::new(err.code(), format!("run {run} cannot be resumed: {err}"));
        EngineError::Failure(
            failure.on(run.to_string()).hint("run the workflow again; steps that are done are not repeated"),
        )
    })?;
    // Only one caller gets the next attempt, and only of a run that is over; before that its worker is nobody else's.
    job.attempt = workspace.store.resume(run, workspace.clock.now_millis())?;
    if options.memory_limit_bytes > 0 {
        job.memory_limit_bytes = options.memory_limit_bytes;
    }
    if let Err(err) = reconcile::free_folder(&folder).and_then(|()| write_job(workspace, &job)) {
        let failure = err.into_failure();
        let now = workspace.clock.now_millis();
        workspace.store.finish(run, job.attempt, RunStatus::Failed, Some(&failure), true, now)?;
        return Err(EngineError::Failure(failure));
    }
    Ok(job)
}

/// This process as the owner of runs.
pub fn this_process() -> Owner {
    let pid = std::process::id();
    Owner { host: system::host_name(), pid, started: system::process_start(pid).unwrap_or(0) }
}

/// One attempt, from queued to its end.
///
/// # Errors
/// If it cannot start or its end cannot be written down. A run that started and failed is no error; its status says so.
pub fn attempt(
    workspace: &Workspace,
    job: JobSpec,
    options: &RunOptions,
    stop: &StopFlag,
    observe: Observe<'_>,
) -> Result<RunOutcome> {
    let began = Instant::now();
    let store = &workspace.store;
    let run = job.run_id.clone();
    store.start_attempt(&run, job.attempt, &this_process(), workspace.clock.now_millis())?;
    let mut registered = vec![];
    let end = match work(workspace, &job, options, stop, observe) {
        Ok(AttemptEnd::Finished) => match conclude(workspace, &job, &mut registered) {
            Ok(()) => AttemptEnd::Finished,
            Err(err) => AttemptEnd::Failed(err.into_failure()),
        },
        Ok(end) => end,
        Err(err) => AttemptEnd::Failed(err.into_failure()),
    };
    let (status, failure) = match end {
        AttemptEnd::Finished => (RunStatus::Finished, None),
        AttemptEnd::Failed(failure) => (RunStatus::Failed, Some(failure)),
        AttemptEnd::Cancelled(reason) => (RunStatus::Cancelled, Some(Failure::new(Code::Cancelled, reason))),
    };
    let resumable = status != RunStatus::Finished;
    match store.finish(&run, job.attempt, status, failure.as_ref(), resumable, workspace.clock.now_millis()) {
        // Somebody ended it while this process was stopped or busy; then what they wrote is how it ended.
        Err(err) if err.code() == Code::Conflict => {}
        finished => finished?,
    }
    if status == RunStatus::Finished {
        // Nothing in the folder is needed any more but the job itself, which is small and says what was done.
        let _ = fs::remove_dir_all(workspace.job_folder(&run).join(worker::CHECKPOINTS));
        let _ = fs::remove_dir_all(workspace.job_folder(&run).join(worker::HISTORY));
    }
    Ok(RunOutcome { detail: store.run(&run)?, registered, seconds: began.elapsed().as_secs_f64() })
}

/// Starts a worker where there is work; where everything is there already, none is needed.
fn work(
    workspace: &Workspace,
    job: &JobSpec,
    options: &RunOptions,
    stop: &StopFlag,
    observe: Observe<'_>,
) -> Result<AttemptEnd> {
    let plan = Plan { steps: job.steps.clone() };
    let needs = needs(&plan, &|key| workspace.cache.has(key));
    if !needs.contains(&Need::Work) {
        let cached = |step: &athanor_protocol::job::JobStep| StepUpdate {
            node: step.node.clone(),
            state: StepState::Cached,
            millis: Some(0),
        };
        let steps = job
            .steps
            .iter()
            .zip(&needs)
            .filter(|(_, need)| **need == Need::Cached)
            .map(|(step, _)| cached(step))
            .collect();
        workspace.store.record(&job.run_id, job.attempt, 1, &Batch { steps, ..Batch::default() })?;
        return Ok(AttemptEnd::Finished);
    }
    let job_folder = workspace.job_folder(&job.run_id);
    let _ = fs::remove_file(job_folder.join(worker::stop::CANCEL_FILE));
    let mut recorder = Recorder::new(Arc::clone(&workspace.store), job.run_id.clone(), job.attempt);
    let mut tell = |bodies: &[WorkerEventBody]| observe(&job.run_id, bodies);
    supervise(Supervision {
        program: &options.program,
        job_folder: &job_folder,
        cache_folder: &workspace.cache_folder(),
        job,
        recorder: &mut recorder,
        stop,
        clock: &*workspace.clock,
        observe: &mut tell,
    })
}

/// After the work: keeps the artifacts, gives reused steps their metrics, and does what only the engine may do.
fn conclude(workspace: &Workspace, job: &JobSpec, registered: &mut Vec<effects::Registered>) -> Result<()> {
    let detail = workspace.store.run(&job.run_id)?;
    let cached = |node: &str| detail.steps.iter().any(|step| step.node == node && step.state == StepState::Cached);
    let mut batch = Batch::default();
    for step in &job.steps {
        if !workspace.cache.has(&step.key) {
            continue;
        }
        let outcome = workspace.cache.outcome(&step.key)?;
        for file in &outcome.files {
            let path = workspace.cache.folder(&step.key)?.join(&file.file);
            let (digest, _) = files::digest_file(&path)?;
            if digest != file.artifact.digest {
                // Results can be made again; a damaged one must not stand in the way of that.
                let _ = fs::remove_dir_all(workspace.cache.folder(&step.key)?);
                let message =
                    format!("node {:?}: its kept result {:?} is damaged and was removed", step.node, file.file);
                let failure = Failure::new(Code::Corrupt, message).on(step.node.clone());
                return Err(EngineError::Failure(failure.hint("run the workflow again; the step is done anew")));
            }
            workspace.artifacts.put_file(&file.artifact.digest, &path)?;
            let name = format!("{}.{}", step.node, file.artifact.name);
            batch.artifacts.push(athanor_protocol::run::Artifact { name, ..file.artifact.clone() });
        }
        if cached(&step.node) {
            let prefix = metric_prefix(&job.steps, step);
            let named = |point: MetricPoint| MetricPoint { key: format!("{prefix}{}", point.key), ..point };
            batch.metrics.extend(outcome.metrics.into_iter().map(named));
            batch.datasets.extend(outcome.datasets);
            if let Some(found) = outcome.reproducibility {
                batch.reproducibility = Some(recorder::weaker(batch.reproducibility, found));
            }
        }
    }
    // A number that the worker's batches cannot reach: this batch is the engine's own.
    workspace.store.record(&job.run_id, job.attempt, CONCLUSION, &batch)?;
    *registered = effects::apply(workspace, job)?;
    let done = |registered: &effects::Registered| StepUpdate {
        node: registered.node.clone(),
        state: if registered.existed { StepState::Cached } else { StepState::Done },
        millis: None,
    };
    let steps = registered.iter().map(done).collect();
    workspace.store.record(&job.run_id, job.attempt, CONCLUSION + 1, &Batch { steps, ..Batch::default() })?;
    Ok(())
}

const CONCLUSION: u64 = 1 << 60;

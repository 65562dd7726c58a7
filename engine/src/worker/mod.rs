//! The worker: a process that does one job and tells of it on its standard output.
//!
//! It has no database. It is given a job folder and a cache folder, reads `job.json`, does the steps whose results are
//! not there, and ends. Standard input is its lifeline: a line `cancel <reason>` asks it to stop, and when the input ends
//! its supervisor is gone and it stops as well, with a checkpoint.

pub mod events;
pub mod history;
pub mod stop;

pub(crate) mod nodes;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{
    Code, Failure,
    job::{JobSpec, WorkerEventBody},
};

use crate::{
    error::{EngineError, IoContext, Result},
    files,
    flow::{
        cache::Cache,
        plan::{Need, Plan, needs},
    },
    worker::events::Reporter,
};

/// The file in a job's folder that says what to do.
pub const JOB_FILE: &str = "job.json";
/// The file that a worker holds locked while it works, so that no two work in one folder.
pub const LOCK_FILE: &str = "worker.lock";
/// The file that says which process holds the lock: process id and start time.
pub const PID_FILE: &str = "worker.pid";
/// The folder for checkpoints in a job's folder; one folder for each step key in it.
pub const CHECKPOINTS: &str = "checkpoints";
/// The folder for the curves that belong to them; one folder for each step key in it.
pub const HISTORY: &str = "history";
/// The package in the folder of a training step.
pub const PACKAGE_FILE: &str = "model.athanor";
const MAX_JOB_BYTES: u64 = 256 << 20;

/// How a job ended. The exit status tells it apart from a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// All steps are done.
    Finished,
    /// A step failed.
    Failed,
    /// It was told to stop.
    Cancelled,
}

impl JobEnd {
    /// The process's exit status.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Finished => 0,
            Self::Failed => 1,
            Self::Cancelled => 3,
        }
    }
}

/// Reads a job.
///
/// # Errors
/// If the file is not there, too large, no job, or of another version.
pub fn read_job(folder: &Path) -> Result<JobSpec> {
    let path = folder.join(JOB_FILE);
    let bytes = files::read_limited(&path, MAX_JOB_BYTES)?;
    let job: JobSpec = serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", &path)?;
    if job.version == 1 {
        Ok(job)
    } else {
        let message = format!("the job has format version {}, this worker reads version 1", job.version);
        Err(EngineError::new(Code::Unsupported, message))
    }
}

/// What a step's runner gets.
pub(crate) struct StepContext<'a> {
    pub(crate) job: &'a JobSpec,
    pub(crate) cache: &'a Cache,
    pub(crate) step: &'a athanor_protocol::job::JobStep,
    /// Where the result goes.
    pub(crate) out: &'a Path,
    /// Where checkpoints go; kept when the step is interrupted.
    pub(crate) checkpoints: PathBuf,
    /// Where the curve goes that belongs to the checkpoints.
    pub(crate) history: PathBuf,
    pub(crate) reporter: &'a Reporter,
    pub(crate) stop: &'a StopFlag,
}

impl StepContext<'_> {
    /// The folder of the result that feeds an input port.
    pub(crate) fn input(&self, port: &str) -> Result<PathBuf> {
        let missing =
            || EngineError::new(Code::Internal, format!("node {:?}: nothing feeds the input {port:?}", self.step.node));
        let (from, _) = self.step.inputs.get(port).ok_or_else(missing)?;
        let step = self.job.steps.iter().find(|step| step.node == *from).ok_or_else(missing)?;
        self.cache.folder(&step.key)
    }
}

/// Does a job. Everything that it has to say goes to the reporter; the caller exits with the end's status.
///
/// # Errors
/// Only before the first event: a job that cannot be read, or another worker in the same folder.
pub fn run(folder: &Path, cache: &Cache, stop: &StopFlag) -> Result<JobEnd> {
    let job = read_job(folder)?;
    let _lock = lock(folder)?;
    let reporter = Arc::new(Reporter::to_stdout(job.run_id.clone(), job.attempt));
    let environment = environment(&job);
    reporter.send(WorkerEventBody::Started { pid: std::process::id(), environment });
    let end = match steps(folder, &job, cache, &reporter, stop) {
        Ok(()) => {
            reporter.send(WorkerEventBody::Finished);
            JobEnd::Finished
        }
        Err((_, err)) if err.code() == Code::Cancelled || stop.reason().is_some() => {
            let reason = stop.reason().map_or_else(|| err.to_string(), str::to_owned);
            reporter.send(WorkerEventBody::Cancelled { reason });
            JobEnd::Cancelled
        }
        Err((node, err)) => {
            let mut failure = err.into_failure();
            if let (Some(node), None) = (&node, &failure.subject) {
                failure.subject = Some(node.clone());
            }
            reporter.send(WorkerEventBody::Failed { node, failure });
            JobEnd::Failed
        }
    };
    reporter.close();
    Ok(end)
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path).at("open", &path)?;
    match file.try_lock() {
        Ok(()) => {
            let pid = std::process::id();
            let started = crate::runs::system::process_start(pid).unwrap_or(0);
            files::write_atomic(&folder.join(PID_FILE), format!("[{pid},{started}]").as_bytes())?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => Err(EngineError::Failure(
            Failure::new(Code::Conflict, "another worker is still at this run").hint("wait a second and try again"),
        )),
        Err(std::fs::TryLockError::Error(err)) => Err(err).at("lock", &path),
    }
}

fn environment(job: &JobSpec) -> Vec<(String, String)> {
    let pair = |key: &str, value: &dyn ToString| (key.to_owned(), value.to_string());
    vec![
        pair("athanor", &env!("CARGO_PKG_VERSION")),
        pair("burn", &athanor_learn::burn_version()),
        pair("polars", &athanor_datasets::polars_version()),
        pair("device", &job.device),
        pair("threads", &job.threads),
        pair("seed", &job.seed),
        pair("dtype", &"f32"),
        pair("os", &std::env::consts::OS),
        pair("arch", &std::env::consts::ARCH),
    ]
}

fn steps(
    folder: &Path,
    job: &JobSpec,
    cache: &Cache,
    reporter: &Reporter,
    stop: &StopFlag,
) -> Result<(), (Option<String>, EngineError)> {
    let plan = Plan { steps: job.steps.clone() };
    let needs = needs(&plan, &|key| cache.has(key));
    for (step, need) in job.steps.iter().zip(needs) {
        let node = step.node.clone();
        match need {
            Need::Cached => reporter.send(WorkerEventBody::StepDone { node, cached: true, millis: 0 }),
            Need::Effect => {}
            Need::Work => {
                if let Some(reason) = stop.reason() {
                    return Err((Some(node), EngineError::new(Code::Cancelled, reason)));
                }
                reporter.send(WorkerEventBody::StepStarted { node: node.clone() });
                let began = Instant::now();
                one_step(folder, job, cache, step, reporter, stop).map_err(|err| (Some(node.clone()), err))?;
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                reporter.send(WorkerEventBody::StepDone { node, cached: false, millis });
            }
        }
    }
    Ok(())
}

fn one_step(
    folder: &Path,
    job: &JobSpec,
    cache: &Cache,
    step: &athanor_protocol::job::JobStep,
    reporter: &Reporter,
    stop: &StopFlag,
) -> Result<()> {
    let draft = cache.begin(&step.key)?;
    // The folder is named by the key, not by the node: a changed parameter never meets an old checkpoint.
    let checkpoints = folder.join(CHECKPOINTS).join(&step.key);
    let history = folder.join(HISTORY).join(&step.key);
    let ctx = StepContext {
        job,
        cache,
        step,
        out: draft.path(),
        checkpoints: checkpoints.clone(),
        history: history.clone(),
        reporter,
        stop,
    };
    // A panic in a library ends this step with a message instead of the process without one.
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| nodes::run(&ctx))).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let message = format!("node {:?}: the step broke down: {}", step.node, what.unwrap_or("no message"));
            Err(EngineError::Failure(
                Failure::new(Code::Internal, message).hint("please report this with the run's log"),
            ))
        })?;
    for note in &outcome.notes {
        reporter.log("info", format!("{}: {note}", step.node));
    }
    for dataset in &outcome.datasets {
        reporter.send(WorkerEventBody::Dataset { dataset: dataset.clone() });
    }
    draft.keep(&outcome)?;
    let _ = std::fs::remove_dir_all(&checkpoints);
    let _ = std::fs::remove_dir_all(&history);
    Ok(())
}

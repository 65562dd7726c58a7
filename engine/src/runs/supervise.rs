//! Supervising one worker: start it, persist what it says, watch its memory and its signs of life, stop it when asked,
//! and know how it ended.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{
    Code, Failure,
    job::{JobSpec, WorkerEvent, WorkerEventBody},
    metric::{MetricPoint, Split},
};

use super::{recorder::Recorder, system::Monitor};
use crate::{
    error::{IoContext, Result},
    ids::Clock,
    worker::JobEnd,
};

/// How often the loop looks at cancellation and at the child.
const TICK: Duration = Duration::from_millis(50);
/// A worker that was asked to stop is killed after this long: a cancel frees it in under a second.
const OBEY: Duration = Duration::from_millis(700);
/// A worker that says nothing for this long hangs.
const SILENCE: Duration = Duration::from_secs(30);
/// Between looks at the worker's memory.
const MEMORY_EVERY: Duration = Duration::from_millis(200);
/// Between system metrics.
const SYSTEM_EVERY: Duration = Duration::from_secs(1);
/// The longest line that a worker may say.
const MAX_LINE_BYTES: u64 = 32 << 20;
/// Lines of standard error kept for the failure's message.
const TAIL_LINES: usize = 8;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// All steps are done.
    Finished,
    /// It failed.
    Failed(Failure),
    /// It was stopped.
    Cancelled(String),
}

/// What the loop needs.
pub struct Supervision<'a> {
    /// The program that is a worker when called with `worker`.
    pub program: &'a Path,
    /// The job's folder.
    pub job_folder: &'a Path,
    /// The cache's folder.
    pub cache_folder: &'a Path,
    /// The job.
    pub job: &'a JobSpec,
    /// Persists what the worker says.
    pub recorder: &'a mut Recorder,
    /// Stops the run from this process.
    pub stop: &'a StopFlag,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Sees every message after it was persisted.
    pub observe: &'a mut dyn FnMut(&[WorkerEventBody]),
}

enum Said {
    Event(Box<WorkerEvent>),
    Noise(String),
    Stderr(String),
}

/// Runs one attempt to its end.
///
/// # Errors
/// If the worker cannot be started or what it says cannot be persisted; the worker is then stopped.
pub fn supervise(mut with: Supervision<'_>) -> Result<AttemptEnd> {
    let mut child = spawn(&with)?;
    let mut stdin = child.stdin.take();
    let said = listen(&mut child);
    let mut state = State::new(child.id());
    let outcome = state.watch(&mut with, &mut child, &mut stdin, &said);
    if outcome.is_err() {
        // What the worker says can no longer be kept; it may still write its checkpoint.
        let _ = stdin.take().map(|mut stdin| writeln!(stdin, "cancel its messages cannot be recorded"));
        let asked = Instant::now();
        while asked.elapsed() < OBEY && matches!(child.try_wait(), Ok(None)) {
            for _ in said.try_iter() {}
            std::thread::sleep(TICK);
        }
        end(&mut child);
    }
    outcome
}

fn spawn(with: &Supervision<'_>) -> Result<Child> {
    let mut command = Command::new(with.program);
    command
        .arg("worker")
        .arg("--job")
        .arg(with.job_folder)
        .arg("--cache")
        .arg(with.cache_folder)
        .env("RAYON_NUM_THREADS", with.job.threads.to_string())
        .env("POLARS_MAX_THREADS", with.job.threads.to_string())
        .env("OMP_NUM_THREADS", with.job.threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own: Ctrl-C in the terminal reaches the supervisor, which then stops the worker in order.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().at("start", with.program)
}

fn listen(child: &mut Child) -> Receiver<Said> {
    let (send, receive) = sync_channel(4096);
    if let Some(stdout) = child.stdout.take() {
        let send = send.clone();
        let _ = std::thread::Builder::new().name("run-events".to_owned()).spawn(move || {
            each_line(stdout, |line| {
                let said = match serde_json::from_str::<WorkerEvent>(&line) {
                    Ok(event) => Said::Event(Box::new(event)),
                    Err(_) => Said::Noise(line),
                };
                send.send(said).is_ok()
            });
        });
    }
    if let Some(stderr) = child.stderr.take() {
        let _ = std::thread::Builder::new()
            .name("run-stderr".to_owned())
            .spawn(move || each_line(stderr, |line| send.send(Said::Stderr(line)).is_ok()));
    }
    receive
}

/// Calls `take` with each line; lines are bounded, so that a broken worker cannot fill our memory.
fn each_line(from: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !text.is_empty() && !take(text) {
                    return;
                }
            }
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

struct State {
    monitor: Monitor,
    last_word: Instant,
    last_memory: Instant,
    last_system: Instant,
    asked: Option<(Instant, String)>,
    killed_for: Option<Failure>,
    said_end: Option<AttemptEnd>,
    tail: Vec<String>,
    /// What was recorded but perhaps not yet written, and told to nobody.
    unheard: Vec<WorkerEventBody>,
}

impl State {
    fn new(pid: u32) -> Self {
        let now = Instant::now();
        Self {
            monitor: Monitor::new(pid),
            last_word: now,
            last_memory: now,
            last_system: now,
            asked: None,
            killed_for: None,
            said_end: None,
            tail: vec![],
            unheard: vec![],
        }
    }

    fn watch(
        &mut self,
        with: &mut Supervision<'_>,
        child: &mut Child,
        stdin: &mut Option<ChildStdin>,
        said: &Receiver<Said>,
    ) -> Result<AttemptEnd> {
        loop {
            match said.recv_timeout(TICK) {
                Ok(word) => {
                    self.hear(with, word)?;
                    // Whatever else is waiting, up to a bound, so that the checks below are not starved.
                    for word in said.try_iter().take(4096) {
                        self.hear(with, word)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
            }
            with.recorder.tick(with.clock.now_millis())?;
            self.tell(with);
            if let Some(status) = child.try_wait().at("wait for", with.program)? {
                return self.ended(with, said, status);
            }
            self.check_cancel(with, child, stdin)?;
            self.check_memory(with, child);
            self.sample(with)?;
            if self.last_word.elapsed() > SILENCE {
                let message = format!("the worker said nothing for {} seconds and was ended", SILENCE.as_secs());
                self.kill(
                    child,
                    Failure::new(Code::Timeout, message).hint("go on from its checkpoint with: athanor runs resume"),
                );
            }
        }
    }

    fn hear(&mut self, with: &mut Supervision<'_>, word: Said) -> Result<()> {
        match word {
            Said::Event(event) => {
                if event.run_id != with.job.run_id || event.attempt != with.job.attempt {
                    return Ok(());
                }
                self.last_word = Instant::now();
                match &event.body {
                    WorkerEventBody::Finished => self.said_end = Some(AttemptEnd::Finished),
                    WorkerEventBody::Failed { failure, .. } => {
                        self.said_end = Some(AttemptEnd::Failed(failure.clone()))
                    }
                    WorkerEventBody::Cancelled { reason } => {
                        self.said_end = Some(AttemptEnd::Cancelled(reason.clone()))
                    }
                    _ => {}
                }
                with.recorder.event(&event, with.clock.now_millis())?;
                self.unheard.push(event.body);
            }
            Said::Noise(text) => self.log(with, "info", text)?,
            Said::Stderr(text) => {
                if self.tail.len() == TAIL_LINES {
                    self.tail.remove(0);
                }
                self.tail.push(text.clone());
                self.log(with, "warn", text)?;
            }
        }
        Ok(())
    }

    /// Passes on what has been persisted.
    fn tell(&mut self, with: &mut Supervision<'_>) {
        if with.recorder.is_written() && !self.unheard.is_empty() {
            (with.observe)(&std::mem::take(&mut self.unheard));
        }
    }

    fn log(&mut self, with: &mut Supervision<'_>, level: &str, text: String) -> Result<()> {
        let body = WorkerEventBody::Log { level: level.to_owned(), text };
        with.recorder.own(&body, with.clock.now_millis())?;
        self.unheard.push(body);
        Ok(())
    }

    fn check_cancel(
        &mut self,
        with: &mut Supervision<'_>,
        child: &mut Child,
        stdin: &mut Option<ChildStdin>,
    ) -> Result<()> {
        match &self.asked {
            None => {
                let reason = match with.stop.reason() {
                    Some(reason) => Some(reason.to_owned()),
                    None => with.recorder.cancel_reason()?,
                };
                if let Some(reason) = reason {
                    if let Some(stdin) = stdin {
                        // A worker that no longer reads is about to be killed anyway.
                        let _ = writeln!(stdin, "cancel {}", reason.replace('\n', " ")).and_then(|()| stdin.flush());
                    }
                    self.asked = Some((Instant::now(), reason));
                }
            }
            Some((at, _)) if at.elapsed() > OBEY => end(child),
            Some(_) => {}
        }
        Ok(())
    }

    fn check_memory(&mut self, with: &Supervision<'_>, child: &mut Child) {
        let limit = with.job.memory_limit_bytes;
        if limit == 0 || self.killed_for.is_some() || self.last_memory.elapsed() < MEMORY_EVERY {
            return;
        }
        self.last_memory = Instant::now();
        if let Some(bytes) = self.monitor.memory_bytes().filter(|bytes| *bytes > limit) {
            let mib = |bytes: u64| bytes >> 20;
            let message = format!(
                "the worker used {} MiB of memory, over the limit of {} MiB, and was ended",
                mib(bytes),
                mib(limit)
            );
            let hint = "raise --memory-limit, or use fewer rows, columns or a smaller batch";
            self.kill(child, Failure::new(Code::OutOfMemory, message).hint(hint));
        }
    }

    fn kill(&mut self, child: &mut Child, failure: Failure) {
        if self.killed_for.is_none() {
            self.killed_for = Some(failure);
            end(child);
        }
    }

    fn sample(&mut self, with: &mut Supervision<'_>) -> Result<()> {
        if self.last_system.elapsed() < SYSTEM_EVERY {
            return Ok(());
        }
        self.last_system = Instant::now();
        let Some(sample) = self.monitor.sample() else { return Ok(()) };
        let at_millis = with.clock.now_millis();
        // Seconds since the run was created: the attempts of a run follow each other on one axis.
        let step = u64::try_from(at_millis - with.job.created_at_millis).unwrap_or(0) / 1000;
        let point = |key: &str, value: f64| MetricPoint {
            key: key.to_owned(),
            split: Split::System,
            step,
            at_millis,
            value: value.into(),
        };
        let mut points =
            vec![point("cpu_percent", sample.cpu_percent), point("memory_bytes", sample.memory_bytes as f64)];
        points.extend(sample.gpu_percent.map(|value| point("gpu_percent", value)));
        points.extend(sample.gpu_memory_bytes.map(|value| point("gpu_memory_bytes", value as f64)));
        let body = WorkerEventBody::Metrics { points };
        with.recorder.own(&body, at_millis)?;
        self.unheard.push(body);
        Ok(())
    }

    /// The process is gone: hear what it still said, then tell how it ended.
    fn ended(&mut self, with: &mut Supervision<'_>, said: &Receiver<Said>, status: ExitStatus) -> Result<AttemptEnd> {
        // Until both pipes are closed; a grandchild that holds one open is waited for as long as it is silent.
        while let Ok(word) = said.recv_timeout(Duration::from_secs(2)) {
            self.hear(with, word)?;
        }
        with.recorder.flush(with.clock.now_millis())?;
        self.tell(with);
        if let Some(failure) = self.killed_for.take() {
            return Ok(AttemptEnd::Failed(failure));
        }
        // What it said counts only together with the status that goes with it: a crash after the last word is a crash.
        let code = status.code();
        let agrees = |end: JobEnd| code == Some(i32::from(end.exit_status()));
        match (self.said_end.take(), self.asked.take()) {
            (Some(AttemptEnd::Finished), _) if agrees(JobEnd::Finished) => Ok(AttemptEnd::Finished),
            (Some(AttemptEnd::Cancelled(reason)), _) => Ok(AttemptEnd::Cancelled(reason)),
            (_, Some((_, reason))) => Ok(AttemptEnd::Cancelled(reason)),
            (Some(AttemptEnd::Failed(failure)), None) => Ok(AttemptEnd::Failed(failure)),
            (_, None) => Ok(AttemptEnd::Failed(crash(status, &self.tail))),
        }
    }
}

/// What to say of a worker that ended without saying why.
fn crash(status: ExitStatus, tail: &[String]) -> Failure {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let resume = "go on from its checkpoint with: athanor runs resume";
    match signal {
        Some(9) => {
            Failure::new(Code::Unavailable, "the worker was killed (signal 9); the system may have run out of memory")
                .hint(resume)
        }
        Some(signal) => {
            let why = tail.last().map(|line| format!(": {line}")).unwrap_or_default();
            Failure::new(Code::Unavailable, format!("the worker crashed (signal {signal}){why}")).hint(resume)
        }
        None => {
            let why = if tail.is_empty() { "it left no message".to_owned() } else { tail.join(" / ") };
            Failure::new(Code::Internal, format!("the worker ended early ({status}): {why}")).hint(resume)
        }
    }
}

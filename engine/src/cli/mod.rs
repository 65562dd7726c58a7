//! The command line: everything that the desktop can do, for terminals and scripts.
//!
//! Exit status: 0 done, 1 failed, 2 wrong usage. With `--json` the last thing on standard output is one JSON object;
//! what people read meanwhile goes to standard error.

mod args;
mod audit;
mod data;
mod deploy;
mod deploy_args;
mod doctor;
mod keys;
mod models;
mod monitor;
mod monitor_args;
mod onnx;
pub(crate) mod output;
mod rollout;
mod run;
mod runs;
mod schedule;
mod serve;
mod serve_args;
mod steward;
mod steward_args;

pub(crate) use self::{
    args::DemoArgs,
    run::{outcome_json, watched},
    serve::{bind, runtime},
};

use std::{path::PathBuf, process::ExitCode};

use athanor_learn::train::StopFlag;
use athanor_protocol::{Code, Failure};
use clap::Parser;

use self::{
    args::{Cli, Command},
    output::Output,
};
use crate::{
    error::{EngineError, Result},
    worker,
    workspace::Workspace,
};

/// What every command gets.
pub(crate) struct Context {
    pub(crate) workspace: PathBuf,
    pub(crate) out: Output,
    pub(crate) program: PathBuf,
    pub(crate) stop: StopFlag,
}

impl Context {
    /// The workspace, which must be there.
    pub(crate) fn open(&self) -> Result<Workspace> {
        Workspace::open(&self.workspace)
    }

    /// The workspace, made where it is not there yet.
    pub(crate) fn open_or_init(&self) -> Result<Workspace> {
        if !self.workspace.join("athanor.json").is_file() {
            self.out.say(&format!("making a workspace in {}", self.workspace.display()));
        }
        Workspace::init(&self.workspace)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    // Before the first client of HTTP is made.
    athanor_serve::use_ring();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version are no errors; clap knows where each is printed.
            let _ = err.print();
            if err.use_stderr() && std::env::args().any(|arg| arg == "--json") {
                let text = err.to_string();
                let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
                Output::new(true)
                    .result(&serde_json::json!({ "error": Failure::new(Code::InvalidArgument, message) }), String::new);
            }
            return ExitCode::from(if err.use_stderr() { 2 } else { 0 });
        }
    };
    if let Command::Worker(args) = cli.command {
        return be_worker(&args);
    }
    logging();
    // Before the first client of HTTP is made.
    athanor_serve::use_ring();
    let out = Output::new(cli.json);
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("athanor"));
    let workspace = match (&cli.command, cli.workspace) {
        (_, Some(workspace)) => workspace,
        (Command::Demo(_), None) => crate::demo::fresh_folder(),
        (_, None) => PathBuf::from("athanor-workspace"),
    };
    let context = Context { workspace, out, program, stop: StopFlag::new() };
    match dispatch(&context, cli.command) {
        Ok(done) => ExitCode::from(if done && !output::is_unwritable() { 0 } else { 1 }),
        Err(err) => {
            let usage = matches!(err, EngineError::Usage(_) | EngineError::Name(_));
            if let EngineError::Workflow(problems) = &err
                && problems.len() > 1
            {
                problems.iter().skip(1).for_each(|problem| context.out.say(&format!("  also: {problem}")));
            }
            context.out.failure(&err.into_failure());
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// Does a command; whether it came to a good end.
fn dispatch(context: &Context, command: Command) -> Result<bool> {
    match command {
        Command::Demo(args) => crate::demo::run(context, &args).map(|()| true),
        Command::Init => run::init(context).map(|()| true),
        Command::Data { command } => data::run(context, command).map(|()| true),
        Command::Check(args) => run::check(context, &args),
        Command::Run(args) => run::run(context, &args),
        Command::Runs { command } => runs::run(context, command),
        Command::Models { command } => models::run(context, command),
        Command::Monitor { command } => monitor::run(context, command),
        Command::Predict(args) => models::predict(context, &args).map(|()| true),
        Command::Schedule { command } => schedule::run(context, command).map(|()| true),
        Command::Serve(args) => serve::run(context, &args).map(|()| true),
        Command::Rollout { command } => rollout::run(context, command).map(|()| true),
        Command::Keys { command } => keys::run(context, command).map(|()| true),
        Command::Deploy { command } => deploy::run(context, command).map(|()| true),
        Command::Import { command } => steward::import(context, command).map(|()| true),
        Command::Audit { command } => audit::run(context, command).map(|()| true),
        Command::Doctor => doctor::run(context),
        Command::Worker(args) => {
            // The worker is handled before logging is set up, because its standard output is a protocol.
            let _ = args;
            Ok(false)
        }
    }
}

fn be_worker(args: &args::WorkerArgs) -> ExitCode {
    if args.probe_devices {
        crate::devices::answer(args.device.as_deref());
        return ExitCode::SUCCESS;
    }
    let (Some(job), Some(cache)) = (&args.job, &args.cache) else {
        eprintln!("error: a worker needs --job and --cache");
        return ExitCode::from(2);
    };
    let stop = StopFlag::new();
    worker::stop::watch(job, &stop);
    let cache = crate::flow::cache::Cache::new(cache.clone());
    match worker::run(job, &cache, &stop) {
        Ok(end) => ExitCode::from(end.exit_status()),
        Err(err) => {
            let failure: Failure = err.into_failure();
            eprintln!("{failure}");
            ExitCode::from(1)
        }
    }
}

/// Logs go to standard error, at the level that `ATHANOR_LOG` names; warnings by default.
fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ATHANOR_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Raises the flag at Ctrl-C or a termination signal; a second one ends the process at once.
pub(crate) fn stop_on_signal(stop: &StopFlag) {
    let stop = stop.clone();
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            for at in 0.. {
                wait_for_signal().await;
                if at > 0 {
                    std::process::exit(130);
                }
                stop.stop("interrupted");
            }
        });
    });
}

async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

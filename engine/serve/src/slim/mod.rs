//! The slim server `athanor-serve`: package files, a file of hashed keys and a socket; no workspace and no database.
//!
//! It is what stands in a container image and in an edge bundle. It finds its packages in files or a folder, takes what
//! the clouds say in the environment (`environment`), predicts a table without a socket (`predict`), and asks itself
//! whether it is well (`health`), since an image without a shell has nothing else that could.

mod args;
mod contracts;
mod environment;
mod health;
mod packages;
mod predict;
mod run;

use std::{io::Write, process::ExitCode};

use athanor_protocol::{Code, Failure};
use clap::Parser;

use self::args::{Cli, Command};

/// What stands in the program's file before its version, so that others can tell the program without starting it: one
/// for another processor cannot be started. In two pieces, since whoever looks for it must not hold it.
pub const MARK: [&str; 2] = ["the slim server of Athanor, ", "version "];

/// Longest version.
pub const MAX_VERSION_BYTES: usize = 64;

/// Runs the program. Exit status: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let began = std::time::Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version are no errors; clap knows where each is printed.
            let _ = err.print();
            return ExitCode::from(if err.use_stderr() { 2 } else { 0 });
        }
    };
    logging();
    let json = cli.json;
    let done = match cli.command {
        None => run::run(&cli.serve, json, false, began),
        Some(Command::Serve(args)) => run::run(&args, json, true, began),
        Some(Command::Predict(args)) => predict::run(&args, json),
        Some(Command::Health(args)) => health::run(&args),
    };
    let Err(failure) = done else { return ExitCode::SUCCESS };
    if json {
        print(&serde_json::json!({ "error": failure }).to_string());
    }
    eprintln!("error: {}", failure.message);
    if let Some(hint) = &failure.hint {
        eprintln!("  hint: {hint}");
    }
    ExitCode::from(if failure.code == Code::InvalidArgument { 2 } else { 1 })
}

/// Logs go to standard error, at the level that `ATHANOR_LOG` names; warnings by default.
fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ATHANOR_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
}

/// Prints a line. Whoever does not read any more is no reason to stop serving.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidArgument, message)
}

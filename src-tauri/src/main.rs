//! The desktop window: Tauri around the engine and the UI.
//!
//! One program with two faces. Called with `worker` it is a worker process, exactly as `athanor worker`, so that the
//! window can start runs without a second program beside it. Else it opens the window, with an engine in this process
//! ([`athanor_engine::desk::Desk`]) that the page reaches through two commands: `ask` and `events`.
//!
//! **Architecture Invariant:** nothing happens here that a browser could not ask over HTTP, but what needs this
//! machine's screen: the window, the system's dialogs, files that are dropped.
#![warn(missing_docs)]
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod bridge;
mod close;
mod dialogs;
mod folders;
mod options;
mod window;

use std::process::ExitCode;

use crate::options::Start;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|verb| verb == "worker") {
        return athanor_engine::cli::main();
    }
    match options::start(&args) {
        Start::Window { workspace } => match window::run(workspace) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("athanor-desktop: {failure}");
                ExitCode::FAILURE
            }
        },
        Start::Say(text) => {
            // Nobody may be there to read it, which is no failure of ours.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            ExitCode::SUCCESS
        }
        Start::Wrong(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

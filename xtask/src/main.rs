//! `cargo xtask …`: set-up, build, run, test and bench, the same on every machine.
//!
//! **Architecture Invariant:** compiles with nothing but a Rust toolchain and a C linker, because it is what installs
//! the rest. It builds the workspace only as a whole: choosing single packages would resolve other features of the
//! heavy libraries and compile them a second time. The exceptions are the UI for the web view and the slim server, which
//! are compiled for targets of their own into build folders of their own.
#![warn(missing_docs)]

mod bench;
mod bundle;
mod command;
mod deny;
mod dirs;
mod fuzz;
mod peers;
mod report;
mod setup;
mod slim;
mod stages;
mod tasks;
mod ui;

use std::process::ExitCode;

use anyhow::Result;

use crate::dirs::Dirs;

const USAGE: &str = "\
cargo xtask <command>

  run [-- ARGS]      build everything and open the window (`athanor-desktop ARGS`); without a screen: the demo
  demo [-- ARGS]     build everything and start `athanor demo ARGS`
  ui                 build the user interface for the window and for browsers, into ui/dist
  bundle             make a package that installs the programs (release; with --debug of the everyday build)
  slim [ARCH]        build the slim server as one static program (amd64, arm64), for images and bundles
  test               set up, then everything that continuous integration checks
  check              the quick part of it: format, lints, docs, dependency rules
  fuzz TARGET [SECS] let a fuzzer look for bytes that break package, onnx, oip_json, oip_binary, contracts or grpc
  bench [NAME…]      run the benchmarks and write docs/benchmarks.md (--release, --list)
  setup              install what building and testing need; does nothing where nothing is missing
  env                print the variables with which plain `cargo` shares the same build folder (for `eval`)

CARGO_TARGET_DIR chooses the build folder; unset, it is `athanor/target` in the user's cache folder.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match fuzz::as_compiler(&args).unwrap_or_else(|| dispatch(args)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Vec<String>) -> Result<ExitCode> {
    if args.is_empty() {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    }
    let command = args.remove(0);
    let dirs = Dirs::find()?;
    match (command.as_str(), args.as_slice()) {
        ("run" | "demo", _) => {
            if args.first().is_some_and(|arg| arg == "--") {
                args.remove(0);
            }
            if command == "demo" { tasks::demo(&dirs, &args) } else { tasks::run(&dirs, &args) }
        }
        ("ui", []) => tasks::ui(&dirs),
        ("bundle", []) => bundle::bundle(&dirs, "release"),
        ("bundle", [flag]) if flag == "--debug" => bundle::bundle(&dirs, "debug"),
        ("slim", []) => slim::slim(&dirs, None),
        ("slim", [architecture]) => slim::slim(&dirs, Some(architecture)),
        ("test", []) => tasks::test(&dirs),
        ("check", []) => tasks::check(&dirs),
        ("bench", _) => tasks::bench(&dirs, &args),
        ("setup", []) => tasks::setup(&dirs),
        ("fuzz", [target]) => fuzz::fuzz(&dirs, target, None),
        ("fuzz", [target, seconds]) => fuzz::fuzz(&dirs, target, Some(seconds)),
        ("env", []) => tasks::env(&dirs),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        (_, rest) => {
            let command = std::iter::once(command.as_str()).chain(rest.iter().map(String::as_str));
            eprintln!("xtask: `{}` is not a command\n\n{USAGE}", command.collect::<Vec<_>>().join(" "));
            Ok(ExitCode::from(2))
        }
    }
}

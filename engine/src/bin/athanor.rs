//! The headless program.

use std::process::ExitCode;

fn main() -> ExitCode {
    athanor_engine::cli::main()
}

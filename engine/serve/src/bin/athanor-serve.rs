//! The slim server.

use std::process::ExitCode;

fn main() -> ExitCode {
    athanor_serve::slim::main()
}

//! Programs that are asked something once, and may not take for ever or say without end.

use std::{
    io::Read,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::error::{IoContext, Result};

/// How long nothing is looked for between two looks whether the program has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What a program said on standard output, and how it ended; `None` where it did not end within `at_most` and was killed.
///
/// Nothing is given to it and its errors are not kept. Of what it says, `max_bytes` are.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn ask(command: &mut Command, at_most: Duration, max_bytes: u64) -> Result<Option<(ExitStatus, String)>> {
    let program = command.get_program().to_owned();
    let program = Path::new(&program);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().at("start", program)?;
    // Read while it runs: a program that prints much must not fill the pipe and wait for ever.
    let mut stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stdout.as_mut().map(|stdout| stdout.take(max_bytes).read_to_end(&mut text));
        text
    });
    let began = Instant::now();
    while child.try_wait().at("wait for", program)?.is_none() {
        if began.elapsed() > at_most {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
    let status = child.wait().at("wait for", program)?;
    let text = reader.join().unwrap_or_default();
    Ok(Some((status, String::from_utf8_lossy(&text).into_owned())))
}

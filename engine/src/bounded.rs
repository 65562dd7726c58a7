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
    // Read while it runs: a program that prints much must not fill the pipe and wait for ever. Nor is the end of the pipe
    // waited for: a child of the program may hold it open.
    let mut stdout = child.stdout.take();
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stdout.as_mut().map(|stdout| stdout.take(max_bytes).read_to_end(&mut text));
        // Nobody listens any more where it took too long.
        let _ = send.send(text);
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
    let left = at_most.saturating_sub(began.elapsed());
    Ok(receive.recv_timeout(left).ok().map(|text| (status, String::from_utf8_lossy(&text).into_owned())))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_or_leaves_the_pipe_open_is_not_waited_for() {
        let within = Duration::from_secs(60);
        let said = ask(Command::new("/bin/sh").args(["-c", "printf 1234"]), within, 64).unwrap().unwrap();
        assert_eq!((said.0.success(), said.1.as_str()), (true, "1234"));
        let short = Duration::from_millis(300);
        assert!(ask(Command::new("/bin/sh").args(["-c", "exec sleep 20"]), short, 4).unwrap().is_none());
        let began = Instant::now();
        assert!(ask(Command::new("/bin/sh").args(["-c", "sleep 20 & exit 0"]), short, 4).unwrap().is_none());
        assert!(began.elapsed() < Duration::from_secs(15), "it waited for a child of the program");
    }
}

//! How a worker hears that it shall stop: a line on standard input, the end of standard input, or a file in its folder.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
    time::Duration,
};

use athanor_learn::train::StopFlag;

/// The file in a job's folder that asks for a stop; its text is the reason. It works for anybody who can write there,
/// also when the supervisor is gone.
pub const CANCEL_FILE: &str = "cancel";
/// How long a worker whose supervisor is gone may take for its checkpoint.
const GRACE: Duration = Duration::from_secs(10);

/// Watches standard input and the cancel file on threads of their own and raises the flag.
pub fn watch(folder: &Path, stop: &StopFlag) {
    let theirs = stop.clone();
    let _ = std::thread::Builder::new().name("worker-stdin".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if let Some(reason) = line.strip_prefix("cancel") {
                theirs.stop(if reason.trim().is_empty() { "cancelled" } else { reason.trim() });
            }
        }
        theirs.stop("the supervising process ended");
        // Nobody is left to kill a worker that does not obey, so it does that itself.
        std::thread::sleep(GRACE);
        std::process::exit(i32::from(super::JobEnd::Cancelled.exit_status()));
    });
    let (theirs, file): (StopFlag, PathBuf) = (stop.clone(), folder.join(CANCEL_FILE));
    let _ = std::thread::Builder::new().name("worker-cancel".to_owned()).spawn(move || {
        loop {
            if let Ok(reason) = crate::files::read_limited(&file, 4096) {
                theirs.stop(String::from_utf8_lossy(&reason).trim());
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

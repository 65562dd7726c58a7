//! How the program ends: the page may keep unsaved work, the engine stops in order, and nothing waits for ever.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

/// What the page has to hear of the end and to begin keeping its work.
const NOTICE: Duration = Duration::from_millis(300);
/// What requests that are being answered have to come to their end.
const LAST_REQUESTS: Duration = Duration::from_secs(3);
/// What the engine has to stop its runs in order.
const SHUT_DOWN: Duration = Duration::from_secs(8);

/// Whether the end has begun.
#[derive(Debug, Default)]
pub(crate) struct Closing(AtomicBool);

impl Closing {
    /// True for the first caller, who has to bring the end about.
    pub(crate) fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Waits until the page had time to keep its work: a moment for it to ask, then until all that it asked is done.
pub(crate) fn wait_for_page(is_idle: impl Fn() -> bool) {
    thread::sleep(NOTICE);
    wait_until(is_idle, LAST_REQUESTS);
}

/// Waits for a state, at most so long; whether it came.
fn wait_until(is_so: impl Fn() -> bool, at_most: Duration) -> bool {
    let started = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if started.elapsed() >= at_most {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Stops the engine; true where it came to its end in time. A worker that hangs must not keep the program alive: what
/// it left is put right when the workspace is opened again.
pub(crate) fn shut_down(stop: impl FnOnce() + Send + 'static) -> bool {
    within(SHUT_DOWN, stop)
}

fn within(at_most: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, wait) = sync_channel(1);
    let thread = thread::Builder::new().name("shut-down".to_owned()).spawn(move || {
        work();
        let _ = done.send(());
    });
    thread.is_ok() && wait.recv_timeout(at_most).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_click_begins_the_end() {
        let closing = Closing::default();
        assert!(closing.begin());
        assert!(!closing.begin() && !closing.begin());
    }

    #[test]
    fn waiting_ends_with_the_state_or_with_the_time() {
        assert!(wait_until(|| true, Duration::ZERO));
        assert!(!wait_until(|| false, Duration::from_millis(20)));
        let started = Instant::now();
        assert!(wait_until(|| started.elapsed() > Duration::from_millis(15), Duration::from_secs(60)));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn an_engine_that_hangs_does_not_keep_the_program() {
        assert!(within(Duration::from_secs(60), || {}));
        let (release, hold) = sync_channel::<()>(0);
        assert!(!within(Duration::from_millis(20), move || _ = hold.recv()));
        drop(release);
    }
}

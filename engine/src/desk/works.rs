//! Work that is under way for a request and can be stopped by the token under which it tells of its progress.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use athanor_learn::train::StopFlag;
use athanor_protocol::{
    Failure,
    api::{Done, WorkCancel},
};

use super::Desk;

/// What is under way, by token. There are no more entries than requests that are being answered.
#[derive(Default)]
pub(super) struct Works {
    /// With a number of their own, so that work which ends does not forget another one of the same token.
    flags: Mutex<HashMap<String, (u64, StopFlag)>>,
    begun: AtomicU64,
}

impl Works {
    /// Work begins under a token; it is forgotten when what is given back is dropped. A token that is used twice at a time
    /// stops what began last. What has no token cannot be stopped.
    pub(super) fn begin(&self, token: &str) -> Working<'_> {
        let (flag, number) = (StopFlag::new(), self.begun.fetch_add(1, Ordering::Relaxed));
        if token.is_empty() {
            return Working { works: self, token: String::new(), number, flag };
        }
        self.lock().insert(token.to_owned(), (number, flag.clone()));
        Working { works: self, token: token.to_owned(), number, flag }
    }

    /// Stops what is under way under a token; nothing, where it has ended already.
    fn cancel(&self, token: &str) {
        if let Some((_, flag)) = self.lock().get(token) {
            flag.stop("somebody stopped it");
        }
    }

    /// Stops everything, and waits until it has ended, but for at most that long.
    pub(super) fn stop_all(&self, at_most: Duration) {
        let began = Instant::now();
        for (_, flag) in self.lock().values() {
            flag.stop("the program ends");
        }
        while began.elapsed() < at_most && !self.lock().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u64, StopFlag)>> {
        // A map of flags is whole after every step.
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work under way.
pub(super) struct Working<'a> {
    works: &'a Works,
    token: String,
    number: u64,
    /// Raised when somebody stops it.
    pub(super) flag: StopFlag,
}

impl Working<'_> {
    /// Whether somebody stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        self.flag.reason().is_some()
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut flags = self.works.lock();
        if flags.get(&self.token).is_some_and(|(number, _)| *number == self.number) {
            flags.remove(&self.token);
        }
    }
}

pub(super) fn work_cancel(desk: &Arc<Desk>, ask: WorkCancel) -> Result<Done, Failure> {
    desk.works.cancel(&ask.token);
    Ok(Done {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_stopped_by_its_token_and_forgotten_when_it_ends() {
        let works = Works::default();
        let (first, second) = (works.begin("a"), works.begin("b"));
        works.cancel("b");
        works.cancel("of nothing");
        assert!(!first.is_stopped() && second.is_stopped());
        drop((first, second));
        let nameless = works.begin("");
        works.cancel("");
        assert!(!nameless.is_stopped(), "what was given no name is nobody's to stop");
        assert!(works.lock().is_empty());
        let again = works.begin("b");
        assert!(!again.is_stopped(), "a token can be used again");
        let newer = works.begin("b");
        drop(again);
        works.cancel("b");
        assert!(newer.is_stopped(), "the end of the older one does not forget the newer one");
    }
}

//! The open streams of a connection, and when it has had its time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The open streams of one connection.
pub(super) struct Streams(Mutex<Inner>);

struct Inner {
    next: u64,
    /// When each was opened; the first is the oldest.
    open: BTreeMap<u64, Instant>,
    idle_since: Instant,
}

/// An open stream; it ends when this goes.
pub(super) struct Open {
    streams: Arc<Streams>,
    id: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut inner = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open.remove(&self.id);
        inner.idle_since = Instant::now();
    }
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before this moment.
    Until(Instant),
    /// Nobody has asked anything for too long.
    Idle,
    /// A stream is open for longer than any request takes: its client does not read the answer.
    Stuck,
}

/// How long a connection may be silent and a stream be open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) first: Duration,
    pub(super) idle: Duration,
    pub(super) stuck: Duration,
}

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { next: 0, open: BTreeMap::new(), idle_since: Instant::now() })))
    }

    /// Opens a stream.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = inner.next;
        inner.next += 1;
        inner.open.insert(id, Instant::now());
        Open { streams: Arc::clone(self), id }
    }

    /// What is to be done now.
    pub(super) fn verdict(&self, patience: Patience, now: Instant) -> Verdict {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, verdict) = match inner.open.first_key_value() {
            Some((_, &opened)) => (opened + patience.stuck, Verdict::Stuck),
            None if inner.next == 0 => (inner.idle_since + patience.first, Verdict::Idle),
            None => (inner.idle_since + patience.idle, Verdict::Idle),
        };
        if until <= now { verdict } else { Verdict::Until(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_and_stuck_connections_are_told_apart() {
        let [first, idle, stuck] = [1, 10, 100].map(Duration::from_secs);
        let patience = Patience { first, idle, stuck };
        let streams = Streams::new();
        let now = Instant::now() + Duration::from_millis(500);
        assert!(matches!(streams.verdict(patience, now), Verdict::Until(_)));
        assert_eq!(streams.verdict(patience, now + first), Verdict::Idle, "nothing was ever asked");
        let (a, b) = (streams.open(), streams.open());
        assert!(matches!(streams.verdict(patience, now + idle), Verdict::Until(_)), "it is at work");
        drop(b);
        assert_eq!(streams.verdict(patience, now + stuck), Verdict::Stuck);
        drop(a);
        assert!(matches!(streams.verdict(patience, now + first), Verdict::Until(_)), "something was asked before");
        assert_eq!(streams.verdict(patience, now + idle), Verdict::Idle);
    }
}

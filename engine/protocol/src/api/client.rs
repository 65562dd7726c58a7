//! The one way in which a user interface reaches an engine.

use super::{EventEnvelope, Reply, Request};
use crate::error::Failure;

/// Names a request until its answer comes.
pub type RequestId = u64;

/// Whether the engine can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not yet.
    Connecting,
    /// Yes.
    Up,
    /// Not now; the client goes on trying.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// A key is needed first (a browser that has not logged in).
    LoggedOut,
}

/// What a client has received.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The answer to a request.
    Answer {
        /// Which.
        id: RequestId,
        /// Its outcome.
        result: Result<Reply, Failure>,
    },
    /// Something happened.
    Event(EventEnvelope),
    /// The connection changed.
    Link(Link),
}

/// Reaches an engine. Nothing blocks: requests go out, and what has come is collected once per frame.
pub trait Client {
    /// Sends a request and returns the name under which its answer will come.
    fn send(&mut self, request: Request) -> RequestId;

    /// What has come since the last call, in order.
    fn poll(&mut self) -> Vec<Incoming>;

    /// Logs in with a key, where the transport wants one. Others do nothing.
    fn log_in(&mut self, _key: &str) {}

    /// Forgets the key, where the transport wants one.
    fn log_out(&mut self) {}
}

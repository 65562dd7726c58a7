//! Packing and sending that can be watched and stopped.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use athanor_learn::train::StopFlag;
use athanor_protocol::Code;

use crate::error::{EngineError, Result};

/// Between two looks at the flag while a registry is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// What is being done, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Files are read and compressed; bytes of the files are counted.
    Packing,
    /// Blobs are sent to a registry, which are counted.
    Sending,
    /// What the registry has is fetched again and checked; nothing is counted.
    Checking,
}

/// Hears how far the work is: the phase, how much is done, and of how much (0 where that is not known).
type Hear<'a> = dyn FnMut(Phase, u64, u64) + 'a;

/// Somebody who hears how far the work is and may stop it.
pub struct Watch<'a> {
    stop: StopFlag,
    hear: RefCell<Box<Hear<'a>>>,
    n_done: Cell<u64>,
    n_bytes: Cell<u64>,
}

impl<'a> Watch<'a> {
    /// `hear` is called often: with every piece that is read.
    pub fn new(stop: StopFlag, hear: impl FnMut(Phase, u64, u64) + 'a) -> Self {
        Self { stop, hear: RefCell::new(Box::new(hear)), n_done: Cell::new(0), n_bytes: Cell::new(0) }
    }

    /// Nobody.
    pub fn none() -> Self {
        Self::new(StopFlag::new(), |_, _, _| {})
    }

    /// Packing begins with files of that many bytes.
    pub(crate) fn packs(&self, n_bytes: u64) {
        self.n_bytes.set(n_bytes);
        self.n_done.set(0);
    }

    /// So many bytes more are packed.
    pub(crate) fn packed(&self, n: u64) {
        self.n_done.set(self.n_done.get() + n);
        self.tell(Phase::Packing, self.n_done.get(), self.n_bytes.get());
    }

    /// Tells how far a phase is.
    pub(crate) fn tell(&self, phase: Phase, done: u64, total: u64) {
        (self.hear.borrow_mut())(phase, done, total);
    }

    /// Whether somebody has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.reason().is_some()
    }

    /// An error once somebody has stopped it.
    pub(crate) fn check(&self) -> Result<()> {
        match self.is_stopped() {
            true => Err(EngineError::new(Code::Cancelled, "it was stopped; nothing was made")),
            false => Ok(()),
        }
    }

    /// Waits for work with a registry, or until somebody stops it.
    pub(crate) async fn or_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let stopped = async {
            while !self.is_stopped() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = stopped => Err(EngineError::new(Code::Cancelled, "it was stopped while it was sent; the registry may hold parts of it, and a folder that was named has the image")),
        }
    }
}

//! What has come, until the app collects it.

use std::cell::{Cell, RefCell};

use athanor_protocol::{
    Failure,
    api::{Event, EventEnvelope, Incoming, Link, Reply, RequestId},
};

use super::page;

/// What has come. Everything that comes wakes the app, which draws nothing while nothing happens.
pub(super) struct Inbox {
    waiting: RefCell<Vec<Incoming>>,
    ctx: egui::Context,
    last_id: Cell<RequestId>,
    last_seq: Cell<u64>,
}

impl Inbox {
    pub(super) fn new(ctx: egui::Context) -> Self {
        Self { waiting: RefCell::default(), ctx, last_id: Cell::new(0), last_seq: Cell::new(0) }
    }

    /// A name for a request.
    pub(super) fn next_id(&self) -> RequestId {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    pub(super) fn answer(&self, id: RequestId, result: Result<Reply, Failure>) {
        self.push(Incoming::Answer { id, result });
    }

    pub(super) fn event(&self, event: EventEnvelope) {
        self.last_seq.set(event.seq);
        self.push(Incoming::Event(event));
    }

    /// Something that happened on the page and not in the engine: it has the number of the engine's last event, so
    /// that nothing seems to be missing.
    pub(super) fn own_event(&self, event: Event) {
        self.push(Incoming::Event(EventEnvelope { seq: self.last_seq.get(), event }));
    }

    pub(super) fn link(&self, link: Link) {
        self.push(Incoming::Link(link));
    }

    pub(super) fn take(&self) -> Vec<Incoming> {
        self.waiting.take()
    }

    fn push(&self, incoming: Incoming) {
        self.waiting.borrow_mut().push(incoming);
        self.ctx.request_repaint();
        page::wake();
    }
}

//! An engine that is none: a client with ready answers, for tests and for drawing every screen without an engine.
//!
//! Each area has a module with its answers; a test puts its own in front with [`FakeHandle::on`]. What was sent can be read
//! back with [`FakeHandle::sent`].

mod data;
mod flow;
mod governance;
mod host;
mod models;
mod monitor;
mod rollouts;
mod runs;
mod schedules;

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use athanor_protocol::{
    Code, Failure,
    api::{Client, Event, EventEnvelope, Incoming, Link, Reply, Request, RequestId},
};

#[allow(unused_imports, reason = "an area may have no sample values of its own")]
pub use self::{data::*, flow::*, governance::*, host::*, models::*, monitor::*, rollouts::*, runs::*, schedules::*};

/// The time at which everything in here happens: 2026-11-25 12:00 UTC.
pub const NOW_MILLIS: i64 = 1_795_608_000_000;

/// For [`crate::App::with_clock`].
pub fn now() -> i64 {
    NOW_MILLIS
}

type Handler = Box<dyn FnMut(&Request) -> Option<Result<Reply, Failure>>>;

#[derive(Default)]
struct Shared {
    sent: Vec<Request>,
    incoming: VecDeque<Incoming>,
    handlers: Vec<Handler>,
    next: RequestId,
    seq: u64,
    held: bool,
    held_back: Vec<(RequestId, Request)>,
}

/// The client.
pub struct Fake {
    shared: Rc<RefCell<Shared>>,
}

/// The test's end of a [`Fake`].
#[derive(Clone)]
pub struct FakeHandle {
    shared: Rc<RefCell<Shared>>,
}

impl Fake {
    /// An engine with a workspace in which everything has been done once.
    pub fn new() -> (Self, FakeHandle) {
        let shared = Rc::new(RefCell::new(Shared::default()));
        shared.borrow_mut().incoming.push_back(Incoming::Link(Link::Up));
        (Self { shared: Rc::clone(&shared) }, FakeHandle { shared })
    }
}

impl FakeHandle {
    /// Answers in front of the ready ones; the handler that was added last is asked first.
    pub fn on(&self, handler: impl FnMut(&Request) -> Option<Result<Reply, Failure>> + 'static) {
        self.shared.borrow_mut().handlers.push(Box::new(handler));
    }

    /// Everything that was sent so far.
    pub fn sent(&self) -> Vec<Request> {
        self.shared.borrow().sent.clone()
    }

    /// Forgets what was sent so far.
    pub fn forget_sent(&self) {
        self.shared.borrow_mut().sent.clear();
    }

    /// Something happens.
    pub fn event(&self, event: Event) {
        let mut shared = self.shared.borrow_mut();
        shared.seq += 1;
        let seq = shared.seq;
        shared.incoming.push_back(Incoming::Event(EventEnvelope { seq, event }));
    }

    /// The connection changes.
    pub fn link(&self, link: Link) {
        self.shared.borrow_mut().incoming.push_back(Incoming::Link(link));
    }

    /// From now on nothing is answered, until [`FakeHandle::release`]: an engine that hangs.
    pub fn hold(&self) {
        self.shared.borrow_mut().held = true;
    }

    /// Answers what was held back, and everything again.
    pub fn release(&self) {
        let held = {
            let mut shared = self.shared.borrow_mut();
            shared.held = false;
            std::mem::take(&mut shared.held_back)
        };
        for (id, request) in held {
            answer(&self.shared, id, &request);
        }
    }
}

fn answer(shared: &Rc<RefCell<Shared>>, id: RequestId, request: &Request) {
    // Handlers are taken out while they run, so that one may use the handle.
    let mut handlers = std::mem::take(&mut shared.borrow_mut().handlers);
    let own = handlers.iter_mut().rev().find_map(|handler| handler(request));
    let mut borrowed = shared.borrow_mut();
    handlers.append(&mut borrowed.handlers);
    borrowed.handlers = handlers;
    let ready = || {
        host::answer(request)
            .or_else(|| data::answer(request))
            .or_else(|| flow::answer(request))
            .or_else(|| runs::answer(request))
            .or_else(|| models::answer(request))
            .or_else(|| monitor::answer(request))
            .or_else(|| governance::answer(request))
            .or_else(|| rollouts::answer(request))
            .or_else(|| schedules::answer(request))
    };
    let result = own.or_else(ready).unwrap_or_else(|| {
        Err(Failure::new(Code::Unsupported, format!("the fake engine has no answer to {}", request.method())))
    });
    borrowed.incoming.push_back(Incoming::Answer { id, result });
}

impl Client for Fake {
    fn send(&mut self, request: Request) -> RequestId {
        let (id, held) = {
            let mut shared = self.shared.borrow_mut();
            shared.next += 1;
            shared.sent.push(request.clone());
            (shared.next, shared.held)
        };
        if held {
            self.shared.borrow_mut().held_back.push((id, request));
        } else {
            answer(&self.shared, id, &request);
        }
        id
    }

    fn poll(&mut self) -> Vec<Incoming> {
        self.shared.borrow_mut().incoming.drain(..).collect()
    }
}

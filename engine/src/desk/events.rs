//! Events: numbered, and handed to every subscriber through a bounded queue. A subscriber that is too slow loses events
//! and is told so; it never holds the engine up.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_protocol::api::{Event, EventEnvelope};

/// Most events that wait for one subscriber.
const MAX_WAITING: usize = 4_096;

/// Numbers events and hands them out.
#[derive(Default)]
pub struct Events {
    seq: AtomicU64,
    queues: Mutex<Vec<Weak<Queue>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<EventEnvelope>,
    lagged: bool,
}

/// One subscriber's end.
pub struct Subscription {
    queue: Arc<Queue>,
}

impl Events {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of the newest event.
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// Events from now on.
    pub fn subscribe(&self) -> Subscription {
        let queue = Arc::new(Queue::default());
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&queue));
        Subscription { queue }
    }

    /// Numbers an event and hands it out.
    pub fn publish(&self, event: Event) {
        // The lock is held while the number is taken, so that every queue sees numbers in order.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = self.seq.fetch_add(1, Ordering::AcqRel) + 1;
        queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.events.len() >= MAX_WAITING {
                waiting.events.clear();
                waiting.lagged = true;
            }
            if std::mem::take(&mut waiting.lagged) {
                waiting.events.push_back(EventEnvelope { seq, event: Event::Lagged {} });
            }
            waiting.events.push_back(EventEnvelope { seq, event: event.clone() });
            queue.changed.notify_all();
            true
        });
    }
}

impl Subscription {
    /// Waits for events, at most this long; takes all that are there.
    pub fn wait(&self, at_most: Duration) -> Vec<EventEnvelope> {
        let waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut waiting, _) = self
            .queue
            .changed
            .wait_timeout_while(waiting, at_most, |waiting| waiting.events.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        waiting.events.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscriber_sees_all_in_order_and_a_slow_one_is_told() {
        let events = Events::new();
        let (quick, slow) = (events.subscribe(), events.subscribe());
        for _ in 0..10 {
            events.publish(Event::KeysChanged {});
        }
        let seen: Vec<u64> = quick.wait(Duration::ZERO).into_iter().map(|event| event.seq).collect();
        assert_eq!(seen, (1..=10).collect::<Vec<u64>>());
        for _ in 0..MAX_WAITING {
            events.publish(Event::ModelsChanged {});
        }
        let left = slow.wait(Duration::ZERO);
        assert!(left.len() <= MAX_WAITING && left.iter().any(|event| event.event == Event::Lagged {}));
        assert_eq!(left.last().map(|event| event.seq), Some(events.seq()));
        drop(quick);
        events.publish(Event::KeysChanged {});
        assert_eq!(slow.wait(Duration::ZERO).len(), 1);
    }
}

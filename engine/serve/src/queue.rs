//! Who waits for a processor, and who need not begin to: a request that could not be answered in time is told so at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use athanor_protocol::Code;
use axum::http::StatusCode;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::refusal::Refusal;

/// Places for work, and a line before them that is as long as deadlines allow.
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    n_places: usize,
    n_waiting: AtomicUsize,
    /// How long work took lately: a moving mean of eight, 0 where nothing is known.
    mean_nanos: AtomicU64,
}

/// A place; how long it was held is what the next ones are told to expect.
pub(crate) struct Place {
    queue: Arc<Queue>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.took(self.since.elapsed());
    }
}

/// Somebody in the line, also when they leave it early.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For a request that would need about so long, and has less.
pub(crate) fn too_busy(needed: Duration) -> Refusal {
    let secs = u32::try_from(needed.as_secs() + 1).unwrap_or(u32::MAX).min(60);
    let message = "the endpoint is too busy to answer in time";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
        .hint(format!("try again after {secs} s, or give the request more time"))
        .retry_after(secs)
}

impl Queue {
    pub(crate) fn new(n_places: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(n_places));
        Arc::new(Self {
            places,
            n_places: n_places.max(1),
            n_waiting: AtomicUsize::new(0),
            mean_nanos: AtomicU64::new(0),
        })
    }

    /// Number of places.
    pub(crate) fn n_places(&self) -> usize {
        self.n_places
    }

    /// Whether somebody who came now would not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// Waits for a place until the deadline.
    ///
    /// # Errors
    /// 503 at once where the deadline would pass by all that is known; 504 where it has.
    pub(crate) async fn enter(self: &Arc<Self>, deadline: Instant) -> Result<Place, Refusal> {
        let place = |permit| Place { queue: Arc::clone(self), since: Instant::now(), _permit: permit };
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place(permit));
        }
        let n_ahead = self.n_waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.n_waiting);
        let needed = self.needed(n_ahead);
        if !needed.is_zero() && Instant::now() + needed > deadline {
            return Err(too_busy(needed));
        }
        match tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(place(permit)),
            // The semaphore is never closed.
            Ok(Err(err)) => Err(Refusal::internal(err.to_string())),
            Err(_) => Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, "no processor was free in time")
                .hint("try again when there is less to do")
                .retry_after(1)),
        }
    }

    /// Waits for a place as long as it takes: for work whose own clients watch their time.
    pub(crate) async fn enter_patiently(self: &Arc<Self>) -> Option<Place> {
        // The semaphore is never closed; work without a place is still better than none.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { queue: Arc::clone(self), since: Instant::now(), _permit: permit })
    }

    /// How long somebody with so many before them will wait and work, by what work took lately; zero where nothing is
    /// known.
    fn needed(&self, n_ahead: usize) -> Duration {
        let mean = self.mean_nanos.load(Ordering::Relaxed) as f64;
        let turns = (n_ahead as f64 + 1.0) / self.n_places as f64;
        Duration::from_nanos((mean * (turns + 1.0)) as u64)
    }

    fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1, 1 << 50);
        let mean = self.mean_nanos.load(Ordering::Relaxed);
        // Racing updates may lose one, which a mean can stand; an outlier counts at most twice the mean.
        let next = if mean == 0 { nanos } else { mean - mean / 8 + nanos.min(mean * 2) / 8 };
        self.mean_nanos.store(next.max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_secs(600);

    async fn enter(queue: &Arc<Queue>, patience: Duration) -> Result<Place, Refusal> {
        queue.enter(Instant::now() + patience).await
    }

    #[tokio::test]
    async fn whoever_could_not_make_it_is_told_at_once() {
        let queue = Queue::new(2);
        let held = (enter(&queue, FAR).await.unwrap(), enter(&queue, FAR).await.unwrap());
        assert!(!queue.has_room());
        // Nothing is known yet: it waits, and its deadline is what ends it.
        assert_eq!(enter(&queue, Duration::ZERO).await.map(drop).unwrap_err().status.as_u16(), 504);
        queue.took(Duration::from_secs(100));
        assert_eq!(queue.needed(0), Duration::from_secs(150), "half a turn to wait, one to work");
        assert_eq!(queue.needed(3), Duration::from_secs(300));
        let refused = enter(&queue, Duration::from_secs(140)).await.map(drop).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after_secs), (503, Some(60)));
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { enter(&queue, Duration::from_secs(160)).await.map(drop) }
        });
        while queue.n_waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // One more stands before the next one.
        assert_eq!(enter(&queue, Duration::from_secs(190)).await.map(drop).unwrap_err().status.as_u16(), 503);
        drop(held);
        waiting.await.unwrap().unwrap();
        assert_eq!(queue.n_waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn whoever_leaves_the_line_is_not_counted() {
        let queue = Queue::new(1);
        let held = enter(&queue, FAR).await.unwrap();
        for _ in 0..10 {
            assert!(tokio::time::timeout(Duration::from_millis(1), enter(&queue, FAR)).await.is_err());
        }
        assert_eq!(queue.n_waiting.load(Ordering::Relaxed), 0);
        drop(held);
        assert!(enter(&queue, FAR).await.is_ok());
    }
}

//! One served version, watched: requests leave their rows here on their way out.
//!
//! A request costs a move into one of a few short queues. Whoever fills a queue carries all of them into the window, in
//! the order in which the requests were answered.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use athanor_protocol::Failure;

use super::{
    Captured, Sink,
    series::Series,
    window::{Answered, Period, Window},
};
use crate::table::{Outputs, Served};

/// Queues; threads are spread over them.
const N_QUEUES: usize = 16;
/// Requests that wait in one queue before they are counted.
const MAX_WAITING: usize = 16;
/// A request of more values than this does not wait: its rows would fill memory, and counting them costs little beside
/// their prediction.
const MAX_WAITING_VALUES: usize = 1 << 14;

thread_local! {
    /// Which queue this thread uses.
    static QUEUE: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn queue_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    QUEUE.with(|queue| {
        if queue.get() == usize::MAX {
            queue.set(NEXT.fetch_add(1, Ordering::Relaxed) % N_QUEUES);
        }
        queue.get()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left half-counted is a count that is one off.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Waiting = Vec<(u64, Arc<Answered>)>;

/// A served version with its window and its metrics.
pub(crate) struct Watch {
    pub(crate) model: String,
    pub(crate) version: u32,
    n_classes: usize,
    next: AtomicU64,
    queues: [Mutex<Waiting>; N_QUEUES],
    window: Mutex<Window>,
    /// Share of requests that are captured, as the bits of a float.
    capture: AtomicU64,
    pub(crate) series: Series,
}

impl Watch {
    pub(crate) fn new(served: &Served, seed: u64) -> Self {
        let window = Window::new(served, served.model().statistics(), seed);
        Self {
            model: served.name().to_owned(),
            version: served.version(),
            n_classes: served.signature().classes.len(),
            next: AtomicU64::new(0),
            queues: Default::default(),
            window: Mutex::new(window),
            capture: AtomicU64::new(0),
            series: Series::new(served.signature().inputs.iter().map(|input| input.name.clone()).collect()),
        }
    }

    /// Rows so far in this period.
    pub(crate) fn n_rows(&self) -> u64 {
        let mut window = lock(&self.window);
        self.carry(&mut window);
        window.n_rows()
    }

    /// Takes the period out.
    pub(crate) fn take(&self) -> Period {
        let mut window = lock(&self.window);
        self.carry(&mut window);
        let period = window.take();
        drop(window);
        self.series.add_quality(&period.quality);
        period
    }

    pub(crate) fn set_capture(&self, share: f64) {
        self.capture.store(share.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn capture(&self) -> f64 {
        f64::from_bits(self.capture.load(Ordering::Relaxed))
    }

    fn carry(&self, window: &mut Window) {
        let mut all: Waiting = vec![];
        for queue in &self.queues {
            all.append(&mut lock(queue));
        }
        all.sort_unstable_by_key(|(at, _)| *at);
        for (_, answered) in all {
            window.add(&answered, self.n_classes);
        }
    }

    fn add(&self, answered: Arc<Answered>) {
        let n_values = answered.frame.n_rows() * answered.frame.columns().len();
        self.series.answered(answered.frame.n_rows() as u64);
        let is_full = {
            let mut queue = lock(self.queues.get(queue_of_thread()).unwrap_or(&self.queues[0]));
            queue.push((self.next.fetch_add(1, Ordering::Relaxed), answered));
            queue.len() >= MAX_WAITING || n_values > MAX_WAITING_VALUES
        };
        if is_full {
            self.carry(&mut lock(&self.window));
        }
    }
}

/// Whether a request is in the sample: a function of its id, so that the rows of one request belong together.
fn is_sampled(share: f64, seed: u64, id: &str) -> bool {
    if share >= 1.0 {
        return true;
    }
    // FNV-1a, then a mixer, because ids differ in their last letters.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 31)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 29)) >> 11) as f64 / ((1_u64 << 53) as f64) < share
}

/// What a request carries along to be watched.
pub(crate) struct Observer {
    pub(crate) watch: Arc<Watch>,
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) seed: u64,
    pub(crate) request_id: Option<Arc<str>>,
}

impl Observer {
    /// The request was refused because of what it holds.
    pub(crate) fn refused(&self, failure: &Failure) {
        if let Some(column) = &failure.subject {
            lock(&self.watch.window).refused(column);
        }
    }

    /// The request was answered.
    pub(crate) fn answered(&self, frame: athanor_protocol::columns::Frame, outputs: Outputs) {
        if frame.n_rows() == 0 {
            return;
        }
        let answered = Arc::new(Answered { frame, outputs });
        let share = self.watch.capture();
        if share > 0.0
            && let (Some(sink), Some(id)) = (&self.sink, &self.request_id)
            && is_sampled(share, self.seed, id)
        {
            let captured = Captured {
                model: self.watch.model.clone(),
                version: self.watch.version,
                request_id: Arc::clone(id),
                answered: Arc::clone(&answered),
            };
            self.watch.series.captured(sink.capture(captured));
        }
        self.watch.add(answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_its_share_and_depends_on_the_id_alone() {
        let ids: Vec<String> = (0..20_000).map(|n| format!("0a1b2c3d-{n:x}")).collect();
        let n = ids.iter().filter(|id| is_sampled(0.2, 7, id)).count();
        assert!((3_800..4_200).contains(&n), "{n}");
        assert_eq!(is_sampled(0.2, 7, &ids[5]), is_sampled(0.2, 7, &ids[5]));
        assert!(ids.iter().all(|id| is_sampled(1.0, 7, id)) && !ids.iter().any(|id| is_sampled(0.0, 7, id)));
    }
}

//! Watching what is served: metrics, a sample of each period's rows, capture, and truths that arrive later.
//!
//! Nothing here judges: whoever owns the endpoint takes a version's [`Period`] out now and then, compares it, and gives
//! back what is to be shown as metrics. Memory is bounded by the number of versions that were served; a request waits for
//! nobody but, once in sixteen, for its own share of counting.

mod expose;
mod feedback;
mod note;
mod process;
mod series;
mod trace;
mod watch;
mod window;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{Code, Failure};
use axum::{
    extract::State as Held,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use self::{
    expose::{Format, expose},
    series::Series,
    trace::Spans,
    watch::Watch,
};
pub(crate) use self::{
    feedback::feedback,
    note::{Note, scope},
    series::Route,
    trace::TRACEPARENT,
    watch::Observer,
};
pub use self::{
    feedback::{Feedback, Truth},
    trace::Span,
    window::{Answered, Period},
};
use crate::{router::State, table::Served};

/// Most versions that are watched at once; those that are served no longer make room first.
const MAX_WATCHES: usize = 1_000;
/// Most drift gauges in all.
const MAX_GAUGES: usize = 20_000;

/// A request whose rows are to be kept.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// The id that the client got back in `x-request-id`: the truth may come under it.
    pub request_id: Arc<str>,
    /// The rows and predictions.
    pub answered: Arc<Answered>,
}

/// Whoever keeps what is captured.
pub trait Sink: Send + Sync {
    /// Takes a request over. Must not wait: it is called by the thread that answers. `false` where there is no room.
    fn capture(&self, captured: Captured) -> bool;

    /// Keeps truths; may wait for the disk.
    ///
    /// # Errors
    /// What the client is told.
    fn feedback(&self, model: &str, feedback: Vec<Feedback>) -> Result<(), Failure>;
}

/// A figure of drift that is to be shown as a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftGauge {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// The column, or the output.
    pub column: String,
    /// Whether the column goes in or comes out: both may have one name.
    pub is_prediction: bool,
    /// The statistic.
    pub statistic: &'static str,
    /// Its value.
    pub value: f64,
    /// Whether the column drifted, by the statistic that decides.
    pub drifted: bool,
}

type Watches = HashMap<String, BTreeMap<u32, Arc<Watch>>>;

/// What an endpoint watches. One for the life of an endpoint.
pub struct Monitor {
    seed: u64,
    watches: RwLock<Watches>,
    captures: RwLock<HashMap<String, f64>>,
    sink: RwLock<Option<Arc<dyn Sink>>>,
    load_times: RwLock<BTreeMap<(String, u32), f64>>,
    gauges: RwLock<BTreeMap<(String, u32), Vec<DriftGauge>>>,
    pub(crate) unnamed: Series,
    pub(crate) in_flight: AtomicI64,
    pub(crate) n_shed: AtomicU64,
    pub(crate) spans: Spans,
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Monitor {
    /// Watches nothing yet. Which rows and requests are sampled depends on the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            watches: RwLock::default(),
            captures: RwLock::default(),
            sink: RwLock::default(),
            load_times: RwLock::default(),
            gauges: RwLock::default(),
            unnamed: Series::new(vec![]),
            in_flight: AtomicI64::new(0),
            n_shed: AtomicU64::new(0),
            spans: Spans::new(seed),
        }
    }

    /// From now on captured requests and truths go there.
    pub fn set_sink(&self, sink: Arc<dyn Sink>) {
        *write(&self.sink) = Some(sink);
    }

    /// Sets which share of each model's requests is captured; a model that is not named is not captured.
    pub fn set_captures(&self, shares: HashMap<String, f64>) {
        // First what a new version begins with, then those that are there: none is left out between the two.
        *write(&self.captures) = shares.clone();
        for (model, versions) in &*read(&self.watches) {
            let share = shares.get(model).copied().unwrap_or(0.0);
            versions.values().for_each(|watch| watch.set_capture(share));
        }
    }

    /// From now on each request makes a span, unless its caller says that it does not record its own.
    pub fn trace(&self) {
        self.spans.turn_on();
    }

    /// Takes the spans that wait.
    pub fn take_spans(&self) -> Vec<Span> {
        self.spans.take()
    }

    /// Notes how long a version took to load.
    pub fn loaded(&self, model: &str, version: u32, took: Duration) {
        let mut times = write(&self.load_times);
        if times.len() < MAX_WATCHES {
            times.insert((model.to_owned(), version), took.as_secs_f64());
        }
    }

    /// Versions that were asked something, with the rows of their period so far, by name and version.
    pub fn waiting(&self) -> Vec<(String, u32, u64)> {
        self.watches().iter().map(|watch| (watch.model.clone(), watch.version, watch.n_rows())).collect()
    }

    /// Ends the period of a version and takes it out; `None` where it was never asked.
    pub fn take(&self, model: &str, version: u32) -> Option<Period> {
        let watch = read(&self.watches).get(model)?.get(&version).cloned()?;
        Some(watch.take())
    }

    /// Shows these figures for a version, instead of those before.
    pub fn set_drift(&self, model: &str, version: u32, gauges: Vec<DriftGauge>) {
        let mut all = write(&self.gauges);
        let others: usize =
            all.iter().filter(|(key, _)| **key != (model.to_owned(), version)).map(|(_, g)| g.len()).sum();
        let room = MAX_GAUGES.saturating_sub(others);
        all.insert((model.to_owned(), version), gauges.into_iter().take(room).collect());
    }

    pub(crate) fn watches(&self) -> Vec<Arc<Watch>> {
        let mut all: Vec<Arc<Watch>> = read(&self.watches).values().flat_map(BTreeMap::values).cloned().collect();
        all.sort_by(|a, b| (&a.model, a.version).cmp(&(&b.model, b.version)));
        all
    }

    pub(crate) fn load_times(&self) -> Vec<(String, u32, f64)> {
        read(&self.load_times).iter().map(|((model, version), secs)| (model.clone(), *version, *secs)).collect()
    }

    pub(crate) fn drift_gauges(&self) -> Vec<DriftGauge> {
        read(&self.gauges).values().flatten().cloned().collect()
    }

    pub(crate) fn is_captured(&self, model: &str) -> bool {
        read(&self.captures).get(model).is_some_and(|share| *share > 0.0)
    }

    pub(crate) fn sink(&self) -> Option<Arc<dyn Sink>> {
        read(&self.sink).clone()
    }

    fn watch(&self, served: &Served) -> Arc<Watch> {
        let known = |watches: &Watches| watches.get(served.name())?.get(&served.version()).cloned();
        if let Some(watch) = known(&read(&self.watches)) {
            return watch;
        }
        let fresh = Arc::new(Watch::new(served, self.seed));
        let mut watches = write(&self.watches);
        if let Some(watch) = known(&watches) {
            return watch;
        }
        fresh.set_capture(read(&self.captures).get(served.name()).copied().unwrap_or(0.0));
        if watches.values().map(BTreeMap::len).sum::<usize>() >= MAX_WATCHES {
            // Which of them goes does not matter: a version that is asked again is watched again.
            let first = watches.keys().next().cloned();
            first.and_then(|name| watches.remove(&name));
        }
        watches.entry(served.name().to_owned()).or_default().insert(served.version(), Arc::clone(&fresh));
        fresh
    }

    /// What a request to this version carries along; the request is counted under the version from now on.
    pub(crate) fn observe(&self, served: &Served) -> Observer {
        let watch = self.watch(served);
        let request_id = Note::reaches(&watch);
        let sink = if watch.capture() > 0.0 { self.sink() } else { None };
        Observer { watch, sink, seed: self.seed, request_id }
    }

    /// Counts a failure of a version where another one answered for it.
    pub(crate) fn failed(&self, served: &Served, code: Code) {
        self.watch(served).series.failed(code);
    }

    /// Counts a request that is over, under the version that it reached last.
    pub(crate) fn finished(&self, note: &Note, route: Route, status: u16, code: Option<Code>, took: Duration) {
        if status == 429 {
            self.n_shed.fetch_add(1, Ordering::Relaxed);
        }
        match note.watch() {
            Some(watch) => watch.series.finished(route, status, code, took),
            None => self.unnamed.finished(route, status, code, took),
        }
    }

    /// Counts a request as being worked on until the value is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A request that is being worked on.
pub(crate) struct InFlight(Arc<Monitor>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// `GET /metrics`.
pub(crate) async fn metrics(Held(state): Held<State>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::of(accept);
    ([(header::CONTENT_TYPE, format.content_type())], expose(state.monitor(), format)).into_response()
}

//! Single rows of one version that come while others are worked on are predicted together.
//!
//! Nobody waits for company: a row that finds fewer calls under way than there are processors is worked on at once. Rows
//! that come while all are busy wait for the next call, and that call takes all of them: under load a call's fixed cost is
//! paid once for many rows. How many is bounded by a number and by what such a call is known to take.
//!
//! A row that spoils a call spoils its own answer alone: then each row is asked by itself. A client that leaves takes its
//! row along.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use athanor_protocol::columns::{Column, ColumnData, Frame};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, oneshot},
};

use crate::{
    config::MAX_INLINE_ROWS,
    gate::Admission,
    infer,
    queue::Queue,
    refusal::Refusal,
    table::{Outputs, Served},
};

/// What a row's call came to, and how long the call took.
pub(crate) type Told = (Result<Outputs, Refusal>, Duration);

/// A row that waits for the next call.
struct Waiting {
    frame: Frame,
    tell: oneshot::Sender<Told>,
    admission: Weak<OwnedSemaphorePermit>,
}

/// A row that is worked on. Its place in the house is held until that ends: the bound is on work, not on clients.
struct Taken {
    frame: Frame,
    tell: oneshot::Sender<Told>,
    _admission: Arc<OwnedSemaphorePermit>,
}

/// The rows of one version that wait, and the calls under way.
#[derive(Default)]
pub(crate) struct Batches(Mutex<Now>);

#[derive(Default)]
struct Now {
    n_calls: usize,
    waiting: VecDeque<Waiting>,
}

/// How far rows are put together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most rows of one call; 1 keeps every row alone.
    pub(crate) rows: usize,
    /// Longest that a call of several rows may be known to take.
    pub(crate) budget: Duration,
    /// Calls at once.
    pub(crate) n_calls: usize,
}

/// What becomes of a row.
pub(crate) enum Entry {
    /// It is worked on at once, by whoever asked; the turn ends with the value.
    Alone(Frame, Turn),
    /// It is worked on with others; the answer comes here.
    Together(oneshot::Receiver<Told>),
    /// So many wait already that it would take longer than there is time: about so long.
    Late(Duration),
}

/// A call under way. When it ends, rows that came meanwhile are worked on.
pub(crate) struct Turn {
    served: Arc<Served>,
    queue: Arc<Queue>,
    limits: Limits,
    handle: Handle,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut now = self.served.batches().now();
        if now.waiting.is_empty() {
            now.n_calls -= 1;
            return;
        }
        drop(now);
        // The call's place among the calls goes on to whoever works on the rows.
        let ending = Ending { served: Arc::clone(&self.served), is_given_back: false };
        self.handle.spawn(work(ending, Arc::clone(&self.queue), self.limits));
    }
}

impl Batches {
    /// Rows that wait for a call.
    pub(crate) fn n_waiting(&self) -> usize {
        self.now().waiting.len()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a row in; its answer is of use for as long as there is time left. Must be called within a runtime.
pub(crate) fn enter(
    served: &Arc<Served>,
    queue: &Arc<Queue>,
    limits: Limits,
    frame: Frame,
    admission: &Admission,
    time_left: Duration,
) -> Entry {
    let mut now = served.batches().now();
    if now.n_calls < limits.n_calls {
        now.n_calls += 1;
        drop(now);
        let (served, queue) = (Arc::clone(served), Arc::clone(queue));
        return Entry::Alone(frame, Turn { served, queue, limits, handle: Handle::current() });
    }
    let needed = needed(served, limits, now.waiting.len());
    if needed > time_left {
        return Entry::Late(needed);
    }
    let (tell, told) = oneshot::channel();
    now.waiting.push_back(Waiting { frame, tell, admission: admission.unheld() });
    Entry::Together(told)
}

/// A call's place among the calls, given back also where a worker ends in the middle because its runtime is gone.
struct Ending {
    served: Arc<Served>,
    is_given_back: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_given_back {
            self.served.batches().now().n_calls -= 1;
        }
    }
}

/// Works on rows until none waits. Between calls it stands in line like everybody else.
async fn work(mut ending: Ending, queue: Arc<Queue>, limits: Limits) {
    loop {
        let place = queue.enter_patiently().await;
        let served = Arc::clone(&ending.served);
        let rows = {
            let mut now = served.batches().now();
            let rows = take(&mut now.waiting, most_rows(&served, limits));
            if rows.is_empty() {
                // Under the lock under which nobody was found waiting: the next row works by itself.
                now.n_calls -= 1;
                ending.is_given_back = true;
                return;
            }
            rows
        };
        let call = tokio::task::spawn_blocking(move || {
            let _place = place;
            predict(&served, rows);
        });
        if let Err(err) = call.await {
            tracing::error!("rows that were put together broke down: {err}");
        }
    }
}

/// How long a row with so many before it waits and is worked on, by what calls took lately; zero where nothing is known.
fn needed(served: &Served, limits: Limits, n_ahead: usize) -> Duration {
    let rows = most_rows(served, limits);
    let cost = served.cost();
    let call = cost.known(rows).or_else(|| cost.known(1)).unwrap_or_default();
    // The calls under way, those before it, and its own; as many at once as there are processors.
    let n_before = 1 + n_ahead / rows;
    call.mul_f64(n_before as f64 / limits.n_calls.max(1) as f64 + 1.0)
}

/// How many rows a call may have: as many as are allowed, unless so many are known to take too long.
fn most_rows(served: &Served, limits: Limits) -> usize {
    let rows = limits.rows.clamp(1, MAX_INLINE_ROWS);
    let is_known_long = |n: &usize| served.cost().known(*n).is_some_and(|took| took > limits.budget);
    let mut allowed = 1;
    while allowed * 2 <= rows && !is_known_long(&(allowed * 2)) {
        allowed *= 2;
    }
    allowed
}

/// The rows that have waited longest and for which somebody still waits.
fn take(waiting: &mut VecDeque<Waiting>, most: usize) -> Vec<Taken> {
    let mut rows = vec![];
    while rows.len() < most {
        let Some(Waiting { frame, tell, admission }) = waiting.pop_front() else { break };
        if let Some(admission) = admission.upgrade().filter(|_| !tell.is_closed()) {
            rows.push(Taken { frame, tell, _admission: admission });
        }
    }
    rows
}

fn predict(served: &Served, rows: Vec<Taken>) {
    let began = Instant::now();
    let frames: Vec<&Frame> = rows.iter().map(|row| &row.frame).collect();
    let together = if frames.len() > 1 {
        join(&frames).and_then(|frame| infer::call(served, &frame).ok()).and_then(|outputs| split(served, outputs))
    } else {
        None
    };
    match together {
        Some(outputs) => {
            let took = began.elapsed();
            for (row, outputs) in rows.into_iter().zip(outputs) {
                let checked = infer::check_finite(served, 0, &outputs).map(|()| outputs);
                // A client that has gone meanwhile hears nothing.
                let _ = row.tell.send((checked, took));
            }
        }
        None => {
            for row in rows {
                let began = Instant::now();
                let alone = infer::call(served, &row.frame)
                    .and_then(|outputs| infer::check_finite(served, 0, &outputs).map(|()| outputs));
                let _ = row.tell.send((alone, began.elapsed()));
            }
        }
    }
}

/// Rows one after the other; `None` where their columns are not alike.
fn join(frames: &[&Frame]) -> Option<Frame> {
    let (first, rest) = frames.split_first()?;
    let mut columns: Vec<Column> = first.columns().to_vec();
    for frame in rest {
        if frame.columns().len() != columns.len() {
            return None;
        }
        for (column, more) in columns.iter_mut().zip(frame.columns()) {
            match (&mut column.data, &more.data) {
                (ColumnData::Float(all), ColumnData::Float(more)) => all.extend_from_slice(more),
                (ColumnData::Int(all), ColumnData::Int(more)) => all.extend_from_slice(more),
                (ColumnData::Bool(all), ColumnData::Bool(more)) => all.extend_from_slice(more),
                (ColumnData::Text(all), ColumnData::Text(more)) => all.extend_from_slice(more),
                (ColumnData::Datetime(all), ColumnData::Datetime(more)) => all.extend_from_slice(more),
                _ => return None,
            }
        }
    }
    Frame::new(columns).ok()
}

/// Outputs row by row; `None` where they are not shaped for it.
fn split(served: &Served, outputs: Outputs) -> Option<Vec<Outputs>> {
    match outputs {
        Outputs::Numbers(values) => Some(values.into_iter().map(|value| Outputs::Numbers(vec![value])).collect()),
        Outputs::Classes { labels, probabilities } => {
            let n_classes = served.signature().classes.len().max(1);
            let rows = labels.into_iter().zip(probabilities.chunks(n_classes));
            let row = |(label, probabilities): (Arc<str>, &[f64])| Outputs::Classes {
                labels: vec![label],
                probabilities: probabilities.to_vec(),
            };
            Some(rows.map(row).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::SocketAddr;

    use athanor_protocol::{
        Failure,
        signature::{InputColumn, ModelSignature, Task},
        table::DataType,
    };
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Access, Model, ModelTable, ServeConfig, State, keyfile::FileKeys, router};

    /// A model that is never asked on the thread that answers.
    struct Slow(ModelSignature);

    impl Model for Slow {
        fn signature(&self) -> &ModelSignature {
            &self.0
        }

        fn may_block(&self) -> bool {
            true
        }

        fn predict(&self, frame: &Frame) -> Result<Outputs, Failure> {
            Ok(Outputs::Numbers(vec![0.0; frame.n_rows()]))
        }
    }

    #[tokio::test]
    async fn a_row_that_could_not_be_answered_in_time_is_told_at_once() {
        let x = InputColumn { name: "x".to_owned(), dtype: DataType::Float, nullable: false };
        let signature =
            ModelSignature { task: Task::Regression, target: "y".to_owned(), inputs: vec![x], classes: vec![] };
        let mut config = ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 8080)));
        config.access = Access::Platform;
        let table = ModelTable::new();
        table.replace(vec![Served::new("x", 1, Arc::new(Slow(signature))).unwrap()]).unwrap();
        let state = State::new(config, Arc::new(FileKeys::none()), Arc::new(table)).unwrap();
        let served = state.served("x", None).unwrap();
        // A call is known to take a second, and all are under way: a row that comes now needs more than that.
        served.cost().took(1, Duration::from_secs(1));
        served.batches().now().n_calls = state.batch_limits().n_calls;
        let ask = |millis: &str| {
            let request = Request::post("/v1/models/x/predict")
                .header("host", "localhost:8080")
                .header("content-type", "application/json")
                .header("x-request-timeout-ms", millis);
            router(&state).oneshot(request.body(Body::from(r#"{"row":{"x":1}}"#)).unwrap())
        };
        let answer = ask("1000").await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 2);
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("the endpoint is too busy to answer in time"));
        assert_eq!(served.batches().n_waiting(), 0, "it did not wait");

        // With more time it waits, and is answered when a call ends.
        let ended = tokio::spawn(ask("60000"));
        while served.batches().n_waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let queue = Arc::clone(state.queue());
        drop(Turn { served, queue, limits: state.batch_limits(), handle: Handle::current() });
        assert_eq!(ended.await.unwrap().unwrap().status(), 200);
    }
}

//! From a body to an answer: small work on the thread that answers, everything else on a thread of its own, within the
//! request's time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
};
use axum::{http::StatusCode, response::Response};

use crate::{
    config::{MAX_INLINE_BYTES, MAX_INLINE_ROWS},
    gate::{Admission, Deadline},
    refusal::Refusal,
    router::State,
    table::{Outputs, Served},
};

/// Rows of one call to a model: bounds its memory, and how long a client that has gone keeps it busy.
const BATCH_ROWS: usize = 4_096;

/// A way to write requests and answers.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// What of a request its answer needs.
    type Ask: Send + 'static;

    /// Reads a body.
    fn read(&self, served: &Served, body: &[u8]) -> Result<(Frame, Self::Ask), Failure>;

    /// Writes an answer.
    fn write(&self, served: &Served, ask: Self::Ask, n_rows: usize, outputs: &Outputs) -> Result<Response, Refusal>;
}

/// Tells a thread that nobody waits for it any more.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers a request whose body has arrived.
pub(crate) async fn answer<D: Dialect>(
    state: &State,
    served: Arc<Served>,
    dialect: D,
    body: Vec<u8>,
    admission: Admission,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    if body.len() > MAX_INLINE_BYTES {
        return elsewhere(state, admission, deadline, move |is_gone| {
            let (frame, ask) = dialect.read(&served, &body)?;
            drop(body);
            let n_rows = frame.n_rows();
            let outputs = predict(&served, frame, is_gone)?;
            dialect.write(&served, ask, n_rows, &outputs)
        })
        .await;
    }
    let (frame, ask) = dialect.read(&served, &body)?;
    let n_rows = frame.n_rows();
    let is_short = n_rows <= MAX_INLINE_ROWS && served.cost().is_short(n_rows) && !served.model().may_block();
    if n_rows == 0 || is_short {
        let outputs = predict(&served, frame, &AtomicBool::new(false))?;
        return dialect.write(&served, ask, n_rows, &outputs);
    }
    elsewhere(state, admission, deadline, move |is_gone| {
        let outputs = predict(&served, frame, is_gone)?;
        dialect.write(&served, ask, n_rows, &outputs)
    })
    .await
}

/// Runs work on a thread that may block, as soon as a processor is free for it.
pub(crate) async fn elsewhere<T: Send + 'static>(
    state: &State,
    admission: Admission,
    deadline: Deadline,
    work: impl FnOnce(&AtomicBool) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let is_gone = Arc::new(AtomicBool::new(false));
    let _gone = Gone(Arc::clone(&is_gone));
    let processors = Arc::clone(state.processors());
    let done = async move {
        // The semaphore is never closed.
        let permit = processors.acquire_owned().await.map_err(|err| Refusal::internal(err.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            // Both are held until the work ends, also when its client has gone: the bounds are on work, not on clients.
            let _held = (admission, permit);
            if is_gone.load(Ordering::Relaxed) {
                return Err(cancelled());
            }
            work(&is_gone)
        });
        done.await.map_err(|err| Refusal::internal(err.to_string()))?
    };
    match tokio::time::timeout_at(deadline.0, done).await {
        Ok(done) => done,
        Err(_) => Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, "the prediction took too long")
            .hint("send fewer rows in one request")
            .retry_after(1)),
    }
}

/// For nobody: the client has gone.
fn cancelled() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Cancelled, "the request was cancelled")
}

/// Predicts in batches and checks what the model says.
fn predict(served: &Served, frame: Frame, is_gone: &AtomicBool) -> Result<Outputs, Refusal> {
    let n_rows = frame.n_rows();
    let mut all = Outputs::none(served.signature());
    if n_rows <= BATCH_ROWS {
        return if n_rows == 0 { Ok(all) } else { call(served, &frame, 0) };
    }
    let mut from = 0;
    while from < n_rows {
        if is_gone.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        let to = (from + BATCH_ROWS).min(n_rows);
        let some = call(served, &slice(&frame, from, to)?, from)?;
        if !all.append(some) {
            return Err(Refusal::internal("the model's outputs are not those of its task"));
        }
        from = to;
    }
    Ok(all)
}

/// One call to the model. `from` is the number of rows before these, for messages.
fn call(served: &Served, frame: &Frame, from: usize) -> Result<Outputs, Refusal> {
    let started = Instant::now();
    // A model that panics ends one request. Whatever it left half-done is behind its own locks.
    let outputs = catch_unwind(AssertUnwindSafe(|| served.model().predict(frame)))
        .map_err(|_| Refusal::internal("the model panicked"))?
        .map_err(Refusal::from_model)?;
    served.cost().took(frame.n_rows(), started.elapsed());
    check(served, frame.n_rows(), from, &outputs)?;
    Ok(outputs)
}

fn check(served: &Served, n_rows: usize, from: usize, outputs: &Outputs) -> Result<(), Refusal> {
    let signature = served.signature();
    let n_classes = signature.classes.len();
    let (is_shaped, values, width) = match outputs {
        Outputs::Classes { labels, probabilities } => {
            let is_shaped = signature.task.is_classification()
                && labels.len() == n_rows
                && n_rows.checked_mul(n_classes) == Some(probabilities.len());
            (is_shaped, probabilities, n_classes)
        }
        Outputs::Numbers(values) => (!signature.task.is_classification() && values.len() == n_rows, values, 1),
    };
    if !is_shaped {
        return Err(Refusal::internal(format!("the model's outputs are not shaped for {n_rows} rows")));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let row = from + at / width.max(1) + 1;
            Err(Failure::new(Code::BadData, format!("the model has no finite answer for row {row}"))
                .hint("its values are far outside of what the model was trained on")
                .into())
        }
    }
}

/// Rows `from..to` of a frame.
fn slice(frame: &Frame, from: usize, to: usize) -> Result<Frame, Refusal> {
    let columns = frame.columns().iter().map(|column| {
        let data = match &column.data {
            ColumnData::Float(values) => ColumnData::Float(values[from..to].to_vec()),
            ColumnData::Int(values) => ColumnData::Int(values[from..to].to_vec()),
            ColumnData::Bool(values) => ColumnData::Bool(values[from..to].to_vec()),
            ColumnData::Text(values) => ColumnData::Text(values[from..to].to_vec()),
            ColumnData::Datetime(values) => ColumnData::Datetime(values[from..to].to_vec()),
        };
        Column { name: Arc::clone(&column.name), data }
    });
    Frame::new(columns.collect()).map_err(|err| Refusal::internal(err.to_string()))
}

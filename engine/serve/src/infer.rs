//! From a body to an answer: small work on the thread that answers, everything else on a thread of its own, within the
//! request's time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use tokio::time::Instant;

use crate::{
    config::{MAX_INLINE_BYTES, MAX_INLINE_ROWS},
    gate::{Admission, Deadline},
    monitor::Observer,
    queue::{self, Queue},
    refusal::Refusal,
    router::State,
    table::{Outputs, Served},
    together,
};

/// Says on an answer which version it comes from.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-athanor-version");
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

/// A request whose body has arrived, for any version that is asked it.
pub(crate) struct Asked<D> {
    dialect: D,
    body: Vec<u8>,
    is_charged: AtomicBool,
}

impl<D: Dialect> Asked<D> {
    pub(crate) fn new(dialect: D, body: Vec<u8>) -> Self {
        Self { dialect, body, is_charged: AtomicBool::new(false) }
    }

    /// Takes the rows off what the key may ask for: once, whoever is asked after the first.
    fn charge(&self, admission: &Admission, n_rows: usize) -> Result<(), Refusal> {
        if self.is_charged.swap(true, Ordering::Relaxed) { Ok(()) } else { admission.rows(n_rows) }
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.body.len()
    }

    /// What a version says to it, without an answer being written. May block.
    pub(crate) fn predict(&self, served: &Served, is_gone: &AtomicBool) -> Result<Outputs, Refusal> {
        let (frame, _) = self.dialect.read(served, &self.body)?;
        predict(served, &frame, is_gone)
    }

    fn write(
        &self,
        served: &Served,
        (frame, ask): (Frame, D::Ask),
        is_gone: &AtomicBool,
        is_kept: bool,
        observer: &Observer,
    ) -> Result<(Response, Option<Outputs>), Refusal> {
        let outputs = predict(served, &frame, is_gone)?;
        self.write_outputs(served, ask, frame, outputs, is_kept, observer)
    }

    /// Writes the answer, and leaves the rows with whoever watches.
    fn write_outputs(
        &self,
        served: &Served,
        ask: D::Ask,
        frame: Frame,
        outputs: Outputs,
        is_kept: bool,
        observer: &Observer,
    ) -> Result<(Response, Option<Outputs>), Refusal> {
        let mut response = self.dialect.write(served, ask, frame.n_rows(), &outputs)?;
        response.headers_mut().insert(VERSION, HeaderValue::from(served.version()));
        let kept = is_kept.then(|| outputs.clone());
        observer.answered(frame, outputs);
        Ok((response, kept))
    }
}

/// An answer of one version.
pub(crate) struct Answered {
    pub(crate) response: Response,
    /// What it says, where that is still needed.
    pub(crate) outputs: Option<Outputs>,
    /// How long was worked on it, without waiting.
    pub(crate) took: Duration,
}

/// How asking one version ended.
pub(crate) enum Ended {
    /// With an answer.
    Answered(Answered),
    /// With a refusal, after so long.
    Refused(Refusal, Duration),
    /// Before it began: there was no processor for it.
    NoRoom(Refusal),
}

impl Ended {
    fn of(result: Result<(Response, Option<Outputs>), Refusal>, took: Duration) -> Self {
        match result {
            Ok((response, outputs)) => Self::Answered(Answered { response, outputs, took }),
            Err(refusal) => Self::Refused(refusal, took),
        }
    }
}

/// Where a version waits for a processor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lane {
    /// With all who answer.
    Main,
    /// With candidates: one that hangs takes no place from the version that answers.
    Trial,
}

/// Asks one version. `is_kept`: what it says is needed besides the answer.
pub(crate) async fn attempt<D: Dialect>(
    state: &State,
    served: &Arc<Served>,
    asked: &Arc<Asked<D>>,
    admission: &Admission,
    deadline: Instant,
    lane: Lane,
    is_kept: bool,
) -> Ended {
    let began = Instant::now();
    let line = match lane {
        Lane::Main => state.queue(),
        Lane::Trial => state.trial_queue(),
    };
    let observer = state.monitor().observe(served);
    let (served, asked, admission) = (Arc::clone(served), Arc::clone(asked), admission.clone());
    if asked.body.len() > MAX_INLINE_BYTES {
        let admitted = admission.clone();
        return elsewhere(line, admission, deadline, Duration::ZERO, move |is_gone| {
            let read = asked.dialect.read(&served, &asked.body).inspect_err(|failure| observer.refused(failure))?;
            asked.charge(&admitted, read.0.n_rows())?;
            asked.write(&served, read, is_gone, is_kept, &observer)
        })
        .await;
    }
    let read = match asked.dialect.read(&served, &asked.body) {
        Ok(read) => read,
        Err(failure) => {
            observer.refused(&failure);
            return Ended::Refused(failure.into(), began.elapsed());
        }
    };
    let n_rows = read.0.n_rows();
    if let Err(refusal) = asked.charge(&admission, n_rows) {
        return Ended::Refused(refusal, began.elapsed());
    }
    let is_short = n_rows <= MAX_INLINE_ROWS && served.cost().is_short(n_rows) && !served.model().may_block();
    if n_rows == 0 || is_short {
        let result = asked.write(&served, read, &AtomicBool::new(false), is_kept, &observer);
        return Ended::of(result, began.elapsed());
    }
    let limits = state.batch_limits();
    if n_rows > 1 || limits.rows <= 1 {
        let work = move |is_gone: &AtomicBool| asked.write(&served, read, is_gone, is_kept, &observer);
        return elsewhere(line, admission, deadline, began.elapsed(), work).await;
    }
    let spent = began.elapsed();
    let (frame, ask) = read;
    let time_left = deadline.saturating_duration_since(Instant::now());
    // Whoever predicts it together with others keeps the row; it is one.
    let row = frame.clone();
    match together::enter(&served, line, limits, frame, &admission, time_left) {
        together::Entry::Alone(frame, turn) => {
            let work = move |is_gone: &AtomicBool| {
                let _turn = turn;
                asked.write(&served, (frame, ask), is_gone, is_kept, &observer)
            };
            elsewhere(line, admission, deadline, spent, work).await
        }
        together::Entry::Late(needed) => Ended::NoRoom(queue::too_busy(needed)),
        together::Entry::Together(told) => match tokio::time::timeout_at(deadline, told).await {
            Ok(Ok((outputs, took))) => {
                let write = |outputs| asked.write_outputs(&served, ask, row, outputs, is_kept, &observer);
                let result = outputs.and_then(write);
                Ended::of(result, spent + took)
            }
            // Whoever worked on it is gone without a word: the process ends, or the call broke down.
            Ok(Err(err)) => Ended::Refused(Refusal::internal(err.to_string()), began.elapsed()),
            Err(_) => Ended::Refused(too_long(), began.elapsed()),
        },
    }
}

fn too_long() -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, "the prediction took too long")
        .hint("send fewer rows in one request")
        .retry_after(1)
}

/// Runs work on a thread that may block, as soon as a processor is free for it. `spent` was worked on it before.
async fn elsewhere(
    queue: &Arc<Queue>,
    admission: Admission,
    deadline: Instant,
    spent: Duration,
    work: impl FnOnce(&AtomicBool) -> Result<(Response, Option<Outputs>), Refusal> + Send + 'static,
) -> Ended {
    let is_gone = Arc::new(AtomicBool::new(false));
    let _gone = Gone(Arc::clone(&is_gone));
    let place = match queue.enter(deadline).await {
        Ok(place) => place,
        Err(refusal) => return Ended::NoRoom(refusal),
    };
    let began = Instant::now();
    let done = tokio::task::spawn_blocking(move || {
        // Both are held until the work ends, also when its client has gone: the bounds are on work, not on clients.
        let _held = (admission, place);
        let began = Instant::now();
        let result = if is_gone.load(Ordering::Relaxed) { Err(cancelled()) } else { work(&is_gone) };
        (result, spent + began.elapsed())
    });
    match tokio::time::timeout_at(deadline, done).await {
        Ok(Ok((result, took))) => Ended::of(result, took),
        Ok(Err(err)) => Ended::Refused(Refusal::internal(err.to_string()), began.elapsed()),
        Err(_) => Ended::Refused(too_long(), began.elapsed()),
    }
}

/// Runs other work than a prediction on a thread that may block, as soon as a place of the queue is free for it. The flag
/// is up once nobody waits for it any more.
pub(crate) async fn apart<T: Send + 'static>(
    queue: &Arc<Queue>,
    admission: Admission,
    deadline: Deadline,
    work: impl FnOnce(&AtomicBool) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let is_gone = Arc::new(AtomicBool::new(false));
    let _gone = Gone(Arc::clone(&is_gone));
    let place = queue.enter(deadline.0).await?;
    let done = tokio::task::spawn_blocking(move || {
        let _held = (admission, place);
        if is_gone.load(Ordering::Relaxed) { Err(cancelled()) } else { work(&is_gone) }
    });
    match tokio::time::timeout_at(deadline.0, done).await {
        Ok(Ok(result)) => result,
        Ok(Err(err)) => Err(Refusal::internal(err.to_string())),
        Err(_) => Err(too_long()),
    }
}

/// For nobody: the client has gone.
pub(crate) fn cancelled() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Cancelled, "the request was cancelled")
}

/// Predicts in batches and checks what the model says.
fn predict(served: &Served, frame: &Frame, is_gone: &AtomicBool) -> Result<Outputs, Refusal> {
    let n_rows = frame.n_rows();
    let mut all = Outputs::none(served.signature());
    if n_rows <= BATCH_ROWS {
        return if n_rows == 0 { Ok(all) } else { called(served, frame, 0) };
    }
    let mut from = 0;
    while from < n_rows {
        if is_gone.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        let to = (from + BATCH_ROWS).min(n_rows);
        let some = called(served, &slice(frame, from, to)?, from)?;
        if !all.append(some) {
            return Err(Refusal::internal("the model's outputs are not those of its task"));
        }
        from = to;
    }
    Ok(all)
}

fn called(served: &Served, frame: &Frame, from: usize) -> Result<Outputs, Refusal> {
    let outputs = call(served, frame)?;
    check_finite(served, from, &outputs)?;
    Ok(outputs)
}

/// One call to the model: its outputs are shaped for the rows, and may still be no numbers.
pub(crate) fn call(served: &Served, frame: &Frame) -> Result<Outputs, Refusal> {
    let started = std::time::Instant::now();
    let outputs = shaped(served, frame, Refusal::from_model)?;
    served.cost().took(frame.n_rows(), started.elapsed());
    Ok(outputs)
}

/// A call whose outputs are shaped for the rows. `refuse` words what the model says against them.
pub(crate) fn shaped(
    served: &Served,
    frame: &Frame,
    refuse: impl FnOnce(Failure) -> Refusal,
) -> Result<Outputs, Refusal> {
    // A model that panics ends one request. Whatever it left half-done is behind its own locks.
    let outputs = catch_unwind(AssertUnwindSafe(|| served.model().predict(frame)))
        .map_err(|_| Refusal::internal("the model panicked"))?
        .map_err(refuse)?;
    let n_rows = frame.n_rows();
    let signature = served.signature();
    let is_shaped = match &outputs {
        Outputs::Classes { labels, probabilities } => {
            signature.task.is_classification()
                && labels.len() == n_rows
                && n_rows.checked_mul(signature.classes.len()) == Some(probabilities.len())
        }
        Outputs::Numbers(values) => !signature.task.is_classification() && values.len() == n_rows,
    };
    if is_shaped {
        return Ok(outputs);
    }
    Err(Refusal::internal(format!("the model's outputs are not shaped for {n_rows} rows")))
}

/// Refuses outputs that are no numbers. `from` is the number of rows before these, for messages.
pub(crate) fn check_finite(served: &Served, from: usize, outputs: &Outputs) -> Result<(), Refusal> {
    let (values, width) = match outputs {
        Outputs::Classes { probabilities, .. } => (probabilities, served.signature().classes.len()),
        Outputs::Numbers(values) => (values, 1),
    };
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

//! Predictions that are explained: first they are made as all others are, then the version that made them is asked what
//! they are made of.
//!
//! Whatever is counted, compared or put together for a prediction is so for one that is explained as well, and its
//! explanation adds nothing to that: it has a queue of its own for half of the processors, so that it takes no
//! prediction's place, and what it takes says nothing about how long predictions take.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use athanor_learn::{
    LearnError,
    contributions::{Contributions, MAX_COLUMNS, Options, contributions, typical_row},
};
use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
    explanation::{Contribution, Explanation, ExplanationMethod},
    signature::InputColumn,
    table::DataType,
};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{
    gate::{Admission, Deadline},
    infer,
    moment::iso_from_micros,
    named::Answer,
    named_body::ToExplain,
    oip_reply::json,
    refusal::{Refusal, bad},
    router::State,
    table::{Outputs, Served},
};

/// Most rows of one request that is explained.
pub(crate) const MAX_ROWS: usize = 64;
/// About how many rows the model is asked for to explain one: all sets of twelve columns. The seed is nobody's choice, so
/// that the same row has the same explanation.
const OPTIONS: Options = Options { seed: 0, n_model_rows: 4_096 };

/// What is to be explained once it is predicted.
pub(crate) struct Explain {
    rows: Frame,
    asked: ToExplain,
}

/// Travels as an extension of an empty response to the route, which explains.
#[derive(Clone)]
struct Pending(Arc<Told>);

/// Rows with what was predicted of them.
struct Told {
    explain: Explain,
    version: u32,
    outputs: Outputs,
}

impl Explain {
    /// Checks that so many rows may be explained, before anything is predicted. What a version itself lacks for that is no
    /// matter of its prediction: that is said by [`finish`].
    ///
    /// # Errors
    /// If there are too many rows.
    pub(crate) fn new(rows: &Frame, asked: ToExplain) -> Result<Self, Failure> {
        let n_rows = rows.n_rows();
        if n_rows > MAX_ROWS {
            let message = format!("one request explains at most {MAX_ROWS} rows, this one has {n_rows}");
            return Err(bad(message).on("explain").hint("send fewer rows in one request, or leave 'explain' out"));
        }
        Ok(Self { rows: rows.clone(), asked })
    }

    /// An empty response that [`finish`] completes.
    pub(crate) fn later(self, served: &Served, outputs: &Outputs) -> Response {
        let told = Told { explain: self, version: served.version(), outputs: outputs.clone() };
        let mut response = StatusCode::OK.into_response();
        response.extensions_mut().insert(Pending(Arc::new(told)));
        response
    }
}

/// Explains what an answer says, where that was asked for. `versions` are those that may have answered.
pub(crate) async fn finish(
    state: &State,
    versions: [Option<Arc<Served>>; 2],
    mut answer: Response,
    admission: Admission,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let Some(Pending(told)) = answer.extensions_mut().remove() else { return Ok(answer) };
    let served = versions.into_iter().flatten().find(|served| served.version() == told.version);
    let served = served.ok_or_else(|| Refusal::internal("a version answered that nobody asked"))?;
    let baseline = baseline(&served, &told.explain)?;
    let mut explained = infer::apart(state.explain_queue(), admission, deadline, move |is_gone| {
        let rows = 0..told.explain.rows.n_rows();
        let one = |row| explain(&served, &told, row, &baseline, is_gone);
        let explanations = rows.map(one).collect::<Result<Vec<_>, _>>()?;
        json(&Answer::new(&served, &told.outputs).explained(&explanations))
    })
    .await?;
    let version = answer.headers_mut().remove(infer::VERSION);
    explained.headers_mut().extend(version.map(|version| (infer::VERSION, version)));
    Ok(explained)
}

/// The row to compare with: the client's, or a typical one of training.
fn baseline(served: &Served, explain: &Explain) -> Result<Frame, Failure> {
    let n_columns = served.plan().inputs().len();
    if n_columns > MAX_COLUMNS {
        let message = format!("the model takes {n_columns} columns, at most {MAX_COLUMNS} are explained");
        return Err(Failure::new(Code::Unsupported, message).on("explain").hint("leave 'explain' out"));
    }
    let typical = || served.statistics().and_then(|statistics| typical_row(served.signature(), statistics));
    explain.asked.baseline.clone().or_else(typical).ok_or_else(|| {
        let message = "there are no training statistics in the model's package to explain its predictions by";
        Failure::new(Code::Unsupported, message)
            .on("explain")
            .hint("send a row to compare with: \"baseline\": {column: value, …}")
    })
}

fn explain(
    served: &Served,
    told: &Told,
    row: usize,
    baseline: &Frame,
    is_gone: &AtomicBool,
) -> Result<Explanation, Refusal> {
    let classes = &served.signature().classes;
    let class = match &told.outputs {
        Outputs::Numbers(_) => None,
        Outputs::Classes { labels, .. } => {
            let label = labels.get(row).map_or("", |label| &**label);
            let found = classes.iter().position(|class| class == label);
            Some(found.ok_or_else(|| Refusal::internal("the model predicts a class that is none of its classes"))?)
        }
    };
    let Explain { rows, asked } = &told.explain;
    let mut predict = |mixed: &Frame| {
        let outputs = infer::shaped(served, mixed, |failure| unexplained(row, failure))?;
        Ok(match (outputs, class) {
            (Outputs::Classes { probabilities, .. }, Some(class)) => {
                probabilities.into_iter().skip(class).step_by(classes.len()).collect()
            }
            (Outputs::Numbers(values), _) => values,
            (Outputs::Classes { .. }, None) => vec![],
        })
    };
    let go_on = || !is_gone.load(Ordering::Relaxed);
    let found =
        contributions::<Stop>(rows, row, baseline, OPTIONS, &go_on, &mut predict).map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal,
            Stop::Failed(err) => unexplained(row, err.into()),
        })?;
    let found = found.ok_or_else(infer::cancelled)?;
    Ok(Explanation {
        class: class.and_then(|class| classes.get(class).cloned()),
        base: found.base,
        value: found.value,
        method: match found.standard_errors {
            None => ExplanationMethod::Exact,
            Some(_) => ExplanationMethod::Sampled,
        },
        contributions: worded(served.plan().inputs(), rows, row, baseline, &asked.order, &found),
    })
}

/// Why a row is not explained: the client's row where the model says so, a fault of ours otherwise.
fn unexplained(row: usize, failure: Failure) -> Refusal {
    if failure.code != Code::BadData {
        return Refusal::from_model(failure);
    }
    let row = row + 1;
    let message = format!("row {row} can't be explained: the model has no answer for a mix of it and the baseline");
    // Its words would name rows that the client knows nothing of.
    Failure::new(Code::BadData, message).hint("leave 'explain' out, or send another row as 'baseline'").into()
}

/// Why contributions were not found.
enum Stop {
    Refused(Refusal),
    Failed(LearnError),
}

impl From<LearnError> for Stop {
    fn from(err: LearnError) -> Self {
        Self::Failed(err)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The contributions with names and values, in the request's order.
fn worded(
    inputs: &[InputColumn],
    rows: &Frame,
    row: usize,
    baseline: &Frame,
    order: &[usize],
    found: &Contributions,
) -> Vec<Contribution> {
    let one = |&at: &usize| {
        let (input, own, base) = (inputs.get(at)?, rows.columns().get(at)?, baseline.columns().get(at)?);
        Some(Contribution {
            column: input.name.clone(),
            value: value(input, own, row),
            baseline: value(input, base, 0),
            contribution: *found.of_columns.get(at)?,
            standard_error: found.standard_errors.as_ref().and_then(|errors| errors.get(at).copied()),
        })
    };
    order.iter().filter_map(one).collect()
}

/// A value as a request would write it.
fn value(input: &InputColumn, column: &Column, row: usize) -> Value {
    match &column.data {
        ColumnData::Float(values) => values.get(row).map_or(Value::Null, |&value| Value::from(value)),
        ColumnData::Int(values) => values.get(row).map_or(Value::Null, |&value| Value::from(value)),
        ColumnData::Bool(values) => values.get(row).map_or(Value::Null, |&value| Value::from(value)),
        ColumnData::Text(values) => values.get(row).cloned().flatten().map_or(Value::Null, |text| Value::from(&*text)),
        ColumnData::Datetime(values) => {
            let micros = values.get(row).copied().flatten();
            micros.map_or(Value::Null, |micros| iso_from_micros(micros, input.dtype == DataType::Date).into())
        }
    }
}

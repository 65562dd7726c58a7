//! Between rows and plain data, by hand: what a column holds is decided here and nowhere else.

use athanor_protocol::{
    learner::Reproducibility,
    metric::{MetricValue, Split},
    names::RunId,
    registry::Scope,
    run::{Owner, RunStatus, StepState},
};
use rusqlite::Row;
use serde_json::Value;

use super::{Fault, Inner};

pub(super) const fn number_from_split(split: Split) -> i64 {
    match split {
        Split::Train => 0,
        Split::Valid => 1,
        Split::Test => 2,
        Split::System => 3,
    }
}

pub(super) fn split_from_number(number: i64) -> Inner<Split> {
    match number {
        0 => Ok(Split::Train),
        1 => Ok(Split::Valid),
        2 => Ok(Split::Test),
        3 => Ok(Split::System),
        _ => Err(Fault::Stored("split")),
    }
}

/// The columns `value` and `kind`: SQLite stores a NaN as NULL, so non-finite values are a kind with the value 0.
pub(super) const fn columns_from_value(value: MetricValue) -> (f64, i64) {
    match value {
        MetricValue::Finite(value) => (value, 0),
        MetricValue::NaN => (0.0, 1),
        MetricValue::PosInf => (0.0, 2),
        MetricValue::NegInf => (0.0, 3),
    }
}

pub(super) fn value_from_columns(value: f64, kind: i64) -> Inner<MetricValue> {
    match kind {
        0 => Ok(MetricValue::Finite(value)),
        1 => Ok(MetricValue::NaN),
        2 => Ok(MetricValue::PosInf),
        3 => Ok(MetricValue::NegInf),
        _ => Err(Fault::Stored("metric value")),
    }
}

pub(super) const fn text_from_step(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Cached => "cached",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::Failed => "failed",
    }
}

pub(super) fn step_from_text(text: &str) -> Inner<StepState> {
    [StepState::Pending, StepState::Cached, StepState::Running, StepState::Done, StepState::Failed]
        .into_iter()
        .find(|state| text_from_step(*state) == text)
        .ok_or(Fault::Stored("step state"))
}

pub(super) const fn text_from_reproducibility(value: Reproducibility) -> &'static str {
    match value {
        Reproducibility::Bitwise => "bitwise",
        Reproducibility::WithinTolerance => "within_tolerance",
    }
}

pub(super) fn reproducibility_from_text(text: &str) -> Inner<Reproducibility> {
    match text {
        "bitwise" => Ok(Reproducibility::Bitwise),
        "within_tolerance" => Ok(Reproducibility::WithinTolerance),
        _ => Err(Fault::Stored("reproducibility")),
    }
}

pub(super) fn status_from_text(text: &str) -> Inner<RunStatus> {
    RunStatus::parse(text).ok_or(Fault::Stored("run status"))
}

pub(super) fn id_from_text(text: String) -> Inner<RunId> {
    RunId::new(text).map_err(|_| Fault::Stored("run id"))
}

/// A count or size, never negative.
pub(super) fn count(row: &Row<'_>, column: &str) -> Inner<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| Fault::Stored("count"))
}

/// A small number such as an attempt or a version.
pub(super) fn small(row: &Row<'_>, column: &str) -> Inner<u32> {
    u32::try_from(row.get::<_, i64>(column)?).map_err(|_| Fault::Stored("number"))
}

/// The columns `owner_host`, `owner_pid` and `owner_started`.
pub(super) fn owner(row: &Row<'_>) -> Inner<Option<Owner>> {
    let Some(host) = row.get::<_, Option<String>>("owner_host")? else {
        return Ok(None);
    };
    Ok(Some(Owner {
        host,
        pid: small(row, "owner_pid")?,
        started: row.get::<_, i64>("owner_started")?.cast_unsigned(),
    }))
}

const SCOPES: [(Scope, &str); 3] = [(Scope::Predict, "predict"), (Scope::Read, "read"), (Scope::Admin, "admin")];

/// Sorted, without repetition, separated by spaces.
pub(super) fn text_from_scopes(scopes: &[Scope]) -> String {
    let names = SCOPES.iter().filter(|(scope, _)| scopes.contains(scope)).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(" ")
}

pub(super) fn scopes_from_text(text: &str) -> Inner<Vec<Scope>> {
    let scope = |name| SCOPES.iter().find(|(_, other)| *other == name).map(|(scope, _)| *scope);
    text.split(' ').map(|name| scope(name).ok_or(Fault::Stored("scope"))).collect()
}

pub(super) fn json<T: serde::Serialize>(value: &T, what: &'static str) -> Inner<String> {
    serde_json::to_string(value).map_err(|_| Fault::Stored(what))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Inner<T> {
    serde_json::from_str(text).map_err(|_| Fault::Stored(what))
}

pub(super) fn value_from_json(text: &str) -> Inner<Value> {
    from_json(text, "JSON value")
}

/// Cut at the end to at most so many bytes, never within a character.
pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

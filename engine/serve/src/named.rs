//! The friendly routes: models with their signatures, and predictions from named columns to named outputs.

use athanor_protocol::{Code, Failure, columns::Frame, signature::ModelSignature};
use axum::{
    Extension,
    body::Body,
    extract::State as Held,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{
    body::{BodyKind, body_kind, read_body},
    gate::{Admission, Deadline, RequestId},
    infer::Dialect,
    named_body,
    oip::Target,
    oip_reply::json,
    refusal::Refusal,
    rollout,
    router::{State, path},
    table::{Outputs, Served},
};

#[derive(Serialize)]
struct ModelInfo<'a> {
    name: &'a str,
    version: u32,
    signature: &'a ModelSignature,
}

impl<'a> ModelInfo<'a> {
    fn of(served: &'a Served) -> Self {
        Self { name: served.name(), version: served.version(), signature: served.signature() }
    }
}

#[derive(Serialize)]
struct ModelList<'a> {
    models: Vec<ModelInfo<'a>>,
}

pub(crate) async fn list(Held(state): Held<State>) -> Result<Response, Refusal> {
    let all = state.models().all();
    json(&ModelList { models: all.values().flatten().map(|served| ModelInfo::of(served)).collect() })
}

pub(crate) async fn show(Held(state): Held<State>, target: Target) -> Result<Response, Refusal> {
    let words = path(target)?;
    let served = state.served(words.model(), words.version()?)?;
    json(&ModelInfo::of(&served))
}

struct Named {
    max_depth: usize,
}

#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    version: u32,
    predictions: Predictions<'a>,
}

/// Predictions, written row by row.
struct Predictions<'a> {
    classes: &'a [String],
    outputs: &'a Outputs,
}

#[derive(Serialize)]
struct ClassRow<'a> {
    label: &'a str,
    probabilities: Probabilities<'a>,
}

#[derive(Serialize)]
struct NumberRow {
    value: f64,
}

/// `{class: probability, …}` in the order of the classes.
struct Probabilities<'a> {
    classes: &'a [String],
    values: &'a [f64],
}

impl Serialize for Probabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (class, value) in self.classes.iter().zip(self.values) {
            map.serialize_entry(class, value)?;
        }
        map.end()
    }
}

impl Serialize for Predictions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = self.classes;
        let mut rows = serializer.serialize_seq(None)?;
        match self.outputs {
            Outputs::Classes { labels, probabilities } => {
                // Shapes were checked; a classifier without classes would have been refused there.
                for (label, values) in labels.iter().zip(probabilities.chunks(classes.len().max(1))) {
                    rows.serialize_element(&ClassRow { label, probabilities: Probabilities { classes, values } })?;
                }
            }
            Outputs::Numbers(values) => {
                for &value in values {
                    rows.serialize_element(&NumberRow { value })?;
                }
            }
        }
        rows.end()
    }
}

impl Dialect for Named {
    type Ask = ();

    fn read(&self, served: &Served, body: &[u8]) -> Result<(Frame, ()), Failure> {
        Ok((named_body::read(served.plan(), body, self.max_depth)?, ()))
    }

    fn write(&self, served: &Served, (): (), _: usize, outputs: &Outputs) -> Result<Response, Refusal> {
        let predictions = Predictions { classes: &served.signature().classes, outputs };
        json(&Answer { model: served.name(), version: served.version(), predictions })
    }
}

pub(crate) async fn predict(
    Held(state): Held<State>,
    target: Target,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let words = path(target)?;
    let routed = state.route(words.model(), words.named(&headers)?, &headers, &request_id.0)?;
    if body_kind(&headers)? != Some(BodyKind::Json) {
        let message = "the body must be JSON and say so";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message)
            .hint("send 'Content-Type: application/json'"));
    }
    let body = read_body(body, state.config(), deadline).await?;
    let dialect = Named { max_depth: state.config().max_json_depth };
    rollout::answer(&state, routed, dialect, body, admission, deadline).await
}

//! The friendly routes: models with their signatures, and predictions from named columns to named outputs.

use athanor_protocol::{Code, Failure, columns::Frame, explanation::Explanation, signature::ModelSignature};
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
    body::{BodyKind, kind_of},
    compression,
    contracts::tensorflow::{self, VersionStatus},
    explain::{self, Explain},
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
    /// KServe's clients wait for this.
    ready: bool,
    signature: &'a ModelSignature,
}

impl<'a> ModelInfo<'a> {
    fn of(served: &'a Served) -> Self {
        Self { name: served.name(), version: served.version(), ready: true, signature: served.signature() }
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
    let model_version_status = tensorflow::statuses(&state, &served, words.version()?.is_some());
    json(&ModelShown { info: ModelInfo::of(&served), model_version_status })
}

/// A model by itself, with what TensorFlow Serving's clients look for.
#[derive(Serialize)]
struct ModelShown<'a> {
    #[serde(flatten)]
    info: ModelInfo<'a>,
    model_version_status: Vec<VersionStatus>,
}

struct Named {
    max_depth: usize,
}

#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    model: &'a str,
    version: u32,
    predictions: Predictions<'a>,
    /// One for each row, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<&'a [Explanation]>,
}

/// Predictions, written row by row.
pub(crate) struct Predictions<'a> {
    classes: &'a [String],
    outputs: &'a Outputs,
}

impl<'a> Predictions<'a> {
    pub(crate) fn new(served: &'a Served, outputs: &'a Outputs) -> Self {
        Self { classes: &served.signature().classes, outputs }
    }
}

impl Predictions<'_> {
    /// Every row on a line of its own.
    pub(crate) fn write_lines(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = vec![];
        self.each(|row| {
            serde_json::to_writer(&mut text, &row)?;
            text.push(b'\n');
            Ok(())
        })?;
        Ok(text)
    }

    fn each<E>(&self, mut write: impl FnMut(RowOut<'_>) -> Result<(), E>) -> Result<(), E> {
        let classes = self.classes;
        match self.outputs {
            Outputs::Classes { labels, probabilities } => {
                // Shapes were checked; a classifier without classes would have been refused there.
                for (label, values) in labels.iter().zip(probabilities.chunks(classes.len().max(1))) {
                    write(RowOut::Class(ClassRow { label, probabilities: Probabilities { classes, values } }))?;
                }
            }
            Outputs::Numbers(values) => {
                for &value in values {
                    write(RowOut::Number(NumberRow { value }))?;
                }
            }
        }
        Ok(())
    }
}

/// What is said of one row.
#[derive(Serialize)]
#[serde(untagged)]
enum RowOut<'a> {
    Class(ClassRow<'a>),
    Number(NumberRow),
}

impl<'a> Answer<'a> {
    pub(crate) fn new(served: &'a Served, outputs: &'a Outputs) -> Self {
        let predictions = Predictions::new(served, outputs);
        Self { model: served.name(), version: served.version(), predictions, explanations: None }
    }

    pub(crate) fn explained(self, explanations: &'a [Explanation]) -> Self {
        Self { explanations: Some(explanations), ..self }
    }
}

#[derive(Serialize)]
pub(crate) struct ClassRow<'a> {
    pub(crate) label: &'a str,
    pub(crate) probabilities: Probabilities<'a>,
}

#[derive(Serialize)]
struct NumberRow {
    value: f64,
}

/// `{class: probability, …}` in the order of the classes.
pub(crate) struct Probabilities<'a> {
    pub(crate) classes: &'a [String],
    pub(crate) values: &'a [f64],
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
        let mut rows = serializer.serialize_seq(None)?;
        self.each(|row| rows.serialize_element(&row))?;
        rows.end()
    }
}

impl Dialect for Named {
    type Ask = Option<Explain>;

    fn read(&self, served: &Served, body: &[u8]) -> Result<(Frame, Option<Explain>), Failure> {
        let body = named_body::read(served.plan(), body, self.max_depth)?;
        let explain = body.explain.map(|explain| Explain::new(&body.frame, explain)).transpose()?;
        Ok((body.frame, explain))
    }

    fn write(
        &self,
        served: &Served,
        explain: Option<Explain>,
        _: usize,
        outputs: &Outputs,
    ) -> Result<Response, Refusal> {
        match explain {
            None => json(&Answer::new(served, outputs)),
            Some(explain) => Ok(explain.later(served, outputs)),
        }
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
    if kind_of(&headers)? != Some(BodyKind::Json) {
        let message = "the body must be JSON and say so";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message)
            .hint("send 'Content-Type: application/json'"));
    }
    let body = compression::read(&state, &headers, body, &admission, deadline).await?;
    let dialect = Named { max_depth: state.config().max_json_depth };
    let versions = routed.versions();
    let answer = rollout::answer(&state, routed, dialect, body, admission.clone(), deadline).await?;
    explain::finish(&state, versions, answer, admission, deadline).await
}

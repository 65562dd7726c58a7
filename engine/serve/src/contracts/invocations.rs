//! `/invocations`, which Amazon SageMaker and MLflow's scoring server share, and the small routes around it.
//!
//! Which of the two a request means is told by its body: comma-separated values and JSON lines are read as both write them
//! (see [`super::csv`] for the header line), JSON by the one word that holds its rows. The word also decides how the answer
//! is wrapped: our own words get our own answer, all others `{"predictions": […]}`.

use athanor_protocol::Code;
use axum::{
    Extension,
    body::Body,
    extract::State as Held,
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    choose::{self, Asked},
    json::{Form, Words},
    media::{self, Allowed},
    speech::{self, Envelope, Speech},
};
use crate::{
    gate::{Admission, Deadline},
    oip_reply::json,
    refusal::Refusal,
    router::State,
};

/// The words of MLflow's scoring server and our own.
const WORDS: Words = Words {
    rows: &[
        ("dataframe_split", Form::Split, Envelope::Predictions),
        ("dataframe_records", Form::Rows, Envelope::Predictions),
        ("instances", Form::Instances, Envelope::Predictions),
        ("inputs", Form::ColumnsOrInstances, Envelope::Predictions),
        ("rows", Form::Rows, Envelope::Own),
        ("columns", Form::Columns, Envelope::Own),
        ("row", Form::Row, Envelope::Own),
    ],
    parameters: &["params", "parameters"],
    fixed: &[],
};

/// What SageMaker hands through from a client to a container, as text.
const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");

/// Whether the custom attributes hold `probabilities=true`: SageMaker hands no query through.
fn is_asked_by_attribute(headers: &HeaderMap) -> bool {
    let text = headers.get(CUSTOM_ATTRIBUTES).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split([',', ';']).any(|item| item.trim().eq_ignore_ascii_case("probabilities=true"))
}

pub(crate) async fn invocations(
    Held(state): Held<State>,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let asked = Asked::of(&uri)?;
    let served = choose::model(&state, &headers, &asked)?;
    let speech = Speech {
        media: media::of_body(&headers, Allowed::Tables)?,
        reply: media::of_reply(&headers)?,
        probabilities: asked.probabilities.unwrap_or_else(|| is_asked_by_attribute(&headers)),
        ..Speech::json(&state, &WORDS, None)
    };
    speech::answer(&state, served, speech, &headers, body, admission, deadline).await
}

/// Whether the endpoint answers: an empty 200, or 503.
pub(crate) async fn ping(Held(state): Held<State>) -> Result<Response, Refusal> {
    ready(&state)
}

/// An empty 200 when ready.
pub(crate) fn ready(state: &State) -> Result<Response, Refusal> {
    if state.is_ready() {
        return Ok(StatusCode::OK.into_response());
    }
    let message = "the endpoint is starting or stopping";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message).retry_after(1))
}

/// The version of this program: MLflow's clients show it and compare nothing.
pub(crate) async fn version() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], env!("CARGO_PKG_VERSION")).into_response()
}

/// How SageMaker's batch transform is to send.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExecutionParameters {
    max_concurrent_transforms: usize,
    batch_strategy: &'static str,
    #[serde(rename = "MaxPayloadInMB")]
    max_payload_in_mb: usize,
}

/// Most megabytes that SageMaker lets be under way at once.
const MAX_MB_AT_ONCE: usize = 100;

pub(crate) async fn execution_parameters(Held(state): Held<State>) -> Result<Response, Refusal> {
    let config = state.config();
    // Zero would mean no limit there.
    let max_payload_in_mb = (config.max_body_bytes >> 20).clamp(1, MAX_MB_AT_ONCE);
    let n_processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let most = config.max_concurrent.min(MAX_MB_AT_ONCE / max_payload_in_mb).max(1);
    json(&ExecutionParameters {
        max_concurrent_transforms: n_processors.min(most),
        batch_strategy: "MULTI_RECORD",
        max_payload_in_mb,
    })
}

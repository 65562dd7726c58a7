//! Routes of the Open Inference Protocol, version 2, with its binary tensor extension.

use athanor_protocol::{Code, Failure, columns::Frame};
use axum::{
    Extension,
    body::Body,
    extract::{Path, State as Held, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{
    body::{BodyKind, inference_header_length, kind_of},
    compression,
    gate::{Admission, Deadline},
    infer::{self, Dialect},
    oip_body::{self, Wanted},
    oip_reply,
    refusal::{Refusal, bad},
    router::{State, path},
    table::{Outputs, Served},
};

/// The words of a model's address.
#[derive(Deserialize)]
pub(crate) struct Words {
    model: String,
    version: Option<String>,
}

impl Words {
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

pub(crate) type Target = Result<Path<Words>, PathRejection>;

#[derive(Serialize)]
struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

pub(crate) async fn server() -> Result<Response, Refusal> {
    let (name, version) = ("athanor", env!("CARGO_PKG_VERSION"));
    oip_reply::json(&ServerMetadata { name, version, extensions: ["binary_tensor_data"] })
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

pub(crate) async fn live() -> Result<Response, Refusal> {
    oip_reply::json(&Live { live: true })
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

pub(crate) async fn ready(Held(state): Held<State>) -> Result<Response, Refusal> {
    if state.is_ready() {
        return oip_reply::json(&Ready { ready: true });
    }
    let message = "the endpoint is starting or stopping";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message).retry_after(1))
}

pub(crate) async fn metadata(Held(state): Held<State>, target: Target) -> Result<Response, Refusal> {
    let words = path(target)?;
    let served = state.served(words.model(), words.version())?;
    let all = state.models().all();
    let versions = all.get(served.name()).into_iter().flatten().map(|served| served.version().to_string());
    oip_reply::metadata(&served, versions.collect())
}

#[derive(Serialize)]
struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

pub(crate) async fn model_ready(Held(state): Held<State>, target: Target) -> Result<Response, Refusal> {
    let words = path(target)?;
    let served = state.served(words.model(), words.version())?;
    oip_reply::json(&ModelReady { name: served.name(), ready: true })
}

struct Oip {
    json_length: Option<usize>,
    max_depth: usize,
}

impl Dialect for Oip {
    type Ask = (Option<String>, Vec<Wanted>);

    fn read(&self, served: &Served, body: &[u8]) -> Result<(Frame, Self::Ask), Failure> {
        let request = oip_body::read(served.plan(), served.signature(), body, self.json_length, self.max_depth)?;
        Ok((request.frame, (request.id, request.wanted)))
    }

    fn write(
        &self,
        served: &Served,
        (id, wanted): Self::Ask,
        n_rows: usize,
        outputs: &Outputs,
    ) -> Result<Response, Refusal> {
        oip_reply::infer(served, id.as_deref(), &wanted, n_rows, outputs)
    }
}

pub(crate) async fn infer(
    Held(state): Held<State>,
    target: Target,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let words = path(target)?;
    let served = state.served(words.model(), words.version())?;
    let json_length = inference_header_length(&headers)?;
    // Clients of this protocol often send no content type at all; the length header tells which of the two it is.
    if kind_of(&headers)? == Some(BodyKind::Bytes) && json_length.is_none() {
        let failure = bad("a binary body needs the header 'Inference-Header-Content-Length'");
        return Err(failure.hint("or send 'Content-Type: application/json'").into());
    }
    let body = compression::read(&state, &headers, body, &admission, deadline).await?;
    let dialect = Oip { json_length, max_depth: state.config().max_json_depth };
    infer::answer(&state, served, dialect, body, admission, deadline).await
}

//! The Open Inference Protocol, version 2, over gRPC: the service `inference.GRPCInferenceService`, and
//! `grpc.health.v1.Health` for those who look whether it lives.
//!
//! A request passes the same gate as over HTTP, in the same order: host, key, admission, deadline, size. Its key comes as
//! the metadata `authorization`. Messages are read and written here, over [`hyper`]'s HTTP/2: a body is gathered under
//! the limits of every other body, and looked over before it is parsed.
//!
//! **Architecture Invariant:** tensors become columns by the same code as over HTTP; only the messages differ.

mod connection;
mod framing;
mod messages;
mod methods;
mod request;
mod streams;
mod wire;

use std::{
    future::{Future, poll_fn},
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use athanor_protocol::Code;
use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};

pub(crate) use self::connection::talk;
use self::{framing::Answer, methods::Rpc, streams::Open};
use crate::{
    auth::Need,
    config::ServeConfig,
    error::ServeError,
    gate::{self, Callers, Passage, REQUEST_ID},
    monitor,
    refusal::Refusal,
    router::State,
    server::{self, Speech},
};

/// The content type of all answers.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The gRPC side of an endpoint.
pub(crate) struct Grpc {
    state: State,
    callers: Callers,
}

/// Answers gRPC on a bound socket until `shutdown` is there; then requests under way have the drain time to end.
///
/// # Errors
/// If the socket or a setting can't be used. Failures of single connections end these alone.
pub async fn serve_grpc(
    listener: TcpListener,
    state: &State,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let bound = listener.local_addr().map_err(ServeError::Listen)?;
    let grpc = Arc::new(Grpc::new(state, bound)?);
    server::answer(listener, Speech::Grpc(grpc), state.config(), || state.drain(), shutdown).await
}

impl Grpc {
    fn new(state: &State, bound: SocketAddr) -> Result<Self, ServeError> {
        let config = state.config();
        // The names of this socket, which may be another address than that of HTTP, and those that were allowed.
        let mut hosts = ServeConfig::new(bound).allowed_hosts;
        hosts.extend(config.allowed_hosts.iter().cloned());
        let callers = Callers::new(bound, &hosts, &config.allowed_origins)?;
        Ok(Self { state: state.clone(), callers })
    }

    /// Answers one request.
    async fn answer(&self, mut request: Request<Body>, open: Open) -> Response<Answer> {
        let started = Instant::now();
        let id = self.state.ids().of(request.headers());
        request.extensions_mut().insert(gate::RequestId(Arc::from(id.to_str().unwrap_or("-"))));
        let is_grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| is_grpc(kind.as_bytes()));
        if request.method() != Method::POST || !is_grpc {
            let status = if is_grpc { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::UNSUPPORTED_MEDIA_TYPE };
            return Answer::foreign(status, open);
        }
        let rpc = Rpc::parse(request.uri().path());
        let mut passage = Passage::default();
        // Watched as over HTTP: counted, captured, compared.
        let note = monitor::Note::new(id.to_str().unwrap_or("-"));
        let _in_flight = self.state.monitor().enter();
        // A panic ends one request, as over HTTP.
        let outcome = {
            let mut work = std::pin::pin!(monitor::scope(note.clone(), self.pass(rpc, request, &mut passage)));
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
                Ok(poll) => poll,
                Err(_) => Poll::Ready(Err(Refusal::internal("a request panicked"))),
            })
            .await
        };
        let (status, key_id) =
            (outcome.as_ref().map_or_else(|refusal| refusal.status, Response::status), passage.who());
        let id_text = id.to_str().unwrap_or("-");
        if let Err(Refusal { cause: Some(cause), .. }) = &outcome {
            tracing::error!(request_id = id_text, key_id, status = status.as_u16(), cause, "request failed");
        }
        let took = started.elapsed();
        if rpc.is_some_and(Rpc::is_counted) {
            self.state.load().answered(status.as_u16(), took);
        }
        let code = outcome.as_ref().err().map(|refusal| refusal.failure.code);
        let route = rpc.map_or(monitor::Route::Other, Rpc::route);
        self.state.monitor().finished(&note, route, status.as_u16(), code, took);
        let micros = took.as_micros() as u64;
        tracing::debug!(request_id = id_text, key_id, ?rpc, status = status.as_u16(), micros, "gRPC request");
        let mut response = match outcome {
            Ok(response) => Answer::success(response, open),
            Err(refusal) => Answer::refused(&refusal, open),
        };
        response.headers_mut().insert(REQUEST_ID, id);
        passage.write(response.headers_mut());
        response
    }

    /// The gate and what is behind it.
    async fn pass(
        &self,
        rpc: Option<Rpc>,
        mut request: Request<Body>,
        passage: &mut Passage,
    ) -> Result<Response, Refusal> {
        let now = tokio::time::Instant::now();
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = self.callers.check_host(authority, request.headers())?;
        self.callers.check_origin(host, request.headers())?;
        let mut admission = None;
        if !rpc.is_some_and(Rpc::is_probe) {
            let need = if rpc == Some(Rpc::ModelInfer) { Need::Predictions } else { Need::Metadata };
            admission = Some(gate::admit(&self.state, &mut request, need, now, passage)?);
        }
        let patience = self.state.config().request_timeout;
        let given = framing::timeout(request.headers())?;
        let deadline = gate::Deadline(now + given.map_or(patience, |given| given.min(patience)));
        let Some(rpc) = rpc else {
            let status = StatusCode::NOT_IMPLEMENTED;
            return Err(Refusal::new(status, Code::Unsupported, "there is no such method")
                .hint("the service is inference.GRPCInferenceService"));
        };
        methods::answer(&self.state, rpc, request, admission, deadline).await
    }
}

/// `application/grpc`, with the encoding of messages that is spoken here or none.
fn is_grpc(kind: &[u8]) -> bool {
    matches!(kind, b"application/grpc" | b"application/grpc+proto")
}

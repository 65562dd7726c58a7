//! Asking the endpoint from inside its own process: where its clients must have certificates, whoever runs it has none.

use axum::{
    body::{Body, to_bytes},
    http::{Request, header},
};
use tower::ServiceExt as _;

use crate::{
    error::ServeError,
    router::{State, router},
};

/// Largest answer that is taken.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Posts JSON to a path with a key, and returns status and body. All checks are made but the handshake's; it is counted
/// as any other request. Runs on the endpoint's own runtime, which does what a request leaves behind.
///
/// # Errors
/// If the path or the key cannot stand in a request, or the answer is too large.
pub async fn ask_inside(state: &State, path: &str, key: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), ServeError> {
    let failed = |err: &dyn std::fmt::Display| ServeError::Setting { name: "request", reason: err.to_string() };
    let request = Request::post(path)
        .header(header::HOST, state.config().bound.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|err| failed(&err))?;
    let answer = match router(state).oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await.map_err(|err| failed(&err))?;
    Ok((status, bytes.to_vec()))
}

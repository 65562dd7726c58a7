//! Reading a body within its limits, and what may be said about its type.

use std::{future::poll_fn, pin::Pin};

use athanor_protocol::{Code, Failure};
use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderName, StatusCode, header},
};

use crate::{
    config::ServeConfig,
    gate::Deadline,
    refusal::{Refusal, bad},
};

/// The length of the JSON before raw tensors.
pub(crate) const INFERENCE_HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

fn unsupported(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message)
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// JSON in UTF-8.
    Json,
    /// Bytes: JSON followed by raw tensors.
    Bytes,
}

/// [`kind_of`] for routes that read no compressed bodies.
pub(crate) fn body_kind(headers: &HeaderMap) -> Result<Option<BodyKind>, Refusal> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported("compressed bodies are not read").hint("send the body without 'Content-Encoding'"));
    }
    kind_of(headers)
}

/// Tells what a body is; `None` where nothing is said. Refuses everything outside of a short list, and never repeats
/// what the client wrote.
pub(crate) fn kind_of(headers: &HeaderMap) -> Result<Option<BodyKind>, Refusal> {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let hint = "send 'Content-Type: application/json'";
    if all.next().is_some() {
        return Err(unsupported("there is more than one 'Content-Type' header").hint(hint));
    }
    let text = value.to_str().map_err(|_| unsupported("the 'Content-Type' header is no text").hint(hint))?;
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let kind = if kind.eq_ignore_ascii_case("application/json") {
        BodyKind::Json
    } else if kind.eq_ignore_ascii_case("application/octet-stream") {
        BodyKind::Bytes
    } else {
        return Err(unsupported("bodies of this type are not read").hint(hint));
    };
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_utf8 = value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8");
        if kind == BodyKind::Json && name.trim().eq_ignore_ascii_case("charset") && is_utf8 {
            continue;
        }
        return Err(unsupported("only the parameter 'charset=utf-8' may follow the content type").hint(hint));
    }
    Ok(Some(kind))
}

/// The length of the JSON before raw tensors, as the client says.
pub(crate) fn inference_header_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let mut all = headers.get_all(INFERENCE_HEADER_LENGTH).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let length = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()) && all.next().is_none());
    match length.and_then(|text| text.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => Err(bad("the header 'Inference-Header-Content-Length' is no count of bytes").into()),
    }
}

/// Reads a whole body into one buffer, so that a million chunks cost no more memory than one.
pub(crate) async fn read_body(mut body: Body, config: &ServeConfig, deadline: Deadline) -> Result<Vec<u8>, Refusal> {
    let max = config.max_body_bytes;
    let too_large = || {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, format!("the body is larger than {max} bytes"))
            .hint("send fewer rows in one request")
            .close()
    };
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(too_large());
    }
    // Grows with what arrives: an announced length alone reserves nothing large.
    let mut bytes = Vec::with_capacity((announced as usize).min(64 << 10));
    let mut n_chunks = 0_usize;
    loop {
        let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let Ok(frame) = tokio::time::timeout_at(deadline.0, next).await else {
            return Err(
                Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::Timeout, "the body did not arrive in time").close()
            );
        };
        let Some(frame) = frame else { return Ok(bytes) };
        let Ok(frame) = frame else {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                Code::InvalidArgument,
                "the body broke off or is malformed",
            )
            .close());
        };
        let Some(data) = frame.data_ref() else { continue };
        if data.is_empty() {
            continue;
        }
        n_chunks += 1;
        if n_chunks > config.max_body_chunks {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::TooLarge,
                format!("the body comes in more than {} pieces", config.max_body_chunks),
            )
            .hint("send it with a 'Content-Length'")
            .close());
        }
        if data.len() > max - bytes.len() {
            return Err(too_large());
        }
        bytes.extend_from_slice(data);
        if n_chunks.is_multiple_of(1024) {
            tokio::task::yield_now().await;
        }
    }
}

/// Refuses JSON that is nested deeper than `max_depth`, before a parser recurses into it.
pub(crate) fn check_depth(json: &[u8], max_depth: usize) -> Result<(), Failure> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for &byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > max_depth {
                    return Err(bad(format!("the JSON is nested deeper than {max_depth} levels")));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What is wrong with a JSON body, in a line.
pub(crate) fn not_json(err: &serde_json::Error) -> Failure {
    let failure = bad(format!("the body can't be read: {}", crate::refusal::cut(&err.to_string(), 200)));
    if err.is_syntax() {
        failure.hint("it must be JSON; a missing value is null, and NaN and Infinity are no JSON")
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_text() {
        #[track_caller]
        fn check(json: &str, max: usize, ok: bool) {
            assert_eq!(check_depth(json.as_bytes(), max).is_ok(), ok, "{json}");
        }
        check("[[1]]", 2, true);
        check("[[[1]]]", 2, false);
        check(r#"{"a":[{"b":"[[[["}]}"#, 3, true);
        check(r#"["\"[[[["]"#, 1, true);
        check(r#"["\\",[[1]]]"#, 2, false);
        check("]]]]]]", 1, true);
    }
}

//! Messages in bodies: five bytes of prefix, then the message; the outcome comes in the trailers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use athanor_protocol::{Code, Failure};
use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use prost::Message;

use super::{GRPC, streams::Open};
use crate::refusal::{Refusal, bad, cut};

/// One byte that says whether the message is compressed, four with its length.
pub(super) const PREFIX_BYTES: usize = 5;
/// Longest message that goes into a header, before it is escaped: an escaped byte is three, and some clients stop reading
/// headers at eight kibibytes.
const MAX_MESSAGE_CHARS: usize = 600;

/// The one message of a body.
///
/// # Errors
/// If the body is anything else than exactly one message that is not compressed.
pub(super) fn one(body: &[u8]) -> Result<&[u8], Refusal> {
    let Some(([compressed, length @ ..], message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(bad("the request holds no message").into());
    };
    if *compressed != 0 {
        let status = StatusCode::NOT_IMPLEMENTED;
        return Err(Refusal::new(status, Code::Unsupported, "compressed messages are not read")
            .hint("send them without compression"));
    }
    if u32::from_be_bytes(*length) as usize != message.len() {
        let message = "the request holds another number of bytes than its one message announces";
        return Err(bad(message).into());
    }
    Ok(message)
}

/// A message with its prefix, as the body of an answer.
pub(super) fn message(message: &impl Message) -> Result<Response, Refusal> {
    let length = message.encoded_len();
    let Ok(announced) = u32::try_from(length) else {
        return Err(Failure::new(Code::TooLarge, "the answer is larger than a message may be")
            .hint("send fewer rows in one request")
            .into());
    };
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + length);
    bytes.push(0);
    bytes.extend_from_slice(&announced.to_be_bytes());
    message.encode(&mut bytes).map_err(|err| Refusal::internal(format!("an answer can't be written: {err}")))?;
    Ok(([(header::CONTENT_TYPE, GRPC)], bytes).into_response())
}

/// The time that a client gives, from its `grpc-timeout`.
///
/// # Errors
/// If it is no such time.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let n: u64 = digits.parse().ok()?;
        match unit {
            "H" => Some(Duration::from_secs(n * 3_600)),
            "M" => Some(Duration::from_secs(n * 60)),
            "S" => Some(Duration::from_secs(n)),
            "m" => Some(Duration::from_millis(n)),
            "u" => Some(Duration::from_micros(n)),
            "n" => Some(Duration::from_nanos(n)),
            _ => None,
        }
    });
    let hint = "write up to eight digits and a unit, for example 500m";
    parsed.map(Some).ok_or_else(|| bad("'grpc-timeout' is no time").hint(hint))
}

/// The table from our codes to those of gRPC.
pub(super) fn grpc_code(refusal: &Refusal) -> tonic::Code {
    match refusal.failure.code {
        // Where the client's message asks for it; elsewhere it is the method or the encoding that is not there.
        Code::Unsupported if refusal.status == StatusCode::UNPROCESSABLE_ENTITY => tonic::Code::InvalidArgument,
        Code::Unsupported => tonic::Code::Unimplemented,
        Code::InvalidArgument | Code::BadData => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::Conflict => tonic::Code::FailedPrecondition,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::PermissionDenied | Code::Untrusted => tonic::Code::PermissionDenied,
        Code::TooLarge | Code::Overloaded => tonic::Code::ResourceExhausted,
        Code::Timeout => tonic::Code::DeadlineExceeded,
        Code::Cancelled => tonic::Code::Cancelled,
        Code::Unavailable | Code::DiskFull | Code::OutOfMemory | Code::DeviceLost => tonic::Code::Unavailable,
        Code::Corrupt | Code::Internal => tonic::Code::Internal,
    }
}

/// The headers that say how a request ended.
fn outcome(refusal: &Refusal) -> HeaderMap {
    let mut text = cut(&refusal.failure.message, MAX_MESSAGE_CHARS);
    if let Some(hint) = &refusal.failure.hint {
        text = format!("{text}; {hint}");
    }
    let mut headers = HeaderMap::new();
    let status = tonic::Status::new(grpc_code(refusal), text);
    if status.add_header(&mut headers).is_err() {
        // Escaped text is always a header's value; should it not be, the code alone is said.
        headers.insert("grpc-status", HeaderValue::from(grpc_code(refusal) as i32));
    }
    if let Some(secs) = refusal.retry_after_secs {
        headers.insert("grpc-retry-pushback-ms", HeaderValue::from(u64::from(secs) * 1_000));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    headers
}

/// The body of an answer: a message and then the outcome, or nothing where the headers say the outcome.
pub(super) struct Answer {
    body: Body,
    trailers: Option<HeaderMap>,
    /// The stream is open as long as its answer is not read.
    _open: Open,
}

impl Answer {
    /// An answer with a message.
    pub(super) fn success(response: Response, open: Open) -> Response<Self> {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        response.map(|body| Self { body, trailers: Some(trailers), _open: open })
    }

    /// An answer without one.
    pub(super) fn refused(refusal: &Refusal, open: Open) -> Response<Self> {
        let mut response = Response::new(Self { body: Body::empty(), trailers: None, _open: open });
        *response.headers_mut() = outcome(refusal);
        response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
        response
    }

    /// An answer to what is not gRPC.
    pub(super) fn foreign(status: StatusCode, open: Open) -> Response<Self> {
        let mut response = Response::new(Self { body: Body::empty(), trailers: None, _open: open });
        *response.status_mut() = status;
        response
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_body_is_exactly_one_message() {
        #[track_caller]
        fn check(body: &[u8], expect: Result<&[u8], tonic::Code>) {
            assert_eq!(one(body).map_err(|refusal| grpc_code(&refusal)), expect, "{body:?}");
        }
        check(b"\0\0\0\0\0", Ok(b""));
        check(b"\0\0\0\0\x02ab", Ok(b"ab"));
        check(b"", Err(tonic::Code::InvalidArgument));
        check(b"\0\0\0\0", Err(tonic::Code::InvalidArgument));
        check(b"\0\0\0\0\x02a", Err(tonic::Code::InvalidArgument));
        check(b"\0\0\0\0\x01ab", Err(tonic::Code::InvalidArgument));
        check(b"\0\0\0\0\x01a\0\0\0\0\x01a", Err(tonic::Code::InvalidArgument));
        check(b"\0\xff\xff\xff\xffa", Err(tonic::Code::InvalidArgument));
        check(b"\x01\0\0\0\x01a", Err(tonic::Code::Unimplemented));
    }

    #[test]
    fn timeouts_are_read_strictly() {
        #[track_caller]
        fn check(text: &'static str, expect: Option<Duration>) {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            assert_eq!(timeout(&headers).ok().flatten(), expect, "{text:?}");
        }
        check("5S", Some(Duration::from_secs(5)));
        check("1H", Some(Duration::from_secs(3_600)));
        check("2M", Some(Duration::from_secs(120)));
        check("500m", Some(Duration::from_millis(500)));
        check("7u", Some(Duration::from_micros(7)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        check("0S", Some(Duration::ZERO));
        for text in ["", "S", "5", "5s", "-5S", "+5S", "5 S", "123456789S", "5.0S", "5SS"] {
            check(text, None);
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn every_code_of_ours_has_one_of_grpcs() {
        for code in Code::ALL {
            let refusal = Refusal::from(Failure::new(code, "é\nno <b>good</b>"));
            let headers = outcome(&refusal);
            assert_ne!(headers.get("grpc-status").unwrap(), "0", "{code:?}");
            assert_ne!(grpc_code(&refusal), tonic::Code::Unknown, "{code:?}");
            assert!(headers.get("grpc-message").unwrap().to_str().unwrap().starts_with("%C3%A9%0Ano"));
        }
    }
}

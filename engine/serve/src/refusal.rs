//! Answers that are no success: one type from every place, rendered once, in the dialect of the path.

use athanor_protocol::{Code, Failure};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Longest piece of a client's text that an answer repeats.
const MAX_ECHO_CHARS: usize = 80;
/// Longest message; parsers quote what they found, and that may be the whole body.
const MAX_MESSAGE_CHARS: usize = 600;

/// How an error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `{"error": text}`: Open Inference Protocol, KServe, TensorFlow Serving.
    Short,
    /// `{"error": text, "code": …, "subject"?, "hint"?, "request_id": …}`.
    Own,
    /// [`Shape::Own`] with `message` (Azure, MLflow) and `error_code` (MLflow).
    Platform,
}

/// A request's failure with its status. Travels as an extension of an empty response to the gate, which renders it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) failure: Failure,
    pub(crate) retry_after_secs: Option<u32>,
    /// What really happened, for the log alone.
    pub(crate) cause: Option<String>,
    /// Whether the rest of the connection can't be trusted or is not worth reading.
    pub(crate) close: bool,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, failure: Failure::new(code, message), retry_after_secs: None, cause: None, close: false }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }

    pub(crate) fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    pub(crate) fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// A fault of ours: the client learns that, the log learns why.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let mut refusal = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
            "the request failed because of a fault in the endpoint",
        )
        .hint("the endpoint's log says why under this request's id");
        refusal.cause = Some(cause.into());
        refusal
    }

    /// What a model says about rows: its complaints about data go to the client, everything else stays here.
    pub(crate) fn from_model(failure: Failure) -> Self {
        match failure.code {
            Code::InvalidArgument | Code::BadData | Code::TooLarge | Code::Unsupported => Self::from(failure),
            Code::Unavailable | Code::DeviceLost | Code::OutOfMemory | Code::Overloaded => {
                let mut refusal =
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the model can't answer right now")
                        .retry_after(5);
                refusal.cause = Some(failure.to_string());
                refusal
            }
            _ => Self::internal(failure.to_string()),
        }
    }

    /// The kind of error in MLflow's words.
    fn platform_code(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "RESOURCE_DOES_NOT_EXIST",
            429 => "REQUEST_LIMIT_EXCEEDED",
            503 | 504 => "TEMPORARILY_UNAVAILABLE",
            500.. => "INTERNAL_ERROR",
            _ => "BAD_REQUEST",
        }
    }

    /// The answer, in the shape of the contract that the address belongs to.
    pub(crate) fn render(&self, shape: Shape, request_id: &str) -> Response {
        #[derive(Serialize)]
        struct Short {
            error: String,
        }
        #[derive(Serialize)]
        struct Long<'a> {
            error: &'a str,
            code: Code,
            #[serde(skip_serializing_if = "Option::is_none")]
            subject: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error_code: Option<&'static str>,
        }
        let Failure { code, message, subject, hint } = &self.failure;
        let message = cut(message, MAX_MESSAGE_CHARS);
        let body = if shape == Shape::Short {
            let error = match hint {
                Some(hint) => format!("{message}; {hint}"),
                None => message,
            };
            serde_json::to_vec(&Short { error })
        } else {
            let (subject, hint) = (subject.as_deref(), hint.as_deref());
            let (said, error_code) = match shape {
                Shape::Platform => (Some(message.as_str()), Some(self.platform_code())),
                Shape::Short | Shape::Own => (None, None),
            };
            let error = &message;
            serde_json::to_vec(&Long { error, code: *code, subject, hint, request_id, message: said, error_code })
        };
        // Strings and a unit variant always become JSON.
        let body = body.unwrap_or_else(|_| b"{\"error\":\"the error could not be written\"}".to_vec());
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        // "Unsupported" is 501 elsewhere; here it is the client's body that asks for it.
        let status = match failure.code {
            Code::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
            code => StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        Self { status, failure, retry_after_secs: None, cause: None, close: false }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Text cut to a number of characters, with a mark where something is missing.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A client's own word in quotes, escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text, MAX_ECHO_CHARS))
}

/// A failure that the client's request deserves: 400.
pub(crate) fn bad(message: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidArgument, message)
}

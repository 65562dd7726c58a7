//! The page on which one tries a model: three files that are part of the program. It holds nothing of any model; what it
//! shows it asks for with the key that somebody types, which it keeps in its memory alone.

use athanor_protocol::Code;
use axum::{
    extract::State as Held,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{has, invocations::ready};
use crate::{config::Contract, refusal::Refusal, router::State};

/// Its own script and style, its own address, no frame around it, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

fn file(mime: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, mime),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, text).into_response()
}

pub(crate) async fn html() -> Response {
    file("text/html; charset=utf-8", include_str!("page/try.html"))
}

pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("page/try.js"))
}

pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("page/try.css"))
}

/// Whether a request asks for a page, as browsers do and probes do not.
pub(crate) fn is_browser(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains("text/html")))
}

/// `GET /`: the page for browsers, `Healthy` for Azure's probes.
pub(crate) async fn root(Held(state): Held<State>, headers: HeaderMap) -> Result<Response, Refusal> {
    if state.config().try_page && is_browser(&headers) {
        return Ok(html().await);
    }
    if has(state.config(), Contract::Azure) {
        // That platform has one probe for "it lives" and "it can be asked"; a model that is not there yet can't.
        ready(&state)?;
        return Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "Healthy").into_response());
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, "there is nothing at this address")
        .hint("see GET /v2 and GET /v1/models; browsers find a page here"))
}

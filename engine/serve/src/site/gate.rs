//! What every request to the page passes: id, host, origin, where the browser says it comes from. And what every answer
//! carries: the headers that keep the page to itself.

use std::time::Instant;

use athanor_protocol::Code;
use axum::{
    extract::{Request, State as Held},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::Site;
use crate::{
    auth::Peer,
    gate::{HSTS, REQUEST_ID},
    refusal::Refusal,
};

/// The page runs its own WebAssembly and nothing else, talks to its own origin and nobody else, and stands in no frame.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; object-src 'none'; base-uri 'none'; \
    form-action 'self'";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, "there is nothing at this address")
}

pub(super) fn no_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, "this address does not take that method")
}

/// The middleware around every route.
pub(super) async fn pass(Held(site): Held<Site>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = site.0.ids.of(request.headers());
    // As the endpoint does: behind an announced length and chunks at once nothing is believed.
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = match check(&site, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        if let Some(cause) = &refusal.cause {
            let request_id = id.to_str().unwrap_or("-");
            tracing::error!(request_id, status = refusal.status.as_u16(), cause, "request failed");
        }
        let (allow, cookie) =
            (response.headers().get(header::ALLOW).cloned(), response.headers().get(header::SET_COOKIE).cloned());
        response = render(&refusal);
        for (name, value) in [(header::ALLOW, allow), (header::SET_COOKIE, cookie)] {
            value.map(|value| response.headers_mut().insert(name, value));
        }
        if method == Method::HEAD {
            *response.body_mut() = axum::body::Body::empty();
        }
    }
    let micros = started.elapsed().as_micros() as u64;
    tracing::debug!(%method, path, status = response.status().as_u16(), micros, "page request");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if site.0.config.tls.is_some() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    // What may be kept says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_chunked {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn check(site: &Site, request: &Request) -> Result<(), Refusal> {
    if request.version() > Version::HTTP_11 || request.version() < Version::HTTP_10 {
        let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        return Err(Refusal::new(status, Code::Unsupported, "this page speaks HTTP/1.1"));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = site.0.callers.check_host(authority, request.headers())?;
    site.0.callers.check_origin(host, request.headers())?;
    if request.uri().path().starts_with("/api/") || !matches!(*request.method(), Method::GET | Method::HEAD) {
        check_fetch_site(request.headers())?;
    }
    Ok(())
}

/// Browsers say where a request comes from, also where they send no origin. `same-site` is another port of this host: as
/// foreign as any other.
fn check_fetch_site(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut all = headers.get_all(FETCH_SITE).iter();
    let foreign = all.any(|value| !matches!(value.as_bytes(), b"same-origin" | b"none"));
    if !foreign {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        Code::PermissionDenied,
        "the web page that sent this request may not call this engine",
    ))
}

/// An answer that is no success: the failure as the client of the page reads it.
fn render(refusal: &Refusal) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        err: &'a athanor_protocol::Failure,
    }
    let body = serde_json::to_vec(&Body { err: &refusal.failure }).unwrap_or_default();
    let mut response = (refusal.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    let headers = response.headers_mut();
    if let Some(secs) = refusal.retry_after_secs {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if refusal.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Who sent a request.
pub(super) fn peer(request: &Request) -> std::net::IpAddr {
    request.extensions().get::<Peer>().copied().unwrap_or_default().0
}

//! Logging in and out, and asking the engine.

use std::{sync::Arc, time::Instant};

use athanor_protocol::{
    Code, Failure,
    api::{DataList, Host, Reply, Request},
    registry::Scope,
};
use axum::{
    extract::State as Held,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::{Site, gate, sessions::Found};
use crate::{
    auth::{Grant, KeyRefusal},
    body::{BodyKind, body_kind, not_json, read_body},
    gate::Deadline,
    refusal::Refusal,
};

/// Largest body of a login.
const MAX_LOGIN_BYTES: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<T> {
    Ok(T),
    Err(Failure),
}

#[derive(Serialize)]
struct LoggedIn {
    may_change: bool,
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|err| Refusal::internal(format!("an answer could not be written: {err}")))
}

fn answer(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, Refusal> {
    let value = HeaderValue::from_str(cookie).map_err(|err| Refusal::internal(format!("a cookie: {err}")))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// Whether the browser came by TLS, which ends at a proxy in front of us. Browsers say so with every POST.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().to_ascii_lowercase().starts_with(b"https://"))
}

fn may_change(grant: &Grant) -> bool {
    grant.scopes.contains(&Scope::Admin)
}

/// Only JSON by name: a form of another page cannot send that.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    match body_kind(headers)? {
        Some(BodyKind::Json) => Ok(()),
        _ => Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, "the body must be JSON")
            .hint("send 'Content-Type: application/json'")),
    }
}

pub(super) fn logged_out() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "nobody is logged in, or the session is over")
        .hint("log in with an API key; 'athanor keys create --scope admin' makes one")
}

fn deadline(site: &Site) -> Deadline {
    Deadline(tokio::time::Instant::now() + site.0.wire.request_timeout)
}

/// The session of a request with what its key may do now.
pub(super) fn session(site: &Site, headers: &HeaderMap) -> Result<(Found, Grant), Refusal> {
    let found = site.0.sessions.find(headers, Instant::now()).ok_or_else(logged_out)?;
    match site.0.backend.still(&found.key_id) {
        Ok(grant) => Ok((found, grant)),
        Err(KeyRefusal::Unavailable) => Err(unavailable()),
        Err(_) => {
            site.0.sessions.end(&found.name);
            Err(logged_out())
        }
    }
}

fn unavailable() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, KeyRefusal::Unavailable.to_string()).retry_after(1)
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::Overloaded, "the engine works on as many requests as it may")
        .hint("try again after a second")
        .retry_after(1)
}

/// `POST /api/login`.
pub(super) async fn log_in(Held(site): Held<Site>, request: axum::extract::Request) -> Result<Response, Refusal> {
    let peer = gate::peer(&request);
    let (parts, body) = request.into_parts();
    check_type(&parts.headers)?;
    let mut limits = site.0.wire.clone();
    limits.max_body_bytes = MAX_LOGIN_BYTES;
    let body = read_body(body, &limits, deadline(&site)).await?;
    let LogIn { key } = serde_json::from_slice(&body).map_err(|err| Refusal::from(not_json(&err)))?;
    let now = Instant::now();
    if !site.0.throttle.may_try(peer, &key, now) {
        let message = "too many wrong keys came from this address";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::Overloaded, message)
            .hint("wait a few seconds")
            .retry_after(1));
    }
    let backend = Arc::clone(&site.0.backend);
    let checked = tokio::task::spawn_blocking(move || backend.log_in(&key).map_err(|refusal| (refusal, key)));
    let checked = checked.await.map_err(|err| Refusal::internal(format!("a login broke down: {err}")))?;
    let grant = checked.map_err(|(refusal, key)| {
        if refusal == KeyRefusal::Unavailable {
            return unavailable();
        }
        site.0.throttle.failed(peer, &key, now);
        Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, refusal.to_string())
            .hint("paste the whole key, as it was shown when it was made")
    })?;
    if let Some(before) = site.0.sessions.find(&parts.headers, now) {
        site.0.sessions.end(&before.name);
    }
    let random = |buffer: &mut [u8]| site.0.backend.secret(buffer);
    let login = site.0.backend.login_name(&grant);
    let cookie = site.0.sessions.begin(&login, random, is_secure(&parts.headers), now);
    let cookie = cookie.map_err(|err| Refusal::internal(format!("no randomness for a session: {err}")))?;
    tracing::info!(key_id = grant.key_id, "logged in");
    with_cookie(answer(json(&Outcome::Ok(LoggedIn { may_change: may_change(&grant) }))?), &cookie)
}

/// `POST /api/logout`; also for whoever is logged out already.
pub(super) async fn log_out(Held(site): Held<Site>, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(found) = site.0.sessions.find(&headers, Instant::now()) {
        site.0.sessions.end(&found.name);
    }
    #[derive(Serialize)]
    struct Nothing {}
    with_cookie(answer(json(&Outcome::Ok(Nothing {}))?), &site.0.sessions.unset_cookie(is_secure(&headers)))
}

/// `POST /api/call`.
pub(super) async fn call(Held(site): Held<Site>, request: axum::extract::Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    check_type(&parts.headers)?;
    let (_, grant) = session(&site, &parts.headers)?;
    let place = Arc::clone(&site.0.calls).try_acquire_owned().map_err(|_| busy())?;
    let held = reserve(&site, &parts.headers)?;
    let body = read_body(body, &site.0.wire, deadline(&site)).await?;
    let backend = site.clone();
    // The places are held by the thread, which outlives a client that goes away.
    let work = move || {
        let outcome = ask(&backend, &body, &grant);
        drop((body, held));
        let written = serde_json::to_vec(&outcome);
        drop(place);
        written
    };
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|err| Refusal::internal(format!("a request broke down: {err}")))?;
    let body = done.map_err(|err| Refusal::internal(format!("an answer could not be written: {err}")))?;
    Ok(answer(body))
}

/// Keeps room for a body before the first byte of it is read.
fn reserve(site: &Site, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let bytes = announced.unwrap_or(site.0.config.max_body_bytes).min(site.0.config.max_body_bytes);
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    Arc::clone(&site.0.held).try_acquire_many_owned(kib).map_err(|_| busy())
}

fn ask(site: &Site, body: &[u8], caller: &Grant) -> Outcome<Reply> {
    let answered = serde_json::from_slice(body)
        .map_err(|err| {
            let failure = not_json(&err);
            failure.hint("the page and the engine may be of different versions: load the page again")
        })
        .and_then(|request| permitted(site, request, caller));
    match answered {
        Ok(reply) => Outcome::Ok(reply),
        Err(failure) => Outcome::Err(failure),
    }
}

/// Answers what this caller may ask.
fn permitted(site: &Site, request: Request, caller: &Grant) -> Result<Reply, Failure> {
    let may_change = may_change(caller);
    if !may_change {
        may_look(site, &request, caller)?;
    }
    let mut reply = site.0.backend.handle(request, caller)?;
    if let Reply::Hello(hello) = &mut reply {
        hello.host = Host::Browser;
        hello.may_change = may_change;
        if !may_change {
            // Where else on that machine there are workspaces is nobody's business who may only look at this one.
            hello.recent.clear();
        }
    }
    Ok(reply)
}

fn may_look(site: &Site, request: &Request, caller: &Grant) -> Result<(), Failure> {
    let denied = |message: String| {
        Err(Failure::new(Code::PermissionDenied, message).hint("log in with a key that has the scope 'admin'"))
    };
    if !caller.scopes.contains(&Scope::Predict) {
        return denied("the key may not look at this workspace".to_owned());
    }
    if !request.is_reading() {
        return denied(format!("the key may look but not change anything ({})", request.method()));
    }
    let Some(path) = request.table_path() else { return Ok(()) };
    // Any file of the machine could be read as a table.
    match site.0.backend.handle(DataList {}.into(), caller)? {
        Reply::DataList(list) if list.items.iter().any(|entry| entry.path == path) => Ok(()),
        _ => denied("the key may look at the workspace's tables only".to_owned()),
    }
}

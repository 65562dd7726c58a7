//! What every request passes, in this order: id, host, origin, method, key, admission. Deny by default: a route that
//! nobody thought of asks for a key too.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use athanor_protocol::{Code, registry::Scope};
use axum::{
    extract::{Request, State as Held},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    auth::{self, Grant, Need, Peer},
    config::{Access, ServeConfig},
    contracts,
    error::ServeError,
    limits::{Meter, Moment, Rate},
    monitor,
    refusal::Refusal,
    router::State,
    tls::ClientCertificate,
};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 100;
/// Who asks where the platform in front has authenticated everybody.
const PLATFORM: &str = "platform";
/// Any host.
const ANY_HOST: &str = "*";
/// Said with every answer over TLS: a browser never comes to this host without it again, for a year.
pub(crate) const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// A place in the house, held while a request is worked on (also by a thread that outlives its client).
#[derive(Clone)]
pub(crate) struct Admission {
    permit: Arc<OwnedSemaphorePermit>,
    meter: Meter,
}

impl Admission {
    /// The same place, not held: who waits in a line must not keep others out once their client has gone.
    pub(crate) fn unheld(&self) -> Weak<OwnedSemaphorePermit> {
        Arc::downgrade(&self.permit)
    }

    /// Lets so many rows of the request in, as far as its key's limits go.
    pub(crate) fn rows(&self, n_rows: usize) -> Result<(), Refusal> {
        self.meter.rows(n_rows)
    }
}

/// What is learnt of a request on its way through the gate.
#[derive(Default)]
pub(crate) struct Passage {
    key_id: Option<String>,
    /// A client's certificate, where it is asked for one.
    certificate: Option<ClientCertificate>,
    rate: Option<Rate>,
}

impl Passage {
    /// Who asks, for the log: the key, or the certificate where there is no key.
    pub(crate) fn who(&self) -> Option<&str> {
        self.key_id.as_deref().or_else(|| self.certificate.as_ref().map(|certificate| &**certificate.id()))
    }

    /// Says in an answer what the key has left.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(rate) = self.rate {
            rate.write(headers);
        }
    }
}

/// When a request must be answered.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(pub(crate) tokio::time::Instant);

/// The request's id, for whoever decides or counts by it.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// How long a client gives its request, in milliseconds; never more than the endpoint does.
const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// Time for a request: the endpoint's, or less where the client says so.
fn patience(headers: &HeaderMap, most: Duration) -> Result<Duration, Refusal> {
    let mut all = headers.get_all(TIMEOUT).iter();
    let Some(value) = all.next() else { return Ok(most) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let millis = text.filter(|_| all.next().is_none()).map(|text| text.parse().unwrap_or(u64::MAX));
    match millis {
        Some(millis) if millis > 0 => Ok(most.min(Duration::from_millis(millis))),
        _ => {
            let message = "the header 'x-request-timeout-ms' is no number of milliseconds from 1";
            Err(Refusal::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message))
        }
    }
}

/// Hosts and origins that may call.
pub(crate) struct Callers {
    hosts: Vec<(String, Option<u16>)>,
    is_any: bool,
    origins: Vec<String>,
    port: u16,
}

impl Callers {
    pub(crate) fn new(bound: SocketAddr, hosts: &[String], origins: &[String]) -> Result<Self, ServeError> {
        let hosts = hosts
            .iter()
            .filter(|text| *text != ANY_HOST)
            .map(|text| {
                split_host(text).ok_or_else(|| ServeError::Setting {
                    name: "allowed_hosts",
                    reason: format!("{text:?} is no host name with or without a port"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let origins = origins
            .iter()
            .map(|text| {
                let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
                match host.and_then(split_host) {
                    Some(_) => Ok(text.to_ascii_lowercase()),
                    None => Err(ServeError::Setting {
                        name: "allowed_origins",
                        reason: format!("{text:?} is no origin such as https://tool.example"),
                    }),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hosts, is_any: false, origins, port: bound.port() })
    }

    /// Takes `*` among the allowed hosts at its word, which only an endpoint without keys of its own may have.
    pub(crate) fn any_host(mut self, config: &ServeConfig) -> Result<Self, ServeError> {
        self.is_any = config.allowed_hosts.iter().any(|text| text == ANY_HOST);
        if self.is_any && config.access != Access::Platform {
            let reason = "\"*\" is only for an endpoint that a platform stands in front of".to_owned();
            return Err(ServeError::Setting { name: "allowed_hosts", reason });
        }
        Ok(self)
    }

    fn allows_host(&self, text: &str) -> bool {
        if self.is_any {
            return true;
        }
        let Some((host, port)) = split_host(text) else {
            return false;
        };
        self.hosts.iter().any(|(allowed, allowed_port)| {
            *allowed == host
                && match (allowed_port, port) {
                    // Without a port a client means the one that its scheme has.
                    (allowed, None) => matches!(allowed, None | Some(80 | 443)),
                    (Some(allowed), Some(port)) => *allowed == port,
                    (None, Some(port)) => port == self.port,
                }
        })
    }

    /// The host of a request, checked. The target's authority (absolute form) counts as much as the header.
    pub(crate) fn check_host<'a>(
        &self,
        request_uri: Option<&'a str>,
        headers: &'a HeaderMap,
    ) -> Result<Option<&'a str>, Refusal> {
        let malformed = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message).close();
        let mut all = headers.get_all(header::HOST).iter();
        let value = all.next();
        if all.next().is_some() {
            return Err(malformed("there is more than one 'Host' header"));
        }
        let host = match value {
            Some(value) => Some(value.to_str().map_err(|_| malformed("the 'Host' header is no host name"))?),
            None => None,
        };
        if host.is_none() && request_uri.is_none() {
            return Err(malformed("the 'Host' header is missing"));
        }
        if [host, request_uri].into_iter().flatten().all(|text| self.allows_host(text)) {
            return Ok(host.or(request_uri));
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            Code::PermissionDenied,
            "the 'Host' header names a host that this endpoint does not answer for",
        )
        .hint("add the name to the allowed hosts of the endpoint")
        .close())
    }

    /// The origin of a web page, checked; `Some` where it is a foreign one that is allowed.
    pub(crate) fn check_origin<'a>(
        &self,
        host: Option<&str>,
        headers: &'a HeaderMap,
    ) -> Result<Option<&'a HeaderValue>, Refusal> {
        let mut all = headers.get_all(header::ORIGIN).iter();
        let Some(value) = all.next() else { return Ok(None) };
        let refused = || {
            Refusal::new(
                StatusCode::FORBIDDEN,
                Code::PermissionDenied,
                "the web page that sent this request may not call this endpoint",
            )
            .hint("add its origin to the allowed origins of the endpoint")
        };
        if all.next().is_some() {
            return Err(refused());
        }
        let origin = value.to_str().map_err(|_| refused())?.to_ascii_lowercase();
        if self.origins.contains(&origin) {
            return Ok(Some(value));
        }
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host.as_str());
        // Where any host may be named, a page that had its own name point here would pass for ours.
        if own && !host.is_empty() && !self.is_any { Ok(None) } else { Err(refused()) }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`, lower-cased.
fn split_host(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (format!("[{}]", inside.to_ascii_lowercase()), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
                return None;
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port {
        // "+80" would parse as a number.
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    Some((host, port))
}

/// Makes request ids: unlikely to repeat over restarts, cheap, without meaning.
pub(crate) struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        use std::hash::BuildHasher;
        let prefix = std::hash::RandomState::new().hash_one(std::process::id());
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// The client's id where it is short and plain, ours otherwise.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let given = headers.get(REQUEST_ID).filter(|value| {
            let bytes = value.as_bytes();
            !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID_BYTES && bytes.iter().all(plain)
        });
        if let Some(value) = given {
            return value.clone();
        }
        let id = format!("{:08x}-{:x}", self.prefix >> 32, self.next.fetch_add(1, Ordering::Relaxed));
        // Hexadecimal digits and a hyphen are always a header's value.
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// The middleware around every route.
pub(crate) async fn pass(Held(state): Held<State>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = state.ids().of(request.headers());
    let id_text = id.to_str().unwrap_or("-").to_owned();
    request.extensions_mut().insert(RequestId(Arc::from(id_text.as_str())));
    let shape = contracts::shape(request.uri().path());
    let counts = is_counted(&state, request.method(), request.uri().path());
    // Whoever sends both a length and chunks wants us to disagree with a proxy about where the request ends; the parser
    // follows the chunks, and closing the connection leaves nothing behind them to be taken for another request.
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let method = request.method().clone();
    let note = monitor::Note::new(&id_text);
    let route = monitor::Route::of(request.uri().path(), state.config());
    let _in_flight = state.monitor().enter();
    let place = state.monitor().spans.begin(request.headers());
    let mut code = None;
    let mut foreign = None;
    let mut passage = Passage::default();
    let mut response = match check(&state, &mut request, &mut foreign, &mut passage) {
        Ok(Passed::Preflight) => StatusCode::NO_CONTENT.into_response(),
        Ok(Passed::Route) => monitor::scope(note.clone(), next.run(request)).await,
        Err(refusal) => refusal.into_response(),
    };
    let key_id = passage.who();
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        if let Some(cause) = &refusal.cause {
            tracing::error!(request_id = %id_text, key_id, status = refusal.status.as_u16(), cause, "request failed");
        }
        code = Some(refusal.failure.code);
        let allow = response.headers().get(header::ALLOW).cloned();
        response = refusal.render(shape, &id_text);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if method == Method::HEAD {
            *response.body_mut() = axum::body::Body::empty();
        }
    }
    let status = response.status().as_u16();
    let took = started.elapsed();
    if counts {
        state.load().answered(status, took);
    }
    state.monitor().finished(&note, route, status, code, took);
    let micros = took.as_micros() as u64;
    tracing::debug!(request_id = %id_text, key_id, %method, status, micros, "request");
    let headers = response.headers_mut();
    if let Some(place) = place {
        headers.extend(place.header().map(|value| (monitor::TRACEPARENT, value)));
        state.monitor().spans.end(place, took, |bare| monitor::Span {
            route: route.as_str(),
            method: method.to_string(),
            status,
            model: note.reached(),
            request_id: id_text,
            ..bare
        });
    }
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if state.config().tls.is_some() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    passage.write(headers);
    if is_chunked {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(origin) = foreign {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let shown = "retry-after, x-athanor-version, x-request-id";
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(shown));
        if method == Method::OPTIONS {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
            let allowed = "authorization, content-type, inference-header-content-length, x-athanor-alias, \
                           x-request-id, x-request-timeout-ms";
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        }
    }
    response
}

/// Whether a request is one of those that the endpoint is there for: predictions and what models take.
fn is_counted(state: &State, method: &Method, path: &str) -> bool {
    let is_ours = path.starts_with("/v1/models") || path.starts_with("/v2/models") || path == "/v2";
    method != Method::OPTIONS && (is_ours || contracts::is_counted(state.config(), path))
}

enum Passed {
    /// A browser asks whether an allowed page may call.
    Preflight,
    /// On to the route.
    Route,
}

/// Checks the key of a request, or the certificate that stands for one, and gives the request a place.
pub(crate) fn admit<B>(
    state: &State,
    request: &mut axum::http::Request<B>,
    need: Need,
    now: tokio::time::Instant,
    passage: &mut Passage,
) -> Result<Admission, Refusal> {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    passage.certificate = request.extensions().get::<ClientCertificate>().cloned();
    let grant = match &passage.certificate {
        _ if state.config().access == Access::Platform => {
            Grant { key_id: PLATFORM.to_owned(), scopes: vec![Scope::Predict, Scope::Read] }
        }
        Some(certificate) if state.is_key(request.headers()) => {
            Grant { key_id: certificate.id().to_string(), scopes: vec![Scope::Predict] }
        }
        _ => auth::authorize(state.keys(), state.throttle(), peer.0, request.headers(), need, now.into_std())?,
    };
    let key_id: Arc<str> = Arc::from(grant.key_id.as_str());
    passage.key_id = Some(grant.key_id);
    let Ok(permit) = state.admission().clone().try_acquire_owned() else {
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            Code::Overloaded,
            "the endpoint is working on as many requests as it may",
        )
        .hint("try again after a second")
        .retry_after(1));
    };
    let (rate, let_in) = state.limiter().request(state.keys(), &key_id, Moment::at(now.into_std()));
    passage.rate = rate;
    let_in?;
    Ok(Admission { permit: Arc::new(permit), meter: state.meter(key_id) })
}

fn check(
    state: &State,
    request: &mut Request,
    foreign: &mut Option<HeaderValue>,
    passage: &mut Passage,
) -> Result<Passed, Refusal> {
    let now = tokio::time::Instant::now();
    if request.version() > Version::HTTP_11 || request.version() < Version::HTTP_10 {
        return Err(Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Code::Unsupported,
            "this endpoint speaks HTTP/1.1",
        ));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = state.callers().check_host(authority, request.headers())?;
    *foreign = state.callers().check_origin(host, request.headers())?.cloned();
    let method = request.method();
    if method == Method::OPTIONS && foreign.is_some() {
        return Ok(Passed::Preflight);
    }
    let path = request.uri().path();
    let is_open = matches!(path, "/v2/health/live" | "/v2/health/ready")
        || contracts::is_open(state.config(), path, request.headers());
    let is_probe = is_open && (method == Method::GET || method == Method::HEAD);
    if !is_probe {
        let need = Need::of(method, path);
        let admission = admit(state, request, need, now, passage)?;
        request.extensions_mut().insert(admission);
    }
    let patience = patience(request.headers(), state.config().request_timeout)?;
    request.extensions_mut().insert(Deadline(now + patience));
    Ok(Passed::Route)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_are_split_strictly() {
        #[track_caller]
        fn check(text: &str, expect: Option<(&str, Option<u16>)>) {
            assert_eq!(split_host(text), expect.map(|(host, port)| (host.to_owned(), port)), "{text:?}");
        }
        check("localhost", Some(("localhost", None)));
        check("LocalHost:80", Some(("localhost", Some(80))));
        check("[::1]", Some(("[::1]", None)));
        check("[::1]:8080", Some(("[::1]", Some(8080))));
        check("", None);
        check(":80", None);
        check("localhost:", None);
        check("localhost:+80", None);
        check("localhost:99999", None);
        check("a b", None);
        check("user@localhost", None);
        check("localhost/x", None);
        check("::1", None);
        check("[::1", None);
        check("[::1]x", None);
        check("[localhost]", None);
    }

    #[test]
    fn ports_are_matched_to_the_bound_one() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 8080));
        let hosts = ["localhost".to_owned(), "models.example:443".to_owned()];
        let callers = Callers::new(bound, &hosts, &[]).unwrap();
        for (text, expect) in [
            ("localhost", true),
            ("localhost:8080", true),
            ("localhost:8081", false),
            ("localhost.", false),
            ("models.example:443", true),
            ("models.example:8080", false),
            ("evil.example", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(callers.allows_host(text), expect, "{text}");
        }
    }

    #[test]
    fn malformed_settings_are_named() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 8080));
        let err = Callers::new(bound, &["a b".to_owned()], &[]).err().unwrap();
        assert_eq!(
            err.to_string(),
            "the setting \"allowed_hosts\" can't be used: \"a b\" is no host name with or without a port"
        );
        assert!(Callers::new(bound, &[], &["*".to_owned()]).is_err());
        assert!(Callers::new(bound, &[], &["null".to_owned()]).is_err());
        assert!(Callers::new(bound, &[], &["https://tool.example".to_owned()]).is_ok());
    }
}

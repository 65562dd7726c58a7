//! The user interface for browsers: its files, a login, and the engine behind it.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /`, `GET /NAME` | the page and its files, from a list made at start |
//! | `POST /api/login` | `{"key":"ath_…"}`; sets the session's cookie |
//! | `POST /api/logout` | ends the session |
//! | `POST /api/call` | a [`Request`] as JSON; `{"ok":…}` or `{"err":…}` |
//! | `GET /api/events` | server-sent events: the data is an [`EventEnvelope`], the id its number |
//!
//! **Architecture Invariant:** knows no engine: a [`SiteBackend`] and a list of files are all that it is given.
//!
//! **Architecture Invariant:** text of a request never becomes a path; it is looked up in the list of files as it is.
//!
//! **Architecture Invariant:** host, origin and the browser's word on where a request comes from are checked on every
//! verb, before a key or a cookie is looked at. A cookie is worth nothing to a page of another origin.

mod assets;
mod call;
mod events;
mod gate;
mod sessions;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use athanor_protocol::{
    Failure,
    api::{EventEnvelope, MAX_REQUEST_BYTES, Reply, Request},
};
use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

pub use self::assets::{Asset, Assets};
use self::{events::Channel, sessions::Sessions};
use crate::{
    auth::{Grant, KeyRefusal, Throttle},
    config::ServeConfig,
    error::ServeError,
    gate::{Callers, RequestIds},
    refusal::Refusal,
    server::{self, Speech},
    tls::Tls,
};

/// What answers behind the page.
pub trait SiteBackend: Send + Sync + 'static {
    /// Checks a key at login; as [`Keys::check`](crate::Keys::check), it may take a few milliseconds.
    ///
    /// # Errors
    /// Why the key is refused.
    fn log_in(&self, key: &str) -> Result<Grant, KeyRefusal>;

    /// What a login is called from now on, for [`Self::still`]: the key's id, or more, where a key that has another secret
    /// is another one.
    fn login_name(&self, grant: &Grant) -> String {
        grant.key_id.clone()
    }

    /// What a key that logged in before may do now, by the name of its login: asked with every request of its session and once a second while it
    /// listens, so that a revoked key's sessions end.
    ///
    /// # Errors
    /// Why the key is refused.
    fn still(&self, login: &str) -> Result<Grant, KeyRefusal>;

    /// Answers a request of somebody whose key was checked and who may ask this; may block.
    ///
    /// # Errors
    /// What went wrong, for the user.
    fn handle(&self, request: Request, caller: &Grant) -> Result<Reply, Failure>;

    /// Events from now on.
    fn events(&self) -> Box<dyn SiteEvents>;

    /// Fills a buffer with random bytes fit for secrets.
    ///
    /// # Errors
    /// If the system has none to give.
    fn secret(&self, buffer: &mut [u8]) -> io::Result<()>;
}

/// Where events come from.
pub trait SiteEvents: Send {
    /// Waits for events, at most this long; takes all that are there, in order.
    fn wait(&mut self, at_most: Duration) -> Vec<EventEnvelope>;
}

/// Settings of a page, all with safe values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SiteConfig {
    /// The address that the page is bound to.
    pub bound: SocketAddr,
    /// Names that the `Host` header may have, besides the bound address and the names of the loopback interface.
    pub allowed_hosts: Vec<String>,
    /// Transport security; without it the page is sent in the clear.
    pub tls: Option<Tls>,
    /// How long a login lasts.
    pub session_time: Duration,
    /// Largest request.
    pub max_body_bytes: usize,
    /// Most bytes of requests that are held at once.
    pub max_held_bytes: usize,
    /// Most requests that are worked on at once.
    pub max_calls: usize,
    /// Most pages that listen at once.
    pub max_listeners: usize,
    /// Wrong keys that one peer may send in a row; afterwards one each second.
    pub max_failed_attempts: u32,
    /// Between two signs of life on a stream without events.
    pub heartbeat: Duration,
}

impl SiteConfig {
    /// Safe settings: twelve hours, requests as large as the protocol has them, 32 at once, 64 listeners.
    pub fn new(bound: SocketAddr) -> Self {
        Self {
            bound,
            allowed_hosts: vec![],
            tls: None,
            session_time: Duration::from_secs(12 * 3600),
            max_body_bytes: MAX_REQUEST_BYTES,
            max_held_bytes: 2 * MAX_REQUEST_BYTES,
            max_calls: 32,
            max_listeners: 64,
            max_failed_attempts: 5,
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// A page with its sessions. Clones are the same page.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    config: SiteConfig,
    /// The endpoint's kind of settings, for what both share: connections, bodies, hosts.
    wire: ServeConfig,
    backend: Arc<dyn SiteBackend>,
    assets: Assets,
    callers: Callers,
    throttle: Throttle,
    ids: RequestIds,
    sessions: Sessions,
    channel: Channel,
    calls: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    /// A permit is a KiB of requests.
    held: Arc<Semaphore>,
    /// Told when the page goes away: streams end.
    closing: watch::Sender<bool>,
}

impl Site {
    /// Puts a page together and begins to listen for events.
    ///
    /// # Errors
    /// If a setting is malformed, or no thread can be had for events.
    pub fn new(config: SiteConfig, backend: Arc<dyn SiteBackend>, assets: Assets) -> Result<Self, ServeError> {
        let mut wire = ServeConfig::new(config.bound);
        wire.allowed_hosts.extend(config.allowed_hosts.iter().cloned());
        wire.max_body_bytes = config.max_body_bytes;
        wire.tls.clone_from(&config.tls);
        // A large table on a slow line takes its time; who sends nothing at all is cut off by the same limit.
        wire.request_timeout = Duration::from_secs(300);
        // A browser keeps some connections without asking anything; more than these is no browser.
        wire.max_connections = 512;
        for (name, limit) in [
            ("max_body_bytes", config.max_body_bytes),
            ("max_held_bytes", config.max_held_bytes),
            ("max_calls", config.max_calls),
            ("max_listeners", config.max_listeners),
        ] {
            if limit == 0 || limit > u32::MAX as usize {
                return Err(ServeError::Setting { name, reason: format!("{limit} is out of range") });
            }
        }
        if config.max_held_bytes < config.max_body_bytes {
            let reason = "it is less than one request may have".to_owned();
            return Err(ServeError::Setting { name: "max_held_bytes", reason });
        }
        let callers = Callers::new(wire.bound, &wire.allowed_hosts, &[])?;
        let channel = Channel::new(backend.events()).map_err(ServeError::Threads)?;
        Ok(Self(Arc::new(Inner {
            callers,
            channel,
            throttle: Throttle::new(config.max_failed_attempts),
            ids: RequestIds::new(),
            sessions: Sessions::new(config.bound.port(), config.session_time),
            calls: Arc::new(Semaphore::new(config.max_calls)),
            listeners: Arc::new(Semaphore::new(config.max_listeners)),
            held: Arc::new(Semaphore::new(config.max_held_bytes.div_ceil(1024))),
            closing: watch::channel(false).0,
            wire,
            backend,
            assets,
            config,
        })))
    }

    /// Ends all streams; requests under way are answered.
    fn close(&self) {
        self.0.closing.send_replace(true);
    }
}

async fn no_route() -> Refusal {
    gate::not_found()
}

async fn no_method() -> Refusal {
    gate::no_method()
}

/// The page without a socket, for tests and for embedding.
pub fn site_router(site: &Site) -> Router {
    Router::new()
        .route("/api/login", post(call::log_in))
        .route("/api/logout", post(call::log_out))
        .route("/api/call", post(call::call))
        .route("/api/events", get(events::listen))
        .route("/api/{*rest}", get(no_route).post(no_route))
        .fallback(get(assets::file))
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse;
            Refusal::internal("a request panicked").into_response()
        }))
        .layer(middleware::from_fn_with_state(site.clone(), gate::pass))
        .with_state(site.clone())
}

/// Answers browsers on a bound socket until `shutdown` is there; then streams end, and requests under way have some time.
///
/// # Errors
/// If the socket can't be used. Failures of single connections end these alone.
pub async fn serve_site(
    listener: TcpListener,
    site: &Site,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    server::answer(listener, Speech::Http1(site_router(site)), &site.0.wire, || site.close(), shutdown).await
}

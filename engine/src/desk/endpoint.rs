//! The endpoint of this process: started and stopped from a window, on threads of its own.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use athanor_protocol::{
    Code, Failure,
    api::{
        EndpointGet, EndpointLoad, EndpointSeries, EndpointStart, EndpointStatus, EndpointStop, EndpointTry, Event,
        ServedModel, TryAnswer,
    },
    names::check_model_name,
    registry::PRODUCTION,
    rollout::Rollout,
};
use athanor_serve::{ServeConfig, State};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Desk, endpoint_options as options, rollout};
use crate::{
    EngineError,
    identity::Identity,
    serving::Endpoint,
    transport::{TlsFiles, Transport},
    workspace::Workspace,
};

/// Longest that an answer of our own endpoint is waited for: longer than it gives itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The endpoint, where it runs.
#[derive(Default)]
pub(super) struct Endpoints {
    /// Starting and stopping take turns; looking does not wait for them.
    turn: Mutex<()>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    running: Option<Running>,
    /// Why the last one ended by itself.
    problem: Option<String>,
}

struct Running {
    bound: SocketAddr,
    since_millis: i64,
    endpoint: Arc<Endpoint>,
    state: State,
    workspace: Arc<Workspace>,
    extras: Extras,
    /// Where it does its work.
    runtime: tokio::runtime::Handle,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// What it has besides its socket for HTTP.
struct Extras {
    grpc: Option<SocketAddr>,
    tls: Option<Arc<TlsFiles>>,
    identity: Option<Arc<Identity>>,
}

impl Extras {
    fn of(transport: &Transport) -> Self {
        Self {
            grpc: transport.grpc.as_ref().and_then(|socket| socket.local_addr().ok()),
            tls: transport.tls.clone(),
            identity: transport.identity.clone(),
        }
    }
}

/// Where and how an endpoint is to be served.
pub struct EndpointSetup {
    /// The socket.
    pub listener: TcpListener,
    /// Limits, hosts and origins.
    pub config: ServeConfig,
    /// The device by name.
    pub device: String,
    /// The collector that a span of each request is sent to.
    pub traces: Option<String>,
    /// What it has besides.
    pub transport: Transport,
}

impl Endpoints {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url(bound: SocketAddr, has_tls: bool) -> String {
    format!("{}://{bound}", if has_tls { "https" } else { "http" })
}

impl Running {
    fn has_tls(&self) -> bool {
        self.state.config().tls.is_some()
    }

    fn url(&self) -> String {
        url(self.bound, self.has_tls())
    }
}

pub(super) fn endpoint_get(desk: &Arc<Desk>, _: EndpointGet) -> Result<EndpointStatus, Failure> {
    let (status, is_running) = {
        let now = desk.endpoint.now();
        match &now.running {
            Some(running) => {
                let Extras { grpc, tls, identity } = &running.extras;
                let status = EndpointStatus {
                    url: Some(running.url()),
                    since_millis: Some(running.since_millis),
                    grpc: grpc.map(|grpc| grpc.to_string()),
                    tls: tls.as_ref().map(|tls| tls.status(&running.workspace)),
                    token_issuer: identity.as_ref().map(|identity| identity.issuer().to_owned()),
                    models: running.endpoint.served(),
                    problem: None,
                };
                (status, true)
            }
            None => (EndpointStatus { problem: now.problem.clone(), ..EndpointStatus::default() }, false),
        }
    };
    if is_running {
        return Ok(status);
    }
    // What it would serve; nothing where no workspace is open.
    let Ok(workspace) = desk.workspace() else { return Ok(status) };
    let aliased = workspace.store.aliased(PRODUCTION).map_err(EngineError::from)?;
    let models = aliased.into_iter().map(|version| ServedModel {
        model: version.model,
        version: version.version,
        signature: version.signature,
        example: BTreeMap::new(),
    });
    Ok(EndpointStatus { models: models.collect(), ..status })
}

pub(super) fn endpoint_start(desk: &Arc<Desk>, ask: EndpointStart) -> Result<EndpointStatus, Failure> {
    // Before the socket: a port must not be taken for nothing.
    let workspace = desk.workspace()?;
    let _turn = desk.endpoint.turn();
    if let Some(running) = &desk.endpoint.now().running {
        return Err(Failure::new(Code::Conflict, format!("the endpoint runs already at {}", running.url()))
            .hint("stop it first to start it on another port"));
    }
    // So is what can be told without it.
    options::check(&ask.options)?;
    let identity = options::identity(&workspace, &ask.options)?;
    let (listener, bound) = listen(ask.port)?;
    let (mut config, mut transport) = (ServeConfig::new(bound), Transport::default());
    let mut hosts = config.allowed_hosts.clone();
    if let Some(port) = ask.options.grpc_port {
        let (listener, bound) = listen(port)?;
        hosts.extend(ServeConfig::new(bound).allowed_hosts);
        transport.grpc = Some(listener);
    }
    if let Some(files) = options::certificates(&workspace, &ask.options, &hosts)? {
        config.tls = Some(files.tls().clone());
        transport.tls = Some(Arc::new(files));
    }
    transport.identity = identity;
    start(desk, EndpointSetup { listener, config, device: "cpu".to_owned(), traces: None, transport })
}

/// A socket that this machine alone reaches.
fn listen(port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let refused = |err: std::io::Error| {
        let message = match err.kind() {
            std::io::ErrorKind::AddrInUse => format!("port {port} is in use by another program"),
            std::io::ErrorKind::PermissionDenied => format!("port {port} may not be used by this user"),
            _ => format!("cannot listen on {address}: {err}"),
        };
        Failure::new(Code::Unavailable, message)
            .on(port.to_string())
            .hint("choose another port; 0 takes one that is free")
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

/// Starts on a socket that is bound already; the caller has the turn.
fn start(desk: &Arc<Desk>, setup: EndpointSetup) -> Result<EndpointStatus, Failure> {
    let workspace = desk.workspace()?;
    let bound = setup.config.bound;
    let endpoint = Arc::new(Endpoint::new(Arc::clone(&workspace), &setup.device)?);
    if let Some(collector) = &setup.traces {
        endpoint.trace_to(collector)?;
    }
    let state = endpoint.state_with(setup.config, &setup.transport)?;
    let (stop, stopped) = watch::channel(false);
    let runtime = crate::cli::runtime()?;
    let observer = Arc::downgrade(desk);
    endpoint.on_change(Box::new(move || {
        if let Some(desk) = observer.upgrade() {
            tell(&desk);
        }
    }));
    let observer = Arc::downgrade(desk);
    endpoint.on_rollout(Box::new(move |changed| {
        if let Some(desk) = observer.upgrade() {
            rollout::tell(&desk, changed);
        }
    }));
    let observer = Arc::downgrade(desk);
    endpoint.watcher().on_alert(Box::new(move |alert| {
        if let Some(desk) = observer.upgrade() {
            desk.publish(Event::AlertChanged { alert: Box::new(alert.clone()) });
        }
    }));
    let extras = Extras::of(&setup.transport);
    let observer = Arc::downgrade(desk);
    endpoint.watcher().on_report(Box::new(move |report| {
        if let Some(desk) = observer.upgrade() {
            desk.publish(Event::MonitorReported { model: report.model.clone() });
        }
    }));
    let serve = Arc::clone(&endpoint).serve_with(setup.listener, setup.transport, state.clone(), stopped);
    let observer = Arc::downgrade(desk);
    let handle = runtime.handle().clone();
    let work = move || {
        let ended = runtime.block_on(serve);
        // Work that hangs in a thread must not hold up whoever waits for the end.
        runtime.shutdown_timeout(Duration::from_secs(1));
        let Err(err) = ended else { return };
        let Some(desk) = observer.upgrade() else { return };
        tracing::error!("the endpoint ended by itself: {err}");
        let mut now = desk.endpoint.now();
        now.problem = Some(err.into_failure().message);
        now.running = None;
        drop(now);
        tell(&desk);
    };
    let mut now = desk.endpoint.now();
    let thread = std::thread::Builder::new()
        .name("endpoint".to_owned())
        .spawn(work)
        .map_err(|err| Failure::new(Code::Unavailable, format!("cannot start a thread for the endpoint: {err}")))?;
    let since_millis = workspace.clock.now_millis();
    now.problem = None;
    now.running =
        Some(Running { bound, since_millis, endpoint, state, workspace, extras, runtime: handle, stop, thread });
    drop(now);
    tell(desk);
    endpoint_get(desk, EndpointGet {})
}

pub(super) fn endpoint_stop(desk: &Arc<Desk>, _: EndpointStop) -> Result<EndpointStatus, Failure> {
    shut_down(desk);
    endpoint_get(desk, EndpointGet {})
}

/// Stops the endpoint where it runs: it takes no more connections, and requests under way are answered.
pub(super) fn shut_down(desk: &Arc<Desk>) {
    let _turn = desk.endpoint.turn();
    let running = {
        let mut now = desk.endpoint.now();
        now.problem = None;
        now.running.take()
    };
    let Some(running) = running else { return };
    running.stop.send_replace(true);
    if running.thread.join().is_err() {
        tracing::error!("the endpoint's thread broke down");
    }
    tell(desk);
}

/// Looks at once for what would be noticed a moment later.
pub(super) fn refresh(desk: &Desk) {
    let endpoint = desk.endpoint.now().running.as_ref().map(|running| Arc::clone(&running.endpoint));
    if let Some(endpoint) = endpoint
        && let Err(err) = endpoint.refresh()
    {
        tracing::warn!("cannot look for changed aliases and keys: {err}");
    }
}

/// A model's rollout as it is in this process, where the endpoint runs.
pub(super) fn rollout(desk: &Desk, model: &str) -> Option<Rollout> {
    let endpoint = desk.endpoint.now().running.as_ref().map(|running| Arc::clone(&running.endpoint));
    endpoint?.rollout(model)
}

/// Tells all clients how the endpoint is now.
pub(super) fn tell(desk: &Arc<Desk>) {
    match endpoint_get(desk, EndpointGet {}) {
        Ok(status) => desk.publish(Event::EndpointChanged { status }),
        Err(failure) => tracing::warn!("cannot tell how the endpoint is: {failure}"),
    }
}

/// Names and versions that a running endpoint answers with now.
pub(super) fn serving(desk: &Desk) -> Vec<(String, u32)> {
    desk.endpoint.now().running.as_ref().map(|running| running.endpoint.serving()).unwrap_or_default()
}

/// Whether it runs.
pub(super) fn is_running(desk: &Desk) -> bool {
    desk.endpoint.now().running.is_some()
}

pub(super) fn endpoint_load(desk: &Arc<Desk>, _: EndpointLoad) -> Result<EndpointSeries, Failure> {
    let state = desk.endpoint.now().running.as_ref().map(|running| running.state.clone());
    Ok(state.map(|state| state.load().series()).unwrap_or_default())
}

pub(super) fn endpoint_try(desk: &Arc<Desk>, ask: EndpointTry) -> Result<TryAnswer, Failure> {
    // A model's name may stand in an address, whatever somebody typed.
    check_model_name(&ask.model).map_err(EngineError::from)?;
    let way = {
        let now = desk.endpoint.now();
        let running = now.running.as_ref().ok_or_else(|| {
            Failure::new(Code::Conflict, "the endpoint does not run").hint("start it on the Endpoints page")
        })?;
        Way::of(running)
    };
    let key = way.endpoint.keys().passing_key(&*way.workspace.ids)?;
    let path = format!("/v1/models/{}/predict", ask.model);
    let mut sent = json!({ "row": ask.values });
    if ask.explain {
        sent["explain"] = true.into();
    }
    let began = Instant::now();
    let answered = if way.asks_for_certificates {
        // Nobody has given this program a certificate: the question goes in behind the handshake.
        let asked = athanor_serve::ask_inside(&way.state, &path, key.token(), sent.to_string().into_bytes());
        let asked = async { tokio::time::timeout(PATIENCE, asked).await };
        match way.runtime.block_on(asked) {
            Ok(answered) => answered.map_err(|err| EngineError::Failure(err.into())),
            Err(_) => Err(EngineError::new(Code::Timeout, "the endpoint did not answer in time")),
        }
    } else {
        way.post(&path, key.token(), &sent)
    };
    let (status, bytes) = answered.map_err(|err| err.into_failure().on(ask.model))?;
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let text = String::from_utf8_lossy(&bytes);
    let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()));
    Ok(TryAnswer { status, body, micros, sent })
}

/// How our own endpoint is asked.
struct Way {
    url: String,
    has_tls: bool,
    asks_for_certificates: bool,
    endpoint: Arc<Endpoint>,
    workspace: Arc<Workspace>,
    state: State,
    runtime: tokio::runtime::Handle,
}

impl Way {
    fn of(running: &Running) -> Self {
        Self {
            url: running.url(),
            has_tls: running.has_tls(),
            asks_for_certificates: running.extras.tls.as_ref().is_some_and(|tls| tls.asks_for_certificates()),
            endpoint: Arc::clone(&running.endpoint),
            workspace: Arc::clone(&running.workspace),
            state: running.state.clone(),
            runtime: running.runtime.clone(),
        }
    }

    /// As a client would, over HTTP.
    fn post(&self, path: &str, key: &str, body: &Value) -> Result<(u16, Vec<u8>), EngineError> {
        let failed = |err: reqwest::Error| {
            let code = if err.is_timeout() { Code::Timeout } else { Code::Unavailable };
            EngineError::new(code, format!("the endpoint at {} did not answer: {}", self.url, err.without_url()))
        };
        athanor_serve::use_ring();
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE).no_proxy();
        // It is our own socket, whose certificate may be for other names, and the key is worth nothing anywhere else.
        let client = if self.has_tls { client.tls_danger_accept_invalid_certs(true) } else { client };
        let client = client.build().map_err(failed)?;
        let answer = client.post(format!("{}{path}", self.url)).bearer_auth(key).json(body).send().map_err(failed)?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().map_err(failed)?.to_vec()))
    }
}

impl Desk {
    /// Starts the endpoint of the open workspace on a socket that is bound already, for `athanor serve`.
    ///
    /// # Errors
    /// If one runs already, no workspace is open, or a setting cannot be used.
    pub fn start_endpoint(self: &Arc<Self>, setup: EndpointSetup) -> Result<EndpointStatus, Failure> {
        let _turn = self.endpoint.turn();
        if self.endpoint.now().running.is_some() {
            return Err(Failure::new(Code::Conflict, "the endpoint runs already"));
        }
        start(self, setup)
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;

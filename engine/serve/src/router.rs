//! Routes, and what they share.

use std::sync::Arc;

use athanor_protocol::Code;
use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
    middleware,
    routing::{get, post},
};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    auth::{Keys, Throttle},
    config::ServeConfig,
    contracts,
    error::ServeError,
    gate::{self, Callers, RequestIds},
    limits::{Limiter, Meter},
    load::Load,
    lookup,
    monitor::{self, Monitor},
    named, oip,
    queue::Queue,
    refusal::Refusal,
    rollout,
    table::{ModelTable, Served},
    together::Limits,
};

/// Everything that the routes share. Clones are the same state.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    config: ServeConfig,
    keys: Arc<dyn Keys>,
    models: Arc<ModelTable>,
    callers: Callers,
    throttle: Throttle,
    limiter: Arc<Limiter>,
    ids: RequestIds,
    load: Load,
    monitor: Arc<Monitor>,
    admission: Arc<Semaphore>,
    queue: Arc<Queue>,
    trial_queue: Arc<Queue>,
    explain_queue: Arc<Queue>,
    shadow_places: Arc<Semaphore>,
    shadow_turn: Semaphore,
    is_draining: std::sync::atomic::AtomicBool,
}

impl State {
    /// Puts an endpoint together.
    ///
    /// # Errors
    /// If a setting is malformed or zero.
    pub fn new(config: ServeConfig, keys: Arc<dyn Keys>, models: Arc<ModelTable>) -> Result<Self, ServeError> {
        Self::watched(config, keys, models, Arc::new(Monitor::new(0)))
    }

    /// [`Self::new`] with a monitor that somebody else looks at too.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn watched(
        config: ServeConfig,
        keys: Arc<dyn Keys>,
        models: Arc<ModelTable>,
        monitor: Arc<Monitor>,
    ) -> Result<Self, ServeError> {
        let limits = [
            ("max_body_bytes", config.max_body_bytes),
            ("max_body_chunks", config.max_body_chunks),
            ("max_json_depth", config.max_json_depth),
            ("max_concurrent", config.max_concurrent),
            ("max_connections", config.max_connections),
        ];
        for (name, limit) in limits {
            if limit == 0 || limit > Semaphore::MAX_PERMITS {
                return Err(ServeError::Setting { name, reason: format!("{limit} is out of range") });
            }
        }
        // The parser of JSON itself goes no deeper than 127 levels.
        if config.max_json_depth > 120 {
            let reason = "it is at most 120".to_owned();
            return Err(ServeError::Setting { name: "max_json_depth", reason });
        }
        let callers = Callers::new(config.bound, &config.allowed_hosts, &config.allowed_origins)?.any_host(&config)?;
        contracts::check_settings(&config)?;
        let n_processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self(Arc::new(Inner {
            keys,
            models,
            callers,
            throttle: Throttle::new(config.max_failed_attempts),
            limiter: Arc::default(),
            ids: RequestIds::new(),
            load: Load::new(),
            monitor,
            admission: Arc::new(Semaphore::new(config.max_concurrent)),
            queue: Queue::new(n_processors),
            // Of its own: a candidate that hangs takes no place from the version that answers.
            trial_queue: Queue::new(n_processors),
            // Of its own, and for half of the processors: explanations are long, predictions go on beside them.
            explain_queue: Queue::new((n_processors / 2).max(1)),
            shadow_places: Arc::new(Semaphore::new(rollout::MAX_SHADOWS)),
            shadow_turn: Semaphore::new(1),
            is_draining: false.into(),
            config,
        })))
    }

    /// The settings.
    pub fn config(&self) -> &ServeConfig {
        &self.0.config
    }

    /// What is served.
    pub fn models(&self) -> &ModelTable {
        &self.0.models
    }

    /// Single rows of a model that wait for the next call of the version that answers for it; 0 for an unknown one.
    pub fn n_waiting_rows(&self, model: &str) -> usize {
        let lineup = self.models().now();
        let version = lineup.default_of(model);
        version.and_then(|version| lineup.version(model, version)).map_or(0, |served| served.batches().n_waiting())
    }

    /// How busy it is.
    pub fn load(&self) -> &Load {
        &self.0.load
    }

    /// What is watched.
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.0.monitor
    }

    pub(crate) fn keys(&self) -> &dyn Keys {
        &*self.0.keys
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.0.callers
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// What a request of this key may spend.
    pub(crate) fn meter(&self, key_id: Arc<str>) -> Meter {
        Meter { keys: Arc::clone(&self.0.keys), limiter: Arc::clone(&self.0.limiter), key_id }
    }

    /// Whether a request's client certificate stands for its key: where that is set, and it brings no key.
    pub(crate) fn is_key(&self, headers: &axum::http::HeaderMap) -> bool {
        let is_set = self.config().tls.as_ref().is_some_and(crate::tls::Tls::client_is_key);
        is_set && !headers.contains_key(axum::http::header::AUTHORIZATION)
    }

    pub(crate) fn ids(&self) -> &RequestIds {
        &self.0.ids
    }

    pub(crate) fn admission(&self) -> &Arc<Semaphore> {
        &self.0.admission
    }

    /// Who waits for a processor.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.0.queue
    }

    /// Who waits for one to be answered by a candidate.
    pub(crate) fn trial_queue(&self) -> &Arc<Queue> {
        &self.0.trial_queue
    }

    /// Who waits for one to be explained.
    pub(crate) fn explain_queue(&self) -> &Arc<Queue> {
        &self.0.explain_queue
    }

    /// How far single rows are predicted together.
    pub(crate) fn batch_limits(&self) -> Limits {
        let (rows, budget) = (self.0.config.batch_rows, self.0.config.batch_budget);
        Limits { rows, budget, n_calls: self.0.queue.n_places() }
    }

    /// Places for requests that wait for a shadow.
    pub(crate) fn shadow_places(&self) -> &Arc<Semaphore> {
        &self.0.shadow_places
    }

    /// Held by the shadow that works.
    pub(crate) fn shadow_turn(&self) -> &Semaphore {
        &self.0.shadow_turn
    }

    /// From now on not ready: load balancers look elsewhere while requests under way end.
    pub(crate) fn drain(&self) {
        self.0.is_draining.store(true, std::sync::atomic::Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.models().is_filled() && !self.0.is_draining.load(std::sync::atomic::Ordering::Acquire)
    }

    /// A model by the words of a path: by a version's number or an alias; the version that answers for the model where
    /// none is named. Rollouts have no say here: that is [`State::route`].
    pub(crate) fn served(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>, Refusal> {
        lookup::find(self.models(), &self.models().now(), name, version)
    }
}

/// The words of a path.
pub(crate) fn path<T>(words: Result<Path<T>, PathRejection>) -> Result<T, Refusal> {
    match words {
        Ok(Path(words)) => Ok(words),
        Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "the address is malformed")),
    }
}

async fn no_route() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, "there is nothing at this address")
        .hint("see GET /v2 and GET /v1/models")
}

async fn no_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, "this address does not take that method")
}

/// The endpoint without a socket: what `serve` answers with, for tests and for embedding.
pub fn router(state: &State) -> Router {
    Router::new()
        .route("/v2", get(oip::server))
        .route("/v2/health/live", get(oip::live))
        .route("/v2/health/ready", get(oip::ready))
        .route("/v2/models/{model}", get(oip::metadata))
        .route("/v2/models/{model}/ready", get(oip::model_ready))
        .route("/v2/models/{model}/infer", post(oip::infer))
        .route("/v2/models/{model}/versions/{version}", get(oip::metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(oip::model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(oip::infer))
        .route("/v1/models", get(named::list))
        .route("/v1/models/{model}", get(named::show))
        .route("/v1/models/{model}/predict", post(named::predict))
        .route("/v1/models/{model}/feedback", post(monitor::feedback))
        .route("/metrics", get(monitor::metrics))
        .route("/v1/models/{model}/versions/{version}", get(named::show))
        .route("/v1/models/{model}/versions/{version}/predict", post(named::predict))
        .route("/v1/models/{model}/aliases/{alias}", get(named::show))
        .route("/v1/models/{model}/aliases/{alias}/predict", post(named::predict))
        .route("/v1/models/{model}/rollout", get(rollout::show))
        .merge(contracts::routes(state.config()))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(state.clone(), contracts::verbs))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse;
            Refusal::internal("a request panicked").into_response()
        }))
        .layer(middleware::from_fn_with_state(state.clone(), gate::pass))
        .with_state(state.clone())
}

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
    load::Load,
    named, oip,
    refusal::Refusal,
    table::{ModelTable, Served},
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
    ids: RequestIds,
    load: Load,
    admission: Arc<Semaphore>,
    processors: Arc<Semaphore>,
    is_draining: std::sync::atomic::AtomicBool,
}

impl State {
    /// Puts an endpoint together.
    ///
    /// # Errors
    /// If a setting is malformed or zero.
    pub fn new(config: ServeConfig, keys: Arc<dyn Keys>, models: Arc<ModelTable>) -> Result<Self, ServeError> {
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
            ids: RequestIds::new(),
            load: Load::new(),
            admission: Arc::new(Semaphore::new(config.max_concurrent)),
            processors: Arc::new(Semaphore::new(n_processors)),
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

    /// How busy it is.
    pub fn load(&self) -> &Load {
        &self.0.load
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

    pub(crate) fn ids(&self) -> &RequestIds {
        &self.0.ids
    }

    pub(crate) fn admission(&self) -> &Arc<Semaphore> {
        &self.0.admission
    }

    pub(crate) fn processors(&self) -> &Arc<Semaphore> {
        &self.0.processors
    }

    /// From now on not ready: load balancers look elsewhere while requests under way end.
    pub(crate) fn drain(&self) {
        self.0.is_draining.store(true, std::sync::atomic::Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.models().is_filled() && !self.0.is_draining.load(std::sync::atomic::Ordering::Acquire)
    }

    /// A model by the words of a path; its first version where none is named.
    pub(crate) fn served(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>, Refusal> {
        let not_found = |message: &str| Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, message);
        let all = self.models().all();
        let versions = all.get(name).filter(|versions| !versions.is_empty());
        let Some(versions) = versions else {
            let near = crate::plan::near_names(name, all.keys().map(String::as_str));
            let refusal = not_found("no model of that name is served here");
            let hint = if near.is_empty() {
                "GET /v1/models lists them".to_owned()
            } else {
                format!("did you mean {}", near.join(" or "))
            };
            return Err(refusal.hint(hint));
        };
        let found = match version {
            None => versions.first(),
            // Only the number's own spelling: "+1" and "01" are no versions.
            Some(version) => versions.iter().find(|served| served.version().to_string() == version),
        };
        found.cloned().ok_or_else(|| {
            let list: Vec<String> = versions.iter().map(|served| served.version().to_string()).collect();
            not_found("that version of the model is not served here").hint(format!("served: {}", list.join(", ")))
        })
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
        .route("/v1/models/{model}/versions/{version}", get(named::show))
        .route("/v1/models/{model}/versions/{version}/predict", post(named::predict))
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

//! The contracts of other platforms, answered from the same models: Amazon SageMaker, MLflow's scoring server, Google
//! Vertex AI, Azure Machine Learning, KServe v1 and TensorFlow Serving; the description of it all (OpenAPI), and a page to
//! try it on.
//!
//! Each contract is a module that says which words its bodies have and how its answers are wrapped ([`speech`]). Reading
//! rows ([`forms`], [`json`], [`csv`]) and choosing the model ([`choose`]) are shared.

mod azure;
mod choose;
mod csv;
mod forms;
mod invocations;
mod json;
mod media;
mod openapi;
mod openapi_models;
mod page;
mod speech;
mod swagger;
pub(crate) mod tensorflow;
mod vertex;

use axum::{
    Router,
    extract::{Request, State as Held},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use athanor_protocol::Code;

use crate::{
    config::{Contract, ServeConfig},
    error::ServeError,
    refusal::{Refusal, Shape},
    router::State,
};

fn has(config: &ServeConfig, contract: Contract) -> bool {
    config.contracts.contains(&contract)
}

/// The routes of the contracts that are on. Addresses with a verb behind a colon are none of these: see [`verbs`].
pub(crate) fn routes(config: &ServeConfig) -> Router<State> {
    let (sagemaker, mlflow) = (has(config, Contract::SageMaker), has(config, Contract::Mlflow));
    let azure = has(config, Contract::Azure);
    let mut router = Router::new().route("/openapi.json", get(openapi::document));
    if sagemaker || mlflow {
        router = router.route("/ping", get(invocations::ping)).route("/invocations", post(invocations::invocations));
    }
    if sagemaker {
        router = router.route("/execution-parameters", get(invocations::execution_parameters));
    }
    if mlflow {
        router = router.route("/health", get(invocations::ping)).route("/version", get(invocations::version));
    }
    if azure {
        let score = get(azure::score_query).post(azure::score).options(azure::options);
        router = router.route("/score", score).route("/swagger.json", get(swagger::document));
    }
    if has(config, Contract::TensorFlow) {
        router = router
            .route("/v1/models/{model}/metadata", get(tensorflow::metadata))
            .route("/v1/models/{model}/versions/{version}/metadata", get(tensorflow::metadata));
    }
    if config.try_page {
        router = router
            .route("/try", get(page::html))
            .route("/try.js", get(page::script))
            .route("/try.css", get(page::style));
    }
    if azure || config.try_page {
        router = router.route("/", get(page::root));
    }
    router
}

/// Answers addresses that end in a colon and a verb, and those that a setting of Vertex AI names; everything else goes on.
///
/// A router's pattern can't tell `NAME:predict` from a name, and a platform's setting may name an address that is taken.
pub(crate) async fn verbs(Held(state): Held<State>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if has(state.config(), Contract::Vertex) {
        match vertex::route(state.config(), path) {
            Some(vertex::Route::Health) => return only(&[Method::GET, Method::HEAD], request, vertex::health(&state)),
            Some(vertex::Route::Predict { deployed_model_id }) => {
                return answer(&[Method::POST], request, |request| vertex::predict(&state, deployed_model_id, request))
                    .await;
            }
            None => {}
        }
    }
    if has(state.config(), Contract::TensorFlow)
        && let Some(target) = tensorflow::target(path)
        && (target.has_known_verb() || request.method() == Method::POST)
    {
        return answer(&[Method::POST], request, |request| tensorflow::call(&state, target, request)).await;
    }
    next.run(request).await
}

fn only(methods: &[Method], request: Request, answer: Result<Response, Refusal>) -> Response {
    if methods.contains(request.method()) { answer.into_response() } else { no_method(methods) }
}

async fn answer<F>(methods: &[Method], request: Request, work: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Result<Response, Refusal>>,
{
    if methods.contains(request.method()) { work(request).await.into_response() } else { no_method(methods) }
}

fn no_method(methods: &[Method]) -> Response {
    let message = "this address does not take that method";
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, message);
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    ([(header::ALLOW, names.join(","))], refusal).into_response()
}

/// How errors of an address are written.
pub(crate) fn shape(path: &str) -> Shape {
    if path.starts_with("/v2") || tensorflow::target(path).is_some() || path.ends_with("/metadata") {
        Shape::Short
    } else if matches!(path, "/invocations" | "/score" | "/swagger.json" | "/version" | "/execution-parameters") {
        Shape::Platform
    } else {
        Shape::Own
    }
}

/// Whether anybody may `GET` an address without a key: probes, which tell nothing but that the endpoint is there, and the
/// files of the page, which are the same everywhere.
pub(crate) fn is_open(config: &ServeConfig, path: &str, headers: &HeaderMap) -> bool {
    let has = |contract| has(config, contract);
    match path {
        "/ping" => has(Contract::SageMaker) || has(Contract::Mlflow),
        "/health" => has(Contract::Mlflow),
        "/" => has(Contract::Azure) || (config.try_page && page::is_browser(headers)),
        "/try" | "/try.js" | "/try.css" => config.try_page,
        _ => has(Contract::Vertex) && matches!(vertex::route(config, path), Some(vertex::Route::Health)),
    }
}

/// Whether requests to an address are predictions.
pub(crate) fn is_counted(config: &ServeConfig, path: &str) -> bool {
    matches!(path, "/invocations" | "/score")
        || matches!(vertex::route(config, path), Some(vertex::Route::Predict { .. }))
}

/// # Errors
/// If a setting of a contract is malformed.
pub(crate) fn check_settings(config: &ServeConfig) -> Result<(), ServeError> {
    vertex::check(config)?;
    match config.default_model.as_deref().map(choose::split) {
        Some((name, version)) => {
            athanor_protocol::names::check_model_name(name)?;
            match version {
                Some(version) if version.parse::<u32>().is_err() => {
                    let reason = format!("{version:?} is no version; write NAME or NAME:VERSION");
                    Err(ServeError::Setting { name: "default_model", reason })
                }
                _ => Ok(()),
            }
        }
        None => Ok(()),
    }
}

//! Google Vertex AI: the two routes that its settings name, or the ones that it has without them.

use axum::{extract::Request, response::Response};

use super::{
    choose::{self, Asked},
    invocations::ready,
    json::{Form, Words},
    media::{self, Allowed},
    speech::{self, Envelope, Speech},
};
use crate::{
    config::ServeConfig,
    error::ServeError,
    gate::{Admission, Deadline},
    refusal::Refusal,
    router::State,
};

const WORDS: Words =
    Words { rows: &[("instances", Form::Instances, Envelope::Predictions)], parameters: &["parameters"], fixed: &[] };

/// Longest route that a setting may name.
const MAX_ROUTE_BYTES: usize = 256;

/// What an address of Vertex AI is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Whether it answers.
    Health,
    /// Predictions.
    Predict {
        /// What the platform calls the model, for the answer.
        deployed_model_id: Option<String>,
    },
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// # Errors
/// If a route of the settings is no plain absolute path, or both are one.
pub(crate) fn check(config: &ServeConfig) -> Result<(), ServeError> {
    let predict = ("vertex_predict_route", config.vertex_predict_route.as_deref());
    let health = ("vertex_health_route", config.vertex_health_route.as_deref());
    for (name, route) in [predict, health] {
        let Some(route) = route else { continue };
        let is_path = route.len() > 1
            && route.len() <= MAX_ROUTE_BYTES
            && route.starts_with('/')
            && route.bytes().all(|byte| is_plain(byte) || matches!(byte, b'/' | b':'));
        if !is_path {
            let reason = format!("{route:?} is no path such as /predict");
            return Err(ServeError::Setting { name, reason });
        }
        if route.starts_with("/v2") {
            let reason = format!("{route:?} belongs to the Open Inference Protocol");
            return Err(ServeError::Setting { name, reason });
        }
    }
    if predict.1.is_some() && predict.1 == health.1 {
        let reason = "predictions and health have one route".to_owned();
        return Err(ServeError::Setting { name: "vertex_health_route", reason });
    }
    let id = config.vertex_deployed_model_id.as_deref();
    match id.filter(|id| id.len() > 128 || !id.bytes().all(is_plain)) {
        Some(id) => {
            let reason = format!("{id:?} is no id of letters and digits");
            Err(ServeError::Setting { name: "vertex_deployed_model_id", reason })
        }
        None => Ok(()),
    }
}

/// Tells what an address is; a route of the settings takes the place of the default one.
pub(crate) fn route(config: &ServeConfig, path: &str) -> Option<Route> {
    let deployed_model_id = || config.vertex_deployed_model_id.clone();
    if config.vertex_predict_route.as_deref() == Some(path) {
        return Some(Route::Predict { deployed_model_id: deployed_model_id() });
    }
    if config.vertex_health_route.as_deref() == Some(path) {
        return Some(Route::Health);
    }
    let (endpoint, model) = path.strip_prefix("/v1/endpoints/")?.split_once("/deployedModels/")?;
    let is_id = |text: &str| !text.is_empty() && text.len() <= 128 && text.bytes().all(is_plain);
    if !is_id(endpoint) {
        return None;
    }
    match model.strip_suffix(":predict") {
        Some(model) if is_id(model) && config.vertex_predict_route.is_none() => {
            Some(Route::Predict { deployed_model_id: deployed_model_id().or_else(|| Some(model.to_owned())) })
        }
        None if is_id(model) && config.vertex_health_route.is_none() => Some(Route::Health),
        _ => None,
    }
}

pub(crate) fn health(state: &State) -> Result<Response, Refusal> {
    ready(state)
}

pub(crate) async fn predict(
    state: &State,
    deployed_model_id: Option<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (admission, deadline) = admitted(&parts.extensions)?;
    let asked = Asked::of(&parts.uri)?;
    let served = choose::model(state, &parts.headers, &asked)?;
    media::of_body(&parts.headers, Allowed::Json)?;
    let speech = Speech { deployed_model_id, ..Speech::json(state, &WORDS, asked.probabilities) };
    speech::answer(state, served, speech, &parts.headers, body, admission, deadline).await
}

/// What the gate has put into a request.
pub(crate) fn admitted(extensions: &axum::http::Extensions) -> Result<(Admission, Deadline), Refusal> {
    match (extensions.get::<Admission>(), extensions.get::<Deadline>()) {
        (Some(admission), Some(deadline)) => Ok((admission.clone(), *deadline)),
        _ => Err(Refusal::internal("a request was not admitted")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::SocketAddr;

    use super::*;

    fn config(predict: Option<&str>, health: Option<&str>) -> ServeConfig {
        let mut config = ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 8080)));
        config.vertex_predict_route = predict.map(str::to_owned);
        config.vertex_health_route = health.map(str::to_owned);
        config
    }

    #[test]
    fn settings_take_the_place_of_the_defaults() {
        let predict = |id: Option<&str>| Some(Route::Predict { deployed_model_id: id.map(str::to_owned) });
        let default = config(None, None);
        let own = config(Some("/predict"), Some("/health"));
        for (config, path, expect) in [
            (&default, "/v1/endpoints/7/deployedModels/9:predict", predict(Some("9"))),
            (&default, "/v1/endpoints/7/deployedModels/9", Some(Route::Health)),
            (&default, "/v1/endpoints/7/deployedModels/9:explain", None),
            (&default, "/v1/endpoints/7/deployedModels/:predict", None),
            (&default, "/v1/endpoints/7/deployedModels/9/x:predict", None),
            (&default, "/v1/endpoints//deployedModels/9:predict", None),
            (&default, "/v1/endpoints/%2e/deployedModels/9", None),
            (&default, "/predict", None),
            (&own, "/predict", predict(None)),
            (&own, "/health", Some(Route::Health)),
            (&own, "/predict/", None),
            (&own, "/v1/endpoints/7/deployedModels/9:predict", None),
            (&own, "/v1/endpoints/7/deployedModels/9", None),
        ] {
            assert_eq!(route(config, path), expect, "{path}");
        }
    }

    #[test]
    fn settings_are_plain_paths() {
        for (predict, health, is_ok) in [
            (Some("/predict"), Some("/ping"), true),
            (Some("/v1/models/m:predict"), None, true),
            (Some("/invocations"), Some("/ping"), true),
            (Some("predict"), None, false),
            (Some("/"), None, false),
            (Some("/{any}"), None, false),
            (Some("/*"), None, false),
            (Some("/a b"), None, false),
            (Some("/a?b"), None, false),
            (None, Some(""), false),
            (Some("/same"), Some("/same"), false),
            (None, Some("/v2/models"), false),
        ] {
            assert_eq!(check(&config(predict, health)).is_ok(), is_ok, "{predict:?} {health:?}");
        }
    }
}

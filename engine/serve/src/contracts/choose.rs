//! Which model answers an address that names none.

use std::sync::Arc;

use athanor_protocol::Code;
use axum::{
    extract::Query,
    http::{HeaderMap, HeaderName, StatusCode, Uri},
};
use serde::Deserialize;

use crate::{
    refusal::{Refusal, bad, quoted},
    router::State,
    table::Served,
};

/// The header in which SageMaker's multi-model endpoints name the model.
pub(crate) const TARGET_MODEL: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-model");

/// What the query of an address may say. Everything else in it is left alone: platforms add words of their own.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    /// `NAME` or `NAME:VERSION`.
    pub(crate) model: Option<String>,
    /// Whether the answer holds probabilities.
    pub(crate) probabilities: Option<bool>,
}

impl Asked {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Refusal> {
        match Query::try_from_uri(uri) {
            Ok(Query(asked)) => Ok(asked),
            Err(_) => Err(bad("the query of the address can't be read")
                .hint("'model' is a name, 'probabilities' is true or false, each at most once")
                .into()),
        }
    }
}

/// Splits `NAME` or `NAME:VERSION`.
pub(crate) fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    }
}

/// The model that a request means: by its query, by the header, by the setting, or because there is no other.
pub(crate) fn model(state: &State, headers: &HeaderMap, asked: &Asked) -> Result<Arc<Served>, Refusal> {
    let by_header = match headers.get_all(TARGET_MODEL).iter().collect::<Vec<_>>().as_slice() {
        [] => None,
        [value] => value.to_str().ok().map(|text| {
            let text = text.trim().trim_start_matches('/');
            // There the target is the name of an archive.
            text.strip_suffix(".tar.gz").unwrap_or(text)
        }),
        _ => None,
    };
    if headers.contains_key(TARGET_MODEL) && by_header.is_none() {
        return Err(bad("the header 'X-Amzn-SageMaker-Target-Model' names no model").into());
    }
    let named = asked.model.as_deref().or(by_header).or(state.config().default_model.as_deref());
    if let Some(text) = named {
        let (name, version) = split(text);
        return state.served(name, version);
    }
    let all = state.models().all();
    let mut names = all.iter().filter_map(|(name, versions)| versions.first().map(|served| (name, served)));
    match (names.next(), names.next()) {
        (Some((_, only)), None) => Ok(Arc::clone(only)),
        (None, _) => Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, "no model is served here")
            .hint("give a model the alias that this endpoint serves")),
        (Some(_), Some(_)) => {
            let list: Vec<String> = all.keys().take(10).map(|name| quoted(name)).collect();
            let message = format!("this address names no model, and {} are served here", all.len());
            let hint = format!(
                "add ?model=NAME to the address or send the header 'X-Amzn-SageMaker-Target-Model: NAME'; served: {}",
                list.join(", ")
            );
            Err(bad(message).hint(hint).into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn queries_say_little() {
        let asked = |text: &str| Asked::of(&text.parse().unwrap());
        let both = asked("/invocations?trace=1&model=wine%3A2&probabilities=true").unwrap();
        assert_eq!((both.model.as_deref(), both.probabilities), (Some("wine:2"), Some(true)));
        assert_eq!(asked("/invocations").unwrap().model, None);
        for wrong in ["/i?probabilities=yes", "/i?model=a&model=b", "/i?probabilities=true&probabilities=true"] {
            assert_eq!(asked(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_version_stands_behind_a_colon() {
        for (text, expect) in [
            ("wine", ("wine", None)),
            ("wine:2", ("wine", Some("2"))),
            ("a:b:c", ("a", Some("b:c"))),
            (":", ("", Some(""))),
        ] {
            assert_eq!(split(text), expect, "{text}");
        }
    }
}

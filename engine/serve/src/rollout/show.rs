//! What a rollout has come to, for whoever may see it.

use athanor_protocol::Code;
use axum::{extract::State as Held, http::StatusCode, response::Response};

use crate::{
    oip::Target,
    oip_reply::json,
    refusal::Refusal,
    router::{State, path},
};

/// `GET /v1/models/{model}/rollout`: the rollout that runs, as it is in this process at this moment.
pub(crate) async fn show(Held(state): Held<State>, target: Target) -> Result<Response, Refusal> {
    let words = path(target)?;
    // A wrong name is told from a model without a rollout.
    let lineup = state.models().now();
    if lineup.versions(words.model()).is_none() {
        state.served(words.model(), None)?;
    }
    let trial = lineup.trial(words.model()).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, "no rollout of that model goes on")
            .hint("start one with 'athanor rollout start'")
    })?;
    json(&trial.now())
}

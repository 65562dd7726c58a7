//! An answer under a rollout: from the candidate where it can, from the stable version otherwise.

use std::{sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use tokio::time::Instant;

use super::{Routed, Side, shadow};
use crate::{
    gate::{Admission, Deadline},
    infer::{Asked, Dialect, Ended, Lane, attempt},
    refusal::Refusal,
    router::State,
};

/// Answers a request whose body has arrived.
pub(crate) async fn answer<D: Dialect>(
    state: &State,
    Routed { stable, side }: Routed,
    dialect: D,
    body: Vec<u8>,
    admission: Admission,
    deadline: Deadline,
) -> Result<Response, Refusal> {
    let asked = Arc::new(Asked::new(dialect, body));
    // What the candidate failed: how, and after how long.
    let mut failed: Option<(Refusal, Duration)> = None;
    if let Side::Candidate(trial, candidate) = &side {
        // It has half of the time that is left: the other half is the stable version's, should it be needed.
        let now = Instant::now();
        let half = now + deadline.0.saturating_duration_since(now) / 2;
        match attempt(state, candidate, &asked, &admission, half, Lane::Trial, false).await {
            Ended::Answered(answered) => {
                trial.candidate_answered(answered.took);
                return Ok(answered.response);
            }
            // What the key may ask for is used up: that is no matter of versions.
            Ended::Refused(refusal, _) if refusal.status == StatusCode::TOO_MANY_REQUESTS => return Err(refusal),
            Ended::Refused(refusal, took) => failed = Some((refusal, took)),
            Ended::NoRoom(_) => trial.spilled(),
        }
    }
    let is_shadowed = matches!(side, Side::Shadow(..));
    let ended = attempt(state, &stable, &asked, &admission, deadline.0, Lane::Main, is_shadowed).await;
    if let Side::Stable(trial) | Side::Candidate(trial, _) | Side::Shadow(trial, _) = &side {
        match &ended {
            Ended::Answered(answered) => trial.stable_asked(false, answered.took),
            Ended::Refused(refusal, took) => trial.stable_asked(refusal.status.is_server_error(), *took),
            Ended::NoRoom(_) => {}
        }
        if let Some((refusal, took)) = &failed {
            let is_answered = matches!(ended, Ended::Answered(_));
            // What both refuse is the client's mistake and says nothing about either.
            if is_answered || refusal.status.is_server_error() {
                let cause = refusal.cause.as_deref().unwrap_or(&refusal.failure.message);
                let (model, candidate) = (stable.name(), trial.rollout().spec.candidate);
                tracing::warn!(model, candidate, status = refusal.status.as_u16(), cause, "the candidate failed");
                trial.candidate_failed(*took, is_answered);
                if let Side::Candidate(_, candidate) = &side {
                    // The request itself is counted under the version that answered it.
                    state.monitor().failed(candidate, refusal.failure.code);
                }
            }
        }
    }
    match ended {
        Ended::Answered(answered) => {
            if let (Side::Shadow(trial, candidate), Some(outputs)) = (side, answered.outputs) {
                shadow::beside(state, trial, (stable, candidate), asked, outputs);
            }
            Ok(answered.response)
        }
        Ended::Refused(refusal, _) | Ended::NoRoom(refusal) => Err(refusal),
    }
}

//! Answers about rollouts: the newest version of `tumours` takes over step by step.

use athanor_protocol::{
    Code, Failure,
    api::{Reply, Request, RolloutAnswer},
    rollout::{
        Rollout, RolloutFigures, RolloutGuards, RolloutMode, RolloutPhase, RolloutSpec, RolloutStep, ShadowFigures,
        SideFigures,
    },
};

use super::NOW_MILLIS;

const MINUTE: i64 = 60_000;

/// A linear rollout at its second step.
pub fn rollout() -> Rollout {
    let step = |percent, secs| RolloutStep { percent, secs };
    Rollout {
        id: 4,
        model: "tumours".to_owned(),
        stable: 6,
        spec: RolloutSpec {
            candidate: 7,
            mode: RolloutMode::Linear,
            steps: vec![step(5, 600), step(25, 1_800), step(50, 1_800), step(100, 600)],
            finishes: true,
            sticky_header: Some("x-user-id".to_owned()),
            guards: RolloutGuards { max_p99_ratio: Some(1.5), max_drift: Some(0.2), ..RolloutGuards::default() },
        },
        phase: RolloutPhase::Running,
        step: 1,
        step_since_millis: NOW_MILLIS - 12 * MINUTE,
        started_at_millis: NOW_MILLIS - 22 * MINUTE,
        ended_at_millis: None,
        reason: None,
        figures: RolloutFigures {
            stable: SideFigures { n_requests: 18_402, n_failed: 11, p50_micros: 812, p99_micros: 2_840 },
            candidate: SideFigures { n_requests: 4_117, n_failed: 9, p50_micros: 874, p99_micros: 3_310 },
            n_retried: 9,
            n_spilled: 2,
            shadow: ShadowFigures::default(),
            drift: Some(0.06),
        },
    }
}

/// The same version watched as a shadow.
pub fn shadow() -> Rollout {
    let running = rollout();
    Rollout {
        spec: RolloutSpec {
            mode: RolloutMode::Shadow,
            steps: vec![RolloutStep { percent: 50, secs: 0 }],
            finishes: false,
            ..running.spec
        },
        step: 0,
        figures: RolloutFigures {
            shadow: ShadowFigures {
                n_compared: 4_117,
                n_rows: 9_230,
                n_agreed: 9_064,
                mean_difference: 0.0182,
                max_difference: 0.614,
                n_dropped: 12,
            },
            n_retried: 0,
            n_spilled: 0,
            ..running.figures
        },
        ..running
    }
}

/// The same one after a guard took it back.
pub fn rolled_back() -> Rollout {
    let running = rollout();
    Rollout {
        phase: RolloutPhase::RolledBack,
        ended_at_millis: Some(NOW_MILLIS - 4 * MINUTE),
        reason: Some(
            "the candidate failed 61 of 902 requests, the stable version 2 of 2713; at most 2 percent may fail"
                .to_owned(),
        ),
        figures: RolloutFigures {
            candidate: SideFigures { n_requests: 902, n_failed: 61, p50_micros: 874, p99_micros: 3_310 },
            ..running.figures
        },
        ..running
    }
}

fn ended(phase: RolloutPhase, reason: &str) -> Rollout {
    let (ended_at_millis, reason) = (Some(NOW_MILLIS), Some(reason.to_owned()));
    Rollout { phase, ended_at_millis, reason, ..rollout() }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let of = |model: &str| (model == "tumours").then(rollout);
    let reply = match request {
        Request::RolloutGet(ask) => Reply::RolloutGet(Box::new(RolloutAnswer { rollout: of(&ask.model) })),
        Request::RolloutStart(ask) => {
            if let Err(failure) = ask.spec.check() {
                return Some(Err(failure));
            }
            Reply::RolloutStart(Box::new(Rollout {
                id: 5,
                model: ask.model.clone(),
                stable: if ask.model == "tumours" { 6 } else { 3 },
                spec: ask.spec.clone(),
                step: 0,
                step_since_millis: NOW_MILLIS,
                started_at_millis: NOW_MILLIS,
                figures: RolloutFigures::default(),
                ..rollout()
            }))
        }
        Request::RolloutPromote(ask) if of(&ask.model).is_some() => {
            Reply::RolloutPromote(Box::new(ended(RolloutPhase::Promoted, "somebody promoted the candidate")))
        }
        Request::RolloutAbort(ask) if of(&ask.model).is_some() => {
            Reply::RolloutAbort(Box::new(ended(RolloutPhase::Aborted, "somebody ended it")))
        }
        Request::RolloutBack(ask) if of(&ask.model).is_some() => {
            Reply::RolloutBack(Box::new(Rollout { step: 0, step_since_millis: NOW_MILLIS, ..rollout() }))
        }
        Request::RolloutPromote(_) | Request::RolloutAbort(_) | Request::RolloutBack(_) => {
            return Some(Err(Failure::new(Code::NotFound, "no rollout runs")));
        }
        _ => return None,
    };
    Some(Ok(reply))
}

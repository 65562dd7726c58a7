use athanor_protocol::rollout::{RolloutGuards, RolloutSpec, RolloutStep};

use super::*;

fn rollout(mode: RolloutMode, percents: &[u8]) -> Rollout {
    Rollout {
        id: 1,
        model: "wine".to_owned(),
        stable: 1,
        spec: RolloutSpec {
            candidate: 2,
            mode,
            steps: percents.iter().map(|&percent| RolloutStep { percent, secs: 60 }).collect(),
            finishes: false,
            sticky_header: None,
            guards: RolloutGuards { min_requests: 10, max_drift: Some(0.5), ..RolloutGuards::default() },
        },
        phase: RolloutPhase::Running,
        step: 0,
        step_since_millis: 0,
        started_at_millis: 0,
        ended_at_millis: None,
        reason: None,
        figures: RolloutFigures::default(),
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_tripped_trial_sends_nothing_more_whatever_its_step() {
    let trial = Trial::new(rollout(RolloutMode::Linear, &[10, 100]));
    assert_eq!((trial.percent(), trial.now().phase), (10, RolloutPhase::Running));
    for n in 0..10 {
        assert_eq!(trial.tripped(), None, "after {n} failures");
        trial.candidate_failed(MS, true);
    }
    let reason = trial.tripped().map(str::to_owned);
    assert!(reason.as_deref().is_some_and(|reason| reason.contains("failed 10 of 10 requests")), "{reason:?}");
    assert_eq!(trial.percent(), 0);
    let next = trial.at(Rollout { step: 1, ..trial.rollout().clone() });
    assert_eq!((next.percent(), next.tripped()), (0, reason.as_deref()), "the next step forgets nothing");
    assert_eq!((next.now().phase, next.now().reason), (RolloutPhase::RolledBack, reason));
    assert_eq!(next.now().figures.n_retried, 10);
}

#[test]
fn a_step_changes_the_share_and_keeps_the_counts() {
    let trial = Trial::new(rollout(RolloutMode::Linear, &[10, 50, 100]));
    trial.stable_asked(false, MS);
    trial.candidate_answered(2 * MS);
    let next = trial.at(Rollout { step: 2, ..trial.rollout().clone() });
    trial.stable_asked(true, MS);
    assert_eq!((trial.percent(), next.percent()), (10, 100));
    let figures = next.figures();
    assert_eq!((figures.stable.n_requests, figures.stable.n_failed, figures.candidate.n_requests), (2, 1, 1));
    assert!(figures.candidate.p99_micros.abs_diff(2_000) < 70, "{figures:?}");
    let over = trial.at(Rollout { step: 3, ..trial.rollout().clone() });
    assert_eq!(over.percent(), 0, "a step that is not there sends nothing");
}

#[test]
fn a_restarted_process_goes_on_with_what_was_counted() {
    let mut kept = rollout(RolloutMode::Shadow, &[100]);
    let before = Trial::new(kept.clone());
    for _ in 0..9 {
        before.candidate_failed(MS, false);
    }
    before.compared(&Compared { n_rows: 2, n_agreed: 1, n_values: 2, difference: 0.5, max_difference: 0.5 }, MS);
    before.dropped();
    before.spilled();
    assert!(before.tripped().is_some(), "nine of ten failed");
    kept.figures = before.figures();
    let after = Trial::new(kept);
    assert_eq!(after.tripped(), None, "what was not kept as ended goes on");
    let latency_free = |mut figures: RolloutFigures| {
        (figures.candidate.p50_micros, figures.candidate.p99_micros) = (0, 0);
        figures
    };
    assert_eq!(after.figures(), latency_free(before.figures()));
    after.candidate_failed(MS, false);
    assert!(after.tripped().is_some(), "and the next failure is judged with the ones before");
}

#[test]
fn drift_is_told_from_outside() {
    let trial = Trial::new(rollout(RolloutMode::Canary, &[10]));
    trial.tell_drift(f64::NAN);
    trial.tell_drift(0.4);
    assert_eq!((trial.tripped(), trial.figures().drift), (None, Some(0.4)));
    trial.tell_drift(0.6);
    assert_eq!(trial.tripped(), Some("the inputs have drifted by 0.6000, more than 0.5"));
    trial.tell_drift(0.1);
    assert_eq!(trial.percent(), 0, "back is back");
}

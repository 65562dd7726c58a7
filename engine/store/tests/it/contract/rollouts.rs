//! Rollouts: one at a time, moved by one, ended once.

use athanor_protocol::{
    Code,
    rollout::{RolloutFigures, RolloutGuards, RolloutMode, RolloutPhase, RolloutSpec, RolloutStep},
};
use athanor_store::{Act, Expected, RolloutEnd, Store};

use super::code;
use crate::help::version;

fn spec(candidate: u32) -> RolloutSpec {
    RolloutSpec {
        candidate,
        mode: RolloutMode::Linear,
        steps: vec![RolloutStep { percent: 10, secs: 60 }, RolloutStep { percent: 100, secs: 60 }],
        finishes: true,
        sticky_header: Some("x-user".to_owned()),
        guards: RolloutGuards::default(),
    }
}

fn act(reason: &str, at_millis: i64) -> Act {
    Act { actor: "ada".to_owned(), at_millis, reason: reason.to_owned() }
}

fn end(phase: RolloutPhase, at_millis: i64) -> RolloutEnd {
    RolloutEnd { phase, reason: "because".to_owned(), actor: "ada".to_owned(), figures: None, at_millis }
}

fn filled(a: &dyn Store) {
    for n in 1..=3 {
        a.register_version("wine", &version(n)).unwrap();
    }
}

pub fn one_runs_at_a_time_and_moves_on(a: &dyn Store, b: &dyn Store) {
    filled(a);
    assert_eq!(code(a.newest_rollout("beer")), Code::NotFound);
    assert_eq!(a.newest_rollout("wine").unwrap(), None);
    assert_eq!(code(a.start_rollout("wine", &spec(2), 10)), Code::Conflict, "nothing is in production");
    a.set_alias("wine", "production", 1, Expected::Nothing, 1).unwrap();
    assert_eq!(code(a.start_rollout("wine", &spec(1), 10)), Code::Conflict, "it is there already");
    assert_eq!(code(a.start_rollout("wine", &spec(9), 10)), Code::NotFound);
    assert_eq!(code(a.start_rollout("beer", &spec(2), 10)), Code::NotFound);
    assert_eq!(code(a.start_rollout("wine", &RolloutSpec { steps: vec![], ..spec(2) }, 10)), Code::InvalidArgument);
    let begun = a.start_rollout("wine", &spec(2), 10).unwrap();
    assert_eq!((begun.stable, begun.step, begun.step_since_millis, begun.phase), (1, 0, 10, RolloutPhase::Running));
    assert_eq!((&begun.spec, begun.started_at_millis, begun.ended_at_millis), (&spec(2), 10, None));
    assert_eq!(code(b.start_rollout("wine", &spec(3), 11)), Code::Conflict);
    assert_eq!(b.running_rollouts().unwrap(), std::slice::from_ref(&begun));
    assert_eq!(b.newest_rollout("wine").unwrap(), Some(begun.clone()));
    assert_eq!(code(b.delete_version("wine", 2, &act("old", 12))), Code::Conflict, "a rollout goes on with it");

    assert_eq!(code(b.step_rollout(begun.id, 1, 0, 70)), Code::Conflict, "it is at another step");
    assert_eq!(code(b.step_rollout(begun.id, 0, 2, 70)), Code::Conflict, "it has no such step");
    let moved = b.step_rollout(begun.id, 0, 1, 70).unwrap();
    assert_eq!((moved.step, moved.step_since_millis), (1, 70));
    assert_eq!(code(a.step_rollout(begun.id, 0, 1, 71)), Code::Conflict, "somebody was first");
    assert_eq!(code(a.step_rollout(99, 0, 1, 71)), Code::NotFound);
    assert_eq!(code(a.end_rollout(begun.id, &end(RolloutPhase::Running, 80))), Code::InvalidArgument);
    // A clock that was set back: it never ends before it began.
    let ended = a.end_rollout(begun.id, &end(RolloutPhase::RolledBack, 5)).unwrap();
    assert_eq!((ended.phase, ended.ended_at_millis), (RolloutPhase::RolledBack, Some(10)));
    assert_eq!(ended.reason.as_deref(), Some("because"));
    assert_eq!(code(b.end_rollout(begun.id, &end(RolloutPhase::Aborted, 81))), Code::Conflict);
    assert_eq!(code(b.step_rollout(begun.id, 1, 0, 82)), Code::Conflict);
    assert_eq!(b.running_rollouts().unwrap(), []);
    assert_eq!(b.resolve(&"wine@production".parse().unwrap()).unwrap().version, 1, "the alias stayed");
    let again = b.start_rollout("wine", &spec(3), 90).unwrap();
    assert_eq!(a.newest_rollout("wine").unwrap().map(|rollout| rollout.id), Some(again.id));
}

pub fn a_promotion_moves_the_alias_and_back(a: &dyn Store, b: &dyn Store) {
    filled(a);
    a.set_alias("wine", "production", 1, Expected::Nothing, 1).unwrap();
    let production = || b.resolve(&"wine@production".parse().unwrap()).unwrap().version;
    let begun = a.start_rollout("wine", &spec(2), 10).unwrap();
    assert_eq!(code(b.take_back_rollout(begun.id, &act("no", 15))), Code::Conflict, "it was not promoted");
    let promoted = a.end_rollout(begun.id, &end(RolloutPhase::Promoted, 20)).unwrap();
    assert_eq!((promoted.phase, production()), (RolloutPhase::Promoted, 2));
    let back = b.take_back_rollout(begun.id, &act("it was bad after all", 30)).unwrap();
    assert_eq!((back.phase, back.reason.as_deref()), (RolloutPhase::RolledBack, Some("it was bad after all")));
    assert_eq!(production(), 1);
    assert_eq!(code(b.take_back_rollout(begun.id, &act("again", 31))), Code::Conflict);

    // Somebody moves the alias meanwhile: neither a promotion nor taking it back runs over that.
    let begun = a.start_rollout("wine", &spec(2), 40).unwrap();
    b.set_alias("wine", "production", 3, Expected::Anything, 41).unwrap();
    assert_eq!(code(a.end_rollout(begun.id, &end(RolloutPhase::Promoted, 42))), Code::Conflict);
    assert_eq!(a.running_rollouts().unwrap().len(), 1, "nothing was changed");
    assert_eq!(production(), 3);
    b.set_alias("wine", "production", 1, Expected::Anything, 43).unwrap();
    a.end_rollout(begun.id, &end(RolloutPhase::Promoted, 44)).unwrap();
    b.set_alias("wine", "production", 3, Expected::Anything, 45).unwrap();
    assert_eq!(code(a.take_back_rollout(begun.id, &act("no", 46))), Code::Conflict);
    assert_eq!(production(), 3);
}

pub fn figures_are_noted_without_a_stir(a: &dyn Store, b: &dyn Store) {
    filled(a);
    a.set_alias("wine", "production", 1, Expected::Nothing, 1).unwrap();
    let counter = || b.change_counter().unwrap();
    let before = counter();
    let begun = a.start_rollout("wine", &spec(2), 10).unwrap();
    let after_start = counter();
    assert!(after_start > before);
    let mut figures = RolloutFigures::default();
    (figures.candidate.n_requests, figures.shadow.max_difference) = (7, 0.25);
    a.note_rollout(begun.id, &figures).unwrap();
    a.note_rollout(99, &figures).unwrap();
    assert_eq!(counter(), after_start, "endpoints need not look again");
    assert_eq!(b.newest_rollout("wine").unwrap().unwrap().figures, figures);
    a.step_rollout(begun.id, 0, 1, 20).unwrap();
    let after_step = counter();
    assert!(after_step > after_start);
    let ended = a.end_rollout(begun.id, &end(RolloutPhase::Aborted, 30)).unwrap();
    assert_eq!(ended.figures, figures, "what was noted last is kept");
    assert!(counter() > after_step);
    a.note_rollout(begun.id, &RolloutFigures::default()).unwrap();
    assert_eq!(b.newest_rollout("wine").unwrap().unwrap().figures, figures, "what has ended stays");
}

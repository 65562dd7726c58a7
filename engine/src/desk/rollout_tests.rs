#![allow(clippy::unwrap_used)]

use std::time::Duration;

use athanor_protocol::{
    Code,
    api::{AuditList, EndpointStart, EndpointStop, ModelAlias},
    registry::PRODUCTION,
    rollout::{RolloutGuards, RolloutMode, RolloutSpec, RolloutStep},
};

use super::*;
use crate::desk::{
    Subscription,
    test_desk::{TestDesk, ask},
    test_models::register,
};

fn with_model() -> TestDesk {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    register(&test.desk, "tumours", 2);
    test
}

fn produce(test: &TestDesk, version: u32) {
    let alias = ModelAlias { model: "tumours".to_owned(), alias: PRODUCTION.to_owned(), version: Some(version) };
    ask(&test.desk, alias).unwrap();
}

fn start(candidate: u32, percents: &[u8]) -> RolloutStart {
    let spec = RolloutSpec {
        candidate,
        mode: if percents.len() > 1 { RolloutMode::Linear } else { RolloutMode::Canary },
        steps: percents.iter().map(|&percent| RolloutStep { percent, secs: 3_600 }).collect(),
        finishes: true,
        sticky_header: None,
        guards: RolloutGuards::default(),
    };
    RolloutStart { model: "tumours".to_owned(), spec }
}

fn name() -> String {
    "tumours".to_owned()
}

fn newest(test: &TestDesk) -> Rollout {
    ask(&test.desk, RolloutGet { model: name() }).unwrap().rollout.unwrap()
}

/// Phase and step by each event.
fn told(events: &Subscription) -> Vec<(RolloutPhase, u32)> {
    let rollout = |event: Event| match event {
        Event::RolloutChanged { rollout } => Some((rollout.phase, rollout.step)),
        _ => None,
    };
    events.wait(Duration::ZERO).into_iter().filter_map(|event| rollout(event.event)).collect()
}

#[test]
fn it_starts_goes_on_and_is_taken_back_with_and_without_an_endpoint() {
    for is_running in [false, true] {
        let test = with_model();
        assert_eq!(ask(&test.desk, RolloutGet { model: name() }).unwrap(), RolloutAnswer::default());
        assert_eq!(ask(&test.desk, start(2, &[10])).unwrap_err().code, Code::NotFound, "nothing is in production");
        produce(&test, 1);
        if is_running {
            ask(&test.desk, EndpointStart::default()).unwrap();
        }
        let events = test.desk.subscribe();
        assert_eq!(ask(&test.desk, start(1, &[10])).unwrap_err().code, Code::Conflict);
        assert_eq!(ask(&test.desk, start(9, &[10])).unwrap_err().code, Code::NotFound);
        assert_eq!(ask(&test.desk, start(2, &[50, 10])).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(ask(&test.desk, RolloutPromote { model: name() }).unwrap_err().code, Code::NotFound);
        let begun = ask(&test.desk, start(2, &[10, 50, 100])).unwrap();
        assert_eq!((begun.stable, begun.percent()), (1, 10));
        assert_eq!(newest(&test).phase, RolloutPhase::Running);
        assert_eq!(ask(&test.desk, start(2, &[10])).unwrap_err().code, Code::Conflict);
        let workspace = test.desk.workspace().unwrap();
        rollout::step(&workspace, &begun, 1).unwrap();
        endpoint::refresh(&test.desk);
        assert_eq!(ask(&test.desk, RolloutBack { model: name() }).unwrap().step, 0);
        let promoted = ask(&test.desk, RolloutPromote { model: name() }).unwrap();
        assert_eq!(promoted.phase, RolloutPhase::Promoted);
        let production = || workspace.store.aliased(PRODUCTION).unwrap()[0].version;
        assert_eq!(production(), 2);
        assert_eq!(ask(&test.desk, RolloutAbort { model: name() }).unwrap_err().code, Code::NotFound);
        let back = ask(&test.desk, RolloutBack { model: name() }).unwrap();
        assert_eq!((back.phase, production()), (RolloutPhase::RolledBack, 1));
        assert_eq!(ask(&test.desk, RolloutBack { model: name() }).unwrap_err().code, Code::NotFound);
        ask(&test.desk, start(2, &[10])).unwrap();
        let aborted = ask(&test.desk, RolloutAbort { model: name() }).unwrap();
        assert_eq!((aborted.phase, production()), (RolloutPhase::Aborted, 1));
        let told = told(&events);
        for expect in [
            (RolloutPhase::Running, 0),
            (RolloutPhase::Promoted, 0),
            (RolloutPhase::RolledBack, 0),
            (RolloutPhase::Aborted, 0),
        ] {
            assert!(told.contains(&expect), "{expect:?} in {told:?}");
        }
        let audit = ask(&test.desk, AuditList::default()).unwrap().items;
        let actions: Vec<&str> = audit
            .iter()
            .rev()
            .map(|line| line.action.as_str())
            .filter(|action| action.starts_with("rollout"))
            .collect();
        let expect =
            ["start", "step", "step", "promote", "rollback", "start", "abort"].map(|verb| format!("rollout.{verb}"));
        assert_eq!(actions, expect);
        ask(&test.desk, EndpointStop {}).unwrap();
    }
}

#[test]
fn a_moved_alias_ends_the_rollout_that_stood_on_it() {
    let test = with_model();
    register(&test.desk, "tumours", 3);
    produce(&test, 1);
    ask(&test.desk, EndpointStart::default()).unwrap();
    ask(&test.desk, start(2, &[10])).unwrap();
    let events = test.desk.subscribe();
    produce(&test, 3);
    let ended = newest(&test);
    assert_eq!(ended.phase, RolloutPhase::Aborted);
    assert_eq!(ended.reason.as_deref(), Some("'production' was moved to version 3 meanwhile"));
    assert_eq!(told(&events), [(RolloutPhase::Aborted, 0)]);
    ask(&test.desk, EndpointStop {}).unwrap();
}

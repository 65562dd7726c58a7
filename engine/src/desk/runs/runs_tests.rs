#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    api::{RunDelete, RunGet, RunList, RunMetrics, RunNote, RunRestore, RunSeries, RunTag, SeriesKey},
    metric::{MetricPoint, Split},
    run::{NewRun, StepRecord, StepState},
};
use athanor_store::Batch;

use super::*;
use crate::desk::test_desk::{TestDesk, ask};

fn id(n: u32) -> RunId {
    RunId::new(format!("{n:026}")).unwrap()
}

fn add_run(desk: &Desk, n: u32) -> RunId {
    let workspace = desk.workspace().unwrap();
    let step = |node: &str, kind: &str| StepRecord {
        node: node.to_owned(),
        kind: kind.to_owned(),
        key: "0".repeat(64),
        state: StepState::Pending,
        millis: None,
    };
    let new = NewRun {
        id: id(n),
        workflow: format!("w{n}"),
        workflow_json: "{}".to_owned(),
        seed: 1,
        device: "cpu".to_owned(),
        created_at_millis: i64::from(n),
        steps: vec![step("split", "split"), step("net", "train.mlp")],
        params: vec![("net.epochs".to_owned(), "4".to_owned()), ("split.test".to_owned(), "0.2".to_owned())],
        environment: vec![],
    };
    workspace.store.create_run(&new).unwrap();
    workspace.store.start_attempt(&id(n), 1, &runs::this_process(), 1_000).unwrap();
    id(n)
}

fn record(desk: &Desk, run: &RunId, seq: u64, metrics: Vec<MetricPoint>) {
    desk.workspace().unwrap().store.record(run, 1, seq, &Batch { metrics, ..Batch::default() }).unwrap();
}

fn point(key: &str, split: Split, step: u64, value: f64) -> MetricPoint {
    MetricPoint { key: key.to_owned(), split, step, at_millis: 1_000 + step.cast_signed(), value: value.into() }
}

#[test]
fn a_list_says_what_was_learned_with_what() {
    let test = TestDesk::open();
    (1..=3).for_each(|n| drop(add_run(&test.desk, n)));
    let page = ask(&test.desk, RunList { limit: 2, ..RunList::default() }).unwrap();
    let found: Vec<_> = page.items.iter().map(|row| row.summary.workflow.as_str()).collect();
    assert_eq!(found, ["w3", "w2"]);
    assert_eq!(page.items[0].learners, ["Neural network"]);
    assert_eq!(page.items[0].params, [("net.epochs".to_owned(), "4".to_owned())]);
    let page = ask(&test.desk, RunList { limit: 2, after: page.next, ..RunList::default() }).unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    assert_eq!(ask(&test.desk, RunList { limit: 0, ..RunList::default() }).unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn marks_are_told_to_everybody() {
    let test = TestDesk::open();
    let run = add_run(&test.desk, 1);
    let events = test.desk.subscribe();
    let tag = |value: Option<&str>| RunTag { run: id(1), key: "best".into(), value: value.map(str::to_owned) };
    ask(&test.desk, tag(Some("yes"))).unwrap();
    ask(&test.desk, RunNote { run: run.clone(), note: "look here".into() }).unwrap();
    assert_eq!(ask(&test.desk, RunDelete { runs: vec![run.clone()] }).unwrap_err().code, Code::Conflict);
    let store = &test.desk.workspace().unwrap().store;
    store.finish(&run, 1, RunStatus::Finished, None, false, 2_000).unwrap();
    ask(&test.desk, RunDelete { runs: vec![run.clone()] }).unwrap();
    assert!(ask(&test.desk, RunList::default()).unwrap().items.is_empty());
    ask(&test.desk, RunRestore { runs: vec![run.clone()] }).unwrap();
    ask(&test.desk, tag(None)).unwrap();
    let view = ask(&test.desk, RunGet { run: run.clone() }).unwrap();
    assert_eq!((view.detail.note.as_str(), view.detail.summary.tags.len(), view.progress.len()), ("look here", 0, 2));
    let heard = events.wait(Duration::ZERO);
    assert_eq!(heard.len(), 5);
    assert!(heard.iter().all(|event| matches!(&event.event, Event::RunChanged { run: told } if told.id == run)));
    assert_eq!(ask(&test.desk, RunRestore { runs: vec![id(9)] }).unwrap_err().code, Code::NotFound);
}

#[test]
fn curves_come_with_times_and_epochs() {
    let test = TestDesk::open();
    let run = add_run(&test.desk, 1);
    let curve = (1..=100).map(|step| point("loss", Split::Train, step, 1.0 / step as f64));
    let epochs = (1..=10).map(|epoch| point("epoch", Split::System, epoch * 10, epoch as f64));
    record(&test.desk, &run, 1, curve.chain(epochs).collect());
    let key = |run: &RunId, key: &str, split| SeriesKey { run: run.clone(), key: key.to_owned(), split };
    let get = |series: Vec<SeriesKey>, n_buckets| {
        ask(&test.desk, RunSeries { series, from_step: None, to_step: None, n_buckets })
    };
    let keys =
        vec![key(&run, "nothing", Split::Train), key(&run, "loss", Split::Train), key(&run, "epoch", Split::System)];
    let found = get(keys.clone(), 10).unwrap().series;
    assert_eq!(found.iter().map(|series| &series.key).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    assert!(found[0].buckets.is_empty() && found[0].times.is_empty());
    let loss = &found[1];
    assert_eq!((loss.buckets.len(), loss.times[0], loss.times[9]), (10, [1_001, 1_010], [1_091, 1_100]));
    assert_eq!(loss.epochs, (1..=10).map(f64::from).collect::<Vec<_>>());
    assert!(found[2].epochs.is_empty(), "samples of the system have no epochs");
    assert_eq!(get(keys.clone(), 0).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(get(vec![keys[0].clone(); 201], 1).unwrap_err().code, Code::TooLarge);
    assert_eq!(get(vec![key(&id(7), "loss", Split::Train)], 1).unwrap_err().code, Code::NotFound);
    let names = |text: &str| {
        let ask_for = RunMetrics { run: run.clone(), text: text.into(), offset: 0, limit: 10 };
        ask(&test.desk, ask_for).unwrap().total
    };
    assert_eq!((names(""), names("LOSS"), names("system/"), names("zzz")), (2, 1, 1, 0));
}

#[test]
fn runs_wait_their_turn_in_order_and_can_be_stopped_while_they_wait() {
    let running = Running::default();
    let job = |n: u32| JobSpec {
        version: 1,
        run_id: id(n),
        attempt: 1,
        workflow: String::new(),
        workflow_digest: String::new(),
        seed: 0,
        device: "cpu".into(),
        threads: 1,
        memory_limit_bytes: 0,
        created_at_millis: 0,
        steps: vec![],
    };
    let stops: Vec<StopFlag> = (0..7).map(|_| StopFlag::default()).collect();
    for (n, stop) in (0..).zip(&stops) {
        running.enter(&job(n), stop).unwrap();
    }
    let turns: Vec<bool> = (0..4).map(|n| running.wait_for_turn(&id(n), &stops[n as usize])).collect();
    assert_eq!((turns, running.n_active()), (vec![true; 4], 7));
    assert_eq!(running.stop(&id(4), "no"), Some(true));
    assert!(!running.wait_for_turn(&id(4), &stops[4]));
    running.leave(&id(4));
    // Two wait for one place: the one that came first gets it.
    std::thread::scope(|scope| {
        let later = scope.spawn(|| running.wait_for_turn(&id(6), &stops[6]));
        running.leave(&id(0));
        assert!(running.wait_for_turn(&id(5), &stops[5]));
        running.leave(&id(5));
        assert!(later.join().unwrap());
    });
    assert_eq!((running.stop(&id(1), "no"), running.stop(&id(99), "no")), (Some(false), None));
}

#[test]
fn a_workflow_that_cannot_run_says_why_at_once() {
    let test = TestDesk::open();
    let start = |json: &str, up_to: Option<&str>| {
        let (json, up_to) = (json.to_owned(), up_to.map(str::to_owned));
        ask(&test.desk, RunStart { json, device: "cpu".into(), seed: 0, up_to, again_from: None, token: String::new() })
            .unwrap_err()
    };
    let bad = r#"{"version":2,"name":"t","nodes":[{"id":"a","kind":"split"},{"id":"b","kind":"table.open"},
        {"id":"c","kind":"table.open","params":{"path":"gone.csv"}},{"id":"d","kind":"evaluate"}],"links":[]}"#;
    let failure = start(bad, None);
    assert_eq!((failure.code, failure.subject.as_deref()), (Code::InvalidArgument, Some("a")));
    assert!(failure.message.contains("; and 1 more"), "{}", failure.message);
    let failure = start(bad, Some("c"));
    assert_eq!((failure.code, failure.subject.as_deref()), (Code::NotFound, Some("c")));
    assert_eq!(start(bad, Some("z")).code, Code::NotFound);
    assert_eq!(start("{", None).code, Code::BadData);
    assert!(ask(&test.desk, RunList::default()).unwrap().items.is_empty(), "nothing was written down");
}

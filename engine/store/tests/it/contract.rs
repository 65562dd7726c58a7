//! The contract, run on every mode. A test writes through `a` and reads through `b`: one handle, or two on one file.

use athanor_protocol::{
    Code, Failure,
    learner::Reproducibility,
    metric::{MetricPoint, MetricValue, Split},
    package::DatasetUsed,
    registry::Scope,
    run::{Artifact, RunStatus, StepState},
};
use athanor_store::{
    Batch, Expected, LogLine, NewApiKey, NewAudit, PageRequest, Recorded, RunQuery, RunSort, SqliteStore, StepUpdate,
    Store, limits,
};

use super::help::{id, metrics, new_run, owner, point, running, version};

/// The suite on one mode: an expression that gives something to keep alive and two handles.
macro_rules! store_contract_tests {
    ($mode:ident, $open:expr) => {
        store_contract_tests!($mode, $open; a_run_keeps_everything, states_follow_the_machine, attempts_guard_every_write,
            the_queue_gives_each_run_once, a_batch_is_applied_once, a_batch_is_all_or_nothing, the_latest_value_follows_the_rule,
            a_resumed_run_has_one_history, non_finite_values_stay_what_they_are, points_come_in_pages,
            a_series_is_decimated_without_losing_peaks, logs_are_bounded_and_readable, tags_and_notes_stay_open,
            deletion_is_a_mark, runs_are_found_by_prefix, lists_are_filtered, every_order_pages_without_gap_or_repeat,
            versions_are_counted_and_immutable, aliases_move_and_move_back, keys_live_and_end, signers_are_trusted_and_not,
            the_audit_log_grows, the_change_counter_tells);
    };
    ($mode:ident, $open:expr; $($name:ident),*) => {
        mod $mode {
            $(#[test]
            fn $name() {
                let (_keep, a, b) = $open;
                super::$name(&*a, b.as_deref().unwrap_or(&*a));
            })*
        }
    };
}

type Modes = (tempfile::TempDir, Box<dyn Store>, Option<Box<dyn Store>>);

fn in_file(two: bool) -> Modes {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Box<dyn Store> { Box::new(SqliteStore::open(&folder.path().join("athanor.db")).unwrap()) };
    let (a, b) = (open(), two.then(open));
    (folder, a, b)
}

store_contract_tests!(file, super::in_file(false));
store_contract_tests!(two_handles_on_one_file, super::in_file(true));
store_contract_tests!(memory, {
    let store: Box<dyn super::Store> = Box::new(super::SqliteStore::open_in_memory().unwrap());
    ((), store, None::<Box<dyn super::Store>>)
});

fn code<T: std::fmt::Debug>(result: athanor_store::Result<T>) -> Code {
    result.unwrap_err().code()
}

fn a_run_keeps_everything(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let text = |text: &str| text.to_owned();
    let artifact =
        Artifact { name: text("train.model"), kind: text("model_package"), digest: text("blake3:1"), n_bytes: 9 };
    let dataset = DatasetUsed { name: text("wine.csv"), digest: text("blake3:2"), n_rows: 178 };
    let batch = Batch {
        metrics: vec![point("loss", 3, 0.5)],
        steps: vec![StepUpdate { node: text("open"), state: StepState::Done, millis: Some(12) }],
        params: vec![(text("train.found"), text("3")), (text("train.epochs"), text("40"))],
        tags: vec![(text("purpose"), text("paper"))],
        datasets: vec![dataset.clone()],
        artifacts: vec![artifact.clone()],
        logs: vec![LogLine { at_millis: 5, level: text("info"), text: text("hello") }],
        environment: vec![(text("threads"), text("2"))],
        reproducibility: Some(Reproducibility::Bitwise),
    };
    assert_eq!(a.record(&run, 1, 1, &batch).unwrap(), Recorded::Applied);
    let found = b.run(&run).unwrap();
    let new = new_run(1);
    assert_eq!((found.summary.seed, found.summary.attempt, found.summary.status), (u64::MAX, 1, RunStatus::Running));
    assert_eq!((found.summary.created_at_millis, found.summary.started_at_millis), (1_001, Some(2_000)));
    assert_eq!((found.summary.ended_at_millis, found.summary.failure.clone()), (None, None));
    assert_eq!((found.summary.workflow.as_str(), found.summary.device.as_str()), ("wine", "cpu"));
    assert_eq!(found.summary.latest, batch.metrics);
    assert_eq!(found.summary.tags, batch.tags);
    assert_eq!(found.summary.reproducibility, Some(Reproducibility::Bitwise));
    assert_eq!(found.workflow_json, new.workflow_json);
    assert_eq!(found.steps.iter().map(|s| s.node.as_str()).collect::<Vec<_>>(), ["open", "train", "another"]);
    assert_eq!((found.steps[0].state, found.steps[0].millis), (StepState::Done, Some(12)));
    assert_eq!(found.params, [(text("train.epochs"), text("40")), (text("train.found"), text("3"))]);
    assert_eq!(found.environment, [(text("host"), text("here")), (text("threads"), text("2"))]);
    assert_eq!((found.datasets, found.artifacts), (vec![dataset], vec![artifact]));
    assert_eq!(found.owner, Some(owner()));
    let logs = b.logs(&run, 0, 10).unwrap();
    assert_eq!((logs.len(), logs[0].no, logs[0].attempt, &logs[0].line), (1, 1, 1, &batch.logs[0]));
    assert_eq!(code(a.create_run(&new)), Code::AlreadyExists);
    let weaker = Batch { reproducibility: Some(Reproducibility::WithinTolerance), ..Batch::default() };
    a.record(&run, 1, 2, &weaker).unwrap();
    let stronger = Batch { reproducibility: Some(Reproducibility::Bitwise), ..Batch::default() };
    a.record(&run, 1, 3, &stronger).unwrap();
    assert_eq!(b.run(&run).unwrap().summary.reproducibility, Some(Reproducibility::WithinTolerance));
}

/// Every transition from every state, and whether it is allowed.
fn states_follow_the_machine(a: &dyn Store, b: &dyn Store) {
    use RunStatus::{Cancelled, Failed, Finished, Queued, Running};
    type Act = fn(&dyn Store, u32, u32) -> athanor_store::Result<()>;
    let acts: [(&str, Act); 6] = [
        ("start", |s, n, at| s.start_attempt(&id(n), at, &owner(), 3_000)),
        ("finish", |s, n, at| s.finish(&id(n), at, Finished, None, false, 4_000)),
        ("fail", |s, n, at| s.finish(&id(n), at, Failed, Some(&Failure::new(Code::BadData, "no")), true, 4_000)),
        ("cancel", |s, n, at| s.finish(&id(n), at, Cancelled, None, true, 4_000)),
        ("resume", |s, n, _| s.resume(&id(n), 5_000).map(drop)),
        ("delete", |s, n, _| s.delete_run(&id(n), 6_000)),
    ];
    let table: [(RunStatus, &[(&str, RunStatus)]); 5] = [
        (Queued, &[("start", Running), ("fail", Failed), ("cancel", Cancelled)]),
        (Running, &[("finish", Finished), ("fail", Failed), ("cancel", Cancelled)]),
        (Finished, &[("delete", Finished)]),
        (Failed, &[("resume", Queued), ("delete", Failed)]),
        (Cancelled, &[("resume", Queued), ("delete", Cancelled)]),
    ];
    let mut n = 0;
    for (from, allowed) in table {
        for (name, act) in acts {
            n += 1;
            a.create_run(&new_run(n)).unwrap();
            if from != Queued {
                a.start_attempt(&id(n), 1, &owner(), 2_000).unwrap();
            }
            if from.is_final() {
                a.finish(&id(n), 1, from, None, true, 3_500).unwrap();
            }
            let before = b.run(&id(n)).unwrap();
            let expect = allowed.iter().find(|(other, _)| *other == name).map(|(_, to)| *to);
            let result = act(a, n, 1);
            assert_eq!(result.is_ok(), expect.is_some(), "{name} from {from:?}: {result:?}");
            let after = b.run(&id(n)).unwrap();
            match expect {
                Some(to) => assert_eq!(after.summary.status, to, "{name} from {from:?}"),
                None => {
                    assert_eq!(code(result), Code::Conflict, "{name} from {from:?}");
                    assert_eq!(after, before, "{name} from {from:?}");
                }
            }
        }
    }
    // The same end again is a retry, another one is not.
    let run = running(a, 100);
    let failure = Failure::new(Code::OutOfMemory, "too much").on("train").hint("less");
    a.finish(&run, 1, Failed, Some(&failure), true, 4_000).unwrap();
    a.finish(&run, 1, Failed, Some(&failure), true, 4_000).unwrap();
    assert_eq!(code(a.finish(&run, 1, Failed, Some(&failure), true, 4_001)), Code::Conflict);
    assert_eq!(code(a.finish(&run, 1, Queued, None, true, 4_001)), Code::InvalidArgument);
    let found = b.run(&run).unwrap();
    assert_eq!((found.summary.failure, found.summary.resumable, found.owner), (Some(failure), true, None));
    assert_eq!(found.summary.ended_at_millis, Some(4_000));
    assert_eq!(code(b.run(&id(999))), Code::NotFound);
}

fn attempts_guard_every_write(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let running_step = StepUpdate { node: "train".to_owned(), state: StepState::Running, millis: None };
    a.record(&run, 1, 1, &Batch { steps: vec![running_step], ..Batch::default() }).unwrap();
    a.request_cancel(&run, "enough", 2_500).unwrap();
    a.request_cancel(&run, "again", 2_600).unwrap();
    assert_eq!(b.cancel_reason(&run).unwrap().as_deref(), Some("enough"));
    a.finish(&run, 1, RunStatus::Failed, None, true, 3_000).unwrap();
    assert_eq!(b.run(&run).unwrap().steps[1].state, StepState::Failed);
    assert_eq!(code(a.request_cancel(&run, "late", 3_100)), Code::Conflict);
    assert_eq!(a.resume(&run, 4_000).unwrap(), 2);
    let found = b.run(&run).unwrap();
    assert_eq!((found.summary.status, found.summary.attempt), (RunStatus::Queued, 2));
    assert_eq!((found.summary.started_at_millis, found.summary.ended_at_millis), (None, None));
    assert_eq!(found.steps[1].state, StepState::Pending);
    assert_eq!(b.cancel_reason(&run).unwrap(), None);
    // Not started yet.
    assert_eq!(code(a.record(&run, 2, 1, &metrics(vec![point("loss", 1, 1.0)]))), Code::Conflict);
    assert_eq!(code(a.start_attempt(&run, 1, &owner(), 4_500)), Code::Conflict);
    a.start_attempt(&run, 2, &owner(), 4_500).unwrap();
    // A late word of the first attempt.
    assert_eq!(a.record(&run, 1, 2, &metrics(vec![point("loss", 1, 1.0)])).unwrap(), Recorded::Stale);
    assert_eq!(code(a.heartbeat(&run, 1, 9_000)), Code::Conflict);
    assert_eq!(code(a.finish(&run, 1, RunStatus::Finished, None, false, 9_000)), Code::Conflict);
    assert_eq!(code(a.record(&run, 3, 1, &Batch::default())), Code::Conflict);
    assert!(b.run(&run).unwrap().summary.latest.is_empty());
    a.heartbeat(&run, 2, 9_000).unwrap();
    a.heartbeat(&run, 2, 8_000).unwrap();
    let active = b.running().unwrap();
    assert_eq!((active.len(), active[0].heartbeat_at_millis, active[0].attempt), (1, Some(9_000), 2));
    assert_eq!(active[0].owner, Some(owner()));
    a.finish(&run, 2, RunStatus::Finished, None, false, 9_500).unwrap();
    assert_eq!(a.record(&run, 2, 9, &metrics(vec![point("loss", 1, 1.0)])).unwrap(), Recorded::Stale);
    assert!(b.running().unwrap().is_empty());
}

fn the_queue_gives_each_run_once(a: &dyn Store, b: &dyn Store) {
    for n in [3, 1, 2] {
        a.create_run(&new_run(n)).unwrap();
    }
    a.request_cancel(&id(2), "not needed", 1_500).unwrap();
    let found = b.run(&id(2)).unwrap().summary;
    assert_eq!((found.status, found.resumable), (RunStatus::Cancelled, true));
    assert_eq!(
        found.failure.map(|failure| (failure.code, failure.message)),
        Some((Code::Cancelled, "not needed".into()))
    );
    assert_eq!(b.claim(&owner(), 2_000).unwrap(), Some((id(1), 1)));
    assert_eq!(a.claim(&owner(), 2_000).unwrap(), Some((id(3), 1)));
    assert_eq!(b.claim(&owner(), 2_000).unwrap(), None);
    a.resume(&id(2), 3_000).unwrap();
    assert_eq!(b.claim(&owner(), 3_000).unwrap(), Some((id(2), 2)));
    // Many at once: each run goes to exactly one.
    (10..60).for_each(|n| a.create_run(&new_run(n)).unwrap());
    let mut got: Vec<_> = std::thread::scope(|scope| {
        let claim =
            |store: &dyn Store| -> Vec<_> { std::iter::from_fn(|| store.claim(&owner(), 2_000).unwrap()).collect() };
        let others = [scope.spawn(move || claim(a)), scope.spawn(move || claim(b)), scope.spawn(move || claim(b))];
        others.into_iter().flat_map(|other| other.join().unwrap()).collect()
    });
    got.sort();
    assert_eq!(got, (10..60).map(|n| (id(n), 1)).collect::<Vec<_>>());
}

fn a_batch_is_applied_once(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let line = LogLine { at_millis: 1, level: "info".to_owned(), text: "once".to_owned() };
    let batch = Batch { metrics: vec![point("loss", 1, 1.0)], logs: vec![line], ..Batch::default() };
    assert_eq!(a.record(&run, 1, 5, &batch).unwrap(), Recorded::Applied);
    assert_eq!(b.record(&run, 1, 5, &metrics(vec![point("loss", 1, 9.0)])).unwrap(), Recorded::Duplicate);
    // Numbers need not come in order, and need not be small.
    for seq in [2, 1 << 60] {
        assert_eq!(a.record(&run, 1, seq, &batch).unwrap(), Recorded::Applied);
    }
    a.finish(&run, 1, RunStatus::Finished, None, false, 9_000).unwrap();
    assert_eq!(a.record(&run, 1, 5, &batch).unwrap(), Recorded::Duplicate);
    assert_eq!(a.record(&run, 1, 6, &batch).unwrap(), Recorded::Stale);
    assert_eq!(b.run(&run).unwrap().summary.latest, batch.metrics);
    assert_eq!(b.logs(&run, 0, 10).unwrap().len(), 3);
}

fn a_batch_is_all_or_nothing(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let nowhere = StepUpdate { node: "nowhere".to_owned(), state: StepState::Done, millis: None };
    let changed = ("train.epochs".to_owned(), "41".to_owned());
    let good = metrics(vec![point("loss", 1, 1.0)]);
    assert_eq!(code(a.record(&run, 1, 1, &Batch { steps: vec![nowhere], ..good.clone() })), Code::NotFound);
    assert_eq!(code(a.record(&run, 1, 1, &Batch { params: vec![changed], ..good.clone() })), Code::Conflict);
    assert_eq!(code(a.record(&id(2), 1, 1, &good)), Code::NotFound);
    assert!(b.run(&run).unwrap().summary.latest.is_empty());
    assert!(b.points(&run, "loss", Split::Train, &PageRequest::first(10)).unwrap().items.is_empty());
    assert_eq!(a.record(&run, 1, 1, &good).unwrap(), Recorded::Applied);
}

fn all_points(store: &dyn Store, run: &athanor_protocol::names::RunId, key: &str, split: Split) -> Vec<(u64, f64)> {
    let page = store.points(run, key, split, &PageRequest::first(limits::PAGE_SIZE)).unwrap();
    page.items.iter().map(|point| (point.step, point.value.to_f64())).collect()
}

fn the_latest_value_follows_the_rule(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    // The greatest step, whenever it comes; of one step the one recorded last.
    let check = |seq, points: &[(u64, f64)], expect: (u64, f64)| {
        let batch = points.iter().map(|(step, value)| point("loss", *step, *value)).collect();
        a.record(&run, 1, seq, &metrics(batch)).unwrap();
        let latest = b.run(&run).unwrap().summary.latest;
        assert_eq!((latest.len(), latest[0].step, latest[0].value.to_f64()), (1, expect.0, expect.1), "batch {seq}");
    };
    check(1, &[(5, 0.5), (3, 0.3)], (5, 0.5));
    check(2, &[(4, 0.4)], (5, 0.5));
    check(3, &[(5, 0.6)], (5, 0.6));
    check(4, &[(7, 0.7), (7, 0.8), (6, 0.6)], (7, 0.8));
    assert_eq!(all_points(b, &run, "loss", Split::Train), [(3, 0.3), (4, 0.4), (5, 0.6), (6, 0.6), (7, 0.8)]);
    // The same key in another split is another series.
    let other = MetricPoint { split: Split::Valid, ..point("loss", 1, 9.0) };
    a.record(&run, 1, 5, &metrics(vec![other])).unwrap();
    assert_eq!(b.run(&run).unwrap().summary.latest.len(), 2);
}

fn a_resumed_run_has_one_history(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let system = |step| MetricPoint { split: Split::System, ..point("cpu_percent", step, 1.0) };
    let first = (0..10).map(|step| point("loss", step, 1.0)).chain((0..10).map(system)).collect();
    a.record(&run, 1, 1, &metrics(first)).unwrap();
    a.finish(&run, 1, RunStatus::Failed, None, true, 3_000).unwrap();
    a.resume(&run, 4_000).unwrap();
    a.start_attempt(&run, 2, &owner(), 4_000).unwrap();
    // It goes on from the checkpoint at step 6 and stops early at 7.
    a.record(&run, 2, 1, &metrics(vec![point("loss", 6, 2.0), system(10)])).unwrap();
    a.record(&run, 2, 2, &metrics(vec![point("loss", 7, 2.0)])).unwrap();
    let expect: Vec<_> = (0..8).map(|step| (step, if step < 6 { 1.0 } else { 2.0 })).collect();
    assert_eq!(all_points(b, &run, "loss", Split::Train), expect);
    assert_eq!(all_points(b, &run, "cpu_percent", Split::System).len(), 11);
    let latest = b.run(&run).unwrap().summary.latest;
    assert_eq!((latest[0].step, latest[0].value), (7, MetricValue::Finite(2.0)));
}

fn non_finite_values_stay_what_they_are(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE, f64::MAX, 0.1, -1.0 / 3.0];
    let points: Vec<_> = (0..).zip(values).map(|(step, value)| point("loss", step, value)).collect();
    a.record(&run, 1, 1, &metrics(points.clone())).unwrap();
    let page = b.points(&run, "loss", Split::Train, &PageRequest::first(100)).unwrap();
    assert_eq!(page.items, points);
    for (seq, value) in (2..).zip(values) {
        a.record(&run, 1, seq, &metrics(vec![point("loss", 100, value)])).unwrap();
        assert_eq!(b.run(&run).unwrap().summary.latest[0].value, MetricValue::from(value));
    }
}

fn points_come_in_pages(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let points: Vec<_> = (0..25).map(|step| point("loss", step * 3, 0.0)).collect();
    let keys: Vec<_> = (0..25).map(|n| point(&format!("key{n:02}"), 0, 0.0)).collect();
    a.record(&run, 1, 1, &metrics(points.iter().chain(&keys).cloned().collect())).unwrap();
    let pages = |ask: &dyn Fn(&PageRequest) -> athanor_store::Page<MetricPoint>| {
        let mut found = vec![];
        let mut request = PageRequest::first(10);
        loop {
            let page = ask(&request);
            assert!(page.items.len() == 10 || page.next.is_none());
            found.extend(page.items);
            match page.next {
                Some(next) => request = PageRequest::after(10, next),
                None => return found,
            }
        }
    };
    assert_eq!(pages(&|request| b.points(&run, "loss", Split::Train, request).unwrap()), points);
    assert_eq!(pages(&|request| b.metric_keys(&run, request).unwrap()).len(), 26);
    // A token of one list is refused by another.
    let token = b.points(&run, "loss", Split::Train, &PageRequest::first(3)).unwrap().next.unwrap();
    for token in [token.as_str(), "", "zz", "3030303030", "é"] {
        assert_eq!(code(b.metric_keys(&run, &PageRequest::after(3, token))), Code::InvalidArgument, "{token}");
    }
    for size in [0, limits::PAGE_SIZE + 1] {
        assert_eq!(code(b.points(&run, "loss", Split::Train, &PageRequest::first(size))), Code::InvalidArgument);
    }
    assert_eq!(code(b.points(&id(2), "loss", Split::Train, &PageRequest::first(3))), Code::NotFound);
    assert!(b.points(&run, "unknown", Split::Train, &PageRequest::first(3)).unwrap().items.is_empty());
}

fn a_series_is_decimated_without_losing_peaks(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let value = |step: u64| match step {
        137 => 1e9,
        811 => -1e9,
        500 => f64::NAN,
        501 => f64::INFINITY,
        step => step as f64,
    };
    a.record(&run, 1, 1, &metrics((0..1_000).map(|step| point("loss", step, value(step))).collect())).unwrap();
    let check = |range, n_buckets: u32, expect: std::ops::Range<u64>| {
        let buckets = b.series(&run, "loss", Split::Train, range, n_buckets).unwrap();
        assert!(buckets.len() <= n_buckets as usize);
        let mut steps = expect.clone();
        for bucket in &buckets {
            let inside: Vec<_> = steps.by_ref().take(bucket.n_points as usize).collect();
            assert_eq!((inside.first(), inside.last()), (Some(&bucket.step_min), Some(&bucket.step_max)));
            let values = || inside.iter().map(|step| value(*step)).filter(|value| value.is_finite());
            assert_eq!(bucket.min, values().reduce(f64::min));
            assert_eq!(bucket.max, values().reduce(f64::max));
            assert_eq!(bucket.last, values().next_back());
            assert_eq!(bucket.n_non_finite as usize, inside.len() - values().count());
        }
        assert_eq!(steps.next(), None, "{n_buckets} buckets leave points out");
    };
    for n_buckets in [1, 3, 100, 999, 1_000, 10_000] {
        check(None, n_buckets, 0..1_000);
        check(Some(450..=549), n_buckets, 450..550);
        check(Some(900..=u64::MAX), n_buckets, 900..1_000);
        check(Some(5_000..=u64::MAX), n_buckets, 0..0);
    }
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = Some(9..=3);
    assert!(b.series(&run, "loss", Split::Train, backwards, 10).unwrap().is_empty());
    assert!(b.series(&run, "unknown", Split::Train, None, 10).unwrap().is_empty());
    for n_buckets in [0, limits::BUCKETS + 1] {
        assert_eq!(code(b.series(&run, "loss", Split::Train, None, n_buckets)), Code::InvalidArgument);
    }
    // The widest range there can be.
    let wide = i64::MAX.cast_unsigned();
    a.record(&run, 1, 2, &metrics(vec![point("wide", 0, 1.0), point("wide", wide, 2.0)])).unwrap();
    for n_buckets in [1, 2, 10_000] {
        let buckets = b.series(&run, "wide", Split::Train, None, n_buckets).unwrap();
        assert_eq!(buckets.iter().map(|bucket| bucket.n_points).sum::<u64>(), 2);
        assert_eq!(buckets.last().unwrap().step_max, wide);
    }
}

fn logs_are_bounded_and_readable(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let line = |text: String| LogLine { at_millis: 1, level: "error".to_owned(), text };
    let long = "é".repeat(limits::LOG_LINE_BYTES);
    let nasty = Batch { logs: vec![line("a\0b\x1b[31m\tc\n".into()), line(long)], ..Batch::default() };
    a.record(&run, 1, 1, &nasty).unwrap();
    let found = b.logs(&run, 0, 10).unwrap();
    assert_eq!(found[0].line.text, "a\u{fffd}b\u{fffd}[31m\tc\u{fffd}");
    assert_eq!(found[1].line.text.len(), limits::LOG_LINE_BYTES);
    let n_kept = limits::LOG_LINES.unsigned_abs();
    for (seq, n_lines) in [(2, n_kept - 1), (3, 10), (4, n_kept + 5)] {
        let logs = (0..n_lines).map(|n| line(format!("{seq}.{n}"))).collect();
        a.record(&run, 1, seq, &Batch { logs, ..Batch::default() }).unwrap();
        let found = b.logs(&run, 0, u32::MAX).unwrap();
        assert_eq!(found.len() as u64, n_kept);
        assert_eq!(found.last().unwrap().line.text, format!("{seq}.{}", n_lines - 1));
    }
    let last = b.logs(&run, 0, u32::MAX).unwrap().last().unwrap().no;
    assert_eq!(last, 2 + n_kept - 1 + 10 + n_kept + 5);
    assert_eq!(b.logs(&run, last - 3, 2).unwrap().iter().map(|line| line.no).collect::<Vec<_>>(), [last - 2, last - 1]);
    assert!(b.logs(&run, u64::MAX, 2).unwrap().is_empty());
    assert_eq!(code(b.logs(&id(2), 0, 2)), Code::NotFound);
}

fn tags_and_notes_stay_open(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    a.finish(&run, 1, RunStatus::Finished, None, false, 3_000).unwrap();
    a.set_tag(&run, "b", "1").unwrap();
    a.set_tag(&run, "a", "<b>\n").unwrap();
    a.set_tag(&run, "b", "2").unwrap();
    a.set_note(&run, "worth\na look").unwrap();
    let found = b.run(&run).unwrap();
    assert_eq!(found.summary.tags, [("a".into(), "<b>\n".into()), ("b".into(), "2".into())]);
    assert_eq!(found.note, "worth\na look");
    assert!(a.remove_tag(&run, "b").unwrap());
    assert!(!a.remove_tag(&run, "b").unwrap());
    assert_eq!(code(a.set_tag(&id(2), "a", "")), Code::NotFound);
    assert_eq!(code(a.remove_tag(&id(2), "a")), Code::NotFound);
    assert_eq!(code(a.set_note(&id(2), "a")), Code::NotFound);
    assert_eq!(code(a.set_note(&run, &"x".repeat(limits::NOTE_BYTES + 1))), Code::InvalidArgument);
}

fn deletion_is_a_mark(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    assert_eq!(code(a.delete_run(&run, 3_000)), Code::Conflict);
    a.finish(&run, 1, RunStatus::Failed, None, true, 3_000).unwrap();
    a.delete_run(&run, 3_100).unwrap();
    a.delete_run(&run, 3_200).unwrap();
    let n_listed = |deleted| b.list_runs(&RunQuery { deleted, ..RunQuery::default() }).unwrap().items.len();
    assert_eq!((n_listed(false), n_listed(true)), (0, 1));
    assert_eq!(b.run(&run).unwrap().summary.id, run);
    assert_eq!(code(a.resume(&run, 4_000)), Code::Conflict);
    a.restore_run(&run).unwrap();
    assert_eq!((n_listed(false), n_listed(true)), (1, 0));
    assert_eq!(a.resume(&run, 4_000).unwrap(), 2);
    assert_eq!(code(a.delete_run(&id(9), 0)), Code::NotFound);
    assert_eq!(code(a.restore_run(&id(9))), Code::NotFound);
}

fn runs_are_found_by_prefix(a: &dyn Store, b: &dyn Store) {
    for n in [1, 12, 13] {
        a.create_run(&new_run(n)).unwrap();
    }
    let zeros = "0".repeat(24);
    let check = |prefix: String, expect: Result<u32, Code>| {
        assert_eq!(b.resolve_run(&prefix).map_err(|err| err.code()), expect.map(id), "{prefix:?}");
    };
    check(format!("{zeros}01"), Ok(1));
    check(format!("{zeros}0"), Ok(1));
    check(format!("{zeros}12"), Ok(12));
    check(format!("{zeros}1"), Err(Code::Conflict));
    check("0".into(), Err(Code::Conflict));
    check("1".into(), Err(Code::NotFound));
    for bad in ["", "%", "_", "../x", "A", "0\0", &"0".repeat(27), "é"] {
        check(bad.into(), Err(Code::InvalidArgument));
    }
}

fn lists_are_filtered(a: &dyn Store, b: &dyn Store) {
    for (n, workflow) in [(1, "Wine"), (2, "digits"), (3, "100%_done")] {
        let mut run = new_run(n);
        run.workflow = workflow.to_owned();
        a.create_run(&run).unwrap();
    }
    a.set_tag(&id(2), "purpose", "WINE paper").unwrap();
    a.request_cancel(&id(3), "no", 2_000).unwrap();
    let check = |query: RunQuery, expect: &[u32]| {
        let found: Vec<_> = b.list_runs(&query).unwrap().items.into_iter().map(|run| run.id).collect();
        assert_eq!(found, expect.iter().map(|n| id(*n)).collect::<Vec<_>>(), "{query:?}");
    };
    let text = |text: &str| RunQuery { text: Some(text.to_owned()), ..RunQuery::default() };
    check(RunQuery::default(), &[3, 2, 1]);
    check(text(""), &[3, 2, 1]);
    check(text("wine"), &[2, 1]);
    check(text("purpose"), &[2]);
    check(text("%"), &[3]);
    check(text("0%_d"), &[3]);
    check(text(id(1).as_str()), &[1]);
    check(text("' OR 1=1 --"), &[]);
    check(RunQuery { workflow: Some("Wine".into()), ..RunQuery::default() }, &[1]);
    check(RunQuery { workflow: Some("win".into()), ..RunQuery::default() }, &[]);
    check(RunQuery { status: vec![RunStatus::Cancelled], ..RunQuery::default() }, &[3]);
    check(RunQuery { status: vec![RunStatus::Cancelled, RunStatus::Queued], ..RunQuery::default() }, &[3, 2, 1]);
    check(RunQuery { status: vec![RunStatus::Queued], ..text("wine") }, &[2, 1]);
    check(RunQuery { status: vec![RunStatus::Running], ..RunQuery::default() }, &[]);
}

fn every_order_pages_without_gap_or_repeat(a: &dyn Store, b: &dyn Store) {
    let values =
        [Some(0.5), None, Some(f64::NAN), Some(-2.0), Some(0.5), Some(f64::INFINITY), None, Some(7.5), Some(0.0)];
    for (n, value) in (1..).zip(values) {
        let mut run = new_run(n);
        // Ties everywhere.
        run.created_at_millis = i64::from(n / 3);
        a.create_run(&run).unwrap();
        a.start_attempt(&id(n), 1, &owner(), 1_000).unwrap();
        if let Some(value) = value {
            a.record(&id(n), 1, 1, &metrics(vec![point("loss", 0, value)])).unwrap();
        }
        if n % 4 != 0 {
            a.finish(&id(n), 1, RunStatus::Finished, None, false, 1_000 + i64::from(n % 3)).unwrap();
        }
    }
    let metric = RunSort::Metric { key: "loss".into(), split: Split::Train };
    for sort in [RunSort::Created, RunSort::Duration, metric.clone()] {
        for descending in [false, true] {
            let query = |page| RunQuery { sort: sort.clone(), descending, page, ..RunQuery::default() };
            let whole = b.list_runs(&query(PageRequest::first(100))).unwrap();
            assert_eq!((whole.items.len(), whole.next), (9, None));
            for size in 1..9 {
                let mut found = vec![];
                let mut request = PageRequest::first(size);
                loop {
                    let page = b.list_runs(&query(request)).unwrap();
                    found.extend(page.items);
                    match page.next {
                        Some(next) => request = PageRequest::after(size, next),
                        None => break,
                    }
                }
                assert_eq!(found, whole.items, "{sort:?} {descending} in pages of {size}");
            }
        }
    }
    let order = |sort: RunSort, descending| -> Vec<u32> {
        let query = RunQuery { sort, descending, page: PageRequest::first(100), ..RunQuery::default() };
        b.list_runs(&query).unwrap().items.iter().map(|run| run.id.as_str().parse().unwrap()).collect()
    };
    assert_eq!(order(metric.clone(), false), [4, 9, 1, 5, 8, 3, 6, 2, 7]);
    assert_eq!(order(metric.clone(), true), [8, 5, 1, 9, 4, 6, 3, 7, 2]);
    assert_eq!(order(RunSort::Created, false), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(order(RunSort::Duration, true), [5, 2, 7, 1, 9, 6, 3, 8, 4]);
    // A token of one order is refused by another.
    let first = RunQuery { sort: metric, page: PageRequest::first(2), ..RunQuery::default() };
    let token = b.list_runs(&first).unwrap().next.unwrap();
    let other = RunQuery { page: PageRequest::after(2, token), ..RunQuery::default() };
    assert_eq!(code(b.list_runs(&other)), Code::InvalidArgument);
}

fn versions_are_counted_and_immutable(a: &dyn Store, b: &dyn Store) {
    let first = a.register_version("wine", &version(1)).unwrap();
    assert_eq!((first.version, first.model.as_str(), first.run_id.clone()), (1, "wine", Some(id(1))));
    assert_eq!(first.metrics[0].value, MetricValue::NaN);
    assert_eq!(b.register_version("wine", &version(2)).unwrap().version, 2);
    // The same package again is the same version, whatever else is said with it.
    let again = athanor_store::NewVersion { run_id: None, created_at_millis: 99, ..version(1) };
    assert_eq!(b.register_version("wine", &again).unwrap(), first);
    assert_eq!(a.register_version("digits", &version(1)).unwrap().version, 1);
    let reference = |text: &str| text.parse().unwrap();
    assert_eq!(b.resolve(&reference("wine")).unwrap().version, 2);
    assert_eq!(b.resolve(&reference("wine@latest")).unwrap().version, 2);
    assert_eq!(b.resolve(&reference("wine:1")).unwrap(), first);
    for missing in ["wine:3", "wine@production", "beer", "Wine"] {
        assert_eq!(code(b.resolve(&reference(missing))), Code::NotFound, "{missing}");
    }
    let page = b.versions("wine", &PageRequest::first(1)).unwrap();
    assert_eq!(page.items[0].version, 2);
    let page = b.versions("wine", &PageRequest::after(1, page.next.unwrap())).unwrap();
    assert_eq!((page.items[0].version, page.next), (1, None));
    assert_eq!(code(b.versions("beer", &PageRequest::first(1))), Code::NotFound);
    let models = b.models(&PageRequest::first(1)).unwrap();
    assert_eq!((models.items[0].name.as_str(), models.items[0].latest), ("digits", 1));
    let models = b.models(&PageRequest::after(1, models.next.unwrap())).unwrap();
    let wine = &models.items[0];
    assert_eq!((wine.name.as_str(), wine.n_versions, wine.latest, wine.updated_at_millis), ("wine", 2, 2, 2));
    // Many at once: numbers without gap or repeat.
    let mut numbers: Vec<_> = std::thread::scope(|scope| {
        let register = |store: &dyn Store, from: u32| -> Vec<_> {
            (from..from + 10).map(|n| store.register_version("wine", &version(n)).unwrap().version).collect()
        };
        let others = [scope.spawn(move || register(a, 100)), scope.spawn(move || register(b, 200))];
        others.into_iter().flat_map(|other| other.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (3..23).collect::<Vec<_>>());
}

fn aliases_move_and_move_back(a: &dyn Store, b: &dyn Store) {
    a.register_version("wine", &version(1)).unwrap();
    a.register_version("wine", &version(2)).unwrap();
    a.register_version("digits", &version(3)).unwrap();
    assert_eq!(a.set_alias("wine", "production", 1, Expected::Nothing, 1).unwrap(), None);
    assert_eq!(a.set_alias("wine", "production", 2, Expected::Version(1), 2).unwrap(), Some(1));
    for expected in [Expected::Nothing, Expected::Version(1)] {
        assert_eq!(code(a.set_alias("wine", "production", 1, expected, 3)), Code::Conflict);
        assert_eq!(code(a.remove_alias("wine", "production", expected)), Code::Conflict);
    }
    assert_eq!(b.resolve(&"wine@production".parse().unwrap()).unwrap().version, 2);
    // Undone with what the move returned.
    assert_eq!(a.set_alias("wine", "production", 1, Expected::Version(2), 4).unwrap(), Some(2));
    a.set_alias("digits", "production", 1, Expected::Anything, 5).unwrap();
    a.set_alias("wine", "candidate", 1, Expected::Anything, 5).unwrap();
    let served = b.aliased("production").unwrap();
    let names: Vec<_> = served.iter().map(|v| (v.model.as_str(), v.version)).collect();
    assert_eq!(names, [("digits", 1), ("wine", 1)]);
    assert_eq!(served[1].aliases, ["candidate", "production"]);
    assert_eq!(
        b.models(&PageRequest::first(9)).unwrap().items[1].aliases,
        [("candidate".into(), 1), ("production".into(), 1)]
    );
    assert_eq!(a.remove_alias("wine", "production", Expected::Anything).unwrap(), Some(1));
    assert_eq!(a.remove_alias("wine", "production", Expected::Anything).unwrap(), None);
    assert_eq!(b.aliased("production").unwrap().len(), 1);
    assert_eq!(code(a.set_alias("wine", "production", 3, Expected::Anything, 6)), Code::NotFound);
    assert_eq!(code(a.set_alias("beer", "production", 1, Expected::Anything, 6)), Code::NotFound);
    assert_eq!(code(a.remove_alias("beer", "production", Expected::Anything)), Code::NotFound);
}

fn key(n: u8, at: i64) -> NewApiKey {
    NewApiKey {
        id: format!("k{n}"),
        name: "the scale in the yard".to_owned(),
        scopes: vec![Scope::Admin, Scope::Predict, Scope::Admin],
        secret_sha256: [n; 32],
        created_at_millis: at,
        expires_at_millis: Some(100),
    }
}

fn keys_live_and_end(a: &dyn Store, b: &dyn Store) {
    let info = a.create_key(&key(1, 50)).unwrap();
    assert_eq!(info.scopes, [Scope::Predict, Scope::Admin]);
    let found = b.find_key("k1").unwrap().unwrap();
    assert_eq!((&found.info, found.secret_sha256), (&info, [1; 32]));
    assert!(!format!("{found:?} {:?}", key(1, 50)).contains("secret"));
    assert_eq!(b.find_key("k2").unwrap(), None);
    assert_eq!(code(a.create_key(&key(1, 60))), Code::AlreadyExists);
    assert_eq!(code(a.create_key(&NewApiKey { scopes: vec![], ..key(3, 0) })), Code::InvalidArgument);
    a.create_key(&key(2, 50)).unwrap();
    a.create_key(&key(0, 60)).unwrap();
    let page = b.keys(&PageRequest::first(2)).unwrap();
    let more = b.keys(&PageRequest::after(2, page.next.unwrap())).unwrap();
    let ids: Vec<_> = page.items.iter().chain(&more.items).map(|key| key.id.as_str()).collect();
    assert_eq!((ids, more.next), (vec!["k1", "k2", "k0"], None));
    let used = || b.find_key("k1").unwrap().unwrap().info.last_used_at_millis;
    for (at, expect) in [(119_999, 60_000), (60_001, 60_000), (59_999, 60_000), (120_000, 120_000)] {
        a.touch_key("k1", at).unwrap();
        assert_eq!(used(), Some(expect), "used at {at}");
    }
    a.touch_key("unknown", 1).unwrap();
    assert_eq!(a.revoke_key("k1", 70).unwrap().revoked_at_millis, Some(70));
    assert_eq!(a.revoke_key("k1", 80).unwrap().revoked_at_millis, Some(70));
    assert_eq!(b.find_key("k1").unwrap().unwrap().info.revoked_at_millis, Some(70));
    assert_eq!(code(a.revoke_key("k9", 70)), Code::NotFound);
}

fn signers_are_trusted_and_not(a: &dyn Store, b: &dyn Store) {
    let key = |n: u8| format!("{n:02x}").repeat(32);
    a.trust_signer(&key(2), "two", 5).unwrap();
    a.trust_signer(&key(1), "one", 6).unwrap();
    a.trust_signer(&key(1), "uno", 7).unwrap();
    let found: Vec<_> =
        b.trusted_signers().unwrap().into_iter().map(|s| (s.public_key, s.name, s.added_at_millis)).collect();
    assert_eq!(found, [(key(1), "uno".to_owned(), 6), (key(2), "two".to_owned(), 5)]);
    assert!(a.distrust_signer(&key(1)).unwrap());
    assert!(!a.distrust_signer(&key(1)).unwrap());
    assert_eq!(b.trusted_signers().unwrap().len(), 1);
    for bad in ["", "zz", &key(1).to_uppercase().replace('0', "A"), &key(1)[1..]] {
        assert_eq!(code(a.trust_signer(bad, "x", 0)), Code::InvalidArgument, "{bad:?}");
    }
}

fn the_audit_log_grows(a: &dyn Store, b: &dyn Store) {
    let entry = |n: i64| NewAudit {
        at_millis: n,
        actor: "somebody".to_owned(),
        action: "model.alias".to_owned(),
        subject: "wine@production".to_owned(),
        detail: serde_json::json!({ "n": n, "text": "\u{0}" }),
    };
    for n in 1..=5 {
        assert_eq!(a.append_audit(&entry(n)).unwrap(), n.cast_unsigned());
    }
    let page = b.audit(&PageRequest::first(3)).unwrap();
    let more = b.audit(&PageRequest::after(3, page.next.unwrap())).unwrap();
    let ids: Vec<_> = page.items.iter().chain(&more.items).map(|line| line.id).collect();
    assert_eq!((ids, more.next), (vec![5, 4, 3, 2, 1], None));
    assert_eq!(more.items[1].detail, entry(1).detail);
    assert_eq!((more.items[1].at_millis, more.items[1].actor.as_str()), (1, "somebody"));
    let large = NewAudit { detail: "x".repeat(100_000).into(), ..entry(1) };
    assert_eq!(code(a.append_audit(&large)), Code::TooLarge);
}

fn the_change_counter_tells(a: &dyn Store, b: &dyn Store) {
    let mut before = b.change_counter().unwrap();
    let mut check = |what: &str, changes: bool, act: &dyn Fn()| {
        act();
        let after = b.change_counter().unwrap();
        assert_eq!(after > before, changes, "{what}");
        before = after;
    };
    check("a version", false, &|| drop(a.register_version("wine", &version(1)).unwrap()));
    check("an alias", true, &|| assert!(a.set_alias("wine", "production", 1, Expected::Anything, 1).is_ok()));
    check("the same alias", false, &|| assert!(a.set_alias("wine", "production", 1, Expected::Anything, 1).is_ok()));
    check("an alias goes", true, &|| assert!(a.remove_alias("wine", "production", Expected::Anything).is_ok()));
    check("a key", true, &|| drop(a.create_key(&key(1, 1)).unwrap()));
    check("a use", false, &|| a.touch_key("k1", 1_000_000).unwrap());
    check("a revocation", true, &|| drop(a.revoke_key("k1", 1).unwrap()));
    check("a signer", true, &|| a.trust_signer(&"ab".repeat(32), "x", 1).unwrap());
    check("a signer goes", true, &|| assert!(a.distrust_signer(&"ab".repeat(32)).unwrap()));
    check("a run", false, &|| drop(running(a, 1)));
}

//! Runs: life, batches, marks.

use athanor_protocol::{
    Code, Failure,
    learner::Reproducibility,
    metric::Split,
    package::DatasetUsed,
    run::{Artifact, RunStatus, StepState},
};
use athanor_store::{Batch, LogLine, PageRequest, Recorded, RunQuery, StepUpdate, Store, limits};

use super::code;
use crate::help::{id, metrics, new_run, owner, point, running};

pub fn a_run_keeps_everything(a: &dyn Store, b: &dyn Store) {
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
pub fn states_follow_the_machine(a: &dyn Store, b: &dyn Store) {
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

pub fn attempts_guard_every_write(a: &dyn Store, b: &dyn Store) {
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

pub fn the_queue_gives_each_run_once(a: &dyn Store, b: &dyn Store) {
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

pub fn a_batch_is_applied_once(a: &dyn Store, b: &dyn Store) {
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

pub fn a_batch_is_all_or_nothing(a: &dyn Store, b: &dyn Store) {
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

pub fn logs_are_bounded_and_readable(a: &dyn Store, b: &dyn Store) {
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

pub fn tags_and_notes_stay_open(a: &dyn Store, b: &dyn Store) {
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

pub fn files_may_be_added_after_the_end(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let file = |name: &str, n_bytes| Artifact {
        name: name.to_owned(),
        kind: "imported".to_owned(),
        digest: "blake3:1".to_owned(),
        n_bytes,
    };
    a.record(&run, 1, 1, &Batch { artifacts: vec![file("a.txt", 1)], ..Batch::default() }).unwrap();
    a.finish(&run, 1, RunStatus::Finished, None, false, 3_000).unwrap();
    a.add_artifacts(&run, &[file("a.txt", 2), file("b.txt", 3)]).unwrap();
    a.add_artifacts(&run, &[]).unwrap();
    assert_eq!(b.run(&run).unwrap().artifacts, [file("a.txt", 2), file("b.txt", 3)]);
    assert_eq!(b.run(&run).unwrap().summary.status, RunStatus::Finished);
    assert_eq!(code(a.add_artifacts(&id(2), &[file("a", 1)])), Code::NotFound);
    // All or nothing.
    assert_eq!(code(a.add_artifacts(&run, &[file("c.txt", 1), file("", 1)])), Code::InvalidArgument);
    assert_eq!(b.run(&run).unwrap().artifacts.len(), 2);
    let many = vec![file("d.txt", 1); limits::BATCH_ENTRIES + 1];
    assert_eq!(code(a.add_artifacts(&run, &many)), Code::TooLarge);
}

pub fn deletion_is_a_mark(a: &dyn Store, b: &dyn Store) {
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

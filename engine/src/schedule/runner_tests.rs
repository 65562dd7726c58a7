#![allow(clippy::unwrap_used)]

use std::path::Path;

use athanor_protocol::table::DataSource;
use athanor_serve::batch::BatchReport;

use super::*;
use crate::schedule::{Stopped, add, pause, run_now, stop as ask_to_stop};

fn workspace(folder: &Path) -> Workspace {
    Workspace::init(&folder.join("w")).unwrap()
}

fn task(folder: &Path) -> PredictTask {
    PredictTask {
        model: "wine".to_owned(),
        source: DataSource::file(folder.join("in.csv").to_str().unwrap()),
        output: folder.join("out.csv"),
        keep_input: true,
        device: "cpu".to_owned(),
    }
}

fn runner(workspace: &Workspace, watch: Watch) -> Runner<'_> {
    Runner { workspace, watch, held: None, seen: None, far: None }
}

fn last(workspace: &Workspace) -> Execution {
    list(workspace).unwrap()[0].executions[0].clone()
}

/// Begins as the runner does.
fn begun(workspace: &Workspace, id: &str) -> i64 {
    run_now(workspace, id).unwrap();
    let now = workspace.clock.now_millis();
    let due = list(workspace).unwrap()[0].due(now).unwrap();
    assert!(begin(workspace, id, due, now).unwrap());
    due
}

/// What another thread brings about.
fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "waited too long");
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_execution_is_noted_with_its_reason_and_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace(folder.path());
    let added = add(&workspace, "* * * * *".parse().unwrap(), task(folder.path())).unwrap();
    let (began, seen) = std::sync::mpsc::sync_channel(8);
    let watch = Watch { changed: Some(Box::new(move || began.send(()).unwrap())), progress: None };
    let mut runner = runner(&workspace, watch);
    runner.look(&StopFlag::new()).unwrap();
    assert!(list(&workspace).unwrap()[0].executions.is_empty(), "it is not due yet");
    change(&workspace, |schedules| {
        schedules[0].added_millis -= 3_600_000;
        Ok(())
    })
    .unwrap();
    runner.look(&StopFlag::new()).unwrap();
    assert!(seen.try_iter().count() >= 2, "what another process changed is told, and its end");
    let executions = list(&workspace).unwrap().remove(0).executions;
    let [one] = executions.as_slice() else { panic!("{executions:?}") };
    assert!(one.ended_millis.is_some());
    assert_eq!(one.failure.as_ref().map(|failure| failure.code), Some(Code::NotFound), "there is no such model");
    assert_eq!(list(&workspace).unwrap()[0].id, added.id);
    // Asked for, it is carried out though it rests, and once.
    pause(&workspace, &added.id, true).unwrap();
    run_now(&workspace, &added.id).unwrap();
    runner.look(&StopFlag::new()).unwrap();
    runner.look(&StopFlag::new()).unwrap();
    assert_eq!(list(&workspace).unwrap()[0].executions.len(), 2);
    // Another process does not carry out meanwhile.
    assert!(!hold(&workspace, &mut None).unwrap() && is_held(&workspace));
}

#[test]
fn what_is_at_work_tells_how_far_it_is_and_ends_when_any_process_asks() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace(folder.path());
    let added = add(&workspace, "0 3 1 1 *".parse().unwrap(), task(folder.path())).unwrap();
    assert_eq!(ask_to_stop(&workspace, &added.id).unwrap_err().code(), Code::Conflict, "it is not at work");
    let (tell, told) = std::sync::mpsc::sync_channel(64);
    let watch = Watch { changed: None, progress: Some(Box::new(move |far: &Far| tell.send(far.clone()).unwrap())) };
    let mut runner = runner(&workspace, watch);
    assert!(hold(&workspace, &mut runner.held).unwrap());
    let due = begun(&workspace, &added.id);
    let stopped = runner.mind(&added.id, due, &StopFlag::new(), |flag, progress| {
        progress(BatchProgress { n_rows: 70_000, share: Some(0.25) });
        // As another process would: it sees how far this one is, and asks for an end.
        let far = until(|| at_work(&workspace));
        assert_eq!((far.id.as_str(), far.due_millis, far.n_rows, far.share), (&*added.id, due, 70_000, Some(0.25)));
        assert_eq!(ask_to_stop(&workspace, &added.id).unwrap(), Stopped::Asked);
        until(|| flag.reason());
        Err(EngineError::new(Code::Cancelled, "stopped"))
    });
    assert_eq!(stopped.unwrap_err().code(), Code::Cancelled);
    assert_eq!(told.try_iter().map(|far| far.n_rows).collect::<Vec<_>>(), [70_000]);
    stop::end(&workspace, &added.id).unwrap();
    let one = last(&workspace);
    assert!(one.stopped && one.ended_millis.is_some() && one.failure.is_none(), "{one:?}");
    let schedule = list(&workspace).unwrap().remove(0);
    assert_eq!(schedule.due(workspace.clock.now_millis()), None, "it does not begin again by itself");
    run_now(&workspace, &added.id).unwrap();
    assert_eq!(ask_to_stop(&workspace, &added.id).unwrap(), Stopped::NotBegun);
    assert_eq!(list(&workspace).unwrap()[0].asked_millis, None);
}

#[test]
fn the_end_of_the_process_stops_nothing_for_good_and_a_panic_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace(folder.path());
    let added = add(&workspace, "0 3 1 1 *".parse().unwrap(), task(folder.path())).unwrap();
    let mut runner = runner(&workspace, Watch::default());
    let due = begun(&workspace, &added.id);
    let closing = StopFlag::new();
    closing.stop("the workspace is closed");
    let ended = runner
        .mind(&added.id, due, &closing, |flag, _| Err(EngineError::new(Code::Cancelled, until(|| flag.reason()))));
    assert!(ended.unwrap_err().to_string().contains("closed"));
    assert_eq!(last(&workspace).ended_millis, None, "it goes on the next time");
    let broken = runner.mind(&added.id, due, &StopFlag::new(), |_, _| panic!("on purpose"));
    assert_eq!(broken.unwrap_err().code(), Code::Internal);
    let report = BatchReport::default();
    let predicted = Predicted { model: "wine".to_owned(), version: 1, report };
    let done = runner.mind(&added.id, due, &StopFlag::new(), |_, _| Ok(predicted.clone()));
    assert_eq!(done.unwrap(), predicted);
}

#[test]
fn what_nobody_is_at_any_more_is_stopped_at_once_or_by_who_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace(folder.path());
    let added = add(&workspace, "* * * * *".parse().unwrap(), task(folder.path())).unwrap();
    begun(&workspace, &added.id);
    assert_eq!(ask_to_stop(&workspace, &added.id).unwrap(), Stopped::Over(0));
    assert!(last(&workspace).stopped);
    // A process that was asked and killed before it came to it.
    begun(&workspace, &added.id);
    let mut held = None;
    assert!(hold(&workspace, &mut held).unwrap());
    assert_eq!(ask_to_stop(&workspace, &added.id).unwrap(), Stopped::Asked);
    drop(held);
    runner(&workspace, Watch::default()).look(&StopFlag::new()).unwrap();
    let schedule = list(&workspace).unwrap().remove(0);
    assert_eq!(schedule.executions.len(), 2, "nothing was begun: {schedule:?}");
    assert!(schedule.executions[0].stopped && schedule.executions[0].failure.is_none());
}

#[test]
fn what_is_not_due_any_more_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace(folder.path());
    let added = add(&workspace, "0 3 1 1 *".parse().unwrap(), task(folder.path())).unwrap();
    let now = workspace.clock.now_millis();
    assert!(!begin(&workspace, &added.id, now, now).unwrap());
    assert!(!begin(&workspace, "none", now, now).unwrap());
}

#![allow(clippy::unwrap_used)]

use super::*;

fn task(folder: &Path, output: &str) -> PredictTask {
    PredictTask {
        model: "wine@production".to_owned(),
        source: DataSource::file(folder.join("in.csv").to_str().unwrap()),
        output: folder.join(output),
        keep_input: true,
        device: "cpu".to_owned(),
    }
}

#[test]
fn schedules_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("w")).unwrap();
    assert!(list(&workspace).unwrap().is_empty());
    let daily: Cron = "0 3 * * *".parse().unwrap();
    let one = add(&workspace, daily.clone(), task(folder.path(), "a.csv")).unwrap();
    let two = add(&workspace, daily.clone(), task(folder.path(), "b.parquet")).unwrap();
    let ids = |workspace| list(workspace).unwrap().into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&workspace), [one.id.clone(), two.id.clone()]);
    let twice = add(&workspace, daily.clone(), task(folder.path(), "a.csv")).unwrap_err();
    assert_eq!(twice.code(), Code::Conflict);
    for bad in ["a.xls", "a"] {
        assert_eq!(add(&workspace, daily.clone(), task(folder.path(), bad)).unwrap_err().code(), Code::InvalidArgument);
    }
    let relative = PredictTask { output: "a.csv".into(), ..task(folder.path(), "c.csv") };
    assert!(add(&workspace, daily.clone(), relative).is_err());
    let nameless = PredictTask { model: "../x".to_owned(), ..task(folder.path(), "c.csv") };
    assert!(add(&workspace, daily, nameless).is_err());
    remove(&workspace, &one.id).unwrap();
    assert_eq!(remove(&workspace, &one.id).unwrap_err().code(), Code::NotFound);
    assert_eq!(ids(&workspace), [two.id]);
}

#[test]
fn a_damaged_document_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("w")).unwrap();
    for (text, code) in [
        ("{", Code::Corrupt),
        (r#"{"version":1,"schedules":[{"id":"a","cron":"never"}]}"#, Code::Corrupt),
        (r#"{"version":2,"schedules":[]}"#, Code::Unsupported),
    ] {
        let path = workspace.root().join(FILE);
        std::fs::write(&path, text).unwrap();
        assert_eq!(list(&workspace).unwrap_err().code(), code, "{text}");
        let cron = "@daily".parse().unwrap();
        assert!(add(&workspace, cron, task(folder.path(), "a.csv")).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_was_missed_is_due_once() {
    let folder = tempfile::tempdir().unwrap();
    let hour = 3_600_000;
    let mut schedule = Schedule {
        id: "a".to_owned(),
        cron: "@hourly".parse().unwrap(),
        predict: task(folder.path(), "a.csv"),
        added_millis: hour / 2,
        paused: false,
        asked_millis: None,
        executions: vec![],
    };
    assert_eq!(schedule.due(hour - 1), None);
    assert_eq!(schedule.next_millis(hour - 1), Some(hour));
    assert_eq!(schedule.due(10 * hour + 5), Some(10 * hour));
    let done = Execution {
        due_millis: 10 * hour,
        began_millis: 10 * hour + 5,
        ended_millis: None,
        version: None,
        n_rows: 0,
        failure: None,
        stop_asked_millis: None,
        stopped: false,
    };
    schedule.executions.insert(0, done.clone());
    assert_eq!(schedule.due(20 * hour), Some(10 * hour), "it was broken off, and goes on");
    schedule.executions[0] = Execution { ended_millis: Some(11 * hour), ..done };
    assert_eq!(schedule.due(10 * hour + 5), None);
    assert_eq!(schedule.due(12 * hour), Some(12 * hour));
    // While it rests nothing is due, but for what somebody asks for.
    schedule.paused = true;
    assert_eq!((schedule.due(12 * hour), schedule.next_millis(12 * hour)), (None, None));
    schedule.asked_millis = Some(13 * hour + 7);
    assert_eq!(schedule.due(14 * hour), Some(13 * hour + 7));
}

#[test]
fn schedules_are_changed_rest_and_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("w")).unwrap();
    let daily: Cron = "0 3 * * *".parse().unwrap();
    let one = add(&workspace, daily.clone(), task(folder.path(), "a.csv")).unwrap();
    let two = add(&workspace, daily.clone(), task(folder.path(), "b.csv")).unwrap();
    let hourly: Cron = "@hourly".parse().unwrap();
    let changed = edit(&workspace, &one.id, hourly.clone(), task(folder.path(), "c.csv")).unwrap();
    assert_eq!((&changed.id, &changed.cron, changed.predict.output.ends_with("c.csv")), (&one.id, &hourly, true));
    edit(&workspace, &one.id, hourly.clone(), task(folder.path(), "c.csv")).unwrap();
    let taken = edit(&workspace, &two.id, daily.clone(), task(folder.path(), "c.csv")).unwrap_err();
    assert_eq!(taken.code(), Code::Conflict);
    pause(&workspace, &one.id, true).unwrap();
    run_now(&workspace, &two.id).unwrap();
    let [one_now, two_now] = list(&workspace).unwrap().try_into().unwrap();
    assert!(one_now.paused && !two_now.paused);
    assert!(one_now.asked_millis.is_none() && two_now.asked_millis.is_some());
    assert!(two_now.due(workspace.clock.now_millis()).is_some());
    pause(&workspace, &one.id, false).unwrap();
    assert!(list(&workspace).unwrap()[0].next_millis(workspace.clock.now_millis()).is_some());
    for refused in [
        pause(&workspace, "none", true),
        run_now(&workspace, "none"),
        edit(&workspace, "none", daily, task(folder.path(), "d.csv")).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    }
}

#[test]
fn documents_of_earlier_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("w")).unwrap();
    let text = r#"{"version":1,"schedules":[{"id":"a","cron":"0 3 * * *","predict":{"model":"wine","source":
        {"path":"/in.csv"},"output":"/out.csv","keep_input":true,"device":"cpu"},"added_millis":5}]}"#;
    std::fs::write(workspace.root().join(FILE), text).unwrap();
    let read = list(&workspace).unwrap().remove(0);
    assert_eq!((read.paused, read.asked_millis, read.added_millis), (false, None, 5));
}

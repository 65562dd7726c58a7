//! Runs that come from MLflow.

use athanor_protocol::{
    Code, Failure,
    api::{Event, Request, RunsImport},
};
use athanor_ui::{
    fake::FakeHandle,
    pages::{Go, Route},
};

use crate::{help::Screen, models::picks};

fn opened(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Runs));
    screen.click("Import");
    screen
}

fn asked(screen: &Screen) -> Vec<RunsImport> {
    let of = |ask| if let Request::RunsImport(ask) = ask { Some(*ask) } else { None };
    screen.fake.sent().into_iter().filter_map(of).collect()
}

#[test]
fn runs_of_mlflow_come_in_and_what_was_left_out_is_said() {
    let mut screen = opened([1280.0, 820.0], true, |fake| picks(fake, "/home/ada/project"));
    screen.show("import-runs");
    screen.click("Choose folder with mlflow.db or mlruns");
    screen.fake.hold();
    screen.click_last("Import");
    let ask = asked(&screen).remove(0);
    assert_eq!((ask.path.as_str(), ask.artifacts), ("/home/ada/project", None));
    screen.fake.event(Event::Progress { token: ask.token, done: 120, total: 0, note: String::new() });
    screen.settle();
    assert!(screen.has_text("120 runs read"));
    screen.show("import-runs-busy");
    screen.fake.release();
    screen.settle();
    screen.show("import-runs-done");
    assert!(screen.has_text("1,204") && screen.has_text("model.pkl: a pickle"));
    screen.click("Done");
    assert!(!screen.has_text("model.pkl"));
}

#[test]
fn it_can_be_stopped_and_a_failure_keeps_the_path() {
    let mut screen = opened([1280.0, 820.0], false, |fake| picks(fake, "/home/ada/project"));
    screen.click("Choose folder with mlflow.db or mlruns");
    screen.click("Files of runs lie elsewhere");
    screen.type_into("Folder of MLflow's files", "/srv/mlflow");
    screen.fake.on(|request| match request {
        Request::RunsImport(_) => {
            Some(Err(Failure::new(Code::InvalidArgument, "this is no store of MLflow").hint("name the database")))
        }
        _ => None,
    });
    screen.fake.hold();
    screen.click_last("Import");
    screen.click("Stop");
    assert!(screen.stopped_what_was_asked(|request| match request {
        Request::RunsImport(ask) => Some(&ask.token),
        _ => None,
    }));
    screen.fake.release();
    screen.settle();
    assert!(screen.has_text("This is no store of MLflow") && screen.has_text("Name the database"));
    screen.show("import-runs-failed");
    screen.click_last("Import");
    let paths: Vec<_> = asked(&screen).into_iter().map(|ask| (ask.path, ask.artifacts)).collect();
    let same = ("/home/ada/project".to_owned(), Some("/srv/mlflow".to_owned()));
    assert_eq!(paths, [same.clone(), same]);
}

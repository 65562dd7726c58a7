//! What goes wrong around a user: files, documents, the engine, a second window, a disk that cannot be written. Each is
//! said in words, with the way out, and nothing that was typed is lost.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use athanor_protocol::{
    Code, Failure,
    api::{Client, DataEntries, DataProfile, Event, Incoming, Link, Reply, Request, RequestId, RunPage, WorkflowDoc},
    table::DataSource,
    workflow::{MAX_NODES, Workflow},
};
use athanor_ui::{
    desk::Desk,
    fake::{self, FakeHandle},
    pages::{Go, Route},
};
use egui::{Key, Modifiers};

use crate::help::Screen;

const SIZE: [f32; 2] = [1280.0, 820.0];
const SPLIT: &str = "Split: stratified 70/15/15";
const FILL: &str = "Fill missing: median, 3 columns";
const AWAY: &str = "The engine does not answer";

/// What the engine refuses to whoever may only look.
const NOT_FOR_LOOKERS: [&str; 3] = ["WorkflowInspect", "WorkflowPreview", "WorkflowStarter"];

fn screen(before: impl FnOnce(&FakeHandle)) -> Screen {
    Screen::new(SIZE, true, |fake| {
        fake.on(|request| match request {
            Request::RunList(_) => Some(Ok(Reply::RunList(Box::new(RunPage { items: vec![], next: None })))),
            _ => None,
        });
        before(fake);
    })
}

/// The workflow of the fake engine, open.
fn workflow(before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = screen(before);
    screen.go(Go::Workflow("breast-cancer".to_owned()));
    screen.settle();
    screen
}

/// An engine that gives this document, with these unsaved changes.
fn holding(fake: &FakeHandle, json: String, draft: Option<String>) {
    fake.on(move |request| match request {
        Request::WorkflowLoad(ask) => Some(Ok(Reply::WorkflowLoad(Box::new(WorkflowDoc {
            name: ask.name.clone(),
            json: json.clone(),
            revision: 3,
            draft: draft.clone(),
        })))),
        _ => None,
    });
}

/// An engine that refuses one method.
fn refusing(fake: &FakeHandle, method: &'static str, failure: Failure) {
    fake.on(move |request| (request.method() == method).then(|| Err(failure.clone())));
}

/// An engine with a key that may only look, or with a workspace on a disk that cannot be written.
fn looking(fake: &FakeHandle, by_key: bool) {
    fake.on(move |request| match request {
        Request::Hello(_) => {
            let mut hello = fake::hello();
            hello.may_change = !by_key;
            hello.workspace =
                hello.workspace.map(|open| athanor_protocol::api::WorkspaceInfo { read_only: !by_key, ..open });
            Some(Ok(Reply::Hello(Box::new(hello))))
        }
        request if NOT_FOR_LOOKERS.contains(&request.method()) => {
            Some(Err(Failure::new(Code::PermissionDenied, "this key may only look")))
        }
        _ => None,
    });
}

fn sends(screen: &Screen, method: &str) -> usize {
    screen.fake.sent().iter().filter(|request| request.method() == method).count()
}

/// The workflow as it was last kept by the engine.
fn kept(screen: &Screen) -> Option<Workflow> {
    screen.fake.sent().iter().rev().find_map(|request| match request {
        Request::WorkflowDraft(draft) => Some(Workflow::from_json(&draft.json).unwrap()),
        _ => None,
    })
}

fn messages(screen: &Screen) -> Vec<String> {
    screen.app.borrow().as_ref().unwrap().messages()
}

fn key(screen: &mut Screen, modifiers: Modifiers, key: Key) {
    screen.harness.key_press_modifiers(modifiers, key);
    screen.settle();
}

/// Moves the chosen node a little: an edit.
fn nudge(screen: &mut Screen) {
    screen.click(SPLIT);
    screen.fake.forget_sent();
    key(screen, Modifiers::NONE, Key::ArrowDown);
}

/// Lets so many seconds of the app's own clock go by.
fn pass(screen: &mut Screen, secs: usize) {
    // The harness draws a frame for every quarter of a second.
    screen.harness.run_steps(secs * 4);
}

#[test]
fn a_table_that_vanishes_while_it_is_looked_at_says_so_and_can_be_taken_off_the_list() {
    let mut screen = screen(|_| {});
    screen.go(Go::To(Route::Data));
    screen.go(Go::Table(fake::TRIPS.to_owned()));
    screen.settle();
    assert!(screen.has("pickup"));
    let gone = Failure::new(Code::NotFound, format!("there is no file {:?}", fake::TRIPS)).hint("put it back");
    refusing(&screen.fake, "DataRows", gone.clone());
    refusing(&screen.fake, "DataOpen", gone);
    screen.fake.on(|request| match request {
        Request::DataList(_) => {
            let mut items = fake::data_entries().items;
            items.iter_mut().filter(|entry| entry.path == fake::TRIPS).for_each(|entry| entry.n_bytes = None);
            Some(Ok(Reply::DataList(Box::new(DataEntries { items }))))
        }
        _ => None,
    });
    screen.fake.event(Event::DataChanged {});
    screen.click("Go to row");
    screen.harness.event(egui::Event::Text("5000000".to_owned()));
    screen.settle();
    key(&mut screen, Modifiers::NONE, Key::Enter);
    screen.settle();
    assert!(screen.has_text("There is no file \"/home/ada/tables/trips.parquet\"") && screen.has_text("Put it back"));
    // Opened anew it offers to go.
    screen.go(Go::Table(fake::BREAST_CANCER.to_owned()));
    screen.go(Go::Table(fake::TRIPS.to_owned()));
    screen.settle();
    screen.click("Remove it from the list");
    assert_eq!(sends(&screen, "DataRemove"), 1);
}

#[test]
fn a_dropped_file_that_is_no_table_or_too_large_is_refused_by_name_with_the_way_out() {
    let mut screen = screen(|_| {});
    screen.go(Go::To(Route::Data));
    for (failure, says) in [
        (
            Failure::new(Code::BadData, "\"/home/ada/disk.csv\", line 3: it holds a NUL byte")
                .hint("it is perhaps not a text table"),
            ["line 3: it holds a NUL byte", "perhaps not a text table"],
        ),
        (Failure::new(Code::TooLarge, "it has 10 GB").hint("split it"), ["disk.csv: it has 10 GB", "Split it"]),
    ] {
        refusing(&screen.fake, "DataAdd", failure);
        screen.fake.event(Event::FilesDropped { paths: vec!["/home/ada/disk.csv".to_owned()] });
        screen.settle();
        for text in says {
            assert!(screen.has_text(text), "{text}: {:?}", messages(&screen));
        }
        assert!(screen.has("breast_cancer.csv"), "the other tables stay");
    }
}

#[test]
fn unsaved_changes_of_a_newer_program_are_not_passed_over() {
    let mut screen = workflow(|fake| {
        let newer = "{\"version\": 9, \"name\": \"x\"}".to_owned();
        holding(fake, fake::workflow().to_json(), Some(newer));
    });
    assert!(screen.has("breast-cancer cannot be opened") && screen.has_text("unsaved changes cannot be read"));
    assert!(screen.has_text("format version 9") && screen.has_text("or a newer one"));
    pass(&mut screen, 5);
    assert_eq!((sends(&screen, "WorkflowDraft"), sends(&screen, "WorkflowDiscard")), (0, 0), "nothing is overwritten");
    holding(&screen.fake, fake::workflow().to_json(), None);
    screen.click("Drop the unsaved changes and open what was saved");
    assert_eq!(sends(&screen, "WorkflowDiscard"), 1);
    screen.settle();
    assert!(screen.has(SPLIT));
}

#[test]
fn a_saved_file_that_cannot_be_read_offers_to_drop_nothing() {
    let mut screen = workflow(|fake| holding(fake, "{\"version\": 9}".to_owned(), None));
    assert!(screen.has("breast-cancer cannot be opened") && screen.has("The file is left as it is."));
    assert!(!screen.has_text("Drop the unsaved changes"));
    screen.click("Back");
    assert!(screen.has("Draw a workflow"));
}

#[test]
fn more_nodes_than_a_workflow_may_have_are_refused_and_the_file_is_left() {
    let mut screen = workflow(|fake| holding(fake, fake::long_workflow(MAX_NODES + 1).to_json(), None));
    assert!(screen.has("breast-cancer cannot be opened") && screen.has("The file is left as it is."));
    assert!(screen.has_text("at most 10000 nodes") && screen.has_text("Divide it into several workflows"));
    pass(&mut screen, 5);
    assert_eq!(sends(&screen, "WorkflowDraft") + sends(&screen, "WorkflowSave"), 0);
}

#[test]
fn a_full_workflow_is_drawn_and_takes_no_node_more() {
    let mut screen = workflow(|fake| holding(fake, fake::long_workflow(MAX_NODES).to_json(), None));
    assert!(screen.has("Canvas") && screen.has_text("breast-cancer, saved"));
    screen.fake.forget_sent();
    screen.harness.event(egui::Event::Text("filter".to_owned()));
    screen.settle();
    screen.click("Add Filter rows");
    assert!(messages(&screen).iter().any(|text| text.contains("at most 10,000 nodes")), "{:?}", messages(&screen));
    pass(&mut screen, 2);
    assert_eq!(sends(&screen, "WorkflowDraft"), 0, "a draft that could not be opened again is never kept");
    assert!(screen.has_text("breast-cancer, saved"));
}

#[test]
fn a_workflow_file_that_is_refused_is_named() {
    let mut screen = workflow(|fake| {
        let message = "flow.json: the workflow has format version 9, this program reads versions 1 and 2";
        refusing(fake, "WorkflowImport", Failure::new(Code::Unsupported, message).hint("open it with a newer one"));
    });
    key(&mut screen, Modifiers::COMMAND, Key::K);
    screen.click("Import a workflow file");
    screen.settle();
    assert!(screen.has_text("format version 9") && screen.has_text("Open it with a newer one"));
    assert!(screen.has(SPLIT), "the open workflow stays");
}

#[test]
fn an_engine_that_dies_in_mid_edit_is_said_and_gets_the_edit_when_it_is_back() {
    let mut screen = workflow(|_| {});
    let gone = Rc::new(Cell::new(false));
    let is_gone = Rc::clone(&gone);
    let lost = Failure::new(Code::Unavailable, "the request got no answer");
    screen.fake.on(move |_| is_gone.get().then(|| Err(lost.clone())));
    nudge(&mut screen);
    screen.fake.hold();
    screen.harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
    screen.harness.step();
    screen.fake.link(Link::Down { reason: "the process ended".to_owned() });
    screen.settle();
    assert!(screen.has_text(AWAY) && screen.has_text("nothing that you typed is lost"));
    assert_eq!(messages(&screen), ["The engine cannot be reached: the process ended."], "it was not saved");
    assert!(screen.has_text("do it again once the engine is back"));
    gone.set(true);
    screen.fake.release();
    screen.click(SPLIT);
    key(&mut screen, Modifiers::NONE, Key::ArrowDown);
    // Longer than a message stays.
    pass(&mut screen, 20);
    assert!(sends(&screen, "WorkflowDraft") > 1, "it is tried again");
    assert_eq!(messages(&screen), [""; 0], "the frame says it, so not each try as well");
    assert!(screen.has_text("changes not saved"));
    gone.set(false);
    screen.fake.forget_sent();
    screen.fake.link(Link::Up);
    pass(&mut screen, 5);
    assert!(!screen.has_text(AWAY));
    let kept = kept(&screen).expect("the edit goes to the engine that is there now");
    assert_eq!(kept.node("split").unwrap().position, Some([512.0, 110.0]));
}

#[test]
fn an_engine_that_hangs_is_said_and_gets_the_edit_when_it_answers_again() {
    let mut screen = workflow(|_| {});
    screen.fake.hold();
    nudge(&mut screen);
    pass(&mut screen, 5);
    assert!(!screen.has_text(AWAY), "a slow answer is no hang");
    pass(&mut screen, 10);
    assert!(screen.has_text(AWAY) && screen.has_text("Waiting for it; nothing that you typed is lost"));
    key(&mut screen, Modifiers::NONE, Key::ArrowDown);
    screen.fake.release();
    pass(&mut screen, 3);
    assert!(!screen.has_text(AWAY));
    assert_eq!(kept(&screen).unwrap().node("split").unwrap().position, Some([512.0, 110.0]));
}

/// An engine that answers only who it is.
#[derive(Clone, Default)]
struct Busy {
    sent: Rc<RefCell<Vec<Request>>>,
    incoming: Rc<RefCell<Vec<Incoming>>>,
}

impl Client for Busy {
    fn send(&mut self, request: Request) -> RequestId {
        let id = self.sent.borrow().len() as RequestId + 1;
        if matches!(request, Request::Hello(_)) {
            let reply = Reply::Hello(Box::new(fake::hello()));
            self.incoming.borrow_mut().push(Incoming::Answer { id, result: Ok(reply) });
        }
        self.sent.borrow_mut().push(request);
        id
    }

    fn poll(&mut self) -> Vec<Incoming> {
        self.incoming.take()
    }
}

#[test]
fn a_long_question_is_no_hang() {
    let client = Busy::default();
    client.incoming.borrow_mut().push(Incoming::Link(Link::Up));
    let mut desk = Desk::new(Box::new(client.clone()));
    desk.poll(0.0, 0);
    desk.poll(0.1, 0);
    let idle = client.sent.borrow().len();
    for second in 1..600 {
        desk.poll(f64::from(second), 0);
    }
    assert_eq!(client.sent.borrow().len(), idle, "who asks nothing is told nothing");
    let _asked = desk.ask(DataProfile { source: DataSource::file("/a.csv"), token: "t".to_owned() });
    for second in 600..900 {
        desk.poll(f64::from(second), 0);
        assert!(!desk.hangs(), "after {second} s");
    }
    let asked = client.sent.borrow()[idle..].iter().filter(|request| matches!(request, Request::Hello(_))).count();
    assert!((1..60).contains(&asked), "it was asked now and then whether it is there: {asked}");
}

#[test]
fn a_workspace_that_another_window_has_is_refused_in_words_and_this_one_stays() {
    let mut screen = screen(|fake| {
        let message = "workspace \"churn\" is open in another window";
        let hint = "go to that window, or close it and try again";
        refusing(fake, "WorkspaceOpen", Failure::new(Code::Conflict, message).hint(hint));
    });
    screen.click("churn");
    screen.settle();
    assert!(screen.has_text("Workspace \"churn\" is open in another window"));
    assert!(screen.has_text("Go to that window, or close it and try again"));
    assert!(screen.has("clinic"));
}

#[test]
fn a_workspace_on_a_read_only_disk_is_said_to_be_so_and_nothing_tries_to_change_it() {
    let mut screen = workflow(|fake| looking(fake, false));
    assert!(screen.has_text("breast-cancer, read only"));
    assert!(screen.has_text("can be looked at but not changed; changes here are not kept"));
    nudge(&mut screen);
    pass(&mut screen, 5);
    key(&mut screen, Modifiers::COMMAND, Key::S);
    screen.click("Run");
    for method in ["WorkflowDraft", "WorkflowSave", "WorkflowDiscard", "RunStart"] {
        assert_eq!(sends(&screen, method), 0, "{method}");
    }
    assert!(messages(&screen).iter().any(|text| text.contains("nothing can run in it")), "{:?}", messages(&screen));
    screen.go(Go::To(Route::Data));
    screen.go(Go::Table(fake::GONE.to_owned()));
    screen.settle();
    screen.click("Remove it from the list");
    assert_eq!(sends(&screen, "DataRemove"), 0);
    assert!(screen.has("patients.csv"), "it stays on the list");
}

/// Everything that would ask what only those may who can change things.
fn look_around(screen: &mut Screen) {
    screen.click(FILL);
    screen.harness.event(egui::Event::Text("p".to_owned()));
    pass(screen, 2);
}

#[test]
fn whoever_may_only_look_is_shown_so_and_nothing_is_asked_that_would_be_refused() {
    for by_key in [true, false] {
        let mut screen = workflow(|fake| looking(fake, by_key));
        look_around(&mut screen);
        // A key for looking opens no file; on a disk that cannot be written everything can still be read.
        let says_why = screen.has_text("can only be looked at. The pages Runs and Models");
        assert_eq!(says_why, by_key, "the preview says why it is empty");
        screen.go(Go::NewWorkflow { table: Some(fake::BREAST_CANCER.to_owned()) });
        screen.settle();
        assert!(screen.has_text("so no workflow can be made in it"));
        screen.click("Make the workflow");
        screen.click("Cancel");
        screen.go(Go::Table(fake::BREAST_CANCER.to_owned()));
        screen.settle();
        screen.click("Use for training");
        screen.click("Create");
        screen.click("Create and run");
        assert!(screen.has_text("This workspace can only be looked at"));
        screen.go(Go::To(Route::Home));
        screen.settle();
        screen.click("Train");
        let refused = if by_key { &NOT_FOR_LOOKERS[..] } else { &["WorkflowStarter"] };
        for method in refused {
            assert_eq!(sends(&screen, method), 0, "{method}, by key: {by_key}");
        }
        assert!(!screen.has_text("This key may only look"));
    }
    // With the right to change things all of it is asked.
    let mut screen = workflow(|_| {});
    look_around(&mut screen);
    screen.go(Go::NewWorkflow { table: Some(fake::BREAST_CANCER.to_owned()) });
    screen.settle();
    screen.click("Make the workflow");
    for method in NOT_FOR_LOOKERS {
        assert!(sends(&screen, method) > 0, "{method}");
    }
}

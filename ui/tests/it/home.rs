//! The page Home: workspaces, and the guided start with an engine that does what it is told.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use athanor_protocol::{
    Code, Failure,
    api::{
        AliasMoved, DataEntries, Done, EndpointStatus, Event, KeyCreated, Link, ModelRegistered, NodeProgress,
        PickKind, Picked, Reply, Request, RunPage, RunRow, RunStarted, SeriesAnswer, TryAnswer, VersionPage,
        WorkflowDoc,
    },
    metric::{MetricPoint, MetricValue, Split},
    registry::{ApiKeyInfo, Scope},
    run::{RunStatus, StepState},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::Route,
};
use egui_kittest::kittest::Queryable;
use serde_json::json;

use crate::help::Screen;

/// What the engine of the guided start has by now.
#[derive(Default)]
struct Engine {
    no_table: bool,
    run: Option<RunStatus>,
    version: Option<u32>,
    served: Option<u32>,
    endpoint: bool,
    fail: Option<&'static str>,
}

type Shared = Rc<RefCell<Engine>>;

fn view(engine: &Engine, status: RunStatus) -> athanor_protocol::api::RunView {
    let mut view = fake::run_view(2);
    view.detail.summary.status = status;
    view.detail.summary.workflow = "breast_cancer_2".to_owned();
    view.detail.summary.latest.push(MetricPoint {
        key: "accuracy".to_owned(),
        split: Split::Test,
        step: 0,
        at_millis: 0,
        value: MetricValue::from(0.965),
    });
    if status == RunStatus::Failed {
        view.detail.summary.failure =
            Some(Failure::new(Code::OutOfMemory, "the worker ran out of memory").hint("close other programs"));
    }
    view.versions = engine.version.map(|version| ("breast_cancer".to_owned(), version)).into_iter().collect();
    view
}

fn reply(engine: &mut Engine, request: &Request) -> Option<Result<Reply, Failure>> {
    if engine.fail == Some(request.method()) {
        return Some(Err(Failure::new(Code::Unavailable, "the disk is busy").hint("try again in a moment")));
    }
    let reply = match request {
        Request::DataList(_) => {
            let mut entries = fake::data_entries();
            if engine.no_table {
                entries.items.remove(0);
            }
            Reply::DataList(Box::new(DataEntries { items: entries.items }))
        }
        Request::RunList(ask) if ask.text == "guided-start" => {
            let items = engine.run.map(|status| RunRow {
                summary: view(engine, status).detail.summary,
                params: vec![],
                learners: vec![],
            });
            Reply::RunList(Box::new(RunPage { items: items.into_iter().collect(), next: None }))
        }
        Request::RunGet(_) => Reply::RunGet(Box::new(view(engine, engine.run?))),
        Request::WorkflowStarter(ask) => Reply::WorkflowStarter(Box::new(WorkflowDoc {
            name: "breast_cancer_2".to_owned(),
            json: json!({"version": 1, "name": "breast_cancer_2", "path": ask.path}).to_string(),
            revision: 1,
            draft: None,
        })),
        Request::WorkflowList(_) => Reply::WorkflowList(Box::new(athanor_protocol::api::WorkflowEntries {
            items: ["breast_cancer", "wine"]
                .map(|name| athanor_protocol::api::WorkflowEntry {
                    name: name.to_owned(),
                    saved_at_millis: fake::NOW_MILLIS - 5_400_000,
                    n_nodes: Some(5),
                    has_draft: name == "wine",
                    problem: None,
                })
                .to_vec(),
        })),
        Request::RunStart(_) => {
            engine.run = Some(RunStatus::Running);
            Reply::RunStart(Box::new(RunStarted { run: fake::run_id(2) }))
        }
        Request::RunTag(_) => Reply::RunTag(Box::new(Done {})),
        Request::RunSeries(ask) => {
            let series = ask
                .series
                .iter()
                .enumerate()
                .map(|(at, key)| athanor_protocol::api::Series {
                    key: key.clone(),
                    buckets: (0..60)
                        .map(|step| {
                            let value = 0.08 + 0.03 * at as f64 + 0.6 * (-(step as f64) / 14.0).exp();
                            athanor_protocol::run::SeriesBucket {
                                step_min: step * 10,
                                step_max: step * 10 + 9,
                                min: Some(value),
                                max: Some(value),
                                last: Some(value),
                                n_points: 10,
                                n_non_finite: 0,
                            }
                        })
                        .collect(),
                    times: vec![[0, 0]; 60],
                    epochs: vec![],
                })
                .collect();
            Reply::RunSeries(Box::new(SeriesAnswer { series }))
        }
        Request::ModelRegister(_) => {
            engine.version = Some(4);
            let mut version = fake::model_version(3);
            version.version = 4;
            Reply::ModelRegister(Box::new(ModelRegistered { version, existed: false }))
        }
        Request::ModelAlias(ask) => {
            engine.served = ask.version;
            Reply::ModelAlias(Box::new(AliasMoved { previous: Some(3) }))
        }
        Request::ModelVersions(_) => {
            let mut version = fake::model_version(3);
            version.version = engine.version.unwrap_or(3);
            version.aliases = engine.served.map(|_| "production".to_owned()).into_iter().collect();
            Reply::ModelVersions(Box::new(VersionPage { items: vec![version], next: None }))
        }
        Request::EndpointGet(_) => Reply::EndpointGet(Box::new(status(engine))),
        Request::EndpointStart(_) => {
            engine.endpoint = true;
            Reply::EndpointStart(Box::new(status(engine)))
        }
        Request::EndpointTry(ask) => Reply::EndpointTry(Box::new(TryAnswer {
            status: 200,
            body: json!({"model": "breast_cancer", "version": 4, "predictions": [
                {"label": "malignant", "probabilities": {"benign": 0.013, "malignant": 0.987}}
            ]}),
            micros: 412,
            sent: json!({"rows": [ask.values]}),
        })),
        Request::KeyCreate(ask) => Reply::KeyCreate(Box::new(KeyCreated {
            info: ApiKeyInfo {
                id: "k7".to_owned(),
                name: ask.name.clone(),
                scopes: vec![Scope::Predict],
                created_at_millis: fake::NOW_MILLIS,
                expires_at_millis: None,
                revoked_at_millis: None,
                last_used_at_millis: None,
            },
            key: "ath_k7_7Q2mZ4wX9pLr".to_owned(),
        })),
        _ => return None,
    };
    Some(Ok(reply))
}

fn status(engine: &Engine) -> EndpointStatus {
    EndpointStatus { url: engine.endpoint.then(|| "http://127.0.0.1:8080".to_owned()), ..EndpointStatus::default() }
}

fn with_engine(fake: &FakeHandle, engine: &Shared) {
    let engine = Rc::clone(engine);
    fake.on(move |request| reply(&mut engine.borrow_mut(), request));
}

fn guided(size: [f32; 2], dark: bool, engine: Engine) -> (Screen, Shared) {
    let engine = Rc::new(RefCell::new(engine));
    let screen = Screen::new(size, dark, |fake| with_engine(fake, &engine));
    (screen, engine)
}

/// The screen with no workspace open.
fn closed(size: [f32; 2], dark: bool) -> Screen {
    Screen::new(size, dark, |fake| {
        fake.on(move |request| match request {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.workspace = None;
                hello.settings.theme = if dark {
                    athanor_protocol::api::ThemeChoice::Dark
                } else {
                    athanor_protocol::api::ThemeChoice::Light
                };
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    })
}

fn finish(screen: &mut Screen, engine: &Shared) {
    engine.borrow_mut().run = Some(RunStatus::Finished);
    let mut summary = fake::run_summary(2);
    summary.status = RunStatus::Finished;
    screen.fake.event(Event::RunChanged { run: Box::new(summary) });
    screen.settle();
}

fn methods(screen: &Screen) -> Vec<&'static str> {
    screen.fake.sent().iter().map(Request::method).collect()
}

fn has_sent(screen: &Screen, method: &str) -> bool {
    methods(screen).contains(&method)
}

#[test]
fn the_guided_start_goes_from_a_table_to_an_answer() {
    let (mut screen, engine) = guided([1280.0, 1000.0], true, Engine::default());
    assert!(screen.has("Step 1, Open a real table, done") && screen.has("Step 2, Train a model, next"));
    screen.click("Train");
    assert!(screen.has("Step 2, Train a model, at work"), "{:?}", methods(&screen));
    for method in ["WorkflowStarter", "RunStart", "RunTag"] {
        assert!(has_sent(&screen, method), "{method}");
    }
    screen.show("guide-training");
    finish(&mut screen, &engine);
    assert!(screen.has("Step 2, Train a model, done") && screen.has("Step 3, Publish it, next"));
    screen.click("Publish");
    assert!(screen.has("Step 3, Publish it, done") && screen.has("Step 4, Ask it, next"));
    assert_eq!(engine.borrow().served, Some(4));
    screen.click("Start the endpoint and ask");
    screen.settle();
    assert!(screen.has("Step 4, Ask it, done") && screen.has("malignant 98.7 %"), "{:?}", methods(&screen));
    assert!(screen.has_text("That was all of it"));
    screen.click("Make a key for other programs");
    assert!(screen.has_text("ath_k7_7Q2mZ4wX9pLr") && screen.has_text("/v1/models/breast_cancer/predict"));
    screen.show("guide-answer");
    screen.fake.forget_sent();
    screen.click("Ask about another row");
    let asked: Vec<u64> = screen
        .fake
        .sent()
        .iter()
        .filter_map(|request| match request {
            Request::DataRows(ask) => Some(ask.offset),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [37]);
    let tried = screen.fake.sent().into_iter().find_map(|request| match request {
        Request::EndpointTry(ask) => Some(*ask),
        _ => None,
    });
    let values = tried.unwrap().values;
    assert!(values.contains_key("mean_radius") && !values.contains_key("diagnosis"));
}

#[test]
fn publishing_can_be_undone() {
    let engine = Engine { run: Some(RunStatus::Finished), ..Engine::default() };
    let (mut screen, engine) = guided([1280.0, 820.0], true, engine);
    screen.click("Publish");
    assert_eq!(engine.borrow().served, Some(4));
    screen.click("Undo");
    assert_eq!(engine.borrow().served, Some(3));
}

#[test]
fn what_was_done_before_is_done_still_and_a_step_can_be_done_again() {
    let engine = Engine { run: Some(RunStatus::Finished), version: Some(4), served: Some(4), ..Engine::default() };
    let (mut screen, _) = guided([1280.0, 820.0], true, engine);
    for step in [
        "Step 1, Open a real table, done",
        "Step 2, Train a model, done",
        "Step 3, Publish it, done",
        "Step 4, Ask it, next",
    ] {
        assert!(screen.has(step), "{step}");
    }
    screen.click("Step 2, Train a model, done");
    screen.fake.forget_sent();
    screen.click("Train again");
    let again = screen.fake.sent().into_iter().find_map(|request| match request {
        Request::RunStart(ask) => Some(*ask),
        _ => None,
    });
    assert!(again.unwrap().again_from.is_some());
    assert!(!has_sent(&screen, "WorkflowStarter"));
}

#[test]
fn a_step_that_fails_says_why_in_its_place_and_can_be_tried_again() {
    let (mut screen, engine) = guided([1280.0, 820.0], false, Engine { fail: Some("RunStart"), ..Engine::default() });
    screen.click("Train");
    assert!(screen.has_text("The disk is busy") && screen.has("Step 2, Train a model, next"));
    screen.show("guide-failed");
    engine.borrow_mut().fail = None;
    screen.click("Try again");
    assert!(screen.has("Step 2, Train a model, at work"));
    let (screen, _) = guided([1280.0, 820.0], false, Engine { run: Some(RunStatus::Failed), ..Engine::default() });
    assert!(screen.has_text("ran out of memory") && screen.has_text("Close other programs"));
}

#[test]
fn training_goes_on_while_another_page_is_seen() {
    let (mut screen, engine) = guided([1280.0, 820.0], true, Engine::default());
    screen.fake.hold();
    screen.click("Train");
    screen.click("Settings");
    screen.fake.release();
    screen.settle();
    assert!(has_sent(&screen, "RunStart"));
    finish(&mut screen, &engine);
    screen.click("Home");
    assert!(screen.has("Step 3, Publish it, next"));
}

#[test]
fn progress_of_the_run_is_seen_live() {
    let (mut screen, _) = guided([1280.0, 820.0], true, Engine::default());
    screen.click("Train");
    let mut summary = fake::run_summary(2);
    summary.status = RunStatus::Running;
    screen.fake.event(Event::RunChanged { run: Box::new(summary) });
    let progress = NodeProgress {
        node: "train".to_owned(),
        state: StepState::Running,
        done: 14,
        total: 40,
        note: "epoch 14 of 40".to_owned(),
        millis: None,
    };
    screen.fake.event(Event::RunStep { run: fake::run_id(2), progress });
    screen.settle();
    assert!(screen.has_text("train: epoch 14 of 40"));
    screen.click("Stop");
    assert!(has_sent(&screen, "RunCancel"));
}

#[test]
fn without_a_workspace_there_is_one_thing_to_do() {
    let mut screen = closed([1280.0, 820.0], true);
    assert!(screen.has("Welcome to Athanor") && screen.has("New workspace") && screen.has("churn"));
    screen.click("Open the sample workspace");
    assert!(has_sent(&screen, "WorkspaceSample"));
}

#[test]
fn a_new_workspace_is_a_name_in_a_folder() {
    let mut screen = closed([1280.0, 820.0], true);
    screen.click("New workspace");
    screen.harness.query_all_by_label("Name").last().unwrap().focus();
    screen.settle();
    screen.harness.event(egui::Event::Text("bad/name".to_owned()));
    screen.settle();
    screen.show("home-new");
    assert!(screen.has_text("has none of"));
    for _ in 0..8 {
        screen.harness.key_press(egui::Key::Backspace);
    }
    screen.settle();
    screen.harness.event(egui::Event::Text("spring".to_owned()));
    screen.settle();
    screen.click("Create workspace");
    let opened = screen.fake.sent().into_iter().find_map(|request| match request {
        Request::WorkspaceOpen(ask) => Some(*ask),
        _ => None,
    });
    let opened = opened.unwrap();
    assert_eq!((opened.path.as_str(), opened.create), ("/home/ada/Athanor/spring", true));
}

#[test]
fn files_dropped_before_there_is_a_workspace_make_one() {
    let open = Rc::new(Cell::new(false));
    let opened = Rc::clone(&open);
    let mut screen = closed([1280.0, 820.0], true);
    screen.fake.on(move |request| match request {
        Request::WorkspaceOpen(ask) => {
            opened.set(true);
            assert_eq!((ask.path.as_str(), ask.create), ("/home/ada/Athanor/tumours", true));
            None
        }
        Request::Hello(_) if opened.get() => Some(Ok(Reply::Hello(Box::new(fake::hello())))),
        _ => None,
    });
    let paths = vec!["/tmp/tumours.csv".to_owned(), "/tmp/more.csv".to_owned()];
    screen.fake.event(Event::FilesDropped { paths: paths.clone() });
    screen.settle();
    screen.settle();
    assert!(open.get());
    let added: Vec<String> = screen
        .fake
        .sent()
        .into_iter()
        .filter_map(|request| match request {
            Request::DataAdd(ask) => Some(ask.path),
            _ => None,
        })
        .collect();
    assert_eq!(added, paths);
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Data));
}

#[test]
fn a_folder_that_is_no_workspace_can_become_one() {
    let mut screen = closed([1280.0, 820.0], true);
    screen.fake.on(|request| match request {
        Request::Pick(ask) if ask.kind == PickKind::Folder => {
            Some(Ok(Reply::Pick(Box::new(Picked { paths: vec!["/home/ada/x".to_owned()] }))))
        }
        Request::WorkspaceOpen(ask) if !ask.create => {
            Some(Err(Failure::new(Code::NotFound, "there is no workspace in /home/ada/x")))
        }
        _ => None,
    });
    screen.click("Open folder");
    screen.settle();
    assert!(screen.has_text("There is no workspace in"));
    screen.click("Make a workspace there");
    let made = screen.fake.sent().iter().any(|request| matches!(request, Request::WorkspaceOpen(ask) if ask.create));
    assert!(made);
}

#[test]
fn recent_workspaces_open_and_those_that_are_gone_can_be_forgotten() {
    let mut screen = closed([1280.0, 820.0], true);
    screen.click("churn");
    assert!(
        screen
            .fake
            .sent()
            .iter()
            .any(|request| matches!(request, Request::WorkspaceOpen(ask) if ask.path.ends_with("churn")))
    );
    let gone = screen.harness.query_all_by_label("old-laptop").next().unwrap().rect();
    screen.harness.hover_at(gone.center());
    screen.settle();
    screen.fake.forget_sent();
    screen.click("Forget old-laptop");
    assert!(has_sent(&screen, "WorkspaceForget"));
    assert!(!screen.has("old-laptop") || has_sent(&screen, "Hello"));
}

#[test]
fn the_open_workspace_shows_what_is_in_it_and_where_the_user_was() {
    let (mut screen, _) = guided([1280.0, 1000.0], true, Engine::default());
    assert!(screen.has("clinic") && screen.has("Tables: 4") && screen.has("wine, workflow, with unsaved changes"));
    screen.click("Tables: 4");
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Data));
    screen.click("Home");
    screen.click("Hide");
    assert!(!screen.has("Step 2, Train a model, next"));
    screen.click("Show the guided start");
    assert!(screen.has("Step 2, Train a model, next"));
}

#[test]
fn the_page_waits_and_fails_in_words() {
    let engine: Shared = Rc::default();
    let mut screen = Screen::new([1280.0, 820.0], true, |fake| {
        with_engine(fake, &engine);
        fake.on(|request| match request {
            Request::DataList(_) => Some(Err(Failure::new(Code::Corrupt, "the list of tables cannot be read"))),
            _ => None,
        });
    });
    assert!(screen.has_text("The list of tables cannot be read"));
    screen.fake.link(Link::Down { reason: "gone".to_owned() });
    screen.settle();
    assert!(screen.has("clinic"));
}

#[test]
fn the_page_looks_as_it_should() {
    for (dark, ground) in [(true, "dark"), (false, "light")] {
        for (size, width) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = closed(size, dark);
            screen.show(&format!("home-closed-{width}-{ground}"));
            let (mut screen, _) = guided(size, dark, Engine::default());
            screen.show(&format!("home-open-{width}-{ground}"));
            screen.click("Hide");
            screen.show(&format!("home-plain-{width}-{ground}"));
            let (mut screen, _) = guided(size, dark, Engine { no_table: true, ..Engine::default() });
            screen.show(&format!("home-other-{width}-{ground}"));
            let engine =
                Engine { run: Some(RunStatus::Finished), version: Some(4), served: Some(4), ..Engine::default() };
            let (mut screen, _) = guided(size, dark, engine);
            screen.click("Start the endpoint and ask");
            screen.settle();
            screen.show(&format!("home-done-{width}-{ground}"));
        }
    }
}

fn answered(dark: bool) -> Screen {
    let engine = Engine { run: Some(RunStatus::Finished), version: Some(4), served: Some(4), ..Engine::default() };
    let (mut screen, _) = guided([1000.0, 640.0], dark, engine);
    screen.click("Start the endpoint and ask");
    screen.settle();
    screen
}

#[test]
fn the_steps_are_drawn_as_they_were_on_dark_ground() {
    answered(true).picture("home-dark");
}

#[test]
fn the_steps_are_drawn_as_they_were_on_light_ground() {
    answered(false).picture("home-light");
}

//! The page Workflow.

use athanor_protocol::{
    Code, Failure,
    api::{Event, NodeProgress, Reply, Request, RunPage, WorkflowDoc},
    run::{RunStatus, StepState},
    workflow::Workflow,
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::Go,
};
use egui::{Key, Modifiers, Pos2, Rect, Vec2};
use egui_kittest::kittest::Queryable;
use serde_json::json;

use crate::help::Screen;

/// An engine without runs, so that nothing is at work.
fn idle(fake: &FakeHandle) {
    fake.on(|request| match request {
        Request::RunList(_) => Some(Ok(Reply::RunList(Box::new(RunPage { items: vec![], next: None })))),
        _ => None,
    });
}

fn with(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, |fake| {
        idle(fake);
        before(fake);
    });
    screen.go(Go::Workflow("breast-cancer".to_owned()));
    screen.settle();
    screen.fake.forget_sent();
    screen
}

fn open() -> Screen {
    with([1280.0, 820.0], true, |_| {})
}

/// An engine that holds this workflow.
fn holding(workflow: Workflow) -> Screen {
    with([1280.0, 820.0], true, |fake| load(fake, workflow.to_json(), None))
}

fn load(fake: &FakeHandle, json: String, draft: Option<String>) {
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

fn rect(screen: &Screen, label: &str) -> Rect {
    match screen.harness.query_all_by_label(label).next() {
        Some(node) => node.rect(),
        None => panic!("there is no {label:?} on the screen"),
    }
}

fn drag(screen: &mut Screen, from: Pos2, to: Pos2) {
    screen.harness.hover_at(from);
    screen.harness.run_steps(2);
    screen.harness.drag_at(from);
    screen.harness.run_steps(2);
    for step in 1..=4 {
        screen.harness.hover_at(from + (to - from) * (step as f32 / 4.0));
        screen.harness.run_steps(2);
    }
    screen.harness.drop_at(to);
    screen.settle();
}

fn key(screen: &mut Screen, modifiers: Modifiers, key: Key) {
    screen.harness.key_press_modifiers(modifiers, key);
    screen.settle();
}

fn type_text(screen: &mut Screen, text: &str) {
    screen.harness.event(egui::Event::Text(text.to_owned()));
    screen.settle();
}

/// The document as it was last kept by the engine.
fn kept(screen: &Screen) -> Workflow {
    let sent = screen.fake.sent();
    let last = sent.iter().rev().find_map(|request| match request {
        Request::WorkflowDraft(draft) => Some(draft.json.clone()),
        _ => None,
    });
    Workflow::from_json(&last.expect("unsaved changes were kept")).expect("what is kept is a workflow")
}

fn sends(screen: &Screen, method: &str) -> usize {
    screen.fake.sent().iter().filter(|request| request.method() == method).count()
}

const SPLIT: &str = "Split: stratified 70/15/15";
const FILL: &str = "Fill missing: median, 3 columns";
const TREES: &str = "Boosted trees: diagnosis, 300 rounds";

#[test]
fn the_canvas_shows_what_was_saved_on_dark_ground() {
    canvas_shows(true, "dark");
}

#[test]
fn the_canvas_shows_what_was_saved_on_light_ground() {
    canvas_shows(false, "light");
}

fn canvas_shows(dark: bool, ground: &str) {
    for (size, width) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow")] {
        let mut screen = with(size, dark, |_| {});
        screen.click(SPLIT);
        screen.show(&format!("workflow-{width}-{ground}"));
        assert!(screen.has("Validation share"), "{width} {ground}");
        let canvas = rect(&screen, "Canvas");
        for label in ["Open table: breast_cancer.csv", "Register: breast-cancer as staging"] {
            assert!(canvas.contains_rect(rect(&screen, label)), "{label} in {width}");
        }
        if width == "wide" {
            screen.picture(&format!("workflow-{ground}"));
        }
    }
}

#[test]
fn a_drag_moves_a_node_is_kept_within_a_second_and_is_undone_as_one_step() {
    let mut screen = open();
    let from = rect(&screen, SPLIT).center();
    drag(&mut screen, from, from + Vec2::new(30.0, 60.0));
    let moved = kept(&screen).node("split").unwrap().position.unwrap();
    assert!(moved[1] > 120.0 && moved[1].fract() == 0.0, "{moved:?}");
    assert_eq!(kept(&screen).node("fill").unwrap().position, Some([256.0, 90.0]));
    key(&mut screen, Modifiers::COMMAND, Key::Z);
    screen.settle();
    assert!(sends(&screen, "WorkflowDiscard") + sends(&screen, "WorkflowDraft") >= 2);
    assert!((rect(&screen, SPLIT).center() - from).length() < 1.0);
    key(&mut screen, Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    assert!((rect(&screen, SPLIT).center() - from).length() > 20.0);
}

#[test]
fn a_wire_links_what_fits_and_a_wrong_one_is_refused_with_a_reason() {
    let mut screen = open();
    let out = rect(&screen, "Output model of Boosted trees").center();
    let model = rect(&screen, "Input model of Evaluate").center();
    drag(&mut screen, out, model);
    let links = kept(&screen).links;
    assert_eq!(links.iter().find(|link| link.to.to_string() == "evaluate.model").unwrap().from.node, "trees");
    let table = rect(&screen, "Input table of Split").center();
    let before = links.len();
    drag(&mut screen, out, table);
    assert!(screen.app.borrow().as_ref().unwrap().messages()[0].contains("takes a table"), "a reason is given");
    assert_eq!(kept(&screen).links.len(), before);
}

#[test]
fn a_wire_that_is_dropped_on_nothing_offers_what_fits_and_links_it() {
    let mut screen = open();
    let out = rect(&screen, "Output splits of Split").center();
    drag(&mut screen, out, out + Vec2::new(0.0, 180.0));
    assert!(screen.has("Add Linear model") && screen.has("Add Evaluate"));
    assert!(!screen.has("Add Filter rows"));
    screen.show("workflow-quick-add");
    screen.click("Add Linear model");
    let next = kept(&screen);
    assert!(next.links.iter().any(|link| link.to.to_string() == "linear.splits" && link.from.node == "split"));
}

#[test]
fn typing_on_the_canvas_adds_a_node_without_the_mouse() {
    let mut screen = open();
    type_text(&mut screen, "f");
    type_text(&mut screen, "ilt");
    assert!(screen.has("Add Filter rows"));
    key(&mut screen, Modifiers::NONE, Key::Enter);
    assert!(kept(&screen).node("filter").is_some());
    assert!(screen.has("Filter rows: write a condition"));
}

#[test]
fn the_palette_adds_by_double_click_behind_the_chosen_node_and_by_dragging() {
    let mut screen = open();
    screen.click(FILL);
    let item = rect(&screen, "Sort rows").center();
    // A frame of the harness takes a quarter of a second.
    screen.harness.ctx.options_mut(|options| {
        options.input_options.max_click_duration = 5.0;
        // Longer, the click on the node before would be the first of three.
        options.input_options.max_double_click_delay = 0.9;
    });
    screen.harness.hover_at(item);
    for pressed in [true, false, true, false] {
        let (button, modifiers) = (egui::PointerButton::Primary, Modifiers::NONE);
        screen.harness.event(egui::Event::PointerButton { pos: item, button, pressed, modifiers });
    }
    screen.settle();
    screen.show("workflow-added");
    let next = kept(&screen);
    assert!(next.links.iter().any(|link| link.from.node == "fill" && link.to.node == "sort"));
    let at = rect(&screen, "Canvas").center() + Vec2::new(0.0, 200.0);
    let item = rect(&screen, "Join tables").center();
    drag(&mut screen, item, at);
    assert!(kept(&screen).node("join").is_some());
}

#[test]
fn copies_go_through_the_clipboard_as_a_workflow() {
    let mut screen = open();
    screen.click(SPLIT);
    screen.harness.event(egui::Event::Copy);
    screen.harness.step();
    let copied = screen.harness.output().platform_output.commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    });
    let text = copied.expect("something was copied");
    assert_eq!(Workflow::from_json(&text).unwrap().nodes.len(), 1);
    screen.harness.event(egui::Event::Paste(text));
    screen.settle();
    assert!(kept(&screen).node("split2").is_some());
    screen.harness.event(egui::Event::Paste("not a workflow".to_owned()));
    screen.settle();
    assert!(screen.app.borrow().as_ref().unwrap().messages().iter().any(|text| text.contains("clipboard")));
    key(&mut screen, Modifiers::COMMAND, Key::A);
    key(&mut screen, Modifiers::NONE, Key::Delete);
    assert!(kept(&screen).nodes.is_empty());
    screen.show("workflow-empty-canvas");
    key(&mut screen, Modifiers::COMMAND, Key::Z);
    assert_eq!(kept(&screen).nodes.len(), 8);
}

#[test]
fn keys_choose_move_and_edit_nodes() {
    let mut screen = open();
    key(&mut screen, Modifiers::NONE, Key::Tab);
    assert!(screen.has("Known tables"));
    key(&mut screen, Modifiers::NONE, Key::Tab);
    key(&mut screen, Modifiers::NONE, Key::ArrowDown);
    assert_eq!(kept(&screen).node("fill").unwrap().position, Some([256.0, 100.0]));
    screen.click(SPLIT);
    key(&mut screen, Modifiers::COMMAND, Key::G);
    assert!(kept(&screen).groups.iter().any(|group| group.nodes == ["split"]));
    key(&mut screen, Modifiers::COMMAND, Key::L);
    let moved = kept(&screen);
    assert!(moved.node("open").unwrap().position.unwrap()[0] < moved.node("split").unwrap().position.unwrap()[0]);
}

#[test]
fn the_inspector_is_made_from_the_catalogue_and_offers_what_comes_in() {
    let mut screen = open();
    screen.click(FILL);
    assert!(screen.has("3 of 15 columns") && screen.has("mean_radius"));
    screen.show("workflow-columns");
    screen.click("mean_radius");
    let columns = kept(&screen).node("fill").unwrap().params["columns"].clone();
    assert_eq!(columns, json!(["mean_texture", "mean_area"]));
    screen.click("Reset columns to its default: none");
    assert!(kept(&screen).node("fill").unwrap().params.is_empty());
    screen.click(TREES);
    screen.show("workflow-trees");
    assert!(screen.has("Learning rate") && screen.has("Input"));
}

#[test]
fn what_is_wrong_stands_at_the_node_in_the_list_and_at_the_parameter() {
    let mut workflow = fake::workflow();
    workflow.nodes[2].params.insert("test".to_owned(), json!(3.0));
    workflow.nodes[0].params.clear();
    let mut screen = holding(workflow);
    screen.click("2 problems");
    assert!(screen.has("Split: test share"));
    screen.show("workflow-problems");
    screen.click("Split: test share");
    screen.show("workflow-problem-chosen");
    assert!(screen.has_text("Is 3, it must be from 0 to 0.9"));
    screen.click("Run");
    assert_eq!(sends(&screen, "RunStart"), 0);
}

#[test]
fn saving_says_which_revision_it_began_with_and_a_clash_is_a_question() {
    let mut screen = open();
    screen.click(SPLIT);
    key(&mut screen, Modifiers::NONE, Key::ArrowDown);
    screen.fake.on(|request| match request {
        Request::WorkflowSave(ask) if ask.expected.is_some() => Some(Err(Failure::new(
            Code::Conflict,
            "workflow \"breast-cancer\" was saved by somebody else since you opened it",
        ))),
        _ => None,
    });
    key(&mut screen, Modifiers::COMMAND, Key::S);
    assert!(screen.has("Somebody else saved this workflow"));
    screen.show("workflow-conflict");
    screen.click("Overwrite theirs");
    let expected: Vec<Option<u64>> = screen
        .fake
        .sent()
        .iter()
        .filter_map(|request| match request {
            Request::WorkflowSave(ask) => Some(ask.expected),
            _ => None,
        })
        .collect();
    assert_eq!(expected, [Some(3), None]);
    assert!(screen.has_text("breast-cancer, saved"));
}

#[test]
fn after_a_crash_unsaved_changes_are_there_and_can_be_dropped() {
    let mut draft = fake::workflow();
    draft.nodes.truncate(2);
    draft.links.truncate(1);
    let json = fake::workflow().to_json();
    let mut screen = with([1280.0, 820.0], false, |fake| load(fake, json, Some(draft.to_json())));
    assert!(screen.has("Recovered changes that were not saved.") && !screen.has(SPLIT));
    screen.show("workflow-recovered");
    screen.click("Discard them");
    assert!(screen.has(SPLIT));
    assert_eq!(sends(&screen, "WorkflowDiscard"), 1);
}

#[test]
fn the_last_open_workflow_comes_back_after_a_restart_and_closing_keeps_what_was_typed() {
    let mut screen = Screen::new([1280.0, 820.0], true, |fake| {
        idle(fake);
        fake.on(|request| match request {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.settings.memory.insert("workflow.open".to_owned(), "churn".to_owned());
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    });
    screen.click("Workflow");
    screen.settle();
    assert!(screen.has_text("churn, saved"));
    screen.click(SPLIT);
    screen.fake.forget_sent();
    screen.harness.key_press(Key::ArrowDown);
    screen.harness.step();
    screen.harness.step();
    screen.fake.event(Event::Closing {});
    screen.harness.step();
    assert_eq!(kept(&screen).node("split").unwrap().position, Some([512.0, 100.0]));
}

#[test]
fn a_newer_files_error_is_shown_and_an_unknown_node_is_kept() {
    let mut screen = Screen::new([1280.0, 820.0], true, idle);
    screen.go(Go::Workflow("from-the-future".to_owned()));
    screen.settle();
    assert!(screen.has_text("format version 9"));
    screen.show("workflow-newer");
    screen.click("Back");
    assert!(screen.has("Draw a workflow"));
    screen.show("workflow-none");

    let mut workflow = fake::workflow();
    workflow.nodes.push(fake::node("magic", "later.magic", json!({"depth": 3}), [512.0, 240.0]));
    workflow.links.push(fake::flow_link("split.splits", "magic.in"));
    let mut screen = holding(workflow);
    assert!(screen.has("later.magic: unknown kind later.magic") && screen.has("1 problem"));
    screen.click("later.magic: unknown kind later.magic");
    key(&mut screen, Modifiers::NONE, Key::ArrowDown);
    let kept = kept(&screen);
    assert_eq!(kept.node("magic").unwrap().params["depth"], json!(3));
    assert!(kept.links.iter().any(|link| link.to.to_string() == "magic.in"));
}

#[test]
fn a_run_starts_shows_each_nodes_state_and_can_be_stopped() {
    let mut screen = open();
    screen.click("Run");
    let start = screen.fake.sent().into_iter().find_map(|request| match request {
        Request::RunStart(ask) => Some(ask),
        _ => None,
    });
    let start = start.expect("a run was started");
    assert_eq!((start.seed, start.device.as_str(), start.up_to), (42, "auto", None));
    let run = fake::run_id(0);
    for (node, state, note) in
        [("open", StepState::Done, ""), ("split", StepState::Cached, ""), ("net", StepState::Running, "epoch 14 of 40")]
    {
        let progress =
            NodeProgress { node: node.to_owned(), state, done: 14, total: 40, note: note.to_owned(), millis: None };
        screen.fake.event(Event::RunStep { run: run.clone(), progress });
    }
    screen.settle();
    assert!(screen.has("Neural network: epoch 14 of 40"));
    screen.show("workflow-running");
    screen.click("Stop");
    assert_eq!(sends(&screen, "RunCancel"), 1);
    let mut summary = fake::run_view(0).detail.summary;
    summary.status = RunStatus::Failed;
    summary.failure = Some(Failure::new(Code::BadData, "the column \"diagnosis\" is not there"));
    let failed = NodeProgress {
        node: "net".to_owned(),
        state: StepState::Failed,
        done: 0,
        total: 0,
        note: String::new(),
        millis: None,
    };
    screen.fake.event(Event::RunStep { run, progress: failed });
    screen.fake.event(Event::RunChanged { run: Box::new(summary) });
    screen.settle();
    assert!(screen.has("Neural network: the column \"diagnosis\" is not there") && screen.has("Run"));
    screen.show("workflow-failed");
}

#[test]
fn the_start_of_a_run_on_a_large_table_tells_how_far_it_is_and_can_be_stopped() {
    let mut screen = open();
    screen.fake.on(|request| match request {
        Request::RunStart(_) => Some(Err(Failure::new(Code::Cancelled, "reading trips.csv was stopped"))),
        _ => None,
    });
    screen.fake.hold();
    screen.click("Run");
    let token = screen.fake.sent().into_iter().find_map(|request| match request {
        Request::RunStart(ask) => Some(ask.token),
        _ => None,
    });
    let token = token.expect("a run was started");
    let note = "reading trips.csv to know whether it changed".to_owned();
    screen.fake.event(Event::Progress { token: token.clone(), done: 1 << 30, total: 10 << 30, note });
    screen.harness.run_steps(40);
    assert!(screen.has_text("Starting the run: reading trips.csv"));
    screen.show("workflow-starting");
    screen.click("Stop");
    let told = |request: &Request| matches!(request, Request::WorkCancel(ask) if ask.token == token);
    assert!(screen.fake.sent().iter().any(told), "the engine is told that it may stop");
    screen.fake.release();
    screen.settle();
    assert!(screen.has_text("Stopped before the run began") && screen.has("Run") && !screen.has("Stop"));
}

#[test]
fn the_preview_shows_tables_models_reports_and_says_what_to_do_else() {
    let mut screen = open();
    screen.click(FILL);
    type_text(&mut screen, "p");
    screen.settle();
    assert!(screen.has_text("Rows 1 to 200 of 569") && screen.has("worst_area"));
    screen.show("workflow-preview");
    screen.click(TREES);
    screen.settle();
    assert!(screen.has("boosted trees"));
    screen.click("Evaluate: on the test rows");
    screen.settle();
    assert!(screen.has_text("roc_auc"));
    screen.click("Neural network: diagnosis, 64 × 32, 40 epochs");
    screen.settle();
    screen.click("Run to here");
    let up_to = screen.fake.sent().into_iter().find_map(|request| match request {
        Request::RunStart(ask) => ask.up_to,
        _ => None,
    });
    assert_eq!(up_to.as_deref(), Some("net"));
}

#[test]
fn layers_are_built_as_blocks_and_an_error_stands_at_its_block() {
    let mut workflow = fake::workflow();
    workflow.nodes[4] = fake::node("net", "train.network", json!({"target": "diagnosis"}), [792.0, 110.0]);
    let mut screen = holding(workflow);
    screen.click("Custom network: diagnosis, no layers yet");
    screen.click("Build the model");
    screen.click("Add a layer");
    screen.click("Dropout");
    let layers = kept(&screen).node("net").unwrap().params["network"]["layers"].clone();
    assert_eq!(layers.as_array().unwrap().len(), 6);
    assert!(screen.has_text("parameters"));
    screen.show("workflow-builder");
    screen.click("Add a layer");
    screen.click("Convolution");
    assert!(screen.has_text("Takes an image"));
    screen.show("workflow-builder-error");
    screen.click("Remove layer 6");
    screen.click("Move layer 5 up");
    let layers = kept(&screen).node("net").unwrap().params["network"]["layers"].clone();
    assert_eq!(layers[3]["layer"], json!("dropout"));
    screen.click("Back to the canvas");
    assert!(screen.has("Canvas"));
}

#[test]
fn ten_thousand_nodes_open_and_draw_without_a_hang() {
    let began = std::time::Instant::now();
    let mut screen = holding(fake::long_workflow(10_000));
    let opened = began.elapsed();
    let began = std::time::Instant::now();
    screen.harness.run_steps(10);
    let frame = began.elapsed() / 10;
    screen.show("workflow-10000");
    type_text(&mut screen, "+");
    key(&mut screen, Modifiers::NONE, Key::Tab);
    screen.settle();
    let began = std::time::Instant::now();
    screen.harness.run_steps(10);
    let near = began.elapsed() / 10;
    screen.show("workflow-10000-near");
    if let Some(folder) = std::env::var_os("ATHANOR_PICTURES") {
        let text = format!("opened {opened:?}, frame of all {frame:?}, frame of some {near:?}\n");
        std::fs::write(std::path::Path::new(&folder).join("workflow-10000.txt"), text).unwrap();
    }
    assert!(frame.as_millis() < 250, "a frame takes {frame:?}");
}

#[test]
fn nothing_yet_slow_and_failing_each_say_what_to_do() {
    let mut screen = Screen::new([1000.0, 640.0], false, idle);
    screen.click("Workflow");
    screen.settle();
    assert!(screen.has("Draw a workflow") && screen.has("Open churn"));
    screen.fake.hold();
    screen.click("Open churn");
    assert!(screen.has("Opening churn"));
    screen.fake.release();
    screen.settle();
    assert!(screen.has(SPLIT));

    let mut screen = Screen::new([1280.0, 820.0], false, |fake| {
        idle(fake);
        fake.on(|request| match request {
            Request::WorkflowList(_) => Some(Err(Failure::new(Code::BadData, "the folder cannot be read"))),
            _ => None,
        });
    });
    screen.click("Workflow");
    screen.settle();
    assert!(screen.has("The folder cannot be read.") && screen.has("Try again"));
}

#[test]
fn a_new_workflow_begins_with_a_table_or_empty() {
    let mut screen = Screen::new([1280.0, 820.0], false, idle);
    screen.go(Go::NewWorkflow { table: None });
    screen.settle();
    assert!(screen.has_text("untitled, not saved yet"));
    screen.show("workflow-new");
    screen.go(Go::NewWorkflow { table: Some("/data/iris.csv".to_owned()) });
    screen.settle();
    assert!(screen.has("Start from a table"));
    screen.show("workflow-starter");
}

//! The page Runs: the list, one run, runs side by side.

use std::{cell::Cell, rc::Rc};

use athanor_protocol::{
    Code, Failure,
    api::{Event, Picked, Reply, Request, RunOrder, RunRow, RunView, SeriesAnswer},
    metric::{MetricPoint, Split},
    run::RunStatus,
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};
use egui::Key;
use egui_kittest::kittest::{NodeT, Queryable};

use crate::help::Screen;

fn list(before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new([1280.0, 820.0], true, before);
    screen.go(Go::To(Route::Runs));
    screen
}

fn run_of(n: usize, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new([1280.0, 820.0], true, before);
    screen.go(Go::Run(fake::run_id(n)));
    screen
}

fn sent<T>(screen: &Screen, pick: impl Fn(&Request) -> Option<T>) -> Vec<T> {
    screen.fake.sent().iter().filter_map(pick).collect()
}

fn name(n: usize) -> String {
    let id = fake::run_id(n);
    format!("{} {}", fake::run_summary(n).workflow, &id.as_str()[20..])
}

fn route(screen: &Screen) -> Option<Route> {
    screen.app.borrow().as_ref().map(|app| app.route())
}

fn select(screen: &mut Screen, runs: &[usize]) {
    for &n in runs {
        screen.click(&format!("Select {}", name(n)));
    }
}

fn type_into(screen: &mut Screen, label: &str, text: &str) {
    field(screen, label).focus();
    screen.settle();
    field(screen, label).type_text(text);
    screen.settle();
    wait(screen);
}

fn field<'a>(screen: &'a Screen, label: &'a str) -> egui_kittest::Node<'a> {
    let is_field = |node: &egui_kittest::Node<'_>| {
        matches!(
            node.accesskit_node().role(),
            egui::accesskit::Role::TextInput | egui::accesskit::Role::MultilineTextInput
        )
    };
    screen.harness.query_all_by_label(label).find(is_field).unwrap_or_else(|| panic!("there is no field {label:?}"))
}

/// More than the pauses after typing and between two questions.
fn wait(screen: &mut Screen) {
    screen.harness.set_size(screen.harness.ctx.content_rect().size());
    for _ in 0..80 {
        screen.harness.step();
    }
}

#[test]
fn the_list_shows_runs_with_state_metrics_and_tags_and_opens_one() {
    for dark in [true, false] {
        for size in [[1280.0, 820.0], [1000.0, 640.0]] {
            let mut screen = Screen::new(size, dark, |_| {});
            screen.go(Go::To(Route::Runs));
            for text in ["running", "finished", "failed", "cancelled", "Accuracy, valid"] {
                assert!(screen.has(text), "{text} {size:?}");
            }
            screen.click(&name(1));
            assert!(screen.has("Back to the runs"), "{size:?}");
            screen.click("Back to the runs");
            assert!(screen.has("Search runs"));
        }
    }
}

#[test]
fn an_empty_list_says_what_to_do_next() {
    let mut screen = list(|fake| {
        fake.on(|request| match request {
            Request::RunList(ask) => Some(Ok(Reply::RunList(Box::new(fake::run_page(ask, 0))))),
            _ => None,
        });
    });
    assert!(screen.has("No runs yet"));
    screen.click("Go to Workflow");
    assert_eq!(route(&screen), Some(Route::Workflow));
}

#[test]
fn a_list_that_does_not_come_shows_that_it_is_awaited_and_then_comes() {
    let mut screen = Screen::usual();
    screen.fake.hold();
    screen.go(Go::To(Route::Runs));
    wait(&mut screen);
    assert!(screen.has("Reading the runs"));
    screen.fake.release();
    screen.settle();
    assert!(screen.has(&name(2)) && !screen.has("Reading the runs"));
}

#[test]
fn a_list_that_fails_says_why_and_can_be_asked_again() {
    let mut screen = list(|fake| {
        let mut n = 0;
        fake.on(move |request| match request {
            Request::RunList(ask) if ask.limit == 200 => {
                n += 1;
                (n <= 1)
                    .then(|| Err(Failure::new(Code::Corrupt, "the database cannot be read").hint("restore a backup")))
            }
            _ => None,
        });
    });
    assert!(screen.has_text("The database cannot be read"));
    screen.click("Try again");
    wait(&mut screen);
    assert!(screen.has(&name(0)));
}

#[test]
fn ten_thousand_runs_are_asked_for_by_pages_as_one_scrolls() {
    let mut screen = list(|fake| {
        fake.on(|request| match request {
            Request::RunList(ask) if ask.status.is_empty() => {
                Some(Ok(Reply::RunList(Box::new(fake::run_page(ask, 10_000)))))
            }
            _ => None,
        });
    });
    let pages = |screen: &Screen| {
        sent(screen, |request| match request {
            Request::RunList(ask) if ask.limit == 200 => Some((ask.after.clone(), ask.limit)),
            _ => None,
        })
    };
    assert_eq!(pages(&screen), [(None, 200)]);
    let middle = egui::pos2(700.0, 650.0);
    screen.harness.event(egui::Event::PointerMoved(middle));
    for _ in 0..40 {
        screen.harness.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: egui::vec2(0.0, -900.0),
            phase: egui::TouchPhase::Move,
            modifiers: egui::Modifiers::NONE,
        });
        screen.harness.run_steps(3);
    }
    let asked = pages(&screen);
    assert!(asked.len() > 3, "{asked:?}");
    assert_eq!(asked[1], (Some("200".to_owned()), 200));
    assert!(asked.len() < 12, "only what is near is asked for: {}", asked.len());
}

#[test]
fn searching_filtering_and_sorting_are_asked_of_the_engine() {
    let mut screen = list(|_| {});
    let last = |screen: &Screen| {
        sent(screen, |request| match request {
            Request::RunList(ask) if ask.limit == 200 => Some((**ask).clone()),
            _ => None,
        })
        .pop()
        .unwrap()
    };
    screen.click("Failed");
    assert_eq!(last(&screen).status, [RunStatus::Failed]);
    screen.click("All");
    type_into(&mut screen, "Search runs", "wine");
    assert_eq!(last(&screen).text, "wine");
    screen.click("Accuracy, valid");
    let ask = last(&screen);
    assert_eq!(ask.order, RunOrder::Metric { key: "accuracy".to_owned(), split: Split::Valid });
    assert!(ask.descending);
    screen.click("Accuracy, valid");
    assert!(!last(&screen).descending);
    screen.click("Show deleted runs");
    assert!(last(&screen).deleted);
    assert!(screen.has("No deleted runs"));
}

#[test]
fn chosen_columns_are_shown_and_remembered() {
    let mut screen = list(|_| {});
    assert!(!screen.has("train.optimizer"));
    screen.click("Choose columns");
    type_into(&mut screen, "Search columns", "optim");
    screen.click("train.optimizer (parameter)");
    wait(&mut screen);
    assert!(screen.has("train.optimizer"));
    let saved = sent(&screen, |request| match request {
        Request::SettingsSet(ask) => ask.settings.memory.get("runs.columns").cloned(),
        _ => None,
    });
    assert!(saved.last().is_some_and(|words| words.contains("param:train.optimizer")), "{saved:?}");
}

#[test]
fn selected_runs_are_deleted_and_brought_back_by_undo() {
    let mut screen = list(|fake| {
        let mut gone = vec![];
        fake.on(move |request| match request {
            Request::RunDelete(ask) => {
                gone.clone_from(&ask.runs);
                None
            }
            Request::RunList(ask) => {
                let mut page = fake::run_page(ask, 24);
                page.items.retain(|row| !gone.contains(&row.summary.id));
                Some(Ok(Reply::RunList(Box::new(page))))
            }
            _ => None,
        });
    });
    select(&mut screen, &[1, 2]);
    assert!(screen.has("2 runs selected"));
    screen.click("Delete");
    let deleted = sent(&screen, |request| match request {
        Request::RunDelete(ask) => Some(ask.runs.clone()),
        _ => None,
    });
    assert_eq!(deleted, [vec![fake::run_id(1), fake::run_id(2)]]);
    assert!(screen.has("Deleted 2 runs"));
    assert!(!screen.has(&name(1)) && screen.has(&name(0)));
    screen.click("Undo");
    let restored = sent(&screen, |request| match request {
        Request::RunRestore(ask) => Some(ask.runs.clone()),
        _ => None,
    });
    assert_eq!(restored, deleted);
}

#[test]
fn runs_at_work_are_not_deleted() {
    let mut screen = list(|_| {});
    select(&mut screen, &[0, 1]);
    screen.click("Delete");
    assert!(screen.has_text("stop them first"));
    assert!(sent(&screen, |request| matches!(request, Request::RunDelete(_)).then_some(())).is_empty());
}

#[test]
fn selected_runs_are_tagged_together() {
    let mut screen = list(|_| {});
    select(&mut screen, &[2, 5]);
    screen.click("Tag");
    type_into(&mut screen, "Tag", "stage");
    type_into(&mut screen, "Value (may be empty)", "best");
    screen.click("Set tag");
    let tags = sent(&screen, |request| match request {
        Request::RunTag(ask) => Some((ask.run.clone(), ask.key.clone(), ask.value.clone())),
        _ => None,
    });
    let tag = |n| (fake::run_id(n), "stage".to_owned(), Some("best".to_owned()));
    assert_eq!(tags, [tag(2), tag(5)]);
    assert!(screen.has("Tagged 2 runs"));
}

#[test]
fn a_run_that_changes_is_shown_without_asking_for_everything() {
    let mut screen = list(|_| {});
    screen.fake.forget_sent();
    screen.fake.hold();
    let mut changed = fake::run_summary(0);
    changed.status = RunStatus::Cancelled;
    screen.fake.event(Event::RunChanged { run: Box::new(changed) });
    let point =
        MetricPoint { key: "accuracy".to_owned(), split: Split::Valid, step: 999, at_millis: 0, value: 0.4321.into() };
    screen.fake.event(Event::RunMetrics { run: fake::run_id(0), points: vec![point] });
    screen.harness.run_steps(2);
    assert!(screen.has("0.4321") && !screen.has("running"));
    assert!(screen.fake.sent().len() < 6, "{:?}", screen.fake.sent());
}

#[test]
fn the_runs_of_a_workflow_are_shown_when_asked_for() {
    let mut screen = Screen::usual();
    screen.go(Go::RunsOf("wine".to_owned()));
    let asked = sent(&screen, |request| match request {
        Request::RunList(ask) => ask.workflow.clone(),
        _ => None,
    });
    assert_eq!(asked.last().map(String::as_str), Some("wine"));
    assert!(screen.has_text("of wine"));
}

#[test]
fn every_tab_of_a_run_can_be_opened() {
    for (tab, text) in [
        ("Curves", "Loss"),
        ("System", "Memory"),
        ("Logs", "Follow the end"),
        ("Evaluation", "Confusion matrix"),
        ("Artifacts", "train.model"),
        ("Environment", "threads"),
        ("Lineage", "train.learning_rate"),
    ] {
        let mut screen = run_of(1, |_| {});
        screen.click(tab);
        screen.settle();
        assert!(screen.has(text), "{tab}: {text}");
    }
}

#[test]
fn a_failed_run_shows_its_failure_and_what_to_do_and_goes_on() {
    let mut screen = run_of(3, |_| {});
    assert!(screen.has_text("needed more memory") && screen.has_text("Take a smaller batch"));
    screen.click("Resume");
    let resumed = sent(&screen, |request| match request {
        Request::RunResume(ask) => Some(ask.run.clone()),
        _ => None,
    });
    assert_eq!(resumed, [fake::run_id(3)]);
}

#[test]
fn a_run_at_work_shows_how_far_it_is_and_can_be_stopped() {
    let mut screen = run_of(0, |_| {});
    assert!(screen.has("train: epoch 14 of 40"));
    let mut step = fake::run_progress(0).remove(2);
    step.note = "epoch 15 of 40".to_owned();
    screen.fake.event(Event::RunStep { run: fake::run_id(0), progress: step });
    screen.settle();
    assert!(screen.has("train: epoch 15 of 40"));
    screen.click("Stop");
    assert_eq!(sent(&screen, |request| matches!(request, Request::RunCancel(_)).then_some(())).len(), 1);
}

#[test]
fn a_run_that_was_deleted_elsewhere_says_so() {
    let mut screen = run_of(2, |fake| {
        fake.on(|request| match request {
            Request::RunGet(_) => Some(Err(Failure::new(Code::NotFound, "no run has this id"))),
            _ => None,
        });
    });
    assert!(screen.has("This run is no longer there"));
    screen.click("Back to the runs");
    assert!(screen.has("Search runs"));
}

#[test]
fn a_run_deleted_while_it_is_open_says_so_too() {
    let mut screen = run_of(2, |_| {});
    screen.fake.on(|request| match request {
        Request::RunGet(_) => Some(Err(Failure::new(Code::NotFound, "no run has this id"))),
        _ => None,
    });
    screen.fake.event(Event::RunChanged { run: Box::new(fake::run_summary(2)) });
    wait(&mut screen);
    assert!(screen.has("This run is no longer there"));
}

#[test]
fn a_note_is_saved_soon_after_the_last_letter_and_kept_when_saving_fails() {
    let mut screen = run_of(1, |fake| {
        let mut n = 0;
        fake.on(move |request| match request {
            Request::RunNote(_) => {
                n += 1;
                (n == 1).then(|| Err(Failure::new(Code::DiskFull, "the disk is full")))
            }
            _ => None,
        });
    });
    type_into(&mut screen, "Note", " Really.");
    assert!(screen.has_text("The disk is full"));
    screen.click("Try again");
    screen.settle();
    let notes = sent(&screen, |request| match request {
        Request::RunNote(ask) => Some(ask.note.clone()),
        _ => None,
    });
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().all(|note| note.contains("Really.")) && !screen.has_text("The disk is full"));
}

#[test]
fn a_note_is_saved_at_once_when_the_window_closes() {
    let mut screen = run_of(1, |_| {});
    field(&screen, "Note").focus();
    screen.settle();
    field(&screen, "Note").type_text("x");
    screen.harness.run_steps(2);
    screen.fake.event(Event::Closing {});
    screen.harness.run_steps(1);
    assert_eq!(sent(&screen, |request| matches!(request, Request::RunNote(_)).then_some(())).len(), 1);
}

#[test]
fn a_model_is_registered_under_a_name_that_is_allowed() {
    let mut screen = run_of(2, |_| {});
    screen.click("Register");
    assert!(screen.has("Register the model"));
    type_into(&mut screen, "Model name", "/");
    assert!(screen.has_text("may be used"));
    screen.harness.key_press(Key::Backspace);
    screen.settle();
    screen.click("Register model");
    let names = sent(&screen, |request| match request {
        Request::ModelRegister(ask) => Some(ask.name.clone()),
        _ => None,
    });
    assert_eq!(names, ["breast-cancer"]);
    assert!(screen.has("Registered as breast-cancer:4"));
}

#[test]
fn an_artifact_is_saved_where_the_dialog_says() {
    let mut screen = run_of(1, |fake| {
        fake.on(|request| match request {
            Request::Pick(_) => Some(Ok(Reply::Pick(Box::new(Picked { paths: vec!["/tmp/out.json".to_owned()] })))),
            _ => None,
        });
    });
    screen.click("Artifacts");
    screen.click("Save evaluate.report as");
    let saved = sent(&screen, |request| match request {
        Request::RunSaveArtifact(ask) => Some((ask.name.clone(), ask.path.clone())),
        _ => None,
    });
    assert_eq!(saved, [("evaluate.report".to_owned(), "/tmp/out.json".to_owned())]);
    assert!(screen.has("Saved /tmp/out.json"));
}

#[test]
fn only_the_curves_that_are_seen_are_asked_for_out_of_twelve_thousand() {
    let mut screen = run_of(1, |fake| {
        let points: Vec<MetricPoint> =
            (0..12_000).map(|n| fake::run_point(1, &format!("layer_{n:05}/weight_norm"), Split::Train, 400)).collect();
        fake.on(move |request| match request {
            Request::RunMetrics(ask) => Some(Ok(Reply::RunMetrics(Box::new(fake::run_metric_page(&points, ask))))),
            _ => None,
        });
    });
    screen.harness.run_steps(20);
    assert!(screen.has("12,000 metrics"));
    let asked: usize = sent(&screen, |request| match request {
        Request::RunSeries(ask) => Some(ask.series.len()),
        _ => None,
    })
    .iter()
    .sum();
    assert!((1..40).contains(&asked), "{asked}");
    type_into(&mut screen, "Search metrics", "11999");
    assert!(screen.has("1 metric"));
}

#[test]
fn series_of_no_number_of_one_point_and_with_very_long_names_are_drawn() {
    let long = "very_long_name_".repeat(8);
    let names = ["all_nan".to_owned(), "one_point".to_owned(), long.clone()];
    for log in [false, true] {
        let names = names.clone();
        let mut screen = run_of(1, |fake| {
            fake.on(move |request| match request {
                Request::RunMetrics(ask) => {
                    let points: Vec<_> = names.iter().map(|key| fake::run_point(1, key, Split::Train, 4)).collect();
                    Some(Ok(Reply::RunMetrics(Box::new(fake::run_metric_page(&points, ask)))))
                }
                Request::RunSeries(ask) => {
                    let series = ask.series.iter().map(|key| match key.key.as_str() {
                        "all_nan" => fake::run_series_of(key, 50, ask, |_| f64::NAN),
                        "one_point" => fake::run_series_of(key, 1, ask, |_| 0.5),
                        _ => fake::run_series_of(key, 50, ask, |step| if step == 20 { f64::INFINITY } else { 1.0 }),
                    });
                    Some(Ok(Reply::RunSeries(Box::new(SeriesAnswer { series: series.collect() }))))
                }
                _ => None,
            });
        });
        if log {
            screen.click("Log");
        }
        for axis in ["Epoch", "Time", "Step"] {
            screen.click(axis);
        }
        screen.harness.event(egui::Event::PointerMoved(egui::pos2(500.0, 420.0)));
        screen.settle();
        assert!(screen.has("3 metrics"));
        screen.show(&format!("odd-series-{log}"));
        screen.click(&format!("Enlarge {long}"));
        screen.settle();
        assert!(screen.has(&format!("Show all plots beside {long}")));
    }
}

#[test]
fn curves_grow_while_the_run_is_at_work_and_are_asked_again_once_a_second_at_most() {
    let mut screen = run_of(0, |_| {});
    screen.harness.run_steps(4);
    screen.fake.forget_sent();
    for step in 401..421 {
        let points = vec![fake::run_point(0, "loss", Split::Valid, step)];
        screen.fake.event(Event::RunMetrics { run: fake::run_id(0), points });
        screen.harness.run_steps(1);
    }
    let n = sent(&screen, |request| matches!(request, Request::RunSeries(_)).then_some(())).len();
    // Twenty frames are five seconds here.
    assert!((2..=6).contains(&n), "{n}");
}

#[test]
fn the_log_is_filtered_searched_and_copied() {
    let mut screen = run_of(1, |_| {});
    screen.click("Logs");
    screen.settle();
    assert!(screen.has("160 lines"));
    screen.click("Errors");
    assert!(screen.has("4 lines"));
    screen.click("All");
    type_into(&mut screen, "Search the log", "epoch 12 ");
    assert!(screen.has("1 line"));
    screen.click("Copy");
    assert!(screen.has("Copied 1 line"));
    screen.fake.forget_sent();
    screen.fake.event(Event::RunLog { run: fake::run_id(1) });
    wait(&mut screen);
    let after = sent(&screen, |request| match request {
        Request::RunLogs(ask) => Some(ask.after),
        _ => None,
    });
    assert_eq!(after, [160]);
}

#[test]
fn evaluations_of_every_task_are_drawn() {
    for (report, text) in [
        (fake::run_report_regression(), "Residuals"),
        (fake::run_report_multiclass(5), "Confusion matrix"),
        (fake::run_report_multiclass(60), "Confusion matrix"),
    ] {
        let mut screen = run_of(1, move |fake| {
            fake.on(move |request| match request {
                Request::RunReports(_) => {
                    let items =
                        vec![("evaluate".to_owned(), report.clone()), ("evaluate_2".to_owned(), report.clone())];
                    Some(Ok(Reply::RunReports(Box::new(athanor_protocol::api::ReportsAnswer { items }))))
                }
                _ => None,
            });
        });
        screen.click("Evaluation");
        screen.harness.run_steps(3);
        assert!(screen.has(text) && screen.has("Key figures") && screen.has("evaluate_2"));
        screen.show(&format!("evaluation-{}", text.replace(' ', "-")));
    }
}

#[test]
fn a_run_without_curves_evaluation_or_files_says_when_they_come() {
    let mut screen = run_of(0, |fake| {
        fake.on(|request| match request {
            Request::RunMetrics(_) => {
                Some(Ok(Reply::RunMetrics(Box::new(athanor_protocol::api::MetricPage { items: vec![], total: 0 }))))
            }
            Request::RunLogs(_) => Some(Ok(Reply::RunLogs(Box::new(athanor_protocol::api::LogPage { items: vec![] })))),
            Request::RunReports(_) => {
                Some(Ok(Reply::RunReports(Box::new(athanor_protocol::api::ReportsAnswer { items: vec![] }))))
            }
            Request::RunGet(_) => {
                let mut view: RunView = fake::run_view(0);
                view.detail.artifacts.clear();
                Some(Ok(Reply::RunGet(Box::new(view))))
            }
            _ => None,
        });
    });
    for (tab, text) in [
        ("Curves", "No curves yet"),
        ("Logs", "The log is empty"),
        ("Evaluation", "No evaluation yet"),
        ("Artifacts", "No files yet"),
    ] {
        screen.click(tab);
        screen.settle();
        assert!(screen.has(text), "{tab}");
    }
}

#[test]
fn runs_are_compared_by_curves_parameters_and_metrics() {
    let mut screen = list(|_| {});
    select(&mut screen, &[1, 2, 5]);
    screen.click("Compare 3");
    assert!(screen.has("Loss, valid") && screen.has("3 curves"));
    screen.click(&format!("Show {}", name(2)));
    assert!(screen.has("2 curves"));
    screen.click("Parameters");
    assert!(screen.has_text("differ") && screen.has("train.learning_rate"));
    screen.click("Metrics");
    assert!(screen.has("Accuracy, test"));
    for tab in ["Parallel", "Scatter"] {
        screen.click(tab);
        screen.settle();
    }
    assert!(screen.has("Parameter") && screen.has("Metric"));
    screen.harness.key_press(Key::Escape);
    screen.settle();
    assert!(screen.has("3 runs selected"), "what was chosen stays chosen");
}

#[test]
fn a_run_of_a_comparison_leads_back_to_it() {
    let mut screen = Screen::usual();
    screen.go(Go::Compare((0..60).map(fake::run_id).collect()));
    screen.harness.run_steps(12);
    screen.click("Metrics");
    screen.click(&name(0));
    assert!(screen.has("Back to the runs") && screen.has("Logs"));
    screen.click("Back to the runs");
    assert!(screen.has("Parallel"));
    let gets = sent(&screen, |request| matches!(request, Request::RunGet(_)).then_some(())).len();
    assert!(gets >= 60, "{gets}");
}

#[test]
fn dragging_along_an_axis_keeps_the_runs_that_pass_there() {
    let mut screen = Screen::usual();
    screen.go(Go::Compare((0..12).map(fake::run_id).collect()));
    screen.harness.run_steps(6);
    screen.click("Parallel");
    assert!(screen.has("12 of 12 runs"));
    let rect = screen.harness.get_by_label("Axis Loss, valid").rect();
    let (from, to) = (egui::pos2(rect.center().x, rect.bottom() - 8.0), egui::pos2(rect.center().x, rect.center().y));
    screen.harness.drag_at(from);
    screen.harness.run_steps(2);
    screen.harness.hover_at(to);
    screen.harness.run_steps(2);
    screen.harness.drop_at(to);
    screen.settle();
    assert!(screen.has("Clear brushes") && !screen.has("12 of 12 runs"));
    screen.click("Keep only these");
    assert!(!screen.has("12 curves"));
}

#[test]
fn another_workspace_begins_with_its_own_list() {
    let mut screen = run_of(1, |_| {});
    screen.fake.event(Event::WorkspaceChanged { workspace: Some(fake::workspace()) });
    screen.settle();
    assert!(screen.has("Search runs"));
}

#[test]
fn what_may_not_be_changed_is_not_offered() {
    let mut screen = run_of(1, |fake| {
        fake.on(|request| match request {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.may_change = false;
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    });
    for label in ["Register", "Delete this run", "Add a tag"] {
        assert!(!screen.has(label), "{label}");
    }
    screen.click("Back to the runs");
    assert!(screen.has(&name(1)));
}

#[test]
fn a_row_with_very_long_names_keeps_the_list_in_shape() {
    let mut screen = list(|fake| {
        fake.on(|request| match request {
            Request::RunList(ask) if ask.limit == 200 => {
                let mut page = fake::run_page(ask, 3);
                let row: &mut RunRow = &mut page.items[1];
                row.summary.workflow = "w".repeat(128);
                row.learners = vec!["Network".repeat(30)];
                row.summary.tags = (0..40).map(|n| (format!("tag{n}"), "v".repeat(60))).collect();
                Some(Ok(Reply::RunList(Box::new(page))))
            }
            _ => None,
        });
    });
    assert!(screen.has(&name(2)));
    screen.show("list-long");
}

fn drawn(dark: bool, ground: &str) {
    // A bar that moves on the rail would be in every picture.
    let quiet = |fake: &FakeHandle| {
        fake.on(|request| match request {
            Request::RunList(ask) if ask.status.contains(&RunStatus::Queued) => {
                Some(Ok(Reply::RunList(Box::new(fake::run_page(ask, 0)))))
            }
            _ => None,
        });
    };
    let mut screen = Screen::new([1280.0, 820.0], dark, quiet);
    screen.go(Go::Run(fake::run_id(1)));
    screen.click("Evaluation");
    screen.harness.run_steps(4);
    screen.picture(&format!("runs-evaluation-{ground}"));
    screen.go(Go::Compare((1..9).map(fake::run_id).collect()));
    screen.harness.run_steps(6);
    screen.picture(&format!("runs-compare-{ground}"));
}

#[test]
fn evaluations_and_comparisons_look_as_they_should_in_the_dark() {
    drawn(true, "dark");
}

#[test]
fn evaluations_and_comparisons_look_as_they_should_in_the_light() {
    drawn(false, "light");
}

#[test]
fn a_run_that_ends_before_its_page_knows_a_metric_shows_its_curves_all_the_same() {
    let written = Rc::new(Cell::new(false));
    let there = Rc::clone(&written);
    let points = [fake::run_point(0, "loss", Split::Train, 40)];
    let mut screen = run_of(0, |fake| {
        fake.on(move |request| match request {
            Request::RunMetrics(ask) => {
                let known = if there.get() { &points[..] } else { &[] };
                Some(Ok(Reply::RunMetrics(Box::new(fake::run_metric_page(known, ask)))))
            }
            _ => None,
        });
    });
    wait(&mut screen);
    assert!(screen.has("No curves yet"));
    written.set(true);
    let mut ended = fake::run_summary(0);
    ended.status = RunStatus::Finished;
    screen.fake.event(Event::RunChanged { run: Box::new(ended) });
    wait(&mut screen);
    wait(&mut screen);
    assert!(screen.has_text("Curves: train") && !screen.has("No curves yet"));
}

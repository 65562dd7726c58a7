//! The page Data.

use std::{cell::Cell, path::Path, rc::Rc, sync::Arc, time::Instant};

use athanor_protocol::{
    Code, Failure,
    api::{DataUploaded, Event, Picked, PlotSpec, Reply, Request, RunStarted, WorkflowDoc, WorkflowSaved},
};
use athanor_ui::{
    fake,
    pages::{Go, Route},
    wire,
};
use egui::{Key, Modifiers, Pos2, Vec2};
use egui_kittest::kittest::{NodeT, Queryable};

use crate::help::Screen;

fn opened(size: [f32; 2], dark: bool, path: &str) -> Screen {
    let mut screen = Screen::new(size, dark, |_| {});
    screen.go(Go::Table(path.to_owned()));
    screen.settle();
    screen
}

fn usual(path: &str) -> Screen {
    opened([1280.0, 820.0], true, path)
}

fn place_of(screen: &Screen, label: &str) -> egui::Rect {
    screen.harness.query_all_by_label(label).next().unwrap_or_else(|| panic!("there is no {label:?}")).rect()
}

fn sent<T>(screen: &Screen, which: impl Fn(&Request) -> Option<T>) -> Vec<T> {
    screen.fake.sent().iter().filter_map(which).collect()
}

/// Rows that were asked for: first row, number of columns, and the first of these.
fn rows_asked(screen: &Screen) -> Vec<(u64, usize, Option<String>)> {
    sent(screen, |request| match request {
        Request::DataRows(ask) => Some((ask.offset, ask.columns.len(), ask.columns.first().cloned())),
        _ => None,
    })
}

/// The middle of a cell, counted from the first one in sight.
fn cell(screen: &Screen, name: &str, row: usize) -> Pos2 {
    let grid = place_of(screen, &format!("Rows of {name}"));
    grid.left_top() + Vec2::new(20.0, row as f32 * 30.0 + 15.0)
}

fn press(screen: &mut Screen, name: &str, row: usize) {
    let at = cell(screen, name, row);
    screen.harness.drag_at(at);
    screen.settle();
    screen.harness.drop_at(at);
    screen.settle();
}

fn key(screen: &mut Screen, modifiers: Modifiers, key: Key) {
    screen.harness.key_press_modifiers(modifiers, key);
    screen.settle();
}

fn copied(screen: &Screen) -> Option<String> {
    screen.harness.output().platform_output.commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    })
}

/// Draws frame by frame until something is on the clipboard.
fn copy_out(screen: &mut Screen) -> String {
    for _ in 0..8 {
        screen.harness.step();
        if let Some(text) = copied(screen) {
            return text;
        }
    }
    panic!("nothing was copied");
}

#[test]
fn tables_are_listed_and_one_opens_with_its_rows() {
    let mut screen = Screen::usual();
    screen.click("Data");
    assert!(screen.has("breast_cancer.csv") && screen.has("patients.csv") && screen.has_text("Choose a table"));
    screen.click("breast_cancer.csv");
    assert!(screen.has("mean_radius") && screen.has_text("569 rows, 13 columns"));
    assert_eq!(rows_asked(&screen)[0], (0, 0, None));
}

#[test]
fn a_page_of_rows_is_asked_for_once_and_only_near_what_is_seen() {
    let mut screen = usual(fake::TRIPS);
    let first: Vec<u64> = rows_asked(&screen).into_iter().map(|(offset, ..)| offset).collect();
    assert_eq!(first, [0, 200]);
    screen.fake.forget_sent();
    screen.settle();
    assert!(rows_asked(&screen).is_empty());
    press(&mut screen, "trips.parquet", 2);
    key(&mut screen, Modifiers::COMMAND, Key::End);
    let last: Vec<u64> = rows_asked(&screen).into_iter().map(|(offset, ..)| offset).collect();
    assert_eq!(last, [9_999_800, 9_999_600]);
    assert!(screen.has_text("Row 10,000,000, fare"));
    screen.show("data-ten-million");
}

#[test]
fn rows_that_are_on_their_way_are_grey_and_block_nothing() {
    let mut screen = usual(fake::TRIPS);
    screen.fake.hold();
    key(&mut screen, Modifiers::COMMAND, Key::G);
    screen.harness.event(egui::Event::Text("5000000".to_owned()));
    screen.settle();
    key(&mut screen, Modifiers::NONE, Key::Enter);
    screen.settle();
    screen.show("data-waiting");
    assert!(screen.has_text("Row 5,000,000"), "the row is told before its values are there");
    screen.click("Profile");
    screen.click("Rows");
    screen.fake.release();
    screen.settle();
    let value = screen.harness.query_all_by_label("Rows of trips.parquet").next().unwrap().accesskit_node().value();
    assert!(value.is_some_and(|value| value.contains("-")), "the first column is a time");
}

#[test]
fn a_wide_table_asks_for_the_columns_in_sight_and_draws_fast() {
    let mut screen = usual(fake::SENSORS);
    let asked = rows_asked(&screen);
    assert_eq!(asked[0], (0, 64, Some("sensor_000".to_owned())));
    assert!(asked.iter().all(|(_, n, _)| *n <= 64));
    press(&mut screen, "sensors.csv", 2);
    screen.fake.forget_sent();
    key(&mut screen, Modifiers::NONE, Key::End);
    assert_eq!(rows_asked(&screen)[0], (0, 52, Some("sensor_448".to_owned())));
    assert!(screen.has("sensor_499") && !screen.has("sensor_000"));
    screen.show("data-wide");
    let begin = Instant::now();
    screen.harness.run_steps(40);
    let frame = begin.elapsed() / 40;
    // Some milliseconds on an idle machine; the bound holds on a busy one.
    assert!(frame.as_millis() < 60, "a frame took {frame:?}");
}

#[test]
fn cells_are_selected_and_copied_as_text_with_tabs() {
    let mut screen = usual(fake::BREAST_CANCER);
    press(&mut screen, "breast_cancer.csv", 0);
    key(&mut screen, Modifiers::SHIFT, Key::ArrowDown);
    key(&mut screen, Modifiers::SHIFT, Key::ArrowRight);
    assert!(screen.has_text("2 rows x 2 columns selected"));
    screen.harness.event(egui::Event::Copy);
    assert_eq!(copy_out(&mut screen), "842302\tleft breast\n842309\tleft breast\n");
    // More than is on the screen is read first.
    key(&mut screen, Modifiers::COMMAND | Modifiers::SHIFT, Key::ArrowDown);
    screen.harness.event(egui::Event::Copy);
    assert_eq!(copy_out(&mut screen).lines().count(), 569);
    key(&mut screen, Modifiers::NONE, Key::Home);
    screen.harness.event(egui::Event::Copy);
    assert_eq!(copy_out(&mut screen), "846278");
}

#[test]
fn more_cells_than_a_clipboard_should_hold_are_refused_in_words() {
    let mut screen = usual(fake::TRIPS);
    press(&mut screen, "trips.parquet", 0);
    key(&mut screen, Modifiers::COMMAND, Key::A);
    screen.harness.event(egui::Event::Copy);
    screen.settle();
    assert!(screen.has_text("More than 1,000,000 cells are selected"));
}

#[test]
fn a_row_is_found_by_its_number_and_a_wrong_number_is_refused() {
    let mut screen = usual(fake::BREAST_CANCER);
    key(&mut screen, Modifiers::COMMAND, Key::G);
    screen.harness.event(egui::Event::Text("9999".to_owned()));
    screen.settle();
    assert!(screen.has_text("The rows are 1 to 569"));
    for _ in 0..4 {
        screen.harness.key_press(Key::Backspace);
    }
    screen.harness.event(egui::Event::Text("500".to_owned()));
    screen.settle();
    screen.click("Go");
    assert!(screen.has_text("Row 500, patient"));
    assert!(rows_asked(&screen).iter().any(|(offset, ..)| *offset == 400));
}

#[test]
fn columns_can_be_hidden_and_shown_again() {
    let mut screen = usual(fake::BREAST_CANCER);
    screen.click("Columns");
    screen.show("data-columns");
    screen.click("Hide all");
    assert!(screen.has("12 hidden"));
    screen.click("Show all");
    assert!(screen.has("Columns") && screen.has("mean_radius"));
}

#[test]
fn a_file_that_is_gone_says_so_and_can_be_taken_off_the_list() {
    let mut screen = usual(fake::GONE);
    assert!(screen.has_text("There is no file") && screen.has_text("Put it back where it was"));
    screen.show("data-gone");
    screen.click("Remove it from the list");
    assert!(!screen.has("patients.csv"));
    assert_eq!(sent(&screen, |request| matches!(request, Request::DataRemove(_)).then_some(())).len(), 1);
}

#[test]
fn removing_a_table_can_be_undone() {
    let mut screen = usual(fake::BREAST_CANCER);
    let item = place_of(&screen, "sensors.csv");
    screen.harness.hover_at(item.center());
    screen.settle();
    screen.click("Remove sensors.csv from the list");
    assert!(!screen.has("sensors.csv") && screen.has("Removed sensors.csv from the list"));
    screen.fake.forget_sent();
    screen.click("Undo");
    let added = sent(&screen, |request| match request {
        Request::DataAdd(ask) => Some(ask.path.clone()),
        _ => None,
    });
    assert_eq!(added, [fake::SENSORS]);
}

#[test]
fn files_dropped_on_the_window_are_added_and_the_last_one_opens() {
    let mut screen = Screen::new([1280.0, 820.0], true, |fake| {
        fake.on(|request| match request {
            Request::DataAdd(ask) if ask.path.ends_with("notes.txt") => {
                Some(Err(Failure::new(Code::BadData, "this is no table").hint("take a CSV or Parquet file")))
            }
            _ => None,
        });
    });
    let paths = ["/tmp/a.csv", "/tmp/notes.txt", "/tmp/b.csv"].map(str::to_owned).to_vec();
    screen.fake.event(Event::FilesDropped { paths });
    screen.settle();
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Data));
    let opened = sent(&screen, |request| match request {
        Request::DataOpen(ask) => Some(ask.source.path.clone()),
        _ => None,
    });
    assert_eq!(opened, ["/tmp/b.csv"]);
    assert!(screen.has("notes.txt: this is no table."), "{:?}", screen.app.borrow().as_ref().map(|app| app.messages()));
}

#[derive(Debug)]
struct Dropped(&'static str, usize);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        Path::new(self.0)
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Ok(vec![b'1'; self.1])
    }
}

#[test]
fn a_dropped_file_without_a_path_is_sent_in_pieces_and_can_be_stopped() {
    let mut screen = Screen::usual();
    screen.click("Data");
    let n_bytes = 2 * wire::PIECE_BYTES + 10;
    screen.harness.input_mut().dropped_files.push(Arc::new(Dropped("big.csv", n_bytes)));
    screen.harness.run_steps(12);
    let pieces = |screen: &Screen| {
        sent(screen, |request| match request {
            Request::DataUpload(ask) => Some((ask.offset, ask.last)),
            _ => None,
        })
    };
    let step = wire::PIECE_BYTES as u64;
    assert_eq!(pieces(&screen), [(0, false), (step, false), (2 * step, true)]);
    assert!(screen.has_text("big.csv"));
    // Another one, which the user stops.
    screen.fake.forget_sent();
    screen.fake.hold();
    screen.harness.input_mut().dropped_files.push(Arc::new(Dropped("other.csv", n_bytes)));
    screen.settle();
    assert!(screen.has_text("Sending other.csv"));
    screen.show("data-sending");
    screen.click("Stop sending other.csv");
    screen.fake.release();
    screen.settle();
    assert_eq!(pieces(&screen), [(0, false)]);
    assert!(!screen.has_text("Sending other.csv"));
}

#[test]
fn what_a_browser_sends_by_itself_shows_how_far_it_is() {
    let mut screen = Screen::usual();
    screen.click("Data");
    let far =
        |done| Event::Progress { token: "upload.x".to_owned(), done, total: 4_000_000, note: "trips.csv".to_owned() };
    screen.fake.event(far(1_000_000));
    screen.settle();
    assert!(screen.has_text("Sending trips.csv") && screen.has_text("1.0 MB of 4.0 MB"));
    screen.fake.event(far(4_000_000));
    screen.settle();
    assert!(!screen.has_text("Sending trips.csv"));
}

#[test]
fn open_asks_for_files_and_where_there_is_no_dialog_for_a_path() {
    let mut screen = Screen::new([1280.0, 820.0], true, |fake| {
        fake.on(|request| match request {
            Request::Pick(_) => Some(Ok(Reply::Pick(Box::new(Picked { paths: vec![fake::TRIPS.to_owned()] })))),
            _ => None,
        });
    });
    screen.click("Data");
    screen.click("Open");
    screen.settle();
    assert!(screen.has_text("10,000,000 rows, 6 columns"));
    screen.fake.on(|request| match request {
        Request::Pick(_) => Some(Err(Failure::new(Code::Unsupported, "there is no dialog here"))),
        Request::DataAdd(ask) if ask.path == "/nope.csv" => {
            Some(Err(Failure::new(Code::NotFound, "there is no file /nope.csv")))
        }
        _ => None,
    });
    screen.click("Open");
    screen.settle();
    screen.harness.event(egui::Event::Text("/nope.csv".to_owned()));
    screen.settle();
    screen.harness.key_press(egui::Key::Enter);
    screen.settle();
    screen.settle();
    assert!(screen.has_text("There is no file /nope.csv"), "the reason stands at the field");
    screen.show("data-path");
}

#[test]
fn the_profile_shows_findings_and_a_column_in_detail() {
    let mut screen = usual(fake::BREAST_CANCER);
    screen.click("Profile");
    assert!(screen.has("Duplicates") && screen.has_text("perhaps an id"));
    screen.click("Column mean_radius");
    assert!(screen.has("Standard deviation") && screen.has("Close the details"));
    screen.click("Plot this column");
    assert!(screen.has("Histogram"));
    let plotted = sent(&screen, |request| match request {
        Request::DataPlot(ask) => Some(format!("{:?}", ask.spec)),
        _ => None,
    });
    assert!(plotted[0].contains("mean_radius"));
}

#[test]
fn a_large_table_is_described_only_when_the_user_asks_and_can_be_stopped() {
    let mut screen = usual(fake::TRIPS);
    let profiles = |screen: &Screen| {
        sent(screen, |request| match request {
            Request::DataProfile(ask) => Some(ask.token.clone()),
            _ => None,
        })
    };
    screen.click("Profile");
    assert!(profiles(&screen).is_empty() && screen.has_text("The table has 1.2 GB"));
    screen.fake.hold();
    screen.click("Describe the columns");
    let token = profiles(&screen)[0].clone();
    let note = "column 3 of 6".to_owned();
    screen.fake.event(Event::Progress { token, done: 3, total: 6, note });
    screen.harness.run_steps(40);
    assert!(screen.has("Describing the columns") && screen.has("column 3 of 6"));
    screen.show("data-describing");
    screen.click("Stop");
    assert!(screen.has("Stopped"));
    let told =
        |request: &Request| matches!(request, Request::WorkCancel(ask) if profiles(&screen).contains(&ask.token));
    assert!(screen.fake.sent().iter().any(told), "the engine is told that it may stop");
    screen.fake.release();
    screen.settle();
    assert!(screen.has("Stopped"), "an answer that nobody waits for changes nothing");
    screen.click("Describe the columns");
    assert!(screen.has("Missing values"));
}

#[test]
fn a_plot_of_a_large_table_can_be_stopped_and_one_that_nobody_waits_for_is() {
    let mut screen = usual(fake::TRIPS);
    let tokens = |screen: &Screen| {
        sent(screen, |request| match request {
            Request::DataPlot(ask) => Some(ask.token.clone()),
            _ => None,
        })
    };
    let cancelled = |screen: &Screen| {
        sent(screen, |request| match request {
            Request::WorkCancel(ask) => Some(ask.token.clone()),
            _ => None,
        })
    };
    screen.fake.on(|request| match request {
        Request::DataPlot(ask) if matches!(ask.spec, PlotSpec::Bar { .. }) => {
            Some(Err(Failure::new(Code::Cancelled, "the plot was stopped")))
        }
        _ => None,
    });
    screen.fake.hold();
    screen.click("Plots");
    screen.harness.run_steps(40);
    assert!(screen.has("Reading the columns"));
    screen.show("data-plotting");
    screen.click("Bar");
    let asked = tokens(&screen);
    assert_eq!(cancelled(&screen), asked[..1], "the first one is of no use any more");
    screen.fake.release();
    screen.fake.hold();
    screen.harness.run_steps(40);
    screen.click("Stop");
    let asked = tokens(&screen);
    assert_eq!(cancelled(&screen), asked, "the second one was stopped by hand");
    screen.fake.release();
    screen.settle();
    assert!(screen.has_text("The plot was stopped") && screen.has("Try again"));
}

#[test]
fn the_start_of_a_run_from_the_panel_can_be_stopped() {
    let mut screen = usual(fake::TRIPS);
    screen.click("Use for training");
    screen.fake.on(|request| match request {
        Request::RunStart(_) => Some(Err(Failure::new(Code::Cancelled, "reading trips.csv was stopped"))),
        _ => None,
    });
    screen.click("Create and run");
    screen.settle();
    assert!(screen.has_text("Stopped before the run began") && screen.has("Create and run"));
}

#[test]
fn a_profile_that_fails_says_why_and_the_rows_stay() {
    let mut screen = Screen::new([1280.0, 820.0], false, |fake| {
        fake.on(|request| match request {
            Request::DataProfile(_) => {
                Some(Err(Failure::new(Code::BadData, "line 300 has 4 fields where 13 were expected")))
            }
            _ => None,
        });
    });
    screen.go(Go::Table(fake::BREAST_CANCER.to_owned()));
    assert!(screen.has("mean_radius"));
    screen.click("Profile");
    assert!(screen.has_text("Line 300 has 4 fields") && screen.has("Try again"));
}

#[test]
fn rows_that_cannot_be_read_say_why_and_can_be_tried_again() {
    let broken = Rc::new(Cell::new(true));
    let mut screen = Screen::new([1280.0, 820.0], true, |fake| {
        let broken = Rc::clone(&broken);
        fake.on(move |request| match request {
            Request::DataRows(_) if broken.get() => Some(Err(Failure::new(Code::NotFound, "the file has vanished"))),
            _ => None,
        });
    });
    screen.go(Go::Table(fake::BREAST_CANCER.to_owned()));
    screen.settle();
    assert!(screen.has_text("The file has vanished"));
    let n = rows_asked(&screen).len();
    screen.settle();
    assert_eq!(rows_asked(&screen).len(), n, "it does not ask again by itself");
    broken.set(false);
    screen.click("Try again");
    assert!(!screen.has_text("The file has vanished"));
}

#[test]
fn a_table_becomes_a_workflow_and_a_run() {
    let mut screen = Screen::new([1280.0, 900.0], true, |fake| {
        fake.on(|request| {
            let reply = match request {
                Request::WorkflowStarter(ask) => Reply::WorkflowStarter(Box::new(WorkflowDoc {
                    name: "breast_cancer".to_owned(),
                    json: format!(r#"{{"version":1,"name":"breast_cancer","target":"{}"}}"#, ask.target),
                    revision: 1,
                    draft: None,
                })),
                Request::WorkflowSave(_) => {
                    Reply::WorkflowSave(Box::new(WorkflowSaved { revision: 1, saved_at_millis: fake::NOW_MILLIS }))
                }
                Request::RunStart(_) => Reply::RunStart(Box::new(RunStarted { run: fake::run_id(0) })),
                _ => return None,
            };
            Some(Ok(reply))
        });
    });
    screen.go(Go::Table(fake::BREAST_CANCER.to_owned()));
    screen.click("Use for training");
    assert!(screen.has_text("predicts one of 2 classes") && screen.has_text("398 to learn from"));
    screen.click("Boosted trees");
    screen.click("Create and run");
    screen.settle();
    let made = sent(&screen, |request| match request {
        Request::WorkflowStarter(ask) => Some((**ask).clone()),
        _ => None,
    });
    let made = &made[0];
    assert_eq!(
        (made.target.as_str(), made.learner.as_str(), made.register_as.as_deref(), made.test),
        ("diagnosis", "train.trees", Some("breast_cancer"), 0.15)
    );
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Runs));
    screen.click("Data");
    screen.click("Register the model");
    screen.fake.forget_sent();
    screen.click("Create");
    screen.settle();
    let register = sent(&screen, |request| match request {
        Request::WorkflowStarter(ask) => Some(ask.register_as.clone()),
        _ => None,
    });
    assert_eq!(register, [None]);
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Workflow));
}

#[test]
fn a_starter_that_fails_says_why_in_the_panel() {
    let mut screen = Screen::new([1280.0, 900.0], true, |fake| {
        fake.on(|request| match request {
            Request::WorkflowStarter(_) => Some(Err(Failure::new(Code::DiskFull, "the disk has no room"))),
            _ => None,
        });
    });
    screen.go(Go::Table(fake::BREAST_CANCER.to_owned()));
    screen.click("Use for training");
    screen.click("Create and run");
    assert!(screen.has_text("The disk has no room") && screen.has("Create and run"));
}

#[test]
fn nothing_is_there_yet_says_what_to_do() {
    let mut screen = Screen::new([1000.0, 640.0], false, |fake| {
        fake.on(|request| match request {
            Request::DataList(_) => {
                Some(Ok(Reply::DataList(Box::new(athanor_protocol::api::DataEntries { items: vec![] }))))
            }
            _ => None,
        });
    });
    screen.click("Data");
    assert!(screen.has("Bring a table") && screen.has("Open a file"));
    screen.show("data-empty");
}

#[test]
fn an_upload_that_is_refused_names_the_file() {
    let mut screen = Screen::new([1280.0, 820.0], true, |fake| {
        fake.on(|request| match request {
            Request::DataUpload(ask) if ask.last => Some(Err(Failure::new(Code::BadData, "this is no table"))),
            Request::DataUpload(ask) => {
                Some(Ok(Reply::DataUpload(Box::new(DataUploaded { n_bytes: ask.offset, entry: None }))))
            }
            _ => None,
        });
    });
    screen.click("Data");
    screen.harness.input_mut().dropped_files.push(Arc::new(Dropped("image.png", 100)));
    screen.settle();
    assert!(screen.has("image.png: this is no table."));
}

#[test]
fn every_kind_of_plot_is_drawn() {
    for dark in [true, false] {
        let mut screen = opened([1280.0, 820.0], dark, fake::BREAST_CANCER);
        screen.click("Plots");
        for kind in ["Histogram", "Bar", "Box", "Scatter", "Line", "Correlation"] {
            screen.click(kind);
            screen.settle();
            assert!(!screen.has_text("Not with these columns"), "{kind}");
            screen.show(&format!("plot-{kind}-{}", if dark { "dark" } else { "light" }));
        }
    }
}

#[test]
fn groups_have_a_legend_outside_that_hides_them() {
    let mut screen = usual(fake::BREAST_CANCER);
    screen.click("Plots");
    for kind in ["Histogram", "Box", "Scatter", "Bar"] {
        screen.click(kind);
        screen.settle();
        if kind == "Histogram" {
            screen.harness.query_all_by_label("Groups").last().unwrap().click();
            screen.settle();
            screen.show("plot-picker");
            screen.harness.query_all_by_label("diagnosis").last().unwrap().click();
            screen.settle();
        }
        screen.settle();
        screen.show(&format!("plot-groups-{kind}"));
        assert!(kind == "Box" || (screen.has("benign") && screen.has("malignant")), "{kind}");
    }
    screen.click("benign");
    screen.show("plot-groups-hidden");
}

#[test]
fn the_page_looks_as_it_should() {
    for (dark, ground) in [(true, "dark"), (false, "light")] {
        for (size, width) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = opened(size, dark, fake::BREAST_CANCER);
            press(&mut screen, "breast_cancer.csv", 3);
            key(&mut screen, Modifiers::SHIFT, Key::ArrowDown);
            screen.show(&format!("data-rows-{width}-{ground}"));
            screen.click("Profile");
            screen.show(&format!("data-profile-{width}-{ground}"));
            screen.click("Column mean_radius");
            screen.show(&format!("data-detail-{width}-{ground}"));
            screen.click("Plots");
            screen.settle();
            screen.show(&format!("data-plots-{width}-{ground}"));
            screen.click("Use for training");
            screen.show(&format!("data-train-{width}-{ground}"));
        }
    }
}

#[test]
fn the_grid_is_drawn_as_it_was() {
    let mut screen = opened([1000.0, 640.0], true, fake::BREAST_CANCER);
    press(&mut screen, "breast_cancer.csv", 3);
    screen.picture("data-rows-dark");
}

#[test]
fn the_correlation_is_painted_as_it_was() {
    let mut screen = opened([1280.0, 820.0], false, fake::BREAST_CANCER);
    screen.click("Plots");
    screen.click("Correlation");
    screen.settle();
    screen.picture("data-correlation-light");
}

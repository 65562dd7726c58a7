//! The shared pieces: how they look together, and that each does what it says by mouse and by keyboard.

use std::{cell::RefCell, rc::Rc};

use athanor_protocol::{
    Code, Failure,
    run::{RunStatus, StepState},
    table::Bin,
};
use athanor_ui::{
    icons,
    theme::{self, Theme},
    toasts::{ToastAsk, Toasts, Tone},
    widgets::{self, Col, Confirm, Kind, LiveLine, LivePlot},
};
use egui::{Key, Ui, Vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use egui_phosphor::regular as ph;

/// A ground of this size that draws `add` with a state that the test can look at.
fn drawn<S: 'static>(
    size: [f32; 2],
    dark: bool,
    state: S,
    mut add: impl FnMut(&mut Ui, &mut S) + 'static,
) -> (Harness<'static>, Rc<RefCell<S>>) {
    let state = Rc::new(RefCell::new(state));
    let inner = Rc::clone(&state);
    let mut begun = false;
    let mut harness = Harness::builder()
        .with_size(size)
        .with_theme(if dark { egui::Theme::Dark } else { egui::Theme::Light })
        .build_ui(move |ui| {
            if !begun {
                begun = true;
                theme::install(ui.ctx());
                theme::set_motion(ui.ctx(), true);
                ui.ctx().request_repaint();
                return;
            }
            egui::CentralPanel::default().show(ui, |ui| add(ui, &mut inner.borrow_mut()));
        });
    harness.run_steps(4);
    (harness, state)
}

fn click(harness: &mut Harness<'_>, label: &str) {
    match harness.query_all_by_label(label).last() {
        Some(node) => node.click(),
        None => panic!("there is no {label:?}"),
    }
    harness.run_steps(4);
}

fn press(harness: &mut Harness<'_>, key: Key) {
    harness.key_press(key);
    harness.run_steps(3);
}

/// The values that the gallery shows.
struct Shown {
    text: String,
    search: String,
    number: f64,
    choice: u8,
    part: u8,
    on: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { text: "tumours".to_owned(), search: String::new(), number: 0.001, choice: 1, part: 1, on: true }
    }
}

fn gallery(ui: &mut Ui, shown: &mut Shown) {
    let theme = Theme::of(ui);
    ui.spacing_mut().item_spacing.y = 12.0;
    widgets::titled_card(ui, "Buttons", "one primary on a screen", |ui| {
        ui.horizontal_wrapped(|ui| {
            widgets::primary(ui, ph::PLAY, "Run");
            widgets::secondary(ui, ph::SCALES, "Compare");
            widgets::quiet(ui, ph::COPY, "Copy");
            widgets::button(ui, Kind::Danger, None, "Delete");
            widgets::small_button(ui, Kind::Secondary, "Clean");
            widgets::icon_button(ui, ph::GEAR_SIX, "Settings");
            widgets::toggle_icon(ui, ph::PUSH_PIN, "Pinned", true);
            widgets::link(ui, "Show more");
            ui.add_enabled_ui(false, |ui| {
                widgets::primary(ui, ph::PLAY, "Off");
                widgets::secondary(ui, ph::X, "Off too");
            });
        });
    });
    widgets::columns(ui, 2, |ui, at| {
        widgets::card(ui, |ui| if at == 0 { fields(ui, shown) } else { states(ui, theme) });
    });
    widgets::columns(ui, 2, |ui, at| {
        widgets::card(ui, |ui| if at == 0 { drawings(ui, theme) } else { words(ui) });
    });
}

fn fields(ui: &mut Ui, shown: &mut Shown) {
    ui.spacing_mut().item_spacing.y = 8.0;
    let width = ui.available_width();
    widgets::search_field(ui, "Search runs", &mut shown.search, width);
    widgets::text_field(ui, "Model name", &mut shown.text, "");
    widgets::field(ui, "Alias", "", Some("it looks like a version number"), |ui| {
        widgets::line_edit(ui, "Alias", &mut String::from("v7"), "", false)
    });
    ui.horizontal(|ui| {
        widgets::field(ui, "Rate", "", None, |ui| widgets::number_field(ui, "Rate", &mut shown.number, 0.0..=1.0, ""));
        widgets::field(ui, "Device", "", None, |ui| {
            let options = [(1, "Automatic".to_owned()), (2, "8 cores".to_owned())];
            widgets::choice(ui, "device", "Device", &mut shown.choice, &options)
        });
    });
    widgets::segments(ui, &mut shown.part, &[(1, "Step"), (2, "Epoch"), (3, "Time")]);
    ui.horizontal(|ui| {
        widgets::switch(ui, &mut shown.on, "On");
        widgets::switch(ui, &mut false, "Off");
        widgets::check_text(ui, &mut shown.on, "Ticked");
        widgets::check_text(ui, &mut false, "Not");
    });
    widgets::copy_line(ui, "the address", "http://127.0.0.1:8080");
}

fn states(ui: &mut Ui, theme: &Theme) {
    ui.spacing_mut().item_spacing.y = 8.0;
    ui.horizontal_wrapped(|ui| {
        for status in
            [RunStatus::Queued, RunStatus::Running, RunStatus::Finished, RunStatus::Failed, RunStatus::Cancelled]
        {
            widgets::status_pill(ui, status);
        }
    });
    widgets::tight(ui, |ui| {
        for state in [StepState::Pending, StepState::Cached, StepState::Running, StepState::Done, StepState::Failed] {
            let (icon, color) = widgets::step_icon(theme, state);
            ui.label(icons::text(icon, 18.0).color(color));
        }
        widgets::tag(ui, "candidate");
        widgets::small_pill(ui, theme.ok, "production");
    });
    let width = ui.available_width();
    widgets::progress(ui, Some(0.4), width);
    for (tone, text) in [
        (Tone::Ok, "the package is what was signed"),
        (Tone::Warn, "nobody can read the key later"),
        (Tone::Info, "missing values were filled"),
        (Tone::Bad, "the bytes are not what was signed"),
    ] {
        widgets::note(ui, tone, text);
    }
    widgets::failure(ui, &Failure::new(Code::NotFound, "the table cannot be opened").hint("choose the file again"));
}

fn drawings(ui: &mut Ui, theme: &Theme) {
    ui.spacing_mut().item_spacing.y = 8.0;
    widgets::columns(ui, 3, |ui, at| {
        let (name, value, remark) =
            [("Accuracy", "0.9818", "best of 7"), ("Rows", "12,480", ""), ("Took", "00:42", "on 8 cores")][at];
        widgets::figure(ui, name, value, remark);
    });
    widgets::share_bar(ui, "malignant", 0.9287, "92.9 %", theme.accent);
    widgets::share_bar(ui, "benign", 0.0713, "7.1 %", theme.info);
    widgets::stacked_bar(ui, &[(40, theme.series(1)), (25, theme.series(2)), (10, theme.series(4))], 100, 12.0);
    ui.horizontal(|ui| {
        let values: Vec<f64> = (0..40).map(|at| (f64::from(at) / 6.0).sin()).collect();
        widgets::sparkline(ui, &values, Vec2::new(120.0, 28.0), theme.accent);
        let bins: Vec<Bin> = (0..12)
            .map(|at| Bin { low: f64::from(at), high: f64::from(at + 1), count: (at * (12 - at)) as u64 })
            .collect();
        widgets::tiny_histogram(ui, &bins, Vec2::new(120.0, 28.0));
        for share in [0.2, 0.6, 0.95] {
            widgets::meter(ui, share, Vec2::new(12.0, 28.0), theme.info);
        }
    });
    let points: Vec<[f64; 2]> = (0..60).map(|at| [f64::from(at), 20.0 + (f64::from(at) / 5.0).sin() * 12.0]).collect();
    let plot = LivePlot {
        name: "Requests",
        height: 110.0,
        now: 60.0,
        span: 60.0,
        top: None,
        least_top: 5.0,
        write: |value| format!("{value:.0}"),
    };
    widgets::live_plot(
        ui,
        &plot,
        &[LiveLine { name: "requests", color: theme.series(1), points: &points, filled: true }],
    );
}

fn words(ui: &mut Ui) {
    ui.spacing_mut().item_spacing.y = 8.0;
    widgets::heading(ui, "Signature", "takes 3 columns");
    let columns = [Col::wide("Column"), Col::fixed("Type", 120.0), Col::number("Missing", 70.0)];
    widgets::lines_header(ui, &columns);
    for (name, dtype, missing) in
        [("mean_radius", "number", "0"), ("site", "text", "14"), ("smoker", "true or false", "")]
    {
        widgets::line_row(ui, &columns, 28.0, |ui, at| match at {
            0 => widgets::cell_mono(ui, name),
            1 => widgets::cell_text(ui, dtype),
            _ if missing.is_empty() => widgets::cell_none(ui),
            _ => widgets::cell_mono(ui, missing),
        });
    }
    widgets::fold(ui, "raw", "Raw answer", true, |ui| widgets::code_block(ui, "{\n  \"label\": \"malignant\"\n}"));
    widgets::facts(ui, &[("Workflow".to_owned(), "clinic".to_owned()), ("Seed".to_owned(), "42".to_owned())]);
}

fn gallery_looks_as_it_did(dark: bool, name: &str) {
    let (mut harness, _) = drawn([1000.0, 900.0], dark, Shown::default(), gallery);
    if let Some(folder) = std::env::var_os("ATHANOR_PICTURES") {
        let picture = harness.render().unwrap();
        picture.save(std::path::Path::new(&folder).join(format!("{name}.png"))).unwrap();
    }
    let options = egui_kittest::SnapshotOptions::new().threshold(1.2).max_failed_pixels(600);
    harness.snapshot_options(name, &options);
}

#[test]
fn all_pieces_look_as_they_should_on_dark_ground() {
    gallery_looks_as_it_did(true, "widgets-dark");
}

#[test]
fn all_pieces_look_as_they_should_on_light_ground() {
    gallery_looks_as_it_did(false, "widgets-light");
}

#[test]
fn an_empty_state_says_what_to_do_and_its_button_does_it() {
    let (mut harness, done) = drawn([600.0, 500.0], true, false, |ui, done| {
        *done |= widgets::empty_state(
            ui,
            ph::CUBE,
            "No models yet",
            "A model gets here by a run.",
            Some((ph::PLUS, "Open the workflow")),
        );
    });
    click(&mut harness, "Open the workflow");
    assert!(*done.borrow());
}

#[test]
fn a_button_is_pressed_by_mouse_and_keyboard_and_not_while_it_is_off() {
    let (mut harness, presses) = drawn([400.0, 200.0], true, [0; 2], |ui, presses| {
        presses[0] += u32::from(widgets::primary(ui, ph::PLAY, "Run").clicked());
        ui.add_enabled_ui(false, |ui| presses[1] += u32::from(widgets::secondary(ui, ph::STOP, "Stop").clicked()));
    });
    click(&mut harness, "Run");
    click(&mut harness, "Stop");
    assert_eq!(*presses.borrow(), [1, 0]);
    press(&mut harness, Key::Tab);
    press(&mut harness, Key::Space);
    press(&mut harness, Key::Enter);
    assert_eq!(*presses.borrow(), [3, 0]);
    assert!(harness.get_by_label("Stop").accesskit_node().is_disabled());
}

#[test]
fn what_has_the_keyboard_has_a_ring_around_it() {
    let (mut harness, _) = drawn([300.0, 120.0], true, (), |ui, ()| {
        widgets::secondary(ui, ph::PLAY, "First");
        widgets::secondary(ui, ph::PLAY, "Second");
    });
    let accent = theme::DARK.accent;
    let ring_around = |harness: &mut Harness<'_>, label: &str| {
        let rect = harness.get_by_label(label).rect();
        let picture = harness.render().unwrap();
        let x = rect.center().x as u32;
        let near = (rect.top() as u32).saturating_sub(3)..rect.top() as u32 + 1;
        near.into_iter().any(|y| {
            let pixel = picture.get_pixel(x, y);
            (i32::from(pixel[0]) - i32::from(accent.r())).abs() < 24
                && (i32::from(pixel[1]) - i32::from(accent.g())).abs() < 24
        })
    };
    assert!(!ring_around(&mut harness, "First"));
    press(&mut harness, Key::Tab);
    assert!(ring_around(&mut harness, "First") && !ring_around(&mut harness, "Second"));
    press(&mut harness, Key::Tab);
    assert!(!ring_around(&mut harness, "First") && ring_around(&mut harness, "Second"));
}

#[test]
fn a_choice_opens_and_takes_another_one() {
    let (mut harness, value) = drawn([400.0, 300.0], true, 1, |ui, value| {
        let options = [(1, "Automatic".to_owned()), (2, "8 cores".to_owned()), (3, "Graphics card".to_owned())];
        widgets::choice(ui, "device", "Device", value, &options);
    });
    assert!(harness.query_by_label("8 cores").is_none());
    click(&mut harness, "Device");
    click(&mut harness, "8 cores");
    assert_eq!(*value.borrow(), 2);
    assert!(harness.query_by_label("Graphics card").is_none(), "it closes");
}

#[test]
fn segments_switches_and_boxes_change_by_mouse_and_keyboard() {
    let state = (1, false, false);
    let (mut harness, state) = drawn([400.0, 300.0], false, state, |ui, (part, on, ticked)| {
        widgets::segments(ui, part, &[(1, "Step"), (2, "Epoch"), (3, "Time")]);
        widgets::switch(ui, on, "Smooth");
        widgets::check_text(ui, ticked, "Log axis");
    });
    click(&mut harness, "Epoch");
    click(&mut harness, "Smooth");
    click(&mut harness, "Log axis");
    assert_eq!(*state.borrow(), (2, true, true));
    for _ in 0..3 {
        press(&mut harness, Key::Tab);
    }
    press(&mut harness, Key::Space);
    assert_eq!(state.borrow().0, 3, "the third segment");
    press(&mut harness, Key::Tab);
    press(&mut harness, Key::Space);
    assert!(!state.borrow().1, "then the switch");
}

#[test]
fn a_thing_that_cannot_come_back_goes_only_once_its_name_is_typed() {
    let state: (Confirm<u32>, Option<u32>) = (Confirm::new(), None);
    let (mut harness, state) = drawn([600.0, 400.0], true, state, |ui, (confirm, gone)| {
        if widgets::button(ui, Kind::Danger, None, "Delete it").clicked() {
            confirm.ask(7, "clinic");
        }
        *gone = gone.or(confirm.ui(ui, "Delete clinic?", "This cannot be undone.", "Delete"));
    });
    click(&mut harness, "Delete it");
    assert!(harness.query_by_label("Delete clinic?").is_some());
    click(&mut harness, "Delete");
    assert!(state.borrow().1.is_none() && state.borrow().0.is_open(), "not while nothing was typed");
    harness.get_by_role_and_label(egui::accesskit::Role::TextInput, "Type clinic to go on").focus();
    harness.run_steps(2);
    harness.event(egui::Event::Text("clinic".to_owned()));
    harness.run_steps(3);
    click(&mut harness, "Delete");
    assert_eq!(state.borrow().1, Some(7));
    assert!(harness.query_by_label("Delete clinic?").is_none());
}

#[test]
fn the_buttons_of_a_dialog_are_in_view_however_low_the_window_is() {
    for height in [300.0, 640.0, 1400.0] {
        // What is in the body grows while it is open.
        let (mut harness, state) = drawn([1000.0, height], true, (4_u32, false), |ui, (n_fields, done)| {
            widgets::dialog_parts(ui, "high", "A form of many fields", 420.0, |parts| {
                parts.body(|ui| {
                    (0..*n_fields).for_each(|at| {
                        widgets::field(ui, &format!("Field {at}"), "", None, |ui| {
                            widgets::line_edit(ui, &format!("Field {at}"), &mut String::new(), "", false)
                        });
                    });
                });
                parts.footer(|ui| *done |= widgets::button(ui, Kind::Primary, None, "Go on").clicked());
            });
        });
        for n_fields in [4, 12, 40, 1] {
            state.borrow_mut().0 = n_fields;
            harness.run_steps(6);
            let rect = harness.get_by_label("Go on").rect();
            assert!(rect.min.y >= 0.0 && rect.max.y <= height - 16.0, "{n_fields} fields in {height}: {rect:?}");
            let title = harness.get_by_label("A form of many fields").rect();
            assert!(title.min.y >= 0.0, "{n_fields} fields in {height}: {title:?}");
            state.borrow_mut().1 = false;
            click(&mut harness, "Go on");
            assert!(state.borrow().1, "{n_fields} fields in {height}");
        }
    }
}

#[test]
fn escape_and_keep_leave_the_thing_alone() {
    for by_key in [true, false] {
        let state: (Confirm<u32>, Option<u32>) = (Confirm::new(), None);
        let (mut harness, state) = drawn([600.0, 400.0], true, state, |ui, (confirm, gone)| {
            if widgets::button(ui, Kind::Danger, None, "Clean it").clicked() {
                confirm.ask(7, "");
            }
            *gone = gone.or(confirm.ui(ui, "Clean the cache?", "It is made again.", "Clean"));
        });
        click(&mut harness, "Clean it");
        if by_key {
            press(&mut harness, Key::Escape);
        } else {
            click(&mut harness, "Keep");
        }
        assert!(!state.borrow().0.is_open() && state.borrow().1.is_none());
        click(&mut harness, "Clean it");
        click(&mut harness, "Clean");
        assert_eq!(state.borrow().1, Some(7));
    }
}

#[test]
fn messages_stack_are_said_once_and_go_with_the_time() {
    let mut toasts = Toasts::default();
    toasts.ok("Saved the workflow");
    toasts.undoable("Moved production to version 7");
    toasts.failure(&Failure::new(Code::DiskFull, "the disk is full").hint("clean the cache"));
    let (mut harness, state) = drawn([900.0, 600.0], true, (toasts, 0), |ui, (toasts, undone)| {
        if widgets::button(ui, Kind::Secondary, None, "Say it").clicked() {
            toasts.ok("Saved the workflow");
        }
        *undone += u32::from(toasts.ui(ui) == ToastAsk::Undo);
    });
    for text in ["Saved the workflow", "Moved production to version 7", "The disk is full.", "Clean the cache."] {
        assert!(harness.query_by_label(text).is_some(), "{text}");
    }
    click(&mut harness, "Say it");
    assert_eq!(harness.query_all_by_label("Saved the workflow").count(), 1);
    click(&mut harness, "Undo");
    assert_eq!(state.borrow().1, 1);
    assert!(harness.query_by_label("Moved production to version 7").is_none());
    harness.run_steps(40);
    assert!(harness.query_by_label("Saved the workflow").is_none(), "it goes by itself");
    assert!(harness.query_by_label("The disk is full.").is_some(), "a failure stays for longer");
    click(&mut harness, "Close this message");
    assert!(harness.query_by_label("The disk is full.").is_none());
}

/// What was copied in the last frames.
fn copied(harness: &Harness<'_>) -> Option<String> {
    harness.output().platform_output.commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    })
}

#[test]
fn code_and_lines_are_copied_as_they_stand() {
    let code = "curl 'http://127.0.0.1:8080' \\\n  -d '{\"a\": 1}'";
    let (mut harness, _) = drawn([500.0, 300.0], true, (), move |ui, ()| {
        widgets::code_block(ui, code);
        widgets::copy_line(ui, "the digest", "9f86d081884c7d65");
    });
    for (label, expect) in [("Copy", code), ("Copy the digest", "9f86d081884c7d65")] {
        harness.get_by_label(label).click();
        let mut seen = None;
        for _ in 0..3 {
            harness.step();
            seen = seen.or_else(|| copied(&harness));
        }
        assert_eq!(seen.as_deref(), Some(expect));
    }
}

#[test]
fn a_menu_opens_and_closes_with_a_choice() {
    let (mut harness, done) = drawn([400.0, 300.0], false, 0, |ui, done| {
        let button = widgets::icon_button(ui, ph::DOTS_THREE, "More");
        widgets::menu(&button, 180.0, |ui| {
            *done += u32::from(widgets::menu_item(ui, ph::EXPORT, "Export").clicked());
            ui.add_enabled_ui(false, |ui| *done += 10 * u32::from(widgets::menu_item(ui, ph::X, "Remove").clicked()));
        });
    });
    assert!(harness.query_by_label("Export").is_none());
    click(&mut harness, "More");
    click(&mut harness, "Export");
    assert_eq!(*done.borrow(), 1);
    assert!(harness.query_by_label("Export").is_none());
}

#[test]
fn what_folds_away_keeps_its_state() {
    let (mut harness, _) = drawn([400.0, 300.0], true, (), |ui, ()| {
        widgets::fold(ui, "raw", "Raw answer", false, |ui| widgets::muted(ui, "inside"));
    });
    assert!(harness.query_by_label("inside").is_none());
    click(&mut harness, "Raw answer");
    assert!(harness.query_by_label("inside").is_some());
    click(&mut harness, "Raw answer");
    assert!(harness.query_by_label("inside").is_none());
}

#[test]
fn figures_that_are_no_numbers_break_no_drawing() {
    let (mut harness, _) = drawn([500.0, 500.0], true, (), |ui, ()| {
        let theme = Theme::of(ui);
        widgets::share_bar(ui, "nothing", f64::NAN, "NaN", theme.info);
        widgets::meter(ui, f32::INFINITY, Vec2::new(12.0, 28.0), theme.info);
        widgets::stacked_bar(ui, &[(0, theme.info), (u64::MAX, theme.ok), (u64::MAX, theme.bad)], 0, 12.0);
        widgets::stacked_bar(ui, &[], 0, 12.0);
        let points = [[0.0, f64::NAN], [1.0, f64::INFINITY], [2.0, 3.0]];
        let plot = LivePlot {
            name: "odd",
            height: 80.0,
            now: 2.0,
            span: 2.0,
            top: None,
            least_top: 0.0,
            write: |value| format!("{value}"),
        };
        widgets::live_plot(ui, &plot, &[LiveLine { name: "odd", color: theme.info, points: &points, filled: true }]);
        widgets::sparkline(ui, &[f64::NAN, 1.0, f64::NAN], Vec2::new(60.0, 20.0), theme.info);
        widgets::columns(ui, 0, |_, _| {});
    });
    harness.run_steps(3);
}

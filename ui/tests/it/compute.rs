//! The page Compute: devices, load, runs at work.

use athanor_protocol::{
    Code, Failure,
    api::{DevicesList, Reply, Request},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];

fn compute(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Compute));
    screen
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [([1280.0, 1100.0], "wide"), ([1000.0, 640.0], "narrow"), ([640.0, 1400.0], "column")] {
            let mut screen = compute(size, dark, |_| {});
            screen.harness.run_steps(40);
            screen.show(&format!("compute-{what}-{theme}"));
            for label in ["GeForce RTX 4070", "8 cores", "llvmpipe", "automatic choice", "used for new runs"] {
                assert!(screen.has(label), "{label} {what} {theme}");
            }
        }
    }
}

#[test]
fn a_device_is_set_for_new_runs_and_given_back_to_the_program() {
    let mut screen = compute(WIDE, true, |_| {});
    screen.click("Use 8 cores for new runs");
    screen.settle();
    let device = |screen: &Screen| {
        let sent = screen.fake.sent().into_iter().rev();
        sent.clone().find_map(|ask| if let Request::SettingsSet(ask) = ask { Some(ask.settings.device) } else { None })
    };
    assert_eq!(device(&screen).as_deref(), Some("cpu"));
    assert!(screen.has_text("New runs use 8 cores"));
    screen.click("Let the program choose");
    screen.settle();
    assert_eq!(device(&screen).as_deref(), Some("auto"));
}

#[test]
fn a_set_device_that_is_not_there_is_said() {
    let screen = compute(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.settings.device = "vulkan:7".to_owned();
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    });
    assert!(screen.has_text("set to vulkan:7, which is not there now"));
}

#[test]
fn looking_again_asks_the_engine_anew_and_says_that_it_takes_time() {
    let mut screen = compute(WIDE, true, |_| {});
    screen.fake.hold();
    screen.click("Look again");
    assert!(screen.has_text("Looking for devices; this may take some seconds"));
    screen.fake.release();
    screen.settle();
    let asked = screen
        .fake
        .sent()
        .into_iter()
        .any(|ask| matches!(ask, Request::DevicesList(ask) if *ask == DevicesList { refresh: true }));
    assert!(asked && screen.has_text("Found 3 devices"));
}

#[test]
fn the_load_is_asked_for_only_while_it_is_seen() {
    let count = |screen: &Screen| screen.fake.sent().iter().filter(|ask| matches!(ask, Request::SystemLoad(_))).count();
    let mut screen = compute(WIDE, true, |_| {});
    screen.fake.forget_sent();
    screen.harness.run_steps(20);
    assert!((3..=6).contains(&count(&screen)), "five seconds: {}", count(&screen));
    screen.go(Go::To(Route::Settings));
    screen.fake.forget_sent();
    screen.harness.run_steps(20);
    assert_eq!(count(&screen), 0);
}

#[test]
fn a_run_at_work_is_one_click_away() {
    let mut screen = compute([1280.0, 1100.0], true, |_| {});
    assert!(screen.has("1.9 cores") && screen.has("4211"));
    screen.click(&fake::run_id(0).as_str()[..8]);
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Runs));
}

#[test]
fn slow_and_failing_are_said() {
    let mut screen = Screen::usual();
    screen.fake.hold();
    screen.go(Go::To(Route::Compute));
    assert!(screen.has_text("Looking for devices") && screen.has_text("Measuring how busy"));
    let mut screen = compute(WIDE, false, |fake| {
        let mut n = 0;
        fake.on(move |ask| match ask {
            Request::DevicesList(_) if n == 0 => {
                n += 1;
                Some(Err(Failure::new(Code::DeviceLost, "the graphics driver does not answer")
                    .hint("start the program again")))
            }
            _ => None,
        });
    });
    assert!(screen.has_text("The graphics driver does not answer"));
    screen.click("Try again");
    assert!(screen.has("GeForce RTX 4070"));
}

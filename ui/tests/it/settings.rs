//! The page Settings: every control saves by itself; storage and the audit log.

use athanor_protocol::{
    Code, Failure,
    api::{Reply, Request, Settings, StoragePart, ThemeChoice},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const TALL: [f32; 2] = [1280.0, 1300.0];

fn settings(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Settings));
    screen
}

/// What was saved last.
fn saved(screen: &Screen) -> Option<Settings> {
    let sent = screen.fake.sent();
    sent.into_iter().rev().find_map(|ask| if let Request::SettingsSet(ask) = ask { Some(ask.settings) } else { None })
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(TALL, "wide"), ([1000.0, 640.0], "narrow"), ([640.0, 1700.0], "column")] {
            let mut screen = settings(size, dark, |_| {});
            screen.show(&format!("settings-{what}-{theme}"));
            for label in ["Theme", "Device", "Storage", "Audit log", "/home/ada/Athanor/clinic"] {
                assert!(screen.has(label), "{label} {what} {theme}");
            }
        }
    }
}

#[test]
fn a_choice_saves_by_itself_and_says_so() {
    let mut screen = settings(TALL, true, |_| {});
    screen.click("System");
    assert_eq!(saved(&screen).map(|saved| saved.theme), Some(ThemeChoice::System));
    assert!(screen.has("Saved"));
    screen.harness.run_steps(20);
    assert!(!screen.has("Saved"), "the mark goes away");
    screen.click("Leave out motion");
    screen.settle();
    assert_eq!(saved(&screen).map(|saved| saved.reduced_motion), Some(false));
}

#[test]
fn what_the_engine_refuses_is_not_called_saved() {
    let mut screen = settings(TALL, true, |fake| {
        fake.on(|ask| match ask {
            Request::SettingsSet(_) => Some(Err(Failure::new(Code::DiskFull, "the settings cannot be written"))),
            _ => None,
        });
    });
    screen.click("System");
    screen.settle();
    assert!(screen.has("Not saved") && screen.has_text("The settings cannot be written"));
}

#[test]
fn a_seed_is_saved_once_it_is_a_number() {
    let mut screen = settings(TALL, true, |_| {});
    screen.type_into("Seed", "seven");
    screen.settle();
    assert!(screen.has_text("A whole number from 0 is needed") && saved(&screen).is_none());
    screen.type_into("Seed", "18446744073709551615");
    screen.settle();
    assert_eq!(saved(&screen).map(|saved| saved.seed), Some(u64::MAX));
}

#[test]
fn the_default_device_is_chosen_from_those_that_are_there() {
    let mut screen = settings(TALL, false, |_| {});
    screen.pick("Device", "GeForce RTX 4070");
    screen.settle();
    assert_eq!(saved(&screen).map(|saved| saved.device).as_deref(), Some("vulkan:0"));
}

#[test]
fn cleaning_asks_first_and_says_what_was_freed() {
    let mut screen = settings(TALL, true, |_| {});
    screen.click("Clean results kept for reuse");
    assert!(screen.has_text("are done again when a run needs them"));
    screen.show("settings-clean");
    let cleaned = |screen: &Screen| {
        screen.fake.sent().iter().any(|ask| matches!(ask, Request::StorageClean(ask) if ask.part == StoragePart::Cache))
    };
    assert!(!cleaned(&screen));
    screen.click_last("Clean");
    assert!(cleaned(&screen) && screen.has_text("Freed 1.1 GB of results kept for reuse"));
    assert!(!screen.has("Clean tables"), "tables cannot be made again");
}

#[test]
fn older_lines_of_the_audit_log_are_loaded_when_they_are_wanted() {
    let mut screen = settings(TALL, false, |_| {});
    assert!(screen.has("25 lines"));
    screen.click("Show older lines");
    assert!(screen.has("50 lines"));
    screen.click("Show older lines");
    assert!(screen.has("60 lines") && !screen.has("Show older lines"));
}

#[test]
fn without_a_workspace_only_what_belongs_to_the_program_is_shown() {
    let screen = settings(TALL, true, |fake| {
        fake.on(|ask| match ask {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.workspace = None;
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    });
    assert!(screen.has("Theme") && screen.has_text("No workspace is open"));
    assert!(!screen.has("Storage") && !screen.has("Audit log"));
    assert!(!screen.fake.sent().iter().any(|ask| matches!(ask, Request::StorageUsage(_) | Request::AuditList(_))));
}

#[test]
fn a_folder_that_cannot_be_measured_is_said() {
    let screen = settings(TALL, true, |fake| {
        fake.on(|ask| match ask {
            Request::StorageUsage(_) => Some(Err(Failure::new(Code::PermissionDenied, "the folder cannot be read"))),
            _ => None,
        });
    });
    assert!(screen.has_text("The folder cannot be read"));
}

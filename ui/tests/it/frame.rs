//! The frame: rail, palette, connection.

use athanor_protocol::api::Link;
use athanor_ui::pages::{Go, Route};
use egui::{Key, Modifiers};

use crate::help::Screen;

#[test]
fn every_place_is_on_the_rail_and_opens() {
    let mut screen = Screen::usual();
    for route in Route::ALL {
        screen.click(route.title());
        assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(route));
    }
}

#[test]
fn the_palette_opens_by_key_and_goes_where_it_says() {
    let mut screen = Screen::usual();
    screen.harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
    screen.settle();
    assert!(screen.has("Go to Models"));
    screen.click("Go to Models");
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Models));
    assert!(!screen.has("Go to Models"));
}

#[test]
fn an_engine_that_dies_is_said_and_nothing_else_goes_away() {
    let mut screen = Screen::usual();
    screen.fake.link(Link::Down { reason: "the process ended".to_owned() });
    screen.settle();
    assert!(screen.has_text("The engine does not answer"));
    assert!(screen.has("Runs"));
    screen.fake.link(Link::Up);
    screen.settle();
    assert!(!screen.has_text("The engine does not answer"));
}

#[test]
fn a_browser_without_a_session_is_asked_for_a_key() {
    let mut screen = Screen::usual();
    screen.fake.link(Link::LoggedOut);
    screen.settle();
    assert!(screen.has("Log in") && screen.has("API key"));
    assert!(!screen.has_text("This key is unknown here"));
    screen.type_into("API key", "ath_wrong");
    screen.click("Log in");
    screen.fake.link(Link::Connecting);
    screen.fake.link(Link::LoggedOut);
    screen.settle();
    assert!(screen.has_text("This key is unknown here"));
    screen.type_into("API key", "ath_right");
    assert!(!screen.has_text("This key is unknown here"), "while another one is typed");
}

#[test]
fn the_frame_looks_as_it_should() {
    for (dark, name) in [(true, "dark"), (false, "light")] {
        for (width, what) in [(1280.0, "wide"), (1000.0, "narrow")] {
            let mut screen = Screen::new([width, 640.0], dark, |_| {});
            screen.go(Go::To(Route::Settings));
            screen.show(&format!("frame-{what}-{name}"));
        }
    }
}

fn palette_of(dark: bool) -> Screen {
    let mut screen = Screen::new([1000.0, 640.0], dark, |_| {});
    screen.go(Go::To(Route::Runs));
    screen.harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::K);
    screen.settle();
    screen.harness.event(egui::Event::Text("go to".to_owned()));
    screen.settle();
    assert!(screen.has_text("Go to Models"));
    screen
}

#[test]
fn the_palette_looks_as_it_should_on_dark_ground() {
    palette_of(true).picture("palette-dark");
}

#[test]
fn the_palette_looks_as_it_should_on_light_ground() {
    palette_of(false).picture("palette-light");
}

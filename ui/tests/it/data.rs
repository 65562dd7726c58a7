//! The page Data.

use athanor_protocol::{
    Code, Failure,
    api::{Event, Reply, Request},
};
use athanor_ui::{
    fake,
    pages::{Go, Route},
};
use egui::{Key, Modifiers, Pos2, Vec2};
use egui_kittest::kittest::Queryable;

use crate::help::Screen;

fn opened(size: [f32; 2], dark: bool, path: &str) -> Screen {
    let mut screen = Screen::new(size, dark, |_| {});
    screen.go(Go::Table(path.to_owned()));
    screen.settle();
    screen
}

fn place_of(screen: &Screen, label: &str) -> egui::Rect {
    screen.harness.query_all_by_label(label).next().unwrap_or_else(|| panic!("no {label:?}")).rect()
}

/// Rows that were asked for: first row and columns.
fn rows_asked(screen: &Screen) -> Vec<(u64, usize)> {
    let rows = |request: &Request| match request {
        Request::DataRows(ask) => Some((ask.offset, ask.columns.len())),
        _ => None,
    };
    screen.fake.sent().iter().filter_map(rows).collect()
}

fn sent<T>(screen: &Screen, which: impl Fn(&Request) -> Option<T>) -> Vec<T> {
    screen.fake.sent().iter().filter_map(which).collect()
}

#[test]
fn tables_are_listed_and_one_opens_with_its_rows() {
    let mut screen = Screen::usual();
    screen.click("Data");
    assert!(screen.has("breast_cancer.csv") && screen.has("patients.csv") && screen.has_text("Choose a table"));
    screen.click("breast_cancer.csv");
    assert!(screen.has("mean_radius") && screen.has_text("569 rows, 13 columns"));
    assert_eq!(rows_asked(&screen)[0], (0, 0));
}

#[test]
fn the_page_looks_as_it_should() {
    for (dark, ground) in [(true, "dark"), (false, "light")] {
        for (size, width) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = opened(size, dark, fake::BREAST_CANCER);
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

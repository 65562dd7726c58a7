//! Pictures of the runs' screens for people to look at.

use athanor_ui::{
    fake,
    pages::{Go, Route},
};

use crate::help::Screen;

#[test]
fn every_screen_of_runs_can_be_drawn_in_both_themes_and_sizes() {
    for (dark, ground) in [(true, "dark"), (false, "light")] {
        for (size, what) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = Screen::new(size, dark, |_| {});
            screen.go(Go::To(Route::Runs));
            screen.show(&format!("list-{what}-{ground}"));
            for n in [0, 1, 3] {
                screen.go(Go::Run(fake::run_id(n)));
                screen.show(&format!("run{n}-{what}-{ground}"));
            }
            screen.go(Go::Run(fake::run_id(1)));
            for tab in ["System", "Logs", "Evaluation", "Artifacts", "Environment", "Lineage"] {
                screen.click(tab);
                screen.settle();
                screen.show(&format!("run-{}-{what}-{ground}", tab.to_lowercase()));
            }
            screen.go(Go::Compare((0..12).map(fake::run_id).collect()));
            screen.show(&format!("compare-curves-{what}-{ground}"));
            for tab in ["Parameters", "Metrics", "Parallel", "Scatter"] {
                screen.click(tab);
                screen.settle();
                screen.show(&format!("compare-{}-{what}-{ground}", tab.to_lowercase()));
            }
        }
    }
}

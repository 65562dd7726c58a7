//! The page Workflow.

use athanor_ui::pages::Go;

use crate::help::Screen;

fn open(size: [f32; 2], dark: bool) -> Screen {
    let mut screen = Screen::new(size, dark, |_| {});
    screen.go(Go::Workflow("breast-cancer".to_owned()));
    screen.settle();
    screen
}

#[test]
fn the_canvas_shows_what_was_saved() {
    for (dark, ground) in [(true, "dark"), (false, "light")] {
        for (size, width) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = open(size, dark);
            screen.show(&format!("workflow-{width}-{ground}"));
            assert!(screen.has("Split: stratified 70/15/15"), "{width} {ground}");
        }
    }
}

//! The real window: Tauri, WebKitGTK, the engine in it, on a screen in memory, driven by clicks.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    sandbox::built,
    webdriver::{Display, Driver, has_tools, n_colours},
};

const TOOLS: &[&str] = &["WebKitWebDriver", "Xvfb"];

/// A window with a home of its own.
struct Desktop {
    driver: Driver,
    _display: Display,
    home: TempDir,
}

impl Desktop {
    /// Opens the window; `None` where the tools are missing.
    fn open(args: &[&str]) -> Option<Self> {
        if !has_tools(TOOLS) {
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let display = Display::start();
        let (config, workspaces) = (home.path().join("config"), home.path().join("workspaces"));
        let cache = home.path().join("cache");
        let variables = [
            ("HOME", home.path()),
            ("XDG_CACHE_HOME", &cache),
            ("XDG_DATA_HOME", &cache),
            ("ATHANOR_CONFIG", &config),
            ("ATHANOR_HOME", &workspaces),
        ];
        let driver = Driver::window(&built("athanor-desktop"), args, &display, &variables);
        driver.wait_for_app();
        Some(Self { driver, _display: display, home })
    }

    fn workspaces(&self) -> PathBuf {
        self.home.path().join("workspaces")
    }
}

#[test]
fn the_window_opens_and_draws() {
    let Some(desktop) = Desktop::open(&[]) else { return };
    let picture = desktop.driver.screenshot();
    assert!(picture.width() >= 1000 && picture.height() >= 600, "{} x {}", picture.width(), picture.height());
    assert!(n_colours(&picture) > 50, "the window is blank: {} colours", n_colours(&picture));
    assert!(!desktop.workspaces().join("athanor.db").exists(), "nothing is made before the user asks for it");
}

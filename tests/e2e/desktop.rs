//! The real window: Tauri, WebKitGTK, the engine in it, on a screen in memory, driven by clicks.

use std::{fs, path::PathBuf, time::Instant};

use serde_json::Value;

use crate::{
    sandbox::{Sandbox, built, lives, signal},
    screen_journey::{WORKFLOW, open_workflow, run_state, save_workflow, stop_run, train_and_watch},
    webdriver::{DELETE, Display, Driver, has_tools, n_colours, wait},
};

const TOOLS: &[&str] = &["WebKitWebDriver", "Xvfb"];

/// A window on the sandbox's workspace, with settings in the sandbox too.
struct Desktop {
    driver: Driver,
    _display: Display,
    sandbox: Sandbox,
}

impl Desktop {
    /// Opens the window.
    fn open(sandbox: Sandbox, on_workspace: bool) -> Self {
        let display = Display::start();
        let driver = window(&sandbox, &display, on_workspace);
        Self { driver, _display: display, sandbox }
    }

    /// The window's process.
    fn pid(&self) -> u32 {
        let workspace = self.sandbox.workspace();
        let is_it = |pid: u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut args = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            args.next().is_some_and(|program| program.ends_with("athanor-desktop"))
                && args.next().is_some_and(|first| first == workspace.to_string_lossy())
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| is_it(*pid));
        pids.next().expect("the window's process")
    }

    /// Kills the window's process as `kill -9` does, and opens the window again.
    fn kill_and_open_again(self) -> Self {
        let pid = self.pid();
        signal(pid, "KILL");
        wait("the window's process is gone", || (!lives(pid)).then_some(()));
        let Self { driver, _display, sandbox } = self;
        drop(driver);
        drop(_display);
        Self::open(sandbox, true)
    }
}

fn window(sandbox: &Sandbox, display: &Display, on_workspace: bool) -> Driver {
    let (config, workspaces, cache) = (sandbox.path("config"), sandbox.path("workspaces"), sandbox.path("cache"));
    let variables = [
        ("HOME", sandbox.folder.path()),
        ("XDG_CACHE_HOME", &cache),
        ("XDG_DATA_HOME", &cache),
        ("ATHANOR_CONFIG", &config),
        ("ATHANOR_HOME", &workspaces),
    ];
    let workspace = sandbox.workspace();
    let args = if on_workspace { vec![workspace.to_str().unwrap()] } else { vec![] };
    let driver = Driver::window(&built("athanor-desktop"), &args, display, &variables);
    driver.wait_for_app();
    driver
}

#[test]
fn the_window_opens_and_draws() {
    if !has_tools(TOOLS) {
        return;
    }
    let desktop = Desktop::open(Sandbox::new(), false);
    let picture = desktop.driver.screenshot();
    assert!(picture.width() >= 1000 && picture.height() >= 600, "{} x {}", picture.width(), picture.height());
    assert!(n_colours(&picture) > 50, "the window is blank: {} colours", n_colours(&picture));
    let made: Vec<PathBuf> = fs::read_dir(desktop.sandbox.path("workspaces"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    assert!(made.is_empty(), "nothing is made before the user asks for it: {made:?}");
}

#[test]
fn a_run_starts_in_the_window_its_curve_moves_and_it_outlives_a_kill() {
    if !has_tools(TOOLS) {
        return;
    }
    let sandbox = Sandbox::new();
    save_workflow(&sandbox, 100_000);
    let desktop = Desktop::open(sandbox, true);
    let run = train_and_watch(&desktop.driver, &desktop.sandbox);
    assert_eq!(run_state(&desktop.sandbox, &run), "running");
    wait("a checkpoint is there", || desktop.sandbox.has_checkpoint(&run).then_some(()));
    let worker = desktop.sandbox.worker_pid(&run).expect("a worker is at work");

    // The window dies in mid-run. Its worker notices; the window that comes next tells the truth about the run.
    let desktop = desktop.kill_and_open_again();
    wait("the worker has ended", || (!lives(worker)).then_some(()));
    desktop.driver.click("Runs");
    desktop.driver.wait_for_any("the run as failed", |widget| widget.text.eq_ignore_ascii_case("failed"));
    assert_eq!(run_state(&desktop.sandbox, &run), "failed");

    // And the run can go on from its checkpoint.
    let name = desktop.sandbox.ok(&["runs", "show", &run]);
    let name = name["run"]["name"].as_str().filter(|name| !name.is_empty()).unwrap_or(WORKFLOW).to_owned();
    wait("the run's page", || {
        // The list moves down while the cards above it come; a click that missed is done again.
        let screen = desktop.driver.screen();
        if screen.iter().any(|widget| widget.text == "Back to the runs") {
            return Some(());
        }
        let link = screen.iter().find(|widget| widget.role == "Link" && widget.text.contains(&name));
        link.into_iter().for_each(|link| desktop.driver.click_on(link));
        None
    });
    desktop.driver.click("Resume");
    wait("the run is at work again", || (run_state(&desktop.sandbox, &run) == "running").then_some(()));
    stop_run(&desktop.driver, &desktop.sandbox, &run);
}

#[test]
fn a_window_killed_in_mid_edit_has_the_edits_when_it_is_back() {
    if !has_tools(TOOLS) {
        return;
    }
    let sandbox = Sandbox::new();
    save_workflow(&sandbox, 10);
    let desktop = Desktop::open(sandbox, true);
    open_workflow(&desktop.driver);
    let node = desktop.driver.wait_for_any("the node", |widget| widget.text.starts_with("Evaluate"));
    desktop.driver.click_on(&node);
    desktop.driver.keys(&DELETE.to_string());
    wait("the node is gone from the screen", || {
        let screen = desktop.driver.screen();
        (!screen.iter().any(|widget| widget.text == node.text && widget.role == node.role)).then_some(())
    });
    let edited = Instant::now();
    // Nobody saves. The draft is written by itself, and the window dies.
    let draft = desktop.sandbox.workspace().join(format!("workflows/drafts/{WORKFLOW}.json"));
    let text = wait("the draft is written", || {
        let text = fs::read_to_string(&draft).ok()?;
        (!text.contains("judge")).then_some(text)
    });
    println!("a draft was on disk {} ms after the edit", edited.elapsed().as_millis());
    let saved = desktop.sandbox.workspace().join(format!("workflows/{WORKFLOW}.json"));
    let saved_before = fs::read_to_string(&saved).unwrap();
    assert!(saved_before.contains("judge"), "what was saved is not touched");

    let desktop = desktop.kill_and_open_again();
    desktop.driver.click("Workflow");
    desktop.driver.wait_for_any("the recovered changes", |widget| widget.text.starts_with("Recovered changes"));
    let screen = desktop.driver.screen();
    assert!(screen.iter().any(|widget| widget.text.starts_with("Split")), "{screen:#?}");
    assert!(!screen.iter().any(|widget| widget.text == node.text && widget.role == node.role), "{screen:#?}");
    assert_eq!(fs::read_to_string(&saved).unwrap(), saved_before);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&draft).unwrap()).unwrap();
    assert_eq!(kept["nodes"], serde_json::from_str::<Value>(&text).unwrap()["nodes"]);
}

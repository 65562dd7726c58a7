//! The served page in a real browser: Chromium without a screen, the engine behind it, driven by clicks.

use serde_json::Value;

use crate::{
    sandbox::{Sandbox, built},
    screen_journey::{run_state, save_workflow, stop_run, train_and_watch},
    webdriver::{Driver, has_tools, n_colours},
};

const TOOLS: &[&str] = &["chromedriver"];

#[test]
fn a_browser_logs_in_trains_and_sees_the_curve_move() {
    if !has_tools(TOOLS) {
        return;
    }
    let sandbox = Sandbox::new();
    save_workflow(&sandbox, 100_000);
    let key = sandbox.ok(&["keys", "create", "--name", "team", "--scope", "admin"])["key"].as_str().unwrap().to_owned();
    let folder = built("athanor").with_file_name("ui");
    let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--ui-folder", folder.to_str().unwrap()]);
    let line: Value = serde_json::from_str(&running.line()).unwrap();

    let driver = Driver::browser(&format!("{}/?probe", line["page"].as_str().unwrap()), &sandbox.path("profile"));
    driver.wait_for_app();
    // Nothing of the workspace is there before the key is.
    driver.wait_for("Log in");
    driver.type_into("API key", "ath_no_such_key");
    driver.click("Log in");
    driver.wait_for_any("the refusal", |widget| widget.text.starts_with("This key is unknown here"));
    driver.type_into("API key", &key);
    driver.click("Log in");
    driver.wait_for("Workflow");

    let run = train_and_watch(&driver, &sandbox);
    assert!(n_colours(&driver.screenshot()) > 50);
    assert_eq!(run_state(&sandbox, &run), "running");
    stop_run(&driver, &sandbox, &run);
}

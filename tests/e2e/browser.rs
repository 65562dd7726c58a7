//! The served page in a real browser: Chromium without a screen, the engine behind it, driven by clicks.

use serde_json::Value;

use crate::{
    sandbox::{Sandbox, built, sample},
    screen_journey::{run_state, save_workflow, stop_run, train_and_watch},
    webdriver::{Driver, has_tools, n_colours, wait},
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

#[test]
fn a_browser_saves_a_models_package_on_its_own_machine() {
    if !has_tools(TOOLS) {
        return;
    }
    let sandbox = Sandbox::new();
    let run =
        sandbox.ok(&["run", sample("breast_cancer").to_str().unwrap(), "--device", "cpu", "--set", "train.epochs=5"]);
    assert_eq!(run["status"], "finished", "{run}");
    let package = sandbox.path("package.athanor");
    sandbox.ok(&["models", "export", "breast_cancer:1", "-o", package.to_str().unwrap()]);
    let key = sandbox.ok(&["keys", "create", "--scope", "admin"])["key"].as_str().unwrap().to_owned();
    let folder = built("athanor").with_file_name("ui");
    let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--ui-folder", folder.to_str().unwrap()]);
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    let profile = sandbox.path("profile");
    let driver = Driver::browser(&format!("{}/?probe", line["page"].as_str().unwrap()), &profile);
    driver.wait_for_app();
    driver.wait_for("Log in");
    driver.type_into("API key", &key);
    driver.click("Log in");
    driver.wait_for("Models");

    driver.click("Models");
    driver.click("Export");
    driver.wait_for_any("the word that it is saved", |widget| {
        widget.text.starts_with("Exported breast_cancer version 1")
    });
    let saved = profile.join("downloads/breast_cancer-1.athanor");
    let bytes = wait("the browser has written the file", || std::fs::read(&saved).ok());
    assert_eq!(bytes, std::fs::read(package).unwrap());
}

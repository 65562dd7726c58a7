//! What a user does on a screen, the same in the window and in a browser: opens a workflow, runs it, watches the curve.

use image::RgbaImage;
use serde_json::{Value, json};

use crate::{
    sandbox::{Sandbox, samples},
    webdriver::{Driver, Widget, changed, wait},
};

/// The workflow's name.
pub const WORKFLOW: &str = "net";

/// Saves a workflow in the workspace: a small network on a real table, which takes as long as its epochs.
pub fn save_workflow(sandbox: &Sandbox, epochs: u64) {
    let table = samples().join("breast_cancer.csv").canonicalize().unwrap();
    let workflow = json!({
        "version": 2, "name": WORKFLOW,
        "nodes": [
            { "id": "open", "kind": "table.open", "params": { "path": table } },
            { "id": "split", "kind": "split", "params": { "stratify": "diagnosis" } },
            { "id": "train", "kind": "train.mlp", "params": {
                "target": "diagnosis", "epochs": epochs, "patience": 0, "batch_size": 16, "checkpoint_every_steps": 50 } },
            { "id": "judge", "kind": "evaluate" }],
        "links": [
            { "from": "open.table", "to": "split.table" }, { "from": "split.splits", "to": "train.splits" },
            { "from": "train.model", "to": "judge.model" }, { "from": "split.splits", "to": "judge.splits" }]
    });
    sandbox.ok(&["init"]);
    sandbox.write(&format!("workspace/workflows/{WORKFLOW}.json"), &serde_json::to_string_pretty(&workflow).unwrap());
}

/// Opens the saved workflow, from whatever page is shown.
pub fn open_workflow(driver: &Driver) {
    driver.click("Workflow");
    driver.click(&format!("Open {WORKFLOW}"));
    driver.wait_for_any("the canvas with the workflow", |widget| widget.text.starts_with("Open table"));
}

/// Starts a run with the mouse and watches its curve move; the run's id.
pub fn train_and_watch(driver: &Driver, sandbox: &Sandbox) -> String {
    assert_eq!(sandbox.ok(&["runs", "list"])["runs"], json!([]), "nothing ran before");
    open_workflow(driver);
    driver.click("Run");
    let listed =
        wait("the engine lists a run", || sandbox.ok(&["runs", "list"])["runs"].as_array().unwrap().first().cloned());
    let run = listed["id"].as_str().unwrap().to_owned();
    driver.click("Show the run");

    // While nobody touches anything, what the plot says of itself and the pixels that it is made of both change.
    let mut before: Option<(Widget, RgbaImage)> = None;
    let moved = wait("the curve on the screen moves", || {
        let (curve, picture) = (curve(driver), driver.screenshot());
        match &before {
            Some((old, then)) if old.rect == curve.rect => {
                let share = changed(then, &picture, curve.rect);
                (old.text != curve.text && share > 0.0005).then_some(share)
            }
            // The page moved it, which is no movement of the curve.
            _ => {
                before = Some((curve, picture));
                None
            }
        }
    });
    assert!(moved < 0.9, "a curve moved, not the whole plot changed: {moved}");
    run
}

/// The plot of the training loss, once it has points.
fn curve(driver: &Driver) -> Widget {
    driver.wait_for_any("a curve with points", |widget| {
        widget.text.starts_with("Curves: train ") && widget.text.contains(" at step ")
    })
}

/// How the engine has the run, asked by a process of its own.
pub fn run_state(sandbox: &Sandbox, run: &str) -> String {
    let shown: Value = sandbox.ok(&["runs", "show", run]);
    let status = shown["run"]["status"].as_str().or_else(|| shown["status"].as_str());
    status.unwrap_or_else(|| panic!("no status: {shown}")).to_owned()
}

/// Stops the run by the button on its page and waits until the engine says so.
pub fn stop_run(driver: &Driver, sandbox: &Sandbox, run: &str) {
    driver.click("Stop");
    wait("the run is stopped", || (run_state(sandbox, run) == "cancelled").then_some(()));
    driver.wait_for_any("the page says so", |widget| widget.text.eq_ignore_ascii_case("cancelled"));
}

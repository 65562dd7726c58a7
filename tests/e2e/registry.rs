//! The life of a model: approved, promoted, taken back, compared, described, deleted; and runs of another tool.

use std::fs;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, sample, samples};

/// Trains on the breast cancer table and registers; another number of epochs is another version.
fn train(sandbox: &Sandbox, epochs: u32) -> Value {
    let (file, set) = (sample("breast_cancer"), format!("train.epochs={epochs}"));
    sandbox.ok(&["run", file.to_str().unwrap(), "--device", "cpu", "--threads", "1", "--set", &set])
}

fn production(sandbox: &Sandbox) -> Option<u64> {
    let done = sandbox.run(&["models", "show", "breast_cancer@production"]);
    done.json["version"].as_u64()
}

fn refused(sandbox: &Sandbox, args: &[&str], code: &str) -> Value {
    let done = sandbox.run(args);
    assert_eq!((done.status, &done.json["error"]["code"]), (1, &json!(code)), "{args:?}: {}", done.stdout);
    done.json["error"].clone()
}

#[test]
fn a_version_is_approved_promoted_taken_back_and_never_lost_while_it_is_needed() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    sandbox.ok(&["models", "rules", "--needs-approval", "production"]);
    train(&sandbox, 2);
    assert_eq!(production(&sandbox), None, "what waits for approval is not served");
    let shown = sandbox.ok(&["models", "show", "breast_cancer"]);
    assert_eq!(shown["stage"], "candidate");
    let error = refused(&sandbox, &["models", "promote", "breast_cancer:1"], "conflict");
    assert!(error["hint"].as_str().unwrap().contains("models stage breast_cancer:1 approved"), "{error}");
    sandbox.ok(&["models", "stage", "breast_cancer:1", "approved", "--reason", "looks fine"]);
    sandbox.ok(&["models", "promote", "breast_cancer:1"]);
    train(&sandbox, 12);
    assert_eq!(production(&sandbox), Some(1));
    sandbox.ok(&["models", "stage", "breast_cancer:2", "approved"]);
    sandbox.ok(&["models", "promote", "breast_cancer:2", "--reason", "newer"]);

    // It turns out to be bad: back, and forth again, and back by rejecting it.
    let back = sandbox.ok(&["models", "rollback", "breast_cancer"]);
    assert_eq!((&back["from"], &back["to"], production(&sandbox)), (&json!(2), &json!(1), Some(1)));
    assert_eq!(sandbox.ok(&["models", "undo", "breast_cancer"])["to"], 2);
    refused(&sandbox, &["models", "stage", "breast_cancer:2", "rejected"], "conflict");
    let outcome = sandbox.ok(&["models", "stage", "breast_cancer:2", "rejected", "--roll-back", "--reason", "bad"]);
    assert_eq!((&outcome["moved"][0]["to"], production(&sandbox)), (&json!(1), Some(1)));

    // What is served is not deleted; what nothing needs is, and comes back until it is cleaned.
    refused(&sandbox, &["models", "delete", "breast_cancer:1"], "conflict");
    sandbox.ok(&["models", "delete", "breast_cancer:2"]);
    refused(&sandbox, &["models", "show", "breast_cancer:2"], "not_found");
    sandbox.ok(&["models", "restore", "breast_cancer:2"]);
    sandbox.ok(&["models", "delete", "breast_cancer:2"]);
    assert_eq!(sandbox.ok(&["models", "clean", "--dry-run"])["removed"][0]["version"], 2);
    let cleaned = sandbox.ok(&["models", "clean"]);
    assert!(cleaned["freed_bytes"].as_u64().unwrap() > 1000, "{cleaned}");
    refused(&sandbox, &["models", "restore", "breast_cancer:2"], "conflict");
    train(&sandbox, 3);
    assert_eq!(sandbox.ok(&["models", "show", "breast_cancer"])["version"], 3, "numbers are never used again");
    let history = sandbox.ok(&["models", "history", "breast_cancer"]);
    assert_eq!((history["moves"].as_array().unwrap().len(), &history["deleted"][0]["version"]), (5, &json!(2)));

    // Every act has its line.
    let lines = sandbox.ok(&["audit", "list", "--subject", "breast_cancer", "--since", "2020-01-01"]);
    let count =
        |action: &str| lines["lines"].as_array().unwrap().iter().filter(|line| line["action"] == action).count();
    let counts = ["model.register", "model.alias", "model.stage", "model.delete", "model.restore", "model.clean"];
    assert_eq!(counts.map(count), [3, 5, 6, 2, 1, 1], "{lines}");
    let file = sandbox.path("audit.jsonl");
    sandbox.ok(&["audit", "export", "-o", file.to_str().unwrap()]);
    let first: Value = serde_json::from_str(fs::read_to_string(file).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((&first["id"], &first["action"]), (&json!(1), &json!("model.rules")));
}

#[test]
fn a_card_says_what_the_run_found_and_two_versions_are_compared_on_the_same_rows() {
    let sandbox = Sandbox::new();
    train(&sandbox, 1);
    train(&sandbox, 30);
    let shown = sandbox.ok(&["models", "show", "breast_cancer:2"]);
    let accuracy = shown["metrics"].as_array().unwrap().iter().find(|m| m["key"] == "test/accuracy").unwrap();
    let set = "intended_use=A second opinion, <never> alone.";
    let card = sandbox.ok(&["models", "card", "breast_cancer:2", "--set", set]);
    let of_card = card["metrics"].as_array().unwrap().iter().find(|m| m["key"] == "accuracy").unwrap();
    assert!((of_card["value"].as_f64().unwrap() - accuracy["value"].as_f64().unwrap()).abs() < 1e-9, "{card}");
    let (low, high) = (of_card["interval"][0].as_f64().unwrap(), of_card["interval"][1].as_f64().unwrap());
    let value = of_card["value"].as_f64().unwrap();
    assert!(low <= value && value <= high && low < high && of_card["method"] == "bootstrap", "{of_card}");
    assert_eq!(
        (&card["train"]["target"], &card["datasets"][0]["name"]),
        (&json!("diagnosis"), &json!("breast_cancer.csv"))
    );
    let stratify = json!(["stratify", "diagnosis"]);
    assert!(card["split"].as_array().unwrap().contains(&stratify), "{}", card["split"]);
    assert!(card["limits"][0]["range"][0].is_number() && card["run"].is_string());
    let file = sandbox.path("card.md");
    sandbox.ok(&["models", "card", "breast_cancer:2", "-o", file.to_str().unwrap()]);
    let text = fs::read_to_string(file).unwrap();
    for part in ["# breast\\_cancer:2", "## Intended use", "&lt;never>", "bootstrap", "blake3:"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let done = sandbox.run(&["models", "card", "breast_cancer:2", "--set", "colour=red"]);
    assert_eq!((done.status, &done.json["error"]["code"]), (1, &json!("invalid_argument")));

    let table = samples().join("breast_cancer.csv");
    let table = table.to_str().unwrap();
    for more in [&[][..], &["--table", table]] {
        let args = [&["models", "compare", "breast_cancer:1", "breast_cancer:2"], more].concat();
        let found = sandbox.ok(&args);
        let n_rows = found["n_rows"].as_u64().unwrap();
        assert_eq!(n_rows == 569, !more.is_empty(), "{found}");
        let row = found["metrics"].as_array().unwrap().iter().find(|m| m["key"] == "accuracy").unwrap();
        if more.is_empty() {
            assert!((row["second"].as_f64().unwrap() - value).abs() < 1e-9, "the same rows, the same figure");
        }
        let inside = (row["interval"][0].as_f64(), row["difference"].as_f64(), row["interval"][1].as_f64());
        assert!(inside.0 <= inside.1 && inside.1 <= inside.2, "{row}");
        assert!(found["test"]["name"].as_str().unwrap().starts_with("mcnemar"), "{found}");
        assert!(found["words"].as_str().unwrap().contains("95 % interval"), "{found}");
        assert_eq!(found, sandbox.ok(&args), "it says the same each time");
    }
    refused(&sandbox, &["models", "compare", "breast_cancer:1", "breast_cancer:1"], "invalid_argument");
}

#[test]
fn runs_of_mlflow_come_in_without_what_could_run_code() {
    let sandbox = Sandbox::new();
    let run = "mlruns/1/0123456789abcdef0123456789abcdef";
    sandbox.write("mlruns/1/meta.yaml", "experiment_id: '1'\nname: churn\n");
    let meta =
        "run_name: fox\nstart_time: 1700000000000\nend_time: 1700000001000\nstatus: 3\nlifecycle_stage: active\n";
    sandbox.write(&format!("{run}/meta.yaml"), meta);
    sandbox.write(&format!("{run}/params/depth"), "3");
    sandbox.write(&format!("{run}/metrics/loss"), "1700000000500 0.5 0\n1700000000600 0.25 1\n");
    let pickle = "cposix\nsystem\np0\n(Vtouch owned\np1\ntp2\nRp3\n.";
    sandbox.write(&format!("{run}/artifacts/model.txt"), pickle);
    sandbox.write(&format!("{run}/artifacts/notes.md"), "# Notes\n");
    let folder = sandbox.path("mlruns");
    let found = sandbox.ok(&["import", "mlflow", folder.to_str().unwrap()]);
    assert_eq!((found["runs"].as_array().unwrap().len(), &found["n_files"]), (1, &json!(1)), "{found}");
    assert!(found["left_out"][0]["why"].as_str().unwrap().contains("pickle"), "{found}");
    let id = found["runs"][0].as_str().unwrap();
    let shown = sandbox.ok(&["runs", "show", id]);
    assert_eq!((&shown["workflow"], &shown["status"]), (&json!("churn"), &json!("finished")), "{shown}");
    let again = sandbox.ok(&["import", "mlflow", folder.to_str().unwrap()]);
    assert_eq!((again["runs"].as_array().unwrap().len(), &again["n_known"]), (0, &json!(1)));
}

#[test]
fn a_database_of_mlflow_comes_in_with_the_files_beside_it() {
    let sandbox = Sandbox::new();
    let run = "0123456789abcdef0123456789abcdef";
    let statements = format!(
        "CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), lifecycle_stage VARCHAR(32));
        CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), status VARCHAR(9), start_time BIGINT,
            end_time BIGINT, lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200), experiment_id INTEGER);
        CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT,
            is_nan BOOLEAN);
        CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
        CREATE TABLE tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
        INSERT INTO experiments VALUES (1, 'churn', 'active');
        INSERT INTO runs VALUES ('{run}', 'fox', 'FINISHED', 1700000000000, 1700000001000, 'active', '/etc', 1);
        INSERT INTO params VALUES ('depth', '3', '{run}');
        INSERT INTO metrics VALUES ('loss', 0.5, 1700000000500, '{run}', 0, 0), ('loss', 0, 1700000000600, '{run}', 1, 1);"
    );
    // The file's folder comes to be with the files beside it.
    sandbox.write(&format!("tracking/mlruns/1/{run}/artifacts/notes.md"), "# Notes\n");
    let pickle = "cposix\nsystem\np0\n(Vtouch owned\np1\ntp2\nRp3\n.";
    sandbox.write(&format!("tracking/mlruns/1/{run}/artifacts/model.txt"), pickle);
    let database = sandbox.path("tracking/mlflow.db");
    athanor_store::foreign_mlflow::make(&database, &statements).unwrap();
    let before = fs::read(&database).unwrap();
    let folder = sandbox.path("tracking");
    let found = sandbox.ok(&["import", "mlflow", folder.to_str().unwrap()]);
    assert_eq!((found["runs"].as_array().unwrap().len(), &found["n_files"]), (1, &json!(1)), "{found}");
    assert_eq!((&found["kind"], &found["n_points"], &found["n_left_out"]), (&json!("database"), &json!(2), &json!(1)));
    assert!(found["left_out"][0]["why"].as_str().unwrap().contains("pickle"), "{found}");
    assert!(found["artifact_folders"][0].as_str().unwrap().ends_with("mlruns"), "{found}");
    let shown = sandbox.ok(&["runs", "show", found["runs"][0].as_str().unwrap()]);
    assert_eq!((&shown["workflow"], &shown["status"]), (&json!("churn"), &json!("finished")), "{shown}");
    let again = sandbox.ok(&["import", "mlflow", database.to_str().unwrap()]);
    assert_eq!((again["runs"].as_array().unwrap().len(), &again["n_known"]), (0, &json!(1)));
    assert_eq!(fs::read(&database).unwrap(), before);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing lies beside the database that was not there");
    // The folder of files alone is no store, and the error says where the runs are.
    let done = sandbox.run(&["import", "mlflow", folder.join("mlruns").to_str().unwrap()]);
    assert!(done.status != 0 && done.json["error"]["hint"].as_str().unwrap().contains("mlflow.db"), "{}", done.json);
    fs::write(&database, &before[..before.len() / 2]).unwrap();
    refused(&sandbox, &["import", "mlflow", database.to_str().unwrap()], "corrupt");
}

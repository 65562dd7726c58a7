//! The whole journey, as the README tells it.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, done, sample, samples};

#[test]
fn the_demo_ends_with_a_prediction_from_a_signed_model() {
    let sandbox = Sandbox::new();
    let done = done(sandbox.command(&["demo", "--json"]).output().unwrap());
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(done.stdout.lines().count(), 1, "one object on standard output");
    let result = &done.json;
    for field in ["run_id", "status", "metrics", "model", "version", "endpoint", "prediction", "seconds"] {
        assert!(!result[field].is_null(), "{field} is missing: {result}");
    }
    assert_eq!(result["status"], "finished");
    assert_eq!(result["prediction"]["label"], result["actual"]);
    assert!(result["metrics"]["test/accuracy"].as_f64().unwrap() > 0.9, "{result}");
    // Everything that it tells of is really there.
    let run = sandbox.ok(&["runs", "show", result["run_id"].as_str().unwrap()]);
    assert_eq!(run["status"], "finished");
    assert!(run["artifacts"].as_array().unwrap().iter().any(|artifact| artifact["kind"] == "model_package"));
    assert!(run["datasets"][0]["digest"].as_str().unwrap().starts_with("blake3:"));
    let keys = sandbox.ok(&["keys", "list"]);
    assert!(keys["keys"][0]["revoked_at_millis"].is_i64(), "the demo's key does not outlive it");
}

#[test]
fn every_sample_workflow_runs_and_is_better_than_guessing() {
    let cases = [
        ("breast_cancer", "test/accuracy", 0.9),
        ("wine", "test/evaluate_linear.accuracy", 0.85),
        ("diabetes", "test/evaluate.r2", 0.2),
        ("digits", "test/accuracy", 0.93),
    ];
    for (name, metric, least) in cases {
        let sandbox = Sandbox::new();
        let run = sandbox.ok(&["run", sample(name).to_str().unwrap(), "--device", "cpu"]);
        let value =
            run["metrics"][metric].as_f64().unwrap_or_else(|| panic!("{name} has no {metric}: {}", run["metrics"]));
        assert!(value >= least, "{name}: {metric} is {value}");
        assert_eq!((run["model"].as_str(), run["version"].as_u64()), (Some(name), Some(1)));
    }
}

#[test]
fn a_model_is_promoted_exported_verified_imported_and_predicts_the_same() {
    let sandbox = Sandbox::new();
    let run = sandbox.ok(&[
        "run",
        sample("wine").to_str().unwrap(),
        "--device",
        "cpu",
        "--set",
        "linear.epochs=30",
        "--set",
        "trees.n_rounds=20",
    ]);
    let file = sandbox.path("wine.athanor");
    let file = file.to_str().unwrap();
    sandbox.ok(&["models", "export", "wine@production", "-o", file]);
    let verified = sandbox.ok(&["models", "verify", file]);
    assert_eq!((&verified["ok"], &verified["trusted"]), (&Value::from(true), &Value::from(true)));

    // A second learner of the same run becomes version 2, and the alias moves there and back.
    let run_id = run["run_id"].as_str().unwrap();
    let ambiguous = sandbox.run(&["models", "register", run_id, "wine"]);
    assert_eq!(ambiguous.status, 1);
    assert!(ambiguous.json["error"]["message"].as_str().unwrap().contains("linear, trees"), "{}", ambiguous.stdout);
    assert_eq!(sandbox.ok(&["models", "register", run_id, "wine", "--node", "trees"])["version"], 2);
    assert_eq!(sandbox.ok(&["models", "alias", "wine", "production", "2"])["from"], 1);
    assert_eq!(sandbox.ok(&["models", "show", "wine@production"])["version"], 2);
    assert_eq!(sandbox.ok(&["models", "alias", "wine", "production", "1"])["from"], 2);

    let table = samples().join("wine.csv");
    let predict = |sandbox: &Sandbox, output: &str| {
        let to = sandbox.path(output);
        let predicted =
            sandbox.ok(&["predict", "wine@production", table.to_str().unwrap(), "-o", to.to_str().unwrap(), "--only"]);
        assert_eq!(predicted["n_rows"], 178);
        fs::read_to_string(to).unwrap()
    };
    let here = predict(&sandbox, "here.csv");
    assert!(here.starts_with("label,probability_class_0,probability_class_1,probability_class_2\n"), "{}", &here[..80]);

    // Elsewhere the key is not known: refused, until somebody says that it is to be trusted.
    let other = Sandbox::new();
    other.ok(&["init"]);
    let refused = other.run(&["models", "import", file, "wine"]);
    assert_eq!((refused.status, refused.json["error"]["code"].as_str()), (1, Some("untrusted")), "{}", refused.stdout);
    let key = verified["signed_by"].as_str().unwrap();
    other.ok(&["models", "import", file, "wine", "--trust", key]);
    other.ok(&["models", "alias", "wine", "production", "1"]);
    assert_eq!(predict(&other, "there.csv"), here);
}

#[test]
fn a_changed_byte_of_a_package_is_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["run", sample("diabetes").to_str().unwrap(), "--device", "cpu", "--set", "train.epochs=5"]);
    let file = sandbox.path("model.athanor");
    sandbox.ok(&["models", "export", "diabetes", "-o", file.to_str().unwrap()]);
    let bytes = fs::read(&file).unwrap();
    // Every kilobyte here through the whole program; every single byte in the package's own tests.
    for at in (0..bytes.len()).step_by(1021).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let path = sandbox.path("changed.athanor");
        fs::write(&path, &changed).unwrap();
        let path = path.to_str().unwrap();
        let refused = sandbox.run(&["models", "verify", path]);
        assert_eq!(refused.status, 1, "byte {at} was changed and nobody noticed");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("changed.athanor"), "{}", refused.stdout);
        assert_eq!(sandbox.run(&["models", "import", path, "other"]).status, 1);
    }
    // The same for the registry's own copy: what was changed on the disk is not used.
    let sha256 = sandbox.ok(&["models", "show", "diabetes"])["sha256"].as_str().unwrap().to_owned();
    let own = sandbox.workspace().join("artifacts").join(&sha256[..2]).join(&sha256);
    let mut changed = fs::read(&own).unwrap();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&own, changed).unwrap();
    let table = samples().join("diabetes.csv");
    let to = sandbox.path("out.csv");
    let refused = sandbox.run(&["predict", "diabetes", table.to_str().unwrap(), "-o", to.to_str().unwrap()]);
    assert_eq!((refused.status, refused.json["error"]["code"].as_str()), (1, Some("corrupt")), "{}", refused.stdout);
    assert!(!to.exists());
}

#[test]
fn a_target_is_never_filled_and_a_code_stays_text() {
    let sandbox = Sandbox::new();
    // Half of the targets are missing; the codes look like numbers in some rows and like text in others.
    let row = |at: usize| {
        let y = if at.is_multiple_of(2) { (at * 5 + 100).to_string() } else { String::new() };
        let code = if at.is_multiple_of(4) { "SW1A".to_owned() } else { format!("0{}", 100 + at % 3) };
        format!("{at},{code},{y}\n")
    };
    let rows: String = (0..120).map(row).collect();
    sandbox.write("t.csv", &format!("x,code,y\n{rows}"));
    let flow = sandbox.write(
        "flow.json",
        r#"{"version":1,"name":"fill","nodes":[{"id":"open","kind":"table.open","params":{"path":"t.csv"}},{"id":"fill","kind":"prepare.fill"},
        {"id":"split","kind":"split"},{"id":"fit","kind":"train.linear","params":{"target":"y"}},{"id":"judge","kind":"evaluate"},
        {"id":"register","kind":"register","params":{"name":"codes"}}],
        "links":[{"from":"open.table","to":"fill.table"},{"from":"fill.table","to":"split.table"},{"from":"split.splits","to":"fit.splits"},
        {"from":"fit.model","to":"judge.model"},{"from":"split.splits","to":"judge.splits"},{"from":"fit.model","to":"register.model"}]}"#,
    );
    let run = sandbox.ok(&["run", flow.to_str().unwrap(), "--device", "cpu"]);
    let r2 = run["metrics"]["test/r2"].as_f64().unwrap();
    assert!(r2 > 0.95, "rows without a target were made up: R2 is {r2}");
    let log = sandbox.ok(&["runs", "log", run["run_id"].as_str().unwrap()]).to_string();
    assert!(log.contains("rows without a value are left out"), "{log}");
    // In this file every code could be read as a number, and there is no target.
    sandbox.write("ask.csv", "x,code\n10,0101\n20,0102\n");
    let (ask, out) = (sandbox.path("ask.csv"), sandbox.path("out.csv"));
    let predicted = sandbox.ok(&["predict", "codes", ask.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(predicted["n_rows"], 2);
    assert!(fs::read_to_string(&out).unwrap().starts_with("x,code,value\n10,0101,"));
    let onto_itself = sandbox.run(&["predict", "codes", ask.to_str().unwrap(), "-o", ask.to_str().unwrap()]);
    assert_eq!(onto_itself.status, 2, "{}", onto_itself.stdout);
}

#[test]
fn a_damaged_registered_package_is_not_promoted_and_can_be_imported_again() {
    let sandbox = Sandbox::new();
    let run = sandbox.ok(&["run", sample("diabetes").to_str().unwrap(), "--device", "cpu", "--set", "train.epochs=5"]);
    assert_eq!(run["version"], 1);
    let file = sandbox.path("good.athanor");
    sandbox.ok(&["models", "export", "diabetes", "-o", file.to_str().unwrap()]);
    let sha256 = sandbox.ok(&["models", "show", "diabetes"])["sha256"].as_str().unwrap().to_owned();
    let own = sandbox.workspace().join("artifacts").join(&sha256[..2]).join(&sha256);
    fs::write(&own, "damaged").unwrap();
    let refused = sandbox.run(&["models", "alias", "diabetes", "production", "1"]);
    assert_eq!((refused.status, refused.json["error"]["code"].as_str()), (1, Some("corrupt")), "{}", refused.stdout);
    sandbox.ok(&["models", "import", file.to_str().unwrap(), "diabetes"]);
    sandbox.ok(&["models", "alias", "diabetes", "production", "1"]);
}

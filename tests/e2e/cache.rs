//! Work that is done is not done again.

use serde_json::Value;

use crate::sandbox::{Sandbox, sample, states};

/// Nodes whose work was done in this run.
fn worked(run: &Value) -> Vec<&str> {
    let steps = run["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["state"] == "done").map(|step| step["node"].as_str().unwrap()).collect()
}

#[test]
fn a_second_run_does_nothing_and_a_changed_parameter_reruns_its_dependents_alone() {
    let sandbox = Sandbox::new();
    let wine = sample("wine");
    let wine = wine.to_str().unwrap();
    let quick = ["run", wine, "--device", "cpu", "--set", "linear.epochs=20", "--set", "trees.n_rounds=20"];
    let first = sandbox.ok(&quick);
    assert_eq!(
        worked(&first),
        ["open", "fill", "ratio", "split", "linear", "trees", "evaluate_linear", "evaluate_trees", "register"]
    );

    let second = sandbox.ok(&quick);
    assert_eq!(worked(&second), [""; 0], "{}", states(&second));
    let cached = second["steps"].as_array().unwrap().iter().filter(|step| step["state"] == "cached").count();
    assert_eq!(cached, 9);
    // What the machine did meanwhile (`system/…`) belongs to the run that did the work.
    let learned = |run: &Value| {
        let all = run["metrics"].as_object().unwrap().iter();
        all.filter(|(key, _)| !key.starts_with("system/"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(learned(&second), learned(&first), "a run that reuses everything still shows its results");
    assert!(learned(&second).len() > 20);
    assert_eq!(
        (&second["model"], &second["version"]),
        (&first["model"], &first["version"]),
        "the same package is the same version"
    );

    let third =
        sandbox.ok(&["run", wine, "--device", "cpu", "--set", "linear.epochs=20", "--set", "trees.n_rounds=30"]);
    assert_eq!(worked(&third), ["trees", "evaluate_trees"]);

    let fourth = sandbox.ok(&[
        "run",
        wine,
        "--device",
        "cpu",
        "--set",
        "linear.epochs=20",
        "--set",
        "trees.n_rounds=20",
        "--set",
        "ratio.expression=flavanoids * 2",
    ]);
    assert_eq!(worked(&fourth), ["ratio", "split", "linear", "trees", "evaluate_linear", "evaluate_trees", "register"]);
    assert_eq!(fourth["version"], 2);
}

#[test]
fn a_changed_file_is_new_work_and_a_moved_one_is_not() {
    let sandbox = Sandbox::new();
    let table =
        |n: i32| (0..60).fold("x,y\n".to_owned(), |text, at| text + &format!("{},{}\n", at * n, at * n * 2 + 1));
    let flow = |name: &str| {
        format!(
            r#"{{"version":1,"name":"f","nodes":[{{"id":"open","kind":"table.open","params":{{"path":"{name}"}}}},{{"id":"split","kind":"split"}}],"links":[{{"from":"open.table","to":"split.table"}}]}}"#
        )
    };
    sandbox.write("a/data.csv", &table(1));
    let a = sandbox.write("a/flow.json", &flow("data.csv"));
    assert_eq!(worked(&sandbox.ok(&["run", a.to_str().unwrap()])), ["open", "split"]);
    sandbox.write("b/data.csv", &table(1));
    let b = sandbox.write("b/flow.json", &flow("data.csv"));
    assert_eq!(worked(&sandbox.ok(&["run", b.to_str().unwrap()])), [""; 0]);
    sandbox.write("a/data.csv", &table(2));
    assert_eq!(worked(&sandbox.ok(&["run", a.to_str().unwrap()])), ["open", "split"]);
}

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

/// A table of 60 rows and a workflow that learns a line from it, in a folder.
fn line(sandbox: &Sandbox, folder: &str, nodes: &str, links: &str) -> String {
    let rows = (0..60).fold("x,y\n".to_owned(), |text, at| text + &format!("{at},{}\n", at * 5 + 100));
    sandbox.write(&format!("{folder}/line.csv"), &rows);
    let text = format!(
        r#"{{"version":1,"name":"line","nodes":[{{"id":"open","kind":"table.open","params":{{"path":"line.csv"}}}},
        {{"id":"split","kind":"split"}}{nodes}],"links":[{{"from":"open.table","to":"split.table"}}{links}]}}"#
    );
    sandbox.write(&format!("{folder}/flow.json"), &text).to_str().unwrap().to_owned()
}

/// A learner and its judge, under two names.
fn learner(name: &str, kind: &str) -> (String, String) {
    let nodes = format!(
        r#",{{"id":"{name}","kind":"{kind}","params":{{"target":"y"}}}},{{"id":"judge_{name}","kind":"evaluate"}}"#
    );
    let links = format!(
        r#",{{"from":"split.splits","to":"{name}.splits"}},{{"from":"split.splits","to":"judge_{name}.splits"}},{{"from":"{name}.model","to":"judge_{name}.model"}}"#
    );
    (nodes, links)
}

#[test]
fn results_follow_a_folder_that_was_moved() {
    let sandbox = Sandbox::new();
    let flow = line(&sandbox, "here", "", "");
    sandbox.ok(&["run", &flow]);
    std::fs::rename(sandbox.path("here"), sandbox.path("there")).unwrap();
    let moved = sandbox.path("there/flow.json");
    let run = sandbox.ok(&["run", moved.to_str().unwrap(), "--set", "split.test=0.3"]);
    assert_eq!(worked(&run), ["split"]);
}

#[test]
fn metrics_are_named_by_the_run_that_shows_them_and_not_by_the_one_that_made_them() {
    let sandbox = Sandbox::new();
    let (good, bad) = (learner("good", "train.linear"), learner("bad", "train.constant"));
    let run = |folder: &str, nodes: String, links: String| {
        let flow = line(&sandbox, folder, &nodes, &links);
        sandbox.ok(&["run", &flow, "--device", "cpu"])
    };
    let r2 = |run: &Value, key: &str| {
        run["metrics"][format!("test/{key}")].as_f64().unwrap_or_else(|| panic!("no {key}: {}", run["metrics"]))
    };
    let alone = r2(&run("good", good.0.clone(), good.1.clone()), "r2");
    let worse = r2(&run("bad", bad.0.clone(), bad.1.clone()), "r2");
    let both = run("both", good.0 + &bad.0, good.1 + &bad.1);
    assert_eq!(worked(&both), [""; 0], "both were done before");
    assert_eq!((r2(&both, "judge_good.r2"), r2(&both, "judge_bad.r2")), (alone, worse));
    assert!(alone > 0.9 && worse < 0.1, "{alone} {worse}");
}

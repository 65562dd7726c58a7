//! ONNX, against ONNX's own checker and ONNX Runtime: files that we write, and files that we serve.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::sandbox::{Done, PATIENCE, Running, Sandbox, done, sample, samples};

fn python(args: &[&str]) -> Done {
    let python = std::env::var_os("ATHANOR_TEST_PYTHON")
        .expect("ATHANOR_TEST_PYTHON names a Python with onnx and onnxruntime; cargo xtask test sets it");
    done(Command::new(python).arg("fixtures/onnx_client.py").args(args).output().unwrap())
}

/// Exports each model, predicts the table with it, and lets ONNX Runtime predict the same rows.
fn compare(sandbox: &Sandbox, table: &Path, models: &[&str]) -> Vec<(Value, Value)> {
    let table = table.to_str().unwrap();
    let mut args = vec!["compare".to_owned(), table.to_owned()];
    let mut exported = Vec::new();
    for model in models {
        let file = sandbox.path(&format!("{model}.onnx"));
        let predicted = sandbox.path(&format!("{model}.csv"));
        exported.push(sandbox.ok(&["models", "export", model, "--onnx", "-o", file.to_str().unwrap()]));
        sandbox.ok(&["predict", model, table, "-o", predicted.to_str().unwrap(), "--only"]);
        args.extend([file, predicted].map(|path| path.to_str().unwrap().to_owned()));
    }
    let done = python(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(done.status, 0, "{}\n{}", done.stdout, done.stderr);
    let compared = done.json["compared"].as_array().unwrap().clone();
    for (model, compared) in models.iter().zip(&compared) {
        assert!(compared["max_relative"].as_f64().unwrap() < 1e-5, "{model}: {compared}");
        assert_eq!(compared["n_wrong_labels"], 0, "{model}: {compared}");
        assert!(compared["n_rows"].as_u64().unwrap() > 50, "{model}: {compared}");
    }
    exported.into_iter().zip(compared).collect()
}

/// A table with every type, and gaps in all columns but `visits` and `rooms`.
fn people() -> String {
    let mut text = "age,height,city,street,member,joined,seen,visits,rooms,spend,plan\n".to_owned();
    let mut state = 11u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for row in 0..400u64 {
        let gap = |draw: u64, cell: String| if draw == 0 { String::new() } else { cell };
        let age = 18 + draw(60);
        let height = 1.5 + draw(500) as f64 / 1000.0;
        let city = ["Ulm", "Köln", "Bad Tölz", "a \"b\"", "x, y"][draw(5) as usize];
        let street = draw(30);
        let (month, day, visits, rooms) = (1 + draw(12), 1 + draw(28), draw(40), 1 + draw(4));
        let member = draw(2) == 1;
        let spend = age as f64 * 1.7 + height * 40.0 + visits as f64 * 3.0 - rooms as f64 * 11.5 + draw(20) as f64;
        let plan = ["basic", "gold", "plus"][((age + street + u64::from(member) * 20) / 34).min(2) as usize];
        let cells = [
            gap(draw(9), age.to_string()),
            gap(draw(11), format!("{height:.3}")),
            gap(draw(8), format!("\"{}\"", city.replace('"', "\"\""))),
            gap(draw(10), format!("street {street}")),
            gap(draw(7), member.to_string()),
            gap(draw(12), format!("20{:02}-{month:02}-{day:02}", 10 + row % 14)),
            gap(draw(13), format!("2024-{month:02}-{day:02}T{:02}:{:02}:30", row % 24, row % 60)),
            visits.to_string(),
            rooms.to_string(),
            format!("{spend:.2}"),
            plan.to_owned(),
        ];
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text
}

/// Opens a table, prepares it, splits it, and trains and registers several models under the names of their nodes.
fn flow(
    table: &Path,
    prepare: &[(&str, Value)],
    target: &str,
    features: &Value,
    learners: &[(&str, &str, Value)],
) -> String {
    let mut nodes = vec![json!({ "id": "open", "kind": "table.open", "params": { "path": table } })];
    let mut links = Vec::new();
    let mut last = "open".to_owned();
    for (at, (kind, params)) in prepare.iter().enumerate() {
        let id = format!("step_{at}");
        nodes.push(json!({ "id": id, "kind": kind, "params": params }));
        links.push(json!({ "from": format!("{last}.table"), "to": format!("{id}.table") }));
        last = id;
    }
    nodes.push(json!({ "id": "split", "kind": "split" }));
    links.push(json!({ "from": format!("{last}.table"), "to": "split.table" }));
    for (name, kind, own) in learners {
        let mut params = json!({ "target": target, "features": features });
        params.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        nodes.push(json!({ "id": name, "kind": kind, "params": params }));
        nodes.push(json!({ "id": format!("keep_{name}"), "kind": "register", "params": { "name": name } }));
        links.push(json!({ "from": "split.splits", "to": format!("{name}.splits") }));
        links.push(json!({ "from": format!("{name}.model"), "to": format!("keep_{name}.model") }));
    }
    for node in &mut nodes {
        node["position"] = json!([0.0, 0.0]);
    }
    json!({ "version": 1, "name": "people", "nodes": nodes, "links": links }).to_string()
}

fn derive(column: &str, expression: &str) -> (&'static str, Value) {
    ("prepare.derive", json!({ "column": column, "expression": expression }))
}

fn activation(function: &str) -> Value {
    json!({ "layer": "activation", "function": function })
}

fn run(sandbox: &Sandbox, flow: &str) -> Value {
    let file = sandbox.write("flow.json", flow);
    sandbox.ok(&["run", file.to_str().unwrap(), "--device", "cpu"])
}

/// Layers of every kind that takes a flat input.
fn flat_network() -> Value {
    let layers = json!([
        { "layer": "linear", "n_out": 12 }, { "layer": "batch_norm" }, activation("gelu"),
        { "layer": "linear", "n_out": 10 }, { "layer": "layer_norm" }, activation("silu"),
        { "layer": "dropout", "probability": 0.1 },
        { "layer": "linear", "n_out": 8 }, activation("leaky_relu"),
        { "layer": "linear", "n_out": 8 }, activation("tanh"),
        { "layer": "linear", "n_out": 8 }, activation("sigmoid"), { "layer": "flatten" },
        { "layer": "output" }
    ]);
    json!({ "version": 1, "layers": layers })
}

#[test]
fn every_learner_on_every_type_of_column_answers_the_same_in_onnx_runtime() {
    let sandbox = Sandbox::new();
    let table = sandbox.write("people.csv", &people());
    let prepare = [
        ("prepare.cast", json!({ "columns": ["rooms"], "to": "text" })),
        (
            "prepare.derive",
            json!({ "column": "bulk", "expression": "height * 1.5 - CAST(visits AS DOUBLE) / 4 + ABS(-height)" }),
        ),
        derive("group", "CASE WHEN age < 30 THEN 'young' WHEN age < 60 THEN 'middle' WHEN age >= 60 THEN 'old' END"),
        derive("south", "city IN ('Ulm', 'Bad Tölz') OR street = 'street 3' AND NOT member"),
        ("prepare.fill", json!({ "columns": ["height"], "with": "median" })),
        ("prepare.fill", json!({ "columns": ["city"], "with": "value", "value": "Ulm" })),
    ];
    let features = json!([
        "age", "height", "bulk", "city", "street", "member", "joined", "seen", "visits", "rooms", "group", "south"
    ]);
    let learners = |of: &str| {
        let named = |name: &str| format!("{of}_{name}");
        [
            (named("constant"), "train.constant", json!({})),
            (named("linear"), "train.linear", json!({ "epochs": 20 })),
            (named("mlp"), "train.mlp", json!({ "epochs": 10 })),
            (named("network"), "train.network", json!({ "epochs": 10, "network": flat_network() })),
            (named("trees"), "train.trees", json!({ "n_rounds": 40 })),
        ]
    };
    for (of, target) in [("plan", "plan"), ("spend", "spend")] {
        let learners = learners(of);
        let learners: Vec<(&str, &str, Value)> =
            learners.iter().map(|(name, kind, params)| (name.as_str(), *kind, params.clone())).collect();
        run(&sandbox, &flow(&table, &prepare, target, &features, &learners));
        let names: Vec<&str> = learners.iter().map(|learner| learner.0).collect();
        for (exported, compared) in compare(&sandbox, &table, &names) {
            let model = exported["model"].as_str().unwrap();
            assert_eq!(compared["properties"]["model"], format!("{model}:1"));
            assert_eq!(compared["properties"]["package_sha256"].as_str().unwrap().len(), 64);
            if !model.ends_with("constant") {
                assert!(compared["n_distinct"].as_u64().unwrap() > 50, "{model} says always the same: {compared}");
            }
            // What was not run on the spot says why.
            let check = &exported["check"];
            let is_told = check["reason"].is_string() && check["checked"] == false;
            assert!(check["checked_rows"].as_u64().unwrap() > 10 || is_told, "{model}: {check}");
            if model.ends_with("linear") {
                assert_eq!(check["checked"], true, "{model}: {check}");
                let (share, most) =
                    (check["max_rel_difference"].as_f64().unwrap(), check["tolerance"].as_f64().unwrap());
                assert!(share <= most && most < 1e-3, "{model}: {check}");
                assert!(check["max_abs_difference"].as_f64().unwrap() >= 0.0, "{model}: {check}");
            }
        }
    }
    // The same version again gives the same bytes.
    let again = sandbox.path("again.onnx");
    sandbox.ok(&["models", "export", "plan_trees", "--onnx", "-o", again.to_str().unwrap()]);
    assert_eq!(fs::read(again).unwrap(), fs::read(sandbox.path("plan_trees.onnx")).unwrap());
}

#[test]
fn the_samples_and_networks_on_images_answer_the_same_in_onnx_runtime() {
    let sandbox = Sandbox::new();
    sandbox.ok(&[
        "run",
        sample("wine").to_str().unwrap(),
        "--device",
        "cpu",
        "--set",
        "linear.epochs=30",
        "--set",
        "trees.n_rounds=10",
    ]);
    compare(&sandbox, &samples().join("wine.csv"), &["wine"]);
    let layers = json!([
        { "layer": "conv2d", "n_out": 4, "kernel": 3, "stride": 1, "padding": 1 }, { "layer": "batch_norm" },
        activation("relu"), { "layer": "layer_norm" },
        { "layer": "pool2d", "kind": "mean", "kernel": 2, "stride": 2 },
        { "layer": "conv2d", "n_out": 6, "kernel": 2, "stride": 1, "padding": 0 }, activation("gelu"),
        { "layer": "pool2d", "kind": "max", "kernel": 2, "stride": 1 },
        { "layer": "global_mean_pool" }, { "layer": "output" }
    ]);
    let network = json!({ "version": 1, "image": [1, 8, 8], "layers": layers });
    let learners = [
        ("cnn", "train.cnn", json!({ "image": [1, 8, 8], "channels": [4, 6], "hidden": 16, "epochs": 1 })),
        ("pools", "train.network", json!({ "network": network, "epochs": 1 })),
    ];
    let table = samples().join("digits.csv");
    run(&sandbox, &flow(&table, &[], "digit", &json!([]), &learners));
    for (exported, _) in compare(&sandbox, &table, &["cnn", "pools"]) {
        assert_eq!(exported["check"]["checked"], true, "{exported}");
    }
}

#[test]
fn what_columns_are_derived_with_is_in_onnx_runtime() {
    let sandbox = Sandbox::new();
    let table = sandbox.write("people.csv", &people());
    let derived = [
        ("division", "visits / 7 + (visits + 3) / rooms + visits // 7 + visits % rooms + height % 0.3"),
        ("rounding", "ROUND(height, 1) + ROUND(height * 10) + TRUNC(height * 7) + FLOOR(height * 9) - CEIL(age / 7)"),
        (
            "functions",
            "EXP(height) + LN(visits + 1) + LOG10(visits + 1) + LOG(rooms, 3) + SQRT(age) + POW(height, 2.5)",
        ),
        ("circle", "SIN(age) + COSD(visits) + DEGREES(height) - RADIANS(visits) + POW(rooms, 3) + ABS(age - 40)"),
        ("signs", "SIGN(age - 40) + SIGN(height - 1.75) - LEAST(age, visits) + GREATEST(rooms, visits, 3)"),
        ("filled", "COALESCE(height, age / 40, 1.5) + IFNULL(age, 0) - NULLIF(rooms, 2)"),
        ("casts", "CAST(height * 100 AS INT) + CAST(member AS BIGINT) + CAST(rooms AS DOUBLE) / 3"),
        ("between", "age BETWEEN 20 AND visits + 20 AND height NOT BETWEEN 1.6 AND 1.8"),
        ("unsure", "member AND height > 1.7 OR age IS NULL AND NOT ((visits <> 3) XOR member)"),
        ("listed", "rooms IN (1, 3) OR age NOT IN (20, 30, 40) OR CAST(rooms AS VARCHAR) = '2'"),
        ("place", "CASE city WHEN 'Ulm' THEN 'U' WHEN 'Köln' THEN 'K' ELSE street END"),
        ("tall", "CASE WHEN height > 1.75 THEN 'tall' WHEN SQRT(height - 1.6) > 5 THEN 'short' END"),
        ("same", "COALESCE(city, 'none') <> 'none' AND street IS DISTINCT FROM 'street 4'"),
        ("month", "EXTRACT(YEAR FROM joined) * 12 + EXTRACT(MONTH FROM joined) + EXTRACT(DAY FROM joined) / 31"),
        ("weekday", "EXTRACT(DOW FROM seen) + EXTRACT(DOY FROM seen) * 10 + EXTRACT(QUARTER FROM joined)"),
        (
            "clock",
            "CAST(EXTRACT(HOUR FROM seen) AS BIGINT) * 3600 + CAST(EXTRACT(MINUTE FROM seen) AS INT) * 60 + EXTRACT(SECOND FROM seen)",
        ),
        (
            "late",
            "seen > TIMESTAMP '2024-06-01 12:00:00' OR CAST(seen AS DATE) < joined OR joined IN (DATE '2012-03-04')",
        ),
        ("soon", "seen - CAST(joined AS TIMESTAMP) > seen - seen AND COALESCE(joined, DATE '2020-01-01') = joined"),
    ];
    let prepare: Vec<(&str, Value)> = derived.iter().map(|(column, expression)| derive(column, expression)).collect();
    let features = json!(derived.map(|(column, _)| column));
    for target in ["plan", "spend"] {
        let names = [format!("{target}_line"), format!("{target}_forest")];
        let learners = [
            (names[0].as_str(), "train.linear", json!({ "epochs": 10 })),
            (names[1].as_str(), "train.trees", json!({ "n_rounds": 30 })),
        ];
        run(&sandbox, &flow(&table, &prepare, target, &features, &learners));
        for (exported, compared) in compare(&sandbox, &table, &[&names[0], &names[1]]) {
            assert!(compared["n_distinct"].as_u64().unwrap() > 50, "it says always the same: {compared}");
            assert_eq!(exported["check"]["checked"], true, "{exported}");
        }
    }
}

#[test]
fn what_onnx_cannot_express_is_named_with_the_way_out() {
    let sandbox = Sandbox::new();
    let table = sandbox.write("people.csv", &people());
    let features = json!(["age", "made"]);
    let cases = [
        ("word", "UPPER(city)", "cannot be exported"),
        ("pattern", "city LIKE 'U%'", "looks into texts"),
        ("week", "EXTRACT(WEEK FROM joined)", "\"week\" of a date"),
    ];
    for (name, expression, expect) in cases {
        let prepare = [("prepare.derive", json!({ "column": "made", "expression": expression }))];
        run(&sandbox, &flow(&table, &prepare, "plan", &features, &[(name, "train.trees", json!({ "n_rounds": 3 }))]));
        let file = sandbox.path("refused.onnx");
        let refused = sandbox.run(&["models", "export", name, "--onnx", "-o", file.to_str().unwrap()]);
        assert_eq!(refused.status, 1, "{name}: {refused:?}");
        let error = &refused.json["error"];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("\"made\"") && message.contains(expect), "{name}: {}", refused.stdout);
        assert!(error["code"] == "unsupported" && error["hint"].is_string(), "{name}: {}", refused.stdout);
        assert!(!file.exists(), "a refused model was written");
    }
}

struct Serving {
    _running: Running,
    url: String,
    key: String,
}

fn serve(sandbox: &Sandbox) -> Serving {
    let key = sandbox.ok(&["keys", "create", "--name", "test"])["key"].as_str().unwrap().to_owned();
    let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0"]);
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    Serving { _running: running, url: line["endpoint"].as_str().unwrap().to_owned(), key }
}

fn is_close(ours: &Value, theirs: &Value) -> bool {
    let (Some(ours), Some(theirs)) = (ours.as_f64(), theirs.as_f64()) else { return false };
    (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1e-2)
}

#[test]
fn files_from_elsewhere_are_served_and_answer_as_onnx_runtime_does() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("made");
    fs::create_dir(&folder).unwrap();
    let made = python(&["make", folder.to_str().unwrap()]);
    assert_eq!(made.status, 0, "{}", made.stderr);
    let made = made.json.as_object().unwrap().clone();
    for (name, one) in &made {
        let file = one["file"].as_str().unwrap();
        let imported = sandbox.ok(&["models", "import", file, "--name", name]);
        assert_eq!((&imported["version"], &imported["existed"]), (&json!(1), &json!(false)), "{imported}");
        let again = sandbox.ok(&["models", "import", file, name]);
        assert_eq!((&again["version"], &again["existed"]), (&json!(1), &json!(true)), "{again}");
        sandbox.ok(&["models", "alias", name, "production", "1"]);
    }
    // The package carries it to others as any model.
    let package = sandbox.path("mixed.athanor");
    sandbox.ok(&["models", "export", "mixed", "-o", package.to_str().unwrap()]);
    assert_eq!(sandbox.ok(&["models", "verify", package.to_str().unwrap()])["ok"], true);
    let serving = serve(&sandbox);
    athanor_serve::use_ring();
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let ask = |name: &str, body: &Value| {
        let url = format!("{}/v1/models/{name}/predict", serving.url);
        client.post(url).bearer_auth(&serving.key).json(body).send().unwrap()
    };
    for (name, one) in &made {
        let response = ask(name, &json!({ "rows": one["rows"] }));
        assert_eq!(response.status(), 200, "{name}: {}", response.text().unwrap());
        let answer: Value = response.json().unwrap();
        let ours = answer["predictions"].as_array().unwrap();
        assert_eq!(ours.len(), 20, "{name}");
        for (row, ours) in ours.iter().enumerate() {
            let answers = &one["answers"];
            if name == "regression" {
                assert!(is_close(&ours["value"], &answers["y"][row][0]), "{name}, row {row}: {ours} {answers}");
                continue;
            }
            let classes: &[&str] = match name.as_str() {
                "mixed" => &["dull", "bright"],
                "trees" => &["ham", "spam", "eggs"],
                _ => &["0", "1", "2"],
            };
            for (at, class) in classes.iter().enumerate() {
                let theirs = &answers["probabilities"][row][at];
                assert!(is_close(&ours["probabilities"][class], theirs), "{name}, row {row}: {ours} {theirs}");
            }
            let label = match &answers["label"][row] {
                Value::String(label) => label.clone(),
                Value::Number(label) => label.to_string(),
                _ => continue,
            };
            assert_eq!(ours["label"], json!(label), "{name}, row {row}");
        }
    }
    // The signature's rules hold as for our own models.
    for (row, expect) in [
        (json!({ "colour": "red", "count": 1 }), "wet"),
        (json!({ "colour": "red", "count": 1.5, "wet": true }), "count"),
        (json!({ "colour": null, "count": 1, "wet": true }), "colour"),
    ] {
        let response = ask("mixed", &json!({ "row": row }));
        assert_eq!(response.status(), 400, "{row}");
        let text = response.text().unwrap();
        assert!(text.contains(expect), "{row}: {text}");
    }
}

#[test]
fn hostile_files_are_refused_with_a_reason_and_nothing_of_them_runs() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("hostile");
    fs::create_dir(&folder).unwrap();
    let made = python(&["hostile", folder.to_str().unwrap()]);
    assert_eq!(made.status, 0, "{}", made.stderr);
    let cases = [
        ("blow", "values between two nodes"),
        ("bomb", "of constants"),
        ("control", "ConstantOfShape"),
        ("cyclic", "used before it is made"),
        ("domain", "com.example"),
        ("empty", "the file is empty"),
        ("external", "another file"),
        ("external_absolute", "another file"),
        ("fixed", "any number of rows"),
        ("giant", "values"),
        ("million", "nodes"),
        ("negative", "-2"),
        ("nested", "nested"),
        ("old_pickle", "pickle"),
        ("operator", "EvalPython"),
        ("pickle", "pickle"),
        ("rank", "sides"),
        ("short", "values"),
        ("text", "ONNX"),
        ("truncated", "ends too early"),
        ("twice", "made twice"),
        ("unmade", "no node makes"),
        ("version", "format version 99"),
        ("zipmap", "zipmap"),
    ];
    let files: Vec<String> =
        made.json["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().replace(".onnx", "")).collect();
    assert_eq!(files, cases.map(|case| case.0));
    for (name, expect) in cases {
        let file = folder.join(format!("{name}.onnx"));
        let refused = sandbox.run(&["models", "import", file.to_str().unwrap(), "bad"]);
        assert_eq!(refused.status, 1, "{name}: {refused:?}");
        let error = refused.json["error"].to_string();
        assert!(error.to_lowercase().contains(&expect.to_lowercase()), "{name}: {error}");
        assert!(error.contains(&format!("{name}.onnx")) && !refused.stderr.contains("panicked"), "{name}: {refused:?}");
    }
    assert!(!folder.join("the pickle ran").exists());
    assert_eq!(sandbox.ok(&["models", "list"])["models"], json!([]));
}

//! The endpoint, asked by clients that nobody here wrote and by hand.

use std::{fs, path::Path, process::Command};

use athanor_protocol::explanation::{Explanation, ExplanationMethod};
use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Running, Sandbox, done, sample, samples};

/// A served workspace: its process, its URL, its address for gRPC where it has one, and a key.
struct Serving {
    running: Running,
    url: String,
    grpc: String,
    key: String,
}

fn serve(sandbox: &Sandbox) -> Serving {
    serve_with(sandbox, &[])
}

fn serve_with(sandbox: &Sandbox, more: &[&str]) -> Serving {
    let key = sandbox.ok(&["keys", "create", "--name", "test"])["key"].as_str().unwrap().to_owned();
    let mut running = sandbox.start(&[&["serve", "--bind", "127.0.0.1:0"], more].concat());
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    Serving { running, url: text("endpoint"), grpc: text("grpc"), key }
}

fn client() -> reqwest::blocking::Client {
    athanor_serve::use_ring();
    reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

fn wine(sandbox: &Sandbox) -> Value {
    sandbox.ok(&[
        "run",
        sample("wine").to_str().unwrap(),
        "--device",
        "cpu",
        "--set",
        "linear.epochs=30",
        "--set",
        "trees.n_rounds=20",
    ])
}

/// The predictions that `athanor predict` writes for the wine table: labels, and probabilities by row.
fn predicted(sandbox: &Sandbox) -> (Vec<String>, Vec<Vec<f64>>) {
    let to = sandbox.path("predicted.csv");
    let table = samples().join("wine.csv");
    sandbox.ok(&["predict", "wine@production", table.to_str().unwrap(), "-o", to.to_str().unwrap(), "--only"]);
    let text = fs::read_to_string(to).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let mut cells = line.split(',');
        (cells.next().unwrap().to_owned(), cells.map(|cell| cell.parse().unwrap()).collect())
    });
    rows.unzip()
}

/// Runs Triton's clients, over HTTP and gRPC, or over gRPC with TLS alone, and compares every number with `predict`.
fn compare_with_triton(sandbox: &Sandbox, serving: &Serving, roots: Option<&Path>, modes: &[&str]) -> Value {
    let (labels, probabilities) = predicted(sandbox);
    let python = std::env::var_os("ATHANOR_TEST_PYTHON")
        .expect("ATHANOR_TEST_PYTHON names a Python with tritonclient; cargo xtask test sets it");
    let script = "fixtures/triton_client.py";
    let (_, url) = serving.url.split_once("://").unwrap();
    let mut command = Command::new(python);
    command.args([script, url, "wine"]).arg(samples().join("wine.csv")).args(["cultivar", &serving.grpc]);
    if let Some(roots) = roots {
        command.env("ATHANOR_ROOTS", roots);
    }
    let done = done(command.env("ATHANOR_KEY", &serving.key).output().unwrap());
    assert_eq!(done.status, 0, "{}", done.stderr);
    for mode in modes {
        let answer = &done.json["answers"][mode];
        let theirs: Vec<&str> =
            answer["label"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
        assert_eq!(theirs, labels, "{mode}");
        for (row, (theirs, ours)) in answer["probabilities"].as_array().unwrap().iter().zip(&probabilities).enumerate()
        {
            for (theirs, ours) in theirs.as_array().unwrap().iter().zip(ours) {
                assert_eq!(theirs.as_f64().unwrap(), *ours, "{mode}, row {row}");
            }
        }
    }
    let refused = ["UNAUTHENTICATED", "UNAUTHENTICATED", "NOT_FOUND", "INVALID_ARGUMENT", "UNIMPLEMENTED"];
    assert_eq!(done.json["refused_grpc"], json!(refused.map(|name| format!("StatusCode.{name}"))));
    done.json
}

#[test]
fn tritons_own_clients_get_the_numbers_of_predict() {
    let sandbox = Sandbox::new();
    wine(&sandbox);
    let serving = serve_with(&sandbox, &["--grpc", "127.0.0.1:0"]);
    let said = compare_with_triton(&sandbox, &serving, None, &["binary", "json", "grpc", "grpc typed"]);
    assert!(!said["refused"].is_null(), "a wrong key was accepted");
}

#[test]
fn tritons_client_speaks_grpc_over_tls() {
    let sandbox = Sandbox::new();
    wine(&sandbox);
    let serving = serve_with(&sandbox, &["--grpc", "127.0.0.1:0", "--tls"]);
    assert!(serving.url.starts_with("https://127.0.0.1:"), "{}", serving.url);
    let roots = sandbox.workspace().join("keys/tls.crt");
    compare_with_triton(&sandbox, &serving, Some(&roots), &["grpc", "grpc typed"]);
}

/// Checks an explanation of the first row of the wine table: thirteen columns, so it is sampled.
fn is_explained(answer: &Value, row: &serde_json::Map<String, Value>, predictions: &Value) {
    assert_eq!(&answer["predictions"], predictions, "{answer}");
    let found: Explanation = serde_json::from_value(answer["explanations"][0].clone()).unwrap();
    assert_eq!((found.class.as_deref(), found.method), (Some("class_0"), ExplanationMethod::Sampled));
    let sum: f64 = found.contributions.iter().map(|one| one.contribution).sum();
    assert!((found.base + sum - found.value).abs() < 1e-9, "{found:?}");
    let said = predictions[0]["probabilities"]["class_0"].as_f64().unwrap();
    assert!((found.value - said).abs() < 1e-6, "{found:?} {said}");
    let columns: Vec<(&String, &Value)> = found.contributions.iter().map(|one| (&one.column, &one.value)).collect();
    assert_eq!(columns, row.iter().collect::<Vec<_>>(), "in the order of the request, with its values");
    // It is a wine of the first kind because of its alcohol and its proline, as everybody finds who looks at this table.
    let of = |name: &str| found.contributions.iter().find(|one| one.column == name).unwrap().contribution;
    assert!(of("alcohol") > 0.02 && of("proline") > 0.05, "{found:?}");
}

#[test]
fn named_columns_in_named_outputs_out_and_only_with_a_key() {
    let sandbox = Sandbox::new();
    wine(&sandbox);
    let serving = serve(&sandbox);
    let client = client();
    let predict = format!("{}/v1/models/wine/predict", serving.url);
    let text = fs::read_to_string(samples().join("wine.csv")).unwrap();
    let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let row: serde_json::Map<String, Value> = names
        .iter()
        .zip(text.lines().nth(1).unwrap().split(','))
        .filter(|(name, _)| **name != "cultivar")
        .map(|(name, value)| ((*name).to_owned(), json!(value.parse::<f64>().unwrap())))
        .collect();
    let ask = |body: Value| client.post(&predict).bearer_auth(&serving.key).json(&body).send().unwrap();

    let answer: Value = ask(json!({ "row": row })).json().unwrap();
    let (labels, probabilities) = predicted(&sandbox);
    assert_eq!(answer["predictions"][0]["label"], json!(labels[0]), "{answer}");
    assert_eq!(answer["predictions"][0]["probabilities"]["class_0"].as_f64(), Some(probabilities[0][0]));
    assert_eq!(answer.get("explanations"), None);
    is_explained(&ask(json!({ "row": row, "explain": true })).json().unwrap(), &row, &answer["predictions"]);

    assert_eq!(client.post(&predict).json(&json!({ "row": row })).send().unwrap().status(), 401);
    assert_eq!(client.get(format!("{}/v2/models/wine", serving.url)).send().unwrap().status(), 401);
    assert_eq!(client.get(format!("{}/v2/health/live", serving.url)).send().unwrap().status(), 200);
    let foreign = client.get(format!("{}/v2/health/live", serving.url)).header("Host", "evil.example").send().unwrap();
    assert!(foreign.status().is_client_error(), "a foreign host name was accepted");
    let origin = client
        .post(&predict)
        .bearer_auth(&serving.key)
        .header("Origin", "https://evil.example")
        .json(&json!({ "row": row }))
        .send()
        .unwrap();
    assert_eq!(origin.status(), 403);

    let mut short = row.clone();
    short.remove("hue");
    let missing = ask(json!({ "row": short }));
    assert_eq!(missing.status(), 400);
    assert!(missing.text().unwrap().contains("hue"));
    assert_eq!(ask(json!({ "row": 3 })).status(), 400);
}

#[test]
fn a_moved_alias_and_a_revoked_key_take_effect_while_it_serves() {
    let sandbox = Sandbox::new();
    let run = wine(&sandbox);
    let mut serving = serve(&sandbox);
    let client = client();
    let version = |serving: &Serving| {
        let answer = client.get(format!("{}/v1/models", serving.url)).bearer_auth(&serving.key).send().unwrap();
        answer.json::<Value>().unwrap()["models"][0]["version"].as_u64()
    };
    assert_eq!(version(&serving), Some(1));
    sandbox.ok(&[
        "models",
        "register",
        run["run_id"].as_str().unwrap(),
        "wine",
        "--node",
        "trees",
        "--alias",
        "production",
    ]);
    let url = serving.url.clone();
    let key = serving.key.clone();
    serving.running.wait_until("version 2 is served", || {
        let answer = client.get(format!("{url}/v1/models")).bearer_auth(&key).send().unwrap();
        (answer.json::<Value>().unwrap()["models"][0]["version"] == 2).then_some(())
    });
    let id = sandbox.ok(&["keys", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    sandbox.ok(&["keys", "revoke", &id]);
    serving.running.wait_until("the revoked key is refused", || {
        (client.get(format!("{url}/v1/models")).bearer_auth(&key).send().unwrap().status() == 401).then_some(())
    });
    // The key's secret is nowhere in the workspace.
    let secret = key.rsplit('_').next().unwrap().as_bytes().to_vec();
    for name in ["athanor.db", "athanor.db-wal"] {
        let bytes = fs::read(sandbox.workspace().join(name)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name} holds the key");
    }
}

#[test]
fn a_public_address_without_tls_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let done = sandbox.run(&["serve", "--bind", "0.0.0.0:0"]);
    assert_eq!((done.status, done.json["error"]["code"].as_str()), (1, Some("permission_denied")), "{}", done.stdout);
}

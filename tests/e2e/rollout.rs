//! Rollouts end to end: real versions on a real endpoint under real load, and the way back when the new one is bad.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use athanor_store::{PageRequest, SqliteStore, Store};
use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Running, Sandbox};

/// A table whose target is the double of `x`; every code is a letter and a number.
fn table(sandbox: &Sandbox) {
    let mut text = "x,code,y\n".to_owned();
    for n in 0..200 {
        writeln!(text, "{}.5,a{},{}", n % 50, n % 7, 2 * (n % 50) + 1).unwrap();
    }
    sandbox.write("t.csv", &text);
}

/// Trains a version and registers it. With a derived column that reads the number out of the code, it fails on every
/// code that has none: such a version is registered, verified and loaded, and shows its fault only in the traffic.
fn train(sandbox: &Sandbox, name: &str, derive: bool, epochs: u32) -> Value {
    let derived = r#"{"id":"derive","kind":"prepare.derive","params":{"column":"n","expression":"CAST(SUBSTR(code, 2) AS BIGINT)"}},"#;
    let (node, link) = if derive {
        (derived, r#"{"from":"open.table","to":"derive.table"},{"from":"derive.table","to":"split.table"}"#)
    } else {
        ("", r#"{"from":"open.table","to":"split.table"}"#)
    };
    let text = format!(
        r#"{{"version":1,"name":"{name}","nodes":[{{"id":"open","kind":"table.open","params":{{"path":"t.csv"}}}},{node}
        {{"id":"split","kind":"split"}},{{"id":"fit","kind":"train.linear","params":{{"target":"y","epochs":{epochs}}}}},
        {{"id":"judge","kind":"evaluate"}},{{"id":"register","kind":"register","params":{{"name":"double"}}}}],
        "links":[{link},{{"from":"split.splits","to":"fit.splits"}},{{"from":"fit.model","to":"judge.model"}},
        {{"from":"split.splits","to":"judge.splits"}},{{"from":"fit.model","to":"register.model"}}]}}"#
    );
    let flow = sandbox.write(&format!("{name}.json"), &text);
    sandbox.ok(&["run", flow.to_str().unwrap(), "--device", "cpu"])
}

/// Trains a version that computes so many columns anew for every row, each of the one before: it says the same as
/// another one and takes as many times longer.
fn train_slow(sandbox: &Sandbox, n_columns: usize) -> Value {
    let (mut nodes, mut links) = (String::new(), String::new());
    let mut before = "open".to_owned();
    for n in 0..n_columns {
        let from = if n == 0 { "x".to_owned() } else { format!("d{}", n - 1) };
        let params = format!(r#"{{"column":"d{n}","expression":"{from} + 1.0"}}"#);
        write!(nodes, r#"{{"id":"derive{n}","kind":"prepare.derive","params":{params}}},"#).unwrap();
        write!(links, r#"{{"from":"{before}.table","to":"derive{n}.table"}},"#).unwrap();
        before = format!("derive{n}");
    }
    let text = format!(
        r#"{{"version":1,"name":"slow","nodes":[{{"id":"open","kind":"table.open","params":{{"path":"t.csv"}}}},{nodes}
        {{"id":"split","kind":"split"}},{{"id":"fit","kind":"train.linear","params":{{"target":"y","epochs":5}}}},
        {{"id":"register","kind":"register","params":{{"name":"double"}}}}],
        "links":[{links}{{"from":"{before}.table","to":"split.table"}},{{"from":"split.splits","to":"fit.splits"}},
        {{"from":"fit.model","to":"register.model"}}]}}"#
    );
    let flow = sandbox.write("slow.json", &text);
    sandbox.ok(&["run", flow.to_str().unwrap(), "--device", "cpu"])
}

struct Serving {
    running: Running,
    url: String,
    key: String,
}

fn serve(sandbox: &Sandbox) -> Serving {
    let key = sandbox.ok(&["keys", "create", "--name", "load"])["key"].as_str().unwrap().to_owned();
    let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--no-ui"]);
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    Serving { running, url: line["endpoint"].as_str().unwrap().to_owned(), key }
}

fn client() -> reqwest::blocking::Client {
    athanor_serve::use_ring();
    reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// What came back under load.
#[derive(Default)]
struct Seen {
    n_answers: AtomicU64,
    n_new: AtomicU64,
    n_failed: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    fn answers(&self) -> u64 {
        self.n_answers.load(Ordering::SeqCst)
    }

    fn new_ones(&self) -> u64 {
        self.n_new.load(Ordering::SeqCst)
    }
}

/// Four clients that ask without a pause until they are stopped; every second code has no number in it.
fn load(serving: &Serving, seen: &Arc<Seen>) -> Vec<JoinHandle<()>> {
    let one = |thread: usize| {
        let (url, key, seen) = (serving.url.clone(), serving.key.clone(), Arc::clone(seen));
        std::thread::spawn(move || {
            let client = client();
            for n in 0_usize.. {
                if seen.stop.load(Ordering::SeqCst) {
                    return;
                }
                let code = if n % 2 == 0 { "a1" } else { "ax" };
                let asked = client
                    .post(format!("{url}/v1/models/double/predict"))
                    .bearer_auth(&key)
                    .header("x-user-id", format!("user-{thread}-{}", n % 500))
                    .json(&json!({ "row": { "x": (n % 50) as f64, "code": code } }))
                    .send()
                    .unwrap();
                if asked.status() != 200 {
                    seen.n_failed.fetch_add(1, Ordering::SeqCst);
                    eprintln!("{}: {}", asked.status(), asked.text().unwrap());
                    continue;
                }
                let is_new = asked.headers()["x-athanor-version"] == "2";
                seen.n_new.fetch_add(u64::from(is_new), Ordering::SeqCst);
                seen.n_answers.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    (0..4).map(one).collect()
}

fn status(sandbox: &Sandbox) -> Value {
    sandbox.ok(&["rollout", "status", "double"])["rollout"].clone()
}

/// The audit log from its beginning.
fn audit(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let store = SqliteStore::open(&sandbox.workspace().join("athanor.db")).unwrap();
    let lines = store.audit(&PageRequest::first(1_000)).unwrap().items;
    lines.into_iter().rev().map(|line| (line.action, line.detail)).collect()
}

#[test]
fn a_bad_version_is_taken_back_under_load_and_nothing_fails() {
    let sandbox = Sandbox::new();
    table(&sandbox);
    assert_eq!(train(&sandbox, "good", false, 50)["version"], 1);
    sandbox.ok(&["models", "alias", "double", "production", "1"]);
    assert_eq!(train(&sandbox, "bad", true, 50)["version"], 2);
    let mut serving = serve(&sandbox);
    let seen = Arc::new(Seen::default());
    let threads = load(&serving, &seen);
    serving.running.wait_until("the old version answers", || (seen.answers() > 100).then_some(()));
    assert_eq!(seen.new_ones(), 0);

    sandbox.ok(&["rollout", "start", "double", "--to", "2", "--canary", "25", "--sticky", "x-user-id"]);
    let ended = serving.running.wait_until("the rollout is taken back", || {
        let now = status(&sandbox);
        (now["phase"] != "running").then_some(now)
    });
    assert_eq!(ended["phase"], "rolled_back", "{ended}");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("the candidate failed") && reason.contains("at most 2 percent"), "{reason}");
    let (retried, new) = (ended["figures"]["n_retried"].as_u64().unwrap(), seen.new_ones());
    assert!(retried >= 3 && new > 0, "it answered what it could: {retried} retried, {new} answered");

    // Back is back: from now on the old version answers everything.
    let (from, new) = (seen.answers(), seen.new_ones());
    serving.running.wait_until("more was answered", || (seen.answers() > from + 200).then_some(()));
    assert_eq!(seen.new_ones(), new, "nothing goes to the bad version any more");
    seen.stop.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(seen.n_failed.load(Ordering::SeqCst), 0, "what the old version would have answered was answered");

    assert_eq!(sandbox.ok(&["models", "show", "double@production"])["version"], 1, "the alias stayed");
    let audit = audit(&sandbox);
    let (_, detail) = audit.iter().find(|(action, _)| action == "rollout.rollback").unwrap();
    assert_eq!((&detail["reason"], &detail["to"], &detail["from"]), (&json!(reason), &json!(2), &json!(1)));
    let again = sandbox.run(&["rollout", "promote", "double"]);
    assert_eq!((again.status, again.json["error"]["code"].as_str()), (1, Some("not_found")));
}

#[test]
fn a_slow_version_is_taken_back_although_it_answers() {
    let sandbox = Sandbox::new();
    table(&sandbox);
    assert_eq!(train(&sandbox, "good", false, 50)["version"], 1);
    sandbox.ok(&["models", "alias", "double", "production", "1"]);
    assert_eq!(train_slow(&sandbox, 100)["version"], 2);
    let mut serving = serve(&sandbox);
    let seen = Arc::new(Seen::default());
    let threads = load(&serving, &seen);
    let start = ["rollout", "start", "double", "--to", "2", "--canary", "50", "--max-p99-ratio", "3"];
    sandbox.ok(&[&start[..], &["--max-error-rate", "off"]].concat());
    let ended = serving.running.wait_until("the rollout is taken back", || {
        let now = status(&sandbox);
        (now["phase"] != "running").then_some(now)
    });
    let (reason, new) = (ended["reason"].as_str().unwrap(), seen.new_ones());
    assert_eq!(ended["phase"], "rolled_back", "{ended}");
    assert!(reason.contains("took the candidate longer than") && reason.contains("99th percentile"), "{reason}");
    assert!(new > 0, "it answered, and well: {ended}");
    assert_eq!(ended["figures"]["candidate"]["n_failed"], 0, "{ended}");
    let from = seen.answers();
    serving.running.wait_until("more was answered", || (seen.answers() > from + 200).then_some(()));
    seen.stop.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(seen.n_failed.load(Ordering::SeqCst), 0);
    assert_eq!(sandbox.ok(&["models", "show", "double@production"])["version"], 1, "the alias stayed");
    let audit = audit(&sandbox);
    let (_, detail) = audit.iter().find(|(action, _)| action == "rollout.rollback").unwrap();
    assert_eq!(detail["reason"], reason);
}

#[test]
fn a_good_version_takes_over_by_itself_also_over_a_restart_and_back_again() {
    let sandbox = Sandbox::new();
    table(&sandbox);
    train(&sandbox, "first", false, 50);
    sandbox.ok(&["models", "alias", "double", "production", "1"]);
    assert_eq!(train(&sandbox, "second", false, 51)["version"], 2);
    let serving = serve(&sandbox);
    sandbox.ok(&["rollout", "start", "double", "--to", "2", "--linear", "10,50,100", "--every", "1s"]);
    // The endpoint is killed in the middle; the next one goes on where it was.
    serving.running.kill();
    let mut serving = serve(&sandbox);
    let seen = Arc::new(Seen::default());
    let threads = load(&serving, &seen);
    let ended = serving.running.wait_until("the new version has taken over", || {
        let now = status(&sandbox);
        (now["phase"] != "running").then_some(now)
    });
    assert_eq!((&ended["phase"], &ended["step"]), (&json!("promoted"), &json!(2)), "{ended}");
    assert_eq!(sandbox.ok(&["models", "show", "double@production"])["version"], 2);
    let steps: Vec<u64> = audit(&sandbox)
        .iter()
        .filter(|(action, _)| action == "rollout.step")
        .map(|(_, detail)| detail["percent"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [50, 100]);
    let before = seen.new_ones();
    serving.running.wait_until("the new version answers", || (seen.new_ones() > before + 100).then_some(()));

    // One step back, by hand.
    assert_eq!(sandbox.ok(&["rollout", "back", "double"])["rollout"]["phase"], "rolled_back");
    serving.running.wait_until("the old version answers again", || {
        let (answers, new) = (seen.answers(), seen.new_ones());
        std::thread::sleep(std::time::Duration::from_millis(50));
        (seen.answers() > answers && seen.new_ones() == new).then_some(())
    });
    seen.stop.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(seen.n_failed.load(Ordering::SeqCst), 0);
    assert_eq!(sandbox.ok(&["models", "show", "double@production"])["version"], 1);
}

#[test]
fn a_shadow_is_compared_with_what_was_answered() {
    let sandbox = Sandbox::new();
    table(&sandbox);
    train(&sandbox, "good", false, 50);
    sandbox.ok(&["models", "alias", "double", "production", "1"]);
    train(&sandbox, "bad", true, 50);
    let mut serving = serve(&sandbox);
    let shadow = ["rollout", "start", "double", "--to", "2", "--shadow", "--max-error-rate", "off"];
    sandbox.ok(&shadow);
    let admin =
        sandbox.ok(&["keys", "create", "--name", "ops", "--scope", "admin"])["key"].as_str().unwrap().to_owned();
    let client = client();
    let live = |url: &str| -> Option<Value> {
        let answer = client.get(format!("{url}/v1/models/double/rollout")).bearer_auth(&admin).send().unwrap();
        (answer.status() == 200).then(|| answer.json().unwrap())
    };
    let url = serving.url.clone();
    serving.running.wait_until("the endpoint has taken it up", || live(&url));
    // Both versions by their own addresses: what the comparison must come to.
    let predict = |uri: &str, n: u32| -> Option<f64> {
        let row = json!({ "row": { "x": n, "code": if n.is_multiple_of(5) { "ax".to_owned() } else { format!("a{}", n % 5) } } });
        let uri = format!("{url}/v1/models/double{uri}/predict");
        let answer = client.post(uri).bearer_auth(&serving.key).json(&row).send().unwrap();
        answer.json::<Value>().unwrap()["predictions"][0]["value"].as_f64()
    };
    let (mut differences, mut n_failed) = (vec![], 0);
    for n in 1..=20 {
        let ours = predict("", n).unwrap();
        assert_eq!(predict("/versions/1", n), Some(ours), "the stable version answers");
        match predict("/versions/2", n) {
            Some(theirs) => differences.push((ours - theirs).abs()),
            None => n_failed += 1,
        }
        serving.running.wait_until("the shadow was asked", || {
            live(&url).filter(|now| now["figures"]["candidate"]["n_requests"] == n)
        });
    }
    let now = live(&url).unwrap();
    let (figures, shadow) = (&now["figures"], &now["figures"]["shadow"]);
    assert_eq!((n_failed, &figures["candidate"]["n_failed"]), (4, &json!(4)), "{now}");
    assert_eq!((&shadow["n_compared"], &shadow["n_rows"], &shadow["n_dropped"]), (&json!(16), &json!(16), &json!(0)));
    let mean = differences.iter().sum::<f64>() / 16.0;
    let largest = differences.iter().copied().fold(0.0, f64::max);
    assert!((shadow["mean_difference"].as_f64().unwrap() - mean).abs() < 1e-9, "{mean} in {shadow}");
    assert_eq!(shadow["max_difference"].as_f64(), Some(largest));
    assert_eq!(sandbox.ok(&["rollout", "abort", "double"])["rollout"]["phase"], "aborted");
    serving.running.wait_until("the endpoint has heard of it", || live(&url).is_none().then_some(()));
}

#[test]
fn every_alias_is_served_and_may_be_named() {
    let sandbox = Sandbox::new();
    table(&sandbox);
    train(&sandbox, "first", false, 50);
    train(&sandbox, "second", false, 51);
    sandbox.ok(&["models", "alias", "double", "staging", "2"]);
    let mut serving = serve(&sandbox);
    let client = client();
    let (url, key) = (serving.url.clone(), serving.key.clone());
    let ask = |uri: &str, alias: Option<&str>| {
        let row = json!({ "row": { "x": 1, "code": "a1" } });
        let mut ask = client.post(format!("{url}/v1/models/double{uri}")).bearer_auth(&key).json(&row);
        if let Some(alias) = alias {
            ask = ask.header("x-athanor-alias", alias);
        }
        let answer = ask.send().unwrap();
        let version = answer.headers().get("x-athanor-version").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), version.unwrap_or_default())
    };
    assert_eq!(ask("/aliases/staging/predict", None), (200, "2".to_owned()));
    assert_eq!(ask("/predict", Some("staging")), (200, "2".to_owned()));
    assert_eq!(ask("/predict", None).0, 404, "nothing is in production");
    sandbox.ok(&["models", "alias", "double", "production", "1"]);
    serving
        .running
        .wait_until("production is served", || (ask("/predict", None) == (200, "1".to_owned())).then_some(()));
    assert_eq!(ask("/versions/staging/predict", None), (200, "2".to_owned()));
    sandbox.ok(&["models", "alias", "double", "staging", "--remove"]);
    serving.running.wait_until("the alias is gone", || (ask("/predict", Some("staging")).0 == 404).then_some(()));
}

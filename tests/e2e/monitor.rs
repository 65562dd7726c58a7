//! Monitoring: real requests, drift against the package, alerts with their webhook, capture, truths, metrics.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Command,
    sync::mpsc::{Receiver, sync_channel},
};

use athanor_engine::{monitor::webhook, registry, workspace::Workspace};
use athanor_learn::drift::compare;
use athanor_protocol::{columns::ColumnData, monitor::MonitorReport};
use serde_json::{Map, Value, json};

use crate::sandbox::{PATIENCE, Running, Sandbox, done, sample, samples};

fn client() -> reqwest::blocking::Client {
    athanor_serve::use_ring();
    reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// The wine table: rows of the features, and the true class of each.
fn wines() -> (Vec<String>, Vec<Map<String, Value>>, Vec<String>) {
    let text = fs::read_to_string(samples().join("wine.csv")).unwrap();
    let names: Vec<String> = text.lines().next().unwrap().split(',').map(str::to_owned).collect();
    let (mut rows, mut truths) = (vec![], vec![]);
    for line in text.lines().skip(1) {
        let mut row = Map::new();
        for (name, cell) in names.iter().zip(line.split(',')) {
            if name == "cultivar" {
                truths.push(cell.to_owned());
            } else {
                row.insert(name.clone(), json!(cell.parse::<f64>().unwrap()));
            }
        }
        rows.push(row);
    }
    (names, rows, truths)
}

/// Every number half as large again.
fn shifted(rows: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    let row = |row: &Map<String, Value>| {
        row.iter().map(|(name, value)| (name.clone(), json!(value.as_f64().unwrap() * 1.5))).collect()
    };
    rows.iter().map(row).collect()
}

struct Watched {
    sandbox: Sandbox,
    running: Running,
    url: String,
    key: String,
}

impl Watched {
    /// The wine model, served, a period being as many rows as the table has.
    fn new(configure: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let flow = sample("wine");
        let set = ["--device", "cpu", "--set", "linear.epochs=30", "--set", "trees.n_rounds=20"];
        sandbox.ok(&[&["run", flow.to_str().unwrap()], &set[..]].concat());
        let base = ["monitor", "configure", "wine", "--every-rows", "178", "--min-rows", "100"];
        sandbox.ok(&[&base[..], configure].concat());
        let key = sandbox.ok(&["keys", "create", "--name", "test"])["key"].as_str().unwrap().to_owned();
        let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--no-ui"]);
        let line: Value = serde_json::from_str(&running.line()).unwrap();
        let url = line["endpoint"].as_str().unwrap().to_owned();
        Self { sandbox, running, url, key }
    }

    fn post(&self, route: &str, body: &Value) -> (u16, String, Value) {
        let client = client();
        let url = format!("{}/v1/models/wine/{route}", self.url);
        let answer = client.post(url).bearer_auth(&self.key).json(body).send().unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), id, answer.json().unwrap())
    }

    fn predict(&self, rows: &[Map<String, Value>]) -> (String, Value) {
        let (status, id, answer) = self.post("predict", &json!({ "rows": rows }));
        assert_eq!(status, 200, "{answer}");
        (id, answer)
    }

    /// Waits until there are so many reports; the newest first.
    fn reports(&mut self, n: usize) -> Vec<MonitorReport> {
        let sandbox = &self.sandbox;
        self.running.wait_until("a report is there", || {
            let found = sandbox.ok(&["monitor", "report", "wine", "--last", "100"]);
            let reports: Vec<MonitorReport> = serde_json::from_value(found["reports"].clone()).unwrap();
            (reports.len() >= n).then_some(reports)
        })
    }
}

/// Headers and body.
type Post = (Vec<String>, Vec<u8>);

/// A server that takes POSTs and hands out their headers and bodies.
fn receiver() -> (String, Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = sync_channel(64);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut reader = BufReader::new(stream);
            let mut headers = vec![];
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                headers.push(line.trim().to_owned());
            }
            let length = header(&headers, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let _ = reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
            if sender.send((headers, body)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn header(headers: &[String], name: &str) -> Option<String> {
    headers.iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

#[test]
fn a_shifted_table_raises_an_alert_that_its_return_resolves() {
    let (hook, received) = receiver();
    let mut watched = Watched::new(&["--webhook", &hook]);
    let (_, rows, _) = wines();
    watched.predict(&rows);
    watched.reports(1);
    watched.predict(&rows);
    let reports = watched.reports(2);
    assert!(reports.iter().all(|report| !report.data_drifted && !report.predictions_drifted), "{reports:#?}");
    assert_eq!(watched.sandbox.ok(&["monitor", "alerts", "--all"])["alerts"], json!([]));

    let far = shifted(&rows);
    for n in [3, 4] {
        watched.predict(&far);
        watched.reports(n);
    }
    let report = watched.reports(4).remove(0);
    assert!(report.data_drifted && report.n_rows == 178 && report.n_compared == 178, "{report:#?}");
    // A report is there a moment before its alerts.
    let sandbox = &watched.sandbox;
    let drift = watched.running.wait_until("the alert is raised", || {
        let alerts = sandbox.ok(&["monitor", "alerts", "wine"])["alerts"].as_array().unwrap().clone();
        alerts.into_iter().find(|alert| alert["kind"] == "data_drift")
    });
    assert_eq!((drift["model"].as_str(), drift["report_id"].as_u64()), (Some("wine"), Some(report.id)));

    // The report's figures are those of the pure functions on the same rows.
    let workspace = Workspace::open(&watched.sandbox.workspace()).unwrap();
    let version = registry::resolve(&workspace, "wine@production").unwrap();
    let statistics = registry::load(&workspace, &version).unwrap().1.statistics().unwrap();
    for reference in &statistics.inputs {
        let values = far.iter().map(|row| row[&reference.name].as_f64().unwrap()).collect();
        let again = compare(reference, &ColumnData::Float(values));
        let found = report.inputs.iter().find(|drift| drift.column == reference.name).unwrap();
        assert_eq!(*found, again);
    }

    // The webhook had it, signed.
    let key = watched.sandbox.ok(&["monitor", "webhook-key"])["key"].as_str().unwrap().to_owned();
    loop {
        let (headers, body) = received.recv_timeout(PATIENCE).unwrap();
        let at: i64 = header(&headers, webhook::TIMESTAMP).unwrap().parse().unwrap();
        let signed = header(&headers, webhook::SIGNATURE).unwrap();
        assert_eq!(signed, webhook::signature(key.as_bytes(), at, &body));
        let message: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(message["event"], "alert_raised");
        if message["alert"] == drift {
            break;
        }
    }

    let id = drift["id"].to_string();
    let seen = watched.sandbox.ok(&["monitor", "acknowledge", &id]);
    assert!(seen["acknowledged_at_millis"].is_i64(), "{seen}");

    // Newer data is one command away.
    let names: Vec<&String> = rows[0].keys().collect();
    let (_, _, truths) = wines();
    let head = names.iter().map(|name| name.as_str()).chain(["cultivar"]).collect::<Vec<_>>().join(",");
    let lines = far.iter().zip(&truths).map(|(row, truth)| {
        let cells = names.iter().map(|name| row[*name].to_string()).chain([truth.clone()]);
        cells.collect::<Vec<_>>().join(",")
    });
    let table = watched.sandbox.write("newer.csv", &[head].into_iter().chain(lines).collect::<Vec<_>>().join("\n"));
    let table = table.to_str().unwrap();
    let again = watched.sandbox.ok(&["monitor", "retrain", &id, "--table", table, "--device", "cpu"]);
    assert_eq!(again["status"], "finished", "{again}");
    assert_eq!(again["registered"][0]["version"], 2, "{again}");

    // The new version finds nothing strange in what was strange to the old one.
    let url = watched.url.clone();
    let key = watched.key.clone();
    watched.running.wait_until("version 2 is served", || {
        let answer = client().get(format!("{url}/v1/models/wine")).bearer_auth(&key).send().unwrap();
        (answer.json::<Value>().unwrap()["version"] == 2).then_some(())
    });
    watched.predict(&far);
    let report = watched.reports(5).remove(0);
    assert_eq!((report.model_version, report.data_drifted), (2, false), "{report:#?}");
}

#[test]
fn captures_hold_no_redacted_column_and_truths_give_the_right_accuracy() {
    let mut watched = Watched::new(&["--capture", "1", "--redact", "hue", "--retention", "7d"]);
    let (_, rows, truths) = wines();
    let (id, answer) = watched.predict(&rows);
    let folder = watched.sandbox.workspace().join("captures");
    let files = || {
        let folders = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.flat_map(|model| fs::read_dir(model.path()).into_iter().flatten().flatten()).map(|file| file.path())
    };
    let text = watched.running.wait_until("the request is captured", || {
        let text: String = files().map(|path| fs::read_to_string(path).unwrap()).collect();
        text.contains(&id).then_some(text)
    });
    assert!(text.contains("\"alcohol\"") && !text.contains("\"hue\""), "a redacted column was kept");
    assert!(!text.contains(&watched.key) && !files().any(|path| path.display().to_string().contains("wine")));

    // Truths for all rows, every third of them another class than in the table.
    let classes = ["class_0", "class_1", "class_2"];
    let said: Vec<&str> =
        answer["predictions"].as_array().unwrap().iter().map(|row| row["label"].as_str().unwrap()).collect();
    let given: Vec<&str> = truths
        .iter()
        .enumerate()
        .map(|(at, truth)| {
            let place = classes.iter().position(|class| class == truth).unwrap();
            classes[if at % 3 == 0 { (place + 1) % 3 } else { place }]
        })
        .collect();
    let feedback: Vec<Value> =
        given.iter().enumerate().map(|(row, truth)| json!({ "id": id, "row": row, "truth": truth })).collect();
    let (status, _, accepted) = watched.post("feedback", &json!({ "feedback": feedback }));
    assert_eq!((status, accepted), (202, json!({ "accepted": 178 })));
    let (status, ..) = watched.post("feedback", &json!({ "id": "nobody-1", "truth": "class_0" }));
    assert_eq!(status, 202);
    let (status, _, refused) = watched.post("feedback", &json!({ "id": id, "truth": "class_9" }));
    assert_eq!(status, 400, "{refused}");

    let right = said.iter().zip(&given).filter(|(said, truth)| said == truth).count() as f64 / 178.0;
    let constant = classes.iter().map(|class| given.iter().filter(|truth| *truth == class).count()).max().unwrap();
    let status = watched.sandbox.ok(&["monitor", "status", "wine"]);
    let quality = &status["quality"];
    assert_eq!((quality["n_rows"].as_u64(), quality["n_unmatched"].as_u64()), (Some(178), Some(1)));
    let figures = quality["figures"].as_array().unwrap();
    let accuracy = figures.iter().find(|figure| figure["metric"] == "accuracy").unwrap();
    assert!((accuracy["value"].as_f64().unwrap() - right).abs() < 1e-12, "{accuracy} {right}");
    assert!((accuracy["constant"].as_f64().unwrap() - constant as f64 / 178.0).abs() < 1e-12, "{accuracy}");
    assert!(accuracy["training"].as_f64().unwrap() > 0.8, "{accuracy}");
    assert!(accuracy["deviation"].is_null(), "178 rows are too few for a deviation");
}

#[test]
fn prometheus_own_parsers_read_the_metrics() {
    let mut watched = Watched::new(&[]);
    let (_, rows, _) = wines();
    watched.predict(&rows);
    watched.predict(&rows[..3]);
    let mut wrong = rows[0].clone();
    wrong.insert("hue".to_owned(), json!("blue"));
    assert_eq!(watched.post("predict", &json!({ "row": wrong })).0, 400);
    let (status, _, refused) = watched.post("feedback", &json!({ "id": "a", "truth": "class_0" }));
    assert_eq!((status, refused["code"].as_str()), (409, Some("conflict")), "nothing is captured");
    watched.reports(1);
    let python = std::env::var_os("ATHANOR_TEST_PYTHON")
        .expect("ATHANOR_TEST_PYTHON names a Python with prometheus_client; cargo xtask test sets it");
    let output = Command::new(python)
        .args(["fixtures/metrics_client.py", &watched.url])
        .env("ATHANOR_KEY", &watched.key)
        .output()
        .unwrap();
    let read = done(output);
    assert_eq!(read.status, 0, "{}", read.stderr);
    let read = read.json;
    assert_eq!(read["text_type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(read["open_type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for format in ["text", "open"] {
        let kind = |name: &str| read[format]["kinds"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(kind("athanor_request_duration_seconds"), "histogram");
        assert_eq!((kind("athanor_rows"), kind("athanor_drift")), ("counter".to_owned(), "gauge".to_owned()));
        let samples = read[format]["samples"].as_array().unwrap();
        let value = |name: &str, labels: Value| {
            let is_it = |sample: &&Value| {
                sample[0] == name && labels.as_object().unwrap().iter().all(|(key, value)| sample[1][key] == *value)
            };
            let found: Vec<f64> = samples.iter().filter(is_it).map(|sample| sample[2].as_f64().unwrap()).collect();
            assert_eq!(found.len(), 1, "{format} {name} {labels}");
            found[0]
        };
        let wine = json!({ "model": "wine", "version": "1" });
        assert_eq!(value("athanor_rows_total", wine.clone()), 181.0);
        let with = |more: Value| {
            let mut labels = wine.clone();
            labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            labels
        };
        assert_eq!(value("athanor_requests_total", with(json!({ "route": "predict", "code": "200" }))), 2.0);
        assert_eq!(value("athanor_requests_total", with(json!({ "route": "predict", "code": "400" }))), 1.0);
        assert_eq!(value("athanor_request_duration_seconds_count", with(json!({ "route": "predict" }))), 3.0);
        assert_eq!(value("athanor_request_failures_total", with(json!({ "reason": "invalid_argument" }))), 1.0);
        assert!(value("athanor_model_load_seconds", wine.clone()) > 0.0);
        assert_eq!(value("athanor_requests_in_flight", json!({})), 1.0, "the request for the metrics itself");
        let psi = json!({ "column": "hue", "statistic": "psi" });
        assert!(value("athanor_drift", with(psi)) >= 0.0);
        assert_eq!(value("athanor_drift_detected", with(json!({ "column": "hue" }))), 0.0);
        assert!(value("process_resident_memory_bytes", json!({})) > 1e6);
    }
    assert_eq!(client().get(format!("{}/metrics", watched.url)).send().unwrap().status(), 401, "metrics need a key");
}

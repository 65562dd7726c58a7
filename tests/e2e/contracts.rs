//! One served model, asked as the documentation of each platform says: the answers are those of `athanor predict`.

use std::fs;

use serde_json::{Map, Value, json};

use crate::sandbox::{PATIENCE, Running, Sandbox, sample, samples};

/// A served wine model, and what the program itself says of the table.
pub(crate) struct Wine {
    pub(crate) sandbox: Sandbox,
    _running: Running,
    pub(crate) client: reqwest::blocking::Client,
    pub(crate) url: String,
    pub(crate) key: String,
    /// The columns that go in, in the signature's order.
    names: Vec<String>,
    rows: Vec<Vec<f64>>,
    labels: Vec<String>,
}

impl Wine {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let workflow = sample("wine");
        let trained = ["run", workflow.to_str().unwrap(), "--device", "cpu", "--set", "linear.epochs=30"];
        sandbox.ok(&[&trained[..], &["--set", "trees.n_rounds=20"]].concat());
        let to = sandbox.path("predicted.csv");
        let table = samples().join("wine.csv");
        sandbox.ok(&["predict", "wine@production", table.to_str().unwrap(), "-o", to.to_str().unwrap(), "--only"]);
        let predicted = fs::read_to_string(to).unwrap();
        let labels = predicted.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();

        let key = sandbox.ok(&["keys", "create", "--name", "test"])["key"].as_str().unwrap().to_owned();
        let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0"]);
        let line: Value = serde_json::from_str(&running.line()).unwrap();
        let url = line["endpoint"].as_str().unwrap().to_owned();
        athanor_serve::use_ring();
        let client = reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let model: Value =
            client.get(format!("{url}/v1/models/wine")).bearer_auth(&key).send().unwrap().json().unwrap();
        let inputs = model["signature"]["inputs"].as_array().unwrap();
        let names: Vec<String> = inputs.iter().map(|input| input["name"].as_str().unwrap().to_owned()).collect();

        let text = fs::read_to_string(table).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let places: Vec<usize> =
            names.iter().map(|name| header.iter().position(|other| other == name).unwrap()).collect();
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            places.iter().map(|&at| cells[at].parse().unwrap()).collect()
        };
        let rows = text.lines().skip(1).map(row).collect();
        Self { sandbox, _running: running, client, url, key, names, rows, labels }
    }

    fn send(&self, path: &str, kind: &str, body: String) -> reqwest::blocking::Response {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.key);
        request.header("Content-Type", kind).body(body).send().unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let response = self.send(path, "application/json", body.to_string());
        let (status, text) = (response.status(), response.text().unwrap());
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn records(&self) -> Value {
        let record = |row: &Vec<f64>| -> Value {
            self.names.iter().cloned().zip(row.iter().map(|&value| json!(value))).collect::<Map<_, _>>().into()
        };
        self.rows.iter().map(record).collect()
    }

    fn columns(&self) -> Value {
        let column = |at: usize| self.rows.iter().map(|row| json!(row[at])).collect::<Value>();
        self.names.iter().enumerate().map(|(at, name)| (name.clone(), column(at))).collect::<Map<_, _>>().into()
    }

    fn csv(&self) -> String {
        let line = |row: &Vec<f64>| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn every_contract_gets_the_labels_of_predict() {
    let wine = Wine::new();
    let labels = json!(wine.labels);
    assert!(wine.labels.iter().any(|label| *label != wine.labels[0]), "a test that tells models apart");
    let (rows, names) = (json!(wine.rows), json!(wine.names));

    // MLflow: the four forms of its scoring server.
    for body in [
        json!({ "dataframe_split": { "columns": names, "data": rows } }),
        json!({ "dataframe_records": wine.records() }),
        json!({ "instances": wine.records(), "params": {} }),
        json!({ "inputs": wine.columns() }),
    ] {
        assert_eq!(wine.post("/invocations", &body)["predictions"], labels);
    }
    let with_header = format!("{}\n{}\n", wine.names.join(","), wine.csv());
    let answer: Value = wine.send("/invocations", "text/csv; charset=utf-8", with_header).json().unwrap();
    assert_eq!(answer["predictions"], labels);
    let version = wine.client.get(format!("{}/version", wine.url)).bearer_auth(&wine.key).send().unwrap();
    assert_eq!(version.text().unwrap(), env!("CARGO_PKG_VERSION"));

    // SageMaker: no header line, and the answer as it was asked for.
    let request = wine.client.post(format!("{}/invocations", wine.url)).bearer_auth(&wine.key);
    let request = request.header("Content-Type", "text/csv").header("Accept", "text/csv");
    let request = request.header("X-Amzn-SageMaker-Target-Model", "wine.tar.gz").body(wine.csv());
    assert_eq!(request.send().unwrap().text().unwrap(), wine.labels.join("\n") + "\n");
    let lines = wine.rows.iter().map(|row| json!({ "features": row }).to_string()).collect::<Vec<_>>().join("\n");
    let answer: Value = wine.send("/invocations", "application/jsonlines", lines).json().unwrap();
    assert_eq!(answer["predictions"], labels);
    let ping = wine.client.get(format!("{}/ping", wine.url)).send().unwrap();
    assert_eq!((ping.status().as_u16(), ping.text().unwrap().as_str()), (200, ""));

    // Vertex AI, on the routes that it has without settings.
    let deployed = "/v1/endpoints/1234567890/deployedModels/987654321";
    let answer = wine.post(&format!("{deployed}:predict"), &json!({ "instances": rows, "parameters": {} }));
    assert_eq!((&answer["predictions"], answer["deployedModelId"].as_str()), (&labels, Some("987654321")));
    assert_eq!(wine.client.get(format!("{}{deployed}", wine.url)).send().unwrap().status(), 200);

    // Azure: what its clients of MLflow models send, and its own examples.
    let index: Value = (0..wine.rows.len()).collect();
    let split = json!({ "input_data": { "columns": names, "index": index, "data": rows }, "params": {} });
    assert_eq!(wine.post("/score", &split), labels);
    assert_eq!(wine.post("/score", &json!({ "data": rows }))["predictions"], labels);
    assert_eq!(wine.client.get(format!("{}/", wine.url)).send().unwrap().text().unwrap(), "Healthy");
    let swagger =
        wine.client.get(format!("{}/swagger.json?version=3", wine.url)).bearer_auth(&wine.key).send().unwrap();
    assert_eq!(swagger.json::<Value>().unwrap()["openapi"], "3.0.3");

    // KServe v1 and TensorFlow Serving; the second as curl sends it when nobody says otherwise.
    assert_eq!(wine.post("/v1/models/wine:predict", &json!({ "instances": rows }))["predictions"], labels);
    let columns = json!({ "signature_name": "serving_default", "inputs": wine.columns() });
    let form = "application/x-www-form-urlencoded";
    let answer: Value = wine.send("/v1/models/wine/versions/1:predict", form, columns.to_string()).json().unwrap();
    assert_eq!(answer["outputs"], labels);
    let status = wine.client.get(format!("{}/v1/models/wine", wine.url)).bearer_auth(&wine.key).send().unwrap();
    let status: Value = status.json().unwrap();
    assert_eq!(
        (status["ready"].as_bool(), status["model_version_status"][0]["state"].as_str()),
        (Some(true), Some("AVAILABLE"))
    );
}

#[test]
fn the_description_and_the_page_are_served_and_contracts_want_the_key() {
    let wine = Wine::new();
    let document = wine.client.get(format!("{}/openapi.json", wine.url)).bearer_auth(&wine.key).send().unwrap();
    let document: Value = document.json().unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let row = &document["components"]["schemas"]["wine.v1.Row"];
    assert_eq!(row["required"], json!(wine.names));
    assert_eq!(
        document["components"]["schemas"]["wine.v1.Prediction"]["properties"]["label"]["enum"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let page = wine.client.get(format!("{}/", wine.url)).header("Accept", "text/html").send().unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert!(page.text().unwrap().contains("<title>Try a model"));
    for path in ["/invocations", "/score", "/v1/models/wine:predict", "/v1/endpoints/1/deployedModels/2:predict"] {
        let answer = wine.client.post(format!("{}{path}", wine.url)).json(&json!({ "instances": [] })).send().unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    let mut short = wine.records()[0].clone();
    short.as_object_mut().unwrap().remove("hue");
    let refused = wine.send("/invocations", "application/json", json!({ "instances": [short] }).to_string());
    assert_eq!(refused.status(), 400);
    let refused: Value = refused.json().unwrap();
    assert_eq!((refused["message"].as_str(), refused["subject"].as_str()), (Some("row 1 misses \"hue\""), Some("hue")));
}

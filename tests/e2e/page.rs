//! `athanor serve` for browsers: the page's files, a login, the engine behind it, and the endpoint beside it.

use std::{
    fs,
    io::{BufRead, BufReader},
};

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Running, Sandbox, sample};

/// A served page: its process, both addresses, and a browser's cookie.
struct Page {
    _running: Running,
    endpoint: String,
    url: String,
    client: reqwest::blocking::Client,
}

fn serve(sandbox: &Sandbox) -> Page {
    let index = sandbox.write("ui/index.html", "<!doctype html><title>Athanor</title>");
    sandbox.write("ui/app.wasm", "\0asm");
    let folder = index.parent().unwrap().to_str().unwrap().to_owned();
    let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--ui-folder", &folder]);
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    athanor_serve::tls::use_ring();
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    Page { _running: running, endpoint: text("endpoint"), url: text("page"), client }
}

impl Page {
    /// Sends a request as the page would, and returns status, cookie and body.
    fn post(&self, path: &str, cookie: &str, body: &Value) -> (u16, String, Value) {
        let ask = self.client.post(format!("{}{path}", self.url)).header("origin", &self.url).header("cookie", cookie);
        let answer = ask.json(body).send().unwrap();
        let status = answer.status().as_u16();
        let cookie = answer.headers().get("set-cookie").map_or("", |value| value.to_str().unwrap()).to_owned();
        (status, cookie, answer.json().unwrap_or_default())
    }

    fn log_in(&self, key: &str) -> String {
        let (status, cookie, body) = self.post("/api/login", "", &json!({ "key": key }));
        assert_eq!(status, 200, "{body}");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    /// What a method comes to: `{"ok":…}` or `{"err":…}`.
    fn outcome(&self, cookie: &str, method: &str, params: Value) -> Value {
        let (status, _, body) = self.post("/api/call", cookie, &json!({ "method": method, "params": params }));
        assert_eq!(status, 200, "{method}: {body}");
        body
    }

    /// The answer of a method that must succeed.
    fn ok(&self, cookie: &str, method: &str, params: Value) -> Value {
        let outcome = self.outcome(cookie, method, params);
        assert_eq!(outcome["ok"]["method"], method, "{outcome}");
        outcome["ok"]["answer"].clone()
    }
}

fn key(sandbox: &Sandbox, scope: &str) -> (String, String) {
    let made = sandbox.ok(&["keys", "create", "--name", scope, "--scope", scope]);
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

#[test]
fn a_team_shares_one_engine_through_its_browsers() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["run", sample("wine").to_str().unwrap(), "--device", "cpu", "--set", "linear.epochs=20"]);
    let ((admin, _), (look, look_id)) = (key(&sandbox, "admin"), key(&sandbox, "predict"));
    let page = serve(&sandbox);

    let index = page.client.get(&page.url).send().unwrap();
    assert!(index.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert!(index.text().unwrap().contains("<title>Athanor</title>"));
    let wasm = page.client.get(format!("{}/app.wasm", page.url)).send().unwrap();
    assert_eq!(wasm.headers()["content-type"], "application/wasm");
    assert_eq!(page.post("/api/call", "", &json!({})).0, 401);
    assert_eq!(page.post("/api/login", "", &json!({ "key": "ath_no_key" })).0, 401);

    let (admin, look) = (page.log_in(&admin), page.log_in(&look));
    let hello = page.ok(&admin, "hello", json!({}));
    assert_eq!((&hello["host"], &hello["may_change"]), (&json!("browser"), &json!(true)), "{hello}");
    assert_eq!(hello["workspace"]["path"], json!(sandbox.workspace()));
    assert_eq!(page.ok(&look, "hello", json!({}))["may_change"], false);

    let runs = page.ok(&look, "run_list", json!({ "limit": 10 }));
    assert_eq!(runs["items"][0]["status"], "finished", "{runs}");
    let models = page.ok(&look, "model_list", json!({}));
    assert_eq!(models["items"][0]["name"], "wine");
    let status = page.ok(&look, "endpoint_get", json!({}));
    assert_eq!((&status["url"], &status["models"][0]["model"]), (&json!(page.endpoint), &json!("wine")));

    // Events arrive while somebody else changes something.
    let stream = page.client.get(format!("{}/api/events", page.url)).header("cookie", &look).send().unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let move_alias = json!({ "model": "wine", "alias": "champion", "version": 1 });
    let denied = page.outcome(&look, "model_alias", move_alias.clone());
    assert_eq!(denied["err"]["code"], "permission_denied", "{denied}");
    page.ok(&admin, "model_alias", move_alias);
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut events = lines.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    assert!(events.any(|event| event["event"] == "models_changed"));
    let audit = page.ok(&look, "audit_list", json!({}));
    assert_eq!(audit["items"][0]["action"], "model.alias");
    assert_ne!(audit["items"][0]["actor"], json!(std::env::var("USER").unwrap_or_default()), "a key did it");

    // What the run trained beside is registered, checked and put into production, and the endpoint follows at once.
    let register = json!({ "run": runs["items"][0]["id"], "node": "trees", "name": "wine" });
    let registered = page.ok(&admin, "model_register", register);
    assert_eq!((&registered["version"]["version"], &registered["existed"]), (&json!(2), &json!(false)));
    let verified = page.ok(&look, "model_verify", json!({ "model": "wine", "version": 2 }));
    assert_eq!(verified["trusted"], true, "{verified}");
    let promote = json!({ "model": "wine", "alias": "production", "version": 2 });
    assert_eq!(page.ok(&admin, "model_alias", promote)["previous"], 1);
    assert!(events.any(|event| event["event"] == "endpoint_changed" && event["status"]["models"][0]["version"] == 2));

    // Any file of the machine would be a table.
    let secret = sandbox.write("secret.csv", "password\n1\n2\n");
    let open = json!({ "source": { "path": secret } });
    let denied = page.outcome(&look, "data_open", open.clone());
    assert_eq!(denied["err"]["code"], "permission_denied", "{denied}");
    assert_eq!(page.ok(&admin, "data_open", open)["name"], "secret.csv");

    // The endpoint is stopped and started from the page, which stays.
    let text = fs::read_to_string(crate::sandbox::samples().join("wine.csv")).unwrap();
    let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let cells = text.lines().nth(1).unwrap().split(',');
    let values: serde_json::Map<String, Value> = names
        .iter()
        .zip(cells)
        .filter(|(name, _)| **name != "cultivar")
        .map(|(name, value)| ((*name).to_owned(), json!(value.parse::<f64>().unwrap())))
        .collect();
    let tried = page.ok(&look, "endpoint_try", json!({ "model": "wine", "values": values }));
    assert_eq!(tried["status"], 200, "{tried}");
    assert_eq!(page.ok(&look, "endpoint_load", json!({}))["n_requests"], 1);
    assert_eq!(page.outcome(&look, "endpoint_stop", json!({}))["err"]["code"], "permission_denied");
    assert_eq!(page.ok(&admin, "endpoint_stop", json!({}))["url"], Value::Null);
    assert!(page.client.get(format!("{}/v2/health/live", page.endpoint)).send().is_err());
    let again = page.ok(&admin, "endpoint_start", json!({ "port": 0 }));
    let live = page.client.get(format!("{}/v2/health/live", again["url"].as_str().unwrap())).send().unwrap();
    assert_eq!(live.status(), 200);

    // A key that is revoked, here by another process, ends its sessions.
    sandbox.ok(&["keys", "revoke", &look_id]);
    assert_eq!(page.post("/api/call", &look, &json!({ "method": "hello", "params": {} })).0, 401);
    assert!(events.next().is_none_or(|_| events.all(|_| true)), "the stream ends");
    let (status, cookie, _) = page.post("/api/logout", &admin, &json!({}));
    assert!(status == 200 && cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(page.post("/api/call", &admin, &json!({ "method": "hello", "params": {} })).0, 401);
}

#[test]
fn a_page_that_is_wanted_and_not_there_is_an_error_and_none_is_no_matter() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let missing = sandbox.path("nothing");
    let done = sandbox.run(&["serve", "--bind", "127.0.0.1:0", "--ui-folder", missing.to_str().unwrap()]);
    assert_eq!((done.status, done.json["error"]["code"].as_str()), (1, Some("not_found")), "{}", done.stdout);
    let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--no-ui"]);
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    assert!(line["endpoint"].is_string() && line["page"].is_null(), "{line}");
}

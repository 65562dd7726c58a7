//! An engine that dies or hangs, two windows on one workspace, a workspace on a disk that cannot be written.

use std::{fs, path::Path, process::Command, time::Duration};

use athanor_protocol::{
    Code,
    api::{
        DataAdd, DataRemove, EndpointGet, Hello, KeyCreate, KeyList, ModelList, RunList, StorageClean, StoragePart,
        StorageUsage, WorkflowDelete, WorkflowDraft, WorkflowExport, WorkflowImport, WorkflowList, WorkflowLoad,
    },
    registry::KeyLimits,
};
use serde_json::{Value, json};

use super::{Window, alone, inspect, long, profile, rows, save, shown, sorting, start};
use crate::sandbox::{PATIENCE, Running, Sandbox, signal};

/// An engine in a process of its own, as browsers reach it.
struct Served {
    running: Running,
    url: String,
    cookie: String,
    client: reqwest::blocking::Client,
}

impl Served {
    fn new(sandbox: &Sandbox) -> Self {
        let made = sandbox.ok(&["keys", "create", "--name", "admin", "--scope", "admin"]);
        let index = sandbox.write("ui/index.html", "<!doctype html><title>Athanor</title>");
        let folder = shown(index.parent().unwrap());
        let mut running = sandbox.start(&["serve", "--bind", "127.0.0.1:0", "--ui-folder", &folder]);
        let line: Value = serde_json::from_str(&running.line()).unwrap();
        let url = line["page"].as_str().unwrap().to_owned();
        athanor_serve::use_ring();
        let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let mut served = Self { running, url, cookie: String::new(), client };
        let answer = served.post("/api/login", &json!({ "key": made["key"] }), PATIENCE).unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        cookie.split(';').next().unwrap().clone_into(&mut served.cookie);
        served
    }

    fn post(&self, path: &str, body: &Value, patience: Duration) -> reqwest::Result<reqwest::blocking::Response> {
        let ask = self.client.post(format!("{}{path}", self.url)).timeout(patience);
        ask.header("origin", &self.url).header("cookie", &self.cookie).json(body).send()
    }

    fn call(&self, method: &str, params: &Value, patience: Duration) -> reqwest::Result<Value> {
        self.post("/api/call", &json!({ "method": method, "params": params }), patience)?.json()
    }
}

#[test]
fn an_engine_that_is_killed_in_mid_edit_leaves_the_edit_and_a_workspace_that_opens() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let served = Served::new(&sandbox);
    let (saved, typed) = (long(3), long(4));
    let answer = served.call("workflow_save", &json!({ "name": "flow", "json": saved, "expected": 0 }), PATIENCE);
    assert_eq!(answer.unwrap()["ok"]["answer"]["revision"], 1);
    let answer = served.call("workflow_draft", &json!({ "name": "flow", "json": typed }), PATIENCE).unwrap();
    assert!(answer["ok"].is_object(), "{answer}");

    // Two windows: while it lives, the workspace is its alone.
    let window = Window::new(&sandbox);
    let failure = window.enter(&sandbox).unwrap_err();
    assert_eq!(failure.code, Code::Conflict);
    assert!(failure.message.contains("\"workspace\" is open in another window"), "{failure:?}");
    assert!(failure.hint.is_some_and(|hint| hint.contains("close it and try again")));
    assert!(window.ask(Hello {}).unwrap().workspace.is_none());

    served.running.kill();
    assert!(!window.enter(&sandbox).unwrap().read_only);
    let doc = window.ask(WorkflowLoad { name: "flow".into() }).unwrap();
    assert_eq!((doc.json, doc.draft, doc.revision), (saved, Some(typed), 1));
}

#[cfg(unix)]
#[test]
fn an_engine_that_hangs_answers_what_it_was_asked_when_it_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let served = Served::new(&sandbox);
    let pid = served.running.pid();
    let typed = long(4);
    let draft = json!({ "name": "flow", "json": typed });
    signal(pid, "STOP");
    // It stands still, so the answer cannot come, however long one waits.
    let error = served.call("workflow_draft", &draft, Duration::from_millis(300)).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    signal(pid, "CONT");
    assert!(served.call("workflow_draft", &draft, PATIENCE).unwrap()["ok"].is_object());
    let doc = served.call("workflow_load", &json!({ "name": "flow" }), PATIENCE).unwrap();
    assert_eq!(doc["ok"]["answer"]["draft"], json!(typed));
}

#[test]
fn two_windows_on_one_workspace_take_turns_and_lose_nothing() {
    let sandbox = Sandbox::new();
    let (first, second) = (Window::open(&sandbox), Window::new(&sandbox));
    first.ask(WorkflowDraft { name: "flow".into(), json: long(2) }).unwrap();
    let failure = second.enter(&sandbox).unwrap_err();
    assert!(failure.code == Code::Conflict && failure.hint.is_some(), "{failure:?}");
    first.ask(Hello {}).unwrap();
    drop(first);
    second.enter(&sandbox).unwrap();
    assert_eq!(second.ask(WorkflowLoad { name: "flow".into() }).unwrap().draft, Some(long(2)));
}

/// A command that takes from the superuser the right to write where nobody may; none where the system lacks it.
#[cfg(unix)]
fn without_rights() -> &'static [&'static str] {
    const DROP: &[&str] = &[
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
        "--",
    ];
    let works = Command::new(DROP[0]).args(&DROP[1..]).arg("true").status().is_ok_and(|status| status.success());
    if works { DROP } else { &[] }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Takes the right to write, or gives it back: everything in a folder, the folder last.
#[cfg(unix)]
fn set_writable(path: &Path, writable: bool) {
    let is_folder = path.is_dir();
    let mode = if is_folder { 0o500 } else { 0o400 } | if writable { 0o200 } else { 0 };
    if writable {
        set_mode(path, mode);
    }
    if is_folder {
        fs::read_dir(path).unwrap().for_each(|entry| set_writable(&entry.unwrap().path(), writable));
    }
    set_mode(path, mode);
}

#[cfg(unix)]
#[test]
fn a_workspace_on_a_read_only_disk_is_looked_at_and_says_why_it_cannot_be_changed() {
    let test = "engine::a_workspace_on_a_read_only_disk_is_looked_at_and_says_why_it_cannot_be_changed";
    alone(test, without_rights(), || {
        let sandbox = Sandbox::new();
        let table = sandbox.write("workspace-data/t.csv", "a\n1\n2\n");
        let window = Window::open(&sandbox);
        let source = window.add(&table);
        window.ask(save("flow", &long(3))).unwrap();
        window.ask(WorkflowDraft { name: "flow".into(), json: long(4) }).unwrap();
        drop(window);
        let root = sandbox.workspace();
        set_writable(&root, false);
        if fs::write(root.join("probe"), "").is_ok() {
            // The superuser of a system without that command: nothing is read-only to him.
            set_writable(&root, true);
            return assert_eq!(without_rights(), [""; 0]);
        }
        let window = Window::new(&sandbox);
        let opened = window.enter(&sandbox);
        let info = opened.unwrap();
        assert!(info.read_only);
        assert_eq!(window.ask(Hello {}).unwrap().workspace, Some(info));

        // Looking.
        assert_eq!(window.ask(WorkflowList {}).unwrap().items[0].n_nodes, Some(3));
        let doc = window.ask(WorkflowLoad { name: "flow".into() }).unwrap();
        assert_eq!((doc.json, doc.draft), (long(3), Some(long(4))));
        assert_eq!((window.listed(), window.ask(rows(&source, 0, 9)).unwrap().n_rows), (1, Some(2)));
        window.ask(profile(&source)).unwrap();
        window.ask(inspect(&long(3))).unwrap();
        window.ask(RunList::default()).unwrap();
        window.ask(ModelList::default()).unwrap();
        window.ask(KeyList::default()).unwrap();
        window.ask(EndpointGet {}).unwrap();
        window.ask(StorageUsage {}).unwrap();
        let out = sandbox.path("out.json");
        window.ask(WorkflowExport { json: long(3), path: shown(&out) }).unwrap();

        // Changing: the workspace is named, whatever file would have been the first.
        let other = sandbox.write("u.csv", "a\n1\n");
        let codes = [
            window.refused(DataAdd { path: shown(&other) }, "\"workspace\"").code,
            window.refused(DataRemove { path: source.path.clone() }, "\"workspace\"").code,
            window.refused(save("flow", &long(5)), "\"workspace\"").code,
            window.refused(WorkflowDraft { name: "flow".into(), json: long(5) }, "\"workspace\"").code,
            window.refused(WorkflowDelete { name: "flow".into() }, "\"workspace\"").code,
            window.refused(WorkflowImport { path: shown(&out) }, "\"workspace\"").code,
            window.refused(start(&sorting(&table)), "\"workspace\"").code,
            window.refused(StorageClean { part: StoragePart::Cache }, "\"workspace\"").code,
            window
                .refused(
                    KeyCreate {
                        name: "k".into(),
                        scopes: vec![],
                        expires_at_millis: None,
                        limits: KeyLimits::default(),
                    },
                    "\"workspace\"",
                )
                .code,
        ];
        assert_eq!(codes, [Code::PermissionDenied; 9]);
        drop(window);

        // A second window may look as well; and where the disk can be written again, everything is as it was.
        let (one, two) = (Window::open(&sandbox), Window::open(&sandbox));
        assert!(two.ask(Hello {}).unwrap().workspace.unwrap().read_only);
        drop((one, two));
        set_writable(&root, true);
        let window = Window::new(&sandbox);
        assert!(!window.enter(&sandbox).unwrap().read_only);
        let doc = window.ask(WorkflowLoad { name: "flow".into() }).unwrap();
        assert_eq!((doc.json, doc.draft), (long(3), Some(long(4))));

        // A folder that takes no new files, around files that could be written.
        drop(window);
        set_mode(&root, 0o500);
        let window = Window::new(&sandbox);
        let opened = window.enter(&sandbox);
        set_mode(&root, 0o700);
        assert!(opened.unwrap().read_only);
    });
}

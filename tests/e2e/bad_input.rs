//! Bad input at the desk: files and documents here; in [`engine`] an engine that dies or hangs, a second window, a disk
//! that cannot be written. Each is refused in words that name the thing and the way out, in bounded memory, and nothing
//! that was kept is lost.

mod engine;

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use athanor_engine::desk::{Desk, DeskOptions};
use athanor_protocol::{
    Code, Failure,
    api::{
        Ask, DataAdd, DataList, DataOpen, DataPlot, DataProfile, DataRows, Event, Host, PlotSpec, Preview, RunList,
        RunStart, WorkCancel, WorkflowDraft, WorkflowImport, WorkflowInspect, WorkflowList, WorkflowLoad,
        WorkflowPreview, WorkflowSave, WorkflowStarter, WorkspaceInfo, WorkspaceOpen,
    },
    table::DataSource,
    workflow::{MAX_NODES, Workflow},
};
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, athanor};

/// Set in a process that does one test alone.
const ALONE: &str = "ATHANOR_TEST_ALONE";
const TEN_GIB: u64 = 10 << 30;
/// What answering may take of memory, whatever a file's size: a record of at most 16 MiB while it grows, a few times over.
const MOST_MEMORY: u64 = 256 << 20;

/// A window on the sandbox's workspace.
struct Window {
    desk: Arc<Desk>,
}

impl Window {
    fn new(sandbox: &Sandbox) -> Self {
        let options = DeskOptions {
            host: Host::Desktop,
            program: athanor(),
            config_folder: sandbox.path("config"),
            default_folder: sandbox.path("workspaces"),
        };
        Self { desk: Desk::new(options).unwrap() }
    }

    fn open(sandbox: &Sandbox) -> Self {
        let window = Self::new(sandbox);
        window.enter(sandbox).unwrap();
        window
    }

    fn enter(&self, sandbox: &Sandbox) -> Result<WorkspaceInfo, Failure> {
        self.ask(WorkspaceOpen { path: shown(&sandbox.workspace()), create: true })
    }

    fn ask<A: Ask>(&self, ask: A) -> Result<A::Answer, Failure> {
        A::answer(self.desk.handle(ask.into())?)
    }

    /// The failure of a request that must be refused: it names the thing and says what to do.
    fn refused<A: Ask>(&self, ask: A, thing: &str) -> Failure {
        let failure = self.ask(ask).map(drop).expect_err(thing);
        assert!(failure.message.contains(thing), "{thing:?} is not named: {failure:?}");
        assert!(failure.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "no way out: {failure:?}");
        assert_ne!(failure.code, Code::Internal, "{failure:?}");
        failure
    }

    fn add(&self, path: &Path) -> DataSource {
        let entry = self.ask(DataAdd { path: shown(path) }).unwrap();
        DataSource::file(entry.path)
    }

    fn listed(&self) -> usize {
        self.ask(DataList {}).unwrap().items.len()
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn rows(source: &DataSource, offset: u64, limit: u32) -> DataRows {
    DataRows { source: source.clone(), offset, limit, columns: vec![] }
}

fn profile(source: &DataSource) -> DataProfile {
    DataProfile { source: source.clone(), token: "t".into() }
}

fn bars(source: &DataSource) -> DataPlot {
    DataPlot { source: source.clone(), spec: PlotSpec::Bar { column: "a".into(), group: None }, token: String::new() }
}

fn inspect(json: &str) -> WorkflowInspect {
    WorkflowInspect { json: json.to_owned(), seed: 1, device: "cpu".into() }
}

fn start(json: &str) -> RunStart {
    RunStart {
        json: json.to_owned(),
        device: "cpu".into(),
        seed: 1,
        up_to: None,
        again_from: None,
        token: String::new(),
    }
}

fn save(name: &str, json: &str) -> WorkflowSave {
    WorkflowSave { name: name.into(), json: json.to_owned(), expected: None }
}

/// Opens a table, sorts it, splits it.
fn sorting(path: &Path) -> String {
    json!({ "version": 2, "name": "flow",
        "nodes": [
            { "id": "open", "kind": "table.open", "params": { "path": path } },
            { "id": "sort", "kind": "prepare.sort", "params": { "by": ["a"] } },
            { "id": "split", "kind": "split" }],
        "links": [{ "from": "open.table", "to": "sort.table" }, { "from": "sort.table", "to": "split.table" }] })
    .to_string()
}

/// So many nodes in chains of ten.
fn long(n_nodes: usize) -> String {
    let node = |n: usize| match n % 10 {
        0 => json!({ "id": format!("n{n}"), "kind": "table.open", "params": { "path": "t.csv" } }),
        _ => json!({ "id": format!("n{n}"), "kind": "prepare.sort", "params": { "by": ["a"] } }),
    };
    let link = |n: usize| json!({ "from": format!("n{}.table", n - 1), "to": format!("n{n}.table") });
    let nodes: Vec<Value> = (0..n_nodes).map(node).collect();
    let links: Vec<Value> = (0..n_nodes).filter(|n| n % 10 > 0).map(link).collect();
    json!({ "version": 2, "name": "long", "nodes": nodes, "links": links }).to_string()
}

/// A file of this size that takes no room: its beginning, zeros, its end.
fn sparse(path: &Path, begin: &[u8], end: &[u8]) -> PathBuf {
    let mut file = File::create(path).unwrap();
    file.write_all(begin).unwrap();
    file.set_len(TEN_GIB).unwrap();
    file.seek(SeekFrom::End(-(end.len() as i64))).unwrap();
    file.write_all(end).unwrap();
    path.to_owned()
}

/// Does the work in a process of its own, in which the test runs once more; `before` is what starts that process, where it
/// is not to be started plainly.
fn alone(test: &str, before: &[&str], work: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return work();
    }
    let mut line: Vec<String> = before.iter().map(|&part| part.to_owned()).collect();
    line.push(shown(&std::env::current_exe().unwrap()));
    line.extend(["--exact".to_owned(), format!("bad_input::{test}"), "--nocapture".to_owned()]);
    let done = Command::new(&line[0]).args(&line[1..]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

/// The most memory that this process ever had, where the system tells.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[test]
fn a_table_that_vanishes_is_named_everywhere_and_found_again_when_it_is_back() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    let path = sandbox.write("cars.csv", "a,b\n1,2\n3,4\n5,6\n7,8\n");
    let source = window.add(&path);
    assert_eq!(window.ask(rows(&source, 0, 9)).unwrap().n_rows, Some(4));
    let flow = sorting(&path);
    assert_eq!(window.ask(inspect(&flow)).unwrap().problems, []);
    let aside = sandbox.path("aside.csv");
    fs::rename(&path, &aside).unwrap();

    for failure in [
        window.refused(DataOpen { source: source.clone() }, "cars.csv"),
        window.refused(rows(&source, 0, 9), "cars.csv"),
        window.refused(profile(&source), "cars.csv"),
        window.refused(bars(&source), "cars.csv"),
        window.refused(DataAdd { path: shown(&path) }, "cars.csv"),
    ] {
        assert_eq!(failure.code, Code::NotFound);
    }
    assert_eq!(window.ask(DataList {}).unwrap().items[0].n_bytes, None, "it stays on the list, as one that is gone");
    let problems = window.ask(inspect(&flow)).unwrap().problems;
    assert_eq!((problems[0].node.as_deref(), problems[0].param.as_deref()), (Some("open"), Some("path")));
    assert!(problems[0].message.contains("cars.csv"), "{problems:?}");
    window.refused(start(&flow), "cars.csv");
    assert!(window.ask(RunList::default()).unwrap().items.is_empty(), "no run was made of it");

    fs::rename(&aside, &path).unwrap();
    assert_eq!(window.ask(rows(&source, 0, 9)).unwrap().n_rows, Some(4));
    assert_eq!(window.ask(inspect(&flow)).unwrap().problems, []);
}

#[test]
fn what_is_no_table_is_refused_by_name() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    for (name, bytes) in [
        ("empty.csv", &b""[..]),
        ("book.xlsx", b"PK\x03\x04more"),
        ("letter.pdf", b"%PDF-1.7 and more"),
        ("packed.csv.gz", b"\x1F\x8B\x08\x00"),
        ("photo.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("latin.csv", b"a,b\n1,caf\xE9\n"),
        ("cut.parquet", b"PAR1\x15\x04"),
        ("other.parquet", b"\0\0\0\0"),
    ] {
        let path = sandbox.path(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(window.refused(DataAdd { path: shown(&path) }, name).code, Code::BadData, "{name}");
    }
    let folder = sandbox.path("folder.csv");
    fs::create_dir(&folder).unwrap();
    window.refused(DataAdd { path: shown(&folder) }, "folder.csv");
    assert_eq!(window.listed(), 0);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    let pipe = sandbox.path("pipe.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    window.refused(DataAdd { path: shown(&pipe) }, "pipe.json");
    let failure = window.ask(WorkflowImport { path: shown(&pipe) }).unwrap_err();
    assert!(failure.code == Code::BadData && failure.message.contains("pipe.json"), "{failure:?}");
}

#[test]
fn ten_gigabytes_are_answered_in_bounded_memory() {
    alone("ten_gigabytes_are_answered_in_bounded_memory", &[], || {
        let sandbox = Sandbox::new();
        let window = Window::open(&sandbox);
        let before = peak_bytes();
        // Not one record of it can be told from the next.
        for (name, begin, end, says) in [
            ("begun.csv", &b"a,b\n1,2\n"[..], &b"\n"[..], "line 3: it holds a NUL byte"),
            ("zeros.csv", b"", b"", "line 1: it holds a NUL byte"),
            ("zeros.parquet", b"", b"", "does not begin as a Parquet file does"),
            ("begun.parquet", b"PAR1", b"", "does not end as a Parquet file does"),
            ("lying.parquet", b"PAR1", b"\xFF\xFF\xFF\x7FPAR1", "the length of its footer is wrong"),
        ] {
            let path = sparse(&sandbox.path(name), begin, end);
            let failure = window.refused(DataAdd { path: shown(&path) }, name);
            assert!(failure.code == Code::BadData && failure.message.contains(says), "{failure:?}");
            fs::remove_file(path).unwrap();
        }
        assert_eq!(window.listed(), 0);
        let path = sparse(&sandbox.path("flow.json"), b"{\"version\": 2", b"}");
        let failure = window.ask(WorkflowImport { path: shown(&path) }).unwrap_err();
        assert!(failure.code == Code::TooLarge && failure.message.contains("flow.json"), "{failure:?}");

        // Its first rows can be looked at, and what comes behind them is told by its line.
        let mut text = "a,b\n".to_owned();
        (0..300_000).for_each(|n| text.push_str(&format!("{n},x{n}\n")));
        let path = sparse(&sandbox.path("torn.csv"), text.as_bytes(), b"\n");
        let source = window.add(&path);
        let page = window.ask(rows(&source, 0, 50)).unwrap();
        assert_eq!((page.cells[0].len(), page.cells[1][49].as_deref(), page.n_rows), (50, Some("x49"), None));
        let page = window.ask(rows(&source, 299_000, 50)).unwrap();
        assert_eq!(page.cells[0][0].as_deref(), Some("299000"));
        for failure in [
            window.refused(rows(&source, 299_990, 50), "torn.csv"),
            window.refused(rows(&source, 5_000_000, 50), "torn.csv"),
            window.refused(profile(&source), "torn.csv"),
            window.refused(bars(&source), "torn.csv"),
        ] {
            assert!(failure.message.contains("line 300002: it holds a NUL byte"), "{failure:?}");
        }
        assert_eq!(window.ask(DataOpen { source }).unwrap().n_bytes, TEN_GIB);

        // A workflow on it is drawn and looked at by its first rows.
        let flow = sorting(&path);
        let found = window.ask(inspect(&flow)).unwrap();
        assert_eq!((found.problems.len(), found.columns[0].columns.len()), (0, 2));
        let (node, port) = ("sort".to_owned(), "table".to_owned());
        let ask = WorkflowPreview { json: flow, node, port, seed: 1, device: "cpu".into(), offset: 0, limit: 5 };
        let Preview::Table { rows, sampled } = window.ask(ask).unwrap() else { panic!("no table") };
        assert_eq!((sampled, rows.cells[0][4].as_deref()), (true, Some("4")));
        let (path, target, learner) = (shown(&path), "b".to_owned(), "train.trees".to_owned());
        window.ask(WorkflowStarter { path, target, learner, register_as: None, test: 0.2, valid: 0.2 }).unwrap();
        if let (Some(before), Some(after)) = (before, peak_bytes()) {
            let took = after - before;
            println!("took {} MiB", took >> 20);
            assert!(took < MOST_MEMORY, "{} MiB", took >> 20);
        }
    });
}

#[test]
fn the_start_of_a_run_on_ten_gigabytes_tells_how_far_it_is_and_can_be_stopped() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    let path = sparse(&sandbox.path("huge.csv"), b"a,b\n1,2\n3,4\n", b"\n");
    let events = window.desk.subscribe();
    let desk = Arc::clone(&window.desk);
    let ask = RunStart { token: "begin".into(), ..start(&sorting(&path)) };
    let starting = thread::spawn(move || desk.handle(ask.into()));
    let far = loop {
        let heard = events.wait(Duration::from_secs(60));
        assert!(!heard.is_empty(), "nothing was told of its progress");
        let far = heard.into_iter().find_map(|envelope| match envelope.event {
            Event::Progress { token, done, total, note } if token == "begin" => Some((done, total, note)),
            _ => None,
        });
        if let Some(far) = far {
            break far;
        }
    };
    assert!(far.0 > 0 && far.1 == TEN_GIB && far.2.contains("huge.csv"), "{far:?}");
    window.ask(WorkCancel { token: "begin".into() }).unwrap();
    let failure = starting.join().unwrap().unwrap_err();
    assert!(failure.code == Code::Cancelled && failure.message.contains("huge.csv"), "{failure:?}");
    assert!(window.ask(RunList::default()).unwrap().items.is_empty(), "no run was made");
}

#[test]
fn a_workflow_of_a_newer_version_is_named_and_left_as_it_is() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    let newer = r#"{"version":9,"name":"flow","nodes":[],"links":[],"of_the_future":true}"#;
    let file = sandbox.write("shared.json", newer);
    let failure = window.refused(WorkflowImport { path: shown(&file) }, "shared.json");
    assert!(failure.code == Code::Unsupported && failure.message.contains("version 9"), "{failure:?}");
    assert_eq!(window.ask(WorkflowList {}).unwrap().items, []);

    // One that another program saved in the workspace, and unsaved changes that it kept.
    let saved = sandbox.write("workspace/workflows/future.json", newer);
    let entry = window.ask(WorkflowList {}).unwrap().items.remove(0);
    assert!(entry.n_nodes.is_none() && entry.problem.unwrap().contains("version 9"));
    window.refused(save("future", newer), "version 9");
    window.refused(inspect(newer), "version 9");
    window.refused(start(newer), "version 9");
    window.ask(WorkflowDraft { name: "future".into(), json: newer.replace("true", "false") }).unwrap();
    let doc = window.ask(WorkflowLoad { name: "future".into() }).unwrap();
    assert_eq!((doc.json.as_str(), doc.draft), (newer, Some(newer.replace("true", "false"))), "byte for byte");
    assert_eq!(fs::read_to_string(saved).unwrap(), newer);
}

#[test]
fn unknown_nodes_are_kept_and_a_run_of_them_is_refused_by_name() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    let table = sandbox.write("t.csv", "a\n1\n2\n3\n4\n");
    let flow = sorting(&table).replace(
        r#"{"id":"split","kind":"split"}"#,
        r#"{"id":"split","kind":"split"},{"id":"magic","kind":"later.magic","params":{"depth":3}}"#,
    );
    assert!(flow.contains("later.magic"));
    let file = sandbox.write("flow.json", &flow);
    let doc = window.ask(WorkflowImport { path: shown(&file) }).unwrap();
    let node = Workflow::from_json(&doc.json).unwrap().node("magic").cloned().unwrap();
    assert_eq!((node.kind.as_str(), &node.params["depth"]), ("later.magic", &json!(3)));
    let found = window.ask(inspect(&doc.json)).unwrap();
    assert!(found.columns.iter().any(|port| port.node == "sort"), "the rest is looked at: {found:?}");
    let failure = window.refused(start(&doc.json), "later.magic");
    assert_eq!(failure.subject.as_deref(), Some("magic"));
    window.ask(save("flow", &doc.json)).unwrap();
    assert_eq!(window.ask(WorkflowLoad { name: "flow".into() }).unwrap().json, doc.json);
}

#[test]
fn ten_thousand_nodes_are_taken_and_one_more_is_refused_with_nothing_lost() {
    let sandbox = Sandbox::new();
    let window = Window::open(&sandbox);
    sandbox.write("workspace/data/t.csv", "a\n1\n2\n");
    let file = sandbox.write("most.json", &long(MAX_NODES));
    let doc = window.ask(WorkflowImport { path: shown(&file) }).unwrap();
    assert_eq!(window.ask(WorkflowList {}).unwrap().items[0].n_nodes, Some(MAX_NODES as u32));
    let found = window.ask(inspect(&doc.json)).unwrap();
    assert_eq!((found.problems.len(), found.columns.len()), (0, MAX_NODES));

    let more = long(MAX_NODES + 1);
    let file = sandbox.write("more.json", &more);
    let failure = window.refused(WorkflowImport { path: shown(&file) }, "more.json");
    assert!(failure.code == Code::TooLarge && failure.message.contains("at most 10000 nodes"), "{failure:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), more);
    let codes = [
        window.ask(save(&doc.name, &more)).unwrap_err().code,
        window.ask(inspect(&more)).unwrap_err().code,
        window.ask(start(&more)).unwrap_err().code,
    ];
    assert_eq!(codes, [Code::TooLarge; 3]);
    // What was drawn nevertheless is kept, and what was saved is as it was.
    window.ask(WorkflowDraft { name: doc.name.clone(), json: more.clone() }).unwrap();
    let again = window.ask(WorkflowLoad { name: doc.name }).unwrap();
    assert_eq!((again.json, again.draft), (doc.json, Some(more)));
}

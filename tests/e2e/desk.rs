//! The desk with real workers: what a window sees of runs from their start to their end.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use athanor_engine::desk::{Desk, DeskOptions, Subscription};
use athanor_protocol::{
    Code, Failure,
    api::{
        AlertRetrain, Ask, DevicesList, Event, Hello, Host, ModelVersions, Preview, RunCancel, RunGet, RunList,
        RunLogs, RunMetrics, RunReports, RunResume, RunSaveArtifact, RunSeries, RunStart, RunView, SeriesKey,
        StorageClean, StoragePart, SystemLoad, WorkflowInspect, WorkflowLoad, WorkflowPreview, WorkflowStarter,
        WorkspaceOpen, WorkspaceSample,
    },
    metric::Split,
    monitor::AlertKind,
    names::RunId,
    run::{RunStatus, StepState},
    workflow::Workflow,
};
use athanor_store::NewAlert;
use serde_json::json;

use crate::sandbox::{PATIENCE, Sandbox, athanor, lives, samples};

struct Window {
    desk: Arc<Desk>,
    sandbox: Sandbox,
}

impl Window {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let options = DeskOptions {
            host: Host::Desktop,
            program: athanor(),
            config_folder: sandbox.path("config"),
            default_folder: sandbox.path("workspaces"),
        };
        Self { desk: Desk::new(options).unwrap(), sandbox }
    }

    /// With the workspace that the sandbox's commands use.
    fn open() -> Self {
        let window = Self::new();
        let path = window.sandbox.workspace().display().to_string();
        window.ask(WorkspaceOpen { path, create: true }).unwrap();
        window
    }

    fn ask<A: Ask>(&self, ask: A) -> Result<A::Answer, Failure> {
        A::answer(self.desk.handle(ask.into())?)
    }

    fn start(&self, json: &str) -> RunId {
        self.ask(start(json)).unwrap().run
    }

    fn get(&self, run: &RunId) -> RunView {
        self.ask(RunGet { run: run.clone() }).unwrap()
    }

    /// The run when it is over.
    fn ended(&self, run: &RunId) -> RunView {
        self.until(run, |view| view.detail.summary.status.is_final())
    }

    fn until(&self, run: &RunId, is_so: impl Fn(&RunView) -> bool) -> RunView {
        let began = Instant::now();
        loop {
            let view = self.get(run);
            if is_so(&view) {
                return view;
            }
            assert!(!view.detail.summary.status.is_final() && began.elapsed() < PATIENCE, "{:#?}", view.detail.summary);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn start(json: &str) -> RunStart {
    RunStart {
        json: json.to_owned(),
        device: "cpu".into(),
        seed: 7,
        up_to: None,
        again_from: None,
        token: String::new(),
    }
}

/// A small network on a sample table, which takes as long as its epochs.
fn network(epochs: u64) -> String {
    let path = samples().join("breast_cancer.csv").canonicalize().unwrap();
    json!({
        "version": 2, "name": "net",
        "nodes": [
            { "id": "open", "kind": "table.open", "params": { "path": path } },
            { "id": "split", "kind": "split", "params": { "stratify": "diagnosis" } },
            { "id": "train", "kind": "train.mlp", "params": {
                "target": "diagnosis", "epochs": epochs, "patience": 0, "batch_size": 16, "checkpoint_every_steps": 20 } },
            { "id": "judge", "kind": "evaluate" },
            { "id": "keep", "kind": "register", "params": { "name": "net" } }],
        "links": [
            { "from": "open.table", "to": "split.table" }, { "from": "split.splits", "to": "train.splits" },
            { "from": "train.model", "to": "judge.model" }, { "from": "split.splits", "to": "judge.splits" },
            { "from": "train.model", "to": "keep.model" }]
    })
    .to_string()
}

#[test]
fn an_alert_leads_in_one_step_to_a_run_on_newer_data() {
    let window = Window::open();
    let run = window.start(&network(2));
    assert_eq!(window.ended(&run).detail.summary.status, RunStatus::Finished);
    let raised = NewAlert {
        model: "net".to_owned(),
        model_version: 1,
        kind: AlertKind::DataDrift,
        column: String::new(),
        message: "the data of net:1 drifted".to_owned(),
        report_id: 1,
        raised_at_millis: 5,
    };
    let (alert, _) = window.desk.workspace().unwrap().store.raise_alert(&raised).unwrap();
    let retrain =
        |table: Option<&str>| AlertRetrain { id: alert.id, table: table.map(str::to_owned), token: String::new() };
    let refused = window.ask(retrain(None)).unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.message.contains("0 captured rows"), "{refused:?}");
    // By a path that starts at the workspace.
    let newer = window.sandbox.workspace().join("newer.csv");
    std::fs::copy(samples().join("breast_cancer.csv"), &newer).unwrap();
    let answer = window.ask(retrain(Some("newer.csv"))).unwrap();
    assert_eq!((Path::new(&answer.table), answer.n_rows), (newer.as_path(), None));
    let done = window.ended(&answer.run);
    assert_eq!(done.detail.summary.status, RunStatus::Finished, "{:#?}", done.detail.summary);
    let tags = &done.detail.summary.tags;
    assert!(tags.iter().any(|(key, value)| key == "alert" && *value == format!("{} of net:1", alert.id)), "{tags:?}");
    let versions = window.ask(ModelVersions { model: "net".to_owned(), after: None }).unwrap().items;
    assert_eq!(versions.iter().map(|item| item.version).collect::<Vec<_>>(), [2, 1]);
    let kept = window.ask(WorkflowLoad { name: answer.workflow.clone() });
    assert!(kept.is_ok(), "{}: {kept:?}", answer.workflow);
}

fn states(view: &RunView) -> Vec<StepState> {
    view.detail.steps.iter().map(|step| step.state).collect()
}

/// What was heard until a run's end was told.
fn heard(events: &Subscription, run: &RunId) -> Vec<Event> {
    let began = Instant::now();
    let mut heard = vec![];
    while began.elapsed() < PATIENCE {
        for envelope in events.wait(Duration::from_millis(100)) {
            let is_end =
                matches!(&envelope.event, Event::RunChanged { run: told } if told.id == *run && told.status.is_final());
            heard.push(envelope.event);
            if is_end {
                return heard;
            }
        }
    }
    panic!("the end was never told: {heard:?}");
}

#[test]
fn a_run_is_told_from_its_start_to_its_end_and_can_be_looked_into() {
    let window = Window::open();
    let events = window.desk.subscribe();
    let run = window.start(&network(30));
    let told = heard(&events, &run);
    let statuses: Vec<RunStatus> = told
        .iter()
        .filter_map(|event| if let Event::RunChanged { run } = event { Some(run.status) } else { None })
        .collect();
    assert_eq!((statuses.first(), statuses.last()), (Some(&RunStatus::Queued), Some(&RunStatus::Finished)));
    assert!(statuses.contains(&RunStatus::Running));
    let done: BTreeSet<&str> = told
        .iter()
        .filter_map(|event| match event {
            Event::RunStep { progress, .. } if progress.state == StepState::Done => Some(progress.node.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(done, BTreeSet::from(["judge", "keep", "open", "split", "train"]));
    assert!(told.iter().any(|event| matches!(event, Event::ModelsChanged {})));
    assert!(told.iter().any(|event| matches!(event, Event::RunLog { .. })));
    let most = told.iter().map(|event| if let Event::RunMetrics { points, .. } = event { points.len() } else { 0 });
    assert!(most.max().is_some_and(|most| (1..=400).contains(&most)));

    let view = window.get(&run);
    assert_eq!(states(&view), [StepState::Done; 5]);
    assert_eq!(view.versions, [("net".to_owned(), 1)]);
    let row = &window.ask(RunList::default()).unwrap().items[0];
    assert_eq!(row.learners, ["Neural network"]);
    assert!(row.params.contains(&("train.epochs".to_owned(), "30".to_owned())));
    let metrics = window.ask(RunMetrics { run: run.clone(), text: "valid/".into(), offset: 0, limit: 10 }).unwrap();
    assert_eq!(metrics.total, 2);
    let series = SeriesKey { run: run.clone(), key: "loss".into(), split: Split::Valid };
    let curve = RunSeries { series: vec![series], from_step: None, to_step: None, n_buckets: 100 };
    let curve = window.ask(curve).unwrap().series.remove(0);
    assert_eq!((curve.buckets.len(), curve.times.len(), curve.epochs.len()), (30, 30, 30));
    assert_eq!(curve.epochs, (1..=30).map(f64::from).collect::<Vec<_>>());
    assert!(curve.buckets.iter().any(|bucket| bucket.last < curve.buckets[0].last), "the curve falls");
    let lines = window.ask(RunLogs { run: run.clone(), after: 0, limit: 100 }).unwrap().items;
    assert!(lines.iter().any(|line| line.text.contains("training")), "{lines:?}");
    let reports = window.ask(RunReports { run: run.clone() }).unwrap().items;
    assert_eq!((reports.len(), reports[0].0.as_str()), (1, "judge"));
    assert!(reports[0].1.evaluation.confusion.is_some());

    let package = window.sandbox.path("out.athanor");
    let save = |name: &str, path: &Path| {
        window.ask(RunSaveArtifact { run: run.clone(), name: name.into(), path: path.display().to_string() })
    };
    save("train.model.athanor", &package).unwrap();
    assert!(std::fs::metadata(&package).unwrap().len() > 1000);
    assert_eq!(save("nothing", &package).unwrap_err().code, Code::NotFound);
    assert_eq!(save("train.model.athanor", Path::new("here")).unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn parts_run_by_themselves_results_are_found_again_and_made_anew_when_asked() {
    let window = Window::open();
    let json = network(5);
    let part = window.ask(RunStart { up_to: Some("split".into()), ..start(&json) }).unwrap().run;
    let view = window.ended(&part);
    assert_eq!(view.detail.steps.iter().map(|step| step.node.as_str()).collect::<Vec<_>>(), ["open", "split"]);
    let inspect = || {
        let ask = WorkflowInspect { json: json.clone(), seed: 7, device: "cpu".into() };
        window.ask(ask).unwrap().cached
    };
    assert_eq!(inspect(), ["open", "split"]);
    let whole = window.ended(&window.start(&json));
    use StepState::{Cached, Done};
    assert_eq!(states(&whole), [Cached, Cached, Done, Done, Done], "a part's results are those of the whole");
    assert_eq!(inspect(), ["open", "split", "train", "judge"]);

    let preview = |node: &str, port: &str| {
        let (json, node, port) = (json.clone(), node.to_owned(), port.to_owned());
        let ask = WorkflowPreview { json, node, port, seed: 7, device: "cpu".into(), offset: 2, limit: 5 };
        window.ask(ask).unwrap()
    };
    let Preview::Splits { train, n_rows } = preview("split", "splits") else { panic!("no splits") };
    assert_eq!((train.offset, train.cells[0].len(), n_rows.iter().sum::<u64>()), (2, 5, 569));
    let Preview::Model { signature, facts, .. } = preview("train", "model") else { panic!("no model") };
    assert_eq!(signature.target, "diagnosis");
    assert!(facts.iter().any(|(name, value)| name == "learner" && value == "network"), "{facts:?}");
    assert!(matches!(preview("judge", "report"), Preview::Report { report } if report.n_rows > 50));

    let again = window.ask(RunStart { again_from: Some("train".into()), ..start(&json) }).unwrap().run;
    // The same bytes come out, so the version is there already.
    assert_eq!(states(&window.ended(&again))[..4], [Cached, Cached, Done, Done]);
    assert!(window.ask(StorageClean { part: StoragePart::Cache }).unwrap().freed_bytes > 0);
    assert!(inspect().is_empty());
    assert_eq!(window.get(&again).detail.summary.status, RunStatus::Finished);
}

#[test]
fn a_run_is_stopped_and_goes_on_where_it_was() {
    let window = Window::open();
    let run = window.start(&network(3_000));
    let running = window.until(&run, |view| {
        let train = view.progress.iter().find(|progress| progress.node == "train").unwrap();
        train.done > 100 && !train.note.is_empty()
    });
    assert!(running.detail.owner.is_some());
    let load = window.ask(SystemLoad {}).unwrap();
    assert!(load.workers.iter().any(|worker| worker.run == run && worker.memory_bytes > 1 << 20), "{load:?}");
    let elsewhere = WorkspaceOpen { path: window.sandbox.path("other").display().to_string(), create: true };
    assert_eq!(window.ask(elsewhere).unwrap_err().code, Code::Conflict, "runs are not left behind");
    assert_eq!(window.ask(StorageClean { part: StoragePart::Cache }).unwrap_err().code, Code::Conflict);
    window.ask(RunCancel { run: run.clone() }).unwrap();
    let view = window.ended(&run);
    let summary = &view.detail.summary;
    assert_eq!((summary.status, summary.resumable), (RunStatus::Cancelled, true));
    assert_eq!(window.ask(RunCancel { run: run.clone() }).unwrap_err().code, Code::Conflict);
    let before = summary.latest.iter().find(|point| point.key == "loss").unwrap().step;

    let events = window.desk.subscribe();
    window.ask(RunResume { run: run.clone() }).unwrap();
    let view = window.until(&run, |view| {
        let loss = view.detail.summary.latest.iter().find(|point| point.key == "loss");
        view.detail.summary.attempt == 2 && loss.is_some_and(|point| point.step > before + 20)
    });
    assert_eq!(view.detail.summary.status, RunStatus::Running);
    window.ask(RunCancel { run: run.clone() }).unwrap();
    heard(&events, &run);
}

#[test]
fn more_runs_than_there_is_room_for_wait_and_closing_ends_them_all_in_order() {
    let window = Window::open();
    let runs: Vec<RunId> = (0..6)
        .map(|n| {
            let json = network(20_000 + n);
            window.start(&json)
        })
        .collect();
    let worker = window.until(&runs[0], |view| view.progress.iter().any(|p| p.node == "train" && p.done > 50));
    assert_eq!(worker.detail.summary.status, RunStatus::Running);
    let pid = window.sandbox.worker_pid(runs[0].as_str()).unwrap();
    assert!(lives(pid));
    assert_eq!(window.get(&runs[5]).detail.summary.status, RunStatus::Queued);
    window.ask(RunCancel { run: runs[5].clone() }).unwrap();
    assert_eq!(window.get(&runs[5]).detail.summary.status, RunStatus::Cancelled);
    window.desk.shut_down();
    for run in &runs[..5] {
        let summary = window.get(run).detail.summary;
        assert_eq!((summary.status, summary.resumable), (RunStatus::Cancelled, true), "{summary:#?}");
        assert_eq!(summary.failure.unwrap().message, "the program was closed");
    }
    assert!(!lives(pid), "no worker outlives the program");
}

#[test]
fn the_sample_workspace_is_ready_to_run_and_is_made_once() {
    let window = Window::new();
    let info = window.ask(WorkspaceSample {}).unwrap();
    assert_eq!(window.ask(WorkspaceSample {}).unwrap(), info);
    assert_eq!(window.ask(Hello {}).unwrap().workspace, Some(info));
    let doc = window.ask(WorkflowLoad { name: "wine".into() }).unwrap();
    let inspection = window.ask(WorkflowInspect { json: doc.json.clone(), seed: 7, device: "cpu".into() }).unwrap();
    assert_eq!(inspection.problems, []);
    let view = window.ended(&window.start(&doc.json));
    assert_eq!(view.detail.summary.status, RunStatus::Finished, "{:?}", view.detail.summary.failure);
}

#[test]
fn a_starter_runs_for_every_kind_of_target() {
    let window = Window::open();
    for (table, target, learner, metric) in [
        ("breast_cancer.csv", "diagnosis", "train.trees", "accuracy"),
        ("diabetes.csv", "progression", "train.linear", "r2"),
    ] {
        let path = samples().join(table).canonicalize().unwrap();
        let header = std::fs::read_to_string(&path).unwrap();
        let columns: Vec<&str> = header.lines().next().unwrap().split(',').collect();
        let target = if columns.contains(&target) { target } else { columns.last().unwrap() };
        let starter = WorkflowStarter {
            path: path.display().to_string(),
            target: target.into(),
            learner: learner.into(),
            register_as: Some("starter".into()),
            test: 0.2,
            valid: 0.2,
        };
        let doc = window.ask(starter).unwrap();
        let workflow = Workflow::from_json(&doc.json).unwrap();
        assert!(workflow.nodes.iter().all(|node| node.position.is_some()));
        let view = window.ended(&window.start(&doc.json));
        let summary = &view.detail.summary;
        assert_eq!(summary.status, RunStatus::Finished, "{:?}", summary.failure);
        let test = summary.latest.iter().find(|point| point.split == Split::Test && point.key == metric).unwrap();
        assert!(test.value.to_f64() > 0.2, "{table}: {metric} is {}", test.value);
    }
}

#[test]
fn a_window_sees_the_runs_of_the_command_line_and_stops_them() {
    let window = Window::open();
    let flow = window.sandbox.write("net.json", &network(20_000));
    let mut running = window.sandbox.start(&["run", flow.to_str().unwrap(), "--device", "cpu"]);
    let run = RunId::new(window.sandbox.only_run(&mut running)).unwrap();
    window.until(&run, |view| view.progress.iter().any(|progress| progress.state == StepState::Running));
    window.ask(RunCancel { run: run.clone() }).unwrap();
    let summary = window.get(&run).detail.summary;
    assert_eq!((summary.status, summary.resumable), (RunStatus::Cancelled, true));
    assert_eq!(running.done().json["status"], "cancelled");
}

#[test]
fn devices_are_looked_for_once() {
    let window = Window::open();
    let first = window.ask(DevicesList { refresh: false }).unwrap();
    assert_eq!(first.devices[0].name, "cpu");
    assert!(first.devices.iter().any(|device| device.name == first.auto) && first.problem.is_none(), "{first:?}");
    let began = Instant::now();
    assert_eq!(window.ask(DevicesList { refresh: false }).unwrap(), first);
    assert!(began.elapsed() < Duration::from_millis(100));
}

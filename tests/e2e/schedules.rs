//! Predictions by the clock that another process carries out: looked at, stopped, and gone on with.

use std::{fs, path::Path, sync::Arc, time::Instant};

use athanor_engine::desk::{Desk, DeskOptions};
use athanor_protocol::{
    Code, Failure,
    api::{Ask, Event, Host, ScheduleInfo, ScheduleList, ScheduleReport, ScheduleRunNow, ScheduleStop, WorkspaceOpen},
};
use serde_json::Value;

use crate::sandbox::{Running, Sandbox, athanor, sample, samples, signal};

/// Rows of the sample, and how often they stand in the table.
const ROWS: usize = 178;
const TIMES: usize = 12_000;

fn ask<A: Ask>(desk: &Arc<Desk>, ask: A) -> Result<A::Answer, Failure> {
    A::answer(desk.handle(ask.into())?)
}

/// A desk as a window has it, on the sandbox's workspace.
fn window(sandbox: &Sandbox) -> Arc<Desk> {
    let options = DeskOptions {
        host: Host::Desktop,
        program: athanor(),
        config_folder: sandbox.path("config"),
        default_folder: sandbox.path("workspaces"),
    };
    let desk = Desk::new(options).unwrap();
    ask(&desk, WorkspaceOpen { path: sandbox.workspace().display().to_string(), create: false }).unwrap();
    desk
}

fn serve(sandbox: &Sandbox) -> Running {
    let mut serving = sandbox.start(&["serve", "--no-ui", "--bind", "127.0.0.1:0"]);
    // Once it says where, it holds the workspace.
    serving.line();
    serving
}

/// Lines of the journal beside an output: the first says which job it is, each other one is a part.
fn n_lines(parts: &Path) -> usize {
    fs::read(parts.join("journal")).map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count())
}

#[test]
fn what_another_process_is_at_is_seen_stopped_and_gone_on_with() {
    let sandbox = Sandbox::new();
    let fast = ["--set", "linear.epochs=30", "--set", "trees.n_rounds=20"];
    sandbox.ok(&[&["run", sample("wine").to_str().unwrap(), "--device", "cpu"], &fast[..]].concat());
    let text = fs::read_to_string(samples().join("wine.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let table = sandbox.write("many.csv", &format!("{header}\n{}", rows.repeat(TIMES)));
    let (table, whole) = (table.to_str().unwrap().to_owned(), sandbox.path("whole.csv"));
    let to = sandbox.path("nightly.csv");
    let predict = ["predict", "wine@production", &table, "-o", to.to_str().unwrap()];
    let added = sandbox.ok(&[&["schedule", "add", "--cron", "0 3 1 1 *"], &predict[..]].concat());
    let id = added["id"].as_str().unwrap().to_owned();
    let refused = sandbox.run(&["schedule", "stop", &id]);
    assert_eq!(refused.json["error"]["code"], "conflict", "it is not at work: {}", refused.stdout);

    // The one that serves carries out, since it was there first; the window looks on.
    let mut serving = serve(&sandbox);
    sandbox.ok(&["schedule", "run", &id]);
    serving.wait_until("it is begun", || {
        sandbox.ok(&["schedule", "list"])["schedules"][0]["executions"][0].is_object().then_some(())
    });
    let parts = sandbox.path(".nightly.csv.athanor-parts");
    let desk = window(&sandbox);
    let events = desk.subscribe();
    serving.wait_until("a part is done", || (n_lines(&parts) >= 2).then_some(()));
    let now = || -> ScheduleInfo { ask(&desk, ScheduleList {}).unwrap().items.remove(0) };
    let far = serving.wait_until("the window sees how far it is", || now().far);
    assert!(far.n_rows > 0 && far.share.is_some_and(|share| share > 0.0 && share < 1.0), "{far:?}");
    ask(&desk, ScheduleStop { id: id.clone() }).unwrap();
    let began = Instant::now();
    let run =
        serving.wait_until("it has ended", || Some(now().runs.remove(0)).filter(|run| run.ended_millis.is_some()));
    println!("it ended {} ms after it was stopped", began.elapsed().as_millis());
    assert!(run.stopped && !run.stopping && run.failure.is_none() && run.version.is_none(), "{run:?}");
    assert!(run.n_rows >= 65_536 && run.n_rows < (ROWS * TIMES) as u64, "{run:?}");
    assert!(parts.exists() && !to.exists(), "the journal stays for the next time");
    assert_eq!(now().far, None);
    serving.wait_until("the window was told", || {
        let told = events.wait(std::time::Duration::from_millis(50));
        told.iter().any(|told| matches!(told.event, Event::SchedulesChanged {})).then_some(())
    });
    let listed = sandbox.ok(&["schedule", "list"]);
    let execution = &listed["schedules"][0]["executions"][0];
    assert_eq!((&execution["stopped"], execution["n_rows"].as_u64()), (&Value::Bool(true), Some(run.n_rows)));
    assert_eq!(ask(&desk, ScheduleStop { id: id.clone() }).unwrap_err().code, Code::Conflict);

    // The next one goes on behind these rows, and ends with the bytes of an unbroken one.
    ask(&desk, ScheduleRunNow { id: id.clone() }).unwrap();
    let done = serving.wait_until("the next one is done", || {
        let info = now();
        (info.runs.len() == 2 && info.runs[0].ended_millis.is_some()).then(|| info.runs[0].clone())
    });
    assert_eq!((done.failure.clone(), done.n_rows), (None, (ROWS * TIMES) as u64), "{done:?}");
    let report = ask(&desk, ScheduleReport { id: id.clone() }).unwrap().report.unwrap();
    assert_eq!(report.n_resumed, run.n_rows);
    sandbox.ok(&["predict", "wine@production", &table, "-o", whole.to_str().unwrap()]);
    assert!(fs::read(&to).unwrap() == fs::read(&whole).unwrap(), "other bytes than those of an unbroken run");

    // Broken off by a kill, it would go on: while nobody is at it, the command line stops it at once.
    desk.shut_down();
    drop(desk);
    fs::remove_file(&to).unwrap();
    sandbox.ok(&["schedule", "run", &id]);
    serving.wait_until("a part is done", || (n_lines(&parts) >= 2).then_some(()));
    signal(serving.pid(), "KILL");
    serving.done();
    let stopped = sandbox.ok(&["schedule", "stop", &id]);
    assert_eq!(stopped["stopped"], true, "{stopped}");
    assert!(stopped["n_rows"].as_u64().is_some_and(|n_rows| n_rows >= 65_536), "{stopped}");
    let list = sandbox.ok(&["schedule", "list"]);
    assert!(list["schedules"][0]["executions"][0]["ended_millis"].is_i64(), "{list}");
}

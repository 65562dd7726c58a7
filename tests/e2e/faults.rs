//! What breaks: killed processes, stopped runs, full disks. Afterwards everything acknowledged is there, nothing half
//! written is visible, and the next command works.

use std::{fs, path::Path, process::Command};

use athanor_learn::package::Package;
use athanor_protocol::package::PartName;

use crate::sandbox::{PATIENCE, Running, Sandbox, athanor, lives, sample, signal};

/// A training of some seconds with everything that a checkpoint must carry: Adam, a schedule, dropout, mid-epoch steps.
const LONG: [&str; 14] = [
    "--device",
    "cpu",
    "--set",
    "train.hidden=128,128",
    "--set",
    "train.dropout=0.2",
    "--set",
    "train.epochs=1000",
    "--set",
    "train.patience=0",
    "--set",
    "train.batch_size=16",
    "--set",
    "train.checkpoint_every_steps=7",
];

fn start_long(sandbox: &Sandbox, extra: &[&str]) -> Running {
    let flow = sample("breast_cancer");
    let mut args = vec!["run", flow.to_str().unwrap()];
    args.extend(LONG);
    args.extend(extra);
    sandbox.start(&args)
}

/// Starts a long run and waits until its first checkpoint is on the disk: it is then in the middle of an epoch.
fn long_run(sandbox: &Sandbox, extra: &[&str]) -> (Running, String) {
    let mut running = start_long(sandbox, extra);
    let run = sandbox.only_run(&mut running);
    running.wait_until("the first checkpoint", || sandbox.has_checkpoint(&run).then_some(()));
    (running, run)
}

fn weights(sandbox: &Sandbox) -> Vec<u8> {
    let file = sandbox.path("weights.athanor");
    sandbox.ok(&["models", "export", "breast_cancer", "-o", file.to_str().unwrap()]);
    let package = Package::read(fs::read(file).unwrap()).unwrap();
    package.part(PartName::Weights).unwrap().to_vec()
}

fn wait_for_end(pid: u32) {
    let began = std::time::Instant::now();
    while lives(pid) {
        assert!(began.elapsed() < PATIENCE, "process {pid} does not end");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_run_killed_twice_in_mid_epoch_ends_with_the_weights_of_an_unbroken_one() {
    let unbroken = Sandbox::new();
    let done = start_long(&unbroken, &[]).done();
    assert_eq!(done.status, 0, "{}", done.stderr);

    // First the worker is killed: the supervisor tells at once, and why.
    let sandbox = Sandbox::new();
    let (running, run) = long_run(&sandbox, &[]);
    signal(sandbox.worker_pid(&run).unwrap(), "KILL");
    let done = running.done();
    assert_eq!(
        (done.status, done.json["status"].as_str(), done.json["resumable"].as_bool()),
        (1, Some("failed"), Some(true)),
        "{}",
        done.stdout
    );
    assert!(done.json["failure"]["message"].as_str().unwrap().contains("signal 9"), "{}", done.stdout);

    // Then the supervisor of the second attempt: its worker notices and stops, and the next command tells.
    let before = checkpoint_names(&sandbox, &run);
    let mut running = sandbox.start(&["runs", "resume", &run]);
    running.wait_until("another checkpoint", || {
        let now = checkpoint_names(&sandbox, &run);
        (!now.is_empty() && now != before).then_some(())
    });
    let worker = sandbox.worker_pid(&run).unwrap();
    running.kill();
    wait_for_end(worker);
    let listed = sandbox.ok(&["runs", "show", &run]);
    assert_eq!((listed["status"].as_str(), listed["attempt"].as_u64()), (Some("failed"), Some(2)), "{listed}");
    assert!(listed["failure"]["message"].as_str().unwrap().contains("supervised"), "{listed}");

    let resumed = sandbox.ok(&["runs", "resume", &run]);
    assert_eq!((resumed["status"].as_str(), resumed["attempt"].as_u64()), (Some("finished"), Some(3)));
    assert!(weights(&sandbox) == weights(&unbroken), "the resumed run's weights differ");
    // One curve without holes or doubled steps.
    let curve = |sandbox: &Sandbox, run: &str| {
        sandbox.ok(&["runs", "metrics", run, "train/loss", "--points", "10000"])["series"].clone()
    };
    let unbroken_run = unbroken.ok(&["runs", "list"])["runs"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(curve(&sandbox, &run), curve(&unbroken, &unbroken_run));
    assert_eq!(sandbox.run(&["runs", "resume", &run]).status, 1, "a finished run is not resumed");
}

fn checkpoint_names(sandbox: &Sandbox, run: &str) -> Vec<String> {
    let folder = sandbox.workspace().join("jobs").join(run).join("checkpoints");
    let steps = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = steps.flat_map(|step| fs::read_dir(step.path()).into_iter().flatten().flatten());
    let mut names: Vec<String> = files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.contains("tmp"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_cancel_frees_the_worker_and_everything_else_works_meanwhile() {
    let sandbox = Sandbox::new();
    let (running, run) = long_run(&sandbox, &["--set", "train.epochs=100000"]);
    let worker = sandbox.worker_pid(&run).unwrap();
    // While it trains, the workspace is readable and writable, and other work runs.
    assert_eq!(sandbox.ok(&["runs", "list"])["runs"][0]["status"], "running");
    assert!(sandbox.ok(&["runs", "metrics", &run])["metrics"].is_array());
    sandbox.ok(&["keys", "create"]);
    let other = sample("diabetes");
    sandbox.ok(&["run", other.to_str().unwrap(), "--device", "cpu", "--set", "train.epochs=3"]);

    // Somebody who tries to resume it meanwhile is refused, and it goes on undisturbed.
    assert_eq!(sandbox.run(&["runs", "resume", &run]).status, 1);
    assert!(lives(worker), "the refused resume ended the run");

    assert_eq!(sandbox.ok(&["runs", "cancel", &run])["status"], "cancelled");
    assert!(!lives(worker), "the worker is still there after the cancel was acknowledged");
    let done = running.done();
    assert_eq!((done.status, done.json["status"].as_str()), (1, Some("cancelled")));
    assert_eq!(sandbox.run(&["runs", "cancel", &run]).status, 1, "a run that is over cannot be cancelled");
    assert_eq!(sandbox.run(&["runs", "cancel", "zzzz"]).status, 1);
}

#[test]
fn a_worker_that_does_not_obey_is_killed() {
    let sandbox = Sandbox::new();
    let (running, run) = long_run(&sandbox, &["--set", "train.epochs=100000"]);
    let worker = sandbox.worker_pid(&run).unwrap();
    signal(worker, "STOP");
    assert_eq!(sandbox.ok(&["runs", "cancel", &run])["status"], "cancelled");
    assert!(!lives(worker));
    assert_eq!(running.done().json["status"], "cancelled");
}

#[test]
fn a_run_whose_supervisor_is_stopped_can_be_cancelled() {
    let sandbox = Sandbox::new();
    let (running, run) = long_run(&sandbox, &["--set", "train.epochs=100000"]);
    let worker = sandbox.worker_pid(&run).unwrap();
    signal(running.pid(), "STOP");
    assert_eq!(sandbox.ok(&["runs", "cancel", &run])["status"], "cancelled");
    assert!(!lives(worker));
    signal(running.pid(), "CONT");
    assert_eq!(running.done().json["status"], "cancelled");
}

#[test]
fn ctrl_c_stops_in_order_and_the_run_can_go_on() {
    let sandbox = Sandbox::new();
    let (running, run) = long_run(&sandbox, &[]);
    signal(running.pid(), "INT");
    let done = running.done();
    assert_eq!((done.status, done.json["status"].as_str()), (1, Some("cancelled")), "{}", done.stderr);
    assert_eq!(sandbox.ok(&["runs", "resume", &run])["status"], "finished");
}

#[test]
fn a_worker_over_its_memory_limit_is_ended_with_the_reason() {
    let sandbox = Sandbox::new();
    let flow = sample("breast_cancer");
    let done = sandbox.run(&[
        "run",
        flow.to_str().unwrap(),
        "--device",
        "cpu",
        "--memory-limit",
        "16",
        "--set",
        "train.epochs=100000",
        "--set",
        "train.patience=0",
    ]);
    assert_eq!((done.status, done.json["failure"]["code"].as_str()), (1, Some("out_of_memory")), "{}", done.stdout);
    assert!(done.json["failure"]["message"].as_str().unwrap().contains("16 MiB"));
}

#[test]
fn two_runs_at_once_in_one_workspace_both_finish() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let start = |name: &str, set: &str| {
        let flow = sample(name);
        sandbox.start(&["run", flow.to_str().unwrap(), "--device", "cpu", "--set", set])
    };
    let both = [
        start("breast_cancer", "train.epochs=30"),
        start("diabetes", "train.epochs=30"),
        start("breast_cancer", "train.epochs=30"),
    ];
    for running in both {
        let done = running.done();
        assert_eq!(done.json["status"], "finished", "{}\n{}", done.stdout, done.stderr);
    }
    assert_eq!(sandbox.ok(&["models", "list"])["models"].as_array().unwrap().len(), 2);
}

/// Kills the whole run (supervisor and worker) at one moment after the other, in one workspace, and looks each time
/// whether it is sound.
#[test]
fn kill_9_at_any_moment_leaves_a_sound_workspace() {
    let sandbox = Sandbox::new();
    let flow = sample("breast_cancer");
    for moment in 0..12u64 {
        let seed = moment.to_string();
        let mut running = sandbox.start(&[
            "run",
            flow.to_str().unwrap(),
            "--device",
            "cpu",
            "--seed",
            &seed,
            "--set",
            "train.epochs=40",
        ]);
        // The moment is a number of files written so far, so that it means the same on a fast and on a slow machine.
        let goal = 2 + 9 * moment;
        let base = count_files(&sandbox.workspace());
        while running.is_running() && count_files(&sandbox.workspace()) < base + goal {}
        let workers: Vec<u32> = run_ids(&sandbox).iter().filter_map(|run| sandbox.worker_pid(run)).collect();
        running.kill();
        workers.into_iter().filter(|pid| lives(*pid) && is_ours(*pid)).for_each(|pid| signal(pid, "KILL"));
        check_sound(&sandbox);
    }
    assert_eq!(sandbox.ok(&["run", flow.to_str().unwrap(), "--device", "cpu"])["status"], "finished");
}

fn is_ours(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == athanor())
}

fn run_ids(sandbox: &Sandbox) -> Vec<String> {
    let jobs = fs::read_dir(sandbox.workspace().join("jobs")).into_iter().flatten().flatten();
    jobs.map(|job| job.file_name().to_string_lossy().into_owned()).collect()
}

fn count_files(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

fn check_sound(sandbox: &Sandbox) {
    let workspace = sandbox.workspace();
    if !workspace.join("athanor.json").is_file() {
        return;
    }
    let runs = sandbox.ok(&["runs", "list", "--limit", "1000"]);
    for run in runs["runs"].as_array().unwrap() {
        assert!(["failed", "finished", "cancelled"].contains(&run["status"].as_str().unwrap()), "{run}");
        sandbox.ok(&["runs", "show", run["id"].as_str().unwrap()]);
    }
    // Every registered version can be exported, which checks every byte of it.
    for model in sandbox.ok(&["models", "list"])["models"].as_array().unwrap() {
        for version in 1..=model["n_versions"].as_u64().unwrap() {
            let reference = format!("{}:{version}", model["name"].as_str().unwrap());
            sandbox.ok(&["models", "export", &reference, "-o", sandbox.path("check.athanor").to_str().unwrap()]);
        }
    }
    // Every result in the cache is complete; what is not complete has another name.
    for group in fs::read_dir(workspace.join("cache")).into_iter().flatten().flatten() {
        for result in fs::read_dir(group.path()).unwrap().flatten() {
            let name = result.file_name().to_string_lossy().into_owned();
            assert!(name.ends_with(".tmp") || result.path().join("outcome.json").is_file(), "{name} is half a result");
        }
    }
}

#[test]
fn a_full_disk_fails_one_run_and_loses_nothing() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("small")).unwrap();
    // A file system of three megabytes in a mount namespace of its own: what happens there is seen nowhere else.
    let script = r#"
        set -e
        mount -t tmpfs -o size=3m none "$SMALL"
        "$ATHANOR" init --workspace "$SMALL/w" > /dev/null
        "$ATHANOR" keys create --workspace "$SMALL/w" --json > "$OUT/key.json"
        head -c 100m /dev/zero > "$SMALL/filler" 2> /dev/null || true
        set +e
        "$ATHANOR" run "$FLOW" --device cpu --workspace "$SMALL/w" --json > "$OUT/full.json" 2> "$OUT/full.txt"
        echo $? > "$OUT/full.status"
        rm "$SMALL/filler"
        "$ATHANOR" keys list --workspace "$SMALL/w" --json > "$OUT/keys.json" 2> "$OUT/keys.txt"
        echo $? > "$OUT/keys.status"
        "$ATHANOR" run "$FLOW" --device cpu --set train.epochs=3 --workspace "$SMALL/w" --json > "$OUT/after.json" 2> "$OUT/after.txt"
        echo $? > "$OUT/after.status"
    "#;
    let mut command = Command::new("unshare");
    // Without root, a user namespace gives the right to mount.
    let flags = if fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
        "-m"
    } else {
        "-rm"
    };
    let output = command
        .args([flags, "bash", "-c", script])
        .env("SMALL", sandbox.path("small"))
        .env("OUT", sandbox.folder.path())
        .env("ATHANOR", athanor())
        .env("FLOW", sample("breast_cancer"))
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap_or_default();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read("full.status").trim(), "1");
    let said = format!("{}{}", read("full.json"), read("full.txt"));
    assert!(said.contains("disk_full") || said.contains("No space left") || said.contains("full"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(read("keys.status").trim(), "0", "{}", read("keys.txt"));
    let key: serde_json::Value = serde_json::from_str(&read("key.json")).unwrap();
    assert!(read("keys.json").contains(key["id"].as_str().unwrap()), "what was acknowledged is lost");
    assert_eq!(read("after.status").trim(), "0", "{}", read("after.txt"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("file", "in the way");
    let workspace = file.join("workspace");
    let output = Command::new(athanor()).args(["init", "--json", "--workspace"]).arg(&workspace).output().unwrap();
    let done = crate::sandbox::done(output);
    assert_eq!(done.status, 1);
    assert!(done.json["error"]["message"].as_str().unwrap().contains(workspace.to_str().unwrap()), "{}", done.stdout);
}

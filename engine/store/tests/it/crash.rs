//! Several processes, and what is left when one is killed: the tests start this very program again as the other process.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use athanor_protocol::metric::Split;
use athanor_store::{Batch, Expected, LogLine, PageRequest, Recorded, SqliteStore, Store};

use super::help::{id, metrics, point, running, version};

const FILE: &str = "ATHANOR_STORE_TEST_FILE";
const N_POINTS: u64 = 50;

/// Starts this test again in another process, with the file to work on.
fn start_again(test: &str, file: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The file to work on, in the other process.
fn file_of_child() -> Option<PathBuf> {
    env::var_os(FILE).map(PathBuf::from)
}

fn acknowledge(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {what}").unwrap();
    out.flush().unwrap();
}

/// What the other process acknowledged: reads until `n` are there, kills it, and reads what it had still said.
fn acknowledged_before_kill(mut child: Child, n: usize) -> Vec<String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = vec![];
    for line in lines {
        let line = line.unwrap();
        // A line that the kill cut off has no end that could be checked, so it is told by its last word.
        if let Some(what) = line.strip_prefix("ack ").and_then(|what| what.strip_suffix('.')) {
            found.push(what.to_owned());
        }
        if found.len() == n {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was to be killed");
    found
}

fn batch(seq: u64) -> Batch {
    let line = LogLine { at_millis: 1, level: "info".to_owned(), text: seq.to_string() };
    let points = (0..N_POINTS).map(|n| point("loss", seq * N_POINTS + n, seq as f64)).collect();
    Batch { logs: vec![line], tags: vec![(format!("t{seq}"), String::new())], ..metrics(points) }
}

#[test]
fn killed_in_the_middle_of_record_loses_nothing_acknowledged() {
    if let Some(file) = file_of_child() {
        let store = SqliteStore::open(&file).unwrap();
        for seq in 0.. {
            assert_eq!(store.record(&id(1), 1, seq, &batch(seq)).unwrap(), Recorded::Applied);
            acknowledge(&format!("{seq}."));
        }
    }
    for n in [1, 23, 150, 400] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("athanor.db");
        running(&SqliteStore::open(&file).unwrap(), 1);
        let test = "crash::killed_in_the_middle_of_record_loses_nothing_acknowledged";
        let acknowledged = acknowledged_before_kill(start_again(test, &file), n);
        assert!(acknowledged.len() >= n);

        let store = SqliteStore::open(&file).unwrap();
        let logs = store.logs(&id(1), 0, u32::MAX).unwrap();
        let stored: Vec<u64> = logs.iter().map(|line| line.line.text.parse().unwrap()).collect();
        assert!(stored.len() >= acknowledged.len(), "{} of {} are there", stored.len(), acknowledged.len());
        assert_eq!(stored, (0..stored.len() as u64).collect::<Vec<_>>());
        // Each is there completely, and nothing of any other.
        let mut steps = BTreeSet::new();
        let mut request = PageRequest::first(1000);
        loop {
            let page = store.points(&id(1), "loss", Split::Train, &request).unwrap();
            steps.extend(page.items.iter().map(|point| point.step));
            let Some(next) = page.next else { break };
            request = PageRequest::after(1000, next);
        }
        assert_eq!(steps, (0..stored.len() as u64 * N_POINTS).collect());
        let detail = store.run(&id(1)).unwrap();
        assert_eq!(detail.summary.tags.len(), stored.len());
        assert_eq!(detail.summary.latest[0].step, stored.len() as u64 * N_POINTS - 1);
        // The retry of the last one is recognised, and work goes on.
        let next = stored.len() as u64;
        assert_eq!(store.record(&id(1), 1, next - 1, &batch(next - 1)).unwrap(), Recorded::Duplicate);
        assert_eq!(store.record(&id(1), 1, next, &batch(next)).unwrap(), Recorded::Applied);
        assert!(store.findings().unwrap().is_empty());
    }
}

#[test]
fn killed_while_registering_keeps_every_acknowledged_version() {
    if let Some(file) = file_of_child() {
        let store = SqliteStore::open(&file).unwrap();
        for n in 1.. {
            assert_eq!(store.register_version("wine", &version(n)).unwrap().version, n);
            store.set_alias("wine", "production", n, Expected::Anything, 1).unwrap();
            acknowledge(&format!("{n}."));
        }
    }
    for n in [1, 40] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("athanor.db");
        let test = "crash::killed_while_registering_keeps_every_acknowledged_version";
        let acknowledged = acknowledged_before_kill(start_again(test, &file), n).len() as u32;
        let store = SqliteStore::open(&file).unwrap();
        let latest = store.resolve(&"wine".parse().unwrap()).unwrap().version;
        let production = store.resolve(&"wine@production".parse().unwrap()).unwrap().version;
        assert!(latest >= production && production >= acknowledged);
        assert!(latest <= production + 1);
        assert_eq!(store.register_version("wine", &version(latest + 1)).unwrap().version, latest + 1);
        assert!(store.findings().unwrap().is_empty());
    }
}

#[test]
fn killed_while_making_databases_leaves_only_whole_ones() {
    if let Some(folder) = file_of_child() {
        for n in 0.. {
            drop(SqliteStore::open(&folder.join(format!("{n}.db"))).unwrap());
            acknowledge(&format!("{n}."));
        }
    }
    for n in [1, 2, 3, 5, 8, 13] {
        let folder = tempfile::tempdir().unwrap();
        let test = "crash::killed_while_making_databases_leaves_only_whole_ones";
        let acknowledged = acknowledged_before_kill(start_again(test, folder.path()), n);
        // The next one is the one that it was making.
        for n in 0..=acknowledged.len() {
            let store = SqliteStore::open(&folder.path().join(format!("{n}.db"))).unwrap();
            assert!(store.findings().unwrap().is_empty());
            running(&store, 1);
        }
    }
}

#[test]
fn two_processes_write_at_once_without_locking_each_other_out() {
    const N_BATCHES: u64 = 150;
    let write = |file: &Path, run: u32| {
        let store = SqliteStore::open(file).unwrap();
        for seq in 0..N_BATCHES {
            assert_eq!(store.record(&id(run), 1, seq, &batch(seq)).unwrap(), Recorded::Applied);
            store.heartbeat(&id(run), 1, 5_000).unwrap();
            store.register_version("wine", &version(run * 1_000 + seq as u32 % 10)).unwrap();
        }
    };
    if let Some(file) = file_of_child() {
        return write(&file, 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athanor.db");
    let store = SqliteStore::open(&file).unwrap();
    (1..=3).for_each(|n| drop(running(&store, n)));
    let mut child = start_again("crash::two_processes_write_at_once_without_locking_each_other_out", &file);
    std::thread::scope(|scope| {
        scope.spawn(|| write(&file, 2));
        scope.spawn(|| write(&file, 3));
    });
    assert!(child.wait().unwrap().success());
    for run in 1..=3 {
        assert_eq!(store.logs(&id(run), 0, u32::MAX).unwrap().len() as u64, N_BATCHES);
    }
    assert_eq!(store.resolve(&"wine".parse().unwrap()).unwrap().version, 30);
    assert!(store.findings().unwrap().is_empty());
}

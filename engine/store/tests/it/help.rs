//! What the tests share: small values and a place for files.

use athanor_protocol::{
    metric::{MetricPoint, Split},
    names::RunId,
    run::{NewRun, Owner, StepRecord, StepState},
    signature::{ModelSignature, Task},
};
use athanor_store::{Batch, NewVersion, SqliteStore, Store};

/// The n-th run id; ids sort as their numbers.
pub fn id(n: u32) -> RunId {
    RunId::new(format!("{n:026}")).unwrap()
}

pub fn new_run(n: u32) -> NewRun {
    let step = |node: &str| StepRecord {
        node: node.to_owned(),
        kind: "prepare.filter".to_owned(),
        key: "00".to_owned(),
        state: StepState::Pending,
        millis: None,
    };
    NewRun {
        id: id(n),
        workflow: "wine".to_owned(),
        workflow_json: "{\"version\":1}".to_owned(),
        seed: u64::MAX,
        device: "cpu".to_owned(),
        created_at_millis: 1_000 + i64::from(n),
        steps: vec![step("open"), step("train"), step("another")],
        params: vec![("train.epochs".to_owned(), "40".to_owned())],
        environment: vec![("host".to_owned(), "here".to_owned())],
    }
}

pub fn owner() -> Owner {
    Owner { host: "here".to_owned(), pid: 7, started: u64::MAX }
}

/// A run that is at work.
pub fn running(store: &dyn Store, n: u32) -> RunId {
    store.create_run(&new_run(n)).unwrap();
    store.start_attempt(&id(n), 1, &owner(), 2_000).unwrap();
    id(n)
}

pub fn point(key: &str, step: u64, value: f64) -> MetricPoint {
    MetricPoint {
        key: key.to_owned(),
        split: Split::Train,
        step,
        at_millis: 5_000 + step.cast_signed() % 1_000_000,
        value: value.into(),
    }
}

pub fn metrics(points: Vec<MetricPoint>) -> Batch {
    Batch { metrics: points, ..Batch::default() }
}

pub fn version(n: u32) -> NewVersion {
    NewVersion {
        run_id: Some(id(n)),
        sha256: format!("{n:064x}"),
        n_bytes: 10,
        signature: ModelSignature { task: Task::Regression, target: "y".to_owned(), inputs: vec![], classes: vec![] },
        metrics: vec![athanor_protocol::package::FinalMetric { key: "test/rmse".to_owned(), value: f64::NAN.into() }],
        signed_by: "ab".repeat(32),
        created_at_millis: i64::from(n),
    }
}

/// A folder with a store in it.
pub fn on_disk() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("athanor.db")).unwrap();
    (folder, store)
}

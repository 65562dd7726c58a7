//! Databases of every released version open, keep what they hold, and end up like new ones.

use std::path::Path;

use athanor_protocol::{
    Code,
    metric::{MetricValue, Split},
    registry::Scope,
    run::RunStatus,
};
use athanor_store::{PageRequest, RunQuery, SqliteStore, Store};

use super::help::id;

/// The migrations as they were released, and the length and sum of each: a released one never changes.
pub const RELEASED: [(&str, usize, u64); 5] = [
    (include_str!("../../src/sqlite/migrations/0001_initial.sql"), 8879, 0xcb88d9f92abd987f),
    (include_str!("../../src/sqlite/migrations/0002_rollouts.sql"), 1486, 0x8330c379065e25d5),
    (include_str!("../../src/sqlite/migrations/0003_key_limits.sql"), 1530, 0x47716eca98e2ac82),
    (include_str!("../../src/sqlite/migrations/0004_monitor.sql"), 1452, 0x9499c35a3b434ef7),
    (include_str!("../../src/sqlite/migrations/0005_registry.sql"), 3664, 0xb99fd92707baa4cd),
];
/// Rows as version 1 wrote them.
const V1_ROWS: &str = include_str!("../data/v1.sql");

/// FNV-1a, 64 bits.
fn sum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn make(file: &Path, version: usize, rows: &str) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.pragma_update(None, "application_id", 0x4174_6872).unwrap();
    connection.pragma_update(None, "user_version", version as i64).unwrap();
    for (migration, ..) in &RELEASED[..version] {
        connection.execute_batch(migration).unwrap();
    }
    connection.execute_batch(rows).unwrap();
}

#[test]
fn released_migrations_never_change() {
    for (n, (text, length, expect)) in RELEASED.iter().enumerate() {
        assert_eq!((text.len(), sum(text)), (*length, *expect), "migration {}", n + 1);
    }
}

#[test]
fn a_database_of_version_1_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athanor.db");
    make(&file, 1, V1_ROWS);
    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(store.findings().unwrap(), Vec::<String>::new());
    let page = store.list_runs(&RunQuery::default()).unwrap();
    assert_eq!(page.items.iter().map(|run| run.id.clone()).collect::<Vec<_>>(), [id(2), id(1)]);
    let run = store.run(&id(1)).unwrap();
    assert_eq!((run.summary.status, run.summary.attempt, run.summary.seed), (RunStatus::Failed, 2, u64::MAX));
    assert_eq!(run.summary.failure.map(|failure| failure.code), Some(Code::OutOfMemory));
    assert_eq!((run.steps.len(), run.params.len(), run.environment.len(), run.summary.tags.len()), (1, 1, 1, 1));
    assert_eq!((run.datasets.len(), run.artifacts.len(), run.note.as_str()), (1, 1, "a note"));
    let points = store.points(&id(1), "loss", Split::Valid, &PageRequest::first(10)).unwrap().items;
    let values: Vec<_> = points.iter().map(|point| point.value).collect();
    assert_eq!(values, [MetricValue::Finite(0.5), MetricValue::NaN, MetricValue::PosInf, MetricValue::NegInf]);
    assert_eq!(store.logs(&id(1), 0, 10).unwrap()[0].line.text, "a line");
    let version = store.resolve(&"wine@production".parse().unwrap()).unwrap();
    assert_eq!((version.version, version.metrics.len(), version.signature.inputs.len()), (1, 1, 1));
    let key = store.find_key("k1").unwrap().unwrap();
    assert_eq!((key.info.scopes, key.secret_sha256), (vec![Scope::Predict, Scope::Admin], [7; 32]));
    assert_eq!((store.key_limits().unwrap(), store.previous_secrets(0).unwrap()), (vec![], vec![]));
    assert_eq!(store.trusted_signers().unwrap().len(), 1);
    assert_eq!(store.audit(&PageRequest::first(10)).unwrap().items.len(), 1);
    assert!(store.change_counter().unwrap() > 0);
    assert_eq!(store.resume(&id(1), 9_000).unwrap(), 3);
}

//! What can only be seen from inside: faults of the disk and the file, guards of the database itself, query plans.
#![allow(clippy::unwrap_used)]

use std::fs;

use athanor_protocol::{Code, metric::Split, names::RunId, run::NewRun};

use super::{open, *};
use crate::types::RunSort;

fn new_run(n: u32) -> NewRun {
    NewRun {
        id: RunId::new(format!("{n:026}")).unwrap(),
        workflow: "wine".to_owned(),
        workflow_json: "x".repeat(2_000),
        seed: 1,
        device: "cpu".to_owned(),
        created_at_millis: 1,
        steps: vec![],
        params: vec![],
        environment: vec![],
    }
}

fn on_disk() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("athanor.db")).unwrap();
    (folder, store)
}

#[test]
fn a_full_disk_is_named_and_reading_goes_on() {
    let (_folder, store) = on_disk();
    store.create_run(&new_run(0)).unwrap();
    let n_pages: i64 = lock(&store.writer).pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |n: i64| {
        let set: i64 =
            lock(&store.writer).pragma_update_and_check(None, "max_page_count", n, |row| row.get(0)).unwrap();
        assert_eq!(set, n);
    };
    limit(n_pages + 3);
    let mut n_written = 1;
    let err = loop {
        match store.create_run(&new_run(n_written)) {
            Ok(()) => n_written += 1,
            Err(err) => break err,
        }
        assert!(n_written < 1_000, "the disk never got full");
    };
    assert_eq!(err.code(), Code::DiskFull, "{err}");
    let listed = |store: &SqliteStore| {
        let query = RunQuery { page: PageRequest::first(1_000), ..RunQuery::default() };
        store.list_runs(&query).unwrap().items.len()
    };
    assert_eq!(listed(&store), n_written as usize);
    assert_eq!(store.run(&new_run(0).id).unwrap().summary.workflow, "wine");
    // With room again, writing goes on where it stopped.
    limit(1_000_000);
    store.create_run(&new_run(n_written)).unwrap();
    assert_eq!(listed(&store), n_written as usize + 1);
    assert!(store.findings().unwrap().is_empty());
}

#[test]
fn a_write_that_may_not_be_is_a_refused_permission() {
    let (_folder, store) = on_disk();
    lock(&store.writer).pragma_update(None, "query_only", true).unwrap();
    assert_eq!(store.create_run(&new_run(0)).unwrap_err().code(), Code::PermissionDenied);
    assert!(store.running().unwrap().is_empty());
}

#[test]
fn a_migration_that_was_interrupted_never_happened() {
    let statements: Vec<&str> = open::MIGRATIONS[0].split_inclusive(";\n").collect();
    for n_done in [1, statements.len() / 2, statements.len()] {
        let folder = tempfile::tempdir().unwrap();
        let (file, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let connection = Connection::open(&file).unwrap();
        // So small a cache that the half-done transaction reaches the disk before its end.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN IMMEDIATE").unwrap();
        connection.execute_batch(&statements[..n_done].concat()).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        // What a killed process leaves: the files as they are now.
        fs::copy(&file, &copy).unwrap();
        fs::copy(folder.path().join("a.db-wal"), folder.path().join("b.db-wal")).unwrap();
        drop(connection);
        let store = SqliteStore::open(&copy).unwrap();
        assert_eq!(store.findings().unwrap(), Vec::<String>::new());
        store.create_run(&new_run(1)).unwrap();
    }
}

#[test]
fn a_migration_that_fails_leaves_the_version_before() {
    let mut connection = Connection::open_in_memory().unwrap();
    let path = Path::new(":memory:");
    let migrations = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"];
    let err = open::migrate(path, &mut connection, &migrations).unwrap_err();
    assert_eq!(err.code(), Code::Internal);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let names: Vec<_> = open::schema(&connection).unwrap().into_iter().map(|(_, name, _)| name).collect();
    assert_eq!((version, names), (1, vec!["a".to_owned()]));
    let mended = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
    // Only two are known to this test, and the program knows fewer: it refuses what it does not know.
    let known = open::MIGRATIONS.len();
    let result = open::migrate(path, &mut connection, &mended);
    assert!(result.is_ok() || known < 2, "{result:?}");
}

#[test]
fn missing_tables_and_indexes_are_findings() {
    let (_folder, store) = on_disk();
    let check = |sql: &str, expect: &str| {
        lock(&store.writer).execute_batch(sql).unwrap();
        assert_eq!(store.findings().unwrap().last().map(String::as_str), Some(expect));
    };
    check("DROP INDEX run_by_created", "the index run_by_created is missing");
    check("DROP TABLE run_tag", "the table run_tag is missing");
}

#[test]
fn the_database_itself_guards_what_must_not_change() {
    let (_folder, store) = on_disk();
    store.create_run(&new_run(1)).unwrap();
    let sql = |sql: &str| lock(&store.writer).execute_batch(sql).map_err(|err| err.to_string());
    sql("INSERT INTO model (no, name) VALUES (1, 'm'); INSERT INTO audit (at, actor, action, subject, detail) VALUES (1, 'a', 'b', 'c', '{}')").unwrap();
    let version = "INSERT INTO model_version VALUES (1, 1, lower(hex(zeroblob(32))), 1, NULL, '{}', '[]', 'x', 1)";
    sql(version).unwrap();
    for forbidden in [
        "UPDATE model_version SET n_bytes = 2",
        "DELETE FROM model_version",
        version,
        "DELETE FROM model",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "INSERT INTO model_alias VALUES (1, 'production', 2, 1)",
        "UPDATE run SET status = 'paused'",
        "UPDATE run SET status = 'running'",
        "UPDATE run SET status = 'finished'",
        "UPDATE run SET ended_at = 5",
        "UPDATE run SET attempt = 0",
        "UPDATE run SET deleted_at = 5",
        "INSERT INTO run_tag VALUES (99, 'a', 'b')",
    ] {
        assert!(sql(forbidden).is_err(), "{forbidden}");
    }
}

#[test]
fn lists_follow_an_index() {
    let (_folder, store) = on_disk();
    let check = |sql: &str| {
        let plan: Vec<String> = store
            .read(|tx| {
                let mut statement = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let rows = statement.query_map([], |row| row.get(3))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .unwrap();
        for line in &plan {
            assert!(
                !line.contains("TEMP B-TREE") && (line.contains("INDEX") || line.contains("PRIMARY KEY")),
                "{sql}: {plan:?}"
            );
        }
    };
    check(
        "SELECT no FROM run WHERE deleted_at IS NULL AND (created_at, id) < (5, 'x') ORDER BY created_at DESC, id DESC LIMIT 50",
    );
    check("SELECT id FROM run WHERE status = 'queued' ORDER BY queued_at, id LIMIT 1");
    check("SELECT id FROM run WHERE status IN ('queued', 'running') ORDER BY id");
    check("SELECT step FROM metric_point WHERE series = 1 AND step BETWEEN 3 AND 9 ORDER BY step");
    check("SELECT key FROM metric_latest WHERE run_no = 1 AND (split, key) > (1, 'a') ORDER BY split, key LIMIT 5");
    check("SELECT model_no FROM model_alias WHERE alias = 'production'");
}

#[test]
fn a_panic_in_a_transaction_leaves_a_usable_store() {
    let (_folder, store) = on_disk();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.write::<()>(Power, |tx| {
            runs::create(tx, &new_run(1))?;
            std::panic::resume_unwind(Box::new("a defect"))
        })
    }));
    assert!(caught.is_err());
    assert!(store.running().unwrap().is_empty());
    store.create_run(&new_run(1)).unwrap();
}

#[test]
fn metric_order_needs_no_look_at_the_history() {
    let (_folder, store) = on_disk();
    store.create_run(&new_run(1)).unwrap();
    lock(&store.writer).execute_batch("DROP TABLE metric_point").unwrap();
    let query =
        RunQuery { sort: RunSort::Metric { key: "loss".to_owned(), split: Split::Train }, ..RunQuery::default() };
    assert_eq!(store.list_runs(&query).unwrap().items.len(), 1);
}

//! Reading MLflow's database: cells of every kind, files that are none, schemas that lie, logs beside the file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::Code;
use athanor_store::{
    SqliteStore, StoreError,
    foreign_mlflow::{Database, MAX_TEXT_BYTES, Pair, Point, SLICE_ROWS, Unfit, make},
};
use rusqlite::Connection;

/// The tables as a recent MLflow has them, without types that would turn a cell into another.
const SCHEMA: &str = "
    CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('abc123');
    CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name, artifact_location, lifecycle_stage);
    CREATE TABLE runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id);
    CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan);
    CREATE TABLE params (key, value, run_uuid);
    CREATE TABLE tags (key, value, run_uuid);
    CREATE TABLE logged_models (model_id, experiment_id, name, source_run_id, lifecycle_stage);
    CREATE TABLE registered_models (name);
    CREATE TABLE model_versions (name, version);
";
/// The tables as the first MLflow had them.
const OLD: &str = "
    CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256) NOT NULL);
    CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, experiment_id INTEGER);
    CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32));
    CREATE TABLE params (key VARCHAR(250), value VARCHAR(250), run_uuid VARCHAR(32));
    CREATE TABLE tags (key VARCHAR(250), value VARCHAR(250), run_uuid VARCHAR(32));
    INSERT INTO experiments VALUES (0, 'old');
    INSERT INTO runs VALUES ('a', 0);
    INSERT INTO metrics VALUES ('loss', 0.5, 7, 'a');
";

fn database(statements: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlflow.db");
    make(&path, statements).unwrap();
    (folder, path)
}

/// Names and contents of all files beside each other.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn all_points(db: &Database, run: &str) -> Result<Vec<Point>, StoreError> {
    let (mut found, mut after) = (vec![], None);
    loop {
        let slice = db.points(run, after)?;
        found.extend(slice.rows);
        match slice.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

#[test]
fn cells_are_read_as_what_they_hold() {
    let statements = format!(
        "{SCHEMA}
        INSERT INTO experiments VALUES (7, 'churn', 'x', 'active'), (8, x'00', NULL, 'deleted');
        INSERT INTO runs VALUES
            ('a', 'fox', 'FINISHED', 1000, 2000.0, 'active', 's3://b', 7),
            (NULL, 5, x'41', 'soon', 1.5, 'deleted', NULL, '7'),
            (CAST(x'ff' AS TEXT), NULL, NULL, NULL, NULL, NULL, NULL, NULL);
        INSERT INTO metrics VALUES
            ('loss', 0.5, 1, 'a', 0, 0), ('loss', 0, 2, 'a', 1, 1),
            ('loss', 1.7976931348623157e308, 3, 'a', 2, 0), ('loss', -1.7976931348623157e308, 4, 'a', 3, 0),
            ('loss', 3, 5, 'a', -4, NULL), ('loss', 'much', 6, 'a', 5, 0), ('loss', NULL, 'now', 'a', 6.5, 0),
            (NULL, 1.0, 7, 'a', 7, 0), ('loss', 9e999, 8, 'a', 8, 0), ('loss', 1.0, 9, 'b', 0, 0);
        INSERT INTO params VALUES ('p', 'v', 'a'), ('nul', 'a' || char(0) || 'b', 'a'), (1, 2.5, 'a'), (x'00', NULL, 'a'),
            ('long', printf('%.*c', {}, 'x'), 'a');
        INSERT INTO tags VALUES ('t', NULL, 'a');
        INSERT INTO logged_models VALUES ('m-1', 7, 'clf', 'a', 'active'), ('m-2', NULL, NULL, NULL, 'deleted');
        INSERT INTO registered_models VALUES ('x'), ('y');
        INSERT INTO model_versions VALUES ('x', 1), ('x', 2), ('y', 1);",
        MAX_TEXT_BYTES + 1
    );
    let (folder, path) = database(&statements);
    let before = everything(folder.path());
    let db = Database::open(&path).unwrap();
    assert_eq!(db.version().unwrap().as_deref(), Some("abc123"));
    let experiment = db.experiment(7).unwrap().unwrap();
    assert_eq!((experiment.name.as_deref(), experiment.is_deleted), (Ok("churn"), false));
    let odd = db.experiment(8).unwrap().unwrap();
    assert_eq!((odd.name, odd.is_deleted), (Err(Unfit::NotText), true));
    assert_eq!(db.experiment(9).unwrap(), None);

    let runs = db.runs(None).unwrap();
    assert_eq!((runs.rows.len(), runs.next), (3, None));
    let run = &runs.rows[0];
    assert_eq!((run.uuid.as_deref(), run.experiment, run.name.as_deref()), (Ok("a"), Some(7), Ok("fox")));
    assert_eq!((run.started_at_millis, run.ended_at_millis, run.is_deleted), (Some(1000), Some(2000), false));
    assert_eq!((run.status.as_deref(), run.artifact_uri.as_deref()), (Ok("FINISHED"), Ok("s3://b")));
    let odd = &runs.rows[1];
    assert_eq!((&odd.uuid, &odd.name, &odd.status), (&Err(Unfit::Missing), &Err(Unfit::NotText), &Err(Unfit::NotText)));
    assert_eq!((odd.started_at_millis, odd.ended_at_millis, odd.experiment, odd.is_deleted), (None, None, None, true));
    assert_eq!(runs.rows[2].uuid, Err(Unfit::NotUtf8));

    let points = all_points(&db, "a").unwrap();
    let values: Vec<String> = points.iter().map(|point| format!("{:?}@{:?}", point.value, point.step)).collect();
    assert_eq!(
        values,
        [
            "Some(0.5)@Some(0)",
            "Some(NaN)@Some(1)",
            "Some(inf)@Some(2)",
            "Some(-inf)@Some(3)",
            "Some(3.0)@Some(-4)",
            "None@Some(5)",
            "None@None",
            "Some(1.0)@Some(7)",
            "Some(inf)@Some(8)"
        ]
    );
    assert_eq!((points[6].at_millis, &points[7].key), (None, &Err(Unfit::Missing)));

    let params = db.params("a", None).unwrap().rows;
    let pair = |key: &str, value: &str| Pair { key: Ok(key.to_owned()), value: Ok(value.to_owned()) };
    assert_eq!(params[..2], [pair("p", "v"), pair("nul", "a\0b")]);
    assert_eq!(params[2], Pair { key: Err(Unfit::NotText), value: Err(Unfit::NotText) });
    assert_eq!(params[3], Pair { key: Err(Unfit::NotText), value: Err(Unfit::Missing) });
    assert_eq!(params[4].value, Err(Unfit::TooLong { n_bytes: MAX_TEXT_BYTES as u64 + 1 }));
    assert_eq!(db.tags("a", None).unwrap().rows[0].value, Err(Unfit::Missing));
    assert_eq!(db.tags("' OR 1 --", None).unwrap().rows, []);
    let models = db.logged_models(None).unwrap().rows;
    assert_eq!((models[0].id.as_deref(), models[0].run.as_deref(), models[0].is_deleted), (Ok("m-1"), Ok("a"), false));
    assert_eq!((models[1].experiment, models[1].is_deleted), (None, true));
    assert_eq!(db.registered().unwrap(), (2, 3));
    drop(db);
    assert_eq!(everything(folder.path()), before, "nothing is written");
}

#[test]
fn the_oldest_schema_is_read() {
    let (_folder, path) = database(OLD);
    let db = Database::open(&path).unwrap();
    assert_eq!((db.version().unwrap(), db.registered().unwrap(), db.remarks()), (None, (0, 0), &[][..]));
    let run = db.runs(None).unwrap().rows.remove(0);
    assert_eq!((run.name, run.status, run.started_at_millis), (Err(Unfit::Missing), Err(Unfit::Missing), None));
    let point = all_points(&db, "a").unwrap().remove(0);
    assert_eq!((point.step, point.value, point.at_millis), (Some(0), Some(0.5), Some(7)));
    assert_eq!(db.logged_models(None).unwrap().rows, []);
}

#[test]
fn long_tables_come_in_slices() {
    let n = 2 * SLICE_ROWS + 5;
    let count = format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {} )", n - 1);
    let (_folder, path) = database(&format!(
        "{SCHEMA} {count} INSERT INTO metrics SELECT 'loss', i, i, 'a', i, 0 FROM n;
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39)
        INSERT INTO params SELECT 'p' || i, printf('%.*c', 1000000, 'x'), 'a' FROM n;"
    ));
    let db = Database::open(&path).unwrap();
    let first = db.points("a", None).unwrap();
    assert_eq!((first.rows.len(), first.next.is_some()), (SLICE_ROWS, true));
    let steps: Vec<i64> = all_points(&db, "a").unwrap().iter().filter_map(|point| point.step).collect();
    assert!(steps.iter().copied().eq(0..n as i64));
    let first = db.params("a", None).unwrap();
    assert!(first.rows.len() < 20 && first.next.is_some(), "memory is bounded by bytes as well: {}", first.rows.len());
    let (mut n_params, mut after) = (0, None);
    loop {
        let slice = db.params("a", after).unwrap();
        n_params += slice.rows.len();
        after = slice.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(n_params, 40);
}

#[test]
fn what_is_no_database_of_mlflow_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, code: Code, words: &str| {
        let err = Database::open(path).unwrap_err();
        assert!(err.code() == code && err.to_string().contains(words), "{path:?}: {:?} {err}", err.code());
        assert!(err.hint().is_some() && err.subject().is_some(), "{err}");
    };
    let path = |name: &str| folder.path().join(name);
    refused(&path("nowhere"), Code::NotFound, "cannot be read");
    refused(folder.path(), Code::InvalidArgument, "not a file");
    fs::write(path("empty"), b"").unwrap();
    refused(&path("empty"), Code::BadData, "empty");
    fs::write(path("text"), b"experiment_id: 7\n").unwrap();
    refused(&path("text"), Code::BadData, "not an SQLite database");
    fs::write(path("short"), b"SQLite format 3\0").unwrap();
    refused(&path("short"), Code::Corrupt, "cut off");
    make(&path("whole"), &format!("{SCHEMA} INSERT INTO params VALUES ('a', printf('%.*c', 99999, 'x'), 'a');"))
        .unwrap();
    let bytes = fs::read(path("whole")).unwrap();
    fs::write(path("cut"), &bytes[..bytes.len() - 4096]).unwrap();
    refused(&path("cut"), Code::Corrupt, "cut off");
    drop(SqliteStore::open(&path("ours")).unwrap());
    refused(&path("ours"), Code::BadData, "Athanor");
    for (at, (statements, words)) in [
        ("CREATE TABLE t (x);", "no table 'experiments'"),
        ("CREATE TABLE experiments (experiment_id, name);", "no table 'runs'"),
        ("CREATE TABLE experiments (experiment_id, title);", "no column 'name'"),
        ("CREATE VIEW experiments AS SELECT 1 AS experiment_id, 'x' AS name;", "is a view"),
        ("CREATE VIRTUAL TABLE experiments USING fts5 (experiment_id, name);", "virtual table"),
        ("CREATE TABLE experiments (experiment_id, name AS (hex(zeroblob(99999999))));", "'name' is computed"),
        ("CREATE TABLE experiments (experiment_id, name AS ('x') STORED);", "'name' is computed"),
        ("CREATE TABLE experiments (experiment_id PRIMARY KEY, name) WITHOUT ROWID;", "no numbers"),
        // What the schema says of itself is not what it is.
        (
            "CREATE TABLE t (x); CREATE VIEW experiments AS SELECT 1 AS experiment_id, 'x' AS name;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET type = 'table', rootpage = 2 WHERE name = 'experiments';",
            "malformed database schema",
        ),
        (
            "CREATE VIRTUAL TABLE experiments USING fts5 (experiment_id, name);
             PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'experiments';",
            "kind \"virtual\" in truth",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("other{at}");
        make(&path(&name), statements).unwrap();
        let err = Database::open(&path(&name)).unwrap_err();
        assert!(matches!(err.code(), Code::BadData | Code::Corrupt), "{statements}: {err}");
        assert!(err.to_string().contains(words), "{statements}: {err}");
    }
}

#[test]
fn optional_tables_that_lie_are_told_and_not_read() {
    let odd = SCHEMA
        .replace("CREATE TABLE registered_models (name)", "CREATE VIEW registered_models AS SELECT 'x' AS name")
        .replace("model_id, experiment_id, name, source_run_id", "model_id, experiment_id");
    let (_folder, path) = database(&odd);
    let db = Database::open(&path).unwrap();
    assert_eq!(db.remarks().len(), 2, "{:?}", db.remarks());
    assert!(db.remarks().iter().any(|remark| remark.contains("'registered_models'") && remark.contains("view")));
    assert!(db.remarks().iter().any(|remark| remark.contains("no column 'name'")));
    assert_eq!((db.registered().unwrap(), db.logged_models(None).unwrap().rows.len()), ((0, 0), 0));
}

#[test]
fn code_of_the_schema_is_not_run() {
    let (folder, path) = database(&format!(
        "{SCHEMA} INSERT INTO tags VALUES ('a', 'b', 'a'); INSERT INTO params VALUES ('a', 'b', 'a');
        CREATE TRIGGER evil AFTER INSERT ON tags BEGIN DELETE FROM tags; END;
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql, 'run_uuid', 'run_uuid COLLATE odd') WHERE name = 'params';"
    ));
    let before = everything(folder.path());
    let db = Database::open(&path).unwrap();
    assert_eq!(db.tags("a", None).unwrap().rows.len(), 1);
    // Comparing would ask for a function that only another program has.
    let err = db.params("a", None).unwrap_err();
    assert!(err.code() == Code::BadData && err.to_string().contains("odd"), "{err}");
    drop(db);
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn a_log_beside_the_file_is_read_where_that_needs_no_write() {
    let (folder, path) = database(&format!("{SCHEMA} PRAGMA journal_mode = WAL;"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // By its header it has a log, but none is there: none is made.
    let db = Database::open(&path).unwrap();
    assert_eq!(db.tags("a", None).unwrap().rows, []);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Somebody begins to write: what is read now may be neither old nor new.
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("INSERT INTO tags VALUES ('t', 'new', 'a')").unwrap();
    let err = db.tags("a", None).unwrap_err();
    assert!(err.code() == Code::Conflict && err.to_string().contains("changed"), "{err}");
    drop(db);
    // While the writer lives, its log is read with the file.
    let db = Database::open(&path).unwrap();
    assert_eq!(db.tags("a", None).unwrap().rows[0].value.as_deref(), Ok("new"));
    writer.execute_batch("INSERT INTO tags VALUES ('t2', 'newer', 'a')").unwrap();
    assert_eq!(db.tags("a", None).unwrap().rows.len(), 2);
    drop(db);
    // A copy without the log's index: reading it would mean to make one.
    let copy = tempfile::tempdir().unwrap();
    for end in ["", "-wal"] {
        let name = format!("mlflow.db{end}");
        fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let err = Database::open(&copy.path().join("mlflow.db")).unwrap_err();
    assert!(err.code() == Code::Conflict && err.to_string().contains("log beside it"), "{err}");
    assert_eq!(fs::read_dir(copy.path()).unwrap().count(), 2);
    drop(writer);
    assert_eq!(Database::open(&path).unwrap().tags("a", None).unwrap().rows.len(), 2);
}

#[test]
fn a_write_that_was_broken_off_is_left_to_mlflow() {
    let (folder, path) = database(&format!("{SCHEMA} INSERT INTO tags VALUES ('t', 'old', 'a');"));
    let writer = Connection::open(&path).unwrap();
    // A small cache, so that the transaction reaches the file before it ends.
    writer
        .execute_batch(
            "PRAGMA cache_size = 5; BEGIN IMMEDIATE;
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO params SELECT 'p' || i, printf('%.*c', 300, 'x'), 'a' FROM n;",
        )
        .unwrap();
    let copy = tempfile::tempdir().unwrap();
    for end in ["", "-journal"] {
        let name = format!("mlflow.db{end}");
        fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let before = everything(copy.path());
    let err = Database::open(&copy.path().join("mlflow.db")).unwrap_err();
    assert!(err.code() == Code::Conflict && err.to_string().contains("broken off"), "{err}");
    assert!(err.hint().unwrap().contains("mlflow"), "{err}");
    assert_eq!(everything(copy.path()), before);
    drop(writer);
}

/// A database whose table of metrics has pages above others.
fn large() -> (tempfile::TempDir, PathBuf, Vec<u8>, usize) {
    let (folder, path) = database(&format!(
        "PRAGMA page_size = 4096; {SCHEMA}
        INSERT INTO experiments VALUES (7, 'churn', 'x', 'active');
        INSERT INTO runs VALUES ('a', 'fox', 'FINISHED', 1000, 2000, 'active', 's3://b', 7);
        INSERT INTO params VALUES ('p', printf('%.*c', 20000, 'x'), 'a');
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO metrics SELECT 'loss', i, i, 'a', i, 0 FROM n;"
    ));
    let root: i64 = {
        let look = Connection::open(&path).unwrap();
        look.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'metrics'", [], |row| row.get(0)).unwrap()
    };
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes, (root as usize - 1) * 4096)
}

#[test]
fn pages_that_lead_in_a_circle_come_to_an_end() {
    let (_folder, path, mut bytes, root) = large();
    // The format of a page above others: type 5, the number of its cells at 3, their places from 12 on; a cell begins
    // with the page below it.
    assert_eq!(bytes[root], 5);
    let word = |bytes: &[u8], at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let n_cells = word(&bytes, root + 3);
    assert!(n_cells > 3);
    let first = root + word(&bytes, root + 12);
    let below: [u8; 4] = bytes[first..first + 4].try_into().unwrap();
    for cell in 1..n_cells {
        let at = root + word(&bytes, root + 12 + 2 * cell);
        bytes[at..at + 4].copy_from_slice(&below);
    }
    fs::write(&path, &bytes).unwrap();
    let db = Database::open(&path).unwrap();
    let err = all_points(&db, "a").unwrap_err();
    assert!(err.code() == Code::Corrupt && err.to_string().contains("out of order"), "{err}");
}

#[test]
fn damage_anywhere_is_an_error_or_odd_rows_and_never_a_panic() {
    let (_folder, path, whole, _) = large();
    // The same damage each time: a step through the file that meets every page in different places.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let (mut n_refused, mut n_errors) = (0, 0);
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 6 {
            // Headers of pages are hit more often than they would be by chance.
            let within = if next() % 2 == 0 { next() % 16 } else { next() % 4096 };
            let at = (next() % (bytes.len() / 4096) * 4096 + within).min(bytes.len() - 1);
            bytes[at] = next() as u8;
        }
        if round % 10 == 0 {
            bytes.truncate(next() % bytes.len());
        }
        fs::write(&path, &bytes).unwrap();
        let db = match Database::open(&path) {
            Ok(db) => db,
            Err(err) => {
                assert!(matches!(err, StoreError::Mlflow { .. }), "{err}");
                n_refused += 1;
                continue;
            }
        };
        let read = || -> Result<(), StoreError> {
            db.version()?;
            db.experiment(7)?;
            db.runs(None)?;
            db.params("a", None)?;
            db.tags("a", None)?;
            db.logged_models(None)?;
            db.registered()?;
            all_points(&db, "a").map(drop)
        };
        n_errors += u32::from(read().is_err());
    }
    assert!(n_refused > 20 && n_errors > 20, "the damage must be felt: {n_refused} {n_errors}");
}

//! Opening a foreign database: what it is by its bytes, how it may be opened without writing, what it holds.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use athanor_protocol::Code;
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::Database;
use crate::{
    error::{Result, StoreError},
    sqlite::{APPLICATION_ID, BUSY, beside, immutable_uri, look_at_header},
};

/// Steps of SQLite's machine between two looks at how many a statement has taken.
pub(super) const STEPS_PER_LOOK: i32 = 100_000;
/// Most looks for one statement, that is four thousand million steps: more than a table of a hundred million rows needs,
/// and an end for one whose pages lead in a circle.
pub(super) const MAX_LOOKS: u64 = 40_000;
/// Largest cell that SQLite may load.
const MAX_CELL_BYTES: i32 = 16 << 20;

pub(super) const DAMAGED: &str = "nothing was changed in it; repair it, for example with '.recover' of the program \
                                  sqlite3, or take it from a backup, and import again";
const NOT_MLFLOW: &str = "name the file that MLflow writes, 'mlflow.db' unless it was told otherwise by \
                          --backend-store-uri";
const UNFINISHED: &str = "open it once with the program that wrote it, for example 'mlflow ui --backend-store-uri \
                          sqlite:///FILE', which finishes or undoes the write, and import again";

/// A table with the columns that are read of it: those that every version of MLflow has, and those that only some have.
struct Wanted {
    table: &'static str,
    needed: &'static [&'static str],
    also: &'static [&'static str],
    is_optional: bool,
}

const TABLES: [Wanted; 9] = [
    Wanted { table: "experiments", needed: &["experiment_id", "name"], also: &["lifecycle_stage"], is_optional: false },
    Wanted {
        table: "runs",
        needed: &["run_uuid", "experiment_id"],
        also: &["name", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri"],
        is_optional: false,
    },
    Wanted {
        table: "metrics",
        needed: &["run_uuid", "key", "value", "timestamp"],
        also: &["step", "is_nan"],
        is_optional: false,
    },
    Wanted { table: "params", needed: &["run_uuid", "key", "value"], also: &[], is_optional: false },
    Wanted { table: "tags", needed: &["run_uuid", "key", "value"], also: &[], is_optional: false },
    Wanted {
        table: "logged_models",
        needed: &["model_id", "experiment_id", "name", "source_run_id"],
        also: &["lifecycle_stage"],
        is_optional: true,
    },
    Wanted { table: "registered_models", needed: &["name"], also: &[], is_optional: true },
    Wanted { table: "model_versions", needed: &["name"], also: &[], is_optional: true },
    Wanted { table: "alembic_version", needed: &["version_num"], also: &[], is_optional: true },
];

/// What of the database can be read, and the statements for it. Optional tables that are not there have none.
pub(super) struct Shape {
    pub remarks: Vec<String>,
    pub sql: Statements,
}

/// One for each thing that is asked for. Names in them are those of [`TABLES`], never text of the file.
#[derive(Default)]
pub(super) struct Statements {
    pub experiment: String,
    pub runs: String,
    pub params: String,
    pub tags: String,
    pub points: String,
    pub logged_models: String,
    pub models: String,
    pub versions: String,
    pub version: String,
}

impl Database {
    pub(super) fn open_with(path: &Path, max_looks: u64) -> Result<Self> {
        let (connection, still) = connect(path)?;
        let sort_out = |err| from_sql(path, &err);
        let spent = Arc::new(AtomicU64::new(0));
        let mut database = Self {
            path: path.to_owned(),
            connection,
            shape: Shape { remarks: vec![], sql: Statements::default() },
            spent,
            still,
        };
        database.distrust(max_looks).map_err(sort_out)?;
        database.shape = database.look_at_schema()?;
        // From here on nothing is prepared but reading from the tables that were looked at.
        database.connection.authorizer(Some(only_reading)).map_err(sort_out)?;
        Ok(database)
    }

    /// Settings by which SQLite trusts nothing that the file says.
    fn distrust(&mut self, max_looks: u64) -> rusqlite::Result<()> {
        let connection = &mut self.connection;
        connection.busy_timeout(BUSY)?;
        for (setting, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
        ] {
            connection.set_db_config(setting, on)?;
        }
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        let spent = Arc::clone(&self.spent);
        let watch = move || spent.fetch_add(1, Ordering::Relaxed) >= max_looks;
        connection.progress_handler(STEPS_PER_LOOK, Some(watch))
    }

    fn look_at_schema(&self) -> Result<Shape> {
        let sort_out = |err| from_sql(&self.path, &err);
        let application: i64 =
            self.connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sort_out)?;
        if application == APPLICATION_ID {
            return Err(self.refuse(Code::BadData, "it is the database of a workspace of Athanor", NOT_MLFLOW));
        }
        let mut remarks = vec![];
        let mut found: Vec<(&Wanted, Vec<&'static str>)> = vec![];
        for wanted in &TABLES {
            let reason = match self.columns(wanted).map_err(sort_out)? {
                Columns::Read(columns) => {
                    found.push((wanted, columns));
                    continue;
                }
                Columns::NoTable if wanted.is_optional => continue,
                Columns::NoTable => {
                    format!("it has no table '{}', so it is no tracking database of MLflow", wanted.table)
                }
                Columns::Odd(reason) => format!("its table '{}' is not as MLflow makes it: {reason}", wanted.table),
            };
            if !wanted.is_optional {
                return Err(self.refuse(Code::BadData, &reason, NOT_MLFLOW));
            }
            remarks.push(reason);
        }
        Ok(Shape { remarks, sql: statements(&found) })
    }

    /// Which of the wanted columns a table has; or that it is none, or none that may be read.
    fn columns(&self, wanted: &Wanted) -> rusqlite::Result<Columns> {
        let mut statement = self.connection.prepare(
            "SELECT type, rootpage FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')",
        )?;
        let mut rows = statement.query([wanted.table])?;
        let Some(row) = rows.next()? else { return Ok(Columns::NoTable) };
        let (kind, page): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        match (kind.as_str(), page) {
            // A virtual table has no page of its own: reading it would run a module.
            ("table", Some(page)) if page > 0 => {}
            ("table", _) => return Ok(Columns::Odd("it is a virtual table".to_owned())),
            _ => return Ok(Columns::Odd("it is a view".to_owned())),
        }
        // What the schema says of itself and what SQLite makes of it may differ in a file that was made by hand.
        let mut statement =
            self.connection.prepare("SELECT type, wr FROM pragma_table_list(?1) WHERE schema = 'main'")?;
        match statement.query_row([wanted.table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))? {
            (kind, false) if kind == "table" => {}
            (kind, false) => return Ok(Columns::Odd(format!("it is of the kind {kind:?} in truth"))),
            (_, true) => return Ok(Columns::Odd("its rows have no numbers".to_owned())),
        }
        let mut statement =
            self.connection.prepare("SELECT lower(name), hidden FROM pragma_table_xinfo(?1) LIMIT 2000")?;
        let names = statement.query_map([wanted.table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let there: Vec<(String, i64)> = names.collect::<rusqlite::Result<_>>()?;
        let mut columns = vec![];
        for (&column, is_needed) in
            wanted.needed.iter().map(|column| (column, true)).chain(wanted.also.iter().map(|column| (column, false)))
        {
            match there.iter().find(|(name, _)| name == column) {
                Some((_, 0)) => columns.push(column),
                Some(_) => return Ok(Columns::Odd(format!("its column '{column}' is computed"))),
                None if is_needed => return Ok(Columns::Odd(format!("it has no column '{column}'"))),
                None => {}
            }
        }
        Ok(Columns::Read(columns))
    }
}

enum Columns {
    Read(Vec<&'static str>),
    NoTable,
    Odd(String),
}

/// A cell as text where it is text that is not too long, its length where it is too long, NULL where there is nothing,
/// and a number with a point for everything else. Nothing is loaded to find that out.
fn text(column: &str) -> String {
    let limit = super::MAX_TEXT_BYTES;
    format!(
        "CASE typeof(\"{column}\") WHEN 'text' THEN CASE WHEN octet_length(\"{column}\") <= {limit} THEN \"{column}\" \
         ELSE octet_length(\"{column}\") END WHEN 'null' THEN NULL ELSE 0.5 END"
    )
}

/// A cell as a number or NULL: bytes and text are not loaded.
fn number(column: &str) -> String {
    format!("CASE WHEN typeof(\"{column}\") IN ('integer', 'real') THEN \"{column}\" END")
}

fn statements(found: &[(&Wanted, Vec<&'static str>)]) -> Statements {
    let has = |table: &str, column: &str| {
        found.iter().any(|(wanted, columns)| wanted.table == table && columns.contains(&column))
    };
    let or = |table: &str, column: &str, sql: String, other: &str| {
        if has(table, column) { sql } else { other.to_owned() }
    };
    let slice = |table: &str, columns: &[String], filter: &str| {
        if !found.iter().any(|(wanted, _)| wanted.table == table) {
            return String::new();
        }
        let columns = columns.join(", ");
        format!(
            "SELECT rowid, {columns} FROM \"{table}\" WHERE {filter}rowid > ?1 ORDER BY rowid LIMIT {}",
            super::SLICE_ROWS
        )
    };
    let deleted = |table: &str| or(table, "lifecycle_stage", "\"lifecycle_stage\" IS 'deleted'".to_owned(), "0");
    let of_run = "run_uuid = ?2 AND ";
    let pairs = |table: &str| slice(table, &[text("key"), text("value")], of_run);
    let count = |table: &str| {
        // With a condition, so that SQLite counts row by row and can be stopped.
        let sql = format!("SELECT count(*) FROM \"{table}\" WHERE typeof(\"name\") = 'text'");
        or(table, "name", sql, "")
    };
    Statements {
        experiment: format!(
            "SELECT {}, {} FROM experiments WHERE experiment_id = ?1 LIMIT 1",
            text("name"),
            deleted("experiments")
        ),
        runs: slice(
            "runs",
            &[
                text("run_uuid"),
                number("experiment_id"),
                or("runs", "name", text("name"), "NULL"),
                or("runs", "status", text("status"), "NULL"),
                or("runs", "start_time", number("start_time"), "NULL"),
                or("runs", "end_time", number("end_time"), "NULL"),
                deleted("runs"),
                or("runs", "artifact_uri", text("artifact_uri"), "NULL"),
            ],
            "",
        ),
        params: pairs("params"),
        tags: pairs("tags"),
        points: slice(
            "metrics",
            &[
                text("key"),
                number("timestamp"),
                // Databases of old have no steps.
                or("metrics", "step", number("step"), "0"),
                number("value"),
                or("metrics", "is_nan", number("is_nan"), "0"),
            ],
            of_run,
        ),
        logged_models: slice(
            "logged_models",
            &[text("model_id"), number("experiment_id"), text("name"), text("source_run_id"), deleted("logged_models")],
            "",
        ),
        models: count("registered_models"),
        versions: count("model_versions"),
        version: or(
            "alembic_version",
            "version_num",
            format!("SELECT {} FROM alembic_version LIMIT 1", text("version_num")),
            "",
        ),
    }
}

/// Allows what the statements here do and nothing else: no pragma, no attaching, no function but those named.
fn only_reading(asked: AuthContext<'_>) -> Authorization {
    match asked.action {
        AuthAction::Select => Authorization::Allow,
        AuthAction::Read { table_name, .. }
            if TABLES.iter().any(|wanted| wanted.table.eq_ignore_ascii_case(table_name)) =>
        {
            Authorization::Allow
        }
        AuthAction::Function { function_name: "typeof" | "octet_length" | "count" } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// Opens the file in a way that makes nothing beside it: for reading; and, where it has a write-ahead log by its header
/// but none lies there, as one that nobody changes, since SQLite would make the log's files otherwise.
fn connect(path: &Path) -> Result<(Connection, Option<(u64, SystemTime)>)> {
    let refuse = |code, reason: &str, hint| {
        Err(StoreError::Mlflow { path: path.to_owned(), code, reason: reason.to_owned(), hint })
    };
    match look_at_header(path) {
        Ok(header) if header.is_empty() => refuse(Code::BadData, "the file is empty", NOT_MLFLOW),
        Ok(header) => {
            let sort_out = |err| from_sql(path, &err);
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            // The file format's version for reading, 2 for a write-ahead log.
            if header.get(19) != Some(&2) {
                return Ok((Connection::open_with_flags(path, flags).map_err(sort_out)?, None));
            }
            let n_bytes = |end| fs::metadata(beside(path, end)).map_or(0, |meta| meta.len());
            let (log, index) = (n_bytes("-wal"), n_bytes("-shm"));
            if log > 0 && index > 0 {
                return Ok((Connection::open_with_flags(path, flags).map_err(sort_out)?, None));
            }
            if log > 0 {
                return refuse(
                    Code::Conflict,
                    "its newest rows are in the log beside it, which nobody has opened",
                    UNFINISHED,
                );
            }
            let still = stillness(path);
            if still.is_none() {
                return refuse(Code::Conflict, "somebody has just begun to write to it", "import again");
            }
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Ok((Connection::open_with_flags(immutable_uri(path), flags).map_err(sort_out)?, still))
        }
        Err(StoreError::Corrupt { reason, .. }) => {
            let hint = if reason.contains("cut off") { DAMAGED } else { NOT_MLFLOW };
            let code = if reason.contains("cut off") { Code::Corrupt } else { Code::BadData };
            refuse(code, &reason, hint)
        }
        Err(StoreError::ReadOnly { reason, .. }) => {
            refuse(Code::PermissionDenied, &reason, "make the file readable for you, or copy it")
        }
        Err(StoreError::CannotOpen { code, reason, .. }) => refuse(code, &reason, NOT_MLFLOW),
        Err(err) => Err(err),
    }
}

/// By what a change of a file is noticed that SQLite believes to be unchanged; `None` where its log has come to be.
pub(super) fn stillness(path: &Path) -> Option<(u64, SystemTime)> {
    if fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0) {
        return None;
    }
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

/// Sorts an error of SQLite on a foreign file.
pub(super) fn from_sql(path: &Path, err: &rusqlite::Error) -> StoreError {
    use ErrorCode as E;
    let reason = match err {
        rusqlite::Error::SqliteFailure(inner, text) => text.clone().unwrap_or_else(|| inner.to_string()),
        other => other.to_string(),
    };
    let (code, reason, hint) = match err.sqlite_error_code() {
        Some(E::NotADatabase) => (Code::BadData, "it is not an SQLite database".to_owned(), NOT_MLFLOW),
        Some(E::DatabaseCorrupt) => (Code::Corrupt, format!("it is damaged: {reason}"), DAMAGED),
        Some(E::DatabaseBusy | E::DatabaseLocked) => (
            Code::Unavailable,
            "another process is writing to it for too long".to_owned(),
            "import again when MLflow is at rest; runs that came in are not read twice",
        ),
        // SQLITE_READONLY_ROLLBACK and its like: a journal lies beside the file that had to be played back.
        Some(E::ReadOnly) => (Code::Conflict, "a write to it was broken off".to_owned(), UNFINISHED),
        Some(E::OperationInterrupted) => {
            (Code::TooLarge, "reading a part of it takes more steps than a whole database should".to_owned(), DAMAGED)
        }
        Some(E::TooBig) => (Code::TooLarge, format!("it holds a cell of more than {MAX_CELL_BYTES} bytes"), NOT_MLFLOW),
        Some(E::OutOfMemory) => (Code::OutOfMemory, reason, "close other programs and import again"),
        Some(E::SystemIoFailure | E::CannotOpen | E::PermissionDenied) => {
            (Code::Unavailable, reason, "see that the file and its disk can be read, and import again")
        }
        // A schema with a column, a collation or a text that is not MLflow's.
        _ => (Code::BadData, format!("it is not as MLflow makes it: {reason}"), NOT_MLFLOW),
    };
    StoreError::Mlflow { path: path.to_owned(), code, reason, hint }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::foreign_mlflow::make;

    const SCHEMA: &str = "
        CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, experiment_id INTEGER);
        CREATE TABLE metrics (run_uuid TEXT, key TEXT, value FLOAT, timestamp BIGINT);
        CREATE TABLE params (run_uuid TEXT, key TEXT, value TEXT);
        CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
        INSERT INTO metrics SELECT 'other', 'loss', 0.5, i FROM n;";

    #[test]
    fn a_statement_that_takes_too_long_is_ended_and_the_next_one_may_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        make(&path, SCHEMA).unwrap();
        let patient = Database::open(&path).unwrap();
        assert_eq!(patient.points("mine", None).unwrap().rows, []);
        let hasty = Database::open_with(&path, 2).unwrap();
        // It looks through all rows, since there is no index: more than two hundred thousand steps.
        let err = hasty.points("mine", None).unwrap_err();
        assert_eq!(err.code(), Code::TooLarge, "{err}");
        assert_eq!(hasty.params("mine", None).unwrap().rows, []);
    }

    #[test]
    fn once_open_nothing_but_reading_its_tables_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        make(&path, SCHEMA).unwrap();
        let database = Database::open(&path).unwrap();
        for sql in [
            "ATTACH 'x.db' AS other",
            "PRAGMA journal_mode = WAL",
            "PRAGMA table_info(runs)",
            "INSERT INTO tags VALUES ('a', 'b', 'c')",
            "SELECT * FROM sqlite_schema",
            "SELECT load_extension('x') FROM runs",
            "CREATE TEMP TABLE t (x)",
            "VACUUM INTO 'copy.db'",
        ] {
            let done = database.connection.execute_batch(sql);
            assert!(done.is_err(), "{sql}");
        }
        assert!(database.connection.execute_batch("SELECT key FROM tags").is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

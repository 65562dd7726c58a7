//! Opening: is it ours, is it whole, is it new enough; then the migrations.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use athanor_protocol::Code;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::Inner;
use crate::error::{Result, StoreError};

/// In the file's header, so that a workspace's database is told from any other: "Athr".
pub(crate) const APPLICATION_ID: i64 = 0x4174_6872;

/// The migrations in order; the first brings version 1. Released ones never change.
pub(super) const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_rollouts.sql"),
    include_str!("migrations/0003_key_limits.sql"),
    include_str!("migrations/0004_monitor.sql"),
    include_str!("migrations/0005_registry.sql"),
];

/// How long a write waits for those of other processes.
pub(crate) const BUSY: Duration = Duration::from_secs(30);
/// The pause between tries where SQLite itself does not wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Opens the writing connection of a file.
pub(super) fn open_file(path: &Path) -> Result<Connection> {
    make_private(path)?;
    look_at_header(path)?;
    let mut connection = connect(path)?;
    let sort_out = |err| match StoreError::from_sql(path, err) {
        // The file itself is open, so it is the log beside it that cannot be made.
        StoreError::CannotOpen { path, reason, .. } => {
            StoreError::ReadOnly { path, reason: format!("its folder: {reason}") }
        }
        err => err,
    };
    if connection.is_readonly("main").map_err(sort_out)? {
        return Err(StoreError::ReadOnly { path: path.to_owned(), reason: "it may only be read".to_owned() });
    }
    set_up(&connection).map_err(sort_out)?;
    belongs(path, &connection)?;
    write_ahead(path, &connection)?;
    migrate(path, &mut connection, &MIGRATIONS)?;
    Ok(connection)
}

/// Opens the only connection of a file that cannot be written. SQLite is told that nobody changes it, so that it makes
/// no files beside it.
pub(super) fn open_immutable(path: &Path) -> Result<Connection> {
    look_at_header(path)?;
    let sort_out = |err| StoreError::from_sql(path, err);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(immutable_uri(path), flags).map_err(sort_out)?;
    set_up(&connection).map_err(sort_out)?;
    belongs(path, &connection)?;
    let version = number(&connection, "user_version").map_err(sort_out)?;
    if version < MIGRATIONS.len() as i64 {
        let reason =
            "it was made by an older version of this program and would have to be brought up to date".to_owned();
        return Err(StoreError::ReadOnly { path: path.to_owned(), reason });
    }
    Ok(connection)
}

/// A path as a URI: everything but letters, digits and a few signs is escaped, so that a name is only a name.
pub(crate) fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b':' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// Opens a database in memory.
pub(super) fn open_memory(path: &Path) -> Result<Connection> {
    let mut connection = Connection::open_in_memory().map_err(|err| StoreError::from_sql(path, err))?;
    set_up(&connection).map_err(|err| StoreError::from_sql(path, err))?;
    migrate(path, &mut connection, &MIGRATIONS)?;
    Ok(connection)
}

/// Opens a reading connection of a file that is open for writing already.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = connect(path)?;
    let set_up = || {
        set_up(&connection)?;
        connection.pragma_update(None, "query_only", true)
    };
    set_up().map_err(|err| StoreError::from_sql(path, err))?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection> {
    // Without the flag for URIs: a file's name is only a name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|err| StoreError::from_sql(path, err))
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    // A damaged or hostile file may hold triggers and odd cells; these make SQLite distrust it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    // With a write-ahead log this loses nothing when the process is killed; `Durability::Power` raises it for a write.
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// Makes the file where there is none, readable by its owner alone. SQLite gives the files beside it the same rights.
fn make_private(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let Err(err) = options.open(path) else { return Ok(()) };
    let path = path.to_owned();
    Err(match err.kind() {
        ErrorKind::AlreadyExists => return Ok(()),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path, reason: err.to_string() }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        _ => StoreError::CannotOpen { path, code: Code::from_io(&err), reason: err.to_string() },
    })
}

/// Refuses what is no database and what was cut off, before SQLite touches it or the files beside it. Returns the
/// header's 100 bytes, none of an empty file.
pub(crate) fn look_at_header(path: &Path) -> Result<Vec<u8>> {
    let cannot = |err: std::io::Error| StoreError::CannotOpen {
        path: path.to_owned(),
        code: Code::from_io(&err),
        reason: err.to_string(),
    };
    let corrupt = |reason: &str| Err(StoreError::Corrupt { path: path.to_owned(), reason: reason.to_owned() });
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(StoreError::CannotOpen {
            path: path.to_owned(),
            code: Code::InvalidArgument,
            reason: "it is not a file".to_owned(),
        });
    }
    if metadata.len() == 0 {
        return Ok(vec![]);
    }
    let mut header = Vec::with_capacity(100);
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == ErrorKind::PermissionDenied => {
            return Err(StoreError::ReadOnly { path: path.to_owned(), reason: err.to_string() });
        }
        Err(err) => return Err(cannot(err)),
    };
    file.take(100).read_to_end(&mut header).map_err(cannot)?;
    if !header.starts_with(b"SQLite format 3\0") {
        return corrupt("it is not an SQLite database");
    }
    // Offsets of the file format, section 1.3 of its description: page size at 16, change counter at 24, size in pages
    // at 28, the change counter for which that size holds at 92.
    let word = |at: usize| header.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    if header.len() < 100 {
        return corrupt("it is cut off");
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // While a log lies beside the file, its newest pages may be there instead. It is looked for after the header was
    // read: if it is gone by now, everything is in the file, whose length is asked for last.
    let pending = ["-wal", "-journal"].iter().any(|end| fs::metadata(beside(path, end)).is_ok_and(|m| m.len() > 0));
    let n_bytes = fs::metadata(path).map_err(cannot)?.len();
    if !pending && word(24) == word(92) && n_bytes < u64::from(word(28)) * page_size {
        return corrupt("it is cut off");
    }
    Ok(header)
}

pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// Refuses databases of other programs and of newer versions of this one, before anything is changed in them.
fn belongs(path: &Path, connection: &Connection) -> Result<()> {
    let look = || -> rusqlite::Result<(i64, i64, i64)> {
        let n_objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((number(connection, "application_id")?, number(connection, "user_version")?, n_objects))
    };
    let (application, version, n_objects) = look().map_err(|err| StoreError::from_sql(path, err))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || n_objects > 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    refuse_newer(path, version)
}

fn refuse_newer(path: &Path, found: i64) -> Result<()> {
    let known = MIGRATIONS.len() as i64;
    if found > known { Err(StoreError::Newer { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// Turns the write-ahead log on. Two processes that open a new file at once may see each other here in a way in which
/// SQLite does not wait by itself.
fn write_ahead(path: &Path, connection: &Connection) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        let err = match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                return Err(StoreError::CannotOpen {
                    path: path.to_owned(),
                    code: Code::Unsupported,
                    reason: format!("the file system takes no write-ahead log, only {mode}"),
                });
            }
            Err(err) => StoreError::from_sql(path, err),
        };
        match err {
            StoreError::Busy { .. } if waited < BUSY => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            StoreError::CannotOpen { path, reason, .. } => {
                return Err(StoreError::ReadOnly { path, reason: format!("its folder: {reason}") });
            }
            err => return Err(err),
        }
    }
}

/// Brings the database up to the newest version. Each migration is one transaction with the version that it brings: a
/// process that dies leaves the version before or the one after.
pub(super) fn migrate(path: &Path, connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let sort_out = |err| StoreError::from_sql(path, err);
    loop {
        let version = number(connection, "user_version").map_err(sort_out)?;
        refuse_newer(path, version)?;
        let Ok(done) = usize::try_from(version) else {
            return Err(StoreError::Foreign { path: path.to_owned() });
        };
        if done >= migrations.len() {
            return Ok(());
        }
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sort_out)?;
        // Asked again under the lock: another process may have done it in the meantime.
        if number(&tx, "user_version").map_err(sort_out)? == version {
            tx.execute_batch(migrations[done]).map_err(sort_out)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sort_out)?;
            tx.pragma_update(None, "user_version", version + 1).map_err(sort_out)?;
        }
        tx.commit().map_err(sort_out)?;
    }
}

/// Everything in a schema: kind, name and text of each table, index and trigger.
pub(super) fn schema(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut statement = connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// What is wrong with a database: damaged pages, rows that point nowhere, tables or indexes that are missing.
pub(super) fn findings(connection: &rusqlite::Transaction<'_>) -> Inner<Vec<String>> {
    let mut findings = vec![];
    let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            findings.push(line);
        }
    }
    let mut statement = connection.prepare("SELECT \"table\", parent FROM pragma_foreign_key_check LIMIT 20")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        findings.push(format!(
            "a row of {} points to no row of {}",
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?
        ));
    }
    let fresh = open_memory(Path::new(":memory:"))?;
    let found = schema(connection)?;
    for (kind, name, text) in schema(&fresh)? {
        match found.iter().find(|(_, other, _)| *other == name) {
            None => findings.push(format!("the {kind} {name} is missing")),
            Some((_, _, other)) if *other != text => findings.push(format!("the {kind} {name} is not as it should be")),
            Some(_) => {}
        }
    }
    Ok(findings)
}

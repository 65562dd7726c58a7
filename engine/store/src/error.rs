//! What can go wrong with the workspace's memory.

use std::path::{Path, PathBuf};

use athanor_protocol::{Code, Failure, names::NameError};

/// The result of every operation of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why an operation of the store failed. Nothing was changed, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A value is malformed or out of range.
    #[error("{what} is not allowed: {reason}")]
    Invalid {
        /// What was given, for example `the page token`.
        what: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// The kind of thing, for example `run`.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// There is one already.
    #[error("{what} {name:?} exists already")]
    AlreadyExists {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The thing is in a state that does not allow this, or somebody else was first.
    #[error("{what} {name:?} {reason}")]
    Conflict {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// More than the store takes at once.
    #[error("{what}: {found} is over the limit of {limit}")]
    TooLarge {
        /// What is too large, for example `points in one batch`.
        what: String,
        /// How much there was.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The database was written by a newer program.
    #[error("the database has version {found}, this program knows versions up to {known}: {}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("the database belongs to another program: {}", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged or was never a database.
    #[error("the database is damaged ({reason}): {}", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file or its folder cannot be written.
    #[error("the database cannot be written ({reason}): {}", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// What was refused.
        reason: String,
    },
    /// The file cannot be opened.
    #[error("the database cannot be opened ({reason}): {}", path.display())]
    CannotOpen {
        /// The database.
        path: PathBuf,
        /// The kind of error.
        code: Code,
        /// Why.
        reason: String,
    },
    /// A database of MLflow, which belongs to somebody else, cannot be read.
    #[error("the database of MLflow cannot be read: {reason}: {}", path.display())]
    Mlflow {
        /// The database.
        path: PathBuf,
        /// The kind of error.
        code: Code,
        /// Why.
        reason: String,
        /// What to do now.
        hint: &'static str,
    },
    /// The disk has no room.
    #[error("the disk is full, nothing was written: {}", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// Another process held the database for too long.
    #[error("the database is in use by another process for too long: {}", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("the disk failed ({reason}): {}", path.display())]
    Disk {
        /// The database.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// A defect of ours, or memory ran out.
    #[error("an operation on the database failed ({source}): {}", path.display())]
    Sql {
        /// The database.
        path: PathBuf,
        /// The kind of error.
        code: Code,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// The kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Name(_) | Self::Invalid { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::Conflict { .. } => Code::Conflict,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Newer { .. } => Code::Unsupported,
            Self::Foreign { .. } => Code::BadData,
            Self::Corrupt { .. } => Code::Corrupt,
            Self::ReadOnly { .. } => Code::PermissionDenied,
            Self::CannotOpen { code, .. } | Self::Sql { code, .. } | Self::Mlflow { code, .. } => *code,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Busy { .. } | Self::Disk { .. } => Code::Unavailable,
        }
    }

    /// What to do now.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Newer { .. } => {
                "open the workspace with the version of the program that last used it, or a newer one"
            }
            Self::Foreign { .. } => "give the folder of a workspace, or an empty one",
            Self::Corrupt { .. } => {
                "nothing was deleted; copy the workspace before anything else, then restore the file from a backup"
            }
            Self::ReadOnly { .. } => {
                "make the file and its folder writable, or copy the workspace to where you may write"
            }
            Self::DiskFull { .. } => "free some room and try again; everything that was saved before is still there",
            Self::Busy { .. } => "try again; if it stays so, end the other process",
            Self::TooLarge { .. } => "send less at once",
            Self::Conflict { what: "run", .. } => "look at the run's state first",
            Self::Conflict { what: "unapproved version", .. } => "approve the version first",
            Self::Conflict { what: "approval of", .. } => "let somebody else approve it, or change the rules",
            Self::Conflict { what: "version in use", .. } => {
                "move the alias first; a version that is taken back can be rolled back in the same step"
            }
            Self::Conflict { what: "cleaned version", .. } => "register or import the same package again",
            Self::CannotOpen { code: Code::NotFound, .. } => "make the folder first",
            Self::Mlflow { hint, .. } => hint,
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The user's thing that the error is about.
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Name(err) => Some(err.name.clone()),
            Self::NotFound { name, .. } | Self::AlreadyExists { name, .. } | Self::Conflict { name, .. } => {
                Some(name.clone())
            }
            Self::Invalid { .. } | Self::TooLarge { .. } => None,
            Self::Newer { path, .. }
            | Self::Foreign { path }
            | Self::Corrupt { path, .. }
            | Self::ReadOnly { path, .. }
            | Self::CannotOpen { path, .. }
            | Self::Mlflow { path, .. }
            | Self::DiskFull { path }
            | Self::Busy { path }
            | Self::Disk { path, .. }
            | Self::Sql { path, .. } => Some(path.display().to_string()),
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }

    pub(crate) fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: cut(&name.into()) }
    }

    pub(crate) fn conflict(what: &'static str, name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Conflict { what, name: name.into(), reason: reason.into() }
    }

    /// Sorts an error of SQLite into ours.
    pub(crate) fn from_sql(path: &Path, err: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as E;
        let path = path.to_owned();
        let Some(code) = err.sqlite_error_code() else {
            return Self::Sql { path, code: Code::Internal, source: Box::new(err) };
        };
        let reason = match &err {
            rusqlite::Error::SqliteFailure(inner, text) => text.clone().unwrap_or_else(|| inner.to_string()),
            other => other.to_string(),
        };
        match code {
            E::DatabaseCorrupt | E::NotADatabase => Self::Corrupt { path, reason },
            E::ReadOnly | E::PermissionDenied => Self::ReadOnly { path, reason },
            E::DiskFull => Self::DiskFull { path },
            E::DatabaseBusy | E::DatabaseLocked => Self::Busy { path },
            // The index of the write-ahead log grows when a database is opened; on a full disk it is what fails first.
            E::SystemIoFailure if is_no_room_for_index(&err) => Self::DiskFull { path },
            E::SystemIoFailure => Self::Disk { path, reason },
            E::CannotOpen => Self::CannotOpen { path, code: Code::Unavailable, reason },
            E::OutOfMemory => Self::Sql { path, code: Code::OutOfMemory, source: Box::new(err) },
            _ => Self::Sql { path, code: Code::Internal, source: Box::new(err) },
        }
    }
}

/// SQLITE_IOERR_SHMSIZE: SQLite could not make room in its shared-memory file (sqlite.org/rescode.html).
fn is_no_room_for_index(err: &rusqlite::Error) -> bool {
    err.sqlite_error().is_some_and(|inner| inner.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// Text in errors is cut to a readable length.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Self {
        Self { code: err.code(), message: err.to_string(), subject: err.subject(), hint: err.hint() }
    }
}

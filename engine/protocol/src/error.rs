//! One short list of error codes, and what each means to HTTP, to a person and to a retry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong. Every error of every crate has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A request, parameter or option is malformed or out of range.
    InvalidArgument,
    /// The named thing does not exist.
    NotFound,
    /// A thing of that name exists already.
    AlreadyExists,
    /// The thing is in a state that does not allow this.
    Conflict,
    /// No credential, or one that is not valid.
    Unauthenticated,
    /// The credential is valid but does not allow this.
    PermissionDenied,
    /// A table, file or request body holds data that cannot be used as asked.
    BadData,
    /// This build, device or file version does not support what was asked.
    Unsupported,
    /// A limit on size, depth or count was exceeded.
    TooLarge,
    /// The service sheds load.
    Overloaded,
    /// It took too long.
    Timeout,
    /// Somebody asked for it to stop.
    Cancelled,
    /// Something outside (process, network, file system) is not there right now.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A signature is missing, wrong, or by a key that is not trusted.
    Untrusted,
    /// The disk has no room.
    DiskFull,
    /// Memory ran out or the memory limit was reached.
    OutOfMemory,
    /// A compute device vanished or failed.
    DeviceLost,
    /// A defect of ours.
    Internal,
}

/// How loudly to show an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The user asked for it.
    Info,
    /// The user can mend it.
    Warning,
    /// Work was lost or the program is at fault.
    Error,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// The same call may pass later.
    Later,
    /// After the user changed something.
    AfterChange,
}

impl Code {
    /// Every code, for tables and tests.
    pub const ALL: [Code; 19] = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::Conflict,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::BadData,
        Code::Unsupported,
        Code::TooLarge,
        Code::Overloaded,
        Code::Timeout,
        Code::Cancelled,
        Code::Unavailable,
        Code::Corrupt,
        Code::Untrusted,
        Code::DiskFull,
        Code::OutOfMemory,
        Code::DeviceLost,
        Code::Internal,
    ];

    /// The one table: HTTP status, severity, retry advice.
    pub const fn meaning(self) -> (u16, Severity, Retry) {
        use Retry::{AfterChange, Later, Never};
        use Severity::{Error, Info, Warning};
        match self {
            Code::InvalidArgument => (400, Warning, AfterChange),
            Code::NotFound => (404, Warning, AfterChange),
            Code::AlreadyExists => (409, Warning, AfterChange),
            Code::Conflict => (409, Warning, AfterChange),
            Code::Unauthenticated => (401, Warning, AfterChange),
            Code::PermissionDenied => (403, Warning, AfterChange),
            Code::BadData => (422, Warning, AfterChange),
            Code::Unsupported => (501, Warning, AfterChange),
            Code::TooLarge => (413, Warning, AfterChange),
            Code::Overloaded => (429, Warning, Later),
            Code::Timeout => (504, Warning, Later),
            Code::Cancelled => (499, Info, Later),
            Code::Unavailable => (503, Warning, Later),
            Code::Corrupt => (500, Error, Never),
            Code::Untrusted => (403, Error, AfterChange),
            Code::DiskFull => (507, Error, AfterChange),
            Code::OutOfMemory => (503, Error, AfterChange),
            Code::DeviceLost => (503, Error, Later),
            Code::Internal => (500, Error, Never),
        }
    }

    /// The HTTP status that a server answers.
    pub const fn http_status(self) -> u16 {
        self.meaning().0
    }

    /// The code as it is written in JSON, for example `bad_data`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidArgument => "invalid_argument",
            Code::NotFound => "not_found",
            Code::AlreadyExists => "already_exists",
            Code::Conflict => "conflict",
            Code::Unauthenticated => "unauthenticated",
            Code::PermissionDenied => "permission_denied",
            Code::BadData => "bad_data",
            Code::Unsupported => "unsupported",
            Code::TooLarge => "too_large",
            Code::Overloaded => "overloaded",
            Code::Timeout => "timeout",
            Code::Cancelled => "cancelled",
            Code::Unavailable => "unavailable",
            Code::Corrupt => "corrupt",
            Code::Untrusted => "untrusted",
            Code::DiskFull => "disk_full",
            Code::OutOfMemory => "out_of_memory",
            Code::DeviceLost => "device_lost",
            Code::Internal => "internal",
        }
    }

    /// The code for a failed file operation, so that a full disk says so everywhere.
    pub fn from_io(err: &std::io::Error) -> Code {
        use std::io::ErrorKind as K;
        match err.kind() {
            K::NotFound => Code::NotFound,
            K::PermissionDenied | K::ReadOnlyFilesystem => Code::PermissionDenied,
            K::AlreadyExists => Code::AlreadyExists,
            K::StorageFull | K::QuotaExceeded => Code::DiskFull,
            K::OutOfMemory => Code::OutOfMemory,
            K::TimedOut => Code::Timeout,
            K::InvalidData | K::UnexpectedEof => Code::Corrupt,
            _ => Code::Unavailable,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as it is stored, sent and shown: what happened, to which thing, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of error.
    pub code: Code,
    /// Lower case, no final stop; names the user's thing.
    pub message: String,
    /// The thing: a node id, a column, a file name, a run id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What to do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without subject and hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), subject: None, hint: None }
    }

    /// Names the thing that it happened to.
    #[must_use]
    pub fn on(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

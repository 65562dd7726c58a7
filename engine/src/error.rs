//! The engine's error: what failed, with the code and the hint of the crate that it came from.

use std::path::{Path, PathBuf};

use athanor_protocol::{Code, Failure, check::Problem, names::NameError};

/// Anything that the engine can fail with.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// An error that already says everything.
    #[error("{0}")]
    Failure(#[from] Failure),
    /// A file operation failed.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `open`, …
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The memory of the workspace.
    #[error(transparent)]
    Store(#[from] athanor_store::StoreError),
    /// Tables.
    #[error(transparent)]
    Dataset(#[from] athanor_datasets::DatasetError),
    /// Learning.
    #[error(transparent)]
    Learn(#[from] athanor_learn::LearnError),
    /// A workflow that cannot run.
    #[error("the workflow has {} problem{}: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.first().map(ToString::to_string).unwrap_or_default())]
    Workflow(Vec<Problem>),
    /// An argument that does not fit: the caller used the program wrongly.
    #[error("{0}")]
    Usage(String),
    /// A name or id that is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The engine's result.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

impl EngineError {
    /// A failure of our own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Failure(Failure::new(code, message))
    }

    /// What kind of error it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Failure(failure) => failure.code,
            Self::Io { source, .. } => Code::from_io(source),
            Self::Store(err) => err.code(),
            Self::Dataset(err) => err.code(),
            Self::Learn(err) => err.code(),
            Self::Workflow(_) | Self::Name(_) | Self::Usage(_) => Code::InvalidArgument,
        }
    }

    /// The error as it is stored, sent and shown.
    pub fn into_failure(self) -> Failure {
        let code = self.code();
        match self {
            Self::Failure(failure) => failure,
            Self::Store(err) => err.into(),
            Self::Dataset(err) => err.into(),
            Self::Learn(err) => err.into(),
            Self::Io { ref path, .. } => {
                let failure = Failure::new(code, self.to_string()).on(path.display().to_string());
                match code {
                    Code::DiskFull => {
                        failure.hint("make room on the disk and try again; nothing that was finished is lost")
                    }
                    Code::PermissionDenied => failure.hint("check who may write there"),
                    Code::NotFound => failure
                        .hint("check the path; a relative one starts at the folder where the program was started"),
                    _ => failure,
                }
            }
            Self::Workflow(ref problems) => {
                let failure = Failure::new(code, self.to_string());
                match problems.first().and_then(|problem| problem.node.clone()) {
                    Some(node) => failure.on(node),
                    None => failure,
                }
            }
            Self::Name(err) => Failure::new(code, err.to_string()),
            Self::Usage(message) => Failure::new(code, message),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(err: EngineError) -> Self {
        err.into_failure()
    }
}

/// Adds the file to an I/O error.
pub trait IoContext<T> {
    /// Says what was tried with which file.
    ///
    /// # Errors
    /// The same error, with its place.
    fn at(self, verb: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, verb: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| EngineError::Io { verb, path: path.to_owned(), source })
    }
}

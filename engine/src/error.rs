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

    /// A full disk told of what was to be made, and not of a part of it or a name that lasts as long as the writing.
    pub(crate) fn of_target(self, to: &Path) -> Self {
        match self {
            Self::Io { source, .. } if Code::from_io(&source) == Code::DiskFull => {
                Self::Io { verb: "write", path: to.to_owned(), source }
            }
            other => other,
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
            Self::Io { ref path, ref source, .. } => {
                let is_folder = source.kind() == std::io::ErrorKind::IsADirectory;
                let failure = Failure::new(code, self.to_string()).on(path.display().to_string());
                match code {
                    Code::DiskFull => {
                        failure.hint("make room on the disk and try again; nothing that was finished is lost")
                    }
                    Code::PermissionDenied => failure.hint("check who may write there"),
                    Code::NotFound => failure
                        .hint("check the path; a relative one starts at the folder where the program was started"),
                    _ if is_folder => failure.hint("name a file in that folder"),
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

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_full_disk_is_told_of_the_target_and_a_folder_has_a_way_out() {
        let io = |kind: ErrorKind| EngineError::Io {
            verb: "write",
            path: "layer.0001.tmp".into(),
            source: Error::from(kind),
        };
        let told = |err: EngineError| err.of_target(Path::new("wine.tar.gz")).into_failure();
        let full = told(io(ErrorKind::StorageFull));
        assert_eq!((full.code, full.subject.as_deref()), (Code::DiskFull, Some("wine.tar.gz")));
        assert!(full.message.starts_with("cannot write wine.tar.gz"), "{full}");
        assert_eq!(told(io(ErrorKind::PermissionDenied)).subject.as_deref(), Some("layer.0001.tmp"));
        let folder = io(ErrorKind::IsADirectory).into_failure();
        assert_eq!(folder.hint.as_deref(), Some("name a file in that folder"));
    }
}

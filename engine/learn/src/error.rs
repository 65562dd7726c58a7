//! What can go wrong in learning, with the code and the way out.

use athanor_protocol::{Code, Failure, network::LayerProblem};

/// An error of this crate. Messages name the user's column, file, layer or step.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A column that is needed is not in the table.
    #[error("column {column:?} is missing")]
    MissingColumn {
        /// The column.
        column: String,
    },
    /// A column holds values that cannot be used as asked.
    #[error("column {column:?}: {message}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong.
        message: String,
    },
    /// The table as a whole cannot be learned from.
    #[error("{message}")]
    BadData {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A setting is out of its range or does not fit the data.
    #[error("{setting}: {message}")]
    Setting {
        /// The setting, as it is written in a specification.
        setting: String,
        /// What is wrong.
        message: String,
    },
    /// A layer of the network does not fit.
    #[error("{0}")]
    Layer(#[from] LayerProblem),
    /// The device name is not one of ours, or no such device is here.
    #[error("device {name:?} is not available: {message}")]
    Device {
        /// The name as it was asked for.
        name: String,
        /// Why, and what there is.
        message: String,
    },
    /// The device failed in the middle of work.
    #[error("device {name:?} failed: {message}")]
    DeviceLost {
        /// The device.
        name: String,
        /// What the driver or library said.
        message: String,
    },
    /// The loss is no longer a finite number.
    #[error("training diverged: the loss is {loss} at step {step}")]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// NaN or an infinity.
        loss: f64,
    },
    /// Samples have another number of features than the model.
    #[error("the model takes {expected} features, the rows have {found}")]
    FeatureCount {
        /// What the model takes.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// A saved part is not what it should be.
    #[error("{part}: {message}")]
    Corrupt {
        /// The part: `model`, `weights`, `encoder`, `checkpoint`, `signature` and so on.
        part: String,
        /// What is wrong.
        message: String,
    },
    /// A saved document is newer than this program.
    #[error("{part} has format version {found}, this program reads up to {newest}")]
    Version {
        /// The part.
        part: String,
        /// Its version.
        found: u64,
        /// The newest that we read.
        newest: u64,
    },
    /// A signature is missing, wrong, or by a key that is not trusted.
    #[error("signature: {message}")]
    Untrusted {
        /// What is wrong.
        message: String,
    },
    /// Something is larger than allowed.
    #[error("{what} is too large: {message}")]
    TooLarge {
        /// The thing.
        what: String,
        /// Size and limit.
        message: String,
    },
    /// This build cannot do that.
    #[error("{message}")]
    Unsupported {
        /// What, and why not.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A file could not be read or written.
    #[error("{action} {file:?}: {source}")]
    Io {
        /// For example "cannot write".
        action: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The sink refused an event, so the run ends.
    #[error("cannot report progress: {0}")]
    Sink(Failure),
    /// A defect of ours or of a library.
    #[error("{0}")]
    Internal(String),
}

impl LearnError {
    /// The kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::MissingColumn { .. } | Self::Column { .. } | Self::BadData { .. } | Self::Diverged { .. } => {
                Code::BadData
            }
            Self::FeatureCount { .. } => Code::BadData,
            Self::Setting { .. } | Self::Layer(_) => Code::InvalidArgument,
            Self::Device { .. } | Self::Unsupported { .. } | Self::Version { .. } => Code::Unsupported,
            Self::DeviceLost { .. } => Code::DeviceLost,
            Self::Corrupt { .. } => Code::Corrupt,
            Self::Untrusted { .. } => Code::Untrusted,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Io { source, .. } => Code::from_io(source),
            Self::Sink(failure) => failure.code,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::MissingColumn { .. } => "check the spelling, or add the column to the table",
            Self::Diverged { .. } => "lower learning_rate, or standardise the inputs",
            Self::Device { .. } => "choose one of the devices listed, or 'auto'",
            Self::DeviceLost { .. } => {
                "run again, on 'cpu' if it keeps failing; a smaller batch_size needs less memory"
            }
            Self::Version { .. } => "use a newer version of this program",
            Self::BadData { hint, .. } | Self::Unsupported { hint, .. } => return hint.clone(),
            Self::Sink(failure) => return failure.hint.clone(),
            Self::Io { source, .. } => match Code::from_io(source) {
                Code::DiskFull => "free some disk space and resume the run",
                Code::PermissionDenied => "make the folder writable and resume the run",
                _ => return None,
            },
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn subject(&self) -> Option<&str> {
        match self {
            Self::MissingColumn { column } | Self::Column { column, .. } => Some(column),
            Self::Setting { setting, .. } => Some(setting),
            Self::Device { name, .. } | Self::DeviceLost { name, .. } => Some(name),
            Self::Corrupt { part, .. } | Self::Version { part, .. } => Some(part),
            Self::Io { file, .. } => Some(file),
            _ => None,
        }
    }
}

impl From<LearnError> for Failure {
    fn from(err: LearnError) -> Self {
        if let LearnError::Sink(failure) = err {
            return failure;
        }
        let mut failure = Failure::new(err.code(), err.to_string());
        failure.subject = err.subject().map(str::to_owned);
        failure.hint = err.hint();
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_so_and_names_the_file() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failure: Failure = LearnError::Io { action: "cannot write", file: "a.ckpt".to_owned(), source }.into();
        assert_eq!(failure.code, Code::DiskFull);
        assert_eq!(failure.subject.as_deref(), Some("a.ckpt"));
        assert!(failure.hint.is_some_and(|hint| hint.contains("free")));
    }

    #[test]
    fn divergence_names_the_step_and_the_way_out() {
        let failure: Failure = LearnError::Diverged { step: 7, loss: f64::NAN }.into();
        assert_eq!(failure.code, Code::BadData);
        assert_eq!(failure.message, "training diverged: the loss is NaN at step 7");
        assert!(failure.hint.is_some_and(|hint| hint.contains("learning_rate")));
    }
}

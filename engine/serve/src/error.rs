//! What goes wrong outside of a request: settings, models that can't be served, the socket.

use athanor_protocol::{Code, Failure, api::EndpointField, names::NameError};

/// An error of this crate. Errors of single requests are answered, not returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting is malformed or out of range.
    #[error("the setting {name:?} can't be used: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A model's name can't stand in a URL.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A model takes a column that no request can carry, or nothing at all.
    #[error("model {model:?} can't be served: {reason}")]
    Unservable {
        /// The model's name.
        model: String,
        /// Why not.
        reason: String,
    },
    /// Two models have one name and version.
    #[error("model {model:?} version {version} is listed twice")]
    Twice {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
    },
    /// A package does not become a model.
    #[error("{0}")]
    Package(Failure),
    /// Certificates or keys for TLS can't be used.
    #[error("{message}")]
    Tls {
        /// Which, and why.
        message: String,
        /// Which of an endpoint's settings that is, where it is one of them.
        field: Option<EndpointField>,
    },
    /// Where tokens of an identity provider are checked, its keys or settings can't be used.
    #[error("tokens can't be checked: {0}")]
    Tokens(String),
    /// The socket failed.
    #[error("the endpoint can't listen: {0}")]
    Listen(#[source] std::io::Error),
    /// The system has no more threads.
    #[error("no thread can be started: {0}")]
    Threads(#[source] std::io::Error),
}

impl ServeError {
    /// The kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Setting { .. } | Self::Name(_) | Self::Tls { .. } | Self::Tokens(_) => Code::InvalidArgument,
            Self::Unservable { .. } => Code::Unsupported,
            Self::Twice { .. } => Code::Conflict,
            Self::Package(failure) => failure.code,
            Self::Listen(err) => Code::from_io(err),
            Self::Threads(_) => Code::Unavailable,
        }
    }

    /// What to do now.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unservable { .. } => {
                Some("leave the column out of the features, or cast it, and train again".to_owned())
            }
            Self::Listen(_) => Some("choose another address or port".to_owned()),
            Self::Package(failure) => failure.hint.clone(),
            Self::Tls { field: Some(EndpointField::ClientAuthorities), .. } => {
                Some("the file holds the certificates of those who sign clients' certificates, in PEM form".to_owned())
            }
            Self::Tls { field: Some(EndpointField::ClientRevocations), .. } => {
                Some("the file holds lists of revoked certificates (CRL) by the authorities, in PEM form".to_owned())
            }
            Self::Tls { .. } => {
                Some("certificate and key are files in PEM form, the certificate first in its file".to_owned())
            }
            Self::Tokens(_) => Some("the keys are a JWK set with keys for RS256, ES256 or EdDSA".to_owned()),
            Self::Setting { .. } | Self::Name(_) | Self::Twice { .. } | Self::Threads(_) => None,
        }
    }
}

impl From<ServeError> for Failure {
    fn from(err: ServeError) -> Self {
        let mut failure = Failure::new(err.code(), err.to_string());
        failure.hint = err.hint();
        failure.subject = match err {
            ServeError::Unservable { model, .. } | ServeError::Twice { model, .. } => Some(model),
            ServeError::Package(inner) => inner.subject,
            ServeError::Setting { name, .. } => Some(name.to_owned()),
            ServeError::Tls { field, .. } => field.map(|field| field.name().to_owned()),
            ServeError::Name(_) | ServeError::Tokens(_) | ServeError::Listen(_) | ServeError::Threads(_) => None,
        };
        failure
    }
}

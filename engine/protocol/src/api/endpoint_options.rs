//! What an endpoint of this machine has besides its port, and what of it cannot be, told without a disk or a network.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Code, Failure};

/// Longest path, address or name.
const MAX_TEXT_BYTES: usize = 4_096;
/// Longest name of a claim, and of what stands before a scope.
const MAX_CLAIM_BYTES: usize = 256;

/// Where an endpoint's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TlsChoice {
    /// It speaks in the clear.
    #[default]
    Off,
    /// The workspace makes one and signs it by itself.
    Generated,
    /// From files (PEM), read again when they change. Relative paths start at the workspace.
    Files {
        /// The certificate, and those between it and its authority.
        certificate: String,
        /// Its private key.
        key: String,
    },
}

/// Whether clients must have a certificate of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ClientChoice {
    /// They need none.
    #[default]
    Off,
    /// They must have one. The endpoint must speak TLS. Files (PEM) are read again when they change; relative paths start
    /// at the workspace.
    Required {
        /// The file of the authorities whose certificates are taken.
        authorities: String,
        /// The file of the authorities' lists of revoked certificates; empty where there is none.
        #[serde(default)]
        revocations: String,
        /// Whether a certificate stands for a key that may predict.
        #[serde(default)]
        is_key: bool,
    },
}

/// An identity provider whose tokens are taken in the place of keys. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenChoice {
    /// Who must have made a token: its claim `iss`, letter by letter.
    pub issuer: String,
    /// For whom it must be: its claim `aud`, or one of its values.
    pub audience: String,
    /// The provider's public keys (JWKS): a file, whose relative path starts at the workspace, or an address, https where
    /// it is not this machine's.
    pub keys: String,
    /// The claim with what a token may do.
    pub scope_claim: String,
    /// What stands before `predict`, `read` and `admin` in that claim.
    pub scope_prefix: String,
}

impl Default for TokenChoice {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            keys: String::new(),
            scope_claim: "scope".to_owned(),
            scope_prefix: "athanor:".to_owned(),
        }
    }
}

/// What an endpoint of this machine has besides its port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointOptions {
    /// The port on which it speaks gRPC as well; 0 takes a free one, `None` is none.
    pub grpc_port: Option<u16>,
    /// Its transport security.
    pub tls: TlsChoice,
    /// Whether clients must have a certificate.
    pub clients: ClientChoice,
    /// Whose tokens are taken; `None` takes keys alone.
    pub tokens: Option<TokenChoice>,
}

/// A field of [`EndpointOptions`], by which a failure names what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointField {
    /// The file of the endpoint's certificate.
    Certificate,
    /// The file of its private key.
    PrivateKey,
    /// Whether clients must have a certificate.
    Clients,
    /// The file of their authorities.
    ClientAuthorities,
    /// The file of revoked certificates.
    ClientRevocations,
    /// The tokens' issuer.
    TokenIssuer,
    /// The tokens' audience.
    TokenAudience,
    /// The issuer's keys.
    TokenKeys,
    /// The claim with what a token may do.
    TokenScopeClaim,
    /// What stands before a scope.
    TokenScopePrefix,
}

impl EndpointField {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Certificate,
        Self::PrivateKey,
        Self::Clients,
        Self::ClientAuthorities,
        Self::ClientRevocations,
        Self::TokenIssuer,
        Self::TokenAudience,
        Self::TokenKeys,
        Self::TokenScopeClaim,
        Self::TokenScopePrefix,
    ];

    /// The subject of a [`Failure`] about it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "endpoint.tls.certificate",
            Self::PrivateKey => "endpoint.tls.key",
            Self::Clients => "endpoint.clients",
            Self::ClientAuthorities => "endpoint.clients.authorities",
            Self::ClientRevocations => "endpoint.clients.revocations",
            Self::TokenIssuer => "endpoint.tokens.issuer",
            Self::TokenAudience => "endpoint.tokens.audience",
            Self::TokenKeys => "endpoint.tokens.keys",
            Self::TokenScopeClaim => "endpoint.tokens.scope_claim",
            Self::TokenScopePrefix => "endpoint.tokens.scope_prefix",
        }
    }

    /// The field that a failure is about.
    pub fn of(failure: &Failure) -> Option<Self> {
        let subject = failure.subject.as_deref()?;
        Self::ALL.into_iter().find(|field| field.name() == subject)
    }
}

/// A field with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointProblem {
    /// Which field.
    pub field: EndpointField,
    /// What is wrong with it.
    pub message: String,
    /// How bad it is.
    pub kind: ProblemKind,
}

/// How bad a problem of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It is only empty so far.
    Missing,
    /// The endpoint cannot start with it.
    Wrong,
    /// It must not even be remembered: it may hold a secret, or it has no bound.
    NotKept,
}

impl From<EndpointProblem> for Failure {
    fn from(problem: EndpointProblem) -> Self {
        Self::new(Code::InvalidArgument, problem.message).on(problem.field.name())
    }
}

/// The problems that were found so far.
#[derive(Default)]
struct Found(Vec<EndpointProblem>);

impl Found {
    fn add(&mut self, field: EndpointField, kind: ProblemKind, message: impl Into<String>) {
        self.0.push(EndpointProblem { field, message: message.into(), kind });
    }

    /// Checks a text; where it is empty, that is a problem if `what` says what is missing.
    fn text(&mut self, field: EndpointField, text: &str, what: Option<&str>, max_bytes: usize) {
        let text = text.trim();
        if text.is_empty() {
            if let Some(what) = what {
                self.add(field, ProblemKind::Missing, what);
            }
        } else if text.len() > max_bytes {
            self.add(field, ProblemKind::NotKept, format!("it is longer than {max_bytes} bytes"));
        } else if text.chars().any(char::is_control) {
            self.add(field, ProblemKind::NotKept, "it has more than one line, or signs that cannot be seen");
        } else if text.contains("-----BEGIN") {
            self.add(field, ProblemKind::NotKept, "name the file, not what it holds");
        }
    }
}

/// Why public keys may not be fetched from an address; `None` for a file's path, and where they may.
fn wrong_address(text: &str) -> Option<(ProblemKind, &'static str)> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    // What is typed of a name and a password is not kept either, before the sign behind them is: no port is like that.
    let digits = port.trim_start_matches(':');
    if authority.contains('@') || !(digits.is_empty() || digits.parse::<u16>().is_ok()) {
        let why = "an address with a name or a password is not taken: public keys need none";
        return Some((ProblemKind::NotKept, why));
    }
    let is_here = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let why = match scheme.to_ascii_lowercase().as_str() {
        _ if host.is_empty() => "the address names no machine",
        "https" => return None,
        "http" if is_here => return None,
        "http" => "an http address has no protection on its way from another machine: name an https one, or a file",
        _ => "only https is spoken: name an https address, or a file",
    };
    Some((ProblemKind::Wrong, why))
}

impl EndpointOptions {
    /// What cannot be, field by field, as far as that can be told without looking at files; empty where nothing is wrong.
    pub fn problems(&self) -> Vec<EndpointProblem> {
        let mut found = Found::default();
        if let TlsChoice::Files { certificate, key } = &self.tls {
            let what = "a file with the certificate is needed";
            found.text(EndpointField::Certificate, certificate, Some(what), MAX_TEXT_BYTES);
            let what = "a file with the certificate's private key is needed";
            found.text(EndpointField::PrivateKey, key, Some(what), MAX_TEXT_BYTES);
        }
        if let ClientChoice::Required { authorities, revocations, .. } = &self.clients {
            if self.tls == TlsChoice::Off {
                let why = "clients show certificates with TLS alone: turn it on";
                found.add(EndpointField::Clients, ProblemKind::Wrong, why);
            }
            let what = "a file with the certificates of the clients' authorities is needed";
            found.text(EndpointField::ClientAuthorities, authorities, Some(what), MAX_TEXT_BYTES);
            found.text(EndpointField::ClientRevocations, revocations, None, MAX_TEXT_BYTES);
        }
        if let Some(tokens) = &self.tokens {
            let what = "name who makes the tokens, as they have it in 'iss'";
            found.text(EndpointField::TokenIssuer, &tokens.issuer, Some(what), MAX_TEXT_BYTES);
            let what = "name whom the tokens are for, as they have it in 'aud'";
            found.text(EndpointField::TokenAudience, &tokens.audience, Some(what), MAX_TEXT_BYTES);
            let what = "the file or https address of the provider's public keys is needed";
            found.text(EndpointField::TokenKeys, &tokens.keys, Some(what), MAX_TEXT_BYTES);
            if let Some((kind, why)) = wrong_address(tokens.keys.trim()) {
                found.add(EndpointField::TokenKeys, kind, why);
            }
            let what = "the claim with what a token may do is needed";
            found.text(EndpointField::TokenScopeClaim, &tokens.scope_claim, Some(what), MAX_CLAIM_BYTES);
            found.text(EndpointField::TokenScopePrefix, &tokens.scope_prefix, None, MAX_CLAIM_BYTES);
        }
        found.0
    }
}

#[cfg(test)]
#[path = "endpoint_options_tests.rs"]
mod tests;

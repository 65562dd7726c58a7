//! What the endpoint of a window is to have, made of what was chosen. A failure names the field that it is about.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_protocol::{
    Code, Failure,
    api::{ClientChoice, EndpointField, EndpointOptions, TlsChoice},
};
use athanor_serve::tokens::TokenRules;

use crate::{
    EngineError,
    identity::{Identity, KeySource},
    transport::{self, TlsFiles, TlsPaths},
    workspace::Workspace,
};

/// A failure of a field.
fn about(field: EndpointField) -> impl Fn(EngineError) -> Failure {
    move |err| {
        let failure = err.into_failure().on(field.name());
        match failure.code {
            Code::NotFound => failure.hint("check the path; a relative one starts at the workspace"),
            _ => failure,
        }
    }
}

/// What can be told without looking at files.
pub(super) fn check(options: &EndpointOptions) -> Result<(), Failure> {
    options.problems().into_iter().next().map_or(Ok(()), |problem| Err(problem.into()))
}

fn path(workspace: &Workspace, text: &str) -> PathBuf {
    workspace.root().join(text.trim())
}

/// A file that can be read, so that the field is known where it cannot.
fn file(path: &Path, field: EndpointField) -> Result<(), Failure> {
    transport::read_file(path).map(drop).map_err(about(field))
}

/// The certificates that were chosen, for endpoint and clients; `None` where nothing is encrypted.
///
/// # Errors
/// If a file cannot be read, or what it holds cannot be used.
pub(super) fn certificates(
    workspace: &Workspace,
    options: &EndpointOptions,
    hosts: &[String],
) -> Result<Option<TlsFiles>, Failure> {
    let (certificate, key) = match &options.tls {
        TlsChoice::Off => return Ok(None),
        TlsChoice::Generated => transport::generated(workspace, hosts)?,
        TlsChoice::Files { certificate, key } => {
            let (certificate, key) = (path(workspace, certificate), path(workspace, key));
            file(&certificate, EndpointField::Certificate)?;
            file(&key, EndpointField::PrivateKey)?;
            (certificate, key)
        }
    };
    let mut paths = TlsPaths { certificate, key, client_authorities: None, client_revocations: None };
    let mut client_is_key = false;
    if let ClientChoice::Required { authorities, revocations, is_key } = &options.clients {
        let authorities = path(workspace, authorities);
        file(&authorities, EndpointField::ClientAuthorities)?;
        paths.client_authorities = Some(authorities);
        if !revocations.trim().is_empty() {
            let revocations = path(workspace, revocations);
            file(&revocations, EndpointField::ClientRevocations)?;
            paths.client_revocations = Some(revocations);
        }
        client_is_key = *is_key;
    }
    Ok(Some(TlsFiles::open(paths, client_is_key)?))
}

/// The identity provider that was chosen, with its keys.
///
/// # Errors
/// If its keys cannot be read, or cannot be used.
pub(super) fn identity(workspace: &Workspace, options: &EndpointOptions) -> Result<Option<Arc<Identity>>, Failure> {
    let Some(tokens) = &options.tokens else { return Ok(None) };
    let about_keys = about(EndpointField::TokenKeys);
    let source = match KeySource::parse(tokens.keys.trim()).map_err(&about_keys)? {
        KeySource::File(name) => KeySource::File(workspace.root().join(name)),
        url @ KeySource::Url(_) => url,
    };
    let mut rules = TokenRules::new(tokens.issuer.trim(), tokens.audience.trim());
    rules.scope_claim = tokens.scope_claim.trim().to_owned();
    rules.scope_prefix = tokens.scope_prefix.trim().to_owned();
    // Everything else of the rules is in order by now.
    Identity::open(source, rules).map(|identity| Some(Arc::new(identity))).map_err(about_keys)
}

#[cfg(test)]
#[path = "endpoint_options_tests.rs"]
mod tests;

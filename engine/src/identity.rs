//! An identity provider: where its keys come from, and that they are kept up to date. Its tokens stand in the place of
//! keys; what a token must say is decided in [`athanor_serve::tokens`].

use std::{
    io::Read,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use athanor_protocol::{Code, Failure, registry::KeyLimits};
use athanor_serve::{
    Grant, KeyRefusal, Keys, Spent, tls,
    tokens::{self, MAX_KEY_SET_BYTES, TokenRules, Tokens},
};

use crate::{
    error::{EngineError, Result},
    files,
    keys::StoreKeys,
};

/// Longest that keys are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How old fetched keys become.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Between two fetches, whatever tokens come: a client that makes up key names makes no more requests than this.
const MIN_AGE: Duration = Duration::from_secs(30);

/// Where a provider's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At an address: `https`, or `http` on this machine.
    Url(String),
}

impl KeySource {
    /// Reads a path or an address.
    ///
    /// # Errors
    /// If it is an address whose keys anybody on the way could exchange.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let refused = |why: &str| {
            let failure = Failure::new(Code::InvalidArgument, format!("keys cannot be fetched from there: {why}"));
            EngineError::Failure(failure.on(text).hint("name an https address, or a file"))
        };
        let url = reqwest::Url::parse(text).map_err(|err| refused(&err.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("the address holds a name or a password"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => Ok(Self::Url(text.to_owned())),
            "http" if is_here => Ok(Self::Url(text.to_owned())),
            "http" => Err(refused("http has no protection on its way from another machine")),
            _ => Err(refused("only https is spoken")),
        }
    }

    /// Reads the keys now; a file of any size and an address of any slowness end this within bounds.
    fn read(&self) -> Result<Vec<u8>> {
        let url = match self {
            Self::File(path) => return files::read_limited(path, MAX_KEY_SET_BYTES as u64),
            Self::Url(url) => url,
        };
        let failed = |why: String| {
            let failure =
                Failure::new(Code::Unavailable, format!("the identity provider's keys cannot be read: {why}"));
            EngineError::Failure(failure.on(url.clone()).hint("look whether the address answers from this machine"))
        };
        athanor_serve::use_ring();
        // Where the address leads is the operator's decision, and not that of whoever answers there.
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        // Only this machine is asked in the clear, and no proxy is between us.
        let client = if url.starts_with("http:") { client.no_proxy() } else { client };
        let client = client.build().map_err(|err| failed(err.to_string()))?;
        let answer = client.get(url).send().map_err(|err| failed(err.without_url().to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("it answers {}", answer.status().as_u16())));
        }
        let mut bytes = vec![];
        answer.take(MAX_KEY_SET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|err| failed(err.to_string()))?;
        Ok(bytes)
    }
}

/// A provider with its keys.
pub struct Identity {
    source: KeySource,
    issuer: String,
    tokens: Tokens,
    /// What was read last and when.
    seen: Mutex<(Vec<u8>, Instant)>,
}

impl Identity {
    /// Reads a provider's keys.
    ///
    /// # Errors
    /// If they cannot be read, or a rule cannot be used.
    pub fn open(source: KeySource, rules: TokenRules) -> Result<Self> {
        let jwks = source.read()?;
        let issuer = rules.issuer.clone();
        let tokens = Tokens::new(rules, &jwks).map_err(|err| EngineError::Failure(err.into()))?;
        Ok(Self { source, issuer, tokens, seen: Mutex::new((jwks, Instant::now())) })
    }

    /// Who the provider is.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Reads the keys again: a file each time, an address when its keys are old or a token came by one that is not
    /// known. Where they cannot be used, the old ones stay. May block for some seconds.
    pub fn refresh(&self) {
        let is_missing = self.tokens.is_key_missing();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let age = seen.1.elapsed();
        let is_due = match self.source {
            KeySource::File(_) => true,
            KeySource::Url(_) => age >= MAX_AGE || (is_missing && age >= MIN_AGE),
        };
        if !is_due {
            return;
        }
        seen.1 = Instant::now();
        match self.source.read() {
            Ok(jwks) if jwks == seen.0 => {}
            Ok(jwks) => {
                match self.tokens.replace(&jwks) {
                    Ok(()) => tracing::info!("the identity provider's keys have changed"),
                    Err(err) => tracing::error!("the identity provider's new keys cannot be used: {err}"),
                }
                seen.0 = jwks;
            }
            Err(err) => tracing::warn!("{err}"),
        }
    }
}

/// The keys of a workspace, tokens of a provider, and what those may ask for who have no key.
pub struct AllKeys {
    /// The workspace's keys.
    pub keys: Arc<StoreKeys>,
    /// The provider, where there is one.
    pub identity: Option<Arc<Identity>>,
    /// What each token's subject and each certificate may ask for.
    pub caller_limits: KeyLimits,
}

impl Keys for AllKeys {
    fn check(&self, token: &str) -> Result<Grant, KeyRefusal> {
        match &self.identity {
            Some(identity) if Tokens::is_token(token) => identity.tokens.check(token),
            _ => self.keys.check(token),
        }
    }

    fn limits(&self, key_id: &str) -> Option<KeyLimits> {
        // No key's id has a colon in it: keys are named by hexadecimal digits.
        if key_id.starts_with(tokens::ID_PREFIX) || key_id.starts_with(tls::ID_PREFIX) {
            return (!self.caller_limits.is_none()).then_some(self.caller_limits);
        }
        self.keys.limits(key_id)
    }

    fn spent(&self, key_id: &str, day: u32) -> Spent {
        self.keys.spent(key_id, day)
    }

    fn spend(&self, key_id: &str, day: u32, more: Spent) {
        self.keys.spend(key_id, day, more);
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
pub(crate) mod tests;

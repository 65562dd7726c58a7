//! Tokens of an identity provider (JSON web tokens as OpenID Connect has them) in the place of keys. What is checked is
//! said here and nowhere else; the provider's keys come from outside, as text.

use std::{
    fmt,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use athanor_protocol::registry::Scope;
use base64::Engine as _;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    auth::{Grant, KeyRefusal},
    error::ServeError,
};

/// Most keys of a provider.
const MAX_KEYS: usize = 100;
/// Largest list of keys.
pub const MAX_KEY_SET_BYTES: usize = 256 << 10;
/// Longest part of a subject that becomes an id.
const MAX_SUBJECT_CHARS: usize = 64;
/// How the id of a token's subject begins.
pub const ID_PREFIX: &str = "jwt:";
/// Most that clocks may differ.
const MAX_LEEWAY_SECS: u64 = 300;

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// Who must have made it: the claim `iss`, letter by letter.
    pub issuer: String,
    /// For whom it must be: the claim `aud`, or one of its values.
    pub audience: String,
    /// How many seconds the clocks may differ, at most 300.
    pub leeway_secs: u64,
    /// The claim with the scopes: a text with spaces, or a list of texts.
    pub scope_claim: String,
    /// What stands before `predict`, `read` and `admin` in a scope, for example `athanor:`.
    pub scope_prefix: String,
}

impl TokenRules {
    /// Rules with a leeway of a minute, for scopes such as `athanor:predict` in the claim `scope`.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            leeway_secs: 60,
            scope_claim: "scope".to_owned(),
            scope_prefix: "athanor:".to_owned(),
        }
    }
}

/// One of the provider's keys. Its kind decides on the algorithm; a token has no say in it.
struct Known {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Checks tokens.
pub struct Tokens {
    rules: TokenRules,
    keys: RwLock<Vec<Known>>,
    is_key_missing: AtomicBool,
}

/// The algorithm of a public key that signatures may be by; `None` for everything else, above all for secrets that are
/// shared.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_signatures = matches!(&jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    (is_for_signatures && jwk.common.key_algorithm.is_none_or(|other| other == name)).then_some(algorithm)
}

fn read_keys(jwks: &[u8]) -> Result<Vec<Known>, ServeError> {
    // Keys of kinds that nobody here knows are part of many sets, and no reason to refuse the others.
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let unusable = |reason: &str| ServeError::Tokens(reason.to_owned());
    if jwks.len() > MAX_KEY_SET_BYTES {
        return Err(unusable("the set of keys is larger than 256 KiB"));
    }
    let set: Set = serde_json::from_slice(jwks).map_err(|_| unusable("there is no JSON with a list 'keys'"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(unusable("the set has more than 100 keys"));
    }
    let known = set.keys.into_iter().filter_map(|value| {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithm = algorithm(&jwk)?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Known { id: jwk.common.key_id, algorithm, key })
    });
    let known: Vec<Known> = known.collect();
    if known.is_empty() { Err(unusable("the set has no public key for RS256, ES256 or EdDSA")) } else { Ok(known) }
}

/// What of a token's head is looked at before its key is known.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    kid: Option<String>,
    /// What whoever reads the token must understand; nothing of it is understood here.
    #[serde(default)]
    crit: Option<Value>,
}

impl Tokens {
    /// Takes rules and the provider's keys (a JWK set as JSON).
    ///
    /// # Errors
    /// If a rule is empty or there is no key that can be used.
    pub fn new(rules: TokenRules, jwks: &[u8]) -> Result<Self, ServeError> {
        for (name, text) in [("issuer", &rules.issuer), ("audience", &rules.audience), ("scope", &rules.scope_claim)] {
            if text.is_empty() {
                return Err(ServeError::Setting { name, reason: "it is empty".to_owned() });
            }
        }
        if rules.leeway_secs > MAX_LEEWAY_SECS {
            return Err(ServeError::Setting { name: "leeway", reason: "it is at most 300 seconds".to_owned() });
        }
        Ok(Self { keys: RwLock::new(read_keys(jwks)?), rules, is_key_missing: AtomicBool::new(false) })
    }

    /// Takes the provider's keys of now.
    ///
    /// # Errors
    /// If there is no key that can be used; then the old ones stay.
    pub fn replace(&self, jwks: &[u8]) -> Result<(), ServeError> {
        let keys = read_keys(jwks)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Whether a token came by a key that is not known here, since this was asked last: the provider may have a new one.
    pub fn is_key_missing(&self) -> bool {
        self.is_key_missing.swap(false, Ordering::Relaxed)
    }

    /// Whether this is a token, by its looks; keys of a workspace have no dots.
    pub fn is_token(text: &str) -> bool {
        text.split('.').count() == 3
    }

    /// Checks a token.
    ///
    /// # Errors
    /// `Expired` where everything else about it is right, `Unknown` for all other reasons.
    pub fn check(&self, token: &str) -> Result<Grant, KeyRefusal> {
        let head = token.split('.').next().unwrap_or_default();
        let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).map_err(|_| KeyRefusal::Unknown)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| KeyRefusal::Unknown)?;
        if head.crit.is_some() {
            return Err(KeyRefusal::Unknown);
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let found = match &head.kid {
            Some(kid) => keys.iter().find(|known| known.id.as_ref() == Some(kid)),
            // Without a name there must be nothing to choose from.
            None => keys.first().filter(|_| keys.len() == 1),
        };
        let Some(known) = found else {
            self.is_key_missing.store(true, Ordering::Relaxed);
            return Err(KeyRefusal::Unknown);
        };
        let mut rules = Validation::new(known.algorithm);
        rules.leeway = self.rules.leeway_secs;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.rules.issuer]);
        rules.set_audience(&[&self.rules.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoded = decode::<Map<String, Value>>(token, &known.key, &rules).map_err(|err| match err.kind() {
            ErrorKind::ExpiredSignature => KeyRefusal::Expired,
            _ => KeyRefusal::Unknown,
        })?;
        let subject = decoded.claims.get("sub").and_then(Value::as_str).ok_or(KeyRefusal::Unknown)?;
        Ok(Grant { key_id: id(subject), scopes: self.scopes(&decoded.claims) })
    }

    fn scopes(&self, claims: &Map<String, Value>) -> Vec<Scope> {
        let words: Vec<&str> = match claims.get(&self.rules.scope_claim) {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        let scope = |word: &str| match word.strip_prefix(&self.rules.scope_prefix)? {
            "predict" => Some(Scope::Predict),
            "read" => Some(Scope::Read),
            "admin" => Some(Scope::Admin),
            _ => None,
        };
        words.into_iter().filter_map(scope).collect()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A subject as an id for logs and quotas: what is plain of it, and where that is not all, a digest, so that no two
/// subjects share a quota.
fn id(subject: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' { c } else { '_' };
    let text: String = subject.chars().take(MAX_SUBJECT_CHARS).map(plain).collect();
    if text == subject {
        return format!("{ID_PREFIX}{text}");
    }
    let digest = Sha256::digest(subject);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{ID_PREFIX}{text}~{hex}")
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;

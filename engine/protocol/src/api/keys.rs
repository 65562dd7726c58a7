//! API keys, without their secrets but for the one moment in which one is made.

use serde::{Deserialize, Serialize};

use crate::registry::{ApiKeyInfo, KeyLimits, Scope};

/// Asks for a page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyList {
    /// The token of the page before.
    pub after: Option<String>,
}

/// What a key may ask for, and what it has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct KeyDetails {
    /// What it may ask for.
    pub limits: KeyLimits,
    /// Requests that it has sent today, by UTC.
    pub n_requests_today: u64,
    /// Rows that it has sent today, by UTC.
    pub n_rows_today: u64,
    /// Until when the secret before its last rotation is valid, milliseconds since the Unix epoch; `None` where there is
    /// none that is.
    pub old_valid_until_millis: Option<i64>,
}

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// The key.
    #[serde(flatten)]
    pub info: ApiKeyInfo,
    /// What it may ask for, and what it has asked for.
    #[serde(default)]
    pub details: KeyDetails,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KeyPage {
    /// The keys.
    pub items: Vec<KeyEntry>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Makes a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyCreate {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it ends by itself, milliseconds since the Unix epoch.
    pub expires_at_millis: Option<i64>,
    /// What it may ask for.
    #[serde(default)]
    pub limits: KeyLimits,
}

/// A key that was made. The secret is shown once and kept nowhere.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyCreated {
    /// What is kept of it.
    pub info: ApiKeyInfo,
    /// The key itself.
    pub key: String,
}

// By hand, so that a secret does not end up in a log.
impl std::fmt::Debug for KeyCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCreated").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Sets what a key may ask for and until when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key's public part.
    pub id: String,
    /// When it ends by itself, milliseconds since the Unix epoch; `None` is never.
    pub expires_at_millis: Option<i64>,
    /// What it may ask for.
    pub limits: KeyLimits,
}

/// Gives a key another secret; the one that it has stays valid for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotate {
    /// The key's public part.
    pub id: String,
    /// How long the old secret stays valid, in milliseconds; at most 30 days, 0 ends it now.
    pub grace_millis: i64,
}

/// A key's new secret, shown once and kept nowhere.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The key with its new secret.
    pub key: String,
    /// Until when the old one is valid, milliseconds since the Unix epoch.
    pub old_valid_until_millis: i64,
}

// By hand, so that a secret does not end up in a log.
impl std::fmt::Debug for KeyRotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRotated")
            .field("old_valid_until_millis", &self.old_valid_until_millis)
            .finish_non_exhaustive()
    }
}

/// Revokes a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevoke {
    /// The key's public part.
    pub id: String,
}

//! The registry's words: models, immutable versions, movable aliases, keys.

use serde::{Deserialize, Serialize};

use crate::{names::RunId, package::FinalMetric, signature::ModelSignature};

/// The alias that the endpoint serves.
pub const PRODUCTION: &str = "production";

/// An immutable version of a registered model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The registered model's name.
    pub model: String,
    /// The version, counted from 1 for each model.
    pub version: u32,
    /// The run that made it; `None` for an imported package.
    pub run_id: Option<RunId>,
    /// SHA-256 of the package file, lower-case hex; also its name among the artifacts.
    pub sha256: String,
    /// Size of the package file.
    pub n_bytes: u64,
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// Metrics at the end of its run.
    pub metrics: Vec<FinalMetric>,
    /// The public key that signed it, lower-case hex.
    pub signed_by: String,
    /// When it was registered, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
    /// Aliases that point to it now.
    pub aliases: Vec<String>,
}

/// A registered model and its newest version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The name.
    pub name: String,
    /// Number of versions.
    pub n_versions: u32,
    /// The newest version's number.
    pub latest: u32,
    /// Aliases and the version that each points to.
    pub aliases: Vec<(String, u32)>,
    /// When the newest version was registered, milliseconds since the Unix epoch.
    pub updated_at_millis: i64,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask for predictions and read what models take.
    Predict,
    /// Read what models take and how the endpoint is, and nothing else.
    Read,
    /// Change what is served.
    Admin,
}

/// An API key without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyInfo {
    /// The public part, by which the key is listed and revoked.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_millis: i64,
    /// When it ends by itself.
    pub expires_at_millis: Option<i64>,
    /// When it was revoked.
    pub revoked_at_millis: Option<i64>,
    /// When it was last used, to the minute.
    pub last_used_at_millis: Option<i64>,
}

/// What a key may ask for. What is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyLimits {
    /// Requests in a second; so many may come at once.
    pub requests_per_second: Option<f64>,
    /// Rows in a second. One request may have more; the next ones wait as long.
    pub rows_per_second: Option<f64>,
    /// Requests in a day, by UTC.
    pub requests_per_day: Option<u64>,
    /// Rows in a day, by UTC.
    pub rows_per_day: Option<u64>,
}

impl KeyLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// A sentence on what is out of range.
    pub fn check(&self) -> Result<(), String> {
        for (what, rate) in
            [("requests in a second", self.requests_per_second), ("rows in a second", self.rows_per_second)]
        {
            if let Some(rate) = rate.filter(|rate| !(1e-3..=1e9).contains(rate)) {
                return Err(format!("{rate} {what} is out of range: it is from 0.001 to 1000000000"));
            }
        }
        for (what, quota) in [("requests in a day", self.requests_per_day), ("rows in a day", self.rows_per_day)] {
            if let Some(quota) = quota.filter(|quota| !(1..=1_000_000_000_000).contains(quota)) {
                return Err(format!("{quota} {what} is out of range: it is from 1 to 1000000000000"));
            }
        }
        Ok(())
    }
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Position in the log, from 1.
    pub id: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who: the operating-system user or a key's id.
    pub actor: String,
    /// What was done, for example `model.alias`.
    pub action: String,
    /// To which thing.
    pub subject: String,
    /// Details as JSON, never a secret.
    pub detail: serde_json::Value,
}

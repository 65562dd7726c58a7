//! Models, their versions, and the endpoint that answers with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    names::RunId,
    registry::{ModelSummary, ModelVersion},
    signature::ModelSignature,
};

/// Asks for a page of models, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelList {
    /// The token of the page before.
    pub after: Option<String>,
}

/// A page of models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelPage {
    /// The models.
    pub items: Vec<ModelSummary>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Asks for a page of a model's versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersions {
    /// The model.
    pub model: String,
    /// The token of the page before.
    pub after: Option<String>,
}

/// A page of versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionPage {
    /// The versions.
    pub items: Vec<ModelVersion>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// Moves or removes an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAlias {
    /// The model.
    pub model: String,
    /// The alias.
    pub alias: String,
    /// Where it points now; `None` removes it.
    pub version: Option<u32>,
}

/// What an alias pointed to before: moving it back undoes the move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMoved {
    /// The version before; `None` where there was no such alias.
    pub previous: Option<u32>,
}

/// Checks a version's bytes and signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVerify {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyAnswer {
    /// Whether the signing key is one that this workspace trusts.
    pub trusted: bool,
    /// The key that signed it.
    pub signed_by: String,
    /// SHA-256 of the package.
    pub sha256: String,
}

/// Writes a package to a place of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelExport {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// Where to.
    pub path: String,
}

/// Registers a package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelImport {
    /// The file.
    pub path: String,
    /// The model's name.
    pub name: String,
    /// A public key that is trusted from now on. A package by a stranger is refused as `Untrusted` with the key as its
    /// subject; who knows whose key that is asks again with it here.
    #[serde(default)]
    pub trust: Option<String>,
}

/// Registers what a run trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRegister {
    /// The run.
    pub run: RunId,
    /// The training node; may be left out where there is one.
    pub node: Option<String>,
    /// The model's name.
    pub name: String,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRegistered {
    /// The version.
    pub version: ModelVersion,
    /// Whether this very package was registered before.
    pub existed: bool,
}

/// Predicts a whole table into a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPredict {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// The table.
    pub from: String,
    /// The file to write; its ending tells the format.
    pub to: String,
    /// Whether the input's columns stand in front.
    pub keep_input: bool,
    /// For the progress events.
    pub token: String,
}

/// What a batch prediction did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PredictAnswer {
    /// The version that predicted.
    pub version: u32,
    /// Rows that were predicted.
    pub n_rows: u64,
    /// Rows of these that an earlier, broken run had predicted already.
    pub n_resumed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Columns with missing values that were imputed, and how many.
    pub missing: BTreeMap<String, u64>,
    /// Text columns and how many of their values training has never seen.
    pub new_categories: BTreeMap<String, u64>,
    /// Columns of numbers and how many of their values lie outside of what training has seen.
    pub out_of_range: BTreeMap<String, u64>,
}

/// Asks how the endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointGet {}

/// A model that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServedModel {
    /// Its name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// A plausible row, by what training saw: the middle number, the most frequent text. Columns of which nothing is
    /// known are not in it; it is empty while the endpoint does not run.
    #[serde(default)]
    pub example: BTreeMap<String, serde_json::Value>,
}

/// How the endpoint is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Where it listens, for example `http://127.0.0.1:8080`; `None` where it does not run.
    pub url: Option<String>,
    /// Since when, milliseconds since the Unix epoch.
    pub since_millis: Option<i64>,
    /// Where it speaks gRPC, as clients take it, without a scheme: `127.0.0.1:8081`; `None` where it does not.
    #[serde(default)]
    pub grpc: Option<String>,
    /// Its transport security; `None` where it speaks in the clear.
    #[serde(default)]
    pub tls: Option<TlsStatus>,
    /// The identity provider whose tokens stand for keys; `None` where there is none.
    #[serde(default)]
    pub token_issuer: Option<String>,
    /// What it serves, or would serve.
    pub models: Vec<ServedModel>,
    /// Why it stopped by itself.
    pub problem: Option<String>,
}

/// A running endpoint's transport security, for HTTP and gRPC alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsStatus {
    /// Whether the certificate is one that the workspace has made and signed by itself.
    pub generated: bool,
    /// The file of the certificate, for clients that are to trust it.
    pub certificate: String,
    /// Until when the certificate is valid, milliseconds since the Unix epoch; `None` where that cannot be told.
    pub expires_at_millis: Option<i64>,
    /// Whether clients must have a certificate too.
    pub client_certificates: bool,
    /// Whether a client's certificate stands for a key that may predict.
    pub client_is_key: bool,
}

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

/// What an endpoint of this machine has besides its port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointOptions {
    /// The port on which it speaks gRPC as well; 0 takes a free one, `None` is none.
    pub grpc_port: Option<u16>,
    /// Its transport security.
    pub tls: TlsChoice,
}

/// Starts the endpoint on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointStart {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// What it has besides.
    #[serde(default)]
    pub options: EndpointOptions,
}

/// Stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointStop {}

/// Asks for the endpoint's load over the last minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointLoad {}

/// One second of an endpoint's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointSecond {
    /// When, seconds since the Unix epoch.
    pub at_secs: i64,
    /// Requests that were answered.
    pub n_requests: u32,
    /// Of these, refused by the caller's mistake (4xx).
    pub n_refused: u32,
    /// Of these, failed by ours (5xx).
    pub n_failed: u32,
    /// Median latency in microseconds; 0 where there was no request.
    pub p50_micros: u64,
    /// 99th percentile in microseconds.
    pub p99_micros: u64,
}

/// The last minutes of an endpoint, a second each, oldest first, without seconds in which nothing was asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EndpointSeries {
    /// The seconds.
    pub seconds: Vec<EndpointSecond>,
    /// Requests since it started.
    pub n_requests: u64,
    /// Of these, refused.
    pub n_refused: u64,
    /// Of these, failed.
    pub n_failed: u64,
}

/// Asks a served model with one row of named values, as a client would, over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointTry {
    /// The model.
    pub model: String,
    /// Column and value: text, number, true or false, or null.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Whether it is to say what each column contributes.
    #[serde(default)]
    pub explain: bool,
}

/// What the endpoint answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TryAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: serde_json::Value,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// The body that was sent, for the user to copy.
    pub sent: serde_json::Value,
}

//! The endpoint of this machine: how it is, starting and stopping it, its load, trying it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EndpointOptions;
use crate::signature::ModelSignature;

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

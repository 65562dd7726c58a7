//! Arguments of `serve`, and limits of keys and callers.

use std::path::PathBuf;

use athanor_protocol::registry::KeyLimits;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) bind: String,
    /// Serve gRPC (Open Inference Protocol) as well, on this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) grpc: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
    #[command(flatten)]
    pub(crate) callers: CallerArgs,
    /// Another name by which clients may call this host; may be given several times.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// A web origin that may ask, for example `https://example.org`; may be given several times.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// Largest request body, in MiB.
    #[arg(long, default_value_t = 16, value_name = "MIB")]
    pub(crate) max_body: usize,
    /// Most single rows of different requests that are predicted together, up to 64; 1 keeps each alone.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) batch_rows: u8,
    /// Longest that such a prediction may be known to take, in milliseconds.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    pub(crate) batch_millis: u32,
    /// Serve the user interface to browsers as well; done anyway where its files are found.
    #[arg(long, conflicts_with = "no_ui")]
    pub(crate) ui: bool,
    /// Serve no user interface.
    #[arg(long)]
    pub(crate) no_ui: bool,
    /// Where the user interface's files are; found beside the program where this is not given.
    #[arg(long, env = "ATHANOR_UI", value_name = "DIR")]
    pub(crate) ui_folder: Option<PathBuf>,
    /// Send a trace span of each request to this OpenTelemetry collector (OTLP over HTTP, JSON).
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    pub(crate) traces: Option<String>,
    /// The user interface's port. Where this is not given: the one after the endpoint's, or a free one with port 0.
    #[arg(long, value_name = "PORT")]
    pub(crate) ui_port: Option<u16>,
    /// Where to compute.
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub(crate) device: String,
}

/// Transport security.
#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS, with a certificate that is made for the allowed hosts and signed by itself.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    pub(crate) tls: bool,
    /// Speak TLS with the certificate in this file (PEM); read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Ask clients for a certificate by one of the authorities in this file (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// The authorities' lists of revoked certificates (PEM); read again when the file changes.
    #[arg(long, value_name = "FILE", requires = "tls_client_ca")]
    pub(crate) tls_client_crl: Option<PathBuf>,
    /// A client's certificate stands for a key that may predict.
    #[arg(long, requires = "tls_client_ca")]
    pub(crate) tls_client_is_key: bool,
}

/// Tokens of an identity provider.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Take tokens by this issuer in the place of keys.
    #[arg(long, value_name = "ISSUER", requires_all = ["token_audience", "token_keys"])]
    pub(crate) token_issuer: Option<String>,
    /// For whom a token must be.
    #[arg(long, value_name = "AUDIENCE", requires = "token_issuer")]
    pub(crate) token_audience: Option<String>,
    /// The issuer's public keys (JWKS): a file, or an https address.
    #[arg(long, value_name = "FILE|URL", requires = "token_issuer")]
    pub(crate) token_keys: Option<String>,
    /// The claim with what a token may do.
    #[arg(long, value_name = "CLAIM", default_value = "scope", requires = "token_issuer")]
    pub(crate) token_scope_claim: String,
    /// What stands before 'predict', 'read' and 'admin' in that claim.
    #[arg(long, value_name = "TEXT", default_value = "athanor:", requires = "token_issuer")]
    pub(crate) token_scope_prefix: String,
}

/// What each caller without a key may ask for: a token's subject, a client's certificate. What is not named is not
/// limited.
#[derive(Debug, Args)]
pub(crate) struct CallerArgs {
    /// Requests in a second of each caller by a token or a certificate.
    #[arg(long, value_name = "N")]
    pub(crate) caller_requests_per_second: Option<f64>,
    /// Rows in a second of each such caller.
    #[arg(long, value_name = "N")]
    pub(crate) caller_rows_per_second: Option<f64>,
    /// Requests in a day (UTC) of each such caller.
    #[arg(long, value_name = "N")]
    pub(crate) caller_requests_per_day: Option<u64>,
    /// Rows in a day (UTC) of each such caller.
    #[arg(long, value_name = "N")]
    pub(crate) caller_rows_per_day: Option<u64>,
}

/// What a key may ask for; what is not named is not limited.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Requests in a second.
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_second: Option<f64>,
    /// Rows in a second.
    #[arg(long, value_name = "N")]
    pub(crate) rows_per_second: Option<f64>,
    /// Requests in a day (UTC).
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_day: Option<u64>,
    /// Rows in a day (UTC).
    #[arg(long, value_name = "N")]
    pub(crate) rows_per_day: Option<u64>,
}

impl From<&CallerArgs> for KeyLimits {
    fn from(args: &CallerArgs) -> Self {
        Self {
            requests_per_second: args.caller_requests_per_second,
            rows_per_second: args.caller_rows_per_second,
            requests_per_day: args.caller_requests_per_day,
            rows_per_day: args.caller_rows_per_day,
        }
    }
}

impl From<&LimitArgs> for KeyLimits {
    fn from(args: &LimitArgs) -> Self {
        Self {
            requests_per_second: args.requests_per_second,
            rows_per_second: args.rows_per_second,
            requests_per_day: args.requests_per_day,
            rows_per_day: args.rows_per_day,
        }
    }
}

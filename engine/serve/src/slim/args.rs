//! What can be said on the slim server's command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Serves Athanor's model packages: no workspace, no database, no shell needed.
#[derive(Debug, Parser)]
#[command(
    name = "athanor-serve",
    version,
    // Told by whoever packs the program (`super::MARK`).
    long_version = concat!(env!("CARGO_PKG_VERSION"), "\nthe slim server of Athanor, version ", env!("CARGO_PKG_VERSION"), "\n"),
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  athanor-serve --package wine.athanor --trust 3b6a… --keys keys.jsonl
  athanor-serve --models /opt/models --trust publisher.key --keys keys.jsonl --bind 0.0.0.0:8080 --behind-tls
  athanor-serve predict --package wine.athanor --trust 3b6a… --in wines.csv --out predicted.csv
  athanor-serve health http://127.0.0.1:8080/v2/health/ready

The file of keys is written by 'athanor keys export', the public key is shown by 'athanor models verify FILE'.
In a cloud's container it takes port and routes from the environment: AIP_HTTP_PORT, AIP_HEALTH_ROUTE and
AIP_PREDICT_ROUTE (Vertex AI), SAGEMAKER_BIND_TO_PORT and /opt/ml/model (SageMaker), AZUREML_MODEL_DIR (Azure ML).

Exit status: 0 done, 1 failed, 2 wrong usage."
)]
pub(super) struct Cli {
    /// Print JSON on standard output; for scripts.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve as a cloud's container does: on all interfaces, where nothing else is said.
    Serve(ServeArgs),
    /// Predict every row of a table, without a socket.
    Predict(PredictArgs),
    /// Ask an endpoint whether it is ready; for health checks of containers.
    Health(HealthArgs),
}

/// Which packages, and who may have signed them.
#[derive(Debug, Args)]
pub(super) struct PackageArgs {
    /// A package, served under its file's name, or under another one and a version; may be given several times.
    #[arg(long = "package", value_name = "[NAME[:VERSION]=]FILE")]
    pub(super) packages: Vec<String>,
    /// A folder of packages: NAME.athanor, or NAME/VERSION.athanor.
    #[arg(long, env = "ATHANOR_MODELS", value_name = "DIR")]
    pub(super) models: Option<PathBuf>,
    /// A public key that may have signed packages, or a file of such keys; may be given several times.
    #[arg(long, env = "ATHANOR_TRUST", value_name = "HEX|FILE", value_delimiter = ',')]
    pub(super) trust: Vec<String>,
    /// Where to compute.
    #[arg(long, env = "ATHANOR_DEVICE", default_value = "cpu", value_name = "NAME")]
    pub(super) device: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AccessArg {
    /// Every request carries a key.
    Keys,
    /// The platform in front has checked who asks; no keys. For containers of a cloud's endpoint alone.
    Platform,
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) from: PackageArgs,
    /// Who checks that a request may be made.
    #[arg(long, env = "ATHANOR_ACCESS", value_enum, default_value = "keys")]
    pub(super) access: AccessArg,
    /// The file of hashed keys, as 'athanor keys export' writes it; read again when it changes.
    #[arg(long, env = "ATHANOR_KEYS", value_name = "FILE")]
    pub(super) keys: Option<PathBuf>,
    /// The address and port; port 0 takes a free one. 127.0.0.1:8080 where nothing is said. [env: ATHANOR_BIND]
    #[arg(long, value_name = "ADDR")]
    pub(super) bind: Option<String>,
    /// Something in front ends TLS, so that keys do not travel openly: needed for an address that others can reach.
    #[arg(long, env = "ATHANOR_BEHIND_TLS")]
    pub(super) behind_tls: bool,
    /// Another name by which clients may call this host; may be given several times.
    #[arg(long, env = "ATHANOR_ALLOW_HOST", value_name = "HOST", value_delimiter = ',')]
    pub(super) allow_host: Vec<String>,
    /// A web origin that may ask, for example `https://example.org`; may be given several times.
    #[arg(long, env = "ATHANOR_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub(super) allow_origin: Vec<String>,
    /// The model that answers where a platform's route names none.
    #[arg(long, env = "ATHANOR_DEFAULT_MODEL", value_name = "NAME")]
    pub(super) default_model: Option<String>,
    /// Largest request body, in MiB.
    #[arg(long, env = "ATHANOR_MAX_BODY", default_value_t = 16, value_name = "MIB",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) max_body: u16,
    /// Seconds for requests under way when it is told to stop.
    #[arg(long, env = "ATHANOR_DRAIN", default_value_t = 20, value_name = "SECONDS",
        value_parser = clap::value_parser!(u16).range(0..=25))]
    pub(super) drain: u16,
}

#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    #[command(flatten)]
    pub(super) from: PackageArgs,
    /// The table, CSV or Parquet.
    #[arg(long = "in", value_name = "FILE")]
    pub(super) input: String,
    /// The file to write, .csv or .parquet. Broken off and run again, it goes on where it was.
    #[arg(long = "out", value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Write predictions alone, without the input's columns.
    #[arg(long)]
    pub(super) only: bool,
}

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The address to ask; where it is not given, this machine at the port that serving would take.
    pub(super) url: Option<String>,
    /// Longest time for the answer, in milliseconds.
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(super) timeout: u32,
}

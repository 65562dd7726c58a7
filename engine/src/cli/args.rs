//! What can be said on the command line.

use std::path::PathBuf;

use athanor_protocol::registry::Scope;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Athanor: from a table to a signed model on a secured endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "athanor",
    version,
    about,
    after_help = "\
Examples:
  athanor demo                                             the whole journey on a real table
  athanor data describe customers.csv                      types, missing values, distributions
  athanor run churn.json --set train.epochs=50             run a workflow with one parameter changed
  athanor serve --bind 127.0.0.1:8080                      serve the models with the alias 'production'

Exit status: 0 done, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    /// The workspace's folder.
    ///
    /// Where it is not given: 'athanor-workspace' in the current folder; for 'demo' a fresh folder.
    #[arg(long, global = true, env = "ATHANOR_WORKSPACE", value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Print JSON on standard output; for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do the whole journey on a bundled real table and say what happens.
    Demo(DemoArgs),
    /// Make a workspace.
    Init,
    /// Look at tables.
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Check a workflow file without running it.
    Check(CheckArgs),
    /// Run a workflow file.
    Run(RunArgs),
    /// Look at runs, stop them, go on with them.
    Runs {
        #[command(subcommand)]
        command: RunsCommand,
    },
    /// Register, promote, exchange and verify models.
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Predict every row of a table.
    Predict(PredictArgs),
    /// Serve every model with the alias 'production'.
    Serve(ServeArgs),
    /// Make, list and revoke API keys.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Take over what other tools have kept.
    Import {
        #[command(subcommand)]
        command: super::steward_args::ImportCommand,
    },
    /// Look at the audit log: who did what, and when.
    Audit {
        #[command(subcommand)]
        command: super::steward_args::AuditCommand,
    },
    /// Say what this machine has and what is missing.
    Doctor,
    /// Do a job; started by 'run', not by people.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to train: cpu, auto, vulkan:0, webgpu:0, …
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub(crate) device: String,
    /// Keep serving at the end, until Ctrl-C.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// A CSV or Parquet file.
    pub(crate) file: String,
    /// The separator of a CSV file; found out where it is not given.
    #[arg(long, value_name = "CHAR")]
    pub(crate) separator: Option<char>,
    /// A word that means missing; may be given several times.
    #[arg(long = "null", value_name = "WORD")]
    pub(crate) null_values: Vec<String>,
    /// Numbers are written 1,5.
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// The first line holds values, not names.
    #[arg(long)]
    pub(crate) no_header: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Types, missing values, distinct values, quantiles, most frequent values.
    #[command(after_help = "Example: athanor data describe datasets/samples/wine.csv --json")]
    Describe {
        #[command(flatten)]
        table: TableArgs,
        /// Most frequent values shown for each column.
        #[arg(long, default_value_t = 5, value_name = "N")]
        top: usize,
        /// Bins of each histogram.
        #[arg(long, default_value_t = 20, value_name = "N")]
        bins: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// A workflow file.
    pub(crate) file: PathBuf,
    /// Set a parameter; may be given several times.
    #[arg(long, value_name = "NODE.PARAM=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  athanor run datasets/samples/workflows/wine.json
  athanor run flow.json --set split.test=0.2 --set train.hidden=128,64 --device auto --json")]
pub(crate) struct RunArgs {
    /// A workflow file.
    pub(crate) file: PathBuf,
    /// Set a parameter; may be given several times.
    #[arg(long, value_name = "NODE.PARAM=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    /// The seed of splits, weights and order.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Where to train: cpu, auto (the best GPU, else cpu), vulkan:0, metal:0, webgpu:0, cuda:0.
    #[arg(long, default_value = "auto", value_name = "NAME")]
    pub(crate) device: String,
    /// CPU threads; 0 means all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) threads: u32,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Most memory that the worker may use, in MiB; 0 means nine tenths of the machine's.
    #[arg(long, default_value_t = 0, value_name = "MIB")]
    pub(crate) memory_limit: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first.
    List {
        /// Only runs in this state: queued, running, finished, failed, cancelled.
        #[arg(long, value_name = "STATE")]
        status: Option<String>,
        /// Only runs whose id, workflow or tags hold this text.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Sort by this metric, for example test/accuracy, best first.
        #[arg(long, value_name = "SPLIT/KEY")]
        sort: Option<String>,
        /// Runs on a page.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
        /// Where the last page ended.
        #[arg(long, value_name = "TOKEN")]
        page: Option<String>,
    },
    /// Everything that is kept of a run.
    Show {
        /// The run's id, or its first characters.
        run: String,
    },
    /// A metric's history, or the list of metrics.
    Metrics {
        /// The run's id, or its first characters.
        run: String,
        /// The metric, for example valid/loss; all of them are listed where it is not given.
        key: Option<String>,
        /// Points at most; more are put together, with least and greatest value.
        #[arg(long, default_value_t = 1000, value_name = "N")]
        points: usize,
    },
    /// Stop a run.
    Cancel {
        /// The run's id, or its first characters.
        run: String,
    },
    /// Go on with a run that failed or was stopped.
    Resume {
        /// The run's id, or its first characters.
        run: String,
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Show a run's log.
    Log {
        /// The run's id, or its first characters.
        run: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List registered models.
    List,
    /// Show a version: NAME, NAME@ALIAS or NAME:VERSION.
    Show {
        /// Which.
        model: String,
    },
    /// Register the model of a finished run as the next version.
    Register {
        /// The run's id, or its first characters.
        run: String,
        /// The model's name.
        name: String,
        /// The training node, where the run has several.
        #[arg(long)]
        node: Option<String>,
        /// An alias that moves to the new version.
        #[arg(long)]
        alias: Option<String>,
    },
    /// Move an alias to a version, or take it away.
    #[command(
        after_help = "Examples:\n  athanor models alias wine production 3\n  athanor models alias wine production --remove"
    )]
    Alias {
        /// The model's name.
        name: String,
        /// The alias; what 'production' points to is served.
        alias: String,
        /// The version, or another alias whose version is meant.
        #[arg(required_unless_present = "remove")]
        version: Option<String>,
        /// Take the alias away.
        #[arg(long, conflicts_with = "version")]
        remove: bool,
    },
    /// Write a version's signed package to a file.
    Export {
        /// NAME, NAME@ALIAS or NAME:VERSION.
        model: String,
        /// The file.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Register a package from elsewhere.
    Import {
        /// The package.
        file: PathBuf,
        /// The model's name.
        name: String,
        /// Trust this public key from now on; 'verify' shows which key signed a package.
        #[arg(long, value_name = "KEY")]
        trust: Option<String>,
    },
    /// Check a package file: every byte, and who signed it.
    Verify {
        /// The package.
        file: PathBuf,
        /// A public key that is trusted for this check.
        #[arg(long, value_name = "KEY")]
        trust: Vec<String>,
    },
    #[command(flatten)]
    Steward(super::steward_args::StewardCommand),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: athanor predict wine@production new_wines.csv -o predicted.csv")]
pub(crate) struct PredictArgs {
    /// NAME, NAME@ALIAS or NAME:VERSION.
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    /// The file to write, .csv or .parquet.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Write predictions alone, without the input's columns.
    #[arg(long)]
    pub(crate) only: bool,
    /// Where to compute.
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) bind: String,
    /// Another name by which clients may call this host; may be given several times.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// A web origin that may ask, for example `https://example.org`; may be given several times.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// Largest request body, in MiB.
    #[arg(long, default_value_t = 16, value_name = "MIB")]
    pub(crate) max_body: usize,
    /// Serve the user interface to browsers as well; done anyway where its files are found.
    #[arg(long, conflicts_with = "no_ui")]
    pub(crate) ui: bool,
    /// Serve no user interface.
    #[arg(long)]
    pub(crate) no_ui: bool,
    /// Where the user interface's files are; found beside the program where this is not given.
    #[arg(long, env = "ATHANOR_UI", value_name = "DIR")]
    pub(crate) ui_folder: Option<PathBuf>,
    /// The user interface's port. Where this is not given: the one after the endpoint's, or a free one with port 0.
    #[arg(long, value_name = "PORT")]
    pub(crate) ui_port: Option<u16>,
    /// Where to compute.
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub(crate) device: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Ask for predictions.
    Predict,
    /// Change what is served.
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Predict => Self::Predict,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; it is shown once.
    Create {
        /// What people call it.
        #[arg(long, default_value = "default")]
        name: String,
        /// What it may do; may be given several times.
        #[arg(long = "scope", value_enum, default_values_t = [ScopeArg::Predict])]
        scopes: Vec<ScopeArg>,
        /// Ends by itself after so many days.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires: Option<u32>,
    },
    /// List keys, never their secrets.
    List,
    /// End a key now.
    Revoke {
        /// The key's id, as 'list' shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The job's folder.
    #[arg(long)]
    pub(crate) job: Option<PathBuf>,
    /// The cache's folder.
    #[arg(long)]
    pub(crate) cache: Option<PathBuf>,
    /// Only look for devices.
    #[arg(long)]
    pub(crate) probe_devices: bool,
    /// Only look whether there is this device.
    #[arg(long, requires = "probe_devices")]
    pub(crate) device: Option<String>,
}

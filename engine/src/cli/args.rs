//! What can be said on the command line.

use std::path::PathBuf;

use athanor_protocol::registry::Scope;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use super::{
    monitor_args::{ConfigureArgs, MonitorCommand},
    serve_args::{LimitArgs, ServeArgs},
};

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
    /// Watch served models: drift, quality, alerts.
    Monitor {
        #[command(subcommand)]
        command: MonitorCommand,
    },
    /// Predict every row of a table.
    Predict(PredictArgs),
    /// Predict tables by the clock.
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Serve every model with the alias 'production'.
    Serve(Box<ServeArgs>),
    /// Let a new version take over step by step, and take it back.
    Rollout {
        #[command(subcommand)]
        command: RolloutCommand,
    },
    /// Make, list and revoke API keys.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Make container images and bundles of models, without Docker.
    Deploy {
        #[command(subcommand)]
        command: super::deploy_args::DeployCommand,
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
    /// Write a version to a file: its signed package, or an ONNX file for other programs.
    #[command(after_help = "Example: athanor models export wine@production --onnx -o wine.onnx")]
    Export {
        /// NAME, NAME@ALIAS or NAME:VERSION.
        model: String,
        /// Write preparation, encoder and model as one ONNX file, and compare its answers with the model's own.
        #[arg(long)]
        onnx: bool,
        /// What the model is meant for; goes into the ONNX file.
        #[arg(long, value_name = "TEXT", requires = "onnx", default_value = "", hide_default_value = true)]
        intended_use: String,
        /// The file.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Register a package or an ONNX file from elsewhere.
    Import {
        /// The package, or an ONNX file.
        file: PathBuf,
        /// The model's name.
        #[arg(required_unless_present = "named")]
        name: Option<String>,
        /// The model's name, as an option.
        #[arg(long = "name", id = "named", value_name = "NAME", conflicts_with = "name")]
        named: Option<String>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Add a schedule; 'athanor serve' and the window carry it out.
    #[command(after_help = "\
Example: athanor schedule add --cron '0 3 * * *' predict wine@production new_wines.csv -o predicted.csv

The five fields are those of cron: minute hour day month weekday, in UTC.")]
    Add {
        /// When: minute hour day month weekday, in UTC; or @hourly, @daily, @weekly, @monthly.
        #[arg(long, value_name = "FIELDS")]
        cron: String,
        #[command(subcommand)]
        what: ScheduledCommand,
    },
    /// List schedules, when they are due, and what came of them.
    List,
    /// Let a schedule rest; what is missed meanwhile is not made up for.
    Pause {
        /// The schedule's id, as 'list' shows it.
        id: String,
    },
    /// Let it go on.
    Resume {
        /// The schedule's id, as 'list' shows it.
        id: String,
    },
    /// Carry a schedule out now, whether it rests or not.
    Run {
        /// The schedule's id, as 'list' shows it.
        id: String,
    },
    /// Stop the prediction that a schedule is at, in whatever process; the next one goes on with the rows that are done.
    Stop {
        /// The schedule's id, as 'list' shows it.
        id: String,
    },
    /// Remove a schedule.
    Remove {
        /// The schedule's id, as 'list' shows it.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduledCommand {
    /// Predict every row of a table, which is read anew each time.
    Predict(PredictArgs),
}

/// When a key ends.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct EndsArgs {
    /// After so many days from now.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: Option<u32>,
    /// Never.
    #[arg(long)]
    pub(crate) never: bool,
}

/// A span of time such as `24h`, `30m`, `7d` or `90s`, in milliseconds.
fn parse_span(text: &str) -> Result<i64, String> {
    let usage = || "write a number and s, m, h or d, for example 24h".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(usage)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(usage()),
    };
    let n: u32 = digits.parse().map_err(|_| usage())?;
    Ok(i64::from(n) * seconds * 1_000)
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Ask for predictions.
    Predict,
    /// Read what models take and how the endpoint is, and nothing else.
    Read,
    /// Change what is served.
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Predict => Self::Predict,
            ScopeArg::Read => Self::Read,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

/// A time: `90`, `90s`, `5m`, `2h` or `1d`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secs(pub(crate) u32);

impl std::str::FromStr for Secs {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..) {
            Some("" | "s") => Some(1),
            Some("m") => Some(60),
            Some("h") => Some(3_600),
            Some("d") => Some(86_400),
            _ => None,
        };
        let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse::<u32>().ok() } else { None };
        let secs = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        secs.map(Self).ok_or_else(|| "a time is a whole number with s, m, h or d, for example 90s".to_owned())
    }
}

/// A limit that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit(pub(crate) Option<f64>);

impl std::str::FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|limit| Self(Some(limit))).map_err(|_| "a limit is a number, or 'off'".to_owned())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  athanor rollout start wine --to 3 --canary 10 --bake 10m
  athanor rollout start wine --to 3 --linear 10,50,100 --every 60s --sticky x-user-id
  athanor rollout start wine --to 3 --shadow")]
pub(crate) struct RolloutStartArgs {
    /// The model's name.
    pub(crate) model: String,
    /// The new version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: u32,
    /// A fixed share of requests is answered by it, in percent; 10 where nothing else is said.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) canary: Option<u8>,
    /// Shares that follow each other by themselves.
    #[arg(
        long,
        value_name = "PERCENT,…",
        value_delimiter = ',',
        conflicts_with = "canary",
        value_parser = clap::value_parser!(u8).range(1..=100)
    )]
    pub(crate) linear: Option<Vec<u8>>,
    /// How long each share lasts.
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "linear")]
    pub(crate) every: Secs,
    /// It is asked as well and never answers; of a share of requests where one is given.
    #[arg(
        long,
        value_name = "PERCENT",
        num_args = 0..=1,
        default_missing_value = "100",
        conflicts_with_all = ["canary", "linear", "bake"],
        value_parser = clap::value_parser!(u8).range(1..=100)
    )]
    pub(crate) shadow: Option<u8>,
    /// It takes over by itself after so long at the last share without a tripped guard.
    #[arg(long, value_name = "TIME")]
    pub(crate) bake: Option<Secs>,
    /// The header whose value keeps a client on one side.
    #[arg(long, value_name = "HEADER")]
    pub(crate) sticky: Option<String>,
    /// Largest share of failures, 0 to 1, or 'off'.
    #[arg(long, value_name = "RATE", default_value = "0.02")]
    pub(crate) max_error_rate: Limit,
    /// The 99th percentile of latency may be so many times the stable version's.
    #[arg(long, value_name = "RATIO")]
    pub(crate) max_p99_ratio: Option<f64>,
    /// Largest drift of the inputs, as the monitor measures it.
    #[arg(long, value_name = "DRIFT")]
    pub(crate) max_drift: Option<f64>,
    /// Requests before a guard may judge.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) min_requests: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Start one from the version in production; endpoints take it up within a second.
    Start(RolloutStartArgs),
    /// How the newest one stands.
    Status {
        /// The model's name.
        model: String,
    },
    /// Let the new version take over now.
    Promote {
        /// The model's name.
        model: String,
    },
    /// End it: the version in production answers everything.
    Abort {
        /// The model's name.
        model: String,
    },
    /// One step back: to the share before, or from a promotion to the version before.
    Back {
        /// The model's name.
        model: String,
    },
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
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Give a key another secret, which is shown once; the old one stays valid for a while.
    #[command(after_help = "Example: athanor keys rotate 0a1b2c3d4e5f --grace 24h")]
    Rotate {
        /// The key's id, as 'list' shows it.
        id: String,
        /// How long the old secret stays valid (s, m, h, d), at most 30 days; 0s ends it now.
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse_span)]
        grace: i64,
    },
    /// Limit what a key may ask for; without options it is not limited any more.
    #[command(after_help = "Example: athanor keys limit 0a1b2c3d4e5f --requests-per-second 20 --rows-per-day 1000000")]
    Limit {
        /// The key's id, as 'list' shows it.
        id: String,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Set when a key ends by itself, counted from now.
    #[command(after_help = "Example: athanor keys expire 0a1b2c3d4e5f --days 90")]
    Expire {
        /// The key's id, as 'list' shows it.
        id: String,
        #[command(flatten)]
        ends: EndsArgs,
    },
    /// List keys, never their secrets.
    List,
    /// Write the valid keys, hashed, for a server without a workspace ('athanor-serve').
    Export {
        /// The file; standard output where it is not given.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
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

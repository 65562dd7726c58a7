//! What can be said after `monitor`.

use std::path::PathBuf;

use athanor_protocol::monitor::MonitorConfig;
use clap::{Args, Subcommand};

use super::args::{RunArgs, WorkArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum MonitorCommand {
    /// How a model is watched, its last report, its quality, its open alerts.
    Status {
        /// The model's name, or a version: NAME:VERSION.
        model: String,
    },
    /// The verdict on every column of the last period.
    Report {
        /// The model's name.
        model: String,
        /// Only of this version.
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        /// List so many reports, newest first, instead of showing the last one.
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        last: u32,
    },
    /// Change how a model is watched; what is not named stays.
    #[command(after_help = "\
Example:
  athanor monitor configure churn --capture 0.2 --redact name --retention 30d --webhook https://hooks.example/ath")]
    Configure(ConfigureArgs),
    /// List open alerts.
    Alerts {
        /// Only those of this model.
        model: Option<String>,
        /// Also those that are resolved.
        #[arg(long)]
        all: bool,
    },
    /// Say that an alert was seen.
    Acknowledge {
        /// The alert's number.
        alert: u64,
    },
    /// Run the workflow that made the alert's model, on newer data.
    Retrain {
        /// The alert's number.
        alert: u64,
        /// The newer table; where it is not given, captured rows whose truth is known.
        #[arg(long, value_name = "FILE")]
        table: Option<PathBuf>,
        #[command(flatten)]
        run: RetrainArgs,
    },
    /// Show the key that webhooks are signed with.
    WebhookKey,
}

#[derive(Debug, Args)]
pub(crate) struct RetrainArgs {
    /// Set a parameter; may be given several times.
    #[arg(long, value_name = "NODE.PARAM=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    work: WorkArgs,
    /// The seed of splits, weights and order.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Where to train.
    #[arg(long, default_value = "auto", value_name = "NAME")]
    device: String,
    /// CPU threads; 0 means all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: u32,
}

impl RetrainArgs {
    /// As the arguments of `run` with this workflow.
    pub(crate) fn with(self, file: PathBuf) -> RunArgs {
        let Self { set, work, seed, device, threads } = self;
        RunArgs { file, set, work, seed, device, threads }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigureArgs {
    /// The model's name.
    pub(crate) model: String,
    /// Share of requests whose rows are kept, from 0 (none) to 1 (all).
    #[arg(long, value_name = "SHARE")]
    capture: Option<f64>,
    /// A column that is never kept; may be given several times, and replaces what was set before.
    #[arg(long, value_name = "COLUMN")]
    redact: Vec<String>,
    /// Keep every column again.
    #[arg(long, conflicts_with = "redact")]
    redact_nothing: bool,
    /// How long rows are kept, in days: 30d.
    #[arg(long, value_name = "DAYS", value_parser = days)]
    retention: Option<u32>,
    /// Most MiB that kept rows may take.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=16_777_216))]
    retention_mib: Option<u64>,
    /// Minutes after which a period is judged.
    #[arg(long, value_name = "N")]
    every_minutes: Option<u32>,
    /// Rows after which a period is judged.
    #[arg(long, value_name = "N")]
    every_rows: Option<u64>,
    /// Rows that a period needs to be judged.
    #[arg(long, value_name = "N")]
    min_rows: Option<u64>,
    /// Reports in a row that must agree before an alert is raised or resolved.
    #[arg(long, value_name = "N")]
    patience: Option<u32>,
    /// Where alerts are sent by POST: https, or http on this machine.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Send alerts nowhere.
    #[arg(long, conflicts_with = "webhook")]
    no_webhook: bool,
    /// Whether the webhook may be in a private network.
    #[arg(long, value_name = "BOOL")]
    webhook_private: Option<bool>,
}

impl ConfigureArgs {
    /// Changes what was named.
    pub(crate) fn change(&self, config: &mut MonitorConfig) {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                *to = value.clone();
            }
        }
        set(&mut config.capture, &self.capture);
        set(&mut config.retention_days, &self.retention);
        set(&mut config.retention_bytes, &self.retention_mib.map(|mib| mib << 20));
        set(&mut config.every_minutes, &self.every_minutes);
        set(&mut config.every_rows, &self.every_rows);
        set(&mut config.min_rows, &self.min_rows);
        set(&mut config.patience, &self.patience);
        set(&mut config.webhook_private, &self.webhook_private);
        if !self.redact.is_empty() || self.redact_nothing {
            config.redact.clone_from(&self.redact);
        }
        if self.webhook.is_some() || self.no_webhook {
            config.webhook.clone_from(&self.webhook);
        }
    }
}

/// `30d` or `30`.
fn days(text: &str) -> Result<u32, String> {
    let digits = text.strip_suffix('d').unwrap_or(text);
    let days = digits.parse::<u32>().ok().filter(|days| (1..=3_650).contains(days));
    days.ok_or_else(|| "write days, for example 30d; 1d to 3650d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_with_their_unit() {
        for (text, expect) in [("30d", Some(30)), ("1", Some(1)), ("0d", None), ("30h", None), ("", None), ("d", None)]
        {
            assert_eq!(days(text).ok(), expect, "{text}");
        }
    }
}

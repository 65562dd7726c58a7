//! What can be said about approving, comparing and cleaning models, and about the audit log.

use std::path::PathBuf;

use athanor_protocol::governance::Stage;
use clap::Subcommand;

fn stage(text: &str) -> Result<Stage, String> {
    Stage::parse(text).ok_or_else(|| {
        let names: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
        format!("a stage is one of {}", names.join(", "))
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum StewardCommand {
    /// Let an alias point to a version: what 'production' points to is served.
    #[command(after_help = "Example: athanor models promote wine:3 --reason \"better on the new vineyard\"")]
    Promote {
        /// NAME:VERSION, NAME@ALIAS, or NAME for the newest.
        model: String,
        /// The alias that moves.
        #[arg(long, default_value = "production")]
        alias: String,
        /// Why; stands in the history and the audit log.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take an alias back to the version before.
    Rollback {
        /// The model's name.
        name: String,
        /// The alias that moves.
        #[arg(long, default_value = "production")]
        alias: String,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Undo the last move of an alias, whatever it was.
    Undo {
        /// The model's name.
        name: String,
        /// The alias that moves.
        #[arg(long, default_value = "production")]
        alias: String,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Set how far a version has come: none, candidate, approved, rejected, archived.
    #[command(
        after_help = "Examples:\n  athanor models stage wine:3 approved\n  athanor models stage wine:3 rejected --roll-back"
    )]
    Stage {
        /// NAME:VERSION, NAME@ALIAS, or NAME for the newest.
        model: String,
        /// The stage.
        #[arg(value_parser = stage)]
        stage: Stage,
        /// Where the version is in use, go back to the newest one that is still approved.
        #[arg(long)]
        roll_back: bool,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// What happened to a model: stages, aliases, deleted versions.
    History {
        /// The model's name.
        name: String,
    },
    /// Show or set what is asked of versions: of one model, or of all that have no rules of their own.
    #[command(
        after_help = "Examples:\n  athanor models rules --needs-approval production --no-self-approval\n  athanor models rules wine --keep-newest 10 --keep-days 90\n  athanor models rules wine --reset"
    )]
    Rules {
        /// The model's name; the whole workspace where it is not given.
        name: Option<String>,
        /// An alias that may point to approved versions only; may be given several times.
        #[arg(long, value_name = "ALIAS")]
        needs_approval: Vec<String>,
        /// Whoever registered a version may not approve it.
        #[arg(long)]
        no_self_approval: bool,
        /// Cleaning keeps so many of the newest versions.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep_newest: Option<u32>,
        /// Cleaning keeps versions that are not older.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        keep_days: Option<u32>,
        /// Take the rules away.
        #[arg(long, conflicts_with_all = ["needs_approval", "no_self_approval", "keep_newest", "keep_days"])]
        reset: bool,
    },
    /// A version's card, made from its run; with --set, write texts on it.
    #[command(after_help = "Example: athanor models card wine:3 --set intended_use=\"for cellars\" -o wine.md")]
    Card {
        /// NAME:VERSION, NAME@ALIAS, or NAME for the newest.
        model: String,
        /// Write it here: JSON where the name ends in .json, else Markdown.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Set a text; may be given several times. The empty text takes it away.
        #[arg(long, value_name = "FIELD=TEXT")]
        set: Vec<String>,
    },
    /// Compare two versions on the same rows: which is better, and how sure is that?
    Compare {
        /// NAME:VERSION, NAME@ALIAS, or NAME for the newest.
        first: String,
        /// The other one.
        second: String,
        /// A table that holds the target; the test rows of the newer version where it is not given.
        #[arg(long, value_name = "FILE")]
        table: Option<String>,
    },
    /// Delete a version that nothing needs. It can be restored until the next cleaning.
    Delete {
        /// NAME:VERSION.
        model: String,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take a deletion back.
    Restore {
        /// NAME:VERSION.
        model: String,
    },
    /// Remove packages of deleted versions, then delete what the rules do not keep.
    Clean {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Who did what, newest first.
    #[command(after_help = "Example: athanor audit list --subject wine --since 2026-11-01 --json")]
    List {
        /// Only about this thing; NAME finds its versions as well.
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// Only of this action, for example model.alias; 'model' finds all of models.
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Only lines that hold this text.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Only from this day on, UTC.
        #[arg(long, value_name = "YYYY-MM-DD")]
        since: Option<String>,
        /// Lines on a page.
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Where the last page ended.
        #[arg(long, value_name = "TOKEN")]
        page: Option<String>,
    },
    /// Write all lines that fit to a file, oldest first, one JSON object on each line.
    Export {
        /// The file.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Only about this thing; NAME finds its versions as well.
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// Only from this day on, UTC.
        #[arg(long, value_name = "YYYY-MM-DD")]
        since: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Runs of MLflow, from its database or its file store: parameters, metrics, tags, and files that are data alone.
    Mlflow {
        /// The database 'mlflow.db', the folder 'mlruns', or the folder that holds one of them.
        path: PathBuf,
        /// Where MLflow keeps the files of a database's runs, as EXPERIMENT/RUN/artifacts; without it, 'mlruns' and
        /// 'mlartifacts' beside the database.
        #[arg(long, value_name = "FOLDER")]
        artifacts: Option<PathBuf>,
    },
}

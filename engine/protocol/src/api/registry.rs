//! Approving, comparing, taking back and cleaning away: what is asked of the registry beside the models themselves.

use serde::{Deserialize, Serialize};

use crate::governance::{AliasMove, DeletedVersion, Rules, Stage, StageChange};

/// Sets a version's stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStage {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// Its stage from now on.
    pub stage: Stage,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Moves what points to it to the newest version that is still approved. Without it, a version that is in use is not
    /// taken back.
    #[serde(default)]
    pub roll_back: bool,
}

/// What a change of a stage did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSet {
    /// The change; `None` where it was in this stage already.
    pub change: Option<StageChange>,
    /// Aliases that moved with it.
    pub moved: Vec<AliasMove>,
}

/// Asks what happened to a model: stages, aliases, deleted versions; newest first, the last thousand of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelHistory {
    /// The model.
    pub model: String,
}

/// What happened to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelHistoryAnswer {
    /// Changes of stages.
    pub stages: Vec<StageChange>,
    /// Moves of aliases.
    pub moves: Vec<AliasMove>,
    /// Versions that are marked as deleted.
    pub deleted: Vec<DeletedVersion>,
    /// The rules that hold for it.
    pub rules: Rules,
    /// Whether they are its own, and not the workspace's.
    pub own_rules: bool,
}

/// Sets the rules of a model or of the whole workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRules {
    /// The model; `None` for all that have none of their own.
    pub model: Option<String>,
    /// The rules; `None` takes a model's own away.
    pub rules: Option<Rules>,
}

/// Takes an alias back to the version before, or undoes the last thing that was done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRollback {
    /// The model.
    pub model: String,
    /// The alias, for example `production`.
    pub alias: String,
    /// Undoes the last move, whatever it was, instead of going to the version before.
    #[serde(default)]
    pub undo: bool,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Marks a version as deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDelete {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Takes the mark away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRestore {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
}

/// Removes packages of deleted versions, then marks what the rules do not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelClean {
    /// Only says what would be done.
    pub dry_run: bool,
}

/// What cleaning did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelCleaned {
    /// Versions whose packages are gone.
    pub removed: Vec<DeletedVersion>,
    /// Versions that are marked now; they can be restored until the next cleaning.
    pub marked: Vec<DeletedVersion>,
    /// Bytes that were freed.
    pub freed_bytes: u64,
}

/// Asks for a version's card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCardGet {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
}

/// A card, and the same as Markdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCardAnswer {
    /// The card.
    pub card: crate::card::ModelCard,
    /// The card as a document.
    pub markdown: String,
}

/// Writes a text of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCardEdit {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// One of [`CARD_FIELDS`](crate::governance::CARD_FIELDS).
    pub field: String,
    /// The text; the empty one takes it away.
    pub text: String,
}

/// Compares two versions on the same rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCompare {
    /// The first, `NAME:VERSION`, `NAME@ALIAS` or `NAME`.
    pub first: String,
    /// The second.
    pub second: String,
    /// A table that holds the target; `None` takes the test rows of the newer version's run.
    pub table: Option<String>,
    /// For the progress events.
    pub token: String,
}

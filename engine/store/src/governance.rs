//! The contract of governance: who may point where, what happened, and how it is taken back.

use athanor_protocol::{
    governance::{AliasMove, CardText, DeletedVersion, Rules, Stage, StageChange},
    registry::{AuditEntry, ModelVersion},
};

use crate::{
    error::Result,
    types::{Expected, NewVersion, Page, PageRequest},
};

/// Who does something, when and why: written down in the same transaction as the act itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The operating-system user or a key's id.
    pub actor: String,
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Why; may be empty.
    pub reason: String,
}

/// A version that was registered.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredVersion {
    /// The version.
    pub version: ModelVersion,
    /// Whether this very package had been registered under the name before.
    pub existed: bool,
    /// Whether it had been marked as deleted and is back now.
    pub restored: bool,
}

/// What a change of a stage did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOutcome {
    /// The change; `None` where the version was in this stage already.
    pub change: Option<StageChange>,
    /// Aliases that moved with it.
    pub moved: Vec<AliasMove>,
}

/// Which lines of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// About this thing: `NAME` finds `NAME:3` and `NAME@production` as well.
    pub subject: Option<String>,
    /// Of this action; `model` finds all that begin with `model.`.
    pub action: Option<String>,
    /// Holding this text in actor, action, subject or detail; ASCII letters match in both cases.
    pub text: Option<String>,
    /// From this time on, milliseconds since the Unix epoch.
    pub since_millis: Option<i64>,
}

/// Governance of the registry, part of every [`Store`](crate::Store).
///
/// # Contract
/// - **One transaction.** Each act and its line in the audit log are one transaction: neither is ever there alone.
/// - **Rules hold for every path.** An alias that needs approval never points to a version that is not approved, whoever
///   moves it and by which operation; moving, approving and the check are one transaction.
/// - **Back and forth.** The moves of an alias make a history as a browser has it. A move to a named version ends what
///   could be gone forth to; going back passes over versions that the alias may not point to now.
/// - **Deletion is a mark.** A deleted version is found by no list and no reference, nothing points to it, and its number
///   and package digest stay with it for ever. Registering the same package again takes the mark away.
pub trait Governance {
    /// As [`register_version`](crate::Store::register_version), with its line in the audit log, `model.register`.
    ///
    /// # Errors
    /// `Name` for the model's name or the actor; `Invalid` for malformed digests.
    fn register_as(&self, model: &str, version: &NewVersion, act: &Act) -> Result<RegisteredVersion>;

    /// Moves an alias, or takes it away where `to` is `None`. Moving it to where it is writes nothing.
    ///
    /// # Errors
    /// `Name` for the alias; `NotFound` for model, version, or an alias that is to be taken away; `Conflict` if it points
    /// to something else than expected, or the rules ask for an approval that the version does not have.
    fn move_alias(&self, model: &str, alias: &str, to: Option<u32>, expected: Expected, act: &Act)
    -> Result<AliasMove>;

    /// The version to which an alias would be rolled back now.
    ///
    /// # Errors
    /// `NotFound` for the model.
    fn version_before(&self, model: &str, alias: &str) -> Result<Option<u32>>;

    /// Takes an alias back to the version before.
    ///
    /// # Errors
    /// `NotFound` for the model; `Conflict` where there is no version before that it may point to, or where that is not the
    /// expected one.
    fn roll_back(&self, model: &str, alias: &str, expected: Option<u32>, act: &Act) -> Result<AliasMove>;

    /// Undoes the last move of an alias, whatever it was; doing it twice changes nothing.
    ///
    /// # Errors
    /// `NotFound` for the model; `Conflict` where nothing was moved yet, or where it may not point there any more.
    fn undo_alias(&self, model: &str, alias: &str, act: &Act) -> Result<AliasMove>;

    /// The moves of a model's aliases, newest first, at most a thousand.
    ///
    /// # Errors
    /// `NotFound` for the model.
    fn alias_moves(&self, model: &str) -> Result<Vec<AliasMove>>;

    /// Sets a version's stage. A version that is in use is taken back (rejected, archived, or no longer approved where that
    /// is needed) only with `roll_back`, which moves the aliases in question to the newest version that is still approved.
    ///
    /// # Errors
    /// `NotFound`; `Name` for the reason; `Conflict` where it is in use, where nothing approved is left to go back to, or
    /// where whoever registered it would approve it though the rules forbid that.
    fn set_stage(&self, model: &str, version: u32, stage: Stage, roll_back: bool, act: &Act) -> Result<StageOutcome>;

    /// The changes of stages of a model's versions, newest first, at most a thousand.
    ///
    /// # Errors
    /// `NotFound` for the model.
    fn stage_changes(&self, model: &str) -> Result<Vec<StageChange>>;

    /// The rules that hold for a model, or those of the workspace; and whether they are the model's own.
    ///
    /// # Errors
    /// None of its own.
    fn rules(&self, model: Option<&str>) -> Result<(Rules, bool)>;

    /// Sets the rules of a model, or those of the workspace. `None` takes them away. Aliases that point somewhere already
    /// stay.
    ///
    /// # Errors
    /// `NotFound` for the model; `Name` for an alias; `Invalid` for numbers that keep nothing.
    fn set_rules(&self, model: Option<&str>, rules: Option<&Rules>, act: &Act) -> Result<Rules>;

    /// Marks a version as deleted.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where an alias points to it or would be rolled back to it, or a rollout goes on with it.
    fn delete_version(&self, model: &str, version: u32, act: &Act) -> Result<DeletedVersion>;

    /// Takes the mark away.
    ///
    /// # Errors
    /// `NotFound` where there is no such deleted version; `Conflict` where its package was cleaned away.
    fn restore_version(&self, model: &str, version: u32, act: &Act) -> Result<ModelVersion>;

    /// Deleted versions, by model and version: of one model, or of all whose packages are still there.
    ///
    /// # Errors
    /// `NotFound` for the model.
    fn deleted_versions(&self, model: Option<&str>) -> Result<Vec<DeletedVersion>>;

    /// Marks what the rules do not keep: versions beyond the newest `keep_newest` and older than `keep_days` (where both are
    /// given, both must be so), to which no alias points or would be rolled back, and which are not approved. A dry run
    /// changes nothing and says the same.
    ///
    /// # Errors
    /// None of its own.
    fn apply_retention(&self, dry_run: bool, act: &Act) -> Result<Vec<DeletedVersion>>;

    /// Notes that a deleted version's package goes now. Says whether the file may be removed: not where a version that is
    /// not deleted has the same package.
    ///
    /// # Errors
    /// `NotFound` where there is no such deleted version.
    fn mark_cleaned(&self, model: &str, version: u32, act: &Act) -> Result<bool>;

    /// The texts of a version's card in their newest revision, by field.
    ///
    /// # Errors
    /// `NotFound`.
    fn card_texts(&self, model: &str, version: u32) -> Result<Vec<CardText>>;

    /// Writes a text of a card; the same text again is the same revision.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a field that a card does not have; `Name` for text that cannot be kept.
    fn edit_card(&self, model: &str, version: u32, field: &str, text: &str, act: &Act) -> Result<CardText>;

    /// The lines of the audit log that fit, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page size or token that is not allowed.
    fn find_audit(&self, query: &AuditQuery, page: &PageRequest) -> Result<Page<AuditEntry>>;
}

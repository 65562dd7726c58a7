//! The registry's care: approving, promoting and taking back, comparing, cards, deleting and cleaning.
//!
//! **Architecture Invariant:** every act and its line in the audit log are one transaction of the store; nothing here
//! writes the one without the other.

mod card;
mod compare;
mod document;
mod origin;

use std::{fs, path::Path};

use athanor_learn::predictor::Predictor;
use athanor_protocol::{
    Code, Failure,
    api::ModelCleaned,
    governance::{AliasMove, DeletedVersion, Rules, Stage},
    names::{check_alias, check_model_name},
    registry::{ModelVersion, PRODUCTION},
};
use athanor_store::{Act, Expected, StageOutcome};

pub use self::{
    card::card,
    compare::{Asked, compare},
    document::{markdown, words},
};
use crate::{
    error::{EngineError, IoContext, Result},
    registry::{actor, load, resolve},
    workspace::Workspace,
};

/// Whoever asks, now, for a reason.
pub fn act(workspace: &Workspace, reason: &str) -> Act {
    Act { actor: actor(), at_millis: workspace.clock.now_millis(), reason: reason.to_owned() }
}

/// Refuses what could not be served, before an alias that is served points to it.
fn check_servable(workspace: &Workspace, model: &str, version: u32) -> Result<()> {
    let (_, package) = load(workspace, &resolve(workspace, &format!("{model}:{version}"))?)?;
    Predictor::from_package(&package, "cpu")?;
    Ok(())
}

/// Moves an alias to a version, or takes it away.
///
/// # Errors
/// If the alias is not allowed, there is no such version, it cannot be served, or it is not approved where that is needed.
pub fn promote(
    workspace: &Workspace,
    model: &str,
    alias: &str,
    version: Option<u32>,
    reason: &str,
) -> Result<AliasMove> {
    check_model_name(model)?;
    if let Some(version) = version {
        check_alias(alias)?;
        if alias == PRODUCTION {
            check_servable(workspace, model, version)?;
        }
    }
    let act = act(workspace, reason);
    let moved = workspace.store.move_alias(model, alias, version, Expected::Anything, &act);
    moved.map_err(|err| hinted(err, model, version))
}

/// Says by which command the user gets on.
fn hinted(err: athanor_store::StoreError, model: &str, version: Option<u32>) -> EngineError {
    let mut failure = Failure::from(err);
    if failure.code == Code::Conflict && failure.message.starts_with("unapproved version") {
        let version = version.unwrap_or_default();
        failure.hint = Some(format!("approve it first: athanor models stage {model}:{version} approved"));
    }
    if failure.code == Code::Conflict && failure.message.starts_with("version in use") {
        failure.hint = Some(
            "move the alias first; with --roll-back a version that is rejected is replaced by the newest approved one"
                .to_owned(),
        );
    }
    EngineError::Failure(failure)
}

/// Takes an alias back to the version before. With `undo` it undoes the last move instead, whatever it was.
///
/// # Errors
/// If there is nothing to go back to, or it cannot be served.
pub fn roll_back(workspace: &Workspace, model: &str, alias: &str, undo: bool, reason: &str) -> Result<AliasMove> {
    check_model_name(model)?;
    check_alias(alias)?;
    if undo {
        return Ok(workspace.store.undo_alias(model, alias, &act(workspace, reason))?);
    }
    // What comes back must be servable too. That takes a while, so the store is told which version was looked at.
    let before = workspace.store.version_before(model, alias)?;
    if let Some(version) = before.filter(|_| alias == PRODUCTION) {
        check_servable(workspace, model, version)?;
    }
    Ok(workspace.store.roll_back(model, alias, before, &act(workspace, reason))?)
}

/// Sets a version's stage.
///
/// # Errors
/// If there is no such version, it is in use and `roll_back` is not asked for, or whoever registered it approves it though
/// the rules forbid that.
pub fn set_stage(
    workspace: &Workspace,
    model: &str,
    version: u32,
    stage: Stage,
    roll_back: bool,
    reason: &str,
) -> Result<StageOutcome> {
    check_model_name(model)?;
    let outcome = workspace.store.set_stage(model, version, stage, roll_back, &act(workspace, reason));
    outcome.map_err(|err| hinted(err, model, Some(version)))
}

/// Sets the rules of a model, or of the workspace.
///
/// # Errors
/// If there is no such model, or a rule cannot be kept.
pub fn set_rules(workspace: &Workspace, model: Option<&str>, rules: Option<&Rules>) -> Result<Rules> {
    model.map_or(Ok(()), check_model_name)?;
    Ok(workspace.store.set_rules(model, rules, &act(workspace, ""))?)
}

/// Marks a version as deleted. `served` are versions that an endpoint answers with now, whatever the aliases say.
///
/// # Errors
/// If there is no such version, or it is needed: an alias points to it, would be rolled back to it, or it is served.
pub fn delete(
    workspace: &Workspace,
    model: &str,
    version: u32,
    served: &[(String, u32)],
    reason: &str,
) -> Result<DeletedVersion> {
    check_model_name(model)?;
    if served.iter().any(|(name, at)| name == model && *at == version) {
        let message = format!("version {model}:{version} cannot be deleted: the endpoint answers with it");
        let failure = Failure::new(Code::Conflict, message).on(format!("{model}:{version}"));
        return Err(failure.hint("let another version take its place first").into());
    }
    let deleted = workspace.store.delete_version(model, version, &act(workspace, reason));
    deleted.map_err(|err| hinted(err, model, Some(version)))
}

/// Takes the mark away.
///
/// # Errors
/// If it is not deleted, or its package is gone.
pub fn restore(workspace: &Workspace, model: &str, version: u32) -> Result<ModelVersion> {
    check_model_name(model)?;
    Ok(workspace.store.restore_version(model, version, &act(workspace, ""))?)
}

/// Removes the packages of versions that were marked before, then marks what the rules do not keep: each version can be
/// restored until the cleaning after the one that marked it.
///
/// # Errors
/// If the database or a file cannot be written.
pub fn clean(workspace: &Workspace, dry_run: bool) -> Result<ModelCleaned> {
    let mut cleaned = ModelCleaned { removed: vec![], marked: vec![], freed_bytes: 0 };
    remove_deleted(workspace, dry_run, &mut cleaned)?;
    cleaned.marked = workspace.store.apply_retention(dry_run, &act(workspace, ""))?;
    Ok(cleaned)
}

/// Removes the packages of deleted versions; returns the bytes that were freed.
///
/// # Errors
/// If the database or a file cannot be written.
pub fn clean_deleted(workspace: &Workspace) -> Result<u64> {
    let mut cleaned = ModelCleaned::default();
    remove_deleted(workspace, false, &mut cleaned)?;
    Ok(cleaned.freed_bytes)
}

/// Bytes of packages that only deleted versions have.
///
/// # Errors
/// If the database cannot be read.
pub fn cleanable_bytes(workspace: &Workspace) -> Result<u64> {
    let mut cleaned = ModelCleaned::default();
    remove_deleted(workspace, true, &mut cleaned)?;
    Ok(cleaned.freed_bytes)
}

fn remove_deleted(workspace: &Workspace, dry_run: bool, cleaned: &mut ModelCleaned) -> Result<()> {
    for mut deleted in workspace.store.deleted_versions(None)? {
        let path = workspace.artifacts.path(&deleted.sha256);
        let n_bytes = path.as_deref().and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| meta.len());
        if dry_run {
            cleaned.freed_bytes += n_bytes;
            cleaned.removed.push(deleted);
            continue;
        }
        // The row first: a version must not count as restorable when its file is gone.
        let act = act(workspace, "");
        let removable = workspace.store.mark_cleaned(&deleted.model, deleted.version, &act)?;
        if let Some(path) = path.filter(|path| removable && path.is_file()) {
            fs::remove_file(&path).at("remove", &path)?;
            cleaned.freed_bytes += n_bytes;
        }
        deleted.cleaned_at_millis = Some(act.at_millis);
        cleaned.removed.push(deleted);
    }
    Ok(())
}

/// Writes a card to a file: JSON where its name ends in `.json`, else Markdown.
///
/// # Errors
/// If it cannot be written.
pub fn write_card(card: &athanor_protocol::card::ModelCard, to: &Path) -> Result<()> {
    let is_json = to.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let bytes = match is_json {
        true => serde_json::to_vec_pretty(card).map_err(std::io::Error::from).at("write", to)?,
        false => markdown(card).into_bytes(),
    };
    crate::files::write_atomic(to, &bytes)
}

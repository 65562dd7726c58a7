//! Approving, taking back, comparing and cleaning away models.

use std::{path::Path, sync::Arc, time::Instant};

use athanor_protocol::{
    Failure,
    api::{
        Done, Event, ModelCardAnswer, ModelCardEdit, ModelCardGet, ModelClean, ModelCleaned, ModelCompare, ModelDelete,
        ModelHistory, ModelHistoryAnswer, ModelRestore, ModelRollback, ModelRules, ModelStage, StageSet,
    },
    card::Comparison,
    governance::{AliasMove, CardText, Rules},
    registry::PRODUCTION,
    table::DataSource,
};

use super::{Desk, endpoint, models};
use crate::{
    registry,
    steward::{self, Asked},
};

/// Tells of changed models, and of what is served where that changed with them.
fn changed(desk: &Arc<Desk>, moved: &[AliasMove]) {
    desk.publish(Event::ModelsChanged {});
    if moved.iter().any(|moved| moved.alias == PRODUCTION && moved.from != moved.to) {
        models::serves_something_else(desk);
    }
}

pub(super) fn model_stage(desk: &Arc<Desk>, ask: ModelStage) -> Result<StageSet, Failure> {
    let workspace = desk.workspace()?;
    let outcome = steward::set_stage(&workspace, &ask.model, ask.version, ask.stage, ask.roll_back, ask.reason.trim())?;
    if outcome.change.is_some() {
        changed(desk, &outcome.moved);
    }
    Ok(StageSet { change: outcome.change, moved: outcome.moved })
}

pub(super) fn model_history(desk: &Arc<Desk>, ask: ModelHistory) -> Result<ModelHistoryAnswer, Failure> {
    let workspace = desk.workspace()?;
    let (stages, moves) = (workspace.store.stage_changes(&ask.model)?, workspace.store.alias_moves(&ask.model)?);
    let deleted = workspace.store.deleted_versions(Some(&ask.model))?;
    let (rules, own_rules) = workspace.store.rules(Some(&ask.model))?;
    Ok(ModelHistoryAnswer { stages, moves, deleted, rules, own_rules })
}

pub(super) fn model_rules(desk: &Arc<Desk>, ask: ModelRules) -> Result<Rules, Failure> {
    let rules = steward::set_rules(&*desk.workspace()?, ask.model.as_deref(), ask.rules.as_ref())?;
    changed(desk, &[]);
    Ok(rules)
}

pub(super) fn model_rollback(desk: &Arc<Desk>, ask: ModelRollback) -> Result<AliasMove, Failure> {
    let workspace = desk.workspace()?;
    let moved = steward::roll_back(&workspace, &ask.model, &ask.alias, ask.undo, ask.reason.trim())?;
    changed(desk, std::slice::from_ref(&moved));
    Ok(moved)
}

pub(super) fn model_delete(desk: &Arc<Desk>, ask: ModelDelete) -> Result<Done, Failure> {
    let workspace = desk.workspace()?;
    let served = endpoint::serving(desk);
    steward::delete(&workspace, &ask.model, ask.version, &served, ask.reason.trim())?;
    changed(desk, &[]);
    Ok(Done {})
}

pub(super) fn model_restore(desk: &Arc<Desk>, ask: ModelRestore) -> Result<Done, Failure> {
    steward::restore(&*desk.workspace()?, &ask.model, ask.version)?;
    changed(desk, &[]);
    Ok(Done {})
}

pub(super) fn model_clean(desk: &Arc<Desk>, ask: ModelClean) -> Result<ModelCleaned, Failure> {
    let cleaned = steward::clean(&*desk.workspace()?, ask.dry_run)?;
    if !ask.dry_run {
        changed(desk, &[]);
    }
    Ok(cleaned)
}

pub(super) fn model_card_get(desk: &Arc<Desk>, ask: ModelCardGet) -> Result<ModelCardAnswer, Failure> {
    let workspace = desk.workspace()?;
    let version = registry::resolve(&workspace, &format!("{}:{}", ask.model, ask.version))?;
    let card = steward::card(&workspace, &version)?;
    Ok(ModelCardAnswer { markdown: steward::markdown(&card), card })
}

pub(super) fn model_card_edit(desk: &Arc<Desk>, ask: ModelCardEdit) -> Result<CardText, Failure> {
    let workspace = desk.workspace()?;
    let act = steward::act(&workspace, "");
    let text = workspace.store.edit_card(&ask.model, ask.version, &ask.field, &ask.text, &act)?;
    changed(desk, &[]);
    Ok(text)
}

pub(super) fn model_compare(desk: &Arc<Desk>, ask: ModelCompare) -> Result<Comparison, Failure> {
    let workspace = desk.workspace()?;
    let source = ask.table.as_deref().map(|path| {
        let mut source = DataSource::file(path);
        if Path::new(path).is_relative() {
            // As everywhere: a relative name of a table starts at the workspace.
            source.path = workspace.root().join(path).to_string_lossy().into_owned();
        }
        source
    });
    let mut told: Option<Instant> = None;
    let mut progress = |done: u64, total: u64, note: &str| {
        if told.is_none_or(|told| told.elapsed() >= models::PROGRESS) {
            told = Some(Instant::now());
            desk.publish(Event::Progress { token: ask.token.clone(), done, total, note: format!("{done} {note}") });
        }
    };
    let working = desk.works.begin(&ask.token);
    let asked = Asked { first: &ask.first, second: &ask.second, table: source.as_ref() };
    Ok(steward::compare(&workspace, asked, &working.flag, &mut progress)?)
}

#[cfg(test)]
#[path = "steward_tests.rs"]
mod tests;

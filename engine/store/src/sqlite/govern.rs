//! Governance on SQLite: checks before the transaction, then one transaction that lasts through a loss of power.

use athanor_protocol::{
    governance::{AliasMove, CARD_FIELDS, CardText, DeletedVersion, MAX_CARD_TEXT_BYTES, Rules, Stage, StageChange},
    registry::{AuditEntry, ModelVersion},
};

use super::{Durability::Power, SqliteStore, aliases, cards, check, governance};
use crate::{
    error::{Result, StoreError},
    governance::{Act, AuditQuery, Governance, RegisteredVersion, StageOutcome},
    types::{Expected, NewVersion, Page, PageRequest},
};

impl Governance for SqliteStore {
    fn register_as(&self, model: &str, version: &NewVersion, act: &Act) -> Result<RegisteredVersion> {
        check::new_version(model, version)?;
        aliases::check(None, act)?;
        self.write(Power, |tx| governance::register(tx, model, version, act))
    }

    fn move_alias(
        &self,
        model: &str,
        alias: &str,
        to: Option<u32>,
        expected: Expected,
        act: &Act,
    ) -> Result<AliasMove> {
        aliases::check(to.map(|_| alias), act)?;
        self.write(Power, |tx| {
            let moved = aliases::move_alias(tx, model, alias, to, expected, act)?;
            if moved.from.is_none() && to.is_none() {
                return Err(StoreError::not_found("alias", format!("{model}@{alias}")).into());
            }
            Ok(moved)
        })
    }

    fn version_before(&self, model: &str, alias: &str) -> Result<Option<u32>> {
        self.read(|tx| aliases::before(tx, model, alias))
    }

    fn roll_back(&self, model: &str, alias: &str, expected: Option<u32>, act: &Act) -> Result<AliasMove> {
        aliases::check(Some(alias), act)?;
        self.write(Power, |tx| aliases::roll_back(tx, model, alias, expected, act))
    }

    fn undo_alias(&self, model: &str, alias: &str, act: &Act) -> Result<AliasMove> {
        aliases::check(Some(alias), act)?;
        self.write(Power, |tx| aliases::undo(tx, model, alias, act))
    }

    fn alias_moves(&self, model: &str) -> Result<Vec<AliasMove>> {
        self.read(|tx| aliases::moves(tx, model))
    }

    fn set_stage(&self, model: &str, version: u32, stage: Stage, roll_back: bool, act: &Act) -> Result<StageOutcome> {
        aliases::check(None, act)?;
        self.write(Power, |tx| governance::set_stage(tx, model, version, stage, roll_back, act))
    }

    fn stage_changes(&self, model: &str) -> Result<Vec<StageChange>> {
        self.read(|tx| governance::stage_changes(tx, model))
    }

    fn rules(&self, model: Option<&str>) -> Result<(Rules, bool)> {
        self.read(|tx| governance::rules(tx, model))
    }

    fn set_rules(&self, model: Option<&str>, rules: Option<&Rules>, act: &Act) -> Result<Rules> {
        aliases::check(None, act)?;
        rules.map_or(Ok(()), governance::check_rules)?;
        self.write(Power, |tx| governance::set_rules(tx, model, rules, act))
    }

    fn delete_version(&self, model: &str, version: u32, act: &Act) -> Result<DeletedVersion> {
        aliases::check(None, act)?;
        self.write(Power, |tx| governance::delete(tx, model, version, act))
    }

    fn restore_version(&self, model: &str, version: u32, act: &Act) -> Result<ModelVersion> {
        aliases::check(None, act)?;
        self.write(Power, |tx| governance::restore(tx, model, version, act))
    }

    fn deleted_versions(&self, model: Option<&str>) -> Result<Vec<DeletedVersion>> {
        self.read(|tx| governance::deleted(tx, model))
    }

    fn apply_retention(&self, dry_run: bool, act: &Act) -> Result<Vec<DeletedVersion>> {
        aliases::check(None, act)?;
        match dry_run {
            true => self.read(|tx| governance::apply_retention(tx, true, act)),
            false => self.write(Power, |tx| governance::apply_retention(tx, false, act)),
        }
    }

    fn mark_cleaned(&self, model: &str, version: u32, act: &Act) -> Result<bool> {
        aliases::check(None, act)?;
        self.write(Power, |tx| governance::mark_cleaned(tx, model, version, act))
    }

    fn card_texts(&self, model: &str, version: u32) -> Result<Vec<CardText>> {
        self.read(|tx| cards::texts(tx, model, version))
    }

    fn edit_card(&self, model: &str, version: u32, field: &str, text: &str, act: &Act) -> Result<CardText> {
        aliases::check(None, act)?;
        if !CARD_FIELDS.contains(&field) {
            let shown: String = field.chars().take(80).collect();
            let reason = format!("a card has {}", CARD_FIELDS.join(", "));
            return Err(StoreError::invalid(format!("the field {shown:?}"), reason));
        }
        check::text("text of a card", text, MAX_CARD_TEXT_BYTES)?;
        self.write(Power, |tx| cards::edit(tx, model, version, field, text, act))
    }

    fn find_audit(&self, query: &AuditQuery, page: &PageRequest) -> Result<Page<AuditEntry>> {
        for text in [&query.subject, &query.action, &query.text].into_iter().flatten() {
            check::text("search text", text, 256)?;
        }
        self.read(|tx| cards::find_audit(tx, query, page))
    }
}

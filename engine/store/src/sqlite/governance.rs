//! Stages, rules, deletion marks, retention.

use athanor_protocol::{
    governance::{DeletedVersion, Rules, Stage, StageChange},
    names::check_alias,
    registry::{ModelVersion, PRODUCTION},
};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::json;

use super::{
    Fault, Inner,
    aliases::{self, line},
    convert::{count, from_json, json, small},
    registry::{find_model, find_version},
    rollouts,
};
use crate::{
    error::{Result, StoreError},
    governance::{Act, RegisteredVersion, StageOutcome},
    types::NewVersion,
};

const DAY_MILLIS: i64 = 86_400_000;
/// Lines of a history that are told.
const HISTORY: i64 = 1000;

fn named(model: &str, version: u32) -> String {
    format!("{model}:{version}")
}

pub(super) fn stage(tx: &Transaction<'_>, model_no: i64, version: u32) -> Inner<Stage> {
    let mut statement = tx.prepare_cached(
        "SELECT to_stage FROM version_stage WHERE model_no = ?1 AND version = ?2 ORDER BY no DESC LIMIT 1",
    )?;
    let found: Option<String> = statement.query_row(params![model_no, version], |row| row.get(0)).optional()?;
    found.map_or(Ok(Stage::None), |text| stage_from_text(&text))
}

fn stage_from_text(text: &str) -> Inner<Stage> {
    Stage::parse(text).ok_or(Fault::Stored("stage"))
}

/// Whether there is such a version that is not marked as deleted.
pub(super) fn is_live(tx: &Transaction<'_>, model_no: i64, version: u32) -> Inner<bool> {
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM model_version v WHERE model_no = ?1 AND version = ?2 AND NOT EXISTS
         (SELECT 1 FROM version_deleted d WHERE d.model_no = v.model_no AND d.version = v.version)",
    )?;
    Ok(statement.exists(params![model_no, version])?)
}

pub(super) fn register(tx: &Transaction<'_>, model: &str, new: &NewVersion, act: &Act) -> Inner<RegisteredVersion> {
    let known: Option<u32> = tx
        .query_row(
            "SELECT version FROM model_version v JOIN model m ON m.no = v.model_no WHERE m.name = ?1 AND sha256 = ?2",
            params![model, new.sha256],
            |row| row.get(0),
        )
        .optional()?;
    let restored = match known {
        Some(version) => unmark(tx, find_model(tx, model)?, version)?,
        None => false,
    };
    let version = super::registry::register(tx, model, new)?;
    let subject = named(model, version.version);
    if known.is_none() {
        let run = new.run_id.as_ref().map(|run| run.as_str());
        line(tx, act, "model.register", &subject, json!({ "sha256": version.sha256, "run": run }))?;
    } else if restored {
        line(tx, act, "model.restore", &subject, json!({ "registered_again": true }))?;
    }
    Ok(RegisteredVersion { version, existed: known.is_some(), restored })
}

pub(super) fn rules(tx: &Transaction<'_>, model: Option<&str>) -> Inner<(Rules, bool)> {
    let mut statement = tx.prepare_cached("SELECT rules FROM registry_rules WHERE model = ?1")?;
    let mut read = |name: &str| -> Inner<Option<Rules>> {
        let text: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
        text.map(|text| from_json(&text, "set of rules")).transpose()
    };
    if let Some(own) = model.map(&mut read).transpose()?.flatten() {
        return Ok((own, true));
    }
    Ok((read("")?.unwrap_or_default(), model.is_none()))
}

pub(super) fn check_rules(rules: &Rules) -> Result<()> {
    if rules.needs_approval.len() > 100 {
        return Err(StoreError::invalid("the list of aliases that need approval", "it has more than 100"));
    }
    rules.needs_approval.iter().try_for_each(|alias| check_alias(alias))?;
    if rules.keep_newest == Some(0) || rules.keep_days == Some(0) {
        return Err(StoreError::invalid("the retention", "a number of versions or days to keep is at least 1"));
    }
    Ok(())
}

pub(super) fn set_rules(tx: &Transaction<'_>, model: Option<&str>, new: Option<&Rules>, act: &Act) -> Inner<Rules> {
    if let Some(model) = model {
        find_model(tx, model)?;
    }
    let key = model.unwrap_or_default();
    match new {
        Some(new) => tx.execute(
            "INSERT INTO registry_rules (model, rules) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET rules = excluded.rules",
            params![key, json(new, "set of rules")?],
        )?,
        None => tx.execute("DELETE FROM registry_rules WHERE model = ?1", [key])?,
    };
    line(tx, act, "model.rules", model.unwrap_or("*"), json!({ "rules": new }))?;
    Ok(rules(tx, model)?.0)
}

pub(super) fn set_stage(
    tx: &Transaction<'_>,
    model: &str,
    version: u32,
    to: Stage,
    roll_back: bool,
    act: &Act,
) -> Inner<StageOutcome> {
    let model_no = find_model(tx, model)?;
    find_version(tx, model_no, model, version)?;
    let (rules, _) = rules(tx, Some(model))?;
    let from = stage(tx, model_no, version)?;
    if from == to {
        return Ok(StageOutcome { change: None, moved: vec![] });
    }
    let subject = named(model, version);
    if to == Stage::Approved && rules.forbid_self_approval {
        let registrar = aliases::registrar(tx, model, version)?;
        if registrar.as_deref().is_none_or(|registrar| registrar == act.actor) {
            let reason = match registrar {
                Some(who) => format!("was registered by {who}, who may not approve it as well"),
                None => "has no record of who registered it, so nobody can tell that you are somebody else".to_owned(),
            };
            return Err(StoreError::conflict("approval of", subject, reason).into());
        }
    }
    let change = StageChange {
        version,
        from,
        to,
        at_millis: act.at_millis,
        actor: act.actor.clone(),
        reason: act.reason.clone(),
    };
    tx.execute(
        "INSERT INTO version_stage (model_no, version, from_stage, to_stage, at, actor, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![model_no, version, from.as_str(), to.as_str(), act.at_millis, act.actor, act.reason],
    )?;
    line(tx, act, "model.stage", &subject, json!({ "from": from.as_str(), "to": to.as_str() }))?;
    let is_taken_back = matches!(to, Stage::Rejected | Stage::Archived);
    let must_leave =
        |alias: &str| (to != Stage::Approved && rules.protects(alias)) || (is_taken_back && alias == PRODUCTION);
    let (pointing, _) = aliases::holders(tx, model_no, model, version)?;
    let leaving: Vec<String> = pointing.into_iter().filter(|alias| must_leave(alias)).collect();
    let mut moved = vec![];
    if let Some(first) = leaving.first() {
        if !roll_back {
            let reason = format!("is where {first:?} points");
            return Err(StoreError::conflict("version in use", subject, reason).into());
        }
        let Some(target) = newest_approved(tx, model_no, version)? else {
            let reason = format!("is where {first:?} points, and no other version is approved");
            return Err(StoreError::conflict("version in use", subject, reason).into());
        };
        for alias in &leaving {
            moved.push(aliases::force(tx, (model_no, model), alias, target, act)?);
        }
    }
    Ok(StageOutcome { change: Some(change), moved })
}

/// The newest version that is approved and not deleted, other than this one.
fn newest_approved(tx: &Transaction<'_>, model_no: i64, but: u32) -> Inner<Option<u32>> {
    for version in live(tx, model_no)? {
        if version.0 != but && stage(tx, model_no, version.0)? == Stage::Approved {
            return Ok(Some(version.0));
        }
    }
    Ok(None)
}

/// Versions of a model that are not deleted, newest first, with when they were registered.
fn live(tx: &Transaction<'_>, model_no: i64) -> Inner<Vec<(u32, i64)>> {
    let mut statement =
        tx.prepare_cached("SELECT version, created_at FROM live_version WHERE model_no = ?1 ORDER BY version DESC")?;
    let rows = statement.query_map([model_no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn stage_changes(tx: &Transaction<'_>, model: &str) -> Inner<Vec<StageChange>> {
    let model_no = find_model(tx, model)?;
    let mut statement = tx.prepare_cached(
        "SELECT version, from_stage, to_stage, at, actor, reason FROM version_stage WHERE model_no = ?1
         ORDER BY no DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![model_no, HISTORY])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(StageChange {
            version: small(row, "version")?,
            from: stage_from_text(&row.get::<_, String>("from_stage")?)?,
            to: stage_from_text(&row.get::<_, String>("to_stage")?)?,
            at_millis: row.get("at")?,
            actor: row.get("actor")?,
            reason: row.get("reason")?,
        });
    }
    Ok(found)
}

const DELETED: &str = "SELECT m.name, d.version, v.sha256, v.n_bytes, d.at, d.actor, d.reason, d.cleaned_at
     FROM version_deleted d JOIN model m ON m.no = d.model_no
     JOIN model_version v ON v.model_no = d.model_no AND v.version = d.version";

fn deleted_row(row: &Row<'_>) -> Inner<DeletedVersion> {
    Ok(DeletedVersion {
        model: row.get("name")?,
        version: small(row, "version")?,
        sha256: row.get("sha256")?,
        n_bytes: count(row, "n_bytes")?,
        at_millis: row.get("at")?,
        actor: row.get("actor")?,
        reason: row.get("reason")?,
        cleaned_at_millis: row.get("cleaned_at")?,
    })
}

pub(super) fn deleted(tx: &Transaction<'_>, model: Option<&str>) -> Inner<Vec<DeletedVersion>> {
    let filter = match model {
        Some(model) => {
            find_model(tx, model)?;
            "m.name = ?1"
        }
        None => "?1 IS NULL AND d.cleaned_at IS NULL",
    };
    let mut statement = tx.prepare_cached(&format!("{DELETED} WHERE {filter} ORDER BY m.name, d.version"))?;
    let mut rows = statement.query([model])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(deleted_row(row)?);
    }
    Ok(found)
}

fn one_deleted(tx: &Transaction<'_>, model: &str, version: u32) -> Inner<DeletedVersion> {
    let found = deleted(tx, Some(model))?.into_iter().find(|deleted| deleted.version == version);
    found.ok_or_else(|| StoreError::not_found("deleted model version", named(model, version)).into())
}

pub(super) fn delete(tx: &Transaction<'_>, model: &str, version: u32, act: &Act) -> Inner<DeletedVersion> {
    let model_no = find_model(tx, model)?;
    find_version(tx, model_no, model, version)?;
    let subject = named(model, version);
    let (pointing, back) = aliases::holders(tx, model_no, model, version)?;
    if let Some(alias) = pointing.first() {
        let reason = format!("cannot be deleted: the alias {alias:?} points to it");
        return Err(StoreError::conflict("version in use", subject, reason).into());
    }
    if let Some(alias) = back.first() {
        let reason = format!("cannot be deleted: {alias:?} would be rolled back to it");
        return Err(StoreError::conflict("version in use", subject, reason).into());
    }
    if rollouts::needs(tx, model_no, version)? {
        let reason = "cannot be deleted: a rollout goes on with it";
        return Err(StoreError::conflict("version in use", subject, reason).into());
    }
    tx.execute(
        "INSERT INTO version_deleted (model_no, version, at, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![model_no, version, act.at_millis, act.actor, act.reason],
    )?;
    line(tx, act, "model.delete", &subject, json!({}))?;
    one_deleted(tx, model, version)
}

fn unmark(tx: &Transaction<'_>, model_no: i64, version: u32) -> Inner<bool> {
    let sql = "DELETE FROM version_deleted WHERE model_no = ?1 AND version = ?2";
    Ok(tx.execute(sql, params![model_no, version])? > 0)
}

pub(super) fn restore(tx: &Transaction<'_>, model: &str, version: u32, act: &Act) -> Inner<ModelVersion> {
    let model_no = find_model(tx, model)?;
    let deleted = one_deleted(tx, model, version)?;
    if deleted.cleaned_at_millis.is_some() {
        let reason = "cannot be restored: its package was removed by cleaning".to_owned();
        return Err(StoreError::conflict("cleaned version", named(model, version), reason).into());
    }
    unmark(tx, model_no, version)?;
    line(tx, act, "model.restore", &named(model, version), json!({}))?;
    find_version(tx, model_no, model, version)
}

pub(super) fn mark_cleaned(tx: &Transaction<'_>, model: &str, version: u32, act: &Act) -> Inner<bool> {
    let model_no = find_model(tx, model)?;
    let deleted = one_deleted(tx, model, version)?;
    if deleted.cleaned_at_millis.is_none() {
        tx.execute(
            "UPDATE version_deleted SET cleaned_at = ?3 WHERE model_no = ?1 AND version = ?2",
            params![model_no, version, act.at_millis],
        )?;
        line(tx, act, "model.clean", &named(model, version), json!({ "sha256": deleted.sha256 }))?;
    }
    // Another model, or another version, may have the same bytes; and a deleted one that can still be restored counts.
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM model_version v WHERE v.sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM version_deleted d
         WHERE d.model_no = v.model_no AND d.version = v.version AND d.cleaned_at IS NOT NULL)",
    )?;
    Ok(!statement.exists([deleted.sha256])?)
}

pub(super) fn apply_retention(tx: &Transaction<'_>, dry_run: bool, act: &Act) -> Inner<Vec<DeletedVersion>> {
    let mut statement = tx.prepare_cached("SELECT no, name FROM model ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let models: Vec<(i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut marked = vec![];
    for (model_no, model) in models {
        let (rules, _) = rules(tx, Some(&model))?;
        if rules.keep_newest.is_none() && rules.keep_days.is_none() {
            continue;
        }
        for (at, (version, created_at)) in live(tx, model_no)?.into_iter().enumerate() {
            let is_new = rules.keep_newest.is_some_and(|n| at < n as usize);
            let age = act.at_millis.saturating_sub(created_at);
            let is_young = rules.keep_days.is_some_and(|days| age <= i64::from(days) * DAY_MILLIS);
            let (pointing, back) = aliases::holders(tx, model_no, &model, version)?;
            let is_held = !pointing.is_empty() || !back.is_empty() || rollouts::needs(tx, model_no, version)?;
            if is_new || is_young || is_held || stage(tx, model_no, version)? == Stage::Approved {
                continue;
            }
            let found = find_version(tx, model_no, &model, version)?;
            let act = Act { reason: "the retention does not keep it".to_owned(), ..act.clone() };
            marked.push(if dry_run {
                DeletedVersion {
                    model: model.clone(),
                    version,
                    sha256: found.sha256,
                    n_bytes: found.n_bytes,
                    at_millis: act.at_millis,
                    actor: act.actor,
                    reason: act.reason,
                    cleaned_at_millis: None,
                }
            } else {
                delete(tx, &model, version, &act)?
            });
        }
    }
    Ok(marked)
}

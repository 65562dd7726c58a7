//! Rollouts: begun, moved on and ended, each under the condition that nobody else was first.

use athanor_protocol::{
    registry::PRODUCTION,
    rollout::{Rollout, RolloutFigures, RolloutPhase, RolloutSpec},
};
use rusqlite::{Row, Transaction, params};

use super::{
    Fault, Inner, aliases,
    convert::{count, from_json, json, small},
    registry,
};
use crate::{
    error::StoreError,
    governance::Act,
    types::{Expected, RolloutEnd},
};

const ROLLOUT: &str = "SELECT r.no, m.name, r.stable, r.spec, r.phase, r.step, r.step_since, r.started_at, r.ended_at, \
     r.reason, r.figures FROM rollout r JOIN model m ON m.no = r.model_no";

fn rollout(row: &Row<'_>) -> Inner<Rollout> {
    let phase: String = row.get("phase")?;
    Ok(Rollout {
        id: count(row, "no")?,
        model: row.get("name")?,
        stable: small(row, "stable")?,
        spec: from_json(&row.get::<_, String>("spec")?, "rollout")?,
        phase: RolloutPhase::ALL
            .into_iter()
            .find(|known| known.as_str() == phase)
            .ok_or(Fault::Stored("phase of a rollout"))?,
        step: small(row, "step")?,
        step_since_millis: row.get("step_since")?,
        started_at_millis: row.get("started_at")?,
        ended_at_millis: row.get("ended_at")?,
        reason: row.get("reason")?,
        figures: from_json(&row.get::<_, String>("figures")?, "count of a rollout")?,
    })
}

fn all(tx: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> Inner<Vec<Rollout>> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(rollout(row)?);
    }
    Ok(found)
}

fn one(tx: &Transaction<'_>, id: u64) -> Inner<Rollout> {
    let found = all(tx, &format!("{ROLLOUT} WHERE r.no = ?1"), [id.cast_signed()])?;
    found.into_iter().next().ok_or_else(|| StoreError::not_found("rollout", id.to_string()).into())
}

fn conflict<T>(rollout: &Rollout, reason: impl Into<String>) -> Inner<T> {
    Err(StoreError::conflict("rollout of", rollout.model.clone(), reason).into())
}

pub(super) fn start(tx: &Transaction<'_>, model: &str, spec: &RolloutSpec, at: i64) -> Inner<Rollout> {
    let model_no = registry::find_model(tx, model)?;
    registry::find_version(tx, model_no, model, spec.candidate)?;
    if let Some(running) = newest(tx, model)?.filter(|newest| newest.phase == RolloutPhase::Running) {
        return conflict(&running, format!("goes on already, to version {}", running.spec.candidate));
    }
    let Some(stable) = registry::current(tx, model_no, PRODUCTION)? else {
        let reason = "points to no version: there is nothing to go on from";
        return Err(StoreError::conflict("alias", format!("{model}@{PRODUCTION}"), reason).into());
    };
    if stable == spec.candidate {
        let reason = format!("points to version {stable} already");
        return Err(StoreError::conflict("alias", format!("{model}@{PRODUCTION}"), reason).into());
    }
    tx.execute(
        "INSERT INTO rollout (model_no, stable, candidate, spec, phase, step, step_since, started_at, figures)
         VALUES (?1, ?2, ?3, ?4, 'running', 0, ?5, ?5, ?6)",
        params![
            model_no,
            stable,
            spec.candidate,
            json(spec, "rollout")?,
            at,
            json(&RolloutFigures::default(), "count of a rollout")?
        ],
    )?;
    one(tx, tx.last_insert_rowid().unsigned_abs())
}

pub(super) fn running(tx: &Transaction<'_>) -> Inner<Vec<Rollout>> {
    all(tx, &format!("{ROLLOUT} WHERE r.phase = 'running' ORDER BY m.name"), [])
}

pub(super) fn newest(tx: &Transaction<'_>, model: &str) -> Inner<Option<Rollout>> {
    let model_no = registry::find_model(tx, model)?;
    let sql = format!("{ROLLOUT} WHERE r.model_no = ?1 ORDER BY r.no DESC LIMIT 1");
    Ok(all(tx, &sql, [model_no])?.into_iter().next())
}

fn still_running(tx: &Transaction<'_>, id: u64) -> Inner<Rollout> {
    let found = one(tx, id)?;
    if found.phase == RolloutPhase::Running {
        return Ok(found);
    }
    conflict(&found, format!("has ended already: {}", found.phase.as_str()))
}

pub(super) fn step(tx: &Transaction<'_>, id: u64, from: u32, to: u32, at: i64) -> Inner<Rollout> {
    let found = still_running(tx, id)?;
    if found.step != from {
        return conflict(&found, format!("is at step {} already", found.step + 1));
    }
    if to as usize >= found.spec.steps.len() {
        return conflict(&found, format!("has {} steps", found.spec.steps.len()));
    }
    tx.execute(
        "UPDATE rollout SET step = ?2, step_since = ?3 WHERE no = ?1",
        params![id.cast_signed(), to, at.max(found.started_at_millis)],
    )?;
    one(tx, id)
}

/// Whether a running rollout needs a version, as the one that answers or as the one that may.
pub(super) fn needs(tx: &Transaction<'_>, model_no: i64, version: u32) -> Inner<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM rollout WHERE model_no = ?1 AND phase = 'running'
         AND ?2 IN (stable, candidate))";
    Ok(tx.prepare_cached(sql)?.query_row(params![model_no, version], |row| row.get(0))?)
}

pub(super) fn note(tx: &Transaction<'_>, id: u64, figures: &RolloutFigures) -> Inner<()> {
    tx.prepare_cached("UPDATE rollout SET figures = ?2 WHERE no = ?1 AND phase = 'running'")?
        .execute(params![id.cast_signed(), json(figures, "count of a rollout")?])?;
    Ok(())
}

pub(super) fn end(tx: &Transaction<'_>, id: u64, end: &RolloutEnd) -> Inner<Rollout> {
    let found = still_running(tx, id)?;
    if end.phase == RolloutPhase::Promoted {
        let expected = Expected::Version(found.stable);
        let act = Act { actor: end.actor.clone(), at_millis: end.at_millis, reason: end.reason.clone() };
        aliases::move_alias(tx, &found.model, PRODUCTION, Some(found.spec.candidate), expected, &act)?;
    }
    let figures = match &end.figures {
        Some(figures) => json(figures, "count of a rollout")?,
        None => json(&found.figures, "count of a rollout")?,
    };
    let at = end.at_millis.max(found.started_at_millis);
    tx.execute(
        "UPDATE rollout SET phase = ?2, reason = ?3, figures = ?4, ended_at = ?5 WHERE no = ?1",
        params![id.cast_signed(), end.phase.as_str(), end.reason, figures, at],
    )?;
    one(tx, id)
}

pub(super) fn take_back(tx: &Transaction<'_>, id: u64, act: &Act) -> Inner<Rollout> {
    let found = one(tx, id)?;
    if found.phase != RolloutPhase::Promoted {
        return conflict(&found, format!("was not promoted: it is {}", found.phase.as_str()));
    }
    let expected = Expected::Version(found.spec.candidate);
    aliases::move_alias(tx, &found.model, PRODUCTION, Some(found.stable), expected, act)?;
    tx.execute(
        "UPDATE rollout SET phase = 'rolled_back', reason = ?2, ended_at = ?3 WHERE no = ?1",
        params![id.cast_signed(), act.reason, act.at_millis.max(found.started_at_millis)],
    )?;
    one(tx, id)
}

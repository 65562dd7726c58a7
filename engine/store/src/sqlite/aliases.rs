//! Aliases with their history: moves, the way back, and undoing.

use athanor_protocol::{
    governance::{AliasMove, MoveKind, Rules, Stage},
    names::check_alias,
};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::json;

use super::{
    Fault, Inner, governance, keys,
    registry::{check_expected, current, find_model, find_version},
};
use crate::{
    error::StoreError,
    governance::Act,
    types::{Expected, NewAudit},
};

/// How far back the way back is known.
const HISTORY: i64 = 1000;

/// Appends a line to the audit log, in the transaction of the act. An act of nobody has none.
pub(super) fn line(
    tx: &Transaction<'_>,
    act: &Act,
    action: &str,
    subject: &str,
    mut detail: serde_json::Value,
) -> Inner<()> {
    if act.actor.is_empty() {
        return Ok(());
    }
    if !act.reason.is_empty() {
        detail["reason"] = json!(act.reason);
    }
    let (actor, action, subject) = (act.actor.clone(), action.to_owned(), subject.to_owned());
    keys::append_audit(tx, &NewAudit { at_millis: act.at_millis, actor, action, subject, detail })?;
    Ok(())
}

/// Whether an alias may point to a version now.
fn may_point(tx: &Transaction<'_>, rules: &Rules, model_no: i64, alias: &str, version: u32) -> Inner<bool> {
    let is_approved = || Ok::<_, Fault>(governance::stage(tx, model_no, version)? == Stage::Approved);
    Ok(governance::is_live(tx, model_no, version)? && (!rules.protects(alias) || is_approved()?))
}

/// The way to where an alias is, as a browser's: where back leads (the last one first taken), and where forth leads.
struct Way {
    back: Vec<Option<u32>>,
    forth: Vec<Option<u32>>,
    last: Option<MoveKind>,
}

fn way(tx: &Transaction<'_>, model_no: i64, alias: &str) -> Inner<Way> {
    let mut statement = tx.prepare_cached(
        "SELECT from_version, to_version, kind FROM alias_move WHERE model_no = ?1 AND alias = ?2
         ORDER BY no DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![model_no, alias, HISTORY], |row| {
        Ok((row.get::<_, Option<u32>>(0)?, row.get::<_, Option<u32>>(1)?, row.get::<_, String>(2)?))
    })?;
    let mut moves: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    moves.reverse();
    let mut way = Way { back: vec![], forth: vec![], last: None };
    for (from, to, kind) in moves {
        let kind = MoveKind::parse(&kind).ok_or(Fault::Stored("kind of a move"))?;
        match kind {
            MoveKind::Move => {
                way.back.push(from);
                way.forth.clear();
            }
            MoveKind::RollBack | MoveKind::UndoMove => {
                // What was passed over on the way is left behind for good.
                while way.back.pop().is_some_and(|passed| passed != to) {}
                way.forth.push(from);
            }
            MoveKind::UndoRollBack => {
                while way.forth.pop().is_some_and(|passed| passed != to) {}
                way.back.push(from);
            }
        }
        way.last = Some(kind);
    }
    Ok(way)
}

/// Writes a move down: the alias, the history and the audit log.
fn write(
    tx: &Transaction<'_>,
    (model_no, model): (i64, &str),
    alias: &str,
    to: Option<u32>,
    kind: MoveKind,
    act: &Act,
) -> Inner<AliasMove> {
    let from = current(tx, model_no, alias)?;
    let moved = AliasMove {
        alias: alias.to_owned(),
        from,
        to,
        kind,
        at_millis: act.at_millis,
        actor: act.actor.clone(),
        reason: act.reason.clone(),
    };
    if from == to {
        return Ok(moved);
    }
    match to {
        Some(version) => tx.execute(
            "INSERT INTO model_alias (model_no, alias, version, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at",
            params![model_no, alias, version, act.at_millis],
        )?,
        None => tx.execute("DELETE FROM model_alias WHERE model_no = ?1 AND alias = ?2", params![model_no, alias])?,
    };
    tx.execute(
        "INSERT INTO alias_move (model_no, alias, from_version, to_version, kind, at, actor, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![model_no, alias, from, to, kind.as_str(), act.at_millis, act.actor, act.reason],
    )?;
    let detail = json!({ "alias": alias, "from": from, "to": to, "kind": kind.as_str() });
    line(tx, act, "model.alias", model, detail)?;
    Ok(moved)
}

pub(super) fn move_alias(
    tx: &Transaction<'_>,
    model: &str,
    alias: &str,
    to: Option<u32>,
    expected: Expected,
    act: &Act,
) -> Inner<AliasMove> {
    let model_no = find_model(tx, model)?;
    if let Some(version) = to {
        find_version(tx, model_no, model, version)?;
    }
    let before = current(tx, model_no, alias)?;
    check_expected(model, alias, before, expected)?;
    if let Some(version) = to.filter(|version| before != Some(*version)) {
        let (rules, _) = governance::rules(tx, Some(model))?;
        if !may_point(tx, &rules, model_no, alias, version)? {
            let reason = format!("may not be where {alias:?} points");
            return Err(StoreError::conflict("unapproved version", format!("{model}:{version}"), reason).into());
        }
    }
    write(tx, (model_no, model), alias, to, MoveKind::Move, act)
}

/// Goes to a version because another one was taken back, whatever the way there was.
pub(super) fn force(tx: &Transaction<'_>, at: (i64, &str), alias: &str, to: u32, act: &Act) -> Inner<AliasMove> {
    // Where the way back leads to it, that way is taken, so that undoing leads forth again.
    let is_on_the_way = way(tx, at.0, alias)?.back.contains(&Some(to));
    let kind = if is_on_the_way { MoveKind::RollBack } else { MoveKind::Move };
    write(tx, at, alias, Some(to), kind, act)
}

/// The version before, that the alias may point to now.
pub(super) fn before(tx: &Transaction<'_>, model: &str, alias: &str) -> Inner<Option<u32>> {
    let model_no = find_model(tx, model)?;
    let (rules, _) = governance::rules(tx, Some(model))?;
    let now = current(tx, model_no, alias)?;
    for version in way(tx, model_no, alias)?.back.into_iter().rev().flatten() {
        if Some(version) != now && may_point(tx, &rules, model_no, alias, version)? {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

pub(super) fn roll_back(
    tx: &Transaction<'_>,
    model: &str,
    alias: &str,
    expected: Option<u32>,
    act: &Act,
) -> Inner<AliasMove> {
    let model_no = find_model(tx, model)?;
    let Some(to) = before(tx, model, alias)? else {
        let reason = "has no version before to go back to".to_owned();
        return Err(StoreError::conflict("way back", format!("{model}@{alias}"), reason).into());
    };
    if expected.is_some_and(|expected| expected != to) {
        let reason = format!("would go back to version {to} now: somebody else moved it");
        return Err(StoreError::conflict("alias", format!("{model}@{alias}"), reason).into());
    }
    write(tx, (model_no, model), alias, Some(to), MoveKind::RollBack, act)
}

pub(super) fn undo(tx: &Transaction<'_>, model: &str, alias: &str, act: &Act) -> Inner<AliasMove> {
    let model_no = find_model(tx, model)?;
    let mut way = way(tx, model_no, alias)?;
    let step = match way.last {
        None => None,
        Some(MoveKind::Move | MoveKind::UndoRollBack) => way.back.pop().map(|to| (to, MoveKind::UndoMove)),
        Some(MoveKind::RollBack | MoveKind::UndoMove) => way.forth.pop().map(|to| (to, MoveKind::UndoRollBack)),
    };
    let conflict = |reason: String| Err(StoreError::conflict("way back", format!("{model}@{alias}"), reason).into());
    let Some((to, kind)) = step else {
        return conflict("was never moved, so there is nothing to undo".to_owned());
    };
    if let Some(version) = to {
        let (rules, _) = governance::rules(tx, Some(model))?;
        if !may_point(tx, &rules, model_no, alias, version)? {
            return conflict(format!("may not point to version {version} any more"));
        }
    }
    write(tx, (model_no, model), alias, to, kind, act)
}

pub(super) fn moves(tx: &Transaction<'_>, model: &str) -> Inner<Vec<AliasMove>> {
    let model_no = find_model(tx, model)?;
    let mut statement = tx.prepare_cached(
        "SELECT alias, from_version, to_version, kind, at, actor, reason FROM alias_move WHERE model_no = ?1
         ORDER BY no DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![model_no, HISTORY])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(AliasMove {
            alias: row.get(0)?,
            from: row.get(1)?,
            to: row.get(2)?,
            kind: MoveKind::parse(&row.get::<_, String>(3)?).ok_or(Fault::Stored("kind of a move"))?,
            at_millis: row.get(4)?,
            actor: row.get(5)?,
            reason: row.get(6)?,
        });
    }
    Ok(found)
}

/// Aliases of a model that point to a version, and those that would be rolled back to it.
pub(super) fn holders(
    tx: &Transaction<'_>,
    model_no: i64,
    model: &str,
    version: u32,
) -> Inner<(Vec<String>, Vec<String>)> {
    let mut statement =
        tx.prepare_cached("SELECT alias, version FROM model_alias WHERE model_no = ?1 ORDER BY alias")?;
    let rows = statement.query_map([model_no], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
    let aliases: Vec<(String, u32)> = rows.collect::<rusqlite::Result<_>>()?;
    let (mut pointing, mut back) = (vec![], vec![]);
    for (alias, at) in aliases {
        if at == version {
            pointing.push(alias);
        } else if before(tx, model, &alias)? == Some(version) {
            back.push(alias);
        }
    }
    Ok((pointing, back))
}

/// Who registered a version, as the audit log says.
pub(super) fn registrar(tx: &Transaction<'_>, model: &str, version: u32) -> Inner<Option<String>> {
    let found = tx
        .prepare_cached("SELECT actor FROM audit WHERE subject = ?1 AND action = 'model.register' ORDER BY id LIMIT 1")?
        .query_row([format!("{model}:{version}")], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// What an alias may be called, and an act's own texts.
pub(super) fn check(alias: Option<&str>, act: &Act) -> crate::Result<()> {
    if let Some(alias) = alias {
        check_alias(alias)?;
    }
    super::check::label("actor", &act.actor)?;
    super::check::text("reason", &act.reason, 1024)
}

//! Texts of cards, and the search of the audit log.

use athanor_protocol::{governance::CardText, registry::AuditEntry};
use rusqlite::{Row, Transaction, params};
use serde_json::json;

use super::{
    Inner,
    aliases::line,
    check,
    convert::{count, small, value_from_json},
    page::{number, page, parts, token},
    registry::{find_model, find_version},
};
use crate::{
    governance::{Act, AuditQuery},
    types::{Page, PageRequest},
};

fn text(row: &Row<'_>) -> Inner<CardText> {
    Ok(CardText {
        field: row.get("field")?,
        text: row.get("text")?,
        revision: small(row, "revision")?,
        at_millis: row.get("at")?,
        actor: row.get("actor")?,
    })
}

pub(super) fn texts(tx: &Transaction<'_>, model: &str, version: u32) -> Inner<Vec<CardText>> {
    let model_no = find_model(tx, model)?;
    find_version(tx, model_no, model, version)?;
    let mut statement = tx.prepare_cached(
        "SELECT field, text, revision, at, actor FROM card_text c WHERE model_no = ?1 AND version = ?2 AND revision =
         (SELECT max(revision) FROM card_text o WHERE o.model_no = c.model_no AND o.version = c.version
          AND o.field = c.field) ORDER BY field",
    )?;
    let mut rows = statement.query(params![model_no, version])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(text(row)?);
    }
    Ok(found)
}

pub(super) fn edit(
    tx: &Transaction<'_>,
    model: &str,
    version: u32,
    field: &str,
    new: &str,
    act: &Act,
) -> Inner<CardText> {
    let model_no = find_model(tx, model)?;
    let before = texts(tx, model, version)?.into_iter().find(|text| text.field == field);
    if let Some(same) = before.as_ref().filter(|before| before.text == new) {
        return Ok(same.clone());
    }
    let revision = before.map_or(1, |before| before.revision.saturating_add(1));
    tx.execute(
        "INSERT INTO card_text (model_no, version, field, revision, text, at, actor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![model_no, version, field, revision, new, act.at_millis, act.actor],
    )?;
    line(tx, act, "model.card", &format!("{model}:{version}"), json!({ "field": field, "revision": revision }))?;
    let (field, text) = (field.to_owned(), new.to_owned());
    Ok(CardText { field, text, revision, at_millis: act.at_millis, actor: act.actor.clone() })
}

/// Text for `LIKE`, in which every sign means itself.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

pub(super) fn find_audit(tx: &Transaction<'_>, query: &AuditQuery, request: &PageRequest) -> Inner<Page<AuditEntry>> {
    let size = check::page_size(request)?;
    let list = format!("audit {query:?}");
    let below = match &request.token {
        Some(text) => number::<i64>(&parts::<1>(&list, text)?[0])?,
        None => i64::MAX,
    };
    let mut statement = tx.prepare_cached(
        "SELECT id, at, actor, action, subject, detail FROM audit WHERE id < ?1
         AND (?2 IS NULL OR subject = ?2 OR substr(subject, 1, length(?2) + 1) IN (?2 || ':', ?2 || '@'))
         AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '.')
         AND (?4 IS NULL OR at >= ?4)
         AND (?5 IS NULL OR actor LIKE ?5 ESCAPE '\\' OR action LIKE ?5 ESCAPE '\\' OR subject LIKE ?5 ESCAPE '\\'
              OR detail LIKE ?5 ESCAPE '\\')
         ORDER BY id DESC LIMIT ?6",
    )?;
    let text = query.text.as_ref().map(|text| format!("%{}%", literal(text)));
    let mut rows = statement.query(params![below, query.subject, query.action, query.since_millis, text, size + 1])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(AuditEntry {
            id: count(row, "id")?,
            at_millis: row.get("at")?,
            actor: row.get("actor")?,
            action: row.get("action")?,
            subject: row.get("subject")?,
            detail: value_from_json(&row.get::<_, String>("detail")?)?,
        });
    }
    Ok(page(found, size, |entry| token(&list, &[&entry.id.to_string()])))
}

//! Monitoring: settings, reports, alerts.

use athanor_protocol::monitor::{Alert, AlertKind, MonitorConfig, MonitorReport};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{
    Fault, Inner, check,
    convert::{count, from_json, json, small},
    page::{number, page, parts, token},
    registry::find_model,
};
use crate::{
    error::StoreError,
    types::{AlertQuery, NewAlert, Page, limits},
};

pub(super) fn set_config(tx: &Transaction<'_>, model: &str, config: &MonitorConfig, at: i64) -> Inner<()> {
    let model_no = find_model(tx, model)?;
    tx.execute(
        "INSERT INTO monitor_config (model_no, document, updated_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at",
        params![model_no, json(config, "monitor setting")?, at],
    )?;
    Ok(())
}

pub(super) fn configs(tx: &Transaction<'_>) -> Inner<Vec<(String, MonitorConfig)>> {
    let mut statement = tx.prepare_cached(
        "SELECT m.name, c.document FROM monitor_config c JOIN model m ON m.no = c.model_no ORDER BY m.name",
    )?;
    let mut rows = statement.query([])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push((row.get("name")?, from_json(&row.get::<_, String>("document")?, "monitor setting")?));
    }
    Ok(found)
}

pub(super) fn config(tx: &Transaction<'_>, model: &str) -> Inner<Option<MonitorConfig>> {
    let model_no = find_model(tx, model)?;
    let mut statement = tx.prepare_cached("SELECT document FROM monitor_config WHERE model_no = ?1")?;
    let text: Option<String> = statement.query_row([model_no], |row| row.get(0)).optional()?;
    text.map(|text| from_json(&text, "monitor setting")).transpose()
}

pub(super) fn add_report(tx: &Transaction<'_>, report: &MonitorReport) -> Inner<u64> {
    let model_no = find_model(tx, &report.model)?;
    check_version(tx, model_no, &report.model, report.model_version)?;
    let document = json(report, "monitor report")?;
    if document.len() > limits::REPORT_BYTES {
        let (what, found) = ("bytes of a monitor report".to_owned(), document.len() as u64);
        return Err(StoreError::TooLarge { what, found, limit: limits::REPORT_BYTES as u64 }.into());
    }
    tx.execute(
        "INSERT INTO monitor_report (model_no, version, ended_at, document) VALUES (?1, ?2, ?3, ?4)",
        params![model_no, report.model_version, report.period_millis[1], document],
    )?;
    let id = tx.last_insert_rowid();
    tx.execute(
        "DELETE FROM monitor_report WHERE model_no = ?1 AND version = ?2 AND id <=
         (SELECT id FROM monitor_report WHERE model_no = ?1 AND version = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
        params![model_no, report.model_version, limits::REPORTS_PER_VERSION],
    )?;
    Ok(id.unsigned_abs())
}

fn check_version(tx: &Transaction<'_>, model_no: i64, model: &str, version: u32) -> Inner<()> {
    let mut statement = tx.prepare_cached("SELECT 1 FROM model_version WHERE model_no = ?1 AND version = ?2")?;
    if statement.exists(params![model_no, version])? {
        return Ok(());
    }
    Err(StoreError::not_found("model version", format!("{model}:{version}")).into())
}

pub(super) fn reports(
    tx: &Transaction<'_>,
    model: &str,
    version: Option<u32>,
    limit: i64,
) -> Inner<Vec<MonitorReport>> {
    let model_no = find_model(tx, model)?;
    let mut statement = tx.prepare_cached(
        "SELECT id, document FROM monitor_report WHERE model_no = ?1 AND (?2 IS NULL OR version = ?2)
         ORDER BY id DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![model_no, version, limit])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        let mut report: MonitorReport = from_json(&row.get::<_, String>("document")?, "monitor report")?;
        report.id = count(row, "id")?;
        found.push(report);
    }
    Ok(found)
}

const ALERT: &str = "SELECT a.id, m.name, a.version, a.kind, a.column_name, a.message, a.report_id, a.raised_at, \
     a.resolved_at, a.acknowledged_at, a.acknowledged_by FROM monitor_alert a JOIN model m ON m.no = a.model_no";

fn alert(row: &Row<'_>) -> Inner<Alert> {
    Ok(Alert {
        id: count(row, "id")?,
        model: row.get("name")?,
        model_version: small(row, "version")?,
        kind: AlertKind::parse(&row.get::<_, String>("kind")?).ok_or(Fault::Stored("kind of alert"))?,
        column: row.get("column_name")?,
        message: row.get("message")?,
        report_id: count(row, "report_id")?,
        raised_at_millis: row.get("raised_at")?,
        resolved_at_millis: row.get("resolved_at")?,
        acknowledged_at_millis: row.get("acknowledged_at")?,
        acknowledged_by: row.get("acknowledged_by")?,
    })
}

pub(super) fn find_alert(tx: &Transaction<'_>, id: u64) -> Inner<Alert> {
    let mut statement = tx.prepare_cached(&format!("{ALERT} WHERE a.id = ?1"))?;
    let mut rows = statement.query([id.cast_signed()])?;
    match rows.next()? {
        Some(row) => alert(row),
        None => Err(StoreError::not_found("alert", id.to_string()).into()),
    }
}

pub(super) fn raise(tx: &Transaction<'_>, new: &NewAlert) -> Inner<(Alert, bool)> {
    let model_no = find_model(tx, &new.model)?;
    check_version(tx, model_no, &new.model, new.model_version)?;
    let n_new = tx.execute(
        "INSERT INTO monitor_alert (model_no, version, kind, column_name, message, report_id, raised_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        params![
            model_no,
            new.model_version,
            new.kind.as_str(),
            new.column,
            new.message,
            new.report_id.cast_signed(),
            new.raised_at_millis
        ],
    )?;
    if n_new > 0 {
        return Ok((find_alert(tx, tx.last_insert_rowid().unsigned_abs())?, true));
    }
    let open: i64 = tx.query_row(
        "SELECT id FROM monitor_alert
         WHERE model_no = ?1 AND version = ?2 AND kind = ?3 AND column_name = ?4 AND resolved_at IS NULL",
        params![model_no, new.model_version, new.kind.as_str(), new.column],
        |row| row.get(0),
    )?;
    Ok((find_alert(tx, open.unsigned_abs())?, false))
}

pub(super) fn resolve(tx: &Transaction<'_>, id: u64, at: i64) -> Inner<Alert> {
    tx.execute(
        "UPDATE monitor_alert SET resolved_at = max(?2, raised_at) WHERE id = ?1 AND resolved_at IS NULL",
        params![id.cast_signed(), at],
    )?;
    find_alert(tx, id)
}

pub(super) fn acknowledge(tx: &Transaction<'_>, id: u64, by: &str, at: i64) -> Inner<Alert> {
    tx.execute(
        "UPDATE monitor_alert SET acknowledged_at = ?2, acknowledged_by = ?3 WHERE id = ?1 AND acknowledged_at IS NULL",
        params![id.cast_signed(), at, by],
    )?;
    find_alert(tx, id)
}

pub(super) fn alerts(tx: &Transaction<'_>, query: &AlertQuery) -> Inner<Page<Alert>> {
    let size = check::page_size(&query.page)?;
    let below = match &query.page.token {
        Some(text) => number::<i64>(&parts::<1>("alerts", text)?[0])?,
        None => i64::MAX,
    };
    let sql = format!(
        "{ALERT} WHERE a.id < ?1 AND (?2 IS NULL OR m.name = ?2) AND (NOT ?3 OR a.resolved_at IS NULL)
         ORDER BY a.id DESC LIMIT ?4"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params![below, query.model, query.open, size + 1])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(alert(row)?);
    }
    Ok(page(found, size, |alert| token("alerts", &[&alert.id.to_string()])))
}

//! What keys may ask for and until when, what they have asked for, and the secrets that they had before.

use athanor_protocol::registry::{ApiKeyInfo, KeyLimits};
use rusqlite::{Transaction, params};

use super::{Fault, Inner, convert::count, keys};
use crate::{
    error::StoreError,
    types::{KeyUsage, PreviousSecret},
};

/// Days whose usage is kept.
const KEPT_DAYS: u32 = 400;

fn stored(tx: &Transaction<'_>, id: &str) -> Inner<ApiKeyInfo> {
    keys::find(tx, id)?.map(|key| key.info).ok_or_else(|| StoreError::not_found("key", id).into())
}

fn quota(value: Option<u64>) -> Option<i64> {
    // The check of a limit allows far less.
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn set(tx: &Transaction<'_>, id: &str, limits: &KeyLimits) -> Inner<()> {
    stored(tx, id)?;
    if limits.is_none() {
        tx.execute("DELETE FROM api_key_limit WHERE key_id = ?1", [id])?;
        return Ok(());
    }
    tx.execute(
        "INSERT INTO api_key_limit (key_id, requests_per_second, rows_per_second, requests_per_day, rows_per_day)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET requests_per_second = excluded.requests_per_second,
            rows_per_second = excluded.rows_per_second, requests_per_day = excluded.requests_per_day,
            rows_per_day = excluded.rows_per_day",
        params![
            id,
            limits.requests_per_second,
            limits.rows_per_second,
            quota(limits.requests_per_day),
            quota(limits.rows_per_day)
        ],
    )?;
    Ok(())
}

pub(super) fn all(tx: &Transaction<'_>) -> Inner<Vec<(String, KeyLimits)>> {
    let mut statement = tx.prepare_cached(
        "SELECT key_id, requests_per_second, rows_per_second, requests_per_day, rows_per_day
         FROM api_key_limit ORDER BY key_id",
    )?;
    let mut rows = statement.query([])?;
    let mut found = vec![];
    let unsigned =
        |value: Option<i64>| value.map(|value| u64::try_from(value).map_err(|_| Fault::Stored("limit"))).transpose();
    while let Some(row) = rows.next()? {
        let limits = KeyLimits {
            requests_per_second: row.get(1)?,
            rows_per_second: row.get(2)?,
            requests_per_day: unsigned(row.get(3)?)?,
            rows_per_day: unsigned(row.get(4)?)?,
        };
        found.push((row.get(0)?, limits));
    }
    Ok(found)
}

pub(super) fn expire(tx: &Transaction<'_>, id: &str, expires_at: Option<i64>) -> Inner<ApiKeyInfo> {
    if stored(tx, id)?.revoked_at_millis.is_some() {
        let reason = "was revoked".to_owned();
        return Err(StoreError::Conflict { what: "key", name: id.to_owned(), reason }.into());
    }
    tx.execute("UPDATE api_key SET expires_at = ?2 WHERE id = ?1", params![id, expires_at])?;
    stored(tx, id)
}

pub(super) fn rotate(
    tx: &Transaction<'_>,
    id: &str,
    secret: &[u8; 32],
    at: i64,
    old_valid_until: i64,
) -> Inner<ApiKeyInfo> {
    let found = stored(tx, id)?;
    if found.revoked_at_millis.is_some() || found.expires_at_millis.is_some_and(|ends| ends <= at) {
        let reason = "was revoked or has expired".to_owned();
        return Err(StoreError::Conflict { what: "key", name: id.to_owned(), reason }.into());
    }
    // A second rotation within the grace ends the oldest secret at once: there are never more than two.
    tx.execute(
        "INSERT INTO api_key_previous (key_id, secret, valid_until) SELECT id, secret, ?2 FROM api_key WHERE id = ?1
         ON CONFLICT DO UPDATE SET secret = excluded.secret, valid_until = excluded.valid_until",
        params![id, old_valid_until],
    )?;
    tx.execute("UPDATE api_key SET secret = ?2 WHERE id = ?1", params![id, secret])?;
    stored(tx, id)
}

pub(super) fn previous(tx: &Transaction<'_>, at: i64) -> Inner<Vec<PreviousSecret>> {
    let mut statement = tx.prepare_cached(
        "SELECT key_id, secret, valid_until FROM api_key_previous WHERE valid_until > ?1 ORDER BY key_id",
    )?;
    let mut rows = statement.query([at])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        let secret: Vec<u8> = row.get(1)?;
        found.push(PreviousSecret {
            key_id: row.get(0)?,
            secret_sha256: secret.try_into().map_err(|_| Fault::Stored("key"))?,
            valid_until_millis: row.get(2)?,
        });
    }
    Ok(found)
}

pub(super) fn usage(tx: &Transaction<'_>, day: u32) -> Inner<Vec<KeyUsage>> {
    let mut statement =
        tx.prepare_cached("SELECT key_id, n_requests, n_rows FROM api_key_usage WHERE day = ?1 ORDER BY key_id")?;
    let mut rows = statement.query([day])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(KeyUsage {
            key_id: row.get("key_id")?,
            n_requests: count(row, "n_requests")?,
            n_rows: count(row, "n_rows")?,
        });
    }
    Ok(found)
}

pub(super) fn add_usage(tx: &Transaction<'_>, day: u32, usage: &[KeyUsage]) -> Inner<()> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO api_key_usage (day, key_id, n_requests, n_rows) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET n_requests = n_requests + excluded.n_requests, n_rows = n_rows + excluded.n_rows",
    )?;
    for more in usage {
        statement.execute(params![day, more.key_id, quota(Some(more.n_requests)), quota(Some(more.n_rows))])?;
    }
    tx.execute("DELETE FROM api_key_usage WHERE day < ?1", [day.saturating_sub(KEPT_DAYS)])?;
    Ok(())
}

//! API keys, trusted signers, the change counter and the audit log.

use athanor_protocol::registry::{ApiKeyInfo, AuditEntry};
use rusqlite::{Row, Transaction, params};

use super::{
    Fault, Inner, check,
    convert::{count, scopes_from_text, text_from_scopes, value_from_json},
    page::{number, page, parts, token},
};
use crate::{
    error::StoreError,
    types::{NewApiKey, NewAudit, Page, PageRequest, StoredApiKey, TrustedSigner},
};

/// Longest detail of a line in the audit log.
const MAX_DETAIL_BYTES: usize = 64 << 10;

const KEY: &str = "SELECT id, name, scopes, secret, created_at, expires_at, revoked_at, last_used_at FROM api_key";

fn key(row: &Row<'_>) -> Inner<StoredApiKey> {
    let secret: Vec<u8> = row.get("secret")?;
    Ok(StoredApiKey {
        info: ApiKeyInfo {
            id: row.get("id")?,
            name: row.get("name")?,
            scopes: scopes_from_text(&row.get::<_, String>("scopes")?)?,
            created_at_millis: row.get("created_at")?,
            expires_at_millis: row.get("expires_at")?,
            revoked_at_millis: row.get("revoked_at")?,
            last_used_at_millis: row.get("last_used_at")?,
        },
        secret_sha256: secret.try_into().map_err(|_| Fault::Stored("key"))?,
    })
}

pub(super) fn change_counter(tx: &Transaction<'_>) -> Inner<u64> {
    let mut statement = tx.prepare_cached("SELECT value FROM change_counter")?;
    let mut rows = statement.query([])?;
    rows.next()?.map_or(Err(Fault::Stored("change counter")), |row| count(row, "value"))
}

pub(super) fn create(tx: &Transaction<'_>, key: &NewApiKey) -> Inner<ApiKeyInfo> {
    if find(tx, &key.id)?.is_some() {
        return Err(StoreError::AlreadyExists { what: "key", name: key.id.clone() }.into());
    }
    tx.execute(
        "INSERT INTO api_key (id, name, scopes, secret, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            key.id,
            key.name,
            text_from_scopes(&key.scopes),
            key.secret_sha256,
            key.created_at_millis,
            key.expires_at_millis
        ],
    )?;
    existing(tx, &key.id)
}

fn existing(tx: &Transaction<'_>, id: &str) -> Inner<ApiKeyInfo> {
    find(tx, id)?.map(|key| key.info).ok_or_else(|| StoreError::not_found("key", id).into())
}

pub(super) fn find(tx: &Transaction<'_>, id: &str) -> Inner<Option<StoredApiKey>> {
    let mut statement = tx.prepare_cached(&format!("{KEY} WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(key).transpose()
}

pub(super) fn list(tx: &Transaction<'_>, request: &PageRequest) -> Inner<Page<ApiKeyInfo>> {
    let size = check::page_size(request)?;
    let (at, id) = match &request.token {
        Some(text) => {
            let [at, id] = parts("keys", text)?;
            (number::<i64>(&at)?, id)
        }
        None => (i64::MIN, String::new()),
    };
    let sql = format!("{KEY} WHERE (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3");
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params![at, id, size + 1])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(key(row)?.info);
    }
    Ok(page(found, size, |key| token("keys", &[&key.created_at_millis.to_string(), &key.id])))
}

pub(super) fn revoke(tx: &Transaction<'_>, id: &str, at: i64) -> Inner<ApiKeyInfo> {
    tx.execute("UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", params![id, at])?;
    existing(tx, id)
}

/// The beginning of a minute.
pub(super) fn minute(at: i64) -> i64 {
    at - at.rem_euclid(60_000)
}

const UNTOUCHED: &str = "id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)";

pub(super) fn is_untouched(tx: &Transaction<'_>, id: &str, minute: i64) -> Inner<bool> {
    Ok(tx.prepare_cached(&format!("SELECT 1 FROM api_key WHERE {UNTOUCHED}"))?.exists(params![id, minute])?)
}

pub(super) fn touch(tx: &Transaction<'_>, id: &str, minute: i64) -> Inner<()> {
    tx.prepare_cached(&format!("UPDATE api_key SET last_used_at = ?2 WHERE {UNTOUCHED}"))?
        .execute(params![id, minute])?;
    Ok(())
}

pub(super) fn trust(tx: &Transaction<'_>, public_key: &str, name: &str, at: i64) -> Inner<()> {
    tx.execute(
        "INSERT INTO trusted_signer (public_key, name, added_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET name = excluded.name",
        params![public_key, name, at],
    )?;
    Ok(())
}

pub(super) fn distrust(tx: &Transaction<'_>, public_key: &str) -> Inner<bool> {
    Ok(tx.execute("DELETE FROM trusted_signer WHERE public_key = ?1", [public_key])? > 0)
}

pub(super) fn trusted(tx: &Transaction<'_>) -> Inner<Vec<TrustedSigner>> {
    let mut statement =
        tx.prepare_cached("SELECT public_key, name, added_at FROM trusted_signer ORDER BY public_key")?;
    let rows = statement.query_map([], |row| {
        Ok(TrustedSigner { public_key: row.get(0)?, name: row.get(1)?, added_at_millis: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn append_audit(tx: &Transaction<'_>, entry: &NewAudit) -> Inner<u64> {
    let detail = entry.detail.to_string();
    if detail.len() > MAX_DETAIL_BYTES {
        return Err(StoreError::TooLarge {
            what: "bytes of detail in the audit log".to_owned(),
            found: detail.len() as u64,
            limit: MAX_DETAIL_BYTES as u64,
        }
        .into());
    }
    tx.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![entry.at_millis, entry.actor, entry.action, entry.subject, detail],
    )?;
    Ok(tx.last_insert_rowid().unsigned_abs())
}

pub(super) fn audit(tx: &Transaction<'_>, request: &PageRequest) -> Inner<Page<AuditEntry>> {
    let size = check::page_size(request)?;
    let below = match &request.token {
        Some(text) => number::<i64>(&parts::<1>("audit", text)?[0])?,
        None => i64::MAX,
    };
    let mut statement = tx.prepare_cached(
        "SELECT id, at, actor, action, subject, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![below, size + 1])?;
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
    Ok(page(found, size, |entry| token("audit", &[&entry.id.to_string()])))
}

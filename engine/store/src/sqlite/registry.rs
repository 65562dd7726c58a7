//! The registry: models, immutable versions, movable aliases.

use athanor_protocol::{
    names::{ModelRef, Selector},
    registry::{ModelSummary, ModelVersion},
};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{
    Inner, check,
    convert::{count, from_json, id_from_text, json, small},
    governance,
    page::{number, page, parts, token},
};
use crate::{
    error::StoreError,
    types::{Expected, NewVersion, Page, PageRequest},
};

const VERSION: &str = "SELECT v.model_no, m.name, v.version, v.sha256, v.n_bytes, v.run_id, v.signature, v.metrics, \
     v.signed_by, v.created_at FROM live_version v JOIN model m ON m.no = v.model_no";

fn version(tx: &Transaction<'_>, row: &Row<'_>) -> Inner<ModelVersion> {
    let run_id: Option<String> = row.get("run_id")?;
    let number = small(row, "version")?;
    let model_no: i64 = row.get("model_no")?;
    let mut statement =
        tx.prepare_cached("SELECT alias FROM model_alias WHERE model_no = ?1 AND version = ?2 ORDER BY alias")?;
    let aliases = statement.query_map(params![model_no, number], |row| row.get(0))?;
    Ok(ModelVersion {
        model: row.get("name")?,
        version: number,
        run_id: run_id.map(id_from_text).transpose()?,
        sha256: row.get("sha256")?,
        n_bytes: count(row, "n_bytes")?,
        signature: from_json(&row.get::<_, String>("signature")?, "signature")?,
        metrics: from_json(&row.get::<_, String>("metrics")?, "metric list")?,
        signed_by: row.get("signed_by")?,
        created_at_millis: row.get("created_at")?,
        aliases: aliases.collect::<rusqlite::Result<_>>()?,
        stage: governance::stage(tx, model_no, number)?,
    })
}

fn all_versions(tx: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> Inner<Vec<ModelVersion>> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(version(tx, row)?);
    }
    Ok(found)
}

pub(super) fn find_model(tx: &Transaction<'_>, name: &str) -> Inner<i64> {
    let no =
        tx.prepare_cached("SELECT no FROM model WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?;
    no.ok_or_else(|| StoreError::not_found("model", name).into())
}

pub(super) fn find_version(tx: &Transaction<'_>, model_no: i64, name: &str, number: u32) -> Inner<ModelVersion> {
    let sql = format!("{VERSION} WHERE v.model_no = ?1 AND v.version = ?2");
    let found = all_versions(tx, &sql, params![model_no, number])?;
    found.into_iter().next().ok_or_else(|| StoreError::not_found("model version", format!("{name}:{number}")).into())
}

pub(super) fn register(tx: &Transaction<'_>, model: &str, new: &NewVersion) -> Inner<ModelVersion> {
    tx.execute("INSERT INTO model (name) VALUES (?1) ON CONFLICT DO NOTHING", [model])?;
    let model_no = find_model(tx, model)?;
    let known: Option<u32> = tx
        .query_row(
            "SELECT version FROM model_version WHERE model_no = ?1 AND sha256 = ?2",
            params![model_no, new.sha256],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(known) = known {
        return find_version(tx, model_no, model, known);
    }
    let number: u32 = tx.query_row(
        "SELECT coalesce(max(version), 0) + 1 FROM model_version WHERE model_no = ?1",
        [model_no],
        |row| row.get(0),
    )?;
    tx.execute(
        "INSERT INTO model_version (model_no, version, sha256, n_bytes, run_id, signature, metrics, signed_by, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            model_no,
            number,
            new.sha256,
            new.n_bytes.cast_signed(),
            new.run_id.as_ref().map(|id| id.as_str()),
            json(&new.signature, "signature")?,
            json(&new.metrics, "metric list")?,
            new.signed_by,
            new.created_at_millis
        ],
    )?;
    find_version(tx, model_no, model, number)
}

pub(super) fn models(tx: &Transaction<'_>, request: &PageRequest) -> Inner<Page<ModelSummary>> {
    let size = check::page_size(request)?;
    let after = match &request.token {
        Some(text) => parts::<1>("models", text)?[0].clone(),
        None => String::new(),
    };
    // The newest version is the one with the greatest number. Deleted ones do not count.
    let mut statement = tx.prepare_cached(
        "SELECT m.no, m.name, v.version AS latest, v.created_at,
         (SELECT count(*) FROM live_version WHERE model_no = m.no) AS n_versions FROM model m
         JOIN live_version v ON v.model_no = m.no
         AND v.version = (SELECT max(version) FROM live_version WHERE model_no = m.no)
         WHERE m.name > ?1 ORDER BY m.name LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, size + 1])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        let no: i64 = row.get("no")?;
        let n_versions = small(row, "n_versions")?;
        let mut aliases =
            tx.prepare_cached("SELECT alias, version FROM model_alias WHERE model_no = ?1 ORDER BY alias")?;
        let aliases = aliases.query_map([no], |row| Ok((row.get(0)?, row.get(1)?)))?;
        found.push(ModelSummary {
            name: row.get("name")?,
            n_versions,
            latest: small(row, "latest")?,
            aliases: aliases.collect::<rusqlite::Result<_>>()?,
            updated_at_millis: row.get("created_at")?,
        });
    }
    Ok(page(found, size, |model| token("models", &[&model.name])))
}

pub(super) fn versions(tx: &Transaction<'_>, model: &str, request: &PageRequest) -> Inner<Page<ModelVersion>> {
    let size = check::page_size(request)?;
    let list = format!("versions {model}");
    let below = match &request.token {
        Some(text) => number::<u32>(&parts::<1>(&list, text)?[0])?,
        None => u32::MAX,
    };
    let model_no = find_model(tx, model)?;
    let sql = format!("{VERSION} WHERE v.model_no = ?1 AND v.version < ?2 ORDER BY v.version DESC LIMIT ?3");
    let found = all_versions(tx, &sql, params![model_no, below, size + 1])?;
    Ok(page(found, size, |version| token(&list, &[&version.version.to_string()])))
}

pub(super) fn current(tx: &Transaction<'_>, model_no: i64, alias: &str) -> Inner<Option<u32>> {
    let found = tx
        .prepare_cached("SELECT version FROM model_alias WHERE model_no = ?1 AND alias = ?2")?
        .query_row(params![model_no, alias], |row| row.get(0));
    Ok(found.optional()?)
}

pub(super) fn resolve(tx: &Transaction<'_>, model: &ModelRef) -> Inner<ModelVersion> {
    let model_no = find_model(tx, &model.name)?;
    let number = match &model.selector {
        Selector::Version(number) => *number,
        Selector::Alias(alias) => {
            current(tx, model_no, alias)?.ok_or_else(|| StoreError::not_found("model version", model.to_string()))?
        }
        Selector::Latest => {
            let sql = "SELECT max(version) FROM live_version WHERE model_no = ?1";
            let newest: Option<u32> = tx.query_row(sql, [model_no], |row| row.get(0))?;
            newest.ok_or_else(|| StoreError::not_found("model version", model.to_string()))?
        }
    };
    find_version(tx, model_no, &model.name, number)
}

pub(super) fn check_expected(model: &str, alias: &str, found: Option<u32>, expected: Expected) -> Inner<()> {
    let met = match expected {
        Expected::Anything => true,
        Expected::Nothing => found.is_none(),
        Expected::Version(number) => found == Some(number),
    };
    if met {
        return Ok(());
    }
    let reason = match found {
        Some(number) => format!("points to version {number} now: somebody else moved it"),
        None => "points to no version now: somebody else removed it".to_owned(),
    };
    Err(StoreError::conflict("alias", format!("{model}@{alias}"), reason).into())
}

pub(super) fn aliased(tx: &Transaction<'_>, alias: &str) -> Inner<Vec<ModelVersion>> {
    let sql = format!(
        "{VERSION} JOIN model_alias a ON a.model_no = v.model_no AND a.version = v.version WHERE a.alias = ?1 ORDER BY m.name"
    );
    all_versions(tx, &sql, [alias])
}

pub(super) fn versions_of(tx: &Transaction<'_>, run: &athanor_protocol::names::RunId) -> Inner<Vec<(String, u32)>> {
    let mut statement = tx.prepare_cached(
        "SELECT model.name, version FROM live_version JOIN model ON model.no = model_no WHERE run_id = ?1
         ORDER BY model.name, version",
    )?;
    let rows = statement.query_map([run.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn all_aliased(tx: &Transaction<'_>) -> Inner<Vec<(String, ModelVersion)>> {
    let sql = format!(
        "{VERSION} JOIN model_alias a ON a.model_no = v.model_no AND a.version = v.version GROUP BY v.model_no, v.version
         ORDER BY m.name, v.version"
    );
    let versions = all_versions(tx, &sql, [])?;
    let pairs = versions
        .into_iter()
        .flat_map(|version| version.aliases.clone().into_iter().map(move |alias| (alias, version.clone())));
    Ok(pairs.collect())
}

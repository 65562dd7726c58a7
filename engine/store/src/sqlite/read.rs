//! Reading runs: the pieces that lists share, one run in full, those at work.

use athanor_protocol::{
    metric::MetricPoint,
    names::RunId,
    package::DatasetUsed,
    run::{Artifact, RunDetail, RunSummary, StepRecord},
};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{
    Inner,
    convert::{
        count, from_json, id_from_text, owner, reproducibility_from_text, small, split_from_number, status_from_text,
        step_from_text, value_from_columns,
    },
};
use crate::{
    error::StoreError,
    types::{ActiveRun, limits},
};

/// The columns that [`summary`] reads.
pub(super) const SUMMARY: &str = "run.no, run.id, run.workflow, run.status, run.attempt, run.created_at, run.started_at, \
     run.ended_at, run.failure, run.resumable, run.seed, run.device, run.reproducibility";

/// A run's number and what the list shows of it, without metrics and tags.
pub(super) fn summary(row: &Row<'_>) -> Inner<(i64, RunSummary)> {
    let failure: Option<String> = row.get("failure")?;
    let reproducibility: Option<String> = row.get("reproducibility")?;
    let summary = RunSummary {
        id: id_from_text(row.get("id")?)?,
        workflow: row.get("workflow")?,
        status: status_from_text(&row.get::<_, String>("status")?)?,
        attempt: small(row, "attempt")?,
        created_at_millis: row.get("created_at")?,
        started_at_millis: row.get("started_at")?,
        ended_at_millis: row.get("ended_at")?,
        failure: failure.map(|text| from_json(&text, "failure")).transpose()?,
        resumable: row.get("resumable")?,
        seed: row.get::<_, i64>("seed")?.cast_unsigned(),
        device: row.get("device")?,
        reproducibility: reproducibility.map(|text| reproducibility_from_text(&text)).transpose()?,
        latest: vec![],
        tags: vec![],
    };
    Ok((row.get("no")?, summary))
}

/// Adds the latest metrics (sorted by split, then key; at most so many) and the tags.
pub(super) fn complete(tx: &Transaction<'_>, no: i64, mut run: RunSummary, n_latest: usize) -> Inner<RunSummary> {
    let mut statement = tx.prepare_cached(
        "SELECT split, key, step, at, value, kind FROM metric_latest WHERE run_no = ?1 ORDER BY split, key LIMIT ?2",
    )?;
    let mut rows = statement.query(params![no, i64::try_from(n_latest).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        run.latest.push(point(row)?);
    }
    run.tags = pairs(tx, "SELECT name, value FROM run_tag WHERE run_no = ?1 ORDER BY name", no)?;
    Ok(run)
}

/// A point from the columns `split, key, step, at, value, kind`, in this order.
pub(super) fn point(row: &Row<'_>) -> Inner<MetricPoint> {
    Ok(MetricPoint {
        split: split_from_number(row.get(0)?)?,
        key: row.get(1)?,
        step: row.get::<_, i64>(2)?.cast_unsigned(),
        at_millis: row.get(3)?,
        value: value_from_columns(row.get(4)?, row.get(5)?)?,
    })
}

fn pairs(tx: &Transaction<'_>, sql: &str, no: i64) -> Inner<Vec<(String, String)>> {
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn detail(tx: &Transaction<'_>, run: &RunId) -> Inner<RunDetail> {
    let sql = format!("SELECT {SUMMARY}, note, owner_host, owner_pid, owner_started FROM run WHERE id = ?1");
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query([run.as_str()])?;
    let Some(row) = rows.next()? else {
        return Err(StoreError::not_found("run", run.as_str()).into());
    };
    let (no, run) = summary(row)?;
    let owner = owner(row)?;
    let note = row.get("note")?;
    Ok(RunDetail {
        summary: complete(tx, no, run, limits::SERIES_PER_RUN)?,
        workflow_json: tx.query_row("SELECT json FROM run_workflow WHERE run_no = ?1", [no], |row| row.get(0))?,
        steps: steps(tx, no)?,
        params: pairs(tx, "SELECT name, value FROM run_param WHERE run_no = ?1 ORDER BY name", no)?,
        environment: pairs(tx, "SELECT name, value FROM run_environment WHERE run_no = ?1 ORDER BY name", no)?,
        datasets: datasets(tx, no)?,
        artifacts: artifacts(tx, no)?,
        owner,
        note,
    })
}

fn steps(tx: &Transaction<'_>, no: i64) -> Inner<Vec<StepRecord>> {
    let mut statement =
        tx.prepare_cached("SELECT node, kind, key, state, millis FROM run_step WHERE run_no = ?1 ORDER BY position")?;
    let mut rows = statement.query([no])?;
    let mut steps = vec![];
    while let Some(row) = rows.next()? {
        steps.push(StepRecord {
            node: row.get("node")?,
            kind: row.get("kind")?,
            key: row.get("key")?,
            state: step_from_text(&row.get::<_, String>("state")?)?,
            millis: row.get::<_, Option<i64>>("millis")?.map(i64::unsigned_abs),
        });
    }
    Ok(steps)
}

fn datasets(tx: &Transaction<'_>, no: i64) -> Inner<Vec<DatasetUsed>> {
    let mut statement =
        tx.prepare_cached("SELECT name, digest, n_rows FROM run_dataset WHERE run_no = ?1 ORDER BY name, digest")?;
    let mut rows = statement.query([no])?;
    let mut datasets = vec![];
    while let Some(row) = rows.next()? {
        datasets.push(DatasetUsed {
            name: row.get("name")?,
            digest: row.get("digest")?,
            n_rows: count(row, "n_rows")?,
        });
    }
    Ok(datasets)
}

fn artifacts(tx: &Transaction<'_>, no: i64) -> Inner<Vec<Artifact>> {
    let mut statement =
        tx.prepare_cached("SELECT name, kind, digest, n_bytes FROM run_artifact WHERE run_no = ?1 ORDER BY name")?;
    let mut rows = statement.query([no])?;
    let mut artifacts = vec![];
    while let Some(row) = rows.next()? {
        artifacts.push(Artifact {
            name: row.get("name")?,
            kind: row.get("kind")?,
            digest: row.get("digest")?,
            n_bytes: count(row, "n_bytes")?,
        });
    }
    Ok(artifacts)
}

pub(super) fn running(tx: &Transaction<'_>) -> Inner<Vec<ActiveRun>> {
    let mut statement = tx.prepare_cached(
        "SELECT id, status, attempt, created_at, queued_at, owner_host, owner_pid, owner_started, heartbeat_at,
         cancel_reason FROM run WHERE status IN ('queued', 'running') ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut runs = vec![];
    while let Some(row) = rows.next()? {
        runs.push(ActiveRun {
            id: id_from_text(row.get("id")?)?,
            status: status_from_text(&row.get::<_, String>("status")?)?,
            attempt: small(row, "attempt")?,
            created_at_millis: row.get("created_at")?,
            queued_at_millis: row.get("queued_at")?,
            owner: owner(row)?,
            heartbeat_at_millis: row.get("heartbeat_at")?,
            cancel_reason: row.get("cancel_reason")?,
        });
    }
    Ok(runs)
}

pub(super) fn resolve(tx: &Transaction<'_>, prefix: &str) -> Inner<RunId> {
    let fits = (1..=RunId::LEN).contains(&prefix.len());
    if !fits || !prefix.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
        return Err(StoreError::invalid("the run id", "an id begins with 1 to 26 lower-case letters and digits").into());
    }
    // In ASCII '{' follows 'z', so this is where ids with another beginning go on.
    let mut statement = tx.prepare_cached("SELECT id FROM run WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2")?;
    let mut rows = statement.query(params![prefix, format!("{prefix}{{")])?;
    let first = rows.next()?.map(|row| row.get::<_, String>(0)).transpose()?;
    let Some(first) = first else {
        return Err(StoreError::not_found("run", prefix).into());
    };
    if rows.next()?.is_some() {
        return Err(StoreError::conflict("run", prefix, "is the beginning of more than one id").into());
    }
    id_from_text(first)
}

/// Whether a run is there, for reads that give nothing where nothing is.
pub(super) fn number(tx: &Transaction<'_>, run: &RunId) -> Inner<i64> {
    let no = tx.prepare_cached("SELECT no FROM run WHERE id = ?1")?.query_row([run.as_str()], |row| row.get(0));
    no.optional()?.ok_or_else(|| StoreError::not_found("run", run.as_str()).into())
}

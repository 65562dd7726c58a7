//! The life of runs: every change of state is one guarded statement.

use athanor_protocol::{
    Failure,
    names::RunId,
    run::{NewRun, Owner, RunStatus},
};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    Inner,
    convert::{cut, id_from_text, json, status_from_text, text_from_step},
};
use crate::error::StoreError;

/// Longest message and hint of a failure that is kept: an end must not fail because its reason is long.
const MAX_FAILURE_BYTES: usize = 16 << 10;

/// What every operation on a run asks first.
pub(super) struct Head {
    /// The number by which other tables know it.
    pub no: i64,
    /// Its state.
    pub status: RunStatus,
    /// The current attempt.
    pub attempt: u32,
}

/// Finds a run.
pub(super) fn head(tx: &Transaction<'_>, run: &RunId) -> Inner<Head> {
    let mut statement = tx.prepare_cached("SELECT no, status, attempt FROM run WHERE id = ?1")?;
    let row = statement
        .query_row([run.as_str()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?)))
        .optional()?;
    let Some((no, status, attempt)) = row else {
        return Err(StoreError::not_found("run", run.as_str()).into());
    };
    Ok(Head { no, status: status_from_text(&status)?, attempt })
}

fn conflict(run: &RunId, reason: impl Into<String>) -> StoreError {
    StoreError::conflict("run", run.as_str(), reason)
}

fn check_attempt(run: &RunId, head: &Head, attempt: u32) -> Inner<()> {
    if head.attempt == attempt {
        return Ok(());
    }
    Err(conflict(run, format!("is at attempt {}, not {attempt}", head.attempt)).into())
}

pub(super) fn create(tx: &Transaction<'_>, run: &NewRun) -> Inner<()> {
    let known = tx.prepare_cached("SELECT 1 FROM run WHERE id = ?1")?.exists([run.id.as_str()])?;
    if known {
        return Err(StoreError::AlreadyExists { what: "run", name: run.id.to_string() }.into());
    }
    tx.prepare_cached(
        "INSERT INTO run (id, workflow, status, attempt, created_at, queued_at, seed, device)
         VALUES (?1, ?2, 'queued', 1, ?3, ?3, ?4, ?5)",
    )?
    .execute(params![run.id.as_str(), run.workflow, run.created_at_millis, run.seed.cast_signed(), run.device])?;
    let no = tx.last_insert_rowid();
    tx.prepare_cached("INSERT INTO run_workflow (run_no, json) VALUES (?1, ?2)")?
        .execute(params![no, run.workflow_json])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO run_step (run_no, position, node, kind, key, state, millis) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (position, step) in (0_i64..).zip(&run.steps) {
        let millis = step.millis.map(u64::cast_signed);
        insert.execute(params![no, position, step.node, step.kind, step.key, text_from_step(step.state), millis])?;
    }
    set_params(tx, &run.id, no, &run.params)?;
    set_environment(tx, no, &run.environment)
}

/// Sets parameters that are not there yet.
///
/// # Errors
/// `Conflict` if one has another value: what a run was made with is not rewritten.
pub(super) fn set_params(tx: &Transaction<'_>, run: &RunId, no: i64, pairs: &[(String, String)]) -> Inner<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO run_param (run_no, name, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value WHERE value = excluded.value",
    )?;
    for (name, value) in pairs {
        if insert.execute(params![no, name, value])? == 0 {
            return Err(conflict(run, format!("has another value for the parameter {name:?} already")).into());
        }
    }
    Ok(())
}

pub(super) fn set_environment(tx: &Transaction<'_>, no: i64, pairs: &[(String, String)]) -> Inner<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO run_environment (run_no, name, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in pairs {
        insert.execute(params![no, name, value])?;
    }
    Ok(())
}

pub(super) fn start(tx: &Transaction<'_>, run: &RunId, attempt: u32, owner: &Owner, at: i64) -> Inner<()> {
    let head = head(tx, run)?;
    check_attempt(run, &head, attempt)?;
    let changed = tx
        .prepare_cached(
            "UPDATE run SET status = 'running', started_at = ?3, heartbeat_at = ?3, owner_host = ?4, owner_pid = ?5,
             owner_started = ?6 WHERE no = ?1 AND attempt = ?2 AND status = 'queued'",
        )?
        .execute(params![head.no, attempt, at, owner.host, owner.pid, owner.started.cast_signed()])?;
    if changed == 0 {
        return Err(conflict(run, format!("is {}, not queued", head.status.as_str())).into());
    }
    Ok(())
}

pub(super) fn claim(tx: &Transaction<'_>, owner: &Owner, at: i64) -> Inner<Option<(RunId, u32)>> {
    let next = tx
        .prepare_cached("SELECT id, attempt FROM run WHERE status = 'queued' ORDER BY queued_at, id LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))
        .optional()?;
    let Some((id, attempt)) = next else { return Ok(None) };
    let id = id_from_text(id)?;
    start(tx, &id, attempt, owner, at)?;
    Ok(Some((id, attempt)))
}

pub(super) fn heartbeat(tx: &Transaction<'_>, run: &RunId, attempt: u32, at: i64) -> Inner<()> {
    let changed = tx
        .prepare_cached(
            "UPDATE run SET heartbeat_at = max(heartbeat_at, ?3) WHERE id = ?1 AND attempt = ?2 AND status = 'running'",
        )?
        .execute(params![run.as_str(), attempt, at])?;
    if changed > 0 {
        return Ok(());
    }
    let head = head(tx, run)?;
    check_attempt(run, &head, attempt)?;
    Err(conflict(run, format!("is {}, not running", head.status.as_str())).into())
}

pub(super) fn finish(
    tx: &Transaction<'_>,
    run: &RunId,
    attempt: u32,
    status: RunStatus,
    failure: Option<&Failure>,
    resumable: bool,
    at: i64,
) -> Inner<()> {
    let head = head(tx, run)?;
    check_attempt(run, &head, attempt)?;
    let failure = failure.map(|failure| json(&readable(failure), "failure")).transpose()?;
    let changed = tx
        .prepare_cached(
            "UPDATE run SET status = ?3, ended_at = max(?4, coalesce(started_at, created_at)), failure = ?5,
             resumable = ?6, owner_host = NULL, owner_pid = NULL, owner_started = NULL, heartbeat_at = NULL
             WHERE no = ?1 AND attempt = ?2 AND (status = 'running' OR (status = 'queued' AND ?3 <> 'finished'))",
        )?
        .execute(params![head.no, attempt, status.as_str(), at, failure, resumable])?;
    if changed == 0 {
        let ended: Option<i64> = tx.query_row(
            "SELECT ended_at - max(?2, coalesce(started_at, created_at)) FROM run WHERE no = ?1",
            params![head.no, at],
            |row| row.get(0),
        )?;
        if head.status == status && ended == Some(0) {
            return Ok(());
        }
        return Err(
            conflict(run, format!("is {}, so it cannot become {}", head.status.as_str(), status.as_str())).into()
        );
    }
    let left = match status {
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "pending",
        RunStatus::Finished | RunStatus::Queued | RunStatus::Running => return Ok(()),
    };
    tx.prepare_cached("UPDATE run_step SET state = ?2 WHERE run_no = ?1 AND state = 'running'")?
        .execute(params![head.no, left])?;
    Ok(())
}

fn readable(failure: &Failure) -> Failure {
    Failure {
        code: failure.code,
        message: cut(&failure.message, MAX_FAILURE_BYTES).to_owned(),
        subject: failure.subject.as_deref().map(|text| cut(text, MAX_FAILURE_BYTES).to_owned()),
        hint: failure.hint.as_deref().map(|text| cut(text, MAX_FAILURE_BYTES).to_owned()),
    }
}

pub(super) fn request_cancel(tx: &Transaction<'_>, run: &RunId, reason: &str, at: i64) -> Inner<()> {
    let head = head(tx, run)?;
    match head.status {
        RunStatus::Queued => {
            let failure = Failure::new(athanor_protocol::Code::Cancelled, reason);
            tx.execute("UPDATE run SET cancel_reason = ?2 WHERE no = ?1", params![head.no, reason])?;
            // Nothing of it was lost, so it can be queued again.
            finish(tx, run, head.attempt, RunStatus::Cancelled, Some(&failure), true, at)
        }
        RunStatus::Running => {
            tx.execute(
                "UPDATE run SET cancel_reason = coalesce(cancel_reason, ?2) WHERE no = ?1",
                params![head.no, reason],
            )?;
            Ok(())
        }
        status => Err(conflict(run, format!("has ended already: it is {}", status.as_str())).into()),
    }
}

pub(super) fn cancel_reason(tx: &Transaction<'_>, run: &RunId) -> Inner<Option<String>> {
    let reason = tx
        .prepare_cached("SELECT cancel_reason FROM run WHERE id = ?1")?
        .query_row([run.as_str()], |row| row.get(0))
        .optional()?;
    reason.ok_or_else(|| StoreError::not_found("run", run.as_str()).into())
}

pub(super) fn resume(tx: &Transaction<'_>, run: &RunId, at: i64) -> Inner<u32> {
    let head = head(tx, run)?;
    let changed = tx.execute(
        "UPDATE run SET status = 'queued', attempt = attempt + 1, queued_at = max(?2, created_at), started_at = NULL,
         ended_at = NULL, failure = NULL, cancel_reason = NULL
         WHERE no = ?1 AND status IN ('failed', 'cancelled') AND deleted_at IS NULL",
        params![head.no, at],
    )?;
    if changed == 0 {
        let reason = match head.status {
            RunStatus::Failed | RunStatus::Cancelled => "is deleted; restore it first".to_owned(),
            status => format!("is {}; only a failed or cancelled run can be resumed", status.as_str()),
        };
        return Err(conflict(run, reason).into());
    }
    tx.execute(
        "UPDATE run_step SET state = 'pending' WHERE run_no = ?1 AND state IN ('failed', 'running')",
        [head.no],
    )?;
    Ok(head.attempt + 1)
}

pub(super) fn set_tags(tx: &Transaction<'_>, no: i64, pairs: &[(String, String)]) -> Inner<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO run_tag (run_no, name, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in pairs {
        insert.execute(params![no, name, value])?;
    }
    Ok(())
}

pub(super) fn set_tag(tx: &Transaction<'_>, run: &RunId, key: &str, value: &str) -> Inner<()> {
    let no = head(tx, run)?.no;
    set_tags(tx, no, &[(key.to_owned(), value.to_owned())])
}

pub(super) fn remove_tag(tx: &Transaction<'_>, run: &RunId, key: &str) -> Inner<bool> {
    let no = head(tx, run)?.no;
    Ok(tx.execute("DELETE FROM run_tag WHERE run_no = ?1 AND name = ?2", params![no, key])? > 0)
}

pub(super) fn set_note(tx: &Transaction<'_>, run: &RunId, note: &str) -> Inner<()> {
    let no = head(tx, run)?.no;
    tx.execute("UPDATE run SET note = ?2 WHERE no = ?1", params![no, note])?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, run: &RunId, at: i64) -> Inner<()> {
    let head = head(tx, run)?;
    if !head.status.is_final() {
        return Err(conflict(run, format!("is {}; cancel it first", head.status.as_str())).into());
    }
    tx.execute("UPDATE run SET deleted_at = coalesce(deleted_at, ?2) WHERE no = ?1", params![head.no, at])?;
    Ok(())
}

pub(super) fn restore(tx: &Transaction<'_>, run: &RunId) -> Inner<()> {
    let no = head(tx, run)?.no;
    tx.execute("UPDATE run SET deleted_at = NULL WHERE no = ?1", [no])?;
    Ok(())
}

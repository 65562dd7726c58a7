//! The one write path for what a run reports: a batch, all of it or nothing, once.

use std::collections::HashMap;

use athanor_protocol::{
    learner::Reproducibility,
    metric::{MetricPoint, Split},
    names::RunId,
    run::Artifact,
};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    Inner,
    convert::{columns_from_value, cut, number_from_split, text_from_reproducibility, text_from_step},
    runs::{head, set_environment, set_params, set_tags},
};
use crate::{
    error::StoreError,
    types::{Batch, LogLine, Recorded, StepUpdate, limits},
};

pub(super) fn record(tx: &Transaction<'_>, run: &RunId, attempt: u32, seq: i64, batch: &Batch) -> Inner<Recorded> {
    let head = head(tx, run)?;
    let known = tx
        .prepare_cached("SELECT 1 FROM run_batch WHERE run_no = ?1 AND attempt = ?2 AND seq = ?3")?
        .exists(params![head.no, attempt, seq])?;
    if known {
        return Ok(Recorded::Duplicate);
    }
    if attempt < head.attempt || (attempt == head.attempt && head.status.is_final()) {
        return Ok(Recorded::Stale);
    }
    if attempt > head.attempt || head.status != athanor_protocol::run::RunStatus::Running {
        let reason = format!("has not started attempt {attempt}");
        return Err(StoreError::conflict("run", run.as_str(), reason).into());
    }
    tx.prepare_cached("INSERT INTO run_batch (run_no, attempt, seq) VALUES (?1, ?2, ?3)")?
        .execute(params![head.no, attempt, seq])?;
    points(tx, head.no, attempt, &batch.metrics)?;
    steps(tx, head.no, &batch.steps)?;
    set_params(tx, run, head.no, &batch.params)?;
    set_environment(tx, head.no, &batch.environment)?;
    set_tags(tx, head.no, &batch.tags)?;
    files(tx, head.no, batch)?;
    logs(tx, head.no, attempt, &batch.logs)?;
    if let Some(value) = batch.reproducibility {
        // The weaker word counts: one step that is not bitwise reproducible makes the whole run so.
        let weak = text_from_reproducibility(Reproducibility::WithinTolerance);
        tx.prepare_cached("UPDATE run SET reproducibility = ?2 WHERE no = ?1 AND reproducibility IS NOT ?3")?
            .execute(params![head.no, text_from_reproducibility(value), weak])?;
    }
    Ok(Recorded::Applied)
}

/// A series while a batch is written: where its latest value stands.
struct Series<'a> {
    id: i64,
    attempt: u32,
    step: i64,
    /// The point that moved it.
    latest: Option<&'a MetricPoint>,
}

fn points(tx: &Transaction<'_>, no: i64, attempt: u32, points: &[MetricPoint]) -> Inner<()> {
    if points.is_empty() {
        return Ok(());
    }
    // First which series there are and where each begins, then the points: the database is asked once for each series.
    let mut by_key: HashMap<(Split, &str), usize> = HashMap::new();
    let mut firsts: Vec<(&MetricPoint, u64)> = vec![];
    let mut places = Vec::with_capacity(points.len());
    for point in points {
        let place = *by_key.entry((point.split, point.key.as_str())).or_insert_with(|| {
            firsts.push((point, point.step));
            firsts.len() - 1
        });
        firsts[place].1 = firsts[place].1.min(point.step);
        places.push(place);
    }
    let mut n_new = 0;
    let mut all = Vec::with_capacity(firsts.len());
    for (point, first) in firsts {
        let (series, is_new) = open_series(tx, no, attempt, point, first)?;
        n_new += i64::from(is_new);
        all.push(series);
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO metric_point (series, step, attempt, at, value, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET attempt = excluded.attempt, at = excluded.at, value = excluded.value,
         kind = excluded.kind",
    )?;
    for (point, place) in points.iter().zip(places) {
        let series = &mut all[place];
        // Checked before the transaction: every step fits.
        let step = point.step.cast_signed();
        let (value, kind) = columns_from_value(point.value);
        insert.execute(params![series.id, step, attempt, point.at_millis, value, kind])?;
        if series.attempt < attempt || step >= series.step {
            series.attempt = attempt;
            series.step = step;
            series.latest = Some(point);
        }
    }
    let mut update = tx.prepare_cached(
        "UPDATE metric_latest SET attempt = ?2, step = ?3, at = ?4, value = ?5, kind = ?6 WHERE series = ?1",
    )?;
    for series in &all {
        let Some(point) = series.latest else { continue };
        let (value, kind) = columns_from_value(point.value);
        update.execute(params![series.id, attempt, series.step, point.at_millis, value, kind])?;
    }
    if n_new > 0 {
        count_series(tx, no, n_new)?;
    }
    Ok(())
}

/// Finds or makes a series. Where an earlier attempt wrote it, what that attempt said at `first` and after it is undone.
fn open_series<'a>(
    tx: &Transaction<'_>,
    no: i64,
    attempt: u32,
    point: &MetricPoint,
    first: u64,
) -> Inner<(Series<'a>, bool)> {
    let split = number_from_split(point.split);
    let known = tx
        .prepare_cached(
            "SELECT series, attempt, step FROM metric_latest WHERE run_no = ?1 AND split = ?2 AND key = ?3",
        )?
        .query_row(params![no, split, point.key], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?, row.get(2)?)))
        .optional()?;
    if let Some((id, before, step)) = known {
        if before < attempt && point.split != Split::System {
            tx.prepare_cached("DELETE FROM metric_point WHERE series = ?1 AND step >= ?2")?
                .execute(params![id, first.cast_signed()])?;
        }
        return Ok((Series { id, attempt: before, latest: None, step }, false));
    }
    let (value, kind) = columns_from_value(point.value);
    tx.prepare_cached(
        "INSERT INTO metric_latest (run_no, split, key, attempt, step, at, value, kind)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![no, split, point.key, attempt, point.step.cast_signed(), point.at_millis, value, kind])?;
    let id = tx.last_insert_rowid();
    Ok((Series { id, attempt, latest: None, step: i64::MIN }, true))
}

fn count_series(tx: &Transaction<'_>, no: i64, n_new: i64) -> Inner<()> {
    let n_series: i64 = tx
        .prepare_cached("UPDATE run SET n_series = n_series + ?2 WHERE no = ?1 RETURNING n_series")?
        .query_row(params![no, n_new], |row| row.get(0))?;
    let limit = limits::SERIES_PER_RUN as u64;
    let found = n_series.unsigned_abs();
    if found > limit {
        return Err(StoreError::TooLarge { what: "different metrics of one run".to_owned(), found, limit }.into());
    }
    Ok(())
}

fn steps(tx: &Transaction<'_>, no: i64, steps: &[StepUpdate]) -> Inner<()> {
    let mut update =
        tx.prepare_cached("UPDATE run_step SET state = ?3, millis = ?4 WHERE run_no = ?1 AND node = ?2")?;
    for step in steps {
        let millis = step.millis.map(u64::cast_signed);
        if update.execute(params![no, step.node, text_from_step(step.state), millis])? == 0 {
            return Err(StoreError::not_found("step of this run", step.node.as_str()).into());
        }
    }
    Ok(())
}

fn files(tx: &Transaction<'_>, no: i64, batch: &Batch) -> Inner<()> {
    for dataset in &batch.datasets {
        tx.prepare_cached(
            "INSERT INTO run_dataset (run_no, name, digest, n_rows) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET n_rows = excluded.n_rows",
        )?
        .execute(params![no, dataset.name, dataset.digest, dataset.n_rows.cast_signed()])?;
    }
    add_files(tx, no, &batch.artifacts)
}

pub(super) fn add_artifacts(tx: &Transaction<'_>, run: &RunId, artifacts: &[Artifact]) -> Inner<()> {
    let no = head(tx, run)?.no;
    add_files(tx, no, artifacts)
}

fn add_files(tx: &Transaction<'_>, no: i64, artifacts: &[Artifact]) -> Inner<()> {
    for artifact in artifacts {
        tx.prepare_cached(
            "INSERT INTO run_artifact (run_no, name, kind, digest, n_bytes) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET kind = excluded.kind, digest = excluded.digest, n_bytes = excluded.n_bytes",
        )?
        .execute(params![
            no,
            artifact.name,
            artifact.kind,
            artifact.digest,
            artifact.n_bytes.cast_signed()
        ])?;
    }
    Ok(())
}

fn logs(tx: &Transaction<'_>, no: i64, attempt: u32, lines: &[LogLine]) -> Inner<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let n_lines = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    let next: i64 = tx
        .prepare_cached("UPDATE run SET log_next = log_next + ?2 WHERE no = ?1 RETURNING log_next")?
        .query_row(params![no, n_lines], |row| row.get(0))?;
    let oldest = next - limits::LOG_LINES;
    let mut insert = tx
        .prepare_cached("INSERT INTO run_log (run_no, no, attempt, at, level, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (line_no, line) in (next - n_lines..).zip(lines).filter(|(line_no, _)| *line_no >= oldest) {
        insert.execute(params![no, line_no, attempt, line.at_millis, line.level, readable(&line.text)])?;
    }
    tx.prepare_cached("DELETE FROM run_log WHERE run_no = ?1 AND no < ?2")?.execute(params![no, oldest])?;
    Ok(())
}

/// A line as it can be shown anywhere: cut to its limit, without control characters besides the tab.
fn readable(line: &str) -> String {
    let line = cut(line, limits::LOG_LINE_BYTES);
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

//! Reading what a run reported: series in pages, series for drawing, lines of log.

use std::ops::RangeInclusive;

use athanor_protocol::{
    metric::{MetricPoint, Split},
    names::RunId,
    run::SeriesBucket,
};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    Inner, check,
    convert::{count, number_from_split, small, value_from_columns},
    page::{number as number_from_token, page, parts, token},
    read::{number, point},
};
use crate::{
    error::StoreError,
    types::{LogLine, LogRecord, Page, PageRequest, TimedBucket, limits},
};

pub(super) fn keys(tx: &Transaction<'_>, run: &RunId, request: &PageRequest) -> Inner<Page<MetricPoint>> {
    let size = check::page_size(request)?;
    let no = number(tx, run)?;
    let list = format!("metrics {run}");
    let (split, key) = match &request.token {
        Some(text) => {
            let [split, key] = parts(&list, text)?;
            (number_from_token::<i64>(&split)?, key)
        }
        None => (-1, String::new()),
    };
    let mut statement = tx.prepare_cached(
        "SELECT split, key, step, at, value, kind FROM metric_latest WHERE run_no = ?1 AND (split, key) > (?2, ?3)
         ORDER BY split, key LIMIT ?4",
    )?;
    let mut rows = statement.query(params![no, split, key, size + 1])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(point(row)?);
    }
    Ok(page(found, size, |point| token(&list, &[&number_from_split(point.split).to_string(), &point.key])))
}

/// Series by a text in their names; whoever looks through fifty thousand names does so by typing.
pub(super) fn find(
    tx: &Transaction<'_>,
    run: &RunId,
    text: &str,
    offset: u32,
    limit: i64,
) -> Inner<(Vec<MetricPoint>, u64)> {
    const MATCH: &str = "FROM metric_latest WHERE run_no = ?1 AND (?2 = '' OR instr(lower(
         CASE split WHEN 0 THEN 'train/' WHEN 1 THEN 'valid/' WHEN 2 THEN 'test/' ELSE 'system/' END || key), ?2) > 0)";
    let no = number(tx, run)?;
    let text = text.to_ascii_lowercase();
    let total: i64 =
        tx.prepare_cached(&format!("SELECT count(*) {MATCH}"))?.query_row(params![no, text], |row| row.get(0))?;
    let sql = format!("SELECT split, key, step, at, value, kind {MATCH} ORDER BY split, key LIMIT ?3 OFFSET ?4");
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params![no, text, limit, offset])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(point(row)?);
    }
    Ok((found, total.unsigned_abs()))
}

fn series_number(tx: &Transaction<'_>, run: &RunId, key: &str, split: Split) -> Inner<Option<i64>> {
    let no = number(tx, run)?;
    let series = tx
        .prepare_cached("SELECT series FROM metric_latest WHERE run_no = ?1 AND split = ?2 AND key = ?3")?
        .query_row(params![no, number_from_split(split), key], |row| row.get(0));
    Ok(series.optional()?)
}

pub(super) fn points(
    tx: &Transaction<'_>,
    run: &RunId,
    key: &str,
    split: Split,
    request: &PageRequest,
) -> Inner<Page<MetricPoint>> {
    let size = check::page_size(request)?;
    let list = format!("points {run} {} {key}", split.as_str());
    let after = match &request.token {
        Some(text) => {
            let [step] = parts(&list, text)?;
            number_from_token::<i64>(&step)?
        }
        None => -1,
    };
    let Some(series) = series_number(tx, run, key, split)? else {
        return Ok(Page { items: vec![], next: None });
    };
    let mut statement = tx.prepare_cached(
        "SELECT step, at, value, kind FROM metric_point WHERE series = ?1 AND step > ?2 ORDER BY step LIMIT ?3",
    )?;
    let mut rows = statement.query(params![series, after, size + 1])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(MetricPoint {
            key: key.to_owned(),
            split,
            step: row.get::<_, i64>(0)?.cast_unsigned(),
            at_millis: row.get(1)?,
            value: value_from_columns(row.get(2)?, row.get(3)?)?,
        });
    }
    Ok(page(found, size, |point| token(&list, &[&point.step.to_string()])))
}

pub(super) fn series(
    tx: &Transaction<'_>,
    run: &RunId,
    key: &str,
    split: Split,
    steps: Option<RangeInclusive<u64>>,
    n_buckets: u32,
) -> Inner<Vec<TimedBucket>> {
    if n_buckets == 0 || n_buckets > limits::BUCKETS {
        let reason = format!("{n_buckets} is not from 1 to {}", limits::BUCKETS);
        return Err(StoreError::invalid("the number of buckets", reason).into());
    }
    let Some(series) = series_number(tx, run, key, split)? else {
        return Ok(vec![]);
    };
    let Some((low, high)) = bounds(tx, series, steps)? else {
        return Ok(vec![]);
    };
    // At least one step wide; a range of up to 2^63 steps fits.
    let width = ((high - low) / u64::from(n_buckets)) + 1;
    let mut statement = tx.prepare_cached(
        "SELECT step, CASE kind WHEN 0 THEN value END, at FROM metric_point
         WHERE series = ?1 AND step BETWEEN ?2 AND ?3 ORDER BY step",
    )?;
    let mut rows = statement.query(params![series, low.cast_signed(), high.cast_signed()])?;
    let mut buckets: Vec<TimedBucket> = vec![];
    // Where the open bucket ends; dividing once for each bucket and not for each point.
    let mut end = None;
    while let Some(row) = rows.next()? {
        let step = row.get::<_, i64>(0)?.cast_unsigned();
        // `None` where it is not finite: what it is instead does not matter to a drawing.
        let value: Option<f64> = row.get(1)?;
        let at: i64 = row.get(2)?;
        match (buckets.last_mut(), end) {
            (Some(bucket), Some(end)) if step <= end => add(bucket, step, value, at),
            _ => {
                end = Some((low + ((step - low) / width) * width).saturating_add(width - 1));
                let empty = SeriesBucket {
                    step_min: step,
                    step_max: step,
                    min: None,
                    max: None,
                    last: None,
                    n_points: 0,
                    n_non_finite: 0,
                };
                let mut timed = TimedBucket { bucket: empty, times: [at, at] };
                add(&mut timed, step, value, at);
                buckets.push(timed);
            }
        }
    }
    Ok(buckets)
}

fn add(timed: &mut TimedBucket, step: u64, value: Option<f64>, at: i64) {
    timed.times[1] = at;
    let bucket = &mut timed.bucket;
    bucket.step_max = step;
    bucket.n_points += 1;
    match value {
        None => bucket.n_non_finite += 1,
        Some(value) => {
            bucket.min = Some(bucket.min.map_or(value, |min| min.min(value)));
            bucket.max = Some(bucket.max.map_or(value, |max| max.max(value)));
            bucket.last = Some(value);
        }
    }
}

/// The first and last step to look at: what was asked for, and no more than is there.
fn bounds(tx: &Transaction<'_>, series: i64, steps: Option<RangeInclusive<u64>>) -> Inner<Option<(u64, u64)>> {
    // Two statements, because SQLite finds one end of an index at once but not both.
    let end = |sql| -> Inner<Option<i64>> { Ok(tx.prepare_cached(sql)?.query_row([series], |row| row.get(0))?) };
    let first = end("SELECT min(step) FROM metric_point WHERE series = ?1")?;
    let last = end("SELECT max(step) FROM metric_point WHERE series = ?1")?;
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(None);
    };
    let (first, last) = (first.cast_unsigned(), last.cast_unsigned());
    let (low, high) = match steps {
        Some(steps) => (*steps.start(), (*steps.end()).min(last)),
        None => (first, last),
    };
    Ok((low <= high).then_some((low, high)))
}

pub(super) fn logs(tx: &Transaction<'_>, run: &RunId, after: u64, limit: u32) -> Inner<Vec<LogRecord>> {
    let no = number(tx, run)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = tx.prepare_cached(
        "SELECT no, attempt, at, level, text FROM run_log WHERE run_no = ?1 AND no > ?2 ORDER BY no LIMIT ?3",
    )?;
    let mut rows = statement.query(params![no, after, i64::from(limit)])?;
    let mut lines = vec![];
    while let Some(row) = rows.next()? {
        lines.push(LogRecord {
            no: count(row, "no")?,
            attempt: small(row, "attempt")?,
            line: LogLine { at_millis: row.get("at")?, level: row.get("level")?, text: row.get("text")? },
        });
    }
    Ok(lines)
}

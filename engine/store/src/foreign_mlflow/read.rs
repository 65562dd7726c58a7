//! Reading rows, whatever their cells hold: SQLite's columns have no types that must be kept.

use rusqlite::{Row, params, types::ValueRef};

use super::{Database, Experiment, LoggedModel, MAX_SLICE_BYTES, Pair, Point, Run, SLICE_ROWS, Slice, Text, Unfit};

/// Why reading ended early; the name of the file is added at the border.
pub(super) enum Fault {
    Sql(rusqlite::Error),
    /// Rows do not come in the order that was asked for: pages lead in a circle, or the index is damaged.
    Order,
}

impl From<rusqlite::Error> for Fault {
    fn from(err: rusqlite::Error) -> Self {
        Self::Sql(err)
    }
}

pub(super) type Inner<T> = std::result::Result<T, Fault>;

/// A cell that was asked for by the statement's `text`.
fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Text> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Unfit::NotUtf8),
        ValueRef::Null => Err(Unfit::Missing),
        ValueRef::Integer(n_bytes) => Err(Unfit::TooLong { n_bytes: n_bytes.unsigned_abs() }),
        ValueRef::Real(_) | ValueRef::Blob(_) => Err(Unfit::NotText),
    })
}

/// A whole number; one with a point counts where nothing stands behind it.
fn whole(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<i64>> {
    /// Beyond this, whole numbers are no longer told apart (2^53).
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) if number.trunc() == number && number.abs() <= MAX_EXACT => Some(number as i64),
        _ => None,
    })
}

/// A metric's value from the columns `value` and `is_nan`.
///
/// MLflow writes a NaN as 0 with the mark, and infinities as the greatest finite numbers, for databases that have none
/// (`sanitize_metric_value` of its SQL store).
fn value(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<f64>> {
    let is_nan = match row.get_ref(at + 1)? {
        ValueRef::Integer(mark) => mark != 0,
        ValueRef::Real(mark) => mark != 0.0,
        _ => false,
    };
    if is_nan {
        return Ok(Some(f64::NAN));
    }
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(f64::MAX) => Some(f64::INFINITY),
        ValueRef::Real(f64::MIN) => Some(f64::NEG_INFINITY),
        ValueRef::Real(number) => Some(number),
        _ => None,
    })
}

/// Rows of a slice: numbers must rise, so that a file in which pages lead in a circle comes to an end.
fn slice<T>(
    db: &Database,
    sql: &str,
    run: Option<&str>,
    after: Option<i64>,
    mut one: impl FnMut(&Row<'_>) -> rusqlite::Result<(T, usize)>,
) -> Inner<Slice<T>> {
    let mut found = Slice { rows: vec![], next: None };
    if sql.is_empty() {
        return Ok(found);
    }
    let mut last = after.unwrap_or(i64::MIN);
    let mut n_bytes = 0;
    let mut statement = db.connection.prepare_cached(sql)?;
    let mut rows = match run {
        Some(run) => statement.query(params![last, run])?,
        None => statement.query(params![last])?,
    };
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        if number <= last {
            return Err(Fault::Order);
        }
        last = number;
        let (item, n) = one(row)?;
        found.rows.push(item);
        n_bytes += n;
        if n_bytes > MAX_SLICE_BYTES || found.rows.len() >= SLICE_ROWS {
            found.next = Some(last);
            break;
        }
    }
    Ok(found)
}

fn len(text: &Text) -> usize {
    text.as_ref().map_or(0, String::len)
}

pub(super) fn version(db: &Database) -> Inner<Option<String>> {
    let sql = &db.shape.sql.version;
    if sql.is_empty() {
        return Ok(None);
    }
    let mut statement = db.connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    Ok(rows.next()?.map(|row| text(row, 0)).transpose()?.and_then(Result::ok))
}

pub(super) fn experiment(db: &Database, number: i64) -> Inner<Option<Experiment>> {
    let mut statement = db.connection.prepare_cached(&db.shape.sql.experiment)?;
    let mut rows = statement.query([number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Experiment { name: text(row, 0)?, is_deleted: row.get(1)? }))
}

pub(super) fn runs(db: &Database, after: Option<i64>) -> Inner<Slice<Run>> {
    slice(db, &db.shape.sql.runs, None, after, |row| {
        let run = Run {
            uuid: text(row, 1)?,
            experiment: whole(row, 2)?,
            name: text(row, 3)?,
            status: text(row, 4)?,
            started_at_millis: whole(row, 5)?,
            ended_at_millis: whole(row, 6)?,
            is_deleted: row.get(7)?,
            artifact_uri: text(row, 8)?,
        };
        let n_bytes = len(&run.uuid) + len(&run.name) + len(&run.status) + len(&run.artifact_uri);
        Ok((run, n_bytes))
    })
}

pub(super) fn pairs(db: &Database, sql: &str, run: &str, after: Option<i64>) -> Inner<Slice<Pair>> {
    slice(db, sql, Some(run), after, |row| {
        let pair = Pair { key: text(row, 1)?, value: text(row, 2)? };
        let n_bytes = len(&pair.key) + len(&pair.value);
        Ok((pair, n_bytes))
    })
}

pub(super) fn points(db: &Database, run: &str, after: Option<i64>) -> Inner<Slice<Point>> {
    slice(db, &db.shape.sql.points, Some(run), after, |row| {
        let point =
            Point { key: text(row, 1)?, at_millis: whole(row, 2)?, step: whole(row, 3)?, value: value(row, 4)? };
        let n_bytes = len(&point.key);
        Ok((point, n_bytes))
    })
}

pub(super) fn logged_models(db: &Database, after: Option<i64>) -> Inner<Slice<LoggedModel>> {
    slice(db, &db.shape.sql.logged_models, None, after, |row| {
        let model = LoggedModel {
            id: text(row, 1)?,
            experiment: whole(row, 2)?,
            name: text(row, 3)?,
            run: text(row, 4)?,
            is_deleted: row.get(5)?,
        };
        let n_bytes = len(&model.id) + len(&model.name) + len(&model.run);
        Ok((model, n_bytes))
    })
}

pub(super) fn count(db: &Database, sql: &str) -> Inner<u64> {
    if sql.is_empty() {
        return Ok(0);
    }
    let n: i64 = db.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(n.unsigned_abs())
}

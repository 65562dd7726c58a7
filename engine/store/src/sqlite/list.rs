//! Lists of runs: filtered, sorted by a key with no ties left, and cut after a page.

use std::fmt::Write;

use athanor_protocol::names::{RunId, check_text};
use rusqlite::{Transaction, params, types::Value};

use super::{
    Inner, check,
    convert::{id_from_text, number_from_split},
    page::{number, page, parts, token},
    read::{SUMMARY, complete, summary},
};
use crate::{
    error::StoreError,
    types::{Page, RunQuery, RunSort, StepSettings, limits},
};
use athanor_protocol::run::RunSummary;

/// The order as a token names it, so that a token cannot be used with another one.
fn list_name(query: &RunQuery) -> String {
    let direction = if query.descending { "desc" } else { "asc" };
    match &query.sort {
        RunSort::Created => format!("runs created {direction}"),
        RunSort::Duration => format!("runs duration {direction}"),
        RunSort::Metric { key, split } => format!("runs metric {direction} {} {key}", split.as_str()),
    }
}

/// One query under way: its text and what is bound to it.
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// Binds a value and returns its place in the text.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, " AND {condition}");
    }
}

/// The list. Every row has a rank (0: has a key, 1: has a value that is no number, 2: has none) and a key, which is 0
/// unless the rank is 0; rows are sorted by rank, key and id, and only the key's direction can change.
pub(super) fn runs(tx: &Transaction<'_>, query: &RunQuery) -> Inner<Page<RunSummary>> {
    let size = check::page_size(&query.page)?;
    let mut sql = Sql { text: String::new(), values: vec![] };
    let (join, rank, key) = match &query.sort {
        RunSort::Created => (String::new(), "0", "run.created_at"),
        RunSort::Duration => (
            String::new(),
            "(run.ended_at IS NULL OR run.started_at IS NULL) * 2",
            "coalesce(run.ended_at - run.started_at, 0)",
        ),
        RunSort::Metric { key, split } => {
            check::label("metric key", key)?;
            let (split, key) = (sql.bind(number_from_split(*split)), sql.bind(key.clone()));
            let join =
                format!("LEFT JOIN metric_latest m ON m.run_no = run.no AND m.split = {split} AND m.key = {key}");
            (join, "CASE WHEN m.kind IS NULL THEN 2 ELSE m.kind > 0 END", "coalesce(m.value, 0.0)")
        }
    };
    sql.text = format!(
        "SELECT {SUMMARY}, {rank} AS rank, {key} AS key FROM run {join} WHERE run.deleted_at IS {} NULL",
        if query.deleted { "NOT" } else { "" }
    );
    filter(&mut sql, query)?;
    let list = list_name(query);
    let (direction, beyond) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
    if let Some(text) = &query.page.token {
        let [after_rank, after_key, after_id] = parts(&list, text)?;
        let after_key = match query.sort {
            RunSort::Metric { .. } => Value::from(f64::from_bits(number(&after_key)?)),
            _ => Value::from(number::<i64>(&after_key)?),
        };
        let after_rank = sql.bind(number::<i64>(&after_rank)?);
        let (after_key, after_id) = (sql.bind(after_key), sql.bind(after_id));
        if matches!(query.sort, RunSort::Created) {
            // Said in a way that the index on the time of creation can follow.
            sql.and(&format!("(run.created_at, run.id) {beyond} ({after_key}, {after_id}) AND {after_rank} = 0"));
        } else {
            sql.and(&format!(
                "({rank} > {after_rank} OR ({rank} = {after_rank} AND ({key} {beyond} {after_key} OR \
                 ({key} = {after_key} AND run.id {beyond} {after_id}))))"
            ));
        }
    }
    let limit = sql.bind(size + 1);
    let order = match query.sort {
        RunSort::Created => format!("run.created_at {direction}, run.id {direction}"),
        _ => format!("rank ASC, key {direction}, run.id {direction}"),
    };
    // Writing to a string cannot fail.
    let _ = write!(sql.text, " ORDER BY {order} LIMIT {limit}");

    let mut statement = tx.prepare_cached(&sql.text)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&sql.values))?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        let (no, run) = summary(row)?;
        let key = match row.get::<_, Value>("key")? {
            Value::Real(key) => key.to_bits().to_string(),
            Value::Integer(key) => key.to_string(),
            _ => String::new(),
        };
        found.push((no, run, row.get::<_, i64>("rank")?.to_string(), key));
    }
    let found = page(found, size, |(_, run, rank, key)| token(&list, &[rank, key, run.id.as_str()]));
    let items = found.items.into_iter().map(|(no, run, ..)| complete(tx, no, run, limits::LATEST_IN_LIST));
    Ok(Page { items: items.collect::<Inner<_>>()?, next: found.next })
}

/// One run as the list shows it.
pub(super) fn one(tx: &Transaction<'_>, run: &RunId) -> Inner<RunSummary> {
    let mut statement = tx.prepare_cached(&format!("SELECT {SUMMARY} FROM run WHERE id = ?1"))?;
    let mut rows = statement.query([run.as_str()])?;
    let Some(row) = rows.next()? else {
        return Err(StoreError::not_found("run", run.as_str()).into());
    };
    let (no, run) = summary(row)?;
    complete(tx, no, run, limits::LATEST_IN_LIST)
}

/// Steps of a kind with their parameters, for a whole page of runs at once.
pub(super) fn step_settings(tx: &Transaction<'_>, runs: &[RunId], kind: &str) -> Inner<Vec<StepSettings>> {
    // Ids are letters and digits, so a list of them is written by putting quotes around each.
    let ids: Vec<String> = runs.iter().map(|run| format!("\"{run}\"")).collect();
    let ids = format!("[{}]", ids.join(","));
    // Parameters of a node are those between `node.` and `node/`, the next character.
    let mut statement = tx.prepare_cached(
        "SELECT run.id, s.position, s.node, s.kind, p.name, substr(p.value, 1, ?3)
         FROM run JOIN run_step s ON s.run_no = run.no AND substr(s.kind, 1, length(?2)) = ?2
         LEFT JOIN run_param p ON p.run_no = run.no AND p.name > s.node || '.' AND p.name < s.node || '/'
         WHERE run.id IN (SELECT value FROM json_each(?1)) ORDER BY run.id, s.position, p.name",
    )?;
    let mut rows = statement.query(params![ids, kind, i64::try_from(limits::SHOWN_VALUE_CHARS).unwrap_or(i64::MAX)])?;
    let mut found: Vec<StepSettings> = vec![];
    while let Some(row) = rows.next()? {
        let (run, node) = (id_from_text(row.get(0)?)?, row.get::<_, String>(2)?);
        if found.last().is_none_or(|last| last.run != run || last.node != node) {
            found.push(StepSettings { run, node, kind: row.get(3)?, params: vec![] });
        }
        let param = row.get::<_, Option<String>>(4)?.zip(row.get::<_, Option<String>>(5)?);
        if let Some(last) = found.last_mut() {
            last.params.extend(param);
        }
    }
    Ok(found)
}

fn filter(sql: &mut Sql, query: &RunQuery) -> Inner<()> {
    if !query.status.is_empty() {
        let places: Vec<_> = query.status.iter().map(|status| sql.bind(status.as_str().to_owned())).collect();
        sql.and(&format!("run.status IN ({})", places.join(", ")));
    }
    if let Some(workflow) = &query.workflow {
        let place = sql.bind(workflow.clone());
        sql.and(&format!("run.workflow = {place}"));
    }
    if let Some(text) = query.text.as_deref().filter(|text| !text.is_empty()) {
        check_text("search text", text, 1024)?;
        let place = sql.bind(text.to_ascii_lowercase());
        // `instr` and not LIKE: what people type is text, not a pattern.
        sql.and(&format!(
            "(instr(lower(run.workflow), {place}) > 0 OR instr(run.id, {place}) > 0 OR EXISTS (SELECT 1 FROM run_tag t \
             WHERE t.run_no = run.no AND (instr(lower(t.name), {place}) > 0 OR instr(lower(t.value), {place}) > 0)))"
        ));
    }
    Ok(())
}

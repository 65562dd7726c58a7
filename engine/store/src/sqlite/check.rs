//! What may be stored: checked before a transaction begins, so that nothing waits for a refusal.

use std::collections::HashSet;

use athanor_protocol::{
    monitor::MonitorConfig,
    names::{MAX_NAME_BYTES, NameError, check_model_name, check_name, check_text},
    run::{Artifact, NewRun, Owner},
    workflow::{MAX_NODES, MAX_WORKFLOW_BYTES},
};

use crate::{
    error::{Result, StoreError},
    types::{Batch, NewAlert, NewApiKey, NewAudit, NewVersion, PageRequest, limits},
};

/// A number that SQLite can hold and sort.
pub(super) fn whole(what: &str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::invalid(what, format!("{number} is over {}", i64::MAX)))
}

/// Text for people: no control characters, not too long.
pub(super) fn text(what: &'static str, text: &str, max_bytes: usize) -> Result<()> {
    Ok(check_text(what, text, max_bytes)?)
}

/// A short text that says something.
pub(super) fn label(what: &'static str, label: &str) -> Result<()> {
    let err = |reason| NameError { what, name: label.chars().take(80).collect(), reason };
    if label.trim().is_empty() {
        return Err(err("it is empty").into());
    }
    if label.contains(['\n', '\t']) {
        return Err(err("it holds control characters").into());
    }
    text(what, label, MAX_NAME_BYTES)
}

/// A value that may hold anything but the NUL character, which ends a text in too many places.
fn value(what: &'static str, name: &str, value: &str) -> Result<()> {
    let too_large = value.len() > limits::VALUE_BYTES;
    if too_large || value.contains('\0') {
        let reason = if too_large { "its value is too long" } else { "its value holds a NUL character" };
        return Err(NameError { what, name: name.chars().take(80).collect(), reason }.into());
    }
    Ok(())
}

fn pairs(what: &'static str, pairs: &[(String, String)]) -> Result<()> {
    pairs.iter().try_for_each(|(name, text)| {
        // Names of parameters are `node.param`, so they may be longer than other names.
        if name.is_empty() {
            return Err(NameError { what, name: String::new(), reason: "it is empty" }.into());
        }
        check_text(what, name, 2 * MAX_NAME_BYTES)?;
        value(what, name, text)
    })
}

/// Exactly so many lower-case hex digits.
pub(super) fn hex(what: &'static str, digits: &str, n_digits: usize) -> Result<()> {
    if digits.len() == n_digits && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(StoreError::invalid(what, format!("it is not {n_digits} lower-case hex digits")))
}

pub(super) fn run_count(runs: &[athanor_protocol::names::RunId]) -> Result<()> {
    at_most("runs asked about at once", runs.len(), limits::PAGE_SIZE as usize)
}

pub(super) fn tag(key: &str, value: &str) -> Result<()> {
    label("tag", key)?;
    text("tag value", value, limits::TAG_BYTES)
}

pub(super) fn owner(owner: &Owner) -> Result<()> {
    text("host name", &owner.host, 256)
}

pub(super) fn page_size(page: &PageRequest) -> Result<i64> {
    if page.size == 0 || page.size > limits::PAGE_SIZE {
        return Err(StoreError::invalid(
            "the page size",
            format!("{} is not from 1 to {}", page.size, limits::PAGE_SIZE),
        ));
    }
    Ok(i64::from(page.size))
}

fn at_most(what: &str, found: usize, limit: usize) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    Err(StoreError::TooLarge { what: what.to_owned(), found: found as u64, limit: limit as u64 })
}

pub(super) fn new_run(run: &NewRun) -> Result<()> {
    text("workflow name", &run.workflow, MAX_NAME_BYTES)?;
    at_most("bytes of the workflow", run.workflow_json.len(), MAX_WORKFLOW_BYTES)?;
    if run.workflow_json.contains('\0') {
        return Err(StoreError::invalid("the workflow document", "it holds a NUL character"));
    }
    text("device name", &run.device, MAX_NAME_BYTES)?;
    at_most("steps of a run", run.steps.len(), MAX_NODES)?;
    let mut nodes = HashSet::new();
    for step in &run.steps {
        label("node", &step.node)?;
        label("node kind", &step.kind)?;
        text("content key", &step.key, MAX_NAME_BYTES)?;
        whole("the duration of a step", step.millis.unwrap_or(0))?;
        if !nodes.insert(step.node.as_str()) {
            return Err(StoreError::invalid(format!("the node {:?}", step.node), "it is there twice"));
        }
    }
    at_most("parameters of a run", run.params.len(), limits::BATCH_ENTRIES)?;
    at_most("entries of the environment", run.environment.len(), limits::BATCH_ENTRIES)?;
    pairs("parameter", &run.params)?;
    pairs("environment entry", &run.environment)
}

fn artifact(artifact: &Artifact) -> Result<()> {
    label("artifact", &artifact.name)?;
    label("artifact kind", &artifact.kind)?;
    text("artifact digest", &artifact.digest, MAX_NAME_BYTES)?;
    whole("the size of an artifact", artifact.n_bytes).map(drop)
}

pub(super) fn artifacts(artifacts: &[Artifact]) -> Result<()> {
    at_most("files added at once", artifacts.len(), limits::BATCH_ENTRIES)?;
    artifacts.iter().try_for_each(artifact)
}

pub(super) fn batch(batch: &Batch) -> Result<()> {
    at_most("points in one batch", batch.metrics.len(), limits::BATCH_POINTS)?;
    for (what, found) in [
        ("step changes in one batch", batch.steps.len()),
        ("parameters in one batch", batch.params.len()),
        ("tags in one batch", batch.tags.len()),
        ("tables in one batch", batch.datasets.len()),
        ("artifacts in one batch", batch.artifacts.len()),
        ("lines of log in one batch", batch.logs.len()),
        ("entries of the environment in one batch", batch.environment.len()),
    ] {
        at_most(what, found, limits::BATCH_ENTRIES)?;
    }
    // Points of one metric mostly follow each other: what was just checked is not checked again.
    let mut last = None;
    for point in &batch.metrics {
        if last != Some(point.key.as_str()) {
            label("metric key", &point.key)?;
            last = Some(point.key.as_str());
        }
        whole("the step of a metric", point.step)?;
    }
    for step in &batch.steps {
        whole("the duration of a step", step.millis.unwrap_or(0))?;
    }
    pairs("parameter", &batch.params)?;
    pairs("environment entry", &batch.environment)?;
    batch.tags.iter().try_for_each(|(key, value)| tag(key, value))?;
    for dataset in &batch.datasets {
        text("table name", &dataset.name, 4096)?;
        text("table digest", &dataset.digest, MAX_NAME_BYTES)?;
        whole("the number of rows", dataset.n_rows)?;
    }
    batch.artifacts.iter().try_for_each(artifact)?;
    batch.logs.iter().try_for_each(|line| label("log level", &line.level))
}

pub(super) fn new_version(model: &str, version: &NewVersion) -> Result<()> {
    check_model_name(model)?;
    hex("the digest of the package", &version.sha256, 64)?;
    hex("the public key", &version.signed_by, 64)?;
    whole("the size of the package", version.n_bytes)?;
    at_most("metrics of a version", version.metrics.len(), limits::BATCH_ENTRIES)
}

pub(super) fn new_key(key: &NewApiKey) -> Result<()> {
    check_name("key id", &key.id)?;
    label("key name", &key.name)?;
    if key.scopes.is_empty() {
        return Err(StoreError::invalid("the key", "it has no scope"));
    }
    Ok(())
}

pub(super) fn new_audit(entry: &NewAudit) -> Result<()> {
    label("actor", &entry.actor)?;
    label("action", &entry.action)?;
    text("subject", &entry.subject, 4096)
}

pub(super) fn monitor_config(config: &MonitorConfig) -> Result<()> {
    match config.problems().into_iter().next() {
        Some((setting, rule)) => Err(StoreError::invalid(format!("the monitor setting {setting:?}"), rule)),
        None => Ok(()),
    }
}

pub(super) fn new_alert(alert: &NewAlert) -> Result<()> {
    // A column may have any name that a table gave it.
    text("column name", &alert.column, 4096)?;
    text("message of an alert", &alert.message, 4096)?;
    whole("the report's number", alert.report_id).map(drop)
}

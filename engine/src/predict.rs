//! Batch prediction with a registered version: a table in, a table out, in batches, so that the table may be larger than
//! memory. Broken off and asked for again, it goes on where it was.

use std::path::Path;

use athanor_learn::train::StopFlag;
use athanor_protocol::table::DataSource;
use athanor_serve::batch::{BatchJob, BatchReport, predict_table, report_path};
use serde::{Deserialize, Serialize};

use crate::{
    error::{EngineError, IoContext, Result},
    files, registry,
    workspace::Workspace,
};

/// What is to be predicted.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// `NAME`, `NAME@ALIAS` or `NAME:VERSION`.
    pub reference: &'a str,
    /// The table.
    pub source: &'a DataSource,
    /// The file to write; its ending tells the format.
    pub to: &'a Path,
    /// Whether the input's columns stand in front of the predictions.
    pub keep_input: bool,
    /// The device by name.
    pub device: &'a str,
}

/// What a batch prediction did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Rows, time, and what was found in the rows.
    #[serde(flatten)]
    pub report: BatchReport,
}

/// Predicts every row of a table and writes the predictions.
///
/// # Errors
/// If the model or the table cannot be read, a column is missing or of another type, or the output cannot be written;
/// the output is then as it was.
pub fn predict_file(
    workspace: &Workspace,
    job: &Job<'_>,
    stop: &StopFlag,
    progress: &mut dyn FnMut(u64),
) -> Result<Predicted> {
    if let (Ok(from), Ok(to)) = (std::fs::canonicalize(&job.source.path), std::fs::canonicalize(job.to))
        && from == to
    {
        return Err(EngineError::Usage(format!("the output would replace the input: {}", job.to.display())));
    }
    let version = registry::resolve(workspace, job.reference)?;
    let (_, package) = registry::load(workspace, &version)?;
    let batch =
        BatchJob { package: &package, source: job.source, to: job.to, keep_input: job.keep_input, device: job.device };
    let report = predict_table(&batch, stop, progress)?;
    Ok(Predicted { model: version.model, version: version.version, report })
}

/// Writes what a batch prediction did beside its output.
///
/// # Errors
/// If it cannot be written.
pub fn write_report(predicted: &Predicted, to: &Path) -> Result<()> {
    let path = report_path(to);
    let mut text = serde_json::to_vec_pretty(predicted).map_err(std::io::Error::from).at("write", &path)?;
    text.push(b'\n');
    files::write_atomic(&path, &text)
}

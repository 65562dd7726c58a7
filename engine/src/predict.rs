//! Batch prediction: a table in, a table out, in batches, so that the table may be larger than memory.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use athanor_datasets::{Replay, TableWriter, read_batches};
use athanor_learn::{
    predictor::{Outputs, Predictor},
    train::StopFlag,
};
use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    signature::{OUTPUT_LABEL, OUTPUT_VALUE},
    table::{DataSource, DataType},
};
use serde::Serialize;

use crate::{
    error::{EngineError, Result},
    registry,
    workspace::Workspace,
};

/// Rows in one batch.
const BATCH_ROWS: usize = 8_192;

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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Predicted {
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Rows that were predicted.
    pub n_rows: u64,
    /// Columns and how many of their values were missing though training knew all of them: these were imputed, where the
    /// endpoint would have refused the row.
    pub missing: BTreeMap<String, u64>,
    /// How long it took.
    pub seconds: f64,
}

/// Predicts every row of a table and writes the predictions.
///
/// # Errors
/// If the model or the table cannot be read, a column is missing or of another type, or the output cannot be written;
/// the output is then not there.
pub fn predict_file(
    workspace: &Workspace,
    job: &Job<'_>,
    stop: &StopFlag,
    progress: &mut dyn FnMut(u64),
) -> Result<Predicted> {
    let began = Instant::now();
    let version = registry::resolve(workspace, job.reference)?;
    let (_, package) = registry::load(workspace, &version)?;
    let predictor = Predictor::from_package(&package, job.device)?;
    let replay = Replay::new(predictor.recipe())?;
    // A code column of text must not become numbers because this file happens to hold digits only.
    let inputs = &predictor.signature().inputs;
    let mut source = job.source.clone();
    let text = inputs.iter().filter(|input| input.dtype == DataType::Text).map(|input| input.name.clone());
    source.csv.text_columns.extend(text);
    if let (Ok(from), Ok(to)) = (std::fs::canonicalize(&source.path), std::fs::canonicalize(job.to))
        && from == to
    {
        return Err(EngineError::Usage(format!("the output would replace the input: {}", job.to.display())));
    }
    let mut missing: BTreeMap<String, u64> = BTreeMap::new();
    let mut writer = TableWriter::create(job.to)?;
    let mut n_rows = 0u64;
    for batch in read_batches(&source, BATCH_ROWS)? {
        if let Some(reason) = stop.reason() {
            return Err(EngineError::new(Code::Cancelled, reason));
        }
        let batch = batch?;
        for input in inputs.iter().filter(|input| !input.nullable) {
            if let Some(column) = batch.column(&input.name) {
                let n = (0..batch.n_rows()).filter(|row| column.data.is_missing(*row)).count() as u64;
                if n > 0 {
                    *missing.entry(input.name.clone()).or_default() += n;
                }
            }
        }
        let outputs = predictor.predict(&replay.apply(&batch)?)?;
        n_rows += batch.n_rows() as u64;
        writer.write(&table(job.keep_input.then_some(batch), &outputs)?)?;
        progress(n_rows);
    }
    if n_rows == 0 {
        // An empty table still has the columns that a reader expects.
        let schema = athanor_datasets::open(&source)?.head(0)?;
        let outputs = predictor.predict(&replay.apply(&schema)?)?;
        writer.write(&table(job.keep_input.then_some(schema), &outputs)?)?;
    }
    writer.finish()?;
    Ok(Predicted {
        model: version.model,
        version: version.version,
        n_rows,
        missing,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Predictions as columns: `label` and one `probability_<class>` for each class, or `value`. A name that the input has
/// already gets `predicted_` in front.
fn table(input: Option<Frame>, outputs: &Outputs) -> Result<Frame> {
    let mut columns = input.map(Frame::into_columns).unwrap_or_default();
    let mut push = |name: &str, data: ColumnData| {
        let mut name = name.to_owned();
        while columns.iter().any(|column| *column.name == *name) {
            name = format!("predicted_{name}");
        }
        columns.push(Column { name: name.into(), data });
    };
    if let Some(label) = &outputs.label {
        push(OUTPUT_LABEL, ColumnData::Text(label.iter().map(|label| Some(Arc::clone(label))).collect()));
    }
    if let Some(probabilities) = &outputs.probabilities {
        let n_classes = outputs.classes.len();
        for (at, class) in outputs.classes.iter().enumerate() {
            let values = probabilities.chunks_exact(n_classes.max(1)).map(|row| f64::from(row[at])).collect();
            push(&format!("probability_{class}"), ColumnData::Float(values));
        }
    }
    if let Some(value) = &outputs.value {
        push(OUTPUT_VALUE, ColumnData::Float(value.clone()));
    }
    Frame::new(columns).map_err(|err| EngineError::new(Code::Internal, err.to_string()))
}

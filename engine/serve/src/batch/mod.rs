//! Batch prediction: a table in, a table out, larger than memory, and broken off at any instant without harm.
//!
//! Rows are predicted in *parts* of some ten thousand rows. Each part is a whole file in a folder beside the output, and
//! stands in a journal once it is there. Who runs the same job again after a kill goes on behind the last part of the
//! journal; the output is put together from the parts in the end, so its bytes are those of an unbroken run.
//!
//! The endpoint has no use for this module: it is for programs that were told which table to read.

mod journal;
mod output;
mod report;

use std::{path::Path, sync::Arc, time::Instant};

use athanor_datasets::{Replay, read_batches};
use athanor_learn::{
    package::Package,
    predictor::{Outputs, Predictor},
    train::StopFlag,
};
use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
    signature::{OUTPUT_LABEL, OUTPUT_VALUE},
    table::{DataSource, DataType},
};

pub use self::report::{BatchReport, report_path};
use self::{
    journal::{Journal, PartRecord},
    output::PartWriter,
    report::Watch,
};

/// Rows that are predicted at once.
const BATCH_ROWS: usize = 8_192;
/// Rows of a part: some seconds of work, so that little is lost with a kill and little is written for nothing.
const PART_ROWS: u64 = 8 * BATCH_ROWS as u64;

/// What is to be predicted.
#[derive(Debug, Clone, Copy)]
pub struct BatchJob<'a> {
    /// The model. Whether its signer is trusted is the caller's to check.
    pub package: &'a Package,
    /// The table.
    pub source: &'a DataSource,
    /// The file to write, `.csv` or `.parquet`.
    pub to: &'a Path,
    /// Whether the input's columns stand in front of the predictions.
    pub keep_input: bool,
    /// The device by name.
    pub device: &'a str,
}

/// Predicts every row of a table and writes the predictions. `progress` is told how many rows are done.
///
/// # Errors
/// If the model or the table cannot be read, a column is missing or of another type, or the output cannot be written;
/// the output is then as it was. What is done stays beside it where going on later makes sense: after a stop, on a full
/// disk, and where something outside was not there. `Conflict` where another process writes the same output now.
pub fn predict_table(
    job: &BatchJob<'_>,
    stop: &StopFlag,
    progress: &mut dyn FnMut(u64),
) -> Result<BatchReport, Failure> {
    let began = Instant::now();
    let format = output::format_of(job.to)?;
    let predictor = Predictor::from_package(job.package, job.device)?;
    let replay = Replay::new(predictor.recipe())?;
    // A code column of text must not become numbers because this file happens to hold digits only.
    let inputs = &predictor.signature().inputs;
    let mut source = job.source.clone();
    let text = inputs.iter().filter(|input| input.dtype == DataType::Text).map(|input| input.name.clone());
    source.csv.text_columns.extend(text);
    if let (Ok(from), Ok(to)) = (std::fs::canonicalize(&source.path), std::fs::canonicalize(job.to))
        && from == to
    {
        let message = format!("the output would replace the input: {}", job.to.display());
        return Err(Failure::new(Code::InvalidArgument, message).hint("name another file"));
    }
    let mut journal = Journal::open(job.to, format, &journal::Fingerprint::of(job, &source)?)?;
    let mut work = Work {
        job,
        predictor: &predictor,
        replay: &replay,
        watch: Watch::new(job.package, inputs)?,
        n_rows: 0,
        n_resumed: journal.n_rows(),
    };
    match work.run(&source, &mut journal, stop, progress) {
        Ok(()) => {
            let mut report = work.watch.report(journal.records());
            report.n_rows = work.n_rows;
            report.n_resumed = work.n_resumed;
            journal.remove();
            report.seconds = began.elapsed().as_secs_f64();
            Ok(report)
        }
        Err(failure) => {
            let is_passing = matches!(
                failure.code,
                Code::Cancelled | Code::DiskFull | Code::OutOfMemory | Code::DeviceLost | Code::Unavailable
            );
            if !is_passing {
                journal.remove();
            }
            Err(failure)
        }
    }
}

/// A job under way.
struct Work<'a> {
    job: &'a BatchJob<'a>,
    predictor: &'a Predictor,
    replay: &'a Replay,
    watch: Watch,
    n_rows: u64,
    n_resumed: u64,
}

impl Work<'_> {
    fn run(
        &mut self,
        source: &DataSource,
        journal: &mut Journal,
        stop: &StopFlag,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut part: Option<(PartWriter, PartRecord)> = None;
        for batch in read_batches(source, BATCH_ROWS)? {
            if let Some(reason) = stop.reason() {
                let hint = "ask for the same again: it goes on behind the rows that are done";
                return Err(Failure::new(Code::Cancelled, reason).hint(hint));
            }
            let batch = batch?;
            let n_batch = batch.n_rows() as u64;
            self.n_rows += n_batch;
            if self.n_rows <= self.n_resumed {
                continue;
            }
            if self.n_rows - n_batch < self.n_resumed {
                // The same file in the same batches ends where it ended then.
                return Err(Failure::new(Code::Conflict, format!("the table has changed: {}", source.path))
                    .on(source.path.clone())
                    .hint("run it again; it begins anew"));
            }
            let (writer, record) = match &mut part {
                Some(part) => part,
                None => part.insert((PartWriter::create(journal)?, PartRecord::default())),
            };
            self.watch.look(&batch, record);
            let outputs = self.predictor.predict(&self.replay.apply(&batch)?)?;
            record.n_rows += n_batch;
            writer.write(journal, &table(self.job.keep_input.then_some(batch), &outputs)?)?;
            if record.n_rows >= PART_ROWS
                && let Some((writer, record)) = part.take()
            {
                journal.add(writer.finish()?, record)?;
            }
            progress(self.n_rows);
        }
        if let Some((writer, record)) = part.take() {
            journal.add(writer.finish()?, record)?;
        }
        if self.n_rows == 0 {
            // An empty table still has the columns that a reader expects.
            let schema = athanor_datasets::open(source)?.head(0)?;
            let outputs = self.predictor.predict(&self.replay.apply(&schema)?)?;
            let mut writer = PartWriter::create(journal)?;
            writer.write(journal, &table(self.job.keep_input.then_some(schema), &outputs)?)?;
            journal.add(writer.finish()?, PartRecord::default())?;
        }
        output::assemble(journal, self.job.to)
    }
}

/// Predictions as columns: `label` and one `probability_<class>` for each class, or `value`. A name that the input has
/// already gets `predicted_` in front.
fn table(input: Option<Frame>, outputs: &Outputs) -> Result<Frame, Failure> {
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
        let n_classes = outputs.classes.len().max(1);
        for (at, class) in outputs.classes.iter().enumerate() {
            let values = probabilities.iter().skip(at).step_by(n_classes).map(|value| f64::from(*value)).collect();
            push(&format!("probability_{class}"), ColumnData::Float(values));
        }
    }
    if let Some(value) = &outputs.value {
        push(OUTPUT_VALUE, ColumnData::Float(value.clone()));
    }
    Frame::new(columns).map_err(|err| Failure::new(Code::Internal, err.to_string()))
}

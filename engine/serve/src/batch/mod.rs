//! Batch prediction: a table in, a table out, larger than memory, and broken off at any instant without harm.
//!
//! The table comes in blocks. Every processor takes whole blocks: reads their values, predicts, and makes what is to be
//! written of them; this thread hands the blocks out and writes what comes back, in order. So the output does not depend
//! on how many there are.
//!
//! Rows of some blocks are a *part*, which stands in a journal once it is on the disk. Who runs the same job again after
//! a kill goes on behind the last part of the journal; the output's bytes are those of an unbroken run.
//!
//! The endpoint has no use for this module: it is for programs that were told which table to read.

mod journal;
mod output;
mod report;
mod threads;

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Instant};

use athanor_datasets::{Block, Blocks, Replay, Types, read_blocks};
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
    output::{Format, Output, Rows},
    report::Watch,
};

/// Rows of a part, at least, where the table goes on: little is lost with a kill and little is written for nothing.
const PART_ROWS: u64 = 65_536;

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

/// How far a batch prediction is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchProgress {
    /// Rows that are predicted, with those of a broken run.
    pub n_rows: u64,
    /// How much of the table that is, from 0 to 1, where it is known: rows of a text table are not counted beforehand.
    pub share: Option<f64>,
}

/// Rows that are kept beside an output whose prediction was broken off, and with which the same one goes on.
pub fn kept_rows(to: &Path) -> u64 {
    journal::kept_rows(to)
}

/// Predicts every row of a table and writes the predictions. `progress` is told how far it is.
///
/// # Errors
/// If the model or the table cannot be read, a column is missing or of another type, or the output cannot be written;
/// the output is then as it was. What is done stays beside it where going on later makes sense: after a stop, on a full
/// disk, and where something outside was not there. `Conflict` where another process writes the same output now.
pub fn predict_table(
    job: &BatchJob<'_>,
    stop: &StopFlag,
    progress: &mut dyn FnMut(BatchProgress),
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
    let mut work = Work {
        job,
        format,
        predictor: &predictor,
        replay: &replay,
        watch: Watch::new(job.package, inputs)?,
        n_rows: 0,
    };
    let state = journal::FileState::of(&source)?;
    // The columns of all rows, and whether the table has those that the model needs.
    let like = work.predicted(athanor_datasets::open(&source)?.head(0)?)?;
    let mut types = Types::FromSample;
    loop {
        let mut blocks = work.blocks(&source, types, stop)?;
        if types == Types::FromSample && journal::types_before(job.to).is_some_and(|before| before != *blocks.schema())
        {
            // A broken run may have found out already that the sample did not tell all.
            types = Types::Settled;
            blocks = work.blocks(&source, types, stop)?;
        }
        let fingerprint = journal::Fingerprint::of(job, &source, state, blocks.schema());
        let mut journal = Journal::open(job.to, format, &fingerprint)?;
        let n_resumed = journal.n_rows();
        match work.run(blocks, &like, &mut journal, stop, progress) {
            Ok(true) => {
                let mut report = work.watch.report(journal.records());
                report.n_rows = work.n_rows;
                report.n_resumed = n_resumed;
                journal.remove();
                report.seconds = began.elapsed().as_secs_f64();
                return Ok(report);
            }
            Ok(false) if types == Types::FromSample => {
                // Rows that are done may have had other types.
                journal.remove();
                types = Types::Settled;
            }
            Ok(false) => {
                journal.remove();
                return Err(Failure::new(Code::Conflict, format!("the table has changed: {}", source.path))
                    .on(source.path.clone())
                    .hint("run it again"));
            }
            Err(failure) => {
                let is_passing = matches!(
                    failure.code,
                    Code::Cancelled | Code::DiskFull | Code::OutOfMemory | Code::DeviceLost | Code::Unavailable
                );
                if !is_passing {
                    journal.remove();
                }
                return Err(match failure.code {
                    Code::DiskFull => failure
                        .on(job.to.display().to_string())
                        .hint("make room and ask for the same again: it goes on behind the rows that are done"),
                    _ => failure,
                });
            }
        }
    }
}

/// A job under way.
struct Work<'a> {
    job: &'a BatchJob<'a>,
    format: Format,
    predictor: &'a Predictor,
    replay: &'a Replay,
    watch: Watch,
    n_rows: u64,
}

/// What became of a block.
struct Done {
    rows: Rows,
    n_rows: u64,
    share: Option<f64>,
    /// What is told of its rows.
    record: PartRecord,
}

impl Work<'_> {
    fn blocks(&self, source: &DataSource, types: Types, stop: &StopFlag) -> Result<Blocks, Failure> {
        let needed: BTreeSet<&str> =
            self.watch.columns().chain(self.replay.input().columns.iter().map(|column| column.name.as_str())).collect();
        let columns = (!self.job.keep_input).then_some(&needed);
        let blocks = read_blocks(source, columns, types, &|| stop.reason().is_some());
        // Why it was stopped is known here alone.
        check(stop)?;
        Ok(blocks?)
    }

    /// Rows with their predictions, or these alone.
    fn predicted(&self, rows: Frame) -> Result<Frame, Failure> {
        let outputs = self.predictor.predict(&self.replay.apply(&rows)?)?;
        table(self.job.keep_input.then_some(rows), &outputs)
    }

    /// A block's predictions; `None` where a value does not fit the types that the table has so far.
    fn block(&self, block: Block) -> Result<Option<Done>, Failure> {
        let share = block.share();
        let Some(rows) = block.decode()? else { return Ok(None) };
        let n_rows = rows.n_rows() as u64;
        let mut record = PartRecord::default();
        self.watch.look(&rows, &mut record);
        // A block of blank lines has no rows to ask for.
        let rows = if n_rows == 0 { Frame::default() } else { self.predicted(rows)? };
        Ok(Some(Done { rows: Rows::of(rows, self.format), n_rows, share, record }))
    }

    /// Predicts what the journal lacks. `false` where a value does not fit the types that the table has so far.
    fn run(
        &mut self,
        mut blocks: Blocks,
        like: &Frame,
        journal: &mut Journal,
        stop: &StopFlag,
        progress: &mut dyn FnMut(BatchProgress),
    ) -> Result<bool, Failure> {
        let mut output = Output::open(journal, like)?;
        let mut part = PartRecord::default();
        let mut n_rows = journal.n_rows();
        for _ in 0..journal.n_blocks() {
            // The same file in the same blocks.
            check(stop)?;
            blocks.next().transpose()?;
        }
        let fits = threads::in_order(
            || {
                check(stop)?;
                Ok(blocks.next().transpose()?)
            },
            |block| self.block(block),
            |done| {
                let Some(done) = done else { return Ok(false) };
                if done.n_rows > 0 {
                    output.write(journal, &done.rows)?;
                }
                part.add(&done.record);
                part.n_rows += done.n_rows;
                part.n_blocks += 1;
                n_rows += done.n_rows;
                if part.n_rows >= PART_ROWS {
                    output.end_part(journal, std::mem::take(&mut part))?;
                }
                progress(BatchProgress { n_rows, share: done.share });
                Ok(true)
            },
        )?;
        if !fits {
            return Ok(false);
        }
        if n_rows == 0 {
            // An empty table still has the columns that a reader expects.
            output.write(journal, &Rows::of(like.clone(), self.format))?;
        }
        if part.n_blocks > 0 || n_rows == 0 {
            output.end_part(journal, part)?;
        }
        output.finish(journal, self.job.to)?;
        self.n_rows = n_rows;
        Ok(true)
    }
}

/// Fails once somebody has asked for an end.
fn check(stop: &StopFlag) -> Result<(), Failure> {
    let Some(reason) = stop.reason() else { return Ok(()) };
    Err(Failure::new(Code::Cancelled, reason).hint("ask for the same again: it goes on behind the rows that are done"))
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

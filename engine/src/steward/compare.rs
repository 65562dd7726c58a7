//! Two versions on the same rows: are they different, and which is better?

use std::path::Path;

use athanor_datasets::{PreparedTable, Replay, read_batches};
use athanor_learn::{
    encode::FittedEncoder,
    metrics::{
        paired::{self, MAX_ROWS, N_RESAMPLES, Tested},
        scorer::Scorer,
    },
    model::Predictions,
    package::Package,
    predictor::{Outputs, Predictor},
    samples::Targets,
    train::StopFlag,
};
use athanor_protocol::{
    Code, Failure,
    card::{Comparison, Difference, PairedTest, Verdict},
    columns::{Column, Frame},
    metric::metric_info,
    package::PartName,
    registry::ModelVersion,
    table::{DataSource, DataType},
};

use super::{origin::Origin, words};
use crate::{
    error::{EngineError, Result},
    registry::{load, resolve},
    worker::nodes::split::Part,
    workspace::Workspace,
};

/// A comparison says the same each time.
const SEED: u64 = 0;
const BATCH_ROWS: usize = 8_192;

/// What is compared on which rows.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `NAME`, `NAME@ALIAS` or `NAME:VERSION`.
    pub first: &'a str,
    /// The other one.
    pub second: &'a str,
    /// A table with the target; `None` takes the test rows of the newer version's run.
    pub table: Option<&'a DataSource>,
}

/// A version that is ready to answer.
struct Side {
    name: String,
    version: ModelVersion,
    package: Package,
    predictor: Predictor,
    encoder: FittedEncoder,
}

impl Side {
    fn new(workspace: &Workspace, reference: &str) -> Result<Self> {
        let version = resolve(workspace, reference)?;
        let (_, package) = load(workspace, &version)?;
        let predictor = Predictor::from_package(&package, "cpu")?;
        let encoder = FittedEncoder::from_json(package.part(PartName::Encoder).unwrap_or_default())?;
        let name = format!("{}:{}", version.model, version.version);
        Ok(Self { name, version, package, predictor, encoder })
    }
}

/// Compares two versions. `progress` is told units done and in all.
///
/// # Errors
/// If the versions predict different things, the rows cannot be found, read or used, or somebody stops it.
pub fn compare(
    workspace: &Workspace,
    asked: Asked<'_>,
    stop: &StopFlag,
    progress: &mut dyn FnMut(u64, u64, &str),
) -> Result<Comparison> {
    let (first, second) = (Side::new(workspace, asked.first)?, Side::new(workspace, asked.second)?);
    let (a, b) = (first.predictor.signature(), second.predictor.signature());
    if first.version.sha256 == second.version.sha256 {
        return Err(refuse(&first, &second, "are the same package", "name two versions that differ"));
    }
    if a.task != b.task || a.target != b.target || a.classes != b.classes {
        let what = "do not predict the same: their targets or classes differ";
        return Err(refuse(&first, &second, what, "only versions with the same target and classes can be compared"));
    }
    let mut rows = Rows::new(a.classes.len());
    let mut notes = vec![];
    let table = match asked.table {
        Some(source) => {
            read_table(source, &first, &second, stop, progress, &mut rows)?;
            Path::new(&source.path).file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
        None => test_rows(workspace, &first, &second, &mut rows, &mut notes)?,
    };
    if rows.n_rows == 0 {
        let failure = Failure::new(Code::BadData, format!("there are no rows with a value of {:?}", a.target));
        return Err(failure.hint("give a table that holds the target: --table FILE").into());
    }
    if rows.n_without_target > 0 {
        notes.push(format!("{} rows have no target, or a class that the models do not know", rows.n_without_target));
    }
    let (n_all, task) = (rows.n_rows as u64, a.task);
    let (scored_first, scored_second) = rows.scorers()?;
    if scored_first.n_rows() < n_all as usize {
        notes.push(format!("{} of {n_all} rows, evenly chosen, are compared", scored_first.n_rows()));
    }
    let mut done = 0u64;
    let mut go_on = || {
        done += 1;
        if done.is_multiple_of(50) {
            progress(done, u64::from(N_RESAMPLES), "resamples");
        }
        stop.reason().is_none()
    };
    let found = paired::paired_bootstrap(&scored_first, &scored_second, SEED, N_RESAMPLES, &mut go_on)?;
    let Some(found) = found else {
        return Err(EngineError::new(Code::Cancelled, stop.reason().unwrap_or("stopped")));
    };
    let metrics: Vec<Difference> =
        scored_first.keys().iter().zip(found).filter_map(|(key, pair)| difference(key, &pair)).collect();
    let main_key = if task.is_classification() { "accuracy" } else { "rmse" };
    let main = metrics.iter().find(|metric| metric.key == main_key);
    let verdict = main.map_or(Verdict::Unclear, |main| main.verdict);
    Ok(Comparison {
        words: words(&second.name, main, scored_first.n_rows() as u64),
        test: test(&scored_first, &scored_second, &first.name, &second.name),
        first: first.name,
        second: second.name,
        table,
        task,
        n_rows: scored_first.n_rows() as u64,
        n_resamples: N_RESAMPLES,
        seed: SEED,
        verdict,
        metrics,
        notes,
    })
}

fn refuse(first: &Side, second: &Side, what: &str, hint: &str) -> EngineError {
    let failure = Failure::new(Code::InvalidArgument, format!("{} and {} {what}", first.name, second.name));
    failure.on(second.name.clone()).hint(hint).into()
}

/// `None` where the metric is not defined on these rows.
fn difference(key: &str, pair: &paired::Paired) -> Option<Difference> {
    let interval = pair.difference.interval?;
    let is_higher_better = metric_info(key).and_then(|info| info.higher_is_better)?;
    let all_defined = pair.first.is_finite() && pair.second.is_finite();
    let verdict = match (interval[0] > 0.0, interval[1] < 0.0) {
        (true, _) if is_higher_better => Verdict::Better,
        (_, true) if !is_higher_better => Verdict::Better,
        (true, _) | (_, true) => Verdict::Worse,
        _ => Verdict::Unclear,
    };
    let (first, second, difference) = (pair.first, pair.second, pair.difference.value);
    all_defined.then(|| Difference { key: key.to_owned(), first, second, difference, interval, verdict })
}

fn test(first: &Scorer, second: &Scorer, first_name: &str, second_name: &str) -> Option<PairedTest> {
    let tested: Tested = match (first.right(), second.right()) {
        (Some(a), Some(b)) => {
            let only = |x: &[bool], y: &[bool]| x.iter().zip(y).filter(|(x, y)| **x && !**y).count() as u64;
            paired::mcnemar(only(&a, &b), only(&b, &a))
        }
        _ => {
            let (a, b) = (first.absolute_errors()?, second.absolute_errors()?);
            paired::nearer(&a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<f64>>())
        }
    };
    let [for_first, for_second] = tested.counts;
    let what = if first.right().is_some() { "right alone" } else { "nearer to the truth" };
    let counted = format!("{first_name} is {what} on {for_first} rows, {second_name} on {for_second}");
    Some(PairedTest { name: tested.name.to_owned(), counted, p_value: tested.p_value })
}

/// What both said of the rows so far, and what was true.
struct Rows {
    n_rows: usize,
    n_without_target: u64,
    n_classes: usize,
    labels: Vec<u32>,
    values: Vec<f64>,
    probabilities: [Vec<f32>; 2],
    predicted: [Vec<f64>; 2],
}

impl Rows {
    fn new(n_classes: usize) -> Self {
        let (probabilities, predicted) = (Default::default(), Default::default());
        Self { n_rows: 0, n_without_target: 0, n_classes, labels: vec![], values: vec![], probabilities, predicted }
    }

    fn push(&mut self, target: &Column, side: &Side, outputs: [&Outputs; 2]) {
        for row in 0..target.data.len() {
            let label = || {
                // An infinite number is no class; everything else is named as the encoder names it.
                let text = target.data.label(row).filter(|text| !matches!(&**text, "inf" | "-inf"))?;
                side.encoder.classes()?.iter().position(|class| *class == text)
            };
            if self.n_classes > 0 {
                let Some(label) = label() else {
                    self.n_without_target += 1;
                    continue;
                };
                self.labels.push(label as u32);
                let (begin, end) = (row * self.n_classes, (row + 1) * self.n_classes);
                for (into, outputs) in self.probabilities.iter_mut().zip(outputs) {
                    into.extend_from_slice(
                        outputs.probabilities.as_deref().and_then(|p| p.get(begin..end)).unwrap_or(&[]),
                    );
                }
            } else {
                let value = target.data.number(row);
                if !value.is_finite() {
                    self.n_without_target += 1;
                    continue;
                }
                self.values.push(value);
                for (into, outputs) in self.predicted.iter_mut().zip(outputs) {
                    into.extend(outputs.value.as_deref().and_then(|values| values.get(row)));
                }
            }
            self.n_rows += 1;
        }
    }

    /// At most [`MAX_ROWS`] rows, evenly chosen.
    fn scorers(self) -> Result<(Scorer, Scorer)> {
        let kept = athanor_learn::explain::even_rows(self.n_rows, MAX_ROWS);
        let n = self.n_classes;
        let cut = |at: usize| Predictions {
            n_rows: kept.len(),
            probabilities: kept
                .iter()
                .flat_map(|row| self.probabilities[at].get(row * n..(row + 1) * n).unwrap_or(&[]))
                .copied()
                .collect(),
            values: kept.iter().filter_map(|row| self.predicted[at].get(*row)).copied().collect(),
        };
        let targets = match n {
            0 => Targets::Number(kept.iter().filter_map(|row| self.values.get(*row)).copied().collect()),
            n_classes => {
                let labels = kept.iter().filter_map(|row| self.labels.get(*row)).copied().collect();
                Targets::Class { labels, n_classes }
            }
        };
        Ok((Scorer::new(&cut(0), &targets)?, Scorer::new(&cut(1), &targets)?))
    }
}

fn target_of<'a>(frame: &'a Frame, side: &Side, table: &str) -> Result<&'a Column> {
    let target = &side.predictor.signature().target;
    frame.column(target).ok_or_else(|| {
        let failure = Failure::new(Code::BadData, format!("{table} has no column {target:?} to compare with"));
        EngineError::Failure(failure.on(target.clone()).hint("give a table that holds the target"))
    })
}

/// A table of raw rows: each version prepares them by its own recipe.
fn read_table(
    source: &DataSource,
    first: &Side,
    second: &Side,
    stop: &StopFlag,
    progress: &mut dyn FnMut(u64, u64, &str),
    rows: &mut Rows,
) -> Result<()> {
    let mut source = source.clone();
    for side in [first, second] {
        let inputs = side.predictor.signature().inputs.iter();
        source.csv.text_columns.extend(inputs.filter(|i| i.dtype == DataType::Text).map(|i| i.name.clone()));
    }
    let replays = [Replay::new(first.predictor.recipe())?, Replay::new(second.predictor.recipe())?];
    let mut done = 0u64;
    for batch in read_batches(&source, BATCH_ROWS)? {
        if let Some(reason) = stop.reason() {
            return Err(EngineError::new(Code::Cancelled, reason));
        }
        let batch = batch?;
        let target = target_of(&batch, first, &source.path)?;
        let a = first.predictor.predict(&replays[0].apply(&batch)?)?;
        let b = second.predictor.predict(&replays[1].apply(&batch)?)?;
        rows.push(target, first, [&a, &b]);
        done += batch.n_rows() as u64;
        progress(done, 0, "rows predicted");
    }
    Ok(())
}

/// The test rows of the newer version's run. They are prepared already, so both must prepare rows alike.
fn test_rows(
    workspace: &Workspace,
    first: &Side,
    second: &Side,
    rows: &mut Rows,
    notes: &mut Vec<String>,
) -> Result<String> {
    let (newer, older) = if first.version.created_at_millis > second.version.created_at_millis {
        (first, second)
    } else {
        (second, first)
    };
    let cannot = |why: String| {
        EngineError::Failure(
            Failure::new(Code::NotFound, why).on(newer.name.clone()).hint("give the rows yourself: --table FILE"),
        )
    };
    let origin = Origin::of(workspace, &newer.version, &newer.package);
    let key = origin.as_ref().and_then(Origin::split).map(|split| split.key.clone());
    let folder =
        key.as_ref().filter(|key| workspace.cache.has(key)).map(|key| workspace.cache.folder(key)).transpose()?;
    let Some(folder) = folder else {
        return Err(cannot(format!("the test rows of {} are not in this workspace any more", newer.name)));
    };
    if first.predictor.recipe() != second.predictor.recipe() {
        let why = format!(
            "{} and {} prepare rows in different ways, so test rows of one do not fit both",
            first.name, second.name
        );
        return Err(cannot(why));
    }
    let frame = PreparedTable::read(&folder.join(Part::Test.file()))?.frame(&[])?;
    let (a, b) = (first.predictor.predict(&frame)?, second.predictor.predict(&frame)?);
    rows.push(target_of(&frame, newer, "the test table")?, newer, [&a, &b]);
    let other = Origin::of(workspace, &older.version, &older.package);
    if other.as_ref().and_then(Origin::split).map(|split| &split.key) != key.as_ref() {
        notes.push(format!(
            "{} was trained on another split: it may have learned from some of these rows, which flatters it",
            older.name
        ));
    }
    Ok(format!("test rows of {}", newer.name))
}

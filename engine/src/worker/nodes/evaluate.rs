//! Evaluating: the packed model, as serving would use it, judged on the test rows.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use athanor_learn::{
    encode::{FittedEncoder, Labelled},
    explain::{self, ImportanceOptions},
    metrics,
    model::{Predictions, TrainedModel},
    package::Package,
    samples::Targets,
};
use athanor_protocol::{
    Code, Failure,
    api::{Importance, WorstRow},
    columns::Frame,
    job::WorkerEventBody,
    metric::{MetricPoint, Split},
    package::PartName,
    run::Artifact,
    signature::Task,
};
use serde::{Deserialize, Serialize};

use super::{StepContext, at_node, judged::JudgedRows, split, write_json};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    flow::{
        cache::{Outcome, OutcomeFile},
        plan::metric_prefix,
    },
    ids::{Clock, System},
    worker::PACKAGE_FILE as PACKAGE,
};

/// The report's file in an evaluation's folder.
const REPORT: &str = "report.json";
/// The judged rows, beside it.
const ROWS: &str = "rows.json";

/// How the importance of columns is found. The seed is fixed: the same model and rows give the same report, whatever seed
/// the run has.
const IMPORTANCE: ImportanceOptions = ImportanceOptions { seed: 0, n_repeats: 3, max_rows: 2_000, max_columns: 200 };
/// Columns that are not done by then are left out: judging must not take longer than learning.
const IMPORTANCE_TIME: Duration = Duration::from_secs(10);
/// How often it tells how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Most rows that are shown because the model gets them wrong.
const MAX_WORST: usize = 50;
/// Most columns that are shown of such a row.
const MAX_VALUES: usize = 12;
/// Most pairs of true and predicted value.
const MAX_PAIRS: usize = 1_000;

/// What a report port carries. Version 1; the last three came later and may be missing. It must be readable as
/// [`ReportView`](athanor_protocol::api::ReportView).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) version: u32,
    pub(crate) target: String,
    pub(crate) task: Task,
    pub(crate) classes: Vec<String>,
    pub(crate) n_rows: usize,
    pub(crate) evaluation: metrics::Evaluation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) importance: Vec<Importance>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) worst: Vec<WorstRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pairs: Vec<[f64; 2]>,
}

pub(super) fn run(ctx: &StepContext<'_>) -> Result<Outcome> {
    let node = ctx.step.node.as_str();
    let path = ctx.input("model")?.join(PACKAGE);
    let bytes = files::read_limited(&path, athanor_learn::package::MAX_PACKAGE_BYTES)?;
    let package = Package::read(bytes).map_err(at_node(node))?;
    let part = |part| package.part(part).unwrap_or_default();
    let encoder = FittedEncoder::from_json(part(PartName::Encoder)).map_err(at_node(node))?;
    let model = TrainedModel::from_parts(part(PartName::Model), package.part(PartName::Weights), &ctx.job.device);
    let model = model.map_err(at_node(node))?;
    let frame = split::read_part(&ctx.input("splits")?, split::Part::Test)?.frame(&[])?;
    if frame.n_rows() == 0 {
        let failure =
            Failure::new(Code::BadData, format!("node {node:?}: there are no test rows to judge the model on"));
        return Err(EngineError::Failure(failure.on(node).hint("set the split's 'test' above 0")));
    }
    let rows = encoder.encode_labelled(&frame).map_err(at_node(node))?;
    let predictions = model.predict(&rows.samples).map_err(at_node(node))?;
    let signature = &package.manifest().signature;
    let evaluation =
        metrics::evaluate(encoder.task(), encoder.classes().unwrap_or_default(), &predictions, &rows.targets);
    let evaluation = evaluation.map_err(at_node(node))?;
    let at_millis = System.now_millis();
    let points: Vec<MetricPoint> = evaluation
        .metrics
        .iter()
        .map(|(key, value)| MetricPoint { key: key.clone(), split: Split::Test, step: 0, at_millis, value: *value })
        .collect();
    let mut notes = rows.notes.clone();
    let importance = importance(ctx, &encoder, &model, &rows, &mut notes)?;
    let report = Report {
        version: 1,
        target: signature.target.clone(),
        task: signature.task,
        classes: signature.classes.clone(),
        n_rows: rows.samples.n_rows,
        evaluation,
        worst: worst(&encoder, &frame, &rows, &predictions, &importance),
        pairs: pairs(&predictions, &rows.targets),
        importance,
    };
    let path = ctx.out.join(REPORT);
    write_json(&path, &report)?;
    let (digest, n_bytes) = files::digest_file(&path)?;
    let artifact = Artifact { name: REPORT.to_owned(), kind: "report".to_owned(), digest, n_bytes };
    let mut kept = vec![OutcomeFile { file: REPORT.to_owned(), artifact }];
    if let Some(judged) = JudgedRows::new(&frame, &signature.target, &rows.rows, &predictions, &rows.targets) {
        let path = ctx.out.join(ROWS);
        // Many short rows: without spaces it is a third of the size.
        let bytes = serde_json::to_vec(&judged).map_err(std::io::Error::from).at("write", &path)?;
        files::write_atomic(&path, &bytes)?;
        let (digest, n_bytes) = files::digest_file(&path)?;
        let artifact = Artifact { name: ROWS.to_owned(), kind: "judged_rows".to_owned(), digest, n_bytes };
        kept.push(OutcomeFile { file: ROWS.to_owned(), artifact });
    }
    let prefix = metric_prefix(&ctx.job.steps, ctx.step);
    ctx.reporter
        .metrics(points.iter().map(|point| MetricPoint { key: format!("{prefix}{}", point.key), ..point.clone() }));
    Ok(Outcome { metrics: points, files: kept, notes, ..Outcome::default() })
}

/// How much each column that goes into the encoder matters, in bounded time.
fn importance(
    ctx: &StepContext<'_>,
    encoder: &FittedEncoder,
    model: &TrainedModel,
    rows: &Labelled,
    notes: &mut Vec<String>,
) -> Result<Vec<Importance>> {
    let n_columns = encoder.feature_spans().len();
    let total = n_columns.min(IMPORTANCE.max_columns) as u64 * u64::from(IMPORTANCE.n_repeats);
    let began = Instant::now();
    let (n_done, told) = (Cell::new(0u64), Cell::new(Duration::ZERO));
    let go_on = || {
        let elapsed = began.elapsed();
        if elapsed >= told.get() + PROGRESS_EVERY {
            told.set(elapsed);
            ctx.reporter.send(WorkerEventBody::StepProgress {
                node: ctx.step.node.clone(),
                done: n_done.get(),
                total,
                note: "importance of the columns".to_owned(),
            });
        }
        n_done.set(n_done.get() + 1);
        elapsed < IMPORTANCE_TIME && ctx.stop.reason().is_none()
    };
    let found =
        explain::importance(encoder, model, rows, &IMPORTANCE, &go_on).map_err(at_node(ctx.step.node.as_str()))?;
    if let Some(reason) = ctx.stop.reason() {
        return Err(EngineError::new(Code::Cancelled, reason));
    }
    if !found.is_empty() && found.len() < n_columns {
        notes.push(format!("the importance of {} of {n_columns} columns was found", found.len()));
    }
    Ok(found)
}

/// The rows that the model gets most wrong, with the columns that matter most.
fn worst(
    encoder: &FittedEncoder,
    frame: &Frame,
    rows: &Labelled,
    predictions: &Predictions,
    importance: &[Importance],
) -> Vec<WorstRow> {
    let inputs = encoder.input_columns();
    let mut columns: Vec<&str> = importance.iter().map(|one| one.column.as_str()).collect();
    let rest = inputs.iter().map(|column| column.name.as_str()).filter(|name| !columns.contains(name));
    let rest: Vec<&str> = rest.collect();
    columns.extend(rest);
    columns.truncate(MAX_VALUES);
    let value = |name: &&str, row: usize| {
        let text = frame.column(name).and_then(|column| athanor_datasets::cell_text(&column.data, row));
        ((*name).to_owned(), text)
    };
    let row = |(at, loss): (usize, f64)| {
        let row = rows.rows.get(at).copied()?;
        let (truth, predicted) = said(encoder, &rows.targets, predictions, at)?;
        let values = columns.iter().map(|name| value(name, row)).collect();
        Some(WorstRow { row: row as u64, truth, predicted, loss, values })
    };
    explain::worst_rows(predictions, &rows.targets, MAX_WORST).into_iter().filter_map(row).collect()
}

/// What was true of a row, and what the model said.
fn said(encoder: &FittedEncoder, targets: &Targets, predictions: &Predictions, at: usize) -> Option<(String, String)> {
    match targets {
        Targets::Class { labels, n_classes } => {
            let class = |class: usize| encoder.classes()?.get(class).map(|class| class.to_string());
            let begin = at.checked_mul(*n_classes)?;
            let row = predictions.probabilities.get(begin..begin + n_classes)?;
            Some((class(*labels.get(at)? as usize)?, class(metrics::predicted_class(row))?))
        }
        Targets::Number(values) => Some((values.get(at)?.to_string(), predictions.values.get(at)?.to_string())),
    }
}

/// True and predicted value of rows that are evenly chosen; none for classes.
fn pairs(predictions: &Predictions, targets: &Targets) -> Vec<[f64; 2]> {
    let Targets::Number(values) = targets else { return vec![] };
    let pair = |row: usize| Some([*values.get(row)?, *predictions.values.get(row)?]);
    let pairs = explain::even_rows(values.len(), MAX_PAIRS).into_iter().filter_map(pair);
    // JSON knows no other numbers.
    pairs.filter(|pair| pair.iter().all(|value| value.is_finite())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_learn::{
        encode::{EncodeOptions, TaskChoice},
        model::ConstantModel,
    };
    use athanor_protocol::{
        api::ReportView,
        columns::{Column, ColumnData},
    };

    use super::*;

    fn frame(columns: Vec<(&str, ColumnData)>) -> Frame {
        Frame::new(columns.into_iter().map(|(name, data)| Column { name: name.into(), data }).collect()).unwrap()
    }

    /// A report of the model that always says the training shares or mean.
    fn report(frame: &Frame, choice: TaskChoice, task: Task) -> Report {
        let (encoder, _) = FittedEncoder::fit(frame, "y", &[], choice, EncodeOptions::default()).unwrap();
        let rows = encoder.encode_labelled(frame).unwrap();
        let model = ConstantModel::fit(encoder.n_features(), &rows.targets).unwrap();
        let model = TrainedModel::Constant(model);
        let predictions = model.predict(&rows.samples).unwrap();
        let classes = encoder.classes().unwrap_or_default();
        let importance = explain::importance(&encoder, &model, &rows, &IMPORTANCE, &|| true).unwrap();
        Report {
            version: 1,
            target: "y".to_owned(),
            task,
            classes: classes.iter().map(|class| class.to_string()).collect(),
            n_rows: rows.samples.n_rows,
            evaluation: metrics::evaluate(encoder.task(), classes, &predictions, &rows.targets).unwrap(),
            worst: worst(&encoder, frame, &rows, &predictions, &importance),
            pairs: pairs(&predictions, &rows.targets),
            importance,
        }
    }

    fn view(report: &Report) -> ReportView {
        serde_json::from_str(&serde_json::to_string(report).unwrap()).unwrap()
    }

    #[test]
    fn a_report_of_classes_is_what_a_window_reads() {
        let text = |texts: &[Option<&str>]| ColumnData::Text(texts.iter().map(|text| text.map(Into::into)).collect());
        let rows = frame(vec![
            ("x", ColumnData::Float(vec![1.0, f64::NAN, 3.5, 4.0])),
            ("when", ColumnData::Datetime(vec![Some(0), Some(1_000_000), None, Some(86_400_000_000)])),
            ("y", text(&[Some("a"), Some("a"), None, Some("b")])),
        ]);
        let report = report(&rows, TaskChoice::Classification, Task::Binary);
        let view = view(&report);
        assert_eq!((view.n_rows, view.classes.len(), view.pairs.len()), (3, 2, 0));
        assert_eq!(view.importance.len(), 2);
        assert!(view.importance.iter().all(|one| one.mean == 0.0 && one.std == 0.0), "it looks at nothing");
        // The row without a target does not count, but rows keep their places in the table.
        let worst: Vec<(u64, &str, &str)> =
            view.worst.iter().map(|row| (row.row, row.truth.as_str(), row.predicted.as_str())).collect();
        assert_eq!(worst, [(3, "b", "a"), (0, "a", "a"), (1, "a", "a")]);
        assert!((view.worst[0].loss - 3f64.ln()).abs() < 1e-6);
        let values = |row: usize| view.worst[row].values.iter().map(|(_, value)| value.as_deref()).collect::<Vec<_>>();
        assert_eq!(values(0), [Some("4"), Some("1970-01-02T00:00:00")]);
        assert_eq!(values(2), [None, Some("1970-01-01T00:00:01")]);
    }

    #[test]
    fn a_report_of_numbers_is_what_a_window_reads() {
        let n = 3_000;
        let numbers = |of: fn(f64) -> f64| ColumnData::Float((0..n).map(|i| of(f64::from(i))).collect());
        let mut columns = vec![("y", numbers(|i| i)), ("x", numbers(|i| i * 2.0))];
        let names: Vec<String> = (0..20).map(|i| format!("c{i}")).collect();
        columns.extend(names.iter().map(|name| (name.as_str(), numbers(|i| i % 7.0))));
        let report = report(&frame(columns), TaskChoice::Regression, Task::Regression);
        let view = view(&report);
        assert_eq!((view.pairs.len(), view.worst.len(), view.importance.len()), (1_000, 50, 21));
        assert_eq!((view.pairs[0], view.pairs[999]), ([0.0, 1499.5], [2997.0, 1499.5]));
        assert_eq!((view.worst[0].row, view.worst[0].loss), (0, 1499.5));
        assert_eq!((view.worst[0].truth.as_str(), view.worst[0].predicted.as_str()), ("0", "1499.5"));
        assert!(view.worst.iter().all(|row| row.values.len() == 12));
    }

    #[test]
    fn reports_of_before_are_read() {
        let old = r#"{"version":1,"target":"y","task":"regression","classes":[],"n_rows":2,
            "evaluation":{"n_rows":2,"metrics":[["r2",0.5]]}}"#;
        let report: Report = serde_json::from_str(old).unwrap();
        assert!(report.importance.is_empty() && report.worst.is_empty() && report.pairs.is_empty());
        assert_eq!(view(&report), serde_json::from_str(old).unwrap());
    }
}

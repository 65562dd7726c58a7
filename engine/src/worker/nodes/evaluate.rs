//! Evaluating: the packed model, as serving would use it, judged on the test rows.

use athanor_learn::{encode::FittedEncoder, metrics, model::TrainedModel, package::Package};
use athanor_protocol::{
    Code, Failure,
    metric::{MetricPoint, Split},
    package::PartName,
    run::Artifact,
    signature::Task,
};
use serde::{Deserialize, Serialize};

use super::{StepContext, at_node, split, write_json};
use crate::{
    error::{EngineError, Result},
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

/// What a report port carries. Version 1.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) version: u32,
    pub(crate) target: String,
    pub(crate) task: Task,
    pub(crate) classes: Vec<String>,
    pub(crate) n_rows: usize,
    pub(crate) evaluation: metrics::Evaluation,
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
    let report = Report {
        version: 1,
        target: signature.target.clone(),
        task: signature.task,
        classes: signature.classes.clone(),
        n_rows: rows.samples.n_rows,
        evaluation,
    };
    let path = ctx.out.join(REPORT);
    write_json(&path, &report)?;
    let (digest, n_bytes) = files::digest_file(&path)?;
    let artifact = Artifact { name: REPORT.to_owned(), kind: "report".to_owned(), digest, n_bytes };
    let prefix = metric_prefix(&ctx.job.steps, ctx.step);
    ctx.reporter
        .metrics(points.iter().map(|point| MetricPoint { key: format!("{prefix}{}", point.key), ..point.clone() }));
    Ok(Outcome {
        metrics: points,
        files: vec![OutcomeFile { file: REPORT.to_owned(), artifact }],
        notes: rows.notes,
        ..Outcome::default()
    })
}

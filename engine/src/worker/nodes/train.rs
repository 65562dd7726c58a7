//! Training: encode, learn, pack.

use std::{collections::BTreeMap, fs};

use athanor_learn::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    package::{RunPackage, package_run, serving_recipe, signature},
    predictor::Predictor,
    statistics,
    train::{TrainEvent, TrainJob, TrainOutcome, TrainSink, train},
};
use athanor_protocol::{
    Code, Failure,
    job::WorkerEventBody,
    learner::Reproducibility,
    metric::{MetricPoint, MetricValue, Split},
    package::{FinalMetric, Lineage, Statistics},
    run::Artifact,
};

use super::{Params, StepContext, at_node, spec::train_spec, split};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    flow::{
        cache::{Outcome, OutcomeFile},
        plan::metric_prefix,
    },
    ids::{Clock, System},
    worker::{PACKAGE_FILE as PACKAGE, history::History},
};

pub(super) fn run(ctx: &StepContext<'_>, learner: &str) -> Result<Outcome> {
    let node = ctx.step.node.as_str();
    let params = Params::of(ctx);
    let spec = train_spec(&params, learner, ctx.job.seed, &ctx.job.device, ctx.job.threads)?;
    let folder = ctx.input("splits")?;
    let value = split::read_value(&folder)?;
    let frame = |part| Ok::<_, EngineError>(split::read_part(&folder, part)?.frame(&[])?);
    let (train_frame, valid_frame) = (frame(split::Part::Train)?, frame(split::Part::Valid)?);

    let task: String = params.get("task")?;
    let task = match task.as_str() {
        "classification" => TaskChoice::Classification,
        "regression" => TaskChoice::Regression,
        _ => TaskChoice::Auto,
    };
    let options = EncodeOptions::for_learner(&spec.learner);
    let (encoder, mut notes) =
        FittedEncoder::fit(&train_frame, &spec.target, &spec.features, task, options).map_err(at_node(node))?;
    let train_rows = encoder.encode_labelled(&train_frame).map_err(at_node(node))?;
    let valid_rows = encoder.encode_labelled(&valid_frame).map_err(at_node(node))?;
    notes.extend(train_rows.notes.iter().cloned());
    // Found out now and not after hours of training: such a model could not be asked anything.
    let needed: Vec<String> = encoder.input_columns().into_iter().map(|column| column.name).collect();
    if serving_recipe(&value.recipe, &needed).input.column(&spec.target).is_some() {
        let message = format!("node {node:?}: a feature is computed from the target {:?}", spec.target);
        let failure = Failure::new(Code::BadData, message).on(node);
        return Err(EngineError::Failure(
            failure.hint("leave that column out of the features; the target is not known when the model is asked"),
        ));
    }
    fs::create_dir_all(&ctx.checkpoints).at("create", &ctx.checkpoints)?;
    let mut sink = Sink::new(ctx);
    let job = TrainJob {
        spec: &spec,
        encoder: &encoder,
        train: (&train_rows.samples, &train_rows.targets),
        valid: (valid_rows.samples.n_rows > 0).then_some((&valid_rows.samples, &valid_rows.targets)),
        checkpoint_dir: Some(&ctx.checkpoints),
        stop: ctx.stop,
        sink: &mut sink,
    };
    let model = match train(job).map_err(at_node(node))? {
        TrainOutcome::Done(model) => model,
        TrainOutcome::Stopped { reason, .. } => return Err(EngineError::new(Code::Cancelled, reason)),
    };
    let (last, reproducibility) = (sink.values_at(u64::MAX), sink.reproducibility);
    // A package tells of the weights that it holds: those of the step that was kept.
    let kept = sink.values_at(sink.kept.unwrap_or(u64::MAX));
    notes.append(&mut sink.notes);

    // Drift is told from what went in and what came out on rows that the model was not fitted to, where there are any.
    let judged = if valid_frame.n_rows() > 0 { &valid_frame } else { &train_frame };
    let nothing = Statistics { version: statistics::STATISTICS_VERSION, inputs: vec![], predictions: vec![] };
    let contract = signature(&encoder, &value.recipe, &nothing);
    let predictor =
        Predictor::new(contract, value.recipe.clone(), encoder.clone(), model.clone()).map_err(at_node(node))?;
    let outputs = predictor.predict(judged).map_err(at_node(node))?;
    let raw_train = frame(split::Part::RawTrain)?;
    let statistics = statistics::collect(&raw_train, &value.recipe.input, &outputs).map_err(at_node(node))?;
    let metrics = kept
        .iter()
        .map(|point| FinalMetric { key: format!("{}/{}", point.split.as_str(), point.key), value: point.value });
    let metrics: Vec<FinalMetric> = metrics.collect();
    let versions = [
        ("athanor", env!("CARGO_PKG_VERSION")),
        ("burn", athanor_learn::burn_version()),
        ("polars", athanor_datasets::polars_version()),
    ];
    let lineage = Lineage {
        run_id: ctx.job.run_id.to_string(),
        workflow: ctx.job.workflow.clone(),
        workflow_digest: ctx.job.workflow_digest.clone(),
        datasets: value.datasets.clone(),
        versions: versions.map(|(name, version)| (name.to_owned(), version.to_owned())).to_vec(),
        train: Some(spec),
    };
    let run = RunPackage {
        model: &model,
        encoder: &encoder,
        recipe: &value.recipe,
        statistics: &statistics,
        lineage,
        metrics,
        created_at_millis: ctx.job.created_at_millis,
        athanor_version: env!("CARGO_PKG_VERSION"),
    };
    let bytes = package_run(run).map_err(at_node(node))?;
    let path = ctx.out.join(PACKAGE);
    files::write_atomic(&path, &bytes)?;
    let artifact = Artifact {
        name: PACKAGE.to_owned(),
        kind: "model_package".to_owned(),
        digest: files::digest_bytes(&bytes),
        n_bytes: bytes.len() as u64,
    };
    let files = vec![OutcomeFile { file: PACKAGE.to_owned(), artifact }];
    Ok(Outcome { metrics: last, files, reproducibility, notes, ..Outcome::default() })
}

/// A value of a series: step, time, value.
type Value = (u64, i64, MetricValue);

/// Passes on what training says, and keeps its curves until the end says which step counts.
struct Sink<'a> {
    ctx: &'a StepContext<'a>,
    /// Two learners in one workflow would otherwise write one curve.
    prefix: String,
    history: Option<History>,
    curves: BTreeMap<(Split, String), Vec<Value>>,
    /// The step whose model is kept, where it is not the last one.
    kept: Option<u64>,
    reproducibility: Option<Reproducibility>,
    notes: Vec<String>,
}

impl<'a> Sink<'a> {
    fn new(ctx: &'a StepContext<'a>) -> Self {
        let prefix = metric_prefix(&ctx.job.steps, ctx.step);
        Self { ctx, prefix, history: None, curves: BTreeMap::new(), kept: None, reproducibility: None, notes: vec![] }
    }

    fn remember(&mut self, point: &MetricPoint) {
        let curve = self.curves.entry((point.split, point.key.clone())).or_default();
        curve.push((point.step, point.at_millis, point.value));
    }

    /// Sends points under the names that they have in this run; kept results have them without the node's name.
    fn send(&self, points: impl IntoIterator<Item = MetricPoint>) {
        let named = |point: MetricPoint| MetricPoint { key: format!("{}{}", self.prefix, point.key), ..point };
        self.ctx.reporter.metrics(points.into_iter().map(named));
    }

    /// The newest value of each metric that is not younger than a step.
    fn values_at(&self, step: u64) -> Vec<MetricPoint> {
        let newest =
            |curve: &[Value]| curve.iter().filter(|(at, _, _)| *at <= step).max_by_key(|(at, _, _)| *at).copied();
        let values = self.curves.iter().filter_map(|((split, key), curve)| {
            let (step, at_millis, value) = newest(curve)?;
            Some(MetricPoint { key: key.clone(), split: *split, step, at_millis, value })
        });
        values.collect()
    }
}

/// What training hears when its curve cannot be kept: the run ends with the reason, a full disk for example.
fn sink_failed(err: EngineError) -> LearnError {
    LearnError::Sink(err.into_failure())
}

impl TrainSink for Sink<'_> {
    fn event(&mut self, event: TrainEvent) -> Result<(), LearnError> {
        let node = || self.ctx.step.node.clone();
        match event {
            TrainEvent::Started { reproducibility, resumed_from_step, n_parameters, .. } => {
                self.reproducibility = Some(reproducibility);
                self.ctx.reporter.send(WorkerEventBody::Training { node: node(), reproducibility });
                // Trees are grown, not given: their size is known in the end.
                if n_parameters > 0 {
                    self.ctx.reporter.log("info", format!("{}: {n_parameters} parameters", node()));
                }
                let from = resumed_from_step.unwrap_or(0);
                let (history, earlier) =
                    History::begin(&self.ctx.history, self.ctx.job.attempt, from).map_err(sink_failed)?;
                self.history = Some(history);
                earlier.iter().for_each(|point| self.remember(point));
                self.send(earlier);
                if let Some(step) = resumed_from_step {
                    self.ctx.reporter.log("info", format!("{}: goes on from the checkpoint at step {step}", node()));
                }
            }
            TrainEvent::Metrics(values) => {
                let at_millis = System.now_millis();
                let points: Vec<MetricPoint> = values
                    .into_iter()
                    .map(|(key, split, step, value)| MetricPoint {
                        key: key.to_owned(),
                        split,
                        step,
                        at_millis,
                        value: value.into(),
                    })
                    .collect();
                let learned: Vec<MetricPoint> =
                    points.iter().filter(|point| point.split != Split::System).cloned().collect();
                learned.iter().for_each(|point| self.remember(point));
                if let Some(history) = &mut self.history {
                    history.add(&learned).map_err(sink_failed)?;
                }
                self.send(points);
            }
            TrainEvent::Progress { step, steps_total, epoch, epochs } => {
                let note = format!("epoch {epoch} of {epochs}");
                self.ctx.reporter.send(WorkerEventBody::StepProgress {
                    node: node(),
                    done: step,
                    total: steps_total,
                    note,
                });
            }
            TrainEvent::Checkpoint { step } => {
                self.ctx.reporter.send(WorkerEventBody::Checkpoint { node: node(), step })
            }
            TrainEvent::Kept { step } => self.kept = Some(step),
            TrainEvent::Note(note) => self.notes.push(note),
        }
        Ok(())
    }
}

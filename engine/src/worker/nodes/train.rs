//! Training: encode, learn, pack.

use std::fs;

use athanor_learn::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    package::{RunPackage, package_run, signature},
    predictor::Predictor,
    statistics,
    train::{TrainEvent, TrainJob, TrainOutcome, TrainSink, train},
};
use athanor_protocol::{
    Code,
    job::WorkerEventBody,
    learner::Reproducibility,
    metric::{MetricPoint, Split},
    package::{FinalMetric, Lineage, Statistics},
    run::Artifact,
};

use super::{Params, StepContext, at_node, spec::train_spec, split};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    flow::cache::{Outcome, OutcomeFile},
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
    let (last, reproducibility) = (sink.last, sink.reproducibility);
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
    let metrics = last
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
        train: spec,
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
        name: format!("{node}.{PACKAGE}"),
        kind: "model_package".to_owned(),
        digest: files::digest_bytes(&bytes),
        n_bytes: bytes.len() as u64,
    };
    let files = vec![OutcomeFile { file: PACKAGE.to_owned(), artifact }];
    Ok(Outcome { metrics: last, files, reproducibility, notes, ..Outcome::default() })
}

/// Passes on what training says, and keeps the latest value of each metric.
struct Sink<'a> {
    ctx: &'a StepContext<'a>,
    prefix: Option<String>,
    history: Option<History>,
    last: Vec<MetricPoint>,
    reproducibility: Option<Reproducibility>,
    notes: Vec<String>,
}

impl<'a> Sink<'a> {
    fn new(ctx: &'a StepContext<'a>) -> Self {
        // Two learners in one workflow would otherwise write one curve.
        let n_learners = ctx.job.steps.iter().filter(|step| step.kind.starts_with("train.")).count();
        let prefix = (n_learners > 1).then(|| format!("{}.", ctx.step.node));
        Self { ctx, prefix, history: None, last: vec![], reproducibility: None, notes: vec![] }
    }

    fn remember(&mut self, point: &MetricPoint) {
        match self.last.iter_mut().find(|last| last.key == point.key && last.split == point.split) {
            Some(last) => last.clone_from(point),
            None => self.last.push(point.clone()),
        }
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
                self.ctx.reporter.metrics(earlier);
                if let Some(step) = resumed_from_step {
                    self.ctx.reporter.log("info", format!("{}: goes on from the checkpoint at step {step}", node()));
                }
            }
            TrainEvent::Metrics(values) => {
                let at_millis = System.now_millis();
                let prefix = self.prefix.as_deref().unwrap_or_default();
                let points: Vec<MetricPoint> = values
                    .into_iter()
                    .map(|(key, split, step, value)| MetricPoint {
                        key: format!("{prefix}{key}"),
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
                self.ctx.reporter.metrics(points);
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
            TrainEvent::Note(note) => self.notes.push(note),
        }
        Ok(())
    }
}

//! Real models for tests of the desk: small, trained within milliseconds, packaged as a run would.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use athanor_datasets::Replay;
use athanor_learn::{
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    package::{RunPackage, package_run},
    predictor::Predictor,
    statistics,
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, train},
};
use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
    package::{FinalMetric, Lineage},
    recipe::FittedRecipe,
    registry::ModelVersion,
    signature::{InputColumn, ModelSignature, Task},
    table::{ColumnSchema, DataType, TableSchema},
};

use super::Desk;
use crate::registry;

/// The rows that the models know: `radius`, a number, and `colour`, a text.
fn raw() -> Frame {
    let colour = (0..60).map(|n| Some(Arc::from(["red", "green", "blue"][n % 3])));
    Frame::new(vec![
        Column { name: "radius".into(), data: ColumnData::Float((0..60).map(|n| f64::from(n) * 0.5).collect()) },
        Column { name: "colour".into(), data: ColumnData::Text(colour.collect()) },
    ])
    .unwrap()
}

/// An unsigned package that tells `benign` from `malign` by the radius; another seed is another package.
pub(crate) fn package(seed: u64) -> Vec<u8> {
    let input = TableSchema {
        columns: vec![
            ColumnSchema { name: "radius".to_owned(), dtype: DataType::Float },
            ColumnSchema { name: "colour".to_owned(), dtype: DataType::Text },
        ],
    };
    let recipe = FittedRecipe { version: 1, input: input.clone(), steps: vec![], output: input };
    let prepared = Replay::new(&recipe).unwrap().apply(&raw()).unwrap();
    let mut columns = prepared.clone().into_columns();
    let kinds = (0..60).map(|n| Some(Arc::from(if n > 30 { "malign" } else { "benign" })));
    columns.push(Column { name: "kind".into(), data: ColumnData::Text(kinds.collect()) });
    let table = Frame::new(columns).unwrap();
    let (encoder, _) =
        FittedEncoder::fit(&table, "kind", &[], TaskChoice::Classification, EncodeOptions::default()).unwrap();
    let (samples, (targets, _)) = (encoder.encode(&table).unwrap(), encoder.encode_targets(&table).unwrap());
    let optim = OptimConfig {
        epochs: 20,
        batch_size: 16,
        learning_rate: 0.05,
        weight_decay: 0.0,
        optimizer: Optimizer::Adam,
        schedule: Schedule::Constant,
        patience: None,
        checkpoint_every_steps: 0,
    };
    let spec = TrainSpec {
        learner: LearnerSpec::Linear { optim },
        target: "kind".to_owned(),
        features: vec![],
        seed,
        device: "cpu".to_owned(),
        dtype: FloatType::F32,
        threads: 1,
    };
    let mut events: Vec<TrainEvent> = vec![];
    let outcome = train(TrainJob {
        spec: &spec,
        encoder: &encoder,
        train: (&samples, &targets),
        valid: None,
        checkpoint_dir: None,
        stop: &StopFlag::new(),
        sink: &mut events,
    });
    let Ok(TrainOutcome::Done(model)) = outcome else { panic!("{outcome:?}") };
    let column =
        |column: &ColumnSchema| InputColumn { name: column.name.clone(), dtype: column.dtype, nullable: false };
    let signature = ModelSignature {
        task: Task::Binary,
        target: "kind".to_owned(),
        inputs: recipe.input.columns.iter().map(column).collect(),
        classes: vec!["benign".to_owned(), "malign".to_owned()],
    };
    let predictor = Predictor::new(signature, recipe.clone(), encoder.clone(), model.clone()).unwrap();
    let outputs = predictor.predict(&prepared).unwrap();
    let lineage = Lineage {
        run_id: String::new(),
        workflow: "a test".to_owned(),
        workflow_digest: String::new(),
        datasets: vec![],
        versions: vec![],
        train: Some(spec),
    };
    package_run(RunPackage {
        model: &model,
        encoder: &encoder,
        recipe: &recipe,
        statistics: &statistics::collect(&raw(), &recipe.input, &outputs).unwrap(),
        lineage,
        metrics: vec![],
        created_at_millis: 0,
        athanor_version: "0.1.0",
    })
    .unwrap()
}

/// Registers such a package in the desk's workspace.
pub(super) fn register(desk: &Desk, name: &str, seed: u64) -> ModelVersion {
    let metrics: [FinalMetric; 0] = [];
    registry::register(&desk.workspace().unwrap(), name, None, &package(seed), &metrics).unwrap().0
}

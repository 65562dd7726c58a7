//! A small real model as a package: a number that is sometimes missing, a colour and a date, prepared, trained, signed.

use std::sync::Arc;

use athanor_datasets::Replay;
use athanor_learn::{
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    package::{RunPackage, SigningKey, package_run, sign},
    predictor::{Outputs, Predictor},
    statistics,
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, train},
};
use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
    package::{DatasetUsed, Lineage},
    recipe::{FillValue, FittedRecipe, FittedStep},
    signature::{ModelSignature, Task},
    table::{ColumnSchema, DataType, TableSchema},
};

fn schema(columns: &[(&str, DataType)]) -> TableSchema {
    let columns = columns.iter().map(|&(name, dtype)| ColumnSchema { name: name.to_owned(), dtype });
    TableSchema { columns: columns.collect() }
}

/// Sixty raw rows: a number that is sometimes missing, a colour and a date.
fn raw() -> Frame {
    let radius = (0..60).map(|n| if n % 10 == 9 { f64::NAN } else { f64::from(n) * 0.5 });
    let colour = (0..60).map(|n| Some(Arc::from(["red", "green", "blue"][n % 3])));
    let day = (0..60_i64).map(|n| Some(n * 86_400_000_000));
    let columns = vec![
        Column { name: "radius".into(), data: ColumnData::Float(radius.collect()) },
        Column { name: "colour".into(), data: ColumnData::Text(colour.collect()) },
        Column { name: "day".into(), data: ColumnData::Datetime(day.collect()) },
    ];
    Frame::new(columns).unwrap()
}

fn recipe() -> FittedRecipe {
    let input = [("radius", DataType::Float), ("colour", DataType::Text), ("day", DataType::Date)];
    let output = [&input[..], &[("area", DataType::Float)]].concat();
    let steps = vec![
        FittedStep::Fill { values: vec![("radius".to_owned(), FillValue::Number(14.0))] },
        FittedStep::Derive { column: "area".to_owned(), expression: "radius * radius * 3.0".to_owned() },
    ];
    FittedRecipe { version: 1, input: schema(&input), steps, output: schema(&output) }
}

/// Few epochs, for a test.
pub(crate) fn optim() -> OptimConfig {
    OptimConfig {
        epochs: 20,
        batch_size: 16,
        learning_rate: 0.05,
        weight_decay: 0.0,
        optimizer: Optimizer::Adam,
        schedule: Schedule::Constant,
        patience: None,
        checkpoint_every_steps: 0,
    }
}

/// A signed package of a learner, the public key, and what it says of the raw rows without HTTP.
pub(crate) fn package(learner: LearnerSpec) -> (Vec<u8>, String, Outputs) {
    let (raw, recipe) = (raw(), recipe());
    let prepared = Replay::new(&recipe).unwrap().apply(&raw).unwrap();
    let mut columns = prepared.clone().into_columns();
    let kinds = (0..60).map(|n| Some(Arc::from(if n > 30 { "malign" } else { "benign" })));
    columns.push(Column { name: "kind".into(), data: ColumnData::Text(kinds.collect()) });
    let table = Frame::new(columns).unwrap();
    let (encoder, _) =
        FittedEncoder::fit(&table, "kind", &[], TaskChoice::Classification, EncodeOptions::default()).unwrap();
    let samples = encoder.encode(&table).unwrap();
    let (targets, _) = encoder.encode_targets(&table).unwrap();
    let spec = TrainSpec {
        learner,
        target: "kind".to_owned(),
        features: vec![],
        seed: 7,
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
    let signature = ModelSignature {
        task: Task::Binary,
        target: "kind".to_owned(),
        inputs: recipe.input.columns.iter().map(input_column).collect(),
        classes: vec!["benign".to_owned(), "malign".to_owned()],
    };
    let predictor = Predictor::new(signature, recipe.clone(), encoder.clone(), model.clone()).unwrap();
    let outputs = predictor.predict(&prepared).unwrap();
    let lineage = Lineage {
        run_id: String::new(),
        workflow: "a test".to_owned(),
        workflow_digest: String::new(),
        datasets: vec![DatasetUsed { name: "made.csv".to_owned(), digest: String::new(), n_rows: 60 }],
        versions: vec![],
        train: Some(spec),
    };
    let bytes = package_run(RunPackage {
        model: &model,
        encoder: &encoder,
        recipe: &recipe,
        statistics: &statistics::collect(&raw, &recipe.input, &outputs).unwrap(),
        lineage,
        metrics: vec![],
        created_at_millis: 0,
        athanor_version: "0.1.0",
    });
    let key = SigningKey::generate([7; 32]);
    (sign(bytes.unwrap(), &key).unwrap(), key.public_hex(), outputs)
}

fn input_column(column: &ColumnSchema) -> athanor_protocol::signature::InputColumn {
    athanor_protocol::signature::InputColumn { name: column.name.clone(), dtype: column.dtype, nullable: true }
}

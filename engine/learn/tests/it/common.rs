//! Tables, folds and jobs.

use std::{path::Path, sync::Arc};

use athanor_learn::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, Labelled, TaskChoice},
    metrics::{Evaluation, evaluate},
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, train},
};
use athanor_protocol::{
    catalogue::Catalogue,
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
};

/// A bundled table; numbers become floats, all else text.
pub fn table(name: &str) -> Frame {
    // Tests run in their package's folder. What was compiled in may be another checkout's: they share a build folder.
    let path = Path::new("../../datasets/samples").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let column = |at: usize| {
        let cells = || rows.iter().map(|row| row[at]);
        let numbers: Result<Vec<f64>, _> = cells().map(str::parse).collect();
        match numbers {
            Ok(numbers) => ColumnData::Float(numbers),
            Err(_) => ColumnData::Text(cells().map(|cell| Some(Arc::from(cell))).collect()),
        }
    };
    let columns = names.iter().enumerate().map(|(at, &name)| Column { name: name.into(), data: column(at) });
    Frame::new(columns.collect()).unwrap()
}

pub fn pick(frame: &Frame, rows: &[usize]) -> Frame {
    let column = |column: &Column| {
        let data = match &column.data {
            ColumnData::Float(values) => ColumnData::Float(rows.iter().map(|&row| values[row]).collect()),
            ColumnData::Text(values) => ColumnData::Text(rows.iter().map(|&row| values[row].clone()).collect()),
            _ => unreachable!("test tables hold floats and text"),
        };
        Column { name: column.name.clone(), data }
    };
    Frame::new(frame.columns().iter().map(column).collect()).unwrap()
}

/// `n` folds of shuffled rows, stratified where the target is text or has few values: rows of a class are dealt out in turn.
pub fn folds(frame: &Frame, target: &str, n: usize) -> Vec<Vec<usize>> {
    let target = &frame.column(target).unwrap().data;
    let mut rows: Vec<usize> = (0..frame.n_rows()).collect();
    let mut state = 12345u64;
    for i in (1..rows.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rows.swap(i, (state >> 33) as usize % (i + 1));
    }
    let mut labels: Vec<String> = rows.iter().map(|&row| target.label(row).unwrap().to_string()).collect();
    labels.sort();
    labels.dedup();
    if labels.len() <= 20 {
        rows.sort_by_key(|&row| target.label(row));
    }
    (0..n).map(|fold| rows.iter().copied().skip(fold).step_by(n).collect()).collect()
}

/// The catalogue's own defaults for a training node.
pub fn default_optim(kind: &str) -> OptimConfig {
    let catalogue = Catalogue::builtin();
    let kind = catalogue.kind(kind).unwrap();
    let value = |name: &str| kind.params.iter().find(|param| param.name == name).unwrap().default.clone();
    OptimConfig {
        epochs: value("epochs").as_u64().unwrap() as u32,
        batch_size: value("batch_size").as_u64().unwrap() as usize,
        learning_rate: value("learning_rate").as_f64().unwrap(),
        weight_decay: value("weight_decay").as_f64().unwrap(),
        optimizer: serde_json::from_value::<Optimizer>(value("optimizer")).unwrap(),
        schedule: serde_json::from_value::<Schedule>(value("schedule")).unwrap(),
        patience: Some(value("patience").as_u64().unwrap() as u32).filter(|&patience| patience > 0),
        checkpoint_every_steps: value("checkpoint_every_steps").as_u64().unwrap(),
    }
}

pub fn spec(learner: LearnerSpec, target: &str, seed: u64) -> TrainSpec {
    TrainSpec {
        learner,
        target: target.to_owned(),
        features: vec![],
        seed,
        device: "cpu".to_owned(),
        dtype: FloatType::F32,
        threads: 1,
    }
}

pub struct Prepared {
    pub encoder: FittedEncoder,
    pub train: Labelled,
    pub valid: Labelled,
    pub test: Labelled,
}

/// The fold is the test part; of the rest, a seventh is for validation.
pub fn prepare(frame: &Frame, target: &str, folds: &[Vec<usize>], fold: usize, learner: &LearnerSpec) -> Prepared {
    let rest: Vec<usize> = (0..folds.len()).filter(|&at| at != fold).flat_map(|at| folds[at].iter().copied()).collect();
    let (mut train, mut valid) = (vec![], vec![]);
    for (at, row) in rest.into_iter().enumerate() {
        if at % 7 == 3 { valid.push(row) } else { train.push(row) }
    }
    let train = pick(frame, &train);
    let options = EncodeOptions::for_learner(learner);
    let (encoder, _) = FittedEncoder::fit(&train, target, &[], TaskChoice::Auto, options).unwrap();
    let labelled = |rows: &[usize]| encoder.encode_labelled(&pick(frame, rows)).unwrap();
    Prepared {
        train: encoder.encode_labelled(&train).unwrap(),
        valid: labelled(&valid),
        test: labelled(&folds[fold]),
        encoder,
    }
}

/// Trains without checkpoints.
pub fn run(spec: &TrainSpec, data: &Prepared) -> Result<(TrainOutcome, Vec<TrainEvent>), LearnError> {
    run_with(spec, data, None, &StopFlag::new())
}

pub fn run_with(
    spec: &TrainSpec,
    data: &Prepared,
    checkpoint_dir: Option<&Path>,
    stop: &StopFlag,
) -> Result<(TrainOutcome, Vec<TrainEvent>), LearnError> {
    let mut events: Vec<TrainEvent> = Vec::new();
    let outcome = train(TrainJob {
        spec,
        encoder: &data.encoder,
        train: (&data.train.samples, &data.train.targets),
        valid: Some((&data.valid.samples, &data.valid.targets)),
        checkpoint_dir,
        stop,
        sink: &mut events,
    })?;
    Ok((outcome, events))
}

pub fn judge(outcome: &TrainOutcome, data: &Prepared) -> Evaluation {
    let TrainOutcome::Done(model) = outcome else { panic!("stopped") };
    let predictions = model.predict(&data.test.samples).unwrap();
    let classes = data.encoder.classes().unwrap_or(&[]);
    evaluate(data.encoder.task(), classes, &predictions, &data.test.targets).unwrap()
}

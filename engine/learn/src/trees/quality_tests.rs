#![allow(clippy::unwrap_used)]
//! How well the catalogue's default trees do on real tables, five stratified folds each.

use std::{path::Path, sync::Arc};

use athanor_protocol::{
    catalogue::Catalogue,
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, TrainSpec, TreesConfig},
};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    samples::Targets,
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome},
};

const N_FOLDS: usize = 5;

/// A table of ours: commas, a header, no quotes, the target last.
fn table(name: &str) -> (Vec<String>, Vec<Vec<String>>) {
    // Tests run in their package's folder. What was compiled in may be another checkout's: they share a build folder.
    let path = Path::new("../../datasets/samples").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    (lines.next().unwrap(), lines.collect())
}

fn frame(names: &[String], rows: &[&Vec<String>]) -> Frame {
    let columns = names.iter().enumerate().map(|(at, name)| {
        let numbers: Option<Vec<f64>> = rows.iter().map(|row| row[at].parse().ok()).collect();
        let data = match numbers {
            Some(numbers) => ColumnData::Float(numbers),
            None => ColumnData::Text(rows.iter().map(|row| Some(Arc::from(row[at].as_str()))).collect()),
        };
        Column { name: name.as_str().into(), data }
    });
    Frame::new(columns.collect()).unwrap()
}

/// The defaults that a workflow gets where it sets nothing.
fn defaults() -> TreesConfig {
    let catalogue = Catalogue::builtin();
    let kind = catalogue.kind("train.trees").unwrap();
    let number = |name: &str| kind.param(name).unwrap().default.as_f64().unwrap();
    TreesConfig {
        n_rounds: number("n_rounds") as u32,
        learning_rate: number("learning_rate"),
        n_leaves: number("n_leaves") as u32,
        min_rows_in_leaf: number("min_rows_in_leaf") as u32,
        feature_fraction: number("feature_fraction"),
        bagging_fraction: number("bagging_fraction"),
        l2: number("l2"),
        patience: Some(number("patience") as u32),
    }
}

/// Mean accuracy or R² over the folds; a sixth of each fold's other rows is for validation if `with_valid`.
fn score(name: &str, task: TaskChoice, with_valid: bool) -> f64 {
    let (names, mut rows) = table(name);
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(42));
    let target = names.last().unwrap();
    if task == TaskChoice::Classification {
        // Sorted by class (the sort is stable), every fifth row is a stratified fold.
        rows.sort_by(|a, b| a.last().cmp(&b.last()));
    }
    let config = TreesConfig { patience: defaults().patience.filter(|_| with_valid), ..defaults() };
    let mut scores = Vec::new();
    for fold in 0..N_FOLDS {
        let (mut train, mut valid, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for (at, row) in rows.iter().enumerate() {
            match (at % N_FOLDS == fold, with_valid && (at / N_FOLDS).is_multiple_of(6)) {
                (true, _) => test.push(row),
                (_, true) => valid.push(row),
                _ => train.push(row),
            }
        }
        let learner = LearnerSpec::Trees { trees: config.clone() };
        let options = EncodeOptions::for_learner(&learner);
        let (encoder, _) = FittedEncoder::fit(&frame(&names, &train), target, &[], task, options).unwrap();
        let labelled = |rows: &[&Vec<String>]| encoder.encode_labelled(&frame(&names, rows)).unwrap();
        let (train, test) = (labelled(&train), labelled(&test));
        let valid = (!valid.is_empty()).then(|| labelled(&valid));
        let spec = TrainSpec {
            learner,
            target: target.clone(),
            features: vec![],
            seed: 1,
            device: "cpu".to_owned(),
            dtype: FloatType::F32,
            threads: 1,
        };
        let mut sink: Vec<TrainEvent> = Vec::new();
        let job = TrainJob {
            spec: &spec,
            encoder: &encoder,
            train: (&train.samples, &train.targets),
            valid: valid.as_ref().map(|valid| (&valid.samples, &valid.targets)),
            checkpoint_dir: None,
            stop: &StopFlag::new(),
            sink: &mut sink,
        };
        let TrainOutcome::Done(model) = super::train(job, &config).unwrap() else { panic!("nobody stopped it") };
        let predictions = model.predict(&test.samples).unwrap();
        scores.push(match &test.targets {
            Targets::Class { labels, n_classes } => {
                let rows = predictions.probabilities.chunks(*n_classes).zip(labels);
                let right = rows.filter(|(row, label)| row.iter().all(|p| *p <= row[**label as usize])).count();
                right as f64 / labels.len() as f64
            }
            Targets::Number(values) => {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let residual: f64 = values.iter().zip(&predictions.values).map(|(y, p)| (y - p).powi(2)).sum();
                1.0 - residual / values.iter().map(|y| (y - mean).powi(2)).sum::<f64>()
            }
        });
    }
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// The bounds are scikit-learn's gradient boosting on the same tables less one standard deviation of its folds.
#[test]
fn default_trees_reach_what_others_reach() {
    for (name, task, bound) in [
        ("breast_cancer.csv", TaskChoice::Classification, 0.958),
        ("wine.csv", TaskChoice::Classification, 0.954),
        ("diabetes.csv", TaskChoice::Regression, 0.26),
    ] {
        for with_valid in [false, true] {
            let found = score(name, task, with_valid);
            println!("{name}, validation rows: {with_valid}: {found:.4}");
            assert!(found >= bound, "{name}: {found} is below {bound}");
        }
    }
}

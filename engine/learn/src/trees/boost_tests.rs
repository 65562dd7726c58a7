#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, TrainSpec, TreesConfig},
    metric::Split,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    model::TrainedModel,
    samples::{Samples, Targets},
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink},
};

fn config() -> TreesConfig {
    TreesConfig {
        n_rounds: 30,
        learning_rate: 0.1,
        n_leaves: 7,
        min_rows_in_leaf: 5,
        feature_fraction: 0.8,
        bagging_fraction: 0.8,
        l2: 1.0,
        patience: None,
    }
}

/// Rows with missing values, zeros and a column that says nothing; the class (or number) depends on the first three.
fn rows(n_rows: usize, n_classes: usize, seed: u64) -> (Samples, Targets) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut features, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let row: [f32; 4] = std::array::from_fn(|at| match rng.random_range(0..10) {
            0 if at != 2 => f32::NAN,
            1 => 0.0,
            _ => rng.random_range(-1.0..1.0),
        });
        let signal = row[..3].iter().map(|value| if value.is_nan() { -0.7 } else { f64::from(*value) }).sum::<f64>();
        features.extend(row);
        labels
            .push((((signal + 3.0) / 6.0 * n_classes.max(1) as f64) as usize).min(n_classes.saturating_sub(1)) as u32);
        values.push(signal + rng.random_range(-0.1..0.1));
    }
    let targets = if n_classes > 0 { Targets::Class { labels, n_classes } } else { Targets::Number(values) };
    (Samples::new(n_rows, 4, features).unwrap(), targets)
}

struct Run {
    result: Result<TrainOutcome, LearnError>,
    events: Vec<TrainEvent>,
}

fn run_with(
    config: &TreesConfig,
    train: (&Samples, &Targets),
    valid: Option<(&Samples, &Targets)>,
    threads: u32,
) -> Run {
    let mut events = Vec::new();
    let result = run_into(config, train, valid, threads, &StopFlag::new(), &mut events);
    Run { result, events }
}

fn run_into(
    config: &TreesConfig,
    train: (&Samples, &Targets),
    valid: Option<(&Samples, &Targets)>,
    threads: u32,
    stop: &StopFlag,
    sink: &mut dyn TrainSink,
) -> Result<TrainOutcome, LearnError> {
    let spec = TrainSpec {
        learner: LearnerSpec::Trees { trees: config.clone() },
        target: "y".to_owned(),
        features: vec![],
        seed: 7,
        device: "cpu".to_owned(),
        dtype: FloatType::F32,
        threads,
    };
    super::train(TrainJob { spec: &spec, encoder: &encoder(), train, valid, checkpoint_dir: None, stop, sink }, config)
}

/// Trees do not look at the encoder; a job has one.
fn encoder() -> FittedEncoder {
    let column = |name: &str, values: &[f64]| Column { name: name.into(), data: ColumnData::Float(values.to_vec()) };
    let frame = Frame::new(vec![column("x", &[1.0, 2.0]), column("y", &[0.5, 1.5])]).unwrap();
    FittedEncoder::fit(&frame, "y", &[], TaskChoice::Regression, EncodeOptions::default()).unwrap().0
}

fn trained(run: &Run) -> &TrainedModel {
    match &run.result {
        Ok(TrainOutcome::Done(model)) => model,
        other => panic!("not trained: {other:?}"),
    }
}

fn losses(events: &[TrainEvent], split: Split) -> Vec<f64> {
    let points = events.iter().filter_map(|event| match event {
        TrainEvent::Metrics(points) => Some(points),
        _ => None,
    });
    points.flatten().filter(|point| point.0 == "loss" && point.1 == split).map(|point| point.3).collect()
}

// Training itself compares the converted trees with LightGBM on every row and fails where they differ, so each of these
// is also a test of the conversion, with missing values in three of four columns.
#[test]
fn trees_are_grown_for_two_classes_many_classes_and_numbers() {
    for (n_classes, least) in [(2, 0.9), (4, 0.75), (0, 0.8)] {
        let (train, valid) = (rows(600, n_classes, 1), rows(200, n_classes, 2));
        let run = run_with(&config(), (&train.0, &train.1), Some((&valid.0, &valid.1)), 2);
        let model = trained(&run);
        let predictions = model.predict(&valid.0).unwrap();
        let score = match &valid.1 {
            Targets::Class { labels, .. } => {
                let rows = predictions.probabilities.chunks(n_classes).zip(labels);
                let right = rows.filter(|(row, label)| row.iter().all(|p| *p <= row[**label as usize])).count();
                right as f64 / labels.len() as f64
            }
            Targets::Number(values) => {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let residual: f64 = values.iter().zip(&predictions.values).map(|(y, p)| (y - p).powi(2)).sum();
                1.0 - residual / values.iter().map(|y| (y - mean).powi(2)).sum::<f64>()
            }
        };
        assert!(score > least, "{n_classes} classes: {score}");
        let (of_train, of_valid) = (losses(&run.events, Split::Train), losses(&run.events, Split::Valid));
        assert_eq!((of_train.len(), of_valid.len()), (30, 30));
        assert!(of_train[29] < of_train[0] && of_valid[29] < of_valid[0]);
        assert!(matches!(run.events[0], TrainEvent::Started { steps_total: 30, resumed_from_step: None, .. }));
    }
}

#[test]
fn the_same_seed_gives_the_same_trees_whatever_the_number_of_threads() {
    let (samples, targets) = rows(500, 3, 5);
    let saved = |threads| {
        let run = run_with(&config(), (&samples, &targets), None, threads);
        trained(&run).to_parts().unwrap().model_json
    };
    assert!(saved(1) == saved(2) && saved(2) == saved(2));
}

#[test]
fn saved_trees_predict_the_same_bits() {
    let (samples, targets) = rows(300, 0, 11);
    let run = run_with(&config(), (&samples, &targets), None, 1);
    let parts = trained(&run).to_parts().unwrap();
    let again = TrainedModel::from_parts(&parts.model_json, parts.weights.as_deref(), "cpu").unwrap();
    assert_eq!(again.predict(&samples).unwrap(), trained(&run).predict(&samples).unwrap());
}

#[test]
fn numbers_far_from_zero_keep_their_digits() {
    let (samples, targets) = rows(400, 0, 3);
    let Targets::Number(values) = &targets else { panic!("numbers were asked for") };
    let shifted = Targets::Number(values.iter().map(|value| 1.7e12 + value).collect());
    let predict = |targets: &Targets| {
        let run = run_with(&config(), (&samples, targets), None, 1);
        trained(&run).predict(&samples).unwrap().values
    };
    let far = predict(&shifted).iter().zip(predict(&targets)).map(|(a, b)| (a - 1.7e12 - b).abs()).fold(0.0, f64::max);
    assert!(far < 0.05, "{far}");
}

#[test]
fn the_rounds_with_the_least_validation_loss_are_kept() {
    let (train, valid) = (rows(80, 2, 21), rows(200, 2, 22));
    let config = TreesConfig { n_rounds: 500, learning_rate: 0.5, patience: Some(5), ..config() };
    let run = run_with(&config, (&train.0, &train.1), Some((&valid.0, &valid.1)), 1);
    let losses = losses(&run.events, Split::Valid);
    let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
    assert_eq!(losses.len(), best + 1 + 5, "it goes on for five rounds after the best");
    let TrainedModel::Trees(forest) = trained(&run) else { panic!("trees were asked for") };
    assert_eq!(forest.trees().len(), best + 1);
}

#[test]
fn patience_without_validation_rows_is_noted() {
    let (samples, targets) = rows(100, 2, 1);
    let run = run_with(&TreesConfig { patience: Some(3), ..config() }, (&samples, &targets), None, 1);
    trained(&run);
    let note = TrainEvent::Note("there are no validation rows: patience is ignored, all rounds are kept".to_owned());
    assert!(run.events.contains(&note));
}

#[test]
fn rows_that_cannot_be_split_give_the_mean() {
    let samples = Samples::new(6, 1, vec![1.0; 6]).unwrap();
    let targets = Targets::Number(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let run = run_with(&config(), (&samples, &targets), None, 1);
    let values = trained(&run).predict(&samples).unwrap().values;
    assert!(values.iter().all(|value| (value - 3.5).abs() < 1e-6), "{values:?}");
    assert!(run.events.contains(&TrainEvent::Note("nothing is left to split after 0 rounds".to_owned())));
    let constant = run_with(&config(), (&samples, &Targets::Number(vec![7.25; 6])), None, 1);
    assert_eq!(trained(&constant).predict(&samples).unwrap().values, [7.25; 6]);
    let classes = Targets::Class { labels: vec![0, 1, 2, 0, 1, 0], n_classes: 3 };
    let run = run_with(&config(), (&samples, &classes), None, 1);
    let probabilities = trained(&run).predict(&samples).unwrap().probabilities;
    assert!((probabilities[0] - 0.5).abs() < 1e-5 && (probabilities[2] - 1.0 / 6.0).abs() < 1e-5, "{probabilities:?}");
}

#[test]
fn a_class_without_training_rows_is_improbable() {
    let (samples, targets) = rows(300, 2, 9);
    let Targets::Class { labels, .. } = targets else { panic!("classes were asked for") };
    let run = run_with(&config(), (&samples, &Targets::Class { labels, n_classes: 3 }), None, 1);
    let probabilities = trained(&run).predict(&samples).unwrap().probabilities;
    assert!(probabilities.chunks(3).all(|row| row[2] < 1e-6));
}

#[test]
fn bad_rows_and_settings_are_refused_by_name() {
    let (samples, targets) = rows(50, 2, 1);
    let empty = Samples::new(0, 4, vec![]).unwrap();
    let none = Targets::Class { labels: vec![], n_classes: 2 };
    let one_class = Targets::Class { labels: vec![0; 50], n_classes: 1 };
    let infinite = Targets::Number(vec![f64::INFINITY; 50]);
    let check = |config: &TreesConfig, train: (&Samples, &Targets), code: Code, expect: &str| {
        let err = run_with(config, train, None, 1).result.unwrap_err();
        assert_eq!((err.code(), err.to_string().as_str()), (code, expect));
    };
    let good = config();
    check(&good, (&empty, &none), Code::BadData, "there are 0 training rows with 4 features");
    check(&good, (&samples, &one_class), Code::BadData, "the target has one class only");
    check(&good, (&samples, &infinite), Code::BadData, "the target holds numbers that are infinite or too large");
    let bad = TreesConfig { n_leaves: 1, ..config() };
    check(&bad, (&samples, &targets), Code::InvalidArgument, "n_leaves: it must be from 2 to 131072");
    let bad = TreesConfig { learning_rate: f64::NAN, ..config() };
    check(&bad, (&samples, &targets), Code::InvalidArgument, "learning_rate: it must be above 0");
    let bad = TreesConfig { bagging_fraction: 0.0, ..config() };
    check(&bad, (&samples, &targets), Code::InvalidArgument, "bagging_fraction: it must be above 0 and at most 1");
}

/// Raises the flag when a step is reported.
struct StopAt(u64, StopFlag, u64);

impl TrainSink for StopAt {
    fn event(&mut self, event: TrainEvent) -> Result<(), LearnError> {
        if let TrainEvent::Progress { step, .. } = event {
            self.2 = step;
            if step == self.0 {
                self.1.stop("asked to");
            }
        }
        Ok(())
    }
}

#[test]
fn a_stop_is_obeyed_before_the_next_round() {
    let (samples, targets) = rows(200, 2, 1);
    let stop = StopFlag::new();
    let mut sink = StopAt(4, stop.clone(), 0);
    let config = TreesConfig { n_rounds: 100_000, ..config() };
    let outcome = run_into(&config, (&samples, &targets), None, 1, &stop, &mut sink).unwrap();
    match outcome {
        TrainOutcome::Stopped { reason, step } => assert_eq!((reason.as_str(), step, sink.2), ("asked to", 4, 4)),
        other => panic!("not stopped: {other:?}"),
    }
}

#[test]
fn a_sink_that_fails_ends_the_run() {
    struct Broken;
    impl TrainSink for Broken {
        fn event(&mut self, _: TrainEvent) -> Result<(), LearnError> {
            Err(LearnError::Internal("broken pipe".to_owned()))
        }
    }
    let (samples, targets) = rows(100, 2, 1);
    let result = run_into(&config(), (&samples, &targets), None, 1, &StopFlag::new(), &mut Broken);
    assert_eq!(result.unwrap_err().to_string(), "broken pipe");
}

/// LightGBM writes to standard output from C++, where no test harness catches it, and in a worker that is a protocol: so
/// the tests above run again in a child process, bad rows included, and its output is read.
#[test]
fn lightgbm_keeps_off_standard_output() {
    let tests = ["rows_that_cannot_be_split_give_the_mean", "a_class_without_training_rows_is_improbable"];
    for test in tests {
        let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .output();
        let output = String::from_utf8_lossy(&child.unwrap().stdout).into_owned();
        assert!(output.contains("1 passed"), "{output}");
        assert!(!output.contains("LightGBM"), "{output}");
    }
}

//! How runs report, stop and fail.

use athanor_learn::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    model::TrainedModel,
    samples::{Samples, Targets},
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, TrainSink, train},
};
use athanor_protocol::{
    Code, Failure,
    learner::{LearnerSpec, OptimConfig, Optimizer, Reproducibility, Schedule},
    metric::Split,
    network::{Layer, ModelSpec},
};

use crate::common::{Prepared, default_optim, folds, judge, pick, prepare, run, run_with, spec, table};

fn optim() -> OptimConfig {
    OptimConfig {
        epochs: 3,
        batch_size: 16,
        learning_rate: 0.01,
        weight_decay: 0.0,
        optimizer: Optimizer::Adam,
        schedule: Schedule::Constant,
        patience: None,
        checkpoint_every_steps: 0,
    }
}

fn prepared(name: &str, target: &str, learner: &LearnerSpec) -> Prepared {
    let frame = table(name);
    let folds = folds(&frame, target, 5);
    prepare(&frame, target, &folds, 0, learner)
}

#[test]
fn events_come_in_order_and_say_what_happens() {
    let learner = LearnerSpec::Linear { optim: optim() };
    let data = prepared("wine.csv", "cultivar", &learner);
    let (_, events) = run(&spec(learner, "cultivar", 0), &data).unwrap();
    let n_steps = 3 * data.train.samples.n_rows.div_ceil(16) as u64;
    assert_eq!(
        events[0],
        TrainEvent::Started {
            n_parameters: 13 * 3 + 3,
            steps_total: n_steps,
            epochs: 3,
            reproducibility: Reproducibility::Bitwise,
            resumed_from_step: None
        }
    );
    let points: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TrainEvent::Metrics(points) => Some(points.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let count =
        |key: &str, split: Split| points.iter().filter(|point| point.0 == key && point.1 == split).count() as u64;
    assert_eq!(count("loss", Split::Train), n_steps);
    assert_eq!(count("loss", Split::Valid), 3);
    assert_eq!(count("accuracy", Split::Valid), 3);
    assert_eq!(count("learning_rate", Split::Train), 3);
    assert!(count("samples_per_sec", Split::System) >= 1);
    assert!(
        points.iter().all(|point| athanor_protocol::metric::metric_info(point.0).is_some()),
        "keys of the protocol"
    );
    let last = TrainEvent::Progress { step: n_steps, steps_total: n_steps, epoch: 3, epochs: 3 };
    assert_eq!(events.last(), Some(&last));
}

#[test]
fn the_constant_says_the_shares_or_the_mean() {
    let data = prepared("breast_cancer.csv", "diagnosis", &LearnerSpec::Constant);
    let (outcome, _) = run(&spec(LearnerSpec::Constant, "diagnosis", 0), &data).unwrap();
    let evaluation = judge(&outcome, &data);
    assert!((evaluation.metric("accuracy").unwrap() - 0.63).abs() < 0.02);
    assert_eq!(evaluation.metric("roc_auc"), Some(0.5));
    let data = prepared("diabetes.csv", "progression", &LearnerSpec::Constant);
    let (outcome, _) = run(&spec(LearnerSpec::Constant, "progression", 0), &data).unwrap();
    assert!(judge(&outcome, &data).metric("r2").unwrap().abs() < 0.1);
}

#[test]
fn a_stop_before_the_first_step_stops() {
    let learner = LearnerSpec::Linear { optim: optim() };
    let data = prepared("wine.csv", "cultivar", &learner);
    let stop = StopFlag::new();
    stop.clone().stop("the user asked");
    stop.stop("somebody else asked too");
    let (outcome, _) = run_with(&spec(learner, "cultivar", 0), &data, None, &stop).unwrap();
    assert!(matches!(outcome, TrainOutcome::Stopped { reason, step: 0 } if reason == "the user asked"));
}

#[test]
fn divergence_is_an_error_that_names_the_step() {
    let optim = OptimConfig { learning_rate: 1e30, optimizer: Optimizer::Sgd, epochs: 50, ..optim() };
    let learner = LearnerSpec::Network { model: ModelSpec::mlp(&[8], 0.0), optim };
    let data = prepared("diabetes.csv", "progression", &learner);
    let err = run(&spec(learner, "progression", 0), &data).unwrap_err();
    assert!(matches!(err, LearnError::Diverged { step: 1.., .. }), "{err}");
    assert_eq!(err.code(), Code::BadData);
    assert!(err.hint().unwrap().contains("learning_rate"));
}

#[test]
fn a_sink_that_fails_ends_the_run_with_its_error() {
    struct Broken;
    impl TrainSink for Broken {
        fn event(&mut self, event: TrainEvent) -> Result<(), LearnError> {
            match event {
                TrainEvent::Metrics(_) => Err(LearnError::Sink(Failure::new(Code::Unavailable, "the pipe is closed"))),
                _ => Ok(()),
            }
        }
    }
    let learner = LearnerSpec::Linear { optim: optim() };
    let data = prepared("wine.csv", "cultivar", &learner);
    let result = train(TrainJob {
        spec: &spec(learner, "cultivar", 0),
        encoder: &data.encoder,
        train: (&data.train.samples, &data.train.targets),
        valid: None,
        checkpoint_dir: None,
        stop: &StopFlag::new(),
        sink: &mut Broken,
    });
    assert_eq!(result.unwrap_err().code(), Code::Unavailable);
}

#[test]
fn patience_without_validation_rows_is_ignored_with_a_note() {
    let learner = LearnerSpec::Linear { optim: OptimConfig { patience: Some(1), ..optim() } };
    let data = prepared("wine.csv", "cultivar", &learner);
    let mut events: Vec<TrainEvent> = vec![];
    let outcome = train(TrainJob {
        spec: &spec(learner, "cultivar", 0),
        encoder: &data.encoder,
        train: (&data.train.samples, &data.train.targets),
        valid: None,
        checkpoint_dir: None,
        stop: &StopFlag::new(),
        sink: &mut events,
    })
    .unwrap();
    assert!(matches!(outcome, TrainOutcome::Done(_)));
    assert!(events.iter().any(|event| matches!(event, TrainEvent::Note(text) if text.contains("patience"))));
}

#[test]
fn early_stopping_keeps_the_best_weights() {
    // A rate so high that it overfits soon: the best epoch is an early one.
    let optim = OptimConfig { learning_rate: 0.05, epochs: 200, patience: Some(5), ..optim() };
    let learner = LearnerSpec::Network { model: ModelSpec::mlp(&[32], 0.0), optim };
    let data = prepared("breast_cancer.csv", "diagnosis", &learner);
    let (outcome, events) = run(&spec(learner, "diagnosis", 0), &data).unwrap();
    let mut losses = vec![];
    for event in &events {
        if let TrainEvent::Metrics(points) = event {
            losses.extend(points.iter().filter(|p| p.0 == "loss" && p.1 == Split::Valid).map(|p| p.3));
        }
    }
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|&loss| loss == best).unwrap();
    assert_eq!(losses.len(), at + 1 + 5, "five epochs after the best one: {losses:?}");
    let TrainOutcome::Done(model) = outcome else { panic!("stopped") };
    let predictions = model.predict(&data.valid.samples).unwrap();
    let Targets::Class { labels, .. } = &data.valid.targets else { panic!("classes") };
    let loss = predictions
        .probabilities
        .chunks(2)
        .zip(labels)
        .map(|(p, &label)| -f64::from(p[label as usize]).max(1e-12).ln());
    let loss = loss.sum::<f64>() / labels.len() as f64;
    assert!((loss - best).abs() < 1e-4 * best.max(1.0), "{loss} is not the best {best}");
}

#[test]
fn settings_out_of_range_are_named() {
    let data = prepared("wine.csv", "cultivar", &LearnerSpec::Constant);
    let check = |optim: OptimConfig, expect: &str| {
        let err = run(&spec(LearnerSpec::Linear { optim }, "cultivar", 0), &data).unwrap_err();
        assert_eq!(err.code(), Code::InvalidArgument);
        assert!(err.to_string().starts_with(expect), "{err}");
    };
    check(OptimConfig { epochs: 0, ..optim() }, "epochs");
    check(OptimConfig { batch_size: 0, ..optim() }, "batch_size");
    check(OptimConfig { learning_rate: f64::NAN, ..optim() }, "learning_rate");
    check(OptimConfig { learning_rate: -1.0, ..optim() }, "learning_rate");
    check(OptimConfig { weight_decay: f64::INFINITY, ..optim() }, "weight_decay");
    let model = ModelSpec { version: 1, image: Some([1, 8, 8]), layers: vec![Layer::Flatten, Layer::Output] };
    let err = run(&spec(LearnerSpec::Network { model, optim: optim() }, "cultivar", 0), &data).unwrap_err();
    assert!(err.to_string().contains("an image of 1 x 8 x 8 does not hold 13 features"), "{err}");
}

#[test]
fn one_row_and_no_rows() {
    let frame = table("diabetes.csv");
    let one = pick(&frame, &[0]);
    // One row leaves only constant columns.
    let err = FittedEncoder::fit(&one, "progression", &[], TaskChoice::Auto, EncodeOptions::default()).unwrap_err();
    assert_eq!(err.code(), Code::BadData);
    let none = pick(&frame, &[]);
    let err = FittedEncoder::fit(&none, "progression", &[], TaskChoice::Auto, EncodeOptions::default()).unwrap_err();
    assert!(err.to_string().contains("no training rows"), "{err}");
    let learner = LearnerSpec::Linear { optim: optim() };
    let data = prepared("diabetes.csv", "progression", &learner);
    let first = Samples::new(1, 10, data.train.samples.row(0).to_vec()).unwrap();
    let empty = Samples::new(0, 10, vec![]).unwrap();
    let run = |samples: &Samples, targets: Vec<f64>| {
        train(TrainJob {
            spec: &spec(learner.clone(), "progression", 0),
            encoder: &data.encoder,
            train: (samples, &Targets::Number(targets)),
            valid: None,
            checkpoint_dir: None,
            stop: &StopFlag::new(),
            sink: &mut Vec::<TrainEvent>::new(),
        })
    };
    let TrainOutcome::Done(model) = run(&first, vec![5.0]).unwrap() else { panic!("stopped") };
    assert!((model.predict(&first).unwrap().values[0] - 5.0).abs() < 0.2);
    assert_eq!(model.predict(&empty).unwrap().values, Vec::<f64>::new());
    assert_eq!(run(&empty, vec![]).unwrap_err().code(), Code::BadData);
    let err = model.predict(&Samples::new(1, 9, vec![0.0; 9]).unwrap()).unwrap_err();
    assert_eq!(err.to_string(), "the model takes 10 features, the rows have 9");
}

#[test]
fn a_missing_feature_that_was_not_filled_is_named() {
    let learner = LearnerSpec::Linear { optim: default_optim("train.linear") };
    let mut data = prepared("wine.csv", "cultivar", &learner);
    data.train.samples.features[13 * 4 + 2] = f32::NAN;
    let err = run(&spec(learner, "cultivar", 0), &data).unwrap_err();
    assert_eq!(err.to_string(), "column \"ash\": row 5 is missing, and this learner needs it filled");
}

#[test]
fn saved_parts_predict_the_same_bits_and_are_checked() {
    let layers = vec![Layer::Linear { n_out: 4 }, Layer::BatchNorm, Layer::Output];
    let model = ModelSpec { version: 1, image: None, layers };
    let learner = LearnerSpec::Network { model, optim: optim() };
    let data = prepared("wine.csv", "cultivar", &learner);
    let (outcome, _) = run(&spec(learner, "cultivar", 0), &data).unwrap();
    let TrainOutcome::Done(model) = outcome else { panic!("stopped") };
    let parts = model.to_parts().unwrap();
    assert_eq!(parts, model.to_parts().unwrap(), "equal models give equal bytes");
    let weights = parts.weights.unwrap();
    let loaded = TrainedModel::from_parts(&parts.model_json, Some(&weights), "cpu").unwrap();
    assert_eq!(loaded.predict(&data.test.samples).unwrap(), model.predict(&data.test.samples).unwrap());
    let check = |json: &[u8], weights: Option<&[u8]>, code: Code, expect: &str| {
        let err = TrainedModel::from_parts(json, weights, "cpu").unwrap_err();
        assert_eq!(err.code(), code, "{err}");
        assert!(err.to_string().contains(expect), "{err}");
    };
    let json = String::from_utf8(parts.model_json.clone()).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        json.replacen(from, to, 1).into_bytes()
    };
    check(json.as_bytes(), None, Code::Corrupt, "weights are missing");
    check(json.as_bytes(), Some(&weights[..weights.len() - 4]), Code::Corrupt, "weights");
    check(&edited("\"version\":1", "\"version\":2"), Some(&weights), Code::Unsupported, "format version 2");
    check(&edited("\"n_out\":4", "\"n_out\":5"), Some(&weights), Code::Corrupt, "layers.0.weight");
    check(&edited("\"n_features\":13", "\"n_features\":12"), Some(&weights), Code::Corrupt, "layers.0.weight");
    check(&edited("network", "pickle"), Some(&weights), Code::Corrupt, "pickle");
    check(b"\x80\x04\x95", Some(&weights), Code::Corrupt, "model");
    // The last four bytes are of the last tensor: not a number any more.
    let mut nan = weights.clone();
    let at = nan.len() - 4;
    nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    check(json.as_bytes(), Some(&nan), Code::Corrupt, "not a finite number");
}

#[test]
fn predictions_do_not_depend_on_the_batch_or_the_thread() {
    let learner = LearnerSpec::Network { model: ModelSpec::mlp(&[16], 0.5), optim: optim() };
    let data = prepared("wine.csv", "cultivar", &learner);
    let (outcome, _) = run(&spec(learner, "cultivar", 0), &data).unwrap();
    let TrainOutcome::Done(model) = outcome else { panic!("stopped") };
    let samples = &data.test.samples;
    let all = model.predict(samples).unwrap();
    // For the eye only: one row through a small network, as serving does it.
    let one = Samples::new(1, samples.n_features, samples.row(0).to_vec()).unwrap();
    let start = std::time::Instant::now();
    (0..1000).for_each(|_| drop(std::hint::black_box(model.predict(&one).unwrap())));
    println!("one row: {:?}", start.elapsed() / 1000);
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (model, all) = (&model, &all);
            scope.spawn(move || {
                for row in (start..samples.n_rows).step_by(4) {
                    let one = Samples::new(1, samples.n_features, samples.row(row).to_vec()).unwrap();
                    let predicted = model.predict(&one).unwrap().probabilities;
                    for (a, b) in predicted.iter().zip(&all.probabilities[row * 3..]) {
                        assert!((a - b).abs() < 1e-6);
                    }
                }
            });
        }
    });
}

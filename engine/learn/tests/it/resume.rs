//! A run that was stopped and resumed ends with the bits of one that was not.

use std::{fs, path::Path};

use athanor_learn::train::{StopFlag, TrainEvent, TrainOutcome};
use athanor_protocol::{
    Code,
    learner::{LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec},
    metric::Split,
    network::{Activation, Layer, ModelSpec},
};

use crate::common::{Prepared, folds, prepare, run_with, spec, table};

fn optim() -> OptimConfig {
    OptimConfig {
        epochs: 6,
        batch_size: 20,
        learning_rate: 0.05,
        weight_decay: 0.01,
        optimizer: Optimizer::Adam,
        schedule: Schedule::Cosine,
        patience: Some(2),
        checkpoint_every_steps: 3,
    }
}

/// Dropout, both norms, Adam with decay, cosine, early stopping: everything that has a state or draws numbers.
fn busy(optim: OptimConfig) -> LearnerSpec {
    let layers = vec![
        Layer::Linear { n_out: 16 },
        Layer::BatchNorm,
        Layer::Activation { function: Activation::Gelu },
        Layer::Dropout { probability: 0.3 },
        Layer::Linear { n_out: 8 },
        Layer::LayerNorm,
        Layer::Activation { function: Activation::Relu },
        Layer::Output,
    ];
    LearnerSpec::Network { model: ModelSpec { version: 1, image: None, layers }, optim }
}

fn wine(learner: &LearnerSpec) -> Prepared {
    let frame = table("wine.csv");
    let folds = folds(&frame, "cultivar", 5);
    prepare(&frame, "cultivar", &folds, 0, learner)
}

fn weights(outcome: &TrainOutcome) -> Vec<u8> {
    let TrainOutcome::Done(model) = outcome else { panic!("stopped") };
    model.to_parts().unwrap().weights.unwrap()
}

/// Trains up to a step and leaves a checkpoint of that very step.
fn train_until(spec: &TrainSpec, data: &Prepared, dir: &Path, step: u64) -> Vec<TrainEvent> {
    let stop = StopFlag::new();
    stop.limit_steps(step);
    let (outcome, events) = run_with(spec, data, Some(dir), &stop).unwrap();
    assert!(matches!(outcome, TrainOutcome::Stopped { step: at, .. } if at == step), "{outcome:?}");
    assert!(events.contains(&TrainEvent::Checkpoint { step }));
    events
}

fn resume(spec: &TrainSpec, data: &Prepared, dir: &Path) -> (Vec<u8>, Option<u64>, Vec<TrainEvent>) {
    let (outcome, events) = run_with(spec, data, Some(dir), &StopFlag::new()).unwrap();
    let from = events.iter().find_map(|event| match event {
        TrainEvent::Started { resumed_from_step, .. } => Some(*resumed_from_step),
        _ => None,
    });
    (weights(&outcome), from.unwrap(), events)
}

/// Values of the data (not of speed), with their bits.
fn points(events: &[TrainEvent]) -> Vec<(&'static str, Split, u64, u64)> {
    let mut points = vec![];
    for event in events {
        if let TrainEvent::Metrics(values) = event {
            let of_data = values.iter().filter(|point| point.1 != Split::System);
            points.extend(of_data.map(|&(key, split, step, value)| (key, split, step, value.to_bits())));
        }
    }
    points
}

fn notes(events: &[TrainEvent]) -> Vec<String> {
    let note = |event: &TrainEvent| match event {
        TrainEvent::Note(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(note).collect()
}

fn check_every_step(learner: &LearnerSpec, steps: &[u64]) {
    let spec = spec(learner.clone(), "cultivar", 42);
    let data = wine(learner);
    let (unbroken, all) = run_with(&spec, &data, None, &StopFlag::new()).unwrap();
    let unbroken = weights(&unbroken);
    for &step in steps {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = points(&train_until(&spec, &data, dir.path(), step));
        let (resumed, from, events) = resume(&spec, &data, dir.path());
        assert_eq!(from, Some(step));
        assert!(resumed == unbroken, "other weights after a stop at step {step}");
        seen.extend(points(&events));
        assert_eq!(seen, points(&all), "other metrics after a stop at step {step}");
    }
}

#[test]
fn a_network_resumed_at_any_step_ends_with_the_same_bits() {
    // 122 training rows in batches of 20 are 7 steps: ends of epochs, the step before, the step after, and in between.
    check_every_step(&busy(optim()), &[1, 2, 6, 7, 8, 10, 14, 15, 20]);
}

#[test]
fn momentum_and_a_constant_rate_resume_too() {
    let optim = OptimConfig { optimizer: Optimizer::Sgd, schedule: Schedule::Constant, patience: None, ..optim() };
    check_every_step(&busy(optim.clone()), &[3, 7, 41]);
    check_every_step(&LearnerSpec::Linear { optim }, &[5]);
}

#[test]
fn a_run_can_be_stopped_and_resumed_many_times() {
    let learner = busy(optim());
    let (spec, data) = (spec(learner.clone(), "cultivar", 1), wine(&learner));
    let unbroken = weights(&run_with(&spec, &data, None, &StopFlag::new()).unwrap().0);
    let dir = tempfile::tempdir().unwrap();
    for step in [2, 5, 9, 13] {
        train_until(&spec, &data, dir.path(), step);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the last two are kept");
    assert!(resume(&spec, &data, dir.path()).0 == unbroken);
}

#[test]
fn another_seed_gives_other_weights() {
    let learner = busy(optim());
    let data = wine(&learner);
    let trained =
        |seed| weights(&run_with(&spec(learner.clone(), "cultivar", seed), &data, None, &StopFlag::new()).unwrap().0);
    assert!(trained(1) == trained(1));
    assert!(trained(1) != trained(2));
}

/// Damages the newest checkpoint in one way.
fn check_damage(damage: impl Fn(&Path, Vec<u8>), expect: &str) {
    let learner = busy(optim());
    let (spec, data) = (spec(learner.clone(), "cultivar", 3), wine(&learner));
    let unbroken = weights(&run_with(&spec, &data, None, &StopFlag::new()).unwrap().0);
    let dir = tempfile::tempdir().unwrap();
    train_until(&spec, &data, dir.path(), 4);
    train_until(&spec, &data, dir.path(), 9);
    let newest = dir.path().join("000000000009.ckpt");
    damage(&newest, fs::read(&newest).unwrap());
    let (resumed, from, events) = resume(&spec, &data, dir.path());
    assert_eq!(from, Some(4), "goes on from the one before");
    assert!(resumed == unbroken);
    assert!(
        notes(&events).iter().any(|note| note.contains("000000000009") && note.contains(expect)),
        "{:?}",
        notes(&events)
    );
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    check_damage(|path, bytes| fs::write(path, &bytes[..bytes.len() / 2]).unwrap(), "not what was written");
    check_damage(|path, _| fs::write(path, b"").unwrap(), "too short");
    check_damage(
        |path, mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        "not what was written",
    );
    check_damage(
        |path, bytes| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), bytes).unwrap();
        },
        "cannot",
    );
}

#[test]
fn a_checkpoint_of_something_else_is_ignored_with_a_note() {
    let learner = busy(optim());
    let data = wine(&learner);
    let dir = tempfile::tempdir().unwrap();
    train_until(&spec(learner.clone(), "cultivar", 3), &data, dir.path(), 4);
    let other_seed = resume(&spec(learner.clone(), "cultivar", 4), &data, dir.path());
    assert_eq!(other_seed.1, None);
    assert!(notes(&other_seed.2).iter().any(|note| note.contains("other settings")), "{:?}", notes(&other_seed.2));
    let linear = LearnerSpec::Linear { optim: optim() };
    let other_network = resume(&spec(linear.clone(), "cultivar", 3), &wine(&linear), dir.path());
    assert_eq!(other_network.1, None);
}

#[test]
fn a_folder_that_cannot_be_written_fails_the_run_and_says_so() {
    let learner = busy(optim());
    let (spec, data) = (spec(learner.clone(), "cultivar", 3), wine(&learner));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"a file where the folder should be").unwrap();
    let stop = StopFlag::new();
    stop.stop("enough");
    let err = run_with(&spec, &data, Some(&file), &stop).unwrap_err();
    assert!(err.to_string().contains("file"), "{err}");
    assert_ne!(err.code(), Code::Internal);
}

/// `/dev/full` refuses every byte as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_the_run_as_such() {
    let learner = busy(optim());
    let (spec, data) = (spec(learner.clone(), "cultivar", 3), wine(&learner));
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("000000000004.ckpt.tmp")).unwrap();
    let stop = StopFlag::new();
    stop.limit_steps(4);
    let err = run_with(&spec, &data, Some(dir.path()), &stop).unwrap_err();
    assert_eq!(err.code(), Code::DiskFull, "{err}");
    assert!(err.to_string().contains("000000000004.ckpt"), "{err}");
    assert!(err.hint().unwrap().contains("disk space"));
}

//! The catalogue's defaults on real tables, five folds, against what scikit-learn reaches on them.

use athanor_protocol::{learner::LearnerSpec, network::ModelSpec};

use crate::common::{default_optim, folds, judge, prepare, run, spec, table};

fn check(name: &str, target: &str, learner: LearnerSpec, metric: &str, at_least: f64) {
    let frame = table(name);
    let folds = folds(&frame, target, 5);
    let values: Vec<f64> = (0..folds.len())
        .map(|fold| {
            let data = prepare(&frame, target, &folds, fold, &learner);
            let (outcome, _) = run(&spec(learner.clone(), target, fold as u64), &data).unwrap();
            judge(&outcome, &data).metric(metric).unwrap()
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    println!("{name} {}: {metric} {mean:.4} {values:.3?}", learner.name());
    assert!(mean >= at_least, "{name}: {metric} {mean:.4} is below {at_least}: {values:?}");
}

fn linear() -> LearnerSpec {
    LearnerSpec::Linear { optim: default_optim("train.linear") }
}

fn mlp() -> LearnerSpec {
    LearnerSpec::Network { model: ModelSpec::mlp(&[64, 32], 0.0), optim: default_optim("train.mlp") }
}

#[test]
fn linear_on_breast_cancer() {
    check("breast_cancer.csv", "diagnosis", linear(), "accuracy", 0.965);
}

#[test]
fn linear_on_wine() {
    check("wine.csv", "cultivar", linear(), "accuracy", 0.969);
}

#[test]
fn linear_on_diabetes() {
    check("diabetes.csv", "progression", linear(), "r2", 0.40);
}

#[test]
fn network_on_breast_cancer() {
    check("breast_cancer.csv", "diagnosis", mlp(), "accuracy", 0.949);
}

#[test]
fn network_on_wine() {
    check("wine.csv", "cultivar", mlp(), "accuracy", 0.969);
}

/// One fold: a convolution on the processor takes its time.
#[test]
fn image_network_on_digits() {
    let model = ModelSpec::small_cnn([1, 8, 8], [16, 32], 64, 0.25);
    let learner = LearnerSpec::Network { model, optim: default_optim("train.cnn") };
    let frame = table("digits.csv");
    let folds = folds(&frame, "digit", 5);
    let data = prepare(&frame, "digit", &folds, 0, &learner);
    let (outcome, _) = run(&spec(learner, "digit", 0), &data).unwrap();
    let accuracy = judge(&outcome, &data).metric("accuracy").unwrap();
    println!("digits cnn: {accuracy:.4}");
    assert!(accuracy >= 0.96, "{accuracy}");
}

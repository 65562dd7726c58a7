#![allow(clippy::unwrap_used)]
//! Packages with weights: networks and trees that were trained, and weights that do not belong to their model.

use athanor_protocol::{
    Code,
    columns::{Column, ColumnData, Frame},
    learner::{FloatType, LearnerSpec, OptimConfig, Optimizer, Schedule, TrainSpec, TreesConfig},
    network::ModelSpec,
    package::PartName,
};

use super::{
    super::{Package, RunPackage, build, package_run},
    fixture::*,
};
use crate::{
    LearnError,
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    model::TrainedModel,
    predictor::{Outputs, Predictor},
    statistics,
    train::{StopFlag, TrainEvent, TrainJob, TrainOutcome, train},
};

/// Forty rows of the columns that the recipe of the fixture names; the class depends on `a`, the number on both.
fn rows() -> Frame {
    let a: Vec<f64> = (0..40).map(|row| f64::from(row * 7 % 40) / 10.0).collect();
    let b: Vec<f64> = (0..40).map(|row| f64::from(row * 3 % 11)).collect();
    let kinds = a.iter().map(|a| Some(if *a < 2.0 { "low".into() } else { "high".into() })).collect();
    let id = (0..40).map(f64::from).collect::<Vec<_>>();
    Frame::new(vec![
        column("id", &id),
        column("a", &a),
        column("b", &b),
        Column { name: "kind".into(), data: ColumnData::Text(kinds) },
    ])
    .unwrap()
}

fn optim() -> OptimConfig {
    OptimConfig {
        epochs: 5,
        batch_size: 8,
        learning_rate: 0.05,
        weight_decay: 0.0,
        optimizer: Optimizer::Adam,
        schedule: Schedule::Constant,
        patience: None,
        checkpoint_every_steps: 0,
    }
}

struct Trained {
    model: TrainedModel,
    encoder: FittedEncoder,
    package: Vec<u8>,
}

fn trained(learner: LearnerSpec, target: &str, features: &[&str]) -> Trained {
    let features: Vec<String> = features.iter().map(|&name| name.to_owned()).collect();
    let options = EncodeOptions::for_learner(&learner);
    let (encoder, _) = FittedEncoder::fit(&rows(), target, &features, TaskChoice::Auto, options).unwrap();
    let labelled = encoder.encode_labelled(&rows()).unwrap();
    let spec = TrainSpec {
        learner,
        target: target.to_owned(),
        features,
        seed: 3,
        device: "cpu".to_owned(),
        dtype: FloatType::F32,
        threads: 1,
    };
    let mut sink: Vec<TrainEvent> = Vec::new();
    let outcome = train(TrainJob {
        spec: &spec,
        encoder: &encoder,
        train: (&labelled.samples, &labelled.targets),
        valid: None,
        checkpoint_dir: None,
        stop: &StopFlag::new(),
        sink: &mut sink,
    });
    let TrainOutcome::Done(model) = outcome.unwrap() else { panic!("nobody stopped it") };
    let recipe = recipe(vec![]);
    let outputs = Outputs { n_rows: 0, classes: [].into(), label: None, probabilities: None, value: None };
    let package = package_run(RunPackage {
        model: &model,
        encoder: &encoder,
        recipe: &recipe,
        statistics: &statistics::collect(&rows(), &recipe.input, &outputs).unwrap(),
        lineage: lineage(),
        metrics: vec![],
        created_at_millis: 0,
        athanor_version: "0.1.0",
    });
    Trained { model, encoder, package: package.unwrap() }
}

fn mlp() -> LearnerSpec {
    LearnerSpec::Network { model: ModelSpec::mlp(&[5], 0.0), optim: optim() }
}

/// What a package answers is, bit by bit, what the model answered where it was trained.
fn check_same(trained: &Trained) {
    let package = Package::read(&trained.package[..]).unwrap();
    let outputs = Predictor::from_package(&package, "cpu").unwrap().predict(&rows()).unwrap();
    let expect = trained.model.predict(&trained.encoder.encode(&rows()).unwrap()).unwrap();
    assert_eq!(outputs.probabilities.unwrap_or_default(), expect.probabilities);
    assert_eq!(outputs.value.unwrap_or_default(), expect.values);
    assert_eq!(outputs.n_rows, 40);
}

#[test]
fn a_network_answers_from_its_package_what_it_answered_before() {
    let classes = trained(mlp(), "kind", &["a", "b"]);
    check_same(&classes);
    check_same(&trained(LearnerSpec::Linear { optim: optim() }, "a", &["b", "kind"]));
    assert!(trained(mlp(), "kind", &["a", "b"]).package == classes.package, "the same run gives the same bytes");
}

#[cfg(feature = "lightgbm")]
#[test]
fn trees_answer_from_their_package_what_they_answered_before() {
    let trees = TreesConfig {
        n_rounds: 20,
        learning_rate: 0.2,
        n_leaves: 4,
        min_rows_in_leaf: 2,
        feature_fraction: 1.0,
        bagging_fraction: 1.0,
        l2: 0.0,
        patience: None,
    };
    for (target, features) in [("kind", ["a", "b"]), ("a", ["b", "kind"])] {
        let trained = trained(LearnerSpec::Trees { trees: trees.clone() }, target, &features);
        check_same(&trained);
        assert!(Package::read(trained.package).unwrap().part(PartName::Weights).is_none());
    }
}

/// Loads the network's package with its weights (or model) replaced.
fn load(trained: &Trained, part: PartName, bytes: Vec<u8>) -> Result<Predictor, LearnError> {
    let package = Package::read(&trained.package[..])?;
    let entries = package.manifest().parts.iter().filter(|entry| entry.part != part);
    let mut parts: Vec<(PartName, Vec<u8>)> =
        entries.map(|entry| (entry.part, package.part(entry.part).unwrap().to_vec())).collect();
    parts.push((part, bytes));
    Predictor::from_package(&Package::read(build(package.manifest().clone(), parts)?)?, "cpu")
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let trained = trained(mlp(), "kind", &["a", "b"]);
    let weights = Package::read(&trained.package[..]).unwrap().part(PartName::Weights).unwrap().to_vec();
    load(&trained, PartName::Weights, weights.clone()).unwrap();
    let n_header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&weights[8..8 + n_header]).unwrap();
    let refuse = |from: &str, to: &str, expect: &str| {
        assert!(header.contains(from), "{from} is in {header}");
        let changed = tensors(&header.replacen(from, to, 1), &weights[8 + n_header..]);
        let err = load(&trained, PartName::Weights, changed).unwrap_err();
        assert_eq!(err.code(), Code::Corrupt);
        assert!(err.to_string().starts_with(expect), "{err} begins with {expect}");
    };
    // The same number of bytes in another shape, another type, under another name, or one tensor too many.
    refuse("\"shape\":[2,5]", "\"shape\":[5,2]", "weights: tensor \"layers.0.weight\" has shape [5, 2]");
    refuse("\"dtype\":\"F32\"", "\"dtype\":\"I32\"", "weights: ");
    refuse("layers.0.weight", "layers.9.weight", "weights: tensor \"layers.0.weight\" is missing");
    let extra = "{\"more\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},";
    refuse("{", extra, "weights: tensor \"more\" does not belong to the network");
    let err = load(&trained, PartName::Weights, tensors("{}", &[])).unwrap_err();
    assert!(err.to_string().starts_with("weights: tensor \"layers.0."), "{err}");
}

#[test]
fn a_model_that_does_not_fit_its_encoder_is_refused() {
    let two = trained(mlp(), "kind", &["a", "b"]);
    let number = trained(LearnerSpec::Linear { optim: optim() }, "a", &["b", "id"]);
    let model = Package::read(&number.package[..]).unwrap().part(PartName::Model).unwrap().to_vec();
    let err = load(&two, PartName::Model, model).unwrap_err();
    assert_eq!(err.code(), Code::Corrupt, "{err}");
    let constant =
        br#"{"version":1,"kind":"constant","body":{"n_features":2,"probabilities":[0.2,0.3,0.5],"value":null}}"#;
    let package = Package::read(&two.package[..]).unwrap();
    let parts = [PartName::Recipe, PartName::Encoder, PartName::Statistics];
    let mut parts: Vec<_> = parts.map(|part| (part, package.part(part).unwrap().to_vec())).to_vec();
    parts.push((PartName::Model, constant.to_vec()));
    let package = Package::read(build(package.manifest().clone(), parts).unwrap()).unwrap();
    let err = Predictor::from_package(&package, "cpu").unwrap_err();
    assert_eq!(err.to_string(), "model: it tells 3 classes apart, the encoder 2");
}

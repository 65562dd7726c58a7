//! From a training node's parameters to the specification of the training.

use athanor_protocol::{
    learner::{FloatType, LearnerSpec, OptimConfig, TrainSpec, TreesConfig},
    network::ModelSpec,
};

use super::Params;
use crate::error::Result;

/// Reads the specification of `train.<learner>`.
pub(super) fn train_spec(
    params: &Params<'_>,
    learner: &str,
    seed: u64,
    device: &str,
    threads: u32,
) -> Result<TrainSpec> {
    let learner = match learner {
        "constant" => LearnerSpec::Constant,
        "linear" => LearnerSpec::Linear { optim: optim(params)? },
        "mlp" => {
            let hidden: Vec<usize> = params.get("hidden")?;
            LearnerSpec::Network { model: ModelSpec::mlp(&hidden, params.get("dropout")?), optim: optim(params)? }
        }
        "cnn" => {
            let three = |list: Vec<usize>| {
                <[usize; 3]>::try_from(list).map_err(|_| params.refuse("image", "must be channels, height and width"))
            };
            let two = |list: Vec<usize>| {
                <[usize; 2]>::try_from(list).map_err(|_| params.refuse("channels", "must be two numbers"))
            };
            let image = three(params.get("image")?)?;
            let channels = two(params.get("channels")?)?;
            let model = ModelSpec::small_cnn(image, channels, params.get("hidden")?, params.get("dropout")?);
            LearnerSpec::Network { model, optim: optim(params)? }
        }
        "network" => LearnerSpec::Network { model: params.get("network")?, optim: optim(params)? },
        "trees" => LearnerSpec::Trees {
            trees: TreesConfig {
                n_rounds: params.get("n_rounds")?,
                learning_rate: params.get("learning_rate")?,
                n_leaves: params.get("n_leaves")?,
                min_rows_in_leaf: params.get("min_rows_in_leaf")?,
                feature_fraction: params.get("feature_fraction")?,
                bagging_fraction: params.get("bagging_fraction")?,
                l2: params.get("l2")?,
                patience: none_if_zero(params.get("patience")?),
            },
        },
        _ => return Err(params.refuse("kind", "this worker does not know the learner")),
    };
    Ok(TrainSpec {
        learner,
        target: params.get("target")?,
        features: params.get("features")?,
        seed,
        device: device.to_owned(),
        dtype: FloatType::F32,
        threads,
    })
}

fn optim(params: &Params<'_>) -> Result<OptimConfig> {
    Ok(OptimConfig {
        epochs: params.get("epochs")?,
        batch_size: params.get("batch_size")?,
        learning_rate: params.get("learning_rate")?,
        weight_decay: params.get("weight_decay")?,
        optimizer: params.get("optimizer")?,
        schedule: params.get("schedule")?,
        patience: none_if_zero(params.get("patience")?),
        checkpoint_every_steps: params.get("checkpoint_every_steps")?,
    })
}

fn none_if_zero(patience: u32) -> Option<u32> {
    (patience > 0).then_some(patience)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use athanor_protocol::{catalogue::Catalogue, check::complete_params, workflow::Node};
    use serde_json::{Value, json};

    use super::*;

    fn read(kind: &str, set: &[(&str, Value)]) -> Result<TrainSpec, String> {
        let catalogue = Catalogue::builtin();
        let mut params: BTreeMap<String, Value> =
            set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("target".to_owned(), json!("y"));
        let node = Node {
            id: "t".into(),
            kind: kind.into(),
            title: String::new(),
            params,
            position: None,
            note: String::new(),
        };
        let values = catalogue.kind(kind).map(|kind| complete_params(&node, kind)).unwrap_or_default();
        let params = Params { node: "t", values: &values };
        train_spec(&params, kind.split_once('.').unwrap_or_default().1, 7, "cpu", 2).map_err(|err| err.to_string())
    }

    #[test]
    fn every_training_kind_of_the_catalogue_is_read_with_its_defaults() {
        let needed = [("image", json!([1, 8, 8])), ("network", json!({"version": 1, "layers": [{"layer": "output"}]}))];
        for kind in Catalogue::builtin().kinds.iter().filter(|kind| kind.id.starts_with("train.")) {
            let set: Vec<_> = needed.iter().filter(|(name, _)| kind.param(name).is_some()).cloned().collect();
            let spec = read(&kind.id, &set).unwrap_or_else(|err| panic!("{}: {err}", kind.id));
            assert_eq!((spec.seed, spec.device.as_str(), spec.threads, spec.target.as_str()), (7, "cpu", 2, "y"));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let found = read("train.cnn", &[("image", json!([8, 8]))]);
        assert_eq!(found, Err("node \"t\", parameter \"image\": must be channels, height and width".to_owned()));
        let found = read("train.mlp", &[("hidden", json!(["x"]))]);
        assert!(found.is_err_and(|err| err.starts_with("node \"t\", parameter \"hidden\": invalid type")));
    }

    #[test]
    fn no_patience_is_written_as_zero() {
        let patience = |value: u32| match read("train.linear", &[("patience", json!(value))]).map(|spec| spec.learner) {
            Ok(LearnerSpec::Linear { optim }) => optim.patience,
            other => panic!("{other:?}"),
        };
        assert_eq!((patience(0), patience(5)), (None, Some(5)));
    }
}

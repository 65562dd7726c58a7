//! Trained models: prediction, and the parts that are saved.
//!
//! A model's structure is JSON (`{"version":1,"kind":"network","body":…}`), its weights are safetensors with names such as
//! `layers.0.weight`. Constants and trees have no weights beside the JSON. Nothing in either is code.

use serde::{Deserialize, Serialize};

use crate::{LearnError, network::NetworkModel, samples::Samples, samples::Targets, trees::Forest};

/// The newest structure version that this program reads, and the one that it writes.
pub const MODEL_VERSION: u64 = 1;

/// What a model says of some rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Number of rows.
    pub n_rows: usize,
    /// For classification: probabilities, row-major, `[n_rows, n_classes]`, each row adding up to 1; else empty.
    pub probabilities: Vec<f32>,
    /// For regression: values in the target's own unit, `[n_rows]`; else empty.
    pub values: Vec<f64>,
}

/// A model that was trained.
#[derive(Debug, Clone)]
pub enum TrainedModel {
    /// Always says the same.
    Constant(ConstantModel),
    /// A network (linear models are networks of one layer).
    Network(Box<NetworkModel>),
    /// Boosted trees.
    Trees(Forest),
}

/// The structure of a model as JSON and its weights as safetensors, for a package.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelParts {
    /// The structure, versioned JSON.
    pub model_json: Vec<u8>,
    /// The weights, safetensors; `None` for constants and trees.
    pub weights: Option<Vec<u8>>,
}

/// The baseline: the training shares of the classes, or the training mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstantModel {
    /// Number of features that rows have; they are not looked at.
    pub n_features: usize,
    /// For classification: the training share of each class; else empty.
    pub probabilities: Vec<f32>,
    /// For regression: the training mean.
    pub value: Option<f64>,
}

impl ConstantModel {
    /// Learns the shares or the mean.
    ///
    /// # Errors
    /// If there are no rows.
    pub fn fit(n_features: usize, targets: &Targets) -> Result<Self, LearnError> {
        let n_rows = targets.n_rows();
        if n_rows == 0 {
            return Err(LearnError::BadData { message: "there are no training rows".to_owned(), hint: None });
        }
        match targets {
            Targets::Class { labels, n_classes } => {
                let mut counts = vec![0u64; *n_classes];
                for &label in labels {
                    if let Some(count) = counts.get_mut(label as usize) {
                        *count += 1;
                    }
                }
                let probabilities = counts.iter().map(|&count| (count as f64 / n_rows as f64) as f32).collect();
                Ok(Self { n_features, probabilities, value: None })
            }
            Targets::Number(values) => {
                let mean = values.iter().sum::<f64>() / n_rows as f64;
                Ok(Self { n_features, probabilities: Vec::new(), value: Some(mean) })
            }
        }
    }

    fn validate(&self) -> Result<(), LearnError> {
        let is_share = |p: &f32| (0.0..=1.0).contains(p);
        let sum: f64 = self.probabilities.iter().map(|&p| f64::from(p)).sum();
        let is_classifier = self.value.is_none() && self.probabilities.iter().all(is_share) && (sum - 1.0).abs() < 1e-3;
        let is_regressor = self.probabilities.is_empty() && self.value.is_some_and(f64::is_finite);
        if is_classifier || is_regressor {
            return Ok(());
        }
        Err(corrupt("a constant must be shares that add up to 1, or one finite value"))
    }

    fn predict(&self, samples: &Samples) -> Predictions {
        let n_rows = samples.n_rows;
        let mut probabilities = Vec::with_capacity(n_rows * self.probabilities.len());
        for _ in 0..n_rows {
            probabilities.extend_from_slice(&self.probabilities);
        }
        Predictions { n_rows, probabilities, values: self.value.map_or_else(Vec::new, |value| vec![value; n_rows]) }
    }
}

fn corrupt(message: impl Into<String>) -> LearnError {
    LearnError::Corrupt { part: "model".to_owned(), message: message.into() }
}

/// The saved form. Version and kind are read first and alone, so that a newer file says "newer", not "unknown field".
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<T> {
    version: u64,
    kind: String,
    body: T,
}

#[derive(Deserialize)]
struct Head {
    version: u64,
    kind: String,
}

fn body<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, LearnError> {
    serde_json::from_slice::<Saved<T>>(json).map(|saved| saved.body).map_err(|err| corrupt(err.to_string()))
}

fn saved<T: Serialize>(kind: &str, body: T) -> Result<Vec<u8>, LearnError> {
    serde_json::to_vec(&Saved { version: MODEL_VERSION, kind: kind.to_owned(), body })
        .map_err(|err| LearnError::Internal(format!("cannot write the model's structure: {err}")))
}

impl TrainedModel {
    /// The learner's name as a specification writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Network(_) => "network",
            Self::Trees(_) => "trees",
        }
    }

    /// Number of features that a row must have.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Constant(model) => model.n_features,
            Self::Network(model) => model.n_features(),
            Self::Trees(forest) => forest.n_features(),
        }
    }

    /// Predicts every row of `samples`. Safe from many threads at once; many rows are worked through in batches.
    ///
    /// # Errors
    /// If the number of features is another than the model's, or the device fails.
    pub fn predict(&self, samples: &Samples) -> Result<Predictions, LearnError> {
        if samples.n_features != self.n_features() {
            return Err(LearnError::FeatureCount { expected: self.n_features(), found: samples.n_features });
        }
        match self {
            Self::Constant(model) => Ok(model.predict(samples)),
            Self::Network(model) => model.predict(samples),
            Self::Trees(forest) => forest.predict(samples),
        }
    }

    /// The saved form. Equal models give equal bytes.
    ///
    /// # Errors
    /// If the weights cannot be read from the device.
    pub fn to_parts(&self) -> Result<ModelParts, LearnError> {
        let kind = self.kind();
        let (model_json, weights) = match self {
            Self::Constant(constant) => (saved(kind, constant)?, None),
            Self::Network(network) => (saved(kind, network.structure())?, Some(network.weights()?)),
            Self::Trees(forest) => (saved(kind, forest)?, None),
        };
        Ok(ModelParts { model_json, weights })
    }

    /// Reads the saved form. Versions, shapes, types and values of weights are checked before any is loaded.
    ///
    /// # Errors
    /// If anything is not as [`Self::to_parts`] writes it, or the device is not there.
    pub fn from_parts(model_json: &[u8], weights: Option<&[u8]>, device: &str) -> Result<Self, LearnError> {
        let head: Head = serde_json::from_slice(model_json).map_err(|err| corrupt(err.to_string()))?;
        if head.version == 0 || head.version > MODEL_VERSION {
            return Err(LearnError::Version { part: "model".to_owned(), found: head.version, newest: MODEL_VERSION });
        }
        let no_weights = || match weights {
            None => Ok(()),
            Some(_) => Err(corrupt(format!("a model of kind '{}' has no weights, but some are there", head.kind))),
        };
        match head.kind.as_str() {
            "constant" => {
                no_weights()?;
                let model: ConstantModel = body(model_json)?;
                model.validate()?;
                Ok(Self::Constant(model))
            }
            "trees" => {
                no_weights()?;
                let forest: Forest = body(model_json)?;
                Ok(Self::Trees(forest))
            }
            "network" => {
                let weights = weights.ok_or_else(|| corrupt("the network's weights are missing"))?;
                NetworkModel::load(body(model_json)?, weights, device).map(|model| Self::Network(Box::new(model)))
            }
            other => Err(corrupt(format!("there is no model of kind '{other}'"))),
        }
    }
}

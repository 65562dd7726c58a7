//! What to learn and how: the learner, its settings, and everything that a result depends on.

use serde::{Deserialize, Serialize};

use crate::network::ModelSpec;

/// How the step size changes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays as it is.
    Constant,
    /// Falls along a half cosine to a hundredth.
    Cosine,
}

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam with decoupled weight decay (AdamW), betas 0.9 and 0.999.
    Adam,
    /// Stochastic gradient descent with momentum 0.9.
    Sgd,
}

/// How gradient learners are optimised. No defaults here: every value that a result depends on is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimConfig {
    /// Passes over the training rows.
    pub epochs: u32,
    /// Rows in one step.
    pub batch_size: usize,
    /// Step size at the start.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// How the step size changes.
    pub schedule: Schedule,
    /// Stops after this many epochs without a better validation loss and keeps the best weights; `None` trains on and
    /// keeps the last weights. Needs validation rows.
    pub patience: Option<u32>,
    /// A checkpoint is written at least this often, in steps, besides the end of each epoch; 0 means at epochs only.
    pub checkpoint_every_steps: u64,
}

/// How boosted trees are grown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreesConfig {
    /// Boosting rounds.
    pub n_rounds: u32,
    /// Shrinkage.
    pub learning_rate: f64,
    /// Most leaves in a tree.
    pub n_leaves: u32,
    /// Fewest training rows in a leaf.
    pub min_rows_in_leaf: u32,
    /// Share of the features that a tree sees, (0, 1].
    pub feature_fraction: f64,
    /// Share of the rows that a round sees, (0, 1].
    pub bagging_fraction: f64,
    /// L2 penalty on leaf values.
    pub l2: f64,
    /// Stops after this many rounds without a better validation loss; `None` grows all. Needs validation rows.
    pub patience: Option<u32>,
}

/// The learner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "learner", rename_all = "snake_case")]
pub enum LearnerSpec {
    /// The most frequent class with the training shares as probabilities, or the mean: the baseline to beat.
    Constant,
    /// Linear or logistic regression.
    Linear {
        /// The optimisation.
        optim: OptimConfig,
    },
    /// A network.
    Network {
        /// Its layers.
        model: ModelSpec,
        /// The optimisation.
        optim: OptimConfig,
    },
    /// Gradient-boosted decision trees.
    Trees {
        /// How they are grown.
        trees: TreesConfig,
    },
}

impl LearnerSpec {
    /// The learner as it is written in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear { .. } => "linear",
            Self::Network { .. } => "network",
            Self::Trees { .. } => "trees",
        }
    }
}

/// The type of numbers on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloatType {
    /// 32-bit floating point.
    F32,
}

/// How alike two runs of the same specification come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reproducibility {
    /// Every bit the same, on the same kind of device with the same thread count and program version.
    Bitwise,
    /// The same within rounding (order of additions on a GPU may differ).
    WithinTolerance,
}

/// Everything that training depends on besides the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// The learner and its settings.
    pub learner: LearnerSpec,
    /// The column to predict.
    pub target: String,
    /// The columns to learn from; empty means all others that can be used.
    #[serde(default)]
    pub features: Vec<String>,
    /// The seed of weights, order and dropout.
    pub seed: u64,
    /// The device by name: `cpu`, `vulkan:0`, `metal:0`, `webgpu:0`, `cuda:0`. `auto` is resolved before it is written here.
    pub device: String,
    /// The type of numbers.
    pub dtype: FloatType,
    /// CPU threads, at least 1.
    pub threads: u32,
}

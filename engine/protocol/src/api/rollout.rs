//! Rollouts, as a window asks for them.

use serde::{Deserialize, Serialize};

use crate::rollout::{Rollout, RolloutSpec};

/// Asks for a model's newest rollout, running or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutGet {
    /// The model.
    pub model: String,
}

/// A model's newest rollout.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RolloutAnswer {
    /// `None` where there was never one.
    pub rollout: Option<Rollout>,
}

/// Starts a rollout from the version that `production` points to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutStart {
    /// The model.
    pub model: String,
    /// What is to be done.
    pub spec: RolloutSpec,
}

/// Lets the candidate take over now: `production` moves to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPromote {
    /// The model.
    pub model: String,
}

/// Ends the rollout that runs: everything is answered by the stable version again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutAbort {
    /// The model.
    pub model: String,
}

/// Goes one step back: a running rollout to the share before, a promoted one to the version before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutBack {
    /// The model.
    pub model: String,
}

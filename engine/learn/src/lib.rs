//! Encode, train, evaluate, package and infer: the only crate that knows Burn.
//!
//! A table's rows become [`samples::Samples`] through a fitted encoder ([`encode`]); one training loop ([`train`])
//! turns them into a [`model::TrainedModel`]; [`metrics`] judges it and [`explain`] says why; [`package`] carries it;
//! [`predictor`] answers, and [`contributions`] says of one answer what it is made of.
//!
//! **Architecture Invariant:** no type of Burn, LightGBM or safetensors stands in a public signature.
//!
//! **Architecture Invariant:** anything learned from data (medians, means, category lists) is fitted on the training
//! rows alone and travels with the model; applying it is a pure function, the same in training and in serving.
//!
//! **Architecture Invariant:** training talks outwards only through a sink and a stop flag; the same spec, data, device
//! and thread count give the same result, and a resumed run ends like an unbroken one.
#![warn(missing_docs)]

pub mod contributions;
pub mod device;
pub mod drift;
pub mod encode;
pub mod error;
pub mod explain;
pub mod metrics;
pub mod model;
pub mod network;
pub mod onnx;
pub mod package;
pub mod predictor;
mod rng;
pub mod samples;
pub mod statistics;
pub mod train;
pub mod trees;

pub use error::LearnError;

/// The version of the tensor library, for a run's environment and a package's lineage.
pub const fn burn_version() -> &'static str {
    "0.22.1"
}

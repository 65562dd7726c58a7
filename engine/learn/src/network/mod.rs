//! Networks on Burn: built from a layer list that is data, run for training and for prediction.
//!
//! The parameters are a flat list of named tensors beside the list of operations, so that the optimiser, checkpoints
//! and saved weights all see the same thing: `layers.0.weight` and so on, numbered as in the specification.

mod model;
mod plan;
mod run;
#[cfg(test)]
mod tests;
mod value;

pub use model::{Head, NetworkModel, NetworkStructure};
pub(crate) use model::{forward_rows, from_safetensors, host_values, to_safetensors};
pub(crate) use plan::{Op, Plan, Slot};
pub(crate) use run::{BatchStatistics, EPSILON, Training};
pub(crate) use value::Value;

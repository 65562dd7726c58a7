//! A trained network: prediction, and its weights as safetensors.

use std::collections::BTreeMap;

use athanor_protocol::network::ModelSpec;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Plan, Value};
use crate::{LearnError, device, model::Predictions, samples::Samples};

/// Rows that go through a network at once, at most.
const MAX_BATCH_ROWS: usize = 4096;
/// Values between two layers at once, at most (64 MiB).
const MAX_BATCH_VALUES: usize = 1 << 24;

/// What the outputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "output", rename_all = "snake_case")]
pub enum Head {
    /// Logits: softmax gives the probabilities. Two classes have two outputs.
    Classes,
    /// One value, to be multiplied by `std` and moved by `mean`.
    Number {
        /// Mean of the training targets.
        mean: f64,
        /// Standard deviation of the training targets; 1 where they are all alike.
        std: f64,
    },
}

/// Everything of a network but its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkStructure {
    /// Its layers.
    pub spec: ModelSpec,
    /// Number of encoded features.
    pub n_features: usize,
    /// Number of outputs: classes, or 1.
    pub n_outputs: usize,
    /// What the outputs mean.
    pub head: Head,
}

/// A network with its weights on a device.
#[derive(Debug, Clone)]
pub struct NetworkModel {
    structure: NetworkStructure,
    plan: Plan,
    values: Vec<Value>,
    device: Device,
    device_name: String,
}

fn corrupt(message: impl Into<String>) -> LearnError {
    LearnError::Corrupt { part: "weights".to_owned(), message: message.into() }
}

impl NetworkModel {
    pub(crate) fn new(
        structure: NetworkStructure,
        plan: Plan,
        values: Vec<Value>,
        device: Device,
        device_name: String,
    ) -> Self {
        Self { structure, plan, values, device, device_name }
    }

    /// The network without its weights.
    pub fn structure(&self) -> &NetworkStructure {
        &self.structure
    }

    /// Number of features that a row must have.
    pub fn n_features(&self) -> usize {
        self.structure.n_features
    }

    /// Number of trainable numbers.
    pub fn n_parameters(&self) -> u64 {
        self.plan.n_parameters
    }

    /// Predicts every row, in batches.
    pub(crate) fn predict(&self, samples: &Samples) -> Result<Predictions, LearnError> {
        let outputs = device::guarded(&self.device_name, || {
            forward_rows(&self.plan, &self.values, samples, &self.device, &self.device_name)
        })?;
        let n_rows = samples.n_rows;
        Ok(match self.structure.head {
            Head::Classes => {
                let mut probabilities = outputs;
                probabilities.chunks_exact_mut(self.structure.n_outputs.max(1)).for_each(softmax);
                Predictions { n_rows, probabilities, values: Vec::new() }
            }
            Head::Number { mean, std } => {
                let values = outputs.into_iter().map(|value| f64::from(value) * std + mean).collect();
                Predictions { n_rows, probabilities: Vec::new(), values }
            }
        })
    }

    /// The weights as safetensors, 32-bit floats. Equal weights give equal bytes.
    ///
    /// # Errors
    /// If they cannot be read from the device.
    pub fn weights(&self) -> Result<Vec<u8>, LearnError> {
        let mut tensors = BTreeMap::new();
        for (slot, value) in self.plan.slots.iter().zip(&self.values) {
            tensors.insert(slot.name.clone(), (slot.shape.clone(), host_values(value, &self.device_name)?));
        }
        to_safetensors(&tensors)
    }

    /// Puts a network together from its saved form. Names, shapes, types and values are checked before any is loaded.
    ///
    /// # Errors
    /// If anything does not fit the structure, is not a finite number, or the device is not there.
    pub fn load(structure: NetworkStructure, weights: &[u8], device_name: &str) -> Result<Self, LearnError> {
        let invalid = |message: String| LearnError::Corrupt { part: "model".to_owned(), message };
        let plan = Plan::new(&structure.spec, structure.n_features, structure.n_outputs)
            .map_err(|err| invalid(err.to_string()))?;
        let head_fits = match structure.head {
            Head::Classes => structure.n_outputs >= 2,
            Head::Number { mean, std } => structure.n_outputs == 1 && mean.is_finite() && std.is_finite() && std > 0.0,
        };
        if !head_fits {
            return Err(invalid("the number of outputs or the scale of the target does not fit".to_owned()));
        }
        let mut tensors = from_safetensors(weights, "weights")?;
        let mut loaded = Vec::with_capacity(plan.slots.len());
        for slot in &plan.slots {
            let name = &slot.name;
            let (shape, values) = tensors.remove(name).ok_or_else(|| corrupt(format!("tensor {name:?} is missing")))?;
            if shape != slot.shape {
                return Err(corrupt(format!(
                    "tensor {name:?} has shape {shape:?}, the network needs {:?}",
                    slot.shape
                )));
            }
            if let Some(found) = values.iter().find(|value| !value.is_finite()) {
                return Err(corrupt(format!("tensor {name:?} holds {found}, which is not a finite number")));
            }
            if name.ends_with("running_var") && values.iter().any(|&value| value < 0.0) {
                return Err(corrupt(format!("tensor {name:?} holds a negative variance")));
            }
            loaded.push(values);
        }
        if let Some(name) = tensors.keys().next() {
            return Err(corrupt(format!("tensor {name:?} does not belong to the network")));
        }
        let device_name = device::resolve(device_name)?;
        let device = device::open(&device_name)?;
        let values = device::guarded(&device_name, || {
            Ok(plan.slots.iter().zip(loaded).map(|(slot, values)| Value::new(values, &slot.shape, &device)).collect())
        })?;
        Ok(Self { structure, plan, values, device, device_name })
    }
}

/// Outputs of the last layer for every row, row-major, `[n_rows, n_outputs]`.
pub(crate) fn forward_rows(
    plan: &Plan,
    values: &[Value],
    samples: &Samples,
    device: &Device,
    device_name: &str,
) -> Result<Vec<f32>, LearnError> {
    let n_features = plan.n_features;
    if samples.n_rows == 0 || n_features == 0 {
        return Ok(Vec::new());
    }
    let batch_rows = (MAX_BATCH_VALUES / plan.widest.max(1)).clamp(1, MAX_BATCH_ROWS);
    let mut outputs = Vec::with_capacity(samples.n_rows * plan.n_outputs);
    for rows in samples.features.chunks(batch_rows * n_features) {
        let data = TensorData::new(rows.to_vec(), [rows.len() / n_features, n_features]);
        let result = plan.forward(values, Tensor::from_data(data, device), None);
        append(&mut outputs, result.try_into_data(), device_name)?;
    }
    Ok(outputs)
}

fn append(
    outputs: &mut Vec<f32>,
    data: Result<TensorData, impl std::fmt::Display>,
    device_name: &str,
) -> Result<(), LearnError> {
    let data = data.map_err(|err| device::lost(device_name, &err))?;
    outputs.extend_from_slice(data.as_slice::<f32>().map_err(|err| device::lost(device_name, &err))?);
    Ok(())
}

/// A value's numbers, read back from the device.
pub(crate) fn host_values(value: &Value, device_name: &str) -> Result<Vec<f32>, LearnError> {
    let mut values = Vec::new();
    append(&mut values, device::guarded(device_name, || Ok(value.clone().into_data()))?, device_name)?;
    Ok(values)
}

/// Probabilities from logits, in place: `exp(x - max) / sum`, in 64 bits.
pub(crate) fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp = |x: f32| f64::from(x - largest).exp();
    let sum: f64 = row.iter().map(|&x| exp(x)).sum();
    for x in row {
        *x = (exp(*x) / sum) as f32;
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub(crate) fn to_safetensors(tensors: &Tensors) -> Result<Vec<u8>, LearnError> {
    let failed = |err: safetensors::SafeTensorError| LearnError::Internal(format!("cannot write tensors: {err}"));
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (name, (shape, _)) in tensors {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).map_err(failed)?));
    }
    safetensors::serialize(views, None).map_err(failed)
}

pub(crate) fn from_safetensors(bytes: &[u8], part: &str) -> Result<Tensors, LearnError> {
    let corrupt = |message: String| LearnError::Corrupt { part: part.to_owned(), message };
    let file = SafeTensors::deserialize(bytes).map_err(|err| corrupt(err.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(corrupt(format!("tensor {name:?} has type {:?}, 32-bit floats are needed", view.dtype())));
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

//! Optimisers: AdamW and SGD with momentum.
//!
//! On the processor one pass over a parameter, its gradient and its moments does the whole update in place; on a graphics
//! card it is tensor operations, so that nothing comes back to the host. Both compute the same formulas:
//!
//! AdamW (Loshchilov, Hutter, 2019): `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`,
//! `w ← w(1 − lr·wd) − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)` with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
//!
//! SGD: `m ← 0.9m + g`, `w ← w(1 − lr·wd) − lr·m`. Weight decay pulls weights only, not biases and norms.

use athanor_protocol::learner::Optimizer;
use burn::tensor::{Device, TensorData};
use rayon::prelude::*;

use crate::{
    LearnError, device,
    network::{Plan, Value},
};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
const MOMENTUM: f64 = 0.9;
/// Parameters above this many values are updated by several threads; the result is the same.
const PARALLEL_ABOVE: usize = 1 << 15;

/// A moment where the arithmetic happens: on the host for the processor, else on the device.
#[derive(Debug, Clone)]
enum Moment {
    Host(Vec<f32>),
    Device(Box<Value>),
}

/// The optimiser and its state.
#[derive(Debug, Clone)]
pub(super) struct Optim {
    kind: Optimizer,
    weight_decay: f64,
    first: Vec<Moment>,
    /// Empty for SGD.
    second: Vec<Moment>,
}

/// What one step multiplies with.
#[derive(Clone, Copy)]
struct Factors {
    keep: f64,
    step: f64,
    second_correction: f64,
}

impl Optim {
    /// A fresh optimiser for the plan's slots.
    pub(super) fn new(kind: Optimizer, weight_decay: f64, plan: &Plan, on: &Where<'_>) -> Self {
        let zeros = || plan.slots.iter().map(|slot| on.moment(vec![0.0; slot.len()], &slot.shape)).collect();
        let second = if kind == Optimizer::Adam { zeros() } else { Vec::new() };
        Self { kind, weight_decay, first: zeros(), second }
    }

    /// Puts back what [`Self::state`] gave.
    pub(super) fn restore(&mut self, state: Vec<Vec<f32>>, plan: &Plan, on: &Where<'_>) {
        let n = plan.slots.len();
        let moments: Vec<Moment> = state
            .into_iter()
            .zip(plan.slots.iter().cycle())
            .map(|(values, slot)| on.moment(values, &slot.shape))
            .collect();
        let mut moments = moments.into_iter();
        self.first = moments.by_ref().take(n).collect();
        self.second = moments.collect();
    }

    /// All moments on the host: the first of each slot, then the second of each slot.
    pub(super) fn state(&self, device_name: &str) -> Result<Vec<Vec<f32>>, LearnError> {
        let to_host = |moment: &Moment| match moment {
            Moment::Host(values) => Ok(values.clone()),
            Moment::Device(value) => crate::network::host_values(value, device_name),
        };
        self.first.iter().chain(&self.second).map(to_host).collect()
    }

    /// How many moments [`Self::state`] gives for each slot.
    pub(super) fn n_moments(kind: Optimizer) -> usize {
        match kind {
            Optimizer::Adam => 2,
            Optimizer::Sgd => 1,
        }
    }

    /// Moves one slot's value along its gradient. `step` counts from 1.
    pub(super) fn update(
        &mut self,
        slot: usize,
        decays: bool,
        value: Value,
        gradient: Value,
        (learning_rate, step): (f64, u64),
        on: &Where<'_>,
    ) -> Result<Value, LearnError> {
        // Beyond this power the corrections are 1 to the last bit.
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let decay = if decays { learning_rate * self.weight_decay } else { 0.0 };
        let factors = match self.kind {
            Optimizer::Adam => Factors {
                keep: 1.0 - decay,
                step: learning_rate / (1.0 - BETA_1.powi(power)),
                second_correction: 1.0 / (1.0 - BETA_2.powi(power)).sqrt(),
            },
            Optimizer::Sgd => Factors { keep: 1.0 - decay, step: learning_rate, second_correction: 1.0 },
        };
        match &mut self.first[slot] {
            Moment::Host(first) => {
                let lost = |err: &dyn std::fmt::Display| device::lost(on.name, err);
                let mut weights = value.into_data().map_err(|err| lost(&err))?;
                let gradient: TensorData = gradient.into_data().map_err(|err| lost(&err))?;
                let gradient = gradient.as_slice::<f32>().map_err(|err| lost(&err))?;
                let second = match self.second.get_mut(slot) {
                    Some(Moment::Host(second)) => Some(second.as_mut_slice()),
                    _ => None,
                };
                host_step(weights.as_mut_slice::<f32>().map_err(|err| lost(&err))?, gradient, first, second, factors);
                Ok(Value::from_data(weights, on.device))
            }
            Moment::Device(first) => {
                let second = match self.second.get_mut(slot) {
                    Some(Moment::Device(second)) => Some(second.as_mut()),
                    _ => None,
                };
                Ok(device_step(value, gradient, first, second, factors))
            }
        }
    }
}

/// The device that values live on.
pub(super) struct Where<'a> {
    pub(super) name: &'a str,
    pub(super) device: &'a Device,
}

impl Where<'_> {
    fn moment(&self, values: Vec<f32>, shape: &[usize]) -> Moment {
        if self.name == "cpu" {
            Moment::Host(values)
        } else {
            Moment::Device(Box::new(Value::new(values, shape, self.device)))
        }
    }
}

fn host_step(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: Option<&mut [f32]>, factors: Factors) {
    let n_chunk = if weights.len() > PARALLEL_ABOVE { PARALLEL_ABOVE / 4 } else { usize::MAX };
    let (keep, step, correction) = (factors.keep as f32, factors.step as f32, factors.second_correction as f32);
    let (beta_1, beta_2, epsilon) = (BETA_1 as f32, BETA_2 as f32, EPSILON as f32);
    let (rest_1, rest_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
    match second {
        Some(second) => {
            let adam = |w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]| {
                for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                    *m = beta_1 * *m + rest_1 * g;
                    *v = beta_2 * *v + rest_2 * (g * g);
                    *w = keep * *w - step * *m / (v.sqrt() * correction + epsilon);
                }
            };
            if n_chunk == usize::MAX {
                return adam(weights, gradient, first, second);
            }
            let parts = weights.par_chunks_mut(n_chunk).zip(gradient.par_chunks(n_chunk));
            parts
                .zip(first.par_chunks_mut(n_chunk).zip(second.par_chunks_mut(n_chunk)))
                .for_each(|((w, g), (m, v))| adam(w, g, m, v));
        }
        None => {
            let momentum = MOMENTUM as f32;
            for ((w, &g), m) in weights.iter_mut().zip(gradient).zip(first) {
                *m = momentum * *m + g;
                *w = keep * *w - step * *m;
            }
        }
    }
}

fn device_step(
    value: Value,
    gradient: Value,
    first: &mut Value,
    second: Option<&mut Value>,
    factors: Factors,
) -> Value {
    let kept = if factors.keep == 1.0 { value } else { value.scale(factors.keep) };
    match second {
        Some(second) => {
            *first = first.clone().scale(BETA_1).add(gradient.clone().scale(1.0 - BETA_1));
            *second = second.clone().scale(BETA_2).add(gradient.square().scale(1.0 - BETA_2));
            let divisor = second.clone().sqrt().scale(factors.second_correction).add_scalar(EPSILON);
            kept.sub(first.clone().scale(factors.step).div(divisor))
        }
        None => {
            *first = first.clone().scale(MOMENTUM).add(gradient);
            kept.sub(first.clone().scale(factors.step))
        }
    }
}

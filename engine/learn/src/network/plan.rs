//! From a layer list to operations and named parameters.

use athanor_protocol::network::{Activation, Layer, ModelSpec, PoolKind};

use crate::{LearnError, rng::Rng};

/// A named parameter or running statistic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    /// For example `layers.0.weight`.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Whether the optimiser changes it; running statistics are not trained.
    pub(crate) is_trained: bool,
    /// Whether weight decay pulls it: weights, not biases and norms.
    pub(crate) decays: bool,
    pub(crate) init: Init,
}

impl Slot {
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    Constant(f32),
    /// Uniform in plus and minus this.
    Uniform(f64),
}

/// One operation; numbers are positions in the list of slots.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    Linear { weight: usize, bias: usize },
    Activation(Activation),
    Dropout { probability: f64, layer: usize },
    BatchNorm { gamma: usize, beta: usize, mean: usize, variance: usize },
    LayerNorm { gamma: usize, beta: usize },
    Conv2d { weight: usize, bias: usize, stride: usize, padding: usize },
    Pool2d { kind: PoolKind, kernel: usize, stride: usize },
    GlobalMeanPool,
    Flatten,
}

/// A network's operations and parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) ops: Vec<Op>,
    pub(crate) slots: Vec<Slot>,
    /// `[channels, height, width]` that the input is reshaped to.
    pub(crate) image: Option<[usize; 3]>,
    pub(crate) n_features: usize,
    pub(crate) n_outputs: usize,
    pub(crate) n_parameters: u64,
    /// Greatest number of values between two layers, for one row.
    pub(crate) widest: usize,
}

impl Plan {
    /// Works out every operation and parameter.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub(crate) fn new(spec: &ModelSpec, n_features: usize, n_outputs: usize) -> Result<Self, LearnError> {
        let shapes = spec.shapes(n_features, n_outputs)?;
        let mut input: Vec<usize> = spec.image.map_or_else(|| vec![n_features], |image| image.to_vec());
        let mut plan = Self {
            ops: Vec::new(),
            slots: Vec::new(),
            image: spec.image,
            n_features,
            n_outputs,
            n_parameters: shapes.iter().map(|shape| shape.n_parameters).sum(),
            widest: n_features,
        };
        for (index, (layer, output)) in spec.layers.iter().zip(&shapes).enumerate() {
            let op = plan.add(spec, index, layer, &input);
            plan.ops.push(op);
            plan.widest = plan.widest.max(output.shape.iter().product());
            input.clone_from(&output.shape);
        }
        Ok(plan)
    }

    fn slot(&mut self, index: usize, leaf: &str, shape: &[usize], kind: (bool, bool), init: Init) -> usize {
        let (is_trained, decays) = kind;
        self.slots.push(Slot {
            name: format!("layers.{index}.{leaf}"),
            shape: shape.to_vec(),
            is_trained,
            decays,
            init,
        });
        self.slots.len() - 1
    }

    fn add(&mut self, spec: &ModelSpec, index: usize, layer: &Layer, input: &[usize]) -> Op {
        const WEIGHT: (bool, bool) = (true, true);
        const BIAS: (bool, bool) = (true, false);
        const STATISTIC: (bool, bool) = (false, false);
        let zero = Init::Constant(0.0);
        let one = Init::Constant(1.0);
        // The first side: features of a table, channels of an image.
        let first = input.first().copied().unwrap_or(0);
        match layer {
            Layer::Linear { n_out } => {
                let init = Init::Uniform(init_limit(spec, index, first));
                let weight = self.slot(index, "weight", &[first, *n_out], WEIGHT, init);
                Op::Linear { weight, bias: self.slot(index, "bias", &[*n_out], BIAS, zero) }
            }
            Layer::Output => {
                // A linear model's loss has one valley: it starts at zero, so its result does not depend on the seed's draw.
                let limit = if index == 0 { 0.0 } else { (1.0 / first.max(1) as f64).sqrt() };
                let weight = self.slot(index, "weight", &[first, self.n_outputs], WEIGHT, Init::Uniform(limit));
                Op::Linear { weight, bias: self.slot(index, "bias", &[self.n_outputs], BIAS, zero) }
            }
            Layer::Activation { function } => Op::Activation(*function),
            Layer::Dropout { probability } => Op::Dropout { probability: *probability, layer: index },
            Layer::BatchNorm => Op::BatchNorm {
                gamma: self.slot(index, "weight", &[first], BIAS, one),
                beta: self.slot(index, "bias", &[first], BIAS, zero),
                mean: self.slot(index, "running_mean", &[first], STATISTIC, zero),
                variance: self.slot(index, "running_var", &[first], STATISTIC, one),
            },
            Layer::LayerNorm => {
                let last = input.last().copied().unwrap_or(0);
                Op::LayerNorm {
                    gamma: self.slot(index, "weight", &[last], BIAS, one),
                    beta: self.slot(index, "bias", &[last], BIAS, zero),
                }
            }
            Layer::Conv2d { n_out, kernel, stride, padding } => {
                let init = Init::Uniform(init_limit(spec, index, first * kernel * kernel));
                let weight = self.slot(index, "weight", &[*n_out, first, *kernel, *kernel], WEIGHT, init);
                let bias = self.slot(index, "bias", &[*n_out], BIAS, zero);
                Op::Conv2d { weight, bias, stride: *stride, padding: *padding }
            }
            Layer::Pool2d { kind, kernel, stride } => Op::Pool2d { kind: *kind, kernel: *kernel, stride: *stride },
            Layer::GlobalMeanPool => Op::GlobalMeanPool,
            Layer::Flatten => Op::Flatten,
        }
    }

    /// The first values of a slot: a pure function of the seed and the slot's position.
    pub(crate) fn initial(&self, slot: usize, seed: u64) -> Vec<f32> {
        let Some(Slot { init, .. }) = self.slots.get(slot) else { return Vec::new() };
        let n = self.slots[slot].len();
        match *init {
            Init::Constant(value) => vec![value; n],
            Init::Uniform(limit) => {
                let mut rng = Rng::new(&[seed, INIT_STREAM, slot as u64]);
                (0..n).map(|_| rng.symmetric(limit)).collect()
            }
        }
    }
}

/// Keeps the draws for weights apart from those for order and dropout.
const INIT_STREAM: u64 = 1;

/// The limit of the uniform distribution that keeps the variance through the layer: He (2015) before rectifiers, Glorot
/// (2010, fan-in form) before functions that saturate.
fn init_limit(spec: &ModelSpec, index: usize, fan_in: usize) -> f64 {
    let next = spec.layers.iter().skip(index + 1).find_map(|layer| match layer {
        Layer::Activation { function } => Some(*function),
        _ => None,
    });
    let gain = match next {
        Some(Activation::Tanh | Activation::Sigmoid) | None => 3.0,
        Some(Activation::Relu | Activation::LeakyRelu | Activation::Gelu | Activation::Silu) => 6.0,
    };
    (gain / fan_in.max(1) as f64).sqrt()
}

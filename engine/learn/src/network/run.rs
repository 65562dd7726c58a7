//! The forward pass.

use athanor_protocol::network::{Activation, PoolKind};
use burn::tensor::{
    Device, Tensor, TensorData, activation, module,
    ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions},
};

use super::{
    Value,
    plan::{Op, Plan},
};
use crate::rng::Rng;

/// Added to variances before dividing, as PyTorch does.
pub(crate) const EPSILON: f64 = 1e-5;
/// Keeps the draws for dropout apart from those for weights and order.
const DROPOUT_STREAM: u64 = 3;

/// What flows between layers.
enum Flow {
    /// `[batch, n]`
    Flat(Tensor<2>),
    /// `[batch, channels, height, width]`
    Image(Tensor<4>),
}

/// A batch's mean and (biased) variance at one batch norm, and over how many values they go.
pub(crate) struct BatchStatistics {
    pub(crate) mean_slot: usize,
    pub(crate) variance_slot: usize,
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
    pub(crate) n_values: usize,
}

/// What the forward pass does differently in training.
pub(crate) struct Training<'a> {
    pub(crate) seed: u64,
    /// The step that the dropout masks belong to.
    pub(crate) step: u64,
    /// The device with its tape.
    pub(crate) device: &'a Device,
    /// Filled by batch norms.
    pub(crate) statistics: Vec<BatchStatistics>,
}

impl Plan {
    /// `input` is `[batch, n_features]`, the result `[batch, n_outputs]`: logits, or scaled values.
    ///
    /// The shapes were checked when the plan was made, so Burn's own assertions cannot fire.
    pub(crate) fn forward(
        &self,
        values: &[Value],
        input: Tensor<2>,
        mut training: Option<&mut Training<'_>>,
    ) -> Tensor<2> {
        let [n_rows, _] = input.dims();
        let mut flow = match self.image {
            Some([c, h, w]) => Flow::Image(input.reshape([n_rows, c, h, w])),
            None => Flow::Flat(input),
        };
        for op in &self.ops {
            flow = match flow {
                Flow::Flat(x) => flat(op, values, x, training.as_deref_mut()),
                Flow::Image(x) => image(op, values, x, training.as_deref_mut()),
            };
        }
        match flow {
            Flow::Flat(x) => x,
            // The last layer is linear, so this is not reached; a flat view is right in any case.
            Flow::Image(x) => x.flatten(1, 3),
        }
    }
}

fn vector(values: &[Value], slot: usize) -> Tensor<1> {
    match values.get(slot) {
        Some(Value::V1(tensor)) => tensor.clone(),
        // The plan gave every slot its rank, and values are made from slots.
        _ => unreachable!("slot {slot} is not a vector"),
    }
}

fn flat(op: &Op, values: &[Value], x: Tensor<2>, training: Option<&mut Training<'_>>) -> Flow {
    match op {
        Op::Linear { weight, bias } => {
            let Some(Value::V2(weight)) = values.get(*weight) else { return Flow::Flat(x) };
            Flow::Flat(module::linear(x, weight.clone(), Some(vector(values, *bias))))
        }
        op => Flow::Flat(any_rank(op, values, x, training)),
    }
}

fn image(op: &Op, values: &[Value], x: Tensor<4>, training: Option<&mut Training<'_>>) -> Flow {
    match op {
        Op::Conv2d { weight, bias, stride, padding } => {
            let Some(Value::V4(weight)) = values.get(*weight) else { return Flow::Image(x) };
            let options = ConvOptions::new([*stride; 2], [*padding; 2], [1, 1], 1);
            Flow::Image(module::conv2d(x, weight.clone(), Some(vector(values, *bias)), options))
        }
        Op::Pool2d { kind: PoolKind::Max, kernel, stride } => {
            Flow::Image(module::max_pool2d(x, MaxPoolOptions::new([*kernel; 2]).with_stride([*stride; 2])))
        }
        Op::Pool2d { kind: PoolKind::Mean, kernel, stride } => {
            let options = AvgPoolOptions::new([*kernel; 2]).with_stride([*stride; 2]).with_count_include_pad(false);
            Flow::Image(module::avg_pool2d(x, options))
        }
        Op::GlobalMeanPool => {
            let [n_rows, channels, h, w] = x.dims();
            Flow::Flat(x.reshape([n_rows, channels, h * w]).mean_dim(2).reshape([n_rows, channels]))
        }
        Op::Flatten => Flow::Flat(x.flatten(1, 3)),
        op => Flow::Image(any_rank(op, values, x, training)),
    }
}

fn any_rank<const D: usize>(op: &Op, values: &[Value], x: Tensor<D>, training: Option<&mut Training<'_>>) -> Tensor<D> {
    match op {
        Op::Activation(function) => match function {
            Activation::Relu => activation::relu(x),
            Activation::LeakyRelu => activation::leaky_relu(x, 0.01),
            Activation::Gelu => activation::gelu(x),
            Activation::Silu => activation::silu(x),
            Activation::Tanh => activation::tanh(x),
            Activation::Sigmoid => activation::sigmoid(x),
        },
        Op::Dropout { probability, layer } => match training {
            Some(training) if *probability > 0.0 => {
                let shape: [usize; D] = x.dims();
                let mut rng = Rng::new(&[training.seed, DROPOUT_STREAM, training.step, *layer as u64]);
                let mask = rng.dropout_mask(shape.iter().product(), *probability);
                x * Tensor::<D>::from_data(TensorData::new(mask, shape), training.device)
            }
            _ => x,
        },
        Op::BatchNorm { gamma, beta, mean, variance } => {
            let (gamma, beta) = (vector(values, *gamma), vector(values, *beta));
            match training {
                Some(training) => {
                    let shape: [usize; D] = x.dims();
                    let n_values = shape.iter().product::<usize>() / shape[1].max(1);
                    let result = module::batch_norm_train(x, gamma, beta, EPSILON);
                    training.statistics.push(BatchStatistics {
                        mean_slot: *mean,
                        variance_slot: *variance,
                        mean: result.mean.inner(),
                        variance: result.variance.inner(),
                        n_values,
                    });
                    result.output
                }
                None => module::batch_norm(x, gamma, beta, vector(values, *mean), vector(values, *variance), EPSILON),
            }
        }
        Op::LayerNorm { gamma, beta } => {
            let mean = x.clone().mean_dim(D - 1);
            let centred = x - mean;
            let variance = centred.clone().mul(centred.clone()).mean_dim(D - 1);
            let scaled = centred / variance.add_scalar(EPSILON).sqrt();
            scaled * vector(values, *gamma).unsqueeze() + vector(values, *beta).unsqueeze()
        }
        // The plan's shape check keeps these to their own rank.
        Op::Linear { .. } | Op::Conv2d { .. } | Op::Pool2d { .. } | Op::GlobalMeanPool | Op::Flatten => x,
    }
}

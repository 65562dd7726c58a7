//! Networks as data: a list of layers, their shapes and parameter counts, and errors that name the layer.
//!
//! Shapes leave out the batch dimension: `[n_features]` for tables, `[channels, height, width]` for images.

use serde::{Deserialize, Serialize};

/// Most layers in one network.
pub const MAX_LAYERS: usize = 1_000;
/// Most parameters in one network (4 GiB of 32-bit floats).
pub const MAX_PARAMETERS: u64 = 1 << 30;

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// x for x > 0, else 0.01 x.
    LeakyRelu,
    /// Gaussian error linear unit, exact form.
    Gelu,
    /// x * sigmoid(x).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
}

/// What a pool computes over its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The greatest value.
    Max,
    /// The mean; padding does not count.
    Mean,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Layer {
    /// `y = x W + b`: `[n_in]` to `[n_out]`.
    Linear {
        /// Size of the output.
        n_out: usize,
    },
    /// Elementwise function.
    Activation {
        /// Which one.
        function: Activation,
    },
    /// Sets values to zero at random in training and scales the others.
    Dropout {
        /// Probability of zero, `[0, 1)`.
        probability: f64,
    },
    /// Batch normalisation over features or channels, with running statistics for inference.
    BatchNorm,
    /// Layer normalisation over the last dimension.
    LayerNorm,
    /// 2-D convolution: `[c_in, h, w]` to `[n_out, h', w']`.
    Conv2d {
        /// Output channels.
        n_out: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Step of the kernel.
        #[serde(default = "one")]
        stride: usize,
        /// Zeros around the image.
        #[serde(default)]
        padding: usize,
    },
    /// 2-D pooling: `[c, h, w]` to `[c, h', w']`.
    Pool2d {
        /// Greatest value or mean.
        kind: PoolKind,
        /// Height and width of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
    },
    /// Mean over height and width: `[c, h, w]` to `[c]`.
    GlobalMeanPool,
    /// Any shape to `[n]`.
    Flatten,
    /// The last layer: `y = x W + b`, as many outputs as the target needs.
    Output,
}

fn one() -> usize {
    1
}

impl Layer {
    /// The layer's name in messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Activation { .. } => "activation",
            Self::Dropout { .. } => "dropout",
            Self::BatchNorm => "batch_norm",
            Self::LayerNorm => "layer_norm",
            Self::Conv2d { .. } => "conv2d",
            Self::Pool2d { .. } => "pool2d",
            Self::GlobalMeanPool => "global_mean_pool",
            Self::Flatten => "flatten",
            Self::Output => "output",
        }
    }
}

/// A network: how the encoded features are laid out, and its layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Format version; 1.
    pub version: u32,
    /// `[channels, height, width]` where the features are an image in row-major order; `None` for a flat table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 3]>,
    /// The layers; the last one is [`Layer::Output`].
    pub layers: Vec<Layer>,
}

/// A problem with one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("layer {} ({layer}): {message}", index + 1)]
pub struct LayerProblem {
    /// Position in the list, from 0.
    pub index: usize,
    /// The layer's name.
    pub layer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What leaves a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerShape {
    /// Output shape without the batch dimension.
    pub shape: Vec<usize>,
    /// Trainable parameters of the layer.
    pub n_parameters: u64,
}

impl ModelSpec {
    /// No hidden layer: linear or logistic regression.
    pub fn linear() -> Self {
        Self { version: 1, image: None, layers: vec![Layer::Output] }
    }

    /// Fully connected layers with ReLU and dropout (none where `dropout` is 0).
    pub fn mlp(hidden: &[usize], dropout: f64) -> Self {
        let mut layers = Vec::new();
        for &n_out in hidden {
            layers.push(Layer::Linear { n_out });
            layers.push(Layer::Activation { function: Activation::Relu });
            if dropout > 0.0 {
                layers.push(Layer::Dropout { probability: dropout });
            }
        }
        layers.push(Layer::Output);
        Self { version: 1, image: None, layers }
    }

    /// Two convolutions with a pool and one hidden layer, for small images.
    pub fn small_cnn(image: [usize; 3], channels: [usize; 2], hidden: usize, dropout: f64) -> Self {
        let relu = Layer::Activation { function: Activation::Relu };
        let conv = |n_out| Layer::Conv2d { n_out, kernel: 3, stride: 1, padding: 1 };
        let mut layers = vec![
            conv(channels[0]),
            relu.clone(),
            conv(channels[1]),
            relu.clone(),
            Layer::Pool2d { kind: PoolKind::Max, kernel: 2, stride: 2 },
            Layer::Flatten,
            Layer::Linear { n_out: hidden },
            relu,
        ];
        if dropout > 0.0 {
            layers.push(Layer::Dropout { probability: dropout });
        }
        layers.push(Layer::Output);
        Self { version: 1, image: Some(image), layers }
    }

    /// The shape after each layer, for `n_features` encoded features and `n_outputs` outputs.
    ///
    /// # Errors
    /// The first layer that does not fit, with what would.
    pub fn shapes(&self, n_features: usize, n_outputs: usize) -> Result<Vec<LayerShape>, LayerProblem> {
        let at = |index: usize, message: String| LayerProblem {
            index,
            layer: self.layers.get(index).map_or("input", Layer::name).to_owned(),
            message,
        };
        if self.version != 1 {
            return Err(at(
                0,
                format!("the network has format version {}, this program reads version 1", self.version),
            ));
        }
        if self.layers.len() > MAX_LAYERS {
            return Err(at(MAX_LAYERS, format!("a network has at most {MAX_LAYERS} layers")));
        }
        if !matches!(self.layers.last(), Some(Layer::Output)) {
            return Err(at(self.layers.len().saturating_sub(1), "the last layer must be 'output'".to_owned()));
        }
        let mut shape = match self.image {
            None => vec![n_features],
            Some(image) => {
                let n_pixels = image.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
                if n_pixels != Some(n_features) || n_features == 0 {
                    let [c, h, w] = image;
                    let message = format!("an image of {c} x {h} x {w} does not hold {n_features} features");
                    return Err(at(0, message));
                }
                image.to_vec()
            }
        };
        let mut shapes = Vec::with_capacity(self.layers.len());
        let mut total = 0u64;
        for (index, layer) in self.layers.iter().enumerate() {
            let is_last = index + 1 == self.layers.len();
            if matches!(layer, Layer::Output) && !is_last {
                return Err(at(index, "'output' may only be the last layer".to_owned()));
            }
            let (next, n_parameters) = layer_shape(layer, &shape, n_outputs).map_err(|message| at(index, message))?;
            total = total.saturating_add(n_parameters);
            if total > MAX_PARAMETERS {
                return Err(at(index, format!("the network would have more than {MAX_PARAMETERS} parameters")));
            }
            shapes.push(LayerShape { shape: next.clone(), n_parameters });
            shape = next;
        }
        Ok(shapes)
    }
}

fn layer_shape(layer: &Layer, shape: &[usize], n_outputs: usize) -> Result<(Vec<usize>, u64), String> {
    let dense = |n_out: usize| -> Result<(Vec<usize>, u64), String> {
        let &[n_in] = shape else {
            return Err(format!("takes a flat input but gets {shape:?}; put 'flatten' before it"));
        };
        if n_out == 0 {
            return Err("must have at least one output".to_owned());
        }
        Ok((vec![n_out], (n_in as u64).saturating_add(1).saturating_mul(n_out as u64)))
    };
    let image = || -> Result<[usize; 3], String> {
        <[usize; 3]>::try_from(shape).map_err(|_| {
            format!("takes an image [channels, height, width] but gets {shape:?}; set the network's image size")
        })
    };
    let window = |size: usize, kernel: usize, stride: usize, padding: usize| -> Result<usize, String> {
        if kernel == 0 || stride == 0 {
            return Err("kernel and stride must be at least 1".to_owned());
        }
        let padded =
            padding.checked_mul(2).and_then(|both| size.checked_add(both)).ok_or("the padding is too large")?;
        if kernel > padded {
            return Err(format!("a kernel of {kernel} does not fit into {padded} pixels"));
        }
        Ok((padded - kernel) / stride + 1)
    };
    match layer {
        Layer::Linear { n_out } => dense(*n_out),
        Layer::Output => dense(n_outputs),
        Layer::Activation { .. } => Ok((shape.to_vec(), 0)),
        Layer::Dropout { probability } if (0.0..1.0).contains(probability) => Ok((shape.to_vec(), 0)),
        Layer::Dropout { probability } => {
            Err(format!("the probability is {probability}, it must be at least 0 and below 1"))
        }
        Layer::BatchNorm => Ok((shape.to_vec(), 2 * shape.first().copied().unwrap_or(0) as u64)),
        Layer::LayerNorm => Ok((shape.to_vec(), 2 * shape.last().copied().unwrap_or(0) as u64)),
        Layer::Conv2d { n_out, kernel, stride, padding } => {
            let [c, h, w] = image()?;
            if *n_out == 0 {
                return Err("must have at least one output channel".to_owned());
            }
            let next = vec![*n_out, window(h, *kernel, *stride, *padding)?, window(w, *kernel, *stride, *padding)?];
            let per_channel =
                (c as u64).saturating_mul(*kernel as u64).saturating_mul(*kernel as u64).saturating_add(1);
            Ok((next, per_channel.saturating_mul(*n_out as u64)))
        }
        Layer::Pool2d { kernel, stride, .. } => {
            let [c, h, w] = image()?;
            Ok((vec![c, window(h, *kernel, *stride, 0)?, window(w, *kernel, *stride, 0)?], 0))
        }
        Layer::GlobalMeanPool => Ok((vec![image()?[0]], 0)),
        Layer::Flatten => {
            let n = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
            Ok((vec![n.ok_or("the image is too large")?], 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &ModelSpec, n_features: usize, expect: &str) {
        let found = match spec.shapes(n_features, 10) {
            Ok(shapes) => {
                let total: u64 = shapes.iter().map(|s| s.n_parameters).sum();
                format!("{:?} {total}", shapes.last().map(|s| s.shape.clone()).unwrap_or_default())
            }
            Err(problem) => problem.to_string(),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn shapes_and_parameter_counts_are_those_of_the_textbook() {
        check(&ModelSpec::linear(), 30, "[10] 310");
        check(&ModelSpec::mlp(&[512, 256], 0.0), 784, "[10] 535818");
        check(&ModelSpec::small_cnn([1, 28, 28], [32, 64], 128, 0.5), 784, "[10] 1625866");
        let pooled =
            ModelSpec { version: 1, image: Some([3, 4, 4]), layers: vec![Layer::GlobalMeanPool, Layer::Output] };
        check(&pooled, 48, "[10] 40");
    }

    #[test]
    fn a_layer_that_does_not_fit_is_named() {
        let spec = |image, layers: Vec<Layer>| ModelSpec { version: 1, image, layers };
        check(&spec(None, vec![]), 4, "layer 1 (input): the last layer must be 'output'");
        check(
            &spec(None, vec![Layer::Conv2d { n_out: 4, kernel: 3, stride: 1, padding: 0 }, Layer::Output]),
            4,
            "layer 1 (conv2d): takes an image [channels, height, width] but gets [4]; set the network's image size",
        );
        check(
            &spec(Some([1, 2, 2]), vec![Layer::Output]),
            4,
            "layer 1 (output): takes a flat input but gets [1, 2, 2]; put 'flatten' before it",
        );
        check(
            &spec(Some([1, 2, 2]), vec![Layer::Pool2d { kind: PoolKind::Max, kernel: 3, stride: 1 }, Layer::Output]),
            4,
            "layer 1 (pool2d): a kernel of 3 does not fit into 2 pixels",
        );
        check(
            &spec(Some([1, 3, 3]), vec![Layer::Output]),
            8,
            "layer 1 (output): an image of 1 x 3 x 3 does not hold 8 features",
        );
        check(
            &spec(None, vec![Layer::Linear { n_out: usize::MAX }, Layer::Output]),
            4,
            "layer 1 (linear): the network would have more than 1073741824 parameters",
        );
        check(
            &spec(None, vec![Layer::Dropout { probability: 1.0 }, Layer::Output]),
            4,
            "layer 1 (dropout): the probability is 1, it must be at least 0 and below 1",
        );
    }
}

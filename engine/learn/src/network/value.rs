//! A tensor of one of the ranks that parameters have.

use burn::tensor::{Device, ExecutionError, Gradients, Tensor, TensorData};

/// A parameter or running statistic.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// `[n]`
    V1(Tensor<1>),
    /// `[n_in, n_out]`
    V2(Tensor<2>),
    /// `[n_out, n_in, height, width]`
    V4(Tensor<4>),
}

/// Does the same to whichever rank it is.
macro_rules! each_rank {
    ($value:expr, $tensor:ident => $body:expr) => {
        match $value {
            Value::V1($tensor) => Value::V1($body),
            Value::V2($tensor) => Value::V2($body),
            Value::V4($tensor) => Value::V4($body),
        }
    };
}

/// Combines values of equal rank; ranks of one slot never differ.
macro_rules! each_pair {
    ($left:expr, $right:expr, $a:ident, $b:ident => $body:expr) => {
        match ($left, $right) {
            (Value::V1($a), Value::V1($b)) => Value::V1($body),
            (Value::V2($a), Value::V2($b)) => Value::V2($body),
            (Value::V4($a), Value::V4($b)) => Value::V4($body),
            (left, _) => left,
        }
    };
}

impl Value {
    /// `shape` must have 1, 2 or 4 sides, as those of slots do.
    pub(crate) fn new(values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        Self::from_data(TensorData::new(values, shape.to_vec()), device)
    }

    pub(crate) fn from_data(data: TensorData, device: &Device) -> Self {
        match data.shape().num_dims() {
            1 => Self::V1(Tensor::from_data(data, device)),
            2 => Self::V2(Tensor::from_data(data, device)),
            _ => Self::V4(Tensor::from_data(data, device)),
        }
    }

    pub(crate) fn into_data(self) -> Result<TensorData, ExecutionError> {
        match self {
            Self::V1(tensor) => tensor.try_into_data(),
            Self::V2(tensor) => tensor.try_into_data(),
            Self::V4(tensor) => tensor.try_into_data(),
        }
    }

    /// A copy that gradients are kept for.
    pub(crate) fn tracked(&self) -> Self {
        each_rank!(self.clone(), tensor => tensor.autodiff().require_grad())
    }

    pub(crate) fn gradient(&self, gradients: &mut Gradients) -> Option<Self> {
        Some(match self {
            Self::V1(tensor) => Self::V1(tensor.grad_remove(gradients)?.inner()),
            Self::V2(tensor) => Self::V2(tensor.grad_remove(gradients)?.inner()),
            Self::V4(tensor) => Self::V4(tensor.grad_remove(gradients)?.inner()),
        })
    }

    pub(crate) fn scale(self, factor: f64) -> Self {
        each_rank!(self, tensor => tensor.mul_scalar(factor))
    }

    pub(crate) fn add_scalar(self, term: f64) -> Self {
        each_rank!(self, tensor => tensor.add_scalar(term))
    }

    pub(crate) fn square(self) -> Self {
        each_rank!(self, tensor => tensor.clone().mul(tensor))
    }

    pub(crate) fn sqrt(self) -> Self {
        each_rank!(self, tensor => tensor.sqrt())
    }

    pub(crate) fn add(self, other: Self) -> Self {
        each_pair!(self, other, a, b => a.add(b))
    }

    pub(crate) fn sub(self, other: Self) -> Self {
        each_pair!(self, other, a, b => a.sub(b))
    }

    pub(crate) fn div(self, other: Self) -> Self {
        each_pair!(self, other, a, b => a.div(b))
    }

    /// The vector; `None` for other ranks.
    pub(crate) fn vector(&self) -> Option<&Tensor<1>> {
        match self {
            Self::V1(tensor) => Some(tensor),
            _ => None,
        }
    }
}

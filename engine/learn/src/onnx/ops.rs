//! The operators that a file from elsewhere may use.
//!
//! All compute from their inputs alone. Left out are those that hold other graphs, draw random numbers, or make tensors
//! of any size from a few numbers (`ConstantOfShape`, `Expand`, `Range`, `Tile`, `Pad`, `Resize`, `OneHot`).

use super::proto::ML_DOMAIN;

const STANDARD: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Cos",
    "Cosh",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Transpose",
    "Unsqueeze",
    "Where",
    "Xor",
];

const ML: &[&str] = &[
    "CategoryMapper",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
];

/// Whether an operator may be used. Both lists are sorted.
pub(super) fn is_known(domain: &str, op_type: &str) -> bool {
    let list = match domain {
        "" | "ai.onnx" => STANDARD,
        ML_DOMAIN => ML,
        _ => return false,
    };
    list.binary_search(&op_type).is_ok()
}

/// Whether a domain is known at all.
pub(super) fn is_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx" | ML_DOMAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_hold_nothing_that_makes_tensors_of_any_size() {
        for list in [STANDARD, ML] {
            assert!(list.is_sorted());
        }
        for op in
            ["ConstantOfShape", "Expand", "Range", "Tile", "Pad", "Resize", "OneHot", "If", "Loop", "RandomNormal"]
        {
            assert!(!is_known("", op), "{op}");
        }
        assert!(is_known("ai.onnx", "Gemm") && !is_known("com.example", "Gemm") && !is_known(ML_DOMAIN, "Gemm"));
    }
}

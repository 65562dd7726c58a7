//! The pure-Rust runtime behind one border: tensors in, tensors out, and no panic leaves.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use athanor_protocol::columns::ColumnData;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, IntoTValue, SymbolValues, TDim, TVec, Tensor,
    ToDim, TractResult, TypedRunnableModel, tensor1,
};

use super::{columns::MISSING_MOMENT, ensemble, model::Cells, proto::elem};

/// The runtime's name and version, as reports give it.
pub(super) const RUNTIME: &str = "tract-onnx 0.23.9";

/// What the report says where the trees of the graph were walked by this program's own operator.
pub(super) const RUNTIME_WITH_TREES: &str = "tract-onnx 0.23.9 with this program's TreeEnsembleRegressor";

/// The runtime with the operator that it lacks.
fn framework() -> tract_onnx::Onnx {
    let mut framework = tract_onnx::onnx();
    framework.op_register.insert("TreeEnsembleRegressor", ensemble::build);
    framework
}

/// A graph that is ready to run.
pub(super) struct Session {
    plan: Arc<TypedRunnableModel>,
}

/// What a tensor holds, flat.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

/// Runs `work`; a panic or an error of the runtime becomes a sentence.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(err)) => Err(format!("{err:#}").chars().take(300).collect()),
        Err(_) => Err("the runtime broke down".to_owned()),
    }
}

impl Session {
    /// Prepares a graph. With `n_rows` its first sides are taken to be this number.
    ///
    /// # Errors
    /// A sentence on what the runtime does not know or cannot work out.
    pub(super) fn open(bytes: &[u8], inputs: &[(i32, Vec<usize>)]) -> Result<Self, String> {
        guarded(|| {
            let mut model = framework().with_ignore_output_shapes(true).model_for_read(&mut &bytes[..])?;
            for (at, (elem_type, shape)) in inputs.iter().enumerate() {
                if let Some(datum) = datum(*elem_type) {
                    model.set_input_fact(at, InferenceFact::dt_shape(datum, shape))?;
                }
            }
            Ok(Self { plan: model.into_typed()?.into_runnable()? })
        })
    }

    /// Runs the graph. Outputs come in their order with their shapes.
    ///
    /// # Errors
    /// A sentence on what went wrong.
    pub(super) fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<(Vec<usize>, Values)>, String> {
        guarded(|| {
            let inputs: TVec<_> = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
            let outputs = self.plan.run(inputs)?;
            outputs.iter().map(|output| Ok((output.shape().to_vec(), values(output)?))).collect()
        })
    }
}

fn datum(elem_type: i32) -> Option<DatumType> {
    Some(match elem_type {
        elem::FLOAT => DatumType::F32,
        elem::DOUBLE => DatumType::F64,
        elem::INT32 => DatumType::I32,
        elem::INT64 => DatumType::I64,
        elem::BOOL => DatumType::Bool,
        elem::STRING => DatumType::String,
        _ => return None,
    })
}

fn values(tensor: &Tensor) -> TractResult<Values> {
    Ok(match tensor.datum_type() {
        DatumType::F32 | DatumType::F64 | DatumType::F16 => {
            Values::Floats(tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
        }
        DatumType::String => Values::Texts(tensor.try_as_plain_ram()?.as_slice::<String>()?.to_vec()),
        _ => Values::Ints(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()),
    })
}

/// A column as the tensor that an exported graph takes; `None` where the type does not go with it.
pub(super) fn tensor(data: &ColumnData, elem_type: i32) -> Option<Tensor> {
    let n_rows = data.len();
    let shape = [n_rows, 1];
    let rows = 0..n_rows;
    match (data, elem_type) {
        (ColumnData::Datetime(values), elem::INT64) => {
            let micros: Vec<i64> = values.iter().map(|value| value.unwrap_or(MISSING_MOMENT)).collect();
            Tensor::from_shape(&shape, &micros).ok()
        }
        (ColumnData::Text(values), elem::STRING) => {
            let texts: Vec<String> =
                values.iter().map(|value| value.as_deref().unwrap_or_default().to_owned()).collect();
            tensor1(&texts).into_shape(&shape).ok()
        }
        (ColumnData::Int(values), elem::INT64) => {
            let whole: Vec<i64> = values.iter().map(|value| value.unwrap_or_default()).collect();
            Tensor::from_shape(&shape, &whole).ok()
        }
        (ColumnData::Bool(values), elem::BOOL) => {
            let truths: Vec<bool> = values.iter().map(|value| value.unwrap_or_default()).collect();
            Tensor::from_shape(&shape, &truths).ok()
        }
        (ColumnData::Float(_) | ColumnData::Int(_) | ColumnData::Bool(_), elem::DOUBLE) => {
            let numbers: Vec<f64> = rows.map(|row| data.number(row)).collect();
            Tensor::from_shape(&shape, &numbers).ok()
        }
        _ => None,
    }
}

/// A graph for any number of rows.
pub(super) struct Plan {
    plan: Arc<TypedRunnableModel>,
    widest: usize,
}

impl Plan {
    /// Prepares a graph whose inputs have these types and sides after the first, which is the number of rows.
    ///
    /// # Errors
    /// A sentence on what the runtime does not know or cannot work out.
    pub(super) fn open(bytes: &[u8], inputs: &[(i32, Vec<usize>)]) -> Result<Self, String> {
        guarded(|| {
            let mut model = framework()
                .with_ignore_output_shapes(true)
                .with_ignore_output_types(true)
                .with_ignore_value_info(true)
                .model_for_read(&mut &bytes[..])?;
            let rows = model.symbols.sym("athanor_rows");
            for (at, (elem_type, sides)) in inputs.iter().enumerate() {
                let mut shape: TVec<TDim> = TVec::new();
                shape.push(rows.to_dim());
                shape.extend(sides.iter().map(|side| side.to_dim()));
                if let Some(datum) = datum(*elem_type) {
                    model.set_input_fact(at, InferenceFact::dt_shape(datum, shape))?;
                }
            }
            let typed = model.into_typed()?;
            let one_row = SymbolValues::default().with(&rows, 1);
            let mut widest = 0usize;
            for fact in typed.nodes().iter().flat_map(|node| &node.outputs) {
                let sides = fact.fact.shape.iter().map(|side| side.eval(&one_row).to_i64());
                let n_values = sides.fold(1usize, |product, side| match side {
                    Ok(side) => product.saturating_mul(usize::try_from(side).unwrap_or(usize::MAX)),
                    // A side that depends on more than the number of rows has no bound.
                    Err(_) => usize::MAX,
                });
                widest = widest.max(n_values);
            }
            Ok(Self { plan: typed.into_optimized()?.into_runnable()?, widest })
        })
    }

    /// The most values of a tensor for one row, constants included.
    pub(super) fn widest(&self) -> usize {
        self.widest
    }

    /// Runs the graph.
    ///
    /// # Errors
    /// A sentence on what went wrong.
    pub(super) fn run(&self, inputs: Vec<(Cells, Vec<usize>)>) -> Result<Vec<(Vec<usize>, Values)>, String> {
        guarded(|| {
            let mut tensors: TVec<_> = TVec::new();
            for (cells, shape) in inputs {
                let tensor = match cells {
                    Cells::F32(values) => Tensor::from_shape(&shape, &values)?,
                    Cells::F64(values) => Tensor::from_shape(&shape, &values)?,
                    Cells::I32(values) => Tensor::from_shape(&shape, &values)?,
                    Cells::I64(values) => Tensor::from_shape(&shape, &values)?,
                    Cells::Bool(values) => Tensor::from_shape(&shape, &values)?,
                    Cells::Text(values) => tensor1(&values).into_shape(&shape)?,
                };
                tensors.push(tensor.into_tvalue());
            }
            let outputs = self.plan.run(tensors)?;
            outputs.iter().map(|output| Ok((output.shape().to_vec(), values(output)?))).collect()
        })
    }
}

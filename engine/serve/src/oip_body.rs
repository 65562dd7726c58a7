//! The body of `infer`: from tensors, in JSON or raw, to a model's raw columns.

use std::borrow::Cow;

use athanor_protocol::{
    Failure,
    columns::Frame,
    signature::{ModelSignature, OUTPUT_LABEL, OUTPUT_PROBABILITIES, OUTPUT_VALUE},
    table::DataType,
};
use serde::Deserialize;

use crate::{
    body::{check_depth, not_json},
    config::MAX_VALUES,
    datatype::Datatype,
    plan::{Plan, Taking, near_names},
    refusal::{bad, quoted},
    values::TensorValues,
};

/// Names that the one tensor with all columns may have.
const COMBINED: [&str; 2] = ["input", "inputs"];

#[derive(Deserialize)]
struct InferJson<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<InferParameters>,
    #[serde(borrow)]
    inputs: Vec<TensorJson<'a>>,
    #[serde(default, borrow)]
    outputs: Option<Vec<OutputJson<'a>>>,
}

#[derive(Deserialize, Default)]
struct InferParameters {
    #[serde(default)]
    binary_data_output: bool,
}

#[derive(Deserialize)]
struct TensorJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<TensorParameters>,
    #[serde(default)]
    data: Option<TensorValues>,
}

#[derive(Deserialize, Default)]
struct TensorParameters {
    #[serde(default)]
    binary_data_size: Option<u64>,
    #[serde(default)]
    shared_memory_region: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct OutputJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<OutputParameters>,
}

#[derive(Deserialize, Default)]
struct OutputParameters {
    #[serde(default)]
    binary_data: Option<bool>,
    #[serde(default)]
    classification: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    shared_memory_region: Option<serde::de::IgnoredAny>,
}

/// An output that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// One of the signature's outputs.
    pub(crate) name: &'static str,
    /// As raw bytes behind the JSON.
    pub(crate) is_raw: bool,
}

/// A request, ready to predict.
#[derive(Debug)]
pub(crate) struct InferRequest {
    /// The client's id, to be echoed.
    pub(crate) id: Option<String>,
    /// The outputs in the order of the answer.
    pub(crate) wanted: Vec<Wanted>,
    /// The model's raw columns.
    pub(crate) frame: Frame,
}

/// The names of a model's outputs.
pub(crate) fn output_names(signature: &ModelSignature) -> &'static [&'static str] {
    if signature.task.is_classification() { &[OUTPUT_LABEL, OUTPUT_PROBABILITIES] } else { &[OUTPUT_VALUE] }
}

/// Reads a body. `json_length` is where the JSON ends and raw tensors begin.
///
/// # Errors
/// Everything that is wrong with it, as the client's mistake.
pub(crate) fn read(
    plan: &Plan,
    signature: &ModelSignature,
    body: &[u8],
    json_length: Option<usize>,
    max_depth: usize,
) -> Result<InferRequest, Failure> {
    let Some((json, raw)) = body.split_at_checked(json_length.unwrap_or(body.len())) else {
        return Err(bad("the header 'Inference-Header-Content-Length' is larger than the body"));
    };
    check_depth(json, max_depth)?;
    let request: InferJson<'_> = serde_json::from_slice(json).map_err(|err| not_json(&err))?;
    let wanted = wanted(&request, signature)?;
    let tensors = attach(request.inputs, raw)?;
    let frame = frame(plan, &tensors)?;
    Ok(InferRequest { id: request.id, wanted, frame })
}

/// A model's raw columns from tensors: one for each column, or one with all of them.
///
/// # Errors
/// Names the input, column or row that is wrong.
pub(crate) fn frame(plan: &Plan, tensors: &[Tensor<'_>]) -> Result<Frame, Failure> {
    match tensors {
        [] => Err(bad("'inputs' is empty").hint(columns_hint(plan))),
        [one] if COMBINED.contains(&&*one.name) && plan.find(&one.name, 0).is_none() => combined(plan, one),
        several => by_column(plan, several),
    }
}

fn columns_hint(plan: &Plan) -> String {
    let n = plan.inputs().len();
    format!(
        "send one tensor for each column, or one tensor named 'input' of shape [n, {n}] where all columns are numbers"
    )
}

/// One of the model's outputs by the name that a client gives, where it was not asked for before.
///
/// # Errors
/// If the model has no such output, or `before` has it already.
pub(crate) fn output(signature: &ModelSignature, name: &str, before: &[Wanted]) -> Result<&'static str, Failure> {
    let known = output_names(signature);
    let Some(&found) = known.iter().find(|&&known| known == name) else {
        let failure = bad(format!("the model has no output {}", quoted(name)));
        return Err(failure.hint(format!("its outputs are {}", known.join(" and "))));
    };
    if before.iter().any(|other| other.name == found) {
        return Err(bad(format!("output {found:?} is asked for twice")));
    }
    Ok(found)
}

/// The outputs that are asked for, or all.
fn wanted(request: &InferJson<'_>, signature: &ModelSignature) -> Result<Vec<Wanted>, Failure> {
    let all_raw = request.parameters.as_ref().is_some_and(|parameters| parameters.binary_data_output);
    let asked = request.outputs.as_deref().unwrap_or_default();
    if asked.is_empty() {
        return Ok(output_names(signature).iter().map(|&name| Wanted { name, is_raw: all_raw }).collect());
    }
    let mut wanted: Vec<Wanted> = vec![];
    for asked in asked {
        let name = output(signature, &asked.name, &wanted)?;
        let mut is_raw = all_raw;
        if let Some(parameters) = &asked.parameters {
            if parameters.classification.is_some() {
                return Err(no_classification());
            }
            if parameters.shared_memory_region.is_some() {
                return Err(no_shared_memory());
            }
            is_raw = parameters.binary_data.unwrap_or(all_raw);
        }
        wanted.push(Wanted { name, is_raw });
    }
    Ok(wanted)
}

pub(crate) fn no_classification() -> Failure {
    bad("the parameter 'classification' is not known here").hint("ask for the output 'label'")
}

pub(crate) fn no_shared_memory() -> Failure {
    bad("shared memory is not used here").hint("send and ask for data in the body")
}

/// The values of a tensor as they came.
pub(crate) enum Payload<'a> {
    /// One by one.
    Values(TensorValues),
    /// Little-endian bytes.
    Raw(&'a [u8]),
}

/// A tensor whose shape and number of values are right.
pub(crate) struct Tensor<'a> {
    name: Cow<'a, str>,
    datatype: Datatype,
    n_rows: usize,
    n_columns: usize,
    payload: Payload<'a>,
}

/// Says of which input something is wrong.
pub(crate) fn of_input(name: &str, failure: Failure) -> Failure {
    Failure { message: format!("input {}: {}", quoted(name), failure.message), ..failure }
}

impl<'a> Tensor<'a> {
    /// Checks datatype and shape, and the shape against the number of values, before anything is read.
    ///
    /// # Errors
    /// Names the input.
    pub(crate) fn new(
        name: Cow<'a, str>,
        datatype: &str,
        shape: &[i64],
        payload: Payload<'a>,
    ) -> Result<Self, Failure> {
        let named = |failure: Failure| of_input(&name, failure);
        let datatype = Datatype::parse(datatype).map_err(named)?;
        let (n_rows, n_columns) = dimensions(shape).map_err(named)?;
        if let Payload::Values(data) = &payload {
            let (n_values, n_found) = (n_rows * n_columns, data.values.len());
            if n_found != n_values {
                return Err(named(bad(format!("its shape has {n_values} values, its data {n_found}"))));
            }
            if let Some(found) = data.nesting
                && (shape.len() != 2 || found != (n_rows, n_columns))
            {
                let message = format!("its data is nested as [{}, {}], which is not its shape", found.0, found.1);
                return Err(named(bad(message)));
            }
        }
        Ok(Self { name, datatype, n_rows, n_columns, payload })
    }
}

/// Gives each tensor its part of the raw bytes, in order.
fn attach<'a>(inputs: Vec<TensorJson<'a>>, mut raw: &'a [u8]) -> Result<Vec<Tensor<'a>>, Failure> {
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let named = |failure: Failure| of_input(&input.name, failure);
        let parameters = input.parameters.unwrap_or_default();
        if parameters.shared_memory_region.is_some() {
            return Err(no_shared_memory());
        }
        let payload = match (parameters.binary_data_size, input.data) {
            (Some(_), Some(_)) => return Err(named(bad("it has both 'data' and 'binary_data_size'"))),
            (None, None) => return Err(named(bad("it has neither 'data' nor 'binary_data_size'"))),
            (Some(size), None) => {
                let split = usize::try_from(size).ok().and_then(|size| raw.split_at_checked(size));
                let Some((own, rest)) = split else {
                    return Err(named(bad(format!("{size} raw bytes are announced, {} are there", raw.len()))));
                };
                raw = rest;
                Payload::Raw(own)
            }
            (None, Some(data)) => Payload::Values(data),
        };
        tensors.push(Tensor::new(input.name, &input.datatype, &input.shape, payload)?);
    }
    if raw.is_empty() { Ok(tensors) } else { Err(bad(format!("{} bytes follow the last raw tensor", raw.len()))) }
}

/// Rows and columns of a shape, whose product is within the limit.
fn dimensions(shape: &[i64]) -> Result<(usize, usize), Failure> {
    let rank_hint = "a column has the shape [n] or [n, 1]";
    if let Some(negative) = shape.iter().find(|&&dimension| dimension < 0) {
        return Err(bad(format!("its shape has the negative dimension {negative}")));
    }
    let (n_rows, n_columns) = match shape {
        [n] => (*n, 1),
        [n, m] => (*n, *m),
        [] => return Err(bad("its shape is empty").hint(rank_hint)),
        more => return Err(bad(format!("its shape has {} dimensions", more.len())).hint(rank_hint)),
    };
    let n_values = n_rows.checked_mul(n_columns).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MAX_VALUES);
    // A product of zero can hide one huge dimension.
    match (n_values, usize::try_from(n_rows), usize::try_from(n_columns)) {
        (Some(_), Ok(n_rows), Ok(n_columns)) if n_rows <= MAX_VALUES && n_columns <= MAX_VALUES => {
            Ok((n_rows, n_columns))
        }
        _ => Err(bad(format!("its shape has more than {MAX_VALUES} values")).hint("send fewer rows in one request")),
    }
}

impl Tensor<'_> {
    /// Hands each value on with its position in row-major order.
    fn values(
        &self,
        mut take: impl FnMut(usize, &crate::values::Scalar) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let named = |failure: Failure| of_input(&self.name, failure);
        match &self.payload {
            Payload::Raw(bytes) => {
                self.datatype.read_raw(bytes, self.n_rows * self.n_columns, |at, value| take(at, &value)).map_err(named)
            }
            Payload::Values(data) => {
                for (at, value) in data.values.iter().enumerate() {
                    if !self.datatype.holds(value) {
                        let message =
                            format!("value {} is {}, which is no {}", at + 1, found(value), self.datatype.as_str());
                        return Err(named(bad(message)));
                    }
                    take(at, value).map_err(named)?;
                }
                Ok(())
            }
        }
    }
}

fn found(value: &crate::values::Scalar) -> String {
    match value {
        crate::values::Scalar::Int(v) => v.to_string(),
        crate::values::Scalar::Big(v) => v.to_string(),
        crate::values::Scalar::Float(v) => v.to_string(),
        other => other.kind().to_owned(),
    }
}

/// One tensor with all columns in the signature's order.
fn combined(plan: &Plan, tensor: &Tensor<'_>) -> Result<Frame, Failure> {
    let inputs = plan.inputs();
    let is_number = |dtype| matches!(dtype, DataType::Bool | DataType::Int | DataType::Float);
    if let Some(other) = inputs.iter().find(|input| !is_number(input.dtype)) {
        let message =
            format!("one tensor can't hold column {}, which is {}", quoted(&other.name), other.dtype.as_str());
        return Err(bad(message).on(&other.name).hint("send one tensor for each column"));
    }
    if tensor.datatype == Datatype::Bytes {
        return Err(bad(format!(
            "input {} holds all columns and must be of a number's datatype",
            quoted(&tensor.name)
        )));
    }
    if tensor.n_columns != inputs.len() {
        let message =
            format!("input {} has {} columns, the model {}", quoted(&tensor.name), tensor.n_columns, inputs.len());
        return Err(bad(message).hint(columns_hint(plan)));
    }
    let mut builder = plan.builder(Taking::Exact);
    tensor.values(|at, value| builder.push(at % tensor.n_columns, value))?;
    builder.finish()
}

/// One tensor for each column.
fn by_column(plan: &Plan, tensors: &[Tensor<'_>]) -> Result<Frame, Failure> {
    let mut is_there = vec![false; plan.inputs().len()];
    let mut builder = plan.builder(Taking::Exact);
    let n_rows = tensors.first().map_or(0, |first| first.n_rows);
    for (guess, tensor) in tensors.iter().enumerate() {
        let Some(at) = plan.find(&tensor.name, guess) else {
            let near = near_names(&tensor.name, plan.inputs().iter().map(|input| input.name.as_str()));
            let failure = plan.unknown("input", &tensor.name);
            return Err(if near.is_empty() { failure.hint(columns_hint(plan)) } else { failure });
        };
        if std::mem::replace(&mut is_there[at], true) {
            return Err(bad(format!("input {} is there twice", quoted(&tensor.name))));
        }
        if tensor.n_columns != 1 {
            let message = format!("input {} has {} values in a row", quoted(&tensor.name), tensor.n_columns);
            return Err(bad(message).hint("a column has the shape [n] or [n, 1]"));
        }
        if tensor.n_rows != n_rows {
            let first = tensors.first().map_or("", |first| &*first.name);
            let message =
                format!("input {} has {} rows, {} has {n_rows}", quoted(&tensor.name), tensor.n_rows, quoted(first));
            return Err(bad(message));
        }
        tensor.values(|_, value| builder.push(at, value))?;
    }
    if is_there.contains(&false) {
        return Err(plan.missing("the request", |at| is_there[at]));
    }
    builder.finish()
}

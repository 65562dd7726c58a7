//! What a file from elsewhere must be like before any runtime sees it.

use std::collections::BTreeMap;

use athanor_protocol::names::check_text;
use prost::Message;

use super::{
    corrupt, ops,
    proto::{AttributeProto, GraphProto, ML_DOMAIN, ModelProto, NodeProto, TensorProto, elem},
    scan::scan,
};
use crate::{LearnError, package::foreign};

/// Most bytes of a file that is served.
pub const MAX_ONNX_BYTES: u64 = 256 << 20;
/// Most values of one tensor, and of what is computed of constants alone.
const MAX_ELEMENTS: u64 = 64 << 20;
/// Most sides of a tensor.
const MAX_RANK: usize = 8;
/// Most inputs or outputs of a graph.
const MAX_ENDS: usize = 4_096;
/// Longest name.
const MAX_NAME: usize = 1_024;
/// Greatest kernel, step, padding or number of groups.
const MAX_WINDOW: i64 = 65_536;

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Reads and checks a file. Nothing of it is run.
///
/// # Errors
/// [`LearnError::Corrupt`], [`LearnError::TooLarge`] or [`LearnError::Unsupported`] with what is wrong.
pub(super) fn read(bytes: &[u8]) -> Result<ModelProto, LearnError> {
    if bytes.len() as u64 > MAX_ONNX_BYTES {
        let message = format!("{} bytes are more than {MAX_ONNX_BYTES}", bytes.len());
        return Err(LearnError::TooLarge { what: "onnx".to_owned(), message });
    }
    if bytes.is_empty() {
        return Err(corrupt("the file is empty"));
    }
    if let Some(other) = foreign(bytes).filter(|other| *other != "an ONNX model") {
        return Err(corrupt(format!("this is no ONNX file but {other}")));
    }
    scan(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|err| corrupt(format!("it is no ONNX file: {err}")))?;
    if !(3..=13).contains(&model.ir_version) {
        return Err(unsupported(
            format!("its format version {} is not one of 3 to 13", model.ir_version),
            "export it again with a current version of the program that made it",
        ));
    }
    if !model.functions.is_empty() || !model.training_info.is_empty() {
        return Err(unsupported(
            "it holds functions or training information".to_owned(),
            "export the model for inference, with its functions inlined",
        ));
    }
    let mut has_standard = false;
    for import in &model.opset_import {
        if !ops::is_domain(&import.domain) {
            return Err(unknown_domain(&import.domain));
        }
        let newest = if import.domain == ML_DOMAIN { 5 } else { 22 };
        has_standard |= import.domain != ML_DOMAIN;
        let oldest = if import.domain == ML_DOMAIN { 1 } else { 9 };
        if !(oldest..=newest).contains(&import.version) {
            let message =
                format!("its operators are of version {}, versions {oldest} to {newest} are run here", import.version);
            return Err(unsupported(message, "export it with opset 17"));
        }
    }
    let graph = model.graph.as_ref().ok_or_else(|| corrupt("it has no graph"))?;
    if !has_standard && graph.node.iter().any(|node| node.domain != ML_DOMAIN) {
        return Err(corrupt("it does not say which version its operators are of"));
    }
    check_graph(graph)?;
    Ok(model)
}

fn unsupported(message: String, hint: &str) -> LearnError {
    LearnError::Unsupported { message: format!("onnx: {message}"), hint: Some(hint.to_owned()) }
}

fn unknown_domain(domain: &str) -> LearnError {
    unsupported(
        format!("it uses operators of the domain {:?}", short(domain)),
        "only ai.onnx and ai.onnx.ml are run here; export it without operators of a vendor",
    )
}

fn name_fits(name: &str) -> Result<(), LearnError> {
    check_text("name", name, MAX_NAME).map_err(|err| corrupt(err.to_string()))
}

fn check_graph(graph: &GraphProto) -> Result<(), LearnError> {
    if !graph.sparse_initializer.is_empty() {
        return Err(unsupported("it holds sparse tensors".to_owned(), "store them as dense ones"));
    }
    if graph.node.is_empty() || graph.output.is_empty() {
        return Err(corrupt("its graph is empty"));
    }
    for ends in [&graph.input, &graph.output] {
        if ends.len() > MAX_ENDS {
            let message = format!("{} inputs or outputs are more than {MAX_ENDS}", ends.len());
            return Err(LearnError::TooLarge { what: "onnx".to_owned(), message });
        }
    }
    // What is known before each node: its greatest number of values where it is a constant, else `None`.
    let mut known: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let mut total = 0u64;
    for tensor in &graph.initializer {
        name_fits(&tensor.name)?;
        let n_values = check_tensor(tensor)?;
        total = total.saturating_add(n_values);
        if known.insert(&tensor.name, Some(n_values)).is_some() {
            return Err(corrupt(format!("the tensor {:?} is there twice", short(&tensor.name))));
        }
    }
    let mut inputs: Vec<&str> = Vec::new();
    for input in &graph.input {
        name_fits(&input.name)?;
        if inputs.contains(&input.name.as_str()) || input.name.is_empty() {
            return Err(corrupt(format!("the input {:?} is there twice or has no name", short(&input.name))));
        }
        inputs.push(&input.name);
        known.entry(&input.name).or_insert(None);
    }
    for node in &graph.node {
        let made = check_node(node, &known, &mut total)?;
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            name_fits(output)?;
            if known.insert(output, made).is_some() {
                return Err(corrupt(format!("the tensor {:?} is made twice", short(output))));
            }
        }
    }
    if total > MAX_ELEMENTS {
        let message = format!("{total} values in its tensors are more than {MAX_ELEMENTS}");
        return Err(LearnError::TooLarge { what: "onnx".to_owned(), message });
    }
    match graph.output.iter().find(|output| !known.contains_key(output.name.as_str())) {
        Some(output) => Err(corrupt(format!("no node makes the output {:?}", short(&output.name)))),
        None => Ok(()),
    }
}

/// Checks a node. Returns the most values that its outputs can have, where it computes with constants alone.
fn check_node(
    node: &NodeProto,
    known: &BTreeMap<&str, Option<u64>>,
    total: &mut u64,
) -> Result<Option<u64>, LearnError> {
    name_fits(&node.name)?;
    let op = &node.op_type;
    if !ops::is_domain(&node.domain) {
        return Err(unknown_domain(&node.domain));
    }
    if op == "ZipMap" {
        return Err(unsupported(
            "it ends in ZipMap, which makes a list of dictionaries".to_owned(),
            "convert the model with options={id(model): {'zipmap': False}}",
        ));
    }
    if !ops::is_known(&node.domain, op) {
        let domain = if node.domain.is_empty() { "ai.onnx" } else { node.domain.as_str() };
        return Err(unsupported(
            format!("the operator {:?} of {domain} is not run here", short(op)),
            "docs/serving/onnx.md lists the operators; export the model without this one",
        ));
    }
    if node.output.iter().all(String::is_empty) || node.output.len() > 64 || node.input.len() > MAX_ENDS {
        return Err(corrupt(format!("the node {:?} has no outputs, or too many ends", short(&node.name))));
    }
    let mut constant = Some(0u64);
    for input in node.input.iter().filter(|input| !input.is_empty()) {
        let n_values = known.get(input.as_str()).ok_or_else(|| {
            let message = "is used before it is made, or by itself";
            corrupt(format!("the tensor {:?} {message}", short(input)))
        })?;
        constant = match (constant, n_values, op.as_str()) {
            (Some(sum), Some(n), "Concat" | "Sum" | "Max" | "Min" | "Mean") => Some(sum.saturating_add(*n)),
            (Some(0), Some(n), _) => Some(*n),
            // Broadcasting can make every pair of values.
            (Some(product), Some(n), _) => Some(product.saturating_mul((*n).max(1))),
            _ => None,
        };
    }
    for attribute in &node.attribute {
        if let Some(n_values) = check_attribute(attribute)? {
            *total = total.saturating_add(n_values);
            if op == "Constant" {
                constant = Some(n_values);
            }
        }
    }
    if let Some(n_values) = constant.filter(|n| *n > MAX_ELEMENTS) {
        let message = format!("the node {:?} would make {n_values} values of constants", short(&node.name));
        return Err(LearnError::TooLarge { what: "onnx".to_owned(), message });
    }
    Ok(constant)
}

/// Checks an attribute. Returns the number of values of its tensor, where it is one.
fn check_attribute(attribute: &AttributeProto) -> Result<Option<u64>, LearnError> {
    let name = short(&attribute.name);
    if !attribute.ref_attr_name.is_empty() || attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty()
    {
        return Err(corrupt(format!("the attribute {name:?} is sparse or refers to a function's")));
    }
    if attribute.g.is_some() || !attribute.graphs.is_empty() || !attribute.tensors.is_empty() {
        return Err(corrupt(format!("the attribute {name:?} holds graphs or several tensors")));
    }
    let is_window = matches!(
        attribute.name.as_str(),
        "kernel_shape" | "strides" | "dilations" | "pads" | "output_padding" | "output_shape" | "group" | "size"
    );
    if is_window && attribute.ints.iter().chain([&attribute.i]).any(|value| !(0..=MAX_WINDOW).contains(value)) {
        return Err(corrupt(format!("the attribute {name:?} is not between 0 and {MAX_WINDOW}")));
    }
    let is_step = matches!(attribute.name.as_str(), "kernel_shape" | "strides" | "dilations");
    if is_step && attribute.ints.contains(&0) {
        return Err(corrupt(format!("the attribute {name:?} holds 0")));
    }
    attribute.t.as_ref().map(check_tensor).transpose()
}

/// Checks a tensor: its sides are numbers that its values go with, and all values are in the file.
fn check_tensor(tensor: &TensorProto) -> Result<u64, LearnError> {
    let name = short(&tensor.name);
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err(unsupported(
            format!("the values of the tensor {name:?} are in another file"),
            "save the model as one file, without external data; no file beside it is ever opened",
        ));
    }
    if tensor.dims.len() > MAX_RANK {
        return Err(corrupt(format!("the tensor {name:?} has more than {MAX_RANK} sides")));
    }
    let mut n_values = 1u64;
    for &side in &tensor.dims {
        let side = u64::try_from(side).map_err(|_| corrupt(format!("the tensor {name:?} has the side {side}")))?;
        n_values = n_values.saturating_mul(side);
    }
    if n_values > MAX_ELEMENTS {
        let message = format!("the tensor {name:?} would have {n_values} values, at most {MAX_ELEMENTS} are allowed");
        return Err(LearnError::TooLarge { what: "onnx".to_owned(), message });
    }
    let width = match tensor.data_type {
        elem::FLOAT | elem::INT32 => 4,
        elem::INT64 | elem::DOUBLE => 8,
        elem::BOOL => 1,
        elem::STRING => 0,
        other => {
            return Err(unsupported(
                format!("the tensor {name:?} is of the type {other} of ONNX"),
                "float, double, int32, int64, bool and string are read; convert the model to float",
            ));
        }
    };
    let n_listed = match tensor.data_type {
        elem::FLOAT => tensor.float_data.len(),
        elem::DOUBLE => tensor.double_data.len(),
        elem::INT64 => tensor.int64_data.len(),
        elem::STRING => tensor.string_data.len(),
        _ => tensor.int32_data.len(),
    };
    let n_all = tensor.float_data.len()
        + tensor.double_data.len()
        + tensor.int64_data.len()
        + tensor.string_data.len()
        + tensor.int32_data.len()
        + tensor.uint64_data.len();
    let is_raw = !tensor.raw_data.is_empty();
    let fits = if is_raw {
        width > 0 && n_all == 0 && tensor.raw_data.len() as u64 == n_values * width
    } else {
        n_all == n_listed && n_listed as u64 == n_values
    };
    if !fits || tensor.string_data.iter().any(|text| std::str::from_utf8(text).is_err()) {
        return Err(corrupt(format!("the tensor {name:?} does not hold the {n_values} values that its sides say")));
    }
    Ok(n_values)
}

//! From a package to an ONNX file.

use athanor_protocol::{
    signature::{InputColumn, ModelSignature, OUTPUT_LABEL, OUTPUT_PROBABILITIES, OUTPUT_VALUE},
    table::DataType,
};
use prost::Message;
use serde::Serialize;

use super::{
    check::{self, Prepare, SelfCheck},
    columns::{MISSING_MOMENT, MISSING_TEXT, input_type},
    encoder,
    graph::{Graph, int},
    network::{self, Answer},
    proto::{
        GraphProto, IR_VERSION, ML_DOMAIN, ML_OPSET, ModelProto, OPSET, OperatorSetIdProto, StringStringEntryProto,
        ValueInfoProto, elem,
    },
    recipe, trees, unsupported,
};
use crate::{LearnError, model::TrainedModel, package::Package, predictor::Predictor};

/// Most bytes of a file: what a protobuf message may have.
const MAX_BYTES: usize = i32::MAX as usize;

/// What the file says of where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The registered model's name.
    pub model: &'a str,
    /// Its version.
    pub version: u32,
    /// SHA-256 of the package file, lower-case hex.
    pub package_sha256: &'a str,
    /// What the model is meant for, in its owner's words; empty where nothing is said.
    pub intended_use: &'a str,
    /// The version of this program.
    pub athanor_version: &'a str,
}

/// An input of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnnxInput {
    /// The column's and the input's name.
    pub name: String,
    /// The column's type.
    pub dtype: DataType,
    /// The type of the tensor `[N, 1]`: `double`, `int64`, `bool` or `string`.
    pub tensor: &'static str,
    /// What stands for a missing value: `NaN`, an empty text, or the least 64-bit number; `None` where nothing can.
    pub missing: Option<String>,
}

/// An ONNX file and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The file. Equal packages give equal bytes.
    pub bytes: Vec<u8>,
    /// What goes in.
    pub inputs: Vec<OnnxInput>,
    /// The names of what comes out.
    pub outputs: Vec<String>,
    /// Where the file is more lenient than the package.
    pub notes: Vec<String>,
    /// The file against the package.
    pub check: SelfCheck,
}

/// Writes a package's preparation, encoder and model as one ONNX file that takes raw named columns, then runs the file
/// and compares its answers with the package's own. `prepare` replays the package's recipe on raw rows.
///
/// # Errors
/// [`LearnError::Unsupported`] naming the column or the step that ONNX cannot express; an error if the written file does
/// not answer as the package does.
pub fn export(package: &Package, about: &About<'_>, prepare: Prepare<'_>) -> Result<Exported, LearnError> {
    let predictor = Predictor::from_package(package, "cpu")?;
    let signature = predictor.signature();
    if signature.inputs.is_empty() {
        let hint = "train with a feature that is a column of the table";
        return Err(unsupported("the model takes no columns".to_owned(), hint));
    }
    let mut notes = Vec::new();
    let (graph, outputs) = graph(&predictor, &mut notes)?;
    let inputs = signature.inputs.iter().map(described).collect::<Vec<_>>();
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "athanor".to_owned(),
        producer_version: about.athanor_version.to_owned(),
        model_version: i64::from(about.version),
        graph: Some(graph),
        opset_import: vec![opset("", OPSET), opset(ML_DOMAIN, ML_OPSET)],
        metadata_props: metadata(about, signature, &inputs)?,
        ..ModelProto::default()
    };
    let n_bytes = model.encoded_len();
    if n_bytes > MAX_BYTES {
        let message = format!("{n_bytes} bytes, an ONNX file without external data has at most {MAX_BYTES}");
        return Err(LearnError::TooLarge { what: "the ONNX file".to_owned(), message });
    }
    let bytes = model.encode_to_vec();
    let check = check::check(&bytes, &predictor, &package.statistics()?, prepare)?;
    Ok(Exported { bytes, inputs, outputs, notes, check })
}

pub(super) fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: domain.to_owned(), version }
}

/// The whole graph, and the names of its outputs.
fn graph(predictor: &Predictor, notes: &mut Vec<String>) -> Result<(GraphProto, Vec<String>), LearnError> {
    let signature = predictor.signature();
    let recipe = predictor.recipe();
    let Some((encoder, model)) = predictor.parts() else {
        let hint = "take the file that was imported; the package carries it unchanged";
        return Err(unsupported("the model is an ONNX file already".to_owned(), hint));
    };
    let mut graph = Graph::new(signature.inputs.iter().map(|input| input.name.as_str()));
    // The predictor has checked that the signature has all columns that the recipe takes.
    let columns = recipe::replayed(&mut graph, recipe, &signature.inputs, notes)?;
    let first = signature.inputs.first().map(|input| input.name.clone()).unwrap_or_default();
    let answer = match model {
        // A constant looks at nothing but the number of rows.
        TrainedModel::Constant(constant) => match constant.value {
            Some(value) => Answer::Value(trees::for_every_row(&mut graph, &first, &[value as f32])),
            None => Answer::Probabilities(trees::for_every_row(&mut graph, &first, &constant.probabilities)),
        },
        TrainedModel::Network(network) => {
            let features = encoder::encode(&mut graph, encoder, &columns, notes)?;
            network::network(&mut graph, network, &features)?
        }
        TrainedModel::Trees(forest) => {
            let features = encoder::encode(&mut graph, encoder, &columns, notes)?;
            trees::forest(&mut graph, forest, &features)
        }
    };
    let mut outputs = Vec::new();
    let free = |name: &str| {
        let mut name = name.to_owned();
        while signature.inputs.iter().any(|input| input.name == name) {
            name = format!("predicted_{name}");
        }
        name
    };
    match answer {
        Answer::Probabilities(probabilities) => {
            let (label, all) = (free(OUTPUT_LABEL), free(OUTPUT_PROBABILITIES));
            let best = graph.with("ArgMax", &[&probabilities], vec![int("axis", 1), int("keepdims", 0)]);
            let classes = graph.texts(&signature.classes);
            let name = graph.with("Gather", &[&classes, &best], vec![int("axis", 0)]);
            graph.output(&label, &name);
            graph.output(&all, &probabilities);
            outputs.push(ValueInfoProto::tensor(&label, elem::STRING, &[None]));
            outputs.push(ValueInfoProto::tensor(&all, elem::FLOAT, &[None, Some(signature.classes.len())]));
        }
        Answer::Value(value) => {
            let name = free(OUTPUT_VALUE);
            graph.output(&name, &value);
            outputs.push(ValueInfoProto::tensor(&name, elem::FLOAT, &[None, Some(1)]));
        }
    }
    let names = outputs.iter().map(|output| output.name.clone()).collect();
    Ok((finished(graph, &signature.inputs, outputs), names))
}

/// The graph with its inputs and outputs.
pub(super) fn finished(graph: Graph, inputs: &[InputColumn], output: Vec<ValueInfoProto>) -> GraphProto {
    let input = inputs
        .iter()
        .filter_map(|input| Some(ValueInfoProto::tensor(&input.name, input_type(input)?, &[None, Some(1)])))
        .collect();
    GraphProto {
        node: graph.nodes,
        name: "athanor".to_owned(),
        initializer: graph.constants,
        input,
        output,
        ..GraphProto::default()
    }
}

fn described(input: &InputColumn) -> OnnxInput {
    let (tensor, missing) = match (input_type(input), input.dtype) {
        (Some(elem::DOUBLE), _) => ("double", Some("NaN".to_owned())),
        (Some(elem::INT64), DataType::Date | DataType::Datetime) => ("int64", Some(MISSING_MOMENT.to_string())),
        (Some(elem::INT64), _) => ("int64", None),
        (Some(elem::BOOL), _) => ("bool", None),
        _ => ("string", input.nullable.then(|| MISSING_TEXT.to_owned())),
    };
    OnnxInput { name: input.name.clone(), dtype: input.dtype, tensor, missing }
}

fn metadata(
    about: &About<'_>,
    signature: &ModelSignature,
    inputs: &[OnnxInput],
) -> Result<Vec<StringStringEntryProto>, LearnError> {
    let failed = |err: serde_json::Error| LearnError::Internal(format!("cannot write the signature: {err}"));
    let mut entries = vec![
        ("athanor_version", about.athanor_version.to_owned()),
        ("classes", serde_json::to_string(&signature.classes).map_err(failed)?),
        ("inputs", serde_json::to_string(inputs).map_err(failed)?),
        ("model", format!("{}:{}", about.model, about.version)),
        ("package_sha256", about.package_sha256.to_owned()),
        ("signature", serde_json::to_string(signature).map_err(failed)?),
    ];
    if !about.intended_use.is_empty() {
        entries.push(("intended_use", about.intended_use.to_owned()));
    }
    let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.to_owned(), value };
    Ok(entries.into_iter().map(entry).collect())
}

//! What a file from elsewhere takes and gives, in the words of our signatures.

use athanor_protocol::signature::{InputColumn, ModelSignature, Task};
use athanor_protocol::table::DataType;

use super::{
    corrupt,
    proto::{GraphProto, ModelProto, NodeProto, Side, TensorTypeProto, ValueInfoProto, elem},
};
use crate::LearnError;

/// Most columns of all inputs together.
const MAX_COLUMNS: usize = 100_000;
/// Most classes.
const MAX_CLASSES: usize = 10_000;

/// One input tensor, made of columns that follow each other in the signature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Input {
    /// The type of its values.
    pub(super) elem: i32,
    /// Its sides but the first.
    pub(super) sides: Vec<usize>,
    /// Number of columns: the product of the sides.
    pub(super) n_columns: usize,
}

/// Where the answers are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answers {
    /// `[N, 1]` or `[N]`.
    Value { output: usize },
    /// `[N, n_classes]`, and the classes themselves where the file gives them.
    Classes { probabilities: usize, label: Option<usize> },
}

/// How frames become tensors and tensors become answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) signature: ModelSignature,
    pub(super) inputs: Vec<Input>,
    pub(super) answers: Answers,
}

fn unsupported(message: String, hint: &str) -> LearnError {
    LearnError::Unsupported { message: format!("onnx: {message}"), hint: Some(hint.to_owned()) }
}

/// The value of a metadata entry.
fn property<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

/// Works out the signature.
///
/// # Errors
/// If inputs or outputs are not tensors whose first side is the number of rows, or it cannot be told what is predicted.
pub(super) fn derive(model: &ModelProto, graph: &GraphProto) -> Result<Shape, LearnError> {
    let mut columns = Vec::new();
    let mut inputs = Vec::new();
    let is_constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    for input in graph.input.iter().filter(|input| !is_constant(&input.name)) {
        let (elem, sides) = input_tensor(input)?;
        let n_columns = sides.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let n_columns = n_columns.filter(|&n| n > 0 && n <= MAX_COLUMNS - columns.len().min(MAX_COLUMNS));
        let Some(n_columns) = n_columns else {
            return Err(corrupt(format!("the input {:?} has no columns, or more than {MAX_COLUMNS}", input.name)));
        };
        let dtype = match elem {
            elem::FLOAT | elem::DOUBLE => DataType::Float,
            elem::BOOL => DataType::Bool,
            elem::STRING => DataType::Text,
            _ => DataType::Int,
        };
        let name = |at: usize| if n_columns == 1 { input.name.clone() } else { format!("{}_{at}", input.name) };
        columns.extend((0..n_columns).map(|at| InputColumn { name: name(at), dtype, nullable: false }));
        inputs.push(Input { elem, sides, n_columns });
    }
    if columns.is_empty() {
        return Err(corrupt("it takes nothing"));
    }
    let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(corrupt(format!("two inputs make the column {:?}", pair[0])));
    }
    let (answers, classes) = answers(model, graph)?;
    let task = match classes.len() {
        0 => Task::Regression,
        2 => Task::Binary,
        _ => Task::Multiclass,
    };
    let target = property(model, "target").filter(|target| !target.is_empty() && target.len() <= 256);
    let target = target.unwrap_or("target").to_owned();
    Ok(Shape { signature: ModelSignature { task, target, inputs: columns, classes }, inputs, answers })
}

fn tensor_type(value: &ValueInfoProto) -> Result<&TensorTypeProto, LearnError> {
    let name = &value.name;
    let Some(kind) = &value.r#type else { return Err(corrupt(format!("{name:?} has no type"))) };
    if kind.sequence_type.is_some() || kind.map_type.is_some() {
        return Err(unsupported(
            format!("{name:?} is a list or a dictionary"),
            "convert a classifier with options={id(model): {'zipmap': False}}, so that its probabilities are a tensor",
        ));
    }
    kind.tensor_type.as_ref().ok_or_else(|| corrupt(format!("{name:?} is no tensor")))
}

fn input_tensor(input: &ValueInfoProto) -> Result<(i32, Vec<usize>), LearnError> {
    let name = &input.name;
    let tensor = tensor_type(input)?;
    if !matches!(tensor.elem_type, elem::FLOAT | elem::DOUBLE | elem::INT32 | elem::INT64 | elem::BOOL | elem::STRING) {
        return Err(unsupported(
            format!("the input {name:?} is of the type {} of ONNX", tensor.elem_type),
            "float, double, int32, int64, bool and string go in",
        ));
    }
    let fixed = || {
        unsupported(
            format!("the input {name:?} does not take any number of rows"),
            "export the model with its first dimension dynamic, for example dynamic_axes={'x': {0: 'N'}}",
        )
    };
    let sides = tensor.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let Some((first, rest)) = sides.split_first() else { return Err(fixed()) };
    if matches!(first.value, Some(Side::Fixed(_))) {
        return Err(fixed());
    }
    let mut known = Vec::with_capacity(rest.len());
    for side in rest {
        match side.value {
            Some(Side::Fixed(side)) if side > 0 => known.push(usize::try_from(side).unwrap_or(usize::MAX)),
            _ => {
                return Err(unsupported(
                    format!("the input {name:?} has a side but the first that is not known"),
                    "export the model with the number of its columns fixed",
                ));
            }
        }
    }
    if known.len() > 4 {
        return Err(corrupt(format!("the input {name:?} has too many sides")));
    }
    Ok((tensor.elem_type, known))
}

/// Whether an output holds numbers, and its side after the rows, where it has one and it is known.
fn output_tensor(output: &ValueInfoProto) -> Result<(bool, Option<usize>), LearnError> {
    let tensor = tensor_type(output)?;
    let sides = tensor.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let width = match sides {
        [_, side] => match side.value {
            Some(Side::Fixed(side)) => usize::try_from(side).ok(),
            _ => None,
        },
        [_] => Some(1),
        _ => None,
    };
    Ok((matches!(tensor.elem_type, elem::FLOAT | elem::DOUBLE), width))
}

fn answers(model: &ModelProto, graph: &GraphProto) -> Result<(Answers, Vec<String>), LearnError> {
    let outputs = graph.output.iter().map(output_tensor).collect::<Result<Vec<_>, _>>()?;
    match outputs.as_slice() {
        [(true, Some(1))] => Ok((Answers::Value { output: 0 }, Vec::new())),
        [(true, width)] => {
            if !ends_in_softmax(graph, &graph.output[0].name) {
                return Err(unsupported(
                    format!("it cannot be told what the output {:?} is", graph.output[0].name),
                    "give it the shape [N, 1] for a number, or end the graph in Softmax for probabilities",
                ));
            }
            let answers = Answers::Classes { probabilities: 0, label: None };
            Ok((answers, classes(model, graph, *width, None)?))
        }
        [(false, _), (true, width)] => {
            let label = graph.output[0].r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
            let answers = Answers::Classes { probabilities: 1, label: Some(0) };
            Ok((answers, classes(model, graph, *width, label.map(|label| label.elem_type))?))
        }
        _ => Err(unsupported(
            format!("its {} outputs are not understood", outputs.len()),
            "one number [N, 1], or a label [N] and then probabilities [N, classes]",
        )),
    }
}

/// The node that makes a tensor, through those that change nothing.
fn maker<'a>(graph: &'a GraphProto, name: &str) -> Option<&'a NodeProto> {
    let mut name = name;
    // No more steps than nodes: the graph has no cycles.
    for _ in 0..graph.node.len() {
        let node = graph.node.iter().find(|node| node.output.iter().any(|output| output == name))?;
        if !matches!(node.op_type.as_str(), "Identity" | "Cast") {
            return Some(node);
        }
        name = node.input.first()?;
    }
    None
}

fn ends_in_softmax(graph: &GraphProto, output: &str) -> bool {
    maker(graph, output).is_some_and(|node| matches!(node.op_type.as_str(), "Softmax" | "Normalizer"))
}

/// The names of the classes: from the metadata, from a classifier's own list, or numbers from 0.
fn classes(
    model: &ModelProto,
    graph: &GraphProto,
    width: Option<usize>,
    label: Option<i32>,
) -> Result<Vec<String>, LearnError> {
    let given = property(model, "classes").and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let listed = || {
        graph.node.iter().flat_map(|node| &node.attribute).find_map(|attribute| match attribute.name.as_str() {
            "classlabels_strings" if !attribute.strings.is_empty() => {
                Some(attribute.strings.iter().map(|class| String::from_utf8_lossy(class).into_owned()).collect())
            }
            "classlabels_int64s" | "classlabels_ints" if !attribute.ints.is_empty() => {
                Some(attribute.ints.iter().map(ToString::to_string).collect())
            }
            _ => None,
        })
    };
    let counted = || match (label, width) {
        (Some(elem::STRING), _) | (_, None) => None,
        (_, Some(n)) if n <= MAX_CLASSES => Some((0..n).map(|class| class.to_string()).collect()),
        _ => None,
    };
    let classes: Vec<String> = given.or_else(listed).or_else(counted).ok_or_else(|| {
        unsupported(
            "the names of its classes are nowhere in the file".to_owned(),
            "add a metadata entry 'classes' with a JSON list of their names in the order of the probabilities",
        )
    })?;
    let mut sorted: Vec<&String> = classes.iter().collect();
    sorted.sort_unstable();
    let is_distinct = sorted.windows(2).all(|pair| pair[0] != pair[1]);
    let fits = (2..=MAX_CLASSES).contains(&classes.len()) && width.is_none_or(|width| width == classes.len());
    if !fits || !is_distinct {
        return Err(corrupt(format!("it has {} classes, which do not go with its outputs", classes.len())));
    }
    Ok(classes)
}

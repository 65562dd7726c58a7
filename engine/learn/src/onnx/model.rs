//! An ONNX file from elsewhere as a model: named columns in, our outputs out.

use std::sync::Arc;

use athanor_protocol::{
    columns::{ColumnData, Frame},
    signature::ModelSignature,
};
use prost::Message as _;

use super::{
    corrupt,
    proto::{GraphProto, elem, kind},
    read,
    session::{Plan, Values},
    signature::{self, Answers, Input, Shape},
};
use crate::{LearnError, predictor::Outputs};

/// Values between two nodes at once, at most.
const MAX_BATCH_VALUES: usize = 1 << 24;
/// Rows that go through at once, at most.
const MAX_BATCH_ROWS: usize = 4_096;

/// A file that was checked and prepared. Safe to use from many threads at once.
pub struct OnnxModel {
    shape: Shape,
    /// What the numbers mean that stand for the labels in the graph that runs.
    labels: Option<Vec<String>>,
    plan: Plan,
    batch_rows: usize,
}

impl std::fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnnxModel").field("signature", &self.shape.signature).finish_non_exhaustive()
    }
}

/// What was found in a file, without running it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// What it takes and gives.
    pub signature: ModelSignature,
    /// The program that wrote it, with its version.
    pub producer: String,
    /// The version of its operators.
    pub opset: i64,
}

/// Reads and checks a file, without running anything of it.
///
/// # Errors
/// [`LearnError::Corrupt`], [`LearnError::TooLarge`] or [`LearnError::Unsupported`] with what is wrong and the way out.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, LearnError> {
    let model = read::read(bytes)?;
    let graph = model.graph.as_ref().ok_or_else(|| corrupt("it has no graph"))?;
    let signature = signature::derive(&model, graph)?.signature;
    let opset = model.opset_import.iter().find(|import| matches!(import.domain.as_str(), "" | "ai.onnx"));
    let producer: String = format!("{} {}", model.producer_name, model.producer_version)
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    Ok(Inspected { signature, producer: producer.trim().to_owned(), opset: opset.map_or(0, |import| import.version) })
}

impl OnnxModel {
    /// Reads, checks and prepares a file, and tries it on one row and on two.
    ///
    /// # Errors
    /// [`LearnError::Corrupt`], [`LearnError::TooLarge`] or [`LearnError::Unsupported`] with what is wrong and the way out.
    pub fn open(bytes: &[u8]) -> Result<Self, LearnError> {
        let mut model = read::read(bytes)?;
        let graph = model.graph.as_ref().ok_or_else(|| corrupt("it has no graph"))?;
        let shape = signature::derive(&model, graph)?;
        let labels = model.graph.as_mut().and_then(number_labels);
        let rewritten = labels.as_ref().map(|_| model.encode_to_vec());
        let bytes = rewritten.as_deref().unwrap_or(bytes);
        let kinds: Vec<(i32, Vec<usize>)> =
            shape.inputs.iter().map(|input| (input.elem, input.sides.clone())).collect();
        let plan = Plan::open(bytes, &kinds).map_err(|reason| LearnError::Unsupported {
            message: format!("onnx: the file cannot be run: {reason}"),
            hint: Some("export it with opset 17 and simple operators, and check it with onnx.checker".to_owned()),
        })?;
        let widest = plan.widest().max(1);
        if widest > MAX_BATCH_VALUES {
            let message = format!("{widest} values between two nodes for one row are more than {MAX_BATCH_VALUES}");
            return Err(LearnError::TooLarge { what: "onnx".to_owned(), message });
        }
        let batch_rows = (MAX_BATCH_VALUES / widest).clamp(1, MAX_BATCH_ROWS);
        let opened = Self { shape, labels, plan, batch_rows };
        for n_rows in [1, 2] {
            let nothing = opened.shape.inputs.iter().map(|input| Cells::nothing(input, n_rows)).collect();
            opened.run(nothing, n_rows)?;
        }
        Ok(opened)
    }

    /// What goes in and comes out.
    pub fn signature(&self) -> &ModelSignature {
        &self.shape.signature
    }

    /// Predicts rows with the signature's columns.
    ///
    /// # Errors
    /// If a column is not there, holds a value that the file's type cannot carry, or the answers are not what the
    /// signature says.
    pub fn predict(&self, frame: &Frame) -> Result<Outputs, LearnError> {
        let n_rows = frame.n_rows();
        let mut answers = Answered::default();
        let mut columns = Vec::with_capacity(self.shape.signature.inputs.len());
        for input in &self.shape.signature.inputs {
            let missing = || LearnError::MissingColumn { column: input.name.clone() };
            columns.push((input.name.as_str(), &frame.column(&input.name).ok_or_else(missing)?.data));
        }
        let mut from = 0;
        while from < n_rows {
            let to = (from + self.batch_rows).min(n_rows);
            let mut rest = columns.as_slice();
            let mut tensors = Vec::with_capacity(self.shape.inputs.len());
            for input in &self.shape.inputs {
                let (own, after) = rest.split_at(input.n_columns.min(rest.len()));
                rest = after;
                tensors.push(Cells::of(input, own, from..to)?);
            }
            answers.append(self.run(tensors, to - from)?);
            from = to;
        }
        let classes: Arc<[Arc<str>]> =
            self.shape.signature.classes.iter().map(|class| Arc::from(class.as_str())).collect();
        let is_classifier = !classes.is_empty();
        let label = match answers.labels {
            Some(labels) if is_classifier => {
                let known = |label: &String| classes.iter().find(|class| ***class == **label).map(Arc::clone);
                let named = labels.iter().map(|label| known(label).ok_or(label)).collect::<Result<Vec<_>, _>>();
                Some(
                    named
                        .map_err(|label| corrupt(format!("it answers the class {label:?}, which it does not list")))?,
                )
            }
            _ => None,
        };
        Ok(Outputs {
            n_rows,
            label,
            probabilities: is_classifier.then(|| answers.numbers.iter().map(|&number| number as f32).collect()),
            value: (!is_classifier).then_some(answers.numbers),
            classes,
        })
    }

    /// A label that the graph gives as a number.
    fn label(&self, number: i64) -> String {
        let named = self.labels.as_ref().and_then(|labels| labels.get(usize::try_from(number).ok()?));
        named.map_or_else(|| number.to_string(), Clone::clone)
    }

    fn run(&self, tensors: Vec<Cells>, n_rows: usize) -> Result<Answered, LearnError> {
        let mut inputs = Vec::with_capacity(tensors.len());
        for (cells, input) in tensors.into_iter().zip(&self.shape.inputs) {
            let mut shape = vec![n_rows];
            shape.extend(&input.sides);
            inputs.push((cells, shape));
        }
        let outputs = self.plan.run(inputs).map_err(|reason| LearnError::BadData {
            message: format!("the ONNX model cannot answer: {reason}"),
            hint: Some("a value of a row may be one that the model does not take".to_owned()),
        })?;
        let width = self.shape.signature.classes.len().max(1);
        let wrong = |output: usize| {
            let found = outputs.get(output).map(|(shape, _)| shape.clone()).unwrap_or_default();
            corrupt(format!("output {output} has the shape {found:?} for {n_rows} rows, expected {n_rows} x {width}"))
        };
        let numbers = |output: usize| match outputs.get(output) {
            Some((_, Values::Floats(values))) if values.len() == n_rows * width => Ok(values.clone()),
            _ => Err(wrong(output)),
        };
        match self.shape.answers {
            Answers::Value { output } => Ok(Answered { numbers: numbers(output)?, labels: None }),
            Answers::Classes { probabilities, label } => {
                let labels = match label.and_then(|label| outputs.get(label)) {
                    None => None,
                    Some((_, Values::Texts(labels))) if labels.len() == n_rows => Some(labels.clone()),
                    Some((_, Values::Ints(labels))) if labels.len() == n_rows => {
                        Some(labels.iter().map(|&label| self.label(label)).collect())
                    }
                    Some((shape, _)) => {
                        return Err(corrupt(format!("the label has the shape {shape:?} for {n_rows} rows")));
                    }
                };
                Ok(Answered { numbers: numbers(probabilities)?, labels })
            }
        }
    }
}

/// Lets a classifier of trees answer with the places of its labels instead of their texts, which the runtime cannot do;
/// the texts, where that was needed. Only where the label is an output of the graph: nothing else may read it.
fn number_labels(graph: &mut GraphProto) -> Option<Vec<String>> {
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let read: Vec<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    let node = graph.node.iter_mut().find(|node| {
        let label = node.output.first();
        let is_answer = label.is_some_and(|label| outputs.contains(label) && !read.contains(label));
        node.op_type == "TreeEnsembleClassifier" && is_answer
    })?;
    let label = node.output.first()?.clone();
    let texts = node.attribute.iter_mut().find(|attribute| attribute.name == "classlabels_strings")?;
    let names: Vec<String> = texts.strings.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    if names.is_empty() {
        return None;
    }
    "classlabels_int64s".clone_into(&mut texts.name);
    texts.strings.clear();
    texts.ints = (0..names.len()).filter_map(|place| i64::try_from(place).ok()).collect();
    texts.r#type = kind::INTS;
    let output = graph.output.iter_mut().find(|output| output.name == label)?;
    if let Some(tensor) = output.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut()) {
        tensor.elem_type = elem::INT64;
    }
    Some(names)
}

/// What comes out, flat.
#[derive(Default)]
struct Answered {
    numbers: Vec<f64>,
    labels: Option<Vec<String>>,
}

impl Answered {
    fn append(&mut self, more: Self) {
        self.numbers.extend(more.numbers);
        if let Some(labels) = more.labels {
            self.labels.get_or_insert_default().extend(labels);
        }
    }
}

/// The values of an input tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cells {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl Cells {
    /// Zeros, or empty texts.
    fn nothing(input: &Input, n_rows: usize) -> Self {
        let n = n_rows * input.n_columns;
        match input.elem {
            elem::FLOAT => Self::F32(vec![0.0; n]),
            elem::DOUBLE => Self::F64(vec![0.0; n]),
            elem::INT32 => Self::I32(vec![0; n]),
            elem::BOOL => Self::Bool(vec![false; n]),
            elem::STRING => Self::Text(vec![String::new(); n]),
            _ => Self::I64(vec![0; n]),
        }
    }

    fn of(input: &Input, columns: &[(&str, &ColumnData)], rows: std::ops::Range<usize>) -> Result<Self, LearnError> {
        fn gather<T>(
            columns: &[(&str, &ColumnData)],
            rows: std::ops::Range<usize>,
            wanted: &str,
            cell: impl Fn(&ColumnData, usize) -> Option<T>,
        ) -> Result<Vec<T>, LearnError> {
            let mut cells = Vec::with_capacity(columns.len() * rows.len());
            for row in rows {
                for (name, data) in columns {
                    cells.push(cell(data, row).ok_or_else(|| LearnError::Column {
                        column: (*name).to_owned(),
                        message: format!("row {row} holds no {wanted}, which the model needs"),
                    })?);
                }
            }
            Ok(cells)
        }
        let number = |data: &ColumnData, row: usize| match data {
            ColumnData::Text(_) => None,
            data => Some(data.number(row)),
        };
        let whole = |data: &ColumnData, row: usize| match data {
            ColumnData::Int(values) => values.get(row).copied().flatten(),
            _ => None,
        };
        Ok(match input.elem {
            elem::FLOAT => Self::F32(gather(columns, rows, "number", |data, row| number(data, row).map(|v| v as f32))?),
            elem::DOUBLE => Self::F64(gather(columns, rows, "number", number)?),
            elem::INT32 => Self::I32(gather(columns, rows, "whole number of 32 bits", |data, row| {
                whole(data, row).and_then(|value| i32::try_from(value).ok())
            })?),
            elem::BOOL => Self::Bool(gather(columns, rows, "true or false", |data, row| match data {
                ColumnData::Bool(values) => values.get(row).copied().flatten(),
                _ => None,
            })?),
            elem::STRING => Self::Text(gather(columns, rows, "text", |data, row| match data {
                ColumnData::Text(values) => values.get(row).cloned().flatten().map(|text| text.to_string()),
                _ => None,
            })?),
            _ => Self::I64(gather(columns, rows, "whole number", whole)?),
        })
    }
}

//! The preparation alone: the graph of a recipe, run, against what the package prepared of the same rows.

use std::{collections::BTreeSet, fmt};

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    recipe::{FittedRecipe, FittedStep},
    signature::InputColumn,
};
use prost::Message;

use super::{
    columns::{MISSING_MOMENT, MISSING_TEXT, Value, input_type},
    export::{finished, opset},
    graph::Graph,
    proto::{IR_VERSION, ML_DOMAIN, ML_OPSET, ModelProto, OPSET, ValueInfoProto, elem},
    recipe,
    session::{Session, Values, tensor},
    texts::Places,
};
use crate::LearnError;

/// What the places of a missing text and of one that the package does not have are.
const MISSING: i64 = -1;
const OTHER: i64 = -2;

/// A value that the graph prepares otherwise than the package.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The prepared column.
    pub column: String,
    /// The row, from 0.
    pub row: usize,
    /// What the graph gives.
    pub found: String,
    /// What the package gives.
    pub expected: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, row, found, expected } = self;
        write!(f, "column {column:?} of row {row} is {found} where the package has {expected}")
    }
}

/// How a prepared column is told from the package's.
enum Comparison {
    Numbers,
    Moments,
    /// The texts whose places come out, and whether the empty text may be a missing one.
    Texts(Vec<String>, bool),
}

/// Writes the graph of a recipe, runs it on raw rows and compares every column that a step made or changed with
/// `prepared`, which the package made of the same rows. A number may be off by the share `tolerance` of it. `inputs` are the raw columns of a signature.
///
/// # Errors
/// [`LearnError::Unsupported`] naming the step that ONNX cannot express; an error if the runtime cannot run the graph, or
/// the rows do not have the columns.
pub fn recipe_differences(
    recipe: &FittedRecipe,
    inputs: &[InputColumn],
    raw: &Frame,
    prepared: &Frame,
    tolerance: f64,
) -> Result<Vec<Difference>, LearnError> {
    let mut graph = Graph::new(inputs.iter().map(|input| input.name.as_str()));
    let columns = recipe::replayed(&mut graph, recipe, inputs, &mut Vec::new())?;
    let made: BTreeSet<&str> = recipe
        .steps
        .iter()
        .flat_map(|step| match step {
            FittedStep::Select { .. } => Vec::new(),
            FittedStep::Cast { columns, .. } => columns.iter().map(String::as_str).collect(),
            FittedStep::Fill { values } => values.iter().map(|(column, _)| column.as_str()).collect(),
            FittedStep::Derive { column, .. } => vec![column.as_str()],
        })
        .collect();
    let mut outputs = Vec::new();
    let mut compared: Vec<(&Column, Comparison)> = Vec::new();
    for column in prepared.columns().iter().filter(|column| made.contains(&*column.name)) {
        let Some((_, value)) = columns.iter().find(|(name, _)| **name == *column.name) else { continue };
        let (tensor, elem_type, comparison) = match value {
            Value::Number { tensor, .. } => (tensor.clone(), elem::DOUBLE, Comparison::Numbers),
            Value::Moment { tensor, .. } => (tensor.clone(), elem::INT64, Comparison::Moments),
            Value::Text(text) => {
                let hides_empty = text.hides_empty();
                let labels: BTreeSet<String> =
                    (0..prepared.n_rows()).filter_map(|row| column.data.label(row)).map(|l| l.to_string()).collect();
                let keys: Vec<String> =
                    labels.into_iter().filter(|label| !(hides_empty && label == MISSING_TEXT)).collect();
                let places = Places { keys: &keys, missing: MISSING, other: OTHER };
                (text.place(&mut graph, places), elem::INT64, Comparison::Texts(keys, hides_empty))
            }
        };
        let name = format!("prepared {}", outputs.len());
        graph.output(&name, &tensor);
        outputs.push(ValueInfoProto::tensor(&name, elem_type, &[None, Some(1)]));
        compared.push((column, comparison));
    }
    if compared.is_empty() {
        return Ok(Vec::new());
    }
    let model = ModelProto {
        ir_version: IR_VERSION,
        graph: Some(finished(graph, inputs, outputs)),
        opset_import: vec![opset("", OPSET), opset(ML_DOMAIN, ML_OPSET)],
        ..ModelProto::default()
    };
    let mut shapes = Vec::with_capacity(inputs.len());
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let data = raw.column(&input.name).map(|column| &column.data);
        let data = data.ok_or_else(|| LearnError::MissingColumn { column: input.name.clone() })?;
        let fits = input_type(input).and_then(|elem_type| Some((elem_type, tensor(data, elem_type)?)));
        let Some((elem_type, tensor)) = fits else {
            let message = format!("the runtime takes no column like {:?}", input.name);
            return Err(LearnError::Internal(message));
        };
        shapes.push((elem_type, vec![raw.n_rows(), 1]));
        tensors.push(tensor);
    }
    let session = Session::open(&model.encode_to_vec(), &shapes);
    let failed = |reason: String| LearnError::Internal(format!("the runtime cannot run the preparation: {reason}"));
    let answers = session.and_then(|session| session.run(tensors)).map_err(failed)?;
    if answers.len() != compared.len() {
        return Err(failed("it gives another number of columns".to_owned()));
    }
    let mut differences = Vec::new();
    for ((column, comparison), (_, values)) in compared.iter().zip(&answers) {
        let n_values = match values {
            Values::Floats(values) => values.len(),
            Values::Ints(values) => values.len(),
            Values::Texts(values) => values.len(),
        };
        if n_values != prepared.n_rows() {
            return Err(failed(format!("column {:?} has {n_values} rows", column.name)));
        }
        for row in 0..n_values {
            if let Some((found, expected)) = difference(column, comparison, values, row, tolerance) {
                differences.push(Difference { column: column.name.to_string(), row, found, expected });
            }
        }
    }
    Ok(differences)
}

/// What the graph and the package have, where it is not the same.
fn difference(
    column: &Column,
    comparison: &Comparison,
    values: &Values,
    row: usize,
    tolerance: f64,
) -> Option<(String, String)> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "missing".to_owned());
    match (comparison, values) {
        (Comparison::Numbers, Values::Floats(values)) => {
            let (found, expected) = (*values.get(row)?, column.data.number(row));
            let is_same = found == expected || (found.is_nan() && expected.is_nan());
            let is_close = (found - expected).abs() <= tolerance * expected.abs();
            (!is_same && !is_close).then(|| (found.to_string(), expected.to_string()))
        }
        (Comparison::Moments, Values::Ints(values)) => {
            let found = Some(*values.get(row)?).filter(|&micros| micros != MISSING_MOMENT);
            let expected = match &column.data {
                ColumnData::Datetime(values) => *values.get(row)?,
                _ => None,
            };
            let written = |micros: Option<i64>| text(micros.map(|micros| format!("{micros} microseconds")));
            (found != expected).then(|| (written(found), written(expected)))
        }
        (Comparison::Texts(keys, hides_empty), Values::Ints(values)) => {
            let found = *values.get(row)?;
            let expected = column.data.label(row);
            let is_same = match &expected {
                Some(label) if *hides_empty && **label == *MISSING_TEXT => found == MISSING || found == OTHER,
                Some(label) => usize::try_from(found).ok().and_then(|at| keys.get(at)) == Some(&label.to_string()),
                None => found == MISSING,
            };
            let written = match found {
                MISSING => "missing".to_owned(),
                OTHER => "another text".to_owned(),
                at => usize::try_from(at)
                    .ok()
                    .and_then(|at| keys.get(at))
                    .map_or_else(String::new, |key| format!("{key:?}")),
            };
            (!is_same).then(|| (written, text(expected.map(|label| format!("{label:?}")))))
        }
        _ => Some(("of another type".to_owned(), column.data.dtype().as_str().to_owned())),
    }
}

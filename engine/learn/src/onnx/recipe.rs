//! The fitted recipe as a graph.

use athanor_protocol::{
    recipe::{FittedRecipe, FittedStep, OnCastError},
    signature::InputColumn,
};

use super::{
    columns::{self, Value},
    expression,
    graph::Graph,
    unsupported,
};
use crate::LearnError;

/// Most nodes of a preparation.
const MAX_NODES: usize = 200_000;

/// Named columns in their order.
pub(super) type Columns = Vec<(String, Value)>;

/// The columns that come out of a whole recipe.
pub(super) fn replayed(
    graph: &mut Graph,
    recipe: &FittedRecipe,
    inputs: &[InputColumn],
    notes: &mut Vec<String>,
) -> Result<Columns, LearnError> {
    let mut columns = Columns::new();
    for column in &recipe.input.columns {
        let Some(input) = inputs.iter().find(|input| input.name == column.name) else { continue };
        columns.push((input.name.clone(), columns::input(graph, input)?));
    }
    apply(graph, &recipe.steps, &mut columns, notes)?;
    Ok(columns)
}

/// Replays the steps in the graph. Notes say where the graph is more lenient than the package.
pub(super) fn apply(
    graph: &mut Graph,
    steps: &[FittedStep],
    columns: &mut Columns,
    notes: &mut Vec<String>,
) -> Result<(), LearnError> {
    for step in steps {
        match step {
            FittedStep::Select { columns: kept } => columns.retain(|(name, _)| kept.contains(name)),
            FittedStep::Cast { columns: names, to, on_error } => {
                for (name, value) in columns.iter_mut().filter(|(name, _)| names.contains(name)) {
                    let from = value.dtype();
                    *value = value.cast(graph, *to).ok_or_else(|| {
                        unsupported(
                            format!(
                                "the step 'cast' of column {name:?} from {} to {} cannot be exported: ONNX has no \
                                 operator that does the same",
                                from.as_str(),
                                to.as_str()
                            ),
                            "change the column's type in the table itself, train again and export that model",
                        )
                    })?;
                    if *on_error == OnCastError::Fail && from != *to {
                        notes.push(format!(
                            "column {name:?}: a value that cannot become {} counts as missing; the package refuses it",
                            to.as_str()
                        ));
                    }
                }
            }
            FittedStep::Fill { values } => {
                for (name, with) in values {
                    for (_, value) in columns.iter_mut().filter(|(column, _)| column == name) {
                        if !value.fill(graph, with) {
                            return Err(LearnError::Corrupt {
                                part: "recipe".to_owned(),
                                message: format!("{with:?} cannot fill the column {name:?}"),
                            });
                        }
                    }
                }
            }
            FittedStep::Derive { column, expression } => {
                let value = expression::compile(graph, column, expression, columns, notes)?;
                match columns.iter_mut().find(|(name, _)| name == column) {
                    Some((_, old)) => *old = value,
                    None => columns.push((column.clone(), value)),
                }
                if graph.nodes.len() > MAX_NODES {
                    return Err(unsupported(
                        format!(
                            "with the step 'derive' of column {column:?} the graph has more than {MAX_NODES} nodes"
                        ),
                        "compute the column before the table is read",
                    ));
                }
            }
        }
    }
    Ok(())
}

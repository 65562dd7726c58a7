//! Recipes: which raw columns a result needs, and how to keep only those.

use std::collections::BTreeSet;

use athanor_protocol::{
    recipe::{FittedRecipe, FittedStep},
    table::TableSchema,
};

use crate::{
    error::DatasetError,
    expr,
    steps::{require, unknown_column},
};

/// Newest version of the format that this program writes, and the only one so far.
pub(crate) const RECIPE_VERSION: u32 = 1;

/// Refuses recipes of versions that this program does not know.
pub(crate) fn check_version(recipe: &FittedRecipe) -> Result<(), DatasetError> {
    if recipe.version == RECIPE_VERSION {
        return Ok(());
    }
    let reason = format!("the recipe is of version {}; this program reads version {RECIPE_VERSION}", recipe.version);
    Err(DatasetError::invalid_because(reason, "update the program"))
}

/// Keeps of a recipe only what `outputs` need: steps, columns of steps, and raw columns that go in.
///
/// So a model's recipe is freed of its target and of columns that it does not learn from: a request must not send them.
/// Outputs keep the recipe's own order.
///
/// # Errors
/// If an output is not among the recipe's, or an expression of the recipe is malformed.
pub fn restrict(recipe: &FittedRecipe, outputs: &[&str]) -> Result<FittedRecipe, DatasetError> {
    check_version(recipe)?;
    if let Some(name) = outputs.iter().find(|name| recipe.output.column(name).is_none()) {
        return Err(unknown_column(name, &recipe.output));
    }
    let mut needed: BTreeSet<String> = outputs.iter().map(|&name| name.to_owned()).collect();
    let output = only(&recipe.output, &needed);
    let mut steps = Vec::new();
    for step in recipe.steps.iter().rev() {
        // A step is kept for the columns that are needed after it; what it needs itself is added.
        match step {
            FittedStep::Select { columns } => {
                let columns: Vec<String> = columns.iter().filter(|name| needed.contains(*name)).cloned().collect();
                steps.push(FittedStep::Select { columns });
            }
            FittedStep::Cast { columns, to, on_error } => {
                let columns: Vec<String> = columns.iter().filter(|name| needed.contains(*name)).cloned().collect();
                if !columns.is_empty() {
                    steps.push(FittedStep::Cast { columns, to: *to, on_error: *on_error });
                }
            }
            FittedStep::Derive { column, expression } => {
                if needed.remove(column) {
                    needed.extend(expr::roots(expression)?);
                    steps.push(step.clone());
                }
            }
            FittedStep::Fill { values } => {
                let values: Vec<_> = values.iter().filter(|(name, _)| needed.contains(name)).cloned().collect();
                if !values.is_empty() {
                    steps.push(FittedStep::Fill { values });
                }
            }
        }
    }
    steps.reverse();
    let input = only(&recipe.input, &needed);
    for name in &needed {
        require(&input, name)?;
    }
    Ok(FittedRecipe { version: recipe.version, input, steps, output })
}

/// The columns of a schema that are in a set, in the schema's order.
pub(crate) fn only(schema: &TableSchema, names: &BTreeSet<String>) -> TableSchema {
    TableSchema { columns: schema.columns.iter().filter(|column| names.contains(&column.name)).cloned().collect() }
}

/// Whether a step may give `name` another value, or drop it.
pub(crate) fn touches(step: &FittedStep, name: &str) -> bool {
    match step {
        FittedStep::Select { columns } => !columns.iter().any(|column| column == name),
        FittedStep::Cast { columns, .. } => columns.iter().any(|column| column == name),
        FittedStep::Derive { column, .. } => column == name,
        FittedStep::Fill { values } => values.iter().any(|(column, _)| column == name),
    }
}

//! From a run's results to a package.

use std::collections::BTreeSet;

use athanor_protocol::{
    package::{FinalMetric, Lineage, Manifest, PartName, Statistics},
    recipe::{FittedRecipe, FittedStep},
    signature::{InputColumn, ModelSignature},
    table::TableSchema,
};

use super::{PACKAGE_VERSION, build};
use crate::{
    encode::FittedEncoder,
    error::LearnError,
    model::TrainedModel,
    predictor::{Predictor, class_names, task_of},
};

/// Everything that goes into a run's package.
#[derive(Debug)]
pub struct RunPackage<'a> {
    /// The model.
    pub model: &'a TrainedModel,
    /// The encoder that was fitted with it.
    pub encoder: &'a FittedEncoder,
    /// The row-wise preparation that was fitted before it; it may do more than the encoder needs.
    pub recipe: &'a FittedRecipe,
    /// Training statistics; those of columns that are not needed are left out.
    pub statistics: &'a Statistics,
    /// Where it comes from. Folders are cut off dataset names.
    pub lineage: Lineage,
    /// The run's metrics at its end.
    pub metrics: Vec<FinalMetric>,
    /// When, in milliseconds since the Unix epoch; the only thing in a package that tells the time.
    pub created_at_millis: i64,
    /// The version of this program.
    pub athanor_version: &'a str,
}

/// Puts a run's results together as an unsigned package. Equal results give equal bytes.
///
/// The package asks of its callers only what the model needs: the recipe is cut down by [`serving_recipe`], so neither
/// the target nor unused columns have to be sent.
///
/// # Errors
/// If the parts do not fit each other, if a feature is computed from the target, or if the weights cannot be read from
/// the device.
pub fn package_run(run: RunPackage<'_>) -> Result<Vec<u8>, LearnError> {
    let RunPackage { model, encoder, recipe, statistics, mut lineage, metrics, created_at_millis, athanor_version } =
        run;
    let needed: Vec<String> = encoder.input_columns().into_iter().map(|column| column.name).collect();
    let recipe = serving_recipe(recipe, &needed);
    if recipe.input.column(encoder.target()).is_some() {
        return Err(LearnError::BadData {
            message: format!("a feature is computed from the target {:?}", encoder.target()),
            hint: Some(
                "the target is not known when the model is asked; leave this column out of the features".to_owned(),
            ),
        });
    }
    let signature = signature(encoder, &recipe, statistics);
    Predictor::new(signature.clone(), recipe.clone(), encoder.clone(), model.clone())?;
    for dataset in &mut lineage.datasets {
        if let Some(at) = dataset.name.rfind(['/', '\\']) {
            dataset.name.drain(..=at);
        }
    }
    let statistics = Statistics {
        inputs: statistics
            .inputs
            .iter()
            .filter(|column| recipe.input.column(&column.name).is_some())
            .cloned()
            .collect(),
        ..statistics.clone()
    };
    let parts = model.to_parts()?;
    let mut documents = vec![
        (PartName::Recipe, json("recipe", &recipe)?),
        (PartName::Encoder, encoder.to_json()?),
        (PartName::Model, parts.model_json),
        (PartName::Statistics, json("statistics", &statistics)?),
    ];
    documents.extend(parts.weights.map(|weights| (PartName::Weights, weights)));
    let manifest = Manifest {
        version: PACKAGE_VERSION,
        athanor_version: athanor_version.to_owned(),
        created_at_millis,
        signature,
        lineage,
        metrics,
        parts: Vec::new(),
    };
    build(manifest, documents)
}

/// What the model takes and gives: the recipe's input columns, and the encoder's task and classes. A column may be
/// missing where a missing value was seen in training or the recipe fills it.
pub fn signature(encoder: &FittedEncoder, recipe: &FittedRecipe, statistics: &Statistics) -> ModelSignature {
    let is_filled = |name: &str| {
        recipe.steps.iter().any(|step| match step {
            FittedStep::Fill { values } => values.iter().any(|(column, _)| column == name),
            _ => false,
        })
    };
    let was_missing = |name: &str| statistics.inputs.iter().any(|column| column.name == name && column.n_missing > 0);
    let inputs = recipe.input.columns.iter().map(|column| InputColumn {
        name: column.name.clone(),
        dtype: column.dtype,
        nullable: was_missing(&column.name) || is_filled(&column.name),
    });
    ModelSignature {
        task: task_of(encoder),
        target: encoder.target().to_owned(),
        inputs: inputs.collect(),
        classes: class_names(encoder).map(str::to_owned).collect(),
    }
}

/// Cuts a recipe down to what is needed for some of its output columns: steps on other columns go, and with them the
/// input columns that only they used.
///
/// An expression needs every input column that it could name: bare words and quoted identifiers, whatever their case,
/// but neither string literals nor the names of called functions. That may keep a column too many, never one too few.
pub fn serving_recipe(recipe: &FittedRecipe, needed: &[impl AsRef<str>]) -> FittedRecipe {
    let needed: BTreeSet<&str> = needed.iter().map(AsRef::as_ref).collect();
    let restrict = |schema: &TableSchema, wanted: &BTreeSet<&str>| TableSchema {
        columns: schema.columns.iter().filter(|column| wanted.contains(column.name.as_str())).cloned().collect(),
    };
    let output = restrict(&recipe.output, &needed);
    let mut wanted = needed;
    let mut steps = Vec::new();
    for step in recipe.steps.iter().rev() {
        let keep = |columns: &[String]| -> Vec<String> {
            columns.iter().filter(|column| wanted.contains(column.as_str())).cloned().collect()
        };
        match step {
            FittedStep::Select { columns } => steps.push(FittedStep::Select { columns: keep(columns) }),
            FittedStep::Cast { columns, to, on_error } => {
                let columns = keep(columns);
                if !columns.is_empty() {
                    steps.push(FittedStep::Cast { columns, to: *to, on_error: *on_error });
                }
            }
            FittedStep::Fill { values } => {
                let values: Vec<_> =
                    values.iter().filter(|(column, _)| wanted.contains(column.as_str())).cloned().collect();
                if !values.is_empty() {
                    steps.push(FittedStep::Fill { values });
                }
            }
            FittedStep::Derive { column, expression } => {
                if wanted.remove(column.as_str()) {
                    let words: BTreeSet<String> =
                        identifiers(expression).iter().map(|word| word.to_lowercase()).collect();
                    // Columns that steps before this one make are needed as much as those that come in.
                    let before = recipe.input.columns.iter().map(|column| column.name.as_str());
                    let made = recipe.steps.iter().filter_map(|step| match step {
                        FittedStep::Derive { column, .. } => Some(column.as_str()),
                        _ => None,
                    });
                    wanted.extend(before.chain(made).filter(|name| words.contains(&name.to_lowercase())));
                    steps.push(step.clone());
                }
            }
        }
    }
    steps.reverse();
    // A select in the middle lists only what was wanted after it; what a later derive reads was wanted by then too.
    FittedRecipe { version: recipe.version, input: restrict(&recipe.input, &wanted), steps, output }
}

/// The identifiers of a SQL expression: bare words that no `(` follows, and what stands in `"…"` or backticks (where a
/// doubled quote is one quote). String literals in `'…'` are passed over.
fn identifiers(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = expression.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            '\'' | '"' | '`' => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    if c != first {
                        text.push(c);
                    } else if chars.next_if_eq(&first).is_some() {
                        text.push(first);
                    } else {
                        break;
                    }
                }
                if first != '\'' {
                    found.push(text);
                }
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                    word.push(c);
                }
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                if chars.peek() != Some(&'(') {
                    found.push(word);
                }
            }
            _ => {}
        }
    }
    found
}

fn json(part: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, LearnError> {
    serde_json::to_vec(value).map_err(|err| LearnError::Internal(format!("cannot write the {part}: {err}")))
}

#[cfg(test)]
mod tests {
    use athanor_protocol::{
        recipe::{FillValue, OnCastError},
        table::{ColumnSchema, DataType},
    };

    use super::*;

    fn schema(names: &[&str]) -> TableSchema {
        let column = |name: &&str| ColumnSchema { name: (*name).to_owned(), dtype: DataType::Float };
        TableSchema { columns: names.iter().map(column).collect() }
    }

    fn names(schema: &TableSchema) -> Vec<&str> {
        schema.columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn identifiers_are_found_and_strings_are_not() {
        for (expression, expect) in [
            ("a / b", &["a", "b"][..]),
            ("ABS(a) + abs (\"b c\")", &["a", "b c"]),
            ("CASE WHEN x = 'y' THEN `z` END", &["CASE", "WHEN", "x", "THEN", "z", "END"]),
            ("\"a\"\"b\" > 'it''s'", &["a\"b"]),
            ("größe*2", &["größe", "2"]),
            ("'open", &[]),
        ] {
            assert_eq!(identifiers(expression), expect, "in {expression}");
        }
    }

    #[test]
    fn a_recipe_is_cut_to_what_the_model_needs() {
        let derive = |column: &str, expression: &str| FittedStep::Derive {
            column: column.to_owned(),
            expression: expression.to_owned(),
        };
        let names_of = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let recipe = FittedRecipe {
            version: 1,
            input: schema(&["id", "a", "b", "c", "target"]),
            steps: vec![
                FittedStep::Fill {
                    values: vec![
                        ("a".to_owned(), FillValue::Number(1.0)),
                        ("target".to_owned(), FillValue::Number(0.0)),
                    ],
                },
                derive("half", "A / 2"),
                derive("unused", "c + target"),
                FittedStep::Cast { columns: names_of(&["id", "b"]), to: DataType::Text, on_error: OnCastError::Fail },
                FittedStep::Select { columns: names_of(&["half", "a", "b", "unused", "target"]) },
                derive("sum", "half + 1"),
            ],
            output: schema(&["half", "a", "b", "unused", "target", "sum"]),
        };
        let cut = serving_recipe(&recipe, &["b", "sum"]);
        assert_eq!(names(&cut.input), ["a", "b"]);
        assert_eq!(names(&cut.output), ["b", "sum"]);
        let expect = [
            FittedStep::Fill { values: vec![("a".to_owned(), FillValue::Number(1.0))] },
            derive("half", "A / 2"),
            FittedStep::Cast { columns: names_of(&["b"]), to: DataType::Text, on_error: OnCastError::Fail },
            FittedStep::Select { columns: names_of(&["half", "b"]) },
            derive("sum", "half + 1"),
        ];
        assert_eq!(cut.steps, expect);
        assert_eq!(serving_recipe(&cut, &["b", "sum"]), cut, "cutting twice changes nothing");
    }

    #[test]
    fn a_derived_column_that_replaces_its_source_still_needs_it() {
        let recipe = FittedRecipe {
            version: 1,
            input: schema(&["a", "b"]),
            steps: vec![FittedStep::Derive { column: "a".to_owned(), expression: "a * 2".to_owned() }],
            output: schema(&["a", "b"]),
        };
        assert_eq!(names(&serving_recipe(&recipe, &["a"]).input), ["a"]);
    }
}

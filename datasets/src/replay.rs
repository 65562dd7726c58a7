//! Replaying a fitted recipe on new rows: what serving does with each request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    recipe::{FillValue, FittedRecipe, FittedStep, MAX_STEPS, OnCastError},
    table::{ColumnSchema, DataType, TableSchema},
};
use polars::prelude as pl;
use polars::prelude::IntoLazy;

use crate::{
    error::{DatasetError, guard},
    expr::{self, RowExpr},
    frame::{column_from_data, data_from_column},
    kernels,
    recipe::check_version,
    steps::{require, unknown_column},
};

/// A recipe, checked and ready to be applied many times, from many threads.
///
/// Selects, casts and fills run over plain columns by the very functions that preparation uses; only derived columns
/// enter Polars, all that follow one another in one query.
#[derive(Debug, Clone)]
pub struct Replay {
    input: TableSchema,
    output: TableSchema,
    steps: Vec<Ready>,
}

#[derive(Debug, Clone)]
enum Ready {
    Select(BTreeSet<String>),
    Cast { columns: Vec<String>, to: DataType, on_error: OnCastError },
    Fill(Vec<(String, FillValue)>),
    Derive(Vec<(String, RowExpr)>),
}

type State = Vec<(Arc<str>, DataType, ColumnData)>;

impl Replay {
    /// Checks a recipe: every column that a step needs is there, every expression is allowed and has a type.
    ///
    /// # Errors
    /// If the recipe is of an unknown version, does not fit together, or an expression is refused.
    pub fn new(recipe: &FittedRecipe) -> Result<Self, DatasetError> {
        check_version(recipe)?;
        if recipe.steps.len() > MAX_STEPS {
            return Err(DatasetError::TooLarge { reason: format!("the recipe has more than {MAX_STEPS} steps") });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = recipe.input.columns.iter().find(|column| !seen.insert(&column.name)) {
            return Err(DatasetError::column(&twice.name, "it goes into the recipe twice"));
        }
        let mut now = recipe.input.clone();
        let mut steps: Vec<Ready> = Vec::new();
        for step in &recipe.steps {
            match step {
                FittedStep::Select { columns } => {
                    let kept: BTreeSet<String> = columns.iter().cloned().collect();
                    if let Some(name) = kept.iter().find(|name| now.column(name).is_none()) {
                        return Err(unknown_column(name, &now));
                    }
                    now.columns.retain(|column| kept.contains(&column.name));
                    steps.push(Ready::Select(kept));
                }
                FittedStep::Cast { columns, to, on_error } => {
                    for name in columns {
                        let from = require(&now, name)?.dtype;
                        if !kernels::cast_exists(from, *to) {
                            let reason = format!("a value of type {} can't become {}", from.as_str(), to.as_str());
                            return Err(DatasetError::column(name, reason));
                        }
                        set_type(&mut now, name, *to);
                    }
                    steps.push(Ready::Cast { columns: columns.clone(), to: *to, on_error: *on_error });
                }
                FittedStep::Fill { values } => {
                    for (name, value) in values {
                        let dtype = require(&now, name)?.dtype;
                        let mut probe = empty(dtype);
                        kernels::fill(name, &mut probe, value)?;
                    }
                    steps.push(Ready::Fill(values.clone()));
                }
                FittedStep::Derive { column, expression } => {
                    let compiled = expr::compile(expression, &now)?;
                    set_type(&mut now, column, compiled.dtype);
                    match steps.last_mut() {
                        Some(Ready::Derive(run)) => run.push((column.clone(), compiled)),
                        _ => steps.push(Ready::Derive(vec![(column.clone(), compiled)])),
                    }
                }
            }
        }
        for column in &recipe.output.columns {
            let found = require(&now, &column.name)?.dtype;
            if found != column.dtype {
                let reason = format!("it comes out as {}, not as {}", found.as_str(), column.dtype.as_str());
                return Err(DatasetError::column(&column.name, reason));
            }
        }
        Ok(Self { input: recipe.input.clone(), output: recipe.output.clone(), steps })
    }

    /// The raw columns that must be there.
    pub fn input(&self) -> &TableSchema {
        &self.input
    }

    /// The columns that come out, in order.
    pub fn output(&self) -> &TableSchema {
        &self.output
    }

    /// Prepared rows from raw rows: a pure function. Columns that the recipe does not need are passed over; values are
    /// brought to the type that they had in training where nothing is lost.
    ///
    /// # Errors
    /// If a column is missing, its values are of a kind that does not fit, or a step fails; names the column.
    pub fn apply(&self, raw: &Frame) -> Result<Frame, DatasetError> {
        let by_name: BTreeMap<&str, &Column> = raw.columns().iter().map(|column| (&*column.name, column)).collect();
        let mut state: State = Vec::with_capacity(self.input.columns.len());
        let mut missing = Vec::new();
        for info in &self.input.columns {
            match by_name.get(info.name.as_str()) {
                Some(column) => {
                    let data = kernels::coerce(&info.name, &column.data, info.dtype)?;
                    state.push((Arc::clone(&column.name), info.dtype, data));
                }
                None => missing.push(info.name.as_str()),
            }
        }
        if let Some(first) = missing.first() {
            let more = if missing.len() > 1 { format!(" (and {} more)", missing.len() - 1) } else { String::new() };
            return Err(DatasetError::Column {
                column: (*first).to_owned(),
                reason: format!("it is missing from the rows{more}"),
                hint: Some("send every input column, with null where a value is missing".to_owned()),
            });
        }
        for step in &self.steps {
            match step {
                Ready::Select(kept) => state.retain(|(name, _, _)| kept.contains(&**name)),
                Ready::Cast { columns, to, on_error } => {
                    for (name, dtype, data) in of(&mut state, columns.iter().map(String::as_str)) {
                        *data = kernels::cast(name, data, *dtype, *to, *on_error)?;
                        *dtype = *to;
                    }
                }
                Ready::Fill(values) => {
                    for (column, value) in values {
                        for (name, _, data) in of(&mut state, std::iter::once(column.as_str())) {
                            kernels::fill(name, data, value)?;
                        }
                    }
                }
                Ready::Derive(run) => derive(&mut state, run, raw.n_rows())?,
            }
        }
        let mut by_name: BTreeMap<Arc<str>, ColumnData> =
            state.into_iter().map(|(name, _, data)| (name, data)).collect();
        let mut columns = Vec::with_capacity(self.output.columns.len());
        for info in &self.output.columns {
            // `new` has checked that every output comes out.
            let Some((name, data)) = by_name.remove_entry(info.name.as_str()) else {
                return Err(unknown_column(&info.name, &self.output));
            };
            columns.push(Column { name, data });
        }
        Ok(Frame::new(columns)?)
    }
}

fn of<'a>(
    state: &'a mut State,
    names: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a mut (Arc<str>, DataType, ColumnData)> {
    let names: BTreeSet<&str> = names.collect();
    state.iter_mut().filter(move |(name, _, _)| names.contains(&**name))
}

fn set_type(schema: &mut TableSchema, name: &str, dtype: DataType) {
    match schema.columns.iter_mut().find(|column| column.name == name) {
        Some(column) => column.dtype = dtype,
        None => schema.columns.push(ColumnSchema { name: name.to_owned(), dtype }),
    }
}

fn empty(dtype: DataType) -> ColumnData {
    match dtype {
        DataType::Bool => ColumnData::Bool(Vec::new()),
        DataType::Float => ColumnData::Float(Vec::new()),
        DataType::Text => ColumnData::Text(Vec::new()),
        DataType::Date | DataType::Datetime => ColumnData::Datetime(Vec::new()),
        _ => ColumnData::Int(Vec::new()),
    }
}

/// Computes derived columns that follow one another, each of which may read the ones before it.
fn derive(state: &mut State, run: &[(String, RowExpr)], n_rows: usize) -> Result<(), DatasetError> {
    // A column that is always there gives constant expressions their number of rows.
    const ROWS: &str = "\u{1}rows";
    guard("deriving columns", || {
        let mut columns = vec![pl::Column::new_scalar(ROWS.into(), pl::Scalar::from(0i64), n_rows)];
        let mut made: BTreeSet<&str> = BTreeSet::new();
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        for (name, expr) in run {
            wanted.extend(expr.roots.iter().map(String::as_str).filter(|root| !made.contains(root)));
            made.insert(name);
        }
        for (name, dtype, data) in state.iter().filter(|(name, _, _)| wanted.contains(&**name)) {
            columns.push(column_from_data(name, data, *dtype)?);
        }
        let mut lazy = pl::DataFrame::new(n_rows, columns)?.lazy();
        for (name, expr) in run {
            lazy = lazy.with_columns_seq([expr.expr.clone().alias(name.as_str())]);
        }
        // Nothing is left to gain in a query over a handful of rows; planning would cost more than running.
        let df = crate::exec::collect(lazy.without_optimizations())?;
        for (name, expr) in run {
            let data = data_from_column(df.column(name)?)?;
            match state.iter_mut().find(|(old, _, _)| **old == **name) {
                Some((_, dtype, old)) => (*dtype, *old) = (expr.dtype, data),
                None => state.push((name.as_str().into(), expr.dtype, data)),
            }
        }
        Ok(())
    })
}

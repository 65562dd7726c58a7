//! Steps on rows. What a step does to columns is in [`crate::steps`]; here it happens.

use std::collections::BTreeSet;

use athanor_protocol::{
    recipe::{AggregateFunction, FillValue, FittedStep, JoinHow, PlanStep, Step},
    table::{DataType, TableSchema},
};
use polars::prelude as pl;
use polars::prelude::{DataFrame, Expr, IntoLazy, LazyFrame};

use crate::{
    error::{DatasetError, guard},
    expr,
    frame::{canonical_expr, column_from_data, data_from_column, logical_type, polars_type},
    kernels,
    split::sample,
    steps::{joined_names, require, selected, step_schema},
};

/// Rows on their way: the user's columns, and hidden copies of raw values that steps change or drop.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) df: DataFrame,
    /// The user's columns in order. The frame may hold them in another order, hidden ones between them.
    pub(crate) schema: TableSchema,
    pub(crate) hidden: Hidden,
}

/// Hidden columns: original name and name in the frame.
pub(crate) type Hidden = Vec<(String, String)>;

pub(crate) fn column(name: &str) -> Expr {
    // Not `col()`: that one takes `*` and `^…$` for patterns.
    Expr::Column(name.into())
}

/// A step that can be put on a query without looking at any row before it runs.
#[derive(Debug, Clone)]
pub(crate) enum LazyOp {
    Filter(Expr),
    With(Vec<Expr>),
    Select(Vec<Expr>),
}

impl LazyOp {
    pub(crate) fn put_on(&self, lazy: LazyFrame) -> LazyFrame {
        match self {
            Self::Filter(predicate) => lazy.filter(predicate.clone()),
            Self::With(exprs) => lazy.with_columns(exprs),
            Self::Select(exprs) => lazy.select(exprs),
        }
    }
}

/// A step as a part of a query, and the columns after it; `None` for steps that must see rows first.
pub(crate) fn lazy_op(
    schema: &TableSchema,
    hidden: &Hidden,
    step: &Step,
) -> Result<Option<(LazyOp, TableSchema)>, DatasetError> {
    let op = match step {
        Step::Filter { predicate } => {
            // The check that it is a condition is in `step_schema`.
            let op = LazyOp::Filter(expr::compile(predicate, schema)?.expr);
            return Ok(Some((op, step_schema(schema, step, None)?)));
        }
        Step::Derive { column: name, expression } => {
            let after = step_schema(schema, step, None)?;
            let expr = expr::compile(expression, schema)?.expr.alias(name.as_str());
            return Ok(Some((LazyOp::With(vec![expr]), after)));
        }
        Step::Select { columns, drop } => {
            let kept = selected(schema, columns, *drop)?;
            let names = kept.iter().chain(hidden.iter().map(|(_, name)| name));
            LazyOp::Select(names.map(|name| column(name)).collect())
        }
        _ => return Ok(None),
    };
    Ok(Some((op, step_schema(schema, step, None)?)))
}

/// Does one step to rows in memory. `right` is a join's other table, prepared.
pub(crate) fn run_step(table: Table, step: &PlanStep, right: Option<Table>) -> Result<Table, DatasetError> {
    let name = step.step.name();
    guard(&format!("step {name:?} of node {:?}", step.node), || run(table, &step.step, right))
        .map_err(|err| err.at(&step.node, name))
}

fn run(mut table: Table, step: &Step, right: Option<Table>) -> Result<Table, DatasetError> {
    if let Some((op, schema)) = lazy_op(&table.schema, &table.hidden, step)? {
        let lazy = op.put_on(table.df.lazy());
        return Ok(Table { df: collect(lazy)?, schema, hidden: table.hidden });
    }
    let after = step_schema(&table.schema, step, right.as_ref().map(|right| &right.schema))?;
    match step {
        Step::Cast { columns, to, on_error } => {
            cast_columns(&mut table.df, &table.schema, columns, *to, *on_error)?;
        }
        Step::Fill { columns, with } => {
            let values = fitted_fill(&table, columns, with)?;
            fill_columns(&mut table.df, &table.schema, &values)?;
        }
        Step::Deduplicate { columns } => {
            let all: Vec<String> = table.schema.columns.iter().map(|column| column.name.clone()).collect();
            let names = if columns.is_empty() { &all } else { columns };
            let by: Vec<Expr> = names.iter().map(|name| column(name)).collect();
            table.df = collect(table.df.lazy().unique_stable_generic(Some(by), pl::UniqueKeepStrategy::First))?;
        }
        Step::Sort { by } => {
            let keys: Vec<Expr> = by.iter().map(|key| column(&key.column)).collect();
            let options = pl::SortMultipleOptions {
                descending: by.iter().map(|key| key.descending).collect(),
                nulls_last: vec![true; by.len()],
                maintain_order: true,
                ..Default::default()
            };
            table.df = collect(table.df.lazy().sort_by_exprs(keys, options))?;
        }
        Step::Sample { n_rows, fraction, seed } => {
            let n = row_count(&table.df)?;
            let kept = match (n_rows, fraction) {
                (Some(wanted), _) => u32::try_from(*wanted).unwrap_or(u32::MAX).min(n),
                // The share was checked to lie between 0 and 1.
                (None, share) => (share.unwrap_or(1.0) * f64::from(n)).round() as u32,
            };
            table.df = take(&table.df, &sample(n, kept, *seed))?;
        }
        Step::Join { on, how, .. } => {
            let right = right.ok_or_else(|| DatasetError::invalid("the other table of the join is missing"))?;
            table = Table { df: join(&table, &right, on, *how)?, schema: table.schema, hidden: Hidden::new() };
        }
        Step::Group { by, aggregates } => {
            let keys: Vec<Expr> = by.iter().map(|name| column(name)).collect();
            let mut outputs = Vec::new();
            for aggregate in aggregates {
                let dtype = require(&table.schema, &aggregate.column)?.dtype;
                outputs
                    .push(aggregate_expr(&aggregate.column, dtype, aggregate.function).alias(aggregate.name.as_str()));
            }
            table.df = collect(table.df.lazy().group_by_stable(keys).agg(outputs))?;
            table.df = canonical(table.df)?;
        }
        // `lazy_op` has dealt with them.
        Step::Select { .. } | Step::Filter { .. } | Step::Derive { .. } => {}
    }
    table.schema = after;
    Ok(table)
}

pub(crate) fn collect(lazy: LazyFrame) -> Result<DataFrame, DatasetError> {
    // Only a query with several sinks has several results; ours have one.
    Ok(lazy.collect_with_engine(pl::Engine::InMemory)?.unwrap_single())
}

/// Brings every column to the one Polars type of its logical type.
fn canonical(df: DataFrame) -> Result<DataFrame, DatasetError> {
    let exprs: Vec<Expr> = df.columns().iter().map(|c| canonical_expr(column(c.name()), c.dtype())).collect();
    collect(df.lazy().select(exprs))
}

pub(crate) fn row_count(df: &DataFrame) -> Result<u32, DatasetError> {
    u32::try_from(df.height()).map_err(|_| DatasetError::TooLarge {
        reason: format!("{} rows are more than can be split or sampled in memory", df.height()),
    })
}

/// Rows by number.
pub(crate) fn take(df: &DataFrame, rows: &[u32]) -> Result<DataFrame, DatasetError> {
    let rows: Vec<pl::IdxSize> = rows.iter().map(|&row| pl::IdxSize::from(row)).collect();
    Ok(df.take(&pl::IdxCa::from_vec("rows".into(), rows))?)
}

fn cast_columns(
    df: &mut DataFrame,
    schema: &TableSchema,
    names: &[String],
    to: DataType,
    on_error: athanor_protocol::recipe::OnCastError,
) -> Result<(), DatasetError> {
    for name in names {
        let from = require(schema, name)?.dtype;
        let data = data_from_column(df.column(name)?)?;
        let cast = kernels::cast(name, &data, from, to, on_error)?;
        df.with_column(column_from_data(name, &cast, to)?)?;
    }
    Ok(())
}

/// What a fill step puts into which columns, learned from these rows or given.
pub(crate) fn fitted_fill(
    table: &Table,
    columns: &[String],
    with: &athanor_protocol::recipe::FillWith,
) -> Result<Vec<(String, FillValue)>, DatasetError> {
    let names = crate::steps::fill_columns(&table.schema, columns, with)?;
    let mut values = Vec::new();
    for name in names {
        let data = data_from_column(table.df.column(&name)?)?;
        // A step over "all that fit" passes over columns that hold nothing; a named one says so.
        if columns.is_empty() && with.learns() && (0..data.len()).all(|row| data.is_missing(row)) {
            continue;
        }
        let value = kernels::fill_value(&name, &data, with)?;
        values.push((name, value));
    }
    Ok(values)
}

fn fill_columns(df: &mut DataFrame, schema: &TableSchema, values: &[(String, FillValue)]) -> Result<(), DatasetError> {
    for (name, value) in values {
        let dtype = require(schema, name)?.dtype;
        let found = df.column(name)?;
        if found.null_count() == 0 {
            continue;
        }
        let mut data = data_from_column(found)?;
        kernels::fill(name, &mut data, value)?;
        df.with_column(column_from_data(name, &data, dtype)?)?;
    }
    Ok(())
}

/// Applies a learned fill to one part.
pub(crate) fn apply_fill(table: &mut Table, values: &[(String, FillValue)]) -> Result<(), DatasetError> {
    guard("filling missing values", || fill_columns(&mut table.df, &table.schema, values))
}

/// A row-wise step as the recipe keeps it; `None` for set-wise ones. `fills` are the values of a fill step.
pub(crate) fn fitted_step(
    before: &TableSchema,
    step: &Step,
    fills: &[(String, FillValue)],
) -> Result<Option<FittedStep>, DatasetError> {
    Ok(Some(match step {
        Step::Select { columns, drop } => FittedStep::Select { columns: selected(before, columns, *drop)? },
        Step::Cast { columns, to, on_error } => {
            FittedStep::Cast { columns: columns.clone(), to: *to, on_error: *on_error }
        }
        Step::Derive { column, expression } => {
            FittedStep::Derive { column: column.clone(), expression: expression.clone() }
        }
        Step::Fill { .. } => FittedStep::Fill { values: fills.to_vec() },
        _ => return Ok(None),
    }))
}

fn join(left: &Table, right: &Table, on: &[(String, String)], how: JoinHow) -> Result<DataFrame, DatasetError> {
    let keys: BTreeSet<&String> = on.iter().map(|(_, name)| name).collect();
    let adds_columns = !matches!(how, JoinHow::Semi | JoinHow::Anti);
    // The other table's columns get their final names, and its keys names that clash with nothing.
    let mut picked: Vec<Expr> = Vec::new();
    let mut key_names = Vec::new();
    for (i, (_, name)) in on.iter().enumerate() {
        let hidden = format!("\u{1}key{i}");
        picked.push(column(name).alias(hidden.as_str()));
        key_names.push(hidden);
    }
    let mut added = Vec::new();
    if adds_columns {
        for (old, new) in joined_names(&left.schema, &right.schema, on) {
            debug_assert!(!keys.contains(&old));
            picked.push(column(&old).alias(new.as_str()));
            added.push(new);
        }
    }
    let other = right.df.clone().lazy().select(picked);
    let kind = match how {
        JoinHow::Inner => pl::JoinType::Inner,
        JoinHow::Left => pl::JoinType::Left,
        JoinHow::Full => pl::JoinType::Full,
        JoinHow::Semi => pl::JoinType::Semi,
        JoinHow::Anti => pl::JoinType::Anti,
    };
    let order = match how {
        JoinHow::Full | JoinHow::Inner => pl::MaintainOrderJoin::LeftRight,
        JoinHow::Left => pl::MaintainOrderJoin::LeftRight,
        JoinHow::Semi | JoinHow::Anti => pl::MaintainOrderJoin::Left,
    };
    let coalesce = if how == JoinHow::Full { pl::JoinCoalesce::KeepColumns } else { pl::JoinCoalesce::JoinSpecific };
    let left_on: Vec<Expr> = on.iter().map(|(name, _)| column(name)).collect();
    let right_on: Vec<Expr> = key_names.iter().map(|name| column(name)).collect();
    let joined = left
        .df
        .clone()
        .lazy()
        .join_builder()
        .with(other)
        .left_on(left_on)
        .right_on(right_on)
        .how(kind)
        .coalesce(coalesce)
        .maintain_order(order)
        .finish();
    let mut kept: Vec<Expr> = Vec::new();
    for info in &left.schema.columns {
        let key = on.iter().position(|(name, _)| *name == info.name);
        kept.push(match key {
            // Rows that only the other table has bring their key with them.
            Some(i) if how == JoinHow::Full => {
                pl::coalesce(&[column(&info.name), column(&key_names[i])]).alias(info.name.as_str())
            }
            _ => column(&info.name),
        });
    }
    kept.extend(added.iter().map(|name| column(name)));
    collect(joined.select(kept))
}

fn aggregate_expr(name: &str, dtype: DataType, function: AggregateFunction) -> Expr {
    use AggregateFunction as A;
    let values = column(name);
    // Polars would add small integers and truth values in their own narrow types.
    let numbers = if dtype == DataType::Bool { values.clone().cast(pl::DataType::Int64) } else { values.clone() };
    let wanted = polars_type(dtype);
    match function {
        A::Count => pl::len().cast(pl::DataType::Int64),
        A::Sum => numbers.sum(),
        A::Mean => numbers.mean(),
        A::Median => numbers.median(),
        A::Std => numbers.std(1),
        A::Min | A::Max if dtype == DataType::Bool => {
            let numbers = if function == A::Min { numbers.min() } else { numbers.max() };
            numbers.cast(pl::DataType::Boolean)
        }
        A::Min => values.min(),
        A::Max => values.max(),
        A::Distinct => values.drop_nulls().n_unique().cast(pl::DataType::Int64),
        A::First => values.first().cast(wanted.unwrap_or(pl::DataType::String)),
        A::Last => values.last().cast(wanted.unwrap_or(pl::DataType::String)),
    }
}

/// The visible columns in the schema's order, nothing hidden.
pub(crate) fn visible(table: &Table) -> Result<DataFrame, DatasetError> {
    let names: Vec<&str> = table.schema.columns.iter().map(|column| column.name.as_str()).collect();
    Ok(table.df.select(names)?)
}

/// The raw values of `input`'s columns in the rows that are left.
pub(crate) fn raw(table: &Table, input: &TableSchema) -> Result<DataFrame, DatasetError> {
    let mut columns = Vec::new();
    for info in &input.columns {
        let name = table.hidden.iter().find(|(raw, _)| *raw == info.name).map_or(&info.name, |(_, hidden)| hidden);
        let mut column = table.df.column(name)?.clone();
        column.rename(info.name.as_str().into());
        debug_assert_eq!(logical_type(column.dtype()), info.dtype);
        columns.push(column);
    }
    Ok(DataFrame::new(table.df.height(), columns)?)
}

//! What each step does to a table's columns, before any row is read.

use std::collections::BTreeSet;

use athanor_protocol::{
    recipe::{Aggregate, AggregateFunction, FillWith, JoinHow, PlanStep, PreparePlan, Step},
    table::{ColumnSchema, DataType, TableSchema},
};

use crate::{
    error::{DatasetError, near_names},
    expr,
    kernels::{cast_exists, fill_fits},
};

/// The error for a column that is not there, with names like it.
pub(crate) fn unknown_column(name: &str, schema: &TableSchema) -> DatasetError {
    let near = near_names(name, schema.columns.iter().map(|column| column.name.as_str()));
    DatasetError::UnknownColumn { column: name.to_owned(), near }
}

pub(crate) fn require<'a>(schema: &'a TableSchema, name: &str) -> Result<&'a ColumnSchema, DatasetError> {
    schema.column(name).ok_or_else(|| unknown_column(name, schema))
}

fn require_all(schema: &TableSchema, names: &[String]) -> Result<(), DatasetError> {
    let mut seen = BTreeSet::new();
    // A set instead of a search for each name: a list may name thousands of columns.
    let there: BTreeSet<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    for name in names {
        if !there.contains(name.as_str()) {
            return Err(unknown_column(name, schema));
        }
        if !seen.insert(name) {
            return Err(DatasetError::column(name, "it is named twice"));
        }
    }
    Ok(())
}

fn require_some(names: &[String]) -> Result<(), DatasetError> {
    if names.is_empty() {
        return Err(DatasetError::invalid_because("no column is named", "choose at least one column"));
    }
    Ok(())
}

/// The columns that a fill step fills, in table order.
pub(crate) fn fill_columns(
    schema: &TableSchema,
    columns: &[String],
    with: &FillWith,
) -> Result<Vec<String>, DatasetError> {
    if columns.is_empty() {
        let fitting = schema.columns.iter().filter(|column| fill_fits(with, column.dtype));
        return Ok(fitting.map(|column| column.name.clone()).collect());
    }
    require_all(schema, columns)?;
    let wanted: BTreeSet<&String> = columns.iter().collect();
    let chosen = schema.columns.iter().filter(|column| wanted.contains(&column.name));
    chosen
        .map(|column| {
            if fill_fits(with, column.dtype) {
                return Ok(column.name.clone());
            }
            let reason = format!("{} can't fill a column of type {}", fill_text(with), column.dtype.as_str());
            let hint = Some("choose another filling, or change the column's type first".to_owned());
            Err(DatasetError::Column { column: column.name.clone(), reason, hint })
        })
        .collect()
}

fn fill_text(with: &FillWith) -> String {
    match with {
        FillWith::Mean => "the mean".to_owned(),
        FillWith::Median => "the median".to_owned(),
        FillWith::Mode => "the most frequent value".to_owned(),
        FillWith::Number(value) => format!("the number {value}"),
        FillWith::Text(text) => format!("the text {:?}", crate::error::cut(text, 40)),
    }
}

/// The columns of a select step, in the order in which they come out: as listed, or table order for a drop.
pub(crate) fn selected(schema: &TableSchema, columns: &[String], drop: bool) -> Result<Vec<String>, DatasetError> {
    require_all(schema, columns)?;
    let kept: Vec<String> = if drop {
        let dropped: BTreeSet<&String> = columns.iter().collect();
        schema.columns.iter().filter(|c| !dropped.contains(&c.name)).map(|c| c.name.clone()).collect()
    } else {
        columns.to_vec()
    };
    if kept.is_empty() {
        return Err(DatasetError::invalid_because("no column is left", "keep at least one column"));
    }
    Ok(kept)
}

/// Names of the columns that a join adds, with the names that they get: `_right` is put behind those that clash.
pub(crate) fn joined_names(left: &TableSchema, right: &TableSchema, on: &[(String, String)]) -> Vec<(String, String)> {
    let keys: BTreeSet<&String> = on.iter().map(|(_, right)| right).collect();
    let mut taken: BTreeSet<String> = left.columns.iter().map(|column| column.name.clone()).collect();
    let mut added = Vec::new();
    for column in right.columns.iter().filter(|column| !keys.contains(&column.name)) {
        let mut name = column.name.clone();
        while taken.contains(&name) {
            name.push_str("_right");
        }
        taken.insert(name.clone());
        added.push((column.name.clone(), name));
    }
    added
}

fn aggregate_type(aggregate: &Aggregate, dtype: DataType) -> Result<DataType, DatasetError> {
    use AggregateFunction as A;
    let number = matches!(dtype, DataType::Bool | DataType::Int | DataType::Float);
    let fits = match aggregate.function {
        A::Sum | A::Mean | A::Median | A::Std => number,
        A::Min | A::Max | A::Distinct => dtype != DataType::Other,
        A::Count | A::First | A::Last => true,
    };
    if !fits {
        let reason = format!("{:?} can't be computed of values of type {}", aggregate.function, dtype.as_str());
        return Err(DatasetError::column(&aggregate.column, reason.to_lowercase()));
    }
    Ok(match aggregate.function {
        A::Count | A::Distinct => DataType::Int,
        A::Mean | A::Median | A::Std => DataType::Float,
        A::Sum if dtype == DataType::Float => DataType::Float,
        A::Sum => DataType::Int,
        A::Min | A::Max | A::First | A::Last => dtype,
    })
}

/// The columns after a step. `right` is the schema of a join's other table.
pub(crate) fn step_schema(
    schema: &TableSchema,
    step: &Step,
    right: Option<&TableSchema>,
) -> Result<TableSchema, DatasetError> {
    let mut columns = schema.columns.clone();
    match step {
        Step::Select { columns: names, drop } => {
            let kept = selected(schema, names, *drop)?;
            columns = kept.iter().filter_map(|name| schema.column(name)).cloned().collect();
        }
        Step::Cast { columns: names, to, .. } => {
            require_some(names)?;
            require_all(schema, names)?;
            for column in columns.iter_mut().filter(|column| names.contains(&column.name)) {
                if !cast_exists(column.dtype, *to) {
                    let reason = format!("a value of type {} can't become {}", column.dtype.as_str(), to.as_str());
                    return Err(DatasetError::column(&column.name, reason));
                }
                column.dtype = *to;
            }
        }
        Step::Filter { predicate } => {
            let compiled = expr::compile(predicate, schema)?;
            if compiled.dtype != DataType::Bool {
                return Err(DatasetError::Expression {
                    text: crate::error::cut(predicate, 80),
                    reason: format!("it is of type {}, not a condition", compiled.dtype.as_str()),
                    hint: Some("compare something, for example: age > 30".to_owned()),
                });
            }
        }
        Step::Derive { column, expression } => {
            check_new_name(column)?;
            let dtype = expr::compile(expression, schema)?.dtype;
            match columns.iter_mut().find(|old| old.name == *column) {
                Some(old) => old.dtype = dtype,
                None => columns.push(ColumnSchema { name: column.clone(), dtype }),
            }
        }
        Step::Fill { columns: names, with } => {
            fill_columns(schema, names, with)?;
        }
        Step::Deduplicate { columns: names } => require_all(schema, names)?,
        Step::Sort { by } => {
            let names: Vec<String> = by.iter().map(|key| key.column.clone()).collect();
            require_some(&names)?;
            require_all(schema, &names)?;
        }
        Step::Sample { n_rows, fraction, .. } => check_sample(*n_rows, *fraction)?,
        Step::Join { on, how, .. } => {
            // The caller plans the right table first.
            let right = right.ok_or_else(|| DatasetError::invalid("the other table of the join is missing"))?;
            columns = joined(schema, right, on, *how)?;
        }
        Step::Group { by, aggregates } => columns = grouped(schema, by, aggregates)?,
    }
    Ok(TableSchema { columns })
}

fn check_new_name(name: &str) -> Result<(), DatasetError> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        let hint = "give it a name without control characters";
        return Err(DatasetError::invalid_because(format!("{name:?} can't be a column's name"), hint));
    }
    Ok(())
}

fn check_sample(n_rows: Option<u64>, fraction: Option<f64>) -> Result<(), DatasetError> {
    let hint = "set either n_rows or fraction";
    match (n_rows, fraction) {
        (Some(_), Some(_)) => Err(DatasetError::invalid_because("both a number and a share of rows are set", hint)),
        (None, None) => Err(DatasetError::invalid_because("neither a number nor a share of rows is set", hint)),
        (None, Some(share)) if !(0.0..=1.0).contains(&share) => {
            Err(DatasetError::invalid(format!("the share of rows is {share}, not between 0 and 1")))
        }
        _ => Ok(()),
    }
}

fn joined(
    left: &TableSchema,
    right: &TableSchema,
    on: &[(String, String)],
    how: JoinHow,
) -> Result<Vec<ColumnSchema>, DatasetError> {
    let (left_keys, right_keys): (Vec<String>, Vec<String>) = on.iter().cloned().unzip();
    require_some(&left_keys)?;
    require_all(left, &left_keys)?;
    require_all(right, &right_keys)?;
    for (left_name, right_name) in on {
        let (a, b) = (require(left, left_name)?, require(right, right_name)?);
        if a.dtype != b.dtype || a.dtype == DataType::Other {
            return Err(DatasetError::Column {
                column: left_name.clone(),
                reason: format!(
                    "it is of type {} here and {right_name:?} is of type {} in the other table",
                    a.dtype.as_str(),
                    b.dtype.as_str()
                ),
                hint: Some("change the type of one of them before the join".to_owned()),
            });
        }
    }
    let mut columns = left.columns.clone();
    if !matches!(how, JoinHow::Semi | JoinHow::Anti) {
        for (old, new) in joined_names(left, right, on) {
            let dtype = require(right, &old)?.dtype;
            columns.push(ColumnSchema { name: new, dtype });
        }
    }
    Ok(columns)
}

fn grouped(schema: &TableSchema, by: &[String], aggregates: &[Aggregate]) -> Result<Vec<ColumnSchema>, DatasetError> {
    require_some(by)?;
    require_all(schema, by)?;
    let mut columns = Vec::new();
    for name in by {
        let column = require(schema, name)?;
        if column.dtype == DataType::Other {
            return Err(DatasetError::column(name, "its values can't make groups"));
        }
        columns.push(column.clone());
    }
    for aggregate in aggregates {
        let column = require(schema, &aggregate.column)?;
        check_new_name(&aggregate.name)?;
        if columns.iter().any(|old| old.name == aggregate.name) {
            return Err(DatasetError::column(&aggregate.name, "two columns would have this name"));
        }
        columns.push(ColumnSchema { name: aggregate.name.clone(), dtype: aggregate_type(aggregate, column.dtype)? });
    }
    Ok(columns)
}

/// Number of steps of a plan, those of joined tables included. Does not recurse, so that depth can't hurt.
fn count_steps(plan: &PreparePlan) -> usize {
    let mut open = vec![plan];
    let mut n = 0;
    while let Some(plan) = open.pop() {
        n += plan.steps.len();
        for step in &plan.steps {
            if let Step::Join { right, .. } = &step.step {
                open.push(right);
            }
        }
    }
    n
}

/// Deepest nesting of joined tables.
pub(crate) const MAX_JOIN_DEPTH: usize = 32;

/// Checks what can be said of a plan without any file: its size, and that nothing but filters and row-wise steps follows
/// a step that learns.
pub(crate) fn check_order(plan: &PreparePlan, depth: usize) -> Result<(), DatasetError> {
    use athanor_protocol::recipe::MAX_STEPS;
    if depth == 0 && count_steps(plan) > MAX_STEPS {
        return Err(DatasetError::TooLarge { reason: format!("the preparation has more than {MAX_STEPS} steps") });
    }
    if depth > MAX_JOIN_DEPTH {
        let reason = format!("tables are joined more than {MAX_JOIN_DEPTH} levels deep");
        return Err(DatasetError::TooLarge { reason });
    }
    let mut learner: Option<&PlanStep> = None;
    for step in &plan.steps {
        let at = |err: DatasetError| err.at(&step.node, step.step.name());
        if step.step.learns() && depth > 0 {
            let hint = "fill with a given value there, or fill after the join";
            let reason = "a joined table can't learn a filling, because it is not split";
            return Err(at(DatasetError::invalid_because(reason, hint)));
        }
        match (&step.step, learner) {
            (Step::Filter { .. }, _) | (_, None) => {}
            (other, Some(learner)) if !other.is_row_wise() => {
                let reason = format!(
                    "it changes which rows there are, after node {:?} ({}) has learned from the training rows",
                    learner.node,
                    learner.step.name()
                );
                let hint = format!("move it before node {:?}", learner.node);
                return Err(at(DatasetError::invalid_because(reason, hint)));
            }
            _ => {}
        }
        if step.step.learns() && learner.is_none() {
            learner = Some(step);
        }
        if let Step::Join { right, .. } = &step.step {
            check_order(right, depth + 1)?;
        }
    }
    Ok(())
}

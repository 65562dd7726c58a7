//! Opening and preparing: table ports carry a plan, which is cheap; rows are read where they are split.

use std::{collections::BTreeMap, path::Path};

use athanor_protocol::{
    recipe::{Aggregate, AggregateFunction, FillWith, JoinHow, PlanStep, PreparePlan, SortKey, Step},
    table::{CsvOptions, DataSource, DataType, TableFormat, TableSchema},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Params, StepContext, at_node, read_json, write_json};
use crate::{error::Result, flow::cache::Outcome};

const VALUE: &str = "table.json";

/// What a table port carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TableValue {
    pub(super) plan: PreparePlan,
    /// The columns after the last step.
    pub(super) schema: TableSchema,
    /// For each file that the plan reads, the digest that its content had when the run was planned.
    pub(super) digests: BTreeMap<String, String>,
}

/// Reads what feeds a table port. The plan may have been kept by a run whose files lay elsewhere; this job knows where
/// the same bytes lie now.
pub(super) fn read_value(ctx: &StepContext<'_>, port: &str) -> Result<TableValue> {
    let mut value: TableValue = read_json(&ctx.input(port)?.join(VALUE))?;
    let known = std::mem::take(&mut value.digests);
    relocate(ctx, &mut value.plan, &known, &mut value.digests);
    Ok(value)
}

fn relocate(
    ctx: &StepContext<'_>,
    plan: &mut PreparePlan,
    known: &BTreeMap<String, String>,
    now: &mut BTreeMap<String, String>,
) {
    let text = |step: &athanor_protocol::job::JobStep, name: &str| {
        step.params.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    if let Some(digest) = known.get(&plan.source.path) {
        let name = Path::new(&plan.source.path).file_name().map(|name| name.to_string_lossy().into_owned());
        let opens = ctx.job.steps.iter().filter(|step| step.kind == "table.open");
        let same = opens.filter(|step| text(step, "digest").as_ref() == Some(digest) && text(step, "name") == name);
        let mut paths: Vec<String> = same.filter_map(|step| text(step, "path")).collect();
        // Where several files have these bytes and this name, any of them will do; the one that was meant goes first.
        paths.sort_by_key(|path| *path != plan.source.path);
        if let Some(path) = paths.into_iter().next() {
            plan.source.path = path;
        }
        now.insert(plan.source.path.clone(), digest.clone());
    }
    for step in &mut plan.steps {
        if let Step::Join { right, .. } = &mut step.step {
            relocate(ctx, right, known, now);
        }
    }
}

/// Makes fills that name no column name theirs, leaving out the columns that are to be predicted: a made-up target is
/// nothing to learn from or to be judged by.
pub(super) fn spare_targets(plan: &mut PreparePlan, targets: &[String]) -> Result<()> {
    for at in 0..plan.steps.len() {
        let Step::Fill { columns, with } = &plan.steps[at].step else { continue };
        if !columns.is_empty() || targets.is_empty() {
            continue;
        }
        let fits = |dtype: DataType| match with {
            FillWith::Mean | FillWith::Median | FillWith::Number(_) => matches!(dtype, DataType::Int | DataType::Float),
            FillWith::Mode => !matches!(dtype, DataType::Other),
            FillWith::Text(_) => dtype == DataType::Text,
        };
        let before = PreparePlan { source: plan.source.clone(), steps: plan.steps[..at].to_vec() };
        let schema = athanor_datasets::plan_schema(&before)?;
        if !schema.columns.iter().any(|column| targets.contains(&column.name)) {
            continue;
        }
        let named = schema.columns.into_iter().filter(|column| fits(column.dtype) && !targets.contains(&column.name));
        let named: Vec<String> = named.map(|column| column.name).collect();
        if named.is_empty() {
            // Nothing but the target would be filled: then there is nothing to do.
            plan.steps[at].step = Step::Select { columns: vec![], drop: true };
        } else {
            plan.steps[at].step = Step::Fill { columns: named, with: with.clone() };
        }
    }
    plan.steps.retain(|step| !matches!(&step.step, Step::Select { columns, drop: true } if columns.is_empty()));
    Ok(())
}

fn finish(
    ctx: &StepContext<'_>,
    plan: PreparePlan,
    digests: BTreeMap<String, String>,
    notes: Vec<String>,
) -> Result<Outcome> {
    let schema = athanor_datasets::plan_schema(&plan).map_err(at_node(&ctx.step.node))?;
    write_json(&ctx.out.join(VALUE), &TableValue { plan, schema, digests })?;
    Ok(Outcome { notes, ..Outcome::default() })
}

/// `table.open`.
pub(super) fn open(ctx: &StepContext<'_>) -> Result<Outcome> {
    let params = Params::of(ctx);
    let source = source(&params)?;
    let dataset = athanor_datasets::open(&source).map_err(at_node(&ctx.step.node))?;
    let notes = dataset.notes().to_vec();
    drop(dataset);
    let digest: String = params.get("digest")?;
    let digests = [(source.path.clone(), digest)].into();
    finish(ctx, PreparePlan { source, steps: vec![] }, digests, notes)
}

/// What a `table.open` node's parameters say.
pub(crate) fn source(params: &Params<'_>) -> Result<DataSource> {
    let separator: Option<String> = params.get("separator")?;
    let separator = match separator.as_deref() {
        None => None,
        Some("\\t" | "tab") => Some('\t'),
        Some(text) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) if one.is_ascii() => Some(one),
                _ => return Err(params.refuse("separator", "must be one ASCII character, or 'tab'")),
            }
        }
    };
    let format: TableFormat = params.get("format")?;
    let csv = CsvOptions {
        separator,
        has_header: params.get("has_header")?,
        decimal_comma: params.get("decimal_comma")?,
        null_values: params.get("null_values")?,
        text_columns: vec![],
    };
    Ok(DataSource { path: params.get("path")?, format, csv })
}

/// `prepare.*`.
pub(super) fn step(ctx: &StepContext<'_>, name: &str) -> Result<Outcome> {
    let params = Params::of(ctx);
    let TableValue { mut plan, mut digests, .. } = read_value(ctx, "table")?;
    let right = match name {
        "join" => {
            let right = read_value(ctx, "right")?;
            digests.extend(right.digests);
            Some(right.plan)
        }
        _ => None,
    };
    let step = plan_step(&params, name, right)?;
    plan.steps.push(PlanStep { node: ctx.step.node.clone(), step });
    finish(ctx, plan, digests, vec![])
}

/// The step that a `prepare.*` node's parameters say; `right` is what a join joins.
pub(crate) fn plan_step(params: &Params<'_>, name: &str, right: Option<PreparePlan>) -> Result<Step> {
    Ok(match name {
        "select" => Step::Select { columns: params.get("columns")?, drop: params.get("drop")? },
        "cast" => {
            let to: DataType = params.get("to")?;
            Step::Cast { columns: params.get("columns")?, to, on_error: params.get("on_error")? }
        }
        "filter" => Step::Filter { predicate: params.get("predicate")? },
        "derive" => Step::Derive { column: params.get("column")?, expression: params.get("expression")? },
        "fill" => Step::Fill { columns: params.get("columns")?, with: fill_with(params)? },
        "deduplicate" => Step::Deduplicate { columns: params.get("columns")? },
        "sort" => Step::Sort { by: params.get::<Vec<String>>("by")?.iter().map(|text| sort_key(text)).collect() },
        "sample" => {
            Step::Sample { n_rows: params.get("n_rows")?, fraction: params.get("fraction")?, seed: params.get("seed")? }
        }
        "join" => {
            let right = right.ok_or_else(|| params.refuse("on", "nothing is linked to the input 'right'"))?;
            let on: Vec<String> = params.get("on")?;
            let how: JoinHow = params.get("how")?;
            Step::Join { right: Box::new(right), on: on.iter().map(|text| pair(text)).collect(), how }
        }
        "group" => {
            let texts: Vec<String> = params.get("aggregates")?;
            let aggregates: Result<Vec<Aggregate>> = texts.iter().map(|text| aggregate(params, text)).collect();
            Step::Group { by: params.get("by")?, aggregates: aggregates? }
        }
        _ => return Err(params.refuse("kind", "this worker does not know the step")),
    })
}

fn fill_with(params: &Params<'_>) -> Result<FillWith> {
    let with: String = params.get("with")?;
    Ok(match with.as_str() {
        "mean" => FillWith::Mean,
        "median" => FillWith::Median,
        "mode" => FillWith::Mode,
        _ => match params.get::<Option<Value>>("value")? {
            Some(Value::Number(number)) => FillWith::Number(number.as_f64().unwrap_or(f64::NAN)),
            Some(Value::String(text)) => FillWith::Text(text),
            Some(Value::Bool(value)) => FillWith::Text(value.to_string()),
            _ => return Err(params.refuse("value", "must be set where 'with' is 'value'")),
        },
    })
}

/// `column` or `column desc`. A column whose own name ends in ` desc` can be sorted as `that desc asc`.
fn sort_key(text: &str) -> SortKey {
    let text = text.trim();
    let (column, descending) = match text.rsplit_once(char::is_whitespace) {
        Some((column, word)) if word.eq_ignore_ascii_case("desc") => (column.trim_end(), true),
        Some((column, word)) if word.eq_ignore_ascii_case("asc") => (column.trim_end(), false),
        _ => (text, false),
    };
    SortKey { column: column.to_owned(), descending }
}

/// `column` or `left = right`.
fn pair(text: &str) -> (String, String) {
    let (left, right) = text.split_once('=').unwrap_or((text, text));
    (left.trim().to_owned(), right.trim().to_owned())
}

/// `name = function(column)`.
fn aggregate(params: &Params<'_>, text: &str) -> Result<Aggregate> {
    let refuse = || params.refuse("aggregates", &format!("{text:?} is not of the form 'name = function(column)'"));
    let (name, call) = text.split_once('=').ok_or_else(refuse)?;
    let (function, rest) = call.trim().split_once('(').ok_or_else(refuse)?;
    let column = rest.trim().strip_suffix(')').ok_or_else(refuse)?;
    let function: AggregateFunction = known(function.trim()).ok_or_else(refuse)?;
    Ok(Aggregate { column: column.trim().to_owned(), function, name: name.trim().to_owned() })
}

fn known<T: DeserializeOwned>(word: &str) -> Option<T> {
    T::deserialize(&Value::from(word.to_ascii_lowercase())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read() {
        let key = |column: &str, descending| SortKey { column: column.to_owned(), descending };
        assert_eq!(sort_key("age"), key("age", false));
        assert_eq!(sort_key(" mean radius DESC "), key("mean radius", true));
        assert_eq!(sort_key("odd desc asc"), key("odd desc", false));
        assert_eq!(pair("id"), ("id".to_owned(), "id".to_owned()));
        assert_eq!(pair("id = customer"), ("id".to_owned(), "customer".to_owned()));
        let values = BTreeMap::new();
        let params = Params { node: "g", values: &values };
        let found = aggregate(&params, "total = SUM( price )").ok();
        assert_eq!(
            found,
            Some(Aggregate { column: "price".into(), function: AggregateFunction::Sum, name: "total".into() })
        );
        for bad in ["", "sum(price)", "x = price", "x = warp(price)", "x = sum(price"] {
            assert!(aggregate(&params, bad).is_err(), "{bad}");
        }
    }
}

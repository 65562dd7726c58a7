//! A whole preparation: read, do the steps, split, learn, and keep what was learned.

use std::collections::BTreeSet;

use athanor_protocol::{
    package::DatasetUsed,
    recipe::{FittedRecipe, FittedStep, PlanStep, PreparePlan, SplitSpec, Step},
    table::{DataType, TableSchema},
};
use polars::prelude as pl;
use polars::prelude::{IntoLazy, LazyFrame};

use crate::{
    csv::{Flow, Pass},
    dataset::{BATCH_ROWS, Dataset, Kind, collect_streaming, empty_frame, open, push_rows, read_error},
    error::{DatasetError, guard},
    exec::{self, Hidden, LazyOp, Table, lazy_op, run_step, take},
    frame::data_from_column,
    recipe::{RECIPE_VERSION, restrict, touches},
    source::digest_text,
    split,
    steps::{check_order, fill_columns, require, step_schema},
    table::PreparedTable,
};

/// What a preparation gives.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What a model learns from.
    pub train: PreparedTable,
    /// What it is stopped and tuned by; may have no rows.
    pub valid: PreparedTable,
    /// What it is judged by; may have no rows.
    pub test: PreparedTable,
    /// The training rows as they are before the fitted recipe, with the columns that go into it.
    pub raw_train: PreparedTable,
    /// The row-wise steps after the last step that reshapes, with what they learned.
    pub recipe: FittedRecipe,
    /// Digest of schema and values of the three parts, `blake3:<hex>`.
    pub digest: String,
    /// The files that were read, the plan's own first.
    pub sources: Vec<DatasetUsed>,
    /// What a person should know about how the files were read.
    pub notes: Vec<String>,
}

/// The columns after all steps. Reads no rows beyond the bounded first part of each file.
///
/// # Errors
/// If a file can't be opened or a step does not fit the columns before it; names the node and step.
pub fn plan_schema(plan: &PreparePlan) -> Result<TableSchema, DatasetError> {
    check_order(plan, 0)?;
    planned(plan)
}

fn planned(plan: &PreparePlan) -> Result<TableSchema, DatasetError> {
    let mut schema = open(&plan.source)?.schema().clone();
    for step in &plan.steps {
        let at = |err: DatasetError| err.at(&step.node, step.step.name());
        let right = match &step.step {
            Step::Join { right, .. } => Some(planned(right).map_err(at)?),
            _ => None,
        };
        schema = step_schema(&schema, &step.step, right.as_ref()).map_err(at)?;
    }
    Ok(schema)
}

/// Reads the tables, does the steps in order, splits, learns from the training rows and applies what was learned to
/// each part.
///
/// The split happens just before the first step that learns, or at the end. Steps at the plan's beginning that need no
/// other row (select, filter, derive) run while the file is read. `stop` is asked between batches and steps.
///
/// The same file bytes, plan and seed give the same rows in the same order and the same digest.
///
/// # Errors
/// If a file can't be read, changed meanwhile, or holds malformed rows; if a step or the split can't be done (names the
/// node, step, column); [`DatasetError::Cancelled`] if `stop` said so.
pub fn prepare(plan: &PreparePlan, spec: &SplitSpec, stop: &dyn Fn() -> bool) -> Result<Prepared, DatasetError> {
    check_order(plan, 0)?;
    split::check(spec)?;
    // All that can be found out without reading rows is found out first.
    planned(plan)?;
    let mut context = Context { stop, sources: Vec::new(), notes: Vec::new() };
    let recipe_from = plan.steps.iter().rposition(|step| step.step.reshapes()).map_or(0, |at| at + 1);
    let split_at = plan.steps.iter().position(|step| step.step.learns()).unwrap_or(plan.steps.len());
    let (early, late) = plan.steps.split_at(split_at);

    let mut fitting = Fitting::default();
    let whole = context.run(plan, early, recipe_from, Some(&mut fitting))?;
    let parts = divide(&whole, spec)?;
    let mut tables = Vec::with_capacity(3);
    for rows in [&parts.train, &parts.valid, &parts.test] {
        context.check_stop()?;
        let df = guard("splitting rows", || take(&whole.df, rows))?;
        tables.push(Table { df, schema: whole.schema.clone(), hidden: whole.hidden.clone() });
    }
    drop(whole);
    for step in late {
        context.check_stop()?;
        let at = |err: DatasetError| err.at(&step.node, step.step.name());
        let before = tables[0].schema.clone();
        let mut fills = Vec::new();
        if let Step::Fill { columns, with } = &step.step {
            fills = guard("learning a filling", || exec::fitted_fill(&tables[0], columns, with)).map_err(at)?;
            for table in &mut tables {
                exec::apply_fill(table, &fills).map_err(at)?;
            }
        } else {
            let mut done = Vec::with_capacity(3);
            for table in tables {
                done.push(run_step(table, step, None)?);
            }
            tables = done;
            if tables[0].df.height() == 0 {
                let hint = "loosen the filter";
                let err = DatasetError::invalid_because("no training rows are left after it", hint);
                return Err(err.at(&step.node, step.step.name()));
            }
        }
        // Everything after a step that learns belongs to the recipe: steps that reshape are refused there.
        fitting.steps.extend(exec::fitted_step(&before, &step.step, &fills).map_err(at)?);
    }
    context.check_stop()?;
    finish(fitting, &tables, context)
}

fn finish(fitting: Fitting, tables: &[Table], mut context: Context<'_>) -> Result<Prepared, DatasetError> {
    guard("finishing a preparation", || {
        let output = tables[0].schema.clone();
        let names: Vec<&str> = output.columns.iter().map(|column| column.name.as_str()).collect();
        let full = FittedRecipe {
            version: RECIPE_VERSION,
            input: fitting.input,
            steps: fitting.steps,
            output: output.clone(),
        };
        let recipe = restrict(&full, &names)?;
        let raw_train = PreparedTable::new(exec::raw(&tables[0], &recipe.input)?);
        let [train, valid, test] =
            [&tables[0], &tables[1], &tables[2]].map(|t| exec::visible(t).map(PreparedTable::new));
        let (train, valid, test) = (train?, valid?, test?);
        let mut hasher = blake3::Hasher::new_derive_key("athanor datasets prepared v1");
        for part in [&train, &valid, &test] {
            part.hash_into(&mut hasher)?;
        }
        if let Some(own) = context.sources.first_mut() {
            own.n_rows = (train.n_rows() + valid.n_rows() + test.n_rows()) as u64;
        }
        let digest = digest_text(&hasher);
        let (sources, notes) = (context.sources, context.notes);
        Ok(Prepared { train, valid, test, raw_train, recipe, digest, sources, notes })
    })
}

fn divide(table: &Table, spec: &SplitSpec) -> Result<split::Parts, DatasetError> {
    let labels = match split::stratify_column(spec) {
        Some(name) => {
            require(&table.schema, name)?;
            Some(guard("reading the column to stratify by", || data_from_column(table.df.column(name)?))?)
        }
        None => None,
    };
    split::split(exec::row_count(&table.df)?, labels.as_ref(), spec)
}

/// The recipe as it grows.
#[derive(Debug, Default)]
struct Fitting {
    /// All columns at the recipe's begin.
    input: TableSchema,
    steps: Vec<FittedStep>,
}

struct Context<'a> {
    stop: &'a dyn Fn() -> bool,
    sources: Vec<DatasetUsed>,
    notes: Vec<String>,
}

impl Context<'_> {
    fn check_stop(&self) -> Result<(), DatasetError> {
        if (self.stop)() { Err(DatasetError::Cancelled) } else { Ok(()) }
    }

    /// Reads the plan's table and does `steps`, a beginning of the plan's steps. With `fitting`, raw values are kept
    /// from step `recipe_from` on, and row-wise steps from there are recorded.
    fn run(
        &mut self,
        plan: &PreparePlan,
        steps: &[PlanStep],
        recipe_from: usize,
        mut fitting: Option<&mut Fitting>,
    ) -> Result<Table, DatasetError> {
        self.check_stop()?;
        let mut dataset = open(&plan.source)?;
        // Steps that need no other row run while the file is read. They end where raw values must be kept.
        let n_streamed = steps
            .iter()
            .take_while(|step| matches!(step.step, Step::Select { .. } | Step::Filter { .. } | Step::Derive { .. }))
            .count();
        let n_streamed = if recipe_from > 0 { n_streamed.min(recipe_from) } else { n_streamed };
        let keeps_raw = fitting.is_some() && recipe_from == 0;
        let begin = |schema: &TableSchema| -> Result<Hidden, DatasetError> {
            if keeps_raw { hidden_columns(schema, &plan.steps) } else { Ok(Hidden::new()) }
        };
        let at = self.sources.len();
        self.sources.push(DatasetUsed { name: dataset.name(), digest: String::new(), n_rows: 0 });
        let (mut table, digest) = read(&mut dataset, &steps[..n_streamed], &begin, self.stop)?;
        self.sources[at].digest = digest;
        let mut schema = dataset_schema(&dataset);
        self.notes.extend(all_notes(&dataset));
        if let Some(fitting) = fitting.as_deref_mut().filter(|_| keeps_raw) {
            fitting.input = schema.clone();
            for step in &steps[..n_streamed] {
                fitting.steps.extend(exec::fitted_step(&schema, &step.step, &[])?);
                schema = step_schema(&schema, &step.step, None)?;
            }
        }
        for (i, step) in steps.iter().enumerate().skip(n_streamed) {
            self.check_stop()?;
            if i == recipe_from && i > 0 {
                self.begin_recipe(&mut table, &plan.steps[i..], fitting.as_deref_mut())?;
            }
            let right = match &step.step {
                Step::Join { right, .. } => {
                    let right = self.run(right, &right.steps, usize::MAX, None);
                    Some(right.map_err(|err| err.at(&step.node, step.step.name()))?)
                }
                _ => None,
            };
            let before = table.schema.clone();
            let mut fills = Vec::new();
            if let (Step::Fill { columns, with }, Some(_)) = (&step.step, &fitting) {
                fills = exec::fitted_fill(&table, columns, with).map_err(|err| err.at(&step.node, "fill"))?;
            }
            table = run_step(table, step, right)?;
            if let Some(fitting) = fitting.as_deref_mut().filter(|_| i >= recipe_from) {
                fitting.steps.extend(exec::fitted_step(&before, &step.step, &fills)?);
            }
        }
        if recipe_from == steps.len() && recipe_from > 0 {
            self.begin_recipe(&mut table, &plan.steps[recipe_from..], fitting)?;
        }
        self.sources[at].n_rows = table.df.height() as u64;
        Ok(table)
    }

    /// After a step that reshapes: from here on raw values are kept.
    fn begin_recipe(
        &mut self,
        table: &mut Table,
        steps: &[PlanStep],
        fitting: Option<&mut Fitting>,
    ) -> Result<(), DatasetError> {
        let Some(fitting) = fitting else { return Ok(()) };
        fitting.input = table.schema.clone();
        table.hidden = hidden_columns(&table.schema, steps)?;
        for (raw, hidden) in &table.hidden {
            let mut copy = table.df.column(raw)?.clone();
            copy.rename(hidden.as_str().into());
            table.df.with_column(copy)?;
        }
        Ok(())
    }
}

fn dataset_schema(dataset: &Dataset) -> TableSchema {
    match &dataset.kind {
        Kind::Csv(table) => table.schema.clone(),
        Kind::Parquet(_) => dataset.schema().clone(),
    }
}

fn all_notes(dataset: &Dataset) -> Vec<String> {
    let mut notes = dataset.notes().to_vec();
    if let Kind::Csv(table) = &dataset.kind {
        notes.extend(table.notes.iter().filter(|note| !dataset.notes().contains(note)).cloned());
    }
    notes
}

/// The raw columns that must be kept beside what steps make of them: those that go into the recipe and that some step
/// changes or drops.
fn hidden_columns(schema: &TableSchema, steps: &[PlanStep]) -> Result<Hidden, DatasetError> {
    let mut fitted = Vec::new();
    let mut now = schema.clone();
    for step in steps {
        let at = |err: DatasetError| err.at(&step.node, step.step.name());
        // Which columns a fill touches is known before what it learns.
        let fills: Vec<_> = match &step.step {
            Step::Fill { columns, with } => {
                let names = fill_columns(&now, columns, with).map_err(at)?;
                names.into_iter().map(|name| (name, athanor_protocol::recipe::FillValue::Bool(false))).collect()
            }
            _ => Vec::new(),
        };
        fitted.extend(exec::fitted_step(&now, &step.step, &fills).map_err(at)?);
        now = step_schema(&now, &step.step, None).map_err(at)?;
    }
    let names: Vec<&str> = now.columns.iter().map(|column| column.name.as_str()).collect();
    let full = FittedRecipe { version: RECIPE_VERSION, input: schema.clone(), steps: fitted, output: now.clone() };
    let recipe = restrict(&full, &names)?;
    let there: BTreeSet<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    let mut hidden = Hidden::new();
    for column in &recipe.input.columns {
        if full.steps.iter().any(|step| touches(step, &column.name)) {
            let mut name = format!("\u{1}raw {}", column.name);
            while there.contains(name.as_str()) {
                name.insert(0, '\u{1}');
            }
            hidden.push((column.name.clone(), name));
        }
    }
    Ok(hidden)
}

/// The query that reads: NaN becomes missing, raw copies are made, then the streamed steps. Each part with the node and
/// step that it came from, for errors.
type Query = Vec<(Option<(String, &'static str)>, LazyOp)>;

fn query(schema: &TableSchema, steps: &[PlanStep], hidden: &Hidden) -> Result<(Query, TableSchema), DatasetError> {
    let mut ops: Query = Vec::new();
    let floats: Vec<pl::Expr> = schema
        .columns
        .iter()
        .filter(|column| column.dtype == DataType::Float)
        .map(|column| exec::column(&column.name).fill_nan(pl::lit(pl::NULL)))
        .collect();
    if !floats.is_empty() {
        ops.push((None, LazyOp::With(floats)));
    }
    if !hidden.is_empty() {
        let copies = hidden.iter().map(|(raw, name)| exec::column(raw).alias(name.as_str())).collect();
        ops.push((None, LazyOp::With(copies)));
    }
    let mut now = schema.clone();
    for step in steps {
        let at = |err: DatasetError| err.at(&step.node, step.step.name());
        if let Some((op, after)) = lazy_op(&now, hidden, &step.step).map_err(at)? {
            ops.push((Some((step.node.clone(), step.step.name())), op));
            now = after;
        }
    }
    Ok((ops, now))
}

fn run_query(
    lazy: &LazyFrame,
    ops: &Query,
    collect: &dyn Fn(LazyFrame) -> Result<pl::DataFrame, pl::PolarsError>,
    source_error: &dyn Fn(&pl::PolarsError) -> DatasetError,
) -> Result<pl::DataFrame, DatasetError> {
    let prefix = |n: usize| ops[..n].iter().fold(lazy.clone(), |lazy, (_, op)| op.put_on(lazy));
    let result = guard("reading a table", || Ok(collect(prefix(ops.len()))))?;
    let last = match result {
        Ok(df) => return Ok(df),
        Err(err) => err,
    };
    // Which part failed is found by doing ever more of them; it costs only where there is an error to tell.
    for n in 0..=ops.len() {
        if let Err(err) = guard("reading a table", || Ok(collect(prefix(n))))? {
            return Err(match n.checked_sub(1).and_then(|at| ops[at].0.as_ref()) {
                Some((node, step)) => DatasetError::from(err).at(node, step),
                None => source_error(&err),
            });
        }
    }
    Err(last.into())
}

/// Reads a whole table through the steps that can run meanwhile, with the digest of the file's bytes.
fn read(
    dataset: &mut Dataset,
    steps: &[PlanStep],
    begin: &dyn Fn(&TableSchema) -> Result<Hidden, DatasetError>,
    stop: &dyn Fn() -> bool,
) -> Result<(Table, String), DatasetError> {
    let all: Vec<usize> = (0..dataset.schema().columns.len()).collect();
    let file = dataset.file.clone();
    match &mut dataset.kind {
        Kind::Parquet(parquet) => {
            let scan = parquet.scan(&file, &all)?;
            let schema = dataset.schema().clone();
            let hidden = begin(&schema)?;
            let (ops, after) = query(&schema, steps, &hidden)?;
            let before = file.digest(stop)?;
            let df = run_query(&scan, &ops, &collect_streaming, &|err| read_error(&file, err))?;
            // The engine reads the file by itself, so only a second look can tell that it read what was hashed.
            if file.digest(stop)? != before {
                return Err(DatasetError::Changed { path: file.shown.clone() });
            }
            Ok((Table { df, schema: after, hidden }, before))
        }
        Kind::Csv(csv) => loop {
            let schema = csv.schema.clone();
            let hidden = begin(&schema)?;
            let (ops, after) = query(&schema, steps, &hidden)?;
            let in_memory = |lazy: LazyFrame| -> Result<pl::DataFrame, pl::PolarsError> { lazy.collect() };
            let through = |df: pl::DataFrame| {
                if ops.is_empty() {
                    return Ok(df);
                }
                run_query(&df.lazy(), &ops, &in_memory, &|err| DatasetError::Engine(err.to_string()))
            };
            // An empty beginning gives a table without rows its columns.
            let mut found = Some(through(empty_frame(&schema)?)?);
            let pass = csv.read(&file, &all, BATCH_ROWS, stop, &mut |df| {
                push_rows(&mut found, through(df)?)?;
                Ok(Flow::Continue)
            })?;
            if let (Pass::Done(digest), Some(mut df)) = (pass, found) {
                df.rechunk_mut();
                return Ok((Table { df, schema: after, hidden }, digest));
            }
        },
    }
}

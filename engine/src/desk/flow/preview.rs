//! What comes out of a port: from the cache where the result is there, and for tables also without running anything.

use std::path::{Path, PathBuf};

use athanor_datasets::{PreparedTable, cell_text};
use athanor_learn::package::{MAX_PACKAGE_BYTES, Package};
use athanor_protocol::{
    Code, Failure,
    api::{DataRows, MAX_PAGE_ROWS, Preview, RowsPage, WorkflowPreview},
    catalogue::{Catalogue, PortType},
    recipe::{PreparePlan, SplitSpec, Step},
    table::{CsvOptions, DataSource, DataType, TableFormat},
};

use super::{Shared, inspect, lock, read, tables};
use crate::{
    desk::data,
    error::{IoContext, Result},
    files,
    worker::{PACKAGE_FILE, nodes::split::Part},
    workspace::Workspace,
};

/// Of larger files only the first rows are prepared for a look.
const MAX_WHOLE_BYTES: u64 = 8 << 20;
/// So many.
const HEAD_ROWS: usize = 10_000;
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// A table that was prepared for a look.
#[derive(Clone)]
pub(super) struct Prepared {
    table: PreparedTable,
    /// Whether only the first rows of a source went into it.
    sampled: bool,
}

pub(in crate::desk) fn workflow_preview(desk: Shared<'_>, ask: WorkflowPreview) -> Result<Preview, Failure> {
    let workspace = desk.workspace()?;
    let workflow = read(&ask.json)?;
    let catalogue = Catalogue::builtin();
    let missing = |what: String| Failure::new(Code::NotFound, what).on(ask.node.clone());
    let node = workflow.node(&ask.node).ok_or_else(|| missing(format!("there is no node {:?}", ask.node)))?;
    let port = catalogue.kind(&node.kind).and_then(|kind| kind.output(&ask.port));
    let port = port.ok_or_else(|| missing(format!("node {:?} has no output {:?}", ask.node, ask.port)))?;
    let known = tables::look(desk, &workspace, &workflow, &catalogue);
    if port.port_type == PortType::Table {
        return match known.plans.get(&ask.node) {
            Some(plan) => table(desk, plan, ask.offset, ask.limit),
            None => Err(why_not(&known, &ask.node)),
        };
    }
    let steps = inspect::steps(desk, &workspace, &workflow, &catalogue, ask.seed, &ask.device, &known.broken)?;
    let Some(step) = steps.iter().find(|step| step.node == ask.node && workspace.cache.has(&step.key)) else {
        return Ok(Preview::NotYet {});
    };
    let folder = workspace.cache.folder(&step.key)?;
    match port.port_type {
        PortType::Splits => splits(desk, &folder, ask.offset, ask.limit),
        PortType::Model => model(&folder),
        _ => report(&workspace, &step.key),
    }
}

/// Why a table cannot be shown: the nearest problem there is.
fn why_not(known: &tables::Known, node: &str) -> Failure {
    let own = known.problems.iter().find(|problem| problem.node.as_deref() == Some(node));
    match own.or_else(|| known.problems.first()) {
        Some(problem) => Failure::new(Code::BadData, problem.to_string()).on(problem.node.clone().unwrap_or_default()),
        None => Failure::new(Code::Conflict, format!("node {node:?} is not complete yet"))
            .on(node)
            .hint("link its inputs and set what is missing"),
    }
}

fn table(desk: Shared<'_>, plan: &PreparePlan, offset: u64, limit: u32) -> Result<Preview, Failure> {
    if plan.steps.is_empty() {
        let rows = DataRows { source: plan.source.clone(), offset, limit, columns: vec![] };
        return Ok(Preview::Table { rows: data::data_rows(desk, rows)?, sampled: false });
    }
    let key = serde_json::to_string(plan).unwrap_or_default() + &tables::states(plan);
    let known = lock(&desk.flow.prepared).as_ref().filter(|(of, _)| *of == key).map(|(_, known)| known.clone());
    let prepared = match known {
        Some(prepared) => prepared,
        None => {
            let prepared = prepare(plan)?;
            *lock(&desk.flow.prepared) = Some((key, prepared.clone()));
            prepared
        }
    };
    Ok(Preview::Table { rows: page(&prepared.table, offset, limit)?, sampled: prepared.sampled })
}

/// Does a plan on its sources, or on the first rows of large ones.
fn prepare(plan: &PreparePlan) -> Result<Prepared, Failure> {
    let mut heads = Heads { files: vec![] };
    let mut plan = plan.clone();
    heads.shorten(&mut plan)?;
    // All rows in one part, in their order.
    let all = SplitSpec::Random { valid: 0.0, test: 0.0, stratify: None, seed: 0 };
    let prepared = athanor_datasets::prepare(&plan, &all, &|| false)?;
    Ok(Prepared { table: prepared.train, sampled: !heads.files.is_empty() })
}

/// The first rows of large sources, in files that go when this goes.
struct Heads {
    files: Vec<PathBuf>,
}

impl Heads {
    fn shorten(&mut self, plan: &mut PreparePlan) -> Result<(), Failure> {
        let path = Path::new(&plan.source.path);
        if std::fs::metadata(path).at("open", path)?.len() > MAX_WHOLE_BYTES {
            let head = athanor_datasets::open(&plan.source)?.head(HEAD_ROWS)?;
            let beside = files::beside(&std::env::temp_dir().join("athanor-preview")).with_extension("parquet");
            self.files.push(beside.clone());
            PreparedTable::from_frame(&head)?.write(&beside)?;
            plan.source = parquet(&beside);
        }
        for step in &mut plan.steps {
            if let Step::Join { right, .. } = &mut step.step {
                self.shorten(right)?;
            }
        }
        Ok(())
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn parquet(path: &Path) -> DataSource {
    let path = path.display().to_string();
    DataSource { path, format: TableFormat::Parquet, csv: CsvOptions::default() }
}

fn page(table: &PreparedTable, offset: u64, limit: u32) -> Result<RowsPage, Failure> {
    let frame = table.frame(&[])?;
    let n_rows = frame.n_rows();
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(n_rows);
    let to = from.saturating_add(limit.min(MAX_PAGE_ROWS) as usize).min(n_rows);
    let columns = table.schema().columns.clone();
    let dates = columns.iter().map(|column| column.dtype == DataType::Date);
    let cells = frame.columns().iter().zip(dates).map(|(column, is_date)| {
        let cell = |row| {
            let text = cell_text(&column.data, row)?;
            Some(if is_date { text.chars().take_while(|c| *c != 'T' && *c != ' ').collect() } else { text })
        };
        (from..to).map(cell).collect()
    });
    Ok(RowsPage { offset: from as u64, cells: cells.collect(), columns, n_rows: Some(n_rows as u64) })
}

fn splits(desk: Shared<'_>, folder: &Path, offset: u64, limit: u32) -> Result<Preview, Failure> {
    let rows_of = |part: Part| athanor_datasets::open(&parquet(&folder.join(part.file())))?.n_rows();
    let n_rows = [rows_of(Part::Train)?, rows_of(Part::Valid)?, rows_of(Part::Test)?];
    let source = parquet(&folder.join(Part::Train.file()));
    let train = data::data_rows(desk, DataRows { source, offset, limit, columns: vec![] })?;
    Ok(Preview::Splits { train, n_rows })
}

fn model(folder: &Path) -> Result<Preview, Failure> {
    let bytes = files::read_limited(&folder.join(PACKAGE_FILE), MAX_PACKAGE_BYTES)?;
    let n_bytes = bytes.len() as u64;
    let package = Package::read(bytes)?;
    let manifest = package.manifest();
    let mut facts = vec![
        ("target".to_owned(), manifest.signature.target.clone()),
        ("inputs".to_owned(), manifest.signature.inputs.len().to_string()),
    ];
    if let Some(train) = &manifest.lineage.train {
        facts.insert(0, ("learner".to_owned(), train.learner.name().to_owned()));
        facts.push(("device".to_owned(), train.device.clone()));
        facts.push(("seed".to_owned(), train.seed.to_string()));
    }
    for dataset in &manifest.lineage.datasets {
        facts.push((format!("table {}", dataset.name), format!("{} rows", dataset.n_rows)));
    }
    facts.extend(manifest.metrics.iter().map(|metric| (metric.key.clone(), metric.value.to_string())));
    facts.extend(manifest.lineage.versions.iter().cloned());
    Ok(Preview::Model { signature: manifest.signature.clone(), n_bytes, facts })
}

fn report(workspace: &Workspace, key: &str) -> Result<Preview, Failure> {
    let outcome = workspace.cache.outcome(key)?;
    let Some(file) = outcome.files.iter().find(|file| file.artifact.kind == "report") else {
        return Ok(Preview::NotYet {});
    };
    let path = workspace.cache.folder(key)?.join(&file.file);
    let bytes = files::read_limited(&path, MAX_REPORT_BYTES)?;
    let report = serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", &path)?;
    Ok(Preview::Report { report: Box::new(report) })
}

//! What every test needs: files in a temporary folder and short ways to write plans.

use std::path::PathBuf;

use athanor_datasets::{DatasetError, Prepared, prepare};
use athanor_protocol::{
    columns::Frame,
    recipe::{PlanStep, PreparePlan, SplitSpec, Step},
    table::{DataSource, TableSchema},
};

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> DataSource {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        DataSource::file(path.to_str().unwrap())
    }

    pub fn source(&self, name: &str) -> DataSource {
        DataSource::file(self.path(name).to_str().unwrap())
    }
}

pub fn plan(source: &DataSource, steps: impl IntoIterator<Item = Step>) -> PreparePlan {
    let label = |(i, step): (usize, Step)| PlanStep { node: format!("n{}", i + 1), step };
    PreparePlan { source: source.clone(), steps: steps.into_iter().enumerate().map(label).collect() }
}

/// Everything is training, in file order.
pub fn no_split() -> SplitSpec {
    SplitSpec::Random { valid: 0.0, test: 0.0, stratify: None, seed: 0 }
}

pub fn halves(seed: u64) -> SplitSpec {
    SplitSpec::Random { valid: 0.0, test: 0.5, stratify: None, seed }
}

pub fn run(source: &DataSource, steps: impl IntoIterator<Item = Step>) -> Result<Prepared, DatasetError> {
    prepare(&plan(source, steps), &no_split(), &|| false)
}

/// Rows as text, columns joined with `|`, missing as `-`.
pub fn rows(frame: &Frame) -> Vec<String> {
    let cell = |column: &athanor_protocol::columns::Column, row| {
        column.data.label(row).map_or_else(|| "-".to_owned(), |text| text.to_string())
    };
    (0..frame.n_rows())
        .map(|row| frame.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join("|"))
        .collect()
}

pub fn train_rows(prepared: &Prepared) -> Vec<String> {
    rows(&prepared.train.frame(&[]).unwrap())
}

/// `a:int b:text`.
pub fn shape(schema: &TableSchema) -> String {
    let column = |column: &athanor_protocol::table::ColumnSchema| format!("{}:{}", column.name, column.dtype.as_str());
    schema.columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

pub fn select(columns: &[&str]) -> Step {
    Step::Select { columns: columns.iter().map(|&name| name.to_owned()).collect(), drop: false }
}

pub fn derive(column: &str, expression: &str) -> Step {
    Step::Derive { column: column.to_owned(), expression: expression.to_owned() }
}

pub fn filter(predicate: &str) -> Step {
    Step::Filter { predicate: predicate.to_owned() }
}

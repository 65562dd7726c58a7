//! What a batch prediction tells of its input beside the predictions.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_learn::package::Package;
use athanor_protocol::{
    Failure,
    columns::{ColumnData, Frame},
    signature::InputColumn,
    table::DataType,
};
use serde::{Deserialize, Serialize};

use super::journal::PartRecord;

/// The package keeps the most frequent texts of training, at most so many: a full list may lack some.
const MAX_LISTED: usize = 100;

/// What a batch prediction did, and what it found in the rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BatchReport {
    /// Rows that were predicted.
    pub n_rows: u64,
    /// Rows of these that an earlier, broken run had predicted already.
    pub n_resumed: u64,
    /// Columns and how many of their values were missing though training knew all of them: these were imputed, where the
    /// endpoint would have refused the row.
    pub missing: BTreeMap<String, u64>,
    /// Text columns and how many of their values training has never seen. Columns of which training knew more texts
    /// than a package lists are not judged.
    pub new_categories: BTreeMap<String, u64>,
    /// Columns of numbers and how many of their values lie outside of what training has seen.
    pub out_of_range: BTreeMap<String, u64>,
    /// How long it took.
    pub seconds: f64,
}

/// Where a report lies: beside the output, under its whole name with `.report.json` behind.
pub fn report_path(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".report.json");
    to.with_file_name(name)
}

/// Looks at raw rows.
pub(super) struct Watch {
    columns: Vec<Watched>,
}

struct Watched {
    name: String,
    /// Whether training knew a value in every row.
    needs_value: bool,
    known: Option<HashSet<String>>,
    range: Option<(f64, f64)>,
}

impl Watch {
    /// What the package's training statistics allow to tell.
    pub(super) fn new(package: &Package, inputs: &[InputColumn]) -> Result<Self, Failure> {
        let statistics = package.statistics()?;
        let columns = inputs.iter().map(|input| {
            let trained = statistics.inputs.iter().find(|column| column.name == input.name);
            let known = trained.filter(|column| {
                input.dtype == DataType::Text && !column.categories.is_empty() && column.categories.len() < MAX_LISTED
            });
            let is_number = matches!(input.dtype, DataType::Int | DataType::Float);
            Watched {
                name: input.name.clone(),
                needs_value: !input.nullable,
                known: known.map(|column| column.categories.iter().map(|(text, _)| text.clone()).collect()),
                range: trained
                    .filter(|_| is_number)
                    .and_then(|column| column.numbers)
                    .map(|[_, _, min, max]| (min, max)),
            }
        });
        Ok(Self { columns: columns.collect() })
    }

    /// The columns that are looked at.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|watched| watched.name.as_str())
    }

    /// Counts what is to be told of some rows.
    pub(super) fn look(&self, batch: &Frame, record: &mut PartRecord) {
        let mut add = |counts: fn(&mut PartRecord) -> &mut BTreeMap<String, u64>, name: &str, n: usize| {
            if n > 0 {
                *counts(record).entry(name.to_owned()).or_default() += n as u64;
            }
        };
        for watched in &self.columns {
            let Some(column) = batch.column(&watched.name) else { continue };
            if watched.needs_value {
                add(|record| &mut record.missing, &watched.name, n_missing(&column.data));
            }
            if let Some(known) = &watched.known {
                add(|record| &mut record.new_categories, &watched.name, n_new(&column.data, known));
            }
            if let Some(range) = watched.range {
                add(|record| &mut record.out_of_range, &watched.name, n_outside(&column.data, range));
            }
        }
    }

    /// The sums over all parts.
    pub(super) fn report(&self, parts: &[PartRecord]) -> BatchReport {
        let mut report = BatchReport::default();
        let mut sums = PartRecord::default();
        parts.iter().for_each(|part| sums.add(part));
        report.missing = sums.missing;
        report.new_categories = sums.new_categories;
        report.out_of_range = sums.out_of_range;
        report
    }
}

fn n_missing(data: &ColumnData) -> usize {
    match data {
        // Without asking for the kind of column at each row, which takes longer than the rest.
        ColumnData::Float(values) => values.iter().filter(|value| value.is_nan()).count(),
        _ => (0..data.len()).filter(|row| data.is_missing(*row)).count(),
    }
}

fn n_new(data: &ColumnData, known: &HashSet<String>) -> usize {
    match data {
        ColumnData::Text(values) => {
            let is_new = |value: &&Arc<str>| !known.contains(&***value);
            values.iter().flatten().filter(is_new).count()
        }
        _ => (0..data.len()).filter(|row| data.label(*row).is_some_and(|text| !known.contains(&*text))).count(),
    }
}

fn n_outside(data: &ColumnData, (min, max): (f64, f64)) -> usize {
    let is_outside = |value: f64| value < min || value > max;
    match data {
        ColumnData::Float(values) => values.iter().filter(|value| is_outside(**value)).count(),
        _ => (0..data.len()).filter(|row| is_outside(data.number(*row))).count(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_protocol::columns::Column;

    use super::*;

    #[test]
    fn rows_are_counted_by_what_training_knew() {
        let watched = |name: &str| Watched { name: name.to_owned(), needs_value: false, known: None, range: None };
        let known: HashSet<String> = ["red", "blue"].map(str::to_owned).into();
        let watch = Watch {
            columns: vec![
                Watched { range: Some((0.0, 10.0)), needs_value: true, ..watched("size") },
                Watched { known: Some(known), ..watched("colour") },
                Watched { needs_value: true, ..watched("not there") },
            ],
        };
        let text = |text: &str| Some(text.into());
        let frame = Frame::new(vec![
            Column { name: "size".into(), data: ColumnData::Float(vec![0.0, 10.5, f64::NAN, f64::NEG_INFINITY]) },
            Column { name: "colour".into(), data: ColumnData::Text(vec![text("red"), text("pink"), None, text("")]) },
        ]);
        let mut record = PartRecord::default();
        watch.look(&frame.clone().unwrap(), &mut record);
        watch.look(&frame.unwrap(), &mut record);
        let counts = |name: &str, n: u64| BTreeMap::from([(name.to_owned(), n)]);
        let report = watch.report(&[record.clone(), record]);
        assert_eq!(report.missing, counts("size", 4));
        assert_eq!(report.new_categories, counts("colour", 8));
        assert_eq!(report.out_of_range, counts("size", 8));
    }

    #[test]
    fn a_report_lies_beside_its_table() {
        assert_eq!(report_path(Path::new("a/b.csv")), Path::new("a/b.csv.report.json"));
    }
}

//! The judged rows of an evaluation, kept so that figures can be told with their uncertainty, and for parts of the rows.

use athanor_learn::{explain::even_rows, model::Predictions, samples::Targets};
use athanor_protocol::columns::{ColumnData, Frame};
use serde::{Deserialize, Serialize};

/// Most rows that are kept, evenly chosen.
const MAX_ROWS: usize = 20_000;
/// Most probabilities that are kept.
const MAX_CELLS: usize = 1_000_000;
/// Most columns by whose values the rows can be divided.
const MAX_COLUMNS: usize = 20;
/// Most values of such a column.
const MAX_VALUES: usize = 12;

/// Judged rows. Version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JudgedRows {
    pub(crate) version: u32,
    /// Rows that were judged; those that are kept may be fewer.
    pub(crate) n_all: usize,
    /// Places in the test table.
    pub(crate) rows: Vec<u32>,
    /// For classes: how many, the true one of each row, and probabilities by row.
    #[serde(default)]
    pub(crate) n_classes: usize,
    #[serde(default)]
    pub(crate) labels: Vec<u32>,
    #[serde(default)]
    pub(crate) probabilities: Vec<f32>,
    /// For numbers: the true and the predicted value of each row.
    #[serde(default)]
    pub(crate) values: Vec<f64>,
    #[serde(default)]
    pub(crate) predicted: Vec<f64>,
    /// Columns with few values.
    #[serde(default)]
    pub(crate) columns: Vec<SliceColumn>,
}

/// A column with few values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SliceColumn {
    pub(crate) name: String,
    /// The values; `None` for missing.
    pub(crate) values: Vec<Option<String>>,
    /// The place of each row's value among them.
    pub(crate) codes: Vec<u8>,
}

impl JudgedRows {
    /// Chooses rows to keep; `rows` are their places in the frame. `None` where an answer is no number, which JSON cannot
    /// hold.
    pub(super) fn new(
        frame: &Frame,
        target: &str,
        rows: &[usize],
        predictions: &Predictions,
        targets: &Targets,
    ) -> Option<Self> {
        let n_classes = if let Targets::Class { n_classes, .. } = targets { *n_classes } else { 0 };
        let kept = even_rows(rows.len(), MAX_ROWS.min(MAX_CELLS / n_classes.max(1)));
        let places: Vec<usize> = kept.iter().filter_map(|&at| rows.get(at).copied()).collect();
        let mut judged = Self {
            version: 1,
            n_all: rows.len(),
            rows: places.iter().map(|&row| u32::try_from(row).unwrap_or(u32::MAX)).collect(),
            n_classes,
            labels: vec![],
            probabilities: vec![],
            values: vec![],
            predicted: vec![],
            columns: columns(frame, target, &places),
        };
        match targets {
            Targets::Class { labels, n_classes } => {
                for &at in &kept {
                    judged.labels.push(*labels.get(at)?);
                    let row = predictions.probabilities.get(at * n_classes..(at + 1) * n_classes)?;
                    judged.probabilities.extend_from_slice(row);
                }
                judged.probabilities.iter().all(|p| p.is_finite()).then_some(judged)
            }
            Targets::Number(values) => {
                for &at in &kept {
                    judged.values.push(*values.get(at)?);
                    judged.predicted.push(*predictions.values.get(at)?);
                }
                judged.values.iter().chain(&judged.predicted).all(|v| v.is_finite()).then_some(judged)
            }
        }
    }

    /// Predictions and targets as they were judged, of all kept rows or of some of them; `None` if the file is not one that
    /// this program writes.
    pub(crate) fn judged(&self, which: Option<&[usize]>) -> Option<(Predictions, Targets)> {
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let rows = which.unwrap_or(&all);
        let mut predictions = Predictions { n_rows: rows.len(), probabilities: vec![], values: vec![] };
        let n = self.n_classes;
        if n == 0 {
            let mut values = vec![];
            for &row in rows {
                values.push(*self.values.get(row)?);
                predictions.values.push(*self.predicted.get(row)?);
            }
            return Some((predictions, Targets::Number(values)));
        }
        let mut labels = vec![];
        for &row in rows {
            labels.push(self.labels.get(row).copied().filter(|&label| (label as usize) < n)?);
            let (begin, end) = (row.checked_mul(n)?, row.checked_add(1)?.checked_mul(n)?);
            predictions.probabilities.extend_from_slice(self.probabilities.get(begin..end)?);
        }
        Some((predictions, Targets::Class { labels, n_classes: n }))
    }
}

/// Columns with few values, first come.
fn columns(frame: &Frame, target: &str, rows: &[usize]) -> Vec<SliceColumn> {
    let mut found = vec![];
    for column in frame.columns().iter().filter(|column| *column.name != *target) {
        if !matches!(column.data, ColumnData::Text(_) | ColumnData::Bool(_) | ColumnData::Int(_)) {
            continue;
        }
        let mut values: Vec<Option<String>> = vec![];
        let mut codes = Vec::with_capacity(rows.len());
        let few = rows.iter().all(|&row| {
            let value = athanor_datasets::cell_text(&column.data, row);
            let at = values.iter().position(|known| *known == value).unwrap_or_else(|| {
                values.push(value);
                values.len() - 1
            });
            codes.push(u8::try_from(at).unwrap_or(u8::MAX));
            values.len() <= MAX_VALUES
        });
        if few && values.len() > 1 {
            found.push(SliceColumn { name: column.name.to_string(), values, codes });
            if found.len() == MAX_COLUMNS {
                break;
            }
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_protocol::columns::Column;

    use super::*;

    #[test]
    fn rows_are_kept_with_the_columns_that_divide_them() {
        let n = 30_000usize;
        let text = (0..n).map(|i| (i % 3 > 0).then(|| ["red", "blue"][i % 2].into())).collect();
        let column = |name: &str, data| Column { name: name.into(), data };
        let frame = Frame::new(vec![
            column("colour", ColumnData::Text(text)),
            column("id", ColumnData::Int((0..n as i64).map(Some).collect())),
            column("same", ColumnData::Bool(vec![Some(true); n])),
            column("x", ColumnData::Float(vec![1.0; n])),
            column("y", ColumnData::Int((0..n as i64).map(|i| Some(i % 2)).collect())),
        ])
        .unwrap();
        let rows: Vec<usize> = (0..n).collect();
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
        let predictions = Predictions { n_rows: n, probabilities: vec![0.5; 2 * n], values: vec![] };
        let targets = Targets::Class { labels, n_classes: 2 };
        let judged = JudgedRows::new(&frame, "y", &rows, &predictions, &targets).unwrap();
        assert_eq!((judged.n_all, judged.rows.len(), judged.columns.len()), (n, MAX_ROWS, 1));
        assert_eq!((judged.columns[0].name.as_str(), judged.columns[0].values.len()), ("colour", 3));
        let text = serde_json::to_string(&judged).unwrap();
        let read: JudgedRows = serde_json::from_str(&text).unwrap();
        assert_eq!(read, judged);
        let (some, _) = read.judged(Some(&[0, 5])).unwrap();
        assert_eq!((some.n_rows, some.probabilities.len()), (2, 4));
        assert!(read.judged(Some(&[MAX_ROWS])).is_none());
        let broken = JudgedRows { labels: vec![7; MAX_ROWS], ..read };
        assert!(broken.judged(None).is_none());
        let nan = Predictions { n_rows: n, probabilities: vec![], values: vec![f64::NAN; n] };
        assert!(JudgedRows::new(&frame, "y", &rows, &nan, &Targets::Number(vec![1.0; n])).is_none());
    }
}

//! The target: classes in a fixed order, or numbers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use athanor_protocol::columns::{Column, ColumnData};
use serde::{Deserialize, Serialize};

use super::{TaskChoice, label};
use crate::{LearnError, samples::Targets};

/// Whole numbers with at most this many distinct values are taken for classes where nothing else is said.
const MAX_AUTO_CLASSES: usize = 20;
/// Most classes.
const MAX_CLASSES: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub(super) enum TargetEncoding {
    Classes { classes: Vec<Arc<str>> },
    Number,
}

impl TargetEncoding {
    pub(super) fn classes(&self) -> Option<&[Arc<str>]> {
        match self {
            Self::Classes { classes } => Some(classes),
            Self::Number => None,
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let Self::Classes { classes } = self else { return Ok(()) };
        let distinct: BTreeSet<_> = classes.iter().collect();
        if classes.len() < 2 || classes.len() > MAX_CLASSES || distinct.len() != classes.len() {
            return Err(format!("it must have between 2 and {MAX_CLASSES} different classes"));
        }
        Ok(())
    }

    /// Learns the classes, or that it is a number. Returns the rows that have a target too.
    pub(super) fn fit(column: &Column, task: TaskChoice) -> Result<(Self, Vec<usize>, Vec<String>), LearnError> {
        let name = column.name.to_string();
        let data = &column.data;
        let rows: Vec<usize> = (0..data.len()).filter(|&row| is_there(data, row)).collect();
        let mut notes = Vec::new();
        note_missing(&name, data, data.len() - rows.len(), &mut notes);
        if rows.is_empty() {
            let message = format!("the target {name:?} is missing in every training row");
            return Err(LearnError::BadData { message, hint: Some("choose another target, or fill it".to_owned()) });
        }
        let is_classes = match task {
            TaskChoice::Classification => true,
            TaskChoice::Regression => false,
            TaskChoice::Auto => looks_like_classes(data, &rows),
        };
        if !is_classes {
            if matches!(data, ColumnData::Text(_)) {
                let message = "text cannot be predicted as a number; set the task to classification".to_owned();
                return Err(LearnError::Column { column: name, message });
            }
            return Ok((Self::Number, rows, notes));
        }
        let classes = sorted_classes(data, &rows);
        match classes.len() {
            0 | 1 => {
                let only = classes.first().map_or_else(String::new, ToString::to_string);
                let message = format!("the target {name:?} has one class only in the training rows: {only:?}");
                let hint = "add rows of another class, or stratify the split by the target".to_owned();
                Err(LearnError::BadData { message, hint: Some(hint) })
            }
            n if n > MAX_CLASSES => Err(LearnError::TooLarge {
                what: format!("the number of classes of {name:?}"),
                message: format!("{n}, at most {MAX_CLASSES} are allowed; is it a number to predict?"),
            }),
            _ => Ok((Self::Classes { classes }, rows, notes)),
        }
    }

    /// The targets of the rows that have one, those rows, and notes on the others.
    pub(super) fn encode(&self, column: &Column) -> Result<(Targets, Vec<usize>, Vec<String>), LearnError> {
        let data = &column.data;
        let name = &*column.name;
        let mut rows = Vec::with_capacity(data.len());
        let mut notes = Vec::new();
        let mut n_missing = 0;
        let targets = match self {
            Self::Number => {
                if let ColumnData::Text(texts) = data
                    && texts.iter().any(Option::is_some)
                {
                    let message = "the model predicts a number, here is text".to_owned();
                    return Err(LearnError::Column { column: name.to_owned(), message });
                }
                let mut values = Vec::with_capacity(data.len());
                for row in 0..data.len() {
                    let value = data.number(row);
                    if value.is_finite() {
                        values.push(value);
                        rows.push(row);
                    } else {
                        n_missing += 1;
                    }
                }
                Targets::Number(values)
            }
            Self::Classes { classes } => {
                let position: HashMap<&str, u32> = (0u32..).zip(classes).map(|(at, class)| (&**class, at)).collect();
                let mut labels = Vec::with_capacity(data.len());
                let mut unknown: BTreeMap<Arc<str>, usize> = BTreeMap::new();
                for row in 0..data.len() {
                    match label(data, row) {
                        None => n_missing += 1,
                        Some(class) => match position.get(&*class) {
                            Some(&at) => {
                                labels.push(at);
                                rows.push(row);
                            }
                            None => *unknown.entry(class).or_default() += 1,
                        },
                    }
                }
                if let Some((example, _)) = unknown.iter().next() {
                    let n: usize = unknown.values().sum();
                    notes.push(format!(
                        "target {name:?}: {n} rows are left out, their class was not in the training rows (for example {example:?})"
                    ));
                }
                Targets::Class { labels, n_classes: classes.len() }
            }
        };
        note_missing(name, data, n_missing, &mut notes);
        Ok((targets, rows, notes))
    }
}

fn note_missing(name: &str, data: &ColumnData, n_missing: usize, notes: &mut Vec<String>) {
    if n_missing > 0 {
        let n_infinite = match data {
            ColumnData::Float(values) => values.iter().filter(|value| value.is_infinite()).count(),
            _ => 0,
        };
        let infinite = if n_infinite > 0 { format!(" ({n_infinite} of them infinite)") } else { String::new() };
        notes.push(format!("target {name:?}: {n_missing} rows without a value are left out{infinite}"));
    }
}

fn is_there(data: &ColumnData, row: usize) -> bool {
    match data {
        ColumnData::Float(values) => values[row].is_finite(),
        _ => !data.is_missing(row),
    }
}

fn looks_like_classes(data: &ColumnData, rows: &[usize]) -> bool {
    match data {
        ColumnData::Text(_) | ColumnData::Bool(_) => true,
        ColumnData::Datetime(_) => false,
        ColumnData::Int(_) | ColumnData::Float(_) => {
            let mut distinct = BTreeSet::new();
            for &row in rows {
                let value = data.number(row);
                if value.fract() != 0.0 {
                    return false;
                }
                distinct.insert(value.to_bits());
                if distinct.len() > MAX_AUTO_CLASSES {
                    return false;
                }
            }
            true
        }
    }
}

/// Numbers in order of their value, text in order of its characters, false before true.
fn sorted_classes(data: &ColumnData, rows: &[usize]) -> Vec<Arc<str>> {
    let distinct: BTreeMap<Arc<str>, f64> =
        rows.iter().filter_map(|&row| Some((label(data, row)?, data.number(row)))).collect();
    let mut classes: Vec<(Arc<str>, f64)> = distinct.into_iter().collect();
    if !matches!(data, ColumnData::Text(_)) {
        classes.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    classes.into_iter().map(|(class, _)| class).collect()
}

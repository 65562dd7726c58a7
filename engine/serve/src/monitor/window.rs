//! What is kept of a period: a uniform sample of its rows, and counts over all of them.

use std::{collections::HashSet, sync::Arc};

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    monitor::ColumnQuality,
    package::{ColumnStatistics, Statistics},
    signature::{OUTPUT_LABEL, OUTPUT_PROBABILITIES, OUTPUT_VALUE},
    table::DataType,
};

use crate::table::{Outputs, Served};

/// Most rows of a period that are kept.
const MAX_ROWS: usize = 2_000;
/// Most values that are kept of a period, inputs and predictions together; a wide model keeps fewer rows.
const MAX_VALUES: usize = 1 << 20;
/// Longer texts are prose: of them only that they were there is kept, as in training statistics.
const MAX_TEXT_BYTES: usize = 256;
/// The most categories that training statistics keep. Where there are as many, more may have been seen.
const MAX_CATEGORIES: usize = 100;
/// The most classes whose probabilities are kept.
const MAX_CLASSES: usize = 100;

/// A request that was answered: its rows and what the model said of them.
#[derive(Debug)]
pub struct Answered {
    /// The rows, columns in the signature's order.
    pub frame: Frame,
    /// The predictions.
    pub outputs: Outputs,
}

/// A period of one version, taken out to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// Rows that were answered.
    pub n_rows: u64,
    /// A uniform sample of them, in no order.
    pub inputs: Frame,
    /// The predictions for the same rows, under the names of training statistics: `label`, `probabilities.<class>`,
    /// `value`.
    pub predictions: Frame,
    /// Counts over all rows by column.
    pub quality: Vec<ColumnQuality>,
}

/// What training saw of a column.
enum Known {
    Nothing,
    Range(f64, f64),
    Categories(HashSet<Box<str>>),
}

impl Known {
    fn of(statistics: Option<&ColumnStatistics>) -> Self {
        let Some(statistics) = statistics else { return Self::Nothing };
        if let Some([_, _, least, greatest]) = statistics.numbers {
            return Self::Range(least, greatest);
        }
        let is_category = matches!(statistics.dtype, DataType::Text | DataType::Bool);
        let n_listed: u64 = statistics.categories.iter().map(|(_, count)| count).sum();
        let is_whole = n_listed == statistics.n_rows.saturating_sub(statistics.n_missing);
        if is_category && is_whole && statistics.categories.len() < MAX_CATEGORIES {
            return Self::Categories(statistics.categories.iter().map(|(name, _)| name.as_str().into()).collect());
        }
        Self::Nothing
    }
}

/// The period that goes on.
pub(crate) struct Window {
    known: Vec<Known>,
    classes: Vec<Arc<str>>,
    prose: Arc<str>,
    max_rows: usize,
    seed: u64,
    random: u64,
    n_rows: u64,
    inputs: Vec<Column>,
    predictions: Vec<Column>,
    quality: Vec<ColumnQuality>,
}

fn empty(dtype: DataType) -> ColumnData {
    match dtype {
        DataType::Float => ColumnData::Float(vec![]),
        DataType::Int => ColumnData::Int(vec![]),
        DataType::Bool => ColumnData::Bool(vec![]),
        DataType::Date | DataType::Datetime => ColumnData::Datetime(vec![]),
        DataType::Text | DataType::Duration | DataType::Time | DataType::Other => ColumnData::Text(vec![]),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): which rows are kept depends on the seed and their order alone.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Window {
    pub(crate) fn new(served: &Served, statistics: Option<&Statistics>, seed: u64) -> Self {
        let signature = served.signature();
        let of = |name: &str| statistics?.inputs.iter().find(|column| column.name == name);
        let known = signature.inputs.iter().map(|input| Known::of(of(&input.name))).collect();
        let classes: Vec<Arc<str>> =
            signature.classes.iter().take(MAX_CLASSES).map(|class| Arc::from(class.as_str())).collect();
        let n_columns = signature.inputs.len() + classes.len() + 1;
        let mut window = Self {
            known,
            classes,
            prose: Arc::from("…"),
            max_rows: (MAX_VALUES / n_columns).clamp(1, MAX_ROWS),
            seed,
            random: seed,
            n_rows: 0,
            inputs: vec![],
            predictions: vec![],
            quality: vec![],
        };
        let column = |name: &str, dtype| Column { name: name.into(), data: empty(dtype) };
        window.inputs = signature.inputs.iter().map(|input| column(&input.name, input.dtype)).collect();
        if signature.task.is_classification() {
            window.predictions.push(column(OUTPUT_LABEL, DataType::Text));
            let names = window.classes.iter().map(|class| format!("{OUTPUT_PROBABILITIES}.{class}"));
            window.predictions.extend(names.map(|name| column(&name, DataType::Float)));
        } else {
            window.predictions.push(column(OUTPUT_VALUE, DataType::Float));
        }
        window.quality = signature
            .inputs
            .iter()
            .map(|input| ColumnQuality { column: input.name.clone(), ..ColumnQuality::default() })
            .collect();
        window
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Counts a request that was refused because of a value of this column.
    pub(crate) fn refused(&mut self, column: &str) {
        if let Some(quality) = self.quality.iter_mut().find(|quality| quality.column == column) {
            quality.n_refused += 1;
        }
    }

    /// Adds the rows of an answered request.
    pub(crate) fn add(&mut self, answered: &Answered, n_classes: usize) {
        let Answered { frame, outputs } = answered;
        for ((column, known), quality) in frame.columns().iter().zip(&self.known).zip(&mut self.quality) {
            count(&column.data, known, quality);
        }
        for row in 0..frame.n_rows() {
            // Algorithm R (Vitter, 1985): after n rows each of them is kept with the same chance.
            self.n_rows += 1;
            let place = if self.n_rows as usize <= self.max_rows {
                None
            } else {
                let drawn = (u128::from(next(&mut self.random)) * u128::from(self.n_rows)) >> 64;
                match usize::try_from(drawn) {
                    Ok(place) if place < self.max_rows => Some(place),
                    _ => continue,
                }
            };
            for (kept, column) in self.inputs.iter_mut().zip(frame.columns()) {
                put(&mut kept.data, place, &column.data, row, &self.prose);
            }
            keep_outputs(&mut self.predictions, place, outputs, row, n_classes);
        }
    }

    /// Takes the period out and begins the next one.
    pub(crate) fn take(&mut self) -> Period {
        let emptied = |columns: &mut Vec<Column>| {
            let fresh =
                columns.iter().map(|column| Column { name: Arc::clone(&column.name), data: like(&column.data) });
            let fresh = fresh.collect();
            // All columns grew together, and names of a signature differ.
            Frame::new(std::mem::replace(columns, fresh)).unwrap_or_default()
        };
        let n_rows = std::mem::take(&mut self.n_rows);
        self.random = self.seed;
        let (inputs, predictions) = (emptied(&mut self.inputs), emptied(&mut self.predictions));
        let fresh =
            self.quality.iter().map(|known| ColumnQuality { column: known.column.clone(), ..Default::default() });
        let mut quality: Vec<ColumnQuality> = fresh.collect();
        std::mem::swap(&mut quality, &mut self.quality);
        for column in &mut quality {
            column.n_rows = n_rows;
        }
        Period { n_rows, inputs, predictions, quality }
    }
}

fn like(data: &ColumnData) -> ColumnData {
    match data {
        ColumnData::Float(_) => ColumnData::Float(vec![]),
        ColumnData::Int(_) => ColumnData::Int(vec![]),
        ColumnData::Bool(_) => ColumnData::Bool(vec![]),
        ColumnData::Text(_) => ColumnData::Text(vec![]),
        ColumnData::Datetime(_) => ColumnData::Datetime(vec![]),
    }
}

fn count(data: &ColumnData, known: &Known, quality: &mut ColumnQuality) {
    for row in 0..data.len() {
        if data.is_missing(row) {
            quality.n_missing += 1;
            continue;
        }
        match known {
            Known::Nothing => {}
            Known::Range(least, greatest) => {
                let value = data.number(row);
                quality.n_out_of_range += u64::from(value < *least || value > *greatest);
            }
            Known::Categories(categories) => {
                let is_known = match data {
                    ColumnData::Text(values) => {
                        values.get(row).and_then(Option::as_deref).is_some_and(|text| categories.contains(text))
                    }
                    data => data.label(row).is_some_and(|label| categories.contains(&*label)),
                };
                quality.n_new_categories += u64::from(!is_known);
            }
        }
    }
}

/// Sets a place, or adds one.
fn set<T>(values: &mut Vec<T>, place: Option<usize>, value: T) {
    match place.and_then(|place| values.get_mut(place)) {
        Some(slot) => *slot = value,
        None => values.push(value),
    }
}

fn put(kept: &mut ColumnData, place: Option<usize>, from: &ColumnData, row: usize, prose: &Arc<str>) {
    match (kept, from) {
        (ColumnData::Float(kept), ColumnData::Float(from)) => {
            set(kept, place, from.get(row).copied().unwrap_or(f64::NAN));
        }
        (ColumnData::Int(kept), ColumnData::Int(from)) | (ColumnData::Datetime(kept), ColumnData::Datetime(from)) => {
            set(kept, place, from.get(row).copied().flatten());
        }
        (ColumnData::Bool(kept), ColumnData::Bool(from)) => set(kept, place, from.get(row).copied().flatten()),
        (ColumnData::Text(kept), ColumnData::Text(from)) => {
            let short = |text: &Arc<str>| Arc::clone(if text.len() > MAX_TEXT_BYTES { prose } else { text });
            set(kept, place, from.get(row).and_then(Option::as_ref).map(short));
        }
        // A frame has the signature's types; anything else is a missing value rather than a column that falls behind.
        (ColumnData::Float(kept), _) => set(kept, place, f64::NAN),
        (ColumnData::Int(kept) | ColumnData::Datetime(kept), _) => set(kept, place, None),
        (ColumnData::Bool(kept), _) => set(kept, place, None),
        (ColumnData::Text(kept), _) => set(kept, place, None),
    }
}

fn keep_outputs(kept: &mut [Column], place: Option<usize>, outputs: &Outputs, row: usize, n_classes: usize) {
    let number = |at: usize| match outputs {
        Outputs::Numbers(values) => values.get(row).copied(),
        Outputs::Classes { probabilities, .. } => {
            at.checked_sub(1).and_then(|class| probabilities.get(row * n_classes + class).copied())
        }
    };
    for (at, column) in kept.iter_mut().enumerate() {
        match &mut column.data {
            ColumnData::Float(values) => set(values, place, number(at).unwrap_or(f64::NAN)),
            ColumnData::Text(values) => {
                let label = match outputs {
                    Outputs::Classes { labels, .. } => labels.get(row).cloned(),
                    Outputs::Numbers(_) => None,
                };
                set(values, place, label);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;

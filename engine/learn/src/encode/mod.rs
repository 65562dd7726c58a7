//! The encoder: columns of a table to rows of 32-bit floats, fitted on training rows alone.
//!
//! | column | networks and linear models | trees |
//! | --- | --- | --- |
//! | number, true/false, time | missing → median; (x − mean) / std; a 0/1 column "was missing" if any was | as it is, missing stays NaN |
//! | text | one 0/1 column for each category, one for "missing" if any was, one for "other" if categories were cut off | the same up to 16 categories, above that the category's number |
//! | pixels ([`Scale::Common`]) | (x − mean) / std with one mean and one std for all columns, missing → mean | – |
//!
//! Mean and standard deviation (of the population) are those of the finite values that are there. Infinite values count
//! as missing. A category that was not seen in training gives 0 in all of its columns, or 1 in "other". Columns that
//! say nothing (constant, empty) and text that is nearly unique in each row are left out, with a note.

mod fit;
mod target;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    learner::LearnerSpec,
    table::{ColumnSchema, DataType},
};
use serde::{Deserialize, Serialize};

use crate::{
    LearnError,
    samples::{Samples, Targets},
};
pub(crate) use fit::mean_and_std;
use target::TargetEncoding;

/// The newest encoder version that this program reads, and the one that it writes.
pub const ENCODER_VERSION: u64 = 1;
/// Most features that an encoder makes of a row.
pub const MAX_FEATURES: usize = 1_000_000;
/// Scaled values are cut to plus and minus this, so that an absurd input cannot make a network answer NaN.
const MAX_SCALED: f64 = 1e6;

/// What kind of prediction a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
}

/// What kind of prediction is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskChoice {
    /// Told from the target: text and truth values are classes, and so are at most 20 distinct whole numbers.
    Auto,
    /// Classes.
    Classification,
    /// A number.
    Regression,
}

/// How numbers are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Not at all (times are counted from their training mean, to keep their precision).
    None,
    /// Each column by its own mean and standard deviation.
    Column,
    /// All columns by one mean and one standard deviation: pixels. No column is left out.
    Common,
}

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodeOptions {
    /// How numbers are scaled.
    pub scale: Scale,
    /// Whether missing numbers are filled; if not, they are NaN, which only trees take.
    pub impute: bool,
    /// Most categories of a text column that get a column of their own; the most frequent ones do.
    pub max_categories: usize,
    /// Text with more categories than this is encoded as one number (the category's position); `None` never.
    pub ordinal_above: Option<usize>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { scale: Scale::Column, impute: true, max_categories: 100, ordinal_above: None }
    }
}

impl EncodeOptions {
    /// What fits a learner: trees take numbers as they are, networks on images a common scale, all others columns
    /// that are filled and scaled.
    pub fn for_learner(learner: &LearnerSpec) -> Self {
        match learner {
            LearnerSpec::Trees { .. } => {
                Self { scale: Scale::None, impute: false, max_categories: 10_000, ordinal_above: Some(16) }
            }
            LearnerSpec::Network { model, .. } if model.image.is_some() => {
                Self { scale: Scale::Common, ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// How one column becomes features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// `(x - offset) / scale`; then, if `indicator`, 1 where it was missing.
    Number { fill: Option<f64>, offset: f64, scale: f64, indicator: bool },
    /// A 0/1 column for each category in order, then "missing", then "other", where they are.
    OneHot { categories: Vec<String>, missing: bool, other: bool },
    /// The category's position; NaN for missing and unknown ones.
    Ordinal { categories: Vec<String> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncodedColumn {
    pub(crate) name: String,
    dtype: DataType,
    pub(crate) encoding: Encoding,
}

impl EncodedColumn {
    fn width(&self) -> usize {
        match &self.encoding {
            Encoding::Number { indicator, .. } => 1 + usize::from(*indicator),
            Encoding::OneHot { categories, missing, other } => {
                categories.len() + usize::from(*missing) + usize::from(*other)
            }
            Encoding::Ordinal { .. } => 1,
        }
    }
}

/// An encoder that has learned what it needs from training rows. Saved with the model as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedEncoder {
    version: u64,
    options: EncodeOptions,
    columns: Vec<EncodedColumn>,
    target_column: String,
    target: TargetEncoding,
}

/// Rows that can be learned from or judged by: encoded features with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// The features.
    pub samples: Samples,
    /// The targets, one for each row of `samples`.
    pub targets: Targets,
    /// Which rows of the table these are.
    pub rows: Vec<usize>,
    /// What was left out and why.
    pub notes: Vec<String>,
}

impl FittedEncoder {
    /// Learns from training rows. `features` empty means all columns but the target. Rows without a target are left
    /// out of everything that is learned. The notes say what was left out and why.
    ///
    /// # Errors
    /// If a column is not there, the target cannot be used as asked or has one class only, or no feature is left.
    pub fn fit(
        train: &Frame,
        target: &str,
        features: &[String],
        task: TaskChoice,
        options: EncodeOptions,
    ) -> Result<(Self, Vec<String>), LearnError> {
        fit::fit(train, target, features, task, options)
    }

    /// Encodes rows for prediction; the target column need not be there.
    ///
    /// # Errors
    /// If a column is not there or has a type that the model was not trained on.
    pub fn encode(&self, frame: &Frame) -> Result<Samples, LearnError> {
        self.encode_columns(frame, frame.n_rows(), None)
    }

    /// Encodes rows with their targets. Rows whose target is missing, infinite, or a class that training did not have
    /// are left out, with a note.
    ///
    /// # Errors
    /// If a column is not there or has a type that the model was not trained on.
    pub fn encode_labelled(&self, frame: &Frame) -> Result<Labelled, LearnError> {
        let column = frame
            .column(&self.target_column)
            .ok_or_else(|| LearnError::MissingColumn { column: self.target_column.clone() })?;
        let (targets, rows, notes) = self.target.encode(column)?;
        let all = rows.len() == frame.n_rows();
        let samples = self.encode_columns(frame, rows.len(), (!all).then_some(rows.as_slice()))?;
        Ok(Labelled { samples, targets, rows, notes })
    }

    /// The targets of those rows that have one, and for each row of the table whether it has.
    ///
    /// # Errors
    /// If the target column is not there or has a type that cannot be used.
    pub fn encode_targets(&self, frame: &Frame) -> Result<(Targets, Vec<bool>), LearnError> {
        let column = frame
            .column(&self.target_column)
            .ok_or_else(|| LearnError::MissingColumn { column: self.target_column.clone() })?;
        let (targets, rows, _) = self.target.encode(column)?;
        let mut mask = vec![false; frame.n_rows()];
        for row in rows {
            mask[row] = true;
        }
        Ok((targets, mask))
    }

    /// Number of features in an encoded row.
    pub fn n_features(&self) -> usize {
        self.columns.iter().map(EncodedColumn::width).sum()
    }

    /// Number of outputs that a model needs: one for each class (two for two classes), 1 for a number.
    pub fn n_outputs(&self) -> usize {
        self.classes().map_or(1, <[_]>::len)
    }

    /// The classes in order of their labels; `None` for a number.
    pub fn classes(&self) -> Option<&[Arc<str>]> {
        self.target.classes()
    }

    /// What kind of prediction the target asks for.
    pub fn task(&self) -> Task {
        if self.classes().is_some() { Task::Classification } else { Task::Regression }
    }

    /// The target column's name.
    pub fn target(&self) -> &str {
        &self.target_column
    }

    /// The columns that rows must have, in the order in which they are encoded.
    pub fn input_columns(&self) -> Vec<ColumnSchema> {
        let schema = |column: &EncodedColumn| ColumnSchema { name: column.name.clone(), dtype: column.dtype };
        self.columns.iter().map(schema).collect()
    }

    /// Each column with the places of its features in an encoded row.
    pub fn feature_spans(&self) -> Vec<(String, std::ops::Range<usize>)> {
        let mut start = 0;
        let span = |column: &EncodedColumn| {
            let from = start;
            start += column.width();
            (column.name.clone(), from..start)
        };
        self.columns.iter().map(span).collect()
    }

    /// How each column becomes features.
    pub(crate) fn columns(&self) -> &[EncodedColumn] {
        &self.columns
    }

    /// How it encodes.
    pub fn options(&self) -> EncodeOptions {
        self.options
    }

    /// The name of each feature: the column's, or `column=category`, `column:missing`, `column:other`.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.n_features());
        for column in &self.columns {
            let name = &column.name;
            match &column.encoding {
                Encoding::Number { indicator, .. } => {
                    names.push(name.clone());
                    names.extend(indicator.then(|| format!("{name}:missing")));
                }
                Encoding::OneHot { categories, missing, other } => {
                    names.extend(categories.iter().map(|category| format!("{name}={category}")));
                    names.extend(missing.then(|| format!("{name}:missing")));
                    names.extend(other.then(|| format!("{name}:other")));
                }
                Encoding::Ordinal { .. } => names.push(name.clone()),
            }
        }
        names
    }

    /// Reads a saved encoder and checks that it holds together.
    ///
    /// # Errors
    /// If it is newer than this program, or not as [`Self::to_json`] writes it.
    pub fn from_json(json: &[u8]) -> Result<Self, LearnError> {
        #[derive(Deserialize)]
        struct Head {
            version: u64,
        }
        let corrupt = |message: String| LearnError::Corrupt { part: "encoder".to_owned(), message };
        let head: Head = serde_json::from_slice(json).map_err(|err| corrupt(err.to_string()))?;
        if head.version == 0 || head.version > ENCODER_VERSION {
            return Err(LearnError::Version {
                part: "encoder".to_owned(),
                found: head.version,
                newest: ENCODER_VERSION,
            });
        }
        let encoder: Self = serde_json::from_slice(json).map_err(|err| corrupt(err.to_string()))?;
        encoder.validate().map_err(corrupt)?;
        Ok(encoder)
    }

    /// The saved form. Equal encoders give equal bytes.
    ///
    /// # Errors
    /// Never for a fitted encoder; the writer's error type asks for it.
    pub fn to_json(&self) -> Result<Vec<u8>, LearnError> {
        serde_json::to_vec(self).map_err(|err| LearnError::Internal(format!("cannot write the encoder: {err}")))
    }

    fn validate(&self) -> Result<(), String> {
        let mut names = std::collections::BTreeSet::new();
        for column in &self.columns {
            let name = &column.name;
            if !names.insert(name) {
                return Err(format!("column {name:?} is there twice"));
            }
            let sorted = |categories: &[String]| categories.windows(2).all(|pair| pair[0] < pair[1]);
            let fits = match &column.encoding {
                Encoding::Number { fill, offset, scale, .. } => {
                    fill.is_none_or(f64::is_finite) && offset.is_finite() && scale.is_finite() && *scale > 0.0
                }
                Encoding::OneHot { categories, .. } | Encoding::Ordinal { categories } => sorted(categories),
            };
            if !fits {
                return Err(format!("column {name:?} has numbers that are not finite, or categories out of order"));
            }
        }
        if self.columns.is_empty() || self.n_features() > MAX_FEATURES {
            return Err(format!("it must make between 1 and {MAX_FEATURES} features"));
        }
        self.target.validate()
    }

    fn encode_columns(&self, frame: &Frame, n_rows: usize, rows: Option<&[usize]>) -> Result<Samples, LearnError> {
        let n_features = self.n_features();
        let mut features = vec![0f32; n_rows.saturating_mul(n_features)];
        let mut start = 0;
        let mut lookup = Lookup::new(frame);
        for encoded in &self.columns {
            let column =
                lookup.find(&encoded.name).ok_or_else(|| LearnError::MissingColumn { column: encoded.name.clone() })?;
            let mut out = Cells { values: &mut features, n_features, start, rows };
            match &encoded.encoding {
                Encoding::Number { fill, offset, scale, indicator } => {
                    numbers_only(column)?;
                    out.number(&column.data, *fill, *offset, *scale, *indicator, self.options.scale);
                }
                Encoding::OneHot { categories, missing, other } => {
                    out.one_hot(&column.data, categories, *missing, *other)
                }
                Encoding::Ordinal { categories } => out.ordinal(&column.data, categories),
            }
            start += encoded.width();
        }
        Samples::new(n_rows, n_features, features)
    }
}

/// Finds columns by name, fast where they come in the order of training, and never slower than a map.
struct Lookup<'a> {
    columns: &'a [Column],
    next: usize,
    by_name: Option<HashMap<&'a str, usize>>,
}

impl<'a> Lookup<'a> {
    fn new(frame: &'a Frame) -> Self {
        Self { columns: frame.columns(), next: 0, by_name: None }
    }

    fn find(&mut self, name: &str) -> Option<&'a Column> {
        let in_order = self.columns.get(self.next).filter(|column| &*column.name == name);
        let found = match in_order {
            Some(_) => self.next,
            None => {
                let columns = self.columns;
                let names = || columns.iter().enumerate().map(|(at, column)| (&*column.name, at)).collect();
                *self.by_name.get_or_insert_with(names).get(name)?
            }
        };
        self.next = found + 1;
        self.columns.get(found)
    }
}

/// A text column may stand where numbers are expected only if it is empty: a table reader cannot know better then.
fn numbers_only(column: &Column) -> Result<(), LearnError> {
    if let ColumnData::Text(values) = &column.data
        && let Some(found) = values.iter().flatten().next()
    {
        let message = format!("the model was trained on numbers, here is text, for example {found:?}");
        return Err(LearnError::Column { column: column.name.to_string(), message });
    }
    Ok(())
}

/// One column's places in the row-major output.
struct Cells<'a> {
    values: &'a mut [f32],
    n_features: usize,
    start: usize,
    rows: Option<&'a [usize]>,
}

impl Cells<'_> {
    /// Calls `write` with each source row and its places in the output.
    fn each(&mut self, mut write: impl FnMut(usize, &mut [f32])) {
        for (at, row) in self.values.chunks_exact_mut(self.n_features).enumerate() {
            let source = self.rows.map_or(at, |rows| rows[at]);
            write(source, &mut row[self.start..]);
        }
    }

    fn number(&mut self, data: &ColumnData, fill: Option<f64>, offset: f64, scale: f64, indicator: bool, how: Scale) {
        let limit = limit(how);
        self.each(|row, out| {
            let raw = data.number(row);
            let is_missing = !raw.is_finite();
            let value = if is_missing { fill.unwrap_or(f64::NAN) } else { raw };
            out[0] = ((value - offset) / scale).clamp(-limit, limit) as f32;
            if indicator {
                out[1] = f32::from(u8::from(is_missing));
            }
        });
    }

    fn one_hot(&mut self, data: &ColumnData, categories: &[String], missing: bool, other: bool) {
        self.each(|row, out| match label(data, row) {
            None if missing => out[categories.len()] = 1.0,
            None => {}
            Some(label) => match categories.binary_search_by(|category| category.as_str().cmp(&label)) {
                Ok(at) => out[at] = 1.0,
                Err(_) if other => out[categories.len() + usize::from(missing)] = 1.0,
                Err(_) => {}
            },
        });
    }

    fn ordinal(&mut self, data: &ColumnData, categories: &[String]) {
        self.each(|row, out| {
            let position = label(data, row)
                .and_then(|label| categories.binary_search_by(|category| category.as_str().cmp(&label)).ok());
            out[0] = position.map_or(f32::NAN, |position| position as f32);
        });
    }
}

/// Encoded numbers are cut to plus and minus this.
pub(crate) fn limit(scale: Scale) -> f64 {
    if scale == Scale::None { f64::from(f32::MAX) } else { MAX_SCALED }
}

/// The value's text; infinities count as missing, as everywhere.
fn label(data: &ColumnData, row: usize) -> Option<Arc<str>> {
    match data {
        ColumnData::Float(values) if values.get(row).is_none_or(|value| !value.is_finite()) => None,
        _ => data.label(row),
    }
}

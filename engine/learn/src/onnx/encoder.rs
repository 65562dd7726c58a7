//! The fitted encoder as a graph: named columns to `features`, `float [N, n_features]`.
//!
//! All columns of numbers are worked on side by side, in 64-bit floats as in the encoder; so an image of a thousand
//! pixels is a handful of nodes.

use super::{
    columns::MISSING_TEXT,
    graph::{Graph, Name, int},
    proto::elem,
    recipe::Columns,
    texts::{Places, Text},
    unsupported,
};
use crate::{
    LearnError,
    encode::{EncodedColumn, Encoding, FittedEncoder, Scale},
};

/// A category's number that has no place of its own.
const NOWHERE: i64 = -1;

/// Columns of numbers, side by side.
#[derive(Default)]
struct Numbers {
    tensors: Vec<Name>,
    fills: Vec<Option<f64>>,
    offsets: Vec<f64>,
    scales: Vec<f64>,
    /// Which of them have a 0/1 column "was missing".
    indicators: Vec<i64>,
}

/// Encodes columns. Returns the name of the features.
pub(super) fn encode(
    graph: &mut Graph,
    encoder: &FittedEncoder,
    columns: &Columns,
    notes: &mut Vec<String>,
) -> Result<Name, LearnError> {
    let mut numbers = Numbers::default();
    let mut others: Vec<Name> = Vec::new();
    // Where each feature is found once everything stands side by side: numbers, then indicators, then categories.
    let mut places: Vec<Place> = Vec::new();
    let mut n_others = 0;
    for column in encoder.columns() {
        let value = columns.iter().find(|(name, _)| *name == column.name).map(|(_, value)| value);
        let value = value.ok_or_else(|| LearnError::MissingColumn { column: column.name.clone() })?;
        match &column.encoding {
            Encoding::Number { fill, offset, scale, indicator } => {
                let tensor = value.number(graph).ok_or_else(|| misfit(column, "numbers"))?;
                places.push(Place::Number(numbers.tensors.len()));
                if *indicator {
                    places.push(Place::Indicator(numbers.indicators.len()));
                    numbers.indicators.push(numbers.tensors.len() as i64);
                }
                numbers.tensors.push(tensor);
                numbers.fills.push(*fill);
                numbers.offsets.push(*offset);
                numbers.scales.push(*scale);
            }
            Encoding::OneHot { categories, missing, other } => {
                let text = Text::of(value).ok_or_else(|| misfit(column, "categories"))?;
                let mut width = categories.len() as i64;
                let mut next = |wanted: bool| {
                    let place = if wanted { width } else { NOWHERE };
                    width += i64::from(wanted);
                    place
                };
                let (missing, other) = (next(*missing), next(*other));
                let keys = Places { keys: categories, missing, other };
                let place = place_of(graph, &text, keys, &column.name, notes);
                let all: Vec<i64> = (0..width).collect();
                let all = graph.i64s(&[1, all.len()], &all);
                let is_it = graph.op("Equal", &[&place, &all]);
                others.push(graph.cast(&is_it, elem::FLOAT));
                places.extend((0..width).map(|at| Place::Other(n_others + at as usize)));
                n_others += width as usize;
            }
            Encoding::Ordinal { categories } => {
                let text = Text::of(value).ok_or_else(|| misfit(column, "categories"))?;
                let keys = Places { keys: categories, missing: NOWHERE, other: NOWHERE };
                let place = place_of(graph, &text, keys, &column.name, notes);
                let nowhere = graph.i64s(&[1, 1], &[NOWHERE]);
                let is_somewhere = graph.op("Greater", &[&place, &nowhere]);
                let place = graph.cast(&place, elem::FLOAT);
                let missing = graph.f32s(&[1, 1], &[f32::NAN]);
                others.push(graph.op("Where", &[&is_somewhere, &place, &missing]));
                places.push(Place::Other(n_others));
                n_others += 1;
            }
        }
    }
    let (n_numbers, n_indicators) = (numbers.tensors.len(), numbers.indicators.len());
    let mut blocks = numbers.blocks(graph, encoder.options().scale);
    blocks.extend(others);
    let features = graph.side_by_side(&blocks);
    let order: Vec<i64> = places
        .into_iter()
        .map(|place| match place {
            Place::Number(at) => at as i64,
            Place::Indicator(at) => (n_numbers + at) as i64,
            Place::Other(at) => (n_numbers + n_indicators + at) as i64,
        })
        .collect();
    if order.iter().copied().eq(0..order.len() as i64) {
        return Ok(features);
    }
    let order = graph.i64s(&[order.len()], &order);
    Ok(graph.with("Gather", &[&features, &order], vec![int("axis", 1)]))
}

enum Place {
    Number(usize),
    Indicator(usize),
    Other(usize),
}

fn misfit(column: &EncodedColumn, wanted: &str) -> LearnError {
    unsupported(
        format!(
            "the column {:?} does not come out of the preparation as {wanted}, so it cannot be exported",
            column.name
        ),
        "register the model again from a run of this version",
    )
}

impl Numbers {
    /// Filled, scaled and cut as the encoder does; then the indicators, where there are any.
    fn blocks(&self, graph: &mut Graph, scale: Scale) -> Vec<Name> {
        let n = self.tensors.len();
        if n == 0 {
            return Vec::new();
        }
        let raw = graph.side_by_side(&self.tensors);
        // Infinite values count as missing: what is missing is all that is not finite.
        let size = graph.op("Abs", &[&raw]);
        let greatest = graph.number(f64::MAX);
        let is_finite = graph.op("LessOrEqual", &[&size, &greatest]);
        let fills: Vec<f64> = self.fills.iter().map(|fill| fill.unwrap_or(0.0)).collect();
        let fills = graph.f64s(&[1, n], &fills);
        let mut value = graph.op("Where", &[&is_finite, &raw, &fills]);
        if self.offsets.iter().any(|&offset| offset != 0.0) {
            let offsets = graph.f64s(&[1, n], &self.offsets);
            value = graph.op("Sub", &[&value, &offsets]);
        }
        if self.scales.iter().any(|&scale| scale != 1.0) {
            let scales = graph.f64s(&[1, n], &self.scales);
            value = graph.op("Div", &[&value, &scales]);
        }
        let limit = crate::encode::limit(scale);
        let [least, greatest] = [-limit, limit].map(|limit| graph.f64s(&[], &[limit]));
        let value = graph.op("Clip", &[&value, &least, &greatest]);
        let mut value = graph.cast(&value, elem::FLOAT);
        if self.fills.iter().any(Option::is_none) {
            let mut is_there = is_finite.clone();
            if self.fills.iter().any(Option::is_some) {
                let filled: Vec<bool> = self.fills.iter().map(Option::is_some).collect();
                let filled = graph.bools(&[1, n], &filled);
                is_there = graph.op("Or", &[&is_finite, &filled]);
            }
            let missing = graph.f32s(&[1, 1], &[f32::NAN]);
            value = graph.op("Where", &[&is_there, &value, &missing]);
        }
        let mut blocks = vec![value];
        if !self.indicators.is_empty() {
            let is_missing = graph.op("Not", &[&is_finite]);
            let mut is_missing = graph.cast(&is_missing, elem::FLOAT);
            if self.indicators.len() < n {
                let which = graph.i64s(&[self.indicators.len()], &self.indicators);
                is_missing = graph.with("Gather", &[&is_missing, &which], vec![int("axis", 1)]);
            }
            blocks.push(is_missing);
        }
        blocks
    }
}

/// The number of each row's category.
fn place_of(graph: &mut Graph, text: &Text, places: Places<'_>, column: &str, notes: &mut Vec<String>) -> Name {
    if text.hides_empty() && places.keys.iter().any(|key| key == MISSING_TEXT) {
        notes.push(format!("column {column:?}: the empty text is a category, so no text can be missing"));
    }
    text.place(graph, places)
}

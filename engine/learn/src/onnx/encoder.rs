//! The fitted encoder as a graph: named columns to `features`, `float [N, n_features]`.
//!
//! All columns of numbers are worked on side by side, in 64-bit floats as in the encoder; so an image of a thousand
//! pixels is a handful of nodes.

use super::{
    columns::{MISSING_TEXT, Text, TextSource, Value, is_there},
    graph::{Graph, Name, int, ints, texts},
    proto::elem,
    recipe::Columns,
    unsupported,
};
use crate::{
    LearnError,
    encode::{EncodedColumn, Encoding, FittedEncoder, Scale},
};
use athanor_protocol::table::DataType;

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
                let text = text_of(value).ok_or_else(|| misfit(column, "categories"))?;
                let mut width = categories.len() as i64;
                let mut next = |wanted: bool| {
                    let place = if wanted { width } else { NOWHERE };
                    width += i64::from(wanted);
                    place
                };
                let (missing, other) = (next(*missing), next(*other));
                let place = place_of(graph, &text, categories, missing, other, &column.name, notes);
                let all: Vec<i64> = (0..width).collect();
                let all = graph.i64s(&[1, all.len()], &all);
                let is_it = graph.op("Equal", &[&place, &all]);
                others.push(graph.cast(&is_it, elem::FLOAT));
                places.extend((0..width).map(|at| Place::Other(n_others + at as usize)));
                n_others += width as usize;
            }
            Encoding::Ordinal { categories } => {
                let text = text_of(value).ok_or_else(|| misfit(column, "categories"))?;
                let place = place_of(graph, &text, categories, NOWHERE, NOWHERE, &column.name, notes);
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

/// The column as categories: numbers are written out as the encoder writes them.
fn text_of(value: &Value) -> Option<Text> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number { tensor, dtype: dtype @ (DataType::Bool | DataType::Int | DataType::Float) } => {
            let source = TextSource::Numbers { tensor: tensor.clone(), dtype: *dtype };
            Some(Text { source, fill: None })
        }
        Value::Number { .. } | Value::Moment { .. } => None,
    }
}

/// The number of each row's category, `int64 [N, 1]`: its position, `missing` or `other`.
fn place_of(
    graph: &mut Graph,
    text: &Text,
    categories: &[String],
    missing: i64,
    other: i64,
    column: &str,
    notes: &mut Vec<String>,
) -> Name {
    let position = |label: &str| categories.iter().position(|category| category == label);
    let missing = match &text.fill {
        Some(fill) => position(fill).map_or(other, |at| at as i64),
        None => missing,
    };
    match &text.source {
        TextSource::Strings(tensor) => {
            let mut keys: Vec<(&str, i64)> = categories.iter().map(String::as_str).zip(0..).collect();
            if position(MISSING_TEXT).is_some() {
                notes.push(format!("column {column:?}: the empty text is a category, so no text can be missing"));
            } else {
                keys.push((MISSING_TEXT, missing));
            }
            let attributes = vec![
                ints("cats_int64s", keys.iter().map(|key| key.1).collect()),
                texts("cats_strings", keys.iter().map(|key| key.0)),
                int("default_int64", other),
            ];
            graph.ml("CategoryMapper", &[tensor], attributes)
        }
        TextSource::Numbers { tensor, dtype } => {
            // A category that is not a number written as ours are is met by no number: NaN equals nothing.
            let keys: Vec<f64> =
                categories.iter().map(|category| number_of(category, *dtype).unwrap_or(f64::NAN)).collect();
            let keys = graph.f64s(&[1, keys.len()], &keys);
            let is_it = graph.op("Equal", &[tensor, &keys]);
            let is_it = graph.cast(&is_it, elem::DOUBLE);
            let places: Vec<f64> = (0..categories.len()).map(|at| at as f64 + 1.0).collect();
            let places = graph.f64s(&[places.len(), 1], &places);
            // The position counted from 1; 0 where there is none.
            let place = graph.op("MatMul", &[&is_it, &places]);
            let place = graph.cast(&place, elem::INT64);
            let [zero, one, missing, other] = [0, 1, missing, other].map(|value| graph.i64s(&[1, 1], &[value]));
            let is_known = graph.op("Greater", &[&place, &zero]);
            let place = graph.op("Sub", &[&place, &one]);
            let place = graph.op("Where", &[&is_known, &place, &other]);
            let there = match dtype {
                // As a label an infinity is missing.
                DataType::Float => {
                    let size = graph.op("Abs", &[tensor]);
                    let greatest = graph.number(f64::MAX);
                    graph.op("LessOrEqual", &[&size, &greatest])
                }
                _ => is_there(graph, tensor),
            };
            graph.op("Where", &[&there, &place, &missing])
        }
    }
}

/// The number that is written as `category`.
fn number_of(category: &str, dtype: DataType) -> Option<f64> {
    match dtype {
        DataType::Bool => match category {
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => None,
        },
        DataType::Int => category.parse::<i64>().ok().filter(|value| value.to_string() == category).map(|v| v as f64),
        _ => category.parse::<f64>().ok().filter(|value| value.to_string() == category),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_written_as_ours_are_met() {
        for (category, dtype, expect) in [
            ("7", DataType::Int, Some(7.0)),
            ("07", DataType::Int, None),
            ("7.0", DataType::Int, None),
            ("7", DataType::Float, Some(7.0)),
            ("7.5", DataType::Float, Some(7.5)),
            ("7.50", DataType::Float, None),
            ("true", DataType::Bool, Some(1.0)),
            ("1", DataType::Bool, None),
            ("x", DataType::Float, None),
        ] {
            assert_eq!(number_of(category, dtype), expect, "{category} as {dtype:?}");
        }
    }
}

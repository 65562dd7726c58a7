//! Texts inside the graph, which are never made: they are only compared.
//!
//! The operators for texts came to ONNX after opset 17, and runtimes have few of them. So a text is kept as where it
//! comes from, and becomes a number (its place in a list of texts) where it is asked for.

use athanor_protocol::table::DataType;

use super::{
    columns::{MISSING_TEXT, Value, is_there},
    graph::{Graph, Name, int, ints, texts},
    proto::elem,
};

/// Most sources that the choices of one text may have: each is a node or several whenever the text is compared.
pub(super) const MAX_SOURCES: usize = 1_000;

/// A column or a value of categories.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) source: TextSource,
    /// The category that missing values have; `None` where they stay missing.
    fill: Option<String>,
}

/// Where categories come from.
#[derive(Debug, Clone)]
pub(super) enum TextSource {
    /// `string [N, 1]`; where it is nullable, [`MISSING_TEXT`] is a missing one.
    Strings { tensor: Name, nullable: bool },
    /// Numbers of this type, written out: `double [N, 1]`, NaN where it is missing.
    Numbers { tensor: Name, dtype: DataType },
    /// The same for every row; `None` is missing.
    Literal(Option<String>),
    /// `yes` where `condition` (`bool [N, 1]`) holds, `no` elsewhere.
    Choice { condition: Name, yes: Box<Text>, no: Box<Text> },
}

/// The numbers that texts become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// Each becomes its position.
    pub(super) keys: &'a [String],
    /// What a missing text becomes.
    pub(super) missing: i64,
    /// What a text becomes that is not among the keys.
    pub(super) other: i64,
}

impl Places<'_> {
    fn of(&self, text: &str) -> Option<i64> {
        self.keys.iter().position(|key| key == text).map(|at| at as i64)
    }
}

impl Text {
    pub(super) fn new(source: TextSource) -> Self {
        Self { source, fill: None }
    }

    /// The column as categories: numbers are written out as the encoder writes them.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            Value::Number { tensor, dtype: dtype @ (DataType::Bool | DataType::Int | DataType::Float), .. } => {
                Some(Self::new(TextSource::Numbers { tensor: tensor.clone(), dtype: *dtype }))
            }
            Value::Number { .. } | Value::Moment { .. } => None,
        }
    }

    /// The same with `value` where it is missing. What was filled before is no longer missing.
    pub(super) fn filled(self, value: &str) -> Self {
        let fill = self.fill.or_else(|| Some(value.to_owned()));
        Self { source: self.source, fill }
    }

    /// How many sources it chooses from.
    pub(super) fn n_sources(&self) -> usize {
        match &self.source {
            TextSource::Choice { yes, no, .. } => yes.n_sources() + no.n_sources(),
            _ => 1,
        }
    }

    /// Whether a source without choices holds for it.
    pub(super) fn any_source(&self, holds: &impl Fn(&TextSource) -> bool) -> bool {
        match &self.source {
            TextSource::Choice { yes, no, .. } => yes.any_source(holds) || no.any_source(holds),
            source => holds(source),
        }
    }

    /// Whether an empty text could as well be a missing one.
    pub(super) fn hides_empty(&self) -> bool {
        self.any_source(&|source| matches!(source, TextSource::Strings { nullable: true, .. }))
    }

    /// Every text that it can be, where it is made of literals alone.
    pub(super) fn known_texts(&self) -> Option<Vec<String>> {
        let mut known: Vec<String> = match &self.source {
            TextSource::Literal(text) => text.iter().cloned().collect(),
            TextSource::Choice { yes, no, .. } => {
                let mut known = yes.known_texts()?;
                known.extend(no.known_texts()?);
                known
            }
            TextSource::Strings { .. } | TextSource::Numbers { .. } => return None,
        };
        known.extend(self.fill.clone());
        known.sort_unstable();
        known.dedup();
        Some(known)
    }

    /// Where it is missing, `bool [N, 1]` (`[1, 1]` where it is the same for all rows); `None` where it never is.
    pub(super) fn missing(&self, graph: &mut Graph) -> Option<Name> {
        const MISSING: i64 = 1;
        let can_miss = self.fill.is_none()
            && self.any_source(&|source| {
                matches!(
                    source,
                    TextSource::Strings { nullable: true, .. } | TextSource::Numbers { .. } | TextSource::Literal(None)
                )
            });
        if !can_miss {
            return None;
        }
        let place = self.place(graph, Places { keys: &[], missing: MISSING, other: 0 });
        let missing = graph.i64s(&[1, 1], &[MISSING]);
        Some(graph.op("Equal", &[&place, &missing]))
    }

    /// The number of each row's text, `int64 [N, 1]` (`[1, 1]` where it is the same for all rows).
    pub(super) fn place(&self, graph: &mut Graph, places: Places<'_>) -> Name {
        let missing = match &self.fill {
            Some(fill) => places.of(fill).unwrap_or(places.other),
            None => places.missing,
        };
        let places = Places { missing, ..places };
        match &self.source {
            TextSource::Literal(text) => {
                let place = text.as_ref().map_or(missing, |text| places.of(text).unwrap_or(places.other));
                graph.i64s(&[1, 1], &[place])
            }
            TextSource::Choice { condition, yes, no } => {
                let [yes, no] = [yes, no].map(|text| text.place(graph, places));
                graph.op("Where", &[condition, &yes, &no])
            }
            TextSource::Strings { tensor, nullable } => {
                let mut keys: Vec<(&str, i64)> = places.keys.iter().map(String::as_str).zip(0..).collect();
                if *nullable && places.of(MISSING_TEXT).is_none() {
                    keys.push((MISSING_TEXT, missing));
                }
                if keys.is_empty() {
                    // A mapper needs a key; this one leads where all the others do.
                    keys.push((MISSING_TEXT, places.other));
                }
                let attributes = vec![
                    ints("cats_int64s", keys.iter().map(|key| key.1).collect()),
                    texts("cats_strings", keys.iter().map(|key| key.0)),
                    int("default_int64", places.other),
                ];
                graph.ml("CategoryMapper", &[tensor], attributes)
            }
            TextSource::Numbers { tensor, dtype } => place_of_number(graph, tensor, *dtype, places),
        }
    }
}

/// The place of a number that is written out.
fn place_of_number(graph: &mut Graph, tensor: &str, dtype: DataType, places: Places<'_>) -> Name {
    let [zero, one, missing, other] = [0, 1, places.missing, places.other].map(|value| graph.i64s(&[1, 1], &[value]));
    let place = if places.keys.is_empty() {
        other
    } else {
        // A category that is not a number written as ours are is met by no number: NaN equals nothing.
        let keys: Vec<f64> = places.keys.iter().map(|key| number_of(key, dtype).unwrap_or(f64::NAN)).collect();
        let keys = graph.f64s(&[1, keys.len()], &keys);
        let is_it = graph.op("Equal", &[tensor, &keys]);
        let is_it = graph.cast(&is_it, elem::DOUBLE);
        let positions: Vec<f64> = (0..places.keys.len()).map(|at| at as f64 + 1.0).collect();
        let positions = graph.f64s(&[positions.len(), 1], &positions);
        // The position counted from 1; 0 where there is none.
        let place = graph.op("MatMul", &[&is_it, &positions]);
        let place = graph.cast(&place, elem::INT64);
        let is_known = graph.op("Greater", &[&place, &zero]);
        let place = graph.op("Sub", &[&place, &one]);
        graph.op("Where", &[&is_known, &place, &other])
    };
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

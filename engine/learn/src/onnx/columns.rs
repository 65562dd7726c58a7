//! Columns on their way through a graph: what goes in for each type, and how types are changed.
//!
//! Inside the graph every number is `double [N, 1]` with NaN where it is missing, as it is a 64-bit float in the encoder.

use athanor_protocol::{recipe::FillValue, signature::InputColumn, table::DataType};

use super::{
    graph::{Graph, Name, int},
    proto::elem,
    texts::{Text, TextSource},
    unsupported,
};
use crate::LearnError;

/// What stands for a missing date: the least 64-bit number, which is also NumPy's `NaT`.
pub const MISSING_MOMENT: i64 = i64::MIN;
/// What stands for a missing text.
pub const MISSING_TEXT: &str = "";
const MICROS: f64 = 1e6;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A column at one point of the graph.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `double [N, 1]`, NaN where it is missing. `dtype` is bool, int, float, duration or time.
    Number {
        tensor: Name,
        dtype: DataType,
        /// Whether a value can be missing at all.
        nullable: bool,
    },
    /// `int64 [N, 1]`, microseconds since the Unix epoch. `dtype` is date or datetime.
    Moment { tensor: Name, dtype: DataType },
    /// Categories.
    Text(Text),
}

/// The type of the input tensor of a column; `None` where it cannot go in.
pub(super) fn input_type(column: &InputColumn) -> Option<i32> {
    Some(match column.dtype {
        DataType::Float => elem::DOUBLE,
        DataType::Bool | DataType::Int | DataType::Duration | DataType::Time if column.nullable => elem::DOUBLE,
        DataType::Bool => elem::BOOL,
        DataType::Int | DataType::Duration | DataType::Time => elem::INT64,
        DataType::Text => elem::STRING,
        DataType::Date | DataType::Datetime => elem::INT64,
        DataType::Other => return None,
    })
}

/// The column as it goes in.
pub(super) fn input(graph: &mut Graph, column: &InputColumn) -> Result<Value, LearnError> {
    let name = &column.name;
    let refuse = || {
        unsupported(
            format!("the column {name:?} of type {} cannot be an input of an ONNX model", column.dtype.as_str()),
            "leave it out of the features, or derive a number from it",
        )
    };
    let elem_type = input_type(column).filter(|_| !name.is_empty()).ok_or_else(refuse)?;
    Ok(match column.dtype {
        DataType::Text => {
            Value::Text(Text::new(TextSource::Strings { tensor: name.clone(), nullable: column.nullable }))
        }
        dtype @ (DataType::Date | DataType::Datetime) => Value::Moment { tensor: name.clone(), dtype },
        dtype if elem_type == elem::DOUBLE => Value::Number { tensor: name.clone(), dtype, nullable: true },
        dtype => Value::Number { tensor: graph.cast(name, elem::DOUBLE), dtype, nullable: false },
    })
}

/// Whether values are there (infinities are): `bool` of the tensor's shape.
pub(super) fn is_there(graph: &mut Graph, tensor: &str) -> Name {
    let infinity = graph.number(f64::INFINITY);
    graph.op("LessOrEqual", &[tensor, &infinity])
}

/// Which way halves are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halves {
    ToEven,
    AwayFromZero,
}

/// Rounds to whole numbers. ONNX has an operator for halves to even, which runtimes lack for 64-bit floats.
pub(super) fn rounded(graph: &mut Graph, tensor: &str, halves: Halves) -> Name {
    let [zero, half, one] = [0.0, 0.5, 1.0].map(|value| graph.number(value));
    // Above zero a number is its floor and the rest exactly.
    let size = graph.op("Abs", &[tensor]);
    let floor = graph.op("Floor", &[&size]);
    let rest = graph.op("Sub", &[&size, &floor]);
    let is_more = graph.op("Greater", &[&rest, &half]);
    let is_half = graph.op("Equal", &[&rest, &half]);
    let is_half_up = match halves {
        Halves::AwayFromZero => is_half,
        Halves::ToEven => {
            let halved = graph.op("Mul", &[&floor, &half]);
            let floor_of_it = graph.op("Floor", &[&halved]);
            let is_odd = graph.op("Greater", &[&halved, &floor_of_it]);
            graph.op("And", &[&is_half, &is_odd])
        }
    };
    let is_up = graph.op("Or", &[&is_more, &is_half_up]);
    let next = graph.op("Add", &[&floor, &one]);
    let size = graph.op("Where", &[&is_up, &next, &floor]);
    let opposite = graph.op("Neg", &[&size]);
    let is_negative = graph.op("Less", &[tensor, &zero]);
    let found = graph.op("Where", &[&is_negative, &opposite, &size]);
    let is_whole = graph.op("Equal", &[&rest, &zero]);
    graph.op("Where", &[&is_whole, tensor, &found])
}

/// Where a condition holds the number stays, elsewhere it is missing.
fn only_where(graph: &mut Graph, condition: &str, tensor: &str) -> Name {
    let missing = graph.number(f64::NAN);
    graph.op("Where", &[condition, tensor, &missing])
}

impl Value {
    /// The values as the encoder's numbers (times in seconds); `None` for categories.
    pub(super) fn number(&self, graph: &mut Graph) -> Option<Name> {
        match self {
            Self::Number { tensor, .. } => Some(tensor.clone()),
            Self::Moment { tensor, .. } => {
                let missing = graph.i64s(&[1, 1], &[MISSING_MOMENT]);
                let is_missing = graph.op("Equal", &[tensor, &missing]);
                let is_there = graph.op("Not", &[&is_missing]);
                let micros = graph.cast(tensor, elem::DOUBLE);
                let per_second = graph.number(MICROS);
                let seconds = graph.op("Div", &[&micros, &per_second]);
                Some(only_where(graph, &is_there, &seconds))
            }
            Self::Text(_) => None,
        }
    }

    pub(super) fn dtype(&self) -> DataType {
        match self {
            Self::Number { dtype, .. } | Self::Moment { dtype, .. } => *dtype,
            Self::Text(_) => DataType::Text,
        }
    }

    /// Puts a value where values are missing; `false` where it is of another type.
    pub(super) fn fill(&mut self, graph: &mut Graph, with: &FillValue) -> bool {
        let number = match (&*self, with) {
            (Self::Number { .. }, FillValue::Number(value)) => *value,
            (Self::Number { .. }, FillValue::Int(value)) => *value as f64,
            (Self::Number { dtype: DataType::Bool, .. }, FillValue::Bool(value)) => f64::from(*value),
            (Self::Text(text), FillValue::Text(value)) => {
                *self = Self::Text(text.clone().filled(value));
                return true;
            }
            _ => return false,
        };
        let Self::Number { tensor, dtype, .. } = &*self else { return false };
        let there = is_there(graph, tensor);
        let value = graph.number(number);
        let tensor = graph.op("Where", &[&there, tensor, &value]);
        *self = Self::Number { tensor, dtype: *dtype, nullable: false };
        true
    }

    /// Changes the type. Values that do not fit become missing; `None` where ONNX has no way to do it.
    pub(super) fn cast(&self, graph: &mut Graph, to: DataType) -> Option<Self> {
        if self.dtype() == to {
            return Some(self.clone());
        }
        match (self, to) {
            (Self::Number { tensor, dtype: DataType::Bool | DataType::Int | DataType::Float, .. }, DataType::Text) => {
                let source = TextSource::Numbers { tensor: tensor.clone(), dtype: self.dtype() };
                Some(Self::Text(Text::new(source)))
            }
            (
                Self::Number { tensor, dtype: DataType::Duration | DataType::Time, .. },
                DataType::Float | DataType::Int,
            ) => {
                let per_second = graph.number(MICROS);
                let seconds = graph.op("Div", &[tensor, &per_second]);
                Some(Self::number_of(graph, seconds, to))
            }
            (Self::Number { tensor, dtype: DataType::Bool | DataType::Int, nullable }, DataType::Float)
            | (Self::Number { tensor, dtype: DataType::Bool, nullable }, DataType::Int) => {
                Some(Self::Number { tensor: tensor.clone(), dtype: to, nullable: *nullable })
            }
            (Self::Number { tensor, dtype: DataType::Float, .. }, DataType::Int) => {
                let whole = graph.op("Floor", &[tensor]);
                let is_whole = graph.op("Equal", &[&whole, tensor]);
                let limit = graph.number(9_223_372_036_854_774_784.0);
                let size = graph.op("Abs", &[tensor]);
                let is_small = graph.op("LessOrEqual", &[&size, &limit]);
                let fits = graph.op("And", &[&is_whole, &is_small]);
                Some(Self::Number { tensor: only_where(graph, &fits, tensor), dtype: to, nullable: true })
            }
            (Self::Number { tensor, dtype: DataType::Int | DataType::Float, .. }, DataType::Bool) => {
                let [zero, one] = [0.0, 1.0].map(|value| graph.number(value));
                let is_zero = graph.op("Equal", &[tensor, &zero]);
                let is_one = graph.op("Equal", &[tensor, &one]);
                let fits = graph.op("Or", &[&is_zero, &is_one]);
                Some(Self::Number { tensor: only_where(graph, &fits, tensor), dtype: to, nullable: true })
            }
            (
                Self::Number { tensor, dtype: DataType::Int | DataType::Float, .. },
                DataType::Date | DataType::Datetime,
            ) => {
                let there = is_there(graph, tensor);
                let nothing = graph.number(0.0);
                let seconds = graph.op("Where", &[&there, tensor, &nothing]);
                let per_second = graph.number(MICROS);
                let micros = graph.op("Mul", &[&seconds, &per_second]);
                let micros = rounded(graph, &micros, Halves::AwayFromZero);
                let micros = graph.cast(&micros, elem::INT64);
                let missing = graph.i64s(&[1, 1], &[MISSING_MOMENT]);
                let tensor = graph.op("Where", &[&there, &micros, &missing]);
                Self::Moment { tensor, dtype: DataType::Datetime }.cast(graph, to)
            }
            (Self::Moment { .. }, DataType::Float | DataType::Int) => {
                let seconds = self.number(graph)?;
                Some(Self::number_of(graph, seconds, to))
            }
            (Self::Moment { tensor, .. }, DataType::Datetime) => {
                Some(Self::Moment { tensor: tensor.clone(), dtype: to })
            }
            (Self::Moment { tensor, .. }, DataType::Date) => {
                let day = graph.i64s(&[1, 1], &[MICROS_PER_DAY]);
                let [missing, nothing] = [MISSING_MOMENT, 0].map(|value| graph.i64s(&[1, 1], &[value]));
                let is_missing = graph.op("Equal", &[tensor, &missing]);
                // Nothing can be taken from the least number.
                let micros = graph.op("Where", &[&is_missing, &nothing, tensor]);
                let rest = graph.with("Mod", &[&micros, &day], vec![int("fmod", 0)]);
                let floor = graph.op("Sub", &[&micros, &rest]);
                Some(Self::Moment { tensor: graph.op("Where", &[&is_missing, &missing, &floor]), dtype: to })
            }
            _ => None,
        }
    }

    /// Seconds, rounded down where whole numbers are asked for.
    fn number_of(graph: &mut Graph, seconds: Name, to: DataType) -> Self {
        let tensor = if to == DataType::Int { graph.op("Floor", &[&seconds]) } else { seconds };
        Self::Number { tensor, dtype: to, nullable: true }
    }
}

//! Values of an expression inside the graph, with what SQL's rules need to know of them.
//!
//! A missing value is no value of its own here: beside each tensor that can miss stands another one that says where.
//! So a NaN that was computed stays what it is in SQL, a number greater than all others, and not a missing one.

use athanor_protocol::table::DataType;

use crate::onnx::{graph::Name, texts::Text};

/// Whole numbers up to this are exact in a 64-bit float.
pub(super) const MAX_EXACT: i64 = 1 << 53;

/// The type that SQL computes whole numbers in: it wraps around where a narrow one is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Int {
    /// The narrowest type that may be meant.
    pub(super) bits: u32,
    /// Made of literals alone, which take the type of the other side.
    pub(super) is_free: bool,
    /// Least and greatest value; `None` where nothing narrower than 64 bits is known.
    pub(super) range: Option<(i128, i128)>,
}

impl Int {
    pub(super) const WIDE: Self = Self { bits: 64, is_free: false, range: None };

    pub(super) fn literal(value: i64) -> Self {
        let range = (i128::from(value), i128::from(value));
        Self { bits: narrowest(range), is_free: true, range: Some(range) }
    }

    /// The narrowest type that both sides may be brought to.
    fn common(self, other: Self) -> u32 {
        match (self.is_free, other.is_free) {
            // Literals among themselves are of 32 bits where they fit.
            (true, true) => self.bits.max(other.bits).max(32),
            _ => self.bits.max(other.bits),
        }
    }

    /// The type of a choice between the two.
    pub(super) fn either(self, other: Self) -> Self {
        let range = match (self.range, other.range) {
            (Some(one), Some(two)) => Some((one.0.min(two.0), one.1.max(two.1))),
            _ => None,
        };
        let is_free = self.is_free && other.is_free;
        Self { bits: if is_free { self.bits.max(other.bits) } else { self.common(other) }, is_free, range }
    }

    /// The type of an operation of the two, given the range of its results, and whether they must be wrapped around to
    /// fit it.
    fn of(self, other: Self, range: Option<(i128, i128)>) -> Result<(Self, bool), String> {
        let bits = self.common(other);
        if bits >= 64 && range.is_none() {
            return Ok((Self::WIDE, false));
        }
        let is_free = self.is_free && other.is_free;
        // Narrow types always have a range.
        let range = range.unwrap_or((i128::MIN, i128::MAX));
        if narrowest(range) <= bits {
            let bits = if is_free { narrowest(range) } else { bits };
            return Ok((Self { bits, is_free, range: Some(range) }, false));
        }
        // Which type a literal takes is certain where it fits the type of the other side.
        let typed = [self, other].into_iter().filter(|side| !side.is_free).map(|side| side.bits).max();
        let exact = i128::from(MAX_EXACT);
        if typed == Some(bits) && bits < 64 && range.0 >= -exact && range.1 <= exact {
            return Ok((Self { bits, is_free: false, range: Some(limits(bits)) }, true));
        }
        Err(format!(
            "a result may not fit the {bits}-bit whole numbers that SQL computes it in, where it would wrap around; \
             write CAST(x AS BIGINT) or CAST(x AS DOUBLE) around one of the values"
        ))
    }

    pub(super) fn sum(self, other: Self) -> Result<(Self, bool), String> {
        let range = self.range.zip(other.range).map(|(one, two)| (one.0 + two.0, one.1 + two.1));
        self.of(other, range)
    }

    pub(super) fn difference(self, other: Self) -> Result<(Self, bool), String> {
        let range = self.range.zip(other.range).map(|(one, two)| (one.0 - two.1, one.1 - two.0));
        self.of(other, range)
    }

    pub(super) fn product(self, other: Self) -> Result<(Self, bool), String> {
        // Ranges stay within 64 bits, so that products stay within 128.
        let range = self.range.zip(other.range).map(|(one, two)| {
            let all = [one.0 * two.0, one.0 * two.1, one.1 * two.0, one.1 * two.1];
            (all.into_iter().min().unwrap_or_default(), all.into_iter().max().unwrap_or_default())
        });
        self.of(other, range)
    }

    pub(super) fn rest(self, other: Self) -> Result<(Self, bool), String> {
        let range = other.range.map(|(least, greatest)| {
            let most = least.abs().max(greatest.abs());
            (-most, most)
        });
        self.of(other, range)
    }
}

/// Least and greatest value of a type of so many bits.
pub(super) fn limits(bits: u32) -> (i128, i128) {
    let half = 1i128 << (bits - 1);
    (-half, half - 1)
}

/// The bits of the narrowest type for a range, from 8 up; more than 64 where none is wide enough.
fn narrowest((least, greatest): (i128, i128)) -> u32 {
    [8, 16, 32, 64]
        .into_iter()
        .find(|&bits| {
            let limits = limits(bits);
            least >= limits.0 && greatest <= limits.1
        })
        .unwrap_or(128)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int(Int),
    Float,
    /// Microseconds.
    Duration,
}

/// Numbers: `double`.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) tensor: Name,
    /// `bool`, where it is missing; `None` where it never is. What the tensor holds there means nothing.
    pub(super) missing: Option<Name>,
    pub(super) kind: Kind,
    /// Whether a NaN can be there that is not a missing value.
    pub(super) can_be_nan: bool,
    /// The value, where it is written out.
    pub(super) literal: Option<f64>,
}

/// Truth values: `bool`.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    /// False where it is missing.
    pub(super) tensor: Name,
    pub(super) missing: Option<Name>,
}

/// Dates and datetimes: `int64`, microseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) tensor: Name,
    pub(super) missing: Option<Name>,
    pub(super) dtype: DataType,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Number(Number),
    Truth(Truth),
    Moment(Moment),
    Text(Text),
    /// The literal `NULL`, of any type.
    Null,
}

impl Operand {
    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Number(Number { kind: Kind::Duration, .. }) => "a duration",
            Self::Number(_) => "a number",
            Self::Truth(_) => "a truth value",
            Self::Moment(_) => "a date",
            Self::Text(_) => "text",
            Self::Null => "NULL",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_whole_numbers_wrap_around_where_sql_lets_them_or_are_refused() {
        let month = Int { bits: 8, is_free: false, range: Some((1, 12)) };
        let wrapped = (Int { bits: 8, is_free: false, range: Some((-128, 127)) }, true);
        assert_eq!(month.product(Int::literal(100)).unwrap(), wrapped);
        assert_eq!(month.product(Int::literal(10)).unwrap(), (Int { range: Some((10, 120)), ..month }, false));
        // A literal that does not fit makes the type wider, and nobody says how wide.
        assert_eq!(month.product(Int::literal(1_000)).unwrap().0.bits, 16);
        assert!(month.product(Int::literal(10_000)).unwrap_err().contains("16-bit"));
        assert_eq!(month.product(Int::WIDE).unwrap(), (Int::WIDE, false));
        let great = Int::literal(i64::from(i32::MAX));
        assert!(great.sum(Int::literal(1)).unwrap_err().contains("32-bit"));
        assert_eq!(great.sum(Int::WIDE).unwrap(), (Int::WIDE, false));
        // The product of two 32-bit numbers is not exact in a float, their sum is.
        let any = Int { bits: 32, is_free: false, range: Some(limits(32)) };
        assert!(any.product(any).unwrap_err().contains("32-bit"));
        assert_eq!(any.sum(any).unwrap(), (any, true));
        assert_eq!(Int::literal(3).sum(Int::literal(4)).unwrap().0.range, Some((7, 7)));
        assert_eq!(month.rest(Int::literal(-5)).unwrap().0.range, Some((-5, 5)));
        assert_eq!(month.difference(month).unwrap().0.range, Some((-11, 11)));
    }
}

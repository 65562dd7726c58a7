//! The datatypes of the Open Inference Protocol and how their values lie in JSON and in raw bytes.

use athanor_protocol::{Failure, table::DataType};

use crate::{
    refusal::{bad, quoted},
    values::Scalar,
};

/// A datatype that requests and answers may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp32,
    Fp64,
    Bytes,
}

const ALL: [Datatype; 12] = {
    use Datatype::*;
    [Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp32, Fp64, Bytes]
};

impl Datatype {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(found) = ALL.into_iter().find(|datatype| datatype.as_str() == text) {
            return Ok(found);
        }
        let list = ALL.map(Self::as_str).join(", ");
        let failure = match text {
            "FP16" | "BF16" => bad(format!("datatype {text} is not read")).hint("send the values as FP32"),
            _ => bad(format!("there is no datatype {}", quoted(text))).hint(format!("datatypes are {list}")),
        };
        Err(failure)
    }

    /// The datatype that metadata names for a column.
    pub(crate) const fn of_column(dtype: DataType) -> Self {
        match dtype {
            DataType::Bool => Self::Bool,
            DataType::Int => Self::Int64,
            DataType::Float => Self::Fp64,
            // Dates and times travel as ISO 8601 text; the rest is refused before it is served.
            _ => Self::Bytes,
        }
    }

    /// Bytes of one value; `None` where it varies.
    const fn width(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Least and greatest value, for whole numbers.
    const fn range(self) -> Option<(i128, i128)> {
        match self {
            Self::Uint8 => Some((0, u8::MAX as i128)),
            Self::Uint16 => Some((0, u16::MAX as i128)),
            Self::Uint32 => Some((0, u32::MAX as i128)),
            Self::Uint64 => Some((0, u64::MAX as i128)),
            Self::Int8 => Some((i8::MIN as i128, i8::MAX as i128)),
            Self::Int16 => Some((i16::MIN as i128, i16::MAX as i128)),
            Self::Int32 => Some((i32::MIN as i128, i32::MAX as i128)),
            Self::Int64 => Some((i64::MIN as i128, i64::MAX as i128)),
            Self::Bool | Self::Fp32 | Self::Fp64 | Self::Bytes => None,
        }
    }

    /// Whether a value is one of this datatype; null (missing) is one of each. What is not finite is no JSON, but tensors
    /// have it, and whether it may stand there is not a question of the datatype.
    pub(crate) fn holds(self, value: &Scalar) -> bool {
        let within = |v: i128| self.range().is_none_or(|(min, max)| (min..=max).contains(&v));
        match (self, value) {
            (_, Scalar::Null) => true,
            (Self::Bool, Scalar::Bool(_)) | (Self::Bytes, Scalar::Text(_)) => true,
            (Self::Bool | Self::Bytes, _) => false,
            (Self::Fp32, Scalar::Float(v)) => !v.is_finite() || (*v as f32).is_finite(),
            (Self::Fp64, Scalar::Float(_)) => true,
            (_, Scalar::Int(v)) => within(i128::from(*v)),
            (_, Scalar::Big(v)) => within(i128::from(*v)),
            _ => false,
        }
    }

    /// Reads exactly `n` values from raw little-endian bytes, handing each to `take` with its position.
    ///
    /// # Errors
    /// If the bytes are not exactly `n` values, or `take` fails.
    pub(crate) fn read_raw(
        self,
        bytes: &[u8],
        n: usize,
        mut take: impl FnMut(usize, Scalar) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(width) = self.width() else {
            return read_texts(bytes, n, take);
        };
        if n.checked_mul(width) != Some(bytes.len()) {
            return Err(bad(format!("{} bytes are not {n} values of {}", bytes.len(), self.as_str())));
        }
        for (at, raw) in bytes.chunks_exact(width).enumerate() {
            take(at, self.value(raw)?)?;
        }
        Ok(())
    }

    /// One value from exactly its bytes.
    fn value(self, raw: &[u8]) -> Result<Scalar, Failure> {
        let mut le = [0_u8; 8];
        le[..raw.len()].copy_from_slice(raw);
        let unsigned = u64::from_le_bytes(le);
        Ok(match self {
            Self::Bool => match unsigned {
                0 => Scalar::Bool(false),
                1 => Scalar::Bool(true),
                other => return Err(bad(format!("a BOOL is the byte 0 or 1, not {other}"))),
            },
            Self::Uint8 | Self::Uint16 | Self::Uint32 | Self::Uint64 => {
                i64::try_from(unsigned).map_or(Scalar::Big(unsigned), Scalar::Int)
            }
            Self::Int8 => Scalar::Int(i64::from(unsigned as u8 as i8)),
            Self::Int16 => Scalar::Int(i64::from(unsigned as u16 as i16)),
            Self::Int32 => Scalar::Int(i64::from(unsigned as u32 as i32)),
            Self::Int64 => Scalar::Int(unsigned as i64),
            Self::Fp32 => Scalar::Float(f64::from(f32::from_bits(unsigned as u32))),
            Self::Fp64 => Scalar::Float(f64::from_bits(unsigned)),
            // Has no width; read elsewhere.
            Self::Bytes => Scalar::Null,
        })
    }
}

fn read_texts(
    bytes: &[u8],
    n: usize,
    mut take: impl FnMut(usize, Scalar) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut rest = bytes;
    for at in 0..n {
        let broken = || bad(format!("the raw BYTES end within value {} of {n}", at + 1));
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, after) = after.split_at_checked(length).ok_or_else(broken)?;
        let text =
            std::str::from_utf8(text).map_err(|_| bad(format!("value {} of the raw BYTES is not UTF-8", at + 1)))?;
        take(at, Scalar::Text(text.into()))?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(bad(format!("{} bytes follow the last of {n} values", rest.len()))) }
}

/// Texts as raw BYTES: each with its length in four bytes before it.
pub(crate) fn raw_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut raw = vec![];
    for text in texts {
        // A class name is far shorter than 4 GiB.
        raw.extend_from_slice(&(text.len() as u32).to_le_bytes());
        raw.extend_from_slice(text.as_bytes());
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(datatype: Datatype, bytes: &[u8], n: usize) -> Result<Vec<Scalar>, String> {
        let mut values = vec![];
        let read = datatype.read_raw(bytes, n, |_, value| {
            values.push(value);
            Ok(())
        });
        read.map(|()| values).map_err(|err| err.message)
    }

    #[test]
    fn raw_values_are_little_endian() {
        use Scalar::{Big, Bool, Float, Int};
        #[track_caller]
        fn check(datatype: Datatype, bytes: &[u8], expect: Scalar) {
            assert_eq!(read(datatype, bytes, 1), Ok(vec![expect]));
        }
        check(Datatype::Bool, &[1], Bool(true));
        check(Datatype::Uint8, &[255], Int(255));
        check(Datatype::Int8, &[255], Int(-1));
        check(Datatype::Uint16, &[1, 2], Int(513));
        check(Datatype::Int16, &[0xfe, 0xff], Int(-2));
        check(Datatype::Uint32, &[0xff; 4], Int(4_294_967_295));
        check(Datatype::Int32, &[0xff; 4], Int(-1));
        check(Datatype::Uint64, &[0xff; 8], Big(u64::MAX));
        check(Datatype::Int64, &[0xff; 8], Int(-1));
        check(Datatype::Fp32, &1.5_f32.to_le_bytes(), Float(1.5));
        check(Datatype::Fp64, &(-0.1_f64).to_le_bytes(), Float(-0.1));
        assert_eq!(read(Datatype::Bool, &[2], 1), Err("a BOOL is the byte 0 or 1, not 2".to_owned()));
        assert_eq!(read(Datatype::Fp32, &[0; 7], 2), Err("7 bytes are not 2 values of FP32".to_owned()));
        assert_eq!(
            read(Datatype::Fp64, &[], usize::MAX),
            Err(format!("0 bytes are not {} values of FP64", usize::MAX))
        );
    }

    #[test]
    fn raw_texts_carry_their_lengths() {
        let raw = raw_texts(["yes", "", "é"].into_iter());
        assert_eq!(raw, b"\x03\0\0\0yes\0\0\0\0\x02\0\0\0\xc3\xa9");
        let texts = read(Datatype::Bytes, &raw, 3);
        assert_eq!(texts, Ok(["yes", "", "é"].map(|text| Scalar::Text(text.into())).to_vec()));
        assert_eq!(read(Datatype::Bytes, &raw, 2), Err("6 bytes follow the last of 2 values".to_owned()));
        assert_eq!(read(Datatype::Bytes, &raw, 4), Err("the raw BYTES end within value 4 of 4".to_owned()));
        let lying = [0xff, 0xff, 0xff, 0xff, b'a'];
        assert_eq!(read(Datatype::Bytes, &lying, 1), Err("the raw BYTES end within value 1 of 1".to_owned()));
        assert_eq!(
            read(Datatype::Bytes, &[1, 0, 0, 0, 0xff], 1),
            Err("value 1 of the raw BYTES is not UTF-8".to_owned())
        );
    }

    #[test]
    fn json_values_must_fit_their_datatype() {
        use Scalar::{Big, Bool, Float, Int};
        for (datatype, value, expect) in [
            (Datatype::Uint8, Int(255), true),
            (Datatype::Uint8, Int(256), false),
            (Datatype::Uint8, Int(-1), false),
            (Datatype::Int8, Int(-129), false),
            (Datatype::Int64, Big(u64::MAX), false),
            (Datatype::Uint64, Big(u64::MAX), true),
            (Datatype::Int32, Float(1.0), false),
            (Datatype::Fp32, Float(1e39), false),
            (Datatype::Fp32, Int(3), true),
            (Datatype::Fp64, Scalar::Text("1".into()), false),
            (Datatype::Bool, Int(1), false),
            (Datatype::Bool, Bool(true), true),
            (Datatype::Bytes, Int(1), false),
            (Datatype::Fp64, Scalar::Null, true),
            (Datatype::Fp64, Scalar::Object, false),
        ] {
            assert_eq!(datatype.holds(&value), expect, "{datatype:?} {value:?}");
        }
    }
}

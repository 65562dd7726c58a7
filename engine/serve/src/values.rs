//! Single values as JSON or tensors hold them, and the reading of them.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::config::MAX_VALUES;

/// A value before it is known what the column wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    /// Missing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number too large for [`Scalar::Int`].
    Big(u64),
    /// A number; NaN and infinities only from raw tensors.
    Float(f64),
    /// Text.
    Text(Box<str>),
    /// A JSON list, which is never a value.
    List,
    /// A JSON object, which is never a value.
    Object,
}

impl Scalar {
    /// What it is, as errors say it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Big(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(value).map_or(Scalar::Big(value), Scalar::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// The `data` of a tensor: row-major, flat or in lists of one level.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TensorValues {
    /// The values in row-major order.
    pub(crate) values: Vec<Scalar>,
    /// For nested data the number of inner lists and their common length.
    pub(crate) nesting: Option<(usize, usize)>,
}

impl<'de> Deserialize<'de> for TensorValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;
        impl<'de> Visitor<'de> for Outer {
            type Value = TensorValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or a list of such lists")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TensorValues, A::Error> {
                let mut data = TensorValues::default();
                while seq.next_element_seed(Element(&mut data))?.is_some() {}
                Ok(data)
            }
        }
        deserializer.deserialize_seq(Outer)
    }
}

/// One element of `data`: a value, or a list of values.
struct Element<'a>(&'a mut TensorValues);

impl Element<'_> {
    fn add<E: de::Error>(self, value: Scalar) -> Result<(), E> {
        if self.0.nesting.is_some() {
            return Err(E::custom("data holds values beside lists"));
        }
        push(&mut self.0.values, value)
    }
}

fn push<E: de::Error>(values: &mut Vec<Scalar>, value: Scalar) -> Result<(), E> {
    if values.len() >= MAX_VALUES {
        return Err(E::custom(format!("one request holds at most {MAX_VALUES} values")));
    }
    values.push(value);
    Ok(())
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.add(Scalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.add(Scalar::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.add(i64::try_from(value).map_or(Scalar::Big(value), Scalar::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.add(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.add(Scalar::Text(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.add(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let data = self.0;
        if data.nesting.is_none() && !data.values.is_empty() {
            return Err(de::Error::custom("data holds lists beside values"));
        }
        let before = data.values.len();
        while let Some(value) = seq.next_element::<Scalar>()? {
            if matches!(value, Scalar::List) {
                return Err(de::Error::custom("data is nested deeper than two levels"));
            }
            push(&mut data.values, value)?;
        }
        let length = data.values.len() - before;
        match &mut data.nesting {
            None => data.nesting = Some((1, length)),
            Some((n_lists, common)) if *common == length => *n_lists += 1,
            Some((_, common)) => {
                return Err(de::Error::custom(format!("data holds lists of {common} and of {length} values")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scalars_keep_their_spelling() {
        let values: Vec<Scalar> = serde_json::from_str(
            "[null,true,-0,-0.0,9007199254740993,18446744073709551615,1e3,\"a\",[[1]],{\"b\":[]}]",
        )
        .unwrap();
        let expect = [
            Scalar::Null,
            Scalar::Bool(true),
            Scalar::Float(-0.0),
            Scalar::Float(-0.0),
            Scalar::Int(9_007_199_254_740_993),
            Scalar::Big(u64::MAX),
            Scalar::Float(1e3),
            Scalar::Text("a".into()),
            Scalar::List,
            Scalar::Object,
        ];
        assert_eq!(values, expect);
    }

    #[test]
    fn tensor_data_is_flat_or_nested_once() {
        type Counts = (usize, Option<(usize, usize)>);
        #[track_caller]
        fn check(json: &str, expect: Result<Counts, &str>) {
            let got = serde_json::from_str::<TensorValues>(json);
            match (got, expect) {
                (Ok(data), Ok(expect)) => assert_eq!((data.values.len(), data.nesting), expect, "{json}"),
                (Err(err), Err(expect)) => assert!(err.to_string().starts_with(expect), "{json}: {err}"),
                (got, expect) => panic!("{json}: {got:?}, expected {expect:?}"),
            }
        }
        check("[]", Ok((0, None)));
        check("[1,2.5,null]", Ok((3, None)));
        check("[[1,2],[3,4],[5,6]]", Ok((6, Some((3, 2)))));
        check("[[1,2],[3]]", Err("data holds lists of 2 and of 1 values"));
        check("[1,[2]]", Err("data holds lists beside values"));
        check("[[1],2]", Err("data holds values beside lists"));
        check("[[[1]]]", Err("data is nested deeper than two levels"));
        check("5", Err("invalid type"));
        check("[{\"a\":1}]", Err("invalid type: map"));
    }
}

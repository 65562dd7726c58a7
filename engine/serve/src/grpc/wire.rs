//! A look at the bytes of a `ModelInferRequest` before it is parsed: which model it is for, where its raw tensors lie,
//! and whether it may be parsed at all. Two bytes on the wire can become hundreds in memory (an empty tensor, an empty
//! text), so everything that is repeated is counted first.

use athanor_protocol::{Code, Failure};

use crate::{config::MAX_VALUES, refusal::bad};

/// Most tensors, raw tensors and requested outputs of a request.
pub(super) const MAX_TENSORS: usize = 1 << 16;
/// Most parameters of a request and its tensors together.
const MAX_PARAMETERS: usize = 1_024;
/// Most dimensions of all shapes together: two for each tensor, and some that are wrong.
const MAX_DIMENSIONS: usize = 4 * MAX_TENSORS;
/// Most fields of a message, known or not, beyond what the other limits allow.
const MAX_FIELDS: usize = 1 << 20;

/// A value as the wire holds it.
enum Value<'a> {
    /// A varint or a fixed number.
    Number,
    /// Bytes, text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

fn broken() -> Failure {
    bad("the message can't be read: it is no protocol buffer of this method")
}

/// Reads the fields of a message one by one.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Failure> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(broken)?;
            self.0 = rest;
            // The tenth byte holds the one bit that is left.
            if shift == 63 && byte > 1 {
                return Err(broken());
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken())
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next field's number and value; `None` at the end.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Failure> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => self.varint().map(|_| Value::Number)?,
            1 => self.take(8).map(|_| Value::Number)?,
            5 => self.take(4).map(|_| Value::Number)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| broken())?;
                Value::Bytes(self.take(length)?)
            }
            // Groups were never part of this protocol.
            _ => return Err(broken()),
        };
        Ok(Some((key >> 3, value)))
    }
}

/// What was counted so far.
#[derive(Default)]
struct Counts {
    tensors: usize,
    parameters: usize,
    dimensions: usize,
    values: usize,
    fields: usize,
}

fn add(count: &mut usize, more: usize, max: usize, what: &str) -> Result<(), Failure> {
    *count = count.saturating_add(more);
    if *count <= max {
        return Ok(());
    }
    Err(Failure::new(Code::TooLarge, format!("one request holds at most {max} {what}"))
        .hint("send fewer rows in one request"))
}

impl Counts {
    fn field(&mut self) -> Result<(), Failure> {
        add(&mut self.fields, 1, MAX_FIELDS + MAX_VALUES, "fields")
    }

    fn tensor(&mut self) -> Result<(), Failure> {
        add(&mut self.tensors, 1, MAX_TENSORS, "tensors")
    }

    fn parameter(&mut self) -> Result<(), Failure> {
        add(&mut self.parameters, 1, MAX_PARAMETERS, "parameters")
    }

    fn input(&mut self, message: &[u8]) -> Result<(), Failure> {
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            self.field()?;
            match (number, value) {
                (3, value) => add(&mut self.dimensions, packed(&value, 0), MAX_DIMENSIONS, "dimensions")?,
                (4, _) => self.parameter()?,
                (5, Value::Bytes(message)) => self.contents(message)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn output(&mut self, message: &[u8]) -> Result<(), Failure> {
        let mut fields = Fields(message);
        while let Some((number, _)) = fields.next()? {
            self.field()?;
            if number == 2 {
                self.parameter()?;
            }
        }
        Ok(())
    }

    fn contents(&mut self, message: &[u8]) -> Result<(), Failure> {
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            self.field()?;
            let n = match number {
                1..=5 => packed(&value, 0),
                6 => packed(&value, 4),
                7 => packed(&value, 8),
                8 => 1,
                _ => 0,
            };
            add(&mut self.values, n, MAX_VALUES, "values")?;
        }
        Ok(())
    }
}

/// How many numbers a field holds: one, or packed ones of a width (0: varints, each of which ends with a byte below 128).
fn packed(value: &Value<'_>, width: usize) -> usize {
    match (value, width) {
        (Value::Number, _) => 1,
        (Value::Bytes(bytes), 0) => bytes.iter().filter(|&&byte| byte < 0x80).count(),
        (Value::Bytes(bytes), width) => bytes.len() / width,
    }
}

/// What the look finds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Look<'a> {
    pub(super) model: &'a str,
    /// Empty where the client names none.
    pub(super) version: &'a str,
    /// The raw tensors, in order.
    pub(super) raw: Vec<&'a [u8]>,
}

/// Looks at a request. It takes a time that grows with the bytes and no memory but for the list of raw tensors.
///
/// # Errors
/// If it is no such message, or holds more than a request may.
pub(super) fn look(message: &[u8]) -> Result<Look<'_>, Failure> {
    let (mut look, mut counts) = (Look::default(), Counts::default());
    let mut fields = Fields(message);
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| broken());
    while let Some((number, value)) = fields.next()? {
        counts.field()?;
        match (number, value) {
            (1, Value::Bytes(bytes)) => look.model = text(bytes)?,
            (2, Value::Bytes(bytes)) => look.version = text(bytes)?,
            (4, _) => counts.parameter()?,
            (5, Value::Bytes(message)) => {
                counts.tensor()?;
                counts.input(message)?;
            }
            (6, Value::Bytes(message)) => {
                counts.tensor()?;
                counts.output(message)?;
            }
            (7, Value::Bytes(bytes)) => {
                counts.tensor()?;
                look.raw.push(bytes);
            }
            (3, Value::Bytes(_)) => {}
            (1..=7, _) => return Err(broken()),
            _ => {}
        }
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use prost::Message as _;

    use super::*;
    use crate::grpc::messages::{Contents, InferRequest, InputTensor};

    /// A length-delimited field.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut wire = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut wire);
        wire.extend_from_slice(bytes);
        wire
    }

    #[test]
    fn model_version_and_raw_tensors_are_found_in_any_order() {
        let wire = [field(7, b"\x01\x02"), field(2, b"3"), field(5, b""), field(7, b""), field(1, b"wine")].concat();
        let raw: Vec<&[u8]> = vec![b"\x01\x02", b""];
        assert_eq!(look(&wire).unwrap(), Look { model: "wine", version: "3", raw });
        assert_eq!(look(b"").unwrap(), Look::default());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for wire in [
            &b"\x0a"[..],
            b"\x0a\x05abc",
            b"\x0a\x01\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\x01",
            b"\x3b\x3c",
            b"\x2a\x02\x2a\x05",
            b"\x09\x00",
        ] {
            assert_eq!(look(wire).unwrap_err(), broken(), "{wire:?}");
        }
    }

    #[test]
    fn small_bytes_that_become_large_are_counted() {
        #[track_caller]
        fn check(wire: &[u8], expect: &str) {
            let failure = look(wire).unwrap_err();
            assert_eq!((failure.code, failure.message.as_str()), (Code::TooLarge, expect));
        }
        check(&field(5, b"").repeat(MAX_TENSORS + 1), "one request holds at most 65536 tensors");
        check(&field(7, b"").repeat(MAX_TENSORS + 1), "one request holds at most 65536 tensors");
        check(&field(4, b"").repeat(1_025), "one request holds at most 1024 parameters");
        check(&field(5, &field(4, b"").repeat(1_025)), "one request holds at most 1024 parameters");
        check(&field(5, &field(3, &vec![0; MAX_DIMENSIONS + 1])), "one request holds at most 262144 dimensions");
        let values = |number: u8, bytes: &[u8]| field(5, &field(5, &field(number, bytes)));
        check(&values(1, &vec![0; MAX_VALUES + 1]), "one request holds at most 2097152 values");
        check(&values(6, &vec![0; 4 * (MAX_VALUES + 1)]), "one request holds at most 2097152 values");
        let texts = field(5, &field(5, &field(8, b"").repeat(MAX_VALUES + 1)));
        check(&texts, "one request holds at most 2097152 values");
    }

    #[test]
    fn the_parser_agrees_with_the_look() {
        let contents = Contents { int64s: vec![1, -1, i64::MAX], ..Contents::default() };
        let input =
            InputTensor { name: "a".to_owned(), shape: vec![3], contents: Some(contents), ..Default::default() };
        let request = InferRequest { id: "7".to_owned(), inputs: vec![input; 3], outputs: vec![] };
        let mut wire = request.encode_to_vec();
        wire.extend_from_slice(&field(7, b"raw"));
        assert_eq!(look(&wire).unwrap().raw, [b"raw"]);
        assert_eq!(InferRequest::decode(wire.as_slice()).unwrap(), request);
    }
}

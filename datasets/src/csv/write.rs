//! Rows as lines of a text table.

use std::io::Write;

use athanor_protocol::columns::{ColumnData, Frame};

use crate::values::format_datetime;

/// Adds a line with the columns' names.
pub(crate) fn push_header(out: &mut Vec<u8>, frame: &Frame) {
    push_line(out, frame.columns().len(), |out, at| push_text(out, &frame.columns()[at].name));
}

/// Adds a line for each row.
pub(crate) fn push_rows(out: &mut Vec<u8>, frame: &Frame) {
    for row in 0..frame.n_rows() {
        push_line(out, frame.columns().len(), |out, at| push_cell(out, &frame.columns()[at].data, row));
    }
}

fn push_line(out: &mut Vec<u8>, n_cells: usize, push: impl Fn(&mut Vec<u8>, usize)) {
    let begin = out.len();
    for at in 0..n_cells {
        if at > 0 {
            out.push(b',');
        }
        push(out, at);
    }
    // A blank line is no record to any reader, so a lone missing value is written as empty quotes.
    if n_cells == 1 && out.len() == begin {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

fn push_cell(out: &mut Vec<u8>, data: &ColumnData, row: usize) {
    match data {
        ColumnData::Float(values) if !values[row].is_nan() => push_float(out, values[row]),
        ColumnData::Float(_) => {}
        ColumnData::Int(values) => push_shown(out, values[row]),
        ColumnData::Bool(values) => push_shown(out, values[row]),
        ColumnData::Text(values) => push_text(out, values[row].as_deref().unwrap_or_default()),
        ColumnData::Datetime(values) => push_shown(out, values[row].map(format_datetime)),
    }
}

/// What needs no quotes.
fn push_shown(out: &mut Vec<u8>, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        // A vector takes everything.
        let _ = write!(out, "{value}");
    }
}

/// The shortest decimal number that reads back to the same bits, without an exponent. Where two are as short and as near,
/// it is the even one, as in Python; `Display`, which takes three times as long, writes the other one.
fn push_float(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return push_shown(out, Some(value));
    }
    let mut buffer = zmij::Buffer::new();
    let shown = buffer.format_finite(value);
    let Some((digits, exponent)) = shown.split_once('e') else {
        return out.extend_from_slice(shown.strip_suffix(".0").unwrap_or(shown).as_bytes());
    };
    // One digit, and perhaps a point and more of them, times a power of ten.
    let Ok(exponent) = exponent.parse::<i32>() else { return push_shown(out, Some(value)) };
    let digits = match digits.strip_prefix('-') {
        Some(digits) => {
            out.push(b'-');
            digits
        }
        None => digits,
    };
    let digits = digits.bytes().filter(|&byte| byte != b'.');
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend(digits);
        return;
    }
    let begin = out.len();
    out.extend(digits);
    let n_before_point = exponent.unsigned_abs() as usize + 1;
    match (out.len() - begin).checked_sub(n_before_point) {
        None | Some(0) => out.resize(begin + n_before_point, b'0'),
        Some(_) => out.insert(begin + n_before_point, b'.'),
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let needs_quotes = text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r'))
        || text.starts_with(' ')
        || text.ends_with(' ');
    if !needs_quotes {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for (at, piece) in text.split('"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(piece.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: f64) -> Result<(), TestCaseError> {
        let mut out = Vec::new();
        push_float(&mut out, value);
        let (found, shown) = (String::from_utf8_lossy(&out).into_owned(), value.to_string());
        if found != shown {
            prop_assert_eq!(found.len(), shown.len(), "{} and {}", found, shown);
            prop_assert_eq!(found.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{}", found);
            prop_assert!(found.ends_with(['0', '2', '4', '6', '8']), "{} and {}", found, shown);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        #[test]
        fn numbers_are_written_as_short_as_can_be(bits: u64, small in any::<f32>(), exponent in -25i32..25, whole: i32) {
            check(f64::from_bits(bits))?;
            check(f64::from(small))?;
            check(f64::from(whole) * 10f64.powi(exponent))?;
            check(f64::from(whole))?;
        }
    }

    #[test]
    fn the_ends_of_the_range_are_written_as_well() {
        for value in [0.0, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN, 1e16, 1e-5] {
            assert!(check(value).is_ok(), "{value}");
            assert!(check(-value).is_ok(), "{value}");
        }
    }
}

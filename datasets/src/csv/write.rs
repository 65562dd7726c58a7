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

/// The shortest decimal number that reads back to the same bits, without an exponent.
fn push_float(out: &mut Vec<u8>, value: f64) {
    push_shown(out, Some(value));
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

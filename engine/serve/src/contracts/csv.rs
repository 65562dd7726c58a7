//! Comma-separated values (RFC 4180) as bodies: cells become the values that their columns want.

use std::borrow::Cow;

use athanor_protocol::{Failure, columns::Frame, table::DataType};

use crate::{
    named_body::Reader,
    plan::{Plan, Taking},
    refusal::bad,
    values::Scalar,
};

/// One cell.
#[derive(Debug, PartialEq)]
struct Cell<'t> {
    text: Cow<'t, str>,
    is_quoted: bool,
}

/// The lines of a table.
struct Lines<'t> {
    rest: &'t str,
    line: usize,
    max_cells: usize,
}

impl<'t> Lines<'t> {
    /// Reads the next line that is not blank into `cells`; `false` at the end.
    fn read(&mut self, cells: &mut Vec<Cell<'t>>) -> Result<bool, Failure> {
        cells.clear();
        loop {
            self.line += 1;
            if self.rest.is_empty() {
                return Ok(false);
            }
            let blank = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
            match blank {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        let first_line = self.line;
        loop {
            if cells.len() == self.max_cells {
                return Err(bad(format!("line {first_line} has more than {} values", self.max_cells)));
            }
            let cell = self.cell(first_line)?;
            cells.push(cell);
            let ended = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
            if let Some(rest) = ended {
                self.rest = rest;
                return Ok(true);
            }
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None if self.rest.is_empty() => return Ok(true),
                None => {
                    let message = format!("line {first_line} has something between a value and the next comma");
                    return Err(bad(message).hint("lines end in \\n or \\r\\n, and a quote inside quotes is doubled"));
                }
            }
        }
    }

    /// Reads a cell and leaves what ends it.
    fn cell(&mut self, line: usize) -> Result<Cell<'t>, Failure> {
        let Some(mut rest) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n', '\r', '"']).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(Cell { text: Cow::Borrowed(text), is_quoted: false });
        };
        let mut text = Cow::Borrowed("");
        loop {
            let Some((piece, after)) = rest.split_once('"') else {
                return Err(bad(format!("line {line} opens a quote that nothing closes")));
            };
            self.line += piece.matches('\n').count();
            if text.is_empty() {
                text = Cow::Borrowed(piece)
            } else {
                text.to_mut().push_str(piece)
            }
            match after.strip_prefix('"') {
                Some(more) => {
                    text.to_mut().push('"');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Ok(Cell { text, is_quoted: true });
                }
            }
        }
    }
}

/// A cell's text as a value for a column of this type. What is no such value stays text, and the column says so.
pub(crate) fn scalar(text: &str, is_quoted: bool, dtype: DataType) -> Scalar {
    if dtype == DataType::Text {
        return if text.is_empty() && !is_quoted { Scalar::Null } else { Scalar::Text(text.into()) };
    }
    let text = text.trim_ascii();
    if text.is_empty() {
        return Scalar::Null;
    }
    let number = || match (text.parse::<i64>(), text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(value), ..) => Some(Scalar::Int(value)),
        (_, Ok(value), _) => Some(Scalar::Big(value)),
        (.., Ok(value)) => Some(Scalar::Float(value)),
        _ => None,
    };
    let found = match dtype {
        // NumPy and pandas write a missing number as "nan".
        DataType::Float | DataType::Int => number(),
        DataType::Bool if text.eq_ignore_ascii_case("true") => Some(Scalar::Bool(true)),
        DataType::Bool if text.eq_ignore_ascii_case("false") => Some(Scalar::Bool(false)),
        DataType::Bool => number(),
        _ => None,
    };
    found.unwrap_or_else(|| Scalar::Text(text.into()))
}

/// Whether a first line holds names: more than half of its cells are names of columns.
fn is_header(plan: &Plan, cells: &[Cell<'_>]) -> bool {
    let n_names = cells.iter().enumerate().filter(|(at, cell)| plan.find(&cell.text, *at).is_some()).count();
    n_names * 2 > cells.len()
}

/// Reads a table. `header` says whether the first line holds names; where the client did not say, the line tells.
///
/// # Errors
/// Everything that is wrong with it, as the client's mistake.
pub(crate) fn read(plan: &Plan, body: &[u8], header: Option<bool>) -> Result<Frame, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is no text in UTF-8"))?;
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let n_columns = plan.inputs().len();
    // One more than there may be, for the message; a line of commas alone would take a hundred times its memory.
    let mut lines = Lines { rest, line: 0, max_cells: n_columns.saturating_mul(2).max(16) };
    let mut reader = Reader::new(plan, Taking::Exact);
    let mut cells = vec![];
    let mut order: Vec<usize> = (0..n_columns).collect();
    let mut is_first = true;
    while lines.read(&mut cells)? {
        if std::mem::take(&mut is_first) && header.unwrap_or_else(|| is_header(plan, &cells)) {
            reader.stamp = 1;
            order.clear();
            for (at, cell) in cells.iter().enumerate() {
                order.push(reader.column(&cell.text, at, false)?);
            }
            if order.len() < n_columns {
                return Err(plan.missing("the header line", |at| reader.seen.get(at) == Some(&1)));
            }
            reader.stamp = 0;
            continue;
        }
        reader.stamp += 1;
        if cells.len() != n_columns {
            return Err(plan.wrong_width(reader.stamp, cells.len()));
        }
        for (cell, &at) in cells.iter().zip(&order) {
            let Some(input) = plan.inputs().get(at) else { continue };
            reader.builder.push(at, &scalar(&cell.text, cell.is_quoted, input.dtype))?;
        }
    }
    reader.finish(Ok(()))
}

/// Adds a cell to an answer; quoted where it must be.
pub(crate) fn write(text: &str, into: &mut String) {
    if !text.contains([',', '"', '\n', '\r']) && text.trim() == text && !text.is_empty() {
        into.push_str(text);
        return;
    }
    into.push('"');
    into.push_str(&text.replace('"', "\"\""));
    into.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use athanor_protocol::{
        columns::ColumnData,
        signature::{InputColumn, ModelSignature, Task},
    };

    use super::*;

    fn plan() -> Plan {
        let column = |name: &str, dtype| InputColumn { name: name.to_owned(), dtype, nullable: true };
        let inputs = vec![column("a", DataType::Float), column("n", DataType::Int), column("t", DataType::Text)];
        Plan::new(&ModelSignature { task: Task::Regression, target: "y".to_owned(), inputs, classes: vec![] }).unwrap()
    }

    fn texts(frame: &Frame) -> Vec<Option<String>> {
        let ColumnData::Text(values) = &frame.columns()[2].data else { panic!() };
        values.iter().map(|value| value.as_ref().map(|text| text.to_string())).collect()
    }

    #[test]
    fn lines_become_rows() {
        #[track_caller]
        fn check(body: &str, header: Option<bool>, expect: &[(f64, Option<i64>, Option<&str>)]) {
            let frame = read(&plan(), body.as_bytes(), header).unwrap();
            let ColumnData::Float(a) = &frame.columns()[0].data else { panic!() };
            let ColumnData::Int(n) = &frame.columns()[1].data else { panic!() };
            let got: Vec<_> = a.iter().zip(n).zip(texts(&frame)).map(|((a, n), t)| (a.to_bits(), *n, t)).collect();
            let expect: Vec<_> = expect.iter().map(|(a, n, t)| (a.to_bits(), *n, t.map(str::to_owned))).collect();
            assert_eq!(got, expect, "{body:?}");
        }
        check("1.5,2,red\n", None, &[(1.5, Some(2), Some("red"))]);
        check("1.5,2,red", None, &[(1.5, Some(2), Some("red"))]);
        check("a,n,t\r\n1,2,red\r\n\r\n3,,\r\n", None, &[(1.0, Some(2), Some("red")), (3.0, None, None)]);
        check("\u{feff}t,a,n\nred,1,2\n", None, &[(1.0, Some(2), Some("red"))]);
        check("a,n,t\n", None, &[]);
        check("", None, &[]);
        check(
            "1,2,\"a \"\"b\"\",\nc\"\n4,5,\"\"",
            None,
            &[(1.0, Some(2), Some("a \"b\",\nc")), (4.0, Some(5), Some(""))],
        );
        check(" 1e3 , 2.0 , x ", None, &[(1000.0, Some(2), Some(" x "))]);
        check("nan,NaN,nan", None, &[(f64::NAN, None, Some("nan"))]);
        check("\"1\",\"2\",n", Some(false), &[(1.0, Some(2), Some("n"))]);
    }

    #[test]
    fn mistakes_are_named() {
        #[track_caller]
        fn check(body: &[u8], header: Option<bool>, expect: &str) {
            let err = read(&plan(), body, header).unwrap_err().message;
            assert!(err.starts_with(expect), "{:?}: {err:?}", String::from_utf8_lossy(body));
        }
        check(b"1,2\n", None, "row 1 has 2 values, the model takes 3 columns");
        check(b"1,2,a\n1,2,a,4\n", None, "row 2 has 4 values, the model takes 3 columns");
        check(b"1,2,a\nx,2,a\n", None, "column \"a\" in row 2 expects a number, found text");
        check(b"1,2.5,a\n", None, "column \"n\" in row 1 expects a whole number, found a number with a fraction");
        check(b"inf,2,a\n", None, "column \"a\" in row 1 must be finite");
        check(b"1e400,2,a\n", None, "column \"a\" in row 1 must be finite");
        check(b"a,n\n1,2\n", None, "the header line misses \"t\"");
        check(b"a,n,q\n1,2,x\n", None, "column \"q\" is not among the model's 3 columns");
        check(b"a,n,n\n1,2,x\n", None, "column \"n\" is there twice");
        check(b"1,2,x\n", Some(true), "column \"1\" is not among the model's 3 columns");
        check(b"a,n,t\n", Some(false), "column \"a\" in row 1 expects a number, found text");
        check(b"1,2,\"x\n", None, "line 1 opens a quote that nothing closes");
        check(b"1,2,\"x\"y\n", None, "line 1 has something between a value and the next comma");
        check(b"1,2,x\"\n", None, "line 1 has something between");
        check(b"1,2,x\r1,2,y", None, "line 1 has something between");
        check(b"1,2,\"a\nb\"\n\n1,2,\"x", None, "line 4 opens a quote");
        check(b"\xff,2,x", None, "the body is no text in UTF-8");
        check(&[b','; 100_000], None, "line 1 has more than 16 values");
    }

    #[test]
    fn answers_are_quoted_where_they_must_be() {
        for (text, expect) in [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("", "\"\""), (" a", "\" a\"")] {
            let mut into = String::new();
            write(text, &mut into);
            assert_eq!(into, expect);
        }
    }
}

//! Derived columns: the part of SQL that ONNX can compute in the same way.
//!
//! | what | which |
//! | --- | --- |
//! | values | numbers, truth values, texts, dates, columns of them, `NULL` in choices |
//! | numbers | `+` `-` `*` `/` `//` `%`, functions of numbers that double arithmetic has |
//! | conditions | comparisons, `BETWEEN`, `IN`, `AND`, `OR`, `XOR`, `NOT`, `IS`, with SQL's missing values |
//! | choices | `CASE`, `IF`, `COALESCE`, `IFNULL`, `NULLIF`, `GREATEST`, `LEAST` |
//! | texts | whether they are equal, and choices between them; never the making of new ones |
//! | dates | comparisons, differences, `EXTRACT` of the parts of the calendar and the clock |
//!
//! Everything else is refused with the step's name: a guess that is right on most rows would be worse than none.
//!
//! [`syntax`] reads an expression as the tables' crate does; [`emit`] writes it with the rules of SQL that [`operand`]
//! keeps track of: where a value is missing, whether a NaN was computed, how wide whole numbers are.

use athanor_protocol::recipe::MAX_EXPRESSION_BYTES;

use super::{columns::Value, graph::Graph, recipe::Columns, unsupported};
use crate::LearnError;

mod choices;
mod emit;
mod functions;
mod logic;
mod moments;
mod numbers;
mod operand;
mod syntax;
mod tokens;

/// Computes an expression over one row. Notes say where the graph is more lenient than the package.
///
/// # Errors
/// [`LearnError::Unsupported`] where it uses anything that is not in the table above; names the step.
pub(super) fn compile(
    graph: &mut Graph,
    column: &str,
    expression: &str,
    columns: &Columns,
    notes: &mut Vec<String>,
) -> Result<Value, LearnError> {
    let refuse = |reason: String| {
        unsupported(
            format!("the step 'derive' of column {column:?} cannot be exported: {reason}"),
            "docs/serving/onnx.md lists what can be exported; compute the rest of the column before the table is read",
        )
    };
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(refuse("it is too long".to_owned()));
    }
    let parsed = syntax::parse(expression).map_err(refuse)?;
    let mut emitter = emit::Emitter::new(graph, columns);
    let found = emitter.emit(&parsed).and_then(|operand| emitter.finish(operand)).map_err(refuse)?;
    if emitter.is_strict {
        notes.push(format!(
            "column {column:?}: a value that CAST cannot convert counts as missing; the package refuses it"
        ));
    }
    Ok(found)
}

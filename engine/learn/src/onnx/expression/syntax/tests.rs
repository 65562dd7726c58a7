#![allow(clippy::unwrap_used)]
//! How expressions are read.

use proptest::prelude::*;

use super::*;

/// The tree with every bracket written out.
fn written(expr: &Expr) -> String {
    match expr {
        Expr::Column(name) => name.clone(),
        Expr::Int(value) => value.to_string(),
        Expr::Neg(inner) => format!("(-{})", written(inner)),
        Expr::Not(inner) => format!("(not {})", written(inner)),
        Expr::Binary(op, left, right) => format!("({} {op:?} {})", written(left), written(right)),
        Expr::Between { value, low, high, .. } => {
            format!("({} in {}..{})", written(value), written(low), written(high))
        }
        Expr::Is { value, what, .. } => format!("({} is {what:?})", written(value)),
        Expr::Cast { value, .. } => format!("(cast {})", written(value)),
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_as_in_the_tables() {
    for (text, expect) in [
        ("a - b * 2 % 3 - 1", "((a Sub ((b Mul 2) Mod 3)) Sub 1)"),
        ("-a * b", "((-a) Mul b)"),
        ("NOT a = b AND c OR d", "(((not (a Eq b)) And c) Or d)"),
        ("a = b IS NULL", "((a Eq b) is Missing)"),
        ("a IS NULL = b", "((a is Missing) Eq b)"),
        ("a BETWEEN 1 AND b + 1 AND c", "((a in 1..(b Add 1)) And c)"),
        ("a + b::double", "(a Add (cast b))"),
        ("a < b XOR c", "(a Less (b Xor c))"),
        ("a IS DISTINCT FROM b AND c", "(not (a Same (b And c)))"),
    ] {
        assert_eq!(written(&parse(text).unwrap()), expect, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(words in proptest::collection::vec(
        proptest::sample::select(&[
            "a", "\"b\"", "'t'", "1", "2.5", ".", "(", ")", ",", "+", "-", "*", "/", "%", "=", "<=>", "::", "NOT", "AND",
            "OR", "IS", "NULL", "IN", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST(", "AS", "DOUBLE", "DATE",
            "EXTRACT(", "FROM", "LIKE", "'", "ü", "ROUND(", "DISTINCT",
        ][..]), 0..40), glue in proptest::bool::ANY)
    {
        // No panic, and nothing but an answer.
        let _ = parse(&words.join(if glue { " " } else { "" }));
    }
}

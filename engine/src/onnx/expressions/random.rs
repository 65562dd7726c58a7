//! Expressions made at random, against the tables.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::{prelude::*, test_runner::TestRunner};

use super::{Outcome, outcome, rows};

const N_CASES: u32 = 400;

/// An expression of each kind, at most so many levels deep.
#[derive(Debug, Clone)]
struct Kinds {
    number: BoxedStrategy<String>,
    truth: BoxedStrategy<String>,
    text: BoxedStrategy<String>,
    date: BoxedStrategy<String>,
}

fn pick(all: &'static [&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(all).prop_map(str::to_owned).boxed()
}

fn kinds(depth: u32) -> Kinds {
    let number = pick(&["a", "b", "n", "x", "y", "3", "0", "-2", "1.5", "-0.5", "7"]);
    let truth = pick(&["ok", "no", "sure", "true", "false"]);
    let text = pick(&["s", "'Ulm'", "'b'", "s", "'Köln'"]);
    let date = pick(&["d", "e", "DATE '2000-02-29'", "DATE '1970-01-01'"]);
    if depth == 0 {
        return Kinds { number, truth, text, date };
    }
    let below = kinds(depth - 1);
    let (n, c, t, d) = (below.number, below.truth, below.text, below.date);
    // Sums and differences of whole numbers stay exact, products of them are of leaves alone.
    let arithmetic = proptest::sample::select(&["+", "-", "/", "//", "%"][..]);
    let compare = proptest::sample::select(&["=", "<>", "<", "<=", ">", ">=", "<=>"][..]);
    let equality = proptest::sample::select(&["=", "<>"][..]);
    let connect = proptest::sample::select(&["AND", "OR", "XOR"][..]);
    let function = proptest::sample::select(&["ABS", "SIGN", "FLOOR", "CEIL", "SQRT", "ROUND", "TRUNC"][..]);
    let maybe_not = proptest::sample::select(&["", "NOT "][..]);
    let part = proptest::sample::select(&["YEAR", "QUARTER", "MONTH", "DAY", "DOY", "DOW", "ISODOW"][..]);
    let choice = |c: &BoxedStrategy<String>, of: &BoxedStrategy<String>| {
        prop_oneof![
            (c.clone(), of.clone(), of.clone())
                .prop_map(|(when, yes, no)| format!("(CASE WHEN {when} THEN {yes} ELSE {no} END)")),
            (c.clone(), of.clone()).prop_map(|(when, yes)| format!("(CASE WHEN {when} THEN {yes} END)")),
            (c.clone(), of.clone(), c.clone(), of.clone()).prop_map(|(one, yes, two, no)| {
                format!("(CASE WHEN {one} THEN {yes} WHEN {two} THEN {no} ELSE {yes} END)")
            }),
            (of.clone(), of.clone()).prop_map(|(one, other)| format!("COALESCE({one}, {other})")),
        ]
        .boxed()
    };
    let numbers = prop_oneof![
        4 => (n.clone(), arithmetic, n.clone()).prop_map(|(left, op, right)| format!("({left} {op} {right})")),
        1 => (number.clone(), number.clone()).prop_map(|(left, right)| format!("({left} * {right})")),
        2 => (function, n.clone()).prop_map(|(function, value)| format!("{function}({value})")),
        1 => n.clone().prop_map(|value| format!("(- {value})")),
        1 => (n.clone(), n.clone()).prop_map(|(value, equals)| format!("NULLIF({value}, {equals})")),
        1 => (number.clone(), number.clone()).prop_map(|(one, other)| format!("GREATEST({one}, {other})")),
        1 => (part, d.clone()).prop_map(|(part, date)| format!("EXTRACT({part} FROM {date})")),
        1 => c.clone().prop_map(|truth| format!("CAST({truth} AS TINYINT)")),
        3 => choice(&c, &n),
        1 => number,
    ];
    let truths = prop_oneof![
        3 => (n.clone(), compare.clone(), n.clone()).prop_map(|(left, op, right)| format!("({left} {op} {right})")),
        1 => (d.clone(), compare, d.clone()).prop_map(|(left, op, right)| format!("({left} {op} {right})")),
        1 => (t.clone(), equality, pick(&["'Ulm'", "'b'"])).prop_map(|(left, op, right)| format!("({left} {op} {right})")),
        2 => (c.clone(), connect, c.clone()).prop_map(|(left, op, right)| format!("({left} {op} {right})")),
        1 => c.clone().prop_map(|truth| format!("(NOT {truth})")),
        1 => (n.clone(), maybe_not.clone(), n.clone(), n.clone())
            .prop_map(|(value, not, low, high)| format!("({value} {not}BETWEEN {low} AND {high})")),
        1 => (n.clone(), maybe_not.clone(), pick(&["(3, 0)", "(-2, NULL)", "(1.5, 0.5)"]))
            .prop_map(|(value, not, list)| format!("({value} {not}IN {list})")),
        1 => (t.clone(), maybe_not, pick(&["('Ulm', 'b')", "('Köln', NULL)"]))
            .prop_map(|(value, not, list)| format!("({value} {not}IN {list})")),
        1 => (n.clone(), pick(&["IS NULL", "IS NOT NULL"])).prop_map(|(value, is)| format!("({value} {is})")),
        1 => (t.clone(), pick(&["IS NULL", "IS NOT NULL"])).prop_map(|(value, is)| format!("({value} {is})")),
        1 => (c.clone(), pick(&["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NULL"]))
            .prop_map(|(value, is)| format!("({value} {is})")),
        1 => choice(&c, &c),
        1 => truth,
    ];
    let texts = prop_oneof![4 => choice(&c, &t), 1 => (t.clone(), pick(&["'Ulm'", "'b'"]))
        .prop_map(|(value, equals)| format!("NULLIF({value}, {equals})")), 1 => text];
    let dates = prop_oneof![3 => choice(&c, &d), 1 => date];
    Kinds { number: numbers.boxed(), truth: truths.boxed(), text: texts.boxed(), date: dates.boxed() }
}

fn any_expression() -> BoxedStrategy<String> {
    let Kinds { number, truth, text, date } = kinds(3);
    prop_oneof![4 => number, 4 => truth, 2 => text, 1 => date].boxed()
}

#[test]
fn any_expression_says_the_same_in_both() {
    let (n_compared, raw) = (AtomicUsize::new(0), rows());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(N_CASES));
    let run = runner.run(&any_expression(), |expression| {
        match outcome(&expression, &raw, 0.0) {
            Outcome::Compared(differences) => {
                n_compared.fetch_add(1, Relaxed);
                prop_assert!(differences.is_empty(), "{} rows differ, {}", differences.len(), differences[0]);
            }
            // What cannot be is refused on one side or on both, never answered otherwise.
            Outcome::Refused(reason) => {
                let is_known = ["may not fit", "NaN", "narrow type"].iter().any(|known| reason.contains(known));
                prop_assert!(is_known, "{}", reason);
            }
            Outcome::NoPackage => {}
        }
        Ok(())
    });
    if let Err(err) = run {
        panic!("{err}");
    }
    let n_compared = n_compared.into_inner();
    assert!(n_compared > N_CASES as usize * 3 / 4, "{n_compared} of {N_CASES} were compared");
}

#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use athanor_protocol::{
    package::Statistics,
    signature::{InputColumn, ModelSignature, Task},
    table::{ColumnSchema, DataType, TableSchema},
};

use super::*;
use crate::{
    encode::{EncodeOptions, FittedEncoder, TaskChoice},
    error::LearnError,
    model::TrainedModel,
    predictor::Outputs,
    statistics,
    trees::{Forest, Link, Tree},
};

const OPTIONS: Options = Options { seed: 0, n_model_rows: 2_048 };

fn frame(columns: Vec<(&str, ColumnData)>) -> Frame {
    Frame::new(columns.into_iter().map(|(name, data)| Column { name: name.into(), data }).collect()).unwrap()
}

/// One row of numbers, with the columns `c0`, `c1` and so on.
fn numbers(values: &[f64]) -> Frame {
    let column =
        |(at, value): (usize, &f64)| Column { name: format!("c{at}").into(), data: ColumnData::Float(vec![*value]) };
    Frame::new(values.iter().enumerate().map(column).collect()).unwrap()
}

/// Explains what a function makes of a row's numbers.
fn explain(model: impl Fn(&[f64]) -> f64, own: &[f64], base: &[f64], options: Options) -> Contributions {
    let mut predict = |rows: &Frame| -> Result<Vec<f64>, LearnError> {
        let row = |row| rows.columns().iter().map(|column| column.data.number(row)).collect::<Vec<_>>();
        Ok((0..rows.n_rows()).map(|at| model(&row(at))).collect())
    };
    let found = contributions(&numbers(own), 0, &numbers(base), options, &|| true, &mut predict).unwrap().unwrap();
    let sum: f64 = found.of_columns.iter().sum();
    assert!((found.base + sum - found.value).abs() < 1e-9 * (1.0 + found.value.abs()), "nothing is left: {found:?}");
    assert_eq!((found.base, found.value), (model(base), model(own)));
    found
}

/// Something with products, a threshold and a column (the third) that nobody looks at.
fn tangled(row: &[f64]) -> f64 {
    let product: f64 = row.iter().step_by(3).product();
    let sum: f64 = row.iter().enumerate().filter(|(at, _)| *at != 2).map(|(at, v)| v * (at as f64 + 1.0)).sum();
    1.0 / (1.0 + (-0.05 * sum - product - f64::from(row[1] > 0.5)).exp())
}

#[test]
fn a_linear_model_gets_weight_times_difference_however_many_columns_it_has() {
    for n in [1, 2, 5, 11, 12, 40, 300] {
        let weight = |at: usize| (at as f64 * 0.7).sin() * 3.0;
        let own: Vec<f64> = (0..n).map(|at| at as f64 * 1.5 - 4.0).collect();
        let base: Vec<f64> = (0..n).map(|at| (at as f64).cos()).collect();
        let model = |row: &[f64]| 2.0 + row.iter().enumerate().map(|(at, value)| weight(at) * value).sum::<f64>();
        let found = explain(model, &own, &base, OPTIONS);
        assert_eq!(found.standard_errors.is_some(), n > 11, "{n} columns");
        for at in 0..n {
            let expect = weight(at) * (own[at] - base[at]);
            assert!((found.of_columns[at] - expect).abs() < 1e-9, "{n} columns, column {at}: {found:?}");
        }
        // What every order agrees on has no error.
        assert!(found.standard_errors.unwrap_or_default().iter().all(|error| *error < 1e-4), "{n} columns");
    }
}

#[test]
fn a_game_whose_values_are_known() {
    // Two of three make a majority (Shapley and Shubik, 1954): each has a third; with weights 2, 1, 1 and a quota of 3
    // it is 2/3, 1/6, 1/6.
    let majority = |row: &[f64]| f64::from(row.iter().sum::<f64>() >= 2.0);
    let found = explain(majority, &[1.0; 3], &[0.0; 3], OPTIONS);
    assert!(found.of_columns.iter().all(|share| (share - 1.0 / 3.0).abs() < 1e-15), "{found:?}");
    let weighted = |row: &[f64]| f64::from(row[0] * 2.0 + row[1] + row[2] >= 3.0);
    let found = explain(weighted, &[1.0; 3], &[0.0; 3], OPTIONS);
    for (share, expect) in found.of_columns.iter().zip([2.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0]) {
        assert!((share - expect).abs() < 1e-15, "{found:?}");
    }
    assert_eq!((found.base, found.value, found.n_model_rows), (0.0, 1.0, 8));
}

#[test]
fn what_does_the_same_gets_the_same_and_what_does_nothing_gets_nothing() {
    for n in [4, 11, 13, 30] {
        let own: Vec<f64> = (0..n).map(|at| 1.0 + at as f64 / 10.0).collect();
        let found = explain(tangled, &own, &vec![0.0; n], OPTIONS);
        assert_eq!(found.of_columns[2].to_bits(), 0.0_f64.to_bits(), "{n} columns");
        assert!(found.of_columns[1] > 0.0, "{found:?}");
    }
    // The first two change places without a difference.
    let alike = |row: &[f64]| (row[0] + row[1]).powi(2) * row[2].max(0.1) + row[3..].iter().sum::<f64>();
    for n in [5, 11] {
        let found = explain(alike, &vec![1.5; n], &vec![0.0; n], OPTIONS);
        assert!((found.of_columns[0] - found.of_columns[1]).abs() < 1e-12, "{found:?}");
    }
}

#[test]
fn drawn_orders_come_near_to_what_counting_gives() {
    let own: Vec<f64> = (0..11).map(|at| 1.0 - at as f64 / 7.0).collect();
    let exact = explain(tangled, &own, &[0.2; 11], OPTIONS);
    let drawn = explain(tangled, &own, &[0.2; 11], Options { n_model_rows: 2_000, ..OPTIONS });
    assert_eq!((exact.n_model_rows, drawn.n_model_rows), (2_048, 2 + 99 * 20));
    let errors = drawn.standard_errors.unwrap();
    for at in 0..11 {
        let off = (exact.of_columns[at] - drawn.of_columns[at]).abs();
        assert!(off <= 5.0 * errors[at] + 1e-12, "column {at} is off by {off}, its error is {}", errors[at]);
        assert!(errors[at] < 0.01, "{errors:?}");
    }
    assert!(errors.iter().any(|error| *error > 1e-5), "the errors say something: {errors:?}");
}

#[test]
fn the_same_row_has_the_same_explanation() {
    let own: Vec<f64> = (0..30).map(|at| at as f64 / 10.0).collect();
    let base = vec![1.0; 30];
    let first = explain(tangled, &own, &base, OPTIONS);
    assert_eq!(explain(tangled, &own, &base, OPTIONS), first);
    assert_ne!(explain(tangled, &own, &base, Options { seed: 1, ..OPTIONS }), first);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (own, base) = (own.clone(), base.clone());
            std::thread::spawn(move || explain(tangled, &own, &base, OPTIONS))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), first);
    }
}

#[test]
fn the_work_is_bounded_and_can_be_broken_off() {
    let n = 1_001;
    let mut predict = |rows: &Frame| -> Result<Vec<f64>, LearnError> { Ok(vec![0.0; rows.n_rows()]) };
    let err = contributions(&numbers(&vec![1.0; n]), 0, &numbers(&vec![0.0; n]), OPTIONS, &|| true, &mut predict);
    assert_eq!(
        err.unwrap_err().to_string(),
        "the row is too large: 1001 columns differ from the baseline, the limit is 1000"
    );
    // Columns that have the baseline's value cost nothing.
    let mut own = vec![0.0; n];
    own[7] = 1.0;
    let found = contributions(&numbers(&own), 0, &numbers(&vec![0.0; n]), OPTIONS, &|| true, &mut predict).unwrap();
    assert_eq!(found.unwrap().n_model_rows, 2);

    let (asked, rows_asked) = (Cell::new(0), Cell::new(0));
    let go_on = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let mut predict = |rows: &Frame| -> Result<Vec<f64>, LearnError> {
        rows_asked.set(rows_asked.get() + rows.n_rows());
        assert!(rows.n_rows() * rows.columns().len() <= CALL_VALUES);
        Ok(vec![0.0; rows.n_rows()])
    };
    let n = 1_000;
    let found = contributions(&numbers(&vec![1.0; n]), 0, &numbers(&vec![0.0; n]), OPTIONS, &go_on, &mut predict);
    assert_eq!((found.unwrap(), rows_asked.get()), (None, 2 * 262), "it is asked before each call");
}

#[test]
fn bad_answers_and_rows_that_do_not_fit_are_refused() {
    let own = numbers(&[1.0, 2.0]);
    let base = numbers(&[0.0, 0.0]);
    let with = |rows: &Frame, row, base: &Frame, answer: &dyn Fn(&Frame) -> Vec<f64>| {
        let mut predict = |rows: &Frame| -> Result<Vec<f64>, LearnError> { Ok(answer(rows)) };
        contributions(rows, row, base, OPTIONS, &|| true, &mut predict).unwrap_err().to_string()
    };
    let zeros = |rows: &Frame| vec![0.0; rows.n_rows()];
    let infinite = |rows: &Frame| vec![f64::INFINITY; rows.n_rows()];
    assert!(with(&own, 0, &base, &infinite).starts_with("the model has no finite answer for a mix"));
    assert!(with(&own, 0, &base, &|_| vec![]).contains("0 answers for 4 rows"));
    let unfit = "the baseline is not one row of the same columns";
    assert!(with(&own, 1, &base, &zeros).contains(unfit));
    assert!(with(&own, 0, &numbers(&[0.0]), &zeros).contains(unfit));
    let texts = frame(vec![("c0", ColumnData::Float(vec![0.0])), ("c1", ColumnData::Text(vec![None]))]);
    assert!(with(&own, 0, &texts, &zeros).contains(unfit));
    let nothing = Frame::default();
    assert!(with(&nothing, 0, &base, &zeros).contains(unfit));
    let mut fails = |_: &Frame| -> Result<Vec<f64>, LearnError> { Err(LearnError::Internal("no".to_owned())) };
    assert!(contributions(&own, 0, &base, OPTIONS, &|| true, &mut fails).is_err());
}

/// The typical value of a column `x`.
fn typical_of(dtype: DataType, nullable: bool, data: ColumnData) -> ColumnData {
    let schema = TableSchema { columns: vec![ColumnSchema { name: "x".to_owned(), dtype }] };
    let outputs = Outputs { n_rows: 0, classes: Arc::from([]), label: None, probabilities: None, value: Some(vec![]) };
    let statistics = statistics::collect(&frame(vec![("x", data)]), &schema, &outputs).unwrap();
    let inputs = vec![InputColumn { name: "x".to_owned(), dtype, nullable }];
    let signature = ModelSignature { task: Task::Regression, target: "y".to_owned(), inputs, classes: vec![] };
    let none = Statistics { inputs: vec![], ..statistics.clone() };
    assert_eq!(typical_row(&signature, &none), None);
    let mut earlier = statistics.clone();
    earlier.inputs[0].sample.clear();
    let typical = typical_row(&signature, &statistics).unwrap();
    // NaN is not itself, its text is. Few values are bins of their own, so what earlier programs kept says as much.
    let by_bins = typical_row(&signature, &earlier).unwrap();
    assert_eq!(format!("{by_bins:?}"), format!("{typical:?}"));
    typical.columns()[0].data.clone()
}

#[test]
fn a_typical_row_has_medians_and_the_most_frequent() {
    let text = |values: &[&str]| {
        ColumnData::Text(values.iter().map(|v| if v.is_empty() { None } else { Some(Arc::from(*v)) }).collect())
    };
    let check = |dtype, nullable, data: ColumnData, expect: ColumnData| {
        let got = typical_of(dtype, nullable, data);
        assert_eq!(format!("{got:?}"), format!("{expect:?}"));
    };
    use ColumnData::{Bool, Datetime, Float, Int, Text};
    let nan = f64::NAN;
    check(DataType::Float, false, Float(vec![5.0, 1.0, 2.0]), Float(vec![2.0]));
    check(DataType::Float, true, Float(vec![5.0, nan, f64::INFINITY]), Float(vec![5.0]));
    check(DataType::Float, true, Float(vec![nan, nan, 2.0]), Float(vec![nan]));
    check(DataType::Float, false, Float(vec![nan, nan]), Float(vec![0.0]));
    check(DataType::Int, false, Int(vec![Some(1), Some(9), Some(4), Some(2)]), Int(vec![Some(4)]));
    check(DataType::Int, true, Int(vec![None, None, Some(2)]), Int(vec![None]));
    check(DataType::Bool, false, Bool(vec![Some(true), Some(true), Some(false)]), Bool(vec![Some(true)]));
    check(DataType::Bool, false, Bool(vec![]), Bool(vec![Some(false)]));
    check(DataType::Text, false, text(&["b", "a", "b"]), text(&["b"]));
    check(DataType::Text, true, text(&["b", "", "b"]), text(&["b"]));
    check(DataType::Text, true, text(&["b", "", ""]), text(&[""]));
    check(DataType::Text, false, text(&["x".repeat(300).as_str()]), Text(vec![Some("".into())]));
    let day = 86_400_000_000;
    let days = Datetime(vec![Some(day), Some(19_000 * day), Some(20_000 * day)]);
    check(DataType::Date, false, days, Datetime(vec![Some(19_000 * day)]));
    check(DataType::Datetime, true, Datetime(vec![None, None, Some(1)]), Datetime(vec![None]));
}

/// A forest, by the raw columns of a table with text: what the encoder makes of a column is one column's.
#[test]
fn a_forest_is_explained_by_its_raw_columns() {
    let word = |n: usize| Some(Arc::from(["x", "y", "z"][n % 3]));
    let raw = frame(vec![
        ("noise", ColumnData::Float((0..60).map(f64::from).collect())),
        ("word", ColumnData::Text((0..60).map(word).collect())),
        ("a", ColumnData::Float((0..60).map(|n| f64::from(n) / 2.0).collect())),
        ("y", ColumnData::Text((0..60).map(|n| Some(Arc::from(if n < 30 { "no" } else { "yes" }))).collect())),
    ]);
    let options =
        EncodeOptions { scale: crate::encode::Scale::None, impute: false, max_categories: 100, ordinal_above: None };
    let encoder = FittedEncoder::fit(&raw, "y", &[], TaskChoice::Auto, options).unwrap().0;
    let at = |name: &str| encoder.feature_names().iter().position(|feature| feature == name).unwrap() as u32;
    let is_y = encoder.feature_names().iter().position(|feature| feature.contains('y')).unwrap() as u32;
    let stump = |feature: u32, threshold, height: f64| Tree {
        feature: vec![feature],
        threshold: vec![threshold],
        missing: vec![0],
        left: vec![-1],
        right: vec![-2],
        leaves: vec![-height, height],
    };
    let trees = vec![stump(at("a"), 14.0, 2.0), stump(is_y, 0.5, 1.0)];
    let forest = Forest::new(encoder.n_features() as u32, Link::Logistic, vec![0.0], trees).unwrap();
    let model = TrainedModel::Trees(forest);
    let mut predict = |rows: &Frame| -> Result<Vec<f64>, LearnError> {
        let said = model.predict(&encoder.encode(rows)?)?;
        Ok(said.probabilities.chunks(2).map(|row| f64::from(row[1])).collect())
    };
    let columns = |noise, word: &str, a| {
        frame(vec![
            ("noise", ColumnData::Float(vec![noise])),
            ("word", ColumnData::Text(vec![Some(word.into())])),
            ("a", ColumnData::Float(vec![a])),
        ])
    };
    let (own, base) = (columns(1.0, "y", 25.0), columns(9.0, "x", 3.0));
    let found = contributions(&own, 0, &base, OPTIONS, &|| true, &mut predict).unwrap().unwrap();
    let p = |margin: f64| 1.0 / (1.0 + (-margin).exp());
    // By hand: the mean of what a column adds first and last.
    let (base, word, a, both) = (p(-3.0), p(-1.0), p(1.0), p(3.0));
    let expect = [0.0, ((word - base) + (both - a)) / 2.0, ((a - base) + (both - word)) / 2.0];
    for (share, expect) in found.of_columns.iter().zip(expect) {
        assert!((share - expect).abs() < 1e-6, "{found:?} {expect}");
    }
    assert_eq!(found.of_columns[0], 0.0);
}

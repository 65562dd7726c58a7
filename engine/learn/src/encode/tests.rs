#![allow(clippy::unwrap_used)]

use athanor_protocol::Code;
use proptest::prelude::*;

use super::*;

fn floats(name: &str, values: &[f64]) -> Column {
    Column { name: name.into(), data: ColumnData::Float(values.to_vec()) }
}

fn ints(name: &str, values: &[i64]) -> Column {
    Column { name: name.into(), data: ColumnData::Int(values.iter().copied().map(Some).collect()) }
}

fn texts(name: &str, values: &[&str]) -> Column {
    let value = |text: &&str| (!text.is_empty()).then(|| Arc::from(*text));
    Column { name: name.into(), data: ColumnData::Text(values.iter().map(value).collect()) }
}

fn bools(name: &str, values: &[Option<bool>]) -> Column {
    Column { name: name.into(), data: ColumnData::Bool(values.to_vec()) }
}

fn frame(columns: Vec<Column>) -> Frame {
    Frame::new(columns).unwrap()
}

fn fit(columns: Vec<Column>) -> Result<(FittedEncoder, Vec<String>), LearnError> {
    FittedEncoder::fit(&frame(columns), "y", &[], TaskChoice::Auto, EncodeOptions::default())
}

const Y4: [f64; 4] = [0.5, 1.5, 2.5, 3.5];

fn check_rows(columns: Vec<Column>, expect: &[&[f32]]) -> Vec<String> {
    let (encoder, notes) = fit(columns.clone()).unwrap();
    let samples = encoder.encode(&frame(columns)).unwrap();
    let rows: Vec<&[f32]> = (0..samples.n_rows).map(|row| samples.row(row)).collect();
    assert_eq!(rows, expect);
    assert_eq!(encoder.feature_names().len(), encoder.n_features());
    notes
}

#[test]
fn numbers_are_standardised_and_gaps_filled_with_the_median() {
    // Mean 3, population deviation √(8/3); the gap is filled with the median 3.
    let gap = [1.0, f64::NAN, 5.0, 3.0];
    let far = (2.0 / (8.0f64 / 3.0).sqrt()) as f32;
    check_rows(vec![floats("x", &gap), floats("y", &Y4)], &[&[-far, 0.0], &[0.0, 1.0], &[far, 0.0], &[0.0, 0.0]]);
    check_rows(vec![ints("x", &[1, 1, 3, 3]), floats("y", &Y4)], &[&[-1.0], &[-1.0], &[1.0], &[1.0]]);
    let flags = [Some(true), Some(false), Some(true), Some(false)];
    check_rows(vec![bools("x", &flags), floats("y", &Y4)], &[&[1.0], &[-1.0], &[1.0], &[-1.0]]);
    let times =
        Column { name: "x".into(), data: ColumnData::Datetime([0, 2, 0, 2].map(|s| Some(s * 1_000_000)).to_vec()) };
    check_rows(vec![times, floats("y", &Y4)], &[&[-1.0], &[1.0], &[-1.0], &[1.0]]);
}

#[test]
fn infinities_count_as_missing_with_a_note() {
    let notes = check_rows(
        vec![floats("x", &[1.0, f64::INFINITY, 3.0, f64::NEG_INFINITY]), floats("y", &Y4)],
        &[&[-1.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[0.0, 1.0]],
    );
    assert_eq!(notes, ["column \"x\": 2 infinite values are treated as missing"]);
}

#[test]
fn text_becomes_a_column_for_each_category() {
    check_rows(
        vec![texts("x", &["b", "a", "", "b"]), floats("y", &Y4)],
        &[&[0.0, 1.0, 0.0], &[1.0, 0.0, 0.0], &[0.0, 0.0, 1.0], &[0.0, 1.0, 0.0]],
    );
    let (encoder, _) = fit(vec![texts("x", &["b", "a", "", "b"]), floats("y", &Y4)]).unwrap();
    assert_eq!(encoder.feature_names(), ["x=a", "x=b", "x:missing"]);
    let unknown = encoder.encode(&frame(vec![texts("x", &["c"])])).unwrap();
    assert_eq!(unknown.features, [0.0, 0.0, 0.0]);
}

#[test]
fn too_many_categories_go_to_other() {
    let options = EncodeOptions { max_categories: 2, ..EncodeOptions::default() };
    let rows = frame(vec![texts("x", &["a", "b", "b", "c", "c", "c"]), floats("y", &[0.5, 1.0, 2.0, 3.0, 4.0, 5.0])]);
    let (encoder, notes) = FittedEncoder::fit(&rows, "y", &[], TaskChoice::Auto, options).unwrap();
    assert_eq!(encoder.feature_names(), ["x=b", "x=c", "x:other"]);
    assert!(notes[0].contains("3 categories") && notes[0].contains("1 rows count as other"), "{notes:?}");
    let samples = encoder.encode(&frame(vec![texts("x", &["a", "never seen", "b"])])).unwrap();
    assert_eq!(samples.features, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn columns_that_say_nothing_are_left_out_with_a_note() {
    let ids: Vec<String> = (0..30).map(|row| format!("id{row}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let x: Vec<f64> = (0..30).map(f64::from).collect();
    let (encoder, notes) = fit(vec![
        texts("id", &ids),
        floats("same", &[4.0; 30]),
        floats("empty", &[f64::NAN; 30]),
        texts("nothing", &[""; 30]),
        texts("only", &["a"; 30]),
        floats("x", &x),
        floats("y", &x.iter().map(|x| x / 2.0).collect::<Vec<_>>()),
    ])
    .unwrap();
    assert_eq!(encoder.input_columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["x"]);
    for (note, expect) in notes.iter().zip(["identifier", "always 4", "no values", "no values", "always \"a\""]) {
        assert!(note.contains(expect), "{note}");
    }
    assert_eq!(notes.len(), 5);
    let err = fit(vec![floats("same", &[4.0; 4]), floats("y", &Y4)]).unwrap_err();
    assert_eq!(err.to_string(), "no column is left to learn from");
    assert!(err.hint().unwrap().contains("always 4"));
}

#[test]
fn a_constant_column_with_gaps_stays_for_its_gaps() {
    check_rows(
        vec![floats("x", &[2.0, f64::NAN, 2.0, 2.0]), floats("y", &Y4)],
        &[&[0.0, 0.0], &[0.0, 1.0], &[0.0, 0.0], &[0.0, 0.0]],
    );
}

#[test]
fn trees_take_numbers_as_they_are_and_gaps_as_gaps() {
    let learner =
        serde_json::from_value(serde_json::json!({"learner":"trees","trees":{"n_rounds":1,"learning_rate":0.1,
        "n_leaves":2,"min_rows_in_leaf":1,"feature_fraction":1.0,"bagging_fraction":1.0,"l2":0.0,"patience":null}}));
    let options = EncodeOptions::for_learner(&learner.unwrap());
    let codes: Vec<String> = (0..40).map(|row| format!("k{:02}", row % 20)).collect();
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    let mut x: Vec<f64> = (0..40).map(f64::from).collect();
    x[3] = f64::NAN;
    let y: Vec<f64> = x.iter().map(|x| x + 0.5).map(|y| if y.is_nan() { 0.0 } else { y }).collect();
    let rows = frame(vec![floats("x", &x), texts("code", &codes), floats("y", &y)]);
    let (encoder, _) = FittedEncoder::fit(&rows, "y", &[], TaskChoice::Auto, options).unwrap();
    let samples = encoder.encode(&rows).unwrap();
    assert_eq!(samples.row(2), [2.0, 2.0]);
    assert!(samples.row(3)[0].is_nan());
    let unknown = encoder.encode(&frame(vec![floats("x", &[1.0]), texts("code", &["new"])])).unwrap();
    assert!(unknown.features[1].is_nan());
}

#[test]
fn pixels_share_one_scale_and_none_is_left_out() {
    let options = EncodeOptions { scale: Scale::Common, ..EncodeOptions::default() };
    let rows = frame(vec![floats("p0", &[0.0, 0.0]), floats("p1", &[4.0, 4.0]), texts("y", &["a", "b"])]);
    let (encoder, _) = FittedEncoder::fit(&rows, "y", &[], TaskChoice::Auto, options).unwrap();
    assert_eq!(encoder.encode(&rows).unwrap().features, [-1.0, 1.0, -1.0, 1.0]);
    let gap = frame(vec![floats("p0", &[f64::NAN]), floats("p1", &[4.0])]);
    assert_eq!(encoder.encode(&gap).unwrap().features, [0.0, 1.0]);
    let text = frame(vec![texts("p0", &["x", "y"]), texts("y", &["a", "b"])]);
    let err = FittedEncoder::fit(&text, "y", &[], TaskChoice::Auto, options).unwrap_err();
    assert!(err.to_string().contains("pixels must be numbers"), "{err}");
}

fn check_target(column: Column, task: TaskChoice, expect: Result<Option<&[&str]>, &str>) {
    let n = column.data.len();
    let x: Vec<f64> = (0..n).map(|row| row as f64).collect();
    let rows = frame(vec![floats("x", &x), column]);
    let fitted = FittedEncoder::fit(&rows, "y", &[], task, EncodeOptions::default());
    match (fitted, expect) {
        (Ok((encoder, _)), Ok(classes)) => {
            let found = encoder.classes().map(|classes| classes.iter().map(|class| &**class).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), classes);
        }
        (Err(err), Err(text)) => assert!(err.to_string().contains(text), "{err}"),
        (found, expect) => panic!("{found:?} where {expect:?} was expected"),
    }
}

#[test]
fn the_task_is_told_from_the_target() {
    use TaskChoice::{Auto, Classification, Regression};
    check_target(texts("y", &["b", "a", "c"]), Auto, Ok(Some(&["a", "b", "c"])));
    check_target(bools("y", &[Some(true), Some(false)]), Auto, Ok(Some(&["false", "true"])));
    check_target(ints("y", &[10, 9, 9, -1]), Auto, Ok(Some(&["-1", "9", "10"])));
    check_target(floats("y", &[1.0, 2.0, 10.0]), Auto, Ok(Some(&["1", "2", "10"])));
    check_target(floats("y", &[1.0, 2.5]), Auto, Ok(None));
    let twenty: Vec<String> = (0..20).map(|class| class.to_string()).collect();
    let twenty: Vec<&str> = twenty.iter().map(String::as_str).collect();
    check_target(ints("y", &(0..20).collect::<Vec<_>>()), Auto, Ok(Some(&twenty)));
    check_target(ints("y", &(0..21).collect::<Vec<_>>()), Auto, Ok(None));
    check_target(ints("y", &[1, 2, 3]), Regression, Ok(None));
    check_target(floats("y", &[0.5, 1.5]), Classification, Ok(Some(&["0.5", "1.5"])));
    check_target(texts("y", &["a", "b"]), Regression, Err("text cannot be predicted as a number"));
    check_target(texts("y", &["a", "a"]), Auto, Err("one class only in the training rows: \"a\""));
    check_target(texts("y", &["", ""]), Auto, Err("missing in every training row"));
}

#[test]
fn rows_without_a_target_are_left_out_with_a_note() {
    let rows = frame(vec![floats("x", &[1.0, 2.0, 3.0, 1000.0]), texts("y", &["a", "b", "a", ""])]);
    let (encoder, notes) = FittedEncoder::fit(&rows, "y", &[], TaskChoice::Auto, EncodeOptions::default()).unwrap();
    assert_eq!(notes, ["target \"y\": 1 rows without a value are left out"]);
    let labelled = encoder.encode_labelled(&rows).unwrap();
    assert_eq!(labelled.rows, [0, 1, 2]);
    assert_eq!(labelled.targets, Targets::Class { labels: vec![0, 1, 0], n_classes: 2 });
    assert_eq!(labelled.samples.n_rows, 3);
    assert_eq!(labelled.samples.features[1], 0.0, "the left-out row does not move the mean");
    assert_eq!(encoder.encode_targets(&rows).unwrap().1, [true, true, true, false]);
    let other = frame(vec![floats("x", &[1.0, 2.0]), texts("y", &["b", "never seen"])]);
    let labelled = encoder.encode_labelled(&other).unwrap();
    assert_eq!(labelled.rows, [0]);
    assert!(labelled.notes[0].contains("never seen"), "{:?}", labelled.notes);
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let (encoder, _) =
        fit(vec![floats("x", &[1.0, 2.0, 3.0, 4.0]), texts("t", &["a", "b", "a", "b"]), floats("y", &Y4)]).unwrap();
    let missing = encoder.encode(&frame(vec![floats("x", &[1.0])])).unwrap_err();
    assert_eq!((missing.to_string().as_str(), missing.code()), ("column \"t\" is missing", Code::BadData));
    let text = encoder.encode(&frame(vec![texts("x", &["one"]), texts("t", &["a"])])).unwrap_err();
    assert!(text.to_string().starts_with("column \"x\"") && text.to_string().contains("\"one\""), "{text}");
    // An empty column has no type of its own.
    assert!(encoder.encode(&frame(vec![texts("x", &[""]), floats("t", &[f64::NAN])])).is_ok());
    let all = frame(vec![floats("x", &[1.0, 2.0]), floats("y", &[0.1, 0.2])]);
    let with = |target: &str, features: &[&str]| {
        let features: Vec<String> = features.iter().map(|&name| name.to_owned()).collect();
        FittedEncoder::fit(&all, target, &features, TaskChoice::Auto, EncodeOptions::default()).unwrap_err().to_string()
    };
    assert_eq!(with("z", &[]), "column \"z\" is missing");
    assert_eq!(with("y", &["w"]), "column \"w\" is missing");
    assert_eq!(with("y", &["y"]), "column \"y\": the target cannot be a feature too");
    assert_eq!(with("y", &["x", "x"]), "column \"x\": is named twice");
}

#[test]
fn the_order_of_columns_does_not_matter() {
    let columns = vec![
        floats("a", &[1.0, 2.0, 3.0, 4.0]),
        floats("b", &[4.0, 3.0, 1.0, 2.0]),
        floats("c", &[0.0, 1.0, 0.0, 1.0]),
        floats("y", &Y4),
    ];
    let (encoder, _) = fit(columns.clone()).unwrap();
    let reversed = frame(columns.iter().rev().cloned().collect());
    assert_eq!(encoder.encode(&frame(columns)).unwrap(), encoder.encode(&reversed).unwrap());
}

#[test]
fn a_saved_encoder_comes_back_and_a_damaged_one_does_not() {
    let columns = vec![floats("x", &[1.0, f64::NAN, 3.0, 4.1]), texts("t", &["a", "b", "a", "b"]), floats("y", &Y4)];
    let (encoder, _) = fit(columns).unwrap();
    let json = encoder.to_json().unwrap();
    assert_eq!(FittedEncoder::from_json(&json).unwrap(), encoder);
    let text = String::from_utf8(json).unwrap();
    let check = |from: &str, to: &str, code: Code| {
        assert!(text.contains(from), "{text}");
        let err = FittedEncoder::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(err.code(), code, "{err}");
    };
    check("\"version\":1", "\"version\":2", Code::Unsupported);
    check("[\"a\",\"b\"]", "[\"b\",\"a\"]", Code::Corrupt);
    check("\"name\":\"t\"", "\"name\":\"x\"", Code::Corrupt);
    check("\"scale\":1.", "\"scale\":-1.", Code::Corrupt);
    assert_eq!(FittedEncoder::from_json(b"\x80\x04").unwrap_err().code(), Code::Corrupt);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the numbers, features are finite and rows independent of each other.
    #[test]
    fn features_are_finite_and_rows_independent(
        x in prop::collection::vec(prop::num::f64::ANY, 4..40),
        seed in 0u64..1000,
    ) {
        let y: Vec<f64> = (0..x.len()).map(|row| row as f64 + 0.5).collect();
        let z: Vec<f64> = (0..x.len()).map(|row| ((row as u64 * 7 + seed) % 5) as f64).collect();
        let rows = frame(vec![floats("x", &x), floats("z", &z), floats("y", &y)]);
        let Ok((encoder, _)) = FittedEncoder::fit(&rows, "y", &[], TaskChoice::Auto, EncodeOptions::default()) else {
            return Ok(());
        };
        let all = encoder.encode(&rows).unwrap();
        prop_assert!(all.features.iter().all(|value| value.is_finite()), "{:?}", all.features);
        for row in 0..x.len() {
            let one = encoder.encode(&frame(vec![floats("z", &z[row..=row]), floats("x", &x[row..=row])])).unwrap();
            prop_assert_eq!(one.row(0), all.row(row));
        }
        let json = encoder.to_json().unwrap();
        prop_assert_eq!(FittedEncoder::from_json(&json).unwrap(), encoder);
    }
}

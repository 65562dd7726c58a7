#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::forest::{Forest, Link, MISSING_GOES_LEFT, Tree, ZERO_IS_MISSING};
use crate::samples::Samples;

fn samples(n_features: usize, features: &[f32]) -> Samples {
    Samples::new(features.len() / n_features, n_features, features.to_vec()).unwrap()
}

/// `x0 <= 0.5 ? (x1 <= -1 ? 1 : 2) : 4`, missing x0 left, missing x1 right.
fn tree() -> Tree {
    Tree {
        feature: vec![0, 1],
        threshold: vec![0.5, -1.0],
        missing: vec![MISSING_GOES_LEFT, 0],
        left: vec![1, -1],
        right: vec![-3, -2],
        leaves: vec![1.0, 2.0, 4.0],
    }
}

fn check(change: impl FnOnce(&mut Tree), expect: Result<(), &str>) {
    let mut tree = tree();
    change(&mut tree);
    let found = Forest::new(2, Link::Identity, vec![0.0], vec![tree]).map(|_| ()).map_err(|err| err.to_string());
    assert_eq!(found, expect.map_err(|reason| format!("model: {reason}")));
}

#[test]
fn rows_fall_to_their_leaves() {
    let forest = Forest::new(2, Link::Identity, vec![10.0], vec![tree(), tree()]).unwrap();
    let nan = f32::NAN;
    for (row, expect) in [
        ([0.5, -1.0], 12.0),
        ([0.5, -0.9], 14.0),
        ([0.6, -5.0], 18.0),
        ([nan, -5.0], 12.0),
        ([nan, nan], 14.0),
        ([f32::INFINITY, nan], 18.0),
        ([f32::NEG_INFINITY, f32::NEG_INFINITY], 12.0),
    ] {
        let predictions = forest.predict(&samples(2, &row)).unwrap();
        assert_eq!(predictions.values, [expect], "of {row:?}");
        assert!(predictions.probabilities.is_empty());
    }
}

#[test]
fn zero_goes_the_way_of_missing_values_where_the_split_says_so() {
    let mut zero = tree();
    zero.missing = vec![ZERO_IS_MISSING, 0];
    let forest = Forest::new(2, Link::Identity, vec![0.0], vec![zero]).unwrap();
    let values = |x0: f32| forest.predict(&samples(2, &[x0, 0.0])).unwrap().values;
    assert_eq!(values(0.0), [4.0], "zero is missing and goes right");
    assert_eq!(values(-1e-36), [4.0], "what is nearly zero is zero");
    assert_eq!(values(f32::NAN), [4.0]);
    assert_eq!(values(0.1), [2.0]);
}

#[test]
fn links_turn_sums_into_probabilities() {
    let leaf = |value: f64| Tree { leaves: vec![value], ..Tree::default() };
    let forest = Forest::new(1, Link::Logistic, vec![0.5], vec![leaf(0.5), leaf(-1.0)]).unwrap();
    assert_eq!(forest.predict(&samples(1, &[0.0])).unwrap().probabilities, [0.5, 0.5]);
    let forest = Forest::new(1, Link::Softmax, vec![0.0; 3], vec![leaf(0.0), leaf(1000.0), leaf(1000.0)]).unwrap();
    assert_eq!(forest.predict(&samples(1, &[0.0, 1.0])).unwrap().probabilities, [0.0, 0.5, 0.5, 0.0, 0.5, 0.5]);
    assert_eq!((forest.n_classes(), forest.n_leaves()), (3, 3));
}

#[test]
fn many_rows_are_the_same_as_one_by_one() {
    let forest = Forest::new(2, Link::Logistic, vec![0.1], vec![tree(); 5]).unwrap();
    let features: Vec<f32> = (0..400).map(|index| ((index * 37 % 41) as f32 - 20.0) / 9.0).collect();
    let all = forest.predict(&samples(2, &features)).unwrap();
    let single: Vec<f32> =
        features.chunks(2).flat_map(|row| forest.predict(&samples(2, row)).unwrap().probabilities).collect();
    assert_eq!(all.probabilities, single);
    assert_eq!(all.n_rows, 200);
    assert!(forest.predict(&samples(2, &[])).unwrap().probabilities.is_empty());
}

#[test]
fn a_row_of_another_width_is_refused() {
    let forest = Forest::new(2, Link::Identity, vec![0.0], vec![tree()]).unwrap();
    let err = forest.predict(&samples(3, &[0.0; 3])).unwrap_err();
    assert_eq!(err.to_string(), "the model takes 2 features, the rows have 3");
}

#[test]
fn what_is_no_tree_is_refused() {
    check(|_| (), Ok(()));
    check(|tree| tree.left[1] = 0, Err("tree 0: split 1 leads back to split 0"));
    check(|tree| tree.left[1] = 1, Err("tree 0: split 1 leads back to split 1"));
    check(|tree| tree.left[0] = 2, Err("tree 0: split 0 leads to 2, which does not exist"));
    check(|tree| tree.left[1] = -4, Err("tree 0: split 1 leads to -4, which does not exist"));
    check(|tree| tree.left[1] = i32::MIN, Err("tree 0: split 1 leads to -2147483648, which does not exist"));
    check(|tree| tree.left[1] = -2, Err("tree 0: split 1 leads to -2, which has a parent already"));
    check(|tree| tree.right[0] = 1, Err("tree 0: split 0 leads to 1, which has a parent already"));
    check(|tree| tree.feature[1] = 2, Err("tree 0: split 1 asks for feature 2 of 2"));
    check(|tree| tree.missing[0] = 4, Err("tree 0: split 0 has an unknown way to treat missing values"));
    check(|tree| tree.threshold[0] = f64::NAN, Err("tree 0: it holds a number that is not finite"));
    check(|tree| tree.leaves[0] = f64::INFINITY, Err("tree 0: it holds a number that is not finite"));
    let lengths = "tree 0: its arrays do not have one entry for each split and one leaf more";
    check(|tree| tree.leaves.truncate(2), Err(lengths));
    check(|tree| tree.left.push(-1), Err(lengths));
    check(|tree| *tree = Tree::default(), Err(lengths));
}

#[test]
fn what_is_no_forest_is_refused() {
    let check = |n_features, link, base: &[f64], n_trees, expect: &str| {
        let err = Forest::new(n_features, link, base.to_vec(), vec![tree(); n_trees]).unwrap_err();
        assert_eq!(err.to_string(), format!("model: {expect}"));
    };
    check(0, Link::Identity, &[0.0], 1, "the trees have no features");
    check(2, Link::Identity, &[0.0; 2], 2, "2 outputs do not go with the link Identity");
    check(2, Link::Softmax, &[0.0], 1, "1 outputs do not go with the link Softmax");
    check(2, Link::Softmax, &[0.0; 3], 4, "4 trees are not whole rounds of 3");
    check(2, Link::Logistic, &[f64::NAN], 1, "there must be 1 finite base scores");
}

#[test]
fn the_document_is_read_back_and_nothing_else_is() {
    let forest = Forest::new(2, Link::Identity, vec![0.1], vec![tree()]).unwrap();
    let json = serde_json::to_string(&forest).unwrap();
    insta::assert_snapshot!(json, @r#"{"version":1,"n_features":2,"n_outputs":1,"link":"identity","base_scores":[0.1],"trees":[{"feature":[0,1],"threshold":[0.5,-1.0],"missing":[1,0],"left":[1,-1],"right":[-3,-2],"leaves":[1.0,2.0,4.0]}]}"#);
    assert_eq!(serde_json::from_str::<Forest>(&json).unwrap(), forest);
    for (from, to, expect) in [
        ("\"version\":1", "\"version\":2", "model has format version 2, this program reads up to 1"),
        ("\"version\":1", "\"version\":1,\"code\":\"x\"", "unknown field `code`"),
        ("\"feature\":[0,1]", "\"feature\":[0,-1]", "invalid value: integer `-1`, expected u32"),
        ("\"left\":[1,-1]", "\"left\":[0,-1]", "tree 0: split 0 leads back to split 0"),
        ("0.5", "1e999", "number out of range"),
    ] {
        let err = serde_json::from_str::<Forest>(&json.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(err.contains(expect), "{to}: {err}");
    }
}

proptest! {
    // Whatever the arrays hold, a forest is refused or predicts; it neither panics nor walks for ever.
    #[test]
    fn any_arrays_are_refused_or_predict(
        feature in prop::collection::vec(0_u32..4, 0..5),
        left in prop::collection::vec(-6_i32..6, 0..5),
        right in prop::collection::vec(-6_i32..6, 0..5),
    ) {
        let n_splits = feature.len();
        let tree = Tree {
            feature,
            threshold: vec![0.0; n_splits],
            missing: vec![0; n_splits],
            left,
            right,
            leaves: vec![1.0; n_splits + 1],
        };
        if let Ok(forest) = Forest::new(3, Link::Identity, vec![0.0], vec![tree]) {
            let rows = samples(3, &[-1.0, 1.0, f32::NAN, 1.0, -1.0, 0.0]);
            prop_assert_eq!(forest.predict(&rows).unwrap().values, vec![1.0, 1.0]);
        }
    }
}

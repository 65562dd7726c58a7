//! Boosted trees as one `TreeEnsembleRegressor` of 64-bit floats, so that thresholds and sums are those of the package.
//!
//! A row goes left where `value <= threshold`, which is `BRANCH_LEQ`. A missing value goes left where
//! `nodes_missing_value_tracks_true` says so. Where a split takes zero for missing, it asks a second copy of the feature
//! in which zeros are NaN.

use std::collections::BTreeMap;

use super::{
    graph::{Graph, Name, f64_tensor, int, ints, tensor, text, texts},
    network::Answer,
    proto::elem,
};
use crate::trees::{Forest, Link, MISSING_GOES_LEFT, Tree, ZERO, ZERO_IS_MISSING};

/// The forest over `features`.
pub(super) fn forest(graph: &mut Graph, forest: &Forest, features: &str) -> Answer {
    let sums = sums(graph, forest, features);
    match forest.link() {
        Link::Identity => Answer::Value(sums),
        Link::Logistic => {
            // In 64 bits, each class by its own sign: 1 - p would lose what is left of a probability near 1.
            let sum = graph.cast(&sums, elem::DOUBLE);
            let negative = graph.op("Neg", &[&sum]);
            let one = graph.number(1.0);
            let classes = [&sum, &negative].map(|exponent| {
                let power = graph.op("Exp", &[exponent]);
                let divisor = graph.op("Add", &[&power, &one]);
                let share = graph.op("Div", &[&one, &divisor]);
                graph.cast(&share, elem::FLOAT)
            });
            Answer::Probabilities(graph.side_by_side(&classes))
        }
        Link::Softmax => Answer::Probabilities(graph.with("Softmax", &[&sums], vec![int("axis", 1)])),
    }
}

/// Base scores plus leaf values, `float [N, n_outputs]`.
fn sums(graph: &mut Graph, forest: &Forest, features: &str) -> Name {
    let base = forest.base_scores();
    if forest.trees().is_empty() {
        let base: Vec<f32> = base.iter().map(|&score| score as f32).collect();
        return for_every_row(graph, features, &base);
    }
    let mut nodes = Nodes::default();
    let zeros = zero_features(forest);
    for (index, tree) in forest.trees().iter().enumerate() {
        nodes.add(index, tree, index % base.len().max(1), forest.n_features(), &zeros);
    }
    let mut input = graph.cast(features, elem::DOUBLE);
    if !zeros.is_empty() {
        let which: Vec<i64> = zeros.keys().map(|&feature| i64::from(feature)).collect();
        let which = graph.i64s(&[which.len()], &which);
        let copies = graph.with("Gather", &[&input, &which], vec![int("axis", 1)]);
        let size = graph.op("Abs", &[&copies]);
        let zero = graph.number(ZERO);
        let is_zero = graph.op("LessOrEqual", &[&size, &zero]);
        let missing = graph.number(f64::NAN);
        let copies = graph.op("Where", &[&is_zero, &missing, &copies]);
        input = graph.side_by_side(&[input, copies]);
    }
    let attributes = nodes.attributes(base);
    graph.ml("TreeEnsembleRegressor", &[&input], attributes)
}

/// The same values in every row, `float [N, n]`; `rows` is any tensor with the rows.
pub(super) fn for_every_row(graph: &mut Graph, rows: &str, values: &[f32]) -> Name {
    let n_rows = graph.with("Shape", &[rows], vec![int("start", 0), int("end", 1)]);
    let n_values = graph.i64s(&[1], &[values.len() as i64]);
    let shape = graph.with("Concat", &[&n_rows, &n_values], vec![int("axis", 0)]);
    let values = graph.f32s(&[1, values.len()], values);
    graph.op("Expand", &[&values, &shape])
}

/// The features that some split takes zero for missing of, and the number of the copy.
fn zero_features(forest: &Forest) -> BTreeMap<u32, usize> {
    let splits = forest.trees().iter().flat_map(|tree| tree.feature.iter().zip(&tree.missing));
    let mut zeros: BTreeMap<u32, usize> =
        splits.filter(|(_, missing)| **missing & ZERO_IS_MISSING != 0).map(|(&feature, _)| (feature, 0)).collect();
    for (at, copy) in zeros.values_mut().enumerate() {
        *copy = at;
    }
    zeros
}

/// The parallel lists of the operator's attributes.
#[derive(Default)]
struct Nodes {
    tree: Vec<i64>,
    node: Vec<i64>,
    feature: Vec<i64>,
    threshold: Vec<f64>,
    mode: Vec<&'static str>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing_is_yes: Vec<i64>,
    leaf_tree: Vec<i64>,
    leaf_node: Vec<i64>,
    leaf_output: Vec<i64>,
    leaf_value: Vec<f64>,
}

impl Nodes {
    /// Splits keep their numbers, leaves follow them.
    fn add(&mut self, index: usize, tree: &Tree, output: usize, n_features: usize, zeros: &BTreeMap<u32, usize>) {
        let n_splits = tree.feature.len();
        let id = |child: i32| i64::from(if child >= 0 { child } else { n_splits as i32 - 1 - child });
        let splits = tree.feature.iter().zip(&tree.threshold).zip(&tree.missing).zip(tree.left.iter().zip(&tree.right));
        for (at, (((&feature, &threshold), &missing), (&left, &right))) in splits.enumerate() {
            let copy = zeros.get(&feature).filter(|_| missing & ZERO_IS_MISSING != 0);
            let feature = copy.map_or(i64::from(feature), |copy| (n_features + copy) as i64);
            let missing_is_yes = missing & MISSING_GOES_LEFT != 0;
            self.push(index, at, feature, threshold, "BRANCH_LEQ", (id(left), id(right)), missing_is_yes);
        }
        for (at, &value) in tree.leaves.iter().enumerate() {
            self.push(index, n_splits + at, 0, 0.0, "LEAF", (0, 0), false);
            self.leaf_tree.push(index as i64);
            self.leaf_node.push((n_splits + at) as i64);
            self.leaf_output.push(output as i64);
            self.leaf_value.push(value);
        }
    }

    #[allow(clippy::too_many_arguments)] // One for each of the operator's lists.
    fn push(
        &mut self,
        tree: usize,
        node: usize,
        feature: i64,
        threshold: f64,
        mode: &'static str,
        (yes, no): (i64, i64),
        missing_is_yes: bool,
    ) {
        self.tree.push(tree as i64);
        self.node.push(node as i64);
        self.feature.push(feature);
        self.threshold.push(threshold);
        self.mode.push(mode);
        self.yes.push(yes);
        self.no.push(no);
        self.missing_is_yes.push(i64::from(missing_is_yes));
    }

    fn attributes(self, base: &[f64]) -> Vec<super::proto::AttributeProto> {
        let n_nodes = self.threshold.len();
        let n_leaves = self.leaf_value.len();
        vec![
            text("aggregate_function", "SUM"),
            tensor("base_values_as_tensor", f64_tensor(&[base.len()], base)),
            int("n_targets", base.len() as i64),
            ints("nodes_falsenodeids", self.no),
            ints("nodes_featureids", self.feature),
            ints("nodes_missing_value_tracks_true", self.missing_is_yes),
            texts("nodes_modes", self.mode.into_iter()),
            ints("nodes_nodeids", self.node),
            ints("nodes_treeids", self.tree),
            ints("nodes_truenodeids", self.yes),
            tensor("nodes_values_as_tensor", f64_tensor(&[n_nodes], &self.threshold)),
            text("post_transform", "NONE"),
            ints("target_ids", self.leaf_output),
            ints("target_nodeids", self.leaf_node),
            ints("target_treeids", self.leaf_tree),
            tensor("target_weights_as_tensor", f64_tensor(&[n_leaves], &self.leaf_value)),
        ]
    }
}

//! `TreeEnsembleRegressor`, which the runtime lacks: read from a node's attributes as the standard says, walked in 64 bits.
//!
//! It knows nothing of the packages' own trees, so that a written file is compared with something else than itself.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
};

use tract_onnx::{
    model::ParsingContext,
    pb::{AttributeProto, NodeProto},
    tract_hir::internal::*,
};

/// A split or a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Split {
        mode: Mode,
        feature: usize,
        threshold: f64,
        missing_is_yes: bool,
        yes: usize,
        no: usize,
    },
    /// A range of leaf values.
    Leaf {
        from: usize,
        to: usize,
    },
}

/// When a split answers yes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// The ensemble. A child always comes after its parent in a walk of at most as many steps as there are nodes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ensemble {
    roots: Vec<usize>,
    nodes: Vec<Node>,
    /// Output and value.
    leaves: Vec<(usize, f64)>,
    base: Vec<f64>,
    n_features: usize,
    is_mean: bool,
    /// Digest of the attributes: equal ensembles have equal ones.
    key: u64,
}

impl Eq for Ensemble {}

impl Hash for Ensemble {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// The builder that the runtime calls for each such node.
pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(read(node)?), vec![]))
}

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn ids(node: &NodeProto, name: &str) -> TractResult<Vec<usize>> {
    let ints = find(node, name).map(|attribute| attribute.ints.as_slice()).unwrap_or_default();
    ints.iter().map(|&id| usize::try_from(id).map_err(|_| format_err!("{name} holds {id}"))).collect()
}

/// Numbers as 32-bit floats, or as a tensor of 64-bit ones under the name with `_as_tensor`.
fn numbers(node: &NodeProto, name: &str) -> TractResult<Vec<f64>> {
    if let Some(tensor) = find(node, &format!("{name}_as_tensor")).and_then(|attribute| attribute.t.as_ref()) {
        if tensor.raw_data.is_empty() {
            let floats = tensor.float_data.iter().map(|&value| f64::from(value));
            return Ok(floats.chain(tensor.double_data.iter().copied()).collect());
        }
        return Ok(match tensor.data_type {
            1 => tensor.raw_data.as_chunks::<4>().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
            11 => tensor.raw_data.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            other => bail!("{name} is of the type {other}"),
        });
    }
    let floats = find(node, name).map(|attribute| attribute.floats.as_slice()).unwrap_or_default();
    Ok(floats.iter().map(|&value| f64::from(value)).collect())
}

fn words<'a>(node: &'a NodeProto, name: &str) -> Vec<&'a [u8]> {
    find(node, name).map(|attribute| attribute.strings.iter().map(Vec::as_slice).collect()).unwrap_or_default()
}

fn read(node: &NodeProto) -> TractResult<Ensemble> {
    let word = |name: &str| find(node, name).map(|attribute| attribute.s.as_slice()).unwrap_or_default();
    ensure!(matches!(word("post_transform"), b"" | b"NONE"), "post_transform is not NONE");
    let is_mean = match word("aggregate_function") {
        b"" | b"SUM" => false,
        b"AVERAGE" => true,
        _ => bail!("aggregate_function is neither SUM nor AVERAGE"),
    };
    let n_outputs = find(node, "n_targets").map_or(1, |attribute| attribute.i);
    let n_outputs = usize::try_from(n_outputs).ok().filter(|n| (1..=65_536).contains(n)).context("n_targets")?;
    let (trees, own) = (ids(node, "nodes_treeids")?, ids(node, "nodes_nodeids")?);
    let (yes, no) = (ids(node, "nodes_truenodeids")?, ids(node, "nodes_falsenodeids")?);
    let features = ids(node, "nodes_featureids")?;
    let modes = words(node, "nodes_modes");
    let thresholds = numbers(node, "nodes_values")?;
    let missing = ids(node, "nodes_missing_value_tracks_true")?;
    let n_nodes = own.len();
    let lengths = [trees.len(), yes.len(), no.len(), features.len(), modes.len(), thresholds.len()];
    ensure!(n_nodes > 0 && lengths.iter().all(|&length| length == n_nodes), "its lists have different lengths");
    ensure!(missing.is_empty() || missing.len() == n_nodes, "its lists have different lengths");
    let mut place: HashMap<(usize, usize), usize> = HashMap::with_capacity(n_nodes);
    for (at, (&tree, &id)) in trees.iter().zip(&own).enumerate() {
        ensure!(place.insert((tree, id), at).is_none(), "the node {id} of tree {tree} is there twice");
    }
    let mut leaves_of: HashMap<usize, Vec<(usize, f64)>> = HashMap::new();
    let (leaf_trees, leaf_nodes) = (ids(node, "target_treeids")?, ids(node, "target_nodeids")?);
    let (outputs, values) = (ids(node, "target_ids")?, numbers(node, "target_weights")?);
    let n_values = values.len();
    ensure!([leaf_trees.len(), leaf_nodes.len(), outputs.len()] == [n_values; 3], "its leaves have different lengths");
    for (((tree, id), output), value) in leaf_trees.into_iter().zip(leaf_nodes).zip(outputs).zip(values) {
        let at = *place.get(&(tree, id)).context("a leaf value of no node")?;
        ensure!(output < n_outputs, "a leaf value of no output");
        leaves_of.entry(at).or_default().push((output, value));
    }
    let mut nodes = Vec::with_capacity(n_nodes);
    let mut leaves = Vec::with_capacity(n_values);
    let mut has_parent = vec![false; n_nodes];
    for at in 0..n_nodes {
        let mode = match modes[at] {
            b"LEAF" => {
                let from = leaves.len();
                leaves.extend(leaves_of.remove(&at).unwrap_or_default());
                nodes.push(Node::Leaf { from, to: leaves.len() });
                continue;
            }
            b"BRANCH_LEQ" => Mode::Leq,
            b"BRANCH_LT" => Mode::Lt,
            b"BRANCH_GTE" => Mode::Gte,
            b"BRANCH_GT" => Mode::Gt,
            b"BRANCH_EQ" => Mode::Eq,
            b"BRANCH_NEQ" => Mode::Neq,
            _ => bail!("an unknown mode of a node"),
        };
        let mut child = |id: usize| -> TractResult<usize> {
            let child = *place.get(&(trees[at], id)).context("a child that is no node")?;
            ensure!(!std::mem::replace(&mut has_parent[child], true), "a node with two parents");
            Ok(child)
        };
        let (yes, no) = (child(yes[at])?, child(no[at])?);
        let missing_is_yes = missing.get(at).is_some_and(|&way| way != 0);
        let (feature, threshold) = (features[at], thresholds[at]);
        nodes.push(Node::Split { mode, feature, threshold, missing_is_yes, yes, no });
    }
    // Every node has one parent at most, so a walk from a root meets no node twice.
    let mut roots = Vec::new();
    let mut seen = HashMap::new();
    for at in 0..n_nodes {
        if !has_parent[at] {
            ensure!(seen.insert(trees[at], at).is_none(), "tree {} has two roots", trees[at]);
            roots.push(at);
        }
    }
    let base = numbers(node, "base_values")?;
    ensure!(base.is_empty() || base.len() == n_outputs, "base_values do not go with n_targets");
    let n_features = features.iter().max().map_or(1, |feature| feature.saturating_add(1));
    let mut hasher = std::hash::DefaultHasher::new();
    format!("{:?}", node.attribute).hash(&mut hasher);
    let base = if base.is_empty() { vec![0.0; n_outputs] } else { base };
    Ok(Ensemble { roots, nodes, leaves, base, n_features, is_mean, key: hasher.finish() })
}

impl Ensemble {
    fn row(&self, row: &[f64], sums: &mut [f64]) {
        let n_trees = if self.is_mean { self.roots.len().max(1) as f64 } else { 1.0 };
        for &root in &self.roots {
            let mut at = root;
            while let Node::Split { mode, feature, threshold, missing_is_yes, yes, no } = self.nodes[at] {
                let value = row[feature];
                let is_yes = match mode {
                    Mode::Leq => value <= threshold,
                    Mode::Lt => value < threshold,
                    Mode::Gte => value >= threshold,
                    Mode::Gt => value > threshold,
                    Mode::Eq => value == threshold,
                    Mode::Neq => value != threshold,
                };
                at = if is_yes || (missing_is_yes && value.is_nan()) { yes } else { no };
            }
            if let Node::Leaf { from, to } = self.nodes[at] {
                for &(output, value) in &self.leaves[from..to] {
                    sums[output] += value / n_trees;
                }
            }
        }
        for (sum, base) in sums.iter_mut().zip(&self.base) {
            *sum += base;
        }
    }
}

impl Expansion for Ensemble {
    fn name(&self) -> StaticName {
        "TreeEnsembleRegressor".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, DatumType::F32)?;
        s.equals(&inputs[0].rank, 2)?;
        s.equals(&outputs[0].rank, 2)?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        s.equals(&outputs[0].shape[1], self.base.len().to_dim())?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Ensemble {
    fn name(&self) -> StaticName {
        "TreeEnsembleRegressor".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Ensemble {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let [n_rows, n_features] = *input.shape() else { bail!("the trees take rows of features") };
        ensure!(n_features >= self.n_features, "a tree asks for feature {} of {n_features}", self.n_features);
        let input = input.cast_to::<f64>()?;
        let values = input.try_as_plain_ram()?.as_slice::<f64>()?;
        let n_outputs = self.base.len();
        let mut sums = vec![0f64; n_rows * n_outputs];
        for (row, sums) in values.chunks_exact(n_features.max(1)).zip(sums.chunks_exact_mut(n_outputs)) {
            self.row(row, sums);
        }
        let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
        Ok(tvec!(Tensor::from_shape(&[n_rows, n_outputs], &sums)?.into_tvalue()))
    }
}

impl TypedOp for Ensemble {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs.first().and_then(|input| input.shape.first()).context("the trees take rows")?;
        Ok(tvec!(f32::fact(&[rows.clone(), self.base.len().to_dim()])))
    }

    as_op!();
}

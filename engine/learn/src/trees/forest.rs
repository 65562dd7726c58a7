//! The declarative form of boosted trees, and how rows fall through them.

use serde::{Deserialize, Serialize};

use crate::error::LearnError;
use crate::model::Predictions;
use crate::samples::Samples;

/// The newest version of the document that this program reads and the one that it writes.
pub const FOREST_VERSION: u32 = 1;

/// Bit of [`Tree::missing`]: a missing value goes left; without it, right.
pub const MISSING_GOES_LEFT: u8 = 1;
/// Bit of [`Tree::missing`]: zero counts as missing at this split.
pub const ZERO_IS_MISSING: u8 = 2;

/// Most outputs (trees in a round).
const MAX_OUTPUTS: u32 = 65_536;
/// Most splits or leaves in all trees together: indices must fit 31 bits, and a bigger file is a mistake or an attack.
const MAX_NODES: usize = 200_000_000;
/// Numbers this close to zero are zero (LightGBM's `kZeroThreshold`, a 32-bit constant there).
pub(crate) const ZERO: f64 = 1e-35_f32 as f64;
/// Rows that fall through one tree before the next tree is looked at, so that the tree stays in the cache.
const BLOCK_ROWS: usize = 64;

/// How sums of leaf values become predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The sum itself; one output.
    Identity,
    /// `1 / (1 + exp(-sum))` is the probability of the second of two classes; one output.
    Logistic,
    /// `exp(sum_k) / Σ exp(sum_j)`; one output for each class, at least two.
    Softmax,
}

/// One tree as parallel arrays: `n` splits and `n + 1` leaves.
///
/// A row starts at split 0 (at leaf 0 where there are no splits) and goes left if its value is at most the threshold.
/// In `left` and `right` a value `c >= 0` is a split, always one with a greater index than its parent; a value `c < 0`
/// is leaf `-1 - c`. So no tree has a cycle, whatever its document says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// For each split, which feature is asked.
    pub feature: Vec<u32>,
    /// For each split, the greatest value that goes left.
    pub threshold: Vec<f64>,
    /// For each split, where missing values go: [`MISSING_GOES_LEFT`] and [`ZERO_IS_MISSING`].
    pub missing: Vec<u8>,
    /// For each split, where it goes on to the left.
    pub left: Vec<i32>,
    /// For each split, where it goes on to the right.
    pub right: Vec<i32>,
    /// The values of the leaves.
    pub leaves: Vec<f64>,
}

/// Boosted trees, checked and ready to predict.
///
/// Tree `t` adds to output `t % n_outputs`. As JSON it is one object: `version`, `n_features`, `n_outputs`, `link`,
/// `base_scores` and `trees`; unknown members are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Forest {
    document: Document,
    compiled: Compiled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    n_features: u32,
    n_outputs: u32,
    link: Link,
    base_scores: Vec<f64>,
    trees: Vec<Tree>,
}

/// The same trees laid out for walking: all splits in one array, all leaves in another.
#[derive(Debug, Clone, PartialEq)]
struct Compiled {
    roots: Vec<i32>,
    splits: Vec<Split>,
    leaves: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Split {
    threshold: f64,
    feature: u32,
    /// Right, left: picked by index, because a branch that no processor can guess costs more than a read.
    children: [i32; 2],
    missing: u8,
}

impl TryFrom<Document> for Forest {
    type Error = LearnError;

    fn try_from(document: Document) -> Result<Self, LearnError> {
        if document.version != FOREST_VERSION {
            let (found, newest) = (document.version.into(), FOREST_VERSION.into());
            return Err(LearnError::Version { part: "model".to_owned(), found, newest });
        }
        let compiled = compile(&document).map_err(corrupt)?;
        Ok(Self { document, compiled })
    }
}

impl From<Forest> for Document {
    fn from(forest: Forest) -> Self {
        forest.document
    }
}

impl Forest {
    /// Puts trees together and checks them.
    ///
    /// # Errors
    /// [`LearnError::Corrupt`] naming the first tree that is not a tree: indices out of range, a child that does not
    /// come after its parent, a split or leaf that is reached twice or never, arrays of unequal length, or numbers that
    /// are not finite.
    pub fn new(n_features: u32, link: Link, base_scores: Vec<f64>, trees: Vec<Tree>) -> Result<Self, LearnError> {
        let n_outputs =
            u32::try_from(base_scores.len()).map_err(|_| corrupt("there are too many outputs".to_owned()))?;
        Self::try_from(Document { version: FOREST_VERSION, n_features, n_outputs, link, base_scores, trees })
    }

    /// Number of features of a row.
    pub fn n_features(&self) -> usize {
        self.document.n_features as usize
    }

    /// Number of classes that it tells apart; 0 where it predicts a number.
    pub fn n_classes(&self) -> usize {
        match self.document.link {
            Link::Identity => 0,
            Link::Logistic => 2,
            Link::Softmax => self.document.n_outputs as usize,
        }
    }

    /// How sums become predictions.
    pub fn link(&self) -> Link {
        self.document.link
    }

    /// The trees in the order in which they were grown.
    pub fn trees(&self) -> &[Tree] {
        &self.document.trees
    }

    /// What each output begins with.
    pub(crate) fn base_scores(&self) -> &[f64] {
        &self.document.base_scores
    }

    /// Number of leaf values: what a forest has in place of parameters.
    pub fn n_leaves(&self) -> usize {
        self.compiled.leaves.len()
    }

    /// Predicts rows: probabilities `[n_rows, n_classes]` for classes, values `[n_rows]` for a number. A missing value
    /// is NaN.
    ///
    /// # Errors
    /// [`LearnError::FeatureCount`] if the rows do not have as many features as the trees were grown with.
    pub fn predict(&self, samples: &Samples) -> Result<Predictions, LearnError> {
        let sums = self.sums(samples)?;
        let n_rows = samples.n_rows;
        Ok(match self.document.link {
            Link::Identity => Predictions { n_rows, probabilities: Vec::new(), values: sums },
            Link::Logistic => {
                let probabilities = sums.iter().flat_map(|&sum| {
                    let second = 1.0 / (1.0 + (-sum).exp());
                    [(1.0 - second) as f32, second as f32]
                });
                Predictions { n_rows, probabilities: probabilities.collect(), values: Vec::new() }
            }
            Link::Softmax => {
                let mut probabilities = Vec::with_capacity(sums.len());
                for row in sums.chunks_exact(self.document.base_scores.len()) {
                    let greatest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let total: f64 = row.iter().map(|sum| (sum - greatest).exp()).sum();
                    probabilities.extend(row.iter().map(|sum| ((sum - greatest).exp() / total) as f32));
                }
                Predictions { n_rows, probabilities, values: Vec::new() }
            }
        })
    }

    /// Base score plus leaf values, `[n_rows, n_outputs]`, before the link.
    pub(crate) fn sums(&self, samples: &Samples) -> Result<Vec<f64>, LearnError> {
        let n_features = self.n_features();
        if samples.n_features != n_features || samples.features.len() != samples.n_rows.saturating_mul(n_features) {
            return Err(LearnError::FeatureCount { expected: n_features, found: samples.n_features });
        }
        let base = &self.document.base_scores;
        let n_outputs = base.len();
        let mut sums = base.repeat(samples.n_rows);
        let blocks =
            samples.features.chunks(BLOCK_ROWS * n_features.max(1)).zip(sums.chunks_mut(BLOCK_ROWS * n_outputs));
        for (rows, sums) in blocks {
            for (tree, &root) in self.compiled.roots.iter().enumerate() {
                let output = tree % n_outputs;
                for (row, sums) in rows.chunks_exact(n_features).zip(sums.chunks_exact_mut(n_outputs)) {
                    sums[output] += self.compiled.leaf(root, row);
                }
            }
        }
        Ok(sums)
    }
}

impl Compiled {
    /// The leaf value that a row falls to. Indices were checked when the forest was made: features against
    /// `n_features`, children against the arrays, so that no index here is out of range.
    #[inline]
    fn leaf(&self, root: i32, row: &[f32]) -> f64 {
        let mut at = root;
        while at >= 0 {
            let split = &self.splits[at as usize];
            let value = f64::from(row[split.feature as usize]);
            let missing = value.is_nan() || (split.missing & ZERO_IS_MISSING != 0 && value.abs() <= ZERO);
            let left = if missing { split.missing & MISSING_GOES_LEFT != 0 } else { value <= split.threshold };
            at = split.children[usize::from(left)];
        }
        self.leaves[(-1 - at) as usize]
    }
}

fn corrupt(message: String) -> LearnError {
    LearnError::Corrupt { part: "model".to_owned(), message }
}

fn compile(document: &Document) -> Result<Compiled, String> {
    let n_outputs = document.n_outputs;
    if document.n_features == 0 {
        return Err("the trees have no features".to_owned());
    }
    let outputs_fit = match document.link {
        Link::Identity | Link::Logistic => n_outputs == 1,
        Link::Softmax => (2..=MAX_OUTPUTS).contains(&n_outputs),
    };
    if !outputs_fit {
        return Err(format!("{n_outputs} outputs do not go with the link {:?}", document.link));
    }
    if document.base_scores.len() != n_outputs as usize || !document.base_scores.iter().all(|score| score.is_finite()) {
        return Err(format!("there must be {n_outputs} finite base scores"));
    }
    if !document.trees.len().is_multiple_of(n_outputs as usize) {
        return Err(format!("{} trees are not whole rounds of {n_outputs}", document.trees.len()));
    }
    let n_leaves = document.trees.iter().fold(0_usize, |sum, tree| sum.saturating_add(tree.leaves.len()));
    if n_leaves > MAX_NODES {
        return Err(format!("{n_leaves} leaves are more than {MAX_NODES}"));
    }
    let mut compiled = Compiled {
        roots: Vec::with_capacity(document.trees.len()),
        splits: Vec::new(),
        leaves: Vec::with_capacity(n_leaves),
    };
    for (index, tree) in document.trees.iter().enumerate() {
        append(&mut compiled, tree, document.n_features).map_err(|reason| format!("tree {index}: {reason}"))?;
    }
    Ok(compiled)
}

/// Checks a tree and appends it.
fn append(compiled: &mut Compiled, tree: &Tree, n_features: u32) -> Result<(), String> {
    let n_splits = tree.feature.len();
    let lengths = [tree.threshold.len(), tree.missing.len(), tree.left.len(), tree.right.len()];
    if lengths.iter().any(|&length| length != n_splits) || tree.leaves.len() != n_splits + 1 {
        return Err("its arrays do not have one entry for each split and one leaf more".to_owned());
    }
    if !tree.threshold.iter().chain(&tree.leaves).all(|value| value.is_finite()) {
        return Err("it holds a number that is not finite".to_owned());
    }
    // Both fit: all leaves together were counted against `MAX_NODES`, and there are fewer splits than leaves.
    let (first_split, first_leaf) = (compiled.splits.len() as i32, compiled.leaves.len() as i32);
    let mut split_reached = vec![false; n_splits];
    let mut leaf_reached = vec![false; n_splits + 1];
    for at in 0..n_splits {
        if tree.feature[at] >= n_features {
            return Err(format!("split {at} asks for feature {} of {n_features}", tree.feature[at]));
        }
        if tree.missing[at] & !(MISSING_GOES_LEFT | ZERO_IS_MISSING) != 0 {
            return Err(format!("split {at} has an unknown way to treat missing values"));
        }
        let mut child = |child: i32| {
            let (reached, own, global) = if child >= 0 {
                if child as usize <= at {
                    return Err(format!("split {at} leads back to split {child}"));
                }
                (&mut split_reached, child as usize, child.checked_add(first_split))
            } else {
                let leaf = -1 - child;
                (&mut leaf_reached, leaf as usize, first_leaf.checked_add(leaf).map(|leaf| -1 - leaf))
            };
            match (reached.get_mut(own), global) {
                (Some(seen), Some(global)) if !*seen => {
                    *seen = true;
                    Ok(global)
                }
                (Some(_), Some(_)) => Err(format!("split {at} leads to {child}, which has a parent already")),
                _ => Err(format!("split {at} leads to {child}, which does not exist")),
            }
        };
        let (left, right) = (child(tree.left[at])?, child(tree.right[at])?);
        let (threshold, feature, missing) = (tree.threshold[at], tree.feature[at], tree.missing[at]);
        compiled.splits.push(Split { threshold, feature, children: [right, left], missing });
    }
    // 2n children, each reached once and none of them split 0, are exactly the n - 1 other splits and n + 1 leaves: with
    // every child different, everything is reached.
    compiled.roots.push(if n_splits == 0 { -1 - first_leaf } else { first_split });
    compiled.leaves.extend_from_slice(&tree.leaves);
    Ok(())
}

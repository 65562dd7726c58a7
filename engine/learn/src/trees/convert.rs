//! LightGBM's model text to our own trees.
//!
//! The text is what `LGBM_BoosterSaveModelToString` of LightGBM 4 gives right after training in this process; it is
//! never read from a file. Everything that is not plain boosting with numerical splits is refused: a member that we do
//! not know could change what the trees mean. The layout is that of `gbdt_model_text.cpp` and `Tree::ToString`, the
//! meaning of `decision_type` that of `Tree::NumericalDecision` in `tree.h`.

use std::collections::BTreeMap;

use super::forest::{MISSING_GOES_LEFT, Tree, ZERO_IS_MISSING};

/// What LightGBM's text says.
#[derive(Debug, PartialEq)]
pub(super) struct BoosterText {
    pub(super) n_features: u32,
    pub(super) n_outputs: u32,
    /// The objective with its parameters, for example `binary sigmoid:1`.
    pub(super) objective: String,
    pub(super) trees: Vec<Tree>,
}

const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

const HEADER_KEYS: [&str; 9] = [
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
];
const TREE_KEYS: [&str; 16] = [
    "Tree",
    "num_leaves",
    "num_cat",
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "is_linear",
];

/// Reads the text. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<BoosterText, String> {
    let (model, _importance_and_parameters) =
        text.split_once("end of trees\n").ok_or("the text has no end of trees".to_owned())?;
    let mut sections =
        model.split("\n\n").map(|section| section.trim_matches('\n')).filter(|section| !section.is_empty());
    let header = sections.next().ok_or("the text is empty".to_owned())?;
    let header = header.strip_prefix("tree\n").ok_or("the model is not made of trees".to_owned())?;
    let header = members(header, &HEADER_KEYS, &[]).map_err(|reason| format!("header: {reason}"))?;
    let version = get(&header, "version")?;
    if version != "v4" {
        return Err(format!("the version of the text is {version:?} where \"v4\" was expected"));
    }
    let n_features =
        number::<u32>(get(&header, "max_feature_idx")?)?.checked_add(1).ok_or("too many features".to_owned())?;
    let n_outputs = number(get(&header, "num_tree_per_iteration")?)?;
    let objective = get(&header, "objective")?.to_owned();
    let n_expected = get(&header, "tree_sizes")?.split_ascii_whitespace().count();
    let trees: Vec<Tree> = sections
        .enumerate()
        .map(|(index, section)| tree(index, section).map_err(|reason| format!("tree {index}: {reason}")))
        .collect::<Result<_, _>>()?;
    if trees.len() != n_expected {
        return Err(format!("the text holds {} trees where it announces {n_expected}", trees.len()));
    }
    Ok(BoosterText { n_features, n_outputs, objective, trees })
}

fn tree(index: usize, section: &str) -> Result<Tree, String> {
    // `shrinkage` is already in the leaf values.
    let members = members(section, &TREE_KEYS, &["shrinkage"])?;
    if number::<usize>(get(&members, "Tree")?)? != index {
        return Err("it has another number".to_owned());
    }
    if get(&members, "num_cat")? != "0" {
        return Err("it has categorical splits".to_owned());
    }
    if get(&members, "is_linear")? != "0" {
        return Err("it has linear models in its leaves".to_owned());
    }
    let n_leaves: usize = number(get(&members, "num_leaves")?)?;
    let n_splits = n_leaves.checked_sub(1).ok_or("it has no leaves".to_owned())?;
    let threshold: Vec<f64> = list::<f64>(&members, "threshold", n_splits)?.into_iter().map(finite).collect();
    let decisions: Vec<u8> = list(&members, "decision_type", n_splits)?;
    let missing = decisions.iter().zip(&threshold).map(|(&decision, &threshold)| missing(decision, threshold));
    Ok(Tree {
        feature: list(&members, "split_feature", n_splits)?,
        missing: missing.collect::<Result<_, _>>()?,
        // Children are written as we write them: splits as they are, leaf `l` as `-1 - l`.
        left: list(&members, "left_child", n_splits)?,
        right: list(&members, "right_child", n_splits)?,
        leaves: list(&members, "leaf_value", n_leaves)?,
        threshold,
    })
}

/// LightGBM's `decision_type`: bit 0 categorical, bit 1 the default goes left, bits 2 and 3 what is missing: 0 nothing
/// (NaN is then taken as zero), 1 zero and NaN, 2 NaN.
fn missing(decision: u8, threshold: f64) -> Result<u8, String> {
    if decision & CATEGORICAL != 0 {
        return Err("it has a categorical split".to_owned());
    }
    let default = if decision & DEFAULT_LEFT != 0 { MISSING_GOES_LEFT } else { 0 };
    match decision >> 2 {
        0 if 0.0 <= threshold => Ok(MISSING_GOES_LEFT),
        0 => Ok(0),
        1 => Ok(default | ZERO_IS_MISSING),
        2 => Ok(default),
        _ => Err(format!("its decision type {decision} is unknown")),
    }
}

/// The threshold between all numbers and NaN is infinite; every finite number is on the same side of the greatest one.
fn finite(threshold: f64) -> f64 {
    if threshold.is_nan() { threshold } else { threshold.clamp(f64::MIN, f64::MAX) }
}

type Members<'a> = BTreeMap<&'a str, &'a str>;

/// `key=value` lines, each known key once, all `needed` ones there.
fn members<'a>(section: &'a str, needed: &[&str], allowed: &[&str]) -> Result<Members<'a>, String> {
    let mut members = Members::new();
    for line in section.lines() {
        let (key, value) = line.split_once('=').ok_or_else(|| format!("the line {:?} is unknown", short(line)))?;
        if !needed.contains(&key) && !allowed.contains(&key) {
            return Err(format!("the member {:?} is unknown", short(key)));
        }
        if members.insert(key, value).is_some() {
            return Err(format!("the member {key:?} is there twice"));
        }
    }
    match needed.iter().find(|&&key| !members.contains_key(key)) {
        Some(key) => Err(format!("the member {key:?} is missing")),
        None => Ok(members),
    }
}

fn get<'a>(members: &Members<'a>, key: &str) -> Result<&'a str, String> {
    members.get(key).copied().ok_or_else(|| format!("the member {key:?} is missing"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{:?} is not a number that fits", short(text)))
}

fn list<T: std::str::FromStr>(members: &Members<'_>, key: &str, length: usize) -> Result<Vec<T>, String> {
    let values: Vec<T> = get(members, key)?.split_ascii_whitespace().map(number).collect::<Result<_, _>>()?;
    if values.len() == length {
        Ok(values)
    } else {
        Err(format!("{key} has {} values where {length} were expected", values.len()))
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
        objective=binary sigmoid:1\nfeature_names=a b\nfeature_infos=[0:1] none\ntree_sizes=10\n\n";
    const TREE: &str = "Tree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\nsplit_gain=3 2\nthreshold=0.5 inf\n\
        decision_type=2 8\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=0.1 -0.2 0.3\nleaf_weight=1 1 1\n\
        leaf_count=1 1 1\ninternal_value=0 0\ninternal_weight=1 1\ninternal_count=3 2\nis_linear=0\nshrinkage=0.1\n\n\n";

    fn check(change: (&str, &str), expect: Result<(), &str>) {
        let text = format!("{HEADER}{TREE}end of trees\n\nfeature_importances:\n").replace(change.0, change.1);
        assert_eq!(parse(&text).map(|_| ()), expect.map_err(str::to_owned), "after {change:?}");
    }

    #[test]
    fn one_tree_comes_out_as_it_is() {
        let text = format!("{HEADER}{TREE}end of trees\n");
        let parsed = parse(&text).expect("a good text");
        let tree = Tree {
            feature: vec![0, 1],
            threshold: vec![0.5, f64::MAX],
            missing: vec![MISSING_GOES_LEFT, 0],
            left: vec![1, -1],
            right: vec![-2, -3],
            leaves: vec![0.1, -0.2, 0.3],
        };
        let objective = "binary sigmoid:1".to_owned();
        assert_eq!(parsed, BoosterText { n_features: 2, n_outputs: 1, objective, trees: vec![tree] });
    }

    #[test]
    fn a_tree_without_splits_has_one_leaf() {
        let constant = "Tree=0\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\n\
            left_child=\nright_child=\nleaf_value=0.25\nleaf_weight=\nleaf_count=\ninternal_value=\ninternal_weight=\n\
            internal_count=\nis_linear=0\nshrinkage=1\n\n\n";
        let parsed = parse(&format!("{HEADER}{constant}end of trees\n")).expect("a good text");
        assert_eq!(parsed.trees, [Tree { leaves: vec![0.25], ..Tree::default() }]);
    }

    #[test]
    fn missing_values_go_where_lightgbm_sends_them() {
        for (decision, threshold, expect) in [
            (0, 0.5, Ok(MISSING_GOES_LEFT)), // NaN is zero, and zero is below the threshold
            (2, -0.5, Ok(0)),                // the default direction has no say where nothing is missing
            (4, 0.5, Ok(ZERO_IS_MISSING)),
            (6, 0.5, Ok(ZERO_IS_MISSING | MISSING_GOES_LEFT)),
            (8, 0.5, Ok(0)),
            (10, -0.5, Ok(MISSING_GOES_LEFT)),
            (1, 0.5, Err("it has a categorical split")),
            (12, 0.5, Err("its decision type 12 is unknown")),
        ] {
            assert_eq!(
                missing(decision, threshold),
                expect.map_err(str::to_owned),
                "decision {decision} at {threshold}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        check(("", ""), Ok(()));
        check(("end of trees", "end"), Err("the text has no end of trees"));
        check(("version=v4", "version=v5"), Err("the version of the text is \"v5\" where \"v4\" was expected"));
        check(("label_index=0", "average_output"), Err("header: the line \"average_output\" is unknown"));
        check(("label_index=0\n", ""), Err("header: the member \"label_index\" is missing"));
        check(("label_index=0", "num_class=1"), Err("header: the member \"num_class\" is there twice"));
        check(
            ("label_index=0", "monotone_constraints=1 0"),
            Err("header: the member \"monotone_constraints\" is unknown"),
        );
        check(("tree_sizes=10", "tree_sizes=10 10"), Err("the text holds 1 trees where it announces 2"));
        check(("num_cat=0", "num_cat=1"), Err("tree 0: it has categorical splits"));
        check(("is_linear=0", "is_linear=1"), Err("tree 0: it has linear models in its leaves"));
        check(("left_child=1 -1", "left_child=1"), Err("tree 0: left_child has 1 values where 2 were expected"));
        check(("split_feature=0 1", "split_feature=0 -1"), Err("tree 0: \"-1\" is not a number that fits"));
        check(("num_leaves=3", "num_leaves=0"), Err("tree 0: it has no leaves"));
        check(("Tree=0", "Tree=1"), Err("tree 0: it has another number"));
        check(("shrinkage=0.1", "leaf_const=1"), Err("tree 0: the member \"leaf_const\" is unknown"));
    }
}

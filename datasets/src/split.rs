//! Splits: which row goes to training, validation and test.
//!
//! Shuffling is done here, over ChaCha8 with a written-out way of drawing numbers, so that neither the thread count nor
//! a version of Polars or of the random number crate can move a row.

use std::sync::Arc;

use athanor_protocol::{columns::ColumnData, recipe::SplitSpec};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::error::DatasetError;

/// A generator for one purpose: the same seed gives unrelated numbers for different purposes.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("athanor datasets random numbers v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A number below `n`, all equally likely: draws that would favour small numbers are thrown away.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let limit = u64::MAX - u64::MAX % n.max(1);
    loop {
        let draw = rng.next_u64();
        if draw < limit {
            return draw % n.max(1);
        }
    }
}

/// Shuffles by Fisher and Yates, from the end.
fn shuffle(rng: &mut ChaCha8Rng, rows: &mut [u32]) {
    for i in (1..rows.len()).rev() {
        // Below i + 1, so it fits.
        let j = below(rng, i as u64 + 1) as usize;
        rows.swap(i, j);
    }
}

/// `n_kept` of `n_rows` rows at random, in their order.
pub(crate) fn sample(n_rows: u32, n_kept: u32, seed: u64) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n_rows).collect();
    shuffle(&mut generator(seed, "sample"), &mut rows);
    rows.truncate(n_kept as usize);
    rows.sort_unstable();
    rows
}

/// Row numbers of each part, rising.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    pub(crate) train: Vec<u32>,
    pub(crate) valid: Vec<u32>,
    pub(crate) test: Vec<u32>,
}

/// The column by which a split is stratified.
pub(crate) fn stratify_column(spec: &SplitSpec) -> Option<&str> {
    match spec {
        SplitSpec::Random { stratify, .. } | SplitSpec::KFold { stratify, .. } => stratify.as_deref(),
    }
}

/// Checks everything that needs no rows.
pub(crate) fn check(spec: &SplitSpec) -> Result<(), DatasetError> {
    let share = |what: &str, value: f64| {
        if (0.0..1.0).contains(&value) {
            return Ok(());
        }
        Err(DatasetError::invalid_because(format!("the {what} share is {value}"), "choose a share from 0 to below 1"))
    };
    match *spec {
        SplitSpec::Random { valid, test, .. } => {
            share("validation", valid)?;
            share("test", test)?;
            if valid + test >= 1.0 {
                let reason =
                    format!("a validation share of {valid} and a test share of {test} leave no rows to train on");
                return Err(DatasetError::invalid_because(reason, "make them smaller"));
            }
        }
        SplitSpec::KFold { n_folds, fold, valid, .. } => {
            share("validation", valid)?;
            if n_folds < 2 {
                return Err(DatasetError::invalid(format!("{n_folds} folds can't be made; at least 2 are needed")));
            }
            if fold >= n_folds {
                let reason = format!("fold {fold} is not one of {n_folds} folds, which are counted from 0");
                return Err(DatasetError::invalid(reason));
            }
        }
    }
    Ok(())
}

/// Divides `n_rows` rows.
///
/// Each stratum (rows of one label; missing is a label) is shuffled and cut by itself, so that counts are exact: quotas
/// are rounded by largest remainder, ties in the order train, valid, test. A stratum of one row goes to training.
/// Strata come in the order of their first row.
pub(crate) fn split(n_rows: u32, labels: Option<&ColumnData>, spec: &SplitSpec) -> Result<Parts, DatasetError> {
    check(spec)?;
    if n_rows == 0 {
        let hint = "check the filters before the split";
        return Err(DatasetError::invalid_because("there are no rows to split", hint));
    }
    let mut parts = Parts::default();
    match *spec {
        SplitSpec::Random { valid, test, seed, .. } => {
            let mut rng = generator(seed, "split");
            for mut rows in strata(0..n_rows, labels) {
                shuffle(&mut rng, &mut rows);
                let n = if rows.len() == 1 { [1, 0, 0] } else { counts(rows.len(), [1.0 - valid - test, valid, test]) };
                parts.test.extend(&rows[..n[2]]);
                parts.valid.extend(&rows[n[2]..n[2] + n[1]]);
                parts.train.extend(&rows[n[2] + n[1]..]);
            }
        }
        SplitSpec::KFold { n_folds, fold, valid, seed, .. } => {
            if n_folds > n_rows {
                let reason = format!("{n_folds} folds can't be made of {n_rows} rows");
                return Err(DatasetError::invalid_because(reason, "choose fewer folds"));
            }
            // Rows are dealt like cards, and the next stratum goes on where the last one ended, so that folds are of
            // one size overall and each stratum is spread evenly.
            let mut rng = generator(seed, "folds");
            let mut next = 0;
            let mut rest = Vec::new();
            for mut rows in strata(0..n_rows, labels) {
                shuffle(&mut rng, &mut rows);
                for row in rows {
                    if next == fold {
                        parts.test.push(row)
                    } else {
                        rest.push(row)
                    }
                    next = (next + 1) % n_folds;
                }
            }
            rest.sort_unstable();
            let mut rng = generator(seed, "folds valid");
            for mut rows in strata(rest.into_iter(), labels) {
                shuffle(&mut rng, &mut rows);
                let n = if rows.len() == 1 { [1, 0, 0] } else { counts(rows.len(), [1.0 - valid, valid, 0.0]) };
                parts.valid.extend(&rows[..n[1]]);
                parts.train.extend(&rows[n[1]..]);
            }
        }
    }
    if parts.train.is_empty() {
        let reason = format!("the split of {n_rows} rows leaves none to train on");
        return Err(DatasetError::invalid_because(reason, "make the validation and test shares smaller"));
    }
    for rows in [&mut parts.train, &mut parts.valid, &mut parts.test] {
        rows.sort_unstable();
    }
    Ok(parts)
}

/// Rows by label, in the order of each label's first row.
fn strata(rows: impl Iterator<Item = u32>, labels: Option<&ColumnData>) -> Vec<Vec<u32>> {
    let Some(labels) = labels else { return vec![rows.collect()] };
    let mut found: std::collections::HashMap<Option<Arc<str>>, usize> = std::collections::HashMap::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for row in rows {
        let at = *found.entry(labels.label(row as usize)).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(row);
    }
    groups
}

/// Whole numbers that add up to `n` and are as close to the shares as can be: the largest remainders are rounded up.
fn counts(n: usize, shares: [f64; 3]) -> [usize; 3] {
    let quotas = shares.map(|share| share.max(0.0) * n as f64);
    // A share that is meant to be 0.7 * 10 = 7 may come out a rounding error lower.
    let mut counts = quotas.map(|quota| (quota + 1e-9).floor() as usize);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| {
        let (a, b) = (quotas[a] - counts[a] as f64, quotas[b] - counts[b] as f64);
        if (a - b).abs() < 1e-9 { std::cmp::Ordering::Equal } else { b.total_cmp(&a) }
    });
    let mut left = n.saturating_sub(counts.iter().sum());
    for part in order.into_iter().cycle().take(3) {
        if left > 0 && shares[part] > 0.0 {
            counts[part] += 1;
            left -= 1;
        }
    }
    counts[0] += left;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(valid: f64, test: f64, seed: u64) -> SplitSpec {
        SplitSpec::Random { valid, test, stratify: None, seed }
    }

    #[test]
    fn counts_are_rounded_by_largest_remainder() {
        fn check(n: usize, shares: [f64; 3], expect: [usize; 3]) {
            assert_eq!(counts(n, shares), expect, "{n} {shares:?}");
        }
        check(10, [0.7, 0.1, 0.2], [7, 1, 2]);
        check(569, [0.6, 0.2, 0.2], [341, 114, 114]);
        check(5, [0.8, 0.1, 0.1], [4, 1, 0]);
        check(2, [0.5, 0.25, 0.25], [1, 1, 0]);
        check(3, [1.0, 0.0, 0.0], [3, 0, 0]);
    }

    #[test]
    fn parts_are_disjoint_complete_ordered_and_seeded() {
        let parts = split(100, None, &random(0.2, 0.1, 7)).unwrap();
        assert_eq!((parts.train.len(), parts.valid.len(), parts.test.len()), (70, 20, 10));
        let mut all: Vec<u32> = [&parts.train[..], &parts.valid, &parts.test].concat();
        assert!(parts.train.is_sorted() && parts.valid.is_sorted() && parts.test.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split(100, None, &random(0.2, 0.1, 7)).unwrap(), parts);
        assert_ne!(split(100, None, &random(0.2, 0.1, 8)).unwrap(), parts);
    }

    /// Pins the division itself: if this changes, every recorded run's rows change with it.
    #[test]
    fn the_division_of_ten_rows_never_changes() {
        let parts = split(10, None, &random(0.2, 0.3, 1)).unwrap();
        insta::assert_compact_debug_snapshot!((parts.test, parts.valid), @"([0, 3, 4], [2, 9])");
    }

    #[test]
    fn strata_keep_their_shares() {
        let labels = ColumnData::Int((0..200).map(|row| Some(i64::from(row % 10 == 0))).collect());
        let spec = SplitSpec::Random { valid: 0.25, test: 0.25, stratify: Some("y".into()), seed: 3 };
        let parts = split(200, Some(&labels), &spec).unwrap();
        let ones = |rows: &[u32]| rows.iter().filter(|row| *row % 10 == 0).count();
        assert_eq!((ones(&parts.train), ones(&parts.valid), ones(&parts.test)), (10, 5, 5));
    }

    #[test]
    fn a_class_of_one_row_goes_to_training() {
        let labels =
            ColumnData::Text((0..10).map(|row| Some(if row == 4 { "rare" } else { "usual" }.into())).collect());
        for seed in 0..50 {
            let spec = SplitSpec::Random { valid: 0.3, test: 0.3, stratify: Some("y".into()), seed };
            assert!(split(10, Some(&labels), &spec).unwrap().train.contains(&4));
        }
    }

    #[test]
    fn folds_are_a_partition_of_even_sizes() {
        let labels = ColumnData::Int((0..103).map(|row| Some(row % 3)).collect());
        let mut seen = vec![0; 103];
        for fold in 0..5 {
            let spec = SplitSpec::KFold { n_folds: 5, fold, valid: 0.25, stratify: Some("y".into()), seed: 9 };
            let parts = split(103, Some(&labels), &spec).unwrap();
            assert!((20..=21).contains(&parts.test.len()));
            assert!((19..=22).contains(&parts.valid.len()));
            assert_eq!(parts.train.len() + parts.valid.len() + parts.test.len(), 103);
            parts.test.iter().for_each(|&row| seen[row as usize] += 1);
            for class in 0..3 {
                let n = parts.test.iter().filter(|row| *row % 3 == class).count();
                assert!((6..=7).contains(&n), "{n}");
            }
        }
        assert!(seen.iter().all(|&n| n == 1));
    }

    #[test]
    fn impossible_splits_are_refused() {
        fn check(n: u32, spec: SplitSpec, expect: &str) {
            assert_eq!(split(n, None, &spec).unwrap_err().to_string(), expect);
        }
        let folds = |n_folds, fold| SplitSpec::KFold { n_folds, fold, valid: 0.0, stratify: None, seed: 0 };
        check(0, random(0.1, 0.1, 0), "there are no rows to split");
        check(9, random(0.5, 0.5, 0), "a validation share of 0.5 and a test share of 0.5 leave no rows to train on");
        check(9, random(f64::NAN, 0.1, 0), "the validation share is NaN");
        check(9, random(-0.1, 0.1, 0), "the validation share is -0.1");
        check(3, folds(4, 0), "4 folds can't be made of 3 rows");
        check(3, folds(1, 0), "1 folds can't be made; at least 2 are needed");
        check(3, folds(2, 2), "fold 2 is not one of 2 folds, which are counted from 0");
    }
}

//! How sure a figure is, and whether two models differ on the same rows.
//!
//! Intervals are percentiles of bootstrap resamples (Efron, "Bootstrap methods", 1979): rows are drawn with repetition,
//! for classes within each true class, so that every resample has as many rows of each. For two models the same rows are
//! drawn for both, which is what makes small differences visible. A seed makes them repeatable.

use super::scorer::Scorer;
use crate::{LearnError, rng::Rng};

#[cfg(test)]
#[path = "paired_tests.rs"]
mod tests;

/// Resamples of a bootstrap.
pub const N_RESAMPLES: u32 = 2_000;
/// Most rows that are resampled: 2,000 resamples of them take seconds.
pub const MAX_ROWS: usize = 100_000;
/// The quantile of the normal distribution at 97.5 %.
const Z: f64 = 1.959_963_984_540_054;
/// With fewer rows on which two classifiers differ, McNemar's test is exact.
const MCNEMAR_EXACT_BELOW: u64 = 25;
/// With fewer differences, the sign test stands in for Wilcoxon's.
const WILCOXON_FROM: usize = 10;

/// A figure with its 95 % interval; `None` where it is not defined on most resamples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The value on all rows; NaN where it is not defined.
    pub value: f64,
    /// The interval.
    pub interval: Option<[f64; 2]>,
}

/// A metric of two models on the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Of the first.
    pub first: f64,
    /// Of the second.
    pub second: f64,
    /// Second minus first, with its interval.
    pub difference: Interval,
}

/// A test and what it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// Which: `mcnemar_exact`, `mcnemar`, `wilcoxon`, `sign`.
    pub name: &'static str,
    /// How many rows speak for the first and for the second.
    pub counts: [u64; 2],
    /// Two-sided.
    pub p_value: f64,
}

/// The metrics of a model in the order of [`Scorer::keys`], with intervals. `None` where `go_on` said no.
pub fn bootstrap(
    scorer: &Scorer,
    seed: u64,
    n_resamples: u32,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<Vec<Interval>> {
    let values = scorer.score(&vec![1; scorer.n_rows()]);
    let mut drawn: Vec<Vec<f64>> = vec![vec![]; values.len()];
    let mut draw = Draw::new(scorer, seed);
    for _ in 0..n_resamples {
        if !go_on() {
            return None;
        }
        let scores = scorer.score(draw.next());
        drawn.iter_mut().zip(scores).for_each(|(drawn, score)| drawn.push(score));
    }
    let intervals = drawn.into_iter().map(percentiles);
    Some(values.into_iter().zip(intervals).map(|(value, interval)| Interval { value, interval }).collect())
}

/// The metrics of two models on the same rows, with intervals of the differences. `None` where `go_on` said no.
///
/// # Errors
/// If the rows are not the same.
pub fn paired_bootstrap(
    first: &Scorer,
    second: &Scorer,
    seed: u64,
    n_resamples: u32,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<Paired>>, LearnError> {
    if first.n_rows() != second.n_rows() || first.keys() != second.keys() {
        return Err(LearnError::Internal("two models on other rows cannot be compared".to_owned()));
    }
    let ones = vec![1; first.n_rows()];
    let (of_first, of_second) = (first.score(&ones), second.score(&ones));
    let mut drawn: Vec<Vec<f64>> = vec![vec![]; of_first.len()];
    let mut draw = Draw::new(first, seed);
    for _ in 0..n_resamples {
        if !go_on() {
            return Ok(None);
        }
        let weights = draw.next();
        let scores = first.score(weights).into_iter().zip(second.score(weights));
        drawn.iter_mut().zip(scores).for_each(|(drawn, (first, second))| drawn.push(second - first));
    }
    let pairs = of_first.into_iter().zip(of_second).zip(drawn.into_iter().map(percentiles));
    let paired = |((first, second), interval)| Paired {
        first,
        second,
        difference: Interval { value: second - first, interval },
    };
    Ok(Some(pairs.map(paired).collect()))
}

/// Draws rows within their strata.
struct Draw {
    rng: Rng,
    strata: Vec<Vec<u32>>,
    weights: Vec<u32>,
}

impl Draw {
    fn new(scorer: &Scorer, seed: u64) -> Self {
        Self { rng: Rng::new(&[seed, 0xb007]), strata: scorer.strata(), weights: vec![0; scorer.n_rows()] }
    }

    /// How often each row was drawn.
    fn next(&mut self) -> &[u32] {
        self.weights.fill(0);
        for stratum in &self.strata {
            for _ in 0..stratum.len() {
                let row = stratum[self.rng.below(stratum.len())];
                self.weights[row as usize] += 1;
            }
        }
        &self.weights
    }
}

/// The 2.5th and 97.5th percentile, between values by a straight line as NumPy does by default.
fn percentiles(mut values: Vec<f64>) -> Option<[f64; 2]> {
    let n_all = values.len();
    values.retain(|value| value.is_finite());
    if values.is_empty() || values.len() * 2 < n_all {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let (low, part) = (place.floor() as usize, place.fract());
        let (a, b) = (values[low], values[(low + 1).min(values.len() - 1)]);
        a + (b - a) * part
    };
    Some([at(0.025), at(0.975)])
}

/// Wilson's score interval of a share at 95 % (Wilson, 1927). All of [0, 1] where there are no rows.
pub fn wilson(n_hits: u64, n_rows: u64) -> [f64; 2] {
    if n_rows == 0 {
        return [0.0, 1.0];
    }
    let (n, share) = (n_rows as f64, n_hits.min(n_rows) as f64 / n_rows as f64);
    let scale = 1.0 + Z * Z / n;
    let center = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(center - half).max(0.0), (center + half).min(1.0)]
}

/// McNemar's test (1947) on the rows that only one of two classifiers tells right: exact below 25 of them, else the
/// chi-squared approximation with the correction for continuity.
pub fn mcnemar(only_first: u64, only_second: u64) -> Tested {
    let counts = [only_first, only_second];
    let n = only_first + only_second;
    if n < MCNEMAR_EXACT_BELOW {
        return Tested { name: "mcnemar_exact", counts, p_value: binomial(only_first.min(only_second), n) };
    }
    let distance = only_first.abs_diff(only_second).saturating_sub(1) as f64;
    let statistic = distance * distance / n as f64;
    Tested { name: "mcnemar", counts, p_value: erfc((statistic / 2.0).sqrt()) }
}

/// Whether one of two models is nearer to the truth: Wilcoxon's signed-rank test (1945) on the differences of the
/// absolute errors, first minus second, by the normal approximation with ties taken into account; with fewer than ten
/// differences the sign test.
pub fn nearer(differences: &[f64]) -> Tested {
    let mut sizes: Vec<(f64, bool)> =
        differences.iter().filter(|d| **d != 0.0 && !d.is_nan()).map(|d| (d.abs(), *d > 0.0)).collect();
    let n = sizes.len();
    let for_second = sizes.iter().filter(|(_, positive)| *positive).count() as u64;
    let counts = [n as u64 - for_second, for_second];
    if n < WILCOXON_FROM {
        return Tested { name: "sign", counts, p_value: binomial(counts[0].min(counts[1]), n as u64) };
    }
    sizes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut positive_ranks, mut ties, mut at) = (0.0, 0.0, 0);
    while at < n {
        let end = at + sizes[at..].iter().take_while(|(size, _)| *size == sizes[at].0).count();
        let rank = (at + 1 + end) as f64 / 2.0;
        positive_ranks += rank * sizes[at..end].iter().filter(|(_, positive)| *positive).count() as f64;
        let t = (end - at) as f64;
        ties += t * t * t - t;
        at = end;
    }
    let n = n as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let z = (positive_ranks - n * (n + 1.0) / 4.0) / variance.sqrt();
    Tested { name: "wilcoxon", counts, p_value: erfc(z.abs() / 2f64.sqrt()) }
}

/// Two-sided p-value of so few hits in so many throws of a fair coin.
fn binomial(n_hits: u64, n: u64) -> f64 {
    let mut term = 0.5f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut sum = 0.0;
    for hits in 0..=n_hits {
        sum += term;
        term *= (n - hits) as f64 / (hits + 1) as f64;
    }
    (2.0 * sum).min(1.0)
}

/// The complementary error function of a number that is not negative: below 2.5 by the series of the error function,
/// above by its continued fraction (Abramowitz and Stegun, 7.1.6 and 7.1.14).
fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        return 1.0;
    }
    let x2 = x * x;
    if x < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= 2.0 * x2 / (2.0 * f64::from(n) + 1.0);
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * (-x2).exp() * sum;
    }
    let fraction = (1..=120).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x2).exp() / std::f64::consts::PI.sqrt() / fraction
}

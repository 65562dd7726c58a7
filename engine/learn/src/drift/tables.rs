//! Tests on counts of categories: Pearson's chi-squared and the difference of two shares.

use super::special::{chi_squared_tail, normal_two_sided};

/// What Pearson's test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquared {
    /// `Σ (observed − expected)² / expected`.
    pub statistic: f64,
    /// Degrees of freedom.
    pub dof: usize,
    /// The chance of a statistic at least as great if nothing differs.
    pub p_value: f64,
}

/// Whether observed counts follow expected ones, as SciPy's `chisquare`: the expected ones are scaled to the same sum.
/// `None` where one side is empty. A category that was never expected and is there now makes the statistic infinite.
pub fn goodness_of_fit(observed: &[u64], expected: &[u64]) -> Option<ChiSquared> {
    let (n, m) = (observed.iter().sum::<u64>() as f64, expected.iter().sum::<u64>() as f64);
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let pairs: Vec<(f64, f64)> = observed
        .iter()
        .zip(expected)
        .filter(|(observed, expected)| **observed + **expected > 0)
        .map(|(&observed, &expected)| (observed as f64, expected as f64 * n / m))
        .collect();
    let statistic = pairs.iter().map(|(observed, expected)| (observed - expected).powi(2) / expected).sum();
    Some(judged(statistic, pairs.len().saturating_sub(1)))
}

/// Whether two samples have the same shares of categories, as SciPy's `chi2_contingency` on the table of two rows. With
/// `corrected` a table of two columns gets Yates' correction, which is SciPy's default. `None` where one side is empty.
pub fn chi_squared(reference: &[u64], current: &[u64], corrected: bool) -> Option<ChiSquared> {
    let (n, m) = (reference.iter().sum::<u64>() as f64, current.iter().sum::<u64>() as f64);
    if n == 0.0 || m == 0.0 {
        return None;
    }
    // A category that neither has says nothing.
    let pairs: Vec<[f64; 2]> =
        reference.iter().zip(current).filter(|(r, c)| **r + **c > 0).map(|(&r, &c)| [r as f64, c as f64]).collect();
    let dof = pairs.len().saturating_sub(1);
    let mut statistic = 0.0;
    for pair in &pairs {
        for (observed, total) in pair.iter().zip([n, m]) {
            let expected = (pair[0] + pair[1]) * total / (n + m);
            let mut difference = (observed - expected).abs();
            if corrected && dof == 1 {
                difference -= difference.min(0.5);
            }
            statistic += difference * difference / expected;
        }
    }
    Some(judged(statistic, dof))
}

fn judged(statistic: f64, dof: usize) -> ChiSquared {
    // With one category nothing can differ.
    let p_value = if dof == 0 { 1.0 } else { chi_squared_tail(statistic, dof as f64) };
    ChiSquared { statistic, dof, p_value }
}

/// The difference of two shares in standard deviations with its two-sided p-value, by the pooled share. `None` where one
/// side is empty. Its square is the uncorrected [`chi_squared`] of the same two categories.
pub fn share_difference(reference: [u64; 2], current: [u64; 2]) -> Option<(f64, f64)> {
    let (n, m) = ((reference[0] + reference[1]) as f64, (current[0] + current[1]) as f64);
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let (p, q) = (reference[0] as f64 / n, current[0] as f64 / m);
    let pooled = (reference[0] + current[0]) as f64 / (n + m);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    if deviation == 0.0 {
        return Some((0.0, 1.0));
    }
    let z = (p - q) / deviation;
    Some((z, normal_two_sided(z)))
}

//! Drift: how far recent values are from those of training.
//!
//! [`compare()`] gives the verdict on a column. The comparisons it is made of stand by themselves: each is a pure function
//! of its samples or counts, with the value that SciPy, or the formula in NumPy, has for them.
//!
//! Values that are not finite are no part of a distribution and are left out; missing ones are counted elsewhere. What
//! has nothing to compare is `None`, never a number.

mod bins;
mod compare;
mod ks;
mod quality;
mod shares;
mod special;
mod tables;
#[cfg(test)]
mod tests;

pub use self::{
    compare::compare,
    ks::{KsTest, kolmogorov_smirnov},
    quality::{Truths, quality},
    shares::{
        common_counts, counts_in, deviation, fill_empty, jensen_shannon, psi, shares, sturges_edges, wasserstein,
    },
    tables::{ChiSquared, chi_squared, goodness_of_fit, share_difference},
};

/// The finite values of a sample, sorted: what the other functions take.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    finite
}

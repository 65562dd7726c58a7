//! The two-sample Kolmogorov-Smirnov test.

use super::special::ln_gamma;

/// Up to this size of the larger sample the p-value is exact, as in SciPy.
const MAX_EXACT: usize = 10_000;

/// What the test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KsTest {
    /// The greatest distance of the two empirical distribution functions, 0 to 1.
    pub statistic: f64,
    /// The chance of a distance at least as great if both samples are of one distribution (two-sided).
    pub p_value: f64,
}

/// Compares two samples; `None` where one holds no finite value. Values that are not finite are left out.
///
/// Exact up to 10,000 values (ties count as in a continuous distribution, as in SciPy's `ks_2samp`); beyond that by the
/// distribution of the one-sample statistic for `n = n₁n₂ / (n₁ + n₂)`.
pub fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Option<KsTest> {
    let (a, b) = (super::sorted(reference), super::sorted(current));
    (!a.is_empty() && !b.is_empty()).then(|| of_sorted(&a, &b))
}

/// [`kolmogorov_smirnov`] of sorted finite values, at least one each.
pub(super) fn of_sorted(a: &[f64], b: &[f64]) -> KsTest {
    let (n, m) = (a.len(), b.len());
    let g = gcd(n, m);
    // The distance in units of 1 / lcm(n, m), so that it is a whole number.
    let (step_a, step_b) = ((m / g) as u64, (n / g) as u64);
    let (mut at_a, mut at_b, mut greatest) = (0, 0, 0_u64);
    while at_a < n && at_b < m {
        let value = a[at_a].min(b[at_b]);
        while at_a < n && a[at_a] <= value {
            at_a += 1;
        }
        while at_b < m && b[at_b] <= value {
            at_b += 1;
        }
        greatest = greatest.max((at_a as u64 * step_a).abs_diff(at_b as u64 * step_b));
    }
    let statistic = greatest as f64 / (n as f64 * step_a as f64);
    let p_value = if greatest == 0 {
        1.0
    } else if n.max(m) <= MAX_EXACT {
        exact(n, m, step_a, step_b, greatest)
    } else {
        let (n, m) = (n as f64, m as f64);
        one_sample_tail((n * m / (n + m)).round_ties_even(), statistic)
    };
    KsTest { statistic, p_value: p_value.clamp(0.0, 1.0) }
}

fn gcd(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The chance that a random path from (0, 0) to (n, m), one step right or up at a time, ever is `limit` away from the
/// diagonal. Every order of the pooled values is a path, and all are equally likely.
///
/// `p(i, j)`, the chance that a path to (i, j) has touched the limit, is 1 at the limit and else the mean of those of the
/// two places before it, weighted by how many paths come through each. Nothing is subtracted, so small chances stay exact.
fn exact(n: usize, m: usize, step_a: u64, step_b: u64, limit: u64) -> f64 {
    let is_outside = |i: usize, j: usize| (i as u64 * step_a).abs_diff(j as u64 * step_b) >= limit;
    let mut row = vec![0.0_f64; m + 1];
    for j in 1..=m {
        row[j] = if is_outside(0, j) { 1.0 } else { row[j - 1] };
    }
    for i in 1..=n {
        if is_outside(i, 0) {
            row[0] = 1.0;
        }
        let mut before = row[0];
        for (j, cell) in row.iter_mut().enumerate().skip(1) {
            before = if is_outside(i, j) { 1.0 } else { (i as f64 * *cell + j as f64 * before) / (i + j) as f64 };
            *cell = before;
        }
    }
    row[m]
}

/// The chance that the two-sided one-sample statistic of `n` values is at least `d`.
///
/// Marsaglia, Tsang and Wang (2003) where the matrix is small, twice Smirnov's one-sided tail where both sides hardly
/// ever happen together, Pelz and Good (1976) in between; the choice follows Simard and L'Ecuyer (2011).
fn one_sample_tail(n: f64, d: f64) -> f64 {
    let spread = n * d * d;
    if d >= 1.0 || spread >= 370.0 {
        0.0
    } else if n * d <= 0.5 {
        1.0
    } else if d >= 0.5 || spread >= 2.2 {
        2.0 * smirnov_tail(n, d)
    } else if n <= 140.0 || (n <= 1e5 && n * d.powf(1.5) <= 1.4) {
        1.0 - matrix_cdf(n as usize, d)
    } else {
        1.0 - series_cdf(n, d)
    }
}

/// Smirnov's exact one-sided tail: `d Σⱼ C(n, j) (d + j/n)^(j−1) (1 − d − j/n)^(n−j)`.
fn smirnov_tail(n: f64, d: f64) -> f64 {
    let last = (n * (1.0 - d)).floor() as u64;
    let ln_n = ln_gamma(n + 1.0);
    let term = |j: u64| {
        let j = j as f64;
        let (low, high) = (d + j / n, 1.0 - d - j / n);
        if high <= 0.0 {
            return if n - j > 0.0 { 0.0 } else { low.powf(j - 1.0) };
        }
        (ln_n - ln_gamma(j + 1.0) - ln_gamma(n - j + 1.0) + (j - 1.0) * low.ln() + (n - j) * high.ln()).exp()
    };
    (d * (0..=last).map(term).sum::<f64>()).min(1.0)
}

/// A square matrix with a power of ten taken out.
struct Scaled {
    cells: Vec<f64>,
    exponent: i32,
}

fn multiply(a: &Scaled, b: &Scaled, size: usize) -> Scaled {
    let mut cells = vec![0.0; size * size];
    for i in 0..size {
        for k in 0..size {
            let factor = a.cells[i * size + k];
            if factor != 0.0 {
                for j in 0..size {
                    cells[i * size + j] += factor * b.cells[k * size + j];
                }
            }
        }
    }
    let mut scaled = Scaled { cells, exponent: a.exponent + b.exponent };
    if scaled.cells[(size / 2) * size + size / 2] > 1e140 {
        scaled.cells.iter_mut().for_each(|cell| *cell *= 1e-140);
        scaled.exponent += 140;
    }
    scaled
}

/// Marsaglia, Tsang and Wang: `n! / nⁿ` times the middle cell of the n-th power of a matrix of about `2nd` rows.
fn matrix_cdf(n: usize, d: f64) -> f64 {
    let k = (n as f64 * d).ceil().max(1.0);
    let h = k - n as f64 * d;
    let k = k as usize;
    let size = 2 * k - 1;
    let mut cells = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..size.min(i + 2) {
            cells[i * size + j] = 1.0;
        }
    }
    for i in 0..size {
        cells[i * size] -= h.powi(i as i32 + 1);
        cells[(size - 1) * size + i] -= h.powi((size - i) as i32);
    }
    if 2.0 * h - 1.0 > 0.0 {
        cells[(size - 1) * size] += (2.0 * h - 1.0).powi(size as i32);
    }
    for i in 0..size {
        for j in 0..size.min(i + 1) {
            let divisor = (1..=i + 1 - j).fold(1.0, |product: f64, factor| product * factor as f64);
            cells[i * size + j] /= divisor;
        }
    }
    let mut base = Scaled { cells, exponent: 0 };
    let mut identity = vec![0.0; size * size];
    (0..size).for_each(|i| identity[i * size + i] = 1.0);
    let mut power = Scaled { cells: identity, exponent: 0 };
    let mut left = n;
    while left > 0 {
        if left % 2 == 1 {
            power = multiply(&power, &base, size);
        }
        base = multiply(&base, &base, size);
        left /= 2;
    }
    let (mut value, mut exponent) = (power.cells[(k - 1) * size + k - 1], power.exponent);
    for i in 1..=n {
        value *= i as f64 / n as f64;
        if value < 1e-140 {
            value *= 1e140;
            exponent -= 140;
        }
    }
    (value * 10_f64.powi(exponent)).clamp(0.0, 1.0)
}

/// Pelz and Good's series in `1/√n`: the limit distribution and three corrections, in the form for small arguments.
fn series_cdf(n: f64, d: f64) -> f64 {
    use std::f64::consts::PI;
    let z = n.sqrt() * d;
    let (p2, p4, p6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let (z2, z4, z6, z8) = (z.powi(2), z.powi(4), z.powi(6), z.powi(8));
    let n_terms = (16.0 * z / PI).ceil().max(1.0) as u32;
    let mut sums = [0.0_f64; 4];
    for k in 1..=n_terms {
        let m2 = f64::from(2 * k - 1).powi(2);
        let weight = (-m2 * p2 / (8.0 * z2)).exp();
        sums[0] += weight;
        sums[1] += weight * (p2 / 4.0 * m2 - z2);
        sums[2] += weight
            * (6.0 * z6 + 2.0 * z4 + p2 / 4.0 * (2.0 * z4 - 5.0 * z2) * m2 + p4 / 16.0 * (1.0 - 2.0 * z2) * m2 * m2);
        sums[3] += weight
            * (-30.0 * z6 - 90.0 * z8
                + p2 / 4.0 * (135.0 * z4 - 96.0 * z6) * m2
                + p4 / 16.0 * (212.0 * z4 - 60.0 * z2) * m2 * m2
                + p6 / 64.0 * (5.0 - 30.0 * z2) * m2 * m2 * m2);
    }
    let root = (2.0 * PI).sqrt();
    let mut second = 0.0;
    let mut third = 0.0;
    for k in 1..=n_terms {
        let k2 = f64::from(k).powi(2);
        let weight = k2 * (-k2 * p2 / (2.0 * z2)).exp();
        second += weight;
        third += weight * (3.0 * z2 - p2 * k2);
    }
    let k0 = root * sums[0] / z;
    let k1 = root * sums[1] / (6.0 * z4);
    let k2 = root * sums[2] / (72.0 * z.powi(7)) - root * p2 * second / (36.0 * z.powi(3));
    let k3 = root * sums[3] / (6480.0 * z.powi(10)) + root * p2 * third / (216.0 * z6);
    (k0 + k1 / n.sqrt() + k2 / n + k3 / n.powf(1.5)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn small_samples_by_hand() {
        // Of the six orders of two and two values, two are separated completely.
        let apart = kolmogorov_smirnov(&[1.0, 2.0], &[3.0, 4.0]).unwrap();
        assert_eq!(apart.statistic, 1.0);
        assert!((apart.p_value - 2.0 / 6.0).abs() < 1e-15);
        assert_eq!(kolmogorov_smirnov(&[1.0], &[1.0]).unwrap(), KsTest { statistic: 0.0, p_value: 1.0 });
        assert_eq!(kolmogorov_smirnov(&[], &[1.0]), None);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN, f64::INFINITY], &[1.0]), None);
        let huge = kolmogorov_smirnov(&[f64::MAX, f64::MIN], &[f64::MAX, f64::MIN]).unwrap();
        assert_eq!(huge.statistic, 0.0);
    }

    #[test]
    fn the_ways_to_a_one_sample_tail_meet() {
        // Each pair of methods at a place where both hold.
        for (n, d) in [(141.0, 0.02), (141.0, 0.05), (1000.0, 0.02), (1000.0, 0.03)] {
            let (matrix, series) = (matrix_cdf(n as usize, d), series_cdf(n, d));
            assert!((matrix - series).abs() < 5e-6, "{n} {d}: {matrix} and {series}");
        }
        for (n, d) in [(100.0, 0.16), (1000.0, 0.05)] {
            let (matrix, twice) = (1.0 - matrix_cdf(n as usize, d), 2.0 * smirnov_tail(n, d));
            assert!((matrix - twice).abs() < 1e-7, "{n} {d}: {matrix} and {twice}");
        }
        assert_eq!((one_sample_tail(100.0, 1.0), one_sample_tail(100.0, 0.004)), (0.0, 1.0));
    }
}

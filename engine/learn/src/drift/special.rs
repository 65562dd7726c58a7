//! The special functions behind p-values.

/// Most terms of a series or a continued fraction; both end long before, by their precision.
const MAX_TERMS: usize = 10_000;

/// `ln Γ(x)` for positive `x`, by Stirling's series after the argument was raised to at least 12: within about 1e-14.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0_f64);
    while x < 12.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    // B₂ₖ / (2k (2k − 1)), k = 1 … 6.
    const TERMS: [f64; 6] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let series = TERMS.iter().rev().fold(0.0, |sum, term| sum * inverse + term) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - product.ln()
}

/// The regularised upper incomplete gamma function `Q(a, x) = Γ(a, x) / Γ(a)`; NaN outside of `a > 0`, `x ≥ 0`.
///
/// By the power series of `P = 1 − Q` where `x < a + 1`, by Legendre's continued fraction elsewhere (Abramowitz and
/// Stegun 6.5.29 and 6.5.31).
pub(super) fn gamma_q(a: f64, x: f64) -> f64 {
    if a.is_nan() || x.is_nan() || a <= 0.0 || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..MAX_TERMS {
            term *= x / (a + n as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    // Lentz's method.
    let tiny = f64::MIN_POSITIVE / f64::EPSILON;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut value = d;
    for n in 1..MAX_TERMS {
        let n = n as f64;
        let factor = -n * (n - a);
        b += 2.0;
        d = factor * d + b;
        d = 1.0 / if d.abs() < tiny { tiny } else { d };
        c = b + factor / c;
        c = if c.abs() < tiny { tiny } else { c };
        let step = d * c;
        value *= step;
        if (step - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    (front * value).clamp(0.0, 1.0)
}

/// The chance that a chi-squared variable with so many degrees of freedom is at least `x`.
pub(super) fn chi_squared_tail(x: f64, dof: f64) -> f64 {
    gamma_q(dof / 2.0, x / 2.0)
}

/// The chance that a standard normal variable is at least as far from 0 as `z`.
pub(super) fn normal_two_sided(z: f64) -> f64 {
    gamma_q(0.5, z * z / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, expect: f64) {
        assert!((found - expect).abs() <= 1e-12 * expect.abs().max(1.0), "{found}, not {expect}");
    }

    #[test]
    fn gamma_functions_have_their_known_values() {
        near(ln_gamma(1.0), 0.0);
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        near(ln_gamma(11.0), 3_628_800_f64.ln());
        near(gamma_q(1.0, 2.0), (-2.0_f64).exp());
        near(gamma_q(1.0, 0.5), (-0.5_f64).exp());
        // Q(3, x) = e^-x (1 + x + x²/2).
        near(gamma_q(3.0, 7.0), (-7.0_f64).exp() * (1.0 + 7.0 + 24.5));
        // Two-sided 5 % of the normal distribution.
        near((normal_two_sided(1.959_963_984_540_054) * 1e12).round() / 1e12, 0.05);
        assert_eq!((gamma_q(2.0, 0.0), gamma_q(2.0, f64::INFINITY)), (1.0, 0.0));
        assert!(gamma_q(0.0, 1.0).is_nan() && gamma_q(1.0, -1.0).is_nan() && gamma_q(1.0, f64::NAN).is_nan());
        assert_eq!(chi_squared_tail(1e9, 3.0), 0.0);
    }
}

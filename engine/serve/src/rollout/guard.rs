//! When a candidate is taken back: one-sided tests on shares, so that a single failure among few requests is no verdict
//! and a hundred of them are one at once.
//!
//! A share `k` of `n` is judged by the bounds of its Wilson score interval at 99 percent, one-sided. Guards look after
//! every request, so such a test is made many times on growing data; a false alarm only delays a good version.

use athanor_protocol::rollout::RolloutGuards;

use super::figures::Counts;

/// The 99th percentile of the standard normal distribution.
const Z: f64 = 2.326_347_874_040_841;
/// Latencies below this are not told apart, in microseconds: a scheduler's whim is larger.
const FLOOR_MICROS: u64 = 1_000;
/// The share of requests beyond a 99th percentile.
const BEYOND_P99: f64 = 0.01;

/// Centre and half-width of the Wilson score interval (E. B. Wilson 1927, J. Am. Stat. Assoc. 22).
fn wilson(k: u64, n: u64) -> (f64, f64) {
    let (n, share) = (n as f64, k as f64 / n as f64);
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    (centre, half)
}

/// The true share is above this, with 99 percent confidence; 0 where nothing is known.
pub(super) fn lower_bound(k: u64, n: u64) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let (centre, half) = wilson(k, n);
    (centre - half).max(0.0)
}

/// The true share is below this, with 99 percent confidence; 1 where nothing is known.
pub(super) fn upper_bound(k: u64, n: u64) -> f64 {
    if n == 0 {
        return 1.0;
    }
    let (centre, half) = wilson(k, n);
    (centre + half).min(1.0)
}

/// Why the candidate must go, if it must.
pub(super) fn judge(guards: &RolloutGuards, counts: &Counts) -> Option<String> {
    if let (Some(limit), Some(drift)) = (guards.max_drift, counts.drift)
        && drift > limit
    {
        return Some(format!("the inputs have drifted by {drift:.4}, more than {limit}"));
    }
    let min = u64::from(guards.min_requests);
    let (stable, candidate) = (&counts.stable, &counts.candidate);
    if let Some(limit) = guards.max_error_rate {
        let all = ((stable.n_failed, stable.n_requests), (candidate.n_failed, candidate.n_requests));
        let recent = (stable.recent(), candidate.recent());
        for ((stable_failed, stable_n), (failed, n)) in [all, recent] {
            if n < min || lower_bound(failed, n) <= limit {
                continue;
            }
            // What fails for both is not the candidate's fault. Before the stable version was asked often enough, its
            // failures are taken as they are.
            let theirs = if stable_n >= min {
                upper_bound(stable_failed, stable_n)
            } else {
                stable_failed as f64 / stable_n.max(1) as f64
            };
            if lower_bound(failed, n) > theirs {
                return Some(format!(
                    "the candidate failed {failed} of {n} requests, the stable version {stable_failed} of {stable_n}; \
                     at most {} percent may fail",
                    limit * 100.0
                ));
            }
        }
    }
    let (n, n_stable) = (candidate.n_latencies(), stable.n_latencies());
    if let Some(ratio) = guards.max_p99_ratio
        && n >= min
        && n_stable >= min
    {
        let p99 = stable.percentile(99);
        // Rounding is the floor's business: microseconds are whole.
        let limit = ((p99 as f64 * ratio) as u64).max(FLOOR_MICROS);
        let slower = candidate.n_slower_than(limit);
        if lower_bound(slower, n) > BEYOND_P99 {
            return Some(format!(
                "{slower} of {n} requests took the candidate longer than {limit} µs; the 99th percentile of the stable \
                 version is {p99} µs, and {ratio} times as much is allowed"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn guards(min_requests: u32, max_error_rate: Option<f64>, max_p99_ratio: Option<f64>) -> RolloutGuards {
        RolloutGuards { min_requests, max_error_rate, max_p99_ratio, max_drift: None }
    }

    /// Counts of both sides, failures first, each answer after a millisecond.
    fn both((stable_failed, stable_n): (u64, u64), (failed, n): (u64, u64)) -> Counts {
        let mut counts = Counts::default();
        let took = Duration::from_millis(1);
        (0..stable_n).for_each(|at| counts.stable.add(at < stable_failed, took));
        (0..n).for_each(|at| counts.candidate.add(at < failed, took));
        counts
    }

    #[test]
    fn bounds_are_those_of_wilson() {
        // Reference values by the formula in exact arithmetic, rounded.
        for (k, n, lower, upper) in [
            (0, 0, 0.0, 1.0),
            (0, 50, 0.0, 0.097_667),
            (1, 50, 0.002_755, 0.131_005),
            (5, 50, 0.037_498, 0.240_635),
            (50, 50, 0.902_333, 1.0),
            (20, 1_000, 0.011_992, 0.033_175),
        ] {
            assert!((lower_bound(k, n) - lower).abs() < 1e-5, "{k} of {n}: {}", lower_bound(k, n));
            assert!((upper_bound(k, n) - upper).abs() < 1e-5, "{k} of {n}: {}", upper_bound(k, n));
        }
    }

    #[test]
    fn failures_trip_once_they_are_beyond_doubt() {
        let guards = guards(20, Some(0.02), None);
        for (stable, candidate, expect) in [
            ((0, 1_000), (19, 19), false),
            ((0, 1_000), (20, 20), true),
            ((0, 1_000), (1, 20), false),
            ((0, 1_000), (4, 20), true),
            ((0, 1_000), (20, 1_000), false),
            ((0, 1_000), (40, 1_000), true),
            // What fails for both is nobody's fault.
            ((500, 1_000), (50, 100), false),
            ((500, 1_000), (90, 100), true),
            // Nothing is known of the stable version yet.
            ((0, 0), (20, 20), true),
            ((1, 2), (10, 20), false),
        ] {
            assert_eq!(judge(&guards, &both(stable, candidate)).is_some(), expect, "{stable:?} {candidate:?}");
        }
        assert_eq!(judge(&RolloutGuards { max_error_rate: None, ..guards }, &both((0, 9), (99, 99))), None);
    }

    #[test]
    fn a_version_that_breaks_late_is_found_by_the_recent_requests() {
        let mut counts = both((0, 100_000), (0, 100_000));
        let guards = guards(50, Some(0.02), None);
        let n = (1..).find(|_| {
            counts.candidate.add(true, Duration::from_millis(1));
            judge(&guards, &counts).is_some()
        });
        // Of the last 1,024: the first count whose lower bound is over two percent.
        assert_eq!(n, Some((0..).find(|&k| lower_bound(k, 1_024) > 0.02).unwrap_or_default()));
        let reason = judge(&guards, &counts).unwrap_or_default();
        assert!(reason.contains("of 1024 requests") && reason.contains("at most 2 percent"), "{reason}");
    }

    #[test]
    fn one_slow_request_is_no_verdict_and_a_slow_version_is() {
        let guards = guards(50, None, Some(1.5));
        let ms = Duration::from_millis;
        let mut counts = both((0, 1_000), (0, 0));
        (0..49).for_each(|_| counts.candidate.add(false, ms(1)));
        counts.candidate.add(false, ms(1_000));
        assert_eq!(judge(&guards, &counts), None, "an outlier");
        let n = (1..).find(|_| {
            counts.candidate.add(false, ms(3));
            judge(&guards, &counts).is_some()
        });
        assert_eq!(n, Some(2), "three of 52 are slower than a hundredth could be");
        let mut fast = both((0, 1_000), (0, 0));
        (0..10_000).for_each(|_| fast.candidate.add(false, Duration::from_micros(1_400)));
        assert_eq!(judge(&guards, &fast), None, "within the ratio");
        let mut few = both((0, 49), (0, 0));
        (0..1_000).for_each(|_| few.candidate.add(false, ms(50)));
        assert_eq!(judge(&guards, &few), None, "nothing to compare with yet");
    }

    #[test]
    fn drift_trips_at_once() {
        let guards = RolloutGuards { max_drift: Some(0.2), ..guards(50, None, None) };
        let mut counts = Counts::default();
        counts.drift = Some(0.2);
        assert_eq!(judge(&guards, &counts), None);
        counts.drift = Some(0.21);
        assert_eq!(judge(&guards, &counts).as_deref(), Some("the inputs have drifted by 0.2100, more than 0.2"));
    }
}

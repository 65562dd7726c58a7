//! How busy the endpoint is: requests, mistakes and latency of each of the last seconds.
//!
//! Only the second that goes on has a histogram; when it is over, its two percentiles are kept and the histogram is
//! emptied. So fifteen minutes are some dozens of kilobytes, and a request costs one short lock and three additions.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use athanor_protocol::api::{EndpointSecond, EndpointSeries};

/// Seconds that are remembered.
const MAX_SECONDS: i64 = 15 * 60;
/// Steps within each power of two, as a power of two: a percentile is within three percent of the true one.
const STEP_BITS: u32 = 4;
/// Buckets up to 2^37 microseconds, more than a day.
pub(crate) const N_BUCKETS: usize = (37 - STEP_BITS as usize + 1) << STEP_BITS;

/// Counts the requests of an endpoint. Health probes, and requests that were refused before they named one of the
/// endpoint's addresses, do not count.
pub struct Load(Mutex<Counts>);

struct Counts {
    n_requests: u64,
    n_refused: u64,
    n_failed: u64,
    /// Seconds that are over, oldest first.
    past: VecDeque<EndpointSecond>,
    now: EndpointSecond,
    buckets: [u32; N_BUCKETS],
}

impl Default for Load {
    fn default() -> Self {
        Self(Mutex::new(Counts {
            n_requests: 0,
            n_refused: 0,
            n_failed: 0,
            past: VecDeque::new(),
            now: empty(i64::MIN),
            buckets: [0; N_BUCKETS],
        }))
    }
}

const fn empty(at_secs: i64) -> EndpointSecond {
    EndpointSecond { at_secs, n_requests: 0, n_refused: 0, n_failed: 0, p50_micros: 0, p99_micros: 0 }
}

/// The bucket of a latency: exact below 2^[`STEP_BITS`], then by the leading bits.
pub(crate) fn bucket(micros: u64) -> usize {
    let steps = 1_u64 << STEP_BITS;
    if micros < steps {
        return micros as usize;
    }
    let octave = micros.ilog2() - STEP_BITS;
    let within = (micros >> octave) - steps;
    (((u64::from(octave) + 1) << STEP_BITS) + within).min(N_BUCKETS as u64 - 1) as usize
}

/// The middle of a bucket.
pub(crate) fn micros_of(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, 1_u64 << STEP_BITS);
    if bucket < steps {
        return bucket;
    }
    let octave = (bucket >> STEP_BITS) - 1;
    let low = ((bucket & (steps - 1)) + steps) << octave;
    low + (1 << octave) / 2
}

impl Counts {
    /// The second that goes on with its percentiles.
    fn judged(&self) -> EndpointSecond {
        let percentile = |percent: u64| {
            // The rank by the nearest-rank method, from 1.
            let rank = (u64::from(self.now.n_requests) * percent).div_ceil(100).max(1);
            let mut seen = 0_u64;
            let found = self.buckets.iter().position(|&n| {
                seen += u64::from(n);
                seen >= rank
            });
            found.map_or(0, micros_of)
        };
        EndpointSecond { p50_micros: percentile(50), p99_micros: percentile(99), ..self.now.clone() }
    }

    fn move_to(&mut self, at_secs: i64) {
        // Threads meet here a little out of order: that is still the second that goes on. A clock that was set back is
        // another matter: what it says from now on is the truth.
        if at_secs == self.now.at_secs || (at_secs < self.now.at_secs && self.now.at_secs - at_secs <= 2) {
            return;
        }
        if self.now.n_requests > 0 {
            let judged = self.judged();
            self.past.push_back(judged);
            self.buckets.fill(0);
        }
        let is_kept = |second: &EndpointSecond| second.at_secs < at_secs && at_secs - second.at_secs < MAX_SECONDS;
        self.past.retain(is_kept);
        self.now = empty(at_secs);
    }
}

/// Seconds since the Unix epoch by the system's clock.
fn now_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

impl Load {
    /// Nothing was asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request that was answered now.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.count(now_secs(), status, took);
    }

    fn count(&self, at_secs: i64, status: u16, took: Duration) {
        let bucket = bucket(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.move_to(at_secs);
        counts.n_requests += 1;
        counts.now.n_requests += 1;
        counts.buckets[bucket] += 1;
        match status {
            400..500 => {
                counts.n_refused += 1;
                counts.now.n_refused += 1;
            }
            500.. => {
                counts.n_failed += 1;
                counts.now.n_failed += 1;
            }
            _ => {}
        }
    }

    /// The last fifteen minutes.
    pub fn series(&self) -> EndpointSeries {
        self.series_at(now_secs())
    }

    fn series_at(&self, at_secs: i64) -> EndpointSeries {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |second: &&EndpointSecond| second.at_secs.saturating_add(MAX_SECONDS) > at_secs;
        let mut seconds: Vec<EndpointSecond> = counts.past.iter().filter(recent).cloned().collect();
        if counts.now.n_requests > 0 {
            seconds.extend(Some(counts.judged()).filter(|second| recent(&second)));
        }
        let Counts { n_requests, n_refused, n_failed, .. } = *counts;
        EndpointSeries { seconds, n_requests, n_refused, n_failed }
    }
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn buckets_grow_without_gaps_and_their_middle_is_near() {
        let mut last = 0;
        for n in 0..5_000 {
            let found = bucket(n);
            assert!(found == last || found == last + 1, "{n}");
            last = found;
        }
        for n in (0..5_000).chain((1..37).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1])) {
            let middle = micros_of(bucket(n));
            assert!(middle.abs_diff(n) * 32 <= n, "{n} is taken for {middle}");
        }
        assert_eq!(bucket(u64::MAX), N_BUCKETS - 1);
    }

    #[test]
    fn a_second_has_its_counts_and_percentiles() {
        let load = Load::new();
        for n in 1..=100 {
            load.count(7, if n <= 3 { 404 } else { 200 }, micros(n * 100));
        }
        load.count(9, 500, micros(5));
        let series = load.series_at(9);
        assert_eq!((series.n_requests, series.n_refused, series.n_failed), (101, 3, 1));
        let [seven, nine] = series.seconds.as_slice() else { panic!("{series:?}") };
        assert_eq!((seven.at_secs, seven.n_requests, seven.n_refused, seven.n_failed), (7, 100, 3, 0));
        assert!(seven.p50_micros.abs_diff(5_000) < 160 && seven.p99_micros.abs_diff(9_900) < 310, "{seven:?}");
        let expect = EndpointSecond { n_requests: 1, n_failed: 1, p50_micros: 5, p99_micros: 5, ..empty(9) };
        assert_eq!(*nine, expect);
    }

    #[test]
    fn old_seconds_go_and_idle_ones_take_no_room() {
        let load = Load::new();
        for at in 0..2_000 {
            load.count(at, 200, micros(1));
        }
        let series = load.series_at(1_999);
        assert_eq!((series.seconds.len() as i64, series.seconds[0].at_secs), (MAX_SECONDS, 1_100));
        assert_eq!(series.n_requests, 2_000);
        assert_eq!(load.series_at(1_999 + MAX_SECONDS).seconds, [], "what is long past is not shown");
        load.count(1_000_000, 200, micros(1));
        assert_eq!(load.series_at(1_000_000).seconds.len(), 1);
    }

    #[test]
    fn stragglers_count_and_a_clock_set_back_starts_anew() {
        let load = Load::new();
        load.count(100, 200, micros(1));
        load.count(99, 200, micros(1));
        assert_eq!(load.series_at(100).seconds.len(), 1);
        load.count(10, 200, micros(1));
        let ats: Vec<i64> = load.series_at(10).seconds.iter().map(|second| second.at_secs).collect();
        assert_eq!(ats, [10], "no second stands before an earlier one");
        assert_eq!(load.series_at(10).n_requests, 3);
    }
}

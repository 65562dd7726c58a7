//! What is counted while a rollout runs.

use std::{collections::VecDeque, time::Duration};

use athanor_protocol::rollout::{RolloutFigures, ShadowFigures, SideFigures};

use super::shadow::Compared;
use crate::load::{N_BUCKETS, bucket, micros_of};

/// Outcomes that count as recent: a version that was good for long and breaks now is found by these.
pub(super) const RECENT: usize = 1_024;

/// One side's answers.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) n_requests: u64,
    pub(super) n_failed: u64,
    recent: VecDeque<bool>,
    n_recent_failed: u64,
    latencies: Vec<u64>,
    n_latencies: u64,
}

impl Asked {
    fn from_figures(figures: &SideFigures) -> Self {
        Self { n_requests: figures.n_requests, n_failed: figures.n_failed, ..Self::default() }
    }

    pub(super) fn add(&mut self, is_failed: bool, took: Duration) {
        self.n_requests += 1;
        self.n_failed += u64::from(is_failed);
        if self.recent.len() >= RECENT {
            let oldest = self.recent.pop_front().unwrap_or_default();
            self.n_recent_failed -= u64::from(oldest);
        }
        self.recent.push_back(is_failed);
        self.n_recent_failed += u64::from(is_failed);
        if self.latencies.is_empty() {
            self.latencies = vec![0; N_BUCKETS];
        }
        let at = bucket(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Some(n) = self.latencies.get_mut(at) {
            *n += 1;
            self.n_latencies += 1;
        }
    }

    /// Failures and requests among the recent ones.
    pub(super) fn recent(&self) -> (u64, u64) {
        (self.n_recent_failed, self.recent.len() as u64)
    }

    /// Requests with a known latency.
    pub(super) fn n_latencies(&self) -> u64 {
        self.n_latencies
    }

    /// How many took longer than this, to the width of a bucket (three percent).
    pub(super) fn n_slower_than(&self, micros: u64) -> u64 {
        self.latencies.iter().skip(bucket(micros) + 1).sum()
    }

    /// A percentile by the nearest-rank method; 0 where nothing was measured.
    pub(super) fn percentile(&self, percent: u64) -> u64 {
        if self.n_latencies == 0 {
            return 0;
        }
        let rank = (self.n_latencies * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.latencies.iter().position(|&n| {
            seen += n;
            seen >= rank
        });
        found.map_or(0, micros_of)
    }

    fn figures(&self) -> SideFigures {
        SideFigures {
            n_requests: self.n_requests,
            n_failed: self.n_failed,
            p50_micros: self.percentile(50),
            p99_micros: self.percentile(99),
        }
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) stable: Asked,
    pub(super) candidate: Asked,
    pub(super) n_retried: u64,
    pub(super) n_spilled: u64,
    pub(super) n_dropped: u64,
    pub(super) drift: Option<f64>,
    n_compared: u64,
    n_rows: u64,
    n_agreed: u64,
    n_values: u64,
    /// Sum of absolute differences.
    difference: f64,
    max_difference: f64,
}

impl Counts {
    pub(super) fn from_figures(figures: &RolloutFigures) -> Self {
        let RolloutFigures { stable, candidate, n_retried, n_spilled, shadow, drift } = figures;
        Self {
            stable: Asked::from_figures(stable),
            candidate: Asked::from_figures(candidate),
            n_retried: *n_retried,
            n_spilled: *n_spilled,
            n_dropped: shadow.n_dropped,
            drift: *drift,
            n_compared: shadow.n_compared,
            n_rows: shadow.n_rows,
            n_agreed: shadow.n_agreed,
            // Values for each row are not kept: the mean goes on as one value for each row.
            n_values: shadow.n_rows,
            difference: shadow.mean_difference * shadow.n_rows as f64,
            max_difference: shadow.max_difference,
        }
    }

    pub(super) fn compare(&mut self, compared: &Compared) {
        self.n_compared += 1;
        self.n_rows += compared.n_rows;
        self.n_agreed += compared.n_agreed;
        self.n_values += compared.n_values;
        // Finite values may still be too far apart for a finite sum.
        self.difference = (self.difference + compared.difference).min(f64::MAX);
        self.max_difference = self.max_difference.max(compared.max_difference);
    }

    pub(super) fn figures(&self) -> RolloutFigures {
        RolloutFigures {
            stable: self.stable.figures(),
            candidate: self.candidate.figures(),
            n_retried: self.n_retried,
            n_spilled: self.n_spilled,
            shadow: ShadowFigures {
                n_compared: self.n_compared,
                n_rows: self.n_rows,
                n_agreed: self.n_agreed,
                mean_difference: if self.n_values == 0 { 0.0 } else { self.difference / self.n_values as f64 },
                max_difference: self.max_difference,
                n_dropped: self.n_dropped,
            },
            drift: self.drift,
        }
    }
}

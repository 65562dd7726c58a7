//! How far the prediction is that is at work, for every process that has the workspace open: a small file beside the
//! schedules, which can be dropped.

use std::fs;

use serde::{Deserialize, Serialize};

use super::runner;
use crate::{files, workspace::Workspace};

const FILE: &str = "schedules.progress";
const MAX_BYTES: u64 = 64 << 10;
/// Least share that must have been done here before the rest is estimated.
const LEAST_SHARE: f64 = 0.005;
/// Least time that must have passed before.
const LEAST_MILLIS: i64 = 1_000;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Far {
    /// The schedule.
    pub id: String,
    /// When it was due, which tells its executions apart.
    pub due_millis: i64,
    /// Since when it is at work without a break, milliseconds since the Unix epoch.
    pub since_millis: i64,
    /// Rows that are predicted, with those of a broken run.
    pub n_rows: u64,
    /// How much of the table that is, from 0 to 1, where it is known.
    pub share: Option<f64>,
    /// How long it will take from now on, in milliseconds, where that can be said.
    pub rest_millis: Option<i64>,
}

/// How fast a table goes, by what was seen of it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The first share and when it was told: what a broken run had done says nothing of the pace.
    first: Option<(f64, i64)>,
}

impl Pace {
    /// How long the rest will take, in milliseconds, once enough was seen.
    pub(super) fn rest(&mut self, share: f64, now_millis: i64) -> Option<i64> {
        let (first, began) = *self.first.get_or_insert((share, now_millis));
        if share < first {
            // All rows are read again.
            self.first = Some((share, now_millis));
            return None;
        }
        let (done, took) = (share - first, now_millis - began);
        if done < LEAST_SHARE || took < LEAST_MILLIS {
            return None;
        }
        Some((took as f64 * (1.0 - share).max(0.0) / done).round() as i64)
    }
}

/// What is at work now, by whichever process; `None` where nothing is, or nobody is at it any more.
pub fn at_work(workspace: &Workspace) -> Option<Far> {
    let bytes = files::read_limited(&workspace.root().join(FILE), MAX_BYTES).ok()?;
    let far: Far = serde_json::from_slice(&bytes).ok()?;
    // What a killed process has left is of no use.
    runner::is_held(workspace).then_some(far)
}

/// Tells all processes. It is no truth that must outlive a power cut, so that the disk is not waited for.
pub(super) fn tell(workspace: &Workspace, far: &Far) {
    let path = workspace.root().join(FILE);
    let beside = files::beside(&path);
    let written = serde_json::to_vec(far)
        .map_err(std::io::Error::from)
        .and_then(|bytes| fs::write(&beside, bytes))
        .and_then(|()| fs::rename(&beside, &path));
    if let Err(err) = written {
        let _ = fs::remove_file(&beside);
        tracing::debug!("how far a schedule is cannot be told: {err}");
    }
}

/// Nothing is at work any more.
pub(super) fn forget(workspace: &Workspace) {
    let _ = fs::remove_file(workspace.root().join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_said_once_enough_was_seen_and_counts_only_what_was_done_here() {
        let mut pace = Pace::default();
        assert_eq!(pace.rest(0.6, 10_000), None);
        assert_eq!(pace.rest(0.61, 10_500), None, "too short a time");
        assert_eq!(pace.rest(0.601, 20_000), None, "too small a share");
        assert_eq!(pace.rest(0.7, 20_000), Some(30_000));
        assert_eq!(pace.rest(1.0, 50_000), Some(0));
        assert_eq!(pace.rest(0.1, 60_000), None, "it began anew");
        assert_eq!(pace.rest(0.2, 70_000), Some(80_000));
        assert_eq!(Pace::default().rest(f64::NAN, 0), None);
    }
}

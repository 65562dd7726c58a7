//! Boosted decision trees: our own declarative form, inferred in plain Rust, grown by LightGBM where it is built in.
//!
//! A package holds a [`Forest`], never LightGBM's own text, and nothing at serving time parses foreign model text or
//! links C++. LightGBM's text is read once, right after training, by a strict parser of ours, and the result must give
//! LightGBM's own predictions on the training rows or training fails.

#[cfg(feature = "lightgbm")]
mod boost;
#[cfg(any(feature = "lightgbm", test))]
mod convert;
mod forest;
#[cfg(feature = "lightgbm")]
mod lightgbm;

#[cfg(all(test, feature = "lightgbm"))]
mod boost_tests;
#[cfg(test)]
mod forest_tests;
#[cfg(all(test, feature = "lightgbm"))]
mod quality_tests;

use athanor_protocol::learner::TreesConfig;

pub(crate) use self::forest::ZERO;
pub use self::forest::{Forest, Link, MISSING_GOES_LEFT, Tree, ZERO_IS_MISSING};
use crate::error::LearnError;
use crate::train::{TrainJob, TrainOutcome};

/// The version of LightGBM's bindings that this build grows trees with; `None` where it was built without.
pub const fn lightgbm_version() -> Option<&'static str> {
    if cfg!(feature = "lightgbm") { Some("lightgbm3-sys 1.0.11") } else { None }
}

/// Grows trees on the job's training rows.
///
/// One step is one boosting round. The stop flag is read before each round, so a stop is obeyed within one round.
/// Nothing is written to the checkpoint folder: a stopped run trains again from its start, which is fast and gives the
/// same trees, because everything random comes from the seed.
///
/// # Errors
/// [`LearnError::Unsupported`] where this build has no LightGBM; otherwise if the rows can't be learned from, if
/// LightGBM fails, or if the converted trees do not predict what LightGBM predicts.
pub fn train(job: TrainJob<'_>, config: &TreesConfig) -> Result<TrainOutcome, LearnError> {
    #[cfg(feature = "lightgbm")]
    return boost::train(job, config);
    #[cfg(not(feature = "lightgbm"))]
    {
        let _ = (job, config);
        Err(LearnError::Unsupported {
            message: "this build cannot grow boosted trees: it has no LightGBM".to_owned(),
            hint: Some("use a build with the feature `lightgbm`, or another learner".to_owned()),
        })
    }
}

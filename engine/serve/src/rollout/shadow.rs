//! A candidate that is asked beside the version that answers: on spare processors, behind the answer, and dropped where
//! there is neither room nor time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use super::Trial;
use crate::{
    infer::{Asked, Dialect},
    router::State,
    table::{Outputs, Served},
};

/// Most requests that wait for a shadow, all models together.
pub(crate) const MAX_WAITING: usize = 64;
/// Largest body that is kept for a shadow: so much times [`MAX_WAITING`] is what shadows take of memory.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Values that differ by less than this part are the same.
const SAME: f64 = 1e-6;

/// How two answers to one request differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Compared {
    pub(super) n_rows: u64,
    pub(super) n_agreed: u64,
    pub(super) n_values: u64,
    pub(super) difference: f64,
    pub(super) max_difference: f64,
}

impl Compared {
    fn value(&mut self, ours: f64, theirs: f64) {
        let difference = (ours - theirs).abs().min(f64::MAX);
        self.n_values += 1;
        self.difference = (self.difference + difference).min(f64::MAX);
        self.max_difference = self.max_difference.max(difference);
    }
}

/// Compares what was answered with what the shadow says; `None` where they are not answers to one question: another
/// task, or another number of rows. Probabilities are compared by the name of their class; a class that only one side
/// knows has probability 0 on the other.
pub(super) fn compare(
    (ours, our_classes): (&Outputs, &[String]),
    (theirs, their_classes): (&Outputs, &[String]),
) -> Option<Compared> {
    let mut compared = Compared::default();
    match (ours, theirs) {
        (
            Outputs::Classes { labels, probabilities },
            Outputs::Classes { labels: their_labels, probabilities: their_probabilities },
        ) => {
            if labels.len() != their_labels.len() {
                return None;
            }
            compared.n_rows = labels.len() as u64;
            compared.n_agreed = labels.iter().zip(their_labels).filter(|(ours, theirs)| ours == theirs).count() as u64;
            let place = |class: &String| their_classes.iter().position(|other| other == class);
            let places: Vec<Option<usize>> = our_classes.iter().map(place).collect();
            let unknown: Vec<usize> = (0..their_classes.len()).filter(|at| !places.contains(&Some(*at))).collect();
            let ours = probabilities.chunks(our_classes.len().max(1));
            for (ours, theirs) in ours.zip(their_probabilities.chunks(their_classes.len().max(1))) {
                for (&value, place) in ours.iter().zip(&places) {
                    compared.value(value, place.and_then(|at| theirs.get(at)).copied().unwrap_or(0.0));
                }
                for &at in &unknown {
                    compared.value(0.0, theirs.get(at).copied().unwrap_or(0.0));
                }
            }
        }
        (Outputs::Numbers(ours), Outputs::Numbers(theirs)) if ours.len() == theirs.len() => {
            compared.n_rows = ours.len() as u64;
            for (&ours, &theirs) in ours.iter().zip(theirs) {
                compared.value(ours, theirs);
                let is_same = (ours - theirs).abs() <= SAME * ours.abs().max(theirs.abs());
                compared.n_agreed += u64::from(is_same);
            }
        }
        _ => return None,
    }
    Some(compared)
}

/// Asks the candidate what the stable version has just answered. Returns at once.
pub(crate) fn beside<D: Dialect>(
    state: &State,
    trial: Arc<Trial>,
    (stable, candidate): (Arc<Served>, Arc<Served>),
    asked: Arc<Asked<D>>,
    outputs: Outputs,
) {
    let place = Arc::clone(state.shadow_places()).try_acquire_owned();
    let (Ok(place), true) = (place, asked.n_bytes() <= MAX_BODY_BYTES) else {
        trial.dropped();
        return;
    };
    let state = state.clone();
    tokio::spawn(async move {
        let _place = place;
        // One shadow works at a time: the others wait here, and there are not many. The semaphore is never closed.
        let Ok(_turn) = state.shadow_turn().acquire().await else { return };
        if trial.tripped().is_some() || !state.queue().has_room() {
            trial.dropped();
            return;
        }
        let work = move || {
            let began = Instant::now();
            let theirs = catch_unwind(AssertUnwindSafe(|| asked.predict(&candidate, &AtomicBool::new(false))));
            judge(&trial, (&stable, &outputs), (&candidate, theirs.ok().and_then(Result::ok)), began.elapsed());
        };
        if let Err(err) = tokio::task::spawn_blocking(work).await {
            tracing::error!("a shadow broke down: {err}");
        }
    });
}

/// Whatever keeps the candidate from an answer that the stable version gave is its failure.
fn judge(
    trial: &Trial,
    (stable, ours): (&Served, &Outputs),
    (candidate, theirs): (&Served, Option<Outputs>),
    took: Duration,
) {
    let classes = |served: &Served| served.signature().classes.clone();
    let compared = theirs.and_then(|theirs| compare((ours, &classes(stable)), (&theirs, &classes(candidate))));
    match compared {
        Some(compared) => trial.compared(&compared, took),
        None => trial.candidate_failed(took, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(labels: &[&str], probabilities: &[f64]) -> Outputs {
        let labels = labels.iter().map(|&label| Arc::from(label)).collect();
        Outputs::Classes { labels, probabilities: probabilities.to_vec() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn labels_agree_and_probabilities_differ_by_class() {
        let ours = classes(&["a", "b"], &[0.75, 0.25, 0.5, 0.5]);
        // The classes stand in another order, and one is new.
        let theirs = classes(&["a", "c"], &[0.0, 0.25, 0.75, 0.5, 0.25, 0.25]);
        let found = compare((&ours, &names(&["a", "b"])), (&theirs, &names(&["c", "b", "a"])));
        let expect =
            Compared { n_rows: 2, n_agreed: 1, n_values: 6, difference: 0.25 + 0.25 + 0.5, max_difference: 0.5 };
        assert_eq!(found, Some(expect));
    }

    #[test]
    fn numbers_agree_within_a_millionth() {
        let ours = Outputs::Numbers(vec![1.0, 2.0, 0.0, -1e308]);
        let theirs = Outputs::Numbers(vec![1.0 + 1e-9, 2.5, 0.0, 1e308]);
        let found = compare((&ours, &[]), (&theirs, &[])).unwrap_or_default();
        assert_eq!((found.n_rows, found.n_agreed, found.n_values), (4, 2, 4));
        assert!(found.difference.is_finite() && found.max_difference.is_finite());
    }

    #[test]
    fn answers_to_other_questions_are_not_compared() {
        let numbers = Outputs::Numbers(vec![1.0]);
        assert_eq!(compare((&numbers, &[]), (&classes(&["a"], &[1.0]), &names(&["a"]))), None);
        assert_eq!(compare((&numbers, &[]), (&Outputs::Numbers(vec![]), &[])), None);
    }
}

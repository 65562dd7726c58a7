//! Any sequence of batches and attempts leaves the series that a simple model says.

use std::collections::BTreeMap;

use athanor_protocol::{metric::Split, run::RunStatus};
use athanor_store::{PageRequest, Recorded, SqliteStore, Store};
use proptest::prelude::*;

use super::help::{id, metrics, owner, point, running};

/// What the contract says of one series: points by step, and where its latest value stands.
#[derive(Default)]
struct Model {
    points: BTreeMap<u64, i32>,
    latest: Option<(u32, u64, i32)>,
}

impl Model {
    fn record(&mut self, attempt: u32, batch: &[(u64, i32)]) {
        let Some(first) = batch.iter().map(|(step, _)| *step).min() else { return };
        if self.latest.is_some_and(|(before, ..)| before < attempt) {
            self.points.retain(|step, _| *step < first);
        }
        for (step, value) in batch {
            self.points.insert(*step, *value);
            if self.latest.is_none_or(|(before, at, _)| before < attempt || at <= *step) {
                self.latest = Some((attempt, *step, *value));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn series_follow_the_model(
        batches in prop::collection::vec((prop::collection::vec((0_u64..30, any::<i32>()), 0..12), any::<bool>()), 1..10),
    ) {
        let store = SqliteStore::open_in_memory().unwrap();
        let run = running(&store, 1);
        let mut model = Model::default();
        let mut attempt = 1;
        for (seq, (batch, resume)) in (1..).zip(&batches) {
            if *resume {
                store.finish(&run, attempt, RunStatus::Failed, None, true, 3_000).unwrap();
                attempt = store.resume(&run, 3_000).unwrap();
                store.start_attempt(&run, attempt, &owner(), 3_000).unwrap();
            }
            let points = batch.iter().map(|(step, value)| point("loss", *step, f64::from(*value))).collect();
            let points = metrics(points);
            prop_assert_eq!(store.record(&id(1), attempt, seq, &points).unwrap(), Recorded::Applied);
            prop_assert_eq!(store.record(&id(1), attempt, seq, &points).unwrap(), Recorded::Duplicate);
            model.record(attempt, batch);
        }
        let found = store.points(&run, "loss", Split::Train, &PageRequest::first(1000)).unwrap().items;
        let found: Vec<_> = found.iter().map(|point| (point.step, point.value.to_f64() as i32)).collect();
        prop_assert_eq!(found, model.points.into_iter().collect::<Vec<_>>());
        let latest = store.run(&run).unwrap().summary.latest;
        let latest = latest.first().map(|point| (point.step, point.value.to_f64() as i32));
        prop_assert_eq!(latest, model.latest.map(|(_, step, value)| (step, value)));
        let buckets = store.series(&run, "loss", Split::Train, None, 7).unwrap();
        prop_assert_eq!(buckets.last().and_then(|bucket| bucket.last).is_some(), latest.is_some());
    }
}

//! Metric points: history, latest values, drawing.

use athanor_protocol::{
    Code,
    metric::{MetricPoint, MetricValue, Split},
    names::RunId,
    run::RunStatus,
};
use athanor_store::{PageRequest, Store, limits};

use super::code;
use crate::help::{id, metrics, owner, point, running};

fn all_points(store: &dyn Store, run: &RunId, key: &str, split: Split) -> Vec<(u64, f64)> {
    let page = store.points(run, key, split, &PageRequest::first(limits::PAGE_SIZE)).unwrap();
    page.items.iter().map(|point| (point.step, point.value.to_f64())).collect()
}

pub fn the_latest_value_follows_the_rule(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    // The greatest step, whenever it comes; of one step the one recorded last.
    let check = |seq, points: &[(u64, f64)], expect: (u64, f64)| {
        let batch = points.iter().map(|(step, value)| point("loss", *step, *value)).collect();
        a.record(&run, 1, seq, &metrics(batch)).unwrap();
        let latest = b.run(&run).unwrap().summary.latest;
        assert_eq!((latest.len(), latest[0].step, latest[0].value.to_f64()), (1, expect.0, expect.1), "batch {seq}");
    };
    check(1, &[(5, 0.5), (3, 0.3)], (5, 0.5));
    check(2, &[(4, 0.4)], (5, 0.5));
    check(3, &[(5, 0.6)], (5, 0.6));
    check(4, &[(7, 0.7), (7, 0.8), (6, 0.6)], (7, 0.8));
    assert_eq!(all_points(b, &run, "loss", Split::Train), [(3, 0.3), (4, 0.4), (5, 0.6), (6, 0.6), (7, 0.8)]);
    // The same key in another split is another series.
    let other = MetricPoint { split: Split::Valid, ..point("loss", 1, 9.0) };
    a.record(&run, 1, 5, &metrics(vec![other])).unwrap();
    assert_eq!(b.run(&run).unwrap().summary.latest.len(), 2);
}

pub fn a_resumed_run_has_one_history(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let system = |step| MetricPoint { split: Split::System, ..point("cpu_percent", step, 1.0) };
    let first = (0..10).map(|step| point("loss", step, 1.0)).chain((0..10).map(system)).collect();
    a.record(&run, 1, 1, &metrics(first)).unwrap();
    a.finish(&run, 1, RunStatus::Failed, None, true, 3_000).unwrap();
    a.resume(&run, 4_000).unwrap();
    a.start_attempt(&run, 2, &owner(), 4_000).unwrap();
    // It goes on from the checkpoint at step 6 and stops early at 7.
    a.record(&run, 2, 1, &metrics(vec![point("loss", 6, 2.0), system(10)])).unwrap();
    a.record(&run, 2, 2, &metrics(vec![point("loss", 7, 2.0)])).unwrap();
    let expect: Vec<_> = (0..8).map(|step| (step, if step < 6 { 1.0 } else { 2.0 })).collect();
    assert_eq!(all_points(b, &run, "loss", Split::Train), expect);
    assert_eq!(all_points(b, &run, "cpu_percent", Split::System).len(), 11);
    let latest = b.run(&run).unwrap().summary.latest;
    assert_eq!((latest[0].step, latest[0].value), (7, MetricValue::Finite(2.0)));
}

pub fn non_finite_values_stay_what_they_are(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE, f64::MAX, 0.1, -1.0 / 3.0];
    let points: Vec<_> = (0..).zip(values).map(|(step, value)| point("loss", step, value)).collect();
    a.record(&run, 1, 1, &metrics(points.clone())).unwrap();
    let page = b.points(&run, "loss", Split::Train, &PageRequest::first(100)).unwrap();
    assert_eq!(page.items, points);
    for (seq, value) in (2..).zip(values) {
        a.record(&run, 1, seq, &metrics(vec![point("loss", 100, value)])).unwrap();
        assert_eq!(b.run(&run).unwrap().summary.latest[0].value, MetricValue::from(value));
    }
}

pub fn points_come_in_pages(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let points: Vec<_> = (0..25).map(|step| point("loss", step * 3, 0.0)).collect();
    let keys: Vec<_> = (0..25).map(|n| point(&format!("key{n:02}"), 0, 0.0)).collect();
    a.record(&run, 1, 1, &metrics(points.iter().chain(&keys).cloned().collect())).unwrap();
    let pages = |ask: &dyn Fn(&PageRequest) -> athanor_store::Page<MetricPoint>| {
        let mut found = vec![];
        let mut request = PageRequest::first(10);
        loop {
            let page = ask(&request);
            assert!(page.items.len() == 10 || page.next.is_none());
            found.extend(page.items);
            match page.next {
                Some(next) => request = PageRequest::after(10, next),
                None => return found,
            }
        }
    };
    assert_eq!(pages(&|request| b.points(&run, "loss", Split::Train, request).unwrap()), points);
    assert_eq!(pages(&|request| b.metric_keys(&run, request).unwrap()).len(), 26);
    // A token of one list is refused by another.
    let token = b.points(&run, "loss", Split::Train, &PageRequest::first(3)).unwrap().next.unwrap();
    for token in [token.as_str(), "", "zz", "3030303030", "é"] {
        assert_eq!(code(b.metric_keys(&run, &PageRequest::after(3, token))), Code::InvalidArgument, "{token}");
    }
    for size in [0, limits::PAGE_SIZE + 1] {
        assert_eq!(code(b.points(&run, "loss", Split::Train, &PageRequest::first(size))), Code::InvalidArgument);
    }
    assert_eq!(code(b.points(&id(2), "loss", Split::Train, &PageRequest::first(3))), Code::NotFound);
    assert!(b.points(&run, "unknown", Split::Train, &PageRequest::first(3)).unwrap().items.is_empty());
}

pub fn a_series_is_decimated_without_losing_peaks(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let value = |step: u64| match step {
        137 => 1e9,
        811 => -1e9,
        500 => f64::NAN,
        501 => f64::INFINITY,
        step => step as f64,
    };
    a.record(&run, 1, 1, &metrics((0..1_000).map(|step| point("loss", step, value(step))).collect())).unwrap();
    let check = |range, n_buckets: u32, expect: std::ops::Range<u64>| {
        let range: Option<std::ops::RangeInclusive<u64>> = range;
        let buckets = b.series(&run, "loss", Split::Train, range.clone(), n_buckets).unwrap();
        assert!(buckets.len() <= n_buckets as usize);
        let mut steps = expect.clone();
        let timed = b.timed_series(&run, "loss", Split::Train, range.clone(), n_buckets).unwrap();
        assert!(timed.iter().map(|timed| &timed.bucket).eq(&buckets));
        let time = |step: u64| point("loss", step, 0.0).at_millis;
        assert!(timed.iter().all(|t| t.times == [time(t.bucket.step_min), time(t.bucket.step_max)]));
        for bucket in &buckets {
            let inside: Vec<_> = steps.by_ref().take(bucket.n_points as usize).collect();
            assert_eq!((inside.first(), inside.last()), (Some(&bucket.step_min), Some(&bucket.step_max)));
            let values = || inside.iter().map(|step| value(*step)).filter(|value| value.is_finite());
            assert_eq!(bucket.min, values().reduce(f64::min));
            assert_eq!(bucket.max, values().reduce(f64::max));
            assert_eq!(bucket.last, values().next_back());
            assert_eq!(bucket.n_non_finite as usize, inside.len() - values().count());
        }
        assert_eq!(steps.next(), None, "{n_buckets} buckets leave points out");
    };
    for n_buckets in [1, 3, 100, 999, 1_000, 10_000] {
        check(None, n_buckets, 0..1_000);
        check(Some(450..=549), n_buckets, 450..550);
        check(Some(900..=u64::MAX), n_buckets, 900..1_000);
        check(Some(5_000..=u64::MAX), n_buckets, 0..0);
    }
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = Some(9..=3);
    assert!(b.series(&run, "loss", Split::Train, backwards, 10).unwrap().is_empty());
    assert!(b.series(&run, "unknown", Split::Train, None, 10).unwrap().is_empty());
    for n_buckets in [0, limits::BUCKETS + 1] {
        assert_eq!(code(b.series(&run, "loss", Split::Train, None, n_buckets)), Code::InvalidArgument);
    }
    // The widest range there can be.
    let wide = i64::MAX.cast_unsigned();
    a.record(&run, 1, 2, &metrics(vec![point("wide", 0, 1.0), point("wide", wide, 2.0)])).unwrap();
    for n_buckets in [1, 2, 10_000] {
        let buckets = b.series(&run, "wide", Split::Train, None, n_buckets).unwrap();
        assert_eq!(buckets.iter().map(|bucket| bucket.n_points).sum::<u64>(), 2);
        assert_eq!(buckets.last().unwrap().step_max, wide);
    }
}

pub fn metrics_are_found_by_a_text_in_their_names(a: &dyn Store, b: &dyn Store) {
    let run = running(a, 1);
    let mut points: Vec<_> = (0..30).map(|n| point(&format!("Layer{n:02}"), 1, f64::from(n))).collect();
    points.push(MetricPoint { split: Split::Valid, ..point("loss", 1, 0.5) });
    a.record(&run, 1, 1, &metrics(points)).unwrap();
    let check = |text: &str, offset, limit, expect: &[&str], total| {
        let (found, n) = b.find_metrics(&run, text, offset, limit).unwrap();
        assert_eq!(found.iter().map(|point| point.key.as_str()).collect::<Vec<_>>(), expect, "{text:?}");
        assert_eq!(n, total, "{text:?}");
    };
    check("", 29, 10, &["Layer29", "loss"], 31);
    check("layer0", 0, 3, &["Layer00", "Layer01", "Layer02"], 10);
    check("LAYER0", 9, 3, &["Layer09"], 10);
    check("valid/", 0, 3, &["loss"], 1);
    check("%", 0, 3, &[], 0);
    check("", 100, 3, &[], 31);
    assert_eq!(code(b.find_metrics(&run, "", 0, 0)), Code::InvalidArgument);
    assert_eq!(code(b.find_metrics(&id(9), "", 0, 1)), Code::NotFound);
}

//! Prints how long the store takes for what has to be quick: `cargo run -p athanor-store --example timing`.

use std::time::Instant;

use athanor_protocol::{
    metric::{MetricPoint, Split},
    names::RunId,
    run::{NewRun, Owner},
};
use athanor_store::{Batch, RunQuery, RunSort, SqliteStore, Store};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn begin(store: &dyn Store, n: u32) -> Outcome<RunId> {
    let id = RunId::new(format!("{n:026}"))?;
    store.create_run(&NewRun {
        id: id.clone(),
        workflow: "timing".to_owned(),
        workflow_json: "{}".to_owned(),
        seed: 1,
        device: "cpu".to_owned(),
        created_at_millis: i64::from(n),
        steps: vec![],
        params: vec![],
        environment: vec![],
    })?;
    store.start_attempt(&id, 1, &Owner { host: "here".to_owned(), pid: 1, started: 1 }, i64::from(n))?;
    Ok(id)
}

fn point(key: &str, step: u64) -> MetricPoint {
    let value = (step as f64 * 0.001).sin().into();
    MetricPoint { key: key.to_owned(), split: Split::Train, step, at_millis: step.cast_signed(), value }
}

fn batch(points: impl Iterator<Item = MetricPoint>) -> Batch {
    Batch { metrics: points.collect(), ..Batch::default() }
}

/// The best and the middle of several tries, in milliseconds.
fn time(what: &str, mut work: impl FnMut() -> Outcome<usize>) -> Outcome<()> {
    let mut tries = vec![];
    let mut n = 0;
    for _ in 0..9 {
        let began = Instant::now();
        n = work()?;
        tries.push(began.elapsed().as_secs_f64() * 1e3);
    }
    tries.sort_by(f64::total_cmp);
    println!("{what}: best {:.2} ms, middle {:.2} ms ({n} items)", tries[0], tries[tries.len() / 2]);
    Ok(())
}

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(&folder.path().join("athanor.db"))?;

    let run = begin(&store, 20_001)?;
    let batches: Vec<_> = (0..200).map(|b| batch((0..500).map(|n| point("loss", b * 500 + n)))).collect();
    let began = Instant::now();
    for (seq, batch) in (1..).zip(&batches) {
        store.record(&run, 1, seq, batch)?;
    }
    println!("one series, batches of 500: {:.0} points/s", 100_000.0 / began.elapsed().as_secs_f64());
    let began = Instant::now();
    for (seq, batch) in (1..).zip(&batches) {
        store.record(&run, 1, seq, batch)?;
    }
    println!("the same batches again: {:.4} ms each", began.elapsed().as_secs_f64() * 1e3 / 200.0);

    let run_wide = begin(&store, 20_002)?;
    let keys: Vec<_> = (0..20).map(|n| format!("metric_{n}")).collect();
    let batches: Vec<_> =
        (0..200).map(|b| batch((0..500).map(|n| point(&keys[n as usize % 20], b * 25 + n / 20)))).collect();
    let began = Instant::now();
    for (seq, batch) in (1..).zip(&batches) {
        store.record(&run_wide, 1, seq, batch)?;
    }
    println!("twenty series, batches of 500: {:.0} points/s", 100_000.0 / began.elapsed().as_secs_f64());

    let began = Instant::now();
    for n in 0..10_000 {
        let run = begin(&store, n)?;
        store.record(&run, 1, 1, &batch(keys.iter().map(|key| point(key, u64::from(n)))))?;
    }
    println!("10,000 runs with 20 metrics each made in {:.1} s", began.elapsed().as_secs_f64());

    time("first page by creation", || Ok(store.list_runs(&RunQuery::default())?.items.len()))?;
    let by_metric =
        RunQuery { sort: RunSort::Metric { key: "metric_3".to_owned(), split: Split::Train }, ..RunQuery::default() };
    time("first page by a metric", || Ok(store.list_runs(&by_metric)?.items.len()))?;
    let by_duration = RunQuery { sort: RunSort::Duration, ..RunQuery::default() };
    time("first page by duration", || Ok(store.list_runs(&by_duration)?.items.len()))?;
    let search = RunQuery { text: Some("00777".to_owned()), ..RunQuery::default() };
    time("first page of a search", || Ok(store.list_runs(&search)?.items.len()))?;
    time("100,000 points in 1,000 buckets", || Ok(store.series(&run, "loss", Split::Train, None, 1_000)?.len()))?;
    time("change counter, 1,000 times", || {
        (0..1_000).try_for_each(|_| store.change_counter().map(drop))?;
        Ok(1_000)
    })?;
    let began = Instant::now();
    drop(store);
    let store = SqliteStore::open(&folder.path().join("athanor.db"))?;
    println!("close and open: {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
    time("findings", || Ok(store.findings()?.len()))?;
    Ok(())
}

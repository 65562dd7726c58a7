//! Measures the store: metric points a second, the first page of 10,000 runs, a long series decimated. Ends with one JSON
//! object. Limits stand in xtask's list of benchmarks.

use std::{path::Path, time::Instant};

use anyhow::Result;
use athanor_protocol::{
    metric::{MetricPoint, Split},
    names::RunId,
    run::{NewRun, Owner, RunStatus},
};
use athanor_store::{Batch, PageRequest, RunQuery, SqliteStore, Store};

const N_RUNS: usize = 10_000;
const N_METRICS: usize = 20;
const N_POINTS: u64 = 100_000;
const BATCH: usize = 500;
const ROUNDS: usize = 9;

fn run_id(at: usize) -> Result<RunId> {
    Ok(RunId::new(format!("{at:026}"))?)
}

fn start(store: &dyn Store, at: usize) -> Result<RunId> {
    let id = run_id(at)?;
    let params = (0..10).map(|n| (format!("train.param_{n}"), format!("{}", n * at))).collect();
    store.create_run(&NewRun {
        id: id.clone(),
        workflow: format!("workflow {}", at % 17),
        workflow_json: "{}".to_owned(),
        seed: 0,
        device: "cpu".to_owned(),
        created_at_millis: at as i64,
        steps: vec![],
        params,
        environment: vec![],
    })?;
    store.start_attempt(&id, 1, &Owner { host: "bench".to_owned(), pid: 1, started: 1 }, at as i64)?;
    Ok(id)
}

fn point(key: &str, step: u64) -> MetricPoint {
    let value = ((step as f64) * 0.001).sin() + (step % 97) as f64 * 0.01;
    MetricPoint { key: key.to_owned(), split: Split::Train, step, at_millis: step as i64, value: value.into() }
}

/// Median of several times in milliseconds.
fn median_millis(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        work()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ROUNDS / 2])
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(Path::new(&folder.path().join("athanor.db")))?;

    // One curve of 100,000 points in batches of 500, as a recorder writes it.
    let long = start(&store, N_RUNS)?;
    let steps: Vec<u64> = (0..N_POINTS).collect();
    let batches: Vec<Batch> = steps
        .chunks(BATCH)
        .map(|steps| Batch { metrics: steps.iter().map(|&step| point("loss", step)).collect(), ..Batch::default() })
        .collect();
    let began = Instant::now();
    for (seq, batch) in (1..).zip(&batches) {
        store.record(&long, 1, seq, batch)?;
    }
    let points_per_sec = N_POINTS as f64 / began.elapsed().as_secs_f64();
    // The same batches again, as after an answer that was lost: nothing is read but their numbers.
    let began = Instant::now();
    for (seq, batch) in (1..).zip(&batches) {
        store.record(&long, 1, seq, batch)?;
    }
    let retried_points_per_sec = N_POINTS as f64 / began.elapsed().as_secs_f64();

    for at in 0..N_RUNS {
        let id = start(&store, at)?;
        let metrics = (0..N_METRICS).map(|n| point(&format!("metric_{n}"), at as u64)).collect();
        store.record(&id, 1, 1, &Batch { metrics, ..Batch::default() })?;
        store.finish(&id, 1, RunStatus::Finished, None, false, at as i64 + 1)?;
    }
    let query = RunQuery { page: PageRequest::first(100), ..RunQuery::default() };
    let first_page_millis = median_millis(|| {
        anyhow::ensure!(store.list_runs(&query)?.items.len() == 100, "the page is not full");
        Ok(())
    })?;
    let series_millis = median_millis(|| {
        let series = store.series(&long, "loss", Split::Train, None, 1_000)?;
        anyhow::ensure!(series.iter().map(|bucket| bucket.n_points).sum::<u64>() == N_POINTS, "points are missing");
        Ok(())
    })?;
    let result = serde_json::json!({
        "points_per_sec": points_per_sec, "retried_points_per_sec": retried_points_per_sec,
        "n_runs": N_RUNS, "first_page_millis": first_page_millis,
        "n_points": N_POINTS, "series_millis": series_millis,
    });
    println!("{result}");
    Ok(())
}

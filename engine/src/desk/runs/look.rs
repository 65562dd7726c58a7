//! Looking at runs: lists, one in full, its metrics, curves, log, reports and files.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, LogEntry, LogPage, MetricPage, NodeProgress, ReportsAnswer, RunGet, RunList, RunLogs, RunMetrics,
        RunOrder, RunPage, RunReports, RunRow, RunSaveArtifact, RunSeries, RunView, Series, SeriesAnswer, SeriesKey,
    },
    catalogue::Catalogue,
    metric::Split,
    names::RunId,
    run::{Artifact, StepRecord, StepState},
};
use athanor_store::{PageRequest, RunQuery, RunSort, Store};

use super::{Desk, lock};
use crate::{
    EngineError,
    error::{IoContext, Result},
    files,
    runs::reconcile,
    workspace::Workspace,
};

/// Most parameters of a run in a list.
const MAX_PARAMS: usize = 60;
/// Most metrics in the answer about one run; the others come in pages.
const MAX_LATEST: usize = 1_000;
const MAX_SERIES: usize = 200;
const MAX_BUCKETS: u32 = 4_000;
const MAX_LINES: u32 = 5_000;
const MAX_REPORT_BYTES: u64 = 64 << 20;
/// The metric that says at which step an epoch ended.
const EPOCH: &str = "epoch";

/// What the training nodes of a run are and were set to.
#[derive(Default)]
struct Learned {
    params: Vec<(String, String)>,
    learners: Vec<String>,
}

pub(in crate::desk) fn run_list(desk: &Arc<Desk>, ask: RunList) -> Result<RunPage, Failure> {
    let workspace = desk.workspace()?;
    let sort = match ask.order {
        RunOrder::Created => RunSort::Created,
        RunOrder::Duration => RunSort::Duration,
        RunOrder::Metric { key, split } => RunSort::Metric { key, split },
    };
    let page = workspace.store.list_runs(&RunQuery {
        status: ask.status,
        workflow: ask.workflow,
        text: Some(ask.text).filter(|text| !text.is_empty()),
        deleted: ask.deleted,
        sort,
        descending: ask.descending,
        page: PageRequest { size: ask.limit, token: ask.after },
    })?;
    let ids: Vec<RunId> = page.items.iter().map(|run| run.id.clone()).collect();
    let catalogue = Catalogue::builtin();
    let mut settings: HashMap<RunId, Learned> = HashMap::new();
    for step in workspace.store.step_settings(&ids, "train.")? {
        let learned = settings.entry(step.run).or_default();
        let room = MAX_PARAMS.saturating_sub(learned.params.len());
        learned.params.extend(step.params.into_iter().take(room));
        learned.learners.push(catalogue.kind(&step.kind).map_or(step.kind, |kind| kind.title.clone()));
    }
    let row = |summary: athanor_protocol::run::RunSummary| {
        let Learned { params, learners } = settings.remove(&summary.id).unwrap_or_default();
        RunRow { summary, params, learners }
    };
    Ok(RunPage { items: page.items.into_iter().map(row).collect(), next: page.next })
}

pub(in crate::desk) fn run_get(desk: &Arc<Desk>, ask: RunGet) -> Result<RunView, Failure> {
    let workspace = desk.workspace()?;
    let mut detail = workspace.store.run(&ask.run)?;
    if !detail.summary.status.is_final() && desk.runs.progress(&ask.run).is_empty() {
        // Perhaps the process that was at it is gone. A disk that may only be read keeps what it says.
        let is_read_only = desk.host.info().is_some_and(|info| info.read_only);
        if !is_read_only && !reconcile::reconcile(&workspace)?.is_empty() {
            detail = workspace.store.run(&ask.run)?;
            super::changed(desk, &workspace, &ask.run);
        }
    }
    detail.summary.latest.truncate(MAX_LATEST);
    let mut known = desk.runs.progress(&ask.run);
    let progress = detail.steps.iter().map(|step| known.remove(&step.node).unwrap_or_else(|| progress_of(step)));
    let progress = progress.collect();
    Ok(RunView { progress, versions: workspace.store.versions_of(&ask.run)?, detail })
}

/// How far a step is, as far as its state tells.
fn progress_of(step: &StepRecord) -> NodeProgress {
    let done = u64::from(matches!(step.state, StepState::Done | StepState::Cached));
    NodeProgress {
        node: step.node.clone(),
        state: step.state,
        done,
        total: done,
        note: String::new(),
        millis: step.millis,
    }
}

pub(in crate::desk) fn run_metrics(desk: &Arc<Desk>, ask: RunMetrics) -> Result<MetricPage, Failure> {
    let (items, total) = desk.workspace()?.store.find_metrics(&ask.run, &ask.text, ask.offset, ask.limit)?;
    Ok(MetricPage { items, total })
}

pub(in crate::desk) fn run_series(desk: &Arc<Desk>, ask: RunSeries) -> Result<SeriesAnswer, Failure> {
    let workspace = desk.workspace()?;
    if ask.series.len() > MAX_SERIES {
        let message = format!("{} series at once are too many, {MAX_SERIES} are the most", ask.series.len());
        return Err(Failure::new(Code::TooLarge, message).hint("choose fewer runs or metrics"));
    }
    if ask.n_buckets == 0 || ask.n_buckets > MAX_BUCKETS {
        let message = format!("{} buckets are asked for, it must be 1 to {MAX_BUCKETS}", ask.n_buckets);
        return Err(Failure::new(Code::InvalidArgument, message).on("n_buckets"));
    }
    let range = (ask.from_step.is_some() || ask.to_step.is_some())
        .then(|| ask.from_step.unwrap_or(0)..=ask.to_step.unwrap_or(u64::MAX));
    // Each series is read by itself, so they are read by as many threads as there are processors.
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Result<Series, Failure>)>> = Mutex::default();
    let read = || {
        while let Some((at, key)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            ask.series.get(at).map(|key| (at, key))
        } {
            let series = one_series(&*workspace.store, key, range.clone(), ask.n_buckets);
            lock(&found).push((at, series));
        }
    };
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(8).min(ask.series.len());
    std::thread::scope(|scope| {
        for _ in 1..n_threads {
            scope.spawn(read);
        }
        read();
    });
    let mut found = std::mem::take(&mut *lock(&found));
    found.sort_by_key(|(at, _)| *at);
    let series: Result<Vec<Series>, Failure> = found.into_iter().map(|(_, series)| series).collect();
    Ok(SeriesAnswer { series: series? })
}

fn one_series(
    store: &dyn Store,
    key: &SeriesKey,
    range: Option<std::ops::RangeInclusive<u64>>,
    n_buckets: u32,
) -> Result<Series, Failure> {
    let timed = store.timed_series(&key.run, &key.key, key.split, range, n_buckets)?;
    let (mut buckets, mut times) = (Vec::with_capacity(timed.len()), Vec::with_capacity(timed.len()));
    for timed in timed {
        buckets.push(timed.bucket);
        times.push(timed.times);
    }
    let mut epochs = vec![];
    // Only what is learned goes by optimisation steps: samples of the system are numbered by seconds, a test has one.
    if matches!(key.split, Split::Train | Split::Valid) && !buckets.is_empty() {
        // Where several learn in one run, the node's name stands in front of all of its metrics.
        let prefix = key.key.rsplit_once('.').map_or("", |(prefix, _)| prefix);
        let name = if prefix.is_empty() { EPOCH.to_owned() } else { format!("{prefix}.{EPOCH}") };
        let ends = store.series(&key.run, &name, Split::System, None, MAX_BUCKETS)?;
        let ends: Vec<(f64, f64)> = ends.iter().filter_map(|end| Some((end.step_max as f64, end.last?))).collect();
        if !ends.is_empty() {
            epochs = buckets.iter().map(|bucket| epoch_at(&ends, bucket.step_max as f64)).collect();
        }
    }
    Ok(Series { key: key.clone(), buckets, times, epochs })
}

/// The epoch at a step, between the steps at which epochs ended; steps before the first end began at epoch 0.
fn epoch_at(ends: &[(f64, f64)], step: f64) -> f64 {
    let at = ends.partition_point(|(end, _)| *end < step);
    let before = at.checked_sub(1).map_or((0.0, 0.0), |at| ends[at]);
    match ends.get(at) {
        Some(after) if after.0 > before.0 => before.1 + (after.1 - before.1) * (step - before.0) / (after.0 - before.0),
        Some(after) => after.1,
        None => before.1,
    }
}

pub(in crate::desk) fn run_logs(desk: &Arc<Desk>, ask: RunLogs) -> Result<LogPage, Failure> {
    let lines = desk.workspace()?.store.logs(&ask.run, ask.after, ask.limit.min(MAX_LINES))?;
    let entry = |record: athanor_store::LogRecord| LogEntry {
        no: record.no,
        at_millis: record.line.at_millis,
        level: record.line.level,
        text: record.line.text,
        attempt: record.attempt,
    };
    Ok(LogPage { items: lines.into_iter().map(entry).collect() })
}

pub(in crate::desk) fn run_reports(desk: &Arc<Desk>, ask: RunReports) -> Result<ReportsAnswer, Failure> {
    let workspace = desk.workspace()?;
    let detail = workspace.store.run(&ask.run)?;
    let mut items = vec![];
    for artifact in detail.artifacts.iter().filter(|artifact| artifact.kind == "report") {
        let path = place(&workspace, artifact)?;
        let bytes = files::read_limited(&path, MAX_REPORT_BYTES)?;
        let report = serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", &path)?;
        // An artifact is called `node.file`; a node's name holds no dot.
        let node = artifact.name.split('.').next().unwrap_or_default();
        items.push((node.to_owned(), report));
    }
    Ok(ReportsAnswer { items })
}

fn place(workspace: &Workspace, artifact: &Artifact) -> Result<std::path::PathBuf, Failure> {
    workspace.artifacts.path(&artifact.digest).ok_or_else(|| {
        Failure::new(Code::Corrupt, format!("the file {:?} has no digest that could be found", artifact.name))
            .on(artifact.name.clone())
    })
}

pub(in crate::desk) fn run_save_artifact(desk: &Arc<Desk>, ask: RunSaveArtifact) -> Result<Done, Failure> {
    let to = Path::new(&ask.path);
    if !to.is_absolute() {
        return Err(Failure::new(Code::InvalidArgument, format!("{:?} is not a whole path", ask.path))
            .hint("name a file with all its folders"));
    }
    let workspace = desk.workspace()?;
    let (from, digest) = artifact(&workspace, &ask.run, &ask.name)?;
    copy_checked(&from, to, &ask.name, &digest)?;
    Ok(Done {})
}

/// Where a file of a run lies, and the digest of its bytes.
///
/// # Errors
/// If there is no such run or file.
pub(in crate::desk) fn artifact(
    workspace: &Workspace,
    run: &RunId,
    name: &str,
) -> Result<(std::path::PathBuf, String), Failure> {
    let detail = workspace.store.run(run)?;
    let artifact = detail.artifacts.iter().find(|artifact| artifact.name == name).ok_or_else(|| {
        let names: Vec<&str> = detail.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
        Failure::new(Code::NotFound, format!("run {run} has no file {name:?}")).on(name).hint(if names.is_empty() {
            "it made none".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        })
    })?;
    Ok((place(workspace, artifact)?, artifact.digest.clone()))
}

/// The failure of a file whose bytes have changed.
pub(in crate::desk) fn damaged(name: &str) -> Failure {
    Failure::new(Code::Corrupt, format!("the file {name:?} is damaged: its bytes are not those that were written"))
        .on(name)
        .hint("run the workflow again to make the file anew")
}

/// Copies a file beside its place and renames it when its bytes are the right ones.
fn copy_checked(from: &Path, to: &Path, name: &str, expected: &str) -> Result<(), Failure> {
    let beside = files::beside(to);
    let copied = (|| {
        std::fs::copy(from, &beside).at("copy", from)?;
        let (digest, _) = files::digest_file(&beside)?;
        if digest != expected {
            return Err(EngineError::Failure(damaged(name)));
        }
        std::fs::rename(&beside, to).at("write", to)
    })();
    if copied.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    Ok(copied?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_read_off_between_their_ends() {
        let ends = [(10.0, 1.0), (20.0, 2.0), (30.0, 3.0)];
        for (step, epoch) in [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0), (25.0, 2.5), (30.0, 3.0), (99.0, 3.0)] {
            assert!((epoch_at(&ends, step) - epoch).abs() < 1e-12, "{step}");
        }
        assert!((epoch_at(&[(0.0, 1.0)], 0.0) - 1.0).abs() < 1e-12);
    }
}

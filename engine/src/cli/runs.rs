//! `runs`: list, show, metrics, cancel, resume, log.

use athanor_protocol::{
    Code, Failure,
    metric::{Split, metric_info},
    names::RunId,
    run::{RunStatus, RunSummary},
};
use athanor_store::{PageRequest, RunQuery, RunSort};
use serde_json::json;

use super::{
    Context,
    args::RunsCommand,
    output::{number, table, time},
    run::{report, resume_options, watched},
    stop_on_signal,
};
use crate::{
    error::{EngineError, Result},
    runs::{self, reconcile},
    workspace::Workspace,
};

pub(crate) fn run(context: &Context, command: RunsCommand) -> Result<bool> {
    let workspace = context.open()?;
    reconcile::reconcile(&workspace)?;
    let find = |text: &str| Ok::<RunId, EngineError>(workspace.store.resolve_run(text)?);
    match command {
        RunsCommand::List { status, search, sort, limit, page } => {
            list(context, &workspace, status.as_deref(), search, sort.as_deref(), limit, page)?;
        }
        RunsCommand::Show { run } => show(context, &workspace, &find(&run)?)?,
        RunsCommand::Metrics { run, key, points } => {
            metrics(context, &workspace, &find(&run)?, key.as_deref(), points)?
        }
        RunsCommand::Cancel { run } => {
            let run = find(&run)?;
            reconcile::cancel(&workspace, &run, "cancelled by the user")?;
            let status = workspace.store.run(&run)?.summary.status;
            context
                .out
                .result(&json!({ "run_id": run, "status": status }), || format!("run {run} {}", status.as_str()));
        }
        RunsCommand::Resume { run, work } => {
            let run = find(&run)?;
            stop_on_signal(&context.stop);
            let options = resume_options(context, &work);
            let outcome = watched(context, |observe| runs::resume(&workspace, &run, &options, &context.stop, observe))?;
            report(context, &outcome);
            return Ok(outcome.detail.summary.status == RunStatus::Finished);
        }
        RunsCommand::Log { run } => {
            let lines = workspace.store.logs(&find(&run)?, 0, 10_000)?;
            let values = lines.iter().map(|record| {
                let line = &record.line;
                json!({ "no": record.no, "attempt": record.attempt, "at_millis": line.at_millis, "level": line.level, "text": line.text })
            });
            let values: Vec<serde_json::Value> = values.collect();
            context.out.result(&json!({ "lines": values }), || {
                let text = |line: &athanor_store::LogLine| {
                    format!("{} {:<5} {}\n", time(line.at_millis), line.level, line.text)
                };
                lines.iter().map(|record| text(&record.line)).collect()
            });
        }
    }
    Ok(true)
}

fn list(
    context: &Context,
    workspace: &Workspace,
    status: Option<&str>,
    search: Option<String>,
    sort: Option<&str>,
    limit: usize,
    page: Option<String>,
) -> Result<()> {
    let status = match status {
        None => vec![],
        Some(text) => vec![RunStatus::parse(text).ok_or_else(|| {
            EngineError::Usage(format!(
                "{text:?} is no state of a run; there are queued, running, finished, failed, cancelled"
            ))
        })?],
    };
    let (sort, descending) = match sort {
        None => (RunSort::Created, true),
        Some(text) => {
            let (split, key) = split_key(text)?;
            // Best first, where it is known which way is better.
            let last = key.rsplit('.').next().unwrap_or(&key);
            let descending = metric_info(last).and_then(|info| info.higher_is_better).unwrap_or(true);
            (RunSort::Metric { split, key }, descending)
        }
    };
    let page = PageRequest { size: u32::try_from(limit.clamp(1, 1000)).unwrap_or(1000), token: page };
    let query = RunQuery { status, text: search, sort, descending, page, ..RunQuery::default() };
    let page = workspace.store.list_runs(&query)?;
    let value = json!({ "runs": page.items, "next_page": page.next });
    context.out.result(&value, || {
        if page.items.is_empty() {
            return "no runs; start one with: athanor run WORKFLOW.json".to_owned();
        }
        let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
        let mut text = table(&["run", "workflow", "status", "created (UTC)", "seconds", "test metrics"], &rows);
        if let Some(next) = &page.next {
            text += &format!("\nmore with --page {next}");
        }
        text
    });
    Ok(())
}

fn row(run: &RunSummary) -> Vec<String> {
    let seconds = match (run.started_at_millis, run.ended_at_millis) {
        (Some(from), Some(to)) => format!("{:.1}", (to - from) as f64 / 1000.0),
        _ => "-".to_owned(),
    };
    // The one figure that people compare by; 'runs show' has all.
    let telling = |key: &str| ["accuracy", "r2"].contains(&key.rsplit('.').next().unwrap_or(key));
    let metrics = run.latest.iter().filter(|point| point.split == Split::Test && telling(&point.key)).take(3);
    let metrics: Vec<String> = metrics.map(|point| format!("{} {}", point.key, number(point.value.to_f64()))).collect();
    vec![
        run.id.to_string(),
        run.workflow.clone(),
        run.status.as_str().to_owned(),
        time(run.created_at_millis),
        seconds,
        metrics.join(", "),
    ]
}

fn show(context: &Context, workspace: &Workspace, run: &RunId) -> Result<()> {
    let detail = workspace.store.run(run)?;
    let value = serde_json::to_value(&detail).unwrap_or_default();
    context.out.result(&value, || {
        let summary = &detail.summary;
        let mut text = format!(
            "run        {}\nworkflow   {}\nstatus     {}",
            summary.id,
            summary.workflow,
            summary.status.as_str()
        );
        if let Some(failure) = &summary.failure {
            text += &format!(" ({})", failure.message);
        }
        text += &format!(
            "\nattempt    {}\ncreated    {}\ndevice     {}, seed {}",
            summary.attempt,
            time(summary.created_at_millis),
            summary.device,
            summary.seed
        );
        if let Some(reproducibility) = summary.reproducibility {
            let word = serde_json::to_value(reproducibility)
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default();
            text += &format!("\nrepeatable {}", word.replace('_', " "));
        }
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect::<Vec<_>>()
        };
        let steps: Vec<Vec<String>> = detail
            .steps
            .iter()
            .map(|step| {
                let state = serde_json::to_value(step.state)
                    .ok()
                    .and_then(|word| word.as_str().map(str::to_owned))
                    .unwrap_or_default();
                let millis = step.millis.map_or("-".to_owned(), |millis| millis.to_string());
                vec![step.node.clone(), step.kind.clone(), state, millis]
            })
            .collect();
        text += &format!("\n\n{}", table(&["step", "kind", "state", "millis"], &steps));
        let latest: Vec<Vec<String>> = summary
            .latest
            .iter()
            .map(|point| {
                vec![
                    format!("{}/{}", point.split.as_str(), point.key),
                    number(point.value.to_f64()),
                    point.step.to_string(),
                ]
            })
            .collect();
        if !latest.is_empty() {
            text += &format!("\n{}", table(&["metric", "latest", "step"], &latest));
        }
        let data: Vec<Vec<String>> = detail
            .datasets
            .iter()
            .map(|data| vec![data.name.clone(), data.n_rows.to_string(), data.digest.clone()])
            .collect();
        if !data.is_empty() {
            text += &format!("\n{}", table(&["table", "rows", "digest"], &data));
        }
        if !detail.artifacts.is_empty() {
            let files: Vec<Vec<String>> = detail
                .artifacts
                .iter()
                .map(|file| vec![file.name.clone(), file.kind.clone(), super::output::bytes(file.n_bytes)])
                .collect();
            text += &format!("\n{}", table(&["file", "kind", "size"], &files));
        }
        text += &format!("\n{}", table(&["environment", "value"], &pairs(&detail.environment)));
        text
    });
    Ok(())
}

/// `valid/loss`, or a key alone, which means the training part.
fn split_key(text: &str) -> Result<(Split, String)> {
    let (split, key) = text.split_once('/').unwrap_or(("train", text));
    let known = [Split::Train, Split::Valid, Split::Test, Split::System];
    match known.into_iter().find(|known| known.as_str() == split) {
        Some(split) => Ok((split, key.to_owned())),
        None => {
            Err(EngineError::Usage(format!("{split:?} is no part of the data; there are train, valid, test, system")))
        }
    }
}

fn metrics(context: &Context, workspace: &Workspace, run: &RunId, key: Option<&str>, n_points: usize) -> Result<()> {
    let Some(key) = key else {
        let latest = workspace.store.run(run)?.summary.latest;
        context.out.result(&json!({ "run_id": run, "metrics": latest }), || {
            let rows: Vec<Vec<String>> = latest
                .iter()
                .map(|point| {
                    vec![
                        format!("{}/{}", point.split.as_str(), point.key),
                        number(point.value.to_f64()),
                        point.step.to_string(),
                    ]
                })
                .collect();
            table(&["metric", "latest", "step"], &rows)
        });
        return Ok(());
    };
    let (split, key) = split_key(key)?;
    let series =
        workspace.store.series(run, &key, split, None, u32::try_from(n_points.clamp(1, 10_000)).unwrap_or(10_000))?;
    if series.is_empty() {
        let failure = Failure::new(Code::NotFound, format!("run {run} has no metric {}/{key}", split.as_str()));
        return Err(EngineError::Failure(failure.hint("'athanor runs metrics RUN' lists them")));
    }
    context.out.result(&json!({ "run_id": run, "key": key, "split": split, "series": series }), || {
        let value = |value: Option<f64>| value.map_or("-".to_owned(), number);
        let rows: Vec<Vec<String>> = series
            .iter()
            .map(|bucket| {
                vec![
                    bucket.step_max.to_string(),
                    value(bucket.last),
                    value(bucket.min),
                    value(bucket.max),
                    bucket.n_points.to_string(),
                ]
            })
            .collect();
        table(&["step", "last", "min", "max", "points"], &rows)
    });
    Ok(())
}

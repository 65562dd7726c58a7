//! `init`, `check` and `run`.

use athanor_protocol::{
    catalogue::Catalogue,
    check,
    job::WorkerEventBody,
    run::{RunStatus, StepState},
};
use serde_json::{Value, json};

use super::{
    Context,
    args::{CheckArgs, RunArgs, WorkArgs},
    output::{number, table},
    stop_on_signal,
};
use crate::{
    error::Result,
    runs::{self, RunOptions, RunOutcome, effects, read_workflow, run_file},
};

pub(crate) fn init(context: &Context) -> Result<()> {
    let workspace = context.open_or_init()?;
    let root = workspace.root().display().to_string();
    let key = workspace.signing_key()?.public_hex();
    context.out.result(&json!({ "workspace": root, "public_key": key }), || {
        format!("workspace  {root}\nsigns as   {key}\n\nnext: athanor run WORKFLOW.json --workspace {root}")
    });
    Ok(())
}

pub(crate) fn check(context: &Context, args: &CheckArgs) -> Result<bool> {
    let catalogue = Catalogue::builtin();
    let workflow = read_workflow(&args.file, &args.set, &catalogue)?;
    let mut problems = check::check(&workflow, &catalogue);
    problems.extend(effects::problems(&workflow));
    let ok = problems.is_empty();
    context.out.result(&json!({ "ok": ok, "workflow": workflow.name, "problems": problems }), || {
        if ok {
            format!("{}: {} nodes, no problems", workflow.name, workflow.nodes.len())
        } else {
            problems.iter().map(|problem| format!("{problem}\n")).collect()
        }
    });
    Ok(ok)
}

/// How to run, from the command line.
pub(crate) fn options(context: &Context, args: &RunArgs) -> RunOptions {
    RunOptions {
        set: args.set.clone(),
        device: args.device.clone(),
        seed: args.seed,
        threads: args.threads,
        memory_limit_bytes: args.work.memory_limit << 20,
        program: context.program.clone(),
    }
}

/// How to resume: seed, device and threads are those of the run.
pub(crate) fn resume_options(context: &Context, work: &WorkArgs) -> RunOptions {
    RunOptions {
        set: vec![],
        device: "cpu".to_owned(),
        seed: 0,
        threads: 0,
        memory_limit_bytes: work.memory_limit << 20,
        program: context.program.clone(),
    }
}

pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<bool> {
    let workspace = context.open_or_init()?;
    runs::reconcile::reconcile(&workspace)?;
    stop_on_signal(&context.stop);
    let outcome =
        watched(context, |observe| run_file(&workspace, &args.file, &options(context, args), &context.stop, observe))?;
    report(context, &outcome);
    Ok(outcome.detail.summary.status == RunStatus::Finished)
}

/// Runs something while a bar shows how it goes.
pub(crate) fn watched<T>(context: &Context, work: impl FnOnce(runs::Observe<'_>) -> Result<T>) -> Result<T> {
    let bar = context.out.progress();
    let mut named = false;
    let result = work(&mut |run, bodies| {
        if !named {
            named = true;
            bar.suspend(|| context.out.say(&format!("run {run}")));
        }
        for body in bodies {
            show(context, &bar, body);
        }
    });
    bar.finish_and_clear();
    result
}

fn show(context: &Context, bar: &indicatif::ProgressBar, body: &WorkerEventBody) {
    match body {
        WorkerEventBody::StepStarted { node } => {
            bar.set_prefix(node.clone());
            bar.set_length(0);
            bar.set_message("");
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
        }
        WorkerEventBody::StepProgress { done, total, note, .. } => {
            bar.set_length(*total);
            bar.set_position(*done);
            bar.set_message(note.clone());
        }
        WorkerEventBody::StepDone { node, cached, millis } => {
            let text = if *cached { "there already".to_owned() } else { format!("{:.2} s", *millis as f64 / 1000.0) };
            bar.suspend(|| context.out.say(&format!("  {node:<20} {text}")));
        }
        WorkerEventBody::Log { text, .. } => bar.suspend(|| context.out.say(&format!("    {text}"))),
        _ => {}
    }
}

/// A run's result as JSON.
pub(crate) fn outcome_json(outcome: &RunOutcome) -> Value {
    let summary = &outcome.detail.summary;
    let metrics: serde_json::Map<String, Value> = summary
        .latest
        .iter()
        .map(|point| {
            (format!("{}/{}", point.split.as_str(), point.key), serde_json::to_value(point.value).unwrap_or_default())
        })
        .collect();
    let first = outcome.registered.first();
    json!({
        "run_id": summary.id,
        "status": summary.status,
        "workflow": summary.workflow,
        "attempt": summary.attempt,
        "seed": summary.seed,
        "device": summary.device,
        "reproducibility": summary.reproducibility,
        "steps": outcome.detail.steps,
        "metrics": metrics,
        "model": first.map(|registered| registered.model.clone()),
        "version": first.map(|registered| registered.version),
        "registered": outcome.registered,
        "failure": summary.failure,
        "resumable": summary.resumable,
        "seconds": outcome.seconds,
    })
}

/// Prints what a run came to.
pub(crate) fn report(context: &Context, outcome: &RunOutcome) {
    let summary = &outcome.detail.summary;
    context.out.result(&outcome_json(outcome), || {
        let mut text = format!("\n{} {} after {:.1} s", summary.workflow, summary.status.as_str(), outcome.seconds);
        let n_cached = outcome.detail.steps.iter().filter(|step| step.state == StepState::Cached).count();
        text += &format!(", {n_cached} of {} steps were there already\n", outcome.detail.steps.len());
        let shown = summary.latest.iter().filter(|point| point.split != athanor_protocol::metric::Split::System);
        let rows: Vec<Vec<String>> = shown
            .map(|point| vec![format!("{}/{}", point.split.as_str(), point.key), number(point.value.to_f64())])
            .collect();
        if !rows.is_empty() {
            text += &format!("\n{}", table(&["metric", "value"], &rows));
        }
        for registered in &outcome.registered {
            let again = if registered.existed { " (registered before)" } else { "" };
            let alias = registered.alias.as_ref().map(|alias| format!(", {alias} points to it")).unwrap_or_default();
            text += &format!("\nmodel {}:{}{again}{alias}", registered.model, registered.version);
        }
        text
    });
    if let Some(failure) = &summary.failure {
        eprintln!("error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            eprintln!("  hint: {hint}");
        }
        if summary.resumable {
            eprintln!("  resume: athanor runs resume {} --workspace {}", summary.id, context.workspace.display());
        }
    }
}

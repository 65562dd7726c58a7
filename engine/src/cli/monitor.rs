//! `monitor`: how models are watched, reports, alerts, and a run on newer data.

use athanor_protocol::{
    monitor::{Alert, ColumnDrift, MonitorReport},
    run::RunStatus,
};
use athanor_store::{AlertQuery, PageRequest};
use serde_json::json;

use super::{
    Context,
    args::{ConfigureArgs, MonitorCommand},
    output::{bytes, number, table, time},
    run::{options, report as say_run, watched},
    stop_on_signal,
};
use crate::{
    error::{EngineError, Result},
    monitor::{self, retrain},
    registry,
    runs::{self, run_file},
    workspace::Workspace,
};

pub(crate) fn run(context: &Context, command: MonitorCommand) -> Result<bool> {
    let workspace = context.open()?;
    match command {
        MonitorCommand::Status { model } => status(context, &workspace, &model)?,
        MonitorCommand::Report { model, version, last } => report(context, &workspace, &model, version, last)?,
        MonitorCommand::Configure(args) => configure(context, &workspace, &args)?,
        MonitorCommand::Alerts { model, all } => alerts(context, &workspace, model, all)?,
        MonitorCommand::Acknowledge { alert } => {
            let alert = monitor::acknowledge(&workspace, alert)?;
            context.out.result(&json!(alert), || format!("alert {} is acknowledged", alert.id));
        }
        MonitorCommand::WebhookKey => {
            let key = monitor::webhook_key(&workspace)?;
            let key = String::from_utf8_lossy(&key).into_owned();
            context.out.result(&json!({ "key": key }), || key.clone());
        }
        MonitorCommand::Retrain { alert, table, run } => {
            let alert = workspace.store.alert(alert)?;
            let prepared = retrain::prepare(&workspace, &alert, table.as_deref())?;
            let rows = prepared.n_rows.map_or(String::new(), |n| format!(", {n} captured rows"));
            context.out.say(&format!("workflow  {}", prepared.workflow.display()));
            context.out.say(&format!("table     {}{rows}", prepared.table.display()));
            runs::reconcile::reconcile(&workspace)?;
            stop_on_signal(&context.stop);
            let options = options(context, &run.with(prepared.workflow.clone()));
            let outcome =
                watched(context, |observe| run_file(&workspace, &prepared.workflow, &options, &context.stop, observe))?;
            say_run(context, &outcome);
            return Ok(outcome.detail.summary.status == RunStatus::Finished);
        }
    }
    Ok(true)
}

fn status(context: &Context, workspace: &Workspace, model: &str) -> Result<()> {
    let version = registry::resolve(workspace, model)?;
    let config = monitor::config(workspace, &version.model)?;
    let alerts = monitor::open_alerts(workspace, &version.model)?;
    let last = workspace.store.monitor_reports(&version.model, None, 1)?.into_iter().next();
    let quality = monitor::quality_of(workspace, &version)?;
    let last_json = last.as_ref().map(|report| {
        json!({
            "id": report.id,
            "version": report.model_version,
            "period_millis": report.period_millis,
            "n_rows": report.n_rows,
            "drifted_share": report.drifted_share,
            "data_drifted": report.data_drifted,
            "predictions_drifted": report.predictions_drifted,
        })
    });
    let answer = json!({
        "model": version.model,
        "version": version.version,
        "config": config,
        "last_report": last_json,
        "alerts": alerts,
        "quality": quality,
    });
    context.out.result(&answer, || {
        let mut text = format!("{}:{}\n", version.model, version.version);
        text += &format!(
            "judged     every {} rows or {} minutes, from {} rows on\n",
            config.every_rows, config.every_minutes, config.min_rows
        );
        text += &if config.capture > 0.0 {
            let (share, days) = (number(config.capture * 100.0), config.retention_days);
            format!("captured   {share} % of requests, {days} days, at most {}\n", bytes(config.retention_bytes))
        } else {
            "captured   nothing\n".to_owned()
        };
        text += &match &last {
            None => "last report  none yet\n".to_owned(),
            Some(report) => format!("last report  {}\n", line(report)),
        };
        if let Some(quality) = &quality {
            text += &format!("\nquality over {} rows whose truth is known\n", quality.n_rows);
            let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
            let rows: Vec<Vec<String>> = quality
                .figures
                .iter()
                .map(|f| {
                    let deviation = shown(f.deviation);
                    vec![f.metric.clone(), number(f.value), deviation, shown(f.training), shown(f.constant)]
                })
                .collect();
            text += &table(&["metric", "now", "deviation", "training", "best constant"], &rows);
        }
        text + "\n" + &alert_table(&alerts)
    });
    Ok(())
}

fn line(report: &MonitorReport) -> String {
    format!(
        "{} of version {}: {} rows, {:.0} % of the columns drifted{}",
        time(report.period_millis[1]),
        report.model_version,
        report.n_rows,
        report.drifted_share * 100.0,
        if report.predictions_drifted { ", the predictions too" } else { "" }
    )
}

fn alert_table(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "no open alerts".to_owned();
    }
    let row = |alert: &Alert| {
        let state = match (alert.resolved_at_millis, alert.acknowledged_at_millis) {
            (Some(_), _) => "resolved",
            (None, Some(_)) => "seen",
            (None, None) => "open",
        };
        vec![alert.id.to_string(), time(alert.raised_at_millis), state.to_owned(), alert.message.clone()]
    };
    table(&["alert", "raised (UTC)", "state", "about"], &alerts.iter().map(row).collect::<Vec<_>>())
}

fn report(context: &Context, workspace: &Workspace, model: &str, version: Option<u32>, last: u32) -> Result<()> {
    if last > 1 {
        let reports = workspace.store.monitor_reports(model, version, last)?;
        context.out.result(&json!({ "reports": reports }), || {
            reports.iter().map(|report| format!("{:>6}  {}\n", report.id, line(report))).collect()
        });
        return Ok(());
    }
    let report = monitor::last_report(workspace, model, version)?;
    context.out.result(&json!(report), || {
        let row = |drift: &ColumnDrift| {
            let by = drift.judged_by.map_or("-", athanor_protocol::monitor::DriftMethod::as_str);
            let threshold = drift.judged_by.map_or("-".to_owned(), |method| {
                format!("{} {}", if method.judges_by_p_value() { "p <" } else { ">=" }, number(method.threshold()))
            });
            vec![
                drift.column.clone(),
                if drift.drifted { "drifted" } else { "as trained" }.to_owned(),
                by.to_owned(),
                drift.score().map_or("-".to_owned(), number),
                threshold,
                format!("{:.1} %", drift.missing[0] * 100.0),
                format!("{:.1} %", drift.missing[1] * 100.0),
            ]
        };
        let head = ["column", "verdict", "by", "score", "drift if", "missing before", "missing now"];
        let all: Vec<Vec<String>> = report.inputs.iter().chain(&report.predictions).map(row).collect();
        format!("{}\n\n{}", line(&report), table(&head, &all))
    });
    Ok(())
}

fn configure(context: &Context, workspace: &Workspace, args: &ConfigureArgs) -> Result<()> {
    let version = registry::resolve(workspace, &args.model)?;
    let mut config = monitor::config(workspace, &version.model)?;
    args.change(&mut config);
    if let Some((setting, rule)) = config.problems().into_iter().next() {
        return Err(EngineError::Usage(format!("the setting {setting:?} is not allowed: {rule}")));
    }
    monitor::configure(workspace, &version.model, &config)?;
    context.out.result(&json!({ "model": version.model, "config": config }), || {
        let signed = match &config.webhook {
            Some(_) => "\nwebhooks are signed; 'athanor monitor webhook-key' shows the key",
            None => "",
        };
        format!("{} is watched as set, within a second{signed}", version.model)
    });
    Ok(())
}

fn alerts(context: &Context, workspace: &Workspace, model: Option<String>, all: bool) -> Result<()> {
    if let Some(model) = &model {
        // A name that is none is told, instead of an empty list.
        workspace.store.monitor_config(model)?;
    }
    let query = AlertQuery { model, open: !all, page: PageRequest::first(1_000) };
    let page = workspace.store.alerts(&query)?;
    if page.next.is_some() {
        context.out.say("there are more than 1000 alerts; the newest are shown");
    }
    context.out.result(&json!({ "alerts": page.items }), || alert_table(&page.items));
    Ok(())
}

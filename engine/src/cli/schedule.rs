//! `schedule`: predictions by the clock.

use athanor_protocol::cron::CronError;
use serde_json::json;

use super::{
    Context,
    args::{ScheduleCommand, ScheduledCommand},
    data::source,
    output::{table, time},
};
use crate::{
    devices,
    error::{EngineError, IoContext, Result},
    schedule::{self, Cron, Far, PredictTask, Schedule, Stopped},
};

pub(crate) fn run(context: &Context, command: ScheduleCommand) -> Result<()> {
    match command {
        ScheduleCommand::Add { cron, what: ScheduledCommand::Predict(args) } => {
            let cron: Cron = cron.parse().map_err(|err: CronError| EngineError::Usage(err.to_string()))?;
            let workspace = context.open()?;
            let mut from = source(&args.table);
            let path = std::path::absolute(&from.path).at("open", from.path.as_ref())?;
            let Some(path) = path.to_str() else {
                return Err(EngineError::Usage(format!("the table's path is no UTF-8 text: {}", path.display())));
            };
            from.path = path.to_owned();
            let predict = PredictTask {
                model: args.model,
                source: from,
                output: std::path::absolute(&args.output).at("open", &args.output)?,
                keep_input: !args.only,
                device: devices::resolve(&context.program, &args.device)?,
            };
            let added = schedule::add(&workspace, cron, predict)?;
            let next = added.next_millis(workspace.clock.now_millis());
            let mut value = serde_json::to_value(&added).unwrap_or_default();
            value["next_millis"] = json!(next);
            context.out.result(&value, || {
                let next = next.map_or("never".to_owned(), time);
                format!(
                    "schedule {} is due next at {next} UTC\nit is carried out while 'athanor serve' or the window has the workspace open",
                    added.id
                )
            });
        }
        ScheduleCommand::List => {
            let workspace = context.open()?;
            let schedules = schedule::list(&workspace)?;
            let now = workspace.clock.now_millis();
            let far = schedule::at_work(&workspace);
            let with_next = |schedule: &Schedule| {
                let mut value = serde_json::to_value(schedule).unwrap_or_default();
                value["next_millis"] = json!(schedule.next_millis(now));
                value["at_work"] = json!(schedule.far(far.as_ref()));
                value
            };
            let value = json!({ "schedules": schedules.iter().map(with_next).collect::<Vec<_>>() });
            context.out.result(&value, || {
                if schedules.is_empty() {
                    return "no schedules; add one with: athanor schedule add --cron '0 3 * * *' predict MODEL FILE -o FILE"
                        .to_owned();
                }
                let rows: Vec<Vec<String>> = schedules.iter().map(|schedule| row(schedule, now, far.as_ref())).collect();
                table(&["id", "when (UTC)", "model", "writes", "next", "last", ""], &rows)
            });
        }
        ScheduleCommand::Pause { id } => {
            schedule::pause(&context.open()?, &id, true)?;
            context.out.result(&json!({ "id": id, "paused": true }), || format!("schedule {id} rests"));
        }
        ScheduleCommand::Resume { id } => {
            schedule::pause(&context.open()?, &id, false)?;
            context.out.result(&json!({ "id": id, "paused": false }), || format!("schedule {id} goes on"));
        }
        ScheduleCommand::Run { id } => {
            schedule::run_now(&context.open()?, &id)?;
            context.out.result(&json!({ "id": id, "asked": true }), || {
                format!(
                    "schedule {id} is carried out within a second where 'athanor serve' or the window has the workspace open"
                )
            });
        }
        ScheduleCommand::Stop { id } => {
            let stopped = schedule::stop(&context.open()?, &id)?;
            let n_rows = if let Stopped::Over(n_rows) = stopped { Some(n_rows) } else { None };
            let value = json!({ "id": id, "stopped": stopped != Stopped::Asked, "n_rows": n_rows });
            context.out.result(&value, || match stopped {
                Stopped::Asked => format!(
                    "schedule {id} is stopped within a second; the next time it goes on with the rows that are done"
                ),
                Stopped::Over(n_rows) => {
                    format!("schedule {id} is stopped; the next time it goes on behind {n_rows} rows")
                }
                Stopped::NotBegun => format!("schedule {id} is not carried out now"),
            });
        }
        ScheduleCommand::Remove { id } => {
            schedule::remove(&context.open()?, &id)?;
            context.out.result(&json!({ "id": id, "removed": true }), || format!("schedule {id} is removed"));
        }
    }
    Ok(())
}

fn row(schedule: &Schedule, now: i64, far: Option<&Far>) -> Vec<String> {
    let last = schedule.executions.first();
    let outcome = match last {
        None => String::new(),
        Some(last) => match (&last.failure, last.ended_millis) {
            (Some(failure), _) => format!("failed: {}", failure.message),
            (None, None) => match schedule.far(far) {
                Some(far) => at_work(far),
                None => "begun, or broken off and to go on".to_owned(),
            },
            (None, Some(_)) if last.stopped => format!("stopped on request, {} rows done", last.n_rows),
            (None, Some(_)) => format!("{} rows", last.n_rows),
        },
    };
    vec![
        schedule.id.clone(),
        schedule.cron.to_string(),
        schedule.predict.model.clone(),
        schedule.predict.output.display().to_string(),
        schedule.next_millis(now).map_or(if schedule.paused { "rests" } else { "-" }.to_owned(), time),
        last.map_or("-".to_owned(), |last| time(last.began_millis)),
        outcome,
    ]
}

fn at_work(far: &Far) -> String {
    let share = far.share.map(|share| format!(", {:.0} %", share * 100.0)).unwrap_or_default();
    let rest = far.rest_millis.map(|rest| format!(", about {} s left", rest.max(0) / 1_000)).unwrap_or_default();
    format!("at work: {} rows{share}{rest}", far.n_rows)
}

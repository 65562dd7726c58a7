//! Predictions by the clock, as a window asks for them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, Event, PredictAnswer, ScheduleAdd, ScheduleEdit, ScheduleFar, ScheduleInfo, ScheduleList, SchedulePause,
        ScheduleRemove, ScheduleReport, ScheduleReportAnswer, ScheduleRun, ScheduleRunNow, ScheduleStop, ScheduleTask,
        Schedules,
    },
    table::DataSource,
};

use super::{Desk, models};
use crate::{
    EngineError, files,
    predict::{Predicted, report_path},
    schedule::{self, Far, PredictTask, Schedule, Watch},
    workspace::Workspace,
};

/// Largest report that is read.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// Tells all clients of a desk what becomes of schedules.
pub(super) fn watch(desk: &Arc<Desk>) -> Watch {
    let (changed, progress) = (Arc::downgrade(desk), Arc::downgrade(desk));
    Watch {
        changed: Some(Box::new(move || {
            if let Some(desk) = changed.upgrade() {
                desk.publish(Event::SchedulesChanged {});
            }
        })),
        progress: Some(Box::new(move |far| {
            if let Some(desk) = progress.upgrade() {
                desk.publish(Event::ScheduleProgress { id: far.id.clone(), far: shown(far) });
            }
        })),
    }
}

fn shown(far: &Far) -> ScheduleFar {
    ScheduleFar { since_millis: far.since_millis, n_rows: far.n_rows, share: far.share, rest_millis: far.rest_millis }
}

fn info(schedule: Schedule, now: i64, far: Option<&Far>) -> ScheduleInfo {
    let run = |execution: schedule::Execution| ScheduleRun {
        due_millis: execution.due_millis,
        began_millis: execution.began_millis,
        ended_millis: execution.ended_millis,
        version: execution.version,
        n_rows: execution.n_rows,
        failure: execution.failure,
        stopping: execution.ended_millis.is_none() && execution.stop_asked_millis.is_some(),
        stopped: execution.stopped,
    };
    ScheduleInfo {
        far: schedule.far(far).map(shown),
        next_millis: schedule.next_millis(now),
        id: schedule.id,
        task: ScheduleTask {
            cron: schedule.cron,
            model: schedule.predict.model,
            table: schedule.predict.source.path,
            output: schedule.predict.output.display().to_string(),
            keep_input: schedule.predict.keep_input,
        },
        paused: schedule.paused,
        asked: schedule.asked_millis.is_some(),
        runs: schedule.executions.into_iter().map(run).collect(),
    }
}

/// What is to be predicted; how a table is read is kept while it is the same one.
fn task(workspace: &Workspace, asked: &ScheduleTask, before: Option<&PredictTask>) -> Result<PredictTask, Failure> {
    let output = models::target(workspace, asked.output.trim(), "the prediction")?;
    let table = asked.table.trim();
    if table.is_empty() {
        return Err(Failure::new(Code::InvalidArgument, "a schedule needs the table that is to be predicted")
            .hint("choose a table of the workspace, or write a file's path"));
    }
    let path: PathBuf = workspace.root().join(table);
    let source = match before.filter(|before| Path::new(&before.source.path) == path) {
        Some(before) => before.source.clone(),
        None => DataSource::file(path.to_string_lossy()),
    };
    let device = before.map_or_else(|| "cpu".to_owned(), |before| before.device.clone());
    Ok(PredictTask { model: asked.model.trim().to_owned(), source, output, keep_input: asked.keep_input, device })
}

fn changed(desk: &Arc<Desk>) {
    desk.publish(Event::SchedulesChanged {});
}

pub(super) fn schedule_list(desk: &Arc<Desk>, _: ScheduleList) -> Result<Schedules, Failure> {
    let workspace = desk.workspace()?;
    let (now, far) = (workspace.clock.now_millis(), schedule::at_work(&workspace));
    let schedules = schedule::list(&workspace)?;
    Ok(Schedules { items: schedules.into_iter().map(|schedule| info(schedule, now, far.as_ref())).collect() })
}

pub(super) fn schedule_add(desk: &Arc<Desk>, ask: ScheduleAdd) -> Result<ScheduleInfo, Failure> {
    let workspace = desk.workspace()?;
    let task = task(&workspace, &ask.task, None)?;
    let added = schedule::add(&workspace, ask.task.cron, task)?;
    changed(desk);
    Ok(info(added, workspace.clock.now_millis(), None))
}

pub(super) fn schedule_edit(desk: &Arc<Desk>, ask: ScheduleEdit) -> Result<ScheduleInfo, Failure> {
    let workspace = desk.workspace()?;
    let before = schedule::list(&workspace)?.into_iter().find(|schedule| schedule.id == ask.id);
    let task = task(&workspace, &ask.task, before.as_ref().map(|before| &before.predict))?;
    let edited = schedule::edit(&workspace, &ask.id, ask.task.cron, task)?;
    changed(desk);
    Ok(info(edited, workspace.clock.now_millis(), schedule::at_work(&workspace).as_ref()))
}

pub(super) fn schedule_pause(desk: &Arc<Desk>, ask: SchedulePause) -> Result<Done, Failure> {
    schedule::pause(&*desk.workspace()?, &ask.id, ask.paused)?;
    changed(desk);
    Ok(Done {})
}

pub(super) fn schedule_run_now(desk: &Arc<Desk>, ask: ScheduleRunNow) -> Result<Done, Failure> {
    schedule::run_now(&*desk.workspace()?, &ask.id)?;
    changed(desk);
    Ok(Done {})
}

pub(super) fn schedule_stop(desk: &Arc<Desk>, ask: ScheduleStop) -> Result<Done, Failure> {
    schedule::stop(&*desk.workspace()?, &ask.id)?;
    changed(desk);
    Ok(Done {})
}

pub(super) fn schedule_remove(desk: &Arc<Desk>, ask: ScheduleRemove) -> Result<Done, Failure> {
    schedule::remove(&*desk.workspace()?, &ask.id)?;
    changed(desk);
    Ok(Done {})
}

pub(super) fn schedule_report(desk: &Arc<Desk>, ask: ScheduleReport) -> Result<ScheduleReportAnswer, Failure> {
    let workspace = desk.workspace()?;
    let unknown = || Failure::new(Code::NotFound, format!("there is no schedule {:?}", ask.id)).on(ask.id.clone());
    let found = schedule::list(&workspace)?.into_iter().find(|schedule| schedule.id == ask.id).ok_or_else(unknown)?;
    let path = report_path(&found.predict.output);
    if !path.exists() {
        return Ok(ScheduleReportAnswer::default());
    }
    let bytes = files::read_limited(&path, MAX_REPORT_BYTES)?;
    let predicted: Predicted = serde_json::from_slice(&bytes).map_err(|err| {
        EngineError::Failure(
            Failure::new(Code::Corrupt, format!("{} is no report: {err}", path.display()))
                .hint("it is written anew with the next prediction"),
        )
    })?;
    Ok(ScheduleReportAnswer { report: Some(answer(predicted)) })
}

/// What a batch prediction did, as it is told.
pub(super) fn answer(predicted: Predicted) -> PredictAnswer {
    let report = predicted.report;
    PredictAnswer {
        version: predicted.version,
        n_rows: report.n_rows,
        n_resumed: report.n_resumed,
        seconds: report.seconds,
        missing: report.missing,
        new_categories: report.new_categories,
        out_of_range: report.out_of_range,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use super::*;
    use crate::desk::{
        test_desk::{TestDesk, ask},
        test_models::register,
    };

    fn wanted(test: &TestDesk, table: &str, output: &str) -> ScheduleTask {
        let output = test.desk.workspace().unwrap().root().parent().unwrap().join(output);
        ScheduleTask {
            cron: "0 3 * * *".parse().unwrap(),
            model: "tumours:1".to_owned(),
            table: table.to_owned(),
            output: output.display().to_string(),
            keep_input: true,
        }
    }

    #[test]
    fn a_schedule_is_made_changed_carried_out_at_once_reported_and_removed() {
        let test = TestDesk::open();
        register(&test.desk, "tumours", 1);
        let root = test.desk.workspace().unwrap().root().to_owned();
        std::fs::write(root.join("in.csv"), "radius,colour\n0.5,red\n,blue\n99,pink\n").unwrap();
        let events = test.desk.subscribe();
        let added = ask(&test.desk, ScheduleAdd { task: wanted(&test, "in.csv", "out.csv") }).unwrap();
        assert_eq!(Path::new(&added.task.table), root.join("in.csv"));
        assert!(added.next_millis.is_some() && !added.paused && added.runs.is_empty());
        let id = added.id;
        let now = || ask(&test.desk, ScheduleList {}).unwrap().items.remove(0);
        ask(&test.desk, SchedulePause { id: id.clone(), paused: true }).unwrap();
        assert_eq!((now().paused, now().next_millis), (true, None));
        let task = ScheduleTask { keep_input: false, ..wanted(&test, "in.csv", "other.csv") };
        let edited = ask(&test.desk, ScheduleEdit { id: id.clone(), task }).unwrap();
        assert!(!edited.task.keep_input && edited.task.output.ends_with("other.csv") && edited.paused);
        assert_eq!(ask(&test.desk, ScheduleReport { id: id.clone() }).unwrap().report, None);

        ask(&test.desk, ScheduleRunNow { id: id.clone() }).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while now().runs.first().is_none_or(|run| run.ended_millis.is_none()) {
            assert!(Instant::now() < until, "{:?}", now());
            events.wait(Duration::from_millis(200));
        }
        let run = now().runs.remove(0);
        assert_eq!((run.failure, run.version, run.n_rows), (None, Some(1), 3));
        assert!(!now().asked && now().far.is_none());
        assert_eq!(ask(&test.desk, ScheduleStop { id: id.clone() }).unwrap_err().code, Code::Conflict, "it has ended");
        let report = ask(&test.desk, ScheduleReport { id: id.clone() }).unwrap().report.unwrap();
        assert_eq!((report.version, report.n_rows, report.missing.len()), (1, 3, 1));
        assert_eq!((report.new_categories["colour"], report.out_of_range["radius"]), (1, 1));
        std::fs::write(report_path(Path::new(&edited.task.output)), "{").unwrap();
        assert_eq!(ask(&test.desk, ScheduleReport { id: id.clone() }).unwrap_err().code, Code::Corrupt);

        ask(&test.desk, ScheduleRemove { id: id.clone() }).unwrap();
        assert!(ask(&test.desk, ScheduleList {}).unwrap().items.is_empty());
        assert!(Path::new(&edited.task.output).exists(), "what it wrote stays");
        for refused in [
            ask(&test.desk, ScheduleRemove { id: id.clone() }).map(drop),
            ask(&test.desk, ScheduleRunNow { id: id.clone() }).map(drop),
            ask(&test.desk, ScheduleStop { id: id.clone() }).map(drop),
            ask(&test.desk, ScheduleReport { id: id.clone() }).map(drop),
            ask(&test.desk, ScheduleEdit { id, task: wanted(&test, "in.csv", "x.csv") }).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().code, Code::NotFound);
        }
    }

    #[test]
    fn what_cannot_be_done_by_the_clock_is_refused_at_once() {
        let test = TestDesk::open();
        let inside = test.desk.workspace().unwrap().root().join("athanor.db").display().to_string();
        let good = wanted(&test, "in.csv", "out.csv");
        for (task, named) in [
            (ScheduleTask { model: "../x".to_owned(), ..good.clone() }, "model"),
            (ScheduleTask { table: "  ".to_owned(), ..good.clone() }, "table"),
            (ScheduleTask { output: "out.csv".to_owned(), ..good.clone() }, "path"),
            (ScheduleTask { output: inside, ..good.clone() }, "athanor.db"),
            (wanted(&test, "in.csv", "out.xls"), ".csv or .parquet"),
        ] {
            let failure = ask(&test.desk, ScheduleAdd { task }).unwrap_err();
            assert!(failure.message.contains(named), "{named}: {failure:?}");
        }
        ask(&test.desk, ScheduleAdd { task: good.clone() }).unwrap();
        assert_eq!(ask(&test.desk, ScheduleAdd { task: good }).unwrap_err().code, Code::Conflict);
    }
}

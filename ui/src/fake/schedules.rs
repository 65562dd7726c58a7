//! Predictions by the clock: one that went well, one at work, one that failed and rests.

use std::collections::BTreeMap;

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, PredictAnswer, Reply, Request, ScheduleFar, ScheduleInfo, ScheduleReportAnswer, ScheduleRun,
        ScheduleTask, Schedules,
    },
};

use super::NOW_MILLIS;

const HOUR: i64 = 3_600_000;

fn run(hours: i64, n_rows: u64) -> ScheduleRun {
    let began = NOW_MILLIS - hours * HOUR;
    ScheduleRun {
        due_millis: began,
        began_millis: began,
        ended_millis: Some(began + 84_000),
        version: Some(6),
        n_rows,
        failure: None,
        stopping: false,
        stopped: false,
    }
}

fn schedule(id: &str, cron: &str, model: &str, table: &str) -> Option<ScheduleInfo> {
    let cron: athanor_protocol::cron::Cron = cron.parse().ok()?;
    let (next_millis, folder) = (cron.next_after(NOW_MILLIS), "/home/ada/clinic/data");
    let task = ScheduleTask {
        cron,
        model: model.to_owned(),
        table: format!("{folder}/{table}.csv"),
        output: format!("/home/ada/out/{table}-predicted.parquet"),
        keep_input: true,
    };
    Some(ScheduleInfo { id: id.to_owned(), task, paused: false, next_millis, asked: false, runs: vec![], far: None })
}

/// The schedules of the sample workspace.
pub fn schedules() -> Vec<ScheduleInfo> {
    let failure = Failure::new(Code::NotFound, "cannot open /home/ada/clinic/data/prices.csv: there is no such file");
    let mut list: Vec<ScheduleInfo> = [
        schedule("5f01", "0 3 * * *", "tumours@production", "wards"),
        schedule("5f02", "*/15 * * * *", "churn@production", "customers"),
        schedule("5f03", "0 6 * * mon", "house-prices:3", "prices"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [wards, customers, prices] = list.as_mut_slice() {
        wards.runs = vec![run(9, 12_480), run(33, 12_102), run(57, 11_987)];
        customers.runs = vec![ScheduleRun { ended_millis: None, version: None, ..run(0, 0) }, run(1, 904_112)];
        let (n_rows, since_millis) = (389_120, NOW_MILLIS - 84_000);
        customers.far = Some(ScheduleFar { since_millis, n_rows, share: Some(0.43), rest_millis: Some(111_000) });
        let failed = ScheduleRun { version: None, failure: Some(failure.hint("name the table again")), ..run(54, 0) };
        prices.runs = vec![failed];
        (prices.paused, prices.next_millis) = (true, None);
    }
    list
}

/// What the last prediction of one found.
pub fn schedule_report() -> PredictAnswer {
    let counts = |list: &[(&str, u64)]| -> BTreeMap<String, u64> {
        list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    };
    PredictAnswer {
        version: 6,
        n_rows: 12_480,
        n_resumed: 0,
        seconds: 84.0,
        missing: counts(&[("mean_texture", 14)]),
        new_categories: counts(&[("site", 168)]),
        out_of_range: counts(&[("mean_radius", 31), ("n_lesions", 2)]),
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let made = |task: &ScheduleTask| ScheduleInfo {
        id: "5f09".to_owned(),
        next_millis: task.cron.next_after(NOW_MILLIS),
        task: task.clone(),
        paused: false,
        asked: false,
        runs: vec![],
        far: None,
    };
    Some(Ok(match request {
        Request::ScheduleList(_) => Reply::ScheduleList(Box::new(Schedules { items: schedules() })),
        Request::ScheduleAdd(ask) => Reply::ScheduleAdd(Box::new(made(&ask.task))),
        Request::ScheduleEdit(ask) => {
            Reply::ScheduleEdit(Box::new(ScheduleInfo { id: ask.id.clone(), ..made(&ask.task) }))
        }
        Request::SchedulePause(_) => Reply::SchedulePause(Box::new(Done {})),
        Request::ScheduleRunNow(_) => Reply::ScheduleRunNow(Box::new(Done {})),
        Request::ScheduleStop(_) => Reply::ScheduleStop(Box::new(Done {})),
        Request::ScheduleRemove(_) => Reply::ScheduleRemove(Box::new(Done {})),
        Request::ScheduleReport(_) => {
            Reply::ScheduleReport(Box::new(ScheduleReportAnswer { report: Some(schedule_report()) }))
        }
        _ => return None,
    }))
}

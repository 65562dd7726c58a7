//! Answers about runs: a workspace in which some networks and trees were trained, one is at work and one has failed.

mod report;
mod series;

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, LogEntry, LogPage, MetricPage, ModelRegistered, NodeProgress, NotImported, Reply, Request, RunList,
        RunPage, RunRow, RunStarted, RunView, RunsImported, SeriesAnswer,
    },
    learner::Reproducibility,
    metric::{MetricPoint, Split},
    names::RunId,
    package::{DatasetUsed, FinalMetric},
    registry::ModelVersion,
    run::{Artifact, RunDetail, RunStatus, RunSummary, StepRecord, StepState},
    signature::{ModelSignature, Task},
};

use super::NOW_MILLIS;

pub use self::{report::*, series::*};

/// How many runs the list has, if a test does not say otherwise.
pub const N_RUNS: usize = 24;

const MINUTE: i64 = 60_000;
const WORKFLOWS: [&str; 3] = ["breast-cancer", "wine", "churn"];
const LEARNERS: [&str; 4] = ["Network", "Boosted trees", "Linear", "Network"];

/// The id of run `n`; 0 is the newest.
pub fn run_id(n: usize) -> RunId {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut text = format!("01kb{:012}", 999_999_999 - n.min(999_999_999));
    let mut bits = mixed(n as u64 + 7);
    while text.len() < RunId::LEN {
        text.push(char::from(DIGITS[(bits & 31) as usize]));
        bits = mixed(bits);
    }
    RunId::new(text).unwrap_or_else(|_| unreachable!("26 digits and letters are a run id"))
}

/// Which run an id names.
pub fn run_number(id: &RunId) -> usize {
    id.as_str().get(4..16).and_then(|text| text.parse::<usize>().ok()).map_or(0, |n| 999_999_999usize.saturating_sub(n))
}

/// The state of run `n`.
pub fn run_status(n: usize) -> RunStatus {
    match n {
        0 => RunStatus::Running,
        3 => RunStatus::Failed,
        4 => RunStatus::Cancelled,
        _ if n % 17 == 16 => RunStatus::Failed,
        _ => RunStatus::Finished,
    }
}

/// Run `n` as it is listed.
pub fn run_summary(n: usize) -> RunSummary {
    let status = run_status(n);
    let created = NOW_MILLIS - (n as i64 * 37 + 1) * MINUTE;
    let took = 3_000 + (mixed(n as u64) % 240_000) as i64;
    let failure = match status {
        RunStatus::Failed => Some(
            Failure::new(Code::OutOfMemory, "the worker needed more memory than it may use (2.0 GB)")
                .on("train")
                .hint("take a smaller batch, or raise the limit in Settings"),
        ),
        RunStatus::Cancelled => Some(Failure::new(Code::Cancelled, "stopped by ada")),
        _ => None,
    };
    let point = |key: &str, split| run_point(n, key, split, 400);
    let mut latest = vec![
        point("accuracy", Split::Train),
        point("loss", Split::Train),
        point("accuracy", Split::Valid),
        point("loss", Split::Valid),
    ];
    if status == RunStatus::Finished {
        latest.extend([point("accuracy", Split::Test), point("roc_auc", Split::Test)]);
    }
    latest.extend([point("cpu_percent", Split::System), point("memory_bytes", Split::System)]);
    if status == RunStatus::Failed {
        latest.truncate(2);
    }
    RunSummary {
        id: run_id(n),
        workflow: WORKFLOWS[if n < 6 { 0 } else { n % 3 }].to_owned(),
        status,
        attempt: if n == 3 { 2 } else { 1 },
        created_at_millis: created,
        started_at_millis: Some(created + 400),
        ended_at_millis: status.is_final().then_some(created + 400 + took),
        failure,
        resumable: matches!(status, RunStatus::Failed | RunStatus::Cancelled),
        seed: 42 + n as u64,
        device: if n.is_multiple_of(2) { "cpu" } else { "vulkan:0" }.to_owned(),
        reproducibility: Some(if n.is_multiple_of(2) {
            Reproducibility::Bitwise
        } else {
            Reproducibility::WithinTolerance
        }),
        latest,
        tags: match n {
            1 => vec![("stage".to_owned(), "candidate".to_owned())],
            2 => vec![("baseline".to_owned(), String::new())],
            _ => vec![],
        },
    }
}

/// The parameters of run `n`.
pub fn run_params(n: usize) -> Vec<(String, String)> {
    let rates = ["0.001", "0.003", "0.01", "0.0003"];
    let pair = |key: &str, value: String| (key.to_owned(), value);
    vec![
        pair("split.test", "0.15".to_owned()),
        pair("train.batch_size", [32, 64, 128][n % 3].to_string()),
        pair("train.epochs", "40".to_owned()),
        pair("train.hidden", ["64", "128", "128, 64"][(n / 2) % 3].to_owned()),
        pair("train.learning_rate", rates[n % 4].to_owned()),
        pair("train.optimizer", if n.is_multiple_of(5) { "sgd" } else { "adam" }.to_owned()),
    ]
}

/// Run `n` as a row of the list.
pub fn run_row(n: usize) -> RunRow {
    RunRow { summary: run_summary(n), params: run_params(n), learners: vec![LEARNERS[n % 4].to_owned()] }
}

/// A page out of `n_runs` runs, as the store would give it.
pub fn run_page(ask: &RunList, n_runs: usize) -> RunPage {
    let fits = |n: &usize| {
        let (status, text) = (run_status(*n), ask.text.to_lowercase());
        let workflow = WORKFLOWS[if *n < 6 { 0 } else { n % 3 }];
        !ask.deleted
            && (ask.status.is_empty() || ask.status.contains(&status))
            && ask.workflow.as_deref().is_none_or(|wanted| wanted == workflow)
            && (text.is_empty() || workflow.contains(&text) || run_id(*n).as_str().contains(&text))
    };
    let from: usize = ask.after.as_deref().and_then(|token| token.parse().ok()).unwrap_or(0);
    let limit = ask.limit.clamp(1, 1000) as usize;
    let items: Vec<usize> = if ask.descending {
        (from..n_runs).filter(fits).take(limit).collect()
    } else {
        (from..n_runs).map(|n| n_runs - 1 - n).filter(fits).take(limit).collect()
    };
    let next = items.last().map(|&n| if ask.descending { n + 1 } else { n_runs - n }).filter(|&n| n < n_runs);
    RunPage { items: items.into_iter().map(run_row).collect(), next: next.map(|n| n.to_string()) }
}

/// The steps of run `n` and how far they are.
pub fn run_progress(n: usize) -> Vec<NodeProgress> {
    let step = |node: &str, state, done, total, note: &str, millis| NodeProgress {
        node: node.to_owned(),
        state,
        done,
        total,
        note: note.to_owned(),
        millis,
    };
    let (train, rest) = match run_status(n) {
        RunStatus::Running | RunStatus::Queued => (StepState::Running, StepState::Pending),
        RunStatus::Failed | RunStatus::Cancelled => (StepState::Failed, StepState::Pending),
        RunStatus::Finished => (StepState::Done, StepState::Done),
    };
    let after = (rest == StepState::Done).then_some(180);
    vec![
        step("table", StepState::Cached, 1, 1, "", Some(12)),
        step("split", StepState::Done, 1, 1, "stratified 70/15/15", Some(41)),
        step("train", train, 14, 40, "epoch 14 of 40", after.map(|_| 41_300)),
        step("evaluate", rest, 0, 1, "", after),
        step("register", rest, 0, 1, "", after.map(|_| 9)),
    ]
}

/// Everything about run `n`.
pub fn run_view(n: usize) -> RunView {
    let progress = run_progress(n);
    let kinds = ["table.open", "split", "train.network", "evaluate", "register"];
    let steps = progress.iter().zip(kinds).enumerate().map(|(at, (step, kind))| StepRecord {
        node: step.node.clone(),
        kind: kind.to_owned(),
        key: format!("{:016x}{:048x}", mixed(at as u64), mixed((n + at) as u64)),
        state: step.state,
        millis: step.millis,
    });
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let artifact = |name: &str, kind: &str, n_bytes| Artifact {
        name: name.to_owned(),
        kind: kind.to_owned(),
        digest: format!("blake3:{:016x}{:016x}{:016x}{:016x}", mixed(n_bytes), mixed(n as u64), 5, mixed(9)),
        n_bytes,
    };
    let finished = run_status(n) == RunStatus::Finished;
    RunView {
        detail: RunDetail {
            summary: run_summary(n),
            workflow_json: r#"{"version":1,"nodes":[]}"#.to_owned(),
            steps: steps.collect(),
            params: run_params(n),
            environment: vec![
                pair("athanor", "0.1.0"),
                pair("burn", "0.21.0"),
                pair("host", "ada-laptop"),
                pair("processor", "Ryzen 7 7840U"),
                pair("system", "Debian GNU/Linux 13"),
                pair("threads", "8"),
            ],
            datasets: vec![DatasetUsed {
                name: "breast-cancer.csv".to_owned(),
                digest: format!("blake3:{}", "8f3c02d1".repeat(8)),
                n_rows: 569,
            }],
            artifacts: if finished {
                vec![
                    artifact("train.model", "model_package", 184_320),
                    artifact("evaluate.report", "report", 48_211),
                    artifact("run.log", "log", 12_840),
                ]
            } else {
                vec![artifact("run.log", "log", 3_012)]
            },
            owner: None,
            note: if n == 1 { "Best of the wider networks so far.".to_owned() } else { String::new() },
        },
        progress,
        versions: if n == 1 { vec![("breast-cancer".to_owned(), 3)] } else { vec![] },
    }
}

/// Line `no` of a log.
pub fn run_log_line(no: u64) -> LogEntry {
    let (level, text) = match no % 40 {
        7 => ("warn", "2 columns hold nothing but one value and are left out".to_owned()),
        23 => ("error", "checkpoint could not be written: the disk is full; training goes on".to_owned()),
        _ => (
            "info",
            format!(
                "epoch {} of 40: loss {:.4}, accuracy {:.4}",
                no,
                0.7 / (no as f64 + 1.0),
                1.0 - 0.4 / (no as f64 + 1.0)
            ),
        ),
    };
    LogEntry { no, at_millis: NOW_MILLIS - 90_000 + no as i64 * 430, level: level.to_owned(), text, attempt: 1 }
}

/// The names of a usual run's metrics, with the latest point of each.
pub fn run_metric_points(n: usize) -> Vec<MetricPoint> {
    let mut points = run_summary(n).latest;
    for key in ["f1", "precision", "recall"] {
        points.push(run_point(n, key, Split::Valid, 400));
    }
    points.push(run_point(n, "learning_rate", Split::Train, 400));
    points.push(run_point(n, "epoch", Split::Train, 400));
    points.sort_by(|a, b| (a.split, &a.key).cmp(&(b.split, &b.key)));
    points
}

/// A page of metric names out of these.
pub fn run_metric_page(all: &[MetricPoint], ask: &athanor_protocol::api::RunMetrics) -> MetricPage {
    let text = ask.text.to_lowercase();
    let fits =
        || all.iter().filter(|point| format!("{}/{}", point.split.as_str(), point.key).to_lowercase().contains(&text));
    let limit = ask.limit.min(1000) as usize;
    MetricPage { items: fits().skip(ask.offset as usize).take(limit).cloned().collect(), total: fits().count() as u64 }
}

fn registered(ask: &athanor_protocol::api::ModelRegister) -> ModelRegistered {
    ModelRegistered {
        version: ModelVersion {
            model: ask.name.clone(),
            version: 4,
            run_id: Some(ask.run.clone()),
            sha256: "5f".repeat(32),
            n_bytes: 184_320,
            signature: ModelSignature {
                task: Task::Binary,
                target: "diagnosis".to_owned(),
                inputs: vec![],
                classes: vec!["benign".to_owned(), "malignant".to_owned()],
            },
            metrics: vec![FinalMetric { key: "test/accuracy".to_owned(), value: 0.982.into() }],
            signed_by: "ab".repeat(32),
            created_at_millis: NOW_MILLIS,
            aliases: vec![],
            stage: athanor_protocol::governance::Stage::None,
        },
        existed: false,
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let done = || Box::new(Done {});
    let reply = match request {
        Request::RunStart(_) => Reply::RunStart(Box::new(RunStarted { run: run_id(0) })),
        Request::RunCancel(_) => Reply::RunCancel(done()),
        Request::RunResume(_) => Reply::RunResume(done()),
        Request::RunDelete(_) => Reply::RunDelete(done()),
        Request::RunRestore(_) => Reply::RunRestore(done()),
        Request::RunTag(_) => Reply::RunTag(done()),
        Request::RunNote(_) => Reply::RunNote(done()),
        Request::RunList(ask) => Reply::RunList(Box::new(run_page(ask, N_RUNS))),
        Request::RunGet(ask) => Reply::RunGet(Box::new(run_view(run_number(&ask.run)))),
        Request::RunMetrics(ask) => {
            Reply::RunMetrics(Box::new(run_metric_page(&run_metric_points(run_number(&ask.run)), ask)))
        }
        Request::RunSeries(ask) => Reply::RunSeries(Box::new(SeriesAnswer {
            series: ask.series.iter().map(|key| run_series(key, 400, ask)).collect(),
        })),
        Request::RunLogs(ask) => Reply::RunLogs(Box::new(LogPage {
            items: (ask.after + 1..=160).take(ask.limit as usize).map(run_log_line).collect(),
        })),
        Request::RunReports(_) => Reply::RunReports(Box::new(run_reports())),
        Request::RunSaveArtifact(_) => Reply::RunSaveArtifact(done()),
        Request::RunsImport(ask) => Reply::RunsImport(Box::new(RunsImported {
            path: format!("{}/mlflow.db", ask.path),
            is_database: true,
            n_new: 1_204,
            n_known: 3,
            n_points: 96_320,
            n_files: 2_411,
            left_out: vec![NotImported {
                run: "4f1d2a90c3b24e8f9d0a1b2c3d4e5f60".to_owned(),
                what: "model/model.pkl".to_owned(),
                why: "a pickle can run code when it is read".to_owned(),
            }],
            n_left_out: 1,
            notes: vec!["files of runs were taken from beside the database".to_owned()],
            ..RunsImported::default()
        })),
        Request::ModelRegister(ask) => Reply::ModelRegister(Box::new(registered(ask))),
        _ => return None,
    };
    Some(Ok(reply))
}

//! Answers about approving, comparing and cleaning away models.

use athanor_protocol::{
    Failure,
    api::{Done, ModelCardAnswer, ModelCleaned, ModelHistoryAnswer, Reply, Request, StageSet},
    card::{Comparison, Difference, Estimate, InputRange, IntervalMethod, ModelCard, PairedTest, Slice, Verdict},
    governance::{AliasMove, CardText, DeletedVersion, MoveKind, Rules, Stage, StageChange},
    learner::{FloatType, LearnerSpec, TrainSpec},
    package::DatasetUsed,
    registry::PRODUCTION,
    signature::Task,
    table::DataType,
};

use super::{NOW_MILLIS, models::model_version};

const HOUR: i64 = 3_600_000;

/// How far the versions of the sample model have come.
pub fn stage_of(version: u32) -> Stage {
    match version {
        7 => Stage::Candidate,
        6 | 5 => Stage::Approved,
        4 => Stage::Rejected,
        1 | 2 => Stage::Archived,
        _ => Stage::None,
    }
}

fn moved(from: Option<u32>, to: Option<u32>, kind: MoveKind, hours: i64) -> AliasMove {
    AliasMove {
        alias: PRODUCTION.to_owned(),
        from,
        to,
        kind,
        at_millis: NOW_MILLIS - hours * HOUR,
        actor: "ann".to_owned(),
        reason: "fewer false alarms".to_owned(),
    }
}

fn change(version: u32, from: Stage, to: Stage, hours: i64) -> StageChange {
    StageChange {
        version,
        from,
        to,
        at_millis: NOW_MILLIS - hours * HOUR,
        actor: "bob".to_owned(),
        reason: "checked on the new ward".to_owned(),
    }
}

/// What happened to the sample model.
pub fn model_history() -> ModelHistoryAnswer {
    ModelHistoryAnswer {
        stages: vec![
            change(7, Stage::None, Stage::Candidate, 2),
            change(6, Stage::Candidate, Stage::Approved, 20),
            change(4, Stage::Candidate, Stage::Rejected, 60),
        ],
        moves: vec![
            moved(Some(5), Some(6), MoveKind::Move, 18),
            moved(Some(6), Some(5), MoveKind::RollBack, 19),
            moved(Some(5), Some(6), MoveKind::Move, 20),
        ],
        deleted: vec![DeletedVersion {
            model: "tumours".to_owned(),
            version: 8,
            sha256: "7c".repeat(32),
            n_bytes: 91_204,
            at_millis: NOW_MILLIS - HOUR,
            actor: "ann".to_owned(),
            reason: "trained on the wrong table".to_owned(),
            cleaned_at_millis: None,
        }],
        rules: Rules { keep_newest: Some(10), keep_days: Some(90), ..Rules::production_needs_approval() },
        own_rules: false,
    }
}

fn estimate(key: &str, value: f64, interval: [f64; 2]) -> Estimate {
    Estimate { key: key.to_owned(), value: value.into(), interval: Some(interval), method: IntervalMethod::Bootstrap }
}

/// The card of a version of the sample model.
pub fn model_card(version: u32) -> ModelCard {
    let of = model_version(version);
    let text = |field: &str, text: &str, revision| CardText {
        field: field.to_owned(),
        text: text.to_owned(),
        revision,
        at_millis: NOW_MILLIS - 5 * HOUR,
        actor: "ann".to_owned(),
    };
    let slice = |value: &str, n_rows, accuracy, interval| Slice {
        column: "site".to_owned(),
        value: Some(value.to_owned()),
        n_rows,
        metrics: vec![estimate("accuracy", accuracy, interval)],
    };
    ModelCard {
        version: 1,
        model: format!("tumours:{version}"),
        stage: of.stage,
        aliases: of.aliases.clone(),
        created_at_millis: of.created_at_millis,
        signature: of.signature.clone(),
        datasets: vec![DatasetUsed {
            name: "tumours.csv".to_owned(),
            digest: format!("blake3:{}", "3a".repeat(32)),
            n_rows: 569,
        }],
        split: vec![("stratify".to_owned(), "diagnosis".to_owned()), ("test".to_owned(), "0.2".to_owned())],
        train: TrainSpec {
            learner: LearnerSpec::Constant,
            target: "diagnosis".to_owned(),
            features: vec![],
            seed: 7,
            device: "cpu".to_owned(),
            dtype: FloatType::F32,
            threads: 4,
        },
        n_judged: 114,
        metrics: vec![
            estimate("accuracy", 0.9737, [0.9386, 1.0]),
            estimate("roc_auc", 0.9954, [0.985, 1.0]),
            estimate("log_loss", 0.0823, [0.0401, 0.1377]),
        ],
        slices: vec![slice("left", 58, 0.9828, [0.9483, 1.0]), slice("right", 56, 0.9643, [0.9107, 1.0])],
        limits: vec![
            InputRange {
                name: "mean_radius".to_owned(),
                dtype: DataType::Float,
                nullable: false,
                missing: 0.0,
                range: Some([6.98, 28.11]),
                values: vec![],
            },
            InputRange {
                name: "site".to_owned(),
                dtype: DataType::Text,
                nullable: true,
                missing: 0.014,
                range: None,
                values: vec!["left".to_owned(), "right".to_owned()],
            },
        ],
        run: of.run_id,
        workflow: "tumours".to_owned(),
        workflow_digest: format!("blake3:{}", "1f".repeat(32)),
        versions: vec![("athanor".to_owned(), "0.1.0".to_owned())],
        sha256: of.sha256,
        signed_by: of.signed_by,
        texts: vec![
            text("intended_use", "A second opinion for trained staff, never the only one.", 2),
            text("limitations", "Not tried on patients below 18.", 1),
        ],
        notes: vec![],
    }
}

/// A comparison of two versions of the sample model.
pub fn comparison(first: &str, second: &str) -> Comparison {
    let row = |key: &str, first: f64, second: f64, interval, verdict| Difference {
        key: key.to_owned(),
        first,
        second,
        difference: second - first,
        interval,
        verdict,
    };
    Comparison {
        first: first.to_owned(),
        second: second.to_owned(),
        table: format!("test rows of {second}"),
        task: Task::Binary,
        n_rows: 1_140,
        n_resamples: 2_000,
        seed: 0,
        metrics: vec![
            row("accuracy", 0.9632, 0.9754, [0.0035, 0.0211], Verdict::Better),
            row("f1", 0.9511, 0.9672, [0.0042, 0.0281], Verdict::Better),
            row("roc_auc", 0.9931, 0.9944, [-0.0008, 0.0034], Verdict::Unclear),
            row("log_loss", 0.0981, 0.0877, [-0.0214, 0.0006], Verdict::Unclear),
        ],
        test: Some(PairedTest {
            name: "mcnemar".to_owned(),
            counted: format!("{first} is right alone on 9 rows, {second} on 23"),
            p_value: 0.0216,
        }),
        verdict: Verdict::Better,
        words: format!("{second} is better: accuracy +0.0122, 95 % interval 0.0035 to 0.0211, on 1140 rows"),
        notes: vec![],
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::ModelStage(ask) => {
            let change =
                StageChange { reason: ask.reason.clone(), ..change(ask.version, stage_of(ask.version), ask.stage, 0) };
            let moved = if ask.roll_back { vec![moved(Some(6), Some(5), MoveKind::RollBack, 0)] } else { vec![] };
            Reply::ModelStage(Box::new(StageSet { change: Some(change), moved }))
        }
        Request::ModelHistory(_) => Reply::ModelHistory(Box::new(model_history())),
        Request::ModelRules(ask) => Reply::ModelRules(Box::new(ask.rules.clone().unwrap_or_default())),
        Request::ModelRollback(ask) => {
            let kind = if ask.undo { MoveKind::UndoMove } else { MoveKind::RollBack };
            let alias = ask.alias.clone();
            Reply::ModelRollback(Box::new(AliasMove { alias, ..moved(Some(6), Some(5), kind, 0) }))
        }
        Request::ModelDelete(_) => Reply::ModelDelete(Box::new(Done {})),
        Request::ModelRestore(_) => Reply::ModelRestore(Box::new(Done {})),
        Request::ModelClean(_) => {
            let removed = model_history().deleted;
            let freed_bytes = removed.iter().map(|gone| gone.n_bytes).sum();
            Reply::ModelClean(Box::new(ModelCleaned { removed, marked: vec![], freed_bytes }))
        }
        Request::ModelCardGet(ask) => {
            let card = model_card(ask.version);
            let markdown = format!("# {}\n", card.model);
            Reply::ModelCardGet(Box::new(ModelCardAnswer { card, markdown }))
        }
        Request::ModelCardEdit(ask) => Reply::ModelCardEdit(Box::new(CardText {
            field: ask.field.clone(),
            text: ask.text.clone(),
            revision: 3,
            at_millis: NOW_MILLIS,
            actor: "ann".to_owned(),
        })),
        Request::ModelCompare(ask) => Reply::ModelCompare(Box::new(comparison(&ask.first, &ask.second))),
        _ => return None,
    };
    Some(Ok(reply))
}

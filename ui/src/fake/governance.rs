//! Answers about stages, histories, cards and comparisons of the model `tumours`.

use athanor_protocol::{
    Failure,
    api::{Done, ModelCardAnswer, ModelCleaned, ModelHistoryAnswer, Reply, Request, StageSet},
    card::{Comparison, Difference, Estimate, InputRange, IntervalMethod, ModelCard, PairedTest, Slice, Verdict},
    governance::{AliasMove, CardText, DeletedVersion, MoveKind, Rules, Stage, StageChange},
    learner::{FloatType, LearnerSpec, TrainSpec},
    metric::MetricValue,
    package::DatasetUsed,
    registry::PRODUCTION,
    signature::Task,
};

use super::{NOW_MILLIS, model_version};

const HOUR: i64 = 3_600_000;

/// How far a version of `tumours` has come: 6 is served, 7 waits.
pub fn stage_of(version: u32) -> Stage {
    match version {
        7 => Stage::Candidate,
        5 | 6 => Stage::Approved,
        4 => Stage::Rejected,
        1 => Stage::Archived,
        _ => Stage::None,
    }
}

fn change(version: u32, from: Stage, to: Stage, hours: i64, reason: &str) -> StageChange {
    let at_millis = NOW_MILLIS - hours * HOUR;
    StageChange { version, from, to, at_millis, actor: "anna".to_owned(), reason: reason.to_owned() }
}

/// What happened to `tumours`; no rules.
pub fn history() -> ModelHistoryAnswer {
    let moved = |from, to, kind, hours| AliasMove {
        alias: PRODUCTION.to_owned(),
        from,
        to: Some(to),
        kind,
        at_millis: NOW_MILLIS - hours * HOUR,
        actor: "anna".to_owned(),
        reason: String::new(),
    };
    ModelHistoryAnswer {
        stages: vec![
            change(7, Stage::None, Stage::Candidate, 3, "trained on the rows of October"),
            change(6, Stage::Candidate, Stage::Approved, 20, "fewer missed tumours than 5"),
            change(4, Stage::Candidate, Stage::Rejected, 70, "misses small lesions"),
        ],
        moves: vec![
            moved(Some(5), 6, MoveKind::Move, 19),
            moved(Some(3), 5, MoveKind::Move, 40),
            moved(Some(5), 3, MoveKind::RollBack, 44),
        ],
        deleted: vec![DeletedVersion {
            model: "tumours".to_owned(),
            version: 8,
            sha256: "2c".repeat(32),
            n_bytes: 67_874,
            at_millis: NOW_MILLIS - 30 * HOUR,
            actor: "anna".to_owned(),
            reason: "trained on the wrong table".to_owned(),
            cleaned_at_millis: None,
        }],
        rules: Rules::default(),
        own_rules: false,
    }
}

/// What cleaning does, or would do: one package goes, two versions are marked.
pub fn cleaned() -> ModelCleaned {
    let deleted = history().deleted;
    let marked = |version: u32| DeletedVersion {
        model: "tumours".to_owned(),
        version,
        sha256: "7a".repeat(32),
        n_bytes: 64_657,
        at_millis: NOW_MILLIS,
        actor: "anna".to_owned(),
        reason: "the retention does not keep it".to_owned(),
        cleaned_at_millis: None,
    };
    ModelCleaned { freed_bytes: 67_874, removed: deleted, marked: vec![marked(2), marked(1)] }
}

fn estimate(key: &str, value: f64, interval: [f64; 2]) -> Estimate {
    Estimate {
        key: key.to_owned(),
        value: MetricValue::Finite(value),
        interval: Some(interval),
        method: IntervalMethod::Bootstrap,
    }
}

fn text(field: &str, text: &str) -> CardText {
    CardText {
        field: field.to_owned(),
        text: text.to_owned(),
        revision: 1,
        at_millis: NOW_MILLIS - 5 * HOUR,
        actor: "anna".to_owned(),
    }
}

/// The card of a version of `tumours`.
pub fn card(version: u32) -> ModelCard {
    let known = model_version(version);
    let slice = |column: &str, value: Option<&str>, n_rows, accuracy: f64, half: f64| Slice {
        column: column.to_owned(),
        value: value.map(str::to_owned),
        n_rows,
        metrics: vec![estimate("accuracy", accuracy, [accuracy - half, (accuracy + half).min(1.0)])],
    };
    let limits = known.signature.inputs.iter().map(|input| InputRange {
        name: input.name.clone(),
        dtype: input.dtype,
        nullable: input.nullable,
        missing: if input.nullable { 0.021 } else { 0.0 },
        range: (input.name != "site" && input.name != "smoker").then_some([6.981, 28.11]),
        values: if input.name == "site" { ["left", "right"].map(str::to_owned).into() } else { vec![] },
    });
    ModelCard {
        version: 1,
        model: format!("tumours:{version}"),
        stage: stage_of(version),
        aliases: known.aliases.clone(),
        created_at_millis: known.created_at_millis,
        limits: limits.collect(),
        signature: known.signature,
        datasets: vec![DatasetUsed {
            name: "tumours.csv".to_owned(),
            digest: format!("blake3:{}", "5e".repeat(32)),
            n_rows: 569,
        }],
        split: [("train", "0.7"), ("valid", "0.15"), ("test", "0.15"), ("seed", "42")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        train: Some(TrainSpec {
            learner: LearnerSpec::Constant,
            target: "diagnosis".to_owned(),
            features: vec![],
            seed: 42,
            device: "cpu".to_owned(),
            dtype: FloatType::F32,
            threads: 4,
        }),
        n_judged: 86,
        metrics: vec![
            estimate("accuracy", 0.9651, [0.9186, 1.0]),
            estimate("f1", 0.9552, [0.8955, 0.9841]),
            estimate("log_loss", 0.0966, [0.0571, 0.1644]),
            Estimate { interval: None, method: IntervalMethod::None, ..estimate("roc_auc", 0.9914, [0.0, 0.0]) },
        ],
        slices: vec![
            slice("site", Some("left"), 44, 0.9773, 0.034),
            slice("site", Some("right"), 39, 0.9487, 0.061),
            slice("site", None, 3, 1.0, 0.3),
        ],
        run: known.run_id,
        workflow: "clinic".to_owned(),
        workflow_digest: format!("blake3:{}", "9a".repeat(32)),
        versions: vec![("athanor".to_owned(), "0.1.0".to_owned()), ("burn".to_owned(), "0.19.0".to_owned())],
        sha256: known.sha256,
        signed_by: known.signed_by,
        texts: vec![text(
            "intended_use",
            "A second opinion for the doctors of ward 4.\nNever the only ground of a diagnosis.",
        )],
        notes: vec!["the interval of ROC AUC is not known: the rows' scores were not kept".to_owned()],
    }
}

/// Two versions of `tumours` on the same rows.
pub fn comparison() -> Comparison {
    let difference = |key: &str, first: f64, second: f64, interval, verdict| Difference {
        key: key.to_owned(),
        first,
        second,
        difference: second - first,
        interval,
        verdict,
    };
    Comparison {
        first: "tumours:6".to_owned(),
        second: "tumours:7".to_owned(),
        table: "the test rows of tumours:7".to_owned(),
        task: Task::Binary,
        n_rows: 86,
        n_resamples: 2_000,
        seed: 42,
        metrics: vec![
            difference("accuracy", 0.9419, 0.9767, [0.0, 0.0814], Verdict::Unclear),
            difference("log_loss", 0.1341, 0.0966, [-0.0691, -0.0122], Verdict::Better),
            difference("f1", 0.9231, 0.9692, [0.0041, 0.1044], Verdict::Better),
            difference("precision", 0.9677, 0.9412, [-0.0588, -0.0021], Verdict::Worse),
        ],
        test: Some(PairedTest {
            name: "mcnemar_exact".to_owned(),
            counted: "4 rows only version 7 has right, 1 only version 6".to_owned(),
            p_value: 0.375,
        }),
        verdict: Verdict::Unclear,
        words: "no difference can be told: accuracy +0.0349, 95 % interval 0 to 0.0814".to_owned(),
        notes: vec!["86 rows are few: only large differences can be told".to_owned()],
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let done = || Box::new(Done {});
    let reply = match request {
        Request::ModelStage(ask) => {
            let from = stage_of(ask.version);
            let stage = change(ask.version, from, ask.stage, 0, &ask.reason);
            let back = AliasMove {
                alias: PRODUCTION.to_owned(),
                from: Some(6),
                to: Some(5),
                kind: MoveKind::RollBack,
                at_millis: NOW_MILLIS,
                actor: "anna".to_owned(),
                reason: String::new(),
            };
            let moved = if ask.roll_back && ask.version == 6 { vec![back] } else { vec![] };
            Reply::ModelStage(Box::new(StageSet { change: (from != ask.stage).then_some(stage), moved }))
        }
        Request::ModelHistory(ask) => Reply::ModelHistory(Box::new(if ask.model == "tumours" {
            history()
        } else {
            ModelHistoryAnswer { stages: vec![], moves: vec![], deleted: vec![], ..history() }
        })),
        Request::ModelRules(ask) => Reply::ModelRules(Box::new(ask.rules.clone().unwrap_or_default())),
        Request::ModelRollback(ask) => Reply::ModelRollback(Box::new(AliasMove {
            alias: ask.alias.clone(),
            from: Some(if ask.undo { 5 } else { 6 }),
            to: Some(if ask.undo { 6 } else { 5 }),
            kind: if ask.undo { MoveKind::UndoRollBack } else { MoveKind::RollBack },
            at_millis: NOW_MILLIS,
            actor: "anna".to_owned(),
            reason: ask.reason.clone(),
        })),
        Request::ModelDelete(_) => Reply::ModelDelete(done()),
        Request::ModelRestore(_) => Reply::ModelRestore(done()),
        Request::ModelClean(_) => Reply::ModelClean(Box::new(cleaned())),
        Request::ModelCardGet(ask) => {
            let card = card(ask.version);
            let markdown = format!("# {}\n\nA card.\n", card.model);
            Reply::ModelCardGet(Box::new(ModelCardAnswer { card, markdown }))
        }
        Request::ModelCardEdit(ask) => {
            Reply::ModelCardEdit(Box::new(CardText { revision: 2, ..text(&ask.field, &ask.text) }))
        }
        Request::ModelCompare(_) => Reply::ModelCompare(Box::new(comparison())),
        _ => return None,
    };
    Some(Ok(reply))
}

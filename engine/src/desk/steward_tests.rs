#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    Code,
    api::{AuditList, ModelAlias, ModelList, StorageClean, StoragePart, StorageUsage},
    governance::{MoveKind, Stage},
};

use super::*;
use crate::desk::{
    test_desk::{TestDesk, ask},
    test_models::register,
};

fn promote(desk: &Arc<Desk>, version: u32) -> Result<(), Failure> {
    let (model, alias) = ("tumours".to_owned(), "production".to_owned());
    ask(desk, ModelAlias { model, alias, version: Some(version) }).map(drop)
}

fn stage(version: u32, stage: Stage, roll_back: bool) -> ModelStage {
    ModelStage { model: "tumours".to_owned(), version, stage, reason: " checked ".to_owned(), roll_back }
}

fn back(undo: bool) -> ModelRollback {
    ModelRollback { model: "tumours".to_owned(), alias: "production".to_owned(), undo, reason: String::new() }
}

#[test]
fn what_is_served_is_approved_and_taken_back_by_somebody() {
    let test = TestDesk::open();
    for seed in 1..=3 {
        register(&test.desk, "tumours", seed);
    }
    let rules = Rules::production_needs_approval();
    ask(&test.desk, ModelRules { model: None, rules: Some(rules.clone()) }).unwrap();
    let failure = promote(&test.desk, 1).unwrap_err();
    assert_eq!(failure.code, Code::Conflict);
    assert!(failure.hint.unwrap().contains("tumours:1 approved"));
    let failure = ask(&test.desk, stage(1, Stage::Approved, false)).unwrap_err();
    assert!(failure.message.contains("may not approve"), "whoever registered it: {failure}");
    let approve = |version| registry::on_behalf_of("k1", || ask(&test.desk, stage(version, Stage::Approved, false)));
    assert_eq!(approve(1).unwrap().change.unwrap().reason, "checked");
    approve(2).unwrap();
    promote(&test.desk, 1).unwrap();
    promote(&test.desk, 2).unwrap();
    let moved = ask(&test.desk, back(false)).unwrap();
    assert_eq!((moved.from, moved.to, moved.kind), (Some(2), Some(1), MoveKind::RollBack));
    assert_eq!(ask(&test.desk, back(true)).unwrap().to, Some(2));
    let events = test.desk.subscribe();
    assert_eq!(ask(&test.desk, stage(2, Stage::Rejected, false)).unwrap_err().code, Code::Conflict);
    let set = ask(&test.desk, stage(2, Stage::Rejected, true)).unwrap();
    assert_eq!((set.moved.len(), set.moved[0].to), (1, Some(1)));
    let heard: Vec<Event> = events.wait(std::time::Duration::ZERO).into_iter().map(|event| event.event).collect();
    assert!(heard.contains(&Event::ModelsChanged {}), "{heard:?}");
    assert!(heard.iter().any(|event| matches!(event, Event::EndpointChanged { .. })), "{heard:?}");
    let history = ask(&test.desk, ModelHistory { model: "tumours".to_owned() }).unwrap();
    assert_eq!((history.stages.len(), history.moves.len(), history.rules, history.own_rules), (3, 5, rules, false));
    let audit = AuditList { subject: Some("tumours:2".to_owned()), ..AuditList::default() };
    let lines: Vec<String> = ask(&test.desk, audit).unwrap().items.into_iter().map(|line| line.action).collect();
    assert_eq!(lines, ["model.stage", "model.stage", "model.register"]);
}

#[test]
fn deleted_versions_come_back_until_they_are_cleaned() {
    let test = TestDesk::open();
    for seed in 1..=3 {
        register(&test.desk, "tumours", seed);
    }
    promote(&test.desk, 1).unwrap();
    promote(&test.desk, 2).unwrap();
    let delete = |version| {
        let (model, reason) = ("tumours".to_owned(), "no use".to_owned());
        ask(&test.desk, ModelDelete { model, version, reason }).map_err(|failure| failure.code)
    };
    let restore = |version| ask(&test.desk, ModelRestore { model: "tumours".to_owned(), version });
    assert_eq!((delete(2), delete(1), delete(9)), (Err(Code::Conflict), Err(Code::Conflict), Err(Code::NotFound)));
    delete(3).unwrap();
    assert_eq!(ask(&test.desk, ModelList::default()).unwrap().items[0].latest, 2);
    restore(3).unwrap();
    delete(3).unwrap();
    let artifacts = || {
        let report = ask(&test.desk, StorageUsage {}).unwrap();
        report.items.into_iter().find(|item| item.part == StoragePart::Artifacts).unwrap()
    };
    let before = artifacts();
    assert!(before.cleanable_bytes > 0 && before.cleanable_bytes < before.n_bytes);
    let dry = ask(&test.desk, ModelClean { dry_run: true }).unwrap();
    assert_eq!((dry.removed.len(), dry.freed_bytes), (1, before.cleanable_bytes));
    let freed = ask(&test.desk, StorageClean { part: StoragePart::Artifacts }).unwrap().freed_bytes;
    let after = artifacts();
    assert_eq!((freed, after.n_files, after.cleanable_bytes), (before.cleanable_bytes, before.n_files - 1, 0));
    assert_eq!(restore(3).unwrap_err().code, Code::Conflict);
    let again = register(&test.desk, "tumours", 3);
    assert_eq!(again.version, 3, "the same package is the same version, back again");
    promote(&test.desk, 3).unwrap();
    // A retention marks, and only the next cleaning removes.
    let rules = Rules { keep_newest: Some(1), ..Rules::default() };
    ask(&test.desk, ModelRules { model: Some("tumours".to_owned()), rules: Some(rules) }).unwrap();
    let cleaned = ask(&test.desk, ModelClean { dry_run: false }).unwrap();
    let marked: Vec<u32> = cleaned.marked.iter().map(|gone| gone.version).collect();
    assert_eq!((marked, cleaned.freed_bytes), (vec![1], 0), "2 is what a roll-back leads to");
    restore(1).unwrap();
}

#[test]
fn a_card_without_a_run_says_what_it_does_not_know_and_versions_are_compared_on_a_table() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    register(&test.desk, "tumours", 2);
    let edit = |field: &str, text: &str| ModelCardEdit {
        model: "tumours".to_owned(),
        version: 1,
        field: field.to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(ask(&test.desk, edit("notes", "for tests")).unwrap().revision, 1);
    assert_eq!(ask(&test.desk, edit("colour", "red")).unwrap_err().code, Code::InvalidArgument);
    let card = ask(&test.desk, ModelCardGet { model: "tumours".to_owned(), version: 1 }).unwrap();
    assert_eq!((card.card.texts.len(), card.card.limits.len(), card.card.metrics.len()), (1, 2, 0));
    assert!(card.card.notes.iter().any(|note| note.contains("not in this workspace")));
    assert!(card.markdown.contains("for tests") && card.markdown.contains("| radius |"));

    let rows: String = (0..200)
        .map(|n| {
            let kind = if n % 60 > 30 { "malign" } else { "benign" };
            format!("{},{},{kind}\n", f64::from(n % 60) * 0.5, ["red", "green", "blue"][n as usize % 3])
        })
        .collect();
    std::fs::write(test.path("workspace/rows.csv"), format!("radius,colour,kind\n{rows},,\n1,red,strange\n")).unwrap();
    std::fs::write(test.path("workspace/bare.csv"), "radius,colour\n1,red\n").unwrap();
    let compare = |table: Option<&str>| ModelCompare {
        first: "tumours:1".to_owned(),
        second: "tumours:2".to_owned(),
        table: table.map(str::to_owned),
        token: "mine".to_owned(),
    };
    let found = ask(&test.desk, compare(Some("rows.csv"))).unwrap();
    assert_eq!((found.n_rows, found.table.as_str()), (200, "rows.csv"));
    assert!(found.notes.iter().any(|note| note.contains("2 rows have no target")), "{:?}", found.notes);
    assert!(found.metrics.iter().any(|metric| metric.key == "accuracy") && found.test.is_some());
    assert_eq!(ask(&test.desk, compare(Some("bare.csv"))).unwrap_err().code, Code::BadData);
    let failure = ask(&test.desk, compare(None)).unwrap_err();
    assert!(failure.code == Code::NotFound && failure.hint.unwrap().contains("--table"));
}

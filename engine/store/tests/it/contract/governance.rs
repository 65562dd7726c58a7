//! Stages, aliases with their way back, rules, deletion marks, cards, the search of the audit log.

use athanor_protocol::{
    Code,
    governance::{MoveKind, Rules, Stage},
};
use athanor_store::{Act, AuditQuery, Expected, PageRequest, Store};

use super::code;
use crate::help::version;

fn act(actor: &str, at_millis: i64) -> Act {
    Act { actor: actor.to_owned(), at_millis, reason: "a test".to_owned() }
}

/// A model with so many versions, registered by `ann`.
fn wine(a: &dyn Store, n: u32) {
    for at in 1..=n {
        a.register_as("wine", &version(at), &act("ann", i64::from(at))).unwrap();
    }
}

fn now(b: &dyn Store) -> Option<u32> {
    b.resolve(&"wine@production".parse().unwrap()).ok().map(|version| version.version)
}

fn actions(b: &dyn Store) -> Vec<String> {
    let page = b.audit(&PageRequest::first(100)).unwrap();
    page.items.into_iter().rev().map(|line| line.action).collect()
}

pub fn an_alias_goes_back_and_forth(a: &dyn Store, b: &dyn Store) {
    wine(a, 4);
    let to = |v| a.move_alias("wine", "production", Some(v), Expected::Anything, &act("ann", 10)).unwrap();
    let back = || a.roll_back("wine", "production", None, &act("bob", 11));
    let undo = || a.undo_alias("wine", "production", &act("bob", 12));
    assert_eq!(code(undo()), Code::Conflict, "nothing was moved yet");
    assert_eq!((to(1).from, to(2).from, to(3).from), (None, Some(1), Some(2)));
    assert_eq!(b.version_before("wine", "production").unwrap(), Some(2));
    let moved = back().unwrap();
    assert_eq!((moved.from, moved.to, moved.kind, moved.actor.as_str()), (Some(3), Some(2), MoveKind::RollBack, "bob"));
    assert_eq!(back().unwrap().to, Some(1));
    assert_eq!(code(back()), Code::Conflict, "there is nothing before the first");
    assert_eq!(now(b), Some(1));
    assert_eq!(undo().unwrap().to, Some(2), "the last roll-back is undone");
    assert_eq!(undo().unwrap().to, Some(1), "and undoing that again is back");
    assert_eq!(undo().unwrap().to, Some(2));
    // A move to a named version ends what could be gone forth to.
    to(4);
    assert_eq!(undo().unwrap().kind, MoveKind::UndoMove);
    assert_eq!((now(b), undo().unwrap().to), (Some(2), Some(4)));
    assert_eq!(b.version_before("wine", "production").unwrap(), Some(2));
    assert_eq!(code(a.roll_back("wine", "production", Some(1), &act("bob", 13))), Code::Conflict, "expected another");
    // Undoing the very first move takes the alias away.
    a.move_alias("wine", "shadow", Some(1), Expected::Nothing, &act("ann", 20)).unwrap();
    assert_eq!(a.undo_alias("wine", "shadow", &act("ann", 21)).unwrap().to, None);
    assert_eq!(a.undo_alias("wine", "shadow", &act("ann", 22)).unwrap().to, Some(1));
    a.move_alias("wine", "shadow", None, Expected::Anything, &act("ann", 23)).unwrap();
    assert_eq!(code(a.move_alias("wine", "shadow", None, Expected::Anything, &act("ann", 23))), Code::NotFound);
    assert_eq!(a.roll_back("wine", "shadow", None, &act("ann", 24)).unwrap().to, Some(1), "even from nowhere");
    let moves = b.alias_moves("wine").unwrap();
    assert_eq!((moves[0].alias.as_str(), moves[0].kind, moves[0].from), ("shadow", MoveKind::RollBack, None));
    let lines = actions(b).into_iter().filter(|action| action == "model.alias").count();
    assert_eq!(lines, moves.len(), "each move has its line");
    // The same again is no move.
    a.move_alias("wine", "shadow", Some(1), Expected::Anything, &act("ann", 25)).unwrap();
    assert_eq!(b.alias_moves("wine").unwrap().len(), moves.len());
}

pub fn what_is_refused_leaves_no_line(a: &dyn Store, b: &dyn Store) {
    wine(a, 2);
    let before = actions(b).len();
    let refused = [
        code(a.move_alias("wine", "production", Some(9), Expected::Anything, &act("ann", 1))),
        code(a.move_alias("wine", "production", Some(1), Expected::Version(2), &act("ann", 1))),
        code(a.move_alias("beer", "production", Some(1), Expected::Anything, &act("ann", 1))),
        code(a.move_alias("wine", "v2", Some(1), Expected::Anything, &act("ann", 1))),
        code(a.move_alias("wine", "production", Some(1), Expected::Anything, &act("", 1))),
        code(a.set_stage("wine", 9, Stage::Approved, false, &act("ann", 1))),
        code(a.delete_version("wine", 9, &act("ann", 1))),
        code(a.restore_version("wine", 1, &act("ann", 1))),
        code(a.edit_card("wine", 1, "colour", "red", &act("ann", 1))),
        code(a.edit_card("wine", 1, "notes", "\u{0}", &act("ann", 1))),
        code(a.set_rules(None, Some(&Rules { keep_newest: Some(0), ..Rules::default() }), &act("ann", 1))),
        code(a.set_rules(None, Some(&Rules { needs_approval: vec!["../x".into()], ..Rules::default() }), &act("a", 1))),
    ];
    use Code::{Conflict, InvalidArgument, NotFound};
    assert_eq!(
        refused,
        [
            NotFound,
            Conflict,
            NotFound,
            InvalidArgument,
            InvalidArgument,
            NotFound,
            NotFound,
            NotFound,
            InvalidArgument,
            InvalidArgument,
            InvalidArgument,
            InvalidArgument
        ]
    );
    assert_eq!((actions(b).len(), now(b), b.alias_moves("wine").unwrap().len()), (before, None, 0));
}

pub fn what_needs_approval_waits_for_it(a: &dyn Store, b: &dyn Store) {
    wine(a, 3);
    a.set_rules(None, Some(&Rules::production_needs_approval()), &act("boss", 1)).unwrap();
    let promote = |v| a.move_alias("wine", "production", Some(v), Expected::Anything, &act("ann", 2));
    assert_eq!(code(promote(1)), Code::Conflict);
    assert_eq!(code(a.set_alias("wine", "production", 1, Expected::Anything, 2)), Code::Conflict, "by no other way");
    a.move_alias("wine", "shadow", Some(1), Expected::Anything, &act("ann", 2)).unwrap();
    let stage = |v, stage, back, who: &str| a.set_stage("wine", v, stage, back, &act(who, 3));
    assert_eq!(code(stage(1, Stage::Approved, false, "ann")), Code::Conflict, "whoever registered it");
    stage(1, Stage::Candidate, false, "ann").unwrap();
    let change = stage(1, Stage::Approved, false, "bob").unwrap().change.unwrap();
    assert_eq!((change.from, change.to, change.reason.as_str()), (Stage::Candidate, Stage::Approved, "a test"));
    assert_eq!(stage(1, Stage::Approved, false, "bob").unwrap().change, None, "it is already");
    assert_eq!(b.resolve(&"wine:1".parse().unwrap()).unwrap().stage, Stage::Approved);
    promote(1).unwrap();
    stage(2, Stage::Approved, false, "bob").unwrap();
    promote(2).unwrap();
    // Taking back what is served needs a decision, and leads to what is still approved.
    assert_eq!(code(stage(2, Stage::Rejected, false, "bob")), Code::Conflict);
    assert_eq!(b.resolve(&"wine:2".parse().unwrap()).unwrap().stage, Stage::Approved, "nothing was changed");
    let outcome = stage(2, Stage::Rejected, true, "bob").unwrap();
    assert_eq!((outcome.moved.len(), outcome.moved[0].to, now(b)), (1, Some(1), Some(1)));
    assert_eq!(code(a.undo_alias("wine", "production", &act("bob", 4))), Code::Conflict, "2 was rejected");
    assert_eq!(code(stage(1, Stage::Rejected, true, "bob")), Code::Conflict, "no other is approved");
    assert_eq!(code(stage(1, Stage::None, false, "bob")), Code::Conflict);
    let stages: Vec<_> = b.stage_changes("wine").unwrap().iter().map(|c| (c.version, c.to)).collect();
    let expect = [(2, Stage::Rejected), (2, Stage::Approved), (1, Stage::Approved), (1, Stage::Candidate)];
    assert_eq!(stages, expect);
    // A model may have rules of its own, and give them up again.
    a.set_rules(Some("wine"), Some(&Rules::default()), &act("boss", 5)).unwrap();
    assert_eq!(b.rules(Some("wine")).unwrap(), (Rules::default(), true));
    promote(3).unwrap();
    a.set_rules(Some("wine"), None, &act("boss", 6)).unwrap();
    assert_eq!(b.rules(Some("wine")).unwrap(), (Rules::production_needs_approval(), false));
    assert_eq!(now(b), Some(3), "what points somewhere stays");
    // The way back passes over what is not approved.
    assert_eq!(b.version_before("wine", "production").unwrap(), Some(1));
    assert_eq!(code(a.set_rules(Some("beer"), None, &act("boss", 6))), Code::NotFound);
}

pub fn deletion_never_takes_what_is_needed(a: &dyn Store, b: &dyn Store) {
    wine(a, 4);
    let delete = |v| a.delete_version("wine", v, &act("ann", 5));
    for v in [1, 2] {
        a.move_alias("wine", "production", Some(v), Expected::Anything, &act("ann", 4)).unwrap();
    }
    assert_eq!(code(delete(2)), Code::Conflict, "it is served");
    assert_eq!(code(delete(1)), Code::Conflict, "it is what a roll-back leads to");
    let gone = delete(4).unwrap();
    assert_eq!((gone.version, gone.sha256 == version(4).sha256, gone.cleaned_at_millis), (4, true, None));
    assert_eq!(code(delete(4)), Code::NotFound);
    assert_eq!(b.resolve(&"wine".parse().unwrap()).unwrap().version, 3);
    assert_eq!(code(b.resolve(&"wine:4".parse().unwrap())), Code::NotFound);
    assert_eq!(code(a.move_alias("wine", "x", Some(4), Expected::Anything, &act("ann", 5))), Code::NotFound);
    let model = &b.models(&PageRequest::first(9)).unwrap().items[0];
    assert_eq!((model.n_versions, model.latest), (3, 3));
    assert_eq!(a.restore_version("wine", 4, &act("ann", 6)).unwrap().version, 4);
    // Numbers are never used again.
    delete(4).unwrap();
    assert_eq!(a.register_as("wine", &version(5), &act("ann", 7)).unwrap().version.version, 5);
    // The same package again is the same version, back again, even after cleaning.
    assert!(a.mark_cleaned("wine", 4, &act("ann", 8)).unwrap());
    assert_eq!(code(a.restore_version("wine", 4, &act("ann", 8))), Code::Conflict);
    assert!(b.deleted_versions(None).unwrap().is_empty(), "nothing is left to clean");
    assert_eq!(b.deleted_versions(Some("wine")).unwrap()[0].cleaned_at_millis, Some(8));
    let again = a.register_as("wine", &version(4), &act("ann", 9)).unwrap();
    assert_eq!((again.version.version, again.existed, again.restored), (4, true, true));
    // A package that another model has too is not removed.
    a.register_as("copy", &version(4), &act("ann", 9)).unwrap();
    delete(4).unwrap();
    assert!(!a.mark_cleaned("wine", 4, &act("ann", 10)).unwrap());
    // A model without versions is not listed, and comes back.
    delete(3).unwrap();
    assert_eq!(b.models(&PageRequest::first(9)).unwrap().items.len(), 2);
    a.delete_version("copy", 1, &act("ann", 11)).unwrap();
    assert_eq!(code(b.resolve(&"copy".parse().unwrap())), Code::NotFound);
    assert_eq!(b.models(&PageRequest::first(9)).unwrap().items.len(), 1);
}

pub fn retention_keeps_what_the_rules_say(a: &dyn Store, b: &dyn Store) {
    wine(a, 6);
    for v in [1, 3] {
        a.move_alias("wine", "production", Some(v), Expected::Anything, &act("ann", 4)).unwrap();
    }
    a.set_stage("wine", 2, Stage::Approved, false, &act("bob", 4)).unwrap();
    const DAY: i64 = 86_400_000;
    let rules = |keep_newest, keep_days| Rules { keep_newest, keep_days, ..Rules::default() };
    let surplus = |set: &Rules, at| -> Vec<u32> {
        a.set_rules(Some("wine"), Some(set), &act("boss", 5)).unwrap();
        b.apply_retention(true, &act("ann", at)).unwrap().iter().map(|gone| gone.version).collect()
    };
    for (set, at, expect) in [
        (rules(None, None), 100 * DAY, vec![]),
        (rules(Some(1), None), 10, vec![5, 4]),
        (rules(Some(2), None), 10, vec![4]),
        (rules(Some(9), None), 10, vec![]),
        (rules(None, Some(30)), 29 * DAY, vec![]),
        (rules(None, Some(30)), 31 * DAY, vec![6, 5, 4]),
        (rules(Some(2), Some(30)), 29 * DAY, vec![]),
        (rules(Some(2), Some(30)), 31 * DAY, vec![4]),
    ] {
        assert_eq!(surplus(&set, at), expect, "{set:?} at {at}");
    }
    assert!(b.deleted_versions(Some("wine")).unwrap().is_empty(), "dry runs change nothing");
    let marked = a.apply_retention(false, &act("ann", 31 * DAY)).unwrap();
    assert_eq!((marked.len(), marked[0].version), (1, 4));
    assert_eq!(b.deleted_versions(None).unwrap(), marked);
}

pub fn cards_remember_who_wrote_what(a: &dyn Store, b: &dyn Store) {
    wine(a, 1);
    assert!(b.card_texts("wine", 1).unwrap().is_empty());
    let edit = |text, who: &str| a.edit_card("wine", 1, "intended_use", text, &act(who, 7)).unwrap();
    assert_eq!(edit("for cellars\n- only", "ann").revision, 1);
    assert_eq!(edit("for cellars\n- only", "bob").actor, "ann", "the same text is the same revision");
    assert_eq!(edit("for shops", "bob").revision, 2);
    a.edit_card("wine", 1, "licence", "CC-BY", &act("ann", 8)).unwrap();
    let texts = b.card_texts("wine", 1).unwrap();
    let found: Vec<_> = texts.iter().map(|t| (t.field.as_str(), t.text.as_str(), t.revision)).collect();
    assert_eq!(found, [("intended_use", "for shops", 2), ("licence", "CC-BY", 1)]);
    assert_eq!(actions(b).iter().filter(|action| *action == "model.card").count(), 3);
    assert_eq!(code(b.card_texts("wine", 2)), Code::NotFound);
}

pub fn the_audit_log_is_searched(a: &dyn Store, b: &dyn Store) {
    wine(a, 2);
    a.register_as("wine-red", &version(9), &act("ann", 3)).unwrap();
    a.move_alias("wine", "production", Some(1), Expected::Anything, &act("bob_", 4)).unwrap();
    a.edit_card("wine", 2, "notes", "x", &act("ann", 5)).unwrap();
    let find = |query: AuditQuery| -> Vec<String> {
        let page = b.find_audit(&query, &PageRequest::first(50)).unwrap();
        page.items.into_iter().map(|line| format!("{} {}", line.action, line.subject)).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let none = AuditQuery::default;
    assert_eq!(find(none()).len(), 5);
    assert_eq!(find(AuditQuery { subject: some("wine"), ..none() }).len(), 4, "and not wine-red");
    assert_eq!(find(AuditQuery { subject: some("wine:2"), ..none() }), ["model.card wine:2", "model.register wine:2"]);
    assert_eq!(find(AuditQuery { action: some("model"), ..none() }).len(), 5);
    assert_eq!(find(AuditQuery { action: some("model.al"), ..none() }).len(), 0);
    assert_eq!(find(AuditQuery { since_millis: Some(4), ..none() }).len(), 2);
    assert_eq!(find(AuditQuery { text: some("B_"), ..none() }), ["model.alias wine"], "signs mean themselves");
    assert_eq!(find(AuditQuery { text: some("%"), ..none() }).len(), 0);
    let query = AuditQuery { subject: some("wine"), ..none() };
    let page = b.find_audit(&query, &PageRequest::first(3)).unwrap();
    let next = page.next.unwrap();
    assert_eq!(b.find_audit(&query, &PageRequest::after(3, next.clone())).unwrap().items.len(), 1);
    assert_eq!(code(b.find_audit(&none(), &PageRequest::after(3, next))), Code::InvalidArgument, "of another search");
}

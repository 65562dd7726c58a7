//! Stages, histories, cards, comparisons on the same rows and deletion on the page Models.

use athanor_protocol::{
    Code, Failure,
    api::{Event, ModelRules, ModelStage, Reply, Request},
    governance::{Rules, Stage},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::Go,
};
use egui::{Key, Modifiers};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];

fn tumours(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::Model("tumours".to_owned()));
    screen
}

fn usual() -> Screen {
    tumours(WIDE, true, |_| {})
}

/// Production needs approval, by somebody else.
fn protected(fake: &FakeHandle) {
    fake.on(|ask| match ask {
        Request::ModelHistory(_) => {
            let mut history = fake::history();
            history.rules = Rules::production_needs_approval();
            Some(Ok(Reply::ModelHistory(Box::new(history))))
        }
        _ => None,
    });
}

fn stages(screen: &Screen) -> Vec<ModelStage> {
    let sent = screen.fake.sent().into_iter();
    sent.filter_map(|ask| if let Request::ModelStage(ask) = ask { Some(*ask) } else { None }).collect()
}

fn sent(screen: &Screen, is: impl Fn(&Request) -> bool) -> bool {
    screen.fake.sent().iter().any(is)
}

#[test]
fn stages_stand_in_the_table_and_beside_the_version() {
    let mut screen = usual();
    screen.show("governance-stages");
    for label in ["waits for approval", "approved", "rejected", "archived"] {
        assert!(screen.has(label), "{label}");
    }
}

#[test]
fn a_version_is_approved_with_a_reason_and_that_can_be_undone() {
    let mut screen = usual();
    screen.click("Approve");
    screen.type_into("Why", "fewer missed tumours");
    screen.show("governance-approve");
    screen.click_last("Approve");
    let ask = ModelStage {
        model: "tumours".to_owned(),
        version: 7,
        stage: Stage::Approved,
        reason: "fewer missed tumours".to_owned(),
        roll_back: false,
    };
    assert_eq!(stages(&screen), [ask]);
    assert!(screen.has("Approved tumours version 7"));
    screen.click("Undo");
    assert!(stages(&screen).last().is_some_and(|ask| ask.stage == Stage::Candidate));
}

#[test]
fn rejecting_what_is_served_offers_the_way_back() {
    let mut screen = usual();
    screen.click("More about version 6");
    screen.show("governance-menu");
    screen.click_last("Reject");
    screen.click("Move production back to the newest version that is still approved");
    screen.show("governance-reject");
    screen.click_last("Reject");
    assert!(stages(&screen).iter().any(|ask| ask.version == 6 && ask.stage == Stage::Rejected && ask.roll_back));
    assert!(screen.has("Rejected tumours version 6; production is version 5 now"));
    screen.fake.forget_sent();
    screen.click("Undo");
    assert!(stages(&screen).iter().any(|ask| ask.stage == Stage::Approved));
    assert!(sent(&screen, |ask| matches!(ask, Request::ModelAlias(ask) if ask.version == Some(6))));
}

#[test]
fn a_promotion_that_needs_approval_says_so_and_offers_it() {
    let mut screen = tumours(WIDE, false, protected);
    screen.click("Promote to production");
    assert!(screen.has_text("may only point to approved versions"));
    assert!(screen.has("Whoever registered the version may not approve it."));
    assert!(!sent(&screen, |ask| matches!(ask, Request::ModelAlias(_))));
    screen.show("governance-protected");
    screen.click("Approve and promote");
    assert!(stages(&screen).iter().any(|ask| ask.version == 7 && ask.stage == Stage::Approved));
    assert!(sent(&screen, |ask| matches!(ask, Request::ModelAlias(ask) if ask.version == Some(7))));
}

#[test]
fn a_refusal_of_the_engine_stays_in_the_dialog() {
    let mut screen = tumours(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::ModelStage(_) => {
                let failure = Failure::new(Code::PermissionDenied, "you registered tumours:7 yourself");
                Some(Err(failure.hint("ask somebody else to approve it")))
            }
            _ => None,
        });
    });
    screen.click("Approve");
    screen.click_last("Approve");
    assert!(screen.has("You registered tumours:7 yourself. Ask somebody else to approve it."));
    screen.click("Cancel");
    assert!(!screen.has("Why"));
}

#[test]
fn the_history_tells_who_did_what_and_restores_what_was_deleted() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1000.0], "column")] {
            let mut screen = tumours(size, dark, |_| {});
            screen.click("History and rules of this model");
            screen.show(&format!("governance-history-{what}-{theme}"));
            assert!(screen.has("tumours: history"), "{what} {theme}");
        }
    }
    let mut screen = tumours([1280.0, 1200.0], true, |_| {});
    screen.click("History and rules of this model");
    for label in ["fewer missed tumours than 5", "rolled back", "trained on the wrong table", "anna"] {
        assert!(screen.has(label), "{label}");
    }
    screen.click("Restore version 8");
    assert!(sent(&screen, |ask| matches!(ask, Request::ModelRestore(ask) if ask.version == 8)));
    assert!(screen.has("Restored tumours version 8"));
    screen.click("Production needs approval");
    let ruled = |screen: &Screen| {
        let sent = screen.fake.sent().into_iter();
        sent.filter_map(|ask| if let Request::ModelRules(ask) = ask { Some(*ask) } else { None }).collect::<Vec<_>>()
    };
    let first = ruled(&screen);
    assert!(first.iter().any(|ask| ask.rules.as_ref().is_some_and(|rules| rules.protects("production"))), "{first:?}");
    assert!(screen.has("Changed the rules of tumours"));
    screen.click_last("Undo");
    assert!(ruled(&screen).last().is_some_and(|ask| ask.rules.is_none()), "its own rules are taken away again");
    screen.click("Back to the versions");
    assert!(screen.has("Promote to production"));
}

#[test]
fn what_cleaning_keeps_is_set_and_what_would_go_is_seen_before_it_goes() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = tumours(size, dark, |_| {});
            screen.click("History and rules of this model");
            screen.click("the newest");
            screen.show(&format!("governance-retention-{what}-{theme}"));
            screen.click("Discard");
            screen.click("What would go");
            screen.show(&format!("governance-clean-{what}-{theme}"));
            assert!(screen.has("Goes for good") && screen.has("tumours:8") && screen.has("tumours:2"), "{what}");
        }
    }
    let mut screen = tumours([1280.0, 1200.0], true, |_| {});
    screen.click("History and rules of this model");
    assert!(screen.has("With neither, every version is kept."));
    screen.click("the newest");
    screen.click("what is not older than");
    assert!(screen.has_text("Nothing that is served goes."));
    screen.click("Save for this model");
    let rules = Rules { keep_newest: Some(5), keep_days: Some(90), ..Rules::default() };
    let ask = ModelRules { model: Some("tumours".to_owned()), rules: Some(rules.clone()) };
    assert!(screen.fake.sent().contains(&ask.into()));
    screen.click("the newest");
    screen.click("what is not older than");
    screen.click("Save for the workspace");
    assert!(screen.fake.sent().contains(&ModelRules { model: None, rules: Some(rules) }.into()));
    assert!(screen.has("Changed the rules of the workspace"));

    screen.click("What would go");
    let cleans =
        |screen: &Screen, dry: bool| sent(screen, |ask| matches!(ask, Request::ModelClean(ask) if ask.dry_run == dry));
    assert!(cleans(&screen, true) && !cleans(&screen, false));
    screen.click("Clean");
    assert!(!cleans(&screen, false), "not before it was said that packages go for good");
    screen.click("Remove 1 package for good");
    screen.click("Clean");
    assert!(cleans(&screen, false));
    assert!(screen.has("Removed 1 package (67.9 kB), marked 2 versions as deleted"));
    assert!(!screen.has("Goes for good"));
}

#[test]
fn a_cleaning_that_fails_says_so_in_its_place_and_one_of_nothing_needs_no_button() {
    let mut screen = tumours(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::ModelClean(ask) if !ask.dry_run => {
                let failure = Failure::new(Code::PermissionDenied, "cannot remove artifacts/2c/2c: permission denied");
                Some(Err(failure.hint("make the folder writable")))
            }
            _ => None,
        });
    });
    screen.click("History and rules of this model");
    screen.click("What would go");
    screen.click("Remove 1 package for good");
    screen.click("Clean");
    assert!(screen.has_text("permission denied. Make the folder writable."));
    screen.click("Close");
    screen.fake.on(|ask| matches!(ask, Request::ModelClean(_)).then(|| Ok(Reply::ModelClean(Box::default()))));
    screen.click("What would go");
    assert!(screen.has_text("Nothing would go") && !screen.has("Clean"));
}

#[test]
fn a_version_is_deleted_after_a_question_and_not_while_something_points_to_it() {
    let mut screen = usual();
    screen.click("More about version 6");
    screen.click("Delete");
    assert!(screen.has("Version 6 is in use") && screen.has_text("production points to it"));
    screen.show("governance-delete-in-use");
    screen.click("Close");
    screen.click("More about version 5");
    screen.click("Delete");
    assert!(screen.has("Delete tumours version 5?"));
    assert!(!sent(&screen, |ask| matches!(ask, Request::ModelDelete(_))));
    screen.click_last("Delete");
    assert!(sent(&screen, |ask| matches!(ask, Request::ModelDelete(ask) if ask.version == 5)));
    screen.click("Undo");
    assert!(sent(&screen, |ask| matches!(ask, Request::ModelRestore(ask) if ask.version == 5)));
}

#[test]
fn a_card_tells_what_it_is_how_good_and_how_sure_that_is() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [([1280.0, 1200.0], "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1200.0], "column")] {
            let mut screen = tumours(size, dark, |_| {});
            screen.click("Card");
            screen.show(&format!("governance-card-{what}-{theme}"));
            assert!(screen.has("tumours version 7: card"), "{what} {theme}");
        }
    }
    let mut screen = tumours([1280.0, 1700.0], true, |_| {});
    screen.click("Card");
    for label in [
        "Accuracy: 0.9651, interval 0.9186 to 1.0000",
        "site = left, Accuracy: 0.9773, interval 0.9433 to 1.0000",
        "site = (missing)",
        "A second opinion for the doctors of ward 4.\nNever the only ground of a diagnosis.",
        "tumours.csv",
        "6.981 to 28.11",
    ] {
        assert!(screen.has(label), "{label}");
    }
    screen.click("Copy as Markdown");
    assert!(screen.has("Copied the card as Markdown"));
    screen.click("Show the run that made it");
}

#[test]
fn the_texts_of_a_card_are_edited_in_place_with_an_undo() {
    let mut screen = tumours([1280.0, 1200.0], false, |_| {});
    screen.click("Card");
    screen.click("Edit intended use");
    screen.type_into("Intended use", "Triage only.");
    screen.show("governance-card-edit");
    screen.click("Save");
    let edits = |screen: &Screen| {
        let sent = screen.fake.sent().into_iter();
        sent.filter_map(|ask| if let Request::ModelCardEdit(ask) = ask { Some(*ask) } else { None }).collect::<Vec<_>>()
    };
    assert!(edits(&screen).iter().any(|ask| ask.field == "intended_use" && ask.text == "Triage only."));
    screen.click("Undo");
    assert!(edits(&screen).last().is_some_and(|ask| ask.text.starts_with("A second opinion")));
    screen.click("Licence");
    screen.type_into("Licence", "CC BY 4.0");
    screen.harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    screen.settle();
    assert!(edits(&screen).iter().any(|ask| ask.field == "licence" && ask.text == "CC BY 4.0"));
    screen.click("Owner");
    screen.click("Cancel");
    assert!(screen.has("Owner"), "it is offered again");
}

fn comparing(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = tumours(size, dark, before);
    screen.click("Mark version 6 for comparison");
    screen.click("Mark version 7 for comparison");
    screen.click("Compare");
    screen
}

#[test]
fn two_versions_are_compared_on_the_same_rows() {
    let mut screen = comparing(WIDE, true, |_| {});
    screen.click("Compare on these rows");
    let asked = screen.fake.sent().into_iter().find_map(|ask| match ask {
        Request::ModelCompare(ask) => Some(*ask),
        _ => None,
    });
    let asked = asked.expect("it was sent");
    assert_eq!((asked.first.as_str(), asked.second.as_str(), asked.table), ("tumours:6", "tumours:7", None));
    for label in [
        "No difference can be told: accuracy +0.0349, 95 % interval 0 to 0.0814.",
        "F1: +0.0461, 95 % interval +0.0041 to +0.1044",
        "can't be told",
        "86 rows are few: only large differences can be told.",
    ] {
        assert!(screen.has(label), "{label}");
    }
    assert!(screen.has_text("McNemar's exact test: p = 0.375"));
    screen.show("governance-compare-wide");
    for (size, what) in [([1000.0, 640.0], "narrow"), ([700.0, 1000.0], "column")] {
        let mut screen = comparing(size, false, |_| {});
        screen.click("Compare on these rows");
        screen.show(&format!("governance-compare-{what}"));
    }
}

#[test]
fn intervals_are_drawn_against_zero_as_they_were_on_dark_ground() {
    let mut screen = comparing([1000.0, 640.0], true, |_| {});
    screen.click("Compare on these rows");
    screen.picture("intervals-dark");
}

#[test]
fn intervals_are_drawn_against_zero_as_they_were_on_light_ground() {
    let mut screen = comparing([1000.0, 640.0], false, |_| {});
    screen.click("Compare on these rows");
    screen.picture("intervals-light");
}

#[test]
fn a_comparison_tells_how_far_it_is_and_can_be_stopped() {
    let mut screen = comparing(WIDE, true, |_| {});
    screen.fake.hold();
    screen.click("Compare on these rows");
    let token = screen.fake.sent().into_iter().find_map(|ask| match ask {
        Request::ModelCompare(ask) => Some(ask.token),
        _ => None,
    });
    let token = token.expect("it was sent");
    let note = "predicting with tumours:7".to_owned();
    screen.fake.event(Event::Progress { token: token.clone(), done: 40, total: 86, note });
    screen.settle();
    assert!(screen.has("Predicting with both versions: predicting with tumours:7"));
    screen.click("Stop");
    assert!(sent(&screen, |ask| matches!(ask, Request::WorkCancel(ask) if ask.token == token)));
    screen.fake.on(|ask| match ask {
        Request::ModelCompare(_) => Some(Err(Failure::new(Code::Cancelled, "it was stopped"))),
        _ => None,
    });
    screen.fake.release();
    screen.settle();
    assert!(screen.has("The comparison was stopped"));
}

#[test]
fn what_fails_is_said_where_it_belongs() {
    let mut screen = comparing(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::ModelCompare(_) => {
                let failure = Failure::new(Code::BadData, "the table has no column 'diagnosis'");
                Some(Err(failure.hint("choose a table that holds what is predicted")))
            }
            Request::ModelCardGet(_) => Some(Err(Failure::new(Code::Corrupt, "the package of tumours:7 is damaged"))),
            _ => None,
        });
    });
    screen.click("Compare on these rows");
    assert!(screen.has_text("Choose a table that holds what is predicted."));
    screen.click("Back to the versions");
    screen.click("Card");
    assert!(screen.has("The package of tumours:7 is damaged.") && screen.has("Try again"));
}

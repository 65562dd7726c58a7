//! Rollouts on the page Endpoints: cards, the form, acts with undo, what is told when one ends by itself.

use athanor_protocol::{
    Code, Failure,
    api::{Event, Reply, Request, RolloutAnswer},
    rollout::{Rollout, RolloutMode, RolloutPhase},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];

fn rollouts(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Endpoints));
    screen.click("Rollouts");
    screen
}

/// From now on the model `tumours` has this rollout.
fn with(rollout: Rollout) -> impl FnOnce(&FakeHandle) {
    move |fake| {
        fake.on(move |ask| match ask {
            Request::RolloutGet(ask) => {
                let rollout = (ask.model == "tumours").then(|| rollout.clone());
                Some(Ok(Reply::RolloutGet(Box::new(RolloutAnswer { rollout }))))
            }
            _ => None,
        });
    }
}

fn sent(screen: &Screen, is: impl Fn(&Request) -> bool) -> bool {
    screen.fake.sent().iter().any(is)
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1100.0], "column")] {
            let mut screen = rollouts(size, dark, |_| {});
            screen.show(&format!("rollouts-{what}-{theme}"));
            assert!(screen.has("Version 6 answers 75 %, version 7 answers 25 %"), "{what} {theme}");
        }
        for (rollout, what) in [(fake::shadow(), "shadow"), (fake::rolled_back(), "back")] {
            let mut screen = rollouts(WIDE, dark, with(rollout));
            screen.show(&format!("rollouts-{what}-{theme}"));
        }
    }
}

#[test]
fn the_bar_and_the_guards_are_drawn_as_they_were_on_dark_ground() {
    rollouts([1000.0, 640.0], true, |_| {}).picture("rollouts-dark");
}

#[test]
fn the_bar_and_the_guards_are_drawn_as_they_were_on_light_ground() {
    rollouts([1000.0, 640.0], false, |_| {}).picture("rollouts-light");
}

#[test]
fn a_card_tells_who_answers_how_far_it_is_and_how_near_the_guards_are() {
    let screen = rollouts(WIDE, true, |_| {});
    for label in [
        "running",
        "linear",
        "18,402",
        "4,117",
        "Step 2 of 4, 50 % in 18 min; began 22 min ago.",
        "Failed requests: 0.22 % of 2 %",
        "Slowest requests: 1.17× of 1.5×",
        "Drift of the inputs: 0.06 of 0.2",
        "9 requests failed there; version 6 answered.",
        "Version 3 answers every request.",
    ] {
        assert!(screen.has(label), "{label}");
    }
}

#[test]
fn a_shadow_is_compared_and_never_said_to_answer() {
    let screen = rollouts(WIDE, true, with(fake::shadow()));
    for label in [
        "Version 6 answers everything, version 7 is asked beside it on 50 %",
        "The same answer: 98.2 %",
        "4,117 requests, 9,230 rows",
        "12 requests left out: no room or time for them.",
    ] {
        assert!(screen.has(label), "{label}");
    }
}

#[test]
fn acts_are_sent_and_can_be_undone() {
    for (verb, said, undo) in [
        ("Promote", "Promoted tumours version 7 to production", "RolloutBack"),
        ("End", "Ended the rollout of tumours version 7", "RolloutStart"),
    ] {
        let mut screen = rollouts(WIDE, true, |_| {});
        screen.click(verb);
        assert!(screen.has(said), "{verb}");
        screen.fake.forget_sent();
        screen.click("Undo");
        assert!(sent(&screen, |ask| ask.method() == undo), "{verb}");
        if undo == "RolloutStart" {
            let rest = |ask: &Request| match ask {
                Request::RolloutStart(ask) => ask.spec.steps.first().map(|step| step.percent),
                _ => None,
            };
            assert_eq!(screen.fake.sent().iter().find_map(rest), Some(25), "it goes on where it was");
        }
    }
    let mut screen = rollouts(WIDE, true, |_| {});
    screen.click("One step back");
    assert!(sent(&screen, |ask| matches!(ask, Request::RolloutBack(_))));
    assert!(screen.has("Version 7 of tumours answers 5 % again"));
}

#[test]
fn a_promotion_is_taken_back_by_one_click() {
    let promoted = Rollout {
        phase: RolloutPhase::Promoted,
        ended_at_millis: Some(fake::NOW_MILLIS - 60_000),
        reason: Some("the last step is over".to_owned()),
        ..fake::rollout()
    };
    let mut screen = rollouts(WIDE, true, with(promoted));
    assert!(screen.has("Version 7 took over from version 6, 1 min ago. The last step is over."));
    screen.click("Take it back");
    assert!(sent(&screen, |ask| matches!(ask, Request::RolloutBack(_))));
}

#[test]
fn the_form_says_what_will_happen_and_starts_it() {
    let mut screen = rollouts(WIDE, true, with(fake::rolled_back()));
    screen.click_last("Roll out a version");
    assert!(screen.has_text("Version 7 answers 10 % of requests, version 6 the others."), "the newest is chosen");
    assert!(screen.has_text("more than 2 % of its requests fail"));
    screen.show("rollouts-form-canary");
    screen.click("Linear");
    screen.click("Takes over after the last step");
    assert!(screen.has_text("then 100 % for 10 min; then it takes over."));
    screen.click("Remove step 1");
    screen.click("Keep each client on one side, by the header");
    screen.show("rollouts-form-linear");
    screen.click("Start the rollout");
    let asked = screen.fake.sent().into_iter().find_map(|ask| match ask {
        Request::RolloutStart(ask) => Some(*ask),
        _ => None,
    });
    let asked = asked.expect("it was sent");
    assert_eq!((asked.model.as_str(), asked.spec.candidate, asked.spec.mode), ("tumours", 7, RolloutMode::Linear));
    let percents: Vec<u8> = asked.spec.steps.iter().map(|step| step.percent).collect();
    assert_eq!((percents, asked.spec.finishes), (vec![25, 50, 100], true));
    assert_eq!(asked.spec.sticky_header.as_deref(), Some("x-user-id"));
    assert!(!screen.has("Start the rollout") && screen.has("Version 7 of tumours is being rolled out"));
    screen.click("Undo");
    assert!(sent(&screen, |ask| matches!(ask, Request::RolloutAbort(_))));
}

#[test]
fn what_cannot_be_done_is_said_in_the_form_before_it_is_sent() {
    let mut screen = rollouts(WIDE, false, with(fake::rolled_back()));
    screen.click_last("Roll out a version");
    screen.click("Keep each client on one side, by the header");
    screen.type_into("Header", "cookie");
    assert!(screen.has_text("The header 'cookie' carries secrets"));
    screen.click("Start the rollout");
    assert!(!sent(&screen, |ask| matches!(ask, Request::RolloutStart(_))));
    screen.type_into("Header", "x-ward");
    screen.fake.on(|ask| match ask {
        Request::RolloutStart(_) => {
            let failure = Failure::new(Code::Conflict, "version 7 takes another column than version 6: 'n_lesions'");
            Some(Err(failure.hint("roll out a version that takes the same columns")))
        }
        _ => None,
    });
    screen.click("Start the rollout");
    screen.show("rollouts-form-refused");
    assert!(screen.has_text("Version 7 takes another column than version 6"));
    screen.harness.key_press(egui::Key::Escape);
    screen.settle();
    assert!(!screen.has("Start the rollout"));
}

#[test]
fn one_that_was_taken_back_by_itself_is_told_wherever_one_is_and_stays_with_its_reason() {
    let mut screen = Screen::usual();
    screen.go(Go::To(Route::Endpoints));
    screen.go(Go::To(Route::Data));
    with(fake::rolled_back())(&screen.fake);
    let rollout = Box::new(fake::rolled_back());
    screen.fake.event(Event::RolloutChanged { rollout: rollout.clone() });
    screen.settle();
    assert!(screen.has("tumours version 7 was taken back; version 6 answers"));
    assert!(screen.has_text("The candidate failed 61 of 902 requests"));
    screen.click("Close this message");
    screen.fake.event(Event::RolloutChanged { rollout });
    screen.settle();
    assert!(!screen.has("tumours version 7 was taken back; version 6 answers"), "it is told once");
    screen.go(Go::To(Route::Endpoints));
    screen.click("Rollouts");
    assert!(screen.has("rolled back"));
    assert!(screen.has_text("4 min ago. The candidate failed 61 of 902 requests"));
}

#[test]
fn figures_are_asked_for_only_while_they_are_seen() {
    let count = |screen: &Screen| screen.fake.sent().iter().filter(|ask| matches!(ask, Request::RolloutGet(_))).count();
    let mut screen = rollouts(WIDE, true, |_| {});
    screen.fake.forget_sent();
    screen.harness.run_steps(40);
    let seen = count(&screen);
    assert!((3..=8).contains(&seen), "ten seconds: {seen}");
    screen.click("Keys");
    screen.fake.forget_sent();
    screen.harness.run_steps(40);
    assert_eq!(count(&screen), 0);
}

#[test]
fn a_version_is_rolled_out_from_the_page_models() {
    let mut screen = Screen::new(WIDE, true, with(fake::rolled_back()));
    screen.go(Go::Model("tumours".to_owned()));
    screen.click("Version 5");
    screen.click("Roll out");
    assert!(screen.has("Roll out a version of tumours"));
    assert!(screen.has_text("Version 5 answers 10 % of requests, version 6 the others."));
    let mut screen = Screen::new(WIDE, true, with(fake::rolled_back()));
    screen.go(Go::Model("tumours".to_owned()));
    screen.click("More about version 7");
    screen.click_last("Roll out");
    assert!(screen.has_text("Version 7 answers 10 % of requests"));
    let mut screen = Screen::usual();
    screen.go(Go::RollOut { model: "tumours".to_owned(), version: 7 });
    assert!(screen.has_text("A rollout of tumours runs already"));
    let mut screen = Screen::usual();
    screen.go(Go::RollOut { model: "iris".to_owned(), version: 2 });
    assert!(screen.has_text("iris has no version in production"));
}

#[test]
fn empty_slow_and_failing_are_said() {
    let screen = rollouts(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::EndpointGet(_) => Some(Ok(Reply::EndpointGet(Box::default()))),
            _ => None,
        });
    });
    assert!(screen.has("Nothing is in production") && screen.has("Open Models"));
    let screen = rollouts(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::RolloutGet(_) => Some(Err(Failure::new(Code::Internal, "the database cannot be read"))),
            _ => None,
        });
    });
    assert!(screen.has("The database cannot be read.") && screen.has("Try again"));
    let mut screen = Screen::usual();
    screen.go(Go::To(Route::Endpoints));
    screen.fake.event(Event::ModelsChanged {});
    screen.click("Rollouts");
    assert!(screen.has("running"));
}

//! The page Endpoints: start and stop, load, trying, snippets, keys.

use athanor_protocol::{
    Code, Failure,
    api::{
        EndpointOptions, EndpointStart, EndpointStatus, Event, KeyChange, KeyPage, KeyRotate, Reply, Request,
        TlsChoice, TryAnswer,
    },
    registry::{KeyLimits, Scope},
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];
const DAY: i64 = 86_400_000;

fn endpoints(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Endpoints));
    screen
}

fn stopped(fake: &FakeHandle) {
    fake.on(|ask| match ask {
        Request::EndpointGet(_) => {
            let status = EndpointStatus { url: None, since_millis: None, ..fake::endpoint_status() };
            Some(Ok(Reply::EndpointGet(Box::new(status))))
        }
        _ => None,
    });
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [([1280.0, 1500.0], "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 1500.0], "column")] {
            let mut screen = endpoints(size, dark, |_| {});
            screen.show(&format!("endpoints-{what}-{theme}"));
            assert!(screen.has("running") && screen.has("http://127.0.0.1:8080"), "{what} {theme}");
        }
    }
}

#[test]
fn the_endpoint_is_started_on_the_port_of_the_settings_and_stopped_with_an_undo() {
    let mut screen = endpoints(WIDE, true, |fake| {
        stopped(fake);
        fake.on(|ask| match ask {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.settings.endpoint_port = 9000;
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    });
    screen.show("endpoints-stopped");
    assert!(screen.has("stopped") && screen.has_text("on port 9000"));
    screen.click("Start");
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::EndpointStart(ask) if ask.port == 9000)));
    assert!(screen.has_text("The endpoint answers at http://127.0.0.1:8080"));

    let mut screen = endpoints(WIDE, true, |_| {});
    screen.click("Stop");
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::EndpointStop(_))));
    screen.click("Undo");
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::EndpointStart(_))));
}

#[test]
fn addresses_and_what_protects_them_are_told() {
    let guarded = |fake: &FakeHandle| {
        fake.on(|ask| {
            matches!(ask, Request::EndpointGet(_)).then(|| Ok(Reply::EndpointGet(Box::new(fake::protected_endpoint()))))
        });
    };
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = endpoints(size, dark, guarded);
            screen.show(&format!("endpoints-guarded-{what}-{theme}"));
            assert!(screen.has("https://127.0.0.1:8080") && screen.has("127.0.0.1:8081"), "{what} {theme}");
        }
    }
    let mut screen = endpoints(WIDE, true, guarded);
    for label in [
        "TLS",
        "with a certificate of this workspace's making, valid until 2027-12-10",
        "clients must have a certificate, which stands for a key that may predict",
        "tokens of https://id.example are taken in the place of keys",
    ] {
        assert!(screen.has(label), "{label}");
    }
    screen.click("Copy the certificate's path");
    assert!(screen.has("Copied the certificate's path"));
    screen.click("Copy the address for gRPC");
    assert!(screen.has("Copied the address for gRPC"));
    let screen = endpoints(WIDE, true, |_| {});
    assert!(screen.has("no TLS") && screen.has("only programs on this machine can reach it") && !screen.has("gRPC"));
}

#[test]
fn grpc_and_tls_are_chosen_before_the_start_and_remembered() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        let mut screen = endpoints([1000.0, 640.0], dark, stopped);
        screen.click("gRPC too");
        screen.click("From files");
        screen.type_into("Certificate file (PEM)", "own.crt");
        screen.type_into("Private key file (PEM)", "own.key");
        screen.show(&format!("endpoints-options-{theme}"));
        screen.click("Start");
        let tls = TlsChoice::Files { certificate: "own.crt".to_owned(), key: "own.key".to_owned() };
        let options = EndpointOptions { grpc_port: Some(0), tls, ..EndpointOptions::default() };
        assert!(screen.fake.sent().contains(&EndpointStart { port: 0, options: options.clone() }.into()));
        screen.harness.run_steps(8);
        let saved = screen.fake.sent().into_iter().rev().find_map(|ask| match ask {
            Request::SettingsSet(ask) => Some(ask.settings.endpoint_options),
            _ => None,
        });
        assert_eq!(saved, Some(options));
    }
    let mut screen = endpoints(WIDE, true, stopped);
    screen.click("Made here");
    screen.click("Start");
    let options = EndpointOptions { tls: TlsChoice::Generated, ..EndpointOptions::default() };
    assert!(screen.fake.sent().contains(&EndpointStart { port: 0, options }.into()));
}

#[test]
fn a_port_that_is_taken_is_said() {
    let mut screen = endpoints(WIDE, true, |fake| {
        stopped(fake);
        fake.on(|ask| match ask {
            Request::EndpointStart(_) => {
                let failure = Failure::new(Code::Conflict, "port 8080 is in use by another program");
                Some(Err(failure.hint("choose another port in the settings")))
            }
            _ => None,
        });
    });
    screen.click("Start");
    assert!(screen.has_text("Port 8080 is in use by another program"));
    assert!(screen.has("Start"));
}

#[test]
fn an_endpoint_that_ended_by_itself_says_why() {
    let mut screen = endpoints(WIDE, true, |_| {});
    let status = EndpointStatus {
        url: None,
        since_millis: None,
        problem: Some("the socket was closed".to_owned()),
        ..fake::endpoint_status()
    };
    screen.fake.on({
        let status = status.clone();
        move |ask| matches!(ask, Request::EndpointGet(_)).then(|| Ok(Reply::EndpointGet(Box::new(status.clone()))))
    });
    screen.fake.event(Event::EndpointChanged { status });
    screen.settle();
    assert!(screen.has_text("It stopped by itself: the socket was closed"));
}

#[test]
fn the_load_is_asked_for_once_a_second_only_while_it_is_seen() {
    let count =
        |screen: &Screen| screen.fake.sent().iter().filter(|ask| matches!(ask, Request::EndpointLoad(_))).count();
    let mut screen = endpoints(WIDE, true, |_| {});
    screen.fake.forget_sent();
    screen.harness.run_steps(20);
    let seen = count(&screen);
    assert!((3..=6).contains(&seen), "five seconds: {seen}");
    screen.go(Go::To(Route::Settings));
    screen.fake.forget_sent();
    screen.harness.run_steps(20);
    assert_eq!(count(&screen), 0);
    let mut screen = endpoints(WIDE, true, stopped);
    screen.harness.run_steps(8);
    assert_eq!(count(&screen), 0);
}

#[test]
fn the_form_is_made_from_what_the_model_takes_and_the_answer_is_shown() {
    let mut screen = endpoints([1280.0, 1500.0], true, |_| {});
    screen.pick("Model to try", "tumours");
    screen.click("Ask");
    assert!(screen.has("a value is needed"), "nothing is sent while a field is wrong");
    assert!(!screen.fake.sent().iter().any(|ask| matches!(ask, Request::EndpointTry(_))));
    screen.type_into("mean_radius", "14.2");
    screen.click("Fill with an example");
    screen.click("Ask");
    let asked = screen
        .fake
        .sent()
        .into_iter()
        .find_map(|ask| if let Request::EndpointTry(ask) = ask { Some(*ask) } else { None });
    let asked = asked.expect("it was sent");
    assert_eq!(asked.model, "tumours");
    assert_eq!(asked.values["mean_radius"], serde_json::json!(14.2));
    assert_eq!(asked.values["smoker"], serde_json::json!(false));
    // What training saw most; of a date nothing is known here.
    assert_eq!(asked.values["site"], serde_json::json!("left"));
    assert_eq!(asked.values["mean_texture"], serde_json::json!(18.84));
    assert_eq!(asked.values["examined_on"], serde_json::json!("2026-11-25"));
    for label in ["HTTP 200", "malignant: 92.9 %", "benign: 7.1 %"] {
        assert!(screen.has(label), "{label}");
    }
    screen.click("Raw answer");
    screen.show("endpoints-answer");
    assert!(screen.has_text("\"predictions\""));
}

/// What was asked of the endpoint last.
fn last_asked(screen: &Screen) -> Option<athanor_protocol::api::EndpointTry> {
    let asked = |ask| if let Request::EndpointTry(ask) = ask { Some(*ask) } else { None };
    screen.fake.sent().into_iter().filter_map(asked).next_back()
}

#[test]
fn an_answer_is_explained_where_the_switch_is_on() {
    for (dark, picture) in [(true, "endpoints-explained-dark"), (false, "endpoints-explained-light")] {
        let mut screen = endpoints([1280.0, 1500.0], dark, |_| {});
        screen.pick("Model to try", "tumours");
        for (field, value) in [("mean_radius", "17.9"), ("mean_texture", "14.2"), ("n_lesions", "5"), ("site", "right")]
        {
            screen.type_into(field, value);
        }
        screen.click("Fill with an example");
        screen.click("Ask");
        assert!(!last_asked(&screen).expect("it was sent").explain);
        assert!(!screen.has_text("Why malignant"));
        screen.click("Explain");
        assert!(screen.has_text("\"explain\": true}"), "the snippet asks for it too");
        screen.click("Ask");
        assert!(last_asked(&screen).expect("it was sent").explain);
        screen.show(picture);
        for label in [
            "Why malignant",
            "Typical row: 46.2 %",
            "mean_radius = 17.9: +43.1 %",
            "mean_texture = 14.2: −8.7 %",
            "n_lesions = 5: +9.6 %",
            "smoker = false: 0.0 %",
            "This row: 92.9 %",
        ] {
            assert!(screen.has(label), "{label}");
        }
        assert!(!screen.has_text("Estimated"), "six columns are counted out");
    }
}

#[test]
fn of_many_columns_the_greatest_are_shown_and_the_rest_is_one() {
    let mut screen = endpoints([1280.0, 1700.0], true, |_| {});
    screen.click("Explain");
    screen.click("Fill with an example");
    screen.click("Ask");
    screen.show("endpoints-explained-many");
    assert!(screen.has("Why this price") && screen.has("This row: 231480"), "in the unit of what is predicted");
    assert!(screen.has_text("feature_02 = 0: +") && screen.has_text("23 more columns: "));
    assert!(screen.has_text("Estimated by sampling; the standard errors are at most"));
    let narrow = endpoints([760.0, 1500.0], false, |_| {});
    let mut screen = narrow;
    screen.pick("Model to try", "tumours");
    screen.click("Explain");
    screen.click("Fill with an example");
    screen.click("Ask");
    screen.show("endpoints-explained-narrow");
    assert!(screen.has("This row: 92.9 %"));
}

#[test]
fn a_refusal_of_the_endpoint_is_shown_with_its_hint() {
    let mut screen = endpoints([1280.0, 1500.0], false, |fake| {
        fake.on(|ask| match ask {
            Request::EndpointTry(ask) => {
                let body = serde_json::json!({ "error": "column \"feature_01\" must not be missing", "code": "invalid_argument", "hint": "send a number" });
                let sent = serde_json::json!({ "row": ask.values });
                Some(Ok(Reply::EndpointTry(Box::new(TryAnswer { status: 400, body, micros: 310, sent }))))
            }
            _ => None,
        });
    });
    screen.click("Fill with an example");
    screen.click("Ask");
    screen.show("endpoints-refused");
    assert!(screen.has("HTTP 400") && screen.has_text("must not be missing. Send a number."));
}

#[test]
fn snippets_hold_the_address_and_what_was_typed() {
    let mut screen = endpoints([1280.0, 1500.0], true, |_| {});
    screen.pick("Model to try", "tumours");
    screen.type_into("mean_radius", "14.2");
    assert!(
        screen.has_text("curl 'http://127.0.0.1:8080/v1/models/tumours/predict'")
            && screen.has_text("\"mean_radius\": 14.2")
    );
    screen.click("Python");
    assert!(screen.has_text("import json, os, urllib.request") && screen.has_text("\"smoker\": False"));
    screen.click("Rust");
    screen.show("endpoints-rust");
    assert!(screen.has_text("ureq::post"));
    screen.click("OIP v2");
    assert!(screen.has_text("/v2/models/tumours/infer") && screen.has_text("\"datatype\": \"FP64\""));
}

#[test]
fn a_key_is_made_shown_once_and_then_gone() {
    let mut screen = endpoints([1280.0, 1500.0], true, |_| {});
    screen.click("Keys");
    screen.click("New key");
    screen.type_into("Name", "lab robot");
    screen.click("Change what is served and everything else in this workspace");
    screen.click("1 year");
    screen.type_into("Requests in a second", "many");
    assert!(screen.has("A number is needed."));
    screen.type_into("Requests in a second", "2.5");
    screen.type_into("Rows in a day", "10 000");
    screen.show("endpoints-key-new");
    screen.click("Make key");
    let asked = screen
        .fake
        .sent()
        .into_iter()
        .find_map(|ask| if let Request::KeyCreate(ask) = ask { Some(*ask) } else { None });
    let asked = asked.expect("it was sent");
    assert_eq!((asked.name.as_str(), asked.scopes), ("lab robot", vec![Scope::Predict, Scope::Admin]));
    assert_eq!(asked.expires_at_millis, Some(fake::NOW_MILLIS + 365 * DAY));
    let limits = KeyLimits { requests_per_second: Some(2.5), rows_per_day: Some(10_000), ..KeyLimits::default() };
    assert_eq!(asked.limits, limits);
    screen.show("endpoints-key-made");
    assert!(screen.has_text("ath_n3wk3y77_"));
    // Neither Escape nor a click beside it loses the secret.
    screen.harness.key_press(egui::Key::Escape);
    screen.settle();
    assert!(screen.has_text("ath_n3wk3y77_"));
    screen.click_last("Copy");
    screen.click("I have kept it");
    assert!(!screen.has_text("ath_n3wk3y77_"));
}

#[test]
fn a_key_is_revoked_after_a_question() {
    let mut screen = endpoints([1280.0, 1500.0], true, |_| {});
    screen.click("Keys");
    screen.click("Revoke deploy script");
    assert!(!screen.fake.sent().iter().any(|ask| matches!(ask, Request::KeyRevoke(_))));
    screen.show("endpoints-revoke");
    screen.click("Revoke");
    assert!(screen.fake.sent().iter().any(|ask| matches!(ask, Request::KeyRevoke(ask) if ask.id == "f3n8c1zt")));
    assert!(screen.has_text("Revoked the key deploy script"));
    assert!(
        !screen.has("Revoke trial") && !screen.has("Revoke old laptop"),
        "expired and revoked keys have nothing to revoke"
    );
}

#[test]
fn keys_tell_what_they_may_ask_for_and_that_is_changed_with_an_undo() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 640.0], "narrow")] {
            let mut screen = endpoints(size, dark, |_| {});
            screen.click("Keys");
            screen.show(&format!("endpoints-keys-{what}-{theme}"));
            assert!(screen.has("20 requests/s, 1,000,000 rows/day") && screen.has("Two secrets are valid"), "{what}");
            assert!(screen.has("today 1,204 requests"), "{what}");
            screen.click("Change ward 4 tablet");
            screen.show(&format!("endpoints-key-change-{what}-{theme}"));
            assert!(screen.has("It ends on 2027-01-24."), "{what}");
        }
    }
    let mut screen = endpoints(WIDE, true, |_| {});
    screen.click("Keys");
    screen.click("Change ward 4 tablet");
    screen.click("Never");
    screen.type_into("Requests in a second", "");
    screen.type_into("Requests in a day", "5000");
    screen.click("Change key");
    let changes = |screen: &Screen| {
        let sent = screen.fake.sent().into_iter();
        sent.filter_map(|ask| if let Request::KeyChange(ask) = ask { Some(*ask) } else { None }).collect::<Vec<_>>()
    };
    let limits = KeyLimits { requests_per_day: Some(5_000), rows_per_day: Some(1_000_000), ..KeyLimits::default() };
    let change = KeyChange { id: "k7q2m9xa".to_owned(), expires_at_millis: None, limits };
    assert_eq!(changes(&screen), [change]);
    assert!(screen.has("Changed the key ward 4 tablet"));
    screen.click("Undo");
    let back = changes(&screen).pop().expect("it was taken back");
    assert_eq!(back.expires_at_millis, Some(fake::NOW_MILLIS + 60 * DAY));
    assert_eq!(back.limits.requests_per_second, Some(20.0));
    // One that has ended can be given another end; one that was revoked can't.
    assert!(!screen.has("Change old laptop") && !screen.has("New secret for trial"));
    screen.click("Change trial");
    assert!(screen.has("It ended on 2026-11-22; with a new end it is valid again."));
}

#[test]
fn a_refused_change_of_a_key_stays_in_its_form() {
    let mut screen = endpoints(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::KeyChange(_) => {
                let failure = Failure::new(Code::Conflict, "the key \"ward 4 tablet\" was revoked");
                Some(Err(failure.hint("make another one: what is revoked stays so")))
            }
            _ => None,
        });
    });
    screen.click("Keys");
    screen.click("Change ward 4 tablet");
    screen.click("Never");
    screen.click("Change key");
    assert!(screen.has_text("was revoked: make another one"));
    screen.click("Cancel");
    assert!(!screen.has("Change key"));
}

#[test]
fn a_key_is_given_another_secret_that_is_shown_once() {
    let mut screen = endpoints(WIDE, false, |_| {});
    screen.click("Keys");
    screen.click("New secret for deploy script");
    screen.click("7 days");
    screen.show("endpoints-key-rotate");
    screen.click("Make a new secret");
    let asked = KeyRotate { id: "f3n8c1zt".to_owned(), grace_millis: 7 * DAY };
    assert!(screen.fake.sent().contains(&asked.into()));
    screen.show("endpoints-key-rotated");
    assert!(screen.has_text("ath_f3n8c1zt_") && screen.has("The old secret is valid until 2026-12-02 12:00:00 UTC."));
    screen.click("I have kept it");
    assert!(!screen.has_text("ath_f3n8c1zt_"));
    screen.click("New secret for ward 4 tablet");
    assert!(screen.has_text("It was given another secret lately"));
    screen.click("No time");
    assert!(screen.has_text("are refused from then on"));
}

#[test]
fn empty_slow_and_failing_are_said() {
    let mut screen = endpoints(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::EndpointGet(_) => Some(Ok(Reply::EndpointGet(Box::default()))),
            Request::KeyList(_) => Some(Ok(Reply::KeyList(Box::new(KeyPage { items: vec![], next: None })))),
            _ => None,
        });
    });
    assert!(screen.has_text("Nothing is in production") && screen.has("Open Models"));
    screen.click("Keys");
    assert!(screen.has_text("Every request to the endpoint carries a key"));
    let mut screen = Screen::usual();
    screen.fake.hold();
    screen.go(Go::To(Route::Endpoints));
    assert!(screen.has_text("Looking at the endpoint"));
    let screen = endpoints(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::EndpointGet(_) => Some(Err(Failure::new(Code::Internal, "the endpoint's thread is gone"))),
            _ => None,
        });
    });
    assert!(screen.has_text("The endpoint's thread is gone") && screen.has("Try again"));
}

//! The page Models: versions, aliases, comparison, packages.

use athanor_protocol::{
    Code, Failure,
    api::{ModelAlias, ModelPage, Picked, Reply, Request},
    names::RunId,
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};
use egui::{Key, Modifiers};

use crate::help::Screen;

pub(crate) fn models(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, before);
    screen.go(Go::To(Route::Models));
    screen
}

fn usual() -> Screen {
    models([1280.0, 820.0], true, |_| {})
}

fn aliases_sent(screen: &Screen) -> Vec<ModelAlias> {
    let sent = screen.fake.sent();
    sent.into_iter().filter_map(|ask| if let Request::ModelAlias(ask) = ask { Some(*ask) } else { None }).collect()
}

fn alias(name: &str, version: Option<u32>) -> ModelAlias {
    ModelAlias { model: "tumours".to_owned(), alias: name.to_owned(), version }
}

#[test]
fn it_looks_as_it_should_in_both_themes_and_widths() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [([1280.0, 820.0], "wide"), ([1000.0, 640.0], "narrow"), ([700.0, 900.0], "column")] {
            let mut screen = models(size, dark, |_| {});
            screen.show(&format!("models-{what}-{theme}"));
            assert!(screen.has("Version 7") && screen.has("Promote to production"), "{what} {theme}");
        }
    }
}

#[test]
fn the_newest_model_is_shown_first_with_its_newest_version() {
    let screen = usual();
    for label in ["tumours", "churn", "Version 7", "Version 6", "production", "ROC AUC", "examined_on"] {
        assert!(screen.has(label), "{label}");
    }
}

#[test]
fn promoting_moves_the_alias_and_can_be_undone() {
    let mut screen = usual();
    screen.click("Promote to production");
    assert_eq!(aliases_sent(&screen), [alias("production", Some(7))]);
    assert!(screen.has_text("Promoted tumours version 7 to production"));
    screen.click("Undo");
    assert_eq!(aliases_sent(&screen), [alias("production", Some(7)), alias("production", Some(6))]);
    screen.harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    screen.settle();
    assert_eq!(aliases_sent(&screen).last(), Some(&alias("production", Some(7))));
}

#[test]
fn a_roll_back_is_one_click() {
    let mut screen = usual();
    screen.click("Version 6");
    screen.click("Roll back to version 5");
    let rolled = |screen: &Screen| {
        let sent = screen.fake.sent().into_iter();
        sent.filter_map(|ask| if let Request::ModelRollback(ask) = ask { Some(ask.undo) } else { None })
            .collect::<Vec<_>>()
    };
    assert_eq!(rolled(&screen), [false]);
    assert!(screen.has_text("Rolled back tumours to version 5"));
    screen.click("Undo");
    assert_eq!(rolled(&screen), [false, true]);
}

#[test]
fn any_alias_is_moved_or_removed_by_the_menu_of_a_version() {
    let mut screen = usual();
    screen.click("More about version 5");
    screen.show("models-menu");
    screen.click("Move candidate here");
    assert_eq!(aliases_sent(&screen), [alias("candidate", Some(5))]);
    screen.click("More about version 3");
    screen.click("Remove baseline");
    assert_eq!(aliases_sent(&screen).last(), Some(&alias("baseline", None)));
}

#[test]
fn a_new_alias_is_checked_while_it_is_typed() {
    let mut screen = usual();
    screen.click("New alias for version 7");
    screen.type_into("Alias", "v8");
    assert!(screen.has_text("It looks like a version number") || screen.has_text("it looks like a version number"));
    screen.show("models-alias-wrong");
    screen.click("Set alias");
    screen.show("models-alias-wrong2");
    assert_eq!(aliases_sent(&screen), []);
    screen.type_into("Alias", "-canary");
    screen.type_into("Alias", "canary");
    screen.show("models-alias");
    screen.click("Set alias");
    assert_eq!(aliases_sent(&screen), [alias("canary", Some(7))]);
}

#[test]
fn an_engine_that_refuses_says_why_and_nothing_can_be_undone() {
    let mut screen = models([1280.0, 820.0], true, |fake| {
        fake.on(|ask| match ask {
            Request::ModelAlias(_) => {
                Some(Err(Failure::new(Code::Conflict, "the registry is locked by another window")))
            }
            _ => None,
        });
    });
    screen.click("Promote to production");
    assert!(screen.has_text("The registry is locked by another window"));
    assert!(!screen.has("Undo"));
}

#[test]
fn two_marked_versions_are_compared() {
    for dark in [true, false] {
        let mut screen = models([1280.0, 820.0], dark, |_| {});
        screen.click("Mark version 7 for comparison");
        screen.click("Mark version 5 for comparison");
        screen.click("Compare");
        screen.show(if dark { "models-compare-dark" } else { "models-compare-light" });
        for label in ["tumours: version 5", "and version 7", "Difference", "added", "changed"] {
            assert!(screen.has(label), "{label}");
        }
        assert!(screen.has_text("+0.0148"));
        screen.click("Back to the versions");
        assert!(screen.has("Promote to production"));
    }
}

#[test]
fn verifying_says_what_was_found() {
    let cases: [(Result<bool, Failure>, &str); 3] = [
        (Ok(true), "Verified"),
        (Ok(false), "does not trust the key"),
        (
            Err(Failure::new(Code::Corrupt, "part weights is not what was signed").hint("restore the file")),
            "Not verified",
        ),
    ];
    for (answer, expect) in cases {
        let mut screen = models([1280.0, 820.0], true, move |fake| {
            fake.on(move |ask| match ask {
                Request::ModelVerify(_) => Some(answer.clone().map(|trusted| {
                    let (signed_by, sha256) = ("ab".repeat(32), "cd".repeat(32));
                    Reply::ModelVerify(Box::new(athanor_protocol::api::VerifyAnswer { trusted, signed_by, sha256 }))
                })),
                _ => None,
            });
        });
        screen.click("Verify");
        assert!(screen.has_text(expect), "{expect}");
    }
}

pub(crate) fn picks(fake: &FakeHandle, path: &'static str) {
    fake.on(move |ask| match ask {
        Request::Pick(_) => Some(Ok(Reply::Pick(Box::new(Picked { paths: vec![path.to_owned()] })))),
        _ => None,
    });
}

#[test]
fn export_asks_where_to_and_writes_there() {
    let mut screen = models([1280.0, 820.0], true, |fake| picks(fake, "/media/usb/tumours-7.athanor"));
    screen.click("Export");
    let written = screen.fake.sent().into_iter().any(|ask| {
        matches!(ask, Request::ModelExport(ask) if ask.version == 7 && ask.path == "/media/usb/tumours-7.athanor")
    });
    assert!(written && screen.has_text("Exported tumours version 7"));
}

#[test]
fn import_takes_a_file_and_a_name() {
    let mut screen = models([1280.0, 820.0], true, |fake| picks(fake, "/home/ada/Downloads/fraud model.athanor"));
    screen.click("Import");
    screen.click("Choose model file");
    screen.show("models-import");
    screen.click_last("Import");
    let asked = screen
        .fake
        .sent()
        .into_iter()
        .find_map(|ask| if let Request::ModelImport(ask) = ask { Some(*ask) } else { None });
    let asked = asked.expect("it was sent");
    assert_eq!(
        (asked.path.as_str(), asked.name.as_str(), asked.trust),
        ("/home/ada/Downloads/fraud model.athanor", "fraud-model", None)
    );
    assert!(screen.has_text("Registered fraud-model version 1"));
}

#[test]
fn a_strangers_package_is_imported_only_once_its_key_is_trusted() {
    let mut screen = models([1280.0, 820.0], true, |fake| {
        picks(fake, "/tmp/x.athanor");
        fake.on(|ask| match ask {
            Request::ModelImport(ask) if ask.trust.is_none() => {
                let failure = Failure::new(Code::Untrusted, "the package is signed by a key that is not trusted");
                Some(Err(failure.on("feedfacefeedface")))
            }
            _ => None,
        });
    });
    screen.click("Import");
    screen.click("Choose model file");
    screen.click_last("Import");
    assert!(screen.has_text("signed by a key that is not trusted"));
    screen.click("I know where this file comes from: trust the key that signed it");
    screen.show("models-stranger");
    screen.click_last("Import");
    let trusted = screen
        .fake
        .sent()
        .into_iter()
        .any(|ask| matches!(ask, Request::ModelImport(ask) if ask.trust.as_deref() == Some("feedfacefeedface")));
    assert!(trusted && screen.has_text("Registered x version 1"));
}

#[test]
fn a_table_is_predicted_with_progress_and_a_summary() {
    let mut screen = models([1280.0, 820.0], true, |fake| picks(fake, "/home/ada/ward.parquet"));
    screen.click("Predict");
    screen.click("Choose table");
    screen.fake.hold();
    screen.click_last("Predict");
    let asked = screen
        .fake
        .sent()
        .into_iter()
        .find_map(|ask| if let Request::ModelPredict(ask) = ask { Some(*ask) } else { None });
    let asked = asked.expect("it was sent");
    assert_eq!(
        (asked.from.as_str(), asked.to.as_str()),
        ("/home/ada/ward.parquet", "/home/ada/ward-predicted.parquet")
    );
    assert!(asked.keep_input && asked.version == 7);
    screen.fake.event(athanor_protocol::api::Event::Progress {
        token: asked.token.clone(),
        done: 320,
        total: 1_000,
        note: "4000 rows predicted".to_owned(),
    });
    screen.settle();
    assert!(screen.has_text("4000 rows predicted") && !screen.has_text("1,000"), "thousandths are no rows");
    screen.show("models-predict-busy");
    screen.fake.release();
    screen.settle();
    screen.show("models-predict-done");
    assert!(screen.has_text("12,480") && screen.has_text("mean_texture (14)"));
    screen.click("Done");
    assert!(!screen.has("Rows predicted"));
}

#[test]
fn a_prediction_can_be_stopped() {
    let mut screen = models([1280.0, 820.0], true, |fake| picks(fake, "/home/ada/ward.parquet"));
    screen.click("Predict");
    screen.click("Choose table");
    screen.fake.on(|request| match request {
        Request::ModelPredict(_) => Some(Err(Failure::new(Code::Cancelled, "somebody stopped it"))),
        _ => None,
    });
    screen.fake.hold();
    screen.click_last("Predict");
    screen.click("Stop");
    assert!(screen.stopped_what_was_asked(|request| match request {
        Request::ModelPredict(ask) => Some(&ask.token),
        _ => None,
    }));
    screen.fake.release();
    screen.settle();
    assert!(screen.has_text("no file was written") && screen.has("Choose table"), "another one can be asked for");
}

#[test]
fn the_run_of_a_version_is_one_click_away() {
    let mut screen = usual();
    screen.click("Show the run of version 7");
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Runs));
    let asked: Vec<RunId> = screen
        .fake
        .sent()
        .into_iter()
        .filter_map(|ask| if let Request::RunGet(ask) = ask { Some(ask.run) } else { None })
        .collect();
    assert!(asked.contains(&fake::run_of_version(7).unwrap()));
}

#[test]
fn a_search_finds_models_by_name_and_alias() {
    let mut screen = usual();
    screen.type_into("Search models", "shadow");
    assert!(screen.has("churn") && !screen.has("iris"));
    screen.type_into("Search models", "nothing like it");
    assert!(screen.has_text("No model has this in its name"));
}

#[test]
fn without_models_the_page_says_how_one_gets_here() {
    let mut screen = models([1280.0, 820.0], false, |fake| {
        fake.on(|ask| match ask {
            Request::ModelList(_) => Some(Ok(Reply::ModelList(Box::new(ModelPage { items: vec![], next: None })))),
            _ => None,
        });
    });
    screen.show("models-empty");
    assert!(screen.has("No models yet") && screen.has("Import a model"));
    screen.click("Open the workflow");
    assert_eq!(screen.app.borrow().as_ref().map(|app| app.route()), Some(Route::Workflow));
}

#[test]
fn a_slow_engine_and_a_failing_one_are_said() {
    let mut screen = Screen::usual();
    screen.fake.hold();
    screen.go(Go::To(Route::Models));
    assert!(screen.has_text("Loading models"));
    screen.fake.release();
    screen.settle();
    assert!(screen.has("Version 7"));
    let broken = std::rc::Rc::new(std::cell::Cell::new(true));
    let is_broken = std::rc::Rc::clone(&broken);
    let mut screen = models([1280.0, 820.0], true, |fake| {
        fake.on(move |ask| match ask {
            Request::ModelList(_) if is_broken.get() => {
                Some(Err(Failure::new(Code::Corrupt, "the database cannot be read").hint("restore a copy")))
            }
            _ => None,
        });
    });
    assert!(screen.has_text("The database cannot be read"));
    broken.set(false);
    screen.click("Try again");
    assert!(screen.has("Version 7"));
}

#[test]
fn pages_of_versions_are_loaded_when_they_are_wanted() {
    let mut screen = models([1280.0, 820.0], true, |fake| {
        fake.on(|ask| match ask {
            Request::ModelVersions(ask) => {
                let newest: u32 = ask.after.as_deref().map_or(7, |token| token.parse().unwrap());
                let items = (newest.saturating_sub(2)..=newest)
                    .rev()
                    .filter(|version| *version > 0)
                    .map(fake::model_version)
                    .collect();
                let next = newest.checked_sub(3).filter(|version| *version > 0).map(|version| version.to_string());
                Some(Ok(Reply::ModelVersions(Box::new(athanor_protocol::api::VersionPage { items, next }))))
            }
            _ => None,
        });
    });
    assert!(screen.has("Version 5") && !screen.has("Version 4"));
    screen.click("Show older versions");
    assert!(screen.has("Version 4") && !screen.has("Version 1"));
    // What was loaded stays when something changed.
    screen.fake.event(athanor_protocol::api::Event::ModelsChanged {});
    screen.settle();
    assert!(screen.has("Version 4"));
}

#[test]
fn a_workspace_that_can_only_be_looked_at_offers_no_changes() {
    let mut screen = models([1280.0, 820.0], true, |fake| {
        fake.on(|ask| match ask {
            Request::Hello(_) => {
                let mut hello = fake::hello();
                hello.may_change = false;
                Some(Ok(Reply::Hello(Box::new(hello))))
            }
            _ => None,
        });
    });
    screen.click("Promote to production");
    assert_eq!(aliases_sent(&screen), []);
    assert!(!screen.has("New alias for version 7"));
}

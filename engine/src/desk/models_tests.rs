#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    api::{AuditList, EndpointGet, WorkCancel},
    names::RunId,
};

use super::*;
use crate::{
    desk::{
        Subscription,
        test_desk::{TestDesk, ask},
        test_models::{package, register},
    },
    files,
};

fn heard(events: &Subscription) -> Vec<Event> {
    events.wait(Duration::ZERO).into_iter().map(|event| event.event).collect()
}

fn alias(alias: &str, version: Option<u32>) -> ModelAlias {
    ModelAlias { model: "tumours".to_owned(), alias: alias.to_owned(), version }
}

#[test]
fn models_and_versions_are_listed_and_aliases_move_with_a_way_back() {
    let test = TestDesk::open();
    assert_eq!(ask(&test.desk, ModelList::default()).unwrap(), ModelPage { items: vec![], next: None });
    register(&test.desk, "tumours", 1);
    register(&test.desk, "tumours", 2);
    let list = ask(&test.desk, ModelList::default()).unwrap();
    assert_eq!((list.items[0].name.as_str(), list.items[0].n_versions), ("tumours", 2));
    let versions = ModelVersions { model: "tumours".to_owned(), after: None };
    let numbers: Vec<u32> = ask(&test.desk, versions).unwrap().items.iter().map(|version| version.version).collect();
    assert_eq!(numbers, [2, 1]);
    let nobody = ModelVersions { model: "nobody".to_owned(), after: None };
    assert_eq!(ask(&test.desk, nobody).unwrap_err().code, Code::NotFound);

    let events = test.desk.subscribe();
    assert_eq!(ask(&test.desk, alias("production", Some(1))).unwrap().previous, None);
    assert_eq!(ask(&test.desk, alias("production", Some(2))).unwrap().previous, Some(1));
    assert_eq!(ask(&test.desk, alias("champion", Some(1))).unwrap().previous, None);
    assert_eq!(ask(&test.desk, alias("champion", None)).unwrap().previous, Some(1));
    assert_eq!(ask(&test.desk, alias("champion", None)).unwrap_err().code, Code::NotFound);
    assert_eq!(ask(&test.desk, alias("production", Some(9))).unwrap_err().code, Code::NotFound);
    let heard = heard(&events);
    assert_eq!(heard.iter().filter(|event| **event == Event::ModelsChanged {}).count(), 4, "{heard:?}");
    let served = heard.iter().filter_map(|event| match event {
        Event::EndpointChanged { status } => Some((status.models[0].version, status.url.clone())),
        _ => None,
    });
    assert_eq!(served.collect::<Vec<_>>(), [(1, None), (2, None)], "what a stopped endpoint would serve");
    let status = ask(&test.desk, EndpointGet {}).unwrap();
    assert_eq!((status.models.len(), status.models[0].version), (1, 2));
    assert_eq!(status.models[0].signature.inputs[0].name, "radius");

    let audit = ask(&test.desk, AuditList::default()).unwrap().items;
    let moves = audit.iter().filter(|line| line.action == "model.alias").count();
    assert_eq!(moves, 4, "each move is written down: {audit:?}");
}

#[test]
fn whoever_asks_stands_in_the_audit_log() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    registry::on_behalf_of("a1b2c3", || ask(&test.desk, alias("production", Some(1)))).unwrap();
    ask(&test.desk, alias("production", None)).unwrap();
    let audit = ask(&test.desk, AuditList::default()).unwrap().items;
    assert_eq!(audit[1].actor, "a1b2c3");
    assert_eq!(audit[0].actor, registry::actor());
    assert_ne!(audit[0].actor, "a1b2c3", "and only while it asks");
}

#[test]
fn a_changed_package_is_found_and_named() {
    let test = TestDesk::open();
    let version = register(&test.desk, "tumours", 1);
    let verify = ModelVerify { model: "tumours".to_owned(), version: 1 };
    let found = ask(&test.desk, verify.clone()).unwrap();
    assert!(found.trusted);
    assert_eq!((found.sha256, found.signed_by), (version.sha256.clone(), version.signed_by.clone()));

    let path = test.desk.workspace().unwrap().artifacts.path(&version.sha256).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    for bytes in [&flipped[..], &whole[..whole.len() - 1], &[], &package(1)] {
        files::write_atomic(&path, bytes).unwrap();
        let failure = ask(&test.desk, verify.clone()).unwrap_err();
        assert_eq!((failure.code, failure.subject.as_deref()), (Code::Corrupt, Some("tumours:1")), "{failure}");
        assert!(failure.message.contains("tumours:1") && failure.hint.is_some(), "{failure}");
        let refused = ask(&test.desk, alias("production", Some(1))).unwrap_err();
        assert_eq!(refused.code, Code::Corrupt, "what is damaged is not served");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(ask(&test.desk, verify.clone()).unwrap_err().code, Code::Corrupt);
    files::write_atomic(&path, &whole).unwrap();
    assert!(ask(&test.desk, verify).is_ok());
    let missing = ModelVerify { model: "tumours".to_owned(), version: 2 };
    assert_eq!(ask(&test.desk, missing).unwrap_err().code, Code::NotFound);
}

#[test]
fn a_package_travels_to_another_workspace_with_its_signers_key() {
    let (from, to) = (TestDesk::open(), TestDesk::open());
    let version = register(&from.desk, "tumours", 1);
    let file = from.path("model.athanor");
    let path = file.display().to_string();
    ask(&from.desk, ModelExport { model: "tumours".to_owned(), version: 1, path: path.clone() }).unwrap();
    let import = |trust: Option<&str>| ModelImport {
        path: path.clone(),
        name: "theirs".to_owned(),
        trust: trust.map(str::to_owned),
    };
    let refused = ask(&to.desk, import(None)).unwrap_err();
    assert_eq!((refused.code, refused.subject.as_deref()), (Code::Untrusted, Some(version.signed_by.as_str())));
    assert!(refused.message.contains("model.athanor") && refused.hint.is_some());
    assert_eq!(ask(&to.desk, import(Some(&"0".repeat(64)))).unwrap_err().code, Code::Untrusted);
    let events = to.desk.subscribe();
    let imported = ask(&to.desk, import(Some(&version.signed_by))).unwrap();
    assert_eq!((imported.version.version, imported.existed, imported.version.run_id), (1, false, None));
    assert_eq!(heard(&events), [Event::ModelsChanged {}]);
    assert!(ask(&to.desk, import(None)).unwrap().existed, "the key is trusted from now on");
    assert!(ask(&to.desk, ModelVerify { model: "theirs".to_owned(), version: 1 }).unwrap().trusted);
    // Somebody else's bytes with a byte changed.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let failure = ask(&to.desk, import(None)).unwrap_err();
    assert!(matches!(failure.code, Code::Corrupt | Code::Untrusted), "{failure}");
    assert!(failure.message.contains("model.athanor"), "{failure}");
}

#[test]
fn files_are_written_where_they_do_no_harm() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    let root = test.path("workspace");
    let at = |path: PathBuf| path.display().to_string();
    for (path, code) in [
        ("model.athanor".to_owned(), Code::InvalidArgument),
        (String::new(), Code::InvalidArgument),
        (at(root.clone()), Code::InvalidArgument),
        (at(root.join("athanor.db")), Code::PermissionDenied),
        (at(root.join("athanor.db-wal")), Code::PermissionDenied),
        (at(root.join("keys/signing.key")), Code::PermissionDenied),
        (at(root.join("artifacts/../keys/signing.key")), Code::InvalidArgument),
        (at(root.join("schedules.json")), Code::PermissionDenied),
        (at(root.join("tables.json")), Code::PermissionDenied),
        (at(root.join("workflows/new/model")), Code::PermissionDenied),
        (at(root.join("KEYS/signing.key")), Code::PermissionDenied),
    ] {
        let export = ModelExport { model: "tumours".to_owned(), version: 1, path: path.clone() };
        assert_eq!(ask(&test.desk, export).map_err(|failure| failure.code), Err(code), "{path}");
        let to = format!("{path}.csv").replace("workspace.csv", "workspace");
        if code == Code::PermissionDenied {
            let predict = ModelPredict {
                model: "tumours".to_owned(),
                version: 1,
                from: "rows.csv".to_owned(),
                to,
                keep_input: true,
                token: "t".to_owned(),
            };
            assert_eq!(ask(&test.desk, predict).map_err(|failure| failure.code), Err(code), "{path}");
        }
    }
    let fine = ModelExport { model: "tumours".to_owned(), version: 1, path: at(root.join("exports/model.athanor")) };
    ask(&test.desk, fine).unwrap();
    assert!(root.join("exports/model.athanor").is_file());
}

#[test]
fn a_table_is_predicted_and_says_how_far_it_is() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    std::fs::write(test.path("rows.csv"), "radius,colour\n0.5,red\n29,blue\n").unwrap();
    let predict = |from: &str, to: &str| ModelPredict {
        model: "tumours".to_owned(),
        version: 1,
        from: test.path(from).display().to_string(),
        to: test.path(to).display().to_string(),
        keep_input: false,
        token: "mine".to_owned(),
    };
    let events = test.desk.subscribe();
    let answer = ask(&test.desk, predict("rows.csv", "out.csv")).unwrap();
    assert_eq!((answer.n_rows, answer.missing.len()), (2, 0));
    let text = std::fs::read_to_string(test.path("out.csv")).unwrap();
    let labels: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(labels, ["label", "benign", "malign"]);
    let told = heard(&events);
    assert!(
        matches!(&told[..], [Event::Progress { token, done: 1_000, total: 1_000, note }] if token == "mine" && note == "2 rows predicted"),
        "{told:?}"
    );
    // The same by a name within the workspace.
    std::fs::copy(test.path("rows.csv"), test.path("workspace/rows.csv")).unwrap();
    let relative = ModelPredict { from: "rows.csv".to_owned(), ..predict("rows.csv", "again.csv") };
    assert_eq!(ask(&test.desk, relative).unwrap().n_rows, 2);

    assert_eq!(ask(&test.desk, predict("rows.csv", "out.txt")).unwrap_err().code, Code::InvalidArgument);
    let missing = ask(&test.desk, predict("nowhere.csv", "new.csv")).unwrap_err();
    assert_eq!(missing.code, Code::NotFound);
    assert!(!test.path("new.csv").exists());
    let itself = ask(&test.desk, predict("rows.csv", "rows.csv")).unwrap_err();
    assert!(itself.message.contains("replace the input"), "{itself}");
}

#[test]
fn a_run_that_is_not_there_registers_nothing() {
    let test = TestDesk::open();
    let run = RunId::new("0".repeat(RunId::LEN)).unwrap();
    let register = |name: &str| ModelRegister { run: run.clone(), node: None, name: name.to_owned() };
    assert!(ask(&test.desk, register("fine")).is_err());
    assert_eq!(ask(&test.desk, register("not a name/")).unwrap_err().code, Code::InvalidArgument);
    assert!(ask(&test.desk, ModelList::default()).unwrap().items.is_empty());
}

#[test]
fn without_a_workspace_everything_says_so() {
    let test = TestDesk::new();
    assert_eq!(ask(&test.desk, ModelList::default()).unwrap_err().code, Code::Conflict);
    let export = ModelExport { model: "a".to_owned(), version: 1, path: "/tmp/a".to_owned() };
    assert_eq!(ask(&test.desk, export).unwrap_err().code, Code::Conflict);
}

#[test]
fn a_prediction_that_is_stopped_leaves_no_file() {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    let rows = "0.5,red\n29,blue\n".repeat(500_000);
    std::fs::write(test.path("long.csv"), format!("radius,colour\n{rows}")).unwrap();
    let predict = ModelPredict {
        model: "tumours".to_owned(),
        version: 1,
        from: test.path("long.csv").display().to_string(),
        to: test.path("out.csv").display().to_string(),
        keep_input: true,
        token: "mine".to_owned(),
    };
    let events = test.desk.subscribe();
    let stopped = std::thread::scope(|scope| {
        let working = scope.spawn(|| ask(&test.desk, predict));
        // It has begun, and most of the million rows are still to come.
        let begun = |event: &Event| matches!(event, Event::Progress { token, .. } if token == "mine");
        while !events.wait(std::time::Duration::from_millis(100)).iter().any(|envelope| begun(&envelope.event)) {
            assert!(!working.is_finished(), "it ended before it told of any row");
        }
        ask(&test.desk, WorkCancel { token: "mine".to_owned() }).unwrap();
        working.join().unwrap()
    });
    assert_eq!(stopped.unwrap_err().code, Code::Cancelled);
    assert!(!test.path("out.csv").exists());
}

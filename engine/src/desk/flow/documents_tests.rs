#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::desk::{
    Desk,
    test_desk::{TestDesk, ask},
};

fn doc(name: &str, description: &str) -> String {
    Workflow { description: description.to_owned(), ..Workflow::empty(name) }.to_json()
}

fn save(desk: &Arc<Desk>, name: &str, json: &str, expected: Option<u64>) -> Result<u64, Code> {
    let save = WorkflowSave { name: name.to_owned(), json: json.to_owned(), expected };
    ask(desk, save).map(|saved| saved.revision).map_err(|failure| failure.code)
}

fn draft(desk: &Arc<Desk>, name: &str, json: &str) {
    ask(desk, WorkflowDraft { name: name.to_owned(), json: json.to_owned() }).unwrap();
}

fn load(desk: &Arc<Desk>, name: &str) -> Result<WorkflowDoc, Code> {
    ask(desk, WorkflowLoad { name: name.to_owned() }).map_err(|failure| failure.code)
}

fn list(desk: &Arc<Desk>) -> Vec<(String, bool)> {
    let mut items: Vec<_> =
        ask(desk, WorkflowList {}).unwrap().items.into_iter().map(|item| (item.name, item.has_draft)).collect();
    items.sort();
    items
}

#[test]
fn saving_counts_up_and_the_second_of_two_learns_of_the_first() {
    let test = TestDesk::open();
    let desk = &test.desk;
    assert_eq!(load(desk, "wine"), Err(Code::NotFound));
    assert_eq!(save(desk, "wine", &doc("wine", "one"), Some(0)), Ok(1));
    assert_eq!(save(desk, "wine", &doc("wine", "two"), Some(1)), Ok(2));
    assert_eq!(save(desk, "wine", &doc("wine", "mine"), Some(1)), Err(Code::Conflict));
    assert_eq!(save(desk, "wine", &doc("wine", "two"), Some(2)), Ok(2), "the same again is no new revision");
    assert_eq!(save(desk, "wine", &doc("wine", "mine"), None), Ok(3), "overwriting is said aloud");
    let found = load(desk, "wine").unwrap();
    assert_eq!((found.json, found.revision, found.draft), (doc("wine", "mine"), 3, None));
    // A change by another program counts, each one.
    let path = desk.workspace().unwrap().root().join("workflows/wine.json");
    for revision in 4..6 {
        fs::write(&path, doc("wine", &format!("from outside {revision}"))).unwrap();
        assert_eq!(load(desk, "wine").unwrap().revision, revision);
    }
    assert_eq!(save(desk, "wine", &doc("wine", "x"), Some(4)), Err(Code::Conflict));
    assert_eq!(save(desk, "wine", "{\"version\":2", Some(5)), Err(Code::BadData));
    assert_eq!(save(desk, "wine", "{\"version\":3}", Some(5)), Err(Code::Unsupported));
}

#[test]
fn a_draft_is_kept_until_it_is_saved_discarded_or_the_same() {
    let test = TestDesk::open();
    let desk = &test.desk;
    draft(desk, "new", "half a thou");
    let found = load(desk, "new").unwrap();
    assert_eq!((found.json.as_str(), found.revision, found.draft.as_deref()), ("", 0, Some("half a thou")));
    assert_eq!(list(desk), [("new".to_owned(), true)]);
    let problem = ask(desk, WorkflowList {}).unwrap().items[0].problem.clone();
    assert!(problem.is_some_and(|problem| problem.contains("no workflow")));
    let saved = doc("new", "one");
    save(desk, "new", &saved, Some(0)).unwrap();
    assert_eq!(load(desk, "new").unwrap().draft, None, "saving ends the draft");
    draft(desk, "new", &doc("new", "two"));
    assert_eq!(load(desk, "new").unwrap().draft, Some(doc("new", "two")));
    draft(desk, "new", &saved);
    assert_eq!((load(desk, "new").unwrap().draft, list(desk)), (None, vec![("new".to_owned(), false)]));
    draft(desk, "new", &doc("new", "three"));
    ask(desk, WorkflowDiscard { name: "new".into() }).unwrap();
    assert_eq!(load(desk, "new").unwrap().draft, None);
    let drafts = desk.workspace().unwrap().root().join("workflows/drafts");
    assert_eq!(fs::read_dir(drafts).unwrap().count(), 0);
}

#[test]
fn a_workflow_is_renamed_with_its_draft_and_never_onto_another() {
    let test = TestDesk::open();
    let desk = &test.desk;
    save(desk, "a", &doc("a", "one"), None).unwrap();
    save(desk, "a", &doc("a", "two"), None).unwrap();
    draft(desk, "a", &doc("a", "three"));
    save(desk, "b", &doc("other", ""), None).unwrap();
    let rename = |name: &str, to: &str| {
        ask(desk, WorkflowRename { name: name.into(), to: to.into() }).map_err(|failure| failure.code)
    };
    assert_eq!(rename("a", "b"), Err(Code::AlreadyExists));
    assert_eq!(rename("a", "../b"), Err(Code::InvalidArgument));
    assert_eq!(rename("missing", "c"), Err(Code::NotFound));
    rename("a", "a").unwrap();
    rename("a", "c").unwrap();
    let found = load(desk, "c").unwrap();
    assert_eq!((found.json, found.revision, found.draft), (doc("c", "two"), 2, Some(doc("c", "three"))));
    assert_eq!(load(desk, "a"), Err(Code::NotFound));
    rename("b", "d").unwrap();
    assert_eq!(load(desk, "d").unwrap().json, doc("other", ""), "a name of its own stays");
}

#[test]
fn what_was_deleted_can_be_saved_again_but_not_by_accident() {
    let test = TestDesk::open();
    let desk = &test.desk;
    save(desk, "a", &doc("a", "one"), None).unwrap();
    ask(desk, WorkflowDelete { name: "a".into() }).unwrap();
    assert_eq!(load(desk, "a"), Err(Code::NotFound));
    assert_eq!(ask(desk, WorkflowDelete { name: "a".into() }).unwrap_err().code, Code::NotFound);
    assert_eq!(save(desk, "a", &doc("a", "one"), Some(1)), Err(Code::Conflict));
    assert_eq!(save(desk, "a", &doc("a", "one"), None), Ok(2));
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let test = TestDesk::open();
    let desk = &test.desk;
    let root = desk.workspace().unwrap().root().to_owned();
    for name in ["..", "../x", "drafts/x", "/tmp/x", "a\\b", "", "x/../../y", ".revisions"] {
        assert_eq!(save(desk, name, &doc("x", ""), None), Err(Code::InvalidArgument), "{name}");
        assert_eq!(load(desk, name), Err(Code::InvalidArgument), "{name}");
        let json = String::new();
        assert!(ask(desk, WorkflowDraft { name: name.into(), json }).is_err());
        assert!(ask(desk, WorkflowDelete { name: name.into() }).is_err());
    }
    assert!(!root.join("workflows").exists());
}

#[test]
fn documents_come_in_from_elsewhere_and_go_out() {
    let test = TestDesk::open();
    let desk = &test.desk;
    let file = test.path("shared.json");
    let table = test.path("t.csv");
    fs::write(&table, "a,b\n1,2\n").unwrap();
    let json = r#"{"version":1,"name":"wine","nodes":[{"id":"o","kind":"table.open","params":{"path":"t.csv"}},
        {"id":"p","kind":"table.open","params":{"path":"gone.csv"}}],"links":[]}"#;
    fs::write(&file, json).unwrap();
    let import = || ask(desk, WorkflowImport { path: file.display().to_string() });
    let first = import().unwrap();
    assert_eq!((first.name.as_str(), first.revision), ("wine", 1));
    assert_eq!(import().unwrap().name, "wine 2");
    let workflow = Workflow::from_json(&first.json).unwrap();
    let path = |at: usize| workflow.nodes[at].params["path"].as_str().unwrap().to_owned();
    assert_eq!(path(0), fs::canonicalize(&table).unwrap().display().to_string());
    assert_eq!(path(1), "gone.csv");
    fs::write(&file, "not json").unwrap();
    let failure = import().unwrap_err();
    assert_eq!((failure.code, failure.subject), (Code::BadData, Some(file.display().to_string())));
    fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(import().unwrap_err().code, Code::BadData);
    assert_eq!(ask(desk, WorkflowImport { path: "/nowhere.json".into() }).unwrap_err().code, Code::NotFound);

    let out = test.path("out/x.json");
    ask(desk, WorkflowExport { json: first.json.clone(), path: out.display().to_string() }).unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap(), first.json);
    let relative = WorkflowExport { json: first.json, path: "x.json".into() };
    assert_eq!(ask(desk, relative).unwrap_err().code, Code::InvalidArgument);
}

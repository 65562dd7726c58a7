//! Tables as a window asks for them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use athanor_protocol::{
    Code, Failure,
    api::{
        DataAdd, DataEntry, DataList, DataOpen, DataPlot, DataProfile, DataRemove, DataRows, DataUpload, DataUploaded,
        Event, PlotData, PlotSpec,
    },
    table::DataSource,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::desk::test_desk::{TestDesk, ask};

const CARS: &str = "name,kg,kw\nant,900,40\nbee,1500,110\ncat,,55\n";

fn write(test: &TestDesk, name: &str, text: &str) -> String {
    let path = test.path(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn add(test: &TestDesk, path: &str) -> Result<DataEntry, Failure> {
    ask(&test.desk, DataAdd { path: path.to_owned() })
}

fn listed(test: &TestDesk) -> Vec<DataEntry> {
    ask(&test.desk, DataList {}).unwrap().items
}

fn page(test: &TestDesk, path: &str, offset: u64, limit: u32) -> Result<Vec<Vec<Option<String>>>, Failure> {
    let source = DataSource::file(path);
    ask(&test.desk, DataRows { source, offset, limit, columns: vec![] }).map(|page| page.cells)
}

fn cell(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn tables_are_added_listed_and_removed() {
    let test = TestDesk::open();
    assert_eq!(listed(&test), []);
    let events = test.desk.subscribe();
    let path = write(&test, "cars.csv", CARS);
    let entry = add(&test, &path).unwrap();
    assert_eq!((entry.name.as_str(), entry.n_bytes), ("cars.csv", Some(CARS.len() as u64)));
    assert!(!entry.in_workspace && entry.modified_at_millis.is_some());
    assert_eq!(add(&test, &path).unwrap(), entry, "adding it again changes nothing");
    let second = add(&test, &write(&test, "workspace/b.csv", CARS)).unwrap();
    assert!(second.in_workspace);
    assert_eq!(listed(&test), [second.clone(), entry.clone()], "newest first");
    let changes = events.wait(Duration::ZERO);
    assert_eq!(changes.iter().filter(|event| event.event == Event::DataChanged {}).count(), 2);
    // A table in the workspace's folder is found by a path from there, too.
    assert_eq!(page(&test, "b.csv", 0, 1).unwrap()[0], [cell("ant")]);

    std::fs::remove_file(&path).unwrap();
    assert_eq!(listed(&test)[1].n_bytes, None, "a file that has vanished stays on the list");
    assert_eq!(page(&test, &path, 0, 1).unwrap_err().code, Code::NotFound);
    ask(&test.desk, DataRemove { path: entry.path.clone() }).unwrap();
    assert_eq!(listed(&test), [second]);
    assert_eq!(ask(&test.desk, DataRemove { path: entry.path }).unwrap_err().code, Code::NotFound);
    assert!(test.path("workspace/b.csv").exists());
}

#[test]
fn what_is_no_table_is_not_added() {
    let test = TestDesk::open();
    for (name, bytes, code) in [
        ("empty.csv", &b""[..], Code::BadData),
        ("a.xlsx", b"PK\x03\x04more", Code::BadData),
        ("binary.csv", b"a,b\n\0\x01\x02\n", Code::BadData),
    ] {
        std::fs::write(test.path(name), bytes).unwrap();
        let failure = add(&test, &test.path(name).display().to_string()).unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(name), "{failure}");
    }
    assert_eq!(add(&test, &test.path("nowhere.csv").display().to_string()).unwrap_err().code, Code::NotFound);
    assert_eq!(add(&test, "").unwrap_err().code, Code::InvalidArgument);
    assert_eq!(add(&test, &test.path("").display().to_string()).unwrap_err().code, Code::InvalidArgument);
    assert_eq!(listed(&test), []);
    assert_eq!(ask(&TestDesk::new().desk, DataList {}).unwrap_err().code, Code::Conflict, "no workspace is open");
}

#[test]
fn a_list_that_cannot_be_read_is_left_as_it_is() {
    let test = TestDesk::open();
    let path = write(&test, "cars.csv", CARS);
    for (text, code) in [("{", Code::Corrupt), ("{\"version\":2,\"sets\":[]}", Code::Unsupported)] {
        write(&test, "workspace/tables.json", text);
        assert_eq!(add(&test, &path).unwrap_err().code, code);
        assert_eq!(std::fs::read_to_string(test.path("workspace/tables.json")).unwrap(), text);
    }
}

#[test]
fn version_one_of_the_list_is_read() {
    let test = TestDesk::open();
    let text = r#"{"version":1,"tables":[{"path":"data/cars.csv","added_at_millis":5}]}"#;
    write(&test, "workspace/tables.json", text);
    std::fs::create_dir(test.path("workspace/data")).unwrap();
    write(&test, "workspace/data/cars.csv", CARS);
    let items = listed(&test);
    assert_eq!((items.len(), items[0].added_at_millis, items[0].in_workspace), (1, 5, true));
    assert_eq!(items[0].n_bytes, Some(CARS.len() as u64));
}

#[test]
fn a_table_is_opened_shown_profiled_and_plotted() {
    let test = TestDesk::open();
    let path = write(&test, "cars.csv", CARS);
    let source = DataSource::file(&path);
    let info = ask(&test.desk, DataOpen { source: source.clone() }).unwrap();
    assert_eq!((info.name.as_str(), info.columns.len(), info.n_rows), ("cars.csv", 3, Some(3)));
    assert_eq!(info.n_bytes, CARS.len() as u64);
    let rows = |offset, limit, columns: &[&str]| {
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        ask(&test.desk, DataRows { source: source.clone(), offset, limit, columns })
    };
    let page = rows(1, 10, &["kw", "name"]).unwrap();
    assert_eq!(page.cells, [[cell("110"), cell("55")], [cell("bee"), cell("cat")]]);
    assert_eq!((page.offset, page.n_rows, page.columns[0].name.as_str()), (1, Some(3), "kw"));
    assert_eq!(rows(2, 1, &["kg"]).unwrap().cells, [[None]]);
    assert_eq!(rows(0, 5000, &[]).unwrap_err().code, Code::InvalidArgument);
    let failure = rows(0, 5, &["weight"]).unwrap_err();
    assert_eq!((failure.code, failure.subject.as_deref()), (Code::InvalidArgument, Some("weight")));
    let profile = ask(&test.desk, DataProfile { source: source.clone(), token: "t".to_owned() }).unwrap();
    assert_eq!((profile.profile.n_rows, profile.profile.columns[1].n_missing), (3, 1));
    let spec = PlotSpec::Bar { column: "name".to_owned(), group: None };
    let plot = ask(&test.desk, DataPlot { source, spec, token: String::new() }).unwrap();
    assert!(matches!(plot, PlotData::Bar { ref values, .. } if values.len() == 3), "{plot:?}");
}

#[test]
fn a_changed_file_is_opened_anew() {
    let test = TestDesk::open();
    let path = write(&test, "t.csv", "a\n1\n2\n");
    assert_eq!(page(&test, &path, 0, 9).unwrap(), [[cell("1"), cell("2")]]);
    write(&test, "t.csv", "a\n1\n2\n3\n");
    assert_eq!(page(&test, &path, 2, 9).unwrap(), [[cell("3")]]);
    // Another file of the same size and time under the name: only looking at it tells.
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let other = write(&test, "u.csv", "a\n7\n8\n9\n");
    std::fs::File::options().write(true).open(&other).unwrap().set_modified(before).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(page(&test, &path, 0, 9).unwrap(), [[cell("7"), cell("8"), cell("9")]]);
    assert_eq!(test.desk.data.n_open(), 1);
}

#[test]
fn few_tables_are_kept_open() {
    let test = TestDesk::open();
    for i in 0..30 {
        let path = write(&test, &format!("t{i}.csv"), "a\n1\n");
        page(&test, &path, 0, 1).unwrap();
    }
    assert_eq!(test.desk.data.n_open(), 8);
}

#[test]
fn rows_of_a_long_text_table_are_counted_behind_the_first_page() {
    let test = TestDesk::open();
    let mut text = "i,note\n".to_owned();
    for i in 0..300_000 {
        text.push_str(&format!("{i},\"line {i}\n{}\"\n", "x".repeat(i % 40)));
    }
    let path = write(&test, "long.csv", &text);
    assert_eq!(page(&test, &path, 299_999, 5).unwrap()[0], [cell("299999")]);
    let opened = test.desk.data.find(&DataSource::file(&path)).unwrap();
    // The page was the last one, but whether there is more is found out by the thread, or here.
    opened.pager.index(&|| false).unwrap();
    assert_eq!(opened.pager.n_rows(), Some(300_000));
}

fn send(test: &TestDesk, name: &str, offset: u64, bytes: &[u8], last: bool) -> Result<DataUploaded, Failure> {
    let base64 = STANDARD.encode(bytes);
    ask(&test.desk, DataUpload { name: name.to_owned(), token: "abc123".to_owned(), offset, base64, last })
}

#[test]
fn a_browser_sends_a_file_in_pieces() {
    let test = TestDesk::open();
    let (first, second) = CARS.as_bytes().split_at(20);
    for expect in ["cars.csv", "cars 2.csv"] {
        assert_eq!(send(&test, "C:\\here\\cars.csv", 0, first, false).unwrap().n_bytes, 20);
        let failure = send(&test, "cars.csv", 21, second, true).unwrap_err();
        assert_eq!(failure.code, Code::Conflict, "{failure}");
        let done = send(&test, "../cars.csv", 20, second, true).unwrap();
        assert_eq!(done.n_bytes, CARS.len() as u64);
        let entry = done.entry.unwrap();
        assert!(entry.in_workspace);
        assert_eq!(entry.name, expect);
        assert_eq!(std::fs::read_to_string(test.path("workspace/data").join(expect)).unwrap(), CARS);
    }
    assert_eq!(listed(&test).len(), 2);
}

#[test]
fn bad_uploads_leave_nothing_behind() {
    let test = TestDesk::open();
    let failure = send(&test, "no.csv", 0, b"PK\x03\x04", true).unwrap_err();
    assert_eq!(failure.code, Code::BadData, "{failure}");
    assert_eq!(send(&test, "late.csv", 7, b"a", false).unwrap_err().code, Code::Conflict);
    for token in ["", "../x", "a b", &"x".repeat(65)] {
        let piece = DataUpload {
            name: "t.csv".to_owned(),
            token: token.to_owned(),
            offset: 0,
            base64: String::new(),
            last: false,
        };
        assert_eq!(ask(&test.desk, piece).unwrap_err().code, Code::InvalidArgument, "{token:?}");
    }
    let piece = DataUpload {
        name: "t.csv".to_owned(),
        token: "t".to_owned(),
        offset: 0,
        base64: "no base64!".to_owned(),
        last: false,
    };
    assert_eq!(ask(&test.desk, piece).unwrap_err().code, Code::InvalidArgument);
    // A sparse file stands for one that has grown to the limit.
    let begun = test.path("workspace/data/.upload-abc123");
    send(&test, "large.csv", 0, b"a", false).unwrap();
    std::fs::File::options().write(true).open(&begun).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(send(&test, "large.csv", 2 << 30, b"a", false).unwrap_err().code, Code::TooLarge);
    assert_eq!(std::fs::read_dir(test.path("workspace/data")).unwrap().count(), 0);
    assert_eq!(listed(&test), []);
}

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use athanor_protocol::{
    Code,
    api::{Preview, WorkflowPreview},
};

use super::*;
use crate::desk::test_desk::{TestDesk, ask};

const FLOW: &str = r#"{"version":2,"name":"t","nodes":[
    {"id":"open","kind":"table.open","params":{"path":"t.csv"}},
    {"id":"ratio","kind":"prepare.derive","params":{"column":"r","expression":"a / b"}},
    {"id":"keep","kind":"prepare.filter","params":{"predicate":"a > 1"}},
    {"id":"split","kind":"split","params":{"stratify":"y"}},
    {"id":"train","kind":"train.trees","params":{"target":"y"}},
    {"id":"report","kind":"evaluate"},
    {"id":"publish","kind":"register","params":{"name":"m"}}],
    "links":[{"from":"open.table","to":"ratio.table"},{"from":"ratio.table","to":"keep.table"},
    {"from":"keep.table","to":"split.table"},{"from":"split.splits","to":"train.splits"},
    {"from":"train.model","to":"report.model"},{"from":"split.splits","to":"report.splits"},
    {"from":"train.model","to":"publish.model"}]}"#;

fn desk() -> TestDesk {
    let test = TestDesk::open();
    let data = test.desk.workspace().unwrap().root().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("t.csv"), "a,b,y\n1,2,u\n2,4,v\n3,,u\n4,8,v\n").unwrap();
    test
}

fn inspect(test: &TestDesk, json: &str) -> Inspection {
    ask(&test.desk, WorkflowInspect { json: json.to_owned(), seed: 1, device: "cpu".to_owned() }).unwrap()
}

fn problems(found: &Inspection) -> Vec<String> {
    found
        .problems
        .iter()
        .map(|problem| {
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}.{}: {}", part(&problem.node), part(&problem.param), problem.message)
        })
        .collect()
}

fn columns(found: &Inspection, node: &str) -> Option<String> {
    let port = found.columns.iter().find(|port| port.node == node)?;
    Some(port.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(","))
}

#[test]
fn columns_are_known_at_every_port_that_has_some() {
    let test = desk();
    let found = inspect(&test, FLOW);
    assert_eq!(problems(&found), [""; 0]);
    let at = |node: &str| columns(&found, node);
    assert_eq!(at("open").as_deref(), Some("a,b,y"));
    assert_eq!(at("ratio").as_deref(), Some("a,b,y,r"));
    assert_eq!(at("split").as_deref(), Some("a,b,y,r"));
    assert_eq!((at("train"), at("publish")), (None, None));
    assert!(found.cached.is_empty());
}

#[test]
fn problems_are_found_where_they_are() {
    let test = desk();
    let first = |change: &dyn Fn(String) -> String| {
        let found = inspect(&test, &change(FLOW.to_owned()));
        problems(&found).first().cloned().unwrap_or_default()
    };
    let replaced = |from: &str, to: &str| first(&|flow| flow.replace(from, to));
    assert!(replaced("t.csv", "gone.csv").starts_with("open.path: there is no such file: "));
    assert_eq!(
        replaced(r#""target":"y""#, r#""target":"z""#),
        "train.target: there is no column \"z\"; there are a, b, y, r"
    );
    assert_eq!(
        replaced(r#""stratify":"y""#, r#""stratify":"q""#).split(';').next(),
        Some("split.stratify: there is no column \"q\"")
    );
    assert!(replaced("a / b", "a / nope").starts_with("ratio.: "));
    assert!(replaced("a > 1", "a >").starts_with("keep.: "));
    assert!(replaced(r#""name":"m""#, r#""name":"../m""#).starts_with("publish.name: "));
    std::fs::write(test.desk.workspace().unwrap().root().join("data/t.csv"), "").unwrap();
    assert!(first(&|flow| flow).starts_with("open.path: "), "an emptied file is seen");
}

#[test]
fn half_drawn_workflows_are_looked_at_as_far_as_they_go() {
    let test = desk();
    let cut = FLOW.replace(r#"{"from":"ratio.table","to":"keep.table"},"#, "");
    let found = inspect(&test, &cut);
    assert_eq!((columns(&found, "ratio").is_some(), columns(&found, "keep")), (true, None));
    for odd in [
        r#"{"version":2,"name":"","nodes":[],"links":[]}"#.to_owned(),
        FLOW.replace("table.open", "table.from_the_future"),
        FLOW.replace(r#""path":"t.csv""#, r#""path":7"#),
        FLOW.replace(r#""path":"t.csv""#, r#""path":"""#),
        FLOW.replace(r#""to":"ratio.table""#, r#""to":"open.table""#),
        FLOW.replace(r#"{"from":"open.table","to":"ratio.table"}"#, r#"{"from":"keep.table","to":"ratio.table"}"#),
        FLOW.replace(r#""id":"keep""#, r#""id":"ratio""#),
        FLOW.replace("a / b", ""),
    ] {
        inspect(&test, &odd);
    }
    let not_json = WorkflowInspect { json: "{".into(), seed: 0, device: "cpu".into() };
    assert_eq!(ask(&test.desk, not_json).unwrap_err().code, Code::BadData);
}

#[test]
fn a_workflow_with_ten_thousand_nodes_is_looked_at_in_a_moment() {
    let test = desk();
    let node = |n: usize| format!(r#"{{"id":"n{n}","kind":"prepare.sort","params":{{"by":["a"]}}}}"#);
    let nodes: Vec<String> = (1..10_000).map(node).collect();
    let links: Vec<String> =
        (1..10_000).map(|n| format!(r#"{{"from":"n{}.table","to":"n{n}.table"}}"#, n - 1)).collect();
    let json = format!(
        r#"{{"version":2,"name":"t","nodes":[{{"id":"n0","kind":"table.open","params":{{"path":"t.csv"}}}},{}],"links":[{}]}}"#,
        nodes.join(","),
        links.join(",")
    );
    inspect(&test, &json);
    let began = Instant::now();
    assert!(columns(&inspect(&test, &json), "n100").is_some());
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

#[test]
fn tables_are_shown_without_a_run_and_the_rest_is_not_there_yet() {
    let test = desk();
    let preview = |node: &str, port: &str, offset: u64| {
        let (json, node, port) = (FLOW.to_owned(), node.to_owned(), port.to_owned());
        ask(&test.desk, WorkflowPreview { json, node, port, seed: 1, device: "cpu".into(), offset, limit: 2 })
    };
    let Ok(Preview::Table { rows, sampled }) = preview("keep", "table", 1) else { panic!("no table") };
    let column = |name: &str| rows.columns.iter().position(|column| column.name == name).unwrap();
    let cells = |name: &str| rows.cells[column(name)].iter().map(|cell| cell.as_deref()).collect::<Vec<_>>();
    assert_eq!((sampled, rows.n_rows, rows.offset), (false, Some(3), 1));
    assert_eq!(
        (cells("a"), cells("b"), cells("y")),
        (vec![Some("3"), Some("4")], vec![None, Some("8")], vec![Some("u"), Some("v")])
    );
    let Ok(Preview::Table { rows, .. }) = preview("open", "table", 3) else { panic!("no table") };
    assert_eq!(rows.cells[0], [Some("4".to_owned())]);
    for (node, port) in [("split", "splits"), ("train", "model"), ("report", "report")] {
        assert_eq!(preview(node, port, 0).unwrap(), Preview::NotYet {});
    }
    assert_eq!(preview("nobody", "table", 0).unwrap_err().code, Code::NotFound);
    assert_eq!(preview("open", "splits", 0).unwrap_err().code, Code::NotFound);
}

use std::fmt::Write as _;

use super::*;

fn parse(text: &str) -> Workflow {
    Workflow::from_json(text).unwrap_or_else(|failure| panic!("{failure}"))
}

/// One line for each problem.
fn problems(nodes: &str, links: &str) -> String {
    let links: Vec<String> = links
        .split_whitespace()
        .map(|link| {
            let (from, to) = link.split_once('>').unwrap_or((link, ""));
            format!(r#"{{"from":"{from}","to":"{to}"}}"#)
        })
        .collect();
    let workflow = parse(&format!(r#"{{"version":1,"name":"t","nodes":[{nodes}],"links":[{}]}}"#, links.join(",")));
    check(&workflow, &Catalogue::builtin()).iter().fold(String::new(), |mut text, problem| {
        let _ = writeln!(text, "{problem}");
        text
    })
}

const OPEN: &str = r#"{"id":"open","kind":"table.open","params":{"path":"a.csv"}}"#;
const SPLIT: &str = r#"{"id":"split","kind":"split"}"#;

#[test]
fn a_good_workflow_has_no_problems() {
    assert_eq!(problems(&format!("{OPEN},{SPLIT}"), "open.table>split.table"), "");
}

#[test]
fn problems_name_node_port_and_parameter() {
    let cases: [(&str, &str, &str); 9] = [
        ("", "", "the workflow has no nodes\n"),
        (SPLIT, "", "node \"split\", port \"table\": nothing is linked to this input; it takes a table\n"),
        (
            r#"{"id":"a b","kind":"table.open","params":{"path":"x"}}"#,
            "",
            "node \"a b\": a node's id is 1 to 64 letters, digits, '_' or '-'\n",
        ),
        (
            r#"{"id":"x","kind":"warp.drive"}"#,
            "",
            "node \"x\": there is no node kind \"warp.drive\"; it may come from a newer version of the program\n",
        ),
        (r#"{"id":"x","kind":"table.open"}"#, "", "node \"x\", parameter \"path\": must be set\n"),
        (
            r#"{"id":"x","kind":"table.open","params":{"path":"a","format":"xls","colour":1}}"#,
            "",
            "node \"x\", parameter \"colour\": a table.open node has no such parameter; it has path, format, separator, has_header, decimal_comma, null_values\n\
             node \"x\", parameter \"format\": must be one of auto, csv, parquet\n",
        ),
        (OPEN, "open.table>gone.table", "the link to gone.table ends at a node that is not there\n"),
        (
            r#"{"id":"open","kind":"table.open","params":{"path":"a"}},{"id":"split","kind":"split"}"#,
            "open.rows>split.table",
            "node \"open\", port \"rows\": a table.open node has no such output\n\
             node \"split\", port \"table\": nothing is linked to this input; it takes a table\n",
        ),
        (
            r#"{"id":"open","kind":"table.open","params":{"path":"a"}},{"id":"t","kind":"train.constant","params":{"target":"y"}}"#,
            "open.table>t.splits",
            "node \"t\", port \"splits\": takes a splits but open.table gives a table\n\
             node \"t\", port \"splits\": nothing is linked to this input; it takes a splits\n",
        ),
    ];
    for (nodes, links, expect) in cases {
        assert_eq!(problems(nodes, links), expect);
    }
}

#[test]
fn circles_and_self_links_are_found() {
    let sort = |id: &str| format!(r#"{{"id":"{id}","kind":"prepare.sort","params":{{"by":["x"]}}}}"#);
    let nodes = [sort("a"), sort("b"), sort("c")].join(",");
    let found = problems(&nodes, "a.table>b.table b.table>c.table c.table>a.table");
    assert_eq!(found, "node \"a\": the links make a circle through a → b → c → a\n");
    assert_eq!(problems(&sort("a"), "a.table>a.table"), "node \"a\": the links make a circle through a → a\n");
}

#[test]
fn a_chain_of_ten_thousand_nodes_is_checked_without_recursion() {
    let mut nodes = vec![OPEN.to_owned()];
    let mut links = vec!["open.table>n1.table".to_owned()];
    for at in 1..crate::workflow::MAX_NODES {
        nodes.push(format!(r#"{{"id":"n{at}","kind":"prepare.deduplicate"}}"#));
        if at + 1 < crate::workflow::MAX_NODES {
            links.push(format!("n{at}.table>n{}.table", at + 1));
        }
    }
    assert_eq!(problems(&nodes.join(","), &links.join(" ")), "");
    // Closed to one circle of all nodes, it is still one problem of readable length.
    links.push(format!("n{}.table>n1.table", crate::workflow::MAX_NODES - 1));
    links.remove(0);
    let found = problems(&nodes.join(","), &links.join(" "));
    assert!(found.contains("the links make a circle") && found.len() < 400, "{found}");
}

#[test]
fn documents_that_are_none_say_why() {
    let cases = [
        ("", "this is no workflow: EOF while parsing a value at line 1 column 0"),
        ("[]", "this is no workflow: invalid length 0, expected struct Head with 1 element at line 1 column 2"),
        ("{}", "this is no workflow: the field 'version' is missing"),
        (r#"{"version":3,"anything":1}"#, "the workflow has format version 3, this program reads versions 1 and 2"),
        (
            r#"{"version":1,"name":"x","nodes":[],"links":[{"from":"a","to":"b.c"}]}"#,
            "this is no workflow: expected 'node.port', found \"a\" at line 1 column 55",
        ),
    ];
    for (text, expect) in cases {
        assert_eq!(
            Workflow::from_json(text).map(|_| ()).map_err(|failure| failure.message),
            Err(expect.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn parameters_are_set_from_text_by_kind() {
    let catalogue = Catalogue::builtin();
    let text = format!(
        r#"{{"version":1,"name":"t","nodes":[{OPEN},{SPLIT},{{"id":"m","kind":"train.mlp","params":{{"target":"y"}}}}],"links":[]}}"#
    );
    let cases: [(&str, Result<Value, &str>); 9] = [
        ("m.hidden=8,4", Ok(serde_json::json!([8, 4]))),
        ("m.hidden=[8]", Ok(serde_json::json!([8]))),
        ("m.learning_rate=1e-2", Ok(serde_json::json!(0.01))),
        ("split.stratify=y=z", Ok(serde_json::json!("y=z"))),
        ("split.stratify=null", Ok(Value::Null)),
        ("m.epochs=0", Err("node \"m\", parameter \"epochs\": is 0, it must be from 1 to 1000000")),
        ("m.epochs=soon", Err("node \"m\", parameter \"epochs\": must be a whole number")),
        ("q.epochs=1", Err("node \"q\": there is no such node; there are open, split, m")),
        ("epochs", Err("\"epochs\" is no assignment; write NODE.PARAM=VALUE")),
    ];
    for (assignment, expect) in cases {
        let mut workflow = parse(&text);
        let found = set_param(&mut workflow, &catalogue, assignment).map_err(|problem| problem.to_string()).map(|()| {
            let (target, _) = assignment.split_once('=').unwrap_or_default();
            let (node, param) = target.split_once('.').unwrap_or_default();
            workflow.node(node).and_then(|node| node.params.get(param)).cloned().unwrap_or_default()
        });
        assert_eq!(found, expect.map_err(str::to_owned), "{assignment}");
    }
}

#[test]
fn a_link_is_refused_before_it_exists() {
    let catalogue = Catalogue::builtin();
    let text = format!(
        r#"{{"version":1,"name":"t","nodes":[{OPEN},{{"id":"a","kind":"prepare.deduplicate"}},{{"id":"b","kind":"prepare.deduplicate"}}],"links":[{{"from":"a.table","to":"b.table"}}]}}"#
    );
    let workflow = parse(&text);
    let link = |from: &str, to: &str| Link {
        from: from.parse().unwrap_or_else(|e| panic!("{e}")),
        to: to.parse().unwrap_or_else(|e| panic!("{e}")),
    };
    let ask = |from, to| check_link(&workflow, &link(from, to), &catalogue).map_err(|problem| problem.message);
    assert_eq!(ask("open.table", "a.table"), Ok(()));
    assert_eq!(ask("open.table", "b.table"), Err("this input is linked already".to_owned()));
    assert_eq!(ask("b.table", "a.table"), Err("the link would make a circle through a → b → a".to_owned()));
}

proptest::proptest! {
    #[test]
    fn check_is_total_on_any_links(edges in proptest::collection::vec((0usize..8, 0usize..8), 0..20)) {
        let nodes: Vec<String> = (0..8).map(|at| format!(r#"{{"id":"n{at}","kind":"prepare.deduplicate"}}"#)).collect();
        let links: Vec<String> = edges.iter().map(|(from, to)| format!("n{from}.table>n{to}.table")).collect();
        let found = problems(&nodes.join(","), &links.join(" "));
        proptest::prop_assert!(!found.is_empty());
    }
}

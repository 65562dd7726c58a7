//! Answers about workflows: saved documents, drafts, and what only the engine knows of them.

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, EvaluationView, Inspection, Picked, PortColumns, Preview, Reply, ReportView, Request, RowsPage,
        WorkflowDoc, WorkflowEntries, WorkflowEntry, WorkflowSaved,
    },
    catalogue::Catalogue,
    signature::{InputColumn, ModelSignature, Task},
    table::{ColumnSchema, DataType},
    workflow::{Comment, Endpoint, Group, Link, Node, Workflow},
};
use serde_json::{Value, json};

use super::NOW_MILLIS;

/// A node of a workflow.
pub fn node(id: &str, kind: &str, params: Value, at: [f32; 2]) -> Node {
    Node {
        id: id.to_owned(),
        kind: kind.to_owned(),
        title: String::new(),
        params: serde_json::from_value(params).unwrap_or_default(),
        position: Some(at),
        note: String::new(),
    }
}

/// A link between two ports, each `node.port`.
pub fn flow_link(from: &str, to: &str) -> Link {
    let end = |text: &str| {
        let (node, port) = text.split_once('.').unwrap_or((text, ""));
        Endpoint { node: node.to_owned(), port: port.to_owned() }
    };
    Link { from: end(from), to: end(to) }
}

/// A workflow that trains two models on a table and registers the better one.
pub fn workflow() -> Workflow {
    let mut workflow = Workflow::empty("breast-cancer");
    workflow.description = "Tells malignant from benign by the shape of cell nuclei.".to_owned();
    workflow.nodes = vec![
        node("open", "table.open", json!({"path": "/home/ada/Athanor/clinic/data/breast_cancer.csv"}), [0.0, 90.0]),
        node("fill", "prepare.fill", json!({"columns": ["mean_radius", "mean_texture", "mean_area"]}), [256.0, 90.0]),
        node("split", "split", json!({"stratify": "diagnosis"}), [512.0, 90.0]),
        node("trees", "train.trees", json!({"target": "diagnosis"}), [792.0, 0.0]),
        node("net", "train.mlp", json!({"target": "diagnosis", "epochs": 40}), [792.0, 110.0]),
        node("evaluate", "evaluate", json!({}), [1072.0, 96.0]),
        node("register", "register", json!({"name": "breast-cancer", "alias": "staging"}), [1072.0, -10.0]),
    ];
    workflow.links = [
        ("open.table", "fill.table"),
        ("fill.table", "split.table"),
        ("split.splits", "trees.splits"),
        ("split.splits", "net.splits"),
        ("split.splits", "evaluate.splits"),
        ("net.model", "evaluate.model"),
        ("trees.model", "register.model"),
    ]
    .into_iter()
    .map(|(from, to)| flow_link(from, to))
    .collect();
    workflow.comments = vec![Comment {
        id: "comment".to_owned(),
        text: "Measured at the clinic in Wisconsin; 569 patients.".to_owned(),
        position: [0.0, -60.0],
        size: [232.0, 72.0],
    }];
    workflow.groups = vec![Group {
        id: "group".to_owned(),
        title: "Models".to_owned(),
        nodes: vec!["trees".to_owned(), "net".to_owned()],
    }];
    workflow
}

/// A workflow of so many nodes, in chains of ten.
pub fn long_workflow(n: usize) -> Workflow {
    let mut workflow = Workflow::empty("long");
    for at in 0..n {
        let (row, column) = ((at / 10) as f32, (at % 10) as f32);
        let kind = if at % 10 == 0 { "table.open" } else { "prepare.sort" };
        let params = if at % 10 == 0 { json!({"path": "a.csv"}) } else { json!({"by": ["a"]}) };
        workflow.nodes.push(node(&format!("n{at}"), kind, params, [column * 280.0, row * 90.0]));
        if at % 10 > 0 {
            workflow.links.push(flow_link(&format!("n{}.table", at - 1), &format!("n{at}.table")));
        }
    }
    workflow
}

/// The columns of the table in [`workflow`].
pub fn flow_columns() -> Vec<ColumnSchema> {
    let mut columns: Vec<ColumnSchema> =
        ["radius", "texture", "perimeter", "area", "smoothness", "concavity", "symmetry"]
            .iter()
            .flat_map(|what| ["mean", "worst"].map(|which| format!("{which}_{what}")))
            .map(|name| ColumnSchema { name, dtype: DataType::Float })
            .collect();
    columns.push(ColumnSchema { name: "diagnosis".to_owned(), dtype: DataType::Text });
    columns
}

/// What the engine knows of a document: columns at every table and splits port, nothing wrong.
pub fn inspection(json: &str) -> Inspection {
    let workflow = Workflow::from_json(json).unwrap_or_else(|_| Workflow::empty(""));
    let catalogue = Catalogue::builtin();
    let mut columns = vec![];
    for node in &workflow.nodes {
        for port in catalogue.kind(&node.kind).into_iter().flat_map(|kind| &kind.outputs) {
            if matches!(port.name.as_str(), "table" | "splits") {
                columns.push(PortColumns { node: node.id.clone(), port: port.name.clone(), columns: flow_columns() });
            }
        }
    }
    let cached =
        workflow.nodes.iter().filter(|node| ["open", "fill"].contains(&node.id.as_str())).map(|node| node.id.clone());
    Inspection { problems: vec![], columns, cached: cached.collect() }
}

/// Rows of the table in [`workflow`].
pub fn flow_rows(offset: u64, limit: u32) -> RowsPage {
    let columns = flow_columns();
    let n = 569u64.saturating_sub(offset).min(u64::from(limit));
    let cells = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            (offset..offset + n)
                .map(|row| match column.dtype {
                    DataType::Text => Some(if row % 3 == 0 { "malignant" } else { "benign" }.to_owned()),
                    _ if (row + at as u64).is_multiple_of(17) => None,
                    _ => Some(format!("{:.3}", 6.0 + ((row * 37 + at as u64 * 11) % 200) as f64 / 9.0)),
                })
                .collect()
        })
        .collect();
    RowsPage { offset, columns, cells, n_rows: Some(569) }
}

fn preview(node: &Node, offset: u64, limit: u32) -> Preview {
    match node.kind.split('.').next().unwrap_or_default() {
        "table" | "prepare" => {
            Preview::Table { rows: flow_rows(offset, limit), sampled: node.kind.starts_with("prepare") }
        }
        "split" => Preview::Splits { train: flow_rows(offset, limit), n_rows: [398, 85, 86] },
        "train" if node.id == "trees" => Preview::Model {
            signature: ModelSignature {
                task: Task::Binary,
                target: "diagnosis".to_owned(),
                inputs: flow_columns()
                    .into_iter()
                    .filter(|column| column.name != "diagnosis")
                    .map(|column| InputColumn { name: column.name, dtype: column.dtype, nullable: true })
                    .collect(),
                classes: vec!["benign".to_owned(), "malignant".to_owned()],
            },
            n_bytes: 184_320,
            facts: vec![("Learner".to_owned(), "boosted trees".to_owned()), ("Rounds".to_owned(), "142".to_owned())],
        },
        "evaluate" => Preview::Report {
            report: Box::new(ReportView {
                version: 1,
                target: "diagnosis".to_owned(),
                task: Task::Binary,
                classes: vec!["benign".to_owned(), "malignant".to_owned()],
                n_rows: 86,
                evaluation: EvaluationView {
                    n_rows: 86,
                    metrics: vec![("accuracy".to_owned(), 0.9651.into()), ("roc_auc".to_owned(), 0.9934.into())],
                    classes: vec![],
                    confusion: None,
                    curves: vec![],
                    calibration: vec![],
                    residuals: vec![],
                },
                importance: vec![],
                worst: vec![],
                pairs: vec![],
            }),
        },
        _ => Preview::NotYet {},
    }
}

/// The saved workflows.
pub fn workflow_entries() -> Vec<WorkflowEntry> {
    let entry = |name: &str, hours: i64, n_nodes, has_draft, problem: Option<&str>| WorkflowEntry {
        name: name.to_owned(),
        saved_at_millis: NOW_MILLIS - hours * 3_600_000,
        n_nodes,
        has_draft,
        problem: problem.map(str::to_owned),
    };
    vec![
        entry("breast-cancer", 1, Some(7), false, None),
        entry("churn", 30, Some(5), true, None),
        entry(
            "from-the-future",
            200,
            None,
            false,
            Some("the workflow has format version 9, this program reads versions 1 and 2"),
        ),
    ]
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::WorkflowList(_) => Reply::WorkflowList(Box::new(WorkflowEntries { items: workflow_entries() })),
        Request::WorkflowLoad(ask) => {
            let mut document = workflow();
            document.name.clone_from(&ask.name);
            let json = match ask.name.as_str() {
                "from-the-future" => "{\"version\": 9, \"name\": \"x\"}".to_owned(),
                "breast-cancer" | "churn" => document.to_json(),
                other => {
                    return Some(
                        Err(Failure::new(Code::NotFound, format!("there is no workflow {other:?}")).on(other)),
                    );
                }
            };
            Reply::WorkflowLoad(Box::new(WorkflowDoc { name: ask.name.clone(), json, revision: 3, draft: None }))
        }
        Request::WorkflowSave(ask) => Reply::WorkflowSave(Box::new(WorkflowSaved {
            revision: ask.expected.unwrap_or(3) + 1,
            saved_at_millis: NOW_MILLIS,
        })),
        Request::WorkflowDraft(_) => Reply::WorkflowDraft(Box::new(Done {})),
        Request::WorkflowDiscard(_) => Reply::WorkflowDiscard(Box::new(Done {})),
        Request::WorkflowRename(_) => Reply::WorkflowRename(Box::new(Done {})),
        Request::WorkflowDelete(_) => Reply::WorkflowDelete(Box::new(Done {})),
        Request::WorkflowExport(_) => Reply::WorkflowExport(Box::new(Done {})),
        Request::WorkflowImport(_) => {
            let mut document = workflow();
            document.name = "imported".to_owned();
            Reply::WorkflowImport(Box::new(WorkflowDoc {
                name: "imported".to_owned(),
                json: document.to_json(),
                revision: 1,
                draft: None,
            }))
        }
        Request::WorkflowInspect(ask) => Reply::WorkflowInspect(Box::new(inspection(&ask.json))),
        Request::WorkflowPreview(ask) => {
            let workflow = match Workflow::from_json(&ask.json) {
                Ok(workflow) => workflow,
                Err(failure) => return Some(Err(failure)),
            };
            let found = workflow.node(&ask.node).map(|node| preview(node, ask.offset, ask.limit));
            Reply::WorkflowPreview(Box::new(found.unwrap_or(Preview::NotYet {})))
        }
        Request::WorkflowStarter(ask) => {
            let mut document = workflow();
            document.name = "starter".to_owned();
            document.nodes[0].params.insert("path".to_owned(), json!(ask.path));
            Reply::WorkflowStarter(Box::new(WorkflowDoc {
                name: "starter".to_owned(),
                json: document.to_json(),
                revision: 1,
                draft: None,
            }))
        }
        Request::Pick(ask) => {
            let path =
                if ask.extensions.contains(&"json".to_owned()) { "/home/ada/flow.json" } else { "/home/ada/iris.csv" };
            Reply::Pick(Box::new(Picked { paths: vec![path.to_owned()] }))
        }
        _ => return None,
    };
    Some(Ok(reply))
}

//! A workflow that is ready to run, made for a table and a target.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use athanor_protocol::{
    Code, Failure,
    api::{WorkflowDoc, WorkflowLoad, WorkflowSave, WorkflowStarter},
    catalogue::{Catalogue, NodeKind},
    check::check,
    columns::Frame,
    names::check_model_name,
    network::ModelSpec,
    table::{DataSource, DataType},
    workflow::{Endpoint, Link, Node, Workflow},
};
use serde_json::{Value, json};

use super::{Shared, names, workflow_list, workflow_load, workflow_save};
use crate::error::Result;

/// Rows that are looked at to tell what kind of thing the target is.
const LOOK_ROWS: usize = 5_000;
/// Whole numbers with at most so many different values are classes, as training sees it.
const MAX_CLASSES: usize = 20;
/// Between nodes, in points.
const STEP: f32 = 220.0;

pub(in crate::desk) fn workflow_starter(desk: Shared<'_>, ask: WorkflowStarter) -> Result<WorkflowDoc, Failure> {
    let workspace = desk.workspace()?;
    let catalogue = Catalogue::builtin();
    let learner = catalogue.kind(&ask.learner).filter(|kind| kind.id.starts_with("train.")).ok_or_else(|| {
        let known: Vec<&str> =
            catalogue.kinds.iter().map(|kind| kind.id.as_str()).filter(|id| id.starts_with("train.")).collect();
        Failure::new(Code::InvalidArgument, format!("{:?} is no learner", ask.learner))
            .on(ask.learner.clone())
            .hint(format!("there are {}", known.join(", ")))
    })?;
    if let Some(name) = &ask.register_as {
        let wrong = |err: athanor_protocol::names::NameError| Failure::new(Code::InvalidArgument, err.to_string());
        check_model_name(name).map_err(|err| wrong(err).on(name.clone()))?;
    }
    let share = |what: &str, value: f64| {
        if (0.0..=0.9).contains(&value) {
            return Ok(());
        }
        Err(Failure::new(Code::InvalidArgument, format!("the {what} share is {value}, it must be from 0 to 0.9")))
    };
    share("test", ask.test)?;
    share("validation", ask.valid)?;
    if ask.test + ask.valid >= 1.0 {
        return Err(
            Failure::new(Code::InvalidArgument, "the shares leave no rows to train on").hint("make them smaller")
        );
    }
    let path = std::path::absolute(&ask.path).unwrap_or_else(|_| Path::new(&ask.path).to_owned());
    let path = path.display().to_string();
    let dataset = athanor_datasets::open(&DataSource::file(path.clone()))?;
    let Some(target) = dataset.schema().column(&ask.target).cloned() else {
        let there: Vec<&str> = dataset.schema().columns.iter().take(12).map(|column| column.name.as_str()).collect();
        return Err(Failure::new(Code::NotFound, format!("{:?} has no column {:?}", dataset.name(), ask.target))
            .on(ask.target.clone())
            .hint(format!("its columns begin with {}", there.join(", "))));
    };
    let is_classes = match target.dtype {
        DataType::Text | DataType::Bool => true,
        DataType::Int => n_distinct(&dataset.head(LOOK_ROWS)?, &ask.target) <= MAX_CLASSES,
        _ => false,
    };
    let n_features = dataset.schema().columns.len().saturating_sub(1);
    let learner_params = learner_params(learner, &ask, n_features)?;

    let stem = Path::new(&path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let taken: BTreeSet<String> =
        workflow_list(desk, Default::default())?.items.into_iter().map(|item| item.name).collect();
    let name = names::unused(&stem, &|name| taken.contains(name));
    let workflow = build(&name, &path, &ask, is_classes, learner_params);
    let problems = check(&workflow, &catalogue);
    if let Some(problem) = problems.first() {
        return Err(Failure::new(Code::Internal, format!("the workflow for {stem:?} would be wrong: {problem}")));
    }
    drop(workspace);
    workflow_save(desk, WorkflowSave { name: name.clone(), json: workflow.to_json(), expected: None })?;
    workflow_load(desk, WorkflowLoad { name })
}

fn n_distinct(head: &Frame, column: &str) -> usize {
    let Some(column) = head.column(column) else { return 0 };
    let labels: BTreeSet<_> = (0..head.n_rows()).filter_map(|row| column.data.label(row)).collect();
    labels.len()
}

/// What the learner needs to be told besides its defaults.
fn learner_params(
    learner: &NodeKind,
    ask: &WorkflowStarter,
    n_features: usize,
) -> Result<BTreeMap<String, Value>, Failure> {
    let mut params = BTreeMap::from([("target".to_owned(), json!(ask.target))]);
    if learner.param("patience").is_some() && ask.valid == 0.0 {
        // Early stopping is told by validation rows.
        params.insert("patience".to_owned(), json!(0));
    }
    if learner.param("network").is_some() {
        let network = serde_json::to_value(ModelSpec::mlp(&[64, 32], 0.0)).unwrap_or_default();
        params.insert("network".to_owned(), network);
    }
    if learner.param("image").is_some() {
        let side = n_features.isqrt();
        if side * side != n_features || side == 0 {
            let message = format!("{n_features} columns besides {:?} are no square image", ask.target);
            return Err(Failure::new(Code::InvalidArgument, message)
                .on(ask.path.clone())
                .hint("choose another learner, or draw the workflow and set the image's size yourself"));
        }
        params.insert("image".to_owned(), json!([1, side, side]));
    }
    Ok(params)
}

fn build(
    name: &str,
    path: &str,
    ask: &WorkflowStarter,
    is_classes: bool,
    learner_params: BTreeMap<String, Value>,
) -> Workflow {
    let mut workflow = Workflow::empty(name);
    workflow.description = format!("Predicts {}.", ask.target);
    let mut add = |id: &str, kind: &str, (column, row): (f32, f32), params: BTreeMap<String, Value>| {
        let position = Some([column * STEP, row]);
        let (title, note) = (String::new(), String::new());
        workflow.nodes.push(Node { id: id.to_owned(), kind: kind.to_owned(), title, params, position, note });
    };
    add("table", "table.open", (0.0, 0.0), [("path".to_owned(), json!(path))].into());
    let mut split = BTreeMap::from([("valid".to_owned(), json!(ask.valid)), ("test".to_owned(), json!(ask.test))]);
    if is_classes {
        split.insert("stratify".to_owned(), json!(ask.target));
    }
    add("split", "split", (1.0, 0.0), split);
    add("train", &ask.learner, (2.0, 0.0), learner_params);
    if ask.test > 0.0 {
        add("evaluate", "evaluate", (3.0, 60.0), BTreeMap::new());
    }
    if let Some(model) = &ask.register_as {
        let params = [("name".to_owned(), json!(model)), ("alias".to_owned(), json!("production"))].into();
        add("register", "register", (3.0, -60.0), params);
    }
    let mut link = |from: (&str, &str), to: (&str, &str)| {
        let end = |(node, port): (&str, &str)| Endpoint { node: node.to_owned(), port: port.to_owned() };
        workflow.links.push(Link { from: end(from), to: end(to) });
    };
    link(("table", "table"), ("split", "table"));
    link(("split", "splits"), ("train", "splits"));
    if ask.test > 0.0 {
        link(("train", "model"), ("evaluate", "model"));
        link(("split", "splits"), ("evaluate", "splits"));
    }
    if ask.register_as.is_some() {
        link(("train", "model"), ("register", "model"));
    }
    workflow
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::desk::test_desk::{TestDesk, ask};

    fn starter(path: &Path, target: &str, learner: &str) -> WorkflowStarter {
        WorkflowStarter {
            path: path.display().to_string(),
            target: target.into(),
            learner: learner.into(),
            register_as: Some("m".into()),
            test: 0.2,
            valid: 0.1,
        }
    }

    #[test]
    fn every_learner_gets_a_workflow_that_could_run() {
        let test = TestDesk::open();
        let table = test.path("pixels.csv");
        let rows: String = (0..60).map(|n| format!("{n},{},{},{},{}.5,c{}\n", n % 3, n * 7 % 5, n, n, n % 2)).collect();
        std::fs::write(&table, format!("a,b,c,d,y,class\n{rows}")).unwrap();
        for kind in Catalogue::builtin().kinds.iter().filter(|kind| kind.id.starts_with("train.")) {
            let (target, stratified) = if kind.id == "train.mlp" { ("y", false) } else { ("class", true) };
            let found = ask(&test.desk, starter(&table, target, &kind.id));
            if kind.id == "train.cnn" {
                assert_eq!(found.unwrap_err().code, Code::InvalidArgument, "five columns are no square");
                continue;
            }
            let doc = found.unwrap();
            let workflow = Workflow::from_json(&doc.json).unwrap();
            assert_eq!(check(&workflow, &Catalogue::builtin()), [], "{}", kind.id);
            assert_eq!(workflow.node("split").unwrap().params.contains_key("stratify"), stratified, "{}", kind.id);
            assert_eq!((doc.revision, doc.draft, workflow.name), (1, None, doc.name));
        }
    }

    #[test]
    fn what_cannot_be_is_said_before_anything_is_saved() {
        let test = TestDesk::open();
        let table = test.path("t.csv");
        std::fs::write(&table, "a,b\n1,2\n3,4\n").unwrap();
        let good = || starter(&table, "b", "train.trees");
        let code = |starter: WorkflowStarter| ask(&test.desk, starter).unwrap_err().code;
        assert_eq!(code(WorkflowStarter { target: "z".into(), ..good() }), Code::NotFound);
        assert_eq!(code(WorkflowStarter { path: "/nowhere.csv".into(), ..good() }), Code::NotFound);
        assert_eq!(code(WorkflowStarter { learner: "split".into(), ..good() }), Code::InvalidArgument);
        assert_eq!(code(WorkflowStarter { register_as: Some("../x".into()), ..good() }), Code::InvalidArgument);
        assert_eq!(code(WorkflowStarter { test: 0.6, valid: 0.6, ..good() }), Code::InvalidArgument);
        assert_eq!(code(WorkflowStarter { test: f64::NAN, ..good() }), Code::InvalidArgument);
        assert_eq!(workflow_list(&test.desk, Default::default()).unwrap().items.len(), 0);
        let doc = ask(&test.desk, WorkflowStarter { test: 0.0, valid: 0.0, register_as: None, ..good() }).unwrap();
        let workflow = Workflow::from_json(&doc.json).unwrap();
        assert_eq!(workflow.nodes.len(), 3, "nothing is judged without test rows");
        assert_eq!(workflow.node("train").unwrap().params["patience"], json!(0));
    }
}

//! The sample workspace: real tables, and a workflow for each that is ready to run.

use std::{path::Path, sync::Arc};

use athanor_protocol::{
    Failure,
    api::{DataAdd, WorkspaceInfo, WorkspaceSample},
    workflow::Workflow,
};
use serde_json::Value;

use super::{super::data, Desk, workspace::enter};
use crate::{EngineError, desk::flow, files};

const FOLDER: &str = "Athanor sample";

/// Name, table and workflow of each sample.
const SAMPLES: [(&str, &[u8], &str); 4] = [
    (
        "digits",
        include_bytes!("../../../../datasets/samples/digits.csv"),
        include_str!("../../../../datasets/samples/workflows/digits.json"),
    ),
    (
        "diabetes",
        include_bytes!("../../../../datasets/samples/diabetes.csv"),
        include_str!("../../../../datasets/samples/workflows/diabetes.json"),
    ),
    (
        "wine",
        include_bytes!("../../../../datasets/samples/wine.csv"),
        include_str!("../../../../datasets/samples/workflows/wine.json"),
    ),
    (
        "breast_cancer",
        include_bytes!("../../../../datasets/samples/breast_cancer.csv"),
        include_str!("../../../../datasets/samples/workflows/breast_cancer.json"),
    ),
];

pub(in crate::desk) fn workspace_sample(desk: &Arc<Desk>, _: WorkspaceSample) -> Result<WorkspaceInfo, Failure> {
    let root = desk.options.default_folder.join(FOLDER);
    let info = enter(desk, &root, true)?;
    if info.read_only {
        return Ok(info);
    }
    let root = Path::new(&info.path);
    for (name, table, workflow) in SAMPLES {
        let path = root.join("data").join(format!("{name}.csv"));
        // What is there stays: perhaps somebody works with it.
        if !path.exists() {
            files::write_atomic(&path, table).map_err(EngineError::into_failure)?;
            data::data_add(desk, DataAdd { path: path.display().to_string() })?;
        }
        let mut workflow = Workflow::from_json(workflow)?;
        name.clone_into(&mut workflow.name);
        for node in workflow.nodes.iter_mut().filter(|node| node.kind == "table.open") {
            node.params.insert("path".to_owned(), Value::from(path.display().to_string()));
        }
        flow::save_if_missing(desk, name, &workflow.to_json())?;
    }
    Ok(info)
}

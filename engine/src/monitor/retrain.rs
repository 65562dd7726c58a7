//! From an alert to a run on newer data: the workflow that made the model, with its table replaced.

use std::path::{Path, PathBuf};

use athanor_datasets::TableWriter;
use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
    monitor::Alert,
    signature::ModelSignature,
    table::DataType,
};
use serde_json::{Map, Value};

use super::capture::{self, Joined};
use crate::{
    error::{EngineError, IoContext, Result},
    files, registry,
    workspace::Workspace,
};

/// Rows with truth below which no table is made of them.
const MIN_ROWS: usize = 50;
/// The kind of node that opens a table.
const OPEN: &str = "table.open";

/// A run that is ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The alert that it answers.
    pub alert: u64,
    /// The model.
    pub model: String,
    /// The workflow file, in the workspace.
    pub workflow: PathBuf,
    /// What the file holds.
    pub document: String,
    /// The table that it opens.
    pub table: PathBuf,
    /// Rows of the table, where it was made of captured requests.
    pub n_rows: Option<usize>,
}

fn refuse(code: Code, message: String, hint: &str) -> EngineError {
    EngineError::Failure(Failure::new(code, message).hint(hint))
}

/// Prepares a run on `table`, or on the captured rows whose truth is known: the workflow that made the alert's version,
/// with its one table replaced, as a file in the workspace.
///
/// # Errors
/// If the version was made by no run of this workspace, its workflow opens several tables, or too few truths are known.
pub fn prepare(workspace: &Workspace, alert: &Alert, table: Option<&Path>) -> Result<Prepared> {
    let subject = format!("{}:{}", alert.model, alert.model_version);
    let version = registry::resolve(workspace, &subject)?;
    let Some(run) = &version.run_id else {
        let message = format!("{subject} was imported: the workflow that made it is not here");
        return Err(refuse(Code::Conflict, message, "train a new version with a workflow of this workspace"));
    };
    let detail = workspace.store.run(run)?;
    let name = format!("retrain-{}", alert.id);
    let (table, n_rows) = match table {
        Some(table) => {
            let table = std::path::absolute(table).at("find", table)?;
            std::fs::metadata(&table).at("open", &table)?;
            (table, None)
        }
        None => {
            let matched = capture::matched(workspace.root(), &alert.model)?;
            let n = matched.rows.len();
            if n < MIN_ROWS {
                let message = format!("{n} captured rows of {:?} have a truth; a table needs {MIN_ROWS}", alert.model);
                let hint = "choose a newer table (--table), or capture more and send truths to the feedback route";
                return Err(refuse(Code::Conflict, message, hint));
            }
            let path = workspace.root().join("data").join(format!("{name}.parquet"));
            write_table(&path, &matched.rows, &version.signature)?;
            (path, Some(n))
        }
    };
    let document = replaced(&detail.workflow_json, &table, &subject)?;
    let path = workspace.root().join("workflows").join(format!("{name}.json"));
    files::write_atomic(&path, document.as_bytes())?;
    let told = serde_json::json!({ "model": subject, "run": run.as_str(), "rows": n_rows });
    registry::audit(workspace, "alert.retrain", &alert.id.to_string(), told)?;
    Ok(Prepared { alert: alert.id, model: alert.model.clone(), workflow: path, document, table, n_rows })
}

/// The workflow with its one table replaced.
fn replaced(document: &str, table: &Path, subject: &str) -> Result<String> {
    let unreadable =
        |why: &str| EngineError::new(Code::Corrupt, format!("the workflow of {subject} is damaged: {why}"));
    let mut document: Value = serde_json::from_str(document).map_err(|err| unreadable(&err.to_string()))?;
    let nodes = document.get_mut("nodes").and_then(Value::as_array_mut).ok_or_else(|| unreadable("it has no nodes"))?;
    let mut opens: Vec<&mut Value> =
        nodes.iter_mut().filter(|node| node.get("kind").and_then(Value::as_str) == Some(OPEN)).collect();
    let [open] = opens.as_mut_slice() else {
        let message =
            format!("the workflow of {subject} opens {} tables; which one is newer is not known", opens.len());
        return Err(refuse(Code::Conflict, message, "change the table in the workflow itself and run it"));
    };
    let path = table.to_str().ok_or_else(|| unreadable("the table's path is no text"))?;
    let params = open
        .as_object_mut()
        .and_then(|node| node.entry("params").or_insert_with(|| Value::Object(Map::new())).as_object_mut());
    let params = params.ok_or_else(|| unreadable("its table has no parameters"))?;
    // How the old file was to be read says nothing of the new one.
    *params = Map::from_iter([("path".to_owned(), Value::String(path.to_owned()))]);
    serde_json::to_string_pretty(&document).map_err(|err| unreadable(&err.to_string()))
}

/// Writes rows with their truth as a table: the model's columns in their types, then the target.
fn write_table(path: &Path, rows: &[Joined], signature: &ModelSignature) -> Result<()> {
    let mut columns: Vec<Column> = vec![];
    for input in &signature.inputs {
        let values = || rows.iter().map(|joined| joined.row.get(&input.name));
        let name = input.name.as_str();
        if values().all(|value| value.is_none()) {
            let message = format!("column {name:?} was redacted, so captured rows cannot train the model");
            return Err(refuse(Code::Conflict, message, "choose a newer table (--table)"));
        }
        columns.push(Column { name: name.into(), data: column(values(), input.dtype) });
    }
    let truths = || rows.iter().map(|joined| Some(&joined.truth));
    let dtype = if signature.task.is_classification() { DataType::Text } else { DataType::Float };
    columns.push(Column { name: signature.target.as_str().into(), data: column(truths(), dtype) });
    let frame = Frame::new(columns).map_err(|err| EngineError::new(Code::Internal, err.to_string()))?;
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).at("create", folder)?;
    let mut writer = TableWriter::create(path)?;
    writer.write(&frame)?;
    writer.finish()?;
    Ok(())
}

fn column<'a>(values: impl Iterator<Item = Option<&'a Value>>, dtype: DataType) -> ColumnData {
    match dtype {
        DataType::Float => {
            ColumnData::Float(values.map(|value| value.and_then(Value::as_f64).unwrap_or(f64::NAN)).collect())
        }
        DataType::Int => ColumnData::Int(values.map(|value| value.and_then(Value::as_i64)).collect()),
        DataType::Bool => ColumnData::Bool(values.map(|value| value.and_then(Value::as_bool)).collect()),
        DataType::Date | DataType::Datetime => {
            ColumnData::Datetime(values.map(|value| value.and_then(Value::as_str).and_then(capture::micros)).collect())
        }
        _ => ColumnData::Text(values.map(|value| value.and_then(Value::as_str).map(Into::into)).collect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_one_table_is_replaced() {
        let one = r#"{"version":2,"name":"w","nodes":[{"id":"open","kind":"table.open","params":{"path":"a.csv",
            "separator":";"}},{"id":"split","kind":"split","params":{"stratify":"y"}}],"links":[]}"#;
        let document: Value =
            serde_json::from_str(&replaced(one, Path::new("/data/b.parquet"), "m:1").unwrap()).unwrap();
        assert_eq!(document["nodes"][0]["params"], serde_json::json!({ "path": "/data/b.parquet" }));
        assert_eq!(document["nodes"][1]["params"]["stratify"], "y");
        let two = r#"{"nodes":[{"kind":"table.open"},{"kind":"table.open"}]}"#;
        assert_eq!(replaced(two, Path::new("b"), "m:1").unwrap_err().code(), Code::Conflict);
        assert_eq!(replaced("{}", Path::new("b"), "m:1").unwrap_err().code(), Code::Corrupt);
        assert_eq!(replaced("x", Path::new("b"), "m:1").unwrap_err().code(), Code::Corrupt);
    }
}

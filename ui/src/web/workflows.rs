//! Workflow files of the browser's machine. The engine is on another one, so they are read and written here.

use std::cell::RefCell;

use athanor_protocol::{
    Code, Failure,
    api::{Done, Pick, PickKind, WorkflowDoc, WorkflowExport, WorkflowLoad, WorkflowSave},
    workflow::Workflow,
};

use super::{files, http::HttpClient, saves};

/// Dialogs for workflows name them so.
const FILTER: &str = "Workflows";
/// Bytes of a workflow file.
const MAX_BYTES: u64 = 16 << 20;
/// Names that are tried for an imported workflow.
const MAX_NAMES: u32 = 100;

thread_local! {
    /// The file that was chosen last: its name and its text.
    static CHOSEN: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Answers a dialog for a workflow file: its name, or none where it was closed. `None` where another dialog is meant.
///
/// # Errors
/// If the file cannot be read.
pub(super) async fn pick(ask: &Pick) -> Result<Option<Option<String>>, Failure> {
    if ask.filter_name != FILTER || ask.kind != PickKind::Open {
        return Ok(None);
    }
    let Some(file) = files::choose(ask).await?.into_iter().next() else { return Ok(Some(None)) };
    let text = files::text(&file, MAX_BYTES).await?;
    CHOSEN.replace(Some((file.name(), text)));
    Ok(Some(Some(saves::here(&file.name()))))
}

/// Saves the chosen file's workflow in the workspace, under a name that is free.
///
/// # Errors
/// If it is no workflow, or the engine refuses it.
pub(super) async fn import(client: &HttpClient, path: &str) -> Result<WorkflowDoc, Failure> {
    let (file, text) =
        CHOSEN.take().ok_or_else(|| Failure::new(Code::NotFound, "no file was chosen").hint("choose it again"))?;
    let named = |failure: Failure| Failure { message: format!("{file}: {}", failure.message), ..failure }.on(path);
    let mut workflow = Workflow::from_json(&text).map_err(named)?;
    let stem = file.trim_end_matches(".json").to_owned();
    let wish = if workflow.name.trim().is_empty() { stem } else { workflow.name.clone() };
    for at in 1..=MAX_NAMES {
        let name = if at == 1 { wish.clone() } else { format!("{wish}-{at}") };
        workflow.name.clone_from(&name);
        // Revision 0: only where there is none of this name.
        let save = WorkflowSave { name: name.clone(), json: workflow.to_json(), expected: Some(0) };
        match client.ask(save).await {
            Ok(_) => return client.ask(WorkflowLoad { name }).await,
            Err(failure) if failure.code == Code::Conflict => {}
            Err(failure) => return Err(named(failure)),
        }
    }
    Err(Failure::new(Code::Conflict, format!("{wish} and {MAX_NAMES} names like it are taken"))
        .hint("rename one of them"))
}

/// Gives the workflow to the browser as a download.
///
/// # Errors
/// If the browser makes no file.
pub(super) fn export(ask: &WorkflowExport) -> Result<Done, Failure> {
    saves::give(saves::name_of(&ask.path), "application/json", &ask.json.as_str().into())
}

//! Workflow files of the browser's machine. The engine is on another one, so they are read and written here.

use std::cell::RefCell;

use athanor_protocol::{
    Code, Failure,
    api::{Done, Pick, PickKind, WorkflowDoc, WorkflowExport, WorkflowLoad, WorkflowSave},
    workflow::Workflow,
};
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::{files, http::HttpClient, page};

/// What stands before the name of a file on the browser's machine.
const HERE: &str = "this-browser:";
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

/// Whether the file is on the browser's machine.
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with(HERE)
}

/// Answers a dialog for a workflow file: its name, or none where it was closed. `None` where another dialog is meant.
///
/// # Errors
/// If the file cannot be read.
pub(super) async fn pick(ask: &Pick) -> Result<Option<Option<String>>, Failure> {
    if ask.filter_name != FILTER {
        return Ok(None);
    }
    if ask.kind == PickKind::Save {
        return Ok(Some(Some(format!("{HERE}{}", ask.file_name))));
    }
    let Some(file) = files::choose(ask).await?.into_iter().next() else { return Ok(Some(None)) };
    let text = files::text(&file, MAX_BYTES).await?;
    CHOSEN.replace(Some((file.name(), text)));
    Ok(Some(Some(format!("{HERE}{}", file.name()))))
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
    let name = ask.path.trim_start_matches(HERE);
    download(name, &ask.json).map_err(|error| {
        Failure::new(Code::Unavailable, format!("the browser saves no file: {}", page::text_of(&error))).on(name)
    })?;
    Ok(Done {})
}

fn download(name: &str, text: &str) -> Result<(), JsValue> {
    let kind = BlobPropertyBag::new();
    kind.set_type("application/json");
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &kind)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let document = page::window()?.document().ok_or("there is no page")?;
    let link: HtmlAnchorElement = document.create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&url)
}

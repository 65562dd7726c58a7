//! Files that are saved on the browser's machine. The engine is on another one: it sends them in pieces, and the browser
//! gets them as one download.

use athanor_protocol::{
    Code, Failure,
    api::{Done, FileRead, FileWanted, ModelExport, Pick, PickKind, RunSaveArtifact},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::{http::HttpClient, page};
use crate::wire;

/// Dialogs for tables that the engine writes name them so: those stay where the engine is.
const OF_ENGINE: &str = "Tables";
/// Largest file that is put together in the page's memory.
const MAX_BYTES: u64 = 1 << 30;

/// The path of a file on the browser's machine.
pub(super) fn here(name: &str) -> String {
    format!("{}{name}", wire::IN_BROWSER)
}

/// Whether the file is on the browser's machine.
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with(wire::IN_BROWSER)
}

/// The name of a file on the browser's machine.
pub(super) fn name_of(path: &str) -> &str {
    wire::shown_path(path)
}

/// Answers a dialog for saving a file here; `None` where another dialog is meant. Where the file goes, the browser asks.
pub(super) fn pick(ask: &Pick) -> Option<String> {
    (ask.kind == PickKind::Save && ask.filter_name != OF_ENGINE).then(|| here(&ask.file_name))
}

/// Saves a file of a run.
///
/// # Errors
/// If the engine refuses it, or the browser makes no file.
pub(super) async fn artifact(client: &HttpClient, ask: &RunSaveArtifact) -> Result<Done, Failure> {
    let file = FileWanted::Artifact { run: ask.run.clone(), name: ask.name.clone() };
    fetch(client, file, name_of(&ask.path)).await
}

/// Saves a model's package.
///
/// # Errors
/// If the engine refuses it, or the browser makes no file.
pub(super) async fn package(client: &HttpClient, ask: &ModelExport) -> Result<Done, Failure> {
    let file = FileWanted::Package { model: ask.model.clone(), version: ask.version };
    fetch(client, file, name_of(&ask.path)).await
}

async fn fetch(client: &HttpClient, file: FileWanted, name: &str) -> Result<Done, Failure> {
    let pieces = Array::new();
    let mut offset = 0;
    loop {
        let piece = client.ask(FileRead { file: file.clone(), offset }).await?;
        if piece.n_bytes > MAX_BYTES {
            let message = format!("{name} has {} bytes; a browser is given at most {MAX_BYTES}", piece.n_bytes);
            let failure = Failure::new(Code::TooLarge, message).on(name);
            return Err(failure.hint("save it where the engine runs"));
        }
        let bytes = STANDARD.decode(&piece.base64).map_err(|error| {
            Failure::new(Code::Internal, format!("a piece of {name} cannot be read: {error}")).on(name)
        })?;
        offset += bytes.len() as u64;
        pieces.push(&Uint8Array::from(bytes.as_slice()));
        if offset >= piece.n_bytes || bytes.is_empty() {
            break;
        }
    }
    give(name, "application/octet-stream", &pieces)
}

/// Gives the browser a file: text, or pieces of bytes.
///
/// # Errors
/// If the browser makes no file.
pub(super) fn give(name: &str, kind: &str, content: &JsValue) -> Result<Done, Failure> {
    download(name, kind, content).map_err(|error| {
        Failure::new(Code::Unavailable, format!("the browser saves no file: {}", page::text_of(&error))).on(name)
    })?;
    Ok(Done {})
}

fn download(name: &str, kind: &str, content: &JsValue) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let parts = content.dyn_ref::<Array>().cloned().unwrap_or_else(|| Array::of1(content));
    let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let document = page::window()?.document().ok_or("there is no page")?;
    let link: HtmlAnchorElement = document.create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&url)
}

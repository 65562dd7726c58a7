//! Files of the browser's machine: chosen by the user, sent to the engine in pieces.

use athanor_protocol::{
    Code, Failure,
    api::{Ask, DataUpload, Pick},
};
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlInputElement};

use super::page;
use crate::{uploads, wire};

async fn read(file: &File, from: u64, to: u64) -> Result<Vec<u8>, JsValue> {
    let part = file.slice_with_f64_and_f64(from as f64, to as f64)?;
    Ok(Uint8Array::new(&JsFuture::from(part.array_buffer()).await?).to_vec())
}

/// A file's text, where it has no more than so many bytes.
pub(super) async fn text(file: &File, most: u64) -> Result<String, Failure> {
    let name = file.name();
    let n_bytes = file.size() as u64;
    if n_bytes > most {
        let message = format!("{name} has {n_bytes} bytes; at most {most} are taken");
        return Err(Failure::new(Code::TooLarge, message).on(&name));
    }
    let bytes = read(file, 0, n_bytes).await.map_err(|error| {
        let why = page::text_of(&error);
        Failure::new(Code::Unavailable, format!("cannot read {name}: {why}")).on(&name)
    })?;
    String::from_utf8(bytes).map_err(|_| Failure::new(Code::InvalidArgument, format!("{name} is no text")).on(&name))
}

/// Sends a file through `call`, piece by piece; its path there. `tell` hears how far it is: bytes sent, and in all.
pub(super) async fn upload(
    file: &File,
    token: &str,
    call: impl AsyncFn(DataUpload) -> Result<<DataUpload as Ask>::Answer, Failure>,
    tell: impl Fn(u64, u64),
) -> Result<String, Failure> {
    // A file's size is a whole number below 2^53.
    let (name, n_bytes) = (file.name(), file.size() as u64);
    let mut entry = None;
    for (from, to) in wire::pieces(n_bytes) {
        let bytes = read(file, from, to).await.map_err(|error| {
            let why = page::text_of(&error);
            Failure::new(Code::Unavailable, format!("cannot read the file: {why}")).on(&name)
        })?;
        if uploads::take_cancelled(&uploads::token(token)) {
            return Err(Failure::new(Code::Cancelled, format!("{name} was not sent: you stopped it")).on(&name));
        }
        tell(from, n_bytes);
        entry = call(wire::piece(&name, token, from, &bytes, to == n_bytes)).await?.entry;
    }
    let missing = || Failure::new(Code::Internal, "the file was sent, but its place was not told").on(&name);
    entry.map(|entry| entry.path).ok_or_else(missing)
}

/// A name for the pieces of one file.
pub(super) fn token() -> String {
    let random = || format!("{:08x}", (js_sys::Math::random() * f64::from(u32::MAX)) as u32);
    random() + &random()
}

/// Lets the user choose files; none where the dialog was closed.
pub(super) async fn choose(ask: &Pick) -> Result<Vec<File>, Failure> {
    let failed = |error: JsValue| {
        Failure::new(Code::Unavailable, format!("the browser shows no dialog: {}", page::text_of(&error)))
            .hint("drop the file on the page instead")
    };
    let input = input(ask).map_err(failed)?;
    // The dialog tells by one of two events. The closures stay until then, and both go together.
    let wait = Promise::new(&mut |done, _| {
        let told = Closure::once_into_js(move || done.call0(&JsValue::NULL));
        for event in ["change", "cancel"] {
            // An input takes any listener.
            let _ = input.add_event_listener_with_callback(event, told.unchecked_ref());
        }
    });
    input.click();
    let waited = JsFuture::from(wait).await;
    input.remove();
    waited.map_err(failed)?;
    let files = input.files().map(|files| Array::from(&files)).unwrap_or_default();
    Ok(files.iter().filter_map(|file| file.dyn_into().ok()).collect())
}

fn input(ask: &Pick) -> Result<HtmlInputElement, JsValue> {
    let document = page::window()?.document().ok_or("there is no page")?;
    let input: HtmlInputElement = document.create_element("input")?.unchecked_into();
    input.set_type("file");
    input.set_multiple(ask.multiple);
    input.set_hidden(true);
    let accept: Vec<String> = ask.extensions.iter().map(|ending| format!(".{ending}")).collect();
    input.set_accept(&accept.join(","));
    document.body().ok_or("the page has no body")?.append_child(&input)?;
    Ok(input)
}

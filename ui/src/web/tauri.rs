//! The client in the window: Tauri's bridge. Requests are calls of the command `ask`, events come through a channel.

use std::{cell::RefCell, rc::Rc};

use athanor_protocol::{
    Code, Failure,
    api::{Client, Incoming, Link, Reply, Request, RequestId},
};
use js_sys::{Array, ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, prelude::wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::{inbox::Inbox, page};
use crate::wire::{self, Reorder};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["window", "__TAURI_INTERNALS__"])]
    fn invoke(command: &str, arguments: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_namespace = ["window", "__TAURI_INTERNALS__"], js_name = transformCallback)]
    fn transform_callback(callback: &JsValue, once: bool) -> Result<f64, JsValue>;
}

/// Whether the page is in the window.
pub(super) fn is_here() -> bool {
    page::window().is_ok_and(|window| Reflect::has(&window, &"__TAURI_INTERNALS__".into()).unwrap_or(false))
}

/// Reaches the engine in this program.
pub(super) struct TauriClient {
    inbox: Rc<Inbox>,
}

impl TauriClient {
    pub(super) fn new(inbox: Rc<Inbox>) -> Self {
        inbox.link(Link::Connecting);
        let listening = Rc::clone(&inbox);
        spawn_local(async move {
            let link = match listen(&listening).await {
                Ok(()) => Link::Up,
                Err(error) => Link::Down { reason: page::text_of(&error) },
            };
            listening.link(link);
        });
        Self { inbox }
    }
}

impl Client for TauriClient {
    fn send(&mut self, request: Request) -> RequestId {
        let id = self.inbox.next_id();
        let inbox = Rc::clone(&self.inbox);
        spawn_local(async move {
            let result = ask(&request).await;
            inbox.answer(id, result);
        });
        id
    }

    fn poll(&mut self) -> Vec<Incoming> {
        self.inbox.take()
    }
}

async fn ask(request: &Request) -> Result<Reply, Failure> {
    let lost = |error: JsValue| {
        let method = request.method();
        Failure::new(Code::Unavailable, format!("the request {method} got no answer: {}", page::text_of(&error)))
    };
    let text = serde_json::to_string(request)
        .map_err(|error| Failure::new(Code::Internal, format!("the request cannot be written: {error}")))?;
    let arguments = object(&[("request", text.into())]);
    let promise = invoke("ask", &arguments).map_err(lost)?;
    let answer = JsFuture::from(promise).await.map_err(lost)?;
    wire::answer(&bytes_as_text(&answer))
}

/// The answer's bytes. Where the web view lets no bytes through, Tauri hands them over as a list of numbers.
fn bytes_as_text(answer: &JsValue) -> String {
    if let Some(text) = answer.as_string() {
        return text;
    }
    let bytes = if answer.is_instance_of::<ArrayBuffer>() || answer.is_instance_of::<Array>() {
        Uint8Array::new(answer).to_vec()
    } else {
        Vec::new()
    };
    String::from_utf8(bytes).unwrap_or_default()
}

/// Opens the stream of events; returns once it is open.
async fn listen(inbox: &Rc<Inbox>) -> Result<(), JsValue> {
    let inbox = Rc::clone(inbox);
    let order = RefCell::new(Reorder::default());
    let heard = Closure::<dyn Fn(JsValue)>::new(move |message: JsValue| {
        let field = |name: &str| Reflect::get(&message, &name.into()).unwrap_or_default();
        let Some(index) = field("index").as_f64() else { return };
        if field("end").is_truthy() {
            inbox.link(Link::Down { reason: "the program ends".to_owned() });
            return;
        }
        // Long messages take another way than short ones and may be late.
        let text = field("message").as_string().unwrap_or_default();
        for text in order.borrow_mut().put(index as u64, text) {
            wire::events(&text).into_iter().for_each(|event| inbox.event(event));
        }
    });
    let callback = transform_callback(heard.as_ref(), false)?;
    // It is called for as long as there is a page.
    heard.forget();
    let channel = format!("__CHANNEL__:{callback}");
    JsFuture::from(invoke("events", &object(&[("channel", channel.into())]))?).await.map(drop)
}

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A plain object takes any field.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.unchecked_into()
}

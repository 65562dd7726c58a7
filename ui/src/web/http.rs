//! The client in a browser: HTTP calls with the session's cookie, and server-sent events.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use athanor_protocol::{
    Code, Failure,
    api::{Ask, Client, Event, Hello, Incoming, Link, Pick, PickKind, Picked, Reply, Request, RequestId},
};
use js_sys::Promise;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{EventSource, File, Headers, MessageEvent, RequestInit, Response};

use super::{files, inbox::Inbox, page, saves, workflows};
use crate::{uploads, wire};

/// Reaches an engine over HTTP. Clones are the same connection.
#[derive(Clone)]
pub(super) struct HttpClient {
    shared: Rc<Shared>,
}

struct Shared {
    inbox: Rc<Inbox>,
    stream: RefCell<Option<Stream>>,
    /// Tries that failed since the connection was last up.
    attempts: Cell<u32>,
    /// Counts connections: what an old one still says is no longer true.
    current: Cell<u64>,
}

/// An open stream of events, with the functions that it calls.
struct Stream {
    source: EventSource,
    _on_open: Closure<dyn Fn()>,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.set_onopen(None);
        self.source.set_onmessage(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}

/// What a call came to.
enum Called {
    /// There is an answer with this status.
    Answered(u16, String),
    /// There is none; why.
    Lost(String),
}

impl HttpClient {
    pub(super) fn new(inbox: Rc<Inbox>) -> Self {
        let shared = Shared { inbox, stream: RefCell::default(), attempts: Cell::new(0), current: Cell::new(0) };
        let client = Self { shared: Rc::new(shared) };
        client.shared.inbox.link(Link::Connecting);
        // By a question first: a stream of events does not say why it cannot be opened.
        client.try_again();
        client
    }

    /// Sends files that were dropped on the page to the engine, then tells the app as the window would.
    pub(super) fn take_dropped(&self, dropped: Vec<File>) {
        let client = self.clone();
        spawn_local(async move {
            let mut paths = Vec::new();
            for file in dropped {
                match client.upload(&file).await {
                    Ok(path) => paths.push(path),
                    // The app shows failures of requests that it does not wait for.
                    Err(failure) => client.shared.inbox.answer(client.shared.inbox.next_id(), Err(failure)),
                }
            }
            if !paths.is_empty() {
                client.shared.inbox.own_event(Event::FilesDropped { paths });
            }
        });
    }

    async fn upload(&self, file: &File) -> Result<String, Failure> {
        let call = async |piece| self.ask(piece).await;
        let (token, name) = (files::token(), file.name());
        let tell = |done, total| {
            let (token, note) = (uploads::token(&token), name.clone());
            self.shared.inbox.own_event(Event::Progress { token, done, total, note });
        };
        let sent = files::upload(file, &token, call, tell).await;
        // However it ended, it is not on its way any more.
        tell(1, 1);
        sent.map_err(|failure| match failure.subject {
            Some(_) => failure,
            None => failure.on(file.name()),
        })
    }

    /// The browser's dialog instead of the system's: chosen files are sent to the engine, and have a path there.
    async fn pick(&self, ask: &Pick) -> Result<Reply, Failure> {
        if let Some(path) = saves::pick(ask) {
            return Ok(Reply::Pick(Box::new(Picked { paths: vec![path] })));
        }
        if let Some(kept) = workflows::pick(ask).await? {
            let paths = kept.into_iter().collect();
            return Ok(Reply::Pick(Box::new(Picked { paths })));
        }
        if ask.kind != PickKind::Open {
            return self.request(&ask.clone().into()).await;
        }
        let mut paths = Vec::new();
        for file in files::choose(ask).await? {
            paths.push(self.upload(&file).await?);
        }
        Ok(Reply::Pick(Box::new(Picked { paths })))
    }

    pub(super) async fn ask<A: Ask>(&self, ask: A) -> Result<A::Answer, Failure> {
        A::answer(self.request(&ask.into()).await?)
    }

    async fn request(&self, request: &Request) -> Result<Reply, Failure> {
        let text = serde_json::to_string(request)
            .map_err(|error| Failure::new(Code::Internal, format!("the request cannot be written: {error}")))?;
        let method = request.method();
        match post("/api/call", &text).await {
            Called::Answered(401, text) => {
                self.log_out_here();
                Err(failure_in(&text).unwrap_or_else(|| Failure::new(Code::Unauthenticated, "nobody is logged in")))
            }
            Called::Answered(_, text) if text.starts_with('{') => wire::answer(&text),
            Called::Answered(status, _) => {
                Err(Failure::new(Code::Unavailable, format!("the request {method} got the HTTP status {status}")))
            }
            Called::Lost(why) => {
                Err(Failure::new(Code::Unavailable, format!("the request {method} got no answer: {why}")))
            }
        }
    }

    /// Asks whether the engine is there, then opens the stream of events, or waits and asks again.
    fn try_again(&self) {
        let client = self.clone();
        let current = self.shared.current.get() + 1;
        self.shared.current.set(current);
        spawn_local(async move {
            let hello = serde_json::to_string(&Request::from(Hello {})).unwrap_or_default();
            loop {
                let called = post("/api/call", &hello).await;
                if client.shared.current.get() != current {
                    return;
                }
                let reason = match called {
                    Called::Answered(401, _) => return client.log_out_here(),
                    Called::Answered(200..300, _) => return client.open(),
                    Called::Answered(status, _) => format!("the engine answers with the HTTP status {status}"),
                    Called::Lost(why) => why,
                };
                client.shared.inbox.link(Link::Down { reason });
                client.wait().await;
                if client.shared.current.get() != current {
                    return;
                }
            }
        });
    }

    /// Waits before a new try, longer each time.
    async fn wait(&self) {
        let attempt = self.shared.attempts.get();
        self.shared.attempts.set(attempt.saturating_add(1));
        sleep(wire::wait_secs(attempt)).await;
    }

    fn open(&self) {
        let Ok(source) = EventSource::new("/api/events") else {
            self.shared.inbox.link(Link::Down { reason: "this browser knows no server-sent events".to_owned() });
            return;
        };
        let client = self.clone();
        let on_open = Closure::<dyn Fn()>::new(move || {
            client.shared.attempts.set(0);
            client.shared.inbox.link(Link::Up);
        });
        let client = self.clone();
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
            let text = message.data().as_string().unwrap_or_default();
            wire::events(&format!("[{text}]")).into_iter().for_each(|event| client.shared.inbox.event(event));
        });
        let client = self.clone();
        let on_error = Closure::<dyn Fn()>::new(move || {
            // Not the browser's own new try: it would hide how long the engine has been away.
            let client = client.clone();
            spawn_local(async move {
                client.shared.stream.take();
                client.shared.inbox.link(Link::Down { reason: "the connection broke".to_owned() });
                let current = client.shared.current.get();
                client.wait().await;
                if client.shared.current.get() == current {
                    client.try_again();
                }
            });
        });
        source.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        source.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let stream = Stream { source, _on_open: on_open, _on_message: on_message, _on_error: on_error };
        self.shared.stream.replace(Some(stream));
    }

    fn log_out_here(&self) {
        self.shared.current.set(self.shared.current.get() + 1);
        self.shared.stream.take();
        self.shared.attempts.set(0);
        self.shared.inbox.link(Link::LoggedOut);
    }
}

impl Client for HttpClient {
    fn send(&mut self, request: Request) -> RequestId {
        let id = self.shared.inbox.next_id();
        let client = self.clone();
        spawn_local(async move {
            let result = match &request {
                Request::Pick(ask) => client.pick(ask).await,
                Request::WorkflowImport(ask) if saves::is_here(&ask.path) => {
                    workflows::import(&client, &ask.path).await.map(|doc| Reply::WorkflowImport(Box::new(doc)))
                }
                Request::WorkflowExport(ask) if saves::is_here(&ask.path) => {
                    workflows::export(ask).map(|done| Reply::WorkflowExport(Box::new(done)))
                }
                Request::RunSaveArtifact(ask) if saves::is_here(&ask.path) => {
                    saves::artifact(&client, ask).await.map(|done| Reply::RunSaveArtifact(Box::new(done)))
                }
                Request::ModelExport(ask) if saves::is_here(&ask.path) => {
                    saves::package(&client, ask).await.map(|done| Reply::ModelExport(Box::new(done)))
                }
                request => client.request(request).await,
            };
            client.shared.inbox.answer(id, result);
        });
        id
    }

    fn poll(&mut self) -> Vec<Incoming> {
        self.shared.inbox.take()
    }

    fn log_in(&mut self, key: &str) {
        let client = self.clone();
        let body = serde_json::json!({ "key": key }).to_string();
        client.shared.inbox.link(Link::Connecting);
        spawn_local(async move {
            match post("/api/login", &body).await {
                Called::Answered(200..300, _) => client.try_again(),
                Called::Answered(..) => client.log_out_here(),
                Called::Lost(reason) => {
                    client.shared.inbox.link(Link::Down { reason });
                    client.wait().await;
                    client.try_again();
                }
            }
        });
    }

    fn log_out(&mut self) {
        let client = self.clone();
        spawn_local(async move {
            // Where the engine cannot be reached the session ends by itself.
            let _ = post("/api/logout", "{}").await;
            client.log_out_here();
        });
    }
}

fn failure_in(text: &str) -> Option<Failure> {
    text.starts_with('{').then(|| wire::answer(text).err()).flatten()
}

async fn post(path: &str, body: &str) -> Called {
    match try_post(path, body).await {
        Ok((status, text)) => Called::Answered(status, text),
        Err(error) => Called::Lost(format!("the engine cannot be reached ({})", page::text_of(&error))),
    }
}

async fn try_post(path: &str, body: &str) -> Result<(u16, String), JsValue> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    let options = RequestInit::new();
    options.set_method("POST");
    options.set_headers(&headers);
    options.set_body(&JsValue::from_str(body));
    let response = JsFuture::from(page::window()?.fetch_with_str_and_init(path, &options)).await?;
    let response: Response = response.dyn_into()?;
    let text = JsFuture::from(response.text()?).await?;
    Ok((response.status(), text.as_string().unwrap_or_default()))
}

async fn sleep(secs: u32) {
    let millis = i32::try_from(secs.saturating_mul(1000)).unwrap_or(i32::MAX);
    let wait = Promise::new(&mut |done, _| {
        // Without a window there is nobody to wait for.
        let _ = page::window().and_then(|it| it.set_timeout_with_callback_and_timeout_and_arguments_0(&done, millis));
    });
    // It is never refused.
    let _ = JsFuture::from(wait).await;
}

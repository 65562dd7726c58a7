//! What the tests of the page share: an engine that is made up, and a page in front of it without a socket.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    api::{
        DataEntries, DataEntry, Done, Event, EventEnvelope, HelloAnswer, Host, ModelPage, RecentWorkspace, Reply,
        Request, Settings, TableInfo,
    },
    registry::Scope,
};
use athanor_serve::{
    Grant, KeyRefusal,
    site::{Asset, Assets, Site, SiteBackend, SiteConfig, SiteEvents, site_router},
};
use axum::{body::Body, http};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::house::{Answer, Ask, Door, ask as raw};

pub(crate) const COOKIE: &str = "athanor_session_8081";

/// A backend that remembers what it was asked, and says what it is told to.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) revoked: AtomicBool,
    pub(crate) random: AtomicU64,
    pub(crate) events: Arc<(Mutex<Vec<EventEnvelope>>, Condvar)>,
    pub(crate) door: Option<Arc<Door>>,
}

impl Fake {
    pub(crate) fn publish(&self, seqs: std::ops::RangeInclusive<u64>) {
        let events = seqs.map(|seq| EventEnvelope { seq, event: Event::KeysChanged {} });
        self.events.0.lock().unwrap().extend(events);
        self.events.1.notify_all();
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) fn grant(id: &str) -> Result<Grant, KeyRefusal> {
    let scopes = match id {
        "admin" => vec![Scope::Admin],
        "look" => vec![Scope::Predict],
        "nothing" => vec![],
        "expired" => return Err(KeyRefusal::Expired),
        "away" => return Err(KeyRefusal::Unavailable),
        _ => return Err(KeyRefusal::Unknown),
    };
    Ok(Grant { key_id: id.to_owned(), scopes })
}

impl SiteBackend for Fake {
    fn log_in(&self, key: &str) -> Result<Grant, KeyRefusal> {
        grant(key.strip_prefix("ath_").ok_or(KeyRefusal::Unknown)?)
    }

    fn still(&self, key_id: &str) -> Result<Grant, KeyRefusal> {
        if self.revoked.load(Ordering::SeqCst) { Err(KeyRefusal::Revoked) } else { grant(key_id) }
    }

    fn handle(&self, request: Request, _: &Grant) -> Result<Reply, Failure> {
        self.asked.lock().unwrap().push(request.method().to_owned());
        match request {
            Request::Hello(_) => Ok(Reply::Hello(Box::new(HelloAnswer {
                version: "1".to_owned(),
                host: Host::Desktop,
                workspace: None,
                recent: vec![RecentWorkspace {
                    name: "other".to_owned(),
                    path: "/home/somebody/other".to_owned(),
                    opened_at_millis: 0,
                    exists: true,
                }],
                settings: Settings::default(),
                default_folder: String::new(),
                seq: 7,
                may_change: true,
            }))),
            Request::DataList(_) => {
                let entry = DataEntry {
                    name: "known.csv".to_owned(),
                    path: "/data/known.csv".to_owned(),
                    n_bytes: Some(1),
                    modified_at_millis: None,
                    added_at_millis: 0,
                    in_workspace: true,
                };
                Ok(Reply::DataList(Box::new(DataEntries { items: vec![entry] })))
            }
            Request::DataOpen(ask) => Ok(Reply::DataOpen(Box::new(TableInfo {
                name: ask.source.path.clone(),
                columns: vec![],
                n_rows: None,
                n_bytes: 1,
                notes: vec![],
            }))),
            Request::ModelList(_) => {
                if let Some(door) = &self.door {
                    door.pass();
                }
                Ok(Reply::ModelList(Box::new(ModelPage { items: vec![], next: None })))
            }
            Request::KeyRevoke(_) => Ok(Reply::KeyRevoke(Box::new(Done {}))),
            Request::SystemLoad(_) => panic!("on purpose"),
            other => Err(Failure::new(Code::NotFound, format!("no {}", other.method()))),
        }
    }

    fn events(&self) -> Box<dyn SiteEvents> {
        Box::new(Source(Arc::clone(&self.events)))
    }

    fn secret(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        buffer.fill(0);
        buffer[..8].copy_from_slice(&self.random.fetch_add(1, Ordering::SeqCst).to_le_bytes());
        Ok(())
    }
}

pub(crate) struct Source(Arc<(Mutex<Vec<EventEnvelope>>, Condvar)>);

impl SiteEvents for Source {
    fn wait(&mut self, at_most: Duration) -> Vec<EventEnvelope> {
        let waiting = self.0.0.lock().unwrap();
        let (mut waiting, _) = self.0.1.wait_timeout_while(waiting, at_most, |events| events.is_empty()).unwrap();
        std::mem::take(&mut *waiting)
    }
}

/// A page without a socket, and what is behind it.
pub(crate) struct Page {
    pub(crate) fake: Arc<Fake>,
    pub(crate) site: Site,
    pub(crate) runtime: tokio::runtime::Runtime,
}

pub(crate) fn files() -> Assets {
    let file = |name: &str, bytes: &[u8]| Asset { name: name.to_owned(), bytes: bytes.to_vec() };
    Assets::new(vec![
        file("index.html", b"<!doctype html>"),
        file("athanor-ui.js", b"export {}"),
        file("athanor-ui_bg.wasm", b"\0asm"),
        file("athanor-ui_bg.wasm.gz", b"packed"),
        file("fonts/inter.ttf", b"font"),
    ])
    .unwrap()
}

pub(crate) fn page_with(fake: Fake, change: impl FnOnce(&mut SiteConfig)) -> Page {
    let fake = Arc::new(fake);
    let mut config = SiteConfig::new(SocketAddr::from(([127, 0, 0, 1], 8081)));
    change(&mut config);
    let site = Site::new(config, Arc::clone(&fake) as Arc<dyn SiteBackend>, files()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    Page { fake, site, runtime }
}

pub(crate) fn page() -> Page {
    page_with(Fake::default(), |_| ())
}

/// A request as the page itself sends it.
pub(crate) fn from_page(method: &str, uri: &str) -> Ask {
    raw(method, uri).without("authorization").set("host", "localhost:8081")
}

pub(crate) fn post(uri: &str, body: impl ToString) -> Ask {
    let mut ask = from_page("POST", uri)
        .with("content-type", "application/json")
        .with("origin", "http://localhost:8081")
        .with("sec-fetch-site", "same-origin");
    ask.body = body.to_string().into_bytes();
    ask
}

pub(crate) fn call(request: impl Into<Request>) -> Ask {
    post("/api/call", serde_json::to_value(request.into()).unwrap())
}

impl Page {
    pub(crate) fn send(&self, ask: Ask) -> Answer {
        self.runtime.block_on(send(&self.site, ask))
    }

    /// Logs in and returns the cookie as a browser sends it back.
    pub(crate) fn log_in(&self, key: &str) -> String {
        let answer = self.send(post("/api/login", json!({ "key": key })));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// What a call comes to, for somebody who is logged in.
    pub(crate) fn call_as(&self, cookie: &str, request: impl Into<Request>) -> Value {
        let answer = self.send(call(request).with("cookie", cookie));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    #[track_caller]
    pub(crate) fn refuses(&self, ask: Ask, status: u16, code: &str) {
        let answer = self.send(ask);
        assert_eq!((answer.status, answer.json()["err"]["code"].as_str()), (status, Some(code)), "{}", answer.text());
        assert_eq!(answer.header("set-cookie"), "");
    }
}

pub(crate) async fn send(site: &Site, ask: Ask) -> Answer {
    let mut request = http::Request::builder().method(ask.method.as_str()).uri(ask.uri);
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let response = site_router(site).oneshot(request.body(Body::from(ask.body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

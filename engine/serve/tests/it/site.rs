//! The page for browsers: login, sessions, who may ask what, files, events; from outside.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    api::{
        DataEntries, DataEntry, DataList, DataOpen, Done, Event, EventEnvelope, Hello, HelloAnswer, Host, KeyRevoke,
        ModelList, ModelPage, RecentWorkspace, Reply, Request, Settings, TableInfo,
    },
    registry::Scope,
    table::DataSource,
};
use athanor_serve::{
    Grant, KeyRefusal,
    site::{Asset, Assets, Site, SiteBackend, SiteConfig, SiteEvents, serve_site, site_router},
};
use axum::{body::Body, http};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::house::{Answer, Ask, Door, ask as raw};

const COOKIE: &str = "athanor_session_8081";

/// A backend that remembers what it was asked, and says what it is told to.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    revoked: AtomicBool,
    random: AtomicU64,
    events: Arc<(Mutex<Vec<EventEnvelope>>, Condvar)>,
    door: Option<Arc<Door>>,
}

impl Fake {
    fn publish(&self, seqs: std::ops::RangeInclusive<u64>) {
        let events = seqs.map(|seq| EventEnvelope { seq, event: Event::KeysChanged {} });
        self.events.0.lock().unwrap().extend(events);
        self.events.1.notify_all();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn grant(id: &str) -> Result<Grant, KeyRefusal> {
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

struct Source(Arc<(Mutex<Vec<EventEnvelope>>, Condvar)>);

impl SiteEvents for Source {
    fn wait(&mut self, at_most: Duration) -> Vec<EventEnvelope> {
        let waiting = self.0.0.lock().unwrap();
        let (mut waiting, _) = self.0.1.wait_timeout_while(waiting, at_most, |events| events.is_empty()).unwrap();
        std::mem::take(&mut *waiting)
    }
}

/// A page without a socket, and what is behind it.
struct Page {
    fake: Arc<Fake>,
    site: Site,
    runtime: tokio::runtime::Runtime,
}

fn files() -> Assets {
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

fn page_with(fake: Fake, change: impl FnOnce(&mut SiteConfig)) -> Page {
    let fake = Arc::new(fake);
    let mut config = SiteConfig::new(SocketAddr::from(([127, 0, 0, 1], 8081)));
    change(&mut config);
    let site = Site::new(config, Arc::clone(&fake) as Arc<dyn SiteBackend>, files()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    Page { fake, site, runtime }
}

fn page() -> Page {
    page_with(Fake::default(), |_| ())
}

/// A request as the page itself sends it.
fn from_page(method: &str, uri: &str) -> Ask {
    raw(method, uri).without("authorization").set("host", "localhost:8081")
}

fn post(uri: &str, body: impl ToString) -> Ask {
    let mut ask = from_page("POST", uri)
        .with("content-type", "application/json")
        .with("origin", "http://localhost:8081")
        .with("sec-fetch-site", "same-origin");
    ask.body = body.to_string().into_bytes();
    ask
}

fn call(request: impl Into<Request>) -> Ask {
    post("/api/call", serde_json::to_value(request.into()).unwrap())
}

impl Page {
    fn send(&self, ask: Ask) -> Answer {
        self.runtime.block_on(send(&self.site, ask))
    }

    /// Logs in and returns the cookie as a browser sends it back.
    fn log_in(&self, key: &str) -> String {
        let answer = self.send(post("/api/login", json!({ "key": key })));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// What a call comes to, for somebody who is logged in.
    fn call_as(&self, cookie: &str, request: impl Into<Request>) -> Value {
        let answer = self.send(call(request).with("cookie", cookie));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    #[track_caller]
    fn refuses(&self, ask: Ask, status: u16, code: &str) {
        let answer = self.send(ask);
        assert_eq!((answer.status, answer.json()["err"]["code"].as_str()), (status, Some(code)), "{}", answer.text());
        assert_eq!(answer.header("set-cookie"), "");
    }
}

async fn send(site: &Site, ask: Ask) -> Answer {
    let mut request = http::Request::builder().method(ask.method.as_str()).uri(ask.uri);
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let response = site_router(site).oneshot(request.body(Body::from(ask.body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

#[test]
fn a_key_logs_in_and_its_cookie_is_for_the_page_alone() {
    let page = page();
    page.refuses(call(Hello {}), 401, "unauthenticated");
    let answer = page.send(post("/api/login", json!({ "key": "ath_admin" })));
    assert_eq!(answer.json(), json!({ "ok": { "may_change": true } }));
    let cookie = answer.header("set-cookie").to_owned();
    let (value, rest) = cookie.split_once(';').unwrap();
    assert_eq!(rest, " Path=/api; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert_eq!(value.len(), COOKIE.len() + 1 + 96, "128 and 256 bits in hexadecimal digits: {value}");
    let hello = page.call_as(value, Hello {});
    let hello = &hello["ok"]["answer"];
    assert_eq!((&hello["host"], &hello["may_change"], &hello["seq"]), (&json!("browser"), &json!(true), &json!(7)));
    assert_eq!(hello["recent"][0]["name"], "other");
    // Each login is a session of its own.
    assert_ne!(page.log_in("ath_admin"), value);
}

#[test]
fn behind_tls_the_cookie_is_for_tls_alone() {
    let page = page_with(Fake::default(), |config| config.allowed_hosts.push("athanor.example".to_owned()));
    let ask = post("/api/login", json!({ "key": "ath_admin" }));
    let ask = ask.set("host", "athanor.example").set("origin", "https://athanor.example");
    let answer = page.send(ask);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("set-cookie").ends_with("; SameSite=Strict; Secure"));
}

#[test]
fn wrong_keys_are_refused_and_slowed_down() {
    let page = page_with(Fake::default(), |config| config.max_failed_attempts = 3);
    page.refuses(post("/api/login", json!({ "key": "ath_away" })), 503, "unavailable");
    for key in ["ath_wrong", "", "ath_expired"] {
        page.refuses(post("/api/login", json!({ "key": key })), 401, "unauthenticated");
    }
    let answer = page.send(post("/api/login", json!({ "key": "ath_wrong" })));
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    // Not even a right key, or whoever guesses would learn which one it is.
    page.refuses(post("/api/login", json!({ "key": "ath_admin" })), 429, "overloaded");
}

#[test]
fn logins_that_are_no_json_are_refused() {
    let page = page();
    for body in ["", "{}", "[]", r#"{"key":1}"#, r#"{"key":"ath_admin","more":1}"#, "key=ath_admin"] {
        page.refuses(post("/api/login", body), 400, "invalid_argument");
    }
    page.refuses(post("/api/login", json!({ "key": "a".repeat(5000) })), 413, "too_large");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let ask = post("/api/login", json!({ "key": "ath_admin" })).set("content-type", kind);
        page.refuses(ask, 415, "unsupported");
    }
    page.refuses(post("/api/login", json!({ "key": "ath_admin" })).without("content-type"), 415, "unsupported");
    assert_eq!(page.send(from_page("GET", "/api/login")).status, 405);
}

#[test]
fn a_session_ends_by_logout_by_revocation_and_by_time() {
    let page = page();
    let (one, two) = (page.log_in("ath_admin"), page.log_in("ath_admin"));
    let answer = page.send(post("/api/logout", "").with("cookie", &one));
    assert_eq!((answer.status, answer.json()), (200, json!({ "ok": {} })));
    assert!(answer.header("set-cookie").starts_with(&format!("{COOKIE}=; Path=/api; Max-Age=0;")));
    page.refuses(call(Hello {}).with("cookie", &one), 401, "unauthenticated");
    assert_eq!(page.send(post("/api/logout", "").with("cookie", &one)).status, 200, "again is no error");
    page.call_as(&two, Hello {});
    page.fake.revoked.store(true, Ordering::SeqCst);
    page.refuses(call(Hello {}).with("cookie", &two), 401, "unauthenticated");
    page.fake.revoked.store(false, Ordering::SeqCst);
    page.refuses(call(Hello {}).with("cookie", &two), 401, "unauthenticated");
    // A new login ends the session that the browser had.
    let three = page.log_in("ath_admin");
    page.send(post("/api/login", json!({ "key": "ath_admin" })).with("cookie", &three));
    page.refuses(call(Hello {}).with("cookie", &three), 401, "unauthenticated");

    let short = page_with(Fake::default(), |config| config.session_time = Duration::ZERO);
    let cookie = short.log_in("ath_admin");
    short.refuses(call(Hello {}).with("cookie", cookie), 401, "unauthenticated");
}

#[test]
fn pages_of_others_are_refused_on_every_verb() {
    let page = page();
    let cookie = page.log_in("ath_admin");
    let good = |method: &str, uri: &str| {
        let ask = if method == "POST" { call(ModelList::default()) } else { from_page(method, uri) };
        ask.with("cookie", &cookie)
    };
    for (method, uri) in [("POST", "/api/call"), ("GET", "/api/nothing"), ("OPTIONS", "/api/call"), ("GET", "/")] {
        for origin in ["https://evil.example", "http://localhost:3000", "null", "https://localhost"] {
            page.refuses(good(method, uri).set("origin", origin), 403, "permission_denied");
        }
        for host in ["evil.example", "evil.example:8081", "localhost:8080", "192.168.0.1:8081"] {
            page.refuses(good(method, uri).without("origin").set("host", host), 403, "permission_denied");
        }
        page.refuses(good(method, uri).without("host"), 400, "invalid_argument");
    }
    for site in ["cross-site", "same-site", "", "something new"] {
        page.refuses(good("POST", "").without("origin").set("sec-fetch-site", site), 403, "permission_denied");
        page.refuses(good("GET", "/api/events").set("sec-fetch-site", site), 403, "permission_denied");
    }
    // A link from elsewhere may open the page; a request without any word on its origin is no browser's.
    assert_eq!(page.send(good("GET", "/").set("sec-fetch-site", "cross-site")).status, 200);
    assert_eq!(page.fake.asked(), Vec::<String>::new());
    assert_eq!(page.send(good("POST", "").without("origin").without("sec-fetch-site")).status, 200);
}

#[test]
fn calls_are_json_of_a_bounded_size() {
    let page = page_with(Fake::default(), |config| config.max_body_bytes = 1000);
    let cookie = page.log_in("ath_admin");
    let post = |body: String| post("/api/call", body).with("cookie", &cookie);
    page.refuses(post("x".repeat(1001)), 413, "too_large");
    page.refuses(post("{}".to_owned()).set("content-type", "text/plain"), 415, "unsupported");
    for body in ["", "{", "[]", r#"{"method":"nothing","params":{}}"#, &"[".repeat(900)] {
        let answer = page.send(post(body.to_owned()));
        assert_eq!((answer.status, &answer.json()["err"]["code"]), (200, &json!("invalid_argument")), "{body}");
    }
    assert_eq!(page.send(from_page("GET", "/api/call").with("cookie", &cookie)).status, 405);
    assert_eq!(page.fake.asked(), Vec::<String>::new());
    // What the engine refuses is an answer.
    let answer = page.call_as(&cookie, athanor_protocol::api::KeyList::default());
    assert_eq!(answer, json!({ "err": { "code": "not_found", "message": "no KeyList" } }));
}

#[test]
fn a_request_that_breaks_down_ends_alone() {
    let page = page();
    let cookie = page.log_in("ath_admin");
    page.refuses(call(athanor_protocol::api::SystemLoad {}).with("cookie", &cookie), 500, "internal");
    page.call_as(&cookie, Hello {});
}

#[test]
fn only_so_many_requests_are_worked_on_at_once() {
    let door = Arc::new(Door::default());
    let fake = Fake { door: Some(Arc::clone(&door)), ..Fake::default() };
    let page = page_with(fake, |config| config.max_calls = 2);
    let cookie = page.log_in("ath_admin");
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (site, ask) = (page.site.clone(), call(ModelList::default()).with("cookie", &cookie));
            page.runtime.spawn(async move { send(&site, ask).await.status })
        })
        .collect();
    door.wait_for(2);
    page.refuses(call(Hello {}).with("cookie", &cookie), 429, "overloaded");
    door.open();
    for answer in waiting {
        assert_eq!(page.runtime.block_on(answer).unwrap(), 200);
    }
    page.call_as(&cookie, Hello {});
}

#[test]
fn room_for_bodies_is_kept_before_they_are_read() {
    let page = page_with(Fake::default(), |config| {
        (config.max_body_bytes, config.max_held_bytes) = (4096, 4096);
    });
    let cookie = page.log_in("ath_admin");
    let door = Arc::new(tokio::sync::Notify::new());
    let (slow, opened) = (page.site.clone(), Arc::clone(&door));
    let ask = call(Hello {}).with("cookie", &cookie);
    // A body whose second half comes later, of unknown length: it may become as large as any.
    let sent = page.runtime.spawn(async move {
        let mut request = http::Request::builder().method("POST").uri("/api/call");
        for (name, value) in &ask.headers {
            request = request.header(name, value.as_slice());
        }
        let body = Body::new(Late { waits: Box::pin(async move { opened.notified().await }), bytes: Some(ask.body) });
        site_router(&slow).oneshot(request.body(body).unwrap()).await.unwrap().status().as_u16()
    });
    let full = || {
        let answer = page.send(call(Hello {}).with("content-length", "4096").with("cookie", &cookie));
        answer.status == 429
    };
    while !full() {
        std::thread::yield_now();
    }
    door.notify_one();
    assert_eq!(page.runtime.block_on(sent).unwrap(), 200);
    assert_eq!(page.send(call(Hello {}).with("cookie", &cookie)).status, 200);
}

/// A body that comes when it may.
struct Late {
    waits: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    bytes: Option<Vec<u8>>,
}

impl axum::body::HttpBody for Late {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        if self.bytes.is_none() {
            return std::task::Poll::Ready(None);
        }
        std::task::ready!(self.waits.as_mut().poll(cx));
        let bytes = self.bytes.take().map(|bytes| Ok(hyper::body::Frame::data(bytes.into())));
        std::task::Poll::Ready(bytes)
    }
}

#[test]
fn a_key_that_may_only_predict_looks_at_the_workspace_and_nothing_else() {
    let page = page();
    let cookie = page.log_in("ath_look");
    let hello = page.call_as(&cookie, Hello {});
    assert_eq!(hello["ok"]["answer"]["may_change"], false);
    assert_eq!(hello["ok"]["answer"]["recent"], json!([]), "other workspaces are nobody's business");
    assert!(page.call_as(&cookie, ModelList::default())["ok"].is_object());
    let denied = page.call_as(&cookie, KeyRevoke { id: "a".to_owned() });
    assert_eq!(denied["err"]["code"], "permission_denied", "{denied}");
    assert!(page.call_as(&cookie, DataOpen { source: DataSource::file("/data/known.csv") })["ok"].is_object());
    for path in ["/etc/passwd", "/data/../etc/passwd", "known.csv", ""] {
        let denied = page.call_as(&cookie, DataOpen { source: DataSource::file(path) });
        assert_eq!(denied["err"]["code"], "permission_denied", "{path}");
    }
    let asked = page.fake.asked();
    assert!(!asked.contains(&"KeyRevoke".to_owned()), "{asked:?}");
    assert_eq!(asked.iter().filter(|method| *method == "DataOpen").count(), 1, "{asked:?}");

    let admin = page.log_in("ath_admin");
    assert!(page.call_as(&admin, KeyRevoke { id: "a".to_owned() })["ok"].is_object());
    assert!(page.call_as(&admin, DataOpen { source: DataSource::file("/anywhere.csv") })["ok"].is_object());
    let nothing = page.log_in("ath_nothing");
    assert_eq!(page.call_as(&nothing, DataList {})["err"]["code"], "permission_denied");
}

#[test]
fn files_have_their_type_a_tag_and_the_headers_that_keep_the_page_to_itself() {
    let page = page();
    let get = |uri: &str| page.send(from_page("GET", uri));
    for (uri, kind, body) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/index.html", "text/html; charset=utf-8", "<!doctype html>"),
        ("/athanor-ui.js", "text/javascript; charset=utf-8", "export {}"),
        ("/athanor-ui_bg.wasm", "application/wasm", "\0asm"),
        ("/fonts/inter.ttf", "font/ttf", "font"),
    ] {
        let answer = get(uri);
        assert_eq!((answer.status, answer.header("content-type"), answer.text().as_str()), (200, kind, body), "{uri}");
        assert_eq!(answer.header("cache-control"), "no-cache");
        let known = page.send(from_page("GET", uri).with("if-none-match", answer.header("etag")));
        assert_eq!((known.status, known.body.len()), (304, 0), "{uri}");
        let policy = answer.header("content-security-policy").to_owned();
        for rule in [
            "default-src 'self'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split(';').any(|part| part.trim() == rule), "{policy} lacks {rule}");
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
    }
    let packed = page.send(from_page("GET", "/athanor-ui_bg.wasm").with("accept-encoding", "gzip, br"));
    assert_eq!((packed.header("content-encoding"), packed.text().as_str()), ("gzip", "packed"));
    assert_eq!(packed.header("content-type"), "application/wasm");
    assert_eq!(page.send(from_page("HEAD", "/")).body, b"");
    assert_eq!(page.send(post("/", "")).status, 405);
    // Answers of the engine are never kept.
    assert_eq!(page.send(call(Hello {})).header("cache-control"), "no-store");
}

#[test]
fn no_name_leads_to_a_file_that_is_not_on_the_list() {
    let page = page();
    for uri in [
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/Cargo.toml",
        "/fonts/../index.html",
        "/fonts/..%5c..%5cCargo.toml",
        "//etc/passwd",
        "/etc/passwd",
        "/index.html/",
        "/INDEX.HTML",
        "/index.html%00.js",
        "/athanor-ui_bg.wasm.gz",
        "/fonts",
        "/.git/config",
        "/api",
        "/api/",
        "/api/other",
    ] {
        page.refuses(from_page("GET", uri), 404, "not_found");
    }
    assert_eq!(page.send(from_page("GET", "/?v=1")).status, 200);
}

/// A page on a socket.
struct Live {
    page: Page,
    addr: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

fn live(change: impl FnOnce(&mut SiteConfig)) -> Live {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let page = page_with(Fake::default(), |config| {
        config.bound = addr;
        change(config);
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let site = page.site.clone();
    let served = page.runtime.spawn(async move {
        serve_site(listener, &site, async { drop(stopped.await) }).await.unwrap();
    });
    Live { page, addr, stop: Some(stop), served: Some(served) }
}

impl Live {
    fn log_in(&self) -> String {
        let ask = post("/api/login", json!({ "key": "ath_admin" }));
        let host = self.addr.to_string();
        let answer = self.page.send(ask.set("host", &host).set("origin", format!("http://{host}")));
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Opens the stream of events; returns once its headers are there.
    fn listen(&self, cookie: &str) -> BufReader<std::net::TcpStream> {
        let mut stream = std::net::TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let host = self.addr;
        let ask = format!("GET /api/events HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/event-stream\r\n"), "{head}");
        stream
    }
}

/// The lines of the next event's fields, without the lengths of the chunks that carry them.
fn next_event(stream: &mut impl BufRead) -> (u64, Value) {
    let mut line = String::new();
    let mut id = None;
    loop {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the stream ended");
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.trim().parse().ok();
        }
        if let Some(text) = line.strip_prefix("data: ") {
            return (id.unwrap(), serde_json::from_str(text).unwrap());
        }
    }
}

#[test]
fn events_arrive_in_order_at_everybody_who_listens() {
    let live = live(|_| ());
    let cookie = live.log_in();
    let mut streams = [live.listen(&cookie), live.listen(&cookie)];
    live.page.fake.publish(1..=200);
    for stream in &mut streams {
        for seq in 1..=200 {
            let event = next_event(stream);
            assert_eq!(event, (seq, json!({ "seq": seq, "event": "keys_changed" })));
        }
    }
}

/// Reads until the server ends the stream.
fn ended(mut stream: BufReader<std::net::TcpStream>) -> String {
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stream, &mut rest).unwrap();
    rest
}

#[test]
fn a_stream_ends_with_its_session_and_with_the_page() {
    let mut live = live(|_| ());
    let (one, two, three) = (live.log_in(), live.log_in(), live.log_in());
    let (of_one, of_two) = (live.listen(&one), live.listen(&two));
    let host = live.addr.to_string();
    let out = post("/api/logout", "").set("host", &host).set("origin", format!("http://{host}"));
    live.page.send(out.with("cookie", one.as_str()).with("connection", "close"));
    let close = |stream: BufReader<std::net::TcpStream>| {
        // The connection itself stays for the next request: the stream's last chunk is its end.
        let mut stream = stream;
        let mut line = String::new();
        while line.trim_end() != "0" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0);
        }
    };
    close(of_one);
    live.page.fake.revoked.store(true, Ordering::SeqCst);
    close(of_two);
    live.page.fake.revoked.store(false, Ordering::SeqCst);
    let of_three = live.listen(&three);
    live.stop.take().unwrap().send(()).unwrap();
    assert!(ended(of_three).ends_with("0\r\n\r\n"));
    live.page.runtime.block_on(live.served.take().unwrap()).unwrap();
}

#[test]
fn a_quiet_stream_gives_signs_of_life_and_only_so_many_listen() {
    let live = live(|config| (config.heartbeat, config.max_listeners) = (Duration::ZERO, 1));
    let cookie = live.log_in();
    let mut stream = live.listen(&cookie);
    let host = live.addr.to_string();
    let second = from_page("GET", "/api/events").set("host", host).with("cookie", &cookie);
    assert_eq!(live.page.send(second).status, 429);
    let mut line = String::new();
    while line.trim_end() != ":" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0);
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let refused = |change: fn(&mut SiteConfig)| {
        let mut config = SiteConfig::new(SocketAddr::from(([127, 0, 0, 1], 8081)));
        change(&mut config);
        Site::new(config, Arc::new(Fake::default()), files()).err().map(|err| err.code())
    };
    assert_eq!(refused(|config| config.max_calls = 0), Some(Code::InvalidArgument));
    assert_eq!(refused(|config| config.max_held_bytes = 1), Some(Code::InvalidArgument));
    assert_eq!(refused(|config| config.allowed_hosts.push("a b".to_owned())), Some(Code::InvalidArgument));
    assert_eq!(refused(|_| ()), None);
}

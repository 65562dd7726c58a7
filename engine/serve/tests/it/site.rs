//! The page for browsers: login, sessions, who may ask what, files; from outside.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use athanor_protocol::{
    Code,
    api::{DataList, DataOpen, Hello, KeyRevoke, ModelList},
    table::DataSource,
};
use athanor_serve::site::{Site, SiteConfig, site_router};
use axum::{body::Body, http};
use serde_json::json;
use tower::ServiceExt as _;

use crate::{
    house::Door,
    site_house::{COOKIE, Fake, call, files, from_page, page, page_with, post, send},
};

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
    let (door, reading) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (slow, opened, began) = (page.site.clone(), Arc::clone(&door), Arc::clone(&reading));
    let ask = call(Hello {}).with("cookie", &cookie);
    // A body whose second half comes later, of unknown length: it may become as large as any.
    let sent = page.runtime.spawn(async move {
        let mut request = http::Request::builder().method("POST").uri("/api/call");
        for (name, value) in &ask.headers {
            request = request.header(name, value.as_slice());
        }
        // Whoever reads it has kept room for it.
        let waits = Box::pin(async move {
            began.notify_one();
            opened.notified().await;
        });
        let body = Body::new(Late { waits, bytes: Some(ask.body) });
        site_router(&slow).oneshot(request.body(body).unwrap()).await.unwrap().status().as_u16()
    });
    page.runtime.block_on(reading.notified());
    let full = call(Hello {}).with("content-length", "4096").with("cookie", &cookie);
    page.refuses(full, 429, "overloaded");
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

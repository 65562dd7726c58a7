//! Who may call the routes of other platforms, with keys of ours and behind a platform that has its own.

use athanor_serve::{Access, Served};

use crate::house::{Ask, House, ask, config, get, house, numbers, post, state};

/// Address, the methods that it takes, and whether anybody may ask.
const ROUTES: [(&str, &str, bool); 16] = [
    ("/ping", "GET,HEAD", true),
    ("/health", "GET,HEAD", true),
    ("/", "GET,HEAD", true),
    ("/v1/endpoints/7/deployedModels/9", "GET,HEAD", true),
    ("/try", "GET,HEAD", true),
    ("/try.js", "GET,HEAD", true),
    ("/try.css", "GET,HEAD", true),
    ("/version", "GET,HEAD", false),
    ("/execution-parameters", "GET,HEAD", false),
    ("/openapi.json", "GET,HEAD", false),
    ("/swagger.json", "GET,HEAD", false),
    ("/v1/models/numbers/metadata", "GET,HEAD", false),
    ("/invocations", "POST", false),
    ("/v1/endpoints/7/deployedModels/9:predict", "POST", false),
    ("/v1/models/numbers:predict", "POST", false),
    ("/score", "GET,HEAD,POST,OPTIONS", false),
];
const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "PROPFIND"];

fn everywhere() -> impl Iterator<Item = (Ask, bool, bool)> {
    ROUTES.into_iter().flat_map(|(uri, allowed, is_open)| {
        METHODS.into_iter().map(move |method| {
            let is_allowed = allowed.split(',').any(|allowed| allowed == method);
            (ask(method, uri), is_allowed, is_open && (method == "GET" || method == "HEAD"))
        })
    })
}

fn platform(models: Vec<Served>) -> House {
    let mut config = config();
    config.access = Access::Platform;
    config.allowed_hosts = vec!["*".to_owned()];
    House { state: state(config, models) }
}

#[test]
fn foreign_hosts_and_origins_are_refused_on_every_route_and_method() {
    let house = house(vec![numbers(1)]);
    for (ask, ..) in everywhere() {
        for host in ["evil.example", "localhost:9", "127.0.0.1.evil.example:8080"] {
            assert_eq!(house.call(ask.clone().set("host", host)).status, 403, "{} {} {host}", ask.method, ask.uri);
        }
        for origin in ["https://evil.example", "null", "http://localhost:9"] {
            let answer = house.call(ask.clone().with("origin", origin));
            assert_eq!(answer.status, 403, "{} {} {origin}", ask.method, ask.uri);
        }
        assert_eq!(house.call(ask.without("host")).status, 400);
    }
}

#[test]
fn a_key_is_needed_everywhere_but_for_probes_and_the_page() {
    let house = house(vec![numbers(1)]);
    for (ask, _, is_open) in everywhere() {
        let answer = house.call(ask.clone().without("authorization"));
        assert_eq!(answer.status, if is_open { 200 } else { 401 }, "{} {}", ask.method, ask.uri);
        let wrong = house.call(ask.clone().set("authorization", "Bearer k-expired"));
        assert!(is_open || wrong.status == 401 || wrong.status == 429, "{} {} {}", ask.method, ask.uri, wrong.status);
    }
}

#[test]
fn variants_of_an_open_route_are_not_ways_around_the_key() {
    let house = house(vec![numbers(1)]);
    for uri in [
        "/ping/",
        "//ping",
        "/%70ing",
        "/ping/../openapi.json",
        "/ping;/openapi.json",
        "/try/../v1/models",
        "/try.json",
        "/v1/endpoints/7/deployedModels/9/",
        "/v1/endpoints/7/deployedModels/../../../models",
        "/v1/endpoints/../deployedModels/9:predict",
        "/v1/endpoints/7/deployedModels/9%3Apredict",
        "/v1/models/numbers%3apredict",
        "/openapi.json?key=k-good",
        "/INVOCATIONS",
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(house.call(ask(method, uri).without("authorization")).status, 401, "{method} {uri}");
        }
    }
    let overridden = post("/ping", "").without("authorization").with("x-http-method-override", "GET");
    assert_eq!(house.call(overridden).status, 401);
}

#[test]
fn methods_that_mean_nothing_are_405_on_every_route() {
    let house = house(vec![numbers(1)]);
    for (ask, is_allowed, _) in everywhere() {
        let answer = house.call(ask.clone());
        if is_allowed {
            assert!([200, 400, 415].contains(&answer.status), "{} {} {}", ask.method, ask.uri, answer.status);
        } else {
            assert_eq!(answer.status, 405, "{} {}", ask.method, ask.uri);
            assert!(!answer.header("allow").is_empty(), "{} {}", ask.method, ask.uri);
            assert_eq!(answer.header("content-type"), "application/json");
        }
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[test]
fn behind_a_platform_no_key_is_asked_for_and_any_host_may_be_named() {
    let house = platform(vec![numbers(1)]);
    let body = r#"{"instances":[[0.25,0,false]]}"#;
    for uri in ["/invocations", "/v1/endpoints/7/deployedModels/9:predict", "/v1/models/numbers:predict", "/score"] {
        for host in ["localhost", "10.0.0.7:8080", "model-7.internal.example", "a_b:1", "::1"] {
            let answer = house.call(post(uri, body).without("authorization").set("host", host));
            assert_eq!(answer.status, 200, "{uri} {host} {}", answer.text());
        }
    }
    assert_eq!(house.call(get("/v1/models").without("authorization")).status, 200);
    assert_eq!(house.call(get("/ping").without("authorization").set("host", "10.0.0.7")).status, 200);
    assert_eq!(house.call(get("/v1/models").set("authorization", "Bearer of the platform")).status, 200);
    // A page that had its own name point here would be its "own" origin: only listed ones count.
    let page =
        get("/v1/models").without("authorization").set("host", "evil.example").with("origin", "http://evil.example");
    assert_eq!(house.call(page).status, 403);
    assert_eq!(house.call(get("/v1/models").without("host")).status, 400, "a host must be there");
}

#[test]
fn with_keys_a_platform_setting_changes_nothing_else() {
    let mut config = config();
    config.access = Access::Platform;
    let house = House { state: state(config, vec![numbers(1)]) };
    assert_eq!(house.call(get("/v1/models").without("authorization")).status, 200);
    assert_eq!(house.call(get("/v1/models").set("host", "evil.example")).status, 403, "hosts are checked unless \"*\"");
}

#[test]
fn the_page_is_for_browsers_and_runs_nothing_but_its_own_files() {
    let house = house(vec![numbers(1)]);
    let browser =
        |uri: &str| get(uri).without("authorization").with("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let page = house.call(browser("/"));
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(page.text(), house.call(browser("/try")).text());
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(
        !text.contains("style=") && !text.contains("onclick") && !text.contains("http"),
        "nothing inline, nothing foreign"
    );
    assert_eq!(text.matches("<script").count(), 1);
    let script = house.call(get("/try.js").without("authorization"));
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    for word in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "sessionStorage",
        "cookie",
    ] {
        assert!(!script.text().contains(word), "{word}");
    }
    assert_eq!(house.call(get("/try.css").without("authorization")).header("content-type"), "text/css; charset=utf-8");
    let mut config = config();
    config.try_page = false;
    let without = House { state: state(config, vec![numbers(1)]) };
    assert_eq!(without.call(browser("/try")).status, 401);
    assert_eq!(without.call(browser("/")).text(), "Healthy", "Azure's probe is still there");
}

#[test]
fn predictions_of_every_contract_count_and_probes_do_not() {
    let house = house(vec![numbers(1)]);
    let body = r#"{"instances":[[0.25,0,false]]}"#;
    for uri in ["/invocations", "/v1/endpoints/7/deployedModels/9:predict", "/v1/models/numbers:predict", "/score"] {
        house.call(post(uri, body));
    }
    for uri in ["/ping", "/health", "/", "/try", "/v1/endpoints/7/deployedModels/9", "/openapi.json"] {
        house.call(get(uri));
    }
    assert_eq!(house.state.load().series().n_requests, 4);
}

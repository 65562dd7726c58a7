//! Who may call: hosts, origins, methods, keys.

use std::sync::Arc;

use athanor_serve::State;

use crate::house::{Ask, House, TestKeys, ask, config, get, house, numbers, post};

const ROUTES: [&str; 11] = [
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/numbers",
    "/v2/models/numbers/ready",
    "/v2/models/numbers/infer",
    "/v2/models/numbers/versions/1/infer",
    "/v1/models",
    "/v1/models/numbers",
    "/v1/models/numbers/predict",
    "/nothing/here",
];
const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"];

fn everywhere() -> impl Iterator<Item = Ask> {
    ROUTES.into_iter().flat_map(|uri| METHODS.into_iter().map(move |method| ask(method, uri)))
}

#[test]
fn a_foreign_host_is_refused_on_every_route_and_method() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost:9",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost@evil.example",
        ] {
            let answer = house.call(ask.clone().set("host", host));
            assert_eq!(answer.status, 403, "{} {} {host}", ask.method, ask.uri);
            assert!(!answer.text().contains("evil"), "what the client wrote is not repeated");
        }
    }
}

#[test]
fn a_missing_or_double_host_is_refused_on_every_route_and_method() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        assert_eq!(house.call(ask.clone().without("host")).status, 400, "{} {}", ask.method, ask.uri);
        assert_eq!(house.call(ask.clone().with("host", "localhost:8080")).status, 400, "{} {}", ask.method, ask.uri);
        assert_eq!(house.call(ask.set("host", b"localhost\xff")).status, 400);
    }
}

#[test]
fn the_targets_own_host_counts_too() {
    let house = house(vec![numbers(1)]);
    assert_eq!(house.call(get("http://evil.example/v2/health/live")).status, 403);
    assert_eq!(house.call(get("http://localhost:8080/v2/health/live")).status, 200);
}

#[test]
fn loopback_names_are_hosts() {
    let house = house(vec![numbers(1)]);
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
        assert_eq!(house.call(get("/v1/models").set("host", host)).status, 200, "{host}");
    }
}

#[test]
fn a_foreign_origin_is_refused_on_every_route_and_method() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost:9",
            "http://localhost:8080.evil.example",
            "file://",
            "*",
            "",
        ] {
            let answer = house.call(ask.clone().with("origin", origin));
            assert_eq!(answer.status, 403, "{} {} {origin}", ask.method, ask.uri);
            assert!(answer.header("access-control-allow-origin").is_empty());
        }
    }
    let double = get("/v1/models").with("origin", "http://localhost:8080").with("origin", "https://evil.example");
    assert_eq!(house.call(double).status, 403);
}

#[test]
fn own_and_allowed_origins_may_call() {
    let mut config = config();
    config.allowed_origins = vec!["https://tool.example".to_owned()];
    let models = Arc::new(athanor_serve::ModelTable::new());
    models.replace(vec![numbers(1)]).unwrap();
    let house = House { state: State::new(config, Arc::new(TestKeys), models).unwrap() };
    let own = house.call(get("/v1/models").with("origin", "http://localhost:8080"));
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, ""));
    let allowed = house.call(get("/v1/models").with("origin", "https://tool.example"));
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, "https://tool.example"));
    assert_eq!(allowed.header("vary"), "origin");
    let preflight =
        ask("OPTIONS", "/v1/models/numbers/predict").without("authorization").with("origin", "https://tool.example");
    let preflight = house.call(preflight.with("access-control-request-method", "POST"));
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, "GET, HEAD, POST"));
    assert_eq!(house.call(get("/v1/models").with("origin", "https://other.example")).status, 403);
}

#[test]
fn a_key_is_needed_everywhere_but_for_the_probes() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        let is_probe = ask.uri.starts_with("/v2/health") && (ask.method == "GET" || ask.method == "HEAD");
        let answer = house.call(ask.clone().without("authorization"));
        assert_eq!(answer.status, if is_probe { 200 } else { 401 }, "{} {}", ask.method, ask.uri);
        if !is_probe {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[test]
fn variants_of_a_route_are_not_ways_around_the_key() {
    let house = house(vec![numbers(1)]);
    for uri in [
        "/v1/models/",
        "//v1/models",
        "/v1//models",
        "/v1/models/.",
        "/v1/./models",
        "/V1/models",
        "/v1/models%2f",
        "/v1%2fmodels",
        "/%76%31/models",
        "/v1/models;x",
        "/v2/health/live/../../../v1/models",
        "/v2/health/live/..%2f..%2f..%2fv1/models",
        "/v2/health/%6cive",
        "/v2/health/live/",
        "/v2/health//live",
        "//v2/health/live",
        "/v2/health/live%00",
        "/ajax-api/v1/models",
        "/v1/models?key=k-good",
        "/v1/models?authorization=Bearer%20k-good",
    ] {
        assert_eq!(house.call(get(uri).without("authorization")).status, 401, "{uri}");
    }
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let answer = house.call(post("/v2/health/live", "").without("authorization").with(name, "GET"));
        assert_eq!(answer.status, 401, "{name}");
    }
    for name in ["x-original-url", "x-rewrite-url", "x-forwarded-host", "x-forwarded-prefix"] {
        let answer = house.call(get("/v1/models").without("authorization").with(name, "/v2/health/live"));
        assert_eq!(answer.status, 401, "{name}");
    }
}

#[test]
fn keys_that_are_wrong_say_how() {
    let house = house(vec![numbers(1)]);
    for (header, status, error) in [
        ("Bearer k-wrong", 401, "the key is not valid"),
        ("Bearer k-expired", 401, "the key has expired"),
        ("Bearer k-revoked", 401, "the key was revoked"),
        ("Bearer k-admin", 403, "the key may not look at models"),
        ("Bearer k-unavailable", 503, "keys can't be checked right now"),
        ("Bearer", 401, "the 'Authorization' header holds no bearer key"),
        ("Bearer ", 401, "the 'Authorization' header holds no bearer key"),
        ("", 401, "the 'Authorization' header holds no bearer key"),
        ("k-good", 401, "the 'Authorization' header holds no bearer key"),
        ("Basic k-good", 401, "the 'Authorization' header holds no bearer key"),
        ("Bearer k-good k-good", 401, "the key is not valid"),
        ("Bearer k-good,", 401, "the key is not valid"),
    ] {
        house.refuses(get("/v1/models").set("authorization", header), status, error);
    }
    let long = format!("Bearer {}", "k".repeat(10_000));
    house.refuses(get("/v1/models").set("authorization", long), 401, "the key is not valid");
    house.refuses(
        get("/v1/models").set("authorization", b"Bearer \xff\xfe"),
        401,
        "the 'Authorization' header holds no bearer key",
    );
    house.refuses(
        get("/v1/models").with("authorization", "Bearer k-good"),
        401,
        "there is more than one 'Authorization' header",
    );
    assert_eq!(house.call(get("/v1/models").set("authorization", "bearer k-good")).status, 200);
    house.refuses(get("/v1/models?token=k-good").without("authorization"), 401, "a key is needed");
}

#[test]
fn guessing_is_slowed_and_good_keys_are_spared() {
    let house = house(vec![numbers(1)]);
    let call = |key: &str| house.call(get("/v1/models").set("authorization", format!("Bearer {key}")));
    assert_eq!(call("k-good").status, 200);
    let statuses: Vec<u16> = (0..30).map(|n| call(&format!("k-guess-{n}")).status).collect();
    assert_eq!(statuses[..10], [401; 10]);
    // One attempt comes back each second; the calls take far less, whatever the machine.
    assert!(statuses[10..].iter().filter(|&&status| status == 429).count() >= 10, "{statuses:?}");
    let slowed = (0..5).map(|n| call(&format!("k-more-{n}"))).find(|answer| answer.status == 429).unwrap();
    assert_eq!(slowed.header("retry-after"), "1");
    assert_eq!(call("k-good").status, 200, "a key that was right before is let through");
}

#[test]
fn methods_that_mean_nothing_are_405_with_a_key() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        let is_get = !ask.uri.ends_with("infer") && !ask.uri.ends_with("predict");
        let answer = house.call(ask.clone());
        let allowed = match ask.method.as_str() {
            "GET" | "HEAD" => is_get,
            "POST" => !is_get,
            _ => false,
        };
        if ask.uri == "/nothing/here" {
            assert_eq!(answer.status, 404, "{}", ask.method);
        } else if !allowed {
            assert_eq!(answer.status, 405, "{} {}", ask.method, ask.uri);
            assert_eq!(answer.header("allow"), if is_get { "GET,HEAD" } else { "POST" });
        } else {
            assert!([200, 400, 415].contains(&answer.status), "{} {} {}", ask.method, ask.uri, answer.status);
        }
    }
}

#[test]
fn every_answer_has_an_id_and_may_not_be_guessed_about() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        let answer = house.call(ask);
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let ours =
        |given: &[u8]| house.call(get("/v1/models").with("x-request-id", given)).header("x-request-id").to_owned();
    assert_eq!(ours(b"abc-1.2_3"), "abc-1.2_3");
    assert_ne!(ours(b"<script>"), "<script>");
    assert_ne!(ours(&[b'a'; 101]), "a".repeat(101));
    assert_ne!(ours(b"a b"), ours(b"a b"), "ids differ");
    let refused = house.call(get("/v1/nothing").with("x-request-id", "mine"));
    assert_eq!(refused.json()["request_id"], "mine");
}

#[test]
fn hostile_paths_name_no_model() {
    let house = house(vec![numbers(1)]);
    for name in [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%252e%252e%252fetc",
        "a%2f..%2fb",
        "%5c..%5cfile",
        "C:%2f",
        "%00",
        "numbers%00",
        "numbers%20",
        "%20numbers",
        "numbers.",
        "NUMBERS",
        "con",
        "%ff",
        "%e2%80%ae",
        "%c0%ae%c0%ae",
        "numbers;x",
        "numbers%3f",
        "numbers%23",
        "-",
        "%0d%0aset-cookie:x",
    ] {
        for uri in [
            format!("/v1/models/{name}"),
            format!("/v2/models/{name}/ready"),
            format!("/v2/models/numbers/versions/{name}"),
        ] {
            let answer = house.call(get(&uri));
            assert!([400, 404].contains(&answer.status), "{uri} {}", answer.status);
            assert!(!answer.text().contains("passwd") && answer.header("set-cookie").is_empty());
        }
    }
}

#[test]
fn a_key_that_may_read_gets_no_predictions_on_any_route() {
    let house = house(vec![numbers(1)]);
    for ask in everywhere() {
        let ask = ask.set("authorization", "Bearer k-read");
        let is_probe = ask.uri.starts_with("/v2/health");
        let answer = house.call(ask.clone());
        match ask.method.as_str() {
            "GET" | "HEAD" => assert_ne!(answer.status, 403, "{} {}", ask.method, ask.uri),
            // A probe is one only for those who look.
            _ if is_probe => assert!([403, 405].contains(&answer.status), "{} {}", ask.method, ask.uri),
            _ => assert_eq!(answer.status, 403, "{} {}", ask.method, ask.uri),
        }
    }
    let answer = house.call(get("/v1/models/numbers").set("authorization", "Bearer k-read"));
    assert_eq!(answer.status, 200);
}

#[test]
fn a_route_has_no_other_spelling_and_no_other_method() {
    let house = house(vec![numbers(1)]);
    for uri in [
        "/v1/models/",
        "//v1/models",
        "/v1//models",
        "/V1/models",
        "/v1/models/numbers/",
        "/%76%31/models",
        "/v1/models/.",
    ] {
        let answer = house.call(get(uri).without("authorization"));
        assert!([401, 404].contains(&answer.status), "{uri} {}", answer.status);
        assert_ne!(house.call(get(uri)).status, 200, "{uri}");
    }
    let override_it = post("/v1/models/numbers", "{}").with("x-http-method-override", "GET");
    assert_eq!(house.call(override_it).status, 405);
}

#[test]
fn a_keys_limits_are_told_with_every_answer() {
    let house = house(vec![numbers(1)]);
    let row = r#"{"row":{"a":1,"b":1,"c":true}}"#;
    let ask = |n: usize| {
        let rows = vec![r#"{"a":1,"b":1,"c":true}"#; n].join(",");
        let body = if n == 1 { row.to_owned() } else { format!("{{\"rows\":[{rows}]}}") };
        house.call(post("/v1/models/numbers/predict", body).set("authorization", "Bearer k-limited"))
    };
    let told = |answer: &crate::house::Answer| {
        ["ratelimit-limit", "ratelimit-remaining"].map(|name| answer.header(name).to_owned())
    };
    let answer = ask(2);
    assert_eq!((answer.status, told(&answer)), (200, ["3".to_owned(), "2".to_owned()]));
    let reset: u64 = answer.header("ratelimit-reset").parse().unwrap();
    assert!((1..=86_400).contains(&reset), "{reset}");
    let answer = ask(2);
    assert_eq!((answer.status, told(&answer)[1].as_str()), (429, "1"), "{}", answer.text());
    assert!(answer.error().starts_with("the key may ask for 3 rows in a day, and has 1 left"), "{}", answer.error());
    assert_eq!(ask(1).status, 200);
    let answer = ask(1);
    assert_eq!((answer.status, answer.error()), (429, "the key may ask 3 times in a day, and has done so".to_owned()));
    assert!((1..=86_400).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
    assert!(house.call(get("/v1/models")).header("ratelimit-limit").is_empty(), "others have no limits");
}

//! Bodies, time and load within limits; models swapped while requests run.

use std::{sync::Arc, time::Duration};

use athanor_serve::{Outputs, ServeConfig, Served};
use serde_json::json;

use crate::house::{Ask, Door, House, config, get, house, mixed, numbers, one_column, post, state, sum};

const PREDICT: &str = "/v1/models/x/predict";
const ROW: &str = r#"{"row":{"x":1}}"#;

fn house_with(change: impl FnOnce(&mut ServeConfig), models: Vec<Served>) -> House {
    let mut config = config();
    change(&mut config);
    House { state: state(config, models) }
}

#[test]
fn nesting_beyond_a_hundred_is_refused_and_fifty_is_read() {
    let house = house(vec![one_column(sum), numbers(1)]);
    let nested = |depth: usize| format!(r#"{{"row":{{"x":{}1{}}}}}"#, "[".repeat(depth - 2), "]".repeat(depth - 2));
    house.refuses(post(PREDICT, nested(50)), 400, "column \"x\" in row 1 expects a number, found a list");
    house.refuses(post(PREDICT, nested(100)), 400, "column \"x\" in row 1 expects a number, found a list");
    for depth in [101, 120, 1_000, 1_000_000] {
        house.refuses(post(PREDICT, nested(depth)), 400, "the JSON is nested deeper than 100 levels");
    }
    let unknown =
        |depth: usize| format!(r#"{{"inputs":[],"more":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    house.refuses(post("/v2/models/numbers/infer", unknown(50)), 400, "'inputs' is empty");
    house.refuses(post("/v2/models/numbers/infer", unknown(120)), 400, "the JSON is nested deeper than 100 levels");
}

#[test]
fn large_bodies_are_413() {
    let house = house_with(|config| config.max_body_bytes = 100, vec![one_column(sum)]);
    let body = |n: usize| format!("{ROW}{}", " ".repeat(n - ROW.len()));
    assert_eq!(house.call(post(PREDICT, body(100))).status, 200);
    house.refuses(post(PREDICT, body(101)), 413, "the body is larger than 100 bytes");
}

#[test]
fn values_are_counted_before_they_are_kept() {
    let house = house(vec![one_column(sum)]);
    let zeros = |n: usize| vec!["0"; n].join(",");
    let n = (1 << 21) + 1;
    house.refuses(
        post(PREDICT, format!(r#"{{"columns":{{"x":[{}]}}}}"#, zeros(n))),
        413,
        "one request holds at most 2097152 values",
    );
    let tensor = format!(r#"{{"inputs":[{{"name":"x","shape":[{n}],"datatype":"UINT8","data":[{}]}}]}}"#, zeros(n));
    house.refuses(
        post("/v2/models/x/infer", tensor),
        400,
        "the body can't be read: one request holds at most 2097152 values",
    );
}

#[test]
fn only_json_in_utf8_is_read() {
    let house = house(vec![one_column(sum), numbers(1)]);
    let types: [&[u8]; 14] = [
        b"text/plain",
        b"application/json; charset=utf-16",
        b"application/json; charset=latin1",
        b"application/json; profile=x",
        b"application/json;",
        b"application/x-pickle",
        b"application/vnd.bentoml+pickle",
        b"application/x-python-serialize",
        b"application/cloudpickle",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"<script>alert(1)</script>",
        b"",
        b"\xff",
    ];
    for content_type in types {
        for uri in [PREDICT, "/v2/models/numbers/infer"] {
            let answer = house.call(post(uri, ROW).set("content-type", content_type));
            assert_eq!(answer.status, 415, "{:?}", String::from_utf8_lossy(content_type));
            let text = answer.text();
            assert!(!text.contains("script") && !text.contains("pickle") && !text.contains("utf-16"), "{text}");
        }
    }
    house.refuses(post(PREDICT, ROW).without("content-type"), 415, "the body must be JSON and say so");
    house.refuses(post(PREDICT, ROW).set("content-type", "application/octet-stream"), 415, "the body must be JSON");
    house.refuses(
        post(PREDICT, ROW).with("content-type", "application/json"),
        415,
        "there is more than one 'Content-Type' header",
    );
    for encoding in ["br", "zstd", "identity", "args-number", "gzip, gzip", ""] {
        let refused = post(PREDICT, ROW).with("content-encoding", encoding);
        house.refuses(refused, 415, "bodies of this 'Content-Encoding' are not read");
    }
    for content_type in ["application/json", "Application/JSON; Charset=UTF-8", "application/json;charset=\"utf-8\""] {
        assert_eq!(house.call(post(PREDICT, ROW).set("content-type", content_type)).status, 200, "{content_type}");
    }
}

#[test]
fn what_a_client_wrote_comes_back_escaped_and_cut() {
    let house = house(vec![mixed()]);
    let name = format!("<img src=x onerror=alert(1)>{}", "é".repeat(5_000));
    let answer = house.call(post("/v1/models/mixed/predict", json!({"row":{name:1}}).to_string()));
    assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"));
    assert!(answer.body.len() < 500, "{}", answer.body.len());
    let text = json!({"row": "x".repeat(100_000)}).to_string();
    let answer = house.call(post("/v1/models/mixed/predict", text));
    assert!(answer.status == 400 && answer.body.len() < 700, "{}", answer.body.len());
}

#[test]
fn a_model_that_panics_ends_one_request() {
    let house = house(vec![one_column(|frame| {
        assert!(frame.columns()[0].data.number(0) < 10.0, "the secret is 42");
        Ok(Outputs::Numbers(vec![1.0; frame.n_rows()]))
    })]);
    let ask = |x: f64| post(PREDICT, json!({"row":{"x":x}}).to_string());
    for _ in 0..3 {
        // The first one runs elsewhere, the later ones on the thread that answers.
        assert_eq!(house.call(ask(1.0)).status, 200);
        let answer = house.call(ask(11.0));
        assert_eq!(
            (answer.status, answer.error()),
            (500, "the request failed because of a fault in the endpoint".to_owned())
        );
        assert!(!answer.text().contains("secret"));
    }
}

#[test]
fn outputs_of_the_wrong_shape_are_our_fault() {
    for outputs in [
        Outputs::Numbers(vec![]),
        Outputs::Numbers(vec![1.0; 2]),
        Outputs::Classes { labels: vec!["a".into()], probabilities: vec![] },
    ] {
        let house = house(vec![one_column(move |_| Ok(outputs.clone()))]);
        house.refuses(post(PREDICT, ROW), 500, "the request failed because of a fault in the endpoint");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_allowed_are_429_and_then_welcome_again() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let model = one_column(move |frame| {
        behind.pass();
        sum(frame)
    });
    let house = Arc::new(house_with(|config| config.max_concurrent = 2, vec![model]));
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let house = Arc::clone(&house);
            tokio::spawn(async move { house.call_async(post(PREDICT, ROW)).await.status })
        })
        .collect();
    // On a machine with one processor the second one waits for the first; both are admitted all the same.
    let waiting = Arc::clone(&door);
    tokio::task::spawn_blocking(move || waiting.wait_for(1)).await.unwrap();
    let refused = loop {
        let answer = house.call_async(get("/v1/models")).await;
        if answer.status == 429 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(house.call_async(get("/v2/health/live")).await.status, 200, "probes are always answered");
    door.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(house.call_async(post(PREDICT, ROW)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_model_is_504_and_keeps_its_place_until_it_is_done() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let model = one_column(move |frame| {
        behind.pass();
        sum(frame)
    });
    let change = |config: &mut ServeConfig| {
        config.max_concurrent = 1;
        config.request_timeout = Duration::from_millis(50);
    };
    let house = house_with(change, vec![model]);
    let answer = house.call_async(post(PREDICT, ROW)).await;
    assert_eq!((answer.status, answer.error()), (504, "the prediction took too long".to_owned()));
    assert_eq!(house.call_async(get("/v1/models")).await.status, 429, "work that nobody waits for still counts");
    door.open();
    while house.call_async(get("/v1/models")).await.status == 429 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_swapped_while_requests_run() {
    let house = Arc::new(house(vec![numbers(1), mixed()]));
    let body = r#"{"row":{"a":1,"b":0,"c":false}}"#;
    let swapping = Arc::clone(&house);
    let swaps = tokio::task::spawn_blocking(move || {
        for version in 2..200 {
            swapping.state.models().replace(vec![numbers(version), mixed()]).unwrap();
        }
    });
    let mut last = 0;
    while !swaps.is_finished() {
        let answer = house.call_async(post("/v1/models/numbers/predict", body)).await;
        let version = answer.json()["version"].as_u64().unwrap();
        assert!(answer.status == 200 && version >= last, "{version} after {last}");
        last = version;
    }
    swaps.await.unwrap();
    let answer = house.call_async(post("/v1/models/numbers/predict", body)).await;
    assert_eq!(answer.json()["version"], 199);
    house.state.models().replace(vec![mixed()]).unwrap();
    assert_eq!(house.call_async(post("/v1/models/numbers/predict", body)).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_the_model_that_it_found() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let house = Arc::new(house(vec![one_column(move |frame| {
        behind.pass();
        sum(frame)
    })]));
    let calling = Arc::clone(&house);
    let call = tokio::spawn(async move { calling.call_async(post(PREDICT, ROW)).await });
    let waiting = Arc::clone(&door);
    tokio::task::spawn_blocking(move || waiting.wait_for(1)).await.unwrap();
    house.state.models().replace(vec![]).unwrap();
    door.open();
    assert_eq!(call.await.unwrap().json()["predictions"][0]["value"], 1.0);
}

#[test]
fn a_version_twice_replaces_nothing() {
    let house = house(vec![numbers(1)]);
    let err = house.state.models().replace(vec![mixed(), numbers(2), numbers(2)]).unwrap_err();
    assert_eq!(err.to_string(), "model \"numbers\" version 2 is listed twice");
    assert_eq!(house.call(get("/v1/models/numbers")).json()["version"], 1);
}

#[test]
fn names_that_no_address_can_carry_are_refused() {
    for name in ["", "..", "a/b", "a b", "con", "é", "x."] {
        let model = crate::house::Made { signature: mixed().signature().clone(), predict: sum };
        assert!(Served::new(name, 1, Arc::new(model)).is_err(), "{name:?}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    for change in [
        (|config: &mut ServeConfig| config.max_body_bytes = 0) as fn(&mut ServeConfig),
        |config| config.max_concurrent = 0,
        |config| config.max_connections = 0,
        |config| config.max_json_depth = 1_000,
        |config| config.allowed_hosts = vec!["*".to_owned()],
        |config| config.allowed_origins = vec!["*".to_owned()],
    ] {
        let mut config = config();
        change(&mut config);
        let state = athanor_serve::State::new(config, Arc::new(crate::house::TestKeys), Arc::default());
        assert_eq!(state.err().unwrap().code(), athanor_protocol::Code::InvalidArgument);
    }
}

#[test]
fn a_request_with_a_broken_body_is_400() {
    let house = house(vec![one_column(sum)]);
    let ask: Ask = post(PREDICT, b"\x00\x01\x02".to_vec());
    house.refuses(ask, 400, "the body can't be read");
}

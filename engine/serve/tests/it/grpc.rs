//! The Open Inference Protocol over gRPC, on a real socket.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use athanor_protocol::Code;
use axum::body::Body;
use tower::ServiceExt as _;

use crate::{
    grpc_house::{
        LiveGrpc, SERVICE, all, bytes, call, call_with, connect, doubles, f64s, framed, gather, header, input,
        live_grpc, packed, request, text,
    },
    house::{Door, failing, mixed, numbers, one_column, sum},
};

const OK: i32 = 0;
const CANCELLED: i32 = 1;
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

fn contents(field: Vec<u8>) -> Vec<u8> {
    bytes(5, field)
}

/// A request to the model `x`, with typed values.
fn ask_x(values: &[f64]) -> Vec<u8> {
    [bytes(1, "x"), input("x", "FP64", &[values.len() as i64], &contents(doubles(7, values)))].concat()
}

fn x() -> LiveGrpc {
    live_grpc(|_| {}, vec![one_column(sum)])
}

/// Three rows of `numbers`, typed.
fn numbers_typed() -> Vec<u8> {
    [
        bytes(1, "numbers"),
        bytes(3, "id-7"),
        input("c", "BOOL", &[3, 1], &contents(packed(1, &[0, 1, 0]))),
        input("a", "FP64", &[3], &contents(doubles(7, &[0.25, f64::NAN, -1.5]))),
        input("b", "INT64", &[3], &contents(packed(3, &[0, 0, -4]))),
    ]
    .concat()
}

/// The same rows, raw.
fn numbers_raw() -> Vec<u8> {
    let le = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let whole = [0_i64, 0, -4].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    [
        bytes(1, "numbers"),
        bytes(3, "id-7"),
        input("c", "BOOL", &[3, 1], b""),
        input("a", "FP64", &[3], b""),
        input("b", "INT64", &[3], b""),
        bytes(7, [0, 1, 0]),
        bytes(7, le(&[0.25, f64::NAN, -1.5])),
        bytes(7, whole),
    ]
    .concat()
}

#[tokio::test]
async fn predictions_are_counted_as_over_http() {
    let live = live_grpc(|_| {}, vec![numbers(2)]);
    assert_eq!(call(&live, "ModelInfer", &numbers_typed()).await.status, OK);
    let request = axum::http::Request::get("/metrics").header("host", "localhost:8080");
    let request = request.header("authorization", "Bearer k-good").body(Body::empty()).unwrap();
    let answer = athanor_serve::router(&live.state).oneshot(request).await.unwrap();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let line = r#"athanor_requests_total{model="numbers",version="2",route="infer",code="200"} 1"#;
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[tokio::test]
async fn typed_and_raw_tensors_are_answered_alike() {
    let live = live_grpc(|_| {}, vec![numbers(2)]);
    let typed = call(&live, "ModelInfer", &numbers_typed()).await;
    let raw = call(&live, "ModelInfer", &numbers_raw()).await;
    for said in [&typed, &raw] {
        assert_eq!((said.http, said.status, said.text.as_str()), (200, OK, ""));
        let head = [1, 2, 3].map(|number| text(&said.message, number));
        assert_eq!(head, ["numbers", "2", "id-7"]);
        let outputs = all(&said.message, 5);
        let described: Vec<_> = outputs.iter().map(|output| [1, 2].map(|number| text(output, number))).collect();
        assert_eq!(described, [["label", "BYTES"], ["probabilities", "FP64"]]);
        assert_eq!(outputs.iter().map(|output| all(output, 3)).collect::<Vec<_>>(), [[vec![3]], [vec![3, 2]]]);
    }
    let outputs = all(&typed.message, 5);
    let labels = all(&all(&outputs[0], 5)[0], 8);
    assert_eq!(labels, [b"no".to_vec(), b"yes".to_vec(), b"no".to_vec()]);
    let probabilities = f64s(&all(&all(&outputs[1], 5)[0], 7)[0]);
    assert_eq!(probabilities, [0.75, 0.25, 0.0, 1.0, 1.0, 0.0]);
    let raws = all(&raw.message, 6);
    assert_eq!(raws[0], b"\x02\0\0\0no\x03\0\0\0yes\x02\0\0\0no");
    assert_eq!(f64s(&raws[1]), probabilities);
    assert!(all(&typed.message, 6).is_empty());
}

#[tokio::test]
async fn every_datatype_has_its_field_and_all_of_them_one_column() {
    let live = x();
    let fp32 = |value: f32| bytes(6, value.to_le_bytes());
    for (datatype, field) in [
        ("BOOL", packed(1, &[1])),
        ("INT8", packed(2, &[1])),
        ("INT32", packed(2, &[1])),
        ("INT64", packed(3, &[1])),
        ("UINT8", packed(4, &[1])),
        ("UINT32", packed(4, &[1])),
        ("UINT64", packed(5, &[1])),
        ("FP32", fp32(1.0)),
        ("FP64", doubles(7, &[1.0])),
    ] {
        let message = [bytes(1, "x"), input("x", datatype, &[1], &contents(field))].concat();
        let said = call(&live, "ModelInfer", &message).await;
        assert_eq!((said.status, said.text.as_str()), (OK, ""), "{datatype}");
        assert_eq!(f64s(&all(&all(&all(&said.message, 5)[0], 5)[0], 7)[0]), [1.0], "{datatype}");
    }
    let live = live_grpc(|_| {}, vec![mixed()]);
    let tensors: [(&str, &str, Vec<u8>); 6] = [
        ("height", "FP64", doubles(7, &[1.5])),
        ("width", "FP64", doubles(7, &[f64::NAN])),
        ("legs", "INT64", packed(3, &[4])),
        ("tame", "BOOL", packed(1, &[1])),
        ("colour", "BYTES", bytes(8, "red")),
        ("seen", "BYTES", bytes(8, "1970-01-01T00:00:01Z")),
    ];
    let inputs = tensors.map(|(name, datatype, field)| input(name, datatype, &[1], &contents(field))).concat();
    let said = call(&live, "ModelInfer", &[bytes(1, "mixed"), inputs].concat()).await;
    assert_eq!((said.status, said.text.as_str()), (OK, ""));
    assert_eq!(f64s(&all(&all(&all(&said.message, 5)[0], 5)[0], 7)[0]), [1.5 + 4.0 + 1.0 + 3.0 + 1.0]);
}

#[tokio::test]
async fn what_is_wrong_with_tensors_is_said_with_their_names() {
    let live = live_grpc(|_| {}, vec![one_column(sum), numbers(1)]);
    let one = doubles(7, &[1.0]);
    let x = |shape: &[i64], more: &[u8]| [bytes(1, "x"), input("x", "FP64", shape, more)].concat();
    let typed = |datatype: &str, field: Vec<u8>| [bytes(1, "x"), input("x", datatype, &[1], &contents(field))].concat();
    let shared = bytes(4, [bytes(1, "shared_memory_region"), bytes(2, bytes(3, "r"))].concat());
    let class = bytes(6, [bytes(1, "value"), bytes(2, bytes(1, "classification"))].concat());
    let cases: [(Vec<u8>, &str); 27] = [
        (x(&[1 << 4, (1 << 60) + 2], &contents(one.clone())), "input \"x\": its shape has more than 2097152 values"),
        (x(&[1 << 2, (1 << 60) + 2], b""), "input \"x\": its shape has more than 2097152 values"),
        (x(&[i64::MAX, 0], b""), "input \"x\": its shape has more than 2097152 values"),
        (x(&[-1], &contents(one.clone())), "input \"x\": its shape has the negative dimension -1"),
        (x(&[], &contents(one.clone())), "input \"x\": its shape is empty"),
        (x(&[1, 1, 1], &contents(one.clone())), "input \"x\": its shape has 3 dimensions"),
        (x(&[2], &contents(one.clone())), "input \"x\": its shape has 2 values, its data 1"),
        (x(&[1], b""), "input \"x\": its shape has 1 values, its data 0"),
        (x(&[1, 2], &contents(doubles(7, &[1.0, 2.0]))), "input \"x\" has 2 values in a row"),
        (
            [x(&[1], &contents(one.clone())), bytes(7, 1_f64.to_le_bytes())].concat(),
            "input \"x\": it has both 'contents' and 'raw_input_contents'",
        ),
        (
            [x(&[1], b""), bytes(7, 1_f64.to_le_bytes()), bytes(7, b"")].concat(),
            "'raw_input_contents' has 2 tensors, 'inputs' 1",
        ),
        ([x(&[1], b""), bytes(7, [0; 7])].concat(), "input \"x\": 7 bytes are not 1 values of FP64"),
        (x(&[1], &contents(doubles(7, &[f64::NAN]))), "input \"x\": column \"x\" in row 1 must not be missing"),
        (x(&[1], &contents(doubles(7, &[f64::INFINITY]))), "input \"x\": column \"x\" in row 1 must be finite"),
        (
            typed("FP64", packed(3, &[1])),
            "input \"x\": its values are in 'int64_contents', those of FP64 belong in 'fp64_contents'",
        ),
        (typed("INT8", packed(2, &[300])), "input \"x\": value 1 is 300, which is no INT8"),
        (typed("UINT16", packed(4, &[70_000])), "input \"x\": value 1 is 70000, which is no UINT16"),
        (typed("BYTES", bytes(8, b"\xff")), "input \"x\": value 1 of its 'bytes_contents' is not UTF-8"),
        (typed("BYTES", bytes(8, b"1")), "input \"x\": column \"x\" in row 1 expects a number, found text"),
        (typed("FP16", vec![]), "input \"x\": datatype FP16 is not read"),
        (typed("", vec![]), "input \"x\": there is no datatype \"\""),
        (x(&[1], &shared), "input \"x\": shared memory is not used here"),
        ([x(&[1], &contents(one.clone())), class].concat(), "the parameter 'classification' is not known here"),
        ([x(&[1], &contents(one.clone())), bytes(6, bytes(1, "no"))].concat(), "the model has no output \"no\""),
        (bytes(1, "x"), "'inputs' is empty"),
        (b"\x0a\x7fx".to_vec(), "the message can't be read"),
        (
            [x(&[1], &contents(one.clone())), input("x", "FP64", &[1], &contents(one))].concat(),
            "input \"x\" is there twice",
        ),
    ];
    for (message, expect) in cases {
        let said = call(&live, "ModelInfer", &message).await;
        assert_eq!(said.status, INVALID_ARGUMENT, "{expect}: {}", said.text);
        assert!(said.text.starts_with(expect), "{:?} does not start with {expect:?}", said.text);
    }
    let said = call(&live, "ModelInfer", &numbers_raw().repeat(1)[..numbers_raw().len() - 27]).await;
    assert_eq!(said.status, INVALID_ARGUMENT, "{}", said.text);
    for (message, expect) in [
        (bytes(1, "y"), "no model of that name is served here"),
        ([bytes(1, "x"), bytes(2, "9")].concat(), "that version of the model is not served here"),
        ([bytes(1, "x"), bytes(2, "01")].concat(), "that version of the model is not served here"),
        (vec![], "no model of that name is served here"),
    ] {
        for method in ["ModelInfer", "ModelMetadata", "ModelConfig"] {
            // What names model and version has the same numbers everywhere.
            let said = call(&live, method, &message).await;
            assert_eq!(said.status, NOT_FOUND, "{method}: {}", said.text);
            assert!(said.text.starts_with(expect), "{}", said.text);
        }
        assert_eq!(call(&live, "ModelReady", &message).await.message, b"", "{expect}: it is not ready, which is 0");
    }
}

#[tokio::test]
async fn the_other_methods_tell_what_is_there() {
    let live = live_grpc(|_| {}, vec![numbers(3), numbers(2), one_column(sum)]);
    assert_eq!(call(&live, "ServerLive", b"").await.message, b"\x08\x01");
    assert_eq!(call(&live, "ServerReady", b"").await.message, b"\x08\x01");
    assert_eq!(call(&live, "ModelReady", &bytes(1, "numbers")).await.message, b"\x08\x01");
    assert_eq!(text(&call(&live, "ServerMetadata", b"").await.message, 1), "athanor");
    let said = call(&live, "ModelMetadata", &bytes(1, "numbers")).await;
    assert_eq!((said.status, text(&said.message, 1), text(&said.message, 3)), (OK, "numbers".into(), "athanor".into()));
    assert_eq!(all(&said.message, 2), [b"3", b"2"]);
    let tensors: Vec<_> = all(&said.message, 4).iter().map(|tensor| (text(tensor, 1), text(tensor, 2))).collect();
    assert_eq!(tensors, [("a", "FP64"), ("b", "INT64"), ("c", "BOOL")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    let said = call(&live, "ModelConfig", &bytes(1, "numbers")).await;
    let config = &all(&said.message, 1)[0];
    assert_eq!((text(config, 1), all(config, 5).len(), all(config, 6).len()), ("numbers".to_owned(), 3, 2));
    let index = call(&live, "RepositoryIndex", b"").await;
    let models: Vec<_> =
        all(&index.message, 1).iter().map(|model| [1, 2, 3].map(|number| text(model, number)).join(" ")).collect();
    assert_eq!(models, ["numbers 3 READY", "numbers 2 READY", "x 1 READY"]);
    for service in [&b""[..], &bytes(1, "inference.GRPCInferenceService")] {
        let said = call_with(&live, "/grpc.health.v1.Health/Check", service, |request| {
            request.headers_mut().remove("authorization");
        });
        assert_eq!(said.await.message, b"\x08\x01", "it serves");
    }
    assert_eq!(call(&live, "/grpc.health.v1.Health/Check", &bytes(1, "other")).await.status, NOT_FOUND);
}

#[tokio::test]
async fn keys_are_asked_for_as_over_http() {
    let live = live_grpc(|config| config.max_failed_attempts = 1_000, vec![one_column(sum)]);
    let none = |request: &mut axum::http::Request<Body>| drop(request.headers_mut().remove("authorization"));
    for method in ["ModelInfer", "ModelMetadata", "ModelReady", "ModelConfig", "ServerMetadata", "RepositoryIndex"] {
        let said = call_with(&live, method, &ask_x(&[1.0]), none).await;
        assert_eq!(
            (said.status, said.text.split(';').next().unwrap()),
            (UNAUTHENTICATED, "a key is needed"),
            "{method}"
        );
    }
    for path in ["/", "/x", "/x/y", "/inference.GRPCInferenceService/ModelStreamInfer", "/grpc.health.v1.Health/Watch"]
    {
        assert_eq!(call_with(&live, path, b"", none).await.status, UNAUTHENTICATED, "{path}");
        assert_eq!(call(&live, path, b"").await.status, UNIMPLEMENTED, "{path}");
    }
    for method in ["ServerLive", "ServerReady"] {
        assert_eq!(call_with(&live, method, b"", none).await.status, OK, "{method}");
    }
    for (key, status, expect) in [
        ("Bearer nonsense", UNAUTHENTICATED, "the key is not valid"),
        ("Bearer k-goo", UNAUTHENTICATED, "the key is not valid"),
        ("Bearer k-good2", UNAUTHENTICATED, "the key is not valid"),
        ("Bearer k-expired", UNAUTHENTICATED, "the key has expired"),
        ("Bearer k-revoked", UNAUTHENTICATED, "the key was revoked"),
        ("Bearer k-unavailable", UNAVAILABLE, "keys can't be checked right now"),
        ("Basic k-good", UNAUTHENTICATED, "the 'Authorization' header holds no bearer key"),
        ("Bearer k-admin", PERMISSION_DENIED, "the key may not ask for predictions"),
        ("Bearer k-read", PERMISSION_DENIED, "the key may not ask for predictions"),
        ("bearer k-good", OK, ""),
    ] {
        let said = call_with(&live, "ModelInfer", &ask_x(&[1.0]), header("authorization", key)).await;
        assert_eq!(said.status, status, "{key}: {}", said.text);
        assert!(said.text.starts_with(expect), "{}", said.text);
    }
    let read = header("authorization", "Bearer k-read");
    assert_eq!(call_with(&live, "ModelMetadata", &bytes(1, "x"), read).await.status, OK);
    let twice = |request: &mut axum::http::Request<Body>| {
        request.headers_mut().append("authorization", "Bearer k-good".parse().unwrap());
    };
    assert_eq!(call_with(&live, "ModelMetadata", &bytes(1, "x"), twice).await.status, UNAUTHENTICATED);
    let elsewhere = format!("{SERVICE}ModelMetadata?key=k-good");
    assert_eq!(call_with(&live, &elsewhere, &bytes(1, "x"), none).await.status, UNAUTHENTICATED);
}

#[tokio::test]
async fn wrong_keys_are_throttled() {
    let live = live_grpc(|config| config.max_failed_attempts = 3, vec![one_column(sum)]);
    let mut last = None;
    for n in 0..6 {
        let key = format!("Bearer wrong-{n}");
        last = Some(call_with(&live, "ServerMetadata", b"", header("authorization", &key)).await);
    }
    let last = last.unwrap();
    assert_eq!((last.status, last.text.as_str()), (RESOURCE_EXHAUSTED, "too many wrong keys came from this address"));
    assert_eq!(last.headers["grpc-retry-pushback-ms"], "1000");
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused() {
    let live = x();
    let to = |authority: &'static str| {
        move |request: &mut axum::http::Request<Body>| {
            *request.uri_mut() = format!("http://{authority}{SERVICE}ServerLive").parse().unwrap();
        }
    };
    for authority in ["evil.example", "localhost:1", "127.0.0.1.evil.example"] {
        assert_eq!(call_with(&live, "ServerLive", b"", to(authority)).await.status, PERMISSION_DENIED, "{authority}");
    }
    assert_eq!(call_with(&live, "ServerLive", b"", to("localhost")).await.status, OK);
    let said = call_with(&live, "ServerLive", b"", header("origin", "https://evil.example")).await;
    assert_eq!(said.status, PERMISSION_DENIED);
}

#[tokio::test]
async fn what_is_no_grpc_is_refused_as_http() {
    let live = x();
    for kind in ["application/json", "application/grpc-web", "application/grpc+json", "text/html"] {
        assert_eq!(call_with(&live, "ServerLive", b"", header("content-type", kind)).await.http, 415, "{kind}");
    }
    let get = |request: &mut axum::http::Request<Body>| *request.method_mut() = axum::http::Method::GET;
    assert_eq!(call_with(&live, "ServerLive", b"", get).await.http, 405);
    let mut sender = connect(&live).await;
    for (body, status) in [
        (b"\x01\0\0\0\0".to_vec(), UNIMPLEMENTED),
        (b"\0\0\0\0\x05ab".to_vec(), INVALID_ARGUMENT),
        (b"\0\xff\xff\xff\xff".to_vec(), INVALID_ARGUMENT),
        (b"\0\0".to_vec(), INVALID_ARGUMENT),
        ([framed(b""), framed(b"")].concat(), INVALID_ARGUMENT),
        (framed(&[0; 20_000]).to_vec(), RESOURCE_EXHAUSTED),
        (framed(b"\xff").to_vec(), INVALID_ARGUMENT),
    ] {
        let path = format!("{SERVICE}ServerMetadata");
        let said = gather(sender.send_request(request(&live, &path, body.clone(), |_| {})).await.unwrap()).await;
        assert_eq!(said.status, status, "{:?}: {}", &body[..body.len().min(10)], said.text);
    }
}

#[tokio::test]
async fn messages_have_the_limit_of_bodies() {
    let live = live_grpc(|config| config.max_body_bytes = 10_000, vec![one_column(sum)]);
    let said = call(&live, "ModelInfer", &ask_x(&vec![1.0; 2_000])).await;
    assert_eq!(
        (said.status, said.text.split(';').next().unwrap()),
        (RESOURCE_EXHAUSTED, "the body is larger than 10000 bytes")
    );
    assert_eq!(call(&live, "ModelInfer", &ask_x(&vec![1.0; 1_000])).await.status, OK);
    let bomb = [bytes(1, "x"), bytes(5, b"").repeat(3_000)].concat();
    assert_eq!(call(&live, "ModelInfer", &bomb).await.status, INVALID_ARGUMENT, "within the limits it is only wrong");
    let live = x();
    let bomb = [bytes(1, "x"), bytes(5, b"").repeat(1 << 17)].concat();
    let said = call(&live, "ModelInfer", &bomb).await;
    assert_eq!(
        (said.status, said.text.split(';').next().unwrap()),
        (RESOURCE_EXHAUSTED, "one request holds at most 65536 tensors")
    );
}

/// A model that waits behind a door.
fn behind(door: &Arc<Door>) -> athanor_serve::Served {
    let door = Arc::clone(door);
    one_column(move |frame| {
        door.pass();
        sum(frame)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_is_bounded_by_client_and_endpoint() {
    let door = Arc::new(Door::default());
    let live = live_grpc(|_| {}, vec![behind(&door)]);
    let said = call_with(&live, "ModelInfer", &ask_x(&[1.0]), header("grpc-timeout", "50m")).await;
    // On a busy machine the time may be over before the body is there.
    assert_eq!(said.status, DEADLINE_EXCEEDED, "{}", said.text);
    for timeout in ["soon", "1", "999999999S", "-1S"] {
        let said = call_with(&live, "ModelInfer", &ask_x(&[1.0]), header("grpc-timeout", timeout)).await;
        assert_eq!(said.status, INVALID_ARGUMENT, "{timeout}");
    }
    door.open();
    let live = live_grpc(|config| config.request_timeout = Duration::from_millis(50), vec![one_column(sum)]);
    let mut sender = connect(&live).await;
    // A body that never comes.
    let (_kept, reader) = tokio::io::duplex(10);
    let stuck = Body::new(Pending(reader));
    let path = format!("{SERVICE}ModelInfer");
    let asked = request(&live, &path, stuck, header("grpc-timeout", "1H"));
    let said = gather(sender.send_request(asked).await.unwrap()).await;
    assert_eq!((said.status, said.text.as_str()), (DEADLINE_EXCEEDED, "the body did not arrive in time"));
}

/// A body that has not ended and says nothing.
struct Pending(#[expect(dead_code, reason = "held")] tokio::io::DuplexStream);

impl axum::body::HttpBody for Pending {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_allowed_are_refused_and_then_welcome_again() {
    let door = Arc::new(Door::default());
    let live = Arc::new(live_grpc(|config| config.max_concurrent = 1, vec![behind(&door)]));
    let first = tokio::spawn({
        let live = Arc::clone(&live);
        async move { call(&live, "ModelInfer", &ask_x(&[1.0])).await.status }
    });
    let waiting = Arc::clone(&door);
    tokio::task::spawn_blocking(move || waiting.wait_for(1)).await.unwrap();
    let said = call(&live, "ModelInfer", &ask_x(&[1.0])).await;
    assert_eq!(said.status, RESOURCE_EXHAUSTED, "{}", said.text);
    assert_eq!(call(&live, "ServerLive", b"").await.status, OK, "probes are always answered");
    door.open();
    assert_eq!(first.await.unwrap(), OK);
    assert_eq!(call(&live, "ModelInfer", &ask_x(&[1.0])).await.status, OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_cancels_stops_the_work() {
    let door = Arc::new(Door::default());
    let live = live_grpc(|config| config.max_concurrent = 1, vec![behind(&door)]);
    let mut sender = connect(&live).await;
    // Three calls to the model, if nobody stops them.
    let message = ask_x(&vec![1.0; 3 * 4_096]);
    let asked = request(&live, &format!("{SERVICE}ModelInfer"), framed(&message), |_| {});
    let asking = tokio::spawn(async move { sender.send_request(asked).await });
    let waiting = Arc::clone(&door);
    tokio::task::spawn_blocking(move || waiting.wait_for(1)).await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    // The endpoint has heard of it when the stream's end has gone through: nothing else can be waited for but its place.
    let mut is_told = connect(&live).await;
    for _ in 0..50 {
        let live_probe = request(&live, &format!("{SERVICE}ServerLive"), framed(b""), |_| {});
        gather(is_told.send_request(live_probe).await.unwrap()).await;
    }
    door.open();
    while call(&live, "ModelInfer", &ask_x(&[1.0])).await.status == RESOURCE_EXHAUSTED {
        tokio::task::yield_now().await;
    }
    assert!(door.n_came() <= 3, "the model was called {} times", door.n_came());
}

#[tokio::test]
async fn faults_of_ours_are_bland() {
    for (code, status) in
        [(Code::Internal, INTERNAL), (Code::OutOfMemory, UNAVAILABLE), (Code::BadData, INVALID_ARGUMENT)]
    {
        let live = live_grpc(|_| {}, vec![failing(code)]);
        let said = call(&live, "ModelInfer", &ask_x(&[1.0])).await;
        assert_eq!(said.status, status, "{code:?}: {}", said.text);
        assert_eq!(said.text.contains("/secret/path"), code == Code::BadData, "{}", said.text);
    }
    let live = live_grpc(|_| {}, vec![one_column(|_| panic!("the secret is 42"))]);
    for _ in 0..3 {
        let said = call(&live, "ModelInfer", &ask_x(&[1.0])).await;
        assert!(said.status == INTERNAL && !said.text.contains("42"), "{}", said.text);
    }
    assert_ne!(CANCELLED, OK);
}

#[tokio::test]
async fn a_keys_limits_are_told() {
    let live = live_grpc(|_| {}, vec![one_column(sum)]);
    let ask = |n: usize| {
        let live = &live;
        async move {
            call_with(live, "ModelInfer", &ask_x(&vec![1.0; n]), header("authorization", "Bearer k-limited")).await
        }
    };
    let said = ask(2).await;
    assert_eq!(
        (said.status, &said.headers["ratelimit-limit"], &said.headers["ratelimit-remaining"]),
        (OK, &"3".parse().unwrap(), &"2".parse().unwrap())
    );
    let said = ask(2).await;
    assert_eq!(said.status, RESOURCE_EXHAUSTED, "{}", said.text);
    assert!(said.text.starts_with("the key may ask for 3 rows in a day, and has 1 left"), "{}", said.text);
    assert_eq!(ask(1).await.status, OK);
    let said = ask(0).await;
    assert!(
        said.status == RESOURCE_EXHAUSTED && said.text.starts_with("the key may ask 3 times in a day"),
        "{}",
        said.text
    );
    assert_eq!(call(&live, "ModelInfer", &ask_x(&[1.0; 9])).await.status, OK, "others are not limited");
}

/// Sends bytes and waits until the endpoint closes.
fn closes(live: &LiveGrpc, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(live.addr).unwrap();
    // Nothing waits for this long: it turns a hanging test into a failing one.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ = stream.write_all(bytes);
    let mut read = vec![];
    match stream.read_to_end(&mut read) {
        Ok(_) => {}
        Err(err) if err.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(err) => panic!("{err}"),
    }
    read
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

#[test]
fn silent_slow_and_foreign_connections_are_let_go() {
    let change = |config: &mut athanor_serve::ServeConfig| {
        config.header_read_timeout = Duration::from_millis(100);
        config.idle_timeout = Duration::from_millis(100);
    };
    let live = live_grpc(change, vec![one_column(sum)]);
    closes(&live, b"");
    closes(&live, &PREFACE[..10]);
    closes(&live, PREFACE);
    closes(&live, &[PREFACE, SETTINGS].concat());
    // Headers that never end: a frame without its end, and then nothing.
    closes(&live, &[PREFACE, SETTINGS, b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat());
    let answer = closes(&live, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    closes(&live, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03");
    // A frame larger than allowed, an unknown kind of setting, a stream of our own number.
    closes(&live, &[PREFACE, SETTINGS, b"\xff\xff\xff\0\0\0\0\0\x01"].concat());
    closes(&live, &[PREFACE, SETTINGS, b"\0\0\x01\x01\x05\0\0\0\x02\x82"].concat());
}

#[tokio::test]
async fn an_idle_connection_ends_and_the_next_one_works() {
    let live = live_grpc(|config| config.idle_timeout = Duration::from_millis(50), vec![one_column(sum)]);
    let mut sender = connect(&live).await;
    let path = format!("{SERVICE}ServerLive");
    assert_eq!(gather(sender.send_request(request(&live, &path, framed(b""), |_| {})).await.unwrap()).await.status, OK);
    while !sender.is_closed() {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&live, "ServerLive", b"").await.status, OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_requests_under_way_first() {
    let door = Arc::new(Door::default());
    let mut live = live_grpc(|config| config.drain_timeout = Duration::from_secs(60), vec![behind(&door)]);
    let mut sender = connect(&live).await;
    let asked = request(&live, &format!("{SERVICE}ModelInfer"), framed(&ask_x(&[1.0])), |_| {});
    let asking = tokio::spawn(async move { gather(sender.send_request(asked).await.unwrap()).await });
    let waiting = Arc::clone(&door);
    tokio::task::spawn_blocking(move || waiting.wait_for(1)).await.unwrap();
    let stopping = std::thread::spawn(move || live.stop());
    door.open();
    assert_eq!(asking.await.unwrap().status, OK);
    stopping.join().unwrap();
}

#[tokio::test]
async fn requests_count_as_load_and_carry_their_id() {
    let live = x();
    let said = call_with(&live, "ModelInfer", &ask_x(&[1.0]), header("x-request-id", "abc-1")).await;
    assert_eq!(said.headers["x-request-id"], "abc-1");
    call(&live, "ModelInfer", &bytes(1, "y")).await;
    call(&live, "ServerLive", b"").await;
    let series = live.state.load().series();
    assert_eq!((series.n_requests, series.n_refused, series.n_failed), (2, 1, 0));
}

#[tokio::test]
async fn no_message_makes_it_panic() {
    let live = live_grpc(|_| {}, vec![numbers(1)]);
    let mut sender = connect(&live).await;
    let path = format!("{SERVICE}ModelInfer");
    // A fixed sequence (xorshift), so that a failure comes again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for n in 0..1_000 {
        let mut message = if n % 2 == 0 { numbers_typed() } else { numbers_raw() };
        for _ in 0..=random(4) {
            let at = random(message.len());
            match random(4) {
                0 => message[at] = random(256) as u8,
                1 => message.truncate(at.max(1)),
                2 => drop(message.remove(at)),
                _ => message.insert(at, random(256) as u8),
            }
            if message.is_empty() {
                message.push(0);
            }
        }
        let said = gather(sender.send_request(request(&live, &path, framed(&message), |_| {})).await.unwrap()).await;
        let expect = [OK, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED];
        assert!(expect.contains(&said.status), "{} {:?} for {message:?}", said.status, said.text);
    }
}

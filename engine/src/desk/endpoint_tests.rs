#![allow(clippy::unwrap_used)]

use std::path::Path;

use athanor_protocol::{
    api::{EndpointOptions, KeyCreate, KeyList, KeyRevoke, ModelAlias, TlsChoice},
    explanation::Explanation,
    registry::{KeyLimits, Scope},
};

use super::*;
use crate::desk::{
    Subscription,
    test_desk::{TestDesk, ask},
    test_models::register,
};

fn produce(test: &TestDesk, version: Option<u32>) {
    let alias = ModelAlias { model: "tumours".to_owned(), alias: PRODUCTION.to_owned(), version };
    ask(&test.desk, alias).unwrap();
}

/// A desk with two versions of a model, the first in production.
fn with_model() -> TestDesk {
    let test = TestDesk::open();
    register(&test.desk, "tumours", 1);
    register(&test.desk, "tumours", 2);
    produce(&test, Some(1));
    test
}

/// What the endpoint was said to serve and whether it ran, by each event.
fn told(events: &Subscription) -> Vec<(bool, Vec<u32>)> {
    let status = |event: Event| match event {
        Event::EndpointChanged { status } => {
            Some((status.url.is_some(), status.models.iter().map(|served| served.version).collect()))
        }
        _ => None,
    };
    events.wait(Duration::ZERO).into_iter().filter_map(|event| status(event.event)).collect()
}

fn row(radius: Value) -> EndpointTry {
    let values = BTreeMap::from([("radius".to_owned(), radius), ("colour".to_owned(), json!("red"))]);
    EndpointTry { model: "tumours".to_owned(), values, explain: false }
}

fn get(url: &str, key: &str) -> (u16, Value) {
    athanor_serve::use_ring();
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let answer = client.get(format!("{url}/v1/models")).bearer_auth(key).send().unwrap();
    (answer.status().as_u16(), answer.json().unwrap())
}

#[test]
fn it_starts_answers_follows_and_stops() {
    let test = with_model();
    let events = test.desk.subscribe();
    let before = ask(&test.desk, EndpointGet {}).unwrap();
    assert_eq!((before.url, before.since_millis, before.models[0].version), (None, None, 1));
    assert_eq!(ask(&test.desk, row(json!(1))).unwrap_err().code, Code::Conflict);

    let status = ask(&test.desk, EndpointStart::default()).unwrap();
    let url = status.url.clone().unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && status.since_millis.is_some());
    assert_eq!(ask(&test.desk, EndpointGet {}).unwrap(), status);
    assert_eq!(ask(&test.desk, EndpointStart::default()).unwrap_err().code, Code::Conflict);

    let tried = ask(&test.desk, row(json!(29.0))).unwrap();
    assert_eq!((tried.status, &tried.body["predictions"][0]["label"]), (200, &json!("malign")), "{tried:?}");
    assert_eq!(tried.sent, json!({ "row": { "radius": 29.0, "colour": "red" } }));
    assert!(tried.micros > 0);
    let explained = ask(&test.desk, EndpointTry { explain: true, ..row(json!(29.0)) }).unwrap();
    assert_eq!(explained.sent, json!({ "row": { "radius": 29.0, "colour": "red" }, "explain": true }));
    let found: Explanation = serde_json::from_value(explained.body["explanations"][0].clone()).unwrap();
    let sum: f64 = found.contributions.iter().map(|one| one.contribution).sum();
    assert!((found.base + sum - found.value).abs() < 1e-9 && found.contributions.len() == 2, "{found:?}");
    let refused = ask(&test.desk, row(json!("wide"))).unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.body["error"].as_str().unwrap().contains("radius"), "{refused:?}");
    let unknown = EndpointTry { model: "nobody".to_owned(), values: BTreeMap::new(), explain: false };
    assert_eq!(ask(&test.desk, unknown).unwrap().status, 404);
    let path = EndpointTry { model: "../v2/models/tumours".to_owned(), values: BTreeMap::new(), explain: false };
    assert_eq!(ask(&test.desk, path).unwrap_err().code, Code::InvalidArgument);

    let load = ask(&test.desk, EndpointLoad {}).unwrap();
    assert_eq!((load.n_requests, load.n_refused, load.n_failed), (4, 2, 0));
    assert_eq!(load.seconds.iter().map(|second| second.n_requests).sum::<u32>(), 4);
    assert!(load.seconds.iter().all(|second| second.p50_micros > 0 && second.p99_micros >= second.p50_micros));

    // No key was left behind by trying, and a made one counts at once.
    assert!(ask(&test.desk, KeyList::default()).unwrap().items.is_empty());
    let made = KeyCreate {
        name: "client".to_owned(),
        scopes: vec![Scope::Predict],
        expires_at_millis: None,
        limits: KeyLimits::default(),
    };
    let made = ask(&test.desk, made).unwrap();
    assert_eq!(get(&url, &made.key).1["models"][0]["version"], 1);
    produce(&test, Some(2));
    assert_eq!(get(&url, &made.key).1["models"][0]["version"], 2, "an alias that moved counts at once");
    ask(&test.desk, KeyRevoke { id: made.info.id }).unwrap();
    assert_eq!(get(&url, &made.key).0, 401, "so does a revoked key");

    let after = ask(&test.desk, EndpointStop {}).unwrap();
    assert_eq!((after.url, after.models[0].version), (None, 2));
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    assert_eq!(ask(&test.desk, EndpointStop {}).unwrap().url, None, "again is no error");
    assert_eq!(ask(&test.desk, EndpointLoad {}).unwrap(), EndpointSeries::default());
    assert_eq!(told(&events), [(true, vec![1]), (true, vec![2]), (false, vec![2])]);
    ask(&test.desk, EndpointStart { port, ..EndpointStart::default() }).unwrap();
    test.desk.shut_down();
    assert!(!is_running(&test.desk));
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let test = with_model();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let failure = ask(&test.desk, EndpointStart { port, ..EndpointStart::default() }).unwrap_err();
    assert_eq!((failure.code, failure.subject), (Code::Unavailable, Some(port.to_string())));
    assert_eq!(failure.message, format!("port {port} is in use by another program"));
    assert!(failure.hint.is_some());
    assert!(!is_running(&test.desk));
    drop(taken);
    assert!(ask(&test.desk, EndpointStart { port, ..EndpointStart::default() }).is_ok());
}

#[test]
fn without_models_it_runs_and_serves_none() {
    let test = TestDesk::open();
    let status = ask(&test.desk, EndpointStart::default()).unwrap();
    assert!(status.url.is_some() && status.models.is_empty());
    assert_eq!(TestDesk::new().desk.handle(EndpointStart::default().into()).unwrap_err().code, Code::Conflict);
}

#[test]
fn another_workspace_ends_the_endpoint_of_the_one_before() {
    let test = with_model();
    ask(&test.desk, EndpointStart::default()).unwrap();
    let path = test.path("other").display().to_string();
    ask(&test.desk, athanor_protocol::api::WorkspaceOpen { path, create: true }).unwrap();
    let status = ask(&test.desk, EndpointGet {}).unwrap();
    assert_eq!((status.url, status.models.len()), (None, 0));
}

#[test]
fn it_speaks_grpc_and_tls_where_it_is_told_to() {
    let test = with_model();
    let tls = TlsChoice::Generated;
    let options = EndpointOptions { grpc_port: Some(0), tls, ..EndpointOptions::default() };
    let status = ask(&test.desk, EndpointStart { port: 0, options }).unwrap();
    assert!(status.url.as_ref().unwrap().starts_with("https://127.0.0.1:"), "{status:?}");
    assert!(std::net::TcpStream::connect(status.grpc.as_ref().unwrap()).is_ok(), "{status:?}");
    assert_eq!((status.grpc == status.url, &status.token_issuer), (false, &None));
    let shown = status.tls.clone().unwrap();
    let root = test.desk.workspace().unwrap().root().to_owned();
    assert_eq!((shown.generated, Path::new(&shown.certificate)), (true, root.join("keys/tls.crt").as_path()));
    assert!(!shown.client_certificates && !shown.client_is_key);
    let days = (shown.expires_at_millis.unwrap() - status.since_millis.unwrap()) / 86_400_000;
    assert!((396..=397).contains(&days), "{days}");
    assert_eq!(ask(&test.desk, row(json!(29.0))).unwrap().status, 200, "trying knows the certificate");
    assert_eq!(ask(&test.desk, EndpointGet {}).unwrap(), status);
    ask(&test.desk, EndpointStop {}).unwrap();

    // From files, by a path that starts at the workspace.
    std::fs::copy(root.join("keys/tls.crt"), root.join("own.crt")).unwrap();
    std::fs::copy(root.join("keys/tls.key"), root.join("own.key")).unwrap();
    let files = |certificate: &str, key: &str| {
        let tls = TlsChoice::Files { certificate: certificate.to_owned(), key: key.to_owned() };
        EndpointStart { port: 0, options: EndpointOptions { tls, ..EndpointOptions::default() } }
    };
    let own = ask(&test.desk, files(" own.crt ", "own.key")).unwrap();
    assert_eq!((own.tls.unwrap().generated, own.grpc), (false, None));
    ask(&test.desk, EndpointStop {}).unwrap();
    for (certificate, key, named) in
        [("", "own.key", "certificate"), ("own.crt", "", "private key"), ("no.crt", "own.key", "no.crt")]
    {
        let failure = ask(&test.desk, files(certificate, key)).unwrap_err();
        assert!(failure.message.contains(named), "{failure:?}");
    }
    assert!(!is_running(&test.desk));
}

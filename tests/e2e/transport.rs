//! Transport security, keys that rotate and keys that are limited, with the real program.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::{Certificate, StatusCode, blocking::Client};
use serde_json::Value;

use crate::sandbox::{PATIENCE, Running, Sandbox};

/// A served workspace.
struct Serving {
    running: Running,
    address: SocketAddr,
    line: Value,
}

fn serve(sandbox: &Sandbox, args: &[&str]) -> Serving {
    let mut running = sandbox.start(&[&["serve"], args].concat());
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    let (_, address) = line["endpoint"].as_str().unwrap().split_once("://").unwrap();
    Serving { running, address: address.parse().unwrap(), line }
}

/// A client that trusts one certificate and nothing else, and calls `localhost`.
fn trusting(pem: &[u8]) -> Client {
    athanor_serve::use_ring();
    Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .tls_certs_only([Certificate::from_pem(pem).unwrap()])
        // Each request is a connection of its own, and so a handshake.
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

fn plain() -> Client {
    athanor_serve::use_ring();
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A certificate and its key in the sandbox.
fn pair(sandbox: &Sandbox, host: &str) -> (PathBuf, PathBuf, Vec<u8>) {
    let (certificate, key) =
        athanor_serve::tls::generate(&[host.to_owned()], std::time::SystemTime::now(), 10).unwrap();
    let (at, key_at) = (sandbox.path("server.crt"), sandbox.path("server.key"));
    fs::write(&key_at, key).unwrap();
    fs::write(&at, &certificate).unwrap();
    (at, key_at, certificate.into_bytes())
}

fn new_key(sandbox: &Sandbox, more: &[&str]) -> (String, String) {
    let made = sandbox.ok(&[&["keys", "create", "--name", "test"], more].concat());
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

#[test]
fn a_public_address_is_taken_with_tls_and_asks_for_keys() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let (_, key) = new_key(&sandbox, &[]);
    for args in [
        &["serve", "--bind", "0.0.0.0:0"][..],
        &["serve", "--bind", "[::]:0"],
        &["serve", "--bind", "127.0.0.1:0", "--grpc", "0.0.0.0:0"],
    ] {
        let done = sandbox.run(args);
        assert_eq!(done.json["error"]["code"], "permission_denied", "{args:?}: {}", done.stdout);
    }
    let serving = serve(&sandbox, &["--bind", "0.0.0.0:0", "--tls", "--allow-host", "models.example"]);
    assert_eq!(serving.line["page"], Value::Null, "no page is opened to others by the way");
    let port = serving.address.port();
    let client = trusting(&fs::read(sandbox.workspace().join("keys/tls.crt")).unwrap());
    let url = format!("https://localhost:{port}/v1/models");
    let answer = client.get(&url).bearer_auth(&key).send().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    assert_eq!(client.get(&url).send().unwrap().status(), 401);
    let foreign = client.get(&url).bearer_auth(&key).header("Host", "evil.example").send().unwrap();
    assert_eq!(foreign.status(), 403);
    let named = client.get(&url).bearer_auth(&key).header("Host", format!("models.example:{port}")).send().unwrap();
    assert_eq!(named.status(), 200);
    let clear = plain().get(format!("http://127.0.0.1:{port}/v1/models")).bearer_auth(&key).send();
    assert!(clear.is_err() || clear.is_ok_and(|answer| answer.status() == 400), "nothing is answered in the clear");
    // The private key is its owner's alone, and in no message.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(sandbox.workspace().join("keys/tls.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn certificates_in_files_are_exchanged_without_a_restart() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let (certificate, key_file, first) = pair(&sandbox, "localhost");
    let files = [certificate.to_str().unwrap(), key_file.to_str().unwrap()];
    let args = ["--bind", "127.0.0.1:0", "--no-ui", "--tls-cert", files[0], "--tls-key", files[1]];
    let mut serving = serve(&sandbox, &args);
    let url = format!("https://localhost:{}/v2/health/live", serving.address.port());
    let works = |pem: &[u8]| trusting(pem).get(&url).send().is_ok_and(|answer| answer.status() == 200);
    assert!(works(&first));
    // A broken pair changes nothing; a whole one that comes after it is taken.
    fs::write(&certificate, "broken").unwrap();
    assert!(works(&first));
    let (_, _, second) = pair(&sandbox, "localhost");
    serving.running.wait_until("the second certificate is shown", || works(&second).then_some(()));
    assert!(!works(&first));
    let done = sandbox.run(&["serve", "--bind", "127.0.0.1:0", "--tls-cert", files[1], "--tls-key", files[1]]);
    assert_eq!((done.status, done.json["error"]["code"].as_str()), (1, Some("invalid_argument")), "{}", done.stdout);
    let done = sandbox.run(&["serve", "--bind", "127.0.0.1:0", "--tls-cert", files[0]]);
    assert_eq!(done.status, 2, "one without the other is no use: {}", done.stdout);
}

#[test]
fn a_key_rotates_while_it_serves() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let (id, old) = new_key(&sandbox, &[]);
    let mut serving = serve(&sandbox, &["--bind", "127.0.0.1:0", "--no-ui"]);
    let client = plain();
    let url = format!("http://{}/v1/models", serving.address);
    let status = |key: &str| client.get(&url).bearer_auth(key).send().unwrap().status();
    assert_eq!(status(&old), 200);
    let rotated = sandbox.ok(&["keys", "rotate", &id, "--grace", "1h"]);
    let new = rotated["key"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    serving.running.wait_until("the new secret is taken", || (status(&new) == 200).then_some(()));
    assert_eq!(status(&old), 200, "the old one has its hour");
    let newest = sandbox.ok(&["keys", "rotate", &id, "--grace", "0s"])["key"].as_str().unwrap().to_owned();
    serving.running.wait_until("the newest secret is taken", || (status(&newest) == 200).then_some(()));
    for gone in [&old, &new] {
        assert_eq!(status(gone), 401, "with no grace there is one secret");
    }
    assert_eq!(sandbox.run(&["keys", "rotate", "000000000000"]).json["error"]["code"], "not_found");
    assert_eq!(sandbox.run(&["keys", "rotate", &id, "--grace", "31d"]).json["error"]["code"], "invalid_argument");
    assert_eq!(sandbox.run(&["keys", "rotate", &id, "--grace", "soon"]).status, 2);
    sandbox.ok(&["keys", "revoke", &id]);
    assert_eq!(sandbox.run(&["keys", "rotate", &id]).json["error"]["code"], "conflict");
    let database = fs::read(sandbox.workspace().join("athanor.db")).unwrap();
    for key in [&old, &new, &newest] {
        let secret = key.rsplit('_').next().unwrap().as_bytes();
        assert!(!database.windows(secret.len()).any(|window| window == secret), "no secret is written down");
    }
}

#[test]
fn limits_of_a_key_are_told_and_outlive_a_restart() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let (id, key) = new_key(&sandbox, &["--requests-per-day", "3"]);
    let (_, free) = new_key(&sandbox, &[]);
    let client = plain();
    let ask = |address: SocketAddr, key: &str| {
        let url = format!("http://{address}/v1/models");
        client.get(url).bearer_auth(key).send().unwrap()
    };
    let serving = serve(&sandbox, &["--bind", "127.0.0.1:0", "--no-ui"]);
    let at = serving.address;
    let first = ask(at, &key);
    let headers = ["ratelimit-limit", "ratelimit-remaining"].map(|name| first.headers()[name].to_str().unwrap());
    assert_eq!(headers, ["3", "2"]);
    assert_eq!(ask(at, &key).status(), 200);
    assert!(!ask(at, &free).headers().contains_key("ratelimit-limit"));
    // Ended in order, it writes down what was asked for.
    crate::sandbox::signal(serving.running.pid(), "INT");
    assert_eq!(serving.running.done().status, 0);
    let mut serving = serve(&sandbox, &["--bind", "127.0.0.1:0", "--no-ui"]);
    let at = serving.address;
    assert_eq!(ask(at, &key).status(), 200, "the third of three");
    let refused = ask(at, &key);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=Duration::from_secs(86_400).as_secs()).contains(&wait), "{wait}");
    assert_eq!(ask(at, &free).status(), 200, "others are not touched");
    sandbox.ok(&["keys", "limit", &id]);
    serving.running.wait_until("the limit is gone", || (ask(at, &key).status() == 200).then_some(()));
    assert_eq!(sandbox.run(&["keys", "limit", &id, "--requests-per-second", "-1"]).status, 2);
    assert_eq!(
        sandbox.run(&["keys", "limit", &id, "--rows-per-second", "nan"]).json["error"]["code"],
        "invalid_argument"
    );
}

#[test]
fn clients_are_known_by_their_certificates() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let (_, key) = new_key(&sandbox, &[]);
    let (certificate, key_file, server) = pair(&sandbox, "localhost");
    // A certificate that is its own authority: good enough to ask for one, and nobody has another by it.
    let (authority, _) =
        athanor_serve::tls::generate(&["client".to_owned()], std::time::SystemTime::now(), 10).unwrap();
    let authority = sandbox.write("clients.crt", &authority);
    let paths = [&certificate, &key_file, &authority].map(|path| path.to_str().unwrap());
    let args = [
        "--bind",
        "127.0.0.1:0",
        "--no-ui",
        "--tls-cert",
        paths[0],
        "--tls-key",
        paths[1],
        "--tls-client-ca",
        paths[2],
    ];
    let serving = serve(&sandbox, &args);
    let url = format!("https://localhost:{}/v1/models", serving.address.port());
    let refused = trusting(&server).get(&url).bearer_auth(&key).send();
    assert!(refused.is_err(), "a key alone is not enough: {refused:?}");
    for wrong in [
        &["serve", "--bind", "127.0.0.1:0", "--tls-client-ca", paths[2]][..],
        &["serve", "--bind", "127.0.0.1:0", "--tls", "--tls-client-is-key"],
        &["serve", "--bind", "127.0.0.1:0", "--tls", "--tls-client-crl", paths[2]],
        &["serve", "--bind", "127.0.0.1:0", "--caller-rows-per-second", "0"],
        &["serve", "--bind", "127.0.0.1:0", "--tls", "--tls-cert", paths[0], "--tls-key", paths[1]],
        &["serve", "--bind", "127.0.0.1:0", "--token-issuer", "https://id.example"],
    ] {
        assert_eq!(sandbox.run(wrong).status, 2, "{wrong:?}");
    }
}

#[test]
fn settings_of_an_identity_provider_are_checked_at_once() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let none = sandbox.write("none.json", "{\"keys\":[]}");
    for (keys, code) in [
        ("http://id.example/jwks", "invalid_argument"),
        (none.to_str().unwrap(), "invalid_argument"),
        (sandbox.path("missing.json").to_str().unwrap(), "not_found"),
        ("http://127.0.0.1:1/jwks", "unavailable"),
    ] {
        let args = ["serve", "--bind", "127.0.0.1:0", "--token-issuer", "https://id.example", "--token-audience", "a"];
        let done = sandbox.run(&[&args[..], &["--token-keys", keys]].concat());
        assert_eq!((done.status, done.json["error"]["code"].as_str()), (1, Some(code)), "{keys}: {}", done.stdout);
    }
}

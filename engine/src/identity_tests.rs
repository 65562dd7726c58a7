#![allow(clippy::unwrap_used)]
//! Keys of a provider from files and over HTTP, with tokens that are signed here.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use athanor_protocol::registry::Scope;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use super::*;
use crate::{keys, workspace::Workspace};

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub(crate) fn jwks(n: u8) -> String {
    let x = BASE64.encode(key(n).verifying_key().as_bytes());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": n.to_string(), "x": x }] }).to_string()
}

/// A token that says this besides for whom it is and until when.
pub(crate) fn token_with(n: u8, more: &serde_json::Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = json!({ "alg": "EdDSA", "kid": n.to_string() });
    let mut claims = json!({ "iss": "https://id.example", "aud": "athanor", "sub": "robot", "exp": now + 60 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(key(n).sign(text.as_bytes()).to_bytes());
    format!("{text}.{signature}")
}

fn token(n: u8) -> String {
    token_with(n, &json!({ "scope": "athanor:predict" }))
}

fn rules() -> TokenRules {
    TokenRules::new("https://id.example", "athanor")
}

#[test]
fn only_protected_addresses_and_files_hold_keys() {
    for (text, ok) in [
        ("keys.json", true),
        ("/etc/athanor/keys.json", true),
        ("https://id.example/jwks", true),
        ("http://127.0.0.1:9/jwks", true),
        ("http://localhost/jwks", true),
        ("http://[::1]:9/jwks", true),
        ("http://id.example/jwks", false),
        ("http://127.0.0.1.evil.example/jwks", false),
        ("http://localhost@evil.example/jwks", false),
        ("https://user:secret@id.example/jwks", false),
        ("file:///etc/passwd", false),
        ("gopher://id.example", false),
        ("https://", false),
    ] {
        assert_eq!(KeySource::parse(text).is_ok(), ok, "{text}");
    }
}

#[test]
fn tokens_stand_beside_the_workspaces_keys() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("w")).unwrap();
    let (_, own) = keys::create(&workspace, "own", &[Scope::Read], None).unwrap();
    let file = folder.path().join("jwks.json");
    fs::write(&file, jwks(1)).unwrap();
    let identity = Arc::new(Identity::open(KeySource::File(file.clone()), rules()).unwrap());
    let keys = Arc::new(StoreKeys::new(&workspace).unwrap());
    let all = AllKeys { keys, identity: Some(Arc::clone(&identity)), caller_limits: KeyLimits::default() };
    assert_eq!(all.check(&own).unwrap().scopes, [Scope::Read]);
    let grant = Grant { key_id: "jwt:robot".to_owned(), scopes: vec![Scope::Predict] };
    assert_eq!(all.check(&token(1)), Ok(grant.clone()));
    assert_eq!(all.check(&token(2)), Err(KeyRefusal::Unknown));
    // What is broken changes nothing; what comes after it is taken.
    fs::write(&file, "broken").unwrap();
    identity.refresh();
    assert_eq!(all.check(&token(1)), Ok(grant.clone()));
    fs::write(&file, jwks(2)).unwrap();
    identity.refresh();
    assert_eq!(all.check(&token(2)), Ok(grant));
    assert_eq!(all.check(&token(1)), Err(KeyRefusal::Unknown));
    fs::write(&file, " ".repeat(MAX_KEY_SET_BYTES + 1)).unwrap();
    assert!(Identity::open(KeySource::File(file), rules()).is_err(), "a file has a limit");
}

#[test]
fn who_has_no_key_has_the_endpoints_limits_and_a_key_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("w")).unwrap();
    let (info, _) = keys::create(&workspace, "own", &[Scope::Predict], None).unwrap();
    let own = KeyLimits { requests_per_day: Some(9), ..KeyLimits::default() };
    keys::limit(&workspace, &info.id, &own).unwrap();
    let caller_limits = KeyLimits { rows_per_second: Some(2.0), ..KeyLimits::default() };
    let with =
        |caller_limits| AllKeys { keys: Arc::new(StoreKeys::new(&workspace).unwrap()), identity: None, caller_limits };
    let (limited, free) = (with(caller_limits), with(KeyLimits::default()));
    for caller in ["jwt:robot", "cert:00ff"] {
        assert_eq!((limited.limits(caller), free.limits(caller)), (Some(caller_limits), None), "{caller}");
        // Counted and written down like a key's.
        let more = Spent { requests: 1, rows: 5 };
        limited.spend(caller, 7, more);
        assert_eq!(limited.spent(caller, 7), more);
    }
    limited.keys.write_usage().unwrap();
    let written: Vec<String> = workspace.store.key_usage(7).unwrap().into_iter().map(|usage| usage.key_id).collect();
    assert_eq!(written, ["cert:00ff", "jwt:robot"]);
    assert_eq!((limited.limits(&info.id), free.limits(&info.id)), (Some(own), Some(own)));
    assert_eq!(limited.limits("nobody"), None);
}

/// A provider that gives each caller the same answer, and counts.
fn provider(answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counting.fetch_add(1, Ordering::SeqCst);
            // The request is a few hundred bytes, which are there before or soon after.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (at, count)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn keys_are_fetched_within_limits_and_not_for_every_token() {
    let open = |at: SocketAddr| Identity::open(KeySource::parse(&format!("http://{at}/jwks")).unwrap(), rules());
    let (at, count) = provider(ok(&jwks(1)));
    let identity = open(at).unwrap();
    assert!(identity.tokens.check(&token(1)).is_ok());
    for _ in 0..10 {
        assert!(identity.tokens.check(&token(9)).is_err());
        identity.refresh();
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "made-up names of keys fetch nothing so soon");
    let (elsewhere, asked) = provider(ok(&jwks(1)));
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    for answer in [
        redirect,
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ok("{}"),
        ok(&format!("{}{}", jwks(1), " ".repeat(MAX_KEY_SET_BYTES))),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let (at, _) = provider(answer.clone());
        assert!(open(at).is_err(), "{:?}", &answer[..answer.len().min(60)]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "no redirect is followed");
}

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs};

use athanor_protocol::api::{EndpointGet, EndpointStart, EndpointStatus, EndpointStop, EndpointTry, TokenChoice};
use serde_json::json;

use super::*;
use crate::{
    desk::{
        test_desk::{TestDesk, ask},
        test_models::register,
    },
    identity::tests::{jwks, token_with},
};

/// A desk with files in its workspace: a certificate with its key, authorities, a provider's keys, and what is none.
fn prepared() -> TestDesk {
    let test = TestDesk::open();
    let root = test.desk.workspace().unwrap().root().to_owned();
    let generate =
        || athanor_serve::tls::generate(&["localhost".to_owned()], std::time::SystemTime::now(), 10).unwrap();
    let (certificate, key) = generate();
    for (name, text) in [
        ("own.crt", certificate),
        ("own.key", key),
        ("ca.crt", generate().0),
        ("other.key", generate().1),
        ("jwks.json", jwks(1)),
        ("none.json", "{\"keys\":[]}".to_owned()),
        ("text.txt", "this is no certificate".to_owned()),
        ("large.pem", "x".repeat(2 << 20)),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
    test
}

fn start(test: &TestDesk, options: EndpointOptions) -> Result<EndpointStatus, Failure> {
    ask(&test.desk, EndpointStart { port: 0, options })
}

fn files(certificate: &str, key: &str) -> EndpointOptions {
    let tls = TlsChoice::Files { certificate: certificate.to_owned(), key: key.to_owned() };
    EndpointOptions { tls, ..EndpointOptions::default() }
}

fn clients(authorities: &str, revocations: &str) -> EndpointOptions {
    let (authorities, revocations) = (authorities.to_owned(), revocations.to_owned());
    let clients = ClientChoice::Required { authorities, revocations, is_key: true };
    EndpointOptions { tls: TlsChoice::Generated, clients, ..EndpointOptions::default() }
}

fn tokens(keys: &str) -> EndpointOptions {
    let tokens = TokenChoice {
        issuer: " https://id.example ".to_owned(),
        audience: "athanor".to_owned(),
        keys: keys.to_owned(),
        scope_claim: "permissions".to_owned(),
        scope_prefix: String::new(),
    };
    EndpointOptions { tokens: Some(tokens), ..EndpointOptions::default() }
}

#[test]
fn what_cannot_be_used_names_its_field_and_nothing_starts() {
    use EndpointField as Field;
    let test = prepared();
    let clear = EndpointOptions { tls: TlsChoice::Off, ..clients("ca.crt", "") };
    let nobody = EndpointOptions { tokens: Some(TokenChoice::default()), ..EndpointOptions::default() };
    for (options, field, code, named) in [
        (files("", "own.key"), Field::Certificate, Code::InvalidArgument, "needed"),
        (files("own.crt", ""), Field::PrivateKey, Code::InvalidArgument, "private key is needed"),
        (files("no.crt", "own.key"), Field::Certificate, Code::NotFound, "no.crt"),
        (files("own.crt", "no.key"), Field::PrivateKey, Code::NotFound, "no.key"),
        (files("text.txt", "own.key"), Field::Certificate, Code::InvalidArgument, "no certificate in PEM form"),
        (files("own.crt", "text.txt"), Field::PrivateKey, Code::InvalidArgument, "private key can't be used"),
        (files("own.crt", "other.key"), Field::PrivateKey, Code::InvalidArgument, "do not belong together"),
        (files("large.pem", "own.key"), Field::Certificate, Code::TooLarge, "large.pem"),
        (clear, Field::Clients, Code::InvalidArgument, "TLS"),
        (clients(" ", ""), Field::ClientAuthorities, Code::InvalidArgument, "authorities is needed"),
        (clients("no.crt", ""), Field::ClientAuthorities, Code::NotFound, "no.crt"),
        (clients("own.key", ""), Field::ClientAuthorities, Code::InvalidArgument, "no certificate in PEM form"),
        (clients("ca.crt", "no.pem"), Field::ClientRevocations, Code::NotFound, "no.pem"),
        (clients("ca.crt", "ca.crt"), Field::ClientRevocations, Code::InvalidArgument, "no list in PEM form"),
        (nobody, Field::TokenIssuer, Code::InvalidArgument, "iss"),
        (tokens(""), Field::TokenKeys, Code::InvalidArgument, "public keys is needed"),
        (tokens("http://id.example/keys"), Field::TokenKeys, Code::InvalidArgument, "no protection"),
        (tokens("https://me:secret@id.example"), Field::TokenKeys, Code::InvalidArgument, "password"),
        (tokens("http://127.0.0.1:1/keys"), Field::TokenKeys, Code::Unavailable, "cannot be read"),
        (tokens("no.json"), Field::TokenKeys, Code::NotFound, "no.json"),
        (tokens("none.json"), Field::TokenKeys, Code::InvalidArgument, "no public key"),
        (tokens("text.txt"), Field::TokenKeys, Code::InvalidArgument, "no JSON"),
    ] {
        let failure = start(&test, options.clone()).unwrap_err();
        assert_eq!((EndpointField::of(&failure), failure.code), (Some(field), code), "{options:?}: {failure:?}");
        assert!(failure.message.contains(named), "{named}: {failure:?}");
        assert!(!failure.message.contains("secret"), "{failure:?}");
        let says_where = failure.hint.is_some_and(|hint| hint.contains("starts at the workspace"));
        assert_eq!(says_where, code == Code::NotFound, "{named}");
    }
    assert_eq!(ask(&test.desk, EndpointGet {}).unwrap().url, None);
}

#[test]
fn clients_must_have_certificates_and_trying_goes_on() {
    let test = prepared();
    register(&test.desk, "tumours", 1);
    let alias = athanor_protocol::api::ModelAlias {
        model: "tumours".to_owned(),
        alias: "production".to_owned(),
        version: Some(1),
    };
    ask(&test.desk, alias).unwrap();
    let status = start(&test, clients(" ca.crt", "")).unwrap();
    let tls = status.tls.unwrap();
    assert!(tls.client_certificates && tls.client_is_key && tls.generated);
    athanor_serve::use_ring();
    let client = reqwest::blocking::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
    let url = status.url.unwrap();
    assert!(client.get(format!("{url}/v2/health/live")).send().is_err(), "nobody without a certificate comes in");
    let row = |radius: serde_json::Value| {
        let values = BTreeMap::from([("radius".to_owned(), radius), ("colour".to_owned(), json!("red"))]);
        ask(&test.desk, EndpointTry { model: "tumours".to_owned(), values, explain: false }).unwrap()
    };
    let tried = row(json!(29.0));
    assert_eq!((tried.status, &tried.body["predictions"][0]["label"]), (200, &json!("malign")), "{tried:?}");
    assert_eq!(row(json!("wide")).status, 400, "what is wrong is said as to any client");
    ask(&test.desk, EndpointStop {}).unwrap();
}

#[test]
fn tokens_of_a_provider_are_taken_by_the_rules_that_were_chosen() {
    let test = prepared();
    let status = start(&test, tokens("jwks.json ")).unwrap();
    assert_eq!(status.token_issuer.as_deref(), Some("https://id.example"));
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/models", status.url.unwrap());
    let get = |token: String| client.get(&url).bearer_auth(token).send().unwrap().status().as_u16();
    assert_eq!(get(token_with(1, &json!({ "permissions": ["read"] }))), 200);
    assert_eq!(get(token_with(1, &json!({ "scope": "athanor:read" }))), 403, "another claim says nothing");
    assert_eq!(get(token_with(1, &json!({ "permissions": ["read"], "aud": "others" }))), 401);
    assert_eq!(get(token_with(2, &json!({ "permissions": ["read"] }))), 401, "another one's key");
    ask(&test.desk, EndpointStop {}).unwrap();
}

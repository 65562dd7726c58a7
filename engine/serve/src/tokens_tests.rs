#![allow(clippy::unwrap_used)]
//! Tokens that are right in every way but one.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::PublicKeyData as _;
use serde_json::json;

use super::*;

/// A provider with one Ed25519 key and one for ES256.
struct Provider {
    ed: rcgen::KeyPair,
    ec: rcgen::KeyPair,
}

impl Provider {
    fn new() -> Self {
        let pair = |kind| rcgen::KeyPair::generate_for(kind).unwrap();
        Self { ed: pair(&rcgen::PKCS_ED25519), ec: pair(&rcgen::PKCS_ECDSA_P256_SHA256) }
    }

    fn jwks(&self) -> Value {
        let ec = self.ec.der_bytes();
        let (x, y) = (BASE64.encode(&ec[1..33]), BASE64.encode(&ec[33..65]));
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": BASE64.encode(self.ed.der_bytes())},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": x, "y": y},
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
            {"kty": "something", "kid": "new"},
        ]})
    }

    fn tokens(&self) -> Tokens {
        let rules = TokenRules::new("https://id.example", "athanor");
        Tokens::new(rules, self.jwks().to_string().as_bytes()).unwrap()
    }

    fn sign(&self, head: &Header, claims: &Value) -> String {
        let key = match head.alg {
            Algorithm::EdDSA => EncodingKey::from_ed_der(self.ed.serialized_der()),
            Algorithm::ES256 => EncodingKey::from_ec_der(self.ec.serialized_der()),
            _ => EncodingKey::from_secret(b"secret"),
        };
        encode(head, claims, &key).unwrap()
    }
}

fn head(algorithm: Algorithm, kid: &str) -> Header {
    Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "athanor", "sub": "ward 4", "exp": now() + 600, "nbf": now(),
        "scope": "openid athanor:predict athanor:admin predict"})
}

/// The claims with one changed; null takes it away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn a_right_token_is_a_grant() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    let expect = Grant { key_id: "jwt:ward_4~3c42454d0ca5507a".to_owned(), scopes: vec![Scope::Predict, Scope::Admin] };
    for head in [head(Algorithm::EdDSA, "ed"), head(Algorithm::ES256, "ec")] {
        let token = provider.sign(&head, &claims());
        assert!(Tokens::is_token(&token));
        assert_eq!(tokens.check(&token), Ok(expect.clone()), "{head:?}");
    }
    assert!(!tokens.is_key_missing());
    assert!(!Tokens::is_token("ath_0a1b2c_secret"));
}

#[test]
fn claims_are_checked_one_by_one() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    #[track_caller]
    fn check(tokens: &Tokens, provider: &Provider, name: &str, value: Value, expect: Result<&[Scope], KeyRefusal>) {
        let token = provider.sign(&head(Algorithm::EdDSA, "ed"), &with(name, value.clone()));
        let found = tokens.check(&token).map(|grant| grant.scopes);
        assert_eq!(found, expect.map(<[_]>::to_vec), "{name} {value}");
    }
    let unknown = || Err(KeyRefusal::Unknown);
    let both: &[Scope] = &[Scope::Predict, Scope::Admin];
    for (name, value, expect) in [
        ("exp", json!(now() - 600), Err(KeyRefusal::Expired)),
        ("exp", json!(now() - 10), Ok(both)),
        ("exp", Value::Null, unknown()),
        ("exp", json!("soon"), unknown()),
        ("nbf", json!(now() + 600), unknown()),
        ("nbf", json!(now() + 10), Ok(both)),
        ("iss", json!("https://id.example/"), unknown()),
        ("iss", json!("https://evil.example"), unknown()),
        ("iss", Value::Null, unknown()),
        ("aud", json!("another"), unknown()),
        ("aud", json!(["another", "athanor"]), Ok(both)),
        ("aud", json!([]), unknown()),
        ("aud", Value::Null, unknown()),
        ("sub", Value::Null, unknown()),
        ("scope", Value::Null, Ok(&[])),
        ("scope", json!(["athanor:read", 7]), Ok(&[Scope::Read])),
        ("scope", json!("ATHANOR:PREDICT xathanor:predict athanor:predictx"), Ok(&[])),
    ] {
        check(&tokens, &provider, name, value, expect);
    }
}

#[test]
fn signatures_and_algorithms_have_no_way_around() {
    let provider = Provider::new();
    let tokens = provider.tokens();
    let refused = |token: &str| assert_eq!(tokens.check(token), Err(KeyRefusal::Unknown), "{token}");
    let good = provider.sign(&head(Algorithm::EdDSA, "ed"), &claims());
    let [head_part, body, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    // Signed by somebody else under a known name.
    refused(&Provider::new().sign(&head(Algorithm::EdDSA, "ed"), &claims()));
    // Without a signature, in all spellings.
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = BASE64.encode(json!({"alg": alg, "kid": "ed", "typ": "JWT"}).to_string());
        refused(&format!("{head}.{body}."));
        refused(&format!("{head}.{body}.{signature}"));
    }
    // The public key as a shared secret, and a shared secret that is in the set.
    let public = EncodingKey::from_secret(provider.ed.der_bytes());
    for kid in ["ed", "ec", "shared"] {
        refused(&encode(&head(Algorithm::HS256, kid), &claims(), &public).unwrap());
        refused(&provider.sign(&head(Algorithm::HS256, kid), &claims()));
    }
    // One key's token under the other's name.
    refused(&provider.sign(&head(Algorithm::EdDSA, "ec"), &claims()));
    // Other claims under a signature.
    let other = BASE64.encode(with("scope", json!("athanor:admin")).to_string());
    refused(&format!("{head_part}.{other}.{signature}"));
    // An extension that must be understood.
    let crit = BASE64.encode(json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false}).to_string());
    refused(&format!("{crit}.{body}.{signature}"));
    for token in ["", "..", "...", "a.b.c", &good[..good.len() - 4], &format!("{good}.x"), &format!("{good}=")] {
        refused(token);
    }
    // Without a name, there are two to choose from.
    assert!(!{
        let _ = tokens.is_key_missing();
        tokens.is_key_missing()
    });
    refused(&provider.sign(&Header::new(Algorithm::EdDSA), &claims()));
    assert!(tokens.is_key_missing());
}

#[test]
fn keys_are_exchanged_by_name() {
    let (old, new) = (Provider::new(), Provider::new());
    let tokens = old.tokens();
    let mut jwks = new.jwks();
    jwks["keys"][0]["kid"] = json!("ed-2");
    let token = new.sign(&head(Algorithm::EdDSA, "ed-2"), &claims());
    assert_eq!(tokens.check(&token), Err(KeyRefusal::Unknown));
    assert!(tokens.is_key_missing() && !tokens.is_key_missing(), "it is said once");
    assert!(tokens.replace(b"{}").is_err() && tokens.replace(br#"{"keys":[{"kty":"oct","k":"eA"}]}"#).is_err());
    assert!(tokens.check(&old.sign(&head(Algorithm::EdDSA, "ed"), &claims())).is_ok(), "the old ones stay");
    tokens.replace(jwks.to_string().as_bytes()).unwrap();
    assert!(tokens.check(&token).is_ok());
    assert!(tokens.check(&old.sign(&head(Algorithm::EdDSA, "ed"), &claims())).is_err());
}

#[test]
fn sets_and_rules_that_cannot_be_used_are_refused() {
    let rules = || TokenRules::new("https://id.example", "athanor");
    let jwks = Provider::new().jwks().to_string();
    for bad in ["", "[]", "{\"keys\":7}", "{\"keys\":[]}", &" ".repeat(MAX_KEY_SET_BYTES + 1)] {
        assert!(Tokens::new(rules(), bad.as_bytes()).is_err(), "{:?}", &bad[..bad.len().min(20)]);
    }
    let many = json!({"keys": vec![json!({}); MAX_KEYS + 1]}).to_string();
    assert!(Tokens::new(rules(), many.as_bytes()).is_err());
    assert!(Tokens::new(TokenRules { issuer: String::new(), ..rules() }, jwks.as_bytes()).is_err());
    assert!(Tokens::new(TokenRules { audience: String::new(), ..rules() }, jwks.as_bytes()).is_err());
    assert!(Tokens::new(TokenRules { leeway_secs: 301, ..rules() }, jwks.as_bytes()).is_err());
    assert!(Tokens::new(rules(), jwks.as_bytes()).is_ok());
}

use super::*;

fn files(certificate: &str, key: &str) -> EndpointOptions {
    let tls = TlsChoice::Files { certificate: certificate.to_owned(), key: key.to_owned() };
    EndpointOptions { tls, ..EndpointOptions::default() }
}

fn clients(authorities: &str, revocations: &str) -> EndpointOptions {
    let clients = ClientChoice::Required {
        authorities: authorities.to_owned(),
        revocations: revocations.to_owned(),
        is_key: false,
    };
    EndpointOptions { tls: TlsChoice::Generated, clients, ..EndpointOptions::default() }
}

fn tokens(change: impl FnOnce(&mut TokenChoice)) -> EndpointOptions {
    let mut tokens = TokenChoice {
        issuer: "https://id.example".to_owned(),
        audience: "models".to_owned(),
        keys: "jwks.json".to_owned(),
        ..TokenChoice::default()
    };
    change(&mut tokens);
    EndpointOptions { tokens: Some(tokens), ..EndpointOptions::default() }
}

fn keys(address: &str) -> EndpointOptions {
    tokens(|tokens| tokens.keys = address.to_owned())
}

#[test]
fn what_cannot_be_is_said_of_the_field() {
    use EndpointField as Field;
    use ProblemKind::{Missing, NotKept, Wrong};
    let check = |options: &EndpointOptions, expect: &[(EndpointField, ProblemKind)]| {
        let found: Vec<_> = options.problems().iter().map(|problem| (problem.field, problem.kind)).collect();
        assert_eq!(found, expect, "{options:?}");
    };
    check(&EndpointOptions::default(), &[]);
    check(&files("a.crt", "a.key"), &[]);
    check(&files(" ", ""), &[(Field::Certificate, Missing), (Field::PrivateKey, Missing)]);
    check(&files("a.crt", "-----BEGIN PRIVATE KEY-----"), &[(Field::PrivateKey, NotKept)]);
    check(&files("a\nb", &"x".repeat(5_000)), &[(Field::Certificate, NotKept), (Field::PrivateKey, NotKept)]);
    check(&clients("ca.crt", ""), &[]);
    check(&clients("", "lists.pem"), &[(Field::ClientAuthorities, Missing)]);
    check(&clients("ca.crt", "\0"), &[(Field::ClientRevocations, NotKept)]);
    let clear = EndpointOptions { tls: TlsChoice::Off, ..clients("ca.crt", "") };
    check(&clear, &[(Field::Clients, Wrong)]);
    check(&tokens(|_| ()), &[]);
    check(&tokens(|tokens| tokens.scope_prefix.clear()), &[]);
    let empty = [Field::TokenIssuer, Field::TokenAudience, Field::TokenKeys].map(|field| (field, Missing));
    check(&EndpointOptions { tokens: Some(TokenChoice::default()), ..EndpointOptions::default() }, &empty);
    check(&tokens(|tokens| tokens.scope_claim.clear()), &[(Field::TokenScopeClaim, Missing)]);
    check(&tokens(|tokens| tokens.scope_prefix = "x".repeat(300)), &[(Field::TokenScopePrefix, NotKept)]);
    for good in [
        "https://id.example/keys",
        "HTTPS://id.example:8443/keys?x=a@b",
        "http://127.0.0.1:9/keys",
        "http://[::1]:9/keys",
        "http://localhost/keys",
        "C:\\keys.json",
        "keys/jwks.json",
    ] {
        check(&keys(good), &[]);
    }
    for wrong in ["http://id.example/keys", "ftp://id.example", "https://", "://x", "http://[::2]/", "http:///keys"] {
        check(&keys(wrong), &[(Field::TokenKeys, Wrong)]);
    }
    for secret in [
        "https://me:secret@id.example",
        "https://me:secret",
        "https://me@id.example",
        "http://[::1]x@y/",
        "https://me:47114711",
    ] {
        check(&keys(secret), &[(Field::TokenKeys, NotKept)]);
    }
}

#[test]
fn a_failure_names_its_field() {
    for field in EndpointField::ALL {
        let problem = EndpointProblem { field, message: "no".to_owned(), kind: ProblemKind::Wrong };
        assert_eq!(EndpointField::of(&problem.into()), Some(field));
    }
    assert_eq!(EndpointField::of(&Failure::new(Code::Conflict, "x").on("8080")), None);
    assert_eq!(EndpointField::of(&Failure::new(Code::Conflict, "x")), None);
}

#[test]
fn options_of_earlier_versions_are_read() {
    let old: Result<EndpointOptions, _> =
        serde_json::from_str(r#"{"grpc_port":0,"tls":{"kind":"files","certificate":"a","key":"b"}}"#);
    assert!(old.is_ok_and(|old| old == EndpointOptions { grpc_port: Some(0), ..files("a", "b") }));
    let few: Result<EndpointOptions, _> =
        serde_json::from_str(r#"{"clients":{"kind":"required","authorities":"ca"},"tokens":{"issuer":"me"}}"#);
    let few = few.unwrap_or_default();
    assert_eq!(few.clients, clients("ca", "").clients);
    assert_eq!(few.tokens.map(|tokens| tokens.scope_prefix), Some("athanor:".to_owned()));
}

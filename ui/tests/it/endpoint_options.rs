//! What the endpoint is to have when it starts, on the page Endpoints: certificates of clients and tokens.

use athanor_protocol::{
    Code, Failure,
    api::{
        ClientChoice, EndpointField, EndpointOptions, EndpointStatus, Picked, Reply, Request, TlsChoice, TokenChoice,
    },
};
use athanor_ui::{
    fake::{self, FakeHandle},
    pages::{Go, Route},
};

use crate::help::Screen;

const WIDE: [f32; 2] = [1280.0, 820.0];

fn stopped(fake: &FakeHandle) {
    fake.on(|ask| {
        let status = EndpointStatus { url: None, since_millis: None, ..fake::endpoint_status() };
        matches!(ask, Request::EndpointGet(_)).then(|| Ok(Reply::EndpointGet(Box::new(status))))
    });
}

fn endpoints(size: [f32; 2], dark: bool, before: impl FnOnce(&FakeHandle)) -> Screen {
    let mut screen = Screen::new(size, dark, |fake| {
        stopped(fake);
        before(fake);
    });
    screen.go(Go::To(Route::Endpoints));
    screen
}

fn started(screen: &Screen) -> Option<EndpointOptions> {
    screen.fake.sent().into_iter().rev().find_map(|ask| match ask {
        Request::EndpointStart(ask) => Some(ask.options),
        _ => None,
    })
}

fn remembered(screen: &Screen) -> Option<EndpointOptions> {
    screen.fake.sent().into_iter().rev().find_map(|ask| match ask {
        Request::SettingsSet(ask) => Some(ask.settings.endpoint_options),
        _ => None,
    })
}

#[test]
fn certificates_of_clients_and_tokens_are_chosen_before_the_start_and_remembered() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        for (size, what) in [(WIDE, "wide"), ([1000.0, 900.0], "narrow"), ([700.0, 1200.0], "column")] {
            let mut screen = endpoints(size, dark, |_| {});
            assert!(!screen.has("Clients must have a certificate"), "not without TLS");
            screen.click("Made here");
            screen.click("Clients must have a certificate");
            screen.type_into("Authorities of clients (PEM)", "ca.crt");
            screen.type_into("Lists of revoked certificates (PEM)", "/etc/lists.pem");
            screen.click("A certificate stands for a key that may predict");
            screen.click("Tokens of an identity provider too");
            screen.type_into("Issuer", "https://id.example");
            screen.type_into("Audience", "models");
            screen.type_into("Public keys (JWKS), file or https address", "https://id.example/keys");
            screen.type_into("Claim with what a token may do", "permissions");
            screen.show(&format!("endpoints-callers-{what}-{theme}"));
            screen.click("Start");
            let clients = ClientChoice::Required {
                authorities: "ca.crt".to_owned(),
                revocations: "/etc/lists.pem".to_owned(),
                is_key: true,
            };
            let tokens = TokenChoice {
                issuer: "https://id.example".to_owned(),
                audience: "models".to_owned(),
                keys: "https://id.example/keys".to_owned(),
                scope_claim: "permissions".to_owned(),
                scope_prefix: "athanor:".to_owned(),
            };
            let tls = TlsChoice::Generated;
            let options = EndpointOptions { grpc_port: None, tls, clients, tokens: Some(tokens) };
            assert_eq!(started(&screen).as_ref(), Some(&options), "{what} {theme}");
            screen.harness.run_steps(8);
            assert_eq!(remembered(&screen), Some(options), "{what} {theme}");
        }
    }
}

#[test]
fn without_tls_no_client_shows_a_certificate() {
    let mut screen = endpoints(WIDE, true, |_| {});
    screen.click("Made here");
    screen.click("Clients must have a certificate");
    screen.type_into("Authorities of clients (PEM)", "ca.crt");
    screen.click("Off");
    screen.click("Start");
    assert_eq!(started(&screen), Some(EndpointOptions::default()));
}

#[test]
fn what_is_missing_is_said_at_the_field_when_a_start_is_tried_and_what_is_wrong_before() {
    for (dark, theme) in [(true, "dark"), (false, "light")] {
        let mut screen = endpoints(WIDE, dark, |_| {});
        screen.click("From files");
        screen.click("Clients must have a certificate");
        screen.click("Tokens of an identity provider too");
        assert!(!screen.has_text("is needed"), "nobody has done anything wrong yet");
        screen.type_into("Public keys (JWKS), file or https address", "http://id.example/keys");
        assert!(screen.has_text("An http address has no protection on its way from another machine"));
        // From another tab the form comes into view.
        screen.click("Keys");
        screen.click("Start");
        assert_eq!(started(&screen), None, "the engine is not even asked");
        for text in [
            "A file with the certificate is needed",
            "A file with the certificate's private key is needed",
            "A file with the certificates of the clients' authorities is needed",
            "Name who makes the tokens, as they have it in 'iss'",
            "Name whom the tokens are for, as they have it in 'aud'",
        ] {
            assert!(screen.has_text(text), "{theme}: {text}");
        }
        screen.show(&format!("endpoints-callers-wrong-{theme}"));
    }
}

#[test]
fn what_may_be_a_secret_is_said_and_not_remembered() {
    let mut screen = endpoints(WIDE, true, |_| {});
    screen.click("Tokens of an identity provider too");
    screen.type_into("Issuer", "https://id.example");
    screen.type_into("Audience", "models");
    screen.harness.run_steps(8);
    screen.type_into("Public keys (JWKS), file or https address", "https://me:secret@id.example/keys");
    assert!(screen.has_text("An address with a name or a password is not taken"));
    screen.harness.run_steps(8);
    let kept = remembered(&screen).and_then(|options| options.tokens).unwrap_or_default();
    assert_eq!((kept.audience.as_str(), kept.keys.as_str()), ("models", ""));
    screen.click("Start");
    assert_eq!(started(&screen), None);
    screen.type_into("Public keys (JWKS), file or https address", "jwks.json");
    screen.click("Start");
    assert_eq!(started(&screen).and_then(|options| options.tokens).map(|tokens| tokens.keys), Some("jwks.json".into()));
    assert!(screen.fake.sent().iter().all(|ask| !format!("{ask:?}").contains("secret")), "it went nowhere");
}

#[test]
fn what_the_engine_finds_is_said_at_the_field_until_that_is_changed() {
    let mut screen = endpoints(WIDE, false, |fake| {
        fake.on(|ask| match ask {
            Request::EndpointStart(ask) if ask.options.clients != ClientChoice::Off => {
                let failure = Failure::new(Code::NotFound, "cannot open ca.crt: there is no such file");
                Some(Err(failure.on(EndpointField::ClientAuthorities.name()).hint("check the path")))
            }
            _ => None,
        });
    });
    screen.click("Made here");
    screen.click("Clients must have a certificate");
    screen.type_into("Authorities of clients (PEM)", "ca.crt");
    screen.click("Monitoring");
    screen.click("Start");
    let said = "Cannot open ca.crt: there is no such file. Check the path";
    assert!(screen.has_text(said), "the form is in view, with the reason at the field");
    screen.show("endpoints-callers-refused");
    screen.type_into("Authorities of clients (PEM)", "other.crt");
    assert!(!screen.has_text(said));
}

#[test]
fn a_file_is_chosen_in_the_systems_dialog_where_there_is_one() {
    let mut screen = endpoints(WIDE, true, |fake| {
        fake.on(|ask| match ask {
            Request::Pick(_) => Some(Ok(Reply::Pick(Box::new(Picked { paths: vec!["/keys/ca.crt".to_owned()] })))),
            _ => None,
        });
    });
    screen.click("Made here");
    screen.click("Clients must have a certificate");
    screen.click("Choose authorities of clients (pem)");
    screen.settle();
    screen.click("Start");
    let clients = started(&screen).map(|options| options.clients);
    assert!(
        matches!(&clients, Some(ClientChoice::Required { authorities, .. }) if authorities == "/keys/ca.crt"),
        "{clients:?}"
    );
}

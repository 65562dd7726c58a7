#![allow(clippy::unwrap_used)]

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4231, test cases 1, 2 and 6.
#[test]
fn hmac_has_the_values_of_its_standard() {
    assert_eq!(
        hex(&hmac_sha256(&[0x0b; 20], b"Hi There")),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
    assert_eq!(
        hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        hex(&hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}

#[test]
fn only_safe_addresses_are_read() {
    for (text, is_right) in [
        ("https://hooks.example/a", true),
        ("https://hooks.example:8443/a?b=c", true),
        ("http://127.0.0.1:9000/", true),
        ("http://localhost:9000/", true),
        ("http://[::1]:9000/", true),
        ("http://hooks.example/", false),
        ("http://10.0.0.1/", false),
        ("https://user:secret@hooks.example/", false),
        ("file:///etc/passwd", false),
        ("gopher://127.0.0.1/", false),
        ("hooks.example", false),
        ("", false),
    ] {
        assert_eq!(parse(text).is_ok(), is_right, "{text}");
    }
    let failure = parse("https://user:secret@hooks.example/").unwrap_err();
    assert!(!failure.to_string().contains("secret"), "{failure}");
}

#[test]
fn addresses_that_may_not_be_called_are_told() {
    for (text, expect) in [
        ("93.184.216.34", Reach::Public),
        ("2606:2800:220:1::1", Reach::Public),
        ("127.0.0.1", Reach::Loopback),
        ("127.9.9.9", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("10.1.2.3", Reach::Private),
        ("172.16.0.1", Reach::Private),
        ("192.168.1.1", Reach::Private),
        ("100.64.0.1", Reach::Private),
        ("fd00::1", Reach::Private),
        ("::ffff:10.0.0.1", Reach::Private),
        ("64:ff9b::a00:1", Reach::Private),
        ("2002:a00:1::", Reach::Private),
        ("169.254.169.254", Reach::Never),
        ("::ffff:169.254.169.254", Reach::Never),
        ("64:ff9b::a9fe:a9fe", Reach::Never),
        ("fe80::1", Reach::Never),
        ("0.0.0.0", Reach::Never),
        ("::", Reach::Never),
        ("224.0.0.1", Reach::Never),
        ("255.255.255.255", Reach::Never),
        ("ff02::1", Reach::Never),
    ] {
        assert_eq!(reach(text.parse().unwrap()), expect, "{text}");
    }
}

#[test]
fn every_address_of_a_host_must_be_one_that_may_be_called() {
    let check = |url: &str, private: bool, found: &[&str], is_right: bool| {
        let found: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect();
        let result = addresses(&parse(url).unwrap(), private, |_, _| Ok(found.clone()));
        assert_eq!(result.is_ok(), is_right, "{url} {found:?}: {result:?}");
    };
    check("https://hooks.example/", false, &["93.184.216.34"], true);
    check("https://hooks.example/", false, &["93.184.216.34", "169.254.169.254"], false);
    check("https://hooks.example/", true, &["169.254.169.254"], false);
    check("https://hooks.example/", false, &["10.0.0.1"], false);
    check("https://hooks.example/", true, &["10.0.0.1"], true);
    check("https://hooks.example/", true, &["127.0.0.1"], false);
    check("https://hooks.example/", false, &[], false);
    check("http://localhost:1/", false, &["127.0.0.1", "::1"], true);
    check("http://127.0.0.1:1/", false, &["127.0.0.1"], true);
}

#[test]
fn a_signature_covers_time_and_body() {
    let one = signature(b"key", 5, b"{}");
    assert!(one.starts_with("sha256=") && one.len() == 7 + 64);
    assert_ne!(one, signature(b"key", 6, b"{}"));
    assert_ne!(one, signature(b"key", 5, b"{ }"));
    assert_ne!(one, signature(b"other", 5, b"{}"));
}

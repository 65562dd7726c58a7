//! Transport security on real sockets: certificates and their exchange, clients that must have one, and bytes that are no
//! handshake.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use athanor_serve::{ModelTable, ServeConfig, State, Tls, TlsMaterial, serve, serve_grpc, tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use crate::{
    grpc_house::{SERVICE, connect_over, framed, gather},
    house::{TestKeys, one_column, sum},
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn own(host: &str) -> TlsMaterial {
    let (certificates, key) = tls::generate(&[host.to_owned()], SystemTime::now(), 30).unwrap();
    let (certificates, key) = (certificates.into(), key.into());
    TlsMaterial { certificates, key, client_authorities: None, client_revocations: None }
}

/// An authority for clients.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client's certificate and key; `ends` is a year.
fn client(authority: &CertifiedIssuer<'static, KeyPair>, ends: i32) -> (CertificateDer<'static>, Vec<u8>) {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(ends, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.der().clone(), key.serialize_der())
}

/// An endpoint with TLS for HTTP and gRPC.
struct Live {
    http: SocketAddr,
    grpc: SocketAddr,
    tls: Tls,
    stop: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

fn live_with(material: &TlsMaterial, client_is_key: bool, change: impl FnOnce(&mut ServeConfig)) -> Live {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, grpc) = (bind(), bind());
    let (http_addr, grpc_addr) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
    let tls = Tls::new(material, client_is_key).unwrap();
    let mut config = ServeConfig::new(http_addr);
    config.tls = Some(tls.clone());
    config.drain_timeout = Duration::from_millis(100);
    change(&mut config);
    let table = ModelTable::new();
    table.replace(vec![one_column(sum)]).unwrap();
    let state = State::new(config, Arc::new(TestKeys), Arc::new(table)).unwrap();
    let mut live = Live { http: http_addr, grpc: grpc_addr, tls, stop: vec![], threads: vec![] };
    for (listener, is_grpc) in [(http, false), (grpc, true)] {
        let (stop, stopped) = oneshot::channel();
        let state = state.clone();
        live.stop.push(stop);
        live.threads.push(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let stopped = async { drop(stopped.await) };
            match is_grpc {
                true => runtime.block_on(serve_grpc(listener, &state, stopped)).unwrap(),
                false => runtime.block_on(serve(listener, &state, stopped)).unwrap(),
            }
        }));
    }
    live
}

fn live(material: &TlsMaterial) -> Live {
    live_with(material, false, |_| {})
}

impl Drop for Live {
    fn drop(&mut self) {
        for stop in self.stop.drain(..) {
            // A thread that has ended already needs no telling.
            let _ = stop.send(());
        }
        if !std::thread::panicking() {
            self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        }
    }
}

type Identity = (CertificateDer<'static>, Vec<u8>);

/// Shakes hands as a client that trusts `roots`.
async fn shake(
    to: SocketAddr,
    roots: &TlsMaterial,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
    identity: Option<&Identity>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(&roots.certificates).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.clone()).unwrap();
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
}

/// Asks for what a model takes. TLS 1.3 tells a client only after its handshake that its certificate is refused: then
/// this is an error.
async fn ask(stream: &mut TlsStream<TcpStream>, key: &str) -> io::Result<String> {
    let request = format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{key}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

const KEY: &str = "authorization: Bearer k-good\r\n";

#[tokio::test]
async fn both_versions_are_spoken_and_browsers_told_to_come_back_so() {
    let material = own("localhost");
    let live = live(&material);
    for version in VERSIONS {
        let mut stream = shake(live.http, &material, &[version], &[b"h2", b"http/1.1"], None).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = ask(&mut stream, KEY).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
        let mut stream = shake(live.http, &material, &[version], &[], None).await.unwrap();
        assert!(ask(&mut stream, "").await.unwrap().starts_with("HTTP/1.1 401"), "a key is needed all the same");
    }
    let refused = shake(live.http, &material, &VERSIONS, &[b"h2"], None).await;
    assert!(refused.is_err(), "who speaks HTTP/2 alone learns it in the handshake");
    assert!(shake(live.http, &own("localhost"), &VERSIONS, &[], None).await.is_err(), "nobody else's certificate");
}

#[tokio::test]
async fn grpc_is_spoken_over_tls() {
    let material = own("localhost");
    let live = live(&material);
    let stream = shake(live.grpc, &material, &VERSIONS, &[b"h2"], None).await.unwrap();
    let mut sender = connect_over(stream).await;
    let request = axum::http::Request::post(format!("https://localhost{SERVICE}ServerLive"))
        .header("content-type", "application/grpc")
        .body(axum::body::Body::from(framed(b"")))
        .unwrap();
    let said = gather(sender.send_request(request).await.unwrap()).await;
    assert_eq!((said.status, said.message), (0, b"\x08\x01".to_vec()));
    assert!(shake(live.grpc, &material, &VERSIONS, &[b"http/1.1"], None).await.is_err());
}

async fn answer_to(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![];
    // Nothing waits for this long: it turns a hanging test into a failing one.
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap();
    if let Err(err) = read {
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
    }
    answer
}

#[tokio::test]
async fn plain_bytes_get_no_further_than_a_hint() {
    let material = own("localhost");
    let live = live_with(&material, false, |config| config.header_read_timeout = Duration::from_millis(100));
    let request = format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{KEY}\r\n");
    for to in [live.http, live.grpc] {
        let answer = String::from_utf8(answer_to(to, request.as_bytes()).await).unwrap();
        // The request that nobody reads may reset the connection before the answer is read.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(!answer.contains("models"), "{answer}");
        let clear = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let answer = answer_to(to, clear).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
        // Silence, half a handshake, and noise are let go in time.
        answer_to(to, b"").await;
        answer_to(to, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
        answer_to(to, &[0; 300]).await;
        answer_to(to, &[0xff; 70_000]).await;
    }
    let mut stream = shake(live.http, &material, &VERSIONS, &[], None).await.unwrap();
    assert!(ask(&mut stream, KEY).await.unwrap().starts_with("HTTP/1.1 200"), "it still answers");
}

#[tokio::test]
async fn certificates_are_exchanged_while_it_serves() {
    let (first, second) = (own("localhost"), own("localhost"));
    let live = live(&first);
    let mut open = shake(live.http, &first, &VERSIONS, &[], None).await.unwrap();
    live.tls.replace(&second).unwrap();
    assert!(shake(live.http, &first, &VERSIONS, &[], None).await.is_err(), "the old one is not shown any more");
    let mut stream = shake(live.http, &second, &VERSIONS, &[], None).await.unwrap();
    assert!(ask(&mut stream, KEY).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(&mut open, KEY).await.unwrap().starts_with("HTTP/1.1 200"), "who was there goes on");
    assert!(live.tls.replace(&TlsMaterial { key: first.key.clone(), ..second.clone() }).is_err());
    assert!(shake(live.http, &second, &VERSIONS, &[], None).await.is_ok(), "a broken pair changes nothing");
    assert!(shake(live.grpc, &second, &VERSIONS, &[b"h2"], None).await.is_ok(), "gRPC has it as well");
}

#[tokio::test]
async fn clients_need_a_certificate_of_the_right_authority_and_time() {
    let (ours, theirs) = (authority(), authority());
    let material = TlsMaterial { client_authorities: Some(ours.pem().into()), ..own("localhost") };
    let good = client(&ours, 2100);
    let refused = [("none", None), ("expired", Some(client(&ours, 2001))), ("foreign", Some(client(&theirs, 2100)))];
    for client_is_key in [false, true] {
        let live = live_with(&material, client_is_key, |_| {});
        for version in VERSIONS {
            for (what, identity) in &refused {
                let shaken = shake(live.http, &material, &[version], &[], identity.as_ref()).await;
                let told = match shaken {
                    Ok(mut stream) => ask(&mut stream, KEY).await,
                    Err(err) => Err(err),
                };
                assert!(told.is_err(), "{what}: {told:?}");
            }
            let mut stream = shake(live.http, &material, &[version], &[], Some(&good)).await.unwrap();
            assert!(ask(&mut stream, KEY).await.unwrap().starts_with("HTTP/1.1 200"), "with a key");
            let mut stream = shake(live.http, &material, &[version], &[], Some(&good)).await.unwrap();
            let answer = ask(&mut stream, "").await.unwrap();
            let expect = if client_is_key { "HTTP/1.1 200" } else { "HTTP/1.1 401" };
            assert!(answer.starts_with(expect), "without a key, {client_is_key}: {answer}");
            let mut stream = shake(live.http, &material, &[version], &[], Some(&good)).await.unwrap();
            let answer = ask(&mut stream, "authorization: Bearer wrong\r\n").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 401"), "a wrong key is wrong with a certificate as well: {answer}");
        }
    }
}

/// What an authority has revoked, up to a year.
fn revoked(authority: &CertifiedIssuer<'static, KeyPair>, serials: &[&SerialNumber], next: i32) -> String {
    let revoked = serials.iter().map(|&serial| RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: rcgen::date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 2),
        next_update: rcgen::date_time_ymd(next, 1, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).unwrap().pem().unwrap()
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_next_connection_on() {
    let (ours, theirs) = (authority(), authority());
    let serial = SerialNumber::from(77u64);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(serial.clone());
    let certificate = params.signed_by(&key, &ours).unwrap();
    let known = (certificate.der().clone(), key.serialize_der());
    let other = client(&ours, 2100);

    let none = TlsMaterial {
        client_authorities: Some(ours.pem().into()),
        client_revocations: Some(revoked(&ours, &[], 2100).into()),
        ..own("localhost")
    };
    let with = |list: String| TlsMaterial { client_revocations: Some(list.into()), ..none.clone() };
    let live = live(&none);
    let may = async |identity: &Identity| match shake(live.http, &none, &VERSIONS, &[], Some(identity)).await {
        Ok(mut stream) => ask(&mut stream, KEY).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")),
        Err(_) => false,
    };
    assert!(may(&known).await && may(&other).await, "nobody is revoked");
    let mut open = shake(live.http, &none, &VERSIONS, &[], Some(&known)).await.unwrap();

    live.tls.replace(&with(revoked(&ours, &[&serial], 2100))).unwrap();
    assert!(!may(&known).await, "it is revoked");
    assert!(may(&other).await, "others are not");
    assert!(ask(&mut open, KEY).await.unwrap().starts_with("HTTP/1.1 200"), "who was there goes on");
    assert!(live.tls.replace(&with("broken".to_owned())).is_err());
    assert!(!may(&known).await, "what cannot be read changes nothing");

    live.tls.replace(&with(revoked(&ours, &[], 2021))).unwrap();
    assert!(!may(&other).await, "a list that is out of date says nothing of anybody");
    live.tls.replace(&with(revoked(&theirs, &[], 2100))).unwrap();
    assert!(!may(&other).await, "another authority's list says nothing of ours");
    live.tls.replace(&none).unwrap();
    assert!(may(&known).await && may(&other).await);
}

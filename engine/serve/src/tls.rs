//! Transport security: certificates, their exchange while requests run, and clients that are known by theirs.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use athanor_protocol::api::EndpointField;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
    server::TlsStream,
};

use crate::{authority, error::ServeError, expiry};

/// Most handshakes at once: each costs a signature, which is thousands of times what it costs the client to ask for it.
const MAX_HANDSHAKES: usize = 64;
/// Most certificates in a file.
const MAX_CERTIFICATES: usize = 1_024;
/// Most lists of revoked certificates in a file.
const MAX_LISTS: usize = 1_024;
/// How the id of a client's certificate begins.
pub const ID_PREFIX: &str = "cert:";

/// Certificates and keys as the files hold them (PEM).
#[derive(Clone, PartialEq, Eq)]
pub struct TlsMaterial {
    /// The endpoint's certificate, and those between it and its authority.
    pub certificates: Vec<u8>,
    /// The private key of the first certificate.
    pub key: Vec<u8>,
    /// Authorities; where there are any, a client must have a certificate by one of them.
    pub client_authorities: Option<Vec<u8>>,
    /// The authorities' lists of revoked certificates. Where there are any, every authority on the way to a client's
    /// certificate must have one that is not out of date; otherwise the client is refused.
    pub client_revocations: Option<Vec<u8>>,
}

// By hand, so that a private key does not end up in a log.
impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

/// The transport security of an endpoint. Clones are the same.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    now: RwLock<Loaded>,
    client_is_key: bool,
    handshakes: Semaphore,
}

/// One configuration for each protocol that may be spoken behind the handshake.
struct Loaded {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
    /// Until when the endpoint's certificate is valid.
    expires_at_millis: Option<i64>,
}

/// What can't be used, as people are told, and as which setting.
type What = (&'static str, Option<EndpointField>);

const CERTIFICATE: What = ("the certificate can't be used", Some(EndpointField::Certificate));
const KEY: What = ("the private key can't be used", Some(EndpointField::PrivateKey));
const PAIR: What = ("the certificate and the private key do not belong together", Some(EndpointField::PrivateKey));
const AUTHORITIES: What = ("the authorities of clients can't be used", Some(EndpointField::ClientAuthorities));
const REVOCATIONS: What = ("the lists of revoked certificates can't be used", Some(EndpointField::ClientRevocations));

fn unusable((what, field): What, reason: impl fmt::Display) -> ServeError {
    ServeError::Tls { message: format!("{what}: {reason}"), field }
}

fn certificates(what: What, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(MAX_CERTIFICATES).collect();
    match all {
        Ok(all) if all.is_empty() => Err(unusable(what, "the file holds no certificate in PEM form")),
        Ok(all) => Ok(all),
        Err(err) => Err(unusable(what, err)),
    }
}

fn revocations(what: What, pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, ServeError> {
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).take(MAX_LISTS).collect();
    match all {
        Ok(all) if all.is_empty() => Err(unusable(what, "the file holds no list in PEM form")),
        Ok(all) => Ok(all),
        Err(err) => Err(unusable(what, err)),
    }
}

impl Loaded {
    fn new(material: &TlsMaterial) -> Result<Self, ServeError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(CERTIFICATE, &material.certificates)?;
        let expires_at_millis = chain.first().and_then(|leaf| expiry::expires_at_millis(leaf));
        let key = PrivateKeyDer::from_pem_slice(&material.key).map_err(|err| unusable(KEY, err))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|err| unusable(("no version of TLS can be spoken", None), err))?;
        let builder = match &material.client_authorities {
            None if material.client_revocations.is_some() => {
                let reason = "without authorities there is nobody whose certificates they could be";
                return Err(unusable(REVOCATIONS, reason));
            }
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(AUTHORITIES, pem)? {
                    if authority::is_other_ones_leaf(&certificate) {
                        let reason = "the file holds a certificate by another authority that may not sign certificates";
                        return Err(unusable(AUTHORITIES, reason));
                    }
                    roots.add(certificate).map_err(|err| unusable(AUTHORITIES, err))?;
                }
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let mut blamed = AUTHORITIES;
                if let Some(pem) = &material.client_revocations {
                    blamed = REVOCATIONS;
                    // A list that is out of date says nothing of what was revoked since.
                    verifier = verifier.with_crls(revocations(blamed, pem)?).enforce_revocation_expiration();
                }
                let verifier = verifier.build().map_err(|err| unusable(blamed, err))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut http1 = builder.with_single_cert(chain, key).map_err(|err| unusable(PAIR, err))?;
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2), expires_at_millis })
    }
}

impl Tls {
    /// Takes certificates and keys. `client_is_key`: whether a client's certificate stands for an API key that may
    /// predict; it counts only with authorities.
    ///
    /// # Errors
    /// If they can't be read or do not belong together.
    pub fn new(material: &TlsMaterial, client_is_key: bool) -> Result<Self, ServeError> {
        if client_is_key && material.client_authorities.is_none() {
            let reason = "without authorities nobody knows whose certificates they are";
            return Err(unusable(("client certificates can't stand for keys", Some(EndpointField::Clients)), reason));
        }
        let now = RwLock::new(Loaded::new(material)?);
        Ok(Self(Arc::new(Inner { now, client_is_key, handshakes: Semaphore::new(MAX_HANDSHAKES) })))
    }

    /// Takes others from now on. Connections that are open go on.
    ///
    /// # Errors
    /// If they can't be used; then the old ones stay.
    pub fn replace(&self, material: &TlsMaterial) -> Result<(), ServeError> {
        let loaded = Loaded::new(material)?;
        if self.0.client_is_key && material.client_authorities.is_none() {
            return Err(unusable(("client certificates stand for keys", None), "the authorities must stay"));
        }
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Until when the certificate that is shown now is valid, milliseconds since the Unix epoch; `None` where that cannot
    /// be told.
    pub fn expires_at_millis(&self) -> Option<i64> {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).expires_at_millis
    }

    /// Whether a client's certificate stands for an API key.
    pub fn client_is_key(&self) -> bool {
        self.0.client_is_key
    }

    /// Shakes hands within `patience`.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        is_http2: bool,
        patience: Duration,
    ) -> io::Result<(TlsStream<S>, Option<ClientCertificate>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = {
            let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(if is_http2 { &now.http2 } else { &now.http1 })
        };
        let shaken = async {
            let _turn = self.0.handshakes.acquire().await.map_err(io::Error::other)?;
            TlsAcceptor::from(config).accept(stream).await
        };
        let stream = tokio::time::timeout(patience, shaken).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(ClientCertificate::new);
        Ok((stream, client))
    }
}

// Two are the same if one is the other's clone.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("client_is_key", &self.0.client_is_key).finish_non_exhaustive()
    }
}

/// A client's certificate, which was checked in the handshake: its name in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate(Arc<str>);

impl ClientCertificate {
    fn new(certificate: &CertificateDer<'_>) -> Self {
        let digest = Sha256::digest(certificate);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{ID_PREFIX}{hex}").into())
    }

    /// `cert:` and the SHA-256 of the certificate, in hex.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.0
    }
}

/// A new certificate, signed by itself, for these names and addresses; valid for `days` from `now`. Returns certificate
/// and private key as PEM.
///
/// # Errors
/// If a name can't stand in a certificate.
pub fn generate(hosts: &[String], now: std::time::SystemTime, days: u32) -> Result<(String, String), ServeError> {
    let what = ("no certificate can be made", None);
    let names: Vec<String> = hosts.iter().map(|host| host.trim_matches(['[', ']']).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).map_err(|err| unusable(what, err))?;
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, "Athanor endpoint");
    params.distinguished_name = name;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let day = Duration::from_secs(86_400);
    // A client's clock may be behind.
    let from = rcgen::date_time_ymd(1970, 1, 1) + since.saturating_sub(day);
    params.not_before = from;
    params.not_after = from + day * (days + 1);
    let key = rcgen::KeyPair::generate().map_err(|err| unusable(what, err))?;
    let certificate = params.self_signed(&key).map_err(|err| unusable(what, err))?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::SystemTime;

    use super::*;

    fn material(hosts: &[&str]) -> TlsMaterial {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let (certificates, key) = generate(&hosts, SystemTime::now(), 30).unwrap();
        let (certificates, key) = (certificates.into(), key.into());
        TlsMaterial { certificates, key, client_authorities: None, client_revocations: None }
    }

    #[test]
    fn what_is_made_can_be_used() {
        let tls = Tls::new(&material(&["localhost", "127.0.0.1", "[::1]", "models.example"]), false).unwrap();
        tls.replace(&material(&["localhost"])).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_named_and_the_old_stays() {
        let good = material(&["localhost"]);
        let other = material(&["localhost"]);
        let tls = Tls::new(&good, false).unwrap();
        let before = Arc::clone(&tls.0.now.read().unwrap().http1);
        let check = |material: &TlsMaterial, expect: &str| {
            let err = tls.replace(material).unwrap_err().to_string();
            assert!(err.starts_with(expect), "{err}");
            let now = Arc::clone(&tls.0.now.read().unwrap().http1);
            assert!(Arc::ptr_eq(&before, &now), "the old one stays");
        };
        check(&TlsMaterial { key: other.key, ..good.clone() }, "the certificate and the private key do not belong");
        check(
            &TlsMaterial { certificates: vec![], ..good.clone() },
            "the certificate can't be used: the file holds no",
        );
        check(&TlsMaterial { key: b"x".to_vec(), ..good.clone() }, "the private key can't be used");
        let half = good.certificates[..good.certificates.len() / 2].to_vec();
        check(&TlsMaterial { certificates: half, ..good.clone() }, "the certificate can't be used");
        check(&TlsMaterial { client_authorities: Some(vec![]), ..good.clone() }, "the authorities of clients");
        let lists = "the lists of revoked certificates can't be used";
        check(&TlsMaterial { client_revocations: Some(vec![]), ..good.clone() }, lists);
        let authorities = Some(good.certificates.clone());
        let empty = TlsMaterial { client_authorities: authorities, client_revocations: Some(vec![]), ..good.clone() };
        check(&empty, lists);
        assert!(Tls::new(&good, true).is_err(), "keys can't be replaced by certificates that nobody checks");
        assert!(!format!("{good:?} {tls:?}").contains("PRIVATE"));
    }
}

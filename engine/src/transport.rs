//! What an endpoint has besides its socket for HTTP: one for gRPC, certificates that are read again when their files
//! change, and an identity provider's tokens.

use std::{
    fs,
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use athanor_protocol::{Code, Failure, api::TlsStatus, registry::KeyLimits};
use athanor_serve::{Tls, TlsMaterial, tls};

use crate::{
    error::{EngineError, Result},
    files,
    identity::Identity,
    workspace::Workspace,
};

/// Largest file with certificates or a key.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// A generated certificate is valid for so many days, and made again when fewer than these are left.
const DAYS: u32 = 397;
const RENEW_DAYS: u64 = 30;
/// Where generated certificates lie in the workspace.
const CERTIFICATE: &str = "keys/tls.crt";
const KEY: &str = "keys/tls.key";
/// For which names the generated certificate is; its age is this file's.
const NAMES: &str = "keys/tls.names";

/// What an endpoint has besides its socket for HTTP.
#[derive(Default)]
pub struct Transport {
    /// The socket for gRPC.
    pub grpc: Option<TcpListener>,
    /// Where its certificates come from; what is spoken is in the settings of the endpoint.
    pub tls: Option<Arc<TlsFiles>>,
    /// Tokens that stand for keys.
    pub identity: Option<Arc<Identity>>,
    /// What each caller without a key of the workspace may ask for: by a token, or by a certificate.
    pub caller_limits: KeyLimits,
}

/// The files of an endpoint's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of clients, where they must have certificates.
    pub client_authorities: Option<PathBuf>,
    /// The authorities' lists of revoked certificates.
    pub client_revocations: Option<PathBuf>,
}

/// Certificates from files, read again when these change.
#[derive(Debug)]
pub struct TlsFiles {
    paths: TlsPaths,
    tls: Tls,
    /// What was read last, whether it could be used or not.
    seen: Mutex<TlsMaterial>,
}

/// Reads a file with certificates or a key.
///
/// # Errors
/// If it cannot be read, or is too large to be one.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    files::read_limited(path, MAX_FILE_BYTES)
}

fn read(paths: &TlsPaths) -> Result<TlsMaterial> {
    let read = |path: &PathBuf| read_file(path);
    Ok(TlsMaterial {
        certificates: read(&paths.certificate)?,
        key: read(&paths.key)?,
        client_authorities: paths.client_authorities.as_ref().map(read).transpose()?,
        client_revocations: paths.client_revocations.as_ref().map(read).transpose()?,
    })
}

impl TlsFiles {
    /// Reads certificates. `client_is_key`: whether a client's certificate stands for an API key.
    ///
    /// # Errors
    /// If a file cannot be read, or what it holds cannot be used.
    pub fn open(paths: TlsPaths, client_is_key: bool) -> Result<Self> {
        let material = read(&paths)?;
        let tls = Tls::new(&material, client_is_key).map_err(|err| EngineError::Failure(err.into()))?;
        Ok(Self { paths, tls, seen: Mutex::new(material) })
    }

    /// What endpoint and page speak.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Whether clients must have a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.paths.client_authorities.is_some()
    }

    /// How it is, for people; `workspace` tells whether the certificate is one of its making.
    pub fn status(&self, workspace: &Workspace) -> TlsStatus {
        TlsStatus {
            generated: self.paths.certificate == workspace.root().join(CERTIFICATE),
            certificate: self.paths.certificate.display().to_string(),
            expires_at_millis: self.tls.expires_at_millis(),
            client_certificates: self.asks_for_certificates(),
            client_is_key: self.tls.client_is_key(),
        }
    }

    /// Looks at the files. Where they have changed and can be used, whoever connects from now on gets what they hold;
    /// where they cannot be used, that is logged once and the old ones stay.
    pub fn refresh(&self) {
        let material = match read(&self.paths) {
            Ok(material) => material,
            Err(err) => {
                // While they are exchanged, a file may be away for a moment.
                tracing::debug!("cannot read the certificates: {err}");
                return;
            }
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == material {
            return;
        }
        match self.tls.replace(&material) {
            Ok(()) => tracing::info!("new certificates are in use"),
            Err(err) => tracing::error!("the certificates have changed and cannot be used, the old ones stay: {err}"),
        }
        *seen = material;
    }
}

/// The certificate of a workspace for these names, signed by itself: made on first use, for other names, and before it
/// ends. The private key is readable by its owner alone.
///
/// # Errors
/// If it cannot be written, or a name cannot stand in a certificate.
pub fn generated(workspace: &Workspace, hosts: &[String]) -> Result<(PathBuf, PathBuf)> {
    let at = |name: &str| workspace.root().join(name);
    let (certificate, key, list) = (at(CERTIFICATE), at(KEY), at(NAMES));
    let mut names: Vec<String> = hosts.iter().map(|host| without_port(host).to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    let wanted = names.join("\n");
    let now = SystemTime::now();
    if certificate.is_file() && key.is_file() && is_fresh(&list, now) && is_text(&list, &wanted) {
        return Ok((certificate, key));
    }
    let (certificates, secret) = tls::generate(&names, now, DAYS).map_err(|err| EngineError::Failure(err.into()))?;
    // The list last: without it they are made again.
    let _ = fs::remove_file(&list);
    files::write_secret(&key, secret.as_bytes())?;
    files::write_atomic(&certificate, certificates.as_bytes())?;
    files::write_atomic(&list, wanted.as_bytes())?;
    Ok((certificate, key))
}

fn is_fresh(path: &Path, now: SystemTime) -> bool {
    let age = fs::metadata(path).and_then(|about| about.modified()).ok().and_then(|at| now.duration_since(at).ok());
    age.is_some_and(|age| age < Duration::from_secs((u64::from(DAYS) - RENEW_DAYS) * 86_400))
}

fn is_text(path: &Path, text: &str) -> bool {
    files::read_limited(path, MAX_FILE_BYTES).is_ok_and(|bytes| bytes == text.as_bytes())
}

/// A host without its port; a certificate is for any port.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

/// Whether an address may be bound: another machine's way to it must be by TLS.
///
/// # Errors
/// If it can be reached from other machines, and there is no TLS.
pub fn check_public(ip: IpAddr, address: &str, has_tls: bool) -> Result<()> {
    if ip.is_loopback() || has_tls {
        return Ok(());
    }
    let failure = Failure::new(
        Code::PermissionDenied,
        format!("{address} can be reached from other machines, and this endpoint has no TLS"),
    );
    let hint = "give it a certificate with --tls-cert and --tls-key, or let it make one with --tls; \
        or bind 127.0.0.1 and put a reverse proxy with TLS in front";
    Err(EngineError::Failure(failure.hint(hint)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn paths(folder: &Path) -> TlsPaths {
        let (certificate, key) = (folder.join("a.crt"), folder.join("a.key"));
        TlsPaths { certificate, key, client_authorities: None, client_revocations: None }
    }

    fn write(paths: &TlsPaths, host: &str) {
        let (certificate, key) = tls::generate(&[host.to_owned()], SystemTime::now(), 10).unwrap();
        fs::write(&paths.certificate, certificate).unwrap();
        fs::write(&paths.key, key).unwrap();
    }

    #[test]
    fn files_are_read_again_and_broken_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        assert!(TlsFiles::open(paths.clone(), false).is_err(), "nothing is there");
        write(&paths, "localhost");
        let files = TlsFiles::open(paths.clone(), false).unwrap();
        fs::write(&paths.certificate, "broken").unwrap();
        files.refresh();
        fs::remove_file(&paths.key).unwrap();
        files.refresh();
        write(&paths, "localhost");
        files.refresh();
        assert_eq!(*files.seen.lock().unwrap(), read(&paths).unwrap());
        assert!(TlsFiles::open(paths, true).is_err(), "nobody checks whose certificates would stand for keys");
    }

    #[test]
    fn a_certificate_is_made_once_for_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("w")).unwrap();
        let hosts = ["localhost:8080", "[::1]", "Models.example", "127.0.0.1"].map(str::to_owned);
        let (certificate, key) = generated(&workspace, &hosts).unwrap();
        let first = fs::read(&certificate).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        }
        generated(&workspace, &hosts).unwrap();
        assert_eq!(fs::read(&certificate).unwrap(), first, "it stays");
        generated(&workspace, &hosts[..2]).unwrap();
        assert_ne!(fs::read(&certificate).unwrap(), first, "other names need another one");
        TlsFiles::open(TlsPaths { certificate, key, ..paths(folder.path()) }, false).unwrap();
    }

    #[test]
    fn public_addresses_need_tls() {
        for (address, public) in [
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("0.0.0.0", true),
            ("::", true),
            ("10.0.0.1", true),
            ("169.254.1.1", true),
            ("::ffff:127.0.0.1", true),
        ] {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!(check_public(ip, address, false).is_err(), public, "{address}");
            assert!(check_public(ip, address, true).is_ok());
        }
    }
}

//! Images to registries and back, by the OCI distribution specification.

use std::{
    fs::File,
    io::{BufWriter, Write},
    net::IpAddr,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use athanor_protocol::{Code, Failure};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};
use reqwest::header::HeaderValue;
use serde::Serialize;

use super::{
    credentials::Credentials,
    documents::{self, Index, Manifest, Platform},
    layer::blob_path,
    layout::{self, Work},
    verify::{MAX_DOCUMENT_BYTES, VerifiedImage, check_manifest, verify_layout},
};
use crate::{
    deploy::{Phase, Scratch, Watch, corrupt},
    error::{EngineError, IoContext, Result},
    files,
};

const CONNECT: Duration = Duration::from_secs(15);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_secs(120);

/// An image that lies in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The name by which it was pushed.
    pub reference: String,
    /// The name that cannot be moved: `REGISTRY/NAME@sha256:…`.
    pub pinned: String,
    /// The manifest's digest.
    pub digest: String,
    /// Blobs that the registry had already.
    pub n_known: usize,
    /// Blobs that were sent.
    pub n_sent: usize,
}

/// A name in a registry. The registry must be part of it: nothing goes to a public one because a word was left out.
fn parse(text: &str) -> Result<Reference> {
    let example = "write for example registry.example.org/wine:3";
    let usage =
        |why: &str| EngineError::Failure(Failure::new(Code::InvalidArgument, format!("{text:?} {why}")).hint(example));
    let registry = text.split_once('/').map(|(registry, _)| registry).unwrap_or_default();
    if !(registry.contains(['.', ':']) || registry == "localhost") {
        return Err(usage("names no registry"));
    }
    text.parse().map_err(|_| usage("is no name of an image"))
}

/// Whether a registry is on this machine: there plain HTTP is spoken, and TLS everywhere else.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A client and who we are.
struct Session {
    client: Client,
    auth: RegistryAuth,
    reference: Reference,
}

impl Session {
    fn new(reference: Reference, credentials: Option<&Credentials>) -> Result<Self> {
        athanor_serve::use_ring();
        let registry = reference.resolve_registry().to_owned();
        let protocol = match is_loopback(&registry) {
            true => ClientProtocol::HttpsExcept(vec![registry]),
            false => ClientProtocol::Https,
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("athanor/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|err| failed(&reference, err))?;
        let auth = match credentials {
            Some(known) => RegistryAuth::Basic(known.username.clone(), known.password.clone()),
            None => RegistryAuth::Anonymous,
        };
        Ok(Self { client, auth, reference })
    }

    async fn push(&self, layout: &Path, watch: &Watch<'_>) -> Result<Pushed> {
        let reference = &self.reference;
        let index = files::read_limited(&layout.join(layout::INDEX), MAX_DOCUMENT_BYTES)?;
        let index: Index =
            serde_json::from_slice(&index).map_err(|err| corrupt(format!("the index is damaged: {err}")))?;
        let named = index.manifests.first().ok_or_else(|| corrupt("the image has no manifest"))?;
        let blobs = layout::blobs_of(layout);
        let bytes = files::read_limited(&blob_path(&blobs, &named.digest)?, MAX_DOCUMENT_BYTES)?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|err| corrupt(format!("the manifest is damaged: {err}")))?;
        self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
        let (mut n_known, mut n_sent) = (0, 0);
        // The manifest last: what a registry lists is there.
        let n_blobs = manifest.layers.len() as u64 + 1;
        for (at, blob) in (0..).zip(manifest.layers.iter().chain([&manifest.config])) {
            watch.tell(Phase::Sending, at, n_blobs);
            if self.client.blob_exists(reference, &blob.digest).await.map_err(|err| failed(reference, err))? {
                n_known += 1;
                continue;
            }
            let path = blob_path(&blobs, &blob.digest)?;
            let data = files::read_limited(&path, blob.size)?;
            self.client.push_blob(reference, data, &blob.digest).await.map_err(|err| failed(reference, err))?;
            n_sent += 1;
        }
        let kind = HeaderValue::from_static(documents::MANIFEST);
        self.client.push_manifest_raw(reference, bytes, kind).await.map_err(|err| failed(reference, err))?;
        let digest = named.digest.clone();
        let pinned = reference.clone_with_digest(digest.clone());
        let pinned = format!("{}/{}@{digest}", pinned.registry(), pinned.repository());
        Ok(Pushed { reference: reference.to_string(), pinned, digest, n_known, n_sent })
    }

    /// Fetches an image into a layout. What is larger than its manifest says is broken off.
    async fn pull(&self, to: &Path) -> Result<String> {
        let reference = &self.reference;
        let (bytes, digest) = self
            .client
            .pull_manifest_raw(reference, &self.auth, &[documents::MANIFEST])
            .await
            .map_err(|err| failed(reference, err))?;
        if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(corrupt("the image's manifest is too large"));
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|_| corrupt(format!("{reference} is no image of ours")))?;
        check_manifest(&manifest)?;
        let work = Work::begin(to)?;
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            let path = blob_path(work.blobs(), &blob.digest)?;
            let file = File::create(&path).at("create", &path)?;
            let out = Bounded { file: BufWriter::new(file), left: blob.size };
            self.client.pull_blob(reference, blob.digest.as_str(), out).await.map_err(|err| failed(reference, err))?;
        }
        let platform: Option<Platform> = None;
        let found = work.finish_with(&bytes, platform, reference.tag().unwrap_or("latest"))?;
        if found != digest {
            return Err(corrupt(format!("{reference} is not the image of its digest")));
        }
        Ok(found)
    }
}

/// Sends an image to a registry, and makes sure that what lies there is what was sent: it is fetched again and checked,
/// every blob and the package's signature.
///
/// # Errors
/// If the image is damaged; if the name is none; if the registry cannot be reached, refuses, or gives back other bytes;
/// if it is stopped.
pub fn push(
    layout: &Path,
    reference: &str,
    credentials: Option<&Credentials>,
    trusted: &[String],
    watch: &Watch<'_>,
) -> Result<Pushed> {
    let image = verify_layout(layout, trusted)?;
    let reference = parse(reference)?;
    if reference.digest().is_some() {
        let failure = Failure::new(Code::InvalidArgument, format!("{reference} is a name that is computed, not given"));
        return Err(EngineError::Failure(failure.hint("name a tag, for example :3")));
    }
    let session = Session::new(reference, credentials)?;
    let pushed = runtime()?.block_on(watch.or_stopped(session.push(layout, watch)))?;
    watch.tell(Phase::Checking, 0, 0);
    let back = fetch(&pushed.pinned, credentials, trusted, watch)?;
    if back.digest != image.digest {
        return Err(corrupt(format!("the registry gives back another image: {}", back.digest)));
    }
    Ok(pushed)
}

/// Fetches an image from a registry into a folder that goes away, and checks it.
///
/// # Errors
/// As [`verify_layout`]; if the registry cannot be reached or does not have it.
pub fn verify_reference(
    reference: &str,
    credentials: Option<&Credentials>,
    trusted: &[String],
) -> Result<VerifiedImage> {
    fetch(reference, credentials, trusted, &Watch::none())
}

fn fetch(
    reference: &str,
    credentials: Option<&Credentials>,
    trusted: &[String],
    watch: &Watch<'_>,
) -> Result<VerifiedImage> {
    let scratch = Scratch::new()?;
    let to = scratch.path().join("image");
    let session = Session::new(parse(reference)?, credentials)?;
    runtime()?.block_on(watch.or_stopped(session.pull(&to)))?;
    verify_layout(&to, trusted)
}

/// The registry that a name is in, for looking up who we are there.
///
/// # Errors
/// If the name is none.
pub fn registry_of(reference: &str) -> Result<String> {
    Ok(parse(reference)?.registry().to_owned())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let failed = |err: std::io::Error| EngineError::new(Code::Unavailable, format!("cannot start threads: {err}"));
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)
}

/// A file that takes no more than was said.
struct Bounded {
    file: BufWriter<File>,
    left: u64,
}

impl tokio::io::AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            let message = "the registry sends more than the manifest says";
            return Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message)));
        };
        // Blocks, and nothing else is done on this thread meanwhile.
        let written = self.file.write_all(bytes).map(|()| bytes.len());
        self.left = left;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.file.flush())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.file.flush())
    }
}

/// A registry's refusal in our words. Its own words are shown as far as they hold no more than a reason.
fn failed(reference: &Reference, err: OciDistributionError) -> EngineError {
    let registry = reference.registry();
    // A registry says in its answer what another says by the status alone.
    let says = |wanted: &[OciErrorCode]| match &err {
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| wanted.contains(&error.code))
        }
        _ => false,
    };
    let status = match &err {
        _ if says(&[OciErrorCode::Unauthorized]) => Some(401),
        _ if says(&[OciErrorCode::Denied]) => Some(403),
        _ if says(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]) => Some(404),
        OciDistributionError::ServerError { code, .. } => Some(*code),
        OciDistributionError::RequestError(err) => err.status().map(|status| status.as_u16()),
        _ => None,
    };
    let unauthenticated = || {
        let hint = "name yourself: --username NAME --password-stdin, ATHANOR_REGISTRY_PASSWORD, or docker login";
        Failure::new(Code::Unauthenticated, format!("{registry} asks who you are, or does not know you")).hint(hint)
    };
    let failure = match (&err, status) {
        (OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_), _)
        | (_, Some(401)) => unauthenticated(),
        (_, Some(403)) => {
            Failure::new(Code::PermissionDenied, format!("{registry} does not allow this for {reference}"))
        }
        (OciDistributionError::ImageManifestNotFoundError(_), _) | (_, Some(404)) => {
            Failure::new(Code::NotFound, format!("{registry} does not have {reference}"))
        }
        (OciDistributionError::DigestError(_), _) => {
            Failure::new(Code::Corrupt, format!("{registry} gives back other bytes than {reference} has"))
        }
        (OciDistributionError::RequestError(inner), _) => {
            let why = if inner.is_connect() { "cannot be reached" } else { "does not answer as it should" };
            let cause = std::error::Error::source(inner).map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::new(Code::Unavailable, format!("{registry} {why}{cause}"))
                .hint("is the registry up, and spelled right?")
        }
        (OciDistributionError::IoError(inner), _) => {
            Failure::new(Code::from_io(inner), format!("{reference}: {inner}"))
        }
        (other, _) => {
            let words: String = other.to_string().chars().filter(|char| !char.is_control()).take(300).collect();
            Failure::new(Code::Unavailable, format!("{registry} refuses {reference}: {words}"))
        }
    };
    EngineError::Failure(failure.on(reference.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_name_has_its_registry() {
        for (text, registry) in [
            ("127.0.0.1:5000/wine:3", Some("127.0.0.1:5000")),
            ("localhost/wine", Some("localhost")),
            ("registry.example.org/team/wine:3", Some("registry.example.org")),
            ("wine:3", None),
            ("team/wine:3", None),
            ("", None),
            ("reg.example/", None),
            ("reg.example/Wine", None),
            ("reg.example/../x", None),
            ("http://reg.example/wine", None),
            ("reg.example/wine:a b", None),
        ] {
            assert_eq!(registry_of(text).ok().as_deref(), registry, "{text}");
        }
    }

    #[test]
    fn plain_http_is_spoken_on_this_machine_alone() {
        for (registry, expect) in [
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("localhost:80", true),
            ("[::1]:5000", true),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1:5000", false),
            ("registry.example", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_loopback(registry), expect, "{registry}");
        }
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        use tokio::io::AsyncWrite;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let mut out = Bounded { file: BufWriter::new(File::create(&path).unwrap()), left: 5 };
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(Pin::new(&mut out).poll_write(&mut context, b"1234"), Poll::Ready(Ok(4))));
        assert!(matches!(Pin::new(&mut out).poll_write(&mut context, b"56"), Poll::Ready(Err(_))));
        assert!(matches!(Pin::new(&mut out).poll_flush(&mut context), Poll::Ready(Ok(()))));
        assert_eq!(fs::read(&path).unwrap(), b"1234");
    }
}

//! Container images, made without Docker.
//!
//! Two layers: what runs (the slim server, its loader and libraries, the user), and what is served (the signed package, the
//! key that is trusted, the keys that may ask). The first is the same for every model, so a registry keeps it once and a
//! new version is a small upload.
//!
//! There is no shell in it and nothing else to run; the user is a number, files belong to it and cannot be written.

mod credentials;
mod documents;
pub(crate) mod elf;
mod layer;
mod layout;
pub(crate) mod libraries;
mod registry;
#[cfg(test)]
mod tests;
mod unpack;
mod verify;

use std::{collections::BTreeMap, path::Path};

use athanor_learn::package::{Package, SignatureStatus};
use athanor_protocol::{Code, names::check_model_name};
use serde::Serialize;

pub(crate) use self::layer::{Content as ArchiveContent, Files as ArchiveFiles, write_archive};
pub use self::{
    credentials::Credentials,
    registry::{Pushed, push, registry_of, verify_reference},
    unpack::unpack,
    verify::{VerifiedImage, VerifiedPackage, verify_layout},
};
use self::{
    documents::{Empty, Healthcheck, History, ImageConfig, RootFs, RunConfig},
    layer::{Content, Files, USER},
};
use super::{Program, Watch};
use crate::{
    error::{EngineError, Result},
    registry::sha256,
};

/// A point in time that says nothing: images have a field for it.
const NO_TIME: &str = "1970-01-01T00:00:00Z";
/// Where things lie in an image.
const PROGRAM: &str = "athanor-serve";
const LIBRARIES: &str = "lib/athanor";
const MODELS: &str = "opt/athanor/models";
const TRUST: &str = "etc/athanor/trust";
const KEYS: &str = "etc/athanor/keys.jsonl";
/// The port on which the program listens where the platform says nothing else.
const PORT: u16 = 8080;
const SECOND_NANOS: u64 = 1_000_000_000;

/// Who checks requests to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageAccess {
    /// The program in it, by keys.
    Keys,
    /// The platform in front of it.
    Platform,
}

/// What goes into an image.
#[derive(Debug, Clone)]
pub struct ImageParts<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The version.
    pub version: u32,
    /// The signed package's bytes.
    pub package: &'a [u8],
    /// The slim server.
    pub program: &'a Program,
    /// Who checks requests.
    pub access: ImageAccess,
    /// The file of hashed keys; where there is none it is put in when the container is started.
    pub keys: Option<&'a [u8]>,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuiltImage {
    /// The manifest's `sha256:<hex>`: the image's name that cannot be moved.
    pub digest: String,
    /// Bytes of all blobs.
    pub n_bytes: u64,
    /// For which processor: `amd64` or `arm64`.
    pub architecture: String,
    /// The key that signed the package, and that the container trusts.
    pub signed_by: String,
}

/// Makes an image in a folder, in the OCI layout. The folder is made; an older layout in its place is replaced.
///
/// # Errors
/// If the package is none or not signed, a file cannot be read, the folder holds something else, or it is stopped.
pub fn build(parts: &ImageParts<'_>, folder: &Path, watch: &Watch<'_>) -> Result<BuiltImage> {
    check_model_name(parts.model)?;
    let package = Package::read(parts.package)?;
    let SignatureStatus::Signed { key } = package.signature() else {
        return Err(EngineError::new(Code::Untrusted, "the package is not signed; a registered version is"));
    };
    if let (Some(_), ImageAccess::Platform) = (parts.keys, parts.access) {
        let message = "keys in an image that looks at none: leave out the keys, or the platform";
        return Err(EngineError::Usage(message.to_owned()));
    }
    let work = layout::Work::begin(folder)?;
    let (runtime, served) = (runtime(parts.program), served(parts, key));
    watch.packs(layer::n_bytes(&runtime) + layer::n_bytes(&served));
    let layers = [layer::write(&runtime, work.blobs(), watch)?, layer::write(&served, work.blobs(), watch)?];
    let config = ImageConfig {
        created: NO_TIME.to_owned(),
        architecture: parts.program.architecture.to_owned(),
        os: "linux".to_owned(),
        config: run_config(parts, key),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
        },
        history: ["athanor-serve", "model"]
            .map(|what| History { created: NO_TIME.to_owned(), created_by: format!("athanor deploy image: {what}") })
            .to_vec(),
    };
    let (digest, n_bytes) = work.finish(&config, &layers, &format!("{}", parts.version))?;
    Ok(BuiltImage { digest, n_bytes, architecture: parts.program.architecture.to_owned(), signed_by: key.clone() })
}

/// What runs.
fn runtime(program: &Program) -> Files {
    let text = |text: String| Content::Bytes(text.into_bytes());
    let mut files = Files::from([
        (PROGRAM.to_owned(), Content::Program(program.path.clone())),
        ("etc/passwd".to_owned(), text(format!("athanor:x:{USER}:{USER}:athanor:/:/nologin\n"))),
        ("etc/group".to_owned(), text(format!("athanor:x:{USER}:\n"))),
        ("etc/nsswitch.conf".to_owned(), text("hosts: files dns\n".to_owned())),
        ("tmp".to_owned(), Content::Folder),
        ("dev".to_owned(), Content::Folder),
        ("proc".to_owned(), Content::Folder),
        ("sys".to_owned(), Content::Folder),
    ]);
    if let Some(interpreter) = &program.interpreter {
        let place = interpreter.to_string_lossy().trim_start_matches('/').to_owned();
        // Followed to the file itself: an image holds no links.
        files.insert(place, Content::Program(interpreter.clone()));
    }
    for (name, path) in &program.libraries {
        files.insert(format!("{LIBRARIES}/{name}"), Content::File(path.clone()));
    }
    files
}

/// What is served.
fn served(parts: &ImageParts<'_>, key: &str) -> Files {
    let mut files = Files::from([
        (format!("{MODELS}/{}/{}.athanor", parts.model, parts.version), Content::Bytes(parts.package.to_vec())),
        (TRUST.to_owned(), Content::Bytes(format!("{key}\n").into_bytes())),
    ]);
    if let Some(keys) = parts.keys {
        files.insert(KEYS.to_owned(), Content::Bytes(keys.to_vec()));
    }
    files
}

fn run_config(parts: &ImageParts<'_>, key: &str) -> RunConfig {
    let mut env = vec![
        format!("ATHANOR_MODELS=/{MODELS}"),
        format!("ATHANOR_TRUST=/{TRUST}"),
        format!("ATHANOR_BIND=0.0.0.0:{PORT}"),
        // A container's port is reached through what its platform puts in front of it.
        "ATHANOR_BEHIND_TLS=true".to_owned(),
    ];
    match parts.access {
        ImageAccess::Keys => env.extend(["ATHANOR_ACCESS=keys".to_owned(), format!("ATHANOR_KEYS=/{KEYS}")]),
        ImageAccess::Platform => env.push("ATHANOR_ACCESS=platform".to_owned()),
    }
    if !parts.program.libraries.is_empty() {
        env.push(format!("LD_LIBRARY_PATH=/{LIBRARIES}"));
    }
    let program = format!("/{PROGRAM}");
    let labels = [
        ("org.opencontainers.image.title", parts.model.to_owned()),
        ("org.opencontainers.image.version", parts.version.to_string()),
        ("athanor.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("athanor.package.sha256", sha256(parts.package)),
        ("athanor.package.signed-by", key.to_owned()),
    ];
    RunConfig {
        user: format!("{USER}:{USER}"),
        exposed_ports: BTreeMap::from([(format!("{PORT}/tcp"), Empty {})]),
        env,
        entrypoint: vec![program.clone()],
        working_dir: "/".to_owned(),
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        stop_signal: "SIGTERM".to_owned(),
        healthcheck: Some(Healthcheck {
            test: vec!["CMD".to_owned(), program, "health".to_owned()],
            interval: 30 * SECOND_NANOS,
            timeout: 5 * SECOND_NANOS,
            start_period: 5 * SECOND_NANOS,
            retries: 3,
        }),
    }
}

//! Whether an image is what it says: every blob against its digest, every file against a short list of what there may be,
//! the package against its signature. Nothing of it is run, and nothing is written.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::Path,
};

use athanor_learn::package::{MAX_PACKAGE_BYTES, Package, SignatureStatus};
use athanor_protocol::{Code, names::check_model_name};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use super::{
    KEYS, MODELS, TRUST,
    documents::{self, Descriptor, ImageConfig, Index, Layout, Manifest},
    layer::{Digesting, blob_path, digest_text},
    layout,
};
use crate::{
    deploy::corrupt,
    error::{IoContext, Result},
    files, registry,
};

/// Most bytes of a document.
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// Most layers.
const MAX_LAYERS: usize = 16;
/// Most bytes of a layer, compressed and taken out.
pub(crate) const MAX_LAYER_BYTES: u64 = 8 << 30;
/// Most files and folders of an image.
const MAX_ENTRIES: usize = 20_000;
/// Most bytes of the file of trusted keys.
const MAX_TRUST_BYTES: u64 = 64 << 10;

/// What an image was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedImage {
    /// The manifest's `sha256:<hex>`.
    pub digest: String,
    /// For which processor.
    pub architecture: String,
    /// Bytes of all blobs.
    pub n_bytes: u64,
    /// Number of files.
    pub n_files: u64,
    /// As whom it runs.
    pub user: String,
    /// Who checks requests: `keys` or `platform`.
    pub access: String,
    /// Whether keys lie in it.
    pub has_keys: bool,
    /// The models.
    pub packages: Vec<VerifiedPackage>,
}

/// A model in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedPackage {
    /// The name under which it is served.
    pub model: String,
    /// The version.
    pub version: u32,
    /// SHA-256 of the package, lower-case hex.
    pub sha256: String,
    /// The key that signed it.
    pub signed_by: String,
    /// Whether that key is trusted here, too.
    pub trusted: bool,
}

/// Checks an image in a folder. `trusted` are the public keys that count as known.
///
/// # Errors
/// Names what was changed, is missing, or is not allowed in an image of ours.
pub fn verify_layout(folder: &Path, trusted: &[String]) -> Result<VerifiedImage> {
    let mark: Layout = document(&folder.join(layout::MARK))?;
    if mark.image_layout_version != documents::LAYOUT_VERSION {
        let message =
            format!("the image's layout has version {:?}, this program reads 1.0.0", mark.image_layout_version);
        return Err(crate::EngineError::new(Code::Unsupported, message));
    }
    let index: Index = document(&folder.join(layout::INDEX))?;
    let [manifest] = index.manifests.as_slice() else {
        return Err(corrupt(format!("the image has {} manifests, one is known", index.manifests.len())));
    };
    verify(&layout::blobs_of(folder), manifest, trusted)
}

fn verify(blobs: &Path, named: &Descriptor, trusted: &[String]) -> Result<VerifiedImage> {
    let (manifest, config) = documents_of(blobs, named)?;
    let mut image = VerifiedImage {
        digest: named.digest.clone(),
        architecture: config.architecture.clone(),
        n_bytes: named.size + manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>(),
        n_files: 0,
        user: config.config.user.clone(),
        access: "keys".to_owned(),
        has_keys: false,
        packages: vec![],
    };
    check_config(&config)?;
    if config.config.env.iter().any(|set| set == "ATHANOR_ACCESS=platform") {
        image.access = "platform".to_owned();
    }
    let mut signers = vec![];
    walk(blobs, &manifest, &config, &mut |file| {
        image.n_files += u64::from(!file.is_folder);
        if file.path == KEYS {
            image.has_keys = true;
        } else if file.path == TRUST {
            let text = String::from_utf8_lossy(&file.read(MAX_TRUST_BYTES)?).into_owned();
            signers.extend(text.lines().map(|line| line.trim().to_owned()));
        } else if let (Some(rest), false) = (file.path.strip_prefix(MODELS).map(str::to_owned), file.is_folder) {
            let (model, version) =
                name_of(&rest).ok_or_else(|| corrupt(format!("{} is no model's place", file.path)))?;
            image.packages.push(package(&file.read(MAX_PACKAGE_BYTES)?, model, version, trusted)?);
        }
        Ok(())
    })?;
    if image.packages.is_empty() {
        return Err(corrupt("the image holds no model"));
    }
    for found in &image.packages {
        let name = format!("{}:{}", found.model, found.version);
        if !signers.contains(&found.signed_by) {
            return Err(corrupt(format!(
                "the container would refuse {name}: it does not trust the key that signed it"
            )));
        }
    }
    if let Some(label) = config.config.labels.get("athanor.package.sha256")
        && !image.packages.iter().any(|found| found.sha256 == *label)
    {
        return Err(corrupt("the image's label names a package that is not in it"));
    }
    Ok(image)
}

/// Reads manifest and configuration, checked against their digests.
pub(super) fn documents_of(blobs: &Path, named: &Descriptor) -> Result<(Manifest, ImageConfig)> {
    if named.media_type != documents::MANIFEST {
        return Err(corrupt(format!("{:?} is no manifest of an image", named.media_type)));
    }
    let manifest: Manifest = named_document(blobs, named, "manifest")?;
    check_manifest(&manifest)?;
    let config: ImageConfig = named_document(blobs, &manifest.config, "configuration")?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(corrupt("the image's configuration lists another number of layers than its manifest"));
    }
    Ok((manifest, config))
}

/// What a manifest may say, before anything that it names is fetched.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<()> {
    if manifest.schema_version != 2 || manifest.config.media_type != documents::CONFIG {
        return Err(corrupt("the manifest is not that of an OCI image"));
    }
    if manifest.layers.is_empty() || manifest.layers.len() > MAX_LAYERS {
        return Err(corrupt(format!("the image has {} layers, 1 to {MAX_LAYERS} are allowed", manifest.layers.len())));
    }
    if manifest.config.size > MAX_DOCUMENT_BYTES {
        return Err(corrupt("the image's configuration is too large"));
    }
    for layer in &manifest.layers {
        if layer.media_type != documents::LAYER {
            return Err(corrupt(format!("a layer is {:?}, which is not looked into", layer.media_type)));
        }
        if layer.size > MAX_LAYER_BYTES {
            return Err(corrupt("a layer is too large"));
        }
    }
    Ok(())
}

fn check_config(config: &ImageConfig) -> Result<()> {
    let user = config.config.user.split(':').next().and_then(|user| user.parse::<u32>().ok());
    if user.is_none_or(|user| user == 0) {
        return Err(corrupt("the image would run as root, or as a user that only its files know"));
    }
    if config.os != "linux" {
        return Err(corrupt(format!("the image is for {:?}, not for Linux", config.os)));
    }
    Ok(())
}

fn document<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = files::read_limited(path, MAX_DOCUMENT_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|err| corrupt(format!("{} is not what it should be: {err}", path.display())))
}

fn named_document<T: DeserializeOwned>(blobs: &Path, named: &Descriptor, what: &str) -> Result<T> {
    let bytes = files::read_limited(&blob_path(blobs, &named.digest)?, MAX_DOCUMENT_BYTES)?;
    if digest_text(&Sha256::digest(&bytes)) != named.digest || bytes.len() as u64 != named.size {
        return Err(corrupt(format!("the image's {what} is not the one of its digest")));
    }
    serde_json::from_slice(&bytes).map_err(|err| corrupt(format!("the image's {what} is not what it should be: {err}")))
}

/// `/NAME/VERSION.athanor`.
fn name_of(rest: &str) -> Option<(&str, u32)> {
    let (model, file) = rest.strip_prefix('/')?.split_once('/')?;
    let version = file.strip_suffix(".athanor")?;
    check_model_name(model).ok()?;
    let version = version.parse::<u32>().ok().filter(|it| *it > 0 && it.to_string() == version)?;
    Some((model, version))
}

fn package(bytes: &[u8], model: &str, version: u32, trusted: &[String]) -> Result<VerifiedPackage> {
    let package = Package::read(bytes)?;
    let SignatureStatus::Signed { key } = package.signature() else {
        return Err(corrupt(format!("{model}:{version} is not signed")));
    };
    Ok(VerifiedPackage {
        model: model.to_owned(),
        version,
        sha256: registry::sha256(bytes),
        trusted: trusted.iter().any(|known| known.eq_ignore_ascii_case(key)),
        signed_by: key.clone(),
    })
}

/// A file or folder of an image, while it is passed by.
pub(super) struct Passing<'a> {
    /// Its path, without a separator in front or behind.
    pub(super) path: String,
    pub(super) is_folder: bool,
    pub(super) is_program: bool,
    pub(super) n_bytes: u64,
    pub(super) from: &'a mut dyn Read,
}

impl Passing<'_> {
    /// All its bytes.
    fn read(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.n_bytes > limit {
            return Err(corrupt(format!("{} is larger than {limit} bytes", self.path)));
        }
        let mut bytes = vec![];
        self.from.read_to_end(&mut bytes).at("read", Path::new(&self.path))?;
        Ok(bytes)
    }
}

/// Goes through all files of all layers, and checks layers against their digests on the way.
pub(super) fn walk(
    blobs: &Path,
    manifest: &Manifest,
    config: &ImageConfig,
    visit: &mut dyn FnMut(&mut Passing<'_>) -> Result<()>,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let path = blob_path(blobs, &layer.digest)?;
        let file = File::open(&path).at("open", &path)?;
        if file.metadata().at("read", &path)?.len() != layer.size {
            return Err(corrupt(format!("the layer {} has another size than the manifest says", layer.digest)));
        }
        let raw = GzDecoder::new(Digesting::new(file)).take(MAX_LAYER_BYTES);
        let mut archive = Archive::new(Digesting::new(raw));
        for entry in archive.entries().at("read", &path)?.raw(true) {
            let mut entry = entry.at("read", &path)?;
            let (name, is_folder) = checked_path(&entry.path_bytes(), entry.header().entry_type())?;
            let is_shared = is_folder && seen.contains(&name);
            if !is_shared && !seen.insert(name.clone()) {
                return Err(corrupt(format!("{name} is twice in the image")));
            }
            if seen.len() > MAX_ENTRIES {
                return Err(corrupt(format!("the image holds more than {MAX_ENTRIES} files")));
            }
            let mode = entry.header().mode().at("read", &path)?;
            if mode & !0o777 != 0 {
                return Err(corrupt(format!("{name} would run with the rights of another user")));
            }
            let n_bytes = entry.size();
            let is_program = mode & 0o111 != 0;
            visit(&mut Passing { path: name, is_folder, is_program, n_bytes, from: &mut entry })?;
        }
        // What follows the last file belongs to the digests, too.
        let mut rest = archive.into_inner();
        io::copy(&mut rest, &mut io::sink()).at("read", &path)?;
        let (raw, found_diff, _) = rest.finish();
        let mut compressed = raw.into_inner().into_inner();
        io::copy(&mut compressed, &mut io::sink()).at("read", &path)?;
        let (_, found, _) = compressed.finish();
        if found != layer.digest || found_diff != *diff_id {
            return Err(corrupt(format!("the layer {} is not the one of its digest", layer.digest)));
        }
    }
    Ok(())
}

/// A path that stays where it is unpacked, of a plain file or a folder. Links and devices have no place in our images.
fn checked_path(bytes: &[u8], kind: EntryType) -> Result<(String, bool)> {
    let shown: String = String::from_utf8_lossy(bytes).chars().take(120).collect();
    let is_folder = match kind {
        EntryType::Regular => false,
        EntryType::Directory => true,
        _ => return Err(corrupt(format!("{shown:?} is neither a plain file nor a folder"))),
    };
    let path = std::str::from_utf8(bytes).ok().map(|path| if is_folder { path.trim_end_matches('/') } else { path });
    let is_plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.starts_with(".wh.")
            && !part.contains(|char: char| char.is_control() || matches!(char, '\\' | ':'))
    };
    match path.filter(|path| path.len() <= 255 && path.split('/').all(is_plain)) {
        Some(path) => Ok((path.to_owned(), is_folder)),
        None => Err(corrupt(format!("{shown:?} is a path that images of ours do not have"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for (path, kind, expect) in [
            ("a/b", EntryType::Regular, true),
            ("a/b/", EntryType::Directory, true),
            ("a", EntryType::Directory, true),
            ("../a", EntryType::Regular, false),
            ("a/../../b", EntryType::Regular, false),
            ("/etc/passwd", EntryType::Regular, false),
            ("a//b", EntryType::Regular, false),
            ("a/", EntryType::Regular, false),
            ("./a", EntryType::Regular, false),
            ("", EntryType::Regular, false),
            ("/", EntryType::Directory, false),
            ("C:/x", EntryType::Regular, false),
            ("a\\b", EntryType::Regular, false),
            ("a/.wh.b", EntryType::Regular, false),
            ("a\0b", EntryType::Regular, false),
            ("a", EntryType::Symlink, false),
            ("a", EntryType::Link, false),
            ("a", EntryType::Char, false),
            ("a", EntryType::Fifo, false),
            ("a", EntryType::XHeader, false),
            ("a", EntryType::GNULongName, false),
        ] {
            assert_eq!(checked_path(path.as_bytes(), kind).is_ok(), expect, "{path:?} {kind:?}");
        }
        assert!(checked_path(&[b'a'; 300], EntryType::Regular).is_err());
        assert!(checked_path(b"a\xff", EntryType::Regular).is_err());
    }

    #[test]
    fn models_lie_under_their_name_and_version() {
        assert_eq!(name_of("/wine/3.athanor"), Some(("wine", 3)));
        for bad in
            ["wine/3.athanor", "/wine/03.athanor", "/wine/0.athanor", "/wine/3.zip", "/../3.athanor", "/3.athanor"]
        {
            assert_eq!(name_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_manifest_is_bounded() {
        let named = |media_type: &str, size: u64| Descriptor {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", "a".repeat(64)),
            size,
            platform: None,
            annotations: Default::default(),
        };
        let good = Manifest {
            schema_version: 2,
            media_type: documents::MANIFEST.to_owned(),
            config: named(documents::CONFIG, 10),
            layers: vec![named(documents::LAYER, 10)],
            annotations: Default::default(),
        };
        assert!(check_manifest(&good).is_ok());
        let cases = [
            Manifest { schema_version: 1, ..good.clone() },
            Manifest { layers: vec![], ..good.clone() },
            Manifest { layers: vec![named(documents::LAYER, 10); 17], ..good.clone() },
            Manifest { layers: vec![named(documents::LAYER, u64::MAX)], ..good.clone() },
            Manifest { layers: vec![named("application/vnd.oci.image.layer.v1.tar+zstd", 1)], ..good.clone() },
            Manifest { config: named(documents::CONFIG, 1 << 40), ..good.clone() },
            Manifest { config: named("application/json", 1), ..good },
        ];
        for bad in cases {
            assert!(check_manifest(&bad).is_err(), "{bad:?}");
        }
    }
}

//! An image as a folder: the OCI image layout.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    documents::{self, Descriptor, ImageConfig, Index, Layout, Manifest, Platform},
    layer::{Layer, blob_path, digest_text},
};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
};

pub(crate) const MARK: &str = "oci-layout";
pub(crate) const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256";

/// Where the blobs of a layout lie.
pub(crate) fn blobs_of(folder: &Path) -> PathBuf {
    folder.join(BLOBS)
}

/// A layout in the making, beside its place; gone with the value where it is not finished.
pub(crate) struct Work {
    to: PathBuf,
    beside: PathBuf,
    blobs: PathBuf,
}

impl Work {
    /// Begins a layout.
    ///
    /// # Errors
    /// If there is something else in its place.
    pub(crate) fn begin(to: &Path) -> Result<Self> {
        if to.exists() && !is_replaceable(to)? {
            let failure = Failure::new(Code::Conflict, format!("there is something else already: {}", to.display()));
            return Err(EngineError::Failure(failure.hint("name a folder that is new, empty, or an older image")));
        }
        let to = std::path::absolute(to).at("open", to)?;
        let beside = files::beside(&to);
        let blobs = blobs_of(&beside);
        fs::create_dir_all(&blobs).at("create", &blobs)?;
        Ok(Self { to, beside, blobs })
    }

    pub(crate) fn blobs(&self) -> &Path {
        &self.blobs
    }

    /// Keeps a blob. Returns what names it.
    pub(crate) fn add(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = digest_text(&Sha256::digest(bytes));
        files::write_atomic(&blob_path(&self.blobs, &digest)?, bytes)?;
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        })
    }

    /// Writes the documents and puts the layout into its place. Returns the manifest's digest and the bytes of all blobs.
    pub(crate) fn finish(self, config: &ImageConfig, layers: &[Layer], tag: &str) -> Result<(String, u64)> {
        let named = self.add(documents::CONFIG, &json(config)?)?;
        let layers = layers.iter().map(|layer| Descriptor {
            media_type: documents::LAYER.to_owned(),
            digest: layer.digest.clone(),
            size: layer.n_bytes,
            platform: None,
            annotations: BTreeMap::new(),
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: documents::MANIFEST.to_owned(),
            config: named,
            layers: layers.collect(),
            annotations: BTreeMap::new(),
        };
        let n_bytes = manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let bytes = json(&manifest)?;
        let platform = Platform { architecture: config.architecture.clone(), os: config.os.clone() };
        let digest = self.finish_with(&bytes, Some(platform), tag)?;
        Ok((digest, n_bytes + bytes.len() as u64))
    }

    /// Puts the layout into its place around a manifest whose blobs are there. Returns its digest.
    pub(crate) fn finish_with(self, manifest: &[u8], platform: Option<Platform>, tag: &str) -> Result<String> {
        let mut named = self.add(documents::MANIFEST, manifest)?;
        named.platform = platform;
        named.annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag.to_owned());
        let digest = named.digest.clone();
        let index = Index { schema_version: 2, media_type: documents::INDEX.to_owned(), manifests: vec![named] };
        files::write_atomic(&self.beside.join(INDEX), &json(&index)?)?;
        let mark = Layout { image_layout_version: documents::LAYOUT_VERSION.to_owned() };
        files::write_atomic(&self.beside.join(MARK), &json(&mark)?)?;
        // Looked at again: the old one goes away only if it is still what may be replaced.
        if self.to.exists() {
            if !is_replaceable(&self.to)? {
                let message = format!("there is something else now: {}", self.to.display());
                return Err(EngineError::new(Code::Conflict, message));
            }
            fs::remove_dir_all(&self.to).at("replace", &self.to)?;
        }
        fs::rename(&self.beside, &self.to).at("write", &self.to)?;
        files::sync_folder(self.to.parent().unwrap_or(Path::new(".")));
        Ok(digest)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // After a rename there is nothing of that name.
        let _ = fs::remove_dir_all(&self.beside);
    }
}

/// Whether a folder is empty, or an image layout and nothing more.
fn is_replaceable(folder: &Path) -> Result<bool> {
    if !folder.is_dir() {
        return Ok(false);
    }
    let mut names = vec![];
    for entry in fs::read_dir(folder).at("read", folder)?.take(8) {
        names.push(entry.at("read", folder)?.file_name());
    }
    let is_known = names.iter().all(|name| [MARK, INDEX, "blobs"].iter().any(|known| *name == **known));
    Ok(names.is_empty() || is_known && names.iter().any(|name| name == MARK))
}

/// A document's bytes.
pub(crate) fn json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(std::io::Error::from).at("write", Path::new("document"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_replaces_an_older_one_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join("image");
        let make = |tag: &str| Work::begin(&to).unwrap().finish_with(b"{}", None, tag).unwrap();
        let digest = make("1");
        assert!(blob_path(&blobs_of(&to), &digest).unwrap().is_file());
        assert_eq!(make("2"), digest);
        let index: Index = serde_json::from_slice(&fs::read(to.join(INDEX)).unwrap()).unwrap();
        assert_eq!(index.manifests[0].annotations["org.opencontainers.image.ref.name"], "2");
        fs::write(to.join("thesis.txt"), "precious").unwrap();
        assert_eq!(Work::begin(&to).err().unwrap().code(), Code::Conflict);
        assert_eq!(Work::begin(&to.join("thesis.txt")).err().unwrap().code(), Code::Conflict);
        assert!(Work::begin(&root.path().join("other")).is_ok());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "what was not finished is gone");
    }
}

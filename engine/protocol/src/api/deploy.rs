//! A version in a form that runs elsewhere: an ONNX file, a bundle, a container image.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes it. How far it is comes as progress events; [`crate::api::WorkCancel`] stops it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDeploy {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// In which form, and where to.
    pub form: DeployForm,
    /// For the progress events.
    pub token: String,
}

/// A form, and where it goes. All paths are whole ones on the machine where the engine runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeployForm {
    /// One ONNX file that takes raw named columns, for programs of others.
    Onnx {
        /// The file to write.
        path: String,
        /// What the model is meant for; stands in the file. Empty where nothing is said.
        #[serde(default)]
        intended_use: String,
    },
    /// One `.tar.gz` for a small machine: the slim server, the package, the ONNX file.
    Bundle {
        /// The file to write.
        path: String,
        /// What else goes in.
        #[serde(default)]
        packing: Packing,
    },
    /// A container image, in a folder, in a registry, or both.
    Image {
        /// The folder for the OCI layout.
        #[serde(default)]
        folder: Option<String>,
        /// The registry.
        #[serde(default)]
        push: Option<ImagePush>,
        /// Whether the platform in front of the container checks who asks, and not the container by keys.
        #[serde(default)]
        behind_platform: bool,
        /// What else goes in.
        #[serde(default)]
        packing: Packing,
    },
}

/// What goes into a bundle or an image besides the model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Packing {
    /// A Linux build of the slim server; the one beside the engine where none is named.
    pub program: Option<String>,
    /// Whether the workspace's valid keys go in, as hashes.
    pub with_keys: bool,
}

/// A place in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePush {
    /// The name, with its registry: `registry.example.org/wine:3`.
    pub reference: String,
    /// Who we are there; `None` is what `docker login` has written down, or nobody.
    #[serde(default)]
    pub login: Option<RegistryLogin>,
}

/// A name and a password for a registry. It is used once and kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// The name.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deployed {
    /// Bytes of the file, or of all blobs of an image.
    pub n_bytes: u64,
    /// `sha256:<hex>` of the file, or of the image's manifest.
    pub digest: String,
    /// What can be said of the ONNX file, where one was made.
    pub onnx: Option<OnnxMade>,
    /// Why no ONNX file is in a bundle.
    pub without_onnx: Option<String>,
    /// The program in a bundle or an image.
    pub program: Option<ProgramPacked>,
    /// Where the image lies in a registry.
    pub pushed: Option<PushedImage>,
}

/// An ONNX file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OnnxMade {
    /// Whether it is the file that was imported, byte for byte.
    pub as_imported: bool,
    /// Rows on which it was run and compared with the model's own answers; 0 where it was not.
    pub checked_rows: u64,
    /// The greatest difference from the model's own answers, in the target's unit.
    pub max_abs_difference: Option<f64>,
    /// Why it was not compared.
    pub unchecked: Option<String>,
    /// Where it is more lenient than the model.
    pub notes: Vec<String>,
}

/// The slim server in a bundle or an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramPacked {
    /// Its processor, as images name it: `amd64` or `arm64`.
    pub architecture: String,
    /// Shared libraries that went in with it; none where it is static.
    pub n_libraries: u64,
    /// Whether it was started once on this machine.
    pub was_started: bool,
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PushedImage {
    /// The name by which it was pushed.
    pub reference: String,
    /// The name that cannot be moved: `REGISTRY/NAME@sha256:…`.
    pub pinned: String,
    /// Blobs that were sent.
    pub n_sent: u64,
    /// Blobs that the registry had already.
    pub n_known: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let login = RegistryLogin { username: "ann".to_owned(), password: "not for logs".to_owned() };
        let push = ImagePush { reference: "r.example/wine:1".to_owned(), login: Some(login) };
        let shown = format!("{push:?}");
        assert!(shown.contains("ann") && !shown.contains("not for logs"), "{shown}");
    }
}

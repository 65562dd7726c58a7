//! ONNX files: versions written as one, and files from elsewhere registered as versions.

use std::path::Path;

use athanor_datasets::Replay;
use athanor_learn::{
    onnx::{self, About, Exported},
    package::Package,
};
use athanor_protocol::{Failure, columns::Frame, names::check_model_name, package::PartName, registry::ModelVersion};
use serde_json::json;

use crate::{
    error::{EngineError, Result},
    files, registry,
    workspace::Workspace,
};

#[cfg(test)]
mod expressions;

/// Longest statement on what a model is meant for, in bytes.
const MAX_INTENDED_USE: usize = 10_000;

/// A version as an ONNX file.
#[derive(Debug, Clone, PartialEq)]
pub enum Rendered {
    /// Written by us, with what is known of it.
    Made(Exported),
    /// The version was an ONNX file already: its bytes as they were imported.
    AsImported(Vec<u8>),
}

impl Rendered {
    /// The file.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Made(exported) => &exported.bytes,
            Self::AsImported(bytes) => bytes,
        }
    }
}

/// Makes the ONNX file of a registered version, which takes raw named columns. The file is run and compared with the
/// version's own answers first. One that was imported as an ONNX file is given back as it was.
///
/// # Errors
/// If a step or column cannot be expressed in ONNX (named), or the file does not answer as the version does.
pub fn render(version: &ModelVersion, package: &Package, intended_use: &str) -> Result<Rendered> {
    if let Some(bytes) = package.part(PartName::Onnx) {
        return Ok(Rendered::AsImported(bytes.to_vec()));
    }
    let replay = Replay::new(&package.recipe()?)?;
    let prepare = |frame: &Frame| replay.apply(frame).map_err(Failure::from);
    let about = About {
        model: &version.model,
        version: version.version,
        package_sha256: &version.sha256,
        intended_use,
        athanor_version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Rendered::Made(onnx::export(package, &about, &prepare)?))
}

/// Writes a registered version as an ONNX file.
///
/// # Errors
/// As [`render`]; if there is no such version, or the file cannot be written; what `may_write` says once it is made.
pub fn export(
    workspace: &Workspace,
    reference: &str,
    intended_use: &str,
    to: &Path,
    may_write: &dyn Fn() -> Result<()>,
) -> Result<(ModelVersion, Rendered)> {
    if intended_use.len() > MAX_INTENDED_USE {
        let message = format!("the intended use has more than {MAX_INTENDED_USE} bytes");
        return Err(EngineError::Usage(message));
    }
    let version = registry::resolve(workspace, reference)?;
    let (_, package) = registry::load(workspace, &version)?;
    let rendered = render(&version, &package, intended_use)?;
    may_write()?;
    files::write_atomic(to, rendered.bytes())?;
    let subject = format!("{}:{}", version.model, version.version);
    let detail = json!({ "format": "onnx", "sha256": registry::sha256(rendered.bytes()) });
    registry::audit(workspace, "model.export", &subject, detail)?;
    Ok((version, rendered))
}

/// Whether a file is to be read as ONNX: by its name's ending, or because it begins as such files do and packages never.
pub(crate) fn is_onnx(path: &Path, bytes: &[u8]) -> bool {
    let is_named = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
    is_named || matches!(bytes, [0x08, 1..=31, ..])
}

/// Registers an ONNX file as the next version of a model, in a package that this workspace signs: who imports it
/// vouches for it.
///
/// # Errors
/// If the name is not allowed, or the file is not one that can be served (named, with the way out).
pub(crate) fn import(workspace: &Workspace, path: &Path, name: &str, bytes: &[u8]) -> Result<(ModelVersion, bool)> {
    check_model_name(name)?;
    let package = onnx::package_onnx(bytes, imported_at(workspace, name, bytes), env!("CARGO_PKG_VERSION"));
    let package = package.map_err(|err| {
        let mut failure = EngineError::from(err).into_failure();
        failure.message = format!("{}: {}", path.display(), failure.message);
        EngineError::Failure(failure)
    })?;
    registry::register(workspace, name, None, &package, &[])
}

/// When the file was imported under this name: a package tells the time, so the same file again must tell the same.
fn imported_at(workspace: &Workspace, name: &str, bytes: &[u8]) -> i64 {
    let page = athanor_store::PageRequest::first(1000);
    let versions = workspace.store.versions(name, &page).map(|page| page.items).unwrap_or_default();
    let known = versions.iter().find_map(|version| {
        let (_, package) = registry::load(workspace, version).ok()?;
        let is_same = package.part(PartName::Onnx)? == bytes;
        is_same.then(|| package.manifest().created_at_millis)
    });
    known.unwrap_or_else(|| workspace.clock.now_millis())
}

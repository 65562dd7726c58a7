//! A registered version as a bundle or an image: what the command line and the window have in common.

use std::path::Path;

use athanor_learn::package::Package;
use athanor_protocol::{Failure, names::ModelRef, registry::ModelVersion};
use serde_json::json;

use super::{
    Program, Scratch, Watch,
    edge::{self, EdgeBundle, EdgeParts},
    find_program,
    image::{self, BuiltImage, Credentials, ImageAccess, ImageParts, Pushed},
};
use crate::{
    error::{EngineError, Result},
    onnx, registry,
    workspace::Workspace,
};

/// What is to be packed.
pub struct Wanted<'a> {
    /// NAME, NAME@ALIAS or NAME:VERSION.
    pub reference: &'a str,
    /// This program: the slim server lies beside it where no other is named.
    pub program: &'a Path,
    /// The slim server that was named.
    pub named: Option<&'a Path>,
    /// Whether the slim server may be started once, to see that it does: only one that the user chose on this machine, or
    /// our own.
    pub may_start: bool,
    /// The file of hashed keys that goes in.
    pub keys: Option<Vec<u8>>,
}

/// A bundle that was made, with what it was made of.
#[derive(Debug)]
pub struct MadeBundle {
    /// The version.
    pub version: ModelVersion,
    /// The slim server.
    pub program: Program,
    /// The bundle.
    pub bundle: EdgeBundle,
    /// Why the model is not in it as an ONNX file as well.
    pub without_onnx: Option<Failure>,
}

/// An image that was made, with what it was made of.
#[derive(Debug)]
pub struct MadeImage {
    /// The version.
    pub version: ModelVersion,
    /// The slim server.
    pub program: Program,
    /// The image.
    pub image: BuiltImage,
    /// Where it lies in a registry.
    pub pushed: Option<Pushed>,
}

struct Chosen {
    version: ModelVersion,
    bytes: Vec<u8>,
    package: Package,
    program: Program,
}

fn choose(workspace: &Workspace, wanted: &Wanted<'_>) -> Result<Chosen> {
    wanted.reference.parse::<ModelRef>()?;
    let version = registry::resolve(workspace, wanted.reference)?;
    let (bytes, package) = registry::load(workspace, &version)?;
    let program = find_program(wanted.program, wanted.named, wanted.may_start)?;
    Ok(Chosen { version, bytes, package, program })
}

/// Writes a bundle for a small machine: one `.tar.gz`.
///
/// # Errors
/// If there is no such version or no slim server, the output's name has another ending, or it cannot be written.
pub fn bundle(workspace: &Workspace, wanted: &Wanted<'_>, to: &Path, watch: &Watch<'_>) -> Result<MadeBundle> {
    let name = to.to_string_lossy().to_lowercase();
    if !name.ends_with(".tar.gz") && !name.ends_with(".tgz") {
        return Err(EngineError::Usage(format!("the output must end in .tar.gz: {}", to.display())));
    }
    let Chosen { version, bytes, package, program } = choose(workspace, wanted)?;
    watch.check()?;
    // A bundle without it is of use too, so that what ONNX cannot express is told and no reason to stop.
    let onnx = onnx::render(&version, &package, "");
    let parts = EdgeParts {
        model: &version.model,
        version: version.version,
        package: &bytes,
        program: &program,
        keys: wanted.keys.as_deref(),
        onnx: onnx.as_ref().ok().map(onnx::Rendered::bytes),
    };
    let bundle = edge::build(&parts, to, watch).map_err(|err| err.of_target(to))?;
    let without_onnx = onnx.err().map(EngineError::into_failure);
    let detail = json!({ "digest": bundle.digest });
    registry::audit(workspace, "model.edge", &format!("{}:{}", version.model, version.version), detail)?;
    Ok(MadeBundle { version, program, bundle, without_onnx })
}

/// Where an image goes.
#[derive(Debug, Clone, Copy)]
pub struct ImagePlaces<'a> {
    /// The folder for its layout; one that goes away where there is none.
    pub folder: Option<&'a Path>,
    /// The name in a registry to push it to, and who we are there.
    pub push: Option<(&'a str, Option<&'a Credentials>)>,
    /// Who checks requests.
    pub access: ImageAccess,
}

/// Makes a container image in a folder, in a registry, or both.
///
/// # Errors
/// If there is no such version or no slim server, the folder holds something else, or the registry refuses.
pub fn image(
    workspace: &Workspace,
    wanted: &Wanted<'_>,
    places: &ImagePlaces<'_>,
    watch: &Watch<'_>,
) -> Result<MadeImage> {
    let Chosen { version, bytes, program, .. } = choose(workspace, wanted)?;
    watch.check()?;
    let scratch = Scratch::new()?;
    let within = scratch.path().join("image");
    let folder = places.folder.unwrap_or(&within);
    let parts = ImageParts {
        model: &version.model,
        version: version.version,
        package: &bytes,
        program: &program,
        access: places.access,
        keys: wanted.keys.as_deref(),
    };
    let image = image::build(&parts, folder, watch).map_err(|err| err.of_target(folder))?;
    let subject = format!("{}:{}", version.model, version.version);
    let note = |detail: serde_json::Value| registry::audit(workspace, "model.image", &subject, detail);
    if places.folder.is_some() {
        note(json!({ "digest": image.digest, "reference": null }))?;
    }
    let Some((reference, credentials)) = places.push else {
        return Ok(MadeImage { version, program, image, pushed: None });
    };
    let pushed = image::push(folder, reference, credentials, &registry::trusted(workspace)?, watch);
    // What was broken off may lie there in parts, or whole and unchecked: that is not kept quiet.
    let failed = pushed.as_ref().err().map(|err| err.code());
    note(json!({ "digest": image.digest, "reference": reference, "failed": failed }))?;
    let pushed = Some(pushed?);
    Ok(MadeImage { version, program, image, pushed })
}

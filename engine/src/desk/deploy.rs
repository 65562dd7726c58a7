//! Versions that leave the workspace: ONNX files, bundles, images.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use athanor_learn::onnx::Exported;
use athanor_protocol::{
    Code, Failure,
    api::{DeployForm, Deployed, Event, ImagePush, ModelDeploy, OnnxMade, Packing, ProgramPacked, PushedImage},
};

use super::{
    Desk,
    models::{self, PROGRESS},
};
use crate::{
    deploy::{
        Phase, Program, Watch, exported_keys,
        image::{Credentials, ImageAccess, registry_of},
        key_lines,
        make::{self, ImagePlaces, Wanted},
    },
    onnx::{self, Rendered},
    registry,
    workspace::Workspace,
};

pub(super) fn model_deploy(desk: &Arc<Desk>, ask: ModelDeploy) -> Result<Deployed, Failure> {
    deploy(desk, &ask).map_err(in_the_window)
}

/// Hints that name options of the command line, in the words of the window.
fn in_the_window(mut failure: Failure) -> Failure {
    if let Some(hint) = &mut failure.hint {
        if hint.contains("--program") {
            *hint = "name a Linux build of athanor-serve under 'For another processor'; 'cargo xtask slim' makes one"
                .into();
        } else if hint.contains("--username") {
            *hint = "sign in with a name and a password, or by 'docker login' on the engine's machine".into();
        }
    }
    failure
}

fn deploy(desk: &Arc<Desk>, ask: &ModelDeploy) -> Result<Deployed, Failure> {
    let workspace = desk.workspace()?;
    let reference = models::reference(&ask.model, ask.version);
    let working = desk.works.begin(&ask.token);
    let mut told: Option<(Phase, Instant)> = None;
    let watch = Watch::new(working.flag.clone(), |phase, done, total| {
        let is_due = told.is_none_or(|(before, at)| before != phase || at.elapsed() >= PROGRESS);
        if is_due {
            told = Some((phase, Instant::now()));
            let note = match phase {
                Phase::Packing => "Packing",
                Phase::Sending => "Sending to the registry",
                Phase::Checking => "Fetching it again and checking every byte",
            };
            desk.publish(Event::Progress { token: ask.token.clone(), done, total, note: note.to_owned() });
        }
    });
    match &ask.form {
        DeployForm::Onnx { path, intended_use } => {
            let to = models::target(&workspace, path, "the ONNX file")?;
            if !to.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
                let message = format!("the ONNX file must end in .onnx: {}", to.display());
                return Err(Failure::new(Code::InvalidArgument, message).on(to.display().to_string()));
            }
            let (_, rendered) = onnx::export(&workspace, &reference, intended_use, &to, &|| watch.check())?;
            Ok(Deployed {
                n_bytes: rendered.bytes().len() as u64,
                digest: format!("sha256:{}", registry::sha256(rendered.bytes())),
                onnx: Some(match rendered {
                    Rendered::AsImported(_) => OnnxMade { as_imported: true, ..OnnxMade::default() },
                    Rendered::Made(exported) => made(exported),
                }),
                ..Deployed::default()
            })
        }
        DeployForm::Bundle { path, packing } => {
            let to = models::target(&workspace, path, "the bundle")?;
            let keys = keys(&workspace, packing)?;
            let made = make::bundle(&workspace, &wanted(desk, &reference, packing, keys)?, &to, &watch)?;
            Ok(Deployed {
                n_bytes: made.bundle.n_bytes,
                digest: made.bundle.digest,
                program: Some(packed(&made.program)),
                without_onnx: made.without_onnx.map(|failure| failure.message),
                ..Deployed::default()
            })
        }
        DeployForm::Image { folder, push, behind_platform, packing } => {
            if folder.is_none() && push.is_none() {
                let failure = Failure::new(Code::InvalidArgument, "the image goes nowhere");
                return Err(failure.hint("name a folder, a registry, or both"));
            }
            let folder = folder.as_deref().map(|path| place_for_image(&workspace, path)).transpose()?;
            let credentials = push.as_ref().map(credentials).transpose()?.flatten();
            let access = if *behind_platform { ImageAccess::Platform } else { ImageAccess::Keys };
            let places = ImagePlaces {
                folder: folder.as_deref(),
                push: push.as_ref().map(|push| (push.reference.as_str(), credentials.as_ref())),
                access,
            };
            let keys = keys(&workspace, packing)?;
            let made = make::image(&workspace, &wanted(desk, &reference, packing, keys)?, &places, &watch)?;
            Ok(Deployed {
                n_bytes: made.image.n_bytes,
                digest: made.image.digest,
                program: Some(packed(&made.program)),
                pushed: made.pushed.map(|pushed| PushedImage {
                    reference: pushed.reference,
                    pinned: pushed.pinned,
                    n_sent: pushed.n_sent as u64,
                    n_known: pushed.n_known as u64,
                }),
                ..Deployed::default()
            })
        }
    }
}

fn wanted<'a>(
    desk: &'a Desk,
    reference: &'a str,
    packing: &'a Packing,
    keys: Option<Vec<u8>>,
) -> Result<Wanted<'a>, Failure> {
    let named = packing.program.as_deref().map(Path::new);
    if let Some(path) = named.filter(|path| path.is_relative()) {
        let message = format!("the program needs a whole path, not {:?}", path.display().to_string());
        return Err(Failure::new(Code::InvalidArgument, message));
    }
    // What was named by a request may be a file that a request has sent: it is packed, and never started here.
    Ok(Wanted { reference, program: &desk.options.program, named, may_start: named.is_none(), keys })
}

fn keys(workspace: &Workspace, packing: &Packing) -> Result<Option<Vec<u8>>, Failure> {
    if !packing.with_keys {
        return Ok(None);
    }
    let records = exported_keys(workspace)?;
    if records.is_empty() {
        let failure = Failure::new(Code::Conflict, "there is no valid key that could go in");
        return Err(failure.hint("make a key on the page Endpoints, or leave the keys out and mount a file of them"));
    }
    Ok(Some(key_lines(&records)?))
}

/// A folder that does not lie within what the workspace keeps for itself. What is in it already is looked at later.
fn place_for_image(workspace: &Workspace, path: &str) -> Result<PathBuf, Failure> {
    // A file in it would be written over the workspace's own exactly where the folder itself would be.
    let within = Path::new(path).join("index.json");
    models::target(workspace, &within.to_string_lossy(), "the image")?;
    Ok(PathBuf::from(path))
}

fn credentials(push: &ImagePush) -> Result<Option<Credentials>, Failure> {
    let registry = registry_of(&push.reference)?;
    Ok(match &push.login {
        Some(login) => Some(Credentials { username: login.username.clone(), password: login.password.clone() }),
        None => Credentials::of_docker(&registry)?,
    })
}

fn made(exported: Exported) -> OnnxMade {
    OnnxMade {
        as_imported: false,
        checked_rows: if exported.check.checked { exported.check.checked_rows as u64 } else { 0 },
        max_abs_difference: exported.check.max_abs_difference,
        unchecked: exported.check.reason,
        notes: exported.notes,
    }
}

fn packed(program: &Program) -> ProgramPacked {
    ProgramPacked {
        architecture: program.architecture.to_owned(),
        n_libraries: program.libraries.len() as u64,
        was_started: program.was_started,
    }
}

#[cfg(test)]
#[path = "deploy_tests.rs"]
mod tests;

//! `deploy`: images, bundles, and looking at them.

use std::{io::Read, path::Path};

use athanor_protocol::{Code, Failure, names::ModelRef};
use serde_json::json;

use super::{
    Context,
    deploy_args::{DeployCommand, EdgeArgs, ImageArgs, ProgramArgs, RegistryArgs, UnpackArgs, VerifyArgs},
    output::bytes,
};
use crate::{
    deploy::{
        Program, Watch,
        image::{self, Credentials, VerifiedImage},
        make::{self, ImagePlaces, MadeBundle, MadeImage, Wanted},
    },
    error::{EngineError, IoContext, Result},
    files, registry,
    workspace::Workspace,
};

/// Where a password may stand that is not typed.
const PASSWORD: &str = "ATHANOR_REGISTRY_PASSWORD";
/// Longest password that is read.
const MAX_PASSWORD_BYTES: u64 = 16 << 10;
/// Largest file of keys.
const MAX_KEYS_BYTES: u64 = 4 << 20;

pub(crate) fn run(context: &Context, command: DeployCommand) -> Result<()> {
    match command {
        DeployCommand::Image(args) => make_image(context, &args),
        DeployCommand::Verify(args) => verify(context, &args),
        DeployCommand::Unpack(args) => unpack(context, &args),
        DeployCommand::Edge(args) => make_edge(context, &args),
    }
}

/// The file of keys that goes in, read as the server will read it: what it would refuse does not go in.
fn keys_of(args: &ProgramArgs) -> Result<Option<Vec<u8>>> {
    let Some(path) = &args.keys else { return Ok(None) };
    athanor_serve::keyfile::FileKeys::open(path)?;
    Ok(Some(files::read_limited(path, MAX_KEYS_BYTES)?))
}

/// What is to be packed. Whoever types a program's name on this machine may also start it.
fn wanted<'a>(context: &'a Context, model: &'a str, args: &'a ProgramArgs) -> Result<Wanted<'a>> {
    let (program, named) = (context.program.as_path(), args.program.as_deref());
    Ok(Wanted { reference: model, program, named, may_start: true, keys: keys_of(args)? })
}

/// Whether the program was seen to start.
fn started(program: &Program) -> &'static str {
    match program.was_started {
        true => "the program was started once on this machine",
        false => "the program is for another machine and was not started here",
    }
}

fn make_image(context: &Context, args: &ImageArgs) -> Result<()> {
    args.model.parse::<ModelRef>()?;
    // What cannot be pushed is said before anything is made.
    let credentials = match &args.push {
        Some(reference) => credentials(&image::registry_of(reference)?, &args.registry)?,
        None => None,
    };
    let workspace = context.open()?;
    let wanted = wanted(context, &args.model, &args.program)?;
    let places = ImagePlaces {
        folder: args.output.as_deref(),
        push: args.push.as_deref().map(|reference| (reference, credentials.as_ref())),
        access: args.access.into(),
    };
    let MadeImage { version, program, image: built, pushed } =
        make::image(&workspace, &wanted, &places, &Watch::none())?;
    let name = format!("{}:{}", version.model, version.version);
    let value = json!({
        "model": version.model, "version": version.version, "digest": built.digest,
        "n_bytes": built.n_bytes, "architecture": built.architecture, "signed_by": built.signed_by,
        "folder": args.output, "pushed": pushed, "was_started": program.was_started,
    });
    context.out.result(&value, || {
        let mut text = format!(
            "{name} as an image for linux/{}: {}\n{}\n{}\n",
            built.architecture,
            bytes(built.n_bytes),
            built.digest,
            started(&program),
        );
        if let Some(folder) = &args.output {
            text += &format!("written to {}\n", folder.display());
        }
        if let Some(pushed) = &pushed {
            text += &format!(
                "pushed as {}, fetched again and checked ({} blobs sent, {} were there)\nrun it by: {}\n",
                pushed.reference, pushed.n_sent, pushed.n_known, pushed.pinned
            );
        }
        if wanted.keys.is_none() && args.access == super::deploy_args::AccessArg::Keys {
            text += "keys: mount a file of 'athanor keys export' at /etc/athanor/keys.jsonl\n";
        }
        text
    });
    Ok(())
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<()> {
    let mut known = args.trust.clone();
    if let Ok(workspace) = Workspace::open(&context.workspace) {
        known.extend(registry::trusted(&workspace)?);
    }
    let folder = Path::new(&args.image);
    let found = match folder.is_dir() {
        true => image::verify_layout(folder, &known)?,
        false => {
            let credentials = credentials(&image::registry_of(&args.image)?, &args.registry)?;
            image::verify_reference(&args.image, credentials.as_ref(), &known)?
        }
    };
    let is_asked = |key: &str| args.trust.iter().any(|asked| asked.eq_ignore_ascii_case(key));
    if let Some(other) = found.packages.iter().find(|package| !args.trust.is_empty() && !is_asked(&package.signed_by)) {
        let message = format!("{}:{} is signed by another key: {}", other.model, other.version, other.signed_by);
        return Err(EngineError::Failure(Failure::new(Code::Untrusted, message)));
    }
    let mut value = serde_json::to_value(&found).unwrap_or_default();
    value["ok"] = json!(true);
    context.out.result(&value, || shown(&args.image, &found));
    Ok(())
}

fn shown(name: &str, found: &VerifiedImage) -> String {
    let mut text = format!(
        "{name}: every byte is as it was made\ndigest     {}\nfor        linux/{}, {} in {} files\nruns as    {}, requests are checked by {}\n",
        found.digest,
        found.architecture,
        bytes(found.n_bytes),
        found.n_files,
        found.user,
        if found.access == "platform" { "the platform" } else { "keys" },
    );
    for package in &found.packages {
        let trusted = if package.trusted { "a trusted key" } else { "a key that is not trusted here" };
        text += &format!("model      {}:{}\nsha256     {}\n", package.model, package.version, package.sha256);
        text += &format!("signed by  {} ({trusted})\n", package.signed_by);
    }
    text
}

fn unpack(context: &Context, args: &UnpackArgs) -> Result<()> {
    let known = match Workspace::open(&context.workspace) {
        Ok(workspace) => registry::trusted(&workspace)?,
        Err(_) => vec![],
    };
    let found = image::unpack(&args.image, &args.output, &known)?;
    let value = json!({ "digest": found.digest, "folder": args.output, "n_files": found.n_files });
    context.out.result(&value, || {
        let folder = args.output.display();
        format!("{} files in {folder}\nrun it by: crun run --bundle {folder} NAME", found.n_files)
    });
    Ok(())
}

fn make_edge(context: &Context, args: &EdgeArgs) -> Result<()> {
    let wanted = wanted(context, &args.model, &args.program)?;
    let MadeBundle { version, program, bundle: built, without_onnx } =
        make::bundle(&context.open()?, &wanted, &args.output, &Watch::none())?;
    let mut value = serde_json::to_value(&built).unwrap_or_default();
    value["file"] = json!(args.output);
    value["model"] = json!(version.model);
    value["version"] = json!(version.version);
    value["was_started"] = json!(program.was_started);
    value["without_onnx"] = json!(without_onnx.as_ref().map(|failure| &failure.message));
    context.out.result(&value, || {
        let parts = match built.is_static {
            true => "one static program".to_owned(),
            false => format!("a program with {} libraries", program.libraries.len()),
        };
        format!(
            "{}:{} for linux/{}, {parts}: {} in {}\n{}\n{}\n{}",
            version.model,
            version.version,
            built.architecture,
            bytes(built.n_bytes),
            args.output.display(),
            built.digest,
            started(&program),
            match &without_onnx {
                None => format!("with the model as {}.onnx", version.model),
                Some(failure) => format!("without an ONNX file: {}", failure.message),
            },
        )
    });
    Ok(())
}

/// Who we are to a registry: as named, else as Docker knows us.
fn credentials(registry: &str, args: &RegistryArgs) -> Result<Option<Credentials>> {
    let Some(username) = &args.username else { return Credentials::of_docker(registry) };
    let password = if args.password_stdin {
        let mut text = String::new();
        let place = Path::new("the standard input");
        std::io::stdin().take(MAX_PASSWORD_BYTES).read_to_string(&mut text).at("read", place)?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        std::env::var(PASSWORD).unwrap_or_default()
    };
    if password.is_empty() {
        let failure = Failure::new(Code::Unauthenticated, format!("there is no password for {username}"));
        return Err(EngineError::Failure(failure.hint(format!("--password-stdin reads it, {PASSWORD} may hold it"))));
    }
    Ok(Some(Credentials { username: username.clone(), password }))
}

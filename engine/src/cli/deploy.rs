//! `deploy`: images, bundles, and looking at them.

use std::{io::Read, path::Path};

use athanor_learn::package::Package;
use athanor_protocol::{Code, Failure, names::ModelRef, registry::ModelVersion};
use serde_json::json;

use super::{
    Context,
    deploy_args::{DeployCommand, EdgeArgs, ImageArgs, ProgramArgs, RegistryArgs, UnpackArgs, VerifyArgs},
    output::bytes,
};
use crate::{
    deploy::{
        Program, Scratch,
        edge::{self, EdgeParts},
        find_program,
        image::{self, Credentials, ImageParts, VerifiedImage},
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

/// A version's package with what goes in beside it.
struct Chosen {
    version: ModelVersion,
    package: Vec<u8>,
    program: Program,
    keys: Option<Vec<u8>>,
}

fn choose(context: &Context, workspace: &Workspace, model: &str, args: &ProgramArgs) -> Result<Chosen> {
    let version = registry::resolve(workspace, model)?;
    let (package, _): (Vec<u8>, Package) = registry::load(workspace, &version)?;
    let program = find_program(&context.program, args.program.as_deref())?;
    let keys = match &args.keys {
        Some(path) => {
            // Read as the server will read it: what it would refuse does not go in.
            athanor_serve::keyfile::FileKeys::open(path)?;
            Some(files::read_limited(path, MAX_KEYS_BYTES)?)
        }
        None => None,
    };
    Ok(Chosen { version, package, program, keys })
}

fn make_image(context: &Context, args: &ImageArgs) -> Result<()> {
    args.model.parse::<ModelRef>()?;
    // What cannot be pushed is said before anything is made.
    let credentials = match &args.push {
        Some(reference) => credentials(&image::registry_of(reference)?, &args.registry)?,
        None => None,
    };
    let workspace = context.open()?;
    let chosen = choose(context, &workspace, &args.model, &args.program)?;
    let scratch = Scratch::new()?;
    let folder = args.output.clone().unwrap_or_else(|| scratch.path().join("image"));
    let parts = ImageParts {
        model: &chosen.version.model,
        version: chosen.version.version,
        package: &chosen.package,
        program: &chosen.program,
        access: args.access.into(),
        keys: chosen.keys.as_deref(),
    };
    let built = image::build(&parts, &folder)?;
    let pushed = match &args.push {
        Some(reference) => {
            Some(image::push(&folder, reference, credentials.as_ref(), &registry::trusted(&workspace)?)?)
        }
        None => None,
    };
    let name = format!("{}:{}", chosen.version.model, chosen.version.version);
    let detail = json!({ "digest": built.digest, "reference": pushed.as_ref().map(|pushed| &pushed.reference) });
    registry::audit(&workspace, "model.image", &name, detail)?;
    let value = json!({
        "model": chosen.version.model, "version": chosen.version.version, "digest": built.digest,
        "n_bytes": built.n_bytes, "architecture": built.architecture, "signed_by": built.signed_by,
        "folder": args.output, "pushed": pushed,
    });
    context.out.result(&value, || {
        let mut text = format!(
            "{name} as an image for linux/{}: {}\n{}\n",
            built.architecture,
            bytes(built.n_bytes),
            built.digest
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
        if chosen.keys.is_none() && args.access == super::deploy_args::AccessArg::Keys {
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
    args.model.parse::<ModelRef>()?;
    let name = args.output.to_string_lossy().to_lowercase();
    if !name.ends_with(".tar.gz") && !name.ends_with(".tgz") {
        return Err(EngineError::Usage(format!("the output must end in .tar.gz: {}", args.output.display())));
    }
    let workspace = context.open()?;
    let chosen = choose(context, &workspace, &args.model, &args.program)?;
    let parts = EdgeParts {
        model: &chosen.version.model,
        version: chosen.version.version,
        package: &chosen.package,
        program: &chosen.program,
        keys: chosen.keys.as_deref(),
        // Taken in where the model can be written as ONNX.
        onnx: None,
    };
    let built = edge::build(&parts, &args.output)?;
    let model = format!("{}:{}", chosen.version.model, chosen.version.version);
    registry::audit(&workspace, "model.edge", &model, json!({ "digest": built.digest }))?;
    let mut value = serde_json::to_value(&built).unwrap_or_default();
    value["file"] = json!(args.output);
    value["model"] = json!(chosen.version.model);
    value["version"] = json!(chosen.version.version);
    context.out.result(&value, || {
        let program = match built.is_static {
            true => "one static program".to_owned(),
            false => format!("a program with {} libraries", chosen.program.libraries.len()),
        };
        format!(
            "{model} for linux/{}, {program}: {} in {}\n{}",
            built.architecture,
            bytes(built.n_bytes),
            args.output.display(),
            built.digest
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

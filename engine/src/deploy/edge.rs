//! A bundle for a small machine: the slim server, the signed package, and how to start it, in one file.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::Path,
};

use athanor_learn::package::{Package, SignatureStatus};
use athanor_protocol::{Code, names::check_model_name};
use serde::Serialize;

use super::{
    Program, Watch,
    image::{ArchiveContent as Content, ArchiveFiles as Files, write_archive},
};
use crate::{
    error::{EngineError, IoContext, Result},
    files,
    registry::sha256,
};

/// What goes into a bundle.
#[derive(Debug, Clone)]
pub struct EdgeParts<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The version.
    pub version: u32,
    /// The signed package's bytes.
    pub package: &'a [u8],
    /// The slim server.
    pub program: &'a Program,
    /// The file of hashed keys; where there is none it is put in later.
    pub keys: Option<&'a [u8]>,
    /// The model as an ONNX file, for programs of others.
    pub onnx: Option<&'a [u8]>,
}

/// A bundle that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeBundle {
    /// `sha256:<hex>` of the file.
    pub digest: String,
    /// Its size.
    pub n_bytes: u64,
    /// For which processor: `amd64` or `arm64`.
    pub architecture: String,
    /// Whether the program needs nothing of the machine but its kernel, not even the libraries in the bundle.
    pub is_static: bool,
    /// Whether an ONNX file is in it.
    pub has_onnx: bool,
}

/// Writes a bundle. The same parts give the same bytes.
///
/// # Errors
/// If the package is none or not signed, a file cannot be read or written, or it is stopped.
pub fn build(parts: &EdgeParts<'_>, to: &Path, watch: &Watch<'_>) -> Result<EdgeBundle> {
    check_model_name(parts.model)?;
    let package = Package::read(parts.package)?;
    let SignatureStatus::Signed { key } = package.signature() else {
        return Err(EngineError::new(Code::Untrusted, "the package is not signed; a registered version is"));
    };
    let folder = format!("{}-{}-edge", parts.model, parts.version);
    let mut all = Files::new();
    let mut add = |path: &str, content: Content| drop(all.insert(format!("{folder}/{path}"), content));
    add("athanor-serve", Content::Program(parts.program.path.clone()));
    for (name, path) in &parts.program.libraries {
        add(&format!("lib/{name}"), Content::File(path.clone()));
    }
    if let Some(loader) = &parts.program.interpreter {
        add("lib/loader", Content::Program(loader.clone()));
    }
    add(&format!("models/{}/{}.athanor", parts.model, parts.version), Content::Bytes(parts.package.to_vec()));
    add("trust", Content::Bytes(format!("{key}\n").into_bytes()));
    if let Some(keys) = parts.keys {
        add("keys.jsonl", Content::Bytes(keys.to_vec()));
    }
    if let Some(onnx) = parts.onnx {
        add(&format!("{}.onnx", parts.model), Content::Bytes(onnx.to_vec()));
    }
    add("start.sh", Content::Script(start(parts.program).into_bytes()));
    add("README.md", Content::Bytes(readme(parts, &package, key).into_bytes()));
    let beside = files::beside(to);
    let written: Result<_> = (|| {
        let mut file = BufWriter::new(File::create_new(&beside).at("write", to)?);
        let found = write_archive(&all, &mut file, watch)?;
        file.into_inner().map_err(|err| err.into_error()).and_then(|file| file.sync_all()).at("write", &beside)?;
        fs::rename(&beside, to).at("write", to)?;
        Ok(found)
    })();
    if written.is_err() {
        // The half-written file is ours alone.
        let _ = fs::remove_file(&beside);
    }
    let (digest, n_bytes) = written?;
    Ok(EdgeBundle {
        digest,
        n_bytes,
        architecture: parts.program.architecture.to_owned(),
        is_static: parts.program.interpreter.is_none(),
        has_onnx: parts.onnx.is_some(),
    })
}

/// Starts the program with the bundle's own libraries, wherever the bundle lies.
fn start(program: &Program) -> String {
    let run = match program.interpreter {
        Some(_) => "\"$here/lib/loader\" --library-path \"$here/lib\" \"$here/athanor-serve\"",
        None => "\"$here/athanor-serve\"",
    };
    format!(
        "#!/bin/sh\n\
         # Starts the server; words behind it are its own, for example: ./start.sh --keys keys.jsonl\n\
         here=$(CDPATH= cd -- \"$(dirname -- \"$0\")\" && pwd)\n\
         export ATHANOR_MODELS=\"$here/models\" ATHANOR_TRUST=\"$here/trust\"\n\
         exec {run} \"$@\"\n"
    )
}

fn readme(parts: &EdgeParts<'_>, package: &Package, key: &str) -> String {
    let signature = &package.manifest().signature;
    let inputs: String = signature
        .inputs
        .iter()
        .map(|input| {
            let missing = if input.nullable { "may be missing" } else { "" };
            format!("| {} | {} | {missing} |\n", input.name.replace('|', "\\|"), input.dtype.as_str())
        })
        .collect();
    let keys = match parts.keys {
        Some(_) => "The keys that may ask lie in `keys.jsonl`, hashed.",
        None => "Put a file of keys beside it: `athanor keys export -o keys.jsonl`.",
    };
    let onnx = match parts.onnx {
        Some(_) => format!("`{}.onnx` is the same model for programs that read ONNX.\n\n", parts.model),
        None => String::new(),
    };
    format!(
        "# {model}, version {version}\n\n\
         Predicts `{target}` ({task}). Linux, {architecture}. Nothing has to be installed.\n\n\
         ```sh\n\
         ./start.sh --keys keys.jsonl                       # serves on http://127.0.0.1:8080\n\
         ./start.sh predict --in table.csv --out out.csv    # predicts a table, without a socket\n\
         ./start.sh health                                  # is it ready?\n\
         ./start.sh --help\n\
         ```\n\n\
         {keys} Requests are as for every endpoint of Athanor: `POST /v1/models/{model}/predict` with\n\
         `{{\"row\": {{…}}}}`, or the Open Inference Protocol at `/v2`.\n\n\
         {onnx}\
         | input | type | |\n| --- | --- | --- |\n{inputs}\n\
         | what | |\n| --- | --- |\n\
         | package | `sha256:{sha256}` |\n\
         | signed by | `{key}` |\n\
         | made with | Athanor {athanor} |\n\n\
         The server checks every byte of the package and its signature before it serves.\n",
        model = parts.model,
        version = parts.version,
        target = signature.target,
        task = signature.task.as_str(),
        architecture = parts.program.architecture,
        sha256 = sha256(parts.package),
        athanor = env!("CARGO_PKG_VERSION"),
    )
}

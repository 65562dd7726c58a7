//! The slim server that goes into images and bundles.

use std::path::{Path, PathBuf};

use athanor_protocol::{Code, Failure};

use super::image::{elf::Elf, libraries};
use crate::error::{EngineError, IoContext, Result};

/// Its file's name.
const NAME: &str = "athanor-serve";

/// A Linux program with the libraries that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// Its processor, as images name it: `amd64` or `arm64`.
    pub architecture: &'static str,
    /// The loader of a program that has shared libraries: the path by which the program names it.
    pub interpreter: Option<PathBuf>,
    /// The shared libraries, each by the name that it is looked for; in the order of the names.
    pub libraries: Vec<(String, PathBuf)>,
}

/// Looks at the slim server: the one that is named, or the one beside `program`.
///
/// # Errors
/// If there is none, it is no Linux program, or a library that it needs is not on this machine.
pub fn find_program(program: &Path, named: Option<&Path>) -> Result<Program> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => program.with_file_name(NAME),
    };
    if !path.is_file() {
        let failure = Failure::new(Code::NotFound, format!("the slim server is not there: {}", path.display()));
        let hint = "name a Linux build of athanor-serve with --program; 'cargo xtask slim' makes one";
        return Err(EngineError::Failure(failure.hint(hint)));
    }
    let path = std::fs::canonicalize(&path).at("open", &path)?;
    let elf = Elf::open(&path)?;
    let Some(architecture) = elf.architecture() else {
        let message = format!("{} is for a processor that images are not made for", path.display());
        return Err(EngineError::Failure(Failure::new(Code::Unsupported, message).hint("x86-64 and arm64 are known")));
    };
    let libraries = libraries::of_program(&path, &elf)?;
    Ok(Program { path, architecture, interpreter: elf.interpreter.as_ref().map(PathBuf::from), libraries })
}

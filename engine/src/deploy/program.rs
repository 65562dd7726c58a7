//! The slim server that goes into images and bundles.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use athanor_protocol::{Code, Failure};
use athanor_serve::slim::{MARK, MAX_VERSION_BYTES};

use super::image::{elf::Elf, libraries};
use crate::{
    bounded,
    error::{EngineError, IoContext, Result},
};

/// Its file's name.
const NAME: &str = "athanor-serve";
/// Our version, which the program must have: an older one may not read the package.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Longest that the program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a program is looked at in one go.
const CHUNK_BYTES: usize = 1 << 20;

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
    /// Whether it was started once and said who it is; one for another machine cannot be.
    pub was_started: bool,
}

/// Looks at the slim server: the one that is named, or the one beside `program`. One for this machine is started once,
/// where it may be.
///
/// # Errors
/// If there is none, it is no Linux program, another program or of another version, a library that it needs is not on
/// this machine, or it is for this machine and does not start.
pub fn find_program(program: &Path, named: Option<&Path>, may_start: bool) -> Result<Program> {
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
    check_version(&path)?;
    let libraries = libraries::of_program(&path, &elf)?;
    let was_started = may_start && is_of_this_machine(architecture);
    if was_started {
        check_start(&path)?;
    }
    let interpreter = elf.interpreter.as_deref().map(|named| loader(&path, named, elf.machine)).transpose()?;
    Ok(Program { path, architecture, interpreter, libraries, was_started })
}

/// Where systems have their loaders.
const LOADERS: [&str; 6] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/nix/store/", "/gnu/store/"];

/// The loader that a program names. It is packed as it lies there, so that a program may not name just any file: only one
/// where loaders lie that is a library for the same processor.
fn loader(program: &Path, named: &str, machine: u16) -> Result<PathBuf> {
    let refuse = || {
        let message = format!("{} names a loader that is none: {named}", program.display());
        Err(refused(Code::Unsupported, message))
    };
    let is_placed =
        LOADERS.iter().any(|folder| named.starts_with(folder)) && !named.split('/').any(|part| part == "..");
    let path = PathBuf::from(named);
    if !is_placed || !std::fs::metadata(&path).is_ok_and(|found| found.is_file()) {
        return refuse();
    }
    match Elf::open(&path) {
        Ok(elf) if elf.machine == machine => Ok(path),
        _ => refuse(),
    }
}

fn is_of_this_machine(architecture: &str) -> bool {
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    cfg!(target_os = "linux") && architecture == here
}

fn refused(code: Code, message: String) -> EngineError {
    let hint = "'cargo xtask slim' makes the program of this version; name it with --program";
    EngineError::Failure(Failure::new(code, message).hint(hint))
}

/// Whether the file says that it is the slim server, and of our version.
fn check_version(path: &Path) -> Result<()> {
    let file = File::open(path).at("open", path)?;
    match version_in(file).at("read", path)? {
        None => Err(refused(Code::Unsupported, format!("{} is not the slim server {NAME}", path.display()))),
        Some(version) if version != VERSION => {
            let message = format!("{} has version {version}, this program has {VERSION}", path.display());
            Err(refused(Code::Unsupported, message))
        }
        Some(_) => Ok(()),
    }
}

/// The version that stands behind the mark.
fn version_in(mut file: impl Read) -> std::io::Result<Option<String>> {
    let mark = MARK.concat().into_bytes();
    let overlap = mark.len() + MAX_VERSION_BYTES + 1;
    let mut held: Vec<u8> = vec![];
    loop {
        let n = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut held)?;
        let found = memchr::memmem::find_iter(&held, &mark).find_map(|at| {
            let rest = held.get(at + mark.len()..)?;
            let end = rest.iter().take(MAX_VERSION_BYTES + 1).position(|&byte| byte == b'\n')?;
            let version = std::str::from_utf8(rest.get(..end)?).ok()?;
            version.bytes().all(|byte| byte.is_ascii_graphic()).then(|| version.to_owned())
        });
        if found.is_some() || n == 0 {
            return Ok(found);
        }
        // The mark may lie on the border of two pieces.
        held.drain(..held.len().saturating_sub(overlap));
    }
}

/// Starts the program as far as its version: a program whose headers are well may still break down before its first line.
fn check_start(path: &Path) -> Result<()> {
    let asked = bounded::ask(Command::new(path).arg("--version").env_clear(), PATIENCE, 4_096)?;
    let why = match asked {
        None => format!("did not say its version within {} s", PATIENCE.as_secs()),
        Some((status, _)) if !status.success() => format!("does not start: {status}"),
        Some((_, text)) if !text.starts_with(NAME) => "says that it is another program".to_owned(),
        Some(_) => return Ok(()),
    };
    Err(refused(Code::Unsupported, format!("{} {why}", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn told(version: &str) -> Vec<u8> {
        format!("{}{version}\n", MARK.concat()).into_bytes()
    }

    #[test]
    fn the_version_behind_the_mark_is_found_wherever_it_lies() {
        let before = [0, 1, CHUNK_BYTES - told("1").len() - 1, CHUNK_BYTES - 10, CHUNK_BYTES - 1, 3 * CHUNK_BYTES + 17];
        for n in before {
            let file = [vec![7; n], told("12.3.4-rc.1"), vec![0; 2 * CHUNK_BYTES]].concat();
            assert_eq!(version_in(file.as_slice()).unwrap().as_deref(), Some("12.3.4-rc.1"), "{n}");
        }
        let begun = &told("1.0")[..MARK.concat().len() + 2];
        for other in
            [&b""[..], b"\x7fELF", begun, &told(&"9".repeat(MAX_VERSION_BYTES + 1)), &told("1 0"), &told("\u{1}")]
        {
            assert_eq!(version_in(other).unwrap(), None, "{:?}", String::from_utf8_lossy(other));
        }
        // A mark without a version, as in a program that looks for it, hides no whole one.
        let both = [MARK.concat().into_bytes(), vec![0], told("2.0")].concat();
        assert_eq!(version_in(both.as_slice()).unwrap().as_deref(), Some("2.0"));
    }

    #[test]
    fn a_program_brings_no_file_that_is_no_loader() {
        use crate::deploy::image::elf::{AARCH64, X86_64, tests::program};
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("signing.key");
        std::fs::write(&secret, "secret").unwrap();
        let here = std::fs::canonicalize(&secret).unwrap().display().to_string();
        let path = folder.path().join(NAME);
        for named in
            [here.as_str(), "/etc/passwd", "/lib/../etc/passwd", "/usr/lib/os-release", "/lib64/no-such-loader", "/lib"]
        {
            for machine in [X86_64, AARCH64] {
                let file = [program(machine, Some(named), &[], ""), told(VERSION)].concat();
                std::fs::write(&path, file).unwrap();
                let err = find_program(Path::new("/nowhere"), Some(&path), false).unwrap_err();
                assert!(err.to_string().contains("loader"), "{named}: {err}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_does_not_start_or_is_another_program_is_refused() {
        for (path, words) in [("/bin/false", "does not start"), ("/bin/echo", "another program")] {
            let err = check_start(Path::new(path)).unwrap_err();
            assert!(err.to_string().contains(words), "{path}: {err}");
        }
    }
}

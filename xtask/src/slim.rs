//! Builds the slim server as one static program, for images and bundles.
//!
//! Static, because then an image holds one file that runs, and a bundle runs on any Linux of that processor. It has a
//! target, features and a build folder of its own: chosen alone, the server asks for no GPU and for no C++.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, must, on_path, output_of, succeeds_within},
    dirs::Dirs,
    setup::{self, Purpose},
};

const PACKAGE: &str = "athanor-serve";
/// Longest that the program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest that rustup may take to bring a target.
const RUSTUP_LIMIT: Duration = Duration::from_secs(600);

/// A processor that the server is built for.
struct Target {
    /// As images name it.
    architecture: &'static str,
    /// As the compiler names it.
    triple: &'static str,
    /// The linker on a machine with another processor, and the Debian package that brings it.
    linker: (&'static str, &'static str),
    /// What runs its programs on a machine with another processor, if it is there.
    emulators: [&'static str; 2],
}

const TARGETS: &[Target] = &[
    Target {
        architecture: "amd64",
        triple: "x86_64-unknown-linux-gnu",
        linker: ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu"),
        emulators: ["qemu-x86_64-static", "qemu-x86_64"],
    },
    Target {
        architecture: "arm64",
        triple: "aarch64-unknown-linux-gnu",
        linker: ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        emulators: ["qemu-aarch64-static", "qemu-aarch64"],
    },
];

/// Builds the server for a processor: this machine's where none is named.
///
/// # Errors
/// Fails when the processor is not known, something for building for it is missing (named, with the way to get it), or
/// the build fails.
pub(crate) fn slim(dirs: &Dirs, architecture: Option<&str>) -> Result<ExitCode> {
    let target = target(architecture, std::env::consts::ARCH)?;
    setup::ensure(dirs, Purpose::Build)?;
    let is_foreign = !target.triple.starts_with(std::env::consts::ARCH) || !cfg!(target_os = "linux");
    can_build(target, is_foreign)?;
    let folder = dirs.target.join("slim");
    let mut build = cargo(dirs, &["build", "--release", "--package", PACKAGE, "--bin", PACKAGE]);
    // With the target named, the flags are those of the program alone and not of what runs while it is built.
    build.args(["--target", target.triple]).env("CARGO_TARGET_DIR", &folder);
    let variable = target.triple.to_uppercase().replace('-', "_");
    build.env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), "-C target-feature=+crt-static");
    if is_foreign {
        build.env(format!("CARGO_TARGET_{variable}_LINKER"), target.linker.0);
        build.env(format!("CC_{}", target.triple.replace('-', "_")), target.linker.0);
    }
    must(&mut build)?;
    let built = folder.join(target.triple).join("release").join(PACKAGE);
    // A shared library that slips into the link gives a program that looks static and breaks down before its first
    // line: the linker then leaves names open for a loader that is not there.
    let emulator = target.emulators.into_iter().find(|name| on_path(name).is_some());
    let start = match (is_foreign, emulator) {
        (false, _) => Some(Command::new(&built)),
        (true, Some(emulator)) => {
            let mut command = Command::new(emulator);
            command.arg(&built);
            Some(command)
        }
        (true, None) => None,
    };
    let was_started = start.is_some();
    if start.is_some_and(|mut start| !succeeds_within(start.arg("--version"), PATIENCE)) {
        bail!("{} was built and does not start", built.display());
    }
    let to = folder.join(format!("{PACKAGE}-{}", target.architecture));
    fs::copy(&built, &to).with_context(|| format!("cannot write {}", to.display()))?;
    let n_bytes = fs::metadata(&to).map_or(0, |file| file.len());
    println!("made: {} ({:.1} MB, static, linux/{})", to.display(), n_bytes as f64 / 1e6, target.architecture);
    if !was_started {
        println!("it was not started: {} could do that here (Debian: qemu-user-static)", target.emulators[0]);
    }
    println!("use it: athanor deploy image MODEL --program {} -o FOLDER", to.display());
    Ok(ExitCode::SUCCESS)
}

fn target(architecture: Option<&str>, here: &str) -> Result<&'static Target> {
    let found = TARGETS.iter().find(|target| match architecture {
        Some(wanted) => target.architecture == wanted || target.triple == wanted,
        None => target.triple.starts_with(here),
    });
    found.with_context(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.architecture).collect();
        format!("{} is not known: {}", architecture.unwrap_or(here), known.join(", "))
    })
}

/// Whether the compiler has the target's standard library, which rustup is asked for where it has not, and whether there
/// is a linker.
fn can_build(target: &Target, is_foreign: bool) -> Result<()> {
    let has_library = || {
        let library = output_of(Command::new("rustc").args(["--print", "target-libdir", "--target", target.triple]));
        library.is_some_and(|folder| has_std(&PathBuf::from(folder)))
    };
    let mut add = Command::new("rustup");
    add.args(["target", "add", target.triple]);
    let can_add = || on_path("rustup").is_some();
    let mut can_be_brought = || can_add() && succeeds_within(&mut add, RUSTUP_LIMIT) && has_library();
    if !has_library() && !can_be_brought() {
        bail!(
            "the compiler has no standard library for {}: `rustup target add {}` brings it",
            target.triple,
            target.triple
        );
    }
    let (linker, package) = target.linker;
    if is_foreign && on_path(linker).is_none() {
        bail!("{linker} is missing: `apt-get install {package}` brings it");
    }
    Ok(())
}

fn has_std(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_two_names_and_this_machines_is_the_default() {
        let triple = |wanted: Option<&str>, here: &str| target(wanted, here).map(|target| target.triple).ok();
        assert_eq!(triple(None, "x86_64"), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(triple(None, "aarch64"), Some("aarch64-unknown-linux-gnu"));
        assert_eq!(triple(Some("arm64"), "x86_64"), Some("aarch64-unknown-linux-gnu"));
        assert_eq!(triple(Some("aarch64-unknown-linux-gnu"), "x86_64"), Some("aarch64-unknown-linux-gnu"));
        assert_eq!(triple(Some("riscv64"), "x86_64"), None);
        assert_eq!(triple(None, "sparc64"), None);
    }
}

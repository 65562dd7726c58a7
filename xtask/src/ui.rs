//! Builds the UI for web views and browsers: compiled to WebAssembly, bound to JavaScript, put beside its page.
//!
//! Ordinary toolchains get the target from rustup. Where that is out of reach, Debian's own compiler for it builds the
//! standard library from its source. Either way the UI has a build folder of its own, and nothing else is built there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    command::{self, for_cargo, must, on_path, output_of, succeeds, succeeds_within},
    dirs::Dirs,
    setup,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// The page's own files, as they lie in `ui/`.
const PAGE_FILES: &[&str] = &["index.html", "boot.css", "boot.js", "icon.png"];
/// What is made of the program.
const MADE_FILES: &[&str] = &["athanor-ui.js", "athanor-ui_bg.wasm"];

/// Debian's compiler: not the one on `PATH`, which is rustup's.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How long rustup may take to say whether it can bring the target.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Who compiles.
#[derive(Debug, PartialEq, Eq)]
enum Compiler {
    /// The toolchain at hand has the target.
    Ours,
    /// Debian's, with the linker of the toolchain at hand: Debian's own is too old for it.
    Debian { linker: PathBuf },
}

/// Builds the UI into `ui/dist`. Files that come out as they were are not touched, so that nothing else is built anew.
///
/// # Errors
/// Fails when there is no compiler for WebAssembly, or the UI does not compile.
pub(crate) fn build(dirs: &Dirs) -> Result<PathBuf> {
    let compiler = compiler()?;
    let folder = dirs.target.join("wasm-ui");
    must(&mut cargo(dirs, &compiler, &folder))?;
    let program = folder.join(TARGET).join("wasm/athanor-ui.wasm");
    let dist = dirs.root.join("ui/dist");
    let stamp = folder.join("dist.txt");
    let wanted = || stamp_of(&program, &dist);
    if fs::read_to_string(&stamp).ok() != Some(wanted()?) {
        let fresh = folder.join("dist.new");
        bind(&program, &fresh)?;
        shrink(&fresh);
        fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
        for name in MADE_FILES {
            copy_changed(&fresh.join(name), &dist.join(name))?;
        }
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot clear {}", fresh.display()))?;
        setup::write_beside(&stamp, &wanted()?)?;
    }
    for name in PAGE_FILES {
        copy_changed(&dirs.root.join("ui").join(name), &dist.join(name))?;
    }
    remove_others(&dist)?;
    for name in MADE_FILES {
        let n_bytes = fs::metadata(dist.join(name)).map_or(0, |file| file.len());
        eprintln!("UI: {name} {}", megabytes(n_bytes));
    }
    Ok(dist)
}

/// Puts the UI beside the programs of a profile, where `athanor serve` finds it.
///
/// # Errors
/// Fails when a file cannot be copied.
pub(crate) fn install(dirs: &Dirs, profile: &str) -> Result<()> {
    let to = dirs.target.join(profile).join("ui");
    copy_into(&dirs.root.join("ui/dist"), &to)?;
    remove_others(&to)
}

/// Copies the UI's files into a folder.
///
/// # Errors
/// Fails when a file cannot be copied.
pub(crate) fn copy_into(dist: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for name in PAGE_FILES.iter().chain(MADE_FILES) {
        copy_changed(&dist.join(name), &to.join(name))?;
    }
    Ok(())
}

/// Whether the toolchain at hand compiles for WebAssembly: then its lints can be asked about that code, too.
pub(crate) fn toolchain_has_target() -> bool {
    let folder = output_of(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    folder.is_some_and(|folder| Path::new(&folder).is_dir())
}

/// Arguments of `cargo clippy` for the code that only WebAssembly has.
pub(crate) const LINT: &[&str] = &[
    "clippy",
    "--package",
    "athanor-ui",
    "--lib",
    "--bins",
    "--target",
    TARGET,
    "--profile",
    "wasm",
    "--",
    "--deny",
    "warnings",
];

/// Finds a compiler, and brings one where there is none.
fn compiler() -> Result<Compiler> {
    if toolchain_has_target() {
        return Ok(Compiler::Ours);
    }
    if let Some(found) = debian() {
        return Ok(found);
    }
    let mut add = Command::new("rustup");
    add.args(["target", "add", TARGET]);
    eprintln!("$ {}", command::shown(&add));
    if on_path("rustup").is_some() && succeeds_within(&mut add, RUSTUP_LIMIT) {
        return Ok(Compiler::Ours);
    }
    eprintln!("rustup cannot bring the target {TARGET}; Debian's compiler may.");
    setup::ensure_debian_wasm()?;
    debian().with_context(|| format!("no compiler for the UI: `rustup target add {TARGET}` brings one"))
}

fn debian() -> Option<Compiler> {
    let sysroot = output_of(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]))?;
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std");
    let ours = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = output_of(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    let linker = Path::new(&ours).join("lib/rustlib").join(host).join("bin/rust-lld");
    let here = source.is_dir()
        && linker.is_file()
        && Path::new(DEBIAN_CARGO).is_file()
        && Path::new(&sysroot) != Path::new(&ours);
    here.then_some(Compiler::Debian { linker })
}

fn cargo(dirs: &Dirs, compiler: &Compiler, folder: &Path) -> Command {
    let build = ["build", "--target", TARGET, "--profile", "wasm", "--package", "athanor-ui", "--bin", "athanor-ui"];
    let mut command = match compiler {
        Compiler::Ours => command::cargo(dirs, &[]),
        Compiler::Debian { linker } => {
            let mut command = for_cargo(dirs, DEBIAN_CARGO.as_ref());
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTC", DEBIAN_RUSTC);
            // Building the standard library is an unstable option, which this compiler is allowed to take.
            command.env("RUSTC_BOOTSTRAP", "1");
            command.env("RUSTFLAGS", format!("-C linker={}", linker.display()));
            command.arg("-Zbuild-std=std,panic_abort");
            command
        }
    };
    command.args(build).env("CARGO_TARGET_DIR", folder);
    command
}

/// Makes the JavaScript that loads the program, and the program as it is loaded.
fn bind(program: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot clear {}", to.display()))?;
    }
    let mut bindgen = Bindgen::new();
    bindgen.input_path(program).typescript(false).remove_name_section(true).remove_producers_section(true);
    bindgen.web(true).and_then(|bindgen| bindgen.generate(to)).context("cannot bind the UI to JavaScript")
}

/// Makes the program smaller where Binaryen is installed. Without it, or where it is too old, the UI is only bigger.
fn shrink(folder: &Path) {
    if on_path("wasm-opt").is_none() {
        return;
    }
    let (program, small) = (folder.join("athanor-ui_bg.wasm"), folder.join("small.wasm"));
    let mut command = Command::new("wasm-opt");
    command.args(["-Os", "--all-features"]).arg(&program).arg("-o").arg(&small);
    let done = succeeds(&mut command).is_ok_and(|done| done) && fs::rename(&small, &program).is_ok();
    if !done {
        eprintln!("wasm-opt cannot make the UI smaller; it is taken as it is");
    }
}

/// What a build was made of and what came out: where it is the same, nothing has to be done.
fn stamp_of(program: &Path, dist: &Path) -> Result<String> {
    let describe = |path: &Path| {
        let file = fs::metadata(path).ok();
        let changed = file.as_ref().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let (n_bytes, nanos) = (file.map_or(0, |file| file.len()), changed.map_or(0, |time| time.as_nanos()));
        format!("{} {n_bytes} {nanos}\n", path.display())
    };
    if !program.is_file() {
        bail!("{} was not built", program.display());
    }
    let made = MADE_FILES.iter().map(|name| describe(&dist.join(name)));
    let small = if on_path("wasm-opt").is_some() { "made smaller\n" } else { "" };
    Ok(describe(program) + &made.collect::<String>() + small)
}

/// Copies a file where it differs: an untouched file is not compiled into the window again.
fn copy_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// What an older build left would go into the window.
fn remove_others(dist: &Path) -> Result<()> {
    for entry in fs::read_dir(dist).with_context(|| format!("cannot read {}", dist.display()))?.flatten() {
        let name = entry.file_name();
        let ours = PAGE_FILES.iter().chain(MADE_FILES).any(|file| name == *file);
        if !ours && entry.path().is_file() {
            fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn megabytes(n_bytes: u64) -> String {
    format!("{:.2} MB", n_bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("athanor-xtask-ui-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn an_equal_file_is_not_written_again() {
        let folder = folder("copy");
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::write(&from, "a").unwrap();
        copy_changed(&from, &to).unwrap();
        let written = fs::metadata(&to).unwrap().modified().unwrap();
        copy_changed(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), written);
        fs::write(&from, "b").unwrap();
        copy_changed(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "b");
        assert!(copy_changed(&folder.join("nothing"), &to).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn leftovers_go_and_our_files_stay() {
        let folder = folder("others");
        for name in ["index.html", "athanor-ui.js", "athanor-ui.d.ts", "old.wasm"] {
            fs::write(folder.join(name), "").unwrap();
        }
        remove_others(&folder).unwrap();
        let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["athanor-ui.js", "index.html"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_stamp_tells_a_new_program_and_a_lost_file() {
        let folder = folder("stamp");
        let program = folder.join("athanor-ui.wasm");
        assert!(stamp_of(&program, &folder).is_err(), "nothing is built yet");
        fs::write(&program, "a").unwrap();
        let first = stamp_of(&program, &folder).unwrap();
        assert_eq!(stamp_of(&program, &folder).unwrap(), first);
        fs::write(folder.join("athanor-ui.js"), "made").unwrap();
        let made = stamp_of(&program, &folder).unwrap();
        assert_ne!(made, first);
        fs::write(&program, "ab").unwrap();
        assert_ne!(stamp_of(&program, &folder).unwrap(), made);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_page_brings_no_script_inside_it() {
        // The rules that the window and the server set for the page allow only scripts in files.
        let page = fs::read_to_string("../ui/index.html").unwrap();
        assert_eq!(page.matches("<script").count(), page.matches("src=\"boot.js\"></script>").count());
        assert!(!page.contains("onclick") && !page.contains("<style"));
        for name in PAGE_FILES {
            assert!(Path::new("../ui").join(name).is_file(), "{name}");
        }
    }
}

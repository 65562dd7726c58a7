//! Licences, sources and known vulnerabilities of what we depend on, by cargo-deny.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::Result;

use crate::{
    command::{cargo, for_cargo, must, on_path, output_of, succeeds, succeeds_within},
    dirs::Dirs,
    setup::write_beside,
};

const VERSION: &str = "0.20.2";

/// A repository that does not answer in this time is called out of reach.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

/// Runs cargo-deny by `deny.toml`. Advisories are checked where their database can be fetched, and it is said where
/// it cannot: a machine with nothing but a package registry in reach must still be able to run everything else.
///
/// # Errors
/// Fails when cargo-deny cannot be installed or started. A refused dependency is `Ok(false)`.
pub(crate) fn check(dirs: &Dirs) -> Result<bool> {
    let program = ensure(dirs)?;
    let deny = |args: &[&str]| {
        // Not `cargo deny`: cargo would look for the program on PATH only.
        let mut command = for_cargo(dirs, program.as_os_str());
        // Warnings are a page of duplicate versions each time; who wants them calls cargo-deny by hand.
        command.args(["--log-level", "error"]).args(args);
        command
    };
    let mut passed = succeeds(&mut deny(&["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    if succeeds_within(&mut deny(&["fetch", "db"]), FETCH_LIMIT) {
        passed &= succeeds(&mut deny(&["check", "--disable-fetch", "advisories"]))?;
    } else {
        eprintln!("The database of security advisories is out of reach from here: advisories were NOT checked.");
    }
    Ok(passed)
}

/// The one on `PATH`, or our own of a fixed version.
fn ensure(dirs: &Dirs) -> Result<PathBuf> {
    if let Some(found) = on_path("cargo-deny") {
        return Ok(found);
    }
    let program = dirs.tools.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    let stamp = dirs.tools.join("cargo-deny.txt");
    let current = fs::read_to_string(&stamp).is_ok_and(|text| text.trim() == VERSION);
    if current && output_of(Command::new(&program).arg("--version")).is_some() {
        return Ok(program);
    }
    // Unoptimised: it compiles in a quarter of the time and still checks in seconds.
    let mut install = cargo(dirs, &["install", "cargo-deny", "--version", VERSION, "--locked", "--debug", "--force"]);
    install.arg("--quiet").arg("--root").arg(&dirs.tools);
    install.env("CARGO_TARGET_DIR", dirs.tools.join("build")).env("CARGO_PROFILE_DEV_DEBUG", "false");
    must(&mut install)?;
    write_beside(&stamp, VERSION)?;
    // 400 MB that nobody needs again. Where they cannot be removed they only take room.
    let _ = fs::remove_dir_all(dirs.tools.join("build"));
    Ok(program)
}

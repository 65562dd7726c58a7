//! Runs a fuzzer: libFuzzer on one of the targets of `engine/serve/fuzz`, with our own crates watched.
//!
//! Only our crates are compiled for it: a fuzzer follows what it can see, and what it must see is ours. The libraries
//! are those of everyday work, so nothing heavy is built again; what of theirs is generic is compiled in our crates and
//! seen with them.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, must, succeeds},
    dirs::Dirs,
    setup::{self, Purpose},
};

/// The targets, as their programs are named.
const TARGETS: [&str; 6] = ["package", "onnx", "oip_json", "oip_binary", "contracts", "grpc"];
/// Set where this program stands before the compiler.
const WRAPS: &str = "ATHANOR_XTASK_WRAPS_RUSTC";
/// What lets libFuzzer see which ways were taken and what was compared.
const WATCHED: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
/// How long a target runs where nothing is said.
const SECONDS: u32 = 60;

/// Builds a target and lets libFuzzer run it for so many seconds, on the seeds and on what earlier runs have found.
///
/// # Errors
/// Fails for a target that is not there, or where it cannot be built. A fault that was found is the exit status, and the
/// bytes that show it are kept.
pub(crate) fn fuzz(dirs: &Dirs, target: &str, seconds: Option<&str>) -> Result<ExitCode> {
    let seconds = seconds.map_or(Ok(SECONDS), str::parse).context("seconds are a whole number")?;
    if !TARGETS.contains(&target) {
        bail!("there is no target {target}: {}", TARGETS.join(", "));
    }
    setup::ensure(dirs, Purpose::Build)?;
    let program = format!("fuzz_{target}");
    let mut build = cargo(dirs, &["build", "--workspace", "--features", "athanor-fuzz/libfuzzer", "--bin", &program]);
    let this = env::current_exe().context("cannot find this program")?;
    must(build.env("RUSTC_WORKSPACE_WRAPPER", this).env(WRAPS, "1"))?;

    let folder = dirs.target.join("fuzz").join(target);
    let (corpus, seeds, found) = (folder.join("corpus"), folder.join("seeds"), folder.join("found"));
    for folder in [&corpus, &seeds, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut run = Command::new(dirs.built("debug", &program));
    run.current_dir(&folder).env("ATHANOR_FUZZ_SEEDS", &seeds).arg(&corpus).arg(&seeds);
    run.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
    run.args(["-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1"]);
    if succeeds(&mut run)? {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{target}: a fault was found; its bytes are in {}", found.display());
    Ok(ExitCode::FAILURE)
}

/// Stands before the compiler where cargo was told so: the same call, and for crates of ours the flags of fuzzing.
/// `None` where this program was started by itself.
pub(crate) fn as_compiler(args: &[String]) -> Option<Result<ExitCode>> {
    env::var_os(WRAPS)?;
    let (compiler, args) = args.split_first()?;
    Some(compile(Path::new(compiler), args))
}

fn compile(compiler: &Path, args: &[String]) -> Result<ExitCode> {
    let mut command = Command::new(compiler);
    command.args(args);
    if is_watched(args) {
        command.args(WATCHED);
    }
    let status = command.status().with_context(|| format!("cannot start {}", compiler.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Whether a call compiles a crate that runs in the fuzzer: not a build script, not a question to the compiler.
fn is_watched(args: &[String]) -> bool {
    let name = args.iter().skip_while(|arg| *arg != "--crate-name").nth(1);
    name.is_some_and(|name| name.starts_with("athanor_") || name.starts_with("fuzz_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_in_the_fuzzer_is_watched() {
        let watched = |words: &str| is_watched(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(watched("--crate-name athanor_learn --edition=2024 src/lib.rs"));
        assert!(watched("--crate-name fuzz_grpc targets/grpc.rs"));
        assert!(!watched("--crate-name build_script_build build.rs"));
        assert!(!watched("- --crate-name ___ --print=file-names"));
        assert!(!watched("-vV"));
    }

    #[test]
    fn every_target_is_a_program_of_the_crate() {
        // Tests run in their package's folder.
        let manifest = fs::read_to_string("../engine/serve/fuzz/Cargo.toml").unwrap();
        let programs = manifest.lines().filter_map(|line| line.strip_prefix("name = \"fuzz_"));
        assert_eq!(programs.map(|name| name.trim_end_matches('"')).collect::<Vec<_>>(), TARGETS);
    }
}

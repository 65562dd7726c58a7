//! The tasks that a person or a machine asks for by name.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};

use crate::{
    bench,
    command::{build_variables, cargo, lines_of, must, output_of, succeeds},
    deny,
    dirs::Dirs,
    peers,
    report::{self, Conditions, Measured},
    setup::{self, Purpose},
    stages::{Stages, Tally},
    ui,
};

/// Installs everything that any task needs.
///
/// # Errors
/// Fails when something required is missing and cannot be installed.
pub(crate) fn setup(dirs: &Dirs) -> Result<ExitCode> {
    setup::ensure(dirs, Purpose::Test)?;
    setup::ensure_components()?;
    eprintln!("Set up. Build folder: {}", dirs.target.display());
    Ok(ExitCode::SUCCESS)
}

/// Prints shell assignments under which plain `cargo build --workspace` uses what xtask has built.
///
/// # Errors
/// None today; the signature is that of every task.
pub(crate) fn env(dirs: &Dirs) -> Result<ExitCode> {
    for (name, value) in build_variables(dirs) {
        println!("export {name}='{}'", value.to_string_lossy().replace('\'', r"'\''"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds everything and opens the window; where there is no screen, the demo shows what there is to see without one.
///
/// # Errors
/// Fails when set-up or the build fails.
pub(crate) fn run(dirs: &Dirs, args: &[String]) -> Result<ExitCode> {
    if !has_screen(env::consts::OS, |name| env::var_os(name)) {
        eprintln!("There is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set): running the demo instead.");
        eprintln!("`athanor serve` shows the same window in a browser.");
        return demo(dirs, &[]);
    }
    build_all(dirs, "debug")?;
    let mut window = Command::new(dirs.built("debug", "athanor-desktop"));
    window.args(args);
    become_program(window)
}

/// Builds everything and becomes `athanor demo ARGS`.
///
/// # Errors
/// Fails when set-up or the build fails.
pub(crate) fn demo(dirs: &Dirs, args: &[String]) -> Result<ExitCode> {
    build_all(dirs, "debug")?;
    let mut demo = Command::new(dirs.built("debug", "athanor"));
    demo.arg("demo").args(args);
    become_program(demo)
}

/// Builds the user interface.
///
/// # Errors
/// Fails when set-up or the build fails.
pub(crate) fn ui(dirs: &Dirs) -> Result<ExitCode> {
    setup::ensure(dirs, Purpose::Build)?;
    let dist = ui::build(dirs)?;
    println!("built: {}", dist.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds all programs with the user interface in and beside them.
///
/// # Errors
/// Fails when set-up or the build fails.
pub(crate) fn build_all(dirs: &Dirs, profile: &str) -> Result<()> {
    setup::ensure(dirs, Purpose::Build)?;
    ui::build(dirs)?;
    // The whole workspace, although one program would do: features of shared dependencies are joined over all that is
    // built, and a smaller choice would compile Polars and Burn a second time with fewer.
    let mut build = cargo(dirs, &["build", "--workspace", "--bins"]);
    if profile == "release" {
        build.arg("--release");
    }
    must(&mut build)?;
    ui::install(dirs, profile)
}

/// Whether a window can be shown.
fn has_screen(os: &str, var: impl Fn(&str) -> Option<OsString>) -> bool {
    os != "linux" || ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| var(name).is_some_and(|it| !it.is_empty()))
}

/// Gives this process to the program, so that signals and the exit status are the program's own.
#[cfg(unix)]
fn become_program(mut program: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(program.exec()).with_context(|| format!("cannot start {}", program.get_program().to_string_lossy()))
}

/// Runs the program and passes its exit status on.
#[cfg(not(unix))]
fn become_program(mut program: Command) -> Result<ExitCode> {
    let status = program.status().context("cannot start athanor")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The checks that run no product code: format, lints, docs, dependency rules.
///
/// # Errors
/// Fails when set-up fails; a check that fails is the exit status.
pub(crate) fn check(dirs: &Dirs) -> Result<ExitCode> {
    let mut stages = Stages::default();
    if stages.run("setup", || ready(dirs, Purpose::Build)) {
        // Before the lints: the window's program is compiled around what this makes.
        stages.run("ui", || ui::build(dirs).map(|_| Tally::one(true)));
        source_checks(dirs, &mut stages);
        stages.run("tidy", || tests(cargo(dirs, &["test", "--workspace", "--test", "tidy"])));
    }
    Ok(finish(&stages))
}

/// Everything that continuous integration checks, the cheapest first.
///
/// # Errors
/// None: every failure is a stage of the table that ends the output.
pub(crate) fn test(dirs: &Dirs) -> Result<ExitCode> {
    let mut stages = Stages::default();
    if !stages.run("setup", || ready(dirs, Purpose::Test)) {
        return Ok(finish(&stages));
    }
    let has_ui =
        stages.run("ui", || ui::build(dirs).and_then(|_| ui::install(dirs, "debug")).map(|()| Tally::one(true)));
    source_checks(dirs, &mut stages);
    stages.run("deny", || deny::check(dirs).map(Tally::one));
    if has_ui && stages.run("build", || one(&mut cargo(dirs, &["build", "--workspace", "--all-targets"]))) {
        stages.run("tests", || {
            // One call for all, unit, integration, end to end and documentation: every package is built with the
            // features that the build above has used.
            let mut command = cargo(dirs, &["test", "--workspace", "--no-fail-fast"]);
            let runtime = RuntimeDir::new()?;
            command.envs(test_variables(dirs, runtime.path()));
            tests(command)
        });
    } else {
        stages.skip("tests");
    }
    Ok(finish(&stages))
}

fn ready(dirs: &Dirs, purpose: Purpose) -> Result<Tally> {
    setup::ensure(dirs, purpose)?;
    setup::ensure_components()?;
    Ok(Tally::one(true))
}

fn source_checks(dirs: &Dirs, stages: &mut Stages) {
    stages.run("format", || one(&mut cargo(dirs, &["fmt", "--all", "--check"])));
    // In the same build folder on purpose: what is checked and what is built have separate files in it, and the C++
    // of LightGBM and SQLite is compiled once for both.
    stages
        .run("lint", || one(&mut cargo(dirs, &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])));
    // Debian's compiler, the one where rustup has no target, has no lints that fit it.
    if ui::toolchain_has_target() {
        stages.run("lint ui", || one(cargo(dirs, ui::LINT).env("CARGO_TARGET_DIR", dirs.target.join("wasm-ui"))));
    }
    stages.run("docs", || {
        let mut command = cargo(dirs, &["doc", "--workspace", "--no-deps", "--document-private-items"]);
        one(command.env("RUSTDOCFLAGS", "--deny rustdoc::broken_intra_doc_links"))
    });
}

fn one(command: &mut Command) -> Result<Tally> {
    succeeds(command).map(Tally::one)
}

/// Runs a `cargo test` command, shows its output as it comes, and adds up what the test programs say.
fn tests(mut command: Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let ok = lines_of(&mut command, |line| {
        println!("{line}");
        tally.add_line(line);
    })?;
    // A test program that crashes, or does not compile, prints no result: the failure must count all the same.
    if !ok && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

fn finish(stages: &Stages) -> ExitCode {
    println!("{}", stages.table());
    if stages.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What tests may rely on.
fn test_variables(dirs: &Dirs, runtime_dir: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut variables = vec![
        ("XDG_RUNTIME_DIR", runtime_dir.to_owned()),
        ("ATHANOR_TEST_PYTHON", dirs.venv_program("python")),
        ("ATHANOR_OPENAPI_PYTHON", setup::openapi_python(dirs)),
    ];
    // With the software device alone, a test on the GPU path gives the same numbers on every machine, and a machine
    // that has the device may not skip it.
    if let Some(icd) = setup::lavapipe() {
        // The second name is that of loaders before 1.3.207.
        variables.push(("VK_ICD_FILENAMES", icd.clone()));
        variables.push(("VK_DRIVER_FILES", icd));
        variables.push(("ATHANOR_REQUIRE_WEBGPU", "1".into()));
    }
    // Where setup brings the tools, a test of the window may not be left out.
    if cfg!(target_os = "linux") {
        variables.push(("ATHANOR_REQUIRE_WINDOW", "1".into()));
    }
    variables
}

/// A folder that only we can read, as Vulkan drivers want it; removed in the end.
struct RuntimeDir(PathBuf);

impl RuntimeDir {
    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("athanor-runtime-{}", std::process::id()));
        // One of that name is left over from a process that had our number and was killed.
        if let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot clear {}", path.display()));
        }
        #[allow(unused_mut, reason = "only Unix sets a mode")]
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder now, the system removes later.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the named benchmarks, or all, and writes `docs/benchmarks.md`.
///
/// # Errors
/// Fails when a benchmark cannot be built or run, or the document cannot be written.
/// A figure outside its limit is the exit status, after everything is written.
pub(crate) fn bench(dirs: &Dirs, args: &[String]) -> Result<ExitCode> {
    let (flags, names): (Vec<String>, Vec<String>) = args.iter().cloned().partition(|arg| arg.starts_with('-'));
    let mut profile = "debug";
    for flag in &flags {
        match flag.as_str() {
            "--release" => profile = "release",
            "--list" => {
                for bench in bench::BENCHES {
                    println!("{:<12} {}", bench.name, bench.title);
                }
                return Ok(ExitCode::SUCCESS);
            }
            other => bail!("`{other}` is not an option of bench; there are --release and --list"),
        }
    }
    let chosen = bench::chosen(&names)?;
    setup::ensure(dirs, Purpose::Build)?;
    ui::build(dirs)?;
    let mut build = cargo(dirs, &["build", "--workspace", "--bins", "--examples"]);
    if profile == "release" {
        build.arg("--release");
    }
    must(&mut build)?;
    let conditions =
        Conditions { day: report::day_of(SystemTime::now()), commit: commit(dirs), profile, machine: bench::machine() };
    let path = dirs.root.join("docs/benchmarks.md");
    let mut missed = Vec::new();
    for bench in chosen {
        let mut command = bench::command_of(bench, dirs, profile);
        if ["peers", "batch"].contains(&bench.name) {
            command.envs(peers::ensure(dirs)?);
        }
        let figures = bench::figures(&mut command).with_context(|| format!("benchmark {}", bench.name))?;
        let measured = Measured { bench, figures };
        // Written after each, so that one that fails later does not lose the figures of the others.
        let document = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        setup::write_beside(&path, &report::with_section(&document, &measured, &conditions))?;
        missed.extend(measured.missed());
    }
    for missed in &missed {
        eprintln!("missed: {missed}");
    }
    println!("written: {}", path.display());
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn commit(dirs: &Dirs) -> Option<String> {
    let git = |args: &[&str]| output_of(Command::new("git").current_dir(&dirs.root).args(args));
    let hash = git(&["rev-parse", "--short", "HEAD"])?;
    // The document itself changes with each run, and says nothing about the code.
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs/benchmarks.md"]).is_some_and(|it| !it.is_empty());
    Some(if changed { format!("{hash} with uncommitted changes") } else { hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_test_program_that_dies_counts_as_a_failure() {
        let run = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            tests(command).unwrap()
        };
        let line = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'";
        assert_eq!(run(line), Tally { passed: 2, failed: 0 });
        assert_eq!(run(&format!("{line}; kill -9 $$")), Tally { passed: 2, failed: 1 });
        assert_eq!(run("exit 101"), Tally { passed: 0, failed: 1 });
        let failed = "echo 'test result: FAILED. 1 passed; 3 failed; 0 ignored'; exit 101";
        assert_eq!(run(failed), Tally { passed: 1, failed: 3 });
    }

    #[test]
    fn a_window_needs_a_screen_on_linux_only() {
        let with = |os: &str, set: &[(&str, &str)]| {
            has_screen(os, |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
        };
        assert!(with("linux", &[("DISPLAY", ":0")]) && with("linux", &[("WAYLAND_DISPLAY", "wayland-0")]));
        assert!(!with("linux", &[]) && !with("linux", &[("DISPLAY", "")]));
        assert!(with("macos", &[]) && with("windows", &[]));
    }

    #[cfg(unix)]
    #[test]
    fn the_runtime_folder_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt;
        let dir = RuntimeDir::new().unwrap();
        let path = dir.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(dir);
        assert!(!path.exists());
    }
}

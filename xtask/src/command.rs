//! Starting other programs: with what in their environment, and what is kept of their output.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::dirs::Dirs;

/// Cargo as it would run when typed by hand, on the project's build folder.
pub(crate) fn cargo(dirs: &Dirs, args: &[&str]) -> Command {
    let mut command = for_cargo(dirs, &env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// A program that is cargo or calls it.
///
/// Cargo gives the programs that it runs variables about *their* package. Build scripts of dependencies watch some of
/// these names (ring watches `CARGO_PKG_NAME`), so passing ours on would rebuild them and all that stands on them.
pub(crate) fn for_cargo(dirs: &Dirs, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&dirs.root).envs(build_variables(dirs));
    for (name, _) in env::vars_os().filter(|(name, _)| is_package_variable(name)) {
        command.env_remove(name);
    }
    command
}

/// What differs from a plain cargo call. A build script that builds C++ reruns when `CMAKE` changes, so it is always
/// the same program, also where the system's own would be new enough.
pub(crate) fn build_variables(dirs: &Dirs) -> [(&'static str, OsString); 2] {
    [("CARGO_TARGET_DIR", dirs.target.clone().into()), ("CMAKE", dirs.venv_program("cmake").into())]
}

fn is_package_variable(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || matches!(&*name, "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR")
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains(char::is_whitespace) { format!("'{word}'") } else { word.into_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Shows the command, runs it with our terminal, and says whether it succeeded.
///
/// # Errors
/// Fails when the program cannot be started.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    eprintln!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    Ok(status.success())
}

/// Shows the command and runs it with our terminal.
///
/// # Errors
/// Fails when the program cannot be started or ends with another status than zero.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    if !succeeds(command)? {
        bail!("`{}` failed", shown(command));
    }
    Ok(())
}

/// Runs quietly and gives back standard output, or `None` where the program is missing or fails.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Shows the command and runs it; every line of its standard output is passed to `line` as it comes.
/// Standard error stays on our terminal. Gives back whether the program succeeded.
///
/// # Errors
/// Fails when the program cannot be started or its output cannot be read.
pub(crate) fn lines_of(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    eprintln!("$ {}", shown(command));
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).context("cannot read the program's output")? > 0 {
            line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
            bytes.clear();
        }
    }
    Ok(child.wait().with_context(|| format!("cannot wait for {}", shown(command)))?.success())
}

/// Runs quietly and gives up after `limit`: true only when the program succeeded in time.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            // Past its time, or not to be waited for: either way there is no answer, and nothing may stay behind.
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// The program's path if one of that name is on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&file)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_about_our_own_package_are_kept_from_cargo() {
        let hidden = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION_PRE", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_LINKS"];
        let passed = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE", "PATH", "RUSTFLAGS"];
        for name in hidden {
            assert!(is_package_variable(OsStr::new(name)), "{name}");
        }
        for name in passed {
            assert!(!is_package_variable(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["test", "two words", ""]);
        assert_eq!(shown(&command), "cargo test 'two words' ''");
    }

    #[cfg(unix)]
    #[test]
    fn output_arrives_line_by_line_and_the_status_is_kept() {
        let mut lines = Vec::new();
        let ok =
            lines_of(Command::new("sh").args(["-c", "printf 'a\\nb'; exit 3"]), |line| lines.push(line.to_owned()));
        assert_eq!((ok.unwrap(), lines), (false, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_hangs_is_given_up() {
        assert!(!succeeds_within(Command::new("sleep").arg("600"), Duration::from_millis(20)));
        assert!(succeeds_within(&mut Command::new("true"), Duration::from_secs(60)));
        assert!(!succeeds_within(&mut Command::new("no-such-program-anywhere"), Duration::from_secs(60)));
    }
}

//! Where things lie: the checkout, the cache folder, the build folder, the tools.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The folders that every task uses. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dirs {
    /// The checkout: the folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder for everything but xtask itself.
    pub(crate) target: PathBuf,
    /// Tools that set-up installs for this project alone.
    pub(crate) tools: PathBuf,
}

impl Dirs {
    /// Finds the folders from the environment.
    ///
    /// # Errors
    /// Fails outside a checkout, or where neither a cache folder nor a home folder is known.
    pub(crate) fn find() -> Result<Self> {
        let here = env::current_dir().context("cannot read the current folder")?;
        let root = workspace_root(env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), &here)?;
        let cache = cache_dir(env::consts::OS, |name| env::var_os(name))?.join("athanor");
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => here.join(dir),
            _ => cache.join("target"),
        };
        Ok(Self { root, target, tools: cache.join("tools") })
    }

    /// The project's Python environment.
    pub(crate) fn venv(&self) -> PathBuf {
        self.tools.join("venv")
    }

    /// A program of the project's Python environment.
    pub(crate) fn venv_program(&self, name: &str) -> PathBuf {
        program_in(&self.venv(), name)
    }

    /// A program that the workspace builds in the given profile's folder.
    pub(crate) fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }
}

/// A program of a Python environment.
pub(crate) fn program_in(venv: &Path, name: &str) -> PathBuf {
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    venv.join(folder).join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// The workspace's folder: the parent of xtask's own where cargo started us, else the nearest one upwards.
fn workspace_root(manifest_dir: Option<PathBuf>, here: &Path) -> Result<PathBuf> {
    // Read at run time: the path known at compile time is that of whichever checkout filled a shared build folder.
    let start = manifest_dir.as_deref().unwrap_or(here);
    for folder in start.ancestors() {
        let manifest = folder.join("Cargo.toml");
        if std::fs::read_to_string(&manifest).is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]")) {
            return Ok(folder.to_path_buf());
        }
    }
    bail!("no workspace in or above {}: start this inside a checkout", start.display())
}

/// The user's cache folder by the habits of the system, from an environment that is passed in.
fn cache_dir(os: &str, var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let absolute = |name: &str| var(name).map(PathBuf::from).filter(|path| path.has_root());
    let home = || absolute("HOME").context("HOME is not set: set it, or set XDG_CACHE_HOME");
    if let Some(dir) = absolute("XDG_CACHE_HOME") {
        return Ok(dir);
    }
    match os {
        "windows" => absolute("LOCALAPPDATA").context("LOCALAPPDATA is not set"),
        "macos" => Ok(home()?.join("Library/Caches")),
        _ => Ok(home()?.join(".cache")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_cache(os: &str, vars: &[(&str, &str)], expect: Option<&str>) {
        let found = cache_dir(os, |name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)));
        assert_eq!(found.ok(), expect.map(PathBuf::from), "{os} {vars:?}");
    }

    #[test]
    fn the_cache_folder_follows_the_system() {
        check_cache("linux", &[("HOME", "/home/a")], Some("/home/a/.cache"));
        check_cache("linux", &[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/var/c")], Some("/var/c"));
        // The XDG specification: a relative path is invalid and must be ignored.
        check_cache("linux", &[("HOME", "/home/a"), ("XDG_CACHE_HOME", "c")], Some("/home/a/.cache"));
        check_cache("macos", &[("HOME", "/Users/a")], Some("/Users/a/Library/Caches"));
        check_cache("windows", &[("LOCALAPPDATA", "/l")], Some("/l"));
        check_cache("windows", &[("HOME", "/home/a")], None);
        check_cache("linux", &[], None);
    }

    #[test]
    fn the_root_is_found_from_anywhere_inside() {
        // Not what was compiled in: that may be another checkout's, since they share a build folder.
        let root = workspace_root(None, &env::current_dir().unwrap()).unwrap();
        assert!(root.join("xtask/Cargo.toml").exists(), "{}", root.display());
        assert_eq!(workspace_root(Some(root.join("xtask")), Path::new("/")).unwrap(), root);
        assert!(workspace_root(None, Path::new("/")).is_err());
    }
}

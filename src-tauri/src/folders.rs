//! Where settings and new workspaces go, by the habits of the system.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure};

/// The two folders that a desk wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folders {
    /// Settings, and the list of recent workspaces.
    pub(crate) config: PathBuf,
    /// New workspaces.
    pub(crate) workspaces: PathBuf,
}

/// Finds them from the environment; nothing is made.
///
/// # Errors
/// `InvalidArgument` where neither the variables of ours nor a home folder is set.
pub(crate) fn find() -> Result<Folders, Failure> {
    find_from(std::env::consts::OS, |name| std::env::var_os(name), Path::is_dir)
}

fn find_from(
    os: &str,
    var: impl Fn(&str) -> Option<OsString>,
    is_folder: impl Fn(&Path) -> bool,
) -> Result<Folders, Failure> {
    let set = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name: &str| set(name).filter(|path| path.has_root());
    let home = || {
        absolute(if os == "windows" { "USERPROFILE" } else { "HOME" }).ok_or_else(|| {
            Failure::new(Code::InvalidArgument, "no home folder is known")
                .hint("set HOME, or ATHANOR_CONFIG and ATHANOR_HOME")
        })
    };
    let config = match (set("ATHANOR_CONFIG"), os) {
        (Some(folder), _) => folder,
        (None, "windows") => {
            absolute("APPDATA").map_or_else(|| Ok::<_, Failure>(home()?.join("AppData/Roaming")), Ok)?.join("Athanor")
        }
        (None, "macos") => home()?.join("Library/Application Support/Athanor"),
        (None, _) => {
            absolute("XDG_CONFIG_HOME").map_or_else(|| Ok::<_, Failure>(home()?.join(".config")), Ok)?.join("athanor")
        }
    };
    let workspaces = match set("ATHANOR_HOME") {
        Some(folder) => folder,
        None => {
            let home = home()?;
            let documents = home.join("Documents");
            if is_folder(&documents) { documents } else { home }.join("Athanor")
        }
    };
    Ok(Folders { config, workspaces })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(os: &str, vars: &[(&str, &str)], documents: bool, expect: Option<(&str, &str)>) {
        let var = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let found = find_from(os, var, |_| documents).ok();
        let expect =
            expect.map(|(config, workspaces)| Folders { config: config.into(), workspaces: workspaces.into() });
        assert_eq!(found, expect, "{os} {vars:?}");
    }

    #[test]
    fn folders_follow_the_system() {
        let home = ("HOME", "/h");
        check("linux", &[home], false, Some(("/h/.config/athanor", "/h/Athanor")));
        check("linux", &[home], true, Some(("/h/.config/athanor", "/h/Documents/Athanor")));
        check("linux", &[home, ("XDG_CONFIG_HOME", "/x")], false, Some(("/x/athanor", "/h/Athanor")));
        // The XDG specification: a relative path is invalid and must be ignored.
        check("linux", &[home, ("XDG_CONFIG_HOME", "x")], false, Some(("/h/.config/athanor", "/h/Athanor")));
        check("macos", &[home], false, Some(("/h/Library/Application Support/Athanor", "/h/Athanor")));
        check(
            "windows",
            &[("USERPROFILE", "/u"), ("APPDATA", "/a")],
            true,
            Some(("/a/Athanor", "/u/Documents/Athanor")),
        );
        check("windows", &[("USERPROFILE", "/u")], false, Some(("/u/AppData/Roaming/Athanor", "/u/Athanor")));
    }

    #[test]
    fn variables_of_ours_come_first_and_need_no_home() {
        let ours = [("ATHANOR_CONFIG", "/c"), ("ATHANOR_HOME", "/w")];
        check("linux", &ours, true, Some(("/c", "/w")));
        check("linux", &[ours[0]], true, None);
        check("linux", &[("HOME", "/h"), ("ATHANOR_CONFIG", "")], false, Some(("/h/.config/athanor", "/h/Athanor")));
        check("linux", &[], false, None);
    }
}

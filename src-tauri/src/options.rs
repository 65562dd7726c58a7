//! What is asked for on the command line.

use std::{ffi::OsString, path::PathBuf};

const USAGE: &str = "\
athanor-desktop [WORKSPACE]

Opens Athanor's window, with this workspace where one is named (it is made where it is not there).

  -V, --version   print the version
  -h, --help      print this

ATHANOR_CONFIG is the folder of the settings, ATHANOR_HOME the one in which new workspaces are made.
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Open the window.
    Window {
        /// The workspace to begin with.
        workspace: Option<PathBuf>,
    },
    /// Print this, and that is all.
    Say(String),
    /// The call is wrong; why.
    Wrong(String),
}

/// Reads the arguments that follow the program's name.
pub(crate) fn start(args: &[OsString]) -> Start {
    match args {
        [] => Start::Window { workspace: None },
        [only] if only == "--version" || only == "-V" => {
            Start::Say(format!("athanor-desktop {}\n", env!("CARGO_PKG_VERSION")))
        }
        [only] if only == "--help" || only == "-h" => Start::Say(USAGE.to_owned()),
        [only] if only.is_empty() || only.to_string_lossy().starts_with('-') => {
            Start::Wrong(format!("athanor-desktop: {only:?} is not an option\n\n{USAGE}"))
        }
        [only] => Start::Window { workspace: Some(PathBuf::from(only)) },
        _ => Start::Wrong(format!("athanor-desktop: one workspace at most\n\n{USAGE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(args: &[&str]) -> Start {
        start(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_workspace_is_a_path_and_nothing_else() {
        assert_eq!(started(&[]), Start::Window { workspace: None });
        assert_eq!(started(&["a b"]), Start::Window { workspace: Some("a b".into()) });
        for wrong in [&["--nonsense"] as &[&str], &["-x"], &[""], &["a", "b"], &["a", "--version"]] {
            assert!(matches!(started(wrong), Start::Wrong(why) if why.contains("WORKSPACE")), "{wrong:?}");
        }
    }

    #[test]
    fn version_and_help_open_no_window() {
        assert!(matches!(started(&["--version"]), Start::Say(text) if text.starts_with("athanor-desktop 0.")));
        assert!(matches!(started(&["-h"]), Start::Say(text) if text.contains("ATHANOR_HOME")));
    }
}

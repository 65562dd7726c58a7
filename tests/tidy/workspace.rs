//! The facts that the rules are about: packages from `cargo metadata`, files from the checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use cargo_metadata::{Metadata, MetadataCommand};

/// A text file of the checkout.
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    /// Its size on disk.
    pub(crate) n_bytes: u64,
    /// Its text; empty for files that are not UTF-8.
    pub(crate) text: String,
}

static METADATA: LazyLock<Result<Metadata, String>> = LazyLock::new(|| {
    // Of another platform's dependencies nothing need be on this machine, and nothing is fetched for this test.
    let target = current_target();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--offline".to_owned(), "--locked".to_owned(), "--filter-platform".to_owned(), target])
        .exec()
        .map_err(|error| error.to_string())
});

/// The packages with all their dependencies on this platform, as the lock file has them.
pub(crate) fn metadata() -> &'static Metadata {
    METADATA.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// Every file that belongs to the project.
pub(crate) static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let mut files = Vec::new();
    walk(&root(), &mut files);
    files.sort();
    let source = |path: &PathBuf| {
        let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        let bytes = fs::read(path).unwrap();
        Source { path: relative, n_bytes: bytes.len() as u64, text: String::from_utf8(bytes).unwrap_or_default() }
    };
    files.iter().map(source).collect()
});

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    // At run time, because a build folder may be shared between checkouts.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| std::env::current_dir().unwrap(), PathBuf::from);
    let is_root = |folder: &&Path| {
        fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.lines().any(|line| line == "[workspace]"))
    };
    here.ancestors().find(is_root).unwrap().to_path_buf()
}

/// The text of a file of the project.
pub(crate) fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().unwrap();
        // Build outputs and other people's folders; of the hidden ones these two are the project's.
        let built = ["target", "dist", "gen"].contains(&name.as_str());
        let foreign = built || name.starts_with('.') && name != ".cargo" && name != ".ci";
        if kind.is_dir() && !foreign {
            walk(&entry.path(), into);
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
}

fn current_target() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

//! Where the loader would find the shared libraries of a program, on the machine that makes the image.
//!
//! After ld.so(8): the folders that the file names itself, then those of `/etc/ld.so.conf`, then its own. The cache that
//! the loader has of them and `LD_LIBRARY_PATH` are not looked at: an image must not depend on who makes it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure};

use super::elf::{AARCH64, Elf, X86_64};
use crate::error::{EngineError, Result};

/// The loader's own configuration.
const CONFIG: &str = "/etc/ld.so.conf";
/// Deepest chain of configuration files that include others, most folders, most libraries.
const MAX_DEPTH: usize = 8;
const MAX_FOLDERS: usize = 1_000;
const MAX_LIBRARIES: usize = 500;

/// The folders of the loader itself, Debian's names first.
fn own_folders(machine: u16) -> &'static [&'static str] {
    match machine {
        X86_64 => &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"],
        AARCH64 => {
            &["/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
        }
        _ => &["/lib", "/usr/lib"],
    }
}

/// All libraries that a program needs, with those that they need themselves, by name.
///
/// # Errors
/// Names the library that is not on this machine.
pub(crate) fn of_program(path: &Path, elf: &Elf) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = configured(Path::new(CONFIG), 0);
    folders.extend(own_folders(elf.machine).iter().map(PathBuf::from));
    // The loader is in memory already when a library asks for it by name.
    let loader = elf.interpreter.as_deref().and_then(|loader| Path::new(loader).file_name()).map(|it| it.to_owned());
    let is_loader = |name: &str| loader.as_deref().is_some_and(|loader| loader == name);
    collect(path, elf, &folders, &is_loader)
}

fn collect(
    path: &Path,
    elf: &Elf,
    folders: &[PathBuf],
    is_loader: &dyn Fn(&str) -> bool,
) -> Result<Vec<(String, PathBuf)>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let mut queue = VecDeque::from([(path.to_owned(), elf.clone())]);
    while let Some((by, elf)) = queue.pop_front() {
        let own = elf.search.iter().filter_map(|folder| expand(folder, &by));
        let search: Vec<PathBuf> = own.chain(folders.iter().cloned()).collect();
        for name in &elf.needed {
            if is_loader(name) || !asked.insert(name.clone()) {
                continue;
            }
            if asked.len() > MAX_LIBRARIES {
                let message = format!("{} needs more than {MAX_LIBRARIES} libraries", path.display());
                return Err(EngineError::new(Code::TooLarge, message));
            }
            let (place, library) = find(name, elf.machine, &search).ok_or_else(|| {
                let message = format!("{name} is not on this machine, and {} needs it", by.display());
                let hint = "install it, or name a static build of athanor-serve with --program ('cargo xtask slim')";
                EngineError::Failure(Failure::new(Code::NotFound, message).on(name.clone()).hint(hint))
            })?;
            found.insert(name.clone(), place.clone());
            queue.push_back((place, library));
        }
    }
    Ok(found.into_iter().collect())
}

/// The first file of that name that is a library for the same processor, as the loader passes others over.
fn find(name: &str, machine: u16, search: &[PathBuf]) -> Option<(PathBuf, Elf)> {
    // A name with a separator is a path to the loader. None of ours has one, and it could lead anywhere.
    if name.is_empty() || name.contains('/') {
        return None;
    }
    search.iter().map(|folder| folder.join(name)).find_map(|place| {
        let elf = Elf::open(&place).ok().filter(|elf| elf.machine == machine)?;
        Some((place, elf))
    })
}

/// A folder as a file spells it; `$ORIGIN` is the file's own.
fn expand(folder: &str, of: &Path) -> Option<PathBuf> {
    let origin = of.parent()?.to_str()?;
    let folder = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
    // Other words with a dollar depend on the machine that runs it.
    let is_usable = folder.starts_with('/') && !folder.contains('$');
    is_usable.then(|| PathBuf::from(folder))
}

/// The folders of a configuration file and of those that it includes.
fn configured(path: &Path, depth: usize) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string(path) else { return vec![] };
    let mut folders = vec![];
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(pattern) = line.strip_prefix("include ") {
            for file in matching(pattern.trim()).into_iter().filter(|_| depth < MAX_DEPTH) {
                folders.extend(configured(&file, depth + 1));
            }
        } else if line.starts_with('/') {
            folders.push(PathBuf::from(line));
        }
        if folders.len() > MAX_FOLDERS {
            break;
        }
    }
    folders
}

/// Files by a pattern with at most one star, in its last part: all that is written there.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let Some((folder, prefix)) = before.rsplit_once('/') else { return vec![] };
    let folder = if folder.is_empty() { "/" } else { folder };
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= prefix.len() + after.len() && name.starts_with(prefix) && name.ends_with(after)
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::elf::tests::program, *};

    #[test]
    fn libraries_of_libraries_are_found_in_the_loaders_order() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        };
        let main = write("bin/main", &program(X86_64, Some("/lib64/ld-x.so"), &["a.so", "ld-x.so"], "$ORIGIN/own"));
        let a = write("bin/own/a.so", &program(X86_64, None, &["b.so", "a.so"], ""));
        write("one/a.so", &program(X86_64, None, &[], ""));
        write("one/b.so", &program(AARCH64, None, &[], ""));
        let b = write("two/b.so", &program(X86_64, None, &["ld-x.so"], ""));
        let folders = [root.path().join("one"), root.path().join("two")];
        let elf = Elf::open(&main).unwrap();
        let found = collect(&main, &elf, &folders, &|name| name == "ld-x.so").unwrap();
        assert_eq!(found, [("a.so".to_owned(), a), ("b.so".to_owned(), b.clone())]);
        fs::remove_file(b).unwrap();
        let missing = collect(&main, &elf, &folders, &|name| name == "ld-x.so").unwrap_err();
        assert!(missing.to_string().contains("b.so"), "{missing}");
    }

    #[test]
    fn configuration_files_include_others_and_end() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("ld.so.conf");
        let shown = root.path().display();
        fs::write(
            &path,
            format!("# all\ninclude {shown}/d/*.conf\ninclude {shown}/ld.so.conf\n/last # folder\nrelative\n"),
        )
        .unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d/b.conf"), "/b\n").unwrap();
        fs::write(root.path().join("d/a.conf"), "/a\n").unwrap();
        fs::write(root.path().join("d/c.txt"), "/c\n").unwrap();
        let folders = configured(&path, 0);
        assert_eq!(folders[..2], [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(folders.last(), Some(&PathBuf::from("/last")));
        assert!(!folders.iter().any(|folder| folder == Path::new("/c")));
    }

    #[test]
    fn words_that_depend_on_the_machine_are_passed_over() {
        let of = Path::new("/opt/x/main");
        assert_eq!(expand("$ORIGIN/../lib", of), Some(PathBuf::from("/opt/x/../lib")));
        assert_eq!(expand("${ORIGIN}", of), Some(PathBuf::from("/opt/x")));
        assert_eq!(expand("/lib/$PLATFORM", of), None);
        assert_eq!(expand("lib", of), None);
    }
}

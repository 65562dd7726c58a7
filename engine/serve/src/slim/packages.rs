//! Which packages are served: files that were named, or those of a folder.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_learn::package::{MAX_PACKAGE_BYTES, PACKAGE_EXTENSION, Package};
use athanor_protocol::{Code, Failure, names::check_model_name};

use super::usage;
use crate::{
    packaged::PackagedModel,
    table::{Model, Served},
};

/// Most packages that are served.
const MAX_PACKAGES: usize = 1_000;
/// Most bytes of a file of public keys.
const MAX_TRUST_BYTES: u64 = 64 << 10;

/// A package that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) path: PathBuf,
}

/// The packages of the command line, then those of the folder; the newest version of a name first.
///
/// # Errors
/// If a word is no package, a name cannot be served, the folder cannot be read, or there is none at all.
pub(super) fn find(named: &[String], folder: Option<&Path>) -> Result<Vec<Found>, Failure> {
    let mut all = named.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = folder {
        all.extend(in_folder(folder)?);
    }
    if all.is_empty() {
        let message = match folder {
            Some(folder) => format!("there is no package in {}", folder.display()),
            None => "no package is named".to_owned(),
        };
        let hint = "name one with --package FILE, or a folder with --models; 'athanor models export' writes packages";
        return Err(usage(message).hint(hint));
    }
    if all.len() > MAX_PACKAGES {
        return Err(Failure::new(Code::TooLarge, format!("{} packages, {MAX_PACKAGES} at most", all.len())));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name).then(b.version.cmp(&a.version)));
    if let Some(twice) = all.windows(2).find_map(|pair| match pair {
        [a, b] if a.name == b.name && a.version == b.version => Some((a, b)),
        _ => None,
    }) {
        let (a, b) = (twice.0.path.display(), twice.1.path.display());
        let message = format!("{}:{} is both {a} and {b}", twice.0.name, twice.0.version);
        return Err(usage(message).hint("give one another version: --package NAME:VERSION=FILE"));
    }
    Ok(all)
}

/// `[NAME[:VERSION]=]FILE`.
fn parse(text: &str) -> Result<Found, Failure> {
    // A path may hold '=' too; a name may not hold a separator.
    let named = text.split_once('=').filter(|(name, _)| !name.contains(['/', '\\']));
    let Some((name, path)) = named else {
        let path = PathBuf::from(text);
        return Ok(Found { name: stem(&path)?, version: 1, path });
    };
    let (name, version) = match name.split_once(':') {
        Some((name, version)) => (name, version_of(version).ok_or_else(|| no_version(version))?),
        None => (name, 1),
    };
    check_model_name(name).map_err(|err| usage(err.to_string()))?;
    if path.is_empty() {
        return Err(usage(format!("{text:?} names no file")));
    }
    Ok(Found { name: name.to_owned(), version, path: path.into() })
}

fn no_version(text: &str) -> Failure {
    usage(format!("{text:?} is no version")).hint("a version is a number from 1, for example wine:3=wine.athanor")
}

/// A version in its one spelling.
fn version_of(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|version| *version > 0 && version.to_string() == text)
}

/// The model's name by its file's.
fn stem(path: &Path) -> Result<String, Failure> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match check_model_name(&name) {
        Ok(()) => Ok(name),
        Err(err) => Err(usage(err.to_string()).hint("give it another name: --package NAME=FILE")),
    }
}

fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == PACKAGE_EXTENSION) && path.is_file()
}

/// `NAME.athanor` and `NAME/VERSION.athanor` of a folder. Whatever else lies there is none of ours.
fn in_folder(folder: &Path) -> Result<Vec<Found>, Failure> {
    let mut all = vec![];
    for path in entries(folder)? {
        if is_package(&path) {
            all.push(Found { name: stem(&path)?, version: 1, path });
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() || check_model_name(&name).is_err() {
            continue;
        }
        for path in entries(&path)? {
            let version = path.file_stem().and_then(|stem| version_of(stem.to_str()?));
            if let Some(version) = version.filter(|_| is_package(&path)) {
                all.push(Found { name: name.clone(), version, path });
            }
        }
    }
    Ok(all)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |err: std::io::Error| {
        Failure::new(Code::from_io(&err), format!("the folder of models cannot be read: {}: {err}", folder.display()))
    };
    let mut all = vec![];
    for entry in fs::read_dir(folder).map_err(failed)? {
        all.push(entry.map_err(failed)?.path());
        if all.len() > MAX_PACKAGES {
            let message = format!("{} holds more than {MAX_PACKAGES} files", folder.display());
            return Err(Failure::new(Code::TooLarge, message));
        }
    }
    // Folders are listed in any order.
    all.sort();
    Ok(all)
}

/// The public keys that were named, by themselves or in files (one in a line; what follows a key is a remark).
///
/// # Errors
/// If there is none, or a word is neither a key nor a file of keys.
pub(super) fn trusted(words: &[String]) -> Result<Vec<String>, Failure> {
    let mut keys = vec![];
    for word in words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
        if is_key(word) {
            keys.push(word.to_ascii_lowercase());
            continue;
        }
        let path = Path::new(word);
        let bytes = read_limited(path, MAX_TRUST_BYTES).map_err(|failure| {
            failure.hint("--trust takes a public key of 64 hexadecimal digits, or a file that holds such keys")
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let key = line.split_whitespace().next().unwrap_or_default();
            if !is_key(key) {
                let message = format!("{} holds a line that is no public key", path.display());
                return Err(Failure::new(Code::BadData, message).hint("a key is 64 hexadecimal digits"));
            }
            keys.push(key.to_ascii_lowercase());
        }
    }
    if keys.is_empty() {
        let hint = "name the public key that signed them with --trust; 'athanor models verify FILE' shows it";
        return Err(usage("nobody is trusted to have signed packages").hint(hint));
    }
    Ok(keys)
}

fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |err: std::io::Error| {
        Failure::new(Code::from_io(&err), format!("{} cannot be read: {err}", path.display()))
            .on(path.display().to_string())
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(Code::TooLarge, format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads a package, checks every byte and its signer.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub(super) fn open(path: &Path, trusted: &[String]) -> Result<Package, Failure> {
    let of_file = |failure: Failure| Failure { message: format!("{}: {}", path.display(), failure.message), ..failure };
    let package = Package::read(read_limited(path, MAX_PACKAGE_BYTES)?).map_err(|err| of_file(err.into()))?;
    package.verify(trusted).map_err(|err| of_file(err.into()))?;
    Ok(package)
}

/// Loads a package that is to be served. One that cannot be served ends the program: a container that answers for fewer
/// models than it holds would look well.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub(super) fn load(found: &Found, trusted: &[String], device: &str) -> Result<Served, Failure> {
    let package = open(&found.path, trusted)?;
    let of_file = |err: crate::ServeError| {
        let failure = Failure::from(err);
        Failure { message: format!("{}: {}", found.path.display(), failure.message), ..failure }
    };
    let model: Arc<dyn Model> = Arc::new(PackagedModel::new(&package, device).map_err(of_file)?);
    Served::new(&found.name, found.version, model).map_err(of_file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(all: &[Found]) -> Vec<String> {
        all.iter().map(|found| format!("{}:{}", found.name, found.version)).collect()
    }

    #[test]
    fn words_name_a_file_and_how_it_is_served() {
        for (text, expect) in [
            ("a/wine.athanor", Some(("wine", 1, "a/wine.athanor"))),
            ("red=wine.athanor", Some(("red", 1, "wine.athanor"))),
            ("red:3=wine.athanor", Some(("red", 3, "wine.athanor"))),
            ("red:3=a=b.athanor", Some(("red", 3, "a=b.athanor"))),
            ("/x=y/wine.athanor", Some(("wine", 1, "/x=y/wine.athanor"))),
            ("red:0=wine.athanor", None),
            ("red:01=wine.athanor", None),
            ("red:=wine.athanor", None),
            ("../x=wine.athanor", None),
            ("red=", None),
            ("=wine.athanor", None),
            ("", None),
            ("/", None),
            ("a b?.athanor", None),
        ] {
            let found = parse(text);
            let expect = expect.map(|(name, version, path)| Found { name: name.into(), version, path: path.into() });
            assert_eq!(found.ok(), expect, "{text:?}");
        }
    }

    #[test]
    fn a_folder_gives_names_and_versions_and_leaves_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["wine.athanor", "iris/2.athanor", "iris/10.athanor", "iris/x.athanor", "iris/3.txt", "README"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(shown(&find(&[], Some(folder.path())).unwrap()), ["iris:10", "iris:2", "wine:1"]);
        let twice = find(&["wine=other.athanor".to_owned()], Some(folder.path())).unwrap_err();
        assert!(twice.message.contains("wine:1"), "{twice}");
        assert!(find(&[], None).is_err());
        assert!(find(&[], Some(&folder.path().join("none"))).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(find(&[], Some(empty.path())).is_err());
    }

    #[test]
    fn keys_are_taken_from_words_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let (a, b) = ("aB".repeat(32), "12".repeat(32));
        fs::write(&file, format!("# ours\n{b} of the publisher\n\n")).unwrap();
        let words = [a.clone(), file.display().to_string()];
        assert_eq!(trusted(&words).unwrap(), [a.to_ascii_lowercase(), b]);
        assert!(trusted(&[]).is_err() && trusted(&[" ".to_owned()]).is_err());
        fs::write(&file, "no key\n").unwrap();
        assert!(trusted(&words[1..]).is_err());
        assert!(trusted(&["nowhere".to_owned()]).is_err());
    }
}

//! Files that a browser sends in pieces.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use athanor_protocol::{Code, Failure, api::DataUpload};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    error::{EngineError, IoContext},
    files,
};

/// Largest file.
const MAX_BYTES: u64 = 2 << 30;
/// Begun files that nobody has sent anything to for so long are given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
const FOLDER: &str = "data";
const BEGUN: &str = ".upload-";
/// File systems take 255 bytes; the rest is for a number.
const MAX_NAME_BYTES: usize = 200;
const MAX_ENDING_BYTES: usize = 20;

/// Writes a piece behind those that are there. Returns the bytes so far and, after the last piece, the finished file.
pub(super) fn piece(root: &Path, ask: &DataUpload) -> Result<(u64, Option<PathBuf>), Failure> {
    let folder = root.join(FOLDER);
    let refuse = |code, message: String| Failure::new(code, message).on(ask.name.clone());
    let legal = (1..=64).contains(&ask.token.len()) && ask.token.bytes().all(|b| b.is_ascii_alphanumeric());
    if !legal {
        return Err(refuse(Code::InvalidArgument, "an upload's token must be 1 to 64 letters and digits".to_owned()));
    }
    let bytes = STANDARD
        .decode(&ask.base64)
        .map_err(|err| refuse(Code::InvalidArgument, format!("a piece of {:?} is not base64: {err}", ask.name)))?;
    let beside = folder.join(format!("{BEGUN}{}", ask.token));
    if ask.offset == 0 {
        fs::create_dir_all(&folder).at("create", &folder)?;
        sweep(&folder);
        // A client that begins again under the same token means the whole file.
        File::create(&beside).at("create", &beside)?;
    }
    let n_before = match fs::metadata(&beside) {
        Ok(meta) => meta.len(),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => 0,
        Err(source) => return Err(EngineError::Io { verb: "read", path: beside, source }.into()),
    };
    if n_before != ask.offset {
        let message =
            format!("a piece of {:?} begins at byte {}, but {n_before} bytes are there", ask.name, ask.offset);
        return Err(refuse(Code::Conflict, message).hint("send the file again from its beginning"));
    }
    let n_bytes = n_before + bytes.len() as u64;
    if n_bytes > MAX_BYTES {
        let _ = fs::remove_file(&beside);
        let message = format!("{:?} is larger than {} GiB", ask.name, MAX_BYTES >> 30);
        let hint = "put the file where the engine runs, and add it by its path";
        return Err(refuse(Code::TooLarge, message).hint(hint));
    }
    let mut file = File::options().append(true).open(&beside).at("open", &beside)?;
    let written = file.write_all(&bytes).and_then(|()| if ask.last { file.sync_all() } else { Ok(()) });
    if let Err(source) = written {
        // Part of the piece may be there: the file cannot be gone on with.
        let _ = fs::remove_file(&beside);
        return Err(EngineError::Io { verb: "write", path: beside, source }.into());
    }
    if !ask.last {
        return Ok((n_bytes, None));
    }
    let path = free_place(&folder, &file_name(&ask.name))?;
    fs::rename(&beside, &path).at("write", &path)?;
    files::sync_folder(&folder);
    Ok((n_bytes, Some(path)))
}

/// The last part of a name, with nothing in it that means anything to a file system.
fn file_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| c.is_alphanumeric() || ".-_ ".contains(*c)).collect();
    // Neither hidden nor a name of folders; some systems cut blanks and points at the end.
    let kept = kept.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    if kept.is_empty() {
        return "table.csv".to_owned();
    }
    let (stem, ending) = stem_and_ending(kept);
    let ending = if ending.len() > MAX_ENDING_BYTES { "" } else { ending };
    let mut stem = stem.to_owned();
    while stem.len() + ending.len() > MAX_NAME_BYTES {
        stem.pop();
    }
    stem + ending
}

fn stem_and_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

/// Takes a name that no file has, so that nothing is ever overwritten: `name 2.csv` where there is `name.csv`.
fn free_place(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let (stem, ending) = stem_and_ending(name);
    for number in 1..10_000u32 {
        let name = if number == 1 { name.to_owned() } else { format!("{stem} {number}{ending}") };
        let path = folder.join(name);
        match File::create_new(&path) {
            Ok(_) => return Ok(path),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(EngineError::Io { verb: "create", path, source }.into()),
        }
    }
    Err(Failure::new(Code::AlreadyExists, format!("there are too many files named {name:?}")).on(name))
}

/// Removes begun files that nobody goes on with. Best effort: what cannot be removed is tried again with the next upload.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if entry.file_name().to_string_lossy().starts_with(BEGUN) && old().is_some_and(|age| age > GIVEN_UP_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_is_not_theirs() {
        for (given, expect) in [
            ("cars.csv", "cars.csv"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\cars.csv", "cars.csv"),
            ("..", "table.csv"),
            ("", "table.csv"),
            (".hidden.csv", "hidden.csv"),
            ("a:b*c?.csv", "abc.csv"),
            ("Zoë 2024_v-1.csv", "Zoë 2024_v-1.csv"),
            ("trailing. ", "trailing"),
            ("\0\n", "table.csv"),
        ] {
            assert_eq!(file_name(given), expect, "{given:?}");
        }
        let long = file_name(&("語".repeat(500) + ".parquet"));
        assert!(long.len() <= MAX_NAME_BYTES && long.ends_with("語.parquet"), "{long}");
        assert!(file_name(&("a.".to_owned() + &"x".repeat(500))).len() <= MAX_NAME_BYTES);
    }
}

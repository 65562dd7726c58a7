//! Files that are either there completely or not at all, and the store of artifacts by digest.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use crate::error::{IoContext, Result};

/// Writes a file beside its place, syncs it and renames it.
///
/// # Errors
/// Whatever the file system says; the place is then as it was before.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, 0o644, bytes)
}

/// [`write_atomic`] for secrets: only the owner may read the file, from its first byte on.
///
/// # Errors
/// Whatever the file system says; the place is then as it was before.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, 0o600, bytes)
}

fn write_atomic_with(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).at("create", folder)?;
    let beside = beside(path);
    let written = (|| {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // The half-written file is ours alone; if even removing fails, it is swept with the next clean-up.
        let _ = fs::remove_file(&beside);
    }
    written.at("write", path)?;
    sync_folder(folder);
    Ok(())
}

/// A name beside `path` that no other process uses.
pub fn beside(path: &Path) -> PathBuf {
    let mut random = [0u8; 8];
    if getrandom::fill(&mut random).is_err() {
        random = u64::from(std::process::id()).to_le_bytes();
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.tmp", u64::from_le_bytes(random)));
    path.with_file_name(name)
}

/// Makes a rename in `folder` durable. Best effort: some file systems do not sync folders.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// `blake3:<hex>` of bytes.
pub fn digest_bytes(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

/// `blake3:<hex>` of a file's bytes, and their number.
///
/// # Errors
/// If it cannot be read.
pub fn digest_file(path: &Path) -> Result<(String, u64)> {
    digest_file_watched(path, &mut |_| true)
}

/// [`digest_file`] that tells how many bytes were read so far, now and then, and ends as [`Code::Cancelled`] where the
/// answer is `false`.
///
/// [`Code::Cancelled`]: athanor_protocol::Code::Cancelled
///
/// # Errors
/// If it cannot be read, or was stopped.
pub fn digest_file_watched(path: &Path, go_on: &mut dyn FnMut(u64) -> bool) -> Result<(String, u64)> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0u8; 1 << 17];
    let mut n_bytes = 0u64;
    loop {
        let n = file.read(&mut buffer).at("read", path)?;
        if n == 0 {
            return Ok((format!("blake3:{}", hasher.finalize().to_hex()), n_bytes));
        }
        hasher.update(&buffer[..n]);
        n_bytes += n as u64;
        if !go_on(n_bytes) {
            let message = format!("reading {} was stopped", path.display());
            return Err(crate::EngineError::new(athanor_protocol::Code::Cancelled, message));
        }
    }
}

/// Opens a file that is one. A pipe or a device in its place could make whoever opens it wait for ever.
///
/// # Errors
/// If it is something else, or cannot be opened.
pub fn open_plain(path: &Path) -> Result<File> {
    // Looked at first, since opening a pipe already waits.
    if !fs::metadata(path).at("open", path)?.is_file() {
        let message = format!("{} is no plain file", path.display());
        return Err(crate::EngineError::new(athanor_protocol::Code::InvalidArgument, message));
    }
    File::open(path).at("open", path)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// If it is no plain file, cannot be read, or is larger.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open_plain(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > limit {
        let message = format!("{} is larger than {limit} bytes", path.display());
        return Err(crate::EngineError::new(athanor_protocol::Code::TooLarge, message));
    }
    Ok(bytes)
}

/// Files by the digest of their bytes: written once, never changed.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: PathBuf,
}

impl Artifacts {
    /// Artifacts under a folder, which is made when it is first needed.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the file of a digest lies, if the digest is one: hex only, so no text can lead elsewhere.
    pub fn path(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.rsplit(':').next().unwrap_or_default();
        let legal = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        legal.then(|| self.root.join(&hex[..2]).join(hex))
    }

    /// Keeps bytes under a digest that the caller computed.
    ///
    /// # Errors
    /// If the digest is none or the file cannot be written.
    pub fn put(&self, digest: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path(digest).ok_or_else(|| not_a_digest(digest))?;
        // A file that is there but damaged is replaced: the bytes in hand are those that the digest means.
        if fs::read(&path).ok().as_deref() != Some(bytes) {
            write_atomic(&path, bytes)?;
        }
        Ok(path)
    }

    /// Keeps a file under its digest, as a hard link where the file system can.
    ///
    /// # Errors
    /// If the digest is none or the file cannot be linked or copied.
    pub fn put_file(&self, digest: &str, from: &Path) -> Result<PathBuf> {
        let path = self.path(digest).ok_or_else(|| not_a_digest(digest))?;
        if path.is_file() && digest_file(&path)?.0 == digest {
            return Ok(path);
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).at("create", folder)?;
        let beside = beside(&path);
        if fs::hard_link(from, &beside).is_err() {
            fs::copy(from, &beside).at("copy", from)?;
            File::open(&beside).and_then(|file| file.sync_all()).at("write", &beside)?;
        }
        let renamed = fs::rename(&beside, &path).at("write", &path);
        // Renaming one hard link over another of the same file does nothing and leaves both.
        let _ = fs::remove_file(&beside);
        renamed?;
        sync_folder(folder);
        Ok(path)
    }
}

fn not_a_digest(digest: &str) -> crate::EngineError {
    let shown: String = digest.chars().take(80).collect();
    crate::EngineError::new(athanor_protocol::Code::InvalidArgument, format!("{shown:?} is no digest"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside it");
        // A folder in the way cannot be replaced: an error, and the folder stays.
        let blocked = folder.path().join("deep");
        assert!(write_atomic(&blocked, b"x").is_err());
        assert!(path.is_file());
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, b"s").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn artifacts_lie_under_hex_digests_only() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path().join("artifacts"));
        for bad in ["", "../../etc/passwd", "blake3:..", &"g".repeat(64), &"A".repeat(64), "a/b"] {
            assert!(artifacts.path(bad).is_none(), "{bad}");
            assert!(artifacts.put(bad, b"x").is_err(), "{bad}");
        }
        let digest = digest_bytes(b"hello");
        let path = artifacts.put(&digest, b"hello").unwrap();
        assert_eq!(digest_file(&path).unwrap(), (digest, 5));
        assert!(read_limited(&path, 4).is_err());
        assert_eq!(read_limited(&path, 5).unwrap(), b"hello");
    }
}

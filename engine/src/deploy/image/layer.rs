//! A layer: files as a compressed archive whose bytes say nothing but the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use athanor_protocol::Code;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{
    deploy::Watch,
    error::{EngineError, IoContext, Result},
    files,
};

/// The user and group that own all files and run the program: a number that no system gives to somebody.
pub(crate) const USER: u32 = 65_532;
/// Of files that are read, of those that are run, and of folders: nobody can write.
const READ: u32 = 0o444;
const RUN: u32 = 0o555;
/// Where the gzip header says on which system it was made: "unknown".
const UNKNOWN_SYSTEM: u8 = 255;

/// What a file of a layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, which may be run.
    Script(Vec<u8>),
    /// The bytes of a file.
    File(PathBuf),
    /// The bytes of a program's file, which may be run.
    Program(PathBuf),
    /// An empty folder.
    Folder,
}

/// The files of a layer by their paths, which begin with no separator.
pub(crate) type Files = BTreeMap<String, Content>;

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// `sha256:<hex>` of the compressed bytes.
    pub(crate) digest: String,
    /// Their number.
    pub(crate) n_bytes: u64,
    /// `sha256:<hex>` of the archive before compression.
    pub(crate) diff_id: String,
}

/// Passes bytes on, counts them and computes their digest.
pub(crate) struct Digesting<W> {
    inner: W,
    hasher: Sha256,
    n_bytes: u64,
}

impl<W> Digesting<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), n_bytes: 0 }
    }

    /// The inner value, `sha256:<hex>` and the number of bytes.
    pub(crate) fn finish(self) -> (W, String, u64) {
        let digest = self.hasher.finalize();
        (self.inner, digest_text(&digest), self.n_bytes)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.n_bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.count(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        self.hasher.update(bytes);
        self.n_bytes += n as u64;
        Ok(n)
    }
}

/// `sha256:<hex>`.
pub(crate) fn digest_text(digest: &[u8]) -> String {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Bytes of all files, as far as their lengths can be told.
pub(crate) fn n_bytes(files: &Files) -> u64 {
    let of = |content: &Content| match content {
        Content::Bytes(bytes) | Content::Script(bytes) => bytes.len() as u64,
        // One that cannot be read is an error where it is packed.
        Content::File(path) | Content::Program(path) => fs::metadata(path).map_or(0, |found| found.len()),
        Content::Folder => 0,
    };
    files.values().map(of).sum()
}

/// Writes a layer into the folder of blobs, under its digest.
///
/// # Errors
/// If a file cannot be read or is no plain file, the blob cannot be written, or it is stopped.
pub(crate) fn write(files: &Files, blobs: &Path, watch: &Watch<'_>) -> Result<Layer> {
    let beside = files::beside(&blobs.join("layer"));
    let file = File::create_new(&beside).at("create", &beside)?;
    let compressed = gzip(Digesting::new(BufWriter::new(file)));
    let written = archive(files, Digesting::new(compressed), watch).and_then(|(gzip, diff_id)| {
        let (file, digest, n_bytes) = gzip.finish().at("write", &beside)?.finish();
        let file = file.into_inner().map_err(|err| err.into_error()).at("write", &beside)?;
        file.sync_all().at("write", &beside)?;
        fs::rename(&beside, blob_path(blobs, &digest)?).at("write", &beside)?;
        Ok(Layer { digest, n_bytes, diff_id })
    });
    if written.is_err() {
        // The half-written file is ours alone.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Where a blob of a digest lies.
///
/// # Errors
/// If the text is no digest: no path is made from it.
pub(crate) fn blob_path(blobs: &Path, digest: &str) -> Result<PathBuf> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        let shown: String = digest.chars().take(80).collect();
        return Err(EngineError::new(Code::Corrupt, format!("{shown:?} is no SHA-256 digest")));
    }
    Ok(blobs.join(hex))
}

/// Writes the archive: folders before what is in them, in the order of the paths.
fn archive<W: Write>(wanted: &Files, into: Digesting<W>, watch: &Watch<'_>) -> Result<(W, String)> {
    let place = Path::new("layer");
    let mut builder = Builder::new(into);
    let mut folders = BTreeSet::new();
    for (path, content) in wanted {
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..at).unwrap_or_default();
            if folders.insert(folder.to_owned()) {
                append(&mut builder, &format!("{folder}/"), EntryType::Directory, RUN, (0, io::empty()), watch)?;
            }
        }
        match content {
            Content::Bytes(bytes) | Content::Script(bytes) => {
                let mode = if matches!(content, Content::Script(_)) { RUN } else { READ };
                append(&mut builder, path, EntryType::Regular, mode, (bytes.len() as u64, bytes.as_slice()), watch)?;
            }
            Content::File(from) | Content::Program(from) => {
                let file = files::open_plain(from)?;
                let found = file.metadata().at("read", from)?;
                let mode = if matches!(content, Content::Program(_)) { RUN } else { READ };
                // A file that grows meanwhile is taken as long as it was; one that shrinks is an error of the archive.
                append(&mut builder, path, EntryType::Regular, mode, (found.len(), file.take(found.len())), watch)?;
            }
            Content::Folder => {
                if folders.insert(path.clone()) {
                    append(&mut builder, &format!("{path}/"), EntryType::Directory, RUN, (0, io::empty()), watch)?;
                }
            }
        }
    }
    let (inner, diff_id, _) = builder.into_inner().at("write", place)?.finish();
    Ok((inner, diff_id))
}

fn append<W: Write>(
    builder: &mut Builder<W>,
    path: &str,
    kind: EntryType,
    mode: u32,
    (n_bytes, mut from): (u64, impl Read),
    watch: &Watch<'_>,
) -> Result<()> {
    let place = Path::new(path);
    let mut header = Header::new_ustar();
    header.set_path(path).at("write", place)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(USER.into());
    header.set_gid(USER.into());
    header.set_mtime(0);
    header.set_size(n_bytes);
    header.set_cksum();
    let mut counted = Counted { inner: &mut from, n_bytes: 0, watch };
    let appended = builder.append(&header, &mut counted);
    // Stopping shows as a reader that fails.
    watch.check()?;
    appended.at("write", place)?;
    if counted.n_bytes != n_bytes {
        let message = format!("{path} has changed while it was read");
        return Err(EngineError::new(Code::Conflict, message));
    }
    Ok(())
}

/// Counts what is read, and reads no further once it is stopped.
struct Counted<'a, 'b, R> {
    inner: R,
    n_bytes: u64,
    watch: &'a Watch<'b>,
}

impl<R: Read> Read for Counted<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        let n = self.inner.read(buffer)?;
        self.n_bytes += n as u64;
        self.watch.packed(n as u64);
        Ok(n)
    }
}

/// Compression whose header says nothing.
fn gzip<W: Write>(into: W) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM).write(into, Compression::new(6))
}

/// Writes files as an archive that is compressed, in the same way as a layer. Returns `sha256:<hex>` and the size.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_archive(files: &Files, into: impl Write, watch: &Watch<'_>) -> Result<(String, u64)> {
    let place = Path::new("archive");
    watch.packs(n_bytes(files));
    let (gzip, _) = archive(files, Digesting::new(gzip(Digesting::new(into))), watch)?;
    let (mut into, digest, n_bytes) = gzip.finish().at("write", place)?.finish();
    into.flush().at("write", place)?;
    Ok((digest, n_bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    fn some(folder: &Path) -> Files {
        fs::write(folder.join("program"), vec![7; 1000]).unwrap();
        Files::from([
            ("opt/models/wine/3.athanor".to_owned(), Content::Bytes(b"package".to_vec())),
            ("athanor-serve".to_owned(), Content::Program(folder.join("program"))),
            ("tmp".to_owned(), Content::Folder),
            ("opt/models/a".to_owned(), Content::Bytes(vec![])),
        ])
    }

    #[test]
    fn a_layer_lists_folders_first_and_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let layer = write(&some(folder.path()), folder.path(), &Watch::none()).unwrap();
        let bytes = fs::read(blob_path(folder.path(), &layer.digest).unwrap()).unwrap();
        assert_eq!(bytes.len() as u64, layer.n_bytes);
        assert_eq!(digest_text(&Sha256::digest(&bytes)), layer.digest);
        assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], "no name, no time, no system");
        let mut raw = vec![];
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut raw).unwrap();
        assert_eq!(digest_text(&Sha256::digest(&raw)), layer.diff_id);
        let mut archive = tar::Archive::new(raw.as_slice());
        let entries: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(
                    (header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()),
                    (0, 65_532, 65_532)
                );
                assert_eq!(
                    (header.username().unwrap().unwrap_or(""), header.groupname().unwrap().unwrap_or("")),
                    ("", "")
                );
                format!("{} {:o}", entry.path().unwrap().display(), header.mode().unwrap())
            })
            .collect();
        let expect = [
            "athanor-serve 555",
            "opt/ 555",
            "opt/models/ 555",
            "opt/models/a 444",
            "opt/models/wine/ 555",
            "opt/models/wine/3.athanor 444",
            "tmp/ 555",
        ];
        assert_eq!(entries, expect);
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = write(&some(one.path()), one.path(), &Watch::none()).unwrap();
        let second = write(&some(two.path()), two.path(), &Watch::none()).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read_dir(one.path()).unwrap().count(), 2, "the program and the blob: nothing is left beside it");
    }

    #[test]
    fn no_path_is_made_from_what_is_no_digest() {
        let blobs = Path::new("blobs");
        for bad in ["", "sha256:", "sha256:../../x", &format!("sha256:{}", "A".repeat(64)), &"a".repeat(64)] {
            assert!(blob_path(blobs, bad).is_err(), "{bad}");
        }
        assert!(blob_path(blobs, &format!("sha256:{}", "a".repeat(64))).is_ok());
    }

    #[test]
    fn what_cannot_be_read_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::from([("a".to_owned(), Content::File(folder.path().join("none")))]);
        assert!(write(&files, folder.path(), &Watch::none()).is_err());
        let files = Files::from([("a".to_owned(), Content::File(folder.path().to_owned()))]);
        assert!(write(&files, folder.path(), &Watch::none()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

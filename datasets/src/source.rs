//! Files: what may be opened, whether they stayed the same, and their bytes as UTF-8.

use std::{
    fs::{File, Metadata},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::error::DatasetError;

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) n_bytes: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl Fingerprint {
    fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            n_bytes: meta.len(),
            modified: meta.modified().ok(),
            #[cfg(unix)]
            inode: (meta.dev(), meta.ino()),
        }
    }
}

/// A regular file that was looked at once.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// As the user gave it; for messages.
    pub(crate) shown: String,
    /// Absolute, links resolved.
    pub(crate) path: PathBuf,
    pub(crate) print: Fingerprint,
}

impl SourceFile {
    /// Looks at a path. Opens nothing, so that a FIFO can't block and a device is not touched.
    pub(crate) fn find(shown: &str) -> Result<Self, DatasetError> {
        let io_error = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DatasetError::Missing { path: shown.to_owned() },
            _ => DatasetError::Io { action: "opening", path: shown.to_owned(), source },
        };
        if shown.is_empty() {
            return Err(DatasetError::invalid_because("no file was named", "choose a CSV or Parquet file"));
        }
        let path = std::fs::canonicalize(shown).map_err(io_error)?;
        let meta = std::fs::metadata(&path).map_err(io_error)?;
        if !meta.is_file() {
            return Err(DatasetError::NotAFile { path: shown.to_owned(), what: kind_of(&meta) });
        }
        if meta.len() == 0 {
            return Err(DatasetError::Empty { path: shown.to_owned() });
        }
        Ok(Self { shown: shown.to_owned(), path, print: Fingerprint::of(&meta) })
    }

    /// The file's name without folders.
    pub(crate) fn name(&self) -> String {
        let name = Path::new(&self.shown).file_name().or_else(|| self.path.file_name());
        name.map_or_else(|| self.shown.clone(), |name| name.to_string_lossy().into_owned())
    }

    pub(crate) fn io(&self, source: io::Error) -> DatasetError {
        DatasetError::Io { action: "reading", path: self.shown.clone(), source }
    }

    pub(crate) fn open(&self) -> Result<File, DatasetError> {
        let file = File::open(&self.path).map_err(|err| self.io(err))?;
        self.check_same(&file)?;
        Ok(file)
    }

    /// Fails where the open file, or what now lies under its name, is not the file that was found.
    pub(crate) fn check_same(&self, file: &File) -> Result<(), DatasetError> {
        let changed = || DatasetError::Changed { path: self.shown.clone() };
        let meta = file.metadata().map_err(|err| self.io(err))?;
        let named = std::fs::metadata(&self.path).map_err(|_| changed())?;
        if Fingerprint::of(&meta) == self.print && Fingerprint::of(&named) == self.print {
            Ok(())
        } else {
            Err(changed())
        }
    }

    /// The first `n_bytes` bytes, fewer where the file is shorter.
    pub(crate) fn first_bytes(&self, n_bytes: u64) -> Result<Vec<u8>, DatasetError> {
        let mut bytes = Vec::new();
        self.open()?.take(n_bytes).read_to_end(&mut bytes).map_err(|err| self.io(err))?;
        Ok(bytes)
    }

    /// Digest of all bytes, `blake3:<hex>`. Streams; checks that the file is still the same at the end.
    pub(crate) fn digest(&self, stop: &dyn Fn() -> bool) -> Result<String, DatasetError> {
        let mut file = self.open()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            if stop() {
                return Err(DatasetError::Cancelled);
            }
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => hasher.update(&buffer[..n]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(self.io(err)),
            };
        }
        self.check_same(&file)?;
        Ok(digest_text(&hasher))
    }
}

pub(crate) fn digest_text(hasher: &blake3::Hasher) -> String {
    format!("blake3:{}", hasher.finalize().to_hex())
}

#[cfg(unix)]
fn kind_of(meta: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind_of(meta: &Metadata) -> &'static str {
    if meta.is_dir() { "a directory" } else { "a device" }
}

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8 without or with a byte order mark of that many bytes.
    Utf8 { mark_bytes: usize },
    /// UTF-16, told by its byte order mark.
    Utf16 { big_endian: bool },
}

impl Encoding {
    /// Told from the first bytes.
    pub(crate) fn sniff(first: &[u8]) -> Self {
        match first {
            [0xEF, 0xBB, 0xBF, ..] => Self::Utf8 { mark_bytes: 3 },
            [0xFF, 0xFE, ..] => Self::Utf16 { big_endian: false },
            [0xFE, 0xFF, ..] => Self::Utf16 { big_endian: true },
            _ => Self::Utf8 { mark_bytes: 0 },
        }
    }

    /// Length of the byte order mark.
    pub(crate) const fn mark_bytes(self) -> u64 {
        match self {
            Self::Utf8 { mark_bytes } => mark_bytes as u64,
            Self::Utf16 { .. } => 2,
        }
    }
}

/// Streams a file's bytes: hashes them as they lie on disk, and hands them out as UTF-8 without byte order mark.
/// UTF-16 is transcoded, unpaired surrogates become U+FFFD; UTF-8 is passed through and checked by the caller.
pub(crate) struct TextReader {
    inner: BufReader<File>,
    hasher: Option<blake3::Hasher>,
    encoding: Encoding,
    lone_returns: bool,
    skip: usize,
    raw: Vec<u8>,
    chunk: Vec<u8>,
    pending: Vec<u8>,
    high_surrogate: Option<u16>,
}

impl TextReader {
    /// `lone_returns`: lines end in CR alone; such CRs are handed out as LF so that lines can be counted.
    pub(crate) fn new(file: File, encoding: Encoding, lone_returns: bool) -> Self {
        let skip = encoding.mark_bytes() as usize;
        Self {
            inner: BufReader::with_capacity(1 << 18, file),
            hasher: Some(blake3::Hasher::new()),
            encoding,
            lone_returns,
            skip,
            raw: vec![0; 1 << 16],
            chunk: Vec::new(),
            pending: Vec::new(),
            high_surrogate: None,
        }
    }

    /// From the middle of a file, where a character begins.
    pub(crate) fn new_at(mut file: File, encoding: Encoding, lone_returns: bool, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { skip: 0, ..Self::new(file, encoding, lone_returns) })
    }

    /// For who has no use for the digest: it is that of no bytes.
    pub(crate) fn without_digest(self) -> Self {
        Self { hasher: None, ..self }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &File {
        self.inner.get_ref()
    }

    /// Adds text to `out` until that has about `wanted` bytes. Returns how many were added: 0 at the end of the file.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, wanted: usize) -> io::Result<usize> {
        let before = out.len();
        let as_it_lies = matches!(self.encoding, Encoding::Utf8 { .. })
            && self.skip == 0
            && !self.lone_returns
            && self.hasher.is_none();
        if as_it_lies && wanted > before {
            out.reserve(wanted - before);
            // From behind the buffer's content straight into its place.
            self.inner.by_ref().take((wanted - before) as u64).read_to_end(out)?;
        } else {
            let mut chunk = std::mem::take(&mut self.chunk);
            let read = self.next_chunk(&mut chunk);
            out.extend_from_slice(&chunk);
            self.chunk = chunk;
            read?;
        }
        Ok(out.len() - before)
    }

    /// The next bytes, appended to nothing: `out` is replaced. Empty at the end of the file.
    pub(crate) fn next_chunk(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        while out.is_empty() {
            let n = match self.inner.read(&mut self.raw) {
                Ok(n) => n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(err),
            };
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&self.raw[..n]);
            }
            if n == 0 {
                self.finish_utf16(out);
                break;
            }
            let from = self.skip.min(n);
            self.skip -= from;
            match self.encoding {
                Encoding::Utf8 { .. } => out.extend_from_slice(&self.raw[from..n]),
                Encoding::Utf16 { big_endian } => {
                    self.pending.extend_from_slice(&self.raw[from..n]);
                    self.transcode(big_endian, out);
                }
            }
        }
        if self.lone_returns {
            for byte in out.iter_mut().filter(|byte| **byte == b'\r') {
                *byte = b'\n';
            }
        }
        Ok(())
    }

    fn transcode(&mut self, big_endian: bool, out: &mut Vec<u8>) {
        let whole = self.pending.len() / 2 * 2;
        for pair in self.pending[..whole].chunks_exact(2) {
            let unit = [pair[0], pair[1]];
            let unit = if big_endian { u16::from_be_bytes(unit) } else { u16::from_le_bytes(unit) };
            if let Some(high) = self.high_surrogate.take() {
                if (0xDC00..0xE000).contains(&unit) {
                    let point = 0x10000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
                    push_char(out, char::from_u32(point));
                    continue;
                }
                push_char(out, None);
            }
            if (0xD800..0xDC00).contains(&unit) {
                self.high_surrogate = Some(unit);
            } else {
                push_char(out, char::from_u32(u32::from(unit)));
            }
        }
        self.pending.drain(..whole);
    }

    fn finish_utf16(&mut self, out: &mut Vec<u8>) {
        if self.high_surrogate.take().is_some() || !self.pending.is_empty() {
            self.pending.clear();
            push_char(out, None);
        }
    }

    /// The digest of everything that was read, and the file.
    pub(crate) fn finish(self) -> (String, File) {
        (digest_text(&self.hasher.unwrap_or_default()), self.inner.into_inner())
    }
}

fn push_char(out: &mut Vec<u8>, c: Option<char>) {
    let mut buffer = [0; 4];
    out.extend_from_slice(c.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut buffer).as_bytes());
}

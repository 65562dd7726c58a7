//! What a Linux program says of itself: its loader and the libraries that it needs. Reads the headers, never the code.
//!
//! After the System V ABI (ELF-64, little-endian). Everything that a file says of lengths and places is checked against
//! the file before it is used.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use athanor_protocol::{Code, Failure};

use crate::error::{EngineError, IoContext, Result};

const MAGIC: &[u8; 4] = b"\x7fELF";
const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: u64 = 56;
/// Most segments: linkers write about ten.
const MAX_SEGMENTS: u64 = 256;
/// Most bytes of the dynamic section and of its strings.
const MAX_DYNAMIC_BYTES: u64 = 1 << 20;
const MAX_STRINGS_BYTES: u64 = 64 << 20;
/// Longest path of a loader.
const MAX_INTERPRETER_BYTES: u64 = 4_096;

const TYPE_LOAD: u32 = 1;
const TYPE_DYNAMIC: u32 = 2;
const TYPE_INTERPRETER: u32 = 3;
const TAG_NEEDED: u64 = 1;
const TAG_STRINGS: u64 = 5;
const TAG_STRINGS_BYTES: u64 = 10;
const TAG_RPATH: u64 = 15;
const TAG_RUNPATH: u64 = 29;

/// The processor's number for x86-64.
pub(crate) const X86_64: u16 = 62;
/// The processor's number for 64-bit Arm.
pub(crate) const AARCH64: u16 = 183;

/// The headers of a program or a shared library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Elf {
    /// The processor's number.
    pub(crate) machine: u16,
    /// The loader, for a program with shared libraries.
    pub(crate) interpreter: Option<String>,
    /// Names of libraries in the order in which the loader looks for them.
    pub(crate) needed: Vec<String>,
    /// Folders to look in first, as the file spells them.
    pub(crate) search: Vec<String>,
}

/// A segment of the file.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    n_bytes: u64,
}

/// A file whose reads are checked against its length.
struct Bytes<R> {
    from: R,
    n_bytes: u64,
}

impl<R: Read + Seek> Bytes<R> {
    /// `n` bytes from `at`, or `None` where the file does not have them.
    fn take(&mut self, at: u64, n: u64) -> std::io::Result<Option<Vec<u8>>> {
        if at.checked_add(n).is_none_or(|end| end > self.n_bytes) {
            return Ok(None);
        }
        self.from.seek(SeekFrom::Start(at))?;
        let mut bytes = vec![];
        self.from.by_ref().take(n).read_to_end(&mut bytes)?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 == n))
    }
}

/// A little-endian number at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let raw: [u8; N] = bytes.get(at..at.checked_add(N)?)?.try_into().ok()?;
    Some(raw.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

impl Elf {
    /// Reads a file's headers.
    ///
    /// # Errors
    /// If it cannot be read, is no ELF-64 file, or contradicts itself.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).at("open", path)?;
        let n_bytes = file.metadata().at("read", path)?.len();
        match read(&mut Bytes { from: file, n_bytes }).at("read", path)? {
            Ok(elf) => Ok(elf),
            Err(why) => {
                let failure = Failure::new(Code::Unsupported, format!("{} {why}", path.display()));
                Err(EngineError::Failure(failure.hint("name a Linux build of athanor-serve with --program")))
            }
        }
    }

    /// The processor as images name it.
    pub(crate) fn architecture(&self) -> Option<&'static str> {
        match self.machine {
            X86_64 => Some("amd64"),
            AARCH64 => Some("arm64"),
            _ => None,
        }
    }
}

fn read<R: Read + Seek>(bytes: &mut Bytes<R>) -> std::io::Result<Result<Elf, &'static str>> {
    const NO_ELF: &str = "is no Linux program";
    const BROKEN: &str = "is a damaged program: its headers contradict the file";
    let Some(header) = bytes.take(0, HEADER_BYTES as u64)? else { return Ok(Err(NO_ELF)) };
    if !header.starts_with(MAGIC) {
        return Ok(Err(NO_ELF));
    }
    // Class 2 is 64 bits, data 1 little-endian.
    if header.get(4..6) != Some(&[2, 1]) {
        return Ok(Err("is a program of another kind: 64 bits, little-endian are known"));
    }
    let field = |at: usize| number::<2>(&header, at);
    let (Some(machine), Some(start), Some(size), Some(count)) =
        (field(18), number::<8>(&header, 32), field(54), field(56))
    else {
        return Ok(Err(BROKEN));
    };
    if size != SEGMENT_BYTES || count > MAX_SEGMENTS {
        return Ok(Err(BROKEN));
    }
    let Some(table) = bytes.take(start, count * SEGMENT_BYTES)? else { return Ok(Err(BROKEN)) };
    let segments: Option<Vec<Segment>> = table
        .chunks_exact(SEGMENT_BYTES as usize)
        .map(|row| {
            Some(Segment {
                kind: u32::try_from(number::<4>(row, 0)?).ok()?,
                offset: number::<8>(row, 8)?,
                address: number::<8>(row, 16)?,
                n_bytes: number::<8>(row, 32)?,
            })
        })
        .collect();
    let Some(segments) = segments else { return Ok(Err(BROKEN)) };
    let mut elf = Elf { machine: machine as u16, ..Elf::default() };
    if let Some(segment) = segments.iter().find(|segment| segment.kind == TYPE_INTERPRETER) {
        let n_bytes = segment.n_bytes.min(MAX_INTERPRETER_BYTES);
        let Some(raw) = bytes.take(segment.offset, n_bytes)? else { return Ok(Err(BROKEN)) };
        let Some(path) = string(&raw, 0).filter(|path| path.starts_with('/')) else { return Ok(Err(BROKEN)) };
        elf.interpreter = Some(path);
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == TYPE_DYNAMIC) else { return Ok(Ok(elf)) };
    if dynamic.n_bytes > MAX_DYNAMIC_BYTES {
        return Ok(Err(BROKEN));
    }
    let Some(raw) = bytes.take(dynamic.offset, dynamic.n_bytes)? else { return Ok(Err(BROKEN)) };
    let pair = |row: &[u8]| Some((number::<8>(row, 0)?, number::<8>(row, 8)?));
    let tags: Vec<(u64, u64)> = raw.chunks_exact(16).filter_map(pair).take_while(|(tag, _)| *tag != 0).collect();
    let value = |wanted: u64| tags.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let (Some(address), Some(n_strings)) = (value(TAG_STRINGS), value(TAG_STRINGS_BYTES)) else {
        return Ok(if tags.iter().any(|(tag, _)| *tag == TAG_NEEDED) { Err(BROKEN) } else { Ok(elf) });
    };
    // Strings are named by their address in memory; the segment that is loaded there says where they are in the file.
    let place = segments.iter().filter(|segment| segment.kind == TYPE_LOAD).find_map(|segment| {
        let within = address.checked_sub(segment.address).filter(|within| *within < segment.n_bytes)?;
        segment.offset.checked_add(within)
    });
    let Some(place) = place.filter(|_| n_strings <= MAX_STRINGS_BYTES) else { return Ok(Err(BROKEN)) };
    let Some(strings) = bytes.take(place, n_strings)? else { return Ok(Err(BROKEN)) };
    let text = |at: u64| usize::try_from(at).ok().and_then(|at| string(&strings, at));
    for (tag, at) in &tags {
        match *tag {
            TAG_NEEDED => match text(*at) {
                Some(name) => elf.needed.push(name),
                None => return Ok(Err(BROKEN)),
            },
            TAG_RUNPATH | TAG_RPATH => match text(*at) {
                Some(folders) => elf.search.extend(folders.split(':').filter(|it| !it.is_empty()).map(str::to_owned)),
                None => return Ok(Err(BROKEN)),
            },
            _ => {}
        }
    }
    Ok(Ok(elf))
}

/// The text from `at` to the next zero byte.
fn string(bytes: &[u8], at: usize) -> Option<String> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::io::Cursor;

    use super::*;

    /// A program file of headers alone. Its strings begin at address 0x1000 + their place.
    pub(crate) fn program(machine: u16, interpreter: Option<&str>, needed: &[&str], search: &str) -> Vec<u8> {
        let mut strings = vec![0_u8];
        let mut add = |text: &str| {
            let at = strings.len() as u64;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let mut tags: Vec<(u64, u64)> = needed.iter().map(|name| (TAG_NEEDED, add(name))).collect();
        if !search.is_empty() {
            tags.push((TAG_RUNPATH, add(search)));
        }
        let loader: Vec<u8> = interpreter.map(|path| path.bytes().chain([0]).collect()).unwrap_or_default();
        let n_segments = 2 + u64::from(interpreter.is_some());
        let strings_at = HEADER_BYTES as u64 + n_segments * SEGMENT_BYTES + loader.len() as u64;
        tags.extend([(TAG_STRINGS, 0x1000 + strings_at), (TAG_STRINGS_BYTES, strings.len() as u64), (0, 0)]);
        let dynamic_at = strings_at + strings.len() as u64;
        let dynamic: Vec<u8> =
            tags.iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat()).collect();
        let total = dynamic_at + dynamic.len() as u64;
        let mut file = vec![0_u8; HEADER_BYTES];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[32..40].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        file[54..56].copy_from_slice(&(SEGMENT_BYTES as u16).to_le_bytes());
        file[56..58].copy_from_slice(&(n_segments as u16).to_le_bytes());
        let mut segment = |kind: u32, offset: u64, address: u64, n_bytes: u64| {
            let mut row = vec![0_u8; SEGMENT_BYTES as usize];
            row[..4].copy_from_slice(&kind.to_le_bytes());
            row[8..16].copy_from_slice(&offset.to_le_bytes());
            row[16..24].copy_from_slice(&address.to_le_bytes());
            row[32..40].copy_from_slice(&n_bytes.to_le_bytes());
            file.extend(row);
        };
        segment(TYPE_LOAD, 0, 0x1000, total);
        if interpreter.is_some() {
            segment(TYPE_INTERPRETER, strings_at - loader.len() as u64, 0, loader.len() as u64);
        }
        segment(TYPE_DYNAMIC, dynamic_at, 0, dynamic.len() as u64);
        file.extend(loader);
        file.extend(strings);
        file.extend(dynamic);
        file
    }

    fn parse(file: &[u8]) -> Result<Elf, &'static str> {
        read(&mut Bytes { from: Cursor::new(file), n_bytes: file.len() as u64 }).unwrap()
    }

    #[test]
    fn loader_libraries_and_folders_are_found() {
        let file = program(X86_64, Some("/lib64/ld.so"), &["libm.so.6", "libc.so.6"], "$ORIGIN/../lib:/opt/x");
        let elf = parse(&file).unwrap();
        assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld.so"));
        assert_eq!(elf.needed, ["libm.so.6", "libc.so.6"]);
        assert_eq!(elf.search, ["$ORIGIN/../lib", "/opt/x"]);
        assert_eq!(elf.architecture(), Some("amd64"));
        let still = parse(&program(AARCH64, None, &[], "")).unwrap();
        assert_eq!((still.interpreter.as_deref(), still.needed.len()), (None, 0));
        assert_eq!(still.architecture(), Some("arm64"));
    }

    #[test]
    fn no_change_of_a_byte_and_no_cut_makes_it_panic() {
        let file = program(X86_64, Some("/lib64/ld.so"), &["libm.so.6"], "/opt/x");
        for end in 0..file.len() {
            assert!(parse(&file[..end]).is_err(), "cut to {end} bytes");
        }
        for at in 0..file.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = file.clone();
                changed[at] = value;
                // Any answer is right, as long as there is one.
                let _ = parse(&changed);
            }
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let file = program(X86_64, None, &[], "");
        let with = |at: usize, value: u8| {
            let mut changed = file.clone();
            changed[at] = value;
            parse(&changed)
        };
        assert!(parse(b"MZ").is_err() && parse(b"#!/bin/sh\n").is_err() && parse(&[0; 64]).is_err());
        assert!(with(4, 1).is_err(), "32 bits");
        assert!(with(5, 2).is_err(), "big-endian");
        assert!(with(39, 0xff).is_err(), "segments beyond the file");
        assert!(with(57, 0xff).is_err(), "too many segments");
    }

    #[test]
    fn this_very_program_is_read() {
        if !cfg!(all(target_os = "linux", target_endian = "little", target_pointer_width = "64")) {
            return;
        }
        let elf = Elf::open(&std::env::current_exe().unwrap()).unwrap();
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.")), "{elf:?}");
    }
}

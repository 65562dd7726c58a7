//! Cutting a text table into stretches of whole records without looking at their fields, so that the fields can be read
//! by several threads at once.
//!
//! Where no quote is in sight, every line end ends a record, and the last one is found from behind. Otherwise the text is
//! walked through by the rules of `csv-core`: a quote opens a quoted field only where the field begins, a doubled one
//! inside stands for itself, and behind the closing one the field goes on as an unquoted one.

use std::io::Seek as _;

use super::{
    Dialect,
    reader::{MAX_RECORD_BYTES, Records},
};
use crate::{
    error::DatasetError,
    source::{SourceFile, TextReader},
};

/// Bytes of text in a stretch, more only where a record is longer. Long enough that handing it on costs nothing beside
/// reading its fields, short enough that a few of them are no burden.
pub(crate) const STRETCH_BYTES: usize = 1 << 20;

/// Whole records as text, not yet checked to be well-formed, nor to be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) bytes: Vec<u8>,
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    pub(crate) sight: Sight,
}

/// Which bytes a text has: all that is to be known of it, in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sight {
    /// How many LF.
    pub(crate) n_line_feeds: usize,
    pub(crate) has_quotes: bool,
    pub(crate) has_returns: bool,
    pub(crate) has_nul: bool,
}

impl Sight {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        // As long as a byte can count, and a whole number of vectors: then this compiles to a few instructions for each
        // of them.
        const CHUNK: usize = 240;
        let mut sight = Self::default();
        let mut look = |chunk: &[u8]| {
            let (mut n, mut quotes, mut returns, mut nuls) = (0u8, 0u8, 0u8, 0u8);
            for &byte in chunk {
                // A check for overflow, of which there is none in so short a chunk, would keep it from vectors.
                n = n.wrapping_add(u8::from(byte == b'\n'));
                quotes |= u8::from(byte == b'"');
                returns |= u8::from(byte == b'\r');
                nuls |= u8::from(byte == 0);
            }
            sight.n_line_feeds += usize::from(n);
            sight.has_quotes |= quotes != 0;
            sight.has_returns |= returns != 0;
            sight.has_nul |= nuls != 0;
        };
        let (chunks, rest) = bytes.as_chunks::<CHUNK>();
        chunks.iter().for_each(|chunk| look(chunk.as_slice()));
        look(rest);
        sight
    }
}

/// Cuts a file from its first record to its last. The same file is always cut at the same places.
pub(crate) struct Cutter {
    file: SourceFile,
    text: TextReader,
    separator: u8,
    /// What was read behind the last stretch.
    rest: Vec<u8>,
    line: u64,
    stretch_bytes: usize,
    ended: bool,
}

impl Cutter {
    pub(crate) fn open(file: &SourceFile, dialect: &Dialect, stretch_bytes: usize) -> Result<Self, DatasetError> {
        let text = TextReader::new(file.open()?, dialect.encoding, dialect.lone_returns).without_digest();
        Ok(Self {
            file: file.clone(),
            text,
            separator: dialect.separator,
            rest: Vec::new(),
            line: 1,
            stretch_bytes: stretch_bytes.max(1),
            ended: false,
        })
    }

    /// The next stretch, `None` at the end; fails at the end where the file changed meanwhile.
    pub(crate) fn next(&mut self) -> Result<Option<Stretch>, DatasetError> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut wanted = self.stretch_bytes;
        loop {
            while bytes.len() < wanted && !self.ended {
                let n = self.text.append(&mut bytes, wanted).map_err(|err| self.file.io(err))?;
                self.ended = n == 0;
            }
            if self.ended {
                break;
            }
            if let Some(end) = last_end(&bytes, self.separator) {
                self.rest = bytes.split_off(end);
                break;
            }
            // A record that is too long is given out as far as it was read: reading its fields says what is wrong. Doubled
            // quotes take two bytes for one.
            if bytes.len() > 2 * MAX_RECORD_BYTES + (1 << 16) {
                break;
            }
            wanted = bytes.len() * 2;
        }
        if bytes.is_empty() {
            self.file.check_same(self.text.file())?;
            return Ok(None);
        }
        let stretch = Stretch { line: self.line, sight: Sight::of(&bytes), bytes };
        self.line += stretch.sight.n_line_feeds as u64;
        Ok(Some(stretch))
    }

    /// How much of the file was given out, from 0 to 1; to a stretch, where the file is not UTF-8. `None` where the system
    /// does not tell.
    pub(crate) fn share(&self) -> Option<f64> {
        let mut file = self.text.file();
        let (read, whole) = (file.stream_position().ok()?, file.metadata().ok()?.len());
        let given = read.saturating_sub(self.rest.len() as u64);
        (whole > 0).then(|| (given as f64 / whole as f64).min(1.0))
    }
}

impl Stretch {
    /// Its records, one after the other.
    pub(crate) fn records(&self, file: &SourceFile, dialect: &Dialect) -> Records {
        Records::in_memory(file, dialect, self.bytes.clone(), self.line)
    }

    /// Whether it has no record.
    pub(crate) fn is_blank(&self) -> bool {
        self.first_record().is_none()
    }

    fn first_record(&self) -> Option<usize> {
        self.bytes.iter().position(|byte| !matches!(byte, b'\n' | b'\r'))
    }

    /// Takes the first record off: the header.
    pub(crate) fn behind_first_record(mut self, separator: u8) -> Self {
        let begin = self.first_record().unwrap_or(self.bytes.len());
        let end = Walk::new(&self.bytes, begin, separator).next().unwrap_or(self.bytes.len());
        let n_lines = Sight::of(&self.bytes[..end]).n_line_feeds;
        self.line += n_lines as u64;
        self.sight.n_line_feeds -= n_lines;
        self.bytes.drain(..end);
        self
    }
}

/// Where the last whole record ends, behind its line end.
fn last_end(bytes: &[u8], separator: u8) -> Option<usize> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !bytes.contains(&b'"') {
        return bytes.iter().rposition(is_end).map(|at| at + 1);
    }
    Walk::new(bytes, 0, separator).last()
}

/// The places behind the line ends that end records. A line end that follows another one counts as well.
struct Walk<'a> {
    bytes: &'a [u8],
    /// Where the next field begins.
    at: usize,
    separator: u8,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], at: usize, separator: u8) -> Self {
        Self { bytes, at, separator }
    }
}

impl Iterator for Walk<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let field = self.bytes.get(self.at..)?;
            let mut from = 0;
            if field.first() == Some(&b'"') {
                from = 1;
                loop {
                    from += field.get(from..)?.iter().position(|&byte| byte == b'"')? + 1;
                    match field.get(from) {
                        Some(b'"') => from += 1,
                        Some(_) => break,
                        // What comes next decides whether this quote closes the field.
                        None => return None,
                    }
                }
            }
            let ends = |&byte: &u8| byte == self.separator || byte == b'\n' || byte == b'\r';
            let end = from + field.get(from..)?.iter().position(ends)?;
            let is_record = field.get(end) != Some(&self.separator);
            self.at += end + 1;
            if is_record {
                return Some(self.at);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_end_where_no_quote_is_open() {
        let table: &[(&str, &[usize])] = &[
            ("", &[]),
            ("a,b", &[]),
            ("a,b\nc", &[4]),
            ("a\r\nb\r\n", &[2, 3, 5, 6]),
            ("\"a\nb\",c\nd\n", &[8, 10]),
            ("\"a\"\"\nb\"\n", &[8]),
            ("\"a\"x\ny\n", &[5, 7]),
            ("a\"b\nc\"\n", &[4, 7]),
            ("a,\"b\nc", &[]),
            ("\"a\"", &[]),
            ("x\n\"a\n", &[2]),
        ];
        for (text, ends) in table {
            let found: Vec<usize> = Walk::new(text.as_bytes(), 0, b',').collect();
            assert_eq!(found, *ends, "{text:?}");
            if !text.contains('"') {
                assert_eq!(last_end(text.as_bytes(), b','), ends.last().copied(), "{text:?}");
            }
        }
    }

    #[test]
    fn the_header_is_taken_off_with_its_lines() {
        let behind = |text: &str| {
            let sight = Sight::of(text.as_bytes());
            let stretch = Stretch { bytes: text.into(), line: 1, sight }.behind_first_record(b',');
            assert_eq!(stretch.sight.n_line_feeds, Sight::of(&stretch.bytes).n_line_feeds);
            (String::from_utf8(stretch.bytes).unwrap(), stretch.line)
        };
        assert_eq!(behind("a,b\n1,2\n"), ("1,2\n".into(), 2));
        assert_eq!(behind("\n\na,\"b\nc\"\r\n1,2\n"), ("\n1,2\n".into(), 4));
        assert_eq!(behind("a,b"), (String::new(), 1));
    }

    #[test]
    fn bytes_are_seen_wherever_they_stand() {
        let lines: Vec<u8> = (0..1000u32).map(|at| if at % 3 == 0 { b'\n' } else { b'x' }).collect();
        assert_eq!(Sight::of(&lines), Sight { n_line_feeds: 334, ..Sight::default() });
        assert_eq!(Sight::of(&[b'\n'; 1000]).n_line_feeds, 1000);
        for at in [0, 239, 240, 600, 999] {
            let with = |byte: u8| {
                let mut bytes = vec![b'x'; 1000];
                bytes[at] = byte;
                Sight::of(&bytes)
            };
            assert_eq!(with(b'"'), Sight { has_quotes: true, ..Sight::default() });
            assert_eq!(with(b'\r'), Sight { has_returns: true, ..Sight::default() });
            assert_eq!(with(0), Sight { has_nul: true, ..Sight::default() });
        }
    }
}

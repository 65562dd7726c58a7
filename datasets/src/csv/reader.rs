//! Records of a text table, one after the other, in bounded memory, with their line numbers.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::{
    error::DatasetError,
    source::{Encoding, SourceFile, TextReader},
};

/// The longest record, in bytes: an unterminated quote stops here instead of eating the rest of the file.
pub(crate) const MAX_RECORD_BYTES: usize = 16 << 20;
/// Most columns of a table.
pub(crate) const MAX_COLUMNS: usize = 100_000;

const UTF8_HINT: &str = "save it as UTF-8 or UTF-16 text";

/// How a text table is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) encoding: Encoding,
    pub(crate) separator: u8,
    pub(crate) lone_returns: bool,
}

impl Dialect {
    pub(crate) fn machine(&self) -> Reader {
        ReaderBuilder::new().delimiter(self.separator).build()
    }

    /// For text from the middle of a file.
    fn machine_at(&self, line: u64) -> Reader {
        let mut machine = self.machine();
        // A machine that has read something takes no character for a byte order mark.
        let _ = machine.read_record(b"\n", &mut [0], &mut [0]);
        machine.set_line(line);
        machine
    }
}

/// The fields of one record.
pub(crate) struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
    /// The line on which the record begins, from 1.
    pub(crate) line: u64,
}

impl<'a> Record<'a> {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (text, ends) = (self.text, self.ends);
        // Ends lie on character borders: they stand where separators, which are ASCII, stood.
        ends.iter().enumerate().map(move |(i, &end)| &text[if i == 0 { 0 } else { ends[i - 1] }..end])
    }
}

/// Streams the records of a file.
pub(crate) struct Records {
    file: SourceFile,
    text: Text,
    machine: Reader,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
    field_bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes of text consumed so far.
    pub(crate) n_consumed: u64,
    place: Place,
}

/// Where the text of records comes from.
enum Text {
    File(Box<TextReader>),
    /// A stretch of a file that was read already, until it was handed out.
    Memory(Option<Vec<u8>>),
}

impl Text {
    fn encoding(&self) -> Encoding {
        match self {
            Self::File(text) => text.encoding(),
            Self::Memory(_) => Encoding::Utf8 { mark_bytes: 0 },
        }
    }

    /// The next bytes in place of what is in `out`; empty at the end.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::File(text) => text.next_chunk(out),
            Self::Memory(bytes) => {
                *out = bytes.take().unwrap_or_default();
                Ok(())
            }
        }
    }
}

/// Where a record begins: what is needed to go on reading from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Bytes of the file before it.
    pub(crate) offset: u64,
    /// Its line, from 1.
    pub(crate) line: u64,
}

impl Records {
    pub(crate) fn open(file: &SourceFile, dialect: &Dialect) -> Result<Self, DatasetError> {
        Self::begin(file, dialect, None)
    }

    /// From a place that [`Self::place`] told of the same file. No digest comes of it.
    pub(crate) fn open_at(file: &SourceFile, dialect: &Dialect, place: Place) -> Result<Self, DatasetError> {
        Self::begin(file, dialect, Some(place))
    }

    /// Of text that begins with a record on line `line` of the file. No digest comes of it.
    pub(crate) fn in_memory(file: &SourceFile, dialect: &Dialect, bytes: Vec<u8>, line: u64) -> Self {
        let place = Place { offset: 0, line };
        Self::new(file, dialect.machine_at(line), Text::Memory(Some(bytes)), place)
    }

    fn begin(file: &SourceFile, dialect: &Dialect, place: Option<Place>) -> Result<Self, DatasetError> {
        let handle = file.open()?;
        let (text, machine, place) = match place {
            None => {
                let text = TextReader::new(handle, dialect.encoding, dialect.lone_returns);
                (text, dialect.machine(), Place { offset: dialect.encoding.mark_bytes(), line: 1 })
            }
            Some(place) => {
                let text = TextReader::new_at(handle, dialect.encoding, dialect.lone_returns, place.offset);
                (text.map_err(|err| file.io(err))?, dialect.machine_at(place.line), place)
            }
        };
        Ok(Self::new(file, machine, Text::File(Box::new(text)), place))
    }

    fn new(file: &SourceFile, machine: Reader, text: Text, place: Place) -> Self {
        Self {
            file: file.clone(),
            text,
            machine,
            chunk: Vec::new(),
            at: 0,
            ended: false,
            field_bytes: vec![0; 1 << 12],
            ends: vec![0; 64],
            n_consumed: 0,
            place,
        }
    }

    /// Where the text that was not consumed yet begins; between two records that is where the next one begins, or blank
    /// lines before it.
    pub(crate) fn place(&self) -> Place {
        Place { line: self.machine.line(), ..self.place }
    }

    /// Counts consumed text, in bytes of the file.
    fn consume(&mut self, n_bytes: usize) {
        let end = (self.at + n_bytes).min(self.chunk.len());
        self.place.offset += match self.text.encoding() {
            Encoding::Utf8 { .. } => n_bytes as u64,
            // One unit of two bytes for each character, two where the character has four bytes of UTF-8.
            Encoding::Utf16 { .. } => {
                let units = |&byte: &u8| u64::from(byte & 0xC0 != 0x80) + u64::from(byte >= 0xF0);
                2 * self.chunk[self.at..end].iter().map(units).sum::<u64>()
            }
        };
        self.at += n_bytes;
        self.n_consumed += n_bytes as u64;
    }

    fn at_line(&self, line: u64, reason: impl Into<String>, hint: &str) -> DatasetError {
        DatasetError::Line { path: self.file.shown.clone(), line, reason: reason.into(), hint: hint.to_owned() }
    }

    /// The next record; `None` at the end. Blank lines are passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, DatasetError> {
        let mut first_line = self.machine.line();
        let (mut n_text, mut n_ends) = (0, 0);
        let mut started = false;
        loop {
            if self.at == self.chunk.len() && !self.ended {
                self.text.next_chunk(&mut self.chunk).map_err(|err| self.file.io(err))?;
                self.at = 0;
                if self.chunk.is_empty() {
                    self.ended = true;
                    // A line end that the file may lack; inside quotes it does not end the record, which tells that a
                    // quote is still open.
                    self.chunk.push(b'\n');
                }
            }
            if !started {
                self.skip_blank_lines();
                first_line = self.machine.line();
            }
            if self.at == self.chunk.len() && self.ended {
                if !started {
                    return Ok(None);
                }
                return Err(self.open_quote(first_line));
            }
            if self.at == self.chunk.len() {
                continue;
            }
            let (result, n_in, n_out, n_end) = self.machine.read_record(
                &self.chunk[self.at..],
                &mut self.field_bytes[n_text..],
                &mut self.ends[n_ends..],
            );
            started |= n_in > 0;
            self.consume(n_in);
            n_text += n_out;
            n_ends += n_end;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    if self.field_bytes.len() >= MAX_RECORD_BYTES {
                        // A disk image, or a copy that was cut off and filled up: no quote could mend that.
                        let is_text = !self.field_bytes.contains(&0);
                        return Err(if is_text { self.open_quote(first_line) } else { self.nul_byte(first_line) });
                    }
                    let n = self.field_bytes.len() * 2;
                    self.field_bytes.resize(n, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    if self.ends.len() > MAX_COLUMNS {
                        let reason = format!("it has more than {MAX_COLUMNS} fields");
                        return Err(self.at_line(first_line, reason, "check the separator"));
                    }
                    let n = self.ends.len() * 2;
                    self.ends.resize(n, 0);
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let bytes = &self.field_bytes[..n_text];
        if bytes.contains(&0) {
            return Err(self.nul_byte(first_line));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(self.at_line(first_line, "it is not UTF-8 text", UTF8_HINT));
        };
        // Every field of its own must be valid: a separator can't stand inside a character, but a broken file may end
        // one field in the middle of a character and begin the next one with its rest.
        if self.ends[..n_ends].iter().any(|&end| !text.is_char_boundary(end)) {
            return Err(self.at_line(first_line, "it is not UTF-8 text", UTF8_HINT));
        }
        Ok(Some(Record { text, ends: &self.ends[..n_ends], line: first_line }))
    }

    /// Passes over line ends between records, so that a record's line number is that of its first character.
    fn skip_blank_lines(&mut self) {
        while let Some(&byte) = self.chunk.get(self.at).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            if byte == b'\n' {
                self.machine.set_line(self.machine.line() + 1);
            }
            self.consume(1);
        }
    }

    fn nul_byte(&self, line: u64) -> DatasetError {
        let hint = "it is perhaps not a text table, or UTF-16 without a byte order mark; save it as UTF-8 text";
        self.at_line(line, "it holds a NUL byte", hint)
    }

    fn open_quote(&self, line: u64) -> DatasetError {
        let reason = "a quote that is opened here is never closed, or the record is longer than 16 MiB";
        self.at_line(line, reason, "close the quote, or double quotes that belong to the text")
    }

    /// The digest of the file's bytes; call it after the last record. Fails where the file changed meanwhile.
    pub(crate) fn finish(self) -> Result<String, DatasetError> {
        // What was read already was checked by who read it.
        let Text::File(text) = self.text else { return Ok(String::new()) };
        let (digest, handle) = text.finish();
        self.file.check_same(&handle)?;
        Ok(digest)
    }
}

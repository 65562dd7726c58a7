//! Text tables: what a file's first part tells, and batches of typed rows.
//!
//! Records are cut by `csv-core`, because line numbers, open quotes, CR-only lines and one pass for values and digest
//! are needed and Polars' own reader offers none of them; Polars gets typed columns. Who wants a table's rows as fast as
//! possible cuts it into stretches of whole records (`cut`) that several threads read (`decode`).

pub(crate) mod cut;
pub(crate) mod decode;
pub(crate) mod index;
pub(crate) mod reader;
pub(crate) mod types;
pub(crate) mod write;

use std::collections::BTreeSet;

use athanor_protocol::table::{ColumnSchema, CsvOptions, DataType, TableSchema};
use polars::prelude::DataFrame;

use self::{
    cut::{Cutter, STRETCH_BYTES, Stretch},
    reader::{Dialect, MAX_COLUMNS, Record, Records},
    types::{Builder, FieldRules, Guess, looks_like_a_value, widened},
};
use crate::{
    error::{DatasetError, cut},
    source::{Encoding, SourceFile},
};

/// Most bytes of text that are looked at when a table is opened (more only to complete the second record).
const SAMPLE_BYTES: u64 = 1 << 20;
/// Most records that are looked at when a table is opened.
const SAMPLE_RECORDS: usize = 10_000;
/// Most fields in one batch of rows, so that wide tables have short batches.
const BATCH_FIELDS: usize = 1 << 21;
/// Most bytes of text in one batch.
const BATCH_BYTES: u64 = 16 << 20;
const RAGGED_HINT: &str = "mend the line, or put quotes around fields that hold the separator or a line end";

/// Everything needed to read a text table.
#[derive(Debug, Clone)]
pub(crate) struct CsvTable {
    dialect: Dialect,
    rules: FieldRules,
    has_header: bool,
    pub(crate) schema: TableSchema,
    pub(crate) notes: Vec<String>,
    /// Whether the sample was the whole file, so that types can't change any more.
    pub(crate) settled: bool,
}

/// Whether reading goes on.
pub(crate) enum Flow {
    Continue,
    Stop,
}

/// How a pass over the table ended.
pub(crate) enum Pass {
    /// At the end of the file, whose digest this is.
    Done(String),
    /// Because the receiver had enough.
    Stopped,
    /// A value did not fit its column's type. The types were widened so that all values fit: read again.
    Widened,
}

impl CsvTable {
    /// Looks at a bounded first part of the file.
    pub(crate) fn open(file: &SourceFile, options: &CsvOptions) -> Result<Self, DatasetError> {
        let first = file.first_bytes(SAMPLE_BYTES)?;
        let encoding = Encoding::sniff(&first);
        let rules = FieldRules::new(options);
        let mut dialect = Dialect { encoding, separator: b',', lone_returns: has_lone_returns(&first, encoding) };
        dialect.separator = match options.separator {
            Some(c) if c.is_ascii() && !matches!(c, '"' | '\n' | '\r' | '\0') => c as u8,
            Some(c) => {
                let reason = format!("{c:?} can't be a separator");
                return Err(DatasetError::invalid_because(reason, "use one ASCII character, for example ',' or ';'"));
            }
            None => sniff_separator(file, &dialect, options.decimal_comma)?,
        };
        let mut notes = Vec::new();
        if matches!(encoding, Encoding::Utf16 { .. }) {
            notes.push("the file is UTF-16 and is read as such".to_owned());
        }
        let mut records = Records::open(file, &dialect)?;
        let first: Vec<String> = match records.next()? {
            Some(record) => record.fields().map(str::to_owned).collect(),
            None => return Err(DatasetError::Empty { path: file.shown.clone() }),
        };
        if first.len() > MAX_COLUMNS {
            return Err(DatasetError::TooLarge {
                reason: format!("{:?} has more than {MAX_COLUMNS} columns", file.shown),
            });
        }
        let has_header =
            options.has_header.unwrap_or_else(|| !first.iter().any(|field| looks_like_a_value(&rules, field)));
        let mut guesses = vec![Guess::new(); first.len()];
        let names = if has_header {
            column_names(&first, &mut notes)
        } else {
            if options.has_header.is_none() {
                notes.push("the first line holds values, so the columns are named column_1, column_2, …".to_owned());
            }
            for (guess, field) in guesses.iter_mut().zip(&first) {
                guess.see(&rules, field);
            }
            (1..=first.len()).map(|i| format!("column_{i}")).collect()
        };
        let mut settled = false;
        for n_seen in 0.. {
            let enough = records.n_consumed >= SAMPLE_BYTES && n_seen > 0;
            if n_seen >= SAMPLE_RECORDS || enough {
                break;
            }
            let Some(record) = records.next()? else {
                settled = true;
                break;
            };
            // A ragged line in the sample is reported when rows are read; types come from the lines before it.
            if check_width(file, &record, guesses.len()).is_err() {
                break;
            }
            for (guess, field) in guesses.iter_mut().zip(record.fields()) {
                guess.see(&rules, field);
            }
        }
        let dtype = |name: &String, guess: &Guess| match options.text_columns.contains(name) {
            true => DataType::Text,
            false => guess.dtype(),
        };
        let columns = names.into_iter().zip(&guesses).map(|(name, guess)| {
            let dtype = dtype(&name, guess);
            ColumnSchema { name, dtype }
        });
        let columns = columns.collect();
        Ok(Self { dialect, rules, has_header, schema: TableSchema { columns }, notes, settled })
    }

    /// Reads all rows in batches of at most `n_rows` rows, only the columns in `wanted` (positions, rising).
    ///
    /// A value that does not fit its column widens the column's type for all rows; see [`Pass::Widened`].
    pub(crate) fn read(
        &mut self,
        file: &SourceFile,
        wanted: &[usize],
        n_rows: usize,
        stop: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(DataFrame) -> Result<Flow, DatasetError>,
    ) -> Result<Pass, DatasetError> {
        let mut batches = self.batches(file, wanted, n_rows)?;
        loop {
            if stop() {
                return Err(DatasetError::Cancelled);
            }
            match batches.next(&self.schema)? {
                Batch::Rows(df) => {
                    if let Flow::Stop = sink(df)? {
                        return Ok(Pass::Stopped);
                    }
                }
                Batch::End => break,
                Batch::Misfit => {
                    self.widen(file, stop)?;
                    return Ok(Pass::Widened);
                }
            }
        }
        if stop() {
            return Err(DatasetError::Cancelled);
        }
        self.settled = true;
        Ok(Pass::Done(batches.records.finish()?))
    }

    /// Makes sure that every value of the file fits its column's type, in one pass that keeps nothing.
    pub(crate) fn settle(&mut self, file: &SourceFile, stop: &dyn Fn() -> bool) -> Result<(), DatasetError> {
        if self.settled {
            return Ok(());
        }
        self.widen(file, stop)
    }

    /// The table in stretches of whole records, behind the header.
    pub(crate) fn stretches(&self, file: &SourceFile) -> Result<Stretches, DatasetError> {
        self.stretches_of(file, STRETCH_BYTES)
    }

    fn stretches_of(&self, file: &SourceFile, n_bytes: usize) -> Result<Stretches, DatasetError> {
        let cutter = Cutter::open(file, &self.dialect, n_bytes)?;
        Ok(Stretches { cutter, separator: self.dialect.separator, header_follows: self.has_header })
    }

    /// The records behind the header, from the beginning.
    fn records(&self, file: &SourceFile) -> Result<Records, DatasetError> {
        let mut records = Records::open(file, &self.dialect)?;
        if self.has_header {
            records.next()?;
        }
        Ok(records)
    }

    /// Number of rows, in one pass that keeps nothing.
    pub(crate) fn count(&self, file: &SourceFile) -> Result<u64, DatasetError> {
        let mut records = self.records(file)?;
        let mut n_rows = 0;
        while let Some(record) = records.next()? {
            check_width(file, &record, self.schema.columns.len())?;
            n_rows += 1;
        }
        records.finish()?;
        Ok(n_rows)
    }

    /// A pass that builds nothing, from the beginning: every column gets a type that all its values fit.
    fn widen(&mut self, file: &SourceFile, stop: &dyn Fn() -> bool) -> Result<(), DatasetError> {
        let mut records = self.records(file)?;
        let mut n_read = 0u64;
        while let Some(record) = records.next()? {
            check_width(file, &record, self.schema.columns.len())?;
            for (column, field) in self.schema.columns.iter_mut().zip(record.fields()) {
                let dtype = column.dtype;
                if dtype == DataType::Text || self.rules.is_missing(field) || self.rules.fits(dtype, field) {
                    continue;
                }
                column.dtype = widened(dtype, &self.rules, field);
                self.notes.push(format!(
                    "column {:?} looked like {} at first, but line {} holds {:?}: it is read as {}",
                    column.name,
                    dtype.as_str(),
                    record.line,
                    cut(field, 40),
                    column.dtype.as_str()
                ));
            }
            n_read += 1;
            if n_read.is_multiple_of(4096) && stop() {
                return Err(DatasetError::Cancelled);
            }
        }
        records.finish()?;
        self.settled = true;
        Ok(())
    }

    /// Batches of rows in file order.
    pub(crate) fn batches(&self, file: &SourceFile, wanted: &[usize], n_rows: usize) -> Result<Batches, DatasetError> {
        let records = self.records(file)?;
        let most = (BATCH_FIELDS / wanted.len().max(1)).max(1);
        Ok(Batches {
            file: file.clone(),
            records,
            rules: self.rules.clone(),
            wanted: wanted.to_vec(),
            n_rows: n_rows.clamp(1, most),
        })
    }
}

/// Hands out a table's records in stretches.
pub(crate) struct Stretches {
    cutter: Cutter,
    separator: u8,
    header_follows: bool,
}

impl Stretches {
    /// The next one, `None` at the end; fails at the end where the file changed meanwhile. One may hold no record.
    pub(crate) fn next(&mut self) -> Result<Option<Stretch>, DatasetError> {
        while let Some(stretch) = self.cutter.next()? {
            if !self.header_follows {
                return Ok(Some(stretch));
            }
            // Blank lines before the header are nothing.
            if !stretch.is_blank() {
                self.header_follows = false;
                return Ok(Some(stretch.behind_first_record(self.separator)));
            }
        }
        Ok(None)
    }

    /// How much of the file was given out, from 0 to 1, where that is known.
    pub(crate) fn share(&self) -> Option<f64> {
        self.cutter.share()
    }
}

/// What a reader of batches finds next.
pub(crate) enum Batch {
    /// Rows, at least one.
    Rows(DataFrame),
    /// No more rows.
    End,
    /// A value does not fit the type that the schema says.
    Misfit,
}

/// Reads a text table batch by batch.
pub(crate) struct Batches {
    file: SourceFile,
    records: Records,
    rules: FieldRules,
    wanted: Vec<usize>,
    n_rows: usize,
}

impl Batches {
    /// The next rows, typed as `schema` says.
    pub(crate) fn next(&mut self, schema: &TableSchema) -> Result<Batch, DatasetError> {
        let names: Vec<&ColumnSchema> = self.wanted.iter().map(|&at| &schema.columns[at]).collect();
        // Room for what a batch of ordinary length needs; growing further is the builders' own business.
        let room = self.n_rows.min(1024);
        let mut builders: Vec<Builder> = names.iter().map(|c| Builder::new(&c.name, c.dtype, room)).collect();
        let begun = self.records.n_consumed;
        let mut n_read = 0;
        while n_read < self.n_rows && self.records.n_consumed - begun < BATCH_BYTES {
            let Some(record) = self.records.next()? else { break };
            check_width(&self.file, &record, schema.columns.len())?;
            let mut wanted = self.wanted.iter().zip(&mut builders).peekable();
            for (at, field) in record.fields().enumerate() {
                let Some((_, builder)) = wanted.next_if(|(position, _)| **position == at) else { continue };
                if !builder.push(&self.rules, field) {
                    return Ok(Batch::Misfit);
                }
            }
            n_read += 1;
        }
        if n_read == 0 {
            return Ok(Batch::End);
        }
        let columns: Result<Vec<_>, _> = builders.into_iter().zip(&names).map(|(b, c)| b.finish(&c.name)).collect();
        Ok(Batch::Rows(DataFrame::new(n_read, columns?)?))
    }

    /// The digest of the file's bytes, once [`Batch::End`] was seen; fails where the file changed meanwhile.
    pub(crate) fn finish(self) -> Result<String, DatasetError> {
        self.records.finish()
    }
}

fn check_width(file: &SourceFile, record: &Record<'_>, n_columns: usize) -> Result<(), DatasetError> {
    if record.len() == n_columns {
        return Ok(());
    }
    Err(DatasetError::Line {
        path: file.shown.clone(),
        line: record.line,
        reason: format!("it has {} fields where {n_columns} were expected", record.len()),
        hint: RAGGED_HINT.to_owned(),
    })
}

/// Whether lines end in CR alone: there are CRs and no LF.
fn has_lone_returns(first: &[u8], encoding: Encoding) -> bool {
    let has = |byte: u8| match encoding {
        Encoding::Utf8 { .. } => first.contains(&byte),
        Encoding::Utf16 { big_endian } => {
            let unit = if big_endian { [0, byte] } else { [byte, 0] };
            first.chunks_exact(2).any(|pair| pair == unit)
        }
    };
    has(b'\r') && !has(b'\n')
}

/// The separator with which most of the first lines have as many fields as the very first one, more than one.
fn sniff_separator(file: &SourceFile, dialect: &Dialect, decimal_comma: bool) -> Result<u8, DatasetError> {
    const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
    const N_LINES: usize = 50;
    let mut best = (0.0, 1, b',');
    for separator in CANDIDATES {
        let mut records = Records::open(file, &Dialect { separator, ..dialect.clone() })?;
        let (mut width, mut n_same, mut n_seen) = (0, 0, 0);
        for _ in 0..N_LINES {
            if records.n_consumed > SAMPLE_BYTES {
                break;
            }
            // With the wrong separator a quote may seem to open; such a candidate just counts what it has.
            let Ok(Some(record)) = records.next() else { break };
            n_seen += 1;
            if n_seen == 1 {
                width = record.len();
            }
            n_same += usize::from(record.len() == width);
        }
        if width < 2 || (decimal_comma && separator == b',' && best.1 > 1) {
            continue;
        }
        let share = n_same as f64 / f64::from(n_seen.max(1));
        // Where commas are decimals, any other separator that works at all is the right one.
        let better = share > best.0 || (share == best.0 && width > best.1) || (decimal_comma && best.2 == b',');
        if better {
            best = (share, width, separator);
        }
    }
    Ok(best.2)
}

/// Names for columns: empty ones get a number, repeated ones a suffix, both with a note.
fn column_names(fields: &[String], notes: &mut Vec<String>) -> Vec<String> {
    let given: BTreeSet<String> = fields.iter().map(|field| field.trim().to_owned()).collect();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut names = Vec::with_capacity(fields.len());
    // Where each repeated name goes on counting, so that thousands of equal names stay cheap.
    let mut counters: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut n_changed = 0;
    for (i, field) in fields.iter().enumerate() {
        let wanted = match field.trim() {
            "" => format!("column_{}", i + 1),
            name => name.to_owned(),
        };
        let fresh = !field.trim().is_empty() && !taken.contains(&wanted);
        let name = if fresh || (field.trim().is_empty() && !taken.contains(&wanted) && !given.contains(&wanted)) {
            wanted
        } else {
            let counter = counters.entry(wanted.clone()).or_insert(1);
            loop {
                *counter += 1;
                let candidate = format!("{wanted}_{counter}");
                if !taken.contains(&candidate) && !given.contains(&candidate) {
                    break candidate;
                }
            }
        };
        if name != field.trim() {
            n_changed += 1;
            if n_changed <= 20 {
                notes.push(format!("the header of column {} is {:?}: it is called {name:?}", i + 1, cut(field, 40)));
            }
        }
        taken.insert(name.clone());
        names.push(name);
    }
    if n_changed > 20 {
        notes.push(format!("{} more columns were renamed in the same way", n_changed - 20));
    }
    names
}

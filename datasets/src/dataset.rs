//! Opening a table: what kind of file it is and which columns it has, from a bounded first part.

use std::io::{Read, Seek, SeekFrom};

use athanor_protocol::{
    columns::Frame,
    table::{ColumnSchema, DataSource, DataType, TableFormat, TableSchema},
};
use polars::prelude as pl;
use polars::prelude::{DataFrame, LazyFrame};

use crate::{
    csv::{CsvTable, Flow, Pass},
    error::{DatasetError, guard},
    frame::{frame_from_polars, logical_type, polars_type},
    source::SourceFile,
};

/// Longest footer of a Parquet file that is read.
const MAX_FOOTER_BYTES: u64 = 256 << 20;
/// Rows in a batch where only the whole matters.
pub(crate) const BATCH_ROWS: usize = 65_536;
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// An opened table. Its rows stay in the file until they are asked for.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub(crate) file: SourceFile,
    pub(crate) kind: Kind,
    schema: TableSchema,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Csv(Box<CsvTable>),
    Parquet(ParquetTable),
}

/// What a Parquet file's footer says.
#[derive(Debug, Clone)]
pub(crate) struct ParquetTable {
    /// Usable columns in order, with their types in the file.
    pub(crate) columns: Vec<(String, pl::DataType)>,
    pub(crate) n_rows: u64,
}

/// Opens a table: tells its format from the first bytes and the name's ending, and its columns from a bounded first
/// part (text tables) or the footer (Parquet). Reads nothing else, so that opening a huge or bad file is quick.
///
/// # Errors
/// If the path is not a regular file, the file is empty, or its beginning is not a table.
pub fn open(source: &DataSource) -> Result<Dataset, DatasetError> {
    let file = SourceFile::find(&source.path)?;
    let first = file.first_bytes(4096)?;
    let mut notes = Vec::new();
    let format = tell_format(source.format, &file, &first, &mut notes)?;
    guard("opening a table", || match format {
        TableFormat::Parquet => {
            let (table, schema) = ParquetTable::open(&file, &mut notes)?;
            Ok(Dataset { file, kind: Kind::Parquet(table), schema, notes })
        }
        _ => {
            let table = CsvTable::open(&file, &source.csv)?;
            let schema = table.schema.clone();
            notes.extend(table.notes.iter().cloned());
            Ok(Dataset { file, kind: Kind::Csv(Box::new(table)), schema, notes })
        }
    })
}

fn unreadable(file: &SourceFile, reason: impl Into<String>, hint: &str) -> DatasetError {
    DatasetError::Unreadable { path: file.shown.clone(), reason: reason.into(), hint: hint.to_owned() }
}

fn tell_format(
    wanted: TableFormat,
    file: &SourceFile,
    first: &[u8],
    notes: &mut Vec<String>,
) -> Result<TableFormat, DatasetError> {
    const OTHERS: [(&[u8], &str); 7] = [
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
        (b"\xD0\xCF\x11\xE0", "an old Excel workbook"),
        (b"\x1F\x8B", "compressed with gzip"),
        (b"\x28\xB5\x2F\xFD", "compressed with Zstandard"),
        (b"PARE", "an encrypted Parquet file"),
        (b"ARROW1", "an Arrow file"),
        (b"%PDF", "a PDF document"),
    ];
    let is_parquet = first.starts_with(PARQUET_MAGIC);
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(unreadable(file, format!("it is {what}"), "save the table as CSV or Parquet"));
    }
    let ends_with = |ending: &str| file.name().to_ascii_lowercase().ends_with(ending);
    match (wanted, is_parquet) {
        (TableFormat::Auto | TableFormat::Parquet, true) => Ok(TableFormat::Parquet),
        (TableFormat::Csv, true) => {
            Err(unreadable(file, "it is a Parquet file, not text", "let the format be found out, or set it to parquet"))
        }
        (TableFormat::Parquet, false) => {
            let hint = "let the format be found out, or set it to csv";
            Err(unreadable(file, "it does not begin as a Parquet file does", hint))
        }
        (TableFormat::Auto, false) if ends_with(".parquet") => {
            if first.contains(&0)
                || std::str::from_utf8(&first[..first.len().min(512)]).is_err_and(|e| e.error_len().is_some())
            {
                let hint = "the file was perhaps cut off or damaged; make it again";
                return Err(unreadable(file, "it does not begin as a Parquet file does", hint));
            }
            notes.push("the file is named like a Parquet file, but it holds text and is read as such".to_owned());
            Ok(TableFormat::Csv)
        }
        (TableFormat::Auto | TableFormat::Csv, false) => Ok(TableFormat::Csv),
    }
}

impl ParquetTable {
    fn open(file: &SourceFile, notes: &mut Vec<String>) -> Result<(Self, TableSchema), DatasetError> {
        const HINT: &str = "the file was perhaps cut off or damaged; make it again";
        let n_bytes = file.print.n_bytes;
        let mut handle = file.open()?;
        let mut tail = [0; 8];
        if n_bytes < 12 {
            return Err(unreadable(file, "it is too short for a Parquet file", HINT));
        }
        handle.seek(SeekFrom::End(-8)).and_then(|_| handle.read_exact(&mut tail)).map_err(|err| file.io(err))?;
        if &tail[4..] != PARQUET_MAGIC {
            return Err(unreadable(file, "it does not end as a Parquet file does", HINT));
        }
        let n_footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        if n_footer + 12 > n_bytes || n_footer > MAX_FOOTER_BYTES {
            return Err(unreadable(file, "the length of its footer is wrong", HINT));
        }
        let broken = |err: pl::PolarsError| {
            let text = err.to_string();
            unreadable(file, format!("its footer is damaged ({})", text.lines().next().unwrap_or_default()), HINT)
        };
        guard("reading a Parquet footer", || {
            use polars::prelude::SerReader;
            handle.rewind().map_err(|err| file.io(err))?;
            let mut reader = pl::ParquetReader::new(handle);
            let n_rows = reader.num_rows().map_err(broken)? as u64;
            let found = scan_parquet(file)?.collect_schema().map_err(broken)?;
            let mut columns = Vec::new();
            let mut schema = TableSchema::default();
            for (name, dtype) in found.iter() {
                let logical = logical_type(dtype);
                if logical == DataType::Other {
                    notes.push(format!("column {name:?} is left out: values of type {dtype} can't be used"));
                    continue;
                }
                columns.push((name.to_string(), dtype.clone()));
                schema.columns.push(ColumnSchema { name: name.to_string(), dtype: logical });
            }
            if columns.is_empty() {
                return Err(unreadable(file, "it has no column that can be used", "choose another file"));
            }
            Ok((Self { columns, n_rows }, schema))
        })
        .map_err(|err| match err {
            DatasetError::Panicked { .. } => unreadable(file, "its footer is damaged", HINT),
            err => err,
        })
    }

    /// The rows as the one Polars type for each logical type; floats keep their NaNs.
    pub(crate) fn scan(&self, file: &SourceFile, wanted: &[usize]) -> Result<LazyFrame, DatasetError> {
        let exprs: Vec<pl::Expr> = wanted
            .iter()
            .map(|&at| {
                let (name, dtype) = &self.columns[at];
                let column = pl::Expr::Column(name.as_str().into());
                match dtype {
                    pl::DataType::Datetime(_, Some(_)) => crate::frame::canonical_expr(column, dtype),
                    dtype => match polars_type(logical_type(dtype)) {
                        Some(wanted) if wanted != *dtype && dtype.is_integer() => column.strict_cast(wanted),
                        Some(wanted) if wanted != *dtype => column.cast(wanted),
                        _ => column,
                    },
                }
            })
            .collect();
        Ok(scan_parquet(file)?.select(exprs))
    }
}

pub(crate) fn scan_parquet(file: &SourceFile) -> Result<LazyFrame, DatasetError> {
    let path = pl::PlRefPath::try_from_path(&file.path)?;
    let args = pl::ScanArgsParquet { glob: false, cache: false, ..Default::default() };
    Ok(LazyFrame::scan_parquet(path, args)?)
}

/// Collects with the streaming engine.
pub(crate) fn collect_streaming(lazy: LazyFrame) -> Result<DataFrame, pl::PolarsError> {
    // Only a query with several sinks has several results; ours have one.
    Ok(lazy.collect_with_engine(pl::Engine::Streaming)?.unwrap_single())
}

impl Dataset {
    /// The columns. The types of a text table come from its first part; see [`Self::notes`] after reading it whole.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// After a text table's types were widened.
    pub(crate) fn set_schema(&mut self, schema: TableSchema) {
        self.schema = schema;
    }

    /// What a person should know about how the file was read: renamed or left-out columns, guessed headers.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The file's name without folders.
    pub fn name(&self) -> String {
        self.file.name()
    }

    /// Digest of the file's bytes, `blake3:<hex>`. Streams the whole file.
    ///
    /// # Errors
    /// If the file can't be read or has changed since it was opened.
    pub fn digest(&self) -> Result<String, DatasetError> {
        self.file.digest(&|| false)
    }

    /// Number of rows. Reads a text table whole (in bounded memory) and the footer of a Parquet file.
    ///
    /// # Errors
    /// If the file can't be read, is malformed, or has changed since it was opened.
    pub fn n_rows(&self) -> Result<u64, DatasetError> {
        match &self.kind {
            Kind::Parquet(table) => Ok(table.n_rows),
            Kind::Csv(table) => table.clone().count(&self.file),
        }
    }

    /// The first `n_rows` rows, fewer where there are fewer. Stops reading there.
    ///
    /// # Errors
    /// If these rows are malformed, or the file has changed since it was opened.
    pub fn head(&self, n_rows: usize) -> Result<Frame, DatasetError> {
        let all: Vec<usize> = (0..self.schema.columns.len()).collect();
        let df = guard("reading the first rows", || match &self.kind {
            Kind::Parquet(table) => {
                let n = pl::IdxSize::try_from(n_rows).unwrap_or(pl::IdxSize::MAX);
                Ok(collect_streaming(table.scan(&self.file, &all)?.limit(n))?)
            }
            Kind::Csv(table) => {
                let mut table = (**table).clone();
                loop {
                    let mut found: Option<DataFrame> = None;
                    let pass = table.read(&self.file, &all, n_rows.max(1), &|| false, &mut |df| {
                        push_rows(&mut found, df)?;
                        let enough = found.as_ref().is_some_and(|df| df.height() >= n_rows);
                        Ok(if enough { Flow::Stop } else { Flow::Continue })
                    })?;
                    if !matches!(pass, Pass::Widened) {
                        break found.map_or_else(|| empty_frame(&table.schema), |df| Ok(df.head(Some(n_rows))));
                    }
                }
            }
        })?;
        frame_from_polars(&df, &[])
    }
}

/// Puts rows below those that are there.
pub(crate) fn push_rows(all: &mut Option<DataFrame>, more: DataFrame) -> Result<(), DatasetError> {
    match all {
        Some(df) => {
            df.vstack_mut(&more)?;
        }
        None => *all = Some(more),
    }
    Ok(())
}

/// No rows of these columns.
pub(crate) fn empty_frame(schema: &TableSchema) -> Result<DataFrame, DatasetError> {
    let columns = schema.columns.iter().filter_map(|column| {
        let dtype = polars_type(column.dtype)?;
        Some(pl::Column::new_empty(column.name.as_str().into(), &dtype))
    });
    Ok(DataFrame::new(0, columns.collect())?)
}

/// Reads rows of some columns (positions, rising) whole, with the file's digest. The text of a value that did not fit
/// its first guess widens `dataset`'s schema.
pub(crate) fn collect_columns(
    dataset: &mut Dataset,
    wanted: &[usize],
    stop: &dyn Fn() -> bool,
) -> Result<(DataFrame, String), DatasetError> {
    guard("reading a table", || match &mut dataset.kind {
        Kind::Parquet(table) => {
            let before = dataset.file.digest(stop)?;
            let df =
                collect_streaming(table.scan(&dataset.file, wanted)?).map_err(|err| read_error(&dataset.file, &err))?;
            if dataset.file.digest(stop)? != before {
                return Err(DatasetError::Changed { path: dataset.file.shown.clone() });
            }
            Ok((df, before))
        }
        Kind::Csv(table) => loop {
            let mut found = None;
            let pass = table.read(&dataset.file, wanted, BATCH_ROWS, stop, &mut |df| {
                push_rows(&mut found, df)?;
                Ok(Flow::Continue)
            })?;
            if let Pass::Done(digest) = pass {
                dataset.schema = table.schema.clone();
                let names = wanted.iter().map(|&at| table.schema.columns[at].clone());
                let df = found.map_or_else(|| empty_frame(&TableSchema { columns: names.collect() }), Ok)?;
                break Ok((df, digest));
            }
        },
    })
}

/// The error for Parquet data that the engine could not read.
pub(crate) fn read_error(file: &SourceFile, err: &pl::PolarsError) -> DatasetError {
    let text = err.to_string();
    let line = crate::error::cut(text.lines().next().unwrap_or_default(), 200);
    unreadable(file, format!("its data is damaged or of a kind that is not supported ({line})"), "make the file again")
}

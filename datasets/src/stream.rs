//! Tables larger than memory: batches in, rows out.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_protocol::{
    columns::Frame,
    table::{DataSource, TableSchema},
};
use polars::prelude as pl;

use crate::{
    csv::{
        Batch, Batches,
        write::{push_header, push_rows},
    },
    dataset::{Dataset, Kind, collect_streaming, open, read_error},
    error::{DatasetError, guard},
    frame::{frame_from_polars, polars_from_frame},
    table::{persist, write_error},
};

/// Rows that are taken out of a Parquet file at once, where batches are smaller.
const PIECE_ROWS: usize = 65_536;

/// The rows of a table, batch by batch.
#[derive(Debug)]
pub struct BatchReader {
    dataset: Dataset,
    schema: TableSchema,
    n_rows: usize,
    rows: Rows,
}

enum Rows {
    Csv(Option<Box<Batches>>),
    Parquet { at: u64, ready: VecDeque<Frame> },
    Ended,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Csv(_) => "Csv",
            Self::Parquet { .. } => "Parquet",
            Self::Ended => "Ended",
        })
    }
}

/// Opens a table and reads it in batches of at most `n_rows_per_batch` rows (at least 1), in file order and bounded
/// memory. A text table that is larger than the part looked at on opening is first read through once, so that every
/// batch has the same types.
///
/// # Errors
/// As [`open`]; and if a line of a text table is malformed. Each batch is a `Result` of its own; after an error there
/// are no more.
pub fn read_batches(source: &DataSource, n_rows_per_batch: usize) -> Result<BatchReader, DatasetError> {
    let mut dataset = open(source)?;
    let n_rows = n_rows_per_batch.max(1);
    let file = dataset.file.clone();
    let (schema, rows) = match &mut dataset.kind {
        Kind::Csv(table) => {
            table.settle(&file, &|| false)?;
            let all: Vec<usize> = (0..table.schema.columns.len()).collect();
            (table.schema.clone(), Rows::Csv(Some(Box::new(table.batches(&file, &all, n_rows)?))))
        }
        Kind::Parquet(_) => (dataset.schema().clone(), Rows::Parquet { at: 0, ready: VecDeque::new() }),
    };
    Ok(BatchReader { dataset, schema, n_rows, rows })
}

impl BatchReader {
    /// The columns of every batch.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// How much of the table was given out, from 0 to 1, where that is known: of a Parquet file, whose rows are counted.
    pub fn share(&self) -> Option<f64> {
        let (Rows::Parquet { at, ready }, Kind::Parquet(table)) = (&self.rows, &self.dataset.kind) else { return None };
        let waiting: u64 = ready.iter().map(|frame| frame.n_rows() as u64).sum();
        let given = (*at).min(table.n_rows).saturating_sub(waiting);
        (table.n_rows > 0).then(|| given as f64 / table.n_rows as f64)
    }

    fn read(&mut self) -> Result<Option<Frame>, DatasetError> {
        match &mut self.rows {
            Rows::Ended => Ok(None),
            Rows::Csv(batches) => {
                let Some(reader) = batches.as_mut() else { return Ok(None) };
                match guard("reading a batch", || reader.next(&self.schema))? {
                    Batch::Rows(df) => Ok(Some(frame_from_polars(&df, &[])?)),
                    // The types were settled over the whole file, so a value that does not fit is a new one.
                    Batch::Misfit => Err(DatasetError::Changed { path: self.dataset.file.shown.clone() }),
                    Batch::End => {
                        if let Some(reader) = batches.take() {
                            reader.finish()?;
                        }
                        Ok(None)
                    }
                }
            }
            Rows::Parquet { at, ready } => {
                if let Some(frame) = ready.pop_front() {
                    return Ok(Some(frame));
                }
                let Kind::Parquet(table) = &self.dataset.kind else { return Ok(None) };
                if *at >= table.n_rows {
                    return Ok(None);
                }
                let all: Vec<usize> = (0..table.columns.len()).collect();
                // Every look into the file begins a query and decodes from a row group's start: small batches are cut
                // from larger pieces.
                let n_batches = (PIECE_ROWS / self.n_rows).max(1);
                let n = pl::IdxSize::try_from(n_batches.saturating_mul(self.n_rows)).unwrap_or(pl::IdxSize::MAX);
                let from = i64::try_from(*at).unwrap_or(i64::MAX);
                let file = &self.dataset.file;
                let df = guard("reading a batch", || {
                    // Opening checks that it is still the same file.
                    file.open()?;
                    let lazy = table.scan(file, &all)?.slice(from, n);
                    collect_streaming(lazy).map_err(|err| read_error(file, &err))
                })?;
                *at += u64::from(n);
                for from in (0..df.height()).step_by(self.n_rows) {
                    // A row number of a frame in memory fits.
                    ready.push_back(frame_from_polars(&df.slice(from as i64, self.n_rows), &[])?);
                }
                Ok(ready.pop_front())
            }
        }
    }
}

impl Iterator for BatchReader {
    type Item = Result<Frame, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.rows = Rows::Ended;
        }
        item
    }
}

/// Writes rows to a CSV or Parquet file, told by the name's ending. Nothing is to be seen under the name before
/// [`Self::finish`]; a writer that is dropped leaves nothing behind.
///
/// Texts go into CSV as they are, in quotes where needed. A text that begins with `=`, `+`, `-` or `@` is written as it
/// is too: to change it would falsify data. Who opens such a file in a spreadsheet should import it as text.
pub struct TableWriter {
    path: PathBuf,
    beside: tempfile::NamedTempFile,
    format: Format,
    n_rows: u64,
    /// The first rows' columns.
    names: Option<Vec<Arc<str>>>,
}

enum Format {
    Csv { file: BufWriter<File>, lines: Vec<u8> },
    Parquet { file: File, writer: Option<Box<polars::io::parquet::write::BatchedWriter<File>>> },
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter").field("path", &self.path).field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}

impl TableWriter {
    /// Begins a file beside `path`.
    ///
    /// # Errors
    /// If the ending is neither `.csv` nor `.parquet`, or the folder can't be written to.
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let io = |source| DatasetError::Io { action: "writing", path: path.display().to_string(), source };
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if !matches!(ending.as_str(), "csv" | "parquet") {
            let reason =
                format!("{:?} can't be written: its name ends neither in .csv nor in .parquet", path.display());
            return Err(DatasetError::invalid_because(reason, "choose a name that ends in .csv or .parquet"));
        }
        if path.is_dir() {
            return Err(DatasetError::NotAFile { path: path.display().to_string(), what: "a directory" });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(io)?;
        let file = beside.as_file().try_clone().map_err(io)?;
        let format = if ending == "csv" {
            Format::Csv { file: BufWriter::new(file), lines: Vec::new() }
        } else {
            Format::Parquet { file, writer: None }
        };
        Ok(Self { path: path.to_owned(), beside, format, n_rows: 0, names: None })
    }

    /// Adds rows. The first frame decides the columns; later ones must have the same.
    ///
    /// # Errors
    /// If the columns differ from the first frame's, or the disk is full.
    pub fn write(&mut self, frame: &Frame) -> Result<(), DatasetError> {
        let is_first = self.check_names(frame)?;
        let path = &self.path;
        let io = |source| DatasetError::Io { action: "writing", path: path.display().to_string(), source };
        match &mut self.format {
            Format::Csv { file, lines } => {
                lines.clear();
                if is_first {
                    push_header(lines, frame);
                }
                push_rows(lines, frame);
                file.write_all(lines).map_err(io)?;
            }
            Format::Parquet { file, writer } => {
                let df = polars_from_frame(frame)?;
                guard("writing a table", || {
                    let writer = match writer {
                        Some(writer) => writer,
                        None => {
                            let options = pl::ParquetWriter::new(file.try_clone().map_err(io)?)
                                .with_compression(pl::ParquetCompression::Zstd(None));
                            writer.insert(Box::new(options.batched(df.schema()).map_err(|err| write_error(path, err))?))
                        }
                    };
                    writer.write_batch(&df).map_err(|err| write_error(path, err))
                })?;
            }
        }
        self.n_rows += frame.n_rows() as u64;
        Ok(())
    }

    /// Whether these are the first rows; fails where the first ones had other columns.
    fn check_names(&mut self, frame: &Frame) -> Result<bool, DatasetError> {
        let found: Vec<Arc<str>> = frame.columns().iter().map(|column| Arc::clone(&column.name)).collect();
        match &self.names {
            Some(names) if *names == found => Ok(false),
            Some(names) => {
                Err(DatasetError::invalid(format!("a batch has the columns {found:?}, the first one had {names:?}")))
            }
            None => {
                self.names = Some(found);
                Ok(true)
            }
        }
    }

    /// Flushes to disk and renames into place. Returns the number of rows.
    ///
    /// # Errors
    /// If nothing was written, so that there are no columns, or the disk is full.
    pub fn finish(self) -> Result<u64, DatasetError> {
        let Self { path, beside, format, n_rows, names, .. } = self;
        let io = |source| DatasetError::Io { action: "writing", path: path.display().to_string(), source };
        let nothing = || DatasetError::invalid(format!("{:?}: no table was written", path.display()));
        match format {
            Format::Csv { mut file, .. } => {
                names.ok_or_else(nothing)?;
                file.flush().map_err(io)?;
            }
            Format::Parquet { writer, .. } => {
                let writer = writer.ok_or_else(nothing)?;
                guard("writing a table", || writer.finish().map_err(|err| write_error(&path, err)))?;
            }
        }
        persist(beside, &path, true)?;
        Ok(n_rows)
    }
}

/// The rows as lines of a CSV file, as [`TableWriter::write`] writes them: for who puts a file together from what several
/// threads have made. `with_names` sets the line of the columns' names before them.
pub fn csv_lines(frame: &Frame, with_names: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    if with_names {
        push_header(&mut lines, frame);
    }
    push_rows(&mut lines, frame);
    lines
}

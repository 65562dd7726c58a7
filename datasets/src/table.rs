//! Prepared rows.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use athanor_protocol::{columns::Frame, table::TableSchema};
use polars::prelude as pl;
use polars::prelude::DataFrame;

use crate::{
    dataset::{Kind, collect_columns, open},
    error::{DatasetError, guard},
    frame::{data_from_column, frame_from_polars, polars_from_frame, schema_of},
};

/// Rows after preparation, in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PreparedTable {
    df: DataFrame,
    schema: TableSchema,
}

impl PreparedTable {
    pub(crate) fn new(df: DataFrame) -> Self {
        let schema = schema_of(&df);
        Self { df, schema }
    }

    /// A table of plain columns.
    ///
    /// # Errors
    /// If the columns can't be put together.
    pub fn from_frame(frame: &Frame) -> Result<Self, DatasetError> {
        Ok(Self::new(polars_from_frame(frame)?))
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.df.height()
    }

    /// The columns.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// The values of these columns in this order; of all columns where `names` is empty. Dates become datetimes at
    /// midnight UTC; durations and times of day whole microseconds.
    ///
    /// # Errors
    /// If a name is not among the columns.
    pub fn frame(&self, names: &[&str]) -> Result<Frame, DatasetError> {
        guard("taking columns out of a table", || frame_from_polars(&self.df, names))
    }

    /// Writes the rows as Parquet: beside the target first, flushed to disk, then renamed over it.
    ///
    /// # Errors
    /// If the folder can't be written to; the target is then as it was.
    pub fn write(&self, path: &Path) -> Result<(), DatasetError> {
        let mut df = self.df.clone();
        write_beside(path, |file| {
            guard("writing a table", || {
                let writer = pl::ParquetWriter::new(file).with_compression(pl::ParquetCompression::Zstd(None));
                writer.finish(&mut df).map_err(|err| write_error(path, err))?;
                Ok(())
            })
        })
    }

    /// Reads rows that [`Self::write`] wrote.
    ///
    /// # Errors
    /// If the file is not there, damaged, or not Parquet.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        use athanor_protocol::table::{CsvOptions, DataSource, TableFormat};
        let shown = path.to_str().ok_or_else(|| DatasetError::invalid(format!("{path:?} is not a readable path")))?;
        let source = DataSource { path: shown.to_owned(), format: TableFormat::Parquet, csv: CsvOptions::default() };
        let mut dataset = open(&source)?;
        let n_columns = match &dataset.kind {
            Kind::Parquet(table) => table.columns.len(),
            // `open` refuses anything but Parquet here.
            Kind::Csv(_) => 0,
        };
        let all: Vec<usize> = (0..n_columns).collect();
        let (df, _) = collect_columns(&mut dataset, &all, &|| false)?;
        Ok(Self::new(df))
    }

    /// Adds schema and values to a digest, in a form of its own: independent of chunks, null bit patterns and the
    /// versions of file formats.
    pub(crate) fn hash_into(&self, hasher: &mut blake3::Hasher) -> Result<(), DatasetError> {
        use athanor_protocol::columns::ColumnData;
        fn text(hasher: &mut blake3::Hasher, text: &str) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&(self.n_rows() as u64).to_le_bytes());
        hasher.update(&(self.schema.columns.len() as u64).to_le_bytes());
        for (column, info) in self.df.columns().iter().zip(&self.schema.columns) {
            text(hasher, &info.name);
            text(hasher, info.dtype.as_str());
            let mut bytes = Vec::with_capacity(9 * column.len());
            match data_from_column(column)? {
                ColumnData::Float(values) => {
                    for value in values {
                        // One bit pattern for missing, one for zero.
                        let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
                        bytes.extend_from_slice(&value.to_bits().to_le_bytes());
                    }
                }
                ColumnData::Int(values) | ColumnData::Datetime(values) => {
                    for value in values {
                        bytes.push(u8::from(value.is_some()));
                        bytes.extend_from_slice(&value.unwrap_or_default().to_le_bytes());
                    }
                }
                ColumnData::Bool(values) => bytes.extend(values.into_iter().map(|value| value.map_or(2, u8::from))),
                ColumnData::Text(values) => {
                    for value in values {
                        let len = value.as_ref().map_or(u64::MAX, |value| value.len() as u64);
                        bytes.extend_from_slice(&len.to_le_bytes());
                        bytes.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
                    }
                }
            }
            hasher.update(&bytes);
        }
        Ok(())
    }
}

pub(crate) fn write_error(path: &Path, err: pl::PolarsError) -> DatasetError {
    let shown = path.display().to_string();
    match err {
        pl::PolarsError::IO { error, .. } => {
            let source = std::io::Error::new(error.kind(), error.to_string());
            DatasetError::Io { action: "writing", path: shown, source }
        }
        err => err.into(),
    }
}

/// Writes a file beside the target, flushes it to disk and renames it, so that nobody ever sees half of it.
pub(crate) fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    let io = |source| DatasetError::Io { action: "writing", path: path.display().to_string(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(io)?;
    let mut file = BufWriter::new(beside.as_file().try_clone().map_err(io)?);
    write(&mut file)?;
    file.flush().map_err(io)?;
    drop(file);
    persist(beside, path, false)
}

/// Flushes to disk and renames into place; the folder is flushed too, so that the new name survives a power cut.
///
/// `shared`: others may read it, as with any file that a person saves; else it stays private.
pub(crate) fn persist(beside: tempfile::NamedTempFile, path: &Path, shared: bool) -> Result<(), DatasetError> {
    let io = |source| DatasetError::Io { action: "writing", path: path.display().to_string(), source };
    beside.as_file().sync_all().map_err(io)?;
    #[cfg(unix)]
    if shared {
        use std::os::unix::fs::PermissionsExt;
        beside.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(io)?;
    }
    #[cfg(not(unix))]
    let _ = shared;
    beside.persist(path).map_err(|err| io(err.error))?;
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(())
}

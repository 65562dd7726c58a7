//! Writing parts, and the whole table out of them.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom},
    path::{Path, PathBuf},
};

use athanor_datasets::{TableWriter, read_batches};
use athanor_protocol::{
    Code, Failure,
    columns::{Column, ColumnData, Frame},
    table::DataSource,
};

use super::{
    BATCH_ROWS,
    journal::{Journal, failed},
};

/// The first line of a CSV output.
const HEADER: &str = "header.csv";
/// The output before it gets its name.
const WHOLE: &str = "whole";

/// How the output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Parquet,
}

impl Format {
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// The format by the name's ending.
pub(super) fn format_of(to: &Path) -> Result<Format, Failure> {
    let ending = to.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        _ if to.is_dir() => {
            let message = format!("the output is a folder: {}", to.display());
            Err(Failure::new(Code::InvalidArgument, message).hint("name a file in it"))
        }
        Some("csv") => Ok(Format::Csv),
        Some("parquet") => Ok(Format::Parquet),
        _ => {
            let message = format!("the output must end in .csv or .parquet: {}", to.display());
            Err(Failure::new(Code::InvalidArgument, message))
        }
    }
}

/// Writes one part.
pub(super) struct PartWriter {
    path: PathBuf,
    writer: TableWriter,
}

impl PartWriter {
    pub(super) fn create(journal: &Journal) -> Result<Self, Failure> {
        let path = journal.next_path();
        Ok(Self { writer: TableWriter::create(&path)?, path })
    }

    pub(super) fn write(&mut self, journal: &Journal, frame: &Frame) -> Result<(), Failure> {
        let header = journal.folder().join(HEADER);
        if journal.format() == Format::Csv && !header.exists() {
            let mut writer = TableWriter::create(&header)?;
            writer.write(&emptied(frame)?)?;
            writer.finish()?;
        }
        Ok(self.writer.write(frame)?)
    }

    /// Brings the part to the disk under its name. Returns its bytes.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        self.writer.finish()?;
        fs::metadata(&self.path).map(|file| file.len()).map_err(failed(&self.path))
    }
}

/// The columns without rows.
fn emptied(frame: &Frame) -> Result<Frame, Failure> {
    let columns = frame.columns().iter().map(|column| {
        let data = match column.data {
            ColumnData::Float(_) => ColumnData::Float(vec![]),
            ColumnData::Int(_) => ColumnData::Int(vec![]),
            ColumnData::Bool(_) => ColumnData::Bool(vec![]),
            ColumnData::Text(_) => ColumnData::Text(vec![]),
            ColumnData::Datetime(_) => ColumnData::Datetime(vec![]),
        };
        Column { name: column.name.clone(), data }
    });
    Frame::new(columns.collect()).map_err(|err| Failure::new(Code::Internal, err.to_string()))
}

/// Puts the parts together under the output's name, in one step.
pub(super) fn assemble(journal: &Journal, to: &Path) -> Result<(), Failure> {
    let paths = journal.paths();
    if let [only] = paths.as_slice() {
        return fs::rename(only, to).map_err(failed(to));
    }
    match journal.format() {
        Format::Csv => {
            let whole = journal.folder().join(WHOLE);
            join(&journal.folder().join(HEADER), &paths, &whole).map_err(failed(to))?;
            fs::rename(&whole, to).map_err(failed(to))
        }
        Format::Parquet => {
            let mut writer = TableWriter::create(to)?;
            for path in &paths {
                for batch in read_batches(&DataSource::file(text(path)?), BATCH_ROWS)? {
                    writer.write(&batch?)?;
                }
            }
            writer.finish()?;
            Ok(())
        }
    }
}

/// Tables are named by text everywhere else.
fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::new(Code::InvalidArgument, format!("the output's path is no UTF-8 text: {}", path.display()))
    })
}

/// The header once, and of each part what follows it.
fn join(header: &Path, parts: &[PathBuf], whole: &Path) -> std::io::Result<()> {
    let mut out = File::create(whole)?;
    let n_header = std::io::copy(&mut File::open(header)?, &mut out)?;
    for part in parts {
        let mut part = File::open(part)?;
        part.seek(SeekFrom::Start(n_header))?;
        std::io::copy(&mut part, &mut out)?;
    }
    out.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_behind_one_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("h"), "a,\"b\n\"\n").unwrap();
        fs::write(path("0"), "a,\"b\n\"\n1,2\n").unwrap();
        fs::write(path("1"), "a,\"b\n\"\n3,4\n").unwrap();
        join(&path("h"), &[path("0"), path("1")], &path("w")).unwrap();
        assert_eq!(fs::read_to_string(path("w")).unwrap(), "a,\"b\n\"\n1,2\n3,4\n");
    }

    #[test]
    fn the_ending_says_the_format() {
        assert_eq!(format_of(Path::new("a.CSV")), Ok(Format::Csv));
        assert_eq!(format_of(Path::new("a.b.parquet")), Ok(Format::Parquet));
        for bad in ["a", "a.xls", "csv", ""] {
            assert!(format_of(Path::new(bad)).is_err(), "{bad}");
        }
    }
}

//! Writing parts, and the whole table out of them.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use athanor_datasets::{TableWriter, csv_lines, read_batches};
use athanor_protocol::{Code, Failure, columns::Frame, table::DataSource};

use super::journal::{Journal, PartRecord, failed};

/// Rows that are taken over at once from a part into the whole.
const BATCH_ROWS: usize = 8_192;
/// Parts that wait to reach the disk, before more is written: what is lost with the machine's power is bounded.
const MAX_WAITING: usize = 2;

/// How the output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Parquet,
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

/// Rows ready to be written.
pub(super) enum Rows {
    /// As lines of text.
    Lines(Vec<u8>),
    Frame(Frame),
}

impl Rows {
    pub(super) fn of(frame: Frame, format: Format) -> Self {
        match format {
            Format::Csv => Self::Lines(csv_lines(&frame, false)),
            Format::Parquet => Self::Frame(frame),
        }
    }
}

/// Writes parts.
///
/// The parts of a CSV file lie one behind the other in one file, which is the output once it is renamed. Another thread
/// brings them to the disk and notes them while the next one is made. Those of a Parquet file are files of their own,
/// since nothing can be added to one that is whole.
pub(super) enum Output {
    Csv { file: File, path: PathBuf, n_bytes: u64, noting: Noting },
    Parquet { writer: Option<(TableWriter, PathBuf)> },
}

impl Output {
    /// Goes on behind the journal's last part. `like` has the columns of all rows, and none itself.
    pub(super) fn open(journal: &Journal, like: &Frame) -> Result<Self, Failure> {
        if journal.format() == Format::Parquet {
            return Ok(Self::Parquet { writer: None });
        }
        let path = journal.whole();
        let failed = failed(&path);
        let mut file = File::options().create(true).write(true).truncate(false).open(&path).map_err(&failed)?;
        let mut n_bytes = journal.records().last().map_or(0, |record| record.n_bytes);
        file.set_len(n_bytes).map_err(&failed)?;
        file.seek(SeekFrom::End(0)).map_err(&failed)?;
        if n_bytes == 0 {
            let names = csv_lines(like, true);
            file.write_all(&names).map_err(&failed)?;
            n_bytes = names.len() as u64;
        }
        let noting = Noting::begin(journal, file.try_clone().map_err(&failed)?)?;
        Ok(Self::Csv { file, path, n_bytes, noting })
    }

    /// Adds rows to the part.
    pub(super) fn write(&mut self, journal: &Journal, rows: &Rows) -> Result<(), Failure> {
        match (self, rows) {
            (Self::Csv { file, path, n_bytes, .. }, Rows::Lines(lines)) => {
                file.write_all(lines).map_err(failed(path))?;
                *n_bytes += lines.len() as u64;
            }
            (Self::Parquet { writer }, Rows::Frame(frame)) => {
                let (writer, _) = match writer {
                    Some(writer) => writer,
                    None => {
                        let path = journal.next_path();
                        writer.insert((TableWriter::create(&path)?, path))
                    }
                };
                writer.write(frame)?;
            }
            (Self::Csv { .. }, Rows::Frame(_)) | (Self::Parquet { .. }, Rows::Lines(_)) => {
                return Err(Failure::new(Code::Internal, "rows were made ready for another format"));
            }
        }
        Ok(())
    }

    /// Ends the part, of which `record` tells.
    pub(super) fn end_part(&mut self, journal: &mut Journal, mut record: PartRecord) -> Result<(), Failure> {
        match self {
            Self::Csv { n_bytes, noting, .. } => {
                record.n_bytes = *n_bytes;
                noting.note(record.clone())?;
                journal.noted(record);
            }
            Self::Parquet { writer } => {
                if let Some((writer, path)) = writer.take() {
                    writer.finish()?;
                    record.n_bytes = fs::metadata(&path).map(|file| file.len()).map_err(failed(&path))?;
                    journal.note(record)?;
                }
            }
        }
        Ok(())
    }

    /// Puts the output in its place, in one step.
    pub(super) fn finish(self, journal: &Journal, to: &Path) -> Result<(), Failure> {
        match self {
            Self::Csv { file, path, noting, .. } => {
                noting.end()?;
                file.sync_all().map_err(failed(&path))?;
                fs::rename(&path, to).map_err(failed(to))
            }
            Self::Parquet { .. } => assemble(&journal.paths(), to),
        }
    }
}

/// Brings a growing file to the disk, part by part, and then notes the part.
pub(super) struct Noting {
    parts: Option<SyncSender<PartRecord>>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Noting {
    fn begin(journal: &Journal, file: File) -> Result<Self, Failure> {
        let mut notes = journal.notes()?;
        let path = journal.whole();
        let (parts, records) = sync_channel::<PartRecord>(MAX_WAITING);
        let work = move || {
            while let Ok(record) = records.recv() {
                // What waits is in the file already: one way to the disk is enough for all of it, also at the end, for
                // which somebody waits.
                let ready: Vec<PartRecord> = std::iter::once(record).chain(records.try_iter()).collect();
                file.sync_data().map_err(failed(&path))?;
                notes.add(&ready)?;
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("batch notes".to_owned()).spawn(work);
        let thread =
            thread.map_err(|err| Failure::new(Code::from_io(&err), format!("cannot start a thread: {err}")))?;
        Ok(Self { parts: Some(parts), thread: Some(thread) })
    }

    fn note(&mut self, record: PartRecord) -> Result<(), Failure> {
        let taken = self.parts.as_ref().is_some_and(|parts| parts.send(record).is_ok());
        if taken { Ok(()) } else { self.join() }
    }

    /// Waits until everything is noted.
    fn end(mut self) -> Result<(), Failure> {
        self.join()
    }

    fn join(&mut self) -> Result<(), Failure> {
        self.parts = None;
        let stopped = || Failure::new(Code::Internal, "the thread that writes parts to the disk has stopped");
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| stopped())?,
            None => Err(stopped()),
        }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        // The journal's folder may be removed next. What could not be noted is made again by the next run.
        if self.thread.is_some() {
            let _ = self.join();
        }
    }
}

/// Makes one Parquet file of parts.
fn assemble(parts: &[PathBuf], to: &Path) -> Result<(), Failure> {
    if let [only] = parts {
        return fs::rename(only, to).map_err(failed(to));
    }
    let mut writer = TableWriter::create(to)?;
    for path in parts {
        for batch in read_batches(&DataSource::file(text(path)?), BATCH_ROWS)? {
            writer.write(&batch?)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// Tables are named by text everywhere else.
fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::new(Code::InvalidArgument, format!("the output's path is no UTF-8 text: {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        assert_eq!(format_of(Path::new("a.CSV")), Ok(Format::Csv));
        assert_eq!(format_of(Path::new("a.b.parquet")), Ok(Format::Parquet));
        for bad in ["a", "a.xls", "csv", ""] {
            assert!(format_of(Path::new(bad)).is_err(), "{bad}");
        }
    }
}

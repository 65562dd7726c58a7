//! Which parts of an output are there already.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use athanor_protocol::{
    Code, Failure,
    table::{DataSource, TableSchema},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BatchJob, PART_ROWS, output::Format};

/// Of the journal's lines. Another version is another job.
const VERSION: u32 = 2;
/// Most bytes of a journal: some hundred for each part, a part for some ten thousand rows.
const MAX_JOURNAL_BYTES: u64 = 256 << 20;
/// All parts of a CSV output, one behind the other: the output before it gets its name.
const WHOLE: &str = "whole.csv";

/// What makes two jobs the same: their outputs have the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    version: u32,
    program: String,
    package_sha256: String,
    source: String,
    n_bytes: u64,
    modified_nanos: u64,
    keep_input: bool,
    device: String,
    part_rows: u64,
    /// Of the input's columns.
    types: TableSchema,
}

/// What a file is like before it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileState {
    n_bytes: u64,
    modified_nanos: u64,
}

impl FileState {
    /// Fails where there is no such file, before anything else is said of the table.
    pub(super) fn of(source: &DataSource) -> Result<Self, Failure> {
        let found = fs::metadata(&source.path).map_err(|err| {
            let failure = Failure::new(Code::from_io(&err), format!("cannot open {}: {err}", source.path));
            let failure = failure.on(source.path.clone());
            match err.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => {
                    failure.hint("check the path; a relative one starts at the folder where the program was started")
                }
                ErrorKind::PermissionDenied => failure.hint("check who may read it"),
                _ => failure,
            }
        })?;
        let modified = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_nanos = modified.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        Ok(Self { n_bytes: found.len(), modified_nanos })
    }
}

impl Fingerprint {
    pub(super) fn of(job: &BatchJob<'_>, source: &DataSource, state: FileState, types: &TableSchema) -> Self {
        Self {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            package_sha256: hex(&Sha256::digest(job.package.as_bytes())),
            source: serde_json::to_string(source).unwrap_or_default(),
            n_bytes: state.n_bytes,
            modified_nanos: state.modified_nanos,
            keep_input: job.keep_input,
            device: job.device.to_owned(),
            part_rows: PART_ROWS,
            types: types.clone(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A finished part: what is in it, and what is told of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PartRecord {
    pub(super) n_rows: u64,
    /// Blocks of the input that went into it.
    pub(super) n_blocks: u64,
    /// Of the part's own file, or of the file of all parts with it and those before it.
    pub(super) n_bytes: u64,
    pub(super) missing: BTreeMap<String, u64>,
    pub(super) new_categories: BTreeMap<String, u64>,
    pub(super) out_of_range: BTreeMap<String, u64>,
}

impl PartRecord {
    /// Adds what is told of other rows.
    pub(super) fn add(&mut self, other: &Self) {
        for (into, from) in [
            (&mut self.missing, &other.missing),
            (&mut self.new_categories, &other.new_categories),
            (&mut self.out_of_range, &other.out_of_range),
        ] {
            for (name, n) in from {
                *into.entry(name.clone()).or_default() += n;
            }
        }
    }
}

/// The folder of a job's parts, held by this process.
pub(super) struct Journal {
    folder: PathBuf,
    format: Format,
    file: File,
    records: Vec<PartRecord>,
    /// Let go with the process, however it ends.
    _lock: File,
}

/// The folder's name is the output's with a mark: it lies beside it, on the same file system.
fn folder_of(to: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(".athanor-parts");
    to.with_file_name(name)
}

impl Journal {
    /// Goes on with the job's journal, or begins one where there is none, or one of another job.
    pub(super) fn open(to: &Path, format: Format, job: &Fingerprint) -> Result<Self, Failure> {
        let folder = folder_of(to);
        let failed = failed(to);
        // The output's own folder must be there: one that is made by mistake would hide the mistake.
        match fs::create_dir(&folder) {
            Err(err) if err.kind() == ErrorKind::NotFound => {
                return Err(failed(err).hint("make the folder first, or name a file in another one"));
            }
            Err(err) if err.kind() != ErrorKind::AlreadyExists => return Err(failed(err)),
            _ => {}
        }
        let lock = File::options().create(true).append(true).open(folder.join("lock")).map_err(&failed)?;
        if let Err(err) = lock.try_lock() {
            return Err(match err {
                fs::TryLockError::WouldBlock => {
                    let message = format!("another process writes {} now", to.display());
                    Failure::new(Code::Conflict, message).hint("wait until it has ended, or name another output")
                }
                fs::TryLockError::Error(err) => failed(err),
            });
        }
        let path = folder.join("journal");
        let (records, n_good) = read(&path, job).map_err(&failed)?;
        let mut records = records;
        let is_there = |at: usize, record: &PartRecord| match format {
            // What was written behind the last part that was noted is cut off.
            Format::Csv => fs::metadata(folder.join(WHOLE)).is_ok_and(|file| file.len() >= record.n_bytes),
            Format::Parquet => fs::metadata(part_path(&folder, at)).is_ok_and(|file| file.len() == record.n_bytes),
        };
        let n_there = records.iter().enumerate().take_while(|(at, record)| is_there(*at, record)).count();
        let mut file;
        if n_good == 0 || n_there < records.len() {
            // Of another job, or not as it was left: nothing of it can be relied on.
            records.clear();
            clear(&folder).map_err(&failed)?;
            file = File::create(&path).map_err(&failed)?;
            line(&mut file, job).map_err(&failed)?;
        } else {
            file = File::options().append(true).open(&path).map_err(&failed)?;
            // A line that a kill has cut off must not stand in front of the next one.
            file.set_len(n_good).map_err(&failed)?;
        }
        Ok(Self { folder, format, file, records, _lock: lock })
    }

    pub(super) fn records(&self) -> &[PartRecord] {
        &self.records
    }

    /// Rows of all finished parts.
    pub(super) fn n_rows(&self) -> u64 {
        self.records.iter().map(|record| record.n_rows).sum()
    }

    #[cfg(test)]
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Where the next part is written.
    pub(super) fn next_path(&self) -> PathBuf {
        part_path(&self.folder, self.records.len())
    }

    /// Where the finished parts lie.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        (0..self.records.len()).map(|at| part_path(&self.folder, at)).collect()
    }

    /// The input's blocks in all finished parts.
    pub(super) fn n_blocks(&self) -> u64 {
        self.records.iter().map(|record| record.n_blocks).sum()
    }

    /// The file of all parts, where they have one.
    pub(super) fn whole(&self) -> PathBuf {
        self.folder.join(WHOLE)
    }

    /// Notes a part that is whole on the disk.
    pub(super) fn note(&mut self, record: PartRecord) -> Result<(), Failure> {
        self.notes()?.add(std::slice::from_ref(&record))?;
        self.noted(record);
        Ok(())
    }

    /// A part is there that another thread notes.
    pub(super) fn noted(&mut self, record: PartRecord) {
        self.records.push(record);
    }

    /// The lines alone, for another thread.
    pub(super) fn notes(&self) -> Result<Notes, Failure> {
        let failed = failed(&self.folder);
        Ok(Notes { file: self.file.try_clone().map_err(&failed)?, folder: self.folder.clone() })
    }

    /// Removes everything.
    pub(super) fn remove(self) {
        // What cannot be removed is taken for a job of its own, or cleared, by the next run.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Adds lines to a journal.
pub(super) struct Notes {
    file: File,
    folder: PathBuf,
}

impl Notes {
    /// Adds them all, in one way to the disk.
    pub(super) fn add(&mut self, records: &[PartRecord]) -> Result<(), Failure> {
        lines(&mut self.file, records).map_err(failed(&self.folder))
    }
}

fn part_path(folder: &Path, at: usize) -> PathBuf {
    folder.join(format!("part-{at:06}.parquet"))
}

/// The types that the input's columns had in a broken run that wrote the same output.
pub(super) fn types_before(to: &Path) -> Option<TableSchema> {
    let file = File::open(folder_of(to).join("journal")).ok()?;
    let mut first = Vec::new();
    BufReader::new(file.take(MAX_JOURNAL_BYTES)).read_until(b'\n', &mut first).ok()?;
    Some(serde_json::from_slice::<Fingerprint>(&first).ok()?.types)
}

/// Rows of the parts that a broken run has noted, whatever job it was of.
pub(super) fn kept_rows(to: &Path) -> u64 {
    let Ok(file) = File::open(folder_of(to).join("journal")) else { return 0 };
    let lines = BufReader::new(file.take(MAX_JOURNAL_BYTES)).split(b'\n').skip(1);
    lines
        .map_while(|line| serde_json::from_slice::<PartRecord>(&line.ok()?).ok())
        .fold(0, |sum, record| sum.saturating_add(record.n_rows))
}

pub(super) fn failed(folder: &Path) -> impl Fn(std::io::Error) -> Failure + use<> {
    let folder = folder.display().to_string();
    move |err| Failure::new(Code::from_io(&err), format!("cannot write {folder}: {err}")).on(folder.clone())
}

fn line(file: &mut File, value: &impl Serialize) -> std::io::Result<()> {
    lines(file, std::slice::from_ref(value))
}

fn lines(file: &mut File, values: &[impl Serialize]) -> std::io::Result<()> {
    let mut bytes = vec![];
    for value in values {
        serde_json::to_writer(&mut bytes, value)?;
        bytes.push(b'\n');
    }
    file.write_all(&bytes)?;
    file.sync_data()
}

/// The records behind a first line that is the job's own, and how many bytes of the file are whole lines; nothing where
/// the job is another one.
fn read(path: &Path, job: &Fingerprint) -> std::io::Result<(Vec<PartRecord>, u64)> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_JOURNAL_BYTES).read_to_end(&mut bytes)?,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok((vec![], 0)),
        Err(err) => return Err(err),
    };
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let first = lines.next().and_then(|line| Some((serde_json::from_slice::<Fingerprint>(line).ok()?, line.len())));
    let Some((_, mut n_good)) = first.filter(|(found, _)| found == job) else { return Ok((vec![], 0)) };
    let mut records = vec![];
    for line in lines {
        let Ok(record) = serde_json::from_slice(line) else { break };
        records.push(record);
        n_good += line.len();
    }
    Ok((records, n_good as u64))
}

/// Removes everything but the lock.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != "lock" {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn job() -> Fingerprint {
        Fingerprint {
            version: VERSION,
            program: "1".to_owned(),
            package_sha256: "ab".to_owned(),
            source: "{}".to_owned(),
            n_bytes: 7,
            modified_nanos: 8,
            keep_input: true,
            device: "cpu".to_owned(),
            part_rows: 2,
            types: TableSchema::default(),
        }
    }

    fn with_two_parts(to: &Path) -> PathBuf {
        let mut journal = Journal::open(to, Format::Parquet, &job()).unwrap();
        assert_eq!(journal.n_rows(), 0);
        for n_rows in [5, 6] {
            fs::write(journal.next_path(), "12345").unwrap();
            journal.note(PartRecord { n_rows, n_blocks: 1, n_bytes: 5, ..PartRecord::default() }).unwrap();
        }
        journal.folder().to_owned()
    }

    #[test]
    fn the_same_job_goes_on_and_another_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out.parquet");
        let open = |job: &Fingerprint| Journal::open(&to, Format::Parquet, job);
        assert_eq!(types_before(&to), None);
        with_two_parts(&to);
        assert_eq!(types_before(&to), Some(TableSchema::default()));
        let journal = open(&job()).unwrap();
        assert_eq!((journal.n_rows(), journal.n_blocks(), journal.paths().len()), (11, 2, 2));
        let twice = open(&job()).err().unwrap();
        assert_eq!(twice.code, Code::Conflict, "{twice}");
        drop(journal);
        let other = Fingerprint { n_bytes: 9, ..job() };
        assert_eq!(open(&other).unwrap().n_rows(), 0);
        assert_eq!(open(&job()).unwrap().n_rows(), 0, "the other job has cleared it");
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out.parquet");
        let parts = with_two_parts(&to);
        let path = parts.join("journal");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 4]).unwrap();
        let mut journal = Journal::open(&to, Format::Parquet, &job()).unwrap();
        assert_eq!(journal.n_rows(), 5);
        journal.note(PartRecord { n_rows: 6, n_blocks: 1, n_bytes: 5, ..PartRecord::default() }).unwrap();
        drop(journal);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_part_that_is_gone_or_changed_begins_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out.parquet");
        let parts = with_two_parts(&to);
        fs::write(parts.join("part-000001.parquet"), "1234").unwrap();
        assert_eq!(Journal::open(&to, Format::Parquet, &job()).unwrap().n_rows(), 0);
        assert!(!parts.join("part-000000.parquet").exists());
        Journal::open(&to, Format::Parquet, &job()).unwrap().remove();
        assert!(!parts.exists());
    }

    #[test]
    fn parts_in_one_file_count_as_far_as_it_reaches() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out.csv");
        let open = || Journal::open(&to, Format::Csv, &job()).unwrap();
        let mut journal = open();
        for n_bytes in [5, 11] {
            journal.note(PartRecord { n_rows: 1, n_bytes, ..PartRecord::default() }).unwrap();
        }
        let whole = journal.whole();
        drop(journal);
        fs::write(&whole, "12345678901234").unwrap();
        assert_eq!(open().n_rows(), 2, "more than was noted");
        fs::write(&whole, "1234567890").unwrap();
        assert_eq!(open().n_rows(), 0, "less than was noted");
    }
}

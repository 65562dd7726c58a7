//! Captured requests and truths: lines of JSON in the workspace, in a folder named by a digest of the model's name.
//!
//! A *segment* `<millis>-<number>.jsonl` holds requests, `truth-<millis>-<number>.jsonl` truths; both are only appended to,
//! and go as a whole when they are too old or there are too many bytes. What is redacted is never written.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use athanor_protocol::{Code, Failure, columns::ColumnData, monitor::MonitorConfig, signature::ModelSignature};
use athanor_serve::{
    Outputs,
    monitor::{Captured, Feedback, Truth},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{EngineError, IoContext, Result};

const FOLDER: &str = "captures";
/// A segment ends when it has so many bytes, …
const MAX_SEGMENT_BYTES: u64 = 8 << 20;
/// … or is so old: retention is by whole segments.
const MAX_SEGMENT_MILLIS: i64 = 3_600_000;
/// Most rows that are kept of one request; rows have their place in the request, so that truths still match.
const MAX_ROWS: usize = 10_000;
/// Longest line that is read back.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// Most rows that a report or a table is made of: the newest.
pub const MAX_JOINED_ROWS: usize = 1_000_000;

/// A request as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The request's id.
    pub id: String,
    /// When it was written, milliseconds since the Unix epoch.
    pub at: i64,
    /// The version that answered.
    pub version: u32,
    /// The rows, by column.
    pub rows: Vec<Map<String, Value>>,
    /// What the model said of each: `{"label": …, "probabilities": [ … ]}` or `{"value": …}`.
    pub predictions: Vec<Said>,
}

/// A prediction as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// Of a classifier.
    Class {
        /// The predicted class.
        label: String,
        /// In the order of the signature's classes.
        probabilities: Vec<f64>,
    },
    /// Of a regression.
    Number {
        /// The predicted number.
        value: f64,
    },
}

/// A truth as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptTruth {
    id: String,
    row: u32,
    truth: Value,
}

/// A row with its prediction and its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The version that answered.
    pub version: u32,
    /// The row, by column; redacted ones are not there.
    pub row: Map<String, Value>,
    /// What the model said.
    pub said: Said,
    /// What was true: text or a number.
    pub truth: Value,
}

/// What was found of a model's truths.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matched {
    /// Rows with both, oldest first.
    pub rows: Vec<Joined>,
    /// Truths without a captured prediction.
    pub n_unmatched: u64,
}

/// The folder of a model's captures. The model's name is hashed, so that no text of anybody's becomes a path.
pub fn folder(root: &Path, model: &str) -> PathBuf {
    let digest = blake3::hash(model.as_bytes()).to_hex();
    root.join(FOLDER).join(&digest.as_str()[..32])
}

fn value(data: &ColumnData, row: usize) -> Value {
    match data {
        ColumnData::Float(values) => values.get(row).copied().map_or(Value::Null, |v| json!(v)),
        ColumnData::Int(values) => json!(values.get(row).copied().flatten()),
        ColumnData::Bool(values) => json!(values.get(row).copied().flatten()),
        ColumnData::Text(values) => json!(values.get(row).cloned().flatten().as_deref()),
        ColumnData::Datetime(values) => match values.get(row).copied().flatten() {
            Some(micros) => json!(moment(micros)),
            None => Value::Null,
        },
    }
}

/// Microseconds since the Unix epoch as requests spell them.
fn moment(micros: i64) -> String {
    let millis = micros.div_euclid(1_000);
    let text = crate::cli::output::time(millis).replace(' ', "T");
    let rest = micros.rem_euclid(1_000_000);
    if rest == 0 { format!("{text}Z") } else { format!("{text}.{rest:06}Z") }
}

/// The other way round, for what was written here: `None` for anything else.
pub fn micros(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, rest) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // Days since 1970-01-01 of a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2021).
    let shifted = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days.checked_mul(86_400)?.checked_add(hour * 3_600 + minute * 60 + second)?;
    seconds.checked_mul(1_000_000)?.checked_add(rest.parse().ok()?)
}

/// A captured request as it is kept: without the redacted columns.
pub fn kept(captured: &Captured, redact: &HashSet<&str>, at: i64) -> Kept {
    let (frame, outputs) = (&captured.answered.frame, &captured.answered.outputs);
    let n = frame.n_rows().min(MAX_ROWS);
    let columns: Vec<_> = frame.columns().iter().filter(|column| !redact.contains(&*column.name)).collect();
    let row = |row: usize| columns.iter().map(|column| (column.name.to_string(), value(&column.data, row))).collect();
    let predictions = match outputs {
        Outputs::Classes { labels, probabilities } => {
            let width = probabilities.len() / labels.len().max(1);
            labels
                .iter()
                .zip(probabilities.chunks(width.max(1)))
                .take(n)
                .map(|(label, row)| Said::Class { label: label.to_string(), probabilities: row.to_vec() })
                .collect()
        }
        Outputs::Numbers(values) => values.iter().take(n).map(|&value| Said::Number { value }).collect(),
    };
    Kept {
        id: captured.request_id.to_string(),
        at,
        version: captured.version,
        rows: (0..n).map(row).collect(),
        predictions,
    }
}

/// A file that is being appended to.
struct Segment {
    file: File,
    since: i64,
    n_bytes: u64,
}

/// Writes the segments of one kind, for all models.
#[derive(Default)]
pub struct Writer {
    open: HashMap<String, Segment>,
}

fn make_private(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).at("create", folder)?;
    #[cfg(unix)]
    {
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        fs::set_permissions(folder, mode).at("protect", folder)?;
    }
    Ok(())
}

fn create(folder: &Path, prefix: &str, now: i64) -> Result<File> {
    make_private(folder)?;
    for number in 0..10_000 {
        let path = folder.join(format!("{prefix}{now:013}-{number:04}.jsonl"));
        let mut options = File::options();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => return Ok(file),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err).at("create", &path),
        }
    }
    Err(EngineError::new(Code::Overloaded, "too many captures were begun within a millisecond"))
}

impl Writer {
    /// Appends lines to the model's newest segment.
    ///
    /// # Errors
    /// If they cannot be written; the next call begins a new segment.
    fn append(&mut self, root: &Path, model: &str, prefix: &str, lines: &[u8], now: i64) -> Result<()> {
        let folder = folder(root, model);
        let is_over = |segment: &Segment| {
            segment.n_bytes >= MAX_SEGMENT_BYTES || now - segment.since >= MAX_SEGMENT_MILLIS || now < segment.since
        };
        if self.open.get(model).is_some_and(is_over) {
            self.open.remove(model);
        }
        if !self.open.contains_key(model) {
            let file = create(&folder, prefix, now)?;
            self.open.insert(model.to_owned(), Segment { file, since: now, n_bytes: 0 });
        }
        let Some(segment) = self.open.get_mut(model) else { return Ok(()) };
        let written = segment.file.write_all(lines);
        segment.n_bytes += lines.len() as u64;
        if written.is_err() {
            self.open.remove(model);
        }
        written.at("write", &folder)
    }

    /// Keeps requests of one model.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn requests(&mut self, root: &Path, model: &str, kept: &[Kept], now: i64) -> Result<()> {
        let mut lines = vec![];
        for kept in kept {
            serde_json::to_writer(&mut lines, kept).map_err(std::io::Error::from).at("write", root)?;
            lines.push(b'\n');
        }
        self.append(root, model, "", &lines, now)
    }

    /// Keeps truths of one model, down to the disk.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn truths(&mut self, root: &Path, model: &str, truths: &[Feedback], now: i64) -> Result<()> {
        let mut lines = vec![];
        for feedback in truths {
            let truth = match &feedback.truth {
                Truth::Class(class) => json!(class),
                Truth::Number(number) => json!(number),
            };
            let kept = KeptTruth { id: feedback.request_id.clone(), row: feedback.row, truth };
            serde_json::to_writer(&mut lines, &kept).map_err(std::io::Error::from).at("write", root)?;
            lines.push(b'\n');
        }
        self.append(root, model, "truth-", &lines, now)?;
        match self.open.get(model) {
            Some(segment) => segment.file.sync_data().at("write", root),
            None => Ok(()),
        }
    }

    /// Ends what is open, so that files may go.
    pub fn close(&mut self, model: &str) {
        self.open.remove(model);
    }
}

/// The model's files of one kind, oldest first, with their time and size.
fn files(folder: &Path, truths: bool) -> Vec<(PathBuf, i64, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(PathBuf, i64, u64)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            let rest = if truths { name.strip_prefix("truth-")? } else { name.as_str() };
            let millis = rest.strip_suffix(".jsonl")?.split_once('-')?.0.parse().ok()?;
            Some((entry.path(), millis, entry.metadata().ok().filter(fs::Metadata::is_file)?.len()))
        })
        .collect();
    found.sort();
    found
}

/// Removes what is older than the settings allow, and the oldest of what is too much. Returns the bytes that are left.
///
/// # Errors
/// If a file cannot be removed.
pub fn retain(root: &Path, model: &str, config: &MonitorConfig, now: i64) -> Result<u64> {
    let folder = folder(root, model);
    let mut all = [files(&folder, false), files(&folder, true)].concat();
    all.sort_by_key(|(_, millis, _)| *millis);
    let oldest = now - i64::from(config.retention_days) * 86_400_000;
    let mut n_bytes: u64 = all.iter().map(|(_, _, n)| n).sum();
    for (path, millis, n) in all {
        if millis >= oldest && n_bytes <= config.retention_bytes {
            continue;
        }
        fs::remove_file(&path).at("remove", &path)?;
        n_bytes -= n;
    }
    Ok(n_bytes)
}

/// Reads a file's lines; a last line that was cut off by the end of the process is left out.
fn lines<T: serde::de::DeserializeOwned>(path: &Path, mut each: impl FnMut(T)) -> Result<()> {
    let file = match File::open(path) {
        // It went since the folder was looked through.
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.at("open", path)?,
    };
    let mut reader = BufReader::new(file);
    let mut line = vec![];
    loop {
        line.clear();
        let n = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).at("read", path)?;
        if n == 0 {
            return Ok(());
        }
        if let Ok(value) = serde_json::from_slice(&line) {
            each(value);
        }
    }
}

/// Matches a model's truths with its captured predictions. Of several truths of one row the last counts, of several
/// requests with one id too.
///
/// # Errors
/// If a file cannot be read.
pub fn matched(root: &Path, model: &str) -> Result<Matched> {
    let folder = folder(root, model);
    let mut truths: HashMap<String, HashMap<u32, Value>> = HashMap::new();
    let mut n_truths = 0;
    for (path, ..) in files(&folder, true) {
        lines(&path, |truth: KeptTruth| {
            if n_truths < MAX_JOINED_ROWS
                && truths.entry(truth.id).or_default().insert(truth.row, truth.truth).is_none()
            {
                n_truths += 1;
            }
        })?;
    }
    if truths.is_empty() {
        return Ok(Matched::default());
    }
    let mut found: HashMap<(String, u32), (usize, Joined)> = HashMap::new();
    let mut at = 0;
    for (path, ..) in files(&folder, false) {
        lines(&path, |kept: Kept| {
            let Some(truths) = truths.get(&kept.id) else { return };
            at += 1;
            for (row, truth) in truths {
                let place = *row as usize;
                if let (Some(values), Some(said)) = (kept.rows.get(place), kept.predictions.get(place)) {
                    let (row_of, said) = (values.clone(), said.clone());
                    let joined = Joined { version: kept.version, row: row_of, said, truth: truth.clone() };
                    found.insert((kept.id.clone(), *row), (at, joined));
                }
            }
        })?;
    }
    let n_unmatched = (n_truths - found.len()) as u64;
    let mut rows: Vec<((usize, u32), Joined)> =
        found.into_iter().map(|((_, row), (at, joined))| ((at, row), joined)).collect();
    rows.sort_by_key(|(key, _)| *key);
    Ok(Matched { rows: rows.into_iter().map(|(_, joined)| joined).collect(), n_unmatched })
}

/// The truths of a version as the learn crate judges them; those of classes that the model does not have are left out.
pub fn truths(matched: &Matched, version: u32, signature: &ModelSignature) -> athanor_learn::drift::Truths {
    use athanor_learn::drift::Truths;
    let rows = || matched.rows.iter().filter(|joined| joined.version == version);
    if signature.task.is_classification() {
        let places: HashMap<&str, u32> =
            (0..).zip(&signature.classes).map(|(at, class)| (class.as_str(), at)).collect();
        let (mut all, mut said) = (vec![], vec![]);
        for joined in rows() {
            let (Some(&truth), Said::Class { probabilities, .. }) =
                (joined.truth.as_str().and_then(|class| places.get(class)), &joined.said)
            else {
                continue;
            };
            if probabilities.len() == signature.classes.len() {
                all.push(truth);
                said.extend(probabilities.iter().map(|p| *p as f32));
            }
        }
        let classes = signature.classes.iter().map(|class| class.as_str().into()).collect();
        return Truths::Classes { classes, probabilities: said, truths: all };
    }
    let pairs = rows().filter_map(|joined| match joined.said {
        Said::Number { value } => Some((value, joined.truth.as_f64()?)),
        Said::Class { .. } => None,
    });
    let (predicted, truths) = pairs.unzip();
    Truths::Numbers { predicted, truths }
}

/// Refuses a redacted column that the model does not have: a slip of the pen would keep what must not be kept.
///
/// # Errors
/// Names the column.
pub fn check_redacted(redact: &[String], signature: &ModelSignature) -> Result<()> {
    let unknown = redact.iter().find(|name| !signature.inputs.iter().any(|input| input.name == **name));
    match unknown {
        None => Ok(()),
        Some(name) => {
            let names: Vec<&str> = signature.inputs.iter().take(20).map(|input| input.name.as_str()).collect();
            let failure = Failure::new(Code::InvalidArgument, format!("the model has no column {name:?} to redact"));
            Err(EngineError::Failure(failure.on(name.clone()).hint(format!("its columns: {}", names.join(", ")))))
        }
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;

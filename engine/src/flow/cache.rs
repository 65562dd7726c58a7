//! Results by content key: one folder for each, made under another name and renamed when it is complete.

use std::{
    fs,
    path::{Path, PathBuf},
};

use athanor_protocol::{learner::Reproducibility, metric::MetricPoint, package::DatasetUsed, run::Artifact};
use serde::{Deserialize, Serialize};

use crate::{
    error::{EngineError, IoContext, Result},
    files,
};

/// The file that says what a step came to; a folder without it is no result.
const OUTCOME: &str = "outcome.json";
const MAX_OUTCOME_BYTES: u64 = 16 << 20;

/// A file among a step's results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeFile {
    /// Its name in the step's folder.
    pub file: String,
    /// The artifact that a run shows.
    pub artifact: Artifact,
}

/// What a step came to, besides the values that its ports carry.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Final values of its metrics, so that a run that reuses the step has them too.
    #[serde(default)]
    pub metrics: Vec<MetricPoint>,
    /// Tables that it read.
    #[serde(default)]
    pub datasets: Vec<DatasetUsed>,
    /// Files that people may want.
    #[serde(default)]
    pub files: Vec<OutcomeFile>,
    /// For training: whether the same again gives the same bits.
    #[serde(default)]
    pub reproducibility: Option<Reproducibility>,
    /// What it found worth saying.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache under a folder, which is made when it is first needed.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the result of a key lies. Keys are hex, so no text can lead elsewhere.
    ///
    /// # Errors
    /// If the key is none.
    pub fn folder(&self, key: &str) -> Result<PathBuf> {
        let legal = key.len() == 64 && key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !legal {
            let message = "a content key is 64 hex digits".to_owned();
            return Err(EngineError::new(athanor_protocol::Code::InvalidArgument, message));
        }
        Ok(self.root.join(&key[..2]).join(key))
    }

    /// Whether the result of a key is there, complete.
    pub fn has(&self, key: &str) -> bool {
        self.folder(key).is_ok_and(|folder| folder.join(OUTCOME).is_file())
    }

    /// What the step of a key came to.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub fn outcome(&self, key: &str) -> Result<Outcome> {
        let path = self.folder(key)?.join(OUTCOME);
        let bytes = files::read_limited(&path, MAX_OUTCOME_BYTES)?;
        serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", &path)
    }

    /// Removes the result of a key, so that it is made again; nothing happens where there is none.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, key: &str) -> Result<()> {
        let folder = self.folder(key)?;
        if !folder.exists() {
            return Ok(());
        }
        // Renamed first: a result is there whole or not at all, also while it goes.
        let aside = files::beside(&folder);
        fs::rename(&folder, &aside).at("remove", &folder)?;
        fs::remove_dir_all(&aside).at("remove", &aside)
    }

    /// Begins a result: a folder to write into.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn begin(&self, key: &str) -> Result<Draft> {
        let folder = self.folder(key)?;
        let beside = files::beside(&folder);
        fs::create_dir_all(&beside).at("create", &beside)?;
        Ok(Draft { beside, folder, kept: false })
    }
}

/// A result in the making; removed if it is dropped before [`Draft::keep`].
#[derive(Debug)]
pub struct Draft {
    beside: PathBuf,
    folder: PathBuf,
    kept: bool,
}

impl Draft {
    /// The folder to write into.
    pub fn path(&self) -> &Path {
        &self.beside
    }

    /// Writes the outcome and puts the result in its place. If another process was faster, its result stays: the key says
    /// that it is the same.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn keep(mut self, outcome: &Outcome) -> Result<()> {
        let path = self.beside.join(OUTCOME);
        let bytes = serde_json::to_vec_pretty(outcome).map_err(std::io::Error::from).at("write", &path)?;
        files::write_atomic(&path, &bytes)?;
        match fs::rename(&self.beside, &self.folder) {
            Ok(()) => self.kept = true,
            Err(_) if self.folder.join(OUTCOME).is_file() => return Ok(()),
            Err(_) => {
                // A folder without an outcome was left by a crash of an older layout or by hand: it is no result.
                let _ = fs::remove_dir_all(&self.folder);
                fs::rename(&self.beside, &self.folder).at("write", &self.folder)?;
                self.kept = true;
            }
        }
        if let Some(parent) = self.folder.parent() {
            files::sync_folder(parent);
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.beside);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"));
        let key = "a".repeat(64);
        let draft = cache.begin(&key).unwrap();
        fs::write(draft.path().join("value.json"), "1").unwrap();
        assert!(!cache.has(&key));
        drop(draft);
        assert!(!cache.has(&key), "an abandoned draft leaves nothing");
        assert_eq!(fs::read_dir(folder.path().join("cache/aa")).unwrap().count(), 0);

        let outcome = Outcome { notes: vec!["one".into()], ..Outcome::default() };
        let (first, second) = (cache.begin(&key).unwrap(), cache.begin(&key).unwrap());
        first.keep(&outcome).unwrap();
        second.keep(&Outcome::default()).unwrap();
        assert_eq!(cache.outcome(&key).unwrap(), outcome, "the first one stays");
        assert_eq!(fs::read_dir(folder.path().join("cache/aa")).unwrap().count(), 1);
        cache.remove(&key).unwrap();
        cache.remove(&key).unwrap();
        assert!(!cache.has(&key));
        assert_eq!(fs::read_dir(folder.path().join("cache/aa")).unwrap().count(), 0);
    }

    #[test]
    fn keys_are_hex() {
        let cache = Cache::new("nowhere".into());
        for bad in ["", "..", "../../x", &"z".repeat(64), &"A".repeat(64)] {
            assert!(cache.folder(bad).is_err(), "{bad}");
            assert!(!cache.has(bad));
        }
    }
}

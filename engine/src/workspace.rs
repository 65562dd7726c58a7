//! A workspace: a folder that holds everything. The database and the artifacts are the truth; the rest can be made again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_learn::package::SigningKey;
use athanor_protocol::{Code, Failure, names::RunId};
use athanor_store::{PageRequest, SqliteStore, Store};
use serde::{Deserialize, Serialize};

use crate::{
    error::{EngineError, IoContext, Result},
    files::{self, Artifacts},
    flow::cache::Cache,
    ids::{Clock, IdSource, System},
};

const MARK: &str = "athanor.json";
const DATABASE: &str = "athanor.db";
const SIGNING_KEY: &str = "keys/signing.key";

/// What a workspace says of itself. Version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    version: u32,
    created_at_millis: i64,
}

/// An open workspace.
pub struct Workspace {
    root: PathBuf,
    /// The database.
    pub store: Arc<dyn Store>,
    /// Files by digest.
    pub artifacts: Artifacts,
    /// Results by content key.
    pub cache: Cache,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and secrets.
    pub ids: Arc<dyn IdSource>,
}

impl Workspace {
    /// Makes a workspace, or opens the one that is there. A folder with other things in it is refused.
    ///
    /// # Errors
    /// If the folder is no workspace and not empty, or cannot be written.
    pub fn init(root: &Path) -> Result<Self> {
        let mark = root.join(MARK);
        if !mark.is_file() {
            fs::create_dir_all(root).at("create", root)?;
            // A mark that is being written, or was left half written by a kill, is no content of somebody else's.
            let foreign = |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().starts_with(MARK);
            let others = fs::read_dir(root).at("read", root)?.flatten().any(|entry| foreign(&entry));
            if others && !mark.is_file() {
                let message = format!("this folder is not empty and no workspace: {}", root.display());
                return Err(EngineError::Failure(
                    Failure::new(Code::Conflict, message).hint("name a new or an empty folder"),
                ));
            }
            let content = Mark { version: 1, created_at_millis: System.now_millis() };
            let text = serde_json::to_vec_pretty(&content).map_err(std::io::Error::from).at("write", &mark)?;
            if !mark.is_file() {
                files::write_atomic(&mark, &text)?;
            }
        }
        let workspace = Self::open(root)?;
        workspace.signing_key()?;
        Ok(workspace)
    }

    /// Opens a workspace.
    ///
    /// # Errors
    /// If it is none, was made by a newer version, or its database cannot be opened.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, SqliteStore::open)
    }

    /// Opens a workspace that cannot be written, for example on a read-only disk: everything can be looked at, and what
    /// would write fails.
    ///
    /// # Errors
    /// As [`open`](Self::open); and where the database would have to be brought up to date first.
    pub fn open_read_only(root: &Path) -> Result<Self> {
        Self::open_with(root, SqliteStore::open_read_only)
    }

    fn open_with(root: &Path, store: impl FnOnce(&Path) -> athanor_store::Result<SqliteStore>) -> Result<Self> {
        let path = root.join(MARK);
        if !path.is_file() {
            let failure = Failure::new(Code::NotFound, format!("this is no workspace: {}", root.display()));
            let hint = format!("make one with: athanor init --workspace {}", root.display());
            return Err(EngineError::Failure(failure.hint(hint)));
        }
        let bytes = files::read_limited(&path, 1 << 16)?;
        let mark: Mark = serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", &path)?;
        if mark.version != 1 {
            let message = format!("the workspace has format version {}, this program reads version 1", mark.version);
            return Err(EngineError::Failure(
                Failure::new(Code::Unsupported, message).hint("open it with a newer version of the program"),
            ));
        }
        let root = std::path::absolute(root).at("open", root)?;
        Ok(Self {
            store: Arc::new(store(&root.join(DATABASE))?),
            artifacts: Artifacts::new(root.join("artifacts")),
            cache: Cache::new(root.join("cache")),
            clock: Arc::new(System),
            ids: Arc::new(System),
            root,
        })
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a run's job. A run id is letters and digits, so no text can lead elsewhere.
    pub fn job_folder(&self, run: &RunId) -> PathBuf {
        self.root.join("jobs").join(run.as_str())
    }

    /// The cache's folder, for workers.
    pub fn cache_folder(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The key that signs this workspace's packages; made on first use, readable by its owner alone.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn signing_key(&self) -> Result<SigningKey> {
        let path = self.root.join(SIGNING_KEY);
        if !path.is_file() {
            if !self.store.models(&PageRequest::first(1))?.items.is_empty() {
                let failure = Failure::new(Code::Corrupt, format!("the signing key is missing: {}", path.display()));
                let hint = "restore it from a backup; the versions of this workspace are signed with it";
                return Err(EngineError::Failure(failure.hint(hint)));
            }
            let mut seed = [0u8; 32];
            self.ids.secret(&mut seed).at("read", Path::new("the system's randomness"))?;
            let folder = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder).at("create", folder)?;
            // Two first uses at once must end with one key: the file is linked into place only if none is there.
            let beside = files::beside(&path);
            files::write_secret(&beside, &seed)?;
            let linked = fs::hard_link(&beside, &path);
            let _ = fs::remove_file(&beside);
            if let Err(err) = linked
                && !path.is_file()
            {
                return Err(err).at("write", &path);
            }
            files::sync_folder(folder);
        }
        let bytes = files::read_limited(&path, 4096)?;
        SigningKey::from_bytes(&bytes).map_err(|err| {
            let failure =
                Failure::new(Code::Corrupt, format!("the signing key is damaged ({err}): {}", path.display()));
            EngineError::Failure(
                failure.hint("restore it from a backup; without it new versions carry another signature"),
            )
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new/workspace");
        let key = Workspace::init(&root).unwrap().signing_key().unwrap().public_hex();
        assert_eq!(Workspace::init(&root).unwrap().signing_key().unwrap().public_hex(), key);
        assert_eq!(Workspace::open(&root).unwrap().signing_key().unwrap().public_hex(), key);
    }

    #[test]
    fn other_folders_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "precious").unwrap();
        let refused = |result: Result<Workspace>| result.err().map(|err| err.code());
        assert_eq!(refused(Workspace::init(folder.path())), Some(Code::Conflict));
        assert_eq!(refused(Workspace::open(folder.path())), Some(Code::NotFound));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let newer = folder.path().join("newer");
        fs::create_dir(&newer).unwrap();
        fs::write(newer.join(MARK), r#"{"version":2,"created_at_millis":0}"#).unwrap();
        assert_eq!(refused(Workspace::open(&newer)), Some(Code::Unsupported));
    }
}

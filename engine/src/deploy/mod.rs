//! Models outside of the workspace: container images without Docker, and bundles for small machines.
//!
//! An image is put together byte by byte: the slim server with the shared libraries that it needs, the signed package, the
//! key that is trusted. Nothing of it says when, where or by whom it was made, so the same parts give the same digest.

pub mod edge;
pub mod image;
pub mod make;
mod program;
mod watch;

use std::path::{Path, PathBuf};

use athanor_protocol::{Code, Failure};
use athanor_serve::keyfile::KeyRecord;
use athanor_store::PageRequest;

pub use self::{
    program::{Program, find_program},
    watch::{Phase, Watch},
};
use crate::{
    error::{EngineError, IoContext, Result},
    workspace::Workspace,
};

/// The valid keys of a workspace as an endpoint without a database reads them: secrets as their SHA-256 alone.
///
/// # Errors
/// If they cannot be read.
pub fn exported_keys(workspace: &Workspace) -> Result<Vec<KeyRecord>> {
    let now = workspace.clock.now_millis();
    let mut records = vec![];
    let mut page = PageRequest::first(500);
    loop {
        let keys = workspace.store.keys(&page)?;
        for info in keys.items {
            let is_over = info.revoked_at_millis.is_some() || info.expires_at_millis.is_some_and(|at| at <= now);
            if let (false, Some(stored)) = (is_over, workspace.store.find_key(&info.id)?) {
                let mut record = KeyRecord::new(info.id, info.name, info.scopes, stored.secret_sha256);
                record.expires_at_millis = info.expires_at_millis;
                records.push(record);
            }
        }
        match keys.next {
            Some(next) => page = PageRequest::after(500, next),
            None => break,
        }
    }
    // In an order that says nothing of when they were made, so that the same keys are the same bytes.
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(records)
}

/// The lines of a file of keys.
///
/// # Errors
/// None in practice: a record is plain data.
pub fn key_lines(records: &[KeyRecord]) -> Result<Vec<u8>> {
    let mut lines = vec![];
    for record in records {
        let line = serde_json::to_vec(record).map_err(std::io::Error::from).at("write", Path::new("keys"))?;
        lines.extend(line);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// A folder of this process that goes away with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new folder that others cannot look into.
    pub(crate) fn new() -> Result<Self> {
        let path = crate::files::beside(&std::env::temp_dir().join("athanor-deploy"));
        #[allow(unused_mut, reason = "only Unix sets a mode")]
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).at("create", &path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder now, the system removes later.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An error about a file that is not what it should be.
pub(crate) fn corrupt(what: impl Into<String>) -> EngineError {
    EngineError::Failure(Failure::new(Code::Corrupt, what))
}

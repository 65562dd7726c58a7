//! A desk in a temporary folder, for tests of its parts.
#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_protocol::{
    Failure,
    api::{Ask, Host, WorkspaceOpen},
};

use super::{Desk, DeskOptions};

/// A desk and the folder that it lives in.
pub(super) struct TestDesk {
    /// The desk.
    pub(super) desk: Arc<Desk>,
    folder: tempfile::TempDir,
}

/// Asks as a client does.
pub(super) fn ask<A: Ask>(desk: &Arc<Desk>, ask: A) -> Result<A::Answer, Failure> {
    A::answer(desk.handle(ask.into())?)
}

fn desk_in(folder: &Path) -> Arc<Desk> {
    let options = DeskOptions {
        host: Host::Desktop,
        // No test here starts a worker.
        program: folder.join("no-such-program"),
        config_folder: folder.join("config"),
        default_folder: folder.join("workspaces"),
    };
    Desk::new(options).unwrap()
}

impl TestDesk {
    /// Without a workspace.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { desk: desk_in(folder.path()), folder }
    }

    /// With one.
    pub(super) fn open() -> Self {
        let test = Self::new();
        let path = test.path("workspace").display().to_string();
        ask(&test.desk, WorkspaceOpen { path, create: true }).unwrap();
        test
    }

    /// A second desk with the same settings, as a second window has.
    pub(super) fn another(&self) -> Arc<Desk> {
        desk_in(self.folder.path())
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where settings are.
    pub(super) fn config(&self) -> PathBuf {
        self.path("config")
    }
}

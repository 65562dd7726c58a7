//! The page of `athanor serve`: the user interface's files, and the desk behind them for whoever logs in with a key.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use athanor_protocol::{
    Code, Failure,
    api::{EventEnvelope, Reply, Request},
};
use athanor_serve::{
    Grant, KeyRefusal, Keys,
    site::{Asset, Assets, SiteBackend, SiteEvents},
};

use crate::{
    desk::{Desk, Subscription},
    error::{EngineError, IoContext, Result},
    files,
    ids::IdSource,
    keys::StoreKeys,
    registry,
    workspace::Workspace,
};

/// The file without which a folder is no page.
const INDEX: &str = "index.html";
/// Most files of a page.
const MAX_FILES: usize = 500;
/// Largest file of a page.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Deepest folder within a page's folder.
const MAX_DEPTH: usize = 4;

/// Where the page's files lie: beside the program, or where a package puts them.
pub fn find_folder(program: &Path) -> Option<PathBuf> {
    let beside = program.parent()?;
    [beside.join("ui"), beside.join("../share/athanor/ui")].into_iter().find(|folder| folder.join(INDEX).is_file())
}

/// Reads the page's files. Links are left alone, so that nothing outside the folder gets onto the page.
///
/// # Errors
/// If the folder cannot be read, holds no page, or more than a page has.
pub fn read_assets(folder: &Path) -> Result<Assets> {
    if !folder.join(INDEX).is_file() {
        let failure = Failure::new(Code::NotFound, format!("there is no user interface in {}", folder.display()));
        return Err(EngineError::Failure(
            failure.on(folder.display().to_string()).hint("build it with 'cargo xtask ui', or serve without it"),
        ));
    }
    let mut assets = vec![];
    collect(folder, "", 0, &mut assets)?;
    Assets::new(assets).map_err(|err| EngineError::Failure(err.into()))
}

fn collect(folder: &Path, prefix: &str, depth: usize, assets: &mut Vec<Asset>) -> Result<()> {
    for entry in fs::read_dir(folder).at("read", folder)? {
        let entry = entry.at("read", folder)?;
        let (path, kind) = (entry.path(), entry.file_type().at("read", folder)?);
        let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')).map(str::to_owned) else {
            continue;
        };
        let name = format!("{prefix}{name}");
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&path, &format!("{name}/"), depth + 1, assets)?;
        } else if kind.is_file() {
            if assets.len() >= MAX_FILES {
                let message = format!("{} holds more than {MAX_FILES} files: that is no page", folder.display());
                return Err(EngineError::new(Code::TooLarge, message));
            }
            assets.push(Asset { name, bytes: files::read_limited(&path, MAX_FILE_BYTES)? });
        }
    }
    Ok(())
}

/// A desk for browsers, with the keys of the workspace that it was started with.
pub struct DeskSite {
    desk: Arc<Desk>,
    keys: StoreKeys,
    ids: Arc<dyn IdSource>,
}

impl DeskSite {
    /// Puts a desk behind a page.
    ///
    /// # Errors
    /// If the workspace's keys cannot be read.
    pub fn new(desk: Arc<Desk>, workspace: &Workspace) -> Result<Self> {
        Ok(Self { desk, keys: StoreKeys::new(workspace)?, ids: Arc::clone(&workspace.ids) })
    }

    fn fresh(&self) -> Result<&StoreKeys, KeyRefusal> {
        self.keys.refresh_if_changed().map(|()| &self.keys).map_err(|err| {
            tracing::error!("keys cannot be read: {err}");
            KeyRefusal::Unavailable
        })
    }
}

impl SiteBackend for DeskSite {
    fn log_in(&self, key: &str) -> Result<Grant, KeyRefusal> {
        let grant = self.fresh()?.check(key)?;
        if let Err(err) = self.keys.write_touched() {
            tracing::warn!("cannot note when keys were used: {err}");
        }
        Ok(grant)
    }

    fn login_name(&self, grant: &Grant) -> String {
        // The ids of keys are hexadecimal digits.
        format!("{}#{:016x}", grant.key_id, self.keys.stamp(&grant.key_id))
    }

    fn still(&self, login: &str) -> Result<Grant, KeyRefusal> {
        let (id, stamp) = login.split_once('#').ok_or(KeyRefusal::Unknown)?;
        let keys = self.fresh()?;
        let grant = keys.still(id)?;
        // A secret that was exchanged takes its logins with it, whatever its grace elsewhere.
        if format!("{:016x}", keys.stamp(id)) == stamp { Ok(grant) } else { Err(KeyRefusal::Revoked) }
    }

    fn handle(&self, request: Request, caller: &Grant) -> Result<Reply, Failure> {
        registry::on_behalf_of(&caller.key_id, || self.desk.handle(request))
    }

    fn events(&self) -> Box<dyn SiteEvents> {
        Box::new(Listening(self.desk.subscribe()))
    }

    fn secret(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.ids.secret(buffer)
    }
}

struct Listening(Subscription);

impl SiteEvents for Listening {
    fn wait(&mut self, at_most: Duration) -> Vec<EventEnvelope> {
        self.0.wait(at_most)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_beside_the_program_and_read_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bin/athanor");
        let ui = folder.path().join("share/athanor/ui");
        assert_eq!(find_folder(&program), None);
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::create_dir_all(ui.join("fonts")).unwrap();
        assert_eq!(read_assets(&ui).map(drop).map_err(|err| err.code()), Err(Code::NotFound));
        fs::write(ui.join(INDEX), "<!doctype html>").unwrap();
        fs::write(ui.join("fonts/a.ttf"), "font").unwrap();
        fs::write(ui.join(".hidden"), "secret").unwrap();
        fs::write(folder.path().join("outside.txt"), "secret").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("outside.txt"), ui.join("link.txt")).unwrap();
        assert!(find_folder(&program).is_some());
        let text = format!("{:?}", read_assets(&ui).unwrap());
        assert!(text.contains("fonts/a.ttf") && !text.contains("secret") && !text.contains("link.txt"), "{text}");
    }
}

//! The program itself: who is there, settings, recent workspaces. What is kept lies in the user's own folder for
//! settings, in small files that are written whole or not at all.

mod machine;
mod sample;
mod storage;
mod workspace;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use athanor_protocol::{
    Code, Failure,
    api::{
        AuditList, AuditPage, Done, EndpointProblem, Hello, HelloAnswer, Pick, Picked, ProblemKind, RecentWorkspace,
        Settings, SettingsGet, SettingsSet, WorkspaceForget, WorkspaceInfo,
    },
};
use athanor_store::PageRequest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) use self::{
    machine::{device_of, devices_list, system_load},
    sample::workspace_sample,
    storage::{storage_clean, storage_usage},
    workspace::workspace_open,
};
use super::{Desk, DeskOptions};
use crate::{
    error::IoContext,
    files,
    ids::{Clock, System},
    schedule::Scheduler,
};

const SETTINGS: &str = "settings.json";
const RECENT: &str = "recent.json";
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Most workspaces on the recent list.
const MAX_RECENT: usize = 20;
/// Most bytes that the user interface may remember for itself.
const MAX_MEMORY_BYTES: usize = 256 << 10;
/// Lines of the audit log on a page.
const AUDIT_PAGE: u32 = 100;

/// What the desk knows of the program and this machine.
pub(super) struct HostState {
    folder: PathBuf,
    settings: Mutex<Settings>,
    recent: Mutex<Vec<Recent>>,
    /// How the open workspace is shown, with the lock that keeps other windows out.
    open: Mutex<Option<Open>>,
    /// One workspace is opened or closed at a time.
    changing: Mutex<()>,
    machine: machine::Machine,
}

struct Open {
    info: WorkspaceInfo,
    /// Carries out what is due; `None` where nothing can be written. Ends before the lock is let go.
    schedules: Option<Scheduler>,
    /// Held for as long as the workspace is open here; `None` where nothing can be written.
    _lock: Option<File>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recent {
    path: String,
    opened_at_millis: i64,
}

/// A panic elsewhere leaves these small values whole, so a poisoned lock guards nothing broken.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostState {
    /// Reads what was kept. What cannot be read is set aside and replaced by the defaults.
    ///
    /// # Errors
    /// If the folder for settings cannot be made.
    pub(super) fn new(options: &DeskOptions) -> Result<Self, Failure> {
        let folder = options.config_folder.clone();
        std::fs::create_dir_all(&folder).at("create", &folder).map_err(|err| {
            let failure = err.into_failure();
            failure.hint("settings are kept in this folder; make it writable, or name another one")
        })?;
        let mut recent: Vec<Recent> = read_or_set_aside(&folder.join(RECENT));
        recent.truncate(MAX_RECENT);
        Ok(Self {
            settings: Mutex::new(sane(read_or_set_aside(&folder.join(SETTINGS)))),
            recent: Mutex::new(recent),
            folder,
            open: Mutex::default(),
            changing: Mutex::default(),
            machine: machine::Machine::default(),
        })
    }

    /// What the user has set.
    pub(super) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// How the open workspace is shown.
    pub(super) fn info(&self) -> Option<WorkspaceInfo> {
        lock(&self.open).as_ref().map(|open| open.info.clone())
    }

    /// Ends carrying out schedules; what is at work goes on the next time.
    pub(super) fn stop_schedules(&self) {
        // Taken out first: others must not wait for what it is at.
        let schedules = lock(&self.open).as_mut().and_then(|open| open.schedules.take());
        drop(schedules);
    }

    fn remember(&self, path: &str) {
        let mut recent = lock(&self.recent);
        recent.retain(|other| other.path != path);
        recent.insert(0, Recent { path: path.to_owned(), opened_at_millis: System.now_millis() });
        recent.truncate(MAX_RECENT);
        if let Err(failure) = self.write(RECENT, &*recent) {
            // The workspace is open all the same.
            tracing::warn!("the list of recent workspaces was not written: {failure}");
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let bytes = serde_json::to_vec_pretty(value).map_err(std::io::Error::from).at("write", &path);
        bytes.and_then(|bytes| files::write_atomic(&path, &bytes)).map_err(crate::EngineError::into_failure)
    }
}

/// A kept value; one that cannot be read stays beside its place under another name, for whoever wants to mend it.
fn read_or_set_aside<T: DeserializeOwned + Default>(path: &Path) -> T {
    if !path.exists() {
        return T::default();
    }
    let read = files::read_limited(path, MAX_CONFIG_BYTES)
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("read", path));
    read.unwrap_or_else(|err| {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".broken");
        tracing::warn!("{err}; the defaults are taken");
        let _ = std::fs::rename(path, aside);
        T::default()
    })
}

/// Settings within their limits, whoever wrote the file.
fn sane(mut settings: Settings) -> Settings {
    settings.scale = if settings.scale.is_finite() { settings.scale.clamp(0.7, 2.0) } else { 1.0 };
    if settings.device.trim().is_empty() {
        settings.device = "auto".to_owned();
    }
    settings
}

/// The folder's name, or the whole path where it has none.
fn folder_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

pub(super) fn hello(desk: &Arc<Desk>, _: Hello) -> Result<HelloAnswer, Failure> {
    let recent = lock(&desk.host.recent).clone();
    let show = |recent: Recent| {
        let path = Path::new(&recent.path);
        RecentWorkspace {
            name: folder_name(path),
            exists: path.is_dir(),
            opened_at_millis: recent.opened_at_millis,
            path: recent.path,
        }
    };
    Ok(HelloAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: desk.options.host,
        workspace: desk.host.info(),
        recent: recent.into_iter().map(show).collect(),
        settings: desk.host.settings(),
        default_folder: desk.options.default_folder.display().to_string(),
        seq: desk.events.seq(),
        may_change: true,
    })
}

pub(super) fn workspace_forget(desk: &Arc<Desk>, ask: WorkspaceForget) -> Result<Done, Failure> {
    let mut recent = lock(&desk.host.recent);
    recent.retain(|other| other.path != ask.path);
    desk.host.write(RECENT, &*recent)?;
    Ok(Done {})
}

pub(super) fn settings_get(desk: &Arc<Desk>, _: SettingsGet) -> Result<Settings, Failure> {
    Ok(desk.host.settings())
}

pub(super) fn settings_set(desk: &Arc<Desk>, ask: SettingsSet) -> Result<Settings, Failure> {
    let settings = sane(ask.settings);
    let n_processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let most = n_processors.saturating_mul(16);
    if settings.threads > most {
        let message = format!("{} threads are too many for {n_processors} processors", settings.threads);
        return Err(Failure::new(Code::InvalidArgument, message).on("threads").hint(format!("{most} are the most")));
    }
    // What may hold a secret is not written down, and what has no bound is not either.
    let not_kept = |problem: &EndpointProblem| problem.kind == ProblemKind::NotKept;
    if let Some(problem) = settings.endpoint_options.problems().into_iter().find(not_kept) {
        return Err(problem.into());
    }
    if settings.device.len() > 64 {
        return Err(Failure::new(Code::InvalidArgument, "this is no device's name").on("device"));
    }
    if settings.memory.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_MEMORY_BYTES {
        return Err(Failure::new(Code::TooLarge, "the user interface remembers too much").on("memory"));
    }
    let mut kept = lock(&desk.host.settings);
    desk.host.write(SETTINGS, &settings)?;
    *kept = settings.clone();
    Ok(settings)
}

/// Only a window has the system's dialogs; its bridge answers this before it gets here.
pub(super) fn pick(_: &Arc<Desk>, _: Pick) -> Result<Picked, Failure> {
    Err(Failure::new(Code::Unsupported, "there is no file dialog here").hint("type the path instead"))
}

pub(super) fn audit_list(desk: &Arc<Desk>, ask: AuditList) -> Result<AuditPage, Failure> {
    let request = PageRequest { size: AUDIT_PAGE, token: ask.after };
    let query = athanor_store::AuditQuery {
        subject: ask.subject,
        action: ask.action,
        text: ask.text,
        since_millis: ask.since_millis,
    };
    let page = desk.workspace()?.store.find_audit(&query, &request)?;
    Ok(AuditPage { items: page.items, next: page.next })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_protocol::api::{EndpointOptions, ThemeChoice, TokenChoice};

    use super::*;
    use crate::desk::test_desk::{TestDesk, ask};

    #[test]
    fn settings_come_back_and_a_broken_file_is_set_aside() {
        let test = TestDesk::new();
        let mut settings = ask(&test.desk, SettingsGet {}).unwrap();
        assert_eq!(settings, Settings::default());
        settings.theme = ThemeChoice::Dark;
        settings.scale = 9.0;
        settings.memory.insert("runs.columns".into(), "loss".into());
        let kept = ask(&test.desk, SettingsSet { settings }).unwrap();
        assert_eq!((kept.theme, kept.scale), (ThemeChoice::Dark, 2.0));
        let again = test.another();
        assert_eq!(ask(&again, SettingsGet {}).unwrap(), kept);

        let path = test.config().join(SETTINGS);
        for broken in ["", "{", "[]", "{\"scale\": \"big\"}", "\0\0"] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(ask(&test.another(), SettingsGet {}).unwrap(), Settings::default(), "{broken:?}");
            assert!(path.with_extension("json.broken").exists());
        }
        std::fs::write(&path, r#"{"theme":"light","later":{"than":"this"}}"#).unwrap();
        assert_eq!(ask(&test.another(), SettingsGet {}).unwrap().theme, ThemeChoice::Light);
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let test = TestDesk::new();
        let refused = |settings: Settings| {
            ask(&test.desk, SettingsSet { settings }).map_err(|failure| failure.subject.unwrap_or_default())
        };
        let base = Settings::default;
        assert_eq!(refused(Settings { threads: 1_000_000, ..base() }), Err("threads".to_owned()));
        let memory = [("x".to_owned(), "y".repeat(MAX_MEMORY_BYTES))].into();
        assert_eq!(refused(Settings { memory, ..base() }), Err("memory".to_owned()));
        let tokens = TokenChoice { keys: "https://me:secret@id.example/keys".to_owned(), ..TokenChoice::default() };
        let endpoint_options = EndpointOptions { tokens: Some(tokens), ..EndpointOptions::default() };
        assert_eq!(refused(Settings { endpoint_options, ..base() }), Err("endpoint.tokens.keys".to_owned()));
        assert!(!test.config().join(SETTINGS).exists(), "nothing of it was written");
        assert_eq!(ask(&test.desk, SettingsGet {}).unwrap(), base());
        assert_eq!(refused(Settings { scale: f32::NAN, ..base() }).map(|settings| settings.scale), Ok(1.0));
    }

    #[test]
    fn the_recent_list_is_short_newest_first_and_forgets() {
        let test = TestDesk::new();
        for n in 0..MAX_RECENT + 5 {
            test.desk.host.remember(&format!("/nowhere/{n}"));
        }
        test.desk.host.remember("/nowhere/20");
        let recent = ask(&test.another(), Hello {}).unwrap().recent;
        assert_eq!(recent.len(), MAX_RECENT);
        assert_eq!((recent[0].name.as_str(), recent[0].exists), ("20", false));
        ask(&test.desk, WorkspaceForget { path: "/nowhere/20".into() }).unwrap();
        let recent = ask(&test.another(), Hello {}).unwrap().recent;
        assert_eq!((recent.len(), recent[0].name.as_str()), (MAX_RECENT - 1, "24"));
    }

    #[test]
    fn a_desk_without_a_window_has_no_dialogs() {
        let test = TestDesk::new();
        let pick = Pick {
            kind: athanor_protocol::api::PickKind::Open,
            title: String::new(),
            filter_name: String::new(),
            extensions: vec![],
            file_name: String::new(),
            multiple: false,
        };
        assert_eq!(ask(&test.desk, pick).unwrap_err().code, Code::Unsupported);
        assert_eq!(ask(&test.desk, AuditList::default()).unwrap_err().code, Code::Conflict, "no workspace");
    }
}

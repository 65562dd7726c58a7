//! The program itself: workspaces, settings, storage, dialogs, devices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EndpointOptions;
use crate::{names::RunId, registry::AuditEntry};

/// Asks who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hello {}

/// What shows the user interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// A window on this machine, with the system's dialogs and paths.
    #[default]
    Desktop,
    /// A browser, perhaps on another machine.
    Browser,
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The engine's version.
    pub version: String,
    /// What shows the user interface.
    pub host: Host,
    /// The open workspace.
    pub workspace: Option<WorkspaceInfo>,
    /// Workspaces opened before, newest first.
    pub recent: Vec<RecentWorkspace>,
    /// What the user has set.
    pub settings: Settings,
    /// Where new workspaces go by default.
    pub default_folder: String,
    /// The number of the newest event; earlier ones are of the past.
    pub seq: u64,
    /// Whether this client may change things, not only look.
    pub may_change: bool,
}

/// An open workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceInfo {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub path: String,
    /// Whether it cannot be written: then everything can be looked at and nothing changed.
    pub read_only: bool,
}

/// A workspace that was open before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentWorkspace {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub path: String,
    /// When it was last opened, milliseconds since the Unix epoch.
    pub opened_at_millis: i64,
    /// Whether the folder is still there.
    pub exists: bool,
}

/// Opens a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceOpen {
    /// The folder.
    pub path: String,
    /// Whether it is made where it is not there.
    pub create: bool,
}

/// Makes the sample workspace, or opens it where it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkspaceSample {}

/// Takes a workspace off the recent list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceForget {
    /// The folder.
    pub path: String,
}

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThemeChoice {
    /// As the system has it.
    #[default]
    System,
    /// Dark.
    Dark,
    /// Light.
    Light,
}

/// What the user has set, for all workspaces. Version 1; unknown fields of later versions are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Light, dark, or as the system has it.
    pub theme: ThemeChoice,
    /// Size of everything, 1.0 is normal; from 0.7 to 2.0.
    pub scale: f32,
    /// Whether motion is left out.
    pub reduced_motion: bool,
    /// The device that new runs take, by name, or `auto`.
    pub device: String,
    /// CPU threads of a run; 0 means all.
    pub threads: u32,
    /// Most resident memory of a run in bytes; 0 means nine tenths of the machine's.
    pub memory_limit_bytes: u64,
    /// Seed of new runs.
    pub seed: u64,
    /// The endpoint's port on this machine; 0 takes a free one.
    pub endpoint_port: u16,
    /// What the endpoint has besides.
    pub endpoint_options: EndpointOptions,
    /// What the user interface remembers for itself: panel sizes, last pages. Small.
    pub memory: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::System,
            scale: 1.0,
            reduced_motion: false,
            device: "auto".to_owned(),
            threads: 0,
            memory_limit_bytes: 0,
            seed: 42,
            endpoint_port: 0,
            endpoint_options: EndpointOptions::default(),
            memory: BTreeMap::new(),
        }
    }
}

/// Asks for the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SettingsGet {}

/// Sets them all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingsSet {
    /// The new settings.
    pub settings: Settings,
}

/// Asks how disk space is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageUsage {}

/// A part of the workspace's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoragePart {
    /// The database.
    Database,
    /// Packages and reports.
    Artifacts,
    /// Results that can be made again.
    Cache,
    /// Jobs and checkpoints of runs.
    Jobs,
    /// Tables kept in the workspace.
    Data,
    /// Saved workflows.
    Workflows,
}

/// How much a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageItem {
    /// Which part.
    pub part: StoragePart,
    /// Its size.
    pub n_bytes: u64,
    /// Files in it.
    pub n_files: u64,
    /// How much of it can go without losing anything.
    pub cleanable_bytes: u64,
}

/// How the workspace's disk space is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// Each part.
    pub items: Vec<StorageItem>,
    /// Free space on the disk.
    pub free_bytes: u64,
}

/// Frees what can be made again, in a part that has such things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageClean {
    /// Which part.
    pub part: StoragePart,
}

/// What a clean-up freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageCleaned {
    /// How much.
    pub freed_bytes: u64,
}

/// What the system's dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PickKind {
    /// Files to read.
    Open,
    /// A file to write.
    Save,
    /// A folder.
    Folder,
}

/// Lets the user choose in the system's own dialog. `Unsupported` where there is none (a browser).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// What for.
    pub kind: PickKind,
    /// The dialog's title.
    pub title: String,
    /// What the files are called, for example `Tables`.
    pub filter_name: String,
    /// Endings without the dot; all where empty.
    pub extensions: Vec<String>,
    /// The name to begin with, for `Save`.
    pub file_name: String,
    /// Whether several may be chosen, for `Open`.
    pub multiple: bool,
}

/// What the user chose; empty where the dialog was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// The paths.
    pub paths: Vec<String>,
}

/// Asks for the devices of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DevicesList {
    /// Whether they are looked for again; else the last answer may do.
    pub refresh: bool,
}

/// A device that can train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// By which a run names it, for example `vulkan:0`.
    pub name: String,
    /// What the maker calls it.
    pub title: String,
    /// `cpu`, `discrete_gpu`, `integrated_gpu`, `virtual_gpu` or `software`.
    pub kind: String,
    /// Its memory, where known.
    pub memory_bytes: Option<u64>,
    /// Why it should not be used, where that is so.
    pub problem: Option<String>,
}

/// Devices of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// Each.
    pub devices: Vec<DeviceEntry>,
    /// What `auto` means now.
    pub auto: String,
    /// What went wrong while looking for graphics cards.
    pub problem: Option<String>,
}

/// Asks how busy this machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SystemLoad {}

/// How busy this machine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadNow {
    /// When, milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// The machine's name.
    pub host: String,
    /// The processor's name.
    pub processor: String,
    /// Each core in percent.
    pub core_percent: Vec<f32>,
    /// Memory in all.
    pub memory_bytes: u64,
    /// Memory in use.
    pub memory_used_bytes: u64,
    /// Memory of this program without its workers.
    pub engine_bytes: u64,
    /// Processes at work for runs.
    pub workers: Vec<WorkerLoad>,
    /// Graphics cards, where the system tells of them: name, percent busy, memory used, memory in all.
    pub gpus: Vec<GpuLoad>,
}

/// A worker's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerLoad {
    /// The run.
    pub run: crate::names::RunId,
    /// The process.
    pub pid: u32,
    /// Percent of one core.
    pub cpu_percent: f32,
    /// Resident memory.
    pub memory_bytes: u64,
}

/// A graphics card's load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuLoad {
    /// What the maker calls it.
    pub title: String,
    /// Percent busy, where the driver says.
    pub busy_percent: Option<f32>,
    /// Memory in use, where the driver says.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all, where the driver says.
    pub memory_bytes: Option<u64>,
}

/// Stops what is under way. Where it has ended already, nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkCancel {
    /// The token of its progress events.
    pub token: String,
}

/// A file of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum FileWanted {
    /// A file that a run made.
    Artifact {
        /// The run.
        run: RunId,
        /// The file's name among the run's.
        name: String,
    },
    /// The signed package of a version.
    Package {
        /// The model.
        model: String,
        /// The version.
        version: u32,
    },
}

/// Asks for a piece of a file of the workspace: a browser saves it on its own machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRead {
    /// Which.
    pub file: FileWanted,
    /// Where the piece begins, in bytes. The engine chooses how long it is.
    pub offset: u64,
}

/// A piece of a file; empty at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePiece {
    /// The bytes, as base64.
    pub base64: String,
    /// Bytes of the whole file.
    pub n_bytes: u64,
}

/// Asks for a page of the audit log, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditList {
    /// The token of the page before.
    pub after: Option<String>,
    /// Only lines about this thing: `NAME` finds `NAME:3` and `NAME@production` as well.
    #[serde(default)]
    pub subject: Option<String>,
    /// Only lines of this action; `model` finds all that begin with `model.`.
    #[serde(default)]
    pub action: Option<String>,
    /// Only lines that hold this text in actor, action, subject or detail.
    #[serde(default)]
    pub text: Option<String>,
    /// Only lines from this time on, milliseconds since the Unix epoch.
    #[serde(default)]
    pub since_millis: Option<i64>,
}

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The lines.
    pub items: Vec<AuditEntry>,
    /// Asks for the next page.
    pub next: Option<String>,
}

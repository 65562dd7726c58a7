//! Answers about the program itself.

use athanor_protocol::{
    Failure,
    api::{
        AuditPage, DeviceEntry, Devices, Done, GpuLoad, HelloAnswer, Host, LoadNow, RecentWorkspace, Reply, Request,
        Settings, StorageCleaned, StorageItem, StoragePart, StorageReport, WorkerLoad, WorkspaceInfo,
    },
    registry::AuditEntry,
};

use super::NOW_MILLIS;

/// The open workspace.
pub fn workspace() -> WorkspaceInfo {
    WorkspaceInfo { name: "clinic".to_owned(), path: "/home/ada/Athanor/clinic".to_owned(), read_only: false }
}

/// Who is there.
pub fn hello() -> HelloAnswer {
    let recent = |name: &str, hours: i64, exists| RecentWorkspace {
        name: name.to_owned(),
        path: format!("/home/ada/Athanor/{name}"),
        opened_at_millis: NOW_MILLIS - hours * 3_600_000,
        exists,
    };
    HelloAnswer {
        version: "0.1.0".to_owned(),
        host: Host::Desktop,
        workspace: Some(workspace()),
        recent: vec![recent("clinic", 0, true), recent("churn", 26, true), recent("old-laptop", 900, false)],
        settings: Settings::default(),
        default_folder: "/home/ada/Athanor".to_owned(),
        seq: 0,
        may_change: true,
    }
}

/// Devices of a machine with a graphics card.
pub fn devices() -> Devices {
    let device = |name: &str, title: &str, kind: &str, memory: Option<u64>, problem: Option<&str>| DeviceEntry {
        name: name.to_owned(),
        title: title.to_owned(),
        kind: kind.to_owned(),
        memory_bytes: memory,
        problem: problem.map(str::to_owned),
    };
    Devices {
        devices: vec![
            device("cpu", "8 cores", "cpu", Some(34_359_738_368), None),
            device("vulkan:0", "GeForce RTX 4070", "discrete_gpu", Some(12_884_901_888), None),
            device("vulkan:1", "llvmpipe", "software", None, Some("software device, slower than the processor")),
        ],
        auto: "vulkan:0".to_owned(),
        problem: None,
    }
}

/// A line of the audit log.
pub fn audit_entry(id: u64) -> AuditEntry {
    let (action, subject, detail) = match id % 5 {
        0 => ("model.alias", "tumours", serde_json::json!({ "alias": "production", "version": id / 10 + 1 })),
        1 => ("key.create", "k7q2m9xa", serde_json::json!({ "name": "ward 4 tablet", "scopes": ["predict"] })),
        2 => ("model.register", "tumours", serde_json::json!({ "version": id / 10 + 1 })),
        3 => ("endpoint.start", "http://127.0.0.1:8080", serde_json::json!({})),
        _ => ("run.delete", "01ka9000000000000000000003", serde_json::json!({})),
    };
    AuditEntry {
        id,
        at_millis: NOW_MILLIS - (61 - id as i64) * 5_400_000,
        actor: if id.is_multiple_of(7) { "f3n8c1zt".to_owned() } else { "ada".to_owned() },
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail,
    }
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::Hello(_) => Reply::Hello(Box::new(hello())),
        Request::WorkspaceOpen(_) => Reply::WorkspaceOpen(Box::new(workspace())),
        Request::WorkspaceSample(_) => Reply::WorkspaceSample(Box::new(workspace())),
        Request::WorkspaceForget(_) => Reply::WorkspaceForget(Box::new(Done {})),
        Request::SettingsGet(_) => Reply::SettingsGet(Box::default()),
        Request::SettingsSet(ask) => Reply::SettingsSet(Box::new(ask.settings.clone())),
        Request::DevicesList(_) => Reply::DevicesList(Box::new(devices())),
        Request::SystemLoad(_) => Reply::SystemLoad(Box::new(LoadNow {
            at_millis: NOW_MILLIS,
            host: "ada-laptop".to_owned(),
            processor: "Ryzen 7 7840U".to_owned(),
            core_percent: vec![12.0, 54.0, 33.0, 8.0, 91.0, 40.0, 22.0, 5.0],
            memory_bytes: 34_359_738_368,
            memory_used_bytes: 12_300_000_000,
            engine_bytes: 180_000_000,
            workers: vec![WorkerLoad {
                run: super::run_id(0),
                pid: 4211,
                cpu_percent: 187.0,
                memory_bytes: 1_420_000_000,
            }],
            gpus: vec![GpuLoad {
                title: "GeForce RTX 4070".to_owned(),
                busy_percent: Some(63.0),
                memory_used_bytes: Some(3_100_000_000),
                memory_bytes: Some(12_884_901_888),
            }],
        })),
        Request::StorageUsage(_) => {
            let item =
                |part, n_bytes, n_files, cleanable_bytes| StorageItem { part, n_bytes, n_files, cleanable_bytes };
            Reply::StorageUsage(Box::new(StorageReport {
                items: vec![
                    item(StoragePart::Database, 8_400_000, 2, 0),
                    item(StoragePart::Artifacts, 42_000_000, 31, 0),
                    item(StoragePart::Cache, 1_240_000_000, 210, 1_100_000_000),
                    item(StoragePart::Jobs, 310_000_000, 96, 290_000_000),
                    item(StoragePart::Data, 96_000_000, 4, 0),
                    item(StoragePart::Workflows, 64_000, 6, 0),
                ],
                free_bytes: 212_000_000_000,
            }))
        }
        Request::StorageClean(_) => Reply::StorageClean(Box::new(StorageCleaned { freed_bytes: 1_100_000_000 })),
        Request::FileRead(_) => {
            let piece = athanor_protocol::api::FilePiece { base64: "YQ==".to_owned(), n_bytes: 1 };
            Reply::FileRead(Box::new(piece))
        }
        Request::WorkCancel(_) => Reply::WorkCancel(Box::new(athanor_protocol::api::Done {})),
        Request::AuditList(ask) => {
            let from = ask.after.as_deref().and_then(|token| token.parse().ok()).unwrap_or(61);
            let items: Vec<AuditEntry> = (1..from).rev().take(25).map(audit_entry).collect();
            let next = items.last().filter(|entry| entry.id > 1).map(|entry| entry.id.to_string());
            Reply::AuditList(Box::new(AuditPage { items, next }))
        }
        _ => return None,
    };
    Some(Ok(reply))
}

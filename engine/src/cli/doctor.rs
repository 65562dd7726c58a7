//! `doctor`: what this machine has, what is missing, and how to get it.

use serde_json::json;
use sysinfo::{Disks, System};

use super::{
    Context,
    output::{bytes, table},
};
use crate::{devices, error::Result, runs::system::memory_bytes, workspace::Workspace};

/// Less free disk than this is worth a warning.
const LITTLE_DISK_BYTES: u64 = 2 << 30;
/// Less free memory than this is worth a warning.
const LITTLE_MEMORY_BYTES: u64 = 1 << 30;

pub(crate) fn run(context: &Context) -> Result<bool> {
    let (memory_total, memory_free) = memory_bytes();
    let os = System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut missing: Vec<(String, String)> = vec![];
    let devices = match devices::probe(&context.program) {
        Ok(devices) => devices,
        Err(err) => {
            let failure = err.into_failure();
            missing.push((failure.message, failure.hint.unwrap_or_default()));
            vec![]
        }
    };
    if !devices.iter().any(|device| device.name != "cpu") {
        let how = "a GPU needs its driver with Vulkan; on Debian and Ubuntu also: apt-get install libvulkan1 mesa-vulkan-drivers";
        missing.push(("no GPU was found; everything works on the CPU".to_owned(), how.to_owned()));
    }
    let (disk_free, disk_total) = disk_of(&context.workspace);
    if disk_free < LITTLE_DISK_BYTES {
        missing.push((
            format!("only {} of disk are free", bytes(disk_free)),
            "make room, or name a workspace on another disk".to_owned(),
        ));
    }
    if memory_free < LITTLE_MEMORY_BYTES {
        missing.push((format!("only {} of memory are free", bytes(memory_free)), "close other programs".to_owned()));
    }
    if !cfg!(feature = "lightgbm") {
        missing
            .push(("this build cannot train boosted trees".to_owned(), "build with the feature 'lightgbm'".to_owned()));
    }
    let workspace = match Workspace::open(&context.workspace) {
        Ok(workspace) => workspace.root().display().to_string(),
        Err(err) => format!("{} ({})", context.workspace.display(), err.code()),
    };
    let versions = [
        ("athanor", env!("CARGO_PKG_VERSION")),
        ("burn", athanor_learn::burn_version()),
        ("polars", athanor_datasets::polars_version()),
    ];
    let versions: serde_json::Map<String, serde_json::Value> =
        versions.iter().map(|(name, version)| ((*name).to_owned(), json!(version))).collect();
    let value = json!({
        "versions": versions,
        "os": os, "arch": std::env::consts::ARCH, "threads": threads,
        "memory_bytes": memory_total, "memory_free_bytes": memory_free,
        "disk_bytes": disk_total, "disk_free_bytes": disk_free,
        "devices": devices, "workspace": workspace,
        "missing": missing.iter().map(|(what, how)| json!({ "what": what, "how": how })).collect::<Vec<_>>(),
    });
    context.out.result(&value, || {
        let mut text = String::new();
        for (name, version) in &versions {
            text += &format!("{name:<10} {}\n", version.as_str().unwrap_or_default());
        }
        text += &format!("system     {}, {}, {threads} threads\n", os, std::env::consts::ARCH);
        text += &format!("memory     {} of {} free\n", bytes(memory_free), bytes(memory_total));
        text += &format!("disk       {} of {} free\nworkspace  {workspace}\n\n", bytes(disk_free), bytes(disk_total));
        let rows: Vec<Vec<String>> = devices
            .iter()
            .map(|device| {
                vec![device.name.clone(), device.description.clone(), device.memory_bytes.map_or("-".to_owned(), bytes)]
            })
            .collect();
        text += &table(&["device", "what", "memory"], &rows);
        for (what, how) in &missing {
            text += &format!("\n! {what}\n  {how}");
        }
        text
    });
    Ok(true)
}

/// Free and total bytes of the disk that a path lies on.
fn disk_of(path: &std::path::Path) -> (u64, u64) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Ok(disks) = Disks::new_with_refreshed_list() else { return (u64::MAX, u64::MAX) };
    let on = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    let disk = on.max_by_key(|disk| disk.mount_point().as_os_str().len());
    disk.map_or((u64::MAX, u64::MAX), |disk| (disk.available_space(), disk.total_space()))
}

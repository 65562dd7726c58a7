//! An image as a folder that a container runtime can run (crun, runc): `rootfs` and `config.json`, after the OCI runtime
//! specification 1.0.

use std::{
    fs::{self, File},
    path::Path,
};

use athanor_protocol::{Code, Failure};
use serde_json::{Value, json};

use super::{
    documents::{ImageConfig, Index},
    layout,
    verify::{VerifiedImage, documents_of, verify_layout, walk},
};
use crate::{
    deploy::corrupt,
    error::{EngineError, IoContext, Result},
    files,
};

/// Unpacks an image that was checked, into a folder that is new or empty.
///
/// # Errors
/// As [`verify_layout`]; if there is something in the folder; if it cannot be written.
pub fn unpack(from: &Path, to: &Path, trusted: &[String]) -> Result<VerifiedImage> {
    let image = verify_layout(from, trusted)?;
    if to.exists() && fs::read_dir(to).at("read", to)?.next().is_some() {
        let failure = Failure::new(Code::Conflict, format!("there is something in it already: {}", to.display()));
        return Err(EngineError::Failure(failure.hint("name a folder that is new or empty")));
    }
    let index = files::read_limited(&from.join(layout::INDEX), 1 << 20)?;
    let index: Index = serde_json::from_slice(&index).map_err(|err| corrupt(format!("the index is damaged: {err}")))?;
    let named = index.manifests.first().ok_or_else(|| corrupt("the image has no manifest"))?;
    let blobs = layout::blobs_of(from);
    let (manifest, config) = documents_of(&blobs, named)?;
    let root = to.join("rootfs");
    fs::create_dir_all(&root).at("create", &root)?;
    // Every path was checked: it has no part that leads up, and no file of ours is a link to somewhere else.
    walk(&blobs, &manifest, &config, &mut |file| {
        let place = root.join(&file.path);
        if file.is_folder {
            return fs::create_dir_all(&place).at("create", &place);
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        let mut out = File::create_new(&place).at("create", &place)?;
        std::io::copy(&mut *file.from, &mut out).at("write", &place)?;
        set_mode(&place, if file.is_program { 0o755 } else { 0o644 })
    })?;
    let runtime = serde_json::to_vec_pretty(&runtime_config(&config)?).map_err(std::io::Error::from);
    let path = to.join("config.json");
    files::write_atomic(&path, &runtime.at("write", &path)?)?;
    Ok(image)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("write", path)
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> Result<()> {
    Ok(())
}

/// How a runtime starts the program: without any privilege, on a root that cannot be written, in the network of the
/// machine.
fn runtime_config(config: &ImageConfig) -> Result<Value> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    let mut ids = config.config.user.split(':');
    let (Some(user), group) = (number(ids.next()), number(ids.next())) else {
        return Err(corrupt("the image's user is no number"));
    };
    let none: [&str; 0] = [];
    let temporary = ["nosuid", "nodev", "noexec", "mode=1777", "size=65536k"];
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": user, "gid": group.unwrap_or(user) },
            "args": config.config.entrypoint,
            "env": config.config.env,
            "cwd": config.config.working_dir,
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": none, "effective": none, "permitted": none, "inheritable": none, "ambient": none
            },
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": temporary },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/sched_debug"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
        },
    }))
}

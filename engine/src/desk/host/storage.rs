//! How the workspace's folder is used, and freeing what can be made again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use athanor_protocol::{
    Code, Failure,
    api::{StorageClean, StorageCleaned, StorageItem, StoragePart, StorageReport, StorageUsage},
    names::RunId,
    run::RunStatus,
};

use super::Desk;
use crate::{
    EngineError,
    error::IoContext,
    files, steward,
    worker::{CHECKPOINTS, HISTORY},
    workspace::Workspace,
};

/// A job's folder without a run is left over only after this long: a run is written down just after its job.
const ORPHAN_AGE: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    n_bytes: u64,
    n_files: u64,
}

/// Adds up a folder. Links are counted as links and not followed; what vanishes meanwhile is not there.
fn size_of(path: &Path) -> Size {
    let mut size = Size::default();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            size.n_bytes += meta.len();
            size.n_files += 1;
        }
    }
    size
}

fn folder_of(workspace: &Workspace, part: StoragePart) -> PathBuf {
    let root = workspace.root();
    match part {
        StoragePart::Database => root.to_owned(),
        StoragePart::Artifacts => root.join("artifacts"),
        StoragePart::Cache => workspace.cache_folder(),
        StoragePart::Jobs => root.join("jobs"),
        StoragePart::Data => root.join("data"),
        StoragePart::Workflows => root.join("workflows"),
    }
}

fn size_of_part(workspace: &Workspace, part: StoragePart) -> Size {
    if part != StoragePart::Database {
        return size_of(&folder_of(workspace, part));
    }
    let sizes = ["athanor.db", "athanor.db-wal", "athanor.db-shm"].map(|name| size_of(&workspace.root().join(name)));
    let add = |a: Size, b: Size| Size { n_bytes: a.n_bytes + b.n_bytes, n_files: a.n_files + b.n_files };
    sizes.into_iter().fold(Size::default(), add)
}

/// What waits for its turn does not leave so soon.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// Whether any run, of whatever process, may be at work with cached results. Waits so long for one that has ended.
fn is_busy(desk: &Desk, workspace: &Workspace, wait: Duration) -> Result<bool, Failure> {
    if !workspace.store.running()?.is_empty() {
        return Ok(true);
    }
    // A run whose end is written down, and told, leaves a moment later.
    Ok(!desk.runs.idle_within(wait))
}

/// Folders of jobs that nothing needs: checkpoints of finished runs, and jobs whose run was never written down.
fn spare_jobs(workspace: &Workspace) -> Result<Vec<PathBuf>, Failure> {
    let mut spare = vec![];
    let folder = folder_of(workspace, StoragePart::Jobs);
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let Ok(run) = RunId::new(entry.file_name().to_string_lossy()) else { continue };
        let path = entry.path();
        let parts: Vec<PathBuf> = [CHECKPOINTS, HISTORY].iter().map(|name| path.join(name)).collect();
        match workspace.store.cancel_reason(&run) {
            Err(err) if err.code() == Code::NotFound => {
                let age = entry.metadata().and_then(|meta| meta.modified()).ok();
                let age = age.and_then(|modified| SystemTime::now().duration_since(modified).ok());
                if age.is_some_and(|age| age > ORPHAN_AGE) {
                    spare.push(path);
                }
            }
            Err(err) => return Err(err.into()),
            Ok(_) if !parts.iter().any(|part| part.exists()) => {}
            Ok(_) => {
                if workspace.store.summary(&run)?.status == RunStatus::Finished {
                    spare.extend(parts);
                }
            }
        }
    }
    Ok(spare)
}

pub(in crate::desk) fn storage_usage(desk: &Arc<Desk>, _: StorageUsage) -> Result<StorageReport, Failure> {
    let workspace = desk.workspace()?;
    let parts = [
        StoragePart::Database,
        StoragePart::Artifacts,
        StoragePart::Cache,
        StoragePart::Jobs,
        StoragePart::Data,
        StoragePart::Workflows,
    ];
    let mut items = vec![];
    for part in parts {
        let size = size_of_part(&workspace, part);
        let cleanable_bytes = match part {
            StoragePart::Cache if is_busy(desk, &workspace, Duration::ZERO)? => 0,
            StoragePart::Cache => size.n_bytes,
            StoragePart::Artifacts => steward::cleanable_bytes(&workspace)?,
            StoragePart::Jobs => spare_jobs(&workspace)?.iter().map(|path| size_of(path).n_bytes).sum(),
            _ => 0,
        };
        items.push(StorageItem { part, n_bytes: size.n_bytes, n_files: size.n_files, cleanable_bytes });
    }
    Ok(StorageReport { items, free_bytes: free_bytes(workspace.root()) })
}

/// Free space on the disk that a folder is on; 0 where the system does not tell.
fn free_bytes(folder: &Path) -> u64 {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let Ok(disks) = sysinfo::Disks::new_with_refreshed_list() else { return 0 };
    let under = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let nearest = under.max_by_key(|disk| disk.mount_point().components().count());
    nearest.map_or(0, sysinfo::Disk::available_space)
}

pub(in crate::desk) fn storage_clean(desk: &Arc<Desk>, ask: StorageClean) -> Result<StorageCleaned, Failure> {
    let workspace = desk.workspace()?;
    match ask.part {
        StoragePart::Cache => {
            if is_busy(desk, &workspace, LEAVES_WITHIN)? {
                return Err(Failure::new(Code::Conflict, "results cannot be removed while runs are at work")
                    .hint("wait for the runs or cancel them, then try again"));
            }
            let folder = workspace.cache_folder();
            if !folder.exists() {
                return Ok(StorageCleaned { freed_bytes: 0 });
            }
            let freed_bytes = size_of(&folder).n_bytes;
            // Renamed first: a run that starts now finds an empty cache and not half of one.
            let aside = files::beside(&folder);
            fs::rename(&folder, &aside).at("remove", &folder).map_err(EngineError::into_failure)?;
            fs::remove_dir_all(&aside).at("remove", &aside).map_err(EngineError::into_failure)?;
            Ok(StorageCleaned { freed_bytes })
        }
        StoragePart::Jobs => {
            let mut freed_bytes = 0;
            for path in spare_jobs(&workspace)?.into_iter().filter(|path| path.exists()) {
                freed_bytes += size_of(&path).n_bytes;
                fs::remove_dir_all(&path).at("remove", &path).map_err(EngineError::into_failure)?;
            }
            Ok(StorageCleaned { freed_bytes })
        }
        // Packages of versions that somebody deleted: everything else there is the truth.
        StoragePart::Artifacts => Ok(StorageCleaned { freed_bytes: steward::clean_deleted(&workspace)? }),
        _ => Err(Failure::new(Code::InvalidArgument, "nothing in this part of the workspace can be made again")
            .hint("only results, left-over job files and packages of deleted versions can be cleaned up")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::desk::test_desk::{TestDesk, ask};

    #[test]
    fn parts_are_added_up_and_what_can_be_made_again_is_freed() {
        let test = TestDesk::open();
        let root = test.desk.workspace().unwrap().root().to_owned();
        for (path, n_bytes) in [("cache/aa/x/value", 100), ("data/a.csv", 10), ("data/deep/b.csv", 5)] {
            files::write_atomic(&root.join(path), &vec![b'x'; n_bytes]).unwrap();
        }
        let item = |part| {
            let report = ask(&test.desk, StorageUsage {}).unwrap();
            assert!(report.free_bytes > 0);
            report.items.into_iter().find(|item| item.part == part).unwrap()
        };
        let data = item(StoragePart::Data);
        assert_eq!((data.n_bytes, data.n_files, data.cleanable_bytes), (15, 2, 0));
        assert!(item(StoragePart::Database).n_bytes > 0);
        assert_eq!((item(StoragePart::Cache).n_bytes, item(StoragePart::Cache).cleanable_bytes), (100, 100));
        let clean = |part| ask(&test.desk, StorageClean { part });
        assert_eq!(clean(StoragePart::Cache).unwrap().freed_bytes, 100);
        assert_eq!(clean(StoragePart::Cache).unwrap().freed_bytes, 0);
        assert_eq!(item(StoragePart::Cache).n_bytes, 0);
        assert_eq!(clean(StoragePart::Data).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(item(StoragePart::Data).n_bytes, 15);
    }
}

//! Opening workspaces: one at a time, and each in one window only.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use athanor_protocol::{
    Code, Failure,
    api::{Event, WorkspaceInfo, WorkspaceOpen},
};

use super::{super::endpoint, Desk, Open, folder_name, lock};
use crate::{
    EngineError, desk::schedule::watch, runs::reconcile::reconcile, schedule::Scheduler, workspace::Workspace,
};

/// The file that the window which has a workspace open holds locked.
const LOCK: &str = "window.lock";

pub(in crate::desk) fn workspace_open(desk: &Arc<Desk>, ask: WorkspaceOpen) -> Result<WorkspaceInfo, Failure> {
    let path = ask.path.trim();
    if path.is_empty() {
        return Err(Failure::new(Code::InvalidArgument, "no folder was named").hint("choose a folder"));
    }
    enter(desk, Path::new(path), ask.create)
}

/// Changes to a workspace. The one before stays open where the new one cannot be opened.
pub(super) fn enter(desk: &Arc<Desk>, root: &Path, create: bool) -> Result<WorkspaceInfo, Failure> {
    let _changing = lock(&desk.host.changing);
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(info) = desk.host.info()
        && real(Path::new(&info.path)) == real(root)
    {
        desk.host.remember(&info.path);
        return Ok(info);
    }
    if let Some(info) = desk.host.info()
        && desk.runs.n_active() > 0
    {
        let message = format!("{} runs of workspace {:?} are still at work", desk.runs.n_active(), info.name);
        return Err(Failure::new(Code::Conflict, message)
            .on(info.path)
            .hint("wait for them or cancel them on the Runs page, then open the other workspace"));
    }
    let (workspace, read_only) = open(root, create)?;
    let held = if read_only { None } else { hold(workspace.root())? };
    let info =
        WorkspaceInfo { name: folder_name(workspace.root()), path: workspace.root().display().to_string(), read_only };
    endpoint::shut_down(desk);
    if !read_only {
        reconcile(&workspace).map_err(EngineError::into_failure)?;
    }
    let mut current = desk.workspace.write().unwrap_or_else(PoisonError::into_inner);
    let workspace = Arc::new(workspace);
    *current = Some(Arc::clone(&workspace));
    let schedules = (!read_only).then(|| Scheduler::start_with(workspace, watch(desk)));
    let before = lock(&desk.host.open).replace(Open { info: info.clone(), schedules, _lock: held });
    drop(current);
    // Waits for what a schedule of the other workspace is at; nobody else has to.
    drop(before);
    desk.host.remember(&info.path);
    desk.publish(Event::WorkspaceChanged { workspace: Some(info.clone()) });
    Ok(info)
}

fn open(root: &Path, create: bool) -> Result<(Workspace, bool), Failure> {
    let opened = if create { Workspace::init(root) } else { Workspace::open(root) };
    let failure = match opened {
        Ok(workspace) => return Ok((workspace, false)),
        Err(err) => err.into_failure(),
    };
    if failure.code == Code::NotFound && !create {
        return Err(failure
            .on(root.display().to_string())
            .hint("choose a workspace's folder, or make a new workspace"));
    }
    if failure.code != Code::PermissionDenied {
        return Err(failure);
    }
    match Workspace::open_read_only(root) {
        Ok(workspace) => Ok((workspace, true)),
        // What is wrong with the folder says more than why it cannot even be read.
        Err(_) => Err(failure
            .on(root.display().to_string())
            .hint("make the folder and everything in it writable, or copy the workspace to where you may write")),
    }
}

/// Takes the lock that keeps other windows out; it is let go when the file is closed, also by a kill.
fn hold(root: &Path) -> Result<Option<File>, Failure> {
    let path: PathBuf = root.join(LOCK);
    let file = match File::options().create(true).truncate(false).write(true).open(&path) {
        Ok(file) => file,
        Err(err) => {
            let message = format!("the workspace {:?} cannot be written: {err}", folder_name(root));
            let hint = "make the folder and everything in it writable, or copy the workspace to where you may write";
            return Err(Failure::new(Code::from_io(&err), message).on(root.display().to_string()).hint(hint));
        }
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let message = format!("workspace {:?} is open in another window", folder_name(root));
            let hint = "go to that window, or close it and try again; another workspace can be open beside it";
            Err(Failure::new(Code::Conflict, message).on(root.display().to_string()).hint(hint))
        }
        Err(TryLockError::Error(err)) => {
            // Some network file systems have no locks: better one window too many than none.
            tracing::warn!("{} cannot be locked: {err}", path.display());
            Ok(Some(file))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use athanor_protocol::api::Hello;

    use super::*;
    use crate::desk::test_desk::{TestDesk, ask};

    fn open_in(desk: &Arc<Desk>, path: &Path, create: bool) -> Result<WorkspaceInfo, Failure> {
        ask(desk, WorkspaceOpen { path: path.display().to_string(), create })
    }

    #[test]
    fn a_workspace_opens_in_one_window_at_a_time() {
        let test = TestDesk::new();
        let (one, two) = (test.path("one"), test.path("two"));
        let events = test.desk.subscribe();
        let info = open_in(&test.desk, &one, true).unwrap();
        assert_eq!((info.name.as_str(), info.read_only), ("one", false));
        let heard = events.wait(std::time::Duration::ZERO);
        assert_eq!(heard[0].event, Event::WorkspaceChanged { workspace: Some(info.clone()) });
        let other = test.another();
        let refused = open_in(&other, &one, false).unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
        assert!(refused.message.contains("\"one\" is open in another window") && refused.hint.is_some());
        assert!(ask(&other, Hello {}).unwrap().workspace.is_none());
        // The same window may open it again; going elsewhere lets it go.
        assert_eq!(open_in(&test.desk, &one, false).unwrap(), info);
        open_in(&test.desk, &two, true).unwrap();
        assert_eq!(open_in(&other, &one, false).unwrap(), info);
        let hello = ask(&other, Hello {}).unwrap();
        assert_eq!((hello.workspace, hello.recent[0].path.as_str()), (Some(info.clone()), info.path.as_str()));
    }

    #[test]
    fn what_is_no_workspace_is_refused_and_the_open_one_stays() {
        let test = TestDesk::new();
        let one = test.path("one");
        open_in(&test.desk, &one, true).unwrap();
        let full = test.path("full");
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("thesis.txt"), "precious").unwrap();
        let code = |path: &Path, create| open_in(&test.desk, path, create).unwrap_err().code;
        assert_eq!(code(&full, true), Code::Conflict);
        assert_eq!(code(&full, false), Code::NotFound);
        assert_eq!(code(&test.path("missing"), false), Code::NotFound);
        assert_eq!(code(Path::new(" "), true), Code::InvalidArgument);
        assert_eq!(ask(&test.desk, Hello {}).unwrap().workspace.unwrap().name, "one");
        test.desk.workspace().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_workspace_that_cannot_be_written_is_opened_to_look_at() {
        use std::os::unix::fs::PermissionsExt;
        let test = TestDesk::new();
        let one = test.path("one");
        open_in(&test.desk, &one, true).unwrap();
        drop(open_in(&test.desk, &test.path("two"), true).unwrap());
        let set = |mode: u32| {
            for name in ["athanor.db", ""] {
                let path = if name.is_empty() { one.clone() } else { one.join(name) };
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        set(0o500);
        let found = open_in(&test.desk, &one, false);
        // For the superuser everything can be written.
        let may_all = std::fs::write(one.join("probe"), "").is_ok();
        set(0o700);
        assert_eq!(found.unwrap().read_only, !may_all);
    }
}

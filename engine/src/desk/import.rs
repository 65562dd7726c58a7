//! Runs of other programs that come into the workspace.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use athanor_protocol::{
    Code, Failure,
    api::{Event, NotImported, RunsImport, RunsImported},
};

use super::{Desk, models::PROGRESS};
use crate::mlflow::{self, Kind};

/// Lines of what was left out that a window is told.
const MAX_LINES: usize = 500;

pub(super) fn runs_import(desk: &Arc<Desk>, ask: RunsImport) -> Result<RunsImported, Failure> {
    let workspace = desk.workspace()?;
    let path = whole(&ask.path, "the store")?;
    let artifacts = ask.artifacts.as_deref().map(|path| whole(path, "the folder of files")).transpose()?;
    let working = desk.works.begin(&ask.token);
    let mut told: Option<Instant> = None;
    let mut go_on = |n_read: usize| {
        if told.is_none_or(|told| told.elapsed() >= PROGRESS) {
            told = Some(Instant::now());
            let (token, done) = (ask.token.clone(), n_read as u64);
            desk.publish(Event::Progress { token, done, total: 0, note: format!("{n_read} runs read") });
        }
        !working.is_stopped()
    };
    let done = mlflow::import(&workspace, &path, artifacts.as_deref(), &mut go_on);
    // Whoever looks at runs reads the list again: these are more than events are made for.
    desk.publish(Event::Lagged {});
    let found = done?;
    let left_out = found.left_out.into_iter().take(MAX_LINES);
    Ok(RunsImported {
        path: found.path,
        is_database: found.kind == Kind::Database,
        stopped: found.stopped,
        n_new: found.runs.len() as u64,
        n_known: found.n_known as u64,
        n_points: found.n_points as u64,
        n_files: found.n_files as u64,
        left_out: left_out.map(|left| NotImported { run: left.run, what: left.what, why: left.why }).collect(),
        n_left_out: found.n_left_out as u64,
        notes: found.notes,
    })
}

/// A path that a user wrote. A relative one would be taken from wherever the program was started.
fn whole(path: &str, what: &str) -> Result<PathBuf, Failure> {
    // An address as MLflow's settings have it holds a path. One of a server holds none, and is refused by name later.
    if path.contains("://") && !path.starts_with("sqlite") && !path.starts_with("file") {
        return Ok(PathBuf::from(path));
    }
    let found = mlflow::path_from_address(Path::new(path))?;
    if found.is_absolute() {
        return Ok(found);
    }
    let failure = Failure::new(Code::InvalidArgument, format!("{what} needs a whole path, not {path:?}"));
    Err(failure.hint("write it from the root of the disk on"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::desk::test_desk::{TestDesk, ask};

    #[test]
    fn runs_come_in_once_and_what_is_none_is_refused() {
        let test = TestDesk::open();
        let run = test.path("mlruns/0/0123456789abcdef0123456789abcdef");
        fs::create_dir_all(run.join("metrics")).unwrap();
        fs::write(test.path("mlruns/0/meta.yaml"), "name: churn\n").unwrap();
        let meta = "run_name: fox\nstatus: 3\nstart_time: 1700000000000\nend_time: 1700000001000\n";
        fs::write(run.join("meta.yaml"), meta).unwrap();
        fs::write(run.join("metrics/loss"), "1700000000500 0.5 0\n").unwrap();
        let import = |path: String| RunsImport { path, artifacts: None, token: "mine".to_owned() };
        let at = |name: &str| test.path(name).display().to_string();
        let events = test.desk.subscribe();
        let found = ask(&test.desk, import(at("mlruns"))).unwrap();
        assert_eq!((found.n_new, found.n_known, found.n_points, found.is_database), (1, 0, 1, false), "{found:?}");
        let told = events.wait(std::time::Duration::from_secs(10));
        let is_progress = |event: &Event| matches!(event, Event::Progress { token, .. } if token == "mine");
        assert!(told.iter().any(|event| is_progress(&event.event)), "{told:?}");
        assert_eq!(ask(&test.desk, import(at("mlruns"))).unwrap().n_known, 1);
        // The folder around it leads to it as well.
        assert_eq!(ask(&test.desk, import(at("."))).unwrap().n_known, 1);
        for (path, code) in [
            ("mlruns".to_owned(), Code::InvalidArgument),
            ("sqlite:///mlflow.db".to_owned(), Code::InvalidArgument),
            ("x:mlruns".to_owned(), Code::InvalidArgument),
            (at("nowhere"), Code::NotFound),
        ] {
            assert_eq!(ask(&test.desk, import(path.clone())).unwrap_err().code, code, "{path}");
        }
    }
}

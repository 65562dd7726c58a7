#![allow(clippy::unwrap_used)]

use athanor_protocol::{metric::Split, run::RunStatus};
use athanor_store::{PageRequest, RunQuery};

use super::{record::split_of, *};
use crate::files;

const UUID: &str = "0123456789abcdef0123456789abcdef";

/// A store as MLflow's file store writes it, made by hand.
fn store(root: &Path) -> PathBuf {
    let run = root.join("mlruns/7").join(UUID);
    let write = |path: PathBuf, bytes: &[u8]| files::write_atomic(&path, bytes).unwrap();
    write(
        root.join("mlruns/7/meta.yaml"),
        b"artifact_location: file:///x\nexperiment_id: '7'\nlifecycle_stage: active\nname: churn\n",
    );
    let meta = format!(
        "artifact_uri: ../../../../etc\nend_time: 1700000009000\nexperiment_id: '7'\nlifecycle_stage: active\n\
         run_id: {UUID}\nrun_name: brave-fox-1\nsource_type: 4\nstart_time: 1700000000000\nstatus: 3\ntags: []\n"
    );
    write(run.join("meta.yaml"), meta.as_bytes());
    write(run.join("params/epochs"), b"40");
    write(run.join("params/model/depth"), b"3\n");
    write(run.join("tags/mlflow.user"), b"ann");
    write(
        run.join("metrics/val_loss"),
        b"1700000001000 0.5 0\n1700000002000 nan 1\n1700000003000 0.25 2\nbroken\n1 2 -3\n",
    );
    write(run.join("metrics/train/accuracy"), b"1700000001000 0.9 0\n");
    write(run.join("artifacts/report.json"), b"{\"a\":1}");
    write(run.join("artifacts/model/weights.csv"), b"cposix\nsystem\np0\n(Vtouch /tmp/owned\np1\ntp2\nRp3\n.");
    write(run.join("artifacts/model/MLmodel"), b"loader_module: evil\n");
    write(run.join("artifacts/model.pt"), b"PK\x03\x04data.pkl");
    root.join("mlruns")
}

#[test]
fn runs_are_read_once_and_what_could_run_code_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("workspace")).unwrap();
    let mlruns = store(folder.path());
    #[cfg(unix)]
    {
        let run = mlruns.join("7").join(UUID);
        files::write_atomic(&folder.path().join("secret.txt"), b"a secret").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret.txt"), run.join("artifacts/notes.txt")).unwrap();
        std::os::unix::fs::symlink(folder.path(), run.join("artifacts/all")).unwrap();
    }
    let found = import(&workspace, &mlruns, None, &mut |_| true).unwrap();
    assert_eq!((found.runs.len(), found.n_known, found.n_points, found.n_files), (1, 0, 4, 1), "{found:?}");
    let why = |what: &str| found.left_out.iter().find(|left| left.what == what).map(|left| left.why.clone());
    assert!(why("model/weights.csv").unwrap().contains("pickle"), "{found:?}");
    assert!(why("model.pt").unwrap().contains("zip") && why("model/MLmodel").is_some());
    assert!(why("metric val_loss").unwrap().contains("2 of its points"));
    if cfg!(unix) {
        assert!(why("notes.txt").unwrap().contains("link") && why("all").unwrap().contains("link"));
    }
    let run = workspace.store.run(&found.runs[0]).unwrap();
    assert_eq!((run.summary.workflow.as_str(), run.summary.status), ("churn", RunStatus::Finished));
    assert_eq!(
        (run.summary.created_at_millis, run.summary.ended_at_millis),
        (1_700_000_000_000, Some(1_700_000_009_000))
    );
    assert_eq!(run.params, [("epochs".to_owned(), "40".to_owned()), ("model/depth".to_owned(), "3".to_owned())]);
    assert!(run.summary.tags.contains(&("mlflow.runName".to_owned(), "brave-fox-1".to_owned())));
    let names: Vec<&str> = run.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["report.json"]);
    let points = workspace.store.points(&found.runs[0], "val_loss", Split::Valid, &PageRequest::first(10)).unwrap();
    let values: Vec<String> = points.items.iter().map(|point| point.value.to_string()).collect();
    assert_eq!(values, ["0.5", "NaN", "0.25"]);
    // Once more adds nothing.
    let again = import(&workspace, &mlruns, None, &mut |_| true).unwrap();
    assert_eq!((again.runs.len(), again.n_known, again.n_points), (0, 1, 0));
    assert_eq!(workspace.store.list_runs(&RunQuery::default()).unwrap().items.len(), 1);
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::init(&folder.path().join("workspace")).unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(import(&workspace, &empty, None, &mut |_| true).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(
        import(&workspace, &folder.path().join("nowhere"), None, &mut |_| true).unwrap_err().code(),
        Code::NotFound
    );
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(import(&workspace, &file, None, &mut |_| true).unwrap_err().code(), Code::BadData);
}

#[test]
fn keys_tell_the_part_of_the_data() {
    for (key, expect) in [
        ("val_loss", Split::Valid),
        ("validation/accuracy", Split::Valid),
        ("value", Split::Train),
        ("test_f1", Split::Test),
        ("testing", Split::Train),
        ("system/cpu", Split::System),
        ("loss", Split::Train),
    ] {
        assert_eq!(split_of(key), expect, "{key}");
    }
}

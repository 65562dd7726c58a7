#![allow(clippy::unwrap_used)]

use athanor_protocol::{
    metric::Split,
    run::{NewRun, Owner, RunStatus},
};
use athanor_store::{PageRequest, RunQuery, foreign_mlflow::make};

use super::*;
use crate::files;

const FOX: &str = "0123456789abcdef0123456789abcdef";
const OWL: &str = "fedcba9876543210fedcba9876543210";
const MODEL: &str = "m-00000000000000000000000000000001";

const SCHEMA: &str = "
    CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('abc123');
    CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), lifecycle_stage VARCHAR(32));
    CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), status VARCHAR(9), start_time BIGINT,
        end_time BIGINT, lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200), experiment_id INTEGER);
    CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT, is_nan BOOLEAN);
    CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
    CREATE TABLE tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
    CREATE TABLE logged_models (model_id VARCHAR(36), experiment_id INTEGER, name VARCHAR(500), source_run_id VARCHAR(32),
        lifecycle_stage VARCHAR(32));
    CREATE TABLE registered_models (name VARCHAR(256));
    CREATE TABLE model_versions (name VARCHAR(256), version INTEGER);
    INSERT INTO experiments VALUES (7, 'churn', 'active'), (8, 'gone', 'deleted');
";

/// Two runs as MLflow writes them; the second one lies in an experiment that was deleted.
fn usual() -> String {
    format!(
        "{SCHEMA}
        INSERT INTO runs VALUES ('{FOX}', 'brave-fox', 'FINISHED', 1700000000000, 1700000009000, 'active',
            '../../../../etc', 7), ('{OWL}', 'owl', 'RUNNING', 1700000000000, NULL, 'active', 's3://bucket/8/x', 8);
        INSERT INTO params VALUES ('epochs', '40', '{FOX}'), ('model/depth', '3', '{FOX}');
        INSERT INTO tags VALUES ('mlflow.user', 'ann', '{FOX}'), ('empty', NULL, '{FOX}');
        INSERT INTO metrics VALUES ('val_loss', 0.5, 1700000001000, '{FOX}', 0, 0),
            ('val_loss', 0, 1700000002000, '{FOX}', 1, 1), ('loss', 0.5, 1700000001000, '{FOX}', 0, 0),
            ('val_loss', 1.7976931348623157e308, 1700000003000, '{FOX}', 2, 0),
            ('val_loss', 0.25, 1700000004000, '{FOX}', 2, 0), ('val_loss', 1, 1700000004000, '{FOX}', -1, 0),
            ('odd' || char(10), 1, 1, '{FOX}', 0, 0);
        INSERT INTO logged_models VALUES ('{MODEL}', 7, 'clf', '{FOX}', 'active'), ('m-../x', 7, 'evil', '{FOX}', 'active'),
            ('{MODEL}', 7, 'old', '{FOX}', 'deleted');
        INSERT INTO registered_models VALUES ('churn-clf');
        INSERT INTO model_versions VALUES ('churn-clf', 1), ('churn-clf', 2);"
    )
}

struct Place {
    folder: tempfile::TempDir,
    workspace: Workspace,
}

impl Place {
    fn new(statements: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::init(&folder.path().join("workspace")).unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        make(&folder.path().join("store/mlflow.db"), statements).unwrap();
        Self { folder, workspace }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        files::write_atomic(&self.path(name), bytes).unwrap();
    }

    fn import(&self, name: &str) -> Imported {
        import(&self.workspace, &self.path(name), None, &mut |_| true).unwrap()
    }
}

fn why(found: &Imported, what: &str) -> String {
    found.left_out.iter().find(|left| left.what == what).map(|left| left.why.clone()).unwrap_or_default()
}

#[test]
fn runs_of_a_database_come_in_with_their_files_once() {
    let place = Place::new(&usual());
    let run = format!("store/mlruns/7/{FOX}");
    place.write(&format!("{run}/artifacts/report.json"), b"{\"a\":1}");
    place.write(&format!("{run}/artifacts/deep/weights.txt"), b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.");
    place.write(&format!("store/mlruns/7/models/{MODEL}/artifacts/input_example.json"), b"{\"x\":1}");
    place.write(&format!("store/mlruns/7/models/{MODEL}/artifacts/model.pkl"), b"\x80\x04\x95");
    let found = place.import("store");
    assert_eq!((found.kind, found.schema.as_deref()), (Kind::Database, Some("abc123")), "{found:?}");
    assert!(found.path.ends_with("mlflow.db") && found.artifact_folders[0].ends_with("mlruns"), "{found:?}");
    // Three steps of one metric and one of another: of the step that is there twice the later value counts.
    assert_eq!((found.runs.len(), found.n_known, found.n_points, found.n_files), (2, 0, 4, 2), "{found:?}");
    assert!(
        why(&found, "deep/weights.txt").contains("pickle") && why(&found, "model/clf/model.pkl").contains("pickle")
    );
    assert!(
        found
            .left_out
            .iter()
            .any(|left| left.what == "metric val_loss" && left.why.starts_with("1 of its points are not 'time"))
    );
    assert!(found.left_out.iter().any(|left| left.what == "metric val_loss" && left.why.contains("same step")));
    assert!(why(&found, "metric odd").contains("name") && why(&found, "logged model evil").contains("id"));
    assert!(why(&found, "logged model old").contains("deleted"));
    assert!(why(&found, "1 registered models with 2 versions").contains("ONNX"));
    assert!(why(&found, "files of 1 runs").contains("s3://"));
    assert!(found.notes.iter().any(|note| note.contains("beside the database")), "{:?}", found.notes);

    let fox = place.workspace.store.run(&found.runs[0]).unwrap();
    assert_eq!((fox.summary.workflow.as_str(), fox.summary.status), ("churn", RunStatus::Finished));
    assert_eq!(
        (fox.summary.created_at_millis, fox.summary.ended_at_millis),
        (1_700_000_000_000, Some(1_700_000_009_000))
    );
    assert_eq!(fox.params, [("epochs".to_owned(), "40".to_owned()), ("model/depth".to_owned(), "3".to_owned())]);
    let tag = |key: &str| fox.summary.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
    assert_eq!((tag("mlflow.user"), tag("empty"), tag("mlflow.runName")), (Some("ann"), Some(""), Some("brave-fox")));
    assert_eq!((tag("mlflow.run_id"), tag("mlflow.experiment_id")), (Some(FOX), Some("7")));
    let names: Vec<&str> = fox.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["model/clf/input_example.json", "report.json"]);
    let points =
        place.workspace.store.points(&found.runs[0], "val_loss", Split::Valid, &PageRequest::first(10)).unwrap();
    let values: Vec<String> = points.items.iter().map(|point| point.value.to_string()).collect();
    assert_eq!(values, ["0.5", "NaN", "0.25"]);

    let owl = place.workspace.store.run(&found.runs[1]).unwrap();
    assert_eq!((owl.summary.workflow.as_str(), owl.summary.status), ("gone", RunStatus::Cancelled));
    let deleted = place.workspace.store.list_runs(&RunQuery { deleted: true, ..RunQuery::default() }).unwrap();
    assert_eq!(deleted.items.iter().map(|run| &run.id).collect::<Vec<_>>(), [&found.runs[1]]);

    let again = place.import("store/mlflow.db");
    assert_eq!((again.runs.len(), again.n_known, again.n_points, again.n_files), (0, 2, 0, 0), "{again:?}");
}

#[test]
fn a_run_is_the_same_from_a_database_and_from_a_file_store() {
    let place = Place::new(&usual());
    let run = format!("files/mlruns/7/{FOX}");
    place.write("files/mlruns/7/meta.yaml", b"experiment_id: '7'\nname: churn\n");
    place.write(&format!("{run}/meta.yaml"), b"start_time: 1700000000000\nstatus: 3\nlifecycle_stage: active\n");
    place.write(&format!("files/mlruns/.trash/8/{OWL}/meta.yaml"), b"start_time: 1700000000000\nstatus: 1\n");
    place.write("files/mlruns/.trash/8/meta.yaml", b"experiment_id: '8'\nname: gone\nlifecycle_stage: deleted\n");
    // The folder that holds the store is enough.
    let first = place.import("files");
    assert_eq!((first.kind, first.runs.len()), (Kind::FileStore, 2), "{first:?}");
    let deleted = place.workspace.store.list_runs(&RunQuery { deleted: true, ..RunQuery::default() }).unwrap();
    assert_eq!(deleted.items.len(), 1);
    let second = place.import("store");
    assert_eq!((second.runs.len(), second.n_known), (0, 2), "{second:?}");
}

#[test]
fn files_that_were_not_found_at_first_come_with_a_later_import() {
    let place = Place::new(&usual());
    let first = place.import("store");
    assert_eq!((first.runs.len(), first.n_files, first.artifact_folders.len()), (2, 0, 0), "{first:?}");
    assert!(first.notes.iter().any(|note| note.contains("--artifacts")), "{:?}", first.notes);
    place.write(&format!("elsewhere/7/{FOX}/artifacts/notes.md"), b"# Notes\n");
    let named = |path: &str| import(&place.workspace, &place.path("store"), Some(&place.path(path)), &mut |_| true);
    let second = named("elsewhere").unwrap();
    assert_eq!((second.runs.len(), second.n_known, second.n_files), (0, 2, 1), "{second:?}");
    assert_eq!(place.workspace.store.run(&first.runs[0]).unwrap().artifacts[0].name, "notes.md");
    assert_eq!(named("elsewhere").unwrap().n_files, 0);
    assert_eq!(named("nowhere").unwrap_err().code(), Code::NotFound);
    assert_eq!(named("store/mlflow.db").unwrap_err().code(), Code::InvalidArgument);
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_and_no_text_of_the_database_is_a_path() {
    use std::os::unix::fs::symlink;
    let hostile = "../../../secret";
    let place = Place::new(&format!(
        "{SCHEMA}
        INSERT INTO runs VALUES ('{FOX}', NULL, 'FINISHED', 1, 2, 'active', 'file://SECRET', 7),
            ('{hostile}', NULL, 'FINISHED', 1, 2, 'active', 'x', 7), ('{OWL}', NULL, 'FINISHED', 1, 2, 'active', 'x', -1);
        INSERT INTO logged_models VALUES ('../../../secret', 7, '../x', '{FOX}', 'active');"
    ));
    place.write("secret/artifacts/notes.txt", b"a secret");
    fs::create_dir_all(place.path("store/mlruns/7")).unwrap();
    symlink(place.path("secret"), place.path("store/mlruns/7").join(FOX)).unwrap();
    let found = place.import("store");
    assert_eq!((found.runs.len(), found.n_files), (2, 0), "{found:?}");
    assert!(why(&found, "the run").contains("experiment"), "{found:?}");
    // The whole folder of files is a link: it has to be named.
    fs::rename(place.path("store/mlruns"), place.path("moved")).unwrap();
    symlink(place.path("moved"), place.path("store/mlruns")).unwrap();
    assert_eq!(place.import("store").artifact_folders.len(), 0);
    // So is the database.
    fs::create_dir(place.path("linked")).unwrap();
    symlink(place.path("store/mlflow.db"), place.path("linked/mlflow.db")).unwrap();
    let err = import(&place.workspace, &place.path("linked"), None, &mut |_| true).unwrap_err();
    assert_eq!(err.code(), Code::InvalidArgument);
    assert_eq!(place.import("linked/mlflow.db").n_known, 2);
}

#[test]
fn odd_rows_are_told_and_the_rest_is_kept() {
    let place = Place::new(&format!(
        "{SCHEMA}
        INSERT INTO runs VALUES (NULL, NULL, 'FINISHED', 1, 2, 'active', 'x', 7), (x'00', NULL, '', 1, 2, 'active', 'x', 7),
            ('a' || char(0), NULL, '', 1, 2, 'active', 'x', 7), ('no-experiment', NULL, '', 1, 2, 'active', 'x', NULL),
            ('unknown', NULL, 'FAILED', -5, 'x', 'active', 'x', 99), ('{FOX}', x'00', 'KILLED', 1, 2, NULL, 'x', 7);
        INSERT INTO params VALUES ('twice', '1', '{FOX}'), ('twice', '2', '{FOX}'), ('nul', 'a' || char(0), '{FOX}'),
            (NULL, '1', '{FOX}'), ('bytes', x'00', '{FOX}'), ('', '1', '{FOX}'), ('good', '', '{FOX}');
        INSERT INTO metrics VALUES ('m', 'much', 1, '{FOX}', 0, 0), (NULL, 1, 1, '{FOX}', 0, 0), ('m', 1, 1, '{FOX}', 1, 0);"
    ));
    let found = place.import("store");
    assert_eq!((found.runs.len(), found.n_points), (2, 1), "{found:?}");
    let told: Vec<&str> = found.left_out.iter().map(|left| left.what.as_str()).collect();
    for what in [
        "a run without an id",
        "the run",
        "the name of its experiment",
        "parameter twice",
        "parameter nul",
        "a parameter without a name",
        "parameter bytes",
        "metric m",
        "metric without a name: there is nothing in its cell",
    ] {
        assert!(told.contains(&what), "{what}: {told:?}");
    }
    let run = place.workspace.store.run(&found.runs[1]).unwrap();
    let params: Vec<&str> = run.params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((params, run.summary.status), (vec!["good", "twice"], RunStatus::Cancelled));
}

#[test]
fn a_run_whose_import_was_broken_off_is_gone_on_with() {
    let place = Place::new(&usual());
    // Another import, whose process died after it had written the run down and a part of its points.
    let store = &place.workspace.store;
    let id = record::run_id("7", FOX).unwrap();
    let new = NewRun {
        id: id.clone(),
        workflow: "churn".to_owned(),
        workflow_json: "{}".to_owned(),
        seed: 0,
        device: "unknown".to_owned(),
        created_at_millis: 1_700_000_000_000,
        steps: vec![],
        params: vec![("epochs".to_owned(), "40".to_owned()), ("model/depth".to_owned(), "4".to_owned())],
        environment: vec![],
    };
    store.create_run(&new).unwrap();
    let dead = Owner { host: runs::this_process().host, pid: u32::MAX, started: 1 };
    store.start_attempt(&id, 1, &dead, 1_700_000_000_000).unwrap();
    let found = place.import("store");
    assert_eq!((found.runs.len(), found.n_known, found.n_points), (2, 0, 4), "{found:?}");
    assert!(why(&found, "parameter model/depth").contains("another value"), "{found:?}");
    let run = store.run(&id).unwrap();
    assert_eq!((run.summary.status, run.summary.attempt, run.summary.resumable), (RunStatus::Finished, 2, false));
    assert_eq!(place.import("store").n_known, 2);
}

#[test]
fn a_damaged_table_of_metrics_costs_the_rest_of_that_run_until_it_is_whole_again() {
    let place = Place::new(&format!(
        "PRAGMA page_size = 4096; {SCHEMA}
        INSERT INTO runs VALUES ('{FOX}', NULL, 'FINISHED', 1, 2, 'active', 'x', 7);
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 29999)
        INSERT INTO metrics SELECT CASE i WHEN 25000 THEN 'a_mark_in_the_page' ELSE 'loss' END, i, i, '{FOX}', i, 0 FROM n;"
    ));
    let path = place.path("store/mlflow.db");
    let whole = fs::read(&path).unwrap();
    let mark = whole.windows(18).position(|bytes| bytes == b"a_mark_in_the_page").unwrap();
    let mut torn = whole.clone();
    torn[mark / 4096 * 4096] = 0xff;
    fs::write(&path, torn).unwrap();
    let found = place.import("store");
    assert_eq!(found.runs.len(), 1, "{found:?}");
    assert!((20_000..25_000).contains(&found.n_points), "what comes before is kept: {}", found.n_points);
    assert!(why(&found, "the rest of its metrics").contains("damaged"), "{found:?}");
    let run = place.workspace.store.run(&found.runs[0]).unwrap();
    assert_eq!((run.summary.status, run.summary.resumable), (RunStatus::Failed, true));
    fs::write(&path, whole).unwrap();
    let found = place.import("store");
    assert_eq!((found.runs.len(), found.n_known, found.n_points), (1, 0, 30_000), "{found:?}");
    let run = place.workspace.store.run(&found.runs[0]).unwrap();
    assert_eq!((run.summary.status, run.summary.latest.len()), (RunStatus::Finished, 2));
}

#[test]
fn a_path_is_what_it_holds() {
    let place = Place::new(SCHEMA);
    let refused = |name: &str| import(&place.workspace, &place.path(name), None, &mut |_| true).unwrap_err();
    // MLflow 3 keeps only files in this folder.
    fs::create_dir_all(place.path("store/mlruns/7")).unwrap();
    let err = refused("store/mlruns");
    assert!(err.into_failure().hint.unwrap().contains("mlflow.db"));
    // The name does not make a database.
    place.write("other/mlflow.db", b"experiment_id: 7\n");
    assert_eq!(refused("other").code(), Code::BadData);
    place.write("empty.db", b"");
    assert_eq!(refused("empty.db").code(), Code::BadData);
    make(&place.path("renamed"), SCHEMA).unwrap();
    assert_eq!(place.import("renamed").kind, Kind::Database);
    // A folder of files that is a file store as well is told.
    place.write("store/mlruns/7/meta.yaml", b"experiment_id: '7'\nname: churn\n");
    let found = place.import("store");
    assert!(found.notes.iter().any(|note| note.contains("file store as well")), "{:?}", found.notes);
    // Addresses as MLflow's settings have them.
    for scheme in ["sqlite:///", "sqlite+pysqlite:///", "file://"] {
        let address = format!("{scheme}{}", place.path("renamed").display());
        assert_eq!(
            import(&place.workspace, Path::new(&address), None, &mut |_| true).unwrap().kind,
            Kind::Database,
            "{address}"
        );
    }
    for (address, code) in [
        ("postgresql://ann:secret@host/db", Code::Unsupported),
        ("http://localhost:5000", Code::Unsupported),
        ("sqlite:///nowhere.db", Code::NotFound),
        ("sqlite://", Code::NotFound),
    ] {
        let err = import(&place.workspace, Path::new(address), None, &mut |_| true).unwrap_err();
        assert!(err.code() == code && !err.to_string().contains("secret"), "{address}: {err}");
    }
    let err =
        import(&place.workspace, &place.path("store/mlruns"), Some(&place.path("store")), &mut |_| true).unwrap_err();
    assert_eq!(err.code(), Code::InvalidArgument);
}

#[test]
fn it_stops_before_the_next_run_and_goes_on_another_time() {
    let place = Place::new(&usual());
    let mut read = vec![];
    let found = import(&place.workspace, &place.path("store"), None, &mut |n| {
        read.push(n);
        n == 0
    })
    .unwrap();
    assert_eq!((found.runs.len(), found.stopped, read), (1, true, vec![0, 1]));
    let rest = place.import("store");
    assert_eq!((rest.runs.len(), rest.n_known, rest.stopped), (1, 1, false));
}

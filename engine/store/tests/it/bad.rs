//! Bad input: names, sizes, clocks, files.

use std::{fs, path::Path};

use athanor_protocol::{Code, Failure, metric::Split, names::RunId, run::RunStatus};
use athanor_store::{Batch, Expected, PageRequest, RunQuery, RunSort, SqliteStore, Store, StoreError, limits};

use super::help::{id, metrics, new_run, on_disk, owner, point, running, version};

fn hostile_names() -> Vec<String> {
    let fixed = [
        "../etc",
        "a/../b",
        "../../etc/passwd",
        "model/..",
        "..",
        "/etc/passwd",
        "model/subdir",
        "model/",
        " ..",
        ".. ",
        "...",
        "..my_model",
        "",
        " ",
        "\t",
        "\n",
        "\r",
        "\x0c",
        "\x0b",
        "a\0b",
        "\0",
        "mоdel",
        "model.",
        "model ",
        "CON",
        "nul",
        "AUX.txt",
        "\\..\\file",
        "C:/",
        "C:\\x",
        "\\\\host\\share",
        "%2e%2e%2f",
        "%252E%252E%252F",
        "..%c0%af",
        "http:///?/../../../etc/",
        "http:///#/../../../etc/",
        "a;b",
        "//proc/self/environ",
        "file://./etc",
        "file://host/x",
        "dbfs:/",
        "file:x?mode=memory",
        ":memory:",
        "'; DROP TABLE run; --",
        "<script>alert(1)</script>",
        "\u{202e}evil",
        "\u{7f}",
        "\u{85}",
    ];
    let mut names: Vec<String> = fixed.iter().map(|&name| name.to_owned()).collect();
    names.push("a".repeat(251));
    names.push("é".repeat(100_000));
    names
}

#[test]
fn hostile_names_are_refused_or_plain_data() {
    let (folder, store) = on_disk();
    let run = running(&store, 1);
    store.register_version("wine", &version(1)).unwrap();
    for (seq, name) in (1..).zip(hostile_names()) {
        let refused = |result: athanor_store::Result<()>| {
            assert_eq!(result.unwrap_err().code(), Code::InvalidArgument, "{name:?}");
        };
        refused(store.register_version(&name, &version(1)).map(drop));
        refused(store.set_alias("wine", &name, 1, Expected::Anything, 1).map(drop));
        refused(store.aliased(&name).map(drop));
        // `nul` could be the beginning of an id.
        assert!(matches!(store.resolve_run(&name).unwrap_err().code(), Code::InvalidArgument | Code::NotFound));
        assert!(RunId::new(name.clone()).is_err(), "{name:?}");
        assert!(store.versions(&name, &PageRequest::first(1)).is_err(), "{name:?}");
        assert_eq!(store.find_key(&name).unwrap(), None);
        // Tags and metric keys may hold more; what is taken comes back as it was.
        match store.set_tag(&run, &name, &name) {
            Ok(()) => assert!(store.run(&run).unwrap().summary.tags.contains(&(name.clone(), name.clone()))),
            Err(err) => assert_eq!(err.code(), Code::InvalidArgument, "{name:?}"),
        }
        match store.record(&run, 1, seq, &metrics(vec![point(&name, 1, 1.0)])) {
            Ok(_) => {
                assert_eq!(store.points(&run, &name, Split::Train, &PageRequest::first(2)).unwrap().items.len(), 1)
            }
            Err(err) => assert_eq!(err.code(), Code::InvalidArgument, "{name:?}"),
        }
        let sort = RunSort::Metric { key: name.clone(), split: Split::Train };
        let query = RunQuery { text: Some(name.clone()), sort, ..RunQuery::default() };
        if let Err(err) = store.list_runs(&query) {
            assert_eq!(err.code(), Code::InvalidArgument, "{name:?}");
        }
        let mut hostile = new_run(seq as u32 + 10);
        hostile.workflow = name.clone();
        match store.create_run(&hostile) {
            Ok(()) => assert_eq!(store.run(&hostile.id).unwrap().summary.workflow, name),
            Err(err) => assert_eq!(err.code(), Code::InvalidArgument, "{name:?}"),
        }
    }
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["athanor.db", "athanor.db-shm", "athanor.db-wal"]);
    assert!(store.findings().unwrap().is_empty());
}

#[test]
fn nul_bytes_and_long_keys_are_refused() {
    let (_folder, store) = on_disk();
    let run = running(&store, 1);
    let text = |text: &str| text.to_owned();
    let long = "k".repeat(129);
    let batches = [
        metrics(vec![point("a\0b", 1, 1.0)]),
        metrics(vec![point(&long, 1, 1.0)]),
        metrics(vec![point("", 1, 1.0)]),
        metrics(vec![point("loss", 1 << 63, 1.0)]),
        Batch { tags: vec![(long.clone(), text("x"))], ..Batch::default() },
        Batch { tags: vec![(text("x"), text("\0"))], ..Batch::default() },
        Batch { tags: vec![(text("x"), "x".repeat(limits::TAG_BYTES + 1))], ..Batch::default() },
        Batch { params: vec![(text("x\0"), text("x"))], ..Batch::default() },
        Batch { params: vec![(text("x"), text("\0"))], ..Batch::default() },
        Batch { params: vec![(text("x"), "x".repeat(limits::VALUE_BYTES + 1))], ..Batch::default() },
        Batch { environment: vec![(text(""), text("x"))], ..Batch::default() },
    ];
    for (seq, batch) in (1..).zip(&batches) {
        assert_eq!(store.record(&run, 1, seq, batch).unwrap_err().code(), Code::InvalidArgument, "batch {seq}");
    }
    let before = store.run(&run).unwrap();
    assert!(before.summary.tags.is_empty() && before.params.len() == 1 && before.summary.latest.is_empty());
    let mut bad = new_run(2);
    bad.workflow_json.push('\0');
    assert_eq!(store.create_run(&bad).unwrap_err().code(), Code::InvalidArgument);
    let mut twice = new_run(2);
    twice.steps[1].node = twice.steps[0].node.clone();
    assert_eq!(store.create_run(&twice).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_hundred_thousand_keys_are_refused_with_the_limit() {
    let (_folder, store) = on_disk();
    let run = running(&store, 1);
    let keys = |range: std::ops::Range<u32>| metrics(range.map(|n| point(&format!("k{n}"), 1, 1.0)).collect());
    let err = store.record(&run, 1, 1, &keys(0..100_000)).unwrap_err();
    assert_eq!(err.to_string(), "points in one batch: 100000 is over the limit of 20000");
    assert_eq!((err.code(), err.hint().as_deref()), (Code::TooLarge, Some("send less at once")));
    store.record(&run, 1, 1, &keys(0..20_000)).unwrap();
    store.record(&run, 1, 2, &keys(20_000..40_000)).unwrap();
    let err = store.record(&run, 1, 3, &keys(40_000..60_000)).unwrap_err();
    assert_eq!(err.to_string(), "different metrics of one run: 60000 is over the limit of 50000");
    // The refused batch left nothing, and known keys still go.
    store.record(&run, 1, 3, &keys(0..20_000)).unwrap();
    store.record(&run, 1, 4, &keys(40_000..50_000)).unwrap();
    assert_eq!(store.run(&run).unwrap().summary.latest.len(), 50_000);
    let listed = store.list_runs(&RunQuery::default()).unwrap();
    assert_eq!(listed.items[0].latest.len(), limits::LATEST_IN_LIST);
}

#[test]
fn a_clock_that_goes_backwards_does_no_harm() {
    let (_folder, store) = on_disk();
    store.create_run(&new_run(1)).unwrap();
    store.start_attempt(&id(1), 1, &owner(), 5_000).unwrap();
    store.heartbeat(&id(1), 1, -7).unwrap();
    assert_eq!(store.running().unwrap()[0].heartbeat_at_millis, Some(5_000));
    let mut early = point("loss", 1, 1.0);
    early.at_millis = i64::MIN;
    store.record(&id(1), 1, 1, &metrics(vec![point("loss", 0, 1.0), early])).unwrap();
    store.finish(&id(1), 1, RunStatus::Failed, None, true, 10).unwrap();
    let run = store.run(&id(1)).unwrap().summary;
    assert_eq!((run.started_at_millis, run.ended_at_millis), (Some(5_000), Some(5_000)));
    assert_eq!(run.latest[0].step, 1);
    store.resume(&id(1), i64::MIN).unwrap();
    let active = store.running().unwrap();
    assert_eq!((active[0].queued_at_millis, active[0].attempt), (1_001, 2));
    store.start_attempt(&id(1), 2, &owner(), i64::MIN).unwrap();
    store.finish(&id(1), 2, RunStatus::Finished, None, false, i64::MAX).unwrap();
    let query = RunQuery { sort: RunSort::Duration, ..RunQuery::default() };
    assert_eq!(store.list_runs(&query).unwrap().items.len(), 1);
}

#[test]
fn two_stores_on_one_file_see_each_other() {
    let (folder, first) = on_disk();
    let file = folder.path().join("athanor.db");
    let others: Vec<_> = (0..4).map(|_| SqliteStore::open(&file).unwrap()).collect();
    running(&first, 1);
    std::thread::scope(|scope| {
        for (worker, store) in others.iter().enumerate() {
            scope.spawn(move || {
                for n in 0..50 {
                    let seq = worker as u64 * 1_000 + n;
                    store.record(&id(1), 1, seq, &metrics(vec![point(&format!("m{worker}"), n, 1.0)])).unwrap();
                    store.list_runs(&RunQuery::default()).unwrap();
                }
            });
        }
    });
    assert_eq!(first.run(&id(1)).unwrap().summary.latest.iter().map(|p| p.step).collect::<Vec<_>>(), [49; 4]);
    drop(others);
    assert_eq!(first.change_counter().unwrap(), 0);
}

/// Opens a file that must be refused, and makes sure that nothing of it was changed.
fn refused(file: &Path, expect: Code) -> StoreError {
    let before = fs::read(file).unwrap();
    let err = SqliteStore::open(file).unwrap_err();
    assert_eq!(err.code(), expect, "{err}");
    assert!(err.to_string().contains(file.to_str().unwrap()), "{err}");
    assert_eq!(fs::read(file).unwrap(), before);
    let failure = Failure::from(err);
    assert_eq!(failure.subject.as_deref(), file.to_str());
    assert!(failure.hint.is_some() || expect == Code::InvalidArgument, "{failure:?}");
    SqliteStore::open(file).unwrap_err()
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athanor.db");
    for bytes in [b"hello".as_slice(), b"SQLite format 3", b"SQLite format 3\0", &[0; 5000], b"PK\x03\x04 and more"] {
        fs::write(&file, bytes).unwrap();
        refused(&file, Code::Corrupt);
    }
    // The right beginning, then noise.
    let mut noise = b"SQLite format 3\0".to_vec();
    noise.extend((0..8_192_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8));
    fs::write(&file, noise).unwrap();
    assert_eq!(SqliteStore::open(&file).unwrap_err().code(), Code::Corrupt);
}

/// A database with a few thousand points, closed.
fn filled(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("athanor.db");
    let store = SqliteStore::open(&file).unwrap();
    running(&store, 1);
    for seq in 0..10 {
        let points = (0..500).map(|n| point("loss", seq * 500 + n, 1.0)).collect();
        store.record(&id(1), 1, seq, &metrics(points)).unwrap();
    }
    drop(store);
    assert!(!folder.join("athanor.db-wal").exists());
    file
}

#[test]
fn a_truncated_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path());
    let whole = fs::read(&file).unwrap();
    for length in [50, 99, 100, 4096, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        refused(&file, Code::Corrupt);
    }
    fs::write(&file, &whole).unwrap();
    assert!(SqliteStore::open(&file).unwrap().findings().unwrap().is_empty());
}

#[test]
fn damaged_pages_are_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path());
    let whole = fs::read(&file).unwrap();
    let mut n_found = 0;
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xA5);
        fs::write(&file, &damaged).unwrap();
        let check = || -> athanor_store::Result<bool> {
            let store = SqliteStore::open(&file)?;
            store.points(&id(1), "loss", Split::Train, &PageRequest::first(1000))?;
            Ok(!store.findings()?.is_empty())
        };
        match check() {
            Ok(found) => n_found += usize::from(found),
            Err(err) => {
                assert_eq!(err.code(), Code::Corrupt, "page {page}: {err}");
                assert!(err.to_string().contains(file.to_str().unwrap()));
                n_found += 1;
            }
        }
        assert!(file.exists());
    }
    assert_eq!(n_found, whole.len() / 4096 - 1, "every damaged page is noticed");
}

#[test]
fn databases_of_others_and_of_newer_versions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athanor.db");
    let sql = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    sql("CREATE TABLE song (title TEXT)");
    assert_eq!(
        refused(&file, Code::BadData).to_string(),
        format!("the database belongs to another program: {}", file.display())
    );
    sql("PRAGMA application_id = 1094281330; PRAGMA user_version = 1");
    refused(&file, Code::BadData);
    fs::remove_file(&file).unwrap();
    drop(SqliteStore::open(&file).unwrap());
    sql("PRAGMA user_version = 1000");
    let newest = crate::upgrade::RELEASED.len();
    let expect =
        format!("the database has version 1000, this program knows versions up to {newest}: {}", file.display());
    assert_eq!(refused(&file, Code::Unsupported).to_string(), expect);
}

#[test]
fn places_that_cannot_be_opened_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let code = |path: &Path| SqliteStore::open(path).unwrap_err().code();
    assert_eq!(code(&folder.path().join("missing").join("athanor.db")), Code::NotFound);
    assert_eq!(code(folder.path()), Code::InvalidArgument);
    let file = folder.path().join("a?b#c%20:d.db");
    drop(SqliteStore::open(&file).unwrap());
    assert!(file.exists());
}

#[cfg(unix)]
#[test]
fn a_read_only_file_or_folder_is_refused_or_written() {
    use std::os::unix::fs::PermissionsExt;
    let protect = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (folder_mode, file_mode) in [(0o755, 0o444), (0o555, 0o644), (0o555, 0o444)] {
        let folder = tempfile::tempdir().unwrap();
        let file = filled(folder.path());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        protect(&file, file_mode);
        protect(folder.path(), folder_mode);
        let free = fs::File::options().append(true).open(&file).is_ok()
            && tempfile::Builder::new().tempfile_in(folder.path()).is_ok();
        let opened = SqliteStore::open(&file);
        // An administrator may write where nobody may; then it has to work.
        match opened {
            Ok(store) => assert!(free && store.set_note(&id(1), "written").is_ok()),
            Err(err) => assert!(!free && err.code() == Code::PermissionDenied, "{err}"),
        }
        protect(folder.path(), 0o755);
        protect(&file, 0o600);
        assert_eq!(SqliteStore::open(&file).unwrap().run(&id(1)).unwrap().summary.latest[0].step, 4_999);
    }
}

#[test]
fn a_database_that_may_only_be_read_is_read_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd %41?name#");
    fs::create_dir(&odd).unwrap();
    let file = odd.join("athanor.db");
    {
        let store = SqliteStore::open(&file).unwrap();
        let run = running(&store, 1);
        store.record(&run, 1, 1, &metrics(vec![point("loss", 1, 0.5)])).unwrap();
    }
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&odd).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (before, bytes) = (names(), fs::read(&file).unwrap());
    let store = SqliteStore::open_read_only(&file).unwrap();
    assert_eq!(store.list_runs(&RunQuery::default()).unwrap().items.len(), 1);
    assert_eq!(store.series(&id(1), "loss", Split::Train, None, 10).unwrap().len(), 1);
    assert!(matches!(store.set_note(&id(1), "x"), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.create_run(&new_run(2)), Err(StoreError::ReadOnly { .. })));
    drop(store);
    assert_eq!((names(), fs::read(&file).unwrap()), (before, bytes));
    assert!(SqliteStore::open_read_only(&odd.join("missing.db")).is_err());
}

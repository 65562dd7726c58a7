#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use athanor_protocol::{
    columns::{Column, Frame},
    signature::{InputColumn, Task},
    table::DataType,
};
use athanor_serve::monitor::Answered;

use super::*;

fn captured(id: &str, x: &[f64]) -> Captured {
    let n = x.len();
    let frame = Frame::new(vec![
        Column { name: "x".into(), data: ColumnData::Float(x.to_vec()) },
        Column { name: "name".into(), data: ColumnData::Text(vec![Some("Anna".into()); n]) },
        Column { name: "when".into(), data: ColumnData::Datetime(vec![Some(1_500_000); n]) },
    ]);
    let outputs = Outputs::Classes { labels: vec!["yes".into(); n], probabilities: [0.25, 0.75].repeat(n) };
    let answered = Arc::new(Answered { frame: frame.unwrap(), outputs });
    Captured { model: "m".to_owned(), version: 1, request_id: id.into(), answered }
}

fn signature() -> ModelSignature {
    let input = |name: &str| InputColumn { name: name.to_owned(), dtype: DataType::Float, nullable: false };
    ModelSignature {
        task: Task::Binary,
        target: "y".to_owned(),
        inputs: vec![input("x"), input("name")],
        classes: vec!["no".to_owned(), "yes".to_owned()],
    }
}

fn feedback(id: &str, row: u32, class: &str) -> Feedback {
    Feedback { request_id: id.to_owned(), row, truth: Truth::Class(class.to_owned()) }
}

#[test]
fn redacted_columns_are_never_written() {
    let folder_of_test = tempfile::tempdir().unwrap();
    let root = folder_of_test.path();
    let redact = HashSet::from(["name"]);
    let one = kept(&captured("a-1", &[1.5, f64::NAN]), &redact, 7);
    assert_eq!(one.rows[0], *json!({ "x": 1.5, "when": "1970-01-01T00:00:01.500000Z" }).as_object().unwrap());
    assert_eq!(one.rows[1]["x"], Value::Null);
    Writer::default().requests(root, "m", &[one], 7).unwrap();
    let (path, ..) = files(&folder(root, "m"), false).remove(0);
    assert!(!fs::read_to_string(path).unwrap().contains("Anna"));
    assert!(check_redacted(&["name".to_owned()], &signature()).is_ok());
    assert_eq!(check_redacted(&["nmae".to_owned()], &signature()).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn moments_come_back() {
    for at in [0, 1_500_000, -1, -1_000_000, 951_782_400_000_000, 1_795_172_707_999_999, -62_000_000_000_000_000] {
        assert_eq!(micros(&moment(at)), Some(at), "{}", moment(at));
    }
    for text in ["", "1970-01-01", "1970-01-01T00:00Z", "x-01-01T00:00:00Z"] {
        assert_eq!(micros(text), None, "{text}");
    }
}

#[test]
fn truths_meet_their_predictions_and_the_last_one_counts() {
    let folder_of_test = tempfile::tempdir().unwrap();
    let root = folder_of_test.path();
    let (mut requests, mut truths_of) = (Writer::default(), Writer::default());
    let none = HashSet::new();
    let all = [kept(&captured("a", &[1.0, 2.0]), &none, 7), kept(&captured("b", &[3.0]), &none, 8)];
    requests.requests(root, "m", &all, 8).unwrap();
    let given = [feedback("a", 1, "no"), feedback("b", 0, "no"), feedback("gone", 0, "no"), feedback("a", 9, "no")];
    truths_of.truths(root, "m", &given, 9).unwrap();
    truths_of.truths(root, "m", &[feedback("b", 0, "yes")], 10).unwrap();
    // A line that was cut off by a kill is no error.
    let (path, ..) = files(&folder(root, "m"), true).remove(0);
    File::options().append(true).open(path).unwrap().write_all(b"{\"id\":\"a\",\"ro").unwrap();
    let found = matched(root, "m").unwrap();
    assert_eq!((found.rows.len(), found.n_unmatched), (2, 2));
    let of = |row: &Joined| (row.row["x"].as_f64(), row.truth.as_str().map(str::to_owned));
    assert_eq!(of(&found.rows[0]), (Some(2.0), Some("no".to_owned())));
    assert_eq!(of(&found.rows[1]), (Some(3.0), Some("yes".to_owned())));
    let expect = athanor_learn::drift::Truths::Classes {
        classes: vec!["no".into(), "yes".into()],
        probabilities: vec![0.25, 0.75, 0.25, 0.75],
        truths: vec![0, 1],
    };
    assert_eq!(truths(&found, 1, &signature()), expect);
    assert_eq!(matched(root, "another").unwrap(), Matched::default());
}

#[test]
fn what_is_old_or_too_much_goes_first_come_first_gone() {
    let folder_of_test = tempfile::tempdir().unwrap();
    let root = folder_of_test.path();
    let day = 86_400_000;
    let mut writer = Writer::default();
    for at in [day, 20 * day, 40 * day, 41 * day] {
        writer.requests(root, "m", &[kept(&captured("a", &[1.0]), &HashSet::new(), at)], at).unwrap();
    }
    let times = || files(&folder(root, "m"), false).iter().map(|(_, at, _)| at / day).collect::<Vec<_>>();
    assert_eq!(times(), [1, 20, 40, 41], "an hour later a segment is over");
    let config = MonitorConfig::default();
    retain(root, "m", &config, 42 * day).unwrap();
    assert_eq!(times(), [20, 40, 41]);
    let one = files(&folder(root, "m"), false)[0].2;
    let left = retain(root, "m", &MonitorConfig { retention_bytes: one * 2, ..config }, 42 * day).unwrap();
    assert_eq!((times(), left), (vec![40, 41], one * 2));
}

#[test]
#[cfg(unix)]
fn captures_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder_of_test = tempfile::tempdir().unwrap();
    let root = folder_of_test.path();
    Writer::default().requests(root, "../m", &[kept(&captured("a", &[1.0]), &HashSet::new(), 7)], 7).unwrap();
    let folder = folder(root, "../m");
    assert!(folder.starts_with(root.join("captures")) && !folder.display().to_string().contains(".."));
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let (path, ..) = files(&folder, false).remove(0);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

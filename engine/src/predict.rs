//! Batch prediction with a registered version: a table in, a table out, in batches, so that the table may be larger than
//! memory. Broken off and asked for again, it goes on where it was.

use std::path::Path;

use athanor_learn::train::StopFlag;
use athanor_protocol::table::DataSource;
use athanor_serve::batch::{BatchJob, BatchReport, predict_table};
pub use athanor_serve::batch::{BatchProgress, kept_rows, report_path};
use serde::{Deserialize, Serialize};

use crate::{
    error::{EngineError, IoContext, Result},
    files, registry,
    workspace::Workspace,
};

/// What is to be predicted.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// `NAME`, `NAME@ALIAS` or `NAME:VERSION`.
    pub reference: &'a str,
    /// The table.
    pub source: &'a DataSource,
    /// The file to write; its ending tells the format.
    pub to: &'a Path,
    /// Whether the input's columns stand in front of the predictions.
    pub keep_input: bool,
    /// The device by name.
    pub device: &'a str,
}

/// What a batch prediction did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Rows, time, and what was found in the rows.
    #[serde(flatten)]
    pub report: BatchReport,
}

/// Predicts every row of a table and writes the predictions.
///
/// # Errors
/// If the model or the table cannot be read, a column is missing or of another type, or the output cannot be written;
/// the output is then as it was.
pub fn predict_file(
    workspace: &Workspace,
    job: &Job<'_>,
    stop: &StopFlag,
    progress: &mut dyn FnMut(BatchProgress),
) -> Result<Predicted> {
    if let (Ok(from), Ok(to)) = (std::fs::canonicalize(&job.source.path), std::fs::canonicalize(job.to))
        && from == to
    {
        return Err(EngineError::Usage(format!("the output would replace the input: {}", job.to.display())));
    }
    let version = registry::resolve(workspace, job.reference)?;
    let (_, package) = registry::load(workspace, &version)?;
    let batch =
        BatchJob { package: &package, source: job.source, to: job.to, keep_input: job.keep_input, device: job.device };
    let report = predict_table(&batch, stop, progress)?;
    Ok(Predicted { model: version.model, version: version.version, report })
}

/// Writes what a batch prediction did beside its output.
///
/// # Errors
/// If it cannot be written.
pub fn write_report(predicted: &Predicted, to: &Path) -> Result<()> {
    let path = report_path(to);
    let mut text = serde_json::to_vec_pretty(predicted).map_err(std::io::Error::from).at("write", &path)?;
    text.push(b'\n');
    files::write_atomic(&path, &text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use athanor_protocol::Code;

    use super::*;
    use crate::desk::test_models::package;

    const N_ROWS: u64 = 600_000;

    /// A workspace with a model and a table of three parts.
    fn prepared(folder: &Path) -> (Workspace, DataSource) {
        let workspace = Workspace::init(&folder.join("w")).unwrap();
        registry::register(&workspace, "tumours", None, &package(1), &[]).unwrap();
        let rows: String =
            (0..N_ROWS).map(|n| format!("{}.5,{}\n", n % 40, ["red", "blue", "pink"][n as usize % 3])).collect();
        let path = folder.join("in.csv");
        fs::write(&path, format!("radius,colour\n{rows}")).unwrap();
        (workspace, DataSource::file(path.to_str().unwrap()))
    }

    #[test]
    fn what_was_stopped_goes_on_and_ends_with_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (workspace, source) = prepared(folder.path());
        for name in ["csv", "parquet"] {
            let (whole, broken) =
                (folder.path().join(format!("whole.{name}")), folder.path().join(format!("broken.{name}")));
            let run = |to: &Path, stop: &StopFlag, progress: &mut dyn FnMut(BatchProgress)| {
                let job = Job { reference: "tumours", source: &source, to, keep_input: true, device: "cpu" };
                predict_file(&workspace, &job, stop, progress)
            };
            let unbroken = run(&whole, &StopFlag::new(), &mut |_| {}).unwrap().report;
            assert_eq!((unbroken.n_rows, unbroken.n_resumed), (N_ROWS, 0));
            // Training knew radii below 30 and no pink.
            assert_eq!(unbroken.new_categories["colour"], N_ROWS / 3);
            assert_eq!(unbroken.out_of_range["radius"], N_ROWS / 4);

            let stop = StopFlag::new();
            let stopped = run(&broken, &stop, &mut |done| {
                if done.n_rows > 70_000 {
                    stop.stop("enough")
                }
            });
            assert_eq!(stopped.unwrap_err().code(), Code::Cancelled);
            assert!(!broken.exists());
            let kept = kept_rows(&broken);
            let mut shares = vec![];
            let resumed = run(&broken, &StopFlag::new(), &mut |far| shares.push(far.share.unwrap())).unwrap().report;
            assert_eq!(resumed.n_resumed, kept);
            assert!(shares.is_sorted() && shares[0] > 0.1 && shares.last() == Some(&1.0), "{name}: {shares:?}");
            assert_eq!(kept_rows(&broken), 0, "what is finished keeps nothing beside");
            assert!(resumed.n_resumed >= 65_536 && resumed.n_resumed < N_ROWS, "{}", resumed.n_resumed);
            assert_eq!((resumed.n_rows, &resumed.new_categories), (N_ROWS, &unbroken.new_categories));
            assert_eq!(resumed.out_of_range, unbroken.out_of_range);
            assert!(fs::read(&broken).unwrap() == fs::read(&whole).unwrap(), "{name}");
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left.len(), 6, "{left:?}");
    }

    #[test]
    fn a_table_that_changed_begins_anew_and_bad_data_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (workspace, source) = prepared(folder.path());
        let to = folder.path().join("out.csv");
        let run = |stop: &StopFlag, progress: &mut dyn FnMut(BatchProgress)| {
            let job = Job { reference: "tumours", source: &source, to: &to, keep_input: false, device: "cpu" };
            predict_file(&workspace, &job, stop, progress)
        };
        let stop = StopFlag::new();
        run(&stop, &mut |done| {
            if done.n_rows > 70_000 {
                stop.stop("enough")
            }
        })
        .unwrap_err();
        let parts = folder.path().join(".out.csv.athanor-parts");
        assert!(parts.join("whole.csv").exists());
        fs::write(&source.path, "radius,colour\n1.5,red\n").unwrap();
        let again = run(&StopFlag::new(), &mut |_| {}).unwrap().report;
        assert_eq!((again.n_rows, again.n_resumed), (1, 0));
        assert!(!parts.exists());

        // Behind everything that is looked at on opening: all rows are read again, as numbers with a fraction.
        let whole_numbers = "7,red\n".repeat(200_000);
        fs::write(&source.path, format!("radius,colour\n{whole_numbers}7.5,red\n")).unwrap();
        let mut seen = vec![];
        let settled = run(&StopFlag::new(), &mut |done| seen.push(done.n_rows)).unwrap().report;
        assert_eq!((settled.n_rows, settled.n_resumed), (200_001, 0));
        assert!(seen.windows(2).any(|pair| pair[1] <= pair[0]), "it began anew: {seen:?}");
        assert_eq!(fs::read_to_string(&to).unwrap().lines().count(), 200_002);

        fs::write(&source.path, "radius\n1.5\n").unwrap();
        let before = fs::read(&to).unwrap();
        assert!(run(&StopFlag::new(), &mut |_| {}).is_err(), "a column is missing");
        assert!(!parts.exists());
        assert_eq!(fs::read(&to).unwrap(), before, "the output is as it was");
        fs::write(&source.path, "radius,colour\n").unwrap();
        assert_eq!(run(&StopFlag::new(), &mut |_| {}).unwrap().report.n_rows, 0);
        assert_eq!(fs::read_to_string(&to).unwrap(), "label,probability_benign,probability_malign\n");
        let nowhere = folder.path().join("no/where.csv");
        let job = Job { reference: "tumours", source: &source, to: &nowhere, keep_input: false, device: "cpu" };
        assert_eq!(predict_file(&workspace, &job, &StopFlag::new(), &mut |_| {}).unwrap_err().code(), Code::NotFound);
        assert!(!folder.path().join("no").exists());

        let source = DataSource::file(nowhere.to_str().unwrap());
        let job = Job { source: &source, to: &to, ..job };
        let missing = predict_file(&workspace, &job, &StopFlag::new(), &mut |_| {}).unwrap_err().into_failure();
        assert_eq!(missing.code, Code::NotFound);
        assert!(missing.hint.is_some_and(|hint| hint.starts_with("check the path; a relative one")));
    }
}

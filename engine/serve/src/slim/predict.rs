//! `predict`: a table in, a table out, with one package.

use athanor_learn::train::StopFlag;
use athanor_protocol::{Code, Failure, table::DataSource};
use serde_json::json;

use super::{args::PredictArgs, packages, print, usage};
use crate::batch::{BatchJob, predict_table, report_path};

/// Predicts every row of the table.
///
/// # Errors
/// If there is not exactly one package, or it, the table or the output cannot be used.
pub(super) fn run(args: &PredictArgs, json: bool) -> Result<(), Failure> {
    let found = packages::find(&args.from.packages, args.from.models.as_deref())?;
    let [found] = found.as_slice() else {
        return Err(usage(format!("{} packages are named, one predicts", found.len())).hint("name it with --package"));
    };
    let package = packages::open(&found.path, &packages::trusted(&args.from.trust)?)?;
    let stop = StopFlag::new();
    super::run::on_signal(&stop)?;
    let source = DataSource::file(&args.input);
    let job = BatchJob {
        package: &package,
        source: &source,
        to: &args.output,
        keep_input: !args.only,
        device: &args.from.device,
    };
    let report = predict_table(&job, &stop, &mut |_| {})?;
    let mut value = serde_json::to_value(&report).unwrap_or_default();
    value["output"] = json!(args.output);
    let path = report_path(&args.output);
    std::fs::write(&path, format!("{value:#}\n")).map_err(|err| {
        Failure::new(Code::from_io(&err), format!("the report cannot be written: {}: {err}", path.display()))
    })?;
    if json {
        print(&value.to_string());
    } else {
        print(&format!("{} rows in {:.2} s → {}", report.n_rows, report.seconds, args.output.display()));
    }
    Ok(())
}

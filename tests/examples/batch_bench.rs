//! Batch prediction of a million rows of 30 numbers, beside pandas with scikit-learn on the same file: whole processes,
//! from a CSV file to a CSV file, for a logistic regression and a small network. Ends with one JSON object.
//!
//! `ATHANOR_PEER_MLSERVER` names a Python with pandas and scikit-learn; `cargo xtask bench batch` makes it.

#[path = "peers_bench/servers.rs"]
#[expect(dead_code, reason = "the servers themselves are the other benchmark's")]
mod servers;
#[path = "peers_bench/wrk.rs"]
#[expect(dead_code, reason = "belongs to the servers")]
mod wrk;

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::servers::{Kind, Setup};

const ROWS: usize = 1_000_000;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::new(folder.path())?;
    let python = Kind::Mlserver.python().context("ATHANOR_PEER_MLSERVER names no Python")?;
    let trained = setup.train(Kind::Mlserver, &python)?;
    let table = folder.path().join("rows.csv");
    write_rows(&setup, &table)?;
    let mut result = Map::new();
    for model in ["logistic", "mlp"] {
        let ours = folder.path().join("ours.csv");
        let theirs = folder.path().join("theirs.csv");
        let mut of_athanor = setup.command();
        of_athanor.args(["predict", &format!("{model}@production")]).arg(&table).arg("-o").arg(&ours).arg("--only");
        let mut of_pandas = Command::new(&python);
        of_pandas.arg(project("tests/fixtures/peers/batch.py")?).arg(trained.join(model)).arg(&table).arg(&theirs);
        // In turns, and the better of two: what else the machine does counts for both alike.
        let (mut our_secs, mut their_secs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..2 {
            our_secs = our_secs.min(timed(&mut of_athanor)?);
            their_secs = their_secs.min(timed(&mut of_pandas)?);
        }
        for path in [&ours, &theirs] {
            let n_lines = fs::read_to_string(path)?.lines().count();
            ensure!(n_lines == ROWS + 1, "{} has {n_lines} lines", path.display());
        }
        result.insert(
            model.to_owned(),
            json!({
                "athanor_secs": our_secs, "pandas_secs": their_secs, "ratio": their_secs / our_secs,
                "athanor_rows_per_sec": (ROWS as f64 / our_secs).round(),
            }),
        );
    }
    println!("{}", Value::Object(result));
    Ok(())
}

fn timed(command: &mut Command) -> Result<f64> {
    let begun = Instant::now();
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(begun.elapsed().as_secs_f64())
}

/// The sample's rows over and over, each value moved a little, so that no two rows are the same.
fn write_rows(setup: &Setup, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    let (names, rows) = setup.table()?;
    writeln!(file, "{}", names.join(","))?;
    for at in 0..ROWS {
        let row = rows.get(at % rows.len()).context("no rows")?;
        let moved = 1.0 + (at / rows.len()) as f64 * 1e-5;
        for (column, value) in row.iter().enumerate() {
            let comma = if column == 0 { "" } else { "," };
            write!(file, "{comma}{}", value * moved)?;
        }
        writeln!(file)?;
    }
    file.flush()?;
    Ok(())
}

/// A file of the project, from the folder in which benchmarks run.
fn project(path: &str) -> Result<PathBuf> {
    let path = Path::new(path);
    ensure!(path.exists(), "run in the project's folder: there is no {}", path.display());
    Ok(std::path::absolute(path)?)
}

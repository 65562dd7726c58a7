//! Measures what a data grid asks of a table: opening a Parquet file of 10,000,000 rows and showing any page of it, and
//! the same of a long CSV file. Ends with one JSON object. Limits stand in xtask's list of benchmarks.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use athanor_datasets::{Pager, TableWriter, open};
use athanor_protocol::{
    api::PlotSpec,
    columns::{Column, ColumnData, Frame},
    table::DataSource,
};

const N_ROWS: u64 = 10_000_000;
const N_CSV_ROWS: u64 = 2_000_000;
const BATCH: u64 = 250_000;
const PAGE_ROWS: usize = 200;
const N_PAGES: u64 = 200;

/// Numbers that look random and are a function of the row (SplitMix64's mixer).
fn mixed(row: u64) -> u64 {
    let z = row.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn rows(from: u64, n: u64) -> Result<Frame> {
    const CITIES: [&str; 6] = ["Aachen", "Bergen", "Córdoba", "Debrecen", "Évora", "Faro"];
    let column = |name: &str, data: ColumnData| Column { name: name.into(), data };
    let range = || from..from + n;
    let unit = |row: u64, salt: u64| (mixed(row ^ salt) >> 11) as f64 / (1u64 << 53) as f64;
    Ok(Frame::new(vec![
        column("id", ColumnData::Int(range().map(|row| Some(row as i64)).collect())),
        column("amount", ColumnData::Float(range().map(|row| (unit(row, 1) * 1e5).round() / 100.0).collect())),
        column("score", ColumnData::Float(range().map(|row| unit(row, 2) + unit(row, 3) - 1.0).collect())),
        column("city", ColumnData::Text(range().map(|row| Some(CITIES[(mixed(row) % 6) as usize].into())).collect())),
        column(
            "at",
            ColumnData::Datetime(range().map(|row| Some(1_600_000_000_000_000 + row as i64 * 1_000_000)).collect()),
        ),
        column(
            "open",
            ColumnData::Bool(range().map(|row| (row % 10 != 3).then_some(mixed(row).is_multiple_of(2))).collect()),
        ),
    ])?)
}

fn write(path: &Path, n_rows: u64) -> Result<()> {
    let mut writer = TableWriter::create(path)?;
    for from in (0..n_rows).step_by(BATCH as usize) {
        writer.write(&rows(from, BATCH.min(n_rows - from))?)?;
    }
    ensure!(writer.finish()? == n_rows, "rows are missing");
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Times of pages from anywhere, sorted.
fn pages(pager: &Pager, n_rows: u64) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for at in 0..N_PAGES {
        let offset = mixed(at) % (n_rows - PAGE_ROWS as u64);
        let began = Instant::now();
        let page = pager.rows(offset, PAGE_ROWS, &[])?;
        times.push(millis(began));
        ensure!(page.cells[0].len() == PAGE_ROWS, "the page is not full");
        ensure!(page.cells[0][0].as_deref() == Some(offset.to_string().as_str()), "these are other rows");
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = |name: &str| DataSource::file(folder.path().join(name).display().to_string());
    write(&folder.path().join("long.parquet"), N_ROWS)?;
    write(&folder.path().join("long.csv"), N_CSV_ROWS)?;

    // What a window waits for: the columns, the number of rows, and the first page.
    let began = Instant::now();
    let pager = Pager::new(open(&source("long.parquet"))?)?;
    ensure!(pager.n_rows() == Some(N_ROWS), "the rows are miscounted");
    pager.rows(0, PAGE_ROWS, &[])?;
    let open_millis = millis(began);
    let times = pages(&pager, N_ROWS)?;

    let began = Instant::now();
    let histogram = PlotSpec::Histogram { column: "score".to_owned(), n_bins: 50, group: Some("city".to_owned()) };
    pager.dataset().plot(&histogram, &|| false)?;
    let histogram_millis = millis(began);

    let began = Instant::now();
    let text = Pager::new(open(&source("long.csv"))?)?;
    text.rows(0, PAGE_ROWS, &[])?;
    let csv_open_millis = millis(began);
    let began = Instant::now();
    text.index(&|| began.elapsed() > Duration::from_secs(600))?;
    let csv_index_millis = millis(began);
    ensure!(text.n_rows() == Some(N_CSV_ROWS), "the rows are miscounted");
    let csv_times = pages(&text, N_CSV_ROWS)?;

    let result = serde_json::json!({
        "n_rows": N_ROWS, "open_millis": open_millis,
        "page_millis_p50": quantile(&times, 0.5), "page_millis_p99": quantile(&times, 0.99),
        "histogram_millis": histogram_millis,
        "n_csv_rows": N_CSV_ROWS, "csv_open_millis": csv_open_millis, "csv_index_millis": csv_index_millis,
        "csv_page_millis_p99": quantile(&csv_times, 0.99),
    });
    println!("{result}");
    Ok(())
}

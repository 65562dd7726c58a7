//! Answers about data: a small table of tumours, one of ten million trips, one of five hundred columns, one that is gone.

use athanor_protocol::{
    Code, Failure,
    api::{
        BoxStats, DataEntries, DataEntry, DataPlot, DataRows, DataUploaded, Done, PlotData, PlotSpec, ProfileAnswer,
        Reply, Request, RowsPage, TableInfo,
    },
    metric::MetricValue,
    table::{Bin, ColumnSchema, ColumnSummary, DataType, NumberSummary, TableProfile, TopValue},
};

use super::NOW_MILLIS;

/// Where the small table is.
pub const BREAST_CANCER: &str = "/home/ada/Athanor/clinic/data/breast_cancer.csv";
/// Where the long table is.
pub const TRIPS: &str = "/home/ada/tables/trips.parquet";
/// Where the wide table is.
pub const SENSORS: &str = "/home/ada/tables/sensors.csv";
/// Where a table was.
pub const GONE: &str = "/media/stick/patients.csv";

const FEATURES: [&str; 10] = [
    "mean_radius",
    "mean_texture",
    "mean_perimeter",
    "mean_area",
    "mean_smoothness",
    "mean_compactness",
    "mean_concavity",
    "mean_concave_points",
    "mean_symmetry",
    "mean_fractal_dimension",
];

/// The tables that the workspace knows.
pub fn data_entries() -> DataEntries {
    let entry = |path: &str, n_bytes: Option<u64>, hours: i64| DataEntry {
        name: path.rsplit('/').next().unwrap_or(path).to_owned(),
        path: path.to_owned(),
        n_bytes,
        modified_at_millis: n_bytes.map(|_| NOW_MILLIS - hours * 3_600_000),
        added_at_millis: NOW_MILLIS - hours * 3_600_000,
        in_workspace: path.contains("/clinic/"),
    };
    DataEntries {
        items: vec![
            entry(BREAST_CANCER, Some(119_913), 2),
            entry(TRIPS, Some(1_240_000_000), 30),
            entry(SENSORS, Some(48_200_000), 80),
            entry(GONE, None, 400),
        ],
    }
}

/// A table's columns.
pub fn columns_of(path: &str) -> Vec<ColumnSchema> {
    let column = |name: &str, dtype| ColumnSchema { name: name.to_owned(), dtype };
    match path {
        TRIPS => vec![
            column("pickup", DataType::Datetime),
            column("passengers", DataType::Int),
            column("distance_km", DataType::Float),
            column("zone", DataType::Text),
            column("shared", DataType::Bool),
            column("fare", DataType::Float),
        ],
        SENSORS => (0..500).map(|at| column(&format!("sensor_{at:03}"), DataType::Float)).collect(),
        _ => {
            let mut columns = vec![column("patient", DataType::Int), column("site", DataType::Text)];
            columns.extend(FEATURES.map(|name| column(name, DataType::Float)));
            columns.push(column("diagnosis", DataType::Text));
            columns
        }
    }
}

/// A table's rows.
pub fn n_rows_of(path: &str) -> u64 {
    match path {
        TRIPS => 10_000_000,
        SENSORS => 12_000,
        _ => 569,
    }
}

/// A number from 0 to 1 that looks random and is always the same.
fn noise(row: u64, column: u64) -> f64 {
    let mut x = row.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ column.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ 0x5851;
    x ^= x >> 31;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 29;
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

fn cell(column: &ColumnSchema, at: u64, row: u64) -> Option<String> {
    let noise = noise(row, at);
    if column.name == "mean_texture" && noise < 0.04 {
        return None;
    }
    Some(match (column.dtype, column.name.as_str()) {
        (_, "patient") => (842_302 + row * 7).to_string(),
        (_, "zone") => ["Harbour", "Old Town", "Airport", "University"][((noise * 4.0) as usize).min(3)].to_owned(),
        (_, "diagnosis") => if noise < 0.37 { "malignant" } else { "benign" }.to_owned(),
        (DataType::Bool, _) => (noise < 0.2).to_string(),
        (DataType::Int, _) => ((noise * 6.0) as u64 + 1).to_string(),
        (DataType::Text, _) => ["left breast", "right breast", "not recorded, see the letter of the referring clinic"]
            [((noise * 2.06) as usize).min(2)]
        .to_owned(),
        (DataType::Datetime, _) => {
            let millis = NOW_MILLIS - 86_400_000 * 400 + row as i64 * 3_000;
            format!("{} {}", crate::format::date(millis), crate::format::clock(millis))
        }
        _ => format!("{:.4}", noise * 10_f64.powi((at % 4) as i32)),
    })
}

/// A page of rows.
pub fn rows_page(ask: &DataRows) -> RowsPage {
    let path = ask.source.path.as_str();
    let all = columns_of(path);
    let n_rows = n_rows_of(path);
    let end = ask.offset.saturating_add(u64::from(ask.limit)).min(n_rows);
    let places: Vec<usize> = if ask.columns.is_empty() {
        (0..all.len()).collect()
    } else {
        ask.columns.iter().filter_map(|name| all.iter().position(|column| column.name == *name)).collect()
    };
    let cells =
        places.iter().map(|&at| (ask.offset..end).map(|row| cell(&all[at], at as u64, row)).collect()).collect();
    RowsPage {
        offset: ask.offset,
        columns: places.iter().map(|&at| all[at].clone()).collect(),
        cells,
        n_rows: Some(n_rows),
    }
}

/// What opening a table tells.
pub fn table_info(path: &str) -> TableInfo {
    let entry = data_entries().items.into_iter().find(|entry| entry.path == path);
    TableInfo {
        name: path.rsplit('/').next().unwrap_or(path).to_owned(),
        columns: columns_of(path),
        n_rows: Some(n_rows_of(path)),
        n_bytes: entry.and_then(|entry| entry.n_bytes).unwrap_or(119_913),
        notes: vec![],
    }
}

fn bins(low: f64, high: f64, n: usize, peak: f64) -> Vec<Bin> {
    let width = (high - low) / n as f64;
    (0..n)
        .map(|at| {
            let t = (at as f64 + 0.5) / n as f64;
            let count = (140.0 * (-((t - peak) / 0.18).powi(2)).exp() + 6.0 * (1.0 - t)) as u64;
            Bin { low: low + at as f64 * width, high: low + (at + 1) as f64 * width, count }
        })
        .collect()
}

/// A table described.
pub fn table_profile(path: &str) -> TableProfile {
    let n_rows = n_rows_of(path);
    let columns = columns_of(path)
        .into_iter()
        .enumerate()
        .map(|(at, column)| {
            let is_number = column.dtype.is_numeric() && column.dtype != DataType::Bool;
            let n_missing = if column.name == "mean_texture" { n_rows / 25 } else { 0 };
            let high = 10_f64.powi((at % 4) as i32);
            let numbers = is_number.then(|| NumberSummary {
                mean: MetricValue::from(high * 0.42),
                std: MetricValue::from(high * 0.17),
                min: MetricValue::from(high * 0.01),
                quantiles: [0.08, 0.27, 0.4, 0.55, 0.83].map(|q| MetricValue::from(high * q)),
                max: MetricValue::from(high * 0.99),
                n_non_finite: 0,
                histogram: bins(high * 0.01, high * 0.99, 32, 0.2 + 0.06 * (at % 9) as f64),
            });
            let top = match column.name.as_str() {
                "diagnosis" => vec![("benign", 357), ("malignant", 212)],
                "site" => vec![("left breast", 281), ("right breast", 270), ("not recorded", 18)],
                "zone" => vec![("Harbour", 2_410_000), ("Old Town", 1_905_000), ("Airport", 1_120_000)],
                "shared" => vec![("false", 8_011_000), ("true", 1_989_000)],
                _ => vec![],
            };
            let n_distinct = if top.is_empty() { n_rows - n_missing } else { top.len() as u64 };
            let mut findings = vec![];
            if column.name == "patient" {
                findings.push("a different value in every row: perhaps an id".to_owned());
            }
            if n_missing > 0 {
                findings.push("4 % of the values are missing".to_owned());
            }
            let top = top.into_iter().map(|(value, count)| TopValue { value: value.to_owned(), count }).collect();
            ColumnSummary { name: column.name, dtype: column.dtype, n_missing, n_distinct, top, numbers, findings }
        })
        .collect();
    TableProfile { n_rows, columns, n_duplicate_rows: 3, digest: "blake3:00".to_owned() }
}

/// Numbers for a plot.
pub fn plot_data(ask: &DataPlot) -> PlotData {
    let names = |group: &Option<String>| match group.as_deref() {
        None => vec![String::new()],
        Some("diagnosis") => vec!["benign".to_owned(), "malignant".to_owned()],
        Some(_) => vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
    };
    let cloud = |group: &Option<String>, n: u64| {
        let groups = names(group);
        groups
            .into_iter()
            .enumerate()
            .map(|(at, name)| {
                let shift = at as f64 * 6.0;
                let points = (0..n)
                    .map(|row| {
                        let (a, b) = (noise(row, at as u64), noise(row, at as u64 + 50));
                        [8.0 + shift + 8.0 * a, 12.0 + shift * 0.5 + 6.0 * a + 9.0 * b]
                    })
                    .collect();
                (name, points)
            })
            .collect()
    };
    match &ask.spec {
        PlotSpec::Histogram { n_bins, group, .. } => PlotData::Histogram {
            groups: names(group)
                .into_iter()
                .enumerate()
                .map(|(at, name)| (name, bins(6.0, 28.0, *n_bins as usize, 0.3 + 0.2 * at as f64)))
                .collect(),
            n_left_out: 22,
        },
        PlotSpec::Bar { column, group } => {
            let values = match column.as_str() {
                "diagnosis" => vec!["benign", "malignant"],
                _ => vec!["left breast", "right breast", "not recorded, see the letter"],
            };
            let counts = |at: usize| values.iter().enumerate().map(|(v, _)| 281 / (v as u64 + 1 + at as u64)).collect();
            PlotData::Bar {
                values: values.iter().map(|&value| value.to_owned()).collect(),
                groups: names(group).into_iter().enumerate().map(|(at, name)| (name, counts(at))).collect(),
                n_other: 0,
                n_missing: 4,
            }
        }
        PlotSpec::Box { group, .. } => PlotData::Box {
            groups: names(group)
                .into_iter()
                .enumerate()
                .map(|(at, name)| {
                    let shift = at as f64 * 5.3;
                    let stats = BoxStats {
                        low: 7.0 + shift,
                        q1: 11.1 + shift,
                        median: 12.2 + shift,
                        q3: 13.4 + shift,
                        high: 16.8 + shift,
                        n_outliers: 5,
                        extremes: [6.98 + shift, 19.8 + shift],
                        n: 357,
                    };
                    (name, stats)
                })
                .collect(),
        },
        PlotSpec::Scatter { group, .. } => PlotData::Scatter { groups: cloud(group, 280), n_rows: 569 },
        PlotSpec::Line { group, .. } => PlotData::Line {
            groups: names(group)
                .into_iter()
                .enumerate()
                .map(|(at, name)| {
                    let line = (0..80).map(|x| {
                        let t = f64::from(x);
                        [t, (t * 0.08 + at as f64).sin() * 3.0 + t * 0.1]
                    });
                    (name, line.collect())
                })
                .collect(),
        },
        PlotSpec::Correlation { .. } => {
            let columns: Vec<String> = columns_of(&ask.source.path)
                .into_iter()
                .filter(|column| column.dtype.is_numeric() && column.dtype != DataType::Bool)
                .map(|column| column.name)
                .take(60)
                .collect();
            let n = columns.len();
            let value = |a: usize, b: usize| {
                if a == b { 1.0 } else { (noise(a.min(b) as u64, a.max(b) as u64) * 2.0 - 0.7).clamp(-1.0, 1.0) }
            };
            let values = (0..n).map(|a| (0..n).map(|b| Some(value(a, b))).collect()).collect();
            PlotData::Correlation { columns, values, n_rows: n_rows_of(&ask.source.path) }
        }
    }
}

fn there(path: &str) -> Result<(), Failure> {
    if path != GONE {
        return Ok(());
    }
    Err(Failure::new(Code::NotFound, format!("there is no file {path}"))
        .on(path)
        .hint("put it back where it was, or remove it from the list"))
}

pub(super) fn answer(request: &Request) -> Option<Result<Reply, Failure>> {
    let reply = match request {
        Request::DataList(_) => Reply::DataList(Box::new(data_entries())),
        Request::DataAdd(ask) => {
            let known = data_entries().items.into_iter().find(|entry| entry.path == ask.path);
            let entry = known.unwrap_or_else(|| DataEntry {
                name: ask.path.rsplit('/').next().unwrap_or(&ask.path).to_owned(),
                path: ask.path.clone(),
                n_bytes: Some(119_913),
                modified_at_millis: Some(NOW_MILLIS),
                added_at_millis: NOW_MILLIS,
                in_workspace: false,
            });
            Reply::DataAdd(Box::new(entry))
        }
        Request::DataRemove(_) => Reply::DataRemove(Box::new(Done {})),
        Request::DataUpload(ask) => Reply::DataUpload(Box::new(DataUploaded {
            n_bytes: ask.offset,
            entry: ask.last.then(|| DataEntry {
                name: ask.name.clone(),
                path: format!("/home/ada/Athanor/clinic/data/{}", ask.name),
                n_bytes: Some(ask.offset),
                modified_at_millis: Some(NOW_MILLIS),
                added_at_millis: NOW_MILLIS,
                in_workspace: true,
            }),
        })),
        Request::DataOpen(ask) => match there(&ask.source.path) {
            Ok(()) => Reply::DataOpen(Box::new(table_info(&ask.source.path))),
            Err(failure) => return Some(Err(failure)),
        },
        Request::DataRows(ask) => Reply::DataRows(Box::new(rows_page(ask))),
        Request::DataProfile(ask) => {
            let info = table_info(&ask.source.path);
            Reply::DataProfile(Box::new(ProfileAnswer { name: info.name, profile: table_profile(&ask.source.path) }))
        }
        Request::DataPlot(ask) => Reply::DataPlot(Box::new(plot_data(ask))),
        _ => return None,
    };
    Some(Ok(reply))
}

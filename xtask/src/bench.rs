//! The benchmarks: which program gives which figures, and what is wanted of them.
//!
//! A benchmark is a program of the workspace that ends with one JSON object on the last line of its standard output.
//! It compares within one run, so that its ratios hold on any machine. To add one, add it to [`BENCHES`].

use std::{ops::RangeInclusive, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{command, dirs::Dirs};

/// The figures that are good enough. A limit on one side has infinity on the other.
pub(crate) type Limit = RangeInclusive<f64>;

/// A limit as a reader wants it.
pub(crate) fn limit_shown(limit: &Limit) -> String {
    match (limit.start().is_finite(), limit.end().is_finite()) {
        (true, true) => format!("{} to {}", limit.start(), limit.end()),
        (true, false) => format!("≥ {}", limit.start()),
        (false, true) => format!("≤ {}", limit.end()),
        (false, false) => "any".to_owned(),
    }
}

/// One benchmark.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Its name on the command line and in the document's markers.
    pub(crate) name: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// What is run, in the folder of the profile: `examples/NAME` for an example of a crate, else a program's name.
    pub(crate) program: &'static str,
    /// With these arguments.
    pub(crate) args: &'static [&'static str],
    /// Figures with a limit: the key as the program prints it (`outer.inner` for nested objects), and the limit.
    pub(crate) wanted: &'static [(&'static str, Limit)],
}

/// All benchmarks, in the order of the document.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "train",
        title: "Training loop against a bare Burn loop: same model, data and device, metrics recorded",
        program: "examples/bare_loop",
        args: &[],
        wanted: &[("ratio", at_least(0.97))],
    },
    Bench {
        name: "record",
        title: "What recording costs a training step, through the worker, the pipe and the database",
        program: "examples/record_bench",
        args: &[],
        wanted: &[("ratio", at_least(0.99))],
    },
    Bench {
        name: "store",
        title: "Store: metric points in batches, the first page of 10,000 runs, a long series decimated",
        program: "examples/store_bench",
        args: &[],
        wanted: &[
            ("points_per_sec", at_least(100_000.0)),
            ("first_page_millis", at_most(50.0)),
            ("series_millis", at_most(20.0)),
        ],
    },
    Bench {
        name: "http",
        title: "One-row predictions over HTTP on loopback at 1,000 requests a second",
        program: "examples/http_bench",
        args: &[],
        wanted: &[("p50_millis", at_most(1.0)), ("p99_millis", at_most(2.0))],
    },
    Bench {
        name: "peers",
        title: "One-row predictions beside MLServer, BentoML and MLflow's server: same table, same kinds of model, wrk on loopback",
        program: "examples/peers_bench",
        args: &[],
        wanted: &[
            ("logistic.throughput_ratio", at_least(10.0)),
            ("logistic.p99_share", at_most(0.1)),
            ("logistic.athanor.cold_start_millis", at_most(300.0)),
            ("logistic.athanor.megabytes", at_most(100.0)),
            ("mlp.throughput_ratio", at_least(10.0)),
            ("mlp.p99_share", at_most(0.1)),
            ("mlp.athanor.cold_start_millis", at_most(300.0)),
            ("mlp.athanor.megabytes", at_most(100.0)),
        ],
    },
    Bench {
        name: "soak",
        title: "Ten minutes at saturation, the served version swapped every second",
        program: "examples/soak_bench",
        args: &["600"],
        wanted: &[("failed", at_most(0.0)), ("memory_ratio", at_most(1.05))],
    },
    Bench {
        name: "batch",
        title: "Batch prediction of 1,000,000 rows, CSV to CSV, beside pandas with scikit-learn",
        program: "examples/batch_bench",
        args: &[],
        wanted: &[("logistic.ratio", at_least(5.0)), ("mlp.ratio", at_least(5.0))],
    },
    Bench {
        name: "grid",
        title: "A data grid on a Parquet file of 10,000,000 rows: opening it, and pages of 200 rows from anywhere",
        program: "examples/grid_bench",
        args: &[],
        wanted: &[("open_millis", at_most(1000.0)), ("page_millis_p99", at_most(300.0))],
    },
    Bench {
        name: "frames",
        title: "Frames of the window without a screen: 100 runs of 100,000 points, 12,000 metric names, 10,000 runs",
        program: "examples/frame_bench",
        args: &[],
        wanted: &[
            ("runs_frame_millis_p99", at_most(16.0)),
            ("names_frame_millis_p99", at_most(16.0)),
            ("list_frame_millis_p99", at_most(16.0)),
        ],
    },
    Bench {
        name: "window",
        title: "The real window, drawn in software on a screen in memory: first frame, processor time at rest, memory",
        program: "examples/window_bench",
        args: &[],
        wanted: &[
            ("first_frame_millis", at_most(1500.0)),
            ("idle_home.core_percent", at_most(2.0)),
            ("idle_runs.core_percent", at_most(2.0)),
            ("memory.page_megabytes", at_most(300.0)),
        ],
    },
];

const fn at_least(limit: f64) -> Limit {
    limit..=f64::INFINITY
}

const fn at_most(limit: f64) -> Limit {
    f64::NEG_INFINITY..=limit
}

/// The benchmarks of these names, or all where none is named.
///
/// # Errors
/// Fails on a name that is not in the list.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Bench>> {
    if names.is_empty() {
        return Ok(BENCHES.iter().collect());
    }
    let find = |name: &String| {
        let known = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
        BENCHES
            .iter()
            .find(|bench| bench.name == name)
            .with_context(|| format!("no benchmark is named `{name}`; there are: {}", known()))
    };
    names.iter().map(find).collect()
}

/// The command of a benchmark in the given profile's folder.
pub(crate) fn command_of(bench: &Bench, dirs: &Dirs, profile: &str) -> Command {
    let mut command = Command::new(dirs.built(profile, bench.program));
    command.args(bench.args).current_dir(&dirs.root);
    command
}

/// Runs one benchmark and reads its figures: sorted by key, keys of nested objects joined by dots.
///
/// # Errors
/// Fails when the program fails, or its last line is not a JSON object with figures.
pub(crate) fn figures(command: &mut Command) -> Result<Vec<(String, Value)>> {
    let mut last = String::new();
    let ok = command::lines_of(command, |line| {
        println!("{line}");
        if !line.trim().is_empty() {
            last = line.to_owned();
        }
    })?;
    if !ok {
        bail!("`{}` failed", command::shown(command));
    }
    figures_of(&last)
}

fn figures_of(line: &str) -> Result<Vec<(String, Value)>> {
    let value: Value = serde_json::from_str(line).context("the last line of its output is not JSON")?;
    let mut figures = Vec::new();
    flatten("", value, &mut figures);
    if figures.is_empty() || figures.iter().any(|(key, _)| key.is_empty()) {
        bail!("the last line of its output is not a JSON object with figures");
    }
    Ok(figures)
}

fn flatten(prefix: &str, value: Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&key, value, into);
            }
        }
        value => into.push((prefix.to_owned(), value)),
    }
}

/// Lines about this machine: what a reader needs to judge the figures, and no more.
pub(crate) fn machine() -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    let cores = std::thread::available_parallelism().map(|n| n.to_string()).unwrap_or_else(|_| "?".into());
    let cpu = field_of("/proc/cpuinfo", "model name", ':')
        .or_else(|| command::output_of(Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"])));
    add("processor", Some(format!("{}, {cores} cores usable", cpu.unwrap_or_else(|| "unknown".into()))));
    add("memory", field_of("/proc/meminfo", "MemTotal", ':').and_then(|text| gib_of_kib(&text)));
    let system = field_of("/etc/os-release", "PRETTY_NAME", '=').map(|name| name.trim_matches('"').to_owned());
    add("system", Some(system.unwrap_or_else(|| std::env::consts::OS.to_owned())));
    add("compiler", command::output_of(Command::new("rustc").arg("--version")));
    lines
}

fn field_of(file: impl AsRef<Path>, name: &str, separator: char) -> Option<String> {
    let text = std::fs::read_to_string(file.as_ref()).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

fn gib_of_kib(text: &str) -> Option<String> {
    let kib: f64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.0} GiB", kib / 1024.0 / 1024.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Option<&[(&str, Value)]>) {
        let expect: Option<Vec<_>> =
            expect.map(|list| list.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
        assert_eq!(figures_of(line).ok(), expect, "{line}");
    }

    #[test]
    fn figures_are_read_from_one_object() {
        check(r#"{"ratio":0.98}"#, Some(&[("ratio", 0.98.into())]));
        check(r#"{"http":{"p50_ms":0.4}}"#, Some(&[("http.p50_ms", 0.4.into())]));
        check("{}", None);
        check("3", None);
        check("[1]", None);
        check("Benchmark done.", None);
        check("", None);
    }

    #[test]
    fn limits_hold_at_their_edge_and_never_for_nan() {
        let (at_least, at_most): (Limit, Limit) = (at_least(0.97), at_most(2.0));
        assert!(at_least.contains(&0.97) && !at_least.contains(&0.969) && !at_least.contains(&f64::NAN));
        assert!(at_most.contains(&2.0) && !at_most.contains(&2.1) && !at_most.contains(&f64::NAN));
        assert_eq!((limit_shown(&at_least), limit_shown(&at_most)), ("≥ 0.97".to_owned(), "≤ 2".to_owned()));
        assert_eq!(limit_shown(&(1.0..=2.0)), "1 to 2");
    }

    #[test]
    fn names_are_unique_and_unknown_ones_are_refused() {
        for (index, bench) in BENCHES.iter().enumerate() {
            assert!(BENCHES[..index].iter().all(|other| other.name != bench.name), "{}", bench.name);
        }
        assert_eq!(chosen(&[]).unwrap().len(), BENCHES.len());
        let error = chosen(&["nonsense".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("nonsense") && error.contains(BENCHES[0].name), "{error}");
    }

    #[test]
    fn memory_is_told_in_gib() {
        assert_eq!(gib_of_kib("24689012 kB").as_deref(), Some("24 GiB"));
        assert_eq!(gib_of_kib("much"), None);
    }
}

//! Minutes at saturation while the version that is served changes every second: memory stays flat and nothing fails.
//! The real program, two registered versions, `wrk` on loopback. Seconds are the first argument; ten minutes without.
//! Ends with one JSON object.

#[path = "peers_bench/wrk.rs"]
mod wrk;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

const TABLE: &str = "datasets/samples/breast_cancer.csv";
const TARGET: &str = "diagnosis";
const MODEL: &str = "both";
const CONNECTIONS: u32 = 32;
/// Memory is compared from here on: caches and pools have their size.
const WARM_SECS: u64 = 20;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // The process is ours and holds nothing that an orderly end would save.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bench {
    program: PathBuf,
    workspace: PathBuf,
}

impl Bench {
    fn ask(&self, args: &[&str]) -> Result<Value> {
        let output =
            Command::new(&self.program).args(args).args(["--json", "--workspace"]).arg(&self.workspace).output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
    }

    /// Two versions of one model: a linear one and a network.
    fn train(&self, folder: &Path) -> Result<()> {
        let table = std::path::absolute(TABLE)?;
        let learner = |id: &str, kind: &str| json!({ "id": id, "kind": kind, "params": { "target": TARGET } });
        let register =
            |id: &str| json!({ "id": id, "kind": "register", "params": { "name": MODEL, "alias": "production" } });
        let link = |from: &str, to: &str| json!({ "from": from, "to": to });
        let flow = json!({
            "version": 2, "name": "soak",
            "nodes": [
                { "id": "open", "kind": "table.open", "params": { "path": table } },
                { "id": "split", "kind": "split", "params": { "stratify": TARGET } },
                learner("linear", "train.linear"), learner("net", "train.mlp"), register("first"), register("second")],
            "links": [
                link("open.table", "split.table"), link("split.splits", "linear.splits"),
                link("split.splits", "net.splits"), link("linear.model", "first.model"), link("net.model", "second.model")],
        });
        let path = folder.join("flow.json");
        fs::write(&path, flow.to_string())?;
        let run = self.ask(&["run", path.to_str().context("no Unicode path")?])?;
        ensure!(run["status"] == "finished", "{run}");
        Ok(())
    }
}

fn row() -> Result<Map<String, Value>> {
    let text = fs::read_to_string(TABLE).context("run in the project's folder")?;
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default().split(',');
    let values = lines.next().unwrap_or_default().split(',');
    Ok(names
        .zip(values)
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value.parse::<f64>().ok()?))))
        .collect())
}

fn resident_megabytes(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn main() -> Result<()> {
    let seconds: u32 = std::env::args().nth(1).map_or(Ok(600), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let own = std::env::current_exe()?;
    let built = own.parent().and_then(Path::parent).context("no build folder")?;
    let program = built.join(format!("athanor{}", std::env::consts::EXE_SUFFIX));
    let bench = Bench { program, workspace: folder.path().join("workspace") };
    bench.train(folder.path())?;
    let key = bench.ask(&["keys", "create"])?["key"].as_str().context("no key")?.to_owned();
    let mut command = Command::new(&bench.program);
    command.args(["serve", "--no-ui", "--bind", "127.0.0.1:0", "--json", "--workspace"]).arg(&bench.workspace);
    let mut server = command.stdout(Stdio::piped()).spawn().map(Ended)?;
    let mut stdout = BufReader::new(server.0.stdout.take().context("no output")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    let url = serde_json::from_str::<Value>(&line)?["endpoint"].as_str().context("no endpoint")?.to_owned();
    let request = wrk::Request {
        url: format!("{url}/v1/models/{MODEL}/predict"),
        headers: vec![
            ("Content-Type".into(), "application/json".into()),
            ("Authorization".into(), format!("Bearer {key}")),
        ],
        body: json!({ "row": row()? }).to_string(),
    };

    let scratch = folder.path().to_owned();
    let load = std::thread::spawn(move || wrk::run(&request, CONNECTIONS, seconds, &scratch));
    let begun = Instant::now();
    let (mut n_swaps, mut memory) = (0_u32, vec![]);
    while !load.is_finished() {
        let due = begun + Duration::from_secs(1) * (n_swaps + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        bench.ask(&["models", "alias", MODEL, "production", if n_swaps.is_multiple_of(2) { "1" } else { "2" }])?;
        n_swaps += 1;
        if begun.elapsed().as_secs() >= WARM_SECS {
            memory.push(resident_megabytes(server.0.id()));
        }
    }
    let load = load.join().map_err(|_| anyhow::anyhow!("the load broke down"))??;
    let third = memory.len() / 3;
    ensure!(third > 0, "too short: memory is compared after {WARM_SECS} seconds");
    let (first, last) = (mean(&memory[..third]), mean(&memory[memory.len() - third..]));
    let result = json!({
        "seconds": seconds, "connections": CONNECTIONS, "swaps": n_swaps, "requests": load.n_requests,
        "requests_per_sec": load.per_sec.round(), "p50_millis": load.p50_millis, "p99_millis": load.p99_millis,
        "failed": load.n_failed, "megabytes_first_third": first, "megabytes_last_third": last,
        "memory_ratio": last / first,
    });
    println!("{result}");
    Ok(())
}

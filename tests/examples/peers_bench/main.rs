//! One-row predictions side by side with the servers that people use now: MLServer, BentoML and MLflow's own. Each serves
//! a logistic regression and a small network for the same table, on loopback, and `wrk` asks each for as much as it can
//! give. Ends with one JSON object.
//!
//! The peers are started as their documentation says for production, once with one worker process and once with as many
//! as there are processors; the better one counts. All have the same requests, the same connections and the same time.
//! Their Python environments are named by `ATHANOR_PEER_MLSERVER`, `ATHANOR_PEER_BENTOML` and `ATHANOR_PEER_MLFLOW`;
//! `cargo xtask bench peers` makes them.

#[allow(dead_code, reason = "the batch benchmark uses the rest")]
mod servers;
mod wrk;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::{
    servers::{Kind, Server, Setup},
    wrk::Measured,
};

/// Connections that are tried. The throughput of the best is the server's; the last is its saturation, and its latency is
/// compared there.
const CONNECTIONS: [u32; 3] = [1, 16, 64];
/// Both models, by the name under which every server has them.
const MODELS: [&str; 2] = ["logistic", "mlp"];

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::new(folder.path())?;
    let mut result = Map::new();
    for model in MODELS {
        let mut of_model = Map::new();
        let mut best = Map::new();
        for kind in Kind::ALL {
            let Some(measured) = best_of(kind, &setup, model)? else {
                eprintln!("{}: left out, its environment is not named", kind.name());
                continue;
            };
            eprintln!("{model}: {}: {measured:?}", kind.name());
            of_model.insert(kind.name().to_owned(), measured.figures());
            best.insert(kind.name().to_owned(), json!([measured.load.per_sec, measured.saturated.p99_millis]));
        }
        if let (Some(ours), Some(theirs)) = (best.get("athanor"), best.get("mlserver")) {
            let figure = |of: &Value, at: usize| of[at].as_f64().context("no figure");
            of_model.insert("throughput_ratio".into(), json!(figure(ours, 0)? / figure(theirs, 0)?));
            of_model.insert("p99_share".into(), json!(figure(ours, 1)? / figure(theirs, 1)?));
        }
        result.insert(model.to_owned(), Value::Object(of_model));
    }
    println!("{}", Value::Object(result));
    Ok(())
}

/// What a server did at its best.
#[derive(Debug)]
struct Best {
    workers: usize,
    connections: u32,
    load: Measured,
    /// With the most connections.
    saturated: Measured,
    ready_millis: f64,
    megabytes: f64,
}

impl Best {
    fn figures(&self) -> Value {
        json!({
            "requests_per_sec": self.load.per_sec.round(),
            "p50_millis": self.load.p50_millis,
            "p99_millis": self.load.p99_millis,
            "connections": self.connections,
            "saturated_requests_per_sec": self.saturated.per_sec.round(),
            "saturated_p99_millis": self.saturated.p99_millis,
            "workers": self.workers,
            "cold_start_millis": self.ready_millis.round(),
            "megabytes": self.megabytes.round(),
        })
    }
}

fn best_of(kind: Kind, setup: &Setup, model: &str) -> Result<Option<Best>> {
    let mut best: Option<Best> = None;
    for workers in kind.worker_counts() {
        let server = match Server::start(kind, setup, model, workers) {
            Ok(Some(server)) => server,
            Ok(None) => return Ok(None),
            // Not every server starts with every number of processes everywhere; one that works is enough.
            Err(err) => {
                eprintln!("{} with {workers} worker processes: {err}", kind.name());
                continue;
            }
        };
        let request = server.request();
        // Until the processor's caches, and the servers' own, know the way.
        wrk::run(&request, 4, 2, setup.scratch())?;
        let mut loads = vec![];
        for connections in CONNECTIONS {
            let load = wrk::run(&request, connections, 8, setup.scratch())?;
            if load.n_failed * 100 > load.n_requests {
                let (name, failed, all) = (kind.name(), load.n_failed, load.n_requests);
                eprintln!("{name}: {failed} of {all} failed at {connections} connections");
            }
            loads.push((connections, load));
        }
        // A server that fails many is not faster for it.
        let answered = |load: &Measured| load.per_sec * (1.0 - load.n_failed as f64 / load.n_requests.max(1) as f64);
        let fastest = loads.iter().max_by(|a, b| answered(&a.1).total_cmp(&answered(&b.1)));
        let (Some(&(connections, load)), Some(&(_, saturated))) = (fastest, loads.last()) else { continue };
        if best.as_ref().is_none_or(|best| answered(&load) > answered(&best.load)) {
            let (ready_millis, megabytes) = (server.ready_millis(), server.megabytes());
            best = Some(Best { workers, connections, load, saturated, ready_millis, megabytes });
        }
    }
    ensure!(best.is_some(), "{} answered nothing without errors", kind.name());
    Ok(best)
}

/// A file of the project, from the folder in which benchmarks run.
fn project(path: &str) -> Result<PathBuf> {
    let path = Path::new(path);
    ensure!(path.exists(), "run in the project's folder: there is no {}", path.display());
    Ok(std::path::absolute(path)?)
}

//! The load: `wrk` with one thread, which keeps connections busy and measures each answer.

use std::{fmt::Write, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

/// What is asked again and again.
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) per_sec: f64,
    pub(crate) p50_millis: f64,
    pub(crate) p99_millis: f64,
    pub(crate) n_requests: u64,
    /// Answers that were no success, and sockets that broke.
    pub(crate) n_failed: u64,
}

/// Asks for some seconds.
pub(crate) fn run(request: &Request, connections: u32, seconds: u32, scratch: &Path) -> Result<Measured> {
    let mut script = "wrk.method = \"POST\"\n".to_owned();
    for (name, value) in &request.headers {
        let _ = writeln!(script, "wrk.headers[{name:?}] = {value:?}");
    }
    // JSON holds no "]==]".
    let _ = writeln!(script, "wrk.body = [==[{}]==]", request.body);
    // Milliseconds with their fractions: the summary that wrk prints itself is rounded.
    script.push_str(
        "done = function(summary, latency, requests)\n\
         local e = summary.errors\n\
         print(string.format('FIGURES %d %d %d %f %f', summary.requests, summary.duration, \
         e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))\n\
         end\n",
    );
    let path = scratch.join("request.lua");
    fs::write(&path, script)?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "10s", "-s"])
        .arg(&path)
        .arg(&request.url)
        .output()
        .context("wrk cannot be started; `apt-get install wrk` brings it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk: {}", String::from_utf8_lossy(&output.stderr));
    read(&text).with_context(|| format!("wrk says nothing that can be read: {text}"))
}

fn read(text: &str) -> Option<Measured> {
    let line = text.lines().find_map(|line| line.strip_prefix("FIGURES "))?;
    let figures: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [n_requests, micros, n_failed, p50, p99] = figures[..] else { return None };
    Some(Measured {
        per_sec: n_requests / (micros / 1e6),
        p50_millis: p50 / 1e3,
        p99_millis: p99 / 1e3,
        n_requests: n_requests as u64,
        n_failed: n_failed as u64,
    })
}

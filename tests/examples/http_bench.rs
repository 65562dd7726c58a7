//! Measures one-row predictions over HTTP on loopback at 1,000 requests a second: the real program serves a real model,
//! and clients on kept connections send at fixed times, so that a slow answer counts for every request behind it.
//! Ends with one JSON object.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const REQUESTS_PER_SEC: u32 = 1_000;
const SECONDS: u32 = 10;
const CONNECTIONS: u32 = 8;

/// The program, two folders above this example.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(|folder| folder.parent()).context("no build folder")?;
    Ok(folder.join(format!("athanor{}", std::env::consts::EXE_SUFFIX)))
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // The process is ours and holds nothing that an orderly end would save.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(program: &PathBuf, workspace: &std::path::Path, args: &[&str]) -> Result<Value> {
    let output = Command::new(program).args(args).arg("--json").arg("--workspace").arg(workspace).output()?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
}

/// Sends one request and reads the whole answer.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request)?;
    buffer.clear();
    let mut chunk = [0u8; 4096];
    loop {
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0, "the endpoint closed the connection");
        buffer.extend_from_slice(&chunk[..n]);
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 200"), "{text}");
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse().ok())
            .context("no length")?;
        if buffer.len() >= head + 4 + length {
            return Ok(());
        }
    }
}

fn drive(address: &str, request: &[u8], n: u32) -> Result<Vec<f64>> {
    let each = n / CONNECTIONS;
    let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / f64::from(REQUESTS_PER_SEC));
    let begin = Instant::now() + Duration::from_millis(100);
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let (address, request) = (address.to_owned(), request.to_vec());
            std::thread::spawn(move || -> Result<Vec<f64>> {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                let mut buffer = Vec::new();
                let mut millis = Vec::with_capacity(each as usize);
                for at in 0..each {
                    let due = begin + pause * at + pause * client / CONNECTIONS;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    // A sleeping client may wake late; what the endpoint owes begins when the request could be sent.
                    let sent = Instant::now();
                    let late = sent.saturating_duration_since(due);
                    exchange(&mut stream, &request, &mut buffer)?;
                    let waited = if late > pause { due.elapsed() } else { sent.elapsed() };
                    millis.push(waited.as_secs_f64() * 1e3);
                }
                Ok(millis)
            })
        })
        .collect();
    let mut all = vec![];
    for client in clients {
        all.extend(client.join().map_err(|_| anyhow::anyhow!("a client broke down"))??);
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}

fn main() -> Result<()> {
    let program = program()?;
    let folder = tempfile::tempdir()?;
    let workspace = folder.path().join("workspace");
    let demo = ask(&program, &workspace, &["demo"])?;
    ensure!(demo["status"] == "finished", "{demo}");
    let key = ask(&program, &workspace, &["keys", "create"])?["key"].as_str().context("no key")?.to_owned();
    let mut server = Command::new(&program)
        .args(["serve", "--bind", "127.0.0.1:0", "--json", "--workspace"])
        .arg(&workspace)
        .stdout(Stdio::piped())
        .spawn()
        .map(Ended)?;
    let mut line = String::new();
    let stdout = server.0.stdout.take().context("no output")?;
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line)?;
    let url = serde_json::from_str::<Value>(&line)?["endpoint"].as_str().context("no endpoint")?.to_owned();
    let address = url.trim_start_matches("http://").to_owned();

    let table = std::fs::read_to_string(workspace.join("samples/breast_cancer.csv"))?;
    let mut lines = table.lines();
    let names = lines.next().unwrap_or_default().split(',');
    let row: serde_json::Map<String, Value> = names
        .zip(lines.next().unwrap_or_default().split(','))
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value.parse::<f64>().ok()?))))
        .collect();
    let body = json!({ "row": row }).to_string();
    let request = format!(
        "POST /v1/models/breast_cancer/predict HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    drive(&address, request.as_bytes(), REQUESTS_PER_SEC)?;
    let millis = drive(&address, request.as_bytes(), REQUESTS_PER_SEC * SECONDS)?;
    let quantile = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    let result = json!({
        "requests": millis.len(), "requests_per_sec": REQUESTS_PER_SEC, "connections": CONNECTIONS,
        "p50_millis": quantile(0.5), "p90_millis": quantile(0.9), "p99_millis": quantile(0.99), "max_millis": quantile(1.0),
    });
    println!("{result}");
    Ok(())
}

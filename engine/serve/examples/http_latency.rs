//! Measures an endpoint that runs: sends one request again and again at a steady rate and prints the latencies as JSON.
//!
//! ```text
//! ATHANOR_KEY=… http_latency 127.0.0.1:8080 /v1/models/NAME/predict '{"row":{…}}' [requests per second] [requests] [connections]
//! ```
//!
//! Each request has its own due time and its latency counts from there, not from when it could be sent: an endpoint that
//! stalls is charged for the requests that waited behind (no coordinated omission).

use std::{
    env,
    error::Error,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(addr), Some(path), Some(body)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: http_latency ADDRESS PATH BODY [RATE] [REQUESTS] [CONNECTIONS]".into());
    };
    let rate: f64 = args.next().map_or(Ok(1_000.0), |text| text.parse())?;
    let n_requests: usize = args.next().map_or(Ok(10_000), |text| text.parse())?;
    let n_connections: usize = args.next().map_or(Ok(8), |text| text.parse())?.max(1);
    let key = env::var("ATHANOR_KEY")?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    // A model's first answers fill caches; they are sent and not counted.
    run(&addr, &request, rate, 200, n_connections)?;
    let started = Instant::now();
    let mut micros = run(&addr, &request, rate, n_requests, n_connections)?;
    let secs = started.elapsed().as_secs_f64();
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get(((micros.len() - 1) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN);
    println!(
        "{{\"requests\":{},\"connections\":{n_connections},\"rate_per_sec\":{rate},\"achieved_per_sec\":{:.0},\
         \"p50_micros\":{:.0},\"p90_micros\":{:.0},\"p99_micros\":{:.0},\"p999_micros\":{:.0},\"max_micros\":{:.0}}}",
        micros.len(),
        micros.len() as f64 / secs,
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0),
    );
    Ok(())
}

/// Latencies of `n_requests`, divided among connections with a thread each, in microseconds.
fn run(addr: &str, request: &str, rate: f64, n_requests: usize, n_connections: usize) -> Result<Vec<f64>, String> {
    let begin = Instant::now() + Duration::from_millis(20);
    let threads: Vec<_> = (0..n_connections)
        .map(|first| {
            let (addr, request) = (addr.to_owned(), request.to_owned());
            thread::spawn(move || {
                let due = |n: usize| begin + Duration::from_secs_f64(n as f64 / rate);
                let all = (first..n_requests).step_by(n_connections).map(due);
                one_connection(&addr, &request, all).map_err(|err| err.to_string())
            })
        })
        .collect();
    let mut micros = Vec::with_capacity(n_requests);
    for thread in threads {
        micros.extend(thread.join().map_err(|_| "a connection's thread panicked".to_owned())??);
    }
    Ok(micros)
}

fn one_connection(addr: &str, request: &str, due: impl Iterator<Item = Instant>) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut micros = vec![];
    let (mut line, mut body) = (String::new(), vec![]);
    for due in due {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes())?;
        let mut length = 0;
        line.clear();
        reader.read_line(&mut line)?;
        let is_ok = line.starts_with("HTTP/1.1 200");
        let status = line.trim().to_owned();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            match line.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
                Some(_) => {}
                None => break,
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        micros.push(due.elapsed().as_secs_f64() * 1e6);
        if !is_ok {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
    }
    Ok(micros)
}

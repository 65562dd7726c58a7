//! Asks an endpoint whether it is ready, with nothing but a socket.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use athanor_protocol::{Code, Failure};

use super::{args::HealthArgs, environment, print, usage};

/// Where an endpoint says that it is ready.
const READY: &str = "/v2/health/ready";
/// Of an answer no more is read: its first line is all that counts.
const MAX_ANSWER_BYTES: usize = 4_096;

/// Asks, and says what came back.
///
/// # Errors
/// If the address is none, or the answer is not 200 in time.
pub(super) fn run(args: &HealthArgs) -> Result<(), Failure> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => own_url(|name| std::env::var(name).ok())?,
    };
    let target = Target::parse(&url)?;
    let status = ask(&target, Duration::from_millis(args.timeout.into()))?;
    if status != 200 {
        return Err(Failure::new(Code::Unavailable, format!("{url} answers {status}")));
    }
    print("ready");
    Ok(())
}

/// This machine, at the port where serving listens.
fn own_url(var: impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let found = environment::read(var, None, false)?;
    let port = found.bind.rsplit(':').next().unwrap_or_default();
    Ok(format!("http://127.0.0.1:{port}{READY}"))
}

#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// As it stands in the address, with the port.
    host: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Failure> {
        let no_url =
            || usage(format!("{url:?} is no address")).hint("for example http://127.0.0.1:8080/v2/health/ready");
        let rest = url.strip_prefix("http://").ok_or_else(no_url)?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !is_plain(rest) {
            return Err(no_url());
        }
        let has_port = host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) && !host.ends_with(']');
        let host = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { host, path: if path.is_empty() { READY.to_owned() } else { path.to_owned() } })
    }
}

/// The status of the answer.
fn ask(target: &Target, timeout: Duration) -> Result<u16, Failure> {
    let failed = |err: std::io::Error| {
        Failure::new(Code::Unavailable, format!("http://{}{} does not answer: {err}", target.host, target.path))
    };
    let ends = Instant::now() + timeout;
    // A timeout of zero would mean none.
    let left = || ends.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let address: SocketAddr = target
        .host
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| Failure::new(Code::NotFound, format!("{} has no address", target.host)))?;
    let mut stream = TcpStream::connect_timeout(&address, left()).map_err(failed)?;
    stream.set_write_timeout(Some(left())).map_err(failed)?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.path, target.host);
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = vec![];
    let mut buffer = [0; 512];
    while !answer.contains(&b'\n') && answer.len() < MAX_ANSWER_BYTES {
        stream.set_read_timeout(Some(left())).map_err(failed)?;
        let n = stream.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            break;
        }
        answer.extend_from_slice(buffer.get(..n).unwrap_or_default());
        if Instant::now() >= ends {
            return Err(failed(std::io::ErrorKind::TimedOut.into()));
        }
    }
    let line = answer.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.trim().parse().ok());
    status.ok_or_else(|| Failure::new(Code::Unavailable, format!("http://{} does not speak HTTP", target.host)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (url, expect) in [
            ("http://127.0.0.1:8080", Some(("127.0.0.1:8080", READY))),
            ("http://localhost/ping", Some(("localhost:80", "/ping"))),
            ("http://[::1]:9/x", Some(("[::1]:9", "/x"))),
            ("http://[::1]/x", Some(("[::1]:80", "/x"))),
            ("https://localhost", None),
            ("localhost:80", None),
            ("http://", None),
            ("http://a@b/", None),
            ("http://a/\r\nx", None),
        ] {
            let expect = expect.map(|(host, path)| Target { host: host.to_owned(), path: path.to_owned() });
            assert_eq!(Target::parse(url).ok(), expect, "{url}");
        }
        assert_eq!(own_url(|_| None).unwrap(), "http://127.0.0.1:8080/v2/health/ready");
        let vertex = |name: &str| (name == "AIP_HTTP_PORT").then(|| "7080".to_owned());
        assert_eq!(own_url(vertex).unwrap(), "http://127.0.0.1:7080/v2/health/ready");
    }

    #[test]
    fn the_first_line_says_it() {
        for (answer, expect) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.0 503 Service Unavailable\r\n", Some(503)),
            ("hello\n", None),
            ("", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let target = Target { host: listener.local_addr().unwrap().to_string(), path: READY.to_owned() };
            let serving = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 64];
                let _ = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(ask(&target, Duration::from_secs(60)).ok(), expect, "{answer:?}");
            serving.join().unwrap();
        }
    }
}

//! The bytes on the wire: framing, silence, slowness, and clients that break off.

use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::Arc,
    time::Duration,
};

use crate::house::{Door, Live, live, numbers, one_column, read_to_end, sum};

const ROW: &str = r#"{"row":{"x":1}}"#;

fn request(live: &Live, method: &str, path: &str, more: &str, body: &str) -> String {
    let addr = live.addr;
    format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer k-good\r\n{more}\r\n{body}")
}

fn predict(live: &Live, more: &str) -> String {
    let more = format!("content-type: application/json\r\ncontent-length: {}\r\n{more}", ROW.len());
    request(live, "POST", "/v1/models/x/predict", &more, ROW)
}

fn plain() -> Live {
    live(|_| {}, vec![one_column(sum)])
}

/// Status codes of all answers in what came back.
fn statuses(text: &str) -> Vec<u16> {
    text.match_indices("HTTP/1.1 ").map(|(at, _)| text[at + 9..at + 12].parse().unwrap()).collect()
}

#[test]
fn a_prediction_over_a_socket() {
    let live = plain();
    let answer = live.exchange(predict(&live, "connection: close\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"model":"x","version":1,"predictions":[{"value":1.0}]}"#), "{answer}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let live = plain();
    let bytes =
        [predict(&live, ""), request(&live, "GET", "/v1/nothing", "", ""), predict(&live, "connection: close\r\n")]
            .concat();
    assert_eq!(statuses(&live.exchange(bytes.as_bytes())), [200, 404, 200]);
}

#[test]
fn a_length_beside_chunks_leaves_nothing_for_a_smuggled_request() {
    let live = plain();
    let smuggled = request(&live, "GET", "/v1/models", "", "");
    let chunked = format!("{:x}\r\n{ROW}\r\n0\r\n\r\n{smuggled}", ROW.len());
    for framing in
        ["content-length: 4\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 4\r\n"]
    {
        let more = format!("content-type: application/json\r\n{framing}");
        let answer = live.exchange(request(&live, "POST", "/v1/models/x/predict", &more, &chunked).as_bytes());
        let statuses = statuses(&answer);
        assert!(statuses == [200] || statuses == [400], "one answer, then the connection is closed: {answer}");
    }
}

#[test]
fn malformed_framing_is_refused() {
    let live = plain();
    let host = live.addr;
    let post = "POST /v1/models/x/predict HTTP/1.1\r\n";
    let head = format!("host: {host}\r\nauthorization: Bearer k-good\r\ncontent-type: application/json\r\n");
    for bytes in [
        format!("{post}{head}content-length: 4\r\ncontent-length: 15\r\n\r\n{ROW}"),
        format!("{post}{head}content-length: -1\r\n\r\n{ROW}"),
        format!("{post}{head}content-length: +15\r\n\r\n{ROW}"),
        format!("{post}{head}content-length: 99999999999999999999\r\n\r\n{ROW}"),
        format!("{post}{head}transfer-encoding: gzip\r\n\r\n{ROW}"),
        format!("{post}{head}transfer-encoding: chunked, gzip\r\n\r\n{ROW}"),
        format!("{post}{head}transfer-encoding: chunked\r\n\r\nnothex\r\n{ROW}\r\n0\r\n\r\n"),
        format!("{post}{head}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{ROW}\r\n0\r\n\r\n"),
        format!("POST /v1/models/x/predict HTTP/1.0\r\n{head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\nauthorization : Bearer k-good\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n folded: x\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\nx: a\0b\r\n\r\n"),
        format!("GET /v1/mod els HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("GET /v1/models HTTP/1.7\r\nhost: {host}\r\n\r\n"),
        "GET /v1/models\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned() + &"x".repeat(600) + "\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = live.exchange(bytes.as_bytes());
        let status = statuses(&answer).first().copied();
        assert!(status.is_none_or(|status| (400..=505).contains(&status) && status != 500), "{bytes:?}: {answer:?}");
        assert!(statuses(&answer).len() <= 1, "{bytes:?}: {answer:?}");
    }
    assert_eq!(statuses(&live.exchange(predict(&live, "connection: close\r\n").as_bytes())), [200], "it still answers");
}

#[test]
fn http_0_9_and_1_0_get_no_way_around_the_host() {
    let live = plain();
    let answer = live.exchange(b"GET /v2/health/live\r\n\r\n");
    assert!(!answer.contains("live\":true"), "{answer}");
    let answer = live.exchange(b"GET /v2/health/live HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
    assert_eq!(statuses(&live.exchange(b"GET /v2/health/live HTTP/1.1\r\n\r\n")), [400]);
}

#[test]
fn odd_targets_are_refused() {
    let live = plain();
    let host = live.addr;
    for line in [
        "CONNECT evil.example:443 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "TRACE /v1/models HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://evil.example/v2/health/live HTTP/1.1",
        "GET //evil.example/v2/health/live HTTP/1.1",
        "GET /../../etc/passwd HTTP/1.1",
        "GET /v1/models%zz HTTP/1.1",
        "GET ? HTTP/1.1",
        "BREW /v2/health/live HTTP/1.1",
    ] {
        let answer = live.exchange(format!("{line}\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes());
        let statuses = statuses(&answer);
        assert!(statuses.len() == 1 && (400..500).contains(&statuses[0]), "{line}: {answer}");
    }
}

#[test]
fn huge_heads_are_refused() {
    let live = plain();
    let host = live.addr;
    let value = "x".repeat(100_000);
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    for bytes in [
        format!("GET /v2/health/live HTTP/1.1\r\nhost: {host}\r\nx: {value}\r\n\r\n"),
        format!("GET /v2/health/live HTTP/1.1\r\nhost: {host}\r\n{many}\r\n"),
        format!("GET /{value} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
    ] {
        let answer = live.exchange(bytes.as_bytes());
        let statuses = statuses(&answer);
        assert!(statuses.is_empty() || [400, 414, 431].contains(&statuses[0]), "{answer}");
        assert!(!answer.contains("live\":true"));
    }
}

#[test]
fn silent_and_slow_clients_are_let_go() {
    let live = live(|config| config.header_read_timeout = Duration::from_millis(200), vec![one_column(sum)]);
    let mut silent = live.connect();
    assert_eq!(read_to_end(&mut silent), "", "nothing was said");
    let mut slow = live.connect();
    slow.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: loc").unwrap();
    let answer = read_to_end(&mut slow);
    assert!(!answer.contains("200 OK"), "{answer}");
    let mut idle = live.connect();
    idle.write_all(predict(&live, "").as_bytes()).unwrap();
    assert_eq!(statuses(&read_to_end(&mut idle)), [200], "an open connection without a next request is closed");
}

#[test]
fn a_body_that_does_not_arrive_is_408() {
    let live = live(|config| config.request_timeout = Duration::from_millis(100), vec![one_column(sum)]);
    let mut stream = live.connect();
    let more = "content-type: application/json\r\ncontent-length: 100\r\n";
    stream.write_all(request(&live, "POST", "/v1/models/x/predict", more, "{").as_bytes()).unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream)), [408]);
}

#[test]
fn announced_and_streamed_bodies_have_one_limit() {
    let live = live(|config| config.max_body_bytes = 10_000, vec![one_column(sum)]);
    let announced = "content-type: application/json\r\ncontent-length: 10001\r\n";
    let answer = live.exchange(request(&live, "POST", "/v1/models/x/predict", announced, "").as_bytes());
    assert_eq!(statuses(&answer), [413], "without waiting for the body");
    let huge = "content-type: application/json\r\ncontent-length: 18446744073709551615\r\n";
    let answer = live.exchange(request(&live, "POST", "/v1/models/x/predict", huge, "").as_bytes());
    assert!(matches!(statuses(&answer)[..], [400 | 413 | 431]), "{answer}");
    let streamed = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let chunks = format!("1000\r\n{}\r\n", " ".repeat(4096)).repeat(3);
    let answer = live.exchange(request(&live, "POST", "/v1/models/x/predict", streamed, &chunks).as_bytes());
    assert_eq!(statuses(&answer), [413]);
}

#[test]
fn a_flood_of_tiny_chunks_is_cut_off() {
    let live = plain();
    let more = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let chunked = |n: usize| format!("{}f\r\n{ROW}\r\n0\r\n\r\n", "1\r\n \r\n".repeat(n));
    let answer = live.exchange(request(&live, "POST", "/v1/models/x/predict", more, &chunked(60_000)).as_bytes());
    assert_eq!(statuses(&answer), [200]);
    let answer = live.exchange(request(&live, "POST", "/v1/models/x/predict", more, &chunked(200_000)).as_bytes());
    // The rest that is still on its way may reset the connection before the answer is read.
    assert!(matches!(statuses(&answer)[..], [] | [413]), "{answer}");
    assert_eq!(statuses(&live.exchange(predict(&live, "connection: close\r\n").as_bytes())), [200]);
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    let live = plain();
    let mut stream = live.connect();
    let more = format!(
        "content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n",
        ROW.len()
    );
    stream.write_all(request(&live, "POST", "/v1/models/x/predict", &more, "").as_bytes()).unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(ROW.as_bytes()).unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream)), [200]);
}

#[test]
fn connections_beyond_the_limit_are_told() {
    let live = live(|config| config.max_connections = 1, vec![one_column(sum)]);
    let mut first = live.connect();
    first.write_all(predict(&live, "").as_bytes()).unwrap();
    let mut byte = [0; 12];
    first.read_exact(&mut byte).unwrap();
    let answer = read_to_end(&mut live.connect());
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    drop(first);
}

#[test]
fn a_client_that_breaks_off_frees_its_place() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let model = one_column(move |frame| {
        behind.pass();
        sum(frame)
    });
    let live = live(|config| config.max_concurrent = 1, vec![model]);
    let mut gone = live.connect();
    gone.write_all(predict(&live, "").as_bytes()).unwrap();
    door.wait_for(1);
    gone.shutdown(Shutdown::Both).unwrap();
    drop(gone);
    door.open();
    loop {
        let answer = live.exchange(predict(&live, "connection: close\r\n").as_bytes());
        match statuses(&answer)[..] {
            [200] => break,
            [429] => std::thread::yield_now(),
            _ => panic!("{answer}"),
        }
    }
    assert!(door.n_came() >= 2);
}

#[test]
fn a_half_closed_connection_does_not_stay() {
    let live = plain();
    let mut stream = live.connect();
    stream.write_all(b"POST /v1/models/x/predict HTTP/1.1\r\nhost: ").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(!read_to_end(&mut stream).contains("200 OK"));
}

#[test]
fn stopping_ends_requests_under_way_first() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let model = one_column(move |frame| {
        behind.pass();
        sum(frame)
    });
    let mut live = live(|_| {}, vec![model]);
    let mut stream = live.connect();
    stream.write_all(predict(&live, "").as_bytes()).unwrap();
    door.wait_for(1);
    let reading = std::thread::spawn(move || read_to_end(&mut stream));
    let opening = Arc::clone(&door);
    std::thread::spawn(move || opening.open());
    live.stop();
    assert_eq!(statuses(&reading.join().unwrap()), [200]);
    assert!(std::net::TcpStream::connect(live.addr).is_err(), "nobody listens any more");
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let door = Arc::new(Door::default());
    let behind = Arc::clone(&door);
    let model = one_column(move |frame| {
        behind.pass();
        sum(frame)
    });
    let mut live = live(|config| config.drain_timeout = Duration::from_millis(100), vec![model, numbers(1)]);
    let mut stream = live.connect();
    stream.write_all(predict(&live, "").as_bytes()).unwrap();
    door.wait_for(1);
    let reading = std::thread::spawn(move || {
        let answer = read_to_end(&mut stream);
        // Only now may the model end: the connection was broken off before.
        door.open();
        answer
    });
    live.stop();
    assert_eq!(statuses(&reading.join().unwrap()), [0_u16; 0]);
}

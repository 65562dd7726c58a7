//! The page's stream of events, on a socket: order, ends, signs of life.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::atomic::Ordering,
    time::Duration,
};

use athanor_serve::site::{SiteConfig, serve_site};
use serde_json::{Value, json};

use crate::site_house::{Fake, Page, from_page, page_with, post};

/// A page on a socket.
struct Live {
    page: Page,
    addr: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

fn live(change: impl FnOnce(&mut SiteConfig)) -> Live {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let page = page_with(Fake::default(), |config| {
        config.bound = addr;
        change(config);
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let site = page.site.clone();
    let served = page.runtime.spawn(async move {
        serve_site(listener, &site, async { drop(stopped.await) }).await.unwrap();
    });
    Live { page, addr, stop: Some(stop), served: Some(served) }
}

impl Live {
    fn log_in(&self) -> String {
        let ask = post("/api/login", json!({ "key": "ath_admin" }));
        let host = self.addr.to_string();
        let answer = self.page.send(ask.set("host", &host).set("origin", format!("http://{host}")));
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Opens the stream of events; returns once its headers are there.
    fn listen(&self, cookie: &str) -> BufReader<std::net::TcpStream> {
        let mut stream = std::net::TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let host = self.addr;
        let ask = format!("GET /api/events HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/event-stream\r\n"), "{head}");
        stream
    }
}

/// The lines of the next event's fields, without the lengths of the chunks that carry them.
fn next_event(stream: &mut impl BufRead) -> (u64, Value) {
    let mut line = String::new();
    let mut id = None;
    loop {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the stream ended");
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.trim().parse().ok();
        }
        if let Some(text) = line.strip_prefix("data: ") {
            return (id.unwrap(), serde_json::from_str(text).unwrap());
        }
    }
}

#[test]
fn events_arrive_in_order_at_everybody_who_listens() {
    let live = live(|_| ());
    let cookie = live.log_in();
    let mut streams = [live.listen(&cookie), live.listen(&cookie)];
    live.page.fake.publish(1..=200);
    for stream in &mut streams {
        for seq in 1..=200 {
            let event = next_event(stream);
            assert_eq!(event, (seq, json!({ "seq": seq, "event": "keys_changed" })));
        }
    }
}

/// Reads until the server ends the stream.
fn ended(mut stream: BufReader<std::net::TcpStream>) -> String {
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stream, &mut rest).unwrap();
    rest
}

#[test]
fn a_stream_ends_with_its_session_and_with_the_page() {
    let mut live = live(|_| ());
    let (one, two, three) = (live.log_in(), live.log_in(), live.log_in());
    let (of_one, of_two) = (live.listen(&one), live.listen(&two));
    let host = live.addr.to_string();
    let out = post("/api/logout", "").set("host", &host).set("origin", format!("http://{host}"));
    live.page.send(out.with("cookie", one.as_str()).with("connection", "close"));
    let close = |stream: BufReader<std::net::TcpStream>| {
        // The connection itself stays for the next request: the stream's last chunk is its end.
        let mut stream = stream;
        let mut line = String::new();
        while line.trim_end() != "0" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0);
        }
    };
    close(of_one);
    live.page.fake.revoked.store(true, Ordering::SeqCst);
    close(of_two);
    live.page.fake.revoked.store(false, Ordering::SeqCst);
    let of_three = live.listen(&three);
    live.stop.take().unwrap().send(()).unwrap();
    assert!(ended(of_three).ends_with("0\r\n\r\n"));
    live.page.runtime.block_on(live.served.take().unwrap()).unwrap();
}

#[test]
fn a_quiet_stream_gives_signs_of_life_and_only_so_many_listen() {
    let live = live(|config| (config.heartbeat, config.max_listeners) = (Duration::ZERO, 1));
    let cookie = live.log_in();
    let mut stream = live.listen(&cookie);
    let host = live.addr.to_string();
    let second = from_page("GET", "/api/events").set("host", host).with("cookie", &cookie);
    assert_eq!(live.page.send(second).status, 429);
    let mut line = String::new();
    while line.trim_end() != ":" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0);
    }
}

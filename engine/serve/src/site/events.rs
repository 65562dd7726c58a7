//! Events for pages that listen: one thread takes them from the engine and writes each once, and every stream sends
//! what it gets. A stream that is too slow misses some, and the page sees a gap in the numbers.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use athanor_protocol::{Code, api::EventEnvelope};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::State as Held,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, watch};

use super::{Site, SiteEvents, call, sessions::Found};
use crate::{auth::KeyRefusal, refusal::Refusal};

/// Events that wait for the slowest stream before it misses some.
const MAX_WAITING: usize = 1_024;
/// How long the thread waits for events before it looks whether the page is still there.
const LOOK: Duration = Duration::from_millis(250);
/// How often a stream looks whether its session's key still holds.
const CHECK: Duration = Duration::from_secs(1);
/// Said at the start of a stream: come back after a second.
const HELLO: Bytes = Bytes::from_static(b"retry: 1000\n\n");
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// Hands events to streams.
pub(super) struct Channel {
    sender: broadcast::Sender<Bytes>,
    /// The thread goes when this is gone.
    _alive: Arc<()>,
}

impl Channel {
    /// Begins to listen.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(super) fn new(source: Box<dyn SiteEvents>) -> io::Result<Self> {
        let sender = broadcast::Sender::new(MAX_WAITING);
        let alive = Arc::new(());
        let (to, watched) = (sender.clone(), Arc::downgrade(&alive));
        std::thread::Builder::new().name("page-events".to_owned()).spawn(move || pump(source, &to, &watched))?;
        Ok(Self { sender, _alive: alive })
    }
}

fn pump(mut source: Box<dyn SiteEvents>, to: &broadcast::Sender<Bytes>, alive: &Weak<()>) {
    while alive.strong_count() > 0 {
        for event in source.wait(LOOK) {
            if to.receiver_count() > 0
                && let Some(bytes) = written(&event)
            {
                // Nobody may be listening by now.
                let _ = to.send(bytes);
            }
        }
    }
}

/// An event as it goes over the wire. JSON has no line breaks of its own.
fn written(event: &EventEnvelope) -> Option<Bytes> {
    match serde_json::to_string(event) {
        Ok(json) => Some(format!("id: {}\ndata: {json}\n\n", event.seq).into()),
        Err(err) => {
            tracing::error!(seq = event.seq, "an event could not be written: {err}");
            None
        }
    }
}

/// `GET /api/events`.
pub(super) async fn listen(Held(site): Held<Site>, headers: HeaderMap) -> Result<Response, Refusal> {
    let (found, _) = call::session(&site, &headers)?;
    let place = Arc::clone(&site.0.listeners).try_acquire_owned().map_err(|_| {
        let message = "as many pages listen as may";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::Overloaded, message)
            .hint("close pages that nobody looks at")
            .retry_after(5)
    })?;
    // Before the answer: whoever has it misses nothing from then on.
    let events = site.0.channel.sender.subscribe();
    let (send, lines) = mpsc::channel(16);
    tokio::spawn(stream(site, found, events, send));
    let mut response = Response::new(Body::new(Lines { lines, _place: place }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // For proxies that would collect the stream until it ends.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Sends events until the client goes, the session ends or the page closes.
async fn stream(site: Site, found: Found, mut events: broadcast::Receiver<Bytes>, send: mpsc::Sender<Bytes>) {
    let (mut closing, mut ended) = (site.0.closing.subscribe(), found.ended.clone());
    let mut check = tokio::time::interval(CHECK);
    let heartbeat = site.0.config.heartbeat;
    let mut spoke = Instant::now();
    if send.send(HELLO).await.is_err() {
        return;
    }
    loop {
        let bytes = tokio::select! {
            () = turned(&mut closing) => return,
            () = turned(&mut ended) => return,
            () = send.closed() => return,
            event = events.recv() => match event {
                Ok(bytes) => bytes,
                // The numbers have a gap now, which says it.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = check.tick() => {
                let now = Instant::now();
                if found.ends <= now || !still(&site, &found) {
                    return;
                }
                if now.duration_since(spoke) < heartbeat {
                    continue;
                }
                HEARTBEAT
            }
        };
        spoke = Instant::now();
        if send.send(bytes).await.is_err() {
            return;
        }
    }
}

/// Waits until it is true, or nobody is left to say so: a session that made room for others has no sender any more.
async fn turned(told: &mut watch::Receiver<bool>) {
    let _ = told.wait_for(|told| *told).await;
}

fn still(site: &Site, found: &Found) -> bool {
    match site.0.backend.still(&found.key_id) {
        Ok(_) | Err(KeyRefusal::Unavailable) => true,
        Err(_) => {
            site.0.sessions.end(&found.name);
            false
        }
    }
}

/// The body of a stream.
struct Lines {
    lines: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.lines.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

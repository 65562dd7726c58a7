//! One HTTP/2 connection from its first byte to its last.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};

use super::{
    Grpc,
    streams::{Patience, Streams, Verdict},
};
use crate::{auth::Caller, config::MAX_HEADER_BYTES};

/// Most requests at once on one connection.
const MAX_STREAMS: u32 = 128;
/// Bytes that one request may send before they are read, and all requests of a connection together.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of an answer that wait to be sent.
const MAX_SEND_BYTES: usize = 256 << 10;
/// How often a connection is asked whether somebody is there, and how long for the answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);

/// Speaks HTTP/2 until the client goes, it is silent for too long, or `stopped` is told.
pub(crate) async fn talk<S>(io: S, caller: Caller, grpc: Arc<Grpc>, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = grpc.state.config();
    let patience = Patience {
        first: config.header_read_timeout,
        idle: config.idle_timeout,
        // A request is answered within its time; as long again is enough to read the answer.
        stuck: config.request_timeout * 2,
    };
    let grace = config.header_read_timeout;
    let streams = Streams::new();
    let open = Arc::clone(&streams);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (grpc, stream) = (Arc::clone(&grpc), open.open());
        caller.mark(&mut request);
        async move { Ok::<_, Infallible>(grpc.answer(request.map(Body::new), stream).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut is_stopping = false;
    // Set when the client was told to go; then it has a moment to do so.
    let mut ends: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let until = match (ends, streams.verdict(patience, now)) {
            (_, Verdict::Stuck) => {
                tracing::debug!("a connection does not read its answers and is broken off");
                return;
            }
            (None, Verdict::Idle) => {
                connection.as_mut().graceful_shutdown();
                let until = now + grace;
                ends = Some(until);
                until
            }
            (Some(ends), Verdict::Idle) if ends <= now => return,
            (Some(ends), _) if ends > now => ends,
            (_, Verdict::Until(until)) => until,
            (_, Verdict::Idle) => now + grace,
        };
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(err) = ended {
                    tracing::debug!(error = %err, "a connection ended early");
                }
                return;
            }
            _ = stopped.changed(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

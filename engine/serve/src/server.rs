//! The socket: connections with limits on their number, on silence and on slowness; TLS where it is set; then HTTP/1.1,
//! or HTTP/2 for gRPC.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, Sleep},
};
use tower::ServiceExt as _;

use crate::{
    auth::{Caller, Peer},
    config::{MAX_HEADER_BYTES, MAX_HEADERS, ServeConfig},
    error::ServeError,
    grpc::{self, Grpc},
    router::{State, router},
    tls::Tls,
};

/// What is spoken on a socket. Clones are the same.
#[derive(Clone)]
pub(crate) enum Speech {
    /// HTTP/1.1, with these routes.
    Http1(Router),
    /// gRPC over HTTP/2.
    Grpc(Arc<Grpc>),
}

/// Said to a connection beyond the limit, before it is closed.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/json\r\nx-content-type-options: nosniff\r\ncontent-length: 52\r\n\r\n\
    {\"error\":\"the endpoint has as many clients as may\"}\n";
/// Said to a client that speaks plain HTTP where TLS is spoken, before it is closed.
const TLS_ONLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n\
    x-content-type-options: nosniff\r\ncontent-length: 56\r\n\r\n\
    {\"error\":\"this endpoint speaks TLS; begin with https:\"}\n";
/// Pause after a failed accept (for example: no file descriptors left), so that it does not fill the log and a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers on a bound socket until `shutdown` is there; then requests under way have the drain time to end.
///
/// # Errors
/// If the socket can't be used. Failures of single connections end these alone.
pub async fn serve(
    listener: TcpListener,
    state: &State,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    answer(listener, Speech::Http1(router(state)), state.config(), || state.drain(), shutdown).await
}

/// [`serve`] for whatever is spoken. `drain` is called when no more connections are taken.
pub(crate) async fn answer(
    listener: TcpListener,
    speech: Speech,
    config: &ServeConfig,
    drain: impl FnOnce() + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    listener.set_nonblocking(true).map_err(ServeError::Listen)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::Listen)?;
    let places = Arc::new(Semaphore::new(config.max_connections));
    let patience = Patience { stalled: config.request_timeout, header: config.header_read_timeout };
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let (speech, tls) = (speech.clone(), config.tls.clone());
                        connections.spawn(connection(stream, peer, speech, tls, patience, stopped.clone(), place));
                    }
                    // A new socket's buffer takes these bytes at once, or the client never learns why. Behind TLS and on
                    // HTTP/2 they would be noise: such a client is only closed.
                    Err(_) if config.tls.is_none() && matches!(speech, Speech::Http1(_)) => {
                        drop(stream.try_write(FULL));
                    }
                    Err(_) => {}
                },
                Err(err) => {
                    tracing::warn!(error = %err, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    drain();
    // No receiver is left when no connection is: then there is nobody to tell.
    let _ = stop.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain_timeout, all).await.is_err() {
        tracing::warn!("requests did not end in time and are broken off");
        connections.shutdown().await;
    }
    Ok(())
}

/// How long a connection may be silent.
#[derive(Clone, Copy)]
struct Patience {
    stalled: Duration,
    header: Duration,
}

/// One connection from its first byte to its last.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    speech: Speech,
    tls: Option<Tls>,
    patience: Patience,
    stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    if let Err(err) = stream.set_nodelay(true) {
        tracing::debug!(error = %err, "a connection was closed before it began");
        return;
    }
    let caller = Caller { peer: Peer(peer.ip()), certificate: None };
    let Some(tls) = tls else {
        let stream = Impatient { stream, patience: patience.stalled, stalled: None };
        return talk(stream, caller, speech, patience, stopped).await;
    };
    // Plain HTTP, which begins with a verb, is told what is spoken here; anything else is left to the handshake.
    let mut first = [0];
    match tokio::time::timeout(patience.header, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first[0].is_ascii_uppercase() => {
            drop(stream.try_write(TLS_ONLY));
            return;
        }
        Ok(Ok(1)) => {}
        Ok(_) | Err(_) => return,
    }
    let stream = Impatient { stream, patience: patience.stalled, stalled: None };
    match tls.accept(stream, matches!(speech, Speech::Grpc(_)), patience.header).await {
        Ok((stream, certificate)) => talk(stream, Caller { certificate, ..caller }, speech, patience, stopped).await,
        Err(err) => tracing::debug!(error = %err, "a TLS handshake failed"),
    }
}

/// Speaks until the client goes, it is silent for too long, or `stopped` is told.
async fn talk<S>(stream: S, caller: Caller, speech: Speech, patience: Patience, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = match speech {
        Speech::Http1(router) => router,
        Speech::Grpc(grpc) => return grpc::talk(stream, caller, grpc, stopped).await,
    };
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        caller.mark(&mut request);
        router.clone().oneshot(request)
    });
    let stream = TokioIo::new(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.header)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(64 << 10)
        .serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = ended {
        tracing::debug!(error = %err, "a connection ended early");
    }
}

/// A stream whose reader may not stop reading for longer than the patience: a client that asks and never listens would
/// hold its place for ever.
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! A client of gRPC in few lines: HTTP/2 by hyper, messages by hand, so that what is tested is not what tests.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use athanor_serve::{ModelTable, ServeConfig, Served, State, serve_grpc};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request, Response},
};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

use crate::house::TestKeys;

pub(crate) const SERVICE: &str = "/inference.GRPCInferenceService/";

/// A gRPC endpoint on a socket, in a thread of its own.
pub(crate) struct LiveGrpc {
    pub(crate) addr: SocketAddr,
    pub(crate) state: State,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn live_grpc(change: impl FnOnce(&mut ServeConfig), models: Vec<Served>) -> LiveGrpc {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // The endpoint's socket for HTTP is another one, as it is outside of tests.
    let mut config = ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 8080)));
    // A test that ends with an open connection has no thread left that would answer the endpoint's farewell.
    config.drain_timeout = Duration::from_millis(100);
    change(&mut config);
    let table = ModelTable::new();
    table.replace(models).unwrap();
    let state = State::new(config, Arc::new(TestKeys), Arc::new(table)).unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = state.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(serve_grpc(listener, &serving, async { drop(stopped.await) })).unwrap();
    });
    LiveGrpc { addr, state, stop: Some(stop), thread: Some(thread) }
}

impl LiveGrpc {
    /// Tells the endpoint to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for LiveGrpc {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// An open connection.
pub(crate) type Sender = http2::SendRequest<Body>;

pub(crate) async fn connect(live: &LiveGrpc) -> Sender {
    let stream = tokio::net::TcpStream::connect(live.addr).await.unwrap();
    // As every client of gRPC does: a body must not wait until its headers are acknowledged.
    stream.set_nodelay(true).unwrap();
    connect_over(stream).await
}

pub(crate) async fn connect_over<S>(stream: S) -> Sender
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) http: u16,
    /// The number of the outcome; 0 is success.
    pub(crate) status: i32,
    pub(crate) text: String,
    pub(crate) headers: HeaderMap,
    /// The message, without its prefix.
    pub(crate) message: Vec<u8>,
}

/// A request; `edit` may change everything about it.
pub(crate) fn request(
    live: &LiveGrpc,
    path: &str,
    body: impl Into<Body>,
    edit: impl FnOnce(&mut Request<Body>),
) -> Request<Body> {
    let mut request = Request::post(format!("http://{}{path}", live.addr))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", "Bearer k-good")
        .body(body.into())
        .unwrap();
    edit(&mut request);
    request
}

pub(crate) async fn gather(response: Response<Incoming>) -> Said {
    use axum::body::HttpBody as _;
    let (parts, mut body) = response.into_parts();
    let (mut headers, mut bytes) = (parts.headers, vec![]);
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        match frame.unwrap().into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => headers.extend(frame.into_trailers().unwrap()),
        }
    }
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let status = header("grpc-status").parse().unwrap_or(-1);
    let text = unescape(header("grpc-message"));
    let message = bytes.get(5..).unwrap_or_default().to_vec();
    Said { http: parts.status.as_u16(), status, text, headers, message }
}

fn unescape(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if let ([b'%', high, low, ..], true) = (rest, rest.len() >= 3) {
            let digits = [*high, *low];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            rest = &rest[3..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Calls a method on a connection of its own.
pub(crate) async fn call_with(
    live: &LiveGrpc,
    method: &str,
    message: &[u8],
    edit: impl FnOnce(&mut Request<Body>),
) -> Said {
    let path = if method.starts_with('/') { method.to_owned() } else { format!("{SERVICE}{method}") };
    let mut sender = connect(live).await;
    gather(sender.send_request(request(live, &path, framed(message), edit)).await.unwrap()).await
}

pub(crate) async fn call(live: &LiveGrpc, method: &str, message: &[u8]) -> Said {
    call_with(live, method, message, |_| {}).await
}

/// Sets a header.
pub(crate) fn header<'a>(name: &'static str, value: &'a str) -> impl FnOnce(&mut Request<Body>) + 'a {
    move |request| {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
}

/// A message with its prefix.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.into()
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// A field of bytes, text or a message.
pub(crate) fn bytes(number: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(value.as_ref().len() as u64, &mut field);
    field.extend_from_slice(value.as_ref());
    field
}

/// A field of packed whole numbers.
pub(crate) fn packed(number: u8, values: &[i64]) -> Vec<u8> {
    let mut inner = vec![];
    values.iter().for_each(|value| varint(value.cast_unsigned(), &mut inner));
    bytes(number, inner)
}

/// A field of packed doubles.
pub(crate) fn doubles(number: u8, values: &[f64]) -> Vec<u8> {
    bytes(number, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// An input of a request; `more` is contents or parameters.
pub(crate) fn input(name: &str, datatype: &str, shape: &[i64], more: &[u8]) -> Vec<u8> {
    bytes(5, [bytes(1, name), bytes(2, datatype), packed(3, shape), more.to_vec()].concat())
}

/// The fields of a message: number and bytes; numbers as their bytes.
pub(crate) fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
    fn take(message: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = vec![];
    while !message.is_empty() {
        let key = take(&mut message);
        let value = match key & 7 {
            0 => take(&mut message).to_le_bytes().to_vec(),
            2 => {
                let length = take(&mut message) as usize;
                let (value, rest) = message.split_at(length);
                message = rest;
                value.to_vec()
            }
            other => panic!("wire type {other}"),
        };
        found.push(((key >> 3) as u8, value));
    }
    found
}

/// All values of a field.
pub(crate) fn all(message: &[u8], number: u8) -> Vec<Vec<u8>> {
    fields(message).into_iter().filter(|(found, _)| *found == number).map(|(_, value)| value).collect()
}

pub(crate) fn text(message: &[u8], number: u8) -> String {
    all(message, number).pop().map_or(String::new(), |value| String::from_utf8(value).unwrap())
}

pub(crate) fn f64s(raw: &[u8]) -> Vec<f64> {
    raw.chunks_exact(8).map(|value| f64::from_le_bytes(value.try_into().unwrap())).collect()
}

//! Alerts told to another program: a POST of JSON, signed, to an address that may be called.
//!
//! The address is the user's, but what answers there need not be: so the host is looked up once, every address that it
//! has must be one that may be called, and the connection goes to exactly those. Redirects are not followed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    time::Duration,
};

use athanor_protocol::{Code, Failure, monitor::Alert};
use reqwest::{Url, blocking::Client, redirect::Policy};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Longest that one try may take, from the first byte sent to the last one read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses before the second and later tries.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];
/// Most messages that wait.
const MAX_WAITING: usize = 64;
/// The header with when it was sent, seconds since the Unix epoch.
pub const TIMESTAMP: &str = "x-athanor-timestamp";
/// The header with `sha256=` and the HMAC of timestamp, a point and the body.
pub const SIGNATURE: &str = "x-athanor-signature";

/// What is sent.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// `alert_raised` or `alert_resolved`.
    pub event: &'static str,
    /// The alert.
    pub alert: Alert,
}

/// A message with its address.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The address.
    pub url: String,
    /// Whether it may be in a private network.
    pub private: bool,
    /// What is sent.
    pub message: Message,
}

/// HMAC-SHA256 (RFC 2104).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// The signature's header.
pub fn signature(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let signed = [format!("{timestamp}.").as_bytes(), body].concat();
    let hex: String = hmac_sha256(secret, &signed).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// Where an address lies, as far as calling it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    /// A private network: only where the user allows it.
    Private,
    /// This machine: a program that the user runs here.
    Loopback,
    /// Never: link-local (cloud metadata lives there), multicast, broadcast, unspecified, reserved.
    Never,
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_private() || (a == 100 && (64..128).contains(&b)) {
        // 100.64.0.0/10 is shared address space of carriers (RFC 6598).
        Reach::Private
    } else {
        let is_reserved = a == 0 || a >= 240 || (a == 192 && b == 0 && c == 0) || (a == 198 && (b == 18 || b == 19));
        let is_special = ip.is_link_local() || ip.is_multicast() || ip.is_documentation();
        if is_reserved || is_special { Reach::Never } else { Reach::Public }
    }
}

fn reach(ip: IpAddr) -> Reach {
    let ip = match ip {
        IpAddr::V4(ip) => return reach_v4(ip),
        IpAddr::V6(ip) => ip,
    };
    // What a gateway turns into an IPv4 address is one: mapped, compatible, NAT64, 6to4.
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        _ if ip == Ipv6Addr::LOCALHOST => Reach::Loopback,
        _ if ip.is_unspecified() || ip.is_multicast() => Reach::Never,
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, ..] => Reach::Private,
        [first, ..] if first & 0xffc0 == 0xfe80 => Reach::Never,
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => Reach::Private,
        [0x2001, 0xdb8, ..] => Reach::Never,
        _ => Reach::Public,
    }
}

fn refuse(url: &Url, why: &str) -> Failure {
    let origin = url.origin().ascii_serialization();
    Failure::new(Code::PermissionDenied, format!("the webhook {origin} {why}")).on(origin)
}

/// Reads an address and says what is wrong with its form.
///
/// # Errors
/// If it is no `https` address and not `http` on this machine, or holds a name and password.
pub fn parse(text: &str) -> Result<Url, Failure> {
    let bad = |why: &str| {
        Failure::new(Code::InvalidArgument, format!("the webhook's address {why}"))
            .hint("for example https://hooks.example/athanor, or http://127.0.0.1:9000/ on this machine")
    };
    let url = Url::parse(text).map_err(|err| bad(&format!("cannot be read: {err}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("holds a name or password, which would be kept in plain text"));
    }
    let Some(host) = url.host_str() else { return Err(bad("has no host")) };
    let is_here = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| reach(ip) == Reach::Loopback);
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err(bad("is plain http to another machine: anybody between could read and change what is sent")),
        _ => Err(bad("is neither https nor http")),
    }
}

/// The addresses of a webhook's host, all of which may be called.
fn addresses(
    url: &Url,
    private: bool,
    look_up: impl Fn(&str, u16) -> std::io::Result<Vec<SocketAddr>>,
) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
    let found = look_up(host.trim_matches(['[', ']']), port)
        .map_err(|err| Failure::new(Code::Unavailable, format!("the host of the webhook cannot be found: {err}")))?;
    if found.is_empty() {
        return Err(Failure::new(Code::Unavailable, "the host of the webhook has no address"));
    }
    let is_here = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    for address in &found {
        match reach(address.ip()) {
            Reach::Public => {}
            Reach::Private if private => {}
            Reach::Private => {
                let failure = refuse(url, "is in a private network");
                return Err(failure.hint("allow it with --webhook-private where that is meant"));
            }
            // A name that somebody else gave an address of this machine is not the user's own program.
            Reach::Loopback if is_here => {}
            Reach::Loopback | Reach::Never => return Err(refuse(url, "leads to an address that may not be called")),
        }
    }
    Ok(found)
}

fn look_up(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Sends JSON once, to an address that may be called; with `private` also one in a private network.
///
/// # Errors
/// `Unavailable` where trying again may help.
pub fn post(address: &str, private: bool, body: Vec<u8>, headers: &[(&'static str, String)]) -> Result<(), Failure> {
    let url = parse(address)?;
    let found = addresses(&url, private, look_up)?;
    athanor_serve::use_ring();
    let failed =
        |err: reqwest::Error| Failure::new(Code::Unavailable, format!("there is no answer: {}", err.without_url()));
    // The name is looked up no second time: it could have another address then.
    let mut builder = Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy();
    if let Some(host) = url.host_str() {
        builder = builder.resolve_to_addrs(host, &found);
    }
    let mut request = builder.build().map_err(failed)?.post(url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let status = request.body(body).send().map_err(failed)?.status();
    if status.is_success() {
        return Ok(());
    }
    let is_for_later = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
    let code = if is_for_later { Code::Unavailable } else { Code::InvalidArgument };
    Err(Failure::new(code, format!("the answer is {}", status.as_u16())))
}

/// Sends a message once.
fn send(parcel: &Parcel, secret: &[u8], now_millis: i64) -> Result<(), Failure> {
    let body = serde_json::to_vec(&parcel.message)
        .map_err(|err| Failure::new(Code::Internal, format!("an alert cannot be written: {err}")))?;
    let timestamp = now_millis.div_euclid(1000);
    let signed = signature(secret, timestamp, &body);
    post(&parcel.url, parcel.private, body, &[(TIMESTAMP, timestamp.to_string()), (SIGNATURE, signed)])
}

/// Sends with pauses between the tries; what cannot help is not tried again.
fn deliver(parcel: &Parcel, secret: &[u8], now: &dyn Fn() -> i64) {
    for pause in PAUSES.iter().map(Some).chain([None]) {
        match send(parcel, secret, now()) {
            Ok(()) => return,
            Err(failure) => {
                let alert = parcel.message.alert.id;
                tracing::warn!(alert, "an alert could not be sent to its webhook: {failure}");
                match pause {
                    Some(pause) if failure.code == Code::Unavailable => std::thread::sleep(*pause),
                    _ => return,
                }
            }
        }
    }
}

/// Sends messages from a thread of its own, one after the other.
pub struct Sender(SyncSender<Parcel>);

impl Sender {
    /// Starts the thread; it ends when the sender is dropped and what waits was sent.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(secret: Vec<u8>, now: impl Fn() -> i64 + Send + 'static) -> std::io::Result<Self> {
        let (sender, parcels): (_, Receiver<Parcel>) = sync_channel(MAX_WAITING);
        std::thread::Builder::new().name("webhook".to_owned()).spawn(move || {
            for parcel in parcels {
                deliver(&parcel, &secret, &now);
            }
        })?;
        Ok(Self(sender))
    }

    /// Hands a message over; it is left out, and logged, where too many wait.
    pub fn send(&self, parcel: Parcel) {
        if let Err(TrySendError::Full(parcel) | TrySendError::Disconnected(parcel)) = self.0.try_send(parcel) {
            tracing::warn!(alert = parcel.message.alert.id, "an alert is not sent to its webhook: too many wait");
        }
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;

//! Keys: every request but the two health probes carries one, in the `Authorization` header and nowhere else.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use athanor_protocol::{
    Code,
    registry::{KeyLimits, Scope},
};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};

use crate::{limits::Spent, refusal::Refusal, tls::ClientCertificate};

/// Longest key that is looked at: tokens of identity providers are some thousand bytes.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Most peers whose failures are remembered.
const MAX_PEERS: usize = 4_096;
/// Most keys that are remembered as good.
const MAX_KNOWN: usize = 1_024;

/// Whoever knows the keys.
pub trait Keys: Send + Sync {
    /// Checks a key, in a time that does not depend on how much of it is right, and within a small part of a
    /// millisecond: it is called for each request on the thread that answers it.
    ///
    /// # Errors
    /// [`KeyRefusal`]. `Expired` and `Revoked` may be said only where the secret was right: the client is told.
    fn check(&self, token: &str) -> Result<Grant, KeyRefusal>;

    /// What a key that was checked may ask for in a second and in a day; `None` where there are no limits. As quick as
    /// [`Self::check`].
    fn limits(&self, key_id: &str) -> Option<KeyLimits> {
        let _ = key_id;
        None
    }

    /// What a key has asked for before on this day (days since the Unix epoch): read once when the key is first seen.
    fn spent(&self, key_id: &str, day: u32) -> Spent {
        let _ = (key_id, day);
        Spent::default()
    }

    /// Notes what a key asks for, so that a quota outlives the process. As quick as [`Self::check`].
    fn spend(&self, key_id: &str, day: u32, more: Spent) {
        let _ = (key_id, day, more);
    }
}

/// What a request asks of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Predictions.
    Predictions,
    /// What models take, and how the endpoint is.
    Metadata,
    /// How a rollout goes.
    Rollouts,
}

impl Need {
    /// What a route over HTTP asks of a key: metadata, unless something is sent to it.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let below_model = path.strip_prefix("/v1/models/").and_then(|rest| rest.split_once('/'));
        if below_model.is_some_and(|(_, last)| last == "rollout") {
            return Self::Rollouts;
        }
        // One contract predicts from the words of the address.
        let is_looking = matches!(*method, Method::GET | Method::HEAD) && path != "/score";
        if is_looking { Self::Metadata } else { Self::Predictions }
    }

    /// Whether a key may.
    fn is_met_by(self, grant: &Grant) -> bool {
        let has = |scope| grant.scopes.contains(&scope);
        match self {
            Self::Predictions => has(Scope::Predict),
            Self::Metadata => has(Scope::Predict) || has(Scope::Read),
            Self::Rollouts => has(Scope::Admin) || has(Scope::Read),
        }
    }

    /// What is said to a key that may not, and the way out.
    const fn refusal(self) -> (&'static str, &'static str) {
        match self {
            Self::Predictions => ("the key may not ask for predictions", "use a key with the scope 'predict'"),
            Self::Metadata => ("the key may not look at models", "use a key with the scope 'predict' or 'read'"),
            Self::Rollouts => ("the key may not look at rollouts", "use a key with the scope 'read' or 'admin'"),
        }
    }
}

/// What a key allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The key's public id, for logs.
    pub key_id: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// No such key, or a wrong secret.
    #[error("the key is not valid")]
    Unknown,
    /// The secret is right, but its time is over.
    #[error("the key has expired")]
    Expired,
    /// The secret is right, but the key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The keys can't be read right now.
    #[error("keys can't be checked right now")]
    Unavailable,
}

fn unauthenticated(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, message)
}

/// The key of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let hint = "send the header 'Authorization: Bearer KEY'; a key in the address is never looked at";
    let Some(value) = all.next() else {
        return Err(unauthenticated("a key is needed").hint(hint));
    };
    if all.next().is_some() {
        return Err(unauthenticated("there is more than one 'Authorization' header").hint(hint));
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(unauthenticated("the 'Authorization' header holds no bearer key").hint(hint));
    }
    if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unauthenticated(KeyRefusal::Unknown.to_string()));
    }
    Ok(token)
}

/// Checks the key of a request and that it may do what the request needs.
pub(crate) fn authorize(
    keys: &dyn Keys,
    throttle: &Throttle,
    peer: IpAddr,
    headers: &HeaderMap,
    need: Need,
    now: Instant,
) -> Result<Grant, Refusal> {
    let token = bearer(headers)?;
    if !throttle.may_try(peer, token, now) {
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            Code::Overloaded,
            "too many wrong keys came from this address",
        )
        .retry_after(1)
        .close());
    }
    match keys.check(token) {
        Ok(grant) => {
            throttle.succeeded(token);
            if need.is_met_by(&grant) {
                return Ok(grant);
            }
            let (message, hint) = need.refusal();
            Err(Refusal::new(StatusCode::FORBIDDEN, Code::PermissionDenied, message).hint(hint))
        }
        Err(KeyRefusal::Unavailable) => {
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, KeyRefusal::Unavailable.to_string())
                .retry_after(1))
        }
        Err(refusal) => {
            throttle.failed(peer, token, now);
            Err(unauthenticated(refusal.to_string()))
        }
    }
}

/// Bounds wrong keys from one peer by a bucket of attempts that refills by one each second. A key that was right before
/// is let through meanwhile, so that one bad client does not shut out the others behind the same address.
pub(crate) struct Throttle {
    burst: f64,
    hasher: RandomState,
    inner: Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    peers: HashMap<IpAddr, Bucket>,
    known: HashSet<u64>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn left_at(&self, now: Instant, burst: f64) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64()).min(burst)
    }
}

impl Throttle {
    pub(crate) fn new(burst: u32) -> Self {
        Self { burst: f64::from(burst.max(1)), hasher: RandomState::new(), inner: Mutex::default() }
    }

    pub(crate) fn may_try(&self, peer: IpAddr, token: &str, now: Instant) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = inner.peers.get(&network(peer)) else {
            return true;
        };
        bucket.left_at(now, self.burst) >= 1.0 || inner.known.contains(&self.hasher.hash_one(token))
    }

    fn succeeded(&self, token: &str) {
        let hash = self.hasher.hash_one(token);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.known.len() >= MAX_KNOWN && !inner.known.contains(&hash) {
            inner.known.clear();
        }
        inner.known.insert(hash);
    }

    pub(crate) fn failed(&self, peer: IpAddr, token: &str, now: Instant) {
        let burst = self.burst;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // A key that was right and is no longer (revoked, expired) loses its privilege.
        inner.known.remove(&self.hasher.hash_one(token));
        if inner.peers.len() >= MAX_PEERS && !inner.peers.contains_key(&network(peer)) {
            inner.peers.retain(|_, bucket| bucket.left_at(now, burst) < burst);
            if inner.peers.len() >= MAX_PEERS {
                inner.peers.clear();
            }
        }
        let bucket = inner.peers.entry(network(peer)).or_insert(Bucket { left: burst, at: now });
        bucket.left = (bucket.left_at(now, burst) - 1.0).max(0.0);
        bucket.at = now;
    }
}

/// Who counts as one peer: an IPv4 address, or the /64 that one IPv6 subscriber has.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(addr) => IpAddr::V4(addr),
        IpAddr::V6(addr) => match addr.to_ipv4_mapped() {
            Some(addr) => IpAddr::V4(addr),
            None => {
                let [a, b, c, d, ..] = addr.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
    }
}

/// The address of a connection, put into its requests by the server. Requests without one count as one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) certificate: Option<ClientCertificate>,
}

impl Caller {
    /// Puts it into a request.
    pub(crate) fn mark<B>(&self, request: &mut Request<B>) {
        request.extensions_mut().insert(self.peer);
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_refills_and_spares_known_keys() {
        let throttle = Throttle::new(2);
        let now = Instant::now();
        let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        throttle.succeeded("good");
        assert!(throttle.may_try(peer, "x", now));
        throttle.failed(peer, "x", now);
        throttle.failed(peer, "x", now);
        assert!(!throttle.may_try(peer, "x", now), "two wrong keys empty a bucket of two");
        assert!(throttle.may_try(peer, "good", now), "a key that was right is let through");
        assert!(throttle.may_try(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), "x", now), "others are not touched");
        assert!(throttle.may_try(peer, "x", now + Duration::from_secs(1)), "an attempt comes back each second");
        throttle.failed(peer, "good", now);
        assert!(!throttle.may_try(peer, "good", now), "a revoked key loses its privilege");
    }

    #[test]
    fn memory_for_peers_is_bounded() {
        let throttle = Throttle::new(2);
        let now = Instant::now();
        for n in 0..20_000_u32 {
            throttle.failed(IpAddr::V4(Ipv4Addr::from(n)), "x", now);
        }
        assert!(throttle.inner.lock().unwrap_or_else(PoisonError::into_inner).peers.len() <= MAX_PEERS);
    }

    #[test]
    fn one_v6_subscriber_is_one_peer() {
        let a: IpAddr = "2001:db8::1".parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let b: IpAddr = "2001:db8::ffff:1".parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(network(a), network(b));
    }
}

//! Who is logged in: sessions in memory, named by a cookie of 128 public and 256 secret random bits.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use tokio::sync::watch;

/// Most sessions; the one that would end first makes room.
const MAX_SESSIONS: usize = 1_024;

/// The sessions of a page.
pub(super) struct Sessions {
    /// Cookies are not kept apart by ports: two engines on one host must not take each other's.
    cookie: String,
    time: Duration,
    open: Mutex<HashMap<Name, Session>>,
}

/// Names a session; no secret.
pub(super) type Name = [u8; 16];
type Secret = [u8; 32];

struct Session {
    secret: Secret,
    key_id: String,
    ends: Instant,
    ended: watch::Sender<bool>,
}

/// A session that was found.
pub(super) struct Found {
    pub(super) name: Name,
    pub(super) key_id: String,
    /// Becomes true when the session ends by logout, or its sender goes.
    pub(super) ended: watch::Receiver<bool>,
    pub(super) ends: Instant,
}

/// Compares without stopping at the first difference.
fn is_same(a: &Secret, b: &Secret) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

impl Sessions {
    pub(super) fn new(port: u16, time: Duration) -> Self {
        Self { cookie: format!("athanor_session_{port}"), time, open: Mutex::default() }
    }

    /// Begins a session and returns the `Set-Cookie` header's value.
    pub(super) fn begin(
        &self,
        key_id: &str,
        random: impl FnOnce(&mut [u8]) -> io::Result<()>,
        is_secure: bool,
        now: Instant,
    ) -> io::Result<String> {
        let mut bytes = [0; 48];
        random(&mut bytes)?;
        let (mut name, mut secret) = ([0; 16], [0; 32]);
        name.copy_from_slice(&bytes[..16]);
        secret.copy_from_slice(&bytes[16..]);
        let session =
            Session { secret, key_id: key_id.to_owned(), ends: now + self.time, ended: watch::channel(false).0 };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_SESSIONS {
            open.retain(|_, session| session.ends > now);
        }
        if open.len() >= MAX_SESSIONS
            && let Some(first) = open.iter().min_by_key(|(_, session)| session.ends).map(|(name, _)| *name)
        {
            open.remove(&first);
        }
        open.insert(name, session);
        Ok(self.set_cookie(&format!("{}{}", hex(&name), hex(&secret)), self.time.as_secs(), is_secure))
    }

    /// The session of a request; `None` where it has none or it is over.
    pub(super) fn find(&self, headers: &HeaderMap, now: Instant) -> Option<Found> {
        let (name, secret) = self.token(headers)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&name)?;
        if session.ends <= now {
            open.remove(&name);
            return None;
        }
        is_same(&session.secret, &secret).then(|| Found {
            name,
            key_id: session.key_id.clone(),
            ended: session.ended.subscribe(),
            ends: session.ends,
        })
    }

    /// Ends a session and whatever listens under it.
    pub(super) fn end(&self, name: &Name) {
        if let Some(session) = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name) {
            session.ended.send_replace(true);
        }
    }

    /// The `Set-Cookie` header's value that takes the cookie away.
    pub(super) fn unset_cookie(&self, is_secure: bool) -> String {
        self.set_cookie("", 0, is_secure)
    }

    fn set_cookie(&self, value: &str, max_age: u64, is_secure: bool) -> String {
        let secure = if is_secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/api; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}", self.cookie)
    }

    fn token(&self, headers: &HeaderMap) -> Option<(Name, Secret)> {
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = pairs
            .flat_map(|pairs| pairs.split(';'))
            .filter_map(|pair| pair.trim().split_once('=').filter(|(name, _)| *name == self.cookie))
            .map(|(_, value)| value);
        let value = values.next()?;
        // Two of one name: somebody planted one of them.
        if values.next().is_some() || !value.is_ascii() || value.len() != 96 {
            return None;
        }
        Some((unhex(&value[..32])?, unhex(&value[32..])?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn begin(sessions: &Sessions, fill: u8, now: Instant) -> String {
        let random = |buffer: &mut [u8]| {
            buffer.fill(fill);
            Ok(())
        };
        let cookie = sessions.begin("key", random, false, now).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    fn find(sessions: &Sessions, cookie: &str, now: Instant) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        sessions.find(&headers, now).is_some()
    }

    #[test]
    fn a_session_is_found_by_its_whole_cookie_until_it_ends() {
        let (sessions, now) = (Sessions::new(8081, Duration::from_secs(10)), Instant::now());
        let cookie = begin(&sessions, 7, now);
        assert!(find(&sessions, &cookie, now));
        assert!(find(&sessions, &format!("other=1; {cookie}; more=2"), now));
        let planted = format!("{cookie}; {cookie}");
        let cut = &cookie[..cookie.len() - 1];
        let wrong = format!("{cut}8");
        let elsewhere = cookie.replace("8081", "8082");
        for bad in [planted.as_str(), cut, &wrong, &elsewhere, "", "athanor_session_8081=", "athanor_session_8081"] {
            assert!(!find(&sessions, bad, now), "{bad}");
        }
        assert!(!find(&sessions, &cookie, now + Duration::from_secs(10)), "its time is over");
        assert!(!find(&sessions, &cookie, now), "and what is over does not come back");
    }

    #[test]
    fn sessions_take_bounded_memory() {
        let (sessions, now) = (Sessions::new(1, Duration::from_secs(10)), Instant::now());
        for n in 0..2 * MAX_SESSIONS as u32 {
            let random = |buffer: &mut [u8]| {
                buffer.fill(0);
                buffer[..4].copy_from_slice(&n.to_le_bytes());
                Ok(())
            };
            sessions.begin("key", random, false, now + Duration::from_nanos(u64::from(n))).unwrap();
        }
        assert_eq!(sessions.open.lock().unwrap().len(), MAX_SESSIONS);
        assert!(sessions.begin("key", |_| Err(io::Error::other("none")), false, now).is_err());
    }
}

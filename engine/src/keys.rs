//! API keys: `ath_<id>_<secret>`. The secret is 256 random bits, so its plain SHA-256 is all that is kept of it; it is
//! shown once and never stored, logged or put into an error.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use athanor_protocol::{
    Code, Failure,
    names::check_text,
    registry::{ApiKeyInfo, KeyLimits, Scope},
};
use athanor_serve::{Grant, KeyRefusal, Keys, Spent};
use athanor_store::{KeyUsage, NewApiKey, PageRequest, Store};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    error::{EngineError, Result},
    ids::{Clock, IdSource},
    registry::audit,
    workspace::Workspace,
};

const PREFIX: &str = "ath_";
/// Between two writes of a key's last use, in milliseconds.
const TOUCH_MILLIS: i64 = 60_000;
/// Longest that an old secret may stay valid beside the new one, in milliseconds: 30 days.
const MAX_GRACE_MILLIS: i64 = 30 * DAY_MILLIS;
const DAY_MILLIS: i64 = 86_400_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Makes a key. Returns what is kept and the key itself, which is never shown again.
///
/// # Errors
/// If the name is not allowed, or the key cannot be stored.
pub fn create(
    workspace: &Workspace,
    name: &str,
    scopes: &[Scope],
    expires_at_millis: Option<i64>,
) -> Result<(ApiKeyInfo, String)> {
    check_text("key name", name, 128)?;
    let random = random(&*workspace.ids)?;
    let (id, secret) = (hex(&random[..6]), hex(&random[6..]));
    let key = NewApiKey {
        id: id.clone(),
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        secret_sha256: hash(&secret),
        created_at_millis: workspace.clock.now_millis(),
        expires_at_millis,
    };
    let info = workspace.store.create_key(&key)?;
    audit(workspace, "key.create", &id, json!({ "name": name, "scopes": scopes }))?;
    Ok((info, format!("{PREFIX}{id}_{secret}")))
}

/// Random bytes for a key: six for its id, the rest for its secret.
fn random(ids: &dyn IdSource) -> Result<[u8; 38]> {
    let mut random = [0u8; 38];
    ids.secret(&mut random)
        .map_err(|err| EngineError::new(Code::Unavailable, format!("no randomness for a key: {err}")))?;
    Ok(random)
}

/// Gives a key another secret. The one that it had stays valid for `grace_millis`. Returns until when, and the key with
/// its new secret, which is never shown again.
///
/// # Errors
/// If there is no such key, it is not valid any more, or the grace is out of range.
pub fn rotate(workspace: &Workspace, id: &str, grace_millis: i64) -> Result<(i64, String)> {
    if !(0..=MAX_GRACE_MILLIS).contains(&grace_millis) {
        return Err(EngineError::new(Code::InvalidArgument, "the grace of a key's old secret is from 0 to 30 days"));
    }
    let secret = hex(&random(&*workspace.ids)?[6..]);
    let now = workspace.clock.now_millis();
    let until = now + grace_millis;
    workspace.store.rotate_key(id, &hash(&secret), now, until)?;
    audit(workspace, "key.rotate", id, json!({ "old_valid_until_millis": until }))?;
    Ok((until, format!("{PREFIX}{id}_{secret}")))
}

/// Sets when a key ends by itself; `None` is never. One that has ended is valid again.
///
/// # Errors
/// If there is no such key, it was revoked, or the time has passed.
pub fn expire(workspace: &Workspace, id: &str, expires_at_millis: Option<i64>) -> Result<()> {
    if expires_at_millis.is_some_and(|at| at <= workspace.clock.now_millis()) {
        return Err(EngineError::Failure(
            Failure::new(Code::InvalidArgument, "the key would have expired already")
                .on(id)
                .hint("choose a time that is still to come, or revoke the key"),
        ));
    }
    workspace.store.set_key_expiry(id, expires_at_millis)?;
    audit(workspace, "key.expire", id, json!({ "expires_at_millis": expires_at_millis }))
}

/// Limits what a key may ask for.
///
/// # Errors
/// If there is no such key, or a limit is out of range.
pub fn limit(workspace: &Workspace, id: &str, limits: &KeyLimits) -> Result<()> {
    workspace.store.set_key_limits(id, limits)?;
    audit(workspace, "key.limit", id, json!(limits))
}

/// Ends a key now.
///
/// # Errors
/// If there is no such key.
pub fn revoke(workspace: &Workspace, id: &str) -> Result<()> {
    let now = workspace.clock.now_millis();
    workspace.store.revoke_key(id, now)?;
    audit(workspace, "key.revoke", id, json!({}))
}

struct Known {
    info: ApiKeyInfo,
    hash: [u8; 32],
    /// The secret before the last rotation, and until when it is valid.
    previous: Option<([u8; 32], i64)>,
    limits: Option<KeyLimits>,
}

/// What keys have asked for, in all on the day and not yet written down.
#[derive(Default)]
struct Usage {
    today: HashMap<String, (u32, Spent)>,
    unsaved: HashMap<(u32, String), Spent>,
}

fn add(total: &mut Spent, more: Spent) {
    total.requests = total.requests.saturating_add(more.requests);
    total.rows = total.rows.saturating_add(more.rows);
}

/// Checks keys for the endpoint, from memory; [`StoreKeys::refresh`] brings it up to date.
pub struct StoreKeys {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: RwLock<HashMap<String, Known>>,
    touched: Mutex<HashMap<String, i64>>,
    usage: Mutex<Usage>,
    /// Keys of this process: made for one use, never written down.
    passing: RwLock<HashMap<String, [u8; 32]>>,
    /// The store's change counter before the keys were last read by [`StoreKeys::refresh_if_changed`].
    seen: AtomicU64,
}

/// A key that may predict for as long as this value lives. It is kept in memory alone.
pub struct PassingKey {
    keys: Arc<StoreKeys>,
    id: String,
    token: String,
}

impl PassingKey {
    /// The key itself.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for PassingKey {
    fn drop(&mut self) {
        self.keys.passing.write().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl StoreKeys {
    /// The keys of a workspace.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn new(workspace: &Workspace) -> Result<Self> {
        let keys = Self {
            store: Arc::clone(&workspace.store),
            clock: Arc::clone(&workspace.clock),
            known: RwLock::default(),
            touched: Mutex::default(),
            usage: Mutex::default(),
            passing: RwLock::default(),
            seen: AtomicU64::new(u64::MAX),
        };
        keys.refresh()?;
        keys.read_usage()?;
        Ok(keys)
    }

    /// Reads the keys again and writes down when they were last used.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub fn refresh(&self) -> Result<()> {
        let mut known = HashMap::new();
        let mut limits: HashMap<String, KeyLimits> = self.store.key_limits()?.into_iter().collect();
        let previous = self.store.previous_secrets(self.clock.now_millis())?;
        let mut previous: HashMap<_, _> =
            previous.into_iter().map(|old| (old.key_id, (old.secret_sha256, old.valid_until_millis))).collect();
        let mut page = PageRequest::first(500);
        loop {
            let keys = self.store.keys(&page)?;
            for info in keys.items {
                if let Some(stored) = self.store.find_key(&info.id)? {
                    let (previous, limits) = (previous.remove(&info.id), limits.remove(&info.id));
                    let hash = stored.secret_sha256;
                    known.insert(info.id.clone(), Known { info: stored.info, hash, previous, limits });
                }
            }
            match keys.next {
                Some(next) => page = PageRequest::after(500, next),
                None => break,
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Reads what keys have asked for today, so that a quota outlives the process.
    fn read_usage(&self) -> Result<()> {
        let day = u32::try_from(self.clock.now_millis() / DAY_MILLIS).unwrap_or(0);
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        for KeyUsage { key_id, n_requests, n_rows } in self.store.key_usage(day)? {
            usage.today.insert(key_id, (day, Spent { requests: n_requests, rows: n_rows }));
        }
        Ok(())
    }

    /// Writes down what keys have asked for since the last time.
    ///
    /// # Errors
    /// If it cannot be written; it is tried again with the next call.
    pub fn write_usage(&self) -> Result<()> {
        let unsaved = std::mem::take(&mut self.usage.lock().unwrap_or_else(PoisonError::into_inner).unsaved);
        let mut days: HashMap<u32, Vec<KeyUsage>> = HashMap::new();
        for ((day, key_id), spent) in &unsaved {
            let usage = KeyUsage { key_id: key_id.clone(), n_requests: spent.requests, n_rows: spent.rows };
            days.entry(*day).or_default().push(usage);
        }
        for (day, usage) in days {
            // Without the lock: the database may be busy, and requests must not wait for it.
            if let Err(err) = self.store.add_key_usage(day, &usage) {
                let mut kept = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
                for ((_, key_id), spent) in unsaved.iter().filter(|((other, _), _)| *other == day) {
                    add(kept.unsaved.entry((day, key_id.clone())).or_default(), *spent);
                }
                return Err(err.into());
            }
        }
        Ok(())
    }

    /// Makes a key for a request of this process to its own endpoint.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn passing_key(self: &Arc<Self>, ids: &dyn IdSource) -> Result<PassingKey> {
        let random = random(ids)?;
        // No stored key begins so: their ids are hexadecimal digits.
        let (id, secret) = (format!("here-{}", hex(&random[..6])), hex(&random[6..]));
        self.passing.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), hash(&secret));
        Ok(PassingKey { keys: Arc::clone(self), token: format!("{PREFIX}{id}_{secret}"), id })
    }

    /// What a stored key may do now, without its secret: for whoever showed it before.
    ///
    /// # Errors
    /// Why it may do nothing.
    pub fn still(&self, id: &str) -> Result<Grant, KeyRefusal> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        self.granted(known.get(id).ok_or(KeyRefusal::Unknown)?)
    }

    /// A number that changes when the key gets another secret; 0 where there is no such key.
    pub fn stamp(&self, id: &str) -> u64 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(id).map_or(0, |key| {
            let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(key.hash).into();
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        })
    }

    fn granted(&self, key: &Known) -> Result<Grant, KeyRefusal> {
        let now = self.clock.now_millis();
        if key.info.revoked_at_millis.is_some() {
            return Err(KeyRefusal::Revoked);
        }
        if key.info.expires_at_millis.is_some_and(|at| at <= now) {
            return Err(KeyRefusal::Expired);
        }
        let id = key.info.id.clone();
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), now);
        Ok(Grant { key_id: id, scopes: key.info.scopes.clone() })
    }

    /// [`Self::refresh`] where something may have changed since; cheap enough for every request.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub fn refresh_if_changed(&self) -> Result<()> {
        let now = self.store.change_counter()?;
        if self.seen.load(Ordering::Acquire) != now {
            self.refresh()?;
            self.seen.store(now, Ordering::Release);
        }
        Ok(())
    }

    /// Writes down when keys were last used, at most once a minute for each.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_touched(&self) -> Result<()> {
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, at) in touched {
            let due = |key: &Known| key.info.last_used_at_millis.is_none_or(|last| at - last >= TOUCH_MILLIS);
            let is_due = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).is_some_and(due);
            if is_due {
                // Without the lock: the database may be busy, and requests must not wait for it.
                self.store.touch_key(&id, at)?;
                if let Some(key) = self.known.write().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
                    key.info.last_used_at_millis = Some(at);
                }
            }
        }
        Ok(())
    }
}

impl Keys for StoreKeys {
    fn check(&self, token: &str) -> Result<Grant, KeyRefusal> {
        let (id, secret) =
            token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(KeyRefusal::Unknown)?;
        let given = hash(secret);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = known.get(id) else {
            let passing = self.passing.read().unwrap_or_else(PoisonError::into_inner).get(id).copied();
            // The same comparison as for a known key, so that the answer takes as long.
            let is_right = bool::from(given.ct_eq(&passing.unwrap_or([0u8; 32])));
            return if passing.is_some() && is_right {
                Ok(Grant { key_id: id.to_owned(), scopes: vec![Scope::Predict] })
            } else {
                Err(KeyRefusal::Unknown)
            };
        };
        // Both secrets are compared whatever comes of the first, and the old one's time is looked at last.
        let (old, until) = key.previous.unwrap_or(([0u8; 32], i64::MIN));
        let (is_right, is_old) = (bool::from(given.ct_eq(&key.hash)), bool::from(given.ct_eq(&old)));
        let is_graced = is_old && self.clock.now_millis() < until;
        if !is_right && !is_graced {
            return Err(KeyRefusal::Unknown);
        }
        self.granted(key)
    }

    fn limits(&self, key_id: &str) -> Option<KeyLimits> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key_id)?.limits
    }

    fn spent(&self, key_id: &str, day: u32) -> Spent {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.today.get(key_id).filter(|(of, _)| *of == day).map_or(Spent::default(), |(_, spent)| *spent)
    }

    fn spend(&self, key_id: &str, day: u32, more: Spent) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let today = usage.today.entry(key_id.to_owned()).or_insert((day, Spent::default()));
        if today.0 != day {
            *today = (day, Spent::default());
        }
        add(&mut today.1, more);
        add(usage.unsaved.entry((day, key_id.to_owned())).or_default(), more);
    }
}

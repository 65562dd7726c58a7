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
    Code,
    names::check_text,
    registry::{ApiKeyInfo, Scope},
};
use athanor_serve::{Grant, KeyRefusal, Keys};
use athanor_store::{NewApiKey, PageRequest, Store};
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
    let mut random = [0u8; 38];
    workspace
        .ids
        .secret(&mut random)
        .map_err(|err| EngineError::new(Code::Unavailable, format!("no randomness for a key: {err}")))?;
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
}

/// Checks keys for the endpoint, from memory; [`StoreKeys::refresh`] brings it up to date.
pub struct StoreKeys {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: RwLock<HashMap<String, Known>>,
    touched: Mutex<HashMap<String, i64>>,
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
            passing: RwLock::default(),
            seen: AtomicU64::new(u64::MAX),
        };
        keys.refresh()?;
        Ok(keys)
    }

    /// Reads the keys again and writes down when they were last used.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub fn refresh(&self) -> Result<()> {
        let mut known = HashMap::new();
        let mut page = PageRequest::first(500);
        loop {
            let keys = self.store.keys(&page)?;
            for info in keys.items {
                if let Some(stored) = self.store.find_key(&info.id)? {
                    known.insert(info.id.clone(), Known { info: stored.info, hash: stored.secret_sha256 });
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

    /// Makes a key for a request of this process to its own endpoint.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn passing_key(self: &Arc<Self>, ids: &dyn IdSource) -> Result<PassingKey> {
        let mut random = [0u8; 38];
        ids.secret(&mut random)
            .map_err(|err| EngineError::new(Code::Unavailable, format!("no randomness for a key: {err}")))?;
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
        if !bool::from(given.ct_eq(&key.hash)) {
            return Err(KeyRefusal::Unknown);
        }
        self.granted(key)
    }
}

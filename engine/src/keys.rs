//! API keys: `ath_<id>_<secret>`. The secret is 256 random bits, so its plain SHA-256 is all that is kept of it; it is
//! shown once and never stored, logged or put into an error.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
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
    ids::Clock,
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
            // The same comparison as for a known key, so that the answer takes as long.
            let _ = bool::from(given.ct_eq(&[0u8; 32]));
            return Err(KeyRefusal::Unknown);
        };
        if !bool::from(given.ct_eq(&key.hash)) {
            return Err(KeyRefusal::Unknown);
        }
        let now = self.clock.now_millis();
        if key.info.revoked_at_millis.is_some() {
            return Err(KeyRefusal::Revoked);
        }
        if key.info.expires_at_millis.is_some_and(|at| at <= now) {
            return Err(KeyRefusal::Expired);
        }
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), now);
        Ok(Grant { key_id: id.to_owned(), scopes: key.info.scopes.clone() })
    }
}

//! API keys in a file, for an endpoint that has no database: one JSON object on each line, secrets as their SHA-256 alone.
//!
//! A key is `ath_<id>_<secret>`. Its secret is 256 random bits, so that nothing can be guessed from a plain SHA-256 of it;
//! a file with such lines is no secret, though nobody should be able to change it.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use athanor_protocol::{Code, Failure, registry::Scope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::{Grant, KeyRefusal, Keys};

/// How keys begin.
const PREFIX: &str = "ath_";
/// The version of a line that this program writes, and the newest that it reads.
const VERSION: u32 = 1;
/// Largest file of keys.
const MAX_BYTES: u64 = 4 << 20;
/// Most keys in a file.
const MAX_KEYS: usize = 10_000;
/// Longest public part of a key.
const MAX_ID_BYTES: usize = 64;

/// A key as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Format version; 1.
    pub version: u32,
    /// The public part.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret part, 64 lower-case hexadecimal digits.
    pub secret_sha256: String,
    /// When it ends by itself, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_millis: Option<i64>,
}

impl KeyRecord {
    /// A record of a key.
    pub fn new(id: String, name: String, scopes: Vec<Scope>, secret_sha256: [u8; 32]) -> Self {
        let secret_sha256 = secret_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { version: VERSION, id, name, scopes, secret_sha256, expires_at_millis: None }
    }
}

/// The keys of a file. [`FileKeys::refresh`] brings them up to date.
#[derive(Debug)]
pub struct FileKeys {
    /// None where there are no keys and never will be.
    path: Option<PathBuf>,
    /// What was read last, so that an unchanged file is not taken apart again.
    seen: RwLock<Vec<u8>>,
    known: RwLock<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    record: KeyRecord,
    hash: [u8; 32],
}

impl FileKeys {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// If it cannot be read, or a line is no record of a key; the line is named, never shown.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let bytes = read(path)?;
        let known = parse(path, &bytes)?;
        Ok(Self { path: Some(path.to_owned()), seen: RwLock::new(bytes), known: RwLock::new(known) })
    }

    /// No keys at all: every one is unknown.
    pub fn none() -> Self {
        Self { path: None, seen: RwLock::default(), known: RwLock::default() }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the file again where it has changed. Returns whether it has.
    ///
    /// # Errors
    /// As [`Self::open`]; the keys that were known stay.
    pub fn refresh(&self) -> Result<bool, Failure> {
        let Some(path) = &self.path else { return Ok(false) };
        let bytes = read(path)?;
        if *self.seen.read().unwrap_or_else(PoisonError::into_inner) == bytes {
            return Ok(false);
        }
        let known = parse(path, &bytes)?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = bytes;
        Ok(true)
    }

    fn check_at(&self, token: &str, now_millis: i64) -> Result<Grant, KeyRefusal> {
        let (id, secret) =
            token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(KeyRefusal::Unknown)?;
        let given: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(id);
        // The same comparison for an unknown key, so that the answer takes as long.
        let is_right = is_equal(&given, &found.map_or([0; 32], |known| known.hash));
        let record = match found {
            Some(known) if is_right => &known.record,
            _ => return Err(KeyRefusal::Unknown),
        };
        if record.expires_at_millis.is_some_and(|at| at <= now_millis) {
            return Err(KeyRefusal::Expired);
        }
        Ok(Grant { key_id: record.id.clone(), scopes: record.scopes.clone() })
    }
}

impl Keys for FileKeys {
    fn check(&self, token: &str) -> Result<Grant, KeyRefusal> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.check_at(token, i64::try_from(now).unwrap_or(i64::MAX))
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differences = a.iter().zip(b).fold(0_u8, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    std::hint::black_box(differences) == 0
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |err: std::io::Error| {
        Failure::new(Code::from_io(&err), format!("the file of keys cannot be read: {}: {err}", path.display()))
            .hint("write one with: athanor keys export -o FILE")
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(Code::TooLarge, format!("the file of keys is too large: {}", path.display())));
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<HashMap<String, Known>, Failure> {
    let mut known = HashMap::new();
    for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        // What stands there may be a secret that somebody put into the wrong file: it is not repeated.
        let refuse = |why: &str| {
            Failure::new(Code::BadData, format!("line {} of the file of keys {why}: {}", at + 1, path.display()))
                .hint("keys stand there hashed; write the file with: athanor keys export -o FILE")
        };
        let record: KeyRecord = serde_json::from_slice(line).map_err(|_| refuse("is no record of a key"))?;
        if record.version != VERSION {
            return Err(refuse(&format!("has version {}, this program reads version {VERSION}", record.version)));
        }
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if record.id.is_empty() || record.id.len() > MAX_ID_BYTES || !record.id.bytes().all(is_plain) {
            return Err(refuse("has no id of letters, digits and hyphens"));
        }
        let hash =
            hash_from_hex(&record.secret_sha256).ok_or_else(|| refuse("has no SHA-256 in hexadecimal digits"))?;
        if known.len() >= MAX_KEYS {
            return Err(refuse("is beyond the most keys that a file may hold"));
        }
        if known.insert(record.id.clone(), Known { record, hash }).is_some() {
            return Err(refuse("has the id of an earlier line"));
        }
    }
    Ok(known)
}

fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().map(|b| (b as char).to_digit(16).map(|n| n as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).filter_map(|pair| Some(pair.first()? * 16 + pair.get(1)?)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(id: &str, secret: &str) -> KeyRecord {
        KeyRecord::new(id.to_owned(), "test".to_owned(), vec![Scope::Predict], Sha256::digest(secret).into())
    }

    fn line(record: &KeyRecord) -> String {
        serde_json::to_string(record).unwrap() + "\n"
    }

    #[test]
    fn a_key_is_checked_against_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.jsonl");
        let ends = KeyRecord { expires_at_millis: Some(1_000), ..record("bb", "two") };
        std::fs::write(&path, format!("{}\n{}", line(&record("aa", "one")), line(&ends))).unwrap();
        let keys = FileKeys::open(&path).unwrap();
        assert_eq!(keys.len(), 2);
        let check = |token: &str| keys.check_at(token, 1_000).map(|grant| grant.key_id);
        assert_eq!(check("ath_aa_one"), Ok("aa".to_owned()));
        assert_eq!(check("ath_bb_two"), Err(KeyRefusal::Expired));
        assert_eq!(keys.check_at("ath_bb_two", 999).map(|grant| grant.key_id), Ok("bb".to_owned()));
        for wrong in ["ath_aa_two", "ath_bb_one", "ath_cc_one", "ath_aa", "aa_one", "", "ath__", "ath_aa_"] {
            assert_eq!(check(wrong), Err(KeyRefusal::Unknown), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_broken_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.jsonl");
        std::fs::write(&path, line(&record("aa", "one"))).unwrap();
        let keys = FileKeys::open(&path).unwrap();
        assert!(!keys.refresh().unwrap());
        std::fs::write(&path, line(&record("bb", "two"))).unwrap();
        assert!(keys.refresh().unwrap());
        assert!(keys.check("ath_aa_one").is_err() && keys.check("ath_bb_two").is_ok());
        std::fs::write(&path, "{").unwrap();
        assert!(keys.refresh().is_err());
        assert!(keys.check("ath_bb_two").is_ok(), "what was known stays");
    }

    #[test]
    fn what_is_no_record_is_named_and_not_repeated() {
        let path = Path::new("keys.jsonl");
        let good = record("aa", "one");
        let cases = [
            ("ath_aa_topsecret".to_owned(), "is no record"),
            ("{\"id\":\"topsecret\"}".to_owned(), "is no record"),
            (line(&KeyRecord { version: 2, ..good.clone() }), "has version 2"),
            (line(&KeyRecord { id: "a_b".to_owned(), ..good.clone() }), "no id"),
            (line(&KeyRecord { id: String::new(), ..good.clone() }), "no id"),
            (line(&KeyRecord { secret_sha256: "ath_aa_topsecret".to_owned(), ..good.clone() }), "no SHA-256"),
            (line(&KeyRecord { secret_sha256: "a".repeat(63), ..good.clone() }), "no SHA-256"),
            (line(&good) + &line(&good), "line 2"),
        ];
        for (text, expect) in cases {
            let message = parse(path, text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expect) && !message.contains("topsecret"), "{text}: {message}");
        }
    }
}

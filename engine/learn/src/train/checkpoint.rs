//! Checkpoints: everything that a run needs to go on as if it had never stopped, in one file.
//!
//! Layout: `ATHCKPT1`, length of the head (8 bytes, little endian), the head as JSON, safetensors up to the last
//! 32 bytes, BLAKE3 of everything before. Written beside, flushed to the disk, renamed; the last two are kept, so that
//! a torn or damaged newest one costs a little time and not the run.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    LearnError,
    network::{Slot, from_safetensors, to_safetensors},
};

const MAGIC: &[u8; 8] = b"ATHCKPT1";
const HASH_BYTES: usize = 32;
const KEPT: usize = 2;
/// A file above this is not one of ours (the largest network with its moments and best weights is smaller).
const MAX_BYTES: u64 = 20 << 30;

/// The state of training between two steps. Everything else is a pure function of this, the specification and the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// Steps done.
    pub(super) step: u64,
    /// Current values, one for each slot.
    pub(super) values: Vec<Vec<f32>>,
    /// The optimiser's moments: the first of each slot, then the second of each slot.
    pub(super) moments: Vec<Vec<f32>>,
    /// Early stopping.
    pub(super) best: Best<Vec<Vec<f32>>>,
}

/// Early stopping: the best validation loss so far and the weights that gave it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Best<T> {
    /// The loss; infinite before the first epoch ends.
    pub(super) loss: f64,
    /// Epochs since then.
    pub(super) epochs_since: u32,
    /// The weights.
    pub(super) values: Option<T>,
}

impl<T> Best<T> {
    pub(super) fn none() -> Self {
        Self { loss: f64::INFINITY, epochs_since: 0, values: None }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    digest: String,
    step: u64,
    n_moments: usize,
    /// The bits of the 64-bit float, so that infinity and the last digit survive JSON.
    best_loss_bits: u64,
    epochs_since_best: u32,
    has_best: bool,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LearnError {
    let file = path.display().to_string();
    move |source| LearnError::Io { action, file, source }
}

fn corrupt(message: impl Into<String>) -> LearnError {
    LearnError::Corrupt { part: "checkpoint".to_owned(), message: message.into() }
}

/// Writes a checkpoint and removes all but the last two.
///
/// # Errors
/// If the disk is full or the folder cannot be written. Older checkpoints are still there then.
pub(super) fn save(dir: &Path, digest: &str, state: &State, slots: &[Slot]) -> Result<(), LearnError> {
    let bytes = to_bytes(digest, state, slots)?;
    fs::create_dir_all(dir).map_err(io("cannot make folder", dir))?;
    let path = dir.join(format!("{:012}.ckpt", state.step));
    let beside = dir.join(format!("{:012}.ckpt.tmp", state.step));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, &path)?;
        sync_dir(dir)
    };
    if let Err(err) = write() {
        // What was half written only takes room; the error to report is the first one.
        let _ = fs::remove_file(&beside);
        return Err(io("cannot write checkpoint", &path)(err));
    }
    for old in list(dir)?.into_iter().skip(KEPT) {
        fs::remove_file(&old).map_err(io("cannot remove old checkpoint", &old))?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere a rename needs no flush of the folder.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The newest checkpoint of this very run that can be read, and notes on those that cannot.
///
/// # Errors
/// If the folder is there but cannot be listed.
pub(super) fn load(
    dir: &Path,
    digest: &str,
    slots: &[Slot],
    n_moments: usize,
) -> Result<(Option<State>, Vec<String>), LearnError> {
    let mut notes = Vec::new();
    if !dir.exists() {
        return Ok((None, notes));
    }
    for path in list(dir)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match read(&path).and_then(|bytes| from_bytes(&bytes, slots, n_moments)) {
            Ok((found, state)) if found == digest => return Ok((Some(state), notes)),
            Ok(_) => notes.push(format!("checkpoint {name} is of other settings or other data and is ignored")),
            Err(err) => notes.push(format!("checkpoint {name} cannot be used: {err}")),
        }
    }
    Ok((None, notes))
}

fn read(path: &Path) -> Result<Vec<u8>, LearnError> {
    let n_bytes = fs::metadata(path).map_err(io("cannot read", path))?.len();
    if n_bytes > MAX_BYTES {
        return Err(corrupt(format!("{n_bytes} bytes are too many")));
    }
    fs::read(path).map_err(io("cannot read", path))
}

/// Checkpoints in the folder, newest first.
fn list(dir: &Path) -> Result<Vec<PathBuf>, LearnError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(io("cannot list folder", dir))? {
        let path = entry.map_err(io("cannot list folder", dir))?.path();
        if path.extension().is_some_and(|ending| ending == "ckpt") {
            paths.push(path);
        }
    }
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

fn to_bytes(digest: &str, state: &State, slots: &[Slot]) -> Result<Vec<u8>, LearnError> {
    let n_moments = if slots.is_empty() { 0 } else { state.moments.len() / slots.len() };
    let mut tensors = BTreeMap::new();
    let mut add = |group: &str, values: &[Vec<f32>]| {
        for (slot, values) in slots.iter().zip(values) {
            tensors.insert(format!("{group}/{}", slot.name), (slot.shape.clone(), values.clone()));
        }
    };
    add("value", &state.values);
    for (at, moments) in state.moments.chunks(slots.len().max(1)).enumerate() {
        add(&format!("moment{at}"), moments);
    }
    if let Some(best) = &state.best.values {
        add("best", best);
    }
    let head = Head {
        digest: digest.to_owned(),
        step: state.step,
        n_moments,
        best_loss_bits: state.best.loss.to_bits(),
        epochs_since_best: state.best.epochs_since,
        has_best: state.best.values.is_some(),
    };
    let head =
        serde_json::to_vec(&head).map_err(|err| LearnError::Internal(format!("cannot write checkpoint: {err}")))?;
    let tensors = to_safetensors(&tensors)?;
    let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + head.len() + tensors.len() + HASH_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&tensors);
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    Ok(bytes)
}

fn from_bytes(bytes: &[u8], slots: &[Slot], n_moments: usize) -> Result<(String, State), LearnError> {
    let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(|| corrupt("it is too short"))?;
    if blake3::hash(body) != *hash {
        return Err(corrupt("its bytes are not what was written"));
    }
    let rest = body.strip_prefix(MAGIC).ok_or_else(|| corrupt("it is of another format"))?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| corrupt("it is too short"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (head, tensors) = rest.split_at_checked(length).ok_or_else(|| corrupt("its head is longer than the file"))?;
    let head: Head = serde_json::from_slice(head).map_err(|err| corrupt(err.to_string()))?;
    let mut tensors = from_safetensors(tensors, "checkpoint")?;
    let mut take = |group: &str| -> Option<Vec<Vec<f32>>> {
        let mut one =
            |slot: &Slot| tensors.remove(&format!("{group}/{}", slot.name)).filter(|(shape, _)| *shape == slot.shape);
        slots.iter().map(|slot| one(slot).map(|(_, values)| values)).collect()
    };
    // Tensors that do not fit belong to another network: that is for the digest to say, not an error.
    let other = || (String::new(), State { step: 0, values: vec![], moments: vec![], best: Best::none() });
    let Some(values) = take("value") else { return Ok(other()) };
    let mut moments = Vec::with_capacity(slots.len() * n_moments);
    if head.n_moments != n_moments {
        return Ok(other());
    }
    for at in 0..n_moments {
        let Some(group) = take(&format!("moment{at}")) else { return Ok(other()) };
        moments.extend(group);
    }
    let best = if head.has_best { take("best") } else { None };
    if best.is_some() != head.has_best {
        return Ok(other());
    }
    let loss = f64::from_bits(head.best_loss_bits);
    let best = Best { loss, epochs_since: head.epochs_since_best, values: best };
    Ok((head.digest, State { step: head.step, values, moments, best }))
}

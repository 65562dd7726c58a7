//! Opened tables, the last few of them, each for as long as its file stays the same.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use athanor_datasets::{DatasetError, DescribeOptions, Pager};
use athanor_protocol::{
    Failure,
    table::{DataSource, TableProfile},
};

/// Most tables that are kept open.
const MAX_OPEN: usize = 8;

/// What this desk remembers of tables.
#[derive(Default)]
pub(in crate::desk) struct DataState {
    /// The one used last comes first.
    open: Mutex<Vec<Arc<Opened>>>,
    list: Mutex<()>,
    uploads: Mutex<()>,
}

/// What tells two states of a file apart.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    source: DataSource,
    n_bytes: u64,
    modified: Option<SystemTime>,
}

/// An opened table.
pub(super) struct Opened {
    key: Key,
    pub(super) pager: Arc<Pager>,
    indexing: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    profile: Mutex<Option<TableProfile>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DataState {
    /// Held while the list of tables is read, changed and written.
    pub(super) fn list_turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.list)
    }

    /// Held while a piece of an upload is written.
    pub(super) fn upload_turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.uploads)
    }

    /// The table, opened unless it is open and its file the same.
    pub(super) fn find(&self, source: &DataSource) -> Result<Arc<Opened>, Failure> {
        Ok(self.opened(source)?)
    }

    fn opened(&self, source: &DataSource) -> Result<Arc<Opened>, DatasetError> {
        let key = Key::of(source);
        if let Some(key) = &key {
            let mut open = lock(&self.open);
            if let Some(at) = open.iter().position(|opened| opened.key == *key) {
                let opened = open.remove(at);
                open.insert(0, opened.clone());
                return Ok(opened);
            }
        }
        // Without the lock: a slow disk must not hold up other tables.
        let pager = Pager::new(athanor_datasets::open(source)?)?;
        let opened = Arc::new(Opened {
            key: key.unwrap_or_else(|| Key { source: source.clone(), n_bytes: 0, modified: None }),
            pager: Arc::new(pager),
            indexing: Arc::default(),
            stop: Arc::default(),
            profile: Mutex::default(),
        });
        let mut open = lock(&self.open);
        // An older state of the same file is of no more use.
        let mut dropped: Vec<Arc<Opened>> = open.extract_if(.., |other| other.key.source == *source).collect();
        open.insert(0, opened.clone());
        let kept = MAX_OPEN.min(open.len());
        dropped.extend(open.drain(kept..));
        drop(open);
        Ok(opened)
    }

    /// Works with a table; once more where its file has changed since it was opened.
    pub(super) fn with<T>(
        &self,
        source: &DataSource,
        mut work: impl FnMut(&Opened) -> Result<T, DatasetError>,
    ) -> Result<T, Failure> {
        let opened = self.opened(source)?;
        match work(&opened) {
            Err(DatasetError::Changed { .. }) => {
                lock(&self.open).retain(|other| !Arc::ptr_eq(other, &opened));
                Ok(work(&*self.opened(source)?)?)
            }
            result => Ok(result?),
        }
    }

    /// Number of tables that are open.
    #[cfg(test)]
    pub(super) fn n_open(&self) -> usize {
        lock(&self.open).len()
    }
}

impl Key {
    /// `None` where the file cannot be looked at; opening it says why.
    fn of(source: &DataSource) -> Option<Self> {
        let meta = std::fs::metadata(&source.path).ok()?;
        Some(Self { source: source.clone(), n_bytes: meta.len(), modified: meta.modified().ok() })
    }
}

impl Opened {
    /// The file's size when it was opened.
    pub(super) fn n_bytes(&self) -> u64 {
        self.key.n_bytes
    }

    /// Whether nothing goes through the table's rows yet.
    pub(super) fn is_fresh(&self) -> bool {
        !self.indexing.load(Ordering::Acquire)
    }

    /// Finds out where rows are and how many, on a thread of its own that ends with the file or when the table is closed.
    pub(super) fn index_behind(&self) {
        if self.pager.is_indexed() || self.indexing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pager, stop, indexing) = (self.pager.clone(), self.stop.clone(), self.indexing.clone());
        let work = move || {
            if let Err(err) = pager.index(&|| stop.load(Ordering::Acquire)) {
                // The next page meets the same trouble and says so to who asked.
                tracing::warn!(table = pager.dataset().name(), %err, "rows could not be counted");
                indexing.store(false, Ordering::Release);
            }
        };
        if let Err(err) = std::thread::Builder::new().name("table-index".to_owned()).spawn(work) {
            tracing::warn!(%err, "no thread to count rows");
            self.indexing.store(false, Ordering::Release);
        }
    }

    /// The table's profile, computed once for each state of its file.
    pub(super) fn profile(
        &self,
        options: &DescribeOptions,
        tell: &mut dyn FnMut(u64, u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<TableProfile, DatasetError> {
        let mut profile = lock(&self.profile);
        if let Some(profile) = &*profile {
            // Looks at the file: a profile of one that has vanished is refused like any other.
            self.pager.rows(0, 0, &[])?;
            return Ok(profile.clone());
        }
        let found = self.pager.dataset().describe_watched(options, tell, stop)?;
        *profile = Some(found.clone());
        Ok(found)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

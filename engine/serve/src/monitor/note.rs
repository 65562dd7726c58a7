//! What is known of a request on its way: its id, and the version that it reached. It lies beside the task that answers,
//! so that no function in between has to hand it on.

use std::sync::{Arc, Mutex, PoisonError};

use super::watch::Watch;

tokio::task_local! {
    static NOTE: Note;
}

/// A request's note. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Note(Arc<Inner>);

struct Inner {
    request_id: Arc<str>,
    watch: Mutex<Option<Arc<Watch>>>,
}

impl Note {
    pub(crate) fn new(request_id: &str) -> Self {
        Self(Arc::new(Inner { request_id: request_id.into(), watch: Mutex::default() }))
    }

    /// The version that the request reached: the last one, which answered where an earlier one could not.
    pub(super) fn watch(&self) -> Option<Arc<Watch>> {
        self.0.watch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model and version that the request reached.
    pub(crate) fn reached(&self) -> Option<(String, u32)> {
        self.watch().map(|watch| (watch.model.clone(), watch.version))
    }

    /// Notes that the request of this task reached a version, and tells its id; `None` outside of a request.
    pub(super) fn reaches(watch: &Arc<Watch>) -> Option<Arc<str>> {
        NOTE.try_with(|note| {
            *note.0.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(watch));
            Arc::clone(&note.0.request_id)
        })
        .ok()
    }
}

/// Answers a request with its note beside it.
pub(crate) async fn scope<F: Future>(note: Note, work: F) -> F::Output {
    NOTE.scope(note, work).await
}

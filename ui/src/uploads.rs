//! Files that a browser sends to the engine: their tokens, and which of them the user has stopped.

use std::{cell::RefCell, collections::BTreeSet};

/// Begins the tokens of progress events that tell of a file on its way.
const BEGIN: &str = "upload.";

thread_local! {
    // A transport sends on its own, beside the app's frames; this is the one word that goes back to it.
    static STOPPED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// The token under which a file's progress is told.
pub fn token(file: &str) -> String {
    format!("{BEGIN}{file}")
}

/// Whether progress under this token is that of a file.
pub fn is_upload(token: &str) -> bool {
    token.starts_with(BEGIN)
}

/// The user does not want it any more.
pub fn cancel(token: &str) {
    STOPPED.with_borrow_mut(|stopped| stopped.insert(token.to_owned()));
}

/// Whether the user stopped it; asked once, it is forgotten.
pub fn take_cancelled(token: &str) -> bool {
    STOPPED.with_borrow_mut(|stopped| stopped.remove(token))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_stop_is_told_once() {
        let token = super::token("abc");
        assert!(super::is_upload(&token) && !super::is_upload("profile.1"));
        assert!(!super::take_cancelled(&token));
        super::cancel(&token);
        assert!(super::take_cancelled(&token) && !super::take_cancelled(&token));
    }
}

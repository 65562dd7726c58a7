//! What the transports have in common, without a browser: envelopes, order, pieces of files, waiting before a new try.

use std::collections::BTreeMap;

use athanor_protocol::{
    Code, Failure,
    api::{DataUpload, EventEnvelope, Reply},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

/// Bytes of a file in one request. In base64 they are a third more.
pub const PIECE_BYTES: usize = 3 << 20;

/// What stands before the name of a file on the browser's own machine, where the engine is on another one.
pub const IN_BROWSER: &str = "this-browser:";

/// A path as people should read it.
pub fn shown_path(path: &str) -> &str {
    path.strip_prefix(IN_BROWSER).unwrap_or(path)
}

/// Longest wait before a new try, in seconds.
const MAX_WAIT_SECS: u32 = 8;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Reply),
    Err(Failure),
}

/// Reads an answer's envelope: `{"ok":…}` or `{"err":…}`.
///
/// # Errors
/// The failure that it holds, or `Internal` where it is no envelope.
pub fn answer(text: &str) -> Result<Reply, Failure> {
    match serde_json::from_str(text) {
        Ok(Answer::Ok(reply)) => Ok(reply),
        Ok(Answer::Err(failure)) => Err(failure),
        Err(error) => Err(Failure::new(Code::Internal, format!("the answer cannot be read: {error}"))
            .hint("the program and this page may be of different versions: load the page again")),
    }
}

/// Reads a list of events. What cannot be read (an event of a newer engine) is left out: the gap in the numbers tells.
pub fn events(text: &str) -> Vec<EventEnvelope> {
    let items: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect()
}

/// Seconds to wait before try number `attempt` (from 0): 1, 2, 4, 8, 8, …
pub fn wait_secs(attempt: u32) -> u32 {
    1_u32.checked_shl(attempt).map_or(MAX_WAIT_SECS, |secs| secs.min(MAX_WAIT_SECS))
}

/// Puts numbered things in order, whichever way they come.
#[derive(Debug)]
pub struct Reorder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }
}

impl<T> Reorder<T> {
    /// Takes number `index` and gives back all whose turn it is now. A number that was there already is dropped.
    pub fn put(&mut self, index: u64, item: T) -> Vec<T> {
        if index >= self.next {
            self.early.insert(index, item);
        }
        let mut ready = Vec::new();
        while let Some(item) = self.early.remove(&self.next) {
            ready.push(item);
            self.next += 1;
        }
        ready
    }
}

/// A piece of a file as a request.
pub fn piece(name: &str, token: &str, offset: u64, bytes: &[u8], last: bool) -> DataUpload {
    DataUpload { name: name.to_owned(), token: token.to_owned(), offset, base64: BASE64_STANDARD.encode(bytes), last }
}

/// Where the pieces of a file of that size begin and end; an empty file is one empty piece.
pub fn pieces(n_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let step = PIECE_BYTES as u64;
    (0..n_bytes.div_ceil(step).max(1)).map(move |at| (at * step, ((at + 1) * step).min(n_bytes)))
}

#[cfg(test)]
mod tests {
    use athanor_protocol::api::{Done, Event};

    use super::*;

    #[test]
    fn an_answer_is_what_its_envelope_says() {
        let done = answer(r#"{"ok":{"method":"data_remove","answer":{}}}"#).unwrap();
        assert_eq!(done, Reply::DataRemove(Box::new(Done {})));
        let text = serde_json::json!({ "err": Failure::new(Code::NotFound, "no table 'a'").on("a") }).to_string();
        assert_eq!(answer(&text).unwrap_err().code, Code::NotFound);
        for wrong in ["", "null", "{}", "<html>", r#"{"ok":{"method":"nonsense","answer":{}}}"#] {
            assert_eq!(answer(wrong).unwrap_err().code, Code::Internal, "{wrong}");
        }
    }

    #[test]
    fn an_event_that_nobody_knows_is_left_out() {
        let text = r#"[{"seq":1,"event":"keys_changed"},{"seq":2,"event":"of_the_future"},{"seq":3,"event":"lagged"}]"#;
        let events = events(text);
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(events[1].event, Event::Lagged {});
        assert!(super::events("nonsense").is_empty());
    }

    #[test]
    fn numbered_things_come_out_in_order_and_once() {
        let mut order = Reorder::default();
        assert!(order.put(1, 'b').is_empty());
        assert_eq!(order.put(0, 'a'), ['a', 'b']);
        assert!(order.put(0, 'x').is_empty(), "it was there already");
        assert!(order.put(4, 'e').is_empty());
        assert!(order.put(3, 'd').is_empty());
        assert_eq!(order.put(2, 'c'), ['c', 'd', 'e']);
    }

    #[test]
    fn waiting_doubles_up_to_eight_seconds() {
        let waits: Vec<u32> = [0, 1, 2, 3, 4, 31, 32, u32::MAX].into_iter().map(wait_secs).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8, 8, 8, 8]);
    }

    #[test]
    fn pieces_cover_a_file_exactly() {
        let step = PIECE_BYTES as u64;
        for (n_bytes, expect) in [
            (0, vec![(0, 0)]),
            (1, vec![(0, 1)]),
            (step, vec![(0, step)]),
            (step + 1, vec![(0, step), (step, step + 1)]),
        ] {
            assert_eq!(pieces(n_bytes).collect::<Vec<_>>(), expect, "{n_bytes}");
        }
        let piece = piece("a.csv", "t", 3, b"ab", true);
        assert_eq!((piece.base64.as_str(), piece.offset, piece.last), ("YWI=", 3, true));
    }
}

//! Between the page and the desk: requests and answers as JSON text, and the stream of events.
//!
//! The envelopes are those of HTTP: a request `{"method":…,"params":…}`, an answer `{"ok":…}` or `{"err":…}`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use athanor_engine::desk::{Desk, Subscription};
use athanor_protocol::{
    Code, Failure,
    api::{MAX_REQUEST_BYTES, Pick, Picked, Reply, Request},
};
use serde::Serialize;

/// How long the event thread sleeps at most before it looks whether it is still wanted.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What all commands share.
pub(crate) struct Bridge {
    pub(crate) desk: Arc<Desk>,
    /// Requests that are being answered.
    busy: AtomicUsize,
    /// Counts the pages that have asked for events: a page that is loaded again takes the stream over.
    page: AtomicU64,
    over: AtomicBool,
}

/// An answer in its envelope.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer<'a> {
    Ok(&'a Reply),
    Err(&'a Failure),
}

impl Bridge {
    pub(crate) fn new(desk: Arc<Desk>) -> Arc<Self> {
        Arc::new(Self { desk, busy: AtomicUsize::new(0), page: AtomicU64::new(0), over: AtomicBool::new(false) })
    }

    /// Answers a request; blocks for as long as the work takes. Dialogs are the caller's to show.
    pub(crate) fn answer(&self, request: &str, pick: impl FnOnce(&Pick) -> Result<Picked, Failure>) -> Vec<u8> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        let result = self.handle(request, pick);
        let bytes = encoded(&result);
        self.busy.fetch_sub(1, Ordering::AcqRel);
        bytes
    }

    fn handle(&self, request: &str, pick: impl FnOnce(&Pick) -> Result<Picked, Failure>) -> Result<Reply, Failure> {
        if request.len() > MAX_REQUEST_BYTES {
            let (size, limit) = (request.len(), MAX_REQUEST_BYTES);
            return Err(Failure::new(
                Code::TooLarge,
                format!("the request has {size} bytes; at most {limit} are taken"),
            ));
        }
        let request: Request = serde_json::from_str(request)
            .map_err(|error| Failure::new(Code::InvalidArgument, format!("the request cannot be read: {error}")))?;
        match request {
            Request::Pick(ask) => Ok(Reply::Pick(Box::new(pick(&ask)?))),
            request => self.desk.handle(request),
        }
    }

    /// Whether nothing is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.load(Ordering::Acquire) == 0
    }

    /// A new page wants events: its number. The stream of the page before ends.
    pub(crate) fn next_page(&self) -> u64 {
        self.page.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// No more events for anybody.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Whether the program ends.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Passes events on, as JSON lists of envelopes in order, until another page has taken over, `send` says that
    /// nobody is there, or the program ends.
    pub(crate) fn stream(&self, page: u64, events: &Subscription, mut send: impl FnMut(String) -> bool) {
        while self.page.load(Ordering::Acquire) == page && !self.is_over() {
            let batch = events.wait(LOOK_AGAIN);
            if batch.is_empty() {
                continue;
            }
            match serde_json::to_string(&batch) {
                Ok(text) => {
                    if !send(text) {
                        return;
                    }
                }
                Err(error) => tracing::error!(%error, "events cannot be written as JSON"),
            }
        }
    }
}

fn encoded(result: &Result<Reply, Failure>) -> Vec<u8> {
    let envelope = match result {
        Ok(reply) => Answer::Ok(reply),
        Err(failure) => Answer::Err(failure),
    };
    serde_json::to_vec(&envelope).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        br#"{"err":{"code":"internal","message":"the answer cannot be written as JSON"}}"#.to_vec()
    })
}

#[cfg(test)]
mod tests {
    use athanor_engine::desk::DeskOptions;
    use athanor_protocol::api::{Event, EventEnvelope, Host, PickKind};
    use serde_json::{Value, json};

    use super::*;

    fn bridge() -> (tempfile::TempDir, Arc<Bridge>) {
        let folder = tempfile::tempdir().unwrap();
        let options = DeskOptions {
            host: Host::Desktop,
            program: "athanor-desktop".into(),
            config_folder: folder.path().join("config"),
            default_folder: folder.path().join("workspaces"),
        };
        (folder, Bridge::new(Desk::new(options).unwrap()))
    }

    fn nobody(_: &Pick) -> Result<Picked, Failure> {
        panic!("no dialog was asked for")
    }

    fn asked(bridge: &Bridge, request: &str) -> Value {
        serde_json::from_slice(&bridge.answer(request, nobody)).unwrap()
    }

    #[test]
    fn a_request_is_answered_by_the_desk() {
        let (folder, bridge) = bridge();
        let answer = asked(&bridge, r#"{"method":"hello","params":{}}"#);
        assert_eq!(answer["ok"]["method"], "hello", "{answer}");
        let answer = &answer["ok"]["answer"];
        assert_eq!(answer["host"], "desktop");
        assert_eq!(answer["default_folder"], json!(folder.path().join("workspaces")));
        assert!(bridge.is_idle());
    }

    #[test]
    fn what_cannot_be_read_is_a_failure_and_the_next_request_is_answered() {
        let (_folder, bridge) = bridge();
        for wrong in ["", "null", "{}", r#"{"method":"nonsense","params":{}}"#, r#"{"method":"run_get","params":{}}"#] {
            let answer = asked(&bridge, wrong);
            assert_eq!(answer["err"]["code"], "invalid_argument", "{wrong}: {answer}");
        }
        let huge = " ".repeat(MAX_REQUEST_BYTES + 1);
        assert_eq!(asked(&bridge, &huge)["err"]["code"], "too_large");
        assert!(asked(&bridge, r#"{"method":"settings_get","params":{}}"#)["ok"].is_object());
    }

    #[test]
    fn dialogs_are_shown_here_and_not_by_the_desk() {
        let (_folder, bridge) = bridge();
        let ask = Pick {
            kind: PickKind::Open,
            title: "Tables".into(),
            filter_name: "Tables".into(),
            extensions: vec!["csv".into()],
            file_name: String::new(),
            multiple: true,
        };
        let request = serde_json::to_string(&Request::from(ask.clone())).unwrap();
        let bytes = bridge.answer(&request, |seen| {
            assert_eq!(*seen, ask);
            assert!(!bridge.is_idle(), "an open dialog is a request that is being answered");
            Ok(Picked { paths: vec!["/a.csv".into()] })
        });
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer, json!({ "ok": { "method": "pick", "answer": { "paths": ["/a.csv"] } } }));
        let refused = bridge.answer(&request, |_| Err(Failure::new(Code::Unavailable, "no screen")));
        let refused: Value = serde_json::from_slice(&refused).unwrap();
        assert_eq!(refused["err"]["message"], "no screen");
    }

    #[test]
    fn events_come_in_order_until_another_page_takes_over() {
        let (_folder, bridge) = bridge();
        let events = bridge.desk.subscribe();
        let page = bridge.next_page();
        for _ in 0..3 {
            bridge.desk.publish(Event::DataChanged {});
        }
        let mut seen: Vec<EventEnvelope> = Vec::new();
        bridge.stream(page, &events, |text| {
            seen.extend(serde_json::from_str::<Vec<EventEnvelope>>(&text).unwrap());
            bridge.next_page();
            true
        });
        assert_eq!(seen.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
        // The stream of the old page ends at once; so does one that nobody reads, and all in the end.
        bridge.stream(page, &events, |_| panic!("not for this page"));
        bridge.desk.publish(Event::KeysChanged {});
        bridge.stream(page + 1, &events, |_| false);
        bridge.end();
        bridge.stream(page + 1, &events, |_| panic!("the program ends"));
    }
}

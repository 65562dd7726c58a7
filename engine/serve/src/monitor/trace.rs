//! Traces: one span for each request, in the trace that the client's `traceparent` names (W3C Trace Context).
//!
//! Spans wait in a bounded list until whoever owns the endpoint takes them out and sends them on; nothing here knows where
//! to. Without anybody who takes them no span is made.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names the caller's span, and in the answer ours.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Most spans that wait; more are left out and counted.
const MAX_WAITING: usize = 8_192;

/// A request as a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace_id: [u8; 16],
    /// This span.
    pub span_id: [u8; 8],
    /// The caller's span.
    pub parent_id: Option<[u8; 8]>,
    /// What kind of address was asked, for example `predict`.
    pub route: &'static str,
    /// The HTTP method.
    pub method: String,
    /// The HTTP status.
    pub status: u16,
    /// The model and version, where the request reached one.
    pub model: Option<(String, u32)>,
    /// The request's id.
    pub request_id: String,
    /// When it began, nanoseconds since the Unix epoch.
    pub began_nanos: u64,
    /// When it was answered.
    pub ended_nanos: u64,
}

/// Spans that wait, and whether any are wanted.
pub(crate) struct Spans {
    is_on: AtomicBool,
    seed: u64,
    next: AtomicU64,
    waiting: Mutex<Vec<Span>>,
    pub(crate) n_dropped: AtomicU64,
}

/// Where a request stands in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent_id: Option<[u8; 8]>,
    began: SystemTime,
}

/// Reads `00-<32 hex>-<16 hex>-<2 hex>`: trace, span, and whether the caller records it. Later versions may hold more
/// behind that. `None` for anything else, zeros included.
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let is_hex = text.len() == 2 * N && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2).filter(|_| is_hex)?, 16).ok()?;
        }
        Some(bytes)
    }
    let mut parts = text.split('-');
    let [version] = hex::<1>(parts.next()?)?;
    let (trace, span) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
    let [flags] = hex::<1>(parts.next()?)?;
    let is_right = version != 0xff && (version != 0 || parts.next().is_none());
    (is_right && trace != [0; 16] && span != [0; 8]).then_some((trace, span, flags & 1 == 1))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Spans {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            is_on: AtomicBool::new(false),
            seed,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            n_dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn turn_on(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    fn random(&self) -> u64 {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        // Ids are no secrets, and never 0.
        mix(self.seed ^ mix(n.wrapping_add(0x9E37_79B9_7F4A_7C15))) | 1
    }

    /// Where a request stands; `None` where nobody wants spans, or the caller does not record its own.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Option<Place> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut all = headers.get_all(TRACEPARENT).iter();
        let caller = all.next().and_then(|value| parse(value.to_str().ok()?)).filter(|_| all.next().is_none());
        let span_id = self.random().to_be_bytes();
        let began = SystemTime::now();
        match caller {
            Some((_, _, false)) => None,
            Some((trace_id, parent, true)) => Some(Place { trace_id, span_id, parent_id: Some(parent), began }),
            None => {
                let mut trace_id = [0; 16];
                trace_id[..8].copy_from_slice(&self.random().to_be_bytes());
                trace_id[8..].copy_from_slice(&self.random().to_be_bytes());
                Some(Place { trace_id, span_id, parent_id: None, began })
            }
        }
    }

    /// Keeps a span until it is taken.
    pub(crate) fn end(&self, place: Place, took: Duration, span: impl FnOnce(Span) -> Span) {
        let began = place.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bare = Span {
            trace_id: place.trace_id,
            span_id: place.span_id,
            parent_id: place.parent_id,
            route: "other",
            method: String::new(),
            status: 0,
            model: None,
            request_id: String::new(),
            began_nanos: nanos(began),
            ended_nanos: nanos(began + took),
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push(span(bare));
        } else {
            self.n_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// Our span as the answer's header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        HeaderValue::from_str(&format!("00-{}-{}-01", hex(&self.trace_id), hex(&self.span_id))).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_str(text).unwrap())])
    }

    #[test]
    fn only_a_whole_traceparent_counts() {
        for (text, is_right) in [
            (CALLER, true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("", false),
        ] {
            assert_eq!(parse(text).is_some(), is_right, "{text:?}");
        }
    }

    #[test]
    fn spans_follow_the_caller_and_are_bounded() {
        let spans = Spans::new(7);
        assert_eq!(spans.begin(&headers(CALLER)), None, "nobody wants them");
        spans.turn_on();
        let place = spans.begin(&headers(CALLER)).unwrap();
        assert_eq!(place.parent_id, Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
        let answer = place.header().unwrap();
        assert!(answer.to_str().unwrap().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert_ne!(answer, CALLER);
        assert_eq!(spans.begin(&headers(&CALLER.replace("-01", "-00"))), None, "the caller does not record");
        let own = spans.begin(&HeaderMap::new()).unwrap();
        assert!(own.parent_id.is_none() && own.trace_id != place.trace_id && own.span_id != place.span_id);
        for _ in 0..MAX_WAITING + 3 {
            spans.end(own, Duration::from_millis(5), |span| Span { status: 200, ..span });
        }
        let taken = spans.take();
        assert_eq!((taken.len(), spans.n_dropped.load(Ordering::Relaxed)), (MAX_WAITING, 3));
        assert_eq!((taken[0].status, taken[0].ended_nanos - taken[0].began_nanos), (200, 5_000_000));
        assert!(spans.take().is_empty());
    }
}

//! Spans sent to a collector: OTLP over HTTP in JSON (opentelemetry.io/docs/specs/otlp), one batch after the other.

use std::{sync::Arc, time::Duration};

use athanor_protocol::{Code, Failure};
use athanor_serve::{Monitor, monitor::Span};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::webhook;

/// Between two batches.
const EVERY: Duration = Duration::from_secs(1);
/// Most spans of one batch.
const MAX_BATCH: usize = 512;
/// Pauses before the second and later tries of a batch.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A number: 64-bit integers are strings in this format.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn span(span: &Span) -> Value {
    let mut attributes = vec![
        text("http.request.method", &span.method),
        number("http.response.status_code", u64::from(span.status)),
        text("athanor.route", span.route),
        text("athanor.request_id", &span.request_id),
    ];
    if let Some((model, version)) = &span.model {
        attributes.push(text("athanor.model", model));
        attributes.push(number("athanor.model_version", u64::from(*version)));
    }
    let mut value = json!({
        "traceId": hex(&span.trace_id),
        "spanId": hex(&span.span_id),
        "name": format!("{} {}", span.method, span.route),
        // A server's span.
        "kind": 2,
        "startTimeUnixNano": span.began_nanos.to_string(),
        "endTimeUnixNano": span.ended_nanos.to_string(),
        "attributes": attributes,
        // Of a server's span only its own faults are errors.
        "status": if span.status >= 500 { json!({ "code": 2 }) } else { json!({}) },
    });
    if let Some(parent) = &span.parent_id {
        value["parentSpanId"] = json!(hex(parent));
    }
    value
}

/// A batch as it is sent.
pub fn body(spans: &[Span]) -> Value {
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "athanor"),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ] },
        "scopeSpans": [{
            "scope": { "name": "athanor-serve", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }] })
}

/// Where spans go: the address of a collector with its path, which is `/v1/traces` where none is given.
///
/// # Errors
/// If it is neither `https` nor `http` on this machine.
pub fn address(text: &str) -> Result<String, Failure> {
    let mut url = webhook::parse(text).map_err(|failure| {
        let hint = "for example http://127.0.0.1:4318 or https://collector.example/v1/traces";
        Failure { message: failure.message.replace("webhook", "collector"), ..failure }.hint(hint)
    })?;
    if matches!(url.path(), "" | "/") {
        url.set_path("/v1/traces");
    }
    Ok(url.to_string())
}

fn deliver(url: &str, spans: &[Span]) {
    let Ok(body) = serde_json::to_vec(&body(spans)) else { return };
    for pause in PAUSES.iter().map(Some).chain([None]) {
        // A collector in a private network is the usual case; what the user names at the start is theirs to choose.
        match webhook::post(url, true, body.clone(), &[]) {
            Ok(()) => return,
            Err(failure) => {
                tracing::debug!("spans could not be sent: {failure}");
                match pause {
                    Some(pause) if failure.code == Code::Unavailable => std::thread::sleep(*pause),
                    _ => break,
                }
            }
        }
    }
    tracing::warn!(n_spans = spans.len(), "spans are lost: the collector does not take them");
}

/// Sends what waits until `stop` turns true, and then what is left.
pub async fn export(monitor: Arc<Monitor>, url: String, mut stop: watch::Receiver<bool>) {
    monitor.trace();
    let mut is_last = false;
    while !is_last {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => is_last = true,
        }
        let (monitor, url) = (Arc::clone(&monitor), url.clone());
        let sent = tokio::task::spawn_blocking(move || {
            monitor.take_spans().chunks(MAX_BATCH).for_each(|batch| deliver(&url, batch));
        });
        if let Err(err) = sent.await {
            tracing::error!("sending spans broke down: {err}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_span_is_written_as_the_standard_says() {
        let one = Span {
            trace_id: [0x4b; 16],
            span_id: [1; 8],
            parent_id: Some([2; 8]),
            route: "predict",
            method: "POST".to_owned(),
            status: 503,
            model: Some(("wine".to_owned(), 3)),
            request_id: "a-1".to_owned(),
            began_nanos: 1_795_608_000_000_000_001,
            ended_nanos: 1_795_608_000_000_500_001,
        };
        let body = body(&[one]);
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "4b".repeat(16));
        assert_eq!((&span["spanId"], &span["parentSpanId"]), (&json!("01".repeat(8)), &json!("02".repeat(8))));
        assert_eq!((&span["kind"], &span["status"]["code"]), (&json!(2), &json!(2)));
        assert_eq!(span["startTimeUnixNano"], "1795608000000000001", "64-bit numbers are strings");
        assert!(span["attributes"].as_array().unwrap().contains(&text("athanor.model", "wine")));
    }

    #[test]
    fn collectors_are_addressed_safely() {
        assert_eq!(address("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(address("https://c.example/otlp").unwrap(), "https://c.example/otlp");
        for bad in ["http://c.example", "c.example", "https://u:p@c.example/", ""] {
            let failure = address(bad).unwrap_err();
            assert!(failure.message.contains("collector") && !failure.message.contains("webhook"), "{failure}");
        }
    }
}

//! Watching from outside: metrics, capture, truths, spans. Nothing of a client becomes a label.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use athanor_protocol::Failure;
use athanor_serve::monitor::{Captured, DriftGauge, Feedback, Sink, Truth};
use serde_json::json;

use crate::house::{House, get, house, numbers, post};

const PREDICT: &str = "/v1/models/numbers/predict";
const FEEDBACK: &str = "/v1/models/numbers/feedback";

/// Keeps in memory what it is given.
#[derive(Default)]
struct Kept {
    captured: Mutex<Vec<Captured>>,
    feedback: Mutex<Vec<Feedback>>,
    is_full: bool,
}

impl Sink for Kept {
    fn capture(&self, captured: Captured) -> bool {
        self.captured.lock().unwrap().push(captured);
        !self.is_full
    }

    fn feedback(&self, model: &str, feedback: Vec<Feedback>) -> Result<(), Failure> {
        assert_eq!(model, "numbers");
        self.feedback.lock().unwrap().extend(feedback);
        Ok(())
    }
}

fn captured(share: f64) -> (House, Arc<Kept>) {
    let (house, kept) = (house(vec![numbers(1), numbers(2)]), Arc::new(Kept::default()));
    house.state.monitor().set_sink(Arc::clone(&kept) as Arc<dyn Sink>);
    house.state.monitor().set_captures(HashMap::from([("numbers".to_owned(), share)]));
    (house, kept)
}

fn row(a: &str) -> String {
    format!(r#"{{"row":{{"a":{a},"b":0,"c":false}}}}"#)
}

fn metrics(house: &House) -> String {
    house.call(get("/metrics")).text()
}

/// The value of a line that begins so.
#[track_caller]
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{line} is not there:\n{text}")).parse().unwrap()
}

#[test]
fn requests_are_counted_by_version_and_strange_ones_by_none() {
    let house = house(vec![numbers(1), numbers(2)]);
    assert_eq!(house.call(post(PREDICT, row("0.25"))).status, 200);
    assert_eq!(house.call(post("/v2/models/numbers/versions/2/infer", "{}")).status, 400);
    assert_eq!(house.call(post("/v1/models/numbers/predict", row("\"x\""))).status, 400);
    assert_eq!(house.call(get("/v1/models/evil\"name")).status, 404);
    assert_eq!(house.call(get("/nothing/here").without("authorization")).status, 401);
    let text = metrics(&house);
    let ok = r#"athanor_requests_total{model="numbers",version="1",route="predict",code="200"}"#;
    assert_eq!(value(&text, ok), 1.0);
    let infer = r#"athanor_requests_total{model="numbers",version="2",route="infer",code="400"}"#;
    assert_eq!(value(&text, infer), 1.0);
    assert_eq!(value(&text, r#"athanor_requests_total{model="",version="",route="metadata",code="404"}"#), 1.0);
    assert_eq!(value(&text, r#"athanor_requests_total{model="",version="",route="other",code="401"}"#), 1.0);
    let failed = r#"athanor_request_failures_total{model="numbers",version="1",reason="invalid_argument"}"#;
    assert_eq!(value(&text, failed), 1.0);
    assert_eq!(value(&text, r#"athanor_rows_total{model="numbers",version="1"}"#), 1.0);
    let last = r#"athanor_request_duration_seconds_bucket{model="numbers",version="1",route="predict",le="+Inf"}"#;
    assert_eq!(value(&text, last), 2.0);
    assert_eq!(value(&text, "athanor_requests_in_flight"), 1.0, "the request for the metrics itself");
    assert!(!text.contains("evil") && !text.contains("nothing"), "{text}");
}

#[test]
fn the_format_follows_the_accept_header_and_metrics_need_a_key() {
    let house = house(vec![numbers(1)]);
    house.refuses(get("/metrics").without("authorization"), 401, "a key is needed");
    let plain = house.call(get("/metrics"));
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(plain.text().contains("# TYPE athanor_requests_total counter\n") && !plain.text().contains("# EOF"));
    let open = house.call(get("/metrics").with("accept", "application/openmetrics-text;version=1.0.0"));
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().contains("# TYPE athanor_requests counter\n") && open.text().ends_with("# EOF\n"));
}

#[test]
fn drift_is_shown_as_it_was_given() {
    let house = house(vec![numbers(1)]);
    let gauge = |statistic, value| DriftGauge {
        model: "numbers".to_owned(),
        version: 1,
        column: "a \"b\"\\\n".to_owned(),
        is_prediction: false,
        statistic,
        value,
        drifted: true,
    };
    let monitor = house.state.monitor();
    monitor.set_drift("numbers", 1, vec![gauge("psi", 7.0)]);
    monitor.set_drift("numbers", 1, vec![gauge("psi", 0.25), gauge("jensen_shannon", 0.5)]);
    let text = metrics(&house);
    let labels = r#"model="numbers",version="1",role="input",column="a \"b\"\\\n""#;
    assert_eq!(value(&text, &format!(r#"athanor_drift{{{labels},statistic="psi"}}"#)), 0.25);
    assert_eq!(value(&text, &format!(r#"athanor_drift{{{labels},statistic="jensen_shannon"}}"#)), 0.5);
    assert_eq!(value(&text, &format!("athanor_drift_detected{{{labels}}}")), 1.0);
    assert_eq!(text.matches("athanor_drift_detected{").count(), 1);
}

#[test]
fn a_period_holds_what_was_answered_and_refused() {
    let house = house(vec![numbers(1)]);
    assert_eq!(house.state.monitor().take("numbers", 1), None, "nobody asked yet");
    for n in 0..40 {
        assert_eq!(house.call(post(PREDICT, row(&format!("0.{n}")))).status, 200);
    }
    assert_eq!(house.call(post(PREDICT, row("null"))).status, 200);
    assert_eq!(house.call(post(PREDICT, row("\"x\""))).status, 400);
    assert_eq!(house.call(post(PREDICT, r#"{"rows":[]}"#)).status, 200);
    assert_eq!(house.state.monitor().waiting(), [("numbers".to_owned(), 1, 41)]);
    let period = house.state.monitor().take("numbers", 1).unwrap();
    assert_eq!((period.n_rows, period.inputs.n_rows(), period.predictions.n_rows()), (41, 41, 41));
    let a = &period.quality[0];
    assert_eq!((a.column.as_str(), a.n_missing, a.n_refused), ("a", 1, 1));
    let yes = &period.predictions.column("probabilities.yes").unwrap().data;
    assert_eq!(yes.number(1), 0.1, "rows are in the order of their answers");
    assert_eq!(house.state.monitor().take("numbers", 1).unwrap().n_rows, 0);
    let text = metrics(&house);
    let missing = r#"athanor_column_violations_total{model="numbers",version="1",column="a",kind="missing"}"#;
    assert_eq!(value(&text, missing), 1.0, "counted once its period is over");
}

#[test]
fn captured_requests_have_the_id_that_the_client_got() {
    let (house, kept) = captured(1.0);
    let answer = house.call(post(PREDICT, row("0.75")).with("x-request-id", "mine-1"));
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let other = house.call(post(PREDICT, row("0.5")));
    let all = kept.captured.lock().unwrap().clone();
    let ids: Vec<&str> = all.iter().map(|captured| &*captured.request_id).collect();
    assert_eq!(ids, ["mine-1", other.header("x-request-id")]);
    assert_eq!((all[0].version, all[0].answered.frame.n_rows()), (1, 1));
    house.state.monitor().set_captures(HashMap::new());
    house.call(post(PREDICT, row("0.5")));
    assert_eq!(kept.captured.lock().unwrap().len(), 2, "turned off");
}

#[test]
fn a_sink_without_room_costs_nobody_an_answer() {
    let house = house(vec![numbers(1)]);
    let kept = Arc::new(Kept { is_full: true, ..Kept::default() });
    house.state.monitor().set_sink(kept);
    house.state.monitor().set_captures(HashMap::from([("numbers".to_owned(), 1.0)]));
    assert_eq!(house.call(post(PREDICT, row("0.5"))).status, 200);
    let line = r#"athanor_captured_requests_total{model="numbers",version="1",result="dropped"}"#;
    assert_eq!(value(&metrics(&house), line), 1.0);
}

#[test]
fn truths_are_taken_where_requests_are_captured() {
    let (house, kept) = captured(0.5);
    let answer = house.call(post(FEEDBACK, r#"{"id":"a-1","truth":"yes"}"#));
    assert_eq!((answer.status, answer.json()), (202, json!({ "accepted": 1 })));
    let expect = Feedback { request_id: "a-1".to_owned(), row: 0, truth: Truth::Class("yes".to_owned()) };
    assert_eq!(*kept.feedback.lock().unwrap(), [expect]);
    house.refuses(post(FEEDBACK, r#"{"id":"a-1","truth":"yess"}"#), 400, "truth 1: \"yess\" is none of");
    house.refuses(post(FEEDBACK, r#"{"id":"a b","truth":"yes"}"#), 400, "truth 1: \"a b\" is no request id");
    house.refuses(post(FEEDBACK, "{"), 400, "the body is no such JSON");
    house.refuses(post(FEEDBACK, "[".repeat(200)), 400, "the JSON is nested deeper");
    house.refuses(post(FEEDBACK, "{}").set("content-type", "text/csv"), 415, "bodies of this type");
    house.refuses(post("/v1/models/nobody/feedback", "{}"), 404, "no model of that name");
    house.refuses(get(FEEDBACK), 405, "this address does not take that method");
    house.state.monitor().set_captures(HashMap::new());
    house.refuses(post(FEEDBACK, r#"{"id":"a-1","truth":"yes"}"#), 409, "requests of this model are not captured");
}

#[test]
fn spans_follow_their_callers_and_hold_no_values() {
    let house = house(vec![numbers(1)]);
    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(house.call(post(PREDICT, row("0.5")).with("traceparent", caller)).header("traceparent"), "");
    house.state.monitor().trace();
    let answer = house.call(post(PREDICT, row("0.123")).with("traceparent", caller));
    assert!(answer.header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    house.call(post(PREDICT, row("0.5")).with("traceparent", caller.replace("-01", "-00")));
    house.call(get("/v2/health/live").without("authorization"));
    let spans = house.state.monitor().take_spans();
    let [one, probe] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((one.route, one.status, one.model.clone()), ("predict", 200, Some(("numbers".to_owned(), 1))));
    assert_eq!(one.parent_id, Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
    assert_eq!((probe.route, probe.parent_id, probe.model.clone()), ("health", None, None));
    assert!(!format!("{spans:?}").contains("0.123") && one.ended_nanos >= one.began_nanos);
}

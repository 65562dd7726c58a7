//! The text of `GET /metrics`: Prometheus' text format 0.0.4, or OpenMetrics 1.0 where the client asks for it.

use std::{
    fmt::{Display, Write},
    sync::atomic::Ordering::Relaxed,
};

use super::{
    DriftGauge, Monitor, process,
    series::{BOUNDS, Route, STATUSES, Series},
};

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// By the `Accept` header: OpenMetrics only where it is named.
    pub(crate) fn of(accept: &str) -> Self {
        let names_it = |part: &str| {
            let kind = part.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/openmetrics-text")
        };
        if accept.split(',').any(names_it) { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Escapes a label's value as both formats ask: backslash, quote and line feed.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text
}

type Labels<'a> = [(&'a str, &'a str)];

/// Writes families one after the other.
pub(crate) struct Page {
    format: Format,
    text: String,
    name: &'static str,
}

impl Page {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, text: String::new(), name: "" }
    }

    /// Begins a family. A counter is named without its `_total`.
    pub(crate) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let total = if kind == "counter" && self.format == Format::Text { "_total" } else { "" };
        // Writing into a string never fails.
        let _ = write!(self.text, "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}\n");
    }

    /// Writes a value of the family.
    pub(crate) fn value(&mut self, suffix: &str, labels: &Labels<'_>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{name}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A version's labels with its counters; both are empty where a request reached no model.
struct Line<'a> {
    model: &'a str,
    version: String,
    series: &'a Series,
}

/// Everything that is counted, as text.
pub(crate) fn expose(monitor: &Monitor, format: Format) -> String {
    let mut page = Page::new(format);
    let watches = monitor.watches();
    let mut lines = vec![Line { model: "", version: String::new(), series: &monitor.unnamed }];
    lines.extend(watches.iter().map(|watch| Line {
        model: &watch.model,
        version: watch.version.to_string(),
        series: &watch.series,
    }));
    page.family("athanor_build_info", "gauge", "The running program.");
    page.value("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("athanor_models_served", "gauge", "Versions that are served or were in this process.");
    page.value("", &[], watches.len());
    requests(&mut page, &lines);
    models(&mut page, monitor, &lines);
    columns(&mut page, &lines);
    drift(&mut page, monitor);
    process::expose(&mut page);
    page.finish()
}

fn requests(page: &mut Page, lines: &[Line<'_>]) {
    page.family("athanor_requests", "counter", "Requests that were answered, by the HTTP status.");
    each_route(lines, |labels, _, series| {
        for (status, count) in STATUSES.iter().zip(&series.statuses) {
            let (code, count) = (status.to_string(), count.load(Relaxed));
            if count > 0 {
                let code = if *status == 0 { "other" } else { code.as_str() };
                let [model, version, route] = *labels;
                page.value("_total", &[model, version, route, ("code", code)], count);
            }
        }
    });
    page.family("athanor_request_duration_seconds", "histogram", "From a request's first byte to its answer.");
    each_route(lines, |labels, n, series| {
        if n == 0 {
            return;
        }
        let [model, version, route] = *labels;
        let mut sum = 0;
        for (at, bucket) in series.buckets.iter().enumerate() {
            sum += bucket.load(Relaxed);
            let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
            page.value("_bucket", &[model, version, route, ("le", &bound)], sum);
        }
        page.value("_sum", labels, series.nanos.load(Relaxed) as f64 / 1e9);
        page.value("_count", labels, sum);
    });
}

fn each_route(lines: &[Line<'_>], mut work: impl FnMut(&[(&str, &str); 3], u64, &super::series::RouteSeries)) {
    for line in lines {
        for (route, series) in Route::ALL.iter().zip(&line.series.routes) {
            let labels = [("model", line.model), ("version", line.version.as_str()), ("route", route.as_str())];
            let n = series.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum();
            work(&labels, n, series);
        }
    }
}

fn models(page: &mut Page, monitor: &Monitor, lines: &[Line<'_>]) {
    page.family("athanor_requests_in_flight", "gauge", "Requests that are being worked on.");
    page.value("", &[], monitor.in_flight.load(Relaxed));
    page.family("athanor_requests_shed", "counter", "Requests that were refused because there were too many.");
    page.value("_total", &[], monitor.n_shed.load(Relaxed));
    page.family("athanor_spans_dropped", "counter", "Spans that were left out because too many waited.");
    page.value("_total", &[], monitor.spans.n_dropped.load(Relaxed));
    page.family(
        "athanor_request_failures",
        "counter",
        "Requests that a version did not answer with success, by the reason.",
    );
    for line in lines {
        for (code, count) in line.series.failures() {
            let reason = reason(code);
            page.value("_total", &[("model", line.model), ("version", &line.version), ("reason", &reason)], count);
        }
    }
    let named = || lines.iter().filter(|line| !line.model.is_empty());
    page.family("athanor_rows", "counter", "Rows that were predicted.");
    for line in named() {
        let labels = [("model", line.model), ("version", line.version.as_str())];
        page.value("_total", &labels, line.series.n_rows.load(Relaxed));
    }
    page.family("athanor_captured_requests", "counter", "Requests whose rows were handed over to be kept.");
    for line in named() {
        let labels = [("model", line.model), ("version", line.version.as_str())];
        let (kept, lost) = (line.series.n_captured.load(Relaxed), line.series.n_not_captured.load(Relaxed));
        page.value("_total", &[labels[0], labels[1], ("result", "kept")], kept);
        page.value("_total", &[labels[0], labels[1], ("result", "dropped")], lost);
    }
    page.family("athanor_model_load_seconds", "gauge", "How long the version took to load.");
    for (model, version, secs) in monitor.load_times() {
        page.value("", &[("model", &model), ("version", &version.to_string())], secs);
    }
}

/// A code as JSON spells it.
fn reason(code: athanor_protocol::Code) -> String {
    serde_json::to_value(code).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn columns(page: &mut Page, lines: &[Line<'_>]) {
    page.family(
        "athanor_column_violations",
        "counter",
        "Values that training never saw, missing ones, and requests refused for a column; periods that are over.",
    );
    for line in lines {
        for counts in line.series.columns() {
            let kinds = [
                ("missing", counts.n_missing),
                ("new_category", counts.n_new_categories),
                ("out_of_range", counts.n_out_of_range),
                ("refused", counts.n_refused),
            ];
            for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
                let labels = [
                    ("model", line.model),
                    ("version", line.version.as_str()),
                    ("column", counts.column.as_str()),
                    ("kind", kind),
                ];
                page.value("_total", &labels, count);
            }
        }
    }
}

fn drift(page: &mut Page, monitor: &Monitor) {
    let gauges = monitor.drift_gauges();
    let role = |gauge: &DriftGauge| if gauge.is_prediction { "prediction" } else { "input" };
    page.family("athanor_drift", "gauge", "Comparison of recent values with those of training, by the statistic.");
    for gauge in &gauges {
        let version = gauge.version.to_string();
        let labels = [
            ("model", gauge.model.as_str()),
            ("version", version.as_str()),
            ("role", role(gauge)),
            ("column", gauge.column.as_str()),
            ("statistic", gauge.statistic),
        ];
        page.value("", &labels, gauge.value);
    }
    page.family("athanor_drift_detected", "gauge", "Whether a column drifted in the last period that was judged.");
    let mut last = None;
    for gauge in &gauges {
        let column = (gauge.model.as_str(), gauge.version, role(gauge), gauge.column.as_str());
        if last.replace(column) != Some(column) {
            let version = gauge.version.to_string();
            let labels = [("model", column.0), ("version", version.as_str()), ("role", column.2), ("column", column.3)];
            page.value("", &labels, u8::from(gauge.drifted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_format_and_labels_are_escaped() {
        let page = |format| {
            let mut page = Page::new(format);
            page.family("a", "counter", "Help.");
            page.value("_total", &[("x", "q\"b\\n\n")], 3);
            page.value("_total", &[], 0.5);
            page.finish()
        };
        let text = "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"q\\\"b\\\\n\\n\"} 3\na_total 0.5\n";
        assert_eq!(page(Format::Text), text);
        let open = "# HELP a Help.\n# TYPE a counter\na_total{x=\"q\\\"b\\\\n\\n\"} 3\na_total 0.5\n# EOF\n";
        assert_eq!(page(Format::OpenMetrics), open);
    }

    #[test]
    fn openmetrics_is_given_only_to_those_who_name_it() {
        for (accept, expect) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4;q=0.5", Format::Text),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", Format::OpenMetrics),
            ("text/html, Application/OpenMetrics-Text", Format::OpenMetrics),
        ] {
            assert_eq!(Format::of(accept), expect, "{accept}");
        }
    }
}

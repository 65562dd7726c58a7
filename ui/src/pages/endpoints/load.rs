//! Requests, latency and errors over the last minutes.

use athanor_protocol::api::{EndpointLoad, EndpointSeries};
use egui::Ui;

use crate::{
    desk::{Desk, Remote},
    format,
    theme::{Theme, size},
    widgets::{self, LiveLine, LivePlot},
};

/// How much time the plots show, in seconds.
const SPAN: f64 = 300.0;
/// What "now" is made of, in seconds.
const NOW: i64 = 10;

/// The load as it is drawn: made once for each answer.
#[derive(Default)]
struct Drawn {
    requests: Vec<[f64; 2]>,
    p50: Vec<[f64; 2]>,
    p99: Vec<[f64; 2]>,
    refused: Vec<[f64; 2]>,
    failed: Vec<[f64; 2]>,
    per_second: f64,
    now_p50: Option<u64>,
    now_p99: Option<u64>,
}

/// The load, asked for once a second while it is looked at.
#[derive(Default)]
pub(super) struct Load {
    remote: Remote<EndpointLoad>,
    asked_at: f64,
    drawn: Drawn,
}

pub(super) fn latency(micros: f64) -> String {
    if micros >= 1_000_000.0 {
        format!("{} s", format::number(micros / 1_000_000.0))
    } else if micros >= 1000.0 {
        format!("{} ms", format::number((micros / 100.0).round() / 10.0))
    } else {
        format!("{micros:.0} µs")
    }
}

fn rate(value: f64) -> String {
    format::number((value * 10.0).round() / 10.0)
}

impl Drawn {
    fn new(series: &EndpointSeries, now_millis: i64) -> Self {
        let now = now_millis.div_euclid(1000);
        let mut drawn = Self::default();
        let mut before: Option<i64> = None;
        for second in &series.seconds {
            let at = second.at_secs as f64;
            // Seconds without requests are left out of the answer: the rate was zero there, latency was nothing.
            if let Some(before) = before.filter(|before| second.at_secs - before > 1) {
                for edge in [before + 1, second.at_secs - 1] {
                    let at = edge as f64;
                    drawn.requests.push([at, 0.0]);
                    drawn.refused.push([at, 0.0]);
                    drawn.failed.push([at, 0.0]);
                }
                if second.at_secs - before > NOW {
                    drawn.p50.push([at - 1.0, f64::NAN]);
                    drawn.p99.push([at - 1.0, f64::NAN]);
                }
            }
            drawn.requests.push([at, f64::from(second.n_requests)]);
            drawn.refused.push([at, f64::from(second.n_refused)]);
            drawn.failed.push([at, f64::from(second.n_failed)]);
            if second.n_requests > 0 {
                drawn.p50.push([at, second.p50_micros as f64]);
                drawn.p99.push([at, second.p99_micros as f64]);
            }
            before = Some(second.at_secs);
        }
        if let Some(before) = before.filter(|before| now - before > 2) {
            for at in [before + 1, now] {
                drawn.requests.push([at as f64, 0.0]);
                drawn.refused.push([at as f64, 0.0]);
                drawn.failed.push([at as f64, 0.0]);
            }
        }
        let recent: Vec<_> = series.seconds.iter().filter(|second| now - second.at_secs < NOW).collect();
        drawn.per_second = recent.iter().map(|second| f64::from(second.n_requests)).sum::<f64>() / NOW as f64;
        drawn.now_p50 = recent.iter().rev().find(|second| second.n_requests > 0).map(|second| second.p50_micros);
        drawn.now_p99 = recent.iter().filter(|second| second.n_requests > 0).map(|second| second.p99_micros).max();
        drawn
    }
}

impl Load {
    /// Forgets what another endpoint did.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Asks once a second; call it only while the page is seen and the endpoint runs.
    pub(super) fn keep(&mut self, ui: &Ui, desk: &mut Desk) {
        if self.remote.poll(desk)
            && let Some(series) = self.remote.value()
        {
            self.drawn = Drawn::new(series, desk.now_millis());
        }
        let due = desk.now_secs() - self.asked_at >= 1.0 || self.remote.value().is_none();
        if due && !self.remote.busy() && self.remote.error().is_none() {
            self.asked_at = desk.now_secs();
            self.remote.ask(desk, EndpointLoad {});
        }
        ui.ctx().request_repaint_after_secs(1.0);
    }

    pub(super) fn ui(&mut self, ui: &mut Ui, desk: &Desk) {
        if let Some(failure) = self.remote.error() {
            if widgets::failure(ui, failure) {
                self.remote.invalidate();
            }
            return;
        }
        let Some(series) = self.remote.value() else {
            if self.remote.slow(desk) {
                widgets::loading(ui, "Loading the last minutes");
            }
            return;
        };
        figures(ui, series, &self.drawn);
        ui.add_space(size::SMALL_GAP);
        let now = desk.now_millis() as f64 / 1000.0;
        if ui.available_width() > 680.0 {
            widgets::columns(ui, 3, |ui, at| plot(ui, at, now, &self.drawn));
        } else {
            (0..3).for_each(|at| plot(ui, at, now, &self.drawn));
        }
    }
}

fn figures(ui: &mut Ui, series: &EndpointSeries, drawn: &Drawn) {
    let told = |micros: Option<u64>| micros.map_or_else(|| "–".to_owned(), |micros| latency(micros as f64));
    let n_errors = series.n_refused + series.n_failed;
    let share = if series.n_requests > 0 { n_errors as f64 / series.n_requests as f64 * 100.0 } else { 0.0 };
    let errors = format!("{} refused, {} failed", format::count(series.n_refused), format::count(series.n_failed));
    let all = format!("{} since it started", format::count(series.n_requests));
    let shown = [
        ("Requests a second", rate(drawn.per_second), all),
        ("Median latency", told(drawn.now_p50), "half are faster".to_owned()),
        ("99th percentile", told(drawn.now_p99), "99 of 100 are faster".to_owned()),
        ("Errors", format!("{} %", format::number((share * 100.0).round() / 100.0)), errors),
    ];
    let n_columns = if ui.available_width() > 520.0 { 4 } else { 2 };
    for row in shown.chunks(n_columns) {
        widgets::columns(ui, n_columns, |ui, at| {
            if let Some((name, value, remark)) = row.get(at) {
                widgets::figure(ui, name, value, remark);
            }
        });
    }
}

fn plot(ui: &mut Ui, at: usize, now: f64, drawn: &Drawn) {
    let theme = Theme::of(ui);
    let line = |name, color, points| LiveLine { name, color, points, filled: false };
    let (name, least_top, write, lines): (_, _, fn(f64) -> String, Vec<LiveLine<'_>>) = match at {
        0 => {
            let requests = LiveLine { name: "requests", color: theme.series(1), points: &drawn.requests, filled: true };
            ("Requests a second", 5.0, rate, vec![requests])
        }
        1 => {
            let lines =
                vec![line("99th", theme.series(4), &drawn.p99[..]), line("median", theme.series(2), &drawn.p50[..])];
            ("Latency", 1000.0, latency, lines)
        }
        _ => {
            let lines =
                vec![line("refused", theme.warn, &drawn.refused[..]), line("failed", theme.bad, &drawn.failed[..])];
            ("Errors a second", 2.0, rate, lines)
        }
    };
    ui.spacing_mut().item_spacing.y = 2.0;
    widgets::tight(ui, |ui| {
        widgets::label(ui, name);
        if lines.len() > 1 {
            for line in &lines {
                ui.spacing_mut().item_spacing.x = 3.0;
                ui.add_space(4.0);
                widgets::dot(ui, line.color);
                widgets::label(ui, line.name);
            }
        }
    });
    let plot = LivePlot { name, height: 120.0, now, span: SPAN, top: None, least_top, write };
    widgets::live_plot(ui, &plot, &lines);
}

#[cfg(test)]
mod tests {
    use athanor_protocol::api::EndpointSecond;

    use super::*;

    #[test]
    fn latencies_have_the_unit_that_people_read() {
        for (micros, expect) in [(0.0, "0 µs"), (820.0, "820 µs"), (1_240.0, "1.2 ms"), (2_500_000.0, "2.5 s")] {
            assert_eq!(latency(micros), expect);
        }
    }

    #[test]
    fn silence_is_a_rate_of_zero_and_no_latency() {
        let second = |at_secs, n_requests| EndpointSecond {
            at_secs,
            n_requests,
            n_refused: 0,
            n_failed: 0,
            p50_micros: 500,
            p99_micros: 900,
        };
        let series = EndpointSeries {
            seconds: vec![second(100, 4), second(101, 2), second(130, 6)],
            ..EndpointSeries::default()
        };
        let drawn = Drawn::new(&series, 131_000);
        assert_eq!(drawn.requests, [[100.0, 4.0], [101.0, 2.0], [102.0, 0.0], [129.0, 0.0], [130.0, 6.0]]);
        assert!(drawn.p50.iter().any(|[_, value]| value.is_nan()));
        assert_eq!((drawn.per_second, drawn.now_p50, drawn.now_p99), (0.6, Some(500), Some(900)));
        let later = Drawn::new(&series, 200_000);
        assert_eq!((later.per_second, later.now_p50), (0.0, None));
        assert_eq!(later.requests.last(), Some(&[200.0, 0.0]));
    }
}

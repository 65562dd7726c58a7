//! Series at hand for drawing: asked for when a plot that shows them is seen, asked for again when they may be old.

use std::collections::HashMap;

use athanor_protocol::{
    Failure,
    api::{RunSeries, Series, SeriesKey},
    metric::MetricPoint,
    names::RunId,
    run::SeriesBucket,
};

use super::curve::{Drawn, Look, derive};
use crate::desk::{Desk, Ticket};

/// Most series in one request.
const CHUNK: usize = 100;
/// Most requests at a time.
const AT_ONCE: usize = 4;
/// Most series that are kept; those not seen for longest go.
const MOST: usize = 3_000;
/// Seconds between two requests for a series that grows.
const PAUSE: f64 = 1.0;

struct Entry {
    series: Option<Series>,
    /// What `series` was asked with.
    have: (Option<[u64; 2]>, u32),
    /// What the plot wants now.
    want: (Option<[u64; 2]>, u32),
    in_flight: bool,
    stale: bool,
    asked_at: f64,
    seen: u64,
    drawn: Option<(Look, Drawn)>,
    error: Option<Failure>,
}

/// All series at hand.
#[derive(Default)]
pub(super) struct SeriesStore {
    entries: HashMap<SeriesKey, Entry>,
    waiting: Vec<(Ticket<RunSeries>, RunSeries)>,
    frame: u64,
}

/// What can be drawn of a series.
pub(super) enum Shown<'a> {
    /// It is on its way.
    Loading,
    /// It could not be read.
    Failed(&'a Failure),
    /// This.
    Ready(&'a Drawn),
}

/// Buckets for a plot of this width: steps of 64, so that resizing does not ask again with every pixel.
pub(super) fn buckets_for(width: f32) -> u32 {
    ((width.max(64.0) / 64.0).ceil() as u32 * 64).min(4000)
}

impl SeriesStore {
    /// A plot that shows this series is seen in this frame.
    pub(super) fn want(&mut self, key: &SeriesKey, range: Option<[u64; 2]>, n_buckets: u32, look: Look) {
        let frame = self.frame;
        let entry = match self.entries.get_mut(key) {
            Some(entry) => entry,
            None => self.entries.entry(key.clone()).or_insert_with(|| Entry {
                series: None,
                have: (None, 0),
                want: (range, n_buckets),
                in_flight: false,
                stale: true,
                asked_at: f64::NEG_INFINITY,
                seen: frame,
                drawn: None,
                error: None,
            }),
        };
        entry.seen = frame;
        entry.want = (range, n_buckets);
        if let Some(series) = &entry.series
            && entry.drawn.as_ref().is_none_or(|(of, _)| *of != look)
        {
            entry.drawn = Some((look, derive(series, look)));
        }
    }

    /// What can be drawn of it, after [`SeriesStore::want`].
    pub(super) fn get(&self, key: &SeriesKey) -> Shown<'_> {
        match self.entries.get(key) {
            Some(Entry { drawn: Some((_, drawn)), .. }) => Shown::Ready(drawn),
            Some(Entry { error: Some(failure), .. }) => Shown::Failed(failure),
            _ => Shown::Loading,
        }
    }

    /// New points of a run that is at work.
    pub(super) fn append(&mut self, run: &RunId, points: &[MetricPoint]) {
        for point in points {
            let key = SeriesKey { run: run.clone(), key: point.key.clone(), split: point.split };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.stale = true;
            let Some(series) = entry.series.as_mut().filter(|_| entry.have.0.is_none()) else { continue };
            let known = series.buckets.last().is_some_and(|bucket| bucket.step_max >= point.step);
            // Between two answers a series may grow by this much; then it waits for the next one.
            if known || series.buckets.len() > 8_000 {
                continue;
            }
            let value = point.value.finite();
            series.buckets.push(SeriesBucket {
                step_min: point.step,
                step_max: point.step,
                min: value,
                max: value,
                last: value,
                n_points: 1,
                n_non_finite: u64::from(value.is_none()),
            });
            series.times.push([point.at_millis; 2]);
            if let Some(&epoch) = series.epochs.last() {
                series.epochs.push(epoch);
            }
            entry.drawn = None;
        }
    }

    /// Everything may be old.
    pub(super) fn invalidate(&mut self) {
        for entry in self.entries.values_mut() {
            entry.stale = true;
            entry.error = None;
        }
    }

    /// What is known of this run may be old.
    pub(super) fn invalidate_run(&mut self, run: &RunId) {
        for (key, entry) in &mut self.entries {
            if key.run == *run {
                entry.stale = true;
                entry.error = None;
            }
        }
    }

    /// Forgets everything, for another workspace.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in what has come and asks for what this frame's plots lack. Once per frame, after they are drawn. Gives back
    /// the seconds until there is more to ask for.
    pub(super) fn flush(&mut self, desk: &mut Desk) -> Option<f64> {
        self.take(desk);
        let now = desk.now_secs();
        let frame = self.frame;
        self.frame += 1;
        let mut later = None;
        let mut asks: Vec<RunSeries> = vec![];
        if self.waiting.len() < AT_ONCE {
            for (key, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.seen == frame && !entry.in_flight) {
                let due = if entry.series.is_none() {
                    entry.error.is_none()
                } else if entry.want != entry.have {
                    true
                } else if entry.stale {
                    let wait = entry.asked_at + PAUSE - now;
                    if wait > 0.0 {
                        later = Some(later.map_or(wait, |other: f64| other.min(wait)));
                    }
                    wait <= 0.0
                } else {
                    false
                };
                if !due {
                    continue;
                }
                let (range, n_buckets) = entry.want;
                let fits = |ask: &&mut RunSeries| {
                    ask.n_buckets == n_buckets
                        && ask.series.len() < CHUNK
                        && ask.from_step == range.map(|range| range[0])
                        && ask.to_step == range.map(|range| range[1])
                };
                let n_asks = asks.len();
                match asks.iter_mut().find(fits) {
                    Some(ask) => ask.series.push(key.clone()),
                    None if self.waiting.len() + n_asks < AT_ONCE => asks.push(RunSeries {
                        series: vec![key.clone()],
                        from_step: range.map(|range| range[0]),
                        to_step: range.map(|range| range[1]),
                        n_buckets,
                    }),
                    None => continue,
                }
                entry.in_flight = true;
                entry.stale = false;
                entry.asked_at = now;
            }
        }
        for mut ask in asks {
            ask.series.sort();
            self.waiting.push((desk.ask(ask.clone()), ask));
        }
        if self.entries.len() > MOST {
            self.entries.retain(|_, entry| entry.in_flight || entry.seen + 600 > frame);
        }
        later
    }

    fn take(&mut self, desk: &mut Desk) {
        let entries = &mut self.entries;
        self.waiting.retain(|(ticket, ask)| {
            let Some(result) = desk.take(*ticket) else { return true };
            let have = (ask.from_step.zip(ask.to_step).map(|(from, to)| [from, to]), ask.n_buckets);
            let error = result.as_ref().err().cloned();
            // Answers come in the order of the question; a name that is missing came empty.
            let mut came = result.map(|answer| answer.series).unwrap_or_default().into_iter();
            for key in &ask.series {
                let series = came.next();
                let Some(entry) = entries.get_mut(key) else { continue };
                entry.in_flight = false;
                entry.error.clone_from(&error);
                if let Some(series) = series {
                    entry.series = Some(series);
                    entry.have = have;
                    entry.drawn = None;
                } else if entry.series.is_none() && error.is_none() {
                    entry.series = Some(Series { key: key.clone(), buckets: vec![], times: vec![], epochs: vec![] });
                    entry.have = have;
                } else {
                    // What is there stays; it is asked for again when something changes.
                    entry.have = entry.want;
                }
            }
            false
        });
    }
}

//! The list's rows: loaded page by page as one scrolls, kept up to date in place.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use athanor_protocol::{
    Failure,
    api::{RunList, RunPage, RunRow},
    metric::{MetricPoint, Split},
    names::RunId,
    run::RunSummary,
};

use super::naming::note_latest;
use crate::desk::{Desk, Ticket};

/// Runs on a page.
const PAGE: u32 = 200;
/// Rows from the end at which the next page is asked for.
const AHEAD: usize = 60;
/// Seconds between two looks at what has changed.
const PAUSE: f64 = 1.0;
/// Most names of metrics that are offered for columns.
const MOST_NAMES: usize = 20_000;

/// A row with the text of its chosen columns.
pub(super) struct Item {
    /// The run.
    pub(super) row: RunRow,
    /// The cells' text, made when it is first seen; empty when it must be made again.
    pub(super) cells: Vec<Option<String>>,
}

impl Item {
    fn new(row: RunRow) -> Self {
        Self { row, cells: vec![] }
    }
}

enum What {
    /// The first page of another question.
    First,
    /// The page after the last one.
    Next,
    /// The first rows again.
    Again,
}

/// The list's rows.
#[derive(Default)]
pub(super) struct Rows {
    items: Vec<Item>,
    places: HashMap<RunId, usize>,
    next: Option<String>,
    asked: Option<RunList>,
    ticket: Option<(Ticket<RunList>, What)>,
    error: Option<Failure>,
    asked_at: f64,
    stale: bool,
    loaded: bool,
    /// Names of parameters on the loaded pages.
    pub(super) param_names: BTreeSet<String>,
    /// Names of metrics on the loaded pages.
    pub(super) metric_names: BTreeSet<(Split, String)>,
    /// Names of workflows on the loaded pages.
    pub(super) workflows: BTreeSet<String>,
}

impl Rows {
    /// Rows loaded.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are more.
    pub(super) fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// Whether the first page has come.
    pub(super) fn loaded(&self) -> bool {
        self.loaded
    }

    /// Whether an answer has been on its way for so long that people should see it.
    pub(super) fn slow(&self, desk: &Desk) -> bool {
        self.ticket.is_some() && desk.now_secs() - self.asked_at > 0.25
    }

    /// Why the last question failed.
    pub(super) fn error(&self) -> Option<&Failure> {
        self.error.as_ref()
    }

    /// A row.
    pub(super) fn get(&self, at: usize) -> Option<&Item> {
        self.items.get(at)
    }

    /// A row, to note its cells.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Item> {
        self.items.get_mut(at)
    }

    /// A run's row.
    pub(super) fn find(&self, run: &RunId) -> Option<&RunRow> {
        self.places.get(run).and_then(|&at| self.items.get(at)).map(|item| &item.row)
    }

    /// The runs in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &RunId> {
        self.items.iter().map(|item| &item.row.summary.id)
    }

    /// Other columns are shown.
    pub(super) fn columns_changed(&mut self) {
        for item in &mut self.items {
            item.cells.clear();
        }
    }

    /// What is shown may be old.
    pub(super) fn invalidate(&mut self) {
        self.stale = true;
        self.error = None;
    }

    /// Keeps the rows of this question at hand; `seen` is the row after the last one on the screen. True when rows came.
    pub(super) fn keep(&mut self, desk: &mut Desk, question: &RunList, seen: usize) -> bool {
        let came = self.take(desk);
        if self.asked.as_ref() != Some(question) {
            self.asked = Some(question.clone());
            self.error = None;
            // A late answer to the question before is of no use.
            self.ticket = None;
            self.ask(desk, RunList { after: None, limit: PAGE, ..question.clone() }, What::First);
        } else if self.ticket.is_none() && self.error.is_none() {
            if self.stale && desk.now_secs() >= self.asked_at + PAUSE {
                let limit = (self.items.len() as u32).clamp(PAGE, 1000);
                self.ask(desk, RunList { after: None, limit, ..question.clone() }, What::Again);
            } else if let Some(next) = self.next.clone()
                && seen + AHEAD > self.items.len()
            {
                self.ask(desk, RunList { after: Some(next), limit: PAGE, ..question.clone() }, What::Next);
            }
        }
        came
    }

    /// Seconds until there is something to ask for.
    pub(super) fn wait(&self, now_secs: f64) -> Option<f64> {
        (self.stale && self.ticket.is_none() && self.error.is_none())
            .then(|| (self.asked_at + PAUSE - now_secs).max(0.0))
    }

    fn ask(&mut self, desk: &mut Desk, request: RunList, what: What) {
        if !matches!(what, What::Next) {
            self.stale = false;
        }
        self.asked_at = desk.now_secs();
        self.ticket = Some((desk.ask(request), what));
    }

    fn take(&mut self, desk: &mut Desk) -> bool {
        let Some((ticket, what)) = self.ticket.take() else { return false };
        let Some(result) = desk.take(ticket) else {
            self.ticket = Some((ticket, what));
            return false;
        };
        match result {
            Ok(page) => {
                self.error = None;
                self.put(page, &what);
            }
            Err(failure) => {
                // What is shown belongs to another question.
                if matches!(what, What::First) {
                    self.items.clear();
                    self.places.clear();
                    self.next = None;
                }
                self.error = Some(failure);
            }
        }
        true
    }

    fn put(&mut self, page: RunPage, what: &What) {
        for row in &page.items {
            self.note_names(row);
        }
        let n = page.items.len();
        self.loaded = true;
        match what {
            What::First => {
                self.items = page.items.into_iter().map(Item::new).collect();
                self.next = page.next;
            }
            What::Next => {
                let known = &self.places;
                let new = page.items.into_iter().filter(|row| !known.contains_key(&row.summary.id));
                self.items.extend(new.map(Item::new));
                self.next = page.next;
            }
            What::Again => {
                // The rows after those that were asked for again stay as they are; the token still leads on from them.
                let new: BTreeMap<RunId, ()> = page.items.iter().map(|row| (row.summary.id.clone(), ())).collect();
                let rest = match (&page.next, self.items.len() > n) {
                    (Some(_), true) => self.items.split_off(n),
                    _ => vec![],
                };
                if rest.is_empty() {
                    self.next = page.next;
                }
                self.items = page.items.into_iter().map(Item::new).collect();
                self.items.extend(rest.into_iter().filter(|item| !new.contains_key(&item.row.summary.id)));
            }
        }
        self.number();
    }

    fn number(&mut self) {
        self.places = self.items.iter().enumerate().map(|(at, item)| (item.row.summary.id.clone(), at)).collect();
    }

    fn note_names(&mut self, row: &RunRow) {
        if !self.workflows.contains(&row.summary.workflow) {
            self.workflows.insert(row.summary.workflow.clone());
        }
        for (name, _) in &row.params {
            if self.param_names.len() < MOST_NAMES && !self.param_names.contains(name) {
                self.param_names.insert(name.clone());
            }
        }
        for point in &row.summary.latest {
            if self.metric_names.len() < MOST_NAMES {
                self.metric_names.insert((point.split, point.key.clone()));
            }
        }
    }

    /// A run has changed.
    pub(super) fn changed(&mut self, run: &RunSummary) {
        if let Some(item) = self.places.get(&run.id).and_then(|&at| self.items.get_mut(at)) {
            item.row.summary = run.clone();
            item.cells.clear();
        }
        // It may be new, gone, or no longer what was asked for.
        self.stale = true;
    }

    /// A run has new metric points.
    pub(super) fn metrics(&mut self, run: &RunId, points: &[MetricPoint]) {
        if let Some(item) = self.places.get(run).and_then(|&at| self.items.get_mut(at)) {
            note_latest(&mut item.row.summary.latest, points);
            item.cells.clear();
        }
    }

    /// Runs were deleted or brought back: they are no longer part of what is shown.
    pub(super) fn remove(&mut self, runs: &[RunId]) {
        self.items.retain(|item| !runs.contains(&item.row.summary.id));
        self.number();
        self.stale = true;
    }
}
